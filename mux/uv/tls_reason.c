/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/tls_reason.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>

/* What is known to happen. */
struct known {
    long code; /* 0: any other */
    const char *what;
    const char *advice; /* NULL: none */
};

#define THEIR_CERTIFICATE "the server's certificate is refused"

#define UNKNOWN_AUTHORITY "no authority in tls-ca has signed it"
#define OTHER_NAME        "connect by a name that it is for, or have one made for this name"
#define WRONG_CLOCK       "have it renewed, or set the clock"

/* Our verdict on the server's certificate. */
static const struct known verdicts[] = {
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, THEIR_CERTIFICATE, UNKNOWN_AUTHORITY},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, THEIR_CERTIFICATE, UNKNOWN_AUTHORITY},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, THEIR_CERTIFICATE, UNKNOWN_AUTHORITY},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, THEIR_CERTIFICATE, UNKNOWN_AUTHORITY},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, THEIR_CERTIFICATE, UNKNOWN_AUTHORITY},
    {X509_V_ERR_HOSTNAME_MISMATCH, THEIR_CERTIFICATE, OTHER_NAME},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, THEIR_CERTIFICATE, OTHER_NAME},
    {X509_V_ERR_CERT_HAS_EXPIRED, THEIR_CERTIFICATE, WRONG_CLOCK},
    {X509_V_ERR_CERT_NOT_YET_VALID, THEIR_CERTIFICATE, "set the clock, here or where it was made"},
    {0, THEIR_CERTIFICATE, NULL},
};

#define OUR_CERTIFICATE "the server refuses our certificate"
#define ANOTHER_CERT    "tls-cert must be one that it takes"

/* What the server told us in an alert, or what it sent instead of TLS. */
static const struct known failures[] = {
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the server wants a certificate", "set tls-cert"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "the server refuses",
     "perhaps it wants a certificate: set tls-cert"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, OUR_CERTIFICATE, "tls-cert must be signed by an authority that it trusts"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, OUR_CERTIFICATE, ANOTHER_CERT},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, OUR_CERTIFICATE, ANOTHER_CERT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, OUR_CERTIFICATE, ANOTHER_CERT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, OUR_CERTIFICATE, ANOTHER_CERT},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, OUR_CERTIFICATE, "have tls-cert renewed"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the server refuses", "TLS 1.2 is the oldest that is spoken here"},
    {SSL_R_WRONG_VERSION_NUMBER, "TLS failed", "this port of the server does not speak TLS"},
    {0, "TLS failed", NULL},
};

/* The row of the code; the last one is for all others. */
static const struct known *find(const struct known *rows, long code)
{
    while (rows->code != code && rows->code != 0)
        rows++;
    return rows;
}

void mux_uv_tls_describe(const SSL *ssl, char *text, size_t size)
{
    const long verdict = SSL_get_verify_result(ssl);
    const unsigned long error = ERR_get_error();
    const char *words = ERR_reason_error_string(error);
    const struct known *row = find(failures, ERR_GET_REASON(error));

    ERR_clear_error();
    if (verdict != X509_V_OK) {
        row = find(verdicts, verdict);
        words = X509_verify_cert_error_string(verdict);
    }
    snprintf(text, size, "%s: %s%s%s", row->what, words != NULL ? words : "protocol error",
             row->advice != NULL ? "; " : "", row->advice != NULL ? row->advice : "");
}
