/* models_test.c -- opening models, running them, and every way in which a folder or a call can be wrong.
 *
 * The model is the BERT of a golden case: 24 words, width 8, 2 layers of 2 heads, 16 positions. */
#include "frontends/model.h"

#include "backends/backends.h"
#include "ops/ops.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

#define FOLDER "tests/golden/forward/bert-next-sentence/model"
#define SEQ    4
#define TWICE  "program @p\ndims n in 1..9\nentry @main(x: f32[n]) {\n  ret twice: (add x x), same: x\n}\n"

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    char log[2048];
} Room;

static Room room;

static void keep_log(void *self, SnLogLevel level, const char *message)
{
    (void)self;
    if (level <= SN_LOG_WARN)
        snprintf(room.log, sizeof room.log, "%s", message);
}

static int open_room(void **state)
{
    (void)state;
    const SnContextDesc desc = {.struct_size = sizeof desc, .log = {NULL, keep_log}};
    const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    return sn_context_create(&desc, &room.ctx, NULL) != SN_OK ||
           sn_compiler_create(room.ctx, &compiler, &room.cc, NULL) != SN_OK;
}

static int close_room(void **state)
{
    (void)state;
    sn_compiler_destroy(room.cc);
    sn_context_destroy(room.ctx);
    return 0;
}

static SnModel *open_model(const char *folder, const char *task, const char *device)
{
    SnModel *m = NULL;
    SnError err;
    const SnModelOptions o = {.struct_size = sizeof o, .task = task, .device = device};
    assert_ok(sn_model_open(room.cc, folder, &o, &m, &err));
    return m;
}

static int64_t ids[SEQ * 8] = {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

static SnNamedTensor input(const char *name, void *data, int64_t batch, int64_t seq)
{
    return (SnNamedTensor){name, sn_view(SN_I64, data, 2, (const int64_t[]){batch, seq})};
}

static void assert_close(const SnNamedTensor *a, const SnNamedTensor *b)
{
    int64_t n = 1;
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->view.ndim, b->view.ndim);
    for (int32_t i = 0; i < a->view.ndim; i++) {
        assert_int_equal(a->view.dims[i], b->view.dims[i]);
        n *= a->view.dims[i];
    }
    for (int64_t i = 0; i < n; i++)
        assert_float_equal(((const float *)a->view.data)[i], ((const float *)b->view.data)[i], 1e-5f);
}

/* ---- what works ---- */

static void models_are_listed_and_found(void **state)
{
    (void)state;
    const char *type = NULL, *name = NULL, *task = NULL;
    size_t n = 0;
    for (; sn_arch_list(n, &type, &name, &task); n++)
        assert_ptr_equal(sn_arch_find(type, name), sn_arch_find(type, name));
    assert_true(n > 60);
    assert_string_equal(sn_arch_find("bert", NULL)->name, "BertModel");
    assert_string_equal(sn_arch_find("xlm-roberta", "fill-mask")->name, "XLMRobertaForMaskedLM");
    assert_null(sn_arch_find("bert", "RobertaModel"));
    assert_null(sn_arch_find("gpt9", NULL));
}

/* The evaluator shares nothing with lowering: both see the same model. */
static void model_kernels_agree_with_the_evaluator(void **state)
{
    (void)state;
    const SnNamedTensor in[] = {input("input_ids", ids, 2, SEQ)};
    SnResults *r[2] = {NULL};
    SnError err;
    for (int i = 0; i < 2; i++) {
        SnModel *m = open_model(FOLDER, NULL, i ? "interp" : "eval");
        assert_string_equal(sn_model_task(m), "next-sentence-prediction");
        assert_ok(sn_model_forward(m, in, 1, NULL, 0, &r[i], &err));
        assert_int_equal(sn_results_count(r[i]), 1);
        sn_model_close(m);
    }
    assert_close(sn_results_find(r[0], "logits"), sn_results_find(r[1], "logits"));
    sn_results_destroy(r[0]);
    sn_results_destroy(r[1]);
}

