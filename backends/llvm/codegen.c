/* codegen.c -- kernel IR to LLVM IR: the loop tree, and where terms are evaluated.
 *
 * A LANES loop is no loop but a width: what depends on its index is a vector. UNROLL replaces its index by
 * constants in the terms, so that what two iterations share is one term. Placement (SnGenEffect) is
 * loop-invariant code motion and common subexpression elimination by construction. */
#include "backends/llvm/codegen.h"

#include <stdio.h>

#define MIN_RARE 24 /* terms that pay for a branch */

void sn_gen_fail(SnGen *g, SnStatus code, const char *format, ...)
{
    if (g->status != SN_OK)
        return;
    va_list args;
    va_start(args, format);
    g->status = sn_failv(g->err, code, format, args);
    va_end(args);
    char where[160];
    (void)snprintf(where, sizeof where, "kernel %.120s", g->k->name);
    (void)sn_fail_in(g->err, code, where);
}

/* ---- types and constants ---- */

LLVMTypeRef sn_gen_vector(LLVMTypeRef element, uint32_t width)
{
    return width == 0 ? element : LLVMVectorType(element, width);
}

LLVMTypeRef sn_gen_memory_type(const SnGen *g, SnDtype d, uint32_t width)
{
    const LLVMTypeRef t = d == SN_F32   ? LLVMFloatTypeInContext(g->llvm)
                          : d == SN_F64 ? LLVMDoubleTypeInContext(g->llvm)
                                        : LLVMIntTypeInContext(g->llvm, 8 * (unsigned)sn_dtype_size(d));
    return sn_gen_vector(t, width);
}

LLVMTypeRef sn_gen_type(const SnGen *g, SnDtype d, uint32_t width)
{
    if (d == SN_BOOL)
        return sn_gen_vector(LLVMInt1TypeInContext(g->llvm), width);
    return sn_gen_memory_type(g, d, width);
}

static LLVMValueRef repeat(LLVMValueRef scalar, LLVMTypeRef type)
{
    LLVMValueRef lane[2 * SN_GEN_LANES];
    const unsigned n = LLVMGetVectorSize(type);
    SN_ASSERT(n <= SN_COUNT(lane));
    for (unsigned i = 0; i < n; i++)
        lane[i] = scalar;
    return LLVMConstVector(lane, n);
}

LLVMValueRef sn_gen_int(LLVMTypeRef type, uint64_t v)
{
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return LLVMConstInt(type, v, false);
    return repeat(LLVMConstInt(LLVMGetElementType(type), v, false), type);
}

LLVMValueRef sn_gen_real(LLVMTypeRef type, double v)
{
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return LLVMConstReal(type, v);
    return repeat(LLVMConstReal(LLVMGetElementType(type), v), type);
}

LLVMValueRef sn_gen_iota(LLVMTypeRef element, uint32_t width, int64_t first, int64_t step)
{
    LLVMValueRef lane[2 * SN_GEN_LANES];
    SN_ASSERT(width <= SN_COUNT(lane));
    for (uint32_t i = 0; i < width; i++)
        lane[i] = LLVMConstInt(element, (uint64_t)first + i * (uint64_t)step, true);
    return LLVMConstVector(lane, width);
}

static LLVMValueRef constant(const SnGen *g, SnDtype d, SnScalar v)
{
    uint64_t bits = 0;
    sn_scalar_store(d, &bits, v);
    const LLVMTypeRef type = sn_gen_type(g, d, 0);
    if (d != SN_F32 && d != SN_F64)
        return LLVMConstInt(type, bits, false);
    return LLVMConstBitCast(LLVMConstInt(LLVMIntTypeInContext(g->llvm, d == SN_F32 ? 32 : 64), bits, false),
                            type);
}

LLVMValueRef sn_gen_splat(SnGen *g, LLVMValueRef v, uint32_t width)
{
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm);
    const LLVMValueRef none = LLVMGetPoison(LLVMVectorType(LLVMTypeOf(v), width));
    const LLVMValueRef one = LLVMBuildInsertElement(g->b, none, v, LLVMConstInt(i32, 0, false), "");
    return LLVMBuildShuffleVector(g->b, one, none, LLVMConstNull(LLVMVectorType(i32, width)), "");
}

