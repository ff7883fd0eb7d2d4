/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/queues.h"
#include "amqp/hub.h"
#include "amqp/member.h"
#include "amqp/queue_subject.h"
#include "amqp/queue_types.h"
#include <amqp_framing.h>
#include <assert.h>
#include <stdlib.h>

void amqp_queues_init(struct amqp_queues *queues, uint32_t seed)
{
    amqp_names_init(&queues->names, seed);
    amqp_owner_init(&queues->orphans, NULL);
}

/* --- who waits --- */

void amqp_queues_changed(struct amqp_hub *hub, struct amqp_name *name)
{
    if (name->is_changed || (TAILQ_EMPTY(&name->waits) && TAILQ_EMPTY(&name->told)))
        return;
    name->is_changed = true;
    amqp_name_ref(name);
    TAILQ_INSERT_TAIL(&hub->queues.names.changed, name, changed);
    hub->ops->on_wake(hub);
}

static void begin_wait(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind)
{
    lane->wait =
        (struct amqp_wait){.name = amqp_name_ref(name), .lane = lane, .kind = kind, .since = name->checks};
    TAILQ_INSERT_TAIL(&name->waits, &lane->wait, entry);
}

static void leave(struct amqp_lane *lane)
{
    struct amqp_name *name = lane->wait.name;
    if (name == NULL)
        return;
    TAILQ_REMOVE(&name->waits, &lane->wait, entry);
    lane->wait.name = NULL;
    amqp_queues_changed(lane->member->main.hub, name);
    amqp_name_unref(name);
}

/* --- the judgement --- */

enum verdict { PASSES, WAITS, LOCKED };

/*
 * While somebody needs the type the queue may not come or go, nor be asked about while it does. RabbitMQ
 * crashes now and then when a quorum queue is deleted and declared at once: so nothing is under way on other
 * channels while it is deleted.
 */
static bool can_alter(const struct amqp_lane *lane, const struct amqp_name *name, enum amqp_use_kind kind)
{
    const unsigned others = amqp_use_deletes(kind) ? name->alters : name->deletes;
    return name->pins == 0 && (others == 0 || name->alterer == lane->slot);
}

static bool is_in_turn(const struct amqp_lane *lane, const struct amqp_name *name, enum amqp_use_kind kind)
{
    if (amqp_use_alters(kind) && !can_alter(lane, name, kind))
        return false;
    if (amqp_use_is_typed(kind) && name->alters > 0)
        return false;
    return kind != AMQP_USE_CLAIM || amqp_member_owns(lane->member, name) || name->uses == 0 ||
           name->user == lane->slot;
}

static enum verdict judge(const struct amqp_lane *lane, const struct amqp_name *name, enum amqp_use_kind kind)
{
    const struct amqp_wait *first = TAILQ_FIRST(&name->waits);
    const bool is_mine = amqp_member_owns(lane->member, name);
    if (!is_mine && name->state != AMQP_NAME_FREE)
        return name->state == AMQP_NAME_OWNED && lane->wait.name == name && lane->wait.is_locked ? LOCKED
                                                                                                 : WAITS;
    if (!is_mine && first != NULL && first != &lane->wait)
        return WAITS;
    return is_in_turn(lane, name, kind) ? PASSES : WAITS;
}

/* Somebody waits for a queue that another one owns. */
static void check_if_owned(struct amqp_hub *hub, struct amqp_name *name)
{
    if (name->state == AMQP_NAME_OWNED)
        amqp_queues_check(hub, name);
}

/* The queue that was declared last on the slot. False: the broker has yet to name it. */
static bool find_last(const struct amqp_slot *slot, struct amqp_subject *subject)
{
    const struct amqp_name *last = slot->uses.last;
    const struct amqp_use *use;
    STAILQ_FOREACH (use, &slot->uses.queue, entry) {
        if (use->method == AMQP_QUEUE_DECLARE_METHOD)
            last = use->name;
    }
    if (last != NULL && !last->is_listed)
        return false;
    subject->how = last != NULL ? AMQP_SUBJECT_NAMED : AMQP_SUBJECT_LOST;
    subject->len = last != NULL ? last->len : 0;
    if (last != NULL)
        memcpy(subject->text, last->text, last->len);
    return true;
}

