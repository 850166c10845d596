/* distilbert.c -- DistilBERT: a shallow BERT without token types and pooler, with names of its own.
 *
 * Sanh et al. 2019, arXiv:1910.01108. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define EPS 1e-12 /* no config says otherwise */

static const char *act(const SnBuild *b)
{
    return sn_config_string(b->config, "hidden_act", "gelu");
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "q_lin",
                         .k = "k_lin",
                         .v = "v_lin",
                         .o = "out_lin"};
    sn_scope_push(b->g, "attention");
    const SnValue context = sn_nn_attention(b, &attn, x);
    sn_scope_pop(b->g);
    x = sn_nn_layer_norm(b, "sa_layer_norm", sn_add(b->g, context, x), EPS);
    const SnValue h = sn_nn_linear(b, "ffn.lin2", sn_nn_act(b, act(b), sn_nn_linear(b, "ffn.lin1", x)));
    return sn_nn_layer_norm(b, "output_layer_norm", sn_add(b->g, h, x), EPS);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 6, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "distilbert.embeddings");
    SnValue x = sn_nn_words(b, "word_embeddings");
    x = sn_add(b->g, x, sn_nn_positions(b, "position_embeddings", sn_none(), 0));
    x = sn_nn_layer_norm(b, "LayerNorm", x, EPS);
    sn_scope_pop(b->g);
    x = sn_nn_layers(b, "distilbert.transformer.layer", n, layer, x);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue pooled(SnBuild *b)
{
    const SnValue x = sn_nn_first_token(b, encoder(b));
    return sn_relu(b->g, sn_nn_head_linear(b, "pre_classifier", x, 0, true));
}

static void model(SnBuild *b)
{
    sn_nn_output(b, "last_hidden_state", encoder(b));
}

static void masked_lm(SnBuild *b)
{
    static const char *const bias[] = {"vocab_projector.bias", NULL};
    SnValue x = sn_nn_act(b, act(b), sn_nn_head_linear(b, "vocab_transform", encoder(b), 0, true));
    x = sn_nn_head_norm(b, "vocab_layer_norm", x, EPS, true);
    sn_nn_tag(b, sn_nn_decoder(b, "vocab_projector", "distilbert.embeddings.word_embeddings", bias, x));
}

static void sequence(SnBuild *b)
{
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier", pooled(b), sn_nn_labels(b), true));
}

static void token(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "classifier", encoder(b), sn_nn_labels(b), true));
}

static void question(SnBuild *b)
{
    sn_nn_answer(b, sn_nn_head_linear(b, "qa_outputs", encoder(b), 2, true));
}

static void choice(SnBuild *b)
{
    sn_nn_choose(b, sn_nn_head_linear(b, "classifier", pooled(b), 1, true));
}

const SnArch sn_arch_distilbert[] = {
    {"distilbert", "DistilBertModel", "feature-extraction", "distilbert", model},
    {"distilbert", "DistilBertForMaskedLM", "fill-mask", "distilbert", masked_lm},
    {"distilbert", "DistilBertForSequenceClassification", "text-classification", "distilbert", sequence},
    {"distilbert", "DistilBertForTokenClassification", "token-classification", "distilbert", token},
    {"distilbert", "DistilBertForQuestionAnswering", "question-answering", "distilbert", question},
    {"distilbert", "DistilBertForMultipleChoice", "multiple-choice", "distilbert", choice},
    {0},
};
