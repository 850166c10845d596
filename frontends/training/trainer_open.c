/* trainer_open.c -- opens what a config names: the model or a config for a new one, its tokenizer, the rows.
 */
#include "frontends/training/trainer.h"

#include "frontends/hf/adapter.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

/* Tasks that can be trained, by their names. */
static const char *const tasks[SN_TRAIN_TASKS] = {
    [SN_TRAIN_CLASSIFY] = "text-classification", [SN_TRAIN_TAG] = "token-classification",
    [SN_TRAIN_CAUSAL] = "text-generation",       [SN_TRAIN_MASKED] = "fill-mask",
    [SN_TRAIN_IMAGE] = "image-classification",   [SN_TRAIN_PAIR] = SN_TASK_SEQ2SEQ,
    [SN_TRAIN_ANSWER] = "question-answering",
};

/* The config's task; NULL: the model's. Those of texts that come out of texts have several names. */
static const char *told_task(const SnTrainer *t)
{
    const SnJson *task = sn_arg(t->config, "task");
    if (sn_json_is(task, "summarization") || sn_json_is(task, "translation"))
        return SN_TASK_SEQ2SEQ;
    return sn_arg_string(t->config, "task");
}

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "training: no memory");
}

/* ---- the model ---- */

static SnStatus replace_config(SnTrainer *t, const char *path, SnBytes text, SnError *err)
{
    SnConfig config = {0};
    const char *own = sn_arena_strndup(&t->arena, (const char *)text.at, text.n),
               *name = sn_arena_strndup(&t->arena, path, strlen(path));
    if (!own || !name)
        return no_memory(err);
    SN_TRY(sn_config_parse(t->ctx, name, sn_bytes(own, text.n), &config, err));
    if (t->model->config.json)
        sn_config_clear(&t->model->config);
    t->model->config = config;
    t->model->is_changed = true;
    return SN_OK;
}

/* init_from_config: a config.json, its folder, or what stands in it. */
static SnStatus open_new(SnTrainer *t, const SnJson *init, const SnModelOptions *o, SnError *err)
{
    const char *folder = sn_arg_string(t->config, "tokenizer_name");
    SnText text = {.memory = sn_allocator(t->ctx)};
    SnFile *file = NULL;
    const char *path = "init_from_config";
    struct stat st;
    SN_CHECK(init->kind == SN_JSON_STRING || init->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "config: init_from_config: expected a path or an object");
    SN_CHECK(folder || init->kind == SN_JSON_STRING, err, SN_EINVAL, "config: tokenizer_name is not given");
    if (init->kind == SN_JSON_STRING) {
        path = (const char *)init->u.string.at;
        const bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        const char *slash = strrchr(path, '/'),
                   *own = !slash ? "." : sn_arena_strndup(&t->arena, path, (size_t)(slash - path) + 1);
        if (!folder)
            folder = is_folder ? path : own;
        path = is_folder ? sn_arena_printf(&t->arena, "%s/config.json", path) : path;
        if (!folder || !path)
            return no_memory(err);
        SN_TRY(sn_file_open(t->ctx, path, &file, err));
        sn_text_add(&text, (const char *)sn_file_bytes(file).at, sn_file_bytes(file).n);
        sn_file_release(file);
    } else {
        sn_json_put(&text, init);
    }
    SnStatus s = text.failed ? no_memory(err) : sn_model_open(t->cc, folder, o, &t->model, err);
    if (s == SN_OK)
        s = replace_config(t, path, sn_bytes(text.at, text.n), err);
    sn_text_clear(&text);
    return s == SN_OK ? sn_train_init(t->model, (uint64_t)sn_arg_int(t->config, "seed"), err) : s;
}

static bool has_adapter(const SnTrainer *t)
{
    return sn_arg(t->config, "use_peft") ? sn_arg_bool(t->config, "use_peft")
                                         : sn_arg(t->config, "peft_config") != NULL;
}

