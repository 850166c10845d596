/* past_test.c -- attention over keys and values in pages: against sums in f64; equal bytes on all targets,
 * CPU levels and numbers of threads, fed whole, in chunks, alone or among others; and caches that are never
 * copied. */
#include "compiler/target.h"
#include "tests/unit/rig.h"

#include <math.h>
#include <stdio.h>

enum { PAGE = 256, PAGES = 9, CHUNKS = 3, ROWS = 3, MAX_WIDTH = 72, MAX_HEADS = 6, MAX_LENGTH = 530 };

typedef struct Case {
    const char *title;
    SnDtype dtype, cache;
    int64_t heads, groups, dim, width;
    int64_t window;
    double scale, softcap;
    bool has_slopes, has_sinks;
    int64_t length[ROWS];
} Case;

static const Case cases[] = {
    {"plain", SN_F32, SN_F32, 4, 2, 16, 16, 0, 0, 0, false, false, {300, 33, 1}},
    {"three_of_a_group", SN_BF16, SN_BF16, 6, 2, 32, 32, 0, 0, 0, false, false, {270, 8, 256}},
    {"ragged_widths", SN_F16, SN_F16, 2, 1, 20, 24, 0, 0.3, 0, false, false, {257, 1, 40}},
    {"narrow_cache", SN_F32, SN_BF16, 3, 3, 8, 72, 0, 0, 0, false, false, {64, 260, 5}},
    {"window", SN_F32, SN_F16, 2, 1, 16, 16, 100, 0, 0, false, false, {530, 50, 99}},
    {"window_of_one", SN_F32, SN_F32, 2, 2, 8, 8, 1, 0, 0, false, false, {260, 3, 1}},
    {"slopes", SN_F32, SN_F32, 4, 4, 8, 16, 0, 0, 0, true, false, {300, 20, 7}},
    {"sinks_and_window", SN_BF16, SN_BF16, 4, 2, 16, 16, 40, 0, 0, false, true, {290, 20, 1}},
    {"softcap", SN_F32, SN_F32, 2, 1, 16, 16, 0, 0.25, 5, false, false, {40, 280, 2}},
    {"whole_numbers", SN_F32, SN_I8, 4, 2, 16, 24, 0, 0, 0, false, false, {300, 33, 1}},
    {"whole_numbers_and_window", SN_BF16, SN_I8, 4, 2, 32, 32, 40, 0, 5, true, true, {290, 20, 257}},
    {"bytes", SN_F32, SN_F8E4M3FN, 2, 1, 16, 16, 0, 0, 0, false, false, {270, 3, 40}},
};

/* All numbers of a case, by row and token; as the dtype has them. */
typedef struct Data {
    uint8_t q[ROWS][MAX_LENGTH][MAX_HEADS * MAX_WIDTH * 4];
    uint8_t k[ROWS][MAX_LENGTH][MAX_HEADS * MAX_WIDTH * 4];
    uint8_t v[ROWS][MAX_LENGTH][MAX_HEADS * MAX_WIDTH * 4];
    float slopes[MAX_HEADS], sinks[MAX_HEADS];
    int32_t page[ROWS][CHUNKS];
} Data;
typedef uint8_t Results[ROWS][MAX_LENGTH][MAX_HEADS * MAX_WIDTH * 4];

static Data data;
static Results expected, found;

static uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 33);
}

static double number(uint64_t *state)
{
    return (double)(next_random(state) % 4001) / 1000 - 2;
}

static void fill_random(SnDtype d, uint8_t *to, int64_t n, uint64_t *state)
{
    for (int64_t i = 0; i < n; i++) {
        const SnScalar v = sn_scalar_cast(SN_F64, d, (SnScalar){.f = number(state)}, false);
        sn_scalar_store(d, to + (size_t)i * sn_dtype_size(d), v);
    }
}

static double value_at(SnDtype d, const uint8_t *at, int64_t i)
{
    return sn_scalar_cast(d, SN_F64, sn_scalar_load(d, at + (size_t)i * sn_dtype_size(d)), false).f;
}

