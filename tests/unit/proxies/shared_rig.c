/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proxies/shared_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 30000u

uv_loop_t rig_loop;
struct fake_node rig_nodes[RIG_NODES];
struct node_set rig_set;
struct pool rig_pool;
struct rig_client rig_clients[RIG_CLIENTS];
struct credentials *rig_alice;
unsigned rig_empties;

static struct mux_uv_loop mux_loop;
static struct node nodes[RIG_NODES];
static uv_timer_t beat; /* so that the loop looks again now and then */
static struct guest_entry guest = {.name = "guest=101"};

/* ── Clients ── */

static struct rig_client *client_of(struct shared_waiter *waiter)
{
    return (struct rig_client *)((char *)waiter - offsetof(struct rig_client, waiter));
}

static void note_answer(struct rig_client *client, enum pool_answer answer, const struct pool_hubs *hubs)
{
    client->answer = answer;
    if (answer != POOL_YES)
        return;
    client->hubs++;
    client->hub = hubs->main;
    client->publishing = hubs->publishing;
}

static void ask_for_vhost(struct rig_client *client)
{
    struct pool_hubs hubs;
    const struct amqp_span vhost = {.data = (const uint8_t *)client->vhost, .len = strlen(client->vhost)};

    note_answer(client, pool_open(&rig_pool, &client->waiter, rig_alice, &guest, vhost, &hubs), &hubs);
}

static void on_login(struct shared_waiter *waiter)
{
    struct rig_client *client = client_of(waiter);

    client->logins++;
    if (client->vhost != NULL)
        ask_for_vhost(client);
}

static void on_running(struct shared_waiter *waiter, struct shared *shared)
{
    struct pool_hubs hubs;

    note_answer(client_of(waiter), pool_join(&rig_pool, waiter, shared, &hubs), &hubs);
}

static void on_refused(struct shared_waiter *waiter, const struct amqp_exception *e)
{
    client_of(waiter)->refusals++;
    client_of(waiter)->why = *e;
}

static const struct shared_waiter_ops waiter_ops = {
    .on_login = on_login, .on_running = on_running, .on_refused = on_refused};

void rig_login(unsigned n, const char *vhost)
{
    struct rig_client *client = &rig_clients[n];

    *client = (struct rig_client){.waiter = {.ops = &waiter_ops}, .vhost = vhost};
    client->answer = pool_login(&rig_pool, &client->waiter, rig_alice, &guest);
    if (client->answer == POOL_YES)
        on_login(&client->waiter);
}

void rig_open(unsigned n, const char *vhost)
{
    rig_clients[n].vhost = vhost;
    ask_for_vhost(&rig_clients[n]);
}

void rig_leave(unsigned n)
{
    shared_remove_waiter(&rig_clients[n].waiter);
}

/* ── The pool ── */

static void on_empty(struct pool *pool)
{
    (void)pool;
    rig_empties++;
}

static void on_suspect(struct pool *pool, struct amqp_member *member, const char *method)
{
    (void)pool, (void)member, (void)method;
}

static const struct pool_ops pool_ops = {.on_empty = on_empty, .on_suspect = on_suspect};

static void begin(unsigned count, struct credentials *fixed)
{
    const struct pool_config config = {
        .hub = {.back = {.frame_max = AMQP_HUB_FRAME_MAX,
                         .heartbeat_s = 60,
                         .handshake_timeout_ms = 1000,
                         .close_timeout_ms = 1000},
                .reply_tokens_max = 16,
                .body_max = 1 << 20,
                .memory_max = 1 << 20,
                .member_up_max = 1 << 16,
                .stall_timeout_ms = 1000,
                .end_timeout_ms = 1000},
        .fixed = fixed,
        .vhost = "/",
        .dial_timeout_ms = 1000,
        .keep_ms = 3600000,
        .believe_ms = 60000,
        .host_name = "rig",
    };

    for (unsigned i = 0; i < RIG_NODES; i++) {
        nodes[i] =
            (struct node){.address = {.kind = NET_TCP, .port = rig_nodes[i].port, .host = "127.0.0.1"}};
        fake_node_listen(&rig_nodes[i]);
    }
    rig_set = (struct node_set){.nodes = nodes, .count = count};
    pool_init(&rig_pool, &mux_loop, &config, &rig_set, &pool_ops);
}

