/* SPDX-License-Identifier: Apache-2.0 */
/* dgram_client CID PORT: sends a datagram by sendto() and another one by connect() and send(), and prints
 * what comes back. Chapter 4, "Having the Client Request a Connection". */
#include "guide.h"

static int print_answer(int sockfd)
{
    char buf[BUFSIZE];
    struct sockaddr_vm their_addr;
    socklen_t their_addr_size = sizeof their_addr;
    const ssize_t numbytes =
        recvfrom(sockfd, buf, sizeof buf, 0, (struct sockaddr *)&their_addr, &their_addr_size);

    if (numbytes == -1) {
        perror("recvfrom");
        return -1;
    }
    printf("%u:%u answers %.*s\n", their_addr.svm_cid, their_addr.svm_port, (int)numbytes, buf);
    return 0;
}

int main(int argc, char **argv)
{
    static const char first[] = "by sendto", second[] = "by connect and send";
    const int afVMCI = VMCISock_GetAFValue();
    struct sockaddr_vm their_addr = {0};
    int status = EXIT_FAILURE;
    int sockfd;

    if (argc != 3) {
        fprintf(stderr, "usage: dgram_client CID PORT\n");
        return 2;
    }
    if ((sockfd = socket(afVMCI, SOCK_DGRAM, 0)) == -1) {
        perror("socket");
        return EXIT_FAILURE;
    }
    their_addr.svm_family = (sa_family_t)afVMCI;
    their_addr.svm_cid = number(argv[1]);
    their_addr.svm_port = number(argv[2]);
    if (sendto(sockfd, first, strlen(first), 0, (struct sockaddr *)&their_addr, sizeof their_addr) == -1) {
        perror("sendto");
        goto close;
    }
    if (print_answer(sockfd) == -1)
        goto close;
    if (connect(sockfd, (struct sockaddr *)&their_addr, sizeof their_addr) == -1) {
        perror("connect");
        goto close;
    }
    if (send(sockfd, second, strlen(second), 0) == -1) {
        perror("send");
        goto close;
    }
    if (print_answer(sockfd) == 0)
        status = EXIT_SUCCESS;
close:
    close(sockfd);
    return status;
}
