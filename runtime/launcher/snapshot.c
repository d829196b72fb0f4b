/* The interpreter as it is when the hot modules are loaded, as a part of the executable.
 *
 * Starting Python, loading modules and leaving again is most of what a short command would do, and comes out the same each
 * time. So ./dev build starts the launcher once, lets it get that far (hold_still) and writes its data into the executable
 * (snapshot.py): the data segment of the finished launcher is a Python that has started. A process that begins there is in the
 * place of one that fork(2) has made, and does what such a one has to do (wake_up).
 *
 * Everything that is taken along lies at fixed addresses (the executable is not position-independent) in the data segment:
 * while the snapshot is made, memory comes from `region`. Nothing in it may lead outside: to the stack, the heap or a mapping,
 * whose places are others in each process, or to the environment. snapshot.py makes two and compares them. What libc keeps is
 * not taken along; it begins anew. */
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

#define PAGE 4096
#define OFTEN (3 << 19)
#ifdef APART /* for training.py: each block has pages of its own */
#define UNIT PAGE
#define REGION (256 << 20)
#else
#define UNIT sizeof(struct header)
#define REGION (8 << 20)
#endif

/* Where memory comes from while the snapshot is taken: what commands write to at the beginning, then what they do not (place).
 * A section of its own, for training.py, and because snapshot.py leaves out what was not used at its end. */
static char region[OFTEN + REGION] __attribute__((section(".bss.region"), aligned(PAGE)));
static char *next_free[] = {region, region + OFTEN}, *const ends[] = {region + OFTEN, region + sizeof region};
static enum { ABSENT, BEING_TAKEN, TAKEN } state;

int has_snapshot(void)
{
    return state == TAKEN;
}

static int in_region(const void *block)
{
    return (const char *)block >= region && (const char *)block < region + sizeof region;
}

/* What Python calls in place of malloc(3) and its kin (ld's --wrap), and of its own allocators too while the snapshot is taken.
 * A block of the region has this before it: its size, and which allocation it is of those made since the module was begun. */
struct header {
    unsigned size, serial;
    struct header *next; /* of those that are free */
} __attribute__((aligned(16)));

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

/* A process that begins with the snapshot has to copy each page that it writes to, and Python writes to each object that it
 * uses, to count the references. layout.txt has which allocations those are, found by training.py: (first, end) of serial
 * numbers, sorted. */
static unsigned serial, (*written)[2], (*end_of_written)[2];

#define SERIALS 20 /* bits of the serial number that count within a module */
#define SIZES 64   /* so many sizes of 16 bytes have lists of their own */
static struct header *freed[2][SIZES + 1];

static int often(void)
{
    while (written < end_of_written && (*written)[1] <= serial)
        written++;
    return written < end_of_written && (*written)[0] <= serial;
}

static struct header **list_of(int zone, size_t size)
{
    size_t class = (size + 15) / 16;
    return &freed[zone][class < SIZES ? class : SIZES];
}

/* What was freed serves again, if it is as large as it has to be and not twice as large, so that there are few holes. */
static struct header *place(int zone, size_t size)
{
    for (struct header **link = list_of(zone, size), *each; (each = *link); link = &each->next)
        if (each->size >= size && each->size < 2 * size) {
            *link = each->next;
            return each;
        }
    struct header *header = (struct header *)(((uintptr_t)next_free[zone] + UNIT - 1) & ~(UNIT - 1));
    size = (size + 15) & ~(size_t)15;
    if (size > (size_t)(ends[zone] - (char *)(header + 1)))
        die("take the snapshot: the region is too small", ENOMEM);
    next_free[zone] = (char *)(header + 1) + size;
    header->size = (unsigned)size;
    return header;
}

void *__wrap_malloc(size_t size)
{
    if (state != BEING_TAKEN)
        return __real_malloc(size);
    struct header *header = place(often() ? 0 : 1, size ? size : 1);
    header->serial = serial++;
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
    if (!in_region(block) && (block || state != BEING_TAKEN))
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
        struct header **list = list_of((char *)header < region + OFTEN ? 0 : 1, header->size);
        header->next = *list;
        *list = header;
    }
}

/* Each process has its one thread elsewhere, and Python remembers where. */
pthread_t __real_pthread_self(void);
pthread_t __wrap_pthread_self(void);
pthread_t __wrap_pthread_self(void)
{
    return state == BEING_TAKEN ? 0 : __real_pthread_self();
}

static void *object_malloc(void *context, size_t size)
{
    (void)context;
    return __wrap_malloc(size);
}

static void *object_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    return __wrap_calloc(count, size);
}

static void *object_realloc(void *context, void *block, size_t size)
{
    (void)context;
    return __wrap_realloc(block, size);
}

static void object_free(void *context, void *block)
{
    (void)context;
    __wrap_free(block);
}

/* The first MiB of objects, which a start fills, is mapped at once where there is no snapshot: 256 page faults less. */
static void *map_arena(void *context, size_t size)
{
    static int populate = MAP_POPULATE;
    (void)context;
    if (state == BEING_TAKEN)
        return place(1, size) + 1;
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

/* The ranges of serial numbers, from standard input. */
static void read_layout(void)
{
    enum { MOST = 1 << 16 };
    size_t got = 0;
    char *ranges = __real_malloc(MOST);
    for (ssize_t count = 1; ranges && count > 0 && got < MOST; got += (size_t)count)
        if ((count = read(STDIN_FILENO, ranges + got, MOST - got)) < 0)
            die("take the snapshot: read the layout", errno);
    written = (void *)ranges;
    end_of_written = written + got / sizeof *written;
}

/* For ./dev build alone: a launcher that has a snapshot takes no other. It is killed when its memory has been read. */
void hold_still(char **modules)
{
    static const PyMemAllocatorDomain domains[] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
    PyMemAllocatorEx own[2], of_region = {NULL, object_malloc, object_calloc, object_realloc, object_free};
    read_layout();
    for (int i = 0; i < 2; i++) {
        PyMem_GetAllocator(domains[i], &own[i]);
        PyMem_SetAllocator(domains[i], &of_region);
    }
    state = BEING_TAKEN;
    start_python();
    for (unsigned number = 1; *modules; modules++, number++) {
        serial = number << SERIALS;
        if (!PyImport_ImportModule(*modules)) {
            report_exception();
            _exit(1);
        }
    }
    PyGC_Enable();
    PyGC_Collect(); /* with garbage also go the stores of freed objects, so that new ones come to lie on new pages */
    PyGC_Disable();
    for (int i = 0; i < 2; i++)
        PyMem_SetAllocator(domains[i], &own[i]);
    /* The arena of the objects to come, at the end, so that it is not in the file but memory without content. */
    unsigned all[][2] = {{0, UINT_MAX}};
    written = all, end_of_written = all + 1;
    PyObject_Free(PyObject_Malloc(1));
    written = end_of_written = NULL;
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
