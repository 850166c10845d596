/* trainer_eval.c -- rows through the head, and what metrics make of its outputs.
 *
 * Metrics are those of eval.h by the names of the config; none of them is computed here. */
#include "frontends/training/trainer.h"

#include "frontends/eval.h"
#include "runtime/tensor.h"

#include <math.h>

/* What is kept of the rows: of places whose label counts. */
typedef struct Score {
    SN_VEC(float) logits; /* [.., classes], where somebody else computes */
    SN_VEC(double)
    said, margin;         /* the likeliest class or the number; of two classes how much more the second */
    SN_VEC(double) there; /* what the rows have */
    SN_VEC(size_t) row;   /* where each row begins */
    int64_t classes;
    double loss, rows;
    SnAnswerScores answers;
} Score;

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "evaluation: no memory");
}

static void clear(Score *s, const SnAllocator *memory)
{
    sn_vec_clear(memory, &s->logits);
    sn_vec_clear(memory, &s->said);
    sn_vec_clear(memory, &s->margin);
    sn_vec_clear(memory, &s->there);
    sn_vec_clear(memory, &s->row);
    sn_answer_scores_clear(&s->answers);
}

/* ---- which metrics ---- */

#define MAX_METRICS 16
#define MAX_NAME    64

/* "f1:weighted": a name, and what it calls `average`. */
typedef struct Wanted {
    char name[MAX_NAME], average[MAX_NAME];
} Wanted;

static bool is_metric(const char *name)
{
    for (size_t i = 0; sn_metric_name(i); i++)
        if (strcmp(sn_metric_name(i), name) == 0)
            return true;
    return false;
}

static SnStatus add_wanted(Wanted *w, int *n, SnBytes s, SnError *err)
{
    size_t mid = 0;
    while (mid < s.n && s.at[mid] != ':')
        mid++;
    SN_CHECK(*n < MAX_METRICS && s.n > 0 && s.n < MAX_NAME, err, SN_EINVAL,
             "config: metrics: expected up to %d names", MAX_METRICS);
    Wanted *v = &w[*n];
    *v = (Wanted){{0}, {0}};
    memcpy(v->name, s.at, mid);
    if (mid < s.n)
        memcpy(v->average, s.at + mid + 1, s.n - mid - 1);
    SN_CHECK(is_metric(v->name), err, SN_EINVAL, "config: metrics: no metric %s", v->name);
    (*n)++;
    return SN_OK;
}

static SnStatus add_words(Wanted *w, int *n, SnBytes s, SnError *err)
{
    for (size_t at = 0; at < s.n;) {
        size_t end = at;
        while (end < s.n && s.at[end] != ',')
            end++;
        size_t from = at, to = end;
        while (from < to && s.at[from] == ' ')
            from++;
        while (to > from && s.at[to - 1] == ' ')
            to--;
        SN_TRY(add_wanted(w, n, (SnBytes){s.at + from, to - from}, err));
        at = end + 1;
    }
    return SN_OK;
}

/* A string with commas, or a list; by the task where there is none. */
static SnStatus wanted(const SnTrainer *t, Wanted w[MAX_METRICS], int *n, SnError *err)
{
    const SnJson *v = sn_arg(t->config, "metrics");
    SnBytes s;
    *n = 0;
    if (!v)
        return add_words(w, n, sn_bytes_str(t->collate.is_regression ? "mse" : "accuracy,f1"), err);
    if (sn_json_string(v, &s))
        return add_words(w, n, s, err);
    SN_CHECK(v->kind == SN_JSON_ARRAY, err, SN_EINVAL, "config: metrics: expected names");
    for (uint32_t i = 0; i < v->n; i++) {
        SN_CHECK(sn_json_string(sn_json_at(v, i), &s), err, SN_EINVAL, "config: metrics: expected names");
        SN_TRY(add_wanted(w, n, s, err));
    }
    return SN_OK;
}

SnStatus sn_trainer_check_metrics(const SnTrainer *t, SnError *err)
{
    Wanted w[MAX_METRICS];
    int n = 0;
    const bool has_classes = sn_train_has_classes(t->collate.task);
    SN_CHECK(has_classes || !sn_arg(t->config, "metrics"), err, SN_EINVAL,
             "config: metrics: this task has its own alone");
    return has_classes ? wanted(t, w, &n, err) : SN_OK;
}

/* ---- what they take ---- */

