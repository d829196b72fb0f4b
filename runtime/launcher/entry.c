/* bin/ocirun: starts lib/ocirun/launcher from a read-only mount of that one file, attached nowhere (seal.c says why).
 *
 * A program of its own without libc: each start of libc costs 0.6 ms, most of it for the CPUID instruction, which a
 * virtual machine traps. It decides nothing: where the kernel refuses the mount, the launcher is started from its
 * place, finds itself unsealed and sees to that. */
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/resource.h>
#include <sys/syscall.h>

#define LAUNCHER "/../lib/ocirun/launcher"
#define PATH_SIZE 4096
#define EXECVE_TRIES 10000

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#define R(name) __asm__(name)
static long call(long number, long a, const void *b, const void *c, const void *d, long e)
{
    register long r10 R("r10") = (long)d, r8 R("r8") = e;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return number;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl begin\n");
#define R(name) __asm__(name)
static long call(long number, long a, const void *b, const void *c, const void *d, long e)
{
    register long x8 R("x8") = number, x0 R("x0") = a, x1 R("x1") = (long)b, x2 R("x2") = (long)c;
    register long x3 R("x3") = (long)d, x4 R("x4") = e;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}
#else
#error "the entry has no system calls for this machine yet"
#endif

static long length(const char *text)
{
    long n = 0;
    while (text[n])
        n++;
    return n;
}

static void fail(const char *message, const char *path)
{
    call(SYS_write, 2, message, (void *)length(message), 0, 0);
    call(SYS_write, 2, path, (void *)length(path), 0, 0);
    call(SYS_write, 2, "\n", (void *)1, 0, 0);
    for (;;)
        call(SYS_exit_group, 1, 0, 0, 0, 0);
}

/* SECURITY: with raised privileges the caller, who may have linked this file next to a launcher of his own, is not to
 * be believed. */
static void refuse_raised_privileges(void)
{
    if (call(SYS_getuid, 0, 0, 0, 0, 0) != call(SYS_geteuid, 0, 0, 0, 0, 0)
        || call(SYS_getgid, 0, 0, 0, 0, 0) != call(SYS_getegid, 0, 0, 0, 0, 0))
        fail("ocirun: refusing to run as a set-user-ID or set-group-ID program: operation not permitted", "");
}

/* The kernel kills what it cannot map all of, without a word; and Python 3.11 can loop for ever where a handler of exceptions
 * gets no memory for a number (exception_unwind in ceval.c). */
static void refuse_too_little_memory(void)
{
    struct rlimit64 found;
    if (call(SYS_prlimit64, 0, (void *)RLIMIT_AS, 0, &found, 0) == 0 && found.rlim_cur < 32 << 20)
        fail("ocirun: start Python within RLIMIT_AS (ulimit -v) of less than 32 MiB: cannot allocate memory", "");
}

/* The error, if it returns. SECURITY: whoever has got hold of the launcher through a container and tries to open it for
 * writing is refused, but for that moment the kernel counts a writer and executes the file for nobody. */
static long execute(long folder, const char *path, char **argv, char **environment, long flags)
{
    long error = ETXTBSY;
    for (int i = 0; i < EXECVE_TRIES && error == ETXTBSY; i++) {
        error = -call(SYS_execveat, folder, path, argv, environment, flags);
        call(SYS_sched_yield, 0, 0, 0, 0, 0); /* to the writer, who may wait for this processor */
    }
    return error;
}

__attribute__((noreturn, used)) void begin(long *stack)
{
    static char installed[PATH_SIZE + 1], launcher[PATH_SIZE + sizeof LAUNCHER];
    static const char none[] = "";
    static const struct mount_attr attr = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        .propagation = 1 << 18, /* MS_PRIVATE */
    };
    char **argv = (char **)(stack + 1), **environment = argv + stack[0] + 1;
    refuse_raised_privileges();
    refuse_too_little_memory();
    if (stack[0] < 1)
        fail("ocirun: refusing to run without a program name: invalid argument", "");
    long size = call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", installed, (void *)PATH_SIZE, 0);
    if (size < 0)
        fail("ocirun: readlink /proc/self/exe (is /proc mounted?)", "");
    long folder = size;
    while (folder > 0 && installed[--folder] != '/')
        ;
    for (long i = 0; i < folder; i++)
        launcher[i] = installed[i];
    for (long i = 0; i < (long)sizeof LAUNCHER; i++)
        launcher[folder + i] = LAUNCHER[i];
    long tree = call(SYS_open_tree, AT_FDCWD, launcher, (void *)(OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), 0, 0);
    if (tree >= 0 && call(SYS_mount_setattr, tree, none, (void *)AT_EMPTY_PATH, &attr, sizeof attr) == 0) {
        argv[0] = installed; /* which tells the sealed launcher where it was installed */
        execute(tree, none, argv, environment, AT_EMPTY_PATH);
    }
    long error = execute(AT_FDCWD, launcher, argv, environment, 0);
    static char words[] = "ocirun: errno 000: cannot execute ";
    char *digit = words + sizeof "ocirun: errno 000" - 2;
    for (; error > 0 && *digit == '0'; error /= 10)
        *digit-- = (char)('0' + error % 10);
    fail(words, launcher);
    __builtin_unreachable();
}
