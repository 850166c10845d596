/* steps.c -- kernels and host calls ▶ ordered steps, buffers, lifetimes.
 *
 * Walks each entry, and each body of a loop or cond, in order of refs, and lays out what is stored: a kernel
 * step for each kernel of a lowered term, a host step for a host op, control steps for loops and conds
 * (flow.c). Equal kernels exist once. A buffer lives from the first step that names it to the last; one that
 * is made outside of a loop and used inside lives until the loop ends. */
#include "compiler/steps.h"

void sn_steps_init(SnSteps *x, SnPass *p, const SnSource *source, bool *is_stored, uint32_t n)
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
    sn_map_init(&x->data_at, x->memory);
    sn_map_init(&x->kernel_at, x->memory);
    sn_reuse_init(&x->reuse, p, is_stored, n);
}

void sn_steps_clear(SnSteps *x)
{
    const SnAllocator *a = x->memory;
    sn_text_clear(&x->string);
    sn_text_clear(&x->data);
    sn_map_clear(&x->string_at);
    sn_map_clear(&x->data_at);
    sn_map_clear(&x->kernel_at);
    sn_reuse_clear(&x->reuse);
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
    sn_vec_clear(a, &x->variant);
    sn_vec_clear(a, &x->kernel);
    sn_vec_clear(a, &x->host_fn);
    sn_vec_clear(a, &x->weight);
    sn_vec_clear(a, &x->reg_point);
    sn_vec_clear(a, &x->reg_of);
    sn_vec_clear(a, &x->leaf_at);
    sn_vec_clear(a, &x->inputs);
    sn_vec_clear(a, &x->todo);
    sn_vec_clear(a, &x->loop);
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

typedef struct Extremes {
    SnRef lo, hi;
} Extremes;

static Extremes product_extremes(SnStore *s, Extremes a, Extremes b)
{
    const SnRef p[4] = {sn_dim_mul(s, a.lo, b.lo), sn_dim_mul(s, a.lo, b.hi), sn_dim_mul(s, a.hi, b.lo),
                        sn_dim_mul(s, a.hi, b.hi)};
    Extremes e = {p[0], p[0]};
    for (int i = 1; i < 4; i++)
        e = (Extremes){sn_dim_min(s, e.lo, p[i]), sn_dim_max(s, e.hi, p[i])};
    return e;
}

/* |a idiv b| <= |a|; a mod b lies between 0 and b, or is a where b is 0. */
static Extremes quotient_extremes(SnStore *s, uint16_t op, Extremes a, Extremes b)
{
    const SnRef zero = sn_const_i64(s, 0);
    const Extremes other =
        op == SN_OP_MOD ? b : (Extremes){sn_dim_sub(s, zero, a.hi), sn_dim_sub(s, zero, a.lo)};
    return (Extremes){sn_dim_min(s, zero, sn_dim_min(s, a.lo, other.lo)),
                      sn_dim_max(s, zero, sn_dim_max(s, a.hi, other.hi))};
}

/* The least and the most that a dim can be, whatever is measured in it: in a loop buffers are planned once.
 */
static Extremes extremes(SnStore *s, SnRef dim)
{
    const uint16_t op = sn_term(s, dim)->op;
    const bool is_binary = op != SN_OP_MEASURE && sn_term(s, dim)->narg == 2;
    if (op == SN_OP_MEASURE && sn_term(s, sn_term(s, dim)->arg[1])->op != SN_OP_NONE)
        return (Extremes){sn_const_i64(s, 0), extremes(s, sn_term(s, dim)->arg[1]).hi};
    if (!is_binary)
        return (Extremes){dim, dim};
    const SnRef right = sn_term(s, dim)->arg[1];
    const Extremes a = extremes(s, sn_term(s, dim)->arg[0]), b = extremes(s, right);
    if (a.lo == a.hi && b.lo == b.hi)
        return (Extremes){dim, dim};
    if (op == SN_OP_MUL)
        return product_extremes(s, a, b);
    if (op == SN_OP_IDIV || op == SN_OP_MOD)
        return quotient_extremes(s, op, a, b);
    if (op == SN_OP_SUB)
        return (Extremes){sn_dim_sub(s, a.lo, b.hi), sn_dim_sub(s, a.hi, b.lo)};
    return (Extremes){sn_dim_op(s, op, a.lo, b.lo), sn_dim_op(s, op, a.hi, b.hi)};
}

static SnRef type_bytes(SnSteps *x, SnTypeId type, bool most)
{
    const int ndim = sn_type(x->s, type)->ndim;
    SnRef n = sn_const_i64(x->s, (int64_t)sn_dtype_size(sn_type(x->s, type)->dtype));
    for (int i = 0; i < ndim; i++) {
        const SnRef dim = sn_type(x->s, type)->dims[i];
        n = sn_dim_mul(x->s, n, most ? extremes(x->s, dim).hi : dim);
    }
    return n;
}

SnStatus sn_steps_new_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnRef bytes, uint32_t *out,
                             SnError *err)
{
    SnBufferRow row = {.kind = kind, .index = index, .segment = x->segment, .first = SN_NONE};
    if (kind == SN_BUFFER_SCRATCH && x->depth > 0)
        bytes = extremes(x->s, bytes).hi;
    SN_TRY(sn_steps_reg(x, bytes, &row.size_reg, err));
    SN_CHECK(sn_vec_push(x->memory, &x->buffer, row), err, SN_ENOMEM, "compile: no memory for buffers");
    *out = (uint32_t)x->buffer.n - 1;
    return SN_OK;
}

