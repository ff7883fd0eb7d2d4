/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/intake.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/queues.h"
#include "amqp/wire.h"
#include <amqp_framing.h>

/* What to do with a basic.qos-ok: it is the client's, ours, or the sign that a recovery may begin. */
enum { QOS_TELL, QOS_HIDE, QOS_RECOVER };

/* What a queue.declare-ok says about a queue: see amqp_hub.plain_queues. */
enum { DECLARED_PASSIVELY, DECLARED_PLAIN, DECLARED_SPECIAL };

void amqp_intake_init(struct amqp_intake *intake)
{
    *intake = (struct amqp_intake){.mode = AMQP_INTAKE_FREE};
    amqp_consumers_init(&intake->consumers);
}

void amqp_intake_account(struct amqp_lane *lane)
{
    struct amqp_intake *intake = &lane->intake;
    const size_t kept =
        amqp_consumers_cost(&intake->consumers) + intake->deliveries.cost + lane->outlet.unconfirmed.cost;
    const size_t before = intake->kept;
    intake->kept = kept;
    if (kept != before)
        amqp_brake_kept(lane->member, before, kept);
}

/* Aliases are still needed for what the broker says until it has closed the channel. */
void amqp_intake_stop(struct amqp_lane *lane)
{
    amqp_intake_remove_to(lane, UINT64_MAX);
    lane->intake.recovery = AMQP_RECOVERY_NONE;
    amqp_intake_account(lane);
}

void amqp_intake_deinit(struct amqp_lane *lane)
{
    struct amqp_intake *intake = &lane->intake;
    amqp_consumers_clear(&intake->consumers);
    amqp_deliveries_clear(&intake->deliveries);
    amqp_due_clear(&intake->qos);
    amqp_due_clear(&intake->declares);
    amqp_intake_account(lane);
}

/* --- sending --- */

void amqp_intake_no_memory(struct amqp_lane *lane)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CHANNEL, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    amqp_lane_refuse(lane, &e);
}

void amqp_intake_pass(struct amqp_lane *lane, struct amqp_command *command)
{
    command->channel = lane->slot->number;
    amqp_outlet_note(lane, command);
    amqp_hub_send(lane->member->main.hub, &lane->member->main.up, command);
}

int amqp_intake_say(struct amqp_lane *lane, uint32_t method, void *decoded)
{
    struct amqp_command *command;
    if (!amqp_lane_speaks(lane))
        return -1;
    command = amqp_command_make(method, decoded);
    if (command == NULL) {
        amqp_intake_no_memory(lane);
        return -1;
    }
    amqp_intake_pass(lane, command);
    return 0;
}

static int say_qos(struct amqp_lane *lane, uint16_t prefetch, uint8_t note)
{
    amqp_basic_qos_t qos = {.prefetch_count = prefetch};
    if (!amqp_lane_speaks(lane))
        return -1;
    if (amqp_due_push(&lane->intake.qos, note) < 0) {
        amqp_intake_no_memory(lane);
        return -1;
    }
    lane->intake.prefetch_there = prefetch;
    return amqp_intake_say(lane, AMQP_BASIC_QOS_METHOD, &qos);
}

/* To say it would lift a limit of all consumers (RabbitMQ 3.10), under which each gets what the client said.
 */
int amqp_intake_set_prefetch(struct amqp_lane *lane, uint16_t prefetch)
{
    return lane->intake.prefetch_there != prefetch ? say_qos(lane, prefetch, QOS_HIDE) : 0;
}

/* --- what comes before a command --- */

static uint16_t limit_of(const struct amqp_command *qos)
{
    const struct amqp_span arguments = amqp_command_arguments(qos);
    const bool is_global = (arguments.data[6] & 1) != 0;
    return is_global ? amqp_get_u16(arguments.data + 4) : 0;
}

/* Another consumer can't take the place of an exclusive one. */
static int refuse_exclusive(const struct amqp_lane *lane, uint32_t method, struct amqp_exception *e)
{
    const struct amqp_consumer *consumer;
    for (consumer = lane->intake.consumers.by_tag; consumer != NULL; consumer = consumer->hh.next) {
        if (consumer->is_exclusive && consumer->tap != NULL && amqp_tap_is_proxied(consumer->tap)) {
            amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_PRECONDITION_FAILED, method,
                               "the channel has an exclusive consumer with no_ack, which must come later");
            return -1;
        }
    }
    return 0;
}

