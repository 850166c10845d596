/* tile_test.c -- products of bf16 by the matrix unit: lowered with TILE statements, run by the interpreter
 * and by native code with the registers in memory, against the same program without tiles.
 *
 * The interpreter and that code sum in rising k, so all have equal bits: what differs on a machine with the
 * unit is how it rounds. Which kernels have tiles is read off what a backend is asked to build. */
#include "backends/backends.h"
#include "compiler/graph.h"
#include "frontends/hub.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define P      0.004 /* of the result of an attention: p has 8 bits */
#define MODEL  0.02  /* of a model, whose values are bf16 from layer to layer */
#define RUNS   8
#define VALUES 3

/* ---- cases ---- */

/* `dims` as in the text form; m is the symbol. The weights w are a parameter of bf16. */
typedef struct Value {
    const char *name;
    SnDtype dtype;
    const char *dims;
} Value;

typedef struct Case {
    const char *name;
    const char *w, *body;
    Value in[VALUES];
    int64_t m[RUNS]; /* to run with; 0: no more */
    int tiled;       /* kernels with tiles */
    double apart;    /* relative, from what is computed without tiles: p is rounded, chunks are shorter */
} Case;

#define GELU                                                                                                 \
    "%h = add %y (broadcast b [m,96])\n"                                                                     \
    "%g = mul (mul %h 0.5) (add (erf (mul %h 0.70710678)) 1.0)\n"

