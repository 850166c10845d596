/* source.c -- rows of a training: looked at before it, read and tokenized a batch ahead. */
#include "frontends/training/source.h"

#include "frontends/data/table.h"

#include <math.h>

#define IGNORED (-100)
#define CHUNK   1024 /* rows that are tokenized at once where all of them are */

static SnStatus no_memory(const SnTrainSource *s, SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "%s: no memory for rows", s->what);
}

static bool packs(const SnTrainSource *s)
{
    return s->c->task == SN_TRAIN_CAUSAL && sn_arg_bool(s->c->config, "packing");
}

static SnCell cell_of(const SnTrainSource *s, int64_t column, int64_t row)
{
    return sn_dataset_cell(s->d, (uint32_t)column, row);
}

/* A text of a column, or of a field there; empty where it is null. */
static SnBytes text_of(const SnTrainSource *s, int64_t column, int64_t field, int64_t row)
{
    const SnCell cell = cell_of(s, column, row);
    if (field < 0)
        return sn_cell_bytes(cell);
    return sn_cell_is_null(cell) ? sn_bytes("", 0) : sn_cell_bytes(sn_cell_field(cell, (uint32_t)field));
}

/* ---- ahead ---- */

/* Works until all is read, or until about then (0: no limit). */
static bool go(SnTrainSource *s, uint64_t deadline_ns)
{
    return sn_text_ahead_go(&s->ahead, deadline_ns) &&
           (s->c->task != SN_TRAIN_PAIR || sn_text_ahead_go(&s->target, deadline_ns));
}

/* Work for idle jobs. */
static void go_on(void *self)
{
    (void)go(self, sn_now_ns() + SN_BESIDE_NS);
}

static SnStatus put_before(SnTrainSource *s, const char *prefix, SnBytes *text, SnError *err)
{
    const char *both = sn_arena_printf(&s->arena, "%s%.*s", prefix, (int)text->n, (const char *)text->at);
    if (!both)
        return no_memory(s, err);
    *text = sn_bytes(both, strlen(prefix) + text->n);
    return SN_OK;
}

/* Words of rows, and how many each has. */
static SnStatus find_words(SnTrainSource *s, const int64_t *row, int64_t n, int64_t *words, SnBytes **text,
                           SnError *err)
{
    SnCell first = {0};
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++)
        total += words[i] = row[i] < 0 ? 0 : sn_cell_list(cell_of(s, s->column.text, row[i]), &first);
    *text = sn_arena_array(&s->arena, (size_t)total + 1, sizeof **text);
    if (!*text)
        return no_memory(s, err);
    total = 0;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] >= 0)
            (void)sn_cell_list(cell_of(s, s->column.text, row[i]), &first);
        for (int64_t k = 0; k < words[i]; k++)
            (*text)[total++] = sn_cell_bytes((SnCell){first.array, first.at + k});
    }
    return SN_OK;
}

static SnStatus find_texts(SnTrainSource *s, const int64_t *row, int64_t n, SnBytes **text, SnBytes **pair,
                           SnError *err)
{
    *text = sn_arena_array(&s->arena, (size_t)n + 1, sizeof **text);
    const char *prefix = s->c->task == SN_TRAIN_PAIR ? sn_arg_string(s->c->config, "source_prefix") : NULL;
    *pair = s->column.pair >= 0 ? sn_arena_array(&s->arena, (size_t)n + 1, sizeof **pair) : NULL;
    if (!*text || (!*pair && s->column.pair >= 0))
        return no_memory(s, err);
    for (int64_t i = 0; i < n; i++) {
        if (row[i] < 0)
            continue;
        (*text)[i] = text_of(s, s->column.text, s->column.text_field, row[i]);
        if (prefix)
            SN_TRY(put_before(s, prefix, &(*text)[i], err));
        if (*pair)
            (*pair)[i] = text_of(s, s->column.pair, s->column.pair_field, row[i]);
    }
    return SN_OK;
}

static bool hides_words(const SnTrainSource *s)
{
    return s->c->task == SN_TRAIN_MASKED && sn_arg_bool(s->c->config, "whole_word_mask");
}

