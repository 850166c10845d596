/* builder.c -- columns while they are written: growing buffers that become Arrow arrays. */
#include "frontends/data/table.h"

void sn_builder_clear(SnBuilder *b)
{
    for (size_t i = 0; i < b->child.n; i++) {
        sn_builder_clear(b->child.at[i]);
        sn_free(b->memory, b->child.at[i], sizeof *b->child.at[i], _Alignof(SnBuilder));
    }
    sn_vec_clear(b->memory, &b->child);
    sn_vec_clear(b->memory, &b->valid);
    sn_vec_clear(b->memory, &b->data);
    sn_vec_clear(b->memory, &b->end);
    sn_map_clear(&b->field);
}

static bool add_bytes(SnBuilder *b, const void *at, size_t n)
{
    if (!sn_vec_reserve(b->memory, &b->data, n))
        return false;
    if (n)
        memcpy(b->data.at + b->data.n, at, n);
    b->data.n += n;
    return true;
}

static void add_row(SnBuilder *b, bool is_valid, bool ok)
{
    if (!ok || !sn_vec_push(b->memory, &b->valid, is_valid))
        b->failed = true;
    b->n++;
    b->nnull += !is_valid;
}

SnBuilder *sn_builder_child(SnBuilder *b, SnBytes key)
{
    SnBuilder *c = sn_alloc_zero(b->memory, sizeof *c, _Alignof(SnBuilder));
    if (!c || !sn_vec_push(b->memory, &b->child, c)) {
        sn_free(b->memory, c, sizeof *c, _Alignof(SnBuilder));
        b->failed = true;
        return NULL;
    }
    c->memory = b->memory;
    c->key = key;
    sn_map_init(&c->field, b->memory);
    return c;
}

void sn_builder_null(SnBuilder *b)
{
    static const uint8_t zero[8];
    const int64_t end = b->end.n ? b->end.at[b->end.n - 1] : 0;
    bool ok = true;
    switch (b->type.kind) {
    case SN_DATA_NULL:
        break;
    case SN_DATA_NUMBER:
    case SN_DATA_LABEL:
        ok = add_bytes(b, zero, sn_dtype_size(b->type.dtype));
        break;
    case SN_DATA_TEXT:
    case SN_DATA_BINARY:
    case SN_DATA_LIST:
        ok = sn_vec_push(b->memory, &b->end, end);
        for (int64_t i = 0; i < b->type.length; i++)
            sn_builder_null(b->child.at[0]);
        break;
    case SN_DATA_STRUCT:
        for (size_t i = 0; i < b->child.n; i++)
            sn_builder_null(b->child.at[i]);
        break;
    }
    add_row(b, false, ok);
}

void sn_builder_text(SnBuilder *b, SnBytes s)
{
    const bool ok = add_bytes(b, s.at, s.n) && sn_vec_push(b->memory, &b->end, (int64_t)b->data.n);
    add_row(b, true, ok);
}

void sn_builder_raw(SnBuilder *b, const void *value)
{
    add_row(b, true, add_bytes(b, value, sn_dtype_size(b->type.dtype)));
}

void sn_builder_values(SnBuilder *b, const void *value, size_t n)
{
    size_t size = 0;
    if (!sn_mul_size(n, sn_dtype_size(b->type.dtype), &size) || !add_bytes(b, value, size) ||
        !sn_vec_reserve(b->memory, &b->valid, n)) {
        b->failed = true;
        return;
    }
    if (n)
        memset(b->valid.at + b->valid.n, 1, n);
    b->valid.n += n;
    b->n += (int64_t)n;
}

void sn_builder_row(SnBuilder *b)
{
    const int64_t items = b->child.n ? b->child.at[0]->n : 0;
    const bool ok = b->type.kind != SN_DATA_LIST || sn_vec_push(b->memory, &b->end, items);
    for (size_t i = 0; b->type.kind == SN_DATA_STRUCT && i < b->child.n; i++)
        if (b->child.at[i]->n <= b->n)
            sn_builder_null(b->child.at[i]);
    add_row(b, true, ok);
}

void sn_builder_become(SnBuilder *b, const SnFeature *type)
{
    const int64_t n = b->n;
    SN_ASSERT(b->type.kind == SN_DATA_NULL);
    b->type = *type;
    b->n = b->nnull = 0;
    b->valid.n = 0;
    for (int64_t i = 0; i < n; i++)
        sn_builder_null(b);
}

/* ---- the end ---- */

/* A bit for each byte. */
static SnStatus pack_bits(SnDataset *d, const uint8_t *byte, size_t n, const uint8_t **out, SnError *err)
{
    uint8_t *bits = NULL;
    SN_TRY(sn_table_alloc(d, n / 8 + 1, 1, &bits, err));
    for (size_t i = 0; i < n; i++)
        bits[i >> 3] |= (uint8_t)((byte[i] != 0) << (i & 7));
    *out = bits;
    return SN_OK;
}

