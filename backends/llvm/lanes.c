/* lanes.c -- loads, stores and folds: the stride of an index along the lane decides the access.
 *
 * Stride 0 is a scalar and a broadcast, 1 a vector, -1 a reversed vector, anything else a gather or scatter.
 * Memory is aligned to its elements only. */
#include "backends/llvm/codegen.h"

typedef struct Access {
    LLVMValueRef base;
    LLVMTypeRef element; /* in memory */
    SnDtype dtype;
    unsigned align;
    SnRef index, guard; /* guard 0: none */
    uint32_t width;     /* lanes; 0: the same for all */
    bool is_affine;
    int64_t stride; /* where it is affine */
    bool is_local, is_read_only;
    int64_t ahead; /* bytes behind those that are read, for a load along lanes; 0: none */
} Access;

static bool is_lane(SnGen *g, SnRef r)
{
    return r != 0 && sn_gen_facts(g, r)->lane != 0;
}

static Access access_of(SnGen *g, int64_t buf, SnDtype d, SnRef index, SnRef guard)
{
    Access a = {.base = sn_gen_buffer(g, buf),
                .element = sn_gen_memory_type(g, d, 0),
                .dtype = d,
                .align = (unsigned)sn_dtype_size(d),
                .index = index,
                .guard = guard,
                .is_local = buf >= g->k->nbuf,
                .is_read_only = buf < g->k->nbuf && !g->k->buf[buf].is_written};
    SnScalar c;
    if (guard != 0 && sn_is_const(g->s, guard, &c) && c.i != 0)
        a.guard = 0;
    a.is_affine = sn_gen_stride(g, index, &a.stride);
    return a;
}

static LLVMTypeRef vector_of(const Access *a)
{
    return sn_gen_vector(a->element, a->width);
}

static LLVMValueRef from_memory(SnGen *g, const Access *a, LLVMValueRef v)
{
    if (a->dtype != SN_BOOL)
        return v;
    return LLVMBuildICmp(g->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

static LLVMValueRef to_memory(SnGen *g, const Access *a, LLVMValueRef v, uint32_t width)
{
    if (a->dtype != SN_BOOL)
        return v;
    return LLVMBuildZExt(g->b, v, sn_gen_memory_type(g, SN_BOOL, width), "");
}

static LLVMValueRef offset(SnGen *g, const Access *a, LLVMValueRef base, LLVMValueRef index)
{
    return LLVMBuildGEP2(g->b, a->element, base, &index, 1, "");
}

/* The term whose value an address takes: in lane 0, where a constant leads from there to the other lanes. */
static SnRef address_term(SnGen *g, const Access *a)
{
    const int64_t most = INT32_MAX / SN_GEN_LANES;
    const bool is_near = a->width != 0 && a->is_affine && a->stride <= most && a->stride >= -most;
    return is_near ? sn_gen_at_lane0(g, a->index) : a->index;
}

/* Where lane 0, or for a falling index the last lane, is. */
static LLVMValueRef lowest(SnGen *g, const Access *a)
{
    const LLVMValueRef first = offset(g, a, a->base, sn_gen_value(g, address_term(g, a)));
    if (a->stride != -1)
        return first;
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    return offset(g, a, first, LLVMConstInt(i64, (uint64_t)1 - a->width, true));
}

static LLVMValueRef every(SnGen *g, const Access *a)
{
    const SnRef base = address_term(g, a);
    if (base == a->index)
        return offset(g, a, a->base, sn_gen_wide(g, base, a->width));
    const LLVMValueRef first = offset(g, a, a->base, sn_gen_value(g, base));
    return offset(g, a, first, sn_gen_iota(LLVMInt32TypeInContext(g->llvm), a->width, 0, a->stride));
}

static LLVMValueRef reversed(SnGen *g, const Access *a, LLVMValueRef v)
{
    if (a->stride != -1)
        return v;
    const LLVMValueRef order =
        sn_gen_iota(LLVMInt32TypeInContext(g->llvm), a->width, (int64_t)a->width - 1, -1);
    return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), order, "");
}