static void make_data(const Case *c)
{
    uint64_t state = 0x9E3779B97F4A7C15u + (uint64_t)(c - cases);
    int32_t order[PAGES];
    for (int i = 0; i < PAGES; i++)
        order[i] = i;
    for (int i = PAGES - 1; i > 0; i--) {
        const int j = (int)(next_random(&state) % (uint32_t)(i + 1));
        const int32_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (int r = 0; r < ROWS; r++) {
        memcpy(data.page[r], order + r * CHUNKS, sizeof data.page[r]);
        for (int64_t t = 0; t < c->length[r]; t++) {
            fill_random(c->dtype, data.q[r][t], c->heads * c->dim, &state);
            fill_random(c->dtype, data.k[r][t], c->groups * c->dim, &state);
            fill_random(c->dtype, data.v[r][t], c->groups * c->width, &state);
        }
    }
    for (int64_t h = 0; h < c->heads; h++) {
        data.slopes[h] = (float)(0.5 / (double)(h + 1));
        data.sinks[h] = (float)number(&state);
    }
}

/* ---- the program ---- */

static SnValue size(Rig *r, int64_t v)
{
    return sn_const_int(r->g, SN_I64, v);
}

/* Of 2 (the largest number) as 127. */
#define STEP (2.0 / 127)

static SnValue whole_numbers(Rig *r, SnValue x, SnValue *scale)
{
    SnGraph *g = r->g;
    const SnValue dims[] = {sn_dim(g, x, 0), sn_dim(g, x, 1), sn_dim(g, x, 2), size(r, 1)};
    const SnValue wide = sn_cast(g, x, SN_F32), step = sn_const(g, SN_F32, STEP);
    *scale = sn_broadcast(g, step, 4, dims);
    return sn_cast(g, sn_round(g, sn_div(g, wide, step)), SN_I8);
}

static SnValue keep_scale(Rig *r, const char *name, SnValue scale, SnValue page, SnValue pos)
{
    SnGraph *g = r->g;
    const SnValue dims[] = {sn_symbol_at_create(g, "pages", 1, 4096), sn_dim(g, scale, 1), size(r, PAGE),
                            size(r, 1)};
    const SnValue old = sn_carry(g, name, sn_broadcast(g, sn_const(g, SN_F32, 0), 4, dims));
    const SnValue all = sn_cache_values(g, old, scale, page, pos);
    sn_next(g, old, all);
    return all;
}

static void build(Rig *r, const Case *c)
{
    SnGraph *g = r->g;
    const SnValue b = sn_symbol(g, "batch", 1, 8), s = sn_symbol(g, "seq", 1, 4096);
    const SnValue m = sn_symbol_at_create(g, "chunks", 1, 64), p = sn_symbol_at_create(g, "pages", 1, 4096);
    const SnValue heads = size(r, c->heads), groups = size(r, c->groups), d = size(r, c->dim),
                  e = size(r, c->width), lanes = size(r, 16);
    const SnValue zero = sn_const(g, c->cache, 0);
    const SnValue keys =
        sn_carry(g, "keys", sn_broadcast(g, zero, 5, (SnValue[]){p, groups, lanes, d, lanes}));
    const SnValue values =
        sn_carry(g, "values", sn_broadcast(g, zero, 4, (SnValue[]){p, groups, size(r, PAGE), e}));
    const SnValue q = sn_input(g, "q", c->dtype, 4, (SnValue[]){b, heads, s, d});
    SnValue k = sn_input(g, "k", c->dtype, 4, (SnValue[]){b, groups, s, d});
    SnValue v = sn_input(g, "v", c->dtype, 4, (SnValue[]){b, groups, s, e});
    const SnValue page = sn_input(g, "page", SN_I32, 2, (SnValue[]){b, m});
    const SnValue pos = sn_input(g, "pos", SN_I64, 2, (SnValue[]){b, s});
    const SnValue slopes = c->has_slopes ? sn_input(g, "slopes", SN_F32, 1, &heads) : sn_none();
    const SnValue sinks = c->has_sinks ? sn_input(g, "sinks", SN_F32, 1, &heads) : sn_none();
    SnValue key_scale = sn_none(), value_scale = sn_none();
    if (c->cache == SN_I8) {
        k = whole_numbers(r, k, &key_scale);
        v = whole_numbers(r, v, &value_scale);
        key_scale = keep_scale(r, "key_scale", key_scale, page, pos);
        value_scale = keep_scale(r, "value_scale", value_scale, page, pos);
    }
    const SnValue all_keys = sn_cache_keys(g, keys, k, page, pos);
    const SnValue all_values = sn_cache_values(g, values, v, page, pos);
    sn_output(g, "y",
              sn_attention_past(g, q, all_keys, all_values, page, pos, slopes, sinks, key_scale, value_scale,
                                c->scale, c->softcap, c->window));
    sn_next(g, keys, all_keys);
    sn_next(g, values, all_values);
}

static void count_copy(void *self, const SnTraceEvent *e)
{
    Rig *r = self;
    if (strncmp(e->name, "copy", 4) == 0)
        r->copied += e->bytes;
}

/* false: this machine does not have the level. */
static bool start(Rig *r, const Case *c, const char *target, const char *level, uint32_t threads)
{
    SnError err;
    *r = (Rig){.target = target};
    if (threads > 1)
        assert_ok(sn_pool_create(threads, &r->pool, &err));
    const SnContextDesc desc = {.struct_size = sizeof desc,
                                .jobs = threads > 1 ? sn_pool_jobs(r->pool) : (SnJobs){0},
                                .trace = {r, count_copy},
                                .cpu_level = level};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    if (sn_context_create(&desc, &r->ctx, &err) != SN_OK) {
        sn_pool_destroy(r->pool);
        return false;
    }
    assert_ok(sn_compiler_create(r->ctx, &cd, &r->cc, &err));
    assert_ok(sn_graph_create(r->cc, &r->g, &err));
    build(r, c);
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target, .specialise = "seq=1"};
    const SnInstanceDesc id = {
        .struct_size = sizeof id, .ndim = 2, .dim = {{"chunks", CHUNKS}, {"pages", PAGES}}};
    assert_ok(sn_compile(r->cc, r->g, &o, &r->p, &err));
    assert_ok(sn_instance_create(r->p, &id, &r->s, &err));
    return true;
}

