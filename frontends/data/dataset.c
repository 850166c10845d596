/* dataset.c -- the life of datasets, their cells, and rows of a column as views. */
#include "frontends/data/table.h"

#include <math.h>
#include <stdio.h>

#define BLOCK_ALIGN _Alignof(max_align_t)

SnStatus sn_table_create(SnContext *ctx, uint32_t ncol, SnDataset **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnDataset *d = sn_alloc_zero(memory, sizeof *d, BLOCK_ALIGN);
    SN_CHECK(d, err, SN_ENOMEM, "dataset: no memory");
    *d = (SnDataset){.ctx = ctx, .refs = 1, .ncol = ncol};
    sn_arena_init(&d->arena, memory);
    d->col = sn_arena_array(&d->arena, (size_t)ncol + 1, sizeof *d->col);
    if (!d->col) {
        sn_dataset_release(d);
        return sn_fail(err, SN_ENOMEM, "dataset: no memory for %u columns", ncol);
    }
    *out = d;
    return SN_OK;
}

SnDataset *sn_dataset_retain(SnDataset *d)
{
    if (d)
        d->refs++;
    return d;
}

void sn_dataset_release(SnDataset *d)
{
    if (!d || --d->refs > 0)
        return;
    const SnAllocator *memory = sn_allocator(d->ctx);
    for (size_t i = 0; i < d->block.n; i++)
        sn_free(memory, d->block.at[i].at, d->block.at[i].size, BLOCK_ALIGN);
    for (size_t i = 0; i < d->file.n; i++)
        sn_file_release(d->file.at[i]);
    for (size_t i = 0; i < d->of.n; i++)
        sn_dataset_release(d->of.at[i]);
    if (d->release_held)
        d->release_held(d->held);
    sn_vec_clear(memory, &d->block);
    sn_vec_clear(memory, &d->file);
    sn_vec_clear(memory, &d->of);
    sn_arena_clear(&d->arena);
    sn_free(memory, d, sizeof *d, BLOCK_ALIGN);
}

SnStatus sn_table_keep(SnDataset *d, const SnDataset *of, SnError *err)
{
    SnDataset *kept = (SnDataset *)(uintptr_t)of;
    SN_CHECK(sn_vec_push(sn_allocator(d->ctx), &d->of, kept), err, SN_ENOMEM, "dataset: no memory");
    (void)sn_dataset_retain(kept);
    return SN_OK;
}

SnStatus sn_table_keep_file(SnDataset *d, SnFile *f, SnError *err)
{
    SN_CHECK(sn_vec_push(sn_allocator(d->ctx), &d->file, f), err, SN_ENOMEM, "dataset: no memory");
    (void)sn_file_retain(f);
    return SN_OK;
}

SnStatus sn_table_own(SnDataset *d, void *at, size_t size, SnError *err)
{
    const SnAllocator *memory = sn_allocator(d->ctx);
    if (sn_vec_push(memory, &d->block, (SnOwned){at, size}))
        return SN_OK;
    sn_free(memory, at, size, BLOCK_ALIGN);
    return sn_fail(err, SN_ENOMEM, "dataset: no memory");
}

SnStatus sn_table_alloc(SnDataset *d, size_t n, size_t size, void *out, SnError *err)
{
    size_t bytes = 0;
    SN_CHECK(sn_mul_size(n, size, &bytes), err, SN_ENOMEM, "dataset: %zu rows do not fit in memory", n);
    void *at = sn_alloc_zero(sn_allocator(d->ctx), bytes ? bytes : 1, BLOCK_ALIGN);
    SN_CHECK(at, err, SN_ENOMEM, "dataset: no memory for %zu rows", n);
    SN_TRY(sn_table_own(d, at, bytes ? bytes : 1, err));
    memcpy(out, &at, sizeof at);
    return SN_OK;
}

SnStatus sn_table_derive(const SnDataset *d, uint32_t more, SnDataset **out, SnError *err)
{
    SnDataset *to = NULL;
    SN_TRY(sn_table_create(d->ctx, d->ncol + more, &to, err));
    const SnStatus st = sn_table_keep(to, d, err);
    if (st != SN_OK) {
        sn_dataset_release(to);
        return st;
    }
    to->nrow = d->nrow;
    to->ncol = d->ncol;
    to->fingerprint = d->fingerprint;
    memcpy(to->col, d->col, d->ncol * sizeof *d->col);
    *out = to;
    return SN_OK;
}

