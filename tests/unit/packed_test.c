/* packed_test.c -- the load program runs: bits of packed and of plain operands, what is kept in the cache and
 * what is read again. */
#include "backends/backends.h"
#include "compiler/graph.h"
#include "ops/ops.h"
#include "runtime/context.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- weights that say how often they are looked for ---- */

typedef struct Weights {
    SnSource source;
    SnDtype dtype;
    int ndim;
    int64_t dims[SN_MAX_RANK];
    size_t size;
    uint8_t *bytes;
    uint64_t id;
    int nfound;
    uint64_t result; /* hash of the first result; 0: none yet */
} Weights;

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    Weights *w = (Weights *)self;
    if (strcmp(name, "w") != 0)
        return false;
    w->nfound++;
    *out = (SnSourceTensor){.dtype = w->dtype, .ndim = w->ndim, .bytes = sn_bytes(w->bytes, w->size)};
    memcpy(out->dims, w->dims, sizeof w->dims);
    return true;
}

static bool identify_weight(void *self, SnHash128 *out)
{
    *out = (SnHash128){((const Weights *)self)->id, 7};
    return true;
}

/* ---- programs ---- */

typedef struct Case {
    const char *eq;
    SnDtype dtype, acc;
    int nw, nx;
    int64_t w[4], x[4]; /* dims of the weights, which come first in eq where is_first, and of the input */
    bool is_first;
    int64_t packed; /* elements */
} Case;

static size_t size_of(SnDtype d, int n, const int64_t *dims)
{
    size_t size = sn_dtype_size(d);
    for (int i = 0; i < n; i++)
        size *= (size_t)dims[i];
    return size;
}

static uint8_t *noise(SnDtype d, size_t size, uint32_t seed)
{
    uint8_t *at = (uint8_t *)malloc(size + 1);
    assert_non_null(at);
    for (size_t i = 0; i < size / sn_dtype_size(d); i++) {
        seed = seed * 1664525u + 1013904223u;
        const int32_t v = (int32_t)(seed >> 16) % 199 - 99;
        const SnScalar s = sn_dtype_is_float(d) ? (SnScalar){.f = v / 64.0} : (SnScalar){.i = v};
        sn_scalar_store(d, at + i * sn_dtype_size(d), s);
    }
    return at;
}

typedef struct Host {
    SnContext *ctx;
    SnCompiler *cc;
    SnPool *pool;
} Host;

static Host host_open(const char *cache, uint32_t width)
{
    Host h = {0};
    SnError err;
    assert_ok(sn_pool_create(width, &h.pool, &err));
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = cache, .jobs = sn_pool_jobs(h.pool)};
    assert_ok(sn_context_create(&desc, &h.ctx, &err));
    const SnCompilerDesc c = {.struct_size = sizeof c, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_ok(sn_compiler_create(h.ctx, &c, &h.cc, &err));
    return h;
}

static void host_close(Host *h)
{
    sn_compiler_destroy(h->cc);
    sn_context_destroy(h->ctx);
    sn_pool_destroy(h->pool);
}

static SnValue input(SnGraph *g, const char *name, SnDtype d, int n, const int64_t *dims)
{
    SnValue dim[4];
    for (int i = 0; i < n; i++)
        dim[i] = sn_const_int(g, SN_I64, dims[i]);
    return sn_input(g, name, d, n, dim);
}

/* The product of an input and the weights: a parameter, or an input too. */
static SnProgram *compile_for(const Host *h, const Case *c, Weights *w, const char *target, bool is_param,
                              const char *specialise)
{
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnError err;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target, .specialise = specialise};
    assert_ok(sn_graph_create(h->cc, &g, &err));
    sn_graph_source(g, &w->source);
    const SnValue x = input(g, "x", c->dtype, c->nx, c->x);
    const SnValue b =
        is_param ? sn_param(g, "w", c->dtype, c->nw, c->w) : input(g, "w", c->dtype, c->nw, c->w);
    sn_output(g, "y", sn_contract(g, c->eq, c->is_first ? b : x, c->is_first ? x : b, c->acc));
    assert_ok(sn_compile(h->cc, g, &o, &p, &err));
    sn_graph_destroy(g);
    return p;
}

static SnProgram *compile(const Host *h, const Case *c, Weights *w, const char *target, bool is_param)
{
    return compile_for(h, c, w, target, is_param, NULL);
}