/* Both forms, over lanes that lie side by side. */
static bool is_dense(const Access *a)
{
    return a->is_affine && (a->stride == 1 || a->stride == -1);
}

static LLVMValueRef align_of(SnGen *g, const Access *a)
{
    return LLVMConstInt(LLVMInt32TypeInContext(g->llvm), a->align, false);
}

static LLVMValueRef all_lanes(SnGen *g, const Access *a)
{
    return LLVMConstAllOnes(LLVMVectorType(LLVMInt1TypeInContext(g->llvm), a->width));
}

/* ---- loads ---- */

/* As wide as the widest load: what is read instead of memory that may not be read. */
static LLVMValueRef zeros(SnGen *g)
{
    LLVMValueRef at = LLVMGetNamedGlobal(g->module, "sn_zeros");
    if (at == NULL) {
        const LLVMTypeRef type =
            LLVMArrayType2(LLVMInt8TypeInContext(g->llvm), SN_GEN_LANES * sizeof(double));
        at = LLVMAddGlobal(g->module, type, "sn_zeros");
        LLVMSetInitializer(at, LLVMConstNull(type));
        LLVMSetLinkage(at, LLVMInternalLinkage);
        LLVMSetGlobalConstant(at, true);
        LLVMSetAlignment(at, 64);
    }
    return at;
}

static LLVMValueRef plain_load(SnGen *g, const Access *a, LLVMTypeRef type, LLVMValueRef at)
{
    const LLVMValueRef v = LLVMBuildLoad2(g->b, type, at, "");
    LLVMSetAlignment(v, a->align);
    if (a->is_read_only) {
        const unsigned invariant = LLVMGetMDKindIDInContext(g->llvm, "invariant.load", 14);
        LLVMSetMetadata(v, invariant, LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, NULL, 0)));
    }
    return v;
}

/* A load under a condition that all lanes share reads zeros where it does not hold. */
static LLVMValueRef shared_load(SnGen *g, const Access *a, LLVMTypeRef type, LLVMValueRef at,
                                LLVMValueRef condition)
{
    if (condition != NULL)
        at = LLVMBuildSelect(g->b, condition, at, zeros(g), "");
    return plain_load(g, a, type, at);
}

static LLVMValueRef any_lane(SnGen *g, LLVMValueRef mask)
{
    return sn_gen_intrinsic(g, "llvm.vector.reduce.or", (LLVMTypeRef[]){LLVMTypeOf(mask)}, 1, &mask, 1);
}

static LLVMValueRef masked_load(SnGen *g, const Access *a, LLVMValueRef mask)
{
    const LLVMTypeRef type = vector_of(a);
    const LLVMValueRef zero = LLVMConstNull(type);
    if (is_dense(a)) {
        const LLVMValueRef at = lowest(g, a);
        LLVMValueRef arg[] = {at, align_of(g, a), reversed(g, a, mask), zero};
        return reversed(
            g, a, sn_gen_intrinsic(g, "llvm.masked.load", (LLVMTypeRef[]){type, LLVMTypeOf(at)}, 2, arg, 4));
    }
    const LLVMValueRef at = every(g, a);
    LLVMValueRef arg[] = {at, align_of(g, a), mask, zero};
    return sn_gen_intrinsic(g, "llvm.masked.gather", (LLVMTypeRef[]){type, LLVMTypeOf(at)}, 2, arg, 4);
}

/* One element for all lanes, under a guard that differs by lane. */
static LLVMValueRef broadcast_load(SnGen *g, const Access *a, LLVMValueRef mask)
{
    const LLVMValueRef at = offset(g, a, a->base, sn_gen_value(g, address_term(g, a)));
    const LLVMValueRef one = shared_load(g, a, a->element, at, any_lane(g, mask));
    return LLVMBuildSelect(g->b, mask, sn_gen_splat(g, one, a->width), LLVMConstNull(vector_of(a)), "");
}