SnStatus sn_steps_buffer(SnSteps *x, SnBufferKind kind, uint32_t index, SnTypeId type, uint32_t *out,
                         SnError *err)
{
    SN_TRY(sn_steps_new_buffer(x, kind, index, type_bytes(x, type, kind == SN_BUFFER_SCRATCH && x->depth > 0),
                               out, err));
    x->buffer.at[*out].dtype = sn_type(x->s, type)->dtype;
    return SN_OK;
}

void sn_steps_touch(SnSteps *x, uint32_t buffer, uint32_t step)
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
        sn_steps_touch(x, buffer[i], (uint32_t)x->step.n);
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
    SN_TRY(sn_steps_reg(x, type_bytes(x, type, false), &row.a, err));
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
    size_t size = sn_dtype_size(w.dtype);
    bool ok = true;
    for (int i = 0; i < t->ndim; i++) {
        SN_CHECK(sn_is_const_i64(x->s, t->dims[i], &row.dims[i]) && row.dims[i] == w.dims[i], err, SN_ESHAPE,
                 "parameter %s: dim %d is %lld, expected %lld", name, i, (long long)w.dims[i],
                 (long long)row.dims[i]);
        ok = ok && w.dims[i] >= 0 && sn_mul_size(size, (size_t)w.dims[i], &size);
    }
    row.size = size;
    SN_CHECK(ok && w.bytes.n == size, err, SN_EFORMAT, "parameter %s: %zu bytes, expected %llu", name,
             w.bytes.n, (unsigned long long)row.size);
    uint32_t index = 0;
    while (index < x->param.n && x->param.at[index].name != row.name)
        index++;
    SN_CHECK(index < x->param.n ||
                 (sn_vec_push(x->memory, &x->param, row) && sn_vec_push(x->memory, &x->weight, w)),
             err, SN_ENOMEM, "compile: no memory for parameters");
    return sn_steps_buffer(x, SN_BUFFER_PARAM, index, sn_term(x->s, ref)->type, out, err);
}

