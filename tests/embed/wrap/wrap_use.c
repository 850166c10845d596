/* wrap_use.c -- uses every model of wrap_test through its C header; the programs in other languages print the
 * same lines. */
#include "wrap_answer.h"
#include "wrap_class.h"
#include "wrap_embed.h"
#include "wrap_fill.h"
#include "wrap_pair.h"
#include "wrap_state.h"
#include "wrap_tag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int status, const char *error)
{
    if (status == 0)
        return;
    fprintf(stderr, "wrap_use: %d: %s\n", status, error);
    exit(1);
}

static void use_embed(void)
{
    WrapEmbedCtx *ctx = NULL;
    float v[WRAP_EMBED_WIDTH], sliced[WRAP_EMBED_WIDTH];
    const char *text = "hello world";
    int status, n = 0;
    check(wrap_embed_create(NULL, &ctx), "create");
    check(wrap_embed_embed(ctx, text, strlen(text), v), wrap_embed_error(ctx));
    printf("embed %.5f %.5f %.5f %.5f\n", v[0], v[1], v[2], v[3]);
    check(wrap_embed_begin(ctx, text, strlen(text)), wrap_embed_error(ctx));
    while ((status = wrap_embed_step(ctx, 1)) == SN_MODEL_AGAIN)
        n++;
    check(status, wrap_embed_error(ctx));
    check(wrap_embed_vector(ctx, sliced), wrap_embed_error(ctx));
    printf("slices %d %d\n", n > 1, memcmp(v, sliced, sizeof v) == 0);
    wrap_embed_destroy(ctx);
}

static void use_class(void)
{
    WrapClassCtx *ctx = NULL;
    float score[WRAP_CLASS_LABELS];
    int i;
    check(wrap_class_create(NULL, &ctx), "create");
    check(wrap_class_classify(ctx, "paris is big", 12, score), wrap_class_error(ctx));
    for (i = 0; i < WRAP_CLASS_LABELS; i++)
        printf("class %s %.5f\n", wrap_class_label((uint32_t)i), score[i]);
    wrap_class_destroy(ctx);
}

static void use_pair(void)
{
    WrapPairCtx *ctx = NULL;
    float score[WRAP_PAIR_LABELS];
    check(wrap_pair_create(NULL, &ctx), "create");
    check(wrap_pair_classify_pair(ctx, "fox", 3, "a dog", 5, score), wrap_pair_error(ctx));
    printf("pair %.5f %.5f\n", score[0], score[1]);
    wrap_pair_destroy(ctx);
}

static void use_tag(void)
{
    WrapTagCtx *ctx = NULL;
    SnModelSpan span[8];
    size_t n = 0, i;
    const char *text = "  Na\xC3\xAFve caf\xC3\xA9 \xE2\x80\x94 \xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x98\x80 x";
    check(wrap_tag_create(NULL, &ctx), "create");
    check(wrap_tag_tag(ctx, text, strlen(text), span, 8, &n), wrap_tag_error(ctx));
    for (i = 0; i < n; i++)
        printf("tag %s %.5f %u [%.*s]\n", span[i].name, span[i].score, (unsigned)span[i].label,
               (int)(span[i].end - span[i].begin), text + span[i].begin);
    wrap_tag_destroy(ctx);
}

static void use_answer(void)
{
    WrapAnswerCtx *ctx = NULL;
    SnModelSpan span;
    const char *q = "who ?",
               *text = "  Na\xC3\xAFve caf\xC3\xA9 \xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x98\x80 don't state";
    check(wrap_answer_create(NULL, &ctx), "create");
    check(wrap_answer_answer(ctx, q, strlen(q), text, strlen(text), &span), wrap_answer_error(ctx));
    printf("answer %.5f [%.*s]\n", span.score, (int)(span.end - span.begin), text + span.begin);
    wrap_answer_destroy(ctx);
}

static void use_fill(void)
{
    WrapFillCtx *ctx = NULL;
    SnModelWord word[WRAP_FILL_WORDS];
    size_t n = 0, i;
    check(wrap_fill_create(NULL, &ctx), "create");
    check(wrap_fill_fill(ctx, "the [MASK] fox", 14, word, WRAP_FILL_WORDS, &n), wrap_fill_error(ctx));
    for (i = 0; i < n; i++)
        printf("fill %d %.5f [%.*s]\n", (int)word[i].id, word[i].score, (int)word[i].size, word[i].text);
    printf("error %d\n", wrap_fill_fill(ctx, "no", 2, word, WRAP_FILL_WORDS, &n));
    wrap_fill_destroy(ctx);
}

/* A carried total goes up with every run; a saved one comes back. */
static void use_state(void)
{
    WrapStateCtx *ctx = NULL;
    float x[32];
    SnModelView in = {0}, total, y;
    unsigned char state[256];
    size_t size = sizeof state;
    int i;
    for (i = 0; i < 32; i++)
        x[i] = (float)i / 32;
    in.data = x, in.dtype = SN_MODEL_F32, in.ndim = 2, in.dims[0] = 2, in.dims[1] = 16;
    check(wrap_state_create(NULL, &ctx), "create");
    check(wrap_state_bind(ctx, "x", &in), wrap_state_error(ctx));
    for (i = 0; i < 3; i++) {
        check(wrap_state_run(ctx), wrap_state_error(ctx));
        check(wrap_state_result(ctx, "total", &total), wrap_state_error(ctx));
        check(wrap_state_result(ctx, "y", &y), wrap_state_error(ctx));
        printf("total %.5f %.5f %dx%d\n", *(const float *)total.data, ((const float *)y.data)[31],
               (int)y.dims[0], (int)y.dims[1]);
        if (i == 0)
            check(wrap_state_state_save(ctx, state, &size), wrap_state_error(ctx));
        if (i == 1)
            check(wrap_state_state_load(ctx, state, size), wrap_state_error(ctx));
    }
    wrap_state_destroy(ctx);
}

int main(void)
{
    use_embed();
    use_class();
    use_pair();
    use_tag();
    use_answer();
    use_fill();
    use_state();
    return 0;
}
