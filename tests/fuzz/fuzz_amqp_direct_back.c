/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: | settings | a program of steps, | step | argument | bytes … | … |.
 *
 * A broker that has lost its mind, or is none, speaks to the client's side of a connection. Whatever it says
 * and when, the state goes on only, the end is told once, what is due is done in time, and what is said to
 * the broker is well framed and in order.
 */

#include "amqp/back.h"
#include "amqp/scanner.h"
#include "tests/unit/amqp/frames.h"
#include "tests/unit/amqp/require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SPAN(text) ((struct amqp_span){(const uint8_t *)(text), sizeof(text) - 1})

/* A bit for each of the settings. */
enum { WITH_VHOST_LATE = 1, WITH_NAME = 2, WITH_LONG_PASSWORD = 4, WITH_LIMITS = 8, WITH_OWN_CLOSE = 16 };

enum { CONFUSING_CHANNEL = 7 };

static struct {
    struct amqp_back_config config;
    struct amqp_back back;
    struct frames f;
    struct amqp_scanner said; /* to the broker */
    enum amqp_back_state state;
    uint64_t now;
    bool closes_itself; /* when it runs */
    unsigned downs;
} run;

/* --- the owner --- */

static void on_login(struct amqp_back *back)
{
    REQUIRE(back->state == AMQP_BACK_TUNED);
}

static void on_running(struct amqp_back *back)
{
    REQUIRE(back->state == AMQP_BACK_RUNNING && back->channel_max > 0 && back->frame_max >= 4096);
    if (run.closes_itself)
        amqp_back_close(back, "that was all", run.now);
}

static int on_frame(struct amqp_back *back, const struct amqp_frame *frame, struct amqp_exception *e,
                    uint64_t now)
{
    (void)now;
    REQUIRE(back->state == AMQP_BACK_RUNNING && frame->channel != 0);
    if (frame->channel != CONFUSING_CHANNEL)
        return 0;
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_UNEXPECTED_FRAME, 0, "confused");
    return -1;
}

static void on_blocked(struct amqp_back *back, const char *reason)
{
    (void)reason;
    REQUIRE(back->state == AMQP_BACK_RUNNING);
}

static void on_down(struct amqp_back *back, const struct amqp_exception *e)
{
    REQUIRE(back->state == AMQP_BACK_CLOSED && memchr(e->text, '\0', sizeof(e->text)) != NULL);
    run.downs++;
}

static const struct amqp_back_ops ops = {.on_login = on_login,
                                         .on_running = on_running,
                                         .on_frame = on_frame,
                                         .on_blocked = on_blocked,
                                         .on_down = on_down};

/* --- the broker --- */

static void say(void)
{
    amqp_back_feed(&run.back, run.f.bytes, run.f.len, run.now);
    run.f.len = 0;
}

static void say_start(const char *mechanisms)
{
    amqp_connection_start_t start = {.version_minor = 9,
                                     .mechanisms = amqp_cstring_bytes(mechanisms),
                                     .locales = amqp_cstring_bytes("en_US")};
    frames_method(&run.f, 0, AMQP_CONNECTION_START_METHOD, &start);
    say();
}

static void say_tune(uint8_t argument)
{
    amqp_connection_tune_t tune = {.channel_max = argument & 1 ? 2047 : 0,
                                   .frame_max = argument & 2 ? 131072 : 0,
                                   .heartbeat = argument & 4 ? 60 : 0};
    frames_method(&run.f, 0, AMQP_CONNECTION_TUNE_METHOD, &tune);
    say();
}

/* Those of RUNNING, and what leads there. */
static void say_method(uint32_t method)
{
    union {
        amqp_connection_open_ok_t open_ok;
        amqp_connection_close_t close;
        amqp_connection_blocked_t blocked;
    } decoded = {.open_ok = {.known_hosts = amqp_empty_bytes}};
    if (method == AMQP_CONNECTION_CLOSE_METHOD)
        decoded.close = (amqp_connection_close_t){.reply_code = 320, .reply_text = amqp_cstring_bytes("why")};
    else if (method == AMQP_CONNECTION_BLOCKED_METHOD)
        decoded.blocked.reason = amqp_cstring_bytes("low on memory");
    frames_method(&run.f, 0, method, &decoded);
    say();
}

