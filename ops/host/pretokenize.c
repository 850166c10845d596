/* pretokenize.c -- tok_pretokenize: pieces to words.
 *
 * A pre-tokenizer is a row of steps; each takes a stretch of text, finds the characters that delimit and says
 * what becomes of them. The steps are nested generators: each cuts what the one above it gives, one stretch
 * at a time. */
#include "ops/host/tok.h"

typedef struct Level {
    size_t at, end; /* of the stretch that is being cut */
    size_t scan;    /* how far the next part was looked at, where time ran out */
} Level;

typedef struct State {
    int64_t row;
    size_t piece;   /* of the row */
    uint32_t depth; /* levels in use; 0 between pieces */
    size_t nword, row_word;
    Level level[SN_TOK_STEPS];
} State;

_Static_assert(sizeof(State) <= SN_TOK_PRETOKENIZE_SCRATCH, "SN_TOK_PRETOKENIZE_SCRATCH");

typedef struct Op {
    const SnHostCall *h;
    const SnTokSplit *step;
    uint32_t nstep;
    const uint8_t *ascii; /* bit i: delimits in step i */
    SnTokClock clock;
    const uint8_t *text; /* of the row */
} Op;

static inline bool is_delimiter(const Op *op, const SnTokSplit *s, const uint8_t *p, size_t left,
                                size_t *size)
{
    if (*p < 0x80) {
        *size = 1;
        return op->ascii[*p] >> (s - op->step) & 1;
    }
    *size = sn_tok_char_size(p, left);
    const uint32_t cp = sn_tok_code_point(p, *size);
    return (sn_code_class(cp)->flags & s->flags) != 0 || cp == s->code_point;
}

/* Moves scan over characters that are (or are not) delimiters; false: out of time. */
static bool scan_over(Op *op, const SnTokSplit *s, Level *l, bool delimiters)
{
    size_t size;
    while (l->scan < l->end &&
           is_delimiter(op, s, op->text + l->scan, l->end - l->scan, &size) == delimiters) {
        l->scan += size;
        if (sn_tok_due(&op->clock, size))
            return false;
    }
    return true;
}

typedef enum Next { PART, NO_MORE, OUT_OF_TIME } Next;

/* The next part of the stretch of a level. Where time runs out, at .. scan is a beginning of it. */
static Next next_part(Op *op, const SnTokSplit *s, Level *l, Level *part)
{
    size_t size = 0;
    if (s->behavior == SN_SPLIT_REMOVED && l->scan == l->at) {
        const bool is_done = scan_over(op, s, l, true);
        l->at = l->scan;
        if (!is_done)
            return OUT_OF_TIME;
    }
    if (l->at == l->end)
        return NO_MORE;
    const bool delimiter = is_delimiter(op, s, op->text + l->at, l->end - l->at, &size);
    if (l->scan == l->at)
        l->scan += size;
    const bool is_run = !delimiter || s->behavior == SN_SPLIT_CONTIGUOUS || s->behavior == SN_SPLIT_WITH_NEXT;
    if (is_run && !scan_over(op, s, l, delimiter && s->behavior == SN_SPLIT_CONTIGUOUS))
        return OUT_OF_TIME;
    if (!delimiter && s->behavior == SN_SPLIT_WITH_PREVIOUS && l->scan < l->end)
        l->scan += sn_tok_char_size(op->text + l->scan, l->end - l->scan);
    *part = (Level){l->at, l->scan, l->at};
    l->at = l->scan;
    return PART;
}

static SnStatus put_word(Op *op, State *st, int32_t id, size_t begin, size_t end, SnError *err)
{
    const SnView *list = &op->h->out[0];
    SN_TRY(sn_tok_room(list, (int64_t)st->nword, 3, "word", err));
    int32_t *w = (int32_t *)list->data + st->nword;
    w[0] = id;
    w[1] = (int32_t)begin;
    w[2] = (int32_t)end;
    st->nword += 3;
    return SN_OK;
}

/* Cuts the stretch of level 0; its parts go down through the levels, and from the last one out. */
static SnStatus cut(Op *op, State *st, SnError *err)
{
    while (st->depth > 0) {
        Level part;
        switch (next_part(op, &op->step[st->depth - 1], &st->level[st->depth - 1], &part)) {
        case PART:
            if (st->depth < op->nstep)
                st->level[st->depth++] = part;
            else
                SN_TRY(put_word(op, st, -1, part.at, part.end, err));
            break;
        case NO_MORE:
            st->depth--;
            break;
        case OUT_OF_TIME:
            return SN_AGAIN;
        }
    }
    return SN_OK;
}

static SnStatus next_piece(Op *op, State *st, const int32_t *piece, size_t text_size, SnError *err)
{
    const int32_t id = piece[0], begin = piece[1], end = piece[2];
    SN_CHECK(begin >= 0 && begin <= end && (id >= 0 || (size_t)end <= text_size), err, SN_EINVAL,
             "tok_pretokenize: piece [%" PRId32 ", %" PRId32 ") of a text of %zu bytes", begin, end,
             text_size);
    if (id >= 0 || op->nstep == 0)
        return begin < end || id >= 0 ? put_word(op, st, id, (size_t)begin, (size_t)end, err) : SN_OK;
    st->level[0] = (Level){(size_t)begin, (size_t)end, (size_t)begin};
    st->depth = 1;
    return SN_OK;
}

SnStatus sn_tok_pretokenize(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnView *norm = &h->in[1], *piece = &h->in[2];
    const SnTokTable *t = sn_tok_table(h);
    Op op = {.h = h,
             .step = sn_tok_SPLIT(t),
             .nstep = sn_tok_count(t, SN_TOK_SPLIT),
             .ascii = sn_tok_ASCII(t) + 128,
             .clock = {.deadline_ns = h->deadline_ns}};
    for (; st->row < norm->dims[0]; st->row++) {
        int64_t text_at, text_size, at, size;
        SN_TRY(sn_tok_row(norm, st->row, &text_at, &text_size, err));
        SN_TRY(sn_tok_row(piece, st->row, &at, &size, err));
        op.text = sn_tok_u8(norm, text_at);
        const int32_t *pieces = sn_tok_i32(piece, at);
        SN_TRY(cut(&op, st, err));
        for (; st->piece < (size_t)size / 3;) {
            if (sn_tok_due(&op.clock, 16))
                return SN_AGAIN;
            SN_TRY(next_piece(&op, st, pieces + 3 * st->piece++, (size_t)text_size, err));
            SN_TRY(cut(&op, st, err));
        }
        sn_tok_end_row(&h->out[0], st->row, (int64_t)st->row_word, (int64_t)st->nword);
        st->piece = 0;
        st->row_word = st->nword;
    }
    return SN_OK;
}
