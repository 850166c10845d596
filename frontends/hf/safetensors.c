/* safetensors.c -- reads and writes safetensors files.
 *
 * The header is untrusted: every size is checked against the file before any tensor is shown. Data is never
 * touched. */
#include "frontends/hf/safetensors.h"

#include <stdlib.h>

#define MAX_HEADER 100000000u

/* Formats that have no dtype of ours are carried by name; bits decide their size. Order: the format's own,
 * which is also the order in which tensors are written (last first). */
static const struct {
    const char *name;
    uint8_t bits;
    SnDtype dtype;
} formats[] = {
    {"BOOL", 8, SN_BOOL},
    {"F4", 4, SN_NODTYPE},
    {"F6_E2M3", 6, SN_NODTYPE},
    {"F6_E3M2", 6, SN_NODTYPE},
    {"U8", 8, SN_U8},
    {"I8", 8, SN_I8},
    {"F8_E5M2", 8, SN_F8E5M2},
    {"F8_E4M3", 8, SN_F8E4M3FN},
    {"F8_E8M0", 8, SN_F8E8M0},
    {"F8_E4M3FNUZ", 8, SN_F8E4M3FNUZ},
    {"F8_E5M2FNUZ", 8, SN_F8E5M2FNUZ},
    {"I16", 16, SN_I16},
    {"U16", 16, SN_U16},
    {"F16", 16, SN_F16},
    {"BF16", 16, SN_BF16},
    {"I32", 32, SN_I32},
    {"U32", 32, SN_U32},
    {"F32", 32, SN_F32},
    {"C64", 64, SN_NODTYPE},
    {"F64", 64, SN_F64},
    {"I64", 64, SN_I64},
    {"U64", 64, SN_U64},
};

static int find_format(SnBytes name)
{
    const size_t i = SN_FIND_ROW(formats, name, name);
    return i < SN_COUNT(formats) ? (int)i : -1;
}

typedef struct Parse {
    SnSafetensors *f;
    const char *name; /* of the file */
    SnBytes data;     /* after the header */
    SnError *err;
} Parse;

static SnStatus parse_shape(Parse *p, const SnJson *shape, SnStTensor *t, uint64_t *count)
{
    const int n = (int)t->name.n;
    const char *s = (const char *)t->name.at;
    SN_CHECK(shape && shape->kind == SN_JSON_ARRAY, p->err, SN_EFORMAT, "%s: tensor %.*s: no shape", p->name,
             n, s);
    SN_CHECK(shape->n <= SN_MAX_RANK, p->err, SN_EUNSUPPORTED,
             "%s: tensor %.*s: %u dims, at most %d are supported", p->name, n, s, shape->n, SN_MAX_RANK);
    size_t total = 1;
    for (uint32_t i = 0; i < shape->n; i++) {
        const SnJson *d = &shape->u.child[i];
        SN_CHECK(d->kind == SN_JSON_INT && d->u.integer >= 0, p->err, SN_EFORMAT,
                 "%s: tensor %.*s: dim %u is no whole number", p->name, n, s, i);
        SN_CHECK(sn_mul_size(total, (size_t)d->u.integer, &total) && total <= INT64_MAX, p->err, SN_EFORMAT,
                 "%s: tensor %.*s: the shape overflows", p->name, n, s);
        t->dims[i] = d->u.integer;
    }
    t->ndim = (int)shape->n;
    *count = total;
    return SN_OK;
}

static SnStatus parse_offsets(Parse *p, const SnJson *offsets, SnStTensor *t)
{
    const int n = (int)t->name.n;
    const char *s = (const char *)t->name.at;
    int64_t at[2] = {0, 0};
    SN_CHECK(offsets && offsets->kind == SN_JSON_ARRAY && offsets->n == 2, p->err, SN_EFORMAT,
             "%s: tensor %.*s: expected two data_offsets", p->name, n, s);
    for (uint32_t i = 0; i < 2; i++) {
        const SnJson *o = &offsets->u.child[i];
        SN_CHECK(o->kind == SN_JSON_INT && o->u.integer >= 0, p->err, SN_EFORMAT,
                 "%s: tensor %.*s: data_offsets are no whole numbers", p->name, n, s);
        at[i] = o->u.integer;
    }
    SN_CHECK(at[0] <= at[1] && (uint64_t)at[1] <= p->data.n, p->err, SN_EFORMAT,
             "%s: tensor %.*s: data [%lld, %lld) outside of %zu bytes", p->name, n, s, (long long)at[0],
             (long long)at[1], p->data.n);
    t->bytes = sn_bytes(p->data.at + at[0], (size_t)(at[1] - at[0]));
    return SN_OK;
}

