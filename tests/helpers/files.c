// Opens one file by one particular system call, and prints the call's result: a descriptor or a negated errno.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void need(int is_so, const char *what) {
    if (!is_so) {
        perror(what);
        exit(2);
    }
}

static long own(long result) { return result < 0 ? -errno : result; }

// By the door for 32-bit callers, out of 64-bit code: its pointers have 32 bits.
static long by_int80(long number, const char *path, long flags, long mode) {
    char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    need(low != MAP_FAILED, "mmap");
    strncpy(low, path, 8191);
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(low), "c"(flags), "d"(mode)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

static long by_handle(const char *path, int flags) {
    struct file_handle *handle = calloc(1, sizeof *handle + MAX_HANDLE_SZ);
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount;
    need(name_to_handle_at(AT_FDCWD, path, handle, &mount, 0) == 0, "name_to_handle_at");
    return own(syscall(SYS_open_by_handle_at, AT_FDCWD, handle, flags));
}

// e2e-files CALL PATH [FLAGS [MODE [FOLDER]]]: numbers as C has them; FOLDER is what dirfd is opened from, or
// the new root of `chroot`.
int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *call = argv[1], *path = argv[2], *folder = argc > 5 ? argv[5] : NULL;
    int flags = argc > 3 ? strtol(argv[3], NULL, 0) : O_RDONLY;
    int mode = argc > 4 ? strtol(argv[4], NULL, 0) : 0;
    long result;
    if (!strcmp(call, "chroot")) {
        need(folder && chroot(folder) == 0 && chdir("/") == 0, "chroot");
        result = own(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
    } else if (!strcmp(call, "open")) {
        result = own(syscall(SYS_open, path, flags, mode));
    } else if (!strcmp(call, "creat")) {
        result = own(syscall(SYS_creat, path, mode));
    } else if (!strcmp(call, "openat")) {
        int dirfd = folder ? open(folder, O_PATH | O_DIRECTORY) : AT_FDCWD;
        need(dirfd != -1, folder);
        result = own(syscall(SYS_openat, dirfd, path, flags, mode));
    } else if (!strcmp(call, "openat2")) {
        struct open_how how = {.flags = flags, .mode = mode};
        result = own(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how));
    } else if (!strcmp(call, "handle")) {
        result = by_handle(path, flags);
    } else if (!strcmp(call, "int80")) {
        result = by_int80(5, path, flags, mode);
    } else {
        return 2;
    }
    printf("%ld\n", result);
    return 0;
}
