/* Programs compiled for the interpreter and run whole, in slices, with carries, loops and measured dims. */
#include "tests/unit/rig.h"

#include "compiler/target.h"
#include "runtime/program.h"

#include <stdio.h>
#include <stdlib.h>

static Rig rig_create(const char *target, uint32_t threads)
{
    Rig r = {0};
    SnError err;
    SnContextDesc desc = {.struct_size = sizeof desc};
    if (threads > 1) {
        assert_ok(sn_pool_create(threads, &r.pool, &err));
        desc.jobs = sn_pool_jobs(r.pool);
    }
    rig_open(&r, target, &desc);
    return r;
}

static void rig_finish(Rig *r)
{
    SnError err;
    assert_ok(rig_compile(r, NULL, &err));
}

static void bind_f32(Rig *r, const char *name, float *data, int ndim, const int64_t *dims)
{
    SnError err;
    const SnView v = sn_view(SN_F32, data, ndim, dims);
    assert_ok(sn_bind(r->s, name, &v, &err));
}

static const float *result_f32(Rig *r, const char *name, int64_t count)
{
    SnError err;
    SnView v;
    assert_ok(sn_result(r->s, name, &v, &err));
    int64_t n = 1;
    for (int32_t i = 0; i < v.ndim; i++)
        n *= v.dims[i];
    assert_int_equal(n, count);
    assert_int_equal(v.dtype, SN_F32);
    return v.data;
}

static void softmax_of_product_equals_by_hand(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    const SnValue b = sn_symbol(r.g, "b", 1, 100);
    const SnValue x = sn_input(r.g, "x", SN_F32, 2, (SnValue[]){b, sn_const_int(r.g, SN_I64, 3)});
    sn_output(r.g, "y", sn_softmax(r.g, sn_mul(r.g, x, x), -1));
    rig_finish(&r);
    float in[6] = {1, 2, 3, 0, 0, 0};
    bind_f32(&r, "x", in, 2, (int64_t[]){2, 3});
    assert_ok(sn_run(r.s, &err));
    const float *y = result_f32(&r, "y", 6);
    assert_true(y[2] > 0.99f && y[0] < 0.001f);
    for (int i = 3; i < 6; i++)
        assert_true(y[i] > 0.3333f && y[i] < 0.3334f);
    rig_close(&r);
}

/* A program of several kernels with many tiles: the same bits for threads and slices. */
static void deep_graph(Rig *r)
{
    const SnValue n = sn_symbol(r->g, "n", 1, 100000), m = sn_const_int(r->g, SN_I64, 64);
    SnValue x = sn_input(r->g, "x", SN_F32, 2, (SnValue[]){n, m});
    for (int i = 0; i < 3; i++) {
        x = sn_contract(r->g, "ij,kj->ik", sn_tanh(r->g, x),
                        sn_slice_axis(r->g, x, 0, sn_const_int(r->g, SN_I64, 0), m), SN_F32);
        x = sn_layer_norm(r->g, x, sn_none(), sn_none(), 1e-5);
    }
    sn_output(r->g, "y", x);
}

static void fill(float *v, size_t n)
{
    uint32_t seed = 7;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(int32_t)seed / 2147483648.0f;
    }
}

static void targets_threads_and_slices_give_equal_bits(void **state)
{
    (void)state;
    enum { N = 96 };
    SnError err;
    static float in[N * 64], whole[N * 64];
    /* interp first: it is the reference. */
    static const char *const targets[] = {"interp", "clike", SN_TEST_NATIVE};
    fill(in, N * 64);
    for (uint32_t i = 0; i < 2 * SN_COUNT(targets); i++) {
        Rig r = rig_create(targets[i / 2], 1 + i % 2);
        deep_graph(&r);
        rig_finish(&r);
        bind_f32(&r, "x", in, 2, (int64_t[]){N, 64});
        assert_ok(sn_run(r.s, &err));
        const float *y = result_f32(&r, "y", N * 64);
        if (i == 0)
            memcpy(whole, y, sizeof whole);
        assert_memory_equal(whole, y, sizeof whole);
        bool done = false;
        int slices = 0;
        for (; !done; slices++)
            assert_ok(sn_run_some(r.s, 20000, &done, &err));
        assert_true(slices > 1);
        assert_memory_equal(whole, result_f32(&r, "y", N * 64), sizeof whole);
        rig_close(&r);
    }
}

