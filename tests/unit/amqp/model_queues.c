/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/model_queues.h"
#include "amqp/method_codec.h"
#include "tests/unit/amqp/model_broker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *prefix;
    size_t len;
} auto_delete = {"auto", 4}, quorum = {"quorum", 6};

/* --- queues --- */

static bool begins_with(const char *name, const char *prefix, size_t len)
{
    return strncmp(name, prefix, len) == 0;
}

static struct model_queue *find_queue(struct model_broker *model, const char *name)
{
    struct model_queue *queue;
    LIST_FOREACH (queue, &model->queues, entry) {
        if (strcmp(queue->name, name) == 0)
            return queue;
    }
    return NULL;
}

static void text_of(char text[256], amqp_bytes_t bytes)
{
    memcpy(text, bytes.bytes, bytes.len);
    text[bytes.len] = '\0';
}

/* The queue of that name, made if need be. NULL: it was deleted. */
static struct model_queue *queue_of(struct model_broker *model, amqp_bytes_t bytes)
{
    char name[256];
    text_of(name, bytes);
    struct model_queue *queue = find_queue(model, name);
    if (queue != NULL || strcmp(name, model->deleted) == 0)
        return queue;
    queue = calloc(1, sizeof(*queue));
    if (queue == NULL)
        abort();
    memcpy(queue->name, name, sizeof(name));
    TAILQ_INIT(&queue->messages);
    TAILQ_INIT(&queue->consumers);
    LIST_INSERT_HEAD(&model->queues, queue, entry);
    return queue;
}

static void free_message(struct model_message *message)
{
    amqp_command_destroy(message->content);
    free(message);
}

/* What was delivered from a queue that is gone is nobody's. */
static void orphan(struct model_broker *model, const struct model_queue *queue)
{
    struct model_message *message;
    for (int i = 0; i < MODEL_CHANNELS; i++) {
        TAILQ_FOREACH (message, &model->channels[i].deliveries.unacked, entry) {
            if (message->queue == queue)
                message->queue = NULL;
        }
    }
}

static void free_queue(struct model_broker *model, struct model_queue *queue)
{
    orphan(model, queue);
    while (!TAILQ_EMPTY(&queue->messages)) {
        struct model_message *message = TAILQ_FIRST(&queue->messages);
        TAILQ_REMOVE(&queue->messages, message, entry);
        free_message(message);
    }
    while (!TAILQ_EMPTY(&queue->consumers)) {
        struct model_consumer *consumer = TAILQ_FIRST(&queue->consumers);
        TAILQ_REMOVE(&queue->consumers, consumer, entry);
        free(consumer);
    }
    LIST_REMOVE(queue, entry);
    free(queue);
}

static struct model_consumer *find_tag(struct model_broker *model, uint16_t channel, const char *tag,
                                       struct model_queue **queue)
{
    struct model_consumer *consumer;
    LIST_FOREACH (*queue, &model->queues, entry) {
        TAILQ_FOREACH (consumer, &(*queue)->consumers, entry) {
            if (consumer->channel == channel && strcmp(consumer->tag, tag) == 0)
                return consumer;
        }
    }
    return NULL;
}

struct model_consumer *model_find_consumer(struct model_broker *model, uint16_t channel)
{
    struct model_queue *queue;
    struct model_consumer *consumer;
    LIST_FOREACH (queue, &model->queues, entry) {
        TAILQ_FOREACH (consumer, &queue->consumers, entry) {
            if (consumer->channel == channel)
                return consumer;
        }
    }
    return NULL;
}

/* --- deliveries --- */

static void add_content(struct amqp_command *command, const struct amqp_command *content)
{
    const struct amqp_span body = amqp_command_body(content);
    if (amqp_command_set_header(command, content->content, content->header_len) < 0 ||
        amqp_command_add_body(command, body.data, body.len) < 0)
        abort();
}

static void await_ack(struct model_deliveries *d, struct model_message *message, const char *consumer)
{
    message->tag = d->last_tag;
    snprintf(message->consumer, sizeof(message->consumer), "%s", consumer);
    TAILQ_INSERT_TAIL(&d->unacked, message, entry);
    d->unacked_count++;
}

static void deliver(struct model_broker *model, struct model_consumer *consumer,
                    struct model_message *message)
{
    struct model_deliveries *d = &model->channels[consumer->channel].deliveries;
    amqp_basic_deliver_t deliver = {.consumer_tag = amqp_cstring_bytes(consumer->tag),
                                    .delivery_tag = ++d->last_tag,
                                    .redelivered = message->is_redelivered};
    add_content(model_answer(model, consumer->channel, AMQP_BASIC_DELIVER_METHOD, &deliver),
                message->content);
    if (consumer->no_ack) {
        free_message(message);
        return;
    }
    consumer->unacked++;
    await_ack(d, message, consumer->tag);
}

