/* What a shape takes, said beforehand, against what instances really allocate through a counting host. */
#include "tests/unit/unit.h"

#include "ops/ops.h"

#include <stdlib.h>

typedef struct Host { /* counts what is held */
    size_t held, peak;
} Host;

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Host *h = self;
    h->held += new_size;
    h->peak = h->held > h->peak ? h->held : h->peak;
    h->held -= old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    const size_t least = align < sizeof(void *) ? sizeof(void *) : align;
    void *to = aligned_alloc(least, (new_size + least - 1) / least * least);
    if (to && ptr)
        memcpy(to, ptr, old_size < new_size ? old_size : new_size);
    if (to)
        free(ptr);
    return to;
}

typedef struct Rig {
    Host host;
    SnContext *ctx;
    SnCompiler *cc;
    SnProgram *p;
} Rig;

/* softmax(gelu(x w) (x w)^T), a count carried from run to run, and the sum of the rows that are positive, as
 * many as are measured. */
static void fill(SnGraph *g)
{
    const SnValue n = sn_symbol(g, "n", 1, 4096), m = sn_symbol(g, "m", 1, 4096);
    const SnValue pages = sn_symbol_at_create(g, "pages", 1, 1024);
    const SnValue x = sn_input(g, "x", SN_F32, 2, (SnValue[]){n, m});
    const SnValue w = sn_input(g, "w", SN_F32, 2, (SnValue[]){m, sn_const_int(g, SN_I64, 96)});
    const SnValue h = sn_contract(g, "nm,mk->nk", x, w, SN_F32);
    sn_output(g, "y", sn_softmax(g, sn_contract(g, "nk,mk->nm", sn_gelu(g, h), h, SN_F32), -1));
    const SnValue state =
        sn_carry(g, "state", sn_broadcast(g, sn_const(g, SN_F32, 0), 1, (SnValue[]){pages}));
    sn_next(g, state, sn_add(g, state, sn_const(g, SN_F32, 1)));
    const SnValue sum = sn_reduce(g, "add", x, 1, (const int[]){1}, false);
    const SnValue is_kept = sn_lt(g, sn_const(g, SN_F32, 0), sum);
    const SnValue count =
        sn_measure(g, sn_reduce(g, "add", sn_cast(g, is_kept, SN_I64), 1, (const int[]){0}, false), n);
    const SnValue kept = sn_compact(g, x, is_kept, count);
    sn_output(g, "rows", sn_add(g, kept, kept));
}

static void rig_open(Rig *r)
{
    SnError err;
    SnGraph *g = NULL;
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {&r->host, resize}};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    assert_ok(sn_context_create(&desc, &r->ctx, &err));
    assert_ok(sn_compiler_create(r->ctx, &cd, &r->cc, &err));
    assert_ok(sn_graph_create(r->cc, &g, &err));
    fill(g);
    assert_ok(sn_compile(r->cc, g, &o, &r->p, &err));
    sn_graph_destroy(g);
}

static void rig_close(Rig *r)
{
    sn_program_release(r->p);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    assert_int_equal(r->host.held, 0);
}

/* Bytes that a new instance holds after a run at the shape, and what it says of itself. */
static size_t bytes_of_run(Rig *r, int64_t n, int64_t m, int64_t pages, SnMemoryUse *use)
{
    SnError err;
    SnInstance *s = NULL;
    float *data = calloc((size_t)(n * m + m * 96), sizeof *data);
    assert_non_null(data);
    const SnView x = sn_view(SN_F32, data, 2, (int64_t[]){n, m}),
                 w = sn_view(SN_F32, data + n * m, 2, (int64_t[]){m, 96});
    const size_t before = r->host.held;
    const SnInstanceDesc d = {.struct_size = sizeof d, .ndim = 1, .dim = {{"pages", pages}}};
    for (int64_t i = 0; i < n * m; i++)
        data[i] = 1;
    assert_ok(sn_instance_create(r->p, &d, &s, &err));
    assert_ok(sn_bind(s, "x", &x, &err));
    assert_ok(sn_bind(s, "w", &w, &err));
    assert_ok(sn_run(s, &err));
    const size_t held = r->host.held - before;
    sn_instance_memory(s, use);
    sn_instance_destroy(s);
    free(data);
    assert_int_equal(r->host.held, before);
    return held;
}

static uint64_t total(const SnMemoryUse *u)
{
    return u->scratch_bytes + u->state_bytes + u->table_bytes;
}

static void plan_predicts_what_instances_allocate(void **state)
{
    (void)state;
    static const struct {
        int64_t n, m, pages;
        const char *shape;
    } row[] = {{3, 5, 1, "n=3,m=5,pages=1"},
               {64, 300, 7, "m=300,n=64,pages=7"},
               {100, 1000, 1000, "n=100,m=1000,pages=1000"},
               {301, 64, 1000, "pages=1000,n=301,m=64"}};
    SnError err;
    Rig r = {0};
    rig_open(&r);
    SnMemoryUse planned[SN_COUNT(row)], used[SN_COUNT(row)];
    size_t held[SN_COUNT(row)];
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        const size_t before = r.host.held;
        r.host.peak = before;
        assert_ok(sn_program_plan(r.p, NULL, row[i].shape, &planned[i], &err));
        assert_int_equal(r.host.held, before);
        assert_true(r.host.peak - before <= planned[i].table_bytes);
        held[i] = bytes_of_run(&r, row[i].n, row[i].m, row[i].pages, &used[i]);
        assert_int_equal(planned[i].steps, used[i].steps);
        assert_int_equal(planned[i].state_bytes, used[i].state_bytes);
        assert_int_equal(planned[i].table_bytes, used[i].table_bytes);
        assert_int_equal(planned[i].scratch_bytes, used[i].scratch_bytes);
    }
    for (size_t i = 1; i < SN_COUNT(row); i++) {
        const double grew = (double)held[i] - (double)held[i - 1];
        const double said = (double)total(&planned[i]) - (double)total(&planned[i - 1]);
        assert_true(said >= grew - 0.02 * (grew < 0 ? -grew : grew));
        assert_true(said <= grew + 0.02 * (grew < 0 ? -grew : grew));
    }
    rig_close(&r);
}

static void plan_says_what_is_wrong(void **state)
{
    (void)state;
    SnError err;
    SnMemoryUse use = {.steps = 77};
    Rig r = {0};
    rig_open(&r);
    static const char *const missing[] = {"", "n=3", "n=3,m=4", "n=3,m", "n=3,m=4,pages=x"};
    for (size_t i = 0; i < SN_COUNT(missing); i++)
        assert_fails(SN_EINVAL, sn_program_plan(r.p, NULL, missing[i], &use, &err));
    assert_fails(SN_ESHAPE, sn_program_plan(r.p, NULL, "n=5000,m=4,pages=1", &use, &err));
    assert_fails(SN_ESHAPE, sn_program_plan(r.p, NULL, "n=5,m=4,pages=0", &use, &err));
    assert_fails(SN_EINVAL, sn_program_plan(r.p, "other", "n=5,m=4,pages=1", &use, &err));
    assert_int_equal(use.steps, 77);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_predicts_what_instances_allocate),
        cmocka_unit_test(plan_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
