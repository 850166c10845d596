/* state_space_test.c -- states that decay from token to token: against sums in f64; equal bytes on all
 * targets, and wherever a row is cut. */
#include "tests/unit/rig.h"

#include <math.h>

enum { BATCH = 2, SEQ = 11, MOST = BATCH * (SEQ + 40) * 80 };

typedef struct Case {
    const char *title;
    int64_t heads, d, groups, n, columns;
} Case;

static const Case cases[] = {
    {"each_channel_a_head", 48, 1, 1, 5, 5},
    {"channels_in_part_of_a_tile", 21, 1, 1, 16, 16},
    {"one_decay_a_head", 2, 32, 1, 24, 1},
    {"groups", 6, 8, 3, 7, 1},
    {"groups_of_single_channels", 20, 1, 4, 3, 3},
    {"ragged_heads", 3, 20, 3, 17, 1},
    {"many_columns", 2, 16, 2, 40, 40},
};

typedef struct Data {
    float x[MOST], time[MOST], a[MOST], enter[MOST], leave[MOST], state[MOST];
} Data;
static Data data;

static SnValue size(Rig *r, int64_t n)
{
    return sn_const_int(r->g, SN_I64, n);
}

static void start(Rig *r, const Case *c, const char *target)
{
    SnError err;
    *r = (Rig){.ctx = NULL};
    rig_open(r, target, NULL);
    SnGraph *g = r->g;
    const SnValue b = sn_symbol(g, "batch", 1, 8), s = sn_symbol(g, "seq", 1, 64), h = size(r, c->heads),
                  d = size(r, c->d), n = size(r, c->n), groups = size(r, c->groups);
    const SnValue x = sn_input(g, "x", SN_F32, 4, (SnValue[]){b, s, h, d});
    const SnValue time = sn_input(g, "time", SN_F32, 3, (SnValue[]){b, s, h});
    const SnValue a = sn_input(g, "a", SN_F32, 2, (SnValue[]){h, size(r, c->columns)});
    const SnValue enter = sn_input(g, "enter", SN_F32, 4, (SnValue[]){b, s, groups, n});
    const SnValue leave = sn_input(g, "leave", SN_F32, 4, (SnValue[]){b, s, groups, n});
    const SnValue state = sn_input(g, "state", SN_F32, 4, (SnValue[]){b, n, h, d});
    sn_output(g, "all", sn_state_space(g, x, time, a, enter, leave, state));
    assert_ok(rig_compile(r, NULL, &err));
}

static void fill(float *to, size_t n, uint32_t *seed, float lo, float hi)
{
    for (size_t i = 0; i < n; i++) {
        *seed = *seed * 1664525u + 1013904223u;
        to[i] = lo + (hi - lo) * (float)(*seed >> 8) / (float)(1 << 24);
    }
}

static void bind(Rig *r, const char *name, float *at, int ndim, const int64_t *dims)
{
    SnError err;
    const SnView v = sn_view(SN_F32, at, ndim, dims);
    assert_ok(sn_bind(r->s, name, &v, &err));
}

/* Tokens [from, to) of one row, or of all; the result is lent until the next run. */
static const float *run(Rig *r, const Case *c, int64_t row, int64_t rows, int64_t from, int64_t to,
                        float *state)
{
    static Data part;
    const int64_t seq = to - from, wide = c->heads * c->d, ways = c->groups * c->n;
    SnView y;
    SnError err;
    for (int64_t i = 0; i < rows; i++) {
        const size_t at = (size_t)((row + i) * SEQ + from), here = (size_t)(i * seq), n = (size_t)seq;
        memcpy(part.x + here * (size_t)wide, data.x + at * (size_t)wide, n * (size_t)wide * sizeof(float));
        memcpy(part.time + here * (size_t)c->heads, data.time + at * (size_t)c->heads,
               n * (size_t)c->heads * sizeof(float));
        memcpy(part.enter + here * (size_t)ways, data.enter + at * (size_t)ways,
               n * (size_t)ways * sizeof(float));
        memcpy(part.leave + here * (size_t)ways, data.leave + at * (size_t)ways,
               n * (size_t)ways * sizeof(float));
    }
    bind(r, "x", part.x, 4, (int64_t[]){rows, seq, c->heads, c->d});
    bind(r, "time", part.time, 3, (int64_t[]){rows, seq, c->heads});
    bind(r, "a", data.a, 2, (int64_t[]){c->heads, c->columns});
    bind(r, "enter", part.enter, 4, (int64_t[]){rows, seq, c->groups, c->n});
    bind(r, "leave", part.leave, 4, (int64_t[]){rows, seq, c->groups, c->n});
    bind(r, "state", state, 4, (int64_t[]){rows, c->n, c->heads, c->d});
    assert_ok(sn_run(r->s, &err));
    assert_ok(sn_result(r->s, "all", &y, &err));
    assert_int_equal(y.dims[1], seq + c->n);
    return y.data;
}

