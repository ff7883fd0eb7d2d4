/* SPDX-License-Identifier: Apache-2.0 */
/* vmci-nc: netcat for VMCI sockets. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmci/endpoint.h"
#include "vmci/nc/dial.h"
#include "vmci/nc/modes.h"
#include "vmci/nc/say.h"
#include "vmci/socket.h"

#define EXIT_USAGE 2
#define WAIT_MAX_S 1000000U

static const char usage[] =
    "usage: vmci-nc [OPTION]... ENDPOINT          connect\n"
    "       vmci-nc -l [OPTION]... ENDPOINT       listen\n"
    "       vmci-nc -r [OPTION]... FROM TO        relay what comes in at FROM to TO\n"
    "       vmci-nc -z [OPTION]... ENDPOINT[-LAST]  which ports can be connected to?\n"
    "\n"
    "netcat for VMCI sockets: joins a stream, or datagrams, with standard input and output or one another.\n"
    "\n"
    "ENDPOINT  vsock:CID:PORT       the kernel's; to listen also vsock:any:PORT\n"
    "          embedded:CID:PORT    the embedded fabric's; to listen also embedded:PORT\n"
    "          hybrid:PATH:PORT     the Unix sockets of Firecracker and Cloud Hypervisor\n"
    "          tcp:HOST:PORT        IPv6 addresses in brackets; to listen, HOST may be empty or *\n"
    "          udp:HOST:PORT        with -u\n"
    "          unix:PATH            a stream; with -u a datagram socket\n"
    "          CID PORT             to connect, or PORT to listen: the fabric's when VMCI_CID is set (or "
    "-c),\n"
    "                               else the kernel's\n"
    "\n"
    "  -l, --listen         wait for one connection\n"
    "  -k, --keep           with -l: for another one after each; with -u: from any sender\n"
    "  -r, --relay          any number of connections, until SIGTERM\n"
    "  -z, --scan           connect and close; prints a line for each open port\n"
    "  -u, --datagram       datagrams instead of streams\n"
    "  -N, --half-close     pass the end of standard input on, and wait for the peer's; with -u: end then\n"
    "  -w, --wait SECONDS   give up connecting after that time (10, with -z 2), and what is idle that long\n"
    "                       (never; senders of -r -u 60)\n"
    "  -c, --cid CID        who we are on the fabric ($VMCI_CID)\n"
    "  -f, --fabric FOLDER  where the fabric is ($VMCI_FABRIC)\n"
    "  -v, --verbose        tell of connections, and the local CID, address family, version, transport\n"
    "  -h, --help           this text\n"
    "\n"
    "Exit code: 0; 1 no connection, or it broke; 2 wrong arguments.\n";

enum mode { MODE_CONNECT, MODE_LISTEN, MODE_RELAY, MODE_SCAN };

struct arguments {
    enum mode mode;
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    struct nc_settings settings;
    char **words; /* after the options */
    int count;
};

