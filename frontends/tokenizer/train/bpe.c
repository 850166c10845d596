/* bpe.c -- BPE, and so WordPiece: the most frequent pair of neighbours becomes a token, again and
 * again.
 *
 * Counts of pairs are kept up to date by the words that a merge changes. A queue has every pair with the
 * words that it came about in at one step, so a pair may stand there more than once, and what it counted then
 * is corrected when it comes up: as in the reference, whose merges depend on it. All positions together are
 * at most three for each character of the words.
 *
 * Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016). */
#include "frontends/tokenizer/train/train.h"
#include "ops/host/tok.h"
#include "runtime/hash.h"

#include <stdlib.h>

#define NONE UINT32_MAX

typedef struct Pair {
    uint64_t key;   /* first << 32 | second */
    int64_t count;  /* may go below 0 where max_token_length leaves pairs out */
    uint32_t fresh; /* words that it came about in at this step */
    uint32_t at;    /* where these go */
} Pair;

typedef struct Entry { /* of the queue */
    uint64_t count, key;
    uint32_t pair, at, n; /* words: positions from at on */
} Entry;

typedef struct Fresh { /* a pair came about in a word */
    uint32_t pair, word;
} Fresh;

typedef struct Word {
    uint32_t at, n; /* its symbols */
} Word;

typedef struct Bpe {
    const SnTrainPlan *plan;
    const SnTrainWords *words;
    const SnAllocator *memory;
    SnArena *arena;
    SnMap ids; /* of tokens */
    SN_VEC(SnBytes) token;
    SN_VEC(uint32_t) size; /* characters of each */
    Word *word;
    uint32_t *symbol, *position;
    size_t nsymbol, nposition, cap_position;
    SN_VEC(Pair) pair;
    uint32_t *slot; /* of pairs, one more than the place */
    size_t nslot;
    SN_VEC(Entry) queue;
    SN_VEC(Fresh) fresh;
    SN_VEC(uint32_t) touched;
    SN_VEC(uint64_t) merge;
} Bpe;

/* ---- tokens ---- */

/* The id of a + b, a new one where there is none. NONE: no memory. */
static uint32_t token_id(Bpe *b, SnBytes first, SnBytes second, uint32_t size)
{
    uint32_t id;
    char *text = sn_arena_alloc(b->arena, first.n + second.n + 1);
    if (!text)
        return NONE;
    if (first.n)
        memcpy(text, first.at, first.n);
    if (second.n)
        memcpy(text + first.n, second.at, second.n);
    const SnBytes token = sn_bytes(text, first.n + second.n);
    if (sn_map_get(&b->ids, token, &id))
        return id;
    id = (uint32_t)b->token.n;
    return sn_map_put(&b->ids, token, id) && sn_vec_push(b->memory, &b->token, token) &&
                   sn_vec_push(b->memory, &b->size, size)
               ? id
               : NONE;
}

static int by_frequency(const void *x, const void *y)
{
    const SnTrainChar *a = x, *b = y;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return a->code < b->code ? -1 : a->code > b->code;
}

static int by_code(const void *x, const void *y)
{
    const SnTrainChar *a = x, *b = y;
    return a->code < b->code ? -1 : a->code > b->code;
}

/* ids: of characters, or NONE, by code point. */
static bool add_alphabet(Bpe *b, uint32_t *ids)
{
    const int64_t limit = b->plan->limit_alphabet;
    SnTrainChars all = {0};
    bool ok = sn_train_chars(b->plan, b->words, &all);
    if (ok && limit >= 0 && all.n > (uint64_t)limit) {
        qsort(all.at, all.n, sizeof *all.at, by_frequency);
        all.n = (size_t)limit;
        qsort(all.at, all.n, sizeof *all.at, by_code);
    }
    for (size_t i = 0; ok && i < all.n; i++) {
        uint8_t text[4];
        const size_t n = sn_tok_put_char(all.at[i].code, text);
        const uint32_t id = token_id(b, sn_bytes(text, n), sn_bytes(NULL, 0), 1);
        ids[all.at[i].code] = id;
        ok = id != NONE;
    }
    sn_vec_clear(b->memory, &all);
    return ok;
}

/* ---- words to symbols ---- */

