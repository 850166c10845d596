/* tensor_set.c -- tensors of files that memory does not hold: listed, compared, hashed, written again.
 *
 * Bytes are read from the map in pieces, and their pages given back behind. What is written is a conversion
 * (convert.h) of tensors without a model. */
#include "frontends/convert.h"

#include "compiler/compiler.h"
#include "runtime/dtype.h"

#include <math.h>
#include <stdlib.h>

#define PIECE ((size_t)1 << 22) /* bytes; hashes go from one to the next */

struct SnTensorSet {
    SnCompiler *cc;
    const char *name; /* of the first file */
    SnWeights *weights;
    const SnStTensor **tensor; /* by name */
    SnArena arena;
};

static int by_name(const void *x, const void *y)
{
    return sn_bytes_compare((*(const SnStTensor *const *)x)->name, (*(const SnStTensor *const *)y)->name);
}

static SnStatus list_names(SnTensorSet *s, SnError *err)
{
    const size_t n = sn_weights_count(s->weights);
    s->tensor = sn_arena_array(&s->arena, n + 1, sizeof *s->tensor);
    SN_CHECK(s->tensor, err, SN_ENOMEM, "%s: no memory for %zu names", s->name, n);
    for (size_t i = 0; i < n; i++)
        s->tensor[i] = sn_weights_at(s->weights, i);
    qsort(s->tensor, n, sizeof *s->tensor, by_name);
    return SN_OK;
}

SnStatus sn_tensor_set_open(SnCompiler *cc, const char *const *path, size_t n, SnTensorSet **out,
                            SnError *err)
{
    SnContext *ctx = sn_compiler_context(cc);
    SnTensorSet *s = sn_alloc_zero(sn_allocator(ctx), sizeof *s, _Alignof(max_align_t));
    SN_CHECK(n > 0, err, SN_EINVAL, "no file of tensors was named");
    SN_CHECK(s, err, SN_ENOMEM, "%s: no memory", path[0]);
    s->cc = cc;
    sn_arena_init(&s->arena, sn_allocator(ctx));
    s->name = sn_arena_strndup(&s->arena, path[0], strlen(path[0]));
    SnStatus st = s->name ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path[0]);
    if (st == SN_OK)
        st = sn_weights_open_all(ctx, path, n, &s->weights, err);
    if (st == SN_OK)
        st = list_names(s, err);
    if (st == SN_OK)
        *out = s;
    else
        sn_tensor_set_close(s);
    return st;
}

void sn_tensor_set_close(SnTensorSet *s)
{
    if (!s)
        return;
    const SnAllocator *a = sn_allocator(sn_compiler_context(s->cc));
    sn_weights_release(s->weights);
    sn_arena_clear(&s->arena);
    sn_free(a, s, sizeof *s, _Alignof(max_align_t));
}

bool sn_tensor_set_at(const SnTensorSet *s, size_t i, SnTensorInfo *out)
{
    if (i >= sn_weights_count(s->weights))
        return false;
    const SnStTensor *t = s->tensor[i];
    *out = (SnTensorInfo){t->name, t->format, t->ndim, t->dims, sn_st_count(t), t->bytes.n};
    return true;
}

bool sn_tensor_set_find(const SnTensorSet *s, SnBytes name, size_t *i)
{
    size_t lo = 0, hi = sn_weights_count(s->weights);
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const int c = sn_bytes_compare(s->tensor[mid]->name, name);
        if (c == 0) {
            *i = mid;
            return true;
        }
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return false;
}

static void forget(const SnTensorSet *s, SnBytes bytes)
{
    const SnSource *source = sn_weights_source(s->weights);
    source->forget(source->self, bytes);
}

/* ---- hashes ---- */

void sn_tensor_set_hash(const SnTensorSet *s, size_t i, uint64_t out[2], uint64_t all[2])
{
    const SnStTensor *t = s->tensor[i];
    SnHash128 of[2] = {sn_hash128(t->format, strlen(t->format), 0),
                       sn_hash128(t->dims, (size_t)t->ndim * sizeof *t->dims, 0)};
    for (size_t at = 0, n = 0; at < t->bytes.n; at += n) {
        n = t->bytes.n - at < PIECE ? t->bytes.n - at : PIECE;
        of[0] = sn_hash128(of, sizeof of, 0);
        of[1] = sn_hash128(t->bytes.at + at, n, 0);
        forget(s, sn_bytes(t->bytes.at + at, n));
    }
    of[0] = sn_hash128(of, sizeof of, 0);
    out[0] = of[0].hi;
    out[1] = of[0].lo;
    const SnHash128 name = sn_hash128(t->name.at, t->name.n, 0);
    const uint64_t next[] = {all[0], all[1], name.hi, name.lo, out[0], out[1]};
    of[1] = sn_hash128(next, sizeof next, 0);
    all[0] = of[1].hi;
    all[1] = of[1].lo;
}

