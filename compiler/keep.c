/* keep.c -- programs in the cache: one that was compiled before is found by its graph, and no pass runs.
 *
 * A program is a function of its graph, the options, the facts of the target and this code. So its key is a
 * hash of these: of the term store as it is before the first pass, and of the build id that the linker gave
 * the file that this code is in. Without a build id nothing is kept. Weights are not part of it: what the
 * load program made of them has a key of its own, and kernels have theirs; where one is gone all is made
 * anew.
 *
 * A blob is a head, where each parameter lies among what the load program made, and the image. */
#define _GNU_SOURCE /* dl_iterate_phdr: which file this code was loaded from */
#include "compiler/compile.h"
#include "compiler/compiler.h"
#include "runtime/cache.h"

#include <link.h>
#include <stdlib.h>

#define KEPT_VERSION 1
#define ELSEWHERE    UINT64_MAX /* a parameter that is the graph's own */
#define MAX_NOTE     64

typedef struct Head {
    SnHash128 load; /* SnLoaded.program */
    uint64_t load_size, image_size, nparam, version;
} Head;
_Static_assert(sizeof(Head) % sizeof(uint64_t) == 0, "what is behind it is aligned");

/* ---- the code ---- */

typedef struct Code {
    uintptr_t at;
    uint8_t id[MAX_NOTE];
    size_t n; /* bytes of id; 0: there is none */
} Code;

static bool holds(const struct dl_phdr_info *info, uintptr_t at)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t first = (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (info->dlpi_phdr[i].p_type == PT_LOAD && at >= first && at - first < info->dlpi_phdr[i].p_memsz)
            return true;
    }
    return false;
}

static void read_notes(Code *c, const uint8_t *at, size_t n)
{
    ElfW(Nhdr) h;
    while (n >= sizeof h) {
        memcpy(&h, at, sizeof h);
        const size_t name = ((size_t)h.n_namesz + 3) / 4 * 4, value = ((size_t)h.n_descsz + 3) / 4 * 4;
        if (name > n - sizeof h || value > n - sizeof h - name)
            return;
        if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == sizeof ELF_NOTE_GNU && h.n_descsz <= MAX_NOTE &&
            memcmp(at + sizeof h, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
            c->n = h.n_descsz;
            memcpy(c->id, at + sizeof h + name, c->n);
            return;
        }
        at += sizeof h + name + value;
        n -= sizeof h + name + value;
    }
}

static int look(struct dl_phdr_info *info, size_t size, void *self)
{
    (void)size;
    Code *c = self;
    if (!holds(info, c->at))
        return 0;
    for (int i = 0; i < info->dlpi_phnum && c->n == 0; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_NOTE && h->p_align <= 4)
            read_notes(c, (const uint8_t *)(uintptr_t)(info->dlpi_addr + h->p_vaddr), h->p_memsz);
    }
    return 1;
}

/* ---- the key ---- */

static uint64_t hash_text(const char *text)
{
    return text != NULL ? sn_hash64(text, strlen(text), 1) : 0;
}

/* false: this target, or this build, keeps none; or somebody wants to see the passes. */
static bool make_key(SnCompilation *c, SnRef root, SnHash128 *key)
{
    const SnTarget *t = &c->target;
    Code code = {.at = (uintptr_t)&make_key};
    if (c->backend->find == NULL || getenv("SINTER_DUMP") != NULL)
        return false;
    (void)dl_iterate_phdr(look, &code);
    const SnHash128 graph = sn_store_hash(c->pass.s), id = sn_hash128(code.id, code.n, KEPT_VERSION);
    const uint64_t part[] = {graph.lo,
                             graph.hi,
                             id.lo,
                             id.hi,
                             root,
                             c->pass.flags,
                             hash_text(c->specialise),
                             hash_text(c->shape),
                             c->memory_budget,
                             hash_text(t->name),
                             hash_text(t->level),
                             t->vector_bytes,
                             t->vector_count,
                             t->l1_bytes,
                             t->l2_bytes,
                             t->l3_bytes,
                             t->has_dot4,
                             t->has_dot2,
                             t->has_tiles,
                             t->fits_tiles,
                             t->exact};
    *key = sn_hash128(part, sizeof part, KEPT_VERSION);
    return code.n > 0;
}

