/* no_alloc_test.c -- runs at shapes that were planned allocate nothing: malloc and its kin, mmap, brk and
 * sbrk are counted while a program runs thousands of times; slices give the bits of whole runs.
 *
 * Without sanitizers the functions are replaced by ours, which count and pass on to glibc; with them, the
 * sanitizer's hooks tell of each allocation. */
#define _GNU_SOURCE
#include "frontends/model.h"
#include "frontends/tasks/text.h"
#include "tests/embed/embed_model.h"
#include "tests/unit/unit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

static atomic_bool armed;
static atomic_uint ncall;

static void note(void)
{
    if (atomic_load_explicit(&armed, memory_order_relaxed))
        atomic_fetch_add_explicit(&ncall, 1, memory_order_relaxed);
}

#if HAS_SANITIZER
/* Of sanitizer/allocator_interface.h, which compilers do not always bring. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void on_malloc(const volatile void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
    note();
}

static void on_free(const volatile void *ptr)
{
    (void)ptr;
    note();
}

static bool begin_counting(void)
{
    return __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
}

enum { NRUN = 1000 };
#elif defined(__GLIBC__)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *ptr);

SN_API void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

SN_API void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}

SN_API void *realloc(void *ptr, size_t size)
{
    note();
    return __libc_realloc(ptr, size);
}

SN_API void free(void *ptr)
{
    note();
    __libc_free(ptr);
}

SN_API void *aligned_alloc(size_t align, size_t size)
{
    note();
    return __libc_memalign(align, size);
}

SN_API int posix_memalign(void **out, size_t align, size_t size)
{
    note();
    *out = __libc_memalign(align, size);
    return *out ? 0 : 12;
}

SN_API void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    note();
    /* The system call gives a pointer as a number. */
    return (void *)(uintptr_t)syscall(SYS_mmap, at, size, prot, flags, fd, offset);
}

SN_API int munmap(void *at, size_t size)
{
    note();
    return (int)syscall(SYS_munmap, at, size);
}

/* Nobody is expected to call these two: a call is counted and refused. */
SN_API int brk(void *end)
{
    (void)end;
    note();
    return -1;
}

SN_API void *sbrk(intptr_t more)
{
    (void)more;
    note();
    return (void *)(uintptr_t)-1;
}

static bool begin_counting(void)
{
    return true;
}

enum { NRUN = 10000 };
#else
static bool begin_counting(void)
{
    return false;
}

enum { NRUN = 0 };
#endif

/* Do calls from the library arrive here? */
static void calls_are_counted(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    atomic_store(&armed, true);
    const SnStatus st = sn_context_create(NULL, &ctx, &err);
    sn_context_destroy(ctx);
    atomic_store(&armed, false);
    assert_ok(st);
    assert_int_equal(atomic_exchange(&ncall, 0), 2);
}

/* ---- runs ---- */

typedef struct Host {
    SnPool *pool;
    SnContext *ctx;
    SnCompiler *cc;
} Host;

static Host host_create(uint32_t threads)
{
    Host h = {0};
    SnError err;
    SnContextDesc d = {.struct_size = sizeof d};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    if (threads > 1) {
        assert_ok(sn_pool_create(threads, &h.pool, &err));
        d.jobs = sn_pool_jobs(h.pool);
    }
    assert_ok(sn_context_create(&d, &h.ctx, &err));
    assert_ok(sn_compiler_create(h.ctx, &cd, &h.cc, &err));
    return h;
}

static void host_destroy(Host *h)
{
    sn_compiler_destroy(h->cc);
    sn_context_destroy(h->ctx);
    sn_pool_destroy(h->pool);
}

/* The first run may allocate; those after it, each with its binds and results, may not. */
typedef SnStatus Round(SnInstance *s, void *user, SnError *err);

static void run_many(SnInstance *s, Round *round, void *user, int n)
{
    SnError err;
    SnStatus st = SN_OK;
    assert_ok(round(s, user, &err));
    atomic_store(&ncall, 0);
    atomic_store(&armed, true);
    for (int i = 0; st == SN_OK && i < n; i++)
        st = round(s, user, &err);
    atomic_store(&armed, false);
    if (st != SN_OK)
        fail_msg("%s: %s", sn_status_name(st), err.message);
    assert_int_equal(atomic_load(&ncall), 0);
}

typedef struct Small {
    EmbedInput in;
    EmbedOutput whole, got;
    uint64_t budget_ns;
    uint64_t nslice;
} Small;

static SnStatus small_round(SnInstance *s, void *user, SnError *err)
{
    Small *t = user;
    bool done = false;
    SN_TRY(sn_reset(s, err));
    SN_TRY(embed_bind(s, &t->in, err));
    if (t->budget_ns == 0)
        SN_TRY(sn_run(s, err));
    for (; t->budget_ns && !done; t->nslice++)
        SN_TRY(sn_run_some(s, t->budget_ns, &done, err));
    SN_TRY(embed_output(s, &t->got, err));
    SN_CHECK(memcmp(&t->got, &t->whole, sizeof t->got) == 0, err, SN_EINTERNAL, "a run gives other bits");
    return SN_OK;
}

static void small_program(const char *target, uint32_t threads, int n)
{
    static Small t;
    static const uint64_t budgets[] = {20000, 100000, 1000000, 5000000};
    Host h = host_create(threads);
    SnError err;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
    assert_ok(sn_graph_create(h.cc, &g, &err));
    embed_graph(g);
    assert_ok(sn_compile(h.cc, g, &o, &p, &err));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    t = (Small){0};
    embed_fill(&t.in, 5);
    assert_ok(embed_bind(s, &t.in, &err));
    assert_ok(sn_run(s, &err));
    assert_ok(embed_output(s, &t.whole, &err));
    run_many(s, small_round, &t, n);
    for (size_t i = 0; i < SN_COUNT(budgets); i++) {
        t.budget_ns = budgets[i];
        run_many(s, small_round, &t, n / 20);
    }
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    host_destroy(&h);
}

