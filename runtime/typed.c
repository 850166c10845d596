/* typed.c -- life of typed contexts: memory, program, instance, and room for everything that a run needs. */
#include "runtime/typed_context.h"

#include <stdio.h>

#define WEIGHT_PATHS 16384u /* bytes that a block needs to find and open a file of weights */

/* ---- the host ---- */

/* Fields beyond the caller's struct_size are zero. */
static SnStatus copy_host(const SnTypedHost *from, SnTypedHost *to, SnError *err)
{
    *to = (SnTypedHost){.struct_size = sizeof *to, .abi = SN_ABI};
    if (!from)
        return SN_OK;
    SN_CHECK(from->struct_size >= offsetof(SnTypedHost, block) && from->struct_size <= sizeof *to, err,
             SN_EINVAL, "SnModelHost.struct_size is %u, expected at most %zu", from->struct_size, sizeof *to);
    memcpy(to, from, from->struct_size);
    SN_CHECK(to->abi == SN_ABI, err, to->abi ? SN_EUNSUPPORTED : SN_EINVAL,
             "SnModelHost.abi is %u, this model has %u: include its own header", to->abi, SN_ABI);
    return SN_OK;
}

static void tell(const SnTypedHost *host, const SnError *err)
{
    if (host->message && host->message_size)
        (void)snprintf(host->message, host->message_size, "%s", err->message);
}

SnStatus sn_typed_fail(SnTyped *t, SnStatus code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)sn_failv(&t->err, code, format, args);
    va_end(args);
    return code;
}

/* ---- memory ---- */

static SnStatus make_memory(const SnTypedHost *host, const SnTypedDesc *desc, SnTyped **out, SnError *err)
{
    SnAllocator memory = host->memory.resize ? host->memory : sn_default_allocator;
    const SnAllocator scratch = memory;
    SnBlock *block = NULL;
    if (host->block) {
        const bool is_short = !host->shape && host->block_size < desc->block_bytes;
        block = is_short ? NULL : sn_block_begin(host->block, host->block_size);
        SN_CHECK(block, err, SN_ENOMEM, "the block has %zu bytes, this model needs %llu", host->block_size,
                 (unsigned long long)desc->block_bytes);
        memory = sn_block_allocator(block);
    }
    SnTyped *t = sn_alloc_zero(&memory, sizeof *t, _Alignof(max_align_t));
    SN_CHECK(t, err, SN_ENOMEM, "no memory for a context");
    t->desc = desc;
    t->memory = memory;
    t->block = block;
    t->scratch = scratch;
    *out = t;
    return SN_OK;
}

static SnStatus make_context(SnTyped *t, const SnTypedHost *host, SnError *err)
{
    SnContextDesc d = {.struct_size = sizeof d,
                       .flags = host->flags,
                       .memory = t->memory,
                       .jobs = host->jobs,
                       .trace = host->trace,
                       .cpu_level = host->cpu_level};
    if (!d.jobs.parallel && host->threads > 1) {
        SN_TRY(sn_pool_create(host->threads, &t->pool, err));
        d.jobs = sn_pool_jobs(t->pool);
    }
    t->trace = host->trace;
    return sn_context_create(&d, &t->ctx, err);
}

/* `at create` dims come from the shape. */
static SnStatus make_instance(SnTyped *t, const char *shape, SnError *err)
{
    SnInstanceDesc d = {.struct_size = sizeof d};
    const SnImage *m = t->program->image;
    const SnSymbolRow *row = SN_ROWS(m, SnSymbolRow, symbol);
    const SnRange r = m->create_symbol;
    for (uint32_t i = r.first; shape && i < r.first + r.count && d.ndim < SN_COUNT(d.dim); i++) {
        const char *name = sn_image_string(m, row[i].name);
        const int64_t value = sn_shape_value(shape, name);
        if (value < 0)
            continue;
        d.dim[d.ndim].symbol = name;
        d.dim[d.ndim++].value = value;
    }
    return sn_instance_create(t->program, &d, &t->instance, err);
}

/* ---- room for runs ---- */

static const SnSlotRow *find_input(const SnTyped *t, const SnEntryRow *e, const char *name)
{
    return e ? sn_instance_slot(t->instance, e->input, name) : NULL;
}

