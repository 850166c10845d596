/* instance.c -- runs the steps of a program.
 *
 * The state of a run is the step, the next tile of it, and the registers: so a run may stop between any two
 * ranges of tiles and go on later with equal bits. Nothing here allocates once a shape was planned. */
#include "runtime/instance.h"

#define STATE_ALIGN 64u

const SnSlotRow *sn_instance_slot(const SnInstance *s, SnRange r, const char *name)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    for (uint32_t i = r.first; i < r.first + r.count; i++)
        if (strcmp(sn_instance_text(s, slot[i].name), name) == 0)
            return &slot[i];
    return NULL;
}

/* ---- life ---- */

size_t sn_instance_table_size(const SnImage *m, size_t *views)
{
    const SnHostRow *host = SN_ROWS(m, SnHostRow, host);
    size_t most = 1;
    for (uint32_t i = 0; i < m->host.count; i++)
        if (host[i].nin + host[i].nout > most)
            most = host[i].nin + host[i].nout;
    const size_t nslot = m->slot.count + 1u, nsym = m->symbol.count + 1u;
    if (views)
        *views = most;
    return (nslot + most) * sizeof(SnView) + nslot * (sizeof(void *) + sizeof(uint64_t) + 1) +
           m->step.count * sizeof(uint32_t) + nsym;
}

static SnStatus make_tables(SnInstance *s, SnError *err)
{
    size_t views = 0;
    const size_t nslot = s->image->slot.count + 1u;
    s->table_size = sn_instance_table_size(s->image, &views);
    uint8_t *at = sn_alloc_zero(&s->ctx->memory, s->table_size, _Alignof(max_align_t));
    SN_CHECK(at, err, SN_ENOMEM, "instance: no memory for tables of %llu bytes",
             (unsigned long long)s->table_size);
    s->bound = (SnView *)(void *)at;
    s->host_view = s->bound + nslot;
    s->stage = (void **)(void *)(s->host_view + views);
    s->stage_size = (uint64_t *)(void *)(s->stage + nslot);
    s->tile_cost = (uint32_t *)(void *)(s->stage_size + nslot);
    s->is_bound = (bool *)(void *)(s->tile_cost + s->image->step.count);
    s->symbol_set = s->is_bound + nslot;
    return SN_OK;
}

uint64_t sn_instance_memo_size(const SnImage *m)
{
    const SnHostRow *host = SN_ROWS(m, SnHostRow, host);
    return m->host.count ? host[m->host.count - 1].memo_at + host[m->host.count - 1].memo : 0;
}

static SnStatus make_memo(SnInstance *s, SnError *err)
{
    s->memo_size = sn_instance_memo_size(s->image);
    if (s->memo_size)
        s->memo = sn_alloc_zero(&s->ctx->memory, s->memo_size, STATE_ALIGN);
    SN_CHECK(s->memo || !s->memo_size, err, SN_ENOMEM, "instance: no memory for %llu bytes that steps keep",
             (unsigned long long)s->memo_size);
    return SN_OK;
}

static SnStatus bind_create_symbols(SnInstance *s, const SnInstanceDesc *desc, SnError *err)
{
    const SnSymbolRow *row = SN_ROWS(s->image, SnSymbolRow, symbol);
    const SnRange r = s->image->create_symbol;
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const char *name = sn_instance_text(s, row[i].name);
        bool found = false;
        for (uint32_t d = 0; desc && d < desc->ndim && d < SN_COUNT(desc->dim); d++) {
            if (strcmp(desc->dim[d].symbol, name) != 0)
                continue;
            const int64_t v = desc->dim[d].value;
            SN_CHECK(v >= row[i].lo && v <= row[i].hi, err, SN_ESHAPE,
                     "instance: %s is %lld, allowed %lld to %lld", name, (long long)v, (long long)row[i].lo,
                     (long long)row[i].hi);
            sn_plan_set(&s->plan, row[i].reg, v, v);
            found = true;
        }
        SN_CHECK(found, err, SN_EINVAL, "instance: %s must be given when the instance is made", name);
    }
    return SN_OK;
}

