/* subst.c -- rebuilding a graph with some terms replaced: the tool of passes.
 *
 * One sweep down marks what the root needs, one sweep up rebuilds it: operands have smaller refs than their
 * users, and so have the dims inside a type. Nothing recurses, and what is mapped is not looked at again. */
#include "compiler/type.h"

SnStatus sn_subst_begin(SnSubst *x, SnStore *s, SnArena *arena, SnError *err)
{
    const uint32_t n = sn_store_count(s);
    *x = (SnSubst){.s = s, .n = n, .map = (SnRef *)sn_arena_array(arena, n, sizeof(SnRef))};
    SN_CHECK(x->map != NULL, err, SN_ENOMEM, "no memory for a substitution");
    return SN_OK;
}

/* Terms that the root needs and that are not mapped yet: a sweep ends where none is left below. */
typedef struct Marks {
    bool *mark;
    uint32_t nleft; /* marked, and not swept yet */
    SnRef low;      /* the least that is marked */
    uint32_t most;  /* operands of one */
} Marks;

static void mark_one(const SnSubst *x, Marks *m, SnRef r)
{
    if (m->mark[r] || x->map[r] != 0)
        return;
    m->mark[r] = true;
    m->nleft++;
}

static void mark_type(const SnSubst *x, Marks *m, SnTypeId id)
{
    const SnType *t = sn_type(x->s, id);
    for (int i = 0; i < t->ndim; i++)
        mark_one(x, m, t->dims[i]);
    if (t->bound != 0)
        mark_one(x, m, t->bound);
    for (int i = 0; i < t->nchild; i++)
        mark_type(x, m, t->child[i]);
}

static void mark_needed(const SnSubst *x, SnRef root, Marks *m)
{
    mark_one(x, m, root);
    for (SnRef r = root; r > 0 && m->nleft > 0; r--) {
        const SnTerm *t = sn_term(x->s, r);
        if (!m->mark[r])
            continue;
        m->nleft--;
        m->low = r;
        if (t->op == SN_OP_FN && !x->enter_functions)
            continue;
        m->most = t->narg > m->most ? t->narg : m->most;
        for (int i = 0; i < t->narg; i++)
            mark_one(x, m, t->arg[i]);
        mark_type(x, m, t->type);
    }
}

static SnRef map_dim(void *self, SnRef dim)
{
    const SnSubst *x = (const SnSubst *)self;
    return dim < x->n && x->map[dim] != 0 ? x->map[dim] : dim;
}

/* Terms whose type is their maker's word. */
static bool keeps_type(uint16_t op)
{
    return op >= SN_PRIM_COUNT || !sn_prim_has_rule(op);
}

/* The attributes of r, with the site where it is to be told apart by one. */
static SnAttrId attrs_of(const SnSubst *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    if (t->op != SN_OP_MEASURE || x->site == 0 || sn_attr(x->s, r, "site") != NULL)
        return t->attr;
    return sn_attrs_make(x->s, &SN_INT("site", x->site), 1);
}

SnStatus sn_term_again(SnStore *s, SnRef r, SnAttrId attr, const SnRef *arg, SnDimMap *map, void *self,
                       SnRef *out, SnError *err)
{
    const SnTerm *t = sn_term(s, r);
    const bool is_same = attr == t->attr && (t->narg == 0 || memcmp(arg, t->arg, t->narg * sizeof *arg) == 0);
    *out = r;
    if (!keeps_type(t->op))
        return is_same ? SN_OK : sn_term_build(s, t->op, attr, arg, t->narg, out, err);
    const SnTypeId type = sn_type_map_dims(s, t->type, map, self);
    SN_CHECK(type != 0 || t->type == 0, err, SN_ENOMEM, "no memory for types");
    if (!is_same || type != t->type)
        *out = sn_term_make(s, t->op, type, attr, arg, t->narg);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for terms");
    return SN_OK;
}

static SnStatus rebuild(SnSubst *x, SnRef r, SnRef *arg, SnError *err)
{
    const SnTerm *t = sn_term(x->s, r);
    x->map[r] = r;
    if (t->op == SN_OP_FN && !x->enter_functions)
        return SN_OK;
    for (int i = 0; i < t->narg; i++)
        arg[i] = x->map[t->arg[i]];
    return sn_term_again(x->s, r, attrs_of(x, r), arg, map_dim, x, &x->map[r], err);
}

SnStatus sn_subst(SnSubst *x, SnRef root, SnRef *out, SnError *err)
{
    const SnAllocator *a = sn_allocator(sn_store_context(x->s));
    const size_t n = (size_t)root + 1;
    SnStatus st = SN_OK;
    SnRef *arg = NULL;
    SN_CHECK(root != 0 && root < x->n, err, SN_EINTERNAL,
             "substitution in a term that is newer than its map");
    Marks m = {.mark = (bool *)sn_alloc_zero(a, n, 1), .low = root, .most = 1};
    if (m.mark == NULL) {
        st = sn_fail(err, SN_ENOMEM, "no memory for a substitution");
        goto done;
    }
    mark_needed(x, root, &m);
    arg = (SnRef *)sn_alloc(a, m.most * sizeof *arg, _Alignof(SnRef));
    if (arg == NULL) {
        st = sn_fail(err, SN_ENOMEM, "no memory for a substitution");
        goto done;
    }
    for (SnRef r = m.low; r <= root && st == SN_OK; r++)
        if (m.mark[r])
            st = rebuild(x, r, arg, err);
    if (st == SN_OK)
        *out = x->map[root];
done:
    sn_free(a, arg, m.most * sizeof *arg, _Alignof(SnRef));
    sn_free(a, m.mark, n, 1);
    return st;
}