/* One channel of one row, from its definition. */
static void check_channel(const Case *c, const float *all, int64_t row, int64_t channel)
{
    const int64_t wide = c->heads * c->d, head = channel / c->d, group = head / (c->heads / c->groups);
    double state[64];
    for (int64_t j = 0; j < c->n; j++)
        state[j] = (double)data.state[(row * c->n + j) * wide + channel];
    const float *at = all + row * (SEQ + c->n) * wide + channel;
    for (int64_t t = 0; t < SEQ; t++) {
        const int64_t token = row * SEQ + t, way = (token * c->groups + group) * c->n;
        const double time = (double)data.time[token * c->heads + head];
        const double drive = (double)data.x[token * wide + channel] * time;
        double sum = 0;
        for (int64_t j = 0; j < c->n; j++) {
            const double decay = exp(time * (double)data.a[head * c->columns + j % c->columns]);
            state[j] = state[j] * decay + drive * (double)data.enter[way + j];
            sum += state[j] * (double)data.leave[way + j];
        }
        assert_true(fabs((double)at[t * wide] - sum) < 1e-4);
    }
    for (int64_t j = 0; j < c->n; j++)
        assert_true(fabs((double)at[(SEQ + j) * wide] - state[j]) < 1e-5);
}

static void equals_sums_and_other_targets_and_cuts(void **param)
{
    const Case *c = *param;
    const int64_t wide = c->heads * c->d;
    uint32_t seed = 7;
    Rig oracle, native;
    fill(data.x, MOST, &seed, -1, 1);
    fill(data.time, MOST, &seed, 0, 0.7F);
    fill(data.a, MOST, &seed, -2, 0);
    fill(data.enter, MOST, &seed, -1, 1);
    fill(data.leave, MOST, &seed, -1, 1);
    fill(data.state, MOST, &seed, -1, 1);
    start(&oracle, c, "interp");
    start(&native, c, SN_TEST_NATIVE);
    const float *whole = run(&oracle, c, 0, BATCH, 0, SEQ, data.state);
    const size_t bytes = (size_t)(BATCH * (SEQ + c->n) * wide) * sizeof(float);
    assert_memory_equal(whole, run(&native, c, 0, BATCH, 0, SEQ, data.state), bytes);
    for (int64_t row = 0; row < BATCH; row++)
        for (int64_t i = 0; i < wide; i++)
            check_channel(c, whole, row, i);
    for (int64_t cut = 1; cut < SEQ; cut += 3) { /* the second row alone, in two calls */
        static float state[MOST];
        const float *expected = whole + (SEQ + c->n) * wide;
        const float *first = run(&native, c, 1, 1, 0, cut, data.state + c->n * wide);
        assert_memory_equal(first, expected, (size_t)(cut * wide) * sizeof(float));
        memcpy(state, first + cut * wide, (size_t)(c->n * wide) * sizeof(float));
        const float *second = run(&native, c, 1, 1, cut, SEQ, state);
        assert_memory_equal(second, expected + cut * wide,
                            (size_t)((SEQ - cut + c->n) * wide) * sizeof(float));
    }
    rig_close(&native);
    rig_close(&oracle);
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(cases)];
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        tests[i] = (struct CMUnitTest){cases[i].title, equals_sums_and_other_targets_and_cuts, NULL, NULL,
                                       (void *)(uintptr_t)&cases[i]};
    return cmocka_run_group_tests_name("state_space", tests, NULL, NULL);
}
