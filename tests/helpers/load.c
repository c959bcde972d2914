/* The loads of the benchmarks. Each prints how often it did what it does, the nanoseconds that it took, and those of
 * processor time that it and its children used meanwhile.
 *
 *   load getppid TIMES
 *   load open TIMES PATH                      open to be read, close
 *   load exec TIMES PROGRAM                   fork, execve, wait
 *   load tcp TIMES                            connect to a listener on loopback, accept, close both
 *   load udp TIMES                            connect a datagram socket to loopback
 *   load send TIMES                           send a datagram to loopback, by a socket that is not connected
 *   load pipe TIMES                           a byte to another process and back
 *   load needle TIMES PATH PAUSE_US           open PATH with pauses; prints the nanoseconds since 1970 after each
 *   load flood-open SECONDS PATH PER_SECOND   open at a rate, or as fast as it goes
 *   load flood-exec SECONDS PROGRAM PER_SECOND
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *path;

static long long now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Processor time of the process and of its children that have ended. */
static long long used(void)
{
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    return now(CLOCK_PROCESS_CPUTIME_ID)
        + (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000000LL
        + (children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1000LL;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void get_parent(void)
{
    syscall(SYS_getppid);
}

static void open_close(void)
{
    int file = open(path, O_RDONLY);
    if (file < 0)
        fail(path);
    close(file);
}

static void fork_exec(void)
{
    char *arguments[] = { (char *)path, NULL };
    int status;
    pid_t child = fork();
    if (child == 0) {
        execve(path, arguments, NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
        fail(path);
}

static int listener;
static struct sockaddr_in address = { .sin_family = AF_INET };

static void listen_on_loopback(void)
{
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 16)
        || getsockname(listener, (struct sockaddr *)&address, &size))
        fail("listen");
}

static void connect_tcp(void)
{
    /* Reset instead of a farewell: 10,000 connections that wait for their end would use up all ports. */
    struct linger reset = { 1, 0 };
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    int server = accept(listener, NULL, NULL);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(client);
    close(server);
}

static int datagrams;

static void connect_udp(void)
{
    if (connect(datagrams, (struct sockaddr *)&address, sizeof address))
        fail("connect");
}

static void send_udp(void)
{
    if (sendto(datagrams, "", 1, 0, (struct sockaddr *)&address, sizeof address) != 1)
        fail("sendto");
}

static int there[2], back[2];

/* The other end gives each byte back, until there is no more. */
static void answer_pipe(void)
{
    char byte;
    if (pipe(there) || pipe(back))
        fail("pipe");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child > 0)
        return;
    close(there[1]);
    while (read(there[0], &byte, 1) == 1)
        if (write(back[1], &byte, 1) != 1)
            break;
    _exit(0);
}

static void ping_pong(void)
{
    char byte = 0;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
        fail("pipe");
}

static void repeat(long long times, void (*operation)(void))
{
    long long began = now(CLOCK_MONOTONIC), used_before = used();
    for (long long time = 0; time < times; time++)
        operation();
    printf("%lld %lld %lld\n", times, now(CLOCK_MONOTONIC) - began, used() - used_before);
}

static void flood(long long seconds, long long per_second, void (*operation)(void))
{
    long long used_before = used(), began = now(CLOCK_MONOTONIC), end = began + seconds * 1000000000LL, done = 0, time;
    while ((time = now(CLOCK_MONOTONIC)) < end) {
        long long due = (double)(time - began) * per_second / 1e9;
        if (done >= due) {
            struct timespec pause = { 0, 200000 };
            nanosleep(&pause, NULL);
            continue;
        }
        /* In small portions, so that the rate is even where it can be kept. */
        for (int portion = 0; portion < 64 && done < due; portion++, done++)
            operation();
    }
    printf("%lld %lld %lld\n", done, now(CLOCK_MONOTONIC) - began, used() - used_before);
}

static void needle(long long times, long pause_us)
{
    struct timespec pause = { pause_us / 1000000, pause_us % 1000000 * 1000 };
    for (long long time = 0; time < times; time++) {
        nanosleep(&pause, NULL);
        int file = open(path, O_RDONLY);
        long long returned = now(CLOCK_REALTIME);
        if (file < 0)
            fail(path);
        close(file);
        printf("%lld\n", returned);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    long long number = argc > 2 ? atoll(argv[2]) : 0, rate = argc > 4 ? atoll(argv[4]) : 0;
    path = argc > 3 ? argv[3] : "";
    if (!strcmp(what, "getppid")) {
        repeat(number, get_parent);
    } else if (!strcmp(what, "open") && argc == 4) {
        repeat(number, open_close);
    } else if (!strcmp(what, "exec") && argc == 4) {
        repeat(number, fork_exec);
    } else if (!strcmp(what, "tcp")) {
        listen_on_loopback();
        repeat(number, connect_tcp);
    } else if (!strcmp(what, "udp") || !strcmp(what, "send")) {
        datagrams = socket(AF_INET, SOCK_DGRAM, 0);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(9);
        repeat(number, !strcmp(what, "udp") ? connect_udp : send_udp);
    } else if (!strcmp(what, "pipe")) {
        answer_pipe();
        repeat(number, ping_pong);
    } else if (!strcmp(what, "needle") && argc == 5) {
        needle(number, rate);
    } else if (!strcmp(what, "flood-open") && argc == 5) {
        flood(number, rate, open_close);
    } else if (!strcmp(what, "flood-exec") && argc == 5) {
        flood(number, rate, fork_exec);
    } else {
        fprintf(stderr, "load: see the top of helpers/load.c for what it can do\n");
        return 2;
    }
    return 0;
}
