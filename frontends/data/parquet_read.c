/* parquet_read.c -- Parquet files as columns: a part a row group, an array a column.
 *
 * Levels say of each value what around it is there. An entry of the levels begins a row of a node where it
 * repeats no deeper than what the node stands in, and where that is there at all; the row is null where the
 * definition level does not reach the node. Melnik et al., "Dremel" (2010). */
#include "frontends/data/parquet.h"

#include <stdio.h>

typedef struct Around { /* the list that a node stands in, if it does */
    unsigned def, rep;
} Around;

typedef struct Rows {
    const SnDataFile *f;
    SnDataset *d;
    SnParquetColumn *column; /* of the row group, a leaf each */
    const SnParquetMeta *meta;
    SnError *err;
} Rows;

/* ---- what levels say ---- */

static bool is_row(const SnParquetColumn *c, size_t i, Around p)
{
    return (!c->rep.n || c->rep.at[i] <= p.rep) && (!c->def.n || c->def.at[i] >= p.def);
}

static bool is_there(const SnParquetColumn *c, size_t i, unsigned def)
{
    return !c->def.n || c->def.at[i] >= def;
}

/* How many rows a node has, and bits of those that are not null. */
static SnStatus mark_rows(Rows *r, const SnParquetNode *node, Around p, SnArray *out)
{
    const SnParquetColumn *c = &r->column[node->leaf];
    int64_t n = 0, nnull = 0;
    uint8_t *bits = NULL;
    for (size_t i = 0; i < c->nlevel; i++) {
        const bool row = is_row(c, i, p);
        n += row;
        nnull += row && !is_there(c, i, node->def);
    }
    out->n = n;
    if (!nnull || out->type->kind == SN_DATA_NULL)
        return SN_OK;
    SN_TRY(sn_table_alloc(r->d, (size_t)n / 8 + 1, 1, &bits, r->err));
    n = 0;
    for (size_t i = 0; i < c->nlevel; i++)
        if (is_row(c, i, p)) {
            bits[n >> 3] |= (uint8_t)(is_there(c, i, node->def) << (n & 7));
            n++;
        }
    out->valid = bits;
    return SN_OK;
}

/* ---- leaves ---- */

/* Whole numbers of up to 32 bytes, the highest first, with a sign: as text with a point. */
static size_t put_decimal(const uint8_t *at, size_t width, int32_t scale, char out[112])
{
    uint8_t v[32] = {0};
    char digit[96];
    size_t ndigit = 0, n = 0;
    const bool is_negative = width && at[0] & 0x80;
    unsigned carry = is_negative;
    for (size_t i = width; i-- > 0;) {
        const unsigned byte = (is_negative ? (uint8_t)~at[i] : at[i]) + carry;
        v[i] = (uint8_t)byte;
        carry = byte >> 8;
    }
    for (bool more = true; more || ndigit <= (size_t)scale;) {
        unsigned rest = 0;
        more = false;
        for (size_t i = 0; i < width; i++) {
            const unsigned part = rest << 8 | v[i];
            v[i] = (uint8_t)(part / 10);
            rest = part % 10;
            more = more || v[i];
        }
        digit[ndigit++] = (char)('0' + rest);
    }
    if (is_negative)
        out[n++] = '-';
    while (ndigit > 0) {
        if (ndigit == (size_t)scale)
            out[n++] = '.';
        out[n++] = digit[--ndigit];
    }
    return n;
}

/* Decimals become texts. */
static SnStatus spell_decimals(Rows *r, const SnParquetLeaf *leaf, SnParquetValues *v)
{
    SnParquetValues to = {.memory = v->memory};
    const bool is_little = leaf->physical == SN_PARQUET_INT32 || leaf->physical == SN_PARQUET_INT64;
    bool ok = true;
    for (size_t i = 0; ok && i < v->n; i++) {
        const size_t begin = leaf->width ? i * leaf->width : i ? (size_t)v->end.at[i - 1] : 0;
        const size_t size = leaf->width ? leaf->width : (size_t)v->end.at[i] - begin;
        uint8_t big[32];
        char text[112];
        ok = size <= sizeof big;
        for (size_t k = 0; ok && k < size; k++)
            big[k] = v->data.at[is_little ? begin + size - 1 - k : begin + k];
        const size_t n = ok ? put_decimal(big, size, leaf->scale, text) : 0;
        ok = ok && sn_vec_reserve(to.memory, &to.data, n) &&
             sn_vec_push(to.memory, &to.end, (int64_t)(to.data.n + n));
        if (ok)
            memcpy(to.data.at + to.data.n, text, n);
        to.data.n += n;
        to.n++;
    }
    sn_parquet_values_clear(v);
    *v = to;
    SN_CHECK(ok, r->err, SN_EFORMAT, "column %s: a decimal of more than 32 bytes, or no memory", leaf->name);
    return SN_OK;
}

