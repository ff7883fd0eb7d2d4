/* SPDX-License-Identifier: Apache-2.0 */
#include "host-proxy/pool.h"

#include <stdio.h>
#include <string.h>

void pool_init(struct pool *pool, struct mux_uv_loop *mux_loop, const struct pool_config *config,
               struct node_set *nodes, const struct pool_ops *ops)
{
    *pool = (struct pool){.mux_loop = mux_loop, .config = *config, .nodes = nodes, .ops = ops};
    pool->failures = (struct log_limit){.burst = 5, .interval_ms = 10000};
    TAILQ_INIT(&pool->shared);
    TAILQ_INIT(&pool->ended);
}

/* ── Finding ── */

/* Whose connection it is to be. */
static const char *owner(const struct pool *pool, const struct guest_entry *guest)
{
    return pool->config.per_guest ? guest->name : "";
}

static bool is_for(const struct shared *shared, enum shared_purpose purpose,
                   const struct credentials *credentials, const char *guest)
{
    return shared->key.purpose == purpose && strcmp(shared->key.guest, guest) == 0 &&
           credentials_equal(shared->key.credentials, credentials);
}

static bool is_at(const struct shared *shared, struct amqp_span vhost)
{
    return shared->key.has_vhost && shared->key.vhost_len == vhost.len &&
           (vhost.len == 0 || memcmp(shared->key.vhost, vhost.data, vhost.len) == 0);
}

static uint64_t now_ms(const struct pool *pool)
{
    return uv_now(pool->mux_loop->loop);
}

/* One by which they are known to be good. */
static struct shared *find_believed(struct pool *pool, const struct credentials *credentials,
                                    const char *guest)
{
    struct shared *shared;

    TAILQ_FOREACH (shared, &pool->shared, entry)
        if (shared->state >= SHARED_LOGGED_IN && shared->believed_until_ms > now_ms(pool) &&
            is_for(shared, SHARED_FOR_ALL, credentials, guest))
            return shared;
    return NULL;
}

/* One that is about to ask the broker. */
static struct shared *find_asking(struct pool *pool, const struct credentials *credentials, const char *guest)
{
    struct shared *shared;

    TAILQ_FOREACH (shared, &pool->shared, entry)
        if (shared->state < SHARED_LOGGED_IN && is_for(shared, SHARED_FOR_ALL, credentials, guest))
            return shared;
    return NULL;
}

static struct shared *find_vhost(struct pool *pool, enum shared_purpose purpose,
                                 const struct credentials *credentials, const char *guest,
                                 struct amqp_span vhost)
{
    struct shared *shared;

    TAILQ_FOREACH (shared, &pool->shared, entry)
        if (is_at(shared, vhost) && is_for(shared, purpose, credentials, guest))
            return shared;
    return NULL;
}

/* ── Asking ── */

static struct shared *create(struct pool *pool, enum shared_purpose purpose, struct credentials *credentials,
                             const char *guest, const struct amqp_span *vhost)
{
    struct shared_key key = {.purpose = purpose, .credentials = credentials_ref(credentials)};

    snprintf(key.guest, sizeof(key.guest), "%s", guest);
    if (vhost != NULL) {
        memcpy(key.vhost, vhost->data, vhost->len);
        key.vhost_len = (uint8_t)vhost->len;
        key.has_vhost = true;
    }
    return shared_create(pool, &key);
}

enum pool_answer pool_login(struct pool *pool, struct shared_waiter *waiter, struct credentials *credentials,
                            const struct guest_entry *guest)
{
    struct shared *shared;

    if (pool->config.fixed != NULL)
        return POOL_YES;
    shared = find_believed(pool, credentials, owner(pool, guest));
    if (shared != NULL) {
        shared_add_waiter(shared, waiter, SHARED_NEEDS_NOTHING);
        return POOL_YES;
    }
    shared = find_asking(pool, credentials, owner(pool, guest));
    if (shared == NULL)
        shared = create(pool, SHARED_FOR_ALL, credentials, owner(pool, guest), NULL);
    if (shared == NULL)
        return POOL_NO_MEMORY;
    shared_add_waiter(shared, waiter, SHARED_NEEDS_LOGIN);
    return POOL_LATER;
}

void pool_verified(struct pool *pool, const struct shared_key *key, bool is_good)
{
    const uint64_t until_ms = is_good ? now_ms(pool) + pool->config.believe_ms : 0;
    struct shared *shared;

    TAILQ_FOREACH (shared, &pool->shared, entry)
        if (is_for(shared, SHARED_FOR_ALL, key->credentials, key->guest))
            shared->believed_until_ms = until_ms;
}

