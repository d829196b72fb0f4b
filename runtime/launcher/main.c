/* The entry of ocirun: seals the executable, starts an isolated Python, calls ocirun.cli.main(argv) and leaves. */
#define _GNU_SOURCE
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another module than the program's own: for the tests that look at what is loaded when a command ends. */
#ifndef ENTRY
#define ENTRY "ocirun.cli"
#endif
/* What the launcher asks its companion, with the word ANSWER. */
#define ANSWERING "ocirun.answering"
#define ANSWER "--answer"

/* Every later open() would land on a closed 0, 1 or 2, and be taken for standard input, output or error. */
static void open_standard_fds(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            die("open /dev/null as a missing standard file", errno);
}

static void check(PyStatus status)
{
    if (PyStatus_Exception(status)) {
        dprintf(STDERR_FILENO, "ocirun: start of the interpreter: %s\n", status.err_msg ? status.err_msg : "failed");
        _exit(1);
    }
}

/* <folder of the installed executable>/../lib/ocirun, without the "bin/.." where it can be seen. */
static void find_library(const char *installed)
{
    const char *slash = strrchr(installed, '/');
    int folder = slash ? (int)(slash - installed) : 0;
    const char *up = "/..";
    if (folder >= 4 && strncmp(installed + folder - 4, "/bin", 4) == 0) {
        folder -= 4;
        up = "";
    }
    if (snprintf(launcher_library, PATH_MAX, "%.*s%s/lib/ocirun", folder, installed, up) >= PATH_MAX)
        die("path of the library folder", ENAMETOOLONG);
}

/* SECURITY: who can write there can replace what runs with the caller's rights. cold.py looks at the owners too. */
static void check_library(void)
{
    struct stat found;
    if (stat(launcher_library, &found) < 0)
        die("look at the library folder", errno);
    if (found.st_mode & (S_IWGRP | S_IWOTH))
        die("refusing to run with a library folder that others can write to", EPERM);
}

static void add_search_path(PyConfig *config, const char *path)
{
    wchar_t *wide = Py_DecodeLocale(path, NULL);
    check(wide ? PyWideStringList_Append(&config->module_search_paths, wide) : PyStatus_NoMemory());
    PyMem_RawFree(wide);
}

/* Isolated: no environment, no site, no user folder, no signal handlers, and every path given, so none is searched for.
 * Only CPython's "core" phase is run: built-in and frozen modules can be imported, files cannot, and there are no streams.
 * The hot commands need no more; complete() in module.c does the rest for the others. */
void start_python(void)
{
    prepare_memory();
    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    preconfig.configure_locale = 0;
    check(Py_PreInitialize(&preconfig));
    if (PyImport_AppendInittab("_ocirun", PyInit__ocirun) < 0 || PyImport_AppendInittab("_typing", PyInit__typing_built_in) < 0)
        die("start of the interpreter", ENOMEM);

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config._init_main = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.parse_argv = 0;
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    config.module_search_paths_set = 1;
    /* A seed that everybody knows, so that a build makes the same snapshot again. Keys that collide in all bits of a SipHash
     * cannot be computed from it; they have to be tried out, 2^64 times for each. */
    config.use_hash_seed = 1;
    config.hash_seed = 1;
    wchar_t **names[] = {&config.program_name, &config.executable, &config.base_executable}; /* complete() has the true ones */
    for (int i = 0; i < 3; i++)
        check(PyConfig_SetBytesString(&config, names[i], "ocirun"));
    wchar_t **prefixes[] = {&config.home, &config.prefix, &config.base_prefix, &config.exec_prefix, &config.base_exec_prefix};
    for (int i = 0; i < 5; i++)
        check(PyConfig_SetBytesString(&config, prefixes[i], PREFIX));
    check(PyConfig_SetBytesString(&config, &config.stdlib_dir, STDLIB));
    add_search_path(&config, STDLIB_DYNLOAD);
    add_search_path(&config, STDLIB);
    check(Py_InitializeFromConfig(&config));
    PyConfig_Clear(&config);
    PyGC_Disable(); /* a command is short: collecting while its modules load finds nothing */
    if (prepare_imports() < 0) {
        report_exception();
        _exit(1);
    }
}