/* A new adapter, of the config's peft_config: of a LoRA for the task, where it does not say. */
static SnStatus open_adapter(SnTrainer *t, SnError *err)
{
    static const char *const types[SN_TRAIN_TASKS] = {[SN_TRAIN_CLASSIFY] = "SEQ_CLS",
                                                      [SN_TRAIN_TAG] = "TOKEN_CLS",
                                                      [SN_TRAIN_CAUSAL] = "CAUSAL_LM",
                                                      [SN_TRAIN_ANSWER] = "QUESTION_ANS"};
    const SnJson *given = sn_arg(t->config, "peft_config");
    const char *task = types[t->collate.task];
    SnText text = {.memory = sn_allocator(t->ctx)};
    SnJson *json = NULL;
    if (!has_adapter(t))
        return SN_OK;
    SN_CHECK(!given || given->kind == SN_JSON_OBJECT, err, SN_EINVAL,
             "config: peft_config: expected an object");
    sn_text_printf(&text, "{\"peft_type\": \"LORA\"");
    if (task)
        sn_text_printf(&text, ", \"task_type\": \"%s\"", task);
    for (uint32_t i = 0; given && i < given->n; i++) {
        sn_text_printf(&text, ", ");
        sn_json_put_string(&text, given->u.child[i].key);
        sn_text_printf(&text, ": ");
        sn_json_put(&text, &given->u.child[i]);
    }
    sn_text_printf(&text, "}");
    SnStatus st = text.failed
                      ? no_memory(err)
                      : sn_json_parse(&t->arena, "peft_config", sn_bytes(text.at, text.n), &json, err);
    if (st == SN_OK)
        st = sn_adapter_create(t->model, json, (uint64_t)sn_arg_int(t->config, "seed"), &t->adapter, err);
    if (st == SN_OK)
        sn_model_adapt(t->model, t->adapter, false);
    if (st == SN_OK && sn_arg_bool(t->config, "load_best_model_at_end") &&
        sn_arg_bool(t->config, "save_only_model") && sn_adapter_keeps_any(t->adapter))
        st = sn_fail(
            err, SN_EUNSUPPORTED,
            "config: load_best_model_at_end with save_only_model: what learns of this adapter (an encoder of "
            "prompts, pissa, olora) lies beside the optimizer");
    sn_text_clear(&text);
    return st;
}

static SnStatus open_model(SnTrainer *t, const char *resume, SnError *err)
{
    const SnJson *init = sn_arg(t->config, "init_from_config");
    const char *path = sn_arg_string(t->config, "model_name_or_path"),
               *tokenizer = sn_arg_string(t->config, "tokenizer_name");
    const bool is_8bit = sn_arg_bool(t->config, "load_in_8bit"),
               is_4bit = sn_arg_bool(t->config, "load_in_4bit"),
               is_nested = sn_arg_bool(t->config, "bnb_4bit_use_double_quant");
    SN_CHECK((!is_8bit && !is_4bit) || (has_adapter(t) && is_8bit != is_4bit), err, SN_EINVAL,
             "config: load_in_8bit, load_in_4bit: one of them, beside a peft_config");
    SN_CHECK(is_4bit || !is_nested, err, SN_EINVAL, "config: bnb_4bit_use_double_quant without load_in_4bit");
    const SnModelOptions o = {.struct_size = sizeof o,
                              .quant = is_8bit                ? "q8"
                                       : is_4bit && is_nested ? "nf4-double"
                                       : is_4bit              ? "nf4"
                                                              : NULL,
                              .task = told_task(t),
                              .device = t->d.device,
                              .flags = t->d.flags,
                              .dtype = SN_F32};
    SN_CHECK(init || path, err, SN_EINVAL, "config: neither model_name_or_path nor init_from_config");
    if (init && !resume) {
        SN_TRY(open_new(t, init, &o, err));
        t->text = t->model;
        return SN_OK;
    }
    /* A checkpoint has the names, head and labels that it was made with. */
    SN_TRY(sn_model_open(t->cc, resume ? resume : path, &o, &t->model, err));
    t->text = t->model;
    return tokenizer ? sn_model_open(t->cc, tokenizer, NULL, &t->text, err) : SN_OK;
}

