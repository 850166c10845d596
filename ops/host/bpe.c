/* bpe.c -- byte-pair encoding: a word to ids by merging pairs of symbols, the best rank first, of equal ones
 * the leftmost.
 *
 * Few symbols: an array of the ranks of all pairs, each with its place, its minimum each time. Many: a heap
 * of the places of pairs. A symbol's place is the byte of the word where it begins, counted as the reference
 * counts: a character that becomes nothing takes none.
 *
 * Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units" (2016). */
#include "ops/host/tok.h"

enum { FEW = SN_TOK_GROUP_IDS, MOST_OF_ONE = 5, FEW_PLACES = 256, FEW_STEP = 8, FEW_ROOM = FEW + FEW_STEP };

typedef struct Symbol {
    uint32_t id, size;
} Symbol;

typedef struct Bpe {
    const SnTokTable *t;
    const uint64_t *merge;
    const uint32_t *merged, *byte;
    uint32_t mask, shift, id_bits, rank_bits;
    bool is_bytes, has_affix;
    uint32_t unknown; /* bytes that wait to be one unknown token */
} Bpe;

static Bpe begin(const SnTokTable *t)
{
    const uint32_t nslot = sn_tok_count(t, SN_TOK_MERGE);
    return (Bpe){.t = t,
                 .merge = sn_tok_MERGE(t),
                 .merged = sn_tok_MERGED(t),
                 .byte = sn_tok_BYTE(t),
                 .mask = nslot - 1,
                 .id_bits = t->id_bits,
                 .rank_bits = 64 - 2 * t->id_bits,
                 .is_bytes = t->model_flags & SN_TOK_BYTE_LEVEL,
                 .has_affix = t->prefix_size + t->suffix_size > 0};
}

static inline void fetch_rank(const Bpe *b, uint32_t x, uint32_t y)
{
    sn_prefetch(&b->merge[sn_tok_pair_slot((uint64_t)x << b->id_bits | y) & b->mask]);
}

static inline uint32_t rank_of(const Bpe *b, uint32_t x, uint32_t y)
{
    const uint64_t pair = (uint64_t)x << b->id_bits | y;
    for (uint32_t i = sn_tok_pair_slot(pair) & b->mask;; i = (i + 1) & b->mask) {
        const uint64_t slot = b->merge[i];
        if (slot >> b->rank_bits == pair && slot != SN_TOK_FREE_PAIR)
            return (uint32_t)(slot & (((uint64_t)1 << b->rank_bits) - 1));
        if (slot == SN_TOK_FREE_PAIR)
            return SN_TOK_NONE;
    }
}

/* ---- symbols ------------------------------------------------------------------------------------------ */

static uint32_t find_text(const Bpe *b, const uint8_t *text, size_t n)
{
    uint64_t h = SN_TOK_HASH;
    for (size_t i = 0; i < n; i++)
        h = sn_tok_hash(h, text[i]);
    return sn_tok_find(b->t, sn_tok_hash_end(h), sn_bytes(text, 0), sn_bytes(text, n));
}

/* The token of one character, with prefix and suffix where it is not the first, the last. */
static uint32_t find_char(const Bpe *b, SnBytes c, bool is_first, bool is_last)
{
    enum { ROOM = 256 };
    uint8_t text[ROOM];
    const uint8_t *pool = sn_tok_POOL(b->t);
    if (!b->has_affix)
        return c.n == 1 ? b->byte[256 + c.at[0]] : find_text(b, c.at, c.n);
    const size_t before = is_first ? 0 : b->t->prefix_size, after = is_last ? b->t->suffix_size : 0;
    if (before + c.n + after > ROOM)
        return SN_TOK_NONE;
    memcpy(text, pool + b->t->prefix_at, before);
    memcpy(text + before, c.at, c.n);
    memcpy(text + before + c.n, pool + b->t->suffix_at, after);
    return find_text(b, text, before + c.n + after);
}

static size_t put_unknown(Bpe *b, Symbol *out)
{
    *out = (Symbol){b->t->unk, b->unknown};
    const size_t n = b->unknown > 0;
    b->unknown = 0;
    return n;
}

