/* term_test.c -- hash-consing, attributes, scalar arithmetic and the makers that fold. */
#include "tests/unit/store.h"

#include <math.h>

static void term_equal_parts_equal_ref(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef n = unit_symbol(s, "n");
    const SnRef a = unit_input(s, "a", SN_F32, 1, &n), b = unit_input(s, "b", SN_F32, 1, &n);
    assert_int_equal(a, unit_input(s, "a", SN_F32, 1, &n));
    assert_int_not_equal(a, b);
    const SnRef ab[2] = {a, b}, ba[2] = {b, a};
    const SnTypeId t = sn_term(s, a)->type;
    assert_int_equal(sn_term_make(s, SN_OP_ADD, t, 0, ab, 2), sn_term_make(s, SN_OP_ADD, t, 0, ba, 2));
    assert_int_not_equal(sn_term_make(s, SN_OP_SUB, t, 0, ab, 2), sn_term_make(s, SN_OP_SUB, t, 0, ba, 2));
}

static void term_missing_operand_gives_error_term(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef arg[2] = {0, sn_const_i64(s, 1)};
    assert_int_equal(sn_term_make(s, SN_OP_ADD, 0, 0, arg, 2), 0);
    assert_int_equal(sn_term(s, 0)->op, SN_OP_ERROR);
    assert_int_equal(sn_type_of(s, 0)->kind, 0);
    assert_int_equal(sn_dtype_of(s, 0), SN_NODTYPE);
}

static void term_many_terms_keep_their_refs(void **state)
{
    SnStore *s = unit_store(state);
    SnRef first[1000];
    for (int64_t i = 0; i < 1000; i++)
        first[i] = sn_const_i64(s, i * 77);
    for (int64_t i = 0; i < 1000; i++) {
        int64_t v = -1;
        assert_int_equal(first[i], sn_const_i64(s, i * 77));
        assert_true(sn_is_const_i64(s, first[i], &v));
        assert_int_equal(v, i * 77);
    }
}

static void attrs_any_order_equal_id(void **state)
{
    SnStore *s = unit_store(state);
    const int64_t axes[2] = {0, 2};
    const char *names[2] = {"x", "y"};
    const SnAttr a[3] = {SN_INT("keep", 1), SN_INTS("axes", axes, 2), SN_NAMES("names", names, 2)};
    const SnAttr b[3] = {a[2], a[0], a[1]};
    const SnAttrId id = sn_attrs_make(s, a, 3);
    assert_int_equal(id, sn_attrs_make(s, b, 3));
    assert_int_not_equal(id, sn_attrs_make(s, a, 2));
    assert_int_equal(sn_attrs_make(s, NULL, 0), 0);
    int n;
    assert_string_equal(sn_attrs(s, id, &n)[0].name, "axes");
    assert_int_equal(n, 3);
    assert_null(sn_attrs_find(s, id, "axe"));
    assert_string_equal(sn_attrs_find(s, id, "names")->u.names.at[1], "y");
}

static void const_zero_signs_differ_nans_agree(void **state)
{
    SnStore *s = unit_store(state);
    assert_int_not_equal(sn_const_f32(s, 0.0f), sn_const_f32(s, -0.0f));
    assert_int_equal(sn_const_f32(s, NAN), sn_const_f32(s, -NAN));
    assert_int_not_equal(sn_const_i64(s, 1), sn_const_scalar(s, SN_I32, (SnScalar){.i = 1}));
}

static SnScalar apply(uint16_t op, SnDtype d, SnScalar a, SnScalar b)
{
    const SnScalar arg[3] = {a, b, {0}};
    SnScalar out = {0};
    assert_true(sn_scalar_apply(op, d, arg, &out));
    return out;
}

static int64_t apply_i(uint16_t op, SnDtype d, int64_t a, int64_t b)
{
    return apply(op, d, (SnScalar){.i = a}, (SnScalar){.i = b}).i;
}

static double apply_f(uint16_t op, SnDtype d, double a, double b)
{
    return apply(op, d, (SnScalar){.f = a}, (SnScalar){.f = b}).f;
}

