/* grouped_test.c -- products of rows that have a matrix each: the same bytes as one row alone with its matrix
 * by linear, from eval, the interpreter and every CPU level, on one thread and two; in floats and in blocks;
 * groups in any order, and numbers that are none. */
#include "compiler/eval.h"
#include "runtime/tensor.h"
#include "tests/unit/rig.h"

#include <stdlib.h>

#define GROUPS   5
#define MAX_ROWS 64

typedef struct Row {
    const char *format; /* NULL: floats */
    int64_t n, k, rows;
    SnDtype dtype;
    bool has_bias, is_sorted;
} Row;

static const Row rows[] = {
    {NULL, 48, 40, 1, SN_F32, true, true},     {NULL, 33, 64, 30, SN_F32, false, true},
    {NULL, 96, 33, 61, SN_F32, true, true},    {NULL, 16, 32, 25, SN_BF16, true, true},
    {NULL, 70, 64, 50, SN_BF16, false, false}, {NULL, 20, 31, 9, SN_F16, true, false},
    {"q8_0", 40, 64, 27, SN_F32, true, true},  {"q4", 64, 96, 49, SN_BF16, false, true},
    {"q4", 17, 32, 12, SN_F32, true, false},   {NULL, 48, 40, 2, SN_F32, true, true},
    {NULL, 48, 40, 4, SN_BF16, true, true},
};

typedef struct Data {
    const Row *row;
    SnNamedView in[4];
    void *bytes[4];
    uint32_t random;
} Data;

static double next_random(Data *d)
{
    d->random = d->random * 1664525u + 1013904223u;
    return (double)(d->random >> 8) / (double)(1 << 22) - 2;
}

static void fill(Data *d, int i, const char *name, SnDtype dtype, int ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int k = 0; k < ndim; k++)
        n *= dims[k];
    uint8_t *at = malloc((size_t)n * sn_dtype_size(dtype));
    assert_non_null(at);
    for (int64_t k = 0; k < n; k++)
        sn_scalar_store(dtype, at + (size_t)k * sn_dtype_size(dtype),
                        sn_scalar_cast(SN_F64, dtype, (SnScalar){.f = next_random(d)}, false));
    d->bytes[i] = at;
    d->in[i] = (SnNamedView){name, sn_view(dtype, at, ndim, dims)};
}

/* Sorted: most groups have rows, one has none; else every number, among them some that are no group. */
static void fill_groups(Data *d)
{
    const Row *r = d->row;
    int64_t *at = malloc((size_t)r->rows * sizeof *at);
    assert_non_null(at);
    for (int64_t i = 0; i < r->rows; i++)
        at[i] = r->is_sorted ? i * (GROUPS - 1) / r->rows + (i * 2 > r->rows) : (i * 7) % (GROUPS + 2) - 1;
    d->bytes[3] = at;
    d->in[3] = (SnNamedView){"group", sn_view(SN_I64, at, 1, &r->rows)};
}

static void data_create(Data *d, const Row *r)
{
    *d = (Data){.row = r, .random = (uint32_t)(r->n * r->k)};
    fill(d, 0, "x", r->dtype, 2, (const int64_t[]){r->rows, r->k});
    fill(d, 1, "w", r->dtype, 3, (const int64_t[]){GROUPS, r->n, r->k});
    fill(d, 2, "b", r->dtype, 2, (const int64_t[]){GROUPS, r->n});
    fill_groups(d);
}

/* is_fixed: the number of rows is known when the program is compiled. */
static void build(const Data *d, SnGraph *g, bool is_fixed)
{
    const Row *r = d->row;
    const SnValue m = is_fixed ? sn_const_int(g, SN_I64, r->rows) : sn_symbol(g, "m", 1, 1024);
    const SnValue e = sn_const_int(g, SN_I64, GROUPS);
    const SnValue n = sn_const_int(g, SN_I64, r->n), k = sn_const_int(g, SN_I64, r->k);
    const SnValue x = sn_input(g, "x", r->dtype, 2, (const SnValue[]){m, k});
    const SnValue w = sn_input(g, "w", r->dtype, 3, (const SnValue[]){e, n, k});
    const SnValue b = sn_input(g, "b", r->dtype, 2, (const SnValue[]){e, n});
    const SnValue group = sn_input(g, "group", SN_I64, 1, &m), bias = r->has_bias ? b : sn_none();
    const SnValue y = r->format ? sn_grouped_quantized(g, x, w, bias, group, r->format)
                                : sn_linear_grouped(g, x, w, bias, group);
    sn_output(g, "y", y);
    sn_output(g, "z", sn_mul(g, sn_silu(g, y, 1), sn_const(g, SN_F64, 0.5))); /* a tail */
}

