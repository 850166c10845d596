/* checkpoint.c -- checkpoint-N folders: weights, optimizer, state. One is written beside, brought to the disk
 * and renamed, so that what has the name is whole, whenever a run ends.
 *
 * Keys of trainer_state.json are those of Transformers' TrainerState. */
#include "frontends/training/trainer.h"

#include "frontends/convert.h"
#include "frontends/hf/adapter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH     4
#define PREFIX        "checkpoint-"
#define UNFINISHED    ".unfinished"
#define WEIGHTS_OF(t) ((t)->adapter ? "adapter_model.safetensors" : "model.safetensors")

static SnStatus sync_path(const char *path, SnError *err)
{
    const int f = open(path, O_RDONLY | O_CLOEXEC);
    SN_CHECK(f >= 0, err, SN_EIO, "%s: %s", path, strerror(errno));
    const int failed = fsync(f), why = errno;
    (void)close(f);
    SN_CHECK(failed == 0, err, SN_EIO, "%s: cannot write: %s", path, strerror(why));
    return SN_OK;
}

static void remove_folder(const char *path, int depth)
{
    DIR *d = depth < MAX_DEPTH ? opendir(path) : NULL;
    char name[SN_PATH_SIZE];
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            sn_path_join(name, path, e->d_name, NULL) != SN_OK)
            continue;
        if (unlink(name) != 0)
            remove_folder(name, depth + 1);
    }
    if (d)
        (void)closedir(d);
    (void)rmdir(path);
}

static SnStatus put_file(SnTrainer *t, const char *folder, const char *name, SnBytes bytes, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, folder, name, err));
    SN_TRY(sn_file_write(t->ctx, path, &bytes, 1, err));
    return sync_path(path, err);
}

static SnStatus put_text(SnTrainer *t, const char *folder, const char *name, SnText *text, SnError *err)
{
    const SnStatus st = text->failed ? sn_fail(err, SN_ENOMEM, "%s: no memory for %s", folder, name)
                                     : put_file(t, folder, name, sn_bytes(text->at, text->n), err);
    sn_text_clear(text);
    return st;
}

/* ---- the model ---- */

/* Checkpoints of a base model lack the prefix of the class that wraps it: written, all names have it. What
 * was made here has it already. */
static const char *written_name(SnTrainer *t, const char *name)
{
    const SnWeights *w = t->model->weights;
    const char *prefix = t->model->arch->prefix;
    const size_t n = strlen(prefix);
    if (n == 0 || t->adapter || sn_weights_is_made(w, sn_bytes_str(name)))
        return name;
    for (size_t i = 0; i < sn_weights_count(w); i++) {
        const SnBytes s = sn_weights_at(w, i)->name;
        if (s.n > n && memcmp(s.at, prefix, n) == 0 && s.at[n] == '.' && !sn_weights_is_made(w, s))
            return name;
    }
    return sn_arena_printf(&t->batch_arena, "%s.%s", prefix, name);
}

static bool is_used(const SnTrainer *t, const char *name)
{
    for (size_t i = 0; i < t->used.n; i++)
        if (strcmp(t->used.at[i], name) == 0)
            return true;
    return false;
}

/* A parameter, or a buffer: what the file of the model, or of its adapter, has. */
static bool is_of_model(const SnTrainer *t, const char *name)
{
    return (is_used(t, name) || sn_weights_find(t->model->weights, name)) &&
           !(t->adapter && sn_adapter_keeps(t->adapter, name));
}

/* KIND.NAME of what the optimizer keeps, with the name as it is written. */
static const char *kept_name(SnTrainer *t, const char *name)
{
    const char *dot = strchr(name, '.');
    if (!dot)
        return name;
    const char *own = written_name(t, dot + 1);
    return own ? sn_arena_printf(&t->batch_arena, "%.*s.%s", (int)(dot - name), name, own) : NULL;
}

