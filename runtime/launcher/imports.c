/* A shorter way to import the program's own modules and those that are built in.
 *
 * importlib takes about 35 us for a module, more than most of ours take to be unmarshalled and executed: finders are
 * asked, a spec and a lock are made, and all of that is Python. Here a frozen module is looked up in a sorted table,
 * unmarshalled and executed. Everything else about `import` (relative names, files, errors) is left to CPython. */
#define _GNU_SOURCE
#include "launcher.h"

#include <marshal.h>
#include <stdlib.h>
#include <string.h>

static PyObject *original, *zero;

static int compare(const void *name, const void *row)
{
    return strcmp(name, ((const struct _frozen *)row)->name);
}

static int execute(PyObject *module, const struct _frozen *row, PyObject *package)
{
    PyObject *names = PyModule_GetDict(module);
    PyObject *path = row->is_package ? PyList_New(0) : NULL;
    if (PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins()) < 0
        || PyDict_SetItemString(names, "__package__", package) < 0
        || (path && PyDict_SetItemString(names, "__path__", path) < 0))
        return -1;
    Py_XDECREF(path);
    PyObject *code = PyMarshal_ReadObjectFromString((const char *)row->code, row->size);
    PyObject *result = code ? PyEval_EvalCode(code, names, names) : NULL;
    Py_XDECREF(code);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int is_built_in(const char *name)
{
    const struct _inittab *each = PyImport_Inittab;
    while (each->name && strcmp(each->name, name) != 0)
        each++;
    return each->name != NULL;
}

/* What importlib has for its own first modules: a spec, and no more. */
static PyObject *built_in_module(PyObject *loaded, PyObject *name)
{
    PyObject *importlib = PyDict_GetItemString(loaded, "_frozen_importlib");
    PyObject *module = importlib ? PyObject_CallMethod(importlib, "_builtin_from_name", "O", name) : NULL;
    Py_XDECREF(module); /* sys.modules has it */
    return module;
}

/* The loaded module (borrowed), packages first, as in importlib; NULL without an exception where it is not one of ours.
 * No lock is taken: no thread of the program imports these modules. */
static PyObject *own_module(PyObject *name)
{
    PyObject *loaded = PyImport_GetModuleDict(), *parent = NULL, *tail = NULL;
    const char *text = PyUnicode_AsUTF8(name);
    const struct _frozen *row = text ? bsearch(text, own_modules, own_modules_count, sizeof *row, compare) : NULL;
    PyObject *module = text ? PyDict_GetItemWithError(loaded, name) : NULL;
    if (!row)
        return text && !module && is_built_in(text) ? built_in_module(loaded, name) : NULL;
    if (module)
        return module;
    const char *dot = strrchr(text, '.');
    PyObject *package = PyUnicode_FromStringAndSize(text, dot ? dot - text : 0);
    if (dot) {
        tail = PyUnicode_InternFromString(dot + 1);
        parent = package && tail ? own_module(package) : NULL;
    }
    if (package && (!dot || parent))
        module = PyImport_AddModuleObject(name);
    if (module && (execute(module, row, row->is_package ? name : package) < 0
                   || (parent && PyObject_SetAttr(parent, tail, module) < 0))) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyDict_DelItem(loaded, name);
        PyErr_Restore(type, value, traceback);
        module = NULL;
    }
    Py_XDECREF(package);
    Py_XDECREF(tail);
    return module;
}

/* `from package import name`: loads the names that are modules of the package; 0 unless every name is there then. */
static int load_members(PyObject *module, PyObject *name, PyObject *members)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(members); i++) {
        PyObject *member = PyTuple_GET_ITEM(members, i);
        if (PyDict_Contains(PyModule_GetDict(module), member))
            continue;
        PyObject *whole = PyUnicode_FromFormat("%U.%U", name, member);
        PyObject *loaded = whole ? own_module(whole) : NULL;
        Py_XDECREF(whole);
        if (!loaded)
            return 0;
    }
    return 1;
}

/* The import statement's result; NULL without an exception where it is importlib's. */
static PyObject *import_own(PyObject *name, PyObject *members)
{
    PyObject *module = own_module(name);
    if (!module || !PyModule_CheckExact(module))
        return NULL;
    if (members && PyTuple_CheckExact(members) && PyTuple_GET_SIZE(members))
        return load_members(module, name, members) ? Py_NewRef(module) : NULL;
    Py_ssize_t dot = PyUnicode_FindChar(name, '.', 0, PyUnicode_GET_LENGTH(name), 1);
    if (dot < 0)
        return Py_NewRef(module);
    PyObject *top = PyUnicode_Substring(name, 0, dot);
    PyObject *package = top ? PyDict_GetItemWithError(PyImport_GetModuleDict(), top) : NULL;
    Py_XDECREF(top);
    return Py_XNewRef(package);
}

/* builtins.__import__(name, globals, locals, fromlist, level), as the `import` statement calls it.
 * SECURITY: where the import system was closed (sys.meta_path is empty), nothing new is loaded here either. */
static PyObject *import(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    (void)self;
    PyObject *finders = PySys_GetObject("meta_path");
    if (!keywords && count >= 4 && PyUnicode_CheckExact(args[0]) && (count == 4 || args[4] == zero) && finders
        && PyList_CheckExact(finders) && PyList_GET_SIZE(finders)) {
        PyObject *module = import_own(args[0], args[3]);
        if (module || PyErr_Occurred())
            return module;
    }
    return PyObject_Vectorcall(original, args, (size_t)count, keywords);
}

static PyMethodDef method = {"__import__", (PyCFunction)(void (*)(void))import, METH_FASTCALL | METH_KEYWORDS, NULL};

int shorten_imports(void)
{
    PyObject *builtins = PyEval_GetBuiltins();
    original = Py_XNewRef(PyDict_GetItemString(builtins, "__import__"));
    zero = PyLong_FromLong(0);
    PyObject *shorter = original && zero ? PyCFunction_New(&method, NULL) : NULL;
    int status = shorter ? PyDict_SetItemString(builtins, "__import__", shorter) : -1;
    Py_XDECREF(shorter);
    return status;
}
