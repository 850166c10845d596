/* peft_test.c -- adapters beside a model: changed between runs, merged, in generation, trained beside blocks,
 * as files, and what is wrong with some.
 *
 * The model is the Llama of a golden case, 24 words, with a head that is made at random. */
#include "backends/backends.h"
#include "frontends/hf/adapter.h"
#include "frontends/model.h"
#include "frontends/peft.h"
#include "frontends/training/trainer.h"
#include "ops/ops.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <math.h>

#define FOLDER  "tests/golden/forward/llama-seqcls/model"
#define WORDS   24
#define SEQ     6
#define NEW     8
#define LORA    "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"init_lora_weights\": false"
#define VIRTUAL "\"task_type\": \"CAUSAL_LM\", \"num_virtual_tokens\": 3"

typedef struct Room {
    SnContext *ctx;
    SnCompiler *cc;
    SnModel *model;
    SnArena arena;
} Room;

static SnModel *open_model(Room *r, const char *quant)
{
    SnModel *m = NULL;
    SnError err;
    const SnModelOptions o = {
        .struct_size = sizeof o, .task = "text-generation", .device = "interp", .quant = quant};
    assert_ok(sn_model_open(r->cc, FOLDER, &o, &m, &err));
    return m;
}

static int open_room(void **state)
{
    static Room r;
    static const SnContextDesc desc = {.struct_size = sizeof desc};
    static const SnCompilerDesc compiler = {
        .struct_size = sizeof compiler, .ops = sn_all_ops, .backends = sn_all_backends};
    SnError err;
    r = (Room){0};
    assert_ok(sn_context_create(&desc, &r.ctx, &err));
    assert_ok(sn_compiler_create(r.ctx, &compiler, &r.cc, &err));
    sn_arena_init(&r.arena, sn_allocator(r.ctx));
    r.model = open_model(&r, NULL);
    *state = &r;
    return 0;
}

static int close_room(void **state)
{
    Room *r = *state;
    sn_arena_clear(&r->arena);
    sn_model_close(r->model);
    sn_compiler_destroy(r->cc);
    sn_context_destroy(r->ctx);
    return 0;
}

static const SnJson *json(Room *r, const char *text)
{
    SnJson *v = NULL;
    SnError err;
    assert_ok(sn_json_parse(&r->arena, "config", sn_bytes_str(text), &v, &err));
    return v;
}

static SnAdapter *make(Room *r, SnModel *m, const char *config, uint64_t seed)
{
    SnAdapter *a = NULL;
    SnError err;
    assert_ok(sn_adapter_create(m, json(r, config), seed, &a, &err));
    return a;
}

typedef struct Logits {
    float at[SEQ + NEW][WORDS];
    int64_t n;
} Logits;

static Logits forward(SnModel *m, const int64_t *ids, int64_t n)
{
    static const char *const want[] = {"logits"};
    const int64_t dims[] = {1, n};
    const SnNamedTensor in = {"input_ids", sn_view(SN_I64, (void *)(uintptr_t)ids, 2, dims)};
    SnResults *r = NULL;
    SnError err;
    Logits l = {.n = n};
    assert_ok(sn_model_forward(m, &in, 1, want, 1, &r, &err));
    const SnView *v = &sn_results_find(r, "logits")->view;
    const int64_t all = v->dims[1]; /* virtual tokens come first */
    memcpy(l.at, (const float *)v->data + (all - n) * WORDS, (size_t)n * sizeof l.at[0]);
    sn_results_destroy(r);
    return l;
}

static const int64_t row[SEQ] = {3, 17, 8, 8, 21, 5};

static float distance(const Logits *a, const Logits *b)
{
    float worst = 0;
    for (int64_t i = 0; i < a->n; i++)
        for (int k = 0; k < WORDS; k++)
            worst = fmaxf(worst, fabsf(a->at[i][k] - b->at[i][k]));
    return worst;
}

/* ---- changing, merging ---- */

