/* seccomp_test.c -- what a model does after it was created: it computes. Its functions run thousands of times
 * while every request for memory is refused, and under a filter that lets nothing pass but waiting for
 * another thread, reading the clock, and the end of the process.
 *
 *   seccomp_test MODEL.so... NRUN
 *
 * Each case is a process of its own, which says how it went through memory that was shared before. 77: this
 * system has no such filters. */
#define _GNU_SOURCE
#include "tests/embed/so/so.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NTHREAD = 3, MAX_WIDTH = 1024, MAX_SPANS = 32 };

/* What a child tells its parent. */
typedef struct Report {
    int runs, wrong, call; /* call: the system call that was not allowed, 0: none */
    SnStatus status;
    unsigned requests; /* for memory */
    char message[200];
} Report;

static Report *report;

/* ---- memory: of the C library, and of hosts ---- */

static atomic_bool armed;

static bool is_refused(void)
{
    if (!atomic_load(&armed))
        return false;
    report->requests++;
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t align, size_t size);

SN_API void *malloc(size_t size)
{
    return is_refused() ? NULL : __libc_malloc(size);
}

SN_API void *calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : __libc_calloc(n, size);
}

SN_API void *realloc(void *ptr, size_t size)
{
    return is_refused() ? NULL : __libc_realloc(ptr, size);
}

SN_API void *aligned_alloc(size_t align, size_t size)
{
    return is_refused() ? NULL : __libc_memalign(align, size);
}

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    (void)self;
    if (is_refused())
        return NULL;
    void *at = new_size ? __libc_memalign(align < 64 ? 64 : align, new_size) : NULL;
    if (at && ptr)
        memcpy(at, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    return at;
}

/* ---- the filter ---- */

static void on_call(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    report->call = info->si_syscall;
    (void)syscall(SYS_exit_group, 1);
}

#define ALLOW(nr)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))

/* For all threads. What is not allowed is never done: its thread is told, or killed where it does not listen.
 */
