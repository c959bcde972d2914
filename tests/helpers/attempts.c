// Tries one thing many times, and says how often it was denied and how often not.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A program that is let start takes this one's place and says nothing.
static int start(const char *path) {
    char *command[] = {(char *)path, NULL};
    execv(path, command);
    return errno;
}

static int read_from(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    close(fd);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int (*attempt)(const char *) = !strcmp(argv[1], "exec") ? start : read_from;
    long denied = 0, passed = 0, others = 0;
    for (long left = atol(argv[3]); left > 0; left--) {
        int error = attempt(argv[2]);
        if (error == EPERM) denied++;
        else if (error == 0) passed++;
        else others++;
    }
    printf("denied=%ld passed=%ld others=%ld\n", denied, passed, others);
    return 0;
}