/* ---- feeding ---- */

/* [n, heads, seq, width] of these rows, from token `first[i]` on; zeros are padding. */
static void pack(const Case *c, uint8_t (*from)[MAX_LENGTH][MAX_HEADS * MAX_WIDTH * 4], int64_t heads,
                 int64_t width, const int *row, int n, const int64_t *first, int64_t seq, uint8_t *to)
{
    const size_t bytes = (size_t)width * sn_dtype_size(c->dtype);
    for (int i = 0; i < n; i++)
        for (int64_t h = 0; h < heads; h++)
            for (int64_t t = 0; t < seq; t++, to += bytes) {
                if (first[i] + t < c->length[row[i]])
                    memcpy(to, from[row[i]][first[i] + t] + (size_t)h * bytes, bytes);
                else
                    memset(to, 0, bytes);
            }
}

static void bind(Rig *r, const char *name, SnDtype d, void *at, int ndim, const int64_t *dims)
{
    SnError err;
    const SnView v = sn_view(d, at, ndim, dims);
    assert_ok(sn_bind(r->s, name, &v, &err));
}

/* One run: `seq` tokens of each of n rows, or what is left of them. */
static void feed(Rig *r, const Case *c, const int *row, int n, const int64_t *first, int64_t seq)
{
    enum { MOST = ROWS * MAX_LENGTH * MAX_HEADS * MAX_WIDTH * 4 };
    static uint8_t q[MOST], k[MOST], v[MOST];
    static int64_t pos[ROWS * MAX_LENGTH];
    int32_t page[ROWS][CHUNKS];
    SnView y;
    SnError err;
    pack(c, data.q, c->heads, c->dim, row, n, first, seq, q);
    pack(c, data.k, c->groups, c->dim, row, n, first, seq, k);
    pack(c, data.v, c->groups, c->width, row, n, first, seq, v);
    for (int i = 0; i < n; i++) {
        memcpy(page[i], data.page[row[i]], sizeof page[i]);
        for (int64_t t = 0; t < seq; t++)
            pos[i * seq + t] = first[i] + t < c->length[row[i]] ? first[i] + t : -1;
    }
    bind(r, "q", c->dtype, q, 4, (int64_t[]){n, c->heads, seq, c->dim});
    bind(r, "k", c->dtype, k, 4, (int64_t[]){n, c->groups, seq, c->dim});
    bind(r, "v", c->dtype, v, 4, (int64_t[]){n, c->groups, seq, c->width});
    bind(r, "page", SN_I32, page, 2, (int64_t[]){n, CHUNKS});
    bind(r, "pos", SN_I64, pos, 2, (int64_t[]){n, seq});
    if (c->has_slopes)
        bind(r, "slopes", SN_F32, data.slopes, 1, &c->heads);
    if (c->has_sinks)
        bind(r, "sinks", SN_F32, data.sinks, 1, &c->heads);
    assert_ok(sn_run(r->s, &err));
    assert_int_equal(r->copied, 0);
    assert_ok(sn_result(r->s, "y", &y, &err));
    const size_t bytes = (size_t)(c->heads * c->width) * sn_dtype_size(c->dtype);
    for (int i = 0; i < n; i++)
        for (int64_t t = 0; t < seq; t++) {
            const uint8_t *at = (const uint8_t *)y.data + (size_t)(i * seq + t) * bytes;
            if (first[i] + t < c->length[row[i]])
                memcpy(found[row[i]][first[i] + t], at, bytes);
            else
                for (size_t k0 = 0; k0 < bytes; k0++)
                    assert_int_equal(at[k0], 0);
        }
}

