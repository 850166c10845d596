/* flatten.c -- lists ▶ start, len, child; tuples ▶ their leaves. After it every value is a tensor (or an
 * object).
 *
 * Each term becomes a run of leaves: one for a tensor, three for a list, those of its children for a tuple.
 * Movement of a list moves start and len and leaves the child alone. Parameters of a function are numbered
 * anew, so a body is flattened where it is used (flatten_fn), with leaves of its own for everything that
 * depends on its parameters. */
#include "compiler/pass.h"
#include "runtime/program.h"

#define MAX_NESTING 64

typedef struct Run {
    uint32_t first, n; /* in Flatten.leaf; n 0: not visited (or an empty tuple) */
} Run;

typedef struct Flatten {
    SnPass *p;
    SnStore *s;
    SnError *err;
    const bool *has_arg; /* by ref: depends on a parameter of its function */
    uint32_t n;          /* refs of the root before the pass */
    Run *run;            /* by ref */
    SN_VEC(SnRef) leaf;
    int depth;
} Flatten;

/* ---- leaves ---- */

static SnStatus no_memory(Flatten *x)
{
    return sn_fail(x->err, SN_ENOMEM, "flatten: no memory");
}

static SnRef *leaves(Flatten *x, SnRef r)
{
    return x->leaf.at + x->run[r].first;
}

static SnStatus set_leaves(Flatten *x, SnRef r, const SnRef *leaf, uint32_t n)
{
    const uint32_t first = (uint32_t)x->leaf.n;
    if (!sn_vec_reserve(sn_allocator(x->p->ctx), &x->leaf, n + 1))
        return no_memory(x);
    for (uint32_t i = 0; i < n; i++) {
        if (!leaf[i])
            return no_memory(x);
        x->leaf.at[x->leaf.n++] = leaf[i];
    }
    x->run[r] = (Run){first, n};
    return SN_OK;
}

static SnRef map_dim(void *self, SnRef dim)
{
    Flatten *x = self;
    return dim < x->n && x->run[dim].n == 1 ? leaves(x, dim)[0] : dim;
}

static bool is_list(const Flatten *x, SnRef r)
{
    const SnTypeId t = sn_term(x->s, r)->type;
    return t && sn_type(x->s, t)->kind == SN_TYPE_LIST;
}

/* Leaf types of a type, dims mapped. */
static uint32_t count_leaves(const SnStore *s, SnTypeId id)
{
    const SnType *t = sn_type(s, id);
    uint32_t n = 0;
    if (t->kind != SN_TYPE_TUPLE)
        return t->kind == SN_TYPE_LIST ? 3 : 1;
    for (int i = 0; i < t->nchild; i++)
        n += count_leaves(s, t->child[i]);
    return n;
}

static void leaf_types(SnStore *s, SnTypeId id, SnTypeId *out, uint32_t *n)
{
    const SnType *t = sn_type(s, id);
    if (t->kind == SN_TYPE_TUPLE) {
        for (int i = 0; i < t->nchild; i++)
            leaf_types(s, t->child[i], out, n);
    } else if (t->kind == SN_TYPE_LIST) {
        out[(*n)++] = sn_type_tensor(s, SN_I64, t->ndim, t->dims);
        out[(*n)++] = sn_type_tensor(s, SN_I64, t->ndim, t->dims);
        out[(*n)++] = sn_type_tensor(s, t->dtype, 1, &t->bound);
    } else {
        out[(*n)++] = id;
    }
}

static SnStatus types_of(Flatten *x, SnTypeId id, SnTypeId **out, uint32_t *n)
{
    const SnTypeId mapped = sn_type_map_dims(x->s, id, map_dim, x);
    *out = mapped ? sn_arena_array(x->p->arena, count_leaves(x->s, mapped) + 1u, sizeof **out) : NULL;
    *n = 0;
    if (!*out)
        return no_memory(x);
    leaf_types(x->s, mapped, *out, n);
    return SN_OK;
}

/* The leaves of n operands of r from the given one on, as one array. */
static SnStatus operand_leaves(Flatten *x, SnRef r, int first, int n, SnRef **out, uint32_t *count)
{
    const SnTerm *t = sn_term(x->s, r);
    *count = 0;
    for (int i = first; i < first + n; i++)
        *count += x->run[t->arg[i]].n;
    *out = sn_arena_array(x->p->arena, *count + 1u, sizeof **out);
    if (!*out)
        return no_memory(x);
    SnRef *at = *out;
    for (int i = first; i < first + n; i++)
        for (uint32_t j = 0; j < x->run[t->arg[i]].n; j++)
            *at++ = leaves(x, t->arg[i])[j];
    return SN_OK;
}