static SnStatus place_carries(SnInstance *s, SnError *err)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnRange r = s->image->carry;
    SN_TRY(sn_plan_carries(&s->plan, &s->state_size, err));
    s->state = sn_alloc(&s->ctx->memory, s->state_size, STATE_ALIGN);
    SN_CHECK(s->state, err, SN_ENOMEM, "instance: no memory for state of %llu bytes",
             (unsigned long long)s->state_size);
    for (uint32_t i = r.first; i < r.first + r.count; i++)
        s->plan.buffer[slot[i].buffer].at = s->state + s->plan.buffer[slot[i].buffer].offset;
    return SN_OK;
}

/* Buffers that never move: parameters, constants, objects. */
static void place_constants(SnInstance *s)
{
    const SnImage *m = s->image;
    const SnBufferRow *row = SN_ROWS(m, SnBufferRow, buffer);
    for (uint32_t i = 0; i < m->buffer.count; i++) {
        SnPlanBuffer *b = &s->plan.buffer[i];
        if (row[i].kind == SN_BUFFER_PARAM) {
            b->at = (void *)(uintptr_t)s->program->param[row[i].index];
            b->size = SN_ROWS(m, SnParamRow, param)[row[i].index].size;
        } else if (row[i].kind == SN_BUFFER_DATA) {
            b->at = (void *)((uintptr_t)m + row[i].index);
            b->size = row[i].bytes;
        } else if (row[i].kind == SN_BUFFER_OBJECT) {
            const SnObjectRow *o = SN_ROWS(m, SnObjectRow, object) + row[i].index;
            b->at = (void *)((uintptr_t)m + o->offset);
            b->size = o->size;
        }
    }
}

SnStatus sn_instance_create(SnProgram *p, const SnInstanceDesc *desc, SnInstance **out, SnError *err)
{
    SnInstance *s = sn_alloc_zero(&p->ctx->memory, sizeof *s, _Alignof(max_align_t));
    SN_CHECK(s, err, SN_ENOMEM, "instance: no memory");
    s->program = sn_program_retain(p);
    s->ctx = p->ctx;
    s->image = p->image;
    s->base = s->entry = sn_image_entry(p->image, NULL);
    SnStatus st = sn_plan_init(&s->plan, p->ctx, p->image, err);
    if (st == SN_OK)
        st = make_tables(s, err);
    if (st == SN_OK)
        st = make_memo(s, err);
    if (st == SN_OK)
        st = bind_create_symbols(s, desc, err);
    if (st == SN_OK)
        st = sn_plan_point(&s->plan, p->image->create_point, err);
    if (st == SN_OK)
        st = place_carries(s, err);
    if (st == SN_OK) {
        place_constants(s);
        st = sn_reset(s, err);
    }
    if (st == SN_OK)
        *out = s;
    else
        sn_instance_destroy(s);
    return st;
}

void sn_instance_destroy(SnInstance *s)
{
    if (!s)
        return;
    const SnAllocator *a = &s->ctx->memory;
    for (uint32_t i = 0; s->bound && i < s->image->slot.count; i++)
        sn_free(a, s->stage[i], s->stage_size[i], STATE_ALIGN);
    sn_free(a, s->bound, s->table_size, _Alignof(max_align_t));
    sn_free(a, s->state, s->state_size, STATE_ALIGN);
    sn_free(a, s->memo, s->memo_size, STATE_ALIGN);
    sn_vec_clear(a, &s->reader);
    sn_plan_clear(&s->plan);
    sn_program_release(s->program);
    sn_free(a, s, sizeof *s, _Alignof(max_align_t));
}

SnStatus sn_entry(SnInstance *s, const char *entry, SnError *err)
{
    const SnEntryRow *e = sn_image_entry(s->image, entry);
    SN_CHECK(e, err, SN_EINVAL, "no entry %s", entry);
    SN_CHECK(!s->running || e == s->base, err, SN_EINVAL, "entry %s: a run of %s is not done", entry,
             sn_instance_text(s, s->base->name));
    if (e == s->base)
        return SN_OK;
    s->has_result = false;
    s->base = s->entry = e;
    return SN_OK;
}

/* ---- inputs ---- */

