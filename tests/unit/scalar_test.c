/* scalar_test.c -- expansions of exp, log, sin, cos, tanh, erf and pow against long double libm. */
#include "compiler/scalar.h"
#include "tests/unit/unit.h"

#include "compiler/type.h"

#include <math.h>

#define INF       ((double)INFINITY)
#define NO_NUMBER ((double)NAN)

typedef struct Fixture {
    SnContext *ctx;
    SnScalarPlan *plan;
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    SnError err;
    if (sn_context_create(NULL, &f.ctx, &err) != SN_OK ||
        sn_scalar_plan_create(f.ctx, &f.plan, &err) != SN_OK)
        return -1;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    sn_scalar_plan_destroy(f->plan);
    sn_context_destroy(f->ctx);
    return 0;
}

static double eval(void **state, uint16_t op, SnDtype d, double x, double y)
{
    Fixture *f = *state;
    SnError err;
    const SnScalar arg[2] = {{.f = x}, {.f = y}};
    SnScalar out;
    assert_ok(sn_scalar_eval(f->plan, op, d, arg, &out, &err));
    return out.f;
}

/* Distance in units of the last place of `want`. Below the normal range 0 will do. */
static double ulps(SnDtype d, double got, long double want)
{
    const int bits = d == SN_F64 ? 53 : 24, least = d == SN_F64 ? -1021 : -125;
    int exponent;
    if (isnan(want) || isinf(want) || want == 0)
        return isnan(want) ? (isnan(got) ? 0 : INF) : (long double)got == want ? 0 : INF;
    frexpl(want, &exponent);
    if (exponent < least)
        return fabs(got) < ldexp(1, least) ? 0 : INF;
    return (double)(fabsl((long double)got - want) / ldexpl(1, exponent - bits));
}

typedef struct Function {
    uint16_t op;
    long double (*libm)(long double);
    double most_f32, most_f64, lo, hi; /* f64 samples lie between lo and hi */
} Function;

static const Function functions[] = {
    {SN_OP_EXP, expl, 1.0, 1.0, -720, 709.7},   {SN_OP_LOG, logl, 1.0, 1.0, 0, 1e300},
    {SN_OP_SIN, sinl, 1.6, 2.0, -1e14, 1e14},   {SN_OP_COS, cosl, 1.6, 2.0, -1e14, 1e14},
    {SN_OP_TANH, tanhl, 1.0, 1.5, -30.0, 30.0}, {SN_OP_ERF, erfl, 1.7, 1.7, -8.0, 8.0},
};

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 11;
}

static double random_unit(uint64_t *seed)
{
    return (double)random_next(seed) * 0x1p-53;
}

static void unary_f32_all_exponents_accurate(void **state)
{
    for (size_t i = 0; i < SN_COUNT(functions); i++) {
        const Function *f = &functions[i];
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 65521) {
            const uint32_t b = (uint32_t)bits;
            float x;
            memcpy(&x, &b, sizeof x);
            const long double want = f->libm((long double)x);
            /* The long double result may lie beyond f32. */
            const long double capped = fabsl(want) > 0x1.fffffep127L ? (long double)(float)want : want;
            const double u = ulps(SN_F32, eval(state, f->op, SN_F32, (double)x, 0), capped);
            if (!(u <= f->most_f32))
                fail_msg("%s(%.9g): %.2f units off", sn_prim(f->op)->name, (double)x, u);
        }
    }
}

static void unary_f64_samples_accurate(void **state)
{
    uint64_t seed = 1;
    for (size_t i = 0; i < SN_COUNT(functions); i++) {
        const Function *f = &functions[i];
        for (int n = 0; n < 30000; n++) {
            const double r = random_unit(&seed);
            const double x = n % 2 != 0 ? f->lo + r * (f->hi - f->lo) : ldexp(2 * r - 1, n % 41 - 32);
            const double u = ulps(SN_F64, eval(state, f->op, SN_F64, x, 0), f->libm((long double)x));
            if (!(u <= f->most_f64))
                fail_msg("%s(%.17g): %.2f units off", sn_prim(f->op)->name, x, u);
        }
    }
}

