/* What can be read of files, and what happens when one is opened, written or made. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "probe.h"

/* The bytes of a file, to be freed; NULL with errno. */
static char *contents(const char *path, size_t *length) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    char *text = NULL;
    size_t used = 0, space = 0;
    for (;;) {
        if (used == space) {
            space = space ? space * 2 : 4096;
            text = realloc(text, space);
            if (text == NULL)
                _exit(120);
        }
        ssize_t count = read(fd, text + used, space - used);
        if (count < 0) {
            int number = errno;
            free(text);
            close(fd);
            errno = number;
            return NULL;
        }
        if (count == 0)
            break;
        used += (size_t)count;
        if (used >= 1 << 20) /* /dev/zero has no end */
            break;
    }
    close(fd);
    *length = used;
    return text;
}

void json_file(const char *name, const char *path) {
    size_t length;
    char *text = contents(path, &length);
    if (text == NULL)
        json_null(name);
    else
        json_bytes(name, text, length);
    free(text);
}

void json_link(const char *name, const char *path) {
    char target[4096];
    ssize_t length = readlink(path, target, sizeof target);
    if (length < 0)
        json_null(name);
    else
        json_bytes(name, target, (size_t)length);
}

static const char *type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "directory";
    case S_IFLNK: return "link";
    case S_IFCHR: return "char";
    case S_IFBLK: return "block";
    case S_IFIFO: return "fifo";
    default: return "socket";
    }
}

void json_stat(const char *path) {
    struct stat found;
    if (lstat(path, &found) != 0) {
        json_errno(errno);
        return;
    }
    json_errno(0);
    json_text("type", type_of(found.st_mode));
    json_number("mode", found.st_mode & 07777);
    json_number("uid", found.st_uid);
    json_number("gid", found.st_gid);
    json_number("size", found.st_size);
    json_number("major", major(found.st_rdev));
    json_number("minor", minor(found.st_rdev));
    json_unsigned("inode", found.st_ino);
    json_unsigned("filesystem", found.st_dev);
    if (S_ISLNK(found.st_mode))
        json_link("target", path);
    struct statvfs system;
    json_number("flags", statvfs(path, &system) == 0 ? (long long)system.f_flag : -1);
}

/* read PATH: its text */
static void read_file(int count, char **words) {
    (void)count;
    size_t length;
    char *text = contents(words[0], &length);
    json_errno(text == NULL ? errno : 0);
    if (text != NULL)
        json_bytes("text", text, length);
    free(text);
}

/* Open, write if there is something to write, close: the first error. */
static void try_open(const char *path, int flags, const char *text) {
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0644);
    bool failed = fd < 0 || (text != NULL && write(fd, text, strlen(text)) < 0);
    int number = failed ? errno : 0;
    if (fd >= 0)
        close(fd);
    json_errno(number);
}

/* write PATH TEXT: into a file that is there */
static void write_file(int count, char **words) {
    (void)count;
    try_open(words[0], O_WRONLY, words[1]);
}

/* create PATH: a new file */
static void create_file(int count, char **words) {
    (void)count;
    try_open(words[0], O_WRONLY | O_CREAT | O_EXCL, NULL);
}

/* open PATH r|w|rw */
static void open_file(int count, char **words) {
    (void)count;
    int flags = strcmp(words[1], "r") == 0 ? O_RDONLY : strcmp(words[1], "w") == 0 ? O_WRONLY : O_RDWR;
    try_open(words[0], flags | O_NONBLOCK, NULL);
}

/* mkdir PATH */
static void make_directory(int count, char **words) {
    (void)count;
    json_errno(mkdir(words[0], 0755) == 0 ? 0 : errno);
}

/* remove PATH: a file or an empty directory */
static void remove_path(int count, char **words) {
    (void)count;
    json_errno(unlink(words[0]) == 0 || (errno == EISDIR && rmdir(words[0]) == 0) ? 0 : errno);
}

/* mknod PATH c|b|p MAJOR MINOR */
static void make_node(int count, char **words) {
    (void)count;
    mode_t type = words[1][0] == 'c' ? S_IFCHR : words[1][0] == 'b' ? S_IFBLK : S_IFIFO;
    dev_t device = makedev((unsigned)number(words[2]), (unsigned)number(words[3]));
    json_errno(mknod(words[0], type | 0600, device) == 0 ? 0 : errno);
}

/* stat PATH: lstat(2), readlink(2) and the mount's flags of statvfs(3) */
static void stat_path(int count, char **words) {
    (void)count;
    json_stat(words[0]);
}

/* list PATH: the names in a directory */
static void list_directory(int count, char **words) {
    (void)count;
    DIR *directory = opendir(words[0]);
    json_errno(directory == NULL ? errno : 0);
    if (directory == NULL)
        return;
    json_open("names", '[');
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            json_text(NULL, entry->d_name);
    json_close(']');
    closedir(directory);
}

/* swap PATH PATH: exchanges both all the time, until that fails */
static void swap(int count, char **words) {
    (void)count;
    while (renameat2(AT_FDCWD, words[0], AT_FDCWD, words[1], RENAME_EXCHANGE) == 0)
        ;
    json_errno(errno);
}

const struct action file_actions[] = {
    {"read", 1, read_file},       {"write", 2, write_file}, {"create", 1, create_file},
    {"open", 2, open_file},       {"mknod", 4, make_node},  {"mkdir", 1, make_directory},
    {"remove", 1, remove_path},   {"stat", 1, stat_path},   {"list", 1, list_directory},
    {"swap", 2, swap},
    {NULL, 0, NULL},
};
