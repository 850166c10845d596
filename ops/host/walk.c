/* walk.c -- cutting a text at the matches of a pattern, in eight places at once.
 *
 * The walk (see SnTokRegex) reads each character once, but each step waits for the one before it. So a chunk
 * is read as eight stretches side by side, all but the first one begun in the dark. Where a match ends, what
 * follows depends on nothing that lies before it: the true walk goes on into the next stretch until it finds
 * a match to end where one ended there too, and from that place on what was found there is true. */
#include "ops/host/split.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { WAYS = SN_TOK_WALK_WAYS, SHORT = 32, LONG = SN_TOK_WALK_MOST / WAYS };
enum { HERE = SN_TOK_WALK_HERE, BACK = SN_TOK_WALK_BACK, AGAIN = SN_TOK_WALK_AGAIN };
enum { MAYBE = SN_TOK_WALK_MAYBE, LAST = SN_TOK_WALK_LAST };

_Static_assert(WAYS *SHORT % 64 == 0, "chunks are words of borders");

#define FOR_WAYS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

enum { NO_ASCII = 0x80 };

typedef struct Walk {
    const SnTokPattern *p;
    const uint8_t *text; /* of the chunk */
    uint8_t class[256];  /* of each kind */
    /* Its bytes; of characters that are not ASCII NO_ASCII + class, and NO_ASCII. */
    uint8_t kind[SN_TOK_WALK_MOST];
    uint8_t flag[SN_TOK_WALK_MOST]; /* SN_TOK_WALK_ of each character */
} Walk;

static inline uint32_t class_at(const Walk *w, size_t at)
{
    return w->class[w->kind[at]];
}

#if defined(__SSE2__)
static inline uint64_t bytes_where(__m128i all)
{
    return (unsigned)_mm_movemask_epi8(all);
}
#endif

/* Which of 64 bytes begin a character that is not ASCII. */
static inline uint64_t leads_of(const uint8_t *text)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < 64; i += 16) {
#if defined(__SSE2__)
        const __m128i part = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        const __m128i is_lead = _mm_cmpgt_epi8(part, _mm_set1_epi8(-65)); /* or ASCII */
        all |= (bytes_where(is_lead) & bytes_where(part)) << i;
#else
        for (unsigned k = i; k < i + 16; k++)
            all |= (uint64_t)(text[k] >= 0xC0) << k;
#endif
    }
    return all;
}

/* Returns whether all of the first n bytes, a multiple of 64, are ASCII. */
static bool read_kinds(Walk *w, SnBytes text, size_t n)
{
    const SnTokPattern *p = w->p;
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++)
        w->kind[i] = text.at[i] < NO_ASCII ? text.at[i] : NO_ASCII;
    memcpy(w->class, p->ascii, NO_ASCII);
    for (unsigned i = 0; i < NO_ASCII; i++)
        w->class[NO_ASCII + i] = (uint8_t)i;
    for (size_t i = 0; i < n; i += 64) {
        const uint64_t leads = leads_of(text.at + i);
        any |= leads;
        for (uint64_t left = leads; left != 0; left &= left - 1) {
            const size_t at = i + sn_low_bit(left);
            const uint8_t *c = text.at + at;
            size_t size;
            w->kind[at] = (uint8_t)(NO_ASCII + (*c < 0xE0 && at + 1 < text.n
                                                    ? sn_tok_class_of(p, (c[0] & 0x1Fu) << 6 | (c[1] & 0x3Fu))
                                                    : sn_tok_class_at(p, c, text.n - at, &size)));
        }
    }
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
        const uint32_t class = class_at(w, i),
                       edge = class != 0 ? w->p->edge[row + class] : 2 * (uint32_t)row;
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
        row = w->p->walk[class_at(w, last)] >> SN_TOK_WALK_BITS;
        for (k = last + 1; k <= at; k++) {
            const uint32_t edge = w->p->walk[row + class_at(w, k)];
            w->flag[k] = (uint8_t)edge;
            row = edge >> SN_TOK_WALK_BITS;
            if (edge & AGAIN)
                break;
        }
    }
    return row;
}

/* ---- stretches ---------------------------------------------------------------------------------------- */

