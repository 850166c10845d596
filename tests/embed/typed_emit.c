/* typed_emit.c -- writes the models that typed_test and typed_task_test link, and what one gives just in
 * time.
 *
 *   typed_emit FOLDER       FOLDER/typed_*.o and their headers, typed_expected.bin
 *   typed_emit FOLDER so    FOLDER/wrap_*.so, their headers and wrappers, for wrap_test
 *
 * It runs in the source tree. */
#include "tests/embed/embed_model.h"
#include "tests/embed/typed_expected.h"

#include <stdio.h>

typedef struct Emit {
    SnContext *ctx;
    SnCompiler *cc;
    const char *folder;
    bool is_shared;
    SnError err;
} Emit;

static const char bindings[] = "cpp,csharp,lua,python,rust";

static const char *path_of(const Emit *e, const char *file, char out[1024])
{
    (void)snprintf(out, 1024, "%s/%s", e->folder, file);
    return out;
}

static const char *model_path(const Emit *e, const char *name, char out[1024])
{
    (void)snprintf(out, 1024, e->is_shared ? "%s/wrap_%s.so" : "%s/typed_%s.o", e->folder, name);
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
    const SnEmitOptions o = {
        .struct_size = sizeof o, .max_text = TYPED_MAX_TEXT, .bindings = e->is_shared ? bindings : NULL};
    SN_TRY(embed_layers_create(e->ctx, 2, folder, &e->err));
    SnStatus st = sn_model_open(e->cc, folder, NULL, &m, &e->err);
    if (st == SN_OK)
        st = sn_model_emit(m, "embed", &o, model_path(e, "embed", path), &e->err);
    if (st == SN_OK && !e->is_shared)
        st = make_expected(e, m);
    sn_model_close(m);
    embed_folder_remove(folder);
    return st;
}

/* y = 2 x, and the carried sum of all x that it saw. */
static void sum_graph(SnGraph *g)
{
    const SnValue n = sn_symbol(g, "n", 1, 4096), two = sn_const(g, SN_F32, 2);
    const SnValue x = sn_input(g, "x", SN_F32, 2, (SnValue[]){n, sn_const_int(g, SN_I64, 16)});
    const SnValue total = sn_carry(g, "total", sn_const(g, SN_F32, 0));
    const SnValue sum = sn_add(g, total, sn_reduce(g, "add", x, 2, (const int[]){0, 1}, false));
    sn_next(g, total, sum);
    sn_output(g, "y", sn_mul(g, x, two));
    sn_output(g, "total", sum);
}

/* A program over tensors that carries state. */
static SnStatus make_state(Emit *e)
{
    char path[1024];
    SnGraph *g = NULL;
    const SnTask task = {.kind = SN_TYPED_TENSORS, .shape = e->is_shared ? "n=2" : "n=24,ids.size=168"};
    const SnCompileOptions o = {
        .struct_size = sizeof o, .target = "cpu", .task = &task, .bindings = e->is_shared ? bindings : NULL};
    SN_TRY(sn_graph_create(e->cc, &g, &e->err));
    (e->is_shared ? sum_graph : embed_graph)(g);
    const SnStatus st = sn_emit(e->cc, g, &o, model_path(e, "state", path), &e->err);
    sn_graph_destroy(g);
    return st;
}

static SnStatus make_task(Emit *e, const char *model, const char *name)
{
    char path[1024], folder[256];
    SnModel *m = NULL;
    const SnEmitOptions o = {.struct_size = sizeof o, .bindings = e->is_shared ? bindings : NULL};
    (void)snprintf(folder, sizeof folder, "tests/golden/pipeline/%s/model", model);
    SN_TRY(sn_model_open(e->cc, folder, NULL, &m, &e->err));
    const SnStatus st = sn_model_emit(m, NULL, &o, model_path(e, name, path), &e->err);
    sn_model_close(m);
    return st;
}

static SnStatus make_all(Emit *e)
{
    static const char *const tasks[][2] = {{"text-classification-bert", "class"},
                                           {"token-classification-bert", "tag"},
                                           {"question-answering-bert", "answer"},
                                           {"fill-mask-electra", "fill"},
                                           {"zero-shot-classification-electra", "pair"}};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SN_TRY(sn_context_create(NULL, &e->ctx, &e->err));
    SN_TRY(sn_compiler_create(e->ctx, &cd, &e->cc, &e->err));
    SN_TRY(make_embed(e));
    SN_TRY(make_state(e));
    for (size_t i = 0; i < SN_COUNT(tasks); i++)
        SN_TRY(make_task(e, tasks[i][0], tasks[i][1]));
    return SN_OK;
}

int main(int argc, char **argv)
{
    Emit e = {.folder = argc > 1 ? argv[1] : ".", .is_shared = argc > 2};
    const SnStatus st = make_all(&e);
    if (st != SN_OK)
        fprintf(stderr, "typed_emit: %s: %s\n", sn_status_name(st), e.err.message);
    sn_compiler_destroy(e.cc);
    sn_context_destroy(e.ctx);
    return st == SN_OK ? 0 : 1;
}
