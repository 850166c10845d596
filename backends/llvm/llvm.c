/* llvm.c -- the backend row "llvm": kernels from the cache, the rest from sinter-llvm.so.
 *
 * What was compiled together lies in one object, cached under a hash of its kernels' keys. A kernel's own
 * entry, under its key, is the name of that object; so a kernel is found whatever it is asked for together
 * with. */
#include "backends/llvm/llvm.h"

#include "backends/backends.h"
#include "runtime/cache.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define SYMBOL_SIZE 40

typedef struct Object {
    SnHash128 key;
    SnObjectCode *code; /* NULL: it is not there or not good */
} Object;

typedef struct Native {
    SnModule base;
    const SnAllocator *memory;
    SnArena arena;
    SnKernelFn **fn;
    SN_VEC(Object) object;
} Native;

typedef struct Build {
    SnContext *ctx;
    const SnTarget *target;
    SnCpuLevel level;
    const SnKernel *const *kernel; /* NULL: only those that are kept */
    uint32_t n;
    SnHash128 *key;
    Native *native;
} Build;

/* ---- keys and names ---- */

static bool same_key(SnHash128 a, SnHash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static SnHash128 kernel_key(SnHash128 key, SnCpuLevel level, bool exact)
{
    const uint64_t part[] = {key.lo, key.hi, (uint64_t)level, exact, SN_LLVM_VERSION};
    return sn_hash128(part, sizeof part, 0);
}

static void symbol_name(SnHash128 key, char out[SYMBOL_SIZE])
{
    (void)snprintf(out, SYMBOL_SIZE, "k%016" PRIx64 "%016" PRIx64, key.hi, key.lo);
}

static SnStatus find_level(const char *name, SnCpuLevel *out, SnError *err)
{
    for (SnCpuLevel i = SN_CPU_V3; i < SN_CPU_LEVEL_COUNT; i++) {
        if (name != NULL && strcmp(sn_cpu_level_name(i), name) == 0) {
            *out = i;
            return SN_OK;
        }
    }
    return sn_fail(err, SN_EUNSUPPORTED, "native code for CPU level %s: AVX2 (v3) is the least",
                   name != NULL ? name : "?");
}

/* ---- the cache ---- */

static SnObjectCode *cached_object(Build *b, SnHash128 key)
{
    Native *m = b->native;
    for (size_t i = 0; i < m->object.n; i++)
        if (same_key(m->object.at[i].key, key))
            return m->object.at[i].code;
    SnFile *file = NULL;
    SnBytes blob;
    SnObjectCode *code = NULL;
    if (sn_cache_get(b->ctx, key, &file, &blob)) {
        SnError err = {0};
        if (sn_object_open(b->ctx, blob, &code, &err) != SN_OK)
            sn_log_write(b->ctx, SN_LOG_WARN, "cached kernels are not used: %s", err.message);
        sn_file_release(file);
    }
    if (!sn_vec_push(m->memory, &m->object, (Object){key, code})) {
        sn_object_close(code);
        return NULL;
    }
    return code;
}

static SnKernelFn *cached_kernel(Build *b, SnHash128 key)
{
    SnFile *file = NULL;
    SnBytes blob;
    SnHash128 object_key;
    if (!sn_cache_get(b->ctx, key, &file, &blob))
        return NULL;
    const bool is_entry = blob.n == sizeof object_key;
    if (is_entry)
        memcpy(&object_key, blob.at, sizeof object_key);
    sn_file_release(file);
    const SnObjectCode *code = is_entry ? cached_object(b, object_key) : NULL;
    char symbol[SYMBOL_SIZE];
    symbol_name(key, symbol);
    return code != NULL ? sn_object_find(code, symbol) : NULL;
}

static void keep_object(const Build *b, SnHash128 object_key, SnBytes bytes, const uint32_t *missing,
                        uint32_t n)
{
    if (!sn_cache_put(b->ctx, object_key, bytes))
        return;
    for (uint32_t i = 0; i < n; i++)
        (void)sn_cache_put(b->ctx, b->key[missing[i]], sn_bytes(&object_key, sizeof object_key));
    sn_cache_prune(b->ctx, SN_CACHE_BYTES);
}

/* ---- the module ---- */

/* It stays in memory once it was needed: LLVM cannot be unloaded and loaded again. */
static SnStatus open_codegen(SnContext *ctx, const SnTarget *t, const SnLlvmCodegen **out, SnError *err)
{
    void *so = NULL, *symbol = NULL;
    SnLlvmCodegenFn *fn = NULL;
    SN_TRY(sn_module_open(ctx, t->module_dir, SN_LLVM_MODULE, SN_LLVM_SYMBOL, true, &so, &symbol, err));
    memcpy(&fn, &symbol, sizeof fn);
    *out = fn();
    (void)dlclose(so);
    return SN_OK;
}

/* Compiles the kernels that are missing and fills in their functions. */
static SnStatus compile(Build *b, const uint32_t *missing, uint32_t n, SnError *err)
{
    Native *m = b->native;
    const SnLlvmCodegen *codegen = NULL;
    SN_TRY(open_codegen(b->ctx, b->target, &codegen, err));
    SnLlvmKernel *kernel = (SnLlvmKernel *)sn_arena_array(&m->arena, n, sizeof *kernel);
    SnHash128 *key = (SnHash128 *)sn_arena_array(&m->arena, n, sizeof *key);
    char(*symbol)[SYMBOL_SIZE] = (char(*)[SYMBOL_SIZE])sn_arena_array(&m->arena, n, sizeof *symbol);
    SN_CHECK(kernel != NULL && key != NULL && symbol != NULL, err, SN_ENOMEM, "no memory for %u kernels",
             (unsigned)n);
    for (uint32_t i = 0; i < n; i++) {
        key[i] = b->key[missing[i]];
        symbol_name(key[i], symbol[i]);
        kernel[i] = (SnLlvmKernel){b->kernel[missing[i]], symbol[i], b->level};
    }
    const SnLlvmObject o = {.kernel = kernel, .nkernel = n};
    uint8_t *at = NULL;
    size_t size = 0;
    SN_TRY(codegen->make(b->ctx, &o, &at, &size, err));
    SnObjectCode *code = NULL;
    SnStatus st = sn_object_open(b->ctx, sn_bytes(at, size), &code, err);
    const SnHash128 object_key = sn_hash128(key, n * sizeof *key, SN_LLVM_VERSION);
    if (st == SN_OK && !sn_vec_push(m->memory, &m->object, (Object){object_key, code})) {
        sn_object_close(code);
        st = sn_fail(err, SN_ENOMEM, "no memory for %u kernels", (unsigned)n);
    }
    for (uint32_t i = 0; i < n && st == SN_OK; i++) {
        m->fn[missing[i]] = sn_object_find(code, symbol[i]);
        if (m->fn[missing[i]] == NULL)
            st = sn_fail(err, SN_EINTERNAL, "kernel %s was not compiled", kernel[i].kernel->name);
    }
    if (st == SN_OK)
        keep_object(b, object_key, sn_bytes(at, size), missing, n);
    sn_free(sn_allocator(b->ctx), at, size, 1);
    return st;
}

/* ---- callable kernels ---- */

static void native_destroy(SnModule *module)
{
    if (module == NULL)
        return;
    Native *m = (Native *)(void *)module;
    for (size_t i = 0; i < m->object.n; i++)
        sn_object_close(m->object.at[i].code);
    sn_vec_clear(m->memory, &m->object);
    sn_arena_clear(&m->arena);
    sn_free(m->memory, m, sizeof *m, _Alignof(Native));
}

static SnStatus native_run(SnModule *m, uint32_t i, void *const *buffers, const uint64_t *sizes,
                           const int64_t *dims, int64_t first, int64_t last, SnError *err)
{
    (void)sizes;
    SN_CHECK(i < m->nkernel, err, SN_EINVAL, "kernel %u of %u", (unsigned)i, (unsigned)m->nkernel);
    const uint32_t saved = sn_fpenv_begin();
    m->fn[i](buffers, dims, first, last);
    sn_fpenv_end(saved);
    return SN_OK;
}

/* Equal kernels have equal keys and share one function. *done: all are there. */
static SnStatus fill(Build *b, bool *done, SnError *err)
{
    Native *m = b->native;
    SnMap first;
    sn_map_init(&first, m->memory);
    uint32_t *missing = (uint32_t *)sn_arena_array(&m->arena, b->n, sizeof *missing), nmissing = 0;
    uint32_t *same = (uint32_t *)sn_arena_array(&m->arena, b->n, sizeof *same);
    SnStatus st = SN_OK;
    for (uint32_t i = 0; i < b->n && missing != NULL && same != NULL; i++) {
        const SnBytes key = sn_bytes(&b->key[i], sizeof b->key[i]);
        same[i] = i;
        if (sn_map_get(&first, key, &same[i]))
            continue;
        if (!sn_map_put(&first, key, i))
            st = SN_ENOMEM;
        m->fn[i] = cached_kernel(b, b->key[i]);
        if (m->fn[i] == NULL)
            missing[nmissing++] = i;
    }
    sn_map_clear(&first);
    SN_CHECK(st == SN_OK && missing != NULL && same != NULL, err, SN_ENOMEM, "no memory for %u kernels",
             (unsigned)b->n);
    m->base.ncached = b->n;
    *done = nmissing == 0 || b->kernel != NULL;
    if (!*done)
        return SN_OK;
    if (nmissing > 0)
        SN_TRY(compile(b, missing, nmissing, err));
    for (uint32_t i = 0; i < nmissing; i++) {
        for (uint32_t j = missing[i]; j < b->n; j++)
            m->base.ncached -= same[j] == missing[i];
    }
    for (uint32_t i = 0; i < b->n; i++)
        m->fn[i] = m->fn[same[i]];
    return SN_OK;
}

/* k: the kernels, or key: theirs. *out NULL: not all of those are kept. */
static SnStatus make_module(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, const SnHash128 *key,
                            uint32_t n, SnModule **out, SnError *err)
{
    Build b = {.ctx = ctx, .target = t, .kernel = k, .n = n};
    bool done = false;
    SN_TRY(find_level(t->level, &b.level, err));
    const SnAllocator *a = sn_allocator(ctx);
    Native *m = (Native *)sn_alloc_zero(a, sizeof *m, _Alignof(Native));
    SN_CHECK(m != NULL, err, SN_ENOMEM, "no memory for %u kernels", (unsigned)n);
    m->memory = a;
    sn_arena_init(&m->arena, a);
    b.native = m;
    b.key = (SnHash128 *)sn_arena_array(&m->arena, n, sizeof *b.key);
    m->fn = (SnKernelFn **)sn_arena_array(&m->arena, n, sizeof *m->fn);
    SnStatus st = SN_OK;
    if (b.key == NULL || m->fn == NULL)
        st = sn_fail(err, SN_ENOMEM, "no memory for %u kernels", (unsigned)n);
    for (uint32_t i = 0; i < n && st == SN_OK; i++)
        b.key[i] = kernel_key(k != NULL ? k[i]->key : key[i], b.level, t->exact);
    m->base = (SnModule){.destroy = native_destroy, .run = native_run, .fn = m->fn, .nkernel = n};
    if (st == SN_OK)
        st = fill(&b, &done, err);
    *out = done && st == SN_OK ? &m->base : NULL;
    if (*out == NULL)
        native_destroy(&m->base);
    return st;
}

static SnStatus llvm_build(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n,
                           SnModule **out, SnError *err)
{
    return make_module(ctx, t, k, NULL, n, out, err);
}

static SnStatus llvm_find(SnContext *ctx, const SnTarget *t, const SnHash128 *key, uint32_t n, SnModule **out,
                          SnError *err)
{
    return make_module(ctx, t, NULL, key, n, out, err);
}

/* ---- facts and objects ---- */

static uint32_t cache_bytes(int name, uint32_t otherwise)
{
    const long n = sysconf(name);
    return n > 0 && n < (1L << 30) ? (uint32_t)n : otherwise;
}

static SnStatus llvm_probe(SnContext *ctx, int index, SnTarget *t, SnError *err)
{
    SnCpuLevel level = SN_CPU_BASE;
    SN_CHECK(index == 0, err, SN_EINVAL, "there is one CPU, not %d", index + 1);
    SN_TRY(find_level(sn_context_cpu_level(ctx), &level, err));
    const bool exact = t->exact;
    SN_TRY(sn_target_of_level(sn_cpu_level_name(level), t, err));
    t->exact = exact;
    t->l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, t->l1_bytes);
    t->l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, t->l2_bytes);
    t->has_dot2 = t->has_dot2 && sn_cpu_is_amd();
    return SN_OK;
}

