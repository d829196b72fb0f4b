/* The built-in module _ocirun: the two raw calls and the reader of JSON that the hot path needs, what the launcher knows, and its
 * second phase. */
#define _GNU_SOURCE
#define Py_BUILD_CORE 1
#include "launcher.h"

#include <errno.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_pylifecycle.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct seal launcher_seal = {"", (char[]){""}}; /* as long as a snapshot is taken */
char launcher_library[PATH_MAX];

/* One argument of a system call as a register; a buffer that was opened has to be released afterwards. */
static int to_register(PyObject *object, long *value, Py_buffer *buffer)
{
    if (object == Py_None) {
        *value = 0;
    } else if (PyLong_Check(object)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow > 0)
            number = (long long)PyLong_AsUnsignedLongLong(object);
        else if (overflow < 0)
            PyErr_SetString(PyExc_OverflowError, "int too small for a register");
        *value = (long)number;
    } else if (PyBytes_Check(object)) {
        *value = (long)(intptr_t)PyBytes_AS_STRING(object);
    } else if (PyObject_GetBuffer(object, buffer, PyBUF_WRITABLE) == 0) {
        *value = (long)(intptr_t)buffer->buf;
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *raw_syscall(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    long registers[7] = {0};
    Py_buffer buffers[7] = {{0}};
    PyObject *result = NULL;
    (void)module;
    if (count < 1 || count > 7)
        return PyErr_Format(PyExc_TypeError, "syscall takes a number and up to 6 arguments");
    Py_ssize_t i;
    for (i = 0; i < count; i++)
        if (to_register(args[i], &registers[i], &buffers[i]) < 0)
            goto out;
    long answer = syscall(registers[0], registers[1], registers[2], registers[3], registers[4], registers[5], registers[6]);
    result = PyLong_FromLong(answer == -1 ? -errno : answer);
out:
    for (i = 0; i < count; i++)
        if (buffers[i].obj)
            PyBuffer_Release(&buffers[i]);
    return result;
}

static PyObject *raw_clone3(PyObject *module, PyObject *args)
{
    unsigned long long flags;
    int exit_signal, cgroup = -1, pidfd = -1;
    (void)module;
    if (!PyArg_ParseTuple(args, "Ki|i:clone3", &flags, &exit_signal, &cgroup))
        return NULL;
    struct clone_args request = {
        .flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = (uint64_t)exit_signal,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    PyOS_BeforeFork();
    long pid = syscall(SYS_clone3, &request, sizeof request);
    int error = errno;
    if (pid == 0)
        PyOS_AfterFork_Child();
    else
        PyOS_AfterFork_Parent();
    return Py_BuildValue("li", pid < 0 ? -error : pid, pid > 0 ? pidfd : -1);
}

static PyObject *call_read_json(PyObject *module, PyObject *args)
{
    PyObject *text, *refused;
    (void)module;
    return PyArg_ParseTuple(args, "UO:read_json", &text, &refused) ? read_json(text, refused) : NULL;
}

static PyStatus name_executable(void)
{
    PyConfig *config = (PyConfig *)_PyInterpreterState_GetConfig(PyInterpreterState_Get());
    wchar_t **names[] = {&config->program_name, &config->executable, &config->base_executable};
    PyStatus status = PyStatus_Ok();
    for (int i = 0; i < 3 && !PyStatus_Exception(status); i++)
        status = PyConfig_SetBytesString(config, names[i], launcher_seal.installed);
    return status;
}

/* The second phase of the interpreter's start: imports from files, codecs, sys.stdin, sys.stdout and sys.stderr. */
static PyObject *complete(PyObject *module, PyObject *unused)
{
    static int done;
    (void)module, (void)unused;
    if (!done) {
        done = 1;
        PyObject *added = PySys_GetObject("path"); /* what the program has put there until now comes last */
        Py_XINCREF(added);
        PyStatus status = name_executable();
        if (!PyStatus_Exception(status))
            status = _Py_InitializeMain();
        if (PyStatus_Exception(status))
            return PyErr_Format(PyExc_RuntimeError, "start of the interpreter: %s", status.err_msg);
        PyObject *path = PySys_GetObject("path");
        if (added && path && PyList_SetSlice(path, PyList_GET_SIZE(path), PyList_GET_SIZE(path), added) < 0)
            return NULL;
        Py_XDECREF(added);
    }
    Py_RETURN_NONE;
}

/* The module stands in sys.meta_path, and is asked for a module that is neither built in nor frozen: a cold command needs
 * the second phase, which adds the finder that reads files behind this one. */
static PyObject *find_spec(PyObject *module, PyObject *args)
{
    (void)args;
    return complete(module, NULL);
}

/* Where the kernel has put the command line and the environment: one string behind the other. */
static char *words_begin, *words_end, **command_line;

void remember_words(int argc, char **argv)
{
    command_line = argv;
    words_begin = words_end = argv[0];
    for (int i = 0; i < argc && argv[i] == words_end; i++)
        words_end += strlen(argv[i]) + 1;
    for (char **each = environ; *each && *each == words_end; each++)
        words_end += strlen(*each) + 1;
}

/* SECURITY: a process that enters a container shows its command line there to everybody, and its environment to who has
 * CAP_SYS_PTRACE: both are the host's. Python has its own copies. */
static PyObject *forget(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    const char name[] = "ocirun";
    size_t size = (size_t)(words_end - words_begin);
    memset(words_begin, 0, size);
    memcpy(words_begin, name, size < sizeof name ? 0 : sizeof name);
    Py_RETURN_NONE;
}

/* Goes on as the companion, which can load libraries, with these words or the same command line; returns where this program can. */
static PyObject *begin_again(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    char *words[8] = {launcher_seal.installed};
    (void)module;
    if (!has_snapshot())
        Py_RETURN_NONE;
    if (count == 0)
        start_companion(command_line);
    for (Py_ssize_t i = 0; i < count && i < 6; i++)
        if (!(words[i + 1] = (char *)PyUnicode_AsUTF8(args[i])))
            return NULL;
    start_companion(words);
}

/* Memory that the processes share that this one makes. */
static PyObject *shared(PyObject *module, PyObject *wanted)
{
    size_t size = PyLong_AsSize_t(wanted);
    (void)module;
    if (PyErr_Occurred())
        return NULL;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? PyErr_SetFromErrno(PyExc_OSError) : PyMemoryView_FromMemory(memory, (Py_ssize_t)size, PyBUF_WRITE);
}

static PyMethodDef methods[] = {
    {"begin_again", (PyCFunction)(void (*)(void))begin_again, METH_FASTCALL, NULL},
    {"shared", shared, METH_O, NULL},
    {"forget", forget, METH_NOARGS, NULL},
    {"complete", complete, METH_NOARGS, NULL},
    {"find_spec", find_spec, METH_VARARGS, NULL},
    {"syscall", (PyCFunction)(void (*)(void))raw_syscall, METH_FASTCALL, NULL},
    {"clone3", raw_clone3, METH_VARARGS, NULL},
    {"read_json", call_read_json, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_ocirun", NULL, -1, methods, NULL, NULL, NULL, NULL};

static int add_path(PyObject *module, const char *name, const char *path)
{
    PyObject *text = PyUnicode_DecodeFSDefault(path);
    int status = text ? PyModule_AddObjectRef(module, name, text) : -1;
    Py_XDECREF(text);
    return status;
}

/* What the launcher knows of this process. */
int describe(PyObject *module)
{
    if (PyModule_AddStringConstant(module, "sealed", launcher_seal.how) < 0
        || add_path(module, "executable", launcher_seal.installed) < 0 || add_path(module, "library", launcher_library) < 0)
        return -1;
    return 0;
}

PyMODINIT_FUNC PyInit__ocirun(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module && (PyModule_AddStringConstant(module, "version", OCIRUN_VERSION) < 0 || describe(module) < 0))
        Py_CLEAR(module);
    return module;
}

/* typing(3) takes one function from here, which is a library up to Python 3.11, and built in after it. */
static PyObject *identity(PyObject *module, PyObject *object)
{
    (void)module;
    return Py_NewRef(object);
}

PyMODINIT_FUNC PyInit__typing_built_in(void)
{
    static PyMethodDef functions[] = {{"_idfunc", identity, METH_O, NULL}, {NULL, NULL, 0, NULL}};
    static struct PyModuleDef typing = {PyModuleDef_HEAD_INIT, "_typing", NULL, -1, functions, NULL, NULL, NULL, NULL};
    return PyModule_Create(&typing);
}

/* What the second phase would bring, and the first is used with: the state of signals, without which _signal cannot be loaded
 * (no handler is installed), and a sys.path, empty until complete(), which code that closes the import system clears. */
int prepare_imports(void)
{
    if (_PySignal_Init(0) < 0)
        return -1;
    PyObject *module = PyImport_ImportModule("_ocirun");
    PyObject *finders = PySys_GetObject("meta_path");
    PyObject *path = PyList_New(0);
    int status = module && finders && path ? PyList_Append(finders, module) : -1;
    status = status < 0 ? -1 : PySys_SetObject("path", path);
    Py_XDECREF(path);
    Py_XDECREF(module);
    return status < 0 ? -1 : shorten_imports();
}
