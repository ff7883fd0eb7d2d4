/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/ledger.h"
#include "amqp/method_codec.h"
#include "tests/unit/amqp/narrate.h"
#include "tests/unit/amqp/require.h"
#include <amqp_framing.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct amqp_assembler_rules by_client = {
    .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = UINT64_MAX};
static const struct amqp_assembler_rules by_server = {.sender = AMQP_BY_SERVER, .body_max = UINT64_MAX};

/* --- which commands have which answers --- */

enum { ALWAYS = -1 }; /* there is no nowait */

static const struct answer {
    uint32_t command;
    uint32_t answer;
    int nowait; /* where it is in rabbitmq-c's structure */
} answers[] = {
    {AMQP_CHANNEL_OPEN_METHOD, AMQP_CHANNEL_OPEN_OK_METHOD, ALWAYS},
    {AMQP_CHANNEL_FLOW_METHOD, AMQP_CHANNEL_FLOW_OK_METHOD, ALWAYS},
    {AMQP_CHANNEL_CLOSE_METHOD, AMQP_CHANNEL_CLOSE_OK_METHOD, ALWAYS},
    {AMQP_EXCHANGE_DECLARE_METHOD, AMQP_EXCHANGE_DECLARE_OK_METHOD,
     offsetof(amqp_exchange_declare_t, nowait)},
    {AMQP_EXCHANGE_DELETE_METHOD, AMQP_EXCHANGE_DELETE_OK_METHOD, offsetof(amqp_exchange_delete_t, nowait)},
    {AMQP_EXCHANGE_BIND_METHOD, AMQP_EXCHANGE_BIND_OK_METHOD, offsetof(amqp_exchange_bind_t, nowait)},
    {AMQP_EXCHANGE_UNBIND_METHOD, AMQP_EXCHANGE_UNBIND_OK_METHOD, offsetof(amqp_exchange_unbind_t, nowait)},
    {AMQP_QUEUE_DECLARE_METHOD, AMQP_QUEUE_DECLARE_OK_METHOD, offsetof(amqp_queue_declare_t, nowait)},
    {AMQP_QUEUE_BIND_METHOD, AMQP_QUEUE_BIND_OK_METHOD, offsetof(amqp_queue_bind_t, nowait)},
    {AMQP_QUEUE_UNBIND_METHOD, AMQP_QUEUE_UNBIND_OK_METHOD, ALWAYS},
    {AMQP_QUEUE_PURGE_METHOD, AMQP_QUEUE_PURGE_OK_METHOD, offsetof(amqp_queue_purge_t, nowait)},
    {AMQP_QUEUE_DELETE_METHOD, AMQP_QUEUE_DELETE_OK_METHOD, offsetof(amqp_queue_delete_t, nowait)},
    {AMQP_BASIC_QOS_METHOD, AMQP_BASIC_QOS_OK_METHOD, ALWAYS},
    {AMQP_BASIC_CONSUME_METHOD, AMQP_BASIC_CONSUME_OK_METHOD, offsetof(amqp_basic_consume_t, nowait)},
    {AMQP_BASIC_CANCEL_METHOD, AMQP_BASIC_CANCEL_OK_METHOD, offsetof(amqp_basic_cancel_t, nowait)},
    {AMQP_BASIC_GET_METHOD, AMQP_BASIC_GET_OK_METHOD, ALWAYS}, /* or get-empty */
    {AMQP_BASIC_RECOVER_METHOD, AMQP_BASIC_RECOVER_OK_METHOD, ALWAYS},
    {AMQP_CONFIRM_SELECT_METHOD, AMQP_CONFIRM_SELECT_OK_METHOD, offsetof(amqp_confirm_select_t, nowait)},
    {AMQP_TX_SELECT_METHOD, AMQP_TX_SELECT_OK_METHOD, ALWAYS},
    {AMQP_TX_COMMIT_METHOD, AMQP_TX_COMMIT_OK_METHOD, ALWAYS},
    {AMQP_TX_ROLLBACK_METHOD, AMQP_TX_ROLLBACK_OK_METHOD, ALWAYS},
};

static bool is_nowait(const struct amqp_command *command, int offset)
{
    amqp_pool_t pool;
    amqp_boolean_t nowait;
    init_amqp_pool(&pool, 4096);
    const char *decoded = amqp_command_decode(command, &pool);
    REQUIRE(decoded != NULL);
    memcpy(&nowait, decoded + offset, sizeof(nowait));
    empty_amqp_pool(&pool);
    return nowait;
}

/* 0: none. */
static uint32_t answer_to(const struct amqp_command *command)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct answer *a = &answers[i];
        if (a->command == command->spec->id)
            return a->nowait != ALWAYS && is_nowait(command, a->nowait) ? 0 : a->answer;
    }
    return 0;
}

/* --- channels --- */

void ledger_init(struct ledger *ledger, const char *name)
{
    *ledger = (struct ledger){.name = name, .header_left = 8};
    amqp_frame_reader_init(&ledger->reader, 1 << 20);
}

