/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/amqp/model_names.h"
#include "amqp/method_codec.h"
#include "tests/unit/amqp/model_broker.h"
#include <amqp_framing.h>
#include <stdio.h>
#include <string.h>

static struct model_name *find(const struct model_names *names, const char *text)
{
    for (int i = 0; i < MODEL_NAMES; i++) {
        if (text[0] != '\0' && strcmp(names->list[i].text, text) == 0)
            return (struct model_name *)(uintptr_t)&names->list[i];
    }
    return NULL;
}

/* A name may be copied out of the model itself, so to the compiler the two may overlap. */
static void copy_name(char copy[256], const char *name)
{
    const size_t len = strnlen(name, 255);
    memmove(copy, name, len);
    copy[len] = '\0';
}

bool model_names_add(struct model_broker *model, const char *text, int owner)
{
    for (int i = 0; i < MODEL_NAMES; i++) {
        struct model_name *name = &model->names.list[i];
        if (name->text[0] != '\0')
            continue;
        copy_name(name->text, text);
        name->owner = owner;
        return true;
    }
    return false;
}

void model_names_remove(struct model_broker *model, const char *text)
{
    struct model_name *name = find(&model->names, text);
    if (name == NULL)
        return;
    model_drop_queue(model, text);
    name->text[0] = '\0';
}

bool model_names_owner(const struct model_broker *model, const char *text, int *owner)
{
    const struct model_name *name = find(&model->names, text);
    if (name != NULL)
        *owner = name->owner;
    return name != NULL;
}

unsigned model_names_count(const struct model_broker *model, int owner)
{
    unsigned count = 0;
    for (int i = 0; i < MODEL_NAMES; i++)
        count += model->names.list[i].text[0] != '\0' && model->names.list[i].owner == owner;
    return count;
}

enum model_type model_names_type(const struct model_broker *model, const char *text)
{
    const struct model_name *name = find(&model->names, text);
    if (name != NULL)
        return name->type;
    if (strncmp(text, "stream", 6) == 0)
        return MODEL_STREAM;
    return strncmp(text, "quorum", 6) == 0 ? MODEL_QUORUM : MODEL_CLASSIC;
}

/* --- what a command is about --- */

static bool is_stripped(uint32_t method)
{
    return method == AMQP_QUEUE_DECLARE_METHOD || method == AMQP_QUEUE_DELETE_METHOD ||
           method == AMQP_QUEUE_BIND_METHOD || method == AMQP_QUEUE_UNBIND_METHOD;
}

static bool names_queue(uint32_t method)
{
    return is_stripped(method) || method == AMQP_QUEUE_PURGE_METHOD || method == AMQP_BASIC_CONSUME_METHOD ||
           method == AMQP_BASIC_GET_METHOD;
}

/* There have always been queues of these types by such names, which are nobody's own. */
static bool is_of_all(const struct model_broker *model, const amqp_queue_declare_t *declare, const char *text)
{
    return declare->exclusive && !declare->passive && model_names_type(model, text) != MODEL_CLASSIC;
}

/* The name, with the last one for none, but in a declare. False: there is no last one. */
static bool read_name(const struct model_channel *channel, const struct amqp_command *command, char text[256])
{
    const uint32_t method = command->spec->id;
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    amqp_take_u16(&c);
    const struct amqp_span name = amqp_take_short_string(&c);
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (!is_stripped(method) || (name.data[i] != '\r' && name.data[i] != '\n'))
            text[len++] = (char)name.data[i];
    }
    text[len] = '\0';
    if (name.len > 0 || method == AMQP_QUEUE_DECLARE_METHOD)
        return true;
    memcpy(text, channel->last_queue, 256);
    return text[0] != '\0';
}

/* --- verdicts --- */