static void carry_keeps_its_value_between_runs(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    const SnValue x = sn_input(r.g, "x", SN_F32, 0, NULL);
    const SnValue total = sn_carry(r.g, "total", sn_const(r.g, SN_F32, 10));
    const SnValue sum = sn_add(r.g, total, x);
    sn_next(r.g, total, sum);
    sn_output(r.g, "sum", sum);
    rig_finish(&r);
    float one = 1;
    bind_f32(&r, "x", &one, 0, NULL);
    for (int i = 0; i < 3; i++) {
        assert_ok(sn_run(r.s, &err));
        assert_true(result_f32(&r, "sum", 1)[0] == 11.0f + (float)i);
    }
    size_t size = 0;
    assert_ok(sn_state_save(r.s, NULL, &size, &err));
    void *saved = test_malloc(size);
    assert_ok(sn_state_save(r.s, saved, &size, &err));
    assert_ok(sn_reset(r.s, &err));
    assert_ok(sn_run(r.s, &err));
    assert_true(result_f32(&r, "sum", 1)[0] == 11.0f);
    assert_ok(sn_state_load(r.s, saved, size, &err));
    assert_ok(sn_run(r.s, &err));
    assert_true(result_f32(&r, "sum", 1)[0] == 14.0f);
    assert_fails(SN_EFORMAT, sn_state_load(r.s, saved, size - 1, &err));
    test_free(saved);
    rig_close(&r);
}

/* i = 0.. while a < 100: a, b = b, a + b; rows of a. */
static void loop_with_while_stacks_rows(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    SnStore *s = sn_graph_store(r.g);
    const SnTypeId i64 = sn_type_scalar(s, SN_I64);
    const SnValue step = sn_input(r.g, "step", SN_I64, 0, NULL);
    sn_fn_begin(r.g, "body");
    (void)sn_fn_arg(r.g, i64);
    const SnValue a = sn_fn_arg(r.g, i64), b = sn_fn_arg(r.g, i64);
    const SnValue body =
        sn_fn_end(r.g, sn_tuple(r.g, 3, (SnValue[]){b, sn_add(r.g, sn_add(r.g, a, b), step), a}, NULL));
    sn_fn_begin(r.g, "go_on");
    (void)sn_fn_arg(r.g, i64);
    const SnValue c = sn_fn_arg(r.g, i64);
    (void)sn_fn_arg(r.g, i64);
    const SnValue go_on = sn_fn_end(r.g, sn_lt(r.g, c, sn_const_int(r.g, SN_I64, 100)));
    const SnValue init[2] = {sn_const_int(r.g, SN_I64, 0), sn_const_int(r.g, SN_I64, 1)};
    const SnValue out = sn_loop(r.g, body, go_on, sn_const_int(r.g, SN_I64, 50), 2, init, 0, NULL);
    sn_output(r.g, "last", sn_get(r.g, out, 0));
    sn_output(r.g, "rows", sn_get(r.g, out, 2));
    sn_output(r.g, "trips", sn_get(r.g, out, 3));
    rig_finish(&r);
    int64_t zero = 0;
    const SnView v = sn_view(SN_I64, &zero, 0, NULL);
    assert_ok(sn_bind(r.s, "step", &v, &err));
    assert_ok(sn_run(r.s, &err));
    SnView got;
    assert_ok(sn_result(r.s, "last", &got, &err));
    assert_int_equal(*(const int64_t *)got.data, 144);
    assert_ok(sn_result(r.s, "trips", &got, &err));
    assert_int_equal(*(const int64_t *)got.data, 12);
    assert_ok(sn_result(r.s, "rows", &got, &err));
    const int64_t fib[12] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89};
    assert_true(got.dims[0] >= 12);
    assert_memory_equal(got.data, fib, sizeof fib);
    rig_close(&r);
}

