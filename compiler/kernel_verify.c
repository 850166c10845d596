/* kernel_verify.c -- checks a kernel against the rules of the IR (ARCHITECTURE section 8).
 *
 * Checked are dtypes, scopes and as much of the eight rules as is static: buffers (1), uniform conditions and
 * extents (3), lanes that talk, where indices are affine (4), divisors of grid and extents (5), sizes of
 * LOCALs (6, 8). Bounds, and the indices of guarded loads of LOCALs (7), are what interp checks. */
#include "compiler/kernel.h"

#include <stdio.h>

#define MAX_NESTING 64
#define MAX_LOCAL   (24 * 1024) /* bytes alive at once */
#define MAX_LANES   1024

/* ---- dtypes of scalar ops ---- */

#define INTS   1u
#define FLOATS 2u
#define BOOLS  4u
#define ANY    7u

static unsigned operand_class(uint16_t op)
{
    switch (op) {
    case SN_OP_NEG:
    case SN_OP_ABS:
    case SN_OP_ADD:
    case SN_OP_SUB:
    case SN_OP_MUL:
    case SN_OP_MOD:
        return INTS | FLOATS;
    case SN_OP_FLOOR:
    case SN_OP_ROUND:
    case SN_OP_EXP:
    case SN_OP_LOG:
    case SN_OP_SIN:
    case SN_OP_COS:
    case SN_OP_SQRT:
    case SN_OP_TANH:
    case SN_OP_ERF:
    case SN_OP_DIV:
    case SN_OP_POW:
    case SN_OP_FMA:
        return FLOATS;
    case SN_OP_IDIV:
    case SN_OP_SHL:
    case SN_OP_SHR:
        return INTS;
    case SN_OP_NOT:
    case SN_OP_AND:
    case SN_OP_OR:
    case SN_OP_XOR:
        return INTS | BOOLS;
    default:
        return ANY;
    }
}

static unsigned dtype_class(SnDtype d)
{
    switch (sn_dtype(d)->kind) {
    case SN_KIND_BOOL:
        return d == SN_BOOL ? BOOLS : 0;
    case SN_KIND_INT:
    case SN_KIND_UINT:
        return INTS;
    case SN_KIND_FLOAT:
        return FLOATS;
    }
    return 0;
}

SnDtype sn_kernel_result(const SnStore *s, uint16_t op, const SnRef *arg, int narg, SnDtype to)
{
    const SnPrimInfo *p = sn_prim(op);
    if (narg < p->min_arg || narg > p->max_arg)
        return SN_NODTYPE;
    if (op == SN_OP_DOT4 || op == SN_OP_DOT2) {
        const SnDtype acc = op == SN_OP_DOT4 ? SN_I32 : SN_F32;
        return sn_dtype_of(s, arg[0]) == acc && sn_dtype_of(s, arg[1]) == SN_U32 &&
                       sn_dtype_of(s, arg[2]) == SN_U32
                   ? acc
                   : SN_NODTYPE;
    }
    const int first = op == SN_OP_WHERE ? 1 : 0;
    if (first == 1 && sn_dtype_of(s, arg[0]) != SN_BOOL)
        return SN_NODTYPE;
    const SnDtype d = sn_dtype_of(s, arg[first]);
    for (int i = first + 1; i < narg; i++)
        if (sn_dtype_of(s, arg[i]) != d)
            return SN_NODTYPE;
    if ((operand_class(op) & dtype_class(d)) == 0)
        return SN_NODTYPE;
    if (op == SN_OP_CAST)
        return to;
    if (op == SN_OP_BITCAST)
        return sn_dtype_size(to) == sn_dtype_size(d) ? to : SN_NODTYPE;
    return op == SN_OP_LT || op == SN_OP_EQ ? SN_BOOL : d;
}

bool sn_kernel_is_narrow(SnDtype d)
{
    return sn_dtype_is_float(d) && d != SN_F32 && d != SN_F64;
}

/* ---- the verifier ---- */

typedef struct Local {
    SnDtype dtype;
    int64_t count;
    bool is_open; /* its statement's body is being checked */
} Local;

