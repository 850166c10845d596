/* noise_test.c -- what a training draws: how often, how large, and that a gradient sees the same. */
#include "frontends/hf/layers.h"
#include "tests/unit/rig.h"

#include <math.h>

#define ROWS    300
#define COLUMNS 131
#define COUNT   (ROWS * COLUMNS)
#define SHARE   0.3

typedef struct Drawn {
    Rig r;
    float x[COUNT];
} Drawn;

static Drawn drawn;

static const float *result(const char *name)
{
    SnError err;
    SnView v;
    assert_ok(sn_result(drawn.r.s, name, &v, &err));
    return v.data;
}

/* drop = dropout(x), with the gradient of sum(w * drop) by x; later and other are of other places and keys.
 */
static void run(const char *target, uint32_t seed)
{
    static const int64_t dims[] = {ROWS, COLUMNS};
    SnError err;
    rig_open(&drawn.r, target, NULL);
    SnGraph *g = drawn.r.g;
    const SnValue two = sn_const_int(g, SN_I64, 2),
                  size[] = {sn_const_int(g, SN_I64, ROWS), sn_const_int(g, SN_I64, COLUMNS)};
    sn_entry_begin(g, "main");
    const SnValue x = sn_input(g, "x", SN_F32, 2, size), w = sn_input(g, "w", SN_F32, 2, size),
                  key = sn_input(g, "key", SN_U32, 1, &two);
    SnBuild b = {.g = g, .noise = key};
    sn_fn_begin(g, "loss");
    const SnValue drop = sn_nn_dropout(&b, x, SHARE);
    const SnValue loss = sn_reduce(g, "add", sn_mul(g, w, drop), 0, NULL, false);
    const SnValue y = sn_grad(g, sn_fn_end(g, sn_tuple(g, 2, (SnValue[]){loss, drop}, NULL)), 0, NULL, 1, &x);
    sn_output(g, "drop", sn_get(g, sn_get(g, y, 0), 1));
    sn_output(g, "d", sn_get(g, sn_get(g, y, 1), 0));
    sn_output(g, "noise", sn_noise(g, x, key, 0));
    sn_output(g, "later", sn_nn_dropout(&b, x, SHARE));
    b = (SnBuild){.g = g, .noise = sn_next_key(g, key)};
    sn_output(g, "other", sn_nn_dropout(&b, x, SHARE));
    b.noise = sn_none();
    sn_output(g, "none", sn_nn_dropout(&b, x, SHARE));
    assert_ok(rig_compile(&drawn.r, NULL, &err));
    for (int i = 0; i < COUNT; i++)
        drawn.x[i] = (float)(1 + i % 7);
    uint32_t words[] = {seed, 7};
    const SnView v = sn_view(SN_F32, drawn.x, 2, dims), k = sn_view(SN_U32, words, 1, &(int64_t){2});
    assert_ok(sn_bind(drawn.r.s, "x", &v, &err));
    assert_ok(sn_bind(drawn.r.s, "w", &v, &err));
    assert_ok(sn_bind(drawn.r.s, "key", &k, &err));
    assert_ok(sn_run(drawn.r.s, &err));
}

static void assert_near(double found, double expected, double within)
{
    if (!(fabs(found - expected) <= within))
        fail_msg("%g, expected %g", found, expected);
}

static double agreement(const float *a, const float *b)
{
    int n = 0;
    for (int i = 0; i < COUNT; i++)
        n += (a[i] == 0) == (b[i] == 0);
    return (double)n / COUNT;
}

static void dropout_keeps_its_share_and_the_mean(void **state)
{
    (void)state;
    run(SN_TEST_NATIVE, 1);
    const float *drop = result("drop"), *noise = result("noise");
    double zeros = 0, mean = 0, square = 0, pairs = 0;
    for (int i = 0; i < COUNT; i++) {
        const double u = (double)noise[i];
        assert_true(u >= 0 && u < 1);
        assert_true((drop[i] == 0) == (u < SHARE));
        if (drop[i] != 0)
            assert_float_equal(drop[i], drawn.x[i] / (float)(1 - SHARE), 1e-5F);
        zeros += drop[i] == 0;
        mean += u;
        square += u * u;
        pairs += i ? (u - 0.5) * ((double)noise[i - 1] - 0.5) : 0;
    }
    const double n = COUNT, six = 6 / sqrt(n); /* of six standard deviations */
    assert_near(zeros / n, SHARE, six * sqrt(SHARE * (1 - SHARE)));
    assert_near(mean / n, 0.5, six * sqrt(1.0 / 12));
    assert_near(square / n, 1.0 / 3, six * sqrt(4.0 / 45));
    assert_near(pairs / n, 0, six / 12);
    assert_memory_equal(result("none"), drawn.x, sizeof drawn.x);
    rig_close(&drawn.r);
}

static void gradient_has_the_mask_of_its_value(void **state)
{
    (void)state;
    run(SN_TEST_NATIVE, 1);
    const float *drop = result("drop"), *d = result("d");
    for (int i = 0; i < COUNT; i++)
        assert_float_equal(d[i], drop[i], 0.0F); /* w is x */
    rig_close(&drawn.r);
}

/* Masks of places, keys and seeds agree as often as chance has it; those of one are one, on every target. */
static void masks_differ_by_place_key_and_seed(void **state)
{
    static float first[COUNT];
    const double chance = SHARE * SHARE + (1 - SHARE) * (1 - SHARE);
    (void)state;
    run("interp", 1);
    assert_near(agreement(result("drop"), result("later")), chance, 0.02);
    assert_near(agreement(result("drop"), result("other")), chance, 0.02);
    memcpy(first, result("drop"), sizeof first);
    rig_close(&drawn.r);
    run(SN_TEST_NATIVE, 1);
    assert_memory_equal(result("drop"), first, sizeof first);
    rig_close(&drawn.r);
    run(SN_TEST_NATIVE, 2);
    assert_near(agreement(result("drop"), first), chance, 0.02);
    rig_close(&drawn.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dropout_keeps_its_share_and_the_mean),
        cmocka_unit_test(gradient_has_the_mask_of_its_value),
        cmocka_unit_test(masks_differ_by_place_key_and_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
