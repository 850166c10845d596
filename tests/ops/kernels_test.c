/* kernels_test.c -- the conformance test of backends: kernels of every form in ARCHITECTURE section 8, and
 * every scalar op on every dtype, bit for bit as the interpreter has them.
 *
 *   kernels_test [BACKEND[:LEVEL | :INDEX] ...]      without arguments: clike, and llvm at every CPU level
 * here */
#include "backends/backends.h"
#include "compiler/compiler.h"
#include "compiler/scalar.h"
#include "tests/ops/kernels_cases.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_CASES 160
#define BEHIND    64 /* bytes after each buffer that must stay as they are */

typedef struct Case {
    const SnKernel *kernel;
    SnTestKernel row;
} Case;

typedef struct Fixture {
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
    Case cases[MAX_CASES];
    const SnKernel *kernel[MAX_CASES];
    uint32_t n;
    SnModule *oracle;
} Fixture;

/* ---- cases ---- */

static void add_case(Fixture *f, const SnTestKernel *row)
{
    SnError err = {0};
    SnKernel *k;
    assert_true(f->n < MAX_CASES);
    assert_ok(sn_kernel_parse(f->s, &f->arena, row->name, sn_bytes_str(row->text), &k, &err));
    assert_ok(sn_kernel_expand(k, &f->arena, &err));
    assert_ok(sn_kernel_verify(k, &err));
    f->cases[f->n] = (Case){k, *row};
    f->kernel[f->n++] = k;
}

static const uint64_t nasty[] = {0,
                                 1,
                                 2,
                                 7,
                                 31,
                                 32,
                                 63,
                                 64,
                                 UINT64_MAX,
                                 UINT64_MAX - 6,
                                 0x7F,
                                 0x80,
                                 0x7FFF,
                                 0x8000,
                                 0x7FFFFFFF,
                                 0x80000000u,
                                 0x3F800000,
                                 0xBFC00000u,
                                 0x40200000,
                                 0x42B00000,
                                 0x4F000000,
                                 0x5F000000,
                                 0x7F800000,
                                 0xFF800000u,
                                 0x7FC00000,
                                 0x00800000u,
                                 0x3C00,
                                 0xC248,
                                 0x7E00,
                                 0x3FF0000000000000u,
                                 0xC004000000000000u,
                                 0x7FF0000000000000u,
                                 0x7FF8000000000000u,
                                 0x8000000000000000u,
                                 0x43E0000000000000u,
                                 0x3FB999999999999Au,
                                 0x3DCCCCCD3DCCCCCDu,
                                 0xBE4CCCCDC0490FDBu};
#define NNASTY ((int64_t)SN_COUNT(nasty))
#define NPAIR  (NNASTY * NNASTY)

/* Word i of operand 0 counts through the nasty words, of operand 1 slowly, of operand 2 in another order. */
static uint64_t nasty_word(int64_t i, int64_t operand)
{
    const int64_t at = operand == 0 ? i : operand == 1 ? i / NNASTY : i * 7 + i / NNASTY * 3;
    return nasty[at % NNASTY];
}