static void apply_integers_wrap_and_floor(void **state)
{
    (void)state;
    assert_int_equal(apply_i(SN_OP_ADD, SN_I8, 127, 1), -128);
    assert_int_equal(apply_i(SN_OP_MUL, SN_I32, 1 << 30, 4), 0);
    assert_int_equal(apply_i(SN_OP_SUB, SN_U8, 0, 1), 255);
    assert_int_equal(apply_i(SN_OP_NEG, SN_I64, INT64_MIN, 0), INT64_MIN);
    assert_int_equal(apply_i(SN_OP_ABS, SN_I8, -128, 0), -128);
    assert_int_equal(apply_i(SN_OP_NOT, SN_U16, 1, 0), 0xFFFE);
    assert_int_equal(apply_i(SN_OP_NOT, SN_BOOL, 1, 0), 0);
    static const int64_t cases[][4] = {/* a, b, idiv, mod */
                                       {7, 2, 3, 1},
                                       {-7, 2, -4, 1},
                                       {7, -2, -4, -1},
                                       {-7, -2, 3, -1},
                                       {-8, 2, -4, 0},
                                       {5, 0, 0, 5},
                                       {INT64_MIN, -1, INT64_MIN, 0}};
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        assert_int_equal(apply_i(SN_OP_IDIV, SN_I64, cases[i][0], cases[i][1]), cases[i][2]);
        assert_int_equal(apply_i(SN_OP_MOD, SN_I64, cases[i][0], cases[i][1]), cases[i][3]);
    }
    assert_int_equal(apply_i(SN_OP_IDIV, SN_I8, -128, -1), -128);
    assert_true(apply(SN_OP_IDIV, SN_U64, (SnScalar){.u = UINT64_MAX}, (SnScalar){.u = 2}).u ==
                UINT64_MAX / 2);
    assert_int_equal(apply_i(SN_OP_LT, SN_U64, -1, 1), 0);
    assert_int_equal(apply_i(SN_OP_LT, SN_I64, -1, 1), 1);
    assert_int_equal(apply_i(SN_OP_MAX, SN_I32, -5, -6), -5);
}

static void apply_shifts_past_the_width(void **state)
{
    (void)state;
    assert_int_equal(apply_i(SN_OP_SHL, SN_I32, 1, 31), INT32_MIN);
    assert_int_equal(apply_i(SN_OP_SHL, SN_I32, 1, 32), 0);
    assert_int_equal(apply_i(SN_OP_SHR, SN_I8, -128, 3), -16);
    assert_int_equal(apply_i(SN_OP_SHR, SN_I8, -128, 8), -1);
    assert_int_equal(apply_i(SN_OP_SHR, SN_I64, -5, -1), -1);
    assert_int_equal(apply_i(SN_OP_SHR, SN_U8, 128, 9), 0);
    assert_int_equal(apply_i(SN_OP_SHR, SN_U32, 0x80000000, 31), 1);
}

static void apply_floats_nan_and_zero_rules(void **state)
{
    (void)state;
    assert_true(isnan(apply_f(SN_OP_MIN, SN_F32, 1, (double)NAN)) &&
                isnan(apply_f(SN_OP_MAX, SN_F32, (double)NAN, 1)));
    assert_true(signbit(apply_f(SN_OP_MIN, SN_F32, 0.0, -0.0)) &&
                signbit(apply_f(SN_OP_MIN, SN_F32, -0.0, 0.0)));
    assert_false(signbit(apply_f(SN_OP_MAX, SN_F32, 0.0, -0.0)) ||
                 signbit(apply_f(SN_OP_MAX, SN_F32, -0.0, 0.0)));
    assert_true(apply_f(SN_OP_ROUND, SN_F64, 2.5, 0) == 2.0 && apply_f(SN_OP_ROUND, SN_F64, -3.5, 0) == -4.0);
    assert_true(apply_f(SN_OP_MOD, SN_F32, -7, 3) == 2.0 && apply_f(SN_OP_MOD, SN_F32, 7, -3) == -2.0);
    assert_true(apply_f(SN_OP_MOD, SN_F32, 5, 0) == 5.0);
    assert_int_equal(apply(SN_OP_EQ, SN_F32, (SnScalar){.f = (double)NAN}, (SnScalar){.f = (double)NAN}).i,
                     0);
    SnScalar out;
    assert_false(sn_scalar_apply(SN_OP_EXP, SN_F32, &(SnScalar){.f = 1}, &out));
    assert_false(sn_scalar_apply(SN_OP_AND, SN_F32, (SnScalar[2]){{.f = 1}, {.f = 1}}, &out));
}

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed ^ (*seed >> 13);
}

