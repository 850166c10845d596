/* detokenize.c -- tok_decode: ids to text.
 *
 * Where a token's text depends on nothing beside it, the table has it spelled: a row is copied together.
 * Where tokens are bytes, what was copied is looked at as UTF-8; bytes that fell back are, as a run. Other
 * decoders get the row as a list. */
#include "ops/host/decode.h"

enum { BATCH = 2048, COPY = SN_TOK_SPELL_SLACK };

typedef struct State {
    int64_t row;
    size_t id; /* of the row */
    size_t ntext, row_text;
    size_t run; /* bytes that are to be looked at begin here */
    bool in_run, has_begun;
} State;

_Static_assert(sizeof(State) <= 128, "SN_TOK_DECODE_SCRATCH");

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    State *st;
    SnTokSpelling spelling;
    const uint32_t *at;
    bool is_bytes;      /* all tokens are */
    uint32_t hidden;    /* flags of tokens that are left out */
    const int32_t *ids; /* of the row */
    size_t n;
    SnTokDecodeWork work;
    SnTokClock clock;
} Op;

static SnStatus put(const Op *op, SnBytes s, SnError *err)
{
    const SnView *out = &op->h->out[0];
    SN_TRY(sn_tok_fits(out, (int64_t)op->st->ntext, (int64_t)s.n, "text", err));
    if (s.n > 0)
        memcpy((uint8_t *)out->data + op->st->ntext, s.at, s.n);
    op->st->ntext += s.n;
    return SN_OK;
}

/* ---- rows of spelled tokens --------------------------------------------------------------------------- */

/* Writes bytes that are not well-formed again: each that fell back becomes an U+FFFD, of others each
 * ill-formed part, but for one that may go on. */
static SnStatus repair(const Op *op, bool is_end, SnError *err)
{
    State *st = op->st;
    SnBytes rest = sn_bytes((const uint8_t *)op->h->out[0].data + st->run, st->ntext - st->run);
    SN_CHECK(rest.n <= op->work.a.room, err, SN_ESHAPE, "tok_decode: %zu bytes without a character", rest.n);
    rest.at = memcpy(op->work.a.text, rest.at, rest.n);
    for (st->ntext = st->run; rest.n > 0; st->run = st->ntext) {
        const size_t good = op->is_bytes ? sn_utf8_prefix(rest) : 0;
        SN_TRY(put(op, sn_bytes(rest.at, good), err));
        rest = sn_bytes(rest.at + good, rest.n - good);
        st->run = st->ntext;
        const size_t bad = !op->is_bytes ? 1 : rest.n > 0 ? sn_utf8_size(rest) : 0;
        if (rest.n == 0 || (!is_end && bad == rest.n))
            return put(op, rest, err);
        SN_TRY(put(op, sn_bytes("\xEF\xBF\xBD", 3), err));
        rest = sn_bytes(rest.at + bad, rest.n - bad);
    }
    return SN_OK;
}

/* Looks at the bytes that came, up to a character that may go on. */
static SnStatus check_bytes(const Op *op, bool is_end, SnError *err)
{
    State *st = op->st;
    const uint8_t *text = (const uint8_t *)op->h->out[0].data;
    if (st->ntext > st->run)
        st->run += sn_utf8_prefix(sn_bytes(text + st->run, st->ntext - st->run));
    const SnBytes rest = sn_bytes(text + st->run, st->ntext - st->run);
    const bool goes_on = rest.n > 0 && !is_end && sn_utf8_size(rest) == rest.n;
    return rest.n == 0 || goes_on ? SN_OK : repair(op, is_end, err);
}

static SnStatus end_run(const Op *op, SnError *err)
{
    State *st = op->st;
    const uint8_t *run = (const uint8_t *)op->h->out[0].data + st->run;
    st->in_run = false;
    return sn_utf8_valid(sn_bytes(run, st->ntext - st->run)) ? SN_OK : repair(op, true, err);
}

/* SN_TOK_NONE: an id that is left out. */
static SnStatus token_at(const Op *op, size_t i, uint32_t *id, SnError *err)
{
    SN_CHECK(op->ids[i] >= 0, err, SN_EINVAL, "tok_decode: id %" PRId32 " at %zu of row %" PRId64, op->ids[i],
             i, op->st->row);
    *id = (uint32_t)op->ids[i];
    if (*id >= op->t->facts.vocab_size || (op->at[*id] & op->hidden))
        *id = SN_TOK_NONE;
    return SN_OK;
}

/* The first or last token of a row, where that is spelled in another way. */
static SnStatus put_alone(Op *op, uint32_t id, SnError *err)
{
    bool is_part;
    const SnBytes token = sn_tokenizer_text(sn_bytes(op->t, op->t->size), id);
    const SnBytes s = sn_tok_spell(op->t, &op->spelling, &op->work, token, SN_TOK_ALONE, &is_part);
    SN_CHECK(s.at != NULL, err, SN_ESHAPE, "tok_decode: token %" PRIu32 " needs more than its bound", id);
    return put(op, s, err);
}

/* The token at st->id, one that is not simply copied, or where a run begins or ends. */
static SnStatus put_one(Op *op, SnError *err)
{
    State *st = op->st;
    uint32_t id = SN_TOK_NONE;
    SN_TRY(token_at(op, st->id, &id, err));
    if (id == SN_TOK_NONE) {
        st->id++;
        return SN_OK;
    }
    const bool is_first = !st->has_begun, is_part = op->at[id] & SN_TOK_SPELL_PART;
    const uint32_t begin = op->at[id] & SN_TOK_SPELL_MASK, end = op->at[id + 1] & SN_TOK_SPELL_MASK;
    st->has_begun = true;
    if (is_part != st->in_run) {
        if (st->in_run)
            return end_run(op, err);
        st->run = st->ntext;
        st->in_run = true;
        return SN_OK;
    }
    st->id++;
    return is_first && op->spelling.odd_first
               ? put_alone(op, id, err)
               : put(op, sn_bytes(sn_tok_SPELL(op->t) + begin, end - begin), err);
}

