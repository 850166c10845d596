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

#define SN_TASK_SEQ2SEQ "seq2seq-lm"

typedef struct SnNamedValue {
    const char *name;
    SnValue value;
} SnNamedValue;
typedef SN_VEC(SnNamedValue) SnNamedValues;
SnValue sn_named_value(const SnNamedValue *v, size_t n, const char *name); /* none: absent */

/* The values of an input are rows of a table (or classes): 0 to rows - 1, or `ignored` where that is not 0.
 */
typedef struct SnIdRange {
    const char *input, *table;
    int64_t rows, ignored;
} SnIdRange;

typedef struct SnPast SnPast;

/* What the routers of experts said, where it is wanted: of the layer being built, and summed over layers. */
typedef struct SnRouting {
    SnValue logits;      /* f32[batch, seq, experts] */
    SnValue load, share; /* f32[experts]: tokens that chose it; its probabilities */
    int64_t nlayer;
} SnRouting;

/* What batches that are trained on change, and no gradient: running statistics. */
typedef struct SnBuffer {
    const char *name;
    SnValue value, file; /* a carry of the entry; as the file has it */
    SnValue seen;        /* what the batch of the function that was built last says of it, or none */
    double rate;         /* it goes this part of the way there; 0: that is added */
} SnBuffer;

typedef struct SnUsedTensor {
    const uint8_t *name; /* where the file has it: that tells it from others */
    int64_t count;
    bool is_table; /* its rows are looked up by numbers: nn.Embedding */
} SnUsedTensor;

/* Parameters that something learns: each is one value of the entry, f32, wherever it is read. */
typedef struct SnTrained {
    bool is_remat;                               /* the gradient of a layer computes it again */
    bool is_state;                               /* carries, zeros at first; else what the file has */
    bool is_training;                            /* norms go by the statistics of the batch */
    bool (*picks)(void *self, const char *name); /* which, by their names in the file; NULL: all */
    void *self;
    SnNamedValues leaf;        /* filled: those that were read, */
    SnNamedValues file;        /* and each as the file has it; */
    SN_VEC(SnRef) table;       /* those of leaf whose rows are looked up by numbers */
    SN_VEC(SnUsedTensor) used; /* filled: each tensor of the model's file that was read, learnt or not */
    SN_VEC(SnBuffer) buffer;   /* filled, of carries: likewise */
} SnTrained;
void sn_trained_clear(SnTrained *t, const SnAllocator *memory);

/* How a training wants the loss of labels. */
typedef struct SnLossForm {
    SnValue items;    /* f32: labels that count in all of the step; none: the mean over those of the batch */
    double smoothing; /* LabelSmoother of Transformers */
    bool has_gaps; /* rows without a label are none, but fill a batch up: -100, NaN, places beyond the end */
} SnLossForm;

