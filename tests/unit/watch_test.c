/* watch_test.c -- which kernel makes the first number that is not finite. */
#include "runtime/watch.h"
#include "tests/unit/rig.h"

#include <float.h>
#include <string.h>

#define N 40

/* Products in turn, with the parameter-like carries a and b: y = (x a) b, a sum of it, and what it is over.
 */
static void watch(const char *target, float a, float b, SnWatch *out)
{
    static const int64_t dims[] = {N, N};
    static float x[N * N];
    Rig r = {0};
    SnError err;
    rig_open(&r, target, NULL);
    SnGraph *g = r.g;
    const SnValue size[] = {sn_const_int(g, SN_I64, N), sn_const_int(g, SN_I64, N)};
    sn_entry_begin(g, "main");
    const SnValue in = sn_input(g, "x", SN_F32, 2, size);
    const SnValue wa = sn_carry(g, "a", sn_broadcast(g, sn_const(g, SN_F32, (double)a), 2, size)),
                  wb = sn_carry(g, "b", sn_broadcast(g, sn_const(g, SN_F32, (double)b), 2, size));
    SnValue y = sn_contract(g, "ik,kj->ij", in, wa, SN_F32);
    y = sn_contract(g, "ik,kj->ij", y, wb, SN_F32);
    sn_output(g, "y", sn_exp(g, sn_neg(g, sn_reduce(g, "max", y, 1, &(int){1}, false))));
    assert_ok(rig_compile(&r, NULL, &err));
    for (int i = 0; i < N * N; i++)
        x[i] = 1;
    const SnView v = sn_view(SN_F32, x, 2, dims);
    assert_ok(sn_bind(r.s, "x", &v, &err));
    assert_ok(sn_run_watched(r.s, out, &err));
    SnView result;
    assert_ok(sn_result(r.s, "y", &result, &err));
    if (out->found) /* names live as long as the program */
        assert_non_null(strstr(out->kernel, "f32"));
    out->near = out->near && strcmp(out->near, "b") == 0 ? "b" : out->near ? "a" : NULL;
    rig_close(&r);
}

static void kernel_is_found_by_the_parameter_it_reads(void **state)
{
    static const char *const targets[] = {"interp", SN_TEST_NATIVE};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(targets); i++) {
        SnWatch w;
        watch(targets[i], 1, 1, &w);
        assert_false(w.found);
        watch(targets[i], FLT_MAX, 1, &w);
        assert_true(w.found);
        assert_string_equal(w.near, "a");
        watch(targets[i], 1, FLT_MAX, &w);
        assert_true(w.found);
        assert_string_equal(w.near, "b");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_is_found_by_the_parameter_it_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