/* The tensors of a state that are parameters, or the others. */
static SnStatus put_tensors(SnTrainer *t, const SnResults *state, const char *folder, bool parameters,
                            SnError *err)
{
    static const char *const metadata[][2] = {{"format", "pt"}};
    const SnStWriteOptions o = {.metadata = metadata, .nmetadata = 1};
    const size_t n = parameters ? t->used.n : 0, all = sn_results_count(state);
    SnStWrite *w = sn_arena_array(&t->batch_arena, n + all + 1, sizeof *w);
    size_t count = 0;
    char path[SN_PATH_SIZE];
    SN_CHECK(w, err, SN_ENOMEM, "%s: no memory", folder);
    for (size_t i = 0; parameters && i < n; i++) {
        const SnNamedTensor *own = sn_results_find(state, t->used.at[i]);
        const SnStTensor *file = sn_weights_find(t->model->weights, t->used.at[i]);
        const char *name = written_name(t, t->used.at[i]);
        SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", folder);
        if (own)
            w[count++] = (SnStWrite){.name = name, .view = own->view};
        else if (file)
            w[count++] = (SnStWrite){
                .name = name,
                .view = sn_view(file->dtype, (void *)(uintptr_t)file->bytes.at, file->ndim, file->dims)};
    }
    for (size_t i = 0; i < all; i++) {
        const SnNamedTensor *x = sn_results_get(state, i);
        const bool is_done = parameters && is_used(t, x->name), is_own = is_of_model(t, x->name);
        const char *name = is_own ? written_name(t, x->name) : kept_name(t, x->name);
        SN_CHECK(name, err, SN_ENOMEM, "%s: no memory", folder);
        if (!is_done && is_own == parameters)
            w[count++] = (SnStWrite){.name = name, .view = x->view};
    }
    SN_TRY(sn_path_join(path, folder, parameters ? "model.safetensors" : "optimizer.safetensors", err));
    SN_TRY(sn_safetensors_write(t->ctx, path, w, count, parameters ? &o : NULL, err));
    return sync_path(path, err);
}

static SnStatus put_config(SnTrainer *t, const char *folder, SnError *err)
{
    SnText text = {.memory = sn_allocator(t->ctx)};
    const SnJson *config = t->model->config.json;
    sn_text_add(&text, "{", 1);
    for (uint32_t i = 0; i < config->n; i++) {
        sn_text_printf(&text, "%s\n  ", i ? "," : "");
        sn_json_put_string(&text, config->u.child[i].key);
        sn_text_printf(&text, ": ");
        sn_json_put(&text, &config->u.child[i]);
    }
    sn_text_printf(&text, "\n}\n");
    return put_text(t, folder, "config.json", &text, err);
}

static SnStatus put_adapter(SnTrainer *t, const SnResults *state, const char *folder, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_adapter_set(t->adapter, sn_results_get(state, 0), sn_results_count(state), err));
    SN_TRY(sn_adapter_save(t->adapter, folder, err));
    SN_TRY(sn_path_join(path, folder, "adapter_config.json", err));
    SN_TRY(sync_path(path, err));
    SN_TRY(sn_path_join(path, folder, WEIGHTS_OF(t), err));
    return sync_path(path, err);
}

static SnStatus put_model(SnTrainer *t, const SnResults *state, const char *folder, SnError *err)
{
    for (size_t i = 0; sn_tokenizer_file(i); i++) {
        SnBytes bytes = {0};
        SN_TRY(sn_folder_read(t->text->files, sn_tokenizer_file(i), &bytes, err));
        if (bytes.at)
            SN_TRY(put_file(t, folder, sn_tokenizer_file(i), bytes, err));
    }
    if (t->adapter)
        return put_adapter(t, state, folder, err);
    SN_TRY(put_config(t, folder, err));
    if (t->collate.task == SN_TRAIN_IMAGE) {
        SnText text = {.memory = sn_allocator(t->ctx)};
        sn_images_processor(&t->collate, &text);
        SN_TRY(put_text(t, folder, "preprocessor_config.json", &text, err));
    }
    return put_tensors(t, state, folder, true, err);
}

