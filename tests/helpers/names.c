// Reaches one file, the secret, by a way that hides its name. Prints the last call's result: a descriptor, 0 or a
// negated errno. Where the way ends in a descriptor, it is held against the secret's inode: it must be the file itself.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PATH_BYTES 4096

static char secret[PATH_BYTES], vault[PATH_BYTES], folder[PATH_BYTES], way[2 * PATH_BYTES];
static struct stat wanted;

static void need(int is_so, const char *what) {
    if (!is_so) {
        perror(what);
        exit(2);
    }
}

static const char *in(const char *name) {
    snprintf(way, sizeof way, "%s/%s", folder, name);
    return way;
}

// Opens, and makes sure that it is the secret.
static long found(long fd) {
    struct stat stat;
    if (fd < 0) return -errno;
    need(fstat(fd, &stat) == 0 && stat.st_ino == wanted.st_ino && stat.st_dev == wanted.st_dev, "another file");
    return fd;
}

static long plain(const char *path) { return found(open(path, O_RDONLY)); }

static long at(const char *name, int flags) {
    int dirfd = open(vault, O_PATH | O_DIRECTORY);
    need(dirfd >= 0, vault);
    struct open_how how = {.flags = O_RDONLY, .resolve = flags};
    if (flags) return found(syscall(SYS_openat2, dirfd, name, &how, sizeof how));
    return found(openat(dirfd, name, O_RDONLY));
}

