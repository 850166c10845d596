/* peft_prompt.c -- virtual tokens: in front of a model's words, or of the keys and values of its layers, and
 * the encoders that they are learnt through.
 *
 * A file has what comes out of an encoder (prompt_embeddings); the encoder is there while it is trained.
 * Text that is generated begins with as many tokens that stand for them, whose words, or keys and values, are
 * replaced.
 *
 * Prompts: Lester et al. 2021, arXiv:2104.08691. P-tuning: Liu et al. 2021, arXiv:2103.10385. Prefixes: Li &
 * Liang 2021, arXiv:2101.00190. */
#include "frontends/training/peft_state.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define ENCODER    "prompt_encoder."
#define MAX_STEPS  512 /* of an LSTM, which is written out */
#define MAX_LAYERS 16
#define MAX_HIDDEN 65536

bool sn_peft_is_encoder(SnBytes name)
{
    return name.n > strlen(ENCODER) && memcmp(name.at, ENCODER, strlen(ENCODER)) == 0;
}

/* ---- encoders ---- */

/* A new tensor as torch begins with it: numbers within 1 / sqrt(of). */
static SnValue part(SnBuild *b, const char *name, int64_t rows, int64_t cols, int64_t of)
{
    return sn_peft_need(b, NULL, (SnPeftWanted){name, rows, cols, SN_PEFT_UNIFORM, 1 / sqrt((double)of)});
}

/* nn.Linear; is_zero: a new one is. */
static SnValue layer(SnBuild *b, const char *name, SnValue x, int64_t in, int64_t out, bool is_zero)
{
    char weight[SN_PEFT_NAME], bias[SN_PEFT_NAME];
    const double bound = is_zero ? 0 : 1 / sqrt((double)in);
    (void)snprintf(weight, sizeof weight, ENCODER "%s.weight", name);
    (void)snprintf(bias, sizeof bias, ENCODER "%s.bias", name);
    const SnValue w = sn_peft_need(b, NULL, (SnPeftWanted){weight, out, in, SN_PEFT_UNIFORM, bound});
    return sn_linear(b->g, x, w, sn_peft_need(b, NULL, (SnPeftWanted){bias, out, 0, SN_PEFT_UNIFORM, bound}));
}

/* One direction of a layer of nn.LSTM over x [steps, in], [steps, hidden]. Gates lie as i, f, g, o. */
static SnValue lstm_way(SnBuild *b, SnValue x, int64_t in, int64_t hidden, int64_t at, bool is_back)
{
    static const char *const part_name[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    SnGraph *g = b->g;
    SnValue w[4], row[MAX_STEPS];
    const int64_t steps = b->adapter->tokens;
    for (int i = 0; i < 4; i++) {
        char name[SN_PEFT_NAME];
        (void)snprintf(name, sizeof name, ENCODER "lstm_head.%s_l%lld%s", part_name[i], (long long)at,
                       is_back ? "_reverse" : "");
        w[i] = part(b, name, 4 * hidden, i == 0 ? in : i == 1 ? hidden : 0, hidden);
    }
    const SnValue from = sn_linear(g, x, w[0], w[2]), dims[] = {sn_size(b->g, 1), sn_size(b->g, hidden)};
    SnValue h = sn_broadcast(g, sn_const(g, SN_F32, 0), 2, dims), c = h;
    for (int64_t k = 0; k < steps; k++) {
        const int64_t t = is_back ? steps - 1 - k : k;
        SnValue gate[4];
        const SnValue all = sn_add(g, sn_slice_axis(g, from, 0, sn_size(b->g, t), sn_size(b->g, 1)),
                                   sn_linear(g, h, w[1], w[3]));
        for (int i = 0; i < 4; i++)
            gate[i] = sn_slice_axis(g, all, 1, sn_size(b->g, i * hidden), sn_size(b->g, hidden));
        c = sn_add(g, sn_mul(g, sn_sigmoid(g, gate[1]), c),
                   sn_mul(g, sn_sigmoid(g, gate[0]), sn_tanh(g, gate[2])));
        h = row[t] = sn_mul(g, sn_sigmoid(g, gate[3]), sn_tanh(g, c));
    }
    return sn_concat(g, (int)steps, row, 0);
}

static SnValue lstm(SnBuild *b, SnValue x, int64_t in, int64_t hidden)
{
    const int64_t n = sn_peft_int(b->adapter, "encoder_num_layers", 2);
    if (n < 1 || n > MAX_LAYERS || b->adapter->tokens > MAX_STEPS)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: an LSTM of %lld layers over %lld tokens",
                             b->adapter->folder, (long long)n, (long long)b->adapter->tokens);
    double share = 0;
    (void)sn_json_number(sn_json_get(b->adapter->config, "encoder_dropout"), &share);
    for (int64_t i = 0; i < n; i++) {
        const int64_t own = i ? 2 * hidden : in;
        x = i ? sn_nn_dropout(b, x, share) : x;
        const SnValue both[] = {lstm_way(b, x, own, hidden, i, false), lstm_way(b, x, own, hidden, i, true)};
        x = sn_concat(b->g, 2, both, 1);
    }
    return x;
}