/* ---- making terms ---- */

static SnRef make(Flatten *x, uint16_t op, const SnAttr *attr, int nattr, const SnRef *arg, int narg,
                  SnStatus *st)
{
    SnRef out = 0;
    const SnAttrId id = nattr ? sn_attrs_make(x->s, attr, nattr) : 0;
    if (*st == SN_OK)
        *st = nattr && !id ? no_memory(x) : sn_term_build(x->s, op, id, arg, narg, &out, x->err);
    return out;
}

static SnRef make2(Flatten *x, uint16_t op, SnRef a, SnRef b, SnStatus *st)
{
    return make(x, op, NULL, 0, (SnRef[]){a, b}, 2, st);
}

/* A scalar as dense as a tensor of these dims. */
static SnRef spread(Flatten *x, SnRef scalar, const SnType *like, SnStatus *st)
{
    SnRef arg[1 + SN_MAX_RANK] = {scalar};
    for (int i = 0; i < like->ndim; i++)
        arg[1 + i] = like->dims[i];
    return like->ndim ? make(x, SN_OP_BROADCAST, NULL, 0, arg, 1 + like->ndim, st) : scalar;
}

/* The same term over other operands; its type is inferred, or mapped where it is its maker's word. */
static SnStatus remake(Flatten *x, SnRef r, SnAttrId attr, const SnRef *arg, int narg, SnRef *out)
{
    const SnTerm *t = sn_term(x->s, r);
    if (sn_prim_has_rule(t->op))
        return sn_term_build(x->s, t->op, attr, arg, narg, out, x->err);
    const SnTypeId type = t->type ? sn_type_map_dims(x->s, t->type, map_dim, x) : 0;
    *out = type || !t->type ? sn_term_make(x->s, t->op, type, attr, arg, narg) : 0;
    return *out ? SN_OK : no_memory(x);
}

/* All results of a term that has several. */
static SnStatus set_gets(Flatten *x, SnRef r, SnRef made)
{
    const int n = sn_type_of(x->s, made)->nchild;
    SnRef *leaf = sn_arena_array(x->p->arena, (size_t)n + 1, sizeof *leaf);
    SnStatus st = leaf ? SN_OK : no_memory(x);
    for (int i = 0; st == SN_OK && i < n; i++)
        leaf[i] = make(x, SN_OP_GET, (SnAttr[]){SN_INT("index", i)}, 1, &made, 1, &st);
    return st == SN_OK ? set_leaves(x, r, leaf, (uint32_t)n) : st;
}

static SnStatus flat_attrs(Flatten *x, SnRef r, const SnAttr *more, int nmore, SnAttrId *out)
{
    int n = 0;
    const SnAttr *old = sn_attrs(x->s, sn_term(x->s, r)->attr, &n);
    SnAttr *all = sn_arena_array(x->p->arena, (size_t)(n + nmore), sizeof *all);
    if (!all)
        return no_memory(x);
    int count = 0;
    for (int i = 0; i < n; i++) {
        bool replaced = false;
        for (int j = 0; j < nmore; j++)
            replaced = replaced || strcmp(old[i].name, more[j].name) == 0;
        if (!replaced)
            all[count++] = old[i];
    }
    for (int j = 0; j < nmore; j++)
        all[count++] = more[j];
    *out = sn_attrs_make(x->s, all, count);
    return *out ? SN_OK : no_memory(x);
}

/* ---- leaves of a program ---- */

/* NAME becomes NAME.start, NAME.len and NAME. */
static SnStatus visit_named(Flatten *x, SnRef r)
{
    static const char *const part[] = {".start", ".len", ""};
    const SnTerm *t = sn_term(x->s, r);
    const char *name = sn_attr_string(x->s, r, "name");
    SnTypeId *type = NULL;
    uint32_t n = 0;
    SnRef leaf[3] = {0};
    SN_TRY(types_of(x, t->type, &type, &n));
    SN_CHECK(n <= 3, x->err, SN_EUNSUPPORTED, "%s: a tuple cannot be bound by one name", name);
    for (uint32_t i = 0; i < n; i++) {
        const char *full = n == 1 ? name : sn_arena_printf(sn_store_arena(x->s), "%s%s", name, part[i]);
        SnAttrId attr = 0;
        SnRef init = 0;
        if (!full)
            return no_memory(x);
        SN_TRY(flat_attrs(x, r, (SnAttr[]){SN_STRING("name", full)}, 1, &attr));
        if (t->narg)
            init = leaves(x, t->arg[0])[i];
        leaf[i] = sn_term_make(x->s, t->op, type[i], attr, &init, t->narg);
    }
    return set_leaves(x, r, leaf, n);
}

/* ---- lists ---- */

