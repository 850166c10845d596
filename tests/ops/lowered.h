/* lowered.h -- runs a graph twice, by sn_eval and through fuse, lower and the interpreter, and compares.
 *
 * A case builds a graph; its symbols are single letters whose sizes are given. Kernels run tile by tile, last
 * tile first: they must not depend on each other. Results are first filled with rubbish: all must be stored.
 */
#ifndef SN_TESTS_LOWERED_H
#define SN_TESTS_LOWERED_H

#include "compiler/eval.h"
#include "compiler/pass.h"
#include "tests/unit/unit.h"

#define LOWERED_INPUTS  12
#define LOWERED_OUTPUTS 12

typedef struct Lowered Lowered;
typedef void LoweredCase(Lowered *t);

/* What to run; the later fields are for the case. */
typedef struct LoweredSpec {
    const char *name;
    LoweredCase *build;
    const char *sizes; /* of symbols: "n=3 m=20" */
    double tolerance;  /* 0: equal bits but for NaN */
    bool has_special;  /* NaN, infinities and -0 among the values */
    bool has_pairs;    /* results 0 and 1, 2 and 3, ... have equal bits */
    SnDtype dtype;
    const char *fn;
    int axis;
    uint64_t seed;
} LoweredSpec;

struct Lowered {
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnArena arena;
    const LoweredSpec *spec;
    const char *title;
    uint64_t random;
    int64_t size[128]; /* of symbols, by letter */
    bool is_const;     /* constants in place of symbols */
    SnNamedView in[LOWERED_INPUTS];
    size_t nin;
    uint32_t nkernel; /* of the last run */
};

/* ---- building ---- */
SnValue lowered_dim(Lowered *t, const char **text); /* "n" or "12", then an optional comma */
/* Random values: floats in -2 .. 2, integers in -5 .. 5 (unsigned: 0 .. 10). dims: "n,3,m". */
SnValue lowered_input(Lowered *t, const char *name, SnDtype dtype, const char *dims);
SnValue lowered_index(Lowered *t, const char *name, SnDtype dtype, const char *dims, int64_t lo, int64_t hi);
void lowered_out(Lowered *t, SnValue v);
uint32_t lowered_random(Lowered *t, uint32_t below);

/* ---- running ---- */
/* Builds the case with symbols and with constants, runs both, compares all with sn_eval. */
void lowered_check(const LoweredSpec *spec);

#endif
