// Makes one request through io_uring, in one particular way, and prints its result and numbers that the test compares.
// e2e-uring normal|async|sqpoll|fixed|quiet OPERATION ARGUMENT...
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Newer than the headers may be (include/uapi/linux/io_uring.h).
enum { OP_OPENAT = 18, OP_OPENAT2 = 28, OP_SEND = 26, OP_SENDMSG = 9, OP_CONNECT = 16, OP_ACCEPT = 13, OP_RENAMEAT = 35,
       OP_UNLINKAT = 36, OP_MKDIRAT = 37, OP_SYMLINKAT = 38, OP_LINKAT = 39, OP_SOCKET = 45, OP_BIND = 56, OP_LISTEN = 57 };
#define SQE_ASYNC (1 << 4)
#define SQE_CQE_SKIP_SUCCESS (1 << 6)
#define SETUP_SQPOLL (1 << 1)
#define REGISTER_FILES 2

struct how { uint64_t flags, mode, resolve; };

static struct io_uring_params params;
static char *ring;
static struct io_uring_sqe *entries;
static int fd, is_async, is_polled, is_fixed, is_quiet;

static int set_up(unsigned count) {
    if (is_polled) params.flags = SETUP_SQPOLL, params.sq_thread_idle = 2000;
    fd = syscall(SYS_io_uring_setup, count, &params);
    if (fd < 0) return -errno;
    size_t sq = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    ring = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
    entries = mmap(NULL, params.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
                   IORING_OFF_SQES);
    if (ring == MAP_FAILED || entries == MAP_FAILED) return -errno;
    if (is_fixed) {
        int slots[4] = {-1, -1, -1, -1};
        if (syscall(SYS_io_uring_register, fd, REGISTER_FILES, slots, 4)) return -errno;
    }
    return 0;
}

#define AT(part, member) ((volatile unsigned *)(ring + params.part##_off.member))

// Submits what is in the first entries and waits for the end of all; the last one's result.
static int run(unsigned count) {
    unsigned *array = (unsigned *)(ring + params.sq_off.array);
    unsigned tail = *AT(sq, tail), mask = *AT(sq, ring_mask);
    for (unsigned index = 0; index < count; index++) {
        if (is_async) entries[index].flags |= SQE_ASYNC;
        if (is_quiet) entries[index].flags |= SQE_CQE_SKIP_SUCCESS;
        array[(tail + index) & mask] = index;
    }
    __atomic_store_n(AT(sq, tail), tail + count, __ATOMIC_RELEASE);
    unsigned wait = is_quiet ? 0 : count, flags = is_quiet ? 0 : IORING_ENTER_GETEVENTS;
    if (is_polled) flags |= IORING_ENTER_SQ_WAKEUP;
    if (syscall(SYS_io_uring_enter, fd, is_polled ? 0 : count, wait, flags, NULL, 0) < 0) return -errno;
    if (is_quiet) return 0;
    struct io_uring_cqe *ends = (struct io_uring_cqe *)(ring + params.cq_off.cqes);
    unsigned head = *AT(cq, head), end = __atomic_load_n(AT(cq, tail), __ATOMIC_ACQUIRE);
    int result = -ENODATA;
    for (; head != end; head++) result = ends[head & *AT(cq, ring_mask)].res;
    __atomic_store_n(AT(cq, head), head, __ATOMIC_RELEASE);
    return result;
}

static struct io_uring_sqe *prepare(int opcode, int on) {
    memset(&entries[0], 0, sizeof entries[0]);
    entries[0].opcode = opcode;
    entries[0].fd = on;
    return &entries[0];
}

static int own_port(int on) {
    struct sockaddr_in own = {0};
    socklen_t len = sizeof own;
    return getsockname(on, (struct sockaddr *)&own, &len) ? 0 : ntohs(own.sin_port);
}

