/* Swaps two names for ever: renameat2(RENAME_EXCHANGE) of the paths given, without any library.
 * A second program would be too slow to lose a race with a runtime. */
#define _GNU_SOURCE
#include <asm/unistd.h>
#include <fcntl.h>

static long call(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

__attribute__((used)) void begin(long *stack)
{
    char **argv = (char **)(stack + 1);
    if (stack[0] == 3)
        while (call(__NR_renameat2, AT_FDCWD, (long)argv[1], AT_FDCWD, (long)argv[2], 2 /* RENAME_EXCHANGE */) == 0)
            ;
    call(__NR_exit_group, 1, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall begin\n");
