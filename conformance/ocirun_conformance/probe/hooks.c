/* What a hook does: it writes to a file of its own, leaves a mark of when it ran, and waits to be let go. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

static int appending(const char *path) { return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0644); }

/* into PATH: this line and all that follow go there, whatever standard output is, which may be closed */
static void redirect(int count, char **words) {
    (void)count;
    int fd = appending(words[0]);
    if (fd < 0 || (fd != STDOUT_FILENO && dup2(fd, STDOUT_FILENO) < 0))
        _exit(123);
    if (fd != STDOUT_FILENO)
        close(fd);
}

/* mark PATH WORD: appends a line of the word and the nanoseconds of CLOCK_MONOTONIC, whole */
static void mark(int count, char **words) {
    (void)count;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char line[512];
    int length = snprintf(line, sizeof line, "%s %lld\n", words[1], now.tv_sec * 1000000000LL + now.tv_nsec);
    int fd = appending(words[0]);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        _exit(123);
    close(fd);
}

/* hold PATH MILLISECONDS: until there is such a file, or that long */
static void hold(int count, char **words) {
    (void)count;
    long left = number(words[1]);
    struct stat found;
    while (stat(words[0], &found) != 0 && left-- > 0) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    json_bool("released", left > 0);
}

/* crash: by a signal that no first process of a pid namespace is spared */
static void crash(int count, char **words) {
    (void)count, (void)words;
    signal(SIGILL, SIG_DFL);
    __builtin_trap();
}

const struct action hook_actions[] = {
    {"into", 1, redirect}, {"mark", 2, mark}, {"hold", 2, hold}, {"crash", 0, crash}, {NULL, 0, NULL},
};
