/* pieces.c -- tok_normalize: a text to normalised pieces and added tokens.
 *
 * Added tokens that are not to be normalised are found in the text itself; each stretch between them is
 * normalised, and the others are found in what came out. The op is a small machine whose whole state lies in
 * scratch, so that it can stop anywhere. */
#include "ops/host/tok.h"

typedef enum Phase { BEGIN_ROW, REPAIR, FIND, NORMALIZE, SPLIT, END_ROW } Phase;

typedef struct State {
    int64_t row;
    Phase phase;
    bool is_repaired;
    size_t text_size;                     /* of the row, repaired */
    size_t read;                          /* REPAIR: bytes of the row that were looked at */
    SnTokFinder raw, normed;              /* in the text; in the piece just normalised */
    SnTokPlace at;                        /* in the text */
    size_t end;                           /* of the stretch being normalised */
    SnTokMatch next;                      /* the added token after it */
    size_t row_text, row_from, row_piece; /* where the row's results begin */
    size_t piece_text, piece_from;        /* where the stretch's do */
    SnTokPlace piece_at;                  /* SPLIT: in it */
    size_t ntext, nfrom, npiece;          /* results so far */
} State;

_Static_assert(sizeof(State) <= 512, "SN_TOK_NORMALIZE_SCRATCH");

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokNorm norm;
    SnTokClock clock;
    uint8_t *repaired;
    SnBytes row; /* as it came */
} Op;

/* ---- malformed text ----------------------------------------------------------------------------------- */

/* How many bytes at p make one character; 0: none, and then *bad bytes are one U+FFFD: the longest beginning
 * of a character, or one byte. Unicode Standard, table 3-7 and section 3.9. */
static size_t well_formed(const uint8_t *p, size_t left, size_t *bad)
{
    const uint8_t c = p[0];
    *bad = 1;
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    const size_t n = c < 0xE0 ? 2u : c < 0xF0 ? 3u : 4u;
    const uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (left < 2 || p[1] < low || p[1] > high)
        return 0;
    for (*bad = 2; *bad < n; ++*bad)
        if (*bad == left || !sn_tok_is_tail(p[*bad]))
            return 0;
    return n;
}

static void copy_repaired(Op *op, State *st, const uint8_t *from, size_t n)
{
    if (st->is_repaired)
        memcpy(op->repaired + st->text_size, from, n);
    st->text_size += n;
}

static void repair(Op *op, State *st)
{
    enum { STRETCH = 1024 };
    static const uint8_t replacement[3] = {0xEF, 0xBF, 0xBD};
    const SnBytes row = op->row;
    for (size_t n = 0; st->read < row.n && !sn_tok_due(&op->clock, n + 1); st->read += n) {
        const uint8_t *p = row.at + st->read;
        const size_t left = row.n - st->read, most = left < STRETCH ? left : STRETCH;
        for (n = 0; n < most && p[n] < 0x80; n++)
            ;
        size_t bad = 0;
        if (n > 0 || (n = well_formed(p, left, &bad)) > 0) {
            copy_repaired(op, st, p, n);
            continue;
        }
        if (!st->is_repaired)
            memcpy(op->repaired, row.at, st->read);
        st->is_repaired = true;
        copy_repaired(op, st, replacement, sizeof replacement);
        n = bad;
    }
    if (st->read == row.n)
        st->phase = FIND;
}

/* ---- the phases --------------------------------------------------------------------------------------- */

static SnBytes text_of(const Op *op, const State *st)
{
    return sn_bytes(st->is_repaired ? op->repaired : op->row.at, st->text_size);
}

static SnStatus put_piece(Op *op, State *st, uint32_t id, size_t begin, size_t end, SnError *err)
{
    const SnView *list = &op->h->out[2];
    SN_TRY(sn_tok_room(list, (int64_t)st->npiece, 3, "piece", err));
    int32_t *p = (int32_t *)list->data + st->npiece;
    p[0] = (int32_t)id; /* SN_TOK_NONE is -1 */
    p[1] = (int32_t)begin;
    p[2] = (int32_t)end;
    st->npiece += 3;
    return SN_OK;
}

