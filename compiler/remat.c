/* remat.c -- what is computed again instead of being kept.
 *
 * A value is read in bursts: by what follows it in the forward part of a step, then by its gradient. Between
 * two of its readers, where the gap is widest, it need not exist if it is computed again behind it, from what
 * is alive there, or is computed again itself. That costs its work and frees its bytes in the gap; how long
 * its operands are needed for it is counted against it. Values are chosen one by one, the most bytes over the
 * limit per operation first, until no place is over the limit.
 *
 * Chen et al. 2016, arXiv:1604.06174; Kirisame et al. 2021, arXiv:2006.09616. */
#include "compiler/order.h"

#define LEAST_BYTES 4096 /* smaller ones are not worth a kernel */
#define STEP        16   /* of the peak is taken off at a time */
#define CHEAP       2    /* operations a byte: rows of a norm; no exp, no product */

/* ---- how much is alive ---- */

static bool reads_again(const SnNode *d, uint32_t place)
{
    return d->is_again && place > d->from;
}

/* Where second copies are made: users first, since a second copy of one may be what needs one. */
static void place_copies(SnOrder *x)
{
    for (uint32_t k = x->n; k-- > 0;) {
        SnNode *d = &x->node[x->by_place[k]];
        d->again_at = x->n;
        for (uint32_t i = 0; d->is_again && i < d->nuse; i++) {
            const SnNode *u = &x->node[x->use[d->first_use + i]];
            if (reads_again(d, u->at) && u->at < d->again_at)
                d->again_at = u->at;
            if (u->is_again && reads_again(d, u->again_at) && u->again_at < d->again_at)
                d->again_at = u->again_at;
        }
    }
}

static void read_at(SnOrder *x, const SnNode *u, uint32_t place, uint32_t *last, uint32_t *last_again)
{
    for (uint32_t i = 0; i < u->ndep; i++) {
        const uint32_t d = x->dep[u->first_dep + i];
        uint32_t *const at = reads_again(&x->node[d], place) ? &last_again[d] : &last[d];
        *at = place > *at ? place : *at;
    }
}

uint64_t sn_order_peak(SnOrder *x)
{
    uint32_t *const last = x->last, *const last_again = x->last + x->n;
    uint64_t peak = 0, now = 0;
    place_copies(x);
    memset(x->last, 0, 2 * (size_t)x->n * sizeof *x->last);
    memset(x->live, 0, (x->n + 1u) * sizeof *x->live);
    for (uint32_t i = 0; i < x->n; i++) {
        const SnNode *u = &x->node[i];
        read_at(x, u, u->at, last, last_again);
        if (u->is_again)
            read_at(x, u, u->again_at, last, last_again);
    }
    for (uint32_t i = 0; i < x->n; i++) { /* differences first; they wrap, their sums do not */
        const SnNode *u = &x->node[i];
        x->live[u->at] += u->bytes;
        x->live[(last[i] > u->at ? last[i] : u->at) + 1] -= u->bytes;
        if (u->is_again) {
            x->live[u->again_at] += u->bytes;
            x->live[last_again[i] + 1] -= u->bytes;
        }
    }
    for (uint32_t k = 0; k < x->n; k++) {
        now += x->live[k];
        x->live[k] = now + x->node[x->by_place[k]].inner;
        peak = x->live[k] > peak ? x->live[k] : peak;
    }
    return peak;
}

/* ---- what may be computed again, and where it is not needed ---- */

static bool is_pure(const SnOrder *x, const SnNode *u)
{
    const SnTerm *t = sn_term(x->s, u->r);
    switch (t->op) {
    case SN_OP_LOOP:
    case SN_OP_COND:
    case SN_OP_HOST:
    case SN_OP_SORT:
    case SN_OP_UPDATE:
    case SN_OP_SCATTER:
    case SN_OP_ENTRY:
    case SN_OP_FN:
        return false;
    default:
        return sn_type(x->s, t->type)->kind == SN_TYPE_TENSOR && !sn_is_update(x->p, u->r);
    }
}