LLVMValueRef sn_gen_intrinsic(SnGen *g, const char *name, LLVMTypeRef *overload, size_t noverload,
                              LLVMValueRef *arg, unsigned narg)
{
    const unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    SN_ASSERT(id != 0);
    const LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, overload, noverload);
    return LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, arg, narg, "");
}

LLVMBasicBlockRef sn_gen_block(SnGen *g)
{
    return LLVMAppendBasicBlockInContext(g->llvm, g->fn, "");
}

void sn_gen_enter(SnGen *g, LLVMBasicBlockRef to)
{
    g->block = to;
    LLVMPositionBuilderAtEnd(g->b, to);
}

/* ---- facts about terms ---- */

/* Rewriting adds terms to the store. */
static bool reserve_nodes(SnGen *g)
{
    const size_t count = sn_store_count(g->s), have = g->node.n;
    const size_t more = count > have ? count - have : 0;
    if (sn_store_failed(g->s) || !sn_vec_reserve(g->memory, &g->node, more)) {
        sn_gen_fail(g, SN_ENOMEM, "no memory for its terms");
        return false;
    }
    if (more > 0)
        memset(g->node.at + have, 0, more * sizeof *g->node.at);
    g->node.n = have + more;
    return true;
}

const SnGenNode *sn_gen_facts(SnGen *g, SnRef r)
{
    SnGenNode *n = &g->node.at[r];
    if (n->kernel == g->kernel)
        return n;
    const SnTerm *t = sn_term(g->s, r);
    SnGenNode fact = {.kernel = g->kernel};
    for (int i = 0; i < t->narg; i++) {
        const SnGenNode *arg = sn_gen_facts(g, t->arg[i]);
        fact.effect = arg->effect > fact.effect ? arg->effect : fact.effect;
        fact.lane = arg->lane != 0 ? arg->lane : fact.lane;
        fact.is_unrolled |= arg->is_unrolled;
    }
    if (t->op == SN_OP_INDEX)
        sn_gen_fail(g, SN_EINTERNAL, "an index is used outside of its loop");
    if (t->op == SN_OP_LOAD || t->op == SN_OP_FOLD) {
        const int64_t buf = sn_attr_int(g->s, r, "buf", 0);
        const bool is_read_only = buf < g->k->nbuf && !g->k->buf[buf].is_written;
        const SnGenEffect effect = is_read_only ? SN_GEN_READ : SN_GEN_STATE;
        fact.effect = effect > fact.effect ? effect : fact.effect;
    }
    *n = fact;
    return n;
}

static SnRef rewrite(SnGen *g, SnRef r, bool to_lane0);

/* A comparison of indices that do not differ from lane to lane is that of lane 0: often a constant. */
static bool is_uniform(SnGen *g, SnRef r)
{
    const SnTerm *t = sn_term(g->s, r);
    int64_t a, b;
    return (t->op == SN_OP_LT || t->op == SN_OP_EQ) && sn_gen_facts(g, r)->lane != 0 &&
           sn_dtype_of(g->s, t->arg[0]) == SN_I64 && sn_gen_stride(g, t->arg[0], &a) && a == 0 &&
           sn_gen_stride(g, t->arg[1], &b) && b == 0;
}

/* The term with other operands; index arithmetic is simplified. */
static SnRef remake(SnGen *g, SnRef r, bool to_lane0)
{
    const SnTerm *t = sn_term(g->s, r);
    SnRef arg[3];
    SN_ASSERT(t->narg <= 3);
    for (int i = 0; i < t->narg; i++)
        arg[i] = rewrite(g, t->arg[i], to_lane0);
    const SnDtype d = sn_dtype_of(g->s, arg[0]);
    SnRef to;
    if (t->op == SN_OP_WHERE)
        to = sn_s3(g->s, t->op, arg[0], arg[1], arg[2]);
    else if (sn_prim(t->op)->kind == SN_PRIM_BINARY && (d == SN_I64 || d == SN_BOOL))
        to = sn_s2(g->s, t->op, arg[0], arg[1]);
    else if (t->op == SN_OP_NOT && d == SN_BOOL)
        to = sn_s_not(g->s, arg[0]);
    else
        to = sn_term_make(g->s, t->op, t->type, t->attr, arg, t->narg);
    if (!reserve_nodes(g))
        return r;
    return !to_lane0 && is_uniform(g, to) ? rewrite(g, to, true) : to;
}