/* clang-format off */
static const Case cases[] = {
    {"square", "64,64", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "64,64"}}, {1}, 1},
    {"one_block", "16,32", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "16,32"}}, {1}, 1},
    {"few_rows", "48,64", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "5,64"}}, {1}, 1},
    {"rows_left", "32,96", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "55,96"}}, {1}, 1},
    {"any_rows", "128,64", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,64"}}, {1, 15, 16, 17, 31, 32, 33, 100}, 1},
    {"odd_panels", "72,32", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,32"}}, {1, 16, 40}, 1},
    {"one_panel_of_24", "24,160", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,160"}}, {3, 32, 47}, 1},
    {"k_left", "64,72", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,72"}}, {1, 16, 32, 50}, 1},
    {"little_k", "32,6", "ret y: (contract \"mk,nk->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,6"}}, {2, 33}, 1},
    {"weights_first", "64,40", "ret y: (contract \"nk,mk->mn\" w x acc=f32)",
     {{"x", SN_BF16, "m,40"}}, {20, 32}, 1},
    {"batch", "3,48,32", "ret y: (contract \"bmk,bnk->bmn\" x w acc=f32)",
     {{"x", SN_BF16, "3,m,32"}}, {1, 32, 37}, 1},
    {"rows_of_two_axes", "64,32", "ret y: (contract \"bsk,nk->bsn\" x w acc=f32)",
     {{"x", SN_BF16, "m,7,32"}}, {1, 5, 16}, 1},
    {"rows_far_apart", "64,32", "ret y: (contract \"bsk,nk->bsn\" (slice x [0,0,0] [m,7,32]) w acc=f32)",
     {{"x", SN_BF16, "m,9,32"}}, {1, 5, 16}, 1},
    {"columns_of_a_wide_row", "64,32", "ret y: (contract \"mk,nk->mn\" (slice x [0,16] [m,32]) w acc=f32)",
     {{"x", SN_BF16, "m,80"}}, {5, 32, 49}, 1},
    {"two_axes_of_k", "32,3,40", "ret y: (contract \"mab,nab->mn\" x w acc=f32)",
     {{"x", SN_BF16, "m,3,40"}}, {9, 64}, 1},
    {"heads", "4,16,32", "ret y: (permute (contract \"mk,hdk->mhd\" x w acc=f32) perm=[1,0,2])",
     {{"x", SN_BF16, "m,32"}}, {7, 48}, 1},
    {"computed_panels", "64,32", "ret y: (contract \"mk,nk->mn\" x (neg v) acc=f32), z: w",
     {{"x", SN_BF16, "64,32"}, {"v", SN_BF16, "48,32"}}, {1}, 1},
    {"bias_gelu", "96,64", "%y = contract \"mk,nk->mn\" x w acc=f32\n" GELU "ret y: %g",
     {{"x", SN_BF16, "m,64"}, {"b", SN_F32, "96"}}, {1, 16, 45, 64}, 1},
    {"bias_gelu_residual_narrow", "96,64",
     "%y = contract \"mk,nk->mn\" x w acc=f32\n" GELU "ret y: (cast (add r %g) bf16)",
     {{"x", SN_BF16, "m,64"}, {"b", SN_F32, "96"}, {"r", SN_F32, "m,96"}}, {2, 33, 64}, 1},
    {"rounded", "64,64", "ret y: (cast (contract \"mk,nk->mn\" x w acc=f32) bf16)",
     {{"x", SN_BF16, "m,64"}}, {8, 96}, 1},
    {"then_another", "64,64",
     "%h = cast (contract \"mk,nk->mn\" x w acc=f32) bf16\nret y: (contract \"mk,nk->mn\" %h w acc=f32)",
     {{"x", SN_BF16, "m,64"}}, {3, 40}, 2},
    /* attention */
    {"attention_one_chunk", "16,16", "ret y: (attention x k v)",
     {{"x", SN_BF16, "2,3,m,32"}, {"k", SN_BF16, "2,3,40,32"}, {"v", SN_BF16, "2,3,40,32"}}, {1, 7, 16, 33}, 1, P},
    {"attention_few_rows", "16,16", "ret y: (attention x k v)",
     {{"x", SN_BF16, "2,3,5,32"}, {"k", SN_BF16, "2,3,m,32"}, {"v", SN_BF16, "2,3,m,32"}}, {1, 200}, 1, P},
    {"attention_of_itself", "16,16", "ret y: (attention x (neg x) x scale=0.3)",
     {{"x", SN_BF16, "1,2,m,64"}}, {1, 31, 128, 129, 300}, 1, P},
    {"attention_ragged_widths", "16,16", "ret y: (attention x k v softcap=3)",
     {{"x", SN_BF16, "1,2,m,20"}, {"k", SN_BF16, "1,2,m,20"}, {"v", SN_BF16, "1,2,m,24"}}, {9, 140}, 1, P},
    {"attention_wide", "16,16", "ret y: (attention x k v)",
     {{"x", SN_BF16, "1,1,m,128"}, {"k", SN_BF16, "1,1,m,128"}, {"v", SN_BF16, "1,1,m,112"}}, {18, 64, 65}, 1, P},
    {"attention_grouped", "16,16", "ret y: (attention x k v)",
     {{"x", SN_BF16, "1,6,m,16"}, {"k", SN_BF16, "1,2,m,16"}, {"v", SN_BF16, "1,2,m,16"}}, {1, 11, 70}, 1, P},
    {"attention_masked", "16,16", "ret y: (attention x x x b (lt b 0.5))",
     {{"x", SN_BF16, "1,2,m,32"}, {"b", SN_F32, "m,m"}}, {1, 20, 150}, 1, P},
    {"attention_causal", "16,16",
     "%i = iota [m,m] axis=0 dtype=i64\n%j = iota [m,m] axis=1 dtype=i64\n"
     "ret y: (attention x x x (broadcast 0:f32 [1,m]) (not (lt %i %j)))",
     {{"x", SN_BF16, "1,2,m,32"}}, {1, 20, 150, 300}, 1, P},
    {"attention_too_wide", "16,16", "ret y: (attention x x x)", {{"x", SN_BF16, "1,1,m,160"}}, {18}, 0, 0},
    {"attention_of_floats", "16,16", "ret y: (attention x x x)", {{"x", SN_F32, "1,1,m,32"}}, {18}, 0, 0},
    /* by fma */
    {"k_apart", "64,32", "ret y: (contract \"km,nk->mn\" x w acc=f32)", {{"x", SN_BF16, "32,m"}}, {16}, 0},
    {"wide", "64,32", "ret y: (contract \"mk,nk->mn\" x (cast w f32) acc=f32)",
     {{"x", SN_F32, "m,32"}}, {16}, 0},
    {"odd_k", "64,33", "ret y: (contract \"mk,nk->mn\" x w acc=f32)", {{"x", SN_BF16, "m,33"}}, {16}, 0},
};
/* clang-format on */

/* ---- targets with tiles ---- */

static int tiled; /* kernels with tiles that were built since it was 0 */

static bool has_tiles(const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_TILE || has_tiles(s->body))
            return true;
    }
    return false;
}