static void pow_samples_accurate(void **state)
{
    uint64_t seed = 2;
    for (int n = 0; n < 60000; n++) {
        const SnDtype d = n % 2 != 0 ? SN_F64 : SN_F32;
        const double largest = d == SN_F64 ? 709 : 88;
        double x = ldexp(random_unit(&seed) + 0x1p-20, (int)(random_next(&seed) % 100) - 50);
        double y = (2 * random_unit(&seed) - 1) * (n % 3 == 0 ? largest / fabs(log(x)) : 5);
        if (d == SN_F32) {
            x = (double)(float)x;
            y = (double)(float)y;
        }
        const long double want = powl((long double)x, (long double)y);
        if (fabsl(logl(want)) > (long double)largest - 1)
            continue;
        const double u = ulps(d, eval(state, SN_OP_POW, d, x, y), want);
        if (!(u <= 1.5))
            fail_msg("pow(%.17g, %.17g) in %s: %.2f units off", x, y, sn_dtype(d)->name, u);
    }
}

static void pow_small_powers_exact(void **state)
{
    for (int x = 2; x < 13; x++) {
        for (int y = 0; y <= 6; y++) {
            assert_true(eval(state, SN_OP_POW, SN_F32, x, y) == pow(x, y));
            assert_true(eval(state, SN_OP_POW, SN_F32, -x, y) == pow(-x, y));
            assert_true(eval(state, SN_OP_POW, SN_F64, x, y) == pow(x, y));
        }
    }
    assert_true(eval(state, SN_OP_POW, SN_F32, 2, -126) == 0x1p-126);
    assert_true(eval(state, SN_OP_POW, SN_F32, 2, 127) == 0x1p127);
    assert_true(eval(state, SN_OP_POW, SN_F64, 2, -1022) == 0x1p-1022);
    assert_true(eval(state, SN_OP_POW, SN_F64, 2, 1023) == 0x1p1023);
    assert_true(eval(state, SN_OP_POW, SN_F32, 0x1.fffffep127, 1) == 0x1.fffffep127);
    assert_true(eval(state, SN_OP_POW, SN_F64, 0x1.fffffffffffffp1023, 1) == 0x1.fffffffffffffp1023);
}

/* Same number, same sign of zero, or both NaN. */
static void check_same(const char *what, double x, double y, double got, double want)
{
    if (isnan(want) ? !isnan(got) : got != want || signbit(got) != signbit(want))
        fail_msg("%s(%g, %g): %g, expected %g", what, x, y, got, want);
}

static void pow_special_values_as_in_c(void **state)
{
    static const double v[] = {0.0,  -0.0, 1.0,  -1.0, 0.5,   -0.5, 2.0,  -2.0,      3.0,
                               -3.0, 2.5,  -2.5, 1e30, -1e30, INF,  -INF, NO_NUMBER, 3.4e38};
    for (size_t i = 0; i < SN_COUNT(v); i++) {
        for (size_t j = 0; j < SN_COUNT(v); j++) {
            const double x = (double)(float)v[i], y = (double)(float)v[j], want = pow(x, y);
            if (isnan(want) || isinf(want) || want == 0 || fabs(want) == 1 || fabs(want) > 1e200 ||
                fabs(want) < 1e-200) {
                check_same("pow f64", x, y, eval(state, SN_OP_POW, SN_F64, x, y), want);
                check_same("pow f32", x, y, eval(state, SN_OP_POW, SN_F32, x, y), (double)(float)want);
            }
        }
    }
}

static void unary_special_values(void **state)
{
    static const struct {
        uint16_t op;
        double x, want;
    } row[] = {
        {SN_OP_EXP, 0.0, 1.0},
        {SN_OP_EXP, -0.0, 1.0},
        {SN_OP_EXP, INF, INF},
        {SN_OP_EXP, -INF, 0.0},
        {SN_OP_EXP, NO_NUMBER, NO_NUMBER},
        {SN_OP_EXP, 1000, INF},
        {SN_OP_EXP, -1000, 0.0},
        {SN_OP_EXP, 3e38, INF},
        {SN_OP_EXP, -3e38, 0.0},
        {SN_OP_LOG, 0.0, -INF},
        {SN_OP_LOG, -0.0, -INF},
        {SN_OP_LOG, 1.0, 0.0},
        {SN_OP_LOG, -1.0, NO_NUMBER},
        {SN_OP_LOG, -INF, NO_NUMBER},
        {SN_OP_LOG, INF, INF},
        {SN_OP_LOG, NO_NUMBER, NO_NUMBER},
        {SN_OP_SIN, 0.0, 0.0},
        {SN_OP_SIN, -0.0, -0.0},
        {SN_OP_SIN, INF, NO_NUMBER},
        {SN_OP_SIN, -INF, NO_NUMBER},
        {SN_OP_SIN, NO_NUMBER, NO_NUMBER},
        {SN_OP_COS, 0.0, 1.0},
        {SN_OP_COS, -0.0, 1.0},
        {SN_OP_COS, INF, NO_NUMBER},
        {SN_OP_COS, NO_NUMBER, NO_NUMBER},
        {SN_OP_TANH, 0.0, 0.0},
        {SN_OP_TANH, -0.0, -0.0},
        {SN_OP_TANH, INF, 1.0},
        {SN_OP_TANH, -INF, -1.0},
        {SN_OP_TANH, NO_NUMBER, NO_NUMBER},
        {SN_OP_TANH, 1e30, 1.0},
        {SN_OP_ERF, 0.0, 0.0},
        {SN_OP_ERF, -0.0, -0.0},
        {SN_OP_ERF, INF, 1.0},
        {SN_OP_ERF, -INF, -1.0},
        {SN_OP_ERF, NO_NUMBER, NO_NUMBER},
        {SN_OP_ERF, -1e30, -1.0},
        {SN_OP_TANH, 1e-30, 1e-30},
    };
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        const char *name = sn_prim(row[i].op)->name;
        const double x32 = (double)(float)row[i].x, want32 = (double)(float)row[i].want;
        check_same(name, row[i].x, 0, eval(state, row[i].op, SN_F64, row[i].x, 0), row[i].want);
        check_same(name, x32, 0, eval(state, row[i].op, SN_F32, x32, 0), want32);
    }
}

