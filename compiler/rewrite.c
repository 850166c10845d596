/* rewrite.c -- applies rule tables to a fixed point.
 *
 * Rules are parsed once into flat patterns and indexed by the op at their head. A pass is one loop over the
 * refs that the root reaches: a term is rebuilt over its simplified operands, then rewritten until no rule
 * matches. What a rule builds anew is simplified as it is built, so recursion is as deep as patterns are, not
 * as graphs. */
#include "compiler/rewrite.h"

#include "compiler/eval.h"
#include "compiler/pass.h"
#include "compiler/scalar.h"

#define MAX_NODES 24   /* of a pattern */
#define MAX_STEPS 64   /* rewrites of one term: rules terminate long before */
#define MAX_DEPTH 32   /* of terms that rules build out of what rules built */
#define MAX_FOLD  4096 /* elements of a constant that is computed */

typedef enum NodeKind { NODE_OP, NODE_VAR, NODE_CONST, NODE_NUMBER } NodeKind;
typedef enum VarClass {
    CLASS_ANY,
    CLASS_INT,
    CLASS_SIGNED,
    CLASS_UNSIGNED,
    CLASS_FLOAT,
    CLASS_BOOL
} VarClass;

typedef struct Node {
    NodeKind kind;
    uint16_t op; /* OP */
    bool open;   /* OP: ends with .. */
    uint8_t var; /* VAR, CONST: letter */
    VarClass class;
    double number; /* NUMBER; true and false are 1 and 0 */
    int narg;      /* OP: children follow, each with its own children */
} Node;

typedef struct Pattern {
    Node node[MAX_NODES];
    int n;
} Pattern;

typedef struct Rule {
    const SnRule *row;
    Pattern before, after;
    struct Rule *next; /* with the same head */
    uint32_t nhit;
} Rule;

struct SnRewriter {
    SnStore *s;
    SnArena *arena;
    SnScalarPlan *plan; /* made when first needed */
    Rule *rule;
    uint32_t nrule;
    Rule *by_head[SN_PRIM_COUNT];
    int depth;
    SnRef *map; /* by ref: what it became; 0: not reached, or not yet */
    bool *reached;
    uint32_t n;
};

/* ---- parsing patterns ---- */

static const char *const class_names[] = {
    [CLASS_INT] = "int",     [CLASS_SIGNED] = "signed", [CLASS_UNSIGNED] = "unsigned",
    [CLASS_FLOAT] = "float", [CLASS_BOOL] = "bool",
};

static size_t word_length(const char *at)
{
    return strcspn(at, " ()");
}

static bool parse_var(const char **at, size_t n, Node *node)
{
    const char *text = *at;
    node->kind = text[0] == '?' ? NODE_VAR : NODE_CONST;
    if (n < 2 || text[1] < 'a' || text[1] > 'z')
        return false;
    node->var = (uint8_t)(text[1] - 'a');
    *at += n;
    if (n == 2)
        return true;
    for (size_t i = CLASS_INT; i < SN_COUNT(class_names); i++)
        if (text[2] == ':' && strlen(class_names[i]) == n - 3 && memcmp(class_names[i], text + 3, n - 3) == 0)
            node->class = (VarClass)i;
    return node->class != CLASS_ANY;
}

/* By hand: strtod listens to the locale. Fractions are short, so that they are exact. */
static bool parse_number(const char **at, size_t n, Node *node)
{
    const char *const end = *at + n;
    node->kind = NODE_NUMBER;
    if ((n == 4 && memcmp(*at, "true", n) == 0) || (n == 5 && memcmp(*at, "false", n) == 0)) {
        node->number = n == 4;
        *at = end;
        return true;
    }
    const bool is_negative = **at == '-';
    double v = 0, unit = 1;
    *at += is_negative;
    bool ok = *at < end, is_fraction = false;
    for (; *at < end; (*at)++) {
        if (**at == '.') {
            is_fraction = true;
            continue;
        }
        ok = ok && **at >= '0' && **at <= '9';
        v = v * 10 + (**at - '0');
        unit *= is_fraction ? 10 : 1;
    }
    node->number = (is_negative ? -v : v) / unit;
    return ok;
}

