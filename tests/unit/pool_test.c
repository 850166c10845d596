/* pool_test.c -- every index once, any number of threads, callers at once, parking. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { COUNT = 1000 };

typedef struct Work {
    SnJobs jobs;
    uint32_t seen[COUNT]; /* plain: jobs write disjoint memory, and the caller must see it */
} Work;

static void mark(void *arg, uint32_t i)
{
    ((Work *)arg)->seen[i]++;
}

static void run_rounds(Work *w, uint32_t rounds)
{
    for (uint32_t round = 1; round <= rounds; round++) {
        w->jobs.parallel(w->jobs.self, COUNT, mark, w);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(w->seen[i], round);
    }
}

static void pool_every_index_once(void **state)
{
    (void)state;
    SnError err;
    for (uint32_t width = 1; width <= 5; width++) {
        SnPool *pool = NULL;
        assert_ok(sn_pool_create(width, &pool, &err));
        Work w = {.jobs = sn_pool_jobs(pool)};
        assert_int_equal(w.jobs.width, width);
        run_rounds(&w, 200);
        w.jobs.parallel(w.jobs.self, 0, mark, &w);
        w.jobs.parallel(w.jobs.self, 1, mark, &w);
        assert_int_equal(w.seen[0], 201);
        sn_pool_destroy(pool);
    }
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static void pool_parked_threads_wake(void **state)
{
    (void)state;
    SnError err;
    SnPool *pool = NULL;
    assert_ok(sn_pool_create(3, &pool, &err));
    Work w = {.jobs = sn_pool_jobs(pool)};
    for (uint32_t round = 1; round <= 20; round++) {
        sleep_ms(2);
        w.jobs.parallel(w.jobs.self, COUNT, mark, &w);
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(w.seen[i], round);
    }
    sn_pool_destroy(pool);
}

typedef struct Meeting {
    atomic_uint inside;
    bool met; /* the first says so */
} Meeting;

/* The first to come waits 10 ms for the other. */
static void meet(void *arg, uint32_t i)
{
    (void)i;
    Meeting *m = (Meeting *)arg;
    if (atomic_fetch_add(&m->inside, 1) != 0)
        return;
    for (int ms = 0; ms < 10 && !m->met; ms++) {
        sleep_ms(1);
        m->met = atomic_load(&m->inside) == 2;
    }
}

/* Nobody promises that a worker comes: on a busy machine it may take some calls. */
static void pool_jobs_run_at_once(void **state)
{
    (void)state;
    SnError err;
    SnPool *pool = NULL;
    assert_ok(sn_pool_create(2, &pool, &err));
    const SnJobs jobs = sn_pool_jobs(pool);
    Meeting m = {.met = false};
    for (int round = 0; round < 500 && !m.met; round++) {
        atomic_store(&m.inside, 0);
        jobs.parallel(jobs.self, 2, meet, &m);
    }
    assert_true(m.met);
    sn_pool_destroy(pool);
}

static void slow_last(void *arg, uint32_t i)
{
    if (i == 0)
        sleep_ms(5);
    mark(arg, i);
}

static void pool_caller_waits_for_slow_job(void **state)
{
    (void)state;
    SnError err;
    SnPool *pool = NULL;
    assert_ok(sn_pool_create(4, &pool, &err));
    Work w = {.jobs = sn_pool_jobs(pool)};
    for (uint32_t round = 1; round <= 20; round++) {
        w.jobs.parallel(w.jobs.self, 8, slow_last, &w);
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(w.seen[i], round);
    }
    sn_pool_destroy(pool);
}

static void *caller(void *arg)
{
    run_rounds((Work *)arg, 200);
    return NULL;
}

static void pool_two_callers_at_once(void **state)
{
    (void)state;
    SnError err;
    SnPool *pool = NULL;
    assert_ok(sn_pool_create(3, &pool, &err));
    Work a = {.jobs = sn_pool_jobs(pool)}, b = {.jobs = sn_pool_jobs(pool)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, caller, &a), 0);
    caller(&b);
    pthread_join(thread, NULL);
    sn_pool_destroy(pool);
}

static void pool_bad_width_fails(void **state)
{
    (void)state;
    SnError err;
    SnPool *pool = NULL;
    assert_fails(SN_EINVAL, sn_pool_create(100000, &pool, &err));
    assert_ok(sn_pool_create(0, &pool, &err));
    assert_true(sn_pool_jobs(pool).width >= 1);
    sn_pool_destroy(pool);
    sn_pool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_every_index_once),    cmocka_unit_test(pool_parked_threads_wake),
        cmocka_unit_test(pool_jobs_run_at_once),    cmocka_unit_test(pool_caller_waits_for_slow_job),
        cmocka_unit_test(pool_two_callers_at_once), cmocka_unit_test(pool_bad_width_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
