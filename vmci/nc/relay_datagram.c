/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams from one place to another, and the answers back: an unmodified UDP service over VMCI datagrams.
 *
 *     client A ──┐                  ┌── socket of A ──┐
 *                ├── at ── entries ─┤                 ├── to
 *     client B ──┘                  └── socket of B ──┘
 *
 * Each sender has an entry with a socket of its own to the target: what comes back at that socket is for that
 * sender. An entry goes when nothing has passed it for NC_IDLE_S seconds (-w), or when a new sender comes
 * while there are NC_ENTRIES, or no more descriptors: then it is the one that has been idle longest. What
 * can't be sent is lost, as datagrams are.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "vmci/nc/datagram.h"
#include "vmci/nc/dial.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"

#define NC_IDLE_S  60U
#define NC_ENTRIES 1024U
#define TURN_MAX   64 /* datagrams of one socket, before others have theirs */

struct relay {
    struct nc_watch watch;
    struct nc_loop *loop;
    struct nc_datagram at;
    const struct nc_place *to;
    unsigned idle_s;
    size_t count;
    TAILQ_HEAD(entries, entry) entries; /* the one that was used last is first */
};

struct entry {
    struct nc_watch watch;
    struct relay *relay;
    struct nc_address from;
    struct nc_datagram to;
    TAILQ_ENTRY(entry) link;
};

static unsigned char bytes[NC_DATAGRAM_MAX];

static void destroy(struct entry *entry)
{
    struct relay *relay = entry->relay;

    TAILQ_REMOVE(&relay->entries, entry, link);
    relay->count--;
    nc_watch_stop(&entry->watch);
    nc_datagram_close(&entry->to);
    free(entry);
}

static void touch(struct entry *entry)
{
    struct relay *relay = entry->relay;

    entry->watch.deadline_ms = nc_deadline_ms(relay->idle_s);
    TAILQ_REMOVE(&relay->entries, entry, link);
    TAILQ_INSERT_HEAD(&relay->entries, entry, link);
}

static void note_lost(const char *where, int rc)
{
    nc_note("a datagram %s is lost: %s", where, strerror(-rc));
}

/* Answers for the entry's sender, or its time is over. */
static void entry_ready(struct nc_watch *watch, short revents)
{
    struct entry *entry = (struct entry *)watch;

    if (revents == 0) {
        nc_note("an idle sender is forgotten");
        destroy(entry);
        return;
    }
    for (int i = 0; i < TURN_MAX; i++) {
        struct nc_address from;
        const ssize_t count = nc_datagram_receive(&entry->to, bytes, sizeof(bytes), &from);
        int rc;

        if (count == -EAGAIN)
            return;
        if (count < 0) {
            note_lost("to the target", (int)count);
            return;
        }
        touch(entry);
        rc = nc_datagram_send(&entry->relay->at, bytes, (size_t)count, &entry->from);
        if (rc < 0)
            note_lost("to its sender", rc);
    }
}

static struct entry *find(const struct relay *relay, const struct nc_address *from)
{
    struct entry *entry;

    TAILQ_FOREACH (entry, &relay->entries, link) {
        if (nc_address_equal(&entry->from, from))
            return entry;
    }
    return NULL;
}

static void destroy_oldest(struct relay *relay)
{
    nc_note("too many senders: the one that was idle longest is forgotten");
    destroy(TAILQ_LAST(&relay->entries, entries));
}

/* Makes room for the new socket if need be. */
static int connect_entry(struct relay *relay, struct nc_datagram *to, const struct vmci_err *err)
{
    int rc;

    if (relay->count == NC_ENTRIES)
        destroy_oldest(relay);
    /* The fabric opens its folder as well while it connects, and needs more than the one. */
    while ((rc = nc_datagram_connect(to, relay->to, err)) == -EMFILE && relay->count > 0)
        destroy_oldest(relay);
    return rc;
}

static struct entry *create(struct relay *relay, const struct nc_address *from)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct entry *entry = calloc(1, sizeof(*entry));
    char name[NC_NAME_SIZE];

    if (!entry) {
        nc_error("%s", strerror(ENOMEM));
        return NULL;
    }
    if (connect_entry(relay, &entry->to, &err) < 0) {
        nc_error("%s", text);
        free(entry);
        return NULL;
    }
    nc_address_name(&from->storage, from->length, name);
    nc_note("datagrams from %s", name);
    entry->relay = relay;
    entry->from = *from;
    entry->watch = (struct nc_watch){
        .fd = entry->to.fd, .events = POLLIN, .deadline_ms = NC_NEVER, .ready = entry_ready};
    nc_watch_start(relay->loop, &entry->watch);
    TAILQ_INSERT_HEAD(&relay->entries, entry, link);
    relay->count++;
    return entry;
}

static struct entry *find_or_create(struct relay *relay, const struct nc_address *from)
{
    struct entry *entry = find(relay, from);

    return entry ? entry : create(relay, from);
}

static void relay_ready(struct nc_watch *watch, short revents)
{
    struct relay *relay = (struct relay *)watch;

    (void)revents;
    for (int i = 0; i < TURN_MAX; i++) {
        struct nc_address from;
        const ssize_t count = nc_datagram_receive(&relay->at, bytes, sizeof(bytes), &from);
        struct entry *entry;
        int rc;

        if (count == -EAGAIN)
            return;
        if (count < 0) {
            note_lost("to its sender", (int)count);
            return;
        }
        entry = find_or_create(relay, &from);
        if (!entry)
            continue;
        touch(entry);
        rc = nc_datagram_send(&entry->to, bytes, (size_t)count, NULL);
        if (rc < 0)
            note_lost("to the target", rc);
    }
}

int nc_relay_datagram(struct nc_loop *loop, const struct nc_place *at, const struct nc_place *to,
                      const struct nc_settings *settings)
{
    char text[NC_REASON_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct relay relay = {.loop = loop, .to = to, .idle_s = settings->wait_s ? settings->wait_s : NC_IDLE_S};
    struct entry *entry;
    int rc;

    TAILQ_INIT(&relay.entries);
    rc = nc_datagram_listen(&relay.at, at, &err);
    if (rc < 0) {
        nc_error("%s", text);
        return rc;
    }
    relay.watch =
        (struct nc_watch){.fd = relay.at.fd, .events = POLLIN, .deadline_ms = NC_NEVER, .ready = relay_ready};
    nc_watch_start(loop, &relay.watch);
    nc_note("receiving at %s", at->text);
    rc = nc_loop_run(loop);
    while ((entry = TAILQ_FIRST(&relay.entries)))
        destroy(entry);
    nc_watch_stop(&relay.watch);
    nc_datagram_close(&relay.at);
    return rc;
}
