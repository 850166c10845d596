/* compose.c -- the four normalisation forms of Unicode, with what each character stands for.
 *
 * Decomposed characters are put in after the first of them; a composed one replaces its first part and drops
 * the second. Marks that change places keep what they say of the text, so that they take the places where
 * they end up, as in the reference.
 *
 * Unicode Standard Annex #15, "Unicode Normalization Forms"; the Unicode Standard, section 3.12 (Hangul). */
#include "ops/host/normal.h"

enum { S = 0xAC00, NS = 11172, L = 0x1100, NL = 19, V = 0x1161, NV = 21, T = 0x11A7, NT = 28, NVT = 588 };
enum { NORDER = 256, FEW_MARKS = 24 };

static uint8_t order_of(const SnTokChar *c)
{
    return sn_code_class(c->code)->order;
}

void sn_tok_place(const SnTokChar *src, size_t n, SnTokChar *dst, size_t m, int32_t empty)
{
    size_t at = 0;
    for (size_t i = 0; i < m; i++) {
        const int32_t change = dst[i].from;
        if (change > 0) {
            dst[i].from = at == 0 ? empty : src[at - 1].from;
            continue;
        }
        dst[i].from = src[at < n ? at : n - 1].from;
        at += 1 + (size_t) - (int64_t)change;
        at = at < n ? at : n;
    }
}

/* ---- decomposing -------------------------------------------------------------------------------------- */

typedef struct Parts {
    const uint32_t *at;
    size_t n;
} Parts;

typedef struct Apart { /* NFD or NFKD of single characters */
    const uint16_t *block;
    const uint8_t *low;
    const uint16_t *at;
    const uint32_t *pool;
    uint32_t nblock, nlow, nat, npool;
} Apart;

