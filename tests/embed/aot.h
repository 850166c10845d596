/* aot.h -- what aot_emit and aot_test agree on; the runtime's API only. */
#ifndef SN_EMBED_AOT_H
#define SN_EMBED_AOT_H

#include "runtime/memory.h"
#include "tests/embed/embed.h"

enum { AOT_SEED = 9, AOT_TEXTS = 2, AOT_TOKENS = 8 };

typedef struct AotTokens {
    int64_t ids[AOT_TEXTS * AOT_TOKENS], mask[AOT_TEXTS * AOT_TOKENS];
} AotTokens;

typedef struct AotExpected {
    EmbedOutput small;
    AotTokens tokens;
} AotExpected;

/* Runs the program from text to tokens. */
static inline SnStatus aot_tokens(SnInstance *s, AotTokens *out, SnError *err)
{
    static const char text[] = "Hello world, a 12.5don't w\xC3\xB6rld x";
    const int64_t start[AOT_TEXTS] = {0, 19}, len[AOT_TEXTS] = {19, (int64_t)sizeof text - 20};
    SnView v = sn_view(SN_U8, (void *)(uintptr_t)text, 1, (const int64_t[]){AOT_TEXTS}), ids, mask;
    v.start = start;
    v.len = len;
    v.child_count = (int64_t)sizeof text - 1;
    SN_TRY(sn_bind(s, "text", &v, err));
    SN_TRY(sn_run(s, err));
    SN_TRY(sn_result(s, "ids", &ids, err));
    SN_TRY(sn_result(s, "mask", &mask, err));
    SN_CHECK(ids.dims[0] == AOT_TEXTS && ids.dims[1] == AOT_TOKENS, err, SN_EINTERNAL,
             "ids of %lld texts and %lld tokens", (long long)ids.dims[0], (long long)ids.dims[1]);
    memcpy(out->ids, ids.data, sizeof out->ids);
    memcpy(out->mask, mask.data, sizeof out->mask);
    return SN_OK;
}

#endif
