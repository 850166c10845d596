/* so.c -- finds the functions of a model. */
#include "tests/embed/so/so.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The address of NAME_what, as ISO C does not convert it. */
static void find(void *library, const char *name, size_t n, const char *what, void *to, size_t size)
{
    char symbol[256];
    (void)snprintf(symbol, sizeof symbol, "%.*s_%s", (int)n, name, what);
    void *at = dlsym(library, symbol);
    memcpy(to, &at, size);
}

So so_open(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t n = strcspn(name, ".");
    const SnProgramDesc *program = NULL;
    So so = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (so.library)
        find(so.library, name, n, "program", &program, sizeof program);
    if (!program || !program->typed) {
        fprintf(stderr, "%s: %s\n", path, so.library ? "no compiled model" : dlerror());
        exit(1);
    }
    so.desc = program->typed;
#define SO_X(result, what, args) find(so.library, name, n, #what, &so.what, sizeof so.what);
    SO_FUNCTIONS(SO_X)
#undef SO_X
    return so;
}

void so_close(So *so)
{
    (void)dlclose(so->library);
    *so = (So){0};
}
