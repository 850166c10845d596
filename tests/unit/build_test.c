/* build_test.c -- the graph builder: types, promotion, sticky errors, captures, results. */
#include "ops/ops.h"
#include "tests/unit/fixture.h"

#include <stdlib.h>

static int setup(void **state)
{
    return fixture_open(state, sn_all_ops);
}

static SnGraph *graph(void **state)
{
    return ((Fixture *)*state)->g;
}

static SnValue tensor(SnGraph *g, const char *name, SnDtype dtype, int ndim, const char *const *dims)
{
    SnValue at[SN_MAX_RANK];
    for (int i = 0; i < ndim; i++)
        at[i] = dims[i][0] >= '0' && dims[i][0] <= '9' ? sn_const_int(g, SN_I64, strtoll(dims[i], NULL, 10))
                                                       : sn_symbol(g, dims[i], 1, 512);
    return sn_input(g, name, dtype, ndim, at);
}
#define DIMS(...)                                                                                            \
    (int)SN_COUNT(((const char *const[]){__VA_ARGS__})), (const char *const[])                               \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void assert_type(SnGraph *g, SnValue v, const char *expected)
{
    SnText t = {.memory = sn_allocator(sn_store_context(sn_graph_store(g)))};
    SnError err = {0};
    assert_ok(sn_graph_check(g, &err));
    sn_type_print(sn_graph_store(g), sn_term(sn_graph_store(g), v.ref)->type, &t);
    assert_string_equal(t.at, expected);
    sn_text_clear(&t);
}

static void assert_error(SnGraph *g, const char *expected)
{
    SnError err = {0};
    assert_int_not_equal(sn_graph_check(g, &err), SN_OK);
    assert_string_equal(err.message, expected);
}

static void elementwise_broadcasts_and_promotes(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_BF16, DIMS("b", "4")), i = tensor(g, "i", SN_I32, DIMS("4"));
    assert_type(g, sn_add(g, x, i), "bf16[b,4]");
    assert_type(g, sn_mul(g, x, sn_const(g, SN_F64, 0.5)), "bf16[b,4]");
    assert_type(g, sn_mul(g, i, sn_const(g, SN_F32, 0.5)), "f32[4]");
    assert_type(g, sn_add(g, i, sn_const_int(g, SN_I64, 3)), "i32[4]");
    assert_type(g, sn_lt(g, i, sn_dim(g, x, 0)), "bool[4]");
    assert_type(g, sn_where(g, sn_lt(g, x, sn_const(g, SN_F32, 0)), sn_const(g, SN_F32, 1), x), "bf16[b,4]");
    assert_type(g, sn_div(g, sn_sum_of(g, x, -1), sn_dim(g, x, 0)), "bf16[b,1]");
}

/* The order of a sum of several labels is that of the first operand: there it stays as it is. */
static void permuted_operands_of_contract_are_labels(void **state)
{
    SnGraph *g = graph(state);
    const SnStore *s = sn_graph_store(g);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("r", "4")), w = tensor(g, "w", SN_F32, DIMS("4", "o"));
    const SnValue a = sn_contract(g, "ri,oi->ro", x, sn_permute(g, w, (int[]){1, 0}), SN_F32);
    assert_string_equal(sn_attr_string(s, a.ref, "eq"), "ri,io->ro");
    assert_int_equal(sn_term(s, a.ref)->arg[1], w.ref);
    const SnValue q = tensor(g, "q", SN_F32, DIMS("4", "5", "r")),
                  turned = sn_permute(g, q, (int[]){1, 0, 2});
    const SnValue v = tensor(g, "v", SN_F32, DIMS("5", "4", "o"));
    const SnValue b = sn_contract(g, "jir,jio->ro", turned, v, SN_F32);
    assert_string_equal(sn_attr_string(s, b.ref, "eq"), "jir,jio->ro");
    assert_int_equal(sn_term(s, b.ref)->arg[0], turned.ref);
    assert_type(g, b, "f32[r,o]");
}

static void dims_are_computed_not_built(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("b", "s", "6"));
    const SnValue b = sn_dim(g, x, 0), s = sn_dim(g, x, 1);
    assert_int_equal(sn_mul(g, b, s).ref, sn_mul(g, s, b).ref);
    assert_int_equal(sn_sub(g, sn_add(g, b, s), s).ref, b.ref);
    const SnValue rows[] = {sn_const_int(g, SN_I32, -1), sn_const_int(g, SN_I32, 3)};
    assert_type(g, sn_reshape(g, x, 2, rows), "f32[2*b*s,3]");
}

