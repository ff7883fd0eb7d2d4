/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/queue_types.h"
#include "amqp/hub.h"
#include "amqp/known_types.h"
#include "amqp/lane.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* --- the probe --- */

static struct amqp_name *name_of(const struct amqp_errand *errand)
{
    return (struct amqp_name *)((char *)(uintptr_t)errand - offsetof(struct amqp_name, probe));
}

static int add(struct amqp_command_queue *commands, uint32_t method, void *decoded)
{
    struct amqp_command *command = amqp_command_make(method, decoded);
    if (command == NULL)
        return -1;
    STAILQ_INSERT_TAIL(commands, command, entry);
    return 0;
}

/*
 * The argument is no good for any type: classic queues want a boolean, others don't know it. Should a broker
 * take it nevertheless, the declare closes the channel, and the consumer with it.
 */
static int speak(struct amqp_errand *errand, struct amqp_command_queue *commands)
{
    const struct amqp_name *name = name_of(errand);
    amqp_table_entry_t bad = {.key = amqp_cstring_bytes("x-cancel-on-ha-failover"),
                              .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = 1}};
    amqp_basic_consume_t consume = {.queue = amqp_bytes_of(amqp_name_text(name)),
                                    .arguments = {.num_entries = 1, .entries = &bad}};
    amqp_queue_declare_t nameless = {.queue = amqp_empty_bytes, .passive = 1};
    if (add(commands, AMQP_BASIC_CONSUME_METHOD, &consume) < 0)
        return -1;
    return add(commands, AMQP_QUEUE_DECLARE_METHOD, &nameless);
}

/* Whether the text, of which RabbitMQ has cut off what is too long, begins or is `whole`. */
static bool is_begun(struct amqp_span text, const char *whole)
{
    const size_t len = strlen(whole);
    if (text.len == len)
        return memcmp(text.data, whole, len) == 0;
    return text.len > 6 && text.len - 3 < len && memcmp(text.data + text.len - 3, "...", 3) == 0 &&
           memcmp(text.data, whole, text.len - 3) == 0;
}

/* What the broker's text says behind the queue's name and vhost. */
static enum amqp_queue_type read_text(struct amqp_span rest)
{
    const bool is_stream = is_begun(rest, " of queue type rabbit_stream_queue");
    const bool is_quorum = is_begun(rest, " of queue type rabbit_quorum_queue");
    if (is_stream != is_quorum)
        return is_stream ? AMQP_TYPE_STREAM : AMQP_TYPE_QUORUM;
    return is_begun(rest, ": {unacceptable_type,signedint}") ? AMQP_TYPE_CLASSIC : AMQP_TYPE_UNKNOWN;
}

static enum amqp_queue_type read_type(const struct amqp_hub *hub, const struct amqp_name *name,
                                      const struct amqp_errand_end *end)
{
    char begin[2 * AMQP_QUEUE_NAME_MAX + 100];
    const int len =
        snprintf(begin, sizeof(begin),
                 "PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '%.*s' in "
                 "vhost '%s'",
                 (int)name->len, (const char *)name->text, hub->vhost);
    if (end->method != AMQP_BASIC_CONSUME_METHOD)
        return AMQP_TYPE_UNKNOWN;
    if (end->code == AMQP_CODE_NOT_FOUND || end->code == AMQP_CODE_RESOURCE_LOCKED)
        return AMQP_TYPE_NONE;
    if (end->code == AMQP_CODE_ACCESS_REFUSED)
        return AMQP_TYPE_UNREADABLE;
    if (end->text.len <= (size_t)len || memcmp(end->text.data, begin, (size_t)len) != 0)
        return AMQP_TYPE_UNKNOWN;
    return read_text((struct amqp_span){end->text.data + len, end->text.len - (size_t)len});
}

/* --- asking --- */

static void begin_probe(struct amqp_hub *hub, struct amqp_name *name);

/* Those who asked before it began have their answer. */
static void on_probed(struct amqp_hub *hub, struct amqp_errand *errand, const struct amqp_errand_end *end)
{
    struct amqp_name *name = name_of(errand);
    struct amqp_asking *asking = TAILQ_FIRST(&name->asking);
    const enum amqp_queue_type type = read_type(hub, name, end);
    name->is_probing = false;
    if (!name->is_altered && name->alters == 0)
        amqp_known_note(hub, name, type);
    while (asking != NULL && asking->since < name->probes) {
        struct amqp_asking *next = TAILQ_NEXT(asking, entry);
        TAILQ_REMOVE(&name->asking, asking, entry);
        TAILQ_INSERT_TAIL(&name->told, asking, entry);
        asking->state = AMQP_ASKING_TOLD;
        asking->type = type;
        asking = next;
    }
    if (asking != NULL && end->code != AMQP_CODE_CONNECTION_FORCED)
        begin_probe(hub, name);
    amqp_queues_changed(hub, name);
    amqp_name_unref(name);
}

