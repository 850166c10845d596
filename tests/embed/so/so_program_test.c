/* so_program_test.c -- programs from shared objects in this runtime, which sanitizers see into: every request
 * for memory, every call on files and every thread made to fail in turn; a newer file in the middle of a
 * game; instances on threads at once. Meant for -Db_sanitize=address and thread.
 *
 * The linker puts the __wrap functions below in place of those of the system. */
#include "tests/embed/embed_model.h"
#include "tests/embed/so/so.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { WIDTH = 4, NTEXT = 3, NAT_ONCE = 2 };

static const char *const texts[NTEXT] = {"hello world a b 12.5", "don't x", ""};
static struct {
    Scratch dir;
    SnContext *ctx;
    SnCompiler *cc;
    char model[256], beside[256], weights[256], high[256], counter[256], newer[256], other[256],
        current[256]; /* paths */
    float want[NTEXT][WIDTH];
} t;
static SnError err;

/* ---- files ---- */

/* total += by * sum(x); the other layout has a second carry. */
static void emit_counter(const char *path, double by, bool is_other)
{
    SnGraph *g = NULL;
    const SnTask task = {.kind = SN_TYPED_TENSORS, .shape = "n=4"};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu", .levels = "v3", .task = &task};
    assert_ok(sn_graph_create(t.cc, &g, &err));
    const SnValue n = sn_symbol(g, "n", 1, 64), x = sn_input(g, "x", SN_F32, 1, &n);
    const SnValue sum = sn_reduce(g, "add", x, 1, (const int[]){0}, false);
    const SnValue total = sn_carry(g, "total", sn_const(g, SN_F32, 0));
    const SnValue next = sn_add(g, total, sn_mul(g, sum, sn_const(g, SN_F32, by)));
    sn_next(g, total, next);
    if (is_other) {
        const SnValue last = sn_carry(g, "last", sn_const(g, SN_F32, 0));
        sn_next(g, last, sum);
        sn_output(g, "last", last);
    }
    sn_output(g, "total", next);
    assert_ok(sn_emit(t.cc, g, &o, path, &err));
    sn_graph_destroy(g);
}

static void emit_model(SnModel *m, const char *path, const char *levels, bool is_beside)
{
    const SnEmitOptions o = {
        .struct_size = sizeof o, .levels = levels, .weights_beside = is_beside, .max_text = 100};
    assert_ok(sn_model_emit(m, "embed", &o, path, &err));
}

static void expect(SnModel *m)
{
    for (size_t i = 0; i < NTEXT; i++) {
        const SnBytes text = sn_bytes_str(texts[i]);
        SnResults *r = NULL;
        assert_ok(sn_model_embed(m, &text, 1, &r, &err));
        memcpy(t.want[i], sn_results_get(r, 0)->view.data, sizeof t.want[i]);
        sn_results_destroy(r);
    }
}

static int setup(void **state)
{
    (void)state;
    char folder[64];
    SnModel *m = NULL;
    const SnContextDesc d = {.struct_size = sizeof d, .cpu_level = "v3"};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    scratch_open(&t.dir);
    scratch_path(&t.dir, "model.so", t.model);
    scratch_path(&t.dir, "beside.so", t.beside);
    scratch_path(&t.dir, "beside.weights", t.weights);
    scratch_path(&t.dir, "high.so", t.high);
    scratch_path(&t.dir, "counter.so", t.counter);
    scratch_path(&t.dir, "newer.so", t.newer);
    scratch_path(&t.dir, "other.so", t.other);
    scratch_path(&t.dir, "current.so", t.current);
    assert_ok(sn_context_create(&d, &t.ctx, &err));
    assert_ok(sn_compiler_create(t.ctx, &cd, &t.cc, &err));
    assert_ok(embed_layers_create(t.ctx, 2, folder, &err));
    assert_ok(sn_model_open(t.cc, folder, NULL, &m, &err));
    emit_model(m, t.model, "v3", false);
    emit_model(m, t.beside, "v3", true);
    emit_model(m, t.high, "v4", false);
    expect(m);
    sn_model_close(m);
    embed_folder_remove(folder);
    emit_counter(t.counter, 1, false);
    emit_counter(t.newer, 10, false);
    emit_counter(t.other, 10, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sn_compiler_destroy(t.cc);
    sn_context_destroy(t.ctx);
    scratch_close(&t.dir);
    return 0;
}

/* ---- a system that fails ---- */

static struct {
    unsigned count, fail_at; /* 0: none */
    bool no_map;             /* files are read instead of mapped */
} calls;

static bool fails(void)
{
    if (calls.fail_at == 0 || ++calls.count != calls.fail_at)
        return false;
    errno = EIO;
    return true;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n);
void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);