static SnRef rewrite(SnGen *g, SnRef r, bool to_lane0)
{
    const SnGenNode *n = sn_gen_facts(g, r);
    if (to_lane0 ? n->lane == 0 : !n->is_unrolled)
        return r;
    const bool is_index = sn_term(g->s, r)->op == SN_OP_INDEX;
    if (to_lane0 ? n->at_lane0 != 0 : n->epoch == g->epoch || is_index)
        return to_lane0 ? n->at_lane0 : n->unrolled;
    const SnRef to = remake(g, r, to_lane0);
    SnGenNode *node = &g->node.at[r];
    if (to_lane0) {
        node->at_lane0 = to;
    } else {
        node->unrolled = to;
        node->epoch = g->epoch;
    }
    return to;
}

SnRef sn_gen_unrolled(SnGen *g, SnRef r)
{
    return r == 0 ? 0 : rewrite(g, r, false);
}

SnRef sn_gen_at_lane0(SnGen *g, SnRef r)
{
    return rewrite(g, r, true);
}

SnRef sn_gen_make(SnGen *g, uint16_t op, SnRef a, SnRef b)
{
    const SnRef r = sn_s2(g->s, op, a, b);
    return reserve_nodes(g) ? r : a;
}

/* ---- values ---- */

void sn_gen_place(SnGen *g, int depth)
{
    if (depth == g->open)
        LLVMPositionBuilderAtEnd(g->b, g->block);
    else
        LLVMPositionBuilderBefore(g->b, g->scope[depth].leave);
}

static bool is_usable(const SnGen *g, const SnGenNode *n)
{
    if (n->value == NULL)
        return false;
    if (n->effect == SN_GEN_STATE)
        return n->scope == g->statement;
    return n->depth <= g->top && g->scope[n->depth].serial == n->scope;
}

LLVMValueRef sn_gen_wide(SnGen *g, SnRef r, uint32_t width)
{
    const LLVMValueRef v = sn_gen_value(g, r);
    SnGenNode *n = &g->node.at[r];
    if (width == 0 || n->lane != 0)
        return v;
    if (LLVMIsConstant(v))
        return repeat(v, LLVMVectorType(LLVMTypeOf(v), width));
    if (n->splat == NULL || LLVMGetVectorSize(LLVMTypeOf(n->splat)) != width) {
        sn_gen_place(g, n->depth);
        n->splat = sn_gen_splat(g, v, width);
        sn_gen_place(g, g->top);
    }
    return n->splat;
}

/* Element i of the array that a parameter of the kernel function points to; before everything else. */
static LLVMValueRef argument(SnGen *g, unsigned parameter, LLVMTypeRef type, int64_t i)
{
    const LLVMValueRef at = LLVMConstInt(LLVMInt64TypeInContext(g->llvm), (uint64_t)i, false);
    sn_gen_place(g, 0);
    const LLVMValueRef p =
        LLVMBuildGEP2(g->b, type, LLVMGetParam(g->fn, parameter), (LLVMValueRef[]){at}, 1, "");
    return LLVMBuildLoad2(g->b, type, p, "");
}

/* The depth at which a term is evaluated: as far out as its operands are known, and a load no further than
 * where the use is certain, since its index may be out of range where no iteration runs. */
