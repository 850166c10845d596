/* load.c -- the load program: what hoist made of work on parameters is run once, and its results are kept as
 * one blob, each 64-byte aligned, in the order of the entry. The rest of the compilation finds them by name
 * in a source in front of the graph's own.
 *
 * It is a program of its own: its steps, kernels and scratch memory are gone when it has run. Its results are
 * written where the blob stays: in a file of the cache, which is mapped, or else on the heap. A blob that is
 * in the cache is mapped, and nothing of the load program but its text is made. */
#include "compiler/compile.h"
#include "compiler/text.h"
#include "runtime/cache.h"
#include "runtime/instance.h"

/* Raise it when the bits of a load program change and its text does not. */
#define PACK_VERSION 1
#define SLICE_NS     10000000 /* between looks at what is read no more */

static bool find_tensor(void *self, const char *name, SnSourceTensor *out)
{
    const SnLoaded *l = (const SnLoaded *)self;
    for (uint32_t i = 0; sn_is_packed_name(name) && i < l->n; i++) {
        if (strcmp(l->name[i], name) == 0) {
            *out = l->tensor[i];
            return true;
        }
    }
    return l->below != NULL && l->below->find(l->below->self, name, out);
}

/* ---- layout ---- */

/* Where each result lies; tensor[i].bytes.at is an offset until the blob is there. */
static SnStatus lay_out(SnCompilation *c, SnRef load, SnError *err)
{
    SnLoaded *l = &c->loaded;
    const SnStore *s = c->pass.s;
    const SnType *type = sn_type_of(s, load);
    size_t size = 0;
    l->n = (uint32_t)type->nchild;
    l->name = type->names;
    l->tensor = (SnSourceTensor *)sn_arena_array(&c->work, l->n, sizeof *l->tensor);
    l->offset = (size_t *)sn_arena_array(&c->work, l->n, sizeof *l->offset);
    SN_CHECK(l->tensor != NULL && l->offset != NULL, err, SN_ENOMEM, "load: no memory");
    for (uint32_t i = 0; i < l->n; i++) {
        const SnType *t = sn_type(s, type->child[i]);
        SnSourceTensor *w = &l->tensor[i];
        *w = (SnSourceTensor){.dtype = t->dtype, .ndim = t->ndim};
        w->bytes.n = sn_dtype_size(t->dtype);
        for (int k = 0; k < t->ndim; k++) {
            const bool fits = sn_is_const_i64(s, t->dims[k], &w->dims[k]) && w->dims[k] >= 0 &&
                              sn_mul_size(w->bytes.n, (size_t)w->dims[k], &w->bytes.n);
            SN_CHECK(fits, err, SN_EUNSUPPORTED, "load: %s is too large", l->name[i]);
        }
        l->offset[i] = size;
        SN_CHECK(sn_add_size(size, w->bytes.n, &size) && sn_align_size(size, SN_PACKED_ALIGN, &size), err,
                 SN_EUNSUPPORTED, "load: more bytes than there are addresses");
    }
    l->size = size;
    return SN_OK;
}

static void set_blob(SnLoaded *l, const uint8_t *at)
{
    for (uint32_t i = 0; i < l->n; i++)
        l->tensor[i].bytes.at = at + l->offset[i];
    l->source = (SnSource){.self = l, .find = find_tensor};
}

/* ---- running ---- */

/* Results are not the plan's: the buffers are given to the instance as inputs are. */
static void place_outside(SnSteps *x)
{
    const SnRange out = x->entry.at[0].output;
    for (uint32_t i = out.first; i < out.first + out.count; i++)
        x->buffer.at[x->slot.at[i].buffer].kind = SN_BUFFER_INPUT;
}

static SnStatus make_program(SnCompilation *c, SnRef load, SnArena *keep, SnProgram **out, SnError *err)
{
    SnPass *p = &c->pass;
    SnSteps x;
    bool *is_stored = NULL;
    const uint32_t n = sn_store_count(p->s);
    SN_TRY(sn_fuse(p, load, &is_stored, err));
    sn_steps_init(&x, p, c->loaded.below, is_stored, n);
    SnStatus st = sn_steps_program(&x, load, err);
    if (st == SN_OK) {
        place_outside(&x);
        st = sn_compilation_program(c, &x, keep, out, err);
    }
    sn_steps_clear(&x);
    return st;
}

/* Parameters that no step from s->pc on reads: what was made of them takes their place in memory. */
static void forget_read(const SnLoaded *l, const SnInstance *s)
{
    const SnImage *m = s->image;
    const SnBufferRow *row = SN_ROWS(m, SnBufferRow, buffer);
    if (l->below == NULL || l->below->forget == NULL)
        return;
    for (uint32_t i = 0; i < m->buffer.count; i++) {
        const SnPlanBuffer *b = &s->plan.buffer[i];
        if (row[i].kind == SN_BUFFER_PARAM && row[i].last < s->pc)
            l->below->forget(l->below->self, sn_bytes(b->at, (size_t)b->size));
    }
}

