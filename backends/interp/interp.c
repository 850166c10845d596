/* interp.c -- the backend that walks kernel IR: the bit oracle of schedules and code generators.
 *
 * Every load and store is checked against the size of its buffer; the guarded load of a LOCAL also where its
 * guard is false (rule 7). A call keeps all it writes besides the buffers on its own stack. */
#include "backends/interp/interp.h"

#include "backends/backends.h"

#include <math.h>

typedef struct Module {
    SnModule base;
    const SnAllocator *memory;
    SnArena arena;
    SnCodeKernel *kernel;
} Module;

typedef struct Walk {
    const SnCodeKernel *k;
    unsigned char *frame;
    void *const *buffers;
    const uint64_t *sizes;
    const int64_t *dims;
    SnError *err;
} Walk;

static int64_t i64_at(const unsigned char *at)
{
    int64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* ---- memory ---- */

typedef struct Span {
    unsigned char *at;
    uint64_t size; /* bytes */
} Span;

static Span buffer_of(const Walk *w, const SnCode *in)
{
    if (in->is_local)
        return (Span){w->frame + in->base, in->size};
    return (Span){(unsigned char *)w->buffers[in->buf], w->sizes[in->buf]};
}

static SnStatus outside(const Walk *w, const SnCode *in, int64_t index, uint64_t count)
{
    return sn_fail(w->err, SN_EINTERNAL, "kernel %s: %s buffer %d[%lld] of %llu %s", w->k->name,
                   in->kind == SN_CODE_STORE ? "store to" : "load of", in->buf, (long long)index,
                   (unsigned long long)count, sn_dtype(in->dtype)->name);
}

static bool is_guarded_off(const Walk *w, const SnCode *in, uint32_t lane)
{
    return w->frame[in->c + (size_t)lane * in->step[2]] == 0;
}

/* Sizes are constants for the compiler: an element moves in one instruction. */
static void move(unsigned char *dst, const unsigned char *src, size_t size)
{
    switch (size) {
    case 1:
        *dst = *src;
        break;
    case 2:
        memcpy(dst, src, 2);
        break;
    case 4:
        memcpy(dst, src, 4);
        break;
    default:
        memcpy(dst, src, 8);
        break;
    }
}

/* Lanes that follow each other, all inside: one copy. */
static bool is_inside(const SnCode *in, int64_t first, uint64_t count)
{
    return in->is_run && (uint64_t)first < count && in->lanes <= count - (uint64_t)first;
}

static SnStatus load(const Walk *w, const SnCode *in)
{
    const size_t size = sn_dtype_size(in->dtype), step = in->step[0];
    const bool has_guard = in->has_guard, is_local = in->is_local, is_bool = in->dtype == SN_BOOL;
    const Span from = buffer_of(w, in);
    const uint64_t count = from.size / size;
    const unsigned char *at = w->frame + in->a;
    unsigned char *dst = w->frame + in->dst;
    const uint32_t lanes = in->lanes;
    const int64_t begin = i64_at(at);
    if (is_inside(in, begin, count) && !is_bool) {
        memcpy(dst, from.at + (uint64_t)begin * size, lanes * size);
        return SN_OK;
    }
    for (uint32_t i = 0; i < lanes; i++, at += step, dst += size) {
        const int64_t index = i64_at(at);
        const bool off = has_guard && is_guarded_off(w, in, i);
        if ((uint64_t)index >= count && (!off || is_local))
            return outside(w, in, index, count);
        if (off)
            memset(dst, 0, size);
        else
            move(dst, from.at + (uint64_t)index * size, size);
        if (is_bool)
            *dst = *dst != 0;
    }
    return SN_OK;
}

static SnStatus store(const Walk *w, const SnCode *in)
{
    const size_t size = sn_dtype_size(in->dtype), step = in->step[0], value_step = in->step[1];
    const bool has_guard = in->has_guard;
    const Span to = buffer_of(w, in);
    const uint64_t count = to.size / size;
    const unsigned char *at = w->frame + in->a, *value = w->frame + in->b;
    const uint32_t lanes = in->lanes;
    const int64_t begin = i64_at(at);
    if (is_inside(in, begin, count)) {
        memcpy(to.at + (uint64_t)begin * size, value, lanes * size);
        return SN_OK;
    }
    for (uint32_t i = 0; i < lanes; i++, at += step, value += value_step) {
        const int64_t index = i64_at(at);
        if (has_guard && is_guarded_off(w, in, i))
            continue;
        if ((uint64_t)index >= count)
            return outside(w, in, index, count);
        move(to.at + (uint64_t)index * size, value, size);
    }
    return SN_OK;
}

/* x[j] op x[j + n/2], halving n until one is left. */
static SnStatus fold(const Walk *w, const SnCode *in)
{
    const size_t size = sn_dtype_size(in->dtype);
    const Span from = buffer_of(w, in);
    const uint64_t count = from.size / size, n = in->imm;
    const uint32_t step = (uint32_t)size;
    for (uint32_t i = 0; i < in->lanes; i++) {
        const int64_t index = i64_at(w->frame + in->a + (size_t)i * in->step[0]);
        if ((uint64_t)index >= count || n > count - (uint64_t)index)
            return outside(w, in, index, count);
        memcpy(w->frame + in->c, from.at + (uint64_t)index * size, (size_t)n * size);
        for (uint32_t half = (uint32_t)n / 2; half > 0; half /= 2) {
            const SnCode combine = {.op = in->op,
                                    .dtype = in->dtype,
                                    .to = in->dtype,
                                    .lanes = half,
                                    .dst = in->c,
                                    .a = in->c,
                                    .b = in->c + half * step,
                                    .step = {step, step}};
            in->eval(&combine, w->frame);
        }
        move(w->frame + in->dst + i * size, w->frame + in->c, size);
    }
    return SN_OK;
}

/* ---- matrix unit: sums in rising k ---- */

static void tile_dot_bf16(unsigned char *acc, const unsigned char *a, const unsigned char *b)
{
    for (size_t m = 0; m < 16; m++) {
        for (size_t n = 0; n < 16; n++) {
            float sum;
            memcpy(&sum, acc + m * 64 + n * 4, sizeof sum);
            for (size_t k = 0; k < 32; k++) {
                uint16_t x, y;
                memcpy(&x, a + m * 64 + k * 2, sizeof x);
                memcpy(&y, b + k / 2 * 64 + n * 4 + k % 2 * 2, sizeof y);
                sum = fmaf(sn_bf16_to_f32(x), sn_bf16_to_f32(y), sum);
            }
            memcpy(acc + m * 64 + n * 4, &sum, sizeof sum);
        }
    }
}

static void tile_dot_u8(unsigned char *acc, const unsigned char *a, const unsigned char *b)
{
    for (size_t m = 0; m < 16; m++) {
        for (size_t n = 0; n < 16; n++) {
            uint32_t sum;
            memcpy(&sum, acc + m * 64 + n * 4, sizeof sum);
            for (size_t k = 0; k < 64; k++) {
                const uint32_t y = b[k / 4 * 64 + n * 4 + k % 4];
                sum += a[m * 64 + k] * ((y ^ 0x80) - 0x80);
            }
            memcpy(acc + m * 64 + n * 4, &sum, sizeof sum);
        }
    }
}

static SnStatus move_tile(const Walk *w, const SnCode *in)
{
    const Span buf = buffer_of(w, in);
    const int64_t offset = i64_at(w->frame + in->a), stride = i64_at(w->frame + in->imm);
    for (int64_t row = 0; row < 16; row++) {
        int64_t begin;
        const bool known = sn_mul_i64(row, stride, &begin) && sn_add_i64(begin, offset, &begin);
        SN_CHECK(known && begin >= 0 && buf.size >= 64 && (uint64_t)begin <= buf.size - 64, w->err,
                 SN_EINTERNAL, "kernel %s: tile row %d from %lld, stride %lld, of buffer %d of %llu bytes",
                 w->k->name, (int)row, (long long)offset, (long long)stride, in->buf,
                 (unsigned long long)buf.size);
        unsigned char *reg = w->frame + in->dst + row * 64;
        if (in->tile_op == SN_TILE_LOAD)
            memcpy(reg, buf.at + begin, 64);
        else
            memcpy(buf.at + begin, reg, 64);
    }
    return SN_OK;
}

static SnStatus tile(const Walk *w, const SnCode *in)
{
    unsigned char *acc = w->frame + in->dst;
    const unsigned char *a = w->frame + in->b, *b = w->frame + in->c;
    switch (in->tile_op) {
    case SN_TILE_ZERO:
        memset(acc, 0, SN_INTERP_TILE);
        return SN_OK;
    case SN_TILE_DOT:
        (in->dtype == SN_U8 ? tile_dot_u8 : tile_dot_bf16)(acc, a, b);
        return SN_OK;
    case SN_TILE_LOAD:
    case SN_TILE_STORE:
        return move_tile(w, in);
    }
    return SN_OK;
}

/* ---- walking ---- */

static void put_lanes(const Walk *w, const SnCode *in)
{
    for (int64_t i = 0; i < (int64_t)in->lanes; i++)
        memcpy(w->frame + in->dst + (size_t)i * sizeof i, &i, sizeof i);
}

/* Where to go on; a loop whose extent is not positive is left at once. */
static uint32_t loop(const Walk *w, const SnCode *in, uint32_t next)
{
    const int64_t zero = 0, n = i64_at(w->frame + in->a);
    memcpy(w->frame + in->dst, &zero, sizeof zero);
    memcpy(w->frame + in->b, &n, sizeof n);
    return n > 0 ? next : (uint32_t)in->imm;
}

static uint32_t loop_next(const Walk *w, const SnCode *in, uint32_t next)
{
    const int64_t i = i64_at(w->frame + in->dst) + 1;
    memcpy(w->frame + in->dst, &i, sizeof i);
    return i < i64_at(w->frame + in->b) ? (uint32_t)in->imm : next;
}

static SnStatus walk(const Walk *w, uint32_t begin, uint32_t end)
{
    for (uint32_t pc = begin; pc < end;) {
        const SnCode *in = &w->k->code[pc++];
        switch (in->kind) {
        case SN_CODE_EVAL:
            in->eval(in, w->frame);
            break;
        case SN_CODE_LOAD:
            SN_TRY(load(w, in));
            break;
        case SN_CODE_STORE:
            SN_TRY(store(w, in));
            break;
        case SN_CODE_FOLD:
            SN_TRY(fold(w, in));
            break;
        case SN_CODE_CONST:
            move(w->frame + in->dst, (const unsigned char *)&in->imm, sn_dtype_size(in->to));
            break;
        case SN_CODE_DIM:
            memcpy(w->frame + in->dst, &w->dims[in->imm], sizeof *w->dims);
            break;
        case SN_CODE_LANES:
            put_lanes(w, in);
            break;
        case SN_CODE_LOOP:
            pc = loop(w, in, pc);
            break;
        case SN_CODE_NEXT:
            pc = loop_next(w, in, pc);
            break;
        case SN_CODE_IF:
            pc = w->frame[in->a] != 0 ? pc : (uint32_t)in->imm;
            break;
        case SN_CODE_LOCAL:
            memset(w->frame + in->dst, 0xFF, (size_t)in->imm);
            break;
        case SN_CODE_TILE:
            SN_TRY(tile(w, in));
            break;
        }
    }
    return SN_OK;
}

/* ---- backend ---- */

static SnStatus interp_run(SnModule *module, uint32_t i, void *const *buffers, const uint64_t *sizes,
                           const int64_t *dims, int64_t first, int64_t last, SnError *err)
{
    const Module *m = (const Module *)module;
    SN_CHECK(i < module->nkernel, err, SN_EINVAL, "kernel %u of %u", i, module->nkernel);
    _Alignas(64) unsigned char frame[SN_INTERP_FRAME];
    const SnCodeKernel *k = &m->kernel[i];
    const Walk w = {k, frame, buffers, sizes, dims, err};
    SN_TRY(walk(&w, 0, k->tile_code));
    for (int64_t t = first; t < last; t++) {
        memcpy(frame + k->tile_slot, &t, sizeof t);
        SN_TRY(walk(&w, k->tile_code, k->ncode));
    }
    return SN_OK;
}

static void interp_destroy(SnModule *module)
{
    if (module == NULL)
        return;
    Module *m = (Module *)module;
    const SnAllocator *memory = m->memory;
    sn_arena_clear(&m->arena);
    sn_free(memory, m, sizeof *m, _Alignof(Module));
}

static SnStatus assemble_all(Module *m, const SnKernel *const *k, uint32_t n, SnError *err)
{
    m->kernel = (SnCodeKernel *)sn_arena_array(&m->arena, n, sizeof *m->kernel);
    SN_CHECK(m->kernel != NULL, err, SN_ENOMEM, "no memory for %u kernels", n);
    for (uint32_t i = 0; i < n; i++)
        SN_TRY(sn_interp_assemble(k[i], &m->arena, &m->kernel[i], err));
    return SN_OK;
}

static SnStatus interp_build(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n,
                             SnModule **out, SnError *err)
{
    (void)t;
    const SnAllocator *memory = sn_allocator(ctx);
    Module *m = (Module *)sn_alloc_zero(memory, sizeof *m, _Alignof(Module));
    SN_CHECK(m != NULL, err, SN_ENOMEM, "no memory for a module");
    m->base = (SnModule){.destroy = interp_destroy, .run = interp_run, .nkernel = n};
    m->memory = memory;
    sn_arena_init(&m->arena, memory);
    const SnStatus st = assemble_all(m, k, n, err);
    if (st == SN_OK)
        *out = &m->base;
    else
        interp_destroy(&m->base);
    return st;
}

static SnStatus interp_probe(SnContext *ctx, int index, SnTarget *t, SnError *err)
{
    (void)ctx;
    SN_CHECK(index == 0, err, SN_EUNSUPPORTED, "interp:%d: there is one interpreter", index);
    *t = (SnTarget){.name = "interp",
                    .level = "interp",
                    .vector_bytes = 64,
                    .vector_count = 32,
                    .l1_bytes = 32 << 10,
                    .l2_bytes = 1 << 20,
                    .has_dot4 = true};
    return SN_OK;
}

const SnBackend sn_backend_interp = {.name = "interp", .probe = interp_probe, .build = interp_build};
