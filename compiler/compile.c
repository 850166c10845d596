/* compile.c -- the pipeline. Read this first.
 *
 *   graph ▶ simplify ▶ grad ▶ expand ▶ simplify ▶ inline ▶ flatten ▶ simplify ▶ pack ▶ hoist   terms to terms
 *         ▶ load      work on parameters alone: a program of its own, run here (load.c)
 *         ▶ fuse      which terms lie in memory
 *         ▶ steps     each of those lowered to kernels, in order, with buffers and dims: the image
 *         ▶ build     kernels to code, by the backend of the target
 *
 * A program that the cache has from before is found by its graph, and nothing of this is done (keep.c).
 *
 * SINTER_DUMP=NAME in the environment logs the text form after that stage. */
#include "compiler/compile.h"
#include "compiler/compiler.h"
#include "compiler/text.h"

#include <stdlib.h>

#define FIT_ROUNDS 8 /* of layouts for a budget */

static const struct {
    const char *name;
    SnPassFn *run;
    uint32_t flag; /* what sn_verify may demand from here on */
} stages[] = {
    {"simplify", sn_pass_simplify, 0},
    {"grad", sn_pass_grad, 0},
    {"expand", sn_pass_expand, SN_PASS_EXPANDED},
    {"algebra", sn_pass_simplify, 0},
    {"inline", sn_pass_inline, SN_PASS_INLINED},
    {"flatten", sn_pass_flatten, SN_PASS_FLAT},
    {"tidy", sn_pass_simplify, 0},
    {"pack", sn_pass_pack, 0},
    {"hoist", sn_pass_hoist, 0},
};

static SnStatus dump(SnPass *p, const char *stage, SnRef root, SnError *err)
{
    const char *want = getenv("SINTER_DUMP");
    if (!want || strcmp(want, stage) != 0)
        return SN_OK;
    SnText text = {.memory = sn_allocator(p->ctx)};
    const SnStatus st = sn_root_print(p->cc, p->s, root, &text, err);
    if (st == SN_OK)
        sn_log_write(p->ctx, SN_LOG_INFO, "%s", text.at ? text.at : "");
    sn_text_clear(&text);
    return st;
}

static SnStatus run_stages(SnPass *p, SnRef *root, SnError *err)
{
    for (size_t i = 0; i < SN_COUNT(stages); i++) {
        SN_TRY(stages[i].run(p, *root, root, err));
        SN_CHECK(!sn_store_failed(p->s) && *root, err, SN_ENOMEM, "compile: no memory in %s", stages[i].name);
        p->flags |= stages[i].flag;
#ifndef NDEBUG
        SN_TRY(sn_verify(p, *root, err));
#endif
        SN_TRY(dump(p, stages[i].name, *root, err));
    }
    return SN_OK;
}

/* "cpu", "interp", "clike", "opencl:1" */
static SnStatus find_target(SnCompiler *cc, const SnCompileOptions *o, const SnBackend **backend, SnTarget *t,
                            SnError *err)
{
    const char *name = o && o->target ? o->target : "cpu";
    const char *colon = strchr(name, ':');
    const int index = colon ? atoi(colon + 1) : 0;
    char base[32];
    const size_t n = colon ? (size_t)(colon - name) : strlen(name);
    SN_CHECK(n < sizeof base && index >= 0, err, SN_EINVAL, "compile: unknown target %s", name);
    memcpy(base, name, n);
    base[n] = 0;
    SN_TRY(sn_compiler_backend(cc, strcmp(base, "cpu") == 0 ? "llvm" : base, backend, err));
    *t = (SnTarget){0};
    SN_TRY((*backend)->probe(sn_compiler_context(cc), index, t, err));
    t->exact = o && (o->flags & SN_EXACT);
    t->module_dir = sn_compiler_module_dir(cc);
    return SN_OK;
}

SnStatus sn_compiler_device(SnCompiler *cc, const char *target, SnText *out, SnError *err)
{
    SnTarget t;
    const SnBackend *backend = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
    SN_TRY(find_target(cc, &o, &backend, &t, err));
    sn_text_printf(out, "%s%s%s, vectors of %u bytes", t.name, t.level ? " " : "", t.level ? t.level : "",
                   t.vector_bytes);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "devices: no memory");
    return SN_OK;
}