/* Reads all stretches; row[i] is where the walk of each is at its end. The rows lie in registers. */
static inline void read_stretches(Walk *w, size_t size, uint32_t row[WAYS])
{
    const uint32_t *walk = w->p->walk;
#define X(k) uint32_t row##k = 0;
    FOR_WAYS(X)
#undef X
    for (size_t i = 0; i < size; i++) {
#define X(k)                                                                                                 \
    row##k = walk[row##k + w->class[w->kind[k * size + i]]];                                                 \
    w->flag[k * size + i] = (uint8_t)row##k;                                                                 \
    row##k >>= SN_TOK_WALK_BITS;
        FOR_WAYS(X)
#undef X
    }
#define X(k) row[k] = row##k;
    FOR_WAYS(X)
#undef X
}

/* The true walk from `at` on, until it meets what was found before; returns where, or end. */
static size_t follow(Walk *w, size_t at, size_t end, uint32_t *row)
{
    for (; at < end; at++) {
        const uint32_t edge = w->p->walk[*row + class_at(w, at)];
        const uint8_t flags = (uint8_t)edge;
        if ((flags & (HERE | BACK)) && flags == w->flag[at])
            break;
        w->flag[at] = flags;
        *row = flags & AGAIN ? read_again(w, 0, at) : edge >> SN_TOK_WALK_BITS;
    }
    return at;
}

static size_t next_again(const Walk *w, size_t at, size_t end)
{
    uint8_t all = 0;
    for (size_t i = at; i < end; i++)
        all |= w->flag[i];
    while ((all & AGAIN) && at < end && !(w->flag[at] & AGAIN))
        at++;
    return all & AGAIN ? at : end;
}

/* The true walk through all stretches. */
static void join(Walk *w, size_t size, const uint32_t row[WAYS])
{
    uint32_t now = 0;
    for (size_t k = 0; k < WAYS; k++) {
        const size_t end = (k + 1) * size;
        size_t at = k > 0 ? follow(w, k * size, end, &now) : 0;
        while (at < end) {
            now = row[k];
            at = next_again(w, at, end);
            if (at < end) {
                now = read_again(w, 0, at);
                at = follow(w, at + 1, end, &now);
            }
        }
    }
}

/* ---- borders ------------------------------------------------------------------------------------------ */

/* Bit `bit` of each of 64 bytes. */
static inline uint64_t bits_of(const uint8_t *flag, int bit)
{
    uint64_t all = 0;
#if defined(__SSE2__)
    for (unsigned i = 0; i < 64; i += 16) {
        const __m128i part = _mm_loadu_si128((const __m128i *)(const void *)(flag + i));
        all |= bytes_where(_mm_slli_epi16(part, 7 - bit)) << i;
    }
#else
    for (unsigned i = 0; i < 64; i++)
        all |= (uint64_t)(flag[i] >> bit & 1) << i;
#endif
    return all;
}

/* Puts the places of bits; returns how many. Writes up to SN_TOK_WALK_SLACK more. */
static inline uint32_t put_places(uint64_t bits, uint32_t base, uint32_t *out)
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

static uint32_t put_ends(const Walk *w, size_t n, bool is_ascii, uint32_t base, uint32_t *end)
{
    uint64_t border[SN_TOK_WALK_MOST / 64 + 1] = {0};
    uint32_t nend = 0;
    for (size_t i = 0; i < n / 64; i++) {
        uint64_t back = bits_of(w->flag + 64 * i, 1);
        border[i] |= bits_of(w->flag + 64 * i, 0);
        for (uint64_t last = bits_of(w->flag + 64 * i, 4); last != 0; last &= last - 1) {
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

uint32_t sn_tok_walk(const SnTokPattern *p, SnBytes text, size_t at, uint32_t end[SN_TOK_WALK_ENDS])
{
    uint32_t row[WAYS];
    const size_t left = text.n - at, size = left < WAYS * LONG ? SHORT : LONG;
    Walk w;
    w.p = p;
    w.text = text.at + at;
    if (p->walk == NULL || left < WAYS * SHORT)
        return 0;
    const bool is_ascii = read_kinds(&w, sn_bytes(w.text, left), WAYS * size);
    if (size == LONG)
        read_stretches(&w, LONG, row);
    else
        read_stretches(&w, SHORT, row);
    join(&w, size, row);
    return put_ends(&w, WAYS * size, is_ascii, (uint32_t)at, end);
}