static bool refuse(struct model_broker *model, uint16_t number, uint32_t method, uint16_t code)
{
    const char *text = code == AMQP_NOT_FOUND         ? "NOT_FOUND - no queue"
                       : code == AMQP_RESOURCE_LOCKED ? "RESOURCE_LOCKED - by the broker"
                       : code == AMQP_ACCESS_REFUSED  ? "ACCESS_REFUSED - reserved"
                                                      : "PRECONDITION_FAILED - inequivalent";
    model_refuse_channel(model, number, code, method, text);
    return true;
}

/* Whether somebody's command has reached another one's queue. */
static bool is_trespass(const struct model_broker *model, const struct model_channel *channel,
                        const struct model_name *name, uint32_t method)
{
    if (name->owner < 0 || channel->session == name->owner)
        return false;
    if (channel->session != MODEL_PROXY)
        return true;
    return method == AMQP_QUEUE_DELETE_METHOD && model->names.is_joined(model->names.ctx, name->owner);
}

/* 404 or 405, whatever the method. False: the connection may use the queue. */
static bool is_refused(struct model_broker *model, uint16_t number, const struct model_name *name,
                       uint32_t method)
{
    if (name == NULL)
        return refuse(model, number, method, AMQP_NOT_FOUND);
    if (name->owner == MODEL_ELSEWHERE)
        return refuse(model, number, method, AMQP_RESOURCE_LOCKED);
    if (is_trespass(model, &model->channels[number], name, method))
        model_kill(model, AMQP_CODE_INTERNAL_ERROR, method, "trespass");
    return false;
}

/* --- what crashes RabbitMQ --- */

static void begin_making(struct model_broker *model, uint16_t number, bool is_answered)
{
    model->channels[number].is_making = is_answered;
}

void model_names_disturb(struct model_broker *model, uint16_t number, uint32_t method)
{
    struct model_broker *main = model->main != NULL ? model->main : model;
    if (method != AMQP_BASIC_PUBLISH_METHOD && method != AMQP_TX_COMMIT_METHOD &&
        method != AMQP_BASIC_CANCEL_METHOD)
        return;
    for (uint16_t i = 1; i < MODEL_CHANNELS; i++) {
        if (main->channels[i].is_making && !main->names.is_lenient && (i != number || main != model))
            model_kill(main, AMQP_CODE_INTERNAL_ERROR, method, "while a queue is made or deleted");
    }
}

/* --- declare and delete --- */

static bool answer_declare(struct model_broker *model, uint16_t number, const amqp_queue_declare_t *declare,
                           const char *text)
{
    amqp_queue_declare_ok_t ok = {.queue = amqp_cstring_bytes(text)};
    copy_name(model->channels[number].last_queue, text);
    if (!declare->nowait)
        model_answer(model, number, AMQP_QUEUE_DECLARE_OK_METHOD, &ok);
    return true;
}

static const amqp_field_value_t *find_argument(const amqp_table_t *table, const char *key)
{
    for (int i = 0; i < table->num_entries; i++) {
        const amqp_bytes_t found = table->entries[i].key;
        if (found.len == strlen(key) && memcmp(found.bytes, key, found.len) == 0)
            return &table->entries[i].value;
    }
    return NULL;
}

static bool has_argument(const amqp_table_t *table, const char *key)
{
    return find_argument(table, key) != NULL;
}

/* By x-queue-type, whose values differ in their first letter. */
static enum model_type type_of(const amqp_queue_declare_t *declare)
{
    const amqp_field_value_t *value = find_argument(&declare->arguments, "x-queue-type");
    const char first = value != NULL ? *(const char *)value->value.bytes.bytes : 'c';
    return first == 's' ? MODEL_STREAM : first == 'q' ? MODEL_QUORUM : MODEL_CLASSIC;
}