static SnStatus end_offsets(SnBuilder *b, SnDataset *d, SnArray *out, SnFeature *type, SnError *err)
{
    const size_t n = b->end.n;
    type->is_wide = type->is_wide || (n && b->end.at[n - 1] > INT32_MAX);
    void *offsets = NULL;
    SN_TRY(sn_table_alloc(d, n + 1, type->is_wide ? 8 : 4, &offsets, err));
    for (size_t i = 0; i < n; i++)
        if (type->is_wide)
            ((int64_t *)offsets)[i + 1] = b->end.at[i];
        else
            ((int32_t *)offsets)[i + 1] = (int32_t)b->end.at[i];
    out->offsets = offsets;
    return SN_OK;
}

/* The bytes move to the dataset. */
static SnStatus end_data(SnBuilder *b, SnDataset *d, SnArray *out, SnError *err)
{
    if (b->type.dtype == SN_BOOL) {
        out->data_size = b->data.n / 8 + 1;
        return pack_bits(d, b->data.at, b->data.n, &out->data, err);
    }
    out->data = b->data.at;
    out->data_size = b->data.n;
    void *at = b->data.at;
    const size_t size = b->data.cap;
    b->data.at = NULL;
    b->data.n = b->data.cap = 0;
    return at ? sn_table_own(d, at, size, err) : SN_OK;
}

static SnStatus end_children(SnBuilder *b, SnDataset *d, SnArray *out, SnFeature *type, SnError *err)
{
    const uint32_t n = (uint32_t)b->child.n, room = type->kind == SN_DATA_LIST && n == 0 ? 1 : n;
    SnArray *child = sn_arena_array(&d->arena, (size_t)room + 1, sizeof *child);
    SnFeature *types = sn_arena_array(&d->arena, (size_t)room + 1, sizeof *types);
    SN_CHECK(child && types, err, SN_ENOMEM, "dataset: no memory");
    types[0].name = "";
    child[0].type = &types[0];
    for (uint32_t i = 0; i < n; i++) {
        SN_TRY(sn_builder_end(b->child.at[i], d, &child[i], err));
        types[i] = *child[i].type;
    }
    type->nchild = room;
    type->child = types;
    out->child = child;
    return SN_OK;
}

SnStatus sn_builder_end(SnBuilder *b, SnDataset *d, SnArray *out, SnError *err)
{
    SN_CHECK(!b->failed, err, SN_ENOMEM, "dataset: no memory");
    SnFeature *type = sn_arena_alloc(&d->arena, sizeof *type);
    char *name = sn_arena_strndup(&d->arena, (const char *)b->key.at, b->key.n);
    SN_CHECK(type && name, err, SN_ENOMEM, "dataset: no memory");
    *type = b->type;
    type->name = name;
    SnArray a = {.type = type, .n = b->n};
    if (b->nnull && type->kind != SN_DATA_NULL)
        SN_TRY(pack_bits(d, b->valid.at, b->valid.n, &a.valid, err));
    sn_vec_clear(b->memory, &b->valid);
    const bool is_list = type->kind == SN_DATA_LIST && type->length == 0;
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY || is_list)
        SN_TRY(end_offsets(b, d, &a, type, err));
    sn_vec_clear(b->memory, &b->end);
    if (type->kind == SN_DATA_LIST || type->kind == SN_DATA_STRUCT)
        SN_TRY(end_children(b, d, &a, type, err));
    else if (type->kind != SN_DATA_NULL)
        SN_TRY(end_data(b, d, &a, err));
    *out = a;
    return SN_OK;
}

SnStatus sn_builders_end(SnBuilder *const *b, size_t n, SnContext *ctx, int64_t nrow, SnDataset **out,
                         SnError *err)
{
    SnDataset *d = NULL;
    SN_TRY(sn_table_create(ctx, (uint32_t)n, &d, err));
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && i < n; i++) {
        SnArray *a = sn_arena_alloc(&d->arena, sizeof *a);
        int64_t rows = 0;
        st = a ? sn_builder_end(b[i], d, a, err) : sn_fail(err, SN_ENOMEM, "dataset: no memory");
        if (st == SN_OK)
            st = sn_table_chunks(d, i, a, 1, &rows, err);
        if (st == SN_OK)
            d->col[i].type = *a->type;
    }
    d->nrow = nrow;
    return sn_table_finish(st, d, out);
}

SnStatus sn_table_put(SnDataset *d, uint32_t column, SnBuilder *b, SnError *err)
{
    SnArray *a = sn_arena_alloc(&d->arena, sizeof *a);
    int64_t n = 0;
    SN_CHECK(a, err, SN_ENOMEM, "dataset: no memory");
    SN_TRY(sn_builder_end(b, d, a, err));
    d->col[column] = (SnColumn){.type = *a->type};
    return sn_table_chunks(d, column, a, 1, &n, err);
}