/* A queue has become a stream meanwhile, on another connection, and the broker has yet to say so. */
static bool has_other_type(const struct amqp_lane *lane)
{
    return lane->asking.state == AMQP_ASKING_KNOWS &&
           (lane->asking.type == AMQP_TYPE_STREAM || lane->asking.type == AMQP_TYPE_UNKNOWN);
}

/* Consumers become such as the mode needs, one after another if the types of their queues must be known. */
static int prepare_mode(struct amqp_lane *lane, enum amqp_intake_mode mode, uint32_t method,
                        struct amqp_exception *e)
{
    struct amqp_intake *intake = &lane->intake;
    if (intake->mode >= mode)
        return 0;
    if (refuse_exclusive(lane, method, e) < 0)
        return -1;
    intake->next_mode = mode;
    amqp_intake_fit(lane);
    if (!has_other_type(lane))
        return 0;
    amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_PRECONDITION_FAILED, method,
                       "the queue of a consumer with no_ack is another one by now");
    return -1;
}

/* Answers to earlier commands come before its own: they must be here when it is answered. */
static void prepare_recovery(struct amqp_lane *lane)
{
    struct amqp_intake *intake = &lane->intake;
    const bool is_mixed = intake->consumers.proxied > 0 || intake->deliveries.count[AMQP_HELD_BY_PROXY] > 0;
    if (is_mixed && intake->recovery == AMQP_RECOVERY_NONE &&
        say_qos(lane, intake->prefetch_there, QOS_RECOVER) == 0)
        intake->recovery = AMQP_RECOVERY_ASKED;
}

int amqp_intake_prepare(struct amqp_lane *lane, const struct amqp_command *command, struct amqp_exception *e)
{
    const uint32_t method = command->spec->id;
    switch (method) {
    case AMQP_TX_SELECT_METHOD: return prepare_mode(lane, AMQP_INTAKE_TX, method, e);
    case AMQP_BASIC_QOS_METHOD:
        return limit_of(command) > 0 ? prepare_mode(lane, AMQP_INTAKE_LIMITED, method, e) : 0;
    case AMQP_BASIC_RECOVER_METHOD: prepare_recovery(lane); return 0;
    default: return 0;
    }
}

static bool is_busy(const struct amqp_intake *intake, const struct amqp_command *cancel)
{
    struct amqp_cursor c = amqp_cursor_over(cancel->payload + 4, cancel->payload_len - 4);
    const struct amqp_consumer *consumer =
        amqp_consumers_find(&intake->consumers, amqp_take_short_string(&c));
    return consumer != NULL && (consumer->tap->state == AMQP_TAP_ASKED || consumer->next != NULL);
}

/* A quorum queue takes back, as redelivered, what is under way to a consumer that is cancelled. A full one
 * gets nothing as long as nothing is acknowledged. */
static bool is_changing(const struct amqp_intake *intake)
{
    return intake->consumers.wides > 0 && (intake->consumers.replaced > 0 || intake->retiring > 0);
}

bool amqp_intake_must_wait(const struct amqp_lane *lane, const struct amqp_command *command)
{
    const struct amqp_intake *intake = &lane->intake;
    switch (command->spec->id) {
    case AMQP_BASIC_CANCEL_METHOD: return is_busy(intake, command);
    case AMQP_BASIC_GET_METHOD: return intake->is_getting;
    case AMQP_BASIC_RECOVER_METHOD:
        return intake->recovery == AMQP_RECOVERY_ASKED || intake->recovery == AMQP_RECOVERY_SENT;
    case AMQP_BASIC_RECOVER_ASYNC_METHOD:
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_REJECT_METHOD: /* what basic.get brings may be among what is settled */
        return intake->is_getting || intake->recovery == AMQP_RECOVERY_SENT || is_changing(intake);
    case AMQP_TX_SELECT_METHOD: return intake->mode < AMQP_INTAKE_TX && !amqp_intake_is_fit(lane);
    case AMQP_BASIC_QOS_METHOD:
        return limit_of(command) > 0 && intake->mode < AMQP_INTAKE_LIMITED && !amqp_intake_is_fit(lane);
    default: return false;
    }
}

