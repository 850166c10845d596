/* attend_seen.c -- where what the rows of a tile can see ends.
 *
 * A causal mask is a term like any other; what it says is read off the scalar that the walk makes of it: a
 * bias that is a huge negative number, or a mask that is false, unless a line row * i - j + c of the places i
 * of a query and j of a key is above 0. Positions from the end on have p = exp(-huge) = 0 exactly in each row
 * that sees anything: they add nothing, and are left out. In a row that sees nothing all of them would count,
 * where it is a bias that says so; its greatest score tells, and then nothing is left out. */
#include "compiler/attend.h"

#define MAX_DEPTH 16
#define HUGE_BIAS -1e30 /* what is added to hide a position is less, and a score that is seen is more */

/* Stands for the head, place of the query and place of the key of a score. */
typedef struct Score {
    SnRef head, row, key;
} Score;

typedef struct Line {
    int64_t row, key;
    SnRef rest;
} Line;

/* r as a line, if it is one. */
static bool line_of(SnLower *l, const Score *x, SnRef r, int depth, Line *out)
{
    const SnTerm *t = sn_term(l->s, r);
    const SnRef zero = i_const(l, 0);
    Line a, b;
    *out = (Line){r == x->row, r == x->key, r == x->row || r == x->key ? zero : r};
    if (r == x->head || depth == 0)
        return false;
    if (t->op == SN_OP_ADD || t->op == SN_OP_SUB) {
        const int64_t sign = t->op == SN_OP_ADD ? 1 : -1;
        if (!line_of(l, x, t->arg[0], depth - 1, &a) || !line_of(l, x, t->arg[1], depth - 1, &b))
            return false;
        *out = (Line){a.row + sign * b.row, a.key + sign * b.key, sn_s2(l->s, t->op, a.rest, b.rest)};
        return true;
    }
    for (int i = 0; i < t->narg; i++)
        if (!line_of(l, x, t->arg[i], depth - 1, &a) || a.row != 0 || a.key != 0)
            return false;
    return true;
}

/* The end of keys for which low < high, or low <= high, at a place of a query; 0: there is none. */
static SnRef end_of_less(SnLower *l, const Score *x, SnRef low, SnRef high, bool or_equal, SnRef place)
{
    Line a, b;
    if (sn_dtype_of(l->s, low) != SN_I64 || !line_of(l, x, low, MAX_DEPTH, &a) ||
        !line_of(l, x, high, MAX_DEPTH, &b) || a.key - b.key != 1 || b.row < a.row)
        return 0;
    const SnRef far = i_add(l, i_mul(l, place, i_const(l, b.row - a.row)), i_sub(l, b.rest, a.rest));
    return i_add(l, far, i_const(l, or_equal));
}

/* The end of keys for which cond is `wanted`. */
static SnRef end_of(SnLower *l, const Score *x, SnRef cond, bool wanted, int depth, SnRef place)
{
    const SnTerm *t = sn_term(l->s, cond);
    if (depth == 0)
        return 0;
    if (t->op == SN_OP_NOT)
        return end_of(l, x, t->arg[0], !wanted, depth - 1, place);
    if (t->op == SN_OP_LT)
        return wanted ? end_of_less(l, x, t->arg[0], t->arg[1], false, place)
                      : end_of_less(l, x, t->arg[1], t->arg[0], true, place);
    if (t->op != SN_OP_AND && t->op != SN_OP_OR)
        return 0;
    const SnTerm *a = sn_term(l->s, t->arg[0]), *b = sn_term(l->s, t->arg[1]);
    if (wanted == (t->op == SN_OP_AND)) {
        const SnRef one = end_of(l, x, t->arg[0], wanted, depth - 1, place);
        const SnRef other = end_of(l, x, t->arg[1], wanted, depth - 1, place);
        return one == 0 ? other : other == 0 ? one : i_min(l, one, other);
    }
    const SnTerm *less = a->op == SN_OP_LT ? a : b, *same = less == a ? b : a;
    const bool is_least = wanted && less->op == SN_OP_LT && same->op == SN_OP_EQ &&
                          ((less->arg[0] == same->arg[0] && less->arg[1] == same->arg[1]) ||
                           (less->arg[0] == same->arg[1] && less->arg[1] == same->arg[0]));
    return is_least ? end_of_less(l, x, less->arg[0], less->arg[1], true, place) : 0;
}

static bool is_huge(const SnStore *s, SnRef r)
{
    SnScalar v;
    return sn_is_const(s, r, &v) && v.f < HUGE_BIAS;
}

static SnRef end_of_bias(SnLower *l, const Score *x, SnRef r, SnRef place)
{
    const SnTerm *t = sn_term(l->s, r);
    while (t->op == SN_OP_CAST)
        t = sn_term(l->s, t->arg[0]);
    if (t->op != SN_OP_WHERE)
        return 0;
    return is_huge(l->s, t->arg[2])   ? end_of(l, x, t->arg[0], true, MAX_DEPTH, place)
           : is_huge(l->s, t->arg[1]) ? end_of(l, x, t->arg[0], false, MAX_DEPTH, place)
                                      : 0;
}

SnRef sn_attend_end(SnLower *l, const SnAttend *a)
{
    const Score x = {sn_kernel_index(&l->kb), sn_kernel_index(&l->kb), sn_kernel_index(&l->kb)};
    const SnRef point[] = {a->batch, x.head, x.row, x.key}, keys = sn_lower_dim(l, a->keys);
    SnRef head[2], place[2], end = 0;
    (void)sn_attend_row(l, a, i_const(l, 0), &head[0], &place[0]);
    (void)sn_attend_row(l, a, i_const(l, a->nrow - 1), &head[1], &place[1]);
    if (a->of[SN_ATTEND_BIAS] != 0)
        end = end_of_bias(l, &x, sn_attend_spread(l, a, SN_ATTEND_BIAS, point, 0), place[1]);
    if (a->of[SN_ATTEND_MASK] != 0 && end == 0)
        end = end_of(l, &x, sn_attend_spread(l, a, SN_ATTEND_MASK, point, 0), true, MAX_DEPTH, place[1]);
    if (end == 0)
        return 0;
    end = i_max(l, i_min(l, end, keys), i_const(l, 0));
    return sn_s3(l->s, SN_OP_WHERE, sn_s2(l->s, SN_OP_EQ, head[0], head[1]), end, keys);
}

SnRef sn_attend_is_blind(SnLower *l, const SnAttend *a, int top)
{
    SnRef any = sn_const_bool(l->s, false);
    for (int64_t i = 0; i < a->nrow; i++)
        any = sn_s2(l->s, SN_OP_OR, any, i_lt(l, get(l, top, i_const(l, i)), real(l, HUGE_BIAS)));
    return any;
}
