/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/intake_terms.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/queues.h"
#include "amqp/wire.h"
#include <amqp_framing.h>

static struct amqp_span first_short_string(const struct amqp_command *command)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    return amqp_take_short_string(&c);
}

/* --- asking the broker --- */

/* basic.consume for a tap. NULL: no memory. */
static struct amqp_command *make_consume(struct amqp_lane *lane, const struct amqp_tap *tap)
{
    const struct amqp_command *said = tap->consumer->consume;
    const amqp_basic_consume_t *decoded = amqp_command_decode(said, &lane->member->main.hub->pool);
    if (decoded == NULL)
        return NULL;
    amqp_basic_consume_t consume = *decoded;
    consume.consumer_tag = amqp_bytes_of(amqp_tap_alias(tap));
    consume.no_ack = tap->terms.no_ack;
    consume.nowait = 0;
    return amqp_command_make_like(said, &consume, AMQP_TAG_MAX);
}

static int ask(struct amqp_lane *lane, struct amqp_tap *tap)
{
    const bool needs_prefetch = !tap->terms.no_ack && !lane->intake.is_limited;
    if (needs_prefetch && amqp_intake_set_prefetch(lane, tap->terms.prefetch) < 0)
        return -1;
    struct amqp_command *consume = make_consume(lane, tap);
    if (consume == NULL)
        return -1;
    amqp_intake_pass(lane, consume);
    return 0;
}

/* Says cancel for a tap, and waits for the answer. */
static void end_tap(struct amqp_lane *lane, struct amqp_tap *tap, bool tells_end)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = amqp_bytes_of(amqp_tap_alias(tap))};
    tap->state = AMQP_TAP_ENDING;
    tap->tells_end = tells_end;
    lane->intake.retiring += !tells_end;
    lane->intake.has_reused = true;
    amqp_intake_say(lane, AMQP_BASIC_CANCEL_METHOD, &cancel);
}

/* Does nothing if it can't be now: there will be another occasion. */
static void replace(struct amqp_lane *lane, struct amqp_consumer *consumer, struct amqp_terms terms)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    char text[32];
    if (amqp_queues_use(lane, consumer->consume, terms.no_ack) < 0)
        return;
    struct amqp_tap *next =
        amqp_consumers_add_tap(all, consumer, amqp_consumers_fresh_alias(all, text), terms);
    if (next == NULL || ask(lane, next) < 0)
        amqp_intake_no_memory(lane);
}

/* Under a limit, another consumer of a quorum queue would end the connection; in transactions, see above. */
static bool can_replace(const struct amqp_lane *lane, const struct amqp_consumer *consumer)
{
    return amqp_lane_speaks(lane) && lane->intake.mode == AMQP_INTAKE_FREE && !lane->is_committing &&
           consumer->consume != NULL && consumer->tap != NULL && consumer->tap->state == AMQP_TAP_LIVE &&
           consumer->next == NULL;
}

static bool has_terms(const struct amqp_tap *tap, struct amqp_terms terms)
{
    return tap->terms.no_ack == terms.no_ack && (terms.no_ack || tap->terms.prefetch == terms.prefetch);
}

void amqp_intake_fit_one(struct amqp_lane *lane, struct amqp_consumer *consumer)
{
    const struct amqp_tap *tap = consumer->tap;
    if (!can_replace(lane, consumer))
        return;
    const bool is_moving = lane->intake.next_mode != AMQP_INTAKE_FREE;
    const struct amqp_terms terms = consumer->no_ack || is_moving ? amqp_terms_at_first(lane, consumer, false)
                                                                  : amqp_terms_now(lane, tap);
    const bool is_full = consumer->is_wide && amqp_tap_is_full(tap);
    if (!has_terms(tap, terms) || (is_full && lane->member->load.waiting == 0))
        replace(lane, consumer, terms);
    else if (is_full || (consumer->is_wide && terms.prefetch == 1))
        lane->intake.waits_for_drain = lane->member->awaits_drain = true;
}

bool amqp_intake_is_fit(const struct amqp_lane *lane)
{
    const struct amqp_consumers *all = &lane->intake.consumers;
    const struct amqp_consumer *consumer = all->by_tag;
    if (all->proxied > 0 || all->replaced > 0 || !STAILQ_EMPTY(&all->nameless))
        return false;
    for (; consumer != NULL; consumer = consumer->hh.next) {
        if (consumer->consume != NULL &&
            !has_terms(consumer->tap, amqp_terms_at_first(lane, consumer, false)))
            return false;
    }
    return true;
}

