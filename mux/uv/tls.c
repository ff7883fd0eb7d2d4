/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL reads from one memory BIO and writes to another; this file moves bytes between those and the filter
 * below. So no call into OpenSSL ever waits for the socket, and none must be repeated with the same bytes.
 *
 * What can go wrong: the peer ends or resets the connection in the handshake, shows a certificate that is not
 * trusted or for another name, or breaks TLS (the stream fails with a reason).
 */
#include "mux/uv/tls.h"

#include "mux/uv/tls_reason.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Plain bytes of one record. */
#define RECORD_SIZE 16384u

struct mux_uv_tls {
    SSL_CTX *ctx;
    /* Scratch, of no meaning between calls. */
    uint8_t record[RECORD_SIZE]; /* small pieces of a write, put together */
    uint8_t received[65536];     /* on its way from below into OpenSSL, or on its way out of it */
};

struct tls_filter {
    struct mux_uv_filter filter;
    struct mux_uv_tls *shared;
    SSL *ssl;
    BIO *in;            /* owned by ssl: from the peer */
    BIO *out;           /* owned by ssl: for the peer */
    bool may_hold_more; /* the last read was cut short by the buffer, not by the lack of data */
    bool shutting;      /* when `out` is empty, the filter below is shut down */
    char reason[256];   /* "": none */
};

static struct tls_filter *tls_of(struct mux_uv_filter *filter)
{
    return (struct tls_filter *)filter;
}

/* ── Errors ── */

/* Note what OpenSSL has to say about its failure. Only the first one is a cause. */
static int failed(struct tls_filter *tls)
{
    if (tls->reason[0] == '\0')
        mux_uv_tls_describe(tls->ssl, tls->reason, sizeof(tls->reason));
    return -EPROTO;
}

static const char *tls_reason(const struct mux_uv_filter *filter)
{
    const struct tls_filter *tls = (const struct tls_filter *)filter;

    return tls->reason[0] != '\0' ? tls->reason : NULL;
}

/* ── Between OpenSSL and the filter below ── */

/* Take in what the peer has sent. Bytes, 0 at the end, or -errno. */
static ssize_t fill_in(struct tls_filter *tls)
{
    struct mux_uv_filter *below = tls->filter.below;
    ssize_t n = below->ops->read(below, tls->shared->received, sizeof(tls->shared->received));

    if (n > 0 && BIO_write(tls->in, tls->shared->received, (int)n) != n)
        return -ENOMEM;
    return n;
}

/* The peer takes no more. If it has said why, that is the error: in TLS 1.3 a server refuses the client's
 * certificate when the client is writing already. */
static int refused(struct tls_filter *tls, int error)
{
    char byte;

    while (fill_in(tls) > 0)
        continue;
    ERR_clear_error();
    return SSL_get_error(tls->ssl, SSL_peek(tls->ssl, &byte, 1)) == SSL_ERROR_SSL ? failed(tls) : error;
}

/* Hand on what OpenSSL has for the peer. 0: all is on its way; or -errno. */
static int flush_out(struct tls_filter *tls)
{
    struct mux_uv_filter *below = tls->filter.below;
    struct iovec iov;
    char *data;
    long size;

    while ((size = BIO_get_mem_data(tls->out, &data)) > 0) {
        iov = (struct iovec){.iov_base = data, .iov_len = (size_t)size};
        ssize_t n = below->ops->writev(below, &iov, 1);
        if (n < 0)
            return n == -EAGAIN ? -EAGAIN : refused(tls, (int)n);
        while (n > 0) { /* forget what was written */
            int step =
                n < (ssize_t)sizeof(tls->shared->received) ? (int)n : (int)sizeof(tls->shared->received);

            BIO_read(tls->out, tls->shared->received, step);
            n -= step;
        }
    }
    if (tls->shutting) {
        tls->shutting = false;
        return below->ops->shutdown(below);
    }
    return 0;
}

/* ── The handshake ── */

