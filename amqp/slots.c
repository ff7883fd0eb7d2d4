/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/slots.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>
#include <assert.h>
#include <stdlib.h>

int amqp_slots_init(struct amqp_slots *slots, uint16_t count, uint16_t reserved)
{
    *slots = (struct amqp_slots){.count = count};
    slots->reserved = reserved < count ? reserved : (uint16_t)(count - 1);
    TAILQ_INIT(&slots->free);
    slots->slots = calloc(count, sizeof(*slots->slots));
    if (slots->slots == NULL)
        return -1;
    for (uint16_t i = 0; i < count; i++) {
        slots->slots[i].number = (uint16_t)(i + 1);
        amqp_uses_init(&slots->slots[i].uses);
        TAILQ_INSERT_TAIL(&slots->free, &slots->slots[i], entry);
    }
    return 0;
}

void amqp_slots_deinit(struct amqp_slots *slots)
{
    for (uint16_t i = 0; slots->slots != NULL && i < slots->count; i++) {
        amqp_assembler_reset(&slots->slots[i].assembler);
        amqp_command_destroy(slots->slots[i].spare);
    }
    free(slots->slots);
    *slots = (struct amqp_slots){.slots = NULL};
}

/* A Close for the moment when the slot is left. Should the broker be first, it becomes the Close-Ok. */
static struct amqp_command *make_spare(void)
{
    amqp_channel_close_t close = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = amqp_empty_bytes};
    return amqp_command_make(AMQP_CHANNEL_CLOSE_METHOD, &close);
}

bool amqp_slots_has_free(const struct amqp_slots *slots, enum amqp_slot_user user)
{
    const int kept = user == AMQP_SLOT_CLIENTS ? slots->reserved - slots->ours : 0;
    return slots->count - slots->used > (kept > 0 ? kept : 0);
}

struct amqp_slot *amqp_slots_take(struct amqp_slots *slots, enum amqp_slot_user user, uint64_t now)
{
    struct amqp_slot *slot = TAILQ_FIRST(&slots->free);
    if (!amqp_slots_has_free(slots, user) || (slot->spare = make_spare()) == NULL)
        return NULL;
    TAILQ_REMOVE(&slots->free, slot, entry);
    slots->used++;
    slots->ours = (uint16_t)(slots->ours + (user == AMQP_SLOT_OURS));
    slot->user = user;
    slot->state = AMQP_SLOT_OPEN;
    slot->has_answered = false;
    slot->is_marked = false;
    slot->opened_ms = now;
    return slot;
}

static void give_back(struct amqp_slots *slots, struct amqp_slot *slot)
{
    amqp_assembler_reset(&slot->assembler);
    amqp_command_destroy(slot->spare);
    slot->spare = NULL;
    slot->state = AMQP_SLOT_FREE;
    slot->seat = NULL;
    slot->errands = NULL;
    slot->lane = NULL;
    slots->used--;
    slots->ours = (uint16_t)(slots->ours - (slot->user == AMQP_SLOT_OURS));
    TAILQ_INSERT_TAIL(&slots->free, slot, entry);
}

void amqp_slot_fence_queued(struct amqp_slot *slot)
{
    assert(slot->state == AMQP_SLOT_OPEN);
    slot->state = AMQP_SLOT_FENCED;
}

void amqp_slot_fence_heard(struct amqp_slot *slot)
{
    assert(slot->state == AMQP_SLOT_FENCED && slot->lane == NULL);
    slot->state = AMQP_SLOT_OPEN;
    slot->seat = NULL;
}

uint16_t amqp_slots_count_opened(const struct amqp_slots *slots)
{
    uint16_t opened = 0;
    for (uint16_t i = 0; slots->slots != NULL && i < slots->count; i++) {
        const struct amqp_slot *slot = &slots->slots[i];
        opened = (uint16_t)(opened + (slot->state != AMQP_SLOT_FREE && slot->has_answered));
    }
    return opened;
}

void amqp_slot_close_queued(struct amqp_slot *slot)
{
    assert(slot->state == AMQP_SLOT_OPEN);
    slot->state = AMQP_SLOT_CLOSING;
}

void amqp_slot_close_heard(struct amqp_slot *slot, bool ours_was_purged)
{
    assert(amqp_slot_may_be_closed(slot));
    slot->state =
        slot->state == AMQP_SLOT_CLOSING && !ours_was_purged ? AMQP_SLOT_CROSSED : AMQP_SLOT_ANSWERING;
}

bool amqp_slot_close_ok_heard(struct amqp_slots *slots, struct amqp_slot *slot)
{
    if (slot->state == AMQP_SLOT_CROSSED)
        slot->state = AMQP_SLOT_ANSWERING;
    else
        give_back(slots, slot);
    return slot->state == AMQP_SLOT_FREE;
}

void amqp_slot_close_ok_written(struct amqp_slots *slots, struct amqp_slot *slot)
{
    assert(slot->state == AMQP_SLOT_ANSWERING);
    give_back(slots, slot);
}
