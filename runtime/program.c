/* program.c -- programs: checking an image, linking one that was compiled ahead of time, asking what it has.
 */
#include "runtime/program.h"

#include "runtime/context.h"

/* ---- checking ---- */

typedef struct SpanRule {
    size_t at, row; /* offset of the SnSpan in SnImage, bytes of a row */
} SpanRule;

#define SPAN(table, type)                                                                                    \
    {                                                                                                        \
        offsetof(SnImage, table), sizeof(type)                                                               \
    }
static const SpanRule span_rules[] = {
    SPAN(string, char),        SPAN(instr, SnInstr),           SPAN(point, SnPoint),
    SPAN(check, SnCheckRow),   SPAN(symbol, SnSymbolRow),      SPAN(buffer, SnBufferRow),
    SPAN(slot, SnSlotRow),     SPAN(param, SnParamRow),        SPAN(object, SnObjectRow),
    SPAN(kernel, SnKernelRow), SPAN(step, SnStepRow),          SPAN(operand, uint32_t),
    SPAN(host, SnHostRow),     SPAN(host_slot, SnHostSlotRow), SPAN(attr, SnScalar),
    SPAN(entry, SnEntryRow),   SPAN(variant, SnVariantRow),    SPAN(data, char),
};
#undef SPAN

SnStatus sn_image_check(const void *image, uint64_t size, SnError *err)
{
    const SnImage *m = image;
    SN_CHECK(image && size >= sizeof *m && m->magic == SN_IMAGE_MAGIC, err, SN_EFORMAT, "program: no image");
    SN_CHECK(m->abi == SN_ABI, err, SN_EUNSUPPORTED, "program: made for abi %u, this runtime has %u", m->abi,
             SN_ABI);
    SN_CHECK(m->size == size, err, SN_EFORMAT, "program: image says %u bytes, has %llu", m->size,
             (unsigned long long)size);
    for (size_t i = 0; i < SN_COUNT(span_rules); i++) {
        const SnSpan *s = (const SnSpan *)(const void *)((const uint8_t *)image + span_rules[i].at);
        SN_CHECK(s->offset <= size && s->count <= (size - s->offset) / span_rules[i].row, err, SN_EFORMAT,
                 "program: table %zu lies outside the image", i);
    }
    SN_CHECK(m->entry.count > 0, err, SN_EFORMAT, "program: no entry");
    return SN_OK;
}

/* ---- life ---- */

SnStatus sn_program_create(SnContext *ctx, const SnImage *image, SnModule *module, SnHostFn *const *host,
                           const void **param, SnArena *arena, SnProgram **out, SnError *err)
{
    SN_TRY(sn_image_check(image, image->size, err));
    SnProgram *p = sn_alloc_zero(&ctx->memory, sizeof *p, _Alignof(max_align_t));
    SN_CHECK(p, err, SN_ENOMEM, "program: no memory");
    *p = (SnProgram){.ctx = ctx,
                     .nref = 1,
                     .image = image,
                     .module = module,
                     .fn = module ? module->fn : NULL,
                     .host = host,
                     .param = param,
                     .has_arena = true};
    p->arena = *arena;
    *arena = (SnArena){0};
    const SnParamRow *row = SN_ROWS(image, SnParamRow, param);
    for (uint32_t i = 0; i < image->param.count; i++)
        *(sn_is_packed_name(sn_image_string(image, row[i].name)) ? &p->packed_bytes : &p->weight_bytes) +=
            row[i].size;
    *out = p;
    return SN_OK;
}