int __wrap_open64(const char *path, int flags, ...)
{
    return fails() ? -1 : __real_open64(path, flags, 0600);
}

int __wrap_fstat64(int fd, struct stat *st)
{
    return fails() ? -1 : __real_fstat64(fd, st);
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    return fails() ? -1 : __real_read(fd, to, n);
}

void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
    return fails() || calls.no_map ? MAP_FAILED : __real_mmap64(at, n, prot, flags, fd, from);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attr, fn, arg);
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n;
}

/* ---- stories: a call that failed is made again, and then it passes ---- */

static unsigned nfailed;

static void check_failed(SnStatus st, const char *message, const char *call)
{
    if ((st != SN_ENOMEM && st != SN_EIO) || *message == 0)
        fail_msg("%s: %s: %s", call, sn_status_name(st), message);
    nfailed++;
}

#define TWICE(call)                                                                                          \
    do {                                                                                                     \
        err.message[0] = 0;                                                                                  \
        const SnStatus twice = (call);                                                                       \
        if (twice != SN_OK) {                                                                                \
            check_failed(twice, err.message, #call);                                                         \
            assert_ok(call);                                                                                 \
        }                                                                                                    \
    } while (0)

static SnView view_of(const char *text, const int64_t *start, const int64_t *len)
{
    SnView v = sn_view(SN_U8, (void *)(uintptr_t)text, 1, (const int64_t[]){1});
    v.start = start;
    v.len = len;
    v.child_count = *len;
    return v;
}

static void check_vector(SnInstance *s, size_t i)
{
    SnView v;
    assert_ok(sn_result(s, "embeddings", &v, &err));
    assert_memory_equal(v.data, t.want[i], sizeof t.want[i]);
}

/* By sn_run. */
static void story_program(EmbedMemory *m, const char *path)
{
    const SnContextDesc d = {.struct_size = sizeof d, .memory = embed_allocator(m), .cpu_level = "v3"};
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    const int64_t start = 0;
    TWICE(sn_context_create(&d, &ctx, &err));
    TWICE(sn_program_open(ctx, path, &p, &err));
    TWICE(sn_instance_create(p, NULL, &s, &err));
    for (size_t i = 0; i < NTEXT; i++) {
        const int64_t len = (int64_t)strlen(texts[i]);
        const SnView v = view_of(texts[i], &start, &len);
        TWICE(sn_bind(s, "text", &v, &err));
        TWICE(sn_run(s, &err));
        check_vector(s, i);
    }
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_context_destroy(ctx);
}

/* By the functions that NAME_create and its kin jump to: those in the file are of a runtime of its own. */
static void story_typed_on(EmbedMemory *m, const char *path, uint32_t threads)
{
    So so = so_open(path);
    SnTyped *typed = NULL;
    SnTypedHost host = {.struct_size = sizeof host,
                        .abi = SN_ABI,
                        .memory = embed_allocator(m),
                        .cpu_level = "v3",
                        .threads = threads,
                        .message = err.message,
                        .message_size = sizeof err.message};
    TWICE(sn_typed_create(&host, &typed, so.desc));
    for (size_t i = 0; i < NTEXT; i++) {
        float v[WIDTH];
        assert_int_equal(sn_typed_embed(typed, texts[i], strlen(texts[i]), v), SN_OK);
        assert_memory_equal(v, t.want[i], sizeof v);
    }
    sn_typed_destroy(typed);
    so_close(&so);
}

static void story_typed(EmbedMemory *m, const char *path)
{
    story_typed_on(m, path, 1);
}

static void story_threads(EmbedMemory *m, const char *path)
{
    story_typed_on(m, path, 4);
}

typedef void Story(EmbedMemory *m, const char *path);

static void tell(Story *story, EmbedMemory *m, const char *path)
{
    const int nfile = count_files();
    nfailed = 0;
    story(m, path);
    assert_null(m->wrong);
    assert_int_equal(m->live, 0);
    assert_int_equal(count_files(), nfile);
}

static void fail_each_request(Story *story, const char *path)
{
    unsigned told = 0;
    uint64_t n = 0, nrequest;
    do {
        EmbedMemory m = {.fail_at = ++n};
        tell(story, &m, path);
        told += nfailed;
        nrequest = m.count;
    } while (nrequest >= n);
    assert_in_range(told, 5, 10000);
    print_message("%u of %u requests failed\n", told, (unsigned)n - 1);
}

/* Where a map fails, the file is read instead: that call passes. */
static void fail_each_call(Story *story, const char *path, bool no_map, unsigned least)
{
    unsigned told = 0, n = 0;
    do {
        EmbedMemory m = {0};
        calls.count = 0;
        calls.no_map = no_map;
        calls.fail_at = ++n;
        tell(story, &m, path);
        told += nfailed;
    } while (calls.count >= n);
    calls.fail_at = 0;
    calls.no_map = false;
    assert_in_range(told, least, 1000);
    print_message("%u of %u calls failed\n", told, n - 1);
}

static void each_request_for_memory_may_fail(void **state)
{
    (void)state;
    fail_each_request(story_program, t.model);
    fail_each_request(story_program, t.beside);
    fail_each_request(story_typed, t.beside);
}

static void each_call_on_files_may_fail(void **state)
{
    (void)state;
    for (int no_map = 0; no_map < 2; no_map++) {
        fail_each_call(story_program, t.model, no_map, 2);
        fail_each_call(story_program, t.beside, no_map, 4);
        fail_each_call(story_typed, t.beside, no_map, 2);
    }
}

static void each_thread_may_fail_to_start(void **state)
{
    (void)state;
    fail_each_call(story_threads, t.model, false, 3);
}

/* ---- a newer file ---- */

static float x[4] = {1, 2, 3, 4};

static SnView x_view(void)
{
    return sn_view(SN_F32, x, 1, (const int64_t[]){4});
}

/* A frame of the game. */
static void frame(SnInstance *s, float want)
{
    SnView in = x_view(), out;
    assert_ok(sn_bind(s, "x", &in, &err));
    assert_ok(sn_run(s, &err));
    assert_ok(sn_result(s, "total", &out, &err));
    assert_true(*(const float *)out.data == want);
}

static SnInstance *open_current(void)
{
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    assert_ok(sn_program_open(t.ctx, t.current, &p, &err));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    sn_program_release(p);
    return s;
}

/* The file of the program is replaced where it lies, as a build does. */
static void opened_program_is_replaced_between_frames(void **state)
{
    (void)state;
    uint8_t saved[256];
    size_t size = sizeof saved;
    emit_counter(t.current, 1, false);
    SnInstance *old = open_current();
    frame(old, 10);
    frame(old, 20);
    emit_counter(t.current, 10, false);
    SnInstance *next = open_current();
    frame(next, 100);
    frame(old, 30);
    assert_ok(sn_state_save(old, saved, &size, &err));
    assert_ok(sn_state_load(next, saved, size, &err));
    sn_instance_destroy(old);
    frame(next, 130);

    emit_counter(t.current, 10, true);
    SnInstance *other = open_current();
    size = sizeof saved;
    assert_ok(sn_state_save(next, saved, &size, &err));
    assert_fails(SN_EFORMAT, sn_state_load(other, saved, size, &err));
    frame(other, 100);
    frame(next, 230);
    sn_instance_destroy(next);
    sn_instance_destroy(other);
}

static void typed_frame(const So *so, SnTyped *typed, float want)
{
    const SnView in = x_view();
    SnView out;
    assert_int_equal(so->bind(typed, "x", &in), SN_OK);
    assert_int_equal(so->run(typed), SN_OK);
    assert_int_equal(so->result(typed, "total", &out), SN_OK);
    assert_true(*(const float *)out.data == want);
}

static SnTyped *typed_create(const So *so)
{
    SnTyped *typed = NULL;
    const SnTypedHost host = {.struct_size = sizeof host, .abi = SN_ABI};
    assert_int_equal(so->create(&host, &typed), SN_OK);
    return typed;
}

/* By the functions of the files, each with a runtime of its own. */
static void typed_context_is_replaced_between_frames(void **state)
{
    (void)state;
    uint8_t saved[256];
    size_t size = sizeof saved;
    So old = so_open(t.counter), next = so_open(t.newer), other = so_open(t.other);
    SnTyped *a = typed_create(&old), *b = typed_create(&next), *c = typed_create(&other);
    typed_frame(&old, a, 10);
    assert_int_equal(old.state_save(a, saved, &size), SN_OK);
    assert_int_equal(other.state_load(c, saved, size), SN_EFORMAT);
    assert_true(strlen(other.error(c)) > 0);
    typed_frame(&other, c, 100);
    assert_int_equal(next.state_load(b, saved, size), SN_OK);
    old.destroy(a);
    so_close(&old);
    typed_frame(&next, b, 110);
    typed_frame(&next, b, 210);
    next.destroy(b);
    other.destroy(c);
    so_close(&next);
    so_close(&other);
}

/* ---- what is not there ---- */

/* A context that cannot be made: by the functions of the file, and by this runtime's. */
static void check_refused(const char *path, SnStatus status, const char *says)
{
    So so = so_open(path);
    SnTyped *typed = NULL;
    char message[200] = "";
    const SnTypedHost host = {.struct_size = sizeof host,
                              .abi = SN_ABI,
                              .cpu_level = "v3",
                              .message = message,
                              .message_size = sizeof message};
    assert_int_equal(so.create(&host, &typed), status);
    assert_non_null(strstr(message, says));
    *message = 0;
    assert_int_equal(sn_typed_create(&host, &typed, so.desc), status);
    assert_non_null(strstr(message, says));
    assert_null(typed);
    so_close(&so);
}

static void flip_byte(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    const int byte = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1, f), byte ^ 1);
    assert_int_equal(fclose(f), 0);
}