/* --- what the client says --- */

static int out_of_memory(struct amqp_command *command, struct amqp_exception *e)
{
    amqp_command_destroy(command);
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return -1;
}

/* What waits for a client that leaves, it will not get: that is not let go. */
static void enter(struct amqp_lane *lane, enum amqp_intake_mode mode)
{
    struct amqp_intake *intake = &lane->intake;
    amqp_queues_leave(lane);
    if (mode > intake->mode && lane->state == AMQP_LANE_OPEN)
        amqp_intake_let_go(lane);
    if (mode == AMQP_INTAKE_TX)
        amqp_intake_remove_to(lane, UINT64_MAX);
    intake->mode = mode;
    intake->next_mode = mode;
    amqp_intake_account(lane);
}

/* A limit of all, or of each: the latter lifts the former. */
static void note_qos(struct amqp_lane *lane, uint16_t count, bool is_global)
{
    struct amqp_intake *intake = &lane->intake;
    const bool is_limited = is_global && count > 0;
    if (is_limited)
        amqp_intake_set_prefetch(lane, intake->prefetch);
    if (!is_global)
        intake->prefetch = intake->prefetch_there = count;
    intake->is_limited = is_limited;
    if (intake->mode != AMQP_INTAKE_TX)
        enter(lane, is_limited ? AMQP_INTAKE_LIMITED : AMQP_INTAKE_FREE);
}

static int send_qos(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const struct amqp_span arguments = amqp_command_arguments(command);
    note_qos(lane, amqp_get_u16(arguments.data + 4), (arguments.data[6] & 1) != 0);
    if (amqp_due_push(&lane->intake.qos, QOS_TELL) < 0)
        return out_of_memory(command, e);
    amqp_intake_pass(lane, command);
    return 0;
}

/* In others, a consumer can't be replaced without anybody noticing. */
static uint8_t kind_of_queue(const amqp_queue_declare_t *declare)
{
    if (declare->passive)
        return DECLARED_PASSIVELY;
    for (int i = 0; i < declare->arguments.num_entries; i++) {
        const amqp_table_entry_t *entry = &declare->arguments.entries[i];
        const struct amqp_span key = amqp_span_of(entry->key);
        if (amqp_span_is(key, "x-single-active-consumer"))
            return DECLARED_SPECIAL;
        if (amqp_span_is(key, "x-queue-type") && entry->value.kind == AMQP_FIELD_KIND_UTF8 &&
            amqp_span_is(amqp_span_of(entry->value.value.bytes), "stream"))
            return DECLARED_SPECIAL;
    }
    return DECLARED_PLAIN;
}

static int send_declare(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const amqp_queue_declare_t *declare = amqp_command_decode(command, &lane->member->main.hub->pool);
    if (declare == NULL ||
        (!declare->nowait && amqp_due_push(&lane->intake.declares, kind_of_queue(declare)) < 0))
        return out_of_memory(command, e);
    amqp_intake_pass(lane, command);
    return 0;
}

/* Who declares it next may want another kind. */
static void note_delete(struct amqp_lane *lane, const struct amqp_command *command)
{
    const struct amqp_span arguments = amqp_command_arguments(command);
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    amqp_take_u16(&c);
    amqp_tokens_remove(&lane->member->main.hub->plain_queues, amqp_take_short_string(&c));
}

static void note_get(struct amqp_intake *intake, const struct amqp_command *get)
{
    intake->is_getting = true;
    intake->gets_no_ack = (get->payload[get->payload_len - 1] & 1) != 0;
}

