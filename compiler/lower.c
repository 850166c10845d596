/* lower.c -- stored terms to kernels: the driver, iteration spaces, and roots that are only computed and
 * stored.
 *
 * A root becomes one or more kernels; everything unstored that feeds it is computed in place by the scalar
 * walk of lower_walk.c. Every form here is the plain one: right for all dims, with lanes where they come
 * naturally. The order of every sum is a property of the op (ARCHITECTURE section 9), never of the form
 * chosen. */
#include "compiler/lower.h"

/* ---- one kernel ---- */

void sn_lower_fail(SnLower *l, SnStatus code, const char *format, ...)
{
    if (l->status != SN_OK)
        return;
    va_list args;
    va_start(args, format);
    l->status = sn_failv(l->err, code, format, args);
    va_end(args);
}

/* Those of the other form of this kernel. */
static void take_dims(SnLower *l)
{
    if (l->like == NULL || l->out->nkernel >= l->like->nkernel)
        return;
    const SnLoweredKernel *k = &l->like->kernel[l->out->nkernel];
    for (int i = 0; i < k->kernel->ndim; i++)
        (void)sn_lower_dim(l, k->dim[i]);
}

void sn_lower_begin(SnLower *l, const char *name)
{
    memset(&l->now, 0, sizeof l->now);
    sn_map_clear(&l->memo);
    sn_map_clear(&l->split);
    l->npart = l->nbound = 0;
    l->has_pieces = false;
    l->nop_name = 0;
    if (l->status == SN_OK && sn_kernel_begin(&l->kb, l->s, l->p->arena, name)) {
        take_dims(l);
        return;
    }
    sn_lower_fail(l, SN_ENOMEM, "kernel %s: no memory to build it", name);
    l->spare = (SnKernel){.store = l->s};
    l->kb = (SnKernelBuild){.k = &l->spare, .arena = l->p->arena, .tail = &l->spare.body};
}

/* Room for one more element of an arena array. */
static void *grow(SnLower *l, void *at, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return at;
    const uint32_t more = *cap != 0 ? *cap * 2 : 4;
    void *grown = sn_arena_array(l->p->arena, more, size);
    if (grown == NULL) {
        sn_lower_fail(l, SN_ENOMEM, "no memory for kernels");
        return NULL;
    }
    if (n > 0)
        memcpy(grown, at, n * size);
    *cap = more;
    return grown;
}

static const char *kernel_name(SnLower *l)
{
    const SnDtype dtype = sn_dtype_of(l->s, l->root);
    const char *name = l->kb.k->name;
    for (int i = 0; i < l->nop_name && name != NULL; i++)
        name = sn_arena_printf(l->p->arena, "%s_%s", name, l->op_name[i]);
    if (name == NULL || dtype == SN_NODTYPE)
        return name;
    return sn_arena_printf(l->p->arena, "%s_%s", name, sn_dtype(dtype)->name);
}

void sn_lower_end(SnLower *l, SnRef grid)
{
    const SnRef tiles = sn_lower_dim(l, grid);
    if (l->status != SN_OK)
        return;
    const char *name = kernel_name(l);
    if (name == NULL) {
        sn_lower_fail(l, SN_ENOMEM, "no memory for the name of a kernel");
        return;
    }
    l->kb.k->name = name;
    l->status = sn_kernel_end(&l->kb, tiles, l->err);
    if (l->status == SN_OK)
        l->status = sn_kernel_expand(l->kb.k, l->p->arena, l->err);
    if (l->status != SN_OK)
        return;
    SnLowered *out = l->out;
    SnLoweredKernel *kernel =
        (SnLoweredKernel *)grow(l, out->kernel, out->nkernel, &l->kernel_cap, sizeof *kernel);
    if (kernel == NULL)
        return;
    out->kernel = kernel;
    l->now.kernel = l->kb.k;
    l->now.grid = grid;
    kernel[out->nkernel++] = l->now;
}

