/* order.c -- the order in which a program with gradients is laid out, and what it computes twice.
 *
 * Steps follow refs, and refs follow what the passes happened to rebuild: harmless where values die soon, but
 * gradients read what the forward part made long before. So terms are made anew, in this order: what an entry
 * results in, one after the other, each behind what it needs; but whatever can be computed and sets more free
 * than it takes, or is much less than what it reads, comes at once. The gradients of weights so follow the
 * activations that they are made of.
 *
 * remat.c says what is computed again. A second copy of a term is a term of its own, made in front of the
 * first one that reads it: equal terms are made without looking for each other (sn_term_fresh). A program
 * that measures dims is left as it is. */
#include "compiler/order.h"

#include "runtime/instance.h"

#define MUCH_LESS 8 /* times */

typedef struct Frame {
    SnOrder o;
    struct Frame *above; /* of which it is a body; NULL: an entry */
    uint32_t node;       /* of that: the loop or cond */
} Frame;

typedef struct Pass {
    SnPass *p;
    SnStore *s;
    const bool *is_stored;
    const char *shape;
    SnRef n;
    SN_VEC(Frame *) frame; /* those of bodies behind the one that they are in */
    SnRef *made;           /* by ref of a function or an entry: what it became */
    uint32_t *mark;        /* by ref: of the walk that saw it last */
    uint32_t walk;
    uint32_t *number;   /* by ref: its node in the frame at hand + 1 */
    SnRef *map;         /* likewise: what it became there */
    SnRef *again;       /* likewise: its second copy */
    SN_VEC(SnRef) cone; /* what a node computes besides itself, in order of refs */
    SN_VEC(SnRef) dep;  /* what is stored of what it reads */
    SN_VEC(SnRef) todo;
} Pass;

/* ---- sizes ---- */

static bool known_dim(void *self, SnRef leaf, int64_t *value)
{
    const Pass *x = self;
    const char *name = sn_attr_string(x->s, leaf, "name");
    int64_t lo = 0, hi = 0;
    sn_dim_range(x->s, leaf, &lo, &hi);
    *value = x->shape && name ? sn_shape_value(x->shape, name) : -1;
    if (*value < 0)
        *value = hi < 64 ? hi : lo > 64 ? lo : 64; /* some size */
    return true;
}

static uint64_t value_of(Pass *x, SnRef dim)
{
    int64_t v = 0;
    return sn_dim_eval(x->s, dim, known_dim, x, &v) && v > 0 ? (uint64_t)v : 0;
}

static uint64_t bytes_of(Pass *x, SnTypeId id)
{
    const SnType *t = sn_type(x->s, id);
    uint64_t n = t->kind == SN_TYPE_TENSOR ? sn_dtype_size(t->dtype) : 0;
    for (int i = 0; t->kind == SN_TYPE_TENSOR && i < t->ndim; i++) {
        const uint64_t dim = value_of(x, sn_type(x->s, id)->dims[i]);
        n = dim == 0 || n < UINT64_MAX / 2 / dim ? n * dim : UINT64_MAX / 2;
    }
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++)
        n += bytes_of(x, t->child[i]);
    return n;
}

/* ---- nodes ---- */

static bool is_leaf(uint16_t op)
{
    return op == SN_OP_INPUT || op == SN_OP_PARAM || op == SN_OP_CARRY || op == SN_OP_CONST ||
           op == SN_OP_OBJECT || op == SN_OP_ARG || op == SN_OP_NONE || op == SN_OP_DIM || op == SN_OP_FN;
}

/* What lies in memory has any shape, and a result of several is a part of those. */
static bool is_node(const Pass *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    if (is_leaf(t->op) || t->op == SN_OP_GET || t->op == SN_OP_TUPLE || sn_is_dim(x->s, r))
        return false;
    if (sn_type(x->s, t->type)->kind == SN_TYPE_TUPLE)
        return true;
    return x->is_stored[r] && !(t->op == SN_OP_RESHAPE && x->is_stored[t->arg[0]]);
}

static SnStatus push(Pass *x, SnRef r, SnError *err)
{
    if (x->mark[r] == x->walk || is_leaf(sn_term(x->s, r)->op) || sn_is_dim(x->s, r))
        return SN_OK;
    x->mark[r] = x->walk;
    SN_CHECK(sn_vec_push(sn_allocator(x->p->ctx), &x->todo, r), err, SN_ENOMEM, "order: no memory");
    return SN_OK;
}

