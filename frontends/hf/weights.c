/* weights.c -- finds tensors by name over one file, the shards of an index, and tensors made here. */
#include "frontends/hf/weights.h"

#include "frontends/gguf/convert.h"
#include "frontends/hf/pickle.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#define MAX_SHARDS 4096

struct SnWeights {
    SnContext *ctx;
    _Atomic uint32_t nref;
    SnSource source;
    SN_VEC(SnSafetensors) shard;
    bool is_as_stored;         /* names are those of the files, and stand once */
    SnFile *gguf;              /* or this file */
    size_t gguf_header;        /* bytes of its header */
    SN_VEC(SnStTensor) tensor; /* copies of the shards' rows, then made ones */
    size_t nmade, nread;       /* nread: tensors before the first made one */
    SnMap index;               /* name ▶ tensor */
    SnArena arena;             /* made tensors, paths */
    SnHash128 made;            /* of the tensors made here */
};

/* Blocks are rows of bytes. */
static bool source_find(void *self, const char *name, SnSourceTensor *out)
{
    const SnStTensor *t = sn_weights_find(self, name);
    size_t rows = 1;
    if (!t || t->ndim > SN_MAX_RANK)
        return false;
    *out = (SnSourceTensor){.dtype = t->dtype, .ndim = t->ndim, .bytes = t->bytes};
    memcpy(out->dims, t->dims, sizeof t->dims);
    if (t->dtype != SN_NODTYPE)
        return true;
    for (int i = 0; i + 1 < t->ndim; i++)
        if (t->dims[i] < 0 || !sn_mul_size(rows, (size_t)t->dims[i], &rows))
            return false;
    if (t->ndim == 0 || rows == 0 || t->bytes.n % rows != 0)
        return false;
    out->dtype = SN_U8;
    out->dims[t->ndim - 1] = (int64_t)(t->bytes.n / rows);
    return true;
}

static void source_retain(void *self)
{
    (void)sn_weights_retain(self);
}

static void source_release(void *self)
{
    sn_weights_release(self);
}

static void source_forget(void *self, SnBytes bytes)
{
    const SnWeights *w = self;
    if (w->gguf && sn_file_forget(w->gguf, bytes))
        return;
    for (size_t i = 0; i < w->shard.n; i++)
        if (w->shard.at[i].file && sn_file_forget(w->shard.at[i].file, bytes))
            return;
}

/* Device, inode, size and modification time of a file, and its header. One that may still be
 * written has no identity yet. */
static bool hash_file(const SnFile *file, size_t header, SnHash128 *h)
{
    struct {
        SnHash128 before, header;
        uint64_t file[4];
    } of = {.before = *h};
    if (file == NULL || header > sn_file_bytes(file).n || !sn_file_is_settled(file))
        return false;
    sn_file_identity(file, of.file);
    of.header = sn_hash128(sn_file_bytes(file).at, header, 0);
    *h = sn_hash128(&of, sizeof of, 0);
    return true;
}

static bool source_identity(void *self, SnHash128 *out)
{
    const SnWeights *w = (const SnWeights *)self;
    SnHash128 h = w->made;
    for (size_t i = 0; i < w->shard.n; i++)
        if (!hash_file(w->shard.at[i].file, w->shard.at[i].header, &h))
            return false;
    if (w->gguf && !hash_file(w->gguf, w->gguf_header, &h))
        return false;
    *out = h;
    return true;
}

/* Tensors made here are small: heads that a checkpoint lacks. */
static void hash_made(SnWeights *w, const SnStTensor *t)
{
    struct {
        SnHash128 before, name, bytes;
        uint64_t dtype, ndim;
        int64_t dims[SN_MAX_RANK];
    } of = {.before = w->made, .dtype = (uint64_t)t->dtype, .ndim = (uint64_t)t->ndim};
    of.name = sn_hash128(t->name.at, t->name.n, 0);
    of.bytes = sn_hash128(t->bytes.at, t->bytes.n, 0);
    memcpy(of.dims, t->dims, sizeof of.dims);
    w->made = sn_hash128(&of, sizeof of, 0);
}

