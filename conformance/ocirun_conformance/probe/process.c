/* What happens when a process executes, calls, allocates, forks, waits, ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

/* Wait for a child, and say how it ended. */
static void ended(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            _exit(122);
    json_number("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    json_number("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* exec PATH [WORD...]: a child executes it; the error of execve(2), or how it ended */
static void execute(int count, char **words) {
    int channel[2];
    if (pipe2(channel, 02000000) != 0) /* O_CLOEXEC */
        _exit(122);
    pid_t pid = fork();
    if (pid == 0) {
        char *environment[] = {NULL};
        words[count] = NULL;
        execve(words[0], words, environment);
        int number = errno;
        _exit(write(channel[1], &number, sizeof number) == sizeof number ? 127 : 126);
    }
    close(channel[1]);
    int number = 0;
    if (read(channel[0], &number, sizeof number) != sizeof number)
        number = 0;
    close(channel[0]);
    json_errno(pid < 0 ? EAGAIN : number);
    if (pid > 0)
        ended(pid);
}

/* syscall NUMBER [ARGUMENT...]: made by a child, since it may be killed for it */
static void call(int count, char **words) {
    long arguments[7] = {0}, answer[2] = {0};
    for (int i = 0; i < count && i < 7; i++)
        arguments[i] = number(words[i]);
    int channel[2];
    if (pipe2(channel, 02000000) != 0)
        _exit(122);
    pid_t pid = fork();
    if (pid == 0) {
        errno = 0;
        answer[0] = syscall(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5],
                            arguments[6]);
        answer[1] = answer[0] == -1 ? errno : 0;
        _exit(write(channel[1], answer, sizeof answer) == sizeof answer ? 0 : 126);
    }
    close(channel[1]);
    bool answered = read(channel[0], answer, sizeof answer) == sizeof answer;
    close(channel[0]);
    json_bool("answered", answered);
    json_number("result", answer[0]);
    json_errno((int)answer[1]);
    json_number("errno", answer[1]);
    if (pid > 0)
        ended(pid);
}

/* allocate MEBIBYTES: touched page by page, by a child */
static void allocate(int count, char **words) {
    (void)count;
    size_t size = (size_t)number(words[0]) << 20;
    pid_t pid = fork();
    if (pid == 0) {
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        for (size_t at = 0; at < size; at += 4096)
            memory[at] = 1;
        _exit(0);
    }
    if (pid > 0)
        ended(pid);
    else
        json_errno(errno);
}

/* fork COUNT: how many children there can be at once, at most COUNT */
static void forks(int count, char **words) {
    (void)count;
    long wanted = number(words[0]), made = 0;
    int failed = 0;
    pid_t *pids = calloc((size_t)wanted, sizeof *pids);
    for (; pids != NULL && made < wanted; made++) {
        pid_t pid = fork();
        if (pid < 0) {
            failed = errno;
            break;
        }
        if (pid == 0)
            for (;;)
                pause();
        pids[made] = pid;
    }
    for (long i = 0; i < made; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    free(pids);
    json_number("made", made);
    json_errno(failed);
}

/* spin MILLISECONDS: by the wall's clock; how much of it was on a processor, in microseconds */
static void spin(int count, char **words) {
    (void)count;
    struct timespec now, cpu;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long end = now.tv_sec * 1000LL + now.tv_nsec / 1000000 + number(words[0]);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec * 1000LL + now.tv_nsec / 1000000 < end);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    json_number("cpu", cpu.tv_sec * 1000000LL + cpu.tv_nsec / 1000);
}

/* await SIGNAL...: says {"ready":true} first, then which of these signals came */
static void await(int count, char **words) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++)
        sigaddset(&set, (int)number(words[i]));
    sigprocmask(SIG_BLOCK, &set, NULL);
    json_bool("ready", true);
    json_close('}');
    json_flush();
    json_open(NULL, '{');
    json_text("action", "signal");
    json_number("signal", sigwaitinfo(&set, NULL));
}

/* wait: until it is killed; as a first process it takes no signal but SIGKILL unless it has a handler */
static void wait_for_ever(int count, char **words) {
    (void)count, (void)words;
    signal(SIGTERM, SIG_DFL);
    json_bool("ready", true);
    json_close('}');
    json_flush();
    for (;;)
        pause();
}

/* exit STATUS */
static void leave(int count, char **words) {
    (void)count;
    json_close('}');
    json_flush();
    _exit((int)number(words[0]));
}

/* stdin: what there is to read until its end */
static void input(int count, char **words) {
    (void)count, (void)words;
    static char text[65536];
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text && (got = read(STDIN_FILENO, text + used, sizeof text - used)) > 0)
        used += (size_t)got;
    json_bytes("text", text, used);
}

const struct action process_actions[] = {
    {"exec", 1, execute},     {"syscall", 1, call}, {"allocate", 1, allocate}, {"fork", 1, forks}, {"spin", 1, spin},
    {"wait", 0, wait_for_ever}, {"await", 1, await},  {"exit", 1, leave},        {"stdin", 0, input},
    {NULL, 0, NULL},
};
