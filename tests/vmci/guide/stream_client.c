/* SPDX-License-Identifier: Apache-2.0 */
/* stream_client CID PORT: sends its standard input, prints the answer. Chapter 3, "Having the Client Request
 * a Connection". */
#include <poll.h>

#include "guide.h"

static int send_input(int sockfd)
{
    char send_buf[BUFSIZE];
    ssize_t length;

    while ((length = read(STDIN_FILENO, send_buf, sizeof send_buf)) > 0) {
        for (ssize_t sent = 0, numbytes; sent < length; sent += numbytes) {
            if ((numbytes = send(sockfd, send_buf + sent, (size_t)(length - sent), 0)) == -1) {
                perror("send");
                return -1;
            }
        }
    }
    return shutdown(sockfd, SHUT_WR);
}

static int print_answer(int sockfd)
{
    struct pollfd item = {.fd = sockfd, .events = POLLIN};
    char recv_buf[BUFSIZE];
    ssize_t numbytes;

    do {
        if (poll(&item, 1, -1) == -1) {
            perror("poll");
            return -1;
        }
        if ((numbytes = recv(sockfd, recv_buf, sizeof recv_buf, 0)) == -1) {
            perror("recv");
            return -1;
        }
        fwrite(recv_buf, 1, (size_t)numbytes, stdout);
    } while (numbytes > 0);
    return 0;
}

int main(int argc, char **argv)
{
    const int afVMCI = VMCISock_GetAFValue();
    struct sockaddr_vm their_addr = {0};
    int status = EXIT_FAILURE;
    int sockfd;

    if (argc != 3) {
        fprintf(stderr, "usage: stream_client CID PORT\n");
        return 2;
    }
    if ((sockfd = socket(afVMCI, SOCK_STREAM, 0)) == -1) {
        perror("socket");
        return EXIT_FAILURE;
    }
    their_addr.svm_family = (sa_family_t)afVMCI;
    their_addr.svm_cid = number(argv[1]);
    their_addr.svm_port = number(argv[2]);
    if (connect(sockfd, (struct sockaddr *)&their_addr, sizeof their_addr) == -1) {
        perror("connect");
        goto close;
    }
    if (send_input(sockfd) == 0 && print_answer(sockfd) == 0)
        status = EXIT_SUCCESS;
close:
    close(sockfd);
    return status;
}
