/* lowered.c -- see lowered.h. */
#include "tests/ops/lowered.h"

#include "backends/backends.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- random values ---- */

uint32_t lowered_random(Lowered *t, uint32_t below)
{
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below == 0 ? 0 : (uint32_t)(t->random >> 33) % below;
}

static SnScalar random_value(Lowered *t, SnDtype d, int64_t lo, int64_t hi)
{
    static const double special[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, -0.0, 0.0};
    if (sn_dtype_is_float(d)) {
        if (t->spec->has_special && lowered_random(t, 8) == 0)
            return (SnScalar){.f = special[lowered_random(t, SN_COUNT(special))]};
        return (SnScalar){.f = (double)lowered_random(t, 4096) / 1024 - 2};
    }
    if (d == SN_BOOL)
        return (SnScalar){.u = lowered_random(t, 2)};
    const int64_t v = lo + (int64_t)lowered_random(t, (uint32_t)(hi - lo + 1));
    return (SnScalar){.i = sn_dtype(d)->kind == SN_KIND_UINT && v < 0 ? -v : v};
}

/* ---- building ---- */

SnValue lowered_dim(Lowered *t, const char **text)
{
    const char c = **text;
    SnValue v;
    if (c >= '0' && c <= '9') {
        char *end;
        v = sn_const_int(t->g, SN_I64, strtoll(*text, &end, 10));
        *text = end;
    } else {
        const char name[2] = {c, '\0'};
        v = t->is_const ? sn_const_int(t->g, SN_I64, t->size[(unsigned char)c])
                        : sn_symbol(t->g, name, 0, 1 << 20);
        (*text)++;
    }
    *text += **text == ',';
    return v;
}

static int64_t dim_size(const Lowered *t, const char *text)
{
    return *text >= '0' && *text <= '9' ? strtoll(text, NULL, 10) : t->size[(unsigned char)*text];
}

SnValue lowered_index(Lowered *t, const char *name, SnDtype dtype, const char *dims, int64_t lo, int64_t hi)
{
    SnValue dim[SN_MAX_RANK];
    int64_t size[SN_MAX_RANK], count = 1;
    int n = 0;
    for (const char *at = dims; *at != '\0'; n++) {
        size[n] = dim_size(t, at);
        count *= size[n];
        dim[n] = lowered_dim(t, &at);
    }
    uint8_t *data = (uint8_t *)sn_arena_alloc(&t->arena, (size_t)count * sn_dtype_size(dtype) + 1);
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++)
        sn_scalar_store(dtype, data + (size_t)i * sn_dtype_size(dtype), random_value(t, dtype, lo, hi));
    assert_true(t->nin < LOWERED_INPUTS);
    t->in[t->nin++] = (SnNamedView){name, sn_view(dtype, data, n, size)};
    return sn_input(t->g, name, dtype, n, dim);
}

SnValue lowered_input(Lowered *t, const char *name, SnDtype dtype, const char *dims)
{
    return lowered_index(t, name, dtype, dims, -5, 5);
}

void lowered_out(Lowered *t, SnValue v)
{
    char name[16];
    static int serial;
    (void)snprintf(name, sizeof name, "out%d", serial++);
    sn_output(t->g, name, v);
}

/* ---- running kernels ---- */

typedef struct Slot {
    void *data;
    size_t size;
} Slot;

typedef struct Run {
    Lowered *t;
    SnStore *s;
    SnPass pass;
    bool *is_stored;
    Slot **slot; /* by ref: of its leaves */
    SnError err;
} Run;

static bool dim_leaf(void *self, SnRef leaf, int64_t *value)
{
    const Run *x = (const Run *)self;
    const SnTerm *term = sn_term(x->s, leaf);
    if (term->op == SN_OP_DIM) {
        *value = x->t->size[(unsigned char)sn_attr_string(x->s, leaf, "name")[0]];
        return true;
    }
    const SnRef from = term->arg[0];
    if (term->op != SN_OP_MEASURE || x->slot[from] == NULL)
        return false;
    *value = sn_scalar_load(sn_dtype_of(x->s, from), x->slot[from]->data).i;
    return true;
}

