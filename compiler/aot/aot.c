/* aot.c -- ahead of time: a program as one object in memory, and the files that are made of it.
 *
 * The object has one function a kernel and CPU level, the image, tables of pointers to both and to host ops,
 * and the descriptor NAME_program. A format's writer adds the weights, which stay where they are mapped until
 * then. */
#include "compiler/aot/face.h"
#include "compiler/compiler.h"
#include "runtime/cpu.h"

#define MAX_NAME         100
#define MAX_TEXT_WEIGHTS ((uint64_t)16 << 20)

/* By the ending of the file's name. */
typedef struct Format {
    const char *ending;
    SnAotWriteFn *write;
    const char *backend; /* makes the object, for level `base` alone; NULL: native code for CPU levels */
} Format;

static const Format formats[] = {
    {".o", sn_aot_object, NULL},
    {".a", sn_aot_archive, NULL},
    {".so", sn_aot_shared, NULL},
    {".c", sn_aot_source, "clike"},
};

typedef struct Emission {
    SnCompilation c;
    SnAot a;
    SnArena arena;
    const Format *format;
    const SnBackend *backend; /* makes the object */
    char name[MAX_NAME];
    const char *level[SN_CPU_LEVEL_COUNT];
    SnTarget target[SN_CPU_LEVEL_COUNT];
} Emission;

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "emit: no memory");
}

