/* affine.c -- how an index moves from lane to lane. */
#include "compiler/kernel.h"

#define MAX_DEPTH 16

static void add_atom(const SnLanes *l, SnAffine *x, SnRef r, int64_t scale)
{
    for (int i = 0; i < x->n; i++) {
        if (x->atom[i] == r) {
            x->is_known = x->is_known && sn_add_i64(x->scale[i], scale, &x->scale[i]);
            return;
        }
    }
    if (x->n == SN_AFFINE_ATOMS || l->is_lane[sn_kernel_term_find(l->term, l->nterm, r)]) {
        x->is_known = false;
        return;
    }
    x->atom[x->n] = r;
    x->scale[x->n++] = scale;
}

static void add(const SnLanes *l, SnAffine *x, SnRef r, int64_t scale, int depth)
{
    const SnTerm *t = sn_term(l->s, r);
    int64_t c, product;
    if (sn_is_const_i64(l->s, r, &c)) {
        x->is_known = x->is_known && sn_mul_i64(c, scale, &c) && sn_add_i64(x->constant, c, &x->constant);
    } else if (r == l->var) {
        x->is_known = x->is_known && sn_add_i64(x->lane, scale, &x->lane);
    } else if (depth > 0 && t->op == SN_OP_ADD) {
        add(l, x, t->arg[0], scale, depth - 1);
        add(l, x, t->arg[1], scale, depth - 1);
    } else if (depth > 0 && t->op == SN_OP_SUB && sn_mul_i64(scale, -1, &product)) {
        add(l, x, t->arg[0], scale, depth - 1);
        add(l, x, t->arg[1], product, depth - 1);
    } else if (depth > 0 && t->op == SN_OP_MUL && sn_is_const_i64(l->s, t->arg[1], &c) &&
               sn_mul_i64(c, scale, &product)) {
        add(l, x, t->arg[0], product, depth - 1);
    } else {
        add_atom(l, x, r, scale);
    }
}

void sn_affine_add(const SnLanes *l, SnAffine *x, SnRef r, int64_t scale)
{
    add(l, x, r, scale, MAX_DEPTH);
}