static int64_t dim_value(Run *x, SnRef dim)
{
    int64_t v;
    assert_true(sn_dim_eval(x->s, dim, dim_leaf, x, &v));
    return v;
}

static Slot new_slot(Run *x, size_t size)
{
    uint8_t *at = (uint8_t *)sn_arena_alloc(&x->t->arena, size + 128);
    assert_non_null(at);
    memset(at, 0xA5, size + 128);
    return (Slot){at + (64 - (uintptr_t)at % 64), size};
}

static size_t type_size(Run *x, const SnType *type)
{
    int64_t n = (int64_t)sn_dtype_size(type->dtype);
    for (int i = 0; i < type->ndim; i++)
        n *= dim_value(x, type->dims[i]);
    return (size_t)n;
}

static void run_kernel(Run *x, const SnLoweredKernel *k, const Slot *result, const Slot *temp)
{
    SnTarget target;
    SnModule *m;
    SnError err = {0};
    void *buf[SN_KERNEL_BUFFERS];
    uint64_t size[SN_KERNEL_BUFFERS];
    int64_t dim[SN_KERNEL_DIMS];
    for (int i = 0; i < k->kernel->nbuf; i++) {
        const SnBufUse *u = &k->buf[i];
        const Slot *slot = u->kind == SN_BUF_VALUE  ? x->slot[u->value]
                           : u->kind == SN_BUF_TEMP ? temp
                                                    : result;
        assert_non_null(slot);
        buf[i] = slot[u->kind == SN_BUF_VALUE ? 0 : u->index].data;
        size[i] = slot[u->kind == SN_BUF_VALUE ? 0 : u->index].size;
    }
    for (int i = 0; i < k->kernel->ndim; i++)
        dim[i] = dim_value(x, k->dim[i]);
    const SnKernel *kernel = k->kernel;
    assert_ok(sn_backend_interp.probe(x->t->ctx, 0, &target, &err));
    assert_ok(sn_backend_interp.build(x->t->ctx, &target, &kernel, 1, &m, &err));
    for (int64_t tile = dim_value(x, k->grid); tile-- > 0;)
        assert_ok(m->run(m, 0, buf, size, dim, tile, tile + 1, &err));
    m->destroy(m);
    x->t->nkernel++;
}

/* A base that may be overwritten gives the same result. */
static void check_in_place(Run *x, SnRef r, const SnLowered *low, const Slot *result, const Slot *temp)
{
    const Slot *base = x->slot[sn_term(x->s, r)->arg[low->in_place]];
    Slot again = new_slot(x, result->size);
    assert_int_equal(base->size, result->size);
    memcpy(again.data, base->data, base->size);
    for (uint32_t i = 1; i < low->nkernel; i++)
        run_kernel(x, &low->kernel[i], &again, temp);
    assert_memory_equal(again.data, result->data, result->size);
}

static void run_root(Run *x, SnRef r)
{
    SnLowered low;
    SnError err = {0};
    Slot temp[4];
    const SnType *type = sn_type_of(x->s, r);
    const int nleaf = type->kind == SN_TYPE_TUPLE ? type->nchild : 1;
    Slot *result = (Slot *)sn_arena_array(&x->t->arena, (size_t)nleaf, sizeof *result);
    if (sn_lower(&x->pass, r, x->is_stored, &low, &err) != SN_OK)
        fail_msg("%s: %s", x->t->title, err.message);
    for (int i = 0; i < nleaf; i++)
        result[i] =
            new_slot(x, type_size(x, type->kind == SN_TYPE_TUPLE ? sn_type(x->s, type->child[i]) : type));
    assert_true(low.ntemp <= SN_COUNT(temp));
    for (uint32_t i = 0; i < low.ntemp; i++)
        temp[i] = new_slot(x, (size_t)dim_value(x, low.temp[i]));
    for (uint32_t i = 0; i < low.nkernel; i++)
        run_kernel(x, &low.kernel[i], result, temp);
    if (low.in_place >= 0)
        check_in_place(x, r, &low, result, temp);
    x->slot[r] = result;
}

