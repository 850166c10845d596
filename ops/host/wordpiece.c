/* wordpiece.c -- tok_wordpiece: words to ids by the longest match.
 *
 * A word is first looked up as a whole. Where it is none, its first piece is the longest beginning that is a
 * token, and each further piece the longest one that is a token after the prefix ("##"); if some piece is
 * none, the whole word is the unknown token. All beginnings are hashed in one pass and looked up as they
 * grow.
 *
 * Schuster & Nakajima, "Japanese and Korean Voice Search" (2012). */
#include "ops/host/tok.h"

typedef struct State {
    int64_t row;
    size_t word;     /* of the row */
    SnTokPlace at;   /* in the row's norm */
    size_t piece;    /* where the word's next piece begins, in bytes of norm; 0: at a new word */
    bool is_inside;  /* a word has begun */
    size_t first_id; /* of the word */
    size_t nid;      /* results so far */
    size_t row_id;   /* where the row's begin */
} State;

_Static_assert(sizeof(State) <= SN_TOK_WORDPIECE_SCRATCH, "SN_TOK_WORDPIECE_SCRATCH");

typedef struct Op {
    const SnHostCall *h;
    const SnTokTable *t;
    SnTokClock clock;
    SnBytes prefix;
    uint64_t prefix_hash;
    const uint8_t *text; /* of the row */
    const int32_t *from;
    size_t ntext, nfrom;
} Op;

/* A token over code points [begin, end). */
static SnStatus put_token(Op *op, State *st, uint32_t id, int32_t begin, int32_t end, SnError *err)
{
    const SnView *out = op->h->out;
    SN_TRY(sn_tok_room(&out[0], (int64_t)st->nid, 1, "ids", err));
    SN_TRY(sn_tok_room(&out[1], 2 * (int64_t)st->nid, 2, "offset", err));
    SN_TRY(sn_tok_room(&out[2], (int64_t)st->nid, 1, "word_id", err));
    int32_t *offset = (int32_t *)out[1].data + 2 * st->nid;
    ((int32_t *)out[0].data)[st->nid] = (int32_t)id;
    offset[0] = begin;
    offset[1] = end;
    ((int32_t *)out[2].data)[st->nid] = (int32_t)st->word;
    st->nid++;
    return SN_OK;
}

/* A token over bytes [begin, end) of norm. */
static SnStatus put_piece(Op *op, State *st, uint32_t id, size_t begin, size_t end, SnError *err)
{
    sn_tok_seek(&st->at, op->text, begin);
    const size_t first = st->at.character;
    sn_tok_seek(&st->at, op->text, end);
    const size_t last = st->at.character - 1;
    SN_CHECK(first <= last && last < op->nfrom, err, SN_EINVAL,
             "tok_wordpiece: from has %zu characters, not %zu", op->nfrom, last + 1);
    return put_token(op, st, id, sn_tok_begin(op->from[first]), sn_tok_end(op->from[last]), err);
}

static SnStatus put_unknown(Op *op, State *st, size_t begin, size_t end, SnError *err)
{
    SN_CHECK(op->t->unk != SN_TOK_NONE, err, SN_EINVAL,
             "tok_wordpiece: a word is not in the vocabulary, and the vocabulary has no token for that");
    st->nid = st->first_id;
    return put_piece(op, st, op->t->unk, begin, end, err);
}

/* The longest token at text[begin .. end): its end, or begin where there is none. */
static size_t longest(const Op *op, size_t begin, size_t end, bool is_first, uint32_t *id)
{
    const SnBytes prefix = is_first ? sn_bytes(op->prefix.at, 0) : op->prefix;
    uint64_t h = is_first ? SN_TOK_HASH : op->prefix_hash;
    const size_t most = op->t->model_token_size > prefix.n ? op->t->model_token_size - prefix.n : 0;
    const size_t stop = end - begin < most ? end : begin + most;
    size_t best = begin;
    for (size_t i = begin; i < stop;) {
        h = sn_tok_hash(h, op->text[i++]);
        if (i < end && sn_tok_is_tail(op->text[i]))
            continue;
        const uint32_t found =
            sn_tok_find(op->t, sn_tok_hash_end(h), prefix, sn_bytes(op->text + begin, i - begin));
        if (found != SN_TOK_NONE) {
            best = i;
            *id = found;
        }
    }
    return best;
}

static bool is_too_long(const Op *op, size_t begin, size_t end)
{
    if (end - begin <= op->t->max_word_chars)
        return false;
    size_t n = 0;
    for (size_t i = begin; i < end && n <= op->t->max_word_chars; i++)
        n += !sn_tok_is_tail(op->text[i]);
    return n > op->t->max_word_chars;
}

