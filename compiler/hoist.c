/* hoist.c -- work on parameters alone is done once, not in each run.
 *
 * The largest terms that depend on parameters and constants only, have static dims and do real work become
 * results of a further entry, SN_LOAD_ENTRY, and in the others parameters of the same names:
 *
 *   contract x (copy P(w))   ▶   contract x (param "@load.0");   entry @load: @load.0 = copy P(w)
 *
 * Real work is a `copy` (panels, pack.c), arithmetic, a reduction or a cast, unless its result takes more
 * memory than the parameters under it: then its operands are looked at. Movement alone stays, it is index
 * arithmetic; so does what is done to the table of a gather, which reads a few of its rows, and what may have
 * other bits on another target (contract). */
#include "compiler/pass.h"

#define WANT_ROWS  1u /* as what a gather looks up */
#define WANT_WHOLE 2u

typedef struct Hoist {
    SnPass *p;
    SnStore *s;
    int64_t *weight; /* by ref: sn_weight_bytes */
    bool *works;     /* by ref: real work in it or below */
    uint8_t *wanted; /* by ref: how a term that stays in an entry uses it */
    SN_VEC(SnRef) moved;
} Hoist;

/* ---- what depends on parameters only ---- */

static bool is_movable(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    switch (t->op) {
    case SN_OP_PARAM:
    case SN_OP_CONST:
    case SN_OP_IOTA:
    case SN_OP_GATHER:
    case SN_OP_COPY:
        return true;
    case SN_OP_REDUCE:
        return sn_term(s, t->arg[0])->op != SN_OP_FN;
    default:
        return sn_op_is_elementwise(t->op) || sn_prim(t->op)->kind == SN_PRIM_MOVE;
    }
}

/* -1: dims are not constants, or it is no tensor. */
static int64_t static_bytes(const SnStore *s, SnRef r)
{
    const SnTypeId id = sn_term(s, r)->type;
    const SnType *t = id != 0 ? sn_type(s, id) : NULL;
    int64_t bytes, dim;
    if (t == NULL || t->kind != SN_TYPE_TENSOR)
        return -1;
    bytes = (int64_t)sn_dtype_size(t->dtype);
    for (int i = 0; i < t->ndim; i++)
        if (!sn_is_const_i64(s, t->dims[i], &dim) || dim < 0 || !sn_mul_i64(bytes, dim, &bytes))
            return -1;
    return bytes;
}

SnStatus sn_weight_bytes(SnPass *p, SnRef root, int64_t **out, SnError *err)
{
    int64_t *weight = (int64_t *)sn_arena_array(p->arena, root + 1u, sizeof *weight);
    SN_CHECK(weight != NULL, err, SN_ENOMEM, "compile: no memory for marks");
    for (SnRef r = 1; r <= root; r++) {
        const SnTerm *t = sn_term(p->s, r);
        const int64_t bytes = t->op < SN_PRIM_COUNT && is_movable(p->s, r) ? static_bytes(p->s, r) : -1;
        weight[r] = bytes < 0 ? -1 : t->op == SN_OP_PARAM ? bytes : 0;
        for (int i = 0; i < t->narg && weight[r] >= 0; i++) {
            const int64_t below = weight[t->arg[i]];
            if (below < 0 || !sn_add_i64(weight[r], below, &weight[r]))
                weight[r] = -1;
        }
        if (t->op == SN_OP_COPY && weight[r] > 0)
            weight[r] = bytes;
    }
    *out = weight;
    return SN_OK;
}

/* ---- what moves ---- */

static bool is_work(const SnStore *s, SnRef r)
{
    const uint16_t op = sn_term(s, r)->op;
    return op == SN_OP_COPY || op == SN_OP_REDUCE || (sn_op_is_elementwise(op) && op != SN_OP_BITCAST);
}

static bool moves(const Hoist *x, SnRef r)
{
    if (x->weight[r] <= 0 || !x->works[r])
        return false;
    return sn_term(x->s, r)->op == SN_OP_COPY || static_bytes(x->s, r) <= x->weight[r];
}

static void want(Hoist *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    for (int i = 0; i < t->narg && t->op != SN_OP_CARRY; i++) {
        const bool is_table = t->op == SN_OP_GATHER && i == 0 && x->weight[t->arg[0]] >= 0;
        x->wanted[t->arg[i]] |= (uint8_t)(is_table ? WANT_ROWS : x->wanted[r]);
    }
}

/* From the entries down: a term that is wanted moves, or wants its operands. Of a table that is looked up
 * only the rows that are needed are worth computing. */
