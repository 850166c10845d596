/* slice_test.c -- runs in slices of half a millisecond: each ends, the bits are those of whole runs; how far
 * slices run over, and what they cost.
 *
 *   slice_test MODEL.so NCALL
 *
 * Times are printed, bits are asserted. The wall time of each slice is compared with that of an empty loop of
 * the same budget, run in alternation: what that runs over is the machine's doing. So is what happens while
 * the thread has lost its CPU: such slices and loops are counted apart. The cost is CPU time, the least of
 * each text. */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include "tests/embed/so/so.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BUDGET_NS = 500000, NTEXT = 8, MAX_WIDTH = 1024 };

static const char line[] =
    "The guard at the gate says that nobody may pass before sunrise, unless the old miller's daughter asks "
    "for it; the traveller offers him three silver coins, a loaf of bread and the story of how the "
    "bridge was lost. Far off, wolves howl. Rain begins to fall on the slate roofs of the village, and the "
    "lanterns go out one after another. \xE2\x80\x9CWho goes there?\xE2\x80\x9D cries a voice from the "
    "tower.";

typedef struct Calls {
    int64_t *over, *spin; /* ns by which a slice, a loop ran over the budget */
    size_t n, nspin;
    size_t nlost; /* slices whose thread lost its CPU: not in `over` */
} Calls;

static int64_t now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long switches(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_THREAD, &u);
    return u.ru_nivcsw;
}

static int64_t spin(void)
{
    const int64_t begin = now();
    while (now() - begin < BUDGET_NS) {
    }
    return now() - begin;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t quantile(const int64_t *sorted, size_t n, double q)
{
    const size_t i = (size_t)((double)n * q);
    return n ? sorted[i < n ? i : n - 1] : 0;
}

static void die(const So *so, const SnTyped *t, const char *what)
{
    fprintf(stderr, "slice_test: %s: %s\n", what, t ? so->error(t) : "");
    exit(1);
}

/* CPU time of the thread: slices never sleep. */
static int64_t cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* CPU time of a whole run. */
static int64_t run_whole(const So *so, SnTyped *t, size_t n, float *out)
{
    const int64_t begin = cpu();
    if (so->embed(t, line, n, out) != SN_OK)
        die(so, t, "embed");
    return cpu() - begin;
}

/* Puts a slice that used up its budget into c, and a loop of the same budget. */
static void count(Calls *c, int64_t wall, bool is_lost)
{
    const long before = switches();
    const int64_t loop = spin() - BUDGET_NS;
    if (is_lost)
        c->nlost++;
    else
        c->over[c->n++] = wall - BUDGET_NS;
    if (switches() == before)
        c->spin[c->nspin++] = loop;
}

/* CPU time of all slices of a run. */
static int64_t run_slices(const So *so, SnTyped *t, size_t n, float *out, Calls *c, size_t max)
{
    int64_t sum = 0;
    SnStatus st = SN_TYPED_AGAIN;
    if (so->begin(t, line, n) != SN_OK)
        die(so, t, "begin");
    while (st == SN_TYPED_AGAIN) {
        const long before = switches();
        const int64_t used = cpu(), begin = now();
        st = so->step(t, BUDGET_NS);
        const int64_t wall = now() - begin;
        sum += cpu() - used;
        if (st == SN_TYPED_AGAIN && c->n + c->nlost < max)
            count(c, wall, switches() != before);
    }
    if (st != SN_OK || so->vector(t, out) != SN_OK)
        die(so, t, "step");
    return sum;
}

static void report(Calls *c, double cost)
{
    static const double q[] = {0.5, 0.99, 0.999, 1};
    printf("%zu slices of %d us, and %zu whose thread lost its CPU; over by, in us:\n", c->n,
           BUDGET_NS / 1000, c->nlost);
    qsort(c->over, c->n, sizeof *c->over, compare);
    qsort(c->spin, c->nspin, sizeof *c->spin, compare);
    for (size_t i = 0; i < sizeof q / sizeof *q; i++) {
        const int64_t slice = quantile(c->over, c->n, q[i]), loop = quantile(c->spin, c->nspin, q[i]);
        printf("  p%-5g slice %8.1f  empty loop %8.1f  difference %8.1f\n", 100 * q[i], (double)slice / 1000,
               (double)loop / 1000, (double)(slice - loop) / 1000);
    }
    printf("cost %.3f of whole runs\n", cost);
}

/* The least time of each text: slices against whole. */
static double cost_of(int64_t best[NTEXT][2])
{
    double whole = 0, sliced = 0;
    for (size_t i = 0; i < NTEXT; i++) {
        whole += (double)best[i][0];
        sliced += (double)best[i][1];
    }
    return sliced / whole;
}

static void keep_least(int64_t *least, int64_t t)
{
    *least = *least == 0 || t < *least ? t : *least;
}

/* Are the bits equal? */
static bool measure(const So *so, SnTyped *t, Calls *c, size_t max)
{
    static float want[NTEXT][MAX_WIDTH], got[MAX_WIDTH];
    int64_t best[NTEXT][2] = {{0}};
    const size_t size = so->desc->width * sizeof *got;
    size_t wrong = 0, nrun = 0;
    for (; c->n + c->nlost < max && nrun < max; nrun++) {
        const size_t i = nrun % NTEXT, n = sizeof line * (i + 1) / NTEXT - 1;
        keep_least(&best[i][0], run_whole(so, t, n, nrun < NTEXT ? want[i] : got));
        wrong += nrun >= NTEXT && memcmp(got, want[i], size) != 0;
        keep_least(&best[i][1], run_slices(so, t, n, got, c, max));
        wrong += memcmp(got, want[i], size) != 0;
    }
    report(c, cost_of(best));
    printf("%zu runs, %zu with other bits\n", nrun, wrong);
    return wrong == 0 && nrun >= NTEXT;
}

int main(int argc, char **argv)
{
    const size_t max = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (argc != 3 || max == 0)
        return 2;
    So so = so_open(argv[1]);
    Calls c = {.over = calloc(max, sizeof(int64_t)), .spin = calloc(max, sizeof(int64_t))};
    SnTyped *t = NULL;
    if (!c.over || !c.spin || so.desc->width > MAX_WIDTH || so.create(NULL, &t) != SN_OK)
        die(&so, NULL, "no context");
    const bool is_right = measure(&so, t, &c, max);
    so.destroy(t);
    so_close(&so);
    free(c.over);
    free(c.spin);
    return is_right ? 0 : 1;
}