static int level_of(SnGen *g, SnRef r)
{
    const SnGenNode *n = sn_gen_facts(g, r);
    if (n->effect == SN_GEN_STATE)
        return g->top;
    if (is_usable(g, n))
        return n->depth;
    const SnGenScope *now = &g->scope[g->top];
    if (n->level_scope == now->serial)
        return n->level;
    const SnTerm *t = sn_term(g->s, r);
    int level = t->op == SN_OP_LOAD ? now->floor : 0;
    if (t->op == SN_OP_INDEX && n->lane == r)
        level = level_of(g, n->at_lane0);
    for (int i = 0; i < t->narg; i++) {
        const int of_arg = level_of(g, t->arg[i]);
        level = of_arg > level ? of_arg : level;
    }
    if (now->is_rare && level == g->top - 1 && t->narg > 0)
        level = g->top;
    SnGenNode *node = &g->node.at[r];
    node->level = (uint8_t)level;
    node->level_scope = now->serial;
    return level;
}

/* Terms that r needs and that are not known yet, as far as `most`. */
static int count_new(SnGen *g, SnRef r, int most)
{
    const SnTerm *t = sn_term(g->s, r);
    const SnGenNode *n = sn_gen_facts(g, r);
    if (most <= 0 || n->counted == g->count || is_usable(g, n))
        return 0;
    g->node.at[r].counted = g->count;
    int count = t->narg > 0;
    for (int i = 0; i < t->narg; i++)
        count += count_new(g, t->arg[i], most - count);
    return count;
}

static void open_scope(SnGen *g, LLVMValueRef leave, LLVMBasicBlockRef inside, bool is_certain);
static void close_scope(SnGen *g, int depth, LLVMBasicBlockRef after);

/* where(c, a, b) with a dear b: evaluated only if some lane takes it. NULL: it is not dear. */
static LLVMValueRef choose(SnGen *g, const SnRef *arg, uint32_t width)
{
    const LLVMValueRef c = sn_gen_value(g, arg[0]), a = sn_gen_wide(g, arg[1], width);
    g->count++;
    if (g->scope[g->open].is_rare || g->open + 2 >= SN_GEN_DEPTH || sn_gen_facts(g, arg[0])->lane == 0 ||
        sn_gen_facts(g, arg[2])->effect == SN_GEN_STATE || count_new(g, arg[2], MIN_RARE) < MIN_RARE)
        return NULL;
    const LLVMBasicBlockRef from = g->block, rare = sn_gen_block(g), after = sn_gen_block(g);
    LLVMValueRef other = LLVMBuildNot(g->b, c, "");
    other = sn_gen_intrinsic(g, "llvm.vector.reduce.or", (LLVMTypeRef[]){LLVMTypeOf(other)}, 1, &other, 1);
    const int depth = g->open;
    open_scope(g, LLVMBuildCondBr(g->b, other, rare, after), rare, false);
    g->scope[g->open].is_rare = true;
    const LLVMValueRef both = LLVMBuildSelect(g->b, c, a, sn_gen_wide(g, arg[2], width), "");
    const LLVMBasicBlockRef end = g->block;
    LLVMBuildBr(g->b, after);
    close_scope(g, depth, after);
    const LLVMValueRef v = LLVMBuildPhi(g->b, LLVMTypeOf(a), "");
    LLVMAddIncoming(v, (LLVMValueRef[]){a, both}, (LLVMBasicBlockRef[]){from, end}, 2);
    return v;
}

static LLVMValueRef elementwise(SnGen *g, SnRef r, uint32_t width)
{
    const SnTerm *t = sn_term(g->s, r);
    LLVMValueRef x[3];
    if (t->op == SN_OP_WHERE && width != 0 && g->top == g->open) {
        const LLVMValueRef v = choose(g, (SnRef[]){t->arg[0], t->arg[1], t->arg[2]}, width);
        if (v != NULL)
            return v;
    }
    SN_ASSERT(t->narg <= 3);
    for (int i = 0; i < t->narg; i++) {
        const bool is_condition = t->op == SN_OP_WHERE && i == 0;
        x[i] = is_condition ? sn_gen_value(g, t->arg[i]) : sn_gen_wide(g, t->arg[i], width);
    }
    const SnDtype d = sn_dtype_of(g->s, t->arg[t->op == SN_OP_WHERE ? 1 : 0]), to = sn_dtype_of(g->s, r);
    switch (t->op) {
    case SN_OP_CAST:
        return sn_gen_cast(g, d, to, sn_attr_int(g->s, r, "sat", 0) != 0, x[0], width);
    case SN_OP_BITCAST:
        return LLVMBuildBitCast(g->b, x[0], sn_gen_type(g, to, width), "");
    case SN_OP_DOT4:
        return sn_gen_dot4(g, x[0], x[1], x[2], width);
    case SN_OP_DOT2:
        return sn_gen_dot2(g, x[0], x[1], x[2], width);
    default:
        return sn_gen_arith(g, t->op, d, x, width);
    }
}

