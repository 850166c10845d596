/* talk_host.c -- talks with a compiled model, in every way that it can be talked with, and prints the
 * answers. talk_host SLICE_NS MESSAGE...    exit 3: this CPU has no code in it */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST (1 << 16)

typedef struct Answer {
    char text[MOST];
    size_t n, pieces, most; /* most: 0, or pieces that are enough */
} Answer;

static int take(void *user, const char *text, size_t n)
{
    Answer *a = user;
    if (n == 0 || n > MOST - a->n)
        return 1;
    memcpy(a->text + a->n, text, n);
    a->n += n;
    return ++a->pieces == a->most;
}

static void check(ModelCtx *ctx, int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "talk_host: %s: %s\n", what, ctx ? model_error(ctx) : "");
    exit(1);
}

static int is_same(const Answer *a, const Answer *b)
{
    return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

static int open_context(ModelCtx **ctx, void *block, size_t size)
{
    char message[200] = "";
    SnModelHost host = SN_MODEL_HOST;
    host.message = message;
    host.message_size = sizeof message;
    host.block = block;
    host.block_size = size;
    const int st = model_create(&host, ctx);
    if (st != SN_MODEL_OK)
        fprintf(stderr, "talk_host: %s\n", message);
    return st;
}

/* One slice. */
static int step(ModelCtx *ctx, uint64_t ns, Answer *a)
{
    const char *text;
    size_t n;
    const int st = model_step(ctx, ns);
    check(ctx, st == SN_MODEL_OK || st == SN_MODEL_AGAIN, "step");
    check(ctx, model_text(ctx, &text, &n) == SN_MODEL_OK, "text");
    if (n)
        (void)take(a, text, n);
    return st;
}

/* Two contexts in slices, turn by turn: each says what one alone says. */
static void talk_in_slices(uint64_t ns, char **message, int n, const Answer *want)
{
    static Answer got[2];
    ModelCtx *ctx[2];
    void *block = malloc(MODEL_BLOCK_BYTES);
    check(NULL, block && open_context(&ctx[0], block, MODEL_BLOCK_BYTES) == SN_MODEL_OK, "a block");
    check(NULL, open_context(&ctx[1], NULL, 0) == SN_MODEL_OK, "create");
    for (int i = 0; i < n; i++) {
        int st[2] = {SN_MODEL_AGAIN, SN_MODEL_AGAIN};
        memset(got, 0, sizeof got);
        for (int k = 0; k < 2; k++)
            check(ctx[k], model_begin(ctx[k], message[i], strlen(message[i])) == SN_MODEL_OK, "begin");
        while (st[0] == SN_MODEL_AGAIN || st[1] == SN_MODEL_AGAIN)
            for (int k = 0; k < 2; k++)
                st[k] = st[k] == SN_MODEL_AGAIN ? step(ctx[k], ns, &got[k]) : st[k];
        check(ctx[0], is_same(&got[0], &want[i]), "slices in a block say something else");
        check(ctx[1], is_same(&got[1], &want[i]), "slices say something else");
    }
    model_destroy(ctx[0]);
    model_destroy(ctx[1]);
    free(block);
}

/* Messages that come too early, answers that are long enough, and a new conversation that is as the first. */
static void interrupt(ModelCtx *ctx, char **message, const Answer *want)
{
    static Answer got;
    for (uint64_t ns = 1; ns < 2000000; ns *= 40) {
        check(ctx, model_forget(ctx) == SN_MODEL_OK, "forget");
        check(ctx, model_begin(ctx, message[0], strlen(message[0])) == SN_MODEL_OK, "begin");
        for (int i = 0; i < 20; i++)
            (void)step(ctx, ns, &got);
        check(ctx, model_begin(ctx, "or", 2) == SN_MODEL_OK, "begin early");
        (void)step(ctx, ns, &got);
        memset(&got, 0, sizeof got);
        got.most = 2;
        check(ctx, model_say(ctx, "no", 2, take, &got) == SN_MODEL_OK && got.pieces <= 2, "say less");
        check(ctx, model_forget(ctx) == SN_MODEL_OK, "forget");
        memset(&got, 0, sizeof got);
        check(ctx, model_say(ctx, message[0], strlen(message[0]), take, &got) == SN_MODEL_OK, "say");
        check(ctx, is_same(&got, &want[0]), "after forget it says something else");
    }
}

static void misuse(ModelCtx *ctx)
{
    static char many[4 * MODEL_MAX_TEXT];
    const char *text;
    size_t n;
    static Answer got;
    memset(many, 'x', sizeof many);
    check(ctx, model_forget(ctx) == SN_MODEL_OK, "forget");
    check(ctx, model_step(ctx, 0) == SN_MODEL_EINVAL, "a step of nothing");
    check(ctx, model_begin(ctx, NULL, 1) == SN_MODEL_EINVAL, "a text at NULL");
    check(ctx, model_say(ctx, "a", 1, NULL, NULL) == SN_MODEL_EINVAL, "no sink");
    check(ctx,
          model_text(ctx, NULL, &n) == SN_MODEL_EINVAL && model_text(ctx, &text, NULL) == SN_MODEL_EINVAL,
          "no place");
    check(ctx, model_say(ctx, many, sizeof many, take, &got) == SN_MODEL_ESHAPE, "too long");
    check(ctx, model_step(ctx, 0) == SN_MODEL_EINVAL, "a step after a failure");
}

int main(int argc, char **argv)
{
    static Answer want[8];
    ModelCtx *ctx;
    const int n = argc - 2;
    if (n < 1 || n > 8)
        return 2;
    const int st = open_context(&ctx, NULL, 0);
    if (st != SN_MODEL_OK)
        return st == SN_MODEL_EUNSUPPORTED ? 3 : 1;
    for (int i = 0; i < n; i++) {
        check(ctx, model_say(ctx, argv[2 + i], strlen(argv[2 + i]), take, &want[i]) == SN_MODEL_OK, "say");
        printf("%.*s%c", (int)want[i].n, want[i].text, 0);
    }
    talk_in_slices((uint64_t)atoll(argv[1]), argv + 2, n, want);
    interrupt(ctx, argv + 2, want);
    misuse(ctx);
    model_destroy(ctx);
    return 0;
}
