/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on a stream, by OpenSSL: a filter on top of the stream's socket. The handshake goes on by itself; until
 * it has ended nothing can be read or written. The peer must show a certificate for the name that was asked
 * for, signed by an authority that is trusted; if not, the stream fails with -EPROTO, and
 * mux_uv_stream_reason says why.
 *
 * The end of the peer's data is taken as such with close_notify or without: the protocols carried here have
 * farewells of their own.
 */
#ifndef MUX_UV_TLS_H
#define MUX_UV_TLS_H

#include "mux/uv/stream.h"

struct mux_uv_tls_options {
    const char *ca_file;   /* PEM: authorities to trust; NULL: the system's */
    const char *cert_file; /* PEM: our certificate with its chain; NULL: we show none */
    const char *key_file;  /* PEM: its key; NULL: in cert_file */
};

/* What the connections of one kind share. */
struct mux_uv_tls;

/* Reads the files. NULL: `why` says what is wrong with which. */
struct mux_uv_tls *mux_uv_tls_create(const struct mux_uv_tls_options *options, char *why, size_t why_size);

/* No stream that uses it may be left. NULL is ignored. */
void mux_uv_tls_destroy(struct mux_uv_tls *tls);

/*
 * Makes the stream, on which nothing was read or written yet, the client's side of TLS with the server of
 * this name (a DNS name, or an address as text). 0 or -ENOMEM: the stream is as it was.
 */
int mux_uv_tls_connect(struct mux_uv_tls *tls, struct mux_uv_stream *stream, const char *server_name);

#endif