void ledger_deinit(struct ledger *ledger)
{
    amqp_frame_reader_deinit(&ledger->reader);
    for (int i = 0; i < LEDGER_CHANNELS_MAX && ledger->channels[i] != NULL; i++) {
        amqp_assembler_reset(&ledger->channels[i]->said);
        amqp_assembler_reset(&ledger->channels[i]->heard);
        free(ledger->channels[i]);
    }
}

static struct ledger_channel *make_channel(uint16_t number)
{
    struct ledger_channel *channel = calloc(1, sizeof(*channel));
    REQUIRE(channel != NULL);
    channel->number = number;
    amqp_assembler_init(&channel->said);
    amqp_assembler_init(&channel->heard);
    return channel;
}

/* NULL: there are too many. */
static struct ledger_channel *channel_of(struct ledger *ledger, uint16_t number)
{
    for (int i = 0; i < LEDGER_CHANNELS_MAX; i++) {
        if (ledger->channels[i] == NULL)
            ledger->channels[i] = make_channel(number);
        if (ledger->channels[i]->number == number)
            return ledger->channels[i];
    }
    return NULL;
}

static void remove_awaited(struct ledger_channel *channel, unsigned at)
{
    REQUIRE(at < channel->awaited_count);
    channel->awaited_count--;
    memmove(channel->awaited + at, channel->awaited + at + 1,
            (channel->awaited_count - at) * sizeof(channel->awaited[0]));
}

/* --- what is said --- */

static void await(struct ledger *ledger, struct ledger_channel *channel, uint32_t answer)
{
    if (channel->awaited_count < LEDGER_AWAITED_MAX)
        channel->awaited[channel->awaited_count++] = answer;
    else
        ledger->is_blind = true;
}

/* Whether it has said a Close that is not answered, and nothing to open it again. */
static bool is_closing(const struct ledger_channel *channel)
{
    bool is_closing = false;
    for (unsigned i = 0; i < channel->awaited_count; i++)
        is_closing = channel->awaited[i] == AMQP_CHANNEL_CLOSE_OK_METHOD ||
                     (is_closing && channel->awaited[i] != AMQP_CHANNEL_OPEN_OK_METHOD);
    return is_closing;
}

/* Or has all settled that it has not heard: before transactions, and limits of all consumers. */
static bool settles(uint32_t method)
{
    switch (method) {
    case AMQP_TX_SELECT_METHOD:
    case AMQP_BASIC_QOS_METHOD:
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_REJECT_METHOD:
    case AMQP_BASIC_RECOVER_METHOD:
    case AMQP_BASIC_RECOVER_ASYNC_METHOD: return true;
    default: return false;
    }
}

/* After the server's Close nothing counts but what ends it. How often a channel is closed that is closed
 * twice is nobody's business. */
static void note_said(struct ledger *ledger, struct ledger_channel *channel,
                      const struct amqp_command *command)
{
    const uint32_t method = command->spec->id;
    const uint32_t answer = answer_to(command);
    channel->published += method == AMQP_BASIC_PUBLISH_METHOD;
    channel->is_open = channel->is_open || method == AMQP_CHANNEL_OPEN_METHOD;
    channel->has_settled = channel->has_settled || settles(method);
    if (method == AMQP_CHANNEL_CLOSE_OK_METHOD && !channel->is_refused)
        ledger->is_blind = true;
    else if (method == AMQP_CHANNEL_CLOSE_METHOD && is_closing(channel))
        ledger->is_blind = true;
    else if (method == AMQP_CHANNEL_CLOSE_OK_METHOD)
        channel->is_refused = false;
    else if (answer != 0 && (!channel->is_refused || method == AMQP_CHANNEL_CLOSE_METHOD))
        await(ledger, channel, answer);
}

static void say_frame(struct ledger *ledger, const struct amqp_frame *frame)
{
    struct ledger_channel *channel = frame->channel != 0 ? channel_of(ledger, frame->channel) : NULL;
    struct amqp_command *command = NULL;
    struct amqp_exception e;
    if (frame->channel == 0)
        return;
    const int rc =
        channel != NULL ? amqp_assembler_feed(&channel->said, &by_client, frame, &command, &e) : -1;
    if (rc < 0)
        ledger->is_blind = true;
    else if (rc == AMQP_ASSEMBLER_COMMAND)
        note_said(ledger, channel, command);
    amqp_command_destroy(command);
}

void ledger_say(struct ledger *ledger, const uint8_t *data, size_t len)
{
    struct amqp_frame frame;
    struct amqp_exception e;
    const size_t header = len < ledger->header_left ? len : ledger->header_left;
    int rc = AMQP_FRAME_MORE;
    ledger->header_left -= (unsigned)header;
    data += header;
    len -= header;
    while (!ledger->is_blind &&
           (rc = amqp_frame_reader_next(&ledger->reader, &data, &len, &frame, &e)) == AMQP_FRAME_WHOLE) {
        narrate_frame(ledger->name, "says", &frame);
        say_frame(ledger, &frame);
    }
    ledger->is_blind = ledger->is_blind || rc == AMQP_FRAME_BAD;
}

