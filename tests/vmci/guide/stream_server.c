/* SPDX-License-Identifier: Apache-2.0 */
/* stream_server PORT: takes one connection, reads to its end, answers how much that was. Says on standard
 * output where it listens, and who came. Chapter 3, "Preparing the Server for a Connection". */
#include <sys/select.h>

#include "guide.h"

#define BACKLOG 5

/* "Set and Get Socket Options": half the guide's default, and see whether it took effect. */
static int halve_buffers(int sockfd, int afVMCI)
{
    uint64_t setBuf = 32768, getBuf;
    socklen_t size = sizeof getBuf;

    if (setsockopt(sockfd, afVMCI, SO_VMCI_BUFFER_SIZE, (void *)&setBuf, sizeof setBuf) == -1) {
        perror("setsockopt");
        return -1;
    }
    if (getsockopt(sockfd, afVMCI, SO_VMCI_BUFFER_SIZE, (void *)&getBuf, &size) == -1) {
        perror("getsockopt");
        return -1;
    }
    if (getBuf != setBuf) {
        fprintf(stderr, "SO_VMCI_BUFFER_SIZE not set to size requested.\n");
        return -1;
    }
    return 0;
}

/* Waits by select(), then reads, until the client has no more to say. How many bytes, or -1. */
static long receive_all(int newfd)
{
    char recv_buf[BUFSIZE];
    long sum = 0;
    ssize_t numbytes;

    do {
        fd_set readfds;

        FD_ZERO(&readfds);
        FD_SET(newfd, &readfds);
        if (select(newfd + 1, &readfds, NULL, NULL, NULL) == -1) {
            perror("select");
            return -1;
        }
        if ((numbytes = recv(newfd, recv_buf, sizeof recv_buf, 0)) == -1) {
            perror("recv");
            return -1;
        }
        sum += numbytes;
    } while (numbytes > 0);
    return sum;
}

static int answer(int newfd)
{
    char send_buf[BUFSIZE];
    const long sum = receive_all(newfd);
    const int length = snprintf(send_buf, sizeof send_buf, "%ld bytes received\n", sum);

    if (sum < 0)
        return -1;
    if (send(newfd, send_buf, (size_t)length, 0) == -1) {
        perror("send");
        return -1;
    }
    return 0;
}

static int listen_at(int sockfd, int afVMCI, const char *port)
{
    struct sockaddr_vm my_addr = {0};
    socklen_t my_addr_size = sizeof my_addr;

    my_addr.svm_family = (sa_family_t)afVMCI;
    my_addr.svm_cid = VMADDR_CID_ANY;
    my_addr.svm_port = number(port);
    if (bind(sockfd, (struct sockaddr *)&my_addr, sizeof my_addr) == -1) {
        perror("bind");
        return -1;
    }
    if (getsockname(sockfd, (struct sockaddr *)&my_addr, &my_addr_size) == -1) {
        perror("getsockname");
        return -1;
    }
    if (listen(sockfd, BACKLOG) == -1) {
        perror("listen");
        return -1;
    }
    printf("listening at %u:%u\n", my_addr.svm_cid, my_addr.svm_port);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    const int afVMCI = VMCISock_GetAFValue();
    struct sockaddr_vm their_addr;
    socklen_t their_addr_len = sizeof their_addr;
    int status = EXIT_FAILURE;
    int sockfd, newfd;

    if (argc != 2) {
        fprintf(stderr, "usage: stream_server PORT\n");
        return 2;
    }
    if ((sockfd = socket(afVMCI, SOCK_STREAM, 0)) == -1) {
        perror("socket");
        return EXIT_FAILURE;
    }
    if (halve_buffers(sockfd, afVMCI) == -1 || listen_at(sockfd, afVMCI, argv[1]) == -1)
        goto close;
    if ((newfd = accept(sockfd, (struct sockaddr *)&their_addr, &their_addr_len)) == -1) {
        perror("accept");
        goto close;
    }
    printf("connected from %u:%u\n", their_addr.svm_cid, their_addr.svm_port);
    if (answer(newfd) == 0)
        status = EXIT_SUCCESS;
    close(newfd);
close:
    close(sockfd);
    return status;
}