static void count_tiles(const SnKernel *const *k, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tiled += has_tiles(k[i]->body);
}

static SnStatus probe(const SnBackend *b, SnContext *ctx, int index, SnTarget *t, bool has_unit, SnError *err)
{
    SN_TRY(b->probe(ctx, index, t, err));
    t->has_tiles = has_unit;
    t->fits_tiles = true;
    return SN_OK;
}

static SnStatus build(const SnBackend *b, SnContext *ctx, const SnTarget *t, const SnKernel *const *k,
                      uint32_t n, SnModule **out, SnError *err)
{
    count_tiles(k, n);
    return b->build(ctx, t, k, n, out, err);
}

/* A backend for a program that some machine runs by its unit: this one, or another one. */
#define BACKEND(id, of, backend_name, has_unit)                                                              \
    static SnStatus id##_probe(SnContext *ctx, int index, SnTarget *t, SnError *err)                         \
    {                                                                                                        \
        return probe(&(of), ctx, index, t, has_unit, err);                                                   \
    }                                                                                                        \
    static SnStatus id##_build(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n,      \
                               SnModule **out, SnError *err)                                                 \
    {                                                                                                        \
        return build(&(of), ctx, t, k, n, out, err);                                                         \
    }                                                                                                        \
    static const SnBackend id = {.name = backend_name, .probe = id##_probe, .build = id##_build};

BACKEND(interp_unit, sn_backend_interp, "interp", true)
BACKEND(interp_grid, sn_backend_interp, "interp", false)
BACKEND(c_unit, sn_backend_clike, "clike", true)
#ifdef SN_TEST_LLVM
BACKEND(cpu_unit, sn_backend_llvm, "llvm", true)
BACKEND(cpu_grid, sn_backend_llvm, "llvm", false)
#endif

/* An object of all levels, up to its code. */
static SnStatus object_emit(SnContext *ctx, const SnTarget *t, const SnObjectParts *o, uint8_t **at,
                            size_t *n, SnError *err)
{
    (void)ctx, (void)t, (void)at, (void)n;
    tiled = 0;
    for (uint32_t i = 0; i < o->nlevel; i++) {
        const int before = tiled;
        count_tiles(o->kernel + i * o->nkernel, o->nkernel);
        assert_true(tiled == before || strcmp(o->level[i], "amx") == 0);
    }
    return sn_fail(err, SN_ECANCELLED, "seen");
}

static const SnBackend object = {
    .name = "llvm", .probe = interp_grid_probe, .build = interp_grid_build, .emit = object_emit};

typedef struct Machine {
    const char *name;
    const SnBackend *backend;
    const char *level; /* NULL: the best; a machine that has it not is left out */
    bool has_tiles;
    double tolerance;
} Machine;

static const Machine machines[] = {
    {"interp", &sn_backend_interp, NULL, false, 0},
    {"interp by tiles", &interp_unit, NULL, true, 0},
    {"interp in grids of tiles", &interp_grid, NULL, false, 0},
#ifdef SN_TEST_LLVM
    {"cpu by tiles", &cpu_unit, NULL, true, 0},
    {"v4 in grids of tiles", &cpu_grid, "v4", false, 0},
    {"v3 in grids of tiles", &cpu_grid, "v3", false, 0},
    {"amx", &cpu_unit, "amx", true, 1e-2},
#endif
};

/* ---- values ---- */

static int parse_dims(const char *text, int64_t m, int64_t *dims)
{
    int n = 0;
    for (const char *at = text; *at != '\0'; at += *at == ',') {
        char *end = NULL;
        dims[n++] = *at == 'm' ? m : strtoll(at, &end, 10);
        at = *at == 'm' ? at + 1 : end;
    }
    return n;
}

static uint8_t *noise(SnDtype d, size_t count, uint32_t seed)
{
    uint8_t *at = (uint8_t *)malloc(count * sn_dtype_size(d) + 1);
    assert_non_null(at);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        const SnScalar s = {.f = (double)((int32_t)(seed >> 16) % 199 - 99) / 64.0};
        sn_scalar_store(d, at + i * sn_dtype_size(d), s);
    }
    return at;
}

