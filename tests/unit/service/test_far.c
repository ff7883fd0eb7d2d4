/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a far edge: which one an OPEN means, how each refusal is told, what is counted, and who
 * pays when detached sessions hold too much. Links are real; their other ends are played frame by frame. The
 * sessions' owner is a double that does no more than its duty.
 */
#include "service/far.h"

#include "tests/unit/mux/kit/pattern.h"
#include "tests/unit/mux/kit/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LINKS  4u
#define WINDOW 131072u
#define BUDGET 1000u

struct edge {
    struct far_session far;
    struct mux_session session;
    size_t held;
    enum mux_code closed; /* why; MUX_OK: it is not */
};

static uv_loop_t loop;
static struct far_set set;
static struct far_config config;
static struct mux_link_config link_config;
static struct mux_link links[LINKS];
static struct kit_peer peers[LINKS];
static uint32_t numbers[LINKS];    /* of the last OPEN on each: none is used twice */
static struct far_session *opened; /* what the last far_open gave */
static enum mux_code refusal;      /* of the owner, when it is asked for a session; MUX_OK: it makes one */

/* ── The owner ── */

static struct edge *of_session(struct mux_session *session)
{
    return (struct edge *)((char *)session - offsetof(struct edge, session));
}

static struct edge *of_far(struct far_session *far)
{
    return (struct edge *)((char *)far - offsetof(struct edge, far));
}

static void on_attached(struct mux_session *session)
{
    far_session_attached(&of_session(session)->far);
}

static void on_detached(struct mux_session *session, enum mux_code code, const char *reason)
{
    far_session_detached(&of_session(session)->far, code, reason);
}

static void on_closed(struct mux_session *session, enum mux_code code, const char *reason)
{
    of_session(session)->closed = code;
    far_session_closed(&of_session(session)->far, code, reason);
}

static void on_data(struct mux_session *session, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    (void)session, (void)chunk, (void)data, (void)len;
}

static void ignore(struct mux_session *session)
{
    (void)session;
}

static const struct mux_session_ops session_ops = {
    .on_data = on_data,
    .on_fin = ignore,
    .on_space = ignore,
    .on_attached = on_attached,
    .on_detached = on_detached,
    .on_closed = on_closed,
    .on_timer = ignore,
};

static enum mux_code create(struct far_set *of, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object, struct far_session **made)
{
    struct edge *edge;
    enum mux_code code;

    if (refusal != MUX_OK)
        return refusal;
    edge = calloc(1, sizeof(*edge));
    mux_session_init_far(&edge->session, &session_ops, &of->config.session, open->token, uv_now(&loop));
    code = far_session_begin(of, &edge->far, &edge->session, link, number, open, object, "amqp");
    assert_int_equal(code, MUX_OK);
    *made = &edge->far;
    return code;
}

static struct far_session *far_of(struct mux_session *session)
{
    return &of_session(session)->far;
}

static size_t held(struct far_session *far)
{
    return of_far(far)->held;
}

static const struct far_ops ops = {.create = create, .of_session = far_of, .held = held};

static void forget(struct far_session *far)
{
    struct edge *edge = of_far(far);

    mux_session_deinit(&edge->session);
    far_session_gone(far);
    free(edge);
}

/* ── Links ── */

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    (void)now;
    opened = far_open(&set, link, number, open, "guest=101", NULL);
}

static void on_output(struct mux_link *link)
{
    (void)link;
}

static const struct mux_link_ops link_ops = {.on_open = on_open, .on_output = on_output};

static int set_up(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    config = (struct far_config){
        .session = {.window_bytes = WINDOW, .ack_delay_ms = FAR_ACK_DELAY_MS, .detach_timeout_ms = 60000},
        .detached_memory_bytes = BUDGET,
        .max_sessions = 2};
    far_set_init(&set, &loop, &config, &ops);
    link_config = (struct mux_link_config){.name = "tested"};
    for (unsigned i = 0; i < LINKS; i++) {
        mux_link_init(&links[i], &link_ops, &link_config, uv_now(&loop));
        kit_peer_init(&peers[i], &links[i]);
        assert_int_equal(kit_peer_hello(&peers[i], MUX_ROLE_HOST, uv_now(&loop)), 0);
        kit_peer_listen(&peers[i], uv_now(&loop));
        kit_peer_expect(&peers[i], MUX_HELLO, 0);
    }
    memset(numbers, 0, sizeof(numbers));
    opened = NULL;
    refusal = MUX_OK;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LINKS; i++) {
        mux_link_deinit(&links[i], uv_now(&loop));
        kit_peer_deinit(&peers[i]);
    }
    while (!TAILQ_EMPTY(&set.sessions))
        forget(TAILQ_FIRST(&set.sessions));
    far_set_close(&set);
    uv_run(&loop, UV_RUN_DEFAULT);
    far_set_deinit(&set);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* ── Steps ── */

