/* order.c -- which rows, in which order: select, shuffle, sort, unique, split, concatenate, interleave. */
#include "frontends/data/table.h"

#include <math.h>

SnStatus sn_table_reorder(SnDataset *d, const int64_t *row, int64_t first, int64_t n, SnError *err)
{
    const SnDataset *from = d->of.at[0];
    d->nrow = n;
    for (uint32_t i = 0; i < d->ncol; i++) {
        SnColumn *c = &d->col[i];
        const SnColumn *old = &from->col[i];
        uint32_t same = 0;
        while (same < i && (from->col[same].order != old->order || from->col[same].base != old->base))
            same++;
        if (same < i) {
            c->order = d->col[same].order;
            c->base = d->col[same].base;
        } else if (!row) {
            c->order = old->order ? old->order + first : NULL;
            c->base = old->base + first;
        } else if (first < 0 && !old->order && old->base == 0) {
            c->order = row;
        } else {
            int64_t *order = NULL;
            SN_TRY(sn_table_alloc(d, (size_t)n, sizeof *order, &order, err));
            for (int64_t k = 0; k < n; k++)
                order[k] = sn_column_row(old, row[k]);
            c->order = order;
            c->base = 0;
        }
    }
    return SN_OK;
}

SnStatus sn_dataset_slice(const SnDataset *d, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    SnDataset *to = NULL;
    SN_CHECK(first >= 0 && n >= 0, err, SN_EINVAL, "rows %lld, %lld of them: neither is below 0",
             (long long)first, (long long)n);
    first = first < d->nrow ? first : d->nrow;
    n = n < d->nrow - first ? n : d->nrow - first;
    SN_TRY(sn_table_derive(d, 0, &to, err));
    sn_table_stamp(to, "slice", (const int64_t[]){first, n}, 2 * sizeof n);
    return sn_table_finish(sn_table_reorder(to, NULL, first, n, err), to, out);
}

static SnStatus take_rows(const SnDataset *d, const char *op, const int64_t *row, int64_t n, SnDataset **out,
                          SnError *err)
{
    SnDataset *to = NULL;
    SN_TRY(sn_table_derive(d, 0, &to, err));
    sn_table_stamp(to, op, row, (size_t)n * sizeof *row);
    return sn_table_finish(sn_table_reorder(to, row, 0, n, err), to, out);
}

SnStatus sn_dataset_select(const SnDataset *d, const int64_t *row, int64_t n, SnDataset **out, SnError *err)
{
    SN_CHECK(n >= 0, err, SN_EINVAL, "select: %lld rows", (long long)n);
    bool is_wrapped = false;
    for (int64_t i = 0; i < n; i++) {
        SN_CHECK(row[i] >= -d->nrow && row[i] < d->nrow, err, SN_EINVAL, "row %lld of %lld",
                 (long long)row[i], (long long)d->nrow);
        is_wrapped = is_wrapped || row[i] < 0;
    }
    if (!is_wrapped)
        return take_rows(d, "select", row, n, out, err);
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(d->ctx));
    int64_t *whole = sn_arena_array(&arena, (size_t)n, sizeof *whole);
    for (int64_t i = 0; whole && i < n; i++)
        whole[i] = row[i] < 0 ? row[i] + d->nrow : row[i];
    const SnStatus st = whole ? take_rows(d, "select", whole, n, out, err)
                              : sn_fail(err, SN_ENOMEM, "select: no memory for %lld rows", (long long)n);
    sn_arena_clear(&arena);
    return st;
}

/* Rows in an arena of their own; NULL: no memory. */
static int64_t *begin_rows(const SnDataset *d, SnArena *arena, int64_t n, SnError *err)
{
    sn_arena_init(arena, sn_allocator(d->ctx));
    int64_t *row = n < 0 ? NULL : sn_arena_array(arena, (size_t)n + 1, sizeof *row);
    if (!row)
        (void)sn_fail(err, SN_ENOMEM, "no memory for an order of %lld rows", (long long)n);
    return row;
}

SnStatus sn_dataset_shuffle(const SnDataset *d, uint64_t seed, SnDataset **out, SnError *err)
{
    SnArena arena;
    SnStatus st = SN_ENOMEM;
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    if (row) {
        SnDraw r = sn_draw(seed);
        sn_draw_permutation(&r, row, d->nrow);
        st = take_rows(d, "shuffle", row, d->nrow, out, err);
    }
    sn_arena_clear(&arena);
    return st;
}

