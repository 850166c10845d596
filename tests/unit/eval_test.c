/* eval_test.c -- primitives against results worked out by hand: elementwise, movement, reductions, indexing.
 */
#include "tests/unit/eval_case.h"

static int setup(void **state)
{
    static Case c;
    case_begin(&c, NULL);
    *state = &c;
    return 0;
}

static int teardown(void **state)
{
    case_end(*state);
    return 0;
}

/* ---- elementwise ---- */

static void unary_floats(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(6), F(-2.5F, -0.0F, 0.5F, 1.5F, NAN, -INFINITY));
    expect_f32(c, sn_neg(c->g, x), D(6), F(2.5F, 0.0F, -0.5F, -1.5F, NAN, INFINITY));
    expect_f32(c, sn_abs(c->g, x), D(6), F(2.5F, 0.0F, 0.5F, 1.5F, NAN, INFINITY));
    expect_f32(c, sn_floor(c->g, x), D(6), F(-3, -0.0F, 0, 1, NAN, -INFINITY));
    expect_f32(c, sn_round(c->g, x), D(6), F(-2, -0.0F, 0, 2, NAN, -INFINITY));
    expect_f32(c, sn_sqrt(c->g, x), D(6), F(NAN, -0.0F, 0.707106769F, 1.22474492F, NAN, NAN));
}

static void transcendentals_expand(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(3), F(0, 1, -1));
    expect_f32(c, sn_exp(c->g, x), D(3), F(1, 2.71828175F, 0.36787945F));
    expect_f32(c, sn_tanh(c->g, x), D(3), F(0, 0.761594176F, -0.761594176F));
    expect_f32(c, sn_cos(c->g, x), D(3), F(1, 0.540302277F, 0.540302277F));
    expect_f32(c, sn_log(c->g, x), D(3), F(-INFINITY, 0, NAN));
    expect_f32(c, sn_pow(c->g, f32(c, D(3), F(2, -2, 0)), f32(c, D(3), F(3, 3, -1))), D(3),
               F(8, -8, INFINITY));
}

static void binary_floats(void **state)
{
    Case *c = *state;
    const SnValue a = f32(c, D(5), F(7, -7, NAN, -0.0F, 1)), b = f32(c, D(5), F(2, 2, 1, 0.0F, 0));
    expect_f32(c, sn_add(c->g, a, b), D(5), F(9, -5, NAN, 0, 1));
    expect_f32(c, sn_sub(c->g, a, b), D(5), F(5, -9, NAN, -0.0F, 1));
    expect_f32(c, sn_mul(c->g, a, b), D(5), F(14, -14, NAN, -0.0F, 0));
    expect_f32(c, sn_div(c->g, a, b), D(5), F(3.5F, -3.5F, NAN, NAN, INFINITY));
    expect_f32(c, sn_mod(c->g, a, b), D(5), F(1, 1, NAN, -0.0F, 1));
    expect_f32(c, sn_min(c->g, a, b), D(5), F(2, -7, NAN, -0.0F, 0));
    expect_f32(c, sn_max(c->g, a, b), D(5), F(7, 2, NAN, 0, 1));
    expect_ints(c, sn_lt(c->g, a, b), D(5), I(0, 1, 0, 0, 0));
    expect_ints(c, sn_eq(c->g, a, b), D(5), I(0, 0, 0, 1, 0));
    expect_f32(c, sn_fma(c->g, a, b, b), D(5), F(16, -12, NAN, 0, 0));
}

static void integers_wrap_floor_and_shift(void **state)
{
    Case *c = *state;
    const SnValue a = i64(c, D(5), I(7, -7, INT64_MIN, 5, -8)), b = i64(c, D(5), I(2, 2, -1, 0, 70));
    expect_ints(c, sn_idiv(c->g, a, b), D(5), I(3, -4, INT64_MIN, 0, -1));
    expect_ints(c, sn_mod(c->g, a, b), D(5), I(1, 1, 0, 5, 62));
    expect_ints(c, sn_shl(c->g, a, b), D(5), I(28, -28, 0, 5, 0));
    expect_ints(c, sn_shr(c->g, a, b), D(5), I(1, -2, -1, 5, -1));
    const SnValue u = sn_cast(c->g, i64(c, D(3), I(250, 3, 255)), SN_U8);
    expect_ints(c, sn_add(c->g, u, u), D(3), I(244, 6, 254));
    expect_ints(c, sn_neg(c->g, u), D(3), I(6, 253, 1));
    expect_ints(c, sn_not(c->g, u), D(3), I(5, 252, 0));
    expect_ints(c, sn_xor(c->g, u, sn_const_int(c->g, SN_U8, 3)), D(3), I(249, 0, 252));
    expect_ints(c, sn_not(c->g, flags(c, D(2), B(0, 1))), D(2), I(1, 0));
}