/* The symbols of the character word[at .. at + size); returns how many. */
static size_t symbols_of(Bpe *b, SnBytes word, size_t at, size_t size, Symbol out[MOST_OF_ONE])
{
    const bool is_first = at == 0, is_last = at + size == word.n;
    const uint8_t *c = word.at + at;
    const uint32_t id = b->is_bytes ? b->byte[256 * ((is_first ? 0u : 1u) + (is_last ? 2u : 0u)) + c[0]]
                                    : find_char(b, sn_bytes(c, size), is_first, is_last);
    size_t n = 0;
    if (id != SN_TOK_NONE) {
        n = put_unknown(b, out);
        out[n++] = (Symbol){id, (uint32_t)size};
        return n;
    }
    if (!b->is_bytes && (b->t->model_flags & SN_TOK_BYTE_FALLBACK)) {
        while (n < size && b->byte[c[n]] != SN_TOK_NONE) {
            out[n] = (Symbol){b->byte[c[n]], 1};
            n++;
        }
        if (n == size)
            return n;
        n = 0;
    }
    if (b->t->unk == SN_TOK_NONE)
        return 0;
    if (!(b->t->model_flags & SN_TOK_FUSE_UNK))
        n = put_unknown(b, out);
    b->unknown += (uint32_t)size;
    return n;
}

static inline size_t char_size(const Bpe *b, SnBytes word, size_t at)
{
    return b->is_bytes ? 1 : sn_tok_char_size(word.at + at, word.n - at);
}

/* ---- few symbols -------------------------------------------------------------------------------------- */

/* A symbol keeps its place; a merge takes the one behind it out. */
typedef struct Few {
    uint32_t id[FEW_ROOM], end[FEW_ROOM];
    int32_t key[FEW_ROOM]; /* of the pair with the next symbol: rank, then place, so that the least is next */
    uint8_t next[FEW_ROOM], prev[FEW_ROOM]; /* next: `n` of the last one */
    size_t n, best;                         /* n: places; best: the symbol that was merged */
} Few;

static bool read_few(Bpe *b, SnBytes word, Few *f)
{
    Symbol s[MOST_OF_ONE];
    uint32_t end = 0;
    f->n = 0;
    for (size_t at = 0, size; at <= word.n; at += size) {
        size = at < word.n ? char_size(b, word, at) : 1;
        const size_t n = at < word.n ? symbols_of(b, word, at, size, s) : put_unknown(b, s);
        for (size_t i = 0; i < n; i++) {
            end += s[i].size;
            f->id[f->n] = s[i].id;
            f->prev[f->n] = (uint8_t)(f->n - 1);
            f->end[f->n++] = end;
            f->next[f->n - 1] = (uint8_t)f->n;
        }
        if (f->n > FEW)
            return false;
    }
    return sn_tok_count(b->t, SN_TOK_MERGED) <= INT32_MAX / FEW_PLACES;
}

/* Merging goes in steps, each of which asks for memory that the next one reads. */
static void fetch_few(const Bpe *b, const Few *f)
{
    for (size_t i = 0; i + 1 < f->n; i++)
        fetch_rank(b, f->id[i], f->id[i + 1]);
}

static inline void set_few(const Bpe *b, Few *f, size_t i)
{
    const size_t next = f->next[i];
    const uint32_t rank = next < f->n ? rank_of(b, f->id[i], f->id[next]) : SN_TOK_NONE;
    f->key[i] = rank != SN_TOK_NONE ? (int32_t)(rank * FEW_PLACES + i) : INT32_MAX;
    if (rank != SN_TOK_NONE)
        sn_prefetch(&b->merged[rank]);
}

static void rank_few(const Bpe *b, Few *f)
{
    for (size_t i = 0; i < f->n; i++)
        set_few(b, f, i);
    for (size_t i = f->n; i % FEW_STEP != 0; i++)
        f->key[i] = INT32_MAX;
}

/* Merges the best pair, whose new pairs have no rank yet; false: there is none. */
static bool merge_few(const Bpe *b, Few *f)
{
    int32_t least = INT32_MAX, lane[FEW_STEP];
    for (size_t k = 0; k < FEW_STEP; k++)
        lane[k] = INT32_MAX;
    for (size_t i = 0; i < f->n; i += FEW_STEP)
        for (size_t k = 0; k < FEW_STEP; k++)
            lane[k] = f->key[i + k] < lane[k] ? f->key[i + k] : lane[k];
    for (size_t k = 0; k < FEW_STEP; k++)
        least = lane[k] < least ? lane[k] : least;
    if (least == INT32_MAX)
        return false;
    const size_t best = (size_t)least % FEW_PLACES, gone = f->next[best], next = f->next[gone];
    f->best = best;
    f->id[best] = b->merged[least / FEW_PLACES];
    f->end[best] = f->end[gone];
    f->key[gone] = INT32_MAX;
    f->next[best] = (uint8_t)next;
    f->prev[next] = (uint8_t)best;
    if (best > 0)
        fetch_rank(b, f->id[f->prev[best]], f->id[best]);
    if (next < f->n)
        fetch_rank(b, f->id[best], f->id[next]);
    return true;
}

