/* calls.c -- see calls.h. */
#include "tests/ops/calls.h"

#include "backends/backends.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>

/* Sizes of dims by name: heads 4 in 2 groups, the rest unlike each other; `..` is [2, 3], as is `*`. */
static int64_t size_of(const char *name)
{
    static const char letters[] = "bcdefghikmnoprstvqw";
    static const int64_t sizes[] = {2, 3, 8, 6, 5, 2, 4, 7, 9, 4, 5, 6, 3, 3, 3, 5, 11, 3, 4};
    const char *const at = strchr(letters, name[0]);
    assert_non_null(at);
    return sizes[at - letters];
}

double calls_random(Calls *r) /* in 0..1 */
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (double)(r->random >> 40) / (double)(1 << 24);
}

static SnDtype dtype_of(const Calls *r, const SnSigType *p)
{
    if (p->fixed != SN_NODTYPE)
        return p->fixed;
    switch (p->dtype[0]) {
    case 'I':
        return SN_I64;
    case 'B':
        return SN_BOOL;
    default:
        return strcmp(p->dtype, "F") == 0 || r->f == SN_F64 ? r->f : SN_F32;
    }
}

static int dims_of(SnGraph *g, const SnSigType *p, int64_t *size, SnValue *dims)
{
    int n = 0;
    for (int i = 0; i < p->ndim; i++) {
        const SnSigDim *const d = &p->dim[i];
        if (d->kind >= SN_SIG_REST) {
            size[n] = 2;
            dims[n++] = sn_symbol(g, "r0", 1, 16);
            size[n] = 3;
            dims[n++] = sn_symbol(g, "r1", 1, 16);
        } else {
            size[n] = d->kind == SN_SIG_NUMBER ? d->number : size_of(d->name);
            dims[n] =
                d->kind == SN_SIG_NUMBER ? sn_const_int(g, SN_I64, d->number) : sn_symbol(g, d->name, 1, 16);
            n++;
        }
    }
    return n;
}

static SnValue random_input(Calls *r, SnGraph *g, const SnSigType *p)
{
    SnValue dims[SN_MAX_RANK];
    int64_t size[SN_MAX_RANK], count = 1;
    const SnDtype dtype = dtype_of(r, p);
    const int n = dims_of(g, p, size, dims);
    for (int i = 0; i < n; i++)
        count *= size[i];
    assert_true(count <= CALLS_VALUES);
    for (int64_t i = 0; i < count; i++) {
        const double x = calls_random(r);
        const SnScalar v = {.f = dtype == SN_BOOL  ? x > 0.5
                                 : dtype == SN_I64 ? floor(x * 3)
                                                   : r->lo + x * (r->hi - r->lo)};
        sn_scalar_store(dtype, r->data[r->nin] + (size_t)i * sn_dtype_size(dtype),
                        sn_scalar_cast(SN_F64, dtype, v, false));
    }
    snprintf(r->name[r->nin], sizeof r->name[0], "x%zu", r->nin);
    r->in[r->nin] = (SnNamedView){r->name[r->nin], sn_view(dtype, r->data[r->nin], n, size)};
    return sn_input(g, r->name[r->nin++], dtype, n, dims);
}

/* A mask or bias of any dims must fit what the op computes: left out here, tests/golden has it. */
static bool is_given(const Calls *r, const SnSigOperand *o)
{
    return !o->is_optional || (r->has_optional && o->type.dim[0].kind != SN_SIG_FREE);
}

SnValue calls_build(Calls *r, SnGraph *g, SnValue *in)
{
    SnAttr attr[SN_SIG_ATTRS];
    const SnSig *const sig = &r->row->sig;
    int nattr = 0;
    r->nin = 0;
    for (int i = 0; i < sig->noperand; i++)
        in[i] = is_given(r, &sig->operand[i]) ? random_input(r, g, &sig->operand[i].type) : sn_none();
    for (int i = 0; i < sig->nattr; i++) {
        const char *const a = sig->attr[i].value.name;
        if (sig->attr[i].is_required && sig->attr[i].kind == SN_SIG_STR)
            attr[nattr++] = SN_STRING(a, "ab,cb->ca"); /* einsum */
        else if (sig->attr[i].is_required)
            attr[nattr++] = SN_INT(a, strcmp(a, "axis") == 0 ? 1 : 3);
    }
    return sn_op(g, sig->name, in, sig->noperand, attr, nattr);
}

bool calls_covers(const SnOpRow *row)
{
    static const char *const own[] = {"dequantize_blocks",
                                      "quantize_blocks",
                                      "linear_blocks",
                                      "linear_quantized",
                                      "quantize_rows",
                                      "product_blocks",
                                      "grouped_blocks",
                                      "grouped_quantized",
                                      "product_grouped",
                                      "adafactor",
                                      "quantize_dynamic",
                                      "dequantize_dynamic",
                                      "quantize_nf4",
                                      "dequantize_nf4",
                                      "linear_nf4",
                                      "conv2d",
                                      "noise"};
    for (size_t i = 0; i < SN_COUNT(own); i++) {
        if (strcmp(row->sig.name, own[i]) == 0)
            return false;
    }
    for (int i = 0; i < row->sig.noperand; i++) {
        if (row->sig.operand[i].type.kind != SN_SIG_TENSOR)
            return false;
    }
    return row->op->run == NULL;
}

void calls_open(Calls *r)
{
    SnError err;
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops, .backends = sn_all_backends};
    r->lo = -2;
    r->hi = 2;
    assert_ok(sn_context_create(NULL, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &desc, &r->cc, &err));
}

void calls_close(Calls *r)
{
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
}