void amqp_intake_fit(struct amqp_lane *lane)
{
    struct amqp_consumer *consumer = lane->intake.consumers.by_tag;
    for (; consumer != NULL; consumer = consumer->hh.next)
        amqp_intake_fit_one(lane, consumer);
    amqp_intake_account(lane);
}

/* --- from the client --- */

static int fail(struct amqp_command *command, struct amqp_exception *e)
{
    amqp_command_destroy(command);
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return -1;
}

/* Once nothing is unacknowledged and no consumer is on its way out, all tags are as new. */
static void note_reuse(struct amqp_intake *intake)
{
    const struct amqp_tap *tap = intake->consumers.by_alias;
    const uint64_t *count = intake->deliveries.count;
    if (intake->mode == AMQP_INTAKE_TX || count[AMQP_HELD_BY_CLIENT] + count[AMQP_HELD_BY_PROXY] > 0)
        return;
    while (tap != NULL && tap->state != AMQP_TAP_ENDING)
        tap = tap->hh.next;
    if (tap == NULL)
        intake->has_reused = false;
}

/* The client's own tag, if the broker can take it for something new, now and when there are others. */
static struct amqp_span alias_for(struct amqp_intake *intake, struct amqp_span tag, char text[32])
{
    struct amqp_consumers *all = &intake->consumers;
    if (tag.len == 0)
        return tag;
    note_reuse(intake);
    return intake->has_reused || amqp_consumers_is_alias(tag) ? amqp_consumers_fresh_alias(all, text) : tag;
}

static int begin(struct amqp_lane *lane, struct amqp_consumer *consumer, struct amqp_span queue)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    char text[32];
    const bool is_fixed = !amqp_consumer_can_be_replaced(lane, consumer, queue);
    const struct amqp_terms terms = amqp_terms_at_first(lane, consumer, is_fixed);
    struct amqp_tap *tap = amqp_consumers_add_tap(
        all, consumer, alias_for(&lane->intake, amqp_consumer_tag(consumer), text), terms);
    if (tap == NULL || ask(lane, tap) < 0)
        return -1;
    if (is_fixed)
        amqp_consumers_fix(all, consumer);
    else if (!consumer->no_ack)
        amqp_consumers_widen(all, consumer);
    amqp_intake_account(lane);
    return 0;
}

/* Without a name, the queue that was declared last is meant, which may be another one the next time. */
static int name_queue(struct amqp_lane *lane, struct amqp_command **command,
                      const amqp_basic_consume_t *consume)
{
    struct amqp_subject subject;
    amqp_basic_consume_t named = *consume;
    if (consume->queue.len > 0 || !amqp_queues_last(lane->slot, &subject))
        return 0;
    named.queue = (amqp_bytes_t){.bytes = subject.text, .len = subject.len};
    struct amqp_command *like = amqp_command_make_like(*command, &named, subject.len);
    if (like == NULL)
        return -1;
    amqp_command_destroy(*command);
    *command = like;
    return 0;
}

static int refuse_tag(struct amqp_command *command, struct amqp_span tag, struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_NOT_ALLOWED, AMQP_BASIC_CONSUME_METHOD,
                       "attempt to reuse consumer tag '%.*s'", (int)tag.len, (const char *)tag.data);
    amqp_command_destroy(command);
    return -1;
}

int amqp_intake_consume(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    amqp_pool_t *pool = &lane->member->main.hub->pool;
    const amqp_basic_consume_t *consume = amqp_command_decode(command, pool);
    if (consume == NULL || name_queue(lane, &command, consume) < 0 ||
        (consume = amqp_command_decode(command, pool)) == NULL)
        return fail(command, e);
    const struct amqp_span tag = amqp_span_of(consume->consumer_tag);
    if (tag.len > 0 && amqp_consumers_find(all, tag) != NULL)
        return refuse_tag(command, tag, e);
    struct amqp_consumer *consumer = amqp_consumers_add(all, tag, command);
    if (consumer == NULL)
        return fail(command, e);
    consumer->no_ack = consume->no_ack;
    consumer->is_exclusive = consume->exclusive;
    consumer->is_relayed = amqp_consume_is_relayed(consume);
    consumer->prefetch = lane->intake.prefetch;
    return begin(lane, consumer, amqp_span_of(consume->queue)) < 0 ? fail(NULL, e) : 0;
}