/* A character with the affixes of its place. */
static uint32_t affixed(Bpe *b, uint32_t id, bool is_first, bool is_last)
{
    const SnBytes prefix = is_first ? sn_bytes(NULL, 0) : b->plan->prefix;
    const SnBytes suffix = is_last ? b->plan->suffix : sn_bytes(NULL, 0), text = b->token.at[id];
    uint8_t *begin = prefix.n ? sn_arena_alloc(b->arena, prefix.n + text.n) : NULL;
    if (!prefix.n)
        return suffix.n ? token_id(b, text, suffix, 1) : id;
    if (!begin)
        return NONE;
    memcpy(begin, prefix.at, prefix.n);
    memcpy(begin + prefix.n, text.at, text.n);
    return token_id(b, sn_bytes(begin, prefix.n + text.n), suffix, 1);
}

static bool read_word(Bpe *b, size_t i, const uint32_t *ids, uint32_t *near[4])
{
    const SnBytes word = sn_train_word(b->words, i);
    b->word[i] = (Word){(uint32_t)b->nsymbol, 0};
    for (size_t at = 0; at < word.n;) {
        const bool is_first = at == 0;
        const uint32_t code = sn_train_char(b->plan, word, &at);
        uint32_t *known = &near[is_first | (at == word.n) << 1][code];
        if (ids[code] == NONE)
            continue;
        if (!*known)
            *known = affixed(b, ids[code], is_first, at == word.n) + 1;
        if (!*known)
            return false;
        b->symbol[b->nsymbol++] = *known - 1;
    }
    b->word[i].n = (uint32_t)(b->nsymbol - b->word[i].at);
    return true;
}

static SnStatus read_words(Bpe *b, SnError *err)
{
    enum { CODES = SN_CP_LAST + 1 };
    const size_t most = b->words->pool.n;
    uint32_t *ids = sn_alloc_zero(b->memory, 5 * CODES * sizeof *ids, 64);
    b->word = sn_alloc(b->memory, (b->words->all.n + 1) * sizeof *b->word, 64);
    b->symbol = sn_alloc(b->memory, (most + 1) * sizeof *b->symbol, 64);
    bool ok = ids && b->word && b->symbol;
    if (ok)
        memset(ids, 0xFF, CODES * sizeof *ids);
    for (size_t i = 0; ok && i < b->plan->nspecial; i++) {
        const SnBytes special = b->plan->special[i];
        const uint32_t id = token_id(b, special, sn_bytes(NULL, 0), 1);
        if (special.n && sn_tok_char_size(special.at, special.n) == special.n)
            ids[sn_tok_code_point(special.at, special.n)] = id;
        ok = id != NONE;
    }
    ok = ok && add_alphabet(b, ids);
    uint32_t *near[4];
    for (size_t k = 0; ok && k < 4; k++)
        near[k] = ids + (k + 1) * CODES;
    for (size_t i = 0; ok && i < b->words->all.n; i++)
        ok = read_word(b, i, ids, near);
    sn_free(b->memory, ids, 5 * CODES * sizeof *ids, 64);
    SN_CHECK(ok, err, SN_ENOMEM, "no memory for the symbols of %zu words", b->words->all.n);
    return SN_OK;
}

/* ---- pairs ---- */

static bool widen(Bpe *b)
{
    const size_t n = b->nslot ? 2 * b->nslot : 1 << 14;
    uint32_t *slot = sn_alloc_zero(b->memory, n * sizeof *slot, 64);
    if (!slot)
        return false;
    for (size_t i = 0; i < b->pair.n; i++) {
        size_t k = (size_t)sn_tok_hash_end(b->pair.at[i].key) & (n - 1);
        while (slot[k])
            k = (k + 1) & (n - 1);
        slot[k] = (uint32_t)i + 1;
    }
    sn_free(b->memory, b->slot, b->nslot * sizeof *slot, 64);
    b->slot = slot;
    b->nslot = n;
    return true;
}

static uint32_t find_pair(Bpe *b, uint32_t first, uint32_t second)
{
    const uint64_t key = (uint64_t)first << 32 | second;
    if (b->pair.n >= b->nslot / 2 && !widen(b))
        return NONE;
    size_t k = (size_t)sn_tok_hash_end(key) & (b->nslot - 1);
    for (; b->slot[k]; k = (k + 1) & (b->nslot - 1))
        if (b->pair.at[b->slot[k] - 1].key == key)
            return b->slot[k] - 1;
    if (!sn_vec_push(b->memory, &b->pair, (Pair){.key = key}))
        return NONE;
    b->slot[k] = (uint32_t)b->pair.n;
    return b->slot[k] - 1;
}

