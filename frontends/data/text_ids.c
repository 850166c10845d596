/* text_ids.c -- columns of ids from columns of texts, a batch of rows after the other. */
#include "frontends/data/table.h"
#include "frontends/tasks/text.h"

enum { BATCH = 2048, PART = 8 * BATCH, NLIST = 3 };

typedef struct Ids { /* input_ids, attention_mask, token_type_ids */
    SnBuilder list[NLIST];
    SnBuilder *item[NLIST];
} Ids;

static SnStatus take_texts(const SnDataset *d, uint32_t column, int64_t first, size_t n, SnArena *arena,
                           const SnBytes **out, SnError *err)
{
    const SnColumn *c = &d->col[column];
    SnBytes *text = sn_arena_array(arena, n + 1, sizeof *text);
    SN_CHECK(text, err, SN_ENOMEM, "tokenize: no memory");
    for (size_t i = 0; i < n; i++) {
        const SnCell cell = sn_column_at(c, first + (int64_t)i);
        SN_CHECK(!sn_cell_is_null(cell), err, SN_EINVAL, "column %s, row %lld: null", c->type.name,
                 (long long)first + (long long)i);
        text[i] = sn_cell_bytes(cell);
    }
    *out = text;
    return SN_OK;
}

static SnStatus add_encoding(Ids *ids, const SnEncoding *e, SnArena *arena, SnError *err)
{
    int8_t *narrow = sn_arena_alloc(arena, e->n);
    const int32_t *const part[NLIST] = {NULL, e->attention_mask, e->type_ids};
    SN_CHECK(narrow, err, SN_ENOMEM, "tokenize: no memory");
    sn_builder_values(ids->item[0], e->ids, e->n);
    sn_builder_row(&ids->list[0]);
    for (int i = 1; i < NLIST && ids->item[i]; i++) {
        for (size_t k = 0; k < e->n; k++)
            narrow[k] = (int8_t)part[i][k];
        sn_builder_values(ids->item[i], narrow, e->n);
        sn_builder_row(&ids->list[i]);
    }
    return SN_OK;
}

/* Those of rows [first, last). */
static SnStatus encode(SnModel *m, const SnDataset *d, int64_t first, int64_t last, const uint32_t column[2],
                       bool is_pair, const SnTokenizeOptions *o, Ids *ids, SnError *err)
{
    SnArena arena;
    SnStatus st = SN_OK;
    sn_arena_init(&arena, sn_allocator(d->ctx));
    for (int64_t at = first; st == SN_OK && at < last; at += BATCH) {
        const size_t n = last - at < BATCH ? (size_t)(last - at) : BATCH;
        const SnBytes *text = NULL, *pair = NULL;
        SnEncoding *e = NULL;
        st = take_texts(d, column[0], at, n, &arena, &text, err);
        if (st == SN_OK && is_pair)
            st = take_texts(d, column[1], at, n, &arena, &pair, err);
        if (st == SN_OK)
            st = sn_model_tokenize(m, text, pair, n, o, &arena, &e, err);
        for (size_t i = 0; st == SN_OK && i < n; i++)
            st = add_encoding(ids, &e[i], &arena, err);
        sn_arena_clear(&arena);
    }
    return st;
}

static SnStatus find_texts(const SnDataset *d, const char *column, const char *pair, uint32_t at[2],
                           SnError *err)
{
    const char *const name[2] = {column, pair};
    for (int i = 0; i < 2 && name[i]; i++) {
        SN_TRY(sn_dataset_find(d, name[i], &at[i], err));
        SN_CHECK(d->col[at[i]].type.kind == SN_DATA_TEXT, err, SN_EINVAL,
                 "tokenize: column %s holds no texts", name[i]);
    }
    return SN_OK;
}

/* What decides of the ids: the tokenizer, columns and options. */
static void stamp(SnDataset *to, const SnModel *m, const uint32_t at[2], const char *pair,
                  const SnTokenizeOptions *o, bool with_types)
{
    const uint64_t numbers[] = {at[0],
                                pair ? at[1] + 1u : 0u,
                                with_types,
                                o->no_special,
                                o->truncate_left,
                                (uint64_t)o->truncation,
                                (uint64_t)o->max_length,
                                (uint64_t)o->stride};
    sn_table_stamp(to, "tokenizer", m->tokenizer.at, m->tokenizer.n);
    sn_table_stamp(to, "tokenize", numbers, sizeof numbers);
}

typedef struct Tokenize {
    SnModel *m;
    const SnDataset *d;
    uint32_t at[2];
    bool is_pair;
    int nlist;
    SnTokenizeOptions o;
} Tokenize;

static SnStatus make_part(void *self, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    static const char *const names[NLIST] = {"input_ids", "attention_mask", "token_type_ids"};
    static const SnDtype dtypes[NLIST] = {SN_I32, SN_I8, SN_I8};
    const Tokenize *t = self;
    Ids ids = {0};
    SnBuilder *list[NLIST];
    SnStatus st = SN_OK;
    for (int i = 0; i < t->nlist; i++) {
        ids.list[i] = (SnBuilder){
            .memory = sn_allocator(t->d->ctx), .type = {.kind = SN_DATA_LIST}, .key = sn_bytes_str(names[i])};
        ids.item[i] = sn_builder_child(&ids.list[i], sn_bytes_str("item"));
        list[i] = &ids.list[i];
        if (!ids.item[i])
            st = sn_fail(err, SN_ENOMEM, "tokenize: no memory");
        else
            ids.item[i]->type = (SnFeature){.kind = SN_DATA_NUMBER, .dtype = dtypes[i]};
    }
    if (st == SN_OK)
        st = encode(t->m, t->d, first, first + n, t->at, t->is_pair, &t->o, &ids, err);
    if (st == SN_OK)
        st = sn_builders_end(list, (size_t)t->nlist, t->d->ctx, n, out, err);
    for (int i = 0; i < t->nlist; i++)
        sn_builder_clear(&ids.list[i]);
    return st;
}

SnStatus sn_dataset_tokenize(SnModel *m, const SnDataset *d, const char *column, const char *pair,
                             const SnTokenizeOptions *o, bool with_types, SnDataset **out, SnError *err)
{
    SnDataset *to = NULL;
    Tokenize t = {.m = m,
                  .d = d,
                  .is_pair = pair != NULL,
                  .nlist = with_types ? NLIST : NLIST - 1,
                  .o = o ? *o : (SnTokenizeOptions){.struct_size = sizeof t.o}};
    t.o.ids_only = true;
    SN_TRY(find_texts(d, column, pair, t.at, err));
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_table_derive(d, NLIST, &to, err));
    stamp(to, m, t.at, pair, &t.o, with_types);
    return sn_table_finish(sn_rows_make_columns(d, to, PART, make_part, &t, err), to, out);
}
