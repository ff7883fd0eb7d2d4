/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/known_types.h"
#include "amqp/hub.h"

static bool is_young(const struct amqp_hub *hub, const struct amqp_name *name)
{
    return hub->now - name->known_ms < hub->config->believe_types_ms;
}

static void drop(struct amqp_names *names, struct amqp_name *name)
{
    TAILQ_REMOVE(&names->known, name, known);
    names->known_count--;
    name->is_remembered = false;
    name->is_known = false;
    amqp_name_unref(name);
}

/* Those that are no longer believed, and the oldest if there are too many. */
static void drop_old(struct amqp_hub *hub)
{
    struct amqp_names *names = &hub->queues.names;
    struct amqp_name *oldest;
    while ((oldest = TAILQ_FIRST(&names->known)) != NULL &&
           (names->known_count > AMQP_KNOWN_MAX || !is_young(hub, oldest)))
        drop(names, oldest);
}

void amqp_known_note(struct amqp_hub *hub, struct amqp_name *name, enum amqp_queue_type type)
{
    struct amqp_names *names = &hub->queues.names;
    const bool is_type = type == AMQP_TYPE_CLASSIC || type == AMQP_TYPE_QUORUM || type == AMQP_TYPE_STREAM;
    if (name->is_remembered)
        drop(names, name);
    if (is_type && hub->config->believe_types_ms > 0) {
        amqp_name_ref(name);
        TAILQ_INSERT_TAIL(&names->known, name, known);
        names->known_count++;
        name->is_remembered = true;
        name->is_known = true;
        name->type = type;
        name->known_ms = hub->now;
    }
    drop_old(hub);
}

bool amqp_known_is_fresh(const struct amqp_hub *hub, const struct amqp_name *name)
{
    return name->is_known && is_young(hub, name);
}

void amqp_known_clear(struct amqp_names *names)
{
    while (!TAILQ_EMPTY(&names->known))
        drop(names, TAILQ_FIRST(&names->known));
}
