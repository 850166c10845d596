/* attend_test.c -- what is claimed: how many kernels, and no buffer that grows with queries x keys. */
#include "compiler/target.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#define SEQ 1024

typedef struct Rig {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnProgram *p;
    SnValue seq;
} Rig;

static Rig rig_create(void)
{
    Rig r = {0};
    SnError err;
    assert_ok(sn_context_create(NULL, &r.ctx, &err));
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_ok(sn_compiler_create(r.ctx, &cd, &r.cc, &err));
    assert_ok(sn_graph_create(r.cc, &r.g, &err));
    r.seq = sn_symbol(r.g, "seq", 1, 4096);
    return r;
}

static SnMemoryUse plan(Rig *r)
{
    SnError err;
    SnMemoryUse use = {0};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    assert_ok(sn_compile(r->cc, r->g, &o, &r->p, &err));
    assert_ok(sn_program_plan(r->p, NULL, "seq=1024", &use, &err));
    return use;
}

static void rig_destroy(Rig *r)
{
    sn_program_release(r->p);
    sn_graph_destroy(r->g);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
}

static SnValue size(Rig *r, int64_t v)
{
    return sn_const_int(r->g, SN_I64, v);
}

/* [1, seq, 64] ▶ [1, 4, seq, 16] */
static SnValue heads_of(Rig *r, const char *name, SnDtype dtype)
{
    const SnValue x = sn_input(r->g, name, dtype, 3, (SnValue[]){size(r, 1), r->seq, size(r, 64)});
    const SnValue y = sn_reshape(r->g, x, 4, (SnValue[]){size(r, 1), r->seq, size(r, 4), size(r, 16)});
    return sn_permute(r->g, y, (int[]){0, 2, 1, 3});
}

static SnValue merge_heads(Rig *r, SnValue y)
{
    const SnValue dims[] = {size(r, 1), r->seq, size(r, 64)};
    return sn_reshape(r->g, sn_permute(r->g, y, (int[]){0, 2, 1, 3}), 3, dims);
}

static SnValue attend(Rig *r, SnValue q, SnValue bias, SnValue mask)
{
    return sn_attention(r->g, q, heads_of(r, "k", SN_F32), heads_of(r, "v", SN_F32), bias, mask, 0, 0);
}

static SnValue key_bias(Rig *r)
{
    const SnValue dims[] = {size(r, 1), size(r, 1), size(r, 1), r->seq};
    const SnValue seen = sn_not(r->g, sn_eq(r->g, sn_input(r->g, "mask", SN_I64, 4, dims), size(r, 0)));
    return sn_where(r->g, seen, sn_const(r->g, SN_F32, 0), sn_const(r->g, SN_F32, -1e9));
}

/* The attention of a layer of BERT: keys to panels, and all the rest; the panels and the result are all that
 * is stored. */
static void layer_is_two_kernels_without_scores(void **state)
{
    (void)state;
    Rig r = rig_create();
    sn_output(r.g, "y", merge_heads(&r, attend(&r, heads_of(&r, "q", SN_F32), key_bias(&r), sn_none())));
    const SnMemoryUse use = plan(&r);
    assert_int_equal(use.steps, 2);
    assert_true(use.scratch_bytes <= 2 * SEQ * 64 * sizeof(float) + 4096);
    rig_destroy(&r);
}

/* Two layers share a mask that is a function of places and of the padding. */
static void mask_of_places_is_not_stored(void **state)
{
    (void)state;
    Rig r = rig_create();
    SnGraph *g = r.g;
    const SnValue dims[] = {size(&r, 1), size(&r, 1), r.seq, r.seq};
    const SnValue i = sn_iota(g, SN_I64, 2, 4, dims), j = sn_iota(g, SN_I64, 3, 4, dims);
    const SnValue near = sn_lt(g, sn_abs(g, sn_sub(g, i, j)), size(&r, 64));
    const SnValue bias = sn_where(g, near, sn_broadcast(g, key_bias(&r), 4, dims), sn_const(g, SN_F32, -1e9));
    const SnValue first = attend(&r, heads_of(&r, "q", SN_F32), bias, sn_none());
    sn_output(g, "y", merge_heads(&r, attend(&r, first, bias, sn_not(g, sn_lt(g, i, j)))));
    assert_true(plan(&r).scratch_bytes < SEQ * SEQ * sizeof(float) / 2);
    rig_destroy(&r);
}

static void probabilities_are_stored_where_wanted(void **state)
{
    (void)state;
    Rig r = rig_create();
    const SnValue p = sn_attention_probs(r.g, heads_of(&r, "q", SN_F32), heads_of(&r, "k", SN_F32), sn_none(),
                                         sn_none(), 0, 0);
    sn_output(r.g, "y", merge_heads(&r, sn_attention_context(r.g, p, heads_of(&r, "v", SN_F32))));
    assert_true(plan(&r).scratch_bytes >= 4 * SEQ * SEQ * sizeof(float));
    rig_destroy(&r);
}

/* Keys and values to panels, then both kernels: what each row leaves to the second is two numbers. */
static void gradient_has_no_scores(void **state)
{
    (void)state;
    Rig r = rig_create();
    const SnValue q = heads_of(&r, "q", SN_F32), k = heads_of(&r, "k", SN_F32), v = heads_of(&r, "v", SN_F32);
    const SnValue dims[] = {size(&r, 1), r.seq, size(&r, 4), size(&r, 16)};
    const SnValue up = sn_input(r.g, "up", SN_F32, 4, dims), row = sn_input(r.g, "row", SN_F32, 3, dims);
    const SnValue d = sn_attention_rows_grad(r.g, q, k, v, row, up, key_bias(&r), sn_none(), 0, 0);
    for (int i = 0; i < 3; i++)
        sn_output(r.g, (const char *[]){"q", "k", "v"}[i], sn_get(r.g, d, i));
    const SnMemoryUse use = plan(&r);
    assert_int_equal(use.steps, 4);
    assert_true(use.scratch_bytes <= 5 * SEQ * 64 * sizeof(float) + 2 * SEQ * 4 * sizeof(float) + 4096);
    rig_destroy(&r);
}

/* Sums of f64 have no kernel of their own: the op is expanded. */
static void f64_is_not_claimed(void **state)
{
    (void)state;
    Rig r = rig_create();
    const SnValue q = heads_of(&r, "q", SN_F64), k = heads_of(&r, "k", SN_F64), v = heads_of(&r, "v", SN_F64);
    sn_output(r.g, "y", merge_heads(&r, sn_attention(r.g, q, k, v, sn_none(), sn_none(), 0, 0)));
    assert_true(plan(&r).steps > 2);
    rig_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_is_two_kernels_without_scores),
        cmocka_unit_test(mask_of_places_is_not_stored),
        cmocka_unit_test(probabilities_are_stored_where_wanted),
        cmocka_unit_test(gradient_has_no_scores),
        cmocka_unit_test(f64_is_not_claimed),
    };
    return cmocka_run_group_tests_name("attend", tests, NULL, NULL);
}
