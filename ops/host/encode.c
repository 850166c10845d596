/* encode.c -- tok_encode: texts to ids.
 *
 * Added tokens that are not to be normalised are found in the text itself; each stretch between them is
 * normalised, the others are found in what came out, and what lies between those is cut into words (words.c).
 * The op is a small machine whose whole state lies in scratch, so that it can stop anywhere. */
#include "ops/host/encode.h"

enum { IDS, OFFSET, WORD_ID, ABOUT, OWN, NRESULT }; /* results */
enum { PLACES, MEMO, NUMBERS };                     /* attributes */

typedef enum Phase { BEGIN_ROW, REPAIR, FIND, NORMALIZE, SPLIT, WORDS, UNITS, END_ROW } Phase;

typedef struct State {
    int64_t text, row; /* text: of the operand; row: of the results */
    int64_t word;      /* texts of the row so far */
    Phase phase;
    bool is_repaired, is_kept; /* is_kept: normalising leaves the text as it is */
    size_t text_size;          /* of the row, repaired */
    size_t read;               /* REPAIR: bytes of the row that were looked at */
    SnTokFinder raw, normed;   /* in the text; in the stretch just normalised */
    SnTokPlace at;             /* in the text */
    size_t end;                /* of the stretch being normalised */
    SnTokMatch next;           /* the added token after it */
    size_t ntext, nfrom;       /* of the normalised stretch */
    int32_t first;             /* the stretch's first code point */
    SnTokPlace normed_at;      /* SPLIT: in the normalised stretch */
    SnTokMatch inner;          /* WORDS: the added token after the piece */
    SnTokStretch piece;
    SnTokWords words;
    SnTokSink out;
    SnBytes unit; /* UNITS: whose words are being put, at NULL: of none; its first id */
    size_t unit_id;
} State;

_Static_assert(sizeof(State) <= SN_HOST_STATE, "SN_TOK_ENCODE_SCRATCH");

typedef struct Op {
    SnTokEncoder e;
    const int64_t *words; /* texts of each row; NULL: one */
    SnBytes row;          /* as it came */
    bool needs_from; /* what normalised characters stand for: for places, and to know the text's first one */
} Op;

/* ---- malformed text ----------------------------------------------------------------------------------- */

/* Unicode Standard, table 3-7 and section 3.9. */
size_t sn_tok_well_formed(const uint8_t *p, size_t left, size_t *bad)
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

bool sn_tok_ascii(SnBytes text)
{
    enum { PART = 256 };
    uint8_t all = 0;
    for (size_t i = 0, end; i < text.n && all < 0x80; i = end) {
        end = text.n - i < PART ? text.n : i + PART;
        for (size_t k = i; k < end; k++)
            all |= text.at[k];
    }
    return all < 0x80;
}

static void copy_repaired(Op *op, State *st, const uint8_t *from, size_t n)
{
    if (st->is_repaired)
        memcpy(op->e.repaired + st->text_size, from, n);
    st->text_size += n;
}

static void repair(Op *op, State *st)
{
    enum { STRETCH = 1 << 14 };
    static const uint8_t replacement[3] = {0xEF, 0xBF, 0xBD};
    const SnBytes row = op->row;
    for (size_t n = 0; st->read < row.n && !sn_tok_due(&op->e.clock, n + 1); st->read += n) {
        const uint8_t *p = row.at + st->read;
        const size_t left = row.n - st->read;
        size_t bad;
        const SnBytes part = sn_bytes(p, left < STRETCH ? left : STRETCH);
        n = sn_tok_ascii(part) ? part.n : sn_utf8_prefix_on(part, op->e.h->has_v3);
        st->is_kept = st->is_kept && sn_tok_norm_keeps(&op->e.norm, sn_bytes(p, n));
        copy_repaired(op, st, p, n);
        if (n > 0)
            continue;
        if (!st->is_repaired)
            memcpy(op->e.repaired, row.at, st->read);
        st->is_repaired = true;
        copy_repaired(op, st, replacement, sizeof replacement);
        st->is_kept =
            st->is_kept && sn_tok_norm_keeps(&op->e.norm, sn_bytes(replacement, sizeof replacement));
        (void)sn_tok_well_formed(p, left, &bad);
        n = bad;
    }
    if (st->read == row.n)
        st->phase = FIND;
}

/* ---- added tokens ------------------------------------------------------------------------------------- */

static SnBytes text_of(const Op *op, const State *st)
{
    return sn_bytes(st->is_repaired ? op->e.repaired : op->row.at, st->text_size);
}

/* Where bytes of a text are, in characters; counted only for who asks. */
static int32_t place(const Op *op, SnTokPlace *at, const uint8_t *text, size_t byte)
{
    if (op->e.places)
        sn_tok_seek(at, text, byte);
    else
        at->byte = byte;
    return (int32_t)at->character;
}