/* Kernels of all levels; what a level shares with the one before once. */
static SnStatus list_kernels(const SnObjectParts *p, SnArena *arena, SnLlvmObject *o, SnError *err)
{
    size_t count = 0;
    SnLlvmKernel *kernel = sn_mul_size(p->nlevel, p->nkernel, &count)
                               ? (SnLlvmKernel *)sn_arena_array(arena, count + 1, sizeof *kernel)
                               : NULL;
    SN_CHECK(kernel != NULL, err, SN_ENOMEM, "no memory for %u kernels", (unsigned)p->nkernel);
    SnCpuLevel level = SN_CPU_BASE;
    for (size_t i = 0; i < count; i++) {
        if (i % p->nkernel == 0)
            SN_TRY(find_level(p->level[i / p->nkernel], &level, err));
        if (i >= p->nkernel && strcmp(p->symbol[i], p->symbol[i - p->nkernel]) == 0)
            continue;
        kernel[o->nkernel++] = (SnLlvmKernel){p->kernel[i], p->symbol[i], level};
    }
    o->kernel = kernel;
    return SN_OK;
}

static SnStatus llvm_emit(SnContext *ctx, const SnTarget *t, const SnObjectParts *p, uint8_t **at, size_t *n,
                          SnError *err)
{
    SnArena arena;
    SnLlvmObject o = {.data = p->data, .ndata = p->ndata, .thunk = p->thunk, .nthunk = p->nthunk};
    const SnLlvmCodegen *codegen = NULL;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnStatus st = list_kernels(p, &arena, &o, err);
    if (st == SN_OK)
        st = open_codegen(ctx, t, &codegen, err);
    if (st == SN_OK)
        st = codegen->make(ctx, &o, at, n, err);
    sn_arena_clear(&arena);
    return st;
}

const SnBackend sn_backend_llvm = {
    .name = "llvm", .probe = llvm_probe, .build = llvm_build, .find = llvm_find, .emit = llvm_emit};
