/* A tool for valgrind(1) that counts instructions outside the kernel (`instructions.py` builds and drives it).
 *
 * Each process says how many it has executed, on a line of its own, when it ends and before it executes another program;
 * a child begins at 0. A count is exact: the same program with the same input has the same one on any machine and under any
 * load. A repeated string instruction counts once for each round and once for its end.
 *
 * Debian's valgrind 3.19 refuses system calls that are newer than it. Here they go to the kernel as they are, which is right for
 * all that change no memory, such as those for mounts and pidfds. clone3(2) is made here, if it makes a process. The linker puts
 * `__wrap_…` in the place of valgrind's look-up of a call. The types that its headers for tools leave out are written down below.
 */
#include <linux/sched.h>
#include <pub_tool_basics.h>
#include <pub_tool_libcprint.h>
#include <pub_tool_libcproc.h>
#include <pub_tool_libcsignal.h>
#include <pub_tool_machine.h>
#include <pub_tool_tooliface.h>
#include <pub_tool_vki.h>
#include <pub_tool_vkiscnums.h>

#define NR_CLONE3 435

typedef struct {
    Word number;
    RegWord values[8];
} Arguments;

typedef struct {
    enum { COMPLETE = 1, FOR_THE_KERNEL } what;
    SysRes result;
} Status;

typedef struct {
    void (*before)(ThreadId, void *, Arguments *, Status *, UWord *);
    void (*after)(ThreadId, Arguments *, Status *);
} Call;

SysRes VG_(do_syscall)(UWord, RegWord, RegWord, RegWord, RegWord, RegWord, RegWord, RegWord, RegWord);
void VG_(do_atfork_pre)(ThreadId);
void VG_(do_atfork_parent)(ThreadId);
void VG_(do_atfork_child)(ThreadId);
const Call *__real_vgModuleLocal_get_linux_syscall_entry(UInt);
const Call *__wrap_vgModuleLocal_get_linux_syscall_entry(UInt);

static ULong counted;

static void add(IRSB *block, UInt number)
{
    IRExpr *place = mkIRExpr_HWord((HWord)&counted);
    IRTemp old = newIRTemp(block->tyenv, Ity_I64), sum = newIRTemp(block->tyenv, Ity_I64);
    IRExpr *both = IRExpr_Binop(Iop_Add64, IRExpr_RdTmp(old), IRExpr_Const(IRConst_U64(number)));

    addStmtToIRSB(block, IRStmt_WrTmp(old, IRExpr_Load(Iend_LE, Ity_I64, place)));
    addStmtToIRSB(block, IRStmt_WrTmp(sum, both));
    addStmtToIRSB(block, IRStmt_Store(Iend_LE, place, IRExpr_RdTmp(sum)));
}

/* What has been passed is added before each place where the block can be left. */
static IRSB *instrument(VgCallbackClosure *closure, IRSB *block, const VexGuestLayout *layout,
                        const VexGuestExtents *extents, const VexArchInfo *machine, IRType guest, IRType host)
{
    IRSB *made = deepCopyIRSBExceptStmts(block);
    UInt passed = 0;

    (void)closure, (void)layout, (void)extents, (void)machine, (void)guest, (void)host;
    for (Int at = 0; at < block->stmts_used; at++) {
        IRStmt *statement = block->stmts[at];
        if (statement->tag == Ist_IMark)
            passed++;
        if (statement->tag == Ist_Exit) {
            add(made, passed);
            passed = 0;
        }
        addStmtToIRSB(made, statement);
    }
    add(made, passed);
    return made;
}

static void say(void)
{
    VG_(umsg)("counted %llu\n", counted);
    counted = 0;
}

static void before_call(ThreadId thread, UInt number, UWord *values, UInt count)
{
    (void)thread, (void)values, (void)count;
    if (number == __NR_execve || number == __NR_execveat)
        say();
}

static void after_call(ThreadId thread, UInt number, UWord *values, UInt count, SysRes result)
{
    (void)thread, (void)number, (void)values, (void)count, (void)result;
}

static void begin_child(ThreadId thread)
{
    (void)thread;
    counted = 0;
}

static void begin(void)
{
}

static void end(Int code)
{
    (void)code;
    say();
}

static void hand_over(ThreadId thread, void *layout, Arguments *arguments, Status *status, UWord *flags)
{
    (void)thread, (void)layout, (void)arguments, (void)status, (void)flags;
}

/* What shares its memory is not for here: valgrind answers with ENOSYS, and a C library does without. */
static void clone3(ThreadId thread, void *layout, Arguments *arguments, Status *status, UWord *flags)
{
    const struct clone_args *wanted = (const struct clone_args *)arguments->values[0];
    vki_sigset_t all, before;

    if (wanted->flags & CLONE_VM || wanted->stack) {
        __real_vgModuleLocal_get_linux_syscall_entry(NR_CLONE3)->before(thread, layout, arguments, status, flags);
        return;
    }
    VG_(sigfillset)(&all);
    VG_(sigprocmask)(VKI_SIG_SETMASK, &all, &before);
    VG_(do_atfork_pre)(thread);
    status->result = VG_(do_syscall)(NR_CLONE3, arguments->values[0], arguments->values[1], 0, 0, 0, 0, 0, 0);
    status->what = COMPLETE;
    if (!sr_isError(status->result) && sr_Res(status->result) == 0)
        VG_(do_atfork_child)(thread);
    else
        VG_(do_atfork_parent)(thread);
    VG_(sigprocmask)(VKI_SIG_SETMASK, &before, NULL);
}

const Call *__wrap_vgModuleLocal_get_linux_syscall_entry(UInt number)
{
    static const Call unknown = {hand_over, NULL}, cloning = {clone3, NULL};
    const Call *known = __real_vgModuleLocal_get_linux_syscall_entry(number);

    if (number == NR_CLONE3)
        return &cloning;
    return known ? known : &unknown;
}

static void introduce(void)
{
    VG_(details_name)("counter");
    VG_(details_version)(NULL);
    VG_(details_description)("counts instructions");
    VG_(details_copyright_author)("");
    VG_(details_bug_reports_to)("");
    VG_(basic_tool_funcs)(begin, instrument, end);
    VG_(needs_syscall_wrapper)(before_call, after_call);
    VG_(atfork)(NULL, NULL, begin_child);
}

VG_DETERMINE_INTERFACE_VERSION(introduce)