/* ---- the phases --------------------------------------------------------------------------------------- */

static void begin_row(State *st)
{
    st->is_repaired = false;
    st->is_kept = true;
    st->text_size = st->read = 0;
    st->raw = (SnTokFinder){0, 0};
    st->at = (SnTokPlace){0, 0};
    if (st->word == 0) {
        st->out.row_id = st->out.n;
        st->out.row_own = st->out.nown;
    }
    st->out.word = (int32_t)st->word;
    st->phase = REPAIR;
}

static bool asks_for_first(const SnTokTable *t)
{
    bool asks = false;
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_SPLIT); i++) {
        const SnTokSplit *s = &sn_tok_SPLIT(t)[i];
        asks |= s->kind == SN_SPLIT_SIGN && (s->arg & SN_SIGN_FIRST);
    }
    return asks && sn_tok_count(t, SN_TOK_NORMALIZE) > 0;
}

static void find(Op *op, State *st)
{
    const SnTokTable *t = op->e.t;
    const SnBytes text = text_of(op, st);
    const size_t taken = st->raw.taken;
    if (!sn_tok_find_added(t, sn_tok_RAW(t), sn_tok_RAW_FIRST(t), text, &st->raw, &st->next, &op->e.clock))
        return;
    st->first = place(op, &st->at, text.at, taken);
    st->end = st->next.begin > taken ? st->next.begin : taken;
    st->ntext = st->nfrom = 0;
    st->piece.is_first = taken == 0;
    st->phase = op->e.in_unit ? UNITS : NORMALIZE;
    if (op->e.in_unit)
        st->inner.id = SN_TOK_NONE;
    st->piece.n = st->end - taken;
}

static SnStatus normalize(Op *op, State *st, SnError *err)
{
    const SnBytes in = text_of(op, st);
    SnTokOut out = {op->e.text, op->needs_from ? op->e.from : NULL, st->ntext, st->nfrom, op->e.room,
                    op->e.room};
    bool is_due = false;
    while (!st->is_kept && st->at.byte < st->end && !is_due) {
        const size_t before = st->at.byte;
        SN_CHECK(sn_tok_norm_run(&op->e.norm, in.at, &st->at, st->end, &out), err, SN_ESHAPE,
                 "tok_encode: normalised text has more than its bound of %zu bytes", op->e.room);
        is_due = sn_tok_due(&op->e.clock, st->at.byte - before);
    }
    st->ntext = out.ntext;
    st->nfrom = out.nfrom;
    if (st->is_kept || st->at.byte == st->end) {
        st->normed = (SnTokFinder){0, 0};
        st->normed_at = (SnTokPlace){0, 0};
        st->phase = SPLIT;
    }
    return SN_OK;
}

/* The stretch, normalised: a part of the text where nothing is to be done. */
static SnTokStretch stretch_of(const Op *op, const State *st)
{
    if (st->is_kept) {
        const size_t begin = st->at.byte;
        return (SnTokStretch){text_of(op, st).at + begin, st->end - begin, NULL, st->first,
                              st->piece.is_first};
    }
    return (SnTokStretch){op->e.text, st->ntext, op->needs_from ? op->e.from : NULL, 0, st->piece.is_first};
}

/* Finds the next added token in the normalised stretch; what lies before it becomes words. */
static void split(Op *op, State *st)
{
    const SnTokTable *t = op->e.t;
    const SnTokStretch s = stretch_of(op, st);
    const size_t taken = st->normed.taken;
    if (!sn_tok_find_added(t, sn_tok_NORMED(t), sn_tok_NORMED_FIRST(t), sn_bytes(s.at, s.n), &st->normed,
                           &st->inner, &op->e.clock))
        return;
    const size_t end = st->inner.begin > taken ? st->inner.begin : taken;
    const int32_t first = place(op, &st->normed_at, s.at, taken);
    st->piece =
        (SnTokStretch){.at = s.at + taken,
                       .n = end - taken,
                       .from = s.from != NULL ? s.from + first : NULL,
                       .first = s.first + first,
                       .is_first = s.is_first && taken == 0 &&
                                   (s.from == NULL || end == taken || sn_tok_begin(s.from[first]) == 0)};
    sn_tok_words_begin(&op->e, &st->words, &st->piece);
    st->phase = WORDS;
}