SnStatus sn_compilation_init(SnCompilation *c, SnCompiler *cc, SnGraph *g, const SnCompileOptions *o,
                             SnError *err)
{
    *c = (SnCompilation){.pass = {.ctx = sn_compiler_context(cc), .cc = cc, .g = g, .s = sn_graph_store(g)}};
    SN_TRY(find_target(cc, o, &c->backend, &c->target, err));
    sn_arena_init(&c->work, sn_allocator(c->pass.ctx));
    c->pass.target = c->pass.level = &c->target;
    c->pass.nlevel = 1;
    c->pass.flags = o ? o->flags : 0;
    c->pass.arena = &c->work;
    c->specialise = o ? o->specialise : NULL;
    c->shape = o ? o->shape : NULL;
    c->memory_budget = o ? o->memory_budget : 0;
    return SN_OK;
}

void sn_compilation_clear(SnCompilation *c)
{
    if (c->x.memory)
        sn_steps_clear(&c->x);
    sn_packed_clear(&c->loaded.blob, c->pass.ctx);
    sn_arena_clear(&c->work);
}

/* What the greediest entry takes. */
static SnStatus measure_memory(SnCompilation *c, uint64_t *out, SnError *err)
{
    SnImage *image = NULL;
    SN_TRY(sn_steps_image(&c->x, c->pass.arena, &image, err));
    const SnProgram program = {.ctx = c->pass.ctx, .image = image};
    const SnEntryRow *entry = SN_ROWS(image, SnEntryRow, entry);
    *out = 0;
    for (uint32_t i = 0; i < image->entry.count; i++) {
        SnMemoryUse use;
        const char *name = sn_image_string(image, entry[i].name);
        SN_TRY(sn_program_plan(&program, name, c->shape ? c->shape : "", &use, err));
        const uint64_t bytes = use.state_bytes + use.scratch_bytes;
        *out = bytes > *out ? bytes : *out;
    }
    return SN_OK;
}

/* Steps of a program that is ordered anew where it has gradients; *peak: what that is about to take. */
static SnStatus ordered_steps(SnCompilation *c, SnRef root, const SnSource *source, const bool *is_stored,
                              uint64_t most, uint64_t *peak, SnError *err)
{
    SnPass *p = &c->pass;
    bool *stored = NULL;
    if (p->flags & SN_PASS_GRAD)
        SN_TRY(sn_order(p, is_stored, c->shape, most, root, &root, peak, err));
    const uint32_t n = sn_store_count(p->s);
    SN_TRY(sn_fuse(p, root, &stored, err));
    if (c->x.memory)
        sn_steps_clear(&c->x);
    sn_steps_init(&c->x, p, source, stored, n);
    return sn_steps_program(&c->x, root, err);
}

/* How a block is packed is known when there are steps: where they take more than they may, what is alive at a
 * time has to be as much less; where that does not help, as little as can be. */
static SnStatus fit_steps(SnCompilation *c, SnRef root, const SnSource *source, SnError *err)
{
    uint64_t most = c->memory_budget, peak = 0, before = UINT64_MAX, bytes = 0;
    bool *is_stored = NULL;
    SN_TRY(sn_fuse(&c->pass, root, &is_stored, err));
    for (int i = 0; i < FIT_ROUNDS; i++) {
        SN_TRY(ordered_steps(c, root, source, is_stored, most, &peak, err));
        if (c->memory_budget == 0)
            return SN_OK;
        SN_TRY(measure_memory(c, &bytes, err));
        if (bytes <= c->memory_budget)
            return SN_OK;
        if (most == 1)
            break;
        const uint64_t over = bytes - c->memory_budget;
        most = peak < before && over < peak && i + 2 < FIT_ROUNDS ? peak - over : 1;
        before = peak;
    }
    return sn_fail(err, SN_EUNSUPPORTED, "memory_budget: %llu bytes, a run takes %llu at least%s%s",
                   (unsigned long long)c->memory_budget, (unsigned long long)bytes, c->shape ? " at " : "",
                   c->shape ? c->shape : "");
}

static SnStatus make_steps(SnCompilation *c, SnError *err)
{
    SnPass *p = &c->pass;
    SN_TRY(sn_graph_check(p->g, err));
    SnRef root = sn_graph_root(p->g);
    SN_TRY(sn_graph_check(p->g, err));
    SN_TRY(sn_specialise(p, c->specialise, root, &root, err));
    SN_TRY(sn_declare_inputs(p, root, err));
    SN_TRY(run_stages(p, &root, err));
    SnRef load = 0;
    SN_TRY(sn_split_load(p, root, &root, &load, err));
    if (load != 0)
        SN_TRY(sn_compilation_load(c, load, err));
    if (c->level != NULL) {
        p->target = p->level = c->level;
        p->nlevel = c->nlevel;
    }
    return fit_steps(c, root, load != 0 ? &c->loaded.source : sn_graph_get_source(p->g), err);
}

