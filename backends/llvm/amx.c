/* amx.c -- TILE statements: the matrix unit by its own registers, or by memory where there is none.
 *
 * All eight registers are 16 rows of 64 bytes, configured where the kernel function begins and released where
 * it ends: once for all the tiles of a call. A level below `amx` has them on the stack, and functions in
 * place of the instructions that sum in the interpreter's order: slow, for kernels that were made for another
 * level. Intel SDM vol. 1, chapter 18. */
#include "backends/llvm/codegen.h"

#include <stdio.h>

#define CONFIG_BYTES 64
#define TILES        8
#define ROWS         16
#define ROW_BYTES    64
#define TILE_BYTES   (ROWS * ROW_BYTES)

bool sn_gen_has_tiles(const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next)
        if (s->kind == SN_STMT_TILE || sn_gen_has_tiles(s->body))
            return true;
    return false;
}

/* Palette 1; bytes of a row from byte 16, two a tile; rows from byte 48. */
static LLVMValueRef config(SnGen *g)
{
    LLVMValueRef at = LLVMGetNamedGlobal(g->module, "sn_tile_config");
    if (at != NULL)
        return at;
    char bytes[CONFIG_BYTES] = {1};
    for (int i = 0; i < TILES; i++) {
        bytes[16 + 2 * i] = ROW_BYTES;
        bytes[48 + i] = ROWS;
    }
    const LLVMValueRef v = LLVMConstStringInContext2(g->llvm, bytes, sizeof bytes, true);
    at = LLVMAddGlobal(g->module, LLVMTypeOf(v), "sn_tile_config");
    LLVMSetInitializer(at, v);
    LLVMSetLinkage(at, LLVMInternalLinkage);
    LLVMSetGlobalConstant(at, true);
    LLVMSetAlignment(at, CONFIG_BYTES);
    return at;
}

/* ---- without the unit ---- */

static LLVMValueRef at_byte(SnGen *g, LLVMValueRef base, LLVMValueRef offset)
{
    return LLVMBuildGEP2(g->b, LLVMInt8TypeInContext(g->llvm), base, &offset, 1, "");
}

static LLVMValueRef bytes(const SnGen *g, uint64_t n)
{
    return LLVMConstInt(LLVMInt64TypeInContext(g->llvm), n, false);
}

/* A row as 16 words; where rows come from a kernel's buffer they may lie anywhere. */
static LLVMValueRef load_row(SnGen *g, LLVMValueRef base, LLVMValueRef offset)
{
    const LLVMValueRef v = LLVMBuildLoad2(g->b, sn_gen_type(g, SN_U32, ROWS), at_byte(g, base, offset), "");
    LLVMSetAlignment(v, 1);
    return v;
}

static void store_row(SnGen *g, LLVMValueRef v, LLVMValueRef base, LLVMValueRef offset)
{
    LLVMSetAlignment(LLVMBuildStore(g->b, v, at_byte(g, base, offset)), 1);
}

/* void (to, stride, from, stride): 16 rows. */
static void gen_move(SnGen *g)
{
    for (uint64_t row = 0; row < ROWS; row++) {
        LLVMValueRef offset[2];
        for (unsigned i = 0; i < 2; i++)
            offset[i] = LLVMBuildMul(g->b, LLVMGetParam(g->fn, 2 * i + 1), bytes(g, row), "");
        store_row(g, load_row(g, LLVMGetParam(g->fn, 2), offset[1]), LLVMGetParam(g->fn, 0), offset[0]);
    }
    LLVMBuildRetVoid(g->b);
}

