/* hook MODE PATH [ARG...]: runs a hook, and spoils it: silent, forgiving, twice, late, elsewhere or lying. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65536];

/* The hook in a child, with the same state each time; its wait status. */
static int run(char **words, ssize_t size) {
    int ends[2], status = -1;
    if (pipe(ends) != 0 || write(ends[1], text, (size_t)size) != size)
        _exit(126);
    close(ends[1]);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[0], 0);
        close(ends[0]);
        execv(words[0], words + 1);
        _exit(127);
    }
    close(ends[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 126;
    const char *mode = argv[1];
    ssize_t size = 0, got;
    while (size < (ssize_t)sizeof text - 1 && (got = read(0, text + size, sizeof text - 1 - (size_t)size)) > 0)
        size += got;
    if (strcmp(mode, "silent") == 0)
        size = 0;
    if (strcmp(mode, "lying") == 0) {
        char *found = strstr(text, "\"status\"");
        char *value = found ? strchr(found + 8, '"') : NULL;
        if (value != NULL)
            value[1] = 'x';
    }
    if (strcmp(mode, "elsewhere") == 0 && unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) != 0)
        return 124;
    if (strcmp(mode, "late") == 0) {
        if (fork() != 0)
            return 0;
        usleep(300000);
    }
    int code = run(argv + 2, size);
    if (strcmp(mode, "twice") == 0)
        code = run(argv + 2, size);
    return strcmp(mode, "forgiving") == 0 ? 0 : code;
}