static SnStatus test_rows(const SnDataset *d, double test_size, int64_t *out, SnError *err)
{
    const double n = (double)d->nrow, want = test_size < 1 ? ceil(test_size * n) : test_size;
    SN_CHECK(test_size > 0 && (want < n || n == 0) && want == floor(want), err, SN_EINVAL,
             "split: a test size of %g of %lld rows leaves nothing on one side", test_size,
             (long long)d->nrow);
    *out = d->nrow ? (int64_t)want : 0;
    return SN_OK;
}

/* out[0]: of the training rows, out[1]: of the others; both or none. */
static SnStatus take_parts(const SnDataset *d, const int64_t *train, int64_t ntrain, const int64_t *test,
                           int64_t ntest, SnDataset *out[2], SnError *err)
{
    SnDataset *first = NULL;
    SN_TRY(take_rows(d, "train", train, ntrain, &first, err));
    const SnStatus st = take_rows(d, "test", test, ntest, &out[1], err);
    if (st != SN_OK)
        sn_dataset_release(first);
    else
        out[0] = first;
    return st;
}

SnStatus sn_dataset_split(const SnDataset *d, double test_size, uint64_t seed, bool is_plain,
                          SnDataset *out[2], SnError *err)
{
    int64_t ntest = 0;
    SN_TRY(test_rows(d, test_size, &ntest, err));
    const int64_t ntrain = d->nrow - ntest;
    SnArena arena;
    SnStatus st = SN_ENOMEM;
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    if (row) {
        SnDraw r = sn_draw(seed);
        for (int64_t i = 0; is_plain && i < d->nrow; i++)
            row[i] = i < ntest ? ntrain + i : i - ntest;
        if (!is_plain)
            sn_draw_permutation(&r, row, d->nrow);
        st = take_parts(d, row + ntest, ntrain, row, ntest, out, err);
    }
    sn_arena_clear(&arena);
    return st;
}

/* ---- stratified splits ---- */

enum { MOST_TIES = 10000 }; /* NumPy draws otherwise among more */

typedef struct Classes { /* those that there are */
    size_t n;
    int64_t *count, *first; /* rows of each, in `row` from there on */
    int64_t *row;
} Classes;

/* approximate_mode of datasets: ndraw of rows of these classes, in proportion; ties are drawn. */
static SnStatus share_out(const int64_t *count, size_t n, int64_t ndraw, SnDraw *r, SnArena *arena,
                          int64_t *out, SnError *err)
{
    double *rest = sn_arena_array(arena, n, sizeof *rest);
    size_t *tie = sn_arena_array(arena, n, sizeof *tie);
    int64_t *pick = sn_arena_array(arena, n, sizeof *pick), total = 0, more = ndraw;
    SN_CHECK(rest && tie && pick, err, SN_ENOMEM, "split: no memory");
    for (size_t i = 0; i < n; i++)
        total += count[i];
    for (size_t i = 0; i < n; i++) {
        const double share = (double)(ndraw * count[i]) / (double)total;
        out[i] = (int64_t)floor(share);
        rest[i] = share - floor(share);
        more -= out[i];
    }
    for (double most = 2; more > 0;) {
        double value = -1;
        size_t ntie = 0;
        for (size_t i = 0; i < n; i++)
            value = rest[i] < most && rest[i] > value ? rest[i] : value;
        for (size_t i = 0; i < n; i++)
            if (rest[i] == value)
                tie[ntie++] = i;
        if (ntie == 0)
            break;
        SN_CHECK(ntie <= MOST_TIES, err, SN_EUNSUPPORTED, "split: %zu labels of as many rows each", ntie);
        const int64_t now = (int64_t)ntie < more ? (int64_t)ntie : more;
        sn_draw_choice(r, (int64_t)ntie, now, pick);
        for (int64_t i = 0; i < now; i++)
            out[tie[pick[i]]]++;
        more -= now;
        most = value;
    }
    return SN_OK;
}

