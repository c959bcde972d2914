// Performs a case of a suite: a chain of processes with names, arguments and users, of which the last makes
// resources and takes steps.
//
// The environment's E2E_SCRIPT has a line for each thing to do, its words separated by tabs; `%xx` stands for a
// byte. A line `exec` is taken by a process of its own, which gets the lines behind it. Each process tells that it
// is there on its first standard output, a socket, which also tells its id; the last tells how it went.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <linux/module.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESULT = 100, READY = 101, WORDS_MAX = 64, VALUES_MAX = 128, UNDO_MAX = 64 };

extern char **environ;

static struct { char name[128]; long value; } values[VALUES_MAX];
static int value_count;
static char *made[UNDO_MAX];
static int made_count;
static pid_t started[UNDO_MAX];
static int started_count;

static void tell(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text) length = sizeof text - 1;
    if (send(RESULT, text, length, MSG_NOSIGNAL) < 0) _exit(3);
}

static void clean_up(void) {
    while (started_count > 0) {
        pid_t pid = started[--started_count];
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    while (made_count > 0)
        if (unlink(made[--made_count]) != 0) rmdir(made[made_count]);
}

static void fail(const char *what) {
    tell("failed %s: %s", what, strerror(errno));
    clean_up();
    exit(1);
}

// Words are decoded where they stand.
static char *decode(char *word) {
    char *to = word;
    for (char *from = word; *from; from++) {
        unsigned byte;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
    return word;
}

static int split(char *line, char **words) {
    int count = 0;
    for (char *word = strsep(&line, "\t"); word && count < WORDS_MAX - 1; word = strsep(&line, "\t"))
        words[count++] = decode(word);
    words[count] = NULL;
    return count;
}

static void remember(const char *name, const char *field, long value) {
    if (value_count == VALUES_MAX) return;
    snprintf(values[value_count].name, sizeof values[0].name, "%s.%s", name, field);
    values[value_count++].value = value;
}

#define K(name) { #name, name }
static const struct { const char *name; long value; } constants[] = {
    K(O_RDONLY), K(O_WRONLY), K(O_RDWR), K(O_APPEND), K(O_ASYNC), K(O_CLOEXEC), K(O_CREAT), K(O_DIRECT), K(O_DIRECTORY),
    K(O_DSYNC), K(O_EXCL), K(O_LARGEFILE), K(O_NOATIME), K(O_NOCTTY), K(O_NOFOLLOW), K(O_NONBLOCK), K(O_NDELAY), K(O_PATH),
    K(O_SYNC), K(O_TMPFILE), K(O_TRUNC),
    K(S_IRWXU), K(S_IRUSR), K(S_IWUSR), K(S_IXUSR), K(S_IRWXG), K(S_IRGRP), K(S_IWGRP), K(S_IXGRP), K(S_IRWXO), K(S_IROTH),
    K(S_IWOTH), K(S_IXOTH), K(S_ISUID), K(S_ISGID), K(S_ISVTX),
    K(RESOLVE_BENEATH), K(RESOLVE_IN_ROOT), K(RESOLVE_NO_MAGICLINKS), K(RESOLVE_NO_SYMLINKS), K(RESOLVE_NO_XDEV), K(RESOLVE_CACHED),
    K(AT_EMPTY_PATH), K(AT_SYMLINK_FOLLOW), K(AT_SYMLINK_NOFOLLOW), K(AT_FDCWD),
    K(MODULE_INIT_IGNORE_MODVERSIONS), K(MODULE_INIT_IGNORE_VERMAGIC), K(MODULE_INIT_COMPRESSED_FILE),
    K(AF_UNIX), K(AF_LOCAL), K(AF_INET), K(AF_INET6), K(AF_PACKET), K(AF_NETLINK), K(AF_VSOCK), K(AF_KEY), K(AF_ALG), K(AF_XDP),
    K(AF_BLUETOOTH), K(AF_CAN), K(AF_TIPC), K(AF_AX25), K(AF_IPX), K(AF_X25), K(AF_APPLETALK), K(AF_DECnet), K(AF_LLC), K(AF_IB),
    K(AF_MPLS), K(AF_RDS), K(AF_PPPOX), K(AF_KCM),
    K(SOCK_STREAM), K(SOCK_DGRAM), K(SOCK_SEQPACKET), K(SOCK_RAW), K(SOCK_RDM), K(SOCK_PACKET), K(SOCK_NONBLOCK), K(SOCK_CLOEXEC),
    K(IPPROTO_IP), K(IPPROTO_ICMP), K(IPPROTO_TCP), K(IPPROTO_UDP), K(IPPROTO_RAW), K(IPPROTO_ICMPV6), K(IPPROTO_UDPLITE), K(IPPROTO_SCTP),
    K(MSG_CONFIRM), K(MSG_DONTROUTE), K(MSG_DONTWAIT), K(MSG_EOR), K(MSG_MORE), K(MSG_NOSIGNAL), K(MSG_OOB), K(MSG_FASTOPEN),
    K(EFD_CLOEXEC), K(EFD_NONBLOCK), K(EFD_SEMAPHORE), K(EPOLL_CLOEXEC), K(IN_CLOEXEC), K(IN_NONBLOCK), K(SFD_CLOEXEC), K(SFD_NONBLOCK),
    K(MFD_CLOEXEC), K(MFD_ALLOW_SEALING), K(MFD_HUGETLB),
    K(SIGHUP), K(SIGINT), K(SIGQUIT), K(SIGILL), K(SIGTRAP), K(SIGABRT), K(SIGBUS), K(SIGFPE), K(SIGKILL), K(SIGUSR1), K(SIGSEGV),
    K(SIGUSR2), K(SIGPIPE), K(SIGALRM), K(SIGTERM), K(SIGCHLD), K(SIGCONT), K(SIGSTOP), K(SIGTSTP), K(SIGTTIN), K(SIGTTOU), K(SIGURG),
    K(SIGXCPU), K(SIGXFSZ), K(SIGVTALRM), K(SIGPROF), K(SIGWINCH), K(SIGIO), K(SIGPWR), K(SIGSYS),
};

// A number, or names of numbers joined by `|`.
static long number(const char *text) {
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    long sum = 0;
    for (char *name = strsep(&rest, "|"); name; name = strsep(&rest, "|")) {
        while (isspace((unsigned char)*name)) name++;
        name[strcspn(name, " ")] = 0;
        char *end;
        long value = strtol(name, &end, 0);
        size_t index = 0, count = sizeof constants / sizeof *constants;
        if (*end || !*name) {
            while (index < count && strcmp(constants[index].name, name) != 0) index++;
            if (index == count) {
                errno = EINVAL;
                fail(name);
            }
            value = constants[index].value;
        }
        sum |= value;
    }
    return sum;
}

static long bound(const char *name) {
    for (int index = 0; index < value_count; index++)
        if (strcasecmp(values[index].name, name) == 0) return values[index].value;
    errno = ENOENT;
    fail(name);
    return -1;
}

// `unix:///path`, `1.2.3.4:5` or `[::1]:5`.
static socklen_t address_of(const char *text, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    char host[128];
    if (strncmp(text, "unix://", 7) == 0 || text[0] == '/') {
        struct sockaddr_un *un = (void *)storage;
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof un->sun_path, "%s", text[0] == '/' ? text : text + 7);
        return sizeof *un;
    }
    const char *port = strrchr(text, ':');
    if (!port) goto bad;
    snprintf(host, sizeof host, "%.*s", (int)(port - text), text);
    if (host[0] == '[') {
        struct sockaddr_in6 *in6 = (void *)storage;
        host[strcspn(host, "]%")] = 0;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(atoi(port + 1));
        if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1) return sizeof *in6;
    } else {
        struct sockaddr_in *in = (void *)storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(atoi(port + 1));
        if (inet_pton(AF_INET, host, &in->sin_addr) == 1) return sizeof *in;
    }
bad:
    errno = EINVAL;
    fail(text);
    return 0;
}

