/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/far.h"

#include "tests/unit/mux/kit/check.h"

#include <string.h>

static const struct mux_link_config link_config = {
    .role = MUX_ROLE_AMQP,
    .name = "far",
    .instance = 3,
    .ping_interval_ms = 10000,
    .ping_timeout_ms = 5000,
    .hello_timeout_ms = 10000,
};

/* ── Sessions ── */

static void on_closed(struct kit_app *app, enum mux_code code, const char *reason)
{
    struct kit_far_session *session =
        (struct kit_far_session *)((char *)app - offsetof(struct kit_far_session, app));
    struct kit_far *far = app->owner;

    session->counters = app->session.counters;
    mux_registry_end(&far->registry, &app->session, code, reason);
    mux_session_deinit(&app->session);
    memset(&app->session, 0xa5, sizeof(app->session)); /* it is the owner's again: nobody may touch it */
}

static const struct kit_app_ops app_ops = {.on_closed = on_closed};

static struct kit_far_session *session_for(struct kit_far *far, const struct mux_open *open)
{
    for (unsigned i = 0; i < far->session_count; i++)
        if (memcmp(far->sessions[i].token, open->token, MUX_TOKEN_SIZE) == 0)
            return &far->sessions[i];
    return NULL;
}

/* Somebody was let in: remember whether it was the copy of a near edge. */
static void note_who(struct kit_far *far, const struct mux_open *open)
{
    struct kit_far_session *session = session_for(far, open);
    struct mux_text name = open->attributes.guest_name;

    if (name.len == strlen(KIT_COPY_NAME) && memcmp(name.data, KIT_COPY_NAME, name.len) == 0)
        session->copy_let_in = true;
}

static void open_session(struct kit_far *far, struct mux_link *link, uint32_t number,
                         const struct mux_open *open, uint64_t now)
{
    struct kit_far_session *session = session_for(far, open);
    struct kit_app *app = &session->app;

    if (session == NULL || session->opened) {
        far->refused++;
        mux_link_refuse(link, number, MUX_REFUSED, "not one of this test's sessions");
        return;
    }
    kit_app_init(app, &app_ops, far, &far->pool, &session->plan, session->salt_out, session->salt_in,
                 session->peer_bytes);
    app->fork = session->fork;
    app->now_ms = now;
    mux_session_init_far(&app->session, &kit_session_ops, far->config, open->token, now);
    app->armed_ms = mux_session_deadline(&app->session);
    if (mux_registry_add(&far->registry, &app->session) < 0 ||
        mux_session_accept(&app->session, link, number, open, now) < 0) {
        mux_registry_end(&far->registry, &app->session, MUX_NO_MEMORY, "no memory");
        mux_session_deinit(&app->session);
        mux_link_refuse(link, number, MUX_NO_MEMORY, "no memory");
        return;
    }
    session->opened = true;
    note_who(far, open);
}

/* ── Links ── */

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct kit_far *far = kit_end_of(link)->owner;
    char reason[MUX_REASON_MAX + 1];
    enum mux_code code;
    struct mux_session *session = mux_registry_find(&far->registry, open->token, &code, reason);

    if (session != NULL) {
        kit_app_of(session)->now_ms = now;
        code = mux_session_resume(session, link, number, open, now);
        if (code == MUX_OK) {
            note_who(far, open);
            return;
        }
        strcpy(reason, mux_code_text(code));
    } else if (!open->resume && code == MUX_UNKNOWN_SESSION) {
        open_session(far, link, number, open, now);
        return;
    }
    far->refused++;
    mux_link_refuse(link, number, code, reason);
}

static void on_down(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    (void)end;
    (void)now;
    KIT_CHECK(code != MUX_PROTOCOL_ERROR, "the host broke the rules: %s", reason);
}

static const struct kit_end_ops end_ops = {
    .link = {.on_open = on_open, .on_output = kit_end_on_output},
    .on_down = on_down,
};

void kit_far_init(struct kit_far *far, const struct mux_session_config *config,
                  struct kit_far_session *sessions, unsigned session_count)
{
    *far = (struct kit_far){.config = config, .sessions = sessions, .session_count = session_count};
    mux_pool_init(&far->pool);
    mux_registry_init(&far->registry);
}

void kit_far_deinit(struct kit_far *far)
{
    for (unsigned i = 0; i < far->session_count; i++)
        if (far->sessions[i].opened && !far->sessions[i].app.closed)
            mux_session_deinit(&far->sessions[i].app.session);
    mux_registry_deinit(&far->registry);
    mux_pool_deinit(&far->pool);
}

void kit_far_accept(struct kit_far *far, struct kit_stream *link, uint64_t now)
{
    kit_end_open(&link->b, link, &end_ops, far, &link_config, &far->pool, now);
}
