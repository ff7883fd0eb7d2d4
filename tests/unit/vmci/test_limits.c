/* SPDX-License-Identifier: Apache-2.0 */
/* Buffer sizes: clamped, negotiated, noted in the fabric. And the memo that keeps them in a socket. */
#include "scratch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>

#include "vmci/fabric.h"
#include "vmci/memo.h"

static void assert_limits(const struct vmci_limits *limits, uint64_t size, uint64_t min, uint64_t max)
{
    assert_int_equal(limits->size, size);
    assert_int_equal(limits->min, min);
    assert_int_equal(limits->max, max);
}

static void test_defaults_are_the_guides(void **state)
{
    const struct vmci_limits limits = VMCI_LIMITS_DEFAULT;

    (void)state;
    assert_limits(&limits, 65536, 128, 262144);
}

static void test_size_is_clamped(void **state)
{
    struct vmci_limits limits = VMCI_LIMITS_DEFAULT;

    (void)state;
    vmci_limits_set_size(&limits, 1000000);
    assert_limits(&limits, 262144, 128, 262144); /* so raise the maximum first */
    vmci_limits_set_max(&limits, 2000000);
    vmci_limits_set_size(&limits, 1000000);
    assert_limits(&limits, 1000000, 128, 2000000);
    vmci_limits_set_size(&limits, 1);
    assert_limits(&limits, 128, 128, 2000000);
    vmci_limits_set_min(&limits, 4096);
    assert_limits(&limits, 4096, 4096, 2000000);
    vmci_limits_set_size(&limits, 500000);
    vmci_limits_set_max(&limits, 10000);
    assert_limits(&limits, 10000, 4096, 10000);
    vmci_limits_set_min(&limits, 20000); /* above the maximum: the minimum wins, as in the kernel */
    assert_limits(&limits, 20000, 20000, 10000);
}

static void test_negotiation(void **state)
{
    const struct vmci_limits server = {.size = 30000, .min = 20000, .max = 40000};
    struct vmci_limits client = VMCI_LIMITS_DEFAULT;

    (void)state;
    assert_int_equal(vmci_limits_answer(&server, 20000), 20000);
    assert_int_equal(vmci_limits_answer(&server, 40000), 40000);
    assert_int_equal(vmci_limits_answer(&server, 19999), 30000);
    assert_int_equal(vmci_limits_answer(&server, 40001), 30000);
    assert_true(vmci_limits_takes(&client, 30000));
    client.min = 30001;
    assert_false(vmci_limits_takes(&client, 30000));
    client.min = 128;
    client.max = 29999;
    assert_false(vmci_limits_takes(&client, 30000));
}

static void test_huge_sizes_are_cut_for_the_proposal(void **state)
{
    struct vmci_limits client = {.size = UINT64_MAX, .min = UINT64_MAX, .max = UINT64_MAX};

    (void)state;
    assert_int_equal(vmci_limits_proposal(&client), VMCI_PROPOSAL_MAX);
    assert_true(vmci_limits_takes(&client, VMCI_PROPOSAL_MAX));
}

struct place {
    struct vmci_fabric fabric;
    struct vmci_folder folder;
};

static struct place enter(const char *path)
{
    const struct vmci_err none = {NULL, 0};
    struct place place;

    assert_int_equal(vmci_fabric_open(&place.fabric, path, &none), 0);
    assert_int_equal(vmci_fabric_enter(&place.fabric, 101, SOCK_STREAM, &place.folder, &none), 0);
    return place;
}

static void leave(struct place *place)
{
    (void)close(place->folder.fd);
    vmci_fabric_close(&place->fabric);
}

static void test_notes(void **state)
{
    struct place place = enter(*state);
    struct vmci_limits limits = {.size = 30000, .min = 20000, .max = 40000};
    struct vmci_limits read;

    vmci_limits_look_up(&place.fabric, 101, 7000, &read);
    assert_limits(&read, 65536, 128, 262144);
    assert_int_equal(vmci_limits_publish(&place.folder, 7000, &limits), 0);
    vmci_limits_look_up(&place.fabric, 101, 7000, &read);
    assert_limits(&read, 30000, 20000, 40000);
    limits.size = 25000;
    assert_int_equal(vmci_limits_publish(&place.folder, 7000, &limits), 0);
    vmci_limits_look_up(&place.fabric, 101, 7000, &read);
    assert_limits(&read, 25000, 20000, 40000);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 1);
    assert_int_equal(vmci_limits_publish(&place.folder, 7000, &VMCI_LIMITS_DEFAULT), 0);
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    leave(&place);
}