uint32_t sn_steps_data(SnSteps *x, const void *at, size_t n)
{
    static const char zeros[64] = {0};
    const SnHash128 hash = sn_hash128(at, n, n);
    uint32_t known = 0;
    if (n > 0 && sn_map_get(&x->data_at, sn_bytes(&hash, sizeof hash), &known) && known + n <= x->data.n &&
        memcmp(x->data.at + known, at, n) == 0)
        return known;
    if (x->data.n % 64)
        sn_text_add(&x->data, zeros, 64 - x->data.n % 64);
    const uint32_t offset = (uint32_t)x->data.n;
    sn_text_add(&x->data, at, n);
    SnHash128 *key = sn_arena_alloc(x->p->arena, sizeof *key);
    if (key)
        *key = hash;
    if (!key || !sn_map_put(&x->data_at, sn_bytes(key, sizeof *key), offset))
        x->failed = true;
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
    SN_TRY(
        sn_steps_buffer(x, SN_BUFFER_DATA, sn_steps_data(x, b.at, b.n), sn_term(x->s, ref)->type, out, err));
    x->buffer.at[*out].bytes = (uint32_t)b.n;
    return SN_OK;
}

static SnStatus object_buffer(SnSteps *x, SnRef ref, uint32_t *out, SnError *err)
{
    const SnBytes b = sn_attr(x->s, ref, "data")->u.data;
    const SnObjectRow row = {.name = sn_steps_string(x, sn_attr_string(x->s, ref, "name")),
                             .class_name = sn_steps_string(x, sn_type_of(x->s, ref)->class_name),
                             .offset = sn_steps_data(x, b.at, b.n),
                             .size = (uint32_t)b.n};
    uint32_t i = 0;
    while (i < x->object.n && memcmp(&x->object.at[i], &row, sizeof row) != 0)
        i++;
    SN_CHECK(b.n <= UINT32_MAX && (i < x->object.n || sn_vec_push(x->memory, &x->object, row)), err,
             SN_ENOMEM, "compile: no memory for an object of %zu bytes", b.n);
    return sn_steps_new_buffer(x, SN_BUFFER_OBJECT, i, sn_const_i64(x->s, (int64_t)b.n), out, err);
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
    *out = sn_steps_home(f, of, child);
    return SN_OK;
}

SnStatus sn_steps_leaf(SnSteps *x, SnFrame *f, SnRef ref, uint32_t i, uint32_t *out, SnError *err)
{
    const SnTerm *t = sn_term(x->s, ref);
    if (t->op == SN_OP_TUPLE)
        return sn_steps_lookup(x, f, t->arg[i], out, err);
    SN_TRY(sn_steps_lookup(x, f, ref, out, err));
    if (sn_type_of(x->s, ref)->kind == SN_TYPE_TUPLE)
        *out = sn_steps_home(f, ref, i);
    return SN_OK;
}

SnStatus sn_steps_result(SnSteps *x, SnFrame *f, SnRef ref, uint32_t i, SnTypeId type, uint32_t *out,
                         SnError *err)
{
    *out = sn_frame_target(x, f, ref, i);
    return *out == SN_NONE ? sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, type, out, err) : SN_OK;
}

SnStatus sn_steps_results(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    const SnTypeId *leaf = NULL;
    SnTypeId self = 0;
    const uint32_t n = sn_steps_leaves(x->s, sn_term(x->s, ref)->type, &leaf, &self);
    uint32_t *buffer = sn_arena_array(x->p->arena, n + 1u, sizeof *buffer);
    SN_CHECK(buffer, err, SN_ENOMEM, "compile: no memory for values");
    for (uint32_t i = 0; i < n; i++)
        SN_TRY(sn_steps_result(x, f, ref, i, leaf[i], &buffer[i], err));
    return sn_frame_set(x, f, ref, buffer, n, true, err);
}

/* ---- kernels ---- */

/* Of all forms together. */
static SnHash128 *kernel_key(SnSteps *x, const SnLoweredKernel *low)
{
    SnHash128 *key = sn_arena_array(x->p->arena, x->p->nlevel, sizeof *key);
    for (uint32_t i = 0; key && i < x->p->nlevel; i++)
        key[i] = low->form[i]->key;
    if (key && x->p->nlevel > 1)
        *key = sn_hash128(key, x->p->nlevel * sizeof *key, 0);
    return key;
}

