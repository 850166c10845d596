/* typed_tag.c -- results of typed contexts that are words: tags of parts of a text, words for a mask.
 *
 * Spans are grouped as token-classification pipelines of Transformers do with aggregation_strategy "simple":
 * neighbours of one tag, a B- begins a new one, "O" is left out; the score is the mean of the tokens'. */
#include "ops/host/typed_text.h"

/* ---- texts ---- */

size_t sn_typed_byte(SnTypedCursor *c, int64_t character)
{
    if (character < c->character)
        *c = (SnTypedCursor){.text = c->text};
    for (; c->character < character && c->byte < c->text.n; c->character++)
        c->byte += sn_utf8_size(sn_bytes(c->text.at + c->byte, c->text.n - c->byte));
    return c->byte;
}

SnStatus sn_typed_row(SnTyped *t, SnTypedKind kind, const char *output, int64_t row, SnTypedRow *out)
{
    SnView v = {0};
    SN_TRY(sn_typed_find(t, kind, output, SN_I32, true, 1, &v));
    SN_CHECK(row < v.dims[0], &t->err, SN_EFORMAT, "output %s has %lld rows", output, (long long)v.dims[0]);
    *out = (SnTypedRow){v.len[row] ? (const int32_t *)v.data + v.start[row] : NULL, v.len[row]};
    return SN_OK;
}

/* ---- tags ---- */

typedef struct Tagged { /* what a text's tokens are */
    const int32_t *label, *offset, *special;
    const float *score;
    int64_t n;
    const char *const *name;
} Tagged;

static SnStatus find_tags(SnTyped *t, Tagged *out)
{
    SnView label = {0}, score = {0};
    SnTypedRow offsets = {0}, special = {0};
    SN_TRY(sn_typed_find(t, SN_TYPED_TAG, "label", SN_I32, false, 2, &label));
    SN_TRY(sn_typed_rows(t, SN_TYPED_TAG, "score", SN_F32, label.dims[1], &score));
    SN_TRY(sn_typed_row(t, SN_TYPED_TAG, "offsets", 0, &offsets));
    SN_TRY(sn_typed_row(t, SN_TYPED_TAG, "special", 0, &special));
    SN_CHECK(offsets.n == 2 * special.n && special.n <= label.dims[1], &t->err, SN_EFORMAT,
             "%lld labels for %lld tokens", (long long)label.dims[1], (long long)special.n);
    *out = (Tagged){.label = label.data,
                    .offset = offsets.at,
                    .special = special.at,
                    .score = score.data,
                    .n = special.n,
                    .name = t->desc->label};
    for (int64_t i = 0; i < out->n; i++)
        SN_CHECK(out->label[i] >= 0 && (uint32_t)out->label[i] < t->desc->width, &t->err, SN_EFORMAT,
                 "label %d of %u", out->label[i], t->desc->width);
    return SN_OK;
}

static bool has_mark(const char *label, char mark)
{
    return label[0] == mark && label[1] == '-';
}

/* Does a token of the second label go on with what one of the first began? */
static bool goes_on(const char *first, const char *second)
{
    const size_t a = has_mark(first, 'B') || has_mark(first, 'I') ? 2 : 0, b = has_mark(second, 'I') ? 2 : 0;
    return !has_mark(second, 'B') && strcmp(first + a, second + b) == 0;
}

static const char *group_name(const char *label)
{
    const char *dash = strchr(label, '-');
    return dash ? dash + 1 : label;
}

/* The next token that is a part of the text. */
static int64_t next_token(const Tagged *g, int64_t i)
{
    while (i < g->n && g->special[i])
        i++;
    return i;
}

