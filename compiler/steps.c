/* steps.c -- kernels and host calls ▶ ordered steps, buffers, lifetimes.
 *
 * Walks each entry, and each body of a loop or cond, in order of refs, and lays out what is stored: a kernel
 * step for each kernel of a lowered term, a host step for a host op, control steps for loops and conds
 * (flow.c). Equal kernels exist once. A buffer lives from the first step that names it to the last; one that
 * is made outside of a loop and used inside lives until the loop ends. */
#include "compiler/steps.h"

#include "compiler/compiler.h"
#include "compiler/eval.h"

#define FOREVER 0xFFFFFFFEu

SnStatus sn_steps_init(SnSteps *x, SnPass *p, const SnSource *source, bool *is_stored, uint32_t n)
{
    *x = (SnSteps){.p = p,
                   .s = p->s,
                   .memory = sn_allocator(p->ctx),
                   .source = source,
                   .is_stored = is_stored,
                   .nstored = n,
                   .npoint = 1};
    x->string.memory = x->data.memory = x->memory;
    sn_map_init(&x->string_at, x->memory);
    sn_map_init(&x->kernel_at, x->memory);
    return SN_OK;
}

void sn_steps_clear(SnSteps *x)
{
    const SnAllocator *a = x->memory;
    sn_text_clear(&x->string);
    sn_text_clear(&x->data);
    sn_map_clear(&x->string_at);
    sn_map_clear(&x->kernel_at);
    sn_vec_clear(a, &x->instr);
    sn_vec_clear(a, &x->instr_point);
    sn_vec_clear(a, &x->check);
    sn_vec_clear(a, &x->check_point);
    sn_vec_clear(a, &x->symbol);
    sn_vec_clear(a, &x->buffer);
    sn_vec_clear(a, &x->slot);
    sn_vec_clear(a, &x->param);
    sn_vec_clear(a, &x->object);
    sn_vec_clear(a, &x->kernel_row);
    sn_vec_clear(a, &x->step);
    sn_vec_clear(a, &x->operand);
    sn_vec_clear(a, &x->host);
    sn_vec_clear(a, &x->host_slot);
    sn_vec_clear(a, &x->attr);
    sn_vec_clear(a, &x->entry);
    sn_vec_clear(a, &x->kernel);
    sn_vec_clear(a, &x->host_fn);
    sn_vec_clear(a, &x->weight);
    sn_vec_clear(a, &x->reg_point);
    sn_vec_clear(a, &x->reg_of);
    sn_vec_clear(a, &x->leaf_at);
    sn_vec_clear(a, &x->inputs);
}

/* ---- buffers ---- */

uint32_t sn_steps_leaves(const SnStore *s, SnTypeId type, const SnTypeId **leaf, SnTypeId *self)
{
    const SnType *t = sn_type(s, type);
    if (t->kind == SN_TYPE_TUPLE) {
        *leaf = t->child;
        return (uint32_t)t->nchild;
    }
    *self = type;
    *leaf = self;
    return 1;
}

/* In a loop a measured dim counts as its bound: buffers there are planned once. */
static SnRef at_bound(SnSteps *x, SnRef dim, uint32_t depth)
{
    const SnTerm *t = sn_term(x->s, dim);
    if (t->op == SN_OP_MEASURE)
        return sn_term(x->s, t->arg[1])->op == SN_OP_NONE ? dim : at_bound(x, t->arg[1], depth + 1);
    if (t->narg != 2 || depth > 64)
        return dim;
    const uint16_t op = t->op;
    const SnRef b0 = t->arg[1], a = at_bound(x, t->arg[0], depth + 1), b = at_bound(x, b0, depth + 1);
    return op == SN_OP_ADD    ? sn_dim_add(x->s, a, b)
           : op == SN_OP_SUB  ? sn_dim_sub(x->s, a, b)
           : op == SN_OP_MUL  ? sn_dim_mul(x->s, a, b)
           : op == SN_OP_IDIV ? sn_dim_div(x->s, a, b)
           : op == SN_OP_MOD  ? sn_dim_mod(x->s, a, b)
           : op == SN_OP_MIN  ? sn_dim_min(x->s, a, b)
                              : sn_dim_max(x->s, a, b);
}

static SnRef type_bytes(SnSteps *x, SnTypeId type)
{
    const SnType *t = sn_type(x->s, type);
    SnRef n = sn_const_i64(x->s, (int64_t)sn_dtype_size(t->dtype));
    for (int i = 0; i < t->ndim; i++)
        n = sn_dim_mul(x->s, n, t->dims[i]);
    return n;
}

static SnStatus new_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnRef bytes, uint32_t *out,
                           SnError *err)
{
    SnBufferRow row = {.kind = kind, .index = index, .segment = x->segment, .first = SN_NONE};
    if (kind == SN_BUFFER_SCRATCH && x->depth > 0)
        bytes = at_bound(x, bytes, 0);
    SN_TRY(sn_steps_reg(x, bytes, &row.size_reg, err));
    SN_CHECK(sn_vec_push(x->memory, &x->buffer, row), err, SN_ENOMEM, "compile: no memory for buffers");
    *out = (uint32_t)x->buffer.n - 1;
    return SN_OK;
}

