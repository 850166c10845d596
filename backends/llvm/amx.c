/* amx.c -- TILE statements: the matrix unit by its own registers.
 *
 * All eight are 16 rows of 64 bytes, configured where the kernel function begins and released where it ends.
 * Intel SDM vol. 1, chapter 18. */
#include "backends/llvm/codegen.h"

#define CONFIG_BYTES 64
#define TILES        8
#define ROWS         16
#define ROW_BYTES    64

bool sn_gen_has_tiles(const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_TILE || sn_gen_has_tiles(s->body))
            return true;
    }
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

void sn_gen_tiles_begin(SnGen *g)
{
    if (g->level < SN_CPU_AMX) {
        sn_gen_fail(g, SN_EUNSUPPORTED, "tiles at level %s", sn_cpu_level_name(g->level));
        return;
    }
    (void)sn_gen_intrinsic(g, "llvm.x86.ldtilecfg", NULL, 0, (LLVMValueRef[]){config(g)}, 1);
}

void sn_gen_tiles_end(SnGen *g)
{
    (void)sn_gen_intrinsic(g, "llvm.x86.tilerelease", NULL, 0, NULL, 0);
}

static void move(SnGen *g, const SnStmt *s, LLVMValueRef reg)
{
    const LLVMTypeRef i8 = LLVMInt8TypeInContext(g->llvm);
    const LLVMValueRef base = sn_gen_buffer(g, s->buf);
    LLVMValueRef offset = sn_gen_value(g, sn_gen_unrolled(g, s->a));
    const LLVMValueRef stride = sn_gen_value(g, sn_gen_unrolled(g, s->b));
    const LLVMValueRef at = LLVMBuildGEP2(g->b, i8, base, &offset, 1, "");
    const char *name = s->tile_op == SN_TILE_LOAD ? "llvm.x86.tileloadd64" : "llvm.x86.tilestored64";
    (void)sn_gen_intrinsic(g, name, NULL, 0, (LLVMValueRef[]){reg, at, stride}, 3);
}

void sn_gen_tile(SnGen *g, const SnStmt *s)
{
    const LLVMTypeRef i8 = LLVMInt8TypeInContext(g->llvm);
    LLVMValueRef reg[3];
    for (int i = 0; i < 3; i++)
        reg[i] = LLVMConstInt(i8, s->tile[i] % TILES, false);
    switch (s->tile_op) {
    case SN_TILE_ZERO:
        (void)sn_gen_intrinsic(g, "llvm.x86.tilezero", NULL, 0, reg, 1);
        break;
    case SN_TILE_DOT:
        (void)sn_gen_intrinsic(g, s->dtype == SN_BF16 ? "llvm.x86.tdpbf16ps" : "llvm.x86.tdpbusd", NULL, 0,
                               reg, 3);
        break;
    case SN_TILE_LOAD:
    case SN_TILE_STORE:
        move(g, s, reg[0]);
        break;
    }
}