/* One model being built. */
typedef struct SnBuild {
    SnGraph *g;
    const SnConfig *config;
    SnWeights *weights;
    const SnArch *arch;
    SnArena *arena; /* of names; lives as long as the program */
    SnDtype dtype;  /* parameters are cast to it where they are used */
    const char *quant,
        *head_quant; /* block formats that weights of linears and of the head become; NULL: none */
    bool is_plain;   /* the last parameter that was read is the file's, in numbers, and does not learn */
    bool is_packed;  /* it is in 4 bits of bitsandbytes, which has all matrices [out, in] */
    SnNamedValues in, out;
    const char *const *want; /* names of the outputs that are wanted; nwant 0: all of the head */
    size_t nwant;
    int64_t num_labels; /* of a new head; 0: config's */
    SN_VEC(SnIdRange) range;
    int64_t max_seq;    /* positions that the model has; 0: no limit */
    SnValue batch, seq; /* dims */
    SnValue choices;    /* dim of [batch / choices, choices, seq] inputs, or none */
    SnValue allowed;    /* bool[batch, 1, 1, seq]: keys that may be seen; none: all */
    SnValue bias;       /* the same as an additive bias, or none */
    SnValue sequence;   /* i64[batch, seq]: which one of its row a token is of; none: there is one */
    SnValue shared;     /* what a family computes once for all its layers */
    SnValue probs;      /* attention probabilities of the layer being built, where wanted; */
    SnValue cross;      /* and those of its attention to what the encoder made */
    bool want_probs;
    const char *stack;   /* "encoder_": goes before hidden_states.2, attentions.2; NULL: nothing */
    SnValue memory;      /* what an encoder made, [batch, seq, width], while its decoder is built; */
    SnValue memory_bias; /* as bias, of its keys */
    SnRouting routing;
    SnPast *past;              /* cached form; NULL: whole rows */
    SnTrained *trained;        /* or NULL */
    SnLossForm *form;          /* or NULL */
    struct SnAdapter *adapter; /* of PEFT (adapter.h), or NULL */
    int adapter_form;          /* SnAdapterForm */
    const char *words;         /* filled: the scope of the table of words */
    SnNamedValues adapted;     /* its tensors that are inputs */
    SnValue virtual;           /* what its virtual tokens are; or none */
    SnValue prompted;          /* input_ids of words that virtual tokens stand before; or none */
    int64_t before;            /* keys and values in front of those of the words */
    int64_t layer;             /* that is being built */
    SnValue noise;             /* u32[2]: what a training draws from; none: nothing is drawn */
    int64_t place;             /* that draws next: of a key */
    double neftune_alpha;      /* of noise of words */
    SnText made; /* names of parameters that the checkpoint lacks and that were made, for a warning */
} SnBuild;

/* ---- inputs and outputs (params.c) ---- */
/* Sets the dims from input_ids or inputs_embeds, and the mask. Inputs [batch, choices, seq] become
 * [batch * choices, seq]. */
void sn_nn_begin(SnBuild *b);
SnValue sn_nn_input(SnBuild *b, const char *name); /* none where it is not given */
/* Asked for by name, or everything of the head is wanted. */
bool sn_nn_wants(const SnBuild *b, const char *name);
/* Input i64[batch]: logits are wanted at this place of each row alone, [batch, 1, ..]. */
#define SN_INPUT_PLACES "places"
/* Of x [batch, seq, width]; cached, [batch, wanted, width]; without that input all. */
SnValue sn_nn_wanted_places(SnBuild *b, SnValue x);
void sn_nn_output(SnBuild *b, const char *name, SnValue v); /* f32; only if it is wanted */
/* <kind>.<i>, hidden_states.2: only if it is asked for by name. */
void sn_nn_numbered(SnBuild *b, const char *kind, int64_t i, SnValue v);
/* A config value from lo to hi; another one sticks an error to the graph and gives lo. */
int64_t sn_nn_int(SnBuild *b, const char *key, int64_t otherwise, int64_t lo, int64_t hi);
/* Where ids is an input, its values are checked before each run. */
void sn_nn_range(SnBuild *b, SnValue ids, const char *table, int64_t rows, int64_t ignored);

/* ---- parameters (params.c) ---- */
/* <scope>.<name>, in the build's dtype; an error naming it where the file lacks it. The base prefix of the
 * architecture may be missing or extra, gamma and beta stand for weight and bias. */
SnValue sn_nn_param(SnBuild *b, const char *name);
SnValue sn_nn_param_or_none(SnBuild *b, const char *name);
/* A tensor of the file that is no parameter, as it is; none where there is none. seen: what the batch that is
 * trained on says of it, as in SnBuffer; or none. */
SnValue sn_nn_buffer(SnBuild *b, const char *name, double rate, SnValue seen);
/* Where the file lacks it, it is made in f32: mean + normal * spread, the same numbers for the same name. */
SnValue sn_nn_param_or_made(SnBuild *b, const char *name, int ndim, const int64_t *dims, float mean,
                            float spread);

/* A number of a normal distribution, one of 0 to 1, and the next state: the same on every machine. */
float sn_nn_normal(uint64_t *state);
double sn_nn_uniform(uint64_t *state);

/* x w^T + bias, the one door of weights: w stays in the blocks that it is stored in, or becomes blocks of the
 * format `quant` (NULL: it stays as it is), which is b->quant or b->head_quant. */
