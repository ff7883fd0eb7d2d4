/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/rules_arguments.h"
#include <stddef.h>
#include <string.h>

typedef bool check_value(const amqp_field_value_t *value);

static bool is_text(amqp_bytes_t bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.bytes, text, bytes.len) == 0;
}

/* Whether `value` is a long string, one of those in `list` up to NULL. */
static bool is_one_of(const amqp_field_value_t *value, const char *const *list)
{
    if (value->kind != AMQP_FIELD_KIND_UTF8)
        return false;
    while (*list != NULL && !is_text(value->value.bytes, *list))
        list++;
    return *list != NULL;
}

static bool is_queue_type(const amqp_field_value_t *value)
{
    static const char *const types[] = {"classic", "quorum", "stream", NULL};
    return is_one_of(value, types);
}

static bool is_master_locator(const amqp_field_value_t *value)
{
    static const char *const locators[] = {"min-masters", "client-local", "random", NULL};
    return is_one_of(value, locators);
}

/* RabbitMQ refuses other errors in an interval, but crashes over a number without digits. */
static bool begins_with_digit(amqp_bytes_t text)
{
    const uint8_t *p = text.bytes;
    return text.len > 0 && p[0] >= '0' && p[0] <= '9';
}

static bool is_harmless_age(const amqp_field_value_t *value)
{
    return value->kind != AMQP_FIELD_KIND_UTF8 || begins_with_digit(value->value.bytes);
}

static bool is_not_stream(const amqp_field_value_t *value)
{
    return value->kind != AMQP_FIELD_KIND_UTF8 || !is_text(value->value.bytes, "stream");
}

static bool is_stream_offset(const amqp_field_value_t *value)
{
    static const char *const places[] = {"first", "last", "next", NULL};
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8: return is_one_of(value, places) || begins_with_digit(value->value.bytes);
    case AMQP_FIELD_KIND_I8: return value->value.i8 >= 0;
    case AMQP_FIELD_KIND_I16: return value->value.i16 >= 0;
    case AMQP_FIELD_KIND_I32: return value->value.i32 >= 0;
    case AMQP_FIELD_KIND_I64:
    case AMQP_FIELD_KIND_U64: return value->value.i64 >= 0; /* signed to RabbitMQ, both of them */
    case AMQP_FIELD_KIND_U8:
    case AMQP_FIELD_KIND_U16:
    case AMQP_FIELD_KIND_U32:
    case AMQP_FIELD_KIND_TIMESTAMP: return true;
    default: return false;
    }
}

static bool is_never(const amqp_field_value_t *value)
{
    (void)value;
    return false;
}

struct argument {
    const char *key;
    check_value *is_safe;
};

/* A key may occur twice: whichever of them RabbitMQ takes, all must be safe. */
static bool are_safe(const amqp_table_t *table, const struct argument *list, size_t count)
{
    for (int i = 0; i < table->num_entries; i++) {
        for (size_t k = 0; k < count; k++) {
            if (is_text(table->entries[i].key, list[k].key) && !list[k].is_safe(&table->entries[i].value))
                return false;
        }
    }
    return true;
}

/* CR and LF in a name are nothing to RabbitMQ. */
static bool is_nameless(amqp_bytes_t name)
{
    const uint8_t *p = name.bytes;
    for (size_t i = 0; i < name.len; i++) {
        if (p[i] != '\r' && p[i] != '\n')
            return false;
    }
    return true;
}

enum amqp_arguments_verdict amqp_queue_arguments_judge(const amqp_table_t *arguments, amqp_bytes_t name)
{
    static const struct argument locator = {"x-queue-master-locator", is_master_locator};
    static const struct argument type = {"x-queue-type", is_queue_type};
    static const struct argument age = {"x-max-age", is_harmless_age};
    static const struct argument no_stream = {"x-queue-type", is_not_stream};
    if (!are_safe(arguments, &locator, 1))
        return AMQP_ARGUMENTS_CRASH;
    if (!are_safe(arguments, &type, 1))
        return is_nameless(name) ? AMQP_ARGUMENTS_CRASH : AMQP_ARGUMENTS_REFUSED;
    if (!are_safe(arguments, &age, 1))
        return are_safe(arguments, &no_stream, 1) ? AMQP_ARGUMENTS_REFUSED : AMQP_ARGUMENTS_CRASH;
    return AMQP_ARGUMENTS_SAFE;
}

bool amqp_consume_arguments_are_safe(const amqp_table_t *arguments)
{
    static const struct argument list[] = {
        {"x-credit", is_never},
        {"x-stream-offset", is_stream_offset},
    };
    return are_safe(arguments, list, sizeof(list) / sizeof(list[0]));
}