SnStatus sn_steps_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnTypeId type, uint32_t *out,
                         SnError *err)
{
    return new_buffer(x, kind, index, type_bytes(x, type), out, err);
}

static void touch(SnSteps *x, uint32_t buffer, uint32_t step)
{
    SnBufferRow *b = &x->buffer.at[buffer];
    if (b->first == SN_NONE || step < b->first)
        b->first = step;
    if (b->last < step)
        b->last = step;
}

SnStatus sn_steps_push(SnSteps *x, SnStepRow row, const uint32_t *buffer, uint32_t nbuffer,
                       const uint32_t *reg, uint32_t nreg, SnError *err)
{
    row.buffer = (SnRange){(uint32_t)x->operand.n, nbuffer};
    row.dim = (SnRange){(uint32_t)x->operand.n + nbuffer, nreg};
    bool ok = true;
    for (uint32_t i = 0; i < nbuffer; i++) {
        touch(x, buffer[i], (uint32_t)x->step.n);
        ok = ok && sn_vec_push(x->memory, &x->operand, buffer[i]);
    }
    for (uint32_t i = 0; i < nreg; i++)
        ok = ok && sn_vec_push(x->memory, &x->operand, reg[i]);
    SN_CHECK(ok && sn_vec_push(x->memory, &x->step, row), err, SN_ENOMEM, "compile: no memory for steps");
    return SN_OK;
}

SnStatus sn_steps_copy(SnSteps *x, uint32_t to, uint32_t from, SnTypeId type, SnError *err)
{
    SnStepRow row = {.kind = SN_STEP_COPY, .b = SN_NONE, .c = SN_NONE};
    SN_TRY(sn_steps_reg(x, type_bytes(x, type), &row.a, err));
    return sn_steps_push(x, row, (uint32_t[]){to, from}, 2, NULL, 0, err);
}

/* ---- where values lie ---- */

static bool set_at(SnSteps *x, uint32_t **at, size_t *n, size_t *cap, SnRef ref, uint32_t buffer)
{
    if (ref >= *n) {
        if (!sn_vec_grow(x->memory, (void **)(void *)at, *n, cap, ref + 1 - *n, sizeof **at))
            return false;
        memset(*at + *n, 0, (ref + 1 - *n) * sizeof **at);
        *n = ref + 1;
    }
    (*at)[ref] = buffer + 1;
    return true;
}

bool sn_steps_frame_set(SnSteps *x, SnFrame *f, SnRef ref, uint32_t buffer)
{
    return set_at(x, &f->at.at, &f->at.n, &f->at.cap, ref, buffer);
}

static SnStatus param_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    const char *name = sn_attr_string(x->s, ref, "name");
    const SnType *t = sn_type_of(x->s, ref);
    SnSourceTensor w;
    SnParamRow row = {.name = sn_steps_string(x, name), .dtype = t->dtype, .ndim = (uint32_t)t->ndim};
    SN_CHECK(x->source && x->source->find(x->source->self, name, &w), err, SN_EFORMAT,
             "parameter %s: not in the weights", name);
    SN_CHECK(w.dtype == t->dtype && w.ndim == t->ndim, err, SN_ESHAPE,
             "parameter %s: expected %s with %d dims, found %s with %d", name, sn_dtype(t->dtype)->name,
             t->ndim, sn_dtype(w.dtype)->name, w.ndim);
    row.size = sn_dtype_size(w.dtype);
    for (int i = 0; i < t->ndim; i++) {
        SN_CHECK(sn_is_const_i64(x->s, t->dims[i], &row.dims[i]) && row.dims[i] == w.dims[i], err, SN_ESHAPE,
                 "parameter %s: dim %d is %lld, expected %lld", name, i, (long long)w.dims[i],
                 (long long)row.dims[i]);
        row.size *= (uint64_t)w.dims[i];
    }
    SN_CHECK(w.bytes.n == row.size, err, SN_EFORMAT, "parameter %s: %zu bytes, expected %llu", name,
             w.bytes.n, (unsigned long long)row.size);
    uint32_t index = 0;
    while (index < x->param.n && x->param.at[index].name != row.name)
        index++;
    SN_CHECK(index < x->param.n ||
                 (sn_vec_push(x->memory, &x->param, row) && sn_vec_push(x->memory, &x->weight, w)),
             err, SN_ENOMEM, "compile: no memory for parameters");
    return sn_steps_buffer(x, SN_BUFFER_PARAM, index, sn_term(x->s, ref)->type, out, err);
}

static uint32_t add_data(SnSteps *x, const void *at, size_t n)
{
    static const char zeros[64] = {0};
    if (x->data.n % 64)
        sn_text_add(&x->data, zeros, 64 - x->data.n % 64);
    const uint32_t offset = (uint32_t)x->data.n;
    sn_text_add(&x->data, at, n);
    return offset;
}