static const struct amqp_errand_ops probe_ops = {speak, on_probed};

static void begin_probe(struct amqp_hub *hub, struct amqp_name *name)
{
    if (name->is_probing)
        return;
    name->is_probing = true;
    name->is_altered = false;
    name->probes++;
    name->probe.ops = &probe_ops;
    amqp_name_ref(name);
    amqp_errand_submit(hub, &name->probe);
}

void amqp_types_ask(struct amqp_lane *lane, struct amqp_name *name, enum amqp_use_kind kind)
{
    struct amqp_hub *hub = lane->member->main.hub;
    assert(lane->asking.state == AMQP_ASKING_NOTHING);
    lane->asking = (struct amqp_asking){
        .name = amqp_name_ref(name), .lane = lane, .kind = kind, .since = name->probes, .type = name->type};
    name->pins++;
    if (kind == AMQP_USE_TYPED && amqp_known_is_fresh(hub, name)) {
        lane->asking.state = AMQP_ASKING_KNOWS;
        return;
    }
    lane->asking.state = AMQP_ASKING_ASKED;
    TAILQ_INSERT_TAIL(&name->asking, &lane->asking, entry);
    amqp_name_alter_begins(name, kind, lane->slot);
    begin_probe(hub, name);
}

bool amqp_types_resume_one(struct amqp_name *name)
{
    struct amqp_asking *asking = TAILQ_FIRST(&name->told);
    struct amqp_exception e = {0};
    if (asking == NULL)
        return false;
    struct amqp_lane *lane = asking->lane;
    TAILQ_REMOVE(&name->told, asking, entry);
    asking->state = AMQP_ASKING_KNOWS;
    amqp_member_judge(lane->member, lane, amqp_lane_resume(lane, &e), &e);
    return true;
}

void amqp_types_pin(struct amqp_name *name)
{
    name->pins++;
}

void amqp_types_unpin(struct amqp_hub *hub, struct amqp_name *name, enum amqp_use_kind kind)
{
    name->pins--;
    amqp_name_alter_ended(name, kind);
    amqp_queues_changed(hub, name);
}

void amqp_types_leave(struct amqp_lane *lane)
{
    struct amqp_asking *asking = &lane->asking;
    struct amqp_name *name = asking->name;
    if (asking->state == AMQP_ASKING_NOTHING)
        return;
    if (asking->state == AMQP_ASKING_ASKED)
        TAILQ_REMOVE(&name->asking, asking, entry);
    else if (asking->state == AMQP_ASKING_TOLD)
        TAILQ_REMOVE(&name->told, asking, entry);
    else
        amqp_hush_leave(lane);
    amqp_types_unpin(lane->member->main.hub, name, asking->kind);
    *asking = (struct amqp_asking){.state = AMQP_ASKING_NOTHING};
    amqp_name_unref(name);
}

/* A stream that is there already is not made. */
bool amqp_types_need_hush(const struct amqp_asking *asking)
{
    switch (asking->type) {
    case AMQP_TYPE_NONE: return asking->kind == AMQP_USE_DECLARE_STREAM;
    case AMQP_TYPE_CLASSIC: return false;
    case AMQP_TYPE_QUORUM:
    case AMQP_TYPE_STREAM: return asking->kind == AMQP_USE_DELETE;
    default: return amqp_use_alters(asking->kind);
    }
}

void amqp_types_hand_over(struct amqp_lane *lane, struct amqp_use *use)
{
    struct amqp_name *name = lane->asking.name;
    assert(amqp_asking_is_over(&lane->asking));
    use->is_hushed = lane->asking.state == AMQP_ASKING_QUIET;
    lane->asking = (struct amqp_asking){.state = AMQP_ASKING_NOTHING};
    amqp_name_unref(name);
}

/* --- the rules --- */

/* What a rule looks at. A type that is not known may be any. */
struct subject {
    const struct amqp_lane *lane;
    bool may_be_stream;
    bool may_be_quorum;
    union {
        const void *decoded;
        const amqp_queue_delete_t *delete;
        const amqp_basic_consume_t *consume;
    };
};

static bool is_stream(const struct subject *s)
{
    return s->may_be_stream;
}

static bool needs_prefetch(const struct subject *s)
{
    return s->may_be_stream && !s->may_be_quorum && s->lane->qos.prefetch == 0;
}

static bool is_stream_without_acks(const struct subject *s)
{
    return s->may_be_stream && s->consume->no_ack;
}

static bool is_under_global_qos(const struct subject *s)
{
    return (s->may_be_stream || s->may_be_quorum) && s->lane->qos.limit > 0;
}

