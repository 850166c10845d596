/* plan.c -- evaluates dim programs and packs buffers by lifetime, largest first. */
#include "runtime/plan.h"

#include "runtime/context.h"

#define BLOCK_ALIGN 64u

SnStatus sn_plan_init(SnPlan *p, SnContext *ctx, const SnImage *image, SnError *err)
{
    const size_t nreg = image->nreg + 1u, nbuf = image->buffer.count + 1u, nseg = image->nsegment + 1u;
    *p = (SnPlan){.memory = &ctx->memory, .image = image};
    p->table_bytes = nreg * 2 * sizeof *p->reg + nbuf * (sizeof *p->buffer + 2 * sizeof *p->order) +
                     nseg * sizeof *p->block;
    uint8_t *at = sn_alloc_zero(p->memory, p->table_bytes, BLOCK_ALIGN);
    SN_CHECK(at, err, SN_ENOMEM, "instance: no memory for tables of %llu bytes",
             (unsigned long long)p->table_bytes);
    p->buffer = (SnPlanBuffer *)(void *)at;
    at += nbuf * sizeof *p->buffer;
    p->reg = (int64_t *)(void *)at;
    p->bucket = p->reg + nreg;
    at += nreg * 2 * sizeof *p->reg;
    p->block = (void *)at;
    at += nseg * sizeof *p->block;
    p->order = (uint32_t *)(void *)at;
    return SN_OK;
}

void sn_plan_clear(SnPlan *p)
{
    if (!p->buffer)
        return;
    for (uint32_t i = 0; i < p->image->nsegment; i++)
        sn_free(p->memory, p->block[i].at, p->block[i].size, BLOCK_ALIGN);
    sn_free(p->memory, p->buffer, p->table_bytes, BLOCK_ALIGN);
    *p = (SnPlan){0};
}

/* ---- dims ---- */

void sn_plan_set(SnPlan *p, uint32_t reg, int64_t value, int64_t limit)
{
    int64_t up = 1;
    while (up < value && up <= INT64_MAX / 2)
        up *= 2;
    p->reg[reg] = value;
    p->bucket[reg] = value <= 0 ? value : up < limit ? up : limit < value ? value : limit;
}

static bool apply(uint32_t op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case SN_I_ADD:
        return sn_add_i64(a, b, out);
    case SN_I_SUB:
        return b != INT64_MIN && sn_add_i64(a, -b, out);
    case SN_I_MUL:
        return sn_mul_i64(a, b, out);
    case SN_I_IDIV:
        *out = b == 0 || (b == -1 && a == INT64_MIN) ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
        return true;
    case SN_I_MOD:
        *out = b == 0 ? a : b == -1 ? 0 : (a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0));
        return true;
    case SN_I_MIN:
        *out = a < b ? a : b;
        return true;
    default:
        SN_ASSERT(op == SN_I_MAX);
        *out = a < b ? b : a;
        return true;
    }
}

SnStatus sn_plan_point(SnPlan *p, uint32_t point, SnError *err)
{
    const SnPoint *pt = SN_ROWS(p->image, SnPoint, point) + point;
    const SnInstr *instr = SN_ROWS(p->image, SnInstr, instr) + pt->instr.first;
    for (uint32_t i = 0; i < pt->instr.count; i++) {
        const SnInstr *n = &instr[i];
        if (n->op == SN_I_CONST) {
            p->reg[n->dst] = p->bucket[n->dst] = n->imm;
            continue;
        }
        SN_CHECK(apply(n->op, p->reg[n->a], p->reg[n->b], &p->reg[n->dst]), err, SN_ESHAPE,
                 "a size overflows: %lld and %lld", (long long)p->reg[n->a], (long long)p->reg[n->b]);
        if (!apply(n->op, p->bucket[n->a], p->bucket[n->b], &p->bucket[n->dst]))
            p->bucket[n->dst] = p->reg[n->dst];
    }
    const SnCheckRow *check = SN_ROWS(p->image, SnCheckRow, check) + pt->check.first;
    for (uint32_t i = 0; i < pt->check.count; i++)
        SN_CHECK(p->reg[check[i].a] == p->reg[check[i].b], err, SN_ESHAPE, "%s: %lld and %lld differ",
                 sn_image_string(p->image, check[i].what), (long long)p->reg[check[i].a],
                 (long long)p->reg[check[i].b]);
    return SN_OK;
}

/* ---- memory ---- */

static bool lives_together(const SnBufferRow *a, const SnBufferRow *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Heap sort by planned size, largest first; ties by index, so that layouts repeat. */
static bool goes_before(const SnPlan *p, uint32_t a, uint32_t b)
{
    const uint64_t x = p->buffer[a].planned, y = p->buffer[b].planned;
    return x > y || (x == y && a < b);
}

static void sort_buffers(const SnPlan *p, uint32_t *v, uint32_t n)
{
    for (uint32_t built = n / 2, end = n; end > 1;) {
        uint32_t root;
        if (built > 0) {
            root = --built;
        } else {
            const uint32_t t = v[--end];
            v[end] = v[0];
            v[0] = t;
            root = 0;
        }
        for (uint32_t child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && goes_before(p, v[child], v[child + 1]))
                child++;
            if (!goes_before(p, v[root], v[child]))
                break;
            const uint32_t t = v[root];
            v[root] = v[child];
            v[child] = t;
        }
    }
}