/* ---- finding ---- */

typedef struct Found {
    Head head;
    const uint8_t *image;
    const uint64_t *at; /* by parameter */
} Found;

static bool read_blob(SnBytes blob, Found *f)
{
    size_t params = 0, size = 0;
    if (blob.n < sizeof f->head)
        return false;
    memcpy(&f->head, blob.at, sizeof f->head);
    if (f->head.version != KEPT_VERSION || !sn_mul_size((size_t)f->head.nparam, sizeof *f->at, &params) ||
        !sn_add_size(sizeof f->head, params, &params) ||
        !sn_add_size(params, (size_t)f->head.image_size, &size) || size != blob.n)
        return false;
    f->at = (const uint64_t *)(const void *)(blob.at + sizeof f->head);
    f->image = blob.at + params;
    return sn_image_check(f->image, f->head.image_size, NULL) == SN_OK &&
           ((const SnImage *)(const void *)f->image)->param.count == f->head.nparam;
}

/* Where parameters are now; false: one is not there as it was. */
static bool find_params(SnCompilation *c, const Found *f, const SnImage *m, const uint8_t *packed,
                        SnArena *arena, const void **param, uint64_t *copied)
{
    const SnParamRow *row = SN_ROWS(m, SnParamRow, param);
    const SnSource *source = sn_graph_get_source(c->pass.g);
    for (uint32_t i = 0; i < m->param.count; i++) {
        SnSourceTensor w;
        const char *name = sn_image_string(m, row[i].name);
        if (f->at[i] != ELSEWHERE) {
            param[i] = packed + f->at[i];
            if (f->at[i] > f->head.load_size || row[i].size > f->head.load_size - f->at[i])
                return false;
            continue;
        }
        if (source == NULL || !source->find(source->self, name, &w) || (uint32_t)w.dtype != row[i].dtype ||
            w.bytes.n != row[i].size ||
            sn_compilation_weight(arena, &w, name, &param[i], copied, NULL) != SN_OK)
            return false;
    }
    return true;
}

static bool find_hosts(const SnCompilation *c, const SnImage *m, SnHostFn **fn)
{
    const SnHostRow *row = SN_ROWS(m, SnHostRow, host);
    for (uint32_t i = 0; i < m->host.count; i++) {
        const SnOp *op = sn_compiler_find_op(c->pass.cc, sn_image_string(m, row[i].name));
        if (op == NULL || row[i].fn >= m->nhost_fn)
            return false;
        fn[row[i].fn] = op->run;
    }
    return true;
}

static SnStatus find_kernels(const SnCompilation *c, const SnImage *m, SnArena *arena, SnModule **out,
                             SnError *err)
{
    const SnKernelRow *row = SN_ROWS(m, SnKernelRow, kernel);
    SnHash128 *key = sn_arena_array(arena, m->kernel.count + 1u, sizeof *key);
    SN_CHECK(key, err, SN_ENOMEM, "compile: no memory for %u kernels", m->kernel.count);
    for (uint32_t i = 0; i < m->kernel.count; i++)
        key[i] = row[i].key;
    return c->backend->find(c->pass.ctx, &c->target, key, m->kernel.count, out, err);
}

/* What the load program made; false: it is not there. */
static bool find_packed(SnCompilation *c, const Found *f, const uint8_t **at)
{
    SnHash128 key;
    SnBytes bytes = {0};
    SnPacked *blob = &c->loaded.blob;
    if (f->head.load_size == 0)
        return true;
    if (!sn_loaded_key(sn_graph_get_source(c->pass.g), f->head.load, c->pass.flags, &key) ||
        !sn_cache_get(c->pass.ctx, key, &blob->file, &bytes))
        return false;
    blob->is_cached = bytes.n == f->head.load_size;
    *at = bytes.at;
    return blob->is_cached;
}