static bool takes_texts(const SnTypedDesc *d)
{
    return d->kind != SN_TYPED_TENSORS && d->kind != SN_TYPED_TRAIN;
}

/* Which entries take one text, and two. */
static SnStatus find_entries(SnTyped *t, SnError *err)
{
    const SnImage *m = t->program->image;
    const SnEntryRow *single = sn_image_entry(m, "main"), *pair = sn_image_entry(m, "pair");
    if (!takes_texts(t->desc))
        return SN_OK;
    if (find_input(t, single, "pair")) {
        pair = single;
        single = NULL;
    }
    SN_CHECK(single ? find_input(t, single, "text") : find_input(t, pair, "text"), err, SN_EFORMAT,
             "this model has no input for a text");
    t->entry[0] = single ? sn_image_string(m, single->name) : NULL;
    t->entry[1] = find_input(t, pair, "pair") ? sn_image_string(m, pair->name) : NULL;
    for (uint32_t i = 0; i < (t->entry[1] ? SN_TYPED_TEXTS : 1u); i++) {
        t->text[i].at = sn_alloc(&t->memory, t->desc->max_text, 1);
        SN_CHECK(t->text[i].at, err, SN_ENOMEM, "no memory for a text of %u bytes", t->desc->max_text);
        t->text[i].size = t->desc->max_text;
    }
    return SN_OK;
}

/* Does the shape say every dim that inputs of the entry bind? */
static bool names_all(const SnImage *m, const SnEntryRow *e, const char *shape)
{
    const SnSymbolRow *row = SN_ROWS(m, SnSymbolRow, symbol) + e->symbol.first;
    for (uint32_t i = 0; i < e->symbol.count; i++)
        if (!row[i].is_optional && sn_shape_value(shape, sn_image_string(m, row[i].name)) == -1)
            return false;
    return true;
}

/* Plans every entry whose dims are all named: `must` the first one fails where they are not. */
static SnStatus reserve_entries(SnTyped *t, const char *shape, bool must, SnError *err)
{
    const SnImage *m = t->program->image;
    const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry);
    for (uint32_t i = m->entry.count; i-- > 0;) {
        SN_TRY(sn_entry(t->instance, sn_image_string(m, e[i].name), err));
        const bool has_shape = names_all(m, &e[i], shape);
        if (has_shape || (must && i == 0))
            SN_TRY(sn_reserve(t->instance, shape, err));
        t->is_planned = t->is_planned || has_shape;
    }
    return SN_OK;
}

static SnStatus make_room(SnTyped *t, const char *shape, SnError *err)
{
    char own[80];
    SN_TRY(find_entries(t, err));
    if (takes_texts(t->desc)) {
        const unsigned most = t->desc->max_text;
        (void)snprintf(own, sizeof own, "batch=1,text.size=%u,pair.size=%u", most, most);
        SN_TRY(reserve_entries(t, own, true, err));
    }
    return reserve_entries(t, shape ? shape : "", shape != NULL, err);
}

/* ---- life ---- */

static SnStatus build(SnTyped *t, const SnTypedHost *host, const SnProgramDesc *program, SnError *err)
{
    const char *shape = host->shape ? host->shape : t->desc->shape;
    SN_TRY(make_context(t, host, err));
    SN_TRY(sn_program_link(t->ctx, program, &t->program, err));
    if (t->desc->kind == SN_TYPED_CHAT)
        return sn_typed_talk_create(t, shape, err);
    SN_TRY(make_instance(t, shape, err));
    return make_room(t, shape, err);
}

static SnStatus create(const SnTypedHost *host, const SnTypedDesc *desc, const SnProgramDesc *program,
                       SnTyped **out, SnError *err)
{
    SnTyped *t = NULL;
    SN_CHECK(desc->abi == SN_ABI && desc->kind < SN_TYPED_KIND_COUNT, err, SN_EUNSUPPORTED,
             "made for abi %u, this runtime has %u", desc->abi, SN_ABI);
    SN_TRY(make_memory(host, desc, &t, err));
    const SnStatus st = build(t, host, program, err);
    if (st == SN_OK)
        *out = t;
    else
        sn_typed_destroy(t);
    return st;
}