typedef struct Verify {
    const SnKernel *k;
    const SnStore *s;
    SnError *err;
    SnArena arena;
    SnRef *term;
    uint32_t nterm;
    bool *is_lane;       /* of a term: depends on a lane */
    bool *is_bound;      /* of an INDEX term: in scope */
    bool *is_inside;     /* of a term: used in the LANES loop around */
    uint32_t *seen, now; /* of a term: the statement that reached it last */
    Local *local;        /* nlocal */
    uint32_t nstmt;      /* statements seen */
    size_t local_bytes;
    const SnStmt *lanes; /* the LANES loop around, or NULL */
} Verify;

#define REFUSE(v, ...) return refuse((v), sn_fail((v)->err, SN_EINTERNAL, __VA_ARGS__))

/* Says where, before what the message says. */
static SnStatus refuse(const Verify *v, SnStatus st)
{
    char where[160];
    (void)snprintf(where, sizeof where, "kernel %.100s, statement %u", v->k->name, v->nstmt);
    return sn_fail_in(v->err, st, where);
}

static uint32_t at(const Verify *v, SnRef r)
{
    return sn_kernel_term_find(v->term, v->nterm, r);
}

static bool is_lane(const Verify *v, SnRef r)
{
    return r != 0 && v->is_lane[at(v, r)];
}

static bool is_parameter(const Verify *v, int64_t buf)
{
    return buf >= 0 && buf < v->k->nbuf;
}

static Local *find_local(const Verify *v, int64_t buf)
{
    const int64_t i = buf - v->k->nbuf;
    return i >= 0 && i < v->k->nlocal ? &v->local[i] : NULL;
}

/* ---- terms, wherever they stand ---- */

static SnStatus check_load(const Verify *v, SnRef r, const SnTerm *t, SnDtype d)
{
    const int64_t buf = sn_attr_int(v->s, r, "buf", -1);
    const Local *l = find_local(v, buf);
    if (!is_parameter(v, buf) && l == NULL)
        REFUSE(v, "load of buffer %d, which does not exist", (int)buf);
    if (l != NULL && l->dtype != d)
        REFUSE(v, "load of %s from LOCAL %d of %s", sn_dtype(d)->name, (int)buf, sn_dtype(l->dtype)->name);
    if (sn_dtype_of(v->s, t->arg[0]) != SN_I64)
        REFUSE(v, "the index of a load is not i64");
    if (t->narg == 2 && sn_dtype_of(v->s, t->arg[1]) != SN_BOOL)
        REFUSE(v, "the guard of a load is not bool");
    return SN_OK;
}

static SnStatus check_fold(const Verify *v, SnRef r, const SnTerm *t, SnDtype d)
{
    const Local *l = find_local(v, sn_attr_int(v->s, r, "buf", -1));
    const int64_t n = sn_attr_int(v->s, r, "n", 0);
    const char *fn = sn_attr_string(v->s, r, "fn");
    if (l == NULL || l->dtype != d || sn_kernel_is_narrow(d))
        REFUSE(v, "fold needs a LOCAL of its own dtype, not an f16, bf16 or f8 one");
    if (n < 1 || (n & (n - 1)) != 0 || n > l->count)
        REFUSE(v, "fold of %lld elements of a LOCAL of %lld", (long long)n, (long long)l->count);
    if (sn_dtype_of(v->s, t->arg[0]) != SN_I64)
        REFUSE(v, "the index of a fold is not i64");
    if (sn_combiner(fn) == SN_OP_ERROR)
        REFUSE(v, "fold by %s", fn != NULL ? fn : "nothing");
    return SN_OK;
}