/* 0: it has ended; -EAGAIN: it waits for the peer; or another -errno. */
static int shake_hands(struct tls_filter *tls)
{
    for (;;) {
        ERR_clear_error();
        int rc = SSL_do_handshake(tls->ssl);
        int error = SSL_get_error(tls->ssl, rc);
        int flushed = flush_out(tls); /* on failure as well: the peer gets an alert */

        if (rc == 1)
            return 0;
        if (error != SSL_ERROR_WANT_READ)
            return failed(tls);
        if (flushed < 0 && flushed != -EAGAIN)
            return flushed;

        ssize_t n = fill_in(tls);
        if (n == 0) {
            snprintf(tls->reason, sizeof(tls->reason),
                     "the server ended the connection during the TLS handshake");
            return -ECONNRESET;
        }
        if (n < 0)
            return (int)n;
    }
}

static int tls_advance(struct mux_uv_filter *filter)
{
    struct tls_filter *tls = tls_of(filter);
    int rc = SSL_is_init_finished(tls->ssl) ? flush_out(tls) : shake_hands(tls);

    return rc == -EAGAIN ? 0 : rc;
}

static int tls_events(struct mux_uv_filter *filter, int wanted)
{
    struct tls_filter *tls = tls_of(filter);

    if (!SSL_is_init_finished(tls->ssl))
        wanted = UV_READABLE; /* the owner's bytes must wait */
    if (BIO_pending(tls->out) > 0)
        wanted |= UV_WRITABLE;
    return wanted;
}

/* ── Bytes ── */

/* What lies in `in` already. Bytes; 0: it takes more from the peer; -errno: the end (-ENODATA) or a failure.
 */
static ssize_t decrypt(struct tls_filter *tls, uint8_t *buffer, size_t size)
{
    size_t used = 0;

    while (used < size) {
        size_t n = 0;

        ERR_clear_error();
        if (SSL_read_ex(tls->ssl, buffer + used, size - used, &n) == 1) {
            used += n;
            continue;
        }
        int error = SSL_get_error(tls->ssl, 0);
        if (error != SSL_ERROR_WANT_READ && used > 0)
            break; /* the next call will meet it again */
        tls->may_hold_more = false;
        if (error == SSL_ERROR_ZERO_RETURN)
            return -ENODATA;
        return error == SSL_ERROR_WANT_READ ? (ssize_t)used : failed(tls);
    }
    tls->may_hold_more = true;
    return (ssize_t)used;
}

static ssize_t tls_read(struct mux_uv_filter *filter, void *buffer, size_t size)
{
    struct tls_filter *tls = tls_of(filter);
    ssize_t n;

    if (!SSL_is_init_finished(tls->ssl))
        return -EAGAIN;
    while ((n = decrypt(tls, buffer, size)) == 0) {
        ssize_t got = fill_in(tls);

        if (got <= 0)
            return got;
    }
    flush_out(tls); /* reading may have made an answer; if that does not leave now, it is waited for */
    return n == -ENODATA ? 0 : n;
}

static bool tls_pending(const struct mux_uv_filter *filter)
{
    return ((const struct tls_filter *)filter)->may_hold_more;
}

/* The next record's worth of a write, put together from its pieces. */
static size_t gather(struct tls_filter *tls, const struct iovec *iov, int count, size_t skip)
{
    size_t used = 0;

    for (int i = 0; i < count && used < RECORD_SIZE; i++) {
        size_t len = iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        len = len < RECORD_SIZE - used ? len : RECORD_SIZE - used;
        memcpy(tls->shared->record + used, (const uint8_t *)iov[i].iov_base + skip, len);
        used += len;
        skip = 0;
    }
    return used;
}

static ssize_t tls_writev(struct mux_uv_filter *filter, const struct iovec *iov, int count)
{
    struct tls_filter *tls = tls_of(filter);
    size_t taken = 0;
    int rc = SSL_is_init_finished(tls->ssl) ? flush_out(tls) : -EAGAIN;

    while (rc == 0) {
        size_t len = gather(tls, iov, count, taken);
        size_t n = 0;

        if (len == 0)
            break;
        ERR_clear_error();
        if (SSL_write_ex(tls->ssl, tls->shared->record, len, &n) != 1)
            return failed(tls);
        taken += n;
        rc = flush_out(tls);
    }
    return taken > 0 ? (ssize_t)taken : rc;
}

