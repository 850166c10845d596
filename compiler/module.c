/* module.c -- opens modules, which are made of the same sources as libsinter or refused.
 *
 * A module has its own copy of the libsinter functions that it calls, and works on structs of libsinter's.
 * Its build id is a hash of the headers that it was made with (tools/build_id.sh). */
#define _GNU_SOURCE /* dladdr */
#include "compiler/sn_build_id.h"
#include "compiler/target.h"

#include <dlfcn.h>

/* The symbol's address, if the module is of this build. */
static SnStatus find_symbol(void *module, const char *path, const char *symbol, void **out, SnError *err)
{
    void *const id = dlsym(module, "sn_module_build"), *const found = dlsym(module, symbol);
    SnModuleBuildFn *build = NULL;
    Dl_info info;
    memcpy(&build, &id, sizeof build); /* C has no cast from data to function pointers */
    if ((id != NULL && dladdr(id, &info) != 0) || (found != NULL && dladdr(found, &info) != 0))
        path = info.dli_fname;
    SN_CHECK(found != NULL, err, SN_EUNSUPPORTED, "%s: lacks %s: not a module of sinter", path, symbol);
    SN_CHECK(build != NULL && strcmp(build(), SN_BUILD_ID) == 0, err, SN_EUNSUPPORTED,
             "%s: of another build (%s, this is %s): build and install it with libsinter", path,
             build != NULL ? build() : "older", SN_BUILD_ID);
    *out = found;
    return SN_OK;
}

SnStatus sn_module_open(SnContext *ctx, const char *dir, const char *file, const char *symbol, bool stays,
                        void **module, void **out, SnError *err)
{
    SnText path = {.memory = sn_allocator(ctx)};
    sn_text_printf(&path, "%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", file);
    if (path.failed) {
        sn_text_clear(&path);
        return sn_fail(err, SN_ENOMEM, "no memory to open %s", file);
    }
    SnStatus st = SN_OK;
    void *const so = dlopen(path.at, RTLD_NOW | RTLD_LOCAL | (stays ? RTLD_NODELETE : 0));
    if (so == NULL)
        st = sn_fail(err, SN_EUNSUPPORTED, "cannot open a module: %s", dlerror());
    else
        st = find_symbol(so, path.at, symbol, out, err);
    if (st == SN_OK)
        *module = so;
    else if (so != NULL)
        (void)dlclose(so);
    sn_text_clear(&path);
    return st;
}
