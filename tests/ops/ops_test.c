/* ops_test.c -- every composite, on random operands made from its signature: compiled for a target, against
 * the evaluator. Names of dims stand for small sizes, given as symbols; every op runs in f32 and bf16, with
 * and without its optional operands. Arguments: targets (default: interp); SEED=N repeats a run. */
#include "backends/backends.h"
#include "compiler/compiler.h"
#include "compiler/eval.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_VALUES 12288

typedef struct Run { /* one op, one way */
    SnContext *ctx;
    SnCompiler *cc;
    const SnOpRow *row;
    SnDtype f; /* what the variable F is */
    bool has_optional;
    uint64_t random;
    SnNamedView in[SN_SIG_OPERANDS];
    size_t nin;
    char name[SN_SIG_OPERANDS][24];
    uint8_t data[SN_SIG_OPERANDS][MAX_VALUES * 8];
} Run;

static const char *default_targets[] = {"interp"};
static const char **targets = default_targets;
static int ntarget = 1;
static uint64_t seed = 1;

/* Sizes of dims by name: heads 4 in 2 groups, the rest unlike each other; `..` is [2, 3], as is `*`. */
static int64_t size_of(const char *name)
{
    static const char letters[] = "bcdefghikmnoprstvqw";
    static const int64_t sizes[] = {2, 3, 8, 6, 5, 2, 4, 7, 9, 4, 5, 6, 3, 3, 3, 5, 11, 3, 4};
    const char *const at = strchr(letters, name[0]);
    assert_non_null(at);
    return sizes[at - letters];
}

static double next_random(Run *r) /* in 0..1 */
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (double)(r->random >> 40) / (double)(1 << 24);
}

static SnDtype dtype_of(const Run *r, const SnSigType *p)
{
    if (p->fixed != SN_NODTYPE)
        return p->fixed;
    switch (p->dtype[0]) {
    case 'I':
        return SN_I64;
    case 'B':
        return SN_BOOL;
    default:
        return strcmp(p->dtype, "F") == 0 ? r->f : SN_F32;
    }
}

static int dims_of(SnGraph *g, const SnSigType *p, int64_t *size, SnValue *dims)
{
    int n = 0;
    for (int i = 0; i < p->ndim; i++) {
        const SnSigDim *const d = &p->dim[i];
        if (d->kind >= SN_SIG_REST) {
            size[n] = 2;
            dims[n++] = sn_symbol(g, "r0", 1, 16);
            size[n] = 3;
            dims[n++] = sn_symbol(g, "r1", 1, 16);
        } else {
            size[n] = d->kind == SN_SIG_NUMBER ? d->number : size_of(d->name);
            dims[n] =
                d->kind == SN_SIG_NUMBER ? sn_const_int(g, SN_I64, d->number) : sn_symbol(g, d->name, 1, 16);
            n++;
        }
    }
    return n;
}

static SnValue random_input(Run *r, SnGraph *g, const SnSigType *p)
{
    SnValue dims[SN_MAX_RANK];
    int64_t size[SN_MAX_RANK], count = 1;
    const SnDtype dtype = dtype_of(r, p);
    const int n = dims_of(g, p, size, dims);
    for (int i = 0; i < n; i++)
        count *= size[i];
    assert_true(count <= MAX_VALUES);
    for (int64_t i = 0; i < count; i++) {
        const double x = next_random(r);
        const SnScalar v = {.f = dtype == SN_BOOL ? x > 0.5 : dtype == SN_I64 ? floor(x * 3) : x * 4 - 2};
        sn_scalar_store(dtype, r->data[r->nin] + (size_t)i * sn_dtype_size(dtype),
                        sn_scalar_cast(SN_F64, dtype, v, false));
    }
    snprintf(r->name[r->nin], sizeof r->name[0], "x%zu", r->nin);
    r->in[r->nin] = (SnNamedView){r->name[r->nin], sn_view(dtype, r->data[r->nin], n, size)};
    return sn_input(g, r->name[r->nin++], dtype, n, dims);
}

/* A mask or bias of any dims must fit what the op computes: left out here, tests/golden has it. */
static bool is_given(const Run *r, const SnSigOperand *o)
{
    return !o->is_optional || (r->has_optional && o->type.dim[0].kind != SN_SIG_FREE);
}

static void build(Run *r, SnGraph *g)
{
    SnValue in[SN_SIG_OPERANDS];
    SnAttr attr[SN_SIG_ATTRS];
    const SnSig *const sig = &r->row->sig;
    int nattr = 0;
    char name[16];
    r->nin = 0;
    for (int i = 0; i < sig->noperand; i++)
        in[i] = is_given(r, &sig->operand[i]) ? random_input(r, g, &sig->operand[i].type) : sn_none();
    for (int i = 0; i < sig->nattr; i++) {
        const char *const a = sig->attr[i].value.name;
        if (sig->attr[i].is_required && sig->attr[i].kind == SN_SIG_STR)
            attr[nattr++] = SN_STRING(a, "ab,cb->ca"); /* einsum */
        else if (sig->attr[i].is_required)
            attr[nattr++] = SN_INT(a, strcmp(a, "axis") == 0 ? 1 : 3);
    }
    const SnValue y = sn_op(g, sig->name, in, sig->noperand, attr, nattr);
    const SnType *const t = sn_value_type(g, y);
    for (int i = 0; i < (t->nchild > 0 ? t->nchild : 1); i++) {
        snprintf(name, sizeof name, "y%d", i);
        sn_output(g, name, t->nchild > 0 ? sn_get(g, y, i) : y);
    }
}