static void run_term(Run *x, SnRef r)
{
    const SnTerm *term = sn_term(x->s, r);
    Slot *slot = (Slot *)sn_arena_alloc(&x->t->arena, sizeof *slot);
    x->slot[r] = slot;
    if (term->op == SN_OP_GET) {
        *slot = x->slot[term->arg[0]][sn_attr_int(x->s, r, "index", 0)];
    } else if (term->op == SN_OP_CONST && sn_attr(x->s, r, "data") != NULL) {
        const SnBytes data = sn_attr(x->s, r, "data")->u.data;
        *slot = new_slot(x, data.n);
        memcpy(slot->data, data.at, data.n);
    } else if (term->op == SN_OP_INPUT) {
        const char *name = sn_attr_string(x->s, r, "name");
        for (size_t i = 0; i < x->t->nin; i++) {
            if (strcmp(name, x->t->in[i].name) == 0)
                *slot = (Slot){x->t->in[i].view.data, type_size(x, sn_type_of(x->s, r))};
        }
    } else {
        run_root(x, r);
    }
}

/* Results in the order of the entry's tuple. */
static size_t run_kernels(Lowered *t, Slot *out, SnDtype *dtype)
{
    Run x = {.t = t, .s = sn_graph_store(t->g)};
    SnError err = {0};
    SnRef root = sn_graph_root(t->g);
    SnTarget target;
    assert_ok(sn_backend_interp.probe(t->ctx, 0, &target, &err));
    x.pass = (SnPass){.ctx = t->ctx, .cc = t->cc, .g = t->g, .s = x.s, .target = &target, .arena = &t->arena};
    SnPassFn *const passes[] = {sn_pass_expand, sn_pass_inline, sn_pass_flatten};
    for (size_t i = 0; i < SN_COUNT(passes); i++)
        assert_ok(passes[i](&x.pass, root, &root, &err));
    assert_ok(sn_fuse(&x.pass, root, &x.is_stored, &err));
    x.slot = (Slot **)sn_arena_array(&t->arena, root + 1, sizeof(Slot *));
    t->nkernel = 0;
    for (SnRef r = 1; r <= root; r++) {
        if (x.is_stored[r])
            run_term(&x, r);
    }
    const SnRef entry = sn_term(x.s, root)->arg[0], tuple = sn_term(x.s, entry)->arg[0];
    const SnTerm *results = sn_term(x.s, tuple);
    for (int i = 0; i < results->narg; i++) {
        out[i] = *x.slot[results->arg[i]];
        dtype[i] = sn_dtype_of(x.s, results->arg[i]);
    }
    return results->narg;
}

/* ---- comparing ---- */

static bool agrees(SnDtype d, const void *a, const void *b, double tolerance)
{
    if (!sn_dtype_is_float(d))
        return memcmp(a, b, sn_dtype_size(d)) == 0;
    const double x = sn_scalar_load(d, a).f, y = sn_scalar_load(d, b).f;
    if (isnan(x) || isnan(y))
        return isnan(x) && isnan(y);
    if (tolerance <= 0)
        return memcmp(a, b, sn_dtype_size(d)) == 0;
    return x == y || fabs(x - y) <= tolerance * (1 + fabs(y));
}