static SnView new_value(SnDtype d, const char *text, int64_t m, uint32_t seed)
{
    int64_t dims[SN_MAX_RANK];
    const int n = parse_dims(text, m, dims);
    size_t count = 1;
    for (int i = 0; i < n; i++)
        count *= (size_t)dims[i];
    return sn_view(d, noise(d, count, seed), n, dims);
}

static size_t view_size(const SnView *v)
{
    size_t size = sn_dtype_size(v->dtype);
    for (int i = 0; i < v->ndim; i++)
        size *= (size_t)v->dims[i];
    return size;
}

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    const SnView *w = (const SnView *)self;
    *out = (SnSourceTensor){.dtype = w->dtype, .ndim = w->ndim, .bytes = sn_bytes(w->data, view_size(w))};
    memcpy(out->dims, w->dims, sizeof out->dims);
    return strcmp(name, "w") == 0;
}

/* ---- running ---- */

static SnGraph *build_graph(const Case *c, SnCompiler *cc, const SnSource *source)
{
    char text[2000];
    SnGraph *g;
    SnError err = {0};
    int n = snprintf(text, sizeof text, "dims m in 1..4096\nparam w: bf16[%s]\nentry @main(", c->w);
    for (int i = 0; i < VALUES && c->in[i].name != NULL; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%s: %s[%s]", i > 0 ? ", " : "", c->in[i].name,
                      sn_dtype(c->in[i].dtype)->name, c->in[i].dims);
    (void)snprintf(text + n, sizeof text - (size_t)n, ") {\n%s\n}\n", c->body);
    assert_ok(sn_graph_create(cc, &g, &err));
    sn_graph_source(g, source);
    if (sn_graph_parse(g, c->name, sn_bytes_str(text), &err) != SN_OK)
        fail_msg("%s: %s", c->name, err.message);
    return g;
}

static SnProgram *compile(const Case *c, SnCompiler *cc, const Machine *on, SnView *w)
{
    SnProgram *p;
    SnError err = {0};
    const SnSource source = {.self = w, .find = find_weight};
    const SnCompileOptions o = {.struct_size = sizeof o,
                                .target = strcmp(on->backend->name, "llvm") == 0 ? "cpu" : on->backend->name};
    SnGraph *g = build_graph(c, cc, &source);
    if (sn_compile(cc, g, &o, &p, &err) != SN_OK)
        fail_msg("%s on %s: %s", c->name, on->name, err.message);
    sn_graph_destroy(g);
    return p;
}

/* Results of all runs, one after the other. */
typedef struct Results {
    SnDtype dtype;
    uint8_t *at; /* allocated; NULL: there is no such machine here */
    size_t size;
} Results;