int sn_lower_buffer(SnLower *l, SnBufKind kind, SnRef value, uint32_t index, bool is_written)
{
    if (l->status != SN_OK)
        return 0;
    if (kind == SN_BUF_VALUE && value == l->over)
        return sn_lower_buffer(l, SN_BUF_RESULT, 0, 0, true);
    SnKernel *k = l->kb.k;
    for (int i = 0; i < k->nbuf; i++) {
        const SnBufUse *u = &l->now.buf[i];
        if (u->kind == kind && u->value == value && u->index == index) {
            k->buf[i].is_written |= is_written;
            return i;
        }
    }
    const int i = sn_kernel_buffer(&l->kb, is_written);
    if (i < 0) {
        sn_lower_fail(l, SN_EUNSUPPORTED, "%s: a kernel would need more than %d buffers",
                      sn_prim(sn_term(l->s, l->root)->op)->name, SN_KERNEL_BUFFERS);
        return 0;
    }
    l->now.buf[i] = (SnBufUse){.kind = kind, .value = value, .index = index};
    return i;
}

int sn_lower_result(SnLower *l, uint32_t leaf)
{
    return sn_lower_buffer(l, SN_BUF_RESULT, 0, leaf, true);
}

uint32_t sn_lower_temp(SnLower *l, SnRef bytes)
{
    SnLowered *out = l->out;
    SnRef *temp = (SnRef *)grow(l, out->temp, out->ntemp, &l->temp_cap, sizeof *temp);
    if (temp == NULL)
        return 0;
    out->temp = temp;
    temp[out->ntemp] = bytes;
    return out->ntemp++;
}

SnRef sn_lower_dim(SnLower *l, SnRef dim)
{
    if (l->status != SN_OK || sn_is_const(l->s, dim, NULL))
        return dim;
    SnKernel *k = l->kb.k;
    for (int i = 0; i < k->ndim; i++) {
        if (l->now.dim[i] == dim) {
            const SnAttr id = SN_INT("id", i);
            return sn_term_make(l->s, SN_OP_KDIM, sn_type_scalar(l->s, SN_I64), sn_attrs_make(l->s, &id, 1),
                                NULL, 0);
        }
    }
    const SnRef r = sn_kernel_dim(&l->kb);
    if (r == 0) {
        sn_lower_fail(l, SN_EUNSUPPORTED, "%s: a kernel would need more than %d dims",
                      sn_prim(sn_term(l->s, l->root)->op)->name, SN_KERNEL_DIMS);
        return 0;
    }
    l->now.dim[k->ndim - 1] = dim;
    return r;
}

static bool is_positive(SnLower *l, SnRef dim)
{
    int64_t lo, hi;
    sn_dim_range(l->s, dim, &lo, &hi);
    return lo >= 1;
}

SnRef sn_lower_divisor(SnLower *l, SnRef dim)
{
    return sn_lower_dim(l, is_positive(l, dim) ? dim : sn_dim_max(l->s, dim, i_const(l, 1)));
}

SnRef sn_lower_count(SnLower *l, int n, const SnRef *dims)
{
    SnRef count = i_const(l, 1);
    for (int i = 0; i < n; i++)
        count = sn_dim_mul(l->s, count, dims[i]);
    return count;
}

SnRef sn_lower_ceil(SnLower *l, SnRef dim, int64_t by)
{
    return sn_dim_div(l->s, sn_dim_add(l->s, dim, i_const(l, by - 1)), i_const(l, by));
}

void sn_lower_store(SnLower *l, int buf, SnDtype dtype, SnRef index, SnRef value, SnRef guard)
{
    if (l->status == SN_OK)
        sn_kernel_store(&l->kb, buf, dtype, index, value, guard);
}

/* ---- iteration spaces ---- */

#define MAX_UNROLL 8 /* groups of columns */

/* How a space is cut into tiles: blocks of rows, and chunks of columns where rows are long. All are dims. */
typedef struct Cut {
    SnRef rows, cols;
    SnRef block, chunk;   /* rows and columns of a tile */
    SnRef nblock, nchunk; /* tiles */
} Cut;

