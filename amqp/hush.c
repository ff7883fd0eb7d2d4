/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/hush.h"
#include "amqp/hub.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include <assert.h>

/* Patience is had with the channels that publish, and again with the commands that waited for them. */
#define PATIENCE_MS 5000u
#define LINGER_MS   50u
#define REST_MAX_MS (2 * PATIENCE_MS)

void amqp_hush_init(struct amqp_hush *hush)
{
    *hush = (struct amqp_hush){.state = AMQP_HUSH_NONE};
    TAILQ_INIT(&hush->waiting);
}

/* --- who asks --- */

void amqp_hush_ask(struct amqp_lane *lane)
{
    struct amqp_hub *hub = lane->member->main.hub;
    assert(lane->asking.state == AMQP_ASKING_KNOWS);
    lane->asking.state = AMQP_ASKING_HUSH;
    TAILQ_INSERT_TAIL(&hub->hush.waiting, &lane->asking, entry);
    hub->ops->on_wake(hub);
}

void amqp_hush_leave(struct amqp_lane *lane)
{
    struct amqp_hub *hub = lane->member->main.hub;
    if (lane->asking.state == AMQP_ASKING_HUSH)
        TAILQ_REMOVE(&hub->hush.waiting, &lane->asking, entry);
    else if (lane->asking.state == AMQP_ASKING_QUIET)
        amqp_hush_answered(hub);
}

void amqp_hush_answered(struct amqp_hub *hub)
{
    if (hub->hush.given_up > 0) {
        hub->hush.given_up--;
        return;
    }
    assert(hub->hush.admitted > 0);
    hub->hush.until_ms = hub->now + LINGER_MS;
    if (--hub->hush.admitted == 0)
        hub->ops->on_wake(hub);
}

/* --- channels --- */

void amqp_hush_note_sent(struct amqp_hub *hub, const struct amqp_command *command)
{
    struct amqp_settling *settling = &amqp_slots_find(&hub->slots, command->channel)->settling;
    switch (command->spec->id) {
    case AMQP_TX_COMMIT_METHOD: settling->is_committing = true; /* fall through */
    case AMQP_BASIC_PUBLISH_METHOD:
    case AMQP_BASIC_CANCEL_METHOD: settling->is_stirred = true; break;
    case AMQP_CHANNEL_FLOW_METHOD: settling->flows++; break;
    default: break;
    }
}

/* Whose hush it is: that of the hub on which the member names queues. NULL: nobody's. */
static struct amqp_hub *hub_for(const struct amqp_slot *slot)
{
    return slot->seat != NULL ? slot->seat->member->main.hub : NULL;
}

static void settle(struct amqp_slot *slot)
{
    struct amqp_hub *hub = hub_for(slot);
    if (slot->settling.awaits == AMQP_SETTLING_NOTHING)
        return;
    slot->settling.awaits = AMQP_SETTLING_NOTHING;
    if (hub != NULL && --hub->hush.due == 0)
        hub->ops->on_wake(hub);
}

/* 0, or -1 for want of memory. */
static int send_flow(struct amqp_slot *slot)
{
    amqp_channel_flow_t flow = {.active = 1};
    struct amqp_command *command = amqp_command_make(AMQP_CHANNEL_FLOW_METHOD, &flow);
    if (command == NULL)
        return -1;
    command->channel = slot->number;
    amqp_hub_send(slot->seat->hub, &slot->seat->up, command);
    slot->settling.is_asked = true;
    return 0;
}

/* Up to the answer to the last channel.flow, whosoever it is. */
static void await_flow(struct amqp_settling *settling)
{
    settling->awaits = AMQP_SETTLING_FLOW;
    settling->before = (uint16_t)(settling->flows - 1);
}

