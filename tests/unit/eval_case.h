/* eval_case.h -- what the eval tests share: a graph, constants in it, and expectations on values. */
#ifndef SN_EVAL_CASE_H
#define SN_EVAL_CASE_H

#include "compiler/eval.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>

typedef struct Case {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnEvalResult *r;
    SnNamedView in[8];
    size_t nin;
    int nresult;
} Case;

/* D(2, 3): dims and their number. F(...), I(...): data. */
#define D(...)  (const int64_t[]){__VA_ARGS__}, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define NO_DIMS NULL, 0
#define F(...)                                                                                               \
    (const float[])                                                                                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define I(...)                                                                                               \
    (const int64_t[])                                                                                        \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define B(...)                                                                                               \
    (const uint8_t[])                                                                                        \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static void case_begin(Case *c, const SnOp *const *ops)
{
    SnError err;
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = ops};
    *c = (Case){.r = NULL};
    assert_ok(sn_context_create(NULL, &c->ctx, &err));
    assert_ok(sn_compiler_create(c->ctx, &desc, &c->cc, &err));
    assert_ok(sn_graph_create(c->cc, &c->g, &err));
}

static void case_end(Case *c)
{
    sn_eval_destroy(c->r);
    sn_graph_destroy(c->g);
    sn_compiler_destroy(c->cc);
    sn_context_destroy(c->ctx);
}

static inline SnValue f32(Case *c, const int64_t *dims, int ndim, const float *data)
{
    return sn_const_data(c->g, SN_F32, ndim, dims, data);
}

static inline SnValue i64(Case *c, const int64_t *dims, int ndim, const int64_t *data)
{
    return sn_const_data(c->g, SN_I64, ndim, dims, data);
}

static inline SnValue flags(Case *c, const int64_t *dims, int ndim, const uint8_t *data)
{
    return sn_const_data(c->g, SN_BOOL, ndim, dims, data);
}

static inline SnValue dim(Case *c, int64_t v)
{
    return sn_const_int(c->g, SN_I64, v);
}

static inline void give(Case *c, const char *name, SnView view)
{
    c->in[c->nin++] = (SnNamedView){name, view};
}

static SnStatus case_try(Case *c, SnValue v, SnView *out, SnError *err)
{
    char name[16];
    snprintf(name, sizeof name, "y%d", c->nresult++);
    sn_output(c->g, name, v);
    SN_TRY(sn_graph_check(c->g, err));
    sn_eval_destroy(c->r);
    c->r = NULL;
    SN_TRY(sn_eval(c->g, sn_graph_root(c->g), NULL, c->in, c->nin, &c->r, err));
    for (size_t i = 0; i < sn_eval_count(c->r); i++) {
        const SnNamedView *r = sn_eval_get(c->r, i);
        if (strncmp(r->name, name, strlen(name)) == 0)
            *out = r->view;
    }
    return SN_OK;
}

static SnView case_run(Case *c, SnValue v)
{
    SnError err;
    SnView out = {0};
    assert_ok(case_try(c, v, &out, &err));
    return out;
}

static inline int64_t expect_dims(const SnView *v, const int64_t *dims, int ndim)
{
    int64_t n = 1;
    assert_int_equal(v->ndim, ndim);
    for (int i = 0; i < ndim; i++) {
        assert_int_equal(v->dims[i], dims[i]);
        n *= dims[i];
    }
    return n;
}

/* Bit for bit, NaN equal to NaN. */
static inline void expect_f32(Case *c, SnValue v, const int64_t *dims, int ndim, const float *want)
{
    const SnView y = case_run(c, v);
    assert_int_equal(y.dtype, SN_F32);
    const int64_t n = expect_dims(&y, dims, ndim);
    for (int64_t i = 0; i < n; i++) {
        const float a = ((const float *)y.data)[i], b = want[i];
        if (isnan(b) ? !isnan(a) : a != b || signbit(a) != signbit(b))
            fail_msg("element %d: %.9g, expected %.9g", (int)i, (double)a, (double)b);
    }
}

static inline void expect_ints(Case *c, SnValue v, const int64_t *dims, int ndim, const int64_t *want)
{
    const SnView y = case_run(c, v);
    const int64_t n = expect_dims(&y, dims, ndim);
    for (int64_t i = 0; i < n; i++) {
        const SnScalar s = sn_scalar_load(y.dtype, (const char *)y.data + (size_t)i * sn_dtype_size(y.dtype));
        if (s.i != want[i])
            fail_msg("element %d: %lld, expected %lld", (int)i, (long long)s.i, (long long)want[i]);
    }
}

static inline void expect_error(Case *c, SnStatus code, SnValue v)
{
    SnError err;
    SnView out;
    assert_fails(code, case_try(c, v, &out, &err));
}

/* A list of u8 as text: its elements joined by '|'. */
static inline void expect_text(Case *c, SnValue v, const char *want)
{
    const SnView y = case_run(c, v);
    char text[256];
    size_t n = 0;
    int64_t count = 1;
    for (int i = 0; i < y.ndim; i++)
        count *= y.dims[i];
    assert_non_null(y.start);
    for (int64_t i = 0; i < count; i++) {
        if (i > 0)
            text[n++] = '|';
        memcpy(text + n, (const char *)y.data + y.start[i], (size_t)y.len[i]);
        n += (size_t)y.len[i];
    }
    text[n] = '\0';
    assert_string_equal(text, want);
}

#endif