/* What simplify finds to be needed by nothing is part of the program's face all the same. */
static void inputs_that_nothing_needs_are_checked_and_ignored(void **state)
{
    (void)state;
    static const char text[] = "program @p\ndims n in 0..9, m in 1..5, k in 0..9\ninput nowhere: f32[n]\n"
                               "entry @main(x: f32[n], y: i64[n,m], z: list<u8>[k], w: i64) {\n"
                               "  ret r: (add x (cast (mul w 0) f32)), m: (iota [m] axis=0)\n}\n"
                               "entry @other(x: f32[n]) {\n  ret r: x\n}\n";
    SnError err;
    Rig r = rig_create("interp", 1);
    assert_ok(sn_graph_parse(r.g, "test", sn_bytes_str(text), &err));
    rig_finish(&r);
    float x[2] = {1, 2};
    int64_t y[8] = {0}, start = 0, len = 1;
    SnSlotInfo info;
    bool found = false;
    for (uint32_t i = 0; sn_program_input(r.p, NULL, i, &info); i++) {
        assert_int_equal(info.is_unused, strcmp(info.name, "x") != 0);
        found |= strcmp(info.name, "y") == 0 && info.ndim == 2 && info.dtype == SN_I64;
    }
    assert_true(found);
    bind_f32(&r, "x", x, 1, (int64_t[]){2});
    assert_fails(SN_EINVAL, sn_run(r.s, &err)); /* only y tells m */
    assert_string_equal(err.message, "no input gives the dim m");
    SnView v = sn_view(SN_I64, y, 2, (int64_t[]){2, 4});
    assert_ok(sn_bind(r.s, "y", &v, &err));
    assert_ok(sn_run(r.s, &err));
    assert_memory_equal(result_f32(&r, "r", 2), x, sizeof x);
    assert_ok(sn_result(r.s, "m", &v, &err));
    assert_int_equal(v.dims[0], 4);
    v = sn_view(SN_F32, x, 2, (int64_t[]){1, 2});
    assert_fails(SN_ESHAPE, sn_bind(r.s, "y", &v, &err));
    v = sn_view(SN_I64, y, 1, (int64_t[]){2});
    assert_fails(SN_ESHAPE, sn_bind(r.s, "y", &v, &err));
    v = sn_view(SN_I64, y, 2, (int64_t[]){1, 4}); /* n is 2 */
    assert_ok(sn_bind(r.s, "y", &v, &err));
    assert_fails(SN_ESHAPE, sn_run(r.s, &err));
    v = sn_view(SN_I64, y, 2, (int64_t[]){1, 6}); /* m is at most 5 */
    assert_ok(sn_bind(r.s, "y", &v, &err));
    assert_fails(SN_ESHAPE, sn_run(r.s, &err));
    v = sn_view(SN_I64, y, 2, (int64_t[]){2, 3});
    assert_ok(sn_bind(r.s, "y", &v, &err));
    assert_fails(SN_ESHAPE, sn_bind(r.s, "z", &v, &err));
    v = (SnView){
        .dtype = SN_U8, .ndim = 1, .dims = {1}, .data = y, .start = &start, .len = &len, .child_count = 1};
    assert_ok(sn_bind(r.s, "z", &v, &err));
    v = sn_view(SN_F32, x, 1, (int64_t[]){2});
    assert_ok(sn_bind(r.s, "nowhere", &v, &err));
    assert_ok(sn_run(r.s, &err));
    assert_ok(sn_reserve(r.s, "n=4,m=2", &err));
    assert_ok(sn_entry(r.s, "other", &err));
    assert_ok(sn_bind(r.s, "nowhere", &v, &err));
    v = sn_view(SN_I64, y, 0, NULL);
    assert_fails(SN_EINVAL, sn_bind(r.s, "w", &v, &err)); /* of another entry */
    rig_close(&r);
}