/* Moves the bytes of values to the dataset. */
static SnStatus own_data(Rows *r, SnParquetValues *v, SnArray *out)
{
    SN_CHECK(sn_vec_reserve(v->memory, &v->data, 1), r->err, SN_ENOMEM, "dataset: no memory");
    void *at = v->data.at;
    const size_t size = v->data.cap;
    out->data = v->data.at;
    out->data_size = v->data.n;
    v->data.at = NULL;
    v->data.n = v->data.cap = 0;
    return sn_table_own(r->d, at, size, r->err);
}

static SnStatus make_texts(Rows *r, const SnParquetNode *node, Around p, SnArray *out)
{
    SnParquetColumn *c = &r->column[node->leaf];
    const SnParquetLeaf *leaf = &r->meta->leaf[node->leaf];
    const bool is_wide = out->type->is_wide;
    void *offsets = NULL;
    int64_t at = 0;
    size_t k = 0, row = 0;
    if (leaf->is_decimal)
        SN_TRY(spell_decimals(r, leaf, &c->value));
    SN_TRY(sn_table_alloc(r->d, (size_t)out->n + 1, is_wide ? 8 : 4, &offsets, r->err));
    for (size_t i = 0; i < c->nlevel; i++) {
        if (!is_row(c, i, p))
            continue;
        if (is_there(c, i, node->def)) {
            at = c->value.width ? at + c->value.width : c->value.end.at[k];
            k++;
        }
        row++;
        if (is_wide)
            ((int64_t *)offsets)[row] = at;
        else
            ((int32_t *)offsets)[row] = (int32_t)at;
    }
    SN_CHECK(is_wide || at <= INT32_MAX, r->err, SN_EUNSUPPORTED,
             "column %s: more than 2 GiB of texts in a row group", leaf->name);
    out->offsets = offsets;
    return own_data(r, &c->value, out);
}

/* Days since noon of -4713-11-24 and nanoseconds of the day, as nanoseconds since 1970. */
static int64_t from_int96(const uint8_t *at)
{
    uint64_t of_day;
    uint32_t day;
    memcpy(&of_day, at, sizeof of_day);
    memcpy(&day, at + 8, sizeof day);
    return (int64_t)(((uint64_t)day - 2440588u) * 86400000000000u + of_day);
}

static void store(const SnParquetLeaf *leaf, const SnFeature *type, const uint8_t *from, int64_t row,
                  uint8_t *to)
{
    const size_t each = sn_dtype_size(type->dtype);
    if (type->dtype == SN_BOOL)
        to[row >> 3] |= (uint8_t)((*from & 1) << (row & 7));
    else if (leaf->physical == SN_PARQUET_INT96)
        memcpy(to + row * 8, &(int64_t){from_int96(from)}, 8);
    else if (each == 8)
        memcpy(to + row * 8, from, 8);
    else if (each == 4)
        memcpy(to + row * 4, from, 4);
    else
        memcpy(to + (size_t)row * each, from, each);
}