static void pass_time(uint8_t argument)
{
    run.now += argument * 1000u;
    if (argument & 1)
        amqp_back_excuse(&run.back, run.now);
    amqp_back_tick(&run.back, run.now);
    REQUIRE(run.back.state == AMQP_BACK_CLOSED || amqp_back_deadline(&run.back) > run.now);
}

/* Returns how much of the data the step has used. */
static size_t step(uint8_t what, uint8_t argument, const uint8_t *data, size_t left)
{
    static const char *const mechanisms[] = {"AMQPLAIN PLAIN", "PLAIN", "PLAINER AMQPLAIN", "PLAIN EXTERNAL"};
    const size_t len = argument < left ? argument : left;
    switch (what % 14) {
    case 0: amqp_back_feed(&run.back, data, len, run.now); return len;
    case 1:
        frames_raw(&run.f, AMQP_FRAME_METHOD, 0, data, len);
        say();
        return len;
    case 2: frames_raw(&run.f, argument % 9, argument / 9 % 8, "hello", 5); break;
    case 3: say_start(mechanisms[argument % 4]); return 0;
    case 4: say_tune(argument); return 0;
    case 5: say_method(AMQP_CONNECTION_OPEN_OK_METHOD); return 0;
    case 6: say_method(AMQP_CONNECTION_CLOSE_METHOD); return 0;
    case 7: say_method(AMQP_CONNECTION_CLOSE_OK_METHOD); return 0;
    case 8: say_method(AMQP_CONNECTION_BLOCKED_METHOD); return 0;
    case 9: say_method(AMQP_CONNECTION_UNBLOCKED_METHOD); return 0;
    case 10: pass_time(argument); return 0;
    case 11: amqp_back_open(&run.back, SPAN("/late"), run.now); return 0;
    case 12: amqp_back_close(&run.back, "no more", run.now); return 0;
    default: amqp_back_lost(&run.back, "reset by peer"); return 0;
    }
    say();
    return 0;
}

/* --- what must hold --- */

static void check(void)
{
    uint8_t buf[512];
    size_t len;
    while ((len = amqp_back_write(&run.back, buf, sizeof(buf))) > 0) {
        amqp_scanner_feed(&run.said, buf, len, NULL, NULL);
        amqp_back_sent(&run.back, run.now);
    }
    REQUIRE(run.said.state == AMQP_SCANNER_FRAMES && run.said.boundary_off == run.said.fed_off);
    REQUIRE(run.back.state >= run.state && amqp_back_state_name(run.back.state) != NULL);
    REQUIRE(run.downs == (run.back.state == AMQP_BACK_CLOSED));
    REQUIRE(!(run.said.seen & AMQP_SEEN_START_OK) || run.back.state >= AMQP_BACK_LOGIN);
    run.state = run.back.state;
}

static void begin(uint8_t settings)
{
    static const uint8_t long_password[4000] = {'p'};
    memset(&run, 0, sizeof(run));
    run.config = (struct amqp_back_config){
        .user = SPAN("u"),
        .password = SPAN("p"),
        .vhost = settings & WITH_VHOST_LATE ? (struct amqp_span){0} : SPAN("/"),
        .connection_name = settings & WITH_NAME ? "host\n\xFF 7" : NULL,
        .frame_max = settings & WITH_LIMITS ? 8192 : 0,
        .channel_max = settings & WITH_LIMITS ? 100 : 0,
        .heartbeat_s = settings & WITH_LIMITS ? 10 : 0,
        .handshake_timeout_ms = 10000,
        .close_timeout_ms = 5000,
    };
    if (settings & WITH_LONG_PASSWORD)
        run.config.password = (struct amqp_span){long_password, sizeof(long_password)};
    run.closes_itself = settings & WITH_OWN_CLOSE;
    amqp_scanner_init(&run.said, AMQP_FROM_CLIENT);
    amqp_back_init(&run.back, &ops, &run.config, 0);
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    begin(data[0]);
    for (size_t at = 1; at + 2 <= size;) {
        at += 2 + step(data[at], data[at + 1], data + at + 2, size - at - 2);
        check();
    }
    amqp_back_lost(&run.back, "the end");
    check();
    REQUIRE(run.downs == 1);
    amqp_back_deinit(&run.back);
    return 0;
}