static void feed_whole(Rig *r, const Case *c)
{
    int64_t most = 0;
    for (int i = 0; i < ROWS; i++)
        most = c->length[i] > most ? c->length[i] : most;
    feed(r, c, (int[]){0, 1, 2}, ROWS, (int64_t[]){0, 0, 0}, most);
}

/* Each row alone, in chunks that now and then end in padding. */
static void feed_chunks(Rig *r, const Case *c, uint64_t *state)
{
    for (int i = 0; i < ROWS; i++)
        for (int64_t t = 0; t < c->length[i];) {
            const int64_t n = next_random(state) % 4 == 0 ? 1 : 1 + next_random(state) % 120;
            feed(r, c, &i, 1, &t, n);
            t += n;
        }
}

/* Rows of different lengths take turns in batches. */
static void feed_batches(Rig *r, const Case *c, uint64_t *state)
{
    int64_t at[ROWS] = {0, 0, 0};
    for (;;) {
        int row[ROWS], n = 0;
        int64_t first[ROWS];
        const int64_t seq = 1 + next_random(state) % 60;
        for (int i = 0; i < ROWS; i++)
            if (at[i] < c->length[i]) {
                row[n] = i;
                first[n++] = at[i];
                at[i] += seq;
            }
        if (n == 0)
            return;
        feed(r, c, row, n, first, seq);
    }
}

/* ---- what is expected ---- */

static double round_to(SnDtype d, double x)
{
    if (d == SN_I8)
        return (double)(float)STEP * nearbyint(x / (double)(float)STEP);
    return sn_scalar_cast(d, SN_F64, sn_scalar_cast(SN_F64, d, (SnScalar){.f = x}, false), false).f;
}

static void check_row(const Case *c, int r, int64_t t, int64_t h)
{
    const int64_t g = h / (c->heads / c->groups);
    const int64_t from = c->window > 0 && t - c->window + 1 > 0 ? t - c->window + 1 : 0;
    const double scale = c->scale != 0 ? c->scale : 1 / sqrt((double)c->dim);
    double x[MAX_LENGTH], top = c->has_sinks ? (double)data.sinks[h] : -HUGE_VAL, sum = 0;
    for (int64_t j = from; j <= t; j++) {
        x[j] = 0;
        for (int64_t i = 0; i < c->dim; i++)
            x[j] += value_at(c->dtype, data.q[r][t], h * c->dim + i) *
                    round_to(c->cache, value_at(c->dtype, data.k[r][j], g * c->dim + i));
        x[j] *= scale;
        if (c->softcap != 0)
            x[j] = tanh(x[j] / c->softcap) * c->softcap;
        if (c->has_slopes)
            x[j] += (double)data.slopes[h] * (double)(j - t);
        top = x[j] > top ? x[j] : top;
    }
    for (int64_t j = from; j <= t; j++)
        sum += exp(x[j] - top);
    if (c->has_sinks)
        sum += exp((double)data.sinks[h] - top);
    for (int64_t i = 0; i < c->width; i++) {
        double y = 0;
        for (int64_t j = from; j <= t; j++)
            y += exp(x[j] - top) / sum *
                 round_to(c->cache, value_at(c->dtype, data.v[r][j], g * c->width + i));
        const double is = value_at(c->dtype, expected[r][t], h * c->width + i);
        const double tolerance = c->dtype == SN_F32 ? 2e-5 : c->dtype == SN_F16 ? 2e-3 : 1e-2;
        if (!(fabs(is - y) <= tolerance * (fabs(y) + 0.5)))
            fail_msg("%s: row %d token %d head %d column %d is %.9g, expected %.9g", c->title, r, (int)t,
                     (int)h, (int)i, is, y);
    }
}

