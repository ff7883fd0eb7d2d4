/* SPDX-License-Identifier: Apache-2.0 */

/* Exclusive queues that may have gone by themselves, and those of a member that ends (amqp/queues.h). */

#include "amqp/hub.h"
#include "amqp/known_types.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/queues.h"
#include <amqp_framing.h>
#include <stddef.h>

static struct amqp_name *name_of(const struct amqp_errand *errand)
{
    return (struct amqp_name *)((char *)(uintptr_t)errand - offsetof(struct amqp_name, errand));
}

static amqp_bytes_t text_of(const struct amqp_name *name)
{
    return amqp_bytes_of(amqp_name_text(name));
}

static void begin(struct amqp_hub *hub, struct amqp_name *name, const struct amqp_errand_ops *ops)
{
    name->errand.ops = ops;
    amqp_name_ref(name);
    amqp_errand_submit(hub, &name->errand);
}

static int add(struct amqp_command_queue *commands, uint32_t method, void *decoded)
{
    struct amqp_command *command = amqp_command_make(method, decoded);
    if (command == NULL)
        return -1;
    STAILQ_INSERT_TAIL(commands, command, entry);
    return 0;
}

/* --- checks --- */

/*
 * Passive, the first declare fails with 404 if there is no such queue, and with 405 if it is exclusive to
 * another connection. The second one can't succeed, for its argument is no good, and fails with 405 if the
 * queue is not exclusive, which that of a member's is: somebody else has declared a new one meanwhile.
 */
static int speak_check(struct amqp_errand *errand, struct amqp_command_queue *commands)
{
    struct amqp_name *name = name_of(errand);
    amqp_table_entry_t expires = {.key = amqp_cstring_bytes("x-expires"),
                                  .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 0}};
    amqp_queue_declare_t passive = {.queue = text_of(name), .passive = 1};
    amqp_queue_declare_t exclusive = {
        .queue = text_of(name), .exclusive = 1, .arguments = {.num_entries = 1, .entries = &expires}};
    if (add(commands, AMQP_QUEUE_DECLARE_METHOD, &passive) < 0)
        return -1;
    return add(commands, AMQP_QUEUE_DECLARE_METHOD, &exclusive);
}

static bool is_another_queue(const struct amqp_errand_end *end, uint32_t method)
{
    if (end->method != method)
        return false;
    return end->code == AMQP_CODE_RESOURCE_LOCKED || (end->code == AMQP_CODE_NOT_FOUND && end->answers == 0);
}

/* Those who waited since before the check need not wait for another. */
static void lock_out(struct amqp_name *name)
{
    struct amqp_wait *wait;
    TAILQ_FOREACH (wait, &name->waits, entry)
        wait->is_locked = wait->is_locked || wait->since < name->checks;
}

static void go_on_releasing(struct amqp_hub *hub, struct amqp_name *name, struct amqp_owner *owner);

static void on_checked(struct amqp_hub *hub, struct amqp_errand *errand, const struct amqp_errand_end *end)
{
    struct amqp_name *name = name_of(errand);
    struct amqp_owner *owner = name->owner;
    const bool is_valid = name->claims == 0 && name->claims_done == name->claims_then;
    name->errand_state = AMQP_NAME_IDLE;
    if (name->state == AMQP_NAME_OWNED && is_valid && is_another_queue(end, AMQP_QUEUE_DECLARE_METHOD))
        amqp_name_free(name);
    else if (name->state == AMQP_NAME_OWNED)
        lock_out(name);
    amqp_queues_changed(hub, name);
    if (owner != NULL && end->code != AMQP_CODE_CONNECTION_FORCED)
        go_on_releasing(hub, name, owner);
    amqp_name_unref(name);
}

static const struct amqp_errand_ops check_ops = {speak_check, on_checked};