SnValue sn_nn_product(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias);
/* What a module of the model multiplies with where b->quant is "nf4" or "nf4-double" and the parameter that
 * was read last, w or it turned, is plain: w rounded to NF4, as bitsandbytes has it. Else w. */
SnValue sn_nn_narrow(SnBuild *b, SnValue w);
/* The same where each row of x [rows, k] has its own of w [e, n, k], by group i64[rows]: those that lie side
 * by side and have the same are multiplied as one. */
SnValue sn_nn_product_grouped(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias,
                              SnValue group);
SnValue sn_nn_stack(SnBuild *b, int n, const SnValue *w); /* weights as one, [n, ..]; in blocks if they are */
SnValue sn_nn_lookup(SnBuild *b, SnValue ids, SnValue table); /* rows of a table, of its bytes if in blocks */

/* ---- blocks ---- */
int64_t sn_nn_dim(SnBuild *b, SnValue x, int axis); /* that the checkpoint decides; 1 after an error */
SnValue sn_nn_linear(SnBuild *b, const char *name, SnValue x); /* weight [out, in], bias optional */
SnValue sn_nn_conv1d(SnBuild *b, const char *name, SnValue x); /* weight [in, out], bias */
/* Layers of a head, which a checkpoint may lack. nout 0: as many as go in. */
SnValue sn_nn_head_linear(SnBuild *b, const char *name, SnValue x, int64_t nout, bool has_bias);
SnValue sn_nn_head_norm(SnBuild *b, const char *name, SnValue x, double eps, bool has_bias);
SnValue sn_nn_layer_norm(SnBuild *b, const char *name, SnValue x, double eps); /* weight, bias optional */
SnValue sn_nn_rms_norm(SnBuild *b, const char *name, SnValue x, double eps);
SnValue sn_nn_act(SnBuild *b, const char *hidden_act, SnValue x); /* a name of ACT2FN */
SnValue sn_nn_embedding(SnBuild *b, const char *name, SnValue ids);
/* Of a training: the parameter `weight` of this scope, which is w, is such a table. */
void sn_nn_keep_table(SnBuild *b, SnValue w);
/* Of input_ids; or inputs_embeds as they are. The row of `pad`, padding_idx of nn.Embedding, never learns. */
SnValue sn_nn_words(SnBuild *b, const char *name, int64_t pad);
int64_t sn_nn_pad(SnBuild *b, int64_t otherwise);  /* pad_token_id */
SnValue sn_nn_types(SnBuild *b, const char *name); /* of token_type_ids, or of zeros */
/* Of position_ids as they are; else of `otherwise`, else of first, first + 1, ...; first - 1 never learns */
SnValue sn_nn_positions(SnBuild *b, const char *name, SnValue otherwise, int64_t first);
SnValue sn_nn_first_token(SnBuild *b, SnValue x); /* [batch, width] */
/* The position of each token in its row, i64[batch, seq]: position_ids as they are, else 0, 1, ... Decoders
 * take positions from here alone. */
SnValue sn_nn_place(SnBuild *b);
SnValue sn_nn_keys(SnBuild *b); /* dim: positions that a whole row attends to */

/* ---- noise (noise.c): of a training; else each gives x as it is ---- */
/* Zeros in the place of a share of x, the rest as much larger. */
SnValue sn_nn_dropout(SnBuild *b, SnValue x, double share);
SnValue sn_nn_hidden_dropout(SnBuild *b, SnValue x); /* hidden_dropout_prob */
/* classifier_dropout; else what layers have */
SnValue sn_nn_class_dropout(SnBuild *b, SnValue x);
SnValue sn_nn_layerdrop(SnBuild *b, SnValue before, SnValue x, double share); /* before, where it is drawn */
SnValue sn_nn_jitter(SnBuild *b, SnValue x, double spread);                   /* x times numbers around 1 */
SnValue sn_nn_neftune(SnBuild *b, SnValue words);

