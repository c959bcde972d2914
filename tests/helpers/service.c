/* A service with a hole: it does what each line that it is given says.
 *
 *   service COMMANDS TIMES
 *
 * COMMANDS and TIMES are named pipes. A line of COMMANDS is words between tabs. Right before the system call that
 * the line is about, the nanoseconds since 1970 go to TIMES, so that what follows can be timed from there. The end
 * of COMMANDS ends the service.
 *
 *   run PROGRAM ARGUMENT...     fork and execve, with standard output and error closed to the caller
 *   memory PROGRAM ARGUMENT...  the same, from a copy of PROGRAM that is in memory only (memfd_create, fexecve)
 *   truncate PATH               open to be written, with the content thrown away
 *   write PATH TEXT             the same, and write TEXT
 *   connect ADDRESS PORT        a TCP connection to an IPv4 address, never waited for
 *   trace                       attach to a child of its own by ptrace, and let it go
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096, WORDS_MAX = 64 };

static int times;

static void stamp(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    dprintf(times, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
}

/* The descriptor of a copy in memory, or -1. */
static int copy_to_memory(const char *path)
{
    static char buffer[1 << 16];
    ssize_t got;
    int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("demo", MFD_CLOEXEC);
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, got) != got)
            return -1;
    close(from);
    return got == 0 ? to : -1;
}

static void run(char **words, int from_memory)
{
    int memory = from_memory ? copy_to_memory(words[0]) : -1;
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_RDWR);
        for (int standard = 0; standard < 3; standard++)
            dup2(nowhere, standard);
        stamp();
        if (from_memory)
            fexecve(memory, words, environ);
        else
            execv(words[0], words);
        _exit(127);
    }
    if (memory >= 0)
        close(memory);
    waitpid(child, NULL, 0);
}

static void rewrite(const char *path, const char *text)
{
    stamp();
    int file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (text && dprintf(file, "%s\n", text) < 0)
        perror(path);
    close(file);
}

static void reach(const char *address, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &to.sin_addr);
    stamp();
    /* There is no way there, or nobody waits for it: either is an answer. */
    (void)!connect(connection, (struct sockaddr *)&to, sizeof to);
    close(connection);
}

static void trace(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    stamp();
    ptrace(PTRACE_ATTACH, child, NULL, NULL);
    waitpid(child, NULL, 0);
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void obey(char *line)
{
    char *words[WORDS_MAX] = { NULL };
    char **word = words + 1;
    int count = 0;
    for (char *at = strtok(line, "\t\n"); at && count < WORDS_MAX - 1; at = strtok(NULL, "\t\n"))
        words[count++] = at;
    if (count == 0)
        return;
    if (!strcmp(words[0], "run") && count > 1)
        run(word, 0);
    else if (!strcmp(words[0], "memory") && count > 1)
        run(word, 1);
    else if (!strcmp(words[0], "truncate") && count == 2)
        rewrite(word[0], NULL);
    else if (!strcmp(words[0], "write") && count == 3)
        rewrite(word[0], word[1]);
    else if (!strcmp(words[0], "connect") && count == 3)
        reach(word[0], word[1]);
    else if (!strcmp(words[0], "trace"))
        trace();
    else
        dprintf(times, "unknown: %s\n", words[0]);
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES_MAX];
    FILE *commands = argc == 3 ? fopen(argv[1], "re") : NULL;
    times = commands ? open(argv[2], O_WRONLY | O_CLOEXEC) : -1;
    if (times < 0) {
        fprintf(stderr, "usage: service COMMANDS TIMES\n");
        return 2;
    }
    while (fgets(line, sizeof line, commands))
        obey(line);
    return 0;
}
