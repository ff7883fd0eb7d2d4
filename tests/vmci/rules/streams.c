/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of streams that are connected, and of seqpackets. */
#include <poll.h>
#include <string.h>
#include <sys/select.h>

#include "rules.h"

#define PATIENCE_MS 20000

static bool half_close(void)
{
    char text[8];
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM) && send(ends.client, "bye", 3, 0) == 3 &&
                 shutdown(ends.client, SHUT_WR) == 0;

    holds = holds && recv(ends.server, text, sizeof(text), MSG_WAITALL) == 3 &&
            send(ends.server, "you too", 7, 0) == 7 && recv(ends.client, text, 7, MSG_WAITALL) == 7;
    return close_ends(&ends, holds && failed(send(ends.client, "x", 1, MSG_NOSIGNAL), EPIPE));
}

/* What was sent before still comes, then the end; and nobody takes more. */
static bool close_is_an_end(void)
{
    char text[8];
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM) && send(ends.server, "last", 4, 0) == 4;

    (void)close(ends.server);
    ends.server = -1;
    holds = holds && recv(ends.client, text, sizeof(text), MSG_WAITALL) == 4 &&
            recv(ends.client, text, sizeof(text), 0) == 0;
    return close_ends(&ends, holds && failed(send(ends.client, "x", 1, MSG_NOSIGNAL), EPIPE));
}

static bool poll_tells(void)
{
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM);
    struct pollfd item = {.fd = ends.server, .events = POLLIN | POLLOUT};

    holds = holds && poll(&item, 1, PATIENCE_MS) == 1 && item.revents == POLLOUT;
    holds = holds && send(ends.client, "x", 1, 0) == 1;
    item.events = POLLIN;
    return close_ends(&ends, holds && poll(&item, 1, PATIENCE_MS) == 1 && item.revents == POLLIN);
}

static bool select_tells(void)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct timeval none = {0};
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM);
    fd_set set;

    FD_ZERO(&set);
    FD_SET(ends.server, &set);
    holds = holds && select(ends.server + 1, &set, NULL, NULL, &none) == 0;
    FD_SET(ends.server, &set);
    holds = holds && send(ends.client, "x", 1, 0) == 1 &&
            select(ends.server + 1, &set, NULL, NULL, &patience) == 1 && FD_ISSET(ends.server, &set);
    return close_ends(&ends, holds);
}

static bool read_and_write_are_recv_and_send(void)
{
    char text[8];
    struct ends ends;
    const bool holds = open_ends(&ends, SOCK_STREAM) && write(ends.client, "word", 4) == 4 &&
                       recv(ends.server, text, 4, MSG_WAITALL) == 4 && send(ends.server, "w", 1, 0) == 1 &&
                       read(ends.client, text, sizeof(text)) == 1;

    return close_ends(&ends, holds);
}

static bool peeking_leaves_it(void)
{
    char text[8];
    struct ends ends;
    const bool holds = open_ends(&ends, SOCK_STREAM) && send(ends.client, "word", 4, 0) == 4 &&
                       recv(ends.server, text, 4, MSG_PEEK) == 4 &&
                       recv(ends.server, text, sizeof(text), 0) == 4 && memcmp(text, "word", 4) == 0;

    return close_ends(&ends, holds);
}

static bool nothing_there_yet(void)
{
    char byte;
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);

    return close_ends(&ends, open && failed(recv(ends.server, &byte, 1, MSG_DONTWAIT), EAGAIN));
}

/* More than the buffers hold is not taken. */
static bool a_full_buffer_says_so(void)
{
    static const char block[65536];
    struct ends ends;
    bool holds = open_ends(&ends, SOCK_STREAM);
    ssize_t sent = 0;

    for (int i = 0; holds && sent >= 0 && i < 1000; i++)
        sent = send(ends.client, block, sizeof(block), MSG_DONTWAIT);
    return close_ends(&ends, holds && failed(sent, EAGAIN));
}

static bool out_of_band_is_not_supported(void)
{
    char byte;
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);

    return close_ends(&ends, open && failed(send(ends.client, "x", 1, MSG_OOB), EOPNOTSUPP) &&
                                 failed(recv(ends.client, &byte, 1, MSG_OOB), EOPNOTSUPP));
}

static bool a_stream_has_its_address_already(void)
{
    const struct sockaddr_vm to = address_of(VMADDR_CID_LOCAL, 5001);
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_STREAM);

    return close_ends(
        &ends,
        open && failed(sendto(ends.client, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)), EISCONN));
}

static bool recvfrom_names_nobody(void)
{
    char byte;
    struct sockaddr_vm from;
    socklen_t length = sizeof(from);
    struct ends ends;
    const bool holds = open_ends(&ends, SOCK_STREAM) && send(ends.client, "x", 1, 0) == 1 &&
                       recvfrom(ends.server, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1;

    return close_ends(&ends, holds && length == 0);
}

static bool seqpackets_keep_messages_apart(void)
{
    char text[16];
    struct ends ends;
    const bool holds = open_ends(&ends, SOCK_SEQPACKET) && send(ends.client, "one", 3, 0) == 3 &&
                       send(ends.client, "three", 5, 0) == 5 &&
                       recv(ends.server, text, sizeof(text), 0) == 3 && recv(ends.server, text, 2, 0) == 2 &&
                       failed(recv(ends.server, text, sizeof(text), MSG_DONTWAIT), EAGAIN);

    return close_ends(&ends, holds);
}

static bool seqpackets_and_streams_do_not_meet(void)
{
    struct ends ends;
    const bool open = open_ends(&ends, SOCK_SEQPACKET);
    const int fd = stream();

    return close_ends(&ends, ended(fd, connect_to(fd, VMADDR_CID_LOCAL, 5001)) == ECONNRESET && open);
}

const struct rule stream_rules[] = {
    RULE(half_close),
    RULE(close_is_an_end),
    RULE(poll_tells),
    RULE(select_tells),
    RULE(read_and_write_are_recv_and_send),
    RULE(peeking_leaves_it),
    RULE(nothing_there_yet),
    RULE(a_full_buffer_says_so),
    RULE(out_of_band_is_not_supported),
    RULE(a_stream_has_its_address_already),
    RULE(recvfrom_names_nobody),
    RULE(seqpackets_keep_messages_apart),
    RULE(seqpackets_and_streams_do_not_meet),
    RULES_END,
};
