/* SPDX-License-Identifier: Apache-2.0 */

/* A front and a back speak to each other; then each hears what the other would never say. */

#include "amqp/back.h"
#include "amqp/front.h"
#include "amqp/wire.h"
#include "tests/unit/amqp/frames.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SPAN(text) ((struct amqp_span){(const uint8_t *)(text), sizeof(text) - 1})

static const struct amqp_front_config front_config = {
    .frame_max = 131072,
    .channel_max = 2047,
    .heartbeat_s = 60,
    .handshake_timeout_ms = 10000,
    .close_timeout_ms = 5000,
};

static struct amqp_back_config back_config;
static struct amqp_front front;
static struct amqp_back back;
static struct frames in;

static struct {
    char user[32];
    char password[32];
    char vhost[32];
    int logins;
    int running;
    int closes;
    int downs;
    int frames;
    char blocked[64];
    struct amqp_exception down;
    enum { AT_ONCE, LATER, NEVER } login, open; /* how the owner of the front answers */
} seen;

static void copy(char *to, struct amqp_span from)
{
    assert_true(from.len < 32);
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
}

static void on_login(struct amqp_front *f, const struct amqp_login *login)
{
    copy(seen.user, login->user);
    copy(seen.password, login->password);
    if (seen.login == AT_ONCE)
        amqp_front_login_ok(f, 0);
    else if (seen.login == NEVER)
        amqp_front_refuse_login(f, 0);
}

static void on_open(struct amqp_front *f, struct amqp_span vhost)
{
    struct amqp_exception e;
    copy(seen.vhost, vhost);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, AMQP_CONNECTION_OPEN_METHOD,
                       "vhost %s not found", seen.vhost);
    if (seen.open == AT_ONCE)
        amqp_front_open_ok(f, 0);
    else if (seen.open == NEVER)
        amqp_front_close(f, &e, 0);
}

static void on_frame(struct amqp_front *f, const struct amqp_frame *frame, uint64_t now)
{
    (void)f;
    (void)now;
    assert_int_not_equal(frame->channel, 0);
    seen.frames++;
}

static void on_close(struct amqp_front *f)
{
    (void)f;
    seen.closes++;
}

static const struct amqp_front_ops front_ops = {
    .on_login = on_login, .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

static void back_login(struct amqp_back *b)
{
    (void)b;
    seen.logins++;
}

static void back_running(struct amqp_back *b)
{
    (void)b;
    seen.running++;
}

static int back_frame(struct amqp_back *b, const struct amqp_frame *frame, struct amqp_exception *e,
                      uint64_t now)
{
    (void)b;
    (void)frame;
    (void)now;
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CHANNEL_ERROR, 0, "not mine");
    seen.frames++;
    return -1;
}

static void back_blocked(struct amqp_back *b, const char *reason)
{
    (void)b;
    strcpy(seen.blocked, reason != NULL ? reason : "unblocked");
}

static void back_down(struct amqp_back *b, const struct amqp_exception *e)
{
    assert_int_equal(b->state, AMQP_BACK_CLOSED);
    seen.down = *e;
    seen.downs++;
}

static const struct amqp_back_ops back_ops = {back_login, back_running, back_frame, back_blocked, back_down};

static int setup(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof(seen));
    in.len = 0;
    back_config = (struct amqp_back_config){
        .user = SPAN("guest"),
        .password = SPAN("secret"),
        .vhost = SPAN("/"),
        .connection_name = "host-proxy \xFF at work",
        .frame_max = 8192,
        .heartbeat_s = 10,
        .handshake_timeout_ms = 10000,
        .close_timeout_ms = 5000,
    };
    amqp_front_init(&front, &front_ops, &front_config, 0);
    amqp_back_init(&back, &back_ops, &back_config, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    amqp_front_deinit(&front);
    amqp_back_deinit(&back);
    return 0;
}

/* Moves bytes both ways in pieces of `step` until both are silent. */
static void pump(size_t step)
{
    uint8_t buf[4096];
    size_t moved;
    do {
        size_t n = amqp_back_write(&back, buf, step);
        moved = n;
        assert_int_equal(amqp_front_feed(&front, buf, n, 0), 0);
        n = amqp_front_write(&front, buf, step);
        moved += n;
        if (n > 0)
            amqp_back_feed(&back, buf, n, 0);
    } while (moved > 0);
}