static uint32_t find_whole(const Op *op, size_t begin, size_t end)
{
    if (end - begin > op->t->model_token_size)
        return SN_TOK_NONE;
    uint64_t h = SN_TOK_HASH;
    for (size_t i = begin; i < end; i++)
        h = sn_tok_hash(h, op->text[i]);
    return sn_tok_find(op->t, sn_tok_hash_end(h), sn_bytes(op->text, 0),
                       sn_bytes(op->text + begin, end - begin));
}

/* Goes on with the word [begin, end) of norm. */
static SnStatus run_word(Op *op, State *st, size_t begin, size_t end, SnError *err)
{
    if (!st->is_inside) {
        if (is_too_long(op, begin, end))
            return put_unknown(op, st, begin, end, err);
        const uint32_t id = find_whole(op, begin, end);
        if (id != SN_TOK_NONE)
            return put_piece(op, st, id, begin, end, err);
        st->piece = begin;
        st->is_inside = true;
    }
    while (st->piece < end) {
        uint32_t id = SN_TOK_NONE;
        const size_t stop = longest(op, st->piece, end, st->piece == begin, &id);
        if (stop == st->piece) {
            SN_TRY(put_unknown(op, st, begin, end, err));
            break;
        }
        SN_TRY(put_piece(op, st, id, st->piece, stop, err));
        st->piece = stop;
        if (sn_tok_due(&op->clock, 64) && stop < end)
            return SN_AGAIN;
    }
    st->is_inside = false;
    return SN_OK;
}

static SnStatus run_record(Op *op, State *st, const int32_t *word, SnError *err)
{
    const int32_t id = word[0], begin = word[1], end = word[2];
    SN_CHECK(begin >= 0 && begin <= end && (id >= 0 || (size_t)end <= op->ntext), err, SN_EINVAL,
             "tok_wordpiece: word [%" PRId32 ", %" PRId32 ") of a text of %zu bytes", begin, end, op->ntext);
    if (id >= 0)
        return put_token(op, st, (uint32_t)id, begin, end, err);
    return begin < end ? run_word(op, st, (size_t)begin, (size_t)end, err) : SN_OK;
}

static SnStatus run_row(Op *op, State *st, const int32_t *word, size_t nword, SnError *err)
{
    for (; st->word < nword; st->word++) {
        if (!st->is_inside) {
            if (sn_tok_due(&op->clock, 16))
                return SN_AGAIN;
            st->first_id = st->nid;
        }
        SN_TRY(run_record(op, st, word + 3 * st->word, err));
    }
    return SN_OK;
}

SnStatus sn_tok_wordpiece(const SnHostCall *h, SnError *err)
{
    State *st = h->scratch;
    const SnView *norm = &h->in[1], *from = &h->in[2], *word = &h->in[3];
    Op op = {
        .h = h, .t = sn_tok_table(h), .clock = {.deadline_ns = h->deadline_ns}, .prefix_hash = SN_TOK_HASH};
    op.prefix = sn_bytes(sn_tok_POOL(op.t) + op.t->prefix_at, op.t->prefix_size);
    for (size_t i = 0; i < op.prefix.n; i++)
        op.prefix_hash = sn_tok_hash(op.prefix_hash, op.prefix.at[i]);
    for (; st->row < norm->dims[0]; st->row++) {
        int64_t text_at, ntext, from_at, nfrom, at, n;
        SN_TRY(sn_tok_row(norm, st->row, &text_at, &ntext, err));
        SN_TRY(sn_tok_row(from, st->row, &from_at, &nfrom, err));
        SN_TRY(sn_tok_row(word, st->row, &at, &n, err));
        op.text = sn_tok_u8(norm, text_at);
        op.from = sn_tok_i32(from, from_at);
        op.ntext = (size_t)ntext;
        op.nfrom = (size_t)nfrom;
        SN_TRY(run_row(&op, st, sn_tok_i32(word, at), (size_t)n / 3, err));
        sn_tok_end_row(&h->out[0], st->row, (int64_t)st->row_id, (int64_t)st->nid);
        sn_tok_end_row(&h->out[1], st->row, 2 * (int64_t)st->row_id, 2 * (int64_t)st->nid);
        sn_tok_end_row(&h->out[2], st->row, (int64_t)st->row_id, (int64_t)st->nid);
        st->row_id = st->nid;
        st->word = 0;
        st->at = (SnTokPlace){0, 0};
    }
    return SN_OK;
}
