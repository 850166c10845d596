/* arguments.c -- the one table of what a training can be told, and what reads it.
 *
 * Names, defaults and ranges are those of TrainingArguments of Transformers 5; the last part is ours. */
#include "frontends/training/arguments.h"

#include <math.h>

#define WHEN    "no|steps|epoch"
#define COUNT   0x1p53
#define MAX_KEY 64

/* name, kind, default, least, most, choice, what it does */
static const SnTrainKey keys[] = {
    {"output_dir", SN_KEY_STRING, "trainer_output", 0, 0, NULL, "where checkpoints, logs and the model go"},
    {"per_device_train_batch_size", SN_KEY_INT, "8", 1, 65536, NULL, "rows of a micro-batch"},
    {"per_device_eval_batch_size", SN_KEY_INT, "8", 1, 65536, NULL, "rows of a batch of an evaluation"},
    {"num_train_epochs", SN_KEY_FLOAT, "3.0", 0, 1e6, NULL, "times that all rows are seen"},
    {"max_steps", SN_KEY_INT, "-1", -1, COUNT, NULL, "steps in all; over num_train_epochs if above 0"},
    {"learning_rate", SN_KEY_FLOAT, "5e-05", 0, 1e30, NULL, "at its highest"},
    {"lr_scheduler_type", SN_KEY_STRING, "linear", 0, 0, NULL, "how the rate goes on"},
    {"lr_scheduler_kwargs", SN_KEY_OBJECT, NULL, 0, 0, NULL, "numbers of the schedule"},
    {"warmup_steps", SN_KEY_FLOAT, "0", 0, COUNT, NULL, "steps in which the rate rises; below 1: a share"},
    {"warmup_ratio", SN_KEY_FLOAT, NULL, 0, 1, NULL, "the same as a share, of Transformers 4"},
    {"optim", SN_KEY_STRING, "adamw_torch_fused", 0, 0, NULL, "the optimizer"},
    {"optim_args", SN_KEY_OBJECT, NULL, 0, 0, NULL, "numbers of the optimizer"},
    {"weight_decay", SN_KEY_FLOAT, "0.0", 0, 1e6, NULL, "of all but biases and norms"},
    {"adam_beta1", SN_KEY_FLOAT, "0.9", 0, 1, NULL, "of adamw and lion"},
    {"adam_beta2", SN_KEY_FLOAT, "0.999", 0, 1, NULL, "of adamw and lion"},
    {"adam_epsilon", SN_KEY_FLOAT, "1e-08", 0, 1, NULL, "of adamw"},
    {"gradient_accumulation_steps", SN_KEY_INT, "1", 1, 4096, NULL, "micro-batches of a step"},
    {"max_grad_norm", SN_KEY_FLOAT, "1.0", 0, 1e30, NULL, "gradients are clipped to this; 0: they are not"},
    {"label_smoothing_factor", SN_KEY_FLOAT, "0.0", 0, 1, NULL, "share of all classes in every label"},
    {"neftune_noise_alpha", SN_KEY_FLOAT, NULL, 0, 1e6, NULL, "noise of words: alpha / sqrt(seq * width)"},
    {"bf16", SN_KEY_BOOL, "false", 0, 0, NULL, "arithmetic in bf16, weights in f32"},
    {"fp16", SN_KEY_BOOL, "false", 0, 0, NULL, "arithmetic in f16, weights in f32, the loss scaled"},
    {"activation_checkpointing", SN_KEY_BOOL, NULL, 0, 0, NULL,
     "keep what goes into layers, compute again what is in them"},
    {"gradient_checkpointing", SN_KEY_BOOL, "false", 0, 0, NULL, "the same, as it was called before"},
    {"memory_budget", SN_KEY_ANY, NULL, 0, 0, NULL,
     "bytes of a step, or \"2GB\": values are computed again to stay below"},
    {"logging_strategy", SN_KEY_STRING, "steps", 0, 0, WHEN, "when a line is logged"},
    {"logging_steps", SN_KEY_FLOAT, "500", 0, COUNT, NULL, "every so many; below 1: a share of all"},
    {"include_num_input_tokens_seen", SN_KEY_ANY, "no", 0, 0, NULL,
     "count tokens in the log: no, all, non_padding, true or false"},
    {"logging_first_step", SN_KEY_BOOL, "false", 0, 0, NULL, "log the first step too"},
    {"logging_dir", SN_KEY_STRING, NULL, 0, 0, NULL,
     "of TensorBoard files; default: runs/run_name in output_dir"},
    {"report_to", SN_KEY_ANY, "none", 0, 0, NULL, "tensorboard, all or none; JSON lines are always written"},
    {"run_name", SN_KEY_STRING, NULL, 0, 0, NULL, "a folder in runs"},
    {"eval_strategy", SN_KEY_STRING, "no", 0, 0, WHEN, "when the validation file is evaluated"},
    {"eval_steps", SN_KEY_FLOAT, NULL, 0, COUNT, NULL, "every so many; default: logging_steps"},
    {"eval_delay", SN_KEY_FLOAT, "0", 0, COUNT, NULL, "not before this step, or epoch"},
    {"eval_on_start", SN_KEY_BOOL, "false", 0, 0, NULL, "evaluate before the first step"},
    {"prediction_loss_only", SN_KEY_BOOL, "false", 0, 0, NULL, "no metrics but the loss"},
    {"save_strategy", SN_KEY_STRING, "steps", 0, 0, WHEN "|best", "when a checkpoint is written"},
    {"save_steps", SN_KEY_FLOAT, "500", 0, COUNT, NULL, "every so many; below 1: a share of all"},
    {"save_total_limit", SN_KEY_INT, NULL, 1, 1e6, NULL, "checkpoints that are kept"},
    {"save_only_model", SN_KEY_BOOL, "false", 0, 0, NULL, "checkpoints that cannot be resumed"},
    {"load_best_model_at_end", SN_KEY_BOOL, "false", 0, 0, NULL, "leave the best checkpoint's weights"},
    {"metric_for_best_model", SN_KEY_STRING, NULL, 0, 0, NULL,
     "which metric is best; default: the loss where something goes by it"},
    {"greater_is_better", SN_KEY_BOOL, NULL, 0, 0, NULL, "default: unless the metric ends in loss"},
    {"resume_from_checkpoint", SN_KEY_ANY, NULL, 0, 0, NULL, "a checkpoint, or true: the last one"},
    {"restore_callback_states_from_checkpoint", SN_KEY_BOOL, "true", 0, 0, NULL,
     "evaluations that were no better count on; Trainer has false: a run that goes on stops elsewhere"},
    {"ignore_data_skip", SN_KEY_BOOL, "false", 0, 0, NULL, "a resumed epoch begins at its first row"},
    {"seed", SN_KEY_INT, "42", 0, COUNT, NULL, "of new weights, masks and the order of rows"},
    {"data_seed", SN_KEY_INT, NULL, 0, COUNT, NULL, "of the order of rows; default: seed"},
    {"dataloader_drop_last", SN_KEY_BOOL, "false", 0, 0, NULL, "leave out a last batch with fewer rows"},
    {"train_sampling_strategy", SN_KEY_STRING, "random", 0, 0, "random|sequential|group_by_length",
     "the order of rows"},
    /* what has no meaning here, or only one */
    {"do_train", SN_KEY_BOOL, "false", 0, 0, NULL, "of scripts; not looked at"},
    {"do_predict", SN_KEY_BOOL, "false", 0, 0, NULL, "the test file is predicted at the end"},
    {"do_eval", SN_KEY_BOOL, "false", 0, 0, NULL, "of scripts; not looked at"},
    {"disable_tqdm", SN_KEY_BOOL, NULL, 0, 0, NULL, "no progress line"},
    /* what to train, and on what */
    {"model_name_or_path", SN_KEY_STRING, NULL, 0, 0, NULL, "a folder with weights"},
    {"init_from_config", SN_KEY_ANY, NULL, 0, 0, NULL,
     "new weights: a config.json, its folder, or its object"},
    {"peft_config", SN_KEY_ANY, NULL, 0, 0, NULL,
     "an adapter learns, the model stays: an object with keys of PEFT's LoraConfig, IA3Config .."},
    {"use_peft", SN_KEY_BOOL, NULL, 0, 0, NULL, "default: where there is a peft_config"},
    {"load_in_8bit", SN_KEY_BOOL, "false", 0, 0, NULL, "the model in blocks of 8 bits, beside an adapter"},
    {"load_in_4bit", SN_KEY_BOOL, "false", 0, 0, NULL, "or of 4 bits, NF4"},
    {"bnb_4bit_quant_type", SN_KEY_STRING, "nf4", 0, 0, "nf4", "which those are"},
    {"bnb_4bit_use_double_quant", SN_KEY_BOOL, "false", 0, 0, NULL, "their scales in 8 bits"},
    {"tokenizer_name", SN_KEY_STRING, NULL, 0, 0, NULL, "a folder with a tokenizer; default: the model's"},
    {"task", SN_KEY_STRING, NULL, 0, 0,
     "text-classification|token-classification|text-generation|fill-mask|image-classification|seq2seq-lm|"
     "question-answering|summarization|translation",
     "default: the model's"},
    {"train_file", SN_KEY_ANY, NULL, 0, 0, NULL, "a file, several, or a folder of load_from_disk"},
    {"validation_file", SN_KEY_ANY, NULL, 0, 0, NULL, "the same"},
    {"test_file", SN_KEY_ANY, NULL, 0, 0, NULL,
     "the same, beside do_predict: metrics test_.., rows to predictions.jsonl"},
    {"file_format", SN_KEY_STRING, NULL, 0, 0, NULL, "csv, tsv, json, text, ..; default: by the name"},
    {"column_names", SN_KEY_ANY, NULL, 0, 0, NULL, "of csv and tsv files without a header: a list"},
    {"validation_split", SN_KEY_FLOAT, "0", 0, 1, NULL, "a share of the rows, where there is no file"},
    {"max_train_samples", SN_KEY_INT, NULL, 1, COUNT, NULL, "only the first rows"},
    {"max_eval_samples", SN_KEY_INT, NULL, 1, COUNT, NULL, "the same"},
    {"text_column", SN_KEY_STRING, NULL, 0, 0, NULL,
     "default: text, sentence, tokens, question, translation, or the first texts"},
    {"text_pair_column", SN_KEY_STRING, NULL, 0, 0, NULL,
     "the second text of a pair; of question-answering: context"},
    {"image_column", SN_KEY_STRING, NULL, 0, 0, NULL,
     "default: the first files of images, or lists of lists"},
    {"label_column", SN_KEY_STRING, NULL, 0, 0, NULL, "default: label, labels, ner_tags, tags, answers"},
    {"num_labels", SN_KEY_INT, NULL, 1, 1e6, NULL, "of a new head; default: as the rows have them"},
    {"target_column", SN_KEY_STRING, NULL, 0, 0, NULL, "what is to come out: target, summary, highlights"},
    {"summary_column", SN_KEY_STRING, NULL, 0, 0, NULL, "the same, as run_summarization.py names it"},
    {"source_lang", SN_KEY_STRING, NULL, 0, 0, NULL, "of a translation: \"en\" of {\"en\": .., \"de\": ..}"},
    {"target_lang", SN_KEY_STRING, NULL, 0, 0, NULL, "the same, of what is to come out"},
    {"source_prefix", SN_KEY_STRING, NULL, 0, 0, NULL, "before each text that something comes out of"},
    {"max_target_length", SN_KEY_INT, "128", 1, 1e6, NULL, "tokens that come out of a row"},
    {"max_length", SN_KEY_INT, NULL, 1, 1e6, NULL,
     "tokens of a row; default: the tokenizer's, 384 of windows"},
    {"doc_stride", SN_KEY_INT, "128", 0, 1e6, NULL, "tokens that windows of a context share"},
    {"version_2_with_negative", SN_KEY_BOOL, NULL, 0, 0, NULL,
     "questions may have no answer; default: where a row has none"},
    {"null_score_diff_threshold", SN_KEY_FLOAT, "0.0", -1e30, 1e30, NULL,
     "that there is no answer is likelier by more than this"},
    {"n_best_size", SN_KEY_INT, "20", 1, 10000, NULL, "starts and ends of answers that are looked at"},
    {"max_answer_length", SN_KEY_INT, "30", 1, 1e6, NULL, "tokens of an answer"},
    {"pad_to_max_length", SN_KEY_BOOL, NULL, 0, 0, NULL,
     "rows are as long as max_length; default: where they are windows"},
    {"block_size", SN_KEY_INT, NULL, 1, 1e6, NULL, "tokens of a block; default: the model's, at most 1024"},
    {"packing", SN_KEY_BOOL, "true", 0, 0, NULL, "texts are cut to blocks one behind the other"},
    {"padding_free", SN_KEY_BOOL, "false", 0, 0, NULL,
     "the rows of a batch lie one behind the other, and do not see each other: DataCollatorWithFlattening"},
    {"mlm_probability", SN_KEY_FLOAT, "0.15", 0, 1, NULL, "tokens that are guessed"},
    {"whole_word_mask", SN_KEY_BOOL, "false", 0, 0, NULL, "the tokens of a word are guessed together"},
    {"label_all_tokens", SN_KEY_BOOL, "false", 0, 0, NULL, "of a word, not only its first one"},
    {"metrics", SN_KEY_ANY, NULL, 0, 0, NULL,
     "names, \"accuracy,f1:weighted\"; default: accuracy, f1 or mse"},
    {"hyperparameter_search", SN_KEY_ANY, NULL, 0, 0, NULL,
     "trials in run-N folders: {\"space\": {key: [values] or {low, high, step, log}}, \"method\": random or "
     "grid, \"n_trials\", \"direction\", \"objective\", \"seed\"}"},
    {"early_stopping_patience", SN_KEY_INT, NULL, 1, 1e6, NULL, "evaluations that may be no better"},
    {"early_stopping_threshold", SN_KEY_FLOAT, "0.0", 0, 1e30, NULL, "by which they are better"},
    /* names of TrainingArguments that change nothing here: taken, and told of once */
    {"activation_checkpointing_kwargs", SN_KEY_IDLE, NULL, 0, 0, NULL,
     "what is kept is the compiler's choice"},
    {"average_tokens_across_devices", SN_KEY_IDLE, "true", 0, 0, NULL, "there is one device"},
    {"dataloader_in_order", SN_KEY_IDLE, "true", 0, 0, NULL, "rows are read in order"},
    {"dataloader_multiprocessing_context", SN_KEY_IDLE, NULL, 0, 0, NULL, "rows are read by threads"},
    {"dataloader_num_workers", SN_KEY_IDLE, "0", 0, 0, NULL, "--threads says how many read"},
    {"dataloader_persistent_workers", SN_KEY_IDLE, "false", 0, 0, NULL, "rows are read by threads"},
    {"dataloader_pin_memory", SN_KEY_IDLE, "true", 0, 0, NULL, "of other processors"},
    {"dataloader_prefetch_factor", SN_KEY_IDLE, NULL, 0, 0, NULL, "the next batch is read ahead"},
    {"ddp_backend", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is one process"},
    {"ddp_broadcast_buffers", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is one process"},
    {"ddp_bucket_cap_mb", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is one process"},
    {"ddp_find_unused_parameters", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is one process"},
    {"ddp_static_graph", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is one process"},
    {"ddp_timeout", SN_KEY_IDLE, "1800", 0, 0, NULL, "there is one process"},
    {"eval_accumulation_steps", SN_KEY_IDLE, NULL, 0, 0, NULL,
     "what metrics need of an evaluation lies in memory"},
    {"eval_use_gather_object", SN_KEY_IDLE, "false", 0, 0, NULL, "there is one process"},
    {"full_determinism", SN_KEY_IDLE, "false", 0, 0, NULL, "it is always so"},
    {"gradient_checkpointing_kwargs", SN_KEY_IDLE, NULL, 0, 0, NULL, "what is kept is the compiler's choice"},
    {"hub_always_push", SN_KEY_IDLE, "false", 0, 0, NULL, "nothing is pushed"},
    {"hub_model_id", SN_KEY_IDLE, NULL, 0, 0, NULL, "nothing is pushed"},
    {"hub_private_repo", SN_KEY_IDLE, NULL, 0, 0, NULL, "nothing is pushed"},
    {"hub_revision", SN_KEY_IDLE, NULL, 0, 0, NULL, "nothing is pushed"},
    {"hub_strategy", SN_KEY_IDLE, "\"every_save\"", 0, 0, NULL, "nothing is pushed"},
    {"liger_kernel_config", SN_KEY_IDLE, NULL, 0, 0, NULL, "kernels are compiled"},
    {"local_rank", SN_KEY_IDLE, "-1", 0, 0, NULL, "there is one process"},
    {"log_level", SN_KEY_IDLE, "\"passive\"", 0, 0, NULL, "-q and -v say how much is told"},
    {"log_level_replica", SN_KEY_IDLE, "\"warning\"", 0, 0, NULL, "there is one process"},
    {"log_on_each_node", SN_KEY_IDLE, "true", 0, 0, NULL, "there is one process"},
    {"logging_nan_inf_filter", SN_KEY_IDLE, "true", 0, 0, NULL, "a loss that is no number ends the run"},
    {"project", SN_KEY_IDLE, "\"huggingface\"", 0, 0, NULL, "there is no such service"},
    {"remove_unused_columns", SN_KEY_IDLE, "true", 0, 0, NULL, "unused ones are not read"},
    {"save_on_each_node", SN_KEY_IDLE, "false", 0, 0, NULL, "there is one process"},
    {"tf32", SN_KEY_IDLE, NULL, 0, 0, NULL, "of other processors"},
    {"torch_compile", SN_KEY_IDLE, "false", 0, 0, NULL, "all is compiled"},
    {"torch_compile_backend", SN_KEY_IDLE, NULL, 0, 0, NULL, "all is compiled"},
    {"torch_compile_mode", SN_KEY_IDLE, NULL, 0, 0, NULL, "all is compiled"},
    {"torch_empty_cache_steps", SN_KEY_IDLE, NULL, 0, 0, NULL, "memory is planned ahead"},
    {"trackio_bucket_id", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is no such service"},
    {"trackio_space_id", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is no such service"},
    {"trackio_static_space_id", SN_KEY_IDLE, NULL, 0, 0, NULL, "there is no such service"},
    {"use_cache", SN_KEY_IDLE, "false", 0, 0, NULL, "no past is kept while a model learns"},
    {"use_cpu", SN_KEY_IDLE, "false", 0, 0, NULL, "--device says where"},
    {"use_liger_kernel", SN_KEY_IDLE, "false", 0, 0, NULL, "kernels are compiled"},
    /* those of which only the default is done */
    {"accelerator_config", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"auto_find_batch_size", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"batch_eval_metrics", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"bf16_full_eval", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"debug", SN_KEY_ONLY, "\"\"", 0, 0, NULL, "only this is done"},
    {"deepspeed", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"enable_jit_checkpoint", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"eval_do_concat_batches", SN_KEY_ONLY, "true", 0, 0, NULL, "only this is done"},
    {"fp16_full_eval", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"fsdp", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"fsdp_config", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"hub_token", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"include_for_metrics", SN_KEY_ONLY, "[]", 0, 0, NULL, "only this is done"},
    {"label_names", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"length_column_name", SN_KEY_ONLY, "\"length\"", 0, 0, NULL, "only this is done"},
    {"optim_target_modules", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"parallelism_config", SN_KEY_ONLY, NULL, 0, 0, NULL, "only this is done"},
    {"push_to_hub", SN_KEY_ONLY, "false", 0, 0, NULL, "only this is done"},
    {"skip_memory_metrics", SN_KEY_ONLY, "true", 0, 0, NULL, "only this is done"},
};

const SnTrainKey *sn_train_key(size_t i)
{
    return i < SN_COUNT(keys) ? &keys[i] : NULL;
}

static const SnTrainKey *find(const char *name)
{
    return sn_train_key(SN_FIND_ROW(keys, name, sn_bytes_str(name)));
}

/* ---- values ---- */

const SnJson *sn_arg(const SnJson *config, const char *key)
{
    const SnJson *v = sn_json_get(config, key);
    SN_ASSERT(find(key) != NULL);
    return sn_json_is_null(v) ? NULL : v;
}

static const char *otherwise(const char *key)
{
    const SnTrainKey *k = find(key);
    return k ? k->otherwise : NULL;
}

bool sn_arg_bool(const SnJson *config, const char *key)
{
    bool v = false;
    const char *d = otherwise(key);
    return sn_json_bool(sn_arg(config, key), &v) ? v : d && strcmp(d, "true") == 0;
}

double sn_arg_number(const SnJson *config, const char *key)
{
    double v = 0;
    const char *d = otherwise(key);
    if (!sn_json_number(sn_arg(config, key), &v) && d)
        (void)sn_parse_f64(sn_bytes_str(d), &v);
    return v;
}

int64_t sn_arg_int(const SnJson *config, const char *key)
{
    return (int64_t)sn_arg_number(config, key);
}

const char *sn_arg_string(const SnJson *config, const char *key)
{
    const SnJson *v = sn_arg(config, key);
    return v && v->kind == SN_JSON_STRING ? (const char *)v->u.string.at : otherwise(key);
}

/* ---- checks ---- */

size_t sn_arg_distance(SnBytes a, const char *b)
{
    size_t row[MAX_KEY + 1];
    const size_t n = strlen(b);
    if (n > MAX_KEY || a.n > MAX_KEY)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t change = corner + (a.at[i - 1] != (uint8_t)b[j - 1]);
            const size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

static SnStatus unknown(const SnJson *v, SnError *err)
{
    size_t best = SIZE_MAX;
    const char *near = "";
    for (size_t i = 0; i < SN_COUNT(keys); i++) {
        const size_t d = sn_arg_distance(v->key, keys[i].name);
        if (d < best) {
            best = d;
            near = keys[i].name;
        }
    }
    const int n = v->key.n < MAX_KEY ? (int)v->key.n : MAX_KEY;
    SN_CHECK(best > v->key.n / 2, err, SN_EINVAL, "config: no key %.*s; the nearest one is %s", n,
             (const char *)v->key.at, near);
    return sn_fail(err, SN_EINVAL, "config: no key %.*s; --print-config lists them", n,
                   (const char *)v->key.at);
}

/* Is it what the text says: a string, a number, a word or an empty list? */
static bool is_json(const SnJson *v, const char *text)
{
    const size_t n = strlen(text);
    double x = 0, y = 0;
    bool flag = false;
    if (v->kind == SN_JSON_STRING)
        return *text == '"' && v->u.string.n == n - 2 && memcmp(v->u.string.at, text + 1, n - 2) == 0;
    if (sn_json_bool(v, &flag))
        return strcmp(text, flag ? "true" : "false") == 0;
    if (v->kind == SN_JSON_ARRAY)
        return v->n == 0 && *text == '[';
    return sn_json_number(v, &x) && sn_parse_f64(sn_bytes_str(text), &y) && x == y;
}

bool sn_arg_is_usual(const SnTrainKey *k, const SnJson *v)
{
    return sn_json_is_null(v) || (k->otherwise && is_json(v, k->otherwise));
}

static SnStatus check_value(const SnTrainKey *k, const SnJson *v, SnError *err)
{
    static const char *const kinds[] = {[SN_KEY_BOOL] = "true or false",
                                        [SN_KEY_INT] = "a whole number",
                                        [SN_KEY_FLOAT] = "a number",
                                        [SN_KEY_STRING] = "a string",
                                        [SN_KEY_OBJECT] = "an object",
                                        [SN_KEY_ANY] = "",
                                        [SN_KEY_IDLE] = "",
                                        [SN_KEY_ONLY] = ""};
    double x = 0;
    int64_t n = 0;
    const bool fits[] = {[SN_KEY_BOOL] = v->kind == SN_JSON_BOOL,
                         [SN_KEY_INT] = sn_json_int(v, &n),
                         [SN_KEY_FLOAT] = sn_json_number(v, &x),
                         [SN_KEY_STRING] = v->kind == SN_JSON_STRING,
                         [SN_KEY_OBJECT] = v->kind == SN_JSON_OBJECT || v->kind == SN_JSON_STRING,
                         [SN_KEY_ANY] = true,
                         [SN_KEY_IDLE] = true,
                         [SN_KEY_ONLY] = true};
    SN_CHECK(k->kind != SN_KEY_ONLY || sn_arg_is_usual(k, v), err, SN_EUNSUPPORTED,
             "config: %s: only %s is done", k->name, k->otherwise ? k->otherwise : "null");
    SN_CHECK(fits[k->kind], err, SN_EINVAL, "config: %s: expected %s", k->name, kinds[k->kind]);
    if (k->kind == SN_KEY_INT || k->kind == SN_KEY_FLOAT) {
        (void)sn_json_number(v, &x);
        SN_CHECK(x >= k->least && x <= k->most, err, SN_EINVAL, "config: %s: expected %g to %g, found %g",
                 k->name, k->least, k->most, x);
    }
    if (v->kind == SN_JSON_STRING)
        SN_CHECK(memchr(v->u.string.at, 0, v->u.string.n) == NULL, err, SN_EINVAL, "config: %s: holds a NUL",
                 k->name);
    if (k->choice && k->kind == SN_KEY_STRING)
        SN_CHECK(sn_is_one_of(v->u.string, k->choice), err, SN_EINVAL, "config: %s: expected %s, found %.*s",
                 k->name, k->choice, (int)(v->u.string.n < 80 ? v->u.string.n : 80),
                 (const char *)v->u.string.at);
    return SN_OK;
}

SnStatus sn_train_config_check(const SnJson *config, SnError *err)
{
    SN_CHECK(config && config->kind == SN_JSON_OBJECT, err, SN_EINVAL, "config: expected an object");
    for (uint32_t i = 0; i < config->n; i++) {
        const SnJson *v = &config->u.child[i];
        const SnTrainKey *k = NULL;
        for (size_t j = 0; j < SN_COUNT(keys) && !k; j++)
            k = sn_bytes_is(v->key, keys[j].name) ? &keys[j] : NULL;
        if (!k)
            return unknown(v, err);
        if (!sn_json_is_null(v))
            SN_TRY(check_value(k, v, err));
    }
    return SN_OK;
}
