/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/direct_login.h"

#include "host-proxy/direct.h"

#include <stdio.h>
#include <string.h>

static struct direct_session *of_waiter(struct shared_waiter *waiter)
{
    return (struct direct_session *)((char *)waiter - offsetof(struct direct_session, waiter));
}

static uint64_t now_ms(const struct direct_session *ds)
{
    return uv_now(ds->direct->pool.mux_loop->loop);
}

static void begin_wait(struct direct_session *ds)
{
    ds->wait_ms = now_ms(ds) + ds->direct->broker_wait_ms;
    direct_session_stir(ds);
}

static void end_wait(struct direct_session *ds)
{
    ds->wait_ms = UINT64_MAX;
    direct_session_stir(ds);
}

/* What was asked of the pool has this answer. False: the client has to wait, or was refused. */
static bool is_yes(struct direct_session *ds, enum pool_answer answer)
{
    if (answer == POOL_LATER)
        begin_wait(ds);
    else if (answer == POOL_NO_MEMORY)
        direct_session_refuse(ds, AMQP_CODE_RESOURCE_ERROR, "out of memory", "");
    return answer == POOL_YES;
}

static void member_on_login(struct amqp_member *member, const struct amqp_login *login)
{
    struct direct_session *ds = direct_session_of_member(member);
    struct pool *pool = &ds->direct->pool;
    struct credentials *credentials =
        pool->config.fixed != NULL ? credentials_ref(pool->config.fixed) : credentials_create(login);

    ds->credentials = credentials;
    if (is_yes(ds,
               credentials != NULL ? pool_login(pool, &ds->waiter, credentials, ds->guest) : POOL_NO_MEMORY))
        amqp_front_login_ok(&member->front, now_ms(ds));
}

/* NULL: on the same connection. */
static const char *publishes_on(const struct pool_hubs *hubs, char number[16])
{
    if (hubs->publishing == NULL)
        return NULL;
    snprintf(number, 16, "%u", shared_number(hubs->publishing));
    return number;
}

static void join(struct direct_session *ds, const struct pool_hubs *hubs)
{
    const struct amqp_span user = ds->credentials->login.user;
    char number[16];

    log_info(ds->far.object, "client joins", LOG_TEXT("user", (const char *)user.data, user.len),
             LOG_UINT("broker-connection", shared_number(hubs->main)),
             LOG_STR("publishes-on", publishes_on(hubs, number)));
    credentials_unref(ds->credentials);
    ds->credentials = NULL;
    amqp_member_join(&ds->member, hubs->main, hubs->publishing, now_ms(ds));
}

static bool is_offered(const struct direct *direct, struct amqp_span vhost)
{
    return direct->vhost == NULL ||
           (strlen(direct->vhost) == vhost.len && memcmp(direct->vhost, vhost.data, vhost.len) == 0);
}

static void member_on_open(struct amqp_member *member, struct amqp_span vhost)
{
    struct direct_session *ds = direct_session_of_member(member);
    struct direct *direct = ds->direct;
    struct pool_hubs hubs;

    if (!is_offered(direct, vhost))
        direct_session_refuse(ds, AMQP_CODE_NOT_ALLOWED,
                              "this host's guests work in another vhost: ", direct->vhost);
    else if (is_yes(ds, pool_open(&direct->pool, &ds->waiter, ds->credentials, ds->guest, vhost, &hubs)))
        join(ds, &hubs);
}

static void member_on_wake(struct amqp_member *member)
{
    direct_session_stir(direct_session_of_member(member));
}

const struct amqp_member_ops direct_login_member_ops = {
    .on_login = member_on_login,
    .on_open = member_on_open,
    .on_wake = member_on_wake,
};

static void waiter_on_login(struct shared_waiter *waiter)
{
    struct direct_session *ds = of_waiter(waiter);

    end_wait(ds);
    amqp_front_login_ok(&ds->member.front, now_ms(ds));
}

static void waiter_on_running(struct shared_waiter *waiter, struct shared *shared)
{
    struct direct_session *ds = of_waiter(waiter);
    struct pool_hubs hubs;
    const enum pool_answer answer = pool_join(&ds->direct->pool, waiter, shared, &hubs);

    if (answer == POOL_LATER)
        return; /* for the other one, as long as it would have waited for this one */
    end_wait(ds);
    if (is_yes(ds, answer))
        join(ds, &hubs);
}

static void waiter_on_refused(struct shared_waiter *waiter, const struct amqp_exception *e)
{
    struct direct_session *ds = of_waiter(waiter);
    const struct amqp_span user = ds->credentials->login.user;
    uint64_t suppressed;

    end_wait(ds);
    if (log_limit_pass(&ds->guest->refusals, now_ms(ds), &suppressed))
        log_info(ds->far.object, "refused by the broker", LOG_TEXT("user", (const char *)user.data, user.len),
                 LOG_STR("reason", e->text), LOG_SUPPRESSED(suppressed));
    if (ds->member.front.state == AMQP_FRONT_LOGIN && e->code == AMQP_CODE_ACCESS_REFUSED)
        amqp_front_refuse_login(&ds->member.front, now_ms(ds));
    else
        amqp_member_end(&ds->member, e, now_ms(ds));
}

const struct shared_waiter_ops direct_login_waiter_ops = {
    .on_login = waiter_on_login,
    .on_running = waiter_on_running,
    .on_refused = waiter_on_refused,
};

void direct_login_expired(struct direct_session *ds)
{
    end_wait(ds);
    direct_session_refuse(ds, AMQP_CODE_CONNECTION_FORCED, pool_failure(&ds->waiter), "");
    shared_remove_waiter(&ds->waiter);
}