/* Operands of a node, or of the root: results and new values of carries. */
static SnStatus push_operands(Pass *x, SnRef r, SnError *err)
{
    const SnTerm *t = sn_term(x->s, r);
    for (int i = 0; i < t->narg; i++)
        if ((t->op != SN_OP_ENTRY || i % 2 == 0) && (t->op != SN_OP_FN || i == 0))
            SN_TRY(push(x, t->arg[i], err));
    return SN_OK;
}

/* Fills x->cone and x->dep. */
static SnStatus look(Pass *x, SnRef r, SnError *err)
{
    const SnAllocator *a = sn_allocator(x->p->ctx);
    x->walk++;
    x->cone.n = x->dep.n = x->todo.n = 0;
    SN_TRY(push_operands(x, r, err));
    while (x->todo.n > 0) {
        const SnRef at = x->todo.at[--x->todo.n];
        const bool ok = is_node(x, at) ? sn_vec_push(a, &x->dep, at) : sn_vec_push(a, &x->cone, at);
        SN_CHECK(ok, err, SN_ENOMEM, "order: no memory");
        if (!is_node(x, at))
            SN_TRY(push_operands(x, at, err));
    }
    sn_sort_refs(x->cone.at, x->cone.n);
    sn_sort_refs(x->dep.at, x->dep.n);
    return SN_OK;
}

/* ---- a frame ---- */

static bool is_home(const Pass *x, SnRef root, SnRef r)
{
    const SnTerm *t = sn_term(x->s, root);
    for (int i = 2; t->op == SN_OP_ENTRY && i < t->narg; i += 2)
        if (t->arg[i] == r)
            return true;
    return false;
}

static uint64_t work_of(Pass *x, SnRef r)
{
    uint64_t work = value_of(x, sn_flops_of(x->s, r));
    for (size_t i = 0; i < x->cone.n; i++)
        work += value_of(x, sn_flops_of(x->s, x->cone.at[i]));
    return work;
}

/* Marks the nodes below root, which is one of them: x->number. Returns how many there are. */
static SnStatus find_nodes(Pass *x, SnRef root, uint32_t *n, SnError *err)
{
    memset(x->number, 0, (root + 1u) * sizeof *x->number);
    x->number[root] = 1;
    *n = 0;
    for (SnRef r = root; r > 0; r--) {
        if (!x->number[r])
            continue;
        SN_TRY(look(x, r, err));
        for (size_t i = 0; i < x->dep.n; i++)
            x->number[x->dep.at[i]] = 1;
    }
    for (SnRef r = 1; r <= root; r++)
        if (x->number[r])
            x->number[r] = ++*n;
    return SN_OK;
}

static SnStatus fill_nodes(Pass *x, SnOrder *o, SnError *err)
{
    const SnAllocator *a = sn_allocator(x->p->ctx);
    SN_VEC(uint32_t) dep = {0};
    SnStatus st = SN_OK;
    for (SnRef r = 1; r <= o->root && st == SN_OK; r++) {
        if (!x->number[r])
            continue;
        SnNode *u = &o->node[x->number[r] - 1];
        st = look(x, r, err);
        *u = (SnNode){.r = r, .first_dep = (uint32_t)dep.n, .ndep = (uint32_t)x->dep.n};
        for (size_t i = 0; i < x->dep.n && st == SN_OK; i++)
            if (!sn_vec_push(a, &dep, x->number[x->dep.at[i]] - 1))
                st = sn_fail(err, SN_ENOMEM, "order: no memory");
        if (r == o->root)
            break;
        u->work = work_of(x, r);
        u->bytes = is_home(x, o->root, r) ? 0 : bytes_of(x, sn_term(x->s, r)->type);
    }
    o->dep = sn_arena_array(x->p->arena, dep.n + 1, sizeof *o->dep);
    o->use = sn_arena_array(x->p->arena, dep.n + 1, sizeof *o->use);
    if (st == SN_OK && o->dep && o->use && dep.n > 0)
        memcpy(o->dep, dep.at, dep.n * sizeof *o->dep);
    else if (st == SN_OK && (!o->dep || !o->use))
        st = sn_fail(err, SN_ENOMEM, "order: no memory");
    sn_vec_clear(a, &dep);
    return st;
}

