/* What the files of the launcher tell one another. */
#ifndef OCIRUN_LAUNCHER_H
#define OCIRUN_LAUNCHER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* How the running executable is protected, and where it was installed. */
struct seal {
    const char *how;  /* "mount", "memfd" or "filesystem" */
    char *installed;  /* absolute path of the file that the caller started */
};

/* seal.c: returns in a process whose executable cannot be opened for writing; otherwise exits with status 1. */
void seal_executable(char **argv, struct seal *seal);
void start_companion(char **argv) __attribute__((noreturn));
void die(const char *doing, int error) __attribute__((noreturn));

/* main.c */
void start_python(void);
void report_exception(void);

/* snapshot.c: a Python that has started, in the executable. */
void prepare_memory(void);
int has_snapshot(void);
void wake_up(void);
void hold_still(char **modules) __attribute__((noreturn));

/* module.c: the built-in module _ocirun, and others that are libraries elsewhere. */
extern struct seal launcher_seal;
extern char launcher_library[];
void remember_words(int argc, char **argv);
PyMODINIT_FUNC PyInit__ocirun(void);
int prepare_imports(void);
int describe(PyObject *module);
PyMODINIT_FUNC PyInit__typing_built_in(void);

/* json.c */
PyObject *read_json(PyObject *text, PyObject *refused);

/* frozen.c: the program's own modules, sorted by name. */
extern const struct _frozen *own_modules;
extern const size_t own_modules_count;

/* imports.c: lets `import` load these modules without importlib. */
int shorten_imports(void);

#endif