static void adapters_change_between_runs_and_compile_nothing(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    SnAdapter *a[2];
    Logits of[2];
    const Logits plain = forward(m, row, SEQ);
    for (int i = 0; i < 2; i++)
        a[i] = make(r, m, LORA ", \"r\": 2}", (uint64_t)i);
    for (int i = 0; i < 2; i++) {
        sn_model_adapt(m, a[i], false);
        of[i] = forward(m, row, SEQ);
        assert_true(distance(&of[i], &plain) > 1e-3f);
    }
    assert_true(distance(&of[0], &of[1]) > 1e-3f);
    const size_t nprogram = m->program.n;
    for (int i = 0; i < 1000; i++) {
        sn_model_adapt(m, i % 3 == 2 ? NULL : a[i % 3], false);
        const Logits now = forward(m, row, SEQ);
        assert_memory_equal(&now, i % 3 == 2 ? &plain : &of[i % 3], sizeof now);
    }
    assert_int_equal(m->program.n, nprogram);
    sn_model_adapt(m, a[1], true);
    const Logits merged = forward(m, row, SEQ);
    assert_true(distance(&merged, &of[1]) < 1e-5f);
    sn_model_adapt(m, a[1], false);
    const Logits beside = forward(m, row, SEQ);
    assert_memory_equal(&beside, &of[1], sizeof beside);
    for (int i = 0; i < 2; i++)
        sn_adapter_close(a[i]);
    const Logits after = forward(m, row, SEQ);
    assert_memory_equal(&after, &plain, sizeof after);
}

/* A file of the merged model has no tensor of an adapter. */
static void assert_written_plain(Room *r, SnModel *m)
{
    Scratch s;
    char path[256];
    SnError err;
    SnSafetensors file = {0};
    scratch_open(&s);
    scratch_path(&s, "merged.safetensors", path);
    assert_ok(sn_model_convert(m, NULL, path, &err));
    assert_ok(sn_safetensors_open(r->ctx, path, &file, &err));
    for (size_t i = 0; i < file.ntensor; i++)
        assert_null(strstr((const char *)file.tensor[i].name.at, "adapter"));
    sn_safetensors_close(&file);
    scratch_close(&s);
}

static void merged_for_good_is_what_the_adapter_gives(void **state)
{
    Room *r = *state;
    static const char *const configs[] = {LORA "}", LORA ", \"use_dora\": true, \"bias\": \"all\"}",
                                          LORA ", \"target_modules\": [\"embed_tokens\", \"q_proj\"]}",
                                          LORA ", \"trainable_token_indices\": [3, -2]}",
                                          "{\"peft_type\": \"IA3\"}"};
    for (size_t i = 0; i < SN_COUNT(configs); i++) {
        SnModel *m = open_model(r, NULL), *other = open_model(r, NULL);
        SnError err;
        SnAdapter *a = make(r, m, configs[i], 7);
        assert_ok(sn_model_merge(m, a, &err));
        sn_adapter_close(a);
        assert_written_plain(r, m);
        a = make(r, other, configs[i], 7);
        sn_model_adapt(other, a, false);
        const Logits x = forward(m, row, SEQ), y = forward(other, row, SEQ);
        assert_true(distance(&x, &y) < 1e-5f);
        assert_fails(SN_EINVAL, sn_model_merge(other, a, &err));
        sn_adapter_close(a);
        sn_model_close(m);
        sn_model_close(other);
    }
}

static SnAdapter *combine(Room *r, SnAdapter *const *a, const double *weight, size_t n, const char *options)
{
    SnAdapter *out = NULL;
    SnError err;
    assert_ok(sn_adapter_combine(a, weight, n, json(r, options), &out, &err));
    return out;
}

static Logits with(SnModel *m, SnAdapter *a)
{
    sn_model_adapt(m, a, false);
    return forward(m, row, SEQ);
}

