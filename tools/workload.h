/* workload.h -- a model's task at a shape, compiled, with inputs: what plan and bench look at. */
#ifndef SN_TOOLS_WORKLOAD_H
#define SN_TOOLS_WORKLOAD_H

#include "tools/command.h"

#define WORKLOAD_DIMS 8

typedef struct Workload {
    const Args *a;
    Session s;
    SnArena arena;
    SnPrepared p;
    struct {
        const char *name;
        int64_t value;
    } dim[WORKLOAD_DIMS];
    int ndim;
    char shape[512];                      /* the same as text */
    SnBytes *text;                        /* of task embed: one a row of the batch; else NULL */
    double load_ms, compile_ms, first_ms; /* first_ms: compiling included where it cannot be told apart */
} Workload;

/* Opens the model and compiles its task; prints errors, returns an exit code. close takes a partly opened
 * one. shape NULL: batch=1,seq=128. */
int workload_open(const Args *a, const char *task, const char *shape, Workload *w);
void workload_close(Workload *w);
/* "batch=32,seq=128" ▶ w->dim, in w's arena. Prints errors, returns an exit code. */
int workload_shape(Workload *w, const char *shape);
/* Makes the inputs and runs once. */
int workload_start(Workload *w);
SN_MUST_CHECK SnStatus workload_run(Workload *w, SnError *err);
int64_t workload_dim(const Workload *w, const char *name, int64_t otherwise);

#endif
