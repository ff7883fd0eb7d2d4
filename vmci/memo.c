/* SPDX-License-Identifier: Apache-2.0 */
#include "vmci/memo.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/filter.h>

#include "vmci/endpoint.h"

#define MEMO_MAGIC      0x564D4331U /* "VMC1": another layout gets another number */
#define MEMO_WORDS      (sizeof(struct vmci_memo) / sizeof(uint32_t))
#define MEMO_STATEMENTS (MEMO_WORDS + 1)
#define LOAD_CONSTANT   (BPF_LD | BPF_IMM)
#define RETURN_CONSTANT (BPF_RET | BPF_K)

#define DEFAULT_TIMEOUT_US 2000000U

static_assert(sizeof(struct vmci_memo) == 8 * sizeof(uint32_t) + 4 * sizeof(uint64_t), "no padding");

void vmci_memo_init(struct vmci_memo *memo, int type)
{
    *memo = (struct vmci_memo){
        .magic = MEMO_MAGIC,
        .type = (uint32_t)type,
        .state = VMCI_SOCKET_NEW,
        .cid = VMCI_CID_ANY,
        .port = VMCI_PORT_ANY,
        .peer_cid = VMCI_CID_ANY,
        .peer_port = VMCI_PORT_ANY,
        .limits = VMCI_LIMITS_DEFAULT,
        .timeout_us = DEFAULT_TIMEOUT_US,
    };
}

int vmci_memo_write(int fd, const struct vmci_memo *memo)
{
    struct sock_filter statements[MEMO_STATEMENTS];
    const struct sock_fprog program = {.len = MEMO_STATEMENTS, .filter = statements};
    uint32_t words[MEMO_WORDS];

    memcpy(words, memo, sizeof(words));
    for (size_t i = 0; i < MEMO_WORDS; i++)
        statements[i] = (struct sock_filter)BPF_STMT(LOAD_CONSTANT, words[i]);
    statements[MEMO_WORDS] = (struct sock_filter)BPF_STMT(RETURN_CONSTANT, UINT32_MAX);
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* The length of this option is a number of statements. */
static int read_statements(int fd, struct sock_filter statements[MEMO_STATEMENTS])
{
    const int saved = errno;
    socklen_t length = MEMO_STATEMENTS;
    const int rc = getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, statements, &length);

    errno = saved;
    return rc < 0 || length != MEMO_STATEMENTS ? -ENOTSOCK : 0;
}

int vmci_memo_read(int fd, struct vmci_memo *memo)
{
    struct sock_filter statements[MEMO_STATEMENTS];
    uint32_t words[MEMO_WORDS];

    if (read_statements(fd, statements) < 0)
        return -ENOTSOCK;
    for (size_t i = 0; i < MEMO_WORDS; i++) {
        if (statements[i].code != LOAD_CONSTANT)
            return -ENOTSOCK;
        words[i] = statements[i].k;
    }
    if (statements[MEMO_WORDS].code != RETURN_CONSTANT || words[0] != MEMO_MAGIC)
        return -ENOTSOCK;
    memcpy(memo, words, sizeof(*memo));
    return 0;
}