/* A tag that the broker need not know is answered like one that it knows, so that answers stay in order. */
static int cancel_unknown(struct amqp_lane *lane, struct amqp_span tag, bool tells_end)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    char text[32];
    struct amqp_consumer *nobody = amqp_consumers_add(all, (struct amqp_span){.len = 0}, NULL);
    if (nobody == NULL)
        return -1;
    memcpy(nobody->tag, tag.data, tag.len);
    nobody->tag_len = (uint8_t)tag.len;
    struct amqp_tap *tap = amqp_consumers_add_tap(all, nobody, amqp_consumers_fresh_alias(all, text),
                                                  (struct amqp_terms){.no_ack = false});
    if (tap == NULL)
        return -1;
    end_tap(lane, tap, tells_end);
    return 0;
}

int amqp_intake_cancel(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    const struct amqp_span tag = first_short_string(command);
    const bool tells_end = (command->payload[command->payload_len - 1] & 1) == 0; /* not nowait */
    struct amqp_consumer *consumer = amqp_consumers_find(all, tag);
    if (consumer == NULL && cancel_unknown(lane, tag, tells_end) < 0)
        return fail(command, e);
    if (consumer != NULL) {
        amqp_consumers_withdraw(all, consumer);
        end_tap(lane, consumer->tap, tells_end);
    }
    amqp_command_destroy(command);
    amqp_intake_account(lane);
    return 0;
}

/* --- from the broker --- */

/* Gives a command the client's tag. */
static bool retag(struct amqp_lane *lane, struct amqp_command **command, const struct amqp_tap *tap)
{
    const struct amqp_span tag = amqp_consumer_tag(tap->consumer);
    const struct amqp_span alias = amqp_tap_alias(tap);
    if (tag.len == alias.len && memcmp(tag.data, alias.data, tag.len) == 0)
        return true;
    if (amqp_command_retag(command, tag) == 0)
        return true;
    amqp_intake_no_memory(lane);
    return false;
}

/* Not in a hush, nor between tx.commit and its answer. */
static bool may_cancel(const struct amqp_lane *lane)
{
    return !lane->is_committing && !amqp_hush_holds(&lane->member->main.hub->hush, AMQP_BASIC_CANCEL_METHOD);
}

/* A replacement lives; the consumer may have gone meanwhile. */
static void take_over(struct amqp_lane *lane, struct amqp_consumer *consumer)
{
    struct amqp_tap *old = amqp_consumers_switch(&lane->intake.consumers, consumer);
    if (old != NULL)
        end_tap(lane, old, false);
    if (!consumer->is_known)
        end_tap(lane, consumer->tap, false);
    else
        amqp_intake_fit_one(lane, consumer);
}

static bool hear_consume_ok(struct amqp_lane *lane, struct amqp_command **command)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    struct amqp_tap *tap = amqp_consumers_find_tap(all, first_short_string(*command));
    if (tap == NULL) /* without memory for it, a second use of the tag would go unnoticed */
        tap = amqp_consumers_name(all, first_short_string(*command));
    if (tap == NULL || tap->state != AMQP_TAP_ASKED) {
        amqp_intake_no_memory(lane);
        return false;
    }
    tap->state = AMQP_TAP_LIVE;
    if (tap != tap->consumer->next)
        return retag(lane, command, tap);
    if (may_cancel(lane)) {
        take_over(lane, tap->consumer);
        amqp_intake_account(lane);
    }
    return false;
}

void amqp_intake_resume(struct amqp_lane *lane)
{
    struct amqp_tap *tap = lane->intake.consumers.by_alias;
    if (!may_cancel(lane))
        return;
    for (; tap != NULL; tap = tap->hh.next) {
        if (tap == tap->consumer->next && tap->state == AMQP_TAP_LIVE)
            take_over(lane, tap->consumer);
    }
    amqp_intake_account(lane);
}

/* RabbitMQ answers for tags that it does not know, too. */
static bool hear_cancel_ok(struct amqp_lane *lane, struct amqp_command **command)
{
    struct amqp_tap *tap = amqp_consumers_find_tap(&lane->intake.consumers, first_short_string(*command));
    if (tap == NULL || tap->state != AMQP_TAP_ENDING)
        return false;
    const bool is_told = tap->tells_end && retag(lane, command, tap);
    lane->intake.recent = NULL;
    lane->intake.retiring -= !tap->tells_end;
    amqp_consumers_drop_tap(&lane->intake.consumers, tap);
    amqp_intake_account(lane);
    return is_told;
}

