/* compute.c -- filter and map by compiled expressions: blocks of columns go through a program, where they
 * lie. */
#include "frontends/data/formula.h"

typedef struct Compute {
    const SnDataset *d;
    SnFormula f;
    SnInstance *run;
    SnArena arena; /* of one block */
    SnRows rows;   /* what was computed, */
    SnBuilder b;   /* and what comes behind it */
    SnError *err;
} Compute;

enum { PART_ROWS = 1 << 20 };

/* ---- what a program reads of texts and lists ---- */

static int64_t characters(SnBytes s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += (s.at[i] & 0xC0) != 0x80;
    return n;
}

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
            ((int64_t *)to)[i] = is_list ? sn_cell_list(cell, &item) : characters(sn_cell_bytes(cell));
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

static SnStatus begin(Compute *c, SnCompiler *cc, const SnDataset *d, const char *text, bool is_test,
                      SnError *err)
{
    *c = (Compute){.d = d, .err = err};
    sn_arena_init(&c->arena, sn_allocator(d->ctx));
    SN_TRY(sn_formula_open(cc, d, text, is_test, &c->f, err));
    return sn_instance_create(c->f.program, NULL, &c->run, err);
}

static void end(Compute *c)
{
    sn_instance_destroy(c->run);
    sn_formula_close(&c->f, c->d->ctx);
    sn_arena_clear(&c->arena);
}

static int64_t block_rows(const SnDataset *d, int64_t at)
{
    return d->nrow - at < SN_FORMULA_ROWS ? d->nrow - at : SN_FORMULA_ROWS;
}

/* Of n rows from first on those that are kept. */
static SnStatus keep_rows(Compute *c, int64_t first, int64_t n)
{
    const uint8_t *keep = NULL, *valid = NULL;
    int64_t nrow = 0;
    SN_TRY(run_block(c, first, n, &keep, &valid));
    int64_t *row = sn_arena_array(&c->arena, (size_t)n, sizeof *row);
    SN_CHECK(row, c->err, SN_ENOMEM, "filter: no memory");
    for (int64_t i = 0; i < n; i++) {
        row[nrow] = first + i;
        nrow += keep[i];
    }
    sn_builder_values(&c->b, row, (size_t)nrow);
    return SN_OK;
}

static SnStatus compute_rows(Compute *c, int64_t first, int64_t n)
{
    const size_t each = sn_dtype_size(c->b.type.dtype);
    const uint8_t *result = NULL, *valid = NULL;
    SN_TRY(run_block(c, first, n, &result, &valid));
    if (!valid)
        sn_builder_values(&c->b, result, (size_t)n);
    for (int64_t i = 0; valid && i < n; i++)
        if (!valid[i])
            sn_builder_null(&c->b);
        else
            sn_builder_raw(&c->b, result + (size_t)i * each);
    return SN_OK;
}

typedef SnStatus ComputeFn(Compute *c, int64_t first, int64_t n);

static SnStatus end_part(Compute *c)
{
    SnBuilder *one = &c->b;
    const SnBuilder empty = {.memory = one->memory, .type = one->type, .key = one->key};
    SnDataset *part = NULL;
    SN_TRY(sn_builders_end(&one, 1, c->d->ctx, one->n, &part, c->err));
    sn_builder_clear(one);
    *one = empty;
    return sn_rows_add(&c->rows, part, c->err);
}

static SnStatus run_all(Compute *c, ComputeFn *run, SnDataset **out)
{
    for (int64_t at = 0; at < c->d->nrow; at += SN_FORMULA_ROWS) {
        SN_TRY(run(c, at, block_rows(c->d, at)));
        if (c->b.n >= PART_ROWS)
            SN_TRY(end_part(c));
    }
    if (c->b.n || !c->rows.nrow)
        SN_TRY(end_part(c));
    return sn_rows_end(&c->rows, out, c->err);
}

/* What run computes, as a dataset of one column: from the cache, where it was computed before. */
static SnStatus kept_column(SnCompiler *cc, const SnDataset *d, const SnDataset *result, const char *name,
                            const char *expression, bool is_test, ComputeFn *run, SnDataset **out,
                            SnError *err)
{
    Compute c;
    bool found = false;
    const bool is_kept = d->nrow >= SN_ROWS_LEAST;
    if (is_kept)
        SN_TRY(sn_rows_find(d->ctx, result->fingerprint, out, &found, err));
    if (found)
        return SN_OK;
    SnStatus st = begin(&c, cc, d, expression, is_test, err);
    sn_rows_begin(&c.rows, d->ctx, result->fingerprint, is_kept ? SN_ROWS_KEPT : SN_ROWS_MEMORY);
    c.b = (SnBuilder){.memory = sn_allocator(d->ctx), .key = sn_bytes_str(name)};
    c.b.type = (SnFeature){.kind = SN_DATA_NUMBER, .dtype = is_test ? SN_I64 : c.f.dtype};
    if (st == SN_OK)
        st = run_all(&c, run, out);
    sn_rows_clear(&c.rows);
    sn_builder_clear(&c.b);
    end(&c);
    return st;
}

SnStatus sn_dataset_filter(SnCompiler *cc, const SnDataset *d, const char *where, SnDataset **out,
                           SnError *err)
{
    SnDataset *result = NULL, *rows = NULL;
    SnArena arena;
    SnView v;
    sn_arena_init(&arena, sn_allocator(d->ctx));
    SN_TRY(sn_table_derive(d, 0, &result, err));
    sn_table_stamp(result, "filter", where, strlen(where));
    SnStatus st = kept_column(cc, d, result, "row", where, true, keep_rows, &rows, err);
    if (st == SN_OK)
        st = sn_table_view(rows, 0, 0, rows->nrow, &arena, &v, err);
    if (st == SN_OK)
        st = sn_dataset_select(d, v.data, rows->nrow, out, err);
    sn_arena_clear(&arena);
    sn_dataset_release(rows);
    sn_dataset_release(result);
    return st;
}

SnStatus sn_dataset_map(SnCompiler *cc, const SnDataset *d, const char *name, const char *expression,
                        SnDataset **out, SnError *err)
{
    SnDataset *to = NULL, *column = NULL;
    SN_TRY(sn_table_derive(d, 1, &to, err));
    sn_table_stamp(to, "map", name, strlen(name));
    sn_table_stamp(to, "to", expression, strlen(expression));
    SnStatus st = kept_column(cc, d, to, name, expression, false, compute_rows, &column, err);
    if (st == SN_OK)
        st = sn_table_add_columns(to, column, err);
    sn_dataset_release(column);
    if (st == SN_OK)
        *out = to;
    else
        sn_dataset_release(to);
    return st;
}