/* The one that has just verified this waiter's login, and goes to no vhost yet. */
static struct shared *verifier_of(const struct shared_waiter *waiter)
{
    struct shared *shared = waiter->shared;

    return shared != NULL && !shared->key.has_vhost && shared->state == SHARED_LOGGED_IN ? shared : NULL;
}

enum pool_answer pool_open(struct pool *pool, struct shared_waiter *waiter, struct credentials *credentials,
                           const struct guest_entry *guest, struct amqp_span vhost, struct pool_hubs *hubs)
{
    struct shared *shared = find_vhost(pool, SHARED_FOR_ALL, credentials, owner(pool, guest), vhost);
    struct shared *verifier = verifier_of(waiter);

    if (shared == NULL && verifier != NULL) {
        shared = verifier;
        shared_choose(shared, vhost);
    } else if (verifier != NULL) {
        shared_retire(verifier, vhost);
    }
    if (shared == NULL)
        shared = create(pool, SHARED_FOR_ALL, credentials, owner(pool, guest), &vhost);
    return shared != NULL ? pool_join(pool, waiter, shared, hubs) : POOL_NO_MEMORY;
}

/* The one for the same sessions and this purpose, made if there is none. NULL: no memory. */
static struct shared *of_purpose(struct pool *pool, struct shared *shared, enum shared_purpose purpose)
{
    const struct shared_key *key = &shared->key;
    const struct amqp_span vhost = {.data = key->vhost, .len = key->vhost_len};
    struct shared *found;

    if (key->purpose == purpose)
        return shared;
    found = find_vhost(pool, purpose, key->credentials, key->guest, vhost);
    return found != NULL ? found : create(pool, purpose, key->credentials, key->guest, &vhost);
}

static struct amqp_hub *take(struct shared *shared)
{
    shared_keep(shared);
    return shared_hub(shared);
}

/* Whether the connection runs. If not, the waiter will be told when it does. */
static enum pool_answer await(struct shared *shared, struct shared_waiter *waiter)
{
    if (shared == NULL)
        return POOL_NO_MEMORY;
    if (shared->state == SHARED_RUNNING)
        return POOL_YES;
    shared_add_waiter(shared, waiter, SHARED_NEEDS_HUB);
    return POOL_LATER;
}

/* The publishing one is made when the login has been found good. */
enum pool_answer pool_join(struct pool *pool, struct shared_waiter *waiter, struct shared *shared,
                           struct pool_hubs *hubs)
{
    struct shared *all = of_purpose(pool, shared, SHARED_FOR_ALL);
    struct shared *publishing = NULL;
    enum pool_answer answer = await(all, waiter);

    if (answer == POOL_YES && pool->config.is_split) {
        publishing = of_purpose(pool, shared, SHARED_FOR_PUBLISHING);
        answer = await(publishing, waiter);
    }
    if (answer != POOL_YES)
        return answer;
    shared_remove_waiter(waiter);
    hubs->main = take(all);
    hubs->publishing = publishing != NULL ? take(publishing) : NULL;
    return POOL_YES;
}

int pool_start(struct pool *pool)
{
    const struct amqp_span vhost = {.data = (const uint8_t *)pool->config.vhost,
                                    .len = strlen(pool->config.vhost)};

    struct shared *shared = create(pool, SHARED_FOR_ALL, pool->config.fixed, "", &vhost);

    if (shared == NULL || (pool->config.is_split && of_purpose(pool, shared, SHARED_FOR_PUBLISHING) == NULL))
        return -1;
    return 0;
}

const char *pool_failure(const struct shared_waiter *waiter)
{
    return waiter->shared != NULL ? waiter->shared->failure : "the connection to the broker is not up yet";
}

/* ── All of them ── */

void pool_check_use(struct pool *pool)
{
    struct shared *next;

    for (struct shared *shared = TAILQ_FIRST(&pool->shared); shared != NULL; shared = next) {
        next = TAILQ_NEXT(shared, entry);
        shared_check_use(shared);
    }
}

void pool_end(struct pool *pool, const char *reason)
{
    while (!TAILQ_EMPTY(&pool->shared))
        shared_end(TAILQ_FIRST(&pool->shared), reason);
    if (pool_is_empty(pool))
        pool->ops->on_empty(pool);
}

void pool_abort(struct pool *pool)
{
    struct shared *shared;
    struct shared *next;

    while (!TAILQ_EMPTY(&pool->shared))
        shared_end(TAILQ_FIRST(&pool->shared), "host-proxy is shutting down");
    for (shared = TAILQ_FIRST(&pool->ended); shared != NULL; shared = next) {
        next = TAILQ_NEXT(shared, entry);
        shared_abort(shared);
    }
}