/* Start and len move, the child stays. */
static SnStatus visit_moved(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    SnRef *arg = NULL, leaf[3] = {0};
    uint32_t n = 0;
    SN_TRY(operand_leaves(x, r, 0, t->narg, &arg, &n)); /* start, len, child, then the others */
    const SnRef list[3] = {arg[0], arg[1], arg[2]};
    for (int i = 0; i < 2; i++) {
        arg[2] = list[i];
        SN_TRY(remake(x, r, t->attr, arg + 2, (int)n - 2, &leaf[i]));
    }
    leaf[2] = list[2];
    return set_leaves(x, r, leaf, 3);
}

/* Lists that do not share a child: the children one after the other, and where each begins. */
static SnStatus join_children(Flatten *x, const SnRef *list, int n, SnRef *child, SnRef *shift)
{
    SnStatus st = SN_OK;
    SnRef *arg = sn_arena_array(x->p->arena, (size_t)n, sizeof *arg), at = sn_const_i64(x->s, 0);
    bool same = true;
    if (!arg)
        return no_memory(x);
    for (int i = 0; i < n; i++) {
        arg[i] = leaves(x, list[i])[2];
        same = same && arg[i] == arg[0];
    }
    for (int i = 0; i < n; i++) {
        shift[i] = same ? sn_const_i64(x->s, 0) : at;
        at = sn_dim_add(x->s, at, sn_type_of(x->s, arg[i])->dims[0]);
    }
    *child = same ? arg[0] : make(x, SN_OP_CONCAT, (SnAttr[]){SN_INT("axis", 0)}, 1, arg, n, &st);
    return st;
}

static SnRef shifted(Flatten *x, SnRef start, SnRef shift, SnStatus *st)
{
    int64_t v = 1;
    if (sn_is_const_i64(x->s, shift, &v) && v == 0)
        return start;
    return make2(x, SN_OP_ADD, start, spread(x, shift, sn_type_of(x->s, start), st), st);
}

/* concat(lists...) and where(c, list, list): `plain` operands come first. */
static SnStatus visit_joined(Flatten *x, SnRef r, int plain)
{
    const SnTerm *t = sn_term(x->s, r);
    const int n = t->narg - plain;
    SnRef *shift = sn_arena_array(x->p->arena, (size_t)n, sizeof *shift);
    SnRef *arg = sn_arena_array(x->p->arena, t->narg + 1u, sizeof *arg), leaf[3] = {0};
    SnStatus st = SN_OK;
    if (!shift || !arg)
        return no_memory(x);
    SN_TRY(join_children(x, t->arg + plain, n, &leaf[2], shift));
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < plain; i++)
            arg[i] = leaves(x, t->arg[i])[0];
        for (int i = 0; i < n; i++) {
            const SnRef part = leaves(x, t->arg[plain + i])[k];
            arg[plain + i] = k == 0 ? shifted(x, part, shift[i], &st) : part;
        }
        SN_TRY(st);
        SN_TRY(remake(x, r, t->attr, arg, t->narg, &leaf[k]));
    }
    return set_leaves(x, r, leaf, 3);
}

/* i64[n+1]: 0, then the running sum of the lengths. */
static SnStatus visit_offsets(Flatten *x, SnRef r)
{
    SnStatus st = SN_OK;
    const SnRef len = leaves(x, sn_term(x->s, r)->arg[0])[1], zero = sn_const_i64(x->s, 0);
    const SnAttr sum[] = {SN_STRING("fn", "add"), SN_INT("axis", 0)};
    const SnRef ends = make(x, SN_OP_SCAN, sum, 2, &len, 1, &st);
    const SnRef out = make(x, SN_OP_PAD, NULL, 0, (SnRef[]){ends, sn_const_i64(x->s, 1), zero, zero}, 4, &st);
    return st == SN_OK ? set_leaves(x, r, &out, 1) : st;
}

/* Element j of the packed child: its row is the number of lists that end at or before j, counted by a scatter
 * of ones at the ends and a running sum. */