/* "dir/npc-brain.o" ▶ "npc_brain" */
static SnStatus set_name(Emission *e, SnError *err)
{
    const char *path = e->a.path, *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    const size_t n = dot ? (size_t)(dot - base) : 0;
    for (size_t i = 0; dot && i < SN_COUNT(formats); i++)
        e->format = strcmp(dot, formats[i].ending) == 0 ? &formats[i] : e->format;
    SN_CHECK(e->format && n > 0 && n < sizeof e->name, err, SN_EINVAL,
             "%s: expected a file name that ends in .so, .o, .a or .c", path);
    for (size_t i = 0; i < n; i++) {
        const char c = base[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        e->name[i] = letter || (i > 0 && c >= '0' && c <= '9') ? c : '_';
    }
    e->a.name = e->name;
    return SN_OK;
}

static SnStatus check_levels(Emission *e, const char *list, SnError *err)
{
    SnTarget t;
    for (const char *at = list; *at;) {
        const size_t n = strcspn(at, ",");
        const char *name = sn_arena_strndup(&e->arena, at, n);
        if (!name)
            return no_memory(err);
        SN_TRY(sn_target_of_level(name, &t, err));
        at += n + (at[n] == ',');
    }
    SN_CHECK(*list, err, SN_EINVAL, "emit: no CPU levels");
    return SN_OK;
}

/* One level, whose bits are those of all machines. */
static SnStatus set_base(Emission *e, const SnCompileOptions *o, SnError *err)
{
    SnAot *a = &e->a;
    SN_CHECK(!o || !o->levels, err, SN_EINVAL, "%s: CPU levels are for native code, asked for %s", a->path,
             o->levels);
    SN_TRY(e->backend->probe(a->ctx, 0, &e->target[0], err));
    e->target[0].exact = true;
    e->level[0] = sn_cpu_level_name(SN_CPU_BASE);
    a->level = e->level;
    a->nlevel = 1;
    return SN_OK;
}

/* Lowest first. Grids are the same for all, so one with tiles shapes those of all. */
static SnStatus set_levels(Emission *e, const SnCompileOptions *o, SnError *err)
{
    const char *list = o && o->levels ? o->levels : "v3,v4,v4d,amx";
    SnAot *a = &e->a;
    SN_TRY(check_levels(e, list, err));
    for (SnCpuLevel i = 0; i < SN_CPU_LEVEL_COUNT; i++) {
        SnTarget *t = &e->target[a->nlevel];
        if (!sn_is_one_of(sn_bytes_str(sn_cpu_level_name(i)), list))
            continue;
        SN_TRY(sn_target_of_level(sn_cpu_level_name(i), t, err));
        t->exact = o && (o->flags & SN_EXACT);
        e->level[a->nlevel++] = t->level;
    }
    for (uint32_t i = 0; i < a->nlevel; i++)
        e->target[i].fits_tiles = e->target[a->nlevel - 1].fits_tiles;
    a->level = e->level;
    return SN_OK;
}

static void set_task(SnAot *a, const SnTask *task)
{
    static const SnTask tensors = {.kind = SN_TYPED_TENSORS};
    a->task = task ? task : &tensors;
    a->typed = (SnTypedDesc){.abi = SN_ABI,
                             .kind = a->task->kind,
                             .width = a->task->width,
                             .has_pair = a->task->has_pair,
                             .max_text = a->task->max_text};
}

/* ---- weights ---- */

/* They as parts of a file, zeros between them. */
static SnStatus list_weights(SnAot *a, SnError *err)
{
    static const uint8_t zeros[SN_AOT_WEIGHT_ALIGN] = {0};
    SnBytes *part = sn_arena_array(a->arena, 2 * a->nweight + 1, sizeof *part);
    if (!part)
        return no_memory(err);
    for (size_t i = 0; i < a->nweight; i++) {
        const uint64_t end = i + 1 < a->nweight ? a->weight[i + 1].offset : a->weight_size;
        part[2 * i] = a->weight[i].bytes;
        part[2 * i + 1] = sn_bytes(zeros, (size_t)(end - a->weight[i].offset) - part[2 * i].n);
    }
    a->weight_part = part;
    a->nweight_part = 2 * a->nweight;
    a->weight_hash = sn_weights_hash(part, a->nweight_part);
    return SN_OK;
}

/* Where each lies in the file: the image's rows say so too. */
static SnStatus place_weights(Emission *e, SnError *err)
{
    SnSteps *x = &e->c.x;
    SnAot *a = &e->a;
    SnAotWeight *w = sn_arena_array(a->arena, x->weight.n + 1, sizeof *w);
    size_t at = 0;
    if (!w)
        return no_memory(err);
    for (size_t i = 0; i < x->weight.n; i++) {
        w[i] = (SnAotWeight){.bytes = x->weight.at[i].bytes, .offset = at};
        x->param.at[i].offset = at;
        SN_CHECK(sn_add_size(at, w[i].bytes.n, &at) && sn_align_size(at, SN_AOT_WEIGHT_ALIGN, &at), err,
                 SN_EUNSUPPORTED, "emit: more bytes of weights than there are addresses");
    }
    a->weight = w;
    a->nweight = x->weight.n;
    a->weight_size = at;
    a->weights = sn_aot_symbol(a, "weights");
    return a->weights ? list_weights(a, err) : no_memory(err);
}

/* ---- data ---- */

const char *sn_aot_symbol(SnAot *a, const char *part)
{
    return sn_arena_printf(a->arena, "%s_%s", a->name, part);
}

SnStatus sn_aot_data(SnAot *a, SnObjectData d, SnError *err)
{
    if (!d.symbol || !sn_vec_push(a->arena->memory, &a->data, d))
        return no_memory(err);
    return SN_OK;
}

SnStatus sn_aot_thunk(SnAot *a, SnObjectThunk f, SnError *err)
{
    if (!f.symbol || !f.target || !sn_vec_push(a->arena->memory, &a->thunk, f))
        return no_memory(err);
    return SN_OK;
}

SnStatus sn_aot_table(SnAot *a, const char *part, const char *const *symbol, size_t n, SnError *err)
{
    struct SnObjectReloc *reloc = sn_arena_array(a->arena, n + 1, sizeof *reloc);
    uint8_t *bytes = sn_arena_array(a->arena, n + 1, sizeof(uint64_t));
    if (!reloc || !bytes)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        reloc[i] = (struct SnObjectReloc){.offset = i * sizeof(uint64_t), .symbol = symbol[i]};
    const SnObjectData d = {.symbol = sn_aot_symbol(a, part),
                            .is_hidden = true,
                            .bytes = sn_bytes(bytes, (n + 1) * sizeof(uint64_t)),
                            .align = 16,
                            .reloc = reloc,
                            .nreloc = n};
    return sn_aot_data(a, d, err);
}

static SnStatus add_text(SnAot *a, const char *symbol, const char *text, SnError *err)
{
    if (!text)
        return no_memory(err);
    const SnBytes bytes = sn_bytes(text, strlen(text) + 1);
    return sn_aot_data(a, (SnObjectData){.symbol = symbol, .is_hidden = true, .bytes = bytes}, err);
}

/* Hidden data NAME_part: texts, and a table NAME_parts of pointers to them. */
static SnStatus add_texts(SnAot *a, const char *part, const char *const *text, size_t n, SnError *err)
{
    const char **symbol = sn_arena_array(a->arena, n + 1, sizeof *symbol);
    const char *table = sn_arena_printf(a->arena, "%ss", part);
    if (!symbol || !table)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        symbol[i] = sn_arena_printf(a->arena, "%s_%s%zu", a->name, part, i);
        SN_TRY(add_text(a, symbol[i], text[i], err));
    }
    return sn_aot_table(a, table, symbol, n, err);
}

