/* watch.h -- where numbers that are not finite come from. */
#ifndef SN_WATCH_H
#define SN_WATCH_H

#include "runtime/program.h"

typedef struct SnWatch {
    bool found;
    uint32_t step;      /* the first that left a float that is not finite */
    const char *kernel; /* its name, which says its ops */
    const char *near;   /* the last parameter or carry that it or a step before it used; NULL: none */
} SnWatch;

/* As sn_run, with what is bound; slow. Names live as long as the program. */
SN_MUST_CHECK SnStatus sn_run_watched(SnInstance *s, SnWatch *out, SnError *err);

/* ---- run.c calls these around a step, where an instance is watched ---- */
void sn_watch_before(SnInstance *s, uint32_t pc);
void sn_watch_after(SnInstance *s, const SnStepRow *step, uint32_t pc);

#endif
