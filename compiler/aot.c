/* aot.c -- ahead of time: an object file that holds a program, and the header that declares it.
 *
 * NAME.o has one function a kernel and CPU level, the image, tables of pointers to both and to host ops, the
 * weights (as a file that the assembler includes: they never pass through the compiler), and the descriptor
 * NAME. */
#include "compiler/compile.h"

#include <stdio.h>

#define WEIGHT_ALIGN 64u
#define PAGE         4096u
#define MAX_NAME     100
#define MAX_LEVELS   8

typedef struct Aot {
    SnCompilation c;
    SnArena arena;
    const char *path;
    char name[MAX_NAME]; /* of the descriptor: the file's name as a C identifier */
    const char *level[MAX_LEVELS];
    uint32_t nlevel;
    SnImage *image;
    char *weight_path;
    SN_VEC(SnObjectData) data;
} Aot;

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "emit: no memory");
}

/* "dir/npc-brain.o" ▶ "npc_brain" */
static SnStatus set_name(Aot *a, SnError *err)
{
    const char *slash = strrchr(a->path, '/'), *base = slash ? slash + 1 : a->path;
    const char *dot = strrchr(base, '.');
    const size_t n = dot ? (size_t)(dot - base) : 0;
    SN_CHECK(dot && strcmp(dot, ".o") == 0 && n > 0 && n < sizeof a->name, err, SN_EINVAL,
             "%s: expected a file name that ends in .o", a->path);
    for (size_t i = 0; i < n; i++) {
        const char c = base[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        a->name[i] = letter || (i > 0 && c >= '0' && c <= '9') ? c : '_';
    }
    return SN_OK;
}

static SnStatus set_levels(Aot *a, const char *levels, SnError *err)
{
    const char *at = levels ? levels : "v3,v4,v4d,amx";
    while (*at) {
        const size_t n = strcspn(at, ",");
        SN_CHECK(a->nlevel < MAX_LEVELS, err, SN_EINVAL, "emit: more than %d levels in \"%s\"", MAX_LEVELS,
                 levels);
        a->level[a->nlevel] = sn_arena_strndup(&a->arena, at, n);
        if (!a->level[a->nlevel++])
            return no_memory(err);
        at += n + (at[n] == ',');
    }
    return SN_OK;
}

/* ---- weights ---- */

/* Writes all parameters to one file, each aligned; the image's rows say where. */
static SnStatus write_weights(Aot *a, SnError *err)
{
    static const uint8_t zeros[WEIGHT_ALIGN] = {0};
    SnSteps *x = &a->c.x;
    SnBytes *part = sn_arena_array(&a->arena, 2 * x->weight.n + 1, sizeof *part);
    a->weight_path = sn_arena_printf(&a->arena, "%s.weights", a->path);
    if (!part || !a->weight_path)
        return no_memory(err);
    uint64_t at = 0;
    for (size_t i = 0; i < x->weight.n; i++) {
        const SnBytes b = x->weight.at[i].bytes;
        x->param.at[i].offset = at;
        part[2 * i] = b;
        part[2 * i + 1] = sn_bytes(zeros, (WEIGHT_ALIGN - b.n % WEIGHT_ALIGN) % WEIGHT_ALIGN);
        at += b.n + part[2 * i + 1].n;
    }
    if (x->weight.n == 0)
        part[0] = sn_bytes(zeros, sizeof zeros);
    return sn_file_write(a->c.pass.ctx, a->weight_path, part, x->weight.n ? 2 * x->weight.n : 1, err);
}

/* ---- data ---- */

static SnStatus add_data(Aot *a, SnObjectData d, SnError *err)
{
    if (!d.symbol || !sn_vec_push(sn_allocator(a->c.pass.ctx), &a->data, d))
        return no_memory(err);
    return SN_OK;
}

static const char *part_name(Aot *a, const char *part)
{
    return sn_arena_printf(&a->arena, "%s_%s", a->name, part);
}

/* A table of n pointers to symbols. */
static SnStatus add_table(Aot *a, const char *part, const char *const *symbol, size_t n, SnError *err)
{
    struct SnObjectReloc *reloc = sn_arena_array(&a->arena, n + 1, sizeof *reloc);
    uint8_t *bytes = sn_arena_array(&a->arena, n + 1, sizeof(uint64_t));
    if (!reloc || !bytes)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        reloc[i] = (struct SnObjectReloc){.offset = i * sizeof(uint64_t), .symbol = symbol[i]};
    const SnObjectData d = {.symbol = part_name(a, part),
                            .bytes = sn_bytes(bytes, (n + 1) * sizeof(uint64_t)),
                            .align = 16,
                            .reloc = reloc,
                            .nreloc = n};
    return add_data(a, d, err);
}

static SnStatus add_levels(Aot *a, SnError *err)
{
    const char *symbol[MAX_LEVELS];
    for (uint32_t i = 0; i < a->nlevel; i++) {
        symbol[i] = sn_arena_printf(&a->arena, "%s_level%u", a->name, i);
        const SnBytes text = sn_bytes(a->level[i], strlen(a->level[i]) + 1);
        SN_TRY(add_data(a, (SnObjectData){.symbol = symbol[i], .bytes = text}, err));
    }
    return add_table(a, "levels", symbol, a->nlevel, err);
}

static SnStatus add_host(Aot *a, SnError *err)
{
    SnSteps *x = &a->c.x;
    const char **symbol = sn_arena_array(&a->arena, x->host_fn.n + 1, sizeof *symbol);
    if (!symbol)
        return no_memory(err);
    for (size_t i = 0; i < x->host_fn.n; i++) {
        symbol[i] = x->host_fn.at[i]->symbol;
        SN_CHECK(symbol[i], err, SN_EUNSUPPORTED, "%s: this host op cannot be linked", x->host_fn.at[i]->sig);
    }
    return add_table(a, "host", symbol, x->host_fn.n, err);
}

static SnStatus add_descriptor(Aot *a, SnError *err)
{
    SnProgramDesc *desc = sn_arena_alloc(&a->arena, sizeof *desc);
    struct SnObjectReloc *reloc = sn_arena_array(&a->arena, 5, sizeof *reloc);
    if (!desc || !reloc)
        return no_memory(err);
    *desc = (SnProgramDesc){.abi = SN_ABI, .nlevel = a->nlevel, .image_size = a->image->size};
    static const struct {
        size_t offset;
        const char *part;
    } pointer[] = {{offsetof(SnProgramDesc, image), "image"},
                   {offsetof(SnProgramDesc, level), "levels"},
                   {offsetof(SnProgramDesc, kernel), "kernels"},
                   {offsetof(SnProgramDesc, host), "host"},
                   {offsetof(SnProgramDesc, weights), "weights"}};
    for (size_t i = 0; i < SN_COUNT(pointer); i++) {
        reloc[i] =
            (struct SnObjectReloc){.offset = pointer[i].offset, .symbol = part_name(a, pointer[i].part)};
        if (!reloc[i].symbol)
            return no_memory(err);
    }
    const SnObjectData d = {.symbol = a->name,
                            .bytes = sn_bytes(desc, sizeof *desc),
                            .align = 16,
                            .reloc = reloc,
                            .nreloc = SN_COUNT(pointer)};
    return add_data(a, d, err);
}

static SnStatus emit_object(Aot *a, SnError *err)
{
    SnSteps *x = &a->c.x;
    const size_t n = x->kernel.n * a->nlevel;
    const char **symbol = sn_arena_array(&a->arena, n + 1, sizeof *symbol);
    if (!symbol)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        symbol[i] =
            sn_arena_printf(&a->arena, "%s_k%zu_%s", a->name, i % x->kernel.n, a->level[i / x->kernel.n]);
        if (!symbol[i])
            return no_memory(err);
    }
    const SnObjectData image = {
        .symbol = part_name(a, "image"), .bytes = sn_bytes(a->image, a->image->size), .align = 64};
    const SnObjectData weights = {.symbol = part_name(a, "weights"), .path = a->weight_path, .align = PAGE};
    SN_TRY(add_data(a, image, err));
    SN_TRY(add_data(a, weights, err));
    SN_TRY(add_table(a, "kernels", symbol, n, err));
    SN_TRY(add_levels(a, err));
    SN_TRY(add_host(a, err));
    SN_TRY(add_descriptor(a, err));
    return a->c.backend->emit(a->c.pass.ctx, a->level, a->nlevel, &a->c.target, x->kernel.at, symbol,
                              (uint32_t)x->kernel.n, a->data.at, (uint32_t)a->data.n, a->path, err);
}