static SnStatus const_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    const SnAttr *data = sn_attr(x->s, ref, "data");
    SnScalar v;
    uint8_t scalar[8];
    SnBytes b = data ? data->u.data : sn_bytes(scalar, sn_dtype_size(sn_dtype_of(x->s, ref)));
    SN_CHECK(data || sn_is_const(x->s, ref, &v), err, SN_EINTERNAL, "compile: a const without value");
    if (!data)
        sn_scalar_store(sn_dtype_of(x->s, ref), scalar, v);
    SN_CHECK(b.n <= UINT32_MAX, err, SN_EUNSUPPORTED, "compile: a constant of %zu bytes", b.n);
    SN_TRY(sn_steps_buffer(x, SN_BUFFER_DATA, add_data(x, b.at, b.n), sn_term(x->s, ref)->type, out, err));
    x->buffer.at[*out].bytes = (uint32_t)b.n;
    return SN_OK;
}

static SnStatus object_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    const SnBytes b = sn_attr(x->s, ref, "data")->u.data;
    const SnObjectRow row = {.name = sn_steps_string(x, sn_attr_string(x->s, ref, "name")),
                             .class_name = sn_steps_string(x, sn_type_of(x->s, ref)->class_name),
                             .offset = add_data(x, b.at, b.n),
                             .size = (uint32_t)b.n};
    SN_CHECK(b.n <= UINT32_MAX && sn_vec_push(x->memory, &x->object, row), err, SN_ENOMEM,
             "compile: no memory for an object of %zu bytes", b.n);
    return new_buffer(x, SN_BUFFER_OBJECT, (uint32_t)x->object.n - 1, sn_const_i64(x->s, (int64_t)b.n), out,
                      err);
}

static SnStatus carry_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    const uint32_t name = sn_steps_string(x, sn_attr_string(x->s, ref, "name"));
    for (uint32_t i = x->carry.first; i < x->carry.first + x->carry.count; i++)
        if (x->slot.at[i].name == name) {
            *out = x->slot.at[i].buffer;
            return SN_OK;
        }
    return sn_fail(err, SN_EINTERNAL, "compile: carry %s was not laid out",
                   sn_attr_string(x->s, ref, "name"));
}

static SnStatus leaf_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    if (ref < x->leaf_at.n && x->leaf_at.at[ref]) {
        *out = x->leaf_at.at[ref] - 1;
        return SN_OK;
    }
    switch (sn_term(x->s, ref)->op) {
    case SN_OP_PARAM:
        SN_TRY(param_buffer(x, ref, out, err));
        break;
    case SN_OP_OBJECT:
        SN_TRY(object_buffer(x, ref, out, err));
        break;
    case SN_OP_CARRY:
        SN_TRY(carry_buffer(x, ref, out, err));
        break;
    case SN_OP_CONST:
        SN_TRY(const_buffer(x, ref, out, err));
        break;
    default:
        SN_TRY(sn_steps_buffer(x, SN_BUFFER_INPUT, 0, sn_term(x->s, ref)->type, out, err));
        SN_CHECK(sn_vec_push(x->memory, &x->inputs, ref), err, SN_ENOMEM, "compile: no memory for inputs");
        break;
    }
    SN_CHECK(set_at(x, &x->leaf_at.at, &x->leaf_at.n, &x->leaf_at.cap, ref, *out), err, SN_ENOMEM,
             "compile: no memory for leaves");
    return SN_OK;
}

static bool is_leaf(uint16_t op)
{
    return op == SN_OP_INPUT || op == SN_OP_PARAM || op == SN_OP_CARRY || op == SN_OP_CONST ||
           op == SN_OP_OBJECT;
}

SnStatus sn_steps_lookup(SnSteps *x, SnFrame *f, SnRef value, uint32_t *out, SnError *err)
{
    const SnTerm *t = sn_term(x->s, value);
    if (is_leaf(t->op))
        return leaf_buffer(x, value, out, err);
    if (t->op == SN_OP_ARG) {
        const int64_t i = sn_attr_int(x->s, value, "index", -1);
        SN_CHECK(i >= 0 && i < (int64_t)f->narg, err, SN_EINTERNAL, "compile: argument %lld of %u",
                 (long long)i, f->narg);
        *out = f->arg[i];
        return SN_OK;
    }
    uint32_t child = 0;
    SnRef of = value;
    if (t->op == SN_OP_GET) {
        child = (uint32_t)sn_attr_int(x->s, value, "index", 0);
        of = t->arg[0];
    }
    SN_CHECK(of < f->at.n && f->at.at[of], err, SN_EINTERNAL, "compile: term %u (%s) is used but not stored",
             of, sn_term(x->s, of)->op < SN_PRIM_COUNT ? sn_prim(sn_term(x->s, of)->op)->name : "op");
    *out = f->at.at[of] - 1 + child;
    return SN_OK;
}

/* Fresh buffers for the results of a term, one after the other. */
static SnStatus result_buffers(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const SnTypeId *leaf = NULL;
    SnTypeId self = 0;
    const uint32_t n = sn_steps_leaves(x->s, sn_term(x->s, ref)->type, &leaf, &self);
    uint32_t first = SN_NONE;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = 0;
        SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, leaf[i], &b, err));
        first = i == 0 ? b : first;
    }
    SN_CHECK(n == 0 || sn_steps_frame_set(x, f, ref, first), err, SN_ENOMEM, "compile: no memory for values");
    return SN_OK;
}