static void first_error_sticks_with_types_and_scope(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("b", "4")), y = tensor(g, "y", SN_F32, DIMS("5"));
    sn_scope_push(g, "model");
    sn_scope_push(g, "layers.%d", 3);
    const SnValue bad = sn_add(g, x, y);
    sn_scope_pop(g);
    assert_int_equal(bad.ref, 0);
    assert_int_equal(sn_exp(g, bad).ref, 0);
    assert_int_equal(sn_softmax(g, sn_slice_axis(g, bad, 7, bad, bad), 4).ref, 0);
    assert_string_equal(sn_scope_path(g), "model");
    assert_error(g, "add(f32[b,4], f32[5]): dims do not broadcast together in model.layers.3");
    assert_int_equal(sn_graph_root(g), 0);
}

static void wrong_composite_call_names_operand(void **state)
{
    SnGraph *const g = graph(state);
    (void)sn_softmax(g, tensor(g, "i", SN_I32, DIMS("4")), -1);
    assert_error(g, "softmax(i32[4]): operand 1 (x): expected F[..], found i32[4]");
}

static void unknown_op_and_missing_operand_fail(void **state)
{
    SnGraph *const g = graph(state);
    (void)sn_op(g, "no_such", NULL, 0, NULL, 0);
    assert_error(g, "op no_such: there is no such op");
}

static void missing_operand_fails(void **state)
{
    SnGraph *const g = graph(state);
    (void)sn_linear(g, tensor(g, "x", SN_F32, DIMS("4")), sn_none(), sn_none());
    assert_error(g, "linear(f32[4], none, none): operand 2 (w) is missing");
}

static void primitives_are_reachable_by_name(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue in[] = {tensor(g, "x", SN_F32, DIMS("b", "4")), sn_const_int(g, SN_I32, 2)};
    assert_int_equal(sn_op(g, "mul", in, 2, NULL, 0).ref, sn_mul(g, in[0], in[1]).ref);
    assert_int_equal(sn_op(g, "tanh", in, 1, NULL, 0).ref, sn_tanh(g, in[0]).ref);
}

static void composites_are_terms(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("b", "s", "4"));
    const SnValue w = sn_param(g, "w", SN_F32, 2, (const int64_t[]){7, 4});
    const SnValue y = sn_linear(g, x, w, sn_none());
    assert_type(g, y, "f32[b,s,7]");
    assert_int_equal(y.ref, sn_op(g, "linear", (const SnValue[]){x, w}, 2, NULL, 0).ref);
    assert_int_equal(sn_term(sn_graph_store(g), y.ref)->narg, 3);
    assert_type(g, sn_mean(g, x, (const int64_t[]){0, -1}, 2, true), "f32[1,s,1]");
    assert_type(g, sn_embedding(g, tensor(g, "ids", SN_I64, DIMS("b")), w), "f32[b,4]");
    assert_type(g, sn_top_k(g, x, 2, -1, true), "tuple<f32[b,s,2], i64[b,s,2]>");
    assert_type(g, sn_clamp(g, x, 0, 1), "f32[b,s,4]");
}

static void equal_functions_are_one_term(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    SnValue x = tensor(g, "x", SN_F32, DIMS("b", "4")), fn[2];
    for (int i = 0; i < 2; i++) {
        const SnValue w = sn_param(g, i == 0 ? "w0" : "w1", SN_F32, 1, (const int64_t[]){4});
        sn_fn_begin(g, "layer");
        const SnValue a = sn_fn_arg(g, sn_term(s, x.ref)->type);
        fn[i] = sn_fn_end(g, sn_mul(g, a, w));
        x = sn_call(g, fn[i], 1, &x);
        assert_type(g, x, "f32[b,4]");
        assert_int_equal(sn_term(s, x.ref)->narg, 3);
        assert_int_equal(sn_term(s, x.ref)->arg[2], w.ref);
    }
    assert_int_equal(fn[0].ref, fn[1].ref);
}

