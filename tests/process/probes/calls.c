/* Makes the system calls that the command line names and says what came of them; the numbers are the test's.
 *
 *   calls call NR ARG... / NR ARG... / ...   each answer on a line, an error as a negated errno
 *   calls x86 NR ARG...                      the same by int 0x80, the 32-bit door of x86_64
 *   calls thread NR                          in a second thread, and then whether the first one goes on
 *   calls trap NR                            with a handler for SIGSYS that says what it is told
 *   calls trace NR                           in a child that is traced, and what the tracer is told
 *   calls patient NR                         with a handler for SIGUSR1 that restarts nothing
 *   calls lock FILE                          which it keeps by flock(2); or says why it may not
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long number;

static long answer(long made)
{
    return made == -1 ? -errno : made;
}

static void call_all(char **words, int count)
{
    for (int at = 0; at < count;) {
        unsigned long values[7] = {0};
        for (int place = 0; at < count && strcmp(words[at], "/") != 0; at++)
            if (place < 7)
                values[place++] = strtoul(words[at], NULL, 0);
        at++;
        printf("%ld\n", answer(syscall((long)values[0], values[1], values[2], values[3], values[4], values[5],
                                       values[6])));
        fflush(stdout);
    }
}

static long by_the_32_bit_door(char **words, int count)
{
    long made = -ENOSYS;
#ifdef __x86_64__
    unsigned long first = count > 1 ? strtoul(words[1], NULL, 0) : 0;
    unsigned long second = count > 2 ? strtoul(words[2], NULL, 0) : 0;
    __asm__ volatile("int $0x80"
                     : "=a"(made)
                     : "a"(strtoul(words[0], NULL, 0)), "b"(first), "c"(second), "d"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    made = (int)made;
#else
    (void)words;
    (void)count;
#endif
    return made;
}

static void *in_a_thread(void *unused)
{
    printf("thread %ld\n", answer(syscall(number)));
    return unused;
}

static void told(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    printf("signal %d code %d call %d errno %d arch %x\n", signal_number, info->si_code, info->si_syscall,
           info->si_errno, info->si_arch);
    fflush(stdout);
}

static void traced(void)
{
    int status;
    unsigned long message = 0;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        printf("child %ld\n", answer(syscall(number)));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESECCOMP);
    ptrace(PTRACE_CONT, child, NULL, NULL);
    waitpid(child, &status, 0);
    if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8))) {
        ptrace(PTRACE_GETEVENTMSG, child, NULL, &message);
        printf("tracer %lu\n", message);
        fflush(stdout);
        ptrace(PTRACE_CONT, child, NULL, NULL);
        waitpid(child, &status, 0);
    }
}

int main(int count, char **words)
{
    if (count < 3)
        return 2;
    const char *mode = words[1];
    struct sigaction handler = {.sa_flags = SA_SIGINFO};
    handler.sa_sigaction = told;
    number = strtol(words[2], NULL, 0);
    if (strcmp(mode, "call") == 0) {
        call_all(words + 2, count - 2);
    } else if (strcmp(mode, "x86") == 0) {
        printf("%ld\n", by_the_32_bit_door(words + 2, count - 2));
    } else if (strcmp(mode, "thread") == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, in_a_thread, NULL) != 0 || pthread_join(thread, NULL) != 0)
            return 1;
        printf("main goes on\n");
    } else if (strcmp(mode, "trap") == 0) {
        sigaction(SIGSYS, &handler, NULL);
        syscall(number);
        printf("main goes on\n");
    } else if (strcmp(mode, "trace") == 0) {
        traced();
    } else if (strcmp(mode, "patient") == 0) {
        sigaction(SIGUSR1, &handler, NULL);
        printf("%ld\n", answer(syscall(number)));
    } else if (strcmp(mode, "lock") == 0) {
        int file = open(words[2], O_RDWR | O_CREAT, 0600);
        if (flock(file, LOCK_EX | LOCK_NB) == 0)
            pause();
        printf("%ld\n", answer(-1));
    } else {
        return 2;
    }
    return 0;
}
