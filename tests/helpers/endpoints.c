// Uses sockets in one particular way, and prints what came of it: the result (0, a descriptor or a negated errno), and
// numbers that the test compares.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef IPPROTO_UDPLITE
#define IPPROTO_UDPLITE 136
#endif

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

static int own_port(int fd) {
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &len)) return 0;
    if (own.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&own)->sin_port);
    if (own.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
    return 0;
}

static int result(int value) { return value < 0 ? -errno : value; }

// bind tcp|udp|udplite|mptcp PORT; and listens, if it can.
static int do_bind(const char *kind, int port) {
    int stream = !strcmp(kind, "tcp") || !strcmp(kind, "mptcp");
    int protocol = !strcmp(kind, "mptcp") ? 262 : !strcmp(kind, "udplite") ? IPPROTO_UDPLITE : 0;
    int fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, protocol);
    struct sockaddr_in at = loopback(port);
    int done = result(bind(fd, (struct sockaddr *)&at, sizeof at));
    if (!done && stream) done = result(listen(fd, 7));
    printf("%d %d %d\n", done, own_port(fd), fd);
    return 0;
}

// autobind: listens without an address.
static int autobind(void) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int done = result(listen(fd, 3));
    printf("%d %d %d\n", done, own_port(fd), fd);
    return 0;
}

// unix NAME: binds, listens, connects and accepts; a name that begins with @ is abstract.
static int unix_server(const char *name) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int is_abstract = name[0] == '@';
    strncpy(at.sun_path + is_abstract, name + is_abstract, sizeof at.sun_path - 2);
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name) + !is_abstract;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, len) || listen(fd, 1)) return 2;
    if (connect(client, (struct sockaddr *)&at, len)) return 2;
    printf("%d\n", result(accept(fd, NULL, NULL)));
    return 0;
}

// accept|accept4: takes a connection from itself.
static int take(int by_accept4) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = loopback(0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 5)) return 2;
    at = loopback(own_port(fd));
    if (connect(client, (struct sockaddr *)&at, sizeof at)) return 2;
    int taken = by_accept4 ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : accept(fd, NULL, NULL);
    printf("%d %d %d\n", result(taken), own_port(fd), own_port(client));
    return 0;
}

// filter classic|lock DOMAIN: a packet filter on a socket.
static int filter(const char *what, int domain) {
    int fd = socket(domain, domain == AF_PACKET ? SOCK_RAW : SOCK_DGRAM, domain == AF_PACKET ? htons(ETH_P_ALL) : 0);
    struct sock_filter pass = {.code = BPF_RET | BPF_K, .k = 0xffff};
    struct sock_fprog program = {.len = 1, .filter = &pass};
    int on = 1;
    int done = result(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    if (!strcmp(what, "lock")) done = result(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
    printf("%d 0 %d\n", done, fd);
    return 0;
}

// sendto|sendmsg|write PORT...: one datagram to each port.
static int datagrams(const char *way, int count, char **ports) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), done = 0;
    for (int index = 0; index < count; index++) {
        struct sockaddr_in to = loopback(atoi(ports[index]));
        struct iovec piece = {"x", 1};
        struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1};
        if (!strcmp(way, "sendto"))
            done = sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        else if (!strcmp(way, "sendmsg"))
            done = sendmsg(fd, &message, 0);
        else
            done = connect(fd, (struct sockaddr *)&to, sizeof to) ? -1 : send(fd, "x", 1, 0);
        if (done < 0) break;
    }
    printf("%d %d %d\n", result(done), own_port(fd), fd);
    return 0;
}

// sendmmsg FIRST COUNT: one datagram to each of COUNT ports from FIRST on, by one call for each thousand.
static int many(int first, int count) {
    static struct mmsghdr messages[1024];
    static struct sockaddr_in to[1024];
    struct iovec piece = {"x", 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), sent = 0;
    if (count > 1024) return 2;
    for (int index = 0; index < count; index++) {
        to[index] = loopback(first + index);
        messages[index].msg_hdr = (struct msghdr){
            .msg_name = &to[index], .msg_namelen = sizeof to[index], .msg_iov = &piece, .msg_iovlen = 1};
    }
    while (sent < count) {
        int done = sendmmsg(fd, messages + sent, count - sent, 0);
        if (done <= 0) break;
        sent += done;
    }
    printf("%d %d %d\n", sent, own_port(fd), fd);
    return 0;
}

// flood PORT COUNT: COUNT datagrams to one port.
static int flood(int port, int count) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), sent = 0;
    struct sockaddr_in to = loopback(port);
    while (sent < count && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1) sent++;
    printf("%d %d %d\n", sent, own_port(fd), fd);
    return 0;
}

// moved cgroup PORT FILE | moved netns PORT: a socket, made before the process is moved, is connected after it.
static int moved(const char *where, int port, const char *file) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = loopback(port);
    if (!strcmp(where, "netns")) {
        if (unshare(CLONE_NEWNET)) return 2;
    } else {
        FILE *procs = fopen(file, "w");
        if (!procs || fprintf(procs, "%d", getpid()) < 0 || fclose(procs)) return 2;
    }
    printf("%d\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *what = argv[1];
    if (!strcmp(what, "bind") && argc == 4) return do_bind(argv[2], atoi(argv[3]));
    if (!strcmp(what, "moved") && argc == 5) return moved(argv[2], atoi(argv[3]), argv[4]);
    if (!strcmp(what, "autobind")) return autobind();
    if (!strcmp(what, "unix") && argc == 3) return unix_server(argv[2]);
    if (!strcmp(what, "accept") || !strcmp(what, "accept4")) return take(!strcmp(what, "accept4"));
    if (!strcmp(what, "socket") && argc == 5) {
        printf("%d\n", result(socket(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]))));
        return 0;
    }
    if (!strcmp(what, "filter") && argc == 4) return filter(argv[2], atoi(argv[3]));
    if (!strcmp(what, "sendmmsg") && argc == 4) return many(atoi(argv[2]), atoi(argv[3]));
    if (!strcmp(what, "flood") && argc == 4) return flood(atoi(argv[2]), atoi(argv[3]));
    if (argc > 2) return datagrams(what, argc - 2, argv + 2);
    return 2;
}