SnStatus sn_table_finish(SnStatus st, SnDataset *d, SnDataset **out)
{
    if (st == SN_OK)
        *out = d;
    else
        sn_dataset_release(d);
    return st;
}

SnStatus sn_table_chunks(SnDataset *d, uint32_t column, const SnArray *chunk, uint32_t nchunk, int64_t *nrow,
                         SnError *err)
{
    SnColumn *c = &d->col[column];
    int64_t *first = sn_arena_array(&d->arena, (size_t)nchunk + 1, sizeof *first);
    SN_CHECK(first, err, SN_ENOMEM, "dataset: no memory");
    for (uint32_t i = 0; i < nchunk; i++)
        SN_CHECK(sn_add_i64(first[i], chunk[i].n, &first[i + 1]), err, SN_EFORMAT, "dataset: too many rows");
    c->chunk = chunk;
    c->nchunk = nchunk;
    c->first = first;
    *nrow = first[nchunk];
    return SN_OK;
}

uint64_t sn_stamp(uint64_t fingerprint, const char *op, const void *args, size_t n)
{
    const uint64_t seed = sn_hash64(op, strlen(op), fingerprint);
    return sn_hash64(n ? args : op, n, seed);
}

void sn_table_stamp(SnDataset *d, const char *op, const void *args, size_t n)
{
    d->fingerprint = sn_stamp(d->fingerprint, op, args, n);
}

void sn_table_forget(const SnDataset *d)
{
    for (size_t i = 0; i < d->file.n; i++)
        (void)sn_file_forget(d->file.at[i], sn_file_bytes(d->file.at[i]));
    for (size_t i = 0; i < d->of.n; i++)
        sn_table_forget(d->of.at[i]);
}

/* ---- cells ---- */

int64_t sn_dataset_rows(const SnDataset *d)
{
    return d->nrow;
}

uint32_t sn_dataset_columns(const SnDataset *d)
{
    return d->ncol;
}

const SnFeature *sn_dataset_feature(const SnDataset *d, uint32_t column)
{
    return column < d->ncol ? &d->col[column].type : NULL;
}

void sn_dataset_features(const SnDataset *d, SnText *json)
{
    sn_features_json(json, &d->col[0].type, d->ncol, sizeof *d->col);
}

uint64_t sn_dataset_fingerprint(const SnDataset *d)
{
    return d->fingerprint;
}

SnStatus sn_dataset_find(const SnDataset *d, const char *name, uint32_t *column, SnError *err)
{
    char list[300] = "";
    for (uint32_t i = 0; i < d->ncol; i++) {
        if (strcmp(d->col[i].type.name, name) == 0) {
            *column = i;
            return SN_OK;
        }
        const size_t n = strlen(list);
        (void)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", d->col[i].type.name);
    }
    return sn_fail(err, SN_EINVAL, "no column %s; there are %s", name, d->ncol ? list : "none");
}

SnCell sn_column_at(const SnColumn *c, int64_t row)
{
    const int64_t at = sn_column_row(c, row);
    uint32_t lo = 0, hi = c->nchunk;
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        *(c->first[mid] <= at ? &lo : &hi) = mid;
    }
    return (SnCell){&c->chunk[lo], at - c->first[lo]};
}

SnCell sn_dataset_cell(const SnDataset *d, uint32_t column, int64_t row)
{
    SN_ASSERT(column < d->ncol && row >= 0 && row < d->nrow);
    return sn_column_at(&d->col[column], row);
}

bool sn_cell_is_null(SnCell c)
{
    return c.array->type->kind == SN_DATA_NULL || !sn_array_valid(c.array, c.at);
}

SnBytes sn_cell_bytes(SnCell c)
{
    const SnDataKind kind = c.array->type->kind;
    if ((kind != SN_DATA_TEXT && kind != SN_DATA_BINARY) || !sn_array_valid(c.array, c.at))
        return (SnBytes){NULL, 0};
    const int64_t begin = sn_array_offset(c.array, c.at), end = sn_array_offset(c.array, c.at + 1);
    return sn_bytes(c.array->data + begin, (size_t)(end - begin));
}