static struct mux_open open_of(char token, uint32_t attempt)
{
    struct mux_open open = {.attempt = attempt,
                            .resume = attempt > 1,
                            .received_digest = kit_pattern_digest(1, 0),
                            .max_data = WINDOW};

    memset(open.token, token, sizeof(open.token));
    return open;
}

/* The peer of link `i` says OPEN. Returns the session, or NULL. */
static struct far_session *say_open(unsigned i, char token, uint32_t attempt)
{
    const struct mux_open open = open_of(token, attempt);

    opened = NULL;
    assert_int_equal(kit_peer_open(&peers[i], ++numbers[i], &open, uv_now(&loop)), 0);
    kit_peer_listen(&peers[i], uv_now(&loop));
    return opened;
}

static struct far_session *open_one(unsigned i, char token)
{
    struct far_session *far = say_open(i, token, 1);

    assert_non_null(far);
    kit_peer_expect(&peers[i], MUX_OPEN_OK, numbers[i]);
    return far;
}

/* The peer was told this, as it stands in the protocol. */
static void expect_refusal(unsigned i, enum mux_code code, const char *reason)
{
    const struct kit_frame *frame = kit_peer_expect(&peers[i], MUX_RESET, numbers[i]);

    assert_int_equal(frame->code, code);
    assert_string_equal(frame->text, reason);
}

static void assert_refused(unsigned i, char token, uint32_t attempt, enum mux_code code)
{
    assert_null(say_open(i, token, attempt));
    expect_refusal(i, code, mux_code_text(code));
}

/* It is over, and time goes on until that is settled. */
static enum mux_code how_it_ended(struct far_session *far)
{
    mux_session_tick(far->session, mux_session_deadline(far->session));
    return of_far(far)->closed;
}

static uint64_t counted(enum far_count what)
{
    return set.counts[what].value;
}

static void break_link(unsigned i)
{
    mux_link_close(&links[i], MUX_TRY_LATER, "reset", uv_now(&loop));
}

/* ── Tests ── */

static void test_a_session_is_made(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    assert_string_equal(far->object, "guest=101 session=61616161");
    assert_ptr_equal(far->session, &of_far(far)->session);
    assert_int_equal(set.session_count, 1);
    assert_int_equal(counted(FAR_SESSIONS), 1);
    assert_int_equal(counted(FAR_REFUSED), 0);
}

static void test_refusals_of_new_sessions(void **state)
{
    (void)state;
    refusal = MUX_UNKNOWN_SERVICE; /* the owner's word */
    assert_refused(0, 'a', 1, MUX_UNKNOWN_SERVICE);
    refusal = MUX_OK;
    open_one(0, 'b');
    open_one(1, 'c');
    assert_refused(2, 'd', 1, MUX_SESSION_LIMIT);
    set.draining = true;
    assert_refused(2, 'd', 1, MUX_TRY_LATER);
    assert_int_equal(counted(FAR_REFUSED), 3);
    assert_int_equal(counted(FAR_SESSIONS), 2);
    assert_int_equal(counted(FAR_RESUMES_REFUSED), 0);
}

static void test_there_is_room_again(void **state)
{
    struct far_session *first = open_one(0, 'a');

    (void)state;
    open_one(1, 'b');
    mux_session_reset(first->session, MUX_KILLED, NULL, uv_now(&loop));
    assert_int_equal(how_it_ended(first), MUX_KILLED);
    assert_refused(2, 'c', 1, MUX_SESSION_LIMIT); /* what it held is not free yet */
    forget(first);
    open_one(2, 'd');
}

