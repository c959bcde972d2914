// Calls about names and identities, one after another, in the folder given.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Each prints its name and result, so that the test knows what really happened.
#define TRY(name, call)                                        \
    do {                                                       \
        long result = (call);                                  \
        printf("%s %d\n", name, result < 0 ? errno : 0);       \
    } while (0)

int main(int argc, char **argv) {
    if (argc != 2 || chdir(argv[1]) != 0) return 2;
    close(open("file", O_CREAT | O_WRONLY, 0644));
    TRY("rename", syscall(SYS_rename, "file", "moved"));
    TRY("link", syscall(SYS_link, "moved", "second"));
    TRY("symlink", syscall(SYS_symlink, "/etc/shadow", "soft"));
    TRY("chmod", syscall(SYS_chmod, "moved", 04755));
    TRY("fchmodat2", syscall(452, AT_FDCWD, "moved", 0600, 0));
    TRY("truncate", syscall(SYS_truncate, "moved", 3L));
    TRY("renameat2", syscall(SYS_renameat2, AT_FDCWD, "moved", AT_FDCWD, "second", 2));
    TRY("mkdir", syscall(SYS_mkdir, "folder", 0755));
    TRY("rmdir", syscall(SYS_rmdir, "folder"));
    TRY("unlink", syscall(SYS_unlink, "second"));
    TRY("mknod", syscall(SYS_mknod, "pipe", S_IFIFO | 0600, 0));
    TRY("memfd_create", syscall(SYS_memfd_create, "e2e-memory", 1));
    TRY("execfailed", execl("./absent", "absent", (char *)0));
    TRY("personality", syscall(SYS_personality, 0x0040000));
    TRY("kill", syscall(SYS_kill, getpid(), SIGCONT));
    TRY("prctl", syscall(SYS_prctl, PR_SET_NAME, "e2e-renamed", 0, 0, 0));
    TRY("unshare", syscall(SYS_unshare, CLONE_NEWNS));
    TRY("mount", syscall(SYS_mount, "none", argv[1], "tmpfs", MS_NOSUID, 0));
    TRY("setresuid", syscall(SYS_setresuid, -1, 65534, -1));
    TRY("setuid", syscall(SYS_setuid, 0));
    return 0;
}