static bool is_quorum_if_unused(const struct subject *s)
{
    return s->may_be_quorum && s->delete->if_unused;
}

static bool is_quorum_if_empty(const struct subject *s)
{
    return s->may_be_quorum && s->delete->if_empty;
}

/* In RabbitMQ's order. Between the two halves of a text is "queue '…' in vhost '…'". */
static const struct rule {
    uint32_t method;
    bool (*is_broken)(const struct subject *s);
    enum amqp_code code;
    const char *before;
    const char *behind;
} list[] = {
    {AMQP_BASIC_GET_METHOD, is_stream, AMQP_CODE_NOT_IMPLEMENTED, "basic.get not supported by stream queues ",
     ""},
    {AMQP_QUEUE_PURGE_METHOD, is_stream, AMQP_CODE_NOT_IMPLEMENTED,
     "queue.purge not supported by stream queues ", ""},
    {AMQP_BASIC_CONSUME_METHOD, needs_prefetch, AMQP_CODE_PRECONDITION_FAILED,
     "consumer prefetch count is not set for '", "'"},
    {AMQP_BASIC_CONSUME_METHOD, is_stream_without_acks, AMQP_CODE_NOT_IMPLEMENTED,
     "automatic acknowledgement not supported by stream queues ", ""},
    {AMQP_BASIC_CONSUME_METHOD, is_under_global_qos, AMQP_CODE_NOT_IMPLEMENTED, "",
     " does not support global qos"},
    {AMQP_QUEUE_DELETE_METHOD, is_quorum_if_unused, AMQP_CODE_NOT_IMPLEMENTED, "cannot delete ",
     ". queue.delete operations with if-unused flag set are not supported by quorum queues"},
    {AMQP_QUEUE_DELETE_METHOD, is_quorum_if_empty, AMQP_CODE_NOT_IMPLEMENTED, "cannot delete ",
     ". queue.delete operations with if-empty flag set are not supported by quorum queues"},
};

static int refuse(const struct amqp_lane *lane, const struct amqp_name *name, const struct rule *rule,
                  struct amqp_exception *e)
{
    const enum amqp_scope scope =
        amqp_code_is_hard((uint16_t)rule->code) ? AMQP_SCOPE_CONNECTION : AMQP_SCOPE_CHANNEL;
    amqp_exception_set(e, scope, rule->code, rule->method, "%squeue '%.*s' in vhost '%s'%s", rule->before,
                       (int)name->len, (const char *)name->text, lane->member->main.hub->vhost, rule->behind);
    return -1;
}

int amqp_types_judge(struct amqp_lane *lane, struct amqp_name *name, uint32_t method, const void *decoded,
                     struct amqp_exception *e)
{
    const enum amqp_queue_type type = lane->asking.type;
    const bool may_be_any =
        type == AMQP_TYPE_UNKNOWN || (type == AMQP_TYPE_UNREADABLE && method == AMQP_QUEUE_DELETE_METHOD);
    const struct subject s = {
        .lane = lane,
        .may_be_stream = type == AMQP_TYPE_STREAM || may_be_any,
        .may_be_quorum = type == AMQP_TYPE_QUORUM || may_be_any,
        .decoded = decoded,
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        if (list[i].method == method && list[i].is_broken(&s))
            return refuse(lane, name, &list[i], e);
    }
    if (method == AMQP_BASIC_CONSUME_METHOD && s.may_be_stream && lane->stream == NULL)
        lane->stream = amqp_name_ref(name);
    return 0;
}

/* --- the channel --- */

static void note_qos(struct amqp_lane *lane, const amqp_basic_qos_t *qos)
{
    lane->qos.limit = qos->global ? qos->prefetch_count : 0;
    if (!qos->global)
        lane->qos.prefetch = qos->prefetch_count;
}

static int refuse_settling(const struct amqp_lane *lane, uint32_t method, struct amqp_exception *e)
{
    const struct rule rule = {.method = method,
                              .code = AMQP_CODE_NOT_IMPLEMENTED,
                              .before = "basic.nack and basic.reject not supported by stream queues ",
                              .behind = ""};
    return refuse(lane, lane->stream, &rule, e);
}

int amqp_types_judge_channel(struct amqp_lane *lane, uint32_t method, const void *decoded,
                             struct amqp_exception *e)
{
    switch (method) {
    case AMQP_BASIC_QOS_METHOD: note_qos(lane, decoded); return 0;
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_REJECT_METHOD: return lane->stream != NULL ? refuse_settling(lane, method, e) : 0;
    case AMQP_BASIC_RECOVER_METHOD:
    case AMQP_BASIC_RECOVER_ASYNC_METHOD:
        if (lane->stream == NULL)
            return 0;
        amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_INTERNAL_ERROR, 0, NULL);
        return -1;
    default: return 0;
    }
}