static void contexts_without_weights_or_cpu_are_refused(void **state)
{
    (void)state;
    char away[300];
    EmbedMemory m = {0};
    (void)snprintf(away, sizeof away, "%s.away", t.weights);
    assert_int_equal(rename(t.weights, away), 0);
    check_refused(t.beside, SN_EIO, "beside.weights");
    assert_int_equal(rename(away, t.weights), 0);
    flip_byte(t.weights, 100);
    check_refused(t.beside, SN_EFORMAT, "beside.weights");
    flip_byte(t.weights, 100);
    story_typed(&m, t.beside);
    check_refused(t.high, SN_EUNSUPPORTED, "v3");
}

/* ---- threads ---- */

typedef struct Worker {
    pthread_t thread;
    SnProgram *p;
    const SnTypedDesc *desc;
    bool is_sliced;
    SnStatus status;
    int wrong;
    SnError err;
} Worker;

static SnStatus run_text(Worker *w, SnInstance *s, size_t i)
{
    const int64_t start = 0, len = (int64_t)strlen(texts[i]);
    const SnView in = view_of(texts[i], &start, &len);
    SnView out;
    bool done = false;
    SN_TRY(sn_bind(s, "text", &in, &w->err));
    while (!done)
        SN_TRY(sn_run_some(s, w->is_sliced ? 20000 : 0, &done, &w->err));
    SN_TRY(sn_result(s, "embeddings", &out, &w->err));
    w->wrong += memcmp(out.data, t.want[i], sizeof t.want[i]) != 0;
    return SN_OK;
}

