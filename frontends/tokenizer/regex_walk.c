/* regex_walk.c -- a pattern's DFA, that finds one match, to one that finds all of them without going back.
 *
 * When the DFA of one match dies, the next match begins where that one ended: before the character that was
 * just read, or one character earlier in the usual patterns ("  word": all spaces but the last). A state of
 * the machine made here is a state of the DFA and which character, if any, was read since a match ended last;
 * so that where the DFA dies the state is known that reading this character again would lead to. Likewise for
 * a run of characters of one class ("\n" before an indent), where two of them lead to the state that more do.
 * Where something else would have to be read again, an edge says so (SN_TOK_WALK_AGAIN). */
#include "frontends/tokenizer/regex.h"
#include "ops/host/tokenize.h"

enum { MAX_STATES = 1 << 12, MAX_CLASSES = 128, FIRST = 1, FAR = 0 };

typedef struct Machine {
    const uint32_t *edge; /* of the DFA: nclass a state, state 0 is dead, 1 the first */
    uint32_t nclass;
    const bool *is_used; /* of each class: some character has it */
    uint32_t ntail;      /* 2 nclass */
    uint32_t *number;    /* of (state, tail), + 1; 0: it has none */
    uint32_t *place;     /* the other way */
    uint32_t n;
} Machine;

/* tail: the class of the only character since the last match; nclass more: of two and more; or FAR. */
static uint32_t number_of(Machine *m, uint32_t state, uint32_t tail)
{
    const uint32_t place = state * m->ntail + tail;
    if (m->number[place] == 0) {
        if (m->n == MAX_STATES)
            return 0;
        m->place[m->n++] = place;
        m->number[place] = m->n;
    }
    return m->number[place];
}

static uint32_t edge_of(const Machine *m, uint32_t state, uint32_t class)
{
    return m->edge[state * m->nclass + class];
}

static uint32_t target(const Machine *m, uint32_t edge)
{
    return (edge >> 1) / m->nclass;
}

static uint32_t step(Machine *m, uint32_t place, uint32_t class, uint32_t *flags);

/* The place behind two and more characters of a class that a match begins with, or 0. */
static uint32_t place_of_run(Machine *m, uint32_t class)
{
    uint32_t place = FIRST * m->ntail + FAR, last = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t flags = 0;
        const uint32_t number = step(m, place, class, &flags);
        last = place;
        if (number == 0 || (flags & ~SN_TOK_WALK_MAYBE) != 0)
            return 0;
        place = m->place[number - 1];
    }
    return place == last ? place : 0;
}

/* The number of what reading `class` at a place leads to, and what it shows of matches. 0: too many states.
 */
static uint32_t step(Machine *m, uint32_t place, uint32_t class, uint32_t *flags)
{
    const uint32_t state = place / m->ntail, tail = place % m->ntail;
    const uint32_t edge = edge_of(m, state, class), next = target(m, edge);
    const bool ends = edge & 1;
    if (next != 0 && ends) {
        *flags |= SN_TOK_WALK_MAYBE;
        return number_of(m, next, class);
    }
    if (next != 0)
        return number_of(m, next, tail != FAR && tail % m->nclass == class ? m->nclass + class : FAR);
    if (ends) {
        *flags |= SN_TOK_WALK_HERE;
        return number_of(m, target(m, edge_of(m, FIRST, class)), FAR);
    }
    if (tail != FAR && tail < m->nclass && !(*flags & SN_TOK_WALK_BACK)) {
        *flags |= SN_TOK_WALK_BACK;
        return step(m, target(m, edge_of(m, FIRST, tail)) * m->ntail + FAR, class, flags);
    }
    const uint32_t run = tail > m->nclass && *flags == 0 ? place_of_run(m, tail - m->nclass) : 0;
    if (run != 0) {
        *flags |= SN_TOK_WALK_LAST;
        return step(m, run, class, flags);
    }
    *flags = SN_TOK_WALK_AGAIN;
    return number_of(m, FIRST, FAR);
}

