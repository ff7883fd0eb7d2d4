/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/nc/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWNER(watch, member) ((void *)((char *)(watch)-offsetof(struct nc_flow, member)))

static void close_end(const struct nc_end *end, int rc)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (end->kind == NC_END_STDIO)
        return;
    if (rc < 0) /* only TCP can do it */
        (void)setsockopt(end->in, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    (void)close(end->in);
}

static void stop(struct nc_session *session, int rc)
{
    nc_watch_stop(&session->there.in);
    nc_watch_stop(&session->there.out);
    nc_watch_stop(&session->back.in);
    nc_watch_stop(&session->back.out);
    nc_watch_stop(&session->idle);
    close_end(&session->left, rc);
    close_end(&session->right, rc);
}

void nc_session_cancel(struct nc_session *session)
{
    stop(session, 0);
}

static void finish(struct nc_session *session, int rc)
{
    stop(session, rc);
    session->closed(session, rc);
}

/* What is to be polled follows from the state and the buffer. */
static void poll_flow(struct nc_flow *flow)
{
    flow->in.events = flow->state == NC_FLOW_OPEN && flow->end < sizeof(flow->bytes) ? POLLIN : 0;
    flow->out.events = flow->state != NC_FLOW_DONE && flow->start < flow->end ? POLLOUT : 0;
}

static void touch(struct nc_session *session)
{
    session->idle.deadline_ms = nc_deadline_ms(session->idle_seconds);
}

/* Whoever reads our standard output is to see its end as well: our copy of it goes, its number stays taken.
 */
static void leave(int fd)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (nowhere < 0)
        return;
    (void)dup2(nowhere, fd);
    (void)close(nowhere);
}

static void pass_end(const struct nc_flow *flow)
{
    if (flow == &flow->session->back && flow->session->left.kind == NC_END_STDIO)
        leave(flow->out.fd);
    else
        (void)shutdown(flow->out.fd, SHUT_WR);
}

/* This direction is over. The caller returns straight after: it may have been the last one. */
static void end_flow(struct nc_flow *flow)
{
    struct nc_session *session = flow->session;

    flow->state = NC_FLOW_DONE;
    poll_flow(flow);
    if (flow->at_end == NC_END_PASS)
        pass_end(flow);
    if (flow->at_end == NC_END_ALL ||
        (session->there.state == NC_FLOW_DONE && session->back.state == NC_FLOW_DONE))
        finish(session, 0);
}

/* Nothing can be written there any more, so nothing need be read here: whoever sends is to notice. Standard
 * output that is gone leaves nothing to do. */
static void break_flow(struct nc_flow *flow, int rc)
{
    struct nc_session *session = flow->session;

    if (flow == &session->back && session->left.kind == NC_END_STDIO) {
        finish(session, rc);
        return;
    }
    (void)shutdown(flow->in.fd, SHUT_RD);
    flow->at_end = MIN(flow->at_end, NC_END_KEEP);
    end_flow(flow);
}

/* Writes what there is. False when the flow, and perhaps the session, has ended. */
static bool drain(struct nc_flow *flow)
{
    const ssize_t count =
        write(flow->out.fd, flow->bytes + flow->start, MIN(flow->end - flow->start, flow->write_max));

    if (count < 0 && errno != EAGAIN) {
        break_flow(flow, -errno);
        return false;
    }
    if (count > 0)
        flow->start += (size_t)count;
    if (flow->start == flow->end)
        flow->start = flow->end = 0;
    if (flow->end == 0 && flow->state == NC_FLOW_DRAINING) {
        end_flow(flow);
        return false;
    }
    return true;
}

static void writable(struct nc_watch *watch, short revents)
{
    struct nc_flow *flow = OWNER(watch, out);

    (void)revents;
    touch(flow->session);
    if (drain(flow))
        poll_flow(flow);
}

/* Reads, and writes at once to a stream that does not block: nearly always there is room. */
static void readable(struct nc_watch *watch, short revents)
{
    struct nc_flow *flow = OWNER(watch, in);
    const ssize_t count = read(watch->fd, flow->bytes + flow->end, sizeof(flow->bytes) - flow->end);

    (void)revents;
    if (count < 0 && errno == EAGAIN)
        return;
    if (count < 0) {
        finish(flow->session, -errno);
        return;
    }
    touch(flow->session);
    flow->end += (size_t)count;
    if (count == 0)
        flow->state = NC_FLOW_DRAINING;
    if (count == 0 && flow->start == flow->end) {
        end_flow(flow);
        return;
    }
    if (flow->write_max == NC_FLOW_BYTES && !drain(flow))
        return;
    poll_flow(flow);
}

static void idle(struct nc_watch *watch, short revents)
{
    (void)revents;
    finish((struct nc_session *)((char *)watch - offsetof(struct nc_session, idle)), -ETIMEDOUT);
}

static void start_flow(struct nc_loop *loop, struct nc_session *session, struct nc_flow *flow,
                       const struct nc_end *from, const struct nc_end *to, enum nc_at_end at_end)
{
    flow->session = session;
    flow->at_end = at_end;
    flow->state = NC_FLOW_OPEN;
    /* What blocks takes at least PIPE_BUF when it is said to be writable. */
    flow->write_max = to->kind == NC_END_STDIO ? PIPE_BUF : NC_FLOW_BYTES;
    flow->start = 0;
    flow->end = 0;
    flow->in = (struct nc_watch){.fd = from->in, .deadline_ms = NC_NEVER, .ready = readable};
    flow->out = (struct nc_watch){.fd = to->out, .deadline_ms = NC_NEVER, .ready = writable};
    poll_flow(flow);
    nc_watch_start(loop, &flow->in);
    nc_watch_start(loop, &flow->out);
}

void nc_session_start(struct nc_loop *loop, struct nc_session *session, struct nc_end left,
                      enum nc_at_end at_end_of_left, struct nc_end right, enum nc_at_end at_end_of_right)
{
    session->left = left;
    session->right = right;
    start_flow(loop, session, &session->there, &session->left, &session->right, at_end_of_left);
    start_flow(loop, session, &session->back, &session->right, &session->left, at_end_of_right);
    session->idle = (struct nc_watch){.fd = -1, .ready = idle};
    touch(session);
    nc_watch_start(loop, &session->idle);
}