/* Feeds what `in` has, and looks at the front's answer: the method of the last frame. 0: none. */
static uint32_t ask_front(uint64_t now)
{
    static uint8_t out[4096];
    const uint8_t *data = out;
    size_t len;
    struct amqp_exception e;
    struct amqp_frame_reader r;
    struct amqp_frame frame;
    uint32_t method = 0;
    amqp_front_feed(&front, in.bytes, in.len, now);
    in.len = 0;
    len = amqp_front_write(&front, out, sizeof(out));
    amqp_frame_reader_init(&r, sizeof(out));
    while (amqp_frame_reader_next(&r, &data, &len, &frame, &e) == AMQP_FRAME_WHOLE)
        method = frame.type == AMQP_FRAME_METHOD ? amqp_get_u32(frame.payload) : frame.type;
    amqp_frame_reader_deinit(&r);
    return method;
}

static void test_handshake_in_any_pieces(void **state)
{
    (void)state;
    for (size_t step = 1; step < 1200; step = step < 20 ? step + 1 : step * 3) {
        teardown(NULL);
        setup(NULL);
        pump(step);
        assert_int_equal(front.state, AMQP_FRONT_RUNNING);
        assert_int_equal(back.state, AMQP_BACK_RUNNING);
        assert_string_equal(seen.user, "guest");
        assert_string_equal(seen.password, "secret");
        assert_string_equal(seen.vhost, "/");
        assert_int_equal(seen.logins, 1);
        assert_int_equal(seen.running, 1);
        assert_int_equal(front.frame_max, 8192);
        assert_int_equal(back.frame_max, 8192);
        assert_int_equal(front.channel_max, 2047);
        assert_int_equal(front.pulse.interval_ms, 10000);
        assert_int_equal(back.pulse.interval_ms, 10000);
        assert_int_equal(front.can, AMQP_CAN_BLOCKED | AMQP_CAN_CANCEL_NOTIFY | AMQP_CAN_AUTH_FAILURE_CLOSE |
                                        AMQP_CAN_PUBLISHER_CONFIRMS | AMQP_CAN_NACK |
                                        AMQP_CAN_EXCHANGE_BINDINGS);
        assert_string_equal(back.product, "amqp-vsock " AMQPVSOCK_VERSION);
    }
}

static void test_the_owner_may_take_its_time(void **state)
{
    (void)state;
    seen.login = LATER;
    seen.open = LATER;
    pump(4096);
    assert_true(amqp_front_is_waiting(&front));
    assert_int_equal(amqp_front_deadline(&front), UINT64_MAX);
    amqp_front_login_ok(&front, 50000);
    pump(4096);
    assert_int_equal(front.state, AMQP_FRONT_VHOST);
    frames_raw(&in, AMQP_FRAME_BODY, 1, "early", 5); /* an eager client's */
    assert_int_equal(ask_front(0), 0);
    assert_int_equal(seen.frames, 0);
    amqp_front_open_ok(&front, 0);
    assert_int_equal(seen.frames, 1);
    pump(4096);
    assert_int_equal(back.state, AMQP_BACK_RUNNING);
}

static void test_wrong_password(void **state)
{
    (void)state;
    seen.login = NEVER;
    pump(4096);
    assert_int_equal(seen.downs, 1);
    assert_int_equal(seen.down.code, AMQP_CODE_ACCESS_REFUSED);
    assert_string_equal(seen.down.text,
                        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
                        "For details see the broker logfile.");
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
}

static void test_wrong_vhost(void **state)
{
    (void)state;
    seen.open = NEVER;
    pump(4096);
    assert_int_equal(seen.down.code, AMQP_CODE_NOT_ALLOWED);
    assert_string_equal(seen.down.text, "NOT_ALLOWED - vhost / not found");
    assert_int_equal(seen.down.method, AMQP_CONNECTION_OPEN_METHOD);
}

static void test_a_vhost_that_comes_later(void **state)
{
    (void)state;
    back_config.vhost = (struct amqp_span){0};
    pump(4096);
    assert_int_equal(back.state, AMQP_BACK_TUNED);
    assert_int_equal(seen.logins, 1);
    amqp_back_open(&back, SPAN("other"), 0);
    pump(4096);
    assert_int_equal(back.state, AMQP_BACK_RUNNING);
    assert_string_equal(seen.vhost, "other");
}

