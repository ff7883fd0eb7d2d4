/* SPDX-License-Identifier: Apache-2.0 */
/* From the host to a hybrid VM, against a VMM of our own that also misbehaves. */
#include "scratch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char err[TEXT_SIZE];

struct vmm {
    char *folder;
    int listener;
    int stream;
    struct vmci_connector *connector;
};

/* Connects, and takes the stream in as the VMM. */
static int setup(void **state)
{
    struct vmm *vmm = calloc(1, sizeof(*vmm));
    const struct vmci_settings settings = {0};
    struct vmci_endpoint endpoint;
    void *folder;

    if (!vmm || scratch_setup(&folder) < 0)
        return -1;
    vmm->folder = folder;
    vmm->listener = scratch_unix_listener(scratch_path(folder, "v.sock"));
    endpoint = scratch_endpoint("hybrid:%s/v.sock:5672", (char *)folder);
    assert_int_equal(vmci_connect(&endpoint, &settings, &vmm->connector, err, sizeof(err)), 0);
    vmm->stream = accept4(vmm->listener, NULL, NULL, SOCK_CLOEXEC);
    *state = vmm;
    return 0;
}

static int teardown(void **state)
{
    struct vmm *vmm = *state;
    void *folder = vmm->folder;

    vmci_connector_close(vmm->connector);
    if (vmm->stream >= 0)
        (void)close(vmm->stream);
    (void)close(vmm->listener);
    free(vmm);
    return scratch_teardown(&folder);
}

static int step(struct vmm *vmm)
{
    return vmci_connector_step(vmm->connector, err, sizeof(err));
}

