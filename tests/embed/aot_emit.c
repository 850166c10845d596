/* aot_emit.c -- writes the objects that aot_test links, and what the same programs give just in time.
 *
 *   aot_emit FOLDER    FOLDER/aot_small.o, aot_beside.o, aot_text.o, their headers, aot_beside.weights,
 *                      aot_expected.bin */
#include "frontends/tasks/text.h"
#include "tests/embed/aot.h"
#include "tests/embed/embed_model.h"

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

/* Emits the graph, then compiles it. */
static SnStatus make(Emit *e, SnGraph *g, const char *file, SnProgram **p, SnInstance **s)
{
    char path[1024];
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "cpu"};
    SN_TRY(sn_emit(e->cc, g, &o, path_of(e, file, path), &e->err));
    SN_TRY(sn_compile(e->cc, g, &o, p, &e->err));
    return sn_instance_create(*p, NULL, s, &e->err);
}

/* The same program, with its weights in a file of their own. */
static SnStatus make_beside(Emit *e, SnGraph *g)
{
    char path[1024];
    const SnCompileOptions o = {.struct_size = sizeof o, .weights_beside = true};
    return sn_emit(e->cc, g, &o, path_of(e, "aot_beside.o", path), &e->err);
}

static SnStatus make_small(Emit *e, AotExpected *out)
{
    static EmbedInput in;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    SnStatus st = sn_graph_create(e->cc, &g, &e->err);
    if (st == SN_OK) {
        embed_graph(g);
        st = make_beside(e, g);
    }
    if (st == SN_OK)
        st = make(e, g, "aot_small.o", &p, &s);
    embed_fill(&in, AOT_SEED);
    if (st == SN_OK)
        st = embed_bind(s, &in, &e->err);
    if (st == SN_OK)
        st = sn_run(s, &e->err);
    if (st == SN_OK)
        st = embed_output(s, &out->small, &e->err);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    return st;
}

static void fill_text(SnModel *m, SnGraph *g)
{
    const SnWindowing w = {.truncation = SN_TRUNCATE_LONGEST_FIRST, .max_length = AOT_TOKENS};
    const SnWindows windows = sn_text_windows(m, g, &w);
    const SnPadded x = sn_text_pad(m, g, &windows, AOT_TOKENS);
    sn_output(g, "ids", x.ids);
    sn_output(g, "mask", x.mask);
}

static SnStatus make_text(Emit *e, AotExpected *out)
{
    char folder[64];
    SnModel *m = NULL;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    SN_TRY(embed_model_create(e->ctx, folder, &e->err));
    SnStatus st = sn_model_open(e->cc, folder, NULL, &m, &e->err);
    if (st == SN_OK)
        st = sn_text_need(m, &e->err);
    if (st == SN_OK)
        st = sn_graph_create(e->cc, &g, &e->err);
    if (st == SN_OK) {
        fill_text(m, g);
        st = make(e, g, "aot_text.o", &p, &s);
    }
    if (st == SN_OK)
        st = aot_tokens(s, &out->tokens, &e->err);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    sn_model_close(m);
    embed_folder_remove(folder);
    return st;
}

static SnStatus make_all(Emit *e)
{
    static AotExpected out;
    char path[1024];
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SN_TRY(sn_context_create(NULL, &e->ctx, &e->err));
    SN_TRY(sn_compiler_create(e->ctx, &cd, &e->cc, &e->err));
    SN_TRY(make_small(e, &out));
    SN_TRY(make_text(e, &out));
    const SnBytes bytes = sn_bytes(&out, sizeof out);
    return sn_file_write(e->ctx, path_of(e, "aot_expected.bin", path), &bytes, 1, &e->err);
}

int main(int argc, char **argv)
{
    Emit e = {.folder = argc > 1 ? argv[1] : "."};
    const SnStatus st = make_all(&e);
    if (st != SN_OK)
        fprintf(stderr, "aot_emit: %s: %s\n", sn_status_name(st), e.err.message);
    sn_compiler_destroy(e.cc);
    sn_context_destroy(e.ctx);
    return st == SN_OK ? 0 : 1;
}