/* One kernel for an op: for each dtype that has it, all pairs of nasty values; a result takes a word. */
static void add_op(Fixture *f, uint16_t op, const char *name, SnDtype from, SnDtype to)
{
    SnText text = {.memory = sn_allocator(f->ctx)};
    int64_t row = 0;
    const int narg = sn_prim(op)->min_arg;
    sn_text_printf(&text, "kernel r r r w dims 0 { grid %lld lanes i1 16 { ", (long long)(NPAIR / 16));
    for (SnDtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        const bool is_cast = op == SN_OP_CAST || op == SN_OP_BITCAST;
        const SnDtype x = is_cast ? from : d;
        const SnRef zero = sn_const_scalar(f->s, x, (SnScalar){.u = 0});
        const SnRef arg[3] = {op == SN_OP_WHERE ? sn_const_bool(f->s, true) : zero, zero, zero};
        const SnDtype result = sn_kernel_result(f->s, op, arg, narg, is_cast ? d : to);
        if (result == SN_NODTYPE || (op == SN_OP_BITCAST && (result == SN_BOOL || from == SN_BOOL)))
            continue;
        const char *dtype = sn_dtype(x)->name;
        const int64_t per_word = 8 / (int64_t)sn_dtype_size(x), per_out = 8 / (int64_t)sn_dtype_size(result);
        sn_text_printf(&text, "%%w = (add (mul t 16) i1) store.%s b3 (mul (add %%w %lld) %lld) (%s%s%s ",
                       sn_dtype(result)->name, (long long)(row++ * NPAIR), (long long)per_out, name,
                       is_cast ? "." : "", is_cast ? sn_dtype(d)->name : "");
        for (int i = 0; i < narg; i++) {
            if (op == SN_OP_WHERE && i == 0)
                sn_text_printf(&text, "(lt (load.i64 b0 %%w) 5) ");
            else
                sn_text_printf(&text, "(load.%s b%d (mul %%w %lld)) ", dtype, i, (long long)per_word);
        }
        sn_text_printf(&text, ") ");
    }
    sn_text_printf(&text, "} }");
    char *label =
        sn_arena_printf(&f->arena, "%s_of_%s", name, from != SN_NODTYPE ? sn_dtype(from)->name : "all");
    const SnTestKernel c = {.name = label,
                            .text = text.at,
                            .grid = NPAIR / 16,
                            .buffer = {{SN_U64, NPAIR, SN_FILL_NASTY, 0},
                                       {SN_U64, NPAIR, SN_FILL_NASTY, 1},
                                       {SN_U64, NPAIR, SN_FILL_NASTY, 2},
                                       {SN_U64, row * NPAIR, SN_FILL_ZERO, 0}}};
    add_case(f, &c);
    sn_text_clear(&text);
}

static void add_ops(Fixture *f)
{
    for (uint16_t op = SN_OP_NEG; op <= SN_OP_FMA; op++) {
        if (op != SN_OP_CAST && op != SN_OP_BITCAST)
            add_op(f, op, sn_prim(op)->name, SN_NODTYPE, SN_NODTYPE);
    }
    for (SnDtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
        add_op(f, SN_OP_CAST, "cast", d, SN_NODTYPE);
        if (d != SN_BOOL)
            add_op(f, SN_OP_BITCAST, "bitcast", d, SN_NODTYPE);
    }
}

/* ---- data ---- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 11 ^ *state >> 43;
}

static void fill(const SnTestBuffer *b, unsigned char *at, uint64_t seed)
{
    const size_t size = sn_dtype_size(b->dtype);
    for (int64_t i = 0; i < b->count; i++) {
        const uint64_t bits = next_random(&seed);
        SnScalar v = {.u = 0};
        if (b->fill == SN_FILL_BELOW)
            v.u = bits % (uint64_t)b->below;
        else if (b->fill == SN_FILL_NASTY)
            v.u = nasty_word(i, b->below);
        else if (b->fill == SN_FILL_SMALL && sn_dtype_is_float(b->dtype))
            v.f = (double)(bits % 4001) / 1000.0 - 2.0;
        else if (b->fill == SN_FILL_SMALL)
            v.u = bits;
        sn_scalar_store(b->dtype, at + (size_t)i * size, v);
    }
}

/* Buffers of a case, each with bytes behind it. */
typedef struct Memory {
    void *at[16];
    uint64_t size[16];
    size_t n;
} Memory;

static Memory make_memory(const Case *c)
{
    Memory m = {.n = 0};
    for (; m.n < 16 && c->row.buffer[m.n].dtype != SN_NODTYPE; m.n++) {
        const SnTestBuffer *b = &c->row.buffer[m.n];
        m.size[m.n] = (uint64_t)b->count * sn_dtype_size(b->dtype);
        m.at[m.n] = malloc((size_t)m.size[m.n] + BEHIND);
        assert_non_null(m.at[m.n]);
        memset(m.at[m.n], 0x5A, (size_t)m.size[m.n] + BEHIND);
        fill(b, (unsigned char *)m.at[m.n], m.n + 1);
    }
    return m;
}