static void nested_functions_capture_through_each_other(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("4"));
    sn_fn_begin(g, "outer");
    const SnValue y = sn_exp(g, x);
    sn_fn_begin(g, "inner");
    const SnValue inner = sn_fn_end(g, sn_add(g, sn_mul(g, x, y), sn_const(g, SN_F32, 1)));
    const SnValue outer = sn_fn_end(g, sn_call(g, inner, 0, NULL));
    const SnValue r = sn_call(g, outer, 0, NULL);
    assert_type(g, r, "f32[4]");
    assert_int_equal(sn_term(s, r.ref)->narg, 2);
    assert_int_equal(sn_term(s, r.ref)->arg[1], x.ref);
    assert_int_equal(sn_term(s, inner.ref)->narg, 3);
}

static void inner_value_outside_fails(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("4"));
    sn_fn_begin(g, "body");
    const SnValue y = sn_exp(g, x);
    const SnValue fn = sn_fn_end(g, y);
    (void)sn_add(g, sn_call(g, fn, 0, NULL), y);
    assert_error(g, "a value of function body is used outside of it");
}

static void measured_dims_become_symbols_inside(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("n", "4")), zero = sn_const(g, SN_F32, 0);
    const SnValue mask = sn_reduce(g, "or", sn_gt(g, x, zero), 1, &(int){1}, false);
    const SnValue y = sn_compact(g, x, mask, sn_none());
    const SnValue m = sn_dim(g, y, 0);
    assert_int_equal(sn_term(s, m.ref)->op, SN_OP_MEASURE);
    sn_fn_begin(g, "f");
    const SnValue a = sn_fn_arg(g, sn_term(s, y.ref)->type);
    const SnValue inside = sn_add(g, a, sn_broadcast(g, zero, 2, (const SnValue[]){m, sn_dim(g, a, 1)}));
    assert_type(g, inside, "f32[_m0,4]");
    const SnValue fn = sn_fn_end(g, inside);
    const SnValue r = sn_call(g, fn, 1, &y);
    assert_int_equal(sn_dim(g, r, 0).ref, m.ref);
}

/* No operand's type tells the measure: a further operand does. */
static void measure_without_operand_is_bound(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    const SnValue n = tensor(g, "n", SN_I64, 0, NULL);
    const SnValue m = sn_measure(g, n, sn_const_int(g, SN_I64, 16));
    sn_fn_begin(g, "f");
    const SnValue fn = sn_fn_end(g, sn_iota(g, SN_I32, 0, 1, &m));
    const SnValue r = sn_call(g, fn, 0, NULL);
    SnError err = {0};
    assert_ok(sn_graph_check(g, &err));
    assert_int_equal(sn_term(s, r.ref)->narg, 2);
    assert_int_equal(sn_dim(g, r, 0).ref, m.ref);
}

static void loop_joins_captures_of_both_functions(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("4")), limit = tensor(g, "limit", SN_F32, 0, NULL);
    const SnValue rows = tensor(g, "rows", SN_F32, DIMS("t", "4"));
    const SnTypeId type = sn_term(s, x.ref)->type, i64 = sn_type_scalar(s, SN_I64);
    const SnValue start = sn_cast(g, sn_sub(g, x, x), SN_F32);
    sn_fn_begin(g, "body");
    (void)sn_fn_arg(g, i64);
    const SnValue state_in = sn_fn_arg(g, type), row = sn_fn_arg(g, type);
    const SnValue sum = sn_add(g, state_in, sn_mul(g, row, x));
    const SnValue body = sn_fn_end(g, sn_tuple(g, 2, (const SnValue[]){sum, row}, NULL));
    sn_fn_begin(g, "while");
    (void)sn_fn_arg(g, i64);
    const SnValue now = sn_fn_arg(g, type);
    const SnValue below = sn_lt(g, sn_reduce(g, "max", now, 0, NULL, false), limit);
    const SnValue test = sn_fn_end(g, below);
    const SnValue r = sn_loop(g, body, test, sn_dim(g, rows, 0), 1, &start, 1, &rows);
    assert_type(g, r, "tuple<f32[4], f32[t,4], i64>");
    const SnTerm *const t = sn_term(s, r.ref);
    assert_int_equal(t->narg, 3 + 1 + 1 + 2);
    assert_int_equal(t->arg[5], x.ref);
    assert_int_equal(t->arg[6], limit.ref);
    assert_int_equal(sn_term(s, t->arg[0])->narg, 1 + 3 + 2);
    assert_int_equal(sn_term(s, t->arg[1])->narg, 1 + 2 + 2);
    assert_type(g, sn_get(g, r, 1), "f32[t,4]");
}

