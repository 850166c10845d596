/* quant_test.c -- products with weights in blocks: the same bytes from eval, the interpreter and every CPU
 * level, for one row and many, on one thread and two; what they are worth; blocks that hold anything. */
#include "compiler/eval.h"
#include "runtime/tensor.h"
#include "tests/unit/rig.h"

#include <math.h>
#include <stdlib.h>

#define MAX_ROWS 33

typedef struct Row {
    const char *format;
    int block, bytes;
    int64_t n, k, rows;
    SnDtype dtype; /* of x */
    bool is_hostile;
} Row;

static const Row rows[] = {
    {"q8_0", 32, 34, 48, 64, 1, SN_F32, false},    {"q8_0", 32, 34, 40, 96, 26, SN_F32, false},
    {"q8_0", 32, 34, 192, 32, 9, SN_BF16, false},  {"q4_0", 32, 18, 64, 128, 25, SN_F32, false},
    {"q4_0", 32, 18, 17, 32, 3, SN_F16, false},    {"q4_1", 32, 20, 33, 64, 7, SN_F32, false},
    {"q5_0", 32, 22, 96, 32, 5, SN_F32, false},    {"q5_1", 32, 24, 16, 160, 2, SN_F32, false},
    {"iq4_nl", 32, 18, 8, 64, 4, SN_F32, false},   {"q2_k", 256, 84, 50, 256, 6, SN_F32, false},
    {"q3_k", 256, 110, 36, 512, 5, SN_F32, false}, {"q4_k", 256, 144, 64, 512, 33, SN_BF16, false},
    {"q5_k", 256, 176, 31, 256, 8, SN_F32, false}, {"q6_k", 256, 210, 48, 512, 13, SN_F32, false},
    {"q8_0", 32, 34, 32, 64, 3, SN_F32, true},     {"q4_1", 32, 20, 32, 64, 3, SN_F32, true},
    {"q6_k", 256, 210, 16, 256, 3, SN_F32, true},  {"q4_k", 256, 144, 16, 256, 3, SN_F32, true},
};

typedef struct Data {
    const Row *row;
    SnNamedView in[4];
    void *bytes[4];
    uint64_t random;
} Data;

static double next_random(Data *d)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return (double)(d->random >> 40) / (double)(1 << 24);
}

static void fill(Data *d, int i, const char *name, SnDtype dtype, int64_t n, int64_t m)
{
    const int64_t dims[] = {n, m};
    const size_t size = sn_dtype_size(dtype);
    uint8_t *at = malloc((size_t)(n * m) * size);
    assert_non_null(at);
    for (int64_t k = 0; k < n * m; k++) {
        const double x = dtype == SN_U8 ? floor(next_random(d) * 256) : next_random(d) * 4 - 2;
        sn_scalar_store(dtype, at + (size_t)k * size,
                        sn_scalar_cast(SN_F64, dtype, (SnScalar){.f = x}, false));
    }
    d->bytes[i] = at;
    d->in[i] = (SnNamedView){name, sn_view(dtype, at, m == 0 ? 1 : 2, dims)};
}

/* Halves that are scales get exponents of ordinary numbers: bytes 0 and 1, 2 and 3, and the last ones. */
static void tame(Data *d)
{
    const int64_t count = d->row->n * d->row->k / d->row->block;
    for (int64_t i = 0; i < count; i++) {
        uint8_t *at = (uint8_t *)d->bytes[1] + i * d->row->bytes;
        const int odd[] = {1, 3, d->row->bytes - 1, d->row->bytes - 3};
        for (size_t k = 0; k < SN_COUNT(odd); k++)
            at[odd[k]] = (uint8_t)((at[odd[k]] & 0x83) | 0x28);
    }
}

static void data_create(Data *d, const Row *row)
{
    *d = (Data){.row = row, .random = 0x9E3779B97F4A7C15u};
    fill(d, 0, "x", row->dtype, row->rows, row->k);
    fill(d, 1, "w", SN_U8, row->n, row->k / row->block * row->bytes);
    fill(d, 2, "b", SN_F32, 1, row->n);
    fill(d, 3, "r", row->dtype, row->rows, row->n);
    for (int64_t i = 0; i < 40 && i < row->k; i++) /* a block of zeros, and more */
        sn_scalar_store(row->dtype, (uint8_t *)d->bytes[0] + (size_t)i * sn_dtype_size(row->dtype),
                        (SnScalar){.u = 0});
    if (!row->is_hostile)
        tame(d);
}

static void data_destroy(Data *d)
{
    for (size_t i = 0; i < SN_COUNT(d->bytes); i++)
        free(d->bytes[i]);
}

