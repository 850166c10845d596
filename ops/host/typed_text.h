/* typed_text.h -- what results that are parts of texts share: rows of lists, characters as bytes, the
 * tokenizer. Private to ops/host. */
#ifndef SN_TYPED_TEXT_H
#define SN_TYPED_TEXT_H

#include "ops/host/tokenize.h"
#include "runtime/typed_context.h"

/* A place in a text, in bytes and in characters as tokenizers count them: an ill-formed part is one. */
typedef struct SnTypedCursor {
    SnBytes text;
    size_t byte;
    int64_t character;
} SnTypedCursor;
/* The byte at which a character begins, or the end of the text. Going forward is cheap. */
size_t sn_typed_byte(SnTypedCursor *c, int64_t character);

/* A row of a list of i32. */
typedef struct SnTypedRow {
    const int32_t *at;
    int64_t n;
} SnTypedRow;
SN_MUST_CHECK SnStatus sn_typed_row(SnTyped *t, SnTypedKind kind, const char *output, int64_t row,
                                    SnTypedRow *out);

/* The tokenizer that the program holds; empty: none. */
SnBytes sn_typed_tokenizer(const SnTyped *t);

#endif