static SnStatus run_instances(Worker *w)
{
    SnStatus st = SN_OK;
    for (size_t i = 0; i < 20 * NTEXT && st == SN_OK; i++) {
        SnInstance *s = NULL;
        SN_TRY(sn_instance_create(w->p, NULL, &s, &w->err));
        for (size_t k = 0; k < NTEXT && st == SN_OK; k++)
            st = run_text(w, s, (i + k) % NTEXT);
        sn_instance_destroy(s);
    }
    return st;
}

static SnStatus run_typed(Worker *w)
{
    SnTyped *typed = NULL;
    const SnTypedHost host = {
        .struct_size = sizeof host, .abi = SN_ABI, .cpu_level = "v3", .threads = w->is_sliced ? 2 : 1};
    SN_TRY(sn_typed_create(&host, &typed, w->desc));
    for (size_t i = 0; i < 20 * NTEXT && w->status == SN_OK; i++) {
        const char *text = texts[i % NTEXT];
        float v[WIDTH];
        w->status = sn_typed_embed(typed, text, strlen(text), v);
        w->wrong += memcmp(v, t.want[i % NTEXT], sizeof v) != 0;
    }
    sn_typed_destroy(typed);
    return w->status;
}

static void *work(void *arg)
{
    Worker *w = arg;
    w->status = w->p ? run_instances(w) : run_typed(w);
    return NULL;
}

