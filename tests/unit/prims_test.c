/* prims_test.c -- shape rules of the primitives and their messages; substitution. */
#include "tests/unit/store.h"

#include <stdio.h>

/* One row: operands by name, attributes, and the type that comes out or the message. */
typedef struct Case {
    uint16_t op;
    const char *arg[6];
    SnAttr attr[4];
    const char *want;
} Case;

static const int64_t ax0[] = {0}, ax1[] = {1}, ax01[] = {0, 1}, ax00[] = {0, 0}, swap[] = {1, 0},
                     step2[] = {2, 2};

/* Operands: names of leaves below. */
static SnRef leaf(SnStore *s, const char *name)
{
    const SnRef b = unit_symbol(s, "b"), n = unit_symbol(s, "n"), c3 = sn_const_i64(s, 3),
                c4 = sn_const_i64(s, 4);
    const SnRef bn[2] = {b, n}, c34[2] = {c3, c4}, b1[2] = {b, sn_const_i64(s, 1)};
    const struct {
        const char *name;
        SnDtype dtype;
        int ndim;
        const SnRef *dims;
    } input[] = {{"x", SN_F32, 2, bn},   {"y", SN_F32, 2, bn},   {"w", SN_F32, 1, &n},
                 {"c", SN_F32, 2, c34},  {"i", SN_I32, 2, bn},   {"p", SN_BOOL, 2, bn},
                 {"m", SN_BOOL, 1, &b},  {"k", SN_I64, 1, &b},   {"s", SN_I64, 0, NULL},
                 {"f", SN_F32, 0, NULL}, {"col", SN_F32, 2, b1}, {"u", SN_U8, 2, c34},
                 {"up", SN_F32, 2, bn}};
    for (size_t k = 0; k < SN_COUNT(input); k++) {
        if (strcmp(name, input[k].name) == 0)
            return unit_input(s, name, input[k].dtype, input[k].ndim, input[k].dims);
    }
    if (strcmp(name, "l") == 0 || strcmp(name, "open") == 0) {
        const SnAttr a = SN_STRING("name", name);
        return sn_term_make(s, SN_OP_INPUT,
                            sn_type_list(s, SN_U8, 1, &b, name[0] == 'l' ? sn_const_i64(s, 64) : 0),
                            sn_attrs_make(s, &a, 1), NULL, 0);
    }
    if (strcmp(name, "b") == 0 || strcmp(name, "n") == 0)
        return name[0] == 'b' ? b : n;
    if (strcmp(name, "b*n") == 0)
        return sn_dim_mul(s, b, n);
    if (strcmp(name, "none") == 0)
        return sn_term_make(s, SN_OP_NONE, 0, 0, NULL, 0);
    int v = 0;
    assert_int_equal(sscanf(name, "%d", &v), 1);
    return sn_const_i64(s, v);
}

