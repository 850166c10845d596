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

static SnValue dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "dropout", 0.1));
}

static SnValue layer(SnBuild *b, SnValue x, int64_t i)
{
    (void)i;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "q_lin",
                         .k = "k_lin",
                         .v = "v_lin",
                         .o = "out_lin",
                         .dropout = sn_config_float(b->config, "attention_dropout", 0.1)};
    sn_scope_push(b->g, "attention");
    const SnValue context = sn_nn_attention(b, &attn, x);
    sn_scope_pop(b->g);
    x = sn_nn_layer_norm(b, "sa_layer_norm", sn_add(b->g, context, x), EPS);
    const SnValue h = sn_nn_linear(b, "ffn.lin2", sn_nn_act(b, act(b), sn_nn_linear(b, "ffn.lin1", x)));
    return sn_nn_layer_norm(b, "output_layer_norm", sn_add(b->g, dropout(b, h), x), EPS);
}

static SnValue encoder(SnBuild *b)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 6, 0, SN_MAX_LAYERS);
    sn_nn_begin(b);
    sn_scope_push(b->g, "distilbert.embeddings");
    SnValue x = sn_nn_words(b, "word_embeddings", sn_nn_pad(b, 0));
    x = sn_add(b->g, x, sn_nn_positions(b, "position_embeddings", sn_none(), 0));
    x = dropout(b, sn_nn_layer_norm(b, "LayerNorm", x, EPS));
    sn_scope_pop(b->g);
    x = sn_nn_layers(b, "distilbert.transformer.layer", n, layer, x);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue pooled(SnBuild *b, SnValue x)
{
    return sn_relu(b->g, sn_nn_head_linear(b, "pre_classifier", sn_nn_first_token(b, x), 0, true));
}

static SnValue words(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"vocab_projector.bias", NULL};
    x = sn_nn_act(b, act(b), sn_nn_head_linear(b, "vocab_transform", x, 0, true));
    x = sn_nn_head_norm(b, "vocab_layer_norm", x, EPS, true);
    return sn_nn_decoder(b, "vocab_projector", "distilbert.embeddings.word_embeddings", bias, x);
}

static const SnFamily distilbert = {.encoder = encoder, .pooled = pooled, .words = words};

const SnArch sn_arch_distilbert[] = {
    {"distilbert", "DistilBertModel", "feature-extraction", "distilbert", sn_head_hidden, &distilbert},
    {"distilbert", "DistilBertForMaskedLM", "fill-mask", "distilbert", sn_head_words, &distilbert},
    {"distilbert", "DistilBertForSequenceClassification", "text-classification", "distilbert",
     sn_head_sequence, &distilbert},
    {"distilbert", "DistilBertForTokenClassification", "token-classification", "distilbert", sn_head_token,
     &distilbert},
    {"distilbert", "DistilBertForQuestionAnswering", "question-answering", "distilbert", sn_head_question,
     &distilbert},
    {"distilbert", "DistilBertForMultipleChoice", "multiple-choice", "distilbert", sn_head_choice,
     &distilbert},
    {0},
};