SnStatus sn_compilation_steps(SnCompilation *c, SnError *err)
{
    const SnStatus st = make_steps(c, err);
    /* Whatever a pass made of terms that are missing, this is why. */
    if (st != SN_OK && st != SN_ENOMEM && sn_store_failed(c->pass.s))
        return sn_fail(err, SN_ENOMEM, "compile: no memory for terms");
    return st;
}

SnStatus sn_compilation_weight(SnArena *arena, const SnSourceTensor *w, const char *name, const void **at,
                               uint64_t *copied, SnError *err)
{
    *at = w->bytes.at;
    if ((uintptr_t)w->bytes.at % sn_dtype_size(w->dtype) == 0)
        return SN_OK;
    void *copy = sn_arena_alloc(arena, w->bytes.n);
    SN_CHECK(copy, err, SN_ENOMEM, "parameter %s: no memory to align %zu bytes", name, w->bytes.n);
    memcpy(copy, w->bytes.at, w->bytes.n);
    *at = copy;
    *copied += w->bytes.n;
    return SN_OK;
}

static SnStatus bind_weights(SnSteps *x, SnArena *arena, const void ***out, uint64_t *copied, SnError *err)
{
    const void **param = sn_arena_array(arena, x->weight.n + 1, sizeof *param);
    SN_CHECK(param, err, SN_ENOMEM, "compile: no memory for %zu parameters", x->weight.n);
    for (size_t i = 0; i < x->weight.n; i++)
        SN_TRY(sn_compilation_weight(arena, &x->weight.at[i], x->string.at + x->param.at[i].name, &param[i],
                                     copied, err));
    *out = param;
    return SN_OK;
}

static SnHostFn **host_table(SnSteps *x, SnArena *arena)
{
    SnHostFn **fn = sn_arena_array(arena, x->host_fn.n + 1, sizeof *fn);
    for (size_t i = 0; fn && i < x->host_fn.n; i++)
        fn[i] = x->host_fn.at[i]->run;
    return fn;
}

SnStatus sn_compilation_program(SnCompilation *c, SnSteps *x, SnArena *arena, SnProgram **out, SnError *err)
{
    SnImage *image = NULL;
    const void **param = NULL;
    uint64_t copied = 0;
    SN_TRY(sn_steps_image(x, arena, &image, err));
    SN_TRY(bind_weights(x, arena, &param, &copied, err));
    SnHostFn **host = host_table(x, arena);
    SN_CHECK(host, err, SN_ENOMEM, "compile: no memory for host ops");
    SnModule *module = NULL;
    SnContext *ctx = c->pass.ctx;
    SN_TRY(c->backend->build(ctx, &c->target, x->kernel.at, (uint32_t)x->kernel.n, &module, err));
    const SnStatus st = sn_program_create(ctx, image, module, host, param, arena, out, err);
    if (st != SN_OK) {
        module->destroy(module);
        return st;
    }
    (*out)->packed_bytes += copied;
    return SN_OK;
}

/* One that was compiled before, or a new one. */
static SnStatus make_program(SnCompilation *c, SnArena *arena, SnProgram **out, SnError *err)
{
    SnKept kept = {.has_key = false};
    SN_TRY(sn_kept_find(c, &kept, arena, out, err));
    if (!*out) {
        SN_TRY(sn_compilation_steps(c, err));
        SN_TRY(sn_compilation_program(c, &c->x, arena, out, err));
        sn_kept_add(c, &kept, (*out)->image);
    }
    SnProgram *p = *out;
    p->packed = c->loaded.blob;
    c->loaded.blob = (SnPacked){0};
    const SnSource *source = sn_graph_get_source(c->pass.g);
    if (source && source->retain) {
        source->retain(source->self);
        p->release = source->release;
        p->owner = source->self;
    }
    return SN_OK;
}

SnStatus sn_compile(SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, SnProgram **out, SnError *err)
{
    SnCompilation c;
    SnArena keep;
    SnProgram *program = NULL;
    sn_arena_init(&keep, sn_allocator(sn_compiler_context(cc)));
    SnStatus st = sn_compilation_init(&c, cc, g, o, err);
    if (st == SN_OK)
        st = make_program(&c, &keep, &program, err);
    sn_compilation_clear(&c);
    sn_arena_clear(&keep);
    if (st == SN_OK)
        *out = program;
    return st;
}