static void free_memory(Memory *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->at[i]);
}

/* ---- comparing ---- */

static bool is_nan(SnDtype d, const unsigned char *at)
{
    const double v = sn_dtype_is_float(d) ? sn_scalar_load(d, at).f : 0.0;
    return v != v;
}

/* The dtype that a kernel of one op stores at element i: its rows are in order of dtype. */
static SnDtype stored_dtype(const Case *c, size_t buf, int64_t i)
{
    if (c->row.buffer[0].fill != SN_FILL_NASTY)
        return c->row.buffer[buf].dtype;
    int64_t row = i / NPAIR;
    for (const SnStmt *s = c->kernel->body->body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_STORE && row-- == 0)
            return s->dtype;
    }
    return SN_U64;
}

static void compare(const Case *c, const char *backend, const Memory *want, const Memory *got)
{
    for (size_t b = 0; b < want->n; b++) {
        const unsigned char *x = (const unsigned char *)want->at[b], *y = (const unsigned char *)got->at[b];
        const size_t step = sn_dtype_size(c->row.buffer[b].dtype);
        for (int64_t i = 0; i < c->row.buffer[b].count; i++) {
            const unsigned char *p = x + (size_t)i * step, *q = y + (size_t)i * step;
            const SnDtype d = stored_dtype(c, b, i);
            if (memcmp(p, q, sn_dtype_size(d)) == 0 || (is_nan(d, p) && is_nan(d, q)))
                continue;
            fail_msg("%s: kernel %s: buffer %zu[%lld] %s: %.9g expected, found %.9g", backend, c->row.name, b,
                     (long long)i, sn_dtype(d)->name,
                     sn_dtype_is_float(d) ? sn_scalar_load(d, p).f : (double)sn_scalar_load(d, p).i,
                     sn_dtype_is_float(d) ? sn_scalar_load(d, q).f : (double)sn_scalar_load(d, q).i);
        }
        for (size_t i = 0; i < BEHIND; i++)
            assert_int_equal(y[got->size[b] + i], 0x5A);
    }
}

/* In two parts, the second first: tiles are independent. */
static void run_case(SnModule *m, uint32_t i, const Case *c, Memory *mem)
{
    SnError err = {0};
    const int64_t middle = c->row.grid / 2;
    assert_ok(m->run(m, i, mem->at, mem->size, c->row.dims, middle, c->row.grid, &err));
    assert_ok(m->run(m, i, mem->at, mem->size, c->row.dims, 0, middle, &err));
}

static void compare_backend(Fixture *f, const char *name, SnModule *m)
{
    for (uint32_t i = 0; i < f->n; i++) {
        Memory want = make_memory(&f->cases[i]), got = make_memory(&f->cases[i]);
        run_case(f->oracle, i, &f->cases[i], &want);
        run_case(m, i, &f->cases[i], &got);
        compare(&f->cases[i], name, &want, &got);
        free_memory(&want);
        free_memory(&got);
    }
}

/* ---- backends ---- */

