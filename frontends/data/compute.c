/* compute.c -- filter and map by compiled expressions: blocks of columns go through a program, where they
 * lie. */
#include "frontends/data/formula.h"

typedef struct Compute {
    SnCompiler *cc;
    const SnDataset *d;
    const char *name, *text; /* of the column that is made, NULL: of rows that are kept; the expression */
    SnFormula f;
    SnInstance *run;     /* NULL: not begun */
    SnArena arena;       /* of one block */
    SN_VEC(int64_t) row; /* that are kept, */
    SnCacheDraft draft;  /* or written */
    bool is_writing;
    SnError *err;
} Compute;

enum { PART_ROWS = 1 << 20 };

/* ---- what a program reads of texts and lists ---- */

static bool has_text(SnBytes s, SnBytes part)
{
    if (part.n == 0)
        return true;
    for (const uint8_t *at = s.at, *end = s.at + s.n; s.n && (size_t)(end - at) >= part.n; at++) {
        at = memchr(at, part.at[0], (size_t)(end - at) - part.n + 1);
        if (!at)
            return false;
        if (memcmp(at, part.at, part.n) == 0)
            return true;
    }
    return false;
}

static bool test_text(SnFormulaKind kind, SnBytes s, SnBytes t)
{
    switch (kind) {
    case SN_FORMULA_EQUAL:
        return sn_bytes_equal(s, t);
    case SN_FORMULA_HAS:
        return has_text(s, t);
    case SN_FORMULA_BEGINS:
        return s.n >= t.n && sn_bytes_equal(sn_bytes(s.at, t.n), t);
    case SN_FORMULA_ENDS:
        return s.n >= t.n && sn_bytes_equal(sn_bytes(s.at + (s.n - t.n), t.n), t);
    default:
        return false;
    }
}

static void fill(const SnFormulaInput *in, const SnColumn *c, int64_t first, int64_t n, void *to)
{
    const bool is_list = c->type.kind == SN_DATA_LIST;
    for (int64_t i = 0; i < n; i++) {
        SnCell cell = sn_column_at(c, first + i), item;
        if (in->kind == SN_FORMULA_LENGTH)
            ((int64_t *)to)[i] =
                is_list ? sn_cell_list(cell, &item) : (int64_t)sn_utf8_count(sn_cell_bytes(cell));
        else if (in->kind == SN_FORMULA_VALID)
            ((uint8_t *)to)[i] = !sn_cell_is_null(cell);
        else
            ((uint8_t *)to)[i] = !sn_cell_is_null(cell) && test_text(in->kind, sn_cell_bytes(cell), in->text);
    }
}

static SnStatus bind_input(Compute *c, const SnFormulaInput *in, int64_t first, int64_t n)
{
    SnView v = {0};
    if (in->kind == SN_FORMULA_VALUE) {
        SN_TRY(sn_table_view(c->d, in->column, first, n, &c->arena, &v, c->err));
    } else {
        void *to = sn_arena_array(&c->arena, (size_t)n, sn_dtype_size(in->dtype));
        SN_CHECK(to, c->err, SN_ENOMEM, "dataset: no memory");
        fill(in, &c->d->col[in->column], first, n, to);
        v = sn_view(in->dtype, to, 1, &n);
    }
    return sn_bind(c->run, in->name, &v, c->err);
}

/* The result of rows [first, first + n), and which of them are not null (NULL: all). */
static SnStatus run_block(Compute *c, int64_t first, int64_t n, const uint8_t **result, const uint8_t **valid)
{
    SnView v;
    sn_arena_clear(&c->arena);
    for (size_t i = 0; i < c->f.in.n; i++)
        SN_TRY(bind_input(c, &c->f.in.at[i], first, n));
    SN_TRY(sn_run(c->run, c->err));
    sn_table_forget(c->d);
    SN_TRY(sn_result(c->run, "result", &v, c->err));
    *result = v.data;
    *valid = NULL;
    if (c->f.has_null) {
        SN_TRY(sn_result(c->run, "valid", &v, c->err));
        *valid = v.data;
    }
    return SN_OK;
}