static int network(const char *what, int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct io_uring_sqe *sqe;
    if (!strcmp(what, "socket")) {
        sqe = prepare(OP_SOCKET, AF_PACKET);
        sqe->off = SOCK_RAW;
        sqe->len = htons(3);
        if (is_fixed) sqe->file_index = 1;
        printf("%d\n", run(1));
        return 0;
    }
    if (!strcmp(what, "sendmsg")) {
        int on = socket(AF_INET, SOCK_DGRAM, 0);
        struct iovec piece = {"x", 1};
        struct msghdr message = {.msg_name = &at, .msg_namelen = sizeof at, .msg_iov = &piece, .msg_iovlen = 1};
        sqe = prepare(OP_SENDMSG, on);
        sqe->addr = (uintptr_t)&message;
        sqe->len = 1;
        printf("%d %d\n", run(1), port);
        return 0;
    }
    int on = socket(AF_INET, SOCK_STREAM, 0);
    if (!strcmp(what, "connect")) {
        sqe = prepare(OP_CONNECT, on);
        sqe->addr = (uintptr_t)&at;
        sqe->off = sizeof at;
        printf("%d %d\n", run(1), port);
        return 0;
    }
    // A whole server: bind, listen and accept, each by the ring.
    sqe = prepare(OP_BIND, on);
    sqe->addr = (uintptr_t)&at;
    sqe->off = sizeof at;
    int bound = run(1);
    if (bound < 0) {
        printf("%d 0\n", bound);
        return 0;
    }
    sqe = prepare(OP_LISTEN, on);
    sqe->len = 4;
    int listening = run(1);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_port = htons(own_port(on));
    if (listening || connect(client, (struct sockaddr *)&at, sizeof at)) return 2;
    prepare(OP_ACCEPT, on);
    printf("%d %d %d\n", run(1), own_port(on), own_port(client));
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    is_async = !strcmp(argv[1], "async");
    is_polled = !strcmp(argv[1], "sqpoll");
    is_fixed = !strcmp(argv[1], "fixed");
    is_quiet = !strcmp(argv[1], "quiet");
    const char *what = argv[2], *first = argv[3], *second = argc > 4 ? argv[4] : "";
    unsigned many = !strcmp(what, "many") ? 4096 : 1;
    int ready = set_up(many < 8 ? 8 : many);
    if (ready) {
        printf("%d\n", ready);
        return 0;
    }
    static struct how how = {.flags = O_RDONLY};
    struct io_uring_sqe *sqe;
    if (!strcmp(what, "openat") || !strcmp(what, "many")) {
        for (unsigned index = 0; index < many; index++) {
            memset(&entries[index], 0, sizeof entries[index]);
            entries[index].opcode = OP_OPENAT;
            entries[index].fd = AT_FDCWD;
            entries[index].addr = (uintptr_t)first;
            entries[index].open_flags = O_RDONLY;
            if (is_fixed) entries[index].file_index = 2;
        }
    } else if (!strcmp(what, "openat2")) {
        sqe = prepare(OP_OPENAT2, AT_FDCWD);
        sqe->addr = (uintptr_t)first;
        sqe->off = (uintptr_t)&how;
        sqe->len = sizeof how;
        if (is_fixed) sqe->file_index = (uint32_t)-1;
    } else if (!strcmp(what, "unlinkat") || !strcmp(what, "mkdirat")) {
        sqe = prepare(!strcmp(what, "unlinkat") ? OP_UNLINKAT : OP_MKDIRAT, AT_FDCWD);
        sqe->addr = (uintptr_t)first;
        if (!strcmp(what, "mkdirat")) sqe->len = 0700;
    } else if (!strcmp(what, "renameat") || !strcmp(what, "linkat")) {
        sqe = prepare(!strcmp(what, "renameat") ? OP_RENAMEAT : OP_LINKAT, AT_FDCWD);
        sqe->addr = (uintptr_t)first;
        sqe->off = (uintptr_t)second;
        sqe->len = AT_FDCWD;
    } else if (!strcmp(what, "symlinkat")) {
        sqe = prepare(OP_SYMLINKAT, AT_FDCWD);
        sqe->addr = (uintptr_t)first;
        sqe->off = (uintptr_t)second;
    } else {
        return network(what, atoi(first));
    }
    printf("%d\n", run(many));
    return 0;
}