/* Into L2: what is asked for comes long before it is read. */
static void ask_ahead(SnGen *g, const Access *a, LLVMValueRef at)
{
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm), i64 = LLVMInt64TypeInContext(g->llvm);
    LLVMValueRef bytes = LLVMConstInt(i64, (uint64_t)a->ahead, false);
    at = LLVMBuildGEP2(g->b, LLVMInt8TypeInContext(g->llvm), at, &bytes, 1, "");
    LLVMValueRef arg[] = {at, sn_gen_int(i32, 0), sn_gen_int(i32, 2), sn_gen_int(i32, 1)};
    (void)sn_gen_intrinsic(g, "llvm.prefetch", (LLVMTypeRef[]){LLVMTypeOf(at)}, 1, arg, SN_COUNT(arg));
}

static LLVMValueRef load_lanes(SnGen *g, const Access *a)
{
    const bool is_masked = is_lane(g, a->guard);
    if (is_masked) {
        const LLVMValueRef mask = sn_gen_value(g, a->guard);
        return a->is_affine && a->stride == 0 ? broadcast_load(g, a, mask) : masked_load(g, a, mask);
    }
    const LLVMValueRef condition = a->guard != 0 ? sn_gen_value(g, a->guard) : NULL;
    if (is_dense(a)) {
        const LLVMValueRef at = lowest(g, a);
        if (a->ahead > 0)
            ask_ahead(g, a, at);
        return reversed(g, a, shared_load(g, a, vector_of(a), at, condition));
    }
    if (a->is_affine && a->stride == 0) {
        const LLVMValueRef at = offset(g, a, a->base, sn_gen_value(g, address_term(g, a)));
        return sn_gen_splat(g, shared_load(g, a, a->element, at, condition), a->width);
    }
    return masked_load(g, a, condition != NULL ? sn_gen_wide(g, a->guard, a->width) : all_lanes(g, a));
}

static LLVMValueRef load_any(SnGen *g, const Access *a)
{
    if (a->width != 0)
        return from_memory(g, a, load_lanes(g, a));
    const LLVMValueRef condition = a->guard != 0 ? sn_gen_value(g, a->guard) : NULL;
    const LLVMValueRef at = offset(g, a, a->base, sn_gen_value(g, a->index));
    return from_memory(g, a, shared_load(g, a, a->element, at, condition));
}

LLVMValueRef sn_gen_load(SnGen *g, SnRef r)
{
    const SnTerm *t = sn_term(g->s, r);
    const SnRef guard = t->narg > 1 ? t->arg[1] : 0, lane = sn_gen_facts(g, r)->lane;
    const uint32_t width = lane != 0 ? g->node.at[lane].width : 0;
    Access a = access_of(g, sn_attr_int(g->s, r, "buf", 0), sn_dtype_of(g->s, r), t->arg[0], guard);
    /* The index of a LOCAL is in range even where the guard is false; a plain load is what becomes a
     * register. */
    a.ahead = sn_attr_int(g->s, r, "ahead", 0);
    const bool selects = a.is_local && a.guard != 0;
    if (selects)
        a.guard = 0;
    a.width = is_lane(g, a.index) || is_lane(g, a.guard) ? width : 0;
    LLVMValueRef v = load_any(g, &a);
    if (!selects)
        return v;
    if (width != 0 && a.width == 0)
        v = sn_gen_splat(g, v, width);
    return LLVMBuildSelect(g->b, sn_gen_value(g, guard), v, LLVMConstNull(LLVMTypeOf(v)), "");
}

/* ---- stores ---- */

static LLVMValueRef plain_store(SnGen *g, const Access *a, LLVMValueRef v, LLVMValueRef at)
{
    const LLVMValueRef store = LLVMBuildStore(g->b, v, at);
    LLVMSetAlignment(store, a->align);
    return store;
}