/* ---- numbers ---- */

static double widened(SnDtype d, const uint8_t *at)
{
    const SnScalar v = sn_scalar_load(d, at);
    const SnDtypeKind kind = sn_dtype(d)->kind;
    return kind == SN_KIND_FLOAT ? v.f : kind == SN_KIND_UINT ? (double)v.u : (double)v.i;
}

static void print_one(SnText *t, SnDtype d, const uint8_t *at)
{
    const SnScalar v = sn_scalar_load(d, at);
    if (d == SN_F64)
        sn_json_put_f64(t, v.f);
    else if (d == SN_BOOL)
        sn_text_printf(t, "%s", v.i ? "true" : "false");
    else if (sn_dtype_is_float(d))
        sn_json_put_f32(t, (float)v.f);
    else if (sn_dtype(d)->kind == SN_KIND_UINT)
        sn_text_printf(t, "%llu", (unsigned long long)v.u);
    else
        sn_json_put_int(t, v.i);
}

SnStatus sn_tensor_set_print(const SnTensorSet *s, size_t i, uint64_t first, uint64_t n, char after,
                             SnText *out, SnError *err)
{
    const SnStTensor *t = s->tensor[i];
    const uint64_t count = sn_st_count(t);
    SN_CHECK(t->dtype != SN_NODTYPE, err, SN_EUNSUPPORTED, "%s: tensor %.*s: numbers of %s", s->name,
             (int)t->name.n, (const char *)t->name.at, t->format);
    SN_CHECK(first <= count && n <= count - first, err, SN_EINVAL, "%s: tensor %.*s has %llu numbers",
             s->name, (int)t->name.n, (const char *)t->name.at, (unsigned long long)count);
    const size_t size = sn_dtype_size(t->dtype);
    for (uint64_t k = 0; k < n; k++) {
        print_one(out, t->dtype, t->bytes.at + (size_t)(first + k) * size);
        sn_text_add(out, &after, 1);
    }
    forget(s, sn_bytes(t->bytes.at + (size_t)first * size, (size_t)n * size));
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory", s->name);
    return SN_OK;
}

static void compare_piece(const SnStTensor *x, const SnStTensor *y, size_t first, size_t n, SnTensorDiff *d)
{
    const size_t xsize = sn_dtype_size(x->dtype), ysize = sn_dtype_size(y->dtype);
    for (size_t k = first; k < first + n; k++) {
        const double a = widened(x->dtype, x->bytes.at + k * xsize);
        const double b = widened(y->dtype, y->bytes.at + k * ysize);
        const double far = fabs(a - b), most = fmax(fabs(a), fabs(b));
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        d->ndiffer++;
        d->max_abs = isnan(far) ? (double)INFINITY : fmax(d->max_abs, far);
        d->max_rel = isfinite(far) && isfinite(most) ? fmax(d->max_rel, far / most) : (double)INFINITY;
    }
}

static bool same_bytes(const SnTensorSet *a, SnBytes x, const SnTensorSet *b, SnBytes y)
{
    bool same = x.n == y.n;
    for (size_t at = 0, n = 0; same && at < x.n; at += n) {
        n = x.n - at < PIECE ? x.n - at : PIECE;
        same = memcmp(x.at + at, y.at + at, n) == 0;
        forget(a, sn_bytes(x.at + at, n));
        forget(b, sn_bytes(y.at + at, n));
    }
    return same;
}

void sn_tensor_set_diff(const SnTensorSet *a, size_t i, const SnTensorSet *b, size_t j, SnTensorDiff *out)
{
    const SnStTensor *x = a->tensor[i], *y = b->tensor[j];
    const bool same_dims =
        x->ndim == y->ndim && memcmp(x->dims, y->dims, (size_t)x->ndim * sizeof *x->dims) == 0;
    SnTensorDiff d = {.is_like = same_dims && strcmp(x->format, y->format) == 0};
    d.is_same = d.is_like && same_bytes(a, x->bytes, b, y->bytes);
    d.has_numbers = same_dims && x->dtype != SN_NODTYPE && y->dtype != SN_NODTYPE;
    const size_t count = (size_t)sn_st_count(x), step = PIECE / 8;
    for (size_t at = 0, n = 0; d.has_numbers && !d.is_same && at < count; at += n) {
        n = count - at < step ? count - at : step;
        compare_piece(x, y, at, n, &d);
        forget(a, sn_bytes(x->bytes.at + at * sn_dtype_size(x->dtype), n * sn_dtype_size(x->dtype)));
        forget(b, sn_bytes(y->bytes.at + at * sn_dtype_size(y->dtype), n * sn_dtype_size(y->dtype)));
    }
    *out = d;
}