/* ---- attention ---- */
typedef struct SnRope {
    SnValue freq; /* radians a position, f32[head_dim / 2] or, where rows differ, [batch, head_dim / 2] */
    double scale; /* of cos and sin */
    SnValue row_scale; /* the same, f32[batch, 1], where rows differ; all dims turn; or none */
    bool pairs;        /* dims turn as (even, odd), in GPT-J's way; else as (first half, second half) */
} SnRope;
/* Of a head dim, by rope_parameters (kind NULL, or rope_parameters[kind]) or the older rope_theta and
 * rope_scaling. */
SnRope sn_nn_rope_of(SnBuild *b, const char *kind, double theta, int64_t head_dim);
/* The same, where `partial` of the dims turn unless the config says how many do; 0: all, where nothing scales
 * them. */
SnRope sn_nn_rope_part(SnBuild *b, const char *kind, double theta, double partial, int64_t head_dim);
SnRope sn_nn_rope_plain(SnBuild *b, double theta, int64_t dim); /* whatever the config says */
SnValue sn_nn_rope(SnBuild *b, const SnRope *rope, SnValue x);  /* [batch, heads, seq, head_dim] */

typedef SnValue SnNormFn(SnBuild *b, const char *name, SnValue x);

typedef struct SnAttn {
    int64_t heads, kv_heads;   /* kv_heads 0: heads */
    const char *q, *k, *v, *o; /* names of the projections; o NULL: none */
    SnNormFn *norm;            /* of each head of queries and of keys; NULL: none */
    const char *q_norm, *k_norm;
    bool norms_whole;   /* of all heads together instead */
    double scale;       /* 0: 1 / sqrt(head_dim) */
    double softcap;     /* scores become cap * tanh(scores / cap); 0: they do not */
    const SnRope *rope; /* NULL: no rotary positions */
    int64_t window;     /* 0: all; else keys with |i - j| < window */
    bool causal;
    bool stays_causal;  /* where a config says is_causal: false, too */
    SnValue slopes;     /* ALiBi, F[heads]: slope * place of the key, made in this dtype, is added; or none */
    double alibi_scale; /* of that product; 0: 1 */
    bool alibi_counts;  /* places of keys count what the attention mask lets through, as in BLOOM */
    SnValue sinks;      /* f32[heads]: one more score in the sum of each softmax, without a value; or none */
    SnValue score_bias; /* further bias, [.., heads, seq, seq], or none; not for decoders */
    double dropout;     /* of probabilities, in a training */
} SnAttn;
/* Projections, scores, mask, softmax, context, output projection; leaves probabilities in b->probs where
 * wanted. */
SnValue sn_nn_attention(SnBuild *b, const SnAttn *a, SnValue x);
/* The same in two steps, for models that do something between them. */
typedef struct SnQkv {
    SnValue q, k, v; /* [batch, heads or kv_heads, seq, head_dim] */
} SnQkv;
SnQkv sn_nn_project(SnBuild *b, const SnAttn *a, SnValue x);
SnValue sn_nn_attend_qkv(SnBuild *b, const SnAttn *a, SnQkv x); /* with a's rope and o */
/* Attention on projected q, k, v [batch, heads, seq, head_dim]: for models with projections of their own. */
SnValue sn_nn_attend(SnBuild *b, const SnAttn *a, SnValue q, SnValue k, SnValue v);
/* A key and a value of zeros before k and v, at a place that does not depend on the length; bias then begins
 * with a's sinks, which are what it scores. Without sinks: nothing. */
void sn_nn_sink(SnBuild *b, const SnAttn *a, SnValue *bias, SnValue *k, SnValue *v);
SnValue sn_nn_split_heads(SnBuild *b, SnValue x, int64_t heads); /* [b, s, h*d] ▶ [b, h, s, d] */
SnValue sn_nn_merge_heads(SnBuild *b, SnValue x);                /* and back */
/* Of queries x over b->memory, with its mask. */
SnValue sn_nn_cross_attention(SnBuild *b, const SnAttn *a, SnValue x);
/* From the encoder, whose result is memory, to a decoder over ids [batch, target] or those rows of a table.
 */
void sn_nn_turn(SnBuild *b, SnValue memory, SnValue ids);
/* decoder_input_ids; or else `otherwise` one place later, behind decoder_start_token_id. */
SnValue sn_nn_target_ids(SnBuild *b, SnValue otherwise);
/* A score by the distance of query and key, of a table [buckets, heads]: [1, heads, seq, seq]. Buckets are of
 * one distance each at first, then of ever more, up to `far`; where not causal, half of them are of keys
 * ahead. Raffel et al. 2019, arXiv:1910.10683. */