static Cut cut_space(SnLower *l, const SnSpace *at, SnRef work)
{
    SnStore *s = l->s;
    const SnRef one = i_const(l, 1), tile = i_const(l, SN_TILE_COUNT);
    Cut c = {.rows = sn_lower_count(l, at->split, at->dims),
             .cols = sn_lower_count(l, at->ndim - at->split, at->dims + at->split)};
    c.chunk = c.nchunk = one;
    if (at->split < at->ndim) {
        const SnRef lanes = i_const(l, SN_LANES);
        const SnRef step = sn_dim_mul(s, sn_dim_max(s, work, one), lanes);
        c.chunk = sn_dim_mul(s, sn_dim_max(s, sn_dim_div(s, tile, step), one), lanes);
        c.nchunk = sn_dim_div(s, sn_dim_sub(s, sn_dim_add(s, c.cols, c.chunk), one), c.chunk);
    }
    const SnRef row_work = sn_dim_max(s, sn_dim_mul(s, c.cols, work), one);
    c.block = sn_dim_max(s, sn_dim_div(s, tile, row_work), one);
    c.nblock = sn_dim_div(s, sn_dim_sub(s, sn_dim_add(s, c.rows, c.block), one), c.block);
    return c;
}

static bool is_one(SnLower *l, SnRef dim)
{
    int64_t v;
    return sn_is_const_i64(l->s, dim, &v) && v == 1;
}

bool sn_lower_is_empty(SnLower *l, int n, const SnRef *dims)
{
    int64_t v;
    return sn_is_const_i64(l->s, sn_lower_count(l, n, dims), &v) && v == 0;
}

/* Groups of whole width, then the rest under a guard. */
static void emit_columns(SnLower *l, SnSpace *at, const Cut *c, SnRef chunk, SnGroupFn *emit, void *self)
{
    SnRef base = i_const(l, 0), count = sn_lower_dim(l, c->cols);
    const SnRef cols = count;
    if (!is_one(l, c->nchunk)) {
        const SnRef size = sn_lower_dim(l, c->chunk);
        base = i_mul(l, chunk, size);
        count = i_min(l, size, i_sub(l, cols, base));
    }
    const SnRef width = i_const(l, at->width);
    const SnRef ngroup = i_div(l, count, width);
    int64_t n;
    const bool is_known = sn_is_const_i64(l->s, ngroup, &n);
    SnStmt **mark;
    at->limit = 0;
    if (is_known && n == 1) {
        at->first = base;
        emit(l, at, self);
    } else if (!is_known || n > 1) {
        /* Where the column is known the piece is, and the others are not computed. */
        const bool unrolls = is_known && n <= MAX_UNROLL && l->has_pieces;
        const SnRef group = sn_kernel_loop(&l->kb, unrolls ? SN_LOOP_UNROLL : SN_LOOP_SERIAL, ngroup, &mark);
        at->first = i_add(l, base, i_mul(l, group, width));
        emit(l, at, self);
        sn_lower_close(l, mark);
    }
    const SnRef rest = i_mod(l, count, width);
    const bool divides = sn_is_const_i64(l->s, sn_dim_mod(l->s, c->cols, width), &n) && n == 0;
    if (divides || (sn_is_const_i64(l->s, rest, &n) && n == 0))
        return;
    const SnRef any = i_lt(l, i_const(l, 0), rest);
    const bool is_sure = sn_is_const(l->s, any, NULL);
    if (!is_sure)
        sn_kernel_if(&l->kb, any, &mark);
    at->first = i_add(l, base, i_mul(l, ngroup, width));
    at->limit = cols;
    emit(l, at, self);
    if (!is_sure)
        sn_lower_close(l, mark);
}

SnRef sn_lower_space(SnLower *l, SnSpace *at, SnRef work, SnGroupFn *emit, void *self)
{
    if (sn_lower_is_empty(l, at->ndim, at->dims))
        return i_const(l, 0);
    const Cut c = cut_space(l, at, work);
    SnRef block = l->kb.k->tile, chunk = i_const(l, 0);
    if (is_one(l, c.rows)) {
        chunk = block;
    } else if (!is_one(l, c.nchunk)) {
        const SnRef n = sn_lower_divisor(l, c.nchunk);
        chunk = i_mod(l, block, n);
        block = i_div(l, block, n);
    }
    SnStmt **mark = NULL;
    SnRef row = block;
    if (is_one(l, c.rows)) {
        row = i_const(l, 0);
    } else if (!is_one(l, c.block)) {
        SnRef first = i_const(l, 0), count = sn_lower_dim(l, c.rows);
        if (!is_one(l, c.nblock)) {
            const SnRef size = sn_lower_dim(l, c.block);
            first = i_mul(l, block, size);
            count = i_min(l, size, i_sub(l, count, first));
        }
        row = i_add(l, first, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count, &mark));
    }
    sn_lower_part(l, row, at->split, at->dims, at->row);
    emit_columns(l, at, &c, chunk, emit, self);
    if (mark != NULL)
        sn_lower_close(l, mark);
    return sn_dim_mul(l->s, c.nblock, c.nchunk);
}

