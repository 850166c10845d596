/* fuse_test.c -- which terms are stored. */
#include "tests/unit/fixture.h"

static int setup(void **state)
{
    return fixture_open(state, NULL);
}

static SnValue input(Fixture *f, const char *name, int64_t rows, int64_t cols)
{
    const SnValue dims[] = {sn_const_int(f->g, SN_I64, rows), sn_const_int(f->g, SN_I64, cols)};
    return sn_input(f->g, name, SN_F32, 2, dims);
}

static void fuse(Fixture *f)
{
    SnError err = {0};
    assert_ok(sn_graph_check(f->g, &err));
    assert_ok(sn_fuse(&f->pass, sn_graph_root(f->g), &f->is_stored, &err));
}

static int count_stored(const Fixture *f, uint16_t op)
{
    int n = 0;
    for (SnRef r = 1; r < sn_store_count(sn_graph_store(f->g)); r++)
        n += f->is_stored[r] && sn_term(sn_graph_store(f->g), r)->op == op;
    return n;
}

#define assert_stored(v)   assert_true(f->is_stored[(v).ref])
#define assert_computed(v) assert_false(f->is_stored[(v).ref])

static void chain_read_once_is_computed(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnValue x = input(f, "x", 4, 8), a = sn_exp(f->g, x), b = sn_tanh(f->g, a), c = sn_neg(f->g, b);
    sn_output(f->g, "c", c);
    fuse(f);
    assert_stored(x);
    assert_computed(a);
    assert_computed(b);
    assert_stored(c);
}

static void diamond_in_one_kernel_is_computed(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnValue x = input(f, "x", 4, 8), a = sn_exp(f->g, x);
    sn_output(f->g, "y", sn_mul(f->g, sn_add(f->g, a, x), sn_neg(f->g, a)));
    fuse(f);
    assert_computed(a);
}

static void what_is_made_of_one_tensor_is_computed_by_each_kernel(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 8, 8), y = input(f, "y", 8, 8);
    const SnValue twice = sn_mul(g, x, sn_const(g, SN_F32, 2)), both = sn_mul(g, x, y);
    sn_output(g, "a", sn_sum_of(g, sn_neg(g, twice), 0));
    sn_output(g, "b", sn_exp(g, twice));
    sn_output(g, "c", sn_sum_of(g, sn_neg(g, both), 0));
    sn_output(g, "d", sn_exp(g, both));
    const SnValue gelu = sn_mul(g, x, sn_tanh(g, sn_add(g, x, sn_mul(g, twice, x))));
    const SnValue dear = sn_exp(g, sn_tanh(g, sn_exp(g, x)));
    sn_output(g, "e", sn_sum_of(g, sn_neg(g, gelu), 0));
    sn_output(g, "f", sn_exp(g, gelu));
    sn_output(g, "g", sn_sum_of(g, sn_neg(g, dear), 0));
    sn_output(g, "h", sn_exp(g, dear));
    fuse(f);
    assert_computed(twice);
    assert_stored(both);
    assert_computed(gelu);
    assert_stored(dear);
}

static void value_of_two_kernels_is_stored_unless_free(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 8, 8), shared = sn_exp(g, x), half = sn_cast(g, x, SN_BF16);
    const SnValue turned = sn_permute(g, shared, (int[]){1, 0}), wide = sn_cast(g, half, SN_F32);
    sn_output(g, "a", sn_sum_of(g, turned, 0));
    sn_output(g, "b", sn_neg(g, turned));
    sn_output(g, "c", sn_neg(g, half));
    sn_output(g, "d", sn_sum_of(g, wide, 0));
    sn_output(g, "e", sn_neg(g, wide));
    fuse(f);
    assert_stored(shared);
    assert_computed(turned);
    assert_stored(half);
    assert_computed(wide);
}

static void contract_reads_only_what_is_free(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 8, 8), w = input(f, "w", 8, 8);
    const SnValue left = sn_mul(g, x, x), turned = sn_permute(g, left, (int[]){1, 0});
    const SnValue half = sn_cast(g, w, SN_BF16), wide = sn_cast(g, half, SN_F32);
    const SnValue y = sn_contract(g, "km,kn->mn", turned, wide, SN_F32);
    const SnValue zero = sn_const_int(g, SN_I64, 0), one = sn_const_int(g, SN_I64, 1), lo[] = {zero, one};
    const SnValue padded = sn_pad(g, x, lo, lo, sn_const(g, SN_F32, 0), NULL);
    const SnValue view = sn_window(g, padded, 1, 3, 1, 1);
    sn_output(g, "y", y);
    sn_output(g, "z", sn_contract(g, "abc,bd->acd", view, w, SN_F32));
    fuse(f);
    assert_stored(left);
    assert_computed(turned);
    assert_stored(half);
    assert_computed(wide);
    assert_stored(padded);
    assert_computed(view);
}

