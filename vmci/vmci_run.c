/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmci-run: runs an unmodified AF_VSOCK program on the embedded fabric.
 *
 * Sets LD_PRELOAD, after a look whether that can work, and shuts the kernel's AF_VSOCK for the command and
 * all that it starts: what gets by the preload library fails with EAFNOSUPPORT, and does not reach a
 * hypervisor. The filter needs no_new_privs, so setuid programs get no privileges either.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#define EXIT_USAGE       2
#define EXIT_CANNOT      126 /* as shells have it: found, but can't be run like this */
#define EXIT_NOT_FOUND   127
#define LIBRARY          "libvmci-preload.so"
#define MAX_INTERPRETERS 4 /* as the kernel */

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define OUR_ARCH AUDIT_ARCH_RISCV64
#else
#error "vmci-run: say which architecture seccomp is to expect"
#endif

static const char usage[] =
    "usage: vmci-run [--cid CID] [--fabric FOLDER] [--] COMMAND [ARGUMENT]...\n"
    "\n"
    "Runs COMMAND with its AF_VSOCK sockets on the embedded fabric: no hypervisor, no change to it.\n"
    "\n"
    "  -c, --cid CID        which machine COMMAND is on: 2 the host, 3 and more a guest ($VMCI_CID)\n"
    "  -f, --fabric FOLDER  where the fabric is ($VMCI_FABRIC; else amqp-vsock/fabric in\n"
    "                       $XDG_RUNTIME_DIR, or in /run for root)\n"
    "  -d, --debug          tell why calls fail, on standard error ($VMCI_DEBUG)\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit code: COMMAND's; 126 when it can't be run like this (static, setuid), 127 when not found.\n";