static struct amqp_span text_of(const struct amqp_subject *subject)
{
    return (struct amqp_span){.data = subject->text, .len = subject->len};
}

/* Whether nobody need ask for the queue's type: the broker has named it, or it is exclusive. */
static bool is_known_classic(const struct amqp_lane *lane, const struct amqp_subject *subject)
{
    if (amqp_name_is_reserved(text_of(subject)))
        return true;
    if (subject->kind != AMQP_USE_DELETE || subject->how != AMQP_SUBJECT_NAMED)
        return false;
    struct amqp_name *name = amqp_names_look_up(&lane->member->main.hub->queues.names, text_of(subject));
    const bool is_mine =
        name != NULL && name->state == AMQP_NAME_OWNED && amqp_member_owns(lane->member, name);
    amqp_name_unref(name);
    return is_mine;
}

/* False: the broker has yet to name it. */
static bool find_subject(const struct amqp_lane *lane, const struct amqp_command *command,
                         struct amqp_subject *subject)
{
    amqp_subject_find(command, subject);
    if (subject->how == AMQP_SUBJECT_LAST && !find_last(lane->slot, subject))
        return false;
    if (amqp_use_is_typed(subject->kind) && is_known_classic(lane, subject))
        subject->kind = subject->kind == AMQP_USE_TYPED ? AMQP_USE_PLAIN : AMQP_USE_DELETE_CLASSIC;
    return true;
}

static void wait_for(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind)
{
    if (lane->wait.name == NULL)
        begin_wait(lane, name, kind);
    if (!amqp_member_owns(lane->member, name))
        check_if_owned(lane->member->main.hub, name);
}

/* Whether the name lets it pass, and its type is known if that matters. */
static bool must_wait_for(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind)
{
    switch (judge(lane, name, kind)) {
    case WAITS: wait_for(lane, name, kind); return true;
    case LOCKED: return false;
    default:
        if (!amqp_use_is_typed(kind))
            return false;
        leave(lane);
        amqp_types_ask(lane, name, kind);
        return !amqp_asking_is_over(&lane->asking);
    }
}

static bool asks_about(const struct amqp_lane *lane, const struct amqp_subject *subject)
{
    const struct amqp_name *name = lane->asking.name;
    return name != NULL && subject->how == AMQP_SUBJECT_NAMED && lane->asking.kind == subject->kind &&
           name->len == subject->len && memcmp(name->text, subject->text, subject->len) == 0;
}

/* It has asked: whether the answer is there, and the hush that it may need. */
static bool must_wait_on(struct amqp_lane *lane)
{
    if (lane->asking.state == AMQP_ASKING_KNOWS && amqp_types_need_hush(&lane->asking))
        amqp_hush_ask(lane);
    return !amqp_asking_is_over(&lane->asking);
}

bool amqp_queues_must_wait(struct amqp_lane *lane, const struct amqp_command *command)
{
    struct amqp_names *names = &lane->member->main.hub->queues.names;
    struct amqp_subject subject;
    const bool is_found = find_subject(lane, command, &subject);
    if (subject.how == AMQP_SUBJECT_NONE || subject.how == AMQP_SUBJECT_LOST)
        return false;
    if (asks_about(lane, &subject))
        return must_wait_on(lane);
    amqp_types_leave(lane); /* what it asked about was something else */
    if (!is_found || lane->slot->uses.count >= AMQP_USES_MAX)
        return true; /* until the broker has answered something else on the channel */
    if (subject.how != AMQP_SUBJECT_NAMED)
        return false;
    struct amqp_name *name = amqp_use_is_typed(subject.kind) ? amqp_names_get(names, text_of(&subject))
                                                             : amqp_names_look_up(names, text_of(&subject));
    const bool must_wait = name != NULL && must_wait_for(lane, name, subject.kind);
    amqp_name_unref(name);
    return must_wait;
}

