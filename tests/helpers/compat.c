// A 32-bit program without a C library: makes one system call, and ends with the negated result in its low byte.
#define AT_FDCWD (-100)

struct open_how {
    unsigned long long flags, mode, resolve;
};

struct sockaddr_in {
    unsigned short family, port;
    unsigned address;
    char rest[8];
};

static int call(int number, int a, int b, int c, int d) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

static int is(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

static int number(const char *text) {
    int value = 0;
    while (*text) value = value * 10 + *text++ - '0';
    return value;
}

// A TCP connection to a port of 127.0.0.1.
static int connect_to(int port, int by_socketcall) {
    struct sockaddr_in to = {2, (unsigned short)((port & 0xff) << 8 | port >> 8), 0x0100007f, {0}};
    int fd = call(359, 2, 1, 0, 0);
    if (fd < 0) return fd;
    if (!by_socketcall) return call(362, fd, (int)&to, sizeof to, 0);
    int words[3] = {fd, (int)&to, sizeof to};
    return call(102, 3, (int)words, 0, 0);
}

// What a server does, by the numbers of its own or by socketcall: bind, listen and, of a connection of its own, accept.
static int serve(int port, int by_socketcall) {
    struct sockaddr_in at = {2, (unsigned short)((port & 0xff) << 8 | port >> 8), 0x0100007f, {0}};
    int made[3] = {2, 1, 0};
    int fd = by_socketcall ? call(102, 1, (int)made, 0, 0) : call(359, 2, 1, 0, 0);
    int bound[3] = {fd, (int)&at, sizeof at}, listening[2] = {fd, 4}, taken[4] = {fd, 0, 0, 0};
    int done = by_socketcall ? call(102, 2, (int)bound, 0, 0) : call(361, fd, (int)&at, sizeof at, 0);
    if (done < 0) return done;
    done = by_socketcall ? call(102, 4, (int)listening, 0, 0) : call(363, fd, 4, 0, 0);
    if (done < 0) return done;
    done = connect_to(port, by_socketcall);
    if (done < 0) return done;
    done = by_socketcall ? call(102, 5, (int)taken, 0, 0) : call(364, fd, 0, 0, 0);
    return done < 0 ? done : 0;
}

// A datagram to a port of 127.0.0.1.
static int datagram(int port, int by_socketcall) {
    struct sockaddr_in to = {2, (unsigned short)((port & 0xff) << 8 | port >> 8), 0x0100007f, {0}};
    int fd = call(359, 2, 2, 0, 0);
    int words[6] = {fd, (int)"x", 1, 0, (int)&to, sizeof to};
    int done;
    if (by_socketcall) {
        done = call(102, 11, (int)words, 0, 0);
    } else {
        // sendto takes six arguments, and call passes four: sendmsg, then.
        struct { void *base; int len; } piece = {"x", 1};
        struct { void *name; int name_len; void *pieces; int count; void *control; int control_len, flags; } message = {
            &to, sizeof to, &piece, 1, 0, 0, 0};
        done = call(370, fd, (int)&message, 0, 0);
    }
    return done < 0 ? done : 0;
}

// A packet socket with a filter.
static int tap(int by_socketcall) {
    struct { unsigned short code; unsigned char yes, no; unsigned value; } pass = {6, 0, 0, 0xffff};
    struct { unsigned short len; void *filter; } program = {1, &pass};
    int made[3] = {17, 3, 0x0300};
    int fd = by_socketcall ? call(102, 1, (int)made, 0, 0) : call(359, 17, 3, 0x0300, 0);
    int words[5] = {fd, 1, 26, (int)&program, sizeof program};
    if (fd < 0) return fd;
    // setsockopt takes five arguments, and call passes four: by socketcall in both cases.
    return call(102, 14, (int)words, 0, 0);
}

// e2e-compat open|openat|openat2|creat PATH, e2e-compat connect|socketcall PORT,
// e2e-compat serve|serve-socketcall|datagram|datagram-socketcall PORT, e2e-compat tap|tap-socketcall x
static int run(char **argv) {
    const char *name = argv[1];
    int what = (int)argv[2];
    struct open_how how = {0, 0, 0};
    if (is(name, "open")) return call(5, what, 0, 0, 0);
    if (is(name, "openat")) return call(295, AT_FDCWD, what, 0, 0);
    if (is(name, "openat2")) return call(437, AT_FDCWD, what, (int)&how, sizeof how);
    if (is(name, "creat")) return call(8, what, 0600, 0, 0);
    if (is(name, "connect")) return connect_to(number(argv[2]), 0);
    if (is(name, "socketcall")) return connect_to(number(argv[2]), 1);
    if (is(name, "serve")) return serve(number(argv[2]), 0);
    if (is(name, "serve-socketcall")) return serve(number(argv[2]), 1);
    if (is(name, "datagram")) return datagram(number(argv[2]), 0);
    if (is(name, "datagram-socketcall")) return datagram(number(argv[2]), 1);
    if (is(name, "tap")) return tap(0);
    if (is(name, "tap-socketcall")) return tap(1);
    return -22;
}

void begin(int *stack) {
    int result = stack[0] == 3 ? run((char **)(stack + 1)) : -22;
    call(1, result < 0 ? -result : 0, 0, 0, 0);
    __builtin_unreachable();
}

__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin\n");