static bool is_dense(const SnView *v)
{
    int64_t stride = 1, any = 0;
    for (int32_t i = 0; i < v->ndim; i++)
        any |= v->strides[i];
    for (int32_t i = v->ndim; any != 0 && i-- > 0;) {
        if (v->dims[i] > 1 && v->strides[i] != stride)
            return false;
        stride *= v->dims[i];
    }
    return true;
}

static SnStatus check_list(const SnView *v, const char *name, SnError *err)
{
    int64_t n = 1;
    for (int32_t i = 0; i < v->ndim; i++)
        n *= v->dims[i];
    SN_CHECK(v->child_count >= 0 && (v->data || v->child_count == 0), err, SN_EINVAL,
             "input %s: list has no data", name);
    for (int64_t i = 0; i < n; i++)
        SN_CHECK(v->start[i] >= 0 && v->len[i] >= 0 && v->start[i] <= v->child_count &&
                     v->len[i] <= v->child_count - v->start[i],
                 err, SN_EINVAL, "input %s: element %lld is [%lld, +%lld) of %lld", name, (long long)i,
                 (long long)v->start[i], (long long)v->len[i], (long long)v->child_count);
    return SN_OK;
}

SnStatus sn_bind(SnInstance *s, const char *input, const SnView *view, SnError *err)
{
    SN_CHECK(!s->running, err, SN_EINVAL, "input %s: a run is not done", input);
    const SnSlotRow *slot = sn_instance_slot(s, s->base->input, input);
    SN_CHECK(slot, err, SN_EINVAL, "no input %s in entry %s", input, sn_instance_text(s, s->base->name));
    SN_CHECK(view->dtype == (SnDtype)slot->dtype, err, SN_ESHAPE, "input %s: expected %s, found %s", input,
             sn_dtype((SnDtype)slot->dtype)->name, sn_dtype(view->dtype)->name);
    SN_CHECK(view->ndim == (int32_t)slot->ndim, err, SN_ESHAPE, "input %s: expected %u dims, found %d", input,
             slot->ndim, view->ndim);
    SN_CHECK((view->start != NULL) == (slot->is_list != 0), err, SN_ESHAPE, "input %s: expected a %s", input,
             slot->is_list ? "list" : "tensor");
    int64_t count = (int64_t)sn_dtype_size(view->dtype);
    for (int32_t i = 0; i < view->ndim; i++)
        SN_CHECK(view->dims[i] >= 0 && sn_mul_i64(count, view->dims[i], &count), err, SN_ESHAPE,
                 "input %s: dim %d is %lld", input, i, (long long)view->dims[i]);
    SN_CHECK(view->data || count == 0 || slot->is_list, err, SN_EINVAL, "input %s: no data", input);
    SN_CHECK((uintptr_t)view->data % sn_dtype_size(view->dtype) == 0, err, SN_EINVAL,
             "input %s: data is not aligned to %zu bytes", input, sn_dtype_size(view->dtype));
    if (slot->is_list)
        SN_TRY(check_list(view, input, err));
    const uint32_t i = (uint32_t)(slot - SN_ROWS(s->image, SnSlotRow, slot));
    s->bound[i] = *view;
    s->is_bound[i] = true;
    s->has_result = false;
    return SN_OK;
}

/* Copies a strided view row by row; the stage grows only when a larger view comes. */
static SnStatus pack_view(SnInstance *s, uint32_t i, const char *name, void **out, SnError *err)
{
    const SnView *v = &s->bound[i];
    const size_t elem = sn_dtype_size(v->dtype);
    int64_t count = 1, index[SN_MAX_RANK] = {0};
    for (int32_t d = 0; d < v->ndim; d++)
        count *= v->dims[d];
    const uint64_t size = (uint64_t)count * elem;
    if (size > s->stage_size[i]) {
        sn_free(&s->ctx->memory, s->stage[i], s->stage_size[i], STATE_ALIGN);
        s->stage[i] = sn_alloc(&s->ctx->memory, size, STATE_ALIGN);
        s->stage_size[i] = s->stage[i] ? size : 0;
        SN_CHECK(s->stage[i], err, SN_ENOMEM, "input %s: no memory for a dense copy of %llu bytes", name,
                 (unsigned long long)size);
    }
    for (int64_t n = 0; n < count; n++) {
        int64_t at = 0;
        for (int32_t d = 0; d < v->ndim; d++)
            at += index[d] * v->strides[d];
        memcpy((uint8_t *)s->stage[i] + (size_t)n * elem, (const uint8_t *)v->data + at * (int64_t)elem,
               elem);
        for (int32_t d = v->ndim; d-- > 0 && ++index[d] == v->dims[d];)
            index[d] = 0;
    }
    *out = s->stage[i];
    return SN_OK;
}