static void combined_adapters_do_what_they_did_apart(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    static const double weight[] = {0.75, -0.5}, one[] = {1};
    SnAdapter *a[] = {make(r, m, LORA ", \"r\": 2, \"lora_alpha\": 3}", 1),
                      make(r, m, LORA ", \"r\": 2, \"target_modules\": [\"q_proj\", \"up_proj\"]}", 2)};
    SnAdapter *cat = combine(r, a, weight, 2, "{\"combination_type\": \"cat\"}"),
              *svd = combine(r, a, weight, 2, "{\"svd_rank\": 4}"), *same = combine(r, a, one, 1, "{}"),
              *ties = combine(r, a, one, 1, "{\"combination_type\": \"ties\", \"density\": 0.5}");
    const Logits x = with(m, cat), y = with(m, svd), first = with(m, a[0]), alone = with(m, same),
                 plain = with(m, NULL), cut = with(m, ties);
    assert_true(distance(&x, &plain) > 1e-3f && distance(&x, &y) < 1e-5f);
    assert_true(distance(&first, &alone) < 1e-5f && distance(&cut, &alone) < 1e-5f); /* one: as it is */
    SnAdapter *out = NULL;
    SnError err;
    assert_fails(SN_EINVAL,
                 sn_adapter_combine(a, weight, 2, json(r, "{\"combination_type\": \"ties\"}"), &out, &err));
    assert_fails(SN_EUNSUPPORTED,
                 sn_adapter_combine(a, weight, 2, json(r, "{\"svd_clamp\": 0.9}"), &out, &err));
    SnAdapter *const all[] = {a[0], a[1], cat, svd, same, ties};
    for (size_t i = 0; i < SN_COUNT(all); i++)
        sn_adapter_close(all[i]);
}

/* ---- generation ---- */

/* Rows that begin alike: what one adapter keeps of them is of no use to another. */
static void rows_of_a_batch_have_adapters_of_their_own(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    static const int32_t pick[] = {2, 0, 1, 2};
    int64_t ids[SN_COUNT(pick)][SEQ], alone[3][SEQ + NEW];
    const int64_t dims[] = {SN_COUNT(pick), SEQ}, one[] = {1, SEQ};
    const SnView all = sn_view(SN_I64, ids, 2, dims), first = sn_view(SN_I64, ids, 2, one);
    SnResults *out = NULL;
    SnError err;
    SnAdapter *a[] = {make(r, m, LORA ", \"r\": 2}", 1),
                      make(r, m, LORA ", \"r\": 3, \"target_modules\": \"all-linear\"}", 2)};
    for (size_t i = 0; i < SN_COUNT(pick); i++)
        memcpy(ids[i], row, sizeof row);
    for (int i = 0; i < 3; i++) {
        sn_model_adapt(m, i ? a[i - 1] : NULL, false);
        assert_ok(sn_model_generate(m, &first, NULL, json(r, "{\"max_new_tokens\": 8}"), &out, &err));
        memcpy(alone[i], sn_results_find(out, "sequences")->view.data, sizeof alone[i]);
        sn_results_destroy(out);
    }
    assert_memory_not_equal(alone[1], alone[2], sizeof alone[1]);
    SnAdapter *rows = NULL;
    assert_ok(sn_adapter_combine(a, NULL, 2, json(r, "{\"combination_type\": \"rows\"}"), &rows, &err));
    sn_model_adapt(m, rows, false);
    assert_ok(sn_model_generate(
        m, &all, NULL, json(r, "{\"max_new_tokens\": 8, \"adapter_rows\": [2, 0, 1, 2]}"), &out, &err));
    for (size_t i = 0; i < SN_COUNT(pick); i++)
        assert_memory_equal((int64_t *)sn_results_find(out, "sequences")->view.data + i * (SEQ + NEW),
                            alone[pick[i]], sizeof alone[0]);
    sn_results_destroy(out);
    assert_fails(SN_EINVAL,
                 sn_model_generate(m, &all, NULL, json(r, "{\"adapter_rows\": [1, 2]}"), &out, &err));
    assert_fails(SN_EINVAL, sn_model_generate(m, &first, NULL, json(r, "{\"adapter_rows\": 3}"), &out, &err));
    assert_fails(SN_EUNSUPPORTED, sn_adapter_save(rows, "nowhere", &err));
    assert_fails(SN_EUNSUPPORTED, sn_model_merge(m, rows, &err));
    const SnNamedTensor in[] = {{"input_ids", first},
                                {"adapter_rows", sn_view(SN_I64, (int64_t[]){3}, 1, one)}};
    assert_fails(SN_EINVAL, sn_model_forward(m, in, 1, NULL, 0, &out, &err));
    assert_fails(SN_EINVAL, sn_model_forward(m, in, 2, NULL, 0, &out, &err));
    sn_adapter_close(rows);
    assert_fails(SN_EINVAL, sn_model_forward(m, in, 2, NULL, 0, &out, &err));
    for (int i = 0; i < 2; i++)
        sn_adapter_close(a[i]);
}

