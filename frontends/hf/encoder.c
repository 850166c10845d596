/* encoder.c -- encoders of BERT's shape: embeddings that are added and normalised, layers that normalise
 * after each residual, and the names that BERT's checkpoints gave to all of it.
 *
 * Devlin et al. 2018, arXiv:1810.04805. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <stdio.h>

double sn_nn_eps(const SnBuild *b)
{
    return sn_config_float(b->config, "layer_norm_eps", 1e-12);
}

SnValue sn_nn_bert_embeddings(SnBuild *b, SnValue positions, int64_t first)
{
    sn_scope_push(b->g, "%s.embeddings", b->arch->prefix);
    const SnValue words = sn_nn_words(b, "word_embeddings", first > 0 ? first - 1 : sn_nn_pad(b, 0));
    SnValue x = sn_add(b->g, words, sn_nn_types(b, "token_type_embeddings"));
    x = sn_add(b->g, x, sn_nn_positions(b, "position_embeddings", positions, first));
    x = sn_nn_hidden_dropout(b, sn_nn_layer_norm(b, "LayerNorm", x, sn_nn_eps(b)));
    sn_scope_pop(b->g);
    return x;
}

SnValue sn_nn_bert_output(SnBuild *b, const char *name, SnValue x, SnValue residual)
{
    sn_scope_push(b->g, "%s", name);
    x = sn_add(b->g, sn_nn_hidden_dropout(b, sn_nn_linear(b, "dense", x)), residual);
    x = sn_nn_layer_norm(b, "LayerNorm", x, sn_nn_eps(b));
    sn_scope_pop(b->g);
    return x;
}

SnValue sn_nn_bert_mlp(SnBuild *b, SnValue x)
{
    const SnValue h = sn_nn_linear(b, "intermediate.dense", x);
    return sn_nn_bert_output(b, "output", sn_nn_act(b, sn_config_string(b->config, "hidden_act", "gelu"), h),
                             x);
}

SnValue sn_nn_bert_layer(SnBuild *b, SnValue x, int64_t layer)
{
    (void)layer;
    const SnAttn attn = {.heads = sn_nn_int(b, "num_attention_heads", 12, 1, 1 << 16),
                         .q = "self.query",
                         .k = "self.key",
                         .v = "self.value",
                         .causal = sn_config_bool(b->config, "is_decoder", false),
                         .dropout = sn_config_float(b->config, "attention_probs_dropout_prob", 0.1)};
    sn_scope_push(b->g, "attention");
    x = sn_nn_bert_output(b, "output", sn_nn_attention(b, &attn, x), x);
    sn_scope_pop(b->g);
    return sn_nn_bert_mlp(b, x);
}

SnValue sn_nn_bert_layers(SnBuild *b, SnValue x)
{
    const int64_t n = sn_nn_int(b, "num_hidden_layers", 12, 0, SN_MAX_LAYERS);
    sn_scope_push(b->g, "%s.encoder", b->arch->prefix);
    x = sn_nn_layers(b, "layer", n, sn_nn_bert_layer, x);
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

SnValue sn_nn_bert_pooler(SnBuild *b, SnValue x)
{
    sn_scope_push(b->g, "%s.pooler", b->arch->prefix);
    const SnValue y = sn_nn_head_linear(b, "dense", sn_nn_first_token(b, x), 0, true);
    sn_scope_pop(b->g);
    return sn_tanh(b->g, y);
}

SnValue sn_nn_counted_positions(SnBuild *b, int64_t pad)
{
    const SnValue ids = sn_nn_input(b, "input_ids"), padding = sn_const_int(b->g, SN_I64, pad);
    if (!ids.ref)
        return sn_none();
    const SnValue counts = sn_cast(b->g, sn_ne(b->g, ids, padding), SN_I64);
    return sn_add(b->g, sn_mul(b->g, sn_cumsum(b->g, counts, 1, false, false), counts), padding);
}

SnValue sn_nn_roberta_words(SnBuild *b, SnValue x)
{
    static const char *const bias[] = {"lm_head.decoder.bias", "lm_head.bias", NULL};
    char table[64];
    (void)snprintf(table, sizeof table, "%s.embeddings.word_embeddings", b->arch->prefix);
    x = sn_gelu(b->g, sn_nn_head_linear(b, "lm_head.dense", x, 0, true));
    x = sn_nn_head_norm(b, "lm_head.layer_norm", x, sn_nn_eps(b), true);
    return sn_nn_decoder(b, "lm_head.decoder", table, bias, x);
}