static const Case cases[] = {
    {SN_OP_ADD, {"x", "y"}, {{0}}, "f32[b,n]"},
    {SN_OP_ADD, {"x", "w"}, {{0}}, "add: operand 2: expected f32[b,n], found f32[n]"},
    {SN_OP_ADD, {"x", "i"}, {{0}}, "add: operand 2: expected f32[b,n], found i32[b,n]"},
    {SN_OP_ADD, {"p", "p"}, {{0}}, "add: operand 1: expected numbers, found bool[b,n]"},
    {SN_OP_ADD, {"x"}, {{0}}, "add: 1 operands: expected 2"},
    {SN_OP_DIV, {"i", "i"}, {{0}}, "div: operand 1: expected floats, found i32[b,n]"},
    {SN_OP_IDIV, {"x", "x"}, {{0}}, "idiv: operand 1: expected integers, found f32[b,n]"},
    {SN_OP_LT, {"x", "y"}, {{0}}, "bool[b,n]"},
    {SN_OP_AND, {"p", "p"}, {{0}}, "bool[b,n]"},
    {SN_OP_EXP, {"w"}, {{0}}, "f32[n]"},
    {SN_OP_FMA, {"x", "y", "x"}, {{0}}, "f32[b,n]"},
    {SN_OP_WHERE, {"p", "x", "y"}, {{0}}, "f32[b,n]"},
    {SN_OP_WHERE,
     {"x", "x", "y"},
     {{0}},
     "where: operand 1: expected bool with the dims of operand 2, found f32[b,n]"},
    {SN_OP_WHERE, {"m", "l", "l"}, {{0}}, "list<u8>[b] max=64"},
    {SN_OP_CAST, {"x"}, {SN_DTYPE("to", SN_F16)}, "f16[b,n]"},
    {SN_OP_CAST,
     {"l"},
     {SN_DTYPE("to", SN_F16)},
     "cast: operand 1: expected a tensor, found list<u8>[b] max=64"},
    {SN_OP_BITCAST, {"u"}, {SN_DTYPE("to", SN_F32)}, "f32[3,1]"},
    {SN_OP_BITCAST, {"x"}, {SN_DTYPE("to", SN_U8)}, "u8[b,4*n]"},
    {SN_OP_BITCAST,
     {"w"},
     {SN_DTYPE("to", SN_F64)},
     "bitcast: operand 1: expected a last dim that is whole elements of f64, found f32[n]"},
    {SN_OP_IOTA, {"b", "n"}, {SN_INT("axis", 1), SN_DTYPE("dtype", SN_I64)}, "i64[b,n]"},
    {SN_OP_IOTA,
     {"b", "s"},
     {SN_INT("axis", 1), SN_DTYPE("dtype", SN_I64)},
     "iota: operand 2: expected a dim (constant, symbol, measure or arithmetic on them), found i64"},
    {SN_OP_MEASURE, {"s", "none"}, {{0}}, "i64"},
    {SN_OP_MEASURE, {"f", "none"}, {{0}}, "measure: operand 1: expected an integer scalar, found f32"},
    {SN_OP_RESHAPE, {"x", "b*n"}, {{0}}, "f32[b*n]"},
    {SN_OP_RESHAPE, {"x", "n", "n"}, {{0}}, "f32[n,n]"},
    {SN_OP_RESHAPE, {"c", "5"}, {{0}}, "reshape: operand 1: expected 5 elements, found f32[3,4]"},
    {SN_OP_PERMUTE, {"x"}, {SN_INTS("perm", swap, 2)}, "f32[n,b]"},
    {SN_OP_PERMUTE, {"x"}, {SN_INTS("perm", ax00, 2)}, "permute: axis 0 is named twice"},
    {SN_OP_BROADCAST, {"col", "5", "b", "n"}, {{0}}, "f32[5,b,n]"},
    {SN_OP_BROADCAST,
     {"w", "b", "b"},
     {{0}},
     "broadcast: operand 1: expected 1 or the dim of the result on axis 1, found f32[n]"},
    {SN_OP_SLICE, {"c", "s", "0", "2", "4"}, {{0}}, "f32[2,4]"},
    {SN_OP_SLICE, {"c", "0", "0", "2", "2"}, {SN_INTS("steps", step2, 2)}, "f32[2,2]"},
    {SN_OP_SLICE,
     {"c", "0", "0", "4", "4"},
     {{0}},
     "slice: operand 1: expected more elements on axis 0 than the slice takes, found f32[3,4]"},
    {SN_OP_PAD,
     {"c", "1", "0", "0", "-2"},
     {{0}},
     "pad: operand 1: expected rank 1, as there are amounts, found f32[3,4]"},
    {SN_OP_PAD, {"w", "1", "n", "f"}, {{0}}, "f32[2*n+1]"},
    {SN_OP_PAD, {"w", "0", "0", "f"}, {SN_INTS("interior", ax1, 1)}, "f32[2*n-1]"},
    {SN_OP_FLIP, {"x"}, {SN_INTS("axes", ax1, 1)}, "f32[b,n]"},
    {SN_OP_CONCAT, {"x", "y", "x"}, {SN_INT("axis", 1)}, "f32[b,3*n]"},
    {SN_OP_CONCAT, {"l", "l"}, {SN_INT("axis", 0)}, "list<u8>[2*b] max=128"},
    {SN_OP_CONCAT,
     {"x", "col"},
     {SN_INT("axis", 0)},
     "concat: operand 2: expected the dims of operand 1 except on axis 0, found f32[b,1]"},
    {SN_OP_WINDOW, {"c"}, {SN_INT("axis", 1), SN_INT("size", 3)}, "f32[3,2,3]"},
    {SN_OP_WINDOW,
     {"c"},
     {SN_INT("axis", 1), SN_INT("size", 3), SN_INT("dilation", 2)},
     "window: operand 1: expected 5 elements or more on axis 1, found f32[3,4]"},
    {SN_OP_REDUCE, {"x"}, {SN_STRING("fn", "add"), SN_INTS("axes", ax1, 1), SN_INT("keep", 1)}, "f32[b,1]"},
    {SN_OP_REDUCE, {"x"}, {SN_STRING("fn", "max"), SN_INTS("axes", ax01, 2)}, "f32"},
    {SN_OP_REDUCE,
     {"x"},
     {SN_STRING("fn", "or"), SN_INTS("axes", ax0, 1)},
     "reduce: operand 1: expected integers or bool, found f32[b,n]"},
    {SN_OP_REDUCE,
     {"x"},
     {SN_STRING("fn", "sum"), SN_INTS("axes", ax0, 1)},
     "reduce: unknown combiner 'sum'"},
    {SN_OP_SCAN, {"x"}, {SN_STRING("fn", "add"), SN_INT("axis", 1)}, "f32[b,n]"},
    {SN_OP_SCAN, {"x"}, {SN_STRING("fn", "add"), SN_INT("axis", 2)}, "scan: axis 2 is outside rank 2"},
    {SN_OP_ARGMAX, {"x"}, {SN_INT("axis", 0), SN_INT("keep", 1)}, "i64[1,n]"},
    {SN_OP_CONTRACT, {"x", "y"}, {SN_STRING("eq", "bn,cn->bc")}, "f32[b,b]"},
    {SN_OP_CONTRACT,
     {"x", "w"},
     {SN_STRING("eq", "bn,b->n")},
     "contract: operand 2: expected the same dim for 'b' as in operand 1, found f32[n]"},
    {SN_OP_CONTRACT,
     {"x", "w"},
     {SN_STRING("eq", "bb,n->n")},
     "contract: label 'b' repeats inside an operand or rank is beyond 12"},
    {SN_OP_CONTRACT, {"u", "u"}, {SN_STRING("eq", "ab,cb->ac")}, "i32[3,3]"},
    {SN_OP_GATHER, {"x", "k"}, {SN_INTS("axes", ax0, 1)}, "f32[b,n]"},
    {SN_OP_GATHER, {"x", "i"}, {SN_INTS("axes", ax1, 1)}, "f32[b,n,b]"},
    {SN_OP_GATHER, {"x", "i", "s"}, {SN_INTS("axes", ax01, 2)}, "f32[b,n]"},
    {SN_OP_GATHER, {"l", "i"}, {SN_INTS("axes", ax0, 1)}, "list<u8>[b,n] max=64"},
    {SN_OP_GATHER,
     {"x", "w"},
     {SN_INTS("axes", ax0, 1)},
     "gather: operand 2: expected integers, found f32[n]"},
    {SN_OP_SCATTER, {"x", "k", "up"}, {SN_INTS("axes", ax0, 1), SN_STRING("fn", "add")}, "f32[b,n]"},
    {SN_OP_UPDATE, {"x", "col", "0", "s"}, {{0}}, "f32[b,n]"},
    {SN_OP_SORT,
     {"x", "i"},
     {SN_INT("axis", 1), SN_INT("limit", 4)},
     "tuple<f32[b,min(n, 4)], i32[b,min(n, 4)]>"},
    {SN_OP_COMPACT, {"x", "m", "n"}, {{0}}, "f32[n,n]"},
    {SN_OP_GET, {"l"}, {SN_INT("index", 0)}, "i64[b]"},
    {SN_OP_GET, {"l"}, {SN_INT("index", 2)}, "u8[64]"},
    {SN_OP_GET,
     {"open"},
     {SN_INT("index", 2)},
     "get: operand 1: expected a list with a capacity (max=), found list<u8>[b]"},
    {SN_OP_TUPLE, {"x", "l"}, {{0}}, "tuple<f32[b,n], list<u8>[b] max=64>"},
    {SN_OP_LIST, {"k", "k", "w"}, {{0}}, "list<f32>[b] max=n"},
    {SN_OP_OFFSETS, {"l"}, {{0}}, "i64[b+1]"},
    {SN_OP_VALUES, {"l", "n"}, {{0}}, "u8[n]"},
};