/* Allocated. */
static uint8_t *run(SnProgram *p, const Case *c, Weights *w, bool is_param, size_t *size)
{
    SnInstance *s = NULL;
    SnError err;
    SnView y;
    uint8_t *data = noise(c->dtype, size_of(c->dtype, c->nx, c->x), 5);
    const SnView x = sn_view(c->dtype, data, c->nx, c->x), b = sn_view(c->dtype, w->bytes, c->nw, c->w);
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    assert_ok(sn_bind(s, "x", &x, &err));
    if (!is_param)
        assert_ok(sn_bind(s, "w", &b, &err));
    assert_ok(sn_run(s, &err));
    assert_ok(sn_result(s, "y", &y, &err));
    *size = size_of(y.dtype, y.ndim, y.dims);
    uint8_t *out = (uint8_t *)malloc(*size + 1);
    assert_non_null(out);
    memcpy(out, y.data, *size);
    sn_instance_destroy(s);
    free(data);
    return out;
}

static void weights_of(const Case *c, Weights *w)
{
    *w = (Weights){.dtype = c->dtype, .ndim = c->nw, .size = size_of(c->dtype, c->nw, c->w), .id = 1};
    w->source = (SnSource){.self = w, .find = find_weight, .identity = identify_weight};
    memcpy(w->dims, c->w, sizeof c->w);
    w->bytes = noise(c->dtype, w->size, 11);
}

/* ---- bits ---- */

static const Case cases[] = {
    {"mk,nk->mn", SN_F32, SN_F32, .nw = 2, .w = {40, 19}, .nx = 2, .x = {11, 19}, .packed = 48 * 19},
    {"mk,kn->mn", SN_F32, SN_F32, .nw = 2, .w = {19, 32}, .nx = 2, .x = {1, 19}, .packed = 32 * 19},
    {"k,nk->n", SN_F32, SN_F32, .nw = 2, .w = {9, 5}, .nx = 1, .x = {5}, .packed = 16 * 5},
    {"nk,mk->mn", SN_F32, SN_F32, .nw = 2, .w = {17, 6}, .nx = 2, .x = {3, 6}, .is_first = true,
     .packed = 32 * 6},
    {"bmk,bkn->bmn", SN_F32, SN_F32, .nw = 3, .w = {3, 7, 20}, .nx = 3, .x = {3, 9, 7}, .packed = 3 * 32 * 7},
    {"mab,nba->mn", SN_F32, SN_F32, .nw = 3, .w = {8, 3, 5}, .nx = 3, .x = {4, 5, 3}, .packed = 16 * 15},
    {"nba,mab->mn", SN_F32, SN_F32, .nw = 3, .w = {8, 3, 5}, .nx = 3, .x = {4, 5, 3}, .is_first = true,
     .packed = 16 * 15},
    {"mk,hdk->mhd", SN_F32, SN_F32, .nw = 3, .w = {3, 7, 6}, .nx = 2, .x = {5, 6}, .packed = 32 * 6},
    {"mkz,nk->mn", SN_F32, SN_F32, .nw = 2, .w = {16, 6}, .nx = 3, .x = {5, 6, 2}, .packed = 16 * 6},
    {"mk,nkz->mn", SN_F32, SN_F32, .nw = 3, .w = {16, 6, 2}, .nx = 2, .x = {5, 6}, .packed = 16 * 12},
    {"mk,nk->mn", SN_BF16, SN_F32, .nw = 2, .w = {40, 18}, .nx = 2, .x = {11, 18}, .packed = 48 * 18},
    {"mk,nk->mn", SN_F16, SN_F32, .nw = 2, .w = {40, 18}, .nx = 2, .x = {11, 18}, .packed = 48 * 18},
    {"mk,nk->mn", SN_BF16, SN_F32, .nw = 2, .w = {16, 7}, .nx = 2, .x = {3, 7}, .packed = 16 * 7},
    {"nab,mab->mn", SN_F16, SN_F32, .nw = 3, .w = {16, 3, 4}, .nx = 3, .x = {3, 3, 4}, .is_first = true,
     .packed = 16 * 12},
    {"mk,nk->mn", SN_F64, SN_F64, .nw = 2, .w = {20, 9}, .nx = 2, .x = {6, 9}, .packed = 32 * 9},
    {"mk,nk->mn", SN_I32, SN_I32, .nw = 2, .w = {20, 9}, .nx = 2, .x = {6, 9}, .packed = 32 * 9},
    {"mk,nk->mn", SN_I8, SN_I32, .nw = 2, .w = {20, 9}, .nx = 2, .x = {6, 9}, .packed = 32 * 9},
    {"mk,nk->mn", SN_F32, SN_F32, .nw = 2, .w = {7, 9}, .nx = 2, .x = {6, 9}, .packed = 0},
    {"mk,nk->nm", SN_F32, SN_F32, .nw = 2, .w = {20, 9}, .nx = 2, .x = {6, 9}, .packed = 0},
};

