/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS filter on a real socket pair. The server is OpenSSL itself, blocking, in a thread: what it says and
 * sees is not of our making.
 */
#include "mux/uv/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ── Certificates, made for each run ── */

struct identity {
    EVP_PKEY *key;
    X509 *cert;
    char cert_file[64];
    char key_file[64];
};

/* A self-signed certificate for this name, in files of their own. */
static struct identity make_identity(const char *name)
{
    struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509V3_CTX ctx;
    char alt[64];
    FILE *file;

    X509_set_version(id.cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), 3600);
    X509_set_pubkey(id.cert, id.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(id.cert, X509_get_subject_name(id.cert));
    snprintf(alt, sizeof(alt), "DNS:%s", name);
    X509V3_set_ctx(&ctx, id.cert, id.cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, alt);
    X509_add_ext(id.cert, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(id.cert, id.key, EVP_sha256()) > 0);

    snprintf(id.cert_file, sizeof(id.cert_file), "/tmp/tls-%s-%d.crt", name, (int)getpid());
    snprintf(id.key_file, sizeof(id.key_file), "/tmp/tls-%s-%d.key", name, (int)getpid());
    file = fopen(id.cert_file, "w");
    PEM_write_X509(file, id.cert);
    fclose(file);
    file = fopen(id.key_file, "w");
    PEM_write_PrivateKey(file, id.key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    return id;
}

static void drop_identity(struct identity *id)
{
    unlink(id->cert_file);
    unlink(id->key_file);
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
}

static struct identity broker; /* the server's */
static struct identity guest;  /* the client's, where one is asked for */

static int make_identities(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    broker = make_identity("broker.test");
    guest = make_identity("guest.test");
    return 0;
}

static int drop_identities(void **state)
{
    (void)state;
    drop_identity(&broker);
    drop_identity(&guest);
    return 0;
}

/* ── The server ── */

struct server {
    pthread_t thread;
    int fd;
    bool asks_for_certificate;
    bool is_rude; /* hangs up in the handshake */
    size_t echoed;
    bool saw_close_notify;
    char client[64]; /* the common name of its certificate */
};

static void serve(struct server *server, SSL *ssl)
{
    static const uint8_t last_words[] = "bye";
    uint8_t buffer[50000];
    X509 *peer;
    int n;

    if (SSL_accept(ssl) != 1)
        return;
    peer = SSL_get0_peer_certificate(ssl);
    if (peer != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, server->client,
                                  sizeof(server->client));
    while ((n = SSL_read(ssl, buffer, sizeof(buffer))) > 0) {
        server->echoed += (size_t)n;
        if (SSL_write(ssl, buffer, n) != n)
            return;
    }
    server->saw_close_notify = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
    SSL_write(ssl, last_words, sizeof(last_words) - 1);
    SSL_shutdown(ssl);
}

static void *run_server(void *arg)
{
    struct server *server = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl;
    char c;

    if (server->is_rude) {
        read(server->fd, &c, 1);
    } else {
        SSL_CTX_use_certificate(ctx, broker.cert);
        SSL_CTX_use_PrivateKey(ctx, broker.key);
        if (server->asks_for_certificate) {
            SSL_CTX_load_verify_file(ctx, guest.cert_file);
            SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        }
        ssl = SSL_new(ctx);
        SSL_set_fd(ssl, server->fd);
        serve(server, ssl);
        SSL_free(ssl);
    }
    close(server->fd);
    SSL_CTX_free(ctx);
    return NULL;
}

/* ── The client ── */

struct client {
    uv_loop_t loop;
    struct mux_uv_loop mux_loop;
    struct mux_uv_stream stream;
    struct server server;
    size_t step;  /* most that one read may take */
    size_t total; /* to be sent, and then the end */
    size_t sent;
    size_t received; /* of the echo */
    char tail[16];   /* what came behind the echo */
    size_t tail_len;
    bool pauses; /* stops reading after each read, until the loop has turned */
    uv_idle_t idle;
    bool shut;
    bool ended;
    int error;
    char reason[256];
};

static struct client *client_of(struct mux_uv_stream *stream)
{
    return (struct client *)((char *)stream - offsetof(struct client, stream));
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) + (i >> 16));
}

