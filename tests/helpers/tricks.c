// Ways around who looks at calls, each really gone. Prints what it knows itself.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

// A program that is only ever in memory: code is written by /proc/self/mem over a page that may not be written, and run.
static int own_memory(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
    void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int memory = open("/proc/self/mem", O_RDWR);
    if (page == MAP_FAILED || memory < 0) fail("memory");
    if (pwrite(memory, code, sizeof code, (off_t)(intptr_t)page) != sizeof code) fail("pwrite");
    printf("%d %d\n", getpid(), ((int (*)(void))page)());
    return 0;
}

// Two programs one after the other with one process id.
static int reuse_pid(char *first, char *second) {
    pid_t pid = fork();
    if (pid == 0) {
        execl(first, first, "ran", "first", NULL);
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
    long again = syscall(SYS_clone3, &args, sizeof args);
    if (again == 0) {
        execl(second, second, "ran", "second", NULL);
        _exit(1);
    }
    if (again < 0) fail("clone3");
    int status;
    waitpid(again, &status, 0);
    printf("%d %d\n", pid, (int)again);
    return status != 0;
}

// A tracer puts another call's number where the kernel takes it from, between the call and its beginning.
static int other_number(const char *path) {
    static char name[4096];
    strncpy(name, path, sizeof name - 1);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        // Asks for an id, and opens the file.
        long opened = syscall(SYS_getppid, AT_FDCWD, name, O_RDONLY, 0);
        // Opens the file, and gets an id.
        long pid = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0);
        char letter;
        _exit(read(opened, &letter, 1) == 1 && pid == getpid() ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    for (int stop = 0, entering = 1;; entering = !entering) {
        ptrace(PTRACE_SYSCALL, child, 0, 0);
        waitpid(child, &status, 0);
        if (WIFEXITED(status)) break;
        if (!entering || stop > 1) continue;
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, child, 0, &registers);
        if (stop == 0 && registers.orig_rax == SYS_getppid) {
            registers.orig_rax = SYS_openat;
            stop++;
        } else if (stop == 1 && registers.orig_rax == SYS_openat) {
            registers.orig_rax = SYS_getpid;
            stop++;
        } else {
            continue;
        }
        ptrace(PTRACE_SETREGS, child, 0, &registers);
    }
    printf("%d %d\n", child, WEXITSTATUS(status));
    return WEXITSTATUS(status);
}

// A supervisor makes the call in place of who asks, opens another file, and puts the descriptor there.
static int notified(const char *asked, const char *secret) {
    int ends[2];
    if (pipe(ends)) fail("pipe");
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
        if (write(ends[1], &listener, sizeof listener) != sizeof listener) _exit(2);
        char letter;
        _exit(read(syscall(SYS_openat, AT_FDCWD, asked, O_RDONLY, 0), &letter, 1) != 1);
    }
    int theirs, status;
    if (read(ends[0], &theirs, sizeof theirs) != sizeof theirs) fail("read");
    int listener = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), theirs, 0);
    struct seccomp_notif *ask = calloc(1, 4096);
    if (listener < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, ask)) fail("listener");
    struct seccomp_notif_addfd add = {
        .id = ask->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = syscall(SYS_openat, AT_FDCWD, secret, O_RDONLY, 0)};
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) fail("addfd");
    waitpid(child, &status, 0);
    printf("%d %d %d\n", getpid(), child, WEXITSTATUS(status));
    return WEXITSTATUS(status);
}

// e2e-tricks own-memory|reuse-pid FIRST SECOND|other-number FILE|notified ASKED FILE
int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    if (!strcmp(way, "ran")) return 0;
    if (!strcmp(way, "own-memory")) return own_memory();
    if (!strcmp(way, "reuse-pid") && argc == 4) return reuse_pid(argv[2], argv[3]);
    if (!strcmp(way, "other-number") && argc == 3) return other_number(argv[2]);
    if (!strcmp(way, "notified") && argc == 4) return notified(argv[2], argv[3]);
    return 2;
}