static void packed_products_have_the_bits_of_plain_ones(void **state)
{
    static const char *const target[] = {"interp",
#ifdef SN_TEST_LLVM
                                         "cpu"
#endif
    };
    (void)state;
    Weights w;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        const Case *c = &cases[i];
        uint8_t *want = NULL;
        size_t want_size = 0;
        weights_of(c, &w);
        for (size_t t = 0; t < SN_COUNT(target); t++)
            for (uint32_t width = 1; width <= 2; width++)
                for (int is_param = 0; is_param < 2; is_param++) {
                    Host h = host_open(NULL, width);
                    SnProgram *p = compile(&h, c, &w, target[t], is_param);
                    SnProgramInfo info;
                    size_t size = 0;
                    sn_program_info(p, &info);
                    assert_int_equal(info.packed_bytes,
                                     is_param ? c->packed * (int64_t)sn_dtype_size(c->dtype) : 0);
                    assert_int_equal(info.weight_bytes, is_param && c->packed == 0 ? w.size : 0);
                    uint8_t *got = run(p, c, &w, is_param, &size);
                    if (want && (size != want_size || memcmp(got, want, size) != 0))
                        fail_msg("%s of %s: other bits on %s, packed %d", c->eq, sn_dtype(c->dtype)->name,
                                 target[t], is_param);
                    free(want);
                    want = got;
                    want_size = size;
                    sn_program_release(p);
                    host_close(&h);
                }
        free(want);
        free(w.bytes);
    }
}

/* ---- the cache ---- */

typedef struct Folder {
    char path[64];
} Folder;

static void folder_open(Folder *f)
{
    snprintf(f->path, sizeof f->path, "/tmp/sinter-test-XXXXXX");
    assert_non_null(mkdtemp(f->path));
}

/* How many files there are; `damage` is done to each. */
static int each_file(const Folder *f, void (*damage)(const char *path))
{
    int n = 0;
    char name[512];
    DIR *d = opendir(f->path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        snprintf(name, sizeof name, "%s/%s", f->path, e->d_name);
        if (damage)
            damage(name);
    }
    closedir(d);
    return n;
}

static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void flip_byte(const char *path)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, 64 + 100, SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, 64 + 100, SEEK_SET), 0);
    assert_int_not_equal(fputc(c ^ 1, f), EOF);
    assert_int_equal(fclose(f), 0);
}

static void cut_short(const char *path)
{
    assert_int_equal(truncate(path, 1000), 0);
}

static void folder_close(Folder *f)
{
    (void)each_file(f, remove_file);
    assert_int_equal(rmdir(f->path), 0);
}

/* Compiles and runs case 0; says whether the panels came from the cache, and how often w was looked for. */
static bool was_cached(const char *cache, Weights *w, int nfound)
{
    Host h = host_open(cache, 2);
    SnProgramInfo info;
    size_t size = 0;
    w->nfound = 0;
    SnProgram *p = compile(&h, &cases[0], w, "interp", true);
    sn_program_info(p, &info);
    assert_int_equal(w->nfound, nfound);
    uint8_t *y = run(p, &cases[0], w, true, &size);
    const uint64_t result = sn_hash64(y, size, 0);
    if (w->result == 0)
        w->result = result;
    assert_true(w->result == result);
    free(y);
    sn_program_release(p);
    host_close(&h);
    return info.packed_is_cached;
}

static void panels_are_found_again(void **state)
{
    (void)state;
    Folder f;
    Weights w;
    folder_open(&f);
    weights_of(&cases[0], &w);
    assert_false(was_cached(f.path, &w, 1));
    assert_int_equal(each_file(&f, NULL), 1);
    assert_true(was_cached(f.path, &w, 0)); /* the weights are not even looked for */
    w.id = 2;
    assert_false(was_cached(f.path, &w, 1));
    assert_int_equal(each_file(&f, NULL), 2);
    w.source.identity = NULL;
    assert_false(was_cached(f.path, &w, 1));
    assert_int_equal(each_file(&f, NULL), 2);
    free(w.bytes);
    folder_close(&f);
}

#ifdef SN_TEST_LLVM
/* Compiles and runs case i; says whether all of it came from the cache. */
static bool was_found(const char *cache, const Case *c, Weights *w, const char *specialise)
{
    Host h = host_open(cache, 2);
    SnProgramInfo info;
    size_t size = 0;
    SnProgram *p = compile_for(&h, c, w, "cpu", true, specialise);
    sn_program_info(p, &info);
    assert_int_equal(info.packed_bytes, c->packed * (int64_t)sn_dtype_size(c->dtype));
    uint8_t *y = run(p, c, w, true, &size);
    const uint64_t result = sn_hash64(y, size, 0);
    if (w->result == 0)
        w->result = result;
    assert_true(w->result == result);
    free(y);
    sn_program_release(p);
    host_close(&h);
    return info.is_cached;
}