void rig_begin(unsigned count, enum fake_mode a, enum fake_mode b, enum fake_mode c)
{
    const enum fake_mode modes[RIG_NODES] = {a, b, c};

    for (unsigned i = 0; i < RIG_NODES; i++)
        rig_nodes[i].mode = modes[i];
    begin(count, NULL);
}

void rig_begin_fixed(enum fake_mode mode)
{
    rig_nodes[0].mode = mode;
    begin(1, rig_alice);
}

/* ── The loop ── */

static void on_beat(uv_timer_t *timer)
{
    (void)timer;
}

int rig_set_up(void **state)
{
    const struct amqp_login alice = {.user = {.data = (const uint8_t *)"alice", .len = 5},
                                     .password = {.data = (const uint8_t *)"secret", .len = 6}};

    (void)state;
    uv_loop_init(&rig_loop);
    mux_uv_loop_init(&mux_loop, &rig_loop);
    uv_timer_init(&rig_loop, &beat);
    uv_timer_start(&beat, on_beat, 5, 5);
    for (unsigned i = 0; i < RIG_NODES; i++)
        fake_node_init(&rig_nodes[i], &rig_loop, FAKE_SERVES);
    memset(rig_clients, 0, sizeof(rig_clients));
    rig_alice = credentials_create(&alice);
    rig_empties = 0;
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RIG_CLIENTS; i++)
        rig_leave(i);
    pool_abort(&rig_pool);
    for (unsigned i = 0; i < RIG_NODES; i++)
        fake_node_close(&rig_nodes[i]);
    mux_uv_loop_close(&mux_loop);
    uv_close((uv_handle_t *)&beat, NULL);
    uv_run(&rig_loop, UV_RUN_DEFAULT);
    assert_true(pool_is_empty(&rig_pool));
    mux_uv_loop_deinit(&mux_loop);
    assert_int_equal(uv_loop_close(&rig_loop), 0);
    credentials_unref(rig_alice);
    return 0;
}

void rig_until(bool (*is_true)(void))
{
    const uint64_t end_ms = uv_now(&rig_loop) + PATIENCE_MS;

    while (!is_true()) {
        if (uv_now(&rig_loop) > end_ms)
            fail_msg("it did not come true");
        uv_run(&rig_loop, UV_RUN_ONCE);
    }
}

void rig_pass(uint64_t ms)
{
    uv_update_time(&rig_loop);
    for (const uint64_t end_ms = uv_now(&rig_loop) + ms; uv_now(&rig_loop) < end_ms;)
        uv_run(&rig_loop, UV_RUN_ONCE);
}

/* ── What is awaited ── */

static struct rig_client *watched;

static bool has_hub(void)
{
    return watched->hubs > 0;
}

void rig_serves(unsigned n)
{
    watched = &rig_clients[n];
    rig_until(has_hub);
    assert_int_equal(watched->logins, 1);
    assert_int_equal(watched->hubs, 1);
    assert_int_equal(watched->refusals, 0);
    assert_non_null(watched->hub);
    assert_true(amqp_hub_is_running(watched->hub));
    assert_null(watched->waiter.shared);
}

static bool is_refused(void)
{
    return watched->refusals > 0;
}

void rig_refuses(unsigned n, unsigned logins, uint16_t code)
{
    watched = &rig_clients[n];
    rig_until(is_refused);
    assert_int_equal(watched->logins, logins);
    assert_int_equal(watched->hubs, 0);
    assert_int_equal(watched->refusals, 1);
    assert_int_equal(watched->why.code, code);
    assert_null(watched->waiter.shared);
}

static bool is_empty(void)
{
    return pool_is_empty(&rig_pool);
}

void rig_until_empty(void)
{
    rig_until(is_empty);
}