static SnStatus kernel_index(SnSteps *x, const SnLoweredKernel *low, uint32_t *out, SnError *err)
{
    const SnKernel *k = low->kernel;
    const SnHash128 *key = kernel_key(x, low);
    SN_CHECK(key, err, SN_ENOMEM, "compile: no memory for kernels");
    if (sn_map_get(&x->kernel_at, sn_bytes(key, sizeof *key), out))
        return SN_OK;
    SnKernelRow row = {.name = sn_steps_string(x, k->name),
                       .nbuf = (uint32_t)k->nbuf,
                       .ndim = (uint32_t)k->ndim,
                       .key = *key};
    for (int i = 0; i < k->nbuf; i++)
        row.written |= k->buf[i].is_written ? 1u << i : 0u;
    *out = (uint32_t)x->kernel_row.n;
    bool ok = sn_vec_push(x->memory, &x->kernel_row, row);
    for (uint32_t i = 0; i < x->p->nlevel; i++)
        ok = ok && sn_vec_push(x->memory, &x->kernel, low->form[i]);
    SN_CHECK(ok && sn_map_put(&x->kernel_at, sn_bytes(key, sizeof *key), *out), err, SN_ENOMEM,
             "compile: no memory for kernels");
    return SN_OK;
}

static SnStatus kernel_step(SnSteps *x, SnFrame *f, SnRef ref, const SnLoweredKernel *k, uint32_t temp,
                            SnStepRow row, SnError *err)
{
    uint32_t buffer[SN_KERNEL_BUFFERS], reg[SN_KERNEL_DIMS];
    for (int i = 0; i < k->kernel->nbuf; i++) {
        const SnBufUse *u = &k->buf[i];
        if (u->kind == SN_BUF_VALUE)
            SN_TRY(sn_steps_lookup(x, f, u->value, &buffer[i], err));
        else
            buffer[i] = u->kind == SN_BUF_RESULT ? sn_steps_home(f, ref, u->index) : temp + u->index;
    }
    for (int i = 0; i < k->kernel->ndim; i++)
        SN_TRY(sn_steps_reg(x, k->dim[i], &reg[i], err));
    SN_TRY(sn_steps_reg(x, k->grid, &row.b, err));
    SN_TRY(kernel_index(x, k, &row.a, err));
    return sn_steps_push(x, row, buffer, (uint32_t)k->kernel->nbuf, reg, (uint32_t)k->kernel->ndim, err);
}

/* The first kernel of what is made in place is the copy that this saves. */
static SnStatus lower_term(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    SnLowered low = {0};
    uint32_t home = SN_NONE;
    SN_TRY(sn_reuse_lower(&x->reuse, ref, 0, &low, err));
    SN_TRY(sn_frame_in_place(x, f, ref, &low, &home, err));
    const uint32_t first = home == SN_NONE ? 0 : 1;
    if (home == SN_NONE)
        SN_TRY(sn_frame_overwrite(x, f, ref, &low, &home, err));
    if (home == SN_NONE)
        SN_TRY(sn_steps_results(x, f, ref, err));
    else
        SN_TRY(sn_frame_set(x, f, ref, &home, 1, true, err));
    const uint32_t temp = (uint32_t)x->buffer.n;
    for (uint32_t i = 0; i < low.ntemp; i++) {
        uint32_t b = 0;
        SN_TRY(sn_steps_new_buffer(x, SN_BUFFER_SCRATCH, 0, low.temp[i], &b, err));
    }
    SnCount count;
    SN_TRY(sn_steps_count(x, ref, &count, err));
    for (uint32_t i = first; i < low.nkernel; i++) {
        SnStepRow row = {.kind = SN_STEP_KERNEL};
        SN_TRY(sn_steps_count_kernel(x, ref, &low, i, &count, &row, err));
        SN_TRY(kernel_step(x, f, ref, &low.kernel[i], temp, row, err));
    }
    return SN_OK;
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

/* ---- checks ---- */

/* Dims that are not known to be sizes are looked at when they are known. */
static SnStatus check_sizes(SnSteps *x, SnTypeId type, SnError *err)
{
    const SnRef zero = sn_const_i64(x->s, 0);
    const int ndim = sn_type(x->s, type)->kind == SN_TYPE_TENSOR ? sn_type(x->s, type)->ndim : 0;
    for (int i = 0; i < ndim; i++) {
        const SnRef dim = sn_type(x->s, type)->dims[i];
        int64_t lo = 0, hi = 0;
        sn_dim_range(x->s, dim, &lo, &hi);
        const SnRef least = lo < 0 ? sn_dim_min(x->s, dim, zero) : zero;
        const bool is_checked = least < x->reg_of.n && x->reg_of.at[least];
        if (least != zero && !is_checked)
            SN_TRY(sn_steps_check(x, least, zero, "a dim below 0", err));
    }
    return SN_OK;
}

/* Counts that could not be proved equal. */
static SnStatus check_reshape(SnSteps *x, SnRef ref, SnError *err)
{
    const SnTypeId from = sn_term(x->s, sn_term(x->s, ref)->arg[0])->type, to = sn_term(x->s, ref)->type;
    const SnRef a = type_bytes(x, from, false), b = type_bytes(x, to, false);
    return sn_dim_equal(x->s, a, b) ? SN_OK : sn_steps_check(x, a, b, "reshape: bytes", err);
}

/* ---- functions and entries ---- */

static bool is_stored(const SnSteps *x, SnRef ref)
{
    return ref < x->nstored && x->is_stored[ref];
}

/* What lies in memory has any shape of as many elements. */
static SnStatus reshape_steps(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    uint32_t buffer = 0;
    SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, ref)->arg[0], &buffer, err));
    return sn_frame_set(x, f, ref, &buffer, 1, false, err);
}