static SnStatus add_host(Emission *e, SnError *err)
{
    const SnSteps *x = &e->c.x;
    const char **symbol = sn_arena_array(&e->arena, x->host_fn.n + 1, sizeof *symbol);
    if (!symbol)
        return no_memory(err);
    for (size_t i = 0; i < x->host_fn.n; i++) {
        symbol[i] = x->host_fn.at[i]->symbol;
        SN_CHECK(symbol[i], err, SN_EUNSUPPORTED, "%s: this host op cannot be linked", x->host_fn.at[i]->sig);
    }
    return sn_aot_table(&e->a, "host", symbol, x->host_fn.n, err);
}

typedef struct Pointer {
    size_t offset;
    const char *part; /* NAME_part; NULL: none */
} Pointer;

/* A struct of plain fields and pointers to other data; bytes must be the arena's. */
static SnStatus add_struct(SnAot *a, const char *part, bool is_hidden, SnBytes bytes, const Pointer *pointer,
                           size_t n, SnError *err)
{
    struct SnObjectReloc *reloc = sn_arena_array(a->arena, n, sizeof *reloc);
    SnObjectData d = {.symbol = sn_aot_symbol(a, part),
                      .is_hidden = is_hidden,
                      .bytes = bytes,
                      .align = 16,
                      .reloc = reloc};
    if (!reloc)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        if (!pointer[i].part)
            continue;
        reloc[d.nreloc++] = (struct SnObjectReloc){pointer[i].offset, sn_aot_symbol(a, pointer[i].part)};
        if (!reloc[d.nreloc - 1].symbol)
            return no_memory(err);
    }
    return sn_aot_data(a, d, err);
}

/* "dir/npc-brain.so" ▶ "npc-brain.weights" */
static const char *weights_name(SnAot *a)
{
    const char *slash = strrchr(a->path, '/'), *base = slash ? slash + 1 : a->path;
    const int stem = (int)(strrchr(base, '.') - base);
    return sn_arena_printf(a->arena, "%.*s" SN_AOT_WEIGHTS_ENDING, stem, base);
}

static SnStatus add_descriptor(SnAot *a, SnError *err)
{
    SnProgramDesc *desc = sn_arena_alloc(a->arena, sizeof *desc);
    if (!desc)
        return no_memory(err);
    *desc = (SnProgramDesc){.abi = SN_ABI,
                            .nlevel = a->nlevel,
                            .image_size = a->image->size,
                            .weights_size = a->weight_size,
                            .weights_hash = a->weight_hash};
    const Pointer pointer[] = {{offsetof(SnProgramDesc, image), "image"},
                               {offsetof(SnProgramDesc, level), "levels"},
                               {offsetof(SnProgramDesc, kernel), "kernels"},
                               {offsetof(SnProgramDesc, host), "host"},
                               {offsetof(SnProgramDesc, weights), a->is_beside ? NULL : "weights"},
                               {offsetof(SnProgramDesc, weights_file), a->is_beside ? "file" : NULL},
                               {offsetof(SnProgramDesc, typed), "typed"}};
    if (a->is_beside)
        SN_TRY(add_text(a, sn_aot_symbol(a, "file"), weights_name(a), err));
    return add_struct(a, "program", false, sn_bytes(desc, sizeof *desc), pointer, SN_COUNT(pointer), err);
}