// Makes a folder's parents; what was not there before goes again at the end.
static void make_parents(const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(copy, 0755) == 0 && made_count < UNDO_MAX) made[made_count++] = strdup(copy);
        *slash = '/';
    }
}

static void will_go(const char *path) {
    if (access(path, F_OK) != 0 && made_count < UNDO_MAX) made[made_count++] = strdup(path);
}

// An address of loopback, in a network of our own.
static void add_address(const char *text, int number) {
    struct sockaddr_storage address;
    address_of(text, &address);
    int control = socket(address.ss_family, SOCK_DGRAM, 0);
    if (address.ss_family == AF_INET) {
        struct ifreq request = {0};
        snprintf(request.ifr_name, sizeof request.ifr_name, "lo:%d", number);
        memcpy(&request.ifr_addr, &address, sizeof(struct sockaddr_in));
        if (ioctl(control, SIOCSIFADDR, &request) != 0) fail("address");
    } else if (address.ss_family == AF_INET6) {
        struct { struct in6_addr address; uint32_t prefix; int index; } request = {
            ((struct sockaddr_in6 *)&address)->sin6_addr, 128, 1};
        if (ioctl(control, SIOCSIFADDR, &request) != 0 && errno != EEXIST) fail("address");
    }
    close(control);
}

static void own_network(void) {
    if (unshare(CLONE_NEWNET) != 0) fail("network");
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    if (ioctl(control, SIOCSIFFLAGS, &request) != 0) fail("network up");
    close(control);
}

