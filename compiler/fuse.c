/* fuse.c -- decides which tensor terms are stored; the rest is computed where it is used.
 *
 * Three walks over refs. Down from the root: what is reached. Down again, users before operands: each use
 * grants its operand a number of units that may be spent on computing it again (without end when one kernel
 * reads an element once; nothing when several kernels do, or when it stands in the innermost loop of a
 * contraction); a term passes on what its own cost leaves, and is stored when that is less than nothing. Up,
 * operands first: expressions that became too large for one kernel are split. Movement, widening casts,
 * constants and iotas cost nothing, so a shared transpose stays unstored and what it reads is stored instead.
 */
#include "compiler/fuse.h"

#include "compiler/rewrite.h"
#include "compiler/scalar.h"

#define GRANT_MUST  (-1)      /* stored whatever it is */
#define GRANT_FREE  0         /* only what costs nothing is computed again */
#define GRANT_FEW   4         /* read several times: a few cheap ops */
#define GRANT_INDEX 8         /* an index: computed outside of the innermost loop */
#define GRANT_ROW   32        /* by several walks over one row: an exp or erf and some cheap ops */
#define GRANT_ONCE  (1 << 24) /* read once */

#define MAX_TERMS 512 /* of one fused expression, as a tree */
#define MAX_DEPTH 128
#define MAX_PARTS 4 /* operands of a concat that is not stored */

int sn_fuse_cost(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    if (sn_op_expands(t->op))
        return 12;
    switch (t->op) {
    case SN_OP_DIV:
    case SN_OP_SQRT:
    case SN_OP_IDIV:
    case SN_OP_MOD:
        return 4;
    case SN_OP_GATHER:
        return 3;
    case SN_OP_PAD:
        return 2; /* guards */
    case SN_OP_CONCAT:
        return 2 * t->narg;
    case SN_OP_CAST: /* what is narrower is worth storing: products read it as it lies */
        return sn_dtype_size(sn_dtype_of(s, r)) < sn_dtype_size(sn_dtype_of(s, t->arg[0]));
    case SN_OP_BITCAST:
        return 0;
    default:
        return sn_op_is_elementwise(t->op) ? 1 : 0;
    }
}

/* ---- what a term is ---- */

static bool is_tensor(const SnFuse *f, SnRef r)
{
    return sn_type_of(f->s, r)->kind == SN_TYPE_TENSOR;
}

bool sn_fuse_is_root(const SnFuse *f, SnRef r)
{
    const SnTerm *t = sn_term(f->s, r);
    if (t->op >= SN_PRIM_COUNT) /* claimed */
        return true;
    switch (t->op) {
    case SN_OP_REDUCE:
    case SN_OP_SCAN:
    case SN_OP_ARGMAX:
    case SN_OP_CONTRACT:
    case SN_OP_SCATTER:
    case SN_OP_UPDATE:
    case SN_OP_SORT:
    case SN_OP_COMPACT:
    case SN_OP_LOOP:
    case SN_OP_COND:
    case SN_OP_HOST:
    case SN_OP_COPY:
    case SN_OP_COLLECTIVE:
        return true;
    case SN_OP_CONCAT:
        return t->narg > MAX_PARTS;
    default:
        return false;
    }
}

bool sn_fuse_has_memory(const SnFuse *f, SnRef r)
{
    switch (sn_term(f->s, r)->op) {
    case SN_OP_INPUT:
    case SN_OP_PARAM:
    case SN_OP_CARRY:
    case SN_OP_ARG:
    case SN_OP_GET:
        return true;
    case SN_OP_CONST:
        return sn_attr(f->s, r, "data") != NULL;
    default:
        return false;
    }
}

/* The function of a reduction is applied to scalars inside of its kernel: nothing in it is stored. */
static bool is_combiner(const SnFuse *f, SnRef user, int i)
{
    const SnTerm *t = sn_term(f->s, user);
    return i == 0 && (t->op == SN_OP_REDUCE || t->op == SN_OP_SCAN) &&
           sn_term(f->s, t->arg[0])->op == SN_OP_FN;
}

/* ---- reached ---- */

static void reach(SnFuse *f, SnRef root)
{
    f->is_reached[root] = true;
    for (SnRef r = root; r > 0; r--) {
        if (!f->is_reached[r])
            continue;
        const SnTerm *t = sn_term(f->s, r);
        const SnType *type = sn_type_of(f->s, r);
        for (int i = 0; i < t->narg; i++)
            f->is_reached[t->arg[i]] |= !is_combiner(f, r, i);
        for (int i = 0; type->kind == SN_TYPE_TENSOR && i < type->ndim; i++)
            f->is_reached[type->dims[i]] = true;
    }
}

/* ---- grants ---- */

