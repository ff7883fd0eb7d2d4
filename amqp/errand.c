/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/errand.h"
#include "amqp/hub.h"
#include "amqp/method_codec.h"
#include <amqp_framing.h>

void amqp_errands_init(struct amqp_errands *errands)
{
    *errands = (struct amqp_errands){.channels = {{.slot = NULL}}};
    TAILQ_INIT(&errands->waiting);
    amqp_flow_init(&errands->up);
}

void amqp_errand_submit(struct amqp_hub *hub, struct amqp_errand *errand)
{
    TAILQ_INSERT_TAIL(&hub->errands.waiting, errand, entry);
    hub->ops->on_wake(hub);
}

/* --- beginning --- */

static void send_all(struct amqp_hub *hub, const struct amqp_slot *slot, struct amqp_command_queue *commands)
{
    while (!STAILQ_EMPTY(commands)) {
        struct amqp_command *command = STAILQ_FIRST(commands);
        STAILQ_REMOVE_HEAD(commands, entry);
        command->channel = slot->number;
        amqp_hub_send(hub, &hub->errands.up, command);
    }
}

/* A slot and its channel.open. 0, or -1 for want of memory. */
static int open_channel(struct amqp_hub *hub, struct amqp_errand_channel *channel)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    struct amqp_command *command = amqp_command_make(AMQP_CHANNEL_OPEN_METHOD, &open);
    struct amqp_slot *slot = command != NULL ? amqp_slots_take(&hub->slots, AMQP_SLOT_OURS, hub->now) : NULL;
    if (slot == NULL) {
        amqp_command_destroy(command);
        return -1;
    }
    slot->errands = channel;
    channel->slot = slot;
    command->channel = slot->number;
    amqp_hub_send(hub, &hub->errands.up, command);
    return 0;
}

static unsigned count(const struct amqp_command_queue *commands)
{
    const struct amqp_command *command;
    unsigned n = 0;
    STAILQ_FOREACH (command, commands, entry)
        n++;
    return n;
}

static int begin(struct amqp_hub *hub, struct amqp_errand_channel *channel, struct amqp_errand *errand)
{
    struct amqp_command_queue commands = STAILQ_HEAD_INITIALIZER(commands);
    if (errand->ops->speak(errand, &commands) < 0 ||
        (channel->slot == NULL && open_channel(hub, channel) < 0)) {
        amqp_command_queue_clear(&commands);
        return -1;
    }
    channel->errand = errand;
    channel->answers = 0;
    channel->due = count(&commands);
    send_all(hub, channel->slot, &commands);
    return 0;
}

static bool is_ready(const struct amqp_errand_channel *channel)
{
    return channel->errand == NULL && (channel->slot == NULL || channel->slot->state == AMQP_SLOT_OPEN);
}

void amqp_errands_run(struct amqp_hub *hub)
{
    struct amqp_errands *errands = &hub->errands;
    for (int i = 0; i < AMQP_ERRAND_CHANNELS && !TAILQ_EMPTY(&errands->waiting); i++) {
        struct amqp_errand *errand = TAILQ_FIRST(&errands->waiting);
        if (!is_ready(&errands->channels[i]))
            continue;
        TAILQ_REMOVE(&errands->waiting, errand, entry);
        if (begin(hub, &errands->channels[i], errand) == 0)
            continue;
        TAILQ_INSERT_HEAD(&errands->waiting, errand, entry);
        return;
    }
}

/* --- ending --- */

static void finish(struct amqp_hub *hub, struct amqp_errand_channel *channel, struct amqp_errand_end end)
{
    struct amqp_errand *errand = channel->errand;
    channel->errand = NULL;
    end.answers = channel->answers;
    if (errand != NULL)
        errand->ops->on_done(hub, errand, &end);
}

static int hear_close(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    struct amqp_cursor c = amqp_cursor_over(command->payload + 4, command->payload_len - 4);
    struct amqp_errand_end end = {.code = amqp_take_u16(&c)};
    end.text = amqp_take_short_string(&c);
    end.method = amqp_take_u32(&c);
    amqp_flow_purge(&hub->fair, &hub->errands.up, slot->number, AMQP_CHANNEL_CLOSE_METHOD);
    amqp_slot_close_heard(slot, false);
    amqp_hub_send_close_ok(hub, slot);
    finish(hub, slot->errands, end);
    amqp_command_destroy(command);
    return 0;
}

int amqp_errands_hear(struct amqp_hub *hub, struct amqp_slot *slot, struct amqp_command *command)
{
    struct amqp_errand_channel *channel = slot->errands;
    const uint32_t method = command->spec->id;
    if (method == AMQP_CHANNEL_CLOSE_METHOD)
        return hear_close(hub, slot, command);
    amqp_command_destroy(command);
    if (method == AMQP_CHANNEL_CLOSE_OK_METHOD)
        return -1;
    if (amqp_method_class(method) != AMQP_CLASS_CHANNEL && channel->errand != NULL &&
        ++channel->answers == channel->due)
        finish(hub, channel, (struct amqp_errand_end){.code = 0});
    return 0;
}

void amqp_errands_clear(struct amqp_hub *hub)
{
    const struct amqp_errand_end lost = {.code = AMQP_CODE_CONNECTION_FORCED};
    struct amqp_errand *errand;
    for (int i = 0; i < AMQP_ERRAND_CHANNELS; i++) {
        hub->errands.channels[i].slot = NULL;
        finish(hub, &hub->errands.channels[i], lost);
    }
    while ((errand = TAILQ_FIRST(&hub->errands.waiting)) != NULL) {
        TAILQ_REMOVE(&hub->errands.waiting, errand, entry);
        errand->ops->on_done(hub, errand, &lost);
    }
}