SnValue sn_nn_distance_bias(SnBuild *b, const char *table, int64_t buckets, int64_t far, bool causal);
/* 0 where allowed, else the lowest finite value, as Transformers' eager masks. */
SnValue sn_nn_bias_where(SnBuild *b, SnValue allowed);

/* ---- the past (past.c): what a decoder keeps of the tokens before those of a call ----
 *
 * A decoder is built in one of two forms by the same code. Whole: a call has whole rows. Cached (b->past): a
 * call has the next tokens of some rows; their keys, values and states are carries. */
typedef struct SnPastNext {
    SnValue carry, next;
} SnPastNext;
typedef enum SnPastKind {
    SN_PAST_PAGES, /* a row for each page */
    SN_PAST_NEAR,  /* for each page of layers that look back no farther than a window */
    SN_PAST_STATES /* for each slot */
} SnPastKind;
typedef struct SnPastKept {
    SnValue carry;
    SnPastKind kind;
} SnPastKept;
struct SnPast {
    SnValue pos;   /* i64[batch, seq]: absolute; tokens of a row come first, then padding: -1 */
    SnValue slot;  /* i64[batch]: which state a row has; -1: none, nothing is kept */
    SnValue page;  /* i32[batch, chunks]: where positions 256 c .. 256 c + 255 of a row are */
    SnValue reach; /* i64[batch]: tokens that the row has up to and with this call */
    SnValue given; /* i64[batch]: tokens that it began with; none where no layer asks */
    SnValue pads; /* i64[batch]: places that lie between virtual tokens and others; none: there are no such */
    SnValue places;    /* i64[batch, wanted]: which tokens of a row the head is for; none: all */
    SnValue near_page; /* i32[batch, chunks]: likewise, of layers with a window */
    int64_t window;    /* that those have at most; 0: there are none */
    SnValue pages, near_pages, slots; /* dims, bound at create */
    SnDtype kv_dtype;                 /* of keys and values that are kept */
    SN_VEC(SnPastNext) next;          /* filled: of the layer that is being built */
    SN_VEC(SnPastKept) kept;          /* filled: all carries, each once */
};
/* sn_nn_attend, cached. prompt: how the tokens that a row began with see one another. */
SnValue sn_nn_attend_past(SnBuild *b, const SnAttn *a, const SnAttn *prompt, SnValue q, SnValue k, SnValue v);
/* Which tokens are no padding of a call, bool[batch, seq]: a recurrence passes over the others. Whole: none,
 * they all count. */
SnValue sn_nn_valid(SnBuild *b);
/* State [batch, dims..] of a recurrence in front of the tokens of this call: 0 where a row begins. A layer
 * reads it once and then says what it is behind them. <scope>.<name> is its name. Whole: zeros, and nothing
 * is kept. */
SnValue sn_nn_state(SnBuild *b, const char *name, SnDtype dtype, int ndim, const int64_t *dims);
void sn_nn_state_next(SnBuild *b, const char *name, SnValue next);
/* State of a causal convolution: the last n rows [batch, n, width] of joined [batch, n + seq, width] (state,
 * then the tokens of this call) that are no padding. */
SnValue sn_nn_last_rows(SnBuild *b, SnValue joined, int64_t n);
/* Which tokens a row began with, bool[batch, seq]: the others were drawn one by one. Whole: none, all are. */
SnValue sn_nn_given(SnBuild *b);
/* Tokens that each row has up to and with this call, i64[batch]: what scaling by length goes by. */
SnValue sn_nn_reach(SnBuild *b);
/* A length n as an i64. The driver of a family that refeeds makes the past of a row anew beyond it. */
SnValue sn_nn_turning_point(SnBuild *b, int64_t n);