static void test_an_orderly_end(void **state)
{
    (void)state;
    pump(4096);
    amqp_back_close(&back, "bye", 0);
    pump(4096);
    assert_int_equal(front.state, AMQP_FRONT_WINDING_UP);
    assert_int_equal(seen.closes, 1);
    assert_int_equal(seen.downs, 0); /* only when all is freed */
    amqp_front_close_ok(&front);
    pump(4096);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
    assert_int_equal(seen.downs, 1);
    assert_int_equal(seen.down.code, AMQP_CODE_NONE);
}

static void test_a_close_from_the_broker(void **state)
{
    struct amqp_exception e;
    (void)state;
    pump(4096);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "shutdown");
    amqp_front_close(&front, &e, 0);
    assert_int_equal(front.state, AMQP_FRONT_CLOSING);
    pump(4096);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
    assert_int_equal(seen.down.code, AMQP_CODE_CONNECTION_FORCED);
    assert_string_equal(seen.down.text, "CONNECTION_FORCED - shutdown");
}

static void test_a_client_that_never_answers_our_close(void **state)
{
    struct amqp_exception e;
    (void)state;
    pump(4096);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_IMPLEMENTED, 0, "no");
    amqp_front_close(&front, &e, 1000);
    assert_int_equal(amqp_front_deadline(&front), 6000);
    amqp_front_tick(&front, 5999);
    assert_int_equal(front.state, AMQP_FRONT_CLOSING);
    amqp_front_tick(&front, 6000);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
}

static void test_blocked(void **state)
{
    (void)state;
    pump(4096);
    amqp_front_notify_blocked(&front, "low on memory");
    pump(4096);
    assert_string_equal(seen.blocked, "low on memory");
    amqp_front_notify_blocked(&front, NULL);
    pump(4096);
    assert_string_equal(seen.blocked, "unblocked");
    front.can = 0;
    amqp_front_notify_blocked(&front, "low on disk");
    pump(4096);
    assert_string_equal(seen.blocked, "unblocked");
}

static void test_heartbeats(void **state)
{
    (void)state;
    pump(4096);
    assert_int_equal(amqp_front_deadline(&front), 5000);
    assert_int_equal(amqp_back_deadline(&back), 5000);
    amqp_front_tick(&front, 5000);
    assert_int_equal(front.out.len, 8);
    amqp_back_tick(&back, 5000);
    pump(4096);
    assert_int_equal(front.state, AMQP_FRONT_RUNNING);
    amqp_front_excuse(&front, 15000);
    amqp_front_tick(&front, 34999);
    amqp_back_tick(&back, 19999);
    assert_int_equal(front.state, AMQP_FRONT_RUNNING);
    assert_int_equal(back.state, AMQP_BACK_RUNNING);
    amqp_front_tick(&front, 35000);
    amqp_back_tick(&back, 20000);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
    assert_int_equal(seen.down.code, AMQP_CODE_CONNECTION_FORCED);
}

static void test_a_silent_broker(void **state)
{
    (void)state;
    assert_int_equal(amqp_back_deadline(&back), 10000);
    amqp_back_tick(&back, 10000);
    assert_int_equal(seen.downs, 1);
    amqp_back_lost(&back, "again");
    assert_int_equal(seen.downs, 1);
}

static void test_a_silent_client(void **state)
{
    (void)state;
    assert_int_equal(amqp_front_deadline(&front), 10000);
    amqp_front_tick(&front, 10000);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
    assert_int_equal(amqp_front_deadline(&front), UINT64_MAX);
}

static void test_not_amqp(void **state)
{
    uint8_t out[64];
    (void)state;
    assert_int_equal(amqp_front_feed(&front, (const uint8_t *)"GET / HTTP/1.1", 14, 0), 0);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
    assert_int_equal(amqp_front_write(&front, out, sizeof(out)), 8);
    assert_memory_equal(out, "AMQP\0\0\x09\x01", 8);
    amqp_back_feed(&back, (const uint8_t *)"AMQP\0\1\0\0", 8, 0);
    assert_string_equal(seen.down.text, "NOT_IMPLEMENTED - the broker does not speak AMQP 0-9-1");
}

