/* What a process knows about itself, from system calls first: /proc may be missing, masked or false. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

extern char **environ;
extern int argument_count;
extern char **argument_words;

static void strings(const char *name, int count, char **words) {
    json_open(name, '[');
    for (int i = 0; count < 0 ? words[i] != NULL : i < count; i++)
        json_text(NULL, words[i]);
    json_close(']');
}

static void credentials(void) {
    uid_t real, effective, saved;
    gid_t real_gid, effective_gid, saved_gid, groups[4096];
    if (getresuid(&real, &effective, &saved) != 0 || getresgid(&real_gid, &effective_gid, &saved_gid) != 0)
        _exit(122);
    json_open("uids", '[');
    json_number(NULL, real), json_number(NULL, effective), json_number(NULL, saved);
    json_close(']');
    json_open("gids", '[');
    json_number(NULL, real_gid), json_number(NULL, effective_gid), json_number(NULL, saved_gid);
    json_close(']');
    int count = getgroups(4096, groups);
    json_open("groups", '[');
    for (int i = 0; i < count; i++)
        json_number(NULL, groups[i]);
    json_close(']');
    mode_t mask = umask(0);
    umask(mask);
    json_number("umask", mask);
}

/* capget(2) in its third version, and the two sets that prctl(2) tells of: as masks of 64 bits. */
static void capabilities(void) {
    struct { unsigned version; int pid; } header = {0x20080522, 0};
    struct { unsigned effective, permitted, inheritable; } data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) != 0)
        _exit(122);
    unsigned long long bounding = 0, ambient = 0;
    for (int i = 0; i < 64; i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
            bounding |= 1ULL << i;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1)
            ambient |= 1ULL << i;
    }
    json_open("capabilities", '{');
    json_unsigned("effective", data[0].effective | (unsigned long long)data[1].effective << 32);
    json_unsigned("permitted", data[0].permitted | (unsigned long long)data[1].permitted << 32);
    json_unsigned("inheritable", data[0].inheritable | (unsigned long long)data[1].inheritable << 32);
    json_unsigned("bounding", bounding);
    json_unsigned("ambient", ambient);
    json_close('}');
    json_number("no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    json_number("seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    json_number("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    json_number("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
}

/* Soft and hard limit by the resource's number of <asm/resource.h>; RLIM_INFINITY is 18446744073709551615. */
static void limits(void) {
    json_open("rlimits", '[');
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        if (getrlimit(i, &limit) != 0)
            continue;
        json_open(NULL, '[');
        json_unsigned(NULL, limit.rlim_cur);
        json_unsigned(NULL, limit.rlim_max);
        json_close(']');
    }
    json_close(']');
}

static void scheduling(void) {
    struct attributes found = {0};
    if (syscall(SYS_sched_getattr, 0, &found, sizeof found, 0) == 0) {
        json_open("scheduler", '{');
        json_number("policy", found.policy);
        json_unsigned("flags", found.flags);
        json_number("nice", found.nice);
        json_number("priority", found.priority);
        json_unsigned("runtime", found.runtime);
        json_unsigned("deadline", found.deadline);
        json_unsigned("period", found.period);
        json_close('}');
    } else
        json_null("scheduler");
    json_number("ioprio", syscall(SYS_ioprio_get, 1, 0));
    cpu_set_t cpus;
    json_open("affinity", '[');
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &cpus))
                json_number(NULL, i);
    json_close(']');
    int mode = -1;
    unsigned long nodes[16] = {0};
    json_open("memory_policy", '{');
    json_errno(syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, NULL, 0) == 0 ? 0 : errno);
    json_number("mode", mode);
    json_unsigned("nodes", nodes[0]);
    json_close('}');
}

static void machine(void) {
    struct utsname names;
    if (uname(&names) != 0)
        _exit(122);
    json_text("hostname", names.nodename);
    json_text("domainname", names.domainname);
    json_text("machine", names.machine);
    json_number("personality", personality(0xffffffff));
    struct timespec monotonic, boot;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    json_number("monotonic", monotonic.tv_sec);
    json_number("boottime", boot.tv_sec);
}

static void namespaces(void) {
    static const char *const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    json_open("namespaces", '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        json_link(names[i], path);
    }
    json_close('}');
}

/* Open descriptors and what they are: by fstat(2), since /proc may be missing. */
static void descriptors(void) {
    json_open("descriptors", '[');
    for (int fd = 0; fd < 1024; fd++) {
        struct stat found;
        if (fstat(fd, &found) != 0)
            continue;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        json_open(NULL, '{');
        json_number("fd", fd);
        json_link("path", path);
        json_number("mode", found.st_mode);
        json_unsigned("inode", found.st_ino);
        json_close('}');
    }
    json_close(']');
}

static void terminal(void) {
    struct winsize size;
    if (!isatty(STDIN_FILENO) || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0) {
        json_null("terminal");
        return;
    }
    json_open("terminal", '{');
    json_text("name", ttyname(STDIN_FILENO));
    json_number("height", size.ws_row);
    json_number("width", size.ws_col);
    json_number("foreground", tcgetpgrp(STDIN_FILENO));
    json_close('}');
}

/* report: everything */
static void report(int count, char **words) {
    (void)count, (void)words;
    json_number("pid", getpid());
    json_number("ppid", getppid());
    json_number("pgid", getpgrp());
    json_number("sid", getsid(0));
    char *cwd = getcwd(NULL, 0);
    json_text("cwd", cwd);
    free(cwd);
    strings("argv", argument_count, argument_words);
    strings("env", -1, environ);
    credentials();
    capabilities();
    limits();
    scheduling();
    machine();
    namespaces();
    descriptors();
    terminal();
    json_file("mountinfo", "/proc/self/mountinfo");
    json_file("status", "/proc/self/status");
    json_file("cgroup", "/proc/self/cgroup");
    json_file("oom_score_adj", "/proc/self/oom_score_adj");
    json_file("timens_offsets", "/proc/self/timens_offsets");
    json_file("uid_map", "/proc/self/uid_map");
    json_file("gid_map", "/proc/self/gid_map");
    json_file("label", "/proc/self/attr/current");
}

const struct action facts_actions[] = {{"report", 0, report}, {NULL, 0, NULL}};