static void programs_are_found_again(void **state)
{
    static void (*const damage[])(const char *) = {flip_byte, cut_short, remove_file};
    (void)state;
    Folder f;
    Weights w, other;
    folder_open(&f);
    weights_of(&cases[0], &w);
    weights_of(&cases[1], &other);
    assert_false(was_found(f.path, &cases[0], &w, NULL));
    assert_true(was_found(f.path, &cases[0], &w, NULL));
    assert_false(was_found(f.path, &cases[1], &other, NULL)); /* another graph */
    assert_true(was_found(f.path, &cases[1], &other, NULL));
    assert_false(was_found(f.path, &cases[0], &w, "none=1")); /* other options */
    w.id = 2;
    assert_false(was_found(f.path, &cases[0], &w, NULL)); /* their panels are not there */
    assert_true(was_found(f.path, &cases[0], &w, NULL));
    for (size_t i = 0; i < SN_COUNT(damage); i++) {
        (void)each_file(&f, damage[i]);
        assert_false(was_found(f.path, &cases[0], &w, NULL));
        assert_true(was_found(f.path, &cases[0], &w, NULL));
    }
    w.source.identity = NULL;
    assert_false(was_found(f.path, &cases[0], &w, NULL));
    free(w.bytes);
    free(other.bytes);
    folder_close(&f);
}
#endif

static void damaged_panels_are_made_again(void **state)
{
    static void (*const damage[])(const char *) = {flip_byte, cut_short, remove_file};
    (void)state;
    Folder f;
    Weights w;
    folder_open(&f);
    weights_of(&cases[0], &w);
    assert_false(was_cached(f.path, &w, 1));
    for (size_t i = 0; i < SN_COUNT(damage); i++) {
        assert_int_equal(each_file(&f, damage[i]), 1);
        assert_false(was_cached(f.path, &w, 1));
        assert_true(was_cached(f.path, &w, 0));
    }
    free(w.bytes);
    folder_close(&f);
}

static void cache_that_cannot_be_written_does_no_harm(void **state)
{
    (void)state;
    Folder f;
    Weights w;
    char file[80];
    folder_open(&f);
    weights_of(&cases[0], &w);
    assert_false(was_cached("/proc/no/such/folder", &w, 1));
    assert_int_equal(chmod(f.path, 0755), 0); /* not ours alone */
    assert_false(was_cached(f.path, &w, 1));
    assert_int_equal(chmod(f.path, 0700), 0);
    snprintf(file, sizeof file, "%s/file", f.path);
    FILE *t = fopen(file, "wb");
    assert_non_null(t);
    assert_int_equal(fclose(t), 0);
    assert_false(was_cached(file, &w, 1));
    free(w.bytes);
    folder_close(&f);
}

/* ---- what a host sees ---- */

static void load_entry_is_hidden(void **state)
{
    (void)state;
    Weights w;
    const char *name = NULL;
    SnInstance *s = NULL;
    SnError err;
    weights_of(&cases[0], &w);
    Host h = host_open(NULL, 1);
    SnProgram *p = compile(&h, &cases[0], &w, "interp", true);
    assert_true(sn_program_entry(p, 0, &name));
    assert_string_equal(name, "main");
    assert_false(sn_program_entry(p, 1, &name));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    assert_fails(SN_EINVAL, sn_entry(s, "@load", &err));
    sn_instance_destroy(s);
    sn_program_release(p);
    host_close(&h);
    free(w.bytes);
}

static void reserved_names_are_refused(void **state)
{
    (void)state;
    Host h = host_open(NULL, 1);
    SnError err;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    for (int i = 0; i < 2; i++) {
        SnGraph *g = NULL;
        SnProgram *p = NULL;
        assert_ok(sn_graph_create(h.cc, &g, &err));
        if (i == 1)
            sn_entry_begin(g, "@load");
        sn_output(g, "y", sn_param(g, i == 0 ? "@load.0" : "w", SN_F32, 1, (int64_t[]){4}));
        assert_fails(SN_EINVAL, sn_compile(h.cc, g, &o, &p, &err));
        sn_graph_destroy(g);
    }
    host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_products_have_the_bits_of_plain_ones),
        cmocka_unit_test(panels_are_found_again),
        cmocka_unit_test(damaged_panels_are_made_again),
#ifdef SN_TEST_LLVM
        cmocka_unit_test(programs_are_found_again),
#endif
        cmocka_unit_test(cache_that_cannot_be_written_does_no_harm),
        cmocka_unit_test(load_entry_is_hidden),
        cmocka_unit_test(reserved_names_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