/* One node with its children; patterns are constants of this program, so recursion is shallow. */
static bool parse_node(const char **at, Pattern *p)
{
    if (p->n == MAX_NODES)
        return false;
    Node *node = &p->node[p->n++];
    *at += strspn(*at, " ");
    if (**at != '(') {
        const size_t n = word_length(*at);
        return **at == '?' || **at == '#' ? parse_var(at, n, node) : parse_number(at, n, node);
    }
    *at += 1;
    const size_t n = word_length(*at);
    node->kind = NODE_OP;
    node->op = sn_prim_named(sn_bytes(*at, n));
    *at += n;
    for (;;) {
        *at += strspn(*at, " ");
        if (**at == ')') {
            *at += 1;
            return node->op != SN_OP_ERROR;
        }
        if (strncmp(*at, "..", 2) == 0) {
            node->open = true;
            *at += 2;
            continue;
        }
        if (node->open || !parse_node(at, p))
            return false;
        node->narg++;
    }
}

static bool parse_pattern(const char *text, Pattern *p)
{
    return parse_node(&text, p) && *text == '\0';
}

static SnStatus add_rule(SnRewriter *w, const SnRule *row, SnError *err)
{
    Rule *r = &w->rule[w->nrule++];
    r->row = row;
    SN_CHECK(parse_pattern(row->before, &r->before) && r->before.node[0].kind == NODE_OP &&
                 (row->after == NULL) != (row->make == NULL) &&
                 (row->after == NULL || parse_pattern(row->after, &r->after)),
             err, SN_EINTERNAL, "rule %s: bad pattern", row->before);
    Rule **last = &w->by_head[r->before.node[0].op];
    while (*last != NULL)
        last = &(*last)->next;
    *last = r;
    return SN_OK;
}

SnStatus sn_rewriter_create(SnStore *s, SnArena *arena, const SnRule *const *tables, uint32_t flags,
                            SnRewriter **out, SnError *err)
{
    uint32_t n = 0;
    for (const SnRule *const *t = tables; *t != NULL; t++) {
        for (const SnRule *row = *t; row->before != NULL; row++)
            n++;
    }
    SnRewriter *w = (SnRewriter *)sn_arena_alloc(arena, sizeof *w);
    Rule *rule = (Rule *)sn_arena_array(arena, n, sizeof *rule);
    SN_CHECK(w != NULL && rule != NULL, err, SN_ENOMEM, "no memory for rules");
    *w = (SnRewriter){.s = s, .arena = arena, .rule = rule};
    for (; *tables != NULL; tables++) {
        for (const SnRule *row = *tables; row->before != NULL; row++)
            if (!row->fast || (flags & SN_FAST_MATH) != 0)
                SN_TRY(add_rule(w, row, err));
    }
    *out = w;
    return SN_OK;
}

void sn_rewriter_destroy(SnRewriter *w)
{
    if (w != NULL)
        sn_scalar_plan_destroy(w->plan);
}

const SnRule *sn_rewriter_rule(const SnRewriter *w, uint32_t i, uint32_t *nhit)
{
    if (i >= w->nrule)
        return NULL;
    *nhit = w->rule[i].nhit;
    return w->rule[i].row;
}

/* ---- constants ---- */

bool sn_is_splat(const SnStore *s, SnRef r, SnScalar *v)
{
    const SnTerm *t = sn_term(s, r);
    while (t->op == SN_OP_BROADCAST || t->op == SN_OP_RESHAPE) {
        r = t->arg[0];
        t = sn_term(s, r);
    }
    return sn_is_const(s, r, v);
}

