/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/proxies/fake_broker.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define HEADER_SIZE 8u /* "AMQP0091" */
#define FRAME_HEAD  7u
#define FRAME_END   0xce

enum { START_OK = 11, TUNE_OK = 31, OPEN = 40, CLOSE = 50, CLOSE_OK = 51 }; /* methods of class 10 */

/* ── What it says ── */

static void say(struct fake_connection *c, const void *bytes, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);

    uv_try_write((uv_stream_t *)&c->socket, &buf, 1);
}

static void say_method(struct fake_connection *c, uint8_t method, const void *arguments, size_t len)
{
    uint8_t frame[256] = {[0] = 1, [6] = (uint8_t)(len + 4), [8] = 10, [10] = method};

    assert(len < sizeof(frame) - 12);
    memcpy(frame + 11, arguments, len);
    frame[11 + len] = FRAME_END;
    say(c, frame, len + 12);
}

static void say_start(struct fake_connection *c)
{
    static const uint8_t start[] = "\0\x09"         /* 0-9 */
                                   "\0\0\0\0"       /* no properties */
                                   "\0\0\0\5PLAIN"  /* mechanisms */
                                   "\0\0\0\5en_US"; /* locales */

    c->node->greetings++;
    say_method(c, 10, start, sizeof(start) - 1);
}

static void say_tune(struct fake_connection *c)
{
    static const uint8_t tune[] = {7, 255, 0, 2, 0, 0, 0, 60}; /* channels, frames of 128 KiB, heartbeat */

    say_method(c, 30, tune, sizeof(tune));
}

static void say_close(struct fake_connection *c, uint16_t code, const char *text)
{
    uint8_t arguments[200] = {(uint8_t)(code >> 8), (uint8_t)code, (uint8_t)strlen(text)};

    memcpy(arguments + 3, text, strlen(text));
    say_method(c, CLOSE, arguments, 3 + strlen(text) + 4);
}

/* ── A connection ── */

static void on_closed(uv_handle_t *handle)
{
    ((struct fake_connection *)handle->data)->is_used = false;
}

static void hang_up(struct fake_connection *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->socket))
        uv_close((uv_handle_t *)&c->socket, on_closed);
}

static void hear_start_ok(struct fake_connection *c)
{
    c->node->logins++;
    if (c->node->mode == FAKE_REFUSES_LOGIN)
        say_close(c, 403, "ACCESS_REFUSED - Login was refused");
    else if (c->node->mode != FAKE_STALLS_AT_LOGIN)
        say_tune(c);
}

static void hear_open(struct fake_connection *c)
{
    c->node->opens++;
    if (c->node->mode == FAKE_REFUSES_VHOST)
        say_close(c, 530, "NOT_ALLOWED - access to vhost refused");
    else if (c->node->mode == FAKE_HANGS_UP_AT_VHOST)
        hang_up(c);
    else
        say_method(c, 41, "", 1);
}

static void hear_method(struct fake_connection *c, uint8_t method)
{
    switch (method) {
    case START_OK: hear_start_ok(c); break;
    case OPEN: hear_open(c); break;
    case CLOSE:
        c->node->closes++;
        say_method(c, CLOSE_OK, "", 0);
        hang_up(c);
        break;
    case CLOSE_OK: hang_up(c); break;
    default: break;
    }
}

static size_t frame_size(const uint8_t *frame)
{
    return FRAME_HEAD + ((size_t)frame[5] << 8 | frame[6]) + 1;
}

/* Takes `n` bytes off what has come. */
static void drop_in(struct fake_connection *c, size_t n)
{
    memmove(c->in, c->in + n, c->len - n);
    c->len -= n;
}

static void hear(struct fake_connection *c)
{
    if (c->node->mode == FAKE_IS_SILENT || c->node->mode == FAKE_BABBLES) {
        c->len = 0;
        return;
    }
    if (c->len >= HEADER_SIZE && memcmp(c->in, "AMQP", 4) == 0) {
        drop_in(c, HEADER_SIZE);
        say_start(c);
    }
    while (c->len >= FRAME_HEAD && c->len >= frame_size(c->in)) {
        const uint8_t method = c->in[0] == 1 ? c->in[10] : 0;

        drop_in(c, frame_size(c->in));
        hear_method(c, method);
    }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct fake_connection *c = handle->data;

    (void)size;
    *buf = uv_buf_init((char *)c->in + c->len, (unsigned)(sizeof(c->in) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake_connection *c = stream->data;

    (void)buf;
    if (n < 0) {
        c->node->drops++;
        hang_up(c);
        return;
    }
    c->len += (size_t)n;
    hear(c);
}

static struct fake_connection *spare(struct fake_node *node)
{
    unsigned i = 0;

    while (i < FAKE_CONNECTIONS && node->connections[i].is_used)
        i++;
    assert(i < FAKE_CONNECTIONS);
    return &node->connections[i];
}

static void on_connection(uv_stream_t *listener, int status)
{
    static const char babble[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct fake_node *node = listener->data;
    struct fake_connection *c = spare(node);

    assert(status == 0);
    node->accepted++;
    c->node = node;
    c->is_used = true;
    c->len = 0;
    uv_tcp_init(node->loop, &c->socket);
    c->socket.data = c;
    uv_accept(listener, (uv_stream_t *)&c->socket);
    uv_read_start((uv_stream_t *)&c->socket, on_alloc, on_read);
    if (node->mode == FAKE_HANGS_UP)
        hang_up(c);
    else if (node->mode == FAKE_BABBLES)
        say(c, babble, sizeof(babble) - 1);
}

/* ── A node ── */

/* Bound and not listening, the port is nobody else's. */
void fake_node_init(struct fake_node *node, uv_loop_t *loop, enum fake_mode mode)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int length = sizeof(address);
    int rc;

    *node = (struct fake_node){.loop = loop, .mode = mode};
    uv_tcp_init(loop, &node->listener);
    node->listener.data = node;
    rc = uv_tcp_bind(&node->listener, (const struct sockaddr *)&address, 0);
    assert(rc == 0);
    uv_tcp_getsockname(&node->listener, (struct sockaddr *)&address, &length);
    node->port = ntohs(address.sin_port);
}

void fake_node_listen(struct fake_node *node)
{
    int rc = uv_listen((uv_stream_t *)&node->listener, FAKE_CONNECTIONS, on_connection);

    assert(rc == 0);
}

void fake_node_beat(struct fake_node *node)
{
    static const uint8_t heartbeat[] = {8, 0, 0, 0, 0, 0, 0, FRAME_END};

    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        if (node->connections[i].is_used)
            say(&node->connections[i], heartbeat, sizeof(heartbeat));
}

void fake_node_end(struct fake_node *node, uint16_t code, const char *text)
{
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        if (node->connections[i].is_used)
            say_close(&node->connections[i], code, text);
}

void fake_node_drop(struct fake_node *node)
{
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        if (node->connections[i].is_used)
            hang_up(&node->connections[i]);
}

void fake_node_close(struct fake_node *node)
{
    fake_node_drop(node);
    uv_close((uv_handle_t *)&node->listener, NULL);
}