static SnStatus value_steps(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    if (sn_term(x->s, ref)->type)
        SN_TRY(check_sizes(x, sn_term(x->s, ref)->type, err));
    switch (sn_term(x->s, ref)->op) {
    case SN_OP_MEASURE:
        SN_TRY(measure_step(x, f, ref, err));
        break;
    case SN_OP_HOST:
        return sn_steps_host(x, f, ref, err);
    case SN_OP_LOOP:
        return sn_steps_loop(x, f, ref, err);
    case SN_OP_COND:
        return sn_steps_cond(x, f, ref, err);
    case SN_OP_GET:
        return sn_frame_get(x, f, ref, err);
    case SN_OP_RESHAPE:
        SN_TRY(check_reshape(x, ref, err));
        if (is_stored(x, ref) && is_stored(x, sn_term(x->s, ref)->arg[0]))
            return reshape_steps(x, f, ref, err);
        break;
    default:
        break;
    }
    const uint16_t op = sn_term(x->s, ref)->op;
    if (is_leaf(op) || op == SN_OP_ARG || op == SN_OP_TUPLE || !is_stored(x, ref))
        return SN_OK;
    return lower_term(x, f, ref, err);
}

/* Marks what root needs. Functions are laid out where they are called: of them only measures of outer values
 * count, since dims in a body may name them: there they are known, and what was measured is another frame's.
 * The initial value of a carry is constant data (slots.c). */
static SnStatus mark_needed(SnSteps *x, SnRef root, bool *need, bool *in_function, SnError *err)
{
    bool *has_arg = sn_arena_array(x->p->arena, root + 1u, 1);
    SN_CHECK(has_arg, err, SN_ENOMEM, "compile: no memory for marks");
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
        const bool is_known =
            t->op == SN_OP_CARRY || (t->op == SN_OP_MEASURE && r < x->reg_of.n && x->reg_of.at[r]);
        for (int i = 0; i < t->narg && !is_known && (need[r] || in_function[r]); i++) {
            const bool body = t->op == SN_OP_FN || !need[r];
            *(body ? &in_function[t->arg[i]] : &need[t->arg[i]]) = true;
        }
    }
    return SN_OK;
}

/* Steps of everything below root, root included, in order of refs. */
static SnStatus frame_steps(SnSteps *x, SnFrame *f, SnRef root, SnError *err)
{
    bool *need = sn_arena_array(x->p->arena, root + 1u, 1);
    bool *in_function = sn_arena_array(x->p->arena, root + 1u, 1);
    SN_CHECK(need && in_function, err, SN_ENOMEM, "compile: no memory for marks");
    SN_TRY(mark_needed(x, root, need, in_function, err));
    SN_TRY(sn_frame_begin(x, f, root, need, in_function, err));
    for (SnRef r = 1; r <= root; r++)
        if (need[r])
            SN_TRY(value_steps(x, f, r, err));
    return SN_OK;
}