/* A constant of this value with the dtype and dims of a type. */
static SnRef splat(SnStore *s, const SnType *t, SnScalar v)
{
    SnRef arg[1 + SN_MAX_RANK] = {sn_const_scalar(s, t->dtype, v)}, out;
    if (t->ndim == 0)
        return arg[0];
    for (int i = 0; i < t->ndim; i++)
        arg[1 + i] = t->dims[i];
    return sn_term_build(s, SN_OP_BROADCAST, 0, arg, 1 + t->ndim, &out, NULL) == SN_OK ? out : 0;
}

SnRef sn_match_const(const SnMatch *m, SnScalar v)
{
    return splat(m->s, sn_type_of(m->s, m->root), v);
}

static SnScalar number_as(SnDtype d, double number)
{
    if (sn_dtype_is_float(d))
        return sn_scalar_round_to(d, (SnScalar){.f = number});
    return sn_scalar_round_to(d, (SnScalar){.i = (int64_t)number});
}

/* ---- matching ---- */

static bool is_of_class(SnDtype d, VarClass c)
{
    const SnDtypeKind kind = d != SN_NODTYPE ? sn_dtype(d)->kind : SN_KIND_BOOL;
    switch (c) {
    case CLASS_ANY:
        return true;
    case CLASS_INT:
        return kind == SN_KIND_INT || kind == SN_KIND_UINT;
    case CLASS_SIGNED:
        return kind == SN_KIND_INT;
    case CLASS_UNSIGNED:
        return kind == SN_KIND_UINT;
    case CLASS_FLOAT:
        return kind == SN_KIND_FLOAT;
    case CLASS_BOOL:
        return kind == SN_KIND_BOOL && d != SN_NODTYPE;
    }
    return false;
}

static bool match_leaf(const Node *node, SnMatch *m, SnRef r)
{
    const SnDtype d = sn_dtype_of(m->s, r);
    SnScalar v;
    if (node->kind == NODE_NUMBER) {
        const bool is_bool = d == SN_BOOL;
        return sn_is_splat(m->s, r, &v) && (!is_bool || node->number == 0 || node->number == 1) &&
               v.u == number_as(d, node->number).u;
    }
    if (node->kind == NODE_CONST && !sn_is_splat(m->s, r, NULL))
        return false;
    SnRef *bound = &m->var[node->var];
    if ((*bound != 0 && *bound != r) || !is_of_class(d, node->class))
        return false;
    *bound = r;
    return true;
}

/* *node moves past the node and its children. */
static bool match_node(const Node **node, SnMatch *m, SnRef r)
{
    const Node *const at = (*node)++;
    if (at->kind != NODE_OP)
        return match_leaf(at, m, r);
    const SnTerm *t = sn_term(m->s, r);
    if (t->op != at->op || (at->open ? t->narg < at->narg : t->narg != at->narg))
        return false;
    for (int i = 0; i < at->narg; i++)
        if (!match_node(node, m, sn_term(m->s, r)->arg[i]))
            return false;
    return true;
}

/* ---- building ---- */

SnRef sn_match_build(const SnMatch *m, uint16_t op, SnAttrId attr, const SnRef *arg, int narg)
{
    SnRef r;
    for (int i = 0; i < narg; i++)
        if (arg[i] == 0)
            return 0;
    if (sn_term_build(m->s, op, attr, arg, narg, &r, NULL) != SN_OK)
        return 0;
    return sn_rewrite_term(m->w, r);
}

static SnRef instantiate(const Node **node, const SnMatch *m)
{
    const Node *const at = (*node)++;
    SnRef arg[4] = {0};
    if (at->kind == NODE_NUMBER)
        return sn_match_const(m, number_as(sn_dtype_of(m->s, m->root), at->number));
    if (at->kind != NODE_OP)
        return m->var[at->var];
    for (int i = 0; i < at->narg; i++)
        arg[i] = instantiate(node, m);
    return sn_match_build(m, at->op, 0, arg, at->narg);
}

/* ---- folding ---- */