static SnStatus find_classes(const SnDataset *d, uint32_t column, SnArena *arena, Classes *out, SnError *err)
{
    const SnColumn *c = &d->col[column];
    const uint32_t nlabel = c->type.nlabel;
    int64_t *count = sn_arena_array(arena, nlabel + 1u, sizeof *count), *next = NULL;
    *out = (Classes){.count = sn_arena_array(arena, nlabel + 1u, sizeof *count),
                     .first = sn_arena_array(arena, nlabel + 1u, sizeof *count),
                     .row = sn_arena_array(arena, (size_t)d->nrow + 1, sizeof *count)};
    next = sn_arena_array(arena, nlabel + 1u, sizeof *next);
    SN_CHECK(count && next && out->count && out->first && out->row, err, SN_ENOMEM, "split: no memory");
    for (int64_t i = 0; i < d->nrow; i++) {
        const SnCell cell = sn_column_at(c, i);
        const int64_t label = sn_cell_int(cell);
        SN_CHECK(!sn_cell_is_null(cell) && label >= 0 && label < nlabel, err, SN_EINVAL,
                 "split: column %s, row %lld: no label", c->type.name, (long long)i);
        count[label]++;
    }
    int64_t at = 0;
    for (uint32_t i = 0; i < nlabel; i++) {
        next[i] = at;
        at += count[i];
        if (count[i] == 0)
            continue;
        SN_CHECK(count[i] > 1, err, SN_EINVAL, "split: one row alone of column %s is %s", c->type.name,
                 c->type.label[i]);
        out->first[out->n] = next[i];
        out->count[out->n++] = count[i];
    }
    for (int64_t i = 0; i < d->nrow; i++)
        out->row[next[sn_cell_int(sn_column_at(c, i))]++] = i;
    return SN_OK;
}

/* The rows of both sides, shuffled class by class and then together. */
static SnStatus draw_classes(const Classes *k, SnDraw *r, int64_t ntrain, int64_t ntest, SnArena *arena,
                             int64_t *train, int64_t *test, SnError *err)
{
    int64_t *of_train = sn_arena_array(arena, k->n, sizeof *of_train),
            *of_test = sn_arena_array(arena, k->n, sizeof *of_test),
            *left = sn_arena_array(arena, k->n, sizeof *left),
            *order = sn_arena_array(arena, (size_t)(ntrain + ntest), sizeof *order),
            *row = sn_arena_array(arena, (size_t)(ntrain + ntest), sizeof *row), at[2] = {0, ntrain};
    SN_CHECK(of_train && of_test && left && order && row, err, SN_ENOMEM, "split: no memory");
    SN_TRY(share_out(k->count, k->n, ntrain, r, arena, of_train, err));
    for (size_t i = 0; i < k->n; i++)
        left[i] = k->count[i] - of_train[i];
    SN_TRY(share_out(left, k->n, ntest, r, arena, of_test, err));
    for (size_t i = 0; i < k->n; i++) {
        sn_draw_permutation(r, order, k->count[i]);
        for (int64_t j = 0; j < of_train[i] + of_test[i]; j++)
            row[at[j >= of_train[i]]++] = k->row[k->first[i] + order[j]];
    }
    sn_draw_permutation(r, order, ntrain);
    for (int64_t i = 0; i < ntrain; i++)
        train[i] = row[order[i]];
    sn_draw_permutation(r, order, ntest);
    for (int64_t i = 0; i < ntest; i++)
        test[i] = row[ntrain + order[i]];
    return SN_OK;
}

SnStatus sn_dataset_split_by(const SnDataset *d, const char *column, double test_size, uint64_t seed,
                             SnDataset *out[2], SnError *err)
{
    Classes k = {.n = 0};
    uint32_t label = 0;
    SN_TRY(sn_dataset_find(d, column, &label, err));
    SN_CHECK(d->col[label].type.kind == SN_DATA_LABEL, err, SN_EINVAL, "split: column %s holds no labels",
             column);
    int64_t ntest = 0;
    SN_TRY(test_rows(d, test_size, &ntest, err));
    const int64_t ntrain = d->nrow - ntest;
    SnArena arena;
    SnDraw r = sn_draw(seed);
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    SnStatus st = row ? find_classes(d, label, &arena, &k, err) : SN_ENOMEM;
    if (st == SN_OK && ((size_t)ntrain < k.n || (size_t)ntest < k.n))
        st = sn_fail(err, SN_EINVAL, "split: %lld and %lld rows for %zu labels", (long long)ntrain,
                     (long long)ntest, k.n);
    if (st == SN_OK)
        st = draw_classes(&k, &r, ntrain, ntest, &arena, row, row + ntrain, err);
    if (st == SN_OK)
        st = take_parts(d, row, ntrain, row + ntrain, ntest, out, err);
    sn_arena_clear(&arena);
    return st;
}