/* ---- kernels ---- */

static SnStatus kernel_index(SnSteps *x, const SnKernel *k, uint32_t *out, SnError *err)
{
    if (sn_map_get(&x->kernel_at, sn_bytes(&k->key, sizeof k->key), out))
        return SN_OK;
    SnKernelRow row = {.name = sn_steps_string(x, k->name),
                       .nbuf = (uint32_t)k->nbuf,
                       .ndim = (uint32_t)k->ndim,
                       .key = k->key};
    for (int i = 0; i < k->nbuf; i++)
        row.written |= k->buf[i].is_written ? 1u << i : 0u;
    *out = (uint32_t)x->kernel.n;
    SN_CHECK(sn_vec_push(x->memory, &x->kernel, k) && sn_vec_push(x->memory, &x->kernel_row, row) &&
                 sn_map_put(&x->kernel_at, sn_bytes(&k->key, sizeof k->key), *out),
             err, SN_ENOMEM, "compile: no memory for kernels");
    return SN_OK;
}

static SnStatus kernel_step(SnSteps *x, SnFrame *f, SnRef ref, const SnLoweredKernel *k, uint32_t temp,
                            SnError *err)
{
    SnStepRow row = {.kind = SN_STEP_KERNEL};
    uint32_t buffer[SN_KERNEL_BUFFERS], reg[SN_KERNEL_DIMS];
    for (int i = 0; i < k->kernel->nbuf; i++) {
        const SnBufUse *u = &k->buf[i];
        if (u->kind == SN_BUF_VALUE)
            SN_TRY(sn_steps_lookup(x, f, u->value, &buffer[i], err));
        else
            buffer[i] = u->kind == SN_BUF_RESULT ? f->at.at[ref] - 1 + u->index : temp + u->index;
    }
    for (int i = 0; i < k->kernel->ndim; i++)
        SN_TRY(sn_steps_reg(x, k->dim[i], &reg[i], err));
    SN_TRY(sn_steps_reg(x, k->grid, &row.b, err));
    SN_TRY(kernel_index(x, k->kernel, &row.a, err));
    return sn_steps_push(x, row, buffer, (uint32_t)k->kernel->nbuf, reg, (uint32_t)k->kernel->ndim, err);
}

static SnStatus lower_term(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    SnLowered low = {0};
    SN_TRY(sn_lower(x->p, ref, x->is_stored, &low, err));
    SN_TRY(result_buffers(x, f, ref, err));
    const uint32_t temp = (uint32_t)x->buffer.n;
    for (uint32_t i = 0; i < low.ntemp; i++) {
        uint32_t b = 0;
        SN_TRY(new_buffer(x, SN_BUFFER_SCRATCH, 0, low.temp[i], &b, err));
    }
    for (uint32_t i = 0; i < low.nkernel; i++)
        SN_TRY(kernel_step(x, f, ref, &low.kernel[i], temp, err));
    return SN_OK;
}

/* ---- host ops ---- */

static SnStatus host_attrs(SnSteps *x, SnRef ref, const SnOpRow *op, SnHostRow *row, SnError *err)
{
    row->attr = (SnRange){(uint32_t)x->attr.n, (uint32_t)op->sig.nattr};
    for (int i = 0; i < op->sig.nattr; i++) {
        const SnAttr *a = sn_attr(x->s, ref, op->sig.attr[i].value.name);
        a = a ? a : &op->sig.attr[i].value;
        SnScalar v = {0};
        if (a->kind == SN_ATTR_FLOAT)
            v.f = a->u.f;
        else
            v.i = a->kind == SN_ATTR_DTYPE ? (int64_t)a->u.d : a->u.i;
        SN_CHECK(a->kind == SN_ATTR_FLOAT || a->kind == SN_ATTR_INT || a->kind == SN_ATTR_DTYPE, err,
                 SN_EUNSUPPORTED, "%s: attribute %s: a host op takes numbers only", op->sig.name, a->name);
        SN_CHECK(sn_vec_push(x->memory, &x->attr, v), err, SN_ENOMEM, "compile: no memory for attributes");
    }
    return SN_OK;
}

static SnStatus host_slot(SnSteps *x, int64_t kind, const uint32_t *buffer, const SnTypeId *leaf,
                          SnError *err)
{
    const SnType *t = sn_type(x->s, leaf[kind == SN_HOST_LIST ? 2 : 0]);
    SnHostSlotRow row = {.kind = (uint32_t)kind, .dtype = t->dtype, .child_reg = SN_NONE};
    for (int i = 0; i < (kind == SN_HOST_LIST ? 3 : 1); i++)
        row.buffer[i] = buffer[i];
    if (kind == SN_HOST_LIST)
        SN_TRY(sn_steps_reg(x, t->dims[0], &row.child_reg, err));
    if (kind == SN_HOST_OBJECT)
        row.dtype = SN_U8;
    const SnType *shape = sn_type(x->s, leaf[0]);
    row.ndim = kind == SN_HOST_OBJECT ? 0 : (uint32_t)shape->ndim;
    for (uint32_t i = 0; i < row.ndim; i++)
        SN_TRY(sn_steps_reg(x, shape->dims[i], &row.dim_reg[i], err));
    SN_CHECK(sn_vec_push(x->memory, &x->host_slot, row), err, SN_ENOMEM, "compile: no memory for host calls");
    return SN_OK;
}

