/* unigram.c -- the Unigram model of tokenizer.json: scores, and its pieces as a double array.
 *
 * A node of the array is two words: what a byte is XORed with to find the child, and the byte that led here
 * above the id of the piece that ends here. No two nodes share the first, so that the byte alone proves the
 * parent. */
#include "frontends/tokenizer/draft.h"

#include <stdlib.h>

#define UNK_PENALTY 10.0
#define NO_BASE     UINT32_MAX /* of free nodes and leaves: leads outside */

/* ---- the double array --------------------------------------------------------------------------------- */

typedef struct Piece {
    uint64_t key; /* its first bytes: most comparisons end there */
    SnBytes text;
    uint32_t id;
} Piece;

static int by_text(const void *x, const void *y)
{
    const Piece *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    const size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
    const int order = memcmp(a->text.at, b->text.at, n);
    if (order != 0 || a->text.n != b->text.n)
        return order != 0 ? order : a->text.n < b->text.n ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

typedef struct Range { /* of pieces that begin with the same `depth` bytes, which lead to the node */
    uint32_t begin, end, depth, node;
} Range;

typedef struct Trie {
    SnArena *arena;
    uint32_t *word; /* two of each node */
    uint32_t *free; /* of a free node: the next free one; 0: none */
    uint8_t *state; /* of each node: TAKEN, and whether its number is a BASE of some node */
    uint32_t n, cap, first, last;
} Trie;

enum { TAKEN = 1, BASE = 2, BLOCK = 256, MOST_TRIES = 64 };

/* One block of free nodes more: all children of a base lie in one block. */
static bool grow(Trie *t)
{
    if (t->n == t->cap) {
        const uint32_t cap = t->cap == 0 ? 64 * BLOCK : 2 * t->cap;
        uint32_t *word = sn_arena_array(t->arena, cap, 2 * sizeof *word);
        uint32_t *link = sn_arena_array(t->arena, cap, sizeof *link);
        uint8_t *state = sn_arena_array(t->arena, cap, 1);
        if (word == NULL || link == NULL || state == NULL || cap > 1u << 30)
            return false;
        if (t->n > 0) {
            memcpy(word, t->word, 2 * (size_t)t->n * sizeof *word);
            memcpy(link, t->free, t->n * sizeof *link);
            memcpy(state, t->state, t->n);
        }
        *t = (Trie){t->arena, word, link, state, t->n, cap, t->first, t->last};
    }
    for (uint32_t i = t->n; i < t->n + BLOCK; i++) {
        t->word[2 * (size_t)i] = NO_BASE;
        t->word[2 * (size_t)i + 1] = SN_TOK_NO_PIECE;
        t->state[i] = 0;
        t->free[i] = 0;
        if (t->last != 0)
            t->free[t->last] = i;
        if (t->first == 0 && i > 0)
            t->first = i;
        t->last = i;
    }
    t->n += BLOCK;
    return true;
}

static bool fits(const Trie *t, uint32_t base, const uint8_t *byte, uint32_t n)
{
    if (t->state[base] & BASE)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (t->state[base ^ byte[i]] & TAKEN)
            return false;
    return true;
}

/* A base for n children; NO_BASE: no memory. The first few free nodes are tried for the first child, then a
 * block is added, where all fit. */
static uint32_t find_base(Trie *t, const uint8_t *byte, uint32_t n)
{
    uint32_t before = 0, tries = 0;
    for (uint32_t i = t->first; i != 0 && tries < MOST_TRIES; i = t->free[i]) {
        if (!(t->state[i] & TAKEN)) {
            if (fits(t, i ^ byte[0], byte, n))
                return i ^ byte[0];
            before = i;
            tries++;
            continue;
        }
        if (before == 0)
            t->first = t->free[i];
        else
            t->free[before] = t->free[i];
        if (t->last == i)
            t->last = before;
    }
    uint32_t base = t->n;
    if (!grow(t))
        return NO_BASE;
    while (!fits(t, base, byte, n))
        base++;
    return base;
}

/* The bytes that follow, each once. */
static uint32_t next_bytes(const Piece *p, const Range *r, uint8_t byte[256])
{
    uint32_t n = 0;
    for (uint32_t i = r->begin; i < r->end; i++)
        if (p[i].text.n > r->depth && (n == 0 || byte[n - 1] != p[i].text.at[r->depth]))
            byte[n++] = p[i].text.at[r->depth];
    return n;
}

static SnStatus make_trie(Trie *t, const Piece *p, uint32_t n, SnError *err)
{
    Range *todo = sn_arena_array(t->arena, (size_t)n + 256, sizeof *todo);
    SN_CHECK(todo != NULL && grow(t), err, SN_ENOMEM, "no memory for %u pieces", n);
    uint32_t ntodo = n > 0;
    todo[0] = (Range){0, n, 0, 0};
    t->state[0] = TAKEN;
    while (ntodo > 0) {
        Range r = todo[--ntodo];
        for (; r.begin < r.end && p[r.begin].text.n == r.depth; r.begin++)
            t->word[2 * (size_t)r.node + 1] =
                (t->word[2 * (size_t)r.node + 1] & ~SN_TOK_NO_PIECE) | p[r.begin].id;
        uint8_t byte[256];
        const uint32_t nbyte = next_bytes(p, &r, byte);
        if (nbyte == 0)
            continue;
        const uint32_t base = find_base(t, byte, nbyte);
        SN_CHECK(base != NO_BASE, err, SN_ENOMEM, "no memory for %u pieces", n);
        t->word[2 * (size_t)r.node] = base;
        t->state[base] |= BASE;
        for (uint32_t i = r.begin, k = 0; k < nbyte; k++) {
            const uint32_t child = base ^ byte[k], begin = i;
            while (i < r.end && p[i].text.at[r.depth] == byte[k])
                i++;
            t->state[child] |= TAKEN;
            t->word[2 * (size_t)child + 1] = (uint32_t)byte[k] << 24 | SN_TOK_NO_PIECE;
            todo[ntodo++] = (Range){begin, i, r.depth + 1, child};
        }
    }
    return SN_OK;
}

static SnStatus put_trie(SnTokDraft *d, SnError *err)
{
    Trie t = {.arena = d->arena};
    Piece *p = sn_arena_array(d->arena, (size_t)d->nvocab + 1, sizeof *p);
    SN_CHECK(p != NULL, err, SN_ENOMEM, "no memory for %u pieces", d->nvocab);
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->nvocab; i++) {
        const SnBytes s = d->vocab[i];
        if (s.n == 0)
            continue;
        p[n] = (Piece){.text = s, .id = i};
        for (size_t k = 0; k < 8; k++)
            p[n].key = p[n].key << 8 | (k < s.n ? s.at[k] : 0);
        n++;
    }
    qsort(p, n, sizeof *p, by_text);
    SN_TRY(make_trie(&t, p, n, err));
    d->trie = t.word;
    d->ntrie = 2 * t.n;
    return SN_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* [piece, score] */
static SnStatus read_piece(SnTokDraft *d, SnJsonWalk *w, double *scores, SnError *err)
{
    const SnBytes none = {NULL, 0};
    SnBytes key, text;
    SnJson piece, score;
    double value = 0;
    uint32_t before;
    const bool is_piece = sn_json_open(w) && sn_json_more(w, &key) && sn_json_take(w, &piece) &&
                          sn_json_string(&piece, &text) && sn_json_more(w, &key) && sn_json_take(w, &score) &&
                          sn_json_number(&score, &value);
    SN_TRY(w->st);
    SN_CHECK(is_piece, err, SN_EFORMAT, "vocab: %u is not a piece and its score", d->nvocab);
    while (sn_json_more(w, &key) && sn_json_take(w, &score))
        ;
    SN_TRY(w->st);
    SN_CHECK(d->nvocab < SN_TOK_MAX_IDS - 2, err, SN_EFORMAT, "vocab has more than %u pieces", d->nvocab);
    scores[d->nvocab] = value;
    d->unk_score = d->nvocab == 0 || value < d->unk_score ? value : d->unk_score;
    SN_CHECK(sn_draft_put_token(d, text, sn_draft_hash(text, none), d->nvocab, &before), err, SN_ENOMEM,
             "no memory for pieces");
    return SN_OK;
}

static SnStatus read_pieces(SnTokDraft *d, SnBytes text, const SnJson *vocab, SnError *err)
{
    SnJsonWalk w;
    SnBytes key;
    SN_CHECK(vocab != NULL && vocab->kind == SN_JSON_LATER && vocab->u.string.at[0] == '[', err, SN_EFORMAT,
             "vocab is not an array of pieces");
    double *scores =
        sn_arena_array(d->arena, (size_t)vocab->n + 1, sizeof *scores); /* a piece has a string */
    SN_CHECK(scores != NULL && sn_draft_expect_tokens(d, vocab->n), err, SN_ENOMEM, "no memory for pieces");
    SnStatus st = SN_OK;
    sn_json_walk(&w, d->arena, "tokenizer.json", text, vocab, err);
    (void)sn_json_open(&w);
    while (st == SN_OK && sn_json_more(&w, &key))
        st = read_piece(d, &w, scores, err);
    const SnStatus end = sn_json_walk_end(&w);
    d->score = scores;
    d->unk_score -= UNK_PENALTY;
    return st != SN_OK ? st : end;
}

SnStatus sn_draft_read_unigram(SnTokDraft *d, SnBytes text, const SnJson *v, SnError *err)
{
    bool falls_back = false;
    int64_t unk = -1;
    d->kind = SN_TOK_UNIGRAM;
    SN_TRY(read_pieces(d, text, sn_json_get(v, "vocab"), err));
    const SnJson *id = sn_json_get(v, "unk_id"), *fallback = sn_json_get(v, "byte_fallback");
    SN_CHECK(sn_json_is_null(id) || (sn_json_int(id, &unk) && unk >= 0 && unk < d->nvocab), err, SN_EFORMAT,
             "unk_id is no id of the vocabulary");
    SN_CHECK(fallback == NULL || sn_json_bool(fallback, &falls_back), err, SN_EFORMAT,
             "byte_fallback is not true or false");
    if (unk >= 0) {
        d->unk = d->vocab[unk];
        d->unk_id = (uint32_t)unk + 1;
    }
    d->model_flags = falls_back ? SN_TOK_BYTE_FALLBACK : 0;
    d->next_id = d->nvocab;
    return put_trie(d, err);
}