SnStatus sn_dataset_shard(const SnDataset *d, int64_t nshard, int64_t index, bool contiguous, SnDataset **out,
                          SnError *err)
{
    SN_CHECK(nshard > 0 && index >= 0 && index < nshard, err, SN_EINVAL, "shard %lld of %lld",
             (long long)index, (long long)nshard);
    const int64_t size = d->nrow / nshard, rest = d->nrow % nshard;
    if (contiguous)
        return sn_dataset_slice(d, size * index + (index < rest ? index : rest), size + (index < rest), out,
                                err);
    SnArena arena;
    SnStatus st = SN_ENOMEM;
    const int64_t n = size + (index < rest);
    int64_t *row = begin_rows(d, &arena, n, err);
    for (int64_t i = 0; row && i < n; i++)
        row[i] = index + i * nshard;
    if (row)
        st = take_rows(d, "shard", row, n, out, err);
    sn_arena_clear(&arena);
    return st;
}

/* ---- sort ---- */

typedef struct Key { /* of one row: null, then NaN stand last */
    int64_t row;
    uint32_t last;
    SnDataKind kind;
    union {
        uint64_t number; /* in an order as of whole numbers */
        SnBytes text;
    } u;
} Key;

static Key sort_key(SnCell c, int64_t row)
{
    const SnFeature *type = c.array->type;
    Key k = {.row = row, .kind = type->kind, .last = sn_cell_is_null(c) ? 2 : 0};
    if (k.last)
        return k;
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY) {
        k.u.text = sn_cell_bytes(c);
    } else if (sn_dtype_is_float(type->dtype)) {
        const double v = sn_cell_number(c) + 0.0;
        k.last = isnan(v) ? 1u : 0u;
        memcpy(&k.u.number, &v, sizeof v);
        k.u.number ^= k.u.number >> 63 ? UINT64_MAX : (uint64_t)1 << 63;
    } else {
        k.u.number = (uint64_t)sn_cell_int(c) ^ (type->dtype == SN_U64 ? 0 : (uint64_t)1 << 63);
    }
    return k;
}

static int compare_keys(const Key *a, const Key *b, bool reverse, bool nulls_first)
{
    int sign = 0;
    if (a->last != b->last)
        return (a->last < b->last) == nulls_first ? 1 : -1;
    if (a->last)
        return 0;
    if (a->kind == SN_DATA_TEXT || a->kind == SN_DATA_BINARY) {
        sign = sn_bytes_compare(a->u.text, b->u.text);
    } else {
        sign = (a->u.number > b->u.number) - (a->u.number < b->u.number);
    }
    return reverse ? -sign : sign;
}

/* Merges runs of doubling length; rows that are equal stay in order. What is sorted ends in the result. */
static Key *merge_sort(Key *key, Key *other, int64_t n, bool reverse, bool nulls_first)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t at = 0; at < n; at += 2 * run) {
            const int64_t mid = at + run < n ? at + run : n, end = mid + run < n ? mid + run : n;
            int64_t a = at, b = mid;
            for (int64_t to = at; to < end; to++) {
                const bool left =
                    a < mid && (b == end || compare_keys(&key[a], &key[b], reverse, nulls_first) <= 0);
                other[to] = key[left ? a++ : b++];
            }
        }
        Key *t = key;
        key = other;
        other = t;
    }
    return key;
}

SnStatus sn_dataset_sort(const SnDataset *d, const char *column, bool reverse, bool nulls_first,
                         SnDataset **out, SnError *err)
{
    uint32_t at = 0;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnDataKind kind = d->col[at].type.kind;
    SN_CHECK(kind != SN_DATA_LIST && kind != SN_DATA_STRUCT, err, SN_EINVAL,
             "sort: column %s holds neither numbers nor texts", column);
    SnArena arena;
    SnStatus st = SN_ENOMEM;
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    Key *key = row ? sn_arena_array(&arena, (size_t)d->nrow + 1, 2 * sizeof *key) : NULL;
    if (key) {
        for (int64_t i = 0; i < d->nrow; i++)
            key[i] = sort_key(sn_column_at(&d->col[at], i), i);
        key = merge_sort(key, key + d->nrow, d->nrow, reverse, nulls_first);
        for (int64_t i = 0; i < d->nrow; i++)
            row[i] = key[i].row;
        st = take_rows(d, "sort", row, d->nrow, out, err);
    } else if (row) {
        st = sn_fail(err, SN_ENOMEM, "sort: no memory for %lld rows", (long long)d->nrow);
    }
    sn_arena_clear(&arena);
    return st;
}