static LLVMValueRef evaluate(SnGen *g, SnRef r)
{
    const SnTerm *t = sn_term(g->s, r);
    const SnDtype d = sn_dtype_of(g->s, r);
    const SnRef lane = g->node.at[r].lane;
    const uint32_t width = lane != 0 ? g->node.at[lane].width : 0;
    if (g->status != SN_OK)
        return LLVMGetPoison(sn_gen_type(g, d, width));
    SnScalar c;
    if (sn_is_const(g->s, r, &c))
        return constant(g, d, c);
    switch (t->op) {
    case SN_OP_KDIM:
        return argument(g, 1, LLVMInt64TypeInContext(g->llvm), sn_attr_int(g->s, r, "id", 0));
    case SN_OP_LOAD:
        return sn_gen_load(g, r);
    case SN_OP_FOLD:
        return sn_gen_fold(g, r);
    default: {
        const LLVMValueRef index = width != 0 ? sn_gen_index(g, r, width) : NULL;
        return index != NULL ? index : elementwise(g, r, width);
    }
    }
}

LLVMValueRef sn_gen_value(SnGen *g, SnRef r)
{
    const SnGenNode *n = sn_gen_facts(g, r);
    if (is_usable(g, n))
        return n->value;
    const int top = g->top;
    g->top = level_of(g, r);
    sn_gen_place(g, g->top);
    const LLVMValueRef v = evaluate(g, r);
    SnGenNode *node = &g->node.at[r];
    node->value = v;
    node->splat = NULL;
    node->depth = (uint8_t)g->top;
    node->scope = node->effect == SN_GEN_STATE ? g->statement : g->scope[g->top].serial;
    g->top = top;
    sn_gen_place(g, top);
    return v;
}

/* ---- scopes and loops ---- */

/* floor: see SnGenScope; the depth of the new scope where it may not run. */
static void open_scope(SnGen *g, LLVMValueRef leave, LLVMBasicBlockRef inside, bool is_certain)
{
    g->scope[g->open].leave = leave;
    const int floor = is_certain ? g->scope[g->open].floor : g->open + 1;
    if (g->open + 1 < SN_GEN_DEPTH)
        g->open++;
    else
        sn_gen_fail(g, SN_EUNSUPPORTED, "scopes nested deeper than %d", SN_GEN_DEPTH);
    g->top = g->open;
    g->scope[g->open] = (SnGenScope){.serial = ++g->serial, .floor = floor};
    sn_gen_enter(g, inside);
}

static void close_scope(SnGen *g, int depth, LLVMBasicBlockRef after)
{
    g->open = g->top = depth;
    sn_gen_enter(g, after);
}

static void bind_index(SnGen *g, SnRef var, LLVMValueRef v)
{
    g->node.at[var] = (SnGenNode){
        .kernel = g->kernel, .value = v, .depth = (uint8_t)g->top, .scope = g->scope[g->top].serial};
}

typedef struct Loop {
    LLVMBasicBlockRef body, after;
    LLVMValueRef index, end;
    uint64_t step;
    int depth; /* of the scope around */
} Loop;

/* for (index = first; index < end; index += step): two scopes, the inner one for the iterations, the outer
 * one for what is done once before them if there are any. */
