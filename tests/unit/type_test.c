/* type_test.c -- types, the algebra of dims, unification and substitution. */
#include "tests/unit/store.h"

#include <stdio.h>

static void type_equal_parts_equal_id_and_print(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef b = unit_symbol(s, "b"), n = unit_symbol(s, "n");
    const SnRef dims[2] = {b, sn_dim_mul(s, sn_const_i64(s, 4), n)};
    const SnTypeId t = sn_type_tensor(s, SN_F32, 2, dims),
                   l = sn_type_list(s, SN_U8, 1, &b, sn_const_i64(s, 64));
    assert_int_equal(t, sn_type_tensor(s, SN_F32, 2, dims));
    assert_type(s, t, "f32[b,4*n]");
    assert_type(s, l, "list<u8>[b] max=64");
    assert_type(s, sn_type_scalar(s, SN_BF16), "bf16");
    const char *names[2] = {"x", "text"};
    const SnTypeId child[2] = {t, l};
    assert_type(s, sn_type_tuple(s, 2, child, names), "tuple<x: f32[b,4*n], text: list<u8>[b] max=64>");
    assert_int_not_equal(sn_type_tuple(s, 2, child, names), sn_type_tuple(s, 2, child, NULL));
    assert_type(s, sn_type_make(s, &(SnType){.kind = SN_TYPE_OBJECT, .class_name = "tok"}), "object<tok>");
}

static void type_too_deep_or_wide_refused(void **state)
{
    SnStore *s = unit_store(state);
    SnTypeId t = sn_type_scalar(s, SN_F32);
    int depth = 0;
    while (depth < 1000 && (t = sn_type_tuple(s, 1, &t, NULL)) != 0)
        depth++;
    assert_in_range(depth, 30, SN_MAX_TYPE_DEPTH);
    t = sn_type_scalar(s, SN_F32);
    int doublings = 0;
    for (; doublings < 100 && t != 0; doublings++) {
        const SnTypeId two[2] = {t, t};
        t = sn_type_tuple(s, 2, two, NULL);
    }
    assert_in_range(doublings, 16, 18);
    assert_false(sn_store_failed(s));
}

static void dim_canonical_forms(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef a = unit_symbol(s, "a"), b = unit_symbol(s, "b"), c2 = sn_const_i64(s, 2),
                c1 = sn_const_i64(s, 1);
    const SnRef a1 = sn_dim_add(s, a, c1), b1 = sn_dim_add(s, b, c1);
    assert_dim(s, sn_dim_mul(s, a1, b1), "a*b+a+b+1");
    assert_int_equal(sn_dim_sub(s, sn_dim_mul(s, a1, b1), a), sn_dim_add(s, sn_dim_mul(s, b, a), b1));
    assert_int_equal(sn_dim_sub(s, a, a), sn_const_i64(s, 0));
    assert_dim(s, sn_dim_sub(s, c1, a), "-a+1");
    const SnRef ab2 = sn_dim_mul(s, sn_dim_mul(s, a, b), c2);
    assert_int_equal(sn_dim_div(s, ab2, a), sn_dim_mul(s, b, c2));
    assert_int_equal(sn_dim_mod(s, ab2, a), sn_const_i64(s, 0));
    assert_int_equal(sn_dim_div(s, sn_dim_mul(s, a1, b1), a1), b1);
    assert_dim(s, sn_dim_div(s, sn_dim_add(s, ab2, c1), c2), "a*b");
    assert_dim(s, sn_dim_mod(s, sn_dim_add(s, ab2, c1), c2), "1");
    assert_dim(s, sn_dim_div(s, a, c2), "idiv(a, 2)");
    assert_int_equal(sn_dim_div(s, sn_dim_div(s, a, c2), c2), sn_dim_div(s, a, sn_const_i64(s, 4)));
    assert_dim(s, sn_dim_div(s, sn_dim_mul(s, a, sn_const_i64(s, 6)), sn_const_i64(s, 4)), "a+idiv(a, 2)");
    assert_int_equal(sn_dim_max(s, a, c1), a);
    assert_int_equal(sn_dim_min(s, a1, a), a);
    assert_dim(s, sn_dim_max(s, a, sn_const_i64(s, 3)), "max(a, 3)");
    assert_true(sn_dim_equal(s, sn_dim_add(s, a, b), sn_dim_add(s, b, a)));
    assert_false(sn_dim_equal(s, a, b));
}