/* The config as it will be written: a class for the task, names of labels. */
static SnStatus edit_config(SnTrainer *t, SnError *err)
{
    SnModel *m = t->model;
    const SnCollate *c = &t->collate;
    const SnArch *arch = sn_arch_find(m->config.model_type, tasks[c->task]);
    SnText text = {.memory = sn_allocator(t->ctx)};
    SN_CHECK(arch, err, SN_EUNSUPPORTED, "%s: %s of model type %s", m->folder, tasks[c->task],
             m->config.model_type);
    sn_text_printf(&text, "{\"architectures\": [\"%s\"], \"dtype\": \"float32\"", arch->name);
    const bool is_row = c->task == SN_TRAIN_CLASSIFY || c->task == SN_TRAIN_IMAGE,
               has_labels = sn_train_has_classes(c->task);
    for (int side = 0; side < 2 && has_labels; side++) {
        sn_text_printf(&text, ", \"%s\": {", side ? "label2id" : "id2label");
        for (int64_t i = 0; i < c->nlabel; i++) {
            char made[32];
            (void)snprintf(made, sizeof made, "LABEL_%lld", (long long)i);
            const SnBytes name = sn_bytes_str(c->label ? c->label[i] : made);
            sn_text_printf(&text, i ? ", " : "");
            if (side == 0)
                sn_text_printf(&text, "\"%lld\": ", (long long)i);
            sn_json_put_string(&text, name);
            if (side)
                sn_text_printf(&text, ": %lld", (long long)i);
        }
        sn_text_printf(&text, "}");
    }
    if (is_row)
        sn_text_printf(&text, ", \"problem_type\": \"%s\"",
                       c->is_regression ? "regression" : "single_label_classification");
    for (uint32_t i = 0; i < m->config.json->n; i++) {
        const SnJson *v = &m->config.json->u.child[i];
        if (sn_is_one_of(v->key, "architectures dtype torch_dtype problem_type") ||
            (has_labels && sn_is_one_of(v->key, "id2label label2id num_labels")))
            continue;
        sn_text_printf(&text, ", ");
        sn_json_put_member(&text, v);
    }
    sn_text_printf(&text, "}");
    const SnStatus st =
        text.failed ? no_memory(err) : replace_config(t, m->config.path, sn_bytes(text.at, text.n), err);
    sn_text_clear(&text);
    m->head = tasks[c->task];
    m->num_labels = has_labels ? c->nlabel : 0;
    return st;
}

static SnStatus find_task(SnTrainer *t, SnError *err)
{
    const char *name = told_task(t);
    if (!name)
        name = sn_model_task(t->model);
    const size_t i = SN_FIND_WORD(tasks, sn_bytes_str(name));
    SN_CHECK(i < SN_TRAIN_TASKS, err, SN_EUNSUPPORTED,
             "config: task is not given, and that of the model is \"%s\": none of those of --print-config",
             name);
    t->collate.task = (SnTrainTask)i;
    return SN_OK;
}

/* ---- rows ---- */

static SnStatus first_rows(SnTrainer *t, const char *key, SnDataset **d, SnError *err)
{
    SnDataset *part = NULL;
    if (!sn_arg(t->config, key))
        return SN_OK;
    SN_TRY(sn_dataset_slice(*d, 0, sn_arg_int(t->config, key), &part, err));
    sn_dataset_release(*d);
    *d = part;
    return SN_OK;
}