static SnStatus parse_tensor(Parse *p, const SnJson *entry, SnStTensor *t)
{
    const int n = (int)entry->key.n;
    const char *s = (const char *)entry->key.at;
    SnBytes dtype = {0};
    uint64_t count = 0;
    t->name = entry->key;
    SN_CHECK(entry->kind == SN_JSON_OBJECT, p->err, SN_EFORMAT, "%s: tensor %.*s: its entry is no object",
             p->name, n, s);
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    for (size_t k = 0; k < SN_COUNT(fields); k++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < entry->n; i++)
            found += sn_bytes_is(entry->u.child[i].key, fields[k]);
        SN_CHECK(found == 1, p->err, SN_EFORMAT, "%s: tensor %.*s: %s stands %u times", p->name, n, s,
                 fields[k], found);
    }
    SN_CHECK(sn_json_string(sn_json_get(entry, "dtype"), &dtype), p->err, SN_EFORMAT,
             "%s: tensor %.*s: no dtype", p->name, n, s);
    const int format = find_format(dtype);
    SN_CHECK(format >= 0, p->err, SN_EFORMAT, "%s: tensor %.*s: unknown dtype %.*s", p->name, n, s,
             (int)dtype.n, (const char *)dtype.at);
    t->format = formats[format].name;
    t->dtype = formats[format].dtype;
    SN_TRY(parse_shape(p, sn_json_get(entry, "shape"), t, &count));
    SN_TRY(parse_offsets(p, sn_json_get(entry, "data_offsets"), t));
    size_t bits = 0;
    SN_CHECK(sn_mul_size(count, formats[format].bits, &bits), p->err, SN_EFORMAT,
             "%s: tensor %.*s: its size overflows", p->name, n, s);
    SN_CHECK(bits % 8 == 0, p->err, SN_EFORMAT,
             "%s: tensor %.*s: %llu elements of %s do not fill whole bytes", p->name, n, s,
             (unsigned long long)count, t->format);
    SN_CHECK(bits / 8 == t->bytes.n, p->err, SN_EFORMAT,
             "%s: tensor %.*s: shape needs %zu bytes, data has %zu", p->name, n, s, bits / 8, t->bytes.n);
    return SN_OK;
}

static SnStatus parse_metadata(Parse *p, const SnJson *m)
{
    if (m->kind == SN_JSON_NULL)
        return SN_OK;
    SN_CHECK(m->kind == SN_JSON_OBJECT, p->err, SN_EFORMAT, "%s: __metadata__ is no object", p->name);
    for (uint32_t i = 0; i < m->n; i++)
        SN_CHECK(m->u.child[i].kind == SN_JSON_STRING, p->err, SN_EFORMAT,
                 "%s: __metadata__ %.*s is no string", p->name, (int)m->u.child[i].key.n,
                 (const char *)m->u.child[i].key.at);
    p->f->metadata = m;
    return SN_OK;
}

static int by_place(const void *x, const void *y)
{
    const SnStTensor *a = x, *b = y;
    if (a->bytes.at != b->bytes.at)
        return a->bytes.at < b->bytes.at ? -1 : 1;
    return a->bytes.n != b->bytes.n ? (a->bytes.n < b->bytes.n ? -1 : 1) : sn_bytes_compare(a->name, b->name);
}

/* Tensors must fill the data without holes, overlaps or rest. */
static SnStatus check_cover(Parse *p)
{
    const uint8_t *at = p->data.at;
    for (size_t i = 0; i < p->f->ntensor; i++) {
        const SnStTensor *t = &p->f->tensor[i];
        SN_CHECK(t->bytes.at == at, p->err, SN_EFORMAT, "%s: tensor %.*s: data begins at %zu, expected %zu",
                 p->name, (int)t->name.n, (const char *)t->name.at, (size_t)(t->bytes.at - p->data.at),
                 (size_t)(at - p->data.at));
        at += t->bytes.n;
    }
    SN_CHECK((size_t)(at - p->data.at) == p->data.n, p->err, SN_EFORMAT, "%s: tensors cover %zu of %zu bytes",
             p->name, (size_t)(at - p->data.at), p->data.n);
    return SN_OK;
}