/* ---- header ---- */

static void print_slots(const SnImage *m, SnText *t, const char *what, SnRange r)
{
    const SnSlotRow *slot = SN_ROWS(m, SnSlotRow, slot);
    const SnInstr *instr = SN_ROWS(m, SnInstr, instr);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        sn_text_printf(t, " *   %-7s %-24s %s%s[", what, sn_image_string(m, slot[i].name),
                       slot[i].is_list ? "list of " : "", sn_dtype((SnDtype)slot[i].dtype)->name);
        for (uint32_t d = 0; d < slot[i].ndim; d++) {
            const char *comma = d ? ", " : "";
            int64_t value = -1;
            for (uint32_t k = 0; k < m->instr.count; k++)
                if (instr[k].op == SN_I_CONST && instr[k].dst == slot[i].dim_reg[d])
                    value = instr[k].imm;
            if (slot[i].dim_name[d] != SN_NONE)
                sn_text_printf(t, "%s%s", comma, sn_image_string(m, slot[i].dim_name[d]));
            else if (value >= 0)
                sn_text_printf(t, "%s%lld", comma, (long long)value);
            else
                sn_text_printf(t, "%scomputed", comma);
        }
        sn_text_printf(t, "]\n");
    }
}

static SnStatus write_header(Aot *a, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->c.pass.ctx)};
    const SnImage *m = a->image;
    sn_text_printf(&t,
                   "/* %s.h -- a compiled program. Link %s.o and libsinter-rt; open it with\n"
                   " * sn_program_link(ctx, &%s, &program, &err).\n",
                   a->name, a->name, a->name);
    for (uint32_t i = 0; i < m->entry.count; i++) {
        const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry) + i;
        sn_text_printf(&t, " *\n * entry %s\n", sn_image_string(m, e->name));
        print_slots(m, &t, "input", e->input);
        print_slots(m, &t, "output", e->output);
    }
    sn_text_printf(
        &t,
        " */\n#ifndef SN_MODEL_%s_H\n#define SN_MODEL_%s_H\n\n#include \"sinter.h\"\n\n#ifdef __cplusplus\n"
        "extern \"C\" {\n#endif\n\nextern const SnProgramDesc %s;\n\n#ifdef __cplusplus\n}\n#endif\n\n"
        "#endif\n",
        a->name, a->name, a->name);
    char *path = sn_arena_strndup(&a->arena, a->path, strlen(a->path));
    SnStatus st = path && !t.failed ? SN_OK : no_memory(err);
    if (st == SN_OK) {
        path[strlen(path) - 1] = 'h';
        const SnBytes text = sn_bytes(t.at, t.n);
        st = sn_file_write(a->c.pass.ctx, path, &text, 1, err);
    }
    sn_text_clear(&t);
    return st;
}

