/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the host to a hybrid VM whose VMM is a process of its own, in the manner of Firecracker and of Cloud
 * Hypervisor: one that answers in pieces and late, one that closes without a word when nobody listens, one
 * that is not up yet when it is asked, one that takes the stream in and falls silent.
 */
#include "scratch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 20

static char err[TEXT_SIZE];

struct double_vmm {
    char *folder;
    pid_t pid;
};

static void pause_ms(int ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000L};

    (void)nanosleep(&time, NULL);
}

static int setup(void **state)
{
    struct double_vmm *vmm = calloc(1, sizeof(*vmm));
    void *folder;

    if (!vmm || scratch_setup(&folder) < 0)
        return -1;
    vmm->folder = folder;
    *state = vmm;
    return 0;
}

static int teardown(void **state)
{
    struct double_vmm *vmm = *state;
    void *folder = vmm->folder;

    if (vmm->pid > 0) {
        (void)kill(vmm->pid, SIGKILL);
        (void)waitpid(vmm->pid, NULL, 0);
    }
    free(vmm);
    return scratch_teardown(&folder);
}

/* Takes one stream in, reads its question to the end of the line, goes on with behave(). */
static void start(struct double_vmm *vmm, void (*behave)(int stream))
{
    const int listener = scratch_unix_listener(scratch_path(vmm->folder, "v.sock"));

    vmm->pid = fork();
    assert_true(vmm->pid >= 0);
    if (vmm->pid == 0) {
        struct pollfd item = {.fd = listener, .events = POLLIN};
        char byte = 0;
        int stream;

        (void)poll(&item, 1, -1);
        stream = accept(listener, NULL, NULL);
        while (byte != '\n' && recv(stream, &byte, 1, 0) == 1)
            ;
        behave(stream);
        _exit(0);
    }
    (void)close(listener);
}

/* Connects as an event loop does, for at most timeout_ms between two events. The stream, or -errno. */
static int dial(const struct double_vmm *vmm, int timeout_ms)
{
    const struct vmci_settings settings = {0};
    const struct vmci_endpoint endpoint = scratch_endpoint("hybrid:%s/v.sock:5672", vmm->folder);
    struct vmci_connector *connector;
    int rc = vmci_connect(&endpoint, &settings, &connector, err, sizeof(err));

    if (rc < 0)
        return rc;
    while ((rc = vmci_connector_step(connector, err, sizeof(err))) == -EAGAIN) {
        struct pollfd item = {.fd = vmci_connector_fd(connector), .events = vmci_connector_events(connector)};

        if (poll(&item, 1, timeout_ms) == 0)
            break;
    }
    if (rc == 0)
        rc = vmci_connector_take(connector);
    vmci_connector_close(connector);
    return rc;
}

static void say(int stream, const char *text)
{
    (void)send(stream, text, strlen(text), MSG_NOSIGNAL);
    pause_ms(PAUSE_MS);
}

/* Waits for the guest, then has it all at once, but for the cuts. Echoes one word. */
static void answer_late_and_in_pieces(int stream)
{
    char word[4];

    pause_ms(2 * PAUSE_MS);
    say(stream, "OK");
    say(stream, " 10737");
    say(stream, "41824\nwel");
    say(stream, "come");
    if (recv(stream, word, sizeof(word), MSG_WAITALL) == sizeof(word))
        (void)send(stream, word, sizeof(word), MSG_NOSIGNAL);
}

static void test_late_and_in_pieces(void **state)
{
    char text[16] = "";
    int fd;

    start(*state, answer_late_and_in_pieces);
    fd = dial(*state, 5000);
    assert_true(fd >= 0);
    for (size_t have = 0; have < 7;) { /* what the guest said with the answer, and after it */
        assert_true(scratch_readable(fd, 5000));
        have += (size_t)recv(fd, text + have, 7 - have, 0);
    }
    assert_string_equal(text, "welcome");
    assert_int_equal(send(fd, "ping", 4, MSG_NOSIGNAL), 4);
    assert_true(scratch_readable(fd, 5000));
    assert_int_equal(recv(fd, text, sizeof(text), 0), 4);
    assert_memory_equal(text, "ping", 4);
    (void)close(fd);
}

/* Nobody listens in the guest, or there is no driver yet: closed after a while, without text. */
static void close_without_a_word(int stream)
{
    pause_ms(2 * PAUSE_MS);
    (void)close(stream);
}

static void test_closed_late_without_a_word(void **state)
{
    start(*state, close_without_a_word);
    assert_int_equal(dial(*state, 5000), -ECONNRESET);
    assert_non_null(strstr(err, "nobody listens"));
}

static void close_within_the_answer(int stream)
{
    say(stream, "OK 10");
    (void)close(stream);
}

static void test_closed_within_the_answer(void **state)
{
    start(*state, close_within_the_answer);
    assert_int_equal(dial(*state, 5000), -ECONNRESET);
}

static void keep_silent(int stream)
{
    (void)stream;
    (void)pause();
}

/* There is no deadline within: the caller's ends it, and nothing is left over. */
static void test_silence(void **state)
{
    start(*state, keep_silent);
    assert_int_equal(dial(*state, 5 * PAUSE_MS), -EAGAIN);
}

/* A VM that starts: no socket yet, then one; the caller tries again. */
static void test_not_up_yet(void **state)
{
    int fd;

    assert_int_equal(dial(*state, 5000), -ENODEV);
    start(*state, answer_late_and_in_pieces);
    fd = dial(*state, 5000);
    assert_true(fd >= 0);
    (void)close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_late_and_in_pieces),
        TEST(test_closed_late_without_a_word),
        TEST(test_closed_within_the_answer),
        TEST(test_silence),
        TEST(test_not_up_yet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