static const SnSymbolRow *symbol_of(const SnInstance *s, uint32_t reg, bool **is_set)
{
    const SnRange r = s->entry->symbol;
    const SnSymbolRow *row = SN_ROWS(s->image, SnSymbolRow, symbol);
    for (uint32_t i = r.first; i < r.first + r.count; i++)
        if (row[i].reg == reg) {
            *is_set = &s->symbol_set[i];
            return &row[i];
        }
    return NULL;
}

/* A dim of an input is a symbol that it binds, or is checked against its register once that is known. */
static SnStatus bind_dim(SnInstance *s, uint32_t reg, int64_t value, const char *input, SnError *err)
{
    bool *is_set = NULL;
    const SnSymbolRow *y = symbol_of(s, reg, &is_set);
    if (!y || *is_set)
        return SN_OK;
    SN_CHECK(value >= y->lo && value <= y->hi, err, SN_ESHAPE, "input %s: %s is %lld, allowed %lld to %lld",
             input, sn_instance_text(s, y->name), (long long)value, (long long)y->lo, (long long)y->hi);
    sn_plan_set(&s->plan, reg, value, y->hi);
    *is_set = true;
    return SN_OK;
}

static SnStatus bind_symbols(SnInstance *s, SnError *err)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnSymbolRow *row = SN_ROWS(s->image, SnSymbolRow, symbol);
    const SnRange r = s->entry->input, y = s->entry->symbol;
    for (uint32_t i = y.first; i < y.first + y.count; i++)
        s->symbol_set[i] = false;
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const char *name = sn_instance_text(s, slot[i].name);
        SN_CHECK(s->is_bound[i] || slot[i].is_unused, err, SN_EINVAL, "input %s is not bound", name);
        if (!s->is_bound[i])
            continue;
        for (uint32_t d = 0; d < slot[i].ndim; d++)
            SN_TRY(bind_dim(s, slot[i].dim_reg[d], s->bound[i].dims[d], name, err));
        if (slot[i].is_list)
            SN_TRY(bind_dim(s, slot[i].child_reg, s->bound[i].child_count, name, err));
    }
    for (uint32_t i = y.first; i < y.first + y.count; i++) {
        SN_CHECK(s->symbol_set[i] || row[i].is_optional, err, SN_EINVAL, "no input gives the dim %s",
                 sn_instance_text(s, row[i].name));
        if (!s->symbol_set[i])
            sn_plan_set(&s->plan, row[i].reg, row[i].lo, row[i].hi);
    }
    return SN_OK;
}

static void set_buffer(SnInstance *s, uint32_t buffer, void *at, uint64_t size)
{
    s->plan.buffer[buffer].at = at;
    s->plan.buffer[buffer].size = size;
}

static SnStatus bind_inputs(SnInstance *s, SnError *err)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnRange r = s->entry->input;
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const SnView *v = &s->bound[i];
        uint64_t count = 1;
        if (!s->is_bound[i])
            continue;
        for (uint32_t d = 0; d < slot[i].ndim; d++) {
            SN_CHECK(s->plan.reg[slot[i].dim_reg[d]] == v->dims[d], err, SN_ESHAPE,
                     "input %s: dim %u is %lld, expected %lld", sn_instance_text(s, slot[i].name), d,
                     (long long)v->dims[d], (long long)s->plan.reg[slot[i].dim_reg[d]]);
            count *= (uint64_t)v->dims[d];
        }
        const uint64_t elem = sn_dtype_size(v->dtype);
        if (slot[i].is_unused)
            continue;
        if (slot[i].is_list) {
            set_buffer(s, slot[i].start, (void *)(uintptr_t)v->start, count * sizeof(int64_t));
            set_buffer(s, slot[i].len, (void *)(uintptr_t)v->len, count * sizeof(int64_t));
            set_buffer(s, slot[i].buffer, v->data, (uint64_t)v->child_count * elem);
            continue;
        }
        void *at = v->data;
        if (!is_dense(v))
            SN_TRY(pack_view(s, i, sn_instance_text(s, slot[i].name), &at, err));
        set_buffer(s, slot[i].buffer, at, count * elem);
    }
    return SN_OK;
}