/* The value as it is stored, in the widest type of its kind. */
static bool load_number(SnCell c, int64_t *integer, double *number)
{
    const SnArray *a = c.array;
    if ((a->type->kind != SN_DATA_NUMBER && a->type->kind != SN_DATA_LABEL) || !sn_array_valid(a, c.at))
        return false;
    const size_t at = (size_t)(a->offset + c.at);
    if (a->type->dtype == SN_BOOL) {
        *integer = a->data[at >> 3] >> (at & 7) & 1;
        *number = (double)*integer;
        return true;
    }
    const SnDtype dtype = a->type->dtype;
    const SnScalar v = sn_scalar_load(dtype, a->data + at * sn_dtype_size(dtype));
    if (sn_dtype_is_float(dtype)) {
        *number = v.f;
        *integer = v.f >= -0x1p63 && v.f < 0x1p63 ? (int64_t)v.f : 0;
    } else {
        *integer = v.i;
        *number = dtype == SN_U64 ? (double)v.u : (double)v.i;
    }
    return true;
}

int64_t sn_cell_int(SnCell c)
{
    int64_t integer = 0;
    double number = 0;
    return load_number(c, &integer, &number) ? integer : 0;
}

double sn_cell_number(SnCell c)
{
    int64_t integer = 0;
    double number = 0;
    return load_number(c, &integer, &number) ? number : (double)NAN;
}

int64_t sn_cell_list(SnCell c, SnCell *first)
{
    const SnArray *a = c.array;
    if (a->type->kind != SN_DATA_LIST || !sn_array_valid(a, c.at))
        return 0;
    if (a->type->length) {
        *first = (SnCell){a->child, (a->offset + c.at) * a->type->length};
        return a->type->length;
    }
    const int64_t begin = sn_array_offset(a, c.at);
    *first = (SnCell){a->child, begin};
    return sn_array_offset(a, c.at + 1) - begin;
}

SnCell sn_cell_field(SnCell c, uint32_t field)
{
    SN_ASSERT(c.array->type->kind == SN_DATA_STRUCT && field < c.array->type->nchild);
    return (SnCell){&c.array->child[field], c.array->offset + c.at};
}

static void put_fields(SnText *t, SnCell c)
{
    for (uint32_t i = 0; i < c.array->type->nchild; i++) {
        sn_text_add(t, i ? "," : "{", 1);
        sn_json_put_string(t, sn_bytes_str(c.array->type->child[i].name));
        sn_text_add(t, ":", 1);
        (void)sn_cell_json(t, sn_cell_field(c, i));
    }
    sn_text_add(t, c.array->type->nchild ? "}" : "{}", c.array->type->nchild ? 1 : 2);
}

bool sn_cell_json(SnText *t, SnCell c)
{
    SnCell item = c;
    const SnFeature *type = c.array->type;
    if (sn_cell_is_null(c)) {
        sn_text_add(t, "null", 4);
    } else if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY) {
        sn_json_put_string(t, sn_cell_bytes(c));
    } else if (type->kind == SN_DATA_STRUCT) {
        put_fields(t, c);
    } else if (type->kind == SN_DATA_LIST) {
        const int64_t n = sn_cell_list(c, &item);
        sn_text_add(t, "[", 1);
        for (int64_t i = 0; i < n; i++, item.at++) {
            sn_text_add(t, ",", i > 0);
            (void)sn_cell_json(t, item);
        }
        sn_text_add(t, "]", 1);
    } else if (type->dtype == SN_BOOL) {
        sn_text_printf(t, "%s", sn_cell_int(c) ? "true" : "false");
    } else if (type->dtype == SN_F32) {
        sn_json_put_f32(t, (float)sn_cell_number(c));
    } else if (sn_dtype_is_float(type->dtype)) {
        sn_json_put_f64(t, sn_cell_number(c));
    } else if (type->dtype == SN_U64) {
        sn_text_printf(t, "%llu", (unsigned long long)sn_cell_int(c));
    } else {
        sn_json_put_int(t, sn_cell_int(c));
    }
    return !t->failed;
}
