/* SPDX-License-Identifier: Apache-2.0 */
/* reseed: makes the kernel reseed its random source now, so that it does not do so by itself for a while:
 * what a snapshot of the machine draws next is then the same each time that it goes on. */
#include <err.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>

int main(void)
{
    const int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
        err(1, "/dev/urandom");
    return 0;
}