/* Begins to read these rows; -1: none. */
static SnStatus begin(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err)
{
    const bool has_words = s->c->task == SN_TRAIN_TAG;
    SnBytes *text = NULL, *pair = NULL;
    s->row.n = 0;
    sn_arena_reset(&s->arena);
    int64_t *words = sn_arena_array(&s->arena, (size_t)n + 1, sizeof *words);
    if (!words || !sn_vec_reserve(sn_allocator(s->c->ctx), &s->row, (size_t)n))
        return no_memory(s, err);
    SN_TRY(has_words ? find_words(s, row, n, words, &text, err) : find_texts(s, row, n, &text, &pair, err));
    const SnTokenizeOptions o = {.struct_size = sizeof o,
                                 .truncation = packs(s) ? SN_TRUNCATE_NONE : SN_TRUNCATE_LONGEST_FIRST,
                                 .max_length = packs(s) ? 0 : s->c->most,
                                 .words = has_words ? words : NULL};
    const bool is_pair = s->c->task == SN_TRAIN_PAIR;
    SN_TRY(sn_text_ahead_begin(&s->ahead, s->c->text, &o, text, is_pair ? NULL : pair, (size_t)n,
                               hides_words(s), err));
    if (is_pair) {
        const SnTokenizeOptions out = {.struct_size = sizeof out,
                                       .truncation = SN_TRUNCATE_LONGEST_FIRST,
                                       .max_length = s->c->most_target};
        SN_TRY(sn_text_ahead_begin(&s->target, s->c->text, &out, pair, NULL, (size_t)n, false, err));
    }
    memcpy(s->row.at, row, (size_t)n * sizeof *row);
    s->row.n = (size_t)n;
    return SN_OK;
}

static bool is_ahead(const SnTrainSource *s, const int64_t *row, int64_t n)
{
    return n > 0 && s->row.n == (size_t)n && memcmp(s->row.at, row, (size_t)n * sizeof *row) == 0;
}

SnStatus sn_train_source_expect(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err)
{
    if (s->tokens.n || s->windows.n || s->c->task == SN_TRAIN_IMAGE)
        return SN_OK;
    sn_jobs_beside(s->c->ctx, NULL, NULL);
    SN_TRY(begin(s, row, n, err));
    sn_jobs_beside(s->c->ctx, go_on, s);
    return SN_OK;
}

/* ---- tokens ---- */

static const int32_t *row_of(const SnView *list, int64_t i)
{
    return (const int32_t *)list->data + list->start[i];
}

/* The first token of a word has its label, or all of them. */
static SnStatus tag_row(SnTrainSource *s, int64_t at, int64_t row, SnError *err)
{
    const SnCollate *c = s->c;
    const int64_t n = s->ahead.ids.len[at];
    const int32_t *word = row_of(&s->ahead.word_ids, at);
    const bool all = sn_arg_bool(c->config, "label_all_tokens");
    SnCell first = {0};
    const int64_t nlabel = sn_cell_list(cell_of(s, s->column.label, row), &first);
    for (int64_t i = 0; i < n; i++) {
        int64_t k = IGNORED;
        if (word[i] >= 0 && word[i] < nlabel && (all || i == 0 || word[i - 1] != word[i]))
            SN_TRY(sn_collate_class(c, (SnCell){first.array, first.at + word[i]}, s->what, row, &k, err));
        if (!sn_vec_push(sn_allocator(c->ctx), &s->now.labels, (int32_t)k))
            return no_memory(s, err);
    }
    return SN_OK;
}

/* May token i be hidden? 2: only where the one before is, as nothing stands between them. */
static int32_t hides(const SnTrainSource *s, int64_t at, int64_t i)
{
    const int32_t *special = row_of(&s->ahead.special, at);
    if (special[i])
        return 0;
    if (i == 0 || special[i - 1] || !hides_words(s))
        return 1;
    const int32_t *place = row_of(&s->ahead.offsets, at) + 2 * i;
    return place[0] == place[-1] ? 2 : 1;
}