// exec|process PATH ARG0 UID GID CAPS COUNT ARGS.. ENV..: in a child, with the lines that are left.
static pid_t start(char **words, int fileless, const char *script, int waits) {
    long uid = atol(words[2]), gid = atol(words[3]), count = atol(words[5]);
    char *arguments[WORDS_MAX] = {words[1]};
    for (long index = 0; index < count; index++) arguments[index + 1] = words[6 + index];
    int done[2], ready[2];
    if (pipe2(done, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0) fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        if (setenv("E2E_SCRIPT", script, 1) != 0 || dup2(ready[1], READY) < 0) _exit(4);
        for (char **variable = words + 6 + count; *variable; variable++) putenv(*variable);
        // So that capabilities of the file count though root runs it.
        if (*words[4] && uid == 0 && prctl(PR_SET_SECUREBITS, 1, 0, 0, 0) != 0) goto failed;
        if (uid != 0 && (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)) goto failed;
        if (fileless) {
            int memory = memfd_create("fileless", MFD_CLOEXEC), from = open(words[0], O_RDONLY | O_CLOEXEC);
            char buffer[65536];
            for (ssize_t length; (length = read(from, buffer, sizeof buffer)) > 0;)
                if (write(memory, buffer, length) != length) goto failed;
            fexecve(memory, arguments, environ);
        } else {
            execv(words[0], arguments);
        }
    failed:
        if (write(done[1], &errno, sizeof errno) < 0) _exit(5);
        _exit(127);
    }
    close(done[1]);
    int error = 0;
    if (pid < 0 || read(done[0], &error, sizeof error) > 0) {
        if (error) errno = error;
        fail(words[0]);
    }
    close(done[0]);
    close(ready[1]);
    // It has told that it is there when it closes its end.
    char none;
    if (waits && read(ready[0], &none, 1) < 0) fail(words[0]);
    close(ready[0]);
    return pid;
}

static void shell(const char *text) {
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int to = 0; to < 3; to++) dup2(null, to);
        unsetenv("E2E_SCRIPT");
        execl("/bin/sh", "sh", "-c", text, (char *)0);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static void client_server(char **words) {
    static const struct { const char *name; int domain, type; } kinds[] = {
        {"tcp4", AF_INET, SOCK_STREAM}, {"tcp6", AF_INET6, SOCK_STREAM}, {"udp4", AF_INET, SOCK_DGRAM},
        {"udp6", AF_INET6, SOCK_DGRAM}, {"unix", AF_UNIX, SOCK_STREAM}};
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        if (strcmp(kinds[index].name, words[2]) != 0) continue;
        struct sockaddr_storage address;
        socklen_t length = address_of(words[3], &address);
        if (kinds[index].domain == AF_UNIX) will_go(((struct sockaddr_un *)&address)->sun_path);
        int server = socket(kinds[index].domain, kinds[index].type, 0), one = 1;
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (server < 0 || bind(server, (void *)&address, length) != 0) fail("bind");
        if (kinds[index].type == SOCK_STREAM && listen(server, 8) != 0) fail("listen");
        int client = socket(kinds[index].domain, kinds[index].type, 0);
        if (client < 0 || connect(client, (void *)&address, length) != 0) fail("connect");
        remember(words[1], "client.fd", client);
        remember(words[1], "server.fd", server);
        return;
    }
    errno = EPROTONOSUPPORT;
    fail(words[2]);
}