/* Does every place of every text lie in a match, and no match have length 0? */
static bool covers(Machine *m)
{
    for (uint32_t class = 0; class < m->nclass; class ++)
        if (edge_of(m, FIRST, class) & 1)
            return false;
    (void)number_of(m, FIRST, FAR);
    for (uint32_t i = 0; i < m->n; i++) {
        for (uint32_t class = 1; class < m->nclass; class ++) {
            const uint32_t edge = edge_of(m, m->place[i] / m->ntail, class), next = target(m, edge);
            if (m->is_used[class] && !(edge & 1) && (next == 0 || number_of(m, next, FAR) == 0))
                return false;
        }
    }
    return true;
}

/* Visits all states, and once `out` is there writes their edges. false: there are too many. */
static bool make_edges(Machine *m, uint32_t *out)
{
    (void)number_of(m, FIRST, FAR);
    for (uint32_t i = 0; i < m->n; i++) {
        for (uint32_t class = 0; class < m->nclass; class ++) {
            uint32_t flags = 0, next = i + 1;
            if (m->is_used[class])
                next = step(m, m->place[i], class, &flags);
            if (next == 0)
                return false;
            if (out != NULL)
                out[i * m->nclass + class] = (next - 1) * m->nclass << SN_TOK_WALK_BITS | flags;
        }
    }
    return true;
}

/* Edges of two characters from those of one. */
static void make_pairs(const uint32_t *walk, uint32_t nwalk, uint32_t nclass, uint32_t *out)
{
    const uint32_t flags = (1u << SN_TOK_WALK_BITS) - 1;
    for (uint32_t row = 0; row < nwalk * nclass; row += nclass) {
        for (uint32_t i = 0; i < nclass * nclass; i++) {
            const uint32_t first = walk[row + i % nclass];
            const uint32_t second = walk[(first >> SN_TOK_WALK_BITS) + i / nclass];
            *out++ = (second >> SN_TOK_WALK_BITS) * nclass << 2 * SN_TOK_WALK_BITS |
                     (second & flags) << SN_TOK_WALK_BITS | (first & flags);
        }
    }
}

SnStatus sn_regex_walk(SnArena *work, SnArena *keep, const SnRegexDfa *d, uint32_t **out, uint32_t *nout,
                       uint32_t *npair, SnError *err)
{
    bool is_used[256] = {false};
    Machine m = {.edge = d->edge, .nclass = d->nclass, .ntail = 2 * d->nclass, .is_used = is_used};
    for (size_t i = 0; i < d->nchar; i++)
        is_used[d->class[i]] = true;
    *nout = *npair = 0;
    if (d->nstate >= MAX_STATES || d->nclass > MAX_CLASSES)
        return SN_OK;
    const size_t nnumber = (size_t)m.ntail * (1 + d->nstate);
    m.number = sn_arena_array(work, nnumber, sizeof *m.number);
    m.place = sn_arena_array(work, MAX_STATES, sizeof *m.place);
    SN_CHECK(m.number != NULL && m.place != NULL, err, SN_ENOMEM, "no memory for a pattern");
    if (!covers(&m))
        return SN_OK;
    memset(m.number, 0, nnumber * sizeof *m.number);
    m.n = 0;
    if (!make_edges(&m, NULL))
        return SN_OK;
    *npair = m.n <= SN_TOK_WALK_PAIRS / (d->nclass * d->nclass) ? d->nclass * d->nclass : 0;
    *out = sn_arena_array(keep, (size_t)m.n * (d->nclass + *npair), sizeof **out);
    SN_CHECK(*out != NULL, err, SN_ENOMEM, "no memory for a pattern");
    *nout = m.n;
    (void)make_edges(&m, *out);
    if (*npair > 0)
        make_pairs(*out, m.n, d->nclass, *out + (size_t)m.n * d->nclass);
    return SN_OK;
}