static void rules_give_types_and_messages(void **state)
{
    SnStore *s = unit_store(state);
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        const Case *c = &cases[i];
        SnRef arg[6], out = 0;
        int narg = 0, nattr = 0;
        SnError err = {0};
        while (narg < 6 && c->arg[narg] != NULL) {
            arg[narg] = leaf(s, c->arg[narg]);
            narg++;
        }
        while (nattr < 4 && c->attr[nattr].name != NULL)
            nattr++;
        if (sn_term_build(s, c->op, sn_attrs_make(s, c->attr, nattr), arg, narg, &out, &err) == SN_OK)
            assert_type(s, sn_term(s, out)->type, c->want);
        else
            assert_string_equal(err.message, c->want);
    }
}

static SnRef make_arg(SnStore *s, int index, SnTypeId type)
{
    const SnAttr a = SN_INT("index", index);
    return sn_term_make(s, SN_OP_ARG, type, sn_attrs_make(s, &a, 1), NULL, 0);
}

static SnRef build(SnStore *s, uint16_t op, const SnAttr *attr, int nattr, const SnRef *arg, int narg)
{
    SnRef r = 0;
    SnError err;
    assert_ok(sn_term_build(s, op, sn_attrs_make(s, attr, nattr), arg, narg, &r, &err));
    return r;
}