static void test_tls(void **state)
{
    (void)state;
    amqp_back_feed(&back, (const uint8_t *)"\x15\3\3\0\2\2\x0a", 7, 0); /* unexpected_message */
    assert_string_equal(seen.down.text,
                        "NOT_IMPLEMENTED - this port of the broker speaks TLS: it takes amqps");
}

static void tune(uint16_t channel_max, uint32_t frame_max)
{
    amqp_connection_start_ok_t start_ok = {.mechanism = amqp_cstring_bytes("PLAIN"),
                                           .response = {.bytes = "\0u\0p", .len = 4}};
    amqp_connection_tune_ok_t tune_ok = {.channel_max = channel_max, .frame_max = frame_max};
    teardown(NULL);
    setup(NULL);
    amqp_front_feed(&front, (const uint8_t *)"AMQP\0\0\x09\x01", 8, 0);
    frames_method(&in, 0, AMQP_CONNECTION_START_OK_METHOD, &start_ok);
    frames_method(&in, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &tune_ok);
    ask_front(0);
}

static void test_limits_of_tune_ok(void **state)
{
    (void)state;
    tune(2047, 131072);
    assert_int_equal(front.state, AMQP_FRONT_OPENING);
    tune(1, 4096);
    assert_int_equal(front.state, AMQP_FRONT_OPENING);
    tune(2048, 4096);
    assert_int_equal(front.end.code, AMQP_CODE_NOT_ALLOWED);
    assert_string_equal(front.end.text,
                        "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum "
                        "allowed value (2047)");
    tune(0, 4096);
    assert_string_equal(front.end.text,
                        "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the "
                        "maximum allowed value (2047)");
    tune(1, 4095);
    assert_string_equal(front.end.text, "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum "
                                        "allowed value (4096)");
    tune(1, 131073);
    assert_int_equal(front.end.code, AMQP_CODE_NOT_ALLOWED);
}

static void start(const char *mechanism, const char *response, size_t len)
{
    amqp_connection_start_ok_t start_ok = {
        .mechanism = amqp_cstring_bytes(mechanism),
        .response = {.bytes = (void *)(uintptr_t)response, .len = len},
    };
    teardown(NULL);
    setup(NULL);
    amqp_front_feed(&front, (const uint8_t *)"AMQP\0\0\x09\x01", 8, 0);
    frames_method(&in, 0, AMQP_CONNECTION_START_OK_METHOD, &start_ok);
    ask_front(0);
}

static void test_mechanisms(void **state)
{
    static const char amqplain[] = "\5LOGINS\0\0\0\4user\10PASSWORDS\0\0\0\4pass";
    (void)state;
    start("AMQPLAIN", amqplain, sizeof(amqplain) - 1);
    assert_int_equal(front.state, AMQP_FRONT_TUNING);
    assert_string_equal(seen.user, "user");
    assert_string_equal(seen.password, "pass");
    start("AMQPLAIN", amqplain, sizeof(amqplain) - 2);
    assert_int_equal(front.end.code, AMQP_CODE_SYNTAX_ERROR);
    start("AMQPLAIN", "", 0);
    assert_int_equal(front.end.code, AMQP_CODE_SYNTAX_ERROR);
    start("PLAIN", "\0u\0", 3);
    assert_int_equal(front.state, AMQP_FRONT_TUNING);
    assert_string_equal(seen.password, "");
    start("PLAIN", "as\0u\0p", 6);
    assert_int_equal(front.end.code, AMQP_CODE_SYNTAX_ERROR);
    start("PLAIN", "\0u\0p\0x", 6);
    assert_int_equal(front.end.code, AMQP_CODE_SYNTAX_ERROR);
    start("EXTERNAL", "", 0);
    assert_int_equal(front.end.code, AMQP_CODE_COMMAND_INVALID);
    assert_int_equal(front.state, AMQP_FRONT_CLOSING);
}

static void assert_closes(enum amqp_code code)
{
    assert_int_equal(ask_front(0), AMQP_CONNECTION_CLOSE_METHOD);
    assert_int_equal(front.end.code, code);
    assert_int_equal(front.state, AMQP_FRONT_CLOSING);
    teardown(NULL);
    setup(NULL);
    pump(4096);
}