static SnStatus choose(Hoist *x, SnRef root, SnError *err)
{
    const SnAllocator *a = sn_allocator(x->p->ctx);
    for (SnRef r = 1; r <= root; r++) {
        const SnTerm *t = sn_term(x->s, r);
        x->works[r] = x->weight[r] >= 0 && is_work(x->s, r);
        for (int i = 0; i < t->narg; i++)
            x->works[r] = x->works[r] || (x->weight[r] >= 0 && x->works[t->arg[i]]);
    }
    x->wanted[root] = WANT_WHOLE;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(x->s, r);
        if (x->wanted[r] == 0)
            continue;
        if ((x->wanted[r] & WANT_WHOLE) && moves(x, r)) {
            SN_CHECK(sn_vec_push(a, &x->moved, r), err, SN_ENOMEM, "hoist: no memory");
            continue;
        }
        const char *name = t->op == SN_OP_PARAM ? sn_attr_string(x->s, r, "name") : NULL;
        if (t->op == SN_OP_ENTRY)
            SN_CHECK(strcmp(sn_attr_string(x->s, r, "name"), SN_LOAD_ENTRY) != 0, err, SN_EINVAL,
                     "entry " SN_LOAD_ENTRY ": the name is reserved");
        SN_CHECK(name == NULL || !sn_is_packed_name(name), err, SN_EINVAL,
                 "parameter %s: the name is reserved", name);
        want(x, r);
    }
    for (size_t i = 0, j = x->moved.n; i + 1 < j; i++) { /* in the order of the graph */
        const SnRef r = x->moved.at[i];
        x->moved.at[i] = x->moved.at[--j];
        x->moved.at[j] = r;
    }
    return SN_OK;
}

/* ---- the new program ---- */

static SnStatus load_entry(Hoist *x, const char *const *name, SnRef *out, SnError *err)
{
    const int n = (int)x->moved.n;
    const SnAttr names = SN_NAMES("names", name, n), entry = SN_STRING("name", SN_LOAD_ENTRY);
    SnRef results = 0;
    SN_TRY(sn_term_build(x->s, SN_OP_TUPLE, sn_attrs_make(x->s, &names, 1), x->moved.at, n, &results, err));
    return sn_term_build(x->s, SN_OP_ENTRY, sn_attrs_make(x->s, &entry, 1), &results, 1, out, err);
}

static SnStatus rebuild(Hoist *x, SnRef root, SnRef *out, SnError *err)
{
    const size_t n = x->moved.n;
    const char **name = (const char **)sn_arena_array(x->p->arena, n, sizeof *name);
    SnSubst sub;
    SN_TRY(sn_subst_begin(&sub, x->s, x->p->arena, err));
    SN_CHECK(name != NULL, err, SN_ENOMEM, "hoist: no memory");
    sub.enter_functions = true;
    for (SnRef r = 1; r <= root; r++) { /* initial values are computed by the compiler (slots.c) */
        if (sn_term(x->s, r)->op == SN_OP_CARRY)
            sub.map[r] = r;
    }
    for (size_t i = 0; i < n; i++) {
        const SnRef r = x->moved.at[i];
        name[i] = sn_arena_printf(x->p->arena, SN_PACKED_PREFIX "%zu", i);
        SN_CHECK(name[i] != NULL, err, SN_ENOMEM, "hoist: no memory");
        sub.map[r] = sn_term_make(x->s, SN_OP_PARAM, sn_term(x->s, r)->type,
                                  sn_attrs_make(x->s, &SN_STRING("name", name[i]), 1), NULL, 0);
        SN_CHECK(sub.map[r] != 0, err, SN_ENOMEM, "hoist: no memory");
    }
    SnRef rest = 0;
    SN_TRY(sn_subst(&sub, root, &rest, err));
    const SnTerm *t = sn_term(x->s, rest);
    SnRef *entry = (SnRef *)sn_arena_array(x->p->arena, t->narg + 1u, sizeof *entry);
    SN_CHECK(entry != NULL, err, SN_ENOMEM, "hoist: no memory");
    memcpy(entry, t->arg, t->narg * sizeof *entry);
    const int nentry = t->narg + 1;
    SN_TRY(load_entry(x, name, &entry[nentry - 1], err));
    return sn_term_build(x->s, SN_OP_PROGRAM, 0, entry, nentry, out, err);
}

SnStatus sn_pass_hoist(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    Hoist x = {.p = p, .s = p->s};
    x.works = (bool *)sn_arena_array(p->arena, root + 1u, sizeof *x.works);
    x.wanted = (uint8_t *)sn_arena_array(p->arena, root + 1u, sizeof *x.wanted);
    SN_CHECK(x.works != NULL && x.wanted != NULL, err, SN_ENOMEM, "hoist: no memory");
    SN_TRY(sn_weight_bytes(p, root, &x.weight, err));
    SnStatus st = choose(&x, root, err);
    *out = root;
    if (st == SN_OK && x.moved.n > 0)
        st = rebuild(&x, root, out, err);
    sn_vec_clear(sn_allocator(p->ctx), &x.moved);
    return st;
}

SnStatus sn_split_load(SnPass *p, SnRef root, SnRef *main, SnRef *load, SnError *err)
{
    const SnTerm *t = sn_term(p->s, root);
    const SnRef last = t->arg[t->narg - 1];
    *main = root;
    *load = 0;
    if (strcmp(sn_attr_string(p->s, last, "name"), SN_LOAD_ENTRY) != 0)
        return SN_OK;
    SnRef *entry = (SnRef *)sn_arena_array(p->arena, t->narg, sizeof *entry);
    SN_CHECK(entry != NULL, err, SN_ENOMEM, "compile: no memory");
    memcpy(entry, t->arg, t->narg * sizeof *entry);
    const int n = t->narg;
    SN_TRY(sn_term_build(p->s, SN_OP_PROGRAM, 0, entry, n - 1, main, err));
    return sn_term_build(p->s, SN_OP_PROGRAM, 0, &entry[n - 1], 1, load, err);
}
