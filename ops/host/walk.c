/* walk.c -- cutting a text at the matches of a pattern, in eight places at once.
 *
 * The walk (see SnTokRegex) reads each character once, but each step waits for the one before it. So a chunk
 * is read as eight stretches side by side, all but the first one begun in the dark, a little before. Most are
 * then in the true state where they begin. Else: where a match ends, what follows depends on nothing that
 * lies before it, so the true walk goes on into the next stretch until it finds a match to end where one
 * ended there too, and from that place on what was found there is true. */
#include "ops/host/split.h"

#if SN_HAS_V3
#include <immintrin.h>
#endif

enum { WAYS = SN_TOK_WALK_WAYS, SHORT = 32, LONG = SN_TOK_WALK_MOST / WAYS, BEFORE = 16 };
enum { HERE = SN_TOK_WALK_HERE, BACK = SN_TOK_WALK_BACK, AGAIN = SN_TOK_WALK_AGAIN };
enum { MAYBE = SN_TOK_WALK_MAYBE, LAST = SN_TOK_WALK_LAST };

_Static_assert(WAYS *SHORT % 64 == 0, "chunks are words of borders");

#define FOR_WAYS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

typedef struct Walk {
    const SnTokPattern *p;
    const uint8_t *text;                 /* of the chunk */
    uint8_t class[SN_TOK_WALK_MOST];     /* of each byte; 0 where no character begins */
    uint16_t pair[SN_TOK_WALK_MOST / 2]; /* of two bytes each: which edge */
    uint8_t flag[SN_TOK_WALK_MOST];      /* SN_TOK_WALK_ of each character */
} Walk;

/* ---- many bytes together ------------------------------------------------------------------------------ */

/* Bit `bit` of each of 64 bytes. */
static inline uint64_t bits_of_any(const uint8_t *byte, int bit)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t part;
        memcpy(&part, byte + i, sizeof part);
        all |= ((part >> bit & 0x0101010101010101u) * 0x0102040810204080u >> 56) << i;
    }
    return all;
}

static inline void put_classes_any(Walk *w, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->class[i] = w->text[i] < 0x80 ? w->p->ascii[w->text[i]] : 0;
}

static inline void put_pairs_any(Walk *w, size_t n)
{
    for (size_t i = 0; i < n / 2; i++)
        w->pair[i] = (uint16_t)(w->class[2 * i] + w->p->nclass * w->class[2 * i + 1]);
}

#if SN_HAS_V3
SN_V3 static inline uint64_t bits_of_v3(const uint8_t *byte, int bit)
{
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)byte),
                  high = _mm256_loadu_si256((const __m256i *)(const void *)(byte + 32));
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(high, 7 - bit)) << 32 |
           (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(low, 7 - bit));
}

/* A table of 128 bytes is eight of 16, of which the bits above the lowest four choose. */
SN_V3 static inline void put_classes_v3(Walk *w, size_t n)
{
    __m256i part[8];
    for (int k = 0; k < 8; k++)
        part[k] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)(w->p->ascii + 16 * k)));
    for (size_t i = 0; i < n; i += 32) {
        const __m256i text = _mm256_loadu_si256((const __m256i *)(const void *)(w->text + i));
        __m256i found[8];
        for (int k = 0; k < 8; k++)
            found[k] = _mm256_shuffle_epi8(part[k], text);
        for (int bit = 4, k = 4; bit < 7; bit++, k /= 2)
            for (int j = 0; j < k; j++)
                found[j] =
                    _mm256_blendv_epi8(found[2 * j], found[2 * j + 1], _mm256_slli_epi16(text, 7 - bit));
        _mm256_storeu_si256((__m256i *)(void *)(w->class + i), found[0]);
    }
}

