/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that name a queue, from when they pass until the broker has answered them (amqp/queues.h). */

#include "amqp/hub.h"
#include "amqp/member.h"
#include "amqp/queue_subject.h"
#include "amqp/queue_types.h"
#include "amqp/queues.h"
#include <amqp_framing.h>
#include <stdlib.h>

void amqp_uses_begin(struct amqp_slot *slot, struct amqp_use *use)
{
    struct amqp_name *name = use->name;
    STAILQ_INSERT_TAIL(&slot->uses.queue, use, entry);
    slot->uses.count++;
    name->user = name->uses == 0 || name->user == slot ? slot : NULL;
    name->uses++;
    if (!amqp_use_is_typed(use->kind)) /* else it has begun with asking for the type */
        amqp_name_alter_begins(name, use->kind, slot);
    if (use->kind != AMQP_USE_CLAIM)
        return;
    name->claims++;
    if (name->state == AMQP_NAME_FREE)
        amqp_name_take(name, &slot->seat->member->queues);
}

/* Whatever came of it has been noted. */
static void end_use(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_use *use)
{
    struct amqp_name *name = use->name;
    STAILQ_REMOVE(&slot->uses.queue, use, amqp_use, entry);
    slot->uses.count--;
    name->uses--;
    name->claims -= use->kind == AMQP_USE_CLAIM;
    name->claims_done += use->kind == AMQP_USE_CLAIM;
    if (name->state == AMQP_NAME_CLAIMED && name->claims == 0)
        amqp_name_free(name);
    if (use->is_hushed)
        amqp_hush_answered(hub);
    if (amqp_use_is_typed(use->kind))
        amqp_types_unpin(hub, name, use->kind);
    else
        amqp_name_alter_ended(name, use->kind);
    amqp_queues_changed(hub, name);
    amqp_name_unref(name);
    free(use);
}

static void set_last(struct amqp_slot *slot, struct amqp_name *name)
{
    amqp_name_unref(slot->uses.last);
    slot->uses.last = name;
}

static void hear_declare_ok(struct amqp_hub *hub, struct amqp_slot *slot, const struct amqp_use *use,
                            const struct amqp_command *command)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    struct amqp_name *name = use->name;
    if (!name->is_listed)
        amqp_names_fill_in(&hub->queues.names, name, amqp_take_short_string(&c));
    set_last(slot, amqp_name_ref(name));
    if (use->kind != AMQP_USE_CLAIM || name->state != AMQP_NAME_CLAIMED)
        return;
    name->state = AMQP_NAME_OWNED;
    amqp_queues_look_after(hub, name->owner, 2);
}

/* Declares that are under way may bring it back. */
static void hear_delete_ok(const struct amqp_slot *slot, const struct amqp_use *use)
{
    struct amqp_name *name = use->name;
    if (!amqp_member_owns(slot->seat->member, name))
        return;
    if (name->claims > 0)
        name->state = AMQP_NAME_CLAIMED;
    else
        amqp_name_free(name);
}

bool amqp_queues_hear(struct amqp_hub *hub, struct amqp_slot *slot, const struct amqp_command *command)
{
    const uint32_t method = amqp_subject_answered_by(command->spec->id);
    struct amqp_use *use;
    STAILQ_FOREACH (use, &slot->uses.queue, entry) {
        if (use->method == method)
            break;
    }
    if (method == 0 || use == NULL)
        return true;
    const bool is_quiet = use->is_quiet;
    if (method == AMQP_QUEUE_DECLARE_METHOD)
        hear_declare_ok(hub, slot, use, command);
    else if (method == AMQP_QUEUE_DELETE_METHOD)
        hear_delete_ok(slot, use);
    end_use(hub, slot, use);
    return !is_quiet;
}

void amqp_queues_slot_over(struct amqp_hub *hub, struct amqp_slot *slot)
{
    while (!STAILQ_EMPTY(&slot->uses.queue))
        end_use(hub, slot, STAILQ_FIRST(&slot->uses.queue));
    set_last(slot, NULL);
}