/* void (acc, a, b): one row of the sums at a time, in rising k. */
static void gen_dot(SnGen *g, SnDtype dtype)
{
    const LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
    const LLVMTypeRef sums = sn_gen_type(g, dtype == SN_BF16 ? SN_F32 : SN_I32, ROWS);
    const LLVMValueRef acc = LLVMGetParam(g->fn, 0), a = LLVMGetParam(g->fn, 1), b = LLVMGetParam(g->fn, 2);
    const LLVMBasicBlockRef entry = g->block, loop = sn_gen_block(g), done = sn_gen_block(g);
    LLVMBuildBr(g->b, loop);
    sn_gen_enter(g, loop);
    const LLVMValueRef row = LLVMBuildPhi(g->b, i64, "");
    LLVMValueRef sum = LLVMBuildBitCast(g->b, load_row(g, acc, row), sums, "");
    for (uint64_t k = 0; k < ROWS; k++) {
        const LLVMValueRef at = at_byte(g, a, LLVMBuildAdd(g->b, row, bytes(g, 4 * k), ""));
        const LLVMValueRef word = LLVMBuildLoad2(g->b, LLVMInt32TypeInContext(g->llvm), at, "");
        const LLVMValueRef x = sn_gen_splat(g, word, ROWS), y = load_row(g, b, bytes(g, k * ROW_BYTES));
        sum = dtype == SN_BF16 ? sn_gen_pair_fma(g, sum, x, y, ROWS) : sn_gen_dot4(g, sum, x, y, ROWS);
    }
    store_row(g, sum, acc, row);
    const LLVMValueRef next = LLVMBuildAdd(g->b, row, bytes(g, ROW_BYTES), "");
    const LLVMValueRef more = LLVMBuildICmp(g->b, LLVMIntULT, next, bytes(g, TILE_BYTES), "");
    LLVMBuildCondBr(g->b, more, loop, done);
    LLVMAddIncoming(row, (LLVMValueRef[]){bytes(g, 0), next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
    sn_gen_enter(g, done);
    LLVMBuildRetVoid(g->b);
}

typedef enum Helper { MOVE, DOT_BF16, DOT_U8, HELPERS } Helper;

/* One function of the module for each level that needs it. */
static LLVMValueRef helper_function(SnGen *g, Helper which)
{
    static const char *const name[HELPERS] = {"sn_tile_move", "sn_tile_dot_bf16", "sn_tile_dot_u8"};
    const LLVMTypeRef ptr = LLVMPointerTypeInContext(g->llvm, 0), i64 = LLVMInt64TypeInContext(g->llvm);
    LLVMTypeRef arg[] = {ptr, which == MOVE ? i64 : ptr, ptr, i64};
    char symbol[40];
    (void)snprintf(symbol, sizeof symbol, "%s_%s", name[which], sn_cpu_level_name(g->level));
    const LLVMValueRef known = LLVMGetNamedFunction(g->module, symbol), caller = g->fn;
    if (known != NULL)
        return known;
    const LLVMBasicBlockRef block = g->block;
    const LLVMBuilderRef builder = g->b;
    g->b = LLVMCreateBuilderInContext(g->llvm);
    const unsigned narg = which == MOVE ? 4 : 3;
    sn_gen_function(g, symbol, LLVMFunctionType(LLVMVoidTypeInContext(g->llvm), arg, narg, false));
    const LLVMValueRef fn = g->fn;
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    if (which == MOVE)
        gen_move(g);
    else
        gen_dot(g, which == DOT_BF16 ? SN_BF16 : SN_U8);
    LLVMDisposeBuilder(g->b);
    g->b = builder;
    g->fn = caller;
    g->block = block;
    return fn;
}

static void call_helper(SnGen *g, Helper which, LLVMValueRef *arg, unsigned narg)
{
    const LLVMValueRef fn = helper_function(g, which);
    (void)LLVMBuildCall2(g->b, LLVMGlobalGetValueType(fn), fn, arg, narg, "");
}

static LLVMValueRef tile_memory(SnGen *g, int tile)
{
    return at_byte(g, g->tiles, bytes(g, (uint64_t)tile % TILES * TILE_BYTES));
}

static void emulate(SnGen *g, const SnStmt *s, LLVMValueRef at, LLVMValueRef stride)
{
    LLVMValueRef reg[3];
    for (int i = 0; i < 3; i++)
        reg[i] = tile_memory(g, s->tile[i]);
    switch (s->tile_op) {
    case SN_TILE_ZERO:
        for (uint64_t row = 0; row < ROWS; row++)
            store_row(g, LLVMConstNull(sn_gen_type(g, SN_U32, ROWS)), reg[0], bytes(g, row * ROW_BYTES));
        break;
    case SN_TILE_DOT:
        call_helper(g, s->dtype == SN_BF16 ? DOT_BF16 : DOT_U8, reg, 3);
        break;
    case SN_TILE_LOAD:
        call_helper(g, MOVE, (LLVMValueRef[]){reg[0], bytes(g, ROW_BYTES), at, stride}, 4);
        break;
    case SN_TILE_STORE:
        call_helper(g, MOVE, (LLVMValueRef[]){at, stride, reg[0], bytes(g, ROW_BYTES)}, 4);
        break;
    }
}

/* ---- with it ---- */

void sn_gen_tiles_begin(SnGen *g)
{
    if (g->level >= SN_CPU_AMX) {
        (void)sn_gen_intrinsic(g, "llvm.x86.ldtilecfg", NULL, 0, (LLVMValueRef[]){config(g)}, 1);
        return;
    }
    const LLVMTypeRef type = LLVMArrayType2(LLVMInt8TypeInContext(g->llvm), TILES * TILE_BYTES);
    g->tiles = LLVMBuildAlloca(g->b, type, "");
    LLVMSetAlignment(g->tiles, ROW_BYTES);
    g->stack += TILES * TILE_BYTES;
}

void sn_gen_tiles_end(SnGen *g)
{
    if (g->level >= SN_CPU_AMX)
        (void)sn_gen_intrinsic(g, "llvm.x86.tilerelease", NULL, 0, NULL, 0);
}

static void instruct(SnGen *g, const SnStmt *s, LLVMValueRef at, LLVMValueRef stride)
{
    LLVMValueRef reg[3];
    for (int i = 0; i < 3; i++)
        reg[i] = LLVMConstInt(LLVMInt8TypeInContext(g->llvm), s->tile[i] % TILES, false);
    switch (s->tile_op) {
    case SN_TILE_ZERO:
        (void)sn_gen_intrinsic(g, "llvm.x86.tilezero", NULL, 0, reg, 1);
        break;
    case SN_TILE_DOT:
        (void)sn_gen_intrinsic(g, s->dtype == SN_BF16 ? "llvm.x86.tdpbf16ps" : "llvm.x86.tdpbusd", NULL, 0,
                               reg, 3);
        break;
    case SN_TILE_LOAD:
        (void)sn_gen_intrinsic(g, "llvm.x86.tileloadd64", NULL, 0, (LLVMValueRef[]){reg[0], at, stride}, 3);
        break;
    case SN_TILE_STORE:
        (void)sn_gen_intrinsic(g, "llvm.x86.tilestored64", NULL, 0, (LLVMValueRef[]){reg[0], at, stride}, 3);
        break;
    }
}

void sn_gen_tile(SnGen *g, const SnStmt *s)
{
    LLVMValueRef at = NULL, stride = NULL;
    if (s->tile_op == SN_TILE_LOAD || s->tile_op == SN_TILE_STORE) {
        const LLVMValueRef base = sn_gen_buffer(g, s->buf);
        const LLVMValueRef offset = sn_gen_value(g, sn_gen_unrolled(g, s->a));
        stride = sn_gen_value(g, sn_gen_unrolled(g, s->b));
        at = at_byte(g, base, offset);
    }
    (g->level >= SN_CPU_AMX ? instruct : emulate)(g, s, at, stride);
}