static void rank_new(const Bpe *b, Few *f)
{
    if (f->best > 0)
        set_few(b, f, f->prev[f->best]);
    set_few(b, f, f->best);
}

/* ---- many symbols ------------------------------------------------------------------------------------- */

typedef enum Phase { READ = 1, PAIR, MERGE, PUT } Phase;

/* Places of symbols, by place: lies in the work memory, behind this. */
typedef struct Many {
    Phase phase;
    size_t at;    /* READ, PAIR, PUT: how far */
    size_t end;   /* behind the last symbol */
    size_t last;  /* READ: place of the last symbol so far */
    size_t nheap; /* places of pairs, by rank and place */
    uint32_t unknown;
} Many;

typedef struct Places {
    uint32_t *id, *next, *prev; /* next: end of the last one */
    uint32_t *rank;             /* of the pair with the next symbol */
    uint32_t *heap, *slot;      /* slot: of a place in the heap, + 1; 0: it is not there */
} Places;

_Static_assert((int)FEW + MOST_OF_ONE <= (int)FEW_ROOM && (int)FEW_ROOM <= (int)FEW_PLACES, "places");
_Static_assert(sizeof(Many) <= 64 && 6 * sizeof(uint32_t) <= 24, "SN_TOK_WORK");

static Places places(SnTokWork *work, size_t n)
{
    uint32_t *at = (uint32_t *)(void *)((uint8_t *)work->at + 64);
    return (Places){at, at + n, at + 2 * n, at + 3 * n, at + 4 * n, at + 5 * n};
}

static bool comes_before(const Places *p, uint32_t a, uint32_t b)
{
    return p->rank[a] < p->rank[b] || (p->rank[a] == p->rank[b] && a < b);
}

static void set_slot(const Places *p, size_t i, uint32_t place)
{
    p->heap[i] = place;
    p->slot[place] = (uint32_t)i + 1;
}

static void move_up(const Places *p, size_t i)
{
    const uint32_t place = p->heap[i];
    for (; i > 0 && comes_before(p, place, p->heap[(i - 1) / 2]); i = (i - 1) / 2)
        set_slot(p, i, p->heap[(i - 1) / 2]);
    set_slot(p, i, place);
}

static void move_down(const Places *p, size_t n, size_t i)
{
    const uint32_t place = p->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < n && comes_before(p, p->heap[child + 1], p->heap[child]))
            child++;
        if (child >= n || !comes_before(p, p->heap[child], place))
            break;
        set_slot(p, i, p->heap[child]);
        i = child;
    }
    set_slot(p, i, place);
}

/* Gives the pair at a place its rank: it comes into the heap, moves or leaves. */
static void set_rank(const Places *p, Many *m, uint32_t place, uint32_t rank)
{
    size_t i = p->slot[place];
    p->rank[place] = rank;
    if (rank == SN_TOK_NONE && i == 0)
        return;
    if (i == 0) {
        set_slot(p, m->nheap, place);
        move_up(p, m->nheap++);
        return;
    }
    i--;
    if (rank == SN_TOK_NONE) {
        const uint32_t other = p->heap[--m->nheap];
        p->slot[place] = 0;
        if (other == place)
            return;
        set_slot(p, i, other);
    }
    move_up(p, i);
    move_down(p, m->nheap, i);
}

static bool read_many(Bpe *b, SnBytes word, const Places *p, Many *m, SnTokClock *clock)
{
    Symbol s[MOST_OF_ONE];
    b->unknown = m->unknown;
    while (m->at <= word.n) {
        const size_t size = m->at < word.n ? char_size(b, word, m->at) : 1;
        const size_t n = m->at < word.n ? symbols_of(b, word, m->at, size, s) : put_unknown(b, s);
        for (size_t i = 0; i < n; i++) {
            p->id[m->end] = s[i].id;
            p->prev[m->end] = m->end > 0 ? (uint32_t)m->last : SN_TOK_NONE;
            p->next[m->end] = (uint32_t)m->end + s[i].size;
            p->slot[m->end] = 0;
            m->last = m->end;
            m->end += s[i].size;
        }
        m->at += size;
        m->unknown = b->unknown;
        if (sn_tok_due(clock, 16))
            return false;
    }
    m->at = 0;
    m->phase = PAIR;
    return true;
}