static SnStatus make_numbers(Rows *r, const SnParquetNode *node, Around p, SnArray *out)
{
    SnParquetColumn *c = &r->column[node->leaf];
    const SnParquetLeaf *leaf = &r->meta->leaf[node->leaf];
    const bool is_bits = out->type->dtype == SN_BOOL;
    const size_t each = sn_dtype_size(out->type->dtype);
    uint8_t *to = NULL;
    int64_t row = 0;
    size_t k = 0;
    if ((int64_t)c->value.n == out->n && leaf->width == each && !is_bits)
        return own_data(r, &c->value, out);
    out->data_size = is_bits ? (size_t)out->n / 8 + 1 : (size_t)out->n * each;
    SN_TRY(sn_table_alloc(r->d, is_bits ? out->data_size : (size_t)out->n, is_bits ? 1 : each, &to, r->err));
    for (size_t i = 0; i < c->nlevel; i++) {
        if (!is_row(c, i, p))
            continue;
        if (is_there(c, i, node->def))
            store(leaf, out->type, c->value.data.at + leaf->width * k++, row, to);
        row++;
    }
    out->data = to;
    return SN_OK;
}

/* ---- what stands around leaves ---- */

static SnStatus make(Rows *r, const SnParquetNode *node, const SnFeature *type, Around p, SnArray *out);

/* Lists of one length have their items beside each other, those of null ones too. */
static SnStatus fix_length(Rows *r, const SnFeature *type, SnArray *a)
{
    SnFeature loose = *type;
    loose.length = 0;
    a->type = &loose;
    for (int64_t i = 0; i < a->n; i++) {
        SnCell item;
        const int64_t n = sn_array_valid(a, i) ? sn_cell_list((SnCell){a, i}, &item) : type->length;
        SN_CHECK(n == type->length, r->err, SN_EFORMAT, "column %s: a list of %lld, expected %lld",
                 type->name, (long long)n, (long long)type->length);
    }
    if (!a->valid) {
        a->type = type;
        a->offsets = NULL;
        return SN_OK;
    }
    SnBuilder b = {.memory = sn_allocator(r->f->ctx)};
    SnStatus st = sn_builder_like(&b, type) ? SN_OK : sn_fail(r->err, SN_ENOMEM, "dataset: no memory");
    for (int64_t i = 0; st == SN_OK && i < a->n; i++)
        sn_builder_cell(&b, (SnCell){a, i});
    if (st == SN_OK)
        st = sn_builder_end(&b, r->d, a, r->err);
    sn_builder_clear(&b);
    return st;
}

static SnStatus make_list(Rows *r, const SnParquetNode *node, const SnFeature *type, Around p, SnArray *out)
{
    const SnParquetColumn *c = &r->column[node->leaf];
    const Around item = {node->item_def, node->item_rep};
    SnArray *child = sn_arena_alloc(&r->d->arena, sizeof *child);
    const bool is_wide = type->is_wide;
    void *offsets = NULL;
    int64_t nitem = 0, row = 0;
    SN_CHECK(child, r->err, SN_ENOMEM, "dataset: no memory");
    SN_TRY(sn_table_alloc(r->d, (size_t)out->n + 1, is_wide ? 8 : 4, &offsets, r->err));
    for (size_t i = 0; i < c->nlevel; i++) {
        if (is_row(c, i, p)) {
            if (is_wide)
                ((int64_t *)offsets)[row++] = nitem;
            else
                ((int32_t *)offsets)[row++] = (int32_t)nitem;
        }
        nitem += is_row(c, i, item);
        SN_CHECK(row > 0 || nitem == 0, r->err, SN_EFORMAT, "column %s: an item before the first row",
                 type->name);
    }
    SN_CHECK(is_wide || nitem <= INT32_MAX, r->err, SN_EUNSUPPORTED,
             "column %s: more than 2^31 items in a row group", type->name);
    if (is_wide)
        ((int64_t *)offsets)[row] = nitem;
    else
        ((int32_t *)offsets)[row] = (int32_t)nitem;
    out->offsets = offsets;
    out->child = child;
    SN_TRY(make(r, node->child, type->child, item, child));
    SN_CHECK(child->n == nitem, r->err, SN_EFORMAT, "column %s: columns inside of it disagree", type->name);
    return type->length ? fix_length(r, type, out) : SN_OK;
}