/* Takes white space, and the sign byte-level vocabularies write for it, off both ends of an added token. */
static void trim(const Op *op, bool is_first, SnBytes slice, size_t *begin, size_t *end)
{
    enum { SPACE_SIGN = 0x120 };
    if (!(op->t->flags & SN_TOK_TRIM_OFFSETS))
        return;
    size_t nleading = 0, ntrailing = 0, size;
    bool is_leading = true;
    for (size_t i = 0; i < slice.n; i += size) {
        size = sn_tok_char_size(slice.at + i, slice.n - i);
        const uint32_t cp = sn_tok_code_point(slice.at + i, size);
        const bool is_space = cp == SPACE_SIGN || (sn_code_class(cp)->flags & SN_CP_SPACE);
        is_leading &= is_space;
        nleading += is_leading;
        ntrailing = is_space ? ntrailing + 1 : 0;
    }
    if (nleading == 1 && (is_first || *begin == 0) && (op->t->flags & SN_TOK_PREFIX_SPACE))
        nleading = 0;
    *begin = *end - *begin > nleading ? *begin + nleading : *end;
    *end = *end - *begin > ntrailing ? *end - ntrailing : *begin;
}

static SnStatus put_added(Op *op, State *st, uint32_t id, SnBytes slice, size_t begin, size_t end,
                          SnError *err)
{
    trim(op, st->npiece == st->row_piece, slice, &begin, &end);
    return put_piece(op, st, id, begin, end, err);
}

static void begin_row(State *st)
{
    st->is_repaired = false;
    st->text_size = st->read = 0;
    st->raw = (SnTokFinder){0, 0};
    st->at = (SnTokPlace){0, 0};
    st->row_text = st->ntext;
    st->row_from = st->nfrom;
    st->row_piece = st->npiece;
    st->phase = REPAIR;
}

static void find(Op *op, State *st)
{
    const SnTokTable *t = op->t;
    const SnBytes text = text_of(op, st);
    const size_t taken = st->raw.taken;
    if (!sn_tok_find_added(t, sn_tok_RAW(t), sn_tok_RAW_FIRST(t), text, &st->raw, &st->next, &op->clock))
        return;
    sn_tok_seek(&st->at, text.at, taken);
    st->end = st->next.begin > taken ? st->next.begin : taken;
    st->piece_text = st->ntext;
    st->piece_from = st->nfrom;
    st->phase = NORMALIZE;
}

static SnStatus normalize(Op *op, State *st, SnError *err)
{
    const SnView *text = &op->h->out[0], *from = &op->h->out[1];
    SnTokOut out = {
        text->data, from->data, st->ntext, st->nfrom, (size_t)text->child_count, (size_t)from->child_count};
    const SnBytes in = text_of(op, st);
    bool is_due = false;
    while (st->at.byte < st->end && !is_due) {
        const size_t before = st->at.byte;
        SN_CHECK(sn_tok_norm_run(&op->norm, in.at, &st->at, st->end, &out), err, SN_ESHAPE,
                 "tok_normalize: norm has more than its bound of %" PRId64 " bytes, or from of %" PRId64
                 " characters",
                 text->child_count, from->child_count);
        is_due = sn_tok_due(&op->clock, st->at.byte - before);
    }
    st->ntext = out.ntext;
    st->nfrom = out.nfrom;
    if (st->at.byte == st->end) {
        st->normed = (SnTokFinder){0, 0};
        st->piece_at = (SnTokPlace){0, 0};
        st->phase = SPLIT;
    }
    return SN_OK;
}