static void cond_shares_captures(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue x = tensor(g, "x", SN_F32, DIMS("4")), y = tensor(g, "y", SN_F32, DIMS("4"));
    const SnValue p = sn_lt(g, sn_reduce(g, "max", x, 0, NULL, false), sn_const(g, SN_F32, 0));
    sn_fn_begin(g, "then");
    const SnValue then_fn = sn_fn_end(g, sn_add(g, x, y));
    sn_fn_begin(g, "else");
    const SnValue else_fn = sn_fn_end(g, sn_exp(g, y));
    const SnValue r = sn_cond(g, p, then_fn, else_fn, 0, NULL);
    assert_type(g, r, "f32[4]");
    assert_int_equal(sn_term(sn_graph_store(g), r.ref)->narg, 5);
}

static void root_holds_entries_and_carries(void **state)
{
    SnGraph *const g = graph(state);
    SnStore *const s = sn_graph_store(g);
    const SnValue n = sn_carry(g, "n", sn_const_int(g, SN_I64, 0));
    sn_entry_begin(g, "step");
    sn_next(g, n, sn_add(g, n, sn_const_int(g, SN_I64, 1)));
    sn_output(g, "n", n);
    sn_entry_begin(g, "peek");
    sn_output(g, "n", n);
    const SnRef root = sn_graph_root(g);
    SnError err = {0};
    assert_ok(sn_graph_check(g, &err));
    assert_int_equal(sn_term(s, root)->op, SN_OP_PROGRAM);
    assert_int_equal(sn_term(s, root)->narg, 2); /* "main" has no outputs */
    const SnTerm *const step = sn_term(s, sn_term(s, root)->arg[0]);
    assert_int_equal(step->narg, 3);
    assert_int_equal(step->arg[1], n.ref);
    assert_string_equal(sn_attr_string(s, sn_term(s, root)->arg[1], "name"), "peek");
}

static void names_are_unique(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue a = sn_param(g, "w", SN_F32, 1, (const int64_t[]){4});
    assert_int_equal(a.ref, sn_param(g, "w", SN_F32, 1, (const int64_t[]){4}).ref);
    (void)sn_param(g, "w", SN_F32, 1, (const int64_t[]){5});
    assert_error(g, "param w: there is another one of this name");
}

static void rope_and_attention_keep_types(void **state)
{
    SnGraph *const g = graph(state);
    const SnValue q = tensor(g, "q", SN_F16, DIMS("b", "8", "s", "64")),
                  k = tensor(g, "k", SN_F16, DIMS("b", "2", "t", "64"));
    const SnValue pos = tensor(g, "pos", SN_I64, DIMS("b", "s")),
                  freq = tensor(g, "freq", SN_F32, DIMS("b", "16"));
    const SnValue bias = tensor(g, "bias", SN_F32, DIMS("b", "1", "s", "t"));
    assert_type(g, sn_rope(g, q, pos, freq, true, 1), "f16[b,8,s,64]");
    assert_type(g, sn_attention(g, q, k, k, bias, sn_none(), 0, 30), "f16[b,8,s,64]");
    assert_type(g, sn_attention_probs(g, q, k, sn_none(), sn_none(), 0.5, 0), "f16[b,8,s,t]");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(elementwise_broadcasts_and_promotes),
        CASE(permuted_operands_of_contract_are_labels),
        CASE(dims_are_computed_not_built),
        CASE(first_error_sticks_with_types_and_scope),
        CASE(wrong_composite_call_names_operand),
        CASE(unknown_op_and_missing_operand_fail),
        CASE(missing_operand_fails),
        CASE(primitives_are_reachable_by_name),
        CASE(composites_are_terms),
        CASE(equal_functions_are_one_term),
        CASE(nested_functions_capture_through_each_other),
        CASE(inner_value_outside_fails),
        CASE(measured_dims_become_symbols_inside),
        CASE(measure_without_operand_is_bound),
        CASE(loop_joins_captures_of_both_functions),
        CASE(cond_shares_captures),
        CASE(root_holds_entries_and_carries),
        CASE(names_are_unique),
        CASE(rope_and_attention_keep_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