SnStatus sn_checkpoint_model(SnTrainer *t, const char *folder, SnError *err)
{
    SnResults *state = NULL;
    SN_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: cannot write: %s", folder,
             strerror(errno));
    SN_TRY(sn_training_state(t->session, &state, err));
    const SnStatus st = put_model(t, state, folder, err);
    sn_results_destroy(state);
    sn_arena_clear(&t->batch_arena);
    return st == SN_OK ? sync_path(folder, err) : st;
}

/* ---- the state ---- */

static void put_number(SnText *text, const char *key, double v)
{
    sn_text_printf(text, "  \"%s\": ", key);
    if (isfinite(v))
        sn_json_put_f64(text, v);
    else
        sn_text_printf(text, "null");
    sn_text_printf(text, ",\n");
}

static void put_count(SnText *text, const char *key, int64_t v)
{
    sn_text_printf(text, "  \"%s\": %lld,\n", key, (long long)v);
}

/* The members of a TrainerControl by their names. */
#define FLAGS(X) X(should_training_stop) X(should_epoch_stop) X(should_save) X(should_evaluate) X(should_log)

static void put_control(const SnTrainer *t, SnText *text)
{
    const char *between = "";
    sn_text_printf(text, "  \"stateful_callbacks\": {\"TrainerControl\": {\"args\": {");
#define X(NAME)                                                                                              \
    sn_text_printf(text, "%s\"" #NAME "\": %s", between, t->control.NAME ? "true" : "false");                \
    between = ", ";
    FLAGS(X)
#undef X
    sn_text_printf(text, "}, \"attributes\": {}}");
}

/* What restore_callback_states_from_checkpoint brings back. */
static void read_callbacks(SnTrainer *t, const SnJson *all)
{
    const SnJson *early = sn_json_get(all, "EarlyStoppingCallback"),
                 *control = sn_json_get(sn_json_get(all, "TrainerControl"), "args");
    if (!sn_arg_bool(t->config, "restore_callback_states_from_checkpoint"))
        return;
    int64_t most = 0;
    if (t->most_patience &&
        sn_json_int(sn_json_get(sn_json_get(early, "args"), "early_stopping_patience"), &most) && most > 0) {
        t->most_patience = most;
        (void)sn_json_number(sn_json_get(sn_json_get(early, "args"), "early_stopping_threshold"),
                             &t->patience_step);
        (void)sn_json_int(sn_json_get(sn_json_get(early, "attributes"), "early_stopping_patience_counter"),
                          &t->patience);
    }
#define X(NAME) (void)sn_json_bool(sn_json_get(control, #NAME), &t->control.NAME);
    FLAGS(X)
#undef X
}

static SnStatus put_state(SnTrainer *t, const char *folder, SnError *err)
{
    const SnTrainerState *s = &t->state;
    SnText text = {.memory = sn_allocator(t->ctx)};
    sn_text_printf(&text, "{\n");
    if (s->best_global_step)
        put_count(&text, "best_global_step", s->best_global_step);
    else
        sn_text_printf(&text, "  \"best_global_step\": null,\n");
    put_number(&text, "best_metric", s->best_metric);
    sn_text_printf(&text, "  \"best_model_checkpoint\": ");
    if (s->best_model_checkpoint)
        sn_json_put_string(&text, sn_bytes_str(s->best_model_checkpoint));
    else
        sn_text_printf(&text, "null");
    sn_text_printf(&text, ",\n");
    put_number(&text, "epoch", s->epoch);
    put_count(&text, "eval_steps", s->eval_steps);
    put_count(&text, "global_step", s->global_step);
    sn_text_printf(&text, "  \"is_hyper_param_search\": false,\n  \"is_local_process_zero\": true,\n"
                          "  \"is_world_process_zero\": true,\n  \"log_history\": [");
    sn_text_add(&text, t->log.history.at, t->log.history.n);
    sn_text_printf(&text, "],\n");
    put_count(&text, "logging_steps", s->logging_steps);
    put_count(&text, "max_steps", s->max_steps);
    put_count(&text, "num_input_tokens_seen", s->num_input_tokens_seen);
    put_count(&text, "num_train_epochs", s->num_train_epochs);
    put_count(&text, "save_steps", s->save_steps);
    put_control(t, &text);
    if (t->most_patience)
        sn_text_printf(&text,
                       ", \"EarlyStoppingCallback\": {\"args\": {\"early_stopping_patience\": %lld, "
                       "\"early_stopping_threshold\": %.17g}, \"attributes\": "
                       "{\"early_stopping_patience_counter\": %lld}}",
                       (long long)t->most_patience, t->patience_step, (long long)t->patience);
    sn_text_printf(&text, "},\n");
    put_number(&text, "total_flos", s->total_flos);
    put_count(&text, "train_batch_size", s->train_batch_size);
    sn_text_printf(&text, "  \"trial_name\": null,\n  \"trial_params\": null\n}\n");
    return put_text(t, folder, "trainer_state.json", &text, err);
}

/* Batches are functions of these: nothing else is drawn. */
static SnStatus put_cursor(SnTrainer *t, const char *folder, SnError *err)
{
    SnText rng = {.memory = sn_allocator(t->ctx)}, schedule = {.memory = rng.memory};
    const char *key = sn_arg(t->config, "data_seed") ? "data_seed" : "seed";
    sn_text_printf(&rng, "{\"seed\": %lld, \"data_seed\": %lld, \"global_step\": %lld}\n",
                   (long long)sn_arg_int(t->config, "seed"), (long long)sn_arg_int(t->config, key),
                   (long long)t->state.global_step);
    sn_text_printf(&schedule, "{\"last_epoch\": %lld, \"_last_lr\": [%.17g]", (long long)t->state.global_step,
                   t->state.learning_rate);
    if (sn_trainer_is_plateau(t)) {
        const SnPlateau *p = &t->plateau;
        sn_text_printf(&schedule, ", \"num_bad_epochs\": %lld, \"cooldown_counter\": %lld", (long long)p->bad,
                       (long long)p->cooldown);
        if (!isnan(p->best))
            sn_text_printf(&schedule, ", \"best\": %.17g", p->best);
    }
    sn_text_printf(&schedule, "}\n");
    const SnStatus st = put_text(t, folder, "rng_state.json", &rng, err);
    if (st != SN_OK) {
        sn_text_clear(&schedule);
        return st;
    }
    return put_text(t, folder, "scheduler.json", &schedule, err);
}

static SnStatus put_arguments(SnTrainer *t, const char *folder, SnError *err)
{
    SnText text = {.memory = sn_allocator(t->ctx)};
    sn_json_put(&text, t->config);
    sn_text_printf(&text, "\n");
    return put_text(t, folder, "training_args.json", &text, err);
}

static SnStatus fill(SnTrainer *t, const char *folder, SnError *err)
{
    SnResults *state = NULL;
    SN_TRY(sn_training_state(t->session, &state, err));
    SnStatus st = put_model(t, state, folder, err);
    if (st == SN_OK && !sn_arg_bool(t->config, "save_only_model"))
        st = put_tensors(t, state, folder, false, err);
    sn_results_destroy(state);
    if (st == SN_OK)
        st = put_cursor(t, folder, err);
    if (st == SN_OK)
        st = put_arguments(t, folder, err);
    if (st == SN_OK)
        st = put_state(t, folder, err);
    return st == SN_OK ? sync_path(folder, err) : st;
}

/* ---- folders ---- */

const char *sn_checkpoint_path(SnTrainer *t, int64_t step)
{
    return sn_arena_printf(&t->arena, "%s/" PREFIX "%lld", t->output, (long long)step);
}

/* A folder checkpoint-STEP and when it was written, in seconds. */
typedef struct Found {
    int64_t step;
    double when;
} Found;

static int by_step(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    return (x->step > y->step) - (x->step < y->step);
}

static int by_time(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    return x->when < y->when ? -1 : x->when > y->when ? 1 : by_step(a, b);
}

typedef SN_VEC(Found) FoundList;

static SnStatus add_found(SnTrainer *t, const char *name, const char *path, FoundList *out, SnError *err)
{
    char *end = NULL;
    struct stat st;
    errno = 0;
    const long long step = strtoll(name + strlen(PREFIX), &end, 10);
    if (strcmp(end, UNFINISHED) == 0)
        remove_folder(path, 0);
    if (*end || errno != 0 || step <= 0 || stat(path, &st) != 0)
        return SN_OK;
    const Found f = {step, (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec};
    SN_CHECK(sn_vec_push(sn_allocator(t->ctx), out, f), err, SN_ENOMEM, "%s: no memory", t->output);
    return SN_OK;
}

/* The checkpoints that there are, ascending. Removes unfinished ones. */
static SnStatus list(SnTrainer *t, FoundList *out, SnError *err)
{
    char path[SN_PATH_SIZE];
    SnStatus st = SN_OK;
    DIR *d = opendir(t->output);
    for (struct dirent *e = d ? readdir(d) : NULL; e && st == SN_OK; e = readdir(d))
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) == 0 &&
            sn_path_join(path, t->output, e->d_name, NULL) == SN_OK)
            st = add_found(t, e->d_name, path, out, err);
    if (d)
        (void)closedir(d);
    if (out->n)
        qsort(out->at, out->n, sizeof *out->at, by_step);
    return st;
}