static Loop open_loop(SnGen *g, LLVMValueRef first, LLVMValueRef end, uint64_t step)
{
    Loop l = {.body = sn_gen_block(g), .after = sn_gen_block(g), .end = end, .step = step, .depth = g->open};
    const LLVMBasicBlockRef enter = sn_gen_block(g);
    const LLVMValueRef runs = LLVMBuildICmp(g->b, LLVMIntSLT, first, end, "");
    const bool is_certain = LLVMIsAConstantInt(runs) != NULL && LLVMConstIntGetZExtValue(runs) != 0;
    open_scope(g, LLVMBuildCondBr(g->b, runs, enter, l.after), enter, is_certain);
    open_scope(g, LLVMBuildBr(g->b, l.body), l.body, true);
    l.index = LLVMBuildPhi(g->b, LLVMTypeOf(first), "");
    LLVMAddIncoming(l.index, (LLVMValueRef[]){first}, (LLVMBasicBlockRef[]){enter}, 1);
    return l;
}

static void close_loop(SnGen *g, const Loop *l)
{
    const LLVMValueRef step = LLVMConstInt(LLVMTypeOf(l->index), l->step, false);
    const LLVMValueRef next = LLVMBuildNSWAdd(g->b, l->index, step, "");
    const LLVMValueRef again = LLVMBuildICmp(g->b, LLVMIntSLT, next, l->end, "");
    LLVMBuildCondBr(g->b, again, l->body, l->after);
    LLVMAddIncoming(l->index, (LLVMValueRef[]){next}, (LLVMBasicBlockRef[]){g->block}, 1);
    close_scope(g, l->depth, l->after);
}

static void gen_body(SnGen *g, const SnStmt *body);

static void gen_serial(SnGen *g, const SnStmt *s, SnRef extent)
{
    const LLVMValueRef zero = LLVMConstInt(LLVMInt64TypeInContext(g->llvm), 0, false);
    const Loop l = open_loop(g, zero, sn_gen_value(g, extent), 1);
    bind_index(g, s->var, l.index);
    gen_body(g, s->body);
    close_loop(g, &l);
}

static void gen_unroll(SnGen *g, const SnStmt *s, int64_t extent)
{
    for (int64_t i = 0; i < extent && g->status == SN_OK; i++) {
        const SnRef now = sn_const_i64(g->s, i);
        if (!reserve_nodes(g))
            return;
        g->node.at[s->var] = (SnGenNode){.kernel = g->kernel, .is_unrolled = true, .unrolled = now};
        g->epoch++;
        gen_body(g, s->body);
    }
    g->epoch++;
}

/* The index of lane 0 of a loop that has more lanes than a vector: a term of its own. */
static SnRef lane0_index(SnGen *g, SnRef var)
{
    const SnAttr id = SN_INT("id", ((int64_t)1 << 32) + var);
    const SnRef r =
        sn_term_make(g->s, SN_OP_INDEX, sn_term(g->s, var)->type, sn_attrs_make(g->s, &id, 1), NULL, 0);
    return reserve_nodes(g) ? r : var;
}

/* Lanes are independent, so they may run in any number at a time: all, or as many as divide the extent. */
static void gen_lanes(SnGen *g, const SnStmt *s, SnRef extent_ref, int64_t extent)
{
    uint32_t width = 1;
    while (width < SN_GEN_LANES && extent % (2 * (int64_t)width) == 0)
        width *= 2;
    if (width == 1) {
        gen_serial(g, s, extent_ref);
        return;
    }
    SnGenNode *var = &g->node.at[s->var];
    SnRef lane0 = var->kernel == g->kernel ? var->at_lane0 : 0;
    if (lane0 == 0) {
        lane0 = extent == width ? sn_const_i64(g->s, 0) : lane0_index(g, s->var);
        if (!reserve_nodes(g))
            return;
    }
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    Loop l = {0};
    if (extent != width) {
        l = open_loop(g, LLVMConstInt(i64, 0, false), LLVMConstInt(i64, (uint64_t)extent, false), width);
        bind_index(g, lane0, l.index);
        g->node.at[lane0].factor = (uint8_t)width;
    }
    g->node.at[s->var] =
        (SnGenNode){.kernel = g->kernel, .lane = s->var, .at_lane0 = lane0, .width = (uint8_t)width};
    g->lane = s->var;
    g->width = width;
    gen_body(g, s->body);
    g->lane = 0;
    g->width = 0;
    if (extent != width)
        close_loop(g, &l);
}