static void generate(SnModel *m, int64_t out[NEW])
{
    const SnGeneratorDesc d = {.struct_size = sizeof d, .context = 64, .no_text = true};
    SnGenerator *g = NULL;
    SnError err;
    int32_t ids[SEQ];
    int n = 0;
    for (int i = 0; i < SEQ; i++)
        ids[i] = (int32_t)row[i];
    assert_ok(sn_generator_create(m, &d, &g, &err));
    assert_ok(sn_generator_add(g, ids, SEQ, NULL, NULL, &err));
    while (sn_generator_is_busy(g) && n < NEW) {
        SnGenerated t;
        bool done = false, has = true;
        assert_ok(sn_generator_step(g, 0, &done, &err));
        while (has) {
            assert_ok(sn_generator_next(g, &t, &has, &err));
            if (has && n < NEW)
                out[n++] = t.id;
        }
    }
    sn_generator_destroy(g);
    assert_int_equal(n, NEW);
}

/* What whole rows say is likeliest. */
static void assert_greedy(SnModel *m, const int64_t new[NEW])
{
    int64_t ids[SEQ + NEW];
    memcpy(ids, row, sizeof row);
    memcpy(ids + SEQ, new, NEW * sizeof *new);
    const Logits l = forward(m, ids, SEQ + NEW);
    for (int i = 0; i < NEW; i++)
        for (int k = 0; k < WORDS; k++)
            assert_true(l.at[SEQ - 1 + i][k] <= l.at[SEQ - 1 + i][new[i]] + 1e-5f);
}

static void generation_sees_adapters_of_every_kind(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    static const char *const configs[] = {
        LORA ", \"target_modules\": \"all-linear\", \"r\": 4}",
        "{\"peft_type\": \"PROMPT_TUNING\", " VIRTUAL "}", "{\"peft_type\": \"PREFIX_TUNING\", " VIRTUAL "}",
        "{\"peft_type\": \"P_TUNING\", \"encoder_reparameterization_type\": \"LSTM\", " VIRTUAL "}"};
    for (size_t i = 0; i < SN_COUNT(configs); i++) {
        int64_t first[NEW], second[NEW];
        SnAdapter *a = make(r, m, configs[i], 3), *b = make(r, m, configs[i], 4);
        sn_model_adapt(m, a, false);
        generate(m, first);
        assert_greedy(m, first);
        const size_t nprogram = m->program.n;
        sn_model_adapt(m, b, false);
        generate(m, second);
        assert_greedy(m, second);
        assert_int_equal(m->program.n, nprogram);
        sn_adapter_close(a);
        sn_adapter_close(b);
    }
}

/* ---- training ---- */

static double train(Room *r, SnModel *m, SnAdapter *a, const char *args, double *first)
{
    static int64_t ids[2][SEQ] = {{3, 17, 8, 8, 21, 5}, {1, 2, 3, 4, 5, 6}};
    const int64_t dims[] = {2, SEQ};
    const SnNamedTensor in[] = {{"input_ids", sn_view(SN_I64, ids, 2, dims)},
                                {"labels", sn_view(SN_I64, ids, 2, dims)}};
    SnTraining *t = NULL;
    SnResults *now = NULL;
    SnTrainingStep step = {0};
    SnError err;
    const SnTrainingDesc d = {
        .struct_size = sizeof d, .args = json(r, args), .sample = in, .nsample = SN_COUNT(in)};
    sn_model_adapt(m, a, false);
    assert_ok(sn_training_create(m, &d, &t, &err));
    for (int i = 0; i < 20; i++) {
        assert_ok(sn_training_step(t, in, SN_COUNT(in), &step, &err));
        *first = i == 0 ? step.loss : *first;
    }
    assert_ok(sn_training_state(t, &now, &err));
    for (size_t i = 0; i < sn_results_count(now); i++) { /* the model stays as it is */
        const char *name = sn_results_get(now, i)->name;
        assert_true(strstr(name, "lora_") || strcmp(name, "step") == 0);
    }
    assert_ok(sn_adapter_set(a, sn_results_get(now, 0), sn_results_count(now), &err));
    sn_results_destroy(now);
    sn_training_destroy(t);
    return step.loss;
}