static void dim_divisor_that_may_be_zero_stays(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef z = sn_dim_symbol(s, "z", 0, 100, false);
    assert_dim(s, sn_dim_div(s, z, z), "idiv(z, z)");
    assert_int_equal(sn_dim_div(s, sn_const_i64(s, 5), sn_const_i64(s, 0)), sn_const_i64(s, 0));
    assert_int_equal(sn_dim_mod(s, sn_const_i64(s, 5), sn_const_i64(s, 0)), sn_const_i64(s, 5));
}

static void dim_ranges_saturate(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef a = sn_dim_symbol(s, "a", 2, 10, true), n = sn_dim_symbol(s, "n", 0, INT64_MAX, false);
    int64_t lo, hi;
    sn_dim_range(s, sn_dim_sub(s, sn_dim_mul(s, a, a), sn_const_i64(s, 5)), &lo, &hi);
    assert_int_equal(lo, -1);
    assert_int_equal(hi, 95);
    sn_dim_range(s, sn_dim_mul(s, n, sn_dim_add(s, n, a)), &lo, &hi);
    assert_int_equal(lo, 0);
    assert_true(hi == INT64_MAX);
    sn_dim_range(s, sn_dim_mod(s, n, a), &lo, &hi);
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 9);
    sn_dim_range(s, sn_dim_div(s, a, sn_const_i64(s, 3)), &lo, &hi);
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 3);
    const SnRef big = sn_const_i64(s, INT64_MAX);
    assert_false(sn_is_dim(s, sn_dim_mul(s, big, sn_dim_mul(s, big, n)))); /* overflow is no dim */
}

static void dim_too_large_is_no_dim(void **state)
{
    SnStore *s = unit_store(state);
    SnRef d = sn_const_i64(s, 0);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        d = sn_dim_min(s, sn_dim_add(s, d, unit_symbol(s, name)), unit_symbol(s, "top"));
    }
    assert_int_not_equal(d, 0);
    assert_false(sn_is_dim(s, d));
}

/* ---- random identities: the canonical form and the plain meaning have the same value ---- */

#define NSYMBOL 3

typedef struct Values {
    SnStore *s;
    SnRef symbol[NSYMBOL];
    int64_t value[NSYMBOL];
} Values;

static bool leaf_value(void *self, SnRef leaf, int64_t *value)
{
    const Values *v = (const Values *)self;
    for (int i = 0; i < NSYMBOL; i++) {
        if (v->symbol[i] == leaf) {
            *value = v->value[i];
            return true;
        }
    }
    return false;
}

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A random dim and its value computed beside it. */
static SnRef random_dim(const Values *v, int depth, uint32_t *seed, int64_t *value)
{
    static const uint16_t ops[] = {SN_OP_ADD, SN_OP_SUB, SN_OP_MUL, SN_OP_IDIV,
                                   SN_OP_MOD, SN_OP_MIN, SN_OP_MAX};
    if (depth == 0 || random_next(seed) % 4 == 0) {
        const uint32_t k = random_next(seed) % (NSYMBOL + 2);
        *value = k < NSYMBOL ? v->value[k] : (int64_t)(random_next(seed) % 9) - 2;
        return k < NSYMBOL ? v->symbol[k] : sn_const_i64(v->s, *value);
    }
    const uint16_t op = ops[random_next(seed) % SN_COUNT(ops)];
    SnScalar arg[2], out;
    const SnRef a = random_dim(v, depth - 1, seed, &arg[0].i), b = random_dim(v, depth - 1, seed, &arg[1].i);
    assert_true(sn_scalar_apply(op, SN_I64, arg, &out));
    *value = out.i;
    return sn_dim_op(v->s, op, a, b);
}