/* ---- statements ---- */

static void gen_loop(SnGen *g, const SnStmt *s)
{
    const SnRef extent = sn_gen_unrolled(g, s->a);
    int64_t n = 0;
    if (s->loop == SN_LOOP_SERIAL)
        gen_serial(g, s, extent);
    else if (!sn_is_const_i64(g->s, extent, &n))
        sn_gen_fail(g, SN_EINTERNAL, "an UNROLL or LANES loop without a constant extent");
    else if (s->loop == SN_LOOP_UNROLL)
        gen_unroll(g, s, n);
    else
        gen_lanes(g, s, extent, n);
}

static void gen_if(SnGen *g, const SnStmt *s)
{
    const SnRef condition = sn_gen_unrolled(g, s->a);
    SnScalar c;
    if (sn_is_const(g->s, condition, &c)) {
        if (c.i != 0)
            gen_body(g, s->body);
        return;
    }
    const LLVMValueRef v = sn_gen_value(g, condition);
    const LLVMBasicBlockRef inside = sn_gen_block(g), after = sn_gen_block(g);
    const int depth = g->open;
    open_scope(g, LLVMBuildCondBr(g->b, v, inside, after), inside, false);
    gen_body(g, s->body);
    LLVMBuildBr(g->b, after);
    close_scope(g, depth, after);
}

static void gen_local(SnGen *g, const SnStmt *s)
{
    int64_t count = 0;
    size_t size = 0;
    if (!sn_is_const_i64(g->s, s->a, &count) || count < 1 ||
        !sn_mul_size((size_t)count, sn_dtype_size(s->dtype), &size) || size > SN_GEN_STACK ||
        s->buf >= g->buf.n) {
        sn_gen_fail(g, SN_EUNSUPPORTED, "LOCAL %d of %lld elements", s->buf, (long long)count);
        return;
    }
    if (g->buf.at[s->buf] == NULL) {
        g->stack += size;
        if (g->stack > SN_GEN_STACK)
            sn_gen_fail(g, SN_EUNSUPPORTED, "LOCALs of more than %d bytes", SN_GEN_STACK);
        sn_gen_place(g, 0);
        const LLVMTypeRef type = LLVMArrayType2(sn_gen_memory_type(g, s->dtype, 0), (uint64_t)count);
        g->buf.at[s->buf] = LLVMBuildAlloca(g->b, type, "");
        LLVMSetAlignment(g->buf.at[s->buf], 64);
        sn_gen_place(g, g->top);
    }
    gen_body(g, s->body);
}

static void gen_body(SnGen *g, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL && g->status == SN_OK; s = s->next) {
        g->statement = ++g->serial;
        if (++g->nstmt > SN_GEN_STMTS) {
            sn_gen_fail(g, SN_EUNSUPPORTED, "more than %d statements when unrolled", SN_GEN_STMTS);
            return;
        }
        switch (s->kind) {
        case SN_STMT_LOOP:
            gen_loop(g, s);
            break;
        case SN_STMT_IF:
            gen_if(g, s);
            break;
        case SN_STMT_STORE:
            sn_gen_store(g, s);
            break;
        case SN_STMT_LOCAL:
            gen_local(g, s);
            break;
        case SN_STMT_TILE:
            sn_gen_tile(g, s);
            break;
        }
    }
}

/* ---- kernels ---- */

typedef struct Level {
    const char *features, *width; /* never a CPU's name */
} Level;

#define FEATURES_V3  "+avx2,+fma,+f16c,+bmi,+bmi2"
#define FEATURES_V4  FEATURES_V3 ",+avx512f,+avx512bw,+avx512dq,+avx512vl"
#define FEATURES_V4D FEATURES_V4 ",+avx512vnni,+avx512bf16"
#define FEATURES_AMX FEATURES_V4D ",+amx-tile,+amx-bf16,+amx-int8"