void amqp_queues_check(struct amqp_hub *hub, struct amqp_name *name)
{
    if (name->errand_state != AMQP_NAME_IDLE)
        return;
    name->errand_state = AMQP_NAME_CHECKING;
    name->checks++;
    name->claims_then = name->claims_done;
    begin(hub, name, &check_ops);
}

void amqp_queues_look_after(struct amqp_hub *hub, struct amqp_owner *owner, unsigned n)
{
    const unsigned few = amqp_queues_max(hub) / 4;
    for (unsigned i = 0; i < n && owner->count > few; i++) {
        struct amqp_name *oldest = TAILQ_FIRST(&owner->names);
        if (oldest->state == AMQP_NAME_OWNED)
            amqp_queues_check(hub, oldest);
        amqp_name_give(oldest, owner); /* to the end of the list */
    }
}

/* --- the end of a member --- */

static int speak_delete(struct amqp_errand *errand, struct amqp_command_queue *commands)
{
    amqp_queue_delete_t delete = {.queue = text_of(name_of(errand))};
    return add(commands, AMQP_QUEUE_DELETE_METHOD, &delete);
}

/* What can't be deleted stays locked. */
static void on_deleted(struct amqp_hub *hub, struct amqp_errand *errand, const struct amqp_errand_end *end)
{
    struct amqp_name *name = name_of(errand);
    struct amqp_owner *owner = name->owner;
    name->errand_state = AMQP_NAME_IDLE;
    if (end->code == AMQP_CODE_NONE || is_another_queue(end, AMQP_QUEUE_DELETE_METHOD))
        amqp_name_free(name);
    else if (owner != NULL)
        amqp_name_give(name, &hub->queues.orphans);
    amqp_queues_changed(hub, name);
    if (owner != NULL && end->code != AMQP_CODE_CONNECTION_FORCED)
        go_on_releasing(hub, name, owner);
    amqp_name_unref(name);
}

static const struct amqp_errand_ops delete_ops = {speak_delete, on_deleted};

static void delete (struct amqp_hub *hub, struct amqp_name *name)
{
    name->errand_state = AMQP_NAME_DELETING;
    begin(hub, name, &delete_ops);
}

/* One after the other, so that those who end don't keep others' errands waiting for long. */
bool amqp_queues_release(struct amqp_hub *hub, struct amqp_member *member)
{
    struct amqp_name *name = TAILQ_FIRST(&member->queues.names);
    if (name == NULL)
        return true;
    if (amqp_name_is_reserved(amqp_name_text(name)) && name->errand_state == AMQP_NAME_IDLE)
        delete (hub, name); /* nobody else can have made one of that name */
    else
        amqp_queues_check(hub, name);
    return false;
}

/* The errand of a name has ended that belonged, and may still belong, to the owner. */
static void go_on_releasing(struct amqp_hub *hub, struct amqp_name *name, struct amqp_owner *owner)
{
    struct amqp_member *member = owner->member;
    if (member == NULL || !amqp_member_is_releasing(member))
        return;
    if (name->owner == owner && name->errand_state == AMQP_NAME_IDLE)
        delete (hub, name);
    else if (amqp_queues_release(hub, member))
        amqp_member_released(member);
}

/* --- a lost connection --- */

void amqp_queues_abandon(struct amqp_member *member)
{
    while (!TAILQ_EMPTY(&member->queues.names))
        amqp_name_free(TAILQ_FIRST(&member->queues.names));
}

void amqp_queues_clear(struct amqp_hub *hub)
{
    amqp_errands_clear(hub);
    amqp_known_clear(&hub->queues.names);
    while (!TAILQ_EMPTY(&hub->queues.orphans.names))
        amqp_name_free(TAILQ_FIRST(&hub->queues.orphans.names));
    for (uint16_t i = 0; hub->slots.slots != NULL && i < hub->slots.count; i++)
        amqp_queues_slot_over(hub, &hub->slots.slots[i]);
    amqp_queues_run(hub);
}