static void dim_random_forms_keep_their_value(void **state)
{
    SnStore *s = unit_store(state);
    const Values base = {
        s, {unit_symbol(s, "x"), unit_symbol(s, "y"), sn_dim_symbol(s, "z", 0, 50, false)}, {0}};
    for (uint32_t i = 0; i < 6000; i++) {
        Values v = base;
        uint32_t seed = i;
        v.value[0] = 1 + (int64_t)(random_next(&seed) % 9);
        v.value[1] = 1 + (int64_t)(random_next(&seed) % 9);
        v.value[2] = (int64_t)(random_next(&seed) % 5);
        int64_t want, found, lo, hi;
        const SnRef d = random_dim(&v, 4, &seed, &want);
        assert_true(sn_dim_eval(s, d, leaf_value, &v, &found));
        if (want != found)
            fail_msg("seed %u: %lld, expected %lld", i, (long long)found, (long long)want);
        sn_dim_range(s, d, &lo, &hi);
        assert_true(lo <= found && found <= hi);
        assert_true(sn_dim_equal(s, d, d));
    }
}

static void dim_eval_unbound_leaf_fails(void **state)
{
    SnStore *s = unit_store(state);
    Values v = {s, {0}, {0}};
    int64_t out;
    assert_false(
        sn_dim_eval(s, sn_dim_add(s, unit_symbol(s, "q"), sn_const_i64(s, 1)), leaf_value, &v, &out));
}

/* ---- unification ---- */

static void unify_swapped_symbols_and_solves_sums(void **state)
{
    SnStore *s = unit_store(state);
    SnError err;
    const SnRef b = unit_symbol(s, "b"), n = unit_symbol(s, "n"), two = sn_const_i64(s, 2);
    const SnRef bn[2] = {b, n}, nb[2] = {n, b};
    const SnRef sum = sn_dim_add(s, sn_dim_mul(s, n, two), b),
                actual = sn_dim_add(s, sn_dim_mul(s, b, two), n);
    SnTypeId pattern[2] = {sn_type_tensor(s, SN_F32, 1, &sum), sn_type_tensor(s, SN_F32, 2, bn)};
    SnTypeId found[2] = {sn_type_tensor(s, SN_F32, 1, &actual), sn_type_tensor(s, SN_F32, 2, nb)};
    SnBindings bind = {0};
    int bad;
    assert_ok(sn_types_unify(s, pattern, found, 2, &bind, &bad, &err));
    assert_int_equal(sn_dim_bind(s, sum, &bind), actual);

    const SnRef twice = sn_dim_mul(s, n, two), eight = sn_const_i64(s, 8), seven = sn_const_i64(s, 7);
    pattern[0] = sn_type_tensor(s, SN_F32, 1, &twice);
    found[0] = sn_type_tensor(s, SN_F32, 1, &eight);
    bind.n = 0;
    assert_ok(sn_types_unify(s, pattern, found, 1, &bind, &bad, &err));
    assert_int_equal(sn_dim_bind(s, n, &bind), sn_const_i64(s, 4));
    found[0] = sn_type_tensor(s, SN_F32, 1, &seven);
    bind.n = 0;
    assert_fails(SN_ESHAPE, sn_types_unify(s, pattern, found, 1, &bind, &bad, &err));
    assert_string_equal(err.message, "expected f32[2*n], found f32[7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit_store_test(type_equal_parts_equal_id_and_print),
        unit_store_test(type_too_deep_or_wide_refused),
        unit_store_test(dim_canonical_forms),
        unit_store_test(dim_divisor_that_may_be_zero_stays),
        unit_store_test(dim_ranges_saturate),
        unit_store_test(dim_too_large_is_no_dim),
        unit_store_test(dim_random_forms_keep_their_value),
        unit_store_test(dim_eval_unbound_leaf_fails),
        unit_store_test(unify_swapped_symbols_and_solves_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