/* Puts tokens up to `stop`, or one that needs more than a copy: in a run all that are parts, else others. */
static void copy_tokens(const Op *op, size_t stop)
{
    const SnView *out = &op->h->out[0];
    const uint8_t *spell = sn_tok_SPELL(op->t);
    const uint32_t *at = op->at, nid = op->t->facts.vocab_size, flags = op->hidden | SN_TOK_SPELL_PART;
    const uint32_t kind = op->st->in_run ? SN_TOK_SPELL_PART : 0;
    const int32_t *ids = op->ids;
    const size_t room = (size_t)out->child_count;
    uint8_t *text = out->data;
    size_t i = op->st->id, n = op->st->ntext;
    for (; i < stop && (uint32_t)ids[i] < nid; i++) {
        const uint32_t begin = at[ids[i]], size = (at[ids[i] + 1] - begin) & SN_TOK_SPELL_MASK;
        if ((begin & flags) != kind || size > COPY || room - n < COPY)
            break;
        memcpy(text + n, spell + (begin & SN_TOK_SPELL_MASK), COPY);
        n += size;
    }
    op->st->id = i;
    op->st->ntext = n;
}

static SnStatus end_row(Op *op, size_t last, SnError *err)
{
    State *st = op->st;
    if (st->in_run || op->is_bytes)
        SN_TRY(op->is_bytes ? check_bytes(op, true, err) : end_run(op, err));
    if (last < op->n)
        SN_TRY(put_alone(op, (uint32_t)op->ids[last], err));
    uint8_t *text = (uint8_t *)op->h->out[0].data;
    const size_t n = st->ntext - st->row_text;
    if (n == 0)
        return SN_OK;
    const SnBytes rest = sn_tok_strip_ends(op->t, &op->spelling, sn_bytes(text + st->row_text, n));
    if (rest.n < n)
        memmove(text + st->row_text, rest.at, rest.n);
    st->ntext = st->row_text + rest.n;
    return SN_OK;
}

/* The last token, where that is spelled in another way; else the end. */
static SnStatus find_last(const Op *op, size_t *last, SnError *err)
{
    uint32_t id = SN_TOK_NONE;
    *last = op->n;
    for (size_t i = op->n; op->spelling.odd_last && i > 0 && id == SN_TOK_NONE; i--) {
        SN_TRY(token_at(op, i - 1, &id, err));
        if (id != SN_TOK_NONE)
            *last = i - 1;
    }
    return SN_OK;
}

static SnStatus run_spelled(Op *op, SnError *err)
{
    State *st = op->st;
    size_t end;
    SN_TRY(find_last(op, &end, err));
    while (st->id < end) {
        if (sn_tok_due(&op->clock, 16 * BATCH))
            return SN_AGAIN;
        const size_t stop = end - st->id < BATCH ? end : st->id + BATCH;
        while (st->id < stop) {
            if (st->has_begun || !op->spelling.odd_first)
                copy_tokens(op, stop);
            if (st->id < stop)
                SN_TRY(put_one(op, err));
        }
        if (op->is_bytes)
            SN_TRY(check_bytes(op, false, err));
    }
    return end_row(op, end, err);
}

/* ---- the op ------------------------------------------------------------------------------------------- */

static SnStatus run_list(Op *op, SnError *err)
{
    SnBytes text;
    SN_TRY(sn_tok_decode_list(op->t, &op->work, op->ids, op->n, op->h->attr[0].i != 0, &text, err));
    return put(op, text, err);
}

SnStatus sn_tok_decode(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnView *ids = &h->in[1];
    const bool skips = h->attr[0].i != 0;
    Op op = {.h = h,
             .t = sn_tok_table(h),
             .st = st,
             .hidden = SN_TOK_SPELL_NONE | (skips ? SN_TOK_SPELL_SPECIAL : 0),
             .clock = {.deadline_ns = h->deadline_ns}};
    op.at = sn_tok_SPELL_AT(op.t);
    op.spelling = sn_tok_spelling(op.t);
    op.is_bytes = op.spelling.end == SN_TOK_DECODE_BYTES;
    const bool is_list = !op.spelling.is_possible || sn_tok_count(op.t, SN_TOK_SPELL_AT) == 0;
    const size_t room = (h->scratch_size - SN_TOK_DECODE_SCRATCH(ids->child_count, -1)) / 2;
    sn_tok_decode_init(&op.work, st + 1, (size_t)ids->child_count, room);
    for (; st->row < ids->dims[0]; st->row++) {
        int64_t at, n;
        SN_TRY(sn_tok_row(ids, st->row, &at, &n, err));
        if (op.clock.is_due)
            return SN_AGAIN;
        op.ids = sn_tok_i32(ids, at);
        op.n = (size_t)n;
        SN_TRY(is_list ? run_list(&op, err) : run_spelled(&op, err));
        (void)sn_tok_due(&op.clock, is_list ? 16 * (size_t)n : 0);
        sn_tok_end_row(&h->out[0], st->row, (int64_t)st->row_text, (int64_t)st->ntext);
        st->row_text = st->run = st->ntext;
        st->id = 0;
        st->has_begun = false;
    }
    return SN_OK;
}