static SnStatus visit_values(Flatten *x, SnRef r)
{
    SnStatus st = SN_OK;
    const SnTerm *t = sn_term(x->s, r);
    const SnRef start = leaves(x, t->arg[0])[0], len = leaves(x, t->arg[0])[1],
                child = leaves(x, t->arg[0])[2];
    const SnRef m = leaves(x, t->arg[1])[0];
    const SnAttr sum[] = {SN_STRING("fn", "add"), SN_INT("axis", 0)};
    const int64_t axis0 = 0;
    const SnAttr add[] = {SN_STRING("fn", "add"), SN_INTS("axes", &axis0, 1)};
    const SnAttr take[] = {SN_INTS("axes", &axis0, 1), SN_STRING("oob", "clamp")};
    const SnType packed = {.ndim = 1, .dims = {m}};
    const SnRef ends = make(x, SN_OP_SCAN, sum, 2, &len, 1, &st);
    const SnRef zeros = spread(x, sn_const_i64(x->s, 0), &packed, &st);
    const SnRef ones = spread(x, sn_const_i64(x->s, 1), sn_type_of(x->s, len), &st);
    const SnRef marks = make(x, SN_OP_SCATTER, add, 2, (SnRef[]){zeros, ends, ones}, 3, &st);
    const SnRef row = make(x, SN_OP_SCAN, sum, 2, &marks, 1, &st);
    const SnAttr along[] = {SN_INT("axis", 0), SN_DTYPE("dtype", SN_I64)};
    const SnRef j = make(x, SN_OP_IOTA, along, 2, &m, 1, &st);
    /* start + j - (end - len) */
    const SnRef base = make2(x, SN_OP_ADD, make2(x, SN_OP_SUB, start, ends, &st), len, &st);
    const SnRef index =
        make2(x, SN_OP_ADD, make(x, SN_OP_GATHER, take, 2, (SnRef[]){base, row}, 2, &st), j, &st);
    const SnRef out = make(x, SN_OP_GATHER, take, 2, (SnRef[]){child, index}, 2, &st);
    return st == SN_OK ? set_leaves(x, r, &out, 1) : st;
}

/* ---- host calls ---- */

static void kinds_of(const SnStore *s, SnTypeId id, int64_t *out, int *n)
{
    const SnType *t = sn_type(s, id);
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++)
        kinds_of(s, t->child[i], out, n);
    if (t->kind != SN_TYPE_TUPLE)
        out[(*n)++] = t->kind == SN_TYPE_LIST     ? SN_HOST_LIST
                      : t->kind == SN_TYPE_OBJECT ? SN_HOST_OBJECT
                                                  : SN_HOST_TENSOR;
}

static SnStatus visit_host(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    SnTypeId *type = NULL;
    SnRef *arg = NULL;
    uint32_t nout = 0, narg = 0, nin = 0;
    SN_TRY(types_of(x, t->type, &type, &nout));
    SN_TRY(operand_leaves(x, r, 0, t->narg, &arg, &narg));
    for (int i = 1; i < t->narg; i++)
        nin += count_leaves(x->s, sn_term(x->s, t->arg[i])->type);
    int64_t *in = sn_arena_array(x->p->arena, nin + 1u, sizeof *in);
    int64_t *out = sn_arena_array(x->p->arena, nout + 1u, sizeof *out);
    if (!in || !out)
        return no_memory(x);
    int in_count = 0, out_count = 0;
    for (int i = 1; i < t->narg; i++)
        kinds_of(x->s, sn_term(x->s, t->arg[i])->type, in, &in_count);
    kinds_of(x->s, t->type, out, &out_count);
    SnAttrId attr = 0;
    SN_TRY(
        flat_attrs(x, r, (SnAttr[]){SN_INTS("in", in, in_count), SN_INTS("out", out, out_count)}, 2, &attr));
    const SnTypeId tuple = sn_type_tuple(x->s, (int)nout, type, NULL);
    const SnRef made = tuple ? sn_term_make(x->s, SN_OP_HOST, tuple, attr, arg, (int)narg) : 0;
    return made ? set_gets(x, r, made) : no_memory(x);
}

/* ---- functions ---- */

static SnStatus sweep(Flatten *x, SnRef root, const bool *need);

/* Which parameters of a body are rows of what a loop scans. A list that is scanned lends its child whole: the
 * child is one more captured value, the last of them. Results from `stacked` on are rows; a list among them
 * begins in the joined child of all rows. */
typedef struct Rows {
    int first, n;   /* among the parameters */
    bool has_stack; /* a while or cond has none */
    int stacked;
    const SnTypeId *child; /* for a while function, which sees no rows: types of those children */
    uint32_t nchild;
} Rows;

static bool is_row_list(const Flatten *x, const SnTerm *fn, const Rows *rows, int i)
{
    return i > rows->first && i <= rows->first + rows->n && is_list(x, fn->arg[i]);
}

static SnRef make_param(Flatten *x, uint32_t index, SnTypeId type)
{
    const SnAttrId attr = sn_attrs_make(x->s, (SnAttr[]){SN_INT("index", (int64_t)index)}, 1);
    return attr ? sn_term_make(x->s, SN_OP_ARG, type, attr, NULL, 0) : 0;
}