static int tls_shutdown(struct mux_uv_filter *filter)
{
    struct tls_filter *tls = tls_of(filter);
    int rc;

    tls->shutting = true;
    if (SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl); /* close_notify, into `out` */
    rc = flush_out(tls);
    return rc == -EAGAIN ? 0 : rc;
}

static void tls_destroy(struct mux_uv_filter *filter)
{
    struct tls_filter *tls = tls_of(filter);

    SSL_free(tls->ssl);
    free(tls);
}

static const struct mux_uv_filter_ops tls_ops = {
    .read = tls_read,
    .writev = tls_writev,
    .shutdown = tls_shutdown,
    .destroy = tls_destroy,
    .events = tls_events,
    .advance = tls_advance,
    .pending = tls_pending,
    .reason = tls_reason,
};

/* ── Setting up ── */

/* What the system said of a file comes first; behind it OpenSSL only says that the system said something. */
static const char *load_error(void)
{
    const unsigned long first = ERR_peek_error();
    const char *text;

    if (ERR_SYSTEM_ERROR(first))
        return strerror(ERR_GET_REASON(first));
    text = ERR_reason_error_string(ERR_peek_last_error());
    return text != NULL ? text : "it can't be read";
}

static int load_files(SSL_CTX *ctx, const struct mux_uv_tls_options *options, char *why, size_t why_size)
{
    const char *key_file = options->key_file != NULL ? options->key_file : options->cert_file;
    const char *file = options->ca_file;
    int rc = file != NULL ? SSL_CTX_load_verify_file(ctx, file) : SSL_CTX_set_default_verify_paths(ctx);

    if (rc == 1 && options->cert_file != NULL) {
        file = options->cert_file;
        rc = SSL_CTX_use_certificate_chain_file(ctx, file);
    }
    if (rc == 1 && key_file != NULL) {
        file = key_file;
        rc = SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM);
    }
    if (rc == 1)
        return 0;

    snprintf(why, why_size, "%s can't be used for TLS: %s", file != NULL ? file : "the system's authorities",
             load_error());
    return -EINVAL;
}

struct mux_uv_tls *mux_uv_tls_create(const struct mux_uv_tls_options *options, char *why, size_t why_size)
{
    struct mux_uv_tls *tls = calloc(1, sizeof(*tls));
    SSL_CTX *ctx;

    ERR_clear_error();
    ctx = SSL_CTX_new(TLS_client_method());
    if (tls == NULL || ctx == NULL) {
        snprintf(why, why_size, "out of memory");
        goto failed;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    if (load_files(ctx, options, why, why_size) < 0)
        goto failed;
    tls->ctx = ctx;
    return tls;
failed:
    SSL_CTX_free(ctx);
    free(tls);
    return NULL;
}

void mux_uv_tls_destroy(struct mux_uv_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->ctx);
    free(tls);
}

/* The name that the certificate must be for; told to the server too, unless it is an address. */
static int set_name(SSL *ssl, const char *name)
{
    struct in6_addr address;

    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int mux_uv_tls_connect(struct mux_uv_tls *tls, struct mux_uv_stream *stream, const char *server_name)
{
    struct tls_filter *filter = malloc(sizeof(*filter));
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(tls->ctx);

    if (filter == NULL || in == NULL || out == NULL || ssl == NULL || set_name(ssl, server_name) != 1) {
        free(filter);
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        return -ENOMEM;
    }
    *filter = (struct tls_filter){.filter = {.ops = &tls_ops, .below = stream->filter},
                                  .shared = tls,
                                  .ssl = ssl,
                                  .in = in,
                                  .out = out};
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl); /* the client's hello, into `out` */
    mux_uv_stream_push(stream, &filter->filter);
    return 0;
}