SnStatus sn_checkpoint_last(SnTrainer *t, const char **out, SnError *err)
{
    FoundList found = {0};
    const SnStatus st = list(t, &found, err);
    *out = st == SN_OK && found.n ? sn_checkpoint_path(t, found.at[found.n - 1].step) : NULL;
    sn_vec_clear(sn_allocator(t->ctx), &found);
    return st;
}

/* Removes the folder of a step, unless it is the best one's; or says what it would do. */
static bool drop(const SnTrainer *t, int64_t step, bool does)
{
    char path[SN_PATH_SIZE];
    const int n = snprintf(path, sizeof path, "%s/" PREFIX "%lld", t->output, (long long)step);
    const char *best = t->state.best_model_checkpoint;
    if (n <= 0 || n >= SN_PATH_SIZE || (best && strcmp(best, path) == 0))
        return false;
    if (does)
        remove_folder(path, 0);
    return true;
}

/* rotate_checkpoints: the oldest ones go, but the best and the last stay. Where all times are the same
 * nothing is known but the steps. */
static SnStatus drop_old(SnTrainer *t, SnError *err)
{
    FoundList found = {0};
    int64_t keep = sn_arg_int(t->config, "save_total_limit");
    if (!sn_arg(t->config, "save_total_limit"))
        return SN_OK;
    const SnStatus st = list(t, &found, err);
    if (st == SN_OK && found.n) {
        qsort(found.at, found.n, sizeof *found.at, by_time);
        if (found.at[found.n - 1].when - found.at[0].when < 1)
            qsort(found.at, found.n, sizeof *found.at, by_step);
    }
    for (size_t i = 0; st == SN_OK && i + 1 < found.n; i++)
        if (keep == 1 && !drop(t, found.at[i].step, false))
            keep = 2;
    int64_t left = (int64_t)found.n;
    for (size_t i = 0; st == SN_OK && i + 1 < found.n && left > keep; i++)
        left -= drop(t, found.at[i].step, true);
    sn_vec_clear(sn_allocator(t->ctx), &found);
    return st;
}