static SnValue matrix(SnGraph *g, const char *name, SnDtype dtype, SnValue rows_dim, int64_t n)
{
    return sn_input(g, name, dtype, 2, (SnValue[]){rows_dim, sn_const_int(g, SN_I64, n)});
}

/* y = x w^T + b, z = silu(y) + r */
static void build(const Data *d, SnGraph *g)
{
    const Row *row = d->row;
    const SnValue m = sn_symbol(g, "m", 1, 1024), n = sn_const_int(g, SN_I64, row->n);
    const SnValue x = matrix(g, "x", row->dtype, m, row->k);
    const SnValue w = matrix(g, "w", SN_U8, n, d->in[1].view.dims[1]);
    const SnValue b = matrix(g, "b", SN_F32, sn_const_int(g, SN_I64, 1), row->n);
    const SnValue bias = sn_reshape(g, b, 1, &n);
    sn_output(g, "y", sn_linear_blocks(g, x, w, bias, row->format));
    const SnValue z = sn_linear_blocks(g, sn_neg(g, x), w, sn_none(), row->format);
    sn_output(g, "z", sn_add(g, sn_silu(g, z, 1), matrix(g, "r", row->dtype, m, row->n)));
}

static size_t view_size(const SnView *v)
{
    int64_t n = 0;
    assert_true(sn_view_count(v, &n));
    return (size_t)n * sn_dtype_size(v->dtype);
}

/* Equal bytes; NaN equals NaN. */
static void compare(const Row *row, const char *what, const SnView *found, const SnView *expected)
{
    const size_t size = sn_dtype_size(expected->dtype), n = view_size(expected) / size;
    assert_int_equal(view_size(found), view_size(expected));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *a = (const uint8_t *)found->data + i * size;
        const uint8_t *e = (const uint8_t *)expected->data + i * size;
        const double x = sn_scalar_cast(found->dtype, SN_F64, sn_scalar_load(found->dtype, a), false).f;
        const double y = sn_scalar_cast(expected->dtype, SN_F64, sn_scalar_load(expected->dtype, e), false).f;
        if (memcmp(a, e, size) != 0 && !(isnan(x) && isnan(y)))
            fail_msg("%s %lldx%lld, %lld rows, %s: element %zu is %.9g, expected %.9g", row->format,
                     (long long)row->n, (long long)row->k, (long long)row->rows, what, i, x, y);
    }
}

/* Rows [first, first + count) of the data. */
static void run_rows(Rig *r, const Data *d, int64_t first, int64_t count)
{
    SnError err;
    for (size_t i = 0; i < SN_COUNT(d->in); i++) {
        SnView v = d->in[i].view;
        if (i == 0 || i == 3) {
            v.data = (uint8_t *)v.data + (size_t)(first * v.dims[1]) * sn_dtype_size(v.dtype);
            v.dims[0] = count;
        }
        assert_ok(sn_bind(r->s, d->in[i].name, &v, &err));
    }
    assert_ok(sn_run(r->s, &err));
}

static void check_results(Rig *r, const Data *d, const SnEvalResult *expected, int64_t first, int64_t count,
                          const char *what)
{
    SnError err;
    run_rows(r, d, first, count);
    for (size_t i = 0; i < sn_eval_count(expected); i++) {
        SnView found, e = sn_eval_get(expected, i)->view;
        assert_ok(sn_result(r->s, sn_eval_get(expected, i)->name, &found, &err));
        e.data = (uint8_t *)e.data + (size_t)(first * e.dims[1]) * sn_dtype_size(e.dtype);
        e.dims[0] = count;
        compare(d->row, what, &found, &e);
    }
}

/* false: this machine has no such level. */
static bool check_target(const Data *d, const char *target, const char *level, uint32_t threads,
                         const SnEvalResult *expected)
{
    Rig r = {.target = target};
    SnError err;
    SnJobs jobs = {0};
    if (threads > 1) {
        assert_ok(sn_pool_create(threads, &r.pool, &err));
        jobs = sn_pool_jobs(r.pool);
    }
    const SnContextDesc desc = {.struct_size = sizeof desc, .jobs = jobs, .cpu_level = level};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    if (sn_context_create(&desc, &r.ctx, &err) != SN_OK) {
        sn_pool_destroy(r.pool);
        return false;
    }
    assert_ok(sn_compiler_create(r.ctx, &cd, &r.cc, &err));
    assert_ok(sn_graph_create(r.cc, &r.g, &err));
    build(d, r.g);
    assert_ok(rig_compile(&r, NULL, &err));
    check_results(&r, d, expected, 0, d->row->rows, level != NULL ? level : target);
    check_results(&r, d, expected, d->row->rows - 1, 1, "a row alone");
    rig_close(&r);
    return true;
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
        build(&d, r.g);
        const SnRef root = sn_graph_root(r.g);
        if (sn_graph_check(r.g, &err) != SN_OK ||
            sn_eval(r.g, root, "main", d.in, SN_COUNT(d.in), &expected, &err) != SN_OK)
            fail_msg("%s: %s", rows[i].format, err.message);
        assert_true(check_target(&d, "interp", NULL, 1, expected));
        for (size_t k = 0; k < SN_COUNT(levels); k++)
            if (i < 2 || i % SN_COUNT(levels) == k)
                (void)check_target(&d, SN_TEST_NATIVE, levels[k], 1 + (uint32_t)k % 2, expected);
        sn_eval_destroy(expected);
        rig_close(&r);
        data_destroy(&d);
    }
}

