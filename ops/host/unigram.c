/* unigram.c -- Unigram: a word to the pieces with the greatest sum of scores; and WordLevel: a word is a
 * token.
 *
 * Forward over the beginnings of characters: each place keeps the best way to it, of equal ones the first
 * that came. A character that is no piece of its own may be unknown, for less than the least score; unknown
 * neighbours are one token.
 *
 * Kudo, "Subword Regularization" (2018); Yata's double arrays with XOR, "Darts-clone" (2008). */
#include "ops/host/tok.h"

typedef struct Best { /* the best way to a place */
    double score;
    uint32_t begin, id; /* of its last piece; begin SN_TOK_NONE: there is no way yet */
    uint32_t next;      /* where the piece ends that begins here, on the way that won */
    uint32_t zero;
} Best;

_Static_assert(SN_TOK_WORK(1) >= 2 * sizeof(Best) && SN_TOK_WORK(1000) >= 1001 * sizeof(Best), "SN_TOK_WORK");

typedef struct Unigram {
    const SnTokTable *t;
    const uint32_t *trie;
    uint32_t nnode;
    const double *score;
    double unknown;
    SnBytes word;
    Best *best;
} Unigram;

/* Goes from a node by a byte; false: no piece goes on like that. */
static inline bool go(const Unigram *u, uint32_t *node, uint8_t byte)
{
    const uint32_t to = u->trie[2 * (size_t)*node] ^ byte;
    if (to >= u->nnode || u->trie[2 * (size_t)to + 1] >> 24 != byte)
        return false;
    *node = to;
    return true;
}

static inline uint32_t id_at(const Unigram *u, uint32_t node)
{
    return u->trie[2 * (size_t)node + 1] & SN_TOK_NO_PIECE;
}

static inline void offer(Unigram *u, size_t begin, size_t end, double score, uint32_t id)
{
    Best *b = &u->best[end];
    if (b->begin == SN_TOK_NONE || score > b->score)
        *b = (Best){.score = score, .begin = (uint32_t)begin, .id = id};
}

/* All pieces that begin at a place. */
static SnStatus extend(Unigram *u, size_t at, size_t size, SnError *err)
{
    const double score = u->best[at].score;
    bool has_single = false;
    uint32_t node = 0;
    for (size_t i = at; i < u->word.n && go(u, &node, u->word.at[i]); i++) {
        const uint32_t id = id_at(u, node);
        if (id == SN_TOK_NO_PIECE)
            continue;
        offer(u, at, i + 1, u->score[id] + score, id);
        has_single |= i + 1 == at + size;
    }
    if (has_single)
        return SN_OK;
    const Best *b = &u->best[at + size];
    SN_CHECK(u->t->unk != SN_TOK_NONE || (b->begin != SN_TOK_NONE && b->score >= u->unknown + score), err,
             SN_EINVAL, "unigram: a character is no piece, and the vocabulary has no token for that");
    offer(u, at, at + size, u->unknown + score, u->t->unk);
    return SN_OK;
}

static SnStatus put(SnTokIds *out, uint32_t id, size_t end, SnError *err)
{
    SN_CHECK(out->n < out->max, err, SN_ESHAPE, "tokenizer: more than %zu ids", out->max);
    out->id[out->n] = (int32_t)id;
    if (out->end != NULL)
        out->end[out->n] = (uint32_t)end;
    out->n++;
    return SN_OK;
}

/* Unknown text: a token all the same, where it holds the unknown token's name; else tokens of its bytes, all
 * of them over the whole of it; else the unknown token. */
static SnStatus put_unknown(const Unigram *u, size_t begin, size_t end, SnTokIds *out, SnError *err)
{
    uint32_t node = 0, id = SN_TOK_NO_PIECE;
    size_t i = begin;
    while (i < end && go(u, &node, u->word.at[i]))
        i++;
    if (i == end)
        id = id_at(u, node);
    if (id != SN_TOK_NO_PIECE)
        return put(out, id, end, err);
    const uint32_t *byte = sn_tok_BYTE(u->t);
    bool has_bytes = u->t->model_flags & SN_TOK_BYTE_FALLBACK;
    for (i = begin; has_bytes && i < end; i++)
        has_bytes = byte[u->word.at[i]] != SN_TOK_NONE;
    if (!has_bytes)
        return put(out, u->t->unk, end, err);
    for (i = begin; i < end; i++)
        SN_TRY(put(out, byte[u->word.at[i]], end, err));
    return SN_OK;
}

SnStatus sn_tok_run_unigram(const SnTokTable *t, SnBytes word, SnTokWork *work, SnTokIds *out, SnError *err)
{
    const double *score = sn_tok_SCORE(t);
    Unigram u = {t,    sn_tok_TRIE(t), sn_tok_count(t, SN_TOK_TRIE) / 2, score, score[t->facts.vocab_size],
                 word, work->at};
    if (work->step == 0) {
        for (size_t i = 0; i <= word.n; i++)
            u.best[i].begin = SN_TOK_NONE;
        u.best[0].score = 0;
    }
    while (work->step < word.n) {
        const size_t size = sn_tok_char_size(word.at + work->step, word.n - work->step);
        SN_TRY(extend(&u, work->step, size, err));
        work->step += size;
        if (sn_tok_due(work->clock, 32) && work->step < word.n)
            return SN_AGAIN;
    }
    for (uint32_t end = (uint32_t)word.n; end > 0; end = u.best[end].begin)
        u.best[u.best[end].begin].next = end;
    for (size_t at = 0, end; at < word.n; at = end) {
        end = u.best[at].next;
        if (u.best[end].id != t->unk) {
            SN_TRY(put(out, u.best[end].id, end, err));
            continue;
        }
        while (end < word.n && u.best[u.best[end].next].id == t->unk)
            end = u.best[end].next;
        SN_TRY(put_unknown(&u, at, end, out, err));
    }
    return SN_OK;
}