SnStatus sn_checkpoint_finish(SnTrainer *t, SnError *err)
{
    FoundList found = {0};
    if (!t->state.best_model_checkpoint || sn_arg_number(t->config, "save_total_limit") != 1)
        return SN_OK;
    const SnStatus st = list(t, &found, err);
    for (size_t i = 0; st == SN_OK && i < found.n; i++)
        (void)drop(t, found.at[i].step, true);
    sn_vec_clear(sn_allocator(t->ctx), &found);
    return st;
}

/* The best one is what was written at its step, now or before. */
static SnStatus find_best(SnTrainer *t, SnError *err)
{
    struct stat st;
    const int64_t best = t->state.best_global_step;
    const char *path = best ? sn_checkpoint_path(t, best) : NULL;
    SN_CHECK(path || !best, err, SN_ENOMEM, "%s: no memory", t->output);
    if (path && (best == t->state.global_step || stat(path, &st) == 0))
        t->state.best_model_checkpoint = path;
    return SN_OK;
}

SnStatus sn_checkpoint_write(SnTrainer *t, SnError *err)
{
    SN_TRY(find_best(t, err));
    const char *path = sn_checkpoint_path(t, t->state.global_step);
    const char *beside = sn_arena_printf(&t->arena, "%s" UNFINISHED, path ? path : "");
    SN_CHECK(path && beside, err, SN_ENOMEM, "%s: no memory", t->output);
    remove_folder(beside, 0);
    SN_CHECK(mkdir(beside, 0777) == 0, err, SN_EIO, "%s: cannot write: %s", path, strerror(errno));
    SnStatus st = fill(t, beside, err);
    sn_arena_clear(&t->batch_arena);
    if (st == SN_OK && rename(beside, path) != 0) {
        remove_folder(path, 0); /* of an earlier run, which this one overtakes */
        if (rename(beside, path) != 0)
            st = sn_fail(err, SN_EIO, "%s: cannot write: %s", path, strerror(errno));
    }
    if (st != SN_OK) {
        remove_folder(beside, 0);
        return st;
    }
    SN_TRY(sync_path(t->output, err));
    st = drop_old(t, err);
    sn_arena_clear(&t->batch_arena);
    return st;
}