/* Views of one side of a host call; leaves[0..n) with their buffers. */
static SnStatus host_slots(SnSteps *x, SnRef ref, const char *side, const uint32_t *buffer,
                           const SnTypeId *leaf, uint32_t n, uint32_t *nview, SnError *err)
{
    const SnAttr *kinds = sn_attr(x->s, ref, side);
    uint32_t at = 0;
    SN_CHECK(kinds, err, SN_EINTERNAL, "compile: host term %u was not flattened", ref);
    const int count = kinds->u.ints.n;
    for (int i = 0; i < count; i++) {
        const int64_t kind = sn_attr(x->s, ref, side)->u.ints.at[i];
        const uint32_t width = kind == SN_HOST_LIST ? 3 : 1;
        SN_CHECK(at + width <= n, err, SN_EINTERNAL, "compile: host term %u has %u leaves", ref, n);
        SN_TRY(host_slot(x, kind, buffer + at, leaf + at, err));
        at += width;
    }
    *nview = (uint32_t)count;
    return SN_OK;
}

static SnStatus host_step(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const char *name = sn_attr_string(x->s, ref, "op");
    uint16_t id = 0;
    const SnOpRow *op = name ? sn_compiler_find_row(x->p->cc, name, &id) : NULL;
    SN_CHECK(op && op->op->run, err, SN_EINTERNAL, "compile: %s is no host op", name ? name : "?");
    const SnTerm *t = sn_term(x->s, ref);
    const uint32_t nin = t->narg - 1u;
    const SnTypeId *out_leaf = NULL;
    SnTypeId self = 0;
    const uint32_t nout = sn_steps_leaves(x->s, t->type, &out_leaf, &self);
    uint32_t *buffer = sn_arena_array(x->p->arena, nin + nout + 2u, sizeof *buffer);
    SnTypeId *leaf = sn_arena_array(x->p->arena, nin + 1u, sizeof *leaf);
    SN_CHECK(buffer && leaf, err, SN_ENOMEM, "compile: no memory for host calls");
    for (uint32_t i = 0; i < nin; i++) {
        const SnRef arg = sn_term(x->s, ref)->arg[i + 1];
        leaf[i] = sn_term(x->s, arg)->type;
        SN_TRY(sn_steps_lookup(x, f, arg, &buffer[i], err));
    }
    SN_TRY(result_buffers(x, f, ref, err));
    for (uint32_t i = 0; i < nout; i++)
        buffer[nin + i] = f->at.at[ref] - 1 + i;
    SnHostRow row = {.name = sn_steps_string(x, name),
                     .symbol = sn_steps_string(x, op->op->symbol ? op->op->symbol : name),
                     .first = (uint32_t)x->host_slot.n};
    SN_TRY(host_slots(x, ref, "in", buffer, leaf, nin, &row.nin, err));
    SN_TRY(host_slots(x, ref, "out", buffer + nin, out_leaf, nout, &row.nout, err));
    SN_TRY(host_attrs(x, ref, op, &row, err));
    while (row.fn < x->host_fn.n && x->host_fn.at[row.fn] != op->op)
        row.fn++;
    SnStepRow step = {.kind = SN_STEP_HOST, .a = (uint32_t)x->host.n, .b = SN_NONE};
    uint32_t nbuffer = nin + nout;
    const SnRef scratch = sn_term(x->s, ref)->arg[0];
    if (sn_term(x->s, scratch)->op != SN_OP_NONE) {
        SN_TRY(new_buffer(x, SN_BUFFER_SCRATCH, 0, scratch, &step.b, err));
        buffer[nbuffer++] = step.b;
    }
    SN_CHECK((row.fn < x->host_fn.n || sn_vec_push(x->memory, &x->host_fn, op->op)) &&
                 sn_vec_push(x->memory, &x->host, row),
             err, SN_ENOMEM, "compile: no memory for host calls");
    return sn_steps_push(x, step, buffer, nbuffer, NULL, 0, err);
}

/* ---- measures ---- */

static SnStatus measure_step(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const SnRef value = sn_term(x->s, ref)->arg[0], bound = sn_term(x->s, ref)->arg[1];
    SnStepRow row = {.kind = SN_STEP_MEASURE, .b = SN_NONE, .d = sn_dtype_of(x->s, value)};
    uint32_t buffer = 0;
    if (ref < x->reg_of.n && x->reg_of.at[ref])
        return SN_OK;
    SN_TRY(sn_steps_lookup(x, f, value, &buffer, err));
    if (sn_term(x->s, bound)->op != SN_OP_NONE)
        SN_TRY(sn_steps_reg(x, bound, &row.b, err));
    SN_CHECK(row.b != SN_NONE || x->depth == 0, err, SN_EINVAL,
             "compile: a dim measured in a loop needs a bound");
    x->point = x->npoint++;
    row.c = x->point;
    row.a = sn_steps_new_reg(x, x->point);
    row.e = sn_steps_string(x, "a measured dim");
    row.begins_segment = x->depth == 0;
    SN_CHECK(set_at(x, &x->reg_of.at, &x->reg_of.n, &x->reg_of.cap, ref, row.a), err, SN_ENOMEM,
             "compile: no memory for dims");
    SN_TRY(sn_steps_push(x, row, &buffer, 1, NULL, 0, err));
    x->segment += x->depth == 0;
    return SN_OK;
}

