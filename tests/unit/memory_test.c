/* memory_test.c -- checked sizes, arenas, growable arrays, text, contexts; every allocation failing once. */
#include "runtime/context.h"

#include "tests/unit/unit.h"

/* Fails the n-th allocation and counts what is alive. */
typedef struct Counter {
    int64_t alive;
    int countdown; /* negative: never */
} Counter;

static void *counting_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Counter *c = (Counter *)self;
    if (new_size != 0 && c->countdown-- == 0)
        return NULL;
    void *p = sn_default_allocator.resize(NULL, ptr, old_size, new_size, align);
    c->alive += (int64_t)new_size - (int64_t)old_size;
    return p;
}

static void sizes_overflow_detected(void **state)
{
    (void)state;
    size_t n = 7;
    assert_false(sn_mul_size(SIZE_MAX, 2, &n));
    assert_false(sn_add_size(SIZE_MAX, 1, &n));
    assert_false(sn_align_size(SIZE_MAX - 3, 64, &n));
    assert_int_equal(n, 7);
    assert_true(sn_mul_size(SIZE_MAX, 0, &n) && n == 0);
    assert_true(sn_align_size(65, 64, &n) && n == 128);
    int64_t i = 7;
    assert_false(sn_mul_i64(INT64_MIN, -1, &i));
    assert_false(sn_mul_i64(-1, INT64_MIN, &i));
    assert_false(sn_mul_i64(INT64_MAX, 2, &i));
    assert_false(sn_mul_i64(-3, INT64_MAX, &i));
    assert_false(sn_add_i64(INT64_MAX, 1, &i));
    assert_false(sn_add_i64(INT64_MIN, -1, &i));
    assert_int_equal(i, 7);
    assert_true(sn_mul_i64(INT64_MIN, 1, &i) && i == INT64_MIN);
    assert_true(sn_mul_i64(0, INT64_MIN, &i) && i == 0);
    assert_true(sn_mul_i64(-4, 5, &i) && i == -20);
}

/* What was filled once is filled again without the allocator, zeroed. */
static void arena_reset_keeps_its_memory(void **state)
{
    (void)state;
    Counter c = {.countdown = -1};
    const SnAllocator memory = {&c, counting_resize};
    SnArena a;
    sn_arena_init(&a, &memory);
    sn_arena_reset(&a);
    for (int round = 0; round < 3; round++) {
        c.countdown = round == 2 ? 0 : -1;
        for (size_t i = 0; i < 100; i++) {
            unsigned char *p = sn_arena_alloc(&a, 100 * i + 1);
            assert_non_null(p);
            assert_int_equal(p[0] + p[100 * i], 0);
            memset(p, 0xAA, 100 * i + 1);
        }
        sn_arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    sn_arena_clear(&a);
    assert_int_equal(c.alive, 0);
}

static void arena_zeroed_aligned_and_given_back(void **state)
{
    (void)state;
    Counter c = {.countdown = -1};
    const SnAllocator memory = {&c, counting_resize};
    SnArena a;
    sn_arena_init(&a, &memory);
    for (size_t i = 0; i < 1000; i++) {
        const size_t n = i % 7 == 0 ? i * 100 : i % 40;
        unsigned char *p = (unsigned char *)sn_arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t j = 0; j < n; j++)
            assert_int_equal(p[j], 0);
        memset(p, 0xAA, n);
    }
    assert_null(sn_arena_array(&a, SIZE_MAX / 2, 3));
    assert_string_equal(sn_arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(sn_arena_printf(&a, "%s-%d", "x", 12), "x-12");
    sn_arena_clear(&a);
    assert_int_equal(c.alive, 0);
    assert_int_equal(a.used, 0);
}

static void arena_limit_bounds_memory(void **state)
{
    (void)state;
    SnArena a;
    sn_arena_init(&a, &sn_default_allocator);
    a.limit = 1000;
    assert_non_null(sn_arena_alloc(&a, 900));
    assert_null(sn_arena_alloc(&a, 200));
    assert_non_null(sn_arena_alloc(&a, 64));
    sn_arena_clear(&a);
}

static void vec_grows_and_keeps_elements(void **state)
{
    (void)state;
    Counter c = {.countdown = -1};
    const SnAllocator memory = {&c, counting_resize};
    SN_VEC(int) v = {0};
    for (int i = 0; i < 1000; i++)
        assert_true(sn_vec_push(&memory, &v, i));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(v.at[i], i);
    assert_false(sn_vec_reserve(&memory, &v, SIZE_MAX - 10));
    sn_vec_clear(&memory, &v);
    assert_int_equal(c.alive, 0);
}

static void text_no_memory_sticks(void **state)
{
    (void)state;
    Counter c = {.countdown = 1};
    const SnAllocator memory = {&c, counting_resize};
    SnText t = {.memory = &memory};
    sn_text_printf(&t, "%d", 42);
    sn_text_add(&t, "!", 1);
    assert_string_equal(t.at, "42!");
    for (int i = 0; i < 100; i++)
        sn_text_add(&t, "0123456789", 10);
    assert_true(t.failed);
    sn_text_clear(&t);
    assert_int_equal(c.alive, 0);
    assert_false(t.failed);
}

static void default_allocator_over_aligned_keeps_contents(void **state)
{
    (void)state;
    const SnAllocator *a = &sn_default_allocator;
    char *p = (char *)sn_alloc(a, 100, 4096);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 4096, 0);
    memset(p, 'x', 100);
    p = (char *)sn_resize(a, p, 100, 10000, 4096);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 4096, 0);
    assert_int_equal(p[99], 'x');
    sn_free(a, p, 10000, 4096);
}

