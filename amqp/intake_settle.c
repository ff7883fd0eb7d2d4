/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/intake.h"
#include "amqp/member.h"
#include "amqp/method_codec.h"
#include "amqp/wire.h"
#include <amqp_framing.h>

/*
 * Acknowledgements of the client's and of the proxy's on one channel. "Multiple" means all below a tag,
 * whoever holds them; where the client's and the proxy's lie mixed, it is said anew for each run of one
 * holder's, from the lowest up, so that each settles just that run:
 *
 *     tags     1 2 3 4 5 6        client: ack 6, multiple
 *     holder   C C P C P C   ──►  ack 2 m, ack 3 m (ours), ack 4 m, ack 5 m (ours), ack 6 m
 *
 * The proxy's are settled early then. That takes a client which acknowledges what it has not read, or all.
 */

enum { TAG_AT = 4, BITS_AT = 12 };

/* --- the proxy's --- */

static int ack(struct amqp_lane *lane, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t said = {.delivery_tag = tag, .multiple = multiple};
    return amqp_intake_say(lane, AMQP_BASIC_ACK_METHOD, &said);
}

void amqp_intake_written(struct amqp_lane *lane, uint64_t first, uint64_t last)
{
    struct amqp_deliveries *d = &lane->intake.deliveries;
    const uint64_t clients = amqp_deliveries_next(d, AMQP_HELD_BY_CLIENT, 0);
    if (lane->is_committing || !amqp_lane_speaks(lane))
        return;
    if (clients == 0 || clients > last) {
        amqp_intake_remove_to(lane, last);
        ack(lane, last, true);
    } else {
        for (uint64_t tag = amqp_deliveries_next(d, AMQP_HELD_BY_PROXY, first); tag != 0 && tag <= last;
             tag = amqp_deliveries_next(d, AMQP_HELD_BY_PROXY, tag + 1)) {
            amqp_intake_remove(lane, tag);
            if (ack(lane, tag, false) < 0)
                break;
        }
    }
    amqp_intake_account(lane);
}

void amqp_intake_let_go(struct amqp_lane *lane)
{
    const struct amqp_deliveries *d = &lane->intake.deliveries;
    const uint64_t first = amqp_deliveries_next(d, AMQP_HELD_BY_PROXY, 0);
    if (first != 0)
        amqp_intake_written(lane, first, amqp_deliveries_last(d, AMQP_HELD_BY_PROXY, UINT64_MAX));
}

/* --- the client's --- */

static int fail(struct amqp_command *command, struct amqp_exception *e)
{
    amqp_command_destroy(command);
    amqp_exception_set(e, AMQP_SCOPE_CONNECTION, AMQP_CODE_RESOURCE_ERROR, 0, "out of memory");
    return -1;
}

/* As RabbitMQ says it. */
static int refuse(struct amqp_command *command, uint64_t tag, struct amqp_exception *e)
{
    amqp_exception_set(e, AMQP_SCOPE_CHANNEL, AMQP_CODE_PRECONDITION_FAILED, command->spec->id,
                       "unknown delivery tag %llu", (unsigned long long)tag);
    amqp_command_destroy(command);
    return -1;
}

/* To the client, those of the proxy were settled long ago. What is still under way it can't know. */
static bool is_unknown(const struct amqp_intake *intake, uint64_t tag, enum amqp_holder holder)
{
    return tag > intake->newest || holder == AMQP_HELD_BY_PROXY;
}

/* One that is not there: the broker refuses it. */
static void pass_in_vain(struct amqp_lane *lane, struct amqp_command *command)
{
    amqp_intake_pass(lane, command);
    amqp_outlet_expect_refusal(lane);
}

/* The client's command once more, for all up to `tag`. */
static int repeat(struct amqp_lane *lane, const struct amqp_command *command, uint64_t tag)
{
    struct amqp_command *again = amqp_command_create(command->spec, command->payload, command->payload_len);
    if (again == NULL)
        return -1;
    amqp_put_u64(again->payload + TAG_AT, tag);
    again->payload[BITS_AT] |= 1;
    amqp_intake_pass(lane, again);
    return 0;
}

