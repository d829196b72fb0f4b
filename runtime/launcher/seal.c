/* Sealing: a process of a container can reach the executable of the runtime that entered it, through /proc/PID/exe, and
 * could later open it for writing (CVE-2019-5736). So the launcher runs only from a file that nobody can write to through
 * that link: a read-only mount of itself that is attached nowhere, or a sealed copy in memory. Mostly entry.c has made the
 * mount already; nothing depends on it. */
#define _GNU_SOURCE
#include "launcher.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#define SELF "/proc/self/exe"
#define EXECVE_TRIES 10000
#define ALL_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

void die(const char *doing, int error)
{
    const char *words = strerror(error);
    dprintf(STDERR_FILENO, "ocirun: %s: %c%s\n", doing, tolower(words[0]), words + 1);
    _exit(1);
}

/* The protection that the kernel reports for the running file, or NULL. Nothing that the caller chose is believed. */
static const char *protection(int self)
{
    int seals = fcntl(self, F_GET_SEALS); /* any file of a tmpfs has an answer, not only a memfd */
    if (seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS)
        return "memfd";
    struct statfs fs;
    if (fstatfs(self, &fs) < 0)
        die("statfs " SELF, errno);
    return fs.f_flags & ST_RDONLY ? "mount" : NULL;
}

/* A copy of the executable's mount, of this one file, read-only and attached nowhere; -1 with errno where refused. */
static int readonly_mount(int self)
{
    int tree = (int)syscall(SYS_open_tree, self, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -1;
    struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        .propagation = MS_PRIVATE,
    };
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0) {
        int error = errno;
        close(tree);
        errno = error;
        return -1;
    }
    return tree;
}

/* A copy of the executable in memory that nothing can change any more; costs the copying, so only the second choice. */
static int sealed_copy(int self)
{
    struct stat st;
    int copy = memfd_create("ocirun", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (copy < 0 && errno == EINVAL) /* before Linux 6.3 every memfd was executable and the flag unknown */
        copy = memfd_create("ocirun", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0 || fstat(self, &st) < 0)
        die("copy the executable into memory: memfd_create", errno);
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = sendfile(copy, self, NULL, (size_t)(st.st_size - done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("copy the executable into memory: sendfile", n < 0 ? errno : EIO);
        done += n;
    }
    if (fcntl(copy, F_ADD_SEALS, ALL_SEALS) < 0)
        die("seal the copy of the executable: fcntl F_ADD_SEALS", errno);
    /* The kernel refuses to run a file that is open for writing, so the copy is run through a second, read-only fd. */
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("open the copy of the executable", errno);
    close(copy);
    return fd;
}

/* Launcher and companion lie in <prefix>/lib/ocirun/; what is installed for callers is <prefix>/bin/ocirun, made by entry.c. */
static void to_entry(char *path)
{
    static const char *const places[] = {"/lib/ocirun/launcher", "/lib/ocirun/companion"};
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(path), end = strlen(places[i]);
        if (length >= end && strcmp(path + length - end, places[i]) == 0)
            strcpy(path + length - end, "/bin/ocirun");
    }
}

/* Returns with errno where the kernel refuses. */
static void run(int fd, const char *path, char **argv)
{
    for (int i = 0; i < EXECVE_TRIES; i++) { /* entry.c says why ETXTBSY passes */
        syscall(SYS_execveat, fd, path, argv, environ, AT_EMPTY_PATH);
        if (errno != ETXTBSY)
            break;
        sched_yield();
    }
}

/* The launcher that can load libraries, in place of this one. */
void start_companion(char **argv)
{
    char path[PATH_MAX + sizeof "/companion"];
    snprintf(path, sizeof path, "%s/companion", launcher_library);
    int file = open(path, O_PATH | O_CLOEXEC), tree = file < 0 ? -1 : readonly_mount(file);
    if (tree >= 0) {
        argv[0] = launcher_seal.installed;
        run(tree, "", argv);
    }
    run(AT_FDCWD, path, argv);
    die("run the companion of the launcher: execveat", errno);
}

void seal_executable(char **argv, struct seal *seal)
{
    /* argv[0] says where the program is installed, and with raised privileges the caller is not to be believed. */
    if (getuid() != geteuid() || getgid() != getegid())
        die("refusing to run as a set-user-ID or set-group-ID program", EPERM);
    const char *execfn = (const char *)getauxval(AT_EXECFN);
    int self = open(SELF, O_RDONLY | O_CLOEXEC);
    if (self < 0)
        die("open " SELF " (is /proc mounted?)", errno);
    seal->how = protection(self);
    if (seal->how && execfn && strncmp(execfn, "/dev/fd/", 8) == 0 && argv[0] && argv[0][0] == '/') {
        seal->installed = argv[0];
        close(self);
        return;
    }
    static char installed[PATH_MAX];
    ssize_t n = readlink(SELF, installed, sizeof installed - 1);
    if (n < 0)
        die("readlink " SELF, errno);
    to_entry(installed);
    if (seal->how) {
        seal->how = strcmp(seal->how, "mount") == 0 ? "filesystem" : seal->how;
        seal->installed = installed;
        close(self);
        return;
    }
    int fd = readonly_mount(self);
    if (fd < 0)
        fd = sealed_copy(self);
    argv[0] = installed;
    /* SECURITY: there is no way on from here without the seal: a failing execveat ends the program. */
    run(fd, "", argv);
    die("run the sealed executable: execveat", errno);
}
