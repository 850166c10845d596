/* order_test.c -- programs with gradients are laid out in as little memory as they are given, and compute
 * what they did: budgets, calls that are computed again, budgets that cannot be. */
#include "tests/unit/rig.h"

#include <stdlib.h>

#define ROWS    192
#define WIDTH   24
#define NRESULT 4

/* Layers with a product that is wider than what goes in, and what is made of it. */
#define TEXT(HOW, MAP)                                                                                       \
    "program @p\n"                                                                                           \
    "dims n in 1..4096\n"                                                                                    \
    "fn @layer(x: f32[r,24], w: f32[24,96], v: f32[96,24]) {\n"                                              \
    "  %h = contract \"ij,jk->ik\" x w acc=f32\n"                                                            \
    "  %g = " MAP "\n"                                                                                       \
    "  ret = add x (contract \"ij,jk->ik\" %g v acc=f32)\n"                                                  \
    "}\n"                                                                                                    \
    "fn @loss(x: f32[r,24], w: f32[24,96], v: f32[96,24]) {\n"                                               \
    "  %1 = call @layer x w v" HOW "\n"                                                                      \
    "  %2 = call @layer %1 w v" HOW "\n"                                                                     \
    "  %3 = call @layer %2 w v" HOW "\n"                                                                     \
    "  %4 = call @layer %3 w v" HOW "\n"                                                                     \
    "  ret = reduce add (mul %4 %4) axes=[0,1]\n"                                                            \
    "}\n"                                                                                                    \
    "entry @step(x: f32[n,24], w: f32[24,96], v: f32[96,24]) {\n"                                            \
    "  %y = grad @loss wrt=[0,1,2] x w v\n"                                                                  \
    "  ret loss: %y.0, dx: %y.1.0, dw: %y.1.1, dv: %y.1.2, kept: const f32 [3] {1, -2.5, 0.125}\n"           \
    "}\n"
#define TANH "mul %h (add (tanh (mul %h (mul %h %h))) 1)"
static const char plain_calls[] = TEXT("", TANH), calls_again[] = TEXT(" remat", TANH),
                  cheap_maps[] = TEXT("", "mul %h (add (mul %h %h) 1)");

typedef struct Made {
    Rig r;
    uint64_t bytes;
} Made;

static SnStatus make(Made *m, const char *target, const char *source, uint64_t budget, SnError *err)
{
    SnMemoryUse use;
    rig_open(&m->r, target, NULL);
    const SnCompileOptions o = {
        .struct_size = sizeof o, .target = target, .memory_budget = budget, .shape = "n=192"};
    SN_TRY(sn_graph_parse(m->r.g, "test", sn_bytes_str(source), err));
    SN_TRY(sn_compile(m->r.cc, m->r.g, &o, &m->r.p, err));
    SN_TRY(sn_program_plan(m->r.p, NULL, o.shape, &use, err));
    m->bytes = use.scratch_bytes + use.state_bytes;
    return sn_instance_create(m->r.p, NULL, &m->r.s, err);
}

static void run(Made *m)
{
    static float x[ROWS * WIDTH], w[WIDTH * 96], v[96 * WIDTH];
    SnError err;
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = (float)(i * 7 % 41) / 41 - 0.5f;
    for (int i = 0; i < WIDTH * 96; i++) {
        w[i] = (float)(i * 5 % 37) / 37 - 0.5f;
        v[i] = (float)(i * 3 % 29) / 29 - 0.5f;
    }
    const SnView vx = sn_view(SN_F32, x, 2, (int64_t[]){ROWS, WIDTH});
    const SnView vw = sn_view(SN_F32, w, 2, (int64_t[]){WIDTH, 96});
    const SnView vv = sn_view(SN_F32, v, 2, (int64_t[]){96, WIDTH});
    assert_ok(sn_bind(m->r.s, "x", &vx, &err));
    assert_ok(sn_bind(m->r.s, "w", &vw, &err));
    assert_ok(sn_bind(m->r.s, "v", &vv, &err));
    assert_ok(sn_run(m->r.s, &err));
    SnView kept;
    assert_ok(sn_result(m->r.s, "kept", &kept, &err));
    assert_memory_equal(kept.data, ((const float[]){1, -2.5f, 0.125f}), 3 * sizeof(float));
}

static void assert_same(Made *a, Made *b)
{
    static const char *const name[NRESULT] = {"loss", "dx", "dw", "dv"};
    static const size_t count[NRESULT] = {1, ROWS * WIDTH, WIDTH * 96, 96 * WIDTH};
    SnError err;
    for (int i = 0; i < NRESULT; i++) {
        SnView x, y;
        assert_ok(sn_result(a->r.s, name[i], &x, &err));
        assert_ok(sn_result(b->r.s, name[i], &y, &err));
        assert_memory_equal(x.data, y.data, count[i] * sizeof(float));
    }
}

static void budgets_are_kept(void **state)
{
    static const int share[] = {95, 85, 75, 65};
    SnError err;
    Made whole = {.bytes = 0};
    assert_ok(make(&whole, *state, plain_calls, 1u << 30, &err)); /* nothing has to be computed again */
    run(&whole);
    for (size_t i = 0; i < SN_COUNT(share); i++) {
        Made m = {.bytes = 0};
        const uint64_t budget = whole.bytes * (uint64_t)share[i] / 100;
        assert_ok(make(&m, *state, plain_calls, budget, &err));
        assert_true(m.bytes <= budget);
        run(&m);
        assert_same(&whole, &m);
        rig_close(&m.r);
    }
    rig_close(&whole.r);
}

/* Without a budget what costs next to nothing is computed again; what has an exp or tanh is not. */
static void cheap_values_are_not_kept(void **state)
{
    SnError err;
    Made whole = {.bytes = 0}, plain = {.bytes = 0};
    assert_ok(make(&whole, *state, cheap_maps, 1u << 30, &err));
    assert_ok(make(&plain, *state, cheap_maps, 0, &err));
    assert_true(plain.bytes < whole.bytes);
    run(&whole);
    run(&plain);
    assert_same(&whole, &plain);
    rig_close(&whole.r);
    rig_close(&plain.r);
}

static void calls_are_computed_again(void **state)
{
    SnError err;
    Made whole = {.bytes = 0}, again = {.bytes = 0};
    assert_ok(make(&whole, *state, plain_calls, 1u << 30, &err));
    assert_ok(make(&again, *state, calls_again, 1u << 30, &err));
    assert_true(again.bytes * 3 < whole.bytes * 2);
    run(&whole);
    run(&again);
    assert_same(&whole, &again);
    rig_close(&whole.r);
    rig_close(&again.r);
}

static void impossible_budgets_are_refused(void **state)
{
    SnError err = {0};
    Made m = {.bytes = 0};
    assert_int_equal(make(&m, *state, plain_calls, 10000, &err), SN_EUNSUPPORTED);
    static const char said[] = "memory_budget: 10000 bytes, a run takes ";
    const char *const at = strstr(err.message, said);
    assert_non_null(at);
    rig_close(&m.r);
    const uint64_t least = strtoull(at + sizeof said - 1, NULL, 10);
    assert_ok(make(&m, *state, plain_calls, least, &err));
    assert_true(m.bytes <= least);
    rig_close(&m.r);
}

int main(void)
{
    static char target[] = "interp";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(budgets_are_kept, target),
        cmocka_unit_test_prestate(cheap_values_are_not_kept, target),
        cmocka_unit_test_prestate(calls_are_computed_again, target),
        cmocka_unit_test_prestate(impossible_budgets_are_refused, target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
