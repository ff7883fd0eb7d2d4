/* SPDX-License-Identifier: Apache-2.0 */
#include "service/far.h"

#include <stdio.h>
#include <string.h>

static const struct total counts[FAR_COUNT_END + 1] = {
    [FAR_SESSIONS] = {.name = "sessions"},
    [FAR_REFUSED] = {.name = "refused"},
    [FAR_DETACHES] = {.name = "detaches"},
    [FAR_RESUMES] = {.name = "resumes"},
    [FAR_RESUMES_REFUSED] = {.name = "resumes_refused"},
    [FAR_REPLAYED_BYTES] = {.name = "replayed_bytes"},
    [FAR_EXPIRED] = {.name = "expired"},
};

void far_set_init(struct far_set *set, uv_loop_t *loop, const struct far_config *config,
                  const struct far_ops *ops)
{
    *set = (struct far_set){.ops = ops, .loop = loop, .config = *config};
    TAILQ_INIT(&set->sessions);
    mux_registry_init(&set->registry);
    detached_init(&set->detached, config->detached_memory_bytes);
    memcpy(set->counts, counts, sizeof(counts));
    totals_init(&set->totals, loop, set->counts, config->totals_interval_ms);
}

void far_set_close(struct far_set *set)
{
    totals_log(&set->totals);
    totals_close(&set->totals);
}

void far_set_deinit(struct far_set *set)
{
    mux_registry_deinit(&set->registry);
}

static void count(struct far_set *set, enum far_count what, uint64_t n)
{
    set->counts[what].value += n;
}

/* ── Memory while detached ── */

static struct far_session *of_member(struct detached_member *member)
{
    return (struct far_session *)((char *)member - offsetof(struct far_session, detached));
}

void far_session_account(struct far_session *far, size_t more)
{
    struct far_set *set = far->set;
    struct detached_member *excess;

    if (far->session->state != MUX_SESSION_DETACHED)
        return;
    detached_put(&set->detached, &far->detached, mux_session_held(far->session) + set->ops->held(far) + more);
    while ((excess = detached_excess(&set->detached)) != NULL) {
        detached_remove(&set->detached, excess);
        count(set, FAR_EXPIRED, 1);
        mux_session_reset(of_member(excess)->session, MUX_SESSION_EXPIRED,
                          "ended while detached: the memory for detached sessions is used up",
                          uv_now(set->loop));
    }
}

/* ── A session's life ── */

void far_session_attached(struct far_session *far)
{
    /* Logged by far_open, which knows how it came about. */
    detached_remove(&far->set->detached, &far->detached);
}

void far_session_detached(struct far_session *far, enum mux_code code, const char *reason)
{
    log_info(far->object, "session detached", LOG_STR("code", mux_code_name(code)), LOG_STR("reason", reason),
             LOG_UINT("held", mux_session_held(far->session)));
    count(far->set, FAR_DETACHES, 1);
    far_session_account(far, 0);
}

void far_session_closed(struct far_session *far, enum mux_code code, const char *reason)
{
    const struct mux_session *session = far->session;
    struct far_set *set = far->set;

    log_info(far->object, "session closed", LOG_STR("code", mux_code_name(code)),
             LOG_STR("reason", code == MUX_OK ? NULL : reason), LOG_UINT("from_client", session->recv.next),
             LOG_UINT("to_client", session->send.end), LOG_UINT("resumes", session->counters.resumes),
             LOG_UINT("replayed", session->counters.replayed_bytes));
    count(set, FAR_REPLAYED_BYTES, session->counters.replayed_bytes);
    count(set, FAR_EXPIRED, code == MUX_SESSION_EXPIRED && far->detached.is_in ? 1 : 0);
    detached_remove(&set->detached, &far->detached);
    mux_registry_end(&set->registry, session, code, reason);
}

void far_session_gone(struct far_session *far)
{
    TAILQ_REMOVE(&far->set->sessions, far, entry);
    far->set->session_count--;
}

/* ── Opening ── */

enum mux_code far_session_begin(struct far_set *set, struct far_session *far, struct mux_session *session,
                                struct mux_link *link, uint32_t number, const struct mux_open *open,
                                const char *object, const char *service)
{
    const uint8_t *token = open->token;
    enum mux_code code;

    far->set = set;
    far->session = session;
    snprintf(far->object, sizeof(far->object), "%s session=%02x%02x%02x%02x", object, token[0], token[1],
             token[2], token[3]);
    TAILQ_INSERT_TAIL(&set->sessions, far, entry);
    set->session_count++;
    count(set, FAR_SESSIONS, 1);
    if (mux_registry_add(&set->registry, session) < 0)
        return MUX_NO_MEMORY;
    log_info(far->object, "session opens", LOG_STR("service", service),
             LOG_TEXT("client", open->attributes.client_address.data, open->attributes.client_address.len));
    code = (enum mux_code) - mux_session_accept(session, link, number, open, uv_now(set->loop));
    if (code != MUX_OK)
        mux_registry_end(&set->registry, session, code, mux_code_text(code));
    return code;
}

static enum mux_code resume(struct far_session *far, struct mux_link *link, uint32_t number,
                            const struct mux_open *open)
{
    struct mux_session *session = far->session;
    enum mux_code code = mux_session_resume(session, link, number, open, uv_now(far->set->loop));

    if (code == MUX_OK) {
        count(far->set, FAR_RESUMES, 1);
        log_info(far->object, "session resumed", LOG_UINT("attempt", open->attempt),
                 LOG_UINT("replay_bytes", session->replay_until - session->send.sent));
    }
    return code;
}

static enum mux_code create(struct far_set *set, struct mux_link *link, uint32_t number,
                            const struct mux_open *open, const char *object, struct far_session **made)
{
    if (set->draining)
        return MUX_TRY_LATER;
    if (set->session_count >= set->config.max_sessions)
        return MUX_SESSION_LIMIT;
    return set->ops->create(set, link, number, open, object, made);
}

static void refuse(struct far_set *set, struct mux_link *link, uint32_t number, const struct mux_open *open,
                   const char *object, struct log_limit *refusals, enum mux_code code, const char *reason)
{
    uint64_t suppressed = 0;

    if (refusals == NULL || log_limit_pass(refusals, uv_now(set->loop), &suppressed))
        log_info(object, open->resume ? "resume refused" : "session refused",
                 LOG_STR("code", mux_code_name(code)), LOG_UINT("attempt", open->attempt),
                 LOG_SUPPRESSED(suppressed));
    count(set, open->resume ? FAR_RESUMES_REFUSED : FAR_REFUSED, 1);
    mux_link_refuse(link, number, code, reason);
}

struct far_session *far_open(struct far_set *set, struct mux_link *link, uint32_t number,
                             const struct mux_open *open, const char *object, struct log_limit *refusals)
{
    char reason[MUX_REASON_MAX + 1] = "";
    enum mux_code code = MUX_OK;
    struct mux_session *session = mux_registry_find(&set->registry, open->token, &code, reason);
    struct far_session *far = session != NULL ? set->ops->of_session(session) : NULL;

    if (far != NULL)
        code = resume(far, link, number, open);
    else if (!open->resume && code == MUX_UNKNOWN_SESSION)
        code = create(set, link, number, open, object, &far);
    if (code == MUX_OK)
        return far;
    if (session != NULL || reason[0] == '\0' || !open->resume)
        snprintf(reason, sizeof(reason), "%s", mux_code_text(code));
    refuse(set, link, number, open, object, refusals, code, reason);
    return NULL;
}