SnRef sn_lower_lanes(SnLower *l, const SnSpace *at, SnRef *index, SnRef *lane, SnStmt ***mark)
{
    *lane =
        sn_kernel_loop(&l->kb, at->width == 1 ? SN_LOOP_UNROLL : SN_LOOP_LANES, i_const(l, at->width), mark);
    const SnRef col = i_add(l, at->first, *lane);
    memcpy(index, at->row, (size_t)at->split * sizeof *index);
    sn_lower_part(l, col, at->ndim - at->split, at->dims + at->split, index + at->split);
    return at->limit != 0 ? i_lt(l, col, at->limit) : 0;
}

void sn_lower_space_fit(SnLower *l, SnSpace *at)
{
    int64_t n;
    while (at->split > 0 &&
           sn_is_const_i64(l->s, sn_lower_count(l, at->ndim - at->split, at->dims + at->split), &n) &&
           n < SN_LANES / 2)
        at->split--;
}

/* ---- computed and stored ---- */

typedef struct Map {
    SnRef value;
    const SnType *to;
    int buf;
    const SnRef *offset;
    SnRef stream;
} Map;

/* Half of the last cache or more: by the time it is read, little of it would be there. */
static SnRef is_streamed(SnLower *l, const SnType *to)
{
    const int64_t most = l->p->target->l3_bytes / 2;
    const SnRef size = i_const(l, (int64_t)sn_dtype_size(to->dtype));
    const SnRef bytes = sn_dim_mul(l->s, sn_lower_count(l, to->ndim, to->dims), size);
    int64_t lo, hi;
    sn_dim_range(l->s, bytes, &lo, &hi);
    if (most == 0 || hi < most)
        return 0;
    return i_ge(l, sn_lower_dim(l, bytes), i_const(l, most));
}

static void emit_map(SnLower *l, const SnSpace *at, void *self)
{
    const Map *m = (const Map *)self;
    SnRef index[SN_MAX_RANK], lane;
    SnStmt **mark;
    const SnRef guard = sn_lower_lanes(l, at, index, &lane, &mark);
    const SnRef value = sn_lower_scalar(l, m->value, index, guard);
    for (int i = 0; m->offset != NULL && i < at->ndim; i++)
        index[i] = i_add(l, index[i], sn_lower_dim(l, m->offset[i]));
    const SnRef to = sn_lower_join(l, at->ndim, m->to->dims, index);
    if (l->status == SN_OK)
        sn_kernel_stream(&l->kb, m->buf, m->to->dtype, to, value, guard, guard == 0 ? m->stream : 0);
    sn_lower_close(l, mark);
}

void sn_lower_map(SnLower *l, const char *name, SnRef r, uint32_t leaf, const SnType *to, const SnRef *offset)
{
    const SnType *type = sn_type_of(l->s, r);
    sn_lower_begin(l, name);
    SnSpace at = {.ndim = type->ndim, .split = sn_lower_read(l, r), .width = SN_LANES};
    memcpy(at.dims, type->dims, sizeof at.dims);
    for (int i = 0; i < at.ndim; i++) { /* rows of the result that are not rows of r */
        int64_t v;
        const bool is_moved = offset != NULL && !(sn_is_const_i64(l->s, offset[i], &v) && v == 0);
        if ((is_moved || to->dims[i] != type->dims[i]) && at.split <= i)
            at.split = i + 1 < at.ndim ? i + 1 : i;
    }
    sn_lower_space_fit(l, &at);
    Map m = {.value = r,
             .to = to,
             .buf = sn_lower_result(l, leaf),
             .offset = offset,
             .stream = l->over != 0 ? 0 : is_streamed(l, to)};
    sn_lower_end(l, sn_lower_space(l, &at, i_const(l, 1), emit_map, &m));
}

void sn_lower_map_row(SnLower *l, SnSpace *at, SnRef r, int buf, bool is_read)
{
    Map m = {.value = r, .to = sn_type_of(l->s, r), .buf = buf};
    m.stream = is_read ? 0 : is_streamed(l, m.to);
    const Cut c = {.cols = sn_lower_count(l, at->ndim - at->split, at->dims + at->split),
                   .nchunk = i_const(l, 1)};
    emit_columns(l, at, &c, i_const(l, 0), emit_map, &m);
}