/* Past the caches where the condition holds and the vector is aligned, as it is in rows of whole vectors. */
static void streamed_store(SnGen *g, const Access *a, LLVMValueRef v, LLVMValueRef at, SnRef stream)
{
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm), i64 = LLVMInt64TypeInContext(g->llvm);
    const unsigned size = a->width * a->align, align = size < 64 ? size : 64;
    const LLVMBasicBlockRef past = sn_gen_block(g), through = sn_gen_block(g), after = sn_gen_block(g);
    const LLVMValueRef low =
        LLVMBuildAnd(g->b, LLVMBuildPtrToInt(g->b, at, i64, ""), LLVMConstInt(i64, align - 1, false), "");
    const LLVMValueRef is_aligned = LLVMBuildICmp(g->b, LLVMIntEQ, low, LLVMConstNull(i64), "");
    LLVMBuildCondBr(g->b, LLVMBuildAnd(g->b, sn_gen_value(g, stream), is_aligned, ""), past, through);
    sn_gen_enter(g, past);
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(i32, 1, false));
    one = LLVMMDNodeInContext2(g->llvm, &one, 1);
    const LLVMValueRef store = plain_store(g, a, v, at);
    LLVMSetAlignment(store, align);
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(g->llvm, "nontemporal", 11),
                    LLVMMetadataAsValue(g->llvm, one));
    LLVMBuildBr(g->b, after);
    sn_gen_enter(g, through);
    (void)plain_store(g, a, v, at);
    LLVMBuildBr(g->b, after);
    sn_gen_enter(g, after);
    g->streams = true;
}

static void masked_store(SnGen *g, const Access *a, LLVMValueRef v, LLVMValueRef mask)
{
    if (is_dense(a)) {
        const LLVMValueRef at = lowest(g, a);
        LLVMValueRef arg[] = {reversed(g, a, v), at, align_of(g, a), reversed(g, a, mask)};
        (void)sn_gen_intrinsic(g, "llvm.masked.store", (LLVMTypeRef[]){LLVMTypeOf(v), LLVMTypeOf(at)}, 2, arg,
                               4);
        return;
    }
    const LLVMValueRef at = every(g, a);
    LLVMValueRef arg[] = {v, at, align_of(g, a), mask};
    (void)sn_gen_intrinsic(g, "llvm.masked.scatter", (LLVMTypeRef[]){LLVMTypeOf(v), LLVMTypeOf(at)}, 2, arg,
                           4);
}

static void store_lanes(SnGen *g, const Access *a, SnRef value, SnRef stream)
{
    const LLVMValueRef v = to_memory(g, a, sn_gen_wide(g, value, a->width), a->width);
    if (is_lane(g, a->guard))
        masked_store(g, a, v, sn_gen_value(g, a->guard));
    else if (is_dense(a) && stream != 0)
        streamed_store(g, a, reversed(g, a, v), lowest(g, a), stream);
    else if (is_dense(a))
        (void)plain_store(g, a, reversed(g, a, v), lowest(g, a));
    else
        masked_store(g, a, v, all_lanes(g, a));
}

void sn_gen_store(SnGen *g, const SnStmt *s)
{
    const SnRef index = sn_gen_unrolled(g, s->a), value = sn_gen_unrolled(g, s->b);
    Access a = access_of(g, s->buf, s->dtype, index, sn_gen_unrolled(g, s->g));
    SnScalar c;
    if (a.guard != 0 && sn_is_const(g->s, a.guard, &c))
        return;
    if (is_lane(g, index) || is_lane(g, value) || is_lane(g, a.guard))
        a.width = g->width;
    const LLVMBasicBlockRef after = a.guard != 0 && !is_lane(g, a.guard) ? sn_gen_block(g) : NULL;
    /* Everything is evaluated in front of the branch, where later statements may use it. */
    (void)sn_gen_wide(g, value, a.width);
    (void)sn_gen_wide(g, address_term(g, &a), is_dense(&a) ? 0 : a.width);
    if (after != NULL) {
        const LLVMBasicBlockRef inside = sn_gen_block(g);
        LLVMBuildCondBr(g->b, sn_gen_value(g, a.guard), inside, after);
        sn_gen_enter(g, inside);
    }
    if (a.width != 0)
        store_lanes(g, &a, value, sn_gen_unrolled(g, s->stream));
    else
        (void)plain_store(g, &a, to_memory(g, &a, sn_gen_value(g, value), 0),
                          offset(g, &a, a.base, sn_gen_value(g, index)));
    if (after != NULL) {
        LLVMBuildBr(g->b, after);
        sn_gen_enter(g, after);
    }
}

