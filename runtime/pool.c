/* pool.c -- threads that help the caller of `parallel`.
 *
 * A call opens a job; workers join it, take indices from one counter and leave; the caller takes indices too,
 * closes the job when none is left, and waits for those inside. A worker that wakes too late finds the job
 * closed and costs nothing. Idle workers spin for a while, longer than a program needs
 * between two runs of a loop, then park on a condition variable; so does a
 * caller that waits long.
 *
 * Where other programs have the CPUs a woken worker comes late, or on the caller's own CPU, in whose way it
 * would be: then it parks again at once. It is woken once and not again until it has run; and when nobody
 * came of a wake, nobody is woken for a while, twice as long each time. So a busy machine costs the caller
 * little more than the work.
 *
 * One word of state orders everything:
 *   serial (32 bits) | open (1) | caller is parked (1) | workers inside (30)
 * fn, arg and count are written before the release that opens a job and read only by workers that joined it
 * (acquire); the next call writes them after it has seen nobody inside (acquire of the releases that leave).
 */
#include "runtime/context.h"
#include "runtime/hostcall.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define SN_POOL_MAX_WIDTH 1024
#define SN_SPIN_NS        50000
#define SN_SPINS          16    /* looks between two at the clock */
#define SN_WAKE_AGAIN_NS  25000 /* after a wake in vain; doubled by each of the next MOST_MISSES - 1 */
#define SN_MOST_MISSES    6
#define SN_JOB_OPEN       (UINT64_C(1) << 31)
#define SN_CALLER_PARKED  (UINT64_C(1) << 30)
#define SN_JOB_INSIDE     (SN_CALLER_PARKED - 1)

#define SN_LINE 64 /* bytes that CPUs pass to each other at a time */

struct SnPool {
    size_t size; /* of this block */
    uint32_t nthread;
    pthread_t *thread;
    atomic_flag is_busy; /* one call at a time */
    /* of the caller */
    bool is_awaited; /* what came of the last wake was not looked at */
    uint32_t nmiss;
    uint64_t wake_at; /* nobody is woken before */
    /* idle workers look here all the time: what else is written lies in lines of its own */
    _Alignas(SN_LINE) _Atomic uint64_t state;
    _Atomic bool is_stopping;
    _Alignas(SN_LINE) _Atomic uint64_t next;
    void (*fn)(void *arg, uint32_t i);
    void *arg;
    uint32_t count;
    _Alignas(
        SN_LINE) _Atomic uint32_t nparked; /* workers that nobody has woken; changed with the lock held */
    uint32_t nwoken;                       /* that were, and do not run yet; with the lock held */
    _Atomic bool has_joined;               /* somebody has, since the last wake */
    atomic_int caller_cpu;
    pthread_mutex_t lock; /* of the two conditions */
    pthread_cond_t work, left;
};

static void take_indices(SnPool *p)
{
    /* Only who gets which index is at stake here: relaxed. */
    uint64_t i;
    while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->count)
        p->fn(p->arg, (uint32_t)i);
}

/* ---- workers ---- */

static bool has_news(SnPool *p, uint32_t seen)
{
    const uint64_t s = atomic_load(&p->state);
    return ((s & SN_JOB_OPEN) != 0 && (uint32_t)(s >> 32) != seen) || atomic_load(&p->is_stopping);
}

static bool try_join(SnPool *p, uint32_t *seen)
{
    uint64_t s = atomic_load_explicit(&p->state, memory_order_relaxed);
    while ((s & SN_JOB_OPEN) != 0 && (uint32_t)(s >> 32) != *seen) {
        if (atomic_compare_exchange_weak_explicit(&p->state, &s, s + 1, memory_order_acquire,
                                                  memory_order_relaxed)) {
            *seen = (uint32_t)(s >> 32);
            if (!atomic_load_explicit(&p->has_joined, memory_order_relaxed))
                atomic_store_explicit(&p->has_joined, true, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

static void leave(SnPool *p)
{
    /* Releases what the job wrote to the caller. */
    const uint64_t s = atomic_fetch_sub_explicit(&p->state, 1, memory_order_release);
    if ((s & SN_JOB_INSIDE) == 1 && (s & SN_CALLER_PARKED) != 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->left);
        pthread_mutex_unlock(&p->lock);
    }
}

/* nparked and state are sequentially consistent: either this worker sees the job that is being opened, or the
 * caller sees that somebody is parked. */
static void park(SnPool *p, uint32_t seen)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->nparked, 1);
    while (p->nwoken == 0 && !has_news(p, seen))
        pthread_cond_wait(&p->work, &p->lock);
    if (p->nwoken > 0)
        p->nwoken--;
    else
        atomic_fetch_sub(&p->nparked, 1);
    pthread_mutex_unlock(&p->lock);
}

/* On the caller's CPU, and nowhere else to go? A thread is woken where it last ran while the scheduler takes
 * all CPUs for busy, idle or not: it would come back here each time. */
static bool is_in_the_way(SnPool *p)
{
    const int cpu = sn_cpu_current();
    return cpu >= 0 && cpu == atomic_load_explicit(&p->caller_cpu, memory_order_relaxed) &&
           !sn_cpu_leave(cpu);
}

static void *worker(void *arg)
{
    SnPool *p = (SnPool *)arg;
    uint32_t seen = 0;
    uint64_t spin_end = 0;
    while (!atomic_load(&p->is_stopping)) {
        if (try_join(p, &seen)) {
            take_indices(p);
            leave(p);
            spin_end = sn_now_ns() + SN_SPIN_NS;
        } else if (sn_now_ns() < spin_end) {
            for (int i = 0; i < SN_SPINS && !has_news(p, seen); i++)
                sn_cpu_pause();
        } else {
            park(p, seen);
            if (is_in_the_way(p))
                seen = (uint32_t)(atomic_load(&p->state) >> 32);
            else
                spin_end = sn_now_ns() + SN_SPIN_NS;
        }
    }
    return NULL;
}

/* ---- the caller ---- */

/* Is it worth it, after what came of the last wake? */
static bool should_wake(SnPool *p)
{
    if (p->is_awaited) {
        p->is_awaited = false;
        const bool is_miss = !atomic_load_explicit(&p->has_joined, memory_order_relaxed);
        p->nmiss = is_miss ? p->nmiss + (p->nmiss < SN_MOST_MISSES) : 0;
        p->wake_at = is_miss ? sn_now_ns() + ((uint64_t)SN_WAKE_AGAIN_NS << (p->nmiss - 1)) : 0;
    }
    return p->wake_at == 0 || sn_now_ns() >= p->wake_at;
}

static void wake_workers(SnPool *p, uint32_t most)
{
    p->is_awaited = true;
    atomic_store_explicit(&p->has_joined, false, memory_order_relaxed);
    pthread_mutex_lock(&p->lock);
    const uint32_t parked = atomic_load(&p->nparked), n = parked < most ? parked : most;
    atomic_store(&p->nparked, parked - n);
    p->nwoken += n;
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < n; i++)
        pthread_cond_signal(&p->work);
}

