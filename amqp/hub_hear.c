/* SPDX-License-Identifier: Apache-2.0 */

/* What the broker says on channels, and whose it is. */

#include "amqp/content_check.h"
#include "amqp/hub_internal.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/wire.h"
#include <amqp.h>
#include <amqp_framing.h>

static const struct amqp_assembler_rules broker_rules = {.sender = AMQP_BY_SERVER, .body_max = UINT64_MAX};

static int confused(struct amqp_exception *e, const struct amqp_frame *frame)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CHANNEL_ERROR, 0,
                       "the broker sent a frame out of place on channel %u", frame->channel);
    return -1;
}

/* The Close-Ok is made of what is at hand, so that it can't fail. */
void amqp_hub_send_close_ok(struct amqp_hub *hub, struct amqp_slot *slot)
{
    struct amqp_command *close_ok = slot->spare;
    slot->spare = NULL;
    amqp_put_u32(close_ok->payload, AMQP_CHANNEL_CLOSE_OK_METHOD);
    close_ok->payload_len = 4;
    close_ok->spec = amqp_method_spec(AMQP_CHANNEL_CLOSE_OK_METHOD);
    close_ok->channel = slot->number;
    amqp_hub_send(hub, amqp_hub_flow_of(hub, slot), close_ok);
}

/* Sees to it that there is a spare; it is the Close, and that is gone then, only if there is nothing else. */
static void make_spare(struct amqp_slot *slot, struct amqp_command **close)
{
    amqp_channel_close_ok_t close_ok = {0};
    if (slot->spare == NULL)
        slot->spare = amqp_command_make(AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
    if (slot->spare == NULL) {
        slot->spare = *close;
        *close = NULL;
    }
}

static void hear_close(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    struct amqp_seat *seat = slot->seat;
    struct amqp_lane *lane = slot->lane;
    struct amqp_exception e = {0};
    const bool purged =
        amqp_flow_purge(&hub->fair, amqp_hub_flow_of(hub, slot), slot->number, AMQP_CHANNEL_CLOSE_METHOD);
    make_spare(slot, &command);
    if (slot->state == AMQP_SLOT_KEPT)
        amqp_kept_remove(hub, slot);
    amqp_slot_close_heard(slot, purged);
    slot->lane = NULL;
    if (slot->state == AMQP_SLOT_ANSWERING)
        amqp_hub_send_close_ok(hub, slot);
    amqp_queues_slot_over(hub, slot);
    amqp_hush_slot_over(slot);
    if (lane != NULL)
        amqp_member_judge(seat->member, lane, amqp_lane_hear_close(lane, seat->side, command, &e), &e);
    else
        amqp_command_destroy(command);
}

/* All is said on the slot for the lane that has left it. */
static void end_lane(struct amqp_hub *hub, struct amqp_slot *slot)
{
    struct amqp_seat *seat = slot->seat;
    struct amqp_lane *lane = slot->lane;
    struct amqp_exception e = {0};
    slot->lane = NULL;
    amqp_queues_slot_over(hub, slot);
    if (lane != NULL)
        amqp_member_judge(seat->member, lane, amqp_lane_hear_close_ok(lane, seat->side, &e), &e);
}

static void hear_close_ok(struct amqp_hub *hub, struct amqp_slot *slot)
{
    struct amqp_seat *seat = slot->seat;
    end_lane(hub, slot);
    amqp_hush_slot_over(slot);
    if (amqp_slot_close_ok_heard(&hub->slots, slot))
        amqp_hub_free_slot(seat);
    else
        amqp_hub_send_close_ok(hub, slot);
}

static void hear_fence(struct amqp_hub *hub, struct amqp_slot *slot)
{
    struct amqp_seat *seat = slot->seat;
    end_lane(hub, slot);
    amqp_kept_add(hub, slot);
    amqp_hub_free_slot(seat);
}

/* The broker replaces "amq.rabbitmq.reply-to" in reply_to by a token that leads back to the requester. */
static void note_reply_token(struct amqp_hub *hub, const struct amqp_command *command)
{
    struct amqp_span address;
    if (command->header_len > 0 &&
        amqp_properties_find(amqp_command_properties(command), AMQP_PROPERTY_REPLY_TO, &address) &&
        amqp_is_reply_address(address))
        amqp_tokens_add(&hub->tokens, address);
}

static void hear_command(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    struct amqp_exception e;
    struct amqp_lane *lane = slot->lane; /* which may let this slot go over what it hears */
    if (lane == NULL) {
        amqp_command_destroy(command);
        return;
    }
    note_reply_token(hub, command);
    amqp_member_judge(lane->member, lane, amqp_lane_hear(lane, slot->seat->side, command, &e), &e);
}

/* A complete command. 0 or -1: it can't be. */
static int hear(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    const uint32_t method = command->spec->id;
    if (method == AMQP_CHANNEL_CLOSE_METHOD) {
        if (!amqp_slot_may_be_closed(slot)) {
            amqp_command_destroy(command);
            return 0;
        }
        hear_close(hub, slot, command);
    } else if (method == AMQP_CHANNEL_CLOSE_OK_METHOD) {
        amqp_command_destroy(command);
        if (slot->state == AMQP_SLOT_OPEN || slot->state == AMQP_SLOT_FENCED || slot->state == AMQP_SLOT_KEPT)
            return -1;
        hear_close_ok(hub, slot);
    } else if (amqp_hush_hear(slot, method)) {
        amqp_command_destroy(command);
    } else if (method == AMQP_CHANNEL_FLOW_OK_METHOD && slot->state == AMQP_SLOT_FENCED) {
        amqp_command_destroy(command);
        hear_fence(hub, slot);
    } else {
        command->is_quiet = !amqp_queues_hear(hub, slot, command);
        hear_command(hub, slot, command);
    }
    return 0;
}

static int hear_whose(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    return slot->user == AMQP_SLOT_OURS ? amqp_errands_hear(hub, slot, command) : hear(hub, slot, command);
}

/*
 * In RabbitMQ one process says a channel's Close and another all else, so deliveries may come behind the
 * Close: until the Close-Ok is written, and even a little later, up to the next open-ok. They are nobody's
 * any more.
 */
static bool is_late(struct amqp_slot *slot, const struct amqp_frame *frame)
{
    if (slot == NULL || slot->state == AMQP_SLOT_ANSWERING)
        return true;
    if (frame->type == AMQP_FRAME_METHOD && frame->size >= 4 &&
        amqp_get_u32(frame->payload) == AMQP_CHANNEL_OPEN_OK_METHOD)
        slot->has_answered = true;
    return !slot->has_answered;
}

int amqp_hub_hear_frame(struct amqp_back *back, const struct amqp_frame *frame, struct amqp_exception *e,
                        uint64_t now)
{
    struct amqp_hub *hub = amqp_hub_of_back(back);
    struct amqp_slot *slot = amqp_slots_find(&hub->slots, frame->channel);
    struct amqp_command *command = NULL;
    hub->now = now;
    if (frame->channel > hub->slots.count)
        return confused(e, frame);
    if (is_late(slot, frame))
        return 0;
    switch (amqp_assembler_feed(&slot->assembler, &broker_rules, frame, &command, e)) {
    case AMQP_ASSEMBLER_MORE: return 0;
    case AMQP_ASSEMBLER_COMMAND: return hear_whose(hub, slot, command) < 0 ? confused(e, frame) : 0;
    case AMQP_ASSEMBLER_NO_MEMORY:
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
        return -1;
    default: return -1;
    }
}
