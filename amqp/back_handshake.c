/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/back_internal.h"
#include "amqp/method_codec.h"
#include "amqp/method_spec.h"
#include "amqp/table_check.h"
#include "amqp/text.h"
#include <amqp_framing.h>
#include <stdio.h>

enum { RESPONSE_MAX = 2 + 255 + 2048 }; /* RabbitMQ takes a Start-Ok of at most 4096 bytes */

static void fail(struct amqp_back *back, enum amqp_code code, const char *text)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, code, 0, "%s", text);
    amqp_back_fail(back, &e);
}

/* --- Start --- */

static void note_product(struct amqp_back *back, struct amqp_span properties)
{
    struct amqp_span product = {0};
    struct amqp_span version = {0};
    char raw[sizeof(back->product)];
    amqp_table_find(properties, "product", &product);
    amqp_table_find(properties, "version", &version);
    snprintf(raw, sizeof(raw), "%.*s %.*s", (int)product.len,
             product.len > 0 ? (const char *)product.data : "", (int)version.len,
             version.len > 0 ? (const char *)version.data : "");
    amqp_text_copy(back->product, sizeof(back->product), raw);
}

static bool offers_plain(struct amqp_span mechanisms)
{
    static const char plain[] = "PLAIN";
    const size_t n = sizeof(plain) - 1;
    for (size_t at = 0; at + n <= mechanisms.len; at++) {
        const bool begins = at == 0 || mechanisms.data[at - 1] == ' ';
        const bool ends = at + n == mechanisms.len || mechanisms.data[at + n] == ' ';
        if (begins && ends && memcmp(mechanisms.data + at, plain, n) == 0)
            return true;
    }
    return false;
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)},
    };
}

static amqp_table_entry_t capability(const char *key)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1},
    };
}

/*
 * All capabilities that any client may have: what a client of ours does not understand is kept from it on its
 * own side. An unsound connection_name would break rabbitmqctl list_connections.
 */
static void say_start_ok(struct amqp_back *back, amqp_bytes_t response)
{
    amqp_table_entry_t capabilities[] = {
        capability("publisher_confirms"), capability("exchange_exchange_bindings"),
        capability("basic.nack"),         capability("consumer_cancel_notify"),
        capability("connection.blocked"), capability("authentication_failure_close"),
    };
    char name[AMQP_BACK_NAME_MAX] = "";
    amqp_table_entry_t properties[] = {
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE,
                   .value.table = {.num_entries = sizeof(capabilities) / sizeof(capabilities[0]),
                                   .entries = capabilities}}},
        text_entry("product", "amqp-vsock"),
        text_entry("version", AMQPVSOCK_VERSION),
        text_entry("platform", "Linux"),
        text_entry("connection_name", name), /* the last: left out when there is none */
    };
    const int count = sizeof(properties) / sizeof(properties[0]);
    const bool has_name = back->config->connection_name != NULL;
    if (has_name)
        properties[count - 1].value.value.bytes.len =
            amqp_text_copy(name, sizeof(name), back->config->connection_name);
    amqp_connection_start_ok_t start_ok = {
        .client_properties = {.num_entries = has_name ? count : count - 1, .entries = properties},
        .mechanism = amqp_cstring_bytes("PLAIN"),
        .response = response,
        .locale = amqp_cstring_bytes("en_US"),
    };
    amqp_back_say(back, AMQP_CONNECTION_START_OK_METHOD, &start_ok);
}

static void handle_start(struct amqp_back *back, struct amqp_span arguments, uint64_t now)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const struct amqp_login login = {.user = back->config->user, .password = back->config->password};
    uint8_t response[RESPONSE_MAX];
    const size_t len = amqp_login_write_plain(&login, response, sizeof(response));
    amqp_take(&c, 2); /* the version */
    note_product(back, amqp_take_long_string(&c));
    if (!offers_plain(amqp_take_long_string(&c))) {
        fail(back, AMQP_CODE_NOT_IMPLEMENTED, "the broker does not offer the mechanism PLAIN");
    } else if (len == 0) {
        fail(back, AMQP_CODE_ACCESS_REFUSED, "user name or password is too long, or has a NUL in it");
    } else {
        amqp_back_set_state(back, AMQP_BACK_LOGIN, now + back->config->handshake_timeout_ms);
        say_start_ok(back, (amqp_bytes_t){.len = len, .bytes = response});
    }
}

/* --- Tune --- */

/* The lesser of two limits where 0 stands for none. */
static uint32_t lesser(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    return a < b ? a : b;
}

static void handle_tune(struct amqp_back *back, struct amqp_span arguments, uint64_t now)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const uint32_t channel_max = lesser(amqp_take_u16(&c), back->config->channel_max);
    const uint32_t frame_max = lesser(amqp_take_u32(&c), back->config->frame_max);
    const uint32_t heartbeat_s = lesser(amqp_take_u16(&c), back->config->heartbeat_s);
    amqp_connection_tune_ok_t tune_ok = {
        .channel_max = (uint16_t)(channel_max > 0 ? channel_max : UINT16_MAX),
        .frame_max = frame_max > AMQP_FRAME_MIN_MAX ? frame_max : AMQP_FRAME_MIN_MAX,
        .heartbeat = (uint16_t)heartbeat_s,
    };
    back->channel_max = tune_ok.channel_max;
    back->frame_max = tune_ok.frame_max;
    back->reader.frame_max = tune_ok.frame_max;
    amqp_pulse_start(&back->pulse, tune_ok.heartbeat, now);
    amqp_back_set_state(back, AMQP_BACK_TUNED, UINT64_MAX);
    if (amqp_back_say(back, AMQP_CONNECTION_TUNE_OK_METHOD, &tune_ok) < 0)
        return;
    if (back->ops->on_login != NULL)
        back->ops->on_login(back);
    if (back->state == AMQP_BACK_TUNED && back->config->vhost.data != NULL)
        amqp_back_open(back, back->config->vhost, now);
}

/* --- Open --- */

void amqp_back_open(struct amqp_back *back, struct amqp_span vhost, uint64_t now)
{
    amqp_connection_open_t open = {.virtual_host = amqp_bytes_of(vhost), .capabilities = amqp_empty_bytes};
    if (back->state != AMQP_BACK_TUNED)
        return;
    amqp_back_set_state(back, AMQP_BACK_OPENING, now + back->config->handshake_timeout_ms);
    amqp_back_say(back, AMQP_CONNECTION_OPEN_METHOD, &open);
}

void amqp_back_handshake(struct amqp_back *back, uint32_t method, struct amqp_span arguments, uint64_t now)
{
    if (back->state == AMQP_BACK_STARTING && method == AMQP_CONNECTION_START_METHOD) {
        handle_start(back, arguments, now);
    } else if (back->state == AMQP_BACK_LOGIN && method == AMQP_CONNECTION_TUNE_METHOD) {
        handle_tune(back, arguments, now);
    } else if (back->state == AMQP_BACK_OPENING && method == AMQP_CONNECTION_OPEN_OK_METHOD) {
        amqp_back_set_state(back, AMQP_BACK_RUNNING, UINT64_MAX);
        back->ops->on_running(back);
    } else {
        fail(back, AMQP_CODE_COMMAND_INVALID, "the broker sent a method out of place");
    }
}
