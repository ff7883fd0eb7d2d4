/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/text.h"
#include <stdint.h>
#include <string.h>

/* RFC 3629, section 4: what may follow a lead byte. The second byte is where overlong forms and surrogates
 * show. */
static const struct utf8_form {
    uint8_t lead_first, lead_last;
    uint8_t second_first, second_last;
    uint8_t length;
} utf8_forms[] = {
    {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
    {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
    {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

/* Bytes of the valid, printable character at `p` (NUL-terminated), or 0. A NUL is never a continuation byte.
 */
static size_t character_size(const uint8_t *p)
{
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7F;
    for (size_t i = 0; i < sizeof(utf8_forms) / sizeof(utf8_forms[0]); i++) {
        const struct utf8_form *form = &utf8_forms[i];
        if (p[0] < form->lead_first || p[0] > form->lead_last)
            continue;
        if (p[1] < form->second_first || p[1] > form->second_last)
            return 0;
        for (size_t k = 2; k < form->length; k++) {
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        }
        return form->length;
    }
    return 0;
}

size_t amqp_text_copy(char *dst, size_t size, const char *text)
{
    size_t used = 0;
    for (const uint8_t *p = (const uint8_t *)text; *p != 0;) {
        const size_t valid = character_size(p);
        const size_t taken = valid > 0 ? valid : 1;
        if (taken > size - 1 - used)
            break;
        if (valid > 0)
            memcpy(dst + used, p, valid);
        else
            dst[used] = '?';
        used += taken;
        p += taken;
    }
    dst[used] = '\0';
    return used;
}