static SnStatus add_target(SnTrainSource *s, int64_t at, int64_t row, SnError *err)
{
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    const int64_t n = row < 0 ? 0 : s->target.ids.len[at];
    const int32_t *id = row_of(&s->target.ids, at);
    for (int64_t i = 0; i < n; i++) {
        SN_CHECK(id[i] >= 0 && (!s->c->vocabulary || id[i] < s->c->vocabulary), err, SN_EINVAL,
                 "%s: row %lld: token %d; the model has %lld", s->what, (long long)row, id[i],
                 (long long)s->c->vocabulary);
        if (!sn_vec_push(memory, &s->now.labels, id[i]))
            return no_memory(s, err);
    }
    return sn_vec_push(memory, &s->now.target_end, (int64_t)s->now.labels.n) ? SN_OK : no_memory(s, err);
}

static SnStatus add_row(SnTrainSource *s, int64_t at, int64_t row, SnError *err)
{
    const SnCollate *c = s->c;
    const SnAllocator *memory = sn_allocator(c->ctx);
    const int64_t n = row < 0 ? 0 : s->ahead.ids.len[at];
    const int32_t *id = row_of(&s->ahead.ids, at), *type = row_of(&s->ahead.types, at);
    SnTrainRows *o = &s->now;
    for (int64_t i = 0; i < n; i++) {
        SN_CHECK(id[i] >= 0 && (!c->vocabulary || id[i] < c->vocabulary), err, SN_EINVAL,
                 "%s: row %lld: token %d; the model has %lld", s->what, (long long)row, id[i],
                 (long long)c->vocabulary);
        if (!sn_vec_push(memory, &o->ids, id[i]) ||
            (c->gives_types && !sn_vec_push(memory, &o->types, type[i])) ||
            (c->task == SN_TRAIN_MASKED && !sn_vec_push(memory, &o->labels, hides(s, at, i))))
            return no_memory(s, err);
    }
    if (c->task == SN_TRAIN_TAG && row >= 0)
        SN_TRY(tag_row(s, at, row, err));
    if (c->task == SN_TRAIN_PAIR)
        SN_TRY(add_target(s, at, row, err));
    double target = 0;
    if (c->task == SN_TRAIN_CLASSIFY && row >= 0) {
        int64_t k = 0;
        const SnCell cell = cell_of(s, s->column.label, row);
        if (!c->is_regression)
            SN_TRY(sn_collate_class(c, cell, s->what, row, &k, err));
        target = c->is_regression ? sn_cell_number(cell) : (double)k;
    }
    if (!sn_vec_push(memory, &o->target, target) || !sn_vec_push(memory, &o->start, (int64_t)o->ids.n))
        return no_memory(s, err);
    o->n++;
    return SN_OK;
}

static void forget(SnTrainRows *r)
{
    r->n = 0;
    r->start.n = r->ids.n = r->types.n = r->labels.n = r->target.n = r->target_end.n = 0;
}

/* The rows to s->now, one after the other. */
static SnStatus read_rows(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err)
{
    sn_jobs_beside(s->c->ctx, NULL, NULL);
    forget(&s->now);
    if (!sn_vec_push(sn_allocator(s->c->ctx), &s->now.start, 0))
        return no_memory(s, err);
    if (!is_ahead(s, row, n))
        SN_TRY(begin(s, row, n, err));
    while (!go(s, 0))
        continue;
    const SnTextAhead *bad = s->ahead.st != SN_OK ? &s->ahead : &s->target;
    if (bad->st != SN_OK) {
        if (err)
            *err = bad->err;
        return bad->st;
    }
    for (int64_t i = 0; i < n; i++)
        SN_TRY(add_row(s, i, row[i], err));
    s->row.n = 0;
    return SN_OK;
}

static SnStatus read_blocks(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err)
{
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    const size_t most = (size_t)s->c->most;
    forget(&s->now);
    if (!sn_vec_reserve(memory, &s->now.ids, (size_t)n * most) ||
        !sn_vec_reserve(memory, &s->now.start, (size_t)n + 1))
        return no_memory(s, err);
    s->now.start.at[s->now.start.n++] = 0;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] >= 0) {
            memcpy(s->now.ids.at + s->now.ids.n, s->tokens.at + (size_t)row[i] * most,
                   most * sizeof(int32_t));
            s->now.ids.n += most;
        }
        s->now.start.at[s->now.start.n++] = (int64_t)s->now.ids.n;
    }
    s->now.n = n;
    return SN_OK;
}

