/* source_host.c -- runs the programs that source_emit wrote as C text: the bits of the interpreter, whatever
 * compiler made them and with whatever flags. Its argument is what source_emit expects. */
#include "tests/embed/source.h"

#include "source_beside.h"
#include "source_model.h"
#include "source_small.h"

#include <stdio.h>
#include <string.h>

static int check_small(const SourceExpected *want)
{
    static EmbedInput in;
    SnError err = {SN_OK, ""};
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    EmbedOutput got;
    embed_fill(&in, SOURCE_SEED);
    memset(&got, 0, sizeof got);
    if (sn_context_create(NULL, &ctx, &err) != SN_OK ||
        sn_program_link(ctx, &source_small_program, &p, &err) || sn_instance_create(p, NULL, &s, &err) ||
        embed_bind(s, &in, &err) || sn_run(s, &err) || embed_output(s, &got, &err))
        (void)printf("source_small: %s\n", err.message);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_context_destroy(ctx);
    return memcmp(&got, &want->small, sizeof got) != 0;
}

static int check_model(const SourceExpected *want)
{
    SourceModelCtx *ctx = NULL;
    float v[SOURCE_MODEL_WIDTH];
    int failed = source_model_create(NULL, &ctx) || strcmp(source_model_cpu_level(ctx), "base") != 0;
    for (int i = 0; i < SOURCE_TEXTS && !failed; i++)
        failed = source_model_embed(ctx, source_text[i], strlen(source_text[i]), v) != 0 ||
                 memcmp(v, want->vector[i], sizeof v) != 0;
    source_model_destroy(ctx);
    return failed;
}

/* In slices, with weights from the file that lies beside this program. */
static int check_beside(const SourceExpected *want)
{
    SourceBesideCtx *ctx = NULL;
    float v[SOURCE_BESIDE_WIDTH];
    char message[300] = "";
    SnModelHost host = SN_MODEL_HOST;
    host.message = message;
    host.message_size = sizeof message;
    int status = source_beside_create(&host, &ctx);
    if (status == 0)
        status = source_beside_begin(ctx, source_text[0], strlen(source_text[0]));
    if (status == 0)
        do
            status = source_beside_step(ctx, 1);
        while (status == SN_MODEL_AGAIN);
    if (status == 0)
        status = source_beside_vector(ctx, v);
    (void)fputs(message, stdout);
    const int failed = status != 0 || memcmp(v, want->vector[0], sizeof v) != 0;
    source_beside_destroy(ctx);
    return failed;
}

int main(int argc, char **argv)
{
    static SourceExpected want;
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    const size_t n = f ? fread(&want, sizeof want, 1, f) : 0;
    if (f)
        (void)fclose(f);
    const int bad[] = {n != 1 || check_small(&want), n != 1 || check_model(&want),
                       n != 1 || check_beside(&want)};
    if (bad[0] || bad[1] || bad[2])
        (void)printf("other bits:%s%s%s\n", bad[0] ? " source_small" : "", bad[1] ? " source_model" : "",
                     bad[2] ? " source_beside" : "");
    return bad[0] || bad[1] || bad[2];
}
