/* twin.h -- one program, run by the evaluator and by compiled instances, which must agree.
 *
 * A program has instances for each target: one as a host has it and one whose plan never shares memory; both
 * run over rubbish in every scratch buffer. All instances give equal bits, in slices or at once; the
 * evaluator agrees by tolerance, integers exactly. A run that the evaluator refuses fails everywhere with the
 * same status. Target "v3": native code of that CPU level, whatever this machine has. */
#ifndef SN_TESTS_TWIN_H
#define SN_TESTS_TWIN_H

#include "compiler/eval.h"
#include "tests/unit/unit.h"

#define TWIN_TARGETS 4
#define TWIN_VALUES  32

typedef struct Twin {
    const char *title; /* for messages */
    const char *const *target;
    int ntarget;
    uint64_t random;
    SnContext *ctx[2]; /* this machine's level, and v3 */
    SnCompiler *cc[2];
    SnGraph *g;
    SnProgram *program[TWIN_TARGETS];
    SnInstance *instance[2 * TWIN_TARGETS];
    void *rows[TWIN_TARGETS];       /* buffer rows as compiled */
    SnNamedView state[TWIN_VALUES]; /* carries of the evaluator */
    size_t nstate;
    SnNamedView given[TWIN_VALUES]; /* symbols bound at create */
    size_t ngiven;
    int64_t create[16];
    char create_name[16][32];
    char run[256]; /* the run at hand, for messages */
    SnArena arena; /* of a run */
    SnNamedView in[TWIN_VALUES];
    size_t nin;
} Twin;

uint32_t twin_random(Twin *t, uint32_t below);

/* Gives t->g to build or parse. */
void twin_open(Twin *t, const char *title, const char *const *target, int ntarget, uint64_t seed);
/* create: values of symbols bound at create, "b=4 pages=2". */
void twin_compile(Twin *t, const char *create);
/* "n=3 x=0..5": sizes of symbols, and the range of an input's values (default: -4 .. 4, all integers).
 * "@name" first chooses the entry. Returns the status that all agreed on. */
SnStatus twin_run(Twin *t, const char *run);
void twin_reset(Twin *t); /* carries back to their initial values */
void twin_close(Twin *t);

#endif