static SnStatus add_tensor(SnWeights *w, const SnStTensor *t, SnError *err)
{
    uint32_t at = 0;
    if (sn_map_get(&w->index, t->name, &at)) {
        w->tensor.at[at] = *t;
        return SN_OK;
    }
    SN_CHECK(sn_vec_push(sn_allocator(w->ctx), &w->tensor, *t) &&
                 sn_map_put(&w->index, t->name, (uint32_t)w->tensor.n - 1),
             err, SN_ENOMEM, "weights: no memory for names");
    return SN_OK;
}

/* A tensor of bytes whose name ends in a type of blocks is one in blocks, without that end: what `sinter
 * quantize` writes to folders. */
static void find_blocks(SnStTensor *t)
{
    char name[16];
    size_t n = t->name.n;
    while (n > 0 && t->name.at[n - 1] != '.')
        n--;
    const size_t len = t->name.n - n;
    if (t->dtype != SN_U8 || t->ndim < 1 || n == 0 || len >= sizeof name)
        return;
    memcpy(name, t->name.at + n, len);
    name[len] = 0;
    const SnGgmlType *type = sn_ggml_type_named(name);
    int64_t *last = &t->dims[t->ndim - 1];
    if (!type || type->dtype != SN_NODTYPE || *last % type->bytes != 0)
        return;
    *last = *last / type->bytes * type->block;
    t->name.n = n - 1;
    t->format = type->name;
    t->dtype = SN_NODTYPE;
}

typedef SnStatus OpenFn(SnContext *ctx, const char *path, SnSafetensors *out, SnError *err);

static SnStatus add_shard(SnWeights *w, const char *path, OpenFn *open, SnError *err)
{
    SnSafetensors f = {0};
    SN_TRY(open(w->ctx, path, &f, err));
    if (!sn_vec_push(sn_allocator(w->ctx), &w->shard, f)) {
        sn_safetensors_close(&f);
        return sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    }
    for (size_t i = 0; i < f.ntensor; i++) {
        SnStTensor t = f.tensor[i];
        uint32_t at = 0;
        SN_CHECK(!w->is_as_stored || !sn_map_get(&w->index, t.name, &at), err, SN_EINVAL,
                 "%s: tensor %.*s is in another file too", path, (int)t.name.n, (const char *)t.name.at);
        if (!w->is_as_stored)
            find_blocks(&t);
        SN_TRY(add_tensor(w, &t, err));
    }
    return SN_OK;
}

/* A shard's name comes from a file: it must stay in the folder. */
static bool is_plain_name(SnBytes name)
{
    bool plain = name.n > 0 && name.n < 256 && name.at[0] != '.';
    for (size_t i = 0; i < name.n; i++)
        plain = plain && name.at[i] != '/' && name.at[i] != '\\' && name.at[i] != 0;
    return plain;
}

