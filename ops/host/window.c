/* window.c -- tok_window: cuts texts to a length and puts the template around them.
 *
 * A text that is too long is cut into parts that overlap by `stride`; the first one is the main part. Of a
 * pair both texts may be cut, and each part of one meets each part of the other. A window is one part of
 * each, in the order in which the reference lists its encoding and the overflowing ones. */
#include "ops/host/tok.h"

enum { IDS, TYPE, SPECIAL, OFFSET, WORD_ID, SEQUENCE, ROW, COUNT }; /* results */
enum { MAX_LENGTH, STRIDE, STRATEGY, LEFT, WITH_SPECIAL, WINDOWS, ATTR_ADDED };

typedef struct State {
    int64_t row;
    int64_t next;    /* window of the row */
    int64_t nwindow; /* written */
    int64_t count;   /* of the rows before, also those there was no room for */
    int64_t ntoken;
} State;

_Static_assert(sizeof(State) <= SN_TOK_WINDOW_SCRATCH, "SN_TOK_WINDOW_SCRATCH");

typedef struct Text {
    const int32_t *ids, *offset, *word_id;
    bool has_places;
    int64_t n;
    int64_t most; /* tokens in a part */
    int64_t nparts;
} Text;

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokClock clock;
    const SnTokPiece *piece;
    uint32_t npiece;
    int64_t ntext;      /* texts in a window: 1 or 2 */
    int64_t max_tokens; /* of texts in a window; INT64_MAX: no bound */
    int64_t stride;
    bool is_left, with_special;
    Text text[2];
} Op;

static const SnTokPiece joined[2] = {{.kind = SN_TOK_FIRST}, {.kind = SN_TOK_SECOND, .type_id = 1}};

/* ---- cutting ------------------------------------------------------------------------------------------ */

static SnStatus set_parts(const Op *op, Text *x, int64_t most, SnError *err)
{
    x->most = most;
    x->nparts = 1;
    if (most >= x->n)
        return SN_OK;
    if (most == 0) {
        x->nparts = 2;
        return SN_OK;
    }
    SN_CHECK(op->stride < most, err, SN_EINVAL,
             "truncation: stride %" PRId64 " is not less than the %" PRId64 " tokens left for a text",
             op->stride, most);
    const int64_t step = most - op->stride;
    x->nparts = 1 + (x->n - most + step - 1) / step;
    return SN_OK;
}

/* Tokens [*begin, *end) are part i. Where no token is allowed part 0 is empty and part 1 is the whole text.
 */
static void part_range(const Op *op, const Text *x, int64_t i, int64_t *begin, int64_t *end)
{
    *begin = 0;
    *end = x->most == 0 && i == 0 ? 0 : x->n;
    if (x->nparts == 1 || x->most == 0)
        return;
    const int64_t moved = i * (x->most - op->stride);
    if (op->is_left) {
        *end = x->n - moved;
        *begin = *end > x->most ? *end - x->most : 0;
    } else {
        *begin = moved;
        *end = x->n - moved > x->most ? moved + x->most : x->n;
    }
}

static SnStatus set_longest_first(Op *op, SnError *err)
{
    if (op->ntext == 1)
        return set_parts(op, &op->text[0], op->max_tokens, err);
    const int64_t max = op->max_tokens;
    const bool swap = op->text[0].n > op->text[1].n;
    int64_t shorter = op->text[swap].n, longer = shorter;
    if (shorter <= max)
        longer = max - shorter > shorter ? max - shorter : shorter;
    if (shorter + longer > max) {
        shorter = max / 2;
        longer = shorter + max % 2;
    }
    SN_TRY(set_parts(op, &op->text[0], swap ? longer : shorter, err));
    return set_parts(op, &op->text[1], swap ? shorter : longer, err);
}