/* Weights are carries: the first run gives them their values. */
static SnStatus begin_training(SnTyped *t, SnError *err)
{
    const SnStatus st = t->desc->kind == SN_TYPED_TRAIN ? sn_typed_reset(t) : SN_OK;
    if (st != SN_OK) {
        *err = t->err;
        sn_typed_destroy(t);
    }
    return st;
}

SnStatus sn_typed_create(const SnTypedHost *host, SnTyped **out, const SnTypedDesc *desc)
{
    SnTypedHost own;
    SnTyped *t = NULL;
    SnError err = {.code = SN_OK};
    SnStatus st = copy_host(host, &own, &err);
    if (st == SN_OK)
        st = create(&own, desc, desc->program, &t, &err);
    if (st == SN_OK)
        st = begin_training(t, &err);
    if (st == SN_OK)
        *out = t;
    else
        tell(&own, &err);
    return st;
}

void sn_typed_destroy(SnTyped *t)
{
    if (!t)
        return;
    const SnAllocator memory = t->memory;
    sn_trace_clear(&t->writer);
    sn_typed_talk_destroy(t);
    sn_instance_destroy(t->instance);
    sn_program_release(t->program);
    sn_context_destroy(t->ctx);
    sn_pool_destroy(t->pool);
    for (uint32_t i = 0; i < SN_TYPED_TEXTS; i++)
        sn_free(&memory, t->text[i].at, t->text[i].size, 1);
    sn_free(&memory, t, sizeof *t, _Alignof(max_align_t));
}

const char *sn_typed_error(const SnTyped *t)
{
    return t ? t->err.message : "";
}

const char *sn_typed_cpu_level(const SnTyped *t)
{
    return t->program->level;
}

const char *sn_typed_label(uint32_t i, const SnTypedDesc *desc)
{
    return desc->label && i < desc->width ? desc->label[i] : NULL;
}

/* ---- measuring ---- */

/* Makes a context in a block of `size` bytes; *need is what it reached. */
static SnStatus try_block(const SnTypedDesc *desc, const SnProgramDesc *program, size_t size, uint64_t *need,
                          SnError *err)
{
    void *at = sn_alloc(&sn_default_allocator, size, SN_BLOCK_ALIGN);
    SN_CHECK(at, err, SN_EUNSUPPORTED, "a context needs more than %zu bytes", size / 2);
    const SnTypedHost host = {.block = at, .block_size = size, .cpu_level = "base"};
    SnTyped *t = NULL;
    const SnStatus st = create(&host, desc, program, &t, err);
    if (st == SN_OK)
        *need = t->is_planned ? sn_block_need(t->block) : 0;
    sn_typed_destroy(t);
    sn_free(&sn_default_allocator, at, size, SN_BLOCK_ALIGN);
    return st;
}

/* Dims that are bound at create, and that nobody has told: sizes are the host's to choose. */
static bool is_open(const SnImage *m, const char *shape)
{
    const SnSymbolRow *row = SN_ROWS(m, SnSymbolRow, symbol);
    for (uint32_t i = m->create_symbol.first; i < m->create_symbol.first + m->create_symbol.count; i++)
        if (!shape || sn_shape_value(shape, sn_image_string(m, row[i].name)) < 0)
            return true;
    return false;
}

SnStatus sn_typed_measure(const SnTypedDesc *desc, uint64_t *block_bytes, SnError *err)
{
    static const char *const level[] = {"base"};
    SnProgramDesc program = *desc->program;
    SnTypedDesc own = *desc;
    SnStatus st = SN_ENOMEM;
    uint64_t need = 0;
    *block_bytes = 0;
    if (desc->kind != SN_TYPED_CHAT && is_open(program.image, desc->shape))
        return SN_OK;
    /* Nothing runs: any code and any address of weights will do. */
    program.nlevel = 1;
    program.level = level;
    program.kernel = NULL;
    program.host = NULL;
    program.weights = program.image;
    own.block_bytes = 0;
    for (size_t size = (size_t)1 << 24; st == SN_ENOMEM && size < SIZE_MAX / 2; size *= 2)
        st = try_block(&own, &program, size, &need, err);
    if (st == SN_OK)
        *block_bytes = need + (need && desc->program->weights_file ? WEIGHT_PATHS : 0);
    return st;
}
