/* typed_emit.c -- writes the models that typed_test and typed_task_test link, and what one gives just in
 * time.
 *
 *   typed_emit FOLDER    FOLDER/typed_*.o and their headers, typed_expected.bin; runs in the source tree */
#include "tests/embed/embed_model.h"
#include "tests/embed/typed_expected.h"

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

static SnStatus make_expected(Emit *e, SnModel *m)
{
    TypedExpected out;
    char path[1024];
    for (size_t i = 0; i < TYPED_NTEXT; i++) {
        const SnBytes text = sn_bytes_str(typed_texts[i]);
        SnResults *r = NULL;
        SN_TRY(sn_model_embed(m, &text, 1, &r, &e->err));
        memcpy(out.vector[i], sn_results_get(r, 0)->view.data, sizeof out.vector[i]);
        sn_results_destroy(r);
    }
    const SnBytes bytes = sn_bytes(&out, sizeof out);
    return sn_file_write(e->ctx, path_of(e, "typed_expected.bin", path), &bytes, 1, &e->err);
}

static SnStatus make_embed(Emit *e)
{
    char folder[64], path[1024];
    SnModel *m = NULL;
    const SnEmitOptions o = {.struct_size = sizeof o, .max_text = TYPED_MAX_TEXT};
    SN_TRY(embed_layers_create(e->ctx, 2, folder, &e->err));
    SnStatus st = sn_model_open(e->cc, folder, NULL, &m, &e->err);
    if (st == SN_OK)
        st = sn_model_emit(m, "embed", &o, path_of(e, "typed_embed.o", path), &e->err);
    if (st == SN_OK)
        st = make_expected(e, m);
    sn_model_close(m);
    embed_folder_remove(folder);
    return st;
}

/* A program over tensors that carries state. */
static SnStatus make_state(Emit *e)
{
    char path[1024];
    SnGraph *g = NULL;
    const SnTask task = {.kind = SN_TYPED_TENSORS, .shape = "n=24,ids.size=168"};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu", .task = &task};
    SN_TRY(sn_graph_create(e->cc, &g, &e->err));
    embed_graph(g);
    const SnStatus st = sn_emit(e->cc, g, &o, path_of(e, "typed_state.o", path), &e->err);
    sn_graph_destroy(g);
    return st;
}

static SnStatus make_task(Emit *e, const char *model, const char *file)
{
    char path[1024], folder[256];
    SnModel *m = NULL;
    (void)snprintf(folder, sizeof folder, "tests/golden/pipeline/%s/model", model);
    SN_TRY(sn_model_open(e->cc, folder, NULL, &m, &e->err));
    const SnStatus st = sn_model_emit(m, NULL, NULL, path_of(e, file, path), &e->err);
    sn_model_close(m);
    return st;
}

static SnStatus make_all(Emit *e)
{
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SN_TRY(sn_context_create(NULL, &e->ctx, &e->err));
    SN_TRY(sn_compiler_create(e->ctx, &cd, &e->cc, &e->err));
    SN_TRY(make_embed(e));
    SN_TRY(make_state(e));
    SN_TRY(make_task(e, "text-classification-bert", "typed_class.o"));
    SN_TRY(make_task(e, "token-classification-bert", "typed_tag.o"));
    SN_TRY(make_task(e, "question-answering-bert", "typed_answer.o"));
    return make_task(e, "fill-mask-electra", "typed_fill.o");
}

int main(int argc, char **argv)
{
    Emit e = {.folder = argc > 1 ? argv[1] : "."};
    const SnStatus st = make_all(&e);
    if (st != SN_OK)
        fprintf(stderr, "typed_emit: %s: %s\n", sn_status_name(st), e.err.message);
    sn_compiler_destroy(e.cc);
    sn_context_destroy(e.ctx);
    return st == SN_OK ? 0 : 1;
}