static bool pair_many(const Bpe *b, const Places *p, Many *m, SnTokClock *clock)
{
    while (m->at < m->end && p->next[m->at] < m->end) {
        set_rank(p, m, (uint32_t)m->at, rank_of(b, p->id[m->at], p->id[p->next[m->at]]));
        m->at = p->next[m->at];
        if (sn_tok_due(clock, 64))
            return false;
    }
    m->phase = MERGE;
    return true;
}

static bool merge_many(const Bpe *b, const Places *p, Many *m, SnTokClock *clock)
{
    while (m->nheap > 0) {
        const uint32_t at = p->heap[0], gone = p->next[at], after = p->next[gone], before = p->prev[at];
        p->id[at] = b->merged[p->rank[at]];
        p->next[at] = after;
        set_rank(p, m, gone, SN_TOK_NONE);
        if (after < m->end)
            p->prev[after] = at;
        set_rank(p, m, at, after < m->end ? rank_of(b, p->id[at], p->id[after]) : SN_TOK_NONE);
        if (before != SN_TOK_NONE)
            set_rank(p, m, before, rank_of(b, p->id[before], p->id[at]));
        if (sn_tok_due(clock, 128))
            return false;
    }
    m->at = 0;
    m->phase = PUT;
    return true;
}

static SnStatus put_many(const Places *p, Many *m, SnTokIds *out, SnTokClock *clock, SnError *err)
{
    while (m->at < m->end) {
        SN_TRY(sn_tok_put_id(out, p->id[m->at], p->next[m->at], err));
        m->at = p->next[m->at];
        if (sn_tok_due(clock, 4))
            return SN_AGAIN;
    }
    return SN_OK;
}

static SnStatus run_many(Bpe *b, SnBytes word, SnTokWork *work, SnTokIds *out, SnError *err)
{
    Many *m = work->at;
    const Places p = places(work, word.n);
    if (work->step == 0)
        *m = (Many){.phase = READ};
    work->step = 1;
    const bool goes_on = (m->phase != READ || read_many(b, word, &p, m, work->clock)) &&
                         (m->phase != PAIR || pair_many(b, &p, m, work->clock)) &&
                         (m->phase != MERGE || merge_many(b, &p, m, work->clock));
    return goes_on ? put_many(&p, m, out, work->clock, err) : SN_AGAIN;
}

/* ---- words -------------------------------------------------------------------------------------------- */

/* The whole word as a token of the vocabulary, which writes bytes as signs where words are bytes. */
typedef struct Whole {
    uint64_t hash;
    SnBytes text;
} Whole;

/* sign: room for twice the word. text.at NULL: it is too long for a token. */
static Whole spell(const Bpe *b, SnBytes word, uint8_t *sign)
{
    Whole w = {SN_TOK_HASH, word};
    if (word.n > b->t->model_token_size)
        return (Whole){.text = {NULL, 0}};
    if (b->is_bytes) {
        w.text = sn_bytes(sign, 0);
        for (size_t i = 0; i < word.n; i++)
            w.text.n += sn_tok_put_char(sn_tok_byte_char(word.at[i]), sign + w.text.n);
    }
    for (size_t i = 0; i < w.text.n; i++)
        w.hash = sn_tok_hash(w.hash, w.text.at[i]);
    w.hash = sn_tok_hash_end(w.hash);
    sn_prefetch(&sn_tok_SLOT(b->t)[w.hash >> 32 & (sn_tok_count(b->t, SN_TOK_SLOT) - 1)]);
    return w;
}

static uint32_t find_whole(const Bpe *b, const Whole *w)
{
    return w->text.at != NULL ? sn_tok_find(b->t, w->hash, sn_bytes(w->text.at, 0), w->text) : SN_TOK_NONE;
}

