/* resize.c -- embeddings for another number of tokens, and the heads that go with them. */
#include "frontends/model.h"

#include "runtime/dtype.h"

/* Tensors with a row for each token end in one of these. */
static const char *const endings[] = {
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "embeddings.weight",
    "shared.weight",
    "lm_head.weight",
    "lm_head.bias",
    "embed_out.weight",
    "lm_head.decoder.weight",
    "lm_head.decoder.bias",
    "cls.predictions.bias",
    "predictions.decoder.weight",
    "predictions.decoder.bias",
    "vocab_projector.weight",
    "vocab_projector.bias",
    "generator_lm_head.weight",
    "generator_lm_head.bias",
};

static bool is_by_token(const SnStTensor *t, int64_t ntoken)
{
    for (size_t i = 0; i < SN_COUNT(endings); i++)
        if (sn_bytes_ends(t->name, endings[i]))
            return t->ndim >= 1 && t->dims[0] == ntoken;
    return false;
}

static double load(SnDtype dtype, const uint8_t *at)
{
    return sn_scalar_cast(dtype, SN_F64, sn_scalar_load(dtype, at), false).f;
}

static void store(SnDtype dtype, uint8_t *at, double v)
{
    const SnScalar x = {.f = v};
    sn_scalar_store(dtype, at, sn_scalar_cast(SN_F64, dtype, x, false));
}

/* Rows [old, n): the mean of each column, or a normal number. */
static void fill_rows(const SnStTensor *t, int64_t n, int64_t cols, const SnResizeOptions *o, uint8_t *to)
{
    const size_t size = sn_dtype_size(t->dtype);
    const int64_t old = t->dims[0];
    uint64_t state = o->seed;
    for (int64_t c = 0; o->spread == 0 && c < cols; c++) {
        double sum = 0;
        for (int64_t r = 0; r < old; r++)
            sum += load(t->dtype, to + (size_t)(r * cols + c) * size);
        for (int64_t r = old; r < n; r++)
            store(t->dtype, to + (size_t)(r * cols + c) * size, sum / (double)old);
    }
    for (int64_t i = old * cols; o->spread != 0 && i < n * cols; i++)
        store(t->dtype, to + (size_t)i * size, (double)(o->spread * sn_nn_normal(&state)));
}

static SnStatus resize(SnModel *m, const SnStTensor *t, int64_t n, const SnResizeOptions *o, SnError *err)
{
    const SnAllocator *a = sn_allocator(m->ctx);
    const char *name = sn_arena_strndup(&m->arena, (const char *)t->name.at, t->name.n);
    int64_t dims[SN_MAX_RANK];
    SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", m->folder);
    SN_CHECK(sn_dtype_is_float(t->dtype) && t->ndim <= 2, err, SN_EUNSUPPORTED, "%s: %s of dtype %s",
             m->folder, name, t->format);
    const int64_t cols = t->ndim == 2 ? t->dims[1] : 1;
    size_t size = sn_dtype_size(t->dtype);
    SN_CHECK(sn_mul_size(size, (size_t)cols, &size) && sn_mul_size(size, (size_t)n, &size), err, SN_ESHAPE,
             "%s: %s: its size overflows", m->folder, name);
    uint8_t *data = sn_alloc_zero(a, size + 1, _Alignof(max_align_t));
    SN_CHECK(data, err, SN_ENOMEM, "%s: no memory for %s", m->folder, name);
    memcpy(data, t->bytes.at, t->bytes.n < size ? t->bytes.n : size);
    fill_rows(t, n, cols, o, data);
    memcpy(dims, t->dims, sizeof dims);
    dims[0] = n;
    const SnStatus st = sn_weights_add(m->weights, name, t->dtype, t->ndim, dims, data, err);
    sn_free(a, data, size + 1, _Alignof(max_align_t));
    return st;
}

/* The member of the parsed config.json; it is ours, and read through const pointers. */
static SnJson *find_size(const SnModel *m)
{
    return (SnJson *)(uintptr_t)sn_json_get(m->config.json, "vocab_size");
}

SnStatus sn_model_resize_embeddings(SnModel *m, int64_t ntoken, const SnResizeOptions *o, SnError *err)
{
    const SnResizeOptions none = {0};
    o = o ? o : &none;
    SN_CHECK(m->config.json && m->files, err, SN_EUNSUPPORTED, "%s: only folders and .gguf files are resized",
             m->folder);
    SN_CHECK(m->program.n == 0, err, SN_EINVAL, "%s: it has run; resize its embeddings first", m->folder);
    SnJson *size = find_size(m);
    int64_t old = 0, n = ntoken;
    SN_CHECK(size && sn_json_int(size, &old) && old > 0, err, SN_EFORMAT, "%s: no vocab_size", m->folder);
    n = n ? n : old;
    SN_CHECK(n > 0 && n < INT32_MAX && o->pad_multiple >= 0 && o->pad_multiple < INT32_MAX, err, SN_EINVAL,
             "%s: %lld tokens, a multiple of %lld", m->folder, (long long)n, (long long)o->pad_multiple);
    if (o->pad_multiple)
        n = (n + o->pad_multiple - 1) / o->pad_multiple * o->pad_multiple;
    if (!m->weights)
        SN_TRY(sn_weights_open_folder(m->ctx, m->files, &m->weights, err));
    bool found = false;
    for (size_t i = 0; i < sn_weights_count(m->weights); i++) {
        const SnStTensor t = *sn_weights_at(m->weights, i);
        if (!is_by_token(&t, old))
            continue;
        found = true;
        SN_TRY(resize(m, &t, n, o, err));
    }
    SN_CHECK(found, err, SN_EUNSUPPORTED, "%s: no tensor with a row for each of %lld tokens", m->folder,
             (long long)old);
    size->u.integer = n;
    m->is_changed = true;
    return SN_OK;
}
