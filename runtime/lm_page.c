/* lm_page.c -- pages of the past: who has which.
 *
 * Rows that begin alike may have the same pages; a page of several rows is copied when one of them writes
 * into it. Dropped rows keep their pages until another one needs them. Layers that look back no farther than
 * a window have pages of their own kind, and a row keeps of those what its next token sees: a ring. */
#include "runtime/lm_state.h"

/* What is to be copied into a page that nobody has any more is not. */
static void forget_move(SnLmMoves *m, int32_t page)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->to[i] != page) {
            m->from[n] = m->from[i];
            m->to[n++] = m->to[i];
        }
    m->n = n;
}

static void give_back(SnLm *lm, SnLmKind kind, int32_t page)
{
    SnLmPool *p = &lm->pool[kind];
    if (page < 0 || --p->ref[page] > 0)
        return;
    forget_move(&lm->move[kind], page);
    p->spare[p->nspare++] = (uint32_t)page;
}

void sn_lm_release(SnLm *lm, SnLmSlot *s, uint32_t from_chunk)
{
    for (uint32_t k = 0; k < SN_LM_KINDS; k++)
        for (uint32_t c = from_chunk; c < lm->chunks; c++) {
            give_back(lm, (SnLmKind)k, s->table[k][c]);
            s->table[k][c] = -1;
        }
    const uint32_t left = from_chunk * SN_LM_PAGE;
    s->fed = s->fed < left ? s->fed : left;
}

/* ---- a window ---- */

/* The first chunk of the last n positions up to and with pos. */
static uint32_t first_of(uint32_t pos, uint32_t n)
{
    return pos + 1 > n ? (pos + 1 - n) / SN_LM_PAGE : 0;
}

/* The first chunk that a row keeps whose next token is at a position. */
static uint32_t first_kept(const SnLm *lm, SnLmKind kind, uint32_t pos)
{
    return kind == SN_LM_NEAR ? first_of(pos, lm->window) : 0;
}

bool sn_lm_knows(const SnLm *lm, const SnLmSlot *s, uint32_t npos)
{
    const uint32_t first = lm->window ? first_of(npos, lm->window - SN_LM_PAGE) : 0;
    return !lm->has[SN_LM_COPY_NEAR] || first * SN_LM_PAGE >= npos || s->table[SN_LM_NEAR][first] >= 0;
}

uint32_t sn_lm_near_pages(uint32_t window_pages, uint32_t rows, uint32_t tokens, uint32_t chunks)
{
    const uint32_t most = window_pages + 1 + (tokens + SN_LM_PAGE - 1) / SN_LM_PAGE;
    return window_pages ? rows * (most < chunks ? most : chunks) : 0;
}

/* ---- pages for a row ---- */

static bool has_page(const SnLm *lm, const SnLmSlot *s, SnLmKind kind)
{
    for (uint32_t c = 0; c < lm->chunks; c++)
        if (s->table[kind][c] >= 0)
            return true;
    return false;
}

/* A dropped row, the one that was dropped first; or else the live row that came last, if it came after s and
 * no run has it now. Its past is made again later, from its tokens. */
static SnLmSlot *find_victim(SnLm *lm, SnLmKind kind, const SnLmSlot *s)
{
    SnLmSlot *known = NULL, *live = NULL;
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *o = &lm->slot[i];
        if (o == s || !has_page(lm, o, kind))
            continue;
        if (o->use == SN_LM_KNOWN || o->use == SN_LM_DONE)
            known = !known || o->since < known->since ? o : known;
        else if (o->use == SN_LM_LIVE && o->since > s->since)
            live = !live || o->since > live->since ? o : live;
    }
    for (uint32_t i = 0; live && i < lm->round.nrow; i++)
        if (&lm->slot[lm->round.slot[i]] == live)
            live = NULL;
    return known ? known : live;
}

static int32_t take_page(SnLm *lm, SnLmKind kind, const SnLmSlot *s)
{
    SnLmPool *p = &lm->pool[kind];
    while (p->nspare == 0) {
        SnLmSlot *o = find_victim(lm, kind, s);
        if (!o)
            return -1;
        sn_lm_release(lm, o, 0);
    }
    const uint32_t page = p->spare[--p->nspare];
    p->ref[page] = 1;
    return (int32_t)page;
}

static bool hold(SnLm *lm, SnLmKind kind, SnLmSlot *s, uint32_t to)
{
    int32_t *table = s->table[kind];
    for (uint32_t c = first_kept(lm, kind, s->fed); c-- > 0 && table[c] >= 0;) {
        give_back(lm, kind, table[c]);
        table[c] = -1;
    }
    for (uint32_t c = s->fed / SN_LM_PAGE; c * SN_LM_PAGE < to; c++) {
        const int32_t old = table[c];
        if (old >= 0 && lm->pool[kind].ref[old] == 1)
            continue;
        const int32_t page = take_page(lm, kind, s);
        if (page < 0)
            return false;
        if (old >= 0 && c * SN_LM_PAGE < s->fed) {
            SnLmMoves *m = &lm->move[kind];
            m->from[m->n] = old;
            m->to[m->n++] = page;
        }
        give_back(lm, kind, old);
        table[c] = page;
    }
    return true;
}

bool sn_lm_hold(SnLm *lm, SnLmSlot *s, uint32_t to)
{
    bool has_all = true;
    for (uint32_t k = 0; k < SN_LM_KINDS && has_all; k++) /* of a kind that no layer keeps there is no copy */
        has_all = !lm->has[SN_LM_COPY + k] || hold(lm, (SnLmKind)k, s, to);
    if (has_all)
        return true;
    sn_lm_release(lm, s, s->fed / SN_LM_PAGE); /* no moves but those of rows that run */
    return false;
}

void sn_lm_share(SnLm *lm, SnLmSlot *to, const SnLmSlot *from, uint32_t npos)
{
    for (uint32_t k = 0; k < SN_LM_KINDS; k++)
        for (uint32_t c = first_kept(lm, (SnLmKind)k, npos); c * SN_LM_PAGE < npos; c++) {
            to->table[k][c] = from->table[k][c];
            if (to->table[k][c] >= 0)
                lm->pool[k].ref[to->table[k][c]]++;
        }
    to->fed = npos;
}