static void say(struct vmm *vmm, const char *text)
{
    assert_int_equal(send(vmm->stream, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads the request; then the connector waits for the answer. */
static void hear_request(struct vmm *vmm)
{
    char request[64] = "";

    assert_int_equal(step(vmm), -EAGAIN);
    assert_int_equal(vmci_connector_events(vmm->connector), POLLIN);
    assert_int_equal(recv(vmm->stream, request, sizeof(request), MSG_DONTWAIT), strlen("CONNECT 5672\n"));
    assert_string_equal(request, "CONNECT 5672\n");
}

static void test_connects(void **state)
{
    struct vmm *vmm = *state;
    const int fd = vmci_connector_fd(vmm->connector);

    hear_request(vmm);
    assert_int_equal(step(vmm), -EAGAIN); /* asked for nothing: no harm */
    assert_false(scratch_readable(vmm->stream, 0));
    say(vmm, "OK 1073741824\n");
    assert_true(scratch_readable(fd, 0));
    assert_int_equal(step(vmm), 0);
    assert_int_equal(vmci_connector_take(vmm->connector), fd);
    scratch_assert_stream(fd, vmm->stream);
    (void)close(fd);
}

static void test_answer_in_single_bytes(void **state)
{
    struct vmm *vmm = *state;
    const char *answer = "OK 42\n";

    hear_request(vmm);
    for (size_t i = 0; answer[i]; i++) {
        assert_int_equal(step(vmm), -EAGAIN);
        assert_int_equal(send(vmm->stream, answer + i, 1, MSG_NOSIGNAL), 1);
    }
    assert_int_equal(step(vmm), 0);
}

static void test_guests_first_bytes_stay_in_the_stream(void **state)
{
    struct vmm *vmm = *state;
    char buffer[16] = "";

    hear_request(vmm);
    say(vmm, "OK 1\nOK 2\nhello");
    assert_int_equal(step(vmm), 0);
    assert_int_equal(recv(vmci_connector_fd(vmm->connector), buffer, sizeof(buffer), MSG_DONTWAIT), 10);
    assert_memory_equal(buffer, "OK 2\nhello", 10);
}

static void test_answer_before_the_question(void **state)
{
    struct vmm *vmm = *state;

    say(vmm, "OK 1\n");
    assert_int_equal(step(vmm), 0);
}

static void test_any_number_is_fine(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    say(vmm, "OK 4294967295\n");
    assert_int_equal(step(vmm), 0);
}

static void assert_failed_for_good(struct vmm *vmm, int rc, const char *says)
{
    assert_int_equal(step(vmm), rc);
    if (!strstr(err, says))
        fail_msg("\"%s\" does not say \"%s\"", err, says);
    assert_int_equal(step(vmm), -ENOTCONN);
    assert_int_equal(vmci_connector_take(vmm->connector), -ENOTCONN);
}

static void test_closed_without_a_word(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    (void)close(vmm->stream);
    vmm->stream = -1;
    assert_failed_for_good(vmm, -ECONNRESET, "nobody listens there");
}

static void test_closed_within_the_answer(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    say(vmm, "OK 12");
    assert_int_equal(step(vmm), -EAGAIN);
    (void)close(vmm->stream);
    vmm->stream = -1;
    assert_failed_for_good(vmm, -ECONNRESET, "nobody listens there");
}

static void test_closed_with_the_question_unread(void **state)
{
    struct vmm *vmm = *state;

    assert_int_equal(step(vmm), -EAGAIN);
    (void)close(vmm->stream); /* which is a reset, not an end of file */
    vmm->stream = -1;
    assert_failed_for_good(vmm, -ECONNRESET, "nobody listens there");
}

static void test_closed_before_the_question(void **state)
{
    struct vmm *vmm = *state;

    (void)close(vmm->stream);
    vmm->stream = -1;
    assert_failed_for_good(vmm, -ECONNRESET, "before it was asked");
}

static void test_half_closed(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    assert_int_equal(shutdown(vmm->stream, SHUT_WR), 0);
    assert_failed_for_good(vmm, -ECONNRESET, "nobody listens there");
}

static void test_wrong_answers(void **state)
{
    static const char *const answers[] = {
        "\n",
        "OK\n",
        "OK \n",
        "ok 1\n",
        "OK1\n",
        "OK 1 \n",
        "OK -1\n",
        "OK 1\r\n",
        "OK x\n",
        "ERROR no such port\n",
        "OK 11111111111\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "OK 1",
        "OOK 1\n",
        "O\nOK 1\n",
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct vmm *vmm = *state;

        hear_request(vmm);
        say(vmm, answers[i]);
        if (strcmp(answers[i], "OK 1") == 0)
            assert_int_equal(step(vmm), -EAGAIN);
        else
            assert_failed_for_good(vmm, -EPROTO, "OK <number>");
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void test_endless_answer(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    say(vmm, "OK 000000000000000000000000000000000000000000000000");
    assert_failed_for_good(vmm, -EPROTO, "longer");
}

static void test_nul_in_the_answer(void **state)
{
    struct vmm *vmm = *state;

    hear_request(vmm);
    assert_int_equal(send(vmm->stream, "OK 1\0002\n", 7, MSG_NOSIGNAL), 7);
    assert_failed_for_good(vmm, -EPROTO, "OK <number>");
}

static void test_no_vmm(void **state)
{
    struct vmm *vmm = *state;
    const struct vmci_settings settings = {0};
    const struct vmci_endpoint nowhere = scratch_endpoint("hybrid:%s/other.sock:5672", vmm->folder);
    const struct vmci_endpoint dead = scratch_endpoint("hybrid:%s/dead.sock:5672", vmm->folder);
    struct vmci_connector *connector;

    assert_int_equal(vmci_connect(&nowhere, &settings, &connector, err, sizeof(err)), -ENODEV);
    assert_null(connector);
    assert_non_null(strstr(err, "no VMM there"));
    (void)close(scratch_unix_listener(scratch_path(vmm->folder, "dead.sock")));
    assert_int_equal(vmci_connect(&dead, &settings, &connector, err, sizeof(err)), -ENODEV);
}

static void test_full_backlog_of_the_vmm(void **state)
{
    struct vmm *vmm = *state;
    const struct vmci_settings settings = {0};
    const struct vmci_endpoint endpoint = scratch_endpoint("hybrid:%s/v.sock:5672", vmm->folder);
    struct vmci_connector *connectors[2];

    assert_int_equal(listen(vmm->listener, 0), 0); /* Linux takes one all the same */
    assert_int_equal(vmci_connect(&endpoint, &settings, &connectors[0], err, sizeof(err)), 0);
    assert_int_equal(vmci_connect(&endpoint, &settings, &connectors[1], err, sizeof(err)), -ECONNRESET);
    assert_non_null(strstr(err, "backlog is full"));
    vmci_connector_close(connectors[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connects),
        TEST(test_answer_in_single_bytes),
        TEST(test_guests_first_bytes_stay_in_the_stream),
        TEST(test_answer_before_the_question),
        TEST(test_any_number_is_fine),
        TEST(test_closed_without_a_word),
        TEST(test_closed_within_the_answer),
        TEST(test_closed_with_the_question_unread),
        TEST(test_closed_before_the_question),
        TEST(test_half_closed),
        TEST(test_wrong_answers),
        TEST(test_endless_answer),
        TEST(test_nul_in_the_answer),
        TEST(test_no_vmm),
        TEST(test_full_backlog_of_the_vmm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