/* Wide enough for blocks, with weights at random. */
static SnModel *open_wide(Room *r, const Scratch *s, const char *quant)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 24, "
        "\"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": "
        "2, "
        "\"num_key_value_heads\": 1, \"initializer_range\": 0.2, \"tie_word_embeddings\": false}";
    SnModel *m = NULL;
    SnError err;
    const SnModelOptions o = {.struct_size = sizeof o, .device = "interp", .dtype = SN_F32, .quant = quant};
    scratch_text(s, "config.json", config);
    assert_ok(sn_model_open(r->cc, s->dir, &o, &m, &err));
    assert_ok(sn_train_init(m, 1, &err));
    return m;
}

static void adapters_learn_beside_blocks(void **state)
{
    Room *r = *state;
    static const char *const quant[] = {NULL, "q8", "q4"};
    Scratch s;
    Logits plain = {.n = 0};
    scratch_open(&s);
    for (size_t i = 0; i < SN_COUNT(quant); i++) {
        SnModel *m = open_wide(r, &s, quant[i]);
        SnAdapter *a = make(r, m, "{\"peft_type\": \"LORA\", \"target_modules\": \"all-linear\"}", 1);
        double first = 0;
        const Logits own = forward(m, row, SEQ);
        if (i == 0)
            plain = own;
        assert_true((distance(&own, &plain) > 1e-4f) == (i > 0)); /* it is in blocks */
        const double last = train(r, m, a, "{\"learning_rate\": 0.02, \"max_steps\": 20}", &first);
        if (!(last < 0.7 * first))
            fail_msg("%s: %g after %g", quant[i] ? quant[i] : "", last, first);
        sn_model_adapt(m, NULL, false);
        const Logits after = forward(m, row, SEQ);
        assert_memory_equal(&after, &own, sizeof own);
        sn_adapter_close(a);
        sn_model_close(m);
    }
    scratch_close(&s);
}

static void dropout_is_of_training_alone(void **state)
{
    Room *r = *state;
    static const char *const args = "{\"learning_rate\": 0.02, \"max_steps\": 20, \"seed\": 3}";
    double first[2], last[2];
    for (int i = 0; i < 2; i++) {
        SnModel *m = open_model(r, NULL);
        SnAdapter *a = make(r, m, i ? LORA ", \"lora_dropout\": 0.5}" : LORA "}", 1);
        sn_model_adapt(m, a, false);
        const Logits before = forward(m, row, SEQ), again = forward(m, row, SEQ);
        assert_memory_equal(&before, &again, sizeof before);
        last[i] = train(r, m, a, args, &first[i]);
        sn_adapter_close(a);
        sn_model_close(m);
    }
    assert_true(fabs(first[0] - first[1]) > 1e-6 && fabs(last[0] - last[1]) > 1e-6);
}

/* ---- files ---- */

static void saved_and_opened_gives_the_same(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    Scratch s;
    SnError err;
    scratch_open(&s);
    static const char *const configs[] = {
        LORA ", \"use_dora\": true, \"modules_to_save\": [\"norm\"]}",
        "{\"peft_type\": \"P_TUNING\", " VIRTUAL "}",
        "{\"peft_type\": \"PREFIX_TUNING\", \"prefix_projection\": true, " VIRTUAL "}"};
    for (size_t i = 0; i < SN_COUNT(configs); i++) {
        SnAdapter *a = make(r, m, configs[i], 9), *b = NULL;
        assert_ok(sn_adapter_save(a, s.dir, &err));
        assert_ok(sn_adapter_open(m, s.dir, &b, &err));
        sn_model_adapt(m, a, false);
        const Logits x = forward(m, row, SEQ);
        sn_model_adapt(m, b, false);
        const Logits y = forward(m, row, SEQ);
        assert_true(distance(&x, &y) < 1e-5f);
        sn_adapter_close(a);
        sn_adapter_close(b);
    }
    scratch_close(&s);
}

/* How far a new adapter is from the model without it. */
static double begins(SnAdapter *a, SnModel *m, const Logits *plain)
{
    sn_model_adapt(m, a, false);
    const Logits x = forward(m, row, SEQ);
    sn_model_adapt(m, a, true);
    const Logits y = forward(m, row, SEQ);
    sn_model_adapt(m, NULL, false);
    return fmax((double)distance(&x, plain), (double)distance(&y, plain));
}

