/* interp.h -- the form in which the interpreter runs a kernel: a list of instructions over a frame.
 *
 * A value lies in the frame as its dtype is stored; one that depends on a lane as an array of all lanes. An
 * instruction computes all lanes, so the cost of dispatch is shared by them, and a statement has evaluated
 * every lane before it stores the first one. */
#ifndef SN_INTERP_H
#define SN_INTERP_H

#include "compiler/target.h"

#define SN_INTERP_FRAME (256 * 1024) /* bytes of stack that a call takes */
#define SN_INTERP_TILE  1024         /* bytes of a tile register */

typedef enum SnCodeKind {
    SN_CODE_EVAL,  /* eval(in, frame) */
    SN_CODE_LOAD,  /* dst = buffer[a], where c (or always) */
    SN_CODE_STORE, /* buffer[a] = b, where c (or always) */
    SN_CODE_FOLD,  /* dst = fold of imm elements from buffer[a]; c: room for them */
    SN_CODE_CONST, /* dst = imm's bytes */
    SN_CODE_DIM,   /* dst = dim imm */
    SN_CODE_LANES, /* dst = 0, 1, .. */
    SN_CODE_LOOP,  /* dst = 0, b = a; imm: where to go if there is nothing to do */
    SN_CODE_NEXT,  /* dst += 1; imm: where to go while dst < b */
    SN_CODE_IF,    /* imm: where to go if a is false */
    SN_CODE_LOCAL, /* imm bytes at dst become NaN or -1: to read a LOCAL before it is written shows */
    SN_CODE_TILE   /* registers at dst, b, c; offset at a, stride at imm */
} SnCodeKind;

typedef struct SnCode SnCode;
typedef void SnEvalFn(const SnCode *in, unsigned char *frame);

struct SnCode {
    SnCodeKind kind;
    uint16_t op;    /* EVAL, FOLD: the primitive */
    SnDtype dtype;  /* of the operands; LOAD, STORE: of the element */
    SnDtype to;     /* EVAL: of the result */
    bool saturates; /* EVAL: a cast */
    bool has_guard; /* LOAD, STORE */
    bool is_run;    /* LOAD, STORE: lane i has element a[0] + i, and there is no guard */
    bool is_local;  /* buffer buf lies at `base` of the frame, `size` bytes */
    int buf;
    uint32_t base, size;
    SnTileOp tile_op;
    uint32_t lanes; /* how many values */
    uint32_t dst, a, b, c;
    uint32_t step[3]; /* bytes from lane to lane of a, b, c; 0: the same value for all */
    uint64_t imm;
    SnEvalFn *eval;
};

typedef struct SnCodeKernel {
    const char *name;
    const SnCode *code;
    uint32_t ncode;
    uint32_t tile_code; /* code before it runs once a call, the rest once a tile */
    uint32_t tile_slot; /* where the index of the tile goes */
} SnCodeKernel;

/* Arena memory. SN_EUNSUPPORTED: the kernel needs more than a frame. */
SN_MUST_CHECK SnStatus sn_interp_assemble(const SnKernel *k, SnArena *arena, SnCodeKernel *out, SnError *err);
/* What computes op on operands of dtype d: a loop for what is frequent, else sn_scalar_apply lane by lane. */
SnEvalFn *sn_interp_eval(uint16_t op, SnDtype d, SnDtype to);

#endif