/* ---- recurrences (recurrence.c) ---- */
/* Each channel of x [batch, seq, width] by itself; weight [width, 1, taps], the last tap is of the token. */
SnValue sn_nn_causal_conv(SnBuild *b, const char *name, SnValue x);
/* state = exp(time * a) * state + time * x * in; the result is state * out, summed over n: f32 [batch, seq,
 * heads, d]. Gu & Dao 2023, arXiv:2312.00752; with one decay a head: arXiv:2405.21060. */
typedef struct SnStateSpace {
    SnValue x;       /* [batch, seq, heads, d] */
    SnValue time;    /* f32[batch, seq, heads] */
    SnValue a;       /* f32[heads, n or 1] */
    SnValue in, out; /* [batch, seq, groups, n]: heads / groups share one */
} SnStateSpace;
SnValue sn_nn_state_space(SnBuild *b, SnStateSpace m);

/* One function a layer, so that equal layers are one function. Gives hidden_states.i before layer i and
 * attentions.i; the model gives the last hidden state. */
typedef SnValue SnLayerFn(SnBuild *b, SnValue x, int64_t layer);
SnValue sn_nn_layer(SnBuild *b, int64_t i, SnLayerFn *layer, SnValue x);
/* Takes note of a layer's routing: router_logits.<layers so far>, and sums for sn_nn_balance (moe.c). */
void sn_nn_routed(SnBuild *b, SnValue logits);
/* aux_loss: how unevenly experts were chosen; none where no router was wanted. Fedus et al. 2021,
 * arXiv:2101.03961, eq. 4. */
SnValue sn_nn_balance(SnBuild *b);
/* n layers at <scope>.<name>.0, <scope>.<name>.1, ... */
SnValue sn_nn_layers(SnBuild *b, const char *name, int64_t n, SnLayerFn *layer, SnValue x);

/* ---- encoders of BERT's shape (encoder.c): <prefix>.embeddings, <prefix>.encoder.layer.3 ... ---- */
#define SN_MAX_LAYERS 4096
double sn_nn_eps(const SnBuild *b);                                          /* layer_norm_eps */
SnValue sn_nn_bert_embeddings(SnBuild *b, SnValue positions, int64_t first); /* as sn_nn_positions */
SnValue sn_nn_bert_output(SnBuild *b, const char *name, SnValue x, SnValue residual);
SnValue sn_nn_bert_mlp(SnBuild *b, SnValue x);
SnLayerFn sn_nn_bert_layer;
SnValue sn_nn_bert_layers(SnBuild *b, SnValue x);
SnValue sn_nn_bert_pooler(SnBuild *b, SnValue x);
/* As RoBERTa counts: tokens that are no padding from pad + 1, padding stays at pad. none without input_ids.
 */
SnValue sn_nn_counted_positions(SnBuild *b, int64_t pad);
SnValue sn_nn_roberta_words(SnBuild *b, SnValue x); /* lm_head of RoBERTa */

/* ---- decoders (decoder.c) ---- */
/* As sn_nn_place, but tokens are counted that the attention mask lets through; padding is at -1. */
SnValue sn_nn_counted_place(SnBuild *b);
/* Rows of a table of learned positions, whose row `first` is of place 0. */
SnValue sn_nn_learned_places(SnBuild *b, const char *name, SnValue place, int64_t first);
/* Of one projection [batch, seq, ..] that holds all queries, then all keys, then all values; in_groups: first
 * the queries, the key and the value that belong together, then those of the next group. */
SnQkv sn_nn_split_qkv(SnBuild *b, SnValue x, int64_t heads, int64_t kv_heads, bool in_groups);
SnValue sn_nn_alibi_slopes(SnBuild *b, int64_t heads); /* f32[heads]; Press et al. 2021, arXiv:2108.12409 */
/* Words of a family's frame, then those of token types where they are given; and learned positions, wpe. */
SnValue sn_nn_gpt_types(SnBuild *b, SnValue words);
SnValue sn_nn_gpt_places(SnBuild *b, SnValue words);
SnValue sn_nn_gpt_mlp(SnBuild *b, const char *up, const char *down, const char *act, SnValue x);