static void find_uses(SnOrder *o)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < o->n; i++)
        for (uint32_t k = 0; k < o->node[i].ndep; k++)
            o->node[o->dep[o->node[i].first_dep + k]].nuse++;
    for (uint32_t i = 0; i < o->n; i++) {
        o->node[i].first_use = at;
        at += o->node[i].nuse;
        o->node[i].nuse = 0;
    }
    for (uint32_t i = 0; i < o->n; i++)
        for (uint32_t k = 0; k < o->node[i].ndep; k++) {
            SnNode *d = &o->node[o->dep[o->node[i].first_dep + k]];
            o->use[d->first_use + d->nuse++] = i;
        }
}

/* ---- places ---- */

typedef struct Placing {
    SnOrder *o;
    uint32_t *left;  /* by node: operands that have no place yet */
    uint32_t *reads; /* readers that have none */
    bool *is_placed;
    uint32_t *todo; /* a stack */
    uint32_t n;     /* places given */
} Placing;

/* Is it better to have it than what it is made of? */
static bool is_eager(const Placing *x, uint32_t i)
{
    const SnNode *u = &x->o->node[i];
    uint64_t freed = 0, most = 0;
    for (uint32_t k = 0; k < u->ndep; k++) {
        const uint32_t d = x->o->dep[u->first_dep + k];
        const uint64_t bytes = x->o->node[d].bytes;
        freed += x->reads[d] == 1 ? bytes : 0;
        most = bytes > most ? bytes : most;
    }
    return u->bytes <= freed || u->bytes <= most / MUCH_LESS;
}

static void give_place(Placing *x, uint32_t i)
{
    SnNode *u = &x->o->node[i];
    x->is_placed[i] = true;
    u->at = x->n;
    x->o->by_place[x->n++] = i;
    for (uint32_t k = 0; k < u->ndep; k++)
        x->reads[x->o->dep[u->first_dep + k]]--;
    for (uint32_t k = 0; k < u->nuse; k++)
        x->left[x->o->use[u->first_use + k]]--;
}

/* The first reader of an operand of node i, or of itself, that can be placed and is eager; n: none. */
static uint32_t next_eager(const Placing *x, uint32_t i)
{
    const SnOrder *o = x->o;
    uint32_t best = o->n;
    for (uint32_t k = 0; k <= o->node[i].ndep; k++) {
        const SnNode *d = &o->node[k < o->node[i].ndep ? o->dep[o->node[i].first_dep + k] : i];
        for (uint32_t j = 0; j < d->nuse; j++) {
            const uint32_t u = o->use[d->first_use + j];
            if (u < best && !x->is_placed[u] && x->left[u] == 0 && u + 1 < o->n && is_eager(x, u))
                best = u;
        }
    }
    return best;
}

/* Node i, and then what it makes eager, and so on. */
static void place_with_eager(Placing *x, uint32_t i)
{
    const uint32_t first = x->n;
    give_place(x, i);
    for (uint32_t at = first; at < x->n; at++)
        for (uint32_t u; (u = next_eager(x, x->o->by_place[at])) < x->o->n;)
            give_place(x, u);
}

/* What node i needs, then itself: no recursion, a program may be deep. */
static void place(Placing *x, uint32_t i)
{
    uint32_t n = 0;
    x->todo[n++] = i;
    while (n > 0) {
        const uint32_t at = x->todo[n - 1];
        const SnNode *u = &x->o->node[at];
        uint32_t k = 0;
        while (k < u->ndep && x->is_placed[x->o->dep[u->first_dep + k]])
            k++;
        if (k < u->ndep) {
            x->todo[n++] = x->o->dep[u->first_dep + k];
            continue;
        }
        n--;
        if (!x->is_placed[at])
            place_with_eager(x, at);
    }
}

static SnStatus find_places(Pass *p, SnOrder *o, SnError *err)
{
    SnArena *a = p->p->arena;
    Placing x = {.o = o};
    x.left = sn_arena_array(a, o->n + 1u, sizeof *x.left);
    x.reads = sn_arena_array(a, o->n + 1u, sizeof *x.reads);
    x.todo = sn_arena_array(a, o->n + 1u, sizeof *x.todo);
    x.is_placed = sn_arena_array(a, o->n + 1u, sizeof *x.is_placed);
    SN_CHECK(x.left && x.reads && x.todo && x.is_placed, err, SN_ENOMEM, "order: no memory");
    for (uint32_t i = 0; i < o->n; i++) {
        x.left[i] = o->node[i].ndep;
        x.reads[i] = o->node[i].nuse;
    }
    place(&x, o->n - 1);
    SN_CHECK(x.n == o->n, err, SN_EINTERNAL, "order: %u of %u terms have a place", x.n, o->n);
    return SN_OK;
}