/* NAME, NAME:LEVEL or NAME:INDEX. A backend or level that this machine lacks is passed over, and said so. */
static void check_backend(Fixture *f, const char *spec)
{
    SnError err = {0};
    char name[32] = {0};
    const char *colon = strchr(spec, ':');
    (void)snprintf(name, sizeof name, "%.*s", colon != NULL ? (int)(colon - spec) : 31, spec);
    const bool is_index = colon != NULL && colon[1] >= '0' && colon[1] <= '9';
    const SnContextDesc desc = {.struct_size = sizeof desc,
                                .cpu_level = colon != NULL && !is_index ? colon + 1 : NULL};
    const SnCompilerDesc cc_desc = {.struct_size = sizeof cc_desc, .backends = sn_all_backends};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnModule *m = NULL;
    SnTarget t;
    const SnBackend *backend;
    SnStatus st = sn_context_create(&desc, &ctx, &err);
    if (st == SN_OK)
        st = sn_compiler_create(ctx, &cc_desc, &cc, &err);
    if (st == SN_OK)
        st = sn_compiler_backend(cc, name, &backend, &err);
    if (st == SN_OK)
        st = backend->probe(ctx, is_index ? atoi(colon + 1) : 0, &t, &err);
    if (st == SN_OK) {
        t.exact = true;
        st = backend->build(ctx, &t, f->kernel, f->n, &m, &err);
    }
    if (st == SN_OK)
        compare_backend(f, spec, m);
    else if (st != SN_EUNSUPPORTED)
        fail_msg("%s: %s: %s", spec, sn_status_name(st), err.message);
    printf("%-12s %s%s\n", spec, st == SN_OK ? "same bits" : "passed over: ", st == SN_OK ? "" : err.message);
    if (m != NULL)
        m->destroy(m);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

/* ---- tests ---- */

static int setup(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnTarget t;
    assert_ok(sn_context_create(NULL, &f->ctx, &err));
    assert_ok(sn_store_create(f->ctx, &f->s, &err));
    sn_arena_init(&f->arena, sn_allocator(f->ctx));
    for (const SnTestKernel *row = sn_test_kernels; row->name != NULL; row++)
        add_case(f, row);
    add_ops(f);
    assert_ok(sn_backend_interp.probe(f->ctx, 0, &t, &err));
    assert_ok(sn_backend_interp.build(f->ctx, &t, f->kernel, f->n, &f->oracle, &err));
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    f->oracle->destroy(f->oracle);
    sn_arena_clear(&f->arena);
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
    return 0;
}

static void kernels_write_something(void **state)
{
    Fixture *f = (Fixture *)*state;
    for (uint32_t i = 0; i < f->n; i++) {
        Memory before = make_memory(&f->cases[i]), after = make_memory(&f->cases[i]);
        bool changed = false;
        run_case(f->oracle, i, &f->cases[i], &after);
        for (size_t b = 0; b < before.n; b++)
            changed |= memcmp(before.at[b], after.at[b], (size_t)before.size[b]) != 0;
        if (!changed)
            fail_msg("kernel %s changes nothing", f->cases[i].row.name);
        free_memory(&before);
        free_memory(&after);
    }
}

static void kernels_round_trip_as_text(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    for (uint32_t i = 0; i < f->n; i++) {
        SnText text = {.memory = sn_allocator(f->ctx)};
        SnKernel *again;
        sn_kernel_print(f->kernel[i], &text);
        assert_ok(sn_kernel_parse(f->s, &f->arena, "again", sn_bytes(text.at, text.n), &again, &err));
        if (again->key.lo != f->kernel[i]->key.lo || again->key.hi != f->kernel[i]->key.hi)
            fail_msg("kernel %s does not round trip:\n%s", f->cases[i].row.name, text.at);
        sn_text_clear(&text);
    }
}

/* The arguments of the program. */
typedef struct Suite {
    Fixture f;
    char **spec;
    int nspec;
} Suite;

static void backends_give_the_bits_of_interp(void **state)
{
    static const char *const usual[] = {"clike", "llvm", "llvm:v4d", "llvm:v4", "llvm:v3"};
    Suite *s = (Suite *)*state;
    for (int i = 0; i < s->nspec; i++)
        check_backend(&s->f, s->spec[i]);
    for (size_t i = 0; i < SN_COUNT(usual) && s->nspec == 0; i++)
        check_backend(&s->f, usual[i]);
}

int main(int argc, char **argv)
{
    static Suite suite;
    suite.spec = argv + 1;
    suite.nspec = argc - 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(kernels_write_something, &suite),
        cmocka_unit_test_prestate(kernels_round_trip_as_text, &suite),
        cmocka_unit_test_prestate(backends_give_the_bits_of_interp, &suite),
    };
    void *state = &suite;
    setup(&state);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    teardown(&state);
    return failed;
}