static void default_allocator_large_blocks_lie_at_large_pages(void **state)
{
    (void)state;
    const SnAllocator *a = &sn_default_allocator;
    const size_t size = 2 * SN_LARGE_PAGE + 5;
    uint8_t *p = (uint8_t *)sn_alloc(a, size - 6, 64);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    p[size - 7] = 7;
    p = (uint8_t *)sn_resize(a, p, size - 6, size, 64);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % SN_LARGE_PAGE, 0);
    assert_int_equal(p[size - 7], 7);
    sn_expect_use(p + 1, size - 1);
    sn_expect_use(p + 1, 1);
    assert_int_equal(p[size - 7], 7);
    sn_free(a, p, size, 64);
}

static void context_every_allocation_failing_leaks_nothing(void **state)
{
    (void)state;
    SnStatus st = SN_ENOMEM;
    for (int i = 0; st != SN_OK; i++) {
        Counter c = {.countdown = i};
        SnError err = {0};
        SnContext *ctx = NULL;
        const SnContextDesc desc = {
            .struct_size = sizeof desc, .memory = {&c, counting_resize}, .cache_dir = "cache"};
        st = sn_context_create(&desc, &ctx, &err);
        assert_true(st == SN_OK || st == SN_ENOMEM);
        assert_int_equal(i < 2 ? SN_ENOMEM : SN_OK, st);
        sn_context_destroy(ctx);
        assert_int_equal(c.alive, 0);
    }
}

static void context_bad_desc_fails(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    SnContextDesc desc = {.struct_size = 0};
    assert_fails(SN_EINVAL, sn_context_create(&desc, &ctx, &err));
    desc = (SnContextDesc){.struct_size = sizeof desc + 8};
    assert_fails(SN_EINVAL, sn_context_create(&desc, &ctx, &err));
    desc = (SnContextDesc){.struct_size = sizeof desc, .flags = 1u << 30};
    assert_fails(SN_EINVAL, sn_context_create(&desc, &ctx, &err));
    assert_null(ctx);
    sn_context_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_overflow_detected),
        cmocka_unit_test(arena_zeroed_aligned_and_given_back),
        cmocka_unit_test(arena_reset_keeps_its_memory),
        cmocka_unit_test(arena_limit_bounds_memory),
        cmocka_unit_test(vec_grows_and_keeps_elements),
        cmocka_unit_test(text_no_memory_sticks),
        cmocka_unit_test(default_allocator_over_aligned_keeps_contents),
        cmocka_unit_test(default_allocator_large_blocks_lie_at_large_pages),
        cmocka_unit_test(context_every_allocation_failing_leaks_nothing),
        cmocka_unit_test(context_bad_desc_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
