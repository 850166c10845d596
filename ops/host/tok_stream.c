/* tok_stream.c -- tok_stream: ids to text as they come.
 *
 * A decoder sees neighbours (bytes make characters, the first space is dropped), so the last few ids are
 * kept: what they decode to with a new one, less what they decoded to without it, is new text, unless it ends
 * in U+FFFD: then a character is not complete. Text that may be the beginning of a stop string waits for what
 * follows, unless stop strings stay in the text: then the hold has its last bytes, which were given out. */
#include "ops/host/decode.h"

enum { TOK, HOLD, IDS, END, STOP };           /* operands */
enum { OUT_TEXT, OUT_HOLD, OUT_HIT };         /* results */
enum { SKIP_SPECIAL, KEEP_STOP, TOKEN_SIZE }; /* attributes */
enum { LONGEST_STOP = SN_TOK_HOLD_TEXT };     /* a stop string's beginning must fit the hold */

_Static_assert(sizeof(SnTokHold) == SN_TOK_HOLD_SIZE, "SN_TOK_HOLD_SIZE");

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokDecodeWork work;
    bool skip_special, keep_stop;
    size_t longest; /* bytes of a stop string */
    size_t ntext;   /* written, of all rows */
} Op;

static SnStatus put(Op *op, SnBytes text, SnError *err)
{
    const SnView *out = &op->h->out[OUT_TEXT];
    SN_TRY(sn_tok_fits(out, (int64_t)op->ntext, (int64_t)text.n, "text", err));
    if (text.n > 0)
        memcpy((uint8_t *)out->data + op->ntext, text.at, text.n);
    op->ntext += text.n;
    return SN_OK;
}

/* ---- stop strings ------------------------------------------------------------------------------------- */

static SnBytes stop_at(const Op *op, int64_t i)
{
    const SnView *stop = &op->h->in[STOP];
    return sn_bytes(sn_tok_u8(stop, stop->start[i]), (size_t)stop->len[i]);
}

static int64_t stop_count(const Op *op)
{
    return op->h->nin > STOP ? op->h->in[STOP].dims[0] : 0;
}

/* Which stop string stands there (the longest), or -1; *may_begin: one could, with more text. */
static int32_t stop_here(const Op *op, SnBytes text, bool *may_begin)
{
    int32_t hit = -1;
    size_t longest = 0;
    for (int64_t i = 0; i < stop_count(op); i++) {
        const SnBytes stop = stop_at(op, i);
        if (stop.n > longest && sn_tok_begins(text, stop)) {
            hit = (int32_t)i;
            longest = stop.n;
        }
        *may_begin |= stop.n > text.n && sn_tok_begins(stop, text);
    }
    return hit;
}

/* What is said now. */
typedef enum Voice {
    SAYS,
    ENDS,  /* nothing follows: nothing waits */
    LEADS, /* it is the prompt's: nothing goes out, and no stop string is met */
    MARKS  /* a special token, which is not in the text: a stop string may end in it */
} Voice;

/* Text behind what waits of the row goes out up to a stop string, or what may be the beginning of one. */
static void cut_row(Op *op, SnTokHold *hold, size_t begin, Voice voice, int32_t *hit)
{
    const uint8_t *all = op->h->out[OUT_TEXT].data;
    const size_t end = op->ntext, nheld = hold->ntext;
    for (size_t i = begin; stop_count(op) > 0 && i < end; i++) {
        bool may_begin = false;
        const SnBytes rest = sn_bytes(all + i, end - i);
        *hit = stop_here(op, rest, &may_begin);
        if (*hit < 0 && (!may_begin || voice != SAYS))
            continue;
        hold->is_stopped = *hit >= 0;
        hold->ntext = *hit < 0 ? (uint32_t)rest.n : 0;
        memcpy(hold->text, rest.at, hold->ntext);
        op->ntext = i;
        return;
    }
    if (voice == MARKS)
        op->ntext = begin;
    hold->ntext = voice == MARKS ? (uint32_t)nheld : 0;
}

/* All text goes out; a stop string is met where it ends in what is new. */
static void keep_row(Op *op, SnTokHold *hold, size_t begin, Voice voice, int32_t *hit)
{
    uint8_t *all = (uint8_t *)op->h->out[OUT_TEXT].data + begin;
    const size_t n = op->ntext - begin, nold = hold->ntext;
    for (size_t end = nold + 1; end <= n && *hit < 0 && voice != LEADS; end++)
        for (int64_t i = 0; i < stop_count(op) && *hit < 0; i++) {
            const SnBytes stop = stop_at(op, i);
            if (stop.n <= end && memcmp(all + end - stop.n, stop.at, stop.n) == 0)
                *hit = (int32_t)i;
        }
    hold->is_stopped = *hit >= 0;
    hold->ntext = (uint32_t)(op->longest > 0 ? (n < op->longest ? n : op->longest - 1) : 0);
    memcpy(hold->text, all + n - hold->ntext, hold->ntext);
    if (nold > 0)
        memmove(all, all + nold, n - nold);
    op->ntext = begin + (voice == MARKS ? 0 : n - nold);
}

static SnStatus put_row(Op *op, SnTokHold *hold, SnBytes text, Voice voice, int32_t *hit, SnError *err)
{
    const size_t begin = op->ntext;
    SN_TRY(put(op, sn_bytes(hold->text, hold->ntext), err));
    SN_TRY(put(op, text, err));
    if (op->keep_stop)
        keep_row(op, hold, begin, voice, hit);
    else if (voice != LEADS)
        cut_row(op, hold, begin, voice, hit);
    if (voice == LEADS)
        op->ntext = begin;
    return SN_OK;
}

/* ---- ids ---------------------------------------------------------------------------------------------- */