/* The queue is gone, or its node. What is ENDING has its cancel-ok yet to come. */
static bool hear_cancel(struct amqp_lane *lane, struct amqp_command **command)
{
    struct amqp_consumers *all = &lane->intake.consumers;
    const bool can_be_told = (lane->member->front.can & AMQP_CAN_CANCEL_NOTIFY) != 0;
    struct amqp_tap *tap = amqp_consumers_find_tap(all, first_short_string(*command));
    if (tap == NULL || (tap->state == AMQP_TAP_ENDING && !tap->tells_end))
        return false;
    const bool is_told = can_be_told && retag(lane, command, tap);
    if (tap->state == AMQP_TAP_ENDING)
        return is_told;
    if (lane->intake.next_mode != lane->intake.mode) /* it may be the one that the lane waits for */
        amqp_queues_leave(lane);
    lane->intake.has_reused = true;
    lane->intake.recent = NULL;
    if (tap == tap->consumer->tap)
        amqp_consumers_withdraw(all, tap->consumer);
    amqp_consumers_drop_tap(all, tap);
    amqp_intake_account(lane);
    return is_told;
}

static struct amqp_tap *tap_of(struct amqp_intake *intake, struct amqp_span alias)
{
    const struct amqp_tap *recent = intake->recent;
    if (recent == NULL || recent->alias_len != alias.len || memcmp(recent->alias, alias.data, alias.len) != 0)
        intake->recent = amqp_consumers_find_tap(&intake->consumers, alias);
    return intake->recent;
}

uint64_t amqp_delivery_tag(const struct amqp_command *deliver)
{
    return amqp_get_u64(deliver->payload + 5 + deliver->payload[4]);
}

static void note_wide(struct amqp_lane *lane, struct amqp_tap *tap, uint64_t tag, size_t bytes)
{
    struct amqp_consumer *consumer = tap->consumer;
    if (!amqp_lane_speaks(lane) || lane->intake.mode == AMQP_INTAKE_TX)
        return;
    if (tap->first == 0)
        tap->first = tag;
    tap->messages++;
    tap->bytes += bytes;
    if (amqp_deliveries_add(&consumer->held, tag, AMQP_HELD_BY_CLIENT) < 0)
        amqp_intake_no_memory(lane);
    else
        amqp_intake_fit_one(lane, consumer);
    amqp_intake_account(lane);
}

static bool hear_deliver(struct amqp_lane *lane, struct amqp_command **command)
{
    const uint64_t tag = amqp_delivery_tag(*command);
    struct amqp_tap *tap = tap_of(&lane->intake, first_short_string(*command));
    lane->intake.newest = tag;
    if (tap == NULL)
        return true;
    if (!tap->terms.no_ack)
        amqp_intake_add(lane, tag, tap->consumer->no_ack ? AMQP_HELD_BY_PROXY : AMQP_HELD_BY_CLIENT);
    if (tap->consumer->is_wide)
        note_wide(lane, tap, tag, amqp_command_cost(*command));
    return retag(lane, command, tap);
}

bool amqp_intake_hear_consumer(struct amqp_lane *lane, struct amqp_command **command)
{
    switch ((*command)->spec->id) {
    case AMQP_BASIC_CONSUME_OK_METHOD: return hear_consume_ok(lane, command);
    case AMQP_BASIC_CANCEL_OK_METHOD: return hear_cancel_ok(lane, command);
    case AMQP_BASIC_CANCEL_METHOD: return hear_cancel(lane, command);
    case AMQP_BASIC_DELIVER_METHOD: return hear_deliver(lane, command);
    default: return true;
    }
}

/* A queue went away while a consumer of it was being replaced: alone the client would have heard of a cancel.
 */
void amqp_intake_hear_close(struct amqp_lane *lane, const struct amqp_command *close)
{
    struct amqp_consumer *consumer = lane->intake.consumers.by_tag;
    const struct amqp_span arguments = amqp_command_arguments(close);
    const uint32_t method = amqp_get_u32(arguments.data + arguments.len - 4);
    if (method != AMQP_BASIC_CONSUME_METHOD || (lane->member->front.can & AMQP_CAN_CANCEL_NOTIFY) == 0)
        return;
    for (; consumer != NULL; consumer = consumer->hh.next) {
        amqp_basic_cancel_t cancel = {.consumer_tag = amqp_bytes_of(amqp_consumer_tag(consumer))};
        if (consumer->next != NULL)
            amqp_member_tell(lane->member, lane->number,
                             amqp_command_make(AMQP_BASIC_CANCEL_METHOD, &cancel));
    }
}