SnStatus sn_tok_run_bpe(const SnTokTable *t, SnBytes word, SnTokWork *work, SnTokIds *out, SnError *err)
{
    Bpe b = begin(t);
    if (work->step == 0 && (t->model_flags & SN_TOK_IGNORE_MERGES)) {
        const Whole whole = spell(&b, word, work->at);
        const uint32_t id = find_whole(&b, &whole);
        if (id != SN_TOK_NONE)
            return sn_tok_put_id(out, id, word.n, err);
    }
    Few f;
    if (work->step > 0 || word.n > 4 * FEW || !read_few(&b, word, &f)) {
        b.unknown = 0;
        return run_many(&b, word, work, out, err);
    }
    for (rank_few(&b, &f); merge_few(&b, &f);)
        rank_new(&b, &f);
    for (size_t i = 0; i < f.n; i = f.next[i])
        SN_TRY(sn_tok_put_id(out, f.id[i], f.end[i], err));
    return SN_OK;
}

/* ---- words side by side, so that they wait for memory together --------------------------------------- */

/* Takes out those that are tokens as a whole. */
static void put_wholes(const Bpe *b, SnTokGroup *g, bool *is_done)
{
    uint8_t sign[SN_TOK_GROUP][2 * SN_TOK_GROUP_SIZE];
    Whole whole[SN_TOK_GROUP];
    for (size_t i = 0; i < g->n; i++)
        whole[i] = spell(b, g->word[i], sign[i]);
    for (size_t i = 0; i < g->n; i++) {
        const uint32_t id = find_whole(b, &whole[i]);
        is_done[i] = id != SN_TOK_NONE;
        g->id[i][0] = (int32_t)id;
        g->count[i] = 1;
    }
}

void sn_tok_group_bpe(const SnTokTable *t, SnTokGroup *g)
{
    Few few[SN_TOK_GROUP];
    bool is_done[SN_TOK_GROUP] = {false};
    Bpe b = begin(t);
    size_t nleft = 0, left[SN_TOK_GROUP];
    if (t->model_flags & SN_TOK_IGNORE_MERGES)
        put_wholes(&b, g, is_done);
    for (size_t i = 0; i < g->n; i++) {
        if (is_done[i])
            continue;
        b.unknown = 0;
        g->count[i] = SIZE_MAX;
        if (!read_few(&b, g->word[i], &few[i]))
            continue;
        fetch_few(&b, &few[i]);
        left[nleft++] = i;
    }
    for (size_t i = 0; i < nleft; i++)
        rank_few(&b, &few[left[i]]);
    while (nleft > 0) {
        const size_t n = nleft;
        nleft = 0;
        for (size_t i = 0; i < n; i++) {
            const Few *f = &few[left[i]];
            if (merge_few(&b, &few[left[i]])) {
                left[nleft++] = left[i];
                continue;
            }
            size_t *count = &g->count[left[i]];
            *count = 0;
            for (size_t k = 0; k < f->n; k = f->next[k])
                g->id[left[i]][(*count)++] = (int32_t)f->id[k];
        }
        for (size_t i = 0; i < nleft; i++)
            rank_new(&b, &few[left[i]]);
    }
}

bool sn_tok_check_bpe(const SnTokTable *t)
{
    const uint32_t nslot = sn_tok_count(t, SN_TOK_MERGE), nid = t->facts.vocab_size;
    bool has_free_slot = false;
    if (t->id_bits == 0 || t->id_bits > 31 || nslot == 0 || (nslot & (nslot - 1)) != 0 ||
        sn_tok_count(t, SN_TOK_BYTE) != SN_TOK_BYTES ||
        (sn_tok_count(t, SN_TOK_JUNCTION) != 0 && sn_tok_count(t, SN_TOK_JUNCTION) != SN_TOK_JUNCTIONS / 8))
        return false;
    const uint32_t rank_bits = 64 - 2 * t->id_bits;
    for (uint32_t i = 0; i < nslot; i++) {
        const uint64_t slot = sn_tok_MERGE(t)[i], rank = slot & (((uint64_t)1 << rank_bits) - 1);
        has_free_slot |= slot == SN_TOK_FREE_PAIR;
        if (slot != SN_TOK_FREE_PAIR && rank >= sn_tok_count(t, SN_TOK_MERGED))
            return false;
    }
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_MERGED); i++)
        if (sn_tok_MERGED(t)[i] >= nid)
            return false;
    for (uint32_t i = 0; i < SN_TOK_BYTES; i++)
        if (sn_tok_BYTE(t)[i] >= nid && sn_tok_BYTE(t)[i] != SN_TOK_NONE)
            return false;
    return has_free_slot;
}
