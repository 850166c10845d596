/* pack.c -- contracts read panels.
 *
 * The operand of a contract that owns the last labels of the result is what a kernel loads along its lanes.
 * It is put in the one packed layout, P[outer.., j, k.., l]: l counts 16 outputs, j = ceil(N / 16), the last
 * panel is padded with zeros; two-byte floats keep pairs of an even k together, P[outer.., j, k/2, l, 2]:
 *
 *   contract "ri,oi->ro" x w   ▶   slice (reshape (contract "ri,jil->rjl" x (copy P)))
 *
 * `copy` has the panels stored: those of parameters by the load program (hoist.c), always; those of other
 * values by a kernel in each run, where it pays: when it has MORE_ROWS rows or more to serve, or does not lie
 * along the lanes as it is and has MANY_ROWS, or may have (may_have_many). The operands keep their places and
 * the summed labels their order, so every sum has the bits it had. A cast that widens stays behind the copy;
 * where the panels would still take more than twice the parameters' memory nothing is packed. */
#include "compiler/pass.h"

#define PANEL      16
#define MANY_ROWS  64
#define MORE_ROWS  1024 /* that pay for copying what lies along the lanes */
#define MIN_OUTPUT 8    /* fewer would be padded to more than twice their size */

typedef struct Labels {
    int n;
    char at[SN_MAX_RANK];
} Labels;

typedef struct Pack {
    SnPass *p;
    SnStore *s;
    SnSubst sub;
    int64_t *weight; /* sn_weight_bytes */
    uint32_t n;
    SnStatus st;
    SnError *err;
} Pack;

/* A contract that may be packed. */
typedef struct Contract {
    SnRef term;
    SnRef operand[2]; /* whose dims are meant: those of the term, then what they have become */
    int side;         /* the operand that owns the lanes */
    Labels of[2], result;
    Labels outer, lanes, rest, summed; /* of the lanes' operand; rest: the result without lanes */
    bool is_paired;
    char panel, lane, pair; /* new labels */
} Contract;

/* ---- making terms ---- */

static SnRef make(Pack *x, uint16_t op, const SnAttr *attr, const SnRef *arg, int narg)
{
    SnRef out = 0;
    for (int i = 0; i < narg && x->st == SN_OK; i++)
        if (arg[i] == 0)
            x->st = sn_fail(x->err, SN_ENOMEM, "pack: no memory for terms");
    const SnAttrId id = attr != NULL && x->st == SN_OK ? sn_attrs_make(x->s, attr, 1) : 0;
    if (x->st == SN_OK)
        x->st = sn_term_build(x->s, op, id, arg, narg, &out, x->err);
    return out;
}

static SnRef reshape(Pack *x, SnRef r, const SnRef *dims, int n)
{
    const SnType *from = x->st == SN_OK ? sn_type_of(x->s, r) : NULL;
    if (from != NULL && from->ndim == n && memcmp(from->dims, dims, (size_t)n * sizeof *dims) == 0)
        return r;
    SnRef arg[1 + SN_MAX_RANK] = {r};
    memcpy(arg + 1, dims, (size_t)n * sizeof *dims);
    return make(x, SN_OP_RESHAPE, NULL, arg, 1 + n);
}

static SnRef permute(Pack *x, SnRef r, const int64_t *perm, int n)
{
    const SnAttr attr = SN_INTS("perm", perm, n);
    int same = 0;
    while (same < n && perm[same] == same)
        same++;
    if (same == n)
        return r;
    return make(x, SN_OP_PERMUTE, &attr, &r, 1);
}

/* The first `size` elements of an axis. */
static SnRef cut(Pack *x, SnRef r, int axis, SnRef size)
{
    const SnRef zero = sn_const_i64(x->s, 0);
    SnRef arg[1 + 2 * SN_MAX_RANK] = {r};
    const int n = x->st == SN_OK ? sn_type_of(x->s, r)->ndim : 0;
    for (int i = 0; i < n; i++) {
        arg[1 + i] = zero;
        arg[1 + n + i] = i == axis ? size : sn_type_of(x->s, r)->dims[i];
    }
    return make(x, SN_OP_SLICE, NULL, arg, 1 + 2 * n);
}