/* Numbers other than those that a module began with. */
static void disturb(SnAdapter *a)
{
    SnError err;
    for (size_t i = 0; i < sn_adapter_count(a); i++) {
        SnView v;
        const char *name = sn_adapter_tensor(a, i, &v);
        if (!strstr(name, "lora_B.weight"))
            continue;
        float own[4096];
        const size_t n = (size_t)(v.dims[0] * v.dims[1]);
        assert_true(n <= SN_COUNT(own));
        for (size_t k = 0; k < n; k++)
            own[k] = ((const float *)v.data)[k] + 0.3f * (float)(k % 3) - 0.2f;
        const SnNamedTensor t = {name, sn_view(SN_F32, own, 2, v.dims)};
        assert_ok(sn_adapter_set(a, &t, 1, &err));
    }
}

/* Columns of b are square to each other: of length 1 for olora, else as long as the rows of a, the longest
 * first. */
static void assert_is_part(SnAdapter *a, bool is_olora)
{
    static const char at[] = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    char name[2][120];
    SnView v[2];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name[i], sizeof name[i], "%s%c.weight", at, "AB"[i]);
        assert_true(sn_adapter_find(a, name[i], &v[i]));
    }
    const float *down = v[0].data, *up = v[1].data;
    const int64_t rank = v[0].dims[0], in = v[0].dims[1], out = v[1].dims[0];
    double before = 1e30;
    for (int64_t i = 0; i < rank; i++)
        for (int64_t j = 0; j <= i; j++) {
            double rows = 0, cols = 0;
            for (int64_t k = 0; k < in; k++)
                rows += (double)down[i * in + k] * (double)down[j * in + k];
            for (int64_t k = 0; k < out; k++)
                cols += (double)up[k * rank + i] * (double)up[k * rank + j];
            assert_true(i == j ? cols > 1e-3 : fabs(cols) < 1e-5);
            assert_true(is_olora || fabs(rows - cols) < 1e-5);
            assert_true(i != j || (is_olora ? fabs(cols - 1) < 1e-5 : cols <= before));
            before = i == j ? cols : before;
        }
}

static void parts_of_the_model_begin_and_are_saved_as_a_lora(void **state)
{
    Room *r = *state;
    SnModel *m = r->model;
    Scratch s;
    SnError err;
    static const char *const inits[] = {"pissa", "pissa_niter_8", "olora"};
    static const char *const more[] = {"", ", \"use_rslora\": true, \"rank_pattern\": {\"q_proj\": 2}",
                                       ", \"use_dora\": true, \"alpha_pattern\": {\"v_proj\": 5}"};
    const Logits plain = forward(m, row, SEQ);
    scratch_open(&s);
    for (size_t i = 0; i < SN_COUNT(inits) * SN_COUNT(more); i++) {
        char config[400];
        (void)snprintf(
            config, sizeof config,
            "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": 3, \"init_lora_weights\": "
            "\"%s\", \"target_modules\": [\"q_proj\", \"v_proj\", \"embed_tokens\"]%s}",
            inits[i % 3], more[i / 3]);
        SnAdapter *a = make(r, m, config, 4), *b = NULL;
        assert_true(begins(a, m, &plain) < 1e-4);
        assert_is_part(a, i % 3 == 2);
        disturb(a);
        sn_model_adapt(m, a, false);
        const Logits x = forward(m, row, SEQ);
        assert_true(distance(&x, &plain) > 1e-2f);
        assert_ok(sn_adapter_save(a, s.dir, &err));
        assert_ok(sn_adapter_open(m, s.dir, &b, &err));
        for (int merged = 0; merged < 2; merged++) {
            sn_model_adapt(m, b, merged);
            const Logits y = forward(m, row, SEQ);
            assert_true(distance(&x, &y) < 1e-3f);
        }
        sn_model_adapt(m, NULL, false);
        sn_adapter_close(a);
        sn_adapter_close(b);
    }
    scratch_close(&s);
}