static bool fold_scalar(SnRewriter *w, SnRef r, const SnScalar *arg, SnScalar *out)
{
    const SnTerm *t = sn_term(w->s, r);
    const SnDtype from = sn_dtype_of(w->s, t->arg[t->op == SN_OP_WHERE ? 1 : 0]), to = sn_dtype_of(w->s, r);
    if (t->op == SN_OP_CAST) {
        *out = sn_scalar_cast(from, to, arg[0], sn_attr_int(w->s, r, "sat", 0) != 0);
        return true;
    }
    if (t->op == SN_OP_BITCAST) {
        uint64_t bits = 0;
        if (sn_dtype_size(from) != sn_dtype_size(to))
            return false;
        sn_scalar_store(from, &bits, arg[0]);
        *out = sn_scalar_load(to, &bits);
        return true;
    }
    if (w->plan == NULL && sn_scalar_plan_create(sn_store_context(w->s), &w->plan, NULL) != SN_OK)
        return false;
    return sn_scalar_eval(w->plan, t->op, from, arg, out, NULL) == SN_OK;
}

static SnRef fold_elementwise(SnRewriter *w, SnRef r)
{
    const SnTerm *t = sn_term(w->s, r);
    SnScalar arg[3], v;
    for (int i = 0; i < t->narg; i++)
        if (!sn_is_splat(w->s, t->arg[i], &arg[i]))
            return 0;
    return fold_scalar(w, r, arg, &v) ? splat(w->s, sn_type_of(w->s, r), v) : 0;
}

static int64_t const_count(const SnStore *s, SnRef r)
{
    const SnType *t = sn_type_of(s, r);
    int64_t n = 1, dim;
    for (int i = 0; i < t->ndim; i++)
        if (!sn_is_const_i64(s, t->dims[i], &dim) || !sn_mul_i64(n, dim, &n))
            return INT64_MAX;
    return n;
}

/* Constants with data, when the result is no larger than they are. */
static SnRef fold_data(SnRewriter *w, SnRef r)
{
    const SnTerm *t = sn_term(w->s, r);
    int64_t most = 0;
    for (int i = 0; i < t->narg; i++) {
        if (sn_term(w->s, t->arg[i])->op != SN_OP_CONST)
            return 0;
        const int64_t n = const_count(w->s, t->arg[i]);
        most = sn_attr(w->s, t->arg[i], "data") != NULL && n > most ? n : most;
    }
    SnBytes bytes;
    if (most == 0 || const_count(w->s, r) > most || !sn_eval_const(w->s, r, MAX_FOLD, w->arena, &bytes))
        return 0;
    if (sn_type_of(w->s, r)->ndim == 0)
        return sn_const_scalar(w->s, sn_dtype_of(w->s, r), sn_scalar_load(sn_dtype_of(w->s, r), bytes.at));
    const SnAttr data = {.name = "data", .kind = SN_ATTR_DATA, .u.data = bytes};
    return sn_term_make(w->s, SN_OP_CONST, sn_term(w->s, r)->type, sn_attrs_make(w->s, &data, 1), NULL, 0);
}

static SnRef fold(SnRewriter *w, SnRef r)
{
    const SnTerm *t = sn_term(w->s, r);
    if (t->narg == 0 || t->op >= SN_PRIM_COUNT || sn_type_of(w->s, r)->kind != SN_TYPE_TENSOR)
        return 0;
    const SnRef folded = sn_op_is_elementwise(t->op) ? fold_elementwise(w, r) : 0;
    return folded != 0 ? folded : fold_data(w, r);
}

/* ---- one term ---- */

/* What the first rule that matches makes of r; 0: none does. */
static SnRef apply_rules(SnRewriter *w, SnRef r)
{
    for (Rule *rule = w->by_head[sn_term(w->s, r)->op]; rule != NULL; rule = rule->next) {
        SnMatch m = {.w = w, .s = w->s, .root = r};
        const Node *node = rule->before.node;
        if (!match_node(&node, &m, r) || (rule->row->when != NULL && !rule->row->when(&m)))
            continue;
        node = rule->after.node;
        const SnRef made = rule->row->make != NULL ? rule->row->make(&m) : instantiate(&node, &m);
        if (made == 0 || made == r || !sn_type_fits(w->s, sn_term(w->s, r)->type, sn_term(w->s, made)->type))
            continue;
        rule->nhit++;
        return made;
    }
    return 0;
}