/* A constant and an object that several entries use lie in the image once. */
static void entries_share_constants_and_objects(void **state)
{
    (void)state;
    enum { SIZE = 4096, ENTRIES = 3 };
    static float table[SIZE];
    static uint8_t object[SIZE];
    const int64_t size = SIZE;
    Rig r = rig_create("interp", 1);
    for (int i = 0; i < SIZE; i++) {
        table[i] = (float)i;
        object[i] = (uint8_t)i;
    }
    const SnValue b = sn_symbol(r.g, "b", 1, 8), i = sn_input(r.g, "i", SN_I64, 0, NULL);
    const SnValue tok = sn_object(r.g, "tok", "tokenizer", sn_bytes(object, sizeof object));
    const SnValue text = sn_input_list(r.g, "text", SN_U8, 1, &b);
    for (int k = 0; k < ENTRIES; k++) {
        char name[16];
        (void)snprintf(name, sizeof name, "e%d", k);
        sn_entry_begin(r.g, name);
        const SnValue row =
            sn_gather(r.g, sn_const_data(r.g, SN_F32, 1, &size, table), 1, (const int[]){0}, &i, "clamp");
        sn_output(r.g, "y", sn_mul(r.g, row, sn_const(r.g, SN_F32, k + 1)));
        const SnValue in[] = {tok, text, sn_const_int(r.g, SN_I64, SIZE)};
        const SnValue tokens = sn_op(r.g, "tok_encode", in, 3, NULL, 0);
        sn_output(r.g, "ids", sn_get(r.g, tokens, 0));
    }
    rig_finish(&r);
    assert_true(r.p->image->data.count >= sizeof table + sizeof object);
    assert_true(r.p->image->data.count < sizeof table + sizeof object + 1024);
    assert_int_equal(r.p->image->object.count, 1);
    rig_close(&r);
}

/* Rows of ids, as lists of different length, padded to the longest. */
static void measured_dim_begins_a_segment(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    const SnValue b = sn_symbol(r.g, "b", 1, 100);
    const SnValue x = sn_input_list(r.g, "x", SN_I32, 1, &b);
    const SnValue len_of = sn_get(r.g, x, 1), longest = sn_reduce(r.g, "max", len_of, 0, NULL, false);
    const SnValue width = sn_measure(r.g, longest, sn_const_int(r.g, SN_I64, 8)),
                  one = sn_const_int(r.g, SN_I64, 1);
    const SnValue j = sn_iota(r.g, SN_I64, 1, 2, (SnValue[]){b, width});
    const SnValue column[2] = {b, one}, at = sn_add(r.g, j, sn_reshape(r.g, sn_get(r.g, x, 0), 2, column));
    const SnValue is_in = sn_lt(r.g, j, sn_reshape(r.g, len_of, 2, column));
    const SnValue ids =
        sn_where(r.g, is_in, sn_gather(r.g, sn_get(r.g, x, 2), 1, (const int[]){0}, &at, "zero"),
                 sn_const_int(r.g, SN_I32, 9));
    sn_output(r.g, "ids", ids);
    sn_output(r.g, "twice", sn_add(r.g, ids, ids));
    rig_finish(&r);
    int32_t child[6] = {1, 2, 3, 4, 5, 6};
    int64_t start[3] = {4, 0, 2}, len[3] = {2, 1, 0};
    SnView v = sn_view(SN_I32, child, 1, (int64_t[]){3});
    v.start = start;
    v.len = len;
    v.child_count = 6;
    assert_ok(sn_bind(r.s, "x", &v, &err));
    assert_ok(sn_run(r.s, &err));
    SnView got;
    assert_ok(sn_result(r.s, "ids", &got, &err));
    assert_int_equal(got.dims[0], 3);
    assert_int_equal(got.dims[1], 2);
    const int32_t want[6] = {5, 6, 1, 9, 9, 9};
    assert_memory_equal(got.data, want, sizeof want);
    len[0] = 7;
    assert_fails(SN_EINVAL, sn_bind(r.s, "x", &v, &err));
    rig_close(&r);
}

