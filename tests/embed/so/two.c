/* two.c -- two models in one program, as C and as C++: their headers, each twice, and their objects. The
 * sizes of the headers hold: each runs in a block of as many bytes as it says, with bytes behind it that
 * stay. */
#include "model.h"
#include "other.h"
/* Twice. */
#include "model.h"
#include "other.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
static_assert(SN_MODEL_TYPES == MODEL_ABI && MODEL_ABI == OTHER_ABI, "one ABI");
#else
_Static_assert(SN_MODEL_TYPES == MODEL_ABI && MODEL_ABI == OTHER_ABI, "one ABI");
#endif

enum { GUARD = 64 };
static char text[MODEL_MAX_TEXT + OTHER_MAX_TEXT];
static float a[MODEL_WIDTH], b[OTHER_WIDTH], longest[MODEL_WIDTH];

static SnModelHost host_of(unsigned char *block, size_t n)
{
    SnModelHost host = SN_MODEL_HOST;
    memset(block, 0xA5, n + GUARD);
    host.block = block;
    host.block_size = n;
    return host;
}

static int is_whole(const unsigned char *block, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++)
        if (block[i] != 0xA5)
            return 0;
    return 1;
}

int main(void)
{
    unsigned char *m = (unsigned char *)malloc(MODEL_BLOCK_BYTES + GUARD);
    unsigned char *o = (unsigned char *)malloc(OTHER_BLOCK_BYTES + GUARD);
    ModelCtx *model;
    OtherCtx *other;
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 2)
        text[i] = '.'; /* as many tokens as can be */
    const SnModelHost hm = host_of(m, MODEL_BLOCK_BYTES), ho = host_of(o, OTHER_BLOCK_BYTES);
    int wrong = model_create(&hm, &model) != 0 || other_create(&ho, &other) != 0;
    if (wrong)
        return 1;
    wrong += model_embed(model, text, MODEL_MAX_TEXT, longest) != SN_MODEL_OK;
    wrong += other_embed(other, text, OTHER_MAX_TEXT, b) != SN_MODEL_OK;
    wrong += model_embed(model, text, MODEL_MAX_TEXT + 1, a) != SN_MODEL_ESHAPE;
    wrong += other_embed(other, text, OTHER_MAX_TEXT + 1, b) != SN_MODEL_ESHAPE;
    wrong += model_embed(model, "one", 3, a) != SN_MODEL_OK;
    wrong += model_embed(model, text, MODEL_MAX_TEXT, a) != SN_MODEL_OK;
    wrong += memcmp(a, longest, sizeof a) != 0;
    model_destroy(model);
    other_destroy(other);
    wrong += !is_whole(m, MODEL_BLOCK_BYTES) || !is_whole(o, OTHER_BLOCK_BYTES);
    free(m);
    free(o);
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
