// Starts a program, this one as a rule, in a way that hides what it is. What runs in the end prints `ran` with what it
// knows of itself: its id, the inode of its file, and its arguments.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include <unistd.h>

extern char **environ;
static char own[4096];

static void need(int is_so, const char *what) {
    if (!is_so) {
        perror(what);
        exit(2);
    }
}

static int ran(int argc, char **argv) {
    struct stat stat_of;
    need(stat("/proc/self/exe", &stat_of) == 0, "stat");
    printf("ran %d %llu", getpid(), (unsigned long long)stat_of.st_ino);
    for (int index = 2; index < argc; index++) printf(" %s", argv[index]);
    printf("\n");
    return 0;
}

static void fill(int to) {
    int from = open("/proc/self/exe", O_RDONLY);
    struct stat stat_of;
    need(from >= 0 && fstat(from, &stat_of) == 0, "exe");
    for (off_t left = stat_of.st_size; left > 0;) {
        ssize_t sent = sendfile(to, from, NULL, left);
        need(sent > 0, "sendfile");
        left -= sent;
    }
    close(from);
}

static char *again[] = {"called", "ran", "once", NULL};

static void from_memory(const char *name, int flags, int by_name) {
    int fd = memfd_create(name, flags);
    char path[64];
    need(fd >= 0, "memfd_create");
    fill(fd);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (by_name) execve(path, again, environ);
    else syscall(SYS_execveat, fd, "", again, environ, AT_EMPTY_PATH);
    need(0, "exec");
}

// A file that never had a name.
static void from_nameless(const char *folder) {
    int fd = open(folder, O_TMPFILE | O_RDWR, 0700);
    char path[64];
    need(fd >= 0, folder);
    fill(fd);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY);
    close(fd); // a file that is open for writing cannot be run
    syscall(SYS_execveat, reader, "", again, environ, AT_EMPTY_PATH);
    need(0, "exec");
}

static void from_copy(const char *path, int is_removed) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0700);
    need(fd >= 0, path);
    fill(fd);
    close(fd);
    if (is_removed) {
        int reader = open(path, O_RDONLY);
        unlink(path);
        syscall(SYS_execveat, reader, "", again, environ, AT_EMPTY_PATH);
    }
    execv(path, again);
    need(0, path);
}

static void renamed(const char *name, int by_file) {
    if (by_file) {
        int fd = open("/proc/self/comm", O_WRONLY);
        need(fd >= 0 && write(fd, name, strlen(name)) > 0, "comm");
    } else {
        need(prctl(PR_SET_NAME, name) == 0, "prctl");
    }
}

static void *in_thread(void *argv) {
    execv(own, argv);
    return NULL;
}

// Starts a child by one call; what runs is told by the child.
static void child_by(const char *call) {
    pid_t child = -1;
    if (!strcmp(call, "posix_spawn")) {
        need(posix_spawn(&child, own, NULL, NULL, again, environ) == 0, call);
    } else if (!strcmp(call, "vfork")) {
        child = vfork();
        if (child == 0) {
            execv(own, again);
            _exit(2);
        }
    } else {
        struct clone_args args = {.exit_signal = SIGCHLD};
        if (!strcmp(call, "clone-parent")) args = (struct clone_args){.flags = CLONE_PARENT};
        child = syscall(SYS_clone3, &args, sizeof args);
        if (child == 0) {
            execv(own, again);
            _exit(2);
        }
    }
    need(child > 0, call);
    printf("child %d of %d and %d\n", child, getpid(), getppid());
    fflush(stdout);
    int status;
    // A sibling is the parent's to wait for.
    if (strcmp(call, "clone-parent")) waitpid(child, &status, 0);
    else usleep(100000);
}

// Overwrites all of its arguments at once.
static int forget(int argc, char **argv) {
    size_t len = argv[argc - 1] + strlen(argv[argc - 1]) - argv[0];
    printf("ran %d 0 %s\n", getpid(), argv[argc - 1]);
    memset(argv[0], 'x', len);
    return 0;
}

