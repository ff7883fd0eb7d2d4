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

/* ^[1-9][0-9]*[YMDhms]$ */
static bool is_interval(amqp_bytes_t text)
{
    const char *p = text.bytes;
    size_t digits = 0;
    while (digits < text.len && p[digits] >= '0' && p[digits] <= '9')
        digits++;
    return digits > 0 && p[0] != '0' && digits + 1 == text.len && strchr("YMDhms", p[digits]) != NULL &&
           p[digits] != '\0';
}

static bool is_max_age(const amqp_field_value_t *value)
{
    return value->kind == AMQP_FIELD_KIND_UTF8 && is_interval(value->value.bytes);
}

static bool is_stream_offset(const amqp_field_value_t *value)
{
    static const char *const places[] = {"first", "last", "next", NULL};
    switch (value->kind) {
    case AMQP_FIELD_KIND_UTF8: return is_one_of(value, places) || is_interval(value->value.bytes);
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

bool amqp_queue_arguments_are_safe(const amqp_table_t *arguments)
{
    static const struct argument list[] = {
        {"x-queue-type", is_queue_type},
        {"x-queue-master-locator", is_master_locator},
        {"x-max-age", is_max_age},
    };
    return are_safe(arguments, list, sizeof(list) / sizeof(list[0]));
}

bool amqp_consume_arguments_are_safe(const amqp_table_t *arguments)
{
    static const struct argument list[] = {
        {"x-credit", is_never},
        {"x-stream-offset", is_stream_offset},
    };
    return are_safe(arguments, list, sizeof(list) / sizeof(list[0]));
}