static const struct option options[] = {
    {"listen", no_argument, NULL, 'l'},       {"keep", no_argument, NULL, 'k'},
    {"relay", no_argument, NULL, 'r'},        {"scan", no_argument, NULL, 'z'},
    {"datagram", no_argument, NULL, 'u'},     {"half-close", no_argument, NULL, 'N'},
    {"wait", required_argument, NULL, 'w'},   {"cid", required_argument, NULL, 'c'},
    {"fabric", required_argument, NULL, 'f'}, {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

static int misuse(const char *text)
{
    nc_error("%s; try --help", text);
    return -EINVAL;
}

/* One of -l, -r, -z. */
static int set_mode(struct arguments *arguments, enum mode mode)
{
    if (arguments->mode != MODE_CONNECT && arguments->mode != mode)
        return misuse("-l, -r and -z exclude each other");
    arguments->mode = mode;
    return 0;
}

static int set_wait(struct arguments *arguments, const char *text)
{
    uint32_t seconds;

    if (!vmci_parse_number(text, strlen(text), &seconds) || seconds == 0 || seconds > WAIT_MAX_S)
        return misuse("-w: expected a number of seconds from 1 to 1000000");
    arguments->settings.wait_s = seconds;
    return 0;
}

static int set_option(struct arguments *arguments, int letter)
{
    switch (letter) {
    case 'l': return set_mode(arguments, MODE_LISTEN);
    case 'r': return set_mode(arguments, MODE_RELAY);
    case 'z': return set_mode(arguments, MODE_SCAN);
    case 'k': arguments->settings.keep_listening = true; return 0;
    case 'u': arguments->type = SOCK_DGRAM; return 0;
    case 'N': arguments->settings.half_close = true; return 0;
    case 'w': return set_wait(arguments, optarg);
    case 'c': return setenv("VMCI_CID", optarg, 1);
    case 'f': return setenv("VMCI_FABRIC", optarg, 1);
    case 'v': nc_say_verbosely(true); return 0;
    case 'h': (void)fputs(usage, stdout); exit(EXIT_SUCCESS);
    default: return misuse("wrong option");
    }
}

/* What does not go together. */
static int check(const struct arguments *arguments)
{
    if (arguments->settings.keep_listening && arguments->mode != MODE_LISTEN)
        return misuse("-k goes with -l");
    if (arguments->settings.half_close && arguments->mode != MODE_CONNECT && arguments->mode != MODE_LISTEN)
        return misuse("-N goes with standard input; -r passes ends on by itself");
    if (arguments->mode == MODE_SCAN && arguments->type == SOCK_DGRAM)
        return misuse("-z is for streams: nobody can tell whether a datagram was received");
    return 0;
}

static int read_arguments(struct arguments *arguments, int argc, char **argv)
{
    int letter;

    *arguments = (struct arguments){.mode = MODE_CONNECT, .type = SOCK_STREAM};
    while ((letter = getopt_long(argc, argv, "lkrzuNw:c:f:vh", options, NULL)) != -1) {
        if (set_option(arguments, letter) < 0)
            return -EINVAL;
    }
    arguments->words = argv + optind;
    arguments->count = argc - optind;
    return check(arguments);
}

/* The endpoint of the arguments that are left: one word, or nc's CID PORT, or PORT to listen. */
static int one_endpoint(const struct arguments *arguments, char text[NC_TEXT_SIZE])
{
    const bool fabric = vmci_socket_fabric_wanted();
    const char *scheme = fabric ? "embedded" : "vsock";
    char **words = arguments->words;
    int length;

    if (arguments->count == 2 && !strchr(words[0], ':') && !strchr(words[1], ':'))
        length = snprintf(text, NC_TEXT_SIZE, "%s:%s:%s", scheme, words[0], words[1]);
    else if (arguments->count == 1 && arguments->mode == MODE_LISTEN && !strchr(words[0], ':'))
        length = snprintf(text, NC_TEXT_SIZE, fabric ? "%s:%s" : "%s:any:%s", scheme, words[0]);
    else if (arguments->count == 1)
        length = snprintf(text, NC_TEXT_SIZE, "%s", words[0]);
    else
        return misuse("expected one endpoint");
    return length < NC_TEXT_SIZE ? 0 : misuse("the endpoint is too long");
}

static int parse(struct nc_place *place, const char *text, int type, enum nc_use use)
{
    char reason[NC_REASON_SIZE];
    const struct vmci_err err = {reason, sizeof(reason)};
    const int rc = nc_place_parse(place, text, type, use, &err);

    if (rc < 0) {
        nc_error("%s", reason);
        return rc;
    }
    nc_place_note(place);
    return 0;
}

static int relay(struct nc_loop *loop, const struct arguments *arguments)
{
    struct nc_place at;
    struct nc_place to;
    int rc;

    if (arguments->count != 2)
        return misuse("expected two endpoints, from and to");
    rc = parse(&at, arguments->words[0], arguments->type, NC_LISTEN);
    if (rc < 0)
        return rc;
    rc = parse(&to, arguments->words[1], arguments->type, NC_CONNECT);
    if (rc == 0) {
        rc = arguments->type == SOCK_DGRAM ? nc_relay_datagram(loop, &at, &to, &arguments->settings)
                                           : nc_relay(loop, &at, &to, &arguments->settings);
        nc_place_free(&to);
    }
    nc_place_free(&at);
    return rc;
}

static int talk(struct nc_loop *loop, const struct arguments *arguments)
{
    const bool listens = arguments->mode == MODE_LISTEN;
    char text[NC_TEXT_SIZE];
    struct nc_place place;
    int rc = one_endpoint(arguments, text);

    if (rc == 0)
        rc = parse(&place, text, arguments->type, listens ? NC_LISTEN : NC_CONNECT);
    if (rc < 0)
        return rc;
    if (arguments->type == SOCK_DGRAM)
        rc = listens ? nc_talk_datagram_listen(loop, &place, &arguments->settings)
                     : nc_talk_datagram_connect(loop, &place, &arguments->settings);
    else
        rc = listens ? nc_talk_listen(loop, &place, &arguments->settings)
                     : nc_talk_connect(loop, &place, &arguments->settings);
    nc_place_free(&place);
    return rc;
}

static int scan(struct nc_loop *loop, const struct arguments *arguments)
{
    char text[NC_TEXT_SIZE];
    const int rc = one_endpoint(arguments, text);

    return rc < 0 ? rc : nc_scan(loop, text, &arguments->settings);
}

/* A signal is how relays and -k end: no failure. */
static int exit_code(int rc)
{
    if (rc == 0 || rc == -EINTR)
        return EXIT_SUCCESS;
    return rc == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

/* A socket must not get the number of a standard descriptor that we were started without. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

/* Each connection needs two; the soft limit is low for the sake of programs with select(). */
static void allow_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct nc_loop loop;
    int rc;

    if (read_arguments(&arguments, argc, argv) < 0)
        return EXIT_USAGE;
    fill_standard_descriptors();
    allow_descriptors();
    nc_loop_init(&loop);
    switch (arguments.mode) {
    case MODE_RELAY: rc = relay(&loop, &arguments); break;
    case MODE_SCAN: rc = scan(&loop, &arguments); break;
    default: rc = talk(&loop, &arguments); break;
    }
    nc_loop_deinit(&loop);
    return exit_code(rc);
}