/* Hidden data NAME_part: plain numbers. */
static SnStatus add_array(SnAot *a, const char *part, const void *at, size_t size, SnError *err)
{
    uint8_t *own = sn_arena_alloc(a->arena, size);
    if (!own)
        return no_memory(err);
    memcpy(own, at, size);
    const SnObjectData d = {
        .symbol = sn_aot_symbol(a, part), .is_hidden = true, .bytes = sn_bytes(own, size), .align = 16};
    return sn_aot_data(a, d, err);
}

static SnStatus add_chat(SnAot *a, const SnTypedChat *c, SnError *err)
{
    SnTypedChat *own = sn_arena_alloc(a->arena, sizeof *own);
    if (!own)
        return no_memory(err);
    *own = (SnTypedChat){.context = c->context,
                         .max_new = c->max_new,
                         .token_size = c->token_size,
                         .trims = c->trims,
                         .nbegin = c->nbegin,
                         .nstop = c->nstop,
                         .nnumber = c->nnumber,
                         .forgets = c->forgets};
    SN_TRY(add_text(a, sn_aot_symbol(a, "first"), c->first, err));
    SN_TRY(add_text(a, sn_aot_symbol(a, "next"), c->next, err));
    SN_TRY(add_text(a, sn_aot_symbol(a, "answer"), c->answer, err));
    if (c->said) {
        SN_TRY(add_text(a, sn_aot_symbol(a, "past_first"), c->past_first, err));
        SN_TRY(add_text(a, sn_aot_symbol(a, "past_next"), c->past_next, err));
        SN_TRY(add_text(a, sn_aot_symbol(a, "said"), c->said, err));
    }
    if (c->nbegin)
        SN_TRY(add_array(a, "begins", c->begin, c->nbegin * sizeof *c->begin, err));
    if (c->nstop)
        SN_TRY(add_array(a, "stops", c->stop, c->nstop * sizeof *c->stop, err));
    if (c->nnumber)
        SN_TRY(add_array(a, "values", c->value, c->nnumber * sizeof *c->value, err));
    SN_TRY(add_texts(a, "number", c->number, c->nnumber, err));
    const Pointer pointer[] = {{offsetof(SnTypedChat, first), "first"},
                               {offsetof(SnTypedChat, next), "next"},
                               {offsetof(SnTypedChat, answer), "answer"},
                               {offsetof(SnTypedChat, past_first), c->said ? "past_first" : NULL},
                               {offsetof(SnTypedChat, past_next), c->said ? "past_next" : NULL},
                               {offsetof(SnTypedChat, said), c->said ? "said" : NULL},
                               {offsetof(SnTypedChat, begin), c->nbegin ? "begins" : NULL},
                               {offsetof(SnTypedChat, stop), c->nstop ? "stops" : NULL},
                               {offsetof(SnTypedChat, number), "numbers"},
                               {offsetof(SnTypedChat, value), c->nnumber ? "values" : NULL}};
    return add_struct(a, "chat", true, sn_bytes(own, sizeof *own), pointer, SN_COUNT(pointer), err);
}