/* One line instead of a traceback: formatting one opens source files, which inside a container are the image's. */
void report_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *text = value ? PyObject_Str(value) : NULL;
    PyObject *bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
    char *message = bytes ? PyBytes_AS_STRING(bytes) : "";
    for (char *c = message; (c = strchr(c, '\n'));)
        *c = ' ';
    PyObject *cause = value ? PyException_GetCause(value) : NULL; /* of a SystemError: what an importer did not hand on */
    if (PyErr_GivenExceptionMatches(value, PyExc_MemoryError) || PyErr_GivenExceptionMatches(cause, PyExc_MemoryError))
        dprintf(STDERR_FILENO, "ocirun: out of memory\n");
    else if (PyErr_GivenExceptionMatches(value, PyExc_ImportError))
        dprintf(STDERR_FILENO, "ocirun: load the runtime's own code: %s\n", message);
    else
        dprintf(STDERR_FILENO, "ocirun: internal error: %s: %s\n", type ? ((PyTypeObject *)type)->tp_name : "unknown", message);
}

/* The exception has undone what the command had begun; the caller sees a program that SIGINT has ended. Returns in the
 * first process of a pid namespace, which its own signals do not end. */
static void end_interrupted(void)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &held, NULL);
    raise(SIGINT);
}

static int run_main(int argc, char **argv)
{
    const char *entry = !has_snapshot() && argc > 2 && strcmp(argv[1], ANSWER) == 0 ? ANSWERING : ENTRY;
    PyObject *arguments = PyList_New(0);
    for (int i = 1; arguments && i < argc; i++) {
        PyObject *argument = PyUnicode_DecodeUTF8(argv[i], (Py_ssize_t)strlen(argv[i]), "surrogateescape");
        if (!argument || PyList_Append(arguments, argument) < 0)
            Py_CLEAR(arguments);
    }
    PyObject *cli = arguments ? PyImport_ImportModule(entry) : NULL;
    PyObject *result = cli ? PyObject_CallMethod(cli, "main", "O", arguments) : NULL;
    long status = result ? PyLong_AsLong(result) : -1;
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        end_interrupted();
        PyErr_Clear();
        status = 128 + SIGINT;
    } else if (PyErr_Occurred()) {
        report_exception();
        status = 1;
    }
    const char *streams[] = {"stdout", "stderr"};
    for (int i = 0; i < 2; i++) {
        PyObject *stream = PySys_GetObject(streams[i]);
        if (stream && stream != Py_None && !PyObject_CallMethod(stream, "flush", NULL))
            status = status ? status : 1;
        PyErr_Clear();
    }
    return (int)status;
}

int main(int argc, char **argv)
{
    open_standard_fds();
    if (argc < 1)
        die("refusing to run without a program name", EINVAL);
    if (!has_snapshot() && argc > 2 && strcmp(argv[1], "--hold-still") == 0)
        hold_still(argv + 2);
    /* SECURITY: first of all, before any file is read. PR_SET_DUMPABLE is not cleared here: it would give /proc/self to
     * root, and a caller without privileges could not write the id maps of its own user namespace. The seal does not
     * depend on it; Python clears it in each process that enters a container, before it enters. */
    seal_executable(argv, &launcher_seal);
    prctl(PR_SET_NAME, "ocirun");
    remember_words(argc, argv);
    find_library(launcher_seal.installed);
    check_library();
    if (has_snapshot())
        wake_up();
    else
        start_python();
    /* Leaving without the interpreter's teardown: nothing is left that would need it. */
    _exit(run_main(argc, argv));
}