static void put_numbers(SnText *out, const char *key, const double *v, size_t n)
{
    sn_text_printf(out, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        sn_text_printf(out, i ? ", %.17g" : "%.17g", v[i]);
    sn_text_printf(out, "]");
}

static void put_label(const SnTrainer *t, SnText *out, int64_t label)
{
    if (t->collate.label && label < t->collate.nlabel)
        sn_json_put_string(out, sn_bytes_str(t->collate.label[label]));
    else
        sn_text_printf(out, "\"LABEL_%lld\"", (long long)label);
}

static size_t row_end(const Score *s, size_t i)
{
    return i + 1 < s->row.n ? s->row.at[i + 1] : s->there.n;
}

/* Names of labels, a list for each row. */
static void put_tags(const SnTrainer *t, const Score *s, SnText *out, const char *key, const double *v)
{
    sn_text_printf(out, ", \"%s\": [", key);
    for (size_t i = 0; i < s->row.n; i++) {
        const size_t end = row_end(s, i);
        sn_text_printf(out, i ? ", [" : "[");
        for (size_t k = s->row.at[i]; k < end; k++) {
            sn_text_printf(out, k > s->row.at[i] ? ", " : "");
            put_label(t, out, (int64_t)v[k]);
        }
        sn_text_printf(out, "]");
    }
    sn_text_printf(out, "]");
}

static void put_input(const SnTrainer *t, const Score *s, const Wanted *w, SnText *out)
{
    const bool is_tags = strcmp(w->name, "seqeval") == 0;
    const char *average = *w->average ? w->average : s->classes == 2 ? "binary" : "macro";
    const bool has_average = *w->average || sn_is_one_of(sn_bytes_str(w->name), "f1 precision recall");
    sn_text_printf(out, has_average ? "{\"average\": \"%s\"" : "{\"average\": null", average);
    if (is_tags) {
        put_tags(t, s, out, "predictions", s->said.at);
        put_tags(t, s, out, "references", s->there.at);
    } else {
        put_numbers(out, "predictions", s->said.at, s->said.n);
        put_numbers(out, "references", s->there.at, s->there.n);
    }
    if (s->margin.n)
        put_numbers(out, "prediction_scores", s->margin.at, s->margin.n);
    sn_text_printf(out, "}");
}

/* Numbers of an object as members whose names begin with the prefix. */
static void put_members(const SnJson *o, const char *prefix, SnText *out)
{
    for (uint32_t i = 0; i < o->n; i++) {
        const SnJson *v = &o->u.child[i];
        double x = 0;
        if (!sn_json_number(v, &x))
            continue;
        sn_text_printf(out, ", \"%s_%.*s\": ", prefix, (int)(v->key.n < MAX_NAME ? v->key.n : MAX_NAME),
                       (const char *)v->key.at);
        sn_json_put_f64(out, x);
    }
}

/* What a metric makes of its input. */
static SnStatus put_found(SnTrainer *t, const char *name, const SnText *input, const char *prefix,
                          SnText *out, SnError *err)
{
    SnText found = {.memory = input->memory};
    SnArena arena;
    SnJson *json = NULL;
    sn_arena_init(&arena, input->memory);
    SnStatus st = input->failed ? no_memory(err)
                                : sn_json_parse(&arena, "metrics", sn_bytes(input->at, input->n), &json, err);
    if (st == SN_OK)
        st = sn_metric_compute(t->ctx, name, json, &found, err);
    if (st == SN_OK)
        st = sn_json_parse(&arena, "metrics", sn_bytes(found.at, found.n), &json, err);
    if (st == SN_OK)
        put_members(json, prefix, out);
    sn_text_clear(&found);
    sn_arena_clear(&arena);
    return st;
}

static SnStatus put_metric(SnTrainer *t, const Score *s, const Wanted *w, const char *prefix, SnText *out,
                           SnError *err)
{
    SnText input = {.memory = sn_allocator(t->ctx)};
    put_input(t, s, w, &input);
    const SnStatus st = put_found(t, w->name, &input, prefix, out, err);
    sn_text_clear(&input);
    return st;
}

static SnStatus put_answers(SnTrainer *t, SnAnswerScores *s, const char *prefix, SnText *out, SnError *err)
{
    SnText input = {.memory = sn_allocator(t->ctx)};
    SnStatus st = sn_answer_scores_end(s, &input, err);
    if (st == SN_OK)
        st = put_found(t, s->allows_none ? "squad_v2" : "squad", &input, prefix, out, err);
    sn_text_clear(&input);
    return st;
}

static SnStatus put_metrics(SnTrainer *t, Score *s, const char *prefix, SnText *out, SnError *err)
{
    Wanted w[MAX_METRICS];
    int n = 0;
    SN_CHECK(isfinite(s->loss), err, SN_EINVAL, "evaluation: the loss is %g", s->loss);
    SN_CHECK(s->rows > 0, err, SN_EINVAL, "evaluation: no row has a label");
    sn_text_printf(out, "\"%s_loss\": %.17g", prefix, s->loss / s->rows);
    if (t->d.compute_metrics && s->classes) {
        const int64_t dims[] = {(int64_t)s->there.n, s->classes};
        int64_t *labels = sn_arena_array(&t->batch_arena, s->there.n + 1, sizeof *labels);
        if (!labels)
            return no_memory(err);
        for (size_t i = 0; i < s->there.n; i++)
            labels[i] = (int64_t)s->there.at[i];
        const SnView logits = sn_view(SN_F32, s->logits.at, 2, dims), view = sn_view(SN_I64, labels, 1, dims);
        sn_text_printf(out, ", ");
        return t->d.compute_metrics(t->d.self, &logits, &view, out, err);
    }
    if (s->answers.rows)
        return put_answers(t, &s->answers, prefix, out, err);
    if (sn_train_guesses(t->collate.task))
        sn_text_printf(out, ", \"%s_perplexity\": %.17g", prefix, exp(s->loss / s->rows));
    if (s->there.n == 0)
        return SN_OK;
    SN_TRY(wanted(t, w, &n, err));
    for (int i = 0; i < n; i++)
        SN_TRY(put_metric(t, s, &w[i], prefix, out, err));
    return SN_OK;
}

/* ---- rows ---- */

static SnStatus score_place(SnTrainer *t, Score *s, const float *logits, double label, SnError *err)
{
    const SnAllocator *memory = sn_allocator(t->ctx);
    double said = (double)logits[0];
    int64_t best = 0;
    for (int64_t k = 1; k < s->classes; k++)
        best = logits[k] > logits[best] ? k : best;
    if (!t->collate.is_regression)
        said = (double)best;
    bool ok = sn_vec_push(memory, &s->said, said) && sn_vec_push(memory, &s->there, label);
    if (s->classes == 2)
        ok = ok && sn_vec_push(memory, &s->margin, (double)logits[1] - (double)logits[0]);
    for (int64_t k = 0; k < s->classes && t->d.compute_metrics; k++)
        ok = ok && sn_vec_push(memory, &s->logits, logits[k]);
    return ok ? SN_OK : no_memory(err);
}

/* Places of a batch whose label counts. */
static SnStatus score_batch(SnTrainer *t, Score *s, const SnView *logits, const SnView *labels, SnError *err)
{
    const SnAllocator *memory = sn_allocator(t->ctx);
    const size_t places = labels->ndim == 2 ? (size_t)labels->dims[1] : 1;
    s->classes = logits->dims[logits->ndim - 1];
    for (size_t i = 0; i < (size_t)labels->dims[0]; i++) {
        if (!sn_vec_push(memory, &s->row, s->there.n))
            return no_memory(err);
        for (size_t k = i * places; k < (i + 1) * places; k++) {
            const bool is_number = labels->dtype == SN_F32;
            const double label = is_number ? (double)((const float *)labels->data)[k]
                                           : (double)((const int64_t *)labels->data)[k];
            const float *row = (const float *)logits->data + k * (size_t)s->classes;
            if (is_number || label >= 0)
                SN_TRY(score_place(t, s, row, label, err));
        }
    }
    return SN_OK;
}

/* Of words that are guessed a batch may have none; its loss is no number then. */
static bool has_labels(const SnView *v)
{
    int64_t count = 0;
    bool has = v->dtype != SN_I64 || !sn_view_count(v, &count);
    for (int64_t i = 0; i < count && !has; i++)
        has = ((const int64_t *)v->data)[i] >= 0;
    return has;
}

static SnStatus add_answers(SnAnswerScores *s, int64_t first, const SnResults *r, SnError *err)
{
    const SnNamedTensor *start = sn_results_find(r, "start_logits"), *end = sn_results_find(r, "end_logits");
    SN_CHECK(start && end, err, SN_EINVAL, "evaluation: the model has no start_logits and end_logits");
    return sn_answer_scores_add(s, first, &start->view, &end->view, err);
}

/* Rows that an evaluation looks at. */
static int64_t counted(const SnTrainer *t, const SnTrainSource *rows, int64_t size)
{
    return sn_arg_bool(t->config, "dataloader_drop_last") ? rows->n / size * size : rows->n;
}

static SnStatus run_batch(SnTrainer *t, SnTrainSource *rows, int64_t first, int64_t size, Score *s,
                          SnError *err)
{
    SnNamedTensor in[SN_TRAIN_INPUTS];
    SnResults *r = NULL;
    size_t nin = 0;
    const int64_t left = counted(t, rows, size) - first, n = size < left ? size : left,
                  next = size < left - n ? size : left - n;
    int64_t *row = sn_arena_array(&t->batch_arena, (size_t)(n + next), sizeof *row);
    if (!row)
        return no_memory(err);
    for (int64_t i = 0; i < n + next; i++)
        row[i] = first + i;
    SN_TRY(sn_train_source_batch(rows, row, n, 0, (uint64_t)first, &t->batch_arena, in, &nin, err));
    SN_TRY(sn_train_source_expect(rows, row + n, next, err));
    SN_TRY(sn_training_eval(t->session, in, nin, &r, err));
    const SnNamedTensor *loss = sn_results_find(r, "loss"), *logits = sn_results_find(r, "logits");
    SnStatus st = SN_OK;
    const bool counts = has_labels(&in[nin - 1].view);
    if (loss && counts)
        s->loss += (double)*(const float *)loss->view.data * (double)n;
    s->rows += counts ? (double)n : 0;
    if (logits)
        st = score_batch(t, s, &logits->view, &in[nin - 1].view, err);
    if (s->answers.rows)
        st = add_answers(&s->answers, first, r, err);
    sn_results_destroy(r);
    sn_trainer_emit(t, SN_ON_prediction_step, NULL);
    return st;
}

/* A line for each row: what it is said to be, of words a list. */
static void put_predictions(const SnTrainer *t, const Score *s, SnText *out)
{
    const bool is_list = t->collate.task == SN_TRAIN_TAG;
    if (s->answers.rows)
        sn_text_add(out, s->answers.said.at, s->answers.said.n);
    for (size_t i = 0; i < s->row.n; i++) {
        sn_text_printf(out, "{\"index\": %zu, \"prediction\": %s", i, is_list ? "[" : "");
        for (size_t k = s->row.at[i]; k < row_end(s, i); k++) {
            sn_text_printf(out, k > s->row.at[i] ? ", " : "");
            if (t->collate.is_regression)
                sn_json_put_f64(out, s->said.at[k]);
            else
                put_label(t, out, (int64_t)s->said.at[k]);
        }
        sn_text_printf(out, is_list ? "]}\n" : "}\n");
    }
}

SnStatus sn_trainer_score(SnTrainer *t, SnTrainSource *rows, const char *prefix, SnText *said, SnText *out,
                          SnError *err)
{
    const int64_t size = sn_arg_int(t->config, "per_device_eval_batch_size");
    const double begin = sn_trainer_now();
    Score s = {.classes = 0};
    const bool has_answers =
        t->collate.task == SN_TRAIN_ANSWER && !sn_arg_bool(t->config, "prediction_loss_only");
    SnStatus st = has_answers ? sn_answer_scores_begin(&s.answers, rows, err) : SN_OK;
    for (int64_t i = 0; st == SN_OK && i < counted(t, rows, size); i += size) {
        st = run_batch(t, rows, i, size, &s, err);
        sn_arena_clear(&t->batch_arena);
    }
    if (st == SN_OK)
        st = put_metrics(t, &s, prefix, out, err);
    if (st == SN_OK && said)
        put_predictions(t, &s, said);
    sn_arena_clear(&t->batch_arena);
    const double seconds = sn_trainer_now() - begin;
    sn_text_printf(out,
                   ", \"%s_runtime\": %.4f, \"%s_samples_per_second\": %.3f, "
                   "\"%s_steps_per_second\": %.3f",
                   prefix, seconds, prefix, (double)rows->n / seconds, prefix,
                   ceil((double)rows->n / (double)size) / seconds);
    clear(&s, sn_allocator(t->ctx));
    return st;
}

static SnStatus predict(SnTrainer *t, const char *path, SnText *said, SnText *members, SnError *err)
{
    SnJson *metrics = NULL;
    SN_TRY(sn_trainer_score(t, &t->test, "test", said, members, err));
    const char *object = sn_arena_printf(&t->arena, "{%s}", members->at ? members->at : "");
    if (members->failed || said->failed || !path || !object)
        return no_memory(err);
    SN_TRY(sn_json_parse(&t->arena, "metrics", sn_bytes_str(object), &metrics, err));
    SN_TRY(sn_file_write(t->ctx, path, &(SnBytes){(const uint8_t *)said->at, said->n}, 1, err));
    sn_trainer_emit(t, SN_ON_predict, metrics);
    return SN_OK;
}

SnStatus sn_trainer_predict(SnTrainer *t, SnText *out, SnError *err)
{
    SnText said = {.memory = sn_allocator(t->ctx)}, members = {.memory = said.memory};
    if (!t->test.n)
        return SN_OK;
    const SnStatus st =
        predict(t, sn_arena_printf(&t->arena, "%s/predictions.jsonl", t->output), &said, &members, err);
    if (st == SN_OK)
        sn_text_printf(out, ", %s", members.at);
    sn_text_clear(&said);
    sn_text_clear(&members);
    return st;
}