int amqp_intake_send(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    switch (command->spec->id) {
    case AMQP_BASIC_CONSUME_METHOD: return amqp_intake_consume(lane, command, e);
    case AMQP_BASIC_CANCEL_METHOD: return amqp_intake_cancel(lane, command, e);
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_REJECT_METHOD: return amqp_intake_settle(lane, command, e);
    case AMQP_BASIC_RECOVER_METHOD:
    case AMQP_BASIC_RECOVER_ASYNC_METHOD: return amqp_intake_recover(lane, command, e);
    case AMQP_BASIC_QOS_METHOD: return send_qos(lane, command, e);
    case AMQP_QUEUE_DECLARE_METHOD: return send_declare(lane, command, e);
    case AMQP_BASIC_GET_METHOD: note_get(&lane->intake, command); break;
    case AMQP_QUEUE_DELETE_METHOD: note_delete(lane, command); break;
    case AMQP_TX_SELECT_METHOD: enter(lane, AMQP_INTAKE_TX); break;
    default: break;
    }
    amqp_intake_pass(lane, command);
    return 0;
}

/* --- what the broker says --- */

void amqp_intake_add(struct amqp_lane *lane, uint64_t tag, enum amqp_holder holder)
{
    struct amqp_intake *intake = &lane->intake;
    if (!amqp_lane_speaks(lane) || intake->mode == AMQP_INTAKE_TX)
        return;
    if (amqp_deliveries_add(&intake->deliveries, tag, holder) < 0)
        amqp_intake_no_memory(lane);
    amqp_intake_account(lane);
}

void amqp_intake_remove(struct amqp_lane *lane, uint64_t tag)
{
    amqp_deliveries_remove(&lane->intake.deliveries, tag);
    amqp_consumers_settled(&lane->intake.consumers, tag);
}

void amqp_intake_remove_to(struct amqp_lane *lane, uint64_t tag)
{
    amqp_deliveries_remove_to(&lane->intake.deliveries, tag);
    amqp_consumers_settled_to(&lane->intake.consumers, tag);
}

static bool hear_qos_ok(struct amqp_intake *intake)
{
    const uint8_t note = amqp_due_pop(&intake->qos, QOS_TELL);
    if (note == QOS_RECOVER && intake->recovery == AMQP_RECOVERY_ASKED)
        intake->recovery = AMQP_RECOVERY_READY;
    return note == QOS_TELL;
}

static void hear_declare_ok(struct amqp_lane *lane, const struct amqp_command *command)
{
    struct amqp_tokens *plain = &lane->member->main.hub->plain_queues;
    const struct amqp_span arguments = amqp_command_arguments(command);
    struct amqp_cursor c = amqp_cursor_over(arguments.data, arguments.len);
    const struct amqp_span name = amqp_take_short_string(&c);
    switch (amqp_due_pop(&lane->intake.declares, DECLARED_SPECIAL)) {
    case DECLARED_PLAIN: amqp_tokens_add(plain, name); break;
    case DECLARED_SPECIAL: amqp_tokens_remove(plain, name); break;
    default: break;
    }
}

static void hear_get_ok(struct amqp_lane *lane, const struct amqp_command *command)
{
    lane->intake.is_getting = false;
    lane->intake.newest = amqp_get_u64(command->payload + 4);
    if (!lane->intake.gets_no_ack)
        amqp_intake_add(lane, lane->intake.newest, AMQP_HELD_BY_CLIENT);
}

bool amqp_intake_hear(struct amqp_lane *lane, struct amqp_command **command)
{
    switch ((*command)->spec->id) {
    case AMQP_BASIC_QOS_OK_METHOD: return hear_qos_ok(&lane->intake);
    case AMQP_QUEUE_DECLARE_OK_METHOD: hear_declare_ok(lane, *command); return true;
    case AMQP_BASIC_GET_OK_METHOD: hear_get_ok(lane, *command); return true;
    case AMQP_BASIC_GET_EMPTY_METHOD: lane->intake.is_getting = false; return true;
    case AMQP_BASIC_RECOVER_OK_METHOD: /* all that was delivered before it is in its queue again */
        lane->intake.recovery = AMQP_RECOVERY_NONE;
        amqp_intake_remove_to(lane, UINT64_MAX);
        amqp_intake_account(lane);
        return true;
    default: return amqp_intake_hear_consumer(lane, command);
    }
}

void amqp_intake_drained(struct amqp_lane *lane)
{
    if (!lane->intake.waits_for_drain)
        return;
    lane->intake.waits_for_drain = false;
    amqp_intake_fit(lane);
}