static SnStatus emit(Aot *a, SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, SnError *err)
{
    SN_TRY(set_name(a, err));
    SN_TRY(set_levels(a, o ? o->levels : NULL, err));
    SN_TRY(sn_compilation_init(&a->c, cc, g, o, err));
    SN_CHECK(a->c.backend->emit, err, SN_EUNSUPPORTED, "emit: target %s cannot write object files",
             a->c.backend->name);
    SN_TRY(sn_compilation_steps(&a->c, err));
    SN_TRY(write_weights(a, err));
    SnStatus st = sn_steps_image(&a->c.x, &a->arena, &a->image, err);
    if (st == SN_OK)
        st = emit_object(a, err);
    (void)remove(a->weight_path);
    return st == SN_OK ? write_header(a, err) : st;
}

SnStatus sn_emit(SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, const char *path, SnError *err)
{
    SnContext *ctx = sn_graph_store(g) ? sn_store_context(sn_graph_store(g)) : NULL;
    Aot a = {.path = path, .c.pass.ctx = ctx};
    sn_arena_init(&a.arena, sn_allocator(ctx));
    const SnStatus st = emit(&a, cc, g, o, err);
    sn_vec_clear(sn_allocator(ctx), &a.data);
    sn_compilation_clear(&a.c);
    sn_arena_clear(&a.arena);
    return st;
}
