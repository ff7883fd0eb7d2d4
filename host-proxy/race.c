/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: the first node is dialled, greets and accepts the login; its hub runs until race_end.
 *
 * What can go wrong: a node can't be reached, hangs up or talks nonsense (it is noted, and the next one is
 * tried); one is silent (another is tried beside it, and either may win); one refuses the user (they would
 * all: the others are given up); none is left (on_down); the winner is lost (on_down).
 */
#include "host-proxy/race.h"

#include "mux/uv/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum attempt_state {
    ATTEMPT_DIALING,
    ATTEMPT_GREETING,
    ATTEMPT_WON,
    ATTEMPT_OVER, /* its socket is closing */
};

struct race_attempt {
    TAILQ_ENTRY(race_attempt) entry; /* DIALING, GREETING */
    struct race *race;
    enum attempt_state state;
    struct node *node;
    struct net_dialer *dialer;   /* DIALING */
    struct amqp_uv_hub uv_hub;   /* later */
    char peer[2 * NET_NAME_MAX]; /* who was reached */
};

static struct race_attempt *attempt_of(struct amqp_uv_hub *uv_hub)
{
    return (struct race_attempt *)((char *)uv_hub - offsetof(struct race_attempt, uv_hub));
}

/* ── Endings ── */

static void closed_one(struct race *race)
{
    if (--race->handles == 0)
        race->ops->on_closed(race);
}

static void leave_course(struct race_attempt *attempt)
{
    TAILQ_REMOVE(&attempt->race->trying, attempt, entry);
    attempt->state = ATTEMPT_OVER;
}

static void give_up(struct race_attempt *attempt, const char *reason)
{
    struct race *race = attempt->race;
    const bool has_socket = attempt->state == ATTEMPT_GREETING;

    leave_course(attempt);
    if (has_socket) {
        amqp_uv_hub_abort(&attempt->uv_hub, reason);
        return;
    }
    if (attempt->dialer != NULL)
        net_dial_cancel(attempt->dialer);
    free(attempt);
    closed_one(race);
}

static void set_state(struct race *race, enum race_state state)
{
    race->state = state;
    uv_timer_stop(&race->hurry);
    node_round_end(&race->round);
}

static void give_up_all(struct race *race, const char *reason)
{
    while (!TAILQ_EMPTY(&race->trying))
        give_up(TAILQ_FIRST(&race->trying), reason);
}

/* Nobody has won, or not for longer. */
static void lose(struct race *race, const struct amqp_exception *e)
{
    set_state(race, RACE_IDLE);
    give_up_all(race, "another node has refused");
    race->ops->on_down(race, e);
}

/* ── Trying one ── */

static void on_dialed(void *ctx, int fd, const char *text);

/* 0 or -1: out of memory. */
static int try_node(struct race *race, struct node *node)
{
    struct race_attempt *attempt = calloc(1, sizeof(*attempt));

    if (attempt == NULL)
        return -1;
    attempt->race = race;
    attempt->node = node;
    if (net_dial(&attempt->dialer, race->config.mux_loop->loop, &node->address, race->config.dial_timeout_ms,
                 on_dialed, attempt) < 0) {
        free(attempt);
        return -1;
    }
    TAILQ_INSERT_TAIL(&race->trying, attempt, entry);
    race->handles++;
    return 0;
}

/* Has something been heard of it, at least by the kernel? */
static bool is_alive(const struct race_attempt *attempt)
{
    const struct amqp_uv_hub *uv_hub = &attempt->uv_hub;

    return attempt->state == ATTEMPT_GREETING &&
           (uv_hub->hub.back.state > AMQP_BACK_STARTING || amqp_uv_hub_has_unread(uv_hub));
}

static bool is_anybody_alive(const struct race *race)
{
    const struct race_attempt *attempt;

    TAILQ_FOREACH (attempt, &race->trying, entry)
        if (is_alive(attempt))
            return true;
    return false;
}

/* Unless one is alive, or all were tried already. */
static void try_another(struct race *race)
{
    struct node *node = is_anybody_alive(race) ? NULL : node_round_next(&race->round);

    if (node != NULL)
        (void)try_node(race, node); /* without memory this one is passed over */
}

static uint64_t now_ms(const struct race *race)
{
    return uv_now(race->config.mux_loop->loop);
}

/* Other races are to avoid those that are silent, too. */
static void on_hurry(uv_timer_t *timer)
{
    struct race *race = timer->data;
    struct race_attempt *attempt;

    TAILQ_FOREACH (attempt, &race->trying, entry)
        if (!is_alive(attempt))
            node_avoid(attempt->node, now_ms(race));
    try_another(race);
}

/* One has failed and left the course. */
static void go_on(struct race *race)
{
    struct amqp_exception e;

    uv_timer_again(&race->hurry);
    try_another(race);
    if (!TAILQ_EMPTY(&race->trying))
        return;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "%s", race->round.failures);
    lose(race, &e);
}

/* ── The hub of one ── */

static void hub_on_login(struct amqp_uv_hub *uv_hub)
{
    struct race_attempt *attempt = attempt_of(uv_hub);
    struct race *race = attempt->race;

    TAILQ_REMOVE(&race->trying, attempt, entry);
    attempt->state = ATTEMPT_WON;
    race->winner = attempt;
    node_trust(attempt->node);
    set_state(race, RACE_WON);
    give_up_all(race, "another node was faster");
    race->ops->on_login(race);
}

static void hub_on_running(struct amqp_uv_hub *uv_hub)
{
    struct race *race = attempt_of(uv_hub)->race;

    race->ops->on_running(race);
}