static SnStatus begin(Compute *c)
{
    if (c->run)
        return SN_OK;
    SN_TRY(sn_formula_open(c->cc, c->d, c->text, !c->name, &c->f, c->err));
    return sn_instance_create(c->f.program, NULL, &c->run, c->err);
}

static void end(Compute *c)
{
    sn_instance_destroy(c->run);
    sn_formula_close(&c->f, c->d->ctx);
    sn_arena_clear(&c->arena);
}

static int64_t block_rows(int64_t at, int64_t last)
{
    return last - at < SN_FORMULA_ROWS ? last - at : SN_FORMULA_ROWS;
}

/* ---- filter ---- */

/* Of n rows from first on the numbers of those that are kept. */
static SnStatus keep_block(Compute *c, int64_t first, int64_t n)
{
    const uint8_t *keep = NULL, *valid = NULL;
    size_t nrow = 0;
    SN_TRY(run_block(c, first, n, &keep, &valid));
    int64_t *row = sn_arena_array(&c->arena, (size_t)n, sizeof *row);
    SN_CHECK(row, c->err, SN_ENOMEM, "filter: no memory");
    for (int64_t i = 0; i < n; i++) {
        row[nrow] = first + i;
        nrow += keep[i];
    }
    if (c->is_writing) {
        c->is_writing = sn_cache_grow(&c->draft, sn_bytes(row, nrow * sizeof *row));
        return c->is_writing ? SN_OK : SN_EIO;
    }
    SN_CHECK(sn_vec_reserve(c->arena.memory, &c->row, nrow), c->err, SN_ENOMEM, "filter: no memory");
    if (nrow)
        memcpy(c->row.at + c->row.n, row, nrow * sizeof *row);
    c->row.n += nrow;
    return SN_OK;
}

static SnStatus keep_rows(Compute *c)
{
    SN_TRY(begin(c));
    for (int64_t at = 0; at < c->d->nrow; at += SN_FORMULA_ROWS)
        SN_TRY(keep_block(c, at, block_rows(at, c->d->nrow)));
    return SN_OK;
}

static bool are_rows(SnBytes blob, int64_t nrow)
{
    const int64_t *row = (const void *)blob.at;
    const size_t n = blob.n / sizeof *row;
    bool ok = blob.n % sizeof *row == 0 && (n == 0 || (row[0] >= 0 && row[n - 1] < nrow));
    for (size_t i = 1; ok && i < n; i++)
        ok = row[i - 1] < row[i];
    return ok;
}

/* The rows of `to` that are kept become its order: numbers in a file of the cache, where there is one. */
static SnStatus filter(Compute *c, SnDataset *to)
{
    static const char kind[] = "dataset order 1";
    SnContext *ctx = to->ctx;
    const SnHash128 key = sn_hash128(kind, sizeof kind, to->fingerprint);
    const bool is_kept = c->d->nrow >= SN_ROWS_LEAST;
    SnFile *file = NULL;
    SnBytes blob;
    if (!is_kept || !sn_cache_get(ctx, key, &file, &blob)) {
        c->is_writing = is_kept && sn_cache_begin_growing(ctx, key, &c->draft);
        const bool was_writing = c->is_writing;
        SnStatus st = keep_rows(c);
        if (was_writing && (st != SN_OK || !sn_cache_commit(ctx, &c->draft, &file, &blob)))
            sn_cache_give_up(&c->draft);
        if (was_writing && !file && (st == SN_OK || !c->is_writing)) {
            c->is_writing = false;
            st = keep_rows(c);
        }
        SN_TRY(st);
    }
    if (!file)
        return sn_table_reorder(to, c->row.at, 0, (int64_t)c->row.n, c->err);
    SnStatus st = are_rows(blob, to->nrow) ? sn_table_keep_file(to, file, c->err)
                                           : sn_fail(c->err, SN_EFORMAT, "%s: no rows", sn_file_path(file));
    sn_file_release(file);
    return st == SN_OK ? sn_table_reorder(to, (const void *)blob.at, -1, (int64_t)(blob.n / 8), c->err) : st;
}