/* ---- functions and entries ---- */

static SnStatus value_steps(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const SnTerm *t = sn_term(x->s, ref);
    switch (t->op) {
    case SN_OP_MEASURE:
        return measure_step(x, f, ref, err);
    case SN_OP_HOST:
        return host_step(x, f, ref, err);
    case SN_OP_LOOP:
        return sn_steps_loop(x, f, ref, err);
    case SN_OP_COND:
        return sn_steps_cond(x, f, ref, err);
    case SN_OP_RESHAPE: {
        /* Counts that could not be proved equal are compared when the dims are known. */
        SnRef from = sn_const_i64(x->s, 1), to = from;
        const SnType *a = sn_type_of(x->s, t->arg[0]), *b = sn_type_of(x->s, ref);
        for (int i = 0; i < a->ndim; i++)
            from = sn_dim_mul(x->s, from, a->dims[i]);
        for (int i = 0; i < b->ndim; i++)
            to = sn_dim_mul(x->s, to, b->dims[i]);
        if (!sn_dim_equal(x->s, from, to))
            SN_TRY(sn_steps_check(x, from, to, "reshape: element counts", err));
        break;
    }
    default:
        break;
    }
    const uint16_t op = sn_term(x->s, ref)->op;
    if (is_leaf(op) || op == SN_OP_ARG || op == SN_OP_GET || op == SN_OP_TUPLE || ref >= x->nstored ||
        !x->is_stored[ref])
        return SN_OK;
    return lower_term(x, f, ref, err);
}

/* Marks what root needs. Functions are laid out where they are called: of them only measures of outer values
 * count, since dims in a body may name them. */
static SnStatus mark_needed(SnSteps *x, SnRef root, bool *need, bool *has_arg, SnError *err)
{
    bool *in_function = sn_arena_array(x->p->arena, root + 1u, 1);
    SN_CHECK(in_function, err, SN_ENOMEM, "compile: no memory for marks");
    for (SnRef r = 1; r <= root; r++) {
        const SnTerm *t = sn_term(x->s, r);
        has_arg[r] = t->op == SN_OP_ARG;
        for (int i = 0; i < t->narg && t->op != SN_OP_FN; i++)
            has_arg[r] = has_arg[r] || has_arg[t->arg[i]];
    }
    need[root] = true;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(x->s, r);
        if (in_function[r] && t->op == SN_OP_MEASURE && !has_arg[r])
            need[r] = true;
        for (int i = 0; i < t->narg && (need[r] || in_function[r]); i++) {
            const bool body = t->op == SN_OP_FN || !need[r];
            *(body ? &in_function[t->arg[i]] : &need[t->arg[i]]) = true;
        }
    }
    return SN_OK;
}

/* Steps of everything below root, root included, in order of refs. */
static SnStatus frame_steps(SnSteps *x, SnFrame *f, SnRef root, bool is_entry, SnError *err)
{
    bool *need = sn_arena_array(x->p->arena, root + 1u, 1);
    bool *has_arg = sn_arena_array(x->p->arena, root + 1u, 1);
    SN_CHECK(need && has_arg, err, SN_ENOMEM, "compile: no memory for marks");
    SN_TRY(mark_needed(x, root, need, has_arg, err));
    for (SnRef r = 1; r <= root; r++)
        if (need[r] && (is_entry || sn_term(x->s, r)->op != SN_OP_MEASURE || has_arg[r]))
            SN_TRY(value_steps(x, f, r, err));
    return SN_OK;
}

SnStatus sn_steps_function(SnSteps *x, SnRef fn, const uint32_t *arg, uint32_t narg, uint32_t *result,
                           uint32_t nresult, SnError *err)
{
    SnFrame f = {.arg = arg, .narg = narg};
    const SnRef body = sn_term(x->s, fn)->arg[0];
    SnStatus st = frame_steps(x, &f, body, false, err);
    const bool is_tuple = sn_term(x->s, body)->op == SN_OP_TUPLE;
    for (uint32_t i = 0; st == SN_OK && i < nresult; i++)
        st = sn_steps_lookup(x, &f, is_tuple ? sn_term(x->s, body)->arg[i] : body, &result[i], err);
    sn_vec_clear(x->memory, &f.at);
    return st;
}

/* ---- slots ---- */

static SnStatus slot_dims(SnSteps *x, SnSlotRow *row, const SnType *t, SnError *err)
{
    row->ndim = (uint32_t)t->ndim;
    for (int i = 0; i < t->ndim; i++) {
        const SnRef d = t->dims[i];
        SN_TRY(sn_steps_reg(x, d, &row->dim_reg[i], err));
        row->dim_name[i] =
            sn_term(x->s, d)->op == SN_OP_DIM ? sn_steps_string(x, sn_attr_string(x->s, d, "name")) : SN_NONE;
    }
    return SN_OK;
}