/* A name that stands twice counts once, with its last entry. */
static SnStatus parse_entries(Parse *p, const SnJson *root)
{
    SnSafetensors *f = p->f;
    f->tensor = sn_arena_array(&f->arena, root->n + 1u, sizeof *f->tensor);
    SN_CHECK(f->tensor, p->err, SN_ENOMEM, "%s: no memory for %u tensors", p->name, root->n);
    for (uint32_t i = 0; i < root->n; i++) {
        const SnJson *entry = &root->u.child[i];
        uint32_t at = 0;
        if (sn_bytes_is(entry->key, "__metadata__")) {
            SN_TRY(parse_metadata(p, entry));
            continue;
        }
        if (!sn_map_get(&f->index, entry->key, &at)) {
            at = (uint32_t)f->ntensor++;
            SN_CHECK(sn_map_put(&f->index, entry->key, at), p->err, SN_ENOMEM, "%s: no memory for names",
                     p->name);
        }
        f->tensor[at] = (SnStTensor){0};
        SN_TRY(parse_tensor(p, entry, &f->tensor[at]));
    }
    qsort(f->tensor, f->ntensor, sizeof *f->tensor, by_place);
    for (size_t i = 0; i < f->ntensor; i++)
        SN_CHECK(sn_map_put(&f->index, f->tensor[i].name, (uint32_t)i), p->err, SN_ENOMEM,
                 "%s: no memory for names", p->name);
    return check_cover(p);
}

SnStatus sn_safetensors_parse(SnContext *ctx, const char *name, SnBytes bytes, SnSafetensors *out,
                              SnError *err)
{
    SnReader r = sn_reader(bytes);
    const uint64_t size = sn_read_u64le(&r);
    SN_CHECK(!r.bad, err, SN_EFORMAT, "%s: %zu bytes are too few for a safetensors header", name, bytes.n);
    SN_CHECK(size <= MAX_HEADER, err, SN_EFORMAT, "%s: header of %llu bytes, at most %u are allowed", name,
             (unsigned long long)size, MAX_HEADER);
    SN_CHECK(size <= r.left, err, SN_EFORMAT, "%s: header says %llu bytes, the file has %zu", name,
             (unsigned long long)size, r.left);
    const SnBytes header = sn_take(&r, (size_t)size);
    SnSafetensors f = {0};
    SnJson *root = NULL;
    sn_arena_init(&f.arena, sn_allocator(ctx));
    sn_map_init(&f.index, sn_allocator(ctx));
    SnStatus st = sn_json_parse(&f.arena, name, header, &root, err);
    if (st == SN_OK && root->kind != SN_JSON_OBJECT)
        st = sn_fail(err, SN_EFORMAT, "%s: the header is no object", name);
    f.header = (size_t)size + 8;
    Parse p = {.f = &f, .name = name, .data = sn_bytes(r.at, r.left), .err = err};
    if (st == SN_OK)
        st = parse_entries(&p, root);
    if (st != SN_OK)
        sn_safetensors_close(&f);
    else
        *out = f;
    return st;
}

SnStatus sn_safetensors_open(SnContext *ctx, const char *path, SnSafetensors *out, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    const SnStatus st = sn_safetensors_parse(ctx, path, sn_file_bytes(file), out, err);
    if (st == SN_OK)
        out->file = file;
    else
        sn_file_release(file);
    return st;
}

void sn_safetensors_close(SnSafetensors *f)
{
    sn_map_clear(&f->index);
    sn_arena_clear(&f->arena);
    sn_file_release(f->file);
    *f = (SnSafetensors){0};
}

const SnStTensor *sn_safetensors_find(const SnSafetensors *f, const char *name)
{
    uint32_t i = 0;
    return sn_map_get(&f->index, sn_bytes_str(name), &i) ? &f->tensor[i] : NULL;
}

/* ---- writing ---- */

static int format_of(const SnStWrite *w)
{
    for (size_t i = 0; !w->format && i < SN_COUNT(formats); i++)
        if (formats[i].dtype == w->view.dtype && w->view.dtype != SN_NODTYPE)
            return (int)i;
    return w->format ? find_format(sn_bytes_str(w->format)) : -1;
}

static bool is_written_before(const SnStWrite *a, const SnStWrite *b)
{
    const int x = format_of(a), y = format_of(b);
    return x != y ? x > y : strcmp(a->name, b->name) < 0;
}