/* More zeros at the end of an axis. */
static SnRef extend(Pack *x, SnRef r, int axis, SnRef by)
{
    const SnRef zero = sn_const_i64(x->s, 0);
    SnRef arg[2 + 2 * SN_MAX_RANK] = {r};
    const int n = x->st == SN_OK ? sn_type_of(x->s, r)->ndim : 0;
    for (int i = 0; i < n; i++) {
        arg[1 + i] = zero;
        arg[1 + n + i] = i == axis ? by : zero;
    }
    arg[1 + 2 * n] = n > 0 ? sn_const_scalar(x->s, sn_dtype_of(x->s, r), (SnScalar){.u = 0}) : zero;
    return make(x, SN_OP_PAD, NULL, arg, 2 + 2 * n);
}

/* ---- labels ---- */

static int find(const Labels *x, char c)
{
    const char *at = (const char *)memchr(x->at, c, (size_t)x->n);
    return at != NULL ? (int)(at - x->at) : -1;
}

static void add(Labels *x, char c)
{
    if (x->n < SN_MAX_RANK)
        x->at[x->n++] = c;
}

static const char *read_labels(const char *at, Labels *out)
{
    for (; *at != '\0' && *at != ',' && *at != '-'; at++)
        add(out, *at);
    return at;
}

static char new_label(const char *eq, int nth)
{
    for (char c = 'a'; c <= 'z'; c++)
        if (strchr(eq, c) == NULL && nth-- == 0)
            return c;
    for (char c = 'A'; c <= 'Z'; c++)
        if (strchr(eq, c) == NULL && nth-- == 0)
            return c;
    return 0;
}

static SnRef dim_of(const Pack *x, const Contract *c, char label)
{
    const int side = find(&c->of[0], label) >= 0 ? 0 : 1;
    return sn_type_of(x->s, c->operand[side])->dims[find(&c->of[side], label)];
}

static SnRef count_of(const Pack *x, const Contract *c, const Labels *labels)
{
    SnRef n = sn_const_i64(x->s, 1);
    for (int i = 0; i < labels->n; i++)
        n = sn_dim_mul(x->s, n, dim_of(x, c, labels->at[i]));
    return n;
}

/* Takes the equation apart. false: the last label belongs to both operands, or there is none. */
static bool read_contract(const Pack *x, SnRef r, Contract *c)
{
    const char *eq = sn_attr_string(x->s, r, "eq"), *at = eq;
    *c = (Contract){.term = r, .operand = {sn_term(x->s, r)->arg[0], sn_term(x->s, r)->arg[1]}};
    at = read_labels(at, &c->of[0]);
    at = read_labels(at + 1, &c->of[1]);
    (void)read_labels(at + 2, &c->result);
    const Labels *out = &c->result;
    if (out->n == 0)
        return false;
    const char last = out->at[out->n - 1];
    c->side = find(&c->of[0], last) >= 0 ? 0 : 1;
    const Labels *own = &c->of[c->side], *other = &c->of[1 - c->side];
    if (find(other, last) >= 0)
        return false;
    int first = out->n;
    while (first > 0 && find(own, out->at[first - 1]) >= 0 && find(other, out->at[first - 1]) < 0)
        first--;
    for (int i = 0; i < out->n; i++) {
        add(i < first ? &c->rest : &c->lanes, out->at[i]);
        if (i < first && find(own, out->at[i]) >= 0)
            add(&c->outer, out->at[i]);
    }
    for (int side = 0; side < 2; side++) { /* in the order of the sum */
        for (int i = 0; i < c->of[side].n; i++) {
            const char label = c->of[side].at[i];
            if (find(out, label) < 0 && find(own, label) >= 0 && find(&c->summed, label) < 0)
                add(&c->summed, label);
        }
    }
    c->panel = new_label(eq, 0);
    c->lane = new_label(eq, 1);
    c->pair = new_label(eq, 2);
    return c->panel != 0 && c->lane != 0 && c->pair != 0;
}

/* Pairs of the innermost k, which both operands have. */
static bool has_pairs(const Pack *x, const Contract *c)
{
    const SnDtype d = sn_dtype_of(x->s, sn_term(x->s, c->term)->arg[c->side]);
    int64_t k;
    if ((d != SN_BF16 && d != SN_F16) || c->summed.n == 0)
        return false;
    const char last = c->summed.at[c->summed.n - 1];
    if (find(&c->of[1 - c->side], last) < 0 || c->of[1 - c->side].n == SN_MAX_RANK)
        return false;
    return sn_is_const_i64(x->s, dim_of(x, c, last), &k) && k % 2 == 0;
}