static void finish(struct client *client)
{
    uv_close((uv_handle_t *)&client->idle, NULL);
    mux_uv_stream_close(&client->stream);
}

static size_t want(struct mux_uv_stream *stream)
{
    struct client *client = client_of(stream);

    return client->pauses && uv_is_active((uv_handle_t *)&client->idle) ? 0 : client->step;
}

static void on_idle(uv_idle_t *idle)
{
    struct client *client = idle->data;

    uv_idle_stop(idle);
    mux_uv_stream_resume(&client->stream);
}

static void on_read(struct mux_uv_stream *stream, struct mux_chunk *chunk, const uint8_t *data, size_t len)
{
    struct client *client = client_of(stream);

    (void)chunk;
    assert_true(len <= client->step);
    for (size_t i = 0; i < len; i++) {
        if (client->received < client->total)
            assert_int_equal(data[i], pattern(client->received++));
        else if (client->tail_len < sizeof(client->tail))
            client->tail[client->tail_len++] = (char)data[i];
    }
    if (client->received == client->total)
        mux_uv_stream_want_flush(stream); /* only now, so that nothing else wakes a stream that has stalled */
    if (client->pauses)
        uv_idle_start(&client->idle, on_idle);
}

static void on_eof(struct mux_uv_stream *stream)
{
    struct client *client = client_of(stream);

    client->ended = true;
    finish(client);
}

static void on_error(struct mux_uv_stream *stream, int error)
{
    struct client *client = client_of(stream);

    client->error = error;
    snprintf(client->reason, sizeof(client->reason), "%s", mux_uv_stream_reason(stream, error));
    finish(client);
}

/* In pieces of odd sizes, as a batch of frames is. */
static void on_flush(struct mux_uv_stream *stream)
{
    struct client *client = client_of(stream);
    uint8_t bytes[40000];

    while (client->sent < client->total) {
        size_t len =
            client->total - client->sent < sizeof(bytes) ? client->total - client->sent : sizeof(bytes);
        size_t cut = len / 3;
        struct iovec iov[3] = {{bytes, cut},
                               {bytes + cut, len > cut + 12 ? 12 : 0},
                               {bytes + cut + 12, len > cut + 12 ? len - cut - 12 : 0}};

        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(client->sent + i);
        ssize_t n = mux_uv_stream_writev(stream, iov, 3);
        if (n == -EAGAIN)
            return;
        assert_true(n > 0);
        client->sent += (size_t)n;
    }
    if (client->received == client->total && !client->shut) {
        client->shut = true;
        mux_uv_stream_shutdown(stream);
    }
}

static void on_closed(struct mux_uv_stream *stream)
{
    mux_uv_loop_close(&client_of(stream)->mux_loop);
}

static const struct mux_uv_stream_ops client_ops = {
    .want = want,
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_flush = on_flush,
    .on_closed = on_closed,
};

/* Runs it to its end. */
static void run(struct client *client, const struct mux_uv_tls_options *options, const char *name)
{
    struct mux_uv_tls *tls;
    char why[256] = "";
    int fds[2];
    int small = 8192; /* so that writes are cut short */

    tls = mux_uv_tls_create(options, why, sizeof(why));
    if (tls == NULL)
        fail_msg("%s", why);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    client->server.fd = fds[1];
    pthread_create(&client->server.thread, NULL, run_server, &client->server);

    uv_loop_init(&client->loop);
    mux_uv_loop_init(&client->mux_loop, &client->loop);
    uv_idle_init(&client->loop, &client->idle);
    client->idle.data = client;
    assert_int_equal(mux_uv_stream_open(&client->stream, &client->mux_loop, fds[0], &client_ops), 0);
    assert_int_equal(mux_uv_tls_connect(tls, &client->stream, name), 0);
    mux_uv_stream_resume(&client->stream);
    mux_uv_stream_want_flush(&client->stream);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    mux_uv_loop_deinit(&client->mux_loop);
    assert_int_equal(uv_loop_close(&client->loop), 0);
    pthread_join(client->server.thread, NULL);
    mux_uv_tls_destroy(tls);
}

