/* lm_page.c -- pages of the past: who has which.
 *
 * Rows that begin alike may have the same pages; a page of several rows is copied when one of them writes
 * into it. Dropped rows keep their pages until another one needs them. */
#include "runtime/lm_state.h"

static void give_back(SnLm *lm, int32_t page)
{
    if (page >= 0 && --lm->ref[page] == 0)
        lm->spare[lm->nspare++] = (uint32_t)page;
}

void sn_lm_release(SnLm *lm, SnLmSlot *s, uint32_t from_chunk)
{
    for (uint32_t c = from_chunk; c < lm->chunks; c++) {
        give_back(lm, s->table[c]);
        s->table[c] = -1;
    }
    const uint32_t left = from_chunk * SN_LM_PAGE;
    s->fed = s->fed < left ? s->fed : left;
}

/* A dropped row, the one that was dropped first; or else the live row that came last, if it came after s and
 * no run has it now. Its past is made again later, from its tokens. */
static SnLmSlot *find_victim(SnLm *lm, const SnLmSlot *s)
{
    SnLmSlot *known = NULL, *live = NULL;
    for (uint32_t i = 0; i < lm->rows; i++) {
        SnLmSlot *o = &lm->slot[i];
        if (o == s || o->table[0] < 0)
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

static int32_t take_page(SnLm *lm, const SnLmSlot *s)
{
    while (lm->nspare == 0) {
        SnLmSlot *o = find_victim(lm, s);
        if (!o)
            return -1;
        sn_lm_release(lm, o, 0);
    }
    const uint32_t page = lm->spare[--lm->nspare];
    lm->ref[page] = 1;
    return (int32_t)page;
}

bool sn_lm_hold(SnLm *lm, SnLmSlot *s, uint32_t to)
{
    for (uint32_t c = s->fed / SN_LM_PAGE; c * SN_LM_PAGE < to; c++) {
        const int32_t old = s->table[c];
        if (old >= 0 && lm->ref[old] == 1)
            continue;
        const int32_t page = take_page(lm, s);
        if (page < 0)
            return false;
        if (old >= 0 && c * SN_LM_PAGE < s->fed) {
            lm->round.from[lm->round.nmove] = old;
            lm->round.to[lm->round.nmove++] = page;
        }
        give_back(lm, old);
        s->table[c] = page;
    }
    return true;
}

void sn_lm_share(SnLm *lm, SnLmSlot *to, const SnLmSlot *from, uint32_t npos)
{
    for (uint32_t c = 0; c * SN_LM_PAGE < npos; c++) {
        to->table[c] = from->table[c];
        lm->ref[to->table[c]]++;
    }
    to->fed = npos;
}