static const struct option options[] = {
    {"cid", required_argument, NULL, 'c'},
    {"fabric", required_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* The command's file by $PATH, as execvp() finds it. */
static bool find_command(const char *command, char path[PATH_MAX])
{
    const char *folders = getenv("PATH");

    if (strchr(command, '/'))
        return snprintf(path, PATH_MAX, "%s", command) < PATH_MAX && access(path, X_OK) == 0;
    for (const char *at = folders ? folders : "/bin:/usr/bin"; *at;) {
        const size_t length = strcspn(at, ":");
        struct stat st;

        if (snprintf(path, PATH_MAX, "%.*s/%s", (int)length, at, command) < PATH_MAX &&
            access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* Is there a program header that names a dynamic loader? */
static bool asks_for_loader(int fd, const Elf64_Ehdr *header)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        const off_t at = (off_t)(header->e_phoff + i * sizeof(segment));

        if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
            return false;
        if (segment.p_type == PT_INTERP)
            return true;
    }
    return false;
}

enum kind { KIND_FINE, KIND_STATIC, KIND_FOREIGN, KIND_SETUID, KIND_SCRIPT };

/* What file is that; for a script, interpreter is its first line's first word. */
static enum kind look_at(const char *path, char interpreter[PATH_MAX])
{
    union {
        Elf64_Ehdr elf;
        char text[PATH_MAX];
    } head = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    enum kind kind = KIND_FINE; /* what can't be read, exec() will judge */

    if (fd < 0)
        return KIND_FINE;
    if (pread(fd, &head, sizeof(head) - 1, 0) < 4)
        kind = KIND_FINE;
    else if (fstat(fd, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) != 0)
        kind = KIND_SETUID;
    else if (memcmp(head.text, "#!", 2) == 0 && sscanf(head.text + 2, " %4095s", interpreter) == 1)
        kind = KIND_SCRIPT;
    else if (memcmp(head.text, ELFMAG, SELFMAG) == 0 && head.elf.e_ident[EI_CLASS] != ELFCLASS64)
        kind = KIND_FOREIGN;
    else if (memcmp(head.text, ELFMAG, SELFMAG) == 0 && !asks_for_loader(fd, &head.elf))
        kind = KIND_STATIC;
    (void)close(fd);
    return kind;
}

/* Says why the command can't be helped by a preload library; true when it can. */
static bool can_be_preloaded(const char *command)
{
    char path[PATH_MAX];
    char interpreter[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s", command);
    for (int i = 0; i < MAX_INTERPRETERS; i++) {
        switch (look_at(path, interpreter)) {
        case KIND_FINE: return true;
        case KIND_STATIC:
            (void)fprintf(stderr,
                          "vmci-run: %s is statically linked: it calls the kernel directly, and can't "
                          "be led to the fabric\n",
                          path);
            return false;
        case KIND_FOREIGN:
            (void)fprintf(stderr, "vmci-run: %s is not for 64 bits, as " LIBRARY " is\n", path);
            return false;
        case KIND_SETUID:
            (void)fprintf(stderr,
                          "vmci-run: %s is setuid or setgid: such programs take no libraries from their "
                          "users; run it as the user it should be\n",
                          path);
            return false;
        case KIND_SCRIPT: (void)snprintf(path, sizeof(path), "%s", interpreter); break;
        }
    }
    return true;
}

/* Beside us (a build folder: bin and lib), or where the linker looks. */
static void find_library(char library[PATH_MAX])
{
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    self[length < 0 ? 0 : length] = '\0';
    slash = strrchr(self, '/');
    if (slash) {
        *slash = '\0';
        if (snprintf(library, PATH_MAX, "%s/../lib/" LIBRARY, self) < PATH_MAX && access(library, R_OK) == 0)
            return;
    }
    (void)snprintf(library, PATH_MAX, LIBRARY);
}

/* Ours first; what was there stays. */
static int preload(void)
{
    const char *before = getenv("LD_PRELOAD");
    char library[PATH_MAX];
    char value[2 * PATH_MAX];

    find_library(library);
    if (!before || before[0] == '\0')
        return setenv("LD_PRELOAD", library, 1);
    if (snprintf(value, sizeof(value), "%s:%s", library, before) >= (int)sizeof(value)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return setenv("LD_PRELOAD", value, 1);
}

#define LOAD(field)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_IF(value, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, n, 0)
#define FAIL(error)       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FAMILY_AT         offsetof(struct seccomp_data, args[0])
#define X32_BIT           0x40000000U

/* socket(AF_VSOCK, …) and socketpair() fail; other architectures' system calls do not exist. The family is an
 * int: the lower half of the argument, which comes first on all machines that we know. */
static int shut_kernel_vsock(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        SKIP_IF(OUR_ARCH, 1),
        FAIL(ENOSYS),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
        FAIL(ENOSYS),
        SKIP_IF(__NR_socket, 2),
        SKIP_IF(__NR_socketpair, 1),
        ALLOW,
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FAMILY_AT),
        SKIP_IF(AF_VSOCK, 1),
        ALLOW,
        FAIL(EAFNOSUPPORT),
    };
    const struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Options into the environment. The index of the command, or -1 after telling how it is used. */
static int read_arguments(int argc, char **argv)
{
    int letter;

    while ((letter = getopt_long(argc, argv, "+c:f:dh", options, NULL)) != -1) {
        switch (letter) {
        case 'c': (void)setenv("VMCI_CID", optarg, 1); break;
        case 'f': (void)setenv("VMCI_FABRIC", optarg, 1); break;
        case 'd': (void)setenv("VMCI_DEBUG", "1", 1); break;
        case 'h': (void)fputs(usage, stdout); exit(EXIT_SUCCESS);
        default: (void)fputs(usage, stderr); return -1;
        }
    }
    if (optind < argc)
        return optind;
    (void)fputs(usage, stderr);
    return -1;
}

int main(int argc, char **argv)
{
    const int at = read_arguments(argc, argv);
    const char *cid = getenv("VMCI_CID");
    char path[PATH_MAX];

    if (at < 0)
        return EXIT_USAGE;
    if (!cid || cid[0] == '\0') {
        (void)fprintf(stderr, "vmci-run: who is the command to be? Expected --cid, or VMCI_CID\n");
        return EXIT_USAGE;
    }
    if (!find_command(argv[at], path)) {
        (void)fprintf(stderr, "vmci-run: %s: not found\n", argv[at]);
        return EXIT_NOT_FOUND;
    }
    if (!can_be_preloaded(path))
        return EXIT_CANNOT;
    if (setenv("VMCI_TRANSPORT", "embedded", 1) < 0 || preload() < 0 || shut_kernel_vsock() < 0) {
        perror("vmci-run");
        return EXIT_CANNOT;
    }
    (void)execv(path, argv + at);
    perror(path);
    return EXIT_CANNOT;
}