static SnStatus add_typed(SnAot *a, SnError *err)
{
    const SnTask *t = a->task;
    SnTypedDesc *desc = sn_arena_alloc(a->arena, sizeof *desc);
    if (!desc)
        return no_memory(err);
    *desc = a->typed;
    if (t->label)
        SN_TRY(add_texts(a, "label", t->label, t->width, err));
    if (t->chat)
        SN_TRY(add_chat(a, t->chat, err));
    if (t->shape)
        SN_TRY(add_text(a, sn_aot_symbol(a, "shape"), t->shape, err));
    const Pointer pointer[] = {{offsetof(SnTypedDesc, program), "program"},
                               {offsetof(SnTypedDesc, label), t->label ? "labels" : NULL},
                               {offsetof(SnTypedDesc, shape), t->shape ? "shape" : NULL},
                               {offsetof(SnTypedDesc, chat), t->chat ? "chat" : NULL}};
    return add_struct(a, "typed", true, sn_bytes(desc, sizeof *desc), pointer, SN_COUNT(pointer), err);
}

/* ---- the object ---- */

static SnStatus add_image(SnAot *a, SnError *err)
{
    const SnObjectData d = {.symbol = sn_aot_symbol(a, "image"),
                            .is_hidden = true,
                            .bytes = sn_bytes(a->image, a->image->size),
                            .align = 64};
    return sn_aot_data(a, d, err);
}

static bool has_tile_statements(const SnStmt *s)
{
    for (; s; s = s->next)
        if (s->kind == SN_STMT_TILE || has_tile_statements(s->body))
            return true;
    return false;
}

/* Does it use what levels of equal registers differ in? */
static SnStatus uses_units(Emission *e, const SnKernel *k, bool *out, SnError *err)
{
    uint32_t n = 0;
    const SnRef *term = sn_kernel_terms(k, &e->arena, &n);
    if (!term)
        return no_memory(err);
    *out = has_tile_statements(k->body);
    for (uint32_t i = 0; i < n && !*out; i++) {
        const uint16_t op = sn_term(k->store, term[i])->op;
        *out = op == SN_OP_DOT2 || op == SN_OP_DOT4;
    }
    return SN_OK;
}

static bool same_registers(const SnTarget *a, const SnTarget *b)
{
    return a->vector_bytes == b->vector_bytes && a->vector_count == b->vector_count;
}

/* Symbols of the kernels, [level][kernel]: the one of the level before where the code would be the same. */
static SnStatus name_kernels(Emission *e, const SnKernel **kernel, const char **symbol, SnError *err)
{
    const SnSteps *x = &e->c.x;
    const size_t n = x->kernel_row.n;
    const uint32_t nlevel = e->a.nlevel;
    for (size_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < nlevel; i++) {
            const size_t at = i * n + k;
            bool is_special = false;
            kernel[at] = x->kernel.at[k * nlevel + i];
            if (i > 0 && kernel[at] == kernel[at - n] && same_registers(&e->target[i], &e->target[i - 1])) {
                SN_TRY(uses_units(e, kernel[at], &is_special, err));
                symbol[at] = is_special ? NULL : symbol[at - n];
            }
            if (!symbol[at])
                symbol[at] = sn_arena_printf(&e->arena, "%s_k%zu_%s", e->a.name, k, e->level[i]);
            if (!symbol[at])
                return no_memory(err);
        }
    return SN_OK;
}

/* Text has the weights in it where they are few: compilers take long for arrays. Else they lie beside. */
static SnStatus add_weights(SnAot *a, SnError *err)
{
    a->is_beside = a->is_beside || a->weight_size > MAX_TEXT_WEIGHTS;
    if (a->is_beside)
        return SN_OK;
    uint8_t *all = sn_arena_alloc(a->arena, (size_t)a->weight_size + 1);
    if (!all)
        return no_memory(err);
    size_t at = 0;
    for (size_t i = 0; i < a->nweight_part; at += a->weight_part[i++].n)
        if (a->weight_part[i].n)
            memcpy(all + at, a->weight_part[i].at, a->weight_part[i].n);
    const SnBytes bytes = sn_bytes(all, at);
    return sn_aot_data(
        a, (SnObjectData){.symbol = a->weights, .is_hidden = true, .bytes = bytes, .align = SN_AOT_PAGE},
        err);
}