/* What rounding costs: of random weights and rows, relative to the product itself. */
static void products_are_near(void **state)
{
    static const struct {
        const char *format;
        double least, most;
    } cases[] = {{"q8_0", 1e-4, 0.01}, {"q5_1", 1e-3, 0.04}, {"q4_1", 1e-3, 0.08}, {"q4", 1e-3, 0.08}};
    static const Row shape = {"", 32, 32, 24, 192, 5, SN_F32, true};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        Rig r = {0};
        Data d = {.row = &shape, .random = 88172645463325252u};
        SnError err;
        SnView found, expected;
        double miss = 0, size = 0;
        fill(&d, 0, "x", SN_F32, shape.rows, shape.k);
        fill(&d, 1, "w", SN_F32, shape.n, shape.k);
        rig_open(&r, "interp", NULL);
        const SnValue x = matrix(r.g, "x", SN_F32, sn_const_int(r.g, SN_I64, shape.rows), shape.k);
        const SnValue w = matrix(r.g, "w", SN_F32, sn_const_int(r.g, SN_I64, shape.n), shape.k);
        sn_output(r.g, "y", sn_linear_quantized(r.g, x, w, sn_none(), cases[i].format));
        sn_output(r.g, "z", sn_linear(r.g, x, w, sn_none()));
        assert_ok(rig_compile(&r, NULL, &err));
        assert_ok(sn_bind(r.s, "x", &d.in[0].view, &err));
        assert_ok(sn_bind(r.s, "w", &d.in[1].view, &err));
        assert_ok(sn_run(r.s, &err));
        assert_ok(sn_result(r.s, "y", &found, &err));
        assert_ok(sn_result(r.s, "z", &expected, &err));
        for (int64_t k = 0; k < shape.rows * shape.n; k++) {
            const double a = (double)((const float *)found.data)[k],
                         e = (double)((const float *)expected.data)[k];
            miss += (a - e) * (a - e);
            size += e * e;
        }
        if (sqrt(miss / size) < cases[i].least || sqrt(miss / size) > cases[i].most)
            fail_msg("%s: relative error %g", cases[i].format, sqrt(miss / size));
        rig_close(&r);
        data_destroy(&d);
    }
}

static void others_are_refused(void **state)
{
    static const struct {
        int64_t k, row_bytes;
        const char *format, *says;
    } cases[] = {
        {48, 51, "q8_0", "whole blocks of 34"}, {48, 68, "q8_0", "whole blocks of 32"},
        {96, 68, "q8_0", "dim j is 3"},         {64, 68, "q9", "q9"},
        {64, 36, "q4", "has no bytes"},         {128, 144, "q4_k", "product_blocks"},
    };
    (void)state;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        Rig r = {0};
        SnError err = {0};
        rig_open(&r, "interp", NULL);
        const SnValue n = sn_const_int(r.g, SN_I64, 16);
        const SnValue x = matrix(r.g, "x", SN_F32, n, cases[i].k);
        const SnValue w = matrix(r.g, "w", SN_U8, n, cases[i].row_bytes);
        sn_output(r.g, "y", sn_linear_blocks(r.g, x, w, sn_none(), cases[i].format));
        assert_int_not_equal(rig_compile(&r, NULL, &err), SN_OK);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("case %zu: %s", i, err.message);
        rig_close(&r);
    }
}