static void wrong_inputs_are_named(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    const SnValue b = sn_symbol(r.g, "b", 1, 4);
    const SnValue x = sn_input(r.g, "x", SN_F32, 1, &b), y = sn_input(r.g, "y", SN_F32, 1, &b);
    sn_output(r.g, "z", sn_add(r.g, x, y));
    rig_finish(&r);
    float data[8] = {0};
    SnView v = sn_view(SN_F32, data, 1, (int64_t[]){2});
    assert_fails(SN_EINVAL, sn_run(r.s, &err));
    assert_non_null(strstr(err.message, "is not bound"));
    assert_fails(SN_EINVAL, sn_bind(r.s, "w", &v, &err));
    assert_ok(sn_bind(r.s, "x", &v, &err));
    v.dims[0] = 3;
    assert_ok(sn_bind(r.s, "y", &v, &err));
    assert_fails(SN_ESHAPE, sn_run(r.s, &err));
    assert_non_null(strstr(err.message, "input y"));
    v.dims[0] = 5;
    assert_ok(sn_bind(r.s, "x", &v, &err));
    assert_fails(SN_ESHAPE, sn_run(r.s, &err));
    assert_non_null(strstr(err.message, "allowed 1 to 4"));
    v = sn_view(SN_I32, data, 1, (int64_t[]){2});
    assert_fails(SN_ESHAPE, sn_bind(r.s, "x", &v, &err));
    rig_close(&r);
}

/* ---- rules of runs ---- */

static void one_more_of(Rig *r, SnValue n, const char *in, const char *out)
{
    SnValue x = sn_input(r->g, in, SN_F32, 1, &n);
    for (int i = 0; i < 4; i++)
        x = sn_add(r->g, sn_scan(r->g, "add", x, 0, false), sn_const(r->g, SN_F32, 1));
    sn_output(r->g, out, x);
}

static void cancelled_run_ends_and_another_begins(void **state)
{
    (void)state;
    enum { N = 3000 };
    static float in[N], whole[N];
    SnError err;
    SnView v;
    bool done = false;
    size_t size = 0;
    Rig r = rig_create("interp", 1);
    const SnValue n = sn_symbol(r.g, "n", 1, N);
    one_more_of(&r, n, "x", "y");
    sn_entry_begin(r.g, "other");
    one_more_of(&r, n, "x", "z");
    rig_finish(&r);
    fill(in, N);
    bind_f32(&r, "x", in, 1, (int64_t[]){N});
    assert_ok(sn_run(r.s, &err));
    memcpy(whole, result_f32(&r, "y", N), sizeof whole);
    assert_ok(sn_run_some(r.s, 1, &done, &err));
    assert_false(done);
    const SnView again = sn_view(SN_F32, in, 1, (int64_t[]){N});
    assert_fails(SN_EINVAL, sn_bind(r.s, "x", &again, &err));
    assert_fails(SN_EINVAL, sn_entry(r.s, "other", &err));
    assert_fails(SN_EINVAL, sn_reserve(r.s, "n=9", &err));
    assert_fails(SN_EINVAL, sn_state_save(r.s, NULL, &size, &err));
    assert_fails(SN_EINVAL, sn_result(r.s, "y", &v, &err));
    sn_cancel(r.s);
    assert_fails(SN_ECANCELLED, sn_run_some(r.s, 1, &done, &err));
    assert_fails(SN_EINVAL, sn_result(r.s, "y", &v, &err));
    assert_ok(sn_run(r.s, &err));
    assert_memory_equal(whole, result_f32(&r, "y", N), sizeof whole);
    assert_ok(sn_entry(r.s, "other", &err));
    assert_fails(SN_EINVAL, sn_result(r.s, "z", &v, &err));
    assert_fails(SN_EINVAL, sn_run(r.s, &err)); /* each entry has inputs of its own */
    bind_f32(&r, "x", in, 1, (int64_t[]){N});
    assert_ok(sn_run(r.s, &err));
    assert_memory_equal(whole, result_f32(&r, "z", N), sizeof whole);
    assert_fails(SN_EINVAL, sn_entry(r.s, "third", &err));
    rig_close(&r);
}

