/* embed.h -- what the tests of the public API share: an allocator that checks, counts and fails; inputs and
 * outputs of the program of embed_model.h. The runtime's API only. */
#ifndef SN_EMBED_H
#define SN_EMBED_H

#include "runtime/sinter.h"

/* ---- memory that looks at its callers ---- */
typedef struct EmbedMemory {
    uint64_t count;    /* requests for more memory so far */
    uint64_t fail_at;  /* 1: the first request is refused; 0: none */
    bool all_after;    /* and all that follow it */
    size_t largest;    /* a larger request is refused; 0: none is */
    uint64_t live;     /* blocks */
    uint64_t bytes;    /* in them */
    const char *wrong; /* a call that broke the contract of SnAllocator, or NULL */
} EmbedMemory;
SnAllocator embed_allocator(EmbedMemory *m);

/* ---- runs of a program ---- */
enum { EMBED_WIDTH = 16, EMBED_ROWS = 24, EMBED_LONGEST = 7, EMBED_LAYERS = 3 };

typedef struct EmbedInput {
    float x[EMBED_ROWS * EMBED_WIDTH];
    int32_t child[EMBED_ROWS * EMBED_LONGEST];
    int64_t start[EMBED_ROWS], len[EMBED_ROWS];
} EmbedInput;
float embed_noise(uint32_t *seed); /* in [-1, 1) */
void embed_fill(EmbedInput *in, uint32_t seed);
SN_MUST_CHECK SnStatus embed_bind(SnInstance *s, EmbedInput *in, SnError *err);

/* What a run gave, as bytes that can be compared. */
typedef struct EmbedOutput {
    float y[EMBED_ROWS * EMBED_WIDTH], total, energy[EMBED_LAYERS];
    int32_t ids[EMBED_ROWS * EMBED_LONGEST];
} EmbedOutput;
SN_MUST_CHECK SnStatus embed_output(SnInstance *s, EmbedOutput *out, SnError *err);

#endif
