// Reaches a destination in one particular way, and prints the result: 0 or a negated errno.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) exit(2);
    return to;
}

static int report(int result) {
    printf("%d\n", result < 0 ? -errno : 0);
    return 0;
}

static struct sockaddr_in raced;
static volatile int over;

// Turns the port over and over between two.
static void *flip(void *ports) {
    in_port_t *two = ports;
    for (unsigned turn = 0; !over; turn++) *(volatile in_port_t *)&raced.sin_port = two[turn & 1];
    return NULL;
}

// race HOST PORT PORT COUNT: connects while the port changes in memory.
static int race(char **argv) {
    in_port_t ports[2] = {htons(atoi(argv[3])), htons(atoi(argv[4]))};
    raced = address(argv[2], atoi(argv[3]));
    pthread_t thread;
    if (pthread_create(&thread, NULL, flip, ports)) return 2;
    for (int count = atoi(argv[5]); count > 0; count--) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&raced, sizeof raced)) return 2;
        close(fd);
    }
    over = 1;
    pthread_join(thread, NULL);
    return report(0);
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    if (!strcmp(argv[1], "race") && argc == 6) return race(argv);
    struct sockaddr_in to = address(argv[2], atoi(argv[3]));
    struct sockaddr *peer = (struct sockaddr *)&to;
    if (!strcmp(argv[1], "fastopen")) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        return report(sendto(fd, "x", 1, MSG_FASTOPEN, peer, sizeof to));
    }
    if (!strcmp(argv[1], "fastopen-connect")) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on);
        if (connect(fd, peer, sizeof to)) return report(-1);
        return report(write(fd, "x", 1));
    }
    if (!strcmp(argv[1], "mptcp")) {
        int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
        return report(fd < 0 ? -1 : connect(fd, peer, sizeof to));
    }
    // Two destinations, with the connection dissolved between them.
    if (!strcmp(argv[1], "unspec") && argc > 4) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        struct sockaddr none = {.sa_family = AF_UNSPEC};
        struct sockaddr_in second = address(argv[2], atoi(argv[4]));
        if (connect(fd, peer, sizeof to) || connect(fd, &none, sizeof none)) return report(-1);
        return report(connect(fd, (struct sockaddr *)&second, sizeof second));
    }
    // No answer comes: the address in memory is another when the call ends.
    if (!strcmp(argv[1], "blocked")) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct timeval wait = {.tv_sec = 2};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        return report(connect(fd, peer, sizeof to));
    }
    return 2;
}