/* The added tokens behind the words: of the normalised stretch, and at its end of the text. */
static SnStatus put_next(Op *op, State *st, SnError *err)
{
    const SnTokStretch s = stretch_of(op, st);
    if (st->inner.id != SN_TOK_NONE) {
        const SnTokMatch m = st->inner;
        const size_t first = (size_t)place(op, &st->normed_at, s.at, m.begin);
        const size_t behind = (size_t)place(op, &st->normed_at, s.at, m.end),
                     last = behind - (behind > first);
        const SnBytes slice = sn_bytes(s.at + m.begin, m.end - m.begin);
        int32_t begin = s.first + (int32_t)first, end = s.first + (int32_t)last + 1;
        if (s.from != NULL && op->e.places) {
            begin = sn_tok_begin(s.from[first]);
            end = sn_tok_end(s.from[last]);
        }
        st->phase = SPLIT;
        return sn_tok_words_put(&op->e, &st->out, m.id, slice, begin, end, err);
    }
    st->phase = END_ROW;
    if (st->next.id == SN_TOK_NONE)
        return SN_OK;
    const SnBytes raw = text_of(op, st);
    const int32_t begin = place(op, &st->at, raw.at, st->next.begin);
    const int32_t end = place(op, &st->at, raw.at, st->next.end);
    const SnBytes slice = sn_bytes(raw.at + st->next.begin, st->next.end - st->next.begin);
    st->phase = FIND;
    return sn_tok_words_put(&op->e, &st->out, st->next.id, slice, begin, end, err);
}

/* ---- units -------------------------------------------------------------------------------------------- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\n';
}

/* May a text be cut before this character, behind a blank? One that prints; beyond ASCII letters alone, that
 * no form makes begin with a mark or a space, and that join no cluster: so U+37A and the vowels AM are none.
 */
static bool begins_unit(const uint8_t *p, size_t left)
{
    enum { THAI_AM = 0xE33, LAO_AM = 0xEB3, YPOGEGRAMMENI = 0x37A };
    if (*p < 0x80)
        return *p > ' ' && *p < 0x7F;
    const uint32_t c = sn_tok_code_point(p, sn_tok_char_size(p, left));
    if (!((c >= 0xC0 && c < 0x2000) || (c > 0x3040 && c < 0xD7A4)) || c == THAI_AM || c == LAO_AM ||
        c == YPOGEGRAMMENI)
        return false;
    const SnCodeClass *k = sn_code_class(c);
    return k->order == 0 &&
           (k->flags & (SN_CP_WORD | SN_CP_SPACE | SN_CP_DROP | SN_CP_NONSPACING | SN_CP_MARK)) == SN_CP_WORD;
}

/* The part that begins at `at`; *next is where the one behind it does. */
static SnBytes unit_at(SnBytes text, size_t at, size_t end, size_t *next)
{
    size_t i = at + 1, n;
    while (i < end && !(is_blank(text.at[i - 1]) && begins_unit(text.at + i, end - i)))
        i++;
    *next = i;
    for (n = i - at; n > 0 && is_blank(text.at[at + n - 1]);)
        n--;
    return sn_bytes(text.at + at, n);
}

static SnStatus begin_unit(Op *op, State *st, SnBytes unit, SnError *err)
{
    SnTokOut out = {.text = op->e.text, .max_text = op->e.room};
    for (SnTokPlace at = {0, 0}; op->e.norm.nstep > 0 && at.byte < unit.n;)
        SN_CHECK(sn_tok_norm_run(&op->e.norm, unit.at, &at, unit.n, &out), err, SN_ESHAPE,
                 "tok_encode: normalised text has more than its bound of %zu bytes", op->e.room);
    const bool has_steps = op->e.norm.nstep > 0;
    const SnTokStretch s = {.at = has_steps ? op->e.text : unit.at, .n = has_steps ? out.ntext : unit.n};
    st->unit = unit;
    st->unit_id = st->out.n;
    sn_tok_words_begin(&op->e, &st->words, &s);
    return SN_OK;
}

static SnStatus put_units(Op *op, State *st, SnError *err)
{
    const SnBytes text = text_of(op, st);
    while (st->at.byte < st->end || st->unit.at != NULL) {
        const size_t before = st->at.byte;
        if (st->unit.at == NULL) {
            size_t next;
            const SnBytes unit = unit_at(text, before, st->end, &next);
            const size_t n = sn_word_copy(&op->e.cache, unit, text.n - before, st->out.id + st->out.n,
                                          st->out.max - st->out.n);
            if (unit.n > 0 && n == SIZE_MAX)
                SN_TRY(begin_unit(op, st, unit, err));
            else if (unit.n > 0)
                st->out.n += n;
            st->at.byte = next;
        }
        if (st->unit.at != NULL) {
            SN_TRY(sn_tok_words_run(&op->e, &st->words, &st->piece, &st->out, err));
            sn_word_keep(&op->e.cache, st->unit, st->out.id + st->unit_id, st->out.n - st->unit_id);
            st->unit.at = NULL;
        }
        if (sn_tok_due(&op->e.clock, st->at.byte - before + 1))
            return SN_OK;
    }
    return put_next(op, st, err);
}