static SnStatus open_data(SnTrainer *t, SnDataset *data[3], SnError *err)
{
    const SnJson *train = sn_arg(t->config, "train_file"), *eval = sn_arg(t->config, "validation_file"),
                 *test = sn_arg(t->config, "test_file");
    const double share = sn_arg_number(t->config, "validation_split");
    SN_CHECK(train, err, SN_EINVAL, "config: train_file is not given");
    SN_CHECK((test != NULL) == sn_arg_bool(t->config, "do_predict"), err, SN_EINVAL,
             "config: do_predict and test_file: one needs the other");
    SN_TRY(sn_collate_open(&t->collate, train, &data[0], err));
    if (eval)
        SN_TRY(sn_collate_open(&t->collate, eval, &data[1], err));
    if (!eval && share > 0) {
        SnDataset *part[2] = {NULL, NULL};
        SN_TRY(sn_dataset_split(data[0], share, (uint64_t)sn_arg_int(t->config, "seed"), false, part, err));
        sn_dataset_release(data[0]);
        data[0] = part[0];
        data[1] = part[1];
    }
    if (sn_arg_bool(t->config, "do_predict"))
        SN_TRY(sn_collate_open(&t->collate, test, &data[2], err));
    SN_TRY(first_rows(t, "max_train_samples", &data[0], err));
    return data[1] ? first_rows(t, "max_eval_samples", &data[1], err) : SN_OK;
}

static SnStatus read_rows(SnTrainer *t, SnError *err)
{
    SnDataset *data[3] = {NULL, NULL, NULL};
    const bool scores = !sn_arg_bool(t->config, "prediction_loss_only");
    SnStatus st = open_data(t, data, err);
    if (st == SN_OK)
        st = sn_collate_labels(&t->collate, data[0], err);
    if (st == SN_OK)
        st = edit_config(t, err);
    if (st == SN_OK)
        st = sn_collate_begin(&t->collate, t->model, err);
    if (st == SN_OK)
        st = sn_train_source_open(&t->train, &t->collate, data[0], "train_file", false, err);
    if (st == SN_OK && strcmp(sn_arg_string(t->config, "train_sampling_strategy"), "group_by_length") == 0)
        st = sn_train_source_measure(&t->train, err);
    if (st == SN_OK && data[1])
        st = sn_train_source_open(&t->eval, &t->collate, data[1], "validation_file", scores, err);
    if (st == SN_OK && data[2])
        st = sn_train_source_open(&t->test, &t->collate, data[2], "test_file", scores, err);
    if (st == SN_OK)
        t->data = sn_dataset_retain(data[0]); /* names of labels lie there */
    sn_dataset_release(data[0]);
    sn_dataset_release(data[1]);
    sn_dataset_release(data[2]);
    return st;
}

/* ---- the trainer ---- */

/* What is to be best: by name, and the loss where something goes by it. */
static void find_metric(SnTrainer *t)
{
    const bool is_needed = sn_arg_bool(t->config, "load_best_model_at_end") || sn_trainer_is_plateau(t) ||
                           sn_arg(t->config, "early_stopping_patience") ||
                           strcmp(sn_arg_string(t->config, "save_strategy"), "best") == 0;
    t->metric = sn_arg_string(t->config, "metric_for_best_model");
    if (!t->metric && is_needed)
        t->metric = "loss";
    if (sn_arg(t->config, "early_stopping_patience")) {
        t->most_patience = sn_arg_int(t->config, "early_stopping_patience");
        t->patience_step = sn_arg_number(t->config, "early_stopping_threshold");
    }
    const size_t n = t->metric ? strlen(t->metric) : 0;
    t->greater = sn_arg(t->config, "greater_is_better")
                     ? sn_arg_bool(t->config, "greater_is_better")
                     : n > 0 && (n < 4 || strcmp(t->metric + n - 4, "loss") != 0);
}

static SnStatus find_resume(SnTrainer *t, const char **out, SnError *err)
{
    const SnJson *v = sn_arg(t->config, "resume_from_checkpoint");
    bool last = false;
    *out = NULL;
    if (!v || (sn_json_bool(v, &last) && !last))
        return SN_OK;
    SN_CHECK(last || v->kind == SN_JSON_STRING, err, SN_EINVAL,
             "config: resume_from_checkpoint: expected a folder, true or false");
    if (!last) {
        *out = (const char *)v->u.string.at;
        return SN_OK;
    }
    SN_TRY(sn_checkpoint_last(t, out, err));
    SN_CHECK(*out, err, SN_EINVAL, "%s: no checkpoint to resume from", t->output);
    return SN_OK;
}

