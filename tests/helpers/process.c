// Starts programs in ways that a shell has no words for.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void need(int is_so, const char *what) {
    if (!is_so) {
        perror(what);
        exit(2);
    }
}

static void run(char **command) {
    execv(command[0], command);
    need(0, command[0]);
}

// The program's bytes in a file without a name.
static void run_from_memory(char **command) {
    int from = open(command[0], O_RDONLY), to = memfd_create("e2e-memory", MFD_CLOEXEC);
    need(from >= 0 && to >= 0, command[0]);
    struct stat stat;
    need(fstat(from, &stat) == 0 && sendfile(to, from, NULL, stat.st_size) == stat.st_size, "sendfile");
    fexecve(to, command, environ);
    need(0, "fexecve");
}

// By a descriptor; `is_deleted`: of a file that has lost its name by then.
static void run_by_descriptor(char **command, int is_deleted) {
    int fd = open(command[0], O_PATH | O_CLOEXEC);
    need(fd >= 0, command[0]);
    if (is_deleted) need(unlink(command[0]) == 0, "unlink");
    syscall(SYS_execveat, fd, "", command, environ, AT_EMPTY_PATH);
    need(0, "execveat");
}

// By a name below a descriptor of its folder.
static void run_in_folder(char *folder, char **command) {
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    need(fd >= 0, folder);
    syscall(SYS_execveat, fd, command[0], command, environ, 0);
    need(0, "execveat");
}

static void *in_thread(void *command) {
    run(command);
    return NULL;
}

// Another thread than the first replaces the program.
static void run_from_thread(char **command) {
    pthread_t thread;
    need(pthread_create(&thread, NULL, in_thread, command) == 0, "pthread_create");
    for (;;) pause();
}

// The grandchild runs the command once its parent is gone. A pipe that only the parent holds tells it so.
static void run_orphaned(char **command) {
    int ends[2];
    need(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        if (fork() != 0) _exit(0);
        char byte;
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        run(command);
    }
    close(ends[0]);
    waitpid(child, NULL, 0);
    close(ends[1]);
}

static void run_on_terminal(char **command) {
    int terminal;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    need(child >= 0, "forkpty");
    if (child == 0) run(command);
    printf("%d\n", child);
    waitpid(child, NULL, 0);
}

// Waits for a line on standard input, and then runs the command in a child.
static void run_when_told(char **command) {
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        pid_t child = fork();
        if (child == 0) run(command);
        waitpid(child, NULL, 0);
        printf("%d\n", child);
        fflush(stdout);
    }
}

// Traces a child of its own, and prints its id.
static void trace(int request) {
    int ends[2];
    need(pipe2(ends, 0) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        _exit(0);
    }
    long result = ptrace(request, child, 0, 0);
    printf("%d %d\n", child, result < 0 ? -errno : 0);
    close(ends[1]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

// e2e-process WAY PROGRAM ARGUMENTS...
int main(int argc, char **argv) {
    if (argc < 2) return 2;
    const char *way = argv[1];
    char **command = argv + 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(way, "nothing")) return 0;
    if (!strcmp(way, "status") && argc > 2) return atoi(argv[2]);
    if (!strcmp(way, "attach")) return trace(PTRACE_ATTACH), 0;
    if (!strcmp(way, "seize")) return trace(PTRACE_SEIZE), 0;
    if (!strcmp(way, "attach-to") && argc > 2) {
        long result = ptrace(PTRACE_ATTACH, atoi(argv[2]), 0, 0);
        return printf("%d\n", result < 0 ? -errno : 0), 0;
    }
    if (argc < 3) return 2;
    if (!strcmp(way, "run")) run(command);
    if (!strcmp(way, "memory")) run_from_memory(command);
    if (!strcmp(way, "descriptor")) run_by_descriptor(command, 0);
    if (!strcmp(way, "deleted")) run_by_descriptor(command, 1);
    if (!strcmp(way, "folder") && argc > 3) run_in_folder(argv[2], argv + 3);
    if (!strcmp(way, "thread")) run_from_thread(command);
    if (!strcmp(way, "orphan")) return run_orphaned(command), 0;
    if (!strcmp(way, "terminal")) return run_on_terminal(command), 0;
    if (!strcmp(way, "told")) return run_when_told(command), 0;
    return 2;
}