static Results run(const Case *c, SnProgram *p)
{
    SnInstance *s;
    SnError err = {0};
    Results out = {0};
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    for (int i = 0; i < RUNS && c->m[i] != 0; i++) {
        SnView in[VALUES], y;
        int n = 0;
        for (; n < VALUES && c->in[n].name != NULL; n++) {
            in[n] = new_value(c->in[n].dtype, c->in[n].dims, c->m[i], (uint32_t)(7 * i + n));
            assert_ok(sn_bind(s, c->in[n].name, &in[n], &err));
        }
        assert_ok(sn_run(s, &err));
        assert_ok(sn_result(s, "y", &y, &err));
        out.dtype = y.dtype;
        out.at = (uint8_t *)realloc(out.at, out.size + view_size(&y));
        assert_non_null(out.at);
        memcpy(out.at + out.size, y.data, view_size(&y));
        out.size += view_size(&y);
        while (n-- > 0)
            free(in[n].data);
    }
    sn_instance_destroy(s);
    return out;
}

static Results run_on(const Case *c, const Machine *on)
{
    SnPool *pool;
    SnContext *ctx;
    SnCompiler *cc;
    SnError err = {0};
    Results out = {0};
    const SnBackend *const backends[] = {on->backend, NULL};
    assert_ok(sn_pool_create(2, &pool, &err));
    const SnContextDesc desc = {.struct_size = sizeof desc,
                                .cpu_level = on->level,
                                .flags = on->tolerance > 0 ? SN_USE_AMX : 0,
                                .jobs = sn_pool_jobs(pool)};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = backends};
    if (sn_context_create(&desc, &ctx, &err) == SN_OK) {
        SnView w = new_value(SN_BF16, c->w, 0, 99);
        assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
        tiled = 0;
        SnProgram *p = compile(c, cc, on, &w);
        assert_int_equal(tiled, on->has_tiles ? c->tiled : 0);
        out = run(c, p);
        sn_program_release(p);
        sn_compiler_destroy(cc);
        sn_context_destroy(ctx);
        free(w.data);
    }
    sn_pool_destroy(pool);
    return out;
}

static void compare(const Case *c, const Machine *on, const Results *got, const Results *want,
                    double tolerance)
{
    const size_t step = sn_dtype_size(want->dtype);
    assert_int_equal(got->size, want->size);
    for (size_t i = 0; i < want->size; i += step) {
        const double x = sn_scalar_load(got->dtype, got->at + i).f,
                     y = sn_scalar_load(want->dtype, want->at + i).f;
        if (memcmp(got->at + i, want->at + i, step) != 0 && !(fabs(x - y) <= tolerance * (1 + fabs(y))))
            fail_msg("%s on %s: element %zu is %.9g, expected %.9g", c->name, on->name, i / step, x, y);
    }
}

/* Equal bits without tiles, whatever the grid; and with them, but for the unit itself. */
static void tiles_sum_what_fma_does(void **state)
{
    const Case *c = (const Case *)*state;
    const Results plain = run_on(c, &machines[0]), tiles = run_on(c, &machines[1]);
    compare(c, &machines[1], &tiles, &plain, c->apart);
    for (size_t i = 2; i < SN_COUNT(machines); i++) {
        const Machine *m = &machines[i];
        const Results got = run_on(c, m);
        if (got.at != NULL)
            compare(c, m, &got, m->has_tiles ? &tiles : &plain, m->tolerance);
        free(got.at);
    }
    free(plain.at);
    free(tiles.at);
}

/* Each takes a C compiler's time. */
static void c_code_has_the_bits_of_the_interpreter(void **state)
{
    (void)state;
    static const char *const name[] = {"any_rows", "k_left", "attention_ragged_widths"};
    static const Machine on = {"clike by tiles", &c_unit, NULL, true, 0};
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        bool is_chosen = false;
        for (size_t k = 0; k < SN_COUNT(name); k++)
            is_chosen = is_chosen || strcmp(cases[i].name, name[k]) == 0;
        if (!is_chosen)
            continue;
        const Results want = run_on(&cases[i], &machines[1]), got = run_on(&cases[i], &on);
        compare(&cases[i], &on, &got, &want, 0);
        free(want.at);
        free(got.at);
    }
}