SN_V3 static inline void put_pairs_v3(Walk *w, size_t n)
{
    const __m256i factors = _mm256_set1_epi16((short)(w->p->nclass << 8 | 1));
    for (size_t i = 0; i < n; i += 32) {
        const __m256i class = _mm256_loadu_si256((const __m256i *)(const void *)(w->class + i));
        _mm256_storeu_si256((__m256i *)(void *)(w->pair + i / 2), _mm256_maddubs_epi16(class, factors));
    }
}
#else
#define bits_of_v3     bits_of_any
#define put_classes_v3 put_classes_any
#define put_pairs_v3   put_pairs_any
#endif

SN_INLINE uint64_t bits_of(const uint8_t *byte, int bit, bool has_v3)
{
    return has_v3 ? bits_of_v3(byte, bit) : bits_of_any(byte, bit);
}

/* Returns whether all of the first n bytes, a multiple of 64, are ASCII. */
SN_INLINE bool put_classes(Walk *w, SnBytes text, size_t n, bool has_v3)
{
    const SnTokPattern *p = w->p;
    uint64_t any = 0;
    if (has_v3)
        put_classes_v3(w, n);
    else
        put_classes_any(w, n);
    for (size_t i = 0; i < n; i += 64) {
        const uint64_t leads = bits_of(text.at + i, 7, has_v3) & bits_of(text.at + i, 6, has_v3);
        any |= leads;
        for (uint64_t left = leads; left != 0; left &= left - 1) {
            const size_t at = i + sn_low_bit(left);
            const uint8_t *c = text.at + at;
            size_t size;
            w->class[at] = (uint8_t)(*c < 0xE0 && at + 1 < text.n
                                         ? sn_tok_class_of(p, (c[0] & 0x1Fu) << 6 | (c[1] & 0x3Fu))
                                         : sn_tok_class_at(p, c, text.n - at, &size));
        }
    }
    if (p->pair != NULL && has_v3)
        put_pairs_v3(w, n);
    else if (p->pair != NULL)
        put_pairs_any(w, n);
    return any == 0;
}

/* ---- places that are read again ----------------------------------------------------------------------- */

/* Where the character before the one at `at` begins. */
static size_t before(const Walk *w, size_t from, size_t at)
{
    while (at > from && sn_tok_is_tail(w->text[--at]))
        ;
    return at;
}

/* The last place where a match may have ended before `at`. */
static size_t maybe_before(const Walk *w, size_t from, size_t at)
{
    while (at > from && (w->flag[--at] & MAYBE) == 0)
        ;
    return at;
}

/* Where the match begins that the character at `at` is read in; not before `from`. */
static size_t begin_of(const Walk *w, size_t from, size_t at)
{
    while (at > from && (w->flag[at - 1] & (HERE | BACK | LAST)) == 0)
        at--;
    if (at == from || (w->flag[at - 1] & HERE))
        return at == from ? from : at - 1;
    if (w->flag[--at] & BACK)
        return before(w, from, at);
    return maybe_before(w, from, at);
}

/* The end of the match that begins at `begin` and is known when the character at `at` is read. */
static size_t end_of(const Walk *w, size_t begin, size_t at)
{
    size_t last = at;
    for (size_t i = begin, row = w->p->nclass; row != 0 && i <= at; i++) {
        const uint32_t class = w->class[i], edge = class != 0 ? w->p->edge[row + class] : 2 * (uint32_t)row;
        last = (edge & 1) && i > begin ? i : last;
        row = edge >> 1;
    }
    return last;
}

/* What lies between `from` and `at`, where the walk has to read again; returns the row behind `at`. */
static uint32_t read_again(Walk *w, size_t from, size_t at)
{
    uint32_t row = 0;
    for (size_t k = at; k <= at;) {
        const size_t last = end_of(w, begin_of(w, from, k), k);
        w->flag[last] = HERE;
        row = w->p->walk[w->class[last]] >> SN_TOK_WALK_BITS;
        for (k = last + 1; k <= at; k++) {
            const uint32_t edge = w->p->walk[row + w->class[k]];
            w->flag[k] = (uint8_t)edge;
            row = edge >> SN_TOK_WALK_BITS;
            if (edge & AGAIN)
                break;
        }
    }
    return row;
}