/* Distinct file names of weight_map, in order of appearance. */
static SnStatus list_shards(const char *path, const SnJson *map, SnArena *arena, SnBytes **out, size_t *n,
                            SnError *err)
{
    SN_CHECK(map && map->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: no weight_map", path);
    SnBytes *name = sn_arena_array(arena, MAX_SHARDS, sizeof *name);
    SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", path);
    for (uint32_t i = 0; i < map->n; i++) {
        SnBytes file;
        SN_CHECK(sn_json_string(&map->u.child[i], &file) && is_plain_name(file), err, SN_EFORMAT,
                 "%s: %.*s: its file is no plain name", path, (int)map->u.child[i].key.n,
                 (const char *)map->u.child[i].key.at);
        size_t j = *n;
        while (j > 0 && !sn_bytes_equal(name[j - 1], file))
            j--;
        if (j > 0)
            continue;
        SN_CHECK(*n < MAX_SHARDS, err, SN_EUNSUPPORTED, "%s: more than %d files", path, MAX_SHARDS);
        name[(*n)++] = file;
    }
    *out = name;
    return SN_OK;
}

static SnStatus join(const char *folder, const char *file, int n, char out[SN_PATH_SIZE], SnError *err)
{
    const int len = snprintf(out, SN_PATH_SIZE, "%s/%.*s", folder, n, file);
    SN_CHECK(len > 0 && len < SN_PATH_SIZE, err, SN_EINVAL, "%s: the path is too long", folder);
    return SN_OK;
}

static SnStatus open_index(SnWeights *w, const char *folder, const char *path, OpenFn *open, SnError *err)
{
    SnArena arena;
    SnJson *json = NULL;
    SnBytes *name = NULL;
    size_t n = 0;
    char shard[SN_PATH_SIZE];
    sn_arena_init(&arena, sn_allocator(w->ctx));
    SnStatus st = sn_json_read(w->ctx, &arena, path, &json, err);
    const SnJson *map = st == SN_OK ? sn_json_get(json, "weight_map") : NULL;
    if (st == SN_OK)
        st = list_shards(path, map, &arena, &name, &n, err);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        st = join(folder, (const char *)name[i].at, (int)name[i].n, shard, err);
        if (st == SN_OK)
            st = add_shard(w, shard, open, err);
    }
    uint32_t at = 0;
    for (uint32_t i = 0; st == SN_OK && i < map->n; i++)
        if (!sn_map_get(&w->index, map->u.child[i].key, &at))
            st = sn_fail(err, SN_EFORMAT, "%s: tensor %.*s is in none of the files", path,
                         (int)map->u.child[i].key.n, (const char *)map->u.child[i].key.at);
    sn_arena_clear(&arena);
    return st;
}

/* The first of these that a folder has. */
static const struct {
    const char *file;
    bool is_index;
    OpenFn *open;
} kinds[] = {
    {"model.safetensors", false, sn_safetensors_open},
    {"model.safetensors.index.json", true, sn_safetensors_open},
    {"pytorch_model.bin", false, sn_pickle_open},
    {"pytorch_model.bin.index.json", true, sn_pickle_open},
};

bool sn_weights_has(const SnFolder *folder)
{
    for (size_t i = 0; i < SN_COUNT(kinds); i++)
        if (sn_folder_has(folder, kinds[i].file))
            return true;
    return sn_folder_gguf(folder) != NULL;
}

static SnStatus open_files(SnWeights *w, const char *folder, SnError *err)
{
    char path[SN_PATH_SIZE];
    for (size_t i = 0; i < SN_COUNT(kinds); i++) {
        SN_TRY(join(folder, kinds[i].file, (int)strlen(kinds[i].file), path, err));
        if (!sn_file_exists(path))
            continue;
        if (kinds[i].is_index)
            return open_index(w, folder, path, kinds[i].open, err);
        return add_shard(w, path, kinds[i].open, err);
    }
    return sn_fail(err, SN_EIO, "%s: no model.safetensors or pytorch_model.bin, and no index of shards",
                   folder);
}

/* ---- GGUF ---- */

/* In the checkpoint's dims. */
static void shape_as(SnGgufShape shape, int *ndim, int64_t *dims)
{
    if (shape == SN_GGUF_NO_MIDDLE && *ndim == 2) {
        dims[2] = dims[1];
        dims[1] = 1;
        *ndim = 3;
    } else if (shape == SN_GGUF_COLUMN && *ndim == 2 && dims[1] == 1) {
        *ndim = 1;
    } else if (shape == SN_GGUF_GROUPED && *ndim == 2) { /* as many numbers as the tensor has */
        dims[0] *= dims[1];
        *ndim = 1;
    }
}