static size_t view_size(const SnView *v)
{
    int64_t n = 0;
    assert_true(sn_view_count(v, &n));
    return (size_t)n * sn_dtype_size(v->dtype);
}

/* Rows [first, first + count) of the data. */
static void check_rows(Rig *r, const Data *d, const SnEvalResult *expected, int64_t first, int64_t count,
                       const char *what)
{
    SnError err;
    const size_t skipped = (size_t)(first * d->row->k) * sn_dtype_size(d->row->dtype);
    for (size_t i = 0; i < SN_COUNT(d->in); i++) {
        SnView v = d->in[i].view;
        if (i == 0 || i == 3) {
            v.data = (uint8_t *)v.data + (i == 0 ? skipped : (size_t)first * sizeof(int64_t));
            v.dims[0] = count;
        }
        assert_ok(sn_bind(r->s, d->in[i].name, &v, &err));
    }
    assert_ok(sn_run(r->s, &err));
    for (size_t i = 0; i < sn_eval_count(expected); i++) {
        SnView found, e = sn_eval_get(expected, i)->view;
        assert_ok(sn_result(r->s, sn_eval_get(expected, i)->name, &found, &err));
        e.data = (uint8_t *)e.data + (size_t)(first * d->row->n) * sn_dtype_size(e.dtype);
        e.dims[0] = count;
        assert_int_equal(view_size(&found), view_size(&e));
        if (memcmp(found.data, e.data, view_size(&e)) != 0)
            fail_msg("%s %lldx%lld, %lld rows, %s: %s differs", d->row->format ? d->row->format : "floats",
                     (long long)d->row->n, (long long)d->row->k, (long long)d->row->rows, what,
                     sn_eval_get(expected, i)->name);
    }
}

static void check_target(const Data *d, const char *target, const char *level, uint32_t threads,
                         bool is_fixed, const SnEvalResult *expected)
{
    Rig r = {0};
    SnError err;
    SnContextDesc desc = {.struct_size = sizeof desc, .cpu_level = level};
    if (threads > 1) {
        assert_ok(sn_pool_create(threads, &r.pool, &err));
        desc.jobs = sn_pool_jobs(r.pool);
    }
    if (level != NULL) {
        SnContext *probe = NULL;
        if (sn_context_create(&desc, &probe, &err) != SN_OK) { /* this machine has no such level */
            sn_pool_destroy(r.pool);
            return;
        }
        sn_context_destroy(probe);
    }
    rig_open(&r, target, &desc);
    build(d, r.g, is_fixed);
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target, .flags = SN_EXACT};
    assert_ok(sn_compile(r.cc, r.g, &o, &r.p, &err));
    assert_ok(sn_instance_create(r.p, NULL, &r.s, &err));
    check_rows(&r, d, expected, 0, d->row->rows, level != NULL ? level : target);
    if (!is_fixed)
        check_rows(&r, d, expected, d->row->rows - 1, 1, "a row alone");
    if (!is_fixed)
        check_rows(&r, d, expected, d->row->rows / 2, d->row->rows - d->row->rows / 2, "the last rows");
    rig_close(&r);
}

static void bytes_are_equal(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        static const char *const levels[] = {"v3", "v4", "v4d"};
        Data d;
        Rig r = {0};
        SnError err;
        SnEvalResult *expected = NULL;
        data_create(&d, &rows[i]);
        rig_open(&r, "interp", NULL);
        build(&d, r.g, false);
        const SnRef root = sn_graph_root(r.g);
        assert_ok(sn_graph_check(r.g, &err));
        assert_ok(sn_eval(r.g, root, "main", d.in, SN_COUNT(d.in), &expected, &err));
        check_target(&d, "interp", NULL, 1, false, expected);
        check_target(&d, "interp", NULL, 1, true, expected);
        for (size_t k = 0; k < SN_COUNT(levels); k++)
            if (i < 2 || i % SN_COUNT(levels) == k)
                check_target(&d, SN_TEST_NATIVE, levels[k], 1 + (uint32_t)k % 2, i % 2 == 1, expected);
        sn_eval_destroy(expected);
        rig_close(&r);
        for (size_t k = 0; k < SN_COUNT(d.bytes); k++)
            free(d.bytes[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_are_equal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
