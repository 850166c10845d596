/* heads.c -- what stands on top of an encoder: classifiers, taggers, answers, decoders, and their losses, as
 * Transformers defines them. */
#include "frontends/hf/adapter.h"

#include "ops/ops.h"

static int64_t classes_of(SnBuild *b, SnValue logits)
{
    int64_t n = 1;
    (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, logits, -1).ref, &n);
    return n;
}

int64_t sn_nn_labels(const SnBuild *b)
{
    return b->num_labels ? b->num_labels : sn_config_labels(b->config);
}

SnValue sn_nn_decoder(SnBuild *b, const char *name, const char *embedding, const char *const *bias, SnValue x)
{
    sn_scope_push(b->g, "%s", name);
    SnValue w = sn_nn_param_or_none(b, "weight");
    sn_scope_pop(b->g);
    sn_scope_push(b->g, "%s", embedding);
    const SnValue table = sn_nn_param(b, "weight");
    sn_scope_pop(b->g);
    int64_t rows = 1;
    if (table.ref)
        (void)sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, table, 0).ref, &rows);
    SnValue v = sn_none();
    for (; *bias && !v.ref; bias++)
        v = bias[1] ? sn_nn_param_or_none(b, *bias) : sn_nn_param_or_made(b, *bias, 1, &rows, 0, 0);
    if (!w.ref && sn_config_bool(b->config, "tie_word_embeddings", true))
        w = table;
    if (!w.ref) {
        const SnValue y = sn_nn_head_linear(b, name, x, rows, false);
        return v.ref ? sn_add(b->g, y, v) : y;
    }
    sn_scope_push(b->g, "%s", name);
    const SnValue y = sn_nn_adapted(b, b->head_quant, x, w, v, false);
    sn_scope_pop(b->g);
    return y;
}

/* ---- losses ---- */

/* Labels in the dims of logits less their last one; they may come with a further axis of 1. */
static SnValue labels_like(SnBuild *b, SnValue labels, SnValue logits)
{
    SnValue dims[SN_MAX_RANK];
    const int rank = sn_dims(b->g, logits, dims) - 1;
    return sn_rank(b->g, labels) == rank ? labels : sn_reshape(b->g, labels, rank, dims);
}

static SnValue class_loss(SnBuild *b, SnValue logits, SnValue labels)
{
    return sn_cross_entropy(b->g, logits, labels_like(b, labels, logits), -100, 0, "mean");
}

/* The same of the input `labels`, as a training wants it: where smoothed, or where the class knows how, over
 * the labels of all micro-batches. A batch without any has a loss of 0. */
static SnValue label_loss(SnBuild *b, SnValue logits, SnValue labels, bool takes_items)
{
    SnGraph *g = b->g;
    const SnLossForm *f = b->form;
    if (!f)
        return class_loss(b, logits, labels);
    SnValue items = f->items;
    if (!items.ref || (!takes_items && f->smoothing == 0)) {
        const SnValue counts = sn_cast(g, sn_ne(g, labels, sn_size(b->g, -100)), SN_F32);
        items = sn_max(g, sn_reduce(g, "add", counts, 0, NULL, false), sn_const(g, SN_F64, 1));
    }
    const SnValue y = sn_cross_entropy(g, logits, labels_like(b, labels, logits), -100, f->smoothing, "sum");
    return sn_div(g, sn_cast(g, y, SN_F32), items);
}

SnValue sn_nn_loss(SnBuild *b, SnValue logits, const char *name)
{
    const SnValue labels = sn_nn_input(b, name);
    if (!labels.ref || !logits.ref)
        return sn_none();
    if (sn_dtype_is_float(sn_value_dtype(b->g, labels)))
        return sn_graph_fail(b->g, SN_ESHAPE, "%s: expected whole numbers, the classes", name);
    sn_nn_range(b, labels, "logits", classes_of(b, logits), -100);
    return label_loss(b, logits, labels, b->arch && b->arch->takes_items);
}

/* Transformers decides by the labels where the config does not say. */
static const char *problem_of(SnBuild *b, SnValue labels, int64_t classes)
{
    const char *is_float = sn_dtype_is_float(sn_value_dtype(b->g, labels)) ? "multi_label_classification"
                                                                           : "single_label_classification";
    return sn_config_string(b->config, "problem_type", classes == 1 ? "regression" : is_float);
}

static SnValue number_loss(SnBuild *b, SnValue x, SnValue there)
{
    SnGraph *g = b->g;
    if (!b->form || !b->form->has_gaps)
        return sn_mse_loss(g, x, there, "mean");
    const SnValue counts = sn_eq(g, there, there), zero = sn_const(g, SN_F64, 0);
    const SnValue all = sn_reduce(g, "add", sn_cast(g, counts, SN_F32), 0, NULL, false);
    return sn_div(g, sn_mse_loss(g, sn_where(g, counts, x, zero), sn_where(g, counts, there, zero), "sum"),
                  all);
}