/* What bitsandbytes says of the same 256 numbers on a CPU: not always the nearest, and 0 is none of them. */
static void dynamic_codes_are_those_of_bitsandbytes(void **state)
{
    static const float x[] = {
        0,         1e-6F, -1e-6F, 7.75e-7F, 0.0102840969F, 0.0015612233F, 0.0606304146F, 0.02406F, -0.07750F,
        -0.25468F, 1,     0.5F,   -1};
    static const uint8_t codes[2][SN_COUNT(x)] = {
        {7, 7, 7, 7, 62, 33, 98, 73, 111, 149, 255, 183, 255},
        {131, 131, 123, 131, 158, 144, 176, 164, 71, 52, 255, 219, 0}};
    (void)state;
    for (int sign = 0; sign < 2; sign++) {
        float all[257] = {0};
        SnError err = {0};
        Rig r = {0};
        SnView q, scale;
        for (size_t i = 0; i < SN_COUNT(x); i++)
            all[i] = 3 * (sign ? x[i] : fabsf(x[i]));
        rig_open(&r, SN_TEST_NATIVE, NULL);
        const SnValue n = sn_const_int(r.g, SN_I64, 257);
        const SnValue both = sn_quantize_dynamic(r.g, sn_input(r.g, "x", SN_F32, 1, &n), sign);
        sn_output(r.g, "q", sn_get(r.g, both, 0));
        sn_output(r.g, "scale", sn_get(r.g, both, 1));
        assert_ok(rig_compile(&r, NULL, &err));
        const SnView v = sn_view(SN_F32, all, 1, &(int64_t){257});
        assert_ok(sn_bind(r.s, "x", &v, &err));
        assert_ok(sn_run(r.s, &err));
        assert_ok(sn_result(r.s, "q", &q, &err));
        assert_ok(sn_result(r.s, "scale", &scale, &err));
        assert_memory_equal(q.data, codes[sign], sizeof codes[sign]);
        assert_int_equal(((const uint8_t *)q.data)[256], 0); /* of a block of zeros */
        assert_memory_equal(scale.data, ((const float[]){3, 0}), 2 * sizeof(float));
        rig_close(&r);
    }
}

/* What bitsandbytes says of 130 numbers: two blocks, and a part of one. */
static void nf4_codes_are_those_of_bitsandbytes(void **state)
{
    static const float x[] = {0,      0.5F, -0.5F, 1,    -1,    0.04F, -0.04F, 0.75F,
                              -0.75F, 0.3F, -0.3F, 0.1F, -0.1F, 0.61F, -0.61F, 0.86F};
    static const uint8_t codes[] = {0x7c, 0x2f, 0x08, 0x7e, 0x1b, 0x48, 0x6d, 0x2e, 0x77};
    (void)state;
    for (int device = 0; device < 2; device++) {
        float all[130] = {0};
        SnError err = {0};
        Rig r = {0};
        SnView q, scale, w;
        memcpy(all, x, sizeof x);
        all[64] = 0.2F;
        all[65] = -0.2F;
        all[128] = 2;
        all[129] = 0.5F;
        rig_open(&r, device ? SN_TEST_NATIVE : "interp", NULL);
        const SnValue n[] = {sn_const_int(r.g, SN_I64, 65), sn_const_int(r.g, SN_I64, 2)};
        const SnValue in = sn_input(r.g, "x", SN_F32, 2, n), both = sn_quantize_nf4(r.g, in, false);
        sn_output(r.g, "q", sn_get(r.g, both, 0));
        sn_output(r.g, "scale", sn_get(r.g, both, 1));
        sn_output(r.g, "w", sn_dequantize_nf4(r.g, sn_get(r.g, both, 0), sn_get(r.g, both, 1), 65, 2, "nf4"));
        assert_ok(rig_compile(&r, NULL, &err));
        const SnView v = sn_view(SN_F32, all, 2, (const int64_t[]){65, 2});
        assert_ok(sn_bind(r.s, "x", &v, &err));
        assert_ok(sn_run(r.s, &err));
        assert_ok(sn_result(r.s, "q", &q, &err));
        assert_ok(sn_result(r.s, "scale", &scale, &err));
        assert_ok(sn_result(r.s, "w", &w, &err));
        assert_memory_equal(q.data, codes, sizeof codes);
        assert_int_equal(((const uint8_t *)q.data)[32], 0xf0);
        assert_int_equal(((const uint8_t *)q.data)[64], 0xfa);
        assert_memory_equal(scale.data, ((const float[]){1, 0.2F, 2}), 3 * sizeof(float));
        assert_float_equal(((const float *)w.data)[1], 0.440709829F, 0.0F);
        assert_float_equal(((const float *)w.data)[65], -0.2F, 0.0F);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_equal),
        cmocka_unit_test(products_are_near),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(dynamic_codes_are_those_of_bitsandbytes),
        cmocka_unit_test(nf4_codes_are_those_of_bitsandbytes),
    };
    return cmocka_run_group_tests_name("quant", tests, NULL, NULL);
}