/* Does a broadcast repeat elements along an axis that has others behind it? Those along the last axes are
 * computed once a row. */
static bool repeats_rows(const SnFuse *f, SnRef r)
{
    const SnType *to = sn_type_of(f->s, r), *from = sn_type_of(f->s, sn_term(f->s, r)->arg[0]);
    bool has_inner = false;
    for (int i = from->ndim; i-- > 0;) {
        int64_t v;
        const bool is_one = sn_is_const_i64(f->s, from->dims[i], &v) && v == 1;
        if (is_one && has_inner && from->dims[i] != to->dims[to->ndim - from->ndim + i])
            return true;
        has_inner |= !is_one;
    }
    return has_inner && to->ndim > from->ndim;
}

/* How a claim reads operand i: see SnClaim. 0: the user is none. */
static char claimed_use(const SnFuse *f, SnRef user, int i)
{
    const bool is_composite = sn_term(f->s, user)->op >= SN_PRIM_COUNT;
    const SnClaim *const claim = is_composite ? sn_claim_of(f->p, user) : NULL;
    return claim != NULL ? claim->use[i] : '\0';
}

/* What a use as operand i gives, apart from who uses it. */
static int grant_of(const SnFuse *f, SnRef user, int i)
{
    const SnTerm *t = sn_term(f->s, user);
    if (t->op >= SN_PRIM_COUNT)
        return claimed_use(f, user, i) == 'r' ? GRANT_FREE : GRANT_ONCE;
    switch (t->op) {
    case SN_OP_TUPLE:
    case SN_OP_FN:
    case SN_OP_ENTRY:
    case SN_OP_SORT:
    case SN_OP_LOOP:
    case SN_OP_COND:
    case SN_OP_HOST:
    case SN_OP_COLLECTIVE:
    case SN_OP_MEASURE:
    case SN_OP_CARRY:
        return GRANT_MUST;
    case SN_OP_CONTRACT:
        return GRANT_FREE;
    case SN_OP_SCATTER:
        return i > 0 && i < t->narg - 1 ? GRANT_FREE : GRANT_ONCE;
    case SN_OP_GATHER:
        return i > 0 ? GRANT_INDEX : GRANT_FEW;
    case SN_OP_SLICE:
        return i > 0 ? GRANT_INDEX : GRANT_ONCE;
    case SN_OP_UPDATE:
        return i > 1 ? GRANT_INDEX : GRANT_ONCE;
    case SN_OP_WINDOW:
        return GRANT_FEW;
    case SN_OP_BROADCAST:
        return repeats_rows(f, user) ? GRANT_FEW : GRANT_ONCE;
    default:
        return GRANT_ONCE;
    }
}

/* An operation of one tensor, and of what is constant or broadcast: reading that tensor costs no more than
 * reading what it becomes. */
static bool is_thin(const SnFuse *f, SnRef r)
{
    const SnTerm *t = sn_term(f->s, r);
    SnRef of = 0;
    if (!sn_op_is_elementwise(t->op) || t->op == SN_OP_CAST || sn_fuse_cost(f->s, r) != 1)
        return false;
    for (int i = 0; i < t->narg; i++) {
        const SnRef x = t->arg[i];
        if (sn_is_splat(f->s, x, NULL) || sn_term(f->s, x)->op == SN_OP_BROADCAST || x == of)
            continue;
        if (of != 0)
            return false;
        of = x;
    }
    return of != 0;
}

static SnThin thin_operand(const SnFuse *f, SnRef r)
{
    while (sn_term(f->s, r)->op == SN_OP_RESHAPE)
        r = sn_term(f->s, r)->arg[0];
    return sn_fuse_is_root(f, r) || sn_fuse_has_memory(f, r) ? (SnThin){.of = r} : f->thin[r];
}

/* Several operations of one tensor: an exp or erf and some cheap ones take no longer than a tensor takes to
 * be written and read. */
static SnThin thin_of(const SnFuse *f, SnRef r)
{
    const SnTerm *t = sn_term(f->s, r);
    SnThin out = {.cost = sn_fuse_cost(f->s, r)};
    if (!sn_op_is_elementwise(t->op) || (t->op == SN_OP_CAST && out.cost > 0))
        return (SnThin){0};
    for (int i = 0; i < t->narg; i++) {
        if (sn_is_splat(f->s, t->arg[i], NULL) || sn_term(f->s, t->arg[i])->op == SN_OP_BROADCAST)
            continue;
        const SnThin x = thin_operand(f, t->arg[i]);
        out.cost += x.cost;
        if (x.of == 0 || (out.of != 0 && out.of != x.of) || out.cost > GRANT_ROW)
            return (SnThin){0};
        out.of = x.of;
    }
    return out;
}

/* What a use gives where several kernels compute the operand. A mask over queries and keys is computed again:
 * it would be larger than all that it is made of. */
