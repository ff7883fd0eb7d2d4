/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-proxy/gate.h"

#include <assert.h>

#define BACKOFF_MIN_MS 20u
#define BACKOFF_MAX_MS 1000u

static void admit(struct gate *gate)
{
    unsigned most = gate->state == GATE_OPEN ? GATE_MAX : gate->state == GATE_PROBING ? 1 : 0;

    while (gate->under_way < most && !TAILQ_EMPTY(&gate->queue)) {
        struct gate_visitor *visitor = TAILQ_FIRST(&gate->queue);

        TAILQ_REMOVE(&gate->queue, visitor, entry);
        visitor->place = GATE_ADMITTED;
        gate->under_way++;
        visitor->admitted(visitor);
    }
}

static void on_retry(uv_timer_t *timer)
{
    struct gate *gate = timer->data;

    gate->state = GATE_PROBING;
    admit(gate);
}

void gate_init(struct gate *gate, uv_loop_t *loop)
{
    *gate = (struct gate){0};
    TAILQ_INIT(&gate->queue);
    backoff_init(&gate->backoff, BACKOFF_MIN_MS, BACKOFF_MAX_MS, 0);
    uv_timer_init(loop, &gate->retry);
    gate->retry.data = gate;
}

void gate_close(struct gate *gate)
{
    gate->state = GATE_CLOSED;
    uv_close((uv_handle_t *)&gate->retry, NULL);
}

void gate_visitor_init(struct gate *gate, struct gate_visitor *visitor,
                       void (*admitted)(struct gate_visitor *visitor))
{
    *visitor = (struct gate_visitor){.age = gate->next_age++, .admitted = admitted};
}

static bool goes_before(const struct gate_visitor *a, const struct gate_visitor *b)
{
    return a->failures != b->failures ? a->failures < b->failures : a->age < b->age;
}

void gate_enter(struct gate *gate, struct gate_visitor *visitor)
{
    struct gate_visitor *at = TAILQ_LAST(&gate->queue, gate_queue);

    if (visitor->place != GATE_OUTSIDE)
        return;
    while (at != NULL && goes_before(visitor, at))
        at = TAILQ_PREV(at, gate_queue, entry);
    if (at != NULL)
        TAILQ_INSERT_AFTER(&gate->queue, at, visitor, entry);
    else
        TAILQ_INSERT_HEAD(&gate->queue, visitor, entry);
    visitor->place = GATE_QUEUED;
    admit(gate);
}

static void end_attempt(struct gate *gate, struct gate_visitor *visitor)
{
    assert(visitor->place == GATE_ADMITTED && gate->under_way > 0);
    visitor->place = GATE_OUTSIDE;
    gate->under_way--;
}

void gate_passed(struct gate *gate, struct gate_visitor *visitor)
{
    if (visitor->place != GATE_ADMITTED)
        return;
    end_attempt(gate, visitor);
    visitor->failures = 0;
    gate->state = gate->state == GATE_PROBING ? GATE_OPEN : gate->state;
    backoff_reset(&gate->backoff);
    admit(gate);
}

void gate_failed(struct gate *gate, struct gate_visitor *visitor)
{
    if (visitor->place != GATE_ADMITTED)
        return;
    end_attempt(gate, visitor);
    visitor->failures++;
    if (gate->state == GATE_CLOSED)
        return; /* one of many that failed together */
    gate->state = GATE_CLOSED;
    uv_timer_start(&gate->retry, on_retry, backoff_next_ms(&gate->backoff), 0);
}

void gate_leave(struct gate *gate, struct gate_visitor *visitor)
{
    if (visitor->place == GATE_QUEUED) {
        TAILQ_REMOVE(&gate->queue, visitor, entry);
        visitor->place = GATE_OUTSIDE;
    } else if (visitor->place == GATE_ADMITTED) {
        end_attempt(gate, visitor);
        admit(gate);
    }
}