/* The widest gap between two readers that follow each other; returns the place where it ends. */
static uint32_t widest_gap(const SnOrder *x, const SnNode *u, uint32_t *from)
{
    uint32_t end = 0, best = 0;
    for (uint32_t i = 0; i <= u->nuse; i++) { /* from u itself, or from a reader, to the next one */
        const uint32_t begin = i == 0 ? u->at : x->node[x->use[u->first_use + i - 1]].at;
        uint32_t next = x->n;
        for (uint32_t k = 0; k < u->nuse; k++) {
            const uint32_t at = x->node[x->use[u->first_use + k]].at;
            next = at > begin && at < next ? at : next;
        }
        if (next < x->n && next - begin > best) {
            best = next - begin;
            *from = begin;
            end = next;
        }
    }
    return end;
}

/* ---- choosing ---- */

typedef struct Choice {
    SnOrder *x;
    uint32_t *end;   /* by node: where its gap ends; 0: it cannot be chosen */
    uint32_t *nover; /* by place: places up to it that are over the limit */
    uint64_t most, peak;
    bool is_cheap;
} Choice;

static double excess_of(Choice *c)
{
    double sum = 0;
    c->peak = sn_order_peak(c->x);
    for (uint32_t k = 0; k < c->x->n; k++) {
        const bool is_over = c->x->live[k] > c->most;
        c->nover[k] = (k ? c->nover[k - 1] : 0) + is_over;
        sum += is_over ? (double)(c->x->live[k] - c->most) : 0;
    }
    return sum;
}

static void find_gaps(Choice *c)
{
    for (uint32_t i = 0; i < c->x->n; i++) {
        SnNode *u = &c->x->node[i];
        const bool fits = u->bytes >= LEAST_BYTES && is_pure(c->x, u) && !u->is_again;
        c->end[i] = fits && (!c->is_cheap || u->work <= CHEAP * u->bytes) ? widest_gap(c->x, u, &u->from) : 0;
    }
}

/* c->x->n: none that helps. */
static uint32_t best_of(const Choice *c)
{
    uint32_t best = c->x->n;
    double most = 0;
    for (uint32_t i = 0; i < c->x->n; i++) {
        const SnNode *u = &c->x->node[i];
        if (c->end[i] <= u->from + 1)
            continue;
        const uint32_t over = c->nover[c->end[i] - 1] - c->nover[u->from];
        const double gain = (double)over * (double)u->bytes / ((double)u->work + (double)u->bytes);
        if (gain > most) {
            most = gain;
            best = i;
        }
    }
    return best;
}

static bool choose(SnOrder *x, uint64_t most, bool is_cheap)
{
    Choice c = {.x = x, .most = most, .end = x->work, .nover = x->work + x->n, .is_cheap = is_cheap};
    find_gaps(&c);
    double excess = excess_of(&c);
    while (excess > 0) {
        const uint32_t i = best_of(&c);
        if (i == x->n)
            return false;
        x->node[i].is_again = true;
        c.end[i] = 0;
        const double now = excess_of(&c);
        if (now < excess) {
            excess = now;
        } else {
            x->node[i].is_again = false;
            (void)excess_of(&c);
        }
    }
    return true;
}

bool sn_order_fit(SnOrder *x, uint64_t most)
{
    return choose(x, most, false);
}

void sn_order_lower(SnOrder *x)
{
    uint64_t peak = sn_order_peak(x);
    bool goes_on = true;
    while (goes_on) {
        const uint64_t most = peak - peak / STEP;
        for (uint32_t i = 0; i < x->n; i++)
            x->was_again[i] = x->node[i].is_again;
        goes_on = most < peak && choose(x, most, true);
        peak = sn_order_peak(x);
    }
    for (uint32_t i = 0; i < x->n; i++)
        x->node[i].is_again = x->was_again[i];
}