static void wrong_configs_are_refused_by_name(void **state)
{
    Room *r = *state;
    static const struct {
        const char *config, *says;
        SnStatus status;
    } wrong[] = {
        {"{\"peft_type\": \"LOHA\"}", "LOHA", SN_EUNSUPPORTED},
        {"{}", "peft_type", SN_EUNSUPPORTED},
        {"[]", "no object", SN_EFORMAT},
        {LORA ", \"lora_aplha\": 3}", "lora_alpha", SN_EINVAL},
        {LORA ", \"r\": 0}", "r:", SN_EINVAL},
        {LORA ", \"r\": 1e9}", "r:", SN_EINVAL},
        {LORA ", \"r\": \"8\"}", "r:", SN_EINVAL},
        {LORA ", \"lora_dropout\": 2}", "lora_dropout", SN_EINVAL},
        {LORA ", \"bias\": \"some\"}", "bias", SN_EINVAL},
        {LORA ", \"target_modules\": [\"nothing\"]}", "target_modules", SN_EINVAL},
        {LORA ", \"target_modules\": \"(\"}", "(", SN_EFORMAT},
        {LORA ", \"rank_pattern\": {\"q_proj\": 2.5}}", "rank 2.5", SN_EFORMAT},
        {LORA ", \"trainable_token_indices\": [24]}", "trainable_token_indices", SN_EINVAL},
        {LORA ", \"trainable_token_indices\": {\"wte\": [1]}}", "0 of 1", SN_EINVAL},
        {LORA ", \"trainable_token_indices\": 3}", "trainable_token_indices", SN_EINVAL},
        {LORA ", \"target_parameters\": [\"x\"]}", "target_parameters", SN_EUNSUPPORTED},
        {LORA ", \"target_parameters\": \"down_proj\"}", "expected a list", SN_EINVAL},
        {LORA ", \"target_parameters\": [\"experts.down_proj\"], \"use_dora\": true}",
         "target_parameters with", SN_EINVAL},
        {LORA ", \"target_parameters\": [\"experts.down_proj\"], \"target_modules\": []}", "target_modules",
         SN_EINVAL},
        {LORA ", \"layer_replication\": [[0, 2]]}", "layer_replication", SN_EUNSUPPORTED},
        {LORA ", \"use_dora\": true, \"lora_bias\": true}", "lora_bias", SN_EINVAL},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"loftq\"}", "init_lora_weights", SN_EUNSUPPORTED},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa_niter_\"}", "init_lora_weights",
         SN_EUNSUPPORTED},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa\", \"r\": 4000}", "r is more",
         SN_EUNSUPPORTED},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa\", \"lora_alpha\": 0}", "lora_alpha",
         SN_EUNSUPPORTED},
        {"{\"peft_type\": \"LORA\", \"init_lora_weights\": \"olora\", \"lora_bias\": true}", "lora_bias",
         SN_EINVAL},
        {"{\"peft_type\": \"PROMPT_TUNING\"}", "num_virtual_tokens", SN_EINVAL},
        {"{\"peft_type\": \"PROMPT_TUNING\", \"num_virtual_tokens\": -1}", "num_virtual_tokens", SN_EINVAL},
        {"{\"peft_type\": \"PROMPT_TUNING\", \"num_virtual_tokens\": 2, \"prompt_tuning_init\": \"TEXT\"}",
         "prompt_tuning_init_text", SN_EINVAL},
        {"{\"peft_type\": \"PREFIX_TUNING\", \"num_virtual_tokens\": 2, \"num_layers\": 0}", "num_layers",
         SN_EINVAL},
    };
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        SnAdapter *a = NULL;
        SnError err = {0};
        const SnStatus st = sn_adapter_create(r->model, json(r, wrong[i].config), 0, &a, &err);
        if (st != wrong[i].status || !strstr(err.message, wrong[i].says))
            fail_msg("%s: %s: %s", wrong[i].config, sn_status_name(st), err.message);
        assert_null(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_change_between_runs_and_compile_nothing),
        cmocka_unit_test(merged_for_good_is_what_the_adapter_gives),
        cmocka_unit_test(combined_adapters_do_what_they_did_apart),
        cmocka_unit_test(rows_of_a_batch_have_adapters_of_their_own),
        cmocka_unit_test(generation_sees_adapters_of_every_kind),
        cmocka_unit_test(adapters_learn_beside_blocks),
        cmocka_unit_test(dropout_is_of_training_alone),
        cmocka_unit_test(saved_and_opened_gives_the_same),
        cmocka_unit_test(parts_of_the_model_begin_and_are_saved_as_a_lora),
        cmocka_unit_test(wrong_configs_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
