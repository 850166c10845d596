/* card.c -- README.md of a trained model: what Transformers' Trainer tells in it, from the config and the
 * log. */
#include "frontends/training/arguments.h"
#include "frontends/training/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MARK "generated_from_trainer" /* a file without it is somebody's own, and stays */

typedef struct Card {
    SnTrainer *t;
    SnText text;
    const SnJson *log;
} Card;

static void put_string(Card *c, const char *s)
{
    sn_json_put_string(&c->text, sn_bytes_str(s));
}

/* As Python writes a number with at most four decimals. */
static void number_text(const SnJson *v, char *out, size_t size)
{
    double x = 0;
    (void)sn_json_number(v, &x);
    if (v->kind == SN_JSON_INT)
        (void)snprintf(out, size, "%.0f", x);
    else if (!isfinite(x) || fabs(x) >= 1e16 || (x != 0 && fabs(x) < 1e-4))
        (void)snprintf(out, size, "%g", x);
    else
        (void)snprintf(out, size, "%.4f", x);
    const bool has_point = strchr(out, '.') && !strchr(out, 'e') && strtod(out, NULL) == x;
    for (size_t n = strlen(out); has_point && n > 2 && out[n - 1] == '0' && out[n - 2] != '.'; n--)
        out[n - 1] = '\0';
}

/* ---- evaluations ---- */

static bool is_of_eval(const SnJson *v)
{
    double x = 0;
    return !sn_is_one_of(v->key, "eval_runtime eval_samples_per_second eval_steps_per_second") &&
           v->key.n > 5 && sn_bytes_begins(v->key, "eval_") && sn_json_number(v, &x);
}

/* eval_f1_macro is "F1 Macro". */
static void put_name(SnText *t, SnBytes key)
{
    bool begins = true;
    for (size_t i = 5; i < key.n; i++) {
        const char c = key.at[i] == '_' ? ' ' : (char)key.at[i];
        const char up = begins && c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
        begins = c == ' ';
        sn_text_add(t, &up, 1);
    }
}

static const SnJson *last_eval(const Card *c)
{
    const SnJson *found = NULL;
    for (uint32_t i = 0; i < c->log->n; i++)
        if (sn_json_get(&c->log->u.child[i], "eval_loss"))
            found = &c->log->u.child[i];
    return found;
}

static void put_results(Card *c, const SnJson *eval)
{
    char value[64];
    sn_text_printf(&c->text, "\nIt achieves the following results on the evaluation set:\n");
    for (uint32_t i = 0; i < eval->n; i++) {
        const SnJson *v = &eval->u.child[i];
        if (!is_of_eval(v))
            continue;
        number_text(v, value, sizeof value);
        sn_text_printf(&c->text, "- ");
        put_name(&c->text, v->key);
        sn_text_printf(&c->text, ": %s\n", value);
    }
}

static void put_cell(Card *c, const SnJson *v)
{
    char value[64] = "No log";
    if (v)
        number_text(v, value, sizeof value);
    sn_text_printf(&c->text, "| %s ", value);
}

/* Of the table, behind those that every evaluation has. */
static bool is_column(const SnJson *v)
{
    return is_of_eval(v) && !sn_bytes_is(v->key, "eval_loss");
}

/* A row for each evaluation, with the loss that was logged before it. */
static void put_table(Card *c, const SnJson *eval)
{
    const SnJson *loss = NULL;
    sn_text_printf(&c->text, "\n### Training results\n\n| Training Loss | Epoch | Step | Validation Loss ");
    for (uint32_t k = 0; k < eval->n; k++)
        if (is_column(&eval->u.child[k])) {
            sn_text_printf(&c->text, "| ");
            put_name(&c->text, eval->u.child[k].key);
            sn_text_printf(&c->text, " ");
        }
    sn_text_printf(&c->text, "|\n|:---:|:---:|:---:|:---:");
    for (uint32_t k = 0; k < eval->n; k++)
        if (is_column(&eval->u.child[k]))
            sn_text_printf(&c->text, "|:---:");
    sn_text_printf(&c->text, "|\n");
    for (uint32_t i = 0; i < c->log->n; i++) {
        const SnJson *row = &c->log->u.child[i];
        loss = sn_json_get(row, "loss") ? sn_json_get(row, "loss") : loss;
        if (!sn_json_get(row, "eval_loss"))
            continue;
        put_cell(c, loss);
        put_cell(c, sn_json_get(row, "epoch"));
        put_cell(c, sn_json_get(row, "step"));
        put_cell(c, sn_json_get(row, "eval_loss"));
        for (uint32_t k = 0; k < eval->n; k++)
            if (is_column(&eval->u.child[k]))
                put_cell(c, sn_json_get(row, (const char *)eval->u.child[k].key.at));
        sn_text_printf(&c->text, "|\n");
    }
}

/* ---- what was trained, and how ---- */

static void put_metadata(Card *c, const char *base, const SnJson *eval)
{
    static const char *const known[] = {"accuracy",  "bleu",      "f1",     "matthews_correlation",
                                        "pearsonr",  "precision", "recall", "rouge",
                                        "sacrebleu", "spearmanr", "wer"};
    const char *task = sn_model_task(c->t->model);
    bool has_metrics = false;
    sn_text_printf(&c->text, "---\nlibrary_name: transformers\n");
    if (task) {
        sn_text_printf(&c->text, "pipeline_tag: ");
        put_string(c, task);
        sn_text_printf(&c->text, "\n");
    }
    if (base) {
        sn_text_printf(&c->text, "base_model: ");
        put_string(c, base);
        sn_text_printf(&c->text, "\n");
    }
    sn_text_printf(&c->text, "tags:\n- " MARK "\n- sinter\n");
    for (size_t i = 0; eval && i < SN_COUNT(known); i++) {
        char key[40];
        (void)snprintf(key, sizeof key, "eval_%s", known[i]);
        if (!sn_json_get(eval, key))
            continue;
        sn_text_printf(&c->text, "%s- %s\n", has_metrics ? "" : "metrics:\n", known[i]);
        has_metrics = true;
    }
    sn_text_printf(&c->text, "---\n");
}

