/* pipeline_class.c -- text-classification, zero-shot-classification, feature-extraction. */
#include "frontends/tasks/pipeline.h"
#include "frontends/tasks/program.h"

#include <math.h>

static SnStatus window_list(SnPipe *p, const SnEncoding *e, size_t n, const SnEncoding ***out, SnError *err)
{
    *out = sn_arena_array(&p->arena, n, sizeof **out);
    SN_CHECK(*out, err, SN_ENOMEM, "%s: no memory for %zu texts", p->task, n);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = &e[i];
    return SN_OK;
}

static SnStatus run(SnPipe *p, const SnBytes *text, const SnBytes *pair, size_t n, const SnTokenizeOptions *o,
                    const char *want, SnPipeKeep keep, SnPipeRow **out, SnError *err)
{
    SnEncoding *e = NULL;
    const SnEncoding **window = NULL;
    if (p->m->opened)
        return sn_pipe_opened_scores(p, text, pair, n, out, err);
    SN_TRY(sn_pipe_encode(p, text, pair, n, o, &e, err));
    SN_TRY(window_list(p, e, n, &window, err));
    return sn_pipe_forward(p, window, n, &want, 1, keep, out, err);
}

/* ---- text-classification ---- */

typedef struct Classify {
    SnApply apply;
    bool is_plain; /* top_k was not given: one result, and no list of it */
    bool is_all;   /* top_k null */
    int64_t top_k; /* negative: all but so many */
} Classify;

static SnStatus read_classify(const SnPipe *p, Classify *c, SnError *err)
{
    static const char *const names[] = {"none", "sigmoid", "softmax"};
    size_t apply = p->m->opened ? SN_APPLY_NONE : sn_task_apply(p->m); /* the program has it in it */
    const SnJson *k = sn_json_get(p->kwargs, "top_k");
    SN_TRY(sn_pipe_word(p, "function_to_apply", names, SN_COUNT(names), &apply, err));
    *c = (Classify){.apply = (SnApply)apply, .is_plain = !k, .is_all = sn_json_is_null(k)};
    return sn_pipe_int(p, "top_k", INT32_MIN, &c->top_k, err);
}

/* {"text", "text_pair"}, or [[text, pair]] as it once was. */
static SnStatus read_pair(SnPipe *p, const SnJson *v, SnBytes *text, SnBytes *pair, SnError *err)
{
    const SnJson *old = v->kind == SN_JSON_ARRAY && v->n == 1 ? &v->u.child[0] : NULL;
    if (old && old->kind == SN_JSON_ARRAY && old->n == 2) {
        SN_TRY(sn_pipe_text(p, &old->u.child[0], "the text of a pair", text, err));
        return sn_pipe_text(p, &old->u.child[1], "the second text of a pair", pair, err);
    }
    SN_CHECK(v->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "%s: an input is neither a string nor {\"text\", \"text_pair\"}", p->task);
    for (uint32_t i = 0; i < v->n; i++)
        SN_CHECK(sn_is_one_of(v->u.child[i].key, "text text_pair"), err, SN_EINVAL,
                 "%s: an input has the key %.*s, expected text and text_pair", p->task,
                 sn_pipe_shown(v->u.child[i].key), (const char *)v->u.child[i].key.at);
    const SnJson *second = sn_json_get(v, "text_pair");
    SN_TRY(sn_pipe_text(p, sn_json_get(v, "text"), "\"text\" of an input", text, err));
    return sn_json_is_null(second) ? SN_OK : sn_pipe_text(p, second, "\"text_pair\" of an input", pair, err);
}

static void apply_function(SnApply apply, const float *x, float *y, size_t n)
{
    switch (apply) {
    case SN_APPLY_SOFTMAX:
        sn_pipe_softmax(x, y, n);
        break;
    case SN_APPLY_SIGMOID:
        for (size_t i = 0; i < n; i++)
            y[i] = 1.0f / (1.0f + expf(-x[i]));
        break;
    case SN_APPLY_NONE:
        memcpy(y, x, n * sizeof *y);
        break;
    }
}

