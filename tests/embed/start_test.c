/* start_test.c -- what a start compiles: as much for 12 layers as for 2, and nothing where the cache has it.
 * Slices of a model's run give the bits of the whole run, whatever the budget. */
#include "frontends/model.h"
#include "frontends/tasks/text.h"
#include "runtime/program.h"
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { NTEXT = 96, WIDTH = 4 };

typedef struct Start {
    SnPool *pool;
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *m;
    SnBytes text[NTEXT];
} Start;

static Start start(const char *folder, const char *target, const char *cache, uint32_t threads)
{
    static const char *const texts[] = {"hello world a b 12.5", "don't x", "a", "c d a b hello world 1 2"};
    Start s = {.m = NULL};
    SnError err;
    SnContextDesc d = {.struct_size = sizeof d, .cache_dir = cache};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnModelOptions o = {.struct_size = sizeof o, .device = target};
    if (threads > 1) {
        assert_ok(sn_pool_create(threads, &s.pool, &err));
        d.jobs = sn_pool_jobs(s.pool);
    }
    assert_ok(sn_context_create(&d, &s.ctx, &err));
    assert_ok(sn_compiler_create(s.ctx, &cd, &s.cc, &err));
    assert_ok(sn_model_open(s.cc, folder, &o, &s.m, &err));
    for (size_t i = 0; i < NTEXT; i++)
        s.text[i] = sn_bytes_str(texts[i % SN_COUNT(texts)]);
    return s;
}

static void stop(Start *s)
{
    sn_model_close(s->m);
    sn_compiler_destroy(s->cc);
    sn_context_destroy(s->ctx);
    sn_pool_destroy(s->pool);
}

static const SnProgram *embed(Start *s, float out[WIDTH])
{
    SnError err;
    SnResults *r = NULL;
    assert_ok(sn_model_embed(s->m, s->text, 1, &r, &err));
    memcpy(out, sn_results_get(r, 0)->view.data, WIDTH * sizeof *out);
    sn_results_destroy(r);
    assert_int_equal(s->m->program.n, 1);
    return s->m->program.at[0]->program;
}

static void make_folder(int layers, char folder[64])
{
    SnError err;
    SnContext *ctx = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(embed_layers_create(ctx, layers, folder, &err));
    sn_context_destroy(ctx);
}

/* ---- what is compiled ---- */

/* Kernels of the program for that many layers, and how many blobs its first start leaves in the cache. */
static uint32_t count_kernels(const char *target, int layers, uint32_t *nblob)
{
    char folder[64], cache[80];
    float first[WIDTH], second[WIDTH];
    make_folder(layers, folder);
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    uint32_t nkernel = 0, count[2] = {0};
    for (int round = 0; round < 2; round++) {
        Start s = start(folder, target, cache, 1);
        const SnProgram *p = embed(&s, round == 0 ? first : second);
        nkernel = p->image->kernel.count;
        if (p->fn != NULL) {
            assert_int_equal(p->module->nkernel, nkernel);
            assert_int_equal(p->module->ncached, round == 0 ? 0 : nkernel);
        }
        stop(&s);
        DIR *d = opendir(cache);
        assert_non_null(d);
        for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
            count[round] += e->d_name[0] != '.';
        closedir(d);
    }
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(first, second, sizeof first);
    embed_folder_remove(folder);
    *nblob = count[0];
    return nkernel;
}

static void layers_share_kernels_on(const char *target)
{
    uint32_t two = 0, twelve = 0;
    const uint32_t nkernel = count_kernels(target, 2, &two);
    assert_int_equal(count_kernels(target, 12, &twelve), nkernel);
    assert_int_equal(two, twelve);
    assert_in_range(nkernel, 10, 60);
}

static void layers_share_kernels(void **state)
{
    (void)state;
    layers_share_kernels_on("interp");
#ifdef SN_TEST_LLVM
    layers_share_kernels_on("cpu");
#endif
}

/* ---- slices ---- */

typedef struct Run {
    SnInstance *s;
    SnArena arena;
    size_t size; /* of a result */
    const void *got;
} Run;

static void run_slices(Run *r, uint64_t budget_ns, uint32_t *nslice)
{
    SnError err;
    SnView v;
    bool done = false;
    for (*nslice = 0; !done; ++*nslice)
        assert_ok(sn_run_some(r->s, budget_ns, &done, &err));
    assert_ok(sn_result(r->s, "embeddings", &v, &err));
    assert_int_equal(v.dims[0] * v.dims[1] * (int64_t)sizeof(float), r->size);
    r->got = v.data;
}

static void slices_give_equal_bits(const char *target, uint32_t threads, size_t ntext)
{
    static const uint64_t budgets_us[] = {20, 35, 50, 100, 200, 350, 500, 1000, 2000, 5000};
    static float want[NTEXT * WIDTH];
    char folder[64];
    float one[WIDTH];
    SnError err;
    SnView text;
    Run r = {.size = ntext * WIDTH * sizeof *want};
    uint32_t nslice = 0;
    make_folder(4, folder);
    Start s = start(folder, target, NULL, threads);
    (void)embed(&s, one);
    r.s = s.m->program.at[0]->instance;
    sn_arena_init(&r.arena, sn_allocator(s.ctx));
    assert_ok(sn_text_view(&r.arena, s.text, ntext, &text, &err));
    assert_ok(sn_bind(r.s, "text", &text, &err));
    run_slices(&r, 0, &nslice);
    assert_int_equal(nslice, 1);
    memcpy(want, r.got, r.size);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < SN_COUNT(budgets_us); i++) {
            run_slices(&r, budgets_us[i] * 1000, &nslice);
            assert_memory_equal(r.got, want, r.size);
            assert_true(nslice > 1 || i > 0);
        }
    sn_arena_clear(&r.arena);
    stop(&s);
    embed_folder_remove(folder);
}

static void slices_of_a_model_give_equal_bits(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 2; threads++) {
        slices_give_equal_bits("interp", threads, 8);
#ifdef SN_TEST_LLVM
        slices_give_equal_bits("cpu", threads, NTEXT);
#endif
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_share_kernels),
        cmocka_unit_test(slices_of_a_model_give_equal_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