/* Numbers that are stored otherwise, norms with one added and decays, become small tensors of their own. */
static SnStatus add_changed(SnWeights *w, const SnGgufTensor *t, const SnGgufName *as, SnError *err)
{
    const size_t n = t->bytes.n / sizeof(float);
    char *name = sn_arena_strndup(&w->arena, (const char *)as->name.at, as->name.n);
    float *v = sn_arena_array(&w->arena, n + 1, sizeof *v);
    SN_CHECK(name && v, err, SN_ENOMEM, "weights: no memory for %zu numbers", n);
    memcpy(v, t->bytes.at, n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = as->is_decay ? logf(-v[i]) : v[i] + (float)as->shift;
    int64_t dims[SN_COUNT(t->dims)];
    int ndim = t->ndim;
    memcpy(dims, t->dims, sizeof dims);
    shape_as(as->shape, &ndim, dims);
    return sn_weights_add(w, name, SN_F32, ndim, dims, v, err);
}

static SnStatus add_gguf(void *user, const SnGgufTensor *t, const SnGgufName *as, SnError *err)
{
    SnWeights *w = user;
    const bool is_changed = as->shift != 0 || as->is_decay;
    if (is_changed && t->type->dtype == SN_F32)
        return add_changed(w, t, as, err);
    SN_CHECK(!is_changed, err, SN_EUNSUPPORTED, "weights: tensor %.*s of type %s holds changed numbers",
             (int)t->name.n, (const char *)t->name.at, t->type->name);
    const size_t size = t->bytes.n / (size_t)as->nparts;
    SnStTensor x = {.name = as->name, .format = t->type->name, .dtype = t->type->dtype, .ndim = t->ndim};
    memcpy(x.dims, t->dims, sizeof t->dims);
    x.bytes = sn_bytes(t->bytes.at + (size_t)as->part * size, size);
    if (as->is_split) {
        x.ndim--;
        memmove(x.dims, x.dims + 1, sizeof t->dims - sizeof *t->dims);
    }
    shape_as(as->shape, &x.ndim, x.dims);
    return add_tensor(w, &x, err);
}

static SnStatus open_gguf(SnWeights *w, const char *path, const SnGguf *g, SnError *err)
{
    w->gguf = sn_file_retain(g->file);
    w->gguf_header = sn_file_bytes(g->file).n;
    for (size_t i = 0; i < g->ntensor; i++) {
        const size_t at = (size_t)(g->tensor[i].bytes.at - sn_file_bytes(g->file).at);
        w->gguf_header = at < w->gguf_header ? at : w->gguf_header;
    }
    return sn_gguf_each(path, g, &w->arena, add_gguf, w, err);
}

static SnStatus create(SnContext *ctx, const char *folder, SnWeights **out, SnError *err)
{
    SnWeights *w = sn_alloc_zero(sn_allocator(ctx), sizeof *w, _Alignof(max_align_t));
    SN_CHECK(w, err, SN_ENOMEM, "%s: no memory", folder);
    w->ctx = ctx;
    w->nref = 1;
    w->source = (SnSource){.self = w,
                           .find = source_find,
                           .retain = source_retain,
                           .release = source_release,
                           .identity = source_identity,
                           .forget = source_forget};
    sn_map_init(&w->index, sn_allocator(ctx));
    sn_arena_init(&w->arena, sn_allocator(ctx));
    *out = w;
    return SN_OK;
}

SnStatus sn_weights_open(SnContext *ctx, const char *folder, SnWeights **out, SnError *err)
{
    SnWeights *w = NULL;
    SN_TRY(create(ctx, folder, &w, err));
    const SnStatus st = open_files(w, folder, err);
    if (st == SN_OK)
        *out = w;
    else
        sn_weights_release(w);
    return st;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static SnStatus open_path(SnWeights *w, const char *path, SnError *err)
{
    const char *end = strrchr(path, '.');
    const bool is_pickle = end && sn_is_one_of(sn_bytes_str(end), ".bin .pt .pth");
    if (is_folder(path))
        return open_files(w, path, err);
    return add_shard(w, path, is_pickle ? sn_pickle_open : sn_safetensors_open, err);
}

SnStatus sn_weights_open_all(SnContext *ctx, const char *const *path, size_t n, SnWeights **out, SnError *err)
{
    SnWeights *w = NULL;
    SnStatus st = create(ctx, "weights", &w, err);
    if (st == SN_OK)
        w->is_as_stored = true;
    for (size_t i = 0; st == SN_OK && i < n; i++)
        st = open_path(w, path[i], err);
    if (st == SN_OK)
        *out = w;
    else
        sn_weights_release(w);
    return st;
}

SnStatus sn_weights_open_folder(SnContext *ctx, const SnFolder *folder, SnWeights **out, SnError *err)
{
    SnWeights *w = NULL;
    const SnGguf *g = sn_folder_gguf(folder);
    if (!g)
        return sn_weights_open(ctx, sn_folder_path(folder), out, err);
    SN_TRY(create(ctx, sn_folder_path(folder), &w, err));
    const SnStatus st = open_gguf(w, sn_folder_path(folder), g, err);
    if (st == SN_OK)
        *out = w;
    else
        sn_weights_release(w);
    return st;
}

SnWeights *sn_weights_retain(SnWeights *w)
{
    /* Relaxed: whoever retains already holds a reference. */
    atomic_fetch_add_explicit(&w->nref, 1, memory_order_relaxed);
    return w;
}

void sn_weights_release(SnWeights *w)
{
    /* Acquire and release: all uses by other holders happen before the last one frees. */
    if (!w || atomic_fetch_sub_explicit(&w->nref, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < w->shard.n; i++)
        sn_safetensors_close(&w->shard.at[i]);
    sn_vec_clear(sn_allocator(w->ctx), &w->shard);
    sn_file_release(w->gguf);
    sn_vec_clear(sn_allocator(w->ctx), &w->tensor);
    sn_map_clear(&w->index);
    sn_arena_clear(&w->arena);
    sn_free(sn_allocator(w->ctx), w, sizeof *w, _Alignof(max_align_t));
}

const SnSource *sn_weights_source(SnWeights *w)
{
    return &w->source;
}

size_t sn_weights_count(const SnWeights *w)
{
    return w->tensor.n;
}

const SnStTensor *sn_weights_at(const SnWeights *w, size_t i)
{
    return &w->tensor.at[i];
}

const SnJson *sn_weights_metadata(const SnWeights *w, size_t i)
{
    return i < w->shard.n ? w->shard.at[i].metadata : NULL;
}

size_t sn_weights_files(const SnWeights *w)
{
    return w->shard.n;
}

const SnStTensor *sn_weights_find(const SnWeights *w, const char *name)
{
    uint32_t at = 0;
    return sn_map_get(&w->index, sn_bytes_str(name), &at) ? &w->tensor.at[at] : NULL;
}

SnStatus sn_weights_add(SnWeights *w, const char *name, SnDtype dtype, int ndim, const int64_t *dims,
                        const void *data, SnError *err)
{
    size_t size = sn_dtype_size(dtype);
    SnStTensor t = {.format = sn_dtype(dtype)->safetensors, .dtype = dtype, .ndim = ndim};
    for (int i = 0; i < ndim; i++) {
        t.dims[i] = dims[i];
        SN_CHECK(dims[i] >= 0 && sn_mul_size(size, (size_t)dims[i], &size), err, SN_ESHAPE,
                 "%s: its size overflows", name);
    }
    char *copy = sn_arena_strndup(&w->arena, name, strlen(name));
    void *bytes = sn_arena_alloc(&w->arena, size + 1);
    SN_CHECK(copy && bytes, err, SN_ENOMEM, "%s: no memory", name);
    memcpy(bytes, data, size);
    t.name = sn_bytes_str(copy);
    t.bytes = sn_bytes(bytes, size);
    if (w->nmade++ == 0)
        w->nread = w->tensor.n;
    SN_TRY(add_tensor(w, &t, err));
    hash_made(w, &t);
    return SN_OK;
}

bool sn_weights_is_made(const SnWeights *w, SnBytes name)
{
    uint32_t at = 0;
    return w->nmade && sn_map_get(&w->index, name, &at) && at >= w->nread;
}