/* A text ends; the row does with its last one. */
static void end_row(Op *op, State *st)
{
    const SnView *out = op->e.h->out;
    st->phase = BEGIN_ROW;
    st->text++;
    if (op->words != NULL && ++st->word < op->words[st->row])
        return;
    const SnTokSink *const o = &st->out;
    const int64_t begin = (int64_t)o->row_id, end = (int64_t)o->n;
    const int64_t per[NRESULT] = {1, op->e.places ? 2 : 0, op->e.places ? 1 : 0, o->about != NULL ? 3 : 0};
    for (int i = IDS; i < OWN; i++)
        sn_tok_end_row(&out[i], st->row, per[i] * begin, per[i] * end);
    sn_tok_end_row(&out[OWN], st->row, (int64_t)o->row_own, (int64_t)o->nown);
    st->row++;
    st->word = 0;
}

/* Rows without a word. */
static void skip_rows(Op *op, State *st, int64_t nrow)
{
    for (; op->words != NULL && st->phase == BEGIN_ROW && st->row < nrow && op->words[st->row] <= 0;
         st->row++)
        for (int i = IDS; i < NRESULT; i++)
            sn_tok_end_row(&op->e.h->out[i], st->row, 0, 0);
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
        split(op, st);
        return SN_OK;
    case WORDS:
        SN_TRY(sn_tok_words_run(&op->e, &st->words, &st->piece, &st->out, err));
        return put_next(op, st, err);
    case UNITS:
        return put_units(op, st, err);
    case END_ROW:
        end_row(op, st);
        return SN_OK;
    }
    return SN_EINTERNAL;
}

/* ---- the op ------------------------------------------------------------------------------------------- */

/* The parts of scratch; see SN_TOK_ENCODE_SCRATCH. */
static void lay_out(SnTokEncoder *e, const SnHostCall *h)
{
    uint8_t *at = (uint8_t *)h->scratch + SN_HOST_STATE;
    e->room = (size_t)h->out[IDS].child_count + SN_TOK_RUN;
    e->work = at;
    at += SN_TOK_WORK(e->room) / 64 * 64 + 64;
    sn_tok_norm_init(&e->norm, e->t, at, e->room, e->places || asks_for_first(e->t));
    e->made = at;
    at += 24 * e->room;
    e->from = (int32_t *)(void *)at;
    at += 4 * e->room;
    e->end = (uint32_t *)(void *)at;
    at += 4 * e->room;
    e->text = at;
    e->signed_text = at + e->room;
    e->repaired = at + 2 * e->room;
}

SnStatus sn_tok_encode(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnView *text = &h->in[1], *out = h->out;
    Op op = {.e = {.h = h,
                   .t = sn_tok_table(h),
                   .clock = {.deadline_ns = h->deadline_ns},
                   .cache = sn_word_cache(h->memo, h->memo_size),
                   .places = h->attr[PLACES].i != 0}};
    op.e.in_unit = !op.e.places && (op.e.t->flags & SN_TOK_UNITS) && sn_tok_count(op.e.t, SN_TOK_NORMED) == 0;
    lay_out(&op.e, h);
    op.needs_from = op.e.places || asks_for_first(op.e.t);
    st->out.id = out[IDS].data;
    st->out.offset = out[OFFSET].data;
    st->out.word_id = out[WORD_ID].data;
    st->out.max = (size_t)out[IDS].child_count;
    st->out.max_own = (size_t)out[OWN].child_count;
    if (op.e.places && h->attr[NUMBERS].i > 0) {
        st->out.about = out[ABOUT].data;
        st->out.own = out[OWN].data;
        st->out.first_number = (int32_t)((h->attr[NUMBERS].i - 1) << 30);
    }
    const int64_t nrow = out[IDS].dims[0];
    op.words = h->nin > 3 ? h->in[3].data : NULL;
    st->out.is_word = op.words != NULL;
    for (skip_rows(&op, st, nrow); st->row < nrow; skip_rows(&op, st, nrow)) {
        int64_t start, size;
        SN_CHECK(st->text < text->dims[0], err, SN_ESHAPE, "tok_encode: rows of more words than there are");
        SN_TRY(sn_tok_row(text, st->text, &start, &size, err));
        op.row = sn_bytes(sn_tok_u8(text, start), (size_t)size);
        SN_TRY(step(&op, st, err));
        if (op.e.clock.is_due)
            return SN_AGAIN;
    }
    return SN_OK;
}