/* Between tx.commit and its answer nothing may be said; that answer is as good. 0, or -1: no memory. */
static int ask(struct amqp_slot *slot)
{
    switch (slot->state) {
    case AMQP_SLOT_OPEN:
        if (slot->settling.is_asked) /* and given up: it does not answer */
            return 0;
        if (slot->settling.is_committing)
            slot->settling.awaits = AMQP_SETTLING_END;
        else if (send_flow(slot) < 0)
            return -1;
        else
            await_flow(&slot->settling);
        break;
    case AMQP_SLOT_FENCED: await_flow(&slot->settling); break;
    case AMQP_SLOT_CLOSING:
    case AMQP_SLOT_CROSSED: slot->settling.awaits = AMQP_SETTLING_END; break;
    default: break;
    }
    slot->settling.is_stirred = false;
    return 0;
}

static void ask_if_stirred(struct amqp_hub *hub, struct amqp_slot *slot)
{
    if (!slot->settling.is_stirred)
        return;
    if (ask(slot) < 0)
        hub->hush.is_short = true;
    else
        hub->hush.due += slot->settling.awaits != AMQP_SETTLING_NOTHING;
}

static void give_up(struct amqp_hub *hub, struct amqp_slot *slot)
{
    (void)hub;
    slot->settling.awaits = AMQP_SETTLING_NOTHING;
}

/* Those of a hub's slots on which this one's members speak. */
static void each_of(struct amqp_hub *hub, struct amqp_slots *slots,
                    void (*visit)(struct amqp_hub *, struct amqp_slot *))
{
    for (uint16_t i = 0; i < slots->count; i++) {
        if (hub_for(&slots->slots[i]) == hub)
            visit(hub, &slots->slots[i]);
    }
}

/* Where the members publish, if that is apart: all of them on the same hub. NULL: nobody does. */
static struct amqp_hub *publishing_hub(const struct amqp_hub *hub)
{
    const struct amqp_seat *seat;
    TAILQ_FOREACH (seat, &hub->seats, entry) {
        if (seat->member->publishing.hub != NULL)
            return seat->member->publishing.hub;
    }
    return NULL;
}

static void each_slot(struct amqp_hub *hub, void (*visit)(struct amqp_hub *, struct amqp_slot *))
{
    struct amqp_hub *other = publishing_hub(hub);
    each_of(hub, &hub->slots, visit);
    if (other != NULL)
        each_of(hub, &other->slots, visit);
}

static void ask_all(struct amqp_hub *hub)
{
    hub->hush.is_short = false;
    each_slot(hub, ask_if_stirred);
}

static bool hear_flow_ok(struct amqp_slot *slot)
{
    struct amqp_settling *settling = &slot->settling;
    bool is_ours = false;
    if (settling->awaits != AMQP_SETTLING_FLOW && !settling->is_asked) {
        /* somebody else's */
    } else if (settling->before == 0) {
        is_ours = settling->is_asked;
        settling->is_asked = false;
        if (settling->awaits == AMQP_SETTLING_FLOW)
            settle(slot);
    } else {
        settling->before--;
    }
    if (settling->flows > 0)
        settling->flows--;
    return is_ours;
}

bool amqp_hush_hear(struct amqp_slot *slot, uint32_t method)
{
    if (method == AMQP_TX_COMMIT_OK_METHOD) {
        slot->settling.is_committing = false;
        if (slot->state == AMQP_SLOT_OPEN)
            settle(slot);
    }
    return method == AMQP_CHANNEL_FLOW_OK_METHOD && hear_flow_ok(slot);
}

void amqp_hush_slot_over(struct amqp_slot *slot)
{
    settle(slot);
    slot->settling = (struct amqp_settling){.is_stirred = false};
}

/* --- the hush --- */

static void resume(struct amqp_lane *lane)
{
    struct amqp_exception e = {0};
    amqp_member_judge(lane->member, lane, amqp_lane_resume(lane, &e), &e);
}

static void begin(struct amqp_hub *hub)
{
    hub->hush.state = AMQP_HUSH_SETTLING;
    hub->hush.begun_ms = hub->hush.until_ms = hub->now;
    hub->hush.patience_ms = hub->now + PATIENCE_MS;
    ask_all(hub);
}

