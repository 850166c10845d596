/* unit.h -- cmocka with what it needs before it, and checks on statuses. */
#ifndef SN_UNIT_H
#define SN_UNIT_H

#include "runtime/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Both use a local SnError named err. */
#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        err.message[0] = '\0';                                                                               \
        const SnStatus unit_status = (expr);                                                                 \
        if (unit_status != SN_OK)                                                                            \
            fail_msg("%s: %s: %s", #expr, sn_status_name(unit_status), err.message);                         \
    } while (0)

#define assert_fails(want, expr)                                                                             \
    do {                                                                                                     \
        err.message[0] = '\0';                                                                               \
        const SnStatus unit_status = (expr);                                                                 \
        if (unit_status != (want))                                                                           \
            fail_msg("%s: %s, expected %s", #expr, sn_status_name(unit_status), sn_status_name(want));       \
        assert_int_not_equal(err.message[0], 0);                                                             \
        assert_int_equal(err.code, (want));                                                                  \
    } while (0)

#endif