void amqp_queues_forget(struct amqp_lane *lane)
{
    leave(lane);
    amqp_types_leave(lane);
    amqp_name_unref(lane->stream);
    lane->stream = NULL;
}

static void resume(struct amqp_lane *lane)
{
    struct amqp_exception e = {0};
    amqp_member_judge(lane->member, lane, amqp_lane_resume(lane, &e), &e);
}

/* All who wait are looked at, in order. Lanes may vanish meanwhile, so a mark keeps the place. */
static void run_name(struct amqp_hub *hub, struct amqp_name *name)
{
    struct amqp_wait mark = {.name = name};
    struct amqp_wait *wait;
    while (amqp_types_resume_one(name))
        continue;
    TAILQ_INSERT_HEAD(&name->waits, &mark, entry);
    while ((wait = TAILQ_NEXT(&mark, entry)) != NULL) {
        TAILQ_REMOVE(&name->waits, &mark, entry);
        TAILQ_INSERT_AFTER(&name->waits, wait, &mark, entry);
        if (judge(wait->lane, name, wait->kind) != WAITS)
            resume(wait->lane);
        else if (!amqp_member_owns(wait->lane->member, name))
            check_if_owned(hub, name);
    }
    TAILQ_REMOVE(&name->waits, &mark, entry);
}

void amqp_queues_run(struct amqp_hub *hub)
{
    struct amqp_name *name;
    while ((name = TAILQ_FIRST(&hub->queues.names.changed)) != NULL) {
        TAILQ_REMOVE(&hub->queues.names.changed, name, changed);
        name->is_changed = false;
        run_name(hub, name);
        amqp_name_unref(name);
    }
}

/* --- passing --- */

static int no_memory(struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return -1;
}

static int locked(const struct amqp_hub *hub, const struct amqp_name *name, uint32_t method,
                  struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_RESOURCE_LOCKED, method,
                       "cannot obtain exclusive access to locked queue '%.*s' in vhost '%s'. It could be "
                       "originally declared on another connection or the exclusive property value does not "
                       "match that of the original declaration.",
                       (int)name->len, (const char *)name->text, hub->vhost);
    return -1;
}

unsigned amqp_queues_max(const struct amqp_hub *hub)
{
    return hub->config->exclusive_max > 0 ? hub->config->exclusive_max : AMQP_EXCLUSIVE_MAX_DEFAULT;
}

/* RabbitMQ words its limit of a vhost's queues so. */
static int check_limit(struct amqp_member *member, const struct amqp_name *name,
                       const struct amqp_subject *subject, struct amqp_exception *e)
{
    const unsigned max = amqp_queues_max(member->main.hub);
    if (subject->kind != AMQP_USE_CLAIM || amqp_member_owns(member, name) || member->queues.count < max)
        return 0;
    amqp_queues_look_after(member->main.hub, &member->queues, 16);
    amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_PRECONDITION_FAILED, AMQP_QUEUE_DECLARE_METHOD,
                       "cannot declare queue '%.*s': limit of exclusive queues (%u) is reached",
                       (int)subject->len, (const char *)subject->text, max);
    return -1;
}

static struct amqp_name *name_for(struct amqp_hub *hub, const struct amqp_subject *subject)
{
    if (subject->how == AMQP_SUBJECT_NEW)
        return amqp_name_create_blank();
    return amqp_names_get(&hub->queues.names, text_of(subject));
}

/* A type that is not known here could not be asked for. */
static int admit(struct amqp_lane *lane, struct amqp_name *name, const struct amqp_subject *subject,
                 uint32_t method, const void *decoded, struct amqp_exception *e)
{
    if (amqp_asking_is_over(&lane->asking) && lane->asking.name == name)
        return amqp_types_judge(lane, name, method, decoded, e);
    const enum verdict verdict = judge(lane, name, subject->kind);
    leave(lane);
    assert(verdict != WAITS);
    if (verdict == LOCKED)
        return locked(lane->member->main.hub, name, method, e);
    return amqp_use_is_typed(subject->kind) ? no_memory(e) : check_limit(lane->member, name, subject, e);
}

