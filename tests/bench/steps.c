/* steps.c -- see steps.h. */
#include "tests/bench/steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MOST_NAMES 128

typedef struct Total {
    Step all;
    uint64_t count;
} Total;

void steps_event(void *self, const SnTraceEvent *e)
{
    Steps *b = self;
    if (!b->is_on || b->at == STEPS_MOST)
        return;
    Step *s = &b->step[b->at++];
    const uint64_t ns = e->end_ns - e->begin_ns;
    if (b->at > b->n) {
        b->n = b->at;
        *s = (Step){e->name, UINT64_MAX, e->bytes, e->flops, e->tiles};
    }
    s->ns = ns < s->ns ? ns : s->ns;
}

void steps_begin(Steps *s)
{
    s->is_on = true;
    s->n = 0;
}

void steps_next(Steps *s)
{
    s->at = 0;
}

static bool are_alike(const Step *a, const Step *b)
{
    return strcmp(a->name, b->name) == 0 && a->bytes == b->bytes && a->flops == b->flops &&
           a->tiles == b->tiles;
}

void steps_print(const Steps *s, double gflops)
{
    Total total[MOST_NAMES];
    size_t n = 0;
    uint64_t all = 0;
    for (size_t k = 0; k < s->n; k++) {
        size_t i = 0;
        while (i < n && !are_alike(&total[i].all, &s->step[k]))
            i++;
        all += s->step[k].ns;
        if (i == MOST_NAMES)
            continue;
        if (i == n) {
            total[n++] = (Total){.all = s->step[k]};
            total[i].all.ns = 0;
        }
        total[i].all.ns += s->step[k].ns;
        total[i].count++;
    }
    for (size_t i = 0; i < n; i++) {
        const double ns = (double)total[i].all.ns, count = (double)total[i].count;
        const double rate = (double)total[i].all.flops * count / ns;
        printf("  %-44s %4" PRIu64 " x %9.1f us %9.3f ms %6.1f GB/s %6.1f GF/s %3.0f %%\n", total[i].all.name,
               total[i].count, ns / 1e3 / count, ns / 1e6, (double)total[i].all.bytes * count / ns, rate,
               100 * rate / gflops);
    }
    printf("  least of each step: %.3f ms\n", (double)all / 1e6);
}