/* ---- folds ---- */

#define FOLD_WIDTH 16 /* as LANES loops store: the pieces of a LOCAL stay registers */
#define FOLD_MAX   4096

static LLVMValueRef combine(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef a, LLVMValueRef b, uint32_t width)
{
    return sn_gen_arith(g, op, d, (LLVMValueRef[]){a, b}, width);
}

/* x[j] op x[j + n/2] within a vector, down to one. */
static LLVMValueRef fold_vector(SnGen *g, uint16_t op, SnDtype d, LLVMValueRef v, uint32_t width)
{
    const LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm);
    while (width > 1) {
        width /= 2;
        const LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(v));
        const LLVMValueRef low = LLVMBuildShuffleVector(g->b, v, none, sn_gen_iota(i32, width, 0, 1), "");
        const LLVMValueRef high =
            LLVMBuildShuffleVector(g->b, v, none, sn_gen_iota(i32, width, width, 1), "");
        v = combine(g, op, d, low, high, width);
    }
    return LLVMBuildExtractElement(g->b, v, LLVMConstInt(i32, 0, false), "");
}

/* The pieces of one LOCAL, or where the index differs by lane the elements of one per lane. */
static LLVMValueRef fold_piece(SnGen *g, const Access *a, uint32_t i, uint32_t piece)
{
    const LLVMValueRef at = LLVMConstInt(LLVMInt64TypeInContext(g->llvm), (uint64_t)i * piece, false);
    Access moved = *a;
    moved.base = offset(g, a, a->base, at);
    if (a->width != 0)
        return from_memory(g, a, load_lanes(g, &moved));
    const LLVMValueRef first = offset(g, a, moved.base, sn_gen_value(g, a->index));
    return from_memory(g, a, plain_load(g, a, LLVMVectorType(a->element, piece), first));
}

LLVMValueRef sn_gen_fold(SnGen *g, SnRef r)
{
    const SnDtype d = sn_dtype_of(g->s, r);
    const uint16_t op = sn_combiner(sn_attr_string(g->s, r, "fn"));
    const int64_t count = sn_attr_int(g->s, r, "n", 0);
    const SnRef lane = sn_gen_facts(g, r)->lane;
    Access a = access_of(g, sn_attr_int(g->s, r, "buf", 0), d, sn_term(g->s, r)->arg[0], 0);
    a.width = lane != 0 ? g->node.at[lane].width : 0;
    const uint32_t piece = a.width != 0 ? 1 : count < FOLD_WIDTH ? (uint32_t)count : FOLD_WIDTH;
    LLVMValueRef v[FOLD_MAX / FOLD_WIDTH];
    if (op == SN_OP_ERROR || count < 1 || (count & (count - 1)) != 0 ||
        count > (int64_t)SN_COUNT(v) * piece) {
        sn_gen_fail(g, SN_EUNSUPPORTED, "fold of %lld elements", (long long)count);
        return LLVMGetPoison(sn_gen_type(g, d, a.width));
    }
    uint32_t n = (uint32_t)count / piece;
    const uint32_t width = a.width != 0 ? a.width : piece;
    for (uint32_t i = 0; i < n; i++)
        v[i] = fold_piece(g, &a, i, piece);
    for (; n > 1; n /= 2) {
        for (uint32_t i = 0; i < n / 2; i++)
            v[i] = combine(g, op, d, v[i], v[i + n / 2], width);
    }
    return a.width != 0 ? v[0] : fold_vector(g, op, d, v[0], width);
}