/* What a body measured is unknown outside of it: another may have the same terms. */
static void forget_registers(SnSteps *x, uint32_t first_point)
{
    for (size_t r = 0; r < x->reg_of.n; r++)
        if (x->reg_of.at[r] && x->reg_point.at[x->reg_of.at[r] - 1] >= first_point)
            x->reg_of.at[r] = 0;
}

SnStatus sn_steps_function(SnSteps *x, SnRef fn, SnFrame *f, uint32_t *result, uint32_t nresult, SnError *err)
{
    const SnRef body = sn_term(x->s, fn)->arg[0];
    const uint32_t first_point = x->npoint;
    SnStatus st = frame_steps(x, f, body, err);
    forget_registers(x, first_point);
    for (uint32_t i = 0; st == SN_OK && i < nresult; i++)
        st = sn_steps_leaf(x, f, body, i, &result[i], err);
    sn_frame_clear(x, f);
    return st;
}

/* A carry may be the new value of another: new values go home together. */
static SnStatus next_steps(SnSteps *x, SnFrame *f, SnRef entry, SnError *err)
{
    const uint32_t n = (sn_term(x->s, entry)->narg - 1u) / 2;
    uint32_t *from = sn_arena_array(x->p->arena, n + 1u, sizeof *from);
    uint32_t *to = sn_arena_array(x->p->arena, n + 1u, sizeof *to);
    SnTypeId *type = sn_arena_array(x->p->arena, n + 1u, sizeof *type);
    SN_CHECK(from && to && type, err, SN_ENOMEM, "compile: no memory for carries");
    for (uint32_t i = 0; i < n; i++) {
        const SnRef carry = sn_term(x->s, entry)->arg[1 + 2 * i], next = sn_term(x->s, entry)->arg[2 + 2 * i];
        type[i] = sn_term(x->s, carry)->type;
        SN_TRY(sn_steps_lookup(x, f, carry, &to[i], err));
        SN_TRY(sn_steps_lookup(x, f, next, &from[i], err));
    }
    return sn_steps_move(x, to, from, type, n, err);
}

/* ---- steps that may run at the same time ---- */

static bool writes(const SnSteps *x, const SnStepRow *step, uint32_t i)
{
    return (x->kernel_row.at[step->a].written >> i & 1) != 0;
}

/* Does neither write what the other one uses? */
static bool are_apart(const SnSteps *x, const SnStepRow *a, const SnStepRow *b)
{
    for (uint32_t i = 0; i < a->buffer.count; i++)
        for (uint32_t k = 0; k < b->buffer.count; k++)
            if (x->operand.at[a->buffer.first + i] == x->operand.at[b->buffer.first + k] &&
                (writes(x, a, i) || writes(x, b, k)))
                return false;
    return true;
}

/* What they use lives as long as all of them run. */
static void keep_together(SnSteps *x, uint32_t first, uint32_t last)
{
    for (uint32_t s = first; s <= last; s++)
        for (uint32_t i = 0; i < x->step.at[s].buffer.count; i++) {
            sn_steps_touch(x, x->operand.at[x->step.at[s].buffer.first + i], first);
            sn_steps_touch(x, x->operand.at[x->step.at[s].buffer.first + i], last);
        }
}

/* Neighbouring kernels of which none needs another are one call for threads: the projections of a row. */
static void join_steps(SnSteps *x, uint32_t first)
{
    for (uint32_t from = first, n; from < x->step.n; from += n) {
        n = x->step.at[from].kind == SN_STEP_KERNEL;
        for (bool fits = n != 0; fits && n <= SN_MAX_JOINED && from + n < x->step.n; n += fits) {
            fits = x->step.at[from + n].kind == SN_STEP_KERNEL;
            for (uint32_t i = 0; i < n && fits; i++)
                fits = are_apart(x, &x->step.at[from + i], &x->step.at[from + n]);
        }
        for (uint32_t i = 0; i < n; i++)
            x->step.at[from + i].njoined = n - 1 - i;
        if (n > 1)
            keep_together(x, from, from + n - 1);
        n = n ? n : 1;
    }
}