static bool is_complete(SnBytes text)
{
    return text.n < 3 || memcmp(text.at + text.n - 3, "\xEF\xBF\xBD", 3) != 0;
}

static SnStatus decode(Op *op, const int32_t *ids, size_t n, SnBytes *out, SnError *err)
{
    return sn_tok_decode_list(op->t, &op->work, ids, n, op->skip_special, out, err);
}

/* The text that an id adds, lent by the work; is_last: also where it is not complete. */
static SnStatus step(Op *op, SnTokHold *hold, int32_t id, bool is_last, SnBytes *text, SnError *err)
{
    SnBytes now, prefix;
    SN_TRY(decode(op, hold->id, hold->nprefix, &prefix, err));
    if (prefix.n == 0 && hold->nid > 0) {
        SN_TRY(decode(op, hold->id, hold->nid, &now, err));
        if (is_complete(now)) {
            prefix = now;
            hold->nprefix = hold->nid;
        }
    }
    size_t nprefix = prefix.n;
    if (id >= 0)
        hold->id[hold->nid++] = id;
    SN_TRY(decode(op, hold->id, hold->nid, &now, err));
    *text = sn_bytes(now.at, 0);
    if (now.n <= nprefix || (!is_complete(now) && !is_last && hold->nid < SN_TOK_HOLD_IDS))
        return SN_OK;
    while (nprefix > 0 && (now.at[nprefix] & 0xC0) == 0x80) /* a decoder that changes what it gave before */
        nprefix--;
    *text = sn_bytes(now.at + nprefix, now.n - nprefix);
    hold->nid -= hold->nprefix;
    memmove(hold->id, hold->id + hold->nprefix, hold->nid * sizeof *hold->id);
    hold->nprefix = hold->nid;
    return SN_OK;
}

/* Does an id stand for anything? *is_mark: for nothing that is in the text. */
static bool is_token(const Op *op, int32_t id, SnBytes *name, bool *is_mark)
{
    const SnBytes table = sn_bytes(op->t, op->t->size);
    *name = id >= 0 ? sn_tokenizer_text(table, (uint32_t)id) : sn_bytes(NULL, 0);
    *is_mark = name->at != NULL && op->skip_special && sn_tokenizer_is_special(table, (uint32_t)id);
    return name->at != NULL;
}

/* Where the hold is full of ids that added nothing, or of a beginning that is nothing, those go. */
static void make_room(SnTokHold *hold)
{
    if (hold->nid < SN_TOK_HOLD_IDS)
        return;
    hold->nid = hold->nid > hold->nprefix ? hold->nprefix : 0;
    hold->nprefix = hold->nid;
}

static SnStatus run_row(Op *op, int64_t row, int32_t *hit, SnTokHold *hold, SnError *err)
{
    const SnView *ids = &op->h->in[IDS];
    const int64_t n = ids->dims[1];
    const int32_t *id = (const int32_t *)ids->data + row * n;
    const int32_t end = ((const int32_t *)op->h->in[END].data)[row];
    const bool is_end = end > 0;
    SN_CHECK(hold->nid <= SN_TOK_HOLD_IDS && hold->nprefix <= hold->nid && hold->ntext <= SN_TOK_HOLD_TEXT,
             err, SN_EINVAL, "tok_stream: row %" PRId64 " holds what this op did not write", row);
    for (int64_t i = 0; i < n + is_end && !hold->is_stopped; i++) {
        const bool is_last = is_end && i == n;
        SnBytes text;
        bool is_mark = false;
        if (!is_last && !is_token(op, id[i], &text, &is_mark))
            continue;
        if (is_mark) {
            SN_TRY(op->longest ? put_row(op, hold, text, end < 0 ? LEADS : MARKS, hit, err) : SN_OK);
            continue;
        }
        make_room(hold);
        SN_TRY(step(op, hold, is_last ? -1 : id[i], is_last, &text, err));
        SN_TRY(put_row(op, hold, text, is_last ? ENDS : end < 0 ? LEADS : SAYS, hit, err));
    }
    if (is_end)
        *hold = (SnTokHold){.nid = 0};
    return SN_OK;
}

SnStatus sn_tok_stream(const SnHostCall *h, SnError *err)
{
    const SnView *hold = &h->in[HOLD], *out = h->out;
    const int64_t size = h->attr[TOKEN_SIZE].i + 1;
    Op op = {.h = h,
             .t = sn_tok_table(h),
             .skip_special = h->attr[SKIP_SPECIAL].i != 0,
             .keep_stop = h->attr[KEEP_STOP].i != 0};
    sn_tok_decode_init(&op.work, h->scratch, SN_TOK_HOLD_IDS, (size_t)(SN_TOK_HOLD_IDS * size));
    for (int64_t i = 0; i < stop_count(&op); i++) {
        const size_t n = stop_at(&op, i).n;
        SN_CHECK(n > 0 && n <= LONGEST_STOP, err, SN_EINVAL, "stop string of %zu bytes, at most %d", n,
                 LONGEST_STOP);
        op.longest = n > op.longest ? n : op.longest;
    }
    for (int64_t r = 0; r < hold->dims[0]; r++) {
        SnTokHold now;
        const size_t begin = op.ntext;
        int32_t *hit = (int32_t *)out[OUT_HIT].data + r;
        memcpy(&now, (const uint8_t *)hold->data + r * SN_TOK_HOLD_SIZE, sizeof now);
        *hit = -1;
        SN_TRY(run_row(&op, r, hit, &now, err));
        memcpy((uint8_t *)out[OUT_HOLD].data + r * SN_TOK_HOLD_SIZE, &now, sizeof now);
        sn_tok_end_row(&out[OUT_TEXT], r, (int64_t)begin, (int64_t)op.ntext);
    }
    return SN_OK;
}