static void casts_truncate_saturate_and_round(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(5), F(-1.9F, 300, NAN, -1e30F, 2.5F));
    expect_ints(c, sn_cast(c->g, x, SN_I8), D(5), I(-1, 127, 0, -128, 2));
    expect_ints(c, sn_cast(c->g, x, SN_U8), D(5), I(0, 255, 0, 0, 2));
    expect_ints(c, sn_cast(c->g, x, SN_BOOL), D(5), I(1, 1, 1, 1, 1));
    expect_f32(c, sn_cast(c->g, sn_cast(c->g, x, SN_BF16), SN_F32), D(5),
               F(-1.8984375F, 300, NAN, -1.00025555e30F, 2.5F));
    expect_ints(c, sn_cast(c->g, i64(c, D(2), I(-1, 256)), SN_U8), D(2), I(255, 0));
}

static void bitcast_scales_last_dim(void **state)
{
    Case *c = *state;
    expect_ints(c, sn_bitcast(c->g, f32(c, D(1), F(1)), SN_U8), D(4), I(0, 0, 0x80, 0x3F));
    expect_ints(c, sn_bitcast(c->g, f32(c, D(2), F(1, -0.0F)), SN_I32), D(2), I(0x3F800000, INT32_MIN));
}

static void where_picks(void **state)
{
    Case *c = *state;
    const SnValue p = flags(c, D(3), B(1, 0, 1));
    expect_f32(c, sn_where(c->g, p, f32(c, D(3), F(1, 2, NAN)), f32(c, D(3), F(4, 5, 6))), D(3),
               F(1, 5, NAN));
}

static void iota_counts_along_axis(void **state)
{
    Case *c = *state;
    const SnValue dims[] = {dim(c, 2), dim(c, 3)};
    expect_ints(c, sn_iota(c->g, SN_I32, 1, 2, dims), D(2, 3), I(0, 1, 2, 0, 1, 2));
    expect_f32(c, sn_iota(c->g, SN_F32, 0, 2, dims), D(2, 3), F(0, 0, 0, 1, 1, 1));
}

/* ---- movement ---- */

static void reshape_permute_broadcast(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2, 3), F(1, 2, 3, 4, 5, 6));
    const int perm[] = {1, 0};
    expect_f32(c, sn_reshape(c->g, x, 2, (SnValue[]){dim(c, 3), dim(c, 2)}), D(3, 2), F(1, 2, 3, 4, 5, 6));
    expect_f32(c, sn_permute(c->g, x, perm), D(3, 2), F(1, 4, 2, 5, 3, 6));
    const SnValue row = f32(c, D(2, 1), F(7, 8));
    expect_f32(c, sn_broadcast(c->g, row, 3, (SnValue[]){dim(c, 2), dim(c, 2), dim(c, 2)}), D(2, 2, 2),
               F(7, 7, 8, 8, 7, 7, 8, 8));
}

static void slice_clamps_starts_and_steps(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(6), F(0, 1, 2, 3, 4, 5)), n = dim(c, 3);
    expect_f32(c, sn_slice(c->g, x, (SnValue[]){dim(c, 2)}, &n, NULL), D(3), F(2, 3, 4));
    expect_f32(c, sn_slice(c->g, x, (SnValue[]){dim(c, 99)}, &n, NULL), D(3), F(3, 4, 5));
    expect_f32(c, sn_slice(c->g, x, (SnValue[]){dim(c, -5)}, &n, (const int64_t[]){2}), D(3), F(0, 2, 4));
    const SnValue none = dim(c, 0);
    expect_f32(c, sn_slice(c->g, x, (SnValue[]){dim(c, 6)}, &none, NULL), D(0), F(0));
}

static void pad_grows_cuts_and_spreads(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(3), F(1, 2, 3)), zero = sn_const(c->g, SN_F32, 9), l = dim(c, 1),
                  h = dim(c, 2);
    const SnValue cut = dim(c, -1);
    expect_f32(c, sn_pad(c->g, x, &l, &h, zero, NULL), D(6), F(9, 1, 2, 3, 9, 9));
    expect_f32(c, sn_pad(c->g, x, &cut, &l, zero, NULL), D(3), F(2, 3, 9));
    expect_f32(c, sn_pad(c->g, x, &l, &cut, zero, (const int64_t[]){2}), D(7), F(9, 1, 9, 9, 2, 9, 9));
    const SnValue far = dim(c, -4), back = dim(c, 3);
    expect_f32(c, sn_pad(c->g, x, &far, &back, zero, NULL), D(2), F(9, 9));
}