static void check_same(const Case *c, const char *what)
{
    const size_t bytes = (size_t)(c->heads * c->width) * sn_dtype_size(c->dtype);
    for (int r = 0; r < ROWS; r++)
        for (int64_t t = 0; t < c->length[r]; t++)
            if (memcmp(expected[r][t], found[r][t], bytes) != 0)
                fail_msg("%s: %s: row %d token %d has other bytes", c->title, what, r, (int)t);
    memset(found, 0, sizeof found);
}

/* ---- tests ---- */

static void interp_matches_sums(void **state)
{
    const Case *c = *state;
    Rig r;
    make_data(c);
    assert_true(start(&r, c, "interp", NULL, 1));
    feed_whole(&r, c);
    memcpy(expected, found, sizeof expected);
    rig_close(&r);
    for (int i = 0; i < ROWS; i++)
        for (int64_t t = 0; t < c->length[i]; t += 1 + t % 7)
            for (int64_t h = 0; h < c->heads; h++)
                check_row(c, i, t, h);
}

static void every_way_gives_equal_bytes(void **state)
{
    static const char *const level[] = {"v3", "v4", "v4d", NULL};
    const Case *c = *state;
    uint64_t random = 77;
    interp_matches_sums(state);
    for (int i = 0; i < 4; i++) {
        Rig r;
        if (!start(&r, c, SN_TEST_NATIVE, level[i], i == 3 ? 2 : 1))
            continue;
        feed_whole(&r, c);
        check_same(c, "whole");
        feed_chunks(&r, c, &random);
        check_same(c, "chunks");
        feed_batches(&r, c, &random);
        check_same(c, "batches");
        rig_close(&r);
    }
}

/* Two write, one attends to chunks and one merges them: no copies, nothing packed. */
static void a_step_is_four_kernels(void **state)
{
    (void)state;
    Rig r;
    SnMemoryUse use;
    make_data(&cases[0]);
    assert_true(start(&r, &cases[0], "interp", NULL, 1));
    feed(&r, &cases[0], (int[]){0}, 1, (int64_t[]){0}, 1);
    sn_instance_memory(r.s, &use);
    assert_true(use.steps <= 4);
    rig_close(&r);
}

/* Pages and positions that do not exist: nothing outside is touched. */
static void absurd_pages_and_positions_are_harmless(void **state)
{
    (void)state;
    Rig r;
    Case c = cases[0];
    make_data(&cases[0]);
    assert_true(start(&r, &c, SN_TEST_NATIVE, NULL, 1));
    for (int i = 0; i < CHUNKS; i++)
        data.page[0][i] = i % 2 == 0 ? INT32_MAX : INT32_MIN;
    feed(&r, &c, (int[]){0}, 1, (int64_t[]){0}, 3);
    const int64_t far = PAGE * (int64_t)CHUNKS - 1, past[] = {INT64_MAX, INT64_MIN, far + 1};
    for (int i = 0; i < 3; i++) {
        SnError err;
        int64_t pos = past[i];
        bind(&r, "pos", SN_I64, &pos, 2, (int64_t[]){1, 1});
        bind(&r, "page", SN_I32, data.page[1], 2, (int64_t[]){1, CHUNKS});
        bind(&r, "q", c.dtype, data.q[0][0], 4, (int64_t[]){1, c.heads, 1, c.dim});
        bind(&r, "k", c.dtype, data.k[0][0], 4, (int64_t[]){1, c.groups, 1, c.dim});
        bind(&r, "v", c.dtype, data.v[0][0], 4, (int64_t[]){1, c.groups, 1, c.width});
        assert_ok(sn_run(r.s, &err));
    }
    rig_close(&r);
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(cases) + 2];
    size_t n = 0;
    for (; n < SN_COUNT(cases); n++)
        tests[n] = (struct CMUnitTest){cases[n].title, every_way_gives_equal_bytes, NULL, NULL,
                                       (void *)(uintptr_t)&cases[n]};
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_step_is_four_kernels);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(absurd_pages_and_positions_are_harmless);
    return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
