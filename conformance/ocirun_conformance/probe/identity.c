/* Changes to the probe's own process, for the facts that a `report` after them tells: what this kernel makes of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

/* schedule POLICY FLAGS NICE PRIORITY RUNTIME DEADLINE PERIOD: sched_setattr(2) */
static void schedule(int count, char **words) {
    (void)count;
    struct attributes wish = {
        .size = sizeof wish,
        .policy = (unsigned)number(words[0]),
        .flags = (unsigned long long)number(words[1]),
        .nice = (int)number(words[2]),
        .priority = (unsigned)number(words[3]),
        .runtime = (unsigned long long)number(words[4]),
        .deadline = (unsigned long long)number(words[5]),
        .period = (unsigned long long)number(words[6]),
    };
    json_errno(syscall(SYS_sched_setattr, 0, &wish, 0) == 0 ? 0 : errno);
}

/* ioprio VALUE: ioprio_set(2) */
static void io_priority(int count, char **words) {
    (void)count;
    json_errno(syscall(SYS_ioprio_set, 1, 0, number(words[0])) == 0 ? 0 : errno);
}

/* mempolicy MODE NODES: set_mempolicy(2); NODES is a mask, 0 for none */
static void memory_policy(int count, char **words) {
    (void)count;
    unsigned long nodes[16] = {(unsigned long)number(words[1])};
    size_t bits = nodes[0] ? sizeof nodes * 8 : 0;
    json_errno(syscall(SYS_set_mempolicy, number(words[0]), bits ? nodes : NULL, bits) == 0 ? 0 : errno);
}

/* nice: getpriority(2), which tells it for every policy */
static void nice_value(int count, char **words) {
    (void)count, (void)words;
    errno = 0;
    json_number("nice", getpriority(PRIO_PROCESS, 0));
}

const struct action identity_actions[] = {
    {"schedule", 7, schedule}, {"ioprio", 1, io_priority}, {"mempolicy", 2, memory_policy}, {"nice", 0, nice_value},
    {NULL, 0, NULL},
};
