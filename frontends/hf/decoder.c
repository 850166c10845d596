/* decoder.c -- what decoders share beside attention: learned positions, projections that hold queries, keys
 * and values in one matrix, slopes of ALiBi, and the frame from words to the last norm.
 *
 * Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <math.h>
#include <stdio.h>

#define MAX_SLOPES 4096

/* ---- positions ---- */

SnValue sn_nn_counted_place(SnBuild *b)
{
    const SnValue mask = sn_nn_input(b, "attention_mask");
    if (b->past)
        return b->past->pos;
    if (!mask.ref || sn_nn_input(b, "position_ids").ref)
        return sn_nn_place(b);
    const SnValue is_text = sn_cast(b->g, mask, SN_I64);
    const SnValue counts = sn_cumsum(b->g, is_text, 1, false, false);
    const SnValue place = sn_sub(b->g, sn_mul(b->g, counts, is_text), sn_size(b->g, 1));
    return b->before ? sn_slice_axis(b->g, place, 1, sn_size(b->g, b->before), b->seq) : place;
}

SnValue sn_nn_learned_places(SnBuild *b, const char *name, SnValue place, int64_t first)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue table = sn_nn_param(b, "weight");
    sn_nn_keep_table(b, table);
    const SnValue given = sn_nn_input(b, "position_ids");
    const int64_t places = sn_nn_dim(b, table, 0) - first;
    b->max_seq = given.ref ? b->max_seq : places;
    sn_nn_range(b, given, sn_scope_path(b->g), places, -1);
    const SnValue y = sn_embedding(b->g, sn_add(b->g, place, sn_size(b->g, first)), table);
    sn_scope_pop(b->g);
    return y;
}

/* ---- queries, keys and values of one matrix ---- */

/* [b, s, heads * d] of x from column `from` on ▶ [b, heads, s, d] */
static SnValue heads_at(SnBuild *b, SnValue x, int64_t from, int64_t heads, int64_t d)
{
    return sn_nn_split_heads(b, sn_slice_axis(b->g, x, -1, sn_size(b->g, from), sn_size(b->g, heads * d)),
                             heads);
}

/* [b, s, groups, n, d] of x from head `from` of each group on ▶ [b, groups * n, s, d] */
static SnValue heads_of_groups(SnBuild *b, SnValue x, int64_t from, int64_t n)
{
    const SnValue part = sn_slice_axis(b->g, x, 3, sn_size(b->g, from), sn_size(b->g, n));
    const SnValue heads = sn_mul(b->g, sn_dim(b->g, part, 2), sn_size(b->g, n));
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_dim(b->g, x, 1), heads, sn_dim(b->g, x, 4)};
    return sn_permute(b->g, sn_reshape(b->g, part, 4, dims), (const int[]){0, 2, 1, 3});
}

SnQkv sn_nn_split_qkv(SnBuild *b, SnValue x, int64_t heads, int64_t kv_heads, bool in_groups)
{
    const int64_t n = kv_heads > 0 ? heads / kv_heads : 0, parts = heads + 2 * kv_heads;
    const int64_t width = sn_nn_dim(b, x, -1);
    if (n < 1 || n * kv_heads != heads || width % parts != 0) {
        sn_graph_fail(b->g, SN_EFORMAT, "%s: width %lld is none of %lld heads and %lld of keys and values",
                      sn_scope_path(b->g), (long long)width, (long long)heads, (long long)kv_heads);
        return (SnQkv){0};
    }
    const int64_t d = width / parts;
    if (!in_groups || sn_config_bool(b->config, "qkv_by_kind", false)) /* as GGUF files have them */
        return (SnQkv){.q = heads_at(b, x, 0, heads, d),
                       .k = heads_at(b, x, heads * d, kv_heads, d),
                       .v = heads_at(b, x, (heads + kv_heads) * d, kv_heads, d)};
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_dim(b->g, x, 1), sn_size(b->g, kv_heads),
                            sn_size(b->g, n + 2), sn_size(b->g, d)};
    const SnValue groups = sn_reshape(b->g, x, 5, dims);
    return (SnQkv){.q = heads_of_groups(b, groups, 0, n),
                   .k = heads_of_groups(b, groups, n, 1),
                   .v = heads_of_groups(b, groups, n + 1, 1)};
}