static void test_what_a_client_must_not_say_on_channel_0(void **state)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    amqp_connection_open_t again = {.virtual_host = amqp_cstring_bytes("/")};
    (void)state;
    pump(4096);
    frames_method(&in, 0, AMQP_CHANNEL_OPEN_METHOD, &open);
    assert_closes(AMQP_CODE_CHANNEL_ERROR);
    frames_method(&in, 0, AMQP_CONNECTION_OPEN_METHOD, &again);
    assert_closes(AMQP_CODE_CHANNEL_ERROR);
    frames_raw(&in, AMQP_FRAME_METHOD, 0, "\0\x0A\0\x46\0\0\0\1s\1r", 11); /* update-secret */
    assert_closes(AMQP_CODE_NOT_IMPLEMENTED);
    frames_raw(&in, AMQP_FRAME_METHOD, 0, "\0\x0A\0\x63", 4);
    assert_closes(AMQP_CODE_NOT_IMPLEMENTED);
    frames_raw(&in, AMQP_FRAME_METHOD, 0, "\0\x0A\0", 3);
    assert_closes(AMQP_CODE_FRAME_ERROR);
    frames_raw(&in, AMQP_FRAME_HEARTBEAT, 0, "x", 1);
    assert_closes(AMQP_CODE_FRAME_ERROR);
    frames_raw(&in, AMQP_FRAME_HEADER, 0, "0123456789ab", 12);
    assert_closes(AMQP_CODE_UNEXPECTED_FRAME);
    in.bytes[in.len++] = 9;
    memset(in.bytes + in.len, 0, 6);
    in.len += 6;
    assert_closes(AMQP_CODE_FRAME_ERROR);
    frames_raw(&in, AMQP_FRAME_HEARTBEAT, 0, "", 0);
    assert_int_equal(ask_front(0), 0);
    assert_int_equal(front.state, AMQP_FRONT_RUNNING);
}

static void test_both_close_at_once(void **state)
{
    amqp_connection_close_t close = {.reply_code = 200};
    amqp_connection_close_ok_t close_ok = {0};
    struct amqp_exception e;
    (void)state;
    pump(4096);
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_IMPLEMENTED, 0, "no");
    amqp_front_close(&front, &e, 0);
    frames_method(&in, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    assert_int_equal(ask_front(0), AMQP_CONNECTION_CLOSE_OK_METHOD);
    assert_int_equal(seen.closes, 0);
    frames_method(&in, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &close_ok);
    assert_int_equal(ask_front(0), 0);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
}

static void test_nothing_is_told_before_start_ok(void **state)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    (void)state;
    amqp_front_feed(&front, (const uint8_t *)"AMQP\0\0\x09\x01", 8, 0);
    ask_front(0);
    frames_method(&in, 1, AMQP_CHANNEL_OPEN_METHOD, &open);
    assert_int_equal(ask_front(0), 0);
    assert_int_equal(front.state, AMQP_FRONT_CLOSED);
}

static void test_a_broker_that_can_not_be_understood(void **state)
{
    amqp_channel_open_ok_t open_ok = {.channel_id = amqp_empty_bytes};
    (void)state;
    pump(4096);
    frames_method(&in, 1, AMQP_CHANNEL_OPEN_OK_METHOD, &open_ok);
    amqp_back_feed(&back, in.bytes, in.len, 0);
    assert_int_equal(seen.frames, 1);
    assert_string_equal(seen.down.text, "CHANNEL_ERROR - not mine");
    assert_int_equal(seen.downs, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_in_any_pieces),
        TEST(test_the_owner_may_take_its_time),
        TEST(test_wrong_password),
        TEST(test_wrong_vhost),
        TEST(test_a_vhost_that_comes_later),
        TEST(test_an_orderly_end),
        TEST(test_a_close_from_the_broker),
        TEST(test_a_client_that_never_answers_our_close),
        TEST(test_blocked),
        TEST(test_heartbeats),
        TEST(test_a_silent_broker),
        TEST(test_a_silent_client),
        TEST(test_not_amqp),
        TEST(test_tls),
        TEST(test_limits_of_tune_ok),
        TEST(test_mechanisms),
        TEST(test_what_a_client_must_not_say_on_channel_0),
        TEST(test_both_close_at_once),
        TEST(test_nothing_is_told_before_start_ok),
        TEST(test_a_broker_that_can_not_be_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