static void work_at_once(SnProgram *p, const SnTypedDesc *desc)
{
    Worker w[NAT_ONCE];
    for (int i = 0; i < NAT_ONCE; i++) {
        w[i] = (Worker){.p = p, .desc = desc, .is_sliced = i % 2 == 1};
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < NAT_ONCE; i++)
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    for (int i = 0; i < NAT_ONCE; i++)
        if (w[i].status != SN_OK || w[i].wrong)
            fail_msg("%s: %s; %d with other bits", sn_status_name(w[i].status), w[i].err.message, w[i].wrong);
}

static void instances_on_threads_give_equal_bits(void **state)
{
    (void)state;
    for (uint32_t width = 1; width <= 3; width += 2) {
        SnPool *pool = NULL;
        SnContext *ctx = NULL;
        SnProgram *p = NULL;
        assert_ok(sn_pool_create(width, &pool, &err));
        const SnContextDesc d = {.struct_size = sizeof d, .jobs = sn_pool_jobs(pool), .cpu_level = "v3"};
        assert_ok(sn_context_create(&d, &ctx, &err));
        assert_ok(sn_program_open(ctx, t.model, &p, &err));
        work_at_once(p, NULL);
        sn_program_release(p);
        sn_context_destroy(ctx);
        sn_pool_destroy(pool);
    }
}

static void typed_contexts_on_threads_give_equal_bits(void **state)
{
    (void)state;
    So so = so_open(t.model);
    work_at_once(NULL, so.desc);
    so_close(&so);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_for_memory_may_fail),
        cmocka_unit_test(each_call_on_files_may_fail),
        cmocka_unit_test(each_thread_may_fail_to_start),
        cmocka_unit_test(opened_program_is_replaced_between_frames),
        cmocka_unit_test(typed_context_is_replaced_between_frames),
        cmocka_unit_test(contexts_without_weights_or_cpu_are_refused),
        cmocka_unit_test(instances_on_threads_give_equal_bits),
        cmocka_unit_test(typed_contexts_on_threads_give_equal_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