SnStatus sn_dataset_filter(SnCompiler *cc, const SnDataset *d, const char *where, SnDataset **out,
                           SnError *err)
{
    SnDataset *to = NULL;
    Compute c = {.cc = cc, .d = d, .text = where, .err = err};
    SN_TRY(sn_table_derive(d, 0, &to, err));
    sn_table_stamp(to, "filter", where, strlen(where));
    sn_arena_init(&c.arena, sn_allocator(d->ctx));
    const SnStatus st = filter(&c, to);
    sn_vec_clear(c.arena.memory, &c.row);
    end(&c);
    return sn_table_finish(st, to, out);
}

/* ---- map ---- */

static SnStatus add_block(Compute *c, SnBuilder *b, int64_t first, int64_t n)
{
    const size_t each = sn_dtype_size(b->type.dtype);
    const uint8_t *result = NULL, *valid = NULL;
    SN_TRY(run_block(c, first, n, &result, &valid));
    if (!valid)
        sn_builder_values(b, result, (size_t)n);
    for (int64_t i = 0; valid && i < n; i++)
        if (!valid[i])
            sn_builder_null(b);
        else
            sn_builder_raw(b, result + (size_t)i * each);
    return SN_OK;
}

static SnStatus make_part(void *self, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    Compute *c = self;
    SN_TRY(begin(c));
    SnBuilder b = {.memory = c->arena.memory,
                   .key = sn_bytes_str(c->name),
                   .type = {.kind = SN_DATA_NUMBER, .dtype = c->f.dtype}};
    SnBuilder *one = &b;
    SnStatus st = SN_OK;
    for (int64_t at = first; st == SN_OK && at < first + n; at += SN_FORMULA_ROWS)
        st = add_block(c, &b, at, block_rows(at, first + n));
    if (st == SN_OK)
        st = sn_builders_end(&one, 1, c->d->ctx, n, out, err);
    sn_builder_clear(&b);
    return st;
}

/* A column that is replaced keeps its type where it can hold what was computed. */
static SnStatus keep_type(const SnDataset *d, const char *name, SnDataset **to, SnError *err)
{
    uint32_t at = 0;
    SnDataset *cast = NULL;
    SnText text = {.memory = sn_allocator(d->ctx)};
    if (sn_dataset_find(d, name, &at, NULL) != SN_OK)
        return SN_OK;
    const SnFeature *old = &d->col[at].type;
    if ((old->kind != SN_DATA_NUMBER && old->kind != SN_DATA_LABEL && old->kind != SN_DATA_TEXT) ||
        (old->kind == SN_DATA_TEXT && !old->is_wide))
        return SN_OK;
    sn_feature_json(&text, old);
    const SnStatus st = text.failed ? SN_ENOMEM : sn_dataset_cast(*to, name, text.at, &cast, err);
    sn_text_clear(&text);
    if (st == SN_OK) {
        sn_dataset_release(*to);
        *to = cast;
    }
    return st == SN_EINVAL ? SN_OK : st;
}

SnStatus sn_dataset_map(SnCompiler *cc, const SnDataset *d, const char *name, const char *expression,
                        SnDataset **out, SnError *err)
{
    SnDataset *to = NULL;
    Compute c = {.cc = cc, .d = d, .name = name, .text = expression, .err = err};
    SN_TRY(sn_table_derive(d, 1, &to, err));
    sn_table_stamp(to, "map", name, strlen(name));
    sn_table_stamp(to, "to", expression, strlen(expression));
    sn_arena_init(&c.arena, sn_allocator(d->ctx));
    SnStatus st = sn_rows_make_columns(d, to, PART_ROWS, make_part, &c, err);
    end(&c);
    if (st == SN_OK)
        st = keep_type(d, name, &to, err);
    return sn_table_finish(st, to, out);
}