/* Puts the rows of a copy in the order of those of its base. */
static SnStatus match_slots(SnSteps *x, SnRange base, SnRange copy, SnError *err)
{
    SN_CHECK(base.count == copy.count, err, SN_EINTERNAL,
             "specialise: a copy has %u inputs or results, not %u", copy.count, base.count);
    for (uint32_t i = 0; i < base.count; i++) {
        SnSlotRow *to = &x->slot.at[copy.first + i];
        uint32_t k = i;
        while (k < copy.count && x->slot.at[copy.first + k].name != x->slot.at[base.first + i].name)
            k++;
        SN_CHECK(k < copy.count, err, SN_EINTERNAL, "specialise: a copy lacks %s",
                 x->string.at + x->slot.at[base.first + i].name);
        const SnSlotRow kept = *to;
        *to = x->slot.at[copy.first + k];
        x->slot.at[copy.first + k] = kept;
    }
    return SN_OK;
}

static SnStatus variant_row(SnSteps *x, SnRef entry, const SnEntryRow *row, SnError *err)
{
    const uint32_t base = sn_steps_string(x, sn_attr_string(x->s, entry, "base"));
    const SnAttr *symbols = sn_attr(x->s, entry, "symbols"), *values = sn_attr(x->s, entry, "values");
    SnVariantRow v = {.ndim = (uint32_t)symbols->u.names.n, .entry = *row};
    while (v.base < x->entry.n && x->entry.at[v.base].name != base)
        v.base++;
    SN_CHECK(v.base < x->entry.n && v.ndim <= SN_VARIANT_DIMS, err, SN_EINTERNAL,
             "specialise: a copy without its entry");
    SN_TRY(match_slots(x, x->entry.at[v.base].input, row->input, err));
    SN_TRY(match_slots(x, x->entry.at[v.base].output, row->output, err));
    for (uint32_t i = 0; i < v.ndim; i++) {
        v.dim[i].symbol = sn_steps_string(x, symbols->u.names.at[i]);
        v.dim[i].value = values->u.ints.at[i];
    }
    SN_CHECK(sn_vec_push(x->memory, &x->variant, v) && !x->failed, err, SN_ENOMEM,
             "compile: no memory for entries");
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
    x->reg_of.n = x->leaf_at.n = x->inputs.n = x->loop.n = 0;
    SnStatus st = frame_steps(x, &f, entry, err);
    if (st == SN_OK)
        st = sn_steps_outputs(x, &f, entry, &row.output, err);
    if (st == SN_OK)
        st = next_steps(x, &f, entry, err);
    if (st == SN_OK)
        st = sn_steps_inputs(x, entry, &row.input, err);
    sn_frame_clear(x, &f);
    if (st != SN_OK)
        return st;
    row.step.count = (uint32_t)x->step.n - row.step.first;
    join_steps(x, row.step.first);
    row.symbol.count = (uint32_t)x->symbol.n - row.symbol.first;
    row.segment.count = ++x->segment - row.segment.first;
    SN_CHECK(!x->failed, err, SN_ENOMEM, "compile: no memory for entries");
    if (sn_attr(x->s, entry, "base"))
        return variant_row(x, entry, &row, err);
    SN_CHECK(sn_vec_push(x->memory, &x->entry, row), err, SN_ENOMEM, "compile: no memory for entries");
    return SN_OK;
}

SnStatus sn_steps_program(SnSteps *x, SnRef root, SnError *err)
{
    SN_TRY(sn_store_updates(x->p, x->is_stored, x->nstored, err));
    SN_TRY(sn_steps_carries(x, root, err));
    for (int i = 0; i < sn_term(x->s, root)->narg; i++)
        SN_TRY(entry_steps(x, sn_term(x->s, root)->arg[i], err));
    return SN_OK;
}