static SnStatus read_windows(SnTrainSource *s, const int64_t *row, int64_t n, SnError *err)
{
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    const SnTrainRows *all = &s->windows;
    SnTrainRows *o = &s->now;
    forget(o);
    bool ok = sn_vec_push(memory, &o->start, 0);
    for (int64_t i = 0; i < n; i++) {
        const bool is_none = row[i] < 0;
        for (int64_t k = is_none ? 0 : all->start.at[row[i]]; !is_none && k < all->start.at[row[i] + 1]; k++)
            ok = ok && sn_vec_push(memory, &o->ids, all->ids.at[k]) &&
                 (!all->types.n || sn_vec_push(memory, &o->types, all->types.at[k]));
        for (int side = 0; side < 2; side++)
            ok = ok && sn_vec_push(memory, &o->labels, is_none ? 0 : all->labels.at[2 * row[i] + side]);
        ok = ok && sn_vec_push(memory, &o->start, (int64_t)o->ids.n);
    }
    o->n = n;
    return ok ? SN_OK : no_memory(s, err);
}

/* For a batch of the longest rows: none takes memory while steps run. */
static SnStatus make_room(SnTrainSource *s, int64_t n, SnError *err)
{
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    SnTrainRows *o = &s->now;
    size_t most = 0;
    forget(o);
    if (!sn_mul_size((size_t)n, (size_t)(s->c->most > s->c->most_target ? s->c->most : s->c->most_target),
                     &most) ||
        !sn_vec_reserve(memory, &o->ids, most) ||
        (s->c->gives_types && !sn_vec_reserve(memory, &o->types, most)) ||
        !sn_vec_reserve(memory, &o->labels, most) || !sn_vec_reserve(memory, &o->start, (size_t)n + 1) ||
        !sn_vec_reserve(memory, &o->target, (size_t)n) || !sn_vec_reserve(memory, &o->target_end, (size_t)n))
        return no_memory(s, err);
    return SN_OK;
}

SnStatus sn_train_source_batch(SnTrainSource *s, const int64_t *row, int64_t n, int64_t times, uint64_t seed,
                               SnArena *arena, SnNamedTensor in[SN_TRAIN_INPUTS], size_t *nin, SnError *err)
{
    int64_t *own = sn_arena_array(arena, (size_t)n + 1, sizeof *own);
    if (s->c->task == SN_TRAIN_IMAGE)
        return sn_images_batch(s->c, s->d, &s->column, row, n, times, arena, in, nin, err);
    if (!own)
        return no_memory(s, err);
    SN_TRY(make_room(s, n, err));
    SN_TRY(s->tokens.n    ? read_blocks(s, row, n, err)
           : s->windows.n ? read_windows(s, row, n, err)
                          : read_rows(s, row, n, err));
    for (int64_t i = 0; i < n; i++)
        own[i] = row[i] < 0 ? -1 : i;
    return sn_collate_batch(s->c, &s->now, own, n, times, seed, arena, in, nin, err);
}

/* ---- before the first batch ---- */

static SnStatus check_row(SnTrainSource *s, int64_t row, SnError *err)
{
    const SnCollate *c = s->c;
    SnCell cell = cell_of(s, s->column.label, row), word = {0};
    int64_t k = 0;
    if (c->is_regression) {
        SN_CHECK(isfinite(sn_cell_number(cell)), err, SN_EINVAL, "%s: row %lld has no label", s->what,
                 (long long)row);
        return SN_OK;
    }
    if (c->task == SN_TRAIN_CLASSIFY || c->task == SN_TRAIN_IMAGE)
        return sn_collate_class(c, cell, s->what, row, &k, err);
    const int64_t nword = sn_cell_list(cell_of(s, s->column.text, row), &word), n = sn_cell_list(cell, &cell);
    SN_CHECK(n == nword, err, SN_EINVAL, "%s: row %lld has %lld words and %lld labels", s->what,
             (long long)row, (long long)nword, (long long)n);
    for (int64_t i = 0; i < n; i++, cell.at++)
        SN_TRY(sn_collate_class(c, cell, s->what, row, &k, err));
    return SN_OK;
}