static void broadcast_is_computed_once_a_row(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 64, 32), scale = sn_exp(g, input(f, "s", 64, 1));
    const SnValue bias = sn_exp(g, input(f, "b", 1, 32)), cheap = sn_neg(g, input(f, "c", 1, 32));
    sn_output(g, "y", sn_add(g, sn_add(g, sn_mul(g, x, scale), bias), cheap));
    fuse(f);
    assert_computed(scale);
    assert_stored(bias);
    assert_computed(cheap);
}

static SnValue softmax(SnGraph *g, SnValue x, SnValue *top, SnValue *e, SnValue *sum)
{
    *top = sn_max_of(g, x, -1);
    *e = sn_exp(g, sn_sub(g, x, *top));
    *sum = sn_sum_of(g, *e, -1);
    return sn_div(g, *e, *sum);
}

static void reductions_of_rows_are_computed_where_they_are_used(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    SnValue top, e, sum, y = softmax(g, input(f, "x", 64, 32), &top, &e, &sum);
    sn_output(g, "y", y);
    fuse(f);
    assert_stored(y);
    assert_int_equal(count_stored(f, SN_OP_REDUCE), 0);
    assert_computed(e);
}

static void reductions_of_others_are_stored(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 64, 32), turned = sn_permute(g, x, (int[]){1, 0});
    sn_output(g, "columns", sn_sub(g, x, sn_sum_of(g, x, 0))); /* not the last axis */
    sn_output(g, "rows", sn_sub(g, turned, sn_permute(g, sn_max_of(g, x, -1), (int[]){1, 0})));
    const SnValue twice = sn_sum_of(g, sn_abs(g, x), -1); /* of two kernels */
    sn_output(g, "p", sn_add(g, x, twice));
    sn_output(g, "q", sn_sum_of(g, sn_permute(g, sn_mul(g, x, twice), (int[]){1, 0}), 0));
    const SnValue whole =
        sn_max_of(g, sn_neg(g, sn_reshape(g, x, 1, (SnValue[]){sn_const_int(g, SN_I64, 2048)})), -1);
    const SnValue wide = input(f, "wide", 4096, 4096);
    sn_output(
        g, "whole",
        sn_mul(g, wide,
               sn_reshape(g, whole, 2, (SnValue[]){sn_const_int(g, SN_I64, 1), sn_const_int(g, SN_I64, 1)})));
    fuse(f);
    assert_int_equal(count_stored(f, SN_OP_REDUCE), 5);
}

static void results_and_shared_dims(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue n = sn_symbol(g, "n", 1, 100), size = sn_mul(g, n, sn_const_int(g, SN_I64, 3));
    const SnValue three = sn_const_int(g, SN_I64, 3), x = sn_input(g, "x", SN_F32, 2, (SnValue[]){n, three});
    const SnValue flat = sn_reshape(g, x, 1, &size);
    sn_output(g, "flat", flat);
    sn_output(g, "size", sn_add(g, size, n));
    sn_output(g, "sum", sn_sum_of(g, sn_add(g, flat, sn_cast(g, size, SN_F32)), 0));
    fuse(f);
    assert_stored(flat);
    assert_computed(size);
    assert_stored(sn_add(g, size, n));
}

static void long_chain_is_split(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    const SnValue x = input(f, "x", 4, 8);
    SnValue y = x;
    int nstored = 0;
    SnValue link[3000];
    for (int i = 0; i < 3000; i++)
        link[i] = y = i % 3 == 0 ? sn_mul(g, y, y) : sn_neg(g, sn_add(g, y, x));
    sn_output(g, "y", y);
    fuse(f);
    for (int i = 0; i < 3000; i++)
        nstored += f->is_stored[link[i].ref];
    assert_in_range(nstored, 3000 / 128, 3000 / 2);
}

static void many_inputs_are_split(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnGraph *g = f->g;
    SnValue sum = input(f, "x", 4, 8), link[40];
    int nstored = 0;
    for (int i = 0; i < 40; i++) {
        char name[8] = {'v', (char)('0' + i / 10), (char)('0' + i % 10)};
        link[i] = sum = sn_add(g, sum, sn_exp(g, input(f, name, 4, 8)));
    }
    sn_output(g, "sum", sum);
    fuse(f);
    for (int i = 0; i < 40; i++)
        nstored += f->is_stored[link[i].ref];
    assert_in_range(nstored, 3, 8);
}

#define fuse_unit(name) cmocka_unit_test_setup_teardown(name, setup, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fuse_unit(chain_read_once_is_computed),
        fuse_unit(diamond_in_one_kernel_is_computed),
        fuse_unit(what_is_made_of_one_tensor_is_computed_by_each_kernel),
        fuse_unit(value_of_two_kernels_is_stored_unless_free),
        fuse_unit(contract_reads_only_what_is_free),
        fuse_unit(broadcast_is_computed_once_a_row),
        fuse_unit(reductions_of_rows_are_computed_where_they_are_used),
        fuse_unit(reductions_of_others_are_stored),
        fuse_unit(results_and_shared_dims),
        fuse_unit(long_chain_is_split),
        fuse_unit(many_inputs_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
