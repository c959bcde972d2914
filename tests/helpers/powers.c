// Makes each call of a table once, with arguments that do no harm, and prints its name and its result: 0 or an errno.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;
static char folder[4096];

static void say(const char *name, long result) {
    printf("%s %d\n", name, result < 0 ? errno : 0);
    fflush(stdout);
}
#define TRY(call, ...) say(#call, syscall(SYS_##call, ##__VA_ARGS__))

static void other_process(void) {
    struct iovec own = {folder, 1}, theirs = {folder, 1};
    char path[64];
    int pidfd = syscall(SYS_pidfd_open, child, 0);
    say("pidfd_open", pidfd);
    TRY(pidfd_getfd, pidfd, 0, 0);
    TRY(process_vm_readv, child, &own, 1, &theirs, 1, 0);
    TRY(process_vm_writev, child, &own, 1, &theirs, 1, 0);
    TRY(process_madvise, pidfd, &theirs, 1, 21, 0);
    TRY(kill, child, SIGCONT);
    TRY(tgkill, child, child, SIGCONT);
    TRY(pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
    TRY(ptrace, PTRACE_SEIZE, child, 0, 0);
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    TRY(open, path, O_RDWR);
}

static void identities(void) {
    unsigned header[2] = {0x20080522, 0}, sets[6] = {0};
    TRY(capget, header, sets);
    TRY(capset, header, sets);
    TRY(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    TRY(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0);
    TRY(personality, ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC);
    TRY(setgid, 65534);
    TRY(setreuid, -1, 65534);
    TRY(setresuid, -1, 0, -1);
    TRY(setuid, 65534);
    TRY(setsid);
}

static void memory(void) {
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(mprotect, map, 4096L, PROT_READ | PROT_EXEC);
    TRY(pkey_mprotect, map, 4096L, PROT_READ | PROT_EXEC, -1);
    say("mmap", (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TRY(memfd_create, "e2e-power", 0);
    say("memfd_secret", syscall(447, 0));
    TRY(userfaultfd, 0);
}

static void machine(void) {
    union bpf_attr none = {0};
    struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof event};
    char name[] = "e2e_absent";
    TRY(bpf, BPF_PROG_GET_NEXT_ID, &none, sizeof none);
    TRY(perf_event_open, &event, 0, -1, -1, 0);
    TRY(init_module, "", 0L, "e2e=1");
    TRY(finit_module, -1, "e2e=1", 0);
    TRY(delete_module, name, O_NONBLOCK);
    TRY(kexec_load, 0L, 99L, NULL, 0L);
    TRY(kexec_file_load, -1, -1, 0L, NULL, 0L);
    TRY(reboot, 0, 0, 0, NULL);
    TRY(iopl, 7);
    TRY(ioperm, 0L, 70000L, 1);
    TRY(swapon, "/nonexistent/e2e", 0);
    TRY(swapoff, "/nonexistent/e2e");
    TRY(acct, "/nonexistent/e2e");
    TRY(quotactl, QCMD(Q_SYNC, USRQUOTA), "/nonexistent/e2e", 0, NULL);
    TRY(syslog, 99, NULL, 0);
    TRY(settimeofday, NULL, NULL);
}

static void files(void) {
    close(open("e2e-power", O_CREAT | O_WRONLY, 0600));
    TRY(chmod, "e2e-power", 04755);
    say("fchmod", fchmod(open("e2e-power", O_RDONLY), 02755));
    say("fchmodat", syscall(SYS_fchmodat, AT_FDCWD, "e2e-power", 06755));
    say("fchmodat2", syscall(452, AT_FDCWD, "e2e-power", 04711, 0));
    TRY(chown, "e2e-power", 0, 0);
    // A capability of the file: version 2, no rights.
    char none[20] = {0, 0, 0, 2};
    TRY(setxattr, "e2e-power", "security.capability", none, 20L, 0);
    TRY(removexattr, "e2e-power", "security.capability");
    TRY(symlink, "/etc/ld.so.preload", "e2e-soft");
    int watch = syscall(SYS_inotify_init1, 0);
    TRY(inotify_add_watch, watch, "e2e-power", 2);
}

static void namespaces(void) {
    int own = open("/proc/self/ns/uts", O_RDONLY);
    struct clone_args args = {.flags = CLONE_NEWUTS, .exit_signal = SIGCHLD};
    TRY(unshare, CLONE_NEWUTS | CLONE_NEWNS);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    TRY(setns, own, CLONE_NEWUTS);
    long made = syscall(SYS_clone3, &args, sizeof args);
    if (made == 0) _exit(0);
    say("clone3", made);
    made = syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
    if (made == 0) _exit(0);
    say("clone", made);
    int context = syscall(430, "tmpfs", 0);
    say("fsopen", context);
    say("fsconfig", syscall(431, context, 1 /* FSCONFIG_SET_STRING */, "size", "1M", 0));
    syscall(431, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0);
    int made_mount = syscall(432, context, 0, 0);
    say("fsmount", made_mount);
    say("move_mount", syscall(429, made_mount, "", AT_FDCWD, folder, 4));
    struct { unsigned long long set, clear, propagation, user; } attributes = {.set = 1};
    say("mount_setattr", syscall(442, AT_FDCWD, folder, 0, &attributes, sizeof attributes));
    TRY(umount2, folder, MNT_DETACH);
    TRY(mount, "none", folder, "tmpfs", MS_NODEV, NULL);
    TRY(pivot_root, "/nonexistent/e2e", "/nonexistent/e2e");
    TRY(chroot, folder);
}

// By the door for 32-bit callers, out of 64-bit code: numbers and structures are the others, pointers have 32 bits.
static long by_int80(long number, long a, long b, long c, long d, long e) {
    long result;
    register long fifth __asm__("rdi") = e;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "r"(fifth)
                     : "memory", "r8", "r9", "r10", "r11");
    result = (int)result;
    if (result >= 0) return result;
    errno = -result;
    return -1;
}

static void by_the_other_door(void) {
    char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    long path = (long)strcpy(low, folder), none = (long)strcpy(low + 4096, "none"), type = (long)strcpy(low + 4200, "tmpfs");
    long empty = (long)memset(low + 5000, 0, 128), secret = (long)strcpy(low + 4300, "/etc/shadow");
    unsigned *words = (unsigned *)(low + 6000);
    say("open", by_int80(5, secret, O_RDONLY, 0, 0, 0));
    say("chmod", by_int80(15, path, 0700, 0, 0, 0));
    say("ptrace", by_int80(26, PTRACE_SEIZE, child, 0, 0, 0));
    say("kill", by_int80(37, child, SIGCONT, 0, 0, 0));
    say("init_module", by_int80(128, empty, 0, none, 0, 0));
    say("personality", by_int80(136, 0, 0, 0, 0, 0));
    say("bpf", by_int80(357, BPF_PROG_GET_NEXT_ID, empty, 128, 0, 0));
    say("unshare", by_int80(310, CLONE_NEWNS, 0, 0, 0, 0));
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    say("mount", by_int80(21, none, path, type, MS_NODEV, 0));
    say("setuid", by_int80(213, 0, 0, 0, 0, 0));
    words[0] = none, words[1] = (long)strcpy(low + 4400, "ran"), words[2] = (long)strcpy(low + 4500, "int80"), words[3] = 0;
    by_int80(11, (long)strcpy(low + 4600, "/usr/bin/true"), (long)words, (long)(words + 3), 0, 0);
}

// e2e-powers GROUP FOLDER
int main(int argc, char **argv) {
    if (argc != 3 || chdir(argv[2])) return 2;
    snprintf(folder, sizeof folder, "%s", argv[2]);
    int ends[2];
    if (pipe(ends)) return 2;
    child = fork();
    if (child == 0) {
        // Ends with this process, which may not be allowed to end it by then, and holds nobody up.
        char byte;
        close(ends[1]);
        close(1);
        close(2);
        while (read(ends[0], &byte, 1) < 0) continue;
        _exit(0);
    }
    printf("child %d\n", child);
    fflush(stdout);
    if (!strcmp(argv[1], "process")) other_process();
    if (!strcmp(argv[1], "identity")) identities();
    if (!strcmp(argv[1], "memory")) memory();
    if (!strcmp(argv[1], "machine")) machine();
    if (!strcmp(argv[1], "file")) files();
    if (!strcmp(argv[1], "namespace")) namespaces();
    if (!strcmp(argv[1], "int80")) by_the_other_door();
    if (!strcmp(argv[1], "traced")) TRY(ptrace, PTRACE_TRACEME, 0, 0, 0);
    // At once: a traced process stops at any signal.
    _exit(0);
}
