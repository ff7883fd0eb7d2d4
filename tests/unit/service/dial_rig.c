/* SPDX-License-Identifier: Apache-2.0 */
#include "dial_rig.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LOOKUP_THREADS 4 /* libuv's, unless $UV_THREADPOOL_SIZE says another number */

int rig_refusing(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

int rig_listening(void)
{
    int fd = rig_refusing();

    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

void rig_silent_open(struct rig_silent *silent)
{
    silent->fd = rig_refusing();
    assert_int_equal(listen(silent->fd, 0), 0);
    struct sockaddr_in name = rig_name(silent->fd);
    for (size_t i = 0; i < RIG_SILENT_FILLERS; i++) {
        silent->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(silent->fillers[i], (struct sockaddr *)&name, sizeof(name));
    }
}

void rig_silent_close(struct rig_silent *silent)
{
    for (size_t i = 0; i < RIG_SILENT_FILLERS; i++)
        close(silent->fillers[i]);
    close(silent->fd);
}

void rig_silent_wake(struct rig_silent *silent)
{
    assert_int_equal(listen(silent->fd, 16), 0);
}

struct sockaddr_in rig_name(int fd)
{
    struct sockaddr_in name;
    socklen_t length = sizeof(name);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    return name;
}

uint16_t rig_port(int fd)
{
    return ntohs(rig_name(fd).sin_port);
}

struct net_address rig_address(const char *host, int fd)
{
    struct net_address address = {.kind = NET_TCP, .port = rig_port(fd)};

    strcpy(address.host, host);
    return address;
}

struct net_address rig_parse(const char *text)
{
    struct net_address address;
    char why[128];

    assert_int_equal(net_address_parse(&address, text, why, sizeof(why)), 0);
    return address;
}

unsigned rig_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static uv_work_t jobs[LOOKUP_THREADS];
static uv_sem_t may_end;
static unsigned jobs_left;

static void wait_for_end(uv_work_t *job)
{
    (void)job;
    uv_sem_wait(&may_end);
}

static void on_ended(uv_work_t *job, int status)
{
    (void)job;
    assert_int_equal(status, 0);
    if (--jobs_left == 0)
        uv_sem_destroy(&may_end);
}

void rig_lookups_stop(uv_loop_t *loop)
{
    jobs_left = LOOKUP_THREADS;
    assert_int_equal(uv_sem_init(&may_end, 0), 0);
    for (size_t i = 0; i < LOOKUP_THREADS; i++)
        assert_int_equal(uv_queue_work(loop, &jobs[i], wait_for_end, on_ended), 0);
}

void rig_lookups_go(void)
{
    for (size_t i = 0; i < LOOKUP_THREADS; i++)
        uv_sem_post(&may_end);
}