/* New parameters for those of a function: a list takes three. */
static SnStatus number_params(Flatten *x, SnRef fn, const Rows *rows, SnRef **param, uint32_t *nparam)
{
    const SnTerm *t = sn_term(x->s, fn);
    uint32_t at = 0, last;
    *nparam = rows->nchild;
    for (int i = 1; i < t->narg; i++)
        *nparam += count_leaves(x->s, sn_term(x->s, t->arg[i])->type);
    *param = sn_arena_array(x->p->arena, *nparam + 1u, sizeof **param);
    if (!*param)
        return no_memory(x);
    last = *nparam - rows->nchild;
    for (int i = 1; i < t->narg; i++)
        last -= is_row_list(x, t, rows, i);
    for (int i = 1; i < t->narg; i++) {
        SnTypeId *type = NULL;
        SnRef *leaf;
        uint32_t n = 0;
        const bool is_row = is_row_list(x, t, rows, i);
        SN_TRY(types_of(x, sn_term(x->s, t->arg[i])->type, &type, &n));
        leaf = sn_arena_array(x->p->arena, n + 1u, sizeof *leaf);
        if (!leaf)
            return no_memory(x);
        for (uint32_t j = 0; j < n; j++) {
            const uint32_t index = is_row && j == 2 ? last++ : at++;
            leaf[j] = (*param)[index] = make_param(x, index, type[j]);
        }
        SN_TRY(set_leaves(x, t->arg[i], leaf, n));
    }
    for (uint32_t i = 0; i < rows->nchild; i++, last++)
        (*param)[last] = make_param(x, last, rows->child[i]);
    return SN_OK;
}

/* Row i of a stacked list has capacity elements of the child, from i * capacity on. */
static SnStatus shift_rows(Flatten *y, SnRef body, int stacked, SnRef index)
{
    SnStatus st = SN_OK;
    SnRef *leaf = leaves(y, body);
    const int n = sn_type_of(y->s, body)->nchild;
    for (int i = 0; i < n && st == SN_OK; i++) {
        const SnTypeId type = sn_type_of(y->s, body)->child[i];
        if (i >= stacked && sn_type(y->s, type)->kind == SN_TYPE_LIST) {
            const SnRef first = make2(y, SN_OP_MUL, index, sn_type_of(y->s, leaf[2])->dims[0], &st);
            leaf[0] = make2(y, SN_OP_ADD, leaf[0], spread(y, first, sn_type_of(y->s, leaf[0]), &st), &st);
        }
        leaf += count_leaves(y->s, type);
    }
    return st;
}

static SnStatus flatten_body(Flatten *y, SnRef fn, const Rows *rows, SnRef *out)
{
    SnRef *param = NULL;
    uint32_t nparam = 0;
    SN_TRY(number_params(y, fn, rows, &param, &nparam));
    const SnRef body = sn_term(y->s, fn)->arg[0];
    const bool *need = sn_reach(y->p, body, false);
    if (!need)
        return no_memory(y);
    SN_TRY(sweep(y, body, need));
    SnStatus st = SN_OK;
    SnRef *arg = sn_arena_array(y->p->arena, nparam + 1u, sizeof *arg);
    if (!arg)
        return no_memory(y);
    const bool is_tuple = sn_type_of(y->s, body)->kind == SN_TYPE_TUPLE || y->run[body].n > 1;
    if (rows->has_stack)
        SN_TRY(shift_rows(y, body, rows->stacked, param[0]));
    arg[0] = is_tuple ? make(y, SN_OP_TUPLE, NULL, 0, leaves(y, body), (int)y->run[body].n, &st)
                      : leaves(y, body)[0];
    memcpy(arg + 1, param, nparam * sizeof *arg);
    const SnAttrId attr = sn_term(y->s, fn)->attr;
    return st == SN_OK ? sn_term_build(y->s, SN_OP_FN, attr, arg, (int)nparam + 1, out, y->err) : st;
}

/* A function with leaves of its own; what does not depend on parameters keeps its leaves, and so do measures
 * of the outer function, which only dims name. */
static SnStatus flatten_fn(Flatten *x, SnRef fn, const Rows *rows, SnRef *out)
{
    if (sn_term(x->s, fn)->op == SN_OP_NONE) {
        *out = fn;
        return SN_OK;
    }
    SN_CHECK(x->depth < MAX_NESTING, x->err, SN_EUNSUPPORTED, "loops nest deeper than %d", MAX_NESTING);
    Flatten y = *x;
    y.depth++;
    y.leaf.at = NULL;
    y.leaf.n = y.leaf.cap = 0;
    y.run = sn_arena_array(x->p->arena, x->n, sizeof *y.run);
    if (!y.run)
        return no_memory(x);
    SnStatus st = SN_OK;
    for (SnRef r = 1; st == SN_OK && r < x->n; r++)
        if (x->run[r].n && (!x->has_arg[r] || sn_term(x->s, r)->op == SN_OP_MEASURE))
            st = set_leaves(&y, r, leaves(x, r), x->run[r].n);
    if (st == SN_OK)
        st = flatten_body(&y, fn, rows, out);
    sn_vec_clear(sn_allocator(x->p->ctx), &y.leaf);
    return st;
}