/* [tokens, width] of tokens that are learnt as [tokens, dim]. */
static SnValue encoded(SnBuild *b, int64_t dim, int64_t width)
{
    const SnAdapter *a = b->adapter;
    const int64_t hidden = sn_peft_int(a, "encoder_hidden_size", dim);
    if (hidden < 1 || hidden > MAX_HIDDEN)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: encoder_hidden_size %lld", a->folder, (long long)hidden);
    SnValue x =
        sn_peft_need(b, NULL, (SnPeftWanted){ENCODER "embedding.weight", a->tokens, dim, SN_PEFT_NORMAL, 1});
    if (a->type == SN_PEFT_PREFIX) {
        x = sn_tanh(b->g, layer(b, "transform.0", x, dim, hidden, false));
        return layer(b, "transform.2", x, hidden, width,
                     sn_json_is(sn_json_get(a->config, "init_weights"), "zero"));
    }
    const bool is_lstm = sn_json_is(sn_json_get(a->config, "encoder_reparameterization_type"), "LSTM");
    if (is_lstm) {
        x = lstm(b, x, dim, hidden);
        x = sn_relu(b->g, layer(b, "mlp_head.0", x, 2 * hidden, 2 * hidden, false));
        return layer(b, "mlp_head.2", x, 2 * hidden, width, false);
    }
    x = sn_relu(b->g, layer(b, "mlp_head.0", x, dim, hidden, false));
    x = sn_relu(b->g, layer(b, "mlp_head.2", x, hidden, hidden, false));
    return layer(b, "mlp_head.4", x, hidden, width, false);
}

/* What virtual tokens are, f32[tokens, width]. */
static SnValue prompts(SnBuild *b, int64_t dim, int64_t width)
{
    const SnAdapter *a = b->adapter;
    const bool has_encoder = strcmp(a->type_name, "P_TUNING") == 0 || sn_peft_is_on(a, "prefix_projection");
    const bool is_zero = sn_json_is(sn_json_get(a->config, "init_weights"), "zero");
    const SnPeftWanted plain = {"prompt_embeddings", a->tokens, width, SN_PEFT_NORMAL, is_zero ? 0 : 1};
    const bool is_encoded =
        (has_encoder && a->is_new) || sn_weights_find(a->weights, ENCODER "embedding.weight");
    return is_encoded ? encoded(b, dim, width) : sn_peft_need(b, NULL, plain);
}