/* Of a model computed in dtype, on a row whose end is padding: how far its first output is from f32's. */
static float distance_to_f32(const char *folder, SnDtype dtype)
{
    int64_t mask[SEQ] = {1, 1, 1, 0};
    const SnNamedTensor in[] = {input("input_ids", ids, 1, SEQ), input("attention_mask", mask, 1, SEQ)};
    SnResults *r[2] = {NULL};
    SnError err;
    float most = 0;
    for (int i = 0; i < 2; i++) {
        SnModel *m = NULL;
        const SnModelOptions o = {.struct_size = sizeof o, .device = "interp", .dtype = i ? dtype : SN_F32};
        assert_ok(sn_model_open(room.cc, folder, &o, &m, &err));
        assert_ok(sn_model_forward(m, in, 2, NULL, 0, &r[i], &err));
        sn_model_close(m);
    }
    const SnView *a = &sn_results_get(r[0], 0)->view, *b = &sn_results_get(r[1], 0)->view;
    int64_t n = 1;
    for (int32_t i = 0; i < a->ndim; i++)
        n *= a->dims[i];
    for (int64_t i = 0; i < n; i++) {
        const float gap = fabsf(((const float *)a->data)[i] - ((const float *)b->data)[i]);
        most = gap > most ? gap : most;
    }
    sn_results_destroy(r[0]);
    sn_results_destroy(r[1]);
    return most;
}

/* Biases of scores are f32 whatever the model is computed in, and padded queries see all keys alike. */
static void model_biases_of_scores_meet_narrow_masks(void **state)
{
    (void)state;
    static const char *const folder[] = {"tests/golden/forward/deberta-v2-mlm/model",
                                         "tests/golden/forward/mpnet/model"};
    for (size_t i = 0; i < SN_COUNT(folder); i++) {
        assert_true(distance_to_f32(folder[i], SN_BF16) < 0.1f);
        assert_true(distance_to_f32(folder[i], SN_F16) < 0.02f);
    }
}

static void model_one_program_serves_every_shape(void **state)
{
    (void)state;
    SnModel *m = open_model(FOLDER, NULL, "interp");
    SnResults *all = NULL, *one = NULL;
    SnError err;
    const SnNamedTensor two = input("input_ids", ids, 2, 5), row = input("input_ids", ids + 5, 1, 5);
    assert_ok(sn_model_forward(m, &two, 1, NULL, 0, &all, &err));
    assert_ok(sn_model_forward(m, &row, 1, NULL, 0, &one, &err));
    assert_int_equal(m->program.n, 1);
    const float *a = sn_results_find(all, "logits")->view.data,
                *b = sn_results_find(one, "logits")->view.data;
    assert_true(a[2] == b[0] && a[3] == b[1]); /* neighbours in a batch change nothing */
    sn_results_destroy(all);
    sn_results_destroy(one);
    sn_model_close(m);
}

typedef struct Sum {
    bool built;
} Sum;

/* The base model inside a larger program: ids come from a graph, the result is used further. */
static void fill_sum(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    Sum *s = user;
    (void)p;
    const SnValue dims[] = {sn_symbol(g, "batch", 1, 64), sn_symbol(g, "seq", 1, 64)};
    const SnValue x = sn_input(g, "input_ids", SN_I64, 2, dims);
    const SnNamedValue in = {"input_ids", sn_min(g, x, sn_const_int(g, SN_I64, 23))};
    const char *const want[] = {"last_hidden_state"};
    SnModelPart part = {.head = "feature-extraction", .in = &in, .nin = 1, .want = want, .nwant = 1};
    sn_model_build(m, g, &part);
    const SnValue y = sn_named_value(part.out.at, part.out.n, "last_hidden_state");
    s->built = y.ref != 0;
    sn_output(g, "sum", sn_reduce(g, "add", y, 1, (const int[]){1}, false));
    sn_model_part_clear(m, &part);
}

static void model_stands_inside_a_larger_program(void **state)
{
    (void)state;
    SnModel *m = open_model(FOLDER, NULL, "interp"),
            *base = open_model(FOLDER, "feature-extraction", "interp");
    const SnNamedTensor in = input("input_ids", ids, 2, SEQ);
    SnModelProgram *p = NULL, *again = NULL;
    SnResults *r = NULL, *whole = NULL;
    SnError err;
    Sum s = {false};
    assert_ok(sn_model_need(m, &err));
    assert_ok(sn_model_program(m, "sum", fill_sum, &s, &p, &err));
    assert_true(s.built);
    assert_ok(sn_model_program(m, "sum", fill_sum, NULL, &again, &err));
    assert_ptr_equal(p, again);
    assert_ok(sn_model_run(m, p, &in, 1, &r, &err));
    const char *const want[] = {"last_hidden_state"};
    assert_ok(sn_model_forward(base, &in, 1, want, 1, &whole, &err));
    const float *sum = sn_results_find(r, "sum")->view.data;
    const float *x = sn_results_find(whole, "last_hidden_state")->view.data;
    for (int d = 0; d < 8; d++)
        assert_float_equal(sum[d], x[d] + x[8 + d] + x[16 + d] + x[24 + d], 1e-5f);
    sn_results_destroy(r);
    sn_results_destroy(whole);
    sn_model_close(m);
    sn_model_close(base);
}