/* Tokenizes all rows for their lengths or, where they are packed, for their tokens: what is left behind the
 * last block is dropped. */
static SnStatus read_all(SnTrainSource *s, SnError *err)
{
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    int64_t row[CHUNK];
    for (int64_t at = 0; at < s->n; at += CHUNK) {
        const int64_t n = s->n - at < CHUNK ? s->n - at : CHUNK;
        for (int64_t i = 0; i < n; i++)
            row[i] = at + i;
        SN_TRY(read_rows(s, row, n, err));
        const size_t more = packs(s) ? s->now.ids.n : 0;
        if (!sn_vec_reserve(memory, &s->tokens, more))
            return no_memory(s, err);
        if (more)
            memcpy(s->tokens.at + s->tokens.n, s->now.ids.at, more * sizeof *s->tokens.at);
        s->tokens.n += more;
        for (int64_t i = 0; !packs(s) && i < n; i++)
            if (!sn_vec_push(memory, &s->length, (int32_t)(s->now.start.at[i + 1] - s->now.start.at[i])))
                return no_memory(s, err);
        if ((at / CHUNK) % (SN_TABLE_PART / CHUNK) == 0)
            sn_table_forget(s->d);
    }
    if (!packs(s))
        return SN_OK;
    s->n = (int64_t)s->tokens.n / s->c->most;
    SN_CHECK(s->n > 0, err, SN_EINVAL, "%s: %zu tokens are less than a block of %lld", s->what, s->tokens.n,
             (long long)s->c->most);
    return SN_OK;
}

SnStatus sn_train_source_open(SnTrainSource *s, SnCollate *c, SnDataset *d, const char *what, bool is_scored,
                              SnError *err)
{
    *s = (SnTrainSource){.c = c, .d = sn_dataset_retain(d), .what = what, .n = sn_dataset_rows(d)};
    sn_arena_init(&s->arena, sn_allocator(c->ctx));
    SN_CHECK(s->n > 0, err, SN_EINVAL, "%s: no rows", what);
    SN_TRY(sn_collate_columns(c, d, &s->column, err));
    if (c->task == SN_TRAIN_IMAGE)
        SN_TRY(sn_images_shape(c, d, (uint32_t)s->column.text, what, err));
    if (c->task == SN_TRAIN_ANSWER) {
        SN_TRY(sn_answers_read(c, d, &s->column, what, is_scored, &s->windows, err));
        s->n = s->windows.n;
        return SN_OK;
    }
    for (int64_t i = 0; s->column.label >= 0 && i < s->n; i++) {
        SN_TRY(check_row(s, i, err));
        if (i % SN_TABLE_PART == 0)
            sn_table_forget(d);
    }
    return packs(s) ? read_all(s, err) : SN_OK;
}

SnStatus sn_train_source_measure(SnTrainSource *s, SnError *err)
{
    return packs(s) || s->windows.n || s->c->task == SN_TRAIN_IMAGE ? SN_OK : read_all(s, err);
}

int64_t sn_train_source_length(const SnTrainSource *s, int64_t row)
{
    if (s->windows.n)
        return s->windows.start.at[row + 1] - s->windows.start.at[row];
    return s->length.n ? s->length.at[row] : s->c->most;
}

void sn_train_source_close(SnTrainSource *s)
{
    if (!s->c)
        return;
    const SnAllocator *memory = sn_allocator(s->c->ctx);
    sn_jobs_beside(s->c->ctx, NULL, NULL);
    sn_text_ahead_clear(&s->ahead);
    sn_text_ahead_clear(&s->target);
    sn_train_rows_clear(&s->now, memory);
    sn_train_rows_clear(&s->windows, memory);
    sn_vec_clear(memory, &s->length);
    sn_vec_clear(memory, &s->tokens);
    sn_vec_clear(memory, &s->row);
    sn_arena_clear(&s->arena);
    sn_dataset_release(s->d);
    *s = (SnTrainSource){.n = 0};
}