static SnStatus check_term(const Verify *v, SnRef r)
{
    const SnTerm *t = sn_term(v->s, r);
    const SnPrimInfo *p = sn_prim(t->op);
    const SnType *type = sn_type_of(v->s, r);
    if (type->kind != SN_TYPE_TENSOR || type->ndim != 0)
        REFUSE(v, "%s is not a scalar", p->name);
    if (t->narg < p->min_arg || t->narg > p->max_arg)
        REFUSE(v, "%s has %d operands", p->name, t->narg);
    switch (t->op) {
    case SN_OP_CONST:
        if (!sn_is_const(v->s, r, NULL))
            REFUSE(v, "const without a scalar value");
        return SN_OK;
    case SN_OP_INDEX:
        return SN_OK;
    case SN_OP_KDIM:
        if (sn_attr_int(v->s, r, "id", -1) < 0 || sn_attr_int(v->s, r, "id", -1) >= v->k->ndim)
            REFUSE(v, "dim %d of %d", (int)sn_attr_int(v->s, r, "id", -1), v->k->ndim);
        return SN_OK;
    case SN_OP_LOAD:
        return check_load(v, r, t, type->dtype);
    case SN_OP_FOLD:
        return check_fold(v, r, t, type->dtype);
    default:
        if (!sn_op_is_elementwise(t->op) && t->op != SN_OP_DOT4 && t->op != SN_OP_DOT2)
            REFUSE(v, "%s is no scalar op", p->name);
        if (sn_kernel_result(v->s, t->op, t->arg, t->narg, type->dtype) != type->dtype)
            REFUSE(v, "%s of these dtypes does not give %s", p->name, sn_dtype(type->dtype)->name);
        return SN_OK;
    }
}

/* ---- terms where a statement uses them ---- */

/* Every INDEX and LOCAL that the operands of a statement reach is in scope. */
static SnStatus check_scope(Verify *v, const SnRef *root, int nroot)
{
    uint32_t top = 0;
    v->now++;
    for (int i = 0; i < nroot; i++) {
        if (root[i] == 0)
            continue;
        const uint32_t pos = at(v, root[i]);
        v->seen[pos] = v->now;
        top = pos + 1 > top ? pos + 1 : top;
    }
    while (top-- > 0) {
        if (v->seen[top] != v->now)
            continue;
        const SnTerm *t = sn_term(v->s, v->term[top]);
        if (t->op == SN_OP_INDEX && !v->is_bound[top])
            REFUSE(v, "an index is used outside of its loop");
        if (t->op == SN_OP_LOAD || t->op == SN_OP_FOLD) {
            const Local *l = find_local(v, sn_attr_int(v->s, v->term[top], "buf", -1));
            if (l != NULL && !l->is_open)
                REFUSE(v, "a LOCAL is used outside of its body");
        }
        for (int i = 0; i < t->narg; i++)
            v->seen[at(v, t->arg[i])] = v->now;
    }
    return SN_OK;
}

static bool is_positive(const SnStore *s, SnRef r, int depth)
{
    int64_t c;
    const SnTerm *t = sn_term(s, r);
    if (sn_is_const_i64(s, r, &c))
        return c >= 1;
    if (depth == 0)
        return false;
    switch (t->op) {
    case SN_OP_KDIM: /* its range says so, or the lowering wrote max(d, 1) */
        return true;
    case SN_OP_MAX:
        return is_positive(s, t->arg[0], depth - 1) || is_positive(s, t->arg[1], depth - 1);
    case SN_OP_ADD:
    case SN_OP_MUL:
    case SN_OP_MIN:
        return is_positive(s, t->arg[0], depth - 1) && is_positive(s, t->arg[1], depth - 1);
    default:
        return false;
    }
}

/* Of what check_scope reached last. */
static SnStatus check_divisors(const Verify *v)
{
    for (uint32_t i = 0; i < v->nterm; i++) {
        const SnTerm *t = sn_term(v->s, v->term[i]);
        if (v->seen[i] == v->now && (t->op == SN_OP_IDIV || t->op == SN_OP_MOD) &&
            sn_dtype_of(v->s, v->term[i]) == SN_I64 && !is_positive(v->s, t->arg[1], 8))
            REFUSE(v, "a divisor may be less than 1");
    }
    return SN_OK;
}

/* ---- lanes that talk ---- */