static void check_echo(const struct client *client)
{
    assert_int_equal(client->error, 0);
    assert_true(client->ended);
    assert_int_equal(client->server.echoed, client->total);
    assert_int_equal(client->received, client->total);
    assert_int_equal(client->tail_len, 3);
    assert_memory_equal(client->tail, "bye", 3);
}

/* ── Tests ── */

static void test_bytes_pass_both_ways_and_end_in_order(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 3000000};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "broker.test");
    check_echo(&client);
    assert_true(client.server.saw_close_notify);
    assert_string_equal(client.server.client, "");
}

/* What OpenSSL has decrypted already makes no socket readable. */
static void test_small_reads_leave_nothing_behind(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 100, .total = 200000};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "broker.test");
    check_echo(&client);
}

static void test_reading_may_pause(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 1000, .total = 300000, .pauses = true};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "broker.test");
    check_echo(&client);
}

static void test_a_certificate_is_shown(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 1000, .server.asks_for_certificate = true};
    run(&client,
        &(struct mux_uv_tls_options){
            .ca_file = broker.cert_file, .cert_file = guest.cert_file, .key_file = guest.key_file},
        "broker.test");
    check_echo(&client);
    assert_string_equal(client.server.client, "guest.test");
}

static void test_a_server_that_wants_a_certificate_refuses(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 1000, .server.asks_for_certificate = true};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "broker.test");
    assert_int_equal(client.error, -EPROTO);
    assert_string_equal(client.reason,
                        "the server wants a certificate: tlsv13 alert certificate required; set tls-cert");
    assert_int_equal(client.server.echoed, 0);
}

static void test_another_name_is_refused(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 1000};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "other.test");
    assert_int_equal(client.error, -EPROTO);
    assert_string_equal(client.reason,
                        "the server's certificate is refused: hostname mismatch; connect by a name "
                        "that it is for, or have one made for this name");
    assert_int_equal(client.server.echoed, 0);
}

static void test_an_unknown_authority_is_refused(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 1000};
    run(&client, &(struct mux_uv_tls_options){.ca_file = guest.cert_file}, "broker.test");
    assert_int_equal(client.error, -EPROTO);
    assert_string_equal(client.reason,
                        "the server's certificate is refused: self-signed certificate; no authority "
                        "in tls-ca has signed it");
    assert_int_equal(client.server.echoed, 0);
}

static void test_a_server_that_hangs_up_is_told(void **state)
{
    static struct client client;

    (void)state;
    client = (struct client){.step = 65536, .total = 1000, .server.is_rude = true};
    run(&client, &(struct mux_uv_tls_options){.ca_file = broker.cert_file}, "broker.test");
    assert_int_equal(client.error, -ECONNRESET);
    assert_int_equal(client.received, 0);
}

static void test_files_that_cannot_be_used_are_named(void **state)
{
    char why[256];

    (void)state;
    assert_null(
        mux_uv_tls_create(&(struct mux_uv_tls_options){.ca_file = "/nonexistent.pem"}, why, sizeof(why)));
    assert_non_null(strstr(why, "/nonexistent.pem can't be used for TLS: No such file or directory"));
    assert_null(mux_uv_tls_create(
        &(struct mux_uv_tls_options){.ca_file = broker.cert_file, .cert_file = broker.key_file}, why,
        sizeof(why)));
    assert_non_null(strstr(why, broker.key_file));
    assert_null(mux_uv_tls_create(&(struct mux_uv_tls_options){.ca_file = broker.cert_file,
                                                               .cert_file = broker.cert_file,
                                                               .key_file = guest.key_file},
                                  why, sizeof(why)));
    assert_non_null(strstr(why, "key values mismatch"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_pass_both_ways_and_end_in_order),
        cmocka_unit_test(test_small_reads_leave_nothing_behind),
        cmocka_unit_test(test_reading_may_pause),
        cmocka_unit_test(test_a_certificate_is_shown),
        cmocka_unit_test(test_a_server_that_wants_a_certificate_refuses),
        cmocka_unit_test(test_another_name_is_refused),
        cmocka_unit_test(test_an_unknown_authority_is_refused),
        cmocka_unit_test(test_a_server_that_hangs_up_is_told),
        cmocka_unit_test(test_files_that_cannot_be_used_are_named),
    };

    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