/* Text to vectors: tokenizer, transformer, pooling in one program; two shapes by turns. */
typedef struct Texts {
    SnView view[2];
    uint32_t turn;
} Texts;

static SnStatus text_round(SnInstance *s, void *user, SnError *err)
{
    Texts *t = user;
    SnView v;
    const SnView *text = &t->view[t->turn++ % 2];
    SN_TRY(sn_bind(s, "text", text, err));
    SN_TRY(sn_run(s, err));
    SN_TRY(sn_result(s, "embeddings", &v, err));
    SN_CHECK(v.dims[0] == text->dims[0], err, SN_EINTERNAL, "rows of another run");
    return SN_OK;
}

static void text_program(const char *target, uint32_t threads, int n)
{
    Host h = host_create(threads);
    SnError err;
    char folder[64];
    SnModel *m = NULL;
    SnResults *r = NULL;
    SnArena arena;
    Texts text = {.turn = 0};
    const SnBytes texts[] = {sn_bytes_str("Hello world, a 12.5"), sn_bytes_str("don't [PAD] x"),
                             sn_bytes_str("a"), sn_bytes_str("b")};
    const SnModelOptions o = {.struct_size = sizeof o, .device = target};
    assert_ok(embed_model_create(h.ctx, folder, &err));
    assert_ok(sn_model_open(h.cc, folder, &o, &m, &err));
    assert_ok(sn_model_embed(m, texts, 2, &r, &err));
    sn_arena_init(&arena, sn_allocator(h.ctx));
    assert_ok(sn_text_view(&arena, texts, 2, &text.view[0], &err));
    assert_ok(sn_text_view(&arena, texts + 1, 3, &text.view[1], &err));
    assert_int_equal(m->program.n, 1);
    assert_ok(text_round(m->program.at[0]->instance, &text, &err));
    run_many(m->program.at[0]->instance, text_round, &text, n);
    sn_arena_clear(&arena);
    sn_results_destroy(r);
    sn_model_close(m);
    embed_folder_remove(folder);
    host_destroy(&h);
}

/* Calls of a model allocate their results, but what the model holds does not grow. */
static SnStatus call_all(SnModel *m, SnError *err)
{
    static int64_t ids[3] = {2, 5, 3};
    const SnBytes text[] = {sn_bytes_str("Hello world, a 12.5"), sn_bytes_str("don't [PAD] x")};
    const SnNamedTensor in = {"input_ids", sn_view(SN_I64, ids, 2, (int64_t[]){1, 3})};
    SnResults *r[3] = {NULL};
    SnEncoding *e = NULL;
    SnArena arena;
    SnText back = {.memory = sn_allocator(m->ctx)};
    sn_arena_init(&arena, sn_allocator(m->ctx));
    SnStatus st = sn_model_tokenize(m, text, NULL, 2, NULL, &arena, &e, err);
    if (st == SN_OK)
        st = sn_model_decode(m, ids, 3, false, &back, err);
    if (st == SN_OK)
        st = sn_model_embed(m, text, 2, &r[0], err);
    if (st == SN_OK)
        st = sn_model_similarity(m, &sn_results_get(r[0], 0)->view, &r[1], err);
    if (st == SN_OK)
        st = sn_model_forward(m, &in, 1, NULL, 0, &r[2], err);
    for (int i = 0; i < 3; i++)
        sn_results_destroy(r[i]);
    sn_text_clear(&back);
    sn_arena_clear(&arena);
    return st;
}

static void repeated_calls_keep_no_memory(void **state)
{
    (void)state;
    EmbedMemory memory = {0};
    SnError err;
    char folder[64];
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnModel *m = NULL;
    const SnContextDesc d = {.struct_size = sizeof d, .memory = embed_allocator(&memory)};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnModelOptions o = {.struct_size = sizeof o, .device = "interp"};
    assert_ok(sn_context_create(&d, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    assert_ok(embed_model_create(ctx, folder, &err));
    assert_ok(sn_model_open(cc, folder, &o, &m, &err));
    assert_ok(call_all(m, &err));
    const uint64_t bytes = memory.bytes;
    for (int i = 0; i < 300; i++)
        assert_ok(call_all(m, &err));
    assert_int_equal(memory.bytes, bytes);
    sn_model_close(m);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    assert_int_equal(memory.bytes, 0);
    embed_folder_remove(folder);
}

static void interp_runs_allocate_nothing(void **state)
{
    (void)state;
    small_program("interp", 1, NRUN);
    text_program("interp", 1, NRUN / 10);
}

static void pool_runs_allocate_nothing(void **state)
{
    (void)state;
    small_program("interp", 2, NRUN / 10);
}

#ifdef SN_TEST_LLVM
static void native_runs_allocate_nothing(void **state)
{
    (void)state;
    small_program("cpu", 1, NRUN);
    text_program("cpu", 1, NRUN);
}

static void native_pool_runs_allocate_nothing(void **state)
{
    (void)state;
    small_program("cpu", 2, NRUN);
    text_program("cpu", 2, NRUN / 10);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_counted),
        cmocka_unit_test(repeated_calls_keep_no_memory),
        cmocka_unit_test(interp_runs_allocate_nothing),
        cmocka_unit_test(pool_runs_allocate_nothing),
#ifdef SN_TEST_LLVM
        cmocka_unit_test(native_runs_allocate_nothing),
        cmocka_unit_test(native_pool_runs_allocate_nothing),
#endif
    };
    return begin_counting() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