/* A named group of leaves as one slot: NAME alone, or NAME.start, NAME.len, NAME. */
typedef struct Leaf {
    const char *name;
    SnTypeId type;
    uint32_t buffer;
} Leaf;

static bool is_part(const Leaf *l, const char *name, const char *part)
{
    const size_t n = strlen(name);
    return strncmp(l->name, name, n) == 0 && strcmp(l->name + n, part) == 0;
}

static const Leaf *find_part(const Leaf *l, uint32_t n, const char *name, const char *part)
{
    for (uint32_t i = 0; i < n; i++)
        if (is_part(&l[i], name, part))
            return &l[i];
    return NULL;
}

static bool is_list_part(const Leaf *l, uint32_t n, const Leaf *one)
{
    const size_t len = strlen(one->name);
    for (uint32_t i = 0; i < n; i++) {
        const size_t m = strlen(l[i].name);
        if (&l[i] != one && m < len && strncmp(l[i].name, one->name, m) == 0 &&
            (strcmp(one->name + m, ".start") == 0 || strcmp(one->name + m, ".len") == 0))
            return true;
    }
    return false;
}

static SnStatus push_slots(SnSteps *x, const Leaf *leaf, uint32_t n, SnRange *out, SnError *err)
{
    *out = (SnRange){(uint32_t)x->slot.n, 0};
    for (uint32_t i = 0; i < n; i++) {
        const Leaf *l = &leaf[i];
        if (is_list_part(leaf, n, l))
            continue;
        const Leaf *start = find_part(leaf, n, l->name, ".start"), *len = find_part(leaf, n, l->name, ".len");
        SnSlotRow row = {.name = sn_steps_string(x, l->name),
                         .dtype = sn_type(x->s, l->type)->dtype,
                         .is_list = start && len,
                         .buffer = l->buffer,
                         .start = start && len ? start->buffer : SN_NONE,
                         .len = start && len ? len->buffer : SN_NONE,
                         .child_reg = SN_NONE,
                         .stream_reg = SN_NONE,
                         .init = SN_NONE};
        SN_TRY(slot_dims(x, &row, sn_type(x->s, row.is_list ? start->type : l->type), err));
        if (row.is_list)
            SN_TRY(sn_steps_reg(x, sn_type(x->s, l->type)->dims[0], &row.child_reg, err));
        SN_CHECK(sn_vec_push(x->memory, &x->slot, row), err, SN_ENOMEM, "compile: no memory for slots");
        out->count++;
    }
    return SN_OK;
}

static SnStatus input_slots(SnSteps *x, SnRange *out, SnError *err)
{
    Leaf *leaf = sn_arena_array(x->p->arena, x->inputs.n + 1, sizeof *leaf);
    SN_CHECK(leaf, err, SN_ENOMEM, "compile: no memory for inputs");
    for (size_t i = 0; i < x->inputs.n; i++) {
        const SnRef r = x->inputs.at[i];
        leaf[i] = (Leaf){sn_attr_string(x->s, r, "name"), sn_term(x->s, r)->type, x->leaf_at.at[r] - 1};
    }
    return push_slots(x, leaf, (uint32_t)x->inputs.n, out, err);
}

/* Results must be buffers of their own that live to the end: leaves and repeated values are copied. */
static SnStatus output_slots(SnSteps *x, SnFrame *f, SnRef entry, SnRange *out, SnError *err)
{
    const SnRef tuple = sn_term(x->s, entry)->arg[0];
    const SnType *t = sn_type_of(x->s, tuple);
    const uint32_t n = (uint32_t)t->nchild;
    Leaf *leaf = sn_arena_array(x->p->arena, n + 1u, sizeof *leaf);
    SN_CHECK(leaf && t->names, err, leaf ? SN_EINTERNAL : SN_ENOMEM,
             "compile: results of an entry have no names");
    for (uint32_t i = 0; i < n; i++) {
        const SnRef r = sn_term(x->s, tuple)->arg[i];
        leaf[i] = (Leaf){.name = sn_type_of(x->s, tuple)->names[i], .type = sn_term(x->s, r)->type};
        SN_TRY(sn_steps_lookup(x, f, r, &leaf[i].buffer, err));
        bool own = x->buffer.at[leaf[i].buffer].kind == SN_BUFFER_SCRATCH;
        for (uint32_t j = 0; j < i; j++)
            own = own && leaf[j].buffer != leaf[i].buffer;
        if (!own) {
            const uint32_t from = leaf[i].buffer;
            SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, leaf[i].type, &leaf[i].buffer, err));
            SN_TRY(sn_steps_copy(x, leaf[i].buffer, from, leaf[i].type, err));
        }
        touch(x, leaf[i].buffer, (uint32_t)x->step.n);
        x->buffer.at[leaf[i].buffer].last = FOREVER;
    }
    return push_slots(x, leaf, n, out, err);
}