static void flip_concat_window(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2, 2), F(1, 2, 3, 4)), y = f32(c, D(2, 1), F(5, 6));
    const int axes[] = {0, 1};
    expect_f32(c, sn_flip(c->g, x, 2, axes), D(2, 2), F(4, 3, 2, 1));
    expect_f32(c, sn_flip(c->g, x, 1, axes), D(2, 2), F(3, 4, 1, 2));
    expect_f32(c, sn_concat(c->g, 3, (SnValue[]){x, y, x}, 1), D(2, 5), F(1, 2, 5, 1, 2, 3, 4, 6, 3, 4));
    const SnValue z = f32(c, D(7), F(0, 1, 2, 3, 4, 5, 6));
    expect_f32(c, sn_window(c->g, z, 0, 2, 2, 3), D(2, 2), F(0, 3, 2, 5));
}

static void update_clamps_starts(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(4), F(1, 2, 3, 4)), y = f32(c, D(2), F(8, 9));
    expect_f32(c, sn_update(c->g, x, y, (SnValue[]){dim(c, 1)}), D(4), F(1, 8, 9, 4));
    expect_f32(c, sn_update(c->g, x, y, (SnValue[]){dim(c, 7)}), D(4), F(1, 2, 8, 9));
    expect_f32(c, sn_update(c->g, x, y, (SnValue[]){dim(c, -7)}), D(4), F(8, 9, 3, 4));
}

/* ---- reductions ---- */

static void reduce_over_axes(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2, 3), F(1, 2, 3, 4, 5, NAN));
    const int a0[] = {0}, a1[] = {1}, all[] = {0, 1};
    expect_f32(c, sn_reduce(c->g, "add", x, 1, a0, false), D(3), F(5, 7, NAN));
    expect_f32(c, sn_reduce(c->g, "max", x, 1, a1, true), D(2, 1), F(3, NAN));
    expect_f32(c, sn_reduce(c->g, "min", x, 1, a1, false), D(2), F(1, NAN));
    expect_f32(c, sn_reduce(c->g, "mul", f32(c, D(2, 2), F(2, 3, 4, 5)), 2, all, false), NO_DIMS, F(120));
    const SnValue p = flags(c, D(2, 2), B(1, 0, 1, 1));
    expect_ints(c, sn_reduce(c->g, "and", p, 1, a1, false), D(2), I(0, 1));
    expect_ints(c, sn_reduce(c->g, "or", p, 1, a0, false), D(2), I(1, 1));
    expect_ints(c, sn_reduce(c->g, "xor", i64(c, D(3), I(5, 6, 7)), 1, a0, false), NO_DIMS, I(4));
}

static void reduce_empty_gives_identity(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2, 0), F(0)), n = i64(c, D(0), I(0));
    const int a0[] = {0}, a1[] = {1};
    expect_f32(c, sn_reduce(c->g, "add", x, 1, a1, false), D(2), F(0, 0));
    expect_f32(c, sn_reduce(c->g, "mul", x, 1, a1, false), D(2), F(1, 1));
    expect_f32(c, sn_reduce(c->g, "max", x, 1, a1, false), D(2), F(-INFINITY, -INFINITY));
    expect_f32(c, sn_reduce(c->g, "add", x, 1, a0, false), D(0), F(0));
    expect_ints(c, sn_reduce(c->g, "min", n, 1, a0, false), NO_DIMS, I(INT64_MAX));
    expect_ints(c, sn_reduce(c->g, "max", sn_cast(c->g, n, SN_I8), 1, a0, false), NO_DIMS, I(-128));
    expect_ints(c, sn_reduce(c->g, "and", n, 1, a0, false), NO_DIMS, I(-1));
}

static void reduce_halves_without_losing_small_terms(void **state)
{
    Case *c = *state;
    const SnValue n = dim(c, 4096), one = sn_const(c->g, SN_F16, 1);
    const SnValue x = sn_broadcast(c->g, one, 1, &n);
    const int a0[] = {0};
    expect_f32(c, sn_cast(c->g, sn_reduce(c->g, "add", x, 1, a0, false), SN_F32), NO_DIMS, F(4096));
}