/* ---- does it pay? ---- */

/* Does the axis of r lie in memory with its elements side by side? */
static bool is_dense_along(const SnStore *s, SnRef r, int axis)
{
    for (;;) {
        const SnTerm *t = sn_term(s, r);
        const int ndim = sn_type_of(s, r)->ndim;
        if (t->op == SN_OP_PERMUTE)
            axis = (int)sn_attr(s, r, "perm")->u.ints.at[axis];
        else if (t->op == SN_OP_RESHAPE && axis == ndim - 1 && sn_type_of(s, t->arg[0])->ndim > 0)
            axis = sn_type_of(s, t->arg[0])->ndim - 1;
        else if (t->op != SN_OP_SLICE && t->op != SN_OP_CAST)
            return axis == ndim - 1;
        r = t->arg[0];
    }
}

/* What r moves or converts: a value in memory, or the last arithmetic before it. */
static SnRef origin(const SnStore *s, SnRef r)
{
    for (;;) {
        const SnTerm *t = sn_term(s, r);
        if (t->narg == 0 ||
            (t->op != SN_OP_CAST && (t->op >= SN_PRIM_COUNT || sn_prim(t->op)->kind != SN_PRIM_MOVE)))
            return r;
        r = t->arg[0];
    }
}

/* How often a symbol's number of rows is many, nobody knows. A copy of what was computed costs no more than
 * that did; weights that are trained have that many. Neither caches nor what a loop reads again are copied.
 */
static bool may_have_many(const SnStore *s, SnRef b, bool is_dense, bool has_parts)
{
    const SnTerm *t = sn_term(s, origin(s, b));
    if (t->op == SN_OP_CARRY || is_dense)
        return t->op == SN_OP_CARRY && !has_parts;
    return t->op >= SN_PRIM_COUNT || (sn_prim(t->op)->kind != SN_PRIM_LEAF && t->op != SN_OP_GET);
}

/* Does it lie in panels as it is? */
static bool has_panels(const Pack *x, const Contract *c)
{
    const Labels *own = &c->of[c->side];
    const char last = c->lanes.at[c->lanes.n - 1];
    int64_t n;
    return own->n > 1 && own->at[own->n - 1] == last && find(&c->summed, own->at[own->n - 2]) >= 0 &&
           sn_is_const_i64(x->s, dim_of(x, c, last), &n) && n == PANEL;
}

static bool has_many_rows(const Pack *x, const Contract *c, SnRef b)
{
    Labels rows = {0};
    int64_t n;
    const bool is_dense = is_dense_along(x->s, b, find(&c->of[c->side], c->lanes.at[c->lanes.n - 1]));
    for (int i = 0; i < c->rest.n; i++)
        if (find(&c->outer, c->rest.at[i]) < 0)
            add(&rows, c->rest.at[i]);
    if (sn_is_const_i64(x->s, count_of(x, c, &rows), &n))
        return n >= (is_dense ? MORE_ROWS : MANY_ROWS);
    return may_have_many(x->s, b, is_dense, c->outer.n > 0);
}

/* What a widening cast widens. */
static SnRef narrow(const SnStore *s, SnRef r)
{
    while (sn_term(s, r)->op == SN_OP_CAST &&
           sn_dtype_size(sn_dtype_of(s, sn_term(s, r)->arg[0])) < sn_dtype_size(sn_dtype_of(s, r)))
        r = sn_term(s, r)->arg[0];
    return r;
}

static bool pays(const Pack *x, const Contract *c)
{
    const SnRef b = sn_term(x->s, c->term)->arg[c->side], count = count_of(x, c, &c->lanes);
    const int64_t weight = x->weight[b];
    int64_t n = INT64_MAX, k = 1, outer = 1;
    const bool is_known = sn_is_const_i64(x->s, count, &n);
    const bool is_sized = sn_is_const_i64(x->s, count_of(x, c, &c->summed), &k);
    if (c->result.n == SN_MAX_RANK || c->outer.n + c->summed.n + 3 > SN_MAX_RANK ||
        (is_known && n < MIN_OUTPUT) || (is_sized && k == 0))
        return false;
    if (weight <= 0)
        return !has_panels(x, c) && has_many_rows(x, c, b);
    if (!is_known || !is_sized || !sn_is_const_i64(x->s, count_of(x, c, &c->outer), &outer))
        return false;
    int64_t bytes = (int64_t)sn_dtype_size(sn_dtype_of(x->s, narrow(x->s, b)));
    return sn_mul_i64(bytes, n, &bytes) && sn_mul_i64(bytes, k, &bytes) && sn_mul_i64(bytes, outer, &bytes) &&
           bytes / 2 <= weight;
}

