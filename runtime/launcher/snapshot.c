/* The interpreter as it is when the hot modules are loaded, as a part of the executable.
 *
 * Starting Python, loading modules and leaving again is most of what a short command would do, and comes out the same each
 * time. So ./dev build starts the launcher once, lets it get that far (hold_still) and writes its data into the executable
 * (snapshot.py): the data segment of the finished launcher is a Python that has started. A process that begins there is in the
 * place of one that fork(2) has made, and does what such a one has to do (wake_up).
 *
 * Everything that is taken along lies at fixed addresses (the executable is not position-independent) in the data segment:
 * while the snapshot is made, memory comes from `region`. Nothing in it may lead outside: not to libc, whose place is another
 * in each process, and not to the environment. snapshot.py makes two and compares them. */
#define _GNU_SOURCE
#define Py_BUILD_CORE 1
#include "launcher.h"

#include <errno.h>
#include <internal/pycore_pystate.h>
#include <internal/pycore_runtime.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGNMENT (1 << 14) /* of the pools of Python's allocator of objects (POOL_SIZE) */
#define REGION (8 << 20)

/* snapshot.py leaves out what was not used at its end, so it has to be the last of the data: linked last. */
static char region[REGION], *next_free = region;
static enum { ABSENT, BEING_TAKEN, TAKEN } state;

int has_snapshot(void)
{
    return state == TAKEN;
}

static void *from_region(size_t size, size_t alignment)
{
    char *block = (char *)(((uintptr_t)next_free + alignment - 1) & ~(alignment - 1));
    if (size > (size_t)(region + REGION - block))
        die("take the snapshot: the region is too small", ENOMEM);
    next_free = block + size;
    return block;
}

static int in_region(const void *block)
{
    return (const char *)block >= region && (const char *)block < region + REGION;
}

/* What Python calls in place of malloc(3) and its kin (ld's --wrap). A block of the region has its size before it. What is
 * freed while the snapshot is taken serves again, the first that is large enough, so that it has few holes. */
struct header {
    size_t size;
    struct header *next;
} __attribute__((aligned(16)));
static struct header *freed;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

void *__wrap_malloc(size_t size)
{
    if (state != BEING_TAKEN)
        return __real_malloc(size);
    for (struct header **link = &freed, *each; (each = *link); link = &each->next)
        if (each->size >= size && each->size < 2 * size) {
            *link = each->next;
            return each + 1;
        }
    struct header *header = from_region(sizeof *header + size, sizeof *header);
    header->size = size;
    return header + 1;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (state != BEING_TAKEN)
        return __real_calloc(count, size);
    return memset(__wrap_malloc(count * size), 0, count * size);
}

void *__wrap_realloc(void *block, size_t size)
{
    if (!in_region(block) && state != BEING_TAKEN)
        return __real_realloc(block, size);
    void *larger = __wrap_malloc(size);
    size_t had = block ? ((struct header *)block - 1)->size : 0;
    if (larger && block)
        memcpy(larger, block, had < size ? had : size);
    __wrap_free(block);
    return larger;
}

void __wrap_free(void *block)
{
    struct header *header = (struct header *)block - 1;
    if (!in_region(block)) {
        __real_free(block);
    } else if (state == BEING_TAKEN) {
        header->next = freed;
        freed = header;
    }
}

/* Each process has its one thread elsewhere, and Python remembers where. */
pthread_t __real_pthread_self(void);
pthread_t __wrap_pthread_self(void);
pthread_t __wrap_pthread_self(void)
{
    return state == BEING_TAKEN ? 0 : __real_pthread_self();
}

/* The first MiB of objects, which a start fills, is mapped at once where there is no snapshot: 256 page faults less. */
static void *map_arena(void *context, size_t size)
{
    static int populate = MAP_POPULATE;
    (void)context;
    if (state == BEING_TAKEN)
        return from_region(size, ALIGNMENT);
    void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (has_snapshot() ? 0 : populate), -1, 0);
    populate = 0;
    return arena == MAP_FAILED ? NULL : arena;
}

