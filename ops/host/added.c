/* added.c -- finding added tokens: names that are cut out of a text before the model sees it.
 *
 * The names are sorted by bytes; at a place in the text the range of names that agree with it is narrowed
 * byte by byte, so that the longest one is found without a table of states. A table over first bytes skips
 * other places. */
#include "ops/host/tok.h"

/* First of names [lo, hi), which agree in `depth` bytes, whose next byte is at least `byte`. */
static uint32_t narrow(const uint8_t *pool, const SnTokAdded *all, uint32_t lo, uint32_t hi, size_t depth,
                       int byte)
{
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        const int next = all[mid].size > depth ? pool[all[mid].at + depth] : -1;
        if (next < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest name at text[at]; of equal names the first. NULL: none. */
static const SnTokAdded *longest_at(const SnTokTable *t, const SnTokAdded *all, const uint32_t *first,
                                    SnBytes text, size_t at)
{
    const uint8_t *pool = sn_tok_POOL(t);
    const SnTokAdded *best = NULL;
    uint32_t lo = first[text.at[at]], hi = first[text.at[at] + 1];
    for (size_t depth = 1; lo < hi; depth++) {
        if (all[lo].size == depth)
            best = &all[lo];
        if (at + depth == text.n)
            break;
        const int byte = text.at[at + depth];
        lo = narrow(pool, all, lo, hi, depth, byte);
        hi = narrow(pool, all, lo, hi, depth, byte + 1);
    }
    return best;
}

static uint32_t flags_before(SnBytes text, size_t at, size_t *size)
{
    size_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && sn_tok_is_tail(text.at[begin]))
        begin--;
    *size = at - begin;
    return sn_code_class(sn_tok_code_point(text.at + begin, *size))->flags;
}

static uint32_t flags_after(SnBytes text, size_t at, size_t *size)
{
    *size = sn_tok_char_size(text.at + at, text.n - at);
    return sn_code_class(sn_tok_code_point(text.at + at, *size))->flags;
}

static bool is_inside_word(SnBytes text, size_t begin, size_t end)
{
    size_t size;
    return (begin > 0 && (flags_before(text, begin, &size) & SN_CP_WORD)) ||
           (end < text.n && (flags_after(text, end, &size) & SN_CP_WORD));
}

/* White space on its left is taken as far as no piece has it yet; on its right all of it, and where that
 * holds another added token the two overlap, as in the reference. */
static void take_space(SnBytes text, uint32_t flags, size_t taken, SnTokMatch *m)
{
    size_t size;
    if (flags & SN_TOK_LSTRIP) {
        while (m->begin > taken && (flags_before(text, m->begin, &size) & SN_CP_SPACE))
            m->begin -= size;
        m->begin = m->begin > taken ? m->begin : taken;
    }
    if (flags & SN_TOK_RSTRIP)
        while (m->end < text.n && (flags_after(text, m->end, &size) & SN_CP_SPACE))
            m->end += size;
}

/* The next place from `at` on, before `stop`, where a name may begin, or `stop`. */
static size_t next_place(const uint8_t *pool, const SnTokAdded *all, const uint32_t *first, SnBytes text,
                         size_t at, size_t stop)
{
    const uint8_t byte = pool[all[0].at];
    if (first[byte + 1] == first[256]) { /* all names begin with it */
        const uint8_t *p = memchr(text.at + at, byte, stop - at);
        return p != NULL ? (size_t)(p - text.at) : stop;
    }
    while (at < stop && first[text.at[at]] == first[text.at[at] + 1])
        at++;
    return at;
}

bool sn_tok_find_added(const SnTokTable *t, const SnTokAdded *all, const uint32_t *first, SnBytes text,
                       SnTokFinder *f, SnTokMatch *match, SnTokClock *clock)
{
    enum { STRETCH = 1024 };
    *match = (SnTokMatch){SN_TOK_NONE, text.n, text.n};
    if (first[256] == 0)
        f->at = text.n;
    while (f->at < text.n) {
        const SnTokAdded *a = NULL;
        const size_t begin = f->at, stop = text.n - begin < STRETCH ? text.n : begin + STRETCH;
        const uint8_t *pool = sn_tok_POOL(t);
        while ((f->at = next_place(pool, all, first, text, f->at, stop)) < stop &&
               (a = longest_at(t, all, first, text, f->at)) == NULL)
            f->at++;
        if (sn_tok_due(clock, f->at - begin + 1))
            return false;
        if (a == NULL)
            continue;
        *match = (SnTokMatch){a->id, f->at, f->at + a->size};
        f->at += a->size;
        if ((a->flags & SN_TOK_SINGLE_WORD) && is_inside_word(text, match->begin, match->end))
            continue;
        take_space(text, a->flags, f->taken, match);
        if (match->begin >= match->end)
            continue; /* all of it was white space that the token before took */
        f->taken = match->end;
        return true;
    }
    *match = (SnTokMatch){SN_TOK_NONE, text.n, text.n};
    f->taken = text.n;
    return true;
}