static void put_argument(Card *c, const char *name, const char *key)
{
    const SnJson *v = sn_arg(c->t->config, key);
    if (v) {
        sn_text_printf(&c->text, "- %s: ", name);
        sn_json_put(&c->text, v);
        sn_text_printf(&c->text, "\n");
    }
}

static void put_arguments(Card *c)
{
    const SnJson *config = c->t->config;
    const int64_t rows = sn_arg_int(config, "per_device_train_batch_size"),
                  times = sn_arg_int(config, "gradient_accumulation_steps");
    const char *optim = sn_arg_string(config, "optim");
    sn_text_printf(&c->text, "\n## Training procedure\n\n### Training hyperparameters\n\n"
                             "The following hyperparameters were used during training:\n");
    put_argument(c, "learning_rate", "learning_rate");
    put_argument(c, "train_batch_size", "per_device_train_batch_size");
    put_argument(c, "eval_batch_size", "per_device_eval_batch_size");
    put_argument(c, "seed", "seed");
    if (times > 1)
        sn_text_printf(&c->text, "- gradient_accumulation_steps: %lld\n- total_train_batch_size: %lld\n",
                       (long long)times, (long long)(rows * times));
    sn_text_printf(&c->text, "- optimizer: %s with betas=(%g,%g) and epsilon=%g\n",
                   optim ? optim : "adamw_torch_fused", sn_arg_number(config, "adam_beta1"),
                   sn_arg_number(config, "adam_beta2"), sn_arg_number(config, "adam_epsilon"));
    put_argument(c, "lr_scheduler_type", "lr_scheduler_type");
    if (sn_arg_number(config, "warmup_steps") != 0)
        put_argument(c, "lr_scheduler_warmup_steps", "warmup_steps");
    if (sn_arg_number(config, "max_steps") > 0)
        put_argument(c, "training_steps", "max_steps");
    else
        put_argument(c, "num_epochs", "num_train_epochs");
    if (sn_arg_number(config, "label_smoothing_factor") != 0)
        put_argument(c, "label_smoothing_factor", "label_smoothing_factor");
    if (sn_arg_bool(config, "bf16") || sn_arg_bool(config, "fp16"))
        sn_text_printf(&c->text, "- mixed_precision_training: %s\n",
                       sn_arg_bool(config, "bf16") ? "bf16" : "fp16");
}

static void put_card(Card *c)
{
    const char *base = sn_arg_string(c->t->config, "model_name_or_path"),
               *data = sn_arg_string(c->t->config, "train_file"), *slash = strrchr(c->t->output, '/');
    const SnJson *eval = last_eval(c);
    put_metadata(c, base, eval);
    sn_text_printf(
        &c->text,
        "\n<!-- This model card was generated from what the training knew. Proofread and complete it, then "
        "remove this comment. -->\n\n# %s\n\n",
        slash && slash[1] ? slash + 1 : c->t->output);
    if (base)
        sn_text_printf(&c->text, "This model is a fine-tuned version of %s on %s.\n", base,
                       data ? data : "data of its own");
    else
        sn_text_printf(&c->text, "This model was trained from scratch on %s.\n",
                       data ? data : "data of its own");
    if (eval)
        put_results(c, eval);
    put_arguments(c);
    if (eval)
        put_table(c, eval);
}

/* false: there is a file that somebody wrote. */
static SnStatus may_write(SnTrainer *t, const char *path, bool *out, SnError *err)
{
    SnFile *f = NULL;
    *out = !sn_file_exists(path);
    if (*out)
        return SN_OK;
    SN_TRY(sn_file_open(t->ctx, path, &f, err));
    const SnBytes text = sn_file_bytes(f);
    for (size_t i = 0; !*out && i + sizeof MARK - 1 <= text.n; i++)
        *out = memcmp(text.at + i, MARK, sizeof MARK - 1) == 0;
    sn_file_release(f);
    return SN_OK;
}

static SnStatus write_card(SnTrainer *t, const char *path, SnError *err)
{
    Card c = {.t = t, .text = {.memory = sn_allocator(t->ctx)}};
    SnText log = {.memory = c.text.memory};
    SnJson *json = NULL;
    SnStatus st = sn_trainer_log(t, &log, err);
    if (st == SN_OK)
        st = sn_json_parse(&t->batch_arena, "log", sn_bytes(log.at, log.n), &json, err);
    c.log = json;
    if (st == SN_OK)
        put_card(&c);
    if (st == SN_OK && c.text.failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    const SnBytes text = sn_bytes(c.text.at, c.text.n);
    if (st == SN_OK)
        st = sn_file_write(t->ctx, path, &text, 1, err);
    sn_text_clear(&log);
    sn_text_clear(&c.text);
    sn_arena_clear(&t->batch_arena);
    return st;
}

SnStatus sn_train_card(SnTrainer *t, SnError *err)
{
    bool may = false;
    const char *path = sn_arena_printf(&t->arena, "%s/README.md", t->output);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", t->output);
    SN_TRY(may_write(t, path, &may, err));
    return may ? write_card(t, path, err) : SN_OK;
}