/* Cuts added tokens out of the stretch that was normalised, then puts the one that follows it. */
static SnStatus split(Op *op, State *st, SnError *err)
{
    const SnTokTable *t = op->t;
    const SnBytes text =
        sn_bytes((const uint8_t *)op->h->out[0].data + st->piece_text, st->ntext - st->piece_text);
    const int32_t *from = (const int32_t *)op->h->out[1].data + st->piece_from;
    const size_t base = st->piece_text - st->row_text;
    for (;;) {
        const size_t taken = st->normed.taken;
        SnTokMatch m;
        if (!sn_tok_find_added(t, sn_tok_NORMED(t), sn_tok_NORMED_FIRST(t), text, &st->normed, &m,
                               &op->clock))
            return SN_OK;
        if (taken < m.begin)
            SN_TRY(put_piece(op, st, SN_TOK_NONE, base + taken, base + m.begin, err));
        if (m.id == SN_TOK_NONE)
            break;
        sn_tok_seek(&st->piece_at, text.at, m.begin);
        const size_t first = st->piece_at.character;
        sn_tok_seek(&st->piece_at, text.at, m.end);
        const size_t last = st->piece_at.character > first ? st->piece_at.character - 1 : first;
        const SnBytes slice = sn_bytes(text.at + m.begin, m.end - m.begin);
        SN_TRY(put_added(op, st, m.id, slice, (size_t)sn_tok_begin(from[first]),
                         (size_t)sn_tok_end(from[last]), err));
    }
    if (st->next.id != SN_TOK_NONE) {
        const SnBytes raw = text_of(op, st);
        sn_tok_seek(&st->at, raw.at, st->next.begin);
        const size_t begin = st->at.character;
        sn_tok_seek(&st->at, raw.at, st->next.end);
        const SnBytes slice = sn_bytes(raw.at + st->next.begin, st->next.end - st->next.begin);
        SN_TRY(put_added(op, st, st->next.id, slice, begin, st->at.character, err));
    }
    st->phase = st->next.id != SN_TOK_NONE ? FIND : END_ROW;
    return SN_OK;
}

static void end_row(Op *op, State *st)
{
    const SnView *out = op->h->out;
    sn_tok_end_row(&out[0], st->row, (int64_t)st->row_text, (int64_t)st->ntext);
    sn_tok_end_row(&out[1], st->row, (int64_t)st->row_from, (int64_t)st->nfrom);
    sn_tok_end_row(&out[2], st->row, (int64_t)st->row_piece, (int64_t)st->npiece);
    st->row++;
    st->phase = BEGIN_ROW;
}

static SnStatus step(Op *op, State *st, SnError *err)
{
    switch (st->phase) {
    case BEGIN_ROW:
        begin_row(st);
        return SN_OK;
    case REPAIR:
        repair(op, st);
        return SN_OK;
    case FIND:
        find(op, st);
        return SN_OK;
    case NORMALIZE:
        return normalize(op, st, err);
    case SPLIT:
        return split(op, st, err);
    case END_ROW:
        end_row(op, st);
        return SN_OK;
    }
    return SN_EINTERNAL;
}

SnStatus sn_tok_normalize(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnView *text = &h->in[1];
    const size_t n = (size_t)text->child_count;
    uint8_t *work = (uint8_t *)h->scratch + 512;
    Op op = {.h = h,
             .t = sn_tok_table(h),
             .clock = {.deadline_ns = h->deadline_ns},
             .repaired = work + 24 * (n + SN_TOK_RUN)};
    sn_tok_norm_init(&op.norm, op.t, work, n + SN_TOK_RUN, true);
    while (st->row < text->dims[0]) {
        int64_t start, size;
        SN_TRY(sn_tok_row(text, st->row, &start, &size, err));
        op.row = sn_bytes(sn_tok_u8(text, start), (size_t)size);
        SN_TRY(step(&op, st, err));
        if (op.clock.is_due)
            return SN_AGAIN;
    }
    return SN_OK;
}