static int shared_grant_of(const SnFuse *f, SnRef user, int i)
{
    const SnTerm *t = sn_term(f->s, user);
    const SnType *type = sn_type_of(f->s, t->arg[i]);
    int64_t v;
    if (f->thin[t->arg[i]].of != 0)
        return GRANT_ROW;
    if (is_thin(f, t->arg[i]))
        return GRANT_FEW;
    if (claimed_use(f, user, i) != 's' || type->ndim < 2)
        return GRANT_FREE;
    const bool is_row = sn_is_const_i64(f->s, type->dims[type->ndim - 2], &v) && v == 1;
    const bool is_col = sn_is_const_i64(f->s, type->dims[type->ndim - 1], &v) && v == 1;
    return is_row || is_col ? GRANT_FREE : GRANT_INDEX;
}

static SnRef merge(SnRef known, SnRef now)
{
    return known != 0 && known != now ? SN_FUSE_MANY : now;
}

/* What a term passes on to its operands. */
typedef struct Share {
    SnRef home, pass;
    int left;
} Share;

static void grant(SnFuse *f, SnRef user, int i, const Share *share)
{
    const SnTerm *t = sn_term(f->s, user);
    const SnRef x = t->arg[i];
    int give = grant_of(f, user, i);
    const bool is_bound = (t->op == SN_OP_LOOP && i == 2) || (t->op == SN_OP_MEASURE && i == 1);
    if (!is_tensor(f, x) || (sn_is_dim(f->s, x) && (give != GRANT_MUST || is_bound)))
        return;
    if (give > share->left)
        give = share->left;
    f->home[x] = merge(f->home[x], share->home);
    f->pass[x] = merge(f->pass[x], share->pass);
    sn_row_axes_join(f->s, user, i, &f->axes[user], &f->axes[x]);
    if (f->pass[x] == SN_FUSE_MANY && give > GRANT_ROW)
        give = GRANT_ROW;
    /* What several kernels compute has been given little enough. */
    if (f->home[x] == SN_FUSE_MANY && share->home != SN_FUSE_MANY && give > shared_grant_of(f, user, i))
        give = shared_grant_of(f, user, i);
    if (give < f->grant[x])
        f->grant[x] = give;
}

static bool is_too_dear(const SnFuse *f, SnRef r)
{
    return !sn_is_dim(f->s, r) && sn_fuse_cost(f->s, r) > f->grant[r];
}

static bool is_worth_storing(SnFuse *f, SnRef r)
{
    if (f->grant[r] == GRANT_MUST || sn_fuse_has_memory(f, r))
        return true;
    if (sn_fuse_is_root(f, r))
        return !sn_fuse_take_row(f, r) && !sn_fuse_take_tail(f, r);
    return is_too_dear(f, r) && !sn_fuse_take_panel(f, r);
}

static Share share_of(SnFuse *f, SnRef r)
{
    if (f->is_stored[r] || !is_tensor(f, r)) {
        f->axes[r] = sn_row_axes(f->s, r);
        return (Share){.home = r, .pass = r, .left = GRANT_ONCE};
    }
    if (sn_fuse_is_root(f, r))
        return (Share){.home = f->home[r], .pass = r, .left = GRANT_ONCE};
    if (is_too_dear(f, r)) /* a panel */
        return (Share){.home = f->home[r], .pass = f->pass[r], .left = GRANT_ONCE};
    return (Share){.home = f->home[r], .pass = f->pass[r], .left = f->grant[r] - sn_fuse_cost(f->s, r)};
}

/* What was stored stays so. */
static void decide(SnFuse *f, SnRef root)
{
    for (SnRef r = 0; r <= root; r++) {
        f->home[r] = f->pass[r] = 0;
        f->grant[r] = GRANT_ONCE;
        f->axes[r].is_known = false;
        f->rows[r] = (SnFuseRows){0};
    }
    for (SnRef r = root; r > 0; r--) {
        if (!f->is_reached[r])
            continue;
        const SnTerm *t = sn_term(f->s, r);
        if (!f->is_stored[r] && (is_tensor(f, r) || sn_fuse_is_root(f, r)))
            f->is_stored[r] = is_worth_storing(f, r);
        const Share share = share_of(f, r);
        for (int i = 0; i < t->narg; i++)
            if (!is_combiner(f, r, i))
                grant(f, r, i, &share);
    }
}

/* ---- what one kernel can hold ---- */

static void add_leaf(SnExtent *e, SnRef leaf, bool *fits)
{
    for (int i = 0; i < e->nleaf; i++)
        if (e->leaf[i] == leaf)
            return;
    if (e->nleaf == SN_FUSE_LEAVES)
        *fits = false;
    else
        e->leaf[e->nleaf++] = leaf;
}

