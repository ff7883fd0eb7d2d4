/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/rules.h"
#include "amqp/content_check.h"
#include "amqp/method_codec.h"
#include "amqp/rules_arguments.h"
#include "amqp/table_check.h"
#include <amqp.h>
#include <amqp_framing.h>

static const char reply_prefix[] = "amq.rabbitmq.reply-to.";

/* What a rule looks at. */
struct subject {
    const struct amqp_rules *rules;
    const struct amqp_command *command;
    union {
        const void *decoded;
        const amqp_basic_qos_t *qos;
        const amqp_basic_publish_t *publish;
        const amqp_basic_recover_t *recover;
        const amqp_basic_recover_async_t *recover_async;
        const amqp_basic_consume_t *consume;
        const amqp_channel_flow_t *flow;
        const amqp_exchange_declare_t *exchange;
        const amqp_queue_declare_t *queue;
    };
};

/* --- basic and channel --- */

static bool has_prefetch_size(const struct subject *s)
{
    return s->qos->prefetch_size != 0;
}

static bool is_immediate(const struct subject *s)
{
    return s->publish->immediate;
}

static bool is_too_large(const struct subject *s)
{
    return s->command->body_size > s->rules->body_max;
}

static bool drops_on_recover(const struct subject *s)
{
    return !s->recover->requeue;
}

static bool drops_on_recover_async(const struct subject *s)
{
    return !s->recover_async->requeue;
}

static bool stops_flow(const struct subject *s)
{
    return !s->flow->active;
}

/* --- exchange.declare --- */

static bool is_text(amqp_bytes_t bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.bytes, text, bytes.len) == 0;
}

/* Up to NULL; `list` NULL: it is empty. */
static bool is_listed(amqp_bytes_t bytes, const char *const *list)
{
    while (list != NULL && *list != NULL) {
        if (is_text(bytes, *list++))
            return true;
    }
    return false;
}

static bool is_unknown_exchange_type(const struct subject *s)
{
    static const char *const core[] = {"direct", "fanout", "topic", "headers", NULL};
    return !s->exchange->passive && !is_listed(s->exchange->type, core) &&
           !is_listed(s->exchange->type, s->rules->exchange_types);
}

/* --- direct reply-to --- */

bool amqp_is_reply_queue(struct amqp_span name)
{
    return amqp_span_is(name, "amq.rabbitmq.reply-to");
}

bool amqp_is_reply_address(struct amqp_span name)
{
    const size_t prefix_len = sizeof(reply_prefix) - 1;
    return name.len >= prefix_len && memcmp(name.data, reply_prefix, prefix_len) == 0;
}

static bool is_forged_token(const struct subject *s, struct amqp_span name)
{
    if (!amqp_is_reply_address(name))
        return false;
    return s->rules->is_reply_token == NULL || !s->rules->is_reply_token(s->rules->ctx, name);
}

static bool declares_forged_token(const struct subject *s)
{
    return is_forged_token(s, amqp_span_of(s->queue->queue));
}

/* Whether one of the strings in the array `value` is a forged token; it has been checked. */
static bool has_forged_token(const struct subject *s, struct amqp_span value)
{
    struct amqp_cursor c = amqp_cursor_over(value.data, value.len);
    while (!c.bad && amqp_cursor_left(&c) > 0) {
        struct amqp_span element;
        if (amqp_table_take_value(&c, &element) == 'S' && is_forged_token(s, element))
            return true;
    }
    return false;
}

/* The headers of a publish, which have been checked. False: it has none. */
static bool find_headers(const struct subject *s, struct amqp_span *headers)
{
    return amqp_properties_find(amqp_command_properties(s->command), AMQP_PROPERTY_HEADERS, headers);
}

static bool copies_to_forged_token(const struct subject *s)
{
    static const char *const keys[] = {"CC", "BCC"};
    struct amqp_span headers;
    if (!find_headers(s, &headers))
        return false;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct amqp_span value;
        if (amqp_table_find(headers, keys[i], &value) == 'A' && has_forged_token(s, value))
            return true;
    }
    return false;
}

static bool publishes_to_forged_token(const struct subject *s)
{
    if (s->publish->exchange.len > 0)
        return false;
    return is_forged_token(s, amqp_span_of(s->publish->routing_key)) || copies_to_forged_token(s);
}

/* --- headers --- */

/* Streams store headers in a form that has no decimals, and RabbitMQ crashes over one. Where a message will
 * be routed to can't be known here. Those inside of arrays and tables do no harm. */
static bool has_decimal_header(const struct subject *s)
{
    struct amqp_span headers;
    struct amqp_span value;
    if (!find_headers(s, &headers))
        return false;
    struct amqp_cursor c = amqp_cursor_over(headers.data, headers.len);
    while (!c.bad && amqp_cursor_left(&c) > 0) {
        amqp_take_short_string(&c);
        if (amqp_table_take_value(&c, &value) == 'D')
            return true;
    }
    return false;
}

/* --- arguments --- */

static bool crashes_on_queue_argument(const struct subject *s)
{
    return !s->queue->passive &&
           amqp_queue_arguments_judge(&s->queue->arguments, s->queue->queue) == AMQP_ARGUMENTS_CRASH;
}

static bool is_refused_queue_argument(const struct subject *s)
{
    return !s->queue->passive &&
           amqp_queue_arguments_judge(&s->queue->arguments, s->queue->queue) == AMQP_ARGUMENTS_REFUSED;
}