/* ---- ALiBi ---- */

/* 2^(-8 i / n) for the largest power of two n of heads, i from 1 on; the heads beyond it lie halfway. */
SnValue sn_nn_alibi_slopes(SnBuild *b, int64_t heads)
{
    float slope[MAX_SLOPES];
    int64_t n = 1;
    if (heads < 1 || heads > MAX_SLOPES)
        return sn_graph_fail(b->g, SN_EFORMAT, "%s: ALiBi for %lld heads", b->config->path, (long long)heads);
    while (2 * n <= heads)
        n *= 2;
    for (int64_t i = 0; i < heads; i++) {
        const double at = i < n ? (double)(i + 1) : (double)(i - n) + 0.5;
        slope[i] = (float)pow(2, -8 * at / (double)n);
    }
    return sn_const_data(b->g, SN_F32, 1, &heads, slope);
}

/* ---- parts of GPT-2 ---- */

SnValue sn_nn_gpt_types(SnBuild *b, SnValue words)
{
    const SnValue types = sn_nn_input(b, "token_type_ids");
    return types.ref ? sn_add(b->g, words, sn_nn_embedding(b, b->arch->family->table, types)) : words;
}

SnValue sn_nn_gpt_places(SnBuild *b, SnValue words)
{
    const SnValue x = sn_nn_gpt_types(b, words);
    return sn_add(b->g, x, sn_nn_learned_places(b, "wpe", sn_nn_place(b), 0));
}

SnValue sn_nn_gpt_mlp(SnBuild *b, const char *up, const char *down, const char *act, SnValue x)
{
    const char *name = sn_config_string(b->config, "hidden_act", act);
    return sn_nn_linear(b, down, sn_nn_act(b, name, sn_nn_linear(b, up, x)));
}

/* ---- decoders by the frame of their family ---- */

static const char *name_or(const char *name, const char *otherwise)
{
    return name ? name : otherwise;
}

SnValue sn_nn_decode(SnBuild *b)
{
    const SnFamily *f = b->arch->family;
    const int64_t n = sn_nn_int(b, "num_hidden_layers", f->nlayer ? f->nlayer : 32, 0, SN_MAX_LAYERS);
    SnNormFn *norm = f->norm ? f->norm : sn_nn_rms;
    sn_nn_begin(b);
    sn_scope_push(b->g, "%s", b->arch->prefix);
    SnValue x = sn_nn_words(b, name_or(f->table, "embed_tokens"), f->table ? -1 : sn_nn_pad(b, -1));
    if (f->embed)
        x = f->embed(b, x);
    x = sn_nn_layers(b, name_or(f->layers, "layers"), n, f->layer, x);
    x = norm(b, name_or(f->last, "norm"), x);
    sn_scope_pop(b->g);
    sn_nn_numbered(b, "hidden_states", n, x);
    return x;
}

static SnValue head(SnBuild *b, const char *table, const char *const *bias, SnValue x)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s", b->arch->prefix, table);
    return sn_nn_decoder(b, "lm_head", name, bias, x);
}

SnValue sn_nn_lm_head_of(SnBuild *b, const char *table, SnValue x)
{
    return head(b, table, (const char *const[]){NULL}, x);
}

SnValue sn_nn_lm_head(SnBuild *b, SnValue x)
{
    return sn_nn_lm_head_of(b, name_or(b->arch->family->table, "embed_tokens"), x);
}

SnValue sn_nn_lm_head_biased(SnBuild *b, SnValue x)
{
    const char *table = name_or(b->arch->family->table, "embed_tokens");
    return head(b, table, (const char *const[]){"lm_head.bias", NULL}, x);
}
