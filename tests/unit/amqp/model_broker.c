/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/model_broker.h"
#include "amqp/content_check.h"
#include "amqp/method_codec.h"
#include "amqp/rules.h"
#include "amqp/wire.h"
#include "tests/unit/amqp/narrate.h"
#include <amqp_framing.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct amqp_front_config config = {
    .frame_max = 8192,
    .channel_max = MODEL_CHANNELS - 1,
    .heartbeat_s = 60,
    .handshake_timeout_ms = 10000,
    .close_timeout_ms = 5000,
};
static const struct amqp_assembler_rules client_rules = {
    .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = UINT64_MAX};
/* Any token that is long enough can be decoded here. */
static bool is_reply_token(void *ctx, struct amqp_span token)
{
    (void)ctx;
    return token.len > 30;
}

static const struct amqp_rules rules = {.body_max = UINT64_MAX, .is_reply_token = is_reply_token};
static const struct amqp_front_ops front_ops;

static struct model_broker *model_of(struct amqp_front *front)
{
    return (struct model_broker *)((char *)front - offsetof(struct model_broker, front));
}

static const char *name_of(const struct model_broker *model)
{
    return model->main != NULL ? "broker, apart" : "broker";
}

static void init_channel(struct model_channel *channel)
{
    channel->session = MODEL_PROXY;
    STAILQ_INIT(&channel->inbox);
    TAILQ_INIT(&channel->deliveries.unacked);
}

void model_broker_init(struct model_broker *model)
{
    memset(model, 0, sizeof(*model));
    amqp_front_init(&model->front, &front_ops, &config, 0);
    STAILQ_INIT(&model->answers);
    STAILQ_INIT(&model->out);
    LIST_INIT(&model->queues);
    for (int i = 0; i < MODEL_CHANNELS; i++)
        init_channel(&model->channels[i]);
}

void model_broker_deinit(struct model_broker *model)
{
    model_queues_clear(model);
    for (int i = 0; i < MODEL_CHANNELS; i++) {
        amqp_command_queue_clear(&model->channels[i].inbox);
        amqp_assembler_reset(&model->channels[i].assembler);
    }
    amqp_command_queue_clear(&model->answers);
    amqp_command_queue_clear(&model->out);
    amqp_front_deinit(&model->front);
}

void model_kill(struct model_broker *model, enum amqp_code code, uint32_t method, const char *text)
{
    if (model->killed.code == AMQP_CODE_NONE)
        amqp_exception_set(&model->killed, AMQP_SCOPE_CONNECTION, code, method, "%s", text);
}

/* --- answers --- */

struct amqp_command *model_answer(struct model_broker *model, uint16_t channel, uint32_t method,
                                  void *decoded)
{
    struct amqp_command *command = amqp_command_make(method, decoded);
    if (command == NULL)
        abort();
    command->channel = channel;
    STAILQ_INSERT_TAIL(&model->answers, command, entry);
    return command;
}

static void answer_plainly(struct model_broker *model, uint16_t channel, uint32_t method)
{
    union {
        amqp_channel_open_ok_t open_ok;
        amqp_queue_declare_ok_t declare_ok;
        amqp_basic_get_empty_t get_empty;
        uint8_t zeros[256];
    } nothing = {.zeros = {0}};
    model_answer(model, channel, method, &nothing);
}