static SnStatus set_results(Flatten *x, SnRef r, SnRef made)
{
    return sn_type_of(x->s, made)->kind == SN_TYPE_TUPLE ? set_gets(x, r, made) : set_leaves(x, r, &made, 1);
}

static SnStatus visit_cond(Flatten *x, SnRef r)
{
    const Rows none = {0};
    const SnTerm *t = sn_term(x->s, r);
    SnRef *arg = NULL, fn[2], made = 0;
    uint32_t n = 0;
    SN_TRY(operand_leaves(x, r, 0, t->narg, &arg, &n));
    for (int i = 0; i < 2; i++)
        SN_TRY(flatten_fn(x, t->arg[1 + i], &none, &fn[i]));
    memcpy(arg + 1, fn, sizeof fn);
    SN_TRY(sn_term_build(x->s, SN_OP_COND, t->attr, arg, (int)n, &made, x->err));
    return set_results(x, r, made);
}

/* ---- loops ---- */

typedef struct LoopLeaves {
    SnRef *arg; /* operands of the new term */
    SnTypeId *child;
    uint32_t n, nchild;
    int64_t ncarry, nscan;
} LoopLeaves;

/* Operands as leaves; children of lists that are scanned go to the end. */
static SnStatus loop_leaves(Flatten *x, SnRef r, int ncarry, int nscan, LoopLeaves *l)
{
    const SnTerm *t = sn_term(x->s, r);
    SnRef *all = NULL;
    uint32_t n = 0;
    SN_TRY(operand_leaves(x, r, 3, t->narg - 3, &all, &n));
    SnRef *last = sn_arena_array(x->p->arena, (size_t)nscan + 1, sizeof *last);
    *l = (LoopLeaves){.n = 3};
    l->arg = sn_arena_array(x->p->arena, n + 4u, sizeof *l->arg);
    l->child = sn_arena_array(x->p->arena, (size_t)nscan + 1, sizeof *l->child);
    if (!last || !l->arg || !l->child)
        return no_memory(x);
    l->arg[2] = leaves(x, t->arg[2])[0];
    for (int i = 3; i < t->narg; i++) {
        const bool is_scanned = i >= 3 + ncarry && i < 3 + ncarry + nscan;
        const uint32_t count = x->run[t->arg[i]].n, kept = is_scanned && is_list(x, t->arg[i]) ? 2 : count;
        for (uint32_t j = 0; j < kept; j++)
            l->arg[l->n++] = leaves(x, t->arg[i])[j];
        if (kept < count) {
            last[l->nchild] = leaves(x, t->arg[i])[2];
            l->child[l->nchild] = sn_term(x->s, last[l->nchild])->type;
            l->nchild++;
        }
        l->ncarry += i < 3 + ncarry ? (int64_t)kept : 0;
        l->nscan += is_scanned ? (int64_t)kept : 0;
    }
    for (uint32_t i = 0; i < l->nchild; i++)
        l->arg[l->n++] = last[i];
    return SN_OK;
}

/* Rows of lists: child [n, capacity] is one child, in which row i begins at i * capacity (shift_rows). */
static SnStatus join_rows(Flatten *x, SnRef *list)
{
    SnStatus st = SN_OK;
    const SnType *rows = sn_type_of(x->s, list[2]);
    list[2] = make2(x, SN_OP_RESHAPE, list[2], sn_dim_mul(x->s, rows->dims[0], rows->dims[1]), &st);
    return st;
}

static SnStatus set_loop_results(Flatten *x, SnRef r, SnRef made, int ncarry)
{
    const SnType *t = sn_type_of(x->s, r);
    SN_TRY(set_gets(x, r, made));
    SnRef *leaf = leaves(x, r);
    for (int i = 0; i < t->nchild; i++) {
        if (i >= ncarry && sn_type(x->s, t->child[i])->kind == SN_TYPE_LIST)
            SN_TRY(join_rows(x, leaf));
        leaf += count_leaves(x->s, t->child[i]);
    }
    return SN_OK;
}

