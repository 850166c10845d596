/* hash_test.c -- known hashes, the map. */
#include "runtime/context.h"
#include "runtime/hash.h"

#include "tests/unit/unit.h"

#include <stdio.h>

static void hash_known_values(void **state)
{
    (void)state;
    /* xxhsum -H3 and -H2 of the empty input. */
    assert_true(sn_hash64("", 0, 0) == 0x2d06800538d394c2u);
    const SnHash128 h = sn_hash128("", 0, 0);
    assert_true(h.hi == 0x99aa06d3014798d8u && h.lo == 0x6001c324468d497fu);
    assert_true(sn_hash64("abc", 3, 0) != sn_hash64("abc", 3, 1));
}

static void map_finds_what_was_put(void **state)
{
    (void)state;
    enum { N = 5000 };
    static char key[N][8];
    SnMap m;
    uint32_t v;
    sn_map_init(&m, &sn_default_allocator);
    assert_false(sn_map_get(&m, sn_bytes_str("x"), &v));
    for (uint32_t i = 0; i < N; i++) {
        snprintf(key[i], sizeof key[i], "k%u", i);
        assert_true(sn_map_put(&m, sn_bytes_str(key[i]), i));
    }
    assert_true(sn_map_put(&m, sn_bytes_str("k7"), 99));
    assert_true(sn_map_put(&m, sn_bytes("", 0), 5));
    assert_int_equal(m.n, N + 1);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(sn_map_get(&m, sn_bytes_str(key[i]), &v));
        assert_int_equal(v, i == 7 ? 99 : i);
    }
    assert_true(sn_map_get(&m, sn_bytes("", 0), &v) && v == 5);
    assert_false(sn_map_get(&m, sn_bytes_str("k5000"), &v));
    sn_map_clear(&m);
    assert_false(sn_map_get(&m, sn_bytes_str("k1"), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_known_values),
        cmocka_unit_test(map_finds_what_was_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
