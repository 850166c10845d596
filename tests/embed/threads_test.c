/* threads_test.c -- two instances of one program on two threads, and runs over a pool or jobs of the host:
 * the same bits as one thread alone. Meant for -Db_sanitize=thread. */
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <pthread.h>

enum { NRUN = 20 };

typedef struct Worker {
    pthread_t thread;
    SnProgram *p;
    EmbedInput in;
    EmbedOutput out[NRUN];
    SnStatus status;
    SnError err;
    bool sliced;
} Worker;

/* An instance learns which steps are not worth sharing: a new one shares them all again. */
static SnStatus work(Worker *w)
{
    SnInstance *s = NULL;
    SnStatus st = SN_OK;
    for (int i = 0; i < NRUN && st == SN_OK; i++) {
        bool done = false;
        if (i % 4 == 0) {
            sn_instance_destroy(s);
            s = NULL;
            SN_TRY(sn_instance_create(w->p, NULL, &s, &w->err));
        }
        embed_fill(&w->in, (uint32_t)i);
        st = embed_bind(s, &w->in, &w->err);
        while (st == SN_OK && !done)
            st = sn_run_some(s, w->sliced ? 20000 : 0, &done, &w->err);
        if (st == SN_OK)
            st = embed_output(s, &w->out[i], &w->err);
    }
    sn_instance_destroy(s);
    return st;
}

static void *start(void *arg)
{
    Worker *w = arg;
    w->status = work(w);
    return NULL;
}

/* Instances share the program, its context and its pool. */
static void run_workers(SnProgram *p, Worker *w, int n, const Worker *want)
{
    for (int i = 0; i < n; i++)
        w[i] = (Worker){.p = p, .sliced = i % 2 == 1};
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, start, &w[i]), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    for (int i = 0; i < n; i++) {
        if (w[i].status != SN_OK)
            fail_msg("%s: %s", sn_status_name(w[i].status), w[i].err.message);
        if (want)
            assert_memory_equal(w[i].out, want->out, sizeof want->out);
    }
}

static void compile_and_run(const char *target, SnJobs jobs, Worker *w, int n, const Worker *want)
{
    SnError err;
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    const SnContextDesc d = {.struct_size = sizeof d, .jobs = jobs};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
    assert_ok(sn_context_create(&d, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    assert_ok(sn_graph_create(cc, &g, &err));
    embed_graph(g);
    assert_ok(sn_compile(cc, g, &o, &p, &err));
    sn_graph_destroy(g);
    run_workers(p, w, n, want);
    sn_program_release(p);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

/* A host's own jobs: one thread, any order. */
static void shuffled_parallel(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg)
{
    uint32_t order[16] = {0}, *seed = self;
    assert_in_range(count, 1, SN_COUNT(order));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t k = (*seed = *seed * 1664525u + 1013904223u) / 65536 % (i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    for (uint32_t i = 0; i < count; i++)
        fn(arg, order[i]);
}

static void equal_bits_on(const char *target)
{
    static Worker alone[1], w[2];
    uint32_t seed = 1;
    SnError err;
    compile_and_run(target, (SnJobs){0}, alone, 1, NULL);
    compile_and_run(target, (SnJobs){0}, w, 2, alone);
    compile_and_run(target, (SnJobs){&seed, 7, shuffled_parallel}, w, 1, alone);
    for (uint32_t width = 2; width <= 3; width++) {
        SnPool *pool = NULL;
        assert_ok(sn_pool_create(width, &pool, &err));
        compile_and_run(target, sn_pool_jobs(pool), w, 2, alone);
        sn_pool_destroy(pool);
    }
}

static void interp_instances_on_threads_give_equal_bits(void **state)
{
    (void)state;
    equal_bits_on("interp");
}

#ifdef SN_TEST_LLVM
static void native_instances_on_threads_give_equal_bits(void **state)
{
    (void)state;
    equal_bits_on("cpu");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interp_instances_on_threads_give_equal_bits),
#ifdef SN_TEST_LLVM
        cmocka_unit_test(native_instances_on_threads_give_equal_bits),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