/* Of the operands of r together; false: too much. */
static bool measure(const SnFuse *f, SnRef r, SnExtent *e)
{
    const SnTerm *t = sn_term(f->s, r);
    uint32_t nterm = 1, depth = 0;
    bool fits = true;
    *e = (SnExtent){0};
    for (int i = 0; i < t->narg; i++) {
        const SnRef x = t->arg[i];
        if (is_combiner(f, r, i) || sn_is_dim(f->s, x))
            continue;
        if (f->is_stored[x]) {
            nterm++;
            add_leaf(e, x, &fits);
        } else if (f->extent[x] != NULL) {
            const SnExtent *part = f->extent[x];
            nterm += part->nterm;
            depth = part->depth > depth ? part->depth : depth;
            for (int k = 0; k < part->nleaf; k++)
                add_leaf(e, part->leaf[k], &fits);
        }
    }
    e->nterm = (uint16_t)(nterm < UINT16_MAX ? nterm : UINT16_MAX);
    e->depth = (uint16_t)(depth + 1);
    return fits && nterm <= MAX_TERMS && depth < MAX_DEPTH;
}

static SnRef largest_operand(const SnFuse *f, SnRef r)
{
    const SnTerm *t = sn_term(f->s, r);
    SnRef best = 0;
    for (int i = 0; i < t->narg; i++) {
        const SnRef x = t->arg[i];
        if (!is_combiner(f, r, i) && !sn_is_dim(f->s, x) && f->extent[x] != NULL && !f->is_stored[x] &&
            (best == 0 || f->extent[x]->nterm > f->extent[best]->nterm))
            best = x;
    }
    return best;
}

/* Stores operands, the largest first, until the rest fits. Returns whether it stored any. */
static bool split(SnFuse *f, SnRef root)
{
    bool has_stored = false;
    for (SnRef r = 1; r <= root && !f->failed; r++) {
        const uint16_t op = sn_term(f->s, r)->op;
        const bool has_kernel = is_tensor(f, r) || op == SN_OP_REDUCE || op == SN_OP_SCAN;
        if (!f->is_reached[r] || !has_kernel || sn_fuse_has_memory(f, r) ||
            (op == SN_OP_CONCAT && f->is_stored[r]))
            continue;
        SnExtent e;
        bool fits;
        SnRef x;
        while (!(fits = measure(f, r, &e)) && (x = largest_operand(f, r)) != 0)
            has_stored = f->is_stored[x] = true;
        has_stored |= !fits && !f->is_stored[r];
        f->is_stored[r] |= !fits;
        if (f->is_stored[r])
            continue;
        if (f->extent[r] == NULL)
            f->extent[r] = (SnExtent *)sn_arena_alloc(f->arena, sizeof e);
        if (f->extent[r] == NULL)
            f->failed = true;
        else
            *f->extent[r] = e;
    }
    return has_stored;
}

SnStatus sn_fuse(SnPass *p, SnRef root, bool **is_stored, SnError *err)
{
    const size_t n = sn_store_count(p->s);
    SnFuse f = {.p = p, .s = p->s, .arena = p->arena};
    f.is_reached = (bool *)sn_arena_array(p->arena, n, sizeof *f.is_reached);
    f.is_stored = (bool *)sn_arena_array(p->arena, n, sizeof *f.is_stored);
    f.home = (SnRef *)sn_arena_array(p->arena, n, sizeof *f.home);
    f.pass = (SnRef *)sn_arena_array(p->arena, n, sizeof *f.pass);
    f.grant = (int32_t *)sn_arena_array(p->arena, n, sizeof *f.grant);
    f.axes = (SnRowAxes *)sn_arena_array(p->arena, n, sizeof *f.axes);
    f.rows = (SnFuseRows *)sn_arena_array(p->arena, n, sizeof *f.rows);
    f.thin = (SnThin *)sn_arena_array(p->arena, n, sizeof *f.thin);
    f.extent = (SnExtent **)sn_arena_array(p->arena, n, sizeof(SnExtent *));
    SN_CHECK(f.is_reached != NULL && f.is_stored != NULL && f.home != NULL && f.pass != NULL &&
                 f.grant != NULL && f.axes != NULL && f.rows != NULL && f.thin != NULL && f.extent != NULL,
             err, SN_ENOMEM, "no memory to fuse %zu terms", n);
    reach(&f, root);
    for (SnRef r = 1; r <= root; r++)
        if (f.is_reached[r])
            f.thin[r] = thin_of(&f, r);
    do
        decide(&f, root);
    while (split(&f, root)); /* what it stored has kernels of its own: homes changed */
    SN_CHECK(!f.failed, err, SN_ENOMEM, "no memory to fuse %zu terms", n);
    *is_stored = f.is_stored;
    return SN_OK;
}