static SnStatus put_scores(SnPipe *p, const Classify *c, const SnPipeRow *row, SnError *err)
{
    const size_t n = row->width;
    float *score = sn_arena_array(&p->arena, n + 1, sizeof *score);
    const size_t *order = NULL;
    if (score) {
        apply_function(c->apply, row->at, score, n);
        order = sn_pipe_rank(&p->arena, score, n);
    }
    SN_CHECK(order, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    const int64_t given = c->top_k < 0 ? (int64_t)n + c->top_k : c->top_k;
    const size_t most = c->is_plain ? 1 : c->is_all || given > (int64_t)n ? n : given < 0 ? 0 : (size_t)given;
    sn_text_add(p->out, "[", c->is_plain ? 0 : 1);
    for (size_t i = 0; i < most; i++) {
        sn_text_printf(p->out, "%s{\"label\": ", i ? ", " : "");
        sn_json_put_string(p->out, sn_pipe_label(p, order[i]));
        sn_text_printf(p->out, ", \"score\": ");
        sn_json_put_f64(p->out, (double)score[order[i]]);
        sn_text_add(p->out, "}", 1);
    }
    sn_text_add(p->out, "]", c->is_plain ? 0 : 1);
    return SN_OK;
}

SnStatus sn_pipe_classify(SnPipe *p, SnError *err)
{
    SnTokenizeOptions o = {.struct_size = sizeof o};
    Classify c;
    SnPipeRow *row = NULL;
    const bool is_list = p->input->kind == SN_JSON_ARRAY;
    const size_t n = is_list ? p->input->n : 1;
    SN_CHECK(n > 0, err, SN_EINVAL, "%s: an empty list of inputs", p->task);
    SN_TRY(read_classify(p, &c, err));
    SN_TRY(sn_pipe_tokenizer_args(p, p->kwargs, "top_k function_to_apply", &o, err));
    SnBytes *text = sn_arena_array(&p->arena, n, sizeof *text);
    SnBytes *pair = sn_arena_array(&p->arena, n, sizeof *pair);
    SN_CHECK(text && pair, err, SN_ENOMEM, "%s: no memory for %zu texts", p->task, n);
    for (size_t i = 0; i < n; i++) {
        const SnJson *v = is_list ? &p->input->u.child[i] : p->input;
        SN_TRY(v->kind == SN_JSON_STRING ? sn_pipe_text(p, v, "an input", &text[i], err)
                                         : read_pair(p, v, &text[i], &pair[i], err));
    }
    SN_TRY(run(p, text, pair, n, &o, "logits", SN_PIPE_WINDOW, &row, err));
    const bool is_wrapped = is_list || (c.is_plain && p->input->kind == SN_JSON_STRING);
    sn_text_add(p->out, "[", is_wrapped ? 1 : 0);
    for (size_t i = 0; i < n; i++) {
        sn_text_add(p->out, ", ", i ? 2 : 0);
        SN_TRY(put_scores(p, &c, &row[i], err));
    }
    sn_text_add(p->out, "]", is_wrapped ? 1 : 0);
    return SN_OK;
}

/* ---- feature-extraction ---- */

SnStatus sn_pipe_extract(SnPipe *p, SnError *err)
{
    SnTokenizeOptions o = {.struct_size = sizeof o};
    const SnJson *own = sn_pipe_arg(p, "tokenize_kwargs"), *cut = sn_pipe_arg(p, "truncation");
    SnBytes *text = NULL;
    SnPipeRow *row = NULL;
    size_t n = 0;
    const bool is_list = p->input->kind == SN_JSON_ARRAY;
    SN_CHECK(!cut || !sn_json_get(own, "truncation"), err, SN_EINVAL, "%s: truncation is given twice",
             p->task);
    SN_TRY(sn_pipe_tokenizer_args(p, own, "", &o, err));
    if (cut) {
        SnTokenizeOptions only = {.struct_size = sizeof only};
        SN_TRY(sn_pipe_tokenizer_args(p, p->kwargs, "tokenize_kwargs", &only, err));
        o.truncation = only.truncation;
    }
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    SN_TRY(run(p, text, NULL, n, &o, "last_hidden_state", SN_PIPE_TOKENS, &row, err));
    for (size_t i = 0; i < n; i++) {
        sn_text_printf(p->out, "%s[[", i ? ", " : is_list ? "[" : "");
        for (size_t j = 0; j < row[i].n; j++)
            for (size_t k = 0; k < row[i].width; k++) {
                sn_text_printf(p->out, "%s", k ? ", " : j ? "], [" : "[");
                sn_json_put_f64(p->out, (double)row[i].at[j * row[i].width + k]);
            }
        sn_text_printf(p->out, "]]]");
    }
    sn_text_add(p->out, "]", is_list ? 1 : 0);
    return SN_OK;
}

/* ---- zero-shot-classification ---- */

typedef struct ZeroShot {
    SnBytes *label;
    size_t n;
    SnBytes template;
    bool is_multi;
    int64_t entailment; /* -1: the last */
} ZeroShot;

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* "a, b" is two labels. */
static SnStatus split_labels(SnPipe *p, SnBytes list, ZeroShot *z, SnError *err)
{
    size_t most = 1;
    for (size_t i = 0; i < list.n; i++)
        most += list.at[i] == ',';
    z->label = sn_arena_array(&p->arena, most, sizeof *z->label);
    SN_CHECK(z->label, err, SN_ENOMEM, "%s: no memory for labels", p->task);
    for (size_t at = 0; at <= list.n;) {
        size_t end = at;
        while (end < list.n && list.at[end] != ',')
            end++;
        const size_t next = end + 1;
        while (at < end && is_space(list.at[at]))
            at++;
        while (end > at && is_space(list.at[end - 1]))
            end--;
        if (end > at)
            z->label[z->n++] = sn_bytes(list.at + at, end - at);
        at = next;
    }
    return SN_OK;
}

static SnStatus read_labels(SnPipe *p, const SnJson *v, ZeroShot *z, SnError *err)
{
    if (v && v->kind == SN_JSON_ARRAY) {
        z->n = v->n;
        z->label = sn_arena_array(&p->arena, z->n + 1, sizeof *z->label);
        SN_CHECK(z->label, err, SN_ENOMEM, "%s: no memory for %zu labels", p->task, z->n);
        for (size_t i = 0; i < z->n; i++)
            SN_TRY(sn_pipe_text(p, &v->u.child[i], "a candidate label", &z->label[i], err));
    } else {
        SnBytes list;
        SN_TRY(sn_pipe_text(p, v, "candidate_labels", &list, err));
        SN_TRY(split_labels(p, list, z, err));
    }
    SN_CHECK(z->n > 0, err, SN_EINVAL, "%s: no candidate labels", p->task);
    return SN_OK;
}

/* The template with the label in it, as Python's format: {} or {0}, once or more; {{ and }} are braces. */
static SnStatus hypothesis(SnPipe *p, SnBytes template, SnBytes label, SnBytes *out, SnError *err)
{
    SnText t = {.memory = p->arena.memory};
    bool ok = true, is_formatted = false;
    for (size_t i = 0; ok && i < template.n; i++) {
        const char c = (char)template.at[i], next = i + 1 < template.n ? (char)template.at[i + 1] : 0;
        const size_t skip = next == '0' ? 1 : 0;
        if ((c == '{' || c == '}') && next == c) {
            sn_text_add(&t, &c, 1);
            i++;
        } else if (c == '{' && i + 1 + skip < template.n && template.at[i + 1 + skip] == '}') {
            sn_text_add(&t, (const char *)label.at, label.n);
            is_formatted = true;
            i += 1 + skip;
        } else if (c == '{' || c == '}')
            ok = false;
        else
            sn_text_add(&t, &c, 1);
    }
    const char *copy = sn_arena_strndup(&p->arena, t.at ? t.at : "", t.n);
    *out = sn_bytes(copy, t.n);
    ok = ok && is_formatted;
    const bool failed = t.failed || !copy;
    sn_text_clear(&t);
    SN_CHECK(!failed, err, SN_ENOMEM, "%s: no memory for a hypothesis", p->task);
    SN_CHECK(ok, err, SN_EINVAL, "%s: hypothesis_template \"%.*s\" has no {} for the label", p->task,
             sn_pipe_shown(template), (const char *)template.at);
    return SN_OK;
}

/* A text and each label as a pair. The text is cut where the pair is too long; where that would leave nothing
 * of it, nothing is cut, as in the reference. */
static SnStatus entail_logits(SnPipe *p, const ZeroShot *z, SnBytes text, SnPipeRow **out, SnError *err)
{
    SnTokenizeOptions o = {.struct_size = sizeof o, .truncation = SN_TRUNCATE_ONLY_FIRST};
    const SnTokenizeOptions whole = {.struct_size = sizeof whole};
    SnBytes *pair = sn_arena_array(&p->arena, z->n, sizeof *pair);
    SnEncoding *e = sn_arena_array(&p->arena, z->n, sizeof *e), *one = NULL;
    const SnEncoding **window = NULL;
    static const char *const want[] = {"logits"};
    SN_CHECK(pair && e, err, SN_ENOMEM, "%s: no memory for %zu labels", p->task, z->n);
    for (size_t i = 0; i < z->n; i++) {
        SN_TRY(hypothesis(p, z->template, z->label[i], &pair[i], err));
        SnStatus st = sn_pipe_encode(p, &text, &pair[i], 1, &o, &one, err);
        if (st == SN_EINVAL)
            st = sn_pipe_encode(p, &text, &pair[i], 1, &whole, &one, err);
        SN_TRY(st);
        e[i] = *one;
    }
    SN_TRY(window_list(p, e, z->n, &window, err));
    return sn_pipe_forward(p, window, z->n, want, 1, SN_PIPE_WINDOW, out, err);
}

/* Entailment against contradiction for each label, or of all labels against each other. */
static SnStatus zero_shot_scores(SnPipe *p, const ZeroShot *z, const SnPipeRow *row, float *score,
                                 SnError *err)
{
    const size_t width = row->width, entail = z->entailment < 0 ? width - 1 : (size_t)z->entailment;
    SN_CHECK(width >= 1 && entail < width, err, SN_EFORMAT, "%s: entailment is label %zu of %zu",
             p->m->folder, entail, width);
    const size_t contradict = z->entailment == 0 ? width - 1 : 0;
    float sum = 0;
    for (size_t i = 0; i < z->n; i++) {
        score[i] = expf(row[i].at[entail]);
        sum += score[i];
    }
    for (size_t i = 0; i < z->n; i++)
        score[i] /= z->is_multi ? score[i] + expf(row[i].at[contradict]) : sum;
    return SN_OK;
}

static SnStatus put_zero_shot(SnPipe *p, const ZeroShot *z, SnBytes text, SnError *err)
{
    SnPipeRow *row = NULL;
    float *score = sn_arena_array(&p->arena, z->n, sizeof *score);
    SN_CHECK(score, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    SN_TRY(entail_logits(p, z, text, &row, err));
    SN_TRY(zero_shot_scores(p, z, row, score, err));
    const size_t *order = sn_pipe_rank(&p->arena, score, z->n);
    SN_CHECK(order, err, SN_ENOMEM, "%s: no memory for scores", p->task);
    sn_text_printf(p->out, "{\"sequence\": ");
    sn_json_put_string(p->out, text);
    for (size_t i = 0; i < z->n; i++) {
        sn_text_printf(p->out, "%s", i ? ", " : ", \"labels\": [");
        sn_json_put_string(p->out, z->label[order[i]]);
    }
    for (size_t i = 0; i < z->n; i++) {
        sn_text_printf(p->out, "%s", i ? ", " : "], \"scores\": [");
        sn_json_put_f64(p->out, (double)score[order[i]]);
    }
    sn_text_printf(p->out, "]}");
    return SN_OK;
}

/* The arguments may also lie beside the text: {"sequence" or "sequences", "candidate_labels" ...}. */
static SnStatus spread_input(SnPipe *p, const SnJson **labels, const SnJson **template, const SnJson **multi,
                             SnError *err)
{
    const SnJson *in = p->input;
    *labels = sn_pipe_arg(p, "candidate_labels");
    *template = sn_pipe_arg(p, "hypothesis_template");
    *multi = sn_pipe_arg(p, "multi_label");
    if (in->kind != SN_JSON_OBJECT)
        return SN_OK;
    for (uint32_t i = 0; i < in->n; i++) {
        const SnJson *v = &in->u.child[i];
        if (sn_is_one_of(v->key, "sequence sequences"))
            p->input = v;
        else if (sn_bytes_is(v->key, "candidate_labels"))
            *labels = v;
        else if (sn_bytes_is(v->key, "hypothesis_template"))
            *template = v;
        else if (sn_bytes_is(v->key, "multi_label"))
            *multi = v;
        else
            return sn_fail(err, SN_EINVAL, "%s: the input has the key %.*s", p->task, sn_pipe_shown(v->key),
                           (const char *)v->key.at);
    }
    SN_CHECK(p->input != in, err, SN_EINVAL, "%s: the input has no sequence", p->task);
    return SN_OK;
}

SnStatus sn_pipe_zero_shot(SnPipe *p, SnError *err)
{
    ZeroShot z = {.template = sn_bytes_str("This example is {}.")};
    const SnJson *labels, *template, *multi;
    SnBytes *text = NULL;
    size_t n = 0;
    SN_TRY(spread_input(p, &labels, &template, &multi, err));
    SN_CHECK(!multi || sn_json_bool(multi, &z.is_multi), err, SN_EINVAL,
             "%s: multi_label is neither true nor false", p->task);
    SN_CHECK(labels, err, SN_EINVAL, "%s: no candidate_labels", p->task);
    SN_TRY(read_labels(p, labels, &z, err));
    if (template)
        SN_TRY(sn_pipe_text(p, template, "hypothesis_template", &z.template, err));
    SN_TRY(sn_pipe_texts(p, &text, &n, err));
    z.is_multi = z.is_multi || z.n == 1;
    z.entailment = sn_task_entailment(p->m);
    if (z.entailment < 0)
        sn_log_write(p->m->ctx, SN_LOG_WARN, "%s: no label of config.json's label2id begins with entail",
                     p->m->folder);
    const bool is_list = p->input->kind == SN_JSON_ARRAY;
    for (size_t i = 0; i < n; i++) {
        SN_CHECK(text[i].n, err, SN_EINVAL, "%s: an empty sequence", p->task);
        sn_text_printf(p->out, "%s", i ? ", " : is_list ? "[" : "");
        SN_TRY(put_zero_shot(p, &z, text[i], err));
    }
    sn_text_add(p->out, "]", is_list ? 1 : 0);
    return SN_OK;
}
