/* batch.c -- rows of a column as views for programs, where they lie or gathered; rows of a dataset copied
 * together, one array a column, or as lists. */
#include "frontends/data/table.h"

typedef struct Batch {
    const SnColumn *c;
    int64_t first, n;
    SnArena *arena;
    SnError *err;
} Batch;

/* Are all rows neighbours in one chunk? That of the first is in *cell. */
static bool lies_together(const Batch *b, SnCell *cell)
{
    if (b->n == 0)
        return false;
    *cell = sn_column_at(b->c, b->first);
    const int64_t at = sn_column_row(b->c, b->first);
    for (int64_t i = 1; b->c->order && i < b->n; i++)
        if (b->c->order[b->first + i] != at + i)
            return false;
    return b->n <= cell->array->n - cell->at;
}

/* The numbers inside of lists of one length; NULL: it holds others. */
static const SnFeature *leaf_type(const SnFeature *f, SnView *v)
{
    while (f->kind == SN_DATA_LIST && f->length && v->ndim < SN_MAX_RANK) {
        v->dims[v->ndim++] = f->length;
        f = f->child;
    }
    return f->kind == SN_DATA_NUMBER || f->kind == SN_DATA_LABEL ? f : NULL;
}

/* Rows of numbers, or of lists of one length of them: `size` numbers a row. */
static SnStatus view_numbers(const Batch *b, const SnFeature *leaf, int64_t size, SnView *v)
{
    const size_t each = sn_dtype_size(leaf->dtype);
    uint8_t *to = NULL;
    SnCell cell;
    size_t bytes = 0;
    const bool together = lies_together(b, &cell) && leaf->dtype != SN_BOOL;
    if (!together) {
        SN_CHECK(sn_mul_size((size_t)b->n, (size_t)size * each, &bytes), b->err, SN_ENOMEM,
                 "column %s: too large", b->c->type.name);
        to = sn_arena_alloc(b->arena, bytes + 1);
        SN_CHECK(to, b->err, SN_ENOMEM, "column %s: no memory", b->c->type.name);
    }
    v->data = to;
    for (int64_t i = 0; i < (together ? b->n > 0 : b->n); i++) {
        cell = sn_column_at(b->c, b->first + i);
        const SnArray *a = cell.array;
        int64_t at = a->offset + cell.at;
        for (; a->type->kind == SN_DATA_LIST; a = a->child)
            at = at * a->type->length + a->child->offset;
        SN_CHECK(!a->valid || size == 1, b->err, SN_EINVAL, "column %s: nulls in lists", b->c->type.name);
        if (together)
            v->data = (uint8_t *)(uintptr_t)(a->data + (size_t)at * each);
        else if (leaf->dtype == SN_BOOL)
            for (int64_t k = 0; k < size; k++)
                to[i * size + k] = a->data[(at + k) >> 3] >> ((at + k) & 7) & 1;
        else
            memcpy(to + (size_t)(i * size) * each, a->data + (size_t)at * each, (size_t)size * each);
    }
    return SN_OK;
}

/* Texts, or lists of numbers. */
static SnStatus view_lists(const Batch *b, const SnFeature *item, SnView *v)
{
    const size_t each = item ? sn_dtype_size(item->dtype) : 1;
    int64_t *start = sn_arena_array(b->arena, (size_t)b->n + 1, sizeof *start), total = 0;
    int64_t *len = sn_arena_array(b->arena, (size_t)b->n + 1, sizeof *len);
    SN_CHECK(start && len, b->err, SN_ENOMEM, "column %s: no memory", b->c->type.name);
    const SnArray *one = b->n ? sn_column_at(b->c, b->first).array : NULL;
    bool same = true;
    for (int64_t i = 0; i < b->n; i++) {
        const SnCell c = sn_column_at(b->c, b->first + i);
        start[i] = sn_array_offset(c.array, c.at);
        len[i] = sn_array_offset(c.array, c.at + 1) - start[i];
        same = same && c.array == one;
        SN_CHECK(sn_add_i64(total, len[i], &total), b->err, SN_ENOMEM, "column %s: too large",
                 b->c->type.name);
        SN_CHECK(!item || !c.array->child->valid, b->err, SN_EINVAL, "column %s: nulls in lists",
                 b->c->type.name);
    }
    v->dtype = item ? item->dtype : SN_U8;
    v->start = start;
    v->len = len;
    const SnArray *data = one && item ? one->child : one;
    if (same && one) {
        v->data = (uint8_t *)(uintptr_t)(data->data + (size_t)(item ? data->offset : 0) * each);
        v->child_count = item ? data->n : (int64_t)data->data_size;
        return SN_OK;
    }
    uint8_t *to = sn_arena_alloc(b->arena, (size_t)total * each + 1);
    SN_CHECK(to, b->err, SN_ENOMEM, "column %s: no memory", b->c->type.name);
    int64_t at = 0;
    for (int64_t i = 0; i < b->n; at += len[i++]) {
        const SnArray *a = sn_column_at(b->c, b->first + i).array;
        const SnArray *from = item ? a->child : a;
        const int64_t begin = start[i] + (item ? from->offset : 0);
        if (len[i])
            memcpy(to + (size_t)at * each, from->data + (size_t)begin * each, (size_t)len[i] * each);
        start[i] = at;
    }
    v->data = to;
    v->child_count = total;
    return SN_OK;
}