/* ---- panels ---- */

/* b with its labels in the order outer, lanes, summed, and the lanes as one axis. */
static SnRef join_lanes(Pack *x, const Contract *c, SnRef b, SnRef count)
{
    const Labels *const part[] = {&c->outer, &c->lanes, &c->summed};
    int64_t perm[SN_MAX_RANK];
    SnRef dims[SN_MAX_RANK];
    int n = 0, ndim = 0;
    for (size_t k = 0; k < SN_COUNT(part); k++) {
        for (int i = 0; i < part[k]->n; i++) {
            perm[n++] = find(&c->of[c->side], part[k]->at[i]);
            if (part[k] != &c->lanes)
                dims[ndim++] = dim_of(x, c, part[k]->at[i]);
        }
        if (part[k] == &c->lanes)
            dims[ndim++] = count;
    }
    return reshape(x, permute(x, b, perm, n), dims, ndim);
}

static SnRef make_panels(Pack *x, const Contract *c, SnRef b, SnRef count, SnRef npanel)
{
    SnStore *s = x->s;
    const int axis = c->outer.n;
    const SnRef whole = sn_dim_mul(s, npanel, sn_const_i64(s, PANEL));
    SnRef r = join_lanes(x, c, b, count), dims[SN_MAX_RANK];
    int64_t perm[SN_MAX_RANK];
    int n = 0, m = 0;
    if (!sn_dim_equal(s, whole, count))
        r = extend(x, r, axis, sn_dim_sub(s, whole, count));
    for (int i = 0; i < axis; i++)
        dims[n++] = dim_of(x, c, c->outer.at[i]);
    dims[n++] = npanel;
    dims[n++] = sn_const_i64(s, PANEL);
    for (int i = 0; i < c->summed.n; i++)
        dims[n++] = dim_of(x, c, c->summed.at[i]);
    if (c->is_paired) {
        dims[n - 1] = sn_dim_div(s, dims[n - 1], sn_const_i64(s, 2));
        dims[n++] = sn_const_i64(s, 2);
    }
    for (int i = 0; i <= axis; i++)
        perm[m++] = i;
    for (int i = 0; i < c->summed.n; i++)
        perm[m++] = axis + 2 + i;
    perm[m++] = axis + 1;
    if (c->is_paired)
        perm[m++] = n - 1;
    r = permute(x, reshape(x, r, dims, n), perm, n);
    return make(x, SN_OP_COPY, NULL, &r, 1);
}

/* The other operand with its last k as pairs. */
static SnRef split_pairs(Pack *x, const Contract *c, SnRef a)
{
    const Labels *of = &c->of[1 - c->side];
    SnRef dims[SN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < of->n; i++) {
        dims[n++] = dim_of(x, c, of->at[i]);
        if (of->at[i] == c->summed.at[c->summed.n - 1]) {
            dims[n - 1] = sn_dim_div(x->s, dims[n - 1], sn_const_i64(x->s, 2));
            dims[n++] = sn_const_i64(x->s, 2);
        }
    }
    return reshape(x, a, dims, n);
}

/* ---- the new contract ---- */

static char *write_labels(char *at, const Labels *labels, const char *more)
{
    memcpy(at, labels->at, (size_t)labels->n);
    at += labels->n;
    while (*more != '\0')
        *at++ = *more++;
    *at = '\0';
    return at;
}

static void write_equation(const Contract *c, char *at)
{
    const char lane[] = {c->lane, c->is_paired ? c->pair : '\0', '\0'}, panel[] = {c->panel, '\0'};
    const char tail[] = {c->panel, c->lane, '\0'};
    const Labels *of = &c->of[1 - c->side];
    for (int side = 0; side < 2; side++) {
        if (side == c->side) {
            at = write_labels(at, &c->outer, panel);
            at = write_labels(at, &c->summed, lane);
        }
        for (int i = 0; side != c->side && i < of->n; i++) {
            *at++ = of->at[i];
            if (c->is_paired && of->at[i] == c->summed.at[c->summed.n - 1])
                *at++ = c->pair;
        }
        *at++ = side == 0 ? ',' : '-';
    }
    *at++ = '>';
    (void)write_labels(at, &c->rest, tail);
}

