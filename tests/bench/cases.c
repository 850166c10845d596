/* cases.c -- what kernels.c does not have: a product through the packed weights of the compiler, and work
 * that memory bounds. */
#include "tests/bench/cases.h"

#include "ops/ops.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct Table { /* inputs of one case */
    SnGraph *g;
    SnValue rows, width;
} Table;

static SnValue matrix(const Table *t, const char *name)
{
    return sn_input(t->g, name, SN_F32, 2, (SnValue[]){t->rows, t->width});
}

static SnValue vector(const Table *t, const char *name)
{
    return sn_input(t->g, name, SN_F32, 1, (SnValue[]){t->width});
}

/* silu(rms_norm(x)) * gate */
static SnValue rms_silu(const Table *t)
{
    const SnValue y = sn_rms_norm(t->g, matrix(t, "x"), vector(t, "w"), 1e-6, 0);
    return sn_mul(t->g, sn_silu(t->g, y, 1), matrix(t, "gate"));
}

static SnValue softmax(const Table *t)
{
    return sn_softmax(t->g, matrix(t, "x"), -1);
}

static SnValue norm_residual(const Table *t)
{
    const SnValue x = sn_add(t->g, matrix(t, "x"), matrix(t, "residual"));
    return sn_layer_norm(t->g, x, vector(t, "w"), vector(t, "b"), 1e-5);
}

static SnValue gelu_bias(const Table *t)
{
    return sn_gelu(t->g, sn_add(t->g, matrix(t, "x"), vector(t, "b")));
}

/* Heads of 64 side by side, rows are positions. */
static SnValue rotary_cast(const Table *t)
{
    SnGraph *g = t->g;
    const SnValue one = sn_const_int(g, SN_I64, 1), width = sn_const_int(g, SN_I64, 64);
    const SnValue heads = sn_idiv(g, t->width, width);
    const SnValue x = sn_reshape(g, matrix(t, "x"), 4, (SnValue[]){one, t->rows, heads, width});
    const SnValue pos = sn_input(g, "pos", SN_I64, 2, (SnValue[]){one, t->rows});
    const SnValue freq = sn_input(g, "freq", SN_F32, 2, (SnValue[]){one, sn_const_int(g, SN_I64, 32)});
    const SnValue y = sn_rope(g, sn_permute(g, x, (const int[]){0, 2, 1, 3}), pos, freq, false, 1);
    return sn_cast(g, sn_permute(g, y, (const int[]){0, 2, 1, 3}), SN_BF16);
}

static const struct {
    const char *name;
    SnValue (*make)(const Table *t);
} cases[] = {{"rms_silu", rms_silu},
             {"softmax", softmax},
             {"norm_residual", norm_residual},
             {"gelu_bias", gelu_bias},
             {"rotary_cast", rotary_cast}};

/* ---- products ---- */

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    const SnNamedTensor *t = sn_results_find(self, name);
    if (!t)
        return false;
    *out = (SnSourceTensor){.dtype = t->view.dtype, .ndim = t->view.ndim};
    size_t size = sn_dtype_size(t->view.dtype);
    for (int i = 0; i < t->view.ndim; i++)
        size *= (size_t)(out->dims[i] = t->view.dims[i]);
    out->bytes = sn_bytes(t->view.data, size);
    return true;
}

static SnStatus fill_product(Case *c, SnGraph *g, const char *path, SnError *err)
{
    SN_TRY(sn_tensors_load(sn_compiler_context(sn_graph_compiler(g)), path, &c->file, err));
    const SnNamedTensor *x = sn_results_find(c->file, "x"), *w = sn_results_find(c->file, "w");
    SN_CHECK(x && w && x->view.ndim == 2 && w->view.ndim == 2, err, SN_EFORMAT, "%s: expected x and w", path);
    const SnSource source = {.self = c->file, .find = find_weight};
    sn_graph_source(g, &source);
    const SnValue dims[2] = {sn_symbol(g, "m", 1, 1 << 20), sn_const_int(g, SN_I64, x->view.dims[1])};
    const SnValue a = sn_input(g, "x", x->view.dtype, 2, dims);
    const SnValue b = sn_param(g, "w", w->view.dtype, 2, w->view.dims);
    sn_output(g, "y", sn_cast(g, sn_contract(g, "mk,nk->mn", a, b, SN_F32), x->view.dtype));
    return SN_OK;
}

static SnStatus fill_table(SnGraph *g, const char *name, const char *of, SnError *err)
{
    int64_t rows = 0, width = 0;
    SN_CHECK(sscanf(of, "%" SCNd64 "x%" SCNd64, &rows, &width) == 2 && rows > 0 && width > 0, err, SN_EINVAL,
             "expected ROWSxWIDTH, found %s", of);
    const Table t = {g, sn_const_int(g, SN_I64, rows), sn_const_int(g, SN_I64, width)};
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        if (strcmp(cases[i].name, name) == 0) {
            sn_output(g, "y", cases[i].make(&t));
            return SN_OK;
        }
    return sn_fail(err, SN_EINVAL, "no case %s", name);
}

/* ---- life ---- */

static SnStatus bind(Case *c, SnArena *arena, SnError *err)
{
    SnSlotInfo slot;
    uint32_t x = 1;
    for (uint32_t i = 0; sn_program_input(c->program, NULL, i, &slot); i++) {
        const SnNamedTensor *t = c->file ? sn_results_find(c->file, slot.name) : NULL;
        int64_t n = 1;
        for (int32_t d = 0; d < slot.ndim; d++)
            n *= slot.dims[d];
        if (t) {
            SN_TRY(sn_bind(c->instance, slot.name, &t->view, err));
            continue;
        }
        uint8_t *data = sn_arena_alloc(arena, (size_t)n * sn_dtype_size(slot.dtype) + 64);
        SN_CHECK(data, err, SN_ENOMEM, "no memory for input %s", slot.name);
        data += 64 - (uintptr_t)data % 64;
        for (int64_t k = 0; k < n; k++) {
            x = x * 1664525u + 1013904223u;
            const double f = (double)(x >> 8) / (1 << 23) - 1;
            const SnScalar v = sn_dtype_is_float(slot.dtype) ? (SnScalar){.f = f} : (SnScalar){.i = k};
            sn_scalar_store(slot.dtype, data + (size_t)k * sn_dtype_size(slot.dtype), v);
        }
        const SnView v = sn_view(slot.dtype, data, slot.ndim, slot.dims);
        SN_TRY(sn_bind(c->instance, slot.name, &v, err));
    }
    return SN_OK;
}

SnStatus case_open(Case *c, SnCompiler *cc, SnArena *arena, const char *name, const char *of, SnError *err)
{
    SnGraph *g = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu"};
    SN_TRY(sn_graph_create(cc, &g, err));
    SnStatus st = strcmp(name, "product") == 0 ? fill_product(c, g, of, err) : fill_table(g, name, of, err);
    if (st == SN_OK)
        st = sn_compile(cc, g, &o, &c->program, err);
    if (st == SN_OK)
        st = sn_instance_create(c->program, NULL, &c->instance, err);
    sn_graph_destroy(g);
    return st == SN_OK ? bind(c, arena, err) : st;
}

void case_close(Case *c)
{
    sn_instance_destroy(c->instance);
    sn_program_release(c->program);
    sn_results_destroy(c->file);
}
