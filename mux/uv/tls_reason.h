/* SPDX-License-Identifier: Apache-2.0 */
/* Why a TLS connection failed, in words, and what can be done about it. */
#ifndef MUX_UV_TLS_REASON_H
#define MUX_UV_TLS_REASON_H

#include <openssl/ssl.h>
#include <stddef.h>

/*
 * To be called when OpenSSL has failed, before its queue of errors is cleared; it is emptied. `text` gets
 * OpenSSL's words and, for what is known to happen, advice. Advice calls the files of
 * struct mux_uv_tls_options by the names that their settings have in all daemons: tls-ca, tls-cert, tls-key.
 */
void mux_uv_tls_describe(const SSL *ssl, char *text, size_t size);

#endif
