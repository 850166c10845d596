/* wordpiece.c -- words to ids by the longest match, and by looking them up.
 *
 * A word is first looked up as a whole. Where it is none, its first piece is the longest beginning that is a
 * token, and each further piece the longest one that is a token after the prefix ("##"); if some piece is
 * none, the whole word is the unknown token. All beginnings are hashed in one pass and looked up as they
 * grow, until no token begins like that.
 *
 * Schuster & Nakajima, "Japanese and Korean Voice Search" (2012). */
#include "ops/host/tok.h"

static SnStatus put_unknown(const SnTokTable *t, SnBytes word, SnTokIds *out, SnError *err)
{
    SN_CHECK(t->unk != SN_TOK_NONE, err, SN_EINVAL,
             "tok_encode: a word is not in the vocabulary, and the vocabulary has no token for that");
    return sn_tok_put_id(out, t->unk, word.n, err);
}

static uint64_t hash_of(uint64_t h, SnBytes s)
{
    for (size_t i = 0; i < s.n; i++)
        h = sn_tok_hash(h, s.at[i]);
    return h;
}

/* The longest token at word[begin ..): its end, or begin where there is none. */
static size_t longest(const SnTokTable *t, SnBytes word, size_t begin, uint64_t prefix_hash, uint32_t *id)
{
    const SnBytes prefix = sn_bytes(sn_tok_POOL(t) + t->prefix_at, begin == 0 ? 0 : t->prefix_size);
    uint64_t h = begin == 0 ? SN_TOK_HASH : prefix_hash;
    const size_t most = t->model_token_size > prefix.n ? t->model_token_size - prefix.n : 0;
    const size_t stop = word.n - begin < most ? word.n : begin + most;
    const uint8_t *may_go_on = sn_tok_PREFIX(t);
    size_t best = begin;
    for (size_t i = begin; i < stop;) {
        h = sn_tok_hash(h, word.at[i++]);
        if (i < word.n && sn_tok_is_tail(word.at[i]))
            continue;
        const uint32_t bit = sn_tok_prefix_bit(h);
        if (!(may_go_on[bit >> 3] >> (bit & 7) & 1))
            break;
        const uint32_t found =
            sn_tok_find(t, sn_tok_hash_end(h), prefix, sn_bytes(word.at + begin, i - begin));
        if (found != SN_TOK_NONE) {
            best = i;
            *id = found;
        }
    }
    return best;
}

static bool is_too_long(const SnTokTable *t, SnBytes word)
{
    if (word.n <= t->max_word_chars)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < word.n && n <= t->max_word_chars; i++)
        n += !sn_tok_is_tail(word.at[i]);
    return n > t->max_word_chars;
}

static uint32_t find_whole(const SnTokTable *t, SnBytes word)
{
    if (word.n > t->model_token_size)
        return SN_TOK_NONE;
    return sn_tok_find(t, sn_tok_hash_end(hash_of(SN_TOK_HASH, word)), sn_bytes(word.at, 0), word);
}

typedef struct Progress { /* of a word, in the work memory */
    size_t piece;         /* where the next piece begins */
    size_t nid;           /* ids before the word */
} Progress;

SnStatus sn_tok_run_wordpiece(const SnTokTable *t, SnBytes word, SnTokWork *work, SnTokIds *out, SnError *err)
{
    Progress *p = work->at;
    if (work->step == 0) {
        if (is_too_long(t, word))
            return put_unknown(t, word, out, err);
        const uint32_t id = find_whole(t, word);
        if (id != SN_TOK_NONE)
            return sn_tok_put_id(out, id, word.n, err);
        *p = (Progress){0, out->n};
        work->step = 1;
    }
    const uint64_t prefix_hash =
        hash_of(SN_TOK_HASH, sn_bytes(sn_tok_POOL(t) + t->prefix_at, t->prefix_size));
    while (p->piece < word.n) {
        uint32_t id = SN_TOK_NONE;
        const size_t stop = longest(t, word, p->piece, prefix_hash, &id);
        if (stop == p->piece) {
            out->n = p->nid;
            return put_unknown(t, word, out, err);
        }
        SN_TRY(sn_tok_put_id(out, id, stop, err));
        p->piece = stop;
        if (sn_tok_due(work->clock, 64) && stop < word.n)
            return SN_AGAIN;
    }
    return SN_OK;
}

SnStatus sn_tok_run_wordlevel(const SnTokTable *t, SnBytes word, SnTokWork *work, SnTokIds *out, SnError *err)
{
    (void)work;
    const uint32_t id = find_whole(t, word);
    return id != SN_TOK_NONE ? sn_tok_put_id(out, id, word.n, err) : put_unknown(t, word, out, err);
}