/* while true, 100000 times at most: stopped by the host after some. */
static void stop_ends_the_outermost_loop(void **state)
{
    (void)state;
    static const char text[] = "program @p\n"
                               "fn @more(i: i64, c: i64) { ret = lt c 1000000 }\n"
                               "fn @body(i: i64, c: i64) {\n  %n = add c 1\n  ret = tuple %n | i\n}\n"
                               "entry @main(x: i64) {\n"
                               "  %l = loop bound=100000 while=@more body=@body (x)\n"
                               "  ret c: %l.0, rows: %l.1, trips: %l.2\n}\n";
    SnError err;
    SnView trips, rows, c;
    bool done = false;
    int64_t zero = 0;
    Rig r = rig_create("interp", 1);
    assert_ok(sn_graph_parse(r.g, "stop", sn_bytes_str(text), &err));
    rig_finish(&r);
    const SnView v = sn_view(SN_I64, &zero, 0, NULL);
    assert_ok(sn_bind(r.s, "x", &v, &err));
    for (int i = 0; i < 50; i++)
        assert_ok(sn_run_some(r.s, 1, &done, &err));
    assert_false(done);
    sn_stop(r.s);
    while (!done)
        assert_ok(sn_run_some(r.s, 1000, &done, &err));
    assert_ok(sn_result(r.s, "trips", &trips, &err));
    assert_ok(sn_result(r.s, "rows", &rows, &err));
    assert_ok(sn_result(r.s, "c", &c, &err));
    const int64_t n = *(const int64_t *)trips.data;
    assert_true(n > 0 && n < 100000);
    assert_int_equal(*(const int64_t *)c.data, n);
    assert_int_equal(((const int64_t *)rows.data)[n - 1], n - 1);
    assert_int_equal(((const int64_t *)rows.data)[n], 0);
    rig_close(&r);
}

static void reserve_says_what_is_wrong(void **state)
{
    (void)state;
    SnError err;
    Rig r = rig_create("interp", 1);
    const SnValue n = sn_symbol(r.g, "n", 1, 64);
    one_more_of(&r, n, "x", "y");
    rig_finish(&r);
    static const char *const malformed[] = {"",   "n",    "n=",  "n=x",
                                            "=3", "n=3;", "m=3", "n=99999999999999999999"};
    for (size_t i = 0; i < SN_COUNT(malformed); i++)
        assert_fails(SN_EINVAL, sn_reserve(r.s, malformed[i], &err));
    assert_fails(SN_ESHAPE, sn_reserve(r.s, "n=0", &err));
    assert_fails(SN_ESHAPE, sn_reserve(r.s, "n=65", &err));
    assert_ok(sn_reserve(r.s, "n=64", &err));
    assert_ok(sn_reserve(r.s, "m=3,n=1", &err));
    rig_close(&r);
}

typedef struct Meter { /* an allocator that counts, and refuses large blocks */
    size_t most;
    uint32_t count;
} Meter;

static void *meter_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Meter *m = self;
    void *made = NULL;
    m->count += new_size > 0;
    if (new_size > m->most)
        return NULL;
    if (new_size && posix_memalign(&made, align < sizeof(void *) ? sizeof(void *) : align, new_size) != 0)
        return NULL;
    if (made && ptr)
        memcpy(made, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    return made;
}

