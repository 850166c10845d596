/* tokens.c -- the tokens of a model while its files are read: by id, and in the hash that the table
 * will have. */
#include "frontends/tokenizer/draft.h"

enum { FEWEST_SLOTS = 16, POOL = 1 << 18 };

static uint64_t hash_on(uint64_t h, SnBytes s)
{
    for (size_t i = 0; i < s.n; i++)
        h = sn_tok_hash(h, s.at[i]);
    return h;
}

uint64_t sn_draft_hash(SnBytes a, SnBytes b)
{
    return sn_tok_hash_end(hash_on(hash_on(SN_TOK_HASH, a), b));
}

/* Mostly of a few bytes. */
static inline bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint32_t x[4];
    if (n == 0 || n > 2 * sizeof *x)
        return n == 0 || memcmp(a, b, n) == 0;
    if (n < sizeof *x)
        return a[0] == b[0] && a[n / 2] == b[n / 2] && a[n - 1] == b[n - 1];
    memcpy(&x[0], a, sizeof *x);
    memcpy(&x[1], a + n - sizeof *x, sizeof *x);
    memcpy(&x[2], b, sizeof *x);
    memcpy(&x[3], b + n - sizeof *x, sizeof *x);
    return x[0] == x[2] && x[1] == x[3];
}

static inline bool is_joined(SnBytes token, SnBytes a, SnBytes b)
{
    return token.n == a.n + b.n && same(token.at, a.at, a.n) && same(token.at + a.n, b.at, b.n);
}

bool sn_draft_is(const SnTokDraft *d, uint32_t id, SnBytes a, SnBytes b)
{
    return id < d->nvocab && d->vocab[id].at != NULL && is_joined(d->vocab[id], a, b);
}

/* The slot of a + b, or the free one where it belongs. */
static uint64_t *slot_of(const SnTokDraft *d, uint64_t h, SnBytes a, SnBytes b)
{
    const uint32_t mask = d->nslot - 1, tag = (uint32_t)(h >> 32);
    uint32_t i = tag & mask;
    while (d->slot[i] != 0 &&
           ((uint32_t)(d->slot[i] >> 32) != tag || !is_joined(d->vocab[(uint32_t)d->slot[i] - 1], a, b)))
        i = (i + 1) & mask;
    return &d->slot[i];
}

uint32_t sn_draft_joined(const SnTokDraft *d, SnBytes a, SnBytes b)
{
    return d->nslot > 0 ? (uint32_t)*slot_of(d, sn_draft_hash(a, b), a, b) - 1 : SN_TOK_NONE;
}

uint32_t sn_draft_token(const SnTokDraft *d, SnBytes text)
{
    return sn_draft_joined(d, text, (SnBytes){NULL, 0});
}

void sn_draft_fetch(const SnTokDraft *d, uint64_t h)
{
    if (d->nslot > 0)
        __builtin_prefetch(&d->slot[(uint32_t)(h >> 32) & (d->nslot - 1)]);
}

/* The id in the first slot that is looked at, or some other one. */
static inline uint32_t likely(const SnTokDraft *d, uint64_t h)
{
    const uint32_t id = (uint32_t)d->slot[(uint32_t)(h >> 32) & (d->nslot - 1)] - 1;
    return id < d->nvocab ? id : 0;
}

void sn_draft_find(const SnTokDraft *d, const SnBytes *text, uint32_t n, uint32_t *id)
{
    const SnBytes none = {NULL, 0};
    uint64_t h[SN_DRAFT_FIND];
    for (uint32_t i = 0; i < n; i++) {
        h[i] = sn_draft_hash(text[i], none);
        id[i] = SN_TOK_NONE;
        sn_draft_fetch(d, h[i]);
    }
    if (d->nslot == 0 || d->nvocab == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(&d->vocab[likely(d, h[i])]);
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(d->vocab[likely(d, h[i])].at);
    for (uint32_t i = 0; i < n; i++)
        id[i] = (uint32_t)*slot_of(d, h[i], text[i], none) - 1;
}

/* ---- putting ------------------------------------------------------------------------------------------ */

static bool grow_slots(SnTokDraft *d, uint32_t nslot)
{
    uint64_t *slot = sn_arena_array(d->arena, nslot, sizeof *slot);
    if (slot == NULL)
        return false;
    for (uint32_t k = 0; k < d->nslot; k++) {
        uint32_t i = (uint32_t)(d->slot[k] >> 32) & (nslot - 1);
        if (d->slot[k] == 0)
            continue;
        while (slot[i] != 0)
            i = (i + 1) & (nslot - 1);
        slot[i] = d->slot[k];
    }
    d->slot = slot;
    d->nslot = nslot;
    return true;
}

static bool grow_ids(SnTokDraft *d, uint32_t n)
{
    uint32_t cap = d->cap_vocab > 0 ? d->cap_vocab : FEWEST_SLOTS;
    while (cap < n)
        cap *= 2;
    SnBytes *vocab = sn_arena_array(d->arena, cap, sizeof *vocab);
    if (vocab == NULL)
        return false;
    if (d->nvocab > 0)
        memcpy(vocab, d->vocab, d->nvocab * sizeof *vocab);
    d->vocab = vocab;
    d->cap_vocab = cap;
    return true;
}

/* Tokens are looked at again and again: they lie close together, whatever lies between them in a file. */
static bool copy_token(SnTokDraft *d, SnBytes *text)
{
    if (d->pool == NULL || text->n > d->room) {
        d->room = text->n > POOL ? text->n : POOL;
        d->pool = sn_arena_alloc(d->arena, d->room);
        if (d->pool == NULL)
            return false;
    }
    if (text->n > 0)
        memcpy(d->pool, text->at, text->n);
    text->at = d->pool;
    d->pool += text->n;
    d->room -= text->n;
    return true;
}

bool sn_draft_expect_tokens(SnTokDraft *d, size_t n)
{
    uint32_t nslot = FEWEST_SLOTS;
    while (nslot < 2 * n && nslot < SN_TOK_MAX_IDS)
        nslot *= 2;
    return grow_slots(d, nslot) && grow_ids(d, nslot / 2);
}

bool sn_draft_put_token(SnTokDraft *d, SnBytes text, uint64_t h, uint32_t id, uint32_t *before)
{
    const SnBytes none = {NULL, 0};
    if ((id >= d->cap_vocab && !grow_ids(d, id + 1)) ||
        (d->ntoken >= d->nslot / 2 && !grow_slots(d, d->nslot > 0 ? 2 * d->nslot : FEWEST_SLOTS)) ||
        !copy_token(d, &text))
        return false;
    uint64_t *slot = slot_of(d, h, text, none);
    *before = (uint32_t)*slot - 1;
    d->ntoken += *slot == 0;
    *slot = (h & 0xFFFFFFFF00000000u) | (id + 1);
    d->vocab[id] = text;
    d->nvocab = id >= d->nvocab ? id + 1 : d->nvocab;
    d->longest = text.n > d->longest ? (uint32_t)text.n : d->longest;
    return true;
}