static SnStatus visit_loop(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const int ncarry = (int)sn_attr_int(x->s, r, "ncarry", 0), nscan = (int)sn_attr_int(x->s, r, "nscan", 0);
    LoopLeaves l;
    SnAttrId attr = 0;
    SnRef made = 0;
    SN_TRY(loop_leaves(x, r, ncarry, nscan, &l));
    const Rows rows = {.first = 1 + ncarry, .n = nscan, .has_stack = true, .stacked = ncarry},
               none = {.child = l.child, .nchild = l.nchild};
    SN_TRY(flatten_fn(x, t->arg[0], &rows, &l.arg[0]));
    SN_TRY(flatten_fn(x, t->arg[1], &none, &l.arg[1]));
    SN_TRY(flat_attrs(x, r, (SnAttr[]){SN_INT("ncarry", l.ncarry), SN_INT("nscan", l.nscan)}, 2, &attr));
    SN_TRY(sn_term_build(x->s, SN_OP_LOOP, attr, l.arg, (int)l.n, &made, x->err));
    return set_loop_results(x, r, made, ncarry);
}

/* ---- entries ---- */

static SnStatus leaf_names(Flatten *x, SnTypeId id, const char *name, const char **out, uint32_t *n)
{
    static const char *const part[] = {".start", ".len", ""};
    const SnType *t = sn_type(x->s, id);
    for (int i = 0; t->kind == SN_TYPE_TUPLE && i < t->nchild; i++) {
        const char *child = t->names
                                ? sn_arena_printf(x->p->arena, "%s%s%s", name, *name ? "." : "", t->names[i])
                                : sn_arena_printf(x->p->arena, "%s%s%d", name, *name ? "." : "", i);
        if (!child)
            return no_memory(x);
        SN_TRY(leaf_names(x, t->child[i], child, out, n));
    }
    for (int i = 0; t->kind == SN_TYPE_LIST && i < 3; i++) {
        out[*n] = sn_arena_printf(x->p->arena, "%s%s", name, part[i]);
        if (!out[(*n)++])
            return no_memory(x);
    }
    if (t->kind != SN_TYPE_TUPLE && t->kind != SN_TYPE_LIST)
        out[(*n)++] = name;
    return SN_OK;
}

/* A stream is read while its loop runs: nothing may stand between the two. */
static SnStatus check_stream(Flatten *x, const char *name, SnTypeId type, const SnRef *leaf)
{
    const SnRef loop = sn_stacking_loop(x->s, leaf[0]);
    bool ok = loop != 0;
    if (sn_type(x->s, type)->kind == SN_TYPE_LIST) {
        const SnTerm *child = sn_term(x->s, leaf[2]);
        ok = ok && sn_stacking_loop(x->s, leaf[1]) == loop && child->op == SN_OP_RESHAPE &&
             sn_stacking_loop(x->s, child->arg[0]) == loop;
    }
    SN_CHECK(ok, x->err, SN_EINVAL, "stream %s: must be stacked rows of a loop in the entry itself", name);
    return SN_OK;
}

static SnStatus check_streams(Flatten *x, SnRef entry)
{
    const SnRef results = sn_term(x->s, entry)->arg[0];
    const SnType *t = sn_type_of(x->s, results);
    const SnRef *leaf = leaves(x, results);
    for (int i = 0; i < t->nchild; i++) {
        if (t->names != NULL && sn_entry_streams(x->s, entry, t->names[i]))
            SN_TRY(check_stream(x, t->names[i], t->child[i], leaf));
        leaf += count_leaves(x->s, t->child[i]);
    }
    return SN_OK;
}

static SnStatus visit_entry(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const SnRef results = t->arg[0];
    const SnTypeId type = sn_term(x->s, results)->type;
    const char **name = sn_arena_array(x->p->arena, count_leaves(x->s, type) + 1u, sizeof *name);
    uint32_t n = 0, total = 1;
    if (!name)
        return no_memory(x);
    SN_TRY(check_streams(x, r));
    SN_TRY(leaf_names(x, type, "", name, &n));
    for (int i = 1; i < t->narg; i++)
        total += x->run[t->arg[i]].n;
    SnRef *arg = sn_arena_array(x->p->arena, total + 1u, sizeof *arg), made = 0;
    if (!arg)
        return no_memory(x);
    SnStatus st = SN_OK;
    arg[0] =
        make(x, SN_OP_TUPLE, (SnAttr[]){SN_NAMES("names", name, (int)n)}, 1, leaves(x, results), (int)n, &st);
    uint32_t at = 1;
    for (int i = 1; i + 1 < t->narg; i += 2)
        for (uint32_t j = 0; j < x->run[t->arg[i]].n; j++) {
            arg[at++] = leaves(x, t->arg[i])[j];
            arg[at++] = leaves(x, t->arg[i + 1])[j];
        }
    SN_TRY(st);
    SN_TRY(sn_term_build(x->s, SN_OP_ENTRY, t->attr, arg, (int)at, &made, x->err));
    return set_leaves(x, r, &made, 1);
}