/* ---- reading ---- */

static SnStatus open_tensors(SnTrainer *t, const char *folder, const char *file, SnSafetensors *out,
                             SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, folder, file, err));
    return sn_safetensors_open(t->ctx, path, out, err);
}

/* Every carry, as the checkpoint has it; what the optimizer keeps as it is where all is false. */
static SnStatus restore(SnTrainer *t, const char *folder, const SnSafetensors *model,
                        const SnSafetensors *optimizer, bool all, SnError *err)
{
    SnResults *now = NULL;
    SN_TRY(sn_training_state(t->session, &now, err));
    const size_t n = sn_results_count(now);
    SnNamedTensor *in = sn_arena_array(&t->batch_arena, n + 1, sizeof *in);
    SnStatus st = in ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", folder);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        const SnNamedTensor *own = sn_results_get(now, i);
        const bool is_weight = is_of_model(t, own->name);
        in[i] = *own;
        if (!is_weight && !all && !(t->adapter && sn_adapter_keeps(t->adapter, own->name)))
            continue;
        const char *name = is_weight ? written_name(t, own->name) : kept_name(t, own->name);
        const SnStTensor *s = name ? sn_safetensors_find(is_weight ? model : optimizer, name) : NULL;
        bool fits = s && s->dtype == own->view.dtype && s->ndim == own->view.ndim;
        for (int k = 0; fits && k < s->ndim; k++)
            fits = s->dims[k] == own->view.dims[k];
        if (!fits)
            st = sn_fail(err, SN_EFORMAT, "%s: %s: no such tensor, or another shape", folder, own->name);
        else
            memcpy(own->view.data, s->bytes.at, s->bytes.n);
    }
    if (st == SN_OK)
        st = sn_training_restore(t->session, in, n, err);
    sn_results_destroy(now);
    sn_arena_clear(&t->batch_arena);
    return st;
}

SnStatus sn_checkpoint_weights(SnTrainer *t, const char *folder, SnError *err)
{
    SnSafetensors model = {0}, optimizer = {0};
    SN_TRY(open_tensors(t, folder, WEIGHTS_OF(t), &model, err));
    SnStatus st = SN_OK;
    if (t->adapter && sn_adapter_keeps_any(t->adapter))
        st = open_tensors(t, folder, "optimizer.safetensors", &optimizer, err);
    if (st == SN_OK)
        st = restore(t, folder, &model, &optimizer, false, err);
    sn_safetensors_close(&model);
    sn_safetensors_close(&optimizer);
    return st;
}