static const Level levels[SN_CPU_LEVEL_COUNT] = {
    [SN_CPU_V3] = {FEATURES_V3, "256"},
    [SN_CPU_V4] = {FEATURES_V4, "512"},
    [SN_CPU_V4D] = {FEATURES_V4D, "512"},
    [SN_CPU_AMX] = {FEATURES_AMX, "512"},
};

static void add_attribute(const SnGen *g, const char *key, const char *value)
{
    const LLVMAttributeRef a =
        LLVMCreateStringAttribute(g->llvm, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(g->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

void sn_gen_function(SnGen *g, const char *name, LLVMTypeRef type)
{
    g->fn = LLVMAddFunction(g->module, name, type);
    const unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(g->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(g->llvm, nounwind, 0));
    add_attribute(g, "target-features", levels[g->level].features);
    add_attribute(g, "prefer-vector-width", levels[g->level].width);
    sn_gen_enter(g, sn_gen_block(g));
}

static void gen_function(SnGen *g, const char *symbol)
{
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm), ptr = LLVMPointerTypeInContext(g->llvm, 0);
    sn_gen_function(
        g, symbol,
        LLVMFunctionType(LLVMVoidTypeInContext(g->llvm), (LLVMTypeRef[]){ptr, ptr, i64, i64}, 4, false));
    g->open = g->top = 0;
    g->scope[0] = (SnGenScope){.serial = ++g->serial};
    const bool has_tiles = sn_gen_has_tiles(g->k->body);
    if (has_tiles)
        sn_gen_tiles_begin(g);
    const Loop tile = open_loop(g, LLVMGetParam(g->fn, 2), LLVMGetParam(g->fn, 3), 1);
    bind_index(g, g->k->tile, tile.index);
    gen_body(g, g->k->body);
    close_loop(g, &tile);
    if (has_tiles)
        sn_gen_tiles_end(g);
    if (g->streams)
        (void)sn_gen_intrinsic(g, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
    LLVMBuildRetVoid(g->b);
    LLVMSetVisibility(g->fn, LLVMHiddenVisibility);
}

LLVMValueRef sn_gen_buffer(SnGen *g, int64_t buf)
{
    const LLVMTypeRef ptr = LLVMPointerTypeInContext(g->llvm, 0);
    if (buf < 0 || (size_t)buf >= g->buf.n || (buf >= g->k->nbuf && g->buf.at[buf] == NULL)) {
        sn_gen_fail(g, SN_EINTERNAL, "buffer %lld is used outside of its body", (long long)buf);
        return LLVMGetPoison(ptr);
    }
    if (g->buf.at[buf] == NULL) {
        g->buf.at[buf] = argument(g, 0, ptr, buf);
        sn_gen_place(g, g->top);
    }
    return g->buf.at[buf];
}

SnStatus sn_gen_kernel(SnGen *g, const SnKernel *k, SnCpuLevel level, const char *symbol)
{
    g->k = k;
    g->s = k->store;
    g->level = level;
    g->status = SN_OK;
    g->kernel++;
    g->epoch++;
    g->nstmt = 0;
    g->stack = 0;
    g->streams = false;
    g->lane = 0;
    g->width = 0;
    g->buf.n = 0;
    const size_t nbuf = (size_t)k->nbuf + (size_t)k->nlocal;
    SN_CHECK(sn_vec_reserve(g->memory, &g->buf, nbuf), g->err, SN_ENOMEM, "kernel %s: no memory", k->name);
    memset(g->buf.at, 0, nbuf * sizeof *g->buf.at);
    g->buf.n = nbuf;
    if (reserve_nodes(g))
        gen_function(g, symbol);
    return g->status;
}

void sn_gen_clear(SnGen *g)
{
    sn_vec_clear(g->memory, &g->node);
    sn_vec_clear(g->memory, &g->buf);
}