static void lower_value(SnLower *l, SnRef r)
{
    sn_lower_map(l, "map", r, 0, sn_type_of(l->s, r), NULL);
}

/* The same device: the operand, stored. */
static void lower_copy(SnLower *l, SnRef r)
{
    sn_lower_map(l, "copy", sn_term(l->s, r)->arg[0], 0, sn_type_of(l->s, r), NULL);
}

/* Each operand is a copy of its own: no element decides where it comes from. */
static void lower_concat(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    const SnType *to = sn_type_of(l->s, r);
    const int64_t axis = sn_attr_int(l->s, r, "axis", 0);
    SnRef offset[SN_MAX_RANK];
    for (int i = 0; i < to->ndim; i++)
        offset[i] = i_const(l, 0);
    for (int i = 0; i < t->narg; i++) {
        sn_lower_map(l, "concat", t->arg[i], 0, to, offset);
        offset[axis] = sn_dim_add(l->s, offset[axis], sn_type_of(l->s, t->arg[i])->dims[axis]);
    }
}

/* ---- roots ---- */

static SnLowerFn *root_lowering(uint16_t op)
{
    switch (op) {
    case SN_OP_REDUCE:
        return sn_lower_reduce;
    case SN_OP_SCAN:
        return sn_lower_scan;
    case SN_OP_ARGMAX:
        return sn_lower_argmax;
    case SN_OP_CONTRACT:
        return sn_lower_contract;
    case SN_OP_SCATTER:
        return sn_lower_scatter;
    case SN_OP_UPDATE:
        return sn_lower_update;
    case SN_OP_SORT:
        return sn_lower_sort;
    case SN_OP_COMPACT:
        return sn_lower_compact;
    case SN_OP_COPY:
        return lower_copy;
    case SN_OP_CONCAT:
        return lower_concat;
    default:
        return lower_value;
    }
}

SnStatus sn_lower(SnPass *p, SnRef root, const bool *is_stored, SnLowered *out, SnError *err)
{
    return sn_lower_like(p, root, is_stored, 0, NULL, out, err);
}

/* A map that takes of its result what lies where it stores, in the statement that does, writes each element
 * once it has read it. */
static SnStatus check_over(SnLower *l)
{
    const SnLoweredKernel *k = l->out->kernel;
    int i = 0;
    while (l->out->nkernel == 1 && i < k->kernel->nbuf && k->buf[i].kind != SN_BUF_RESULT)
        i++;
    return l->out->nkernel == 1 && i < k->kernel->nbuf
               ? sn_kernel_overwrites(k->kernel, i, l->p->arena, &l->out->is_over, l->err)
               : SN_OK;
}

SnStatus sn_lower_like(SnPass *p, SnRef root, const bool *is_stored, SnRef over, const SnLowered *like,
                       SnLowered *out, SnError *err)
{
    SnLower *l = (SnLower *)sn_arena_alloc(p->arena, sizeof *l);
    SN_CHECK(l != NULL, err, SN_ENOMEM, "no memory for kernels");
    memset(out, 0, sizeof *out);
    out->in_place = -1;
    *l = (SnLower){.p = p,
                   .s = p->s,
                   .root = root,
                   .is_stored = is_stored,
                   .out = out,
                   .over = over,
                   .like = like,
                   .err = err};
    sn_map_init(&l->memo, sn_allocator(p->ctx));
    sn_map_init(&l->split, sn_allocator(p->ctx));
    const SnClaim *claim = sn_claim_of(p, root);
    SnLowerFn *const fn = claim != NULL ? claim->lower : root_lowering(sn_term(p->s, root)->op);
    if (!sn_lower_tail(l, root) && !sn_lower_row(l, root) && !sn_lower_panels(l, root)) {
        fn(l, root);
        if (l->status == SN_OK && over != 0 && fn == lower_value)
            l->status = check_over(l);
    }
    sn_map_clear(&l->memo);
    sn_map_clear(&l->split);
    if (sn_store_failed(p->s)) /* whatever it made of that */
        return sn_fail(err, SN_ENOMEM, "no memory for the terms of a kernel");
    return l->status;
}