static void exp_below_normal_range_is_zero(void **state)
{
    assert_true(eval(state, SN_OP_EXP, SN_F32, -87.4, 0) == 0);
    assert_true(eval(state, SN_OP_EXP, SN_F32, -87.3, 0) > 0x1p-126);
    assert_true(eval(state, SN_OP_EXP, SN_F64, -708.4, 0) == 0);
}

static void half_dtypes_go_through_f32(void **state)
{
    const double x = 0.7001953125; /* holds in f16 */
    assert_true(eval(state, SN_OP_TANH, SN_F16, x, 0) ==
                (double)sn_f16_to_f32(sn_f32_to_f16(tanhf((float)x))));
    assert_true(eval(state, SN_OP_EXP, SN_BF16, 3.0, 0) ==
                (double)sn_bf16_to_f32(sn_f32_to_bf16(expf(3.0F))));
    assert_true(eval(state, SN_OP_POW, SN_F16, 3.0, 2.0) == 9.0);
}

static void plain_ops_apply(void **state)
{
    assert_true(eval(state, SN_OP_ADD, SN_F32, 1.5, 2.5) == 4.0);
    Fixture *f = *state;
    SnError err;
    const SnScalar arg[2] = {{.i = -7}, {.i = 2}};
    SnScalar out;
    assert_ok(sn_scalar_eval(f->plan, SN_OP_IDIV, SN_I32, arg, &out, &err));
    assert_int_equal(out.i, -4);
    assert_fails(SN_ESHAPE, sn_scalar_eval(f->plan, SN_OP_EXP, SN_I32, arg, &out, &err));
}

/* What a vector kernel repeats for every element must stay short. */
static void expansion_sizes_bounded(void **state)
{
    static const struct {
        uint16_t op;
        uint32_t most;
    } row[] = {{SN_OP_EXP, 22}, {SN_OP_LOG, 36}, {SN_OP_TANH, 32}, {SN_OP_ERF, 32}, {SN_OP_SIN, 80}};
    Fixture *f = *state;
    SnError err;
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        SnStore *s;
        assert_ok(sn_store_create(f->ctx, &s, &err));
        const SnRef x = sn_term_make(s, SN_OP_INDEX, sn_type_scalar(s, SN_F32), 0, NULL, 0);
        const SnRef root = sn_scalar_expand(s, row[i].op, x, 0);
        uint32_t n = 0;
        for (SnRef r = 1; r <= root; r++)
            n += sn_term(s, r)->narg > 0 && sn_term(s, r)->op != SN_OP_BITCAST;
        if (n > row[i].most)
            fail_msg("%s has %u ops", sn_prim(row[i].op)->name, n);
        sn_store_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_f32_all_exponents_accurate),
        cmocka_unit_test(unary_f64_samples_accurate),
        cmocka_unit_test(pow_samples_accurate),
        cmocka_unit_test(pow_small_powers_exact),
        cmocka_unit_test(pow_special_values_as_in_c),
        cmocka_unit_test(unary_special_values),
        cmocka_unit_test(exp_below_normal_range_is_zero),
        cmocka_unit_test(half_dtypes_go_through_f32),
        cmocka_unit_test(plain_ops_apply),
        cmocka_unit_test(expansion_sizes_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