/* How often something is done, where a strategy goes by steps. */
static SnStatus check_steps(const SnTrainer *t, SnError *err)
{
    static const char *const keys[][2] = {{"logging_strategy", "logging_steps"},
                                          {"eval_strategy", "eval_steps"},
                                          {"save_strategy", "save_steps"}};
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        const double v = sn_arg_number(t->config, keys[i][1]);
        const bool by_steps = strcmp(sn_arg_string(t->config, keys[i][0]), "steps") == 0;
        SN_CHECK(!by_steps || v <= 1 || floor(v) == v, err, SN_EINVAL,
                 "config: %s: expected a whole number, found %g", keys[i][1], v);
    }
    const bool logs = strcmp(sn_arg_string(t->config, "logging_strategy"), "steps") == 0,
               evaluates = strcmp(sn_arg_string(t->config, "eval_strategy"), "steps") == 0;
    SN_CHECK(sn_arg_number(t->config, "logging_steps") > 0 ||
                 (!logs && (!evaluates || sn_arg_number(t->config, "eval_steps") > 0)),
             err, SN_EINVAL, "config: logging_steps: expected more than 0");
    return SN_OK;
}

/* Evaluations come where checkpoints do. */
static SnStatus check_best(const SnTrainer *t, SnError *err)
{
    const double eval = sn_arg_number(
                     t->config, sn_arg_number(t->config, "eval_steps") > 0 ? "eval_steps" : "logging_steps"),
                 save = sn_arg_number(t->config, "save_steps");
    if (!sn_arg_bool(t->config, "load_best_model_at_end") ||
        strcmp(sn_arg_string(t->config, "save_strategy"), "steps") != 0)
        return SN_OK;
    SN_CHECK((eval < 1) == (save < 1) && fmod(round(save * 1e6), round(eval * 1e6)) == 0, err, SN_EINVAL,
             "config: load_best_model_at_end: save_steps %g is no multiple of eval_steps %g", save, eval);
    return SN_OK;
}

static SnStatus check(const SnTrainer *t, SnError *err)
{
    const bool evaluates = strcmp(sn_arg_string(t->config, "eval_strategy"), "no") != 0,
               best = sn_arg_bool(t->config, "load_best_model_at_end");
    SN_CHECK(!evaluates || t->eval.n, err, SN_EINVAL,
             "config: eval_strategy is %s, and there is no validation_file",
             sn_arg_string(t->config, "eval_strategy"));
    const char *when = sn_arg_string(t->config, "eval_strategy"),
               *saves = sn_arg_string(t->config, "save_strategy");
    SN_CHECK(!best || evaluates, err, SN_EINVAL, "config: load_best_model_at_end needs an eval_strategy");
    SN_CHECK(!best || strcmp(saves, "best") == 0 || strcmp(saves, when) == 0, err, SN_EINVAL,
             "config: load_best_model_at_end: save_strategy is %s, eval_strategy %s", saves, when);
    SN_CHECK(evaluates || strcmp(saves, "best") != 0, err, SN_EINVAL,
             "config: save_strategy best needs an eval_strategy");
    SN_CHECK(evaluates || !sn_trainer_is_plateau(t), err, SN_EINVAL,
             "config: lr_scheduler_type reduce_lr_on_plateau needs an eval_strategy");
    SN_TRY(check_steps(t, err));
    SN_TRY(check_best(t, err));
    SN_TRY(sn_trainer_check_metrics(t, err));
    SN_CHECK(!t->test.n ||
                 (!sn_train_guesses(t->collate.task) && !sn_arg_bool(t->config, "prediction_loss_only")),
             err, SN_EUNSUPPORTED, "config: do_predict: of tasks with classes, numbers or answers alone");
    SN_CHECK(!sn_arg(t->config, "early_stopping_patience") || evaluates, err, SN_EINVAL,
             "config: early_stopping_patience needs an eval_strategy");
    return SN_OK;
}

