/* npz.c -- reads and writes .npz archives.
 *
 * Only what numpy.savez makes: stored entries, one .npy each (format 1 to 3, C order, little endian). A
 * compressed entry is SN_EUNSUPPORTED. PKWARE APPNOTE 6.3; numpy/lib/format.py. */
#include "frontends/npz.h"

#include "frontends/model.h"
#include "frontends/zip.h"

#include <stdio.h>

#define LOCAL_MAGIC   0x04034B50u
#define CENTRAL_MAGIC 0x02014B50u
#define END_MAGIC     0x06054B50u
#define MAX_ENTRIES   4096u

static const struct {
    const char *descr;
    SnDtype dtype;
} descrs[] = {
    {"|b1", SN_BOOL}, {"|i1", SN_I8},  {"<i2", SN_I16}, {"<i4", SN_I32}, {"<i8", SN_I64}, {"|u1", SN_U8},
    {"<u2", SN_U16},  {"<u4", SN_U32}, {"<u8", SN_U64}, {"<f2", SN_F16}, {"<f4", SN_F32}, {"<f8", SN_F64},
};

/* ---- .npy ---- */

/* The value of 'key' in the header, a Python dict literal. */
static const char *dict_value(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    at = at ? strchr(at, ':') : NULL;
    return at ? at + 1 + strspn(at + 1, " ") : NULL;
}

static SnStatus parse_shape(const char *at, const char *name, SnView *v, SnError *err)
{
    at = at && *at == '(' ? at + 1 : NULL;
    SN_CHECK(at, err, SN_EFORMAT, "%s: no shape", name);
    while (*at && *at != ')') {
        int64_t dim = 0;
        int n = 0;
        for (; at[n] >= '0' && at[n] <= '9' && n < 18; n++)
            dim = dim * 10 + (at[n] - '0');
        SN_CHECK(n > 0 && v->ndim < SN_MAX_RANK, err, SN_EFORMAT, "%s: its shape is malformed", name);
        v->dims[v->ndim++] = dim;
        at += n;
        at += strspn(at, "L, ");
    }
    return SN_OK;
}

static SnStatus parse_header(const char *header, const char *name, SnView *v, SnError *err)
{
    const char *descr = dict_value(header, "'descr'"), *order = dict_value(header, "'fortran_order'");
    SN_CHECK(descr && order && *descr == '\'', err, SN_EFORMAT, "%s: no array header", name);
    SN_CHECK(strncmp(order, "False", 5) == 0, err, SN_EUNSUPPORTED, "%s: Fortran order", name);
    for (size_t i = 0; i < SN_COUNT(descrs); i++)
        if (strncmp(descr + 1, descrs[i].descr, 3) == 0 && descr[4] == '\'')
            v->dtype = descrs[i].dtype;
    SN_CHECK(v->dtype, err, SN_EUNSUPPORTED, "%s: dtype %.8s", name, descr);
    return parse_shape(dict_value(header, "'shape'"), name, v, err);
}

static SnStatus add_npy(SnArena *arena, SnResults *r, const char *name, SnBytes npy, SnError *err)
{
    SnReader in = sn_reader(npy);
    const SnBytes magic = sn_take(&in, 6);
    const uint8_t major = sn_read_u8(&in);
    (void)sn_read_u8(&in);
    const uint32_t size = major == 1 ? sn_read_u16le(&in) : sn_read_u32le(&in);
    const SnBytes text = sn_take(&in, size);
    SN_CHECK(!in.bad && memcmp(magic.at, "\x93NUMPY", 6) == 0 && major >= 1 && major <= 3, err, SN_EFORMAT,
             "%s: no .npy array", name);
    const char *header = sn_arena_strndup(arena, (const char *)text.at, text.n);
    SN_CHECK(header, err, SN_ENOMEM, "%s: no memory", name);
    SnView v = {0};
    SN_TRY(parse_header(header, name, &v, err));
    size_t bytes = sn_dtype_size(v.dtype);
    for (int32_t i = 0; i < v.ndim; i++)
        SN_CHECK(sn_mul_size(bytes, (size_t)v.dims[i], &bytes), err, SN_EFORMAT, "%s: its size overflows",
                 name);
    SN_CHECK(bytes == in.left, err, SN_EFORMAT, "%s: shape needs %zu bytes, data has %zu", name, bytes,
             in.left);
    SN_TRY(sn_results_reserve(r, name, &v, err));
    if (bytes)
        memcpy(sn_results_get(r, sn_results_count(r) - 1)->view.data, in.at, bytes);
    return SN_OK;
}

/* ---- archives ---- */

static SnStatus read_archive(SnContext *ctx, SnBytes file, SnArena *arena, const char *path, SnResults **out,
                             SnError *err)
{
    SnZip z;
    SN_TRY(sn_zip_open(path, file, &z, err));
    SN_CHECK(z.left <= MAX_ENTRIES, err, SN_EUNSUPPORTED, "%s: more than %u arrays", path, MAX_ENTRIES);
    SN_TRY(sn_results_create(ctx, (size_t)z.left, out, err));
    while (z.left > 0) {
        SnBytes text, data;
        SN_TRY(sn_zip_next(&z, &text, &data, err));
        const size_t cut = sn_bytes_ends(text, ".npy") ? 4 : 0;
        const char *name = sn_arena_strndup(arena, (const char *)text.at, text.n - cut);
        SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", path);
        SN_TRY(add_npy(arena, *out, name, data, err));
    }
    return SN_OK;
}

