/* System calls that a seccomp filter may stop, each made by a child, since it may be killed for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static long wanted;

/* What a child has to tell: `count` numbers through a pipe, if it lives on, and how it ended. */
static bool told_by_child(void (*act)(long *), long *numbers, size_t count) {
    int channel[2], status = 0;
    if (pipe2(channel, 02000000) != 0) /* O_CLOEXEC */
        _exit(122);
    size_t size = count * sizeof *numbers;
    pid_t pid = fork();
    if (pid == 0) {
        act(numbers);
        _exit(write(channel[1], numbers, size) == (ssize_t)size ? 0 : 126);
    }
    close(channel[1]);
    bool told = pid > 0 && read(channel[0], numbers, size) == (ssize_t)size;
    close(channel[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            _exit(122);
    json_bool("told", told);
    json_number("exit", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    json_number("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return told;
}

static void *in_a_thread(void *unused) {
    syscall(wanted);
    return unused;
}

static void with_a_thread(long *numbers) {
    pthread_t thread;
    numbers[0] = pthread_create(&thread, NULL, in_a_thread, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* thread NUMBER: a second thread makes the call; whether the first one goes on after its end */
static void thread(int count, char **words) {
    (void)count;
    long joined = 0;
    wanted = number(words[0]);
    bool told = told_by_child(with_a_thread, &joined, 1);
    json_bool("goes_on", told && joined);
}

static long signal_facts[3];

static void note(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    signal_facts[0] = signal_number;
    signal_facts[1] = info->si_code;
    signal_facts[2] = info->si_syscall;
}

static void with_a_handler(long *numbers) {
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = note;
    sigaction(SIGSYS, &action, NULL);
    syscall(wanted);
    for (int i = 0; i < 3; i++)
        numbers[i] = signal_facts[i];
}

/* trap NUMBER: with a handler for SIGSYS, which is told the code and the call */
static void trap(int count, char **words) {
    (void)count;
    long numbers[3] = {0};
    wanted = number(words[0]);
    told_by_child(with_a_handler, numbers, 3);
    json_number("caught", numbers[0]);
    json_number("code", numbers[1]);
    json_number("call", numbers[2]);
}

static void as_a_tracer(long *numbers) {
    int status;
    unsigned long message = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
            raise(SIGSTOP);
        syscall(wanted);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESECCOMP);
    while (WIFSTOPPED(status)) {
        if (!numbers[0] && status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message);
            numbers[0] = 1;
            numbers[1] = (long)message;
        }
        ptrace(PTRACE_CONT, pid, NULL, NULL);
        if (waitpid(pid, &status, 0) != pid)
            break;
    }
}

/* trace NUMBER: a tracer watches it; whether it is told of the call, and which message */
static void trace(int count, char **words) {
    (void)count;
    long numbers[2] = {0};
    wanted = number(words[0]);
    told_by_child(as_a_tracer, numbers, 2);
    json_bool("traced", numbers[0]);
    json_number("message", numbers[1]);
}

static void by_the_32_bit_door(long *numbers) {
    numbers[0] = -ENOSYS;
#ifdef __x86_64__
    long made;
    __asm__ volatile("int $0x80"
                     : "=a"(made)
                     : "a"(wanted), "b"(0), "c"(0), "d"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    numbers[0] = (int)made;
#endif
}

/* x86 NUMBER: by int 0x80, the 32-bit door of x86_64; an error is a negated errno */
static void x86(int count, char **words) {
    (void)count;
    long result = 0;
    wanted = number(words[0]);
    told_by_child(by_the_32_bit_door, &result, 1);
    json_number("result", result);
}

const struct action filter_actions[] = {
    {"thread", 1, thread}, {"trap", 1, trap}, {"trace", 1, trace}, {"x86", 1, x86}, {NULL, 0, NULL},
};