SnStatus sn_table_view(const SnDataset *d, uint32_t column, int64_t first, int64_t n, SnArena *arena,
                       SnView *out, SnError *err)
{
    SN_CHECK(column < d->ncol && first >= 0 && n >= 0 && first <= d->nrow && n <= d->nrow - first, err,
             SN_EINVAL, "rows %lld to %lld of column %u: there are %lld rows and %u columns",
             (long long)first, (long long)first + n, column, (long long)d->nrow, d->ncol);
    const SnColumn *c = &d->col[column];
    const Batch b = {c, first, n, arena, err};
    SnView v = {.ndim = 1, .dims = {n}};
    const SnFeature *leaf = leaf_type(&c->type, &v);
    int64_t size = 1;
    for (int k = 1; k < v.ndim; k++)
        SN_CHECK(sn_mul_i64(size, v.dims[k], &size), err, SN_EINVAL, "column %s: too large", c->type.name);
    const SnFeature *item = c->type.kind == SN_DATA_LIST && !c->type.length ? c->type.child : NULL;
    const bool is_text = c->type.kind == SN_DATA_TEXT || c->type.kind == SN_DATA_BINARY;
    SnStatus st = SN_OK;
    if (leaf) {
        v.dtype = leaf->dtype;
        st = view_numbers(&b, leaf, size, &v);
    } else if (is_text || (item && item->kind == SN_DATA_NUMBER && item->dtype != SN_BOOL)) {
        st = view_lists(&b, item, &v);
    } else {
        st = sn_fail(err, SN_EUNSUPPORTED, "column %s: neither numbers nor texts, nor lists of numbers",
                     c->type.name);
    }
    if (st == SN_OK)
        *out = v;
    return st;
}

SnStatus sn_dataset_view(const SnDataset *d, uint32_t column, int64_t first, int64_t n, SnArena *arena,
                         SnView *out, SnError *err)
{
    SnView v;
    SN_TRY(sn_table_view(d, column, first, n, arena, &v, err));
    const SnColumn *c = &d->col[column];
    for (int64_t i = 0; i < n; i++)
        SN_CHECK(!sn_cell_is_null(sn_column_at(c, first + i)), err, SN_EINVAL, "column %s, row %lld: null",
                 c->type.name, (long long)(first + i));
    *out = v;
    return SN_OK;
}

/* ---- copies ---- */

bool sn_builder_like(SnBuilder *b, const SnFeature *type)
{
    b->type = *type;
    b->key = sn_bytes_str(type->name);
    for (uint32_t i = 0; i < type->nchild; i++) {
        SnBuilder *c = sn_builder_child(b, sn_bytes_str(type->child[i].name));
        if (!c || !sn_builder_like(c, &type->child[i]))
            return false;
    }
    return true;
}