static SnStatus run_program(const SnLoaded *l, SnProgram *p, uint8_t *blob, SnError *err)
{
    bool done = false;
    SnInstance *s = NULL;
    SnStatus st = sn_instance_create(p, NULL, &s, err);
    for (uint32_t i = 0; st == SN_OK && i < l->n; i++) {
        const SnSlotRow *slot = SN_ROWS(p->image, SnSlotRow, slot) + s->entry->output.first + i;
        SnPlanBuffer *b = &s->plan.buffer[slot->buffer];
        b->at = blob + l->offset[i];
        b->size = l->tensor[i].bytes.n;
    }
    while (st == SN_OK && !done) {
        st = sn_run_some(s, SLICE_NS, &done, err);
        forget_read(l, s);
    }
    sn_instance_destroy(s);
    return st;
}

static SnStatus fill_blob(SnCompilation *c, SnRef load, uint8_t *blob, SnError *err)
{
    SnArena keep;
    SnProgram *p = NULL;
    sn_arena_init(&keep, sn_allocator(c->pass.ctx));
    SnStatus st = make_program(c, load, &keep, &p, err);
    if (st == SN_OK)
        st = run_program(&c->loaded, p, blob, err);
    sn_program_release(p);
    sn_arena_clear(&keep);
    return st;
}

/* ---- the blob ---- */

/* Of everything that the results depend on, but not of the target: what is moved here has equal bits on all.
 */
bool sn_loaded_key(const SnSource *source, SnHash128 program, uint64_t flags, SnHash128 *key)
{
    struct {
        SnHash128 source, program;
        uint64_t version, flags;
    } of = {.program = program, .version = PACK_VERSION, .flags = flags & (SN_EXACT | SN_FAST_MATH)};
    if (source == NULL || source->identity == NULL || !source->identity(source->self, &of.source))
        return false;
    *key = sn_hash128(&of, sizeof of, 0);
    return true;
}

static SnStatus hash_program(SnCompilation *c, SnRef load, SnError *err)
{
    const SnPass *p = &c->pass;
    SnText text = {.memory = sn_allocator(p->ctx)};
    const SnStatus st = sn_root_print(p->cc, p->s, load, &text, err);
    c->loaded.program = sn_hash128(text.at, text.n, 0);
    sn_text_clear(&text);
    return st;
}

/* false in *done: there is no room in the cache. */
static SnStatus fill_cache(SnCompilation *c, SnRef load, SnHash128 key, bool *done, SnError *err)
{
    SnContext *ctx = c->pass.ctx;
    SnPacked *blob = &c->loaded.blob;
    SnCacheDraft draft;
    SnBytes bytes;
    *done = false;
    if (!sn_cache_begin(ctx, key, c->loaded.size, &draft))
        return SN_OK;
    const SnStatus st = fill_blob(c, load, draft.at, err);
    if (st != SN_OK)
        sn_cache_give_up(&draft);
    else if ((*done = sn_cache_commit(ctx, &draft, &blob->file, &bytes)))
        set_blob(&c->loaded, bytes.at);
    return st;
}

static SnStatus fill_heap(SnCompilation *c, SnRef load, SnError *err)
{
    SnPacked *blob = &c->loaded.blob;
    blob->heap = sn_alloc(sn_allocator(c->pass.ctx), c->loaded.size, SN_PACKED_ALIGN);
    SN_CHECK(blob->heap != NULL, err, SN_ENOMEM, "load: no memory for %zu bytes", c->loaded.size);
    blob->heap_size = c->loaded.size;
    SN_TRY(fill_blob(c, load, (uint8_t *)blob->heap, err));
    set_blob(&c->loaded, (const uint8_t *)blob->heap);
    return SN_OK;
}

SnStatus sn_compilation_load(SnCompilation *c, SnRef load, SnError *err)
{
    SnLoaded *l = &c->loaded;
    SnHash128 key = {0};
    bool has_key = false, done = false;
    SnBytes bytes;
    l->below = sn_graph_get_source(c->pass.g);
    SN_TRY(lay_out(c, sn_term(c->pass.s, load)->arg[0], err));
    SN_TRY(hash_program(c, load, err));
    has_key = sn_loaded_key(l->below, l->program, c->pass.flags, &key);
    if (has_key && sn_cache_get(c->pass.ctx, key, &l->blob.file, &bytes)) {
        l->blob.is_cached = bytes.n == l->size;
        if (l->blob.is_cached) {
            set_blob(l, bytes.at);
            return SN_OK;
        }
        sn_packed_clear(&l->blob, c->pass.ctx);
    }
    if (has_key)
        SN_TRY(fill_cache(c, load, key, &done, err));
    return done ? SN_OK : fill_heap(c, load, err);
}
