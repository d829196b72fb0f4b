/* What stands for dlopen(3) and its kin in the launcher that is linked statically: it loads no libraries. Python asks for one
 * where a module of the standard library is an extension; the answer becomes an ImportError. What needs a library goes on in
 * the companion (begin_again in module.c), a launcher that can load them. */
#include <dlfcn.h>
#include <stddef.h>

void *dlopen(const char *file, int mode)
{
    (void)file, (void)mode;
    return NULL;
}

void *dlsym(void *handle, const char *name)
{
    (void)handle, (void)name;
    return NULL;
}

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

char *dlerror(void)
{
    return "this program loads no libraries";
}