/* Do lane i of a store and another lane of a load surely meet? */
static bool surely_meet(const Verify *v, SnRef store, SnRef load)
{
    int64_t width = 0;
    const SnLanes lanes = {v->s, v->term, v->nterm, v->is_lane, v->lanes->var};
    SnAffine a = {.is_known = true}, d = {.is_known = true};
    sn_affine_add(&lanes, &a, store, 1);
    if (!a.is_known || a.lane == 0 || !sn_is_const_i64(v->s, v->lanes->a, &width))
        return false;
    sn_affine_add(&lanes, &d, load, 1);
    const int64_t load_lane = d.lane;
    sn_affine_add(&lanes, &d, store, -1);
    int64_t row;
    if (!d.is_known || !sn_mul_i64(a.lane, width, &row) || row == 0)
        return false;
    bool is_moved = false;
    for (int i = 0; i < d.n; i++) {
        if (d.scale[i] % row != 0)
            return false;
        is_moved |= d.scale[i] != 0;
    }
    if (d.constant % a.lane != 0)
        return false;
    int64_t apart = d.constant / a.lane;
    if (load_lane == a.lane) {
        if (is_moved)
            apart %= width;
        return apart != 0 && apart < width && apart > -width;
    }
    return load_lane == 0 && !is_moved && apart >= 0 && apart < width;
}

/* Marks what the statements of a LANES loop use. */
static void mark_inside(Verify *v, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const SnRef root[] = {s->a, s->b, s->g};
        for (size_t i = 0; i < SN_COUNT(root); i++)
            if (root[i] != 0)
                v->is_inside[at(v, root[i])] = true;
        mark_inside(v, s->body);
    }
}

static void open_lanes(Verify *v, const SnStmt *s)
{
    v->lanes = s;
    memset(v->is_inside, 0, v->nterm * sizeof *v->is_inside);
    mark_inside(v, s->body);
    for (uint32_t i = v->nterm; i-- > 0;) {
        const SnTerm *t = sn_term(v->s, v->term[i]);
        for (int j = 0; v->is_inside[i] && j < t->narg; j++)
            v->is_inside[at(v, t->arg[j])] = true;
    }
}

static SnStatus check_talk(Verify *v, const SnStmt *store)
{
    if (!is_lane(v, store->a) && !is_lane(v, store->g) && is_lane(v, store->b))
        REFUSE(v, "all lanes store to one element of buffer %d", store->buf);
    for (uint32_t i = 0; i < v->nterm && store->g == 0; i++) {
        const SnTerm *t = sn_term(v->s, v->term[i]);
        if (v->is_inside[i] && t->op == SN_OP_LOAD && t->narg == 1 &&
            sn_attr_int(v->s, v->term[i], "buf", -1) == store->buf && surely_meet(v, store->a, t->arg[0]))
            REFUSE(v, "a lane loads what another lane stores to buffer %d", store->buf);
    }
    return SN_OK;
}

/* ---- statements ---- */

static SnStatus check_store(Verify *v, const SnStmt *s)
{
    const Local *l = find_local(v, s->buf);
    if (is_parameter(v, s->buf) ? !v->k->buf[s->buf].is_written : l == NULL || !l->is_open)
        REFUSE(v, "store to buffer %d, which is not written here", s->buf);
    if (sn_dtype_of(v->s, s->b) != s->dtype || (l != NULL && l->dtype != s->dtype))
        REFUSE(v, "store of %s as %s", sn_dtype(sn_dtype_of(v->s, s->b))->name, sn_dtype(s->dtype)->name);
    if (sn_dtype_of(v->s, s->a) != SN_I64)
        REFUSE(v, "the index of a store is not i64");
    if (s->g != 0 && sn_dtype_of(v->s, s->g) != SN_BOOL)
        REFUSE(v, "the guard of a store is not bool");
    if (s->stream != 0 && (sn_dtype_of(v->s, s->stream) != SN_BOOL || is_lane(v, s->stream)))
        REFUSE(v, "what a store streams by is not a bool that all lanes share");
    const SnRef root[] = {s->a, s->b, s->g, s->stream};
    SN_TRY(check_scope(v, root, 4));
    return v->lanes != NULL ? check_talk(v, s) : SN_OK;
}