/* A pair comes (or goes) in a word, count times. */
static bool change(Bpe *b, uint32_t first, uint32_t second, uint32_t word, int64_t count)
{
    const uint32_t i = find_pair(b, first, second);
    if (i == NONE)
        return false;
    Pair *p = &b->pair.at[i];
    p->count += count;
    if (count < 0)
        return true;
    /* Words are changed one after the other: a second time is next to the first. */
    if (p->fresh && b->fresh.at[p->at].word == word)
        return true;
    if (!p->fresh && !sn_vec_push(b->memory, &b->touched, i))
        return false;
    p->fresh++;
    p->at = (uint32_t)b->fresh.n;
    return sn_vec_push(b->memory, &b->fresh, (Fresh){i, word});
}

/* ---- the queue: most frequent first, then by ids ---- */

enum { WAYS = 4 };

static bool is_before(const Entry *a, const Entry *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static bool push(Bpe *b, Entry e)
{
    if (!sn_vec_push(b->memory, &b->queue, e))
        return false;
    size_t i = b->queue.n - 1;
    for (; i > 0 && is_before(&e, &b->queue.at[(i - 1) / WAYS]); i = (i - 1) / WAYS)
        b->queue.at[i] = b->queue.at[(i - 1) / WAYS];
    b->queue.at[i] = e;
    return true;
}

/* Puts e in the place of the first one. */
static void sift(Bpe *b, Entry e)
{
    Entry *q = b->queue.at;
    size_t i = 0, first;
    while ((first = WAYS * i + 1) < b->queue.n) {
        const size_t end = first + WAYS < b->queue.n ? first + WAYS : b->queue.n;
        size_t best = first;
        for (size_t k = first + 1; k < end; k++)
            best = is_before(&q[k], &q[best]) ? k : best;
        if (!is_before(&q[best], &e))
            break;
        q[i] = q[best];
        i = best;
    }
    q[i] = e;
}

static Entry pop(Bpe *b)
{
    const Entry top = b->queue.at[0], last = b->queue.at[--b->queue.n];
    if (b->queue.n)
        sift(b, last);
    return top;
}

/* What came about in this step goes into the queue. */
static bool push_fresh(Bpe *b)
{
    for (size_t i = 0; i < b->touched.n; i++) {
        Pair *p = &b->pair.at[b->touched.at[i]];
        p->at = (uint32_t)b->nposition;
        b->nposition += p->fresh;
    }
    SN_ASSERT(b->nposition <= b->cap_position);
    for (size_t i = 0; i < b->fresh.n; i++)
        b->position[b->pair.at[b->fresh.at[i].pair].at++] = b->fresh.at[i].word;
    bool ok = true;
    for (size_t i = 0; ok && i < b->touched.n; i++) {
        Pair *p = &b->pair.at[b->touched.at[i]];
        if (p->count > 0)
            ok = push(b, (Entry){(uint64_t)p->count, p->key, b->touched.at[i], p->at - p->fresh, p->fresh});
        p->fresh = 0;
    }
    b->touched.n = b->fresh.n = 0;
    return ok;
}

static bool count_pairs(Bpe *b)
{
    bool ok = true;
    for (size_t i = 0; ok && i < b->words->all.n; i++) {
        const uint32_t *s = b->symbol + b->word[i].at;
        for (uint32_t k = 0; ok && k + 1 < b->word[i].n; k++)
            ok = change(b, s[k], s[k + 1], (uint32_t)i, (int64_t)b->words->all.at[i].count);
    }
    return ok && push_fresh(b);
}

/* ---- merging ---- */

static bool is_short(const Bpe *b, uint32_t symbol, uint32_t id)
{
    return b->plan->max_token_length < 0 ||
           (int64_t)b->size.at[symbol] + b->size.at[id] < b->plan->max_token_length;
}

/* Makes id of the pairs in a word, from the left. */
static bool merge_word(Bpe *b, uint32_t i, uint32_t first, uint32_t second, uint32_t id)
{
    const int64_t count = (int64_t)b->words->all.at[i].count;
    uint32_t *s = b->symbol + b->word[i].at, n = b->word[i].n, to = 0;
    bool ok = true;
    for (uint32_t k = 0; ok && k < n; k++) {
        if (s[k] != first || k + 1 == n || s[k + 1] != second) {
            s[to++] = s[k];
            continue;
        }
        if (to > 0) {
            ok = change(b, s[to - 1], first, i, -count);
            if (ok && is_short(b, s[to - 1], id))
                ok = change(b, s[to - 1], id, i, count);
        }
        k++;
        if (ok && k + 1 < n) {
            ok = change(b, second, s[k + 1], i, -count);
            if (ok && is_short(b, s[k + 1], id))
                ok = change(b, id, s[k + 1], i, count);
        }
        s[to++] = id;
    }
    b->word[i].n = to;
    return ok;
}

static bool merge_entry(Bpe *b, const Entry *e)
{
    const uint32_t first = (uint32_t)(e->key >> 32), second = (uint32_t)e->key;
    const SnBytes prefix = b->plan->prefix;
    SnBytes rest = b->token.at[second];
    if (prefix.n && rest.n >= prefix.n && memcmp(rest.at, prefix.at, prefix.n) == 0)
        rest = sn_bytes(rest.at + prefix.n, rest.n - prefix.n);
    const uint32_t id = token_id(b, b->token.at[first], rest, b->size.at[first] + b->size.at[second]);
    bool ok = id != NONE && sn_vec_push(b->memory, &b->merge, e->key);
    for (uint32_t k = 0; ok && k < e->n; k++)
        ok = merge_word(b, b->position[e->at + k], first, second, id);
    return ok && push_fresh(b);
}

static SnStatus merge_all(Bpe *b, SnError *err)
{
    b->cap_position = 3 * b->nsymbol;
    SN_CHECK(b->cap_position <= UINT32_MAX, err, SN_ESHAPE,
             "words of %zu characters are too many to train on", b->nsymbol);
    b->position = sn_alloc(b->memory, (b->cap_position + 1) * sizeof *b->position, 64);
    bool ok = b->position && count_pairs(b);
    while (ok && b->token.n < (uint64_t)b->plan->vocab_size && b->queue.n) {
        Entry top = b->queue.at[0];
        const uint64_t count = (uint64_t)b->pair.at[top.pair].count;
        if (top.count != count) {
            top.count = count;
            sift(b, top);
            continue;
        }
        if (count < 1 || (uint64_t)b->plan->min_frequency > count)
            break;
        (void)pop(b);
        ok = merge_entry(b, &top);
    }
    SN_CHECK(ok, err, SN_ENOMEM, "no memory to train on %zu words", b->words->all.n);
    return SN_OK;
}

/* ---- the vocabulary ---- */

/* A pair that was merged more than once has the rank of the last time. */
static bool put_merges(Bpe *b, SnTrainVocab *out)
{
    uint32_t *last = sn_arena_array(b->arena, b->pair.n + 1, sizeof *last);
    out->merge = sn_arena_array(b->arena, b->merge.n + 1, sizeof *out->merge);
    if (!last || !out->merge)
        return false;
    for (size_t i = 0; i < b->merge.n; i++)
        last[find_pair(b, (uint32_t)(b->merge.at[i] >> 32), (uint32_t)b->merge.at[i])] = (uint32_t)i;
    for (size_t i = 0; i < b->merge.n; i++) {
        const uint32_t first = (uint32_t)(b->merge.at[i] >> 32), second = (uint32_t)b->merge.at[i];
        if (last[find_pair(b, first, second)] != i)
            continue;
        out->merge[out->nmerge][0] = first;
        out->merge[out->nmerge++][1] = second;
    }
    return true;
}

static SnStatus put_vocab(Bpe *b, SnTrainVocab *out, SnError *err)
{
    out->n = b->token.n;
    out->token = sn_arena_array(b->arena, out->n + 1, sizeof *out->token);
    SN_CHECK(out->token && put_merges(b, out), err, SN_ENOMEM, "no memory for a vocabulary");
    if (out->n)
        memcpy(out->token, b->token.at, out->n * sizeof *out->token);
    return SN_OK;
}

SnStatus sn_train_bpe(const SnTrainPlan *p, const SnTrainWords *w, SnArena *arena, SnTrainVocab *out,
                      SnError *err)
{
    const SnAllocator *memory = w->memory;
    Bpe b = {.plan = p, .words = w, .memory = memory, .arena = arena};
    sn_map_init(&b.ids, memory);
    SnStatus st = read_words(&b, err);
    if (st == SN_OK)
        st = merge_all(&b, err);
    if (st == SN_OK)
        st = put_vocab(&b, out, err);
    sn_map_clear(&b.ids);
    sn_vec_clear(memory, &b.token);
    sn_vec_clear(memory, &b.size);
    sn_vec_clear(memory, &b.pair);
    sn_vec_clear(memory, &b.queue);
    sn_vec_clear(memory, &b.fresh);
    sn_vec_clear(memory, &b.touched);
    sn_vec_clear(memory, &b.merge);
    sn_free(memory, b.word, (w->all.n + 1) * sizeof *b.word, 64);
    sn_free(memory, b.symbol, (w->pool.n + 1) * sizeof *b.symbol, 64);
    sn_free(memory, b.position, (b.cap_position + 1) * sizeof *b.position, 64);
    sn_free(memory, b.slot, b.nslot * sizeof *b.slot, 64);
    return st;
}
