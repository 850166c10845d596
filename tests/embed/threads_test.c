/* threads_test.c -- two instances of one program on two threads, and runs over a pool: the same bits as one
 * thread alone. Meant for -Db_sanitize=thread. */
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <pthread.h>

enum { NRUN = 20 };

typedef struct Worker {
    pthread_t thread;
    SnInstance *s;
    EmbedInput in;
    EmbedOutput out[NRUN];
    SnStatus status;
    SnError err;
    bool sliced;
} Worker;

static SnStatus work(Worker *w)
{
    for (int i = 0; i < NRUN; i++) {
        bool done = false;
        embed_fill(&w->in, (uint32_t)i);
        SN_TRY(embed_bind(w->s, &w->in, &w->err));
        while (!done)
            SN_TRY(sn_run_some(w->s, w->sliced ? 20000 : 0, &done, &w->err));
        SN_TRY(embed_output(w->s, &w->out[i], &w->err));
    }
    return SN_OK;
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
    SnError err;
    for (int i = 0; i < n; i++) {
        w[i] = (Worker){.sliced = i % 2 == 1};
        assert_ok(sn_instance_create(p, NULL, &w[i].s, &err));
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_create(&w[i].thread, NULL, start, &w[i]), 0);
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    for (int i = 0; i < n; i++) {
        sn_instance_destroy(w[i].s);
        if (w[i].status != SN_OK)
            fail_msg("%s: %s", sn_status_name(w[i].status), w[i].err.message);
        if (want)
            assert_memory_equal(w[i].out, want->out, sizeof want->out);
    }
}

static void instances_on_threads_give_equal_bits(const char *target)
{
    static Worker one[1], two[2];
    for (uint32_t width = 1; width <= 3; width++) {
        SnError err;
        SnPool *pool = NULL;
        SnContext *ctx = NULL;
        SnCompiler *cc = NULL;
        SnGraph *g = NULL;
        SnProgram *p = NULL;
        SnContextDesc d = {.struct_size = sizeof d};
        const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
        const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
        if (width > 1) {
            assert_ok(sn_pool_create(width, &pool, &err));
            d.jobs = sn_pool_jobs(pool);
        }
        assert_ok(sn_context_create(&d, &ctx, &err));
        assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
        assert_ok(sn_graph_create(cc, &g, &err));
        embed_graph(g);
        assert_ok(sn_compile(cc, g, &o, &p, &err));
        sn_graph_destroy(g);
        if (width == 1)
            run_workers(p, one, 1, NULL);
        run_workers(p, two, 2, one);
        sn_program_release(p);
        sn_compiler_destroy(cc);
        sn_context_destroy(ctx);
        sn_pool_destroy(pool);
    }
}

static void interp_instances_on_threads_give_equal_bits(void **state)
{
    (void)state;
    instances_on_threads_give_equal_bits("interp");
}

#ifdef SN_TEST_LLVM
static void native_instances_on_threads_give_equal_bits(void **state)
{
    (void)state;
    instances_on_threads_give_equal_bits("cpu");
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
