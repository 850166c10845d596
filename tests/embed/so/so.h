/* so.h -- a compiled model in a shared object, opened as a host does: by its typed functions alone.
 *
 * The types are those of runtime/typed.h, of which no function is linked. */
#ifndef SN_EMBED_SO_H
#define SN_EMBED_SO_H

#include "runtime/typed.h"

#define SO_FUNCTIONS(X)                                                                                      \
    X(SnStatus, create, (const SnTypedHost *, SnTyped **))                                                   \
    X(void, destroy, (SnTyped *))                                                                            \
    X(const char *, error, (const SnTyped *))                                                                \
    X(SnStatus, begin, (SnTyped *, const char *, size_t))                                                    \
    X(SnStatus, step, (SnTyped *, uint64_t))                                                                 \
    X(SnStatus, vector, (SnTyped *, float *))                                                                \
    X(SnStatus, embed, (SnTyped *, const char *, size_t, float *))                                           \
    X(SnStatus, classify, (SnTyped *, const char *, size_t, float *))                                        \
    X(SnStatus, classify_pair, (SnTyped *, const char *, size_t, const char *, size_t, float *))             \
    X(SnStatus, tag, (SnTyped *, const char *, size_t, SnTypedSpan *, size_t, size_t *))                     \
    X(SnStatus, answer, (SnTyped *, const char *, size_t, const char *, size_t, SnTypedSpan *))              \
    X(SnStatus, fill, (SnTyped *, const char *, size_t, SnTypedWord *, size_t, size_t *))                    \
    X(SnStatus, eval, (SnTyped *))                                                                           \
    X(SnStatus, state, (SnTyped *))                                                                          \
    X(SnStatus, restore, (SnTyped *))                                                                        \
    X(SnStatus, reset, (SnTyped *))                                                                          \
    X(SnStatus, bind, (SnTyped *, const char *, const SnView *))                                             \
    X(SnStatus, run, (SnTyped *))                                                                            \
    X(SnStatus, result, (SnTyped *, const char *, SnView *))                                                 \
    X(SnStatus, state_save, (SnTyped *, void *, size_t *))                                                   \
    X(SnStatus, state_load, (SnTyped *, const void *, size_t))

/* Functions that the model does not have are NULL. */
typedef struct So {
    void *library;
    const SnTypedDesc *desc;
#define SO_X(result, name, args) result(*name) args;
    SO_FUNCTIONS(SO_X)
#undef SO_X
} So;

/* The model is named as its file is. Ends the program where that cannot be loaded. */
So so_open(const char *path);
void so_close(So *so);

#endif