// RESOURCE NAME ..: one descriptor each, but for pipes.
static int descriptor(char **words) {
    int fd = -1;
    if (strcmp(words[0], "file") == 0) {
        make_parents(words[2]);
        int was = access(words[2], F_OK) == 0;
        will_go(words[2]);
        fd = open(words[2], was ? O_RDWR : O_RDWR | O_CREAT, 0);
    } else if (strcmp(words[0], "directory") == 0) {
        make_parents(words[2]);
        will_go(words[2]);
        mkdir(words[2], 0755);
        fd = open(words[2], O_RDONLY | O_DIRECTORY);
    } else if (strcmp(words[0], "event") == 0) {
        fd = eventfd(number(words[2]), number(words[3]));
    } else if (strcmp(words[0], "eventpoll") == 0) {
        fd = epoll_create1(number(words[3]));
    } else if (strcmp(words[0], "inotify") == 0) {
        fd = inotify_init1(number(words[3]));
    } else if (strcmp(words[0], "signalfd") == 0) {
        sigset_t none;
        sigemptyset(&none);
        fd = signalfd(-1, &none, number(words[3]));
    } else if (strcmp(words[0], "memfd") == 0) {
        fd = memfd_create(words[2], number(words[3]));
    } else if (strcmp(words[0], "pipe") == 0) {
        int ends[2];
        if (pipe(ends) != 0) fail("pipe");
        remember(words[1], "readFd", ends[0]);
        remember(words[1], "writeFd", ends[1]);
        return 1;
    } else {
        return 0;
    }
    if (fd < 0) fail(words[2]);
    remember(words[1], "fd", fd);
    return 1;
}

// call STEP NUMBER WORD..: a word is n:NUMBER, s:TEXT, b:BOUND, a:ADDRESS, l:ADDRESS (its length),
// h:FLAGS:MODE:RESOLVE, o:PATH (a text whose file goes again), m:SIZE (memory to read into).
static void call(char **words, int count) {
    long arguments[6] = {0};
    static struct sockaddr_storage addresses[6];
    static struct open_how how;
    for (int index = 3; index < count && index < 9; index++) {
        char *text = words[index] + 2;
        long *to = &arguments[index - 3];
        switch (words[index][0]) {
        case 'n': *to = number(text); break;
        case 'b': *to = bound(text); break;
        case 'o': will_go(text); *to = (long)text; break;
        case 's': *to = (long)text; break;
        case 'm': *to = (long)calloc(1, number(text) + 1); break;
        case 'a': address_of(text, &addresses[index - 3]); *to = (long)&addresses[index - 3]; break;
        case 'l': { struct sockaddr_storage unused; *to = address_of(text, &unused); break; }
        case 'h': {
            char *rest = text;
            how.flags = number(strsep(&rest, ":"));
            how.mode = number(strsep(&rest, ":"));
            how.resolve = number(rest);
            *to = (long)&how;
            break;
        }
        default: errno = EINVAL; fail(words[index]);
        }
    }
    long result = syscall(atol(words[2]), arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
    // The event is what counts: some calls are there to fail.
    if (result < 0) tell("step %s: %s", words[1], strerror(errno));
    remember(words[1], "ret", result);
}

int main(void) {
    char *script = getenv("E2E_SCRIPT");
    if (!script) return 2;
    // Unless a process before us has put it there.
    if (fcntl(RESULT, F_GETFD) < 0) {
        if (fcntl(STDOUT_FILENO, F_DUPFD, RESULT) != RESULT) return 2;
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        close(null);
    }
    tell("here");
    close(READY);
    char *rest = strdup(script), *after = NULL;
    int address = 0;
    while (rest && *rest) {
        char *line = strsep(&rest, "\n"), *words[WORDS_MAX];
        int count = split(line, words);
        if (count == 0) continue;
        if (strcmp(words[0], "exec") == 0) {
            int status;
            waitpid(start(words + 1, 0, rest ? rest : "", 0), &status, 0);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        }
        if (strcmp(words[0], "network") == 0) own_network();
        else if (strcmp(words[0], "address") == 0) add_address(words[1], ++address);
        else if (strcmp(words[0], "before") == 0) shell(words[1]);
        else if (strcmp(words[0], "after") == 0) after = words[1];
        else if (strcmp(words[0], "clientServer") == 0) client_server(words);
        else if (strcmp(words[0], "process") == 0 || strcmp(words[0], "fileless") == 0) {
            pid_t pid = start(words + 2, words[0][0] == 'f', "wait", 1);
            if (started_count < UNDO_MAX) started[started_count++] = pid;
            remember(words[1], "pid", pid);
        } else if (strcmp(words[0], "wait") == 0) for (;;) pause();
        else if (strcmp(words[0], "call") == 0) call(words, count);
        else if (!descriptor(words)) {
            errno = ENOSYS;
            fail(words[0]);
        }
    }
    clean_up();
    if (after) shell(after);
    tell("done");
    return 0;
}
