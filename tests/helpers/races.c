// Opens one file so many times while something else changes what the name means, and counts what it really got.
// Prints how many opens there were, and how many of them were the secret.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char name[4096], secret[4096], other[4096], place[4096];
static volatile int over;
static volatile unsigned turns;
static struct stat wanted;

static void need(int is_so, const char *what) {
    if (!is_so) {
        perror(what);
        exit(2);
    }
}

// Two names of one length take turns in the same memory.
static void *change_memory(void *unused) {
    size_t at = strlen(secret) - 6;
    while (!over) {
        memcpy(name + at, turns & 1 ? "public" : "shadow", 6);
        __asm__ volatile("" ::: "memory");
        turns++;
    }
    return unused;
}

static void *change_link(void *unused) {
    char made[8192];
    snprintf(made, sizeof made, "%s.new", name);
    for (unsigned turn = 0; !over; turn++) {
        need(symlink(turn & 1 ? secret : other, made) == 0 && rename(made, name) == 0, made);
        turns++;
    }
    return unused;
}

static void *change_folder(void *unused) {
    char vault[4096];
    snprintf(vault, sizeof vault, "%s", secret);
    dirname(vault);
    while (!over) {
        need(chdir(place) == 0 && chdir(vault) == 0, place);
        turns++;
    }
    return unused;
}

static volatile int number = -1;
static int benign;
// Another file takes the descriptor's place, or nothing does.
static void *change_descriptor(void *unused) {
    for (unsigned turn = 0; !over; turn++) {
        int fd = number;
        turns++;
        if (turn & 1) dup2(benign, fd);
        else close(fd);
    }
    return unused;
}

// A filter so long that the call waits at its door.
static void long_filter(void) {
    static struct sock_filter code[4000];
    for (int index = 0; index < 3999; index++)
        code[index] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[3999] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = 4000, .filter = code};
    need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
}

// e2e-races WAY SECRET OTHER PLACE COUNT
int main(int argc, char **argv) {
    if (argc != 6) return 2;
    const char *way = argv[1];
    snprintf(secret, sizeof secret, "%s", argv[2]);
    snprintf(other, sizeof other, "%s", argv[3]);
    snprintf(place, sizeof place, "%s", argv[4]);
    snprintf(name, sizeof name, "%s", secret);
    need(stat(secret, &wanted) == 0, secret);
    void *(*changes)(void *) = NULL;
    if (!strcmp(way, "memory") || !strcmp(way, "filter")) changes = change_memory;
    if (!strcmp(way, "filter")) long_filter();
    if (!strcmp(way, "link")) {
        snprintf(name, sizeof name, "%.4000s/e2e-link", place);
        need(symlink(secret, name) == 0, name);
        changes = change_link;
    }
    if (!strcmp(way, "folder")) {
        snprintf(name, sizeof name, "shadow");
        need(chdir(place) == 0, place);
        changes = change_folder;
    }
    if (!strcmp(way, "descriptor")) {
        benign = open(other, O_RDONLY);
        number = open("/dev/null", O_RDONLY);
        close(number);
        changes = change_descriptor;
    }
    pthread_t thread;
    need(changes && pthread_create(&thread, NULL, changes, NULL) == 0, way);
    long opened = 0, found = 0;
    for (long count = atol(argv[5]); count > 0; count--) {
        struct stat stat;
        // On one CPU the two would hardly meet.
        for (unsigned last = turns, tries = 0; turns == last && tries < 100; tries++) sched_yield();
        int fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY, 0);
        if (fd < 0) continue;
        opened++;
        if (changes == change_descriptor) continue;
        need(fstat(fd, &stat) == 0, "fstat");
        found += stat.st_ino == wanted.st_ino && stat.st_dev == wanted.st_dev;
        close(fd);
    }
    over = 1;
    pthread_join(thread, NULL);
    printf("%ld %ld\n", opened, found);
    return 0;
}
