/* block_test.c -- runtime/block.c against a list of what is live. */
#include "runtime/block.h"
#include "tests/unit/unit.h"

#include <stdlib.h>

enum { NLIVE = 40, NSTEP = 20000 };

typedef struct Live {
    uint8_t *at;
    size_t size;
    uint8_t fill;
} Live;

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525u + 1013904223u) >> 8;
}

static void assert_filled(const Live *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(v->at[i], v->fill);
}

/* Random calls, every block filled with a byte of its own; returns how much the piece had to have. */
static size_t play(uint8_t *piece, size_t size, uint32_t seed, size_t *nrefused)
{
    Live live[NLIVE] = {{0}};
    SnBlock *b = sn_block_begin(piece, size);
    assert_non_null(b);
    const SnAllocator a = sn_block_allocator(b);
    for (int step = 0; step < NSTEP; step++) {
        Live *v = &live[next_random(&seed) % NLIVE];
        const size_t want = next_random(&seed) % 3 == 0 ? 0 : next_random(&seed) % 900;
        uint8_t *at = a.resize(a.self, v->at, v->size, want, 16);
        if (want == 0) {
            assert_null(at);
            *v = (Live){0};
            continue;
        }
        if (at == NULL) {
            ++*nrefused;
            continue;
        }
        assert_int_equal((uintptr_t)at % SN_BLOCK_ALIGN, 0);
        assert_true(at >= piece && at + want <= piece + size);
        const size_t kept = v->size < want ? v->size : want;
        v->at = at;
        assert_filled(v, kept);
        *v = (Live){at, want, (uint8_t)step};
        memset(at, v->fill, want);
    }
    for (size_t i = 0; i < NLIVE; i++) {
        assert_filled(&live[i], live[i].size);
        (void)a.resize(a.self, live[i].at, live[i].size, 0, 16);
    }
    /* All room is one again. */
    const size_t all = (size - SN_BLOCK_ALIGN - (size_t)(-(uintptr_t)piece % SN_BLOCK_ALIGN)) /
                       SN_BLOCK_ALIGN * SN_BLOCK_ALIGN;
    const size_t need = sn_block_need(b);
    assert_non_null(a.resize(a.self, NULL, 0, all, 64));
    return need;
}

static void calls_keep_what_is_live(void **state)
{
    (void)state;
    uint8_t *piece = malloc(1 << 17);
    assert_non_null(piece);
    for (uint32_t seed = 1; seed < 6; seed++) {
        size_t nrefused = 0, none = 0;
        const size_t need = play(piece + seed, 1 << 16, seed, &nrefused);
        assert_int_equal(nrefused, 0);
        /* The same calls need the same in a larger piece, and pass in one of just that size. */
        assert_int_equal(play(piece, 1 << 17, seed, &nrefused), need);
        for (size_t shift = 0; shift < 64; shift += 21)
            assert_int_equal(play(piece + shift, need, seed, &none), need);
        assert_int_equal(nrefused + none, 0);
        (void)play(piece + 1, need - SN_BLOCK_ALIGN, seed, &none);
        assert_true(none > 0);
    }
    free(piece);
}

static void sizes_and_alignments_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    _Alignas(64) uint8_t piece[256];
    assert_null(sn_block_begin(NULL, 256));
    assert_null(sn_block_begin(piece, 63));
    assert_null(sn_block_begin(piece + 1, 126));
    assert_non_null(sn_block_begin(piece + 1, 127));
    SnBlock *b = sn_block_begin(piece, sizeof piece);
    assert_non_null(b);
    const SnAllocator a = sn_block_allocator(b);
    assert_null(a.resize(a.self, NULL, 0, 1, 128));
    assert_null(a.resize(a.self, NULL, 0, 193, 1));
    assert_null(a.resize(a.self, NULL, 0, SIZE_MAX, 1));
    void *at = a.resize(a.self, NULL, 0, 192, 1);
    assert_non_null(at);
    assert_null(a.resize(a.self, at, 192, 193, 1));
    assert_ptr_equal(a.resize(a.self, at, 192, 1, 1), at);
    assert_ptr_equal(a.resize(a.self, at, 1, 192, 1), at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_keep_what_is_live),
        cmocka_unit_test(sizes_and_alignments_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