static void compare(const Lowered *t, const char *what, SnDtype d, const void *got, const void *want,
                    size_t size, double tolerance)
{
    const size_t step = sn_dtype_size(d);
    for (size_t i = 0; i < size; i += step) {
        const uint8_t *a = (const uint8_t *)got + i, *b = (const uint8_t *)want + i;
        if (agrees(d, a, b, tolerance))
            continue;
        const SnScalar x = sn_scalar_load(d, a), y = sn_scalar_load(d, b);
        if (sn_dtype_is_float(d))
            fail_msg("%s (%s): element %zu of %zu is %.9g, expected %.9g", t->title, what, i / step,
                     size / step, x.f, y.f);
        fail_msg("%s (%s): element %zu of %zu is %lld, expected %lld", t->title, what, i / step, size / step,
                 (long long)x.i, (long long)y.i);
    }
}

static void compare_eval(Lowered *t, const Slot *out, const SnDtype *dtype, size_t n)
{
    SnError err = {0};
    SnEvalResult *result;
    assert_ok(sn_eval(t->g, sn_graph_root(t->g), "main", t->in, t->nin, &result, &err));
    assert_int_equal(sn_eval_count(result), n);
    for (size_t i = 0; i < n; i++) {
        const SnView *v = &sn_eval_get(result, i)->view;
        size_t size = sn_dtype_size(v->dtype);
        for (int k = 0; k < v->ndim; k++)
            size *= (size_t)v->dims[k];
        assert_int_equal(v->dtype, dtype[i]);
        assert_int_equal(size, out[i].size);
        compare(t, t->is_const ? "constants" : "symbols", dtype[i], out[i].data, v->data, size,
                t->spec->tolerance);
    }
    sn_eval_destroy(result);
}

static void parse_sizes(Lowered *t, const char *sizes)
{
    for (const char *at = sizes; *at != '\0';) {
        char *end;
        t->size[(unsigned char)*at] = strtoll(at + 2, &end, 10);
        for (at = end; *at == ' '; at++)
            continue;
    }
}

static const SnOp *const no_ops[] = {NULL};

void lowered_check(const LoweredSpec *spec)
{
    Slot out[2][LOWERED_OUTPUTS];
    SnDtype dtype[LOWERED_OUTPUTS];
    size_t n = 0;
    char title[200];
    SnError err = {0};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = no_ops};
    const char *dtype_name = spec->dtype != SN_NODTYPE ? sn_dtype(spec->dtype)->name : "";
    (void)snprintf(title, sizeof title, "%s %s %s axis %d, %s, seed %llu", spec->name,
                   spec->fn != NULL ? spec->fn : "", dtype_name, spec->axis, spec->sizes,
                   (unsigned long long)spec->seed);
    Lowered t = {.spec = spec, .title = title};
    parse_sizes(&t, spec->sizes);
    assert_ok(sn_context_create(NULL, &t.ctx, &err));
    sn_arena_init(&t.arena, sn_allocator(t.ctx));
    assert_ok(sn_compiler_create(t.ctx, &desc, &t.cc, &err));
    for (int i = 0; i < 2; i++) {
        t.is_const = i == 1;
        t.random = spec->seed;
        t.nin = 0;
        assert_ok(sn_graph_create(t.cc, &t.g, &err));
        spec->build(&t);
        if (sn_graph_check(t.g, &err) != SN_OK)
            fail_msg("%s: %s", title, err.message);
        n = run_kernels(&t, out[i], dtype);
        compare_eval(&t, out[i], dtype, n);
        sn_graph_destroy(t.g);
    }
    for (size_t i = 0; i < n; i++) /* how dims are known changes no bit */
        compare(&t, "constants against symbols", dtype[i], out[1][i].data, out[0][i].data, out[0][i].size, 0);
    for (size_t i = 0; spec->has_pairs && i + 1 < n; i += 2)
        compare(&t, "pair", dtype[i], out[0][i].data, out[0][i + 1].data, out[0][i].size, 0);
    sn_compiler_destroy(t.cc);
    sn_arena_clear(&t.arena);
    sn_context_destroy(t.ctx);
}