static void open_job(SnPool *p, uint32_t count)
{
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    const int cpu = sn_cpu_current();
    if (atomic_load_explicit(&p->caller_cpu, memory_order_relaxed) != cpu)
        atomic_store_explicit(&p->caller_cpu, cpu, memory_order_relaxed);
    /* Serial 0 is what workers have seen at birth. */
    const uint32_t last = (uint32_t)(atomic_load_explicit(&p->state, memory_order_relaxed) >> 32);
    const uint64_t serial = last == UINT32_MAX ? 1 : last + 1;
    atomic_store(&p->state, serial << 32 | SN_JOB_OPEN);
    if (atomic_load(&p->nparked) > 0 && should_wake(p))
        wake_workers(p, count - 1);
}

/* Closes the job and waits until nobody is inside. */
static void close_job(SnPool *p)
{
    uint64_t s = atomic_fetch_and_explicit(&p->state, ~SN_JOB_OPEN, memory_order_acquire);
    const uint64_t spin_end = (s & SN_JOB_INSIDE) != 0 ? sn_now_ns() + SN_SPIN_NS : 0;
    while ((s & SN_JOB_INSIDE) != 0 && sn_now_ns() < spin_end) {
        sn_cpu_pause();
        s = atomic_load_explicit(&p->state, memory_order_acquire);
    }
    if ((s & SN_JOB_INSIDE) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    s = atomic_fetch_or_explicit(&p->state, SN_CALLER_PARKED, memory_order_acquire);
    while ((s & SN_JOB_INSIDE) != 0) {
        pthread_cond_wait(&p->left, &p->lock);
        s = atomic_load_explicit(&p->state, memory_order_acquire);
    }
    pthread_mutex_unlock(&p->lock);
}

static void pool_parallel(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg)
{
    SnPool *p = (SnPool *)self;
    if (count <= 1 || p->nthread == 0 ||
        atomic_flag_test_and_set_explicit(&p->is_busy, memory_order_acquire)) {
        for (uint32_t i = 0; i < count; i++)
            fn(arg, i);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->count = count;
    open_job(p, count);
    take_indices(p);
    close_job(p);
    atomic_flag_clear_explicit(&p->is_busy, memory_order_release);
}

/* ---- life cycle ---- */

static bool start_threads(SnPool *p, uint32_t n)
{
    /* The host's signals are for the host's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->nthread < n && pthread_create(&p->thread[p->nthread], NULL, worker, p) == 0)
        p->nthread++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return p->nthread == n;
}

SnStatus sn_pool_create(uint32_t width, SnPool **out, SnError *err)
{
    const SnAllocator *memory = &sn_default_allocator;
    if (width == 0) {
        const long online = sysconf(_SC_NPROCESSORS_ONLN);
        width = online < 1 ? 1 : online > SN_POOL_MAX_WIDTH ? SN_POOL_MAX_WIDTH : (uint32_t)online;
    }
    SN_CHECK(width <= SN_POOL_MAX_WIDTH, err, SN_EINVAL, "pool: width is %u, expected at most %d", width,
             SN_POOL_MAX_WIDTH);
    const size_t size = sizeof(SnPool) + width * sizeof(pthread_t);
    SnPool *p = (SnPool *)sn_alloc_zero(memory, size, _Alignof(SnPool));
    SN_CHECK(p != NULL, err, SN_ENOMEM, "pool: no memory for %zu bytes", size);
    p->size = size;
    p->thread = (pthread_t *)(void *)(p + 1);
    atomic_flag_clear(&p->is_busy);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->left, NULL);
    if (!start_threads(p, width - 1)) {
        const uint32_t started = p->nthread;
        sn_pool_destroy(p);
        return sn_fail(err, SN_ENOMEM, "pool: only %u of %u threads could start", started, width - 1);
    }
    *out = p;
    return SN_OK;
}

void sn_pool_destroy(SnPool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->is_stopping, true);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->nthread; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->left);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    sn_free(&sn_default_allocator, p, p->size, _Alignof(SnPool));
}

SnJobs sn_pool_jobs(SnPool *p)
{
    return (SnJobs){p, p->nthread + 1, pool_parallel};
}