/* ---- decoders of Llama's shape (gated.c) ---- */
SnNormFn sn_nn_rms; /* by rms_norm_eps */
SnNormFn sn_nn_ln;  /* by layer_norm_eps or layer_norm_epsilon */
int64_t sn_nn_head_dim(SnBuild *b);
/* Of that, `partial` as above; theta where the config says none. */
SnRope sn_nn_rope_heads(SnBuild *b, double theta, double partial);
/* The same of a layer with a window (is_near) or without one; rope_scaling of older configs means the latter.
 */
SnRope sn_nn_rope_by_reach(SnBuild *b, bool is_near, double theta);
/* Causal, num_attention_heads and num_key_value_heads, projections q_proj, k_proj, v_proj, o_proj, norms
 * (when there are any) q_norm, k_norm. */
SnAttn sn_nn_causal(SnBuild *b, const SnRope *rope);
SnValue sn_nn_self_attention(SnBuild *b, const SnAttn *a, SnValue x); /* in the scope self_attn */
/* sliding_window where layer_types (without them: otherwise) says that this layer has one, else 0. */
int64_t sn_nn_window(SnBuild *b, int64_t layer, bool otherwise);
bool sn_nn_is_sliding(const SnBuild *b, int64_t layer, bool otherwise);
SnValue sn_nn_gated_mlp(SnBuild *b, const char *name, SnValue x); /* gate_proj, up_proj, down_proj */
SnValue sn_nn_gated_mlp_by(SnBuild *b, const char *name, const char *act, SnValue x);
SnValue sn_nn_fused_mlp(SnBuild *b, const char *name, SnValue x); /* gate_up_proj, down_proj */
SnValue sn_nn_norm_heads(SnBuild *b, SnValue x, SnValue weight);  /* layer norm of each, weight [heads, d] */
SnValue sn_nn_times(SnBuild *b, SnValue x, double factor);        /* x as it is where that is 1 */
SnValue sn_nn_part(SnBuild *b, SnValue x, int64_t from, int64_t n); /* of the last axis */

/* ---- images (vision.c): values are [batch, height, width, channels] ---- */
SnValue sn_nn_pixels(SnBuild *b);           /* of pixel_values; sets the batch */
SnValue sn_nn_image(SnBuild *b, SnValue x); /* as the library has it, [batch, channels, height, width] */
SnValue sn_nn_conv2d(SnBuild *b, const char *name, SnValue x, int64_t stride, int64_t padding);
SnValue sn_nn_batch_norm(SnBuild *b, const char *name, SnValue x);

/* ---- heads (heads.c): outputs and, where labels are given, the loss ---- */
int64_t sn_nn_labels(const SnBuild *b); /* classes of a classifier */
/* x w^T + bias against the table of the input embeddings where the config ties them or the checkpoint lacks
 * <name>.weight. bias: its parameter names, NULL-terminated, the first that is there; none: no bias. */
SnValue sn_nn_decoder(SnBuild *b, const char *name, const char *embedding, const char *const *bias,
                      SnValue x);
/* logits [batch, labels]; loss by problem_type, as Transformers infers it. */
void sn_nn_classify(SnBuild *b, SnValue logits);
void sn_nn_tag(SnBuild *b, SnValue logits);        /* logits [.., classes], a label for each */
void sn_nn_next_token(SnBuild *b, SnValue logits); /* [batch, seq, classes], labels one place ahead */
void sn_nn_answer(SnBuild *b, SnValue logits);     /* [batch, seq, 2] ▶ start_logits, end_logits */
void sn_nn_choose(SnBuild *b, SnValue logits);     /* [batch * choices, 1] ▶ logits [batch, choices] */
/* Mean cross entropy over [.., classes], labels of -100 do not count; none where they are not given. */
SnValue sn_nn_loss(SnBuild *b, SnValue logits, const char *labels);