static void model_head_that_is_missing_is_made(void **state)
{
    (void)state;
    const SnNamedTensor in = input("input_ids", ids, 1, SEQ);
    SnResults *r[2] = {NULL};
    SnError err;
    for (int i = 0; i < 2; i++) {
        SnModel *m = NULL;
        const SnModelOptions o = {
            .struct_size = sizeof o, .task = "text-classification", .device = "interp", .num_labels = 5};
        room.log[0] = 0;
        assert_ok(sn_model_open(room.cc, FOLDER, &o, &m, &err));
        assert_ok(sn_model_forward(m, &in, 1, NULL, 0, &r[i], &err));
        assert_non_null(strstr(room.log, "classifier.weight, classifier.bias"));
        assert_null(strstr(room.log, "pooler"));
        sn_model_close(m);
    }
    assert_int_equal(sn_results_find(r[0], "logits")->view.dims[1], 5);
    assert_close(sn_results_find(r[0], "logits"), sn_results_find(r[1], "logits"));
    sn_results_destroy(r[0]);
    sn_results_destroy(r[1]);
}

static void model_inspect_reads_headers(void **state)
{
    (void)state;
    SnModel *m = open_model(FOLDER, NULL, "interp");
    SnText text = {.memory = sn_allocator(room.ctx)};
    SnArena arena;
    SnJson *v = NULL;
    SnError err;
    int64_t n = 0;
    sn_arena_init(&arena, sn_allocator(room.ctx));
    assert_ok(sn_model_inspect(m, &text, &err));
    assert_ok(sn_json_parse(&arena, "inspect", sn_bytes(text.at, text.n), &v, &err));
    assert_true(sn_json_is(sn_json_get(v, "architecture"), "BertForNextSentencePrediction"));
    assert_true(sn_json_int(sn_json_get(v, "weight_bytes"), &n) && n > 0);
    assert_true(sn_json_int(sn_json_get(v, "parameters"), &n) && n > 1000);
    assert_true(sn_json_is_null(sn_json_get(v, "tokenizer")));
    sn_text_clear(&text);
    assert_ok(sn_model_graph(m, NULL, 0, NULL, 0, &text, &err));
    assert_non_null(strstr(text.at, "attention"));
    sn_text_clear(&text);
    sn_arena_clear(&arena);
    sn_model_close(m);
}

