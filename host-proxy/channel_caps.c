/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/channel_caps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KNOWN_MS (60u * 60 * 1000)

uint16_t channel_caps_limit(const struct amqp_exception *e)
{
    static const char what[] = "number of channels opened";
    static const char how_many[] = "limit of (";
    const char *number = strstr(e->text, how_many);
    unsigned long limit;

    if (e->code != AMQP_CODE_NOT_ALLOWED || strstr(e->text, what) == NULL)
        return 0;
    limit = number != NULL ? strtoul(number + strlen(how_many), NULL, 10) : UINT16_MAX;
    return limit == 0 ? 1 : limit < UINT16_MAX ? (uint16_t)limit : UINT16_MAX;
}

static bool is_for(const struct channel_cap *cap, struct amqp_span user, const char *guest)
{
    return cap->user_len == user.len && (user.len == 0 || memcmp(cap->user, user.data, user.len) == 0) &&
           strcmp(cap->guest, guest) == 0;
}

/* The user's own place, or the one that is needed least. */
static struct channel_cap *place_for(struct channel_caps *caps, struct amqp_span user, const char *guest)
{
    struct channel_cap *least = &caps->caps[0];

    for (unsigned i = 0; i < CHANNEL_CAPS_MAX; i++) {
        struct channel_cap *cap = &caps->caps[i];
        if (cap->until_ms != 0 && is_for(cap, user, guest))
            return cap;
        if (cap->until_ms < least->until_ms)
            least = cap;
    }
    return least;
}

void channel_caps_note(struct channel_caps *caps, struct amqp_span user, const char *guest, uint16_t channels,
                       uint64_t now_ms)
{
    struct channel_cap *cap = place_for(caps, user, guest);

    if (user.len > sizeof(cap->user))
        return;
    *cap = (struct channel_cap){.user_len = (uint8_t)user.len,
                                .channels = channels > 0 ? channels : 1, /* 0 would be any number */
                                .until_ms = now_ms + KNOWN_MS};
    if (user.len > 0)
        memcpy(cap->user, user.data, user.len);
    snprintf(cap->guest, sizeof(cap->guest), "%s", guest);
}

uint16_t channel_caps_find(const struct channel_caps *caps, struct amqp_span user, const char *guest,
                           uint64_t now_ms)
{
    for (unsigned i = 0; i < CHANNEL_CAPS_MAX; i++) {
        const struct channel_cap *cap = &caps->caps[i];
        if (cap->until_ms > now_ms && is_for(cap, user, guest))
            return cap->channels;
    }
    return 0;
}
