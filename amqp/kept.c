/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/kept.h"
#include "amqp/hub.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>

#define IDLE_MS 1000u  /* how long one is kept that nobody takes */
#define AGE_MS  10000u /* how long one is kept in all, from its channel.open on */

void amqp_kept_init(struct amqp_kept *kept)
{
    *kept = (struct amqp_kept){.count = 0};
    TAILQ_INIT(&kept->slots);
}

/* The queue that was declared last is what RabbitMQ remembers, but an empty name does not get there unless
 * the client itself has declared one. */
bool amqp_kept_leaves_no_trace(uint32_t method)
{
    switch (method) {
    case AMQP_BASIC_PUBLISH_METHOD:
    case AMQP_EXCHANGE_DECLARE_METHOD:
    case AMQP_EXCHANGE_DELETE_METHOD:
    case AMQP_EXCHANGE_BIND_METHOD:
    case AMQP_EXCHANGE_UNBIND_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_DELETE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
    case AMQP_QUEUE_PURGE_METHOD: return true;
    default: return false;
    }
}

bool amqp_kept_fence(struct amqp_hub *hub, struct amqp_slot *slot)
{
    amqp_channel_flow_t flow = {.active = 1};
    if (slot->is_marked || hub->kept.count >= hub->config->kept_max)
        return false;
    struct amqp_command *fence = amqp_command_make(AMQP_CHANNEL_FLOW_METHOD, &flow);
    if (fence == NULL)
        return false;
    fence->channel = slot->number;
    amqp_slot_fence_queued(slot);
    amqp_hub_send(hub, &slot->seat->up, fence);
    return true;
}

void amqp_kept_add(struct amqp_hub *hub, struct amqp_slot *slot)
{
    amqp_slot_fence_heard(slot);
    if (hub->kept.count >= hub->config->kept_max || hub->now - slot->opened_ms >= AGE_MS) {
        amqp_hub_close_slot(hub, slot, NULL);
        return;
    }
    slot->state = AMQP_SLOT_KEPT;
    slot->kept_ms = hub->now;
    TAILQ_INSERT_HEAD(&hub->kept.slots, slot, entry);
    hub->kept.count++;
}

void amqp_kept_remove(struct amqp_hub *hub, struct amqp_slot *slot)
{
    TAILQ_REMOVE(&hub->kept.slots, slot, entry);
    hub->kept.count--;
    slot->state = AMQP_SLOT_OPEN;
}

struct amqp_slot *amqp_kept_take(struct amqp_hub *hub)
{
    struct amqp_slot *slot = TAILQ_FIRST(&hub->kept.slots);
    if (slot != NULL)
        amqp_kept_remove(hub, slot);
    return slot;
}

/* The longest unused is the last. */
static struct amqp_slot *oldest(const struct amqp_hub *hub)
{
    return TAILQ_LAST(&hub->kept.slots, amqp_kept_list);
}

uint64_t amqp_kept_deadline(const struct amqp_hub *hub)
{
    const struct amqp_slot *slot = oldest(hub);
    return slot != NULL ? slot->kept_ms + IDLE_MS : UINT64_MAX;
}

void amqp_kept_run(struct amqp_hub *hub)
{
    struct amqp_slot *slot;
    while ((slot = oldest(hub)) != NULL && hub->now >= slot->kept_ms + IDLE_MS) {
        amqp_kept_remove(hub, slot);
        amqp_hub_close_slot(hub, slot, NULL);
    }
}
