/* store.h -- a context and a term store for tests of the compiler. */
#ifndef SN_UNIT_STORE_H
#define SN_UNIT_STORE_H

#include "compiler/type.h"
#include "tests/unit/unit.h"

typedef struct UnitStore {
    SnContext *ctx;
    SnStore *s;
} UnitStore;

static inline int unit_store_setup(void **state)
{
    static UnitStore u;
    if (sn_context_create(NULL, &u.ctx, NULL) != SN_OK || sn_store_create(u.ctx, &u.s, NULL) != SN_OK)
        return -1;
    *state = &u;
    return 0;
}

static inline int unit_store_teardown(void **state)
{
    UnitStore *u = (UnitStore *)*state;
    sn_store_destroy(u->s);
    sn_context_destroy(u->ctx);
    return 0;
}

static inline SnStore *unit_store(void **state)
{
    return ((UnitStore *)*state)->s;
}

/* An input of the given dims. */
static inline SnRef unit_input(SnStore *s, const char *name, SnDtype dtype, int ndim, const SnRef *dims)
{
    const SnAttr a = SN_STRING("name", name);
    return sn_term_make(s, SN_OP_INPUT, sn_type_tensor(s, dtype, ndim, dims), sn_attrs_make(s, &a, 1), NULL,
                        0);
}

static inline SnRef unit_symbol(SnStore *s, const char *name)
{
    return sn_dim_symbol(s, name, 1, 1 << 20, false);
}

#define assert_type(s, type, text)                                                                           \
    do {                                                                                                     \
        SnText unit_text = {.memory = sn_allocator(sn_store_context(s))};                                    \
        sn_type_print((s), (type), &unit_text);                                                              \
        assert_string_equal(unit_text.at, (text));                                                           \
        sn_text_clear(&unit_text);                                                                           \
    } while (0)

#define assert_dim(s, dim, text)                                                                             \
    do {                                                                                                     \
        SnText unit_text = {.memory = sn_allocator(sn_store_context(s))};                                    \
        sn_dim_print((s), (dim), &unit_text);                                                                \
        assert_string_equal(unit_text.at, (text));                                                           \
        sn_text_clear(&unit_text);                                                                           \
    } while (0)

#define unit_store_test(f) cmocka_unit_test_setup_teardown(f, unit_store_setup, unit_store_teardown)

#endif