/* Settles everything up to `tag`, run by run: the client's by its command, the proxy's by an ack. */
static int settle_to(struct amqp_lane *lane, const struct amqp_command *command, uint64_t tag)
{
    struct amqp_deliveries *d = &lane->intake.deliveries;
    for (;;) {
        const uint64_t clients = amqp_deliveries_next(d, AMQP_HELD_BY_CLIENT, 0);
        const uint64_t proxys = amqp_deliveries_next(d, AMQP_HELD_BY_PROXY, 0);
        const bool is_clients = clients != 0 && (proxys == 0 || clients < proxys);
        const uint64_t other = is_clients ? proxys : clients;
        const uint64_t most = other != 0 && other <= tag ? other - 1 : tag;
        const uint64_t last =
            amqp_deliveries_last(d, is_clients ? AMQP_HELD_BY_CLIENT : AMQP_HELD_BY_PROXY, most);
        if (last == 0)
            return 0;
        amqp_intake_remove_to(lane, last);
        if ((is_clients ? repeat(lane, command, last) : ack(lane, last, true)) < 0)
            return -1;
    }
}

static int settle_many(struct amqp_lane *lane, struct amqp_command *command, uint64_t tag,
                       struct amqp_exception *e)
{
    struct amqp_deliveries *d = &lane->intake.deliveries;
    const uint64_t to = tag != 0 ? tag : amqp_deliveries_last(d, AMQP_HELD_BY_CLIENT, UINT64_MAX);
    const enum amqp_holder holder = amqp_deliveries_holder(d, tag);
    if (is_unknown(&lane->intake, tag, holder))
        return refuse(command, tag, e);
    if (tag != 0 && holder == AMQP_HELD_BY_NOBODY) {
        pass_in_vain(lane, command);
        return 0;
    }
    if (to != 0 && settle_to(lane, command, to) < 0)
        return fail(command, e);
    amqp_command_destroy(command);
    return 0;
}

static int settle_one(struct amqp_lane *lane, struct amqp_command *command, uint64_t tag,
                      struct amqp_exception *e)
{
    const enum amqp_holder holder = amqp_deliveries_holder(&lane->intake.deliveries, tag);
    if (is_unknown(&lane->intake, tag, holder))
        return refuse(command, tag, e);
    if (holder == AMQP_HELD_BY_NOBODY) {
        pass_in_vain(lane, command);
    } else {
        amqp_intake_remove(lane, tag);
        amqp_intake_pass(lane, command);
    }
    return 0;
}

int amqp_intake_settle(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    const uint64_t tag = amqp_get_u64(command->payload + TAG_AT);
    const bool can_be_multiple = command->spec->id != AMQP_BASIC_REJECT_METHOD;
    int rc = 0;
    if (lane->intake.mode == AMQP_INTAKE_TX) {
        amqp_intake_pass(lane, command);
    } else if (can_be_multiple && (command->payload[BITS_AT] & 1) != 0) {
        rc = settle_many(lane, command, tag, e);
    } else {
        rc = settle_one(lane, command, tag, e);
    }
    amqp_intake_account(lane);
    return rc;
}

/* --- recovery --- */

/* basic.nack for all, which is the same to the broker but for the answer. */
static int requeue_all(struct amqp_lane *lane)
{
    static const uint8_t payload[] = {0, 60, 0, 120, 0, 0, 0, 0, 0, 0, 0, 0, 3}; /* multiple, requeue */
    struct amqp_command *nack =
        amqp_command_create(amqp_method_spec(AMQP_BASIC_NACK_METHOD), payload, sizeof(payload));
    if (nack == NULL)
        return -1;
    const int rc = settle_to(lane, nack, UINT64_MAX);
    amqp_command_destroy(nack);
    return rc;
}

int amqp_intake_recover(struct amqp_lane *lane, struct amqp_command *command, struct amqp_exception *e)
{
    struct amqp_intake *intake = &lane->intake;
    const bool is_async = command->spec->id == AMQP_BASIC_RECOVER_ASYNC_METHOD;
    amqp_basic_recover_ok_t ok = {0};
    const bool is_tx = intake->mode == AMQP_INTAKE_TX;
    if (is_tx || (!is_async && intake->recovery != AMQP_RECOVERY_READY)) {
        intake->recovery = is_tx ? AMQP_RECOVERY_NONE : AMQP_RECOVERY_SENT;
        amqp_intake_pass(lane, command);
        return 0;
    }
    intake->recovery = AMQP_RECOVERY_NONE;
    if (requeue_all(lane) < 0)
        return fail(command, e);
    amqp_command_destroy(command);
    if (!is_async)
        amqp_member_tell(lane->member, lane->number, amqp_command_make(AMQP_BASIC_RECOVER_OK_METHOD, &ok));
    amqp_intake_account(lane);
    return 0;
}
