/* ops_test.c -- every composite, on random operands made from its signature: compiled for a target, against
 * the evaluator. Names of dims stand for small sizes, given as symbols; every op runs in f32 and bf16, with
 * and without its optional operands. Arguments: targets (default: interp); SEED=N repeats a run. */
#include "compiler/eval.h"
#include "tests/ops/calls.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *default_targets[] = {"interp"};
static const char **targets = default_targets;
static int ntarget = 1;
static uint64_t seed = 1;

/* The outputs y0.. of a call. */
static void build(Calls *r, SnGraph *g)
{
    SnValue in[SN_SIG_OPERANDS];
    char name[16];
    const SnValue y = calls_build(r, g, in);
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

static void compare(const Calls *r, const char *target, const SnView *found, const SnView *expected)
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

static void run_target(const Calls *r, SnGraph *g, const char *target, const SnEvalResult *expected)
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

static void run_once(Calls *r)
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

static void composites_match_eval(void **state)
{
    (void)state;
    static Calls r;
    calls_open(&r);
    for (uint32_t i = 0; sn_compiler_op(r.cc, i) != NULL; i++) {
        r.row = sn_compiler_row_of(r.cc, (uint16_t)(SN_PRIM_COUNT + i));
        for (int way = 0; way < 4 && calls_covers(r.row); way++) {
            r.f = way < 2 ? SN_F32 : SN_BF16;
            r.has_optional = way % 2 == 0;
            r.random = seed * 0x9E3779B97F4A7C15u + i + 1;
            run_once(&r);
        }
    }
    calls_close(&r);
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
