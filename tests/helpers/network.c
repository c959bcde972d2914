// Makes one connection and prints its result (0 or a negated errno), then the port at its own end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int own_port(int fd) {
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &len)) return 0;
    if (own.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&own)->sin_port);
    if (own.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&own)->sin6_port);
    return 0;
}

// e2e-network tcp|tcp-nonblock|udp ADDRESS PORT, where an IPv4 address may be written ::ffff:1.2.3.4;
// e2e-network unix|unix-datagram|abstract NAME
int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *kind = argv[1];
    struct sockaddr_storage to = {0};
    socklen_t len;
    int fd;
    if (argc > 3) {
        int type = !strcmp(kind, "udp") ? SOCK_DGRAM : SOCK_STREAM;
        if (!strcmp(kind, "tcp-nonblock")) type |= SOCK_NONBLOCK;
        struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;
        if (strchr(argv[2], ':')) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(atoi(argv[3]));
            if (inet_pton(AF_INET6, argv[2], &v6->sin6_addr) != 1) return 2;
            len = sizeof *v6;
        } else {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(atoi(argv[3]));
            if (inet_pton(AF_INET, argv[2], &v4->sin_addr) != 1) return 2;
            len = sizeof *v4;
        }
        fd = socket(to.ss_family, type, 0);
    } else {
        struct sockaddr_un *name = (struct sockaddr_un *)&to;
        int is_abstract = !strcmp(kind, "abstract");
        name->sun_family = AF_UNIX;
        strncpy(name->sun_path + is_abstract, argv[2], sizeof name->sun_path - 2);
        len = offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(argv[2]) + !is_abstract;
        fd = socket(AF_UNIX, !strcmp(kind, "unix-datagram") ? SOCK_DGRAM : SOCK_STREAM, 0);
    }
    if (fd < 0) {
        perror("socket");
        return 2;
    }
    int result = connect(fd, (struct sockaddr *)&to, len) ? -errno : 0;
    printf("%d %d\n", result, own_port(fd));
    return 0;
}
