// Makes events as fast as it can, and counts them. It must run in a cgroup of its own for its counts to be
// compared with: what it prints is all that happens there from its own exec on, its own exit included.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

// One system call each, so that none is made that is not counted.
static unsigned long open_until(double end, unsigned long count_max, const char *path) {
    unsigned long count = 0;
    while (count < count_max && (count % 64 || now() < end)) {
        int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
        count++;
        if (fd >= 0) syscall(SYS_close, fd);
    }
    return count;
}

static unsigned long spawn_until(double end, char *own) {
    unsigned long count = 0;
    char *command[] = {own, "nothing", NULL};
    while (now() < end) {
        pid_t child;
        if (posix_spawn(&child, own, NULL, NULL, command, environ)) exit(2);
        waitpid(child, NULL, 0);
        count++;
    }
    return count;
}

// e2e-storm nothing; e2e-storm opens COUNT FILE; e2e-storm both SECONDS FILE
int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "nothing")) return 0;
    if (argc != 4) return 2;
    if (!strcmp(argv[1], "opens")) {
        printf("%lu\n", open_until(1e300, strtoul(argv[2], NULL, 10), argv[3]));
        return 0;
    }
    double end = now() + atof(argv[2]);
    int ends[2];
    if (pipe(ends)) return 2;
    pid_t opener = fork();
    if (opener == 0) {
        unsigned long opens = open_until(end, -1UL, argv[3]);
        _exit(write(ends[1], &opens, sizeof opens) != sizeof opens);
    }
    unsigned long spawns = spawn_until(end, argv[0]), opens = 0;
    if (read(ends[0], &opens, sizeof opens) != sizeof opens) return 2;
    waitpid(opener, NULL, 0);
    // Besides the spawned: the exec and the exit of this program, the fork and the exit of the opener.
    printf("fork %lu\nexec %lu\nexit %lu\nopen %lu\n", spawns + 1, spawns + 1, spawns + 2, opens);
    return 0;
}