/* ---- stretches ---------------------------------------------------------------------------------------- */

typedef struct Rows { /* of each walk, at begin and end of its stretch */
    uint32_t begin[WAYS], end[WAYS];
} Rows;

/* Each walk but the first one begins BEFORE its stretch, and so mostly knows what is true there. The rows lie
 * in registers. */
SN_INLINE void read_stretches(Walk *w, size_t size, Rows *r)
{
    const uint32_t *walk = w->p->walk;
#define X(k) uint32_t row##k = 0;
    FOR_WAYS(X)
#undef X
    for (size_t i = 0; i < BEFORE; i++) {
#define X(k) row##k = walk[row##k + w->class[(k > 0 ? k * size - BEFORE : 0) + i]] >> SN_TOK_WALK_BITS;
        FOR_WAYS(X)
#undef X
    }
    row0 = 0;
#define X(k) r->begin[k] = row##k;
    FOR_WAYS(X)
#undef X
    for (size_t i = 0; i < size; i++) {
#define X(k)                                                                                                 \
    row##k = walk[row##k + w->class[k * size + i]];                                                          \
    w->flag[k * size + i] = (uint8_t)row##k;                                                                 \
    row##k >>= SN_TOK_WALK_BITS;
        FOR_WAYS(X)
#undef X
    }
#define X(k) r->end[k] = row##k;
    FOR_WAYS(X)
#undef X
}

/* The same by two bytes at a time. */
SN_INLINE void read_pairs(Walk *w, size_t size, Rows *r)
{
    const uint32_t *pair = w->p->pair;
    uint16_t both;
#define X(k) uint32_t row##k = 0;
    FOR_WAYS(X)
#undef X
    for (size_t i = 0; i < BEFORE / 2; i++) {
#define X(k) row##k = pair[row##k + w->pair[(k > 0 ? k * size - BEFORE : 0) / 2 + i]] >> 2 * SN_TOK_WALK_BITS;
        FOR_WAYS(X)
#undef X
    }
    row0 = 0;
#define X(k) r->begin[k] = row##k / w->p->nclass;
    FOR_WAYS(X)
#undef X
    for (size_t i = 0; i < size / 2; i++) {
#define X(k)                                                                                                 \
    row##k = pair[row##k + w->pair[k * size / 2 + i]];                                                       \
    both = (uint16_t)row##k;                                                                                 \
    memcpy(&w->flag[k * size + 2 * i], &both, sizeof both);                                                  \
    row##k >>= 2 * SN_TOK_WALK_BITS;
        FOR_WAYS(X)
#undef X
    }
#define X(k) r->end[k] = row##k / w->p->nclass;
    FOR_WAYS(X)
#undef X
}

/* The true walk from `at` on, until it meets what was found before; returns where, or end. */
static size_t follow(Walk *w, size_t at, size_t end, uint32_t *row)
{
    for (; at < end; at++) {
        const uint32_t edge = w->p->walk[*row + w->class[at]];
        const uint8_t flags = (uint8_t)edge;
        if ((flags & (HERE | BACK)) && flags == w->flag[at])
            break;
        w->flag[at] = flags;
        *row = flags & AGAIN ? read_again(w, 0, at) : edge >> SN_TOK_WALK_BITS;
    }
    return at;
}

SN_INLINE size_t next_again(const Walk *w, size_t at, size_t end)
{
    uint8_t all = 0;
    for (size_t i = at; i < end; i++)
        all |= w->flag[i];
    while ((all & AGAIN) && at < end && !(w->flag[at] & AGAIN))
        at++;
    return all & AGAIN ? at : end;
}

