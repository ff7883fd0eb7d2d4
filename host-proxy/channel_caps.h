/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many channels RabbitMQ lets users open, where that was found out the hard way. An operator may limit a
 * user's channels (max-channels). No connection is told so before it opens one too many, and then RabbitMQ
 * ends it (530), and with it all who share it. So the next ones of that user open no more than stood then,
 * for an hour: he may have been given more, and other connections of his count as well.
 */
#ifndef HOST_PROXY_CHANNEL_CAPS_H
#define HOST_PROXY_CHANNEL_CAPS_H

#include "amqp/cursor.h"
#include "amqp/exception.h"
#include "host-proxy/guest_table.h"

#define CHANNEL_CAPS_MAX 32u

struct channel_cap {
    uint8_t user[255];
    uint8_t user_len;
    char guest[GUEST_NAME_MAX]; /* as in shared_key */
    uint16_t channels;
    uint64_t until_ms;
};

/* Zeroed before first use. Of more than it can hold the one that ends first is forgotten. */
struct channel_caps {
    struct channel_cap caps[CHANNEL_CAPS_MAX];
};

/* The limit for which RabbitMQ has ended a connection, UINT16_MAX when it does not say. 0: it has ended for
 * something else. */
uint16_t channel_caps_limit(const struct amqp_exception *e);

/* It has, when so many stood. Names of more than 255 bytes are not noted. */
void channel_caps_note(struct channel_caps *caps, struct amqp_span user, const char *guest, uint16_t channels,
                       uint64_t now_ms);

/* How many to ask for; 0: as many as the broker offers. */
uint16_t channel_caps_find(const struct channel_caps *caps, struct amqp_span user, const char *guest,
                           uint64_t now_ms);

#endif
