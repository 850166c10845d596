/* trainer.c -- the loop: epochs of steps, and at their ends what the config asks for: a line of the log, an
 * evaluation, a checkpoint. Which of them come when, and what is in a line, is as in Transformers' Trainer.
 *
 * A step is a function of the weights and of the rows that its place in the run picks: a run that stops and
 * goes on from a checkpoint is the run that did not stop. */
#include "frontends/training/trainer.h"

#include "frontends/data/table.h"
#include "frontends/training/recipe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MEGA       50  /* steps whose rows are sorted by length, or a quarter of all where that is less */
#define EVAL_STEPS 500 /* that a state has where nobody told, and nothing goes by them */

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "training: no memory");
}

double sn_trainer_now(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- events ---- */

void sn_trainer_emit(SnTrainer *t, SnTrainerEventKind e, const SnJson *logs)
{
    for (size_t i = 0; i < t->d.ncallback; i++) {
        const SnTrainerCallback *c = &t->d.callback[i];
        SnTrainerEvent *const heard[] = {
#define SN_X(NAME) [SN_ON_##NAME] = c->on_##NAME,
            SN_TRAINER_EVENTS(SN_X)
#undef SN_X
        };
        if (heard[e])
            heard[e](c->self, &t->state, &t->control, logs);
    }
}

static bool is_when(const SnTrainer *t, const char *key, const char *when)
{
    return strcmp(sn_arg_string(t->config, key), when) == 0;
}

/* DefaultFlowCallback. */
static void after_step(SnTrainer *t)
{
    const SnTrainerState *s = &t->state;
    SnTrainerControl *c = &t->control;
    const bool may_evaluate = is_when(t, "eval_strategy", "steps") &&
                              sn_arg_number(t->config, "eval_delay") <= (double)s->global_step;
    if ((s->global_step == 1 && sn_arg_bool(t->config, "logging_first_step")) ||
        (is_when(t, "logging_strategy", "steps") && s->global_step % s->logging_steps == 0))
        c->should_log = true;
    if (may_evaluate && s->global_step % s->eval_steps == 0)
        c->should_evaluate = true;
    if (is_when(t, "save_strategy", "steps") && s->save_steps > 0 && s->global_step % s->save_steps == 0)
        c->should_save = true;
    if (s->global_step >= s->max_steps) {
        c->should_training_stop = true;
        c->should_evaluate = c->should_evaluate || may_evaluate;
        c->should_save = c->should_save || is_when(t, "save_strategy", "steps");
    }
    sn_trainer_emit(t, SN_ON_step_end, NULL);
}

static void after_epoch(SnTrainer *t)
{
    SnTrainerControl *c = &t->control;
    if (is_when(t, "logging_strategy", "epoch"))
        c->should_log = true;
    if (is_when(t, "eval_strategy", "epoch") && sn_arg_number(t->config, "eval_delay") <= t->state.epoch)
        c->should_evaluate = true;
    if (is_when(t, "save_strategy", "epoch"))
        c->should_save = true;
    sn_trainer_emit(t, SN_ON_epoch_end, NULL);
}

static SnStatus add_log(SnTrainer *t, SnText *members, const SnJson **out, SnError *err)
{
    const SnJson *entry = NULL;
    if (t->counts_tokens)
        sn_text_printf(members, ", \"num_input_tokens_seen\": %lld",
                       (long long)t->state.num_input_tokens_seen);
    SN_CHECK(!members->failed, err, SN_ENOMEM, "training: no memory");
    SN_TRY(sn_train_log_add(&t->log, &t->arena, members->at, t->state.global_step, &entry, err));
    t->control.should_log = false;
    sn_trainer_emit(t, SN_ON_log, entry);
    if (out)
        *out = entry;
    return SN_OK;
}

/* ---- evaluation ---- */

static SnStatus evaluate(SnTrainer *t, SnText *out, SnError *err)
{
    SN_CHECK(t->eval.n > 0, err, SN_EINVAL, "config: validation_file is not given");
    SN_TRY(sn_trainer_score(t, &t->eval, "eval", NULL, out, err));
    sn_text_printf(out, ", \"epoch\": %.17g", t->state.epoch);
    return SN_OK;
}

bool sn_trainer_is_plateau(const SnTrainer *t)
{
    return strcmp(sn_arg_string(t->config, "lr_scheduler_type"), "reduce_lr_on_plateau") == 0;
}

static double plateau_number(const SnTrainer *t, const char *key, double otherwise)
{
    return sn_json_number_of(sn_arg(t->config, "lr_scheduler_kwargs"), key, otherwise);
}

static bool is_better(const SnTrainer *t, double v)
{
    const SnJson *args = sn_arg(t->config, "lr_scheduler_kwargs");
    const bool is_max = sn_json_is(sn_json_get(args, "mode"), "max"),
               is_abs = sn_json_is(sn_json_get(args, "threshold_mode"), "abs");
    const double by = plateau_number(t, "threshold", 1e-4), best = t->plateau.best;
    if (isnan(best))
        return true;
    if (is_max)
        return v > (is_abs ? best + by : best * (by + 1.0));
    return v < (is_abs ? best - by : best * (1.0 - by));
}

static SnStatus follow_plateau(SnTrainer *t, double v, SnError *err)
{
    SnPlateau *p = &t->plateau;
    const bool better = is_better(t, v);
    p->bad = better ? 0 : p->bad + 1;
    p->best = better ? v : p->best;
    if (p->cooldown > 0) {
        p->cooldown--;
        p->bad = 0;
    }
    if ((double)p->bad <= plateau_number(t, "patience", 10))
        return SN_OK;
    p->cooldown = (int64_t)plateau_number(t, "cooldown", 0);
    p->bad = 0;
    const double old = t->state.learning_rate,
                 rate = fmax(old * plateau_number(t, "factor", 0.1), plateau_number(t, "min_lr", 0));
    return old - rate > plateau_number(t, "eps", 1e-8) ? sn_training_rate(t->session, rate, err) : SN_OK;
}

/* What an evaluation says of metric_for_best_model; is it better than the best one? */
static SnStatus look_at(const SnTrainer *t, const SnJson *metrics, double *v, bool *is_better_one,
                        SnError *err)
{
    const double best = t->state.best_metric;
    char key[128];
    (void)snprintf(key, sizeof key, "%s%s", strncmp(t->metric, "eval_", 5) == 0 ? "" : "eval_", t->metric);
    SN_CHECK(sn_json_number(sn_json_get(metrics, key), v), err, SN_EINVAL,
             "config: metric_for_best_model: an evaluation has no %s", key);
    *is_better_one = isnan(best) || (t->greater ? *v > best : *v < best);
    return SN_OK;
}

/* EarlyStoppingCallback. */
static void count_patience(SnTrainer *t, double v, bool is_better_one)
{
    const double best = t->state.best_metric;
    if (!t->most_patience)
        return;
    t->patience = is_better_one && (isnan(best) || fabs(v - best) > t->patience_step) ? 0 : t->patience + 1;
    if (t->patience >= t->most_patience)
        t->control.should_training_stop = true;
}

/* is_best NULL: before the first step, where nothing follows from it. */
static SnStatus evaluate_and_log(SnTrainer *t, bool *is_best, SnError *err)
{
    SnText members = {.memory = sn_allocator(t->ctx)};
    const SnJson *entry = NULL;
    SnTrainerState *s = &t->state;
    double v = 0;
    bool is_better_one = false;
    SnStatus st = evaluate(t, &members, err);
    if (st == SN_OK)
        st = add_log(t, &members, &entry, err);
    sn_text_clear(&members);
    if (st != SN_OK)
        return st;
    t->control.should_evaluate = false;
    sn_trainer_emit(t, SN_ON_evaluate, entry);
    if (!t->metric)
        return SN_OK;
    SN_TRY(look_at(t, entry, &v, &is_better_one, err));
    count_patience(t, v, is_better_one);
    if (!is_best)
        return SN_OK;
    if (sn_trainer_is_plateau(t))
        SN_TRY(follow_plateau(t, v, err));
    *is_best = is_better_one;
    s->best_metric = is_better_one ? v : s->best_metric;
    if (is_better_one && !is_when(t, "save_strategy", "no"))
        s->best_global_step = s->global_step;
    return SN_OK;
}

/* ---- a run ---- */

typedef struct Run {
    SnTrainer *t;
    int64_t batch, times, micro, updates; /* of a step, of an epoch */
    int64_t *order;                       /* of the rows of the epoch */
    double loss, total;                   /* since the last line, of all */
    int64_t logged;                       /* step of the last line */
    int64_t seen;                         /* num_input_tokens_seen at the beginning */
    double begin;
} Run;

static SnStatus log_step(Run *r, SnError *err)
{
    SnTrainer *t = r->t;
    const SnTrainerState *s = &t->state;
    SnText members = {.memory = sn_allocator(t->ctx)};
    sn_text_printf(&members, "\"loss\": %.17g, \"learning_rate\": %.17g, \"epoch\": %.17g",
                   r->loss / (double)(s->global_step - r->logged), s->learning_rate, s->epoch);
    if (isfinite(s->grad_norm)) /* else the step was left out, and the scale of the loss is halved */
        sn_text_printf(&members, ", \"grad_norm\": %.9g", s->grad_norm);
    if (t->counts_tokens) {
        const double seconds = sn_trainer_now() - r->begin;
        sn_text_printf(&members, ", \"train_runtime\": %.4f, \"train_tokens_per_second\": %.3f", seconds,
                       (double)(s->num_input_tokens_seen - r->seen) / seconds);
    }
    r->total += r->loss;
    r->loss = 0;
    r->logged = s->global_step;
    const SnStatus st = add_log(t, &members, NULL, err);
    sn_text_clear(&members);
    return st;
}

/* Trainer._maybe_log_save_evaluate. */
static SnStatus do_what_is_due(Run *r, SnError *err)
{
    SnTrainer *t = r->t;
    SnTrainerControl *c = &t->control;
    bool is_best = false;
    if (c->should_log && t->state.global_step > r->logged)
        SN_TRY(log_step(r, err));
    if (c->should_evaluate) {
        SN_TRY(evaluate_and_log(t, &is_best, err));
        if (is_when(t, "save_strategy", "best"))
            c->should_save = is_best;
    }
    if (!c->should_save)
        return SN_OK;
    SN_TRY(sn_checkpoint_write(t, err));
    c->should_save = false;
    sn_trainer_emit(t, SN_ON_save, NULL);
    return SN_OK;
}

/* ---- rows of an epoch ---- */

/* A row of a stretch, as qsort takes it. */
typedef struct ByLength {
    int64_t row, length, place;
} ByLength;

/* The longest first; equal ones as they were. */
static int longer(const void *a, const void *b)
{
    const ByLength *x = a, *y = b;
    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

static void sort_by_length(const SnTrainSource *r, int64_t *row, int64_t n, ByLength *by)
{
    for (int64_t i = 0; i < n; i++)
        by[i] = (ByLength){row[i], sn_train_source_length(r, row[i]), i};
    qsort(by, (size_t)n, sizeof *by, longer);
    for (int64_t i = 0; i < n; i++)
        row[i] = by[i].row;
}

/* LengthGroupedSampler: the longest row comes first, so that what a run needs is known at once. */
static SnStatus group(SnTrainer *t, int64_t *order, int64_t step, SnError *err)
{
    const SnTrainSource *r = &t->train;
    const int64_t parts = r->n / (step * 4), mega = step * (parts > MEGA ? MEGA : parts > 0 ? parts : 1);
    ByLength *by = sn_arena_array(&t->batch_arena, (size_t)(mega < r->n ? mega : r->n), sizeof *by);
    if (!by)
        return no_memory(err);
    int64_t longest = 0;
    for (int64_t i = 0; i < r->n; i += mega) {
        sort_by_length(r, order + i, mega < r->n - i ? mega : r->n - i, by);
        longest =
            sn_train_source_length(r, order[i]) > sn_train_source_length(r, order[longest]) ? i : longest;
    }
    const int64_t v = order[0];
    order[0] = order[longest];
    order[longest] = v;
    sn_arena_clear(&t->batch_arena);
    return SN_OK;
}

static SnStatus order_rows(Run *r, int64_t epoch, SnError *err)
{
    SnTrainer *t = r->t;
    const char *key = sn_arg(t->config, "data_seed") ? "data_seed" : "seed";
    SnDraw draw = sn_draw((uint64_t)sn_arg_int(t->config, key) + (uint64_t)epoch);
    if (is_when(t, "train_sampling_strategy", "sequential")) {
        for (int64_t i = 0; i < t->train.n; i++)
            r->order[i] = i;
        return SN_OK;
    }
    sn_draw_permutation(&draw, r->order, t->train.n);
    const bool groups = is_when(t, "train_sampling_strategy", "group_by_length");
    return groups ? group(t, r->order, r->batch * r->times, err) : SN_OK;
}

/* ---- a step ---- */

static SnStatus not_finite(Run *r, const int64_t *row, int64_t n, SnError *err)
{
    SnText rows = {.memory = sn_allocator(r->t->ctx)}, why = {.memory = rows.memory};
    for (int64_t i = 0; i < n && rows.n < 300; i++)
        if (row[i] >= 0)
            sn_text_printf(&rows, "%s%lld", rows.n ? ", " : "", (long long)row[i]);
    SnStatus st = sn_training_explain(r->t->session, &why, err);
    if (st == SN_OK)
        st = sn_fail(err, SN_EINVAL,
                     "step %lld: the loss is %g, the norm of its gradients %g%s%s; %s of the batch: %s",
                     (long long)r->t->state.global_step + 1, r->t->state.loss, r->t->state.grad_norm,
                     why.n ? ", " : "", why.n ? why.at : "",
                     r->t->collate.task == SN_TRAIN_CAUSAL ? "blocks" : "rows", rows.at ? rows.at : "");
    sn_text_clear(&rows);
    sn_text_clear(&why);
    return st;
}

/* Rows of step `update` of the epoch. Where it has several micro-batches, what the last one lacks is -1. */
static int64_t pick_rows(const Run *r, int64_t update, int64_t *row)
{
    const int64_t first = update * r->times * r->batch, all = r->times * r->batch;
    const int64_t end = r->micro * r->batch < r->t->train.n ? r->micro * r->batch : r->t->train.n;
    const int64_t n = all < end - first ? all : end - first;
    const int64_t whole = n > r->batch ? (n + r->batch - 1) / r->batch * r->batch : n;
    for (int64_t i = 0; i < whole; i++)
        row[i] = i < n ? r->order[first + i] : -1;
    return whole;
}

/* Trainer._track_num_input_tokens, of each micro-batch: all places of its longest row, or what rows have. */
static int64_t count_tokens(const Run *r, int64_t n, bool with_padding)
{
    const SnTrainer *t = r->t;
    const bool counts_padding = with_padding && !t->collate.is_flat;
    const SnTrainRows *now = &t->train.now;
    const SnImages *x = &t->collate.images;
    int64_t all = 0;
    if (t->collate.task == SN_TRAIN_IMAGE)
        return n * x->channels * x->height * x->width;
    for (int64_t i = 0; i < n; i += r->batch) {
        const int64_t end = i + r->batch < n ? i + r->batch : n;
        int64_t longest = t->collate.is_padded ? t->collate.most : 0;
        for (int64_t k = i; k < end; k++) {
            const int64_t size = now->start.at[k + 1] - now->start.at[k];
            longest = size > longest ? size : longest;
            all += counts_padding ? 0 : size;
        }
        all += counts_padding ? longest * (end - i) : 0;
    }
    return all;
}

static bool is_stopped(const SnTrainer *t)
{
    return t->control.should_training_stop || t->control.should_epoch_stop;
}

static SnStatus run_step(Run *r, int64_t epoch, int64_t update, SnError *err)
{
    SnTrainer *t = r->t;
    SnTrainerState *s = &t->state;
    SnNamedTensor in[SN_TRAIN_INPUTS];
    SnTrainingStep y = {.loss = 0};
    size_t nin = 0;
    int64_t *row = sn_arena_array(&t->batch_arena, (size_t)(r->times * r->batch), sizeof *row);
    const uint64_t seed =
        sn_hash64(&s->global_step, sizeof s->global_step, (uint64_t)sn_arg_int(t->config, "seed"));
    if (!row)
        return no_memory(err);
    t->control.should_log = t->control.should_evaluate = t->control.should_save = false;
    sn_trainer_emit(t, SN_ON_step_begin, NULL);
    const int64_t n = pick_rows(r, update, row);
    const int64_t micros = r->times > 1 ? (n + r->batch - 1) / r->batch : 0;
    SN_TRY(sn_train_source_batch(&t->train, row, n, micros, seed, &t->batch_arena, in, &nin, err));
    const uint64_t tokens = t->train.now.ids.n;
    const int64_t rest = t->train.n - update * r->times * r->batch, rows = n < rest ? n : rest;
    const int64_t count = t->counts_tokens ? count_tokens(r, rows, t->counts_padding) : 0;
    const double flos = 6.0 * (double)count_tokens(r, rows, true) * (double)sn_training_weights(t->session);
    if (update + 1 < r->updates) {
        int64_t *next = sn_arena_array(&t->batch_arena, (size_t)(r->times * r->batch), sizeof *next);
        if (!next)
            return no_memory(err);
        SN_TRY(sn_train_source_expect(&t->train, next, pick_rows(r, update + 1, next), err));
    }
    const int64_t last = (update + 1) * r->times < r->micro ? (update + 1) * r->times : r->micro;
    for (int64_t i = update * r->times + 1; i < last; i++) {
        sn_trainer_emit(t, SN_ON_substep_end, NULL);
        if (is_stopped(t)) {
            sn_arena_reset(&t->batch_arena);
            return SN_OK;
        }
    }
    SN_TRY(sn_training_step(t->session, in, nin, &y, err));
    s->loss = y.loss;
    s->grad_norm = y.grad_norm;
    s->learning_rate = y.learning_rate;
    if (!isfinite(y.loss) || (!y.is_finite && !sn_arg_bool(t->config, "fp16")))
        return not_finite(r, row, n, err);
    sn_trainer_emit(t, SN_ON_pre_optimizer_step, NULL);
    sn_trainer_emit(t, SN_ON_optimizer_step, NULL);
    r->loss += y.loss;
    s->tokens += tokens;
    s->num_input_tokens_seen += count;
    s->total_flos += flos;
    s->global_step++;
    s->epoch = (double)epoch + (double)last / (double)r->micro;
    s->seconds = sn_trainer_now() - r->begin;
    sn_arena_reset(&t->batch_arena);
    after_step(t);
    return do_what_is_due(r, err);
}

static SnStatus run_epoch(Run *r, int64_t epoch, int64_t first, SnError *err)
{
    SnTrainer *t = r->t;
    SN_TRY(order_rows(r, epoch, err));
    t->control.should_epoch_stop = false;
    sn_trainer_emit(t, SN_ON_epoch_begin, NULL);
    for (int64_t i = first; i < r->updates; i++) {
        SN_TRY(run_step(r, epoch, i, err));
        if (is_stopped(t))
            break;
    }
    after_epoch(t);
    return do_what_is_due(r, err);
}

/* ---- before and after ---- */

/* A key that is a share of all steps below 1. */
static int64_t every(const SnTrainer *t, const char *key, int64_t max_steps)
{
    const double v = sn_arg_number(t->config, key);
    return (int64_t)(v < 1 ? ceil(v * (double)max_steps) : v);
}

static void plan(Run *r)
{
    SnTrainer *t = r->t;
    SnTrainerState *s = &t->state;
    const int64_t told = sn_arg_int(t->config, "max_steps");
    const double epochs = sn_arg_number(t->config, "num_train_epochs");
    r->batch = sn_arg_int(t->config, "per_device_train_batch_size");
    r->times = sn_arg_int(t->config, "gradient_accumulation_steps");
    r->micro = sn_arg_bool(t->config, "dataloader_drop_last") ? t->train.n / r->batch
                                                              : (t->train.n + r->batch - 1) / r->batch;
    r->updates = (r->micro + r->times - 1) / r->times;
    s->max_steps = told > 0 ? told : (int64_t)ceil(epochs * (double)r->updates);
    s->num_train_epochs = r->updates ? (s->max_steps + r->updates - 1) / r->updates : 0;
    s->logging_steps = every(t, "logging_steps", s->max_steps);
    const bool has_steps = sn_arg_number(t->config, "eval_steps") > 0,
               by_steps = is_when(t, "eval_strategy", "steps");
    s->eval_steps = has_steps || by_steps ? every(t, has_steps ? "eval_steps" : "logging_steps", s->max_steps)
                                          : EVAL_STEPS;
    s->save_steps = every(t, "save_steps", s->max_steps);
    s->train_batch_size = r->batch;
}

static bool uses(void *self, const char *name)
{
    SnTrainer *t = self;
    const char *own = NULL;
    for (size_t i = 0; i < t->used.n; i++)
        if (strcmp(t->used.at[i], name) == 0)
            return true;
    own = sn_arena_strndup(&t->arena, name, strlen(name));
    return own && sn_vec_push(sn_allocator(t->ctx), &t->used, own);
}

static SnStatus open_session(Run *r, SnError *err)
{
    static const char *const loss[] = {"loss"};
    SnTrainer *t = r->t;
    SnNamedTensor in[SN_TRAIN_INPUTS];
    const int64_t row[1] = {0};
    const bool only_loss = sn_arg_bool(t->config, "prediction_loss_only") ||
                           (sn_train_guesses(t->collate.task) && !t->d.compute_metrics);
    SnTrainingDesc d = {
        .struct_size = sizeof d, .sample = in, .trains = uses, .decays = sn_training_decays, .self = t};
    if (only_loss) {
        d.want = loss;
        d.nwant = 1;
    }
    SN_TRY(sn_train_source_batch(&t->train, row, 1, 0, 0, &t->batch_arena, in, &d.nsample, err));
    SN_TRY(sn_recipe_resolved(&t->arena, t->config, t->state.max_steps, &d.args, err));
    const int64_t rows = sn_arg_int(t->config, "per_device_train_batch_size"),
                  times = t->collate.is_flat ? rows : 1;
    d.shape = sn_arena_printf(&t->arena, "batch=%lld,seq=%lld", (long long)(rows / times),
                              (long long)(t->collate.most * times));
    if (!d.shape)
        return no_memory(err);
    SN_TRY(sn_training_create(t->model, &d, &t->session, err));
    sn_arena_clear(&t->batch_arena);
    return SN_OK;
}

static SnStatus open_log(SnTrainer *t, SnError *err)
{
    const SnJson *to = sn_arg(t->config, "report_to");
    bool events = false;
    for (uint32_t i = 0; to && i < (to->kind == SN_JSON_ARRAY ? to->n : 1); i++) {
        const SnJson *v = to->kind == SN_JSON_ARRAY ? sn_json_at(to, i) : to;
        const bool is_board = sn_json_is(v, "tensorboard") || sn_json_is(v, "all");
        SN_CHECK(is_board || sn_json_is(v, "none"), err, SN_EUNSUPPORTED,
                 "config: report_to: expected tensorboard, all or none");
        events = events || is_board;
    }
    const char *folder = sn_arg_string(t->config, "logging_dir");
    if (events && !folder)
        folder = sn_arena_printf(&t->arena, "%s/runs/%s", t->output,
                                 sn_arg(t->config, "run_name") ? sn_arg_string(t->config, "run_name") : "");
    return sn_train_log_begin(&t->log, t->ctx, &t->arena, t->output, events ? folder : NULL, err);
}

static SnStatus put_result(Run *r, int64_t first, SnText *json, SnError *err)
{
    SnTrainer *t = r->t;
    const double seconds = sn_trainer_now() - r->begin, steps = (double)(t->state.global_step - first);
    SnText members = {.memory = sn_allocator(t->ctx)};
    r->total += r->loss;
    const double all = (double)t->state.max_steps,
                 rows = sn_arg_int(t->config, "max_steps") > 0
                            ? all * (double)(r->batch * r->times)
                            : (double)t->train.n * sn_arg_number(t->config, "num_train_epochs");
    sn_text_printf(&members,
                   "\"train_runtime\": %.4f, \"train_samples_per_second\": %.3f, \"train_steps_per_second\": "
                   "%.3f, \"total_flos\": %.17g, \"train_loss\": %.17g, \"epoch\": %.17g",
                   seconds, rows * steps / fmax(all, 1) / seconds, steps / seconds, t->state.total_flos,
                   steps > 0 ? r->total / steps : 0, t->state.epoch);
    const SnStatus st = add_log(t, &members, NULL, err);
    if (st == SN_OK)
        sn_text_printf(json, "{\"global_step\": %lld, %s", (long long)t->state.global_step, members.at);
    sn_text_clear(&members);
    return st;
}

static SnStatus finish(Run *r, int64_t first, SnText *json, SnError *err)
{
    SnTrainer *t = r->t;
    if (sn_arg_bool(t->config, "load_best_model_at_end") && t->state.best_model_checkpoint &&
        t->state.best_global_step != t->state.global_step)
        SN_TRY(sn_checkpoint_weights(t, t->state.best_model_checkpoint, err));
    SN_TRY(put_result(r, first, json, err));
    SN_TRY(sn_checkpoint_finish(t, err));
    SN_TRY(sn_checkpoint_model(t, t->output, err));
    SN_TRY(sn_train_card(t, err));
    sn_trainer_emit(t, SN_ON_train_end, NULL);
    SN_TRY(sn_trainer_predict(t, json, err));
    sn_text_add(json, "}", 1);
    return json->failed ? no_memory(err) : SN_OK;
}

SnStatus sn_trainer_train(SnTrainer *t, SnText *json, SnError *err)
{
    Run r = {.t = t};
    SN_CHECK(!t->session, err, SN_EINVAL, "training: it was trained already");
    plan(&r);
    SN_CHECK(r.updates > 0, err, SN_EINVAL, "train_file: %lld rows are less than a batch",
             (long long)t->train.n);
    r.order = sn_arena_array(&t->arena, (size_t)t->train.n, sizeof *r.order);
    if (!r.order)
        return no_memory(err);
    SN_TRY(open_session(&r, err));
    SN_TRY(open_log(t, err));
    if (t->resume)
        SN_TRY(sn_checkpoint_read(t, t->resume, err));
    const int64_t first = t->state.global_step;
    const int64_t done = first / r.updates, end = first < t->state.max_steps ? t->state.num_train_epochs : 0;
    const bool skips = !sn_arg_bool(t->config, "ignore_data_skip");
    r.logged = first;
    r.seen = t->state.num_input_tokens_seen;
    r.begin = sn_trainer_now();
    t->control.should_training_stop = false;
    sn_trainer_emit(t, SN_ON_train_begin, NULL);
    if (sn_arg_bool(t->config, "eval_on_start"))
        SN_TRY(evaluate_and_log(t, NULL, err));
    for (int64_t e = done; e < end; e++) {
        SN_TRY(run_epoch(&r, e, e == done && skips ? first % r.updates : 0, err));
        if (t->control.should_training_stop)
            break;
    }
    return finish(&r, first, json, err);
}

SnStatus sn_trainer_evaluate(SnTrainer *t, SnText *json, SnError *err)
{
    Run r = {.t = t};
    if (!t->session) {
        plan(&r);
        SN_TRY(open_session(&r, err));
    }
    sn_text_add(json, "{", 1);
    SN_TRY(evaluate(t, json, err));
    sn_text_add(json, "}", 1);
    return json->failed ? no_memory(err) : SN_OK;
}

SnStatus sn_trainer_save(SnTrainer *t, const char *folder, SnError *err)
{
    SN_CHECK(t->session, err, SN_EINVAL, "%s: nothing was trained", folder);
    return sn_checkpoint_model(t, folder, err);
}

const SnAdapter *sn_trainer_adapter(const SnTrainer *t)
{
    return t->adapter;
}

const SnTrainerState *sn_trainer_state(const SnTrainer *t)
{
    return &t->state;
}

SnStatus sn_trainer_log(const SnTrainer *t, SnText *json, SnError *err)
{
    sn_text_add(json, "[", 1);
    sn_text_add(json, t->log.history.at, t->log.history.n);
    sn_text_add(json, "]", 1);
    return json->failed ? no_memory(err) : SN_OK;
}
