/* source_emit.c -- programs as C text, and the bits that the interpreter gives for them in exact mode.
 *
 *   source_emit FOLDER    FOLDER/source_small.c, source_model.c (weights inside), source_beside.c, their
 * headers, source_beside.weights, expected.bin */
#include "tests/embed/embed_model.h"
#include "tests/embed/source.h"

#include <stdio.h>

typedef struct Emit {
    SnContext *ctx;
    SnCompiler *cc;
    const char *folder;
    SnError err;
} Emit;

static const char *path_of(const Emit *e, const char *file, char out[1024])
{
    (void)snprintf(out, 1024, "%s/%s", e->folder, file);
    return out;
}

static SnStatus run_small(Emit *e, SnGraph *g, SnProgram **p, SnInstance **s, EmbedOutput *out)
{
    static EmbedInput in;
    char path[1024];
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp", .flags = SN_EXACT};
    embed_fill(&in, SOURCE_SEED);
    SN_TRY(sn_emit(e->cc, g, &o, path_of(e, "source_small.c", path), &e->err));
    SN_TRY(sn_compile(e->cc, g, &o, p, &e->err));
    SN_TRY(sn_instance_create(*p, NULL, s, &e->err));
    SN_TRY(embed_bind(*s, &in, &e->err));
    SN_TRY(sn_run(*s, &e->err));
    return embed_output(*s, out, &e->err);
}

static SnStatus make_small(Emit *e, EmbedOutput *out)
{
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    SN_TRY(sn_graph_create(e->cc, &g, &e->err));
    embed_graph(g);
    const SnStatus st = run_small(e, g, &p, &s, out);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    return st;
}

static SnStatus run_model(Emit *e, SnModel *m, SnResults **r, float out[SOURCE_TEXTS][SOURCE_WIDTH])
{
    char path[1024];
    SnBytes text[SOURCE_TEXTS];
    const SnEmitOptions beside = {.struct_size = sizeof beside, .weights_beside = true};
    SN_TRY(sn_model_emit(m, NULL, NULL, path_of(e, "source_model.c", path), &e->err));
    SN_TRY(sn_model_emit(m, NULL, &beside, path_of(e, "source_beside.c", path), &e->err));
    for (int i = 0; i < SOURCE_TEXTS; i++) {
        text[i] = sn_bytes_str(source_text[i]);
        sn_results_destroy(*r);
        *r = NULL;
        SN_TRY(sn_model_embed(m, &text[i], 1, r, &e->err));
        const SnView *v = &sn_results_get(*r, 0)->view;
        SN_CHECK(v->dtype == SN_F32 && v->dims[v->ndim - 1] == SOURCE_WIDTH, &e->err, SN_EINTERNAL,
                 "embeddings are not as expected");
        memcpy(out[i], v->data, sizeof out[i]);
    }
    return SN_OK;
}

static SnStatus make_model(Emit *e, float out[SOURCE_TEXTS][SOURCE_WIDTH])
{
    char folder[64];
    SnModel *m = NULL;
    SnResults *r = NULL;
    const SnModelOptions o = {.struct_size = sizeof o, .flags = SN_EXACT, .device = "interp"};
    SN_TRY(embed_model_create(e->ctx, folder, &e->err));
    SnStatus st = sn_model_open(e->cc, folder, &o, &m, &e->err);
    if (st == SN_OK)
        st = run_model(e, m, &r, out);
    sn_results_destroy(r);
    sn_model_close(m);
    embed_folder_remove(folder);
    return st;
}

static SnStatus make_all(Emit *e)
{
    static SourceExpected out;
    char path[1024];
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SN_TRY(sn_context_create(NULL, &e->ctx, &e->err));
    SN_TRY(sn_compiler_create(e->ctx, &cd, &e->cc, &e->err));
    SN_TRY(make_small(e, &out.small));
    SN_TRY(make_model(e, out.vector));
    const SnBytes bytes = sn_bytes(&out, sizeof out);
    return sn_file_write(e->ctx, path_of(e, "expected.bin", path), &bytes, 1, &e->err);
}

int main(int argc, char **argv)
{
    Emit e = {.folder = argc > 1 ? argv[1] : "."};
    const SnStatus st = make_all(&e);
    if (st != SN_OK)
        fprintf(stderr, "source_emit: %s: %s\n", sn_status_name(st), e.err.message);
    sn_compiler_destroy(e.cc);
    sn_context_destroy(e.ctx);
    return st == SN_OK ? 0 : 1;
}