void sn_builder_cell(SnBuilder *b, SnCell c)
{
    const SnArray *a = c.array;
    SnCell item = c;
    const size_t at = (size_t)(a->offset + c.at);
    if (sn_cell_is_null(c)) {
        sn_builder_null(b);
        return;
    }
    switch (b->type.kind) {
    case SN_DATA_TEXT:
    case SN_DATA_BINARY:
        sn_builder_text(b, sn_cell_bytes(c));
        break;
    case SN_DATA_LIST:
        for (int64_t n = sn_cell_list(c, &item); n > 0; n--, item.at++)
            sn_builder_cell(b->child.at[0], item);
        sn_builder_row(b);
        break;
    case SN_DATA_STRUCT:
        for (uint32_t i = 0; i < b->type.nchild; i++)
            sn_builder_cell(b->child.at[i], sn_cell_field(c, i));
        sn_builder_row(b);
        break;
    case SN_DATA_NUMBER:
    case SN_DATA_LABEL:
        if (b->type.dtype == SN_BOOL)
            sn_builder_raw(b, &(uint8_t){a->data[at >> 3] >> (at & 7) & 1});
        else
            sn_builder_raw(b, a->data + at * sn_dtype_size(b->type.dtype));
        break;
    case SN_DATA_NULL:
        break;
    }
}

SnStatus sn_table_gather(const SnDataset *d, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(d->ctx);
    SnBuilder root = {.memory = memory, .type = {.kind = SN_DATA_STRUCT}};
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && i < d->ncol; i++) {
        const SnColumn *c = &d->col[i];
        SnBuilder *b = sn_builder_child(&root, sn_bytes_str(c->type.name));
        if (!b || !sn_builder_like(b, &c->type))
            st = sn_fail(err, SN_ENOMEM, "dataset: no memory");
        for (int64_t k = 0; st == SN_OK && k < n; k++)
            sn_builder_cell(b, sn_column_at(c, first + k));
    }
    if (st == SN_OK)
        st = sn_builders_end(root.child.at, root.child.n, d->ctx, n, out, err);
    sn_builder_clear(&root);
    return st;
}

/* ---- lists of rows ---- */

typedef struct Lists {
    const SnDataset *d;
    int64_t size;
} Lists;

/* Rows of a part as lists of them. */
static SnStatus make_lists(const Lists *l, SnDataset *part, uint32_t column, SnError *err)
{
    const SnColumn *c = &part->col[column];
    const int64_t n = part->nrow / l->size + (part->nrow % l->size != 0);
    SnFeature *type = sn_arena_array(&part->arena, 2, sizeof *type);
    SnArray *a = sn_arena_array(&part->arena, 2, sizeof *a);
    int32_t *end = NULL;
    int64_t nrow = 0;
    SN_CHECK(type && a, err, SN_ENOMEM, "batch: no memory");
    SN_TRY(sn_table_alloc(part, (size_t)n + 1, sizeof *end, &end, err));
    for (int64_t i = 1; i <= n; i++)
        end[i] = (int32_t)(i < n ? i * l->size : part->nrow);
    type[1] = c->type;
    type[1].name = "item";
    type[0] = (SnFeature){.name = c->type.name, .kind = SN_DATA_LIST, .nchild = 1, .child = &type[1]};
    a[1] = *c->chunk;
    a[1].type = &type[1];
    a[0] = (SnArray){.type = &type[0], .n = n, .offsets = end, .child = &a[1]};
    part->col[column].type = type[0];
    return sn_table_chunks(part, column, a, 1, &nrow, err);
}

static SnStatus make_part(void *self, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    const Lists *l = self;
    SnDataset *part = NULL;
    SN_TRY(sn_table_gather(l->d, first, n, &part, err));
    SnStatus st = sn_table_keep(part, l->d, err); /* which has the names of labels */
    for (uint32_t i = 0; st == SN_OK && i < part->ncol; i++)
        st = make_lists(l, part, i, err);
    part->nrow = n / l->size + (n % l->size != 0);
    return sn_table_finish(st, part, out);
}

SnStatus sn_dataset_batch(const SnDataset *d, int64_t size, bool drop_last, SnDataset **out, SnError *err)
{
    SnDataset *whole = NULL;
    SN_CHECK(size > 0 && size <= INT32_MAX / 2, err, SN_EINVAL, "batch: of %lld rows", (long long)size);
    SN_TRY(sn_dataset_slice(d, 0, drop_last ? d->nrow / size * size : d->nrow, &whole, err));
    Lists l = {whole, size};
    const uint64_t h = sn_stamp(whole->fingerprint, "batch", &size, sizeof size);
    const SnStatus st = sn_rows_make(whole, h, size < SN_TABLE_PART ? SN_TABLE_PART / size * size : size,
                                     make_part, &l, out, err);
    sn_dataset_release(whole);
    return st;
}