/* ---- unique ---- */

/* What makes a value that of another row: text, or the bits of a number. */
static SnBytes value_key(SnCell c, SnArena *arena)
{
    const SnFeature *type = c.array->type;
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY)
        return sn_cell_bytes(c);
    const double number = sn_cell_number(c);
    int64_t *v = sn_arena_alloc(arena, sizeof *v);
    if (!v)
        return (SnBytes){NULL, 0};
    *v = sn_cell_int(c);
    if (sn_dtype_is_float(type->dtype) && isnan(number))
        *v = INT64_MIN;
    else if (sn_dtype_is_float(type->dtype))
        memcpy(v, &number, sizeof number);
    return sn_bytes(v, sizeof *v);
}

/* Rows whose value is none of a row before them, in their order; a null is a value. */
static SnStatus first_rows(const SnDataset *d, uint32_t column, SnArena *arena, int64_t *row, int64_t *nrow,
                           SnError *err)
{
    SnMap seen;
    bool has_null = false, ok = true;
    SnArena key;
    uint32_t other = 0;
    sn_map_init(&seen, arena->memory);
    sn_arena_init(&key, arena->memory);
    for (int64_t i = 0; ok && i < d->nrow; i++) {
        const SnCell c = sn_column_at(&d->col[column], i);
        if (sn_cell_is_null(c)) {
            row[*nrow] = i;
            *nrow += !has_null;
            has_null = true;
            continue;
        }
        const SnBytes k = value_key(c, &key);
        ok = !key.failed;
        if (!ok || sn_map_get(&seen, k, &other))
            continue;
        ok = sn_map_put(&seen, k, 0);
        row[(*nrow)++] = i;
    }
    sn_map_clear(&seen);
    sn_arena_clear(&key);
    return ok ? SN_OK : sn_fail(err, SN_ENOMEM, "unique: no memory");
}

SnStatus sn_dataset_unique(const SnDataset *d, const char *column, SnDataset **out, SnError *err)
{
    uint32_t at = 0;
    SnDataset *rows = NULL;
    SnArena arena;
    int64_t nrow = 0;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnDataKind kind = d->col[at].type.kind;
    SN_CHECK(kind != SN_DATA_LIST && kind != SN_DATA_STRUCT, err, SN_EINVAL,
             "unique: column %s holds neither numbers nor texts", column);
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    SnStatus st = row ? first_rows(d, at, &arena, row, &nrow, err) : SN_ENOMEM;
    if (st == SN_OK)
        st = take_rows(d, "unique", row, nrow, &rows, err);
    if (st == SN_OK)
        st = sn_dataset_keep(rows, &column, 1, false, out, err);
    sn_dataset_release(rows);
    sn_arena_clear(&arena);
    return st;
}

/* ---- several datasets ---- */

/* One column of all parts: their chunks behind each other, and an order if one of them has one. */
static SnStatus join_column(SnDataset *d, uint32_t column, SnDataset *const *part, size_t npart, SnError *err)
{
    uint32_t nchunk = 0;
    int64_t total = 0, at = 0, before = 0;
    bool is_ordered = false;
    for (size_t p = 0; p < npart; p++) {
        const SnColumn *c = &part[p]->col[column];
        SN_CHECK(c->nchunk < UINT32_MAX - nchunk, err, SN_EINVAL, "concatenate: too many parts");
        nchunk += c->nchunk;
        is_ordered = is_ordered || c->order || c->base || part[p]->nrow != c->first[c->nchunk];
    }
    SnArray *chunk = sn_arena_array(&d->arena, (size_t)nchunk + 1, sizeof *chunk);
    SN_CHECK(chunk, err, SN_ENOMEM, "concatenate: no memory");
    for (size_t p = 0, k = 0; p < npart; k += part[p++]->col[column].nchunk)
        for (uint32_t i = 0; i < part[p]->col[column].nchunk; i++)
            chunk[k + i] = part[p]->col[column].chunk[i];
    SN_TRY(sn_table_chunks(d, column, chunk, nchunk, &total, err));
    if (!is_ordered)
        return SN_OK;
    int64_t *order = NULL;
    SN_TRY(sn_table_alloc(d, (size_t)d->nrow, sizeof *order, &order, err));
    for (size_t p = 0; p < npart; p++) {
        const SnColumn *c = &part[p]->col[column];
        for (int64_t i = 0; i < part[p]->nrow; i++)
            order[at++] = before + sn_column_row(c, i);
        before += c->first[c->nchunk];
    }
    d->col[column].order = order;
    return SN_OK;
}