static SnStatus check_tile(Verify *v, const SnStmt *s)
{
    const bool moves = s->tile_op == SN_TILE_LOAD || s->tile_op == SN_TILE_STORE;
    if (v->lanes != NULL)
        REFUSE(v, "TILE inside of a LANES loop");
    for (int i = 0; i < (s->tile_op == SN_TILE_DOT ? 3 : 1); i++)
        if (s->tile[i] >= 8)
            REFUSE(v, "tile register %d", s->tile[i]);
    if (s->tile_op == SN_TILE_DOT && s->dtype != SN_BF16 && s->dtype != SN_U8)
        REFUSE(v, "tile dot of %s", sn_dtype(s->dtype)->name);
    if (!moves)
        return SN_OK;
    const Local *l = find_local(v, s->buf);
    if (is_parameter(v, s->buf) ? s->tile_op == SN_TILE_STORE && !v->k->buf[s->buf].is_written
                                : l == NULL || !l->is_open)
        REFUSE(v, "tile load or store of buffer %d", s->buf);
    if (s->a == 0 || s->b == 0 || sn_dtype_of(v->s, s->a) != SN_I64 || sn_dtype_of(v->s, s->b) != SN_I64)
        REFUSE(v, "offset or stride of a tile is not i64");
    const SnRef root[] = {s->a, s->b};
    return check_scope(v, root, 2);
}

static SnStatus check_body(Verify *v, const SnStmt *body, int depth);

static SnStatus check_loop(Verify *v, const SnStmt *s, int depth)
{
    int64_t n = 0;
    const bool is_lanes = s->loop == SN_LOOP_LANES;
    if (s->a == 0 || sn_dtype_of(v->s, s->a) != SN_I64)
        REFUSE(v, "the extent of a loop is not i64");
    SN_TRY(check_scope(v, &s->a, 1));
    SN_TRY(check_divisors(v));
    if (is_lane(v, s->a))
        REFUSE(v, "the extent of a loop depends on a lane");
    if (s->loop != SN_LOOP_SERIAL && (!sn_is_const_i64(v->s, s->a, &n) || n < 1))
        REFUSE(v, "an UNROLL or LANES loop needs a constant extent of 1 or more");
    if (is_lanes && (v->lanes != NULL || n > MAX_LANES))
        REFUSE(v, v->lanes != NULL ? "a LANES loop inside of another" : "too many lanes");
    const uint32_t var = at(v, s->var);
    if (v->is_bound[var])
        REFUSE(v, "a loop inside of another with the same index");
    v->is_bound[var] = true;
    if (is_lanes)
        open_lanes(v, s);
    SN_TRY(check_body(v, s->body, depth + 1));
    if (is_lanes)
        v->lanes = NULL;
    v->is_bound[var] = false;
    return SN_OK;
}

static SnStatus check_local(Verify *v, const SnStmt *s, int depth)
{
    Local *l = find_local(v, s->buf);
    SN_ASSERT(l != NULL);
    size_t bytes;
    if (v->lanes != NULL)
        REFUSE(v, "LOCAL inside of a LANES loop");
    if (l->count < 1 || !sn_mul_size((size_t)l->count, sn_dtype_size(s->dtype), &bytes) ||
        bytes > MAX_LOCAL - v->local_bytes)
        REFUSE(v, "LOCALs of more than %d bytes, or one without a constant size", MAX_LOCAL);
    l->is_open = true;
    v->local_bytes += bytes;
    SN_TRY(check_body(v, s->body, depth + 1));
    v->local_bytes -= bytes;
    l->is_open = false;
    return SN_OK;
}

static SnStatus check_body(Verify *v, const SnStmt *body, int depth)
{
    if (depth > MAX_NESTING)
        REFUSE(v, "nested deeper than %d", MAX_NESTING);
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        v->nstmt++;
        switch (s->kind) {
        case SN_STMT_LOOP:
            SN_TRY(check_loop(v, s, depth));
            break;
        case SN_STMT_IF:
            if (s->a == 0 || sn_dtype_of(v->s, s->a) != SN_BOOL || is_lane(v, s->a))
                REFUSE(v, "a condition is not bool, or depends on a lane");
            SN_TRY(check_scope(v, &s->a, 1));
            SN_TRY(check_body(v, s->body, depth + 1));
            break;
        case SN_STMT_STORE:
            if (s->a == 0 || s->b == 0)
                REFUSE(v, "store without index or value");
            SN_TRY(check_store(v, s));
            break;
        case SN_STMT_LOCAL:
            SN_TRY(check_local(v, s, depth));
            break;
        case SN_STMT_TILE:
            SN_TRY(check_tile(v, s));
            break;
        }
    }
    return SN_OK;
}

