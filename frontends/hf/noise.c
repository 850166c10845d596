/* noise.c -- what a training draws: dropout, layers that are left out, noise of words.
 *
 * Numbers are functions of a key (of seed, step and micro-batch), of the layer, of a place in it and of the
 * element: a step that is run again draws the same, and a gradient sees what its value saw. Outside of a
 * training there is no key, and everything here gives back what it got.
 *
 * Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting". */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

static bool draws(SnBuild *b, const char *what, double share)
{
    if (!b->noise.ref || share == 0)
        return false;
    if (!(share > 0 && share <= 1))
        sn_graph_fail(b->g, SN_EFORMAT, "%s: a share of %g for %s at %s", b->config->path, share, what,
                      sn_scope_path(b->g));
    return true;
}

SnValue sn_nn_dropout(SnBuild *b, SnValue x, double share)
{
    if (!x.ref || !draws(b, "dropout", share))
        return x;
    const SnValue is_kept = sn_le(b->g, sn_num(b->g, share), sn_noise(b->g, x, b->noise, b->place++));
    const SnValue zero = sn_const(b->g, sn_value_dtype(b->g, x), 0);
    return sn_where(b->g, is_kept, share < 1 ? sn_mul(b->g, x, sn_num(b->g, 1 / (1 - share))) : zero, zero);
}

SnValue sn_nn_hidden_dropout(SnBuild *b, SnValue x)
{
    return sn_nn_dropout(b, x, sn_config_float(b->config, "hidden_dropout_prob", 0.1));
}

SnValue sn_nn_class_dropout(SnBuild *b, SnValue x)
{
    static const char *const keys[] = {"seq_classif_dropout",
                                       "cls_dropout",
                                       "summary_last_dropout", /* of whole texts */
                                       "classifier_dropout",
                                       "classifier_dropout_prob",
                                       "hidden_dropout_prob",
                                       "hidden_dropout",
                                       "dropout"};
    if (strcmp(b->arch->task, "image-classification") == 0)
        return x;
    const size_t first = strcmp(b->arch->task, "token-classification") == 0 ? 3 : 0;
    double share = 0.1;
    for (size_t i = SN_COUNT(keys); i-- > first;)
        share = sn_config_float(b->config, keys[i], share);
    return sn_nn_dropout(b, x, share);
}

SnValue sn_nn_layerdrop(SnBuild *b, SnValue before, SnValue x, double share)
{
    if (!draws(b, "layerdrop", share))
        return x;
    const SnValue drawn = sn_noise(b->g, sn_const(b->g, SN_F32, 0), b->noise, b->place++);
    return sn_where(b->g, sn_lt(b->g, drawn, sn_num(b->g, share)), before, x);
}

SnValue sn_nn_jitter(SnBuild *b, SnValue x, double spread)
{
    if (!draws(b, "jitter", spread))
        return x;
    const SnValue drawn = sn_noise(b->g, x, b->noise, b->place++);
    const SnValue by = sn_add(b->g, sn_mul(b->g, drawn, sn_num(b->g, 2 * spread)), sn_num(b->g, 1 - spread));
    return sn_mul(b->g, x, sn_cast(b->g, by, sn_value_dtype(b->g, x)));
}

/* Jain et al. 2023, arXiv:2310.05914. */
SnValue sn_nn_neftune(SnBuild *b, SnValue words)
{
    if (!b->noise.ref || b->neftune_alpha == 0)
        return words;
    const SnValue n = sn_mul(b->g, sn_dim(b->g, words, 1), sn_dim(b->g, words, 2));
    const SnValue most =
        sn_div(b->g, sn_num(b->g, b->neftune_alpha), sn_sqrt(b->g, sn_cast(b->g, n, SN_F32)));
    const SnValue drawn = sn_noise(b->g, words, b->noise, b->place++);
    const SnValue both = sn_sub(b->g, sn_mul(b->g, drawn, sn_num(b->g, 2)), sn_num(b->g, 1));
    return sn_add(b->g, words, sn_cast(b->g, sn_mul(b->g, both, most), sn_value_dtype(b->g, words)));
}