#define APART(t, FORM)                                                                                       \
    ((Apart){sn_tok_##FORM##_BLOCK(t), sn_tok_##FORM##_LOW(t), sn_tok_##FORM##_AT(t),                        \
             sn_tok_##FORM##_POOL(t), sn_tok_count(t, SN_TOK_##FORM##_BLOCK),                                \
             sn_tok_count(t, SN_TOK_##FORM##_LOW), sn_tok_count(t, SN_TOK_##FORM##_AT),                      \
             sn_tok_count(t, SN_TOK_##FORM##_POOL)})

static void look_up(Apart a, uint32_t cp, Parts *out)
{
    const uint32_t b = cp >> 8;
    if (b + 1 >= a.nblock)
        return;
    for (uint32_t i = a.block[b]; i < a.block[b + 1]; i++) {
        if (a.low[i] == (cp & 0xFF)) {
            *out = (Parts){a.pool + a.at[i], (size_t)(a.at[i + 1] - a.at[i])};
            return;
        }
    }
}

/* The full decomposition of a code point; room is for what no table has. */
static Parts decompose(const SnTokTable *t, const uint32_t *cp, bool is_compat, uint32_t room[3])
{
    Parts p = {cp, 1};
    if (*cp - S < NS) {
        const uint32_t i = *cp - S;
        room[0] = L + i / NVT;
        room[1] = V + i % NVT / NT;
        room[2] = T + i % NT;
        return (Parts){room, i % NT != 0 ? 3 : 2};
    }
    if (is_compat && (sn_form(t, *cp) & SN_FORM_COMPAT))
        look_up(APART(t, NFKD), *cp, &p);
    else if (sn_code_class(*cp)->flags & SN_CP_DECOMPOSES)
        look_up(APART(t, NFD), *cp, &p);
    return p;
}

/* Stable, by combining class: insertion for a few marks, counting for many. */
static void sort_marks(SnTokChar *mark, size_t n, SnTokChar *spare)
{
    if (n <= FEW_MARKS) {
        for (size_t i = 1; i < n; i++) {
            const SnTokChar m = mark[i];
            size_t j = i;
            for (; j > 0 && order_of(&mark[j - 1]) > order_of(&m); j--)
                mark[j] = mark[j - 1];
            mark[j] = m;
        }
        return;
    }
    size_t at[NORDER + 1] = {0};
    for (size_t i = 0; i < n; i++)
        at[order_of(&mark[i]) + 1]++;
    for (size_t i = 0; i < NORDER; i++)
        at[i + 1] += at[i];
    for (size_t i = 0; i < n; i++)
        spare[at[order_of(&mark[i])]++] = mark[i];
    memcpy(mark, spare, n * sizeof *mark);
}

static size_t decompose_all(const SnTokTable *t, bool is_compat, const SnTokChar *src, size_t n,
                            SnTokChar *dst, SnTokChar *spare, size_t cap)
{
    size_t m = 0, marks = 0; /* marks: where the row of marks that ends here begins */
    for (size_t i = 0; i < n; i++) {
        uint32_t room[3];
        const Parts p = decompose(t, &src[i].code, is_compat, room);
        if (p.n > cap - m)
            return SIZE_MAX;
        for (size_t k = 0; k < p.n; k++) {
            dst[m] = (SnTokChar){p.at[k], k > 0};
            if (order_of(&dst[m++]) == 0) {
                sort_marks(dst + marks, m - 1 - marks, spare);
                marks = m;
            }
        }
    }
    sort_marks(dst + marks, m - marks, spare);
    return m;
}

/* ---- composing ---------------------------------------------------------------------------------------- */

/* 0: the two do not compose. */
static uint32_t compose(const SnTokTable *t, uint32_t a, uint32_t b)
{
    if (a - L < NL && b - V < NV)
        return S + ((a - L) * NV + (b - V)) * NT;
    if (a - S < NS && (a - S) % NT == 0 && b - (T + 1) < NT - 1)
        return a + (b - T);
    if (!(sn_form(t, b) & SN_FORM_SECOND))
        return 0;
    const uint64_t pair = (uint64_t)a << 21 | b;
    const uint64_t *pairs = sn_tok_COMPOSE_PAIR(t);
    const size_t n = sn_tok_count(t, SN_TOK_COMPOSE_PAIR);
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (pairs[mid] < pair)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && pairs[lo] == pair ? sn_tok_COMPOSE_TO(t)[lo] : 0;
}

/* In place: a starter takes each character behind it that composes with it and that no mark of the same or a
 * higher class stands before. */
static size_t compose_all(const SnTokTable *t, SnTokChar *c, size_t n)
{
    size_t m = 0, starter = SIZE_MAX;
    uint8_t last = 0; /* class of the last mark kept after the starter */
    bool is_blocked = false;
    for (size_t i = 0; i < n; i++) {
        const uint8_t order = order_of(&c[i]);
        if (starter != SIZE_MAX && (!is_blocked || last < order)) {
            const uint32_t whole = compose(t, c[starter].code, c[i].code);
            if (whole != 0) {
                c[starter] = (SnTokChar){whole, c[starter].from + c[i].from - 1};
                continue;
            }
        }
        c[m] = c[i];
        if (order == 0)
            starter = m;
        is_blocked = order != 0;
        last = order;
        m++;
    }
    return m;
}

size_t sn_tok_form(const SnTokTable *t, SnForm form, const SnTokChar *src, size_t n, SnTokChar *dst,
                   SnTokChar *spare, size_t cap)
{
    const bool is_compat = form == SN_FORM_NFKD || form == SN_FORM_NFKC;
    size_t m = decompose_all(t, is_compat, src, n, dst, spare, cap);
    if (m == SIZE_MAX)
        return m;
    if (form == SN_FORM_NFC || form == SN_FORM_NFKC)
        m = compose_all(t, dst, m);
    sn_tok_place(src, n, dst, m, -1);
    return m;
}

/* ---- checking ----------------------------------------------------------------------------------------- */

static bool are_code_points(const uint32_t *cp, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (cp[i] > SN_CP_LAST)
            return false;
    return true;
}

static bool check_apart(Apart a)
{
    if (a.nblock == 0)
        return true;
    if (a.nat != a.nlow + 1)
        return false;
    for (uint32_t i = 0; i < a.nblock; i++)
        if (a.block[i] > a.nlow)
            return false;
    for (uint32_t i = 0; i < a.nlow; i++)
        if (a.at[i] >= a.at[i + 1])
            return false;
    return a.at[a.nlow] <= a.npool && are_code_points(a.pool, a.npool);
}

static bool check_classes(const SnTokTable *t)
{
    enum { BLOCKS = (SN_CP_LAST >> SN_CP_BLOCK_BITS) + 1 };
    const uint32_t n = sn_tok_count(t, SN_TOK_FORM_FIRST);
    for (uint32_t i = 0; i < n; i++)
        if (sn_tok_FORM_FIRST(t)[i] >= sn_tok_count(t, SN_TOK_FORM_SECOND) >> SN_CP_BLOCK_BITS)
            return false;
    return n == 0 || n == BLOCKS;
}

bool sn_tok_check_forms(const SnTokTable *t)
{
    uint32_t reads = 0;
    for (uint32_t i = 0; i < sn_tok_count(t, SN_TOK_NORMALIZE); i++)
        reads |= sn_tok_norm_reads(sn_tok_NORMALIZE(t)[i].kind);
    const Apart nfd = APART(t, NFD), nfkd = APART(t, NFKD);
    const uint32_t has = (sn_tok_count(t, SN_TOK_FORM_FIRST) > 0 ? SN_READS_FORM : 0) |
                         (nfd.nblock > 0 ? SN_READS_NFD : 0) | (nfkd.nblock > 0 ? SN_READS_NFKD : 0) |
                         (sn_tok_count(t, SN_TOK_COMPOSE_PAIR) > 0 ? SN_READS_COMPOSE : 0);
    const uint32_t nto = sn_tok_count(t, SN_TOK_COMPOSE_TO);
    return (reads & ~has) == 0 && check_classes(t) && check_apart(nfd) && check_apart(nfkd) &&
           nto == sn_tok_count(t, SN_TOK_COMPOSE_PAIR) && are_code_points(sn_tok_COMPOSE_TO(t), nto);
}