static void model_may_be_a_program_in_text_form(void **state)
{
    (void)state;
    Scratch s;
    char path[256];
    SnResults *r = NULL;
    SnError err;
    float x[] = {1, 2, 3};
    const SnNamedTensor in = {"x", sn_view(SN_F32, x, 1, (const int64_t[]){3})};
    const char *const want[] = {"twice"}, *const none[] = {"thrice"};
    scratch_open(&s);
    scratch_text(&s, "twice.sn", TWICE);
    scratch_text(&s, "bad.sn", "entry {");
    scratch_path(&s, "twice.sn", path);
    SnModel *m = open_model(path, NULL, "interp");
    assert_ok(sn_model_forward(m, &in, 1, want, 1, &r, &err));
    assert_int_equal(sn_results_count(r), 1);
    assert_true(((const float *)sn_results_find(r, "twice")->view.data)[2] == 6);
    sn_results_destroy(r);
    assert_fails(SN_EUNSUPPORTED, sn_model_forward(m, &in, 1, none, 1, &r, &err));
    assert_fails(SN_EINVAL, sn_model_forward(m, NULL, 0, NULL, 0, &r, &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_need(m, &err));
    sn_model_close(m);
    scratch_path(&s, "bad.sn", path);
    m = open_model(path, NULL, "interp");
    assert_fails(SN_EFORMAT, sn_model_forward(m, &in, 1, NULL, 0, &r, &err));
    sn_model_close(m);
    scratch_close(&s);
}

/* ---- calls that are wrong ---- */

typedef struct Wrong {
    const char *task;
    SnNamedTensor in[2];
    size_t nin;
    const char *want;
    SnStatus status;
    const char *says[2];
} Wrong;

static void check_wrong(const Wrong *w)
{
    SnModel *m = open_model(FOLDER, w->task, "interp");
    SnResults *r = NULL;
    SnError err;
    assert_fails(w->status, sn_model_forward(m, w->in, w->nin, &w->want, w->want ? 1 : 0, &r, &err));
    for (int i = 0; i < 2 && w->says[i]; i++)
        if (!strstr(err.message, w->says[i]))
            fail_msg("\"%s\" does not say %s", err.message, w->says[i]);
    assert_null(r);
    sn_model_close(m);
}

static void model_wrong_calls_fail(void **state)
{
    (void)state;
    int64_t high[] = {5, 24, 3}, low[] = {5, -1, 3}, types[] = {0, 1, 2}, labels[] = {2, -100, 0},
            many[17] = {0};
    float real[] = {1, 2, 3};
    const SnNamedTensor good = input("input_ids", ids, 1, 3);
    const SnNamedTensor flat = {"input_ids", sn_view(SN_I64, ids, 1, (const int64_t[]){3})};
    const SnNamedTensor of_one = {"labels", sn_view(SN_I64, labels, 1, (const int64_t[]){1})};
    const SnNamedTensor of_reals = {"labels", sn_view(SN_F32, real, 2, (const int64_t[]){1, 3})};
    const Wrong cases[] = {
        {NULL,
         {input("input_ids", high, 1, 3)},
         1,
         NULL,
         SN_EINVAL,
         {"24 at place 1", "the 24 rows of bert"}},
        {NULL, {input("input_ids", low, 1, 3)}, 1, NULL, SN_EINVAL, {"-1"}},
        {NULL, {good, input("token_type_ids", types, 1, 3)}, 2, NULL, SN_EINVAL, {"token_type_ids: 2"}},
        {NULL, {good, input("position_ids", (int64_t[]){0, 1, 16}, 1, 3)}, 2, NULL, SN_EINVAL, {"16"}},
        {NULL, {input("input_ids", many, 1, 17)}, 1, NULL, SN_ESHAPE, {"17 tokens", "16 positions"}},
        {NULL, {good, input("attention_mask", many, 1, 2)}, 2, NULL, SN_ESHAPE, {"dim 1"}},
        {NULL, {flat}, 1, NULL, SN_ESHAPE, {"[batch, seq]"}},
        {NULL, {input("input_ids", ids, 0, 3)}, 1, NULL, SN_ESHAPE, {"dim 0 is 0"}},
        {NULL, {input("attention_mask", ids, 1, 3)}, 1, NULL, SN_EINVAL, {"neither"}},
        {NULL, {good}, 0, NULL, SN_EINVAL, {"neither"}},
        {NULL, {input("pixel_values", ids, 1, 3)}, 1, NULL, SN_EUNSUPPORTED, {"pixel_values"}},
        {NULL, {good}, 1, "last_hidden_state", SN_EUNSUPPORTED, {"last_hidden_state"}},
        {NULL, {good}, 1, "loss", SN_EUNSUPPORTED, {"loss"}},
        {NULL, {good, of_one}, 2, NULL, SN_EINVAL, {"labels: 2", "logits"}},
        {"token-classification", {good, of_reals}, 2, NULL, SN_ESHAPE, {"labels"}},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++)
        check_wrong(&cases[i]);
}

static void model_unknown_kinds_are_unsupported(void **state)
{
    (void)state;
    Scratch s;
    SnModel *m = NULL;
    SnError err;
    const SnModelOptions o = {.struct_size = sizeof o, .task = "translation"};
    scratch_open(&s);
    assert_fails(SN_EIO, sn_model_open(room.cc, s.dir, NULL, &m, &err));
    scratch_text(&s, "config.json", "{\"model_type\":\"gpt9\"}");
    assert_ok(sn_model_open(room.cc, s.dir, NULL, &m, &err));
    assert_string_equal(sn_model_task(m), "");
    assert_fails(SN_EUNSUPPORTED, sn_model_need(m, &err));
    assert_non_null(strstr(err.message, "gpt9"));
    sn_model_close(m);
    assert_ok(sn_model_open(room.cc, FOLDER, &o, &m, &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_need(m, &err));
    assert_non_null(strstr(err.message, "translation"));
    sn_model_close(m);
    scratch_close(&s);
}

/* ---- folders that are wrong ---- */

typedef struct Damage {
    const char *config; /* members of config.json after model_type and architectures */
    const char *drop;   /* tensor to leave out, or */
    const char *narrow; /* to cut to one element */
    SnStatus status;
    const char *says;
} Damage;

static void write_damaged(const Scratch *s, const Damage *d)
{
    char config[512], path[256];
    SnStWrite w[128];
    SnSafetensors f = {0};
    SnError err;
    size_t n = 0;
    snprintf(config, sizeof config, "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],%s}",
             d->config);
    scratch_text(s, "config.json", config);
    assert_ok(sn_safetensors_open(room.ctx, FOLDER "/model.safetensors", &f, &err));
    assert_true(f.ntensor <= SN_COUNT(w));
    for (size_t i = 0; i < f.ntensor; i++) {
        const char *name = (const char *)f.tensor[i].name.at;
        if (d->drop && strcmp(name, d->drop) == 0)
            continue;
        w[n] = (SnStWrite){name, sn_view(f.tensor[i].dtype, (void *)(uintptr_t)f.tensor[i].bytes.at,
                                         f.tensor[i].ndim, f.tensor[i].dims)};
        if (d->narrow && strcmp(name, d->narrow) == 0)
            w[n].view = sn_view(SN_F32, w[n].view.data, 1, (const int64_t[]){1});
        n++;
    }
    scratch_path(s, "model.safetensors", path);
    assert_ok(sn_safetensors_write(room.ctx, path, w, n, NULL, &err));
    sn_safetensors_close(&f);
}

#define SIZES "\"num_hidden_layers\":2,\"num_attention_heads\":2"

static void model_damaged_folders_fail(void **state)
{
    (void)state;
    static const Damage cases[] = {
        {SIZES, NULL, NULL, SN_OK, ""},
        {"\"num_hidden_layers\":2,\"num_attention_heads\":3", NULL, NULL, SN_EFORMAT, "3 heads"},
        {"\"num_hidden_layers\":2,\"num_attention_heads\":0", NULL, NULL, SN_EFORMAT,
         "num_attention_heads is 0"},
        {"\"num_hidden_layers\":3,\"num_attention_heads\":2", NULL, NULL, SN_EFORMAT, "encoder.layer.2"},
        {"\"num_hidden_layers\":-1,\"num_attention_heads\":2", NULL, NULL, SN_EFORMAT,
         "num_hidden_layers is -1"},
        {"\"num_hidden_layers\":99999999999,\"num_attention_heads\":2", NULL, NULL, SN_EFORMAT,
         "99999999999"},
        {SIZES ",\"hidden_act\":\"wave\"", NULL, NULL, SN_EUNSUPPORTED, "wave"},
        {SIZES, "bert.embeddings.word_embeddings.weight", NULL, SN_EFORMAT, "word_embeddings.weight"},
        {SIZES, "bert.encoder.layer.1.output.dense.weight", NULL, SN_EFORMAT, "layer.1.output.dense.weight"},
        {SIZES, NULL, "bert.embeddings.word_embeddings.weight", SN_ESHAPE, "embeddings"},
        {SIZES, NULL, "bert.embeddings.position_embeddings.weight", SN_ESHAPE, "position_embeddings"},
        {SIZES, NULL, "bert.encoder.layer.0.attention.self.query.weight", SN_ESHAPE, "attention.self.query"},
        {SIZES, NULL, "bert.encoder.layer.0.attention.self.query.bias", SN_ESHAPE, "attention.self.query"},
        {SIZES, NULL, "bert.encoder.layer.1.output.LayerNorm.weight", SN_ESHAPE, "layer.1.output.LayerNorm"},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        Scratch s;
        SnResults *r = NULL;
        SnError err = {0};
        const SnNamedTensor in = input("input_ids", ids, 1, 3);
        scratch_open(&s);
        write_damaged(&s, &cases[i]);
        SnModel *m = open_model(s.dir, NULL, "interp");
        const SnStatus st = sn_model_forward(m, &in, 1, NULL, 0, &r, &err);
        if (st != cases[i].status || !strstr(err.message, cases[i].says))
            fail_msg("case %zu: %s: %s", i, sn_status_name(st), err.message);
        sn_results_destroy(r);
        sn_model_close(m);
        scratch_close(&s);
    }
}

/* ---- 4 bits of bitsandbytes ---- */

#define QUERY "bert.encoder.layer.0.attention.self.query.weight" /* [8, 8] */

static void add(SnModel *m, const char *name, SnDtype dtype, int64_t n, const void *data)
{
    SnError err;
    assert_ok(sn_weights_add(m->weights, name, dtype, 1, &n, data, &err));
}

/* A model with codes in the place of a matrix: f is f32 [8, 8] with the numbers that they stand for. */
static SnModel *open_packed(const char *state, int64_t nscale, const float *scale, float *f)
{
    SnModel *m = open_model(FOLDER, NULL, "interp");
    SnError err;
    uint8_t codes[32];
    assert_ok(sn_model_need(m, &err));
    for (int i = 0; i < 32; i++)
        codes[i] = (uint8_t)(37 * i);
    for (int i = 0; i < 64; i++) {
        static const float size[] = {0,    0.00520833349F, 0.666666687F, 1, 0.333333343F,
                                     0.5F, 0.166666672F,   0.25F};
        const int code = codes[i / 2] >> (i % 2 ? 0 : 4) & 15;
        f[i] = (code & 8 ? -1.0F : 1.0F) * size[code & 7] * scale[i / 32];
    }
    add(m, QUERY, SN_U8, 32, codes);
    add(m, QUERY ".absmax", SN_F32, nscale, scale);
    add(m, QUERY ".quant_state.bitsandbytes__fp4", SN_U8, (int64_t)strlen(state), state);
    return m;
}

static void weights_of_bitsandbytes_are_read_or_refused(void **state)
{
    static const struct {
        const char *state;
        int64_t nscale;
        SnStatus status;
        const char *says;
    } wrong[] = {
        {"{\"blocksize\": 32, \"shape\": [8, 8]}", 1, SN_EFORMAT, "absmax: expected 2 of f32, found 1"},
        {"{\"blocksize\": 64, \"shape\": [8, 9]}", 2, SN_EFORMAT,
         "32 bytes of U8: its quant_state says blocks of 64, 8 x 9"},
        {"{\"blocksize\": 7, \"shape\": [8, 8]}", 2, SN_EFORMAT, "blocks of 7"},
        {"{\"blocksize\": 32, \"shape\": [4611686018427387904, 8]}", 2, SN_EFORMAT, "its quant_state says"},
        {"{\"blocksize\": 32, \"shape\": [8, 8], \"nested_blocksize\": 0}", 2, SN_EFORMAT,
         "no nested_blocksize"},
        {"{\"blocksize\": 32, \"shape\": [8, 8], \"nested_blocksize\": 256, \"nested_offset\": 0}", 2,
         SN_EFORMAT, "absmax: expected 2 of u8"},
        {"{", 2, SN_EFORMAT, QUERY},
    };
    static const float scale[] = {0.5F, 2};
    const SnNamedTensor in = input("input_ids", ids, 2, SEQ);
    SnResults *r[2] = {NULL}, *none = NULL;
    SnError err = {0};
    float f[64];
    (void)state;
    SnModel *m = open_packed("{\"blocksize\": 32, \"shape\": [8, 8]}", 2, scale, f),
            *plain = open_model(FOLDER, NULL, "interp");
    assert_ok(sn_model_need(plain, &err));
    assert_ok(sn_weights_add(plain->weights, QUERY, SN_F32, 2, (const int64_t[]){8, 8}, f, &err));
    assert_ok(sn_model_forward(m, &in, 1, NULL, 0, &r[0], &err));
    assert_ok(sn_model_forward(plain, &in, 1, NULL, 0, &r[1], &err));
    assert_close(sn_results_find(r[0], "logits"), sn_results_find(r[1], "logits"));
    sn_results_destroy(r[0]);
    sn_results_destroy(r[1]);
    sn_model_close(m);
    sn_model_close(plain);
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        m = open_packed(wrong[i].state, wrong[i].nscale, scale, f);
        assert_int_equal(sn_model_forward(m, &in, 1, NULL, 0, &none, &err), wrong[i].status);
        if (!strstr(err.message, wrong[i].says))
            fail_msg("%zu: %s", i, err.message);
        sn_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_listed_and_found),
        cmocka_unit_test(model_kernels_agree_with_the_evaluator),
        cmocka_unit_test(model_biases_of_scores_meet_narrow_masks),
        cmocka_unit_test(model_one_program_serves_every_shape),
        cmocka_unit_test(model_stands_inside_a_larger_program),
        cmocka_unit_test(model_head_that_is_missing_is_made),
        cmocka_unit_test(model_inspect_reads_headers),
        cmocka_unit_test(model_may_be_a_program_in_text_form),
        cmocka_unit_test(model_wrong_calls_fail),
        cmocka_unit_test(model_unknown_kinds_are_unsupported),
        cmocka_unit_test(model_damaged_folders_fail),
        cmocka_unit_test(weights_of_bitsandbytes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