static long link_file(void) { return symlink(secret, in("l")) ? -errno : plain(way); }
static long link_root(void) {
    char path[3 * PATH_BYTES];
    need(symlink("/", in("r")) == 0, way);
    snprintf(path, sizeof path, "%s%s", way, secret);
    return plain(path);
}
static long link_dotdot(void) {
    char inner[PATH_BYTES + 8], path[3 * PATH_BYTES];
    snprintf(inner, sizeof inner, "%s/inner", vault);
    need((mkdir(inner, 0700) == 0 || errno == EEXIST) && symlink(inner, in("l")) == 0, "symlink");
    snprintf(path, sizeof path, "%s/../shadow", way);
    return plain(path);
}
static long hard_link(void) { return link(secret, in("h")) ? -errno : plain(way); }
// The link's source is a descriptor.
static long hard_link_fd(void) {
    int fd = open(secret, O_PATH);
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, in("h"), AT_SYMLINK_FOLLOW) ? -errno : plain(way);
}
static void own_mounts(void) {
    need(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "unshare");
}
static long bind_folder(void) {
    own_mounts();
    need(mkdir(in("m"), 0700) == 0 && mount(vault, way, NULL, MS_BIND, NULL) == 0, "mount");
    return plain(strcat(way, "/shadow"));
}
static long bind_file(void) {
    own_mounts();
    close(open(in("f"), O_CREAT | O_WRONLY, 0600));
    need(mount(secret, way, NULL, MS_BIND, NULL) == 0, "mount");
    return plain(way);
}
static long bind_root(void) {
    own_mounts();
    need(mkdir(in("m"), 0700) == 0 && mount("/", way, NULL, MS_BIND, NULL) == 0, "mount");
    return plain(strcat(way, secret));
}
// By the calls that came after `mount`.
static long bind_by_descriptors(void) {
    own_mounts();
    need(mkdir(in("m"), 0700) == 0, "mkdir");
    int tree = syscall(SYS_open_tree, AT_FDCWD, vault, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
    need(tree >= 0, "open_tree");
    need(syscall(SYS_move_mount, tree, "", AT_FDCWD, way, 4 /* MOVE_MOUNT_F_EMPTY_PATH */) == 0, "move_mount");
    return plain(strcat(way, "/shadow"));
}
static long changed_root(const char *root, const char *path) {
    need(chroot(root) == 0 && chdir("/") == 0, root);
    return plain(path);
}
static long by_proc(const char *format, int number) {
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, format, number, secret);
    return plain(path);
}
static long by_cwd(void) {
    need(chdir(vault) == 0, vault);
    return plain("/proc/self/cwd/shadow");
}
static long by_handle(void) {
    struct file_handle *handle = calloc(1, sizeof *handle + MAX_HANDLE_SZ);
    int mount_id, mount_fd = open(vault, O_RDONLY | O_DIRECTORY);
    handle->handle_bytes = MAX_HANDLE_SZ;
    need(name_to_handle_at(AT_FDCWD, secret, handle, &mount_id, 0) == 0, "name_to_handle_at");
    return found(syscall(SYS_open_by_handle_at, mount_fd, handle, O_RDONLY));
}
// A child opens it, and the parent takes the descriptor out of the child.
static long by_pidfd(void) {
    int ends[2];
    need(pipe(ends) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        int fd = open(secret, O_RDONLY);
        need(write(ends[1], &fd, sizeof fd) == sizeof fd, "write");
        pause();
    }
    int fd, pidfd = syscall(SYS_pidfd_open, child, 0);
    need(read(ends[0], &fd, sizeof fd) == sizeof fd && pidfd >= 0, "pidfd_open");
    long result = found(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
    kill(child, 9);
    waitpid(child, NULL, 0);
    printf("%d ", child);
    return result;
}
// Another process opens it and sends the descriptor: this one never opens anything.
static long by_message(void) {
    int pair[2], fd = -1;
    char room[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
    pid_t child = fork();
    if (child == 0) {
        fd = open(secret, O_RDONLY);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
        _exit(sendmsg(pair[0], &message, 0) == 1 ? 0 : 2);
    }
    need(recvmsg(pair[1], &message, 0) == 1, "recvmsg");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    waitpid(child, NULL, 0);
    printf("%d ", child);
    return found(fd);
}
// Benign at first: only a place, or only to be read; then the same file again by its descriptor.
static long again(int first, int then) {
    char self[64];
    int fd = open(secret, first);
    need(fd >= 0, secret);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return found(open(self, then));
}
// The folder was opened before the agent began; a line on standard input says when to go on.
static long waiting(void) {
    int dirfd = open(vault, O_RDONLY | O_DIRECTORY);
    char line[16];
    printf("ready\n");
    fflush(stdout);
    need(dirfd >= 0, vault);
    if (!fgets(line, sizeof line, stdin)) exit(0);
    return found(openat(dirfd, "shadow", O_RDONLY));
}
// Nested folders of one name each, deeper than any path that a call takes, and a file at their end.
static long nested(const char *name, int depth) {
    need(chdir(folder) == 0, folder);
    for (; depth > 0; depth--) need((mkdir(name, 0700) == 0 || errno == EEXIST) && chdir(name) == 0, name);
    long fd = open("shadow", O_CREAT | O_RDWR, 0600);
    return fd < 0 ? -errno : fd;
}
static long other(const char *name) { // a new file beside the secret takes its place
    int fd = open(in("new"), O_CREAT | O_WRONLY, 0600);
    need(fd >= 0 && write(fd, "x", 1) == 1, way);
    if (!strcmp(name, "rename")) return syscall(SYS_rename, way, secret) ? -errno : 0;
    if (!strcmp(name, "exchange")) return syscall(SYS_renameat2, AT_FDCWD, way, AT_FDCWD, secret, 2) ? -errno : 0;
    return -ENOSYS;
}
static long changed(const char *name) { // without an open for writing, or by a descriptor that is open
    if (!strcmp(name, "truncate")) return truncate(secret, 1) ? -errno : 0;
    if (!strcmp(name, "setxattr")) return setxattr(secret, "user.e2e", "x", 1, 0) ? -errno : 0;
    if (!strcmp(name, "chmod")) return chmod(secret, 04755) ? -errno : 0;
    int fd = open(secret, O_RDWR), from = open("/proc/self/exe", O_RDONLY), ends[2];
    need(fd >= 0 && from >= 0 && pipe(ends) == 0, secret);
    if (!strcmp(name, "ftruncate")) return ftruncate(fd, 4096) ? -errno : 0;
    if (!strcmp(name, "fallocate")) return fallocate(fd, 0, 0, 8192) ? -errno : 0;
    if (!strcmp(name, "sendfile")) return sendfile(fd, from, NULL, 64) == 64 ? 0 : -errno;
    if (!strcmp(name, "copy_file_range")) {
        int other = open(in("source"), O_CREAT | O_RDWR, 0600);
        need(write(other, "0123456789", 10) == 10 && lseek(other, 0, SEEK_SET) == 0, way);
        return copy_file_range(other, NULL, fd, NULL, 10, 0) == 10 ? 0 : -errno;
    }
    if (!strcmp(name, "splice")) {
        need(write(ends[1], "x", 1) == 1, "write");
        return splice(ends[0], NULL, fd, NULL, 1, 0) == 1 ? 0 : -errno;
    }
    if (!strcmp(name, "mmap")) {
        need(ftruncate(fd, 4096) == 0, "ftruncate");
        char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        need(map != MAP_FAILED, "mmap");
        map[0] = 'x';
        return 0;
    }
    return -ENOSYS;
}
static long block_device(void) { // the disk of this machine's root, by a name of our own
    struct stat root;
    need(stat("/", &root) == 0, "/");
    printf("%d ", mknod(in("e2e-disk"), S_IFBLK | 0600, root.st_dev) ? -errno : 0);
    int fd = open(way, O_RDONLY);
    return fd < 0 ? -errno : fd;
}

// e2e-names WAY SECRET FOLDER [ARGUMENT...]: FOLDER is a place for what the way needs.
int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const char *name = argv[1], *more = argc > 4 ? argv[4] : "";
    snprintf(secret, sizeof secret, "%s", argv[2]);
    snprintf(folder, sizeof folder, "%s", argv[3]);
    snprintf(way, sizeof way, "%s", secret);
    snprintf(vault, sizeof vault, "%s", argv[2]);
    dirname(vault);
    need(stat(secret, &wanted) == 0, secret);
    long result = -EINVAL;
#define WAY(known, call) if (!strcmp(name, known)) result = call
    WAY("plain", plain(more[0] ? more : secret));
    WAY("link-file", link_file());
    WAY("link-dotdot", link_dotdot());
    WAY("link-root", link_root());
    WAY("hard-link", hard_link());
    WAY("hard-link-fd", hard_link_fd());
    WAY("bind-folder", bind_folder());
    WAY("bind-file", bind_file());
    WAY("bind-root", bind_root());
    WAY("bind-by-descriptors", bind_by_descriptors());
    WAY("chroot", changed_root(vault, "/shadow"));
    WAY("chroot-proc", changed_root("/proc/1/root", secret));
    WAY("proc-root", by_proc("/proc/%d/root%s", getppid()));
    WAY("proc-cwd", by_cwd());
    WAY("dirfd", at("shadow", 0));
    WAY("openat2-root", at("/shadow", RESOLVE_IN_ROOT));
    WAY("openat2-beneath", at("shadow", RESOLVE_BENEATH));
    WAY("handle", by_handle());
    WAY("pidfd", by_pidfd());
    WAY("message", by_message());
    WAY("place", again(O_PATH, O_RDONLY));
    WAY("reopen", again(O_RDONLY, O_RDWR));
    WAY("waiting", waiting());
    WAY("deep", nested("d", atoi(more)));
    WAY("long", nested(argv[argc - 1], atoi(more)));
    WAY("rename", other(name));
    WAY("exchange", other(name));
    WAY("change", changed(more));
    WAY("block", block_device());
    printf("%ld\n", result);
    return 0;
}