void sn_nn_classify(SnBuild *b, SnValue logits)
{
    sn_nn_output(b, "logits", logits);
    const SnValue labels = sn_nn_input(b, "labels");
    if (!labels.ref || !logits.ref)
        return;
    const char *problem = problem_of(b, labels, classes_of(b, logits));
    const SnValue dims[] = {b->batch, sn_dim(b->g, logits, -1)};
    SnValue loss = sn_none();
    if (strcmp(problem, "single_label_classification") == 0)
        loss = sn_nn_loss(b, logits, "labels");
    else if (strcmp(problem, "regression") == 0)
        loss = number_loss(b, logits, sn_reshape(b->g, labels, 2, dims));
    else if (strcmp(problem, "multi_label_classification") == 0)
        loss = sn_bce_with_logits(b->g, logits, labels, "mean");
    else
        sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: problem_type %s", b->config->path, problem);
    sn_nn_output(b, "loss", loss);
}

void sn_nn_tag(SnBuild *b, SnValue logits)
{
    sn_nn_output(b, "logits", logits);
    sn_nn_output(b, "loss", sn_nn_loss(b, logits, "labels"));
}

/* Place i predicts the label of place i + 1; the last one predicts nothing. */
void sn_nn_next_token(SnBuild *b, SnValue logits)
{
    SnGraph *g = b->g;
    const SnValue labels = sn_nn_input(b, "labels"), aux = sn_nn_balance(b);
    sn_nn_output(b, "logits", logits);
    sn_nn_output(b, "aux_loss", aux);
    if (!labels.ref || !sn_nn_loss(b, logits, "labels").ref)
        return;
    const SnValue rest = sn_slice_axis(g, labels, 1, sn_size(b->g, 1), sn_sub(g, b->seq, sn_size(b->g, 1)));
    const SnValue dims[] = {b->batch, sn_size(b->g, 1)};
    const SnValue none = sn_broadcast(g, sn_size(b->g, -100), 2, dims);
    const SnValue ahead = sn_concat(g, 2, (SnValue[]){rest, none}, 1);
    const SnValue loss = label_loss(b, sn_cast(g, logits, SN_F32), ahead, true);
    const double share = sn_config_float(b->config, "router_aux_loss_coef", 0.001);
    const bool is_smooth = b->form && b->form->smoothing != 0; /* the smoother sees logits alone */
    sn_nn_output(b, "loss", aux.ref && !is_smooth ? sn_add(g, loss, sn_nn_times(b, aux, share)) : loss);
}

/* Column i of the last axis. */
static SnValue column(SnBuild *b, SnValue x, int64_t i)
{
    const SnValue dims[] = {sn_dim(b->g, x, 0), sn_dim(b->g, x, 1)};
    return sn_reshape(b->g, sn_slice_axis(b->g, x, -1, sn_size(b->g, i), sn_size(b->g, 1)), 2, dims);
}

/* Places outside of the sequence do not count: below 0 they are 0, beyond the end they are ignored. */
static SnValue place_loss(SnBuild *b, SnValue logits, SnValue place)
{
    return class_loss(b, logits, sn_max(b->g, place, sn_size(b->g, 0)));
}

void sn_nn_answer(SnBuild *b, SnValue logits)
{
    const SnValue start = sn_nn_input(b, "start_positions"), end = sn_nn_input(b, "end_positions");
    const SnValue start_logits = column(b, logits, 0), end_logits = column(b, logits, 1);
    sn_nn_output(b, "start_logits", start_logits);
    sn_nn_output(b, "end_logits", end_logits);
    if (!start.ref || !end.ref)
        return;
    const SnValue sum = sn_add(b->g, place_loss(b, start_logits, start), place_loss(b, end_logits, end));
    sn_nn_output(b, "loss", sn_div(b->g, sum, sn_const(b->g, SN_F64, 2)));
}

void sn_nn_choose(SnBuild *b, SnValue logits)
{
    const SnValue choices = b->choices.ref ? b->choices : sn_size(b->g, 1);
    const SnValue dims[] = {sn_idiv(b->g, b->batch, choices), choices};
    const SnValue scores = sn_reshape(b->g, logits, 2, dims);
    sn_nn_output(b, "logits", scores);
    const SnValue labels = sn_nn_input(b, "labels");
    if (labels.ref)
        sn_nn_output(b, "loss", label_loss(b, scores, labels, false));
}