/* ---- facts needed before the walk ---- */

/* LOCALs by number; which indices are lanes; each loop has an index of its own. */
static SnStatus collect(Verify *v, const SnStmt *body, int depth)
{
    if (depth > MAX_NESTING)
        REFUSE(v, "nested deeper than %d", MAX_NESTING);
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_LOOP) {
            if (s->var == 0 || sn_term(v->s, s->var)->op != SN_OP_INDEX || v->seen[at(v, s->var)] != 0)
                REFUSE(v, "a loop without an index of its own");
            v->seen[at(v, s->var)] = 1;
            v->is_lane[at(v, s->var)] = s->loop == SN_LOOP_LANES;
        }
        if (s->kind == SN_STMT_LOCAL) {
            Local *l = find_local(v, s->buf);
            if (l == NULL || l->dtype != SN_NODTYPE || dtype_class(s->dtype) == 0)
                REFUSE(v, "LOCAL %d does not exist, or twice", s->buf);
            l->dtype = s->dtype;
            if (s->a == 0 || !sn_is_const_i64(v->s, s->a, &l->count))
                l->count = 0;
        }
        SN_TRY(collect(v, s->body, depth + 1));
    }
    return SN_OK;
}

static SnStatus verify(Verify *v)
{
    const SnKernel *k = v->k;
    SN_CHECK(k->nbuf >= 0 && k->nbuf <= SN_KERNEL_BUFFERS && k->ndim >= 0 && k->ndim <= SN_KERNEL_DIMS,
             v->err, SN_EINTERNAL, "kernel %s: %d buffers, %d dims", k->name, k->nbuf, k->ndim);
    if (k->grid == 0 || k->tile == 0)
        REFUSE(v, "no grid");
    v->term = sn_kernel_terms(k, &v->arena, &v->nterm);
    v->is_lane = (bool *)sn_arena_array(&v->arena, v->nterm, sizeof *v->is_lane);
    v->is_bound = (bool *)sn_arena_array(&v->arena, v->nterm, sizeof *v->is_bound);
    v->is_inside = (bool *)sn_arena_array(&v->arena, v->nterm, sizeof *v->is_inside);
    v->seen = (uint32_t *)sn_arena_array(&v->arena, v->nterm, sizeof *v->seen);
    v->local = (Local *)sn_arena_array(&v->arena, (size_t)k->nlocal, sizeof *v->local);
    SN_CHECK(v->term != NULL && v->is_lane != NULL && v->is_bound != NULL && v->seen != NULL &&
                 v->local != NULL,
             v->err, SN_ENOMEM, "kernel %s: no memory to verify it", k->name);
    v->now = 1;
    SN_TRY(collect(v, k->body, 0));
    for (uint32_t i = 0; i < v->nterm; i++) {
        const SnTerm *t = sn_term(v->s, v->term[i]);
        SN_TRY(check_term(v, v->term[i]));
        for (int j = 0; j < t->narg; j++)
            v->is_lane[i] |= is_lane(v, t->arg[j]);
    }
    if (sn_dtype_of(v->s, k->grid) != SN_I64)
        REFUSE(v, "the grid is not i64");
    SN_TRY(check_scope(v, &k->grid, 1));
    SN_TRY(check_divisors(v));
    v->is_bound[at(v, k->tile)] = true;
    return check_body(v, k->body, 0);
}

SnStatus sn_kernel_verify(const SnKernel *k, SnError *err)
{
    Verify v = {.k = k, .s = k->store, .err = err};
    sn_arena_init(&v.arena, sn_allocator(sn_store_context(k->store)));
    const SnStatus st = verify(&v);
    sn_arena_clear(&v.arena);
    return st;
}