static void apply_f32_equals_f32_arithmetic(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    for (int i = 0; i < 20000; i++) {
        float v[3];
        for (int k = 0; k < 3; k++) {
            /* exponents around 1, so that sums and products round */
            const uint32_t bits =
                (random_next(&seed) & 0x807FFFFFu) | ((100 + random_next(&seed) % 54) << 23);
            memcpy(&v[k], &bits, sizeof bits);
        }
        const double a = (double)v[0], b = (double)v[1];
        assert_true(apply_f(SN_OP_ADD, SN_F32, a, b) == (double)(v[0] + v[1]));
        assert_true(apply_f(SN_OP_MUL, SN_F32, a, b) == (double)(v[0] * v[1]));
        assert_true(apply_f(SN_OP_DIV, SN_F32, a, b) == (double)(v[0] / v[1]));
        assert_true(apply_f(SN_OP_SQRT, SN_F32, fabs(a), 0) == (double)sqrtf(fabsf(v[0])));
        const SnScalar arg[3] = {{.f = a}, {.f = b}, {.f = (double)v[2]}};
        SnScalar out;
        assert_true(sn_scalar_apply(SN_OP_FMA, SN_F32, arg, &out));
        assert_true(out.f == (double)fmaf(v[0], v[1], v[2]));
    }
    assert_true(apply_f(SN_OP_ADD, SN_F16, 2048, 1) == 2048.0);
    assert_true(apply_f(SN_OP_MUL, SN_BF16, 257, 1) == 256.0);
}

static void makers_fold_and_simplify(void **state)
{
    SnStore *s = unit_store(state);
    const SnRef x = unit_input(s, "x", SN_I64, 0, NULL), f = unit_input(s, "f", SN_F32, 0, NULL);
    const SnRef b = unit_input(s, "b", SN_BOOL, 0, NULL), zero = sn_const_i64(s, 0), one = sn_const_i64(s, 1);
    assert_int_equal(sn_s2(s, SN_OP_ADD, x, zero), x);
    assert_int_equal(sn_s2(s, SN_OP_ADD, zero, x), x);
    assert_int_equal(sn_s2(s, SN_OP_MUL, x, one), x);
    assert_int_equal(sn_s2(s, SN_OP_MUL, zero, x), zero);
    assert_int_equal(sn_s2(s, SN_OP_IDIV, x, one), x);
    assert_int_equal(sn_s2(s, SN_OP_MOD, x, one), zero);
    assert_int_equal(sn_s2(s, SN_OP_SUB, x, x), zero);
    assert_int_equal(sn_s2(s, SN_OP_MIN, x, x), x);
    assert_int_equal(sn_s2(s, SN_OP_ADD, sn_s2(s, SN_OP_ADD, x, sn_const_i64(s, 3)), sn_const_i64(s, -3)), x);
    assert_int_equal(sn_s2(s, SN_OP_SUB, sn_s2(s, SN_OP_ADD, x, one), one), x);
    assert_int_equal(sn_s2(s, SN_OP_AND, b, sn_const_bool(s, true)), b);
    assert_int_equal(sn_s2(s, SN_OP_OR, sn_const_bool(s, true), b), sn_const_bool(s, true));
    assert_int_equal(sn_s_not(s, sn_s_not(s, b)), b);
    assert_int_equal(sn_s3(s, SN_OP_WHERE, sn_const_bool(s, false), x, one), one);
    assert_int_equal(sn_s3(s, SN_OP_WHERE, b, x, x), x);
    assert_int_equal(sn_s2(s, SN_OP_MUL, f, sn_const_f32(s, 1)), f);
    assert_int_equal(sn_s2(s, SN_OP_SUB, f, sn_const_f32(s, 0)), f);
    assert_int_not_equal(sn_s2(s, SN_OP_ADD, f, sn_const_f32(s, 0)), f); /* -0 + 0 is +0 */
    assert_int_not_equal(sn_s2(s, SN_OP_MUL, f, sn_const_f32(s, 0)), sn_const_f32(s, 0));
    assert_int_equal(sn_dtype_of(s, sn_s2(s, SN_OP_LT, f, sn_const_f32(s, 0))), SN_BOOL);
    assert_int_equal(sn_s_cast(s, SN_I32, sn_const_f32(s, -2.75f)),
                     sn_const_scalar(s, SN_I32, (SnScalar){.i = -2}));
    assert_int_equal(sn_s_cast(s, SN_F32, f), f);
    assert_int_equal(sn_s_bitcast(s, SN_U32, sn_const_f32(s, 1)),
                     sn_const_scalar(s, SN_U32, (SnScalar){.u = 0x3F800000}));
    assert_int_equal(sn_s2(s, SN_OP_ADD, 0, x), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        unit_store_test(term_equal_parts_equal_ref),
        unit_store_test(term_missing_operand_gives_error_term),
        unit_store_test(term_many_terms_keep_their_refs),
        unit_store_test(attrs_any_order_equal_id),
        unit_store_test(const_zero_signs_differ_nans_agree),
        cmocka_unit_test(apply_integers_wrap_and_floor),
        cmocka_unit_test(apply_shifts_past_the_width),
        cmocka_unit_test(apply_floats_nan_and_zero_rules),
        cmocka_unit_test(apply_f32_equals_f32_arithmetic),
        unit_store_test(makers_fold_and_simplify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