SnStatus sn_npz_load(SnContext *ctx, const char *path, SnResults **out, SnError *err)
{
    SnFile *file = NULL;
    SnResults *r = NULL;
    SnArena arena;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    sn_arena_init(&arena, sn_allocator(ctx));
    const SnStatus st = read_archive(ctx, sn_file_bytes(file), &arena, path, &r, err);
    sn_arena_clear(&arena);
    sn_file_release(file);
    return sn_results_finish(st, r, out);
}

/* ---- writing ---- */

static uint32_t crc32_of(uint32_t crc, SnBytes b)
{
    crc = ~crc;
    for (size_t i = 0; i < b.n; i++) {
        crc ^= b.at[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static void put(SnText *t, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const char c = (char)(v >> (8 * i));
        sn_text_add(t, &c, 1);
    }
}

static const char *descr_of(SnDtype d)
{
    for (size_t i = 0; i < SN_COUNT(descrs); i++)
        if (descrs[i].dtype == d)
            return descrs[i].descr;
    return NULL;
}

/* The header's length makes the data begin at a multiple of 64. */
static void put_npy_header(SnText *t, const SnView *v)
{
    SnText dict = {.memory = t->memory};
    sn_text_printf(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr_of(v->dtype));
    for (int32_t i = 0; i < v->ndim; i++)
        sn_text_printf(&dict, "%s%lld", i ? ", " : "", (long long)v->dims[i]);
    sn_text_printf(&dict, v->ndim == 1 ? ",), }" : "), }");
    while (!dict.failed && (10 + dict.n + 1) % 64)
        sn_text_add(&dict, " ", 1);
    sn_text_add(t, "\x93NUMPY\x01\x00", 8);
    put(t, dict.n + 1, 2);
    sn_text_add(t, dict.at ? dict.at : "", dict.n);
    sn_text_add(t, "\n", 1);
    t->failed = t->failed || dict.failed;
    sn_text_clear(&dict);
}

typedef struct Entry {
    uint32_t crc, size, offset;
} Entry;

/* What local header and directory share. */
static void put_entry(SnText *t, const Entry *e, const char *name)
{
    put(t, 20, 2);         /* version */
    put(t, 0, 2);          /* flags */
    put(t, 0, 2);          /* stored */
    put(t, 0x00210000, 4); /* 1980-01-01 */
    put(t, e->crc, 4);
    put(t, e->size, 4);
    put(t, e->size, 4);
    put(t, strlen(name) + 4, 2);
    put(t, 0, 2);
}

static SnStatus put_tensor(SnText *t, const SnNamedTensor *x, Entry *e, SnError *err)
{
    SnText head = {.memory = t->memory};
    size_t bytes = sn_dtype_size(x->view.dtype);
    for (int32_t i = 0; i < x->view.ndim; i++)
        bytes *= (size_t)x->view.dims[i];
    SN_CHECK(descr_of(x->view.dtype), err, SN_EUNSUPPORTED, "%s: NumPy has no %s", x->name,
             sn_dtype(x->view.dtype)->name);
    SN_CHECK(bytes < UINT32_MAX / 2 && t->n < UINT32_MAX / 2, err, SN_EUNSUPPORTED,
             "%s: an .npz of more than 2 GiB", x->name);
    put_npy_header(&head, &x->view);
    const SnBytes data = sn_bytes(x->view.data, bytes), header = sn_bytes(head.at, head.failed ? 0 : head.n);
    *e = (Entry){.crc = crc32_of(crc32_of(0, header), data),
                 .size = (uint32_t)(header.n + bytes),
                 .offset = (uint32_t)t->n};
    put(t, LOCAL_MAGIC, 4);
    put_entry(t, e, x->name);
    sn_text_add(t, x->name, strlen(x->name));
    sn_text_add(t, ".npy", 4);
    sn_text_add(t, head.at ? head.at : "", header.n);
    if (bytes)
        sn_text_add(t, x->view.data, bytes);
    t->failed = t->failed || head.failed;
    sn_text_clear(&head);
    return SN_OK;
}

static void put_directory(SnText *t, const SnNamedTensor *tensor, const Entry *e, size_t n)
{
    const size_t begin = t->n;
    for (size_t i = 0; i < n; i++) {
        put(t, CENTRAL_MAGIC, 4);
        put(t, 20, 2);
        put_entry(t, &e[i], tensor[i].name);
        put(t, 0, 8); /* comment, disk, inner attributes */
        put(t, 0, 2);
        put(t, e[i].offset, 4);
        sn_text_add(t, tensor[i].name, strlen(tensor[i].name));
        sn_text_add(t, ".npy", 4);
    }
    const size_t size = t->n - begin;
    put(t, END_MAGIC, 4);
    put(t, 0, 4);
    put(t, n, 2);
    put(t, n, 2);
    put(t, size, 4);
    put(t, begin, 4);
    put(t, 0, 2);
}

SnStatus sn_npz_save(SnContext *ctx, const char *path, const SnNamedTensor *tensor, size_t n, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnText t = {.memory = sn_allocator(ctx)};
    Entry *e = sn_arena_array(&arena, n + 1, sizeof *e);
    SnStatus st =
        e && n <= MAX_ENTRIES ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory for %zu arrays", path, n);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        st = put_tensor(&t, &tensor[i], &e[i], err);
    if (st == SN_OK)
        put_directory(&t, tensor, e, n);
    if (st == SN_OK && t.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    const SnBytes all = sn_bytes(t.at, t.n);
    if (st == SN_OK)
        st = sn_file_write(ctx, path, &all, 1, err);
    sn_text_clear(&t);
    sn_arena_clear(&arena);
    return st;
}