/* The true walk through all stretches. */
SN_INLINE void join(Walk *w, size_t size, const Rows *r)
{
    uint32_t now = 0;
    for (size_t k = 0; k < WAYS; k++) {
        const size_t end = (k + 1) * size;
        size_t at = now == r->begin[k] ? k * size : follow(w, k * size, end, &now);
        while (at < end) {
            now = r->end[k];
            at = next_again(w, at, end);
            if (at < end) {
                now = read_again(w, 0, at);
                at = follow(w, at + 1, end, &now);
            }
        }
    }
}

/* ---- borders ------------------------------------------------------------------------------------------ */

/* Puts the places of bits; returns how many. Writes up to SN_TOK_WALK_SLACK more. */
SN_INLINE uint32_t put_places(uint64_t bits, uint32_t base, uint32_t *out)
{
    const uint32_t n = sn_count_bits(bits);
    for (uint32_t i = 0; i < n;) {
        for (const uint32_t stop = i + SN_TOK_WALK_SLACK; i < stop; i++) {
            out[i] = base + sn_low_bit(bits | (uint64_t)1 << 63);
            bits &= bits - 1;
        }
    }
    return n;
}

SN_INLINE uint32_t put_ends(const Walk *w, size_t n, bool is_ascii, uint32_t base, uint32_t *end, bool has_v3)
{
    uint64_t border[SN_TOK_WALK_MOST / 64 + 1] = {0};
    uint32_t nend = 0;
    for (size_t i = 0; i < n / 64; i++) {
        uint64_t back = bits_of(w->flag + 64 * i, 1, has_v3);
        border[i] |= bits_of(w->flag + 64 * i, 0, has_v3);
        for (uint64_t last = bits_of(w->flag + 64 * i, 4, has_v3); last != 0; last &= last - 1) {
            const size_t at = maybe_before(w, 0, 64 * i + sn_low_bit(last));
            border[at / 64] |= (uint64_t)1 << at % 64;
        }
        if (is_ascii) {
            border[i] |= back >> 1;
            border[i > 0 ? i - 1 : 0] |= i > 0 ? back << 63 : 0;
            continue;
        }
        for (; back != 0; back &= back - 1) {
            const size_t at = before(w, 0, 64 * i + sn_low_bit(back));
            border[at / 64] |= (uint64_t)1 << at % 64;
        }
    }
    border[0] &= ~(uint64_t)1;
    for (size_t i = 0; i < n / 64; i++)
        nend += put_places(border[i], base + (uint32_t)(64 * i), end + nend);
    return nend;
}

SN_INLINE uint32_t walk(const SnTokPattern *p, SnBytes text, size_t at, uint32_t end[SN_TOK_WALK_ENDS],
                        bool has_v3)
{
    Rows rows;
    const size_t left = text.n - at, size = left < WAYS * LONG ? SHORT : LONG;
    Walk w;
    w.p = p;
    w.text = text.at + at;
    const bool is_ascii = put_classes(&w, sn_bytes(w.text, left), WAYS * size, has_v3);
    if (p->pair != NULL && size == LONG)
        read_pairs(&w, LONG, &rows);
    else if (p->pair != NULL)
        read_pairs(&w, SHORT, &rows);
    else if (size == LONG)
        read_stretches(&w, LONG, &rows);
    else
        read_stretches(&w, SHORT, &rows);
    join(&w, size, &rows);
    return put_ends(&w, WAYS * size, is_ascii, (uint32_t)at, end, has_v3);
}

SN_V3 static uint32_t walk_v3(const SnTokPattern *p, SnBytes text, size_t at, uint32_t end[SN_TOK_WALK_ENDS])
{
    return walk(p, text, at, end, true);
}

uint32_t sn_tok_walk(const SnTokPattern *p, SnBytes text, size_t at, uint32_t end[SN_TOK_WALK_ENDS])
{
    if (p->walk == NULL || text.n - at < WAYS * SHORT)
        return 0;
    return SN_HAS_V3 && p->has_v3 ? walk_v3(p, text, at, end) : walk(p, text, at, end, false);
}