static SnStatus read_json(SnTrainer *t, const char *folder, const char *name, SnJson **out, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, folder, name, err));
    return sn_json_read(t->ctx, &t->arena, path, out, err);
}

static SnStatus read_plateau(SnTrainer *t, const char *folder, SnError *err)
{
    SnJson *json = NULL;
    SN_TRY(read_json(t, folder, "scheduler.json", &json, err));
    (void)sn_json_number(sn_json_get(json, "best"), &t->plateau.best);
    (void)sn_json_int(sn_json_get(json, "num_bad_epochs"), &t->plateau.bad);
    (void)sn_json_int(sn_json_get(json, "cooldown_counter"), &t->plateau.cooldown);
    return SN_OK;
}

/* A run that goes on keeps to what it began with. */
static void read_steps(SnTrainer *t, const char *folder, const SnJson *json)
{
    SnTrainerState *s = &t->state;
    const struct {
        const char *key;
        int64_t *at;
    } of[] = {{"logging_steps", &s->logging_steps},
              {"eval_steps", &s->eval_steps},
              {"save_steps", &s->save_steps},
              {"train_batch_size", &s->train_batch_size}};
    for (size_t i = 0; i < SN_COUNT(of); i++) {
        int64_t v = 0;
        if (!sn_json_int(sn_json_get(json, of[i].key), &v) || v < 1 || v == *of[i].at)
            continue;
        sn_log_write(t->ctx, SN_LOG_WARN, "%s: %s stays %lld, not %lld as the config says", folder, of[i].key,
                     (long long)v, (long long)*of[i].at);
        *of[i].at = v;
    }
}

static SnStatus read_state(SnTrainer *t, const char *folder, SnError *err)
{
    SnJson *json = NULL;
    SnBytes best = {0};
    SnTrainerState *s = &t->state;
    SN_TRY(read_json(t, folder, "trainer_state.json", &json, err));
    SN_CHECK(sn_json_int(sn_json_get(json, "global_step"), &s->global_step) && s->global_step >= 0, err,
             SN_EFORMAT, "%s: trainer_state.json has no global_step", folder);
    (void)sn_json_number(sn_json_get(json, "epoch"), &s->epoch);
    (void)sn_json_number(sn_json_get(json, "best_metric"), &s->best_metric);
    (void)sn_json_number(sn_json_get(json, "total_flos"), &s->total_flos);
    (void)sn_json_int(sn_json_get(json, "best_global_step"), &s->best_global_step);
    (void)sn_json_int(sn_json_get(json, "num_input_tokens_seen"), &s->num_input_tokens_seen);
    read_steps(t, folder, json);
    struct stat there;
    if (sn_json_string(sn_json_get(json, "best_model_checkpoint"), &best) &&
        stat((const char *)best.at, &there) == 0)
        s->best_model_checkpoint = (const char *)best.at;
    read_callbacks(t, sn_json_get(json, "stateful_callbacks"));
    const SnJson *history = sn_json_get(json, "log_history");
    for (uint32_t i = 0; history && history->kind == SN_JSON_ARRAY && i < history->n; i++) {
        sn_text_add(&t->log.history, ",\n", t->log.history.n ? 2 : 0);
        sn_json_put(&t->log.history, &history->u.child[i]);
    }
    SN_CHECK(!t->log.history.failed, err, SN_ENOMEM, "%s: no memory", folder);
    return sn_trainer_is_plateau(t) ? read_plateau(t, folder, err) : SN_OK;
}

SnStatus sn_checkpoint_read(SnTrainer *t, const char *folder, SnError *err)
{
    SnSafetensors model = {0}, optimizer = {0};
    SN_TRY(open_tensors(t, folder, WEIGHTS_OF(t), &model, err));
    SnStatus st = open_tensors(t, folder, "optimizer.safetensors", &optimizer, err);
    if (st == SN_OK)
        st = restore(t, folder, &model, &optimizer, true, err);
    sn_safetensors_close(&optimizer);
    sn_safetensors_close(&model);
    return st == SN_OK ? read_state(t, folder, err) : st;
}