static char flipped[16] = "aaaaaaaa";
static volatile int over;
static void *flip(void *unused) {
    for (unsigned turn = 0; !over; turn++) memset(flipped, "ab"[turn & 1], 8);
    return unused;
}
static const char *first, *second;
static void *rename_over(void *target) {
    char copy[4096], other[4096];
    snprintf(copy, sizeof copy, "%s.1", (char *)target);
    snprintf(other, sizeof other, "%s.2", (char *)target);
    for (unsigned turn = 0; !over; turn++) {
        link(turn & 1 ? first : second, copy);
        rename(copy, target);
    }
    return NULL;
}

// Runs `path` again and again while a thread changes what runs there, or the arguments.
static void race(const char *path, int count, void *(*changes)(void *), char **argv) {
    pthread_t thread;
    need(pthread_create(&thread, NULL, changes, (void *)path) == 0, "pthread_create");
    for (; count > 0; count--) {
        pid_t child = vfork();
        if (child == 0) {
            execv(path, argv);
            _exit(3);
        }
        waitpid(child, NULL, 0);
    }
    over = 1;
    pthread_join(thread, NULL);
}

// e2e-starts WAY ARGUMENT...
int main(int argc, char **argv) {
    if (argc == 0) return printf("ran %d 0 none\n", getpid()), 0;
    if (argc < 2 || !argv[0][0]) return printf("ran %d 0 none\n", getpid()), 0;
    const char *way = argv[1], *more = argc > 2 ? argv[2] : "";
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    need(len > 0, "exe");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(way, "ran")) return ran(argc, argv);
    if (!strcmp(way, "forget")) return forget(argc, argv);
    if (!strcmp(way, "memory")) from_memory(more, MFD_CLOEXEC, 0);
    if (!strcmp(way, "memory-open")) from_memory(more, 0, 0);
    if (!strcmp(way, "memory-by-name")) from_memory(more, 0, 1);
    if (!strcmp(way, "nameless")) from_nameless(more);
    if (!strcmp(way, "copy")) from_copy(more, 0);
    if (!strcmp(way, "removed")) from_copy(more, 1);
    if (!strcmp(way, "link")) {
        need(symlink(own, more) == 0, more);
        again[0] = (char *)more;
        execv(more, again);
    }
    if (!strcmp(way, "rename")) return renamed(more, 0), open("/etc/shadow", O_RDONLY) < 0;
    if (!strcmp(way, "rename-by-file")) return renamed(more, 1), open("/etc/shadow", O_RDONLY) < 0;
    if (!strcmp(way, "thread")) {
        pthread_t thread;
        pthread_create(&thread, NULL, in_thread, again);
        for (;;) pause();
    }
    if (!strcmp(way, "child")) return child_by(more), 0;
    if (!strcmp(way, "failed")) { // no program at all, and then one
        need(execv(more, again) == -1 && errno == ENOEXEC, more);
        execv(own, again);
    }
    if (!strcmp(way, "many")) { // so many arguments, and one that matters behind them
        int count = atoi(more);
        char **many = calloc(count + 4, sizeof *many);
        many[0] = own, many[1] = "ran";
        for (int index = 2; index < count + 2; index++) many[index] = "xxxxxxxx";
        many[count + 2] = "--e2e-last";
        int silent = open("/dev/null", O_WRONLY);
        dup2(silent, 1);
        execv(own, many);
    }
    if (!strcmp(way, "none")) execve(own, (char *[]){NULL}, environ);
    if (!strcmp(way, "flip")) race(own, 100, flip, (char *[]){own, "ran", flipped, NULL});
    if (!strcmp(way, "swap") && argc > 4) {
        first = argv[3], second = argv[4];
        race(more, 50, rename_over, (char *[]){"called", "ran", "swap", NULL});
    }
    return 0;
}
