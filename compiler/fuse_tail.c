/* fuse_tail.c -- products that are computed inside of the kernel that uses them.
 *
 * A contraction is not stored where one kernel uses it, a map, and every point of that map takes one point of
 * it: bias, gelu, residual, splitting into heads. The kernel (lower_contract.c) then walks the tiles of the
 * product and stores the map at the point where each of its sums goes. That point is found by the movement
 * between the two, which must be the same on every way from the map down to the product. */
#include "compiler/fuse.h"

#define MAX_TERMS 256
#define MANY      SN_FUSE_MANY

/* A term below the map, and the nearest movement above it: 0 none, MANY not the same for all its uses. */
typedef struct Use {
    SnRef r, move;
} Use;

typedef struct Cone {
    const SnStore *s;
    Use use[MAX_TERMS]; /* users before operands */
    int n;
    bool is_full;
} Cone;

static int find_use(const Cone *c, SnRef r)
{
    int i = c->n;
    while (i > 0 && c->use[i - 1].r <= r)
        i--;
    return i;
}

static void add_use(Cone *c, SnRef r, SnRef move)
{
    const int at = find_use(c, r);
    if (at < c->n && c->use[at].r == r) {
        c->use[at].move = c->use[at].move == move ? move : MANY;
    } else if (c->n == MAX_TERMS) {
        c->is_full = true;
    } else {
        memmove(c->use + at + 1, c->use + at, (size_t)(c->n - at) * sizeof *c->use);
        c->use[at] = (Use){r, move};
        c->n++;
    }
}

static bool is_zero(const SnStore *s, SnRef r)
{
    int64_t v;
    return sn_is_const_i64(s, r, &v) && v == 0;
}

static bool is_from_start(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    const SnAttr *steps = sn_attr(s, r, "steps");
    bool is = true;
    for (int i = 0; i < sn_type_of(s, r)->ndim; i++)
        is = is && is_zero(s, t->arg[1 + i]) &&
             (steps == NULL || i >= steps->u.ints.n || steps->u.ints.at[i] == 1);
    return is;
}

/* The nearest movement above operand i of a use. */
static SnRef move_above(const SnStore *s, const Use *u, int i)
{
    const SnTerm *t = sn_term(s, u->r);
    if (u->move == MANY)
        return MANY;
    switch (t->op) {
    case SN_OP_SLICE:
        return i == 0 && is_from_start(s, u->r) ? u->r : MANY;
    case SN_OP_RESHAPE:
    case SN_OP_PERMUTE:
        return i == 0 ? u->r : MANY;
    case SN_OP_BITCAST:
        return sn_dtype_size(sn_dtype_of(s, u->r)) == sn_dtype_size(sn_dtype_of(s, t->arg[0])) ? u->move
                                                                                               : MANY;
    default:
        return sn_op_is_elementwise(t->op) && sn_type_of(s, t->arg[i])->ndim == sn_type_of(s, u->r)->ndim
                   ? u->move
                   : MANY;
    }
}

/* The movements from the product at a place of the cone up to the map. */
static bool read_moves(const Cone *c, int at, SnTail *out)
{
    SnRef move = c->use[at].move;
    *out = (SnTail){.product = c->use[at].r};
    for (; move != 0 && move != MANY && out->nmove < SN_TAIL_MOVES; move = c->use[find_use(c, move)].move)
        out->move[out->nmove++] = move;
    return move == 0 && !c->is_full;
}

bool sn_tail_find(const SnPass *p, const bool *is_stored, SnRef home, SnRef product, SnTail *out)
{
    const SnStore *s = p->s;
    Cone c = {.s = s};
    if (sn_type_of(s, home)->kind != SN_TYPE_TENSOR)
        return false;
    add_use(&c, home, 0);
    for (int i = 0; i < c.n; i++) {
        const Use u = c.use[i];
        const SnTerm *t = sn_term(s, u.r);
        if (i > 0 && sn_is_product(p, u.r) && (product == 0 || u.r == product))
            return read_moves(&c, i, out);
        for (int k = 0; k < t->narg && u.r != product; k++) {
            const SnRef x = t->arg[k];
            if (x >= product && !is_stored[x] && !sn_is_dim(s, x) && sn_type_of(s, x)->kind == SN_TYPE_TENSOR)
                add_use(&c, x, move_above(s, &u, k));
        }
    }
    return false;
}

bool sn_fuse_take_tail(SnFuse *f, SnRef r)
{
    SnTail tail;
    const SnRef h = f->home[r];
    if (!sn_is_product(f->p, r) || h == 0 || h == SN_FUSE_MANY || f->rows[h].count > 0 ||
        f->rows[h].has_tail || !sn_tail_find(f->p, f->is_stored, h, r, &tail))
        return false;
    f->rows[h].has_tail = true;
    return true;
}