/* --- what is heard --- */

/* The server's Close: what was said has no answer any more, but a Close of its own. */
static void hear_close(struct ledger *ledger, struct ledger_channel *channel)
{
    unsigned at = 0;
    channel->is_refused = true;
    channel->is_open = false;
    while (at < channel->awaited_count) {
        if (channel->awaited[at] == AMQP_CHANNEL_CLOSE_OK_METHOD)
            at++;
        else
            remove_awaited(channel, at);
    }
    ledger->is_blind = ledger->is_blind || at > 1; /* closed twice, and opened between */
}

static void hear_answer(struct ledger_channel *channel, uint32_t method)
{
    REQUIRE(channel->awaited_count > 0);
    const uint32_t awaited = channel->awaited[0];
    REQUIRE(method == awaited ||
            (awaited == AMQP_BASIC_GET_OK_METHOD && method == AMQP_BASIC_GET_EMPTY_METHOD));
    remove_awaited(channel, 0);
    if (method == AMQP_CHANNEL_OPEN_OK_METHOD)
        channel->last_tag = channel->last_confirm = 0;
    if (method == AMQP_CHANNEL_CLOSE_OK_METHOD)
        channel->is_open = false;
    while (method == AMQP_CHANNEL_CLOSE_OK_METHOD && channel->awaited_count > 0 &&
           channel->awaited[0] != AMQP_CHANNEL_OPEN_OK_METHOD)
        remove_awaited(channel, 0); /* said behind its Close */
}

/* The model broker confirms one message at a time, in order. */
static void hear_confirm(struct ledger_channel *channel, uint64_t tag)
{
    REQUIRE(tag == channel->last_confirm + 1 && tag <= channel->published);
    channel->last_confirm = tag;
}

static void hear_tag(struct ledger_channel *channel, uint64_t tag)
{
    REQUIRE(tag == channel->last_tag + 1);
    channel->last_tag = tag;
}

static void hear_command(struct ledger *ledger, struct ledger_channel *channel,
                         const struct amqp_command *command)
{
    const uint32_t method = command->spec->id;
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    switch (method) {
    case AMQP_BASIC_RETURN_METHOD:
    case AMQP_BASIC_CANCEL_METHOD: break;
    case AMQP_BASIC_DELIVER_METHOD:
        amqp_take_short_string(&c);
        hear_tag(channel, amqp_take_u64(&c));
        break;
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD: hear_confirm(channel, amqp_take_u64(&c)); break;
    case AMQP_CHANNEL_CLOSE_METHOD: hear_close(ledger, channel); break;
    default:
        hear_answer(channel, method);
        if (method == AMQP_BASIC_GET_OK_METHOD)
            hear_tag(channel, amqp_take_u64(&c));
    }
}

void ledger_hear(struct ledger *ledger, const struct amqp_frame *frame)
{
    struct ledger_channel *channel =
        frame->channel != 0 && !ledger->is_blind ? channel_of(ledger, frame->channel) : NULL;
    struct amqp_command *command = NULL;
    struct amqp_exception e;
    narrate_frame(ledger->name, "hears", frame);
    if (channel == NULL)
        return;
    const int rc = amqp_assembler_feed(&channel->heard, &by_server, frame, &command, &e);
    REQUIRE(rc >= 0);
    if (rc == AMQP_ASSEMBLER_COMMAND)
        hear_command(ledger, channel, command);
    amqp_command_destroy(command);
}

/* NULL: it was never used. */
static const struct ledger_channel *find(const struct ledger *ledger, uint16_t number)
{
    for (int i = 0; i < LEDGER_CHANNELS_MAX && ledger->channels[i] != NULL; i++) {
        if (ledger->channels[i]->number == number)
            return ledger->channels[i];
    }
    return NULL;
}

enum ledger_state ledger_state(const struct ledger *ledger, uint16_t number)
{
    const struct ledger_channel *channel = find(ledger, number);
    if (channel == NULL || !(channel->is_open || channel->is_refused))
        return LEDGER_CLOSED;
    if (channel->is_refused)
        return LEDGER_REFUSED;
    return is_closing(channel) ? LEDGER_CLOSING : LEDGER_OPEN;
}

uint64_t ledger_last_tag(const struct ledger *ledger, uint16_t number)
{
    const struct ledger_channel *channel = find(ledger, number);
    return channel != NULL ? channel->last_tag : 0;
}

uint64_t ledger_acks_due_to(const struct ledger *ledger, uint16_t number)
{
    const struct ledger_channel *channel = find(ledger, number);
    return ledger->is_blind || (channel != NULL && channel->has_settled) ? UINT64_MAX
                                                                         : ledger_last_tag(ledger, number);
}

bool ledger_awaits(const struct ledger *ledger)
{
    for (int i = 0; !ledger->is_blind && i < LEDGER_CHANNELS_MAX && ledger->channels[i] != NULL; i++) {
        if (ledger->channels[i]->awaited_count > 0)
            return true;
    }
    return false;
}