/* ---- architectures: one file a family, one row a class ---- */
/* What the heads below stand on; each finds it through its row. */
typedef struct SnFamily {
    SnValue (*encoder)(SnBuild *b);           /* last hidden states */
    SnValue (*pooled)(SnBuild *b, SnValue x); /* of those, [batch, width]: what the whole text is judged by */
    SnValue (*words)(SnBuild *b, SnValue x);  /* of those, logits over the vocabulary */
    /* Of decoders, for sn_nn_decode: a table of words, layers, a norm. NULL and 0: Llama's. */
    SnLayerFn *layer;
    SnNormFn *norm;                          /* sn_nn_rms */
    const char *table, *layers, *last;       /* names: embed_tokens, layers, norm */
    SnValue (*embed)(SnBuild *b, SnValue x); /* what becomes of words before the first layer; nothing */
    int64_t nlayer;                          /* where the config does not say: 32 */
    bool has_target;                         /* what comes out has inputs of its own, decoder_input_ids */
    bool refeeds; /* where longrope takes its other factors, the past is made anew with them */
} SnFamily;

/* A decoder by its family's frame; gives the last of hidden_states. */
SnValue sn_nn_decode(SnBuild *b);
/* lm_head, or <prefix>.<table> (the family's) where they are one. */
SnValue sn_nn_lm_head(SnBuild *b, SnValue x);
SnValue sn_nn_lm_head_biased(SnBuild *b, SnValue x);
SnValue sn_nn_lm_head_of(SnBuild *b, const char *table, SnValue x);

typedef void SnHeadFn(SnBuild *b);
SnHeadFn sn_head_hidden;        /* last_hidden_state */
SnHeadFn sn_head_hidden_pooled; /* and, if it is wanted, pooler_output */
SnHeadFn sn_head_words;         /* a word for each place */
SnHeadFn sn_head_next_word;     /* the same, labels one place ahead */
SnHeadFn sn_head_sequence;      /* classifier of what is pooled */
SnHeadFn sn_head_first;         /* of the first token, with a tanh layer in it: RoBERTa's */
SnHeadFn sn_head_last;          /* of decoders: `score` of the last token that is no padding */
SnHeadFn sn_head_token;         /* classifier of each place */
SnHeadFn sn_head_token_score;   /* the same, named `score` */
SnHeadFn sn_head_question;      /* qa_outputs */
SnHeadFn sn_head_choice;        /* classifier of what is pooled, one logit a choice */

/* Decoders named as GPT-2: transformer.h.0 ..., ln_f; the file's own `layer`. */
#define SN_GPT_FAMILY(head, words_table, embedding, layer_count)                                             \
    {                                                                                                        \
        .encoder = sn_nn_decode, .words = head, .layer = layer, .norm = sn_nn_ln, .table = words_table,      \
        .layers = "h", .last = "ln_f", .embed = embedding, .nlayer = layer_count                             \
    }

/* Rows of the classes that most decoders have. */
#define SN_DECODER_ROWS(type, Name, family)                                                                  \
    {type, Name "Model", "feature-extraction", "model", sn_head_hidden, family},                             \
    {                                                                                                        \
        type, Name "ForCausalLM", "text-generation", "model", sn_head_next_word, family                      \
    }
#define SN_SEQUENCE_ROW(type, Name, family)                                                                  \
    {                                                                                                        \
        type, Name "ForSequenceClassification", "text-classification", "model", sn_head_last, family         \
    }
#define SN_TOKEN_ROW(type, Name, family)                                                                     \
    {                                                                                                        \
        type, Name "ForTokenClassification", "token-classification", "model", sn_head_token_score, family    \
    }
#define SN_QUESTION_ROW(type, Name, prefix, family)                                                          \
    {                                                                                                        \
        type, Name "ForQuestionAnswering", "question-answering", prefix, sn_head_question, family            \
    }

struct SnArch {
    const char *type;   /* model_type */
    const char *name;   /* class, "BertForMaskedLM" */
    const char *task;   /* "fill-mask", "feature-extraction", ... */
    const char *prefix; /* base model prefix of checkpoint names, "bert" */
    SnHeadFn *build;
    const SnFamily *family; /* for the heads above; NULL: build knows it all */
    bool takes_items;       /* its loss goes by num_items_in_batch of Trainer, though no word is to come */
};
extern const SnArch
    *const sn_all_archs[]; /* models.c: NULL-terminated list of tables ended by a row without type */
/* By class name or task; NULL: the first row of the type. NULL: there is none. */
const SnArch *sn_arch_find(const char *type, const char *name_or_task);

#endif