static void test_break_and_resume(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    break_link(0);
    assert_int_equal(far->session->state, MUX_SESSION_DETACHED);
    assert_true(far->detached.is_in);
    set.draining = true; /* that is about new ones */
    assert_ptr_equal(say_open(1, 'a', 2), far);
    kit_peer_expect(&peers[1], MUX_OPEN_OK, numbers[1]);
    assert_false(far->detached.is_in);
    assert_int_equal(counted(FAR_DETACHES), 1);
    assert_int_equal(counted(FAR_RESUMES), 1);
    assert_int_equal(counted(FAR_SESSIONS), 1);
}

static void test_a_stale_attempt_takes_nothing_over(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    assert_ptr_equal(say_open(1, 'a', 3), far);
    kit_peer_expect(&peers[1], MUX_OPEN_OK, numbers[1]);
    assert_refused(2, 'a', 2, MUX_STALE_ATTEMPT);
    assert_int_equal(far->session->state, MUX_SESSION_ATTACHED);
    assert_int_equal(counted(FAR_RESUMES_REFUSED), 1);
}

static void test_nobody_knows_it(void **state)
{
    (void)state;
    assert_refused(0, 'x', 2, MUX_UNKNOWN_SESSION);
    assert_int_equal(counted(FAR_RESUMES_REFUSED), 1);
    assert_int_equal(set.session_count, 0);
}

/* Who comes back too late learns how it ended, in the words of then. */
static void test_the_end_is_remembered(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    mux_session_reset(far->session, MUX_KILLED, "by somebody", uv_now(&loop));
    assert_int_equal(how_it_ended(far), MUX_KILLED);
    forget(far);
    assert_null(say_open(1, 'a', 2));
    expect_refusal(1, MUX_KILLED, "by somebody");
}

static void test_nobody_resumed_in_time(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    break_link(0);
    assert_int_equal(how_it_ended(far), MUX_SESSION_EXPIRED);
    assert_false(far->detached.is_in);
    assert_int_equal(counted(FAR_EXPIRED), 1);
}

static void test_the_longest_detached_pays(void **state)
{
    struct far_session *first = open_one(0, 'a');
    struct far_session *second = open_one(1, 'b');

    (void)state;
    of_far(first)->held = 400;
    of_far(second)->held = BUDGET - 400;
    break_link(0);
    break_link(1);
    assert_int_equal(set.detached.bytes, BUDGET);
    assert_int_equal(counted(FAR_EXPIRED), 0);
    far_session_account(second, 1);
    assert_int_equal(how_it_ended(first), MUX_SESSION_EXPIRED);
    assert_int_equal(of_far(second)->closed, MUX_OK);
    assert_int_equal(counted(FAR_EXPIRED), 1);
    assert_null(say_open(2, 'a', 2));
    expect_refusal(2, MUX_SESSION_EXPIRED,
                   "ended while detached: the memory for detached sessions is used up");
}

static void test_what_is_attached_does_not_count(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    of_far(far)->held = 2 * BUDGET;
    far_session_account(far, BUDGET);
    assert_int_equal(set.detached.bytes, 0);
    assert_int_equal(of_far(far)->closed, MUX_OK);
}

/* A session alone may be too much already. */
static void test_one_that_holds_more_than_all_may(void **state)
{
    struct far_session *far = open_one(0, 'a');

    (void)state;
    of_far(far)->held = BUDGET + 1;
    break_link(0);
    assert_int_equal(how_it_ended(far), MUX_SESSION_EXPIRED);
    assert_int_equal(set.detached.bytes, 0);
    assert_int_equal(counted(FAR_DETACHES), 1);
    assert_int_equal(counted(FAR_EXPIRED), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_session_is_made),
        TEST(test_refusals_of_new_sessions),
        TEST(test_there_is_room_again),
        TEST(test_break_and_resume),
        TEST(test_a_stale_attempt_takes_nothing_over),
        TEST(test_nobody_knows_it),
        TEST(test_the_end_is_remembered),
        TEST(test_nobody_resumed_in_time),
        TEST(test_the_longest_detached_pays),
        TEST(test_what_is_attached_does_not_count),
        TEST(test_one_that_holds_more_than_all_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