SnRef sn_rewrite_term(SnRewriter *w, SnRef r)
{
    if (w->depth == MAX_DEPTH)
        return r;
    w->depth++;
    for (int step = 0; step < MAX_STEPS && r != 0; step++) {
        /* Dims have a canonical form of their own. */
        if (sn_term(w->s, r)->op >= SN_PRIM_COUNT || sn_is_dim(w->s, r))
            break;
        SnRef next = fold(w, r);
        if (next == 0)
            next = apply_rules(w, r);
        if (next == 0)
            break;
        r = next;
    }
    w->depth--;
    return sn_store_failed(w->s) ? 0 : r;
}

/* ---- everything ---- */

static SnRef reach_dim(void *self, SnRef dim)
{
    ((SnRewriter *)self)->reached[dim] = true;
    return dim;
}

static SnRef map_dim(void *self, SnRef dim)
{
    const SnRewriter *w = (const SnRewriter *)self;
    return dim < w->n && w->map[dim] != 0 ? w->map[dim] : dim;
}

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "simplify: no memory");
}

static SnStatus mark(SnRewriter *w, SnRef root, SnError *err)
{
    w->n = root + 1;
    w->map = (SnRef *)sn_arena_array(w->arena, w->n, sizeof *w->map);
    w->reached = (bool *)sn_arena_array(w->arena, w->n, sizeof *w->reached);
    if (w->map == NULL || w->reached == NULL)
        return no_memory(err);
    w->reached[root] = true;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(w->s, r);
        if (!w->reached[r])
            continue;
        for (int i = 0; i < t->narg; i++)
            w->reached[t->arg[i]] = true;
        if (t->type != 0 && sn_type_map_dims(w->s, t->type, reach_dim, w) == 0)
            return no_memory(err);
    }
    return SN_OK;
}

/* The term over its mapped operands. */
static SnStatus rebuild(SnRewriter *w, SnRef r, SnRef *out, SnError *err)
{
    const SnTerm *t = sn_term(w->s, r);
    const SnTypeId type = t->type != 0 ? sn_type_map_dims(w->s, t->type, map_dim, w) : 0;
    SnRef *in = (SnRef *)sn_arena_array(w->arena, t->narg, sizeof *in);
    bool is_changed = type != t->type;
    if (in == NULL || (type == 0) != (t->type == 0))
        return no_memory(err);
    for (int i = 0; i < t->narg; i++) {
        in[i] = w->map[t->arg[i]];
        is_changed = is_changed || in[i] != t->arg[i];
    }
    *out = r;
    if (!is_changed)
        return SN_OK;
    if (t->op < SN_PRIM_COUNT && sn_prim_has_rule(t->op))
        return sn_term_build(w->s, t->op, t->attr, in, t->narg, out, err);
    *out = sn_term_make(w->s, t->op, type, t->attr, in, t->narg);
    return *out != 0 ? SN_OK : no_memory(err);
}

SnStatus sn_rewrite(SnRewriter *w, SnRef root, SnRef *out, SnError *err)
{
    SN_TRY(mark(w, root, err));
    for (SnRef r = 1; r < w->n; r++) {
        SnRef rebuilt;
        if (!w->reached[r])
            continue;
        SN_TRY(rebuild(w, r, &rebuilt, err));
        w->map[r] = sn_rewrite_term(w, rebuilt);
        if (w->map[r] == 0)
            return no_memory(err);
    }
    *out = w->map[root];
    return SN_OK;
}

SnStatus sn_pass_simplify(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    static const SnRule *const tables[] = {sn_rules_algebra, sn_rules_tensor, NULL};
    SnRewriter *w = NULL;
    SnStatus st = sn_rewriter_create(p->s, p->arena, tables, p->flags, &w, err);
    if (st == SN_OK)
        st = sn_rewrite(w, root, out, err);
    sn_rewriter_destroy(w);
    return st;
}
