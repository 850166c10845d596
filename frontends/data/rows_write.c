/* rows_write.c -- datasets as JSON lines, JSON, CSV, TSV and text. */
#include "frontends/data/table.h"

enum { PART = 1 << 18 }; /* bytes that are written at once */

static SnStatus flush(SnText *t, SnOutFile *f, size_t least, SnError *err)
{
    SN_CHECK(!t->failed, err, SN_ENOMEM, "dataset: no memory");
    if (t->n < least)
        return SN_OK;
    SN_TRY(sn_out_add(f, sn_bytes(t->at, t->n), err));
    t->n = 0;
    return SN_OK;
}

static void put_object(SnText *t, const SnDataset *d, int64_t row)
{
    for (uint32_t i = 0; i < d->ncol; i++) {
        sn_text_add(t, i ? "," : "{", 1);
        sn_json_put_string(t, sn_bytes_str(d->col[i].type.name));
        sn_text_add(t, ":", 1);
        (void)sn_cell_json(t, sn_column_at(&d->col[i], row));
    }
    sn_text_add(t, "}", 1);
}

static void put_json_row(SnText *t, const SnDataset *d, int64_t row, char delimiter)
{
    if (delimiter)
        sn_text_add(t, row ? ",\n" : "[", row ? 2 : 1);
    put_object(t, d, row);
    if (!delimiter || row + 1 == d->nrow)
        sn_text_add(t, delimiter ? "]\n" : "\n", delimiter ? 2 : 1);
}

/* A field: quoted where it has to be, as Python's csv module does. */
static void put_csv_field(SnText *t, SnBytes s, char delimiter)
{
    bool quote = false;
    for (size_t i = 0; i < s.n; i++)
        quote =
            quote || s.at[i] == '"' || s.at[i] == '\n' || s.at[i] == '\r' || s.at[i] == (uint8_t)delimiter;
    if (!quote) {
        sn_text_add(t, (const char *)s.at, s.n);
        return;
    }
    sn_text_add(t, "\"", 1);
    for (size_t i = 0; i < s.n; i++) {
        sn_text_add(t, "\"", s.at[i] == '"');
        sn_text_add(t, (const char *)s.at + i, 1);
    }
    sn_text_add(t, "\"", 1);
}

static void put_csv_header(SnText *t, const SnDataset *d, char delimiter)
{
    for (uint32_t i = 0; i < d->ncol; i++) {
        sn_text_add(t, &delimiter, i > 0);
        put_csv_field(t, sn_bytes_str(d->col[i].type.name), delimiter);
    }
    sn_text_add(t, "\n", 1);
}

static void put_csv_row(SnText *t, const SnDataset *d, int64_t row, char delimiter)
{
    SnText nested = {.memory = t->memory};
    for (uint32_t i = 0; i < d->ncol; i++) {
        const SnCell c = sn_column_at(&d->col[i], row);
        const SnFeature *type = c.array->type;
        sn_text_add(t, &delimiter, i > 0);
        if (sn_cell_is_null(c))
            continue;
        nested.n = 0;
        if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY)
            put_csv_field(t, sn_cell_bytes(c), delimiter);
        else if (type->kind == SN_DATA_NUMBER && type->dtype == SN_BOOL)
            sn_text_printf(t, "%s", sn_cell_int(c) ? "True" : "False");
        else if (sn_cell_json(&nested, c))
            put_csv_field(t, sn_bytes(nested.at, nested.n), delimiter);
        else
            t->failed = true;
    }
    sn_text_add(t, "\n", 1);
    sn_text_clear(&nested);
}

static void put_text_row(SnText *t, const SnDataset *d, int64_t row, char delimiter)
{
    const SnBytes s = sn_cell_bytes(sn_column_at(&d->col[0], row));
    sn_text_add(t, (const char *)s.at, s.n);
    sn_text_add(t, &delimiter, 1);
}

static SnStatus write_rows(const SnDataset *d, SnOutFile *f, bool header,
                           void (*put)(SnText *t, const SnDataset *d, int64_t row, char delimiter),
                           char delimiter, SnError *err)
{
    SnText t = {.memory = sn_allocator(d->ctx)};
    if (header)
        put_csv_header(&t, d, delimiter);
    SnStatus st = SN_OK;
    for (int64_t row = 0; st == SN_OK && row < d->nrow; row++) {
        put(&t, d, row, delimiter);
        st = flush(&t, f, PART, err);
        if (row % SN_TABLE_PART == 0)
            sn_table_forget(d);
    }
    if (st == SN_OK && put == put_json_row && delimiter && d->nrow == 0)
        sn_text_add(&t, "[]\n", 3);
    if (st == SN_OK)
        st = flush(&t, f, 0, err);
    sn_text_clear(&t);
    return st;
}

SnStatus sn_write_json_rows(const SnDataset *d, SnOutFile *f, SnError *err)
{
    return write_rows(d, f, false, put_json_row, '\0', err);
}

SnStatus sn_write_json_list(const SnDataset *d, SnOutFile *f, SnError *err)
{
    return write_rows(d, f, false, put_json_row, ',', err);
}

SnStatus sn_write_csv(const SnDataset *d, SnOutFile *f, SnError *err)
{
    return write_rows(d, f, true, put_csv_row, ',', err);
}

SnStatus sn_write_tsv(const SnDataset *d, SnOutFile *f, SnError *err)
{
    return write_rows(d, f, true, put_csv_row, '\t', err);
}

SnStatus sn_write_text(const SnDataset *d, SnOutFile *f, SnError *err)
{
    SN_CHECK(d->ncol == 1 && d->col[0].type.kind == SN_DATA_TEXT, err, SN_EINVAL,
             "a text file holds one column of texts, not %u columns", d->ncol);
    return write_rows(d, f, false, put_text_row, '\n', err);
}