static bool declare_again(struct model_broker *model, uint16_t number, const amqp_queue_declare_t *declare,
                          const struct model_name *name)
{
    if (declare->exclusive != (name->owner != MODEL_ANYBODY))
        return refuse(model, number, AMQP_QUEUE_DECLARE_METHOD, AMQP_RESOURCE_LOCKED);
    if (is_refused(model, number, name, AMQP_QUEUE_DECLARE_METHOD))
        return true;
    if (has_argument(&declare->arguments, "x-expires") || type_of(declare) != name->type)
        return refuse(model, number, AMQP_QUEUE_DECLARE_METHOD, AMQP_PRECONDITION_FAILED);
    return answer_declare(model, number, declare, name->text);
}

static bool handle_declare(struct model_broker *model, uint16_t number, const amqp_queue_declare_t *declare,
                           char text[256])
{
    const struct model_name *name = find(&model->names, text);
    const int session = model->channels[number].session;
    if (declare->passive)
        return is_refused(model, number, name, AMQP_QUEUE_DECLARE_METHOD) ||
               answer_declare(model, number, declare, text);
    if (strncmp(text, "amq.", 4) == 0)
        return refuse(model, number, AMQP_QUEUE_DECLARE_METHOD, AMQP_ACCESS_REFUSED);
    if (name != NULL)
        return declare_again(model, number, declare, name);
    if (has_argument(&declare->arguments, "x-expires") ||
        (text[0] == '\0' && type_of(declare) != MODEL_CLASSIC))
        return refuse(model, number, AMQP_QUEUE_DECLARE_METHOD, AMQP_PRECONDITION_FAILED);
    if (text[0] == '\0')
        snprintf(text, 256, "amq.gen-%u", ++model->names.made_up);
    if (!model_names_add(model, text, declare->exclusive ? session : MODEL_ANYBODY))
        return refuse(model, number, AMQP_QUEUE_DECLARE_METHOD, AMQP_PRECONDITION_FAILED);
    find(&model->names, text)->type = type_of(declare);
    begin_making(model, number, type_of(declare) == MODEL_STREAM && !declare->nowait);
    return answer_declare(model, number, declare, text);
}

static bool handle_delete(struct model_broker *model, uint16_t number, const amqp_queue_delete_t *delete,
                          const char *text)
{
    const struct model_name *name = find(&model->names, text);
    amqp_queue_delete_ok_t ok = {.message_count = 0};
    if (model->names.refuses_deletes)
        return refuse(model, number, AMQP_QUEUE_DELETE_METHOD, AMQP_ACCESS_REFUSED);
    if (name != NULL && is_refused(model, number, name, AMQP_QUEUE_DELETE_METHOD))
        return true;
    if ((delete->if_unused || delete->if_empty) && model_names_type(model, text) == MODEL_QUORUM)
        model_kill(model, AMQP_CODE_NOT_IMPLEMENTED, AMQP_QUEUE_DELETE_METHOD,
                   "conditional delete of quorum");
    model->deletes++;
    begin_making(model, number, model_names_type(model, text) != MODEL_CLASSIC && !delete->nowait);
    model_names_remove(model, text);
    if (!delete->nowait)
        model_answer(model, number, AMQP_QUEUE_DELETE_OK_METHOD, &ok);
    return true;
}

/* Bindings and what is in a queue are of no interest. */
static bool answer_others(struct model_broker *model, uint16_t number, uint32_t method, const void *decoded)
{
    amqp_queue_purge_ok_t ok = {.message_count = 0};
    const amqp_queue_bind_t *bind = decoded;
    const amqp_queue_purge_t *purge = decoded;
    if (method == AMQP_QUEUE_BIND_METHOD && !bind->nowait)
        model_answer(model, number, AMQP_QUEUE_BIND_OK_METHOD, &ok);
    else if (method == AMQP_QUEUE_UNBIND_METHOD)
        model_answer(model, number, AMQP_QUEUE_UNBIND_OK_METHOD, &ok);
    else if (method == AMQP_QUEUE_PURGE_METHOD && !purge->nowait)
        model_answer(model, number, AMQP_QUEUE_PURGE_OK_METHOD, &ok);
    return method != AMQP_BASIC_CONSUME_METHOD && method != AMQP_BASIC_GET_METHOD;
}