static void scan_is_inclusive_both_ways(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(2, 3), F(1, 2, 3, 4, 5, 6));
    expect_f32(c, sn_scan(c->g, "add", x, 1, false), D(2, 3), F(1, 3, 6, 4, 9, 15));
    expect_f32(c, sn_scan(c->g, "add", x, 1, true), D(2, 3), F(6, 5, 3, 15, 11, 6));
    expect_f32(c, sn_scan(c->g, "mul", x, 0, false), D(2, 3), F(1, 2, 3, 4, 10, 18));
    expect_f32(c, sn_scan(c->g, "max", f32(c, D(4), F(1, 3, NAN, 2)), 0, false), D(4), F(1, 3, NAN, NAN));
}

static void argmax_takes_first_and_nan(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(3, 3), F(1, 3, 3, 2, NAN, INFINITY, -1, -1, -2));
    expect_ints(c, sn_argmax(c->g, x, 1, false), D(3), I(1, 1, 0));
    expect_ints(c, sn_argmax(c->g, x, 0, true), D(1, 3), I(1, 1, 1));
    expect_error(c, SN_ESHAPE, sn_argmax(c->g, f32(c, D(2, 0), F(0)), 1, false));
}

static void contract_sums_labels(void **state)
{
    Case *c = *state;
    const SnValue a = f32(c, D(2, 3), F(1, 2, 3, 4, 5, 6)), b = f32(c, D(3, 2), F(1, 0, 0, 1, 1, 1));
    expect_f32(c, sn_contract(c->g, "ik,kj->ij", a, b, SN_F32), D(2, 2), F(4, 5, 10, 11));
    expect_f32(c, sn_contract(c->g, "ik,kj->ji", a, b, SN_F32), D(2, 2), F(4, 10, 5, 11));
    expect_f32(c, sn_contract(c->g, "ik,kj->", a, b, SN_F32), NO_DIMS, F(30));
    expect_f32(c, sn_contract(c->g, "ik,kj->k", a, b, SN_F32), D(3), F(5, 7, 18));
    const SnValue v = f32(c, D(2), F(10, 100));
    expect_f32(c, sn_contract(c->g, "i,j->ij", v, v, SN_F32), D(2, 2), F(100, 1000, 1000, 10000));
    expect_f32(c, sn_contract(c->g, "ik,jk->ij", f32(c, D(2, 0), F(0)), f32(c, D(1, 0), F(0)), SN_F32),
               D(2, 1), F(0, 0));
}

static void contract_integers_widen(void **state)
{
    Case *c = *state;
    const SnValue a = sn_cast(c->g, i64(c, D(1, 2), I(200, 255)), SN_U8);
    const SnValue b = sn_cast(c->g, i64(c, D(2), I(-128, 100)), SN_I8);
    expect_ints(c, sn_contract(c->g, "ik,k->i", a, b, SN_I32), D(1), I(-100));
}

/* ---- indexed ---- */

static void gather_clamps_or_zeroes(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(3, 2), F(1, 2, 3, 4, 5, 6)), i = i64(c, D(4), I(2, 0, -1, 9));
    const int a0[] = {0}, both[] = {0, 1};
    expect_f32(c, sn_gather(c->g, x, 1, a0, &i, "clamp"), D(4, 2), F(5, 6, 1, 2, 1, 2, 5, 6));
    expect_f32(c, sn_gather(c->g, x, 1, a0, &i, "zero"), D(4, 2), F(5, 6, 1, 2, 0, 0, 0, 0));
    const SnValue grid[] = {i64(c, D(2, 1), I(0, 2)), i64(c, D(2), I(1, 0))};
    expect_f32(c, sn_gather(c->g, x, 2, both, grid, "clamp"), D(2, 2), F(2, 1, 6, 5));
    const SnValue none = f32(c, D(0, 2), F(0));
    expect_f32(c, sn_gather(c->g, none, 1, a0, &i, "clamp"), D(4, 2), F(0, 0, 0, 0, 0, 0, 0, 0));
}

static void scatter_duplicates_and_outside(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(4), F(1, 2, 3, 4)), i = i64(c, D(4), I(1, 1, 7, -1)),
                  u = f32(c, D(4), F(10, 20, 30, 40));
    const int a0[] = {0};
    expect_f32(c, sn_scatter(c->g, "set", x, 1, a0, &i, u), D(4), F(1, 20, 3, 4));
    expect_f32(c, sn_scatter(c->g, "add", x, 1, a0, &i, u), D(4), F(1, 32, 3, 4));
    expect_f32(c, sn_scatter(c->g, "mul", x, 1, a0, &i, u), D(4), F(1, 400, 3, 4));
    expect_f32(c, sn_scatter(c->g, "min", x, 1, a0, &i, u), D(4), F(1, 2, 3, 4));
    expect_f32(c, sn_scatter(c->g, "max", x, 1, a0, &i, u), D(4), F(1, 20, 3, 4));
    const SnValue y = f32(c, D(2, 2), F(0, 0, 0, 0)), k = i64(c, D(2), I(1, 0));
    const int a1[] = {1};
    expect_f32(c, sn_scatter(c->g, "set", y, 1, a1, &k, f32(c, D(2, 2), F(1, 2, 3, 4))), D(2, 2),
               F(3, 1, 4, 2));
}