void model_refuse_channel(struct model_broker *model, uint16_t number, uint16_t code, uint32_t method,
                          const char *text)
{
    amqp_channel_close_t close = {.reply_code = code,
                                  .reply_text = amqp_cstring_bytes(text),
                                  .class_id = amqp_method_class(method),
                                  .method_id = (uint16_t)(method & 0xFFFF)};
    model->channels[number].state = MODEL_CLOSING;
    model_leave_queues(model, number);
    model_answer(model, number, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

/* A channel that both sides have closed is gone with the Close-Ok to its own Close, and with it what it has
 * not said until then. */
static void lose_close_ok(struct model_broker *model, uint16_t number)
{
    struct amqp_command *command;
    struct amqp_command *next;
    for (command = STAILQ_FIRST(&model->answers); command != NULL; command = next) {
        next = STAILQ_NEXT(command, entry);
        if (command->channel != number || command->spec->id != AMQP_CHANNEL_CLOSE_OK_METHOD)
            continue;
        STAILQ_REMOVE(&model->answers, command, amqp_command, entry);
        amqp_command_destroy(command);
    }
}

/* What changes when an answer goes out. */
static void note_answer(struct model_broker *model, const struct amqp_command *command)
{
    struct model_channel *channel = &model->channels[command->channel];
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    if (command->spec->id == AMQP_TX_COMMIT_OK_METHOD)
        channel->is_committing = false;
    else if (command->spec->id == AMQP_QUEUE_DECLARE_OK_METHOD ||
             command->spec->id == AMQP_QUEUE_DELETE_OK_METHOD)
        channel->is_making = false;
    else if (command->spec->id == AMQP_BASIC_CONSUME_OK_METHOD && channel->state == MODEL_OPEN)
        model_consume_ok_gone(model, command->channel, amqp_take_short_string(&c));
}

unsigned model_broker_answer(struct model_broker *model, unsigned n)
{
    unsigned gone = 0;
    while (gone < n && !STAILQ_EMPTY(&model->answers)) {
        struct amqp_command *command = STAILQ_FIRST(&model->answers);
        STAILQ_REMOVE_HEAD(&model->answers, entry);
        narrate_command(name_of(model), "answers", command->channel, command);
        note_answer(model, command);
        STAILQ_INSERT_TAIL(&model->out, command, entry);
        gone++;
    }
    return gone;
}

/* --- commands --- */

/* The fields that matter of basic.ack, reject and nack lie alike: the tag, then bits. */
static void handle_settle(struct model_broker *model, uint16_t number, const struct amqp_command *command)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    const uint64_t tag = amqp_take_u64(&c);
    const uint8_t bits = amqp_take_u8(&c);
    const uint32_t method = command->spec->id;
    if (method == AMQP_BASIC_ACK_METHOD && tag > model->names.acks_due_to(model->names.ctx, number))
        model_kill(model, AMQP_CODE_INTERNAL_ERROR, method, "acknowledged, and its client has not heard it");
    if (method == AMQP_BASIC_REJECT_METHOD)
        model_settle(model, number, method, tag, false, bits & 1);
    else
        model_settle(model, number, method, tag, bits & 1, method == AMQP_BASIC_NACK_METHOD && (bits & 2));
}

static void handle_declare(struct model_broker *model, uint16_t number, const amqp_queue_declare_t *declare)
{
    amqp_queue_declare_ok_t ok = {.queue = declare->queue};
    if (declare->passive && declare->queue.len >= 7 && memcmp(declare->queue.bytes, "missing", 7) == 0)
        model_refuse_channel(model, number, AMQP_NOT_FOUND, AMQP_QUEUE_DECLARE_METHOD,
                             "NOT_FOUND - no queue");
    else if (!declare->nowait)
        model_answer(model, number, AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
}

static void confirm(struct model_broker *model, uint16_t number)
{
    struct model_channel *channel = &model->channels[number];
    amqp_basic_ack_t ack = {.delivery_tag = ++channel->confirmed};
    model_answer(model, number, AMQP_BASIC_ACK_METHOD, &ack);
}

void model_broker_confirm(struct model_broker *model)
{
    for (uint16_t i = 1; i < MODEL_CHANNELS; i++) {
        for (; model->channels[i].unconfirmed > 0; model->channels[i].unconfirmed--)
            confirm(model, i);
    }
}

bool model_broker_owes_confirms(const struct model_broker *model)
{
    for (int i = 1; i < MODEL_CHANNELS; i++) {
        if (model->channels[i].unconfirmed > 0)
            return true;
    }
    return false;
}

static void handle_publish(struct model_broker *model, uint16_t number, const struct amqp_command *command,
                           const amqp_basic_publish_t *publish)
{
    struct model_broker *main = model->main != NULL ? model->main : model;
    if (publish->exchange.len > 0) {
        model_refuse_channel(model, number, AMQP_NOT_FOUND, AMQP_BASIC_PUBLISH_METHOD,
                             "NOT_FOUND - no exchange");
        return;
    }
    model->run = model->last_channel == number ? model->run + 1 : 1;
    model->last_channel = number;
    if (model->run > model->in_a_row)
        model->in_a_row = model->run;
    main->published++;
    main->published_bytes += command->body_len;
    model_publish(main, command);
    if (model->channels[number].is_confirming && model->is_unsure)
        model->channels[number].unconfirmed++;
    else if (model->channels[number].is_confirming)
        confirm(model, number);
}

static void handle_confirm_select(struct model_broker *model, uint16_t number,
                                  const amqp_confirm_select_t *select)
{
    model->channels[number].is_confirming = true;
    if (!select->nowait)
        answer_plainly(model, number, AMQP_CONFIRM_SELECT_OK_METHOD);
}

static void handle_tx_select(struct model_broker *model, uint16_t number)
{
    if (model->channels[number].is_confirming)
        model_refuse_channel(model, number, AMQP_PRECONDITION_FAILED, AMQP_TX_SELECT_METHOD,
                             "PRECONDITION_FAILED - cannot switch from confirm to tx mode");
    else
        answer_plainly(model, number, AMQP_TX_SELECT_OK_METHOD);
}

/* There is every exchange that anybody speaks of, but for publishing. */
static void handle_exchange(struct model_broker *model, uint16_t number, uint32_t method, const void *decoded)
{
    const bool is_quiet =
        method == AMQP_EXCHANGE_DECLARE_METHOD  ? ((const amqp_exchange_declare_t *)decoded)->nowait
        : method == AMQP_EXCHANGE_DELETE_METHOD ? ((const amqp_exchange_delete_t *)decoded)->nowait
        : method == AMQP_EXCHANGE_BIND_METHOD   ? ((const amqp_exchange_bind_t *)decoded)->nowait
                                                : ((const amqp_exchange_unbind_t *)decoded)->nowait;
    const uint32_t answer =
        method == AMQP_EXCHANGE_UNBIND_METHOD ? AMQP_EXCHANGE_UNBIND_OK_METHOD : method + 1;
    if (!is_quiet)
        answer_plainly(model, number, answer);
}

static void handle_open(struct model_broker *model, uint16_t number, const struct amqp_command *command,
                        const void *decoded)
{
    struct model_channel *channel = &model->channels[number];
    amqp_channel_flow_ok_t flow_ok = {.active = 1};
    model_names_disturb(model, number, command->spec->id);
    switch (command->spec->id) {
    case AMQP_CHANNEL_OPEN_METHOD:
        model_kill(model, AMQP_CODE_CHANNEL_ERROR, command->spec->id, "second open");
        break;
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
    case AMQP_CHANNEL_FLOW_OK_METHOD:
    case AMQP_BASIC_CANCEL_OK_METHOD:
        model_kill(model, AMQP_CODE_COMMAND_INVALID, command->spec->id, "unimplemented method");
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        channel->state = MODEL_CLOSED;
        channel->is_committing = false;
        channel->is_making = false;
        model_leave_queues(model, number);
        answer_plainly(model, number, AMQP_CHANNEL_CLOSE_OK_METHOD);
        break;
    case AMQP_TX_COMMIT_METHOD:
        channel->is_committing = true;
        model->commits++;
        answer_plainly(model, number, AMQP_TX_COMMIT_OK_METHOD);
        break;
    case AMQP_BASIC_CONSUME_METHOD: model_consume(model, number, decoded); break;
    case AMQP_BASIC_CANCEL_METHOD: model_cancel(model, number, decoded); break;
    case AMQP_QUEUE_DECLARE_METHOD: handle_declare(model, number, decoded); break;
    case AMQP_BASIC_PUBLISH_METHOD: handle_publish(model, number, command, decoded); break;
    case AMQP_EXCHANGE_DECLARE_METHOD:
    case AMQP_EXCHANGE_DELETE_METHOD:
    case AMQP_EXCHANGE_BIND_METHOD:
    case AMQP_EXCHANGE_UNBIND_METHOD: handle_exchange(model, number, command->spec->id, decoded); break;
    case AMQP_BASIC_GET_METHOD: model_get(model, number, decoded); break;
    case AMQP_BASIC_ACK_METHOD:
    case AMQP_BASIC_NACK_METHOD:
    case AMQP_BASIC_REJECT_METHOD: handle_settle(model, number, command); break;
    case AMQP_BASIC_RECOVER_METHOD:
        model_die_by_stream(model, number, command->spec->id);
        model_recover(model, number);
        answer_plainly(model, number, AMQP_BASIC_RECOVER_OK_METHOD);
        model_push(model);
        break;
    case AMQP_BASIC_RECOVER_ASYNC_METHOD:
        model_die_by_stream(model, number, command->spec->id);
        model_recover(model, number);
        model_push(model);
        break;
    case AMQP_TX_SELECT_METHOD: handle_tx_select(model, number); break;
    case AMQP_TX_ROLLBACK_METHOD: answer_plainly(model, number, AMQP_TX_ROLLBACK_OK_METHOD); break;
    case AMQP_CONFIRM_SELECT_METHOD: handle_confirm_select(model, number, decoded); break;
    case AMQP_BASIC_QOS_METHOD: model_qos(model, number, decoded); break;
    case AMQP_CHANNEL_FLOW_METHOD: model_answer(model, number, AMQP_CHANNEL_FLOW_OK_METHOD, &flow_ok); break;
    default: break;
    }
}

static bool leaves_a_mark(uint32_t method)
{
    if (amqp_method_class(method) == AMQP_CLASS_BASIC)
        return method != AMQP_BASIC_PUBLISH_METHOD;
    return method == AMQP_TX_SELECT_METHOD || method == AMQP_CONFIRM_SELECT_METHOD;
}

/* An open channel may change hands when it is as it was opened, and all that was said on it is answered. */
static void note_session(struct model_broker *model, uint16_t number, uint32_t method)
{
    struct model_channel *channel = &model->channels[number];
    const int session = model->names.session_of(model->names.ctx, number);
    if (session != channel->session && (!channel->is_fenced || channel->is_marked))
        model_kill(model, AMQP_CODE_INTERNAL_ERROR, method, "a channel has changed hands");
    channel->session = session;
    channel->is_fenced = method == AMQP_CHANNEL_FLOW_METHOD;
    channel->is_marked = channel->is_marked || leaves_a_mark(method);
}

static void open_channel(struct model_broker *model, uint16_t number)
{
    struct model_channel *channel = &model->channels[number];
    channel->state = MODEL_OPEN;
    channel->session = model->names.session_of(model->names.ctx, number);
    channel->is_fenced = false;
    channel->is_marked = false;
    channel->is_confirming = false;
    channel->is_making = false;
    channel->confirmed = 0;
    channel->unconfirmed = 0;
    channel->last_queue[0] = '\0';
    model->opened++;
    answer_plainly(model, number, AMQP_CHANNEL_OPEN_OK_METHOD);
}

/* Whether a connection for publishing may be used for it. */
static bool is_publishing(const struct amqp_command *command)
{
    switch (command->spec->id) {
    case AMQP_CHANNEL_OPEN_METHOD:
    case AMQP_CHANNEL_FLOW_METHOD:
    case AMQP_CHANNEL_CLOSE_METHOD:
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
    case AMQP_BASIC_PUBLISH_METHOD:
    case AMQP_CONFIRM_SELECT_METHOD:
    case AMQP_TX_SELECT_METHOD: /* to be refused */
    case AMQP_TX_COMMIT_METHOD:
    case AMQP_TX_ROLLBACK_METHOD: return true;
    default: return false;
    }
}

static void handle(struct model_broker *model, uint16_t number, const struct amqp_command *command)
{
    struct model_channel *channel = &model->channels[number];
    const uint32_t method = command->spec->id;
    amqp_pool_t pool;
    struct amqp_exception e;
    narrate_command(name_of(model), "handles", number, command);
    init_amqp_pool(&pool, 4096);
    void *decoded = amqp_command_decode(command, &pool);
    if (decoded == NULL)
        abort();
    if (model->main != NULL && !is_publishing(command)) {
        model_kill(model, AMQP_CODE_COMMAND_INVALID, method, "not for publishing");
    } else if (channel->state == MODEL_CLOSED && method != AMQP_CHANNEL_OPEN_METHOD) {
        model_kill(model, AMQP_CODE_CHANNEL_ERROR, method, "expected 'channel.open'");
    } else if (channel->state == MODEL_CLOSED) {
        open_channel(model, number);
    } else if (channel->state == MODEL_CLOSING) {
        if (method == AMQP_CHANNEL_CLOSE_OK_METHOD) {
            channel->state = MODEL_CLOSED;
            lose_close_ok(model, number);
        } else if (method == AMQP_CHANNEL_CLOSE_METHOD) {
            answer_plainly(model, number, AMQP_CHANNEL_CLOSE_OK_METHOD);
        } else if (method == AMQP_CHANNEL_OPEN_METHOD) {
            model_kill(model, AMQP_CODE_CHANNEL_ERROR, method, "second open");
        }
    } else if (channel->is_committing && method != AMQP_CHANNEL_CLOSE_METHOD) {
        model_kill(model, AMQP_CODE_CHANNEL_ERROR, method, "in the middle of tx.commit");
    } else if (!amqp_rules_check(&rules, command, decoded, &e)) {
        model_kill(model, e.code, method, e.text);
    } else {
        note_session(model, number, method);
        if (!model_names_handle(model, number, command, decoded))
            handle_open(model, number, command, decoded);
    }
    empty_amqp_pool(&pool);
}

unsigned model_broker_run(struct model_broker *model, uint16_t number, unsigned n)
{
    struct amqp_command_queue *inbox = &model->channels[number].inbox;
    unsigned handled = 0;
    while (handled < n && !STAILQ_EMPTY(inbox)) {
        struct amqp_command *command = STAILQ_FIRST(inbox);
        STAILQ_REMOVE_HEAD(inbox, entry);
        handle(model, number, command);
        amqp_command_destroy(command);
        handled++;
    }
    return handled;
}

unsigned model_broker_run_all(struct model_broker *model)
{
    unsigned handled = 0;
    for (uint16_t i = 1; i < MODEL_CHANNELS; i++)
        handled += model_broker_run(model, i, UINT_MAX);
    return handled;
}

/* --- the connection --- */

static void on_login(struct amqp_front *front, const struct amqp_login *login)
{
    (void)login;
    amqp_front_login_ok(front, 0);
}

static void on_open(struct amqp_front *front, struct amqp_span vhost)
{
    (void)vhost;
    amqp_front_open_ok(front, 0);
}

static void on_frame(struct amqp_front *front, const struct amqp_frame *frame, uint64_t now)
{
    struct model_broker *model = model_of(front);
    struct amqp_command *command = NULL;
    struct amqp_exception e;
    (void)now;
    if (frame->channel >= MODEL_CHANNELS) {
        model_kill(model, AMQP_CODE_NOT_ALLOWED, 0, "channel over channel_max");
        return;
    }
    switch (
        amqp_assembler_feed(&model->channels[frame->channel].assembler, &client_rules, frame, &command, &e)) {
    case AMQP_ASSEMBLER_MORE: break;
    case AMQP_ASSEMBLER_COMMAND:
        STAILQ_INSERT_TAIL(&model->channels[frame->channel].inbox, command, entry);
        if (!model->is_lazy)
            model_broker_run(model, frame->channel, UINT_MAX);
        break;
    case AMQP_ASSEMBLER_REFUSED: model_kill(model, e.code, e.method, e.text); break;
    default: abort();
    }
}

/* The connection is on its way out: nothing more is handled. */
static void forget_commands(struct model_broker *model)
{
    for (int i = 0; i < MODEL_CHANNELS; i++)
        amqp_command_queue_clear(&model->channels[i].inbox);
}

static void on_close(struct amqp_front *front)
{
    forget_commands(model_of(front));
    amqp_front_close_ok(front);
}

static const struct amqp_front_ops front_ops = {
    .on_login = on_login, .on_open = on_open, .on_frame = on_frame, .on_close = on_close};

void model_broker_feed(struct model_broker *model, const uint8_t *data, size_t len)
{
    amqp_front_feed(&model->front, data, len, 0);
    if (model->front.end.code != AMQP_CODE_NONE && model->front.end.code != AMQP_CODE_CONNECTION_FORCED)
        model_kill(model, model->front.end.code, model->front.end.method, model->front.end.text);
}

size_t model_broker_write(struct model_broker *model, uint8_t *buf, size_t size)
{
    size_t used = amqp_front_write(&model->front, buf, size);
    while (!STAILQ_EMPTY(&model->out)) {
        struct amqp_command *command = STAILQ_FIRST(&model->out);
        used += amqp_command_write(command, config.frame_max, buf + used, size - used);
        if (!amqp_command_written(command))
            break;
        STAILQ_REMOVE_HEAD(&model->out, entry);
        amqp_command_destroy(command);
    }
    return used;
}

void model_broker_close_channel(struct model_broker *model, uint16_t channel)
{
    if (channel < MODEL_CHANNELS && model->channels[channel].state == MODEL_OPEN)
        model_refuse_channel(model, channel, AMQP_NOT_FOUND, 0, "NOT_FOUND - it went away");
}

void model_broker_close(struct model_broker *model, const char *text)
{
    struct amqp_exception e;
    amqp_exception_set(&e, AMQP_SCOPE_CONNECTION, AMQP_CODE_CONNECTION_FORCED, 0, "%s", text);
    amqp_front_close(&model->front, &e, 0);
    forget_commands(model);
}

unsigned model_broker_open_channels(const struct model_broker *model)
{
    unsigned open = 0;
    for (int i = 0; i < MODEL_CHANNELS; i++)
        open += model->channels[i].state != MODEL_CLOSED;
    return open;
}