static SnRef multiply(Pack *x, const Contract *c, const SnRef operand[2])
{
    char eq[4 * SN_MAX_RANK + 8];
    SnRef out = 0;
    write_equation(c, eq);
    const SnAttr attr[] = {SN_DTYPE("acc", sn_dtype_of(x->s, c->term)), SN_STRING("eq", eq)};
    const SnAttrId id = x->st == SN_OK ? sn_attrs_make(x->s, attr, 2) : 0;
    if (x->st == SN_OK)
        x->st = sn_term_build(x->s, SN_OP_CONTRACT, id, operand, 2, &out, x->err);
    return out;
}

/* Widens what was packed narrow again, step by step. */
static SnRef widen(Pack *x, SnRef from, SnRef to, SnRef r)
{
    if (from == to)
        return r;
    const SnRef inner = widen(x, from, sn_term(x->s, to)->arg[0], r);
    SnRef out = 0;
    if (x->st == SN_OK)
        x->st = sn_term_build(x->s, SN_OP_CAST, sn_term(x->s, to)->attr, &inner, 1, &out, x->err);
    return out;
}

static SnRef pack(Pack *x, Contract *c)
{
    SnStore *s = x->s;
    const SnRef count = count_of(x, c, &c->lanes), sixteen = sn_const_i64(s, PANEL);
    const SnRef npanel = sn_dim_div(s, sn_dim_add(s, count, sn_const_i64(s, PANEL - 1)), sixteen);
    const SnRef whole = sn_dim_mul(s, npanel, sixteen), b = c->operand[c->side];
    const bool is_weight = x->weight[sn_term(s, c->term)->arg[c->side]] > 0;
    const SnRef from = is_weight ? narrow(s, b) : b;
    SnRef operand[2] = {c->operand[0], c->operand[1]}, dims[SN_MAX_RANK];
    c->is_paired = has_pairs(x, c);
    operand[c->side] = widen(x, from, b, make_panels(x, c, from, count, npanel));
    if (c->is_paired)
        operand[1 - c->side] = split_pairs(x, c, operand[1 - c->side]);
    SnRef out = multiply(x, c, operand);
    if (!sn_dim_equal(s, whole, count)) {
        for (int i = 0; i < c->rest.n; i++)
            dims[i] = dim_of(x, c, c->rest.at[i]);
        dims[c->rest.n] = whole;
        out = cut(x, reshape(x, out, dims, c->rest.n + 1), c->rest.n, count);
        if (c->lanes.n == 1)
            return out;
    }
    for (int i = 0; i < c->result.n; i++)
        dims[i] = dim_of(x, c, c->result.at[i]);
    return reshape(x, out, dims, c->result.n);
}

SnStatus sn_pass_pack(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    Pack x = {.p = p, .s = p->s, .st = SN_OK, .err = err};
    const bool *reached = sn_reach(p, root, true);
    SN_TRY(sn_subst_begin(&x.sub, p->s, p->arena, err));
    SN_TRY(sn_weight_bytes(p, root, &x.weight, err));
    SN_CHECK(reached != NULL, err, SN_ENOMEM, "pack: no memory");
    x.sub.enter_functions = true;
    for (SnRef r = 1; r <= root; r++) {
        const uint16_t op = sn_term(p->s, r)->op;
        Contract c;
        if (!reached[r] || (op != SN_OP_CONTRACT && op != SN_OP_REDUCE))
            continue;
        if (op != SN_OP_CONTRACT || !read_contract(&x, r, &c) || !pays(&x, &c)) {
            SnRef same; /* made now, so that it runs when it did: its operands are in caches then */
            SN_TRY(sn_subst(&x.sub, r, &same, err));
            continue;
        }
        SN_TRY(sn_subst(&x.sub, c.operand[0], &c.operand[0], err));
        SN_TRY(sn_subst(&x.sub, c.operand[1], &c.operand[1], err));
        x.sub.map[r] = pack(&x, &c);
        SN_TRY(x.st);
        SN_CHECK(x.sub.map[r] != 0, err, SN_ENOMEM, "pack: no memory for terms");
    }
    return sn_subst(&x.sub, root, out, err);
}