/* include_num_input_tokens_seen: a word, or a truth. */
static SnStatus find_counts(SnTrainer *t, SnError *err)
{
    const SnJson *v = sn_arg(t->config, "include_num_input_tokens_seen");
    bool all = false;
    const bool is_bool = v && sn_json_bool(v, &all);
    SN_CHECK(!v || is_bool || sn_json_is(v, "no") || sn_json_is(v, "all") || sn_json_is(v, "non_padding"),
             err, SN_EINVAL,
             "config: include_num_input_tokens_seen: expected no, all, non_padding, true or false");
    t->counts_padding = all || sn_json_is(v, "all");
    t->counts_tokens = t->counts_padding || sn_json_is(v, "non_padding");
    return SN_OK;
}

/* A line for each key that was set and changes nothing. */
static void tell_idle(const SnTrainer *t)
{
    const SnTrainKey *k = NULL;
    for (size_t i = 0; (k = sn_train_key(i)) != NULL; i++) {
        const SnJson *v = sn_json_get(t->config, k->name);
        if (k->kind == SN_KEY_IDLE && !sn_arg_is_usual(k, v))
            sn_log_write(t->ctx, SN_LOG_WARN, "config: %s changes nothing: %s", k->name, k->does);
    }
}

static SnStatus begin(SnTrainer *t, SnError *err)
{
    SN_TRY(sn_train_config_check(t->config, err));
    SN_CHECK(!sn_arg(t->config, "hyperparameter_search"), err, SN_EINVAL,
             "config: hyperparameter_search: a trainer is one trial");
    SN_TRY(find_counts(t, err));
    tell_idle(t);
    t->output = sn_arg_string(t->config, "output_dir");
    SN_CHECK(mkdir(t->output, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: cannot write: %s", t->output,
             strerror(errno));
    SN_TRY(find_resume(t, &t->resume, err));
    SN_TRY(open_model(t, has_adapter(t) ? NULL : t->resume, err));
    SN_TRY(find_task(t, err));
    t->collate.ctx = t->ctx;
    t->collate.text = t->text;
    t->collate.config = t->config;
    t->collate.arena = &t->arena;
    SN_TRY(read_rows(t, err));
    find_metric(t);
    SN_TRY(check(t, err));
    if (t->collate.task == SN_TRAIN_ANSWER && sn_arg_number(t->config, "label_smoothing_factor") != 0)
        sn_log_write(t->ctx, SN_LOG_WARN,
                     "config: label_smoothing_factor changes nothing: answers have no labels");
    SN_TRY(sn_model_need(t->model, err));
    return open_adapter(t, err);
}

SnStatus sn_trainer_create(SnCompiler *cc, const SnTrainerDesc *d, SnTrainer **out, SnError *err)
{
    SnContext *ctx = sn_compiler_context(cc);
    SnTrainer *t = sn_alloc_zero(sn_allocator(ctx), sizeof *t, _Alignof(max_align_t));
    if (!t)
        return no_memory(err);
    t->ctx = ctx;
    t->d = *d;
    t->cc = cc;
    t->config = d->config;
    t->state.best_metric = t->plateau.best = (double)NAN;
    sn_arena_init(&t->arena, sn_allocator(ctx));
    sn_arena_init(&t->batch_arena, sn_allocator(ctx));
    const SnStatus st = begin(t, err);
    if (st != SN_OK) {
        sn_trainer_destroy(t);
        return st;
    }
    sn_trainer_emit(t, SN_ON_init_end, NULL);
    *out = t;
    return SN_OK;
}

void sn_trainer_destroy(SnTrainer *t)
{
    if (!t)
        return;
    const SnAllocator *memory = sn_allocator(t->ctx);
    sn_training_destroy(t->session);
    sn_train_log_end(&t->log);
    sn_train_source_close(&t->train);
    sn_train_source_close(&t->eval);
    sn_train_source_close(&t->test);
    sn_dataset_release(t->data);
    sn_adapter_close(t->adapter);
    if (t->text != t->model)
        sn_model_close(t->text);
    sn_model_close(t->model);
    sn_vec_clear(memory, &t->used);
    sn_arena_clear(&t->batch_arena);
    sn_arena_clear(&t->arena);
    sn_free(memory, t, sizeof *t, _Alignof(max_align_t));
}