/* Rows of x [batch, seq, width] at places [batch, n]. */
static SnValue rows_at(SnBuild *b, SnValue x, SnValue place, SnValue n)
{
    const SnValue dims[] = {b->batch, n};
    const SnValue at[] = {sn_iota(b->g, SN_I64, 0, 2, dims), place};
    return sn_gather(b->g, x, 2, (const int[]){0, 1}, at, NULL);
}

SnValue sn_nn_wanted_places(SnBuild *b, SnValue x)
{
    const SnValue place = b->past ? b->past->places : sn_nn_input(b, SN_INPUT_PLACES);
    if (b->past && place.ref)
        return rows_at(b, x, place, sn_dim(b->g, place, 1));
    if (!place.ref)
        return x;
    const SnValue dims[] = {b->batch, sn_size(b->g, 1)};
    return rows_at(b, x, sn_reshape(b->g, place, 2, dims), dims[1]);
}

/* ---- heads that families share ---- */

static SnValue hidden(SnBuild *b)
{
    return b->arch->family->encoder(b);
}

static SnValue pooled(SnBuild *b)
{
    return b->arch->family->pooled(b, hidden(b));
}

void sn_head_hidden(SnBuild *b)
{
    sn_nn_output(b, "last_hidden_state", hidden(b));
}

void sn_head_hidden_pooled(SnBuild *b)
{
    const SnValue x = hidden(b);
    sn_nn_output(b, "last_hidden_state", x);
    if (sn_nn_wants(b, "pooler_output"))
        sn_nn_output(b, "pooler_output", b->arch->family->pooled(b, x));
}

void sn_head_words(SnBuild *b)
{
    sn_nn_tag(b, b->arch->family->words(b, sn_nn_wanted_places(b, hidden(b))));
}

void sn_head_next_word(SnBuild *b)
{
    sn_nn_next_token(b, b->arch->family->words(b, sn_nn_wanted_places(b, hidden(b))));
}

void sn_head_sequence(SnBuild *b)
{
    sn_nn_classify(
        b, sn_nn_head_linear(b, "classifier", sn_nn_class_dropout(b, pooled(b)), sn_nn_labels(b), true));
}

/* Where the last token of each row is that is no padding, i64[batch]; padding is known by its id alone. */
static SnValue last_place(SnBuild *b)
{
    SnGraph *g = b->g;
    const SnValue ids = sn_nn_input(b, "input_ids"), dims[] = {b->batch, b->seq}, place[] = {b->seq};
    const int64_t pad = sn_config_int(b->config, "pad_token_id", -1);
    if (!ids.ref || pad < 0)
        return sn_broadcast(g, sn_sub(g, b->seq, sn_size(b->g, 1)), 1, dims);
    const SnValue is_text = sn_ne(g, ids, sn_size(b->g, pad));
    return sn_reduce(g, "max", sn_where(g, is_text, sn_iota(g, SN_I64, 0, 1, place), sn_size(b->g, 0)), 1,
                     &(int){1}, false);
}

void sn_head_last(SnBuild *b)
{
    const SnValue x = hidden(b), rows = sn_iota(b->g, SN_I64, 0, 1, &b->batch);
    const SnValue last = sn_gather(b->g, x, 2, (const int[]){0, 1}, (SnValue[]){rows, last_place(b)}, NULL);
    sn_nn_classify(b, sn_nn_head_linear(b, "score", last, sn_nn_labels(b), false));
}

void sn_head_token_score(SnBuild *b)
{
    sn_nn_tag(b, sn_nn_head_linear(b, "score", sn_nn_class_dropout(b, hidden(b)), sn_nn_labels(b), true));
}

void sn_head_first(SnBuild *b)
{
    SnValue x = sn_nn_class_dropout(b, sn_nn_first_token(b, hidden(b)));
    x = sn_nn_class_dropout(b, sn_tanh(b->g, sn_nn_head_linear(b, "classifier.dense", x, 0, true)));
    sn_nn_classify(b, sn_nn_head_linear(b, "classifier.out_proj", x, sn_nn_labels(b), true));
}

void sn_head_token(SnBuild *b)
{
    sn_nn_tag(b,
              sn_nn_head_linear(b, "classifier", sn_nn_class_dropout(b, hidden(b)), sn_nn_labels(b), true));
}

void sn_head_question(SnBuild *b)
{
    const SnValue x = sn_nn_dropout(b, hidden(b), sn_config_float(b->config, "qa_dropout", 0));
    sn_nn_answer(b, sn_nn_head_linear(b, "qa_outputs", x, 2, true));
}

void sn_head_choice(SnBuild *b)
{
    sn_nn_choose(b, sn_nn_head_linear(b, "classifier", sn_nn_class_dropout(b, pooled(b)), 1, true));
}
