/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/method_check.h"
#include "amqp/table_check.h"
#include "amqp/utf8.h"

enum field_fault { FIELD_GOOD, FIELD_CUT_SHORT, FIELD_NOT_UTF8, FIELD_BAD_TABLE };

static enum field_fault check_short_string(struct amqp_cursor *c, bool must_be_utf8)
{
    const struct amqp_span text = amqp_take_short_string(c);
    if (c->bad)
        return FIELD_CUT_SHORT;
    return !must_be_utf8 || amqp_utf8_is_valid(text.data, text.len) ? FIELD_GOOD : FIELD_NOT_UTF8;
}

/* A table whose own length is wrong is a method that can't be decoded; what is wrong inside is worse. */
static enum field_fault check_table(struct amqp_cursor *c)
{
    struct amqp_cursor length = *c;
    amqp_take_long_string(&length);
    if (length.bad)
        return FIELD_CUT_SHORT;
    return amqp_table_check(c) ? FIELD_GOOD : FIELD_BAD_TABLE;
}

static enum field_fault check_field(struct amqp_cursor *c, char field, bool must_be_utf8)
{
    switch (field) {
    case 'b':
    case 'o': amqp_take(c, 1); break;
    case 'h': amqp_take(c, 2); break;
    case 'l': amqp_take(c, 4); break;
    case 'L': amqp_take(c, 8); break;
    case 'S': amqp_take_long_string(c); break;
    case 's': return check_short_string(c, must_be_utf8);
    case 'T': return check_table(c);
    }
    return c->bad ? FIELD_CUT_SHORT : FIELD_GOOD;
}

static enum field_fault check_fields(const struct amqp_method_spec *spec, struct amqp_span arguments)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    unsigned bits = 0; /* of those that follow one another */
    for (const char *field = spec->fields; *field != '\0'; field++) {
        if (*field != 'b')
            bits = 0;
        else if (bits++ % 8 != 0) /* it shares the last octet */
            continue;
        const enum field_fault fault = check_field(&c, *field, !spec->has_content);
        if (fault != FIELD_GOOD)
            return fault;
    }
    return amqp_cursor_done(&c) ? FIELD_GOOD : FIELD_CUT_SHORT;
}

bool amqp_method_check(const struct amqp_method_spec *spec, struct amqp_span arguments,
                       struct amqp_exception *e)
{
    switch (check_fields(spec, arguments)) {
    case FIELD_GOOD: return true;
    case FIELD_CUT_SHORT:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, spec->id,
                           "cannot decode %zu bytes of arguments", arguments.len);
        break;
    case FIELD_NOT_UTF8:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_FRAME_ERROR, 0, "Malformed UTF-8 in shortstr");
        break;
    case FIELD_BAD_TABLE:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_SYNTAX_ERROR, spec->id,
                           "malformed field table");
        break;
    }
    return false;
}