static void call_binds_dims_of_the_function(void **state)
{
    SnStore *s = unit_store(state);
    SnError err;
    const SnRef d = unit_symbol(s, "d"), x = make_arg(s, 0, sn_type_tensor(s, SN_F32, 1, &d));
    const SnRef two[2] = {x, x}, both = build(s, SN_OP_CONCAT, (SnAttr[]){SN_INT("axis", 0)}, 1, two, 2);
    const SnRef fn = build(s, SN_OP_FN, NULL, 0, (SnRef[]){both, x}, 2);
    const SnRef call = build(s, SN_OP_CALL, NULL, 0, (SnRef[]){fn, leaf(s, "w")}, 2);
    assert_type(s, sn_term(s, call)->type, "f32[2*n]");
    SnRef out;
    assert_fails(SN_ESHAPE, sn_term_build(s, SN_OP_CALL, 0, (SnRef[]){fn, leaf(s, "x")}, 2, &out, &err));
    assert_string_equal(err.message, "call: argument 1 of operand 1: expected f32[d], found f32[b,n]");
}

static void call_measure_leaves_as_the_measure_of_operands(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef none = leaf(s, "none"), n = make_arg(s, 0, sn_type_scalar(s, SN_I64));
    const SnRef m = build(s, SN_OP_MEASURE, NULL, 0, (SnRef[]){n, none}, 2);
    const SnRef iota =
        build(s, SN_OP_IOTA, (SnAttr[]){SN_INT("axis", 0), SN_DTYPE("dtype", SN_I32)}, 2, &m, 1);
    const SnRef fn = build(s, SN_OP_FN, NULL, 0, (SnRef[]){iota, n}, 2), k = leaf(s, "s");
    const SnRef call = build(s, SN_OP_CALL, NULL, 0, (SnRef[]){fn, k}, 2);
    assert_int_equal(sn_type_of(s, call)->dims[0], build(s, SN_OP_MEASURE, NULL, 0, (SnRef[]){k, none}, 2));
}

static void loop_carried_types_stay_rows_stack(void **state)
{
    SnStore *s = unit_store(state);
    SnError err;
    const SnRef d = unit_symbol(s, "d"), i = make_arg(s, 0, sn_type_scalar(s, SN_I64));
    const SnRef c = make_arg(s, 1, sn_type_tensor(s, SN_F32, 1, &d)),
                x = make_arg(s, 2, sn_type_tensor(s, SN_F32, 1, &d));
    const SnRef sum = build(s, SN_OP_ADD, NULL, 0, (SnRef[]){c, x}, 2);
    const SnRef ret = build(s, SN_OP_TUPLE, NULL, 0, (SnRef[]){sum, i}, 2);
    const SnRef body = build(s, SN_OP_FN, NULL, 0, (SnRef[]){ret, i, c, x}, 4), none = leaf(s, "none");
    const SnAttr counts[2] = {SN_INT("ncarry", 1), SN_INT("nscan", 1)};
    const SnRef good[5] = {body, none, leaf(s, "b"), leaf(s, "w"), leaf(s, "x")};
    assert_type(s, sn_term(s, build(s, SN_OP_LOOP, counts, 2, good, 5))->type, "tuple<f32[n], i64[b], i64>");
    const SnRef bad[5] = {body, none, leaf(s, "b"), leaf(s, "k"), leaf(s, "x")};
    SnRef out;
    assert_fails(SN_ESHAPE, sn_term_build(s, SN_OP_LOOP, sn_attrs_make(s, counts, 2), bad, 5, &out, &err));
    assert_string_equal(err.message, "loop: argument 2 of operand 1: expected f32[d], found i64[b]");
}

static void subst_rebuilds_types_from_new_dims(void **state)
{
    SnStore *s = unit_store(state);
    SnError err;
    SnSubst sub;
    SnArena arena;
    SnRef out = 0;
    const SnRef x = leaf(s, "x"), two[2] = {x, leaf(s, "y")};
    const SnRef sum = build(s, SN_OP_ADD, NULL, 0, two, 2);
    const SnRef flat = build(s, SN_OP_RESHAPE, NULL, 0, (SnRef[]){sum, leaf(s, "b*n")}, 2);
    sn_arena_init(&arena, sn_allocator(sn_store_context(s)));
    assert_ok(sn_subst_begin(&sub, s, &arena, &err));
    sub.map[leaf(s, "b")] = sn_const_i64(s, 3);
    assert_ok(sn_subst(&sub, flat, &out, &err));
    assert_type(s, sn_term(s, out)->type, "f32[3*n]");
    assert_type(s, sn_term(s, sn_term(s, out)->arg[0])->type, "f32[3,n]");
    sn_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit_store_test(rules_give_types_and_messages),
        unit_store_test(call_binds_dims_of_the_function),
        unit_store_test(call_measure_leaves_as_the_measure_of_operands),
        unit_store_test(loop_carried_types_stay_rows_stack),
        unit_store_test(subst_rebuilds_types_from_new_dims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
