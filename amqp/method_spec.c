/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/method_spec.h"
#include <stddef.h>

#define ID(class, method) ((uint32_t)(class) << 16 | (method))

enum { C = AMQP_BY_CLIENT, S = AMQP_BY_SERVER, BOTH = C | S };

/* In the order of the ids. */
static const struct amqp_method_spec specs[] = {
    {ID(10, 10), S, false, "ooTSS", "connection.start"},
    {ID(10, 11), C, false, "TsSs", "connection.start_ok"},
    {ID(10, 20), S, false, "S", "connection.secure"},
    {ID(10, 21), C, false, "S", "connection.secure_ok"},
    {ID(10, 30), S, false, "hlh", "connection.tune"},
    {ID(10, 31), C, false, "hlh", "connection.tune_ok"},
    {ID(10, 40), C, false, "ssb", "connection.open"},
    {ID(10, 41), S, false, "s", "connection.open_ok"},
    {ID(10, 50), BOTH, false, "hshh", "connection.close"},
    {ID(10, 51), BOTH, false, "", "connection.close_ok"},
    {ID(10, 60), S, false, "s", "connection.blocked"},
    {ID(10, 61), S, false, "", "connection.unblocked"},
    {ID(10, 70), C, false, "Ss", "connection.update_secret"},
    {ID(10, 71), S, false, "", "connection.update_secret_ok"},

    {ID(20, 10), C, false, "s", "channel.open"},
    {ID(20, 11), S, false, "S", "channel.open_ok"},
    {ID(20, 20), BOTH, false, "b", "channel.flow"},
    {ID(20, 21), BOTH, false, "b", "channel.flow_ok"},
    {ID(20, 40), BOTH, false, "hshh", "channel.close"},
    {ID(20, 41), BOTH, false, "", "channel.close_ok"},

    {ID(30, 10), C, false, "sbbbbb", "access.request"},
    {ID(30, 11), S, false, "h", "access.request_ok"},

    {ID(40, 10), C, false, "hssbbbbbT", "exchange.declare"},
    {ID(40, 11), S, false, "", "exchange.declare_ok"},
    {ID(40, 20), C, false, "hsbb", "exchange.delete"},
    {ID(40, 21), S, false, "", "exchange.delete_ok"},
    {ID(40, 30), C, false, "hsssbT", "exchange.bind"},
    {ID(40, 31), S, false, "", "exchange.bind_ok"},
    {ID(40, 40), C, false, "hsssbT", "exchange.unbind"},
    {ID(40, 51), S, false, "", "exchange.unbind_ok"},

    {ID(50, 10), C, false, "hsbbbbbT", "queue.declare"},
    {ID(50, 11), S, false, "sll", "queue.declare_ok"},
    {ID(50, 20), C, false, "hsssbT", "queue.bind"},
    {ID(50, 21), S, false, "", "queue.bind_ok"},
    {ID(50, 30), C, false, "hsb", "queue.purge"},
    {ID(50, 31), S, false, "l", "queue.purge_ok"},
    {ID(50, 40), C, false, "hsbbb", "queue.delete"},
    {ID(50, 41), S, false, "l", "queue.delete_ok"},
    {ID(50, 50), C, false, "hsssT", "queue.unbind"},
    {ID(50, 51), S, false, "", "queue.unbind_ok"},

    {ID(60, 10), C, false, "lhb", "basic.qos"},
    {ID(60, 11), S, false, "", "basic.qos_ok"},
    {ID(60, 20), C, false, "hssbbbbT", "basic.consume"},
    {ID(60, 21), S, false, "s", "basic.consume_ok"},
    {ID(60, 30), BOTH, false, "sb", "basic.cancel"},
    {ID(60, 31), BOTH, false, "s", "basic.cancel_ok"},
    {ID(60, 40), C, true, "hssbb", "basic.publish"},
    {ID(60, 50), S, true, "hsss", "basic.return"},
    {ID(60, 60), S, true, "sLbss", "basic.deliver"},
    {ID(60, 70), C, false, "hsb", "basic.get"},
    {ID(60, 71), S, true, "Lbssl", "basic.get_ok"},
    {ID(60, 72), S, false, "s", "basic.get_empty"},
    {ID(60, 80), BOTH, false, "Lb", "basic.ack"},
    {ID(60, 90), C, false, "Lb", "basic.reject"},
    {ID(60, 100), C, false, "b", "basic.recover_async"},
    {ID(60, 110), C, false, "b", "basic.recover"},
    {ID(60, 111), S, false, "", "basic.recover_ok"},
    {ID(60, 120), BOTH, false, "Lbb", "basic.nack"},

    {ID(85, 10), C, false, "b", "confirm.select"},
    {ID(85, 11), S, false, "", "confirm.select_ok"},

    {ID(90, 10), C, false, "", "tx.select"},
    {ID(90, 11), S, false, "", "tx.select_ok"},
    {ID(90, 20), C, false, "", "tx.commit"},
    {ID(90, 21), S, false, "", "tx.commit_ok"},
    {ID(90, 30), C, false, "", "tx.rollback"},
    {ID(90, 31), S, false, "", "tx.rollback_ok"},
};

const struct amqp_method_spec *amqp_method_spec(uint32_t id)
{
    size_t from = 0;
    size_t to = sizeof(specs) / sizeof(specs[0]);
    while (from < to) {
        const size_t middle = from + (to - from) / 2;
        if (specs[middle].id == id)
            return &specs[middle];
        if (specs[middle].id < id)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

const char *amqp_method_name(uint32_t id)
{
    const struct amqp_method_spec *spec = amqp_method_spec(id);
    return spec != NULL ? spec->name : "unknown method";
}