static Rig metered_rig(Meter *meter)
{
    Rig r = {.target = "interp"};
    SnError err;
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {meter, meter_resize}};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    assert_ok(sn_context_create(&desc, &r.ctx, &err));
    assert_ok(sn_compiler_create(r.ctx, &cd, &r.cc, &err));
    assert_ok(sn_graph_create(r.cc, &r.g, &err));
    return r;
}

/* sum(x w) of x: f32[n, 8], through a product that lies in memory. */
static SnValue sum_of_product(Rig *r, const char *name, const char *symbol)
{
    const SnValue width = sn_const_int(r->g, SN_I64, 8);
    const SnValue x = sn_input(r->g, name, SN_F32, 2, (SnValue[]){sn_symbol(r->g, symbol, 1, 4096), width});
    const SnValue y = sn_contract(r->g, "ij,kj->ik", x, x, SN_F32);
    return sn_reduce(r->g, "max", y, 2, (const int[]){0, 1}, false);
}

static void replanning_allocates_only_when_the_block_grows(void **state)
{
    (void)state;
    static float in[160 * 8];
    static const int64_t runs[][2] = {{100, 4}, {4, 60}, {100, 60}, {60, 100}, {1, 1}, {4, 160}, {128, 4}};
    SnError err;
    SnMemoryUse use = {0};
    Meter meter = {.most = SIZE_MAX};
    Rig r = metered_rig(&meter);
    const SnValue first = sum_of_product(&r, "x", "n"), second = sum_of_product(&r, "z", "m");
    sn_output(r.g, "y", sn_add(r.g, first, second));
    rig_finish(&r);
    for (size_t i = 0; i < 2 * SN_COUNT(runs); i++) {
        const int64_t *dims = runs[i % SN_COUNT(runs)];
        const uint64_t before = use.scratch_bytes;
        bind_f32(&r, "x", in, 2, (int64_t[]){dims[0], 8});
        bind_f32(&r, "z", in, 2, (int64_t[]){dims[1], 8});
        meter.count = 0;
        assert_ok(sn_run(r.s, &err));
        sn_instance_memory(r.s, &use);
        assert_int_equal(meter.count, use.scratch_bytes > before);
        if (i == 1 || i >= SN_COUNT(runs)) /* 60 rows lie where the 100 did */
            assert_int_equal(use.scratch_bytes, before);
    }
    rig_close(&r);
}

static void shape_without_memory_fails_alone(void **state)
{
    (void)state;
    enum { N = 1 << 19 };
    static float in[N];
    SnError err;
    Meter meter = {.most = SIZE_MAX};
    Rig r = metered_rig(&meter);
    one_more_of(&r, sn_symbol(r.g, "n", 1, N), "x", "y");
    rig_finish(&r);
    meter.most = 1 << 20;
    bind_f32(&r, "x", in, 1, (int64_t[]){N});
    assert_fails(SN_ENOMEM, sn_run(r.s, &err));
    bind_f32(&r, "x", in, 1, (int64_t[]){100});
    assert_ok(sn_run(r.s, &err));
    assert_true(result_f32(&r, "y", 100)[0] == 4);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_of_product_equals_by_hand),
        cmocka_unit_test(targets_threads_and_slices_give_equal_bits),
        cmocka_unit_test(carry_keeps_its_value_between_runs),
        cmocka_unit_test(loop_with_while_stacks_rows),
        cmocka_unit_test(measured_dim_begins_a_segment),
        cmocka_unit_test(entries_share_constants_and_objects),
        cmocka_unit_test(inputs_that_nothing_needs_are_checked_and_ignored),
        cmocka_unit_test(wrong_inputs_are_named),
        cmocka_unit_test(cancelled_run_ends_and_another_begins),
        cmocka_unit_test(stop_ends_the_outermost_loop),
        cmocka_unit_test(reserve_says_what_is_wrong),
        cmocka_unit_test(replanning_allocates_only_when_the_block_grows),
        cmocka_unit_test(shape_without_memory_fails_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
