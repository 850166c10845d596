/* tok_stream.c -- tok_stream: ids to text as they come.
 *
 * A decoder sees neighbours (bytes make characters, the first space is dropped), so the last few ids are
 * kept: what they decode to with a new one, less what they decoded to without it, is new text, unless it ends
 * in U+FFFD: then a character is not complete. Text that may be the beginning of a stop string waits for what
 * follows. */
#include "ops/host/decode.h"

enum { TOK, HOLD, IDS, END, STOP };       /* operands */
enum { OUT_TEXT, OUT_HOLD, OUT_HIT };     /* results */
enum { SKIP_SPECIAL, TOKEN_SIZE };        /* attributes */
enum { LONGEST_STOP = SN_TOK_HOLD_TEXT }; /* a stop string's beginning must fit the hold */

_Static_assert(sizeof(SnTokHold) == SN_TOK_HOLD_SIZE, "SN_TOK_HOLD_SIZE");

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokDecodeWork work;
    bool skip_special;
    size_t ntext; /* written, of all rows */
} Op;

static SnStatus put(Op *op, SnBytes text, SnError *err)
{
    const SnView *out = &op->h->out[OUT_TEXT];
    SN_TRY(sn_tok_room(out, (int64_t)op->ntext, (int64_t)text.n, "text", err));
    if (text.n > 0)
        memcpy((uint8_t *)out->data + op->ntext, text.at, text.n);
    op->ntext += text.n;
    return SN_OK;
}

/* ---- stop strings ------------------------------------------------------------------------------------- */

static bool begins_with(SnBytes s, SnBytes prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.at, prefix.at, prefix.n) == 0);
}

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
        if (stop.n > longest && begins_with(text, stop)) {
            hit = (int32_t)i;
            longest = stop.n;
        }
        *may_begin |= stop.n > text.n && begins_with(stop, text);
    }
    return hit;
}

/* New text, behind what waits of the row: goes out up to a stop string, or what may be the beginning of one.
 */
static SnStatus put_row(Op *op, SnTokHold *hold, SnBytes text, bool is_end, int32_t *hit, SnError *err)
{
    const size_t begin = op->ntext;
    SN_TRY(put(op, sn_bytes(hold->text, hold->ntext), err));
    SN_TRY(put(op, text, err));
    hold->ntext = 0;
    uint8_t *all = (uint8_t *)op->h->out[OUT_TEXT].data;
    for (size_t i = begin; stop_count(op) > 0 && i < op->ntext; i++) {
        bool may_begin = false;
        const SnBytes rest = sn_bytes(all + i, op->ntext - i);
        *hit = stop_here(op, rest, &may_begin);
        if (*hit < 0 && (!may_begin || is_end))
            continue;
        hold->is_stopped = *hit >= 0;
        if (*hit < 0) {
            memcpy(hold->text, rest.at, rest.n);
            hold->ntext = (uint32_t)rest.n;
        }
        op->ntext = i;
        break;
    }
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
    const size_t nprefix = prefix.n;
    if (id >= 0)
        hold->id[hold->nid++] = id;
    SN_TRY(decode(op, hold->id, hold->nid, &now, err));
    *text = sn_bytes(now.at, 0);
    if (now.n <= nprefix || (!is_complete(now) && !is_last && hold->nid < SN_TOK_HOLD_IDS))
        return SN_OK;
    *text = sn_bytes(now.at + nprefix, now.n - nprefix);
    hold->nid -= hold->nprefix;
    memmove(hold->id, hold->id + hold->nprefix, hold->nid * sizeof *hold->id);
    hold->nprefix = hold->nid;
    return SN_OK;
}

/* Does an id write anything, whatever stands beside it? */
static bool is_text(const Op *op, int32_t id)
{
    const SnBytes table = sn_bytes(op->t, op->t->size);
    return id >= 0 && sn_tokenizer_text(table, (uint32_t)id).at != NULL &&
           !(op->skip_special && sn_tokenizer_is_special(table, (uint32_t)id));
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
    const bool is_end = ((const int32_t *)op->h->in[END].data)[row] != 0;
    SN_CHECK(hold->nid <= SN_TOK_HOLD_IDS && hold->nprefix <= hold->nid && hold->ntext <= SN_TOK_HOLD_TEXT,
             err, SN_EINVAL, "tok_stream: row %" PRId64 " holds what this op did not write", row);
    for (int64_t i = 0; i < n + is_end && !hold->is_stopped; i++) {
        const bool is_last = is_end && i == n;
        SnBytes text;
        if (!is_last && !is_text(op, id[i]))
            continue;
        make_room(hold);
        SN_TRY(step(op, hold, is_last ? -1 : id[i], is_last, &text, err));
        SN_TRY(put_row(op, hold, text, is_last, hit, err));
    }
    if (is_end)
        *hold = (SnTokHold){.nid = 0};
    return SN_OK;
}

SnStatus sn_tok_stream(const SnHostCall *h, SnError *err)
{
    const SnView *hold = &h->in[HOLD], *out = h->out;
    const int64_t size = h->attr[TOKEN_SIZE].i + 1;
    Op op = {.h = h, .t = sn_tok_table(h), .skip_special = h->attr[SKIP_SPECIAL].i != 0};
    sn_tok_decode_init(&op.work, h->scratch, SN_TOK_HOLD_IDS, (size_t)(SN_TOK_HOLD_IDS * size));
    for (int64_t i = 0; i < stop_count(&op); i++)
        SN_CHECK(stop_at(&op, i).n > 0 && stop_at(&op, i).n <= LONGEST_STOP, err, SN_EINVAL,
                 "stop string of %zu bytes, at most %d", stop_at(&op, i).n, LONGEST_STOP);
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