static double value_at(const SnView *v, int64_t i)
{
    const uint8_t *const at = (const uint8_t *)v->data + (size_t)i * sn_dtype_size(v->dtype);
    return sn_scalar_cast(v->dtype, SN_F64, sn_scalar_load(v->dtype, at), false).f;
}

static void compare(const Run *r, const char *target, const SnView *found, const SnView *expected)
{
    const SnDtype d = expected->dtype;
    const double tolerance = !sn_dtype_is_float(d) ? 0 : r->f == SN_F32 ? 1e-5 : 2e-2;
    int64_t n = 1;
    assert_int_equal(found->dtype, d);
    assert_int_equal(found->ndim, expected->ndim);
    for (int i = 0; i < expected->ndim; i++) {
        assert_int_equal(found->dims[i], expected->dims[i]);
        n *= expected->dims[i];
    }
    for (int64_t i = 0; i < n; i++) {
        const double a = value_at(found, i), e = value_at(expected, i);
        const bool is_same = (isnan(a) && isnan(e)) || a == e || fabs(a - e) <= tolerance * (fabs(e) + 0.5);
        if (!is_same)
            fail_msg("%s on %s (%s, seed %llu): element %d is %.9g, expected %.9g", r->row->sig.name, target,
                     sn_dtype(r->f)->name, (unsigned long long)seed, (int)i, a, e);
    }
}

static void run_target(const Run *r, SnGraph *g, const char *target, const SnEvalResult *expected)
{
    const SnCompileOptions options = {.struct_size = sizeof options, .target = target};
    SnProgram *program = NULL;
    SnInstance *instance = NULL;
    SnError err = {0};
    SnStatus st = sn_compile(r->cc, g, &options, &program, &err);
    if (st == SN_OK)
        st = sn_instance_create(program, NULL, &instance, &err);
    for (size_t i = 0; i < r->nin && st == SN_OK; i++)
        st = sn_bind(instance, r->in[i].name, &r->in[i].view, &err);
    if (st == SN_OK)
        st = sn_run(instance, &err);
    if (st != SN_OK)
        fail_msg("%s on %s: %s", r->row->sig.name, target, err.message);
    for (size_t i = 0; i < sn_eval_count(expected); i++) {
        const SnNamedView *const e = sn_eval_get(expected, i);
        SnView found;
        assert_ok(sn_result(instance, e->name, &found, &err));
        compare(r, target, &found, &e->view);
    }
    sn_instance_destroy(instance);
    sn_program_release(program);
}

static void run_once(Run *r)
{
    SnGraph *g = NULL;
    SnEvalResult *expected = NULL;
    SnError err = {0};
    assert_ok(sn_graph_create(r->cc, &g, &err));
    build(r, g);
    const SnRef root = sn_graph_root(g);
    if (sn_graph_check(g, &err) != SN_OK || sn_eval(g, root, "main", r->in, r->nin, &expected, &err) != SN_OK)
        fail_msg("%s: %s", r->row->sig.name, err.message);
    for (int i = 0; i < ntarget; i++)
        run_target(r, g, targets[i], expected);
    sn_eval_destroy(expected);
    sn_graph_destroy(g);
}

/* Lists, objects and blocks of weights have tests of their own. */
static bool is_covered(const SnOpRow *row)
{
    static const char *const blocks[] = {"dequantize_blocks", "quantize_blocks",   "linear_blocks",
                                         "linear_quantized",  "quantize_rows",     "product_blocks",
                                         "grouped_blocks",    "grouped_quantized", "product_grouped"};
    for (size_t i = 0; i < SN_COUNT(blocks); i++) {
        if (strcmp(row->sig.name, blocks[i]) == 0)
            return false;
    }
    for (int i = 0; i < row->sig.noperand; i++) {
        if (row->sig.operand[i].type.kind != SN_SIG_TENSOR)
            return false;
    }
    return row->op->run == NULL;
}

static void composites_match_eval(void **state)
{
    (void)state;
    static Run r;
    SnError err;
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_ok(sn_context_create(NULL, &r.ctx, &err));
    assert_ok(sn_compiler_create(r.ctx, &desc, &r.cc, &err));
    for (uint32_t i = 0; sn_compiler_op(r.cc, i) != NULL; i++) {
        r.row = sn_compiler_row_of(r.cc, (uint16_t)(SN_PRIM_COUNT + i));
        for (int way = 0; way < 4 && is_covered(r.row); way++) {
            r.f = way < 2 ? SN_F32 : SN_BF16;
            r.has_optional = way % 2 == 0;
            r.random = seed * 0x9E3779B97F4A7C15u + i + 1;
            run_once(&r);
        }
    }
    sn_compiler_destroy(r.cc);
    sn_context_destroy(r.ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(composites_match_eval)};
    if (getenv("SEED") != NULL)
        seed = strtoull(getenv("SEED"), NULL, 10);
    if (argc > 1) {
        targets = (const char **)(uintptr_t)(argv + 1);
        ntarget = argc - 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