bool sn_safetensors_size(const char *format, int ndim, const int64_t *dims, size_t *out)
{
    const int f = find_format(sn_bytes_str(format));
    size_t n = f < 0 ? 0 : formats[f].bits;
    for (int i = 0; i < ndim; i++)
        if (dims[i] < 0 || !sn_mul_size(n, (size_t)dims[i], &n))
            return false;
    *out = n / 8;
    return f >= 0 && n % 8 == 0;
}

static void put_metadata(SnText *t, const SnStWriteOptions *o)
{
    for (size_t i = 0; o && i < o->nmetadata; i++) {
        sn_text_printf(t, i ? "," : "\"__metadata__\":{");
        sn_json_put_string(t, sn_bytes_str(o->metadata[i][0]));
        sn_text_add(t, ":", 1);
        sn_json_put_string(t, sn_bytes_str(o->metadata[i][1]));
    }
    if (o && o->nmetadata)
        sn_text_add(t, "}", 1);
}

/* The header, and the size of the data in *size. */
static SnStatus put_header(SnText *t, const char *path, const SnStWrite *const *order, size_t n,
                           const SnStWriteOptions *o, size_t *size, SnError *err)
{
    *size = 0;
    sn_text_printf(t, "        {"); /* its size comes first */
    put_metadata(t, o);
    for (size_t i = 0; i < n; i++) {
        const SnStWrite *w = order[i];
        const int f = format_of(w);
        size_t bytes = 0;
        SN_CHECK(f >= 0 && sn_safetensors_size(formats[f].name, w->view.ndim, w->view.dims, &bytes), err,
                 SN_EUNSUPPORTED, "%s: tensor %s: its dtype or shape cannot be written", path, w->name);
        sn_text_printf(t, i || (o && o->nmetadata) ? "," : "");
        sn_json_put_string(t, sn_bytes_str(w->name));
        sn_text_printf(t, ":{\"dtype\":\"%s\",\"shape\":[", formats[f].name);
        for (int32_t d = 0; d < w->view.ndim; d++)
            sn_text_printf(t, "%s%lld", d ? "," : "", (long long)w->view.dims[d]);
        sn_text_printf(t, "],\"data_offsets\":[%zu,%zu]}", *size, *size + bytes);
        SN_CHECK(sn_add_size(*size, bytes, size), err, SN_EINVAL, "%s: its size overflows", path);
    }
    sn_text_add(t, "}", 1);
    while (!t->failed && t->n % 8)
        sn_text_add(t, " ", 1);
    SN_CHECK(!t->failed, err, SN_ENOMEM, "%s: no memory for a header", path);
    for (int i = 0; i < 8; i++)
        t->at[i] = (char)((uint64_t)(t->n - 8) >> (8 * i));
    return SN_OK;
}

static SnStatus write_data(SnOutFile *f, const SnStWrite *first, const SnStWrite *const *order, size_t n,
                           const SnStWriteOptions *o, SnError *err)
{
    for (size_t i = 0; i < n; i++) {
        const SnView *v = &order[i]->view;
        size_t bytes = 0;
        if (o && o->fill)
            SN_TRY(o->fill(o->user, (size_t)(order[i] - first), f, err));
        else if (sn_safetensors_size(formats[format_of(order[i])].name, v->ndim, v->dims, &bytes))
            SN_TRY(sn_out_add(f, sn_bytes(v->data, bytes), err));
    }
    return SN_OK;
}

SnStatus sn_safetensors_write(SnContext *ctx, const char *path, const SnStWrite *tensor, size_t n,
                              const SnStWriteOptions *o, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    const SnStWrite **order = sn_arena_array(&arena, n + 1, sizeof *order);
    SnText head = {.memory = sn_allocator(ctx)};
    SnOutFile *f = NULL;
    size_t size = 0;
    SnStatus st = order ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        size_t at = i;
        for (; at > 0 && is_written_before(&tensor[i], order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = &tensor[i];
    }
    if (st == SN_OK)
        st = put_header(&head, path, order, n, o, &size, err);
    if (st == SN_OK)
        st = sn_out_begin(ctx, path, head.n + size, &f, err);
    if (st == SN_OK)
        st = sn_out_add(f, sn_bytes(head.at, head.n), err);
    if (st == SN_OK)
        st = write_data(f, tensor, order, n, o, err);
    if (st == SN_OK)
        st = sn_out_end(f, err);
    else
        sn_out_abandon(f);
    sn_text_clear(&head);
    sn_arena_clear(&arena);
    return st;
}