/* ---- writing ---- */

typedef struct Write {
    const SnTensorSet *set;
    const SnTensorWrite *o;
    const SnGgmlType *to;
} Write;

/* What a rule makes of a name; false: it does not fit. *out {NULL, 0}: no memory. */
static bool renamed(const SnTensorRename *r, SnBytes name, SnArena *arena, SnBytes *out)
{
    const char *star = strchr(r->from, '*'), *in = strchr(r->to, '*'), *s = (const char *)name.at;
    const size_t len = strlen(r->from), head = star ? (size_t)(star - r->from) : len;
    const size_t tail = star ? len - head - 1 : 0;
    if (name.n < head + tail || (!star && name.n != head) || memcmp(s, r->from, head) != 0 ||
        memcmp(s + name.n - tail, r->from + len - tail, tail) != 0)
        return false;
    const int kept = (int)(name.n - head - tail), before = in ? (int)(in - r->to) : 0;
    const char *text =
        star && in ? sn_arena_printf(arena, "%.*s%.*s%s", before, r->to, kept, s + head, in + 1) : r->to;
    *out = text ? sn_bytes_str(text) : (SnBytes){0};
    return true;
}

static SnStatus add_tensors(SnConverter *c, const Write *w, SnError *err)
{
    for (size_t i = 0; i < sn_weights_count(c->weights); i++) {
        const SnStTensor *t = w->set->tensor[i];
        SnBytes name = t->name;
        for (size_t k = 0; k < w->o->nrename; k++)
            if (renamed(&w->o->rename[k], t->name, &c->arena, &name))
                break;
        SN_CHECK(name.at, err, SN_ENOMEM, "%s: no memory", c->name);
        if (name.n > 0)
            SN_TRY(sn_convert_add(c, t, name, w->to && sn_is_recodable(t) ? w->to : NULL, err));
    }
    return SN_OK;
}

/* The metadata of all files, the first of each key. */
static SnStatus add_metadata(SnConverter *c, SnError *err)
{
    size_t most = 0;
    SnMap seen;
    uint32_t at = 0;
    bool ok = true;
    for (size_t i = 0; i < sn_weights_files(c->weights); i++)
        most += sn_weights_metadata(c->weights, i) ? sn_weights_metadata(c->weights, i)->n : 0;
    const char *(*pair)[2] = sn_arena_array(&c->arena, most + 1, sizeof *pair);
    sn_map_init(&seen, c->arena.memory);
    for (size_t i = 0; pair && i < sn_weights_files(c->weights); i++) {
        const SnJson *m = sn_weights_metadata(c->weights, i);
        for (uint32_t k = 0; m && k < m->n; k++) {
            const SnJson *v = &m->u.child[k];
            if (sn_map_get(&seen, v->key, &at))
                continue;
            ok = ok && sn_map_put(&seen, v->key, 0);
            pair[c->nmetadata][0] = sn_arena_strndup(&c->arena, (const char *)v->key.at, v->key.n);
            pair[c->nmetadata][1] = sn_arena_strndup(&c->arena, (const char *)v->u.string.at, v->u.string.n);
            ok = ok && pair[c->nmetadata][0] && pair[c->nmetadata][1];
            c->nmetadata++;
        }
    }
    sn_map_clear(&seen);
    SN_CHECK(pair && ok, err, SN_ENOMEM, "%s: no memory", c->name);
    c->metadata = (const char *const(*)[2])(uintptr_t)pair;
    return SN_OK;
}

static SnStatus write_all(SnConverter *c, const char *path, void *user, SnError *err)
{
    SN_TRY(add_tensors(c, user, err));
    SN_TRY(add_metadata(c, err));
    return sn_convert_folder(c, path, err);
}

SnStatus sn_tensor_set_write(const SnTensorSet *s, const SnTensorWrite *o, const char *path, SnError *err)
{
    static const SnTensorWrite none = {.struct_size = sizeof none};
    Write w = {.set = s, .o = o ? o : &none};
    SnConverter c = {.name = s->name,
                     .weights = s->weights,
                     .max_shard = w.o->max_shard_size ? w.o->max_shard_size : UINT64_MAX};
    if (w.o->format) {
        w.to = sn_number_type(w.o->format);
        SN_CHECK(w.to && w.to->dtype != SN_NODTYPE && sn_dtype_is_float(w.to->dtype), err, SN_EUNSUPPORTED,
                 "%s: no floats in a format \"%s\"", path, w.o->format);
    }
    return sn_convert_run(&c, s->cc, "cpu", write_all, path, &w, err);
}