SnStatus sn_peft_prompts(SnAdapter *a, SnEvalResult **out, SnError *err)
{
    SnArena arena;
    SnGraph *g = NULL;
    const SnStTensor *t = sn_weights_find(a->weights, ENCODER "embedding.weight");
    *out = NULL;
    if (!t)
        return SN_OK;
    const SnStTensor *last = sn_weights_find(a->weights, ENCODER "transform.2.bias");
    sn_arena_init(&arena, sn_allocator(a->m->ctx));
    SnStatus st = sn_graph_create(a->m->cc, &g, err);
    if (st == SN_OK) {
        SnBuild b = {.g = g,
                     .config = &a->m->config,
                     .weights = a->m->weights,
                     .arch = a->m->arch,
                     .arena = &arena,
                     .dtype = SN_F32,
                     .adapter = a,
                     .adapter_form = SN_ADAPTER_MERGED};
        sn_graph_source(g, sn_weights_source(a->m->weights));
        sn_output(g, "prompt_embeddings", prompts(&b, t->dims[1], last ? last->dims[0] : t->dims[1]));
        st = sn_graph_check(g, err);
    }
    if (st == SN_OK)
        st = sn_eval(g, sn_graph_root(g), NULL, NULL, 0, out, err);
    sn_graph_destroy(g);
    sn_arena_clear(&arena);
    return st;
}

/* ---- in front of a model ---- */

/* x [batch, seq] behind n columns of a number. */
static SnValue behind(SnBuild *b, SnValue x, int64_t n, int64_t number)
{
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_size(b->g, n)};
    const SnValue both[] = {sn_broadcast(b->g, sn_const_int(b->g, sn_value_dtype(b->g, x), number), 2, dims),
                            x};
    return sn_concat(b->g, 2, both, 1);
}

static int64_t layers_of(const SnBuild *b)
{
    return sn_peft_int(b->adapter, "num_layers", sn_config_int(b->config, "num_hidden_layers", 0));
}

/* Keys and values of all layers: in a file, or as wide as the config says. */
static void begin_prefix(SnBuild *b)
{
    const SnConfig *c = b->config;
    const SnStTensor *t = sn_weights_find(b->adapter->weights, "prompt_embeddings");
    const int64_t layers = layers_of(b), heads = sn_config_int(c, "num_attention_heads", 1);
    const int64_t wide = sn_config_int(c, "hidden_size", 0) / (heads > 0 ? heads : 1);
    const int64_t d = sn_config_int(c, "head_dim", wide), n = sn_config_int(c, "num_key_value_heads", heads);
    if (layers < 1 || layers > SN_MAX_LAYERS || d < 1 || d > 65536 || n < 1 || n > 65536) {
        sn_graph_fail(b->g, SN_EFORMAT, "%s: a prefix of %lld layers of %lld x %lld", b->adapter->folder,
                      (long long)layers, (long long)n, (long long)d);
        return;
    }
    b->virtual = prompts(b, n * d, t && t->ndim == 2 ? t->dims[1] : 2 * layers * n * d);
}

void sn_adapter_begin(SnBuild *b)
{
    static const struct {
        const char *name;
        int64_t number;
        bool with_past; /* keys of the past count too */
    } inputs[] = {{"attention_mask", 1, true}, {"token_type_ids", 0, false}, {"labels", -100, false}};
    const SnAdapter *a = b->adapter;
    const bool is_prompt = a->type == SN_PEFT_PROMPT;
    if (a->type == SN_PEFT_PREFIX)
        begin_prefix(b);
    if ((!is_prompt && a->type != SN_PEFT_PREFIX) || b->past)
        return;
    const bool tags = strcmp(b->arch->task, "text-generation") == 0;
    if (is_prompt)
        b->prompted = sn_nn_input(b, "input_ids");
    else
        b->before = a->tokens;
    for (size_t i = 0; i < b->in.n; i++)
        for (size_t k = 0; k < SN_COUNT(inputs); k++)
            if (strcmp(b->in.at[i].name, inputs[k].name) == 0 && (is_prompt || inputs[k].with_past) &&
                (k != 2 || tags) && sn_rank(b->g, b->in.at[i].value) == 2)
                b->in.at[i].value = behind(b, b->in.at[i].value, a->tokens, inputs[k].number);
}

/* Rows of x [tokens, ..] for the places of a call that are virtual, [batch, seq, ..]; *is_virtual says which.
 */
