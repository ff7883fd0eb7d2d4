/* SPDX-License-Identifier: Apache-2.0 */
/* dgram_server PORT COUNT: receives COUNT datagrams and sends each back to where it came from. Says on
 * standard output where it is, and who sent. Chapter 4, "Preparing the Server for a Connection". */
#include "guide.h"

static int bind_to(int sockfd, int afVMCI, const char *port)
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
    printf("receiving at %u:%u\n", my_addr.svm_cid, my_addr.svm_port);
    fflush(stdout);
    return 0;
}

static int echo(int sockfd)
{
    char buf[BUFSIZE];
    struct sockaddr_vm their_addr;
    socklen_t their_addr_size = sizeof their_addr;
    ssize_t numbytes;

    if ((numbytes = recvfrom(sockfd, buf, sizeof buf, 0, (struct sockaddr *)&their_addr, &their_addr_size)) ==
        -1) {
        perror("recvfrom");
        return -1;
    }
    printf("%zd bytes from %u:%u\n", numbytes, their_addr.svm_cid, their_addr.svm_port);
    if (sendto(sockfd, buf, (size_t)numbytes, 0, (struct sockaddr *)&their_addr, their_addr_size) == -1) {
        perror("sendto");
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const int afVMCI = VMCISock_GetAFValue();
    int status = EXIT_FAILURE;
    int sockfd_dgram;

    if (argc != 3) {
        fprintf(stderr, "usage: dgram_server PORT COUNT\n");
        return 2;
    }
    if ((sockfd_dgram = socket(afVMCI, SOCK_DGRAM, 0)) == -1) {
        perror("socket");
        return EXIT_FAILURE;
    }
    if (bind_to(sockfd_dgram, afVMCI, argv[1]) == -1)
        goto close;
    for (unsigned i = 0; i < number(argv[2]); i++)
        if (echo(sockfd_dgram) == -1)
            goto close;
    status = EXIT_SUCCESS;
close:
    close(sockfd_dgram);
    return status;
}