/* The group that begins with token i; returns the token after it. */
static int64_t read_group(const Tagged *g, int64_t i, SnTypedCursor *c, SnTypedSpan *out)
{
    const char *name = g->name[g->label[i]];
    float sum = g->score[i];
    int64_t count = 1, last = i;
    int64_t next = next_token(g, i + 1);
    for (; next < g->n && goes_on(g->name[g->label[last]], g->name[g->label[next]]);
         next = next_token(g, next + 1)) {
        sum += g->score[next];
        count++;
        last = next;
    }
    *out =
        (SnTypedSpan){.name = group_name(name), .score = sum / (float)count, .label = (uint32_t)g->label[i]};
    out->begin = sn_typed_byte(c, g->offset[2 * i]);
    out->end = sn_typed_byte(c, g->offset[2 * last + 1]);
    return next;
}

SnStatus sn_typed_spans(SnTyped *t, SnTypedSpan *out, size_t max, size_t *count)
{
    Tagged g = {0};
    size_t n = 0;
    if (!out && max)
        return sn_typed_fail(t, SN_EINVAL, "no place for %zu spans", max);
    SN_TRY(find_tags(t, &g));
    SnTypedCursor c = {.text = sn_bytes(t->text[0].at, (size_t)t->text[0].n)};
    for (int64_t i = next_token(&g, 0); i < g.n;) {
        SnTypedSpan span;
        i = read_group(&g, i, &c, &span);
        if (strcmp(span.name, "O") == 0)
            continue;
        if (n < max)
            out[n] = span;
        n++;
    }
    if (count)
        *count = n;
    return SN_OK;
}

SnStatus sn_typed_tag(SnTyped *t, const char *utf8, size_t n, SnTypedSpan *out, size_t max, size_t *count)
{
    SN_TRY(sn_typed_begin(t, utf8, n));
    SN_TRY(sn_typed_run(t));
    return sn_typed_spans(t, out, max, count);
}

/* ---- words for a mask ---- */

SnBytes sn_typed_tokenizer(const SnTyped *t)
{
    const SnImage *m = t->program->image;
    const SnObjectRow *row = SN_ROWS(m, SnObjectRow, object);
    for (uint32_t i = 0; i < m->object.count; i++)
        if (strcmp(sn_image_string(m, row[i].class_name), "tokenizer") == 0)
            return sn_bytes((const uint8_t *)m + row[i].offset, row[i].size);
    return (SnBytes){0};
}

SnStatus sn_typed_words(SnTyped *t, SnTypedWord *out, size_t max, size_t *count)
{
    SnView ids = {0}, scores = {0}, masks = {0};
    const SnBytes table = sn_typed_tokenizer(t);
    if (!out && max)
        return sn_typed_fail(t, SN_EINVAL, "no place for %zu words", max);
    SN_TRY(sn_typed_rows(t, SN_TYPED_FILL, "ids", SN_I32, t->desc->width, &ids));
    SN_TRY(sn_typed_rows(t, SN_TYPED_FILL, "scores", SN_F32, t->desc->width, &scores));
    SN_TRY(sn_typed_find(t, SN_TYPED_FILL, "masks", SN_I64, false, 1, &masks));
    SN_CHECK(table.n, &t->err, SN_EFORMAT, "this model has no tokenizer");
    SN_CHECK(*(const int64_t *)masks.data > 0, &t->err, SN_EINVAL, "there is no mask in the text");
    for (size_t i = 0; i < max && i < t->desc->width; i++) {
        const int32_t id = ((const int32_t *)ids.data)[i];
        const SnBytes word = id >= 0 ? sn_tokenizer_text(table, (uint32_t)id) : (SnBytes){0};
        out[i] = (SnTypedWord){.text = (const char *)word.at,
                               .size = word.n,
                               .score = ((const float *)scores.data)[i],
                               .id = id};
        if (!word.at)
            out[i].text = "";
    }
    if (count)
        *count = t->desc->width;
    return SN_OK;
}

SnStatus sn_typed_fill(SnTyped *t, const char *utf8, size_t n, SnTypedWord *out, size_t max, size_t *count)
{
    SN_TRY(sn_typed_begin(t, utf8, n));
    SN_TRY(sn_typed_run(t));
    return sn_typed_words(t, out, max, count);
}