static bool can_take(const struct model_broker *model, const struct model_consumer *consumer)
{
    const struct model_deliveries *d = &model->channels[consumer->channel].deliveries;
    if (d->limit > 0 && d->unacked_count >= d->limit)
        return false; /* not even without acknowledgements, which don't count */
    return consumer->no_ack || consumer->prefetch == 0 || consumer->unacked < consumer->prefetch;
}

static struct model_consumer *next_consumer(struct model_broker *model, struct model_queue *queue)
{
    struct model_consumer *consumer;
    TAILQ_FOREACH (consumer, &queue->consumers, entry) {
        if (can_take(model, consumer)) {
            TAILQ_REMOVE(&queue->consumers, consumer, entry);
            TAILQ_INSERT_TAIL(&queue->consumers, consumer, entry);
            return consumer;
        }
    }
    return NULL;
}

static void push(struct model_broker *model, struct model_queue *queue)
{
    struct model_consumer *consumer;
    while (!TAILQ_EMPTY(&queue->messages) && (consumer = next_consumer(model, queue)) != NULL) {
        struct model_message *message = TAILQ_FIRST(&queue->messages);
        TAILQ_REMOVE(&queue->messages, message, entry);
        deliver(model, consumer, message);
    }
}

void model_push(struct model_broker *model)
{
    struct model_queue *queue;
    LIST_FOREACH (queue, &model->queues, entry)
        push(model, queue);
}

void model_publish(struct model_broker *model, const struct amqp_command *command)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    amqp_take_u16(&c);
    amqp_take_short_string(&c);
    struct model_queue *queue = queue_of(model, amqp_bytes_of(amqp_take_short_string(&c)));
    if (queue == NULL)
        return;
    struct model_message *message = calloc(1, sizeof(*message));
    if (message == NULL || (message->content = amqp_command_create(command->spec, command->payload,
                                                                   command->payload_len)) == NULL)
        abort();
    add_content(message->content, command);
    message->queue = queue;
    message->number = model->published;
    TAILQ_INSERT_TAIL(&queue->messages, message, entry);
    push(model, queue);
}

/* --- consumers --- */

static bool is_unacked_tag(const struct model_broker *model, uint16_t channel, const char *tag)
{
    const struct model_message *message;
    TAILQ_FOREACH (message, &model->channels[channel].deliveries.unacked, entry) {
        if (strcmp(message->consumer, tag) == 0)
            return true;
    }
    return false;
}

static bool is_taken(const struct model_queue *queue, bool is_exclusive)
{
    const struct model_consumer *first = TAILQ_FIRST(&queue->consumers);
    return first != NULL && (is_exclusive || first->is_exclusive);
}

static void add_consumer(struct model_broker *model, uint16_t channel, struct model_queue *queue,
                         const char *tag, const amqp_basic_consume_t *consume)
{
    struct model_consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL)
        abort();
    snprintf(consumer->tag, sizeof(consumer->tag), "%s", tag);
    consumer->channel = channel;
    consumer->is_confirmed = consume->nowait;
    consumer->no_ack = consume->no_ack;
    consumer->is_exclusive = consume->exclusive;
    consumer->prefetch = model->channels[channel].deliveries.prefetch;
    TAILQ_INSERT_TAIL(&queue->consumers, consumer, entry);
}

void model_consume(struct model_broker *model, uint16_t channel, const amqp_basic_consume_t *consume)
{
    struct model_queue *queue = queue_of(model, consume->queue);
    struct model_queue *other;
    char tag[256];
    text_of(tag, consume->consumer_tag);
    if (tag[0] == '\0') {
        snprintf(tag, sizeof(tag), model->made_up == 0 ? "amq.ctag-made-up" : "amq.ctag-made-up-%u",
                 model->made_up);
        model->made_up++;
    }
    amqp_basic_consume_ok_t ok = {.consumer_tag = amqp_cstring_bytes(tag)};
    if (find_tag(model, channel, tag, &other) != NULL) {
        model_kill(model, AMQP_CODE_NOT_ALLOWED, AMQP_BASIC_CONSUME_METHOD, "tag used again");
    } else if (queue == NULL) {
        model_refuse_channel(model, channel, AMQP_NOT_FOUND, AMQP_BASIC_CONSUME_METHOD,
                             "NOT_FOUND - no queue");
    } else if (is_taken(queue, consume->exclusive)) {
        model_refuse_channel(model, channel, AMQP_ACCESS_REFUSED, AMQP_BASIC_CONSUME_METHOD,
                             "ACCESS_REFUSED - in exclusive use");
    } else if (begins_with(queue->name, quorum.prefix, quorum.len) && is_unacked_tag(model, channel, tag)) {
        model_kill(model, AMQP_CODE_INTERNAL_ERROR, AMQP_BASIC_CONSUME_METHOD,
                   "tag used again on a quorum queue");
    } else {
        add_consumer(model, channel, queue, tag, consume);
        if (!consume->nowait)
            model_answer(model, channel, AMQP_BASIC_CONSUME_OK_METHOD, &ok);
        push(model, queue);
    }
}

