/* Tries to reach the runtime's executable through /proc/PID/exe, and to open it for writing, without any library. It
 * never writes: with a runtime that lets it, the host's file stays as it was.
 *
 *   reach self            open /proc/self/exe, and tell the inode of what could be opened
 *   reach hunt DEV INO    look at /proc/PID/exe of all processes, keep what is that inode of that device, and try to open
 *                         it all the time, until there is a file /tmp/stop; then print what was refused
 *
 * The program also serves as the dynamic loader of an image: then the runtime's own executable is what runs.
 * Output: one line a kind of attempt, "NAME ERRNO COUNT"; ERRNO 0 means that it was possible. And "opened DEV INO". */
#define _GNU_SOURCE
#include <asm/unistd.h>
#include <fcntl.h>
#include <sys/stat.h>

#define KINDS 3
#define ERRORS 134
#define KEPT 16
#define LAST_PID 200

/* No pointers: nobody relocates this program. */
static const char names[KINDS][12] = {"look", "self", "descriptor"};
static unsigned counts[KINDS][ERRORS];

static long call(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

static void say(const char *text)
{
    long length = 0;
    while (text[length])
        length++;
    call(__NR_write, 1, (long)text, length, 0);
}

static void number(unsigned long value, char *end)
{
    char digits[24];
    int at = 23;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while ((*end++ = digits[at++]))
        ;
}

static unsigned long parse(const char *text)
{
    unsigned long value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (unsigned long)(*text++ - '0');
    return value;
}

static long try_open(int kind, const char *path, long flags)
{
    long fd = call(__NR_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0);
    counts[kind][fd < 0 ? -fd : 0]++;
    return fd;
}

static void attack(int kind, const char *path)
{
    const long flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND};
    for (int i = 0; i < 3; i++) {
        long fd = try_open(kind, path, flags[i]);
        struct stat found;
        if (fd < 0)
            continue;
        if (call(__NR_fstat, fd, (long)&found, 0, 0) == 0) {
            char text[64];
            say("opened ");
            number(found.st_dev, text), say(text), say(" ");
            number(found.st_ino, text), say(text), say("\n");
        }
        call(__NR_close, fd, 0, 0, 0);
    }
}

static void by_descriptor(long fd)
{
    char path[64] = "/proc/self/fd/";
    number((unsigned long)fd, path + 14);
    attack(2, path);
}

static void report(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int error = 0; error < ERRORS; error++)
            if (counts[kind][error]) {
                char text[64];
                say(names[kind]), say(" ");
                number((unsigned long)error, text), say(text), say(" ");
                number(counts[kind][error], text), say(text), say("\n");
            }
}

static void hunt(unsigned long device, unsigned long inode)
{
    static long kept[KEPT];
    int count = 0;
    while (call(__NR_access, (long)"/tmp/stop", 0, 0, 0) < 0) {
        for (unsigned long pid = 1; pid < LAST_PID && count < KEPT; pid++) {
            char path[64] = "/proc/";
            number(pid, path + 6);
            int end = 6;
            while (path[end])
                end++;
            for (const char *tail = "/exe"; (path[end++] = *tail++);)
                ;
            long fd = call(__NR_openat, AT_FDCWD, (long)path, O_PATH | O_CLOEXEC, 0);
            if (fd == -2)
                continue;
            struct stat found;
            if (fd >= 0 && call(__NR_fstat, fd, (long)&found, 0, 0) == 0 && found.st_dev == device && found.st_ino == inode) {
                counts[0][0]++;
                kept[count++] = fd;
                by_descriptor(fd);
            } else if (fd >= 0) {
                call(__NR_close, fd, 0, 0, 0);
            } else {
                counts[0][-fd]++;
            }
        }
        for (int i = 0; i < count; i++)
            by_descriptor(kept[i]);
    }
}

__attribute__((used)) void begin(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    if (argc >= 4 && argv[1][0] == 'h') {
        say("hunting\n");
        hunt(parse(argv[2]), parse(argv[3]));
    } else {
        attack(1, "/proc/self/exe");
        long fd = call(__NR_openat, AT_FDCWD, (long)"/proc/self/exe", O_PATH | O_CLOEXEC, 0);
        if (fd >= 0)
            by_descriptor(fd);
        counts[0][fd < 0 ? -fd : 0]++;
    }
    report();
    call(__NR_exit_group, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