static SnStatus join(SnDataset *d, SnDataset *const *part, size_t npart, SnError *err)
{
    for (size_t p = 0; p < npart; p++) {
        SN_TRY(sn_table_keep(d, part[p], err));
        SN_CHECK(part[p]->ncol == d->ncol, err, SN_EINVAL, "concatenate: %u columns, and then %u", d->ncol,
                 part[p]->ncol);
        SN_CHECK(sn_add_i64(d->nrow, part[p]->nrow, &d->nrow), err, SN_EINVAL, "concatenate: too many rows");
        sn_table_stamp(d, "join", &part[p]->fingerprint, sizeof part[p]->fingerprint);
    }
    for (uint32_t i = 0; i < d->ncol; i++) {
        d->col[i].type = part[0]->col[i].type;
        for (size_t p = 1; p < npart; p++) {
            const SnFeature *a = &d->col[i].type, *b = &part[p]->col[i].type;
            SN_CHECK(strcmp(a->name, b->name) == 0 && sn_feature_equal(a, b), err, SN_EINVAL,
                     "concatenate: column %s (%s), and then %s of another type or place", a->name,
                     sn_feature_name(a) ? sn_feature_name(a) : "nested", b->name);
        }
        SN_TRY(join_column(d, i, part, npart, err));
    }
    return SN_OK;
}

SnStatus sn_dataset_concatenate(SnDataset *const *part, size_t npart, SnDataset **out, SnError *err)
{
    SnDataset *d = NULL;
    SN_CHECK(npart > 0, err, SN_EINVAL, "concatenate: no datasets");
    SN_TRY(sn_table_create(part[0]->ctx, part[0]->ncol, &d, err));
    return sn_table_finish(join(d, part, npart, err), d, out);
}

SnStatus sn_dataset_repeat(SnDataset *d, int64_t n, SnDataset **out, SnError *err)
{
    SN_CHECK(n >= 0, err, SN_EINVAL, "repeat: %lld times", (long long)n);
    if (n == 0)
        return sn_dataset_slice(d, 0, 0, out, err);
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(d->ctx));
    SnDataset **part = sn_arena_array(&arena, (size_t)n, sizeof(SnDataset *));
    for (int64_t i = 0; part && i < n; i++)
        part[i] = d;
    const SnStatus st = part ? sn_dataset_concatenate(part, (size_t)n, out, err)
                             : sn_fail(err, SN_ENOMEM, "repeat: no memory for %lld times", (long long)n);
    sn_arena_clear(&arena);
    return st;
}

static SnStatus stand_beside(SnDataset *d, SnDataset *const *part, size_t npart, SnError *err)
{
    uint32_t ncol = 0, other = 0;
    d->nrow = part[0]->nrow;
    d->ncol = 0;
    for (size_t i = 0; i < npart; i++) {
        SN_TRY(sn_table_keep(d, part[i], err));
        SN_CHECK(part[i]->nrow == d->nrow, err, SN_EINVAL, "%lld rows of %s, but %lld of %s",
                 (long long)d->nrow, part[0]->ncol ? part[0]->col[0].type.name : "none",
                 (long long)part[i]->nrow, part[i]->ncol ? part[i]->col[0].type.name : "none");
        for (uint32_t k = 0; k < part[i]->ncol; k++)
            SN_CHECK(sn_dataset_find(d, part[i]->col[k].type.name, &other, NULL) != SN_OK, err, SN_EINVAL,
                     "there is a column %s already", part[i]->col[k].type.name);
        memcpy(d->col + ncol, part[i]->col, part[i]->ncol * sizeof *d->col);
        d->ncol = ncol += part[i]->ncol;
        sn_table_stamp(d, "beside", &part[i]->fingerprint, sizeof part[i]->fingerprint);
    }
    return SN_OK;
}

