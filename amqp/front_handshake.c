/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/front_handshake.h"
#include "amqp/canned.h"
#include "amqp/method_spec.h"
#include "amqp/table_check.h"
#include <amqp.h>
#include <amqp_framing.h>
#include <assert.h>
#include <stdio.h>

int amqp_front_start(struct amqp_front *front)
{
    uint8_t start[AMQP_CANNED_START_MAX];
    const size_t len = amqp_canned_start_with(start, sizeof(start), AMQP_LOGIN_MECHANISMS);
    assert(len > 0);
    amqp_front_set_state(front, AMQP_FRONT_STARTING);
    return amqp_out_add(&front->out, start, len);
}

/* --- Start-Ok --- */

static unsigned read_capabilities(struct amqp_span client_properties)
{
    static const struct {
        const char *key;
        unsigned bit;
    } known[] = {
        {"connection.blocked", AMQP_CAN_BLOCKED},
        {"consumer_cancel_notify", AMQP_CAN_CANCEL_NOTIFY},
        {"authentication_failure_close", AMQP_CAN_AUTH_FAILURE_CLOSE},
        {"publisher_confirms", AMQP_CAN_PUBLISHER_CONFIRMS},
        {"basic.nack", AMQP_CAN_NACK},
        {"exchange_exchange_bindings", AMQP_CAN_EXCHANGE_BINDINGS},
    };
    struct amqp_span capabilities;
    struct amqp_span value;
    unsigned can = 0;
    if (amqp_table_find(client_properties, "capabilities", &capabilities) != 'F')
        return 0;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (amqp_table_find(capabilities, known[i].key, &value) == 't' && value.data[0] != 0)
            can |= known[i].bit;
    }
    return can;
}

static void handle_start_ok(struct amqp_front *front, struct amqp_span arguments, uint64_t now)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const struct amqp_span properties = amqp_take_long_string(&c);
    const struct amqp_span mechanism = amqp_take_short_string(&c);
    const struct amqp_span response = amqp_take_long_string(&c);
    struct amqp_login login;
    struct amqp_exception e;
    front->can = read_capabilities(properties);
    snprintf(front->mechanism, sizeof(front->mechanism), "%.*s", (int)mechanism.len,
             (const char *)mechanism.data);
    amqp_front_set_state(front, AMQP_FRONT_LOGIN);
    if (amqp_login_read(mechanism, response, &login, &e))
        front->ops->on_login(front, &login);
    else
        amqp_front_close(front, &e, now);
}

void amqp_front_login_ok(struct amqp_front *front, uint64_t now)
{
    amqp_connection_tune_t tune = {.channel_max = front->config->channel_max,
                                   .frame_max = front->config->frame_max,
                                   .heartbeat = front->config->heartbeat_s};
    if (front->state != AMQP_FRONT_LOGIN)
        return;
    front->deadline_ms = now + front->config->handshake_timeout_ms;
    amqp_front_set_state(front, AMQP_FRONT_TUNING);
    amqp_front_say(front, AMQP_CONNECTION_TUNE_METHOD, &tune);
    amqp_front_resume(front, now);
}

void amqp_front_refuse_login(struct amqp_front *front, uint64_t now)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_ACCESS_REFUSED, 0,
                       "Login was refused using authentication mechanism %s. For details see the broker "
                       "logfile.",
                       front->mechanism);
    if (front->state != AMQP_FRONT_LOGIN)
        return;
    if (front->can & AMQP_CAN_AUTH_FAILURE_CLOSE) {
        amqp_front_close(front, &e, now);
    } else {
        front->end = e;
        amqp_front_set_state(front, AMQP_FRONT_CLOSED);
    }
}

/* --- Tune-Ok --- */

/* Whether `value` may be answered to the `offered` one; 0 stands for "no limit", which we don't offer. */
static bool check_tuned(const char *field, uint32_t value, uint32_t least, uint32_t offered,
                        struct amqp_exception *e)
{
    if (value != 0 && value < least)
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, AMQP_CONNECTION_TUNE_OK_METHOD,
                           "negotiated %s = %u is lower than the minimum allowed value (%u)", field, value,
                           least);
    else if (value == 0 || value > offered)
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, AMQP_CONNECTION_TUNE_OK_METHOD,
                           "negotiated %s = %u%s is higher than the maximum allowed value (%u)", field, value,
                           value == 0 ? " (no limit)" : "", offered);
    else
        return true;
    return false;
}

static void handle_tune_ok(struct amqp_front *front, struct amqp_span arguments, uint64_t now)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const uint16_t channel_max = amqp_take_u16(&c);
    const uint32_t frame_max = amqp_take_u32(&c);
    const uint16_t heartbeat_s = amqp_take_u16(&c);
    struct amqp_exception e;
    if (!check_tuned("frame_max", frame_max, AMQP_FRAME_MIN_MAX, front->config->frame_max, &e) ||
        !check_tuned("channel_max", channel_max, 1, front->config->channel_max, &e)) {
        amqp_front_close(front, &e, now);
        return;
    }
    front->channel_max = channel_max;
    front->frame_max = frame_max;
    front->reader.frame_max = frame_max;
    amqp_pulse_start(&front->pulse, heartbeat_s, now);
    amqp_front_set_state(front, AMQP_FRONT_OPENING);
}

/* --- Open --- */

static void handle_open(struct amqp_front *front, struct amqp_span arguments)
{
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    amqp_front_set_state(front, AMQP_FRONT_VHOST);
    front->ops->on_open(front, amqp_take_short_string(&c));
}

void amqp_front_open_ok(struct amqp_front *front, uint64_t now)
{
    amqp_connection_open_ok_t open_ok = {.known_hosts = amqp_empty_bytes};
    if (front->state != AMQP_FRONT_VHOST)
        return;
    amqp_front_set_state(front, AMQP_FRONT_RUNNING);
    amqp_front_say(front, AMQP_CONNECTION_OPEN_OK_METHOD, &open_ok);
    amqp_front_resume(front, now);
}

void amqp_front_handshake(struct amqp_front *front, uint32_t method, struct amqp_span arguments, uint64_t now)
{
    struct amqp_exception e;
    if (front->state == AMQP_FRONT_STARTING && method == AMQP_CONNECTION_START_OK_METHOD) {
        handle_start_ok(front, arguments, now);
    } else if (front->state == AMQP_FRONT_TUNING && method == AMQP_CONNECTION_TUNE_OK_METHOD) {
        handle_tune_ok(front, arguments, now);
    } else if (front->state == AMQP_FRONT_OPENING && method == AMQP_CONNECTION_OPEN_METHOD) {
        handle_open(front, arguments);
    } else {
        amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CHANNEL_ERROR, method,
                           "unexpected method in connection state %s", amqp_front_state_name(front->state));
        amqp_front_close(front, &e, now);
    }
}