static bool is_forbidden_queue_type(const struct subject *s)
{
    const amqp_table_t *arguments = &s->queue->arguments;
    if (s->queue->passive || s->rules->queue_types == NULL)
        return false;
    for (int i = 0; i < arguments->num_entries; i++) {
        const amqp_table_entry_t *entry = &arguments->entries[i];
        if (is_text(entry->key, "x-queue-type") &&
            !is_listed(entry->value.value.bytes, s->rules->queue_types))
            return true;
    }
    return false;
}

static bool has_bad_consume_argument(const struct subject *s)
{
    return !amqp_consume_arguments_are_safe(&s->consume->arguments);
}

/* --- the list --- */

static const struct rule {
    uint32_t method;
    bool (*is_broken)(const struct subject *s);
    enum amqp_code code; /* its hardness gives the scope */
    const char *text;    /* behind the code's name; NULL: RabbitMQ says no more than the name */
} list[] = {
    {AMQP_CHANNEL_FLOW_METHOD, stops_flow, AMQP_CODE_NOT_IMPLEMENTED, "active=false"},

    {AMQP_EXCHANGE_DECLARE_METHOD, is_unknown_exchange_type, AMQP_CODE_COMMAND_INVALID,
     "unknown exchange type"},

    {AMQP_QUEUE_DECLARE_METHOD, declares_forged_token, AMQP_CODE_INTERNAL_ERROR, NULL},
    {AMQP_QUEUE_DECLARE_METHOD, crashes_on_queue_argument, AMQP_CODE_INTERNAL_ERROR, NULL},
    {AMQP_QUEUE_DECLARE_METHOD, is_refused_queue_argument, AMQP_CODE_PRECONDITION_FAILED,
     "invalid arg 'x-queue-type' or 'x-max-age' for queue"},
    {AMQP_QUEUE_DECLARE_METHOD, is_forbidden_queue_type, AMQP_CODE_ACCESS_REFUSED,
     "queues of this type may not be declared here: x-queue-type for queue"},

    {AMQP_BASIC_QOS_METHOD, has_prefetch_size, AMQP_CODE_NOT_IMPLEMENTED, "prefetch_size!=0"},
    {AMQP_BASIC_CONSUME_METHOD, has_bad_consume_argument, AMQP_CODE_INTERNAL_ERROR, NULL},
    {AMQP_BASIC_PUBLISH_METHOD, is_immediate, AMQP_CODE_NOT_IMPLEMENTED, "immediate=true"},
    {AMQP_BASIC_PUBLISH_METHOD, is_too_large, AMQP_CODE_PRECONDITION_FAILED, "message size"},
    {AMQP_BASIC_PUBLISH_METHOD, publishes_to_forged_token, AMQP_CODE_INTERNAL_ERROR, NULL},
    {AMQP_BASIC_PUBLISH_METHOD, has_decimal_header, AMQP_CODE_INTERNAL_ERROR, NULL},
    {AMQP_BASIC_RECOVER_METHOD, drops_on_recover, AMQP_CODE_NOT_IMPLEMENTED, "requeue=false"},
    {AMQP_BASIC_RECOVER_ASYNC_METHOD, drops_on_recover_async, AMQP_CODE_NOT_IMPLEMENTED, "requeue=false"},
};

/* RabbitMQ quotes what it does not like in some of its texts. A crash is nobody's method any more. */
static void refuse(const struct rule *rule, const struct subject *s, struct amqp_exception *e)
{
    const enum amqp_scope scope =
        amqp_code_is_hard((uint16_t)rule->code) ? AMQP_SCOPE_CONNECTION : AMQP_SCOPE_CHANNEL;
    if (rule->is_broken == is_unknown_exchange_type)
        amqp_exception_set(e, scope, rule->code, rule->method, "%s '%.*s'", rule->text,
                           (int)s->exchange->type.len, (const char *)s->exchange->type.bytes);
    else if (rule->is_broken == is_refused_queue_argument || rule->is_broken == is_forbidden_queue_type)
        amqp_exception_set(e, scope, rule->code, rule->method, "%s '%.*s'", rule->text,
                           (int)s->queue->queue.len, (const char *)s->queue->queue.bytes);
    else if (rule->is_broken == has_prefetch_size)
        amqp_exception_set(e, scope, rule->code, rule->method, "%s (%u)", rule->text, s->qos->prefetch_size);
    else if (rule->is_broken == is_too_large)
        amqp_exception_set(e, scope, rule->code, rule->method,
                           "%s %llu is larger than configured max size %llu", rule->text,
                           (unsigned long long)s->command->body_size, (unsigned long long)s->rules->body_max);
    else if (rule->text != NULL)
        amqp_exception_set(e, scope, rule->code, rule->method, "%s", rule->text);
    else
        amqp_exception_set(e, scope, rule->code, 0, NULL);
}

bool amqp_rules_check(const struct amqp_rules *rules, const struct amqp_command *command, const void *decoded,
                      struct amqp_exception *e)
{
    const struct subject s = {.rules = rules, .command = command, .decoded = decoded};
    const uint32_t method = command->spec->id;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].method == method && list[i].is_broken(&s)) {
            refuse(&list[i], &s, e);
            return false;
        }
    }
    return true;
}