static void unmap_arena(void *context, void *arena, size_t size)
{
    (void)context;
    if (!in_region(arena))
        munmap(arena, size);
}

void prepare_memory(void)
{
    PyObjectArenaAllocator allocator = {NULL, map_arena, unmap_arena};
    PyObject_SetArenaAllocator(&allocator);
}

/* For ./dev build alone: a launcher that has a snapshot takes no other. It is killed when its memory has been read. */
void hold_still(char **modules)
{
    state = BEING_TAKEN;
    start_python();
    for (; *modules; modules++)
        if (!PyImport_ImportModule(*modules)) {
            report_exception();
            _exit(1);
        }
    PyThreadState_Get()->native_thread_id = 0;
    state = TAKEN;
    if (write(STDOUT_FILENO, "", 1) == 1)
        pause();
    _exit(1);
}


static int put(PyObject *names, PyObject *name, PyObject *value)
{
    int status = name && value ? PyDict_SetDefault(names, name, value) ? 0 : -1 : -1;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return status;
}

static PyObject *decode(const char *text, Py_ssize_t size)
{
    return PyUnicode_DecodeUTF8(text, size, "surrogateescape");
}

/* The environment, as `posix` and the lean `os` have read it when they were loaded. */
static int read_environment(void)
{
    PyObject *posix = PyImport_ImportModule("posix"), *lean = PyImport_ImportModule("_ocirun_os");
    PyObject *bytes = posix ? PyObject_GetAttrString(posix, "environ") : NULL;
    PyObject *text = lean ? PyObject_GetAttrString(lean, "environ") : NULL;
    if (!bytes || !text)
        return -1;
    PyDict_Clear(text);
    for (char **each = environ; *each; each++) {
        const char *equals = strchr(*each, '=');
        if (!equals)
            continue;
        Py_ssize_t size = equals - *each;
        if (put(bytes, PyBytes_FromStringAndSize(*each, size), PyBytes_FromString(equals + 1)) < 0
            || put(text, decode(*each, size), decode(equals + 1, (Py_ssize_t)strlen(equals + 1))) < 0)
            return -1;
    }
    return 0;
}

/* SIGINT raises KeyboardInterrupt where it would end the program, as the module _signal arranges it when it is loaded. */
static void catch_interrupt(void)
{
    struct sigaction now;
    PyObject *signals = PyImport_ImportModule("_signal"), *handler = NULL, *before = NULL;
    errno = ENOMEM; /* what it is if no system call fails */
    if (signals && sigaction(SIGINT, NULL, &now) == 0)
        handler = PyObject_GetAttrString(signals, now.sa_handler == SIG_IGN ? "SIG_IGN" : "default_int_handler");
    if (handler)
        before = PyObject_CallMethod(signals, "signal", "iO", SIGINT, handler);
    if (!before)
        die("catch SIGINT: sigaction", errno);
    Py_DECREF(signals);
    Py_DECREF(handler);
    Py_DECREF(before);
}

/* What is another in this process than it was in the one that the snapshot was taken of. */
void wake_up(void)
{
    PyThreadState *thread = _PyRuntimeState_GetThreadState(&_PyRuntime);
    Py_tss_t *key = &_PyRuntime.gilstate.autoTSSkey;
    *key = (Py_tss_t)Py_tss_NEEDS_INIT;
    if (PyThread_tss_create(key) != 0 || PyThread_tss_set(key, thread) != 0)
        die("start of the interpreter", ENOMEM);
    thread->thread_id = PyThread_get_thread_ident();
    PyOS_AfterFork_Child();
    PyObject *module = PyImport_ImportModule("_ocirun");
    if (!module || describe(module) < 0 || read_environment() < 0) {
        report_exception();
        _exit(1);
    }
    catch_interrupt();
}
