/* layers.h -- what model files are written with: scopes that follow the checkpoint's names, and the blocks
 * that architectures share.
 *
 * A block finds its parameters as <scope>.<name>.weight; shapes come from the file. sn_nn_linear is the one
 * place where weights meet activations. Values are [batch, seq, width] unless said otherwise. Nothing here
 * checks errors: the first one sticks to the graph (graph.h). */
#ifndef SN_HF_LAYERS_H
#define SN_HF_LAYERS_H

#include "frontends/hf/config.h"
#include "frontends/hf/weights.h"
#include "frontends/hub.h"

typedef struct SnArch SnArch;

/* One model being built. */
typedef struct SnBuild {
    SnGraph *g;
    const SnConfig *config;
    SnWeights *weights;
    const SnArch *arch;
    SnDtype dtype;            /* parameters are cast to it where they are used */
    const char *const *input; /* names of the inputs that are given */
    size_t ninput;
    const char *const *want; /* names of the outputs that are wanted; nwant 0: all of the head */
    size_t nwant;
    int64_t num_labels; /* of a new head; 0: config's */
    SnValue batch, seq; /* dims */
    SnValue allowed;    /* bool [batch, 1, 1, seq]: keys that may be seen, or none */
    SnValue bias;       /* additive attention bias [batch, 1, seq or 1, seq], or none */
    SnValue probs;      /* attention probabilities of the layer being built, where wanted */
    bool want_probs;
    SnText *made; /* names of parameters that the checkpoint lacks and that were made, for a warning */
} SnBuild;

/* ---- inputs and outputs ---- */
bool sn_nn_has_input(const SnBuild *b, const char *name);
/* i64[batch, seq] (or the dims of its kind); none where it is not given. */
SnValue sn_nn_input(SnBuild *b, const char *name);
bool sn_nn_wants(const SnBuild *b,
                 const char *name); /* asked for by name, or everything of the head is wanted */
void sn_nn_output(SnBuild *b, const char *name, SnValue v); /* f32; only if it is wanted */

/* ---- parameters ---- */
/* <scope>.<name>, in the build's dtype; an error naming it where the file lacks it. The base prefix of the
 * architecture may be missing or extra, gamma and beta stand for weight and bias. */
SnValue sn_nn_param(SnBuild *b, const char *name);
SnValue sn_nn_param_or_none(SnBuild *b, const char *name);

/* ---- blocks ---- */
SnValue sn_nn_linear(SnBuild *b, const char *name, SnValue x); /* weight [out, in], bias optional */
SnValue sn_nn_embedding(SnBuild *b, const char *name, SnValue ids);
SnValue sn_nn_layer_norm(SnBuild *b, const char *name, SnValue x, double eps); /* weight, bias optional */
SnValue sn_nn_rms_norm(SnBuild *b, const char *name, SnValue x, double eps);
SnValue sn_nn_act(SnBuild *b, const char *hidden_act,
                  SnValue x); /* "gelu", "gelu_new", "relu", "silu", ... */

typedef struct SnAttn {
    int64_t heads, kv_heads;   /* kv_heads 0: heads */
    int64_t head_dim;          /* 0: width / heads */
    const char *q, *k, *v, *o; /* names of the projections; o NULL: none */
    double scale;              /* 0: 1 / sqrt(head_dim) */
    SnValue rope_freq;         /* radians a position, f32[head_dim / 2]; none: no rotary positions */
    int64_t window;            /* 0: all; else keys with |i - j| <= window */
    bool causal;
    SnValue score_bias; /* further bias, [.., heads, seq, seq], or none */
} SnAttn;
/* Scores, mask, softmax, context, output projection; leaves probabilities in b->probs where wanted. */
SnValue sn_nn_attention(SnBuild *b, const SnAttn *a, SnValue x);
/* Attention on projected q, k, v [batch, heads, seq, head_dim]: for models with projections of their own. */
SnValue sn_nn_attend(SnBuild *b, const SnAttn *a, SnValue q, SnValue k, SnValue v);
SnValue sn_nn_split_heads(SnBuild *b, SnValue x, int64_t heads); /* [b, s, h*d] ▶ [b, h, s, d] */
SnValue sn_nn_merge_heads(SnBuild *b, SnValue x);                /* and back */

/* Sets b->allowed and b->bias from attention_mask [batch, seq]; does nothing where it is not given. */
void sn_nn_mask(SnBuild *b, SnValue attention_mask);
/* 0 where allowed, else the lowest finite value, as Transformers' eager masks. */
SnValue sn_nn_bias_where(SnBuild *b, SnValue allowed);

/* One function a layer, so that equal layers are one function. Records hidden_states.i before layer i and
 * attentions.i; the model records the last hidden state. */
typedef SnValue SnLayerFn(SnBuild *b, SnValue x, int layer);
SnValue sn_nn_layers(SnBuild *b, const char *scope, int64_t n, SnLayerFn *layer, SnValue x);
void sn_nn_hidden(SnBuild *b, int64_t i, SnValue x); /* hidden_states.i */

/* ---- heads ---- */
/* logits of a classifier and, where labels are given, the loss by problem_type (as Transformers infers it).
 */
void sn_nn_classify(SnBuild *b, SnValue logits);
void sn_nn_token_loss(SnBuild *b, SnValue logits,
                      SnValue labels); /* cross entropy over [.., classes], ignore -100 */

/* ---- architectures: one file a family, one row a class ---- */
struct SnArch {
    const char *type;   /* model_type */
    const char *name;   /* class, "BertForMaskedLM" */
    const char *task;   /* "fill-mask", "feature-extraction", ... */
    const char *prefix; /* base model prefix of checkpoint names, "bert" */
    void (*build)(SnBuild *b);
};
extern const SnArch
    *const sn_all_archs[]; /* models.c: NULL-terminated list of tables ended by a row without type */
const SnArch *sn_arch_find(const char *type, const char *name_or_task);

#endif