/* ---- the sweep ---- */

static SnStatus visit_get(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    const SnType *of = sn_type_of(x->s, t->arg[0]);
    const int64_t index = sn_attr_int(x->s, r, "index", 0);
    uint32_t first = (uint32_t)index, n = 1;
    if (of->kind == SN_TYPE_TUPLE) {
        first = 0;
        for (int64_t i = 0; i < index; i++)
            first += count_leaves(x->s, of->child[i]);
        n = count_leaves(x->s, of->child[index]);
    }
    x->run[r] = (Run){x->run[t->arg[0]].first + first, n};
    return SN_OK;
}

static SnStatus visit_list_op(Flatten *x, SnRef r)
{
    switch (sn_term(x->s, r)->op) {
    case SN_OP_RESHAPE:
    case SN_OP_PERMUTE:
    case SN_OP_BROADCAST:
    case SN_OP_SLICE:
    case SN_OP_FLIP:
    case SN_OP_WINDOW:
    case SN_OP_GATHER:
    case SN_OP_COMPACT:
        return visit_moved(x, r);
    case SN_OP_CONCAT:
        return visit_joined(x, r, 0);
    case SN_OP_WHERE:
        return visit_joined(x, r, 1);
    default:
        return sn_fail(x->err, SN_EUNSUPPORTED, "%s of a list", sn_prim(sn_term(x->s, r)->op)->name);
    }
}

static SnStatus visit(Flatten *x, SnRef r)
{
    const SnTerm *t = sn_term(x->s, r);
    SnRef *arg = NULL, made = 0;
    uint32_t n = 0;
    switch (t->op) {
    case SN_OP_INPUT:
    case SN_OP_PARAM:
    case SN_OP_CARRY:
        return visit_named(x, r);
    case SN_OP_FN:
        return set_leaves(x, r, &r, 1);
    case SN_OP_GET:
        return visit_get(x, r);
    case SN_OP_TUPLE:
    case SN_OP_LIST:
        SN_TRY(operand_leaves(x, r, 0, t->narg, &arg, &n));
        return set_leaves(x, r, arg, n);
    case SN_OP_LOOP:
        return visit_loop(x, r);
    case SN_OP_COND:
        return visit_cond(x, r);
    case SN_OP_HOST:
        return visit_host(x, r);
    case SN_OP_ENTRY:
        return visit_entry(x, r);
    case SN_OP_OFFSETS:
        return visit_offsets(x, r);
    case SN_OP_VALUES:
        return visit_values(x, r);
    default:
        break;
    }
    if (is_list(x, r))
        return visit_list_op(x, r);
    SN_TRY(operand_leaves(x, r, 0, t->narg, &arg, &n));
    SN_CHECK((int)n == t->narg, x->err, SN_EUNSUPPORTED, "%s of a list or tuple", sn_prim(t->op)->name);
    SN_TRY(remake(x, r, t->attr, arg, (int)n, &made));
    const SnTypeId type = sn_term(x->s, made)->type;
    return type && sn_type(x->s, type)->kind == SN_TYPE_TUPLE ? set_gets(x, r, made)
                                                              : set_leaves(x, r, &made, 1);
}

static SnStatus sweep(Flatten *x, SnRef root, const bool *need)
{
    for (SnRef r = 1; r <= root; r++)
        if (need[r] && !x->run[r].n && (x->depth > 0 || !x->has_arg[r]))
            SN_TRY(visit(x, r));
    return SN_OK;
}

static bool *mark_args(SnPass *p, SnRef root)
{
    bool *has_arg = sn_arena_array(p->arena, root + 1u, 1);
    for (SnRef r = 1; has_arg && r <= root; r++) {
        const SnTerm *t = sn_term(p->s, r);
        has_arg[r] = t->op == SN_OP_ARG;
        for (int i = 0; i < t->narg && t->op != SN_OP_FN; i++)
            has_arg[r] = has_arg[r] || has_arg[t->arg[i]];
    }
    return has_arg;
}

SnStatus sn_pass_flatten(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    Flatten x = {.p = p, .s = p->s, .err = err, .n = root + 1, .has_arg = mark_args(p, root)};
    x.run = sn_arena_array(p->arena, x.n, sizeof *x.run);
    const bool *need = sn_reach(p, root, false);
    if (!x.run || !x.has_arg || !need)
        return no_memory(&x);
    const SnStatus st = sweep(&x, root, need);
    if (st == SN_OK)
        *out = leaves(&x, root)[0];
    sn_vec_clear(sn_allocator(p->ctx), &x.leaf);
    return st;
}