SnStatus sn_dataset_join_columns(SnDataset *const *part, size_t npart, SnDataset **out, SnError *err)
{
    SnDataset *d = NULL;
    uint32_t ncol = 0;
    SN_CHECK(npart > 0, err, SN_EINVAL, "concatenate: no datasets");
    for (size_t i = 0; i < npart; i++)
        ncol += part[i]->ncol;
    SN_TRY(sn_table_create(part[0]->ctx, ncol, &d, err));
    return sn_table_finish(stand_beside(d, part, npart, err), d, out);
}

typedef struct Source {
    int64_t first, n, at; /* rows of the concatenation; the next one */
    bool is_done, is_drawn;
} Source;

typedef struct Turns { /* whose row comes next */
    SnDraw draw;
    const double *probability;
    double total;
    size_t npart, at;
} Turns;

static size_t next_turn(Turns *t)
{
    if (!t->probability)
        return t->at++ % t->npart;
    const double x = sn_draw_f64(&t->draw);
    double sum = 0;
    size_t i = 0, last = 0;
    for (; i < t->npart; i++) {
        sum += t->probability[i];
        last = t->probability[i] > 0 ? i : last;
        if (x < sum / t->total)
            return i;
    }
    return last;
}

/* In turn, a round is always whole; drawn, it ends with the row that exhausts. */
static bool goes_on(const Turns *t, const Source *s, SnStopping when)
{
    size_t ndone = 0, ndrawn = 0;
    for (size_t i = 0; i < t->npart; i++) {
        ndone += s[i].is_drawn && s[i].is_done;
        ndrawn += s[i].is_drawn;
    }
    const bool is_over = when == SN_STOP_AT_FIRST ? ndone > 0 : ndone == ndrawn;
    return !is_over || (!t->probability && when != SN_STOP_WITHOUT_REPLACEMENT && t->at % t->npart != 0);
}

static SnStatus begin_turns(Turns *t, Source *s, SnDataset *const *part, SnStopping when, SnError *err)
{
    int64_t first = 0;
    for (size_t i = 0; i < t->npart; first += part[i++]->nrow) {
        const double p = t->probability ? t->probability[i] : 1;
        s[i] = (Source){.first = first, .n = part[i]->nrow, .is_done = part[i]->nrow == 0, .is_drawn = p > 0};
        t->total += p;
        const bool is_empty_ok = when != SN_STOP_AT_ALL && (!t->probability || when != SN_STOP_AT_FIRST);
        SN_CHECK(p >= 0 && (p > 0 || when == SN_STOP_AT_FIRST), err, SN_EINVAL,
                 "interleave: dataset %zu has the probability %g", i, p);
        SN_CHECK(part[i]->nrow > 0 || p == 0 || is_empty_ok, err, SN_EINVAL,
                 "interleave: dataset %zu has no rows", i);
    }
    SN_CHECK(t->total > 0 && isfinite(t->total), err, SN_EINVAL, "interleave: probabilities of %g in all",
             t->total);
    return SN_OK;
}

SnStatus sn_dataset_interleave(SnDataset *const *part, size_t npart, const double *probability, uint64_t seed,
                               SnStopping when, SnDataset **out, SnError *err)
{
    SnDataset *whole = NULL;
    SN_TRY(sn_dataset_concatenate(part, npart, &whole, err));
    const SnAllocator *memory = sn_allocator(whole->ctx);
    SnArena arena;
    SN_VEC(int64_t) row = {0};
    sn_arena_init(&arena, memory);
    Turns t = {.draw = sn_draw(seed), .probability = probability, .npart = npart};
    Source *s = sn_arena_array(&arena, npart, sizeof *s);
    SnStatus st = s ? begin_turns(&t, s, part, when, err) : sn_fail(err, SN_ENOMEM, "interleave: no memory");
    while (st == SN_OK && goes_on(&t, s, when)) {
        Source *from = &s[next_turn(&t)];
        if (when == SN_STOP_WITHOUT_REPLACEMENT && from->is_done)
            continue;
        if (!sn_vec_push(memory, &row, from->first + from->at))
            st = sn_fail(err, SN_ENOMEM, "interleave: no memory");
        from->at = (from->at + 1) % from->n;
        from->is_done = from->is_done || from->at == 0;
    }
    if (st == SN_OK)
        st = take_rows(whole, "interleave", row.at, (int64_t)row.n, out, err);
    sn_vec_clear(memory, &row);
    sn_arena_clear(&arena);
    sn_dataset_release(whole);
    return st;
}