static SnStatus link_program(SnCompilation *c, const Found *f, SnArena *arena, SnProgram **out, SnError *err)
{
    const uint8_t *packed = NULL;
    SnModule *module = NULL;
    uint64_t copied = 0;
    uint8_t *own = sn_arena_alloc(arena, (size_t)f->head.image_size + SN_PACKED_ALIGN);
    SN_CHECK(own, err, SN_ENOMEM, "compile: no memory for a program");
    own += (SN_PACKED_ALIGN - (uintptr_t)own % SN_PACKED_ALIGN) % SN_PACKED_ALIGN;
    memcpy(own, f->image, (size_t)f->head.image_size);
    const SnImage *m = (const SnImage *)(const void *)own;
    const void **param = sn_arena_array(arena, m->param.count + 1u, sizeof *param);
    SnHostFn **host = sn_arena_array(arena, m->nhost_fn + 1u, sizeof *host);
    SN_CHECK(param && host, err, SN_ENOMEM, "compile: no memory for a program");
    if (!find_packed(c, f, &packed) || !find_params(c, f, m, packed, arena, param, &copied) ||
        !find_hosts(c, m, host))
        return SN_OK;
    SN_TRY(find_kernels(c, m, arena, &module, err));
    if (module == NULL)
        return SN_OK;
    const SnStatus st = sn_program_create(c->pass.ctx, m, module, host, param, arena, out, err);
    if (st != SN_OK) {
        module->destroy(module);
        return st;
    }
    (*out)->packed_bytes += copied;
    (*out)->is_cached = true;
    return SN_OK;
}

SnStatus sn_kept_find(SnCompilation *c, SnKept *kept, SnArena *arena, SnProgram **out, SnError *err)
{
    SnFile *file = NULL;
    SnBytes blob;
    Found f;
    SnStatus st = SN_OK;
    *out = NULL;
    SN_TRY(sn_graph_check(c->pass.g, err));
    const SnRef root = sn_graph_root(c->pass.g);
    SN_TRY(sn_graph_check(c->pass.g, err));
    kept->has_key = make_key(c, root, &kept->key);
    if (!kept->has_key || !sn_cache_get(c->pass.ctx, kept->key, &file, &blob))
        return SN_OK;
    if (read_blob(blob, &f))
        st = link_program(c, &f, arena, out, err);
    sn_file_release(file);
    if (!*out)
        sn_packed_clear(&c->loaded.blob, c->pass.ctx);
    return st;
}

/* ---- keeping ---- */

static uint64_t place_of(const SnLoaded *l, const char *name)
{
    for (uint32_t i = 0; sn_is_packed_name(name) && i < l->n; i++)
        if (strcmp(l->name[i], name) == 0)
            return l->offset[i];
    return ELSEWHERE;
}

void sn_kept_add(const SnCompilation *c, const SnKept *kept, const SnImage *image)
{
    const Head head = {.load = c->loaded.program,
                       .load_size = c->loaded.size,
                       .image_size = image->size,
                       .nparam = image->param.count,
                       .version = KEPT_VERSION};
    const SnParamRow *row = SN_ROWS(image, SnParamRow, param);
    SnText blob = {.memory = sn_allocator(c->pass.ctx)};
    if (!kept->has_key)
        return;
    sn_text_add(&blob, (const char *)&head, sizeof head);
    for (uint32_t i = 0; i < image->param.count; i++) {
        const uint64_t at = place_of(&c->loaded, sn_image_string(image, row[i].name));
        sn_text_add(&blob, (const char *)&at, sizeof at);
    }
    sn_text_add(&blob, (const char *)image, image->size);
    if (!blob.failed)
        (void)sn_cache_put(c->pass.ctx, kept->key, sn_bytes(blob.at, blob.n));
    sn_text_clear(&blob);
}