static SnStatus make_frame(Pass *x, SnRef root, Frame *above, uint32_t node, SnError *err)
{
    SnArena *a = x->p->arena;
    Frame *f = sn_arena_alloc(a, sizeof *f);
    SN_CHECK(f, err, SN_ENOMEM, "order: no memory");
    SnOrder *o = &f->o;
    *o = (SnOrder){.p = x->p, .s = x->s, .root = root};
    SN_TRY(find_nodes(x, root, &o->n, err));
    o->node = sn_arena_array(a, o->n + 1u, sizeof *o->node);
    o->by_place = sn_arena_array(a, o->n + 1u, sizeof *o->by_place);
    o->live = sn_arena_array(a, o->n + 2u, sizeof *o->live);
    o->last = sn_arena_array(a, 2 * (size_t)o->n + 1, sizeof *o->last);
    o->work = sn_arena_array(a, 2 * (size_t)o->n + 1, sizeof *o->work);
    o->was_again = sn_arena_array(a, o->n + 1u, sizeof *o->was_again);
    SN_CHECK(o->node && o->by_place && o->live && o->last && o->work && o->was_again, err, SN_ENOMEM,
             "order: no memory");
    SN_TRY(fill_nodes(x, o, err));
    find_uses(o);
    SN_TRY(find_places(x, o, err));
    f->above = above;
    f->node = node;
    SN_CHECK(sn_vec_push(sn_allocator(x->p->ctx), &x->frame, f), err, SN_ENOMEM, "order: no memory");
    return SN_OK;
}

/* Entries, their bodies, the bodies in those. */
static SnStatus make_frames(Pass *x, SnRef root, SnError *err)
{
    for (int i = 0; i < sn_term(x->s, root)->narg; i++)
        SN_TRY(make_frame(x, sn_term(x->s, root)->arg[i], NULL, 0, err));
    for (size_t k = 0; k < x->frame.n; k++) {
        Frame *f = x->frame.at[k];
        for (uint32_t i = 0; i < f->o.n; i++) {
            const SnTerm *t = sn_term(x->s, f->o.node[i].r);
            for (int j = 0; (t->op == SN_OP_LOOP || t->op == SN_OP_COND) && j < 3; j++) {
                const SnRef fn = t->arg[j];
                if (sn_term(x->s, fn)->op != SN_OP_FN || x->made[fn])
                    continue;
                x->made[fn] = fn;
                SN_TRY(make_frame(x, fn, f, i, err));
            }
        }
    }
    return SN_OK;
}

/* ---- what is computed again ---- */

/* Bytes of the whole program at their most. */
static uint64_t peak_of(Pass *x)
{
    uint64_t most = 0;
    for (size_t k = x->frame.n; k-- > 0;) { /* bodies first */
        Frame *f = x->frame.at[k];
        const uint64_t peak = sn_order_peak(&f->o);
        uint64_t *const inner = f->above ? &f->above->o.node[f->node].inner : &most;
        *inner = peak > *inner ? peak : *inner;
    }
    return most;
}

/* most: bytes that may be alive at a time; 0: as few as cost next to nothing. */
static void choose(Pass *x, uint64_t most)
{
    for (size_t k = 0; k < x->frame.n; k++) {
        Frame *f = x->frame.at[k];
        const uint64_t around = f->above ? f->above->o.live[f->above->o.node[f->node].at] : 0;
        if (most == 0)
            sn_order_lower(&f->o);
        else
            (void)sn_order_fit(&f->o, most > around ? most - around : 1);
        (void)sn_order_peak(&f->o);
    }
}

/* ---- the new program ---- */

/* What an operand is for a node at this place. */
static SnRef operand(const Pass *x, const SnOrder *o, SnRef r, uint32_t place)
{
    const SnTerm *t = sn_term(x->s, r);
    if (t->op == SN_OP_FN)
        return x->made[r] ? x->made[r] : r;
    if (is_leaf(t->op) || sn_is_dim(x->s, r))
        return r;
    const SnNode *d = x->number[r] ? &o->node[x->number[r] - 1] : NULL;
    return d && d->is_again && place > d->from ? x->again[r] : x->map[r];
}