static bool find_level(const SnProgramDesc *d, SnCpuLevel level, uint32_t *out)
{
    for (uint32_t i = 0; i < d->nlevel; i++)
        if (strcmp(d->level[i], sn_cpu_level_name(level)) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* The highest level inside that this machine has. Code for v4d sums bf16 as only AMD does fast: elsewhere it
 * is the last choice, so that the bits are those of sn_compile. */
static bool choose_level(const SnProgramDesc *d, SnCpuLevel have, uint32_t *out)
{
    const bool avoids_v4d = have >= SN_CPU_V4D && !sn_cpu_is_amd();
    for (int want = (int)have; want >= 0; want--)
        if (!(avoids_v4d && want == SN_CPU_V4D) && find_level(d, (SnCpuLevel)want, out))
            return true;
    return avoids_v4d && find_level(d, SN_CPU_V4D, out);
}

/* Where each parameter lies. */
static SnStatus place_params(SnProgram *p, const SnProgramDesc *desc, const char *origin, SnError *err)
{
    const SnImage *m = p->image;
    const SnParamRow *row = SN_ROWS(m, SnParamRow, param);
    const void *weights = desc->weights;
    if (!weights && desc->weights_file)
        SN_TRY(sn_weights_map(p->ctx, desc, origin, &p->weights, &weights, err));
    for (uint32_t i = 0; i < m->param.count; i++)
        p->param[i] = (const uint8_t *)weights + row[i].offset;
    return SN_OK;
}

SnStatus sn_program_link_from(SnContext *ctx, const SnProgramDesc *desc, const char *origin, SnProgram **out,
                              SnError *err)
{
    SN_CHECK(desc->abi == SN_ABI, err, SN_EUNSUPPORTED, "program: made for abi %u, this runtime has %u",
             desc->abi, SN_ABI);
    SN_TRY(sn_image_check(desc->image, desc->image_size, err));
    const SnImage *m = desc->image;
    uint32_t level = 0;
    SN_CHECK(choose_level(desc, ctx->cpu_level, &level), err, SN_EUNSUPPORTED,
             "program: has no code for this machine's level %s", sn_cpu_level_name(ctx->cpu_level));
    SnProgram *p = NULL;
    SnArena arena;
    sn_arena_init(&arena, &ctx->memory);
    const void **param = sn_arena_array(&arena, m->param.count + 1u, sizeof *param);
    SnStatus st =
        param ? SN_OK : sn_fail(err, SN_ENOMEM, "program: no memory for %u parameters", m->param.count);
    if (st == SN_OK)
        st = sn_program_create(ctx, m, NULL, desc->host, param, &arena, &p, err);
    if (st == SN_OK)
        st = place_params(p, desc, origin, err);
    sn_arena_clear(&arena);
    if (st == SN_OK) {
        p->fn = desc->kernel + (size_t)level * m->kernel.count;
        p->level = desc->level[level];
        p->typed = desc->typed;
        *out = p;
    } else {
        sn_program_release(p);
    }
    return st;
}

SnStatus sn_program_link(SnContext *ctx, const SnProgramDesc *desc, SnProgram **out, SnError *err)
{
    return sn_program_link_from(ctx, desc, NULL, out, err);
}

void sn_packed_clear(SnPacked *p, const SnContext *ctx)
{
    sn_file_release(p->file);
    sn_free(&ctx->memory, p->heap, p->heap_size, SN_PACKED_ALIGN);
    *p = (SnPacked){0};
}

SnProgram *sn_program_retain(SnProgram *p)
{
    /* Relaxed: whoever retains already holds a reference. */
    atomic_fetch_add_explicit(&p->nref, 1, memory_order_relaxed);
    return p;
}

void sn_program_release(SnProgram *p)
{
    /* Acquire and release: all uses by other holders happen before the last one frees. */
    if (!p || atomic_fetch_sub_explicit(&p->nref, 1, memory_order_acq_rel) != 1)
        return;
    if (p->module)
        p->module->destroy(p->module);
    if (p->release)
        p->release(p->owner);
    if (p->has_arena)
        sn_arena_clear(&p->arena);
    sn_packed_clear(&p->packed, p->ctx);
    sn_file_release(p->weights);
    sn_free(&p->ctx->memory, p, sizeof *p, _Alignof(max_align_t));
}

/* ---- asking ---- */

void sn_program_info(const SnProgram *p, SnProgramInfo *out)
{
    *out = (SnProgramInfo){.weight_bytes = p->weight_bytes,
                           .packed_bytes = p->packed_bytes,
                           .packed_is_cached = p->packed.is_cached,
                           .is_cached = p->is_cached};
}

const SnEntryRow *sn_image_entry(const SnImage *m, const char *name)
{
    const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry);
    if (!name)
        return e;
    for (uint32_t i = 0; i < m->entry.count; i++)
        if (strcmp(sn_image_string(m, e[i].name), name) == 0)
            return &e[i];
    return NULL;
}

bool sn_program_entry(const SnProgram *p, uint32_t i, const char **name)
{
    if (i >= p->image->entry.count)
        return false;
    *name = sn_image_string(p->image, SN_ROWS(p->image, SnEntryRow, entry)[i].name);
    return true;
}

/* A dim is a number when its register is set by a constant instr of the entry's point. */
static int64_t constant_dim(const SnImage *m, const SnEntryRow *e, uint32_t reg)
{
    const SnRange r = SN_ROWS(m, SnPoint, point)[e->point].instr;
    const SnInstr *instr = SN_ROWS(m, SnInstr, instr) + r.first;
    for (uint32_t i = 0; i < r.count; i++)
        if (instr[i].dst == reg && instr[i].op == SN_I_CONST)
            return instr[i].imm;
    return -1;
}

static bool slot_info(const SnProgram *p, const char *entry, bool output, uint32_t i, SnSlotInfo *out)
{
    const SnImage *m = p->image;
    const SnEntryRow *e = sn_image_entry(m, entry);
    const SnRange r = !e ? (SnRange){0, 0} : output ? e->output : e->input;
    if (i >= r.count)
        return false;
    const SnSlotRow *s = SN_ROWS(m, SnSlotRow, slot) + r.first + i;
    *out = (SnSlotInfo){.name = sn_image_string(m, s->name),
                        .dtype = (SnDtype)s->dtype,
                        .is_list = s->is_list != 0,
                        .is_object = s->is_object != 0,
                        .is_unused = s->is_unused != 0,
                        .is_stream = s->stream_reg != SN_NONE,
                        .ndim = (int32_t)s->ndim};
    for (uint32_t d = 0; d < s->ndim; d++) {
        out->symbol[d] = s->dim_name[d] == SN_NONE ? NULL : sn_image_string(m, s->dim_name[d]);
        out->dims[d] = out->symbol[d] ? -1 : constant_dim(m, e, s->dim_reg[d]);
    }
    return true;
}

bool sn_program_input(const SnProgram *p, const char *entry, uint32_t i, SnSlotInfo *out)
{
    return slot_info(p, entry, false, i, out);
}

bool sn_program_output(const SnProgram *p, const char *entry, uint32_t i, SnSlotInfo *out)
{
    return slot_info(p, entry, true, i, out);
}