static bool forbid_calls(void)
{
    struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        ALLOW(SYS_futex),
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    const struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/* ---- jobs of the host, on threads that it made before ---- */

typedef struct Jobs {
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    void (*fn)(void *arg, uint32_t i);
    void *arg;
    uint32_t count, next, left, nwaiting;
} Jobs;

static Jobs jobs = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .begun = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* Takes jobs while there are some. The lock is held before and after. */
static void take_jobs(void)
{
    while (jobs.next < jobs.count) {
        const uint32_t i = jobs.next++;
        (void)pthread_mutex_unlock(&jobs.lock);
        jobs.fn(jobs.arg, i);
        (void)pthread_mutex_lock(&jobs.lock);
        if (--jobs.left == 0)
            (void)pthread_cond_signal(&jobs.done);
    }
}

static void *work(void *arg)
{
    (void)pthread_mutex_lock(&jobs.lock);
    for (jobs.nwaiting++;;) {
        take_jobs();
        (void)pthread_cond_wait(&jobs.begun, &jobs.lock);
    }
    return arg;
}

static void parallel(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg)
{
    (void)self;
    (void)pthread_mutex_lock(&jobs.lock);
    jobs.fn = fn;
    jobs.arg = arg;
    jobs.next = 0;
    jobs.count = jobs.left = count;
    (void)pthread_cond_broadcast(&jobs.begun);
    take_jobs();
    while (jobs.left)
        (void)pthread_cond_wait(&jobs.done, &jobs.lock);
    (void)pthread_mutex_unlock(&jobs.lock);
}

static bool make_threads(void)
{
    pthread_t thread;
    for (int i = 1; i < NTHREAD; i++)
        if (pthread_create(&thread, NULL, work, NULL) != 0)
            return false;
    for (uint32_t n = 0; n < NTHREAD - 1;) {
        (void)pthread_mutex_lock(&jobs.lock);
        n = jobs.nwaiting;
        (void)pthread_mutex_unlock(&jobs.lock);
    }
    return true;
}

/* ---- runs ---- */

static const char *const texts[] = {"Anna lives in Paris.", "",
                                    "don't you [MASK] go to [MASK]? W\xC3\xB6rld, 12.5",
                                    "hello \xE2\x82 world \xFF\x80 a"};
enum { NTEXT = sizeof texts / sizeof *texts };

/* What a run gives, as bytes. */
typedef struct Result {
    float number[MAX_WIDTH];
    SnTypedSpan span[MAX_SPANS];
    SnTypedWord word[MAX_SPANS];
    size_t count;
} Result;

static SnStatus run_slices(const So *so, SnTyped *t, const char *text, Result *r)
{
    SnStatus st = so->begin(t, text, strlen(text));
    while (st == SN_OK && (st = so->step(t, 20000)) == SN_TYPED_AGAIN)
        st = SN_OK;
    return st == SN_OK ? so->vector(t, r->number) : st;
}

static SnStatus run_tensors(const So *so, SnTyped *t, Result *r)
{
    static float x[2 * 16] = {1, 2, 3, 4};
    static char saved[4096];
    const SnView in = {.data = x, .dtype = SN_F32, .ndim = 2, .dims = {2, 16}};
    size_t size = sizeof saved;
    SnView y = {0};
    SnStatus st = so->state_save(t, saved, &size);
    st = st == SN_OK ? so->bind(t, "x", &in) : st;
    st = st == SN_OK ? so->run(t) : st;
    st = st == SN_OK ? so->result(t, "y", &y) : st;
    if (st == SN_OK)
        memcpy(r->number, y.data, sizeof x);
    return st == SN_OK ? so->state_load(t, saved, size) : st;
}

static SnStatus run(const So *so, SnTyped *t, int i, Result *r)
{
    const char *a = texts[i % NTEXT], *b = texts[(i + 2) % NTEXT];
    const size_t na = strlen(a), nb = strlen(b);
    memset(r, 0, sizeof *r);
    switch ((SnTypedKind)so->desc->kind) {
    case SN_TYPED_EMBED:
        return i % 8 < NTEXT ? so->embed(t, a, na, r->number) : run_slices(so, t, a, r);
    case SN_TYPED_CLASSIFY:
        return so->desc->has_pair ? so->classify_pair(t, a, na, b, nb, r->number)
                                  : so->classify(t, a, na, r->number);
    case SN_TYPED_TAG:
        return so->tag(t, a, na, r->span, MAX_SPANS, &r->count);
    case SN_TYPED_ANSWER:
        return so->answer(t, texts[0], strlen(texts[0]), texts[2], strlen(texts[2]), r->span);
    case SN_TYPED_FILL:
        return so->fill(t, texts[2], strlen(texts[2]), r->word, MAX_SPANS, &r->count);
    case SN_TYPED_TENSORS:
    case SN_TYPED_CHAT:
    case SN_TYPED_TRAIN:
    case SN_TYPED_KIND_COUNT:
        break;
    }
    return run_tensors(so, t, r);
}

static void run_many(const So *so, SnTyped *t, int n, const Result *want)
{
    static Result got;
    for (int i = 0; i < n && report->status == SN_OK; i++) {
        report->status = run(so, t, i, &got);
        report->wrong += memcmp(&got, &want[i % (2 * NTEXT)], sizeof got) != 0;
        report->runs++;
    }
    if (report->status != SN_OK)
        strncpy(report->message, so->error(t), sizeof report->message - 1);
}

/* ---- cases ---- */

typedef struct Case {
    const char *name;
    bool in_block;
    uint32_t threads;
} Case;

static const Case cases[] = {
    {"memory of the host", false, 1}, {"a block", true, 1}, {"jobs of the host", false, NTHREAD}};

static _Noreturn void child(const So *so, const Case *c, int nrun)
{
    static Result want[2 * NTEXT];
    SnTypedHost host = {.struct_size = sizeof host, .abi = SN_ABI, .memory = {NULL, resize}};
    SnTyped *t = NULL;
    host.message = report->message;
    host.message_size = sizeof report->message;
    if (c->in_block) {
        host.block_size = so->desc->block_bytes;
        host.block = __libc_malloc(host.block_size);
    }
    if (c->threads > 1 && make_threads())
        host.jobs = (SnJobs){NULL, c->threads, parallel};
    report->status = so->create(&host, &t);
    for (int i = 0; i < 2 * NTEXT && report->status == SN_OK; i++)
        report->status = run(so, t, i, &want[i]);
    if (report->status != SN_OK || !forbid_calls())
        _exit(1);
    atomic_store(&armed, true);
    run_many(so, t, nrun, want);
    (void)syscall(SYS_exit_group, 0);
    abort();
}

/* Does it end well? */
static bool wait_for(pid_t pid)
{
    int status = 0;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool check(const So *so, const char *path, const Case *c, int nrun)
{
    *report = (Report){0};
    const pid_t pid = fork();
    if (pid == 0)
        child(so, c, nrun);
    const bool ended = wait_for(pid);
    const bool ok = ended && report->runs == nrun && !report->wrong && !report->requests && !report->call &&
                    !report->status;
    printf("%s %s, %s: %d runs, %d with other bits, %u requests for memory, status %d%s%s",
           ok ? "ok  " : "FAIL", path, c->name, report->runs, report->wrong, report->requests,
           (int)report->status, *report->message ? ": " : "", report->message);
    if (report->call)
        printf(", system call %d", report->call);
    printf("\n");
    return ok;
}

/* Calls that the filter must not let pass. */
static bool filter_holds(void)
{
    static const long forbidden[] = {SYS_mmap,  SYS_munmap, SYS_mprotect, SYS_brk,   SYS_clone, SYS_clone3,
                                     SYS_open,  SYS_openat, SYS_read,     SYS_write, SYS_ioctl, SYS_madvise,
                                     SYS_close, SYS_fstat,  SYS_mremap,   SYS_execve};
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
        *report = (Report){0};
        const pid_t pid = fork();
        if (pid == 0) {
            if (!forbid_calls())
                _exit(77);
            (void)syscall(forbidden[i], 0, 0, 0, 0, 0, 0);
            (void)syscall(SYS_exit_group, 0);
        }
        if (wait_for(pid) || report->call != forbidden[i])
            return false;
    }
    return true;
}

static bool can_filter(void)
{
    int status = 0;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(forbid_calls() ? 0 : 77);
    /* exit_group is allowed, and _exit calls it. */
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    bool ok = true;
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (argc < 3 || report == MAP_FAILED)
        return 2;
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    if (!can_filter())
        return 77;
    if (!filter_holds()) {
        printf("FAIL system call %d: the filter lets it pass\n", report->call);
        return 1;
    }
    for (int i = 1; i + 1 < argc; i++) {
        So so = so_open(argv[i]);
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            ok = check(&so, argv[i], &cases[k], atoi(argv[argc - 1])) && ok;
        so_close(&so);
    }
    return ok ? 0 : 1;
}