static SnStatus make_term(Pass *x, const SnOrder *o, SnRef r, uint32_t place, bool is_new, SnRef *out,
                          SnError *err)
{
    const SnTerm *t = sn_term(x->s, r);
    SnRef *arg = sn_arena_array(x->p->arena, t->narg + 1u, sizeof *arg);
    SN_CHECK(arg, err, SN_ENOMEM, "order: no memory");
    for (int i = 0; i < t->narg; i++)
        arg[i] = t->op == SN_OP_ENTRY && i % 2 == 1 ? t->arg[i] : operand(x, o, t->arg[i], place);
    *out = (is_new ? sn_term_fresh : sn_term_make)(x->s, t->op, t->type, t->attr, arg, t->narg);
    SN_CHECK(*out, err, SN_ENOMEM, "order: no memory for terms");
    return SN_OK;
}

/* Node r as it is read from this place on, with what it computes. */
static SnStatus make_node(Pass *x, const SnOrder *o, SnRef r, uint32_t place, SnRef *out, SnError *err)
{
    SN_TRY(look(x, r, err));
    for (size_t i = 0; i < x->cone.n; i++)
        SN_TRY(make_term(x, o, x->cone.at[i], place, false, &x->map[x->cone.at[i]], err));
    return make_term(x, o, r, place, r != o->root, out, err);
}

static SnStatus rebuild(Pass *x, const SnOrder *o, SnError *err)
{
    memset(x->number, 0, x->n * sizeof *x->number);
    for (uint32_t i = 0; i < o->n; i++)
        x->number[o->node[i].r] = i + 1;
    for (uint32_t k = 0; k < o->n; k++) {
        for (uint32_t i = 0; i < o->n; i++) {
            const SnNode *u = &o->node[i];
            if (u->is_again && u->again_at == k)
                SN_TRY(make_node(x, o, u->r, k, &x->again[u->r], err));
        }
        const SnRef r = o->node[o->by_place[k]].r;
        SN_TRY(make_node(x, o, r, k, r == o->root ? &x->made[r] : &x->map[r], err));
    }
    return SN_OK;
}

static SnStatus rebuild_all(Pass *x, SnRef root, SnRef *out, SnError *err)
{
    const SnTerm *t = sn_term(x->s, root);
    SnRef *entry = sn_arena_array(x->p->arena, t->narg + 1u, sizeof *entry);
    SN_CHECK(entry, err, SN_ENOMEM, "order: no memory");
    for (size_t k = x->frame.n; k-- > 0;)
        SN_TRY(rebuild(x, &x->frame.at[k]->o, err));
    t = sn_term(x->s, root);
    for (int i = 0; i < t->narg; i++)
        entry[i] = x->made[t->arg[i]];
    return sn_term_build(x->s, SN_OP_PROGRAM, t->attr, entry, t->narg, out, err);
}

static bool has_measures(const Pass *x, const bool *need)
{
    bool has = false;
    for (SnRef r = 1; r < x->n && !has; r++)
        has = need[r] && sn_term(x->s, r)->op == SN_OP_MEASURE;
    return has;
}

SnStatus sn_order(SnPass *p, const bool *is_stored, const char *shape, uint64_t most, SnRef root, SnRef *out,
                  uint64_t *peak, SnError *err)
{
    Pass x = {.p = p, .s = p->s, .is_stored = is_stored, .shape = shape, .n = root + 1};
    const bool *need = sn_reach(p, root, true);
    x.made = sn_arena_array(p->arena, x.n, sizeof *x.made);
    x.mark = sn_arena_array(p->arena, x.n, sizeof *x.mark);
    x.number = sn_arena_array(p->arena, x.n, sizeof *x.number);
    x.map = sn_arena_array(p->arena, x.n, sizeof *x.map);
    x.again = sn_arena_array(p->arena, x.n, sizeof *x.again);
    SN_CHECK(need && x.made && x.mark && x.number && x.map && x.again, err, SN_ENOMEM, "order: no memory");
    *out = root;
    *peak = 0;
    if (has_measures(&x, need))
        return SN_OK;
    SnStatus st = make_frames(&x, root, err);
    if (st == SN_OK) {
        choose(&x, most);
        *peak = peak_of(&x);
        st = rebuild_all(&x, root, out, err);
    }
    sn_vec_clear(sn_allocator(p->ctx), &x.cone);
    sn_vec_clear(sn_allocator(p->ctx), &x.dep);
    sn_vec_clear(sn_allocator(p->ctx), &x.todo);
    sn_vec_clear(sn_allocator(p->ctx), &x.frame);
    return st;
}