void model_consume_ok_gone(struct model_broker *model, uint16_t channel, struct amqp_span tag)
{
    char text[256];
    struct model_queue *queue;
    text_of(text, amqp_bytes_of(tag));
    struct model_consumer *consumer = find_tag(model, channel, text, &queue);
    if (consumer != NULL)
        consumer->is_confirmed = true;
}

static void remove_consumer(struct model_broker *model, struct model_queue *queue,
                            struct model_consumer *consumer)
{
    TAILQ_REMOVE(&queue->consumers, consumer, entry);
    free(consumer);
    if (TAILQ_EMPTY(&queue->consumers) && begins_with(queue->name, auto_delete.prefix, auto_delete.len))
        free_queue(model, queue);
}

void model_cancel(struct model_broker *model, uint16_t channel, const amqp_basic_cancel_t *cancel)
{
    char tag[256];
    struct model_queue *queue;
    amqp_basic_cancel_ok_t ok = {.consumer_tag = cancel->consumer_tag};
    text_of(tag, cancel->consumer_tag);
    struct model_consumer *consumer = find_tag(model, channel, tag, &queue);
    if (consumer != NULL && !consumer->is_confirmed)
        model_kill(model, AMQP_CODE_INTERNAL_ERROR, AMQP_BASIC_CANCEL_METHOD, "cancel before consume-ok");
    if (!cancel->nowait)
        model_answer(model, channel, AMQP_BASIC_CANCEL_OK_METHOD, &ok);
    if (consumer != NULL)
        remove_consumer(model, queue, consumer);
}

void model_qos(struct model_broker *model, uint16_t channel, const amqp_basic_qos_t *qos)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    amqp_basic_qos_ok_t ok = {0};
    d->limit = qos->global ? qos->prefetch_count : 0;
    if (!qos->global)
        d->prefetch = qos->prefetch_count;
    model_answer(model, channel, AMQP_BASIC_QOS_OK_METHOD, &ok);
    model_push(model);
}

void model_get(struct model_broker *model, uint16_t channel, const amqp_basic_get_t *get)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    struct model_queue *queue = queue_of(model, get->queue);
    struct model_message *message = queue != NULL ? TAILQ_FIRST(&queue->messages) : NULL;
    amqp_basic_get_empty_t empty = {.cluster_id = amqp_empty_bytes};
    if (message == NULL) {
        model_answer(model, channel, AMQP_BASIC_GET_EMPTY_METHOD, &empty);
        return;
    }
    amqp_basic_get_ok_t ok = {.delivery_tag = ++d->last_tag, .redelivered = message->is_redelivered};
    TAILQ_REMOVE(&queue->messages, message, entry);
    add_content(model_answer(model, channel, AMQP_BASIC_GET_OK_METHOD, &ok), message->content);
    if (get->no_ack)
        free_message(message);
    else
        await_ack(d, message, "");
}

/* --- what becomes of the unacknowledged --- */

/* Back to where it was. */
static void requeue_message(struct model_message *message)
{
    struct model_message *at;
    message->is_redelivered = true;
    TAILQ_FOREACH (at, &message->queue->messages, entry) {
        if (at->number > message->number) {
            TAILQ_INSERT_BEFORE(at, message, entry);
            return;
        }
    }
    TAILQ_INSERT_TAIL(&message->queue->messages, message, entry);
}

static void settle_one(struct model_broker *model, uint16_t channel, struct model_message *message,
                       bool requeue)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    struct model_queue *queue;
    struct model_consumer *consumer = find_tag(model, channel, message->consumer, &queue);
    TAILQ_REMOVE(&d->unacked, message, entry);
    d->unacked_count--;
    if (consumer != NULL && consumer->unacked > 0) /* else it was another one of the same tag that took it */
        consumer->unacked--;
    if (requeue && message->queue != NULL)
        requeue_message(message);
    else
        free_message(message);
}