static SnStatus set_all_parts(Op *op, SnError *err)
{
    const int64_t n[2] = {op->text[0].n, op->ntext == 2 ? op->text[1].n : 0};
    for (int64_t i = 0; i < op->ntext; i++)
        SN_TRY(set_parts(op, &op->text[i], op->max_tokens == 0 ? 0 : n[i], err));
    if (op->max_tokens == 0 || n[0] + n[1] <= op->max_tokens)
        return SN_OK;
    const int64_t strategy = op->h->attr[STRATEGY].i, excess = n[0] + n[1] - op->max_tokens;
    if (strategy == SN_TOK_LONGEST_FIRST)
        return set_longest_first(op, err);
    const int64_t which = strategy == SN_TOK_ONLY_SECOND;
    SN_CHECK(which < op->ntext, err, SN_EINVAL, "truncation of the second text, but there is only one");
    SN_CHECK(n[which] > excess, err, SN_EINVAL,
             "truncation: a text of %" PRId64 " tokens is too short to lose %" PRId64, n[which], excess);
    return set_parts(op, &op->text[which], n[which] - excess, err);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static const int32_t nowhere[2] = {0, 0};

static void put_token(const SnHostCall *h, int64_t at, int32_t id, uint32_t type, const int32_t *offset,
                      int32_t word_id)
{
    ((int32_t *)h->out[IDS].data)[at] = id;
    ((int32_t *)h->out[TYPE].data)[at] = (int32_t)type;
    ((int32_t *)h->out[SPECIAL].data)[at] = offset == NULL;
    memcpy((int32_t *)h->out[OFFSET].data + 2 * at, offset != NULL ? offset : nowhere, sizeof nowhere);
    ((int32_t *)h->out[WORD_ID].data)[at] = word_id;
    ((int32_t *)h->out[SEQUENCE].data)[at] = -1;
}

/* Parts keep the type they were born with where the reference forgets to give them the template's. */
static uint32_t part_type(const Op *op, const SnTokPiece *p, int64_t part)
{
    if (part == 0)
        return p->type_id;
    return (op->t->flags & SN_TOK_OVERFLOW_ZEROS) && op->with_special ? 0 : p->kind;
}

void sn_tok_trim(const SnTokTable *t, SnBytes text, bool is_first, int32_t *begin, int32_t *end)
{
    enum { SPACE_SIGN = 0x120 };
    int32_t before = 0, after = 0;
    bool is_before = true;
    for (size_t i = 0, size; i < text.n; i += size) {
        size = sn_tok_char_size(text.at + i, text.n - i);
        const uint32_t cp = sn_tok_code_point(text.at + i, size);
        const bool is_space = cp == SPACE_SIGN || (sn_code_class(cp)->flags & SN_CP_SPACE);
        is_before &= is_space;
        before += is_before;
        after = is_space ? after + 1 : 0;
    }
    for (uint32_t i = 0; i < t->ntrim; i++) {
        const bool is_kept = before == 1 && (is_first || *begin == 0) && (t->trim_prefix >> i & 1);
        const int32_t less = is_kept ? 0 : before;
        *begin = *end - *begin > less ? *begin + less : *end;
        if (*end >= after)
            *end = *end - *begin > after ? *end - after : *begin;
    }
}

void sn_tok_trim_own(const SnTokTable *t, SnBytes text, int32_t *begin, int32_t *end)
{
    int32_t first = *begin, behind = *end;
    if (t->ntrim == 0)
        return;
    sn_tok_trim(t, text, true, &first, &behind);
    sn_tok_trim(t, text, false, begin, end);
    const bool differs = first != *begin || behind != *end;
    *begin = ~(behind < *end ? *end + 1 : *begin);
    *end = differs ? ~*end : *end;
}

/* The offsets of token i of a text, the first one of its part or not. */
static void put_offset(const Op *op, const Text *x, int64_t i, bool is_first, int32_t out[2])
{
    const SnTokTable *t = op->t;
    memcpy(out, x->has_places ? x->offset + 2 * i : nowhere, 2 * sizeof *out);
    if (t->ntrim == 0 || !x->has_places)
        return;
    if (out[0] >= 0) {
        sn_tok_trim(t, sn_tokenizer_token(sn_bytes(t, t->size), (uint32_t)x->ids[i]), is_first, &out[0],
                    &out[1]);
        return;
    }
    int32_t spaces = 0;
    for (uint32_t k = 0; is_first && out[1] < 0 && k < t->ntrim; k++)
        spaces += (int32_t)(t->trim_prefix >> k & 1);
    out[0] = ~out[0];
    out[1] = out[1] < 0 ? ~out[1] : out[1];
    if (out[0] > out[1])
        out[0] = out[1] -= spaces;
    else
        out[0] -= spaces;
}

static int64_t put_part(const Op *op, const SnTokPiece *p, int64_t part, int64_t at)
{
    const Text *x = &op->text[p->kind];
    int64_t begin, end;
    part_range(op, x, part, &begin, &end);
    const uint32_t type = part_type(op, p, part);
    for (int64_t i = begin; i < end; i++) {
        int32_t offset[2];
        put_offset(op, x, i, i == begin, offset);
        put_token(op->h, at + i - begin, x->ids[i], type, offset, x->has_places ? x->word_id[i] : -1);
    }
    return end - begin;
}

/* The reference knows the first text's range, the second's, both or none, and where it does not know the
 * first one's it takes all tokens for the first text. */
static void put_sequence(const Op *op, const int64_t part[2], const int64_t range[2][2], int64_t begin,
                         int64_t end)
{
    int32_t *sequence = op->h->out[SEQUENCE].data;
    bool known[2];
    for (int i = 0; i < 2; i++)
        known[i] =
            range[i][1] >= 0 && (!(op->t->flags & SN_TOK_NO_TEMPLATE) || (op->ntext == 2 && part[i] == 0));
    for (int64_t i = known[0] ? range[0][0] : begin; i < (known[0] ? range[0][1] : end); i++)
        sequence[i] = 0;
    for (int64_t i = range[1][0]; known[0] && known[1] && i < range[1][1]; i++)
        sequence[i] = 1;
}

static int64_t window_size(const Op *op, const int64_t part[2])
{
    int64_t n = 0;
    for (uint32_t i = 0; i < op->npiece; i++) {
        int64_t begin = 0, end = op->with_special;
        if (op->piece[i].kind != SN_TOK_TOKEN)
            part_range(op, &op->text[op->piece[i].kind], part[op->piece[i].kind], &begin, &end);
        n += end - begin;
    }
    return n;
}

static SnStatus put_window(Op *op, State *st, const int64_t part[2], SnError *err)
{
    const SnHostCall *h = op->h;
    const int64_t begin = st->ntoken, n = window_size(op, part);
    for (int i = IDS; i <= SEQUENCE; i++) {
        const int64_t per = i == OFFSET ? 2 : 1;
        SN_TRY(sn_tok_fits(&h->out[i], per * begin, per * n, "a list of windows", err));
        sn_tok_end_row(&h->out[i], st->nwindow, per * begin, per * (begin + n));
    }
    int64_t range[2][2] = {{0, -1}, {0, -1}}, at = begin;
    for (uint32_t i = 0; i < op->npiece; i++) {
        const SnTokPiece *p = &op->piece[i];
        if (p->kind == SN_TOK_TOKEN) {
            if (op->with_special)
                put_token(h, at++, (int32_t)p->id, p->type_id, NULL, -1);
            continue;
        }
        range[p->kind][0] = at;
        at += put_part(op, p, part[p->kind], at);
        range[p->kind][1] = at;
    }
    put_sequence(op, part, (const int64_t(*)[2])range, begin, at);
    ((int32_t *)h->out[ROW].data)[st->nwindow++] = (int32_t)st->row;
    st->ntoken = at;
    return SN_OK;
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static SnStatus load_text(Op *op, int64_t row, int which, SnError *err)
{
    const SnView *in = op->h->in + 1 + 3 * which;
    int64_t at[3], n[3];
    for (int i = 0; i < 3; i++)
        SN_TRY(sn_tok_row(&in[i], row, &at[i], &n[i], err));
    const bool has_places = n[1] + n[2] > 0;
    SN_CHECK(!has_places || (n[1] == 2 * n[0] && n[2] == n[0]), err, SN_ESHAPE,
             "tok_window: row %" PRId64 " has %" PRId64 " ids, but %" PRId64 " offsets and %" PRId64
             " word ids",
             row, n[0], n[1] / 2, n[2]);
    op->text[which] = (Text){.ids = sn_tok_i32(&in[0], at[0]),
                             .offset = sn_tok_i32(&in[1], at[1]),
                             .word_id = sn_tok_i32(&in[2], at[2]),
                             .has_places = has_places,
                             .n = n[0]};
    return SN_OK;
}

static const Text *text_in_template(const Op *op, int nth)
{
    static const Text none = {.nparts = 1};
    for (uint32_t i = 0; i < op->npiece; i++)
        if (op->piece[i].kind != SN_TOK_TOKEN && nth-- == 0)
            return &op->text[op->piece[i].kind];
    return &none;
}

/* Puts the windows of the row that are left. */
static SnStatus run_row(Op *op, State *st, SnError *err)
{
    const Text *outer = text_in_template(op, 0), *inner = text_in_template(op, 1);
    const bool only_main = op->h->attr[WINDOWS].i <= 0;
    const int64_t nouter = only_main ? 1 : outer->nparts, ninner = only_main ? 1 : inner->nparts;
    int64_t all, count;
    SN_CHECK(sn_mul_i64(nouter, ninner, &all) && sn_add_i64(st->count, all, &count), err, SN_ESHAPE,
             "tok_window: too many windows");
    while (st->next < all && st->nwindow < op->h->out[ROW].dims[0]) {
        /* (0, 0), then (i, 0) (i, 1) ... for each i > 0, then (0, 1) (0, 2) ... */
        const int64_t k = st->next - 1, rest = k - (nouter - 1) * ninner;
        const int64_t i = k < 0 || rest >= 0 ? 0 : 1 + k / ninner, j = k < 0       ? 0
                                                                       : rest >= 0 ? rest + 1
                                                                                   : k % ninner;
        const bool is_swapped = outer == &op->text[1];
        const int64_t part[2] = {is_swapped ? j : i, is_swapped ? i : j}, before = st->ntoken;
        SN_TRY(put_window(op, st, part, err));
        st->next++;
        if (sn_tok_due(&op->clock, 16 * (size_t)(st->ntoken - before + 1)))
            return SN_AGAIN;
    }
    st->count = count;
    st->next = 0;
    return SN_OK;
}

/* The number of template tokens is taken off the length even where that leaves less than nothing, which the
 * reference then takes for no bound at all. */
static SnStatus init(Op *op, SnError *err)
{
    const SnHostCall *h = op->h;
    const SnTokTable *t = op->t;
    const int64_t max_length = h->attr[MAX_LENGTH].i;
    const bool is_pair = op->ntext == 2;
    op->stride = h->attr[STRIDE].i;
    op->is_left = h->attr[LEFT].i != 0;
    op->with_special = h->attr[WITH_SPECIAL].i != 0;
    op->piece = is_pair ? sn_tok_PAIR(t) : sn_tok_SINGLE(t);
    op->npiece = sn_tok_count(t, is_pair ? SN_TOK_PAIR : SN_TOK_SINGLE);
    if (t->flags & SN_TOK_NO_TEMPLATE) {
        op->piece = joined;
        op->npiece = (uint32_t)op->ntext;
    }
    SN_CHECK(op->stride >= 0 && h->attr[STRATEGY].i >= SN_TOK_LONGEST_FIRST &&
                 h->attr[STRATEGY].i <= SN_TOK_ONLY_SECOND,
             err, SN_EINVAL, "truncation: stride %" PRId64 ", strategy %" PRId64, op->stride,
             h->attr[STRATEGY].i);
    const int64_t single = max_length - (int64_t)t->facts.added_single;
    SN_CHECK(max_length < 0 || single < 0 || single >= op->stride, err, SN_EINVAL,
             "truncation: stride %" PRId64 " is greater than the %" PRId64 " tokens that %" PRId64
             " less %" PRIu32 " special tokens leave",
             op->stride, single, max_length, t->facts.added_single);
    const uint32_t nadded = is_pair ? t->facts.added_pair : t->facts.added_single;
    op->max_tokens = max_length - (op->with_special ? (int64_t)nadded : 0);
    if (op->max_tokens < 0)
        op->max_tokens = INT64_MAX;
    return SN_OK;
}

SnStatus sn_tok_window(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    Op op = {
        .h = h, .t = sn_tok_table(h), .clock = {.deadline_ns = h->deadline_ns}, .ntext = h->nin > 4 ? 2 : 1};
    SN_TRY(init(&op, err));
    for (; st->row < h->in[1].dims[0]; st->row++) {
        for (int i = 0; i < op.ntext; i++)
            SN_TRY(load_text(&op, st->row, i, err));
        SN_TRY(set_all_parts(&op, err));
        SN_TRY(run_row(&op, st, err));
    }
    for (int64_t w = st->nwindow; w < h->out[ROW].dims[0]; w++) {
        ((int32_t *)h->out[ROW].data)[w] = -1;
        for (int i = IDS; i <= SEQUENCE; i++)
            sn_tok_end_row(&h->out[i], w, 0, 0);
    }
    *(int64_t *)h->out[COUNT].data = st->count;
    return SN_OK;
}
