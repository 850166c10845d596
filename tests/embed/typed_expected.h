/* typed_expected.h -- what typed_emit and typed_test agree on; the runtime's API only. */
#ifndef SN_TYPED_EXPECTED_H
#define SN_TYPED_EXPECTED_H

#include <stdint.h>

enum { TYPED_WIDTH = 4, TYPED_MAX_TEXT = 100, TYPED_NTEXT = 6 };

/* The fourth is longer than TYPED_MAX_TEXT; the last is no UTF-8, the one before as it is read. */
static const char *const typed_texts[TYPED_NTEXT] = {
    "hello world",
    "",
    "don't",
    "a b c d hello world 12.5 x, a b c d hello world 12.5 x, a b c d hello world 12.5 x, a b c d hello world",
    "hello \xEF\xBF\xBD world \xEF\xBF\xBD\xEF\xBF\xBD a",
    "hello \xE2\x82 world \xFF\x80 a",
};

/* The vectors that the model gives just in time. */
typedef struct TypedExpected {
    float vector[TYPED_NTEXT][TYPED_WIDTH];
} TypedExpected;

#endif
