/* hostcc.c -- the backend "clike": kernels as C, compiled by this machine's cc and opened as a shared object.
 *
 * For tests, and for machines that LLVM does not reach: it starts a process and writes to the temporary
 * directory. Where there is no compiler it says so. */
#include "backends/clike/clike.h"

#include "runtime/cpu.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct Module {
    SnModule base;
    const SnAllocator *memory;
    void *object;
    SnKernelFn **fn; /* nkernel */
} Module;

static void clike_destroy(SnModule *module)
{
    if (module == NULL)
        return;
    Module *m = (Module *)module;
    const SnAllocator *memory = m->memory;
    if (m->object != NULL)
        dlclose(m->object);
    sn_free(memory, m->fn, m->base.nkernel * sizeof *m->fn, _Alignof(SnKernelFn *));
    sn_free(memory, m, sizeof *m, _Alignof(Module));
}

static SnStatus clike_run(SnModule *module, uint32_t i, void *const *buffers, const uint64_t *sizes,
                          const int64_t *dims, int64_t first, int64_t last, SnError *err)
{
    (void)sizes;
    SN_CHECK(i < module->nkernel, err, SN_EINVAL, "kernel %u of %u", i, module->nkernel);
    module->fn[i](buffers, dims, first, last);
    return SN_OK;
}

static SnStatus print_all(const SnKernel *const *k, uint32_t n, SnText *text, SnError *err)
{
    sn_clike_prelude(&sn_dialect_c, true, text);
    for (uint32_t i = 0; i < n; i++) {
        char symbol[32];
        uint32_t lanes;
        (void)snprintf(symbol, sizeof symbol, "sn_k%" PRIu32, i);
        SN_TRY(sn_clike_print(&sn_dialect_c, k[i], symbol, text, &lanes, err));
    }
    return SN_OK;
}

typedef struct Files {
    char folder[200], source[220], object[220];
} Files;

static SnStatus make_files(Files *f, SnError *err)
{
    const char *tmp = getenv("TMPDIR");
    const int n = snprintf(f->folder, sizeof f->folder, "%s/sinter-XXXXXX", tmp != NULL ? tmp : "/tmp");
    SN_CHECK(n > 0 && (size_t)n < sizeof f->folder && mkdtemp(f->folder) != NULL, err, SN_EIO,
             "cannot make a temporary folder: %s", strerror(errno));
    (void)snprintf(f->source, sizeof f->source, "%s/kernels.c", f->folder);
    (void)snprintf(f->object, sizeof f->object, "%s/kernels.so", f->folder);
    return SN_OK;
}

static void remove_files(const Files *f)
{
    (void)unlink(f->source);
    (void)unlink(f->object);
    (void)rmdir(f->folder);
}

static SnStatus compile(Files *f, SnError *err)
{
    static const char *const option[] = {
        "cc",      "-std=c11", "-O2", "-march=native", "-fno-math-errno", "-ffp-contract=off", "-w",
        "-shared", "-fPIC",    "-o"};
    char word[SN_COUNT(option)][20];
    char *argv[SN_COUNT(option) + 4];
    for (size_t i = 0; i < SN_COUNT(option); i++) {
        (void)snprintf(word[i], sizeof word[i], "%s", option[i]);
        argv[i] = word[i];
    }
    char libm[] = "-lm";
    char **rest = argv + SN_COUNT(option);
    rest[0] = f->object;
    rest[1] = f->source;
    rest[2] = libm;
    rest[3] = NULL;
    pid_t child;
    const int code = posix_spawnp(&child, argv[0], NULL, NULL, argv, environ);
    SN_CHECK(code == 0, err, SN_EUNSUPPORTED, "clike: no C compiler: %s", strerror(code));
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        SN_CHECK(errno == EINTR, err, SN_EIO, "clike: lost the C compiler: %s", strerror(errno));
    }
    SN_CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 127, err, SN_EUNSUPPORTED, "clike: no C compiler");
    SN_CHECK(WEXITSTATUS(status) == 0, err, SN_EINTERNAL, "clike: the C compiler refused the kernels");
    return SN_OK;
}

static SnStatus open_object(Module *m, const Files *f, SnError *err)
{
    m->object = dlopen(f->object, RTLD_NOW | RTLD_LOCAL);
    SN_CHECK(m->object != NULL, err, SN_EIO, "clike: cannot open the kernels: %s", dlerror());
    for (uint32_t i = 0; i < m->base.nkernel; i++) {
        char symbol[32];
        (void)snprintf(symbol, sizeof symbol, "sn_k%" PRIu32, i);
        void *const at = dlsym(m->object, symbol);
        SN_CHECK(at != NULL, err, SN_EINTERNAL, "clike: %s is missing", symbol);
        memcpy(&m->fn[i], &at, sizeof at); /* C has no cast from data to function pointers */
    }
    return SN_OK;
}

static SnStatus build_files(SnContext *ctx, Module *m, const SnText *text, SnError *err)
{
    Files f = {{0}, {0}, {0}};
    SN_TRY(make_files(&f, err));
    const SnBytes part = sn_bytes(text->at, text->n);
    SnStatus st = sn_file_write(ctx, f.source, &part, 1, err);
    if (st == SN_OK)
        st = compile(&f, err);
    if (st == SN_OK)
        st = open_object(m, &f, err);
    remove_files(&f);
    return st;
}

static SnStatus clike_build(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n,
                            SnModule **out, SnError *err)
{
    (void)t;
    const SnAllocator *memory = sn_allocator(ctx);
    SnText text = {.memory = memory};
    Module *m = (Module *)sn_alloc_zero(memory, sizeof *m, _Alignof(Module));
    SN_CHECK(m != NULL, err, SN_ENOMEM, "no memory for a module");
    m->memory = memory;
    m->base = (SnModule){.destroy = clike_destroy, .run = clike_run, .nkernel = n};
    m->fn = (SnKernelFn **)sn_alloc_zero(memory, n * sizeof *m->fn, _Alignof(SnKernelFn *));
    m->base.fn = m->fn;
    SnStatus st = m->fn != NULL ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory for %u kernels", n);
    if (st == SN_OK)
        st = print_all(k, n, &text, err);
    if (st == SN_OK)
        st = build_files(ctx, m, &text, err);
    sn_text_clear(&text);
    if (st == SN_OK)
        *out = &m->base;
    else
        clike_destroy(&m->base);
    return st;
}

static SnStatus clike_probe(SnContext *ctx, int index, SnTarget *t, SnError *err)
{
    (void)ctx;
    SN_CHECK(index == 0, err, SN_EUNSUPPORTED, "clike:%d: there is one C compiler", index);
    *t = (SnTarget){.name = "clike",
                    .level = sn_cpu_level_name(SN_CPU_BASE),
                    .vector_bytes = 64,
                    .vector_count = 32,
                    .l1_bytes = 32 << 10,
                    .l2_bytes = 1 << 20,
                    .has_dot4 = true};
    return SN_OK;
}

const SnBackend sn_backend_clike = {
    .name = "clike", .probe = clike_probe, .build = clike_build, .emit = sn_clike_emit};