static void sort_is_stable_with_nan_last(void **state)
{
    Case *c = *state;
    const SnValue key = f32(c, D(5), F(2, NAN, 1, 2, -0.0F)), at = i64(c, D(5), I(0, 1, 2, 3, 4));
    SnValue s = sn_sort(c->g, 2, (SnValue[]){key, at}, 1, 0, false, 0);
    expect_f32(c, sn_get(c->g, s, 0), D(5), F(-0.0F, 1, 2, 2, NAN));
    expect_ints(c, sn_get(c->g, s, 1), D(5), I(4, 2, 0, 3, 1));
    s = sn_sort(c->g, 2, (SnValue[]){key, at}, 1, 0, true, 3);
    expect_ints(c, sn_get(c->g, s, 1), D(3), I(0, 3, 2));
    const SnValue k0 = i64(c, D(4), I(1, 0, 1, 0)), k1 = i64(c, D(4), I(5, 6, 4, 5));
    s = sn_sort(c->g, 2, (SnValue[]){k0, k1}, 2, 0, false, 0);
    expect_ints(c, sn_get(c->g, s, 1), D(4), I(5, 6, 4, 5));
    const SnValue m = f32(c, D(2, 2), F(4, 1, 3, 2));
    expect_f32(c, sn_get(c->g, sn_sort(c->g, 1, &m, 1, 0, false, 0), 0), D(2, 2), F(3, 1, 4, 2));
}

static void compact_keeps_order(void **state)
{
    Case *c = *state;
    const SnValue x = f32(c, D(4, 1), F(1, 2, 3, 4)), none = flags(c, D(4), B(0, 0, 0, 0));
    const SnValue y = sn_compact(c->g, x, flags(c, D(4), B(1, 0, 1, 1)), dim(c, 4));
    expect_f32(c, y, D(3, 1), F(1, 3, 4));
    expect_f32(c, sn_compact(c->g, x, none, dim(c, 4)), D(0, 1), F(0));
    expect_error(c, SN_ESHAPE, sn_compact(c->g, x, flags(c, D(4), B(1, 1, 1, 1)), dim(c, 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unary_floats, setup, teardown),
        cmocka_unit_test_setup_teardown(transcendentals_expand, setup, teardown),
        cmocka_unit_test_setup_teardown(binary_floats, setup, teardown),
        cmocka_unit_test_setup_teardown(integers_wrap_floor_and_shift, setup, teardown),
        cmocka_unit_test_setup_teardown(casts_truncate_saturate_and_round, setup, teardown),
        cmocka_unit_test_setup_teardown(bitcast_scales_last_dim, setup, teardown),
        cmocka_unit_test_setup_teardown(where_picks, setup, teardown),
        cmocka_unit_test_setup_teardown(iota_counts_along_axis, setup, teardown),
        cmocka_unit_test_setup_teardown(reshape_permute_broadcast, setup, teardown),
        cmocka_unit_test_setup_teardown(slice_clamps_starts_and_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(pad_grows_cuts_and_spreads, setup, teardown),
        cmocka_unit_test_setup_teardown(flip_concat_window, setup, teardown),
        cmocka_unit_test_setup_teardown(update_clamps_starts, setup, teardown),
        cmocka_unit_test_setup_teardown(reduce_over_axes, setup, teardown),
        cmocka_unit_test_setup_teardown(reduce_empty_gives_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(reduce_halves_without_losing_small_terms, setup, teardown),
        cmocka_unit_test_setup_teardown(scan_is_inclusive_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(argmax_takes_first_and_nan, setup, teardown),
        cmocka_unit_test_setup_teardown(contract_sums_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(contract_integers_widen, setup, teardown),
        cmocka_unit_test_setup_teardown(gather_clamps_or_zeroes, setup, teardown),
        cmocka_unit_test_setup_teardown(scatter_duplicates_and_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(sort_is_stable_with_nan_last, setup, teardown),
        cmocka_unit_test_setup_teardown(compact_keeps_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