static uint64_t end_of(const SnPlanBuffer *b)
{
    return b->offset > UINT64_MAX - b->planned ? UINT64_MAX : b->offset + b->planned;
}

/* The lowest gap between the placed buffers that live at the same time; placed is sorted by offset. */
static uint64_t find_offset(const SnPlan *p, const SnBufferRow *row, uint32_t b, const uint32_t *placed,
                            uint32_t n)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        const SnPlanBuffer *o = &p->buffer[placed[i]];
        if (!lives_together(&row[b], &row[placed[i]]))
            continue;
        if (o->offset >= at && o->offset - at >= p->buffer[b].planned)
            break;
        const uint64_t end = end_of(o);
        at = end > at ? end : at;
    }
    return at;
}

/* Lays out the n buffers in p->order; returns the size of the block. */
static uint64_t lay_out(SnPlan *p, uint32_t n)
{
    const SnBufferRow *row = SN_ROWS(p->image, SnBufferRow, buffer);
    uint32_t *placed = p->order + p->image->buffer.count + 1;
    uint64_t size = 0;
    sort_buffers(p, p->order, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t b = p->order[i];
        p->buffer[b].offset = find_offset(p, row, b, placed, i);
        const uint64_t end = end_of(&p->buffer[b]);
        size = end > size ? end : size;
        uint32_t at = i;
        for (; at > 0 && p->buffer[placed[at - 1]].offset > p->buffer[b].offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = b;
    }
    return size;
}

static uint64_t round_up(uint64_t size)
{
    return (size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
}

SnStatus sn_plan_carries(SnPlan *p, uint64_t *size, SnError *err)
{
    const SnSlotRow *slot = SN_ROWS(p->image, SnSlotRow, slot);
    const SnBufferRow *row = SN_ROWS(p->image, SnBufferRow, buffer);
    const SnRange r = p->image->carry;
    uint64_t at = 0;
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        SnPlanBuffer *b = &p->buffer[slot[i].buffer];
        const int64_t bytes = p->reg[row[slot[i].buffer].size_reg];
        SN_CHECK(bytes >= 0 && (uint64_t)bytes < SIZE_MAX / 4, err, SN_ESHAPE, "carry %s: %lld bytes",
                 sn_image_string(p->image, slot[i].name), (long long)bytes);
        *b = (SnPlanBuffer){.size = (uint64_t)bytes, .planned = (uint64_t)bytes, .offset = at};
        at += round_up((uint64_t)bytes);
    }
    *size = at ? at : BLOCK_ALIGN;
    return SN_OK;
}

/* What every buffer of a segment needs now, and, where that is more than was planned, room for its bucket.
 * The buffers are left in p->order. */
static SnStatus size_buffers(SnPlan *p, uint32_t segment, uint32_t *n, bool *fits, SnError *err)
{
    const uint64_t limit = UINT64_MAX >> 8;
    const SnBufferRow *row = SN_ROWS(p->image, SnBufferRow, buffer);
    *n = 0;
    *fits = true;
    for (uint32_t i = 0; i < p->image->buffer.count; i++) {
        if (row[i].kind != SN_BUFFER_SCRATCH || row[i].segment != segment)
            continue;
        const int64_t size = p->reg[row[i].size_reg], roomy = p->bucket[row[i].size_reg];
        SN_CHECK(size >= 0 && (uint64_t)size < limit, err, SN_ESHAPE, "a buffer of %lld bytes",
                 (long long)size);
        p->buffer[i].size = (uint64_t)size;
        p->order[(*n)++] = i;
        if (p->buffer[i].at && p->buffer[i].size <= p->buffer[i].planned)
            continue;
        *fits = false;
        const uint64_t want = round_up((uint64_t)(roomy > size && (uint64_t)roomy < limit ? roomy : size));
        if (want > p->buffer[i].planned)
            p->buffer[i].planned = want;
    }
    return SN_OK;
}

/* Without memory nothing is planned: a smaller shape may fit. */
static SnStatus grow_block(SnPlan *p, uint32_t segment, uint64_t size, uint32_t n, SnError *err)
{
    sn_free(p->memory, p->block[segment].at, p->block[segment].size, BLOCK_ALIGN);
    p->block[segment].size = 0;
    p->block[segment].at = size <= SIZE_MAX / 2 ? sn_alloc(p->memory, (size_t)size, BLOCK_ALIGN) : NULL;
    if (p->block[segment].at) {
        p->block[segment].size = size;
        return SN_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        p->buffer[p->order[i]].at = NULL;
        p->buffer[p->order[i]].planned = 0;
    }
    return sn_fail(err, SN_ENOMEM, "no memory for a plan of %llu bytes", (unsigned long long)size);
}

SnStatus sn_plan_segment(SnPlan *p, uint32_t segment, SnError *err)
{
    uint32_t n = 0;
    bool fits = true;
    SN_TRY(size_buffers(p, segment, &n, &fits, err));
    if (fits)
        return SN_OK;
    const uint64_t size = lay_out(p, n);
    if (p->is_dry) {
        p->block[segment].size = size ? size : BLOCK_ALIGN;
        return SN_OK;
    }
    if (size > p->block[segment].size || !p->block[segment].at)
        SN_TRY(grow_block(p, segment, size ? size : BLOCK_ALIGN, n, err));
    for (uint32_t i = 0; i < n; i++)
        p->buffer[p->order[i]].at = (uint8_t *)p->block[segment].at + p->buffer[p->order[i]].offset;
    return SN_OK;
}