/* --- types --- */

static bool answer_probe(struct model_broker *model, uint16_t number, const char *text)
{
    static const char *const rest[] = {": {unacceptable_type,signedint}",
                                       " of queue type rabbit_quorum_queue",
                                       " of queue type rabbit_stream_queue"};
    char refusal[512];
    snprintf(refusal, sizeof(refusal),
             "PRECONDITION_FAILED - invalid arg 'x-cancel-on-ha-failover' for queue '%s' in vhost '/'%s",
             text, rest[model_names_type(model, text)]);
    if (strlen(refusal) > 255)
        memcpy(refusal + 252, "...", 4);
    model_refuse_channel(model, number, AMQP_PRECONDITION_FAILED, AMQP_BASIC_CONSUME_METHOD, refusal);
    return true;
}

static void die_by_type(struct model_broker *model, uint16_t number, uint32_t method, const void *decoded,
                        enum model_type type)
{
    const struct model_deliveries *d = &model->channels[number].deliveries;
    const amqp_basic_consume_t *consume = decoded;
    const bool is_consume = method == AMQP_BASIC_CONSUME_METHOD;
    if (type == MODEL_STREAM && (method == AMQP_BASIC_GET_METHOD || method == AMQP_QUEUE_PURGE_METHOD))
        model_kill(model, AMQP_CODE_NOT_IMPLEMENTED, method, "of a stream");
    if (type == MODEL_STREAM && is_consume && consume->no_ack)
        model_kill(model, AMQP_CODE_NOT_IMPLEMENTED, method, "no_ack of a stream");
    if (type != MODEL_CLASSIC && is_consume && d->limit > 0)
        model_kill(model, AMQP_CODE_NOT_IMPLEMENTED, method, "global qos");
}

static bool is_strict(const char *text)
{
    return text[0] == 'x' || text[0] == '\0' || strncmp(text, "amq.gen", 7) == 0;
}

/* For consume and get, which the queues do. */
static void fill_in_name(uint32_t method, void *decoded, const char *text)
{
    amqp_basic_consume_t *consume = decoded;
    amqp_basic_get_t *get = decoded;
    if (method == AMQP_BASIC_CONSUME_METHOD)
        consume->queue = amqp_cstring_bytes(text);
    else if (method == AMQP_BASIC_GET_METHOD)
        get->queue = amqp_cstring_bytes(text);
}

bool model_names_handle(struct model_broker *model, uint16_t number, const struct amqp_command *command,
                        void *decoded)
{
    const uint32_t method = command->spec->id;
    struct model_channel *channel = &model->channels[number];
    char *text = channel->named_queue;
    if (!names_queue(method))
        return false;
    if (!read_name(channel, command, text))
        return refuse(model, number, method, AMQP_NOT_FOUND);
    if (method == AMQP_QUEUE_DECLARE_METHOD && is_strict(text))
        return handle_declare(model, number, decoded, text);
    if (method == AMQP_QUEUE_DECLARE_METHOD) {
        if (is_of_all(model, decoded, text))
            return refuse(model, number, method, AMQP_RESOURCE_LOCKED);
        memcpy(channel->last_queue, text, 256);
        return false;
    }
    if (method == AMQP_QUEUE_DELETE_METHOD)
        return handle_delete(model, number, decoded, text);
    if (is_strict(text) && is_refused(model, number, find(&model->names, text), method))
        return true;
    if (method == AMQP_BASIC_CONSUME_METHOD &&
        has_argument(&((amqp_basic_consume_t *)decoded)->arguments, "x-cancel-on-ha-failover"))
        return answer_probe(model, number, text);
    die_by_type(model, number, method, decoded, model_names_type(model, text));
    fill_in_name(method, decoded, text);
    return answer_others(model, number, method, decoded);
}