/* All new values first go beside, then home: a carry may be the new value of another. */
static SnStatus next_steps(SnSteps *x, SnFrame *f, SnRef entry, SnError *err)
{
    const uint32_t n = (sn_term(x->s, entry)->narg - 1u) / 2;
    uint32_t *from = sn_arena_array(x->p->arena, n + 1u, sizeof *from);
    SN_CHECK(from, err, SN_ENOMEM, "compile: no memory for carries");
    for (uint32_t i = 0; i < n; i++) {
        const SnRef next = sn_term(x->s, entry)->arg[2 + 2 * i];
        SN_TRY(sn_steps_lookup(x, f, next, &from[i], err));
        if (x->buffer.at[from[i]].kind != SN_BUFFER_CARRY)
            continue;
        const uint32_t carry = from[i];
        SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, sn_term(x->s, next)->type, &from[i], err));
        SN_TRY(sn_steps_copy(x, from[i], carry, sn_term(x->s, next)->type, err));
    }
    for (uint32_t i = 0; i < n; i++) {
        const SnRef carry = sn_term(x->s, entry)->arg[1 + 2 * i];
        uint32_t to = 0;
        SN_TRY(sn_steps_lookup(x, f, carry, &to, err));
        SN_TRY(sn_steps_copy(x, to, from[i], sn_term(x->s, carry)->type, err));
    }
    return SN_OK;
}

static SnStatus entry_steps(SnSteps *x, SnRef entry, SnError *err)
{
    SnFrame f = {0};
    SnEntryRow row = {.name = sn_steps_string(x, sn_attr_string(x->s, entry, "name")),
                      .step = {(uint32_t)x->step.n, 0},
                      .symbol = {(uint32_t)x->symbol.n, 0},
                      .segment = {x->segment, 0},
                      .point = x->npoint};
    x->base = x->point = x->npoint++;
    x->reg_of.n = x->leaf_at.n = x->inputs.n = 0;
    SnStatus st = frame_steps(x, &f, entry, true, err);
    if (st == SN_OK)
        st = output_slots(x, &f, entry, &row.output, err);
    if (st == SN_OK)
        st = next_steps(x, &f, entry, err);
    if (st == SN_OK)
        st = input_slots(x, &row.input, err);
    sn_vec_clear(x->memory, &f.at);
    if (st != SN_OK)
        return st;
    row.step.count = (uint32_t)x->step.n - row.step.first;
    row.symbol.count = (uint32_t)x->symbol.n - row.symbol.first;
    row.segment.count = ++x->segment - row.segment.first;
    SN_CHECK(sn_vec_push(x->memory, &x->entry, row) && !x->failed, err, SN_ENOMEM,
             "compile: no memory for entries");
    return SN_OK;
}

/* Carries are laid out once for all entries, in declared order. */
static SnStatus carry_slots(SnSteps *x, SnRef root, SnError *err)
{
    bool *need = sn_arena_array(x->p->arena, root + 1u, 1);
    SN_CHECK(need, err, SN_ENOMEM, "compile: no memory for marks");
    need[root] = true;
    for (SnRef r = root; r > 0; r--)
        for (int i = 0; need[r] && i < sn_term(x->s, r)->narg; i++)
            need[sn_term(x->s, r)->arg[i]] = true;
    x->carry = (SnRange){0, 0};
    for (SnRef r = 1; r <= root; r++) {
        const SnTerm *t = sn_term(x->s, r);
        if (!need[r])
            continue;
        if (t->op == SN_OP_DIM && sn_attr_int(x->s, r, "create", 0)) {
            uint32_t reg = 0;
            SN_TRY(sn_steps_reg(x, r, &reg, err));
        }
        if (t->op != SN_OP_CARRY)
            continue;
        SnSlotRow row = {.name = sn_steps_string(x, sn_attr_string(x->s, r, "name")),
                         .dtype = sn_dtype_of(x->s, r),
                         .start = SN_NONE,
                         .len = SN_NONE,
                         .child_reg = SN_NONE,
                         .stream_reg = SN_NONE,
                         .init = SN_NONE};
        SN_TRY(sn_steps_buffer(x, SN_BUFFER_CARRY, x->carry.count, t->type, &row.buffer, err));
        SN_TRY(slot_dims(x, &row, sn_type_of(x->s, r), err));
        SnRef init = sn_term(x->s, r)->narg ? sn_term(x->s, r)->arg[0] : 0;
        while (init && sn_term(x->s, init)->op == SN_OP_BROADCAST)
            init = sn_term(x->s, init)->arg[0];
        if (init) {
            SnBytes b;
            SN_CHECK(sn_eval_const(x->s, init, INT32_MAX, x->p->arena, &b), err, SN_EUNSUPPORTED,
                     "carry %s: its initial value is no constant", sn_attr_string(x->s, r, "name"));
            row.init = add_data(x, b.at, b.n);
            row.init_size = (uint32_t)b.n;
        }
        SN_CHECK(sn_vec_push(x->memory, &x->slot, row), err, SN_ENOMEM, "compile: no memory for carries");
        x->carry.count++;
    }
    return SN_OK;
}

SnStatus sn_steps_program(SnSteps *x, SnRef root, SnError *err)
{
    SN_TRY(carry_slots(x, root, err));
    for (int i = 0; i < sn_term(x->s, root)->narg; i++)
        SN_TRY(entry_steps(x, sn_term(x->s, root)->arg[i], err));
    return SN_OK;
}