static struct model_message *find_unacked(struct model_deliveries *d, uint64_t tag)
{
    struct model_message *message;
    TAILQ_FOREACH (message, &d->unacked, entry) {
        if (message->tag == tag)
            return message;
    }
    return NULL;
}

/* What is unacknowledged of a stream can't be given back. */
void model_die_by_stream(struct model_broker *model, uint16_t channel, uint32_t method)
{
    const struct model_message *message;
    TAILQ_FOREACH (message, &model->channels[channel].deliveries.unacked, entry) {
        if (message->queue != NULL && model_names_type(model, message->queue->name) == MODEL_STREAM)
            model_kill(model, AMQP_CODE_NOT_IMPLEMENTED, method, "nack, reject or recover of a stream");
    }
}

void model_settle(struct model_broker *model, uint16_t channel, uint32_t method, uint64_t tag, bool multiple,
                  bool requeue)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    struct model_message *message = find_unacked(d, tag);
    if (method != AMQP_BASIC_ACK_METHOD)
        model_die_by_stream(model, channel, method);
    const bool all = multiple && tag == 0;
    char text[64];
    snprintf(text, sizeof(text), "PRECONDITION_FAILED - unknown delivery tag %llu", (unsigned long long)tag);
    if (message == NULL && !all) {
        model_refuse_channel(model, channel, AMQP_PRECONDITION_FAILED, method, text);
        return;
    }
    if (!multiple) {
        settle_one(model, channel, message, requeue);
    } else {
        while (!TAILQ_EMPTY(&d->unacked) && (all || TAILQ_FIRST(&d->unacked)->tag <= tag))
            settle_one(model, channel, TAILQ_FIRST(&d->unacked), requeue);
    }
    model_push(model);
}

void model_recover(struct model_broker *model, uint16_t channel)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    while (!TAILQ_EMPTY(&d->unacked))
        settle_one(model, channel, TAILQ_FIRST(&d->unacked), true);
}

static struct model_consumer *pop_consumer(struct model_broker *model, uint16_t channel)
{
    struct model_queue *queue;
    struct model_consumer *consumer = model_find_consumer(model, channel);
    if (consumer != NULL && find_tag(model, channel, consumer->tag, &queue) != NULL)
        remove_consumer(model, queue, consumer);
    return consumer;
}

void model_leave_queues(struct model_broker *model, uint16_t channel)
{
    struct model_deliveries *d = &model->channels[channel].deliveries;
    model_recover(model, channel);
    while (pop_consumer(model, channel) != NULL)
        continue;
    d->last_tag = 0;
    d->prefetch = 0;
    d->limit = 0;
    model_push(model);
}

void model_drop_queue(struct model_broker *model, const char *name)
{
    struct model_queue *queue = find_queue(model, name);
    struct model_consumer *consumer;
    if (queue == NULL)
        return;
    TAILQ_FOREACH (consumer, &queue->consumers, entry) {
        amqp_basic_cancel_t cancel = {.consumer_tag = amqp_cstring_bytes(consumer->tag)};
        model_answer(model, consumer->channel, AMQP_BASIC_CANCEL_METHOD, &cancel);
    }
    free_queue(model, queue);
}

void model_delete_queue(struct model_broker *model, const char *name)
{
    snprintf(model->deleted, sizeof(model->deleted), "%s", name);
    model_drop_queue(model, name);
}

/* --- looking --- */

unsigned model_queue_depth(struct model_broker *model, const char *name)
{
    const struct model_queue *queue = find_queue(model, name);
    const struct model_message *message;
    unsigned depth = 0;
    if (queue != NULL)
        TAILQ_FOREACH (message, &queue->messages, entry)
            depth++;
    return depth;
}

unsigned model_queue_consumers(struct model_broker *model, const char *name)
{
    const struct model_queue *queue = find_queue(model, name);
    const struct model_consumer *consumer;
    unsigned count = 0;
    if (queue != NULL)
        TAILQ_FOREACH (consumer, &queue->consumers, entry)
            count++;
    return count;
}

void model_queues_clear(struct model_broker *model)
{
    for (uint16_t i = 0; i < MODEL_CHANNELS; i++) {
        struct model_deliveries *d = &model->channels[i].deliveries;
        while (!TAILQ_EMPTY(&d->unacked))
            settle_one(model, i, TAILQ_FIRST(&d->unacked), false);
    }
    while (!LIST_EMPTY(&model->queues))
        free_queue(model, LIST_FIRST(&model->queues));
}