static void hub_on_suspect(struct amqp_uv_hub *uv_hub, struct amqp_member *member,
                           const struct amqp_method_spec *method)
{
    struct race *race = attempt_of(uv_hub)->race;

    race->ops->on_suspect(race, member, method);
}

static void hub_on_hush_given_up(struct amqp_uv_hub *uv_hub)
{
    struct race *race = attempt_of(uv_hub)->race;

    race->ops->on_hush_given_up(race);
}

bool race_is_refusal(const struct amqp_exception *e)
{
    return e->code == AMQP_CODE_ACCESS_REFUSED || e->code == AMQP_CODE_NOT_ALLOWED ||
           e->code == AMQP_CODE_INVALID_PATH;
}

/* A node was reached, and did not accept the login. */
static void fail_greeting(struct race_attempt *attempt, const struct amqp_exception *e)
{
    struct race *race = attempt->race;
    char text[sizeof(attempt->peer) + 256];

    leave_course(attempt);
    if (race_is_refusal(e)) {
        lose(race, e);
        return;
    }
    snprintf(text, sizeof(text), "%s: %s", attempt->peer, amqp_exception_cause(e));
    node_round_failed(&race->round, attempt->node, text, now_ms(race));
    go_on(race);
}

static void hub_on_down(struct amqp_uv_hub *uv_hub, const struct amqp_exception *e)
{
    struct race_attempt *attempt = attempt_of(uv_hub);
    struct race *race = attempt->race;

    if (attempt->state == ATTEMPT_GREETING) {
        fail_greeting(attempt, e);
    } else if (attempt->state == ATTEMPT_WON) {
        attempt->state = ATTEMPT_OVER;
        race->winner = NULL;
        race->opened = uv_hub->hub.opened;
        if (race->state == RACE_WON)
            lose(race, e);
    }
}

static void hub_on_closed(struct amqp_uv_hub *uv_hub)
{
    struct race_attempt *attempt = attempt_of(uv_hub);
    struct race *race = attempt->race;

    free(attempt);
    closed_one(race);
}

static const struct amqp_uv_hub_ops hub_ops = {
    .on_login = hub_on_login,
    .on_running = hub_on_running,
    .on_suspect = hub_on_suspect,
    .on_hush_given_up = hub_on_hush_given_up,
    .on_down = hub_on_down,
    .on_closed = hub_on_closed,
};

/* ── From dialling to the hub ── */

static void fail_dialing(struct race_attempt *attempt, const char *text)
{
    struct race *race = attempt->race;

    node_round_failed(&race->round, attempt->node, text, now_ms(race));
    give_up(attempt, text);
    go_on(race);
}

static void on_dialed(void *ctx, int fd, const char *text)
{
    struct race_attempt *attempt = ctx;
    const struct race_config *config = &attempt->race->config;
    char failure[2 * NET_NAME_MAX + 128];
    int rc;

    attempt->dialer = NULL;
    if (fd < 0) {
        fail_dialing(attempt, text);
        return;
    }
    mux_uv_link_tune(fd);
    rc = amqp_uv_hub_open(&attempt->uv_hub, config->mux_loop, fd, &hub_ops, config->hub);
    if (rc < 0) {
        snprintf(failure, sizeof(failure), "%s: %s", text, uv_strerror(rc));
        fail_dialing(attempt, failure);
        return;
    }
    attempt->state = ATTEMPT_GREETING;
    snprintf(attempt->peer, sizeof(attempt->peer), "%s", text);
    if (config->tls != NULL &&
        mux_uv_tls_connect(config->tls, &attempt->uv_hub.stream, attempt->node->address.host) < 0)
        amqp_uv_hub_abort(&attempt->uv_hub, "out of memory");
}

/* ── From outside ── */

void race_init(struct race *race, const struct race_config *config, const struct race_ops *ops)
{
    *race = (struct race){.ops = ops, .config = *config, .handles = 1};
    TAILQ_INIT(&race->trying);
    uv_timer_init(config->mux_loop->loop, &race->hurry);
    race->hurry.data = race;
}

int race_start(struct race *race)
{
    assert(race->state == RACE_IDLE);
    if (node_round_begin(&race->round, race->config.nodes, now_ms(race)) < 0)
        return -1;
    if (try_node(race, node_round_next(&race->round)) < 0) {
        node_round_end(&race->round);
        return -1;
    }
    race->state = RACE_TRYING;
    uv_timer_start(&race->hurry, on_hurry, RACE_HURRY_MS, RACE_HURRY_MS);
    return 0;
}

struct amqp_uv_hub *race_hub(const struct race *race)
{
    return race->winner != NULL ? &race->winner->uv_hub : NULL;
}

const char *race_peer(const struct race *race)
{
    return race->winner->peer;
}

static void on_timer_closed(uv_handle_t *handle)
{
    closed_one(handle->data);
}

void race_end(struct race *race, const char *reason)
{
    if (race->state == RACE_ENDED)
        return;
    set_state(race, RACE_ENDED);
    give_up_all(race, reason);
    uv_close((uv_handle_t *)&race->hurry, on_timer_closed);
    if (race->winner != NULL)
        amqp_uv_hub_close(&race->winner->uv_hub, reason);
}

void race_abort(struct race *race, const char *reason)
{
    race_end(race, reason);
    if (race->winner != NULL)
        amqp_uv_hub_abort(&race->winner->uv_hub, reason);
}

struct race *race_of(struct amqp_hub *hub)
{
    return attempt_of(amqp_uv_hub_of(hub))->race;
}
