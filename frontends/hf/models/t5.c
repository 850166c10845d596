/* t5.c -- T5: an encoder and a decoder whose scores know distances alone, and are not scaled.
 *
 * Raffel et al. 2019, arXiv:1910.10683; gated layers: Shazeer 2020, arXiv:2002.05202. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>

static SnValue norm(SnBuild *b, const char *name, SnValue x)
{
    return sn_nn_rms_norm(b, name, x, sn_config_float(b->config, "layer_norm_epsilon", 1e-6));
}

static double drops(SnBuild *b)
{
    return sn_config_float(b->config, "dropout_rate", 0.1);
}

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, drops(b));
}

/* ---- layers ---- */

static SnAttn attention(SnBuild *b)
{
    return (SnAttn){.heads = sn_nn_int(b, "num_heads", 8, 1, 1 << 16),
                    .q = "q",
                    .k = "k",
                    .v = "v",
                    .o = "o",
                    .scale = 1,
                    .dropout = drops(b)};
}

static SnValue own_words(SnBuild *b, SnValue x)
{
    SnAttn a = attention(b);
    a.causal = b->memory.ref != 0;
    a.score_bias = b->shared;
    return sn_nn_attention(b, &a, x);
}

static SnValue words_given(SnBuild *b, SnValue x)
{
    const SnAttn a = attention(b);
    return sn_nn_cross_attention(b, &a, x);
}

/* feed_forward_proj: "relu", "gated-silu"; the gelu of the gated form is gelu_new. */
static SnValue feed_forward(SnBuild *b, SnValue x)
{
    const char *act = sn_config_string(b->config, "feed_forward_proj", "relu");
    if (strncmp(act, "gated-", 6) != 0)
        return sn_nn_linear(b, "wo", dropout(b, sn_nn_act(b, act, sn_nn_linear(b, "wi", x))));
    act = strcmp(act, "gated-gelu") == 0 ? "gelu_new" : act + 6;
    const SnValue gate = sn_nn_act(b, act, sn_nn_linear(b, "wi_0", x));
    return sn_nn_linear(b, "wo", dropout(b, sn_mul(b->g, gate, sn_nn_linear(b, "wi_1", x))));
}

static SnValue add_part(SnBuild *b, int at, const char *name, SnValue (*part)(SnBuild *b, SnValue x),
                        SnValue x)
{
    sn_scope_push(b->g, "layer.%d", at);
    const SnValue h = norm(b, "layer_norm", x);
    sn_scope_push(b->g, "%s", name);
    const SnValue y = sn_add(b->g, x, dropout(b, part(b, h)));
    sn_scope_pop(b->g);
    sn_scope_pop(b->g);
    return y;
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    int at = 0;
    (void)i;
    x = add_part(b, at++, "SelfAttention", own_words, x);
    if (b->memory.ref)
        x = add_part(b, at++, "EncDecAttention", words_given, x);
    return add_part(b, at, "DenseReluDense", feed_forward, x);
}

/* All layers have the distances that the first one learnt. */
static SnValue stack(SnBuild *b, const char *name, int64_t n, SnValue x)
{
    const int64_t buckets = sn_nn_int(b, "relative_attention_num_buckets", 32, 4, 1 << 20),
                  far = sn_nn_int(b, "relative_attention_max_distance", 128, 2, 1 << 20);
    sn_scope_push(b->g, "%s", name);
    b->shared = sn_nn_distance_bias(b, "block.0.layer.0.SelfAttention.relative_attention_bias", buckets, far,
                                    b->memory.ref != 0);
    x = norm(b, "final_layer_norm", sn_nn_layers(b, "block", n, layer, dropout(b, x)));
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return dropout(b, x);
}

static int64_t depth(SnBuild *b)
{
    return sn_nn_int(b, "num_layers", 6, 1, SN_MAX_LAYERS);
}

static SnValue encoder(SnBuild *b)
{
    sn_nn_begin(b);
    return stack(b, "encoder", depth(b), sn_nn_words(b, "shared", -1));
}

/* The decoder's last hidden states; later: what it is given one place later where it is given nothing. */
static SnValue decoder(SnBuild *b, SnValue later)
{
    const int64_t n = sn_nn_int(b, "num_decoder_layers", depth(b), 1, SN_MAX_LAYERS);
    b->stack = "encoder_";
    const SnValue memory = encoder(b), ids = sn_nn_target_ids(b, later);
    sn_nn_output(b, "encoder_last_hidden_state", memory);
    sn_nn_turn(b, memory, ids);
    b->stack = "decoder_";
    const SnValue x = stack(b, "decoder", n, sn_nn_embedding(b, "shared", ids));
    b->stack = NULL;
    return x;
}

/* ---- heads ---- */

static void model(SnBuild *b)
{
    sn_nn_output(b, "last_hidden_state", decoder(b, sn_none()));
}

/* Where the config does not say whether its outputs are scaled, those of a table that is shared are. */
static void generation(SnBuild *b)
{
    SnValue x = decoder(b, sn_nn_input(b, "labels"));
    const bool is_tied = sn_config_bool(b->config, "tie_word_embeddings", true);
    if (sn_config_bool(b->config, "scale_decoder_outputs", is_tied))
        x = sn_nn_times(b, x, 1 / sqrt((double)sn_nn_dim(b, x, -1)));
    sn_nn_tag(b, sn_nn_decoder(b, "lm_head", "shared", (const char *const[]){NULL}, x));
}

/* By the last end of a text, on a head of two layers. */
static void sequence(SnBuild *b)
{
    SnGraph *g = b->g;
    const SnValue ids = sn_nn_input(b, "input_ids"), x = decoder(b, ids);
    if (!ids.ref)
        return;
    const SnValue end = sn_const_int(g, SN_I64, sn_config_int(b->config, "eos_token_id", 1));
    const SnValue place =
        sn_where(g, sn_eq(g, ids, end), sn_iota(g, SN_I64, 0, 1, &b->seq), sn_const_int(g, SN_I64, 0));
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 1, &b->batch),
                          sn_reduce(g, "max", place, 1, (const int[]){1}, false)};
    const double share = sn_config_float(b->config, "classifier_dropout", 0);
    SnValue y = sn_nn_dropout(b, sn_gather(g, x, 2, (const int[]){0, 1}, at, NULL), share);
    y = sn_tanh(g, sn_nn_head_linear(b, "classification_head.dense", y, 0, true));
    y = sn_nn_dropout(b, y, share);
    sn_nn_classify(b, sn_nn_head_linear(b, "classification_head.out_proj", y, sn_nn_labels(b), true));
}

static void question(SnBuild *b)
{
    const SnValue x = decoder(b, sn_nn_input(b, "input_ids"));
    sn_nn_answer(b, sn_nn_head_linear(b, "qa_outputs", x, 2, true));
}

static const SnFamily t5 = {.encoder = encoder}, pair = {.has_target = true};

const SnArch sn_arch_t5[] = {
    {"t5", "T5EncoderModel", "feature-extraction", "transformer", sn_head_hidden, &t5},
    {"t5", "T5Model", "feature-extraction", "transformer", model, &pair},
    {"t5", "T5ForConditionalGeneration", SN_TASK_SEQ2SEQ, "transformer", generation, &pair},
    {"t5", "T5ForSequenceClassification", "text-classification", "transformer", sequence, &pair},
    {"t5", "T5ForTokenClassification", "token-classification", "transformer", sn_head_token, &t5},
    {"t5", "T5ForQuestionAnswering", "question-answering", "transformer", question, &pair},
    {0},
};