static int pass_named(struct amqp_lane *lane, const struct amqp_subject *subject, uint32_t method,
                      void *decoded, struct amqp_exception *e)
{
    struct amqp_name *name = name_for(lane->member->main.hub, subject);
    struct amqp_use *use = name != NULL ? malloc(sizeof(*use)) : NULL;
    if (use == NULL) {
        amqp_name_unref(name);
        return no_memory(e);
    }
    if (admit(lane, name, subject, method, decoded, e) < 0) {
        amqp_name_unref(name);
        free(use);
        return -1;
    }
    *use = (struct amqp_use){.name = name, .method = method, .kind = subject->kind};
    use->is_quiet = amqp_subject_take_nowait(method, decoded);
    amqp_uses_begin(lane->slot, use);
    if (amqp_use_is_typed(use->kind))
        amqp_types_hand_over(lane, use);
    return 0;
}

void amqp_queues_leave(struct amqp_lane *lane)
{
    leave(lane);
    amqp_types_leave(lane);
}

/* Whether the type of the queue is known and harmless. One queue at a time is asked about. */
static bool has_type_for(struct amqp_lane *lane, const struct amqp_command *consume,
                         const struct amqp_name *name)
{
    if (lane->asking.state != AMQP_ASKING_NOTHING && lane->asking.name != name)
        return false;
    if (amqp_queues_must_wait(lane, consume))
        return false;
    return lane->asking.state == AMQP_ASKING_KNOWS && lane->asking.name == name &&
           lane->asking.type != AMQP_TYPE_STREAM && lane->asking.type != AMQP_TYPE_UNKNOWN;
}

/* Whether the name lets it pass. If a command waits for it, that goes on when it does. */
static bool passes_now(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind)
{
    const bool is_awaited = lane->intake.next_mode != lane->intake.mode;
    const enum verdict verdict = judge(lane, name, kind);
    if (is_awaited && verdict == PASSES)
        leave(lane);
    else if (is_awaited && verdict == WAITS)
        wait_for(lane, name, kind);
    return verdict == PASSES;
}

int amqp_queues_use(struct amqp_lane *lane, const struct amqp_command *consume, bool is_typed)
{
    struct amqp_subject subject;
    const bool is_found = find_subject(lane, consume, &subject);
    const bool asks = is_typed && amqp_use_is_typed(subject.kind);
    if (!is_found || subject.how != AMQP_SUBJECT_NAMED || lane->slot->uses.count >= AMQP_USES_MAX)
        return -1;
    struct amqp_name *name = name_for(lane->member->main.hub, &subject);
    struct amqp_use *use = NULL;
    if (name != NULL && (asks ? has_type_for(lane, consume, name) : passes_now(lane, name, subject.kind)))
        use = malloc(sizeof(*use));
    if (use == NULL) {
        amqp_name_unref(name);
        return -1;
    }
    *use =
        (struct amqp_use){.name = name, .method = consume->spec->id, .kind = subject.kind, .is_quiet = true};
    amqp_uses_begin(lane->slot, use);
    if (asks)
        amqp_types_hand_over(lane, use);
    else if (amqp_use_is_typed(use->kind))
        amqp_types_pin(name);
    return 0;
}

bool amqp_queues_last(const struct amqp_slot *slot, struct amqp_subject *subject)
{
    return find_last(slot, subject) && subject->how == AMQP_SUBJECT_NAMED;
}

/* As RabbitMQ words it. It could not say so on a channel that somebody else has used before (amqp/kept.h). */
static int no_last(uint32_t method, struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_NOT_FOUND, method, "no previously declared queue");
    return -1;
}

int amqp_queues_pass(struct amqp_lane *lane, const struct amqp_command *command, void *decoded,
                     struct amqp_exception *e)
{
    struct amqp_subject subject;
    find_subject(lane, command, &subject);
    if (subject.how == AMQP_SUBJECT_LOST)
        return no_last(command->spec->id, e);
    if (subject.how == AMQP_SUBJECT_NONE)
        return amqp_types_judge_channel(lane, command->spec->id, decoded, e);
    return pass_named(lane, &subject, command->spec->id, decoded, e);
}