static SnStatus make_object(Emission *e, SnError *err)
{
    const SnSteps *x = &e->c.x;
    SnAot *a = &e->a;
    const size_t n = x->kernel.n;
    const char **symbol = sn_arena_array(&e->arena, n + 1, sizeof *symbol);
    const SnKernel **kernel = sn_arena_array(&e->arena, n + 1, sizeof *kernel);
    if (!symbol || !kernel)
        return no_memory(err);
    SN_TRY(name_kernels(e, kernel, symbol, err));
    SN_TRY(add_image(a, err));
    SN_TRY(sn_aot_table(a, "kernels", symbol, n, err));
    SN_TRY(add_texts(a, "level", a->level, a->nlevel, err));
    SN_TRY(add_host(e, err));
    SN_TRY(add_descriptor(a, err));
    SN_TRY(sn_face_add(a, err));
    SN_TRY(add_typed(a, err));
    const SnObjectParts parts = {.level = a->level,
                                 .nlevel = a->nlevel,
                                 .kernel = kernel,
                                 .symbol = symbol,
                                 .nkernel = (uint32_t)x->kernel_row.n,
                                 .data = a->data.at,
                                 .ndata = (uint32_t)a->data.n,
                                 .thunk = a->thunk.at,
                                 .nthunk = e->format->backend ? 0 : (uint32_t)a->thunk.n};
    uint8_t *at = NULL;
    size_t size = 0;
    e->target[0].module_dir = e->c.target.module_dir;
    SN_TRY(e->backend->emit(a->ctx, &e->target[0], &parts, &at, &size, err));
    a->object = sn_bytes(at, size);
    return SN_OK;
}

/* ---- all of it ---- */

static SnStatus emit(Emission *e, SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, SnError *err)
{
    SN_TRY(set_name(e, err));
    SN_TRY(sn_compiler_backend(cc, e->format->backend ? e->format->backend : "llvm", &e->backend, err));
    SN_CHECK(e->backend->emit, err, SN_EUNSUPPORTED, "%s: backend %s writes no %s files", e->a.path,
             e->backend->name, e->format->ending);
    SN_TRY(e->format->backend ? set_base(e, o, err) : set_levels(e, o, err));
    set_task(&e->a, o ? o->task : NULL);
    e->a.is_beside = o && o->weights_beside;
    SN_TRY(sn_aot_check_bindings(o ? o->bindings : NULL, err));
    SN_TRY(sn_compilation_init(&e->c, cc, g, o, err));
    e->c.level = e->target;
    e->c.nlevel = e->a.nlevel;
    SN_TRY(sn_compilation_steps(&e->c, err));
    SN_TRY(place_weights(e, err));
    if (e->format->backend)
        SN_TRY(add_weights(&e->a, err));
    SnImage *image = NULL;
    SN_TRY(sn_steps_image(&e->c.x, &e->arena, &image, err));
    e->a.image = image;
    SN_TRY(make_object(e, err));
    SN_TRY(sn_aot_write(&e->a, e->format->write, o ? o->bindings : NULL, err));
    return o && o->sizes ? sn_aot_sizes(&e->a, e->format->backend != NULL, o->sizes, err) : SN_OK;
}

SnStatus sn_emit(SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, const char *path, SnError *err)
{
    SnContext *ctx = sn_compiler_context(cc);
    const SnAllocator *memory = sn_allocator(ctx);
    Emission e = {.a = {.ctx = ctx, .path = path}, .c.pass.ctx = ctx};
    e.a.arena = &e.arena;
    sn_arena_init(&e.arena, memory);
    const SnStatus st = emit(&e, cc, g, o, err);
    sn_free(memory, (void *)(uintptr_t)e.a.object.at, e.a.object.n, 1);
    sn_vec_clear(memory, &e.a.data);
    sn_vec_clear(memory, &e.a.thunk);
    sn_compilation_clear(&e.c);
    sn_arena_clear(&e.arena);
    return st;
}