/* ---- runs ---- */

static int64_t value_bound(const void *self, const SnEntryRow *base, uint32_t symbol)
{
    const SnInstance *s = self;
    const SnSymbolRow *row = SN_ROWS(s->image, SnSymbolRow, symbol);
    for (uint32_t i = base->symbol.first; i < base->symbol.first + base->symbol.count; i++)
        if (row[i].name == symbol && s->symbol_set[i])
            return s->plan.reg[row[i].reg];
    return -1;
}

/* Readers of streams have asked for rows of the entry itself. */
static SnStatus choose_entry(SnInstance *s, SnError *err)
{
    s->entry = s->base;
    SN_TRY(bind_symbols(s, err));
    const SnEntryRow *e = s->reader.n ? s->base : sn_variant_of(s->image, s->base, value_bound, s);
    if (e == s->base)
        return SN_OK;
    for (uint32_t i = 0; i < e->input.count; i++) {
        s->bound[e->input.first + i] = s->bound[s->base->input.first + i];
        s->is_bound[e->input.first + i] = s->is_bound[s->base->input.first + i];
    }
    s->entry = e;
    return bind_symbols(s, err);
}

static SnStatus begin_run(SnInstance *s, SnError *err)
{
    s->has_result = false;
    SN_TRY(choose_entry(s, err));
    SN_TRY(sn_plan_point(&s->plan, s->entry->point, err));
    SN_TRY(bind_inputs(s, err));
    s->segment = s->entry->segment.first;
    if (s->entry->segment.count)
        SN_TRY(sn_plan_segment(&s->plan, s->segment, err));
    s->pc = s->entry->step.first;
    s->tile = 0;
    sn_instance_restart_streams(s);
    atomic_store(&s->stop, false);
    s->running = true;
    return SN_OK;
}

SnStatus sn_run_some(SnInstance *s, uint64_t budget_ns, bool *done, SnError *err)
{
    bool all = false;
    SnStatus st = SN_OK;
    s->deadline = budget_ns ? sn_now_ns() + budget_ns : 0;
    if (!s->running) {
        atomic_store(&s->cancel, false);
        st = begin_run(s, err);
    }
    if (st == SN_OK)
        st = sn_instance_steps(s, &all, err);
    if (st != SN_OK || all)
        s->running = false;
    s->has_result = st == SN_OK && all;
    if (st == SN_OK)
        *done = all;
    return st;
}

SnStatus sn_run(SnInstance *s, SnError *err)
{
    bool done = false;
    return sn_run_some(s, 0, &done, err);
}

void sn_cancel(SnInstance *s)
{
    atomic_store(&s->cancel, true);
}

void sn_stop(SnInstance *s)
{
    atomic_store(&s->stop, true);
}

/* ---- results ---- */

void sn_instance_view(const SnInstance *s, const SnSlotRow *slot, SnView *out)
{
    *out = (SnView){
        .data = s->plan.buffer[slot->buffer].at, .dtype = (SnDtype)slot->dtype, .ndim = (int32_t)slot->ndim};
    for (uint32_t i = 0; i < slot->ndim; i++)
        out->dims[i] = s->plan.reg[slot->dim_reg[i]];
    if (slot->is_list) {
        out->start = s->plan.buffer[slot->start].at;
        out->len = s->plan.buffer[slot->len].at;
        out->child_count = s->plan.reg[slot->child_reg];
    }
}

SnStatus sn_result(SnInstance *s, const char *output, SnView *out, SnError *err)
{
    const SnSlotRow *slot = sn_instance_slot(s, s->entry->output, output);
    SN_CHECK(slot, err, SN_EINVAL, "no output %s in entry %s", output, sn_instance_text(s, s->base->name));
    SN_CHECK(s->has_result, err, SN_EINVAL, "output %s: no run of entry %s has ended since the last bind",
             output, sn_instance_text(s, s->base->name));
    sn_instance_view(s, slot, out);
    return SN_OK;
}

