/* order.c -- which rows, in which order: select, shuffle, sort, split, concatenate, interleave. */
#include "frontends/data/table.h"

#include <math.h>

/* The order of rows `row` (NULL: first, first + 1, ..) of every column of d; columns that had one order have
 * one again. */
static SnStatus reorder(SnDataset *d, const int64_t *row, int64_t first, int64_t n, SnError *err)
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

static SnStatus finish(SnStatus st, SnDataset *d, SnDataset **out)
{
    if (st == SN_OK)
        *out = d;
    else
        sn_dataset_release(d);
    return st;
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
    return finish(reorder(to, NULL, first, n, err), to, out);
}

static SnStatus take_rows(const SnDataset *d, const char *op, const int64_t *row, int64_t n, SnDataset **out,
                          SnError *err)
{
    SnDataset *to = NULL;
    SN_TRY(sn_table_derive(d, 0, &to, err));
    sn_table_stamp(to, op, row, (size_t)n * sizeof *row);
    return finish(reorder(to, row, 0, n, err), to, out);
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

SnStatus sn_dataset_split(const SnDataset *d, double test_size, uint64_t seed, bool is_plain,
                          SnDataset *out[2], SnError *err)
{
    const double n = (double)d->nrow, want = test_size < 1 ? ceil(test_size * n) : test_size;
    SN_CHECK(test_size > 0 && want < n && want == floor(want), err, SN_EINVAL,
             "split: a test size of %g of %lld rows leaves nothing on one side", test_size,
             (long long)d->nrow);
    const int64_t ntest = (int64_t)want, ntrain = d->nrow - ntest;
    SnDataset *part[2] = {NULL, NULL};
    SnArena arena;
    SnStatus st = SN_ENOMEM;
    int64_t *row = begin_rows(d, &arena, d->nrow, err);
    if (row) {
        SnDraw r = sn_draw(seed);
        for (int64_t i = 0; is_plain && i < d->nrow; i++)
            row[i] = i < ntest ? ntrain + i : i - ntest;
        if (!is_plain)
            sn_draw_permutation(&r, row, d->nrow);
        st = take_rows(d, "train", row + ntest, ntrain, &part[0], err);
        if (st == SN_OK)
            st = take_rows(d, "test", row, ntest, &part[1], err);
    }
    sn_arena_clear(&arena);
    if (st != SN_OK) {
        sn_dataset_release(part[0]);
        return st;
    }
    out[0] = part[0];
    out[1] = part[1];
    return SN_OK;
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
        const size_t n = a->u.text.n < b->u.text.n ? a->u.text.n : b->u.text.n;
        sign = n ? memcmp(a->u.text.at, b->u.text.at, n) : 0;
        sign = sign ? sign : (a->u.text.n > b->u.text.n) - (a->u.text.n < b->u.text.n);
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

/* ---- several datasets ---- */

/* One column of all parts: their chunks behind each other, and an order if one of them has one. */
static SnStatus join_column(SnDataset *d, uint32_t column, SnDataset *const *part, size_t npart, SnError *err)
{
    uint32_t nchunk = 0;
    int64_t total = 0, at = 0, before = 0;
    bool is_ordered = false;
    for (size_t p = 0; p < npart; p++) {
        const SnColumn *c = &part[p]->col[column];
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
    return finish(join(d, part, npart, err), d, out);
}

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
    size_t i = 0;
    for (; i + 1 < t->npart; i++) {
        sum += t->probability[i];
        if (x < sum / t->total)
            break;
    }
    return i;
}

typedef struct Source {
    int64_t first, n, at; /* rows of the concatenation; the next one */
    bool is_done;
} Source;

/* In turn, a round is always whole; drawn, it ends with the row that exhausts. */
static bool goes_on(const Turns *t, const Source *s, bool all)
{
    size_t ndone = 0;
    for (size_t i = 0; i < t->npart; i++)
        ndone += s[i].is_done;
    const bool is_over = all ? ndone == t->npart : ndone > 0;
    return !is_over || (!t->probability && t->at % t->npart != 0);
}

SnStatus sn_dataset_interleave(SnDataset *const *part, size_t npart, const double *probability, uint64_t seed,
                               bool all, SnDataset **out, SnError *err)
{
    SnDataset *whole = NULL;
    SN_TRY(sn_dataset_concatenate(part, npart, &whole, err));
    const SnAllocator *memory = sn_allocator(whole->ctx);
    SnArena arena;
    SN_VEC(int64_t) row = {0};
    sn_arena_init(&arena, memory);
    Turns t = {.draw = sn_draw(seed), .probability = probability, .npart = npart};
    Source *s = sn_arena_array(&arena, npart, sizeof *s);
    SnStatus st = s ? SN_OK : sn_fail(err, SN_ENOMEM, "interleave: no memory");
    int64_t first = 0;
    for (size_t i = 0; st == SN_OK && i < npart; first += part[i++]->nrow) {
        s[i] = (Source){.first = first, .n = part[i]->nrow};
        t.total += probability ? probability[i] : 0;
        if (part[i]->nrow == 0 || (probability && !(probability[i] > 0)))
            st = sn_fail(err, SN_EINVAL, "interleave: dataset %zu has no rows, or no probability", i);
    }
    while (st == SN_OK && goes_on(&t, s, all)) {
        Source *from = &s[next_turn(&t)];
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