/* Other levels sum by fma in the same grids, from and to the same buffers. */
static void objects_have_tiles_at_one_level(void **state)
{
    (void)state;
    SnContext *ctx;
    SnCompiler *cc;
    SnError err = {0};
    static const SnBackend *const backends[] = {&object, NULL};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = backends};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu"};
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnView w = new_value(SN_BF16, cases[i].w, 0, 99);
        const SnSource source = {.self = &w, .find = find_weight};
        SnGraph *g = build_graph(&cases[i], cc, &source);
        if (sn_emit(cc, g, &o, "tile_test.o", &err) != SN_ECANCELLED)
            fail_msg("%s: %s", cases[i].name, err.message);
        if (tiled != cases[i].tiled)
            fail_msg("%s: %d kernels with tiles, expected %d", cases[i].name, tiled, cases[i].tiled);
        sn_graph_destroy(g);
        free(w.data);
    }
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

/* ---- models of the recorded cases, in bf16 ---- */

static Results run_model(const char *folder, const Machine *on)
{
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *m;
    SnResults *in, *out;
    SnError err = {0};
    char path[256];
    static const char *const input[] = {"input_ids", "attention_mask"}, *const want[] = {"logits"};
    SnNamedTensor given[SN_COUNT(input)];
    const SnBackend *const backends[] = {on->backend, NULL};
    const SnContextDesc desc = {.struct_size = sizeof desc, .cpu_level = on->level};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = backends};
    const SnModelOptions o = {.struct_size = sizeof o,
                              .device = strcmp(on->backend->name, "llvm") == 0 ? "cpu" : on->backend->name,
                              .dtype = SN_BF16};
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    (void)snprintf(path, sizeof path, "%s/inputs.safetensors", folder);
    assert_ok(sn_tensors_load(ctx, path, &in, &err));
    for (size_t i = 0; i < SN_COUNT(input); i++) {
        assert_non_null(sn_results_find(in, input[i]));
        given[i] = *sn_results_find(in, input[i]);
    }
    (void)snprintf(path, sizeof path, "%s/model", folder);
    assert_ok(sn_model_open(cc, path, &o, &m, &err));
    tiled = 0;
    assert_ok(sn_model_forward(m, given, SN_COUNT(input), want, 1, &out, &err));
    assert_true((tiled > 0) == on->has_tiles);
    const SnView *v = &sn_results_get(out, 0)->view;
    Results r = {.dtype = v->dtype, .size = view_size(v), .at = (uint8_t *)malloc(view_size(v) + 1)};
    assert_non_null(r.at);
    memcpy(r.at, v->data, r.size);
    sn_results_destroy(out);
    sn_results_destroy(in);
    sn_model_close(m);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return r;
}

static void models_run_by_tiles(void **state)
{
    (void)state;
    static const char *const folder[] = {"tests/golden/forward/bert-next-sentence",
                                         "tests/golden/forward/modernbert-mean",
                                         "tests/golden/forward/llama-seqcls"};
    for (size_t i = 0; i < SN_COUNT(folder); i++) {
        const Case c = {.name = folder[i]};
        const Results plain = run_model(folder[i], &machines[0]), tiles = run_model(folder[i], &machines[1]);
        compare(&c, &machines[1], &tiles, &plain, MODEL);
#ifdef SN_TEST_LLVM
        const Results cpu = run_model(folder[i], &machines[3]);
        compare(&c, &machines[3], &cpu, &tiles, 0);
        free(cpu.at);
#endif
        free(plain.at);
        free(tiles.at);
    }
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(cases) + 3];
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = tiles_sum_what_fma_does,
                                       .initial_state = (void *)(uintptr_t)&cases[i]};
    }
    tests[SN_COUNT(cases)] = (struct CMUnitTest)cmocka_unit_test(objects_have_tiles_at_one_level);
    tests[SN_COUNT(cases) + 1] = (struct CMUnitTest)cmocka_unit_test(c_code_has_the_bits_of_the_interpreter);
    tests[SN_COUNT(cases) + 2] = (struct CMUnitTest)cmocka_unit_test(models_run_by_tiles);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