/* ---- state ---- */

SnStatus sn_reset(SnInstance *s, SnError *err)
{
    (void)err;
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnRange r = s->image->carry;
    sn_zero(&s->ctx->memory, s->state, (size_t)s->state_size);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const SnPlanBuffer *b = &s->plan.buffer[slot[i].buffer];
        for (uint64_t at = 0; slot[i].init != SN_NONE && at + slot[i].init_size <= b->size;
             at += slot[i].init_size)
            memcpy((uint8_t *)b->at + at, (const uint8_t *)s->image + slot[i].init, slot[i].init_size);
    }
    s->running = s->has_result = false;
    return SN_OK;
}

/* What two states must share to be exchanged: sizes and offsets in declared order. */
static uint64_t layout_hash(const SnInstance *s)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnRange r = s->image->carry;
    uint64_t h = sn_hash64(&s->state_size, sizeof s->state_size, SN_ABI);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const char *name = sn_instance_text(s, slot[i].name);
        const uint64_t at[3] = {slot[i].dtype, s->plan.buffer[slot[i].buffer].offset,
                                s->plan.buffer[slot[i].buffer].size};
        h = sn_hash64(at, sizeof at, sn_hash64(name, strlen(name), h));
    }
    return h;
}

SnStatus sn_state_save(SnInstance *s, void *to, size_t *size, SnError *err)
{
    const size_t need = (size_t)s->state_size + sizeof(uint64_t);
    const size_t have = *size;
    SN_CHECK(!s->running, err, SN_EINVAL, "state: a run is not done");
    *size = need;
    if (!to)
        return SN_OK;
    SN_CHECK(have >= need, err, SN_EINVAL, "state: needs %zu bytes, given %zu", need, have);
    const uint64_t h = layout_hash(s);
    memcpy(to, &h, sizeof h);
    memcpy((uint8_t *)to + sizeof h, s->state, (size_t)s->state_size);
    return SN_OK;
}

SnStatus sn_state_load(SnInstance *s, const void *from, size_t size, SnError *err)
{
    uint64_t h = 0;
    SN_CHECK(!s->running, err, SN_EINVAL, "state: a run is not done");
    SN_CHECK(size == (size_t)s->state_size + sizeof h, err, SN_EFORMAT, "state: %zu bytes, expected %zu",
             size, (size_t)s->state_size + sizeof h);
    memcpy(&h, from, sizeof h);
    SN_CHECK(h == layout_hash(s), err, SN_EFORMAT, "state: was saved by another layout");
    memcpy(s->state, (const uint8_t *)from + sizeof h, (size_t)s->state_size);
    s->has_result = false;
    return SN_OK;
}

void sn_instance_memory(const SnInstance *s, SnMemoryUse *out)
{
    *out = (SnMemoryUse){.weight_bytes = s->program->weight_bytes,
                         .packed_bytes = s->program->packed_bytes,
                         .state_bytes = s->state_size,
                         .table_bytes = s->table_size + s->memo_size + s->plan.table_bytes + sizeof *s,
                         .steps = s->entry->step.count};
    for (uint32_t i = 0; i < s->image->nsegment; i++)
        out->scratch_bytes += s->plan.block[i].size;
}

bool sn_instance_buffer(const SnInstance *s, uint32_t i, SnPlannedBuffer *out)
{
    const SnBufferRow *row = SN_ROWS(s->image, SnBufferRow, buffer);
    const SnRange step = s->entry->step;
    for (uint32_t k = 0; k < s->image->buffer.count; k++) {
        const SnPlanBuffer *b = &s->plan.buffer[k];
        const bool is_here = row[k].segment - s->entry->segment.first < s->entry->segment.count;
        if (row[k].kind != SN_BUFFER_SCRATCH || !b->at || !is_here || row[k].first == SN_NONE || i-- > 0)
            continue;
        /* Results live on when the last step is done. */
        const uint32_t last = step.first + step.count - 1;
        *out = (SnPlannedBuffer){b->offset, b->planned, row[k].segment, row[k].first - step.first,
                                 (row[k].last < last ? row[k].last : last) - step.first};
        return true;
    }
    return false;
}