/* Resumed one by one, they send their commands. */
static void admit(struct amqp_hub *hub)
{
    struct amqp_asking *asking;
    hub->hush.state = AMQP_HUSH_QUIET;
    hub->hush.patience_ms = hub->now + PATIENCE_MS;
    while ((asking = TAILQ_FIRST(&hub->hush.waiting)) != NULL) {
        TAILQ_REMOVE(&hub->hush.waiting, asking, entry);
        asking->state = AMQP_ASKING_QUIET;
        hub->hush.admitted++;
        resume(asking->lane);
    }
}

static void end(struct amqp_hub *hub)
{
    const uint64_t took = hub->now - hub->hush.begun_ms;
    hub->hush.state = AMQP_HUSH_NONE;
    hub->hush.rest_ms = hub->now + (took < REST_MAX_MS ? took : REST_MAX_MS);
    for (uint16_t i = 0; i < hub->slots.count; i++) {
        struct amqp_lane *lane = hub->slots.slots[i].lane;
        if (lane != NULL)
            amqp_intake_resume(lane);
        if (lane != NULL && !STAILQ_EMPTY(&lane->held))
            resume(lane);
    }
}

/* Who is blocked is not to blame for being silent, and gets all the time again afterwards. */
static bool is_blocked(const struct amqp_hub *hub)
{
    const struct amqp_hub *other = publishing_hub(hub);
    return hub->blocked[0] != '\0' || (other != NULL && other->blocked[0] != '\0');
}

static void lose_patience(struct amqp_hub *hub)
{
    struct amqp_hush *hush = &hub->hush;
    if (is_blocked(hub)) {
        hush->patience_ms = hub->now + PATIENCE_MS;
        return;
    }
    if (hub->ops->on_hush_given_up != NULL)
        hub->ops->on_hush_given_up(hub);
    if (hush->state == AMQP_HUSH_SETTLING) {
        each_slot(hub, give_up);
        hush->due = 0;
        hush->is_short = false;
    } else {
        hush->given_up += hush->admitted;
        hush->admitted = 0;
    }
}

void amqp_hush_run(struct amqp_hub *hub)
{
    struct amqp_hush *hush = &hub->hush;
    if (hush->state != AMQP_HUSH_NONE && hub->now >= hush->patience_ms)
        lose_patience(hub);
    if (hush->state == AMQP_HUSH_NONE && !TAILQ_EMPTY(&hush->waiting) && hub->now >= hush->rest_ms)
        begin(hub);
    else if (hush->state == AMQP_HUSH_SETTLING && hush->is_short)
        ask_all(hub);
    if (hush->state == AMQP_HUSH_SETTLING && hush->due == 0 && !hush->is_short)
        admit(hub);
    if (hush->state == AMQP_HUSH_QUIET && hush->admitted == 0 && hub->now >= hush->until_ms)
        end(hub);
}

uint64_t amqp_hush_deadline(const struct amqp_hub *hub)
{
    const struct amqp_hush *hush = &hub->hush;
    if (hush->state == AMQP_HUSH_QUIET && hush->admitted == 0)
        return hush->until_ms;
    if (hush->state != AMQP_HUSH_NONE)
        return hush->patience_ms;
    return TAILQ_EMPTY(&hush->waiting) ? UINT64_MAX : hush->rest_ms;
}

void amqp_hush_slots_lost(struct amqp_hub *hub)
{
    for (uint16_t i = 0; hub->slots.slots != NULL && i < hub->slots.count; i++)
        amqp_hush_slot_over(&hub->slots.slots[i]);
}

void amqp_hush_clear(struct amqp_hub *hub)
{
    assert(TAILQ_EMPTY(&hub->hush.waiting) && hub->hush.admitted == 0);
    amqp_hush_init(&hub->hush);
}