static void test_senseless_notes_are_the_defaults(void **state)
{
    static const char *const texts[] = {"x", "1:2", "a:b:c", "::", "../2/secret"};
    struct place place = enter(*state);
    struct vmci_limits read;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(vmci_folder_note(&place.folder, "7000.buffer", texts[i]), 0);
        vmci_limits_look_up(&place.fabric, 101, 7000, &read);
        assert_limits(&read, 65536, 128, 262144);
    }
    leave(&place);
}

/* What a dead listener has noted is not the next one's. */
static void test_note_goes_with_the_port(void **state)
{
    const struct vmci_err none = {NULL, 0};
    struct place place = enter(*state);
    struct vmci_fabric_port bound;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(vmci_folder_note(&place.folder, "7000.buffer", "1:1:1"), 0);
    assert_int_equal(vmci_fabric_bind(&place.folder, fd, 7000, 0600, &bound, &none), 0);
    assert_false(scratch_exists(scratch_path(*state, "101/7000.buffer")));
    (void)close(fd);
    leave(&place);
}

static void test_proposals_in_names(void **state)
{
    const struct vmci_err none = {NULL, 0};
    static const uint32_t proposals[] = {1, 63, 64, 65537, 1000000, VMCI_PROPOSAL_MAX};
    struct place place = enter(*state);

    for (size_t i = 0; i < sizeof(proposals) / sizeof(proposals[0]); i++) {
        struct vmci_fabric_port bound = {.proposal = proposals[i]};
        struct sockaddr_un address;
        socklen_t length = sizeof(address);
        uint32_t cid;
        uint32_t port;
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(vmci_fabric_bind_ephemeral(&place.folder, fd, 0600, &bound, &none), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        assert_true(vmci_fabric_parse_peer(&address, length, SOCK_STREAM, &cid, &port));
        assert_int_equal(cid, 101);
        assert_int_equal(port, bound.port);
        assert_int_equal(vmci_fabric_parse_proposal(&address, length), proposals[i]);
        assert_false(vmci_fabric_parse_peer(&address, length, SOCK_DGRAM, &cid, &port));
        vmci_fabric_unbind(&place.folder, &bound);
        (void)close(fd);
    }
    assert_int_equal(scratch_count(scratch_path(*state, "101")), 0);
    leave(&place);
}

static void test_memo_stays_with_the_socket(void **state)
{
    static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        const int copy = dup(fd);
        struct vmci_memo memo;
        struct vmci_memo read;

        assert_int_equal(vmci_memo_read(fd, &read), -ENOTSOCK);
        vmci_memo_init(&memo, types[i]);
        memo.limits.max = UINT64_MAX;
        memo.port = 5672;
        assert_int_equal(vmci_memo_write(fd, &memo), 0);
        (void)close(fd);
        assert_int_equal(vmci_memo_read(copy, &read), 0);
        assert_memory_equal(&read, &memo, sizeof(memo));
        (void)close(copy);
    }
}

static void test_other_descriptors_have_no_memo(void **state)
{
    struct sock_filter other[] = {BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
    const struct sock_fprog program = {.len = 1, .filter = other};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vmci_memo memo;

    (void)state;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
    errno = ECHILD;
    assert_int_equal(vmci_memo_read(fd, &memo), -ENOTSOCK);
    assert_int_equal(vmci_memo_read(STDERR_FILENO, &memo), -ENOTSOCK);
    assert_int_equal(vmci_memo_read(-1, &memo), -ENOTSOCK);
    assert_int_equal(errno, ECHILD);
    (void)close(fd);
}

#define IN_SCRATCH(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_guides),
        cmocka_unit_test(test_size_is_clamped),
        cmocka_unit_test(test_negotiation),
        cmocka_unit_test(test_huge_sizes_are_cut_for_the_proposal),
        IN_SCRATCH(test_notes),
        IN_SCRATCH(test_senseless_notes_are_the_defaults),
        IN_SCRATCH(test_note_goes_with_the_port),
        IN_SCRATCH(test_proposals_in_names),
        cmocka_unit_test(test_memo_stays_with_the_socket),
        cmocka_unit_test(test_other_descriptors_have_no_memo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