static SnValue at_places(SnBuild *b, SnValue x, SnValue *is_virtual)
{
    SnGraph *g = b->g;
    const int64_t n = b->adapter->tokens;
    const SnValue pos = b->past->pos, last = sn_size(b->g, n - 1), zero = sn_size(b->g, 0);
    const SnValue at = sn_min(g, sn_max(g, pos, zero), last);
    *is_virtual = sn_and(g, sn_ge(g, pos, zero), sn_lt(g, pos, sn_size(b->g, n)));
    return sn_gather(g, x, 1, (const int[]){0}, &at, NULL);
}

/* Told for who begins with words of the model: "words". */
SnValue sn_adapter_words(SnBuild *b, SnValue words)
{
    SnGraph *g = b->g;
    if (b->adapter->type != SN_PEFT_PROMPT)
        return words;
    sn_nn_numbered(b, "words", 0, words);
    const int64_t width = sn_nn_dim(b, words, 2);
    const SnValue prompt = prompts(b, width, width);
    if (b->past) {
        SnValue is_virtual;
        const SnValue rows = sn_cast(g, at_places(b, prompt, &is_virtual), sn_value_dtype(g, words));
        const SnValue dims[] = {b->batch, b->seq, sn_size(b->g, 1)};
        return sn_where(g, sn_reshape(g, is_virtual, 3, dims), rows, words);
    }
    const SnValue dims[] = {sn_dim(g, words, 0), sn_size(b->g, b->adapter->tokens), sn_size(b->g, width)};
    const SnValue both[] = {sn_cast(g, sn_broadcast(g, prompt, 3, dims), sn_value_dtype(g, words)), words};
    return sn_concat(g, 2, both, 1);
}

/* Keys or values of the layer at hand, f32[tokens, heads, d]. */
static SnValue kept(SnBuild *b, int64_t heads, int64_t d, bool is_value)
{
    const SnAdapter *a = b->adapter;
    const int64_t width = sn_nn_dim(b, b->virtual, 1), dim = heads * d, at = (2 * b->layer + is_value) * dim;
    if (sn_graph_check(b->g, NULL) != SN_OK)
        return sn_none();
    if (width != 2 * layers_of(b) * dim || b->layer >= layers_of(b))
        return sn_graph_fail(b->g, SN_ESHAPE,
                             "%s: prompt_embeddings of width %lld: %lld layers keep %lld x %lld", a->folder,
                             (long long)width, (long long)layers_of(b), (long long)heads, (long long)d);
    const SnValue split[] = {sn_size(b->g, a->tokens), sn_size(b->g, heads), sn_size(b->g, d)};
    const SnValue own = sn_slice_axis(b->g, b->virtual, 1, sn_size(b->g, at), sn_size(b->g, dim));
    return sn_reshape(b->g, own, 3, split);
}

SnValue sn_adapter_past(SnBuild *b, SnValue x, bool is_value)
{
    SnGraph *g = b->g;
    if (!b->adapter || b->adapter->type != SN_PEFT_PREFIX)
        return x;
    const int64_t heads = sn_nn_dim(b, x, 1), d = sn_nn_dim(b, x, 3);
    const SnValue own = kept(b, heads, d, is_value), n = sn_size(b->g, b->adapter->tokens);
    if (sn_graph_check(g, NULL) != SN_OK)
        return sn_none();
    if (b->past) {
        SnValue is_virtual;
        const SnValue rows = sn_permute(g, at_places(b, own, &is_virtual), (const int[]){0, 2, 1, 3});
        const SnValue one = sn_size(b->g, 1), dims[] = {b->batch, one, b->seq, one};
        return sn_where(g, sn_reshape(g, is_virtual, 4, dims), sn_cast(g, rows, sn_value_dtype(g, x)), x);
    }
    const SnValue turned = sn_permute(g, own, (const int[]){1, 0, 2});
    const SnValue dims[] = {sn_dim(g, x, 0), sn_size(b->g, heads), n, sn_size(b->g, d)};
    const SnValue both[] = {sn_cast(g, sn_broadcast(g, turned, 4, dims), sn_value_dtype(g, x)), x};
    return sn_concat(g, 2, both, 2);
}