static SnStatus make(Rows *r, const SnParquetNode *node, const SnFeature *type, Around p, SnArray *out)
{
    *out = (SnArray){.type = type};
    SN_TRY(mark_rows(r, node, p, out));
    if (type->kind == SN_DATA_LIST)
        return make_list(r, node, type, p, out);
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY)
        return make_texts(r, node, p, out);
    if (type->kind == SN_DATA_NUMBER || type->kind == SN_DATA_LABEL)
        return make_numbers(r, node, p, out);
    if (type->kind == SN_DATA_NULL)
        return SN_OK;
    SnArray *child = sn_arena_array(&r->d->arena, type->nchild, sizeof *child);
    SN_CHECK(child, r->err, SN_ENOMEM, "dataset: no memory");
    out->child = child;
    for (uint32_t i = 0; i < type->nchild; i++) {
        SN_TRY(make(r, &node->child[i], &type->child[i], p, &child[i]));
        SN_CHECK(child[i].n == out->n, r->err, SN_EFORMAT, "column %s: columns inside of it disagree",
                 type->name);
    }
    return SN_OK;
}

/* ---- row groups ---- */

/* The columns of a group, of which levels and values were read. */
static SnStatus make_group(Rows *r, const SnParquetGroup *g)
{
    const SnParquetMeta *m = r->meta;
    int64_t nrow = 0;
    for (uint32_t i = 0; i < m->ncol; i++) {
        SnFeature *type = &r->d->col[i].type;
        SnArray *a = sn_arena_alloc(&r->d->arena, sizeof *a);
        SN_CHECK(a && sn_feature_copy(&r->d->arena, &m->column[i], type), r->err, SN_ENOMEM,
                 "dataset: no memory");
        *a = (SnArray){.type = type};
        if (g)
            SN_TRY(make(r, &m->node[i], type, (Around){0, 0}, a));
        SN_CHECK(!g || a->n == g->nrow, r->err, SN_EFORMAT, "column %s has %lld rows, its group %lld",
                 type->name, (long long)a->n, (long long)g->nrow);
        SN_TRY(sn_table_chunks(r->d, i, a, g != NULL, &nrow, r->err));
    }
    r->d->nrow = g ? g->nrow : 0;
    return SN_OK;
}

/* g NULL: a group without rows, of a file without groups. */
static SnStatus read_group(Rows *r, const SnParquetGroup *g, SnRows *to)
{
    const SnParquetMeta *m = r->meta;
    const SnAllocator *memory = sn_allocator(r->f->ctx);
    SN_TRY(sn_table_create(r->f->ctx, m->ncol, &r->d, r->err));
    SnStatus st = SN_OK;
    for (uint32_t i = 0; g && st == SN_OK && i < m->nleaf; i++) {
        st = sn_parquet_column(memory, &m->leaf[i], &g->chunk[i], &r->column[i], r->err);
        (void)sn_file_forget(r->f->file, g->chunk[i].pages);
    }
    if (st == SN_OK)
        st = make_group(r, g);
    for (uint32_t i = 0; i < m->nleaf; i++)
        sn_parquet_column_clear(&r->column[i]);
    if (st == SN_OK)
        return sn_rows_add(to, r->d, r->err);
    sn_dataset_release(r->d);
    char where[40];
    (void)snprintf(where, sizeof where, "row group %u", g ? (unsigned)(g - m->group) : 0u);
    (void)sn_fail_in(r->err, st, where);
    return sn_fail_in(r->err, st, r->f->path);
}

SnStatus sn_read_parquet(const SnDataFile *f, SnRows *to, SnError *err)
{
    SnParquetMeta meta = {.ncol = 0};
    SnArena arena;
    SnError local = {0};
    Rows r = {.f = f, .meta = &meta, .err = err ? err : &local};
    sn_arena_init(&arena, sn_allocator(f->ctx));
    SnStatus st = sn_parquet_meta(f, &arena, &meta, r.err);
    r.column = st == SN_OK ? sn_arena_array(&arena, (size_t)meta.nleaf + 1, sizeof *r.column) : NULL;
    if (st == SN_OK && !r.column)
        st = sn_fail(r.err, SN_ENOMEM, "%s: no memory", f->path);
    if (st == SN_OK && meta.ngroup == 0)
        st = read_group(&r, NULL, to);
    for (uint32_t g = 0; st == SN_OK && g < meta.ngroup; g++)
        st = read_group(&r, &meta.group[g], to);
    sn_arena_clear(&arena);
    return st;
}
