/* What the kernel says to a mount, and to an id-mapped copy of one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

/* of <linux/mount.h>, which older systems have without them */
#define OPEN_TREE_COPY 1u
#define ATTRIBUTE_IDMAP 0x00100000ull
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

/* mount SOURCE TARGET TYPE FLAGS: mount(2) */
static void do_mount(int count, char **words) {
    (void)count;
    json_errno(mount(words[0], words[1], words[2], (unsigned long)number(words[3]), NULL) == 0 ? 0 : errno);
}

static bool put(pid_t pid, const char *name, const char *text) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* A user namespace that maps the ids 0 to 99 to 1000 and up; negative with errno. It lives as long as the descriptor. */
static int mapping(void) {
    int begin[2], end[2], space = -1, number = 0;
    char path[64], byte;
    if (pipe2(begin, O_CLOEXEC) != 0 || pipe2(end, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(end[1]);
        byte = unshare(CLONE_NEWUSER) == 0 ? 0 : (char)errno;
        if (write(begin[1], &byte, 1) != 1)
            _exit(1);
        _exit(read(end[0], &byte, 1) < 0);
    }
    close(begin[1]);
    close(end[0]);
    if (pid < 0 || read(begin[0], &byte, 1) != 1)
        number = EAGAIN;
    else if (byte != 0)
        number = byte;
    else {
        snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
        if (!put(pid, "uid_map", "0 1000 100") || !put(pid, "gid_map", "0 1000 100") ||
            (space = open(path, O_RDONLY | O_CLOEXEC)) < 0)
            number = errno;
    }
    close(begin[0]);
    close(end[1]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    errno = number;
    return space;
}

/* idmap PATH: whether a copy of the mount there could be id-mapped; nothing of it stays */
static void idmap(int count, char **words) {
    (void)count;
    struct { unsigned long long set, clear, propagation, userns; } attributes = {ATTRIBUTE_IDMAP, 0, 0, 0};
    int space = mapping();
    if (space < 0) {
        json_errno(errno);
        return;
    }
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, words[0], OPEN_TREE_COPY | O_CLOEXEC);
    attributes.userns = (unsigned long long)space;
    bool mapped =
        tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
    json_errno(mapped ? 0 : errno);
    if (tree >= 0)
        close(tree);
    close(space);
}

const struct action mount_actions[] = {{"mount", 4, do_mount}, {"idmap", 1, idmap}, {NULL, 0, NULL}};
