/* sinter.c -- the `sinter` command: a table of sub-commands over the public headers. CLI.md is its contract.
 */
#include "tools/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of GenerationConfig. */
#define GENERATION                                                                                           \
    "--max-new-tokens N tokens that are made\n"                                                              \
    "--max-length N tokens with the prompt\n"                                                                \
    "--min-new-tokens N tokens before an end\n"                                                              \
    "--min-length N the same with the prompt\n"                                                              \
    "--do-sample draw tokens; default: take the likeliest\n"                                                 \
    "--temperature X\n"                                                                                      \
    "--top-k N\n"                                                                                            \
    "--top-p X\n"                                                                                            \
    "--min-p X\n"                                                                                            \
    "--top-h X\n"                                                                                            \
    "--typical-p X\n"                                                                                        \
    "--epsilon-cutoff X\n"                                                                                   \
    "--eta-cutoff X\n"                                                                                       \
    "--repetition-penalty X\n"                                                                               \
    "--encoder-repetition-penalty X of tokens that the prompt lacks\n"                                       \
    "--no-repeat-ngram-size N\n"                                                                             \
    "--encoder-no-repeat-ngram-size N of those of the prompt\n"                                              \
    "--bad-words-ids LIST [[3], [16, 9]]\n"                                                                  \
    "--sequence-bias LIST [[[4], -2.5]]\n"                                                                   \
    "--suppress-tokens LIST [1, 7]\n"                                                                        \
    "--begin-suppress-tokens LIST\n"                                                                         \
    "--forced-eos-token-id LIST\n"                                                                           \
    "--exponential-decay-length-penalty LIST [start, factor]\n"                                              \
    "--eos-token-id LIST tokens that end a text\n"                                                           \
    "--pad-token-id N\n"                                                                                     \
    "--stop-strings LIST texts that end it\n"                                                                \
    "--max-time SECONDS\n"                                                                                   \
    "--prompt-lookup-num-tokens N tokens to guess from what was there\n"                                     \
    "--max-matching-ngram-size N\n"                                                                          \
    "--remove-invalid-values scores that are NaN or infinite become numbers\n"                               \
    "--renormalize-logits after all processors\n"                                                            \
    "--guidance-scale X away from what comes without the prompt\n"                                           \
    "--negative-prompt-ids LIST or from what comes after these tokens\n"                                     \
    "--adapter-rows LIST which of several adapters each row has, from 1 on; 0: none\n"                       \
    "--watermarking-config JSON of a green list or of SynthID\n"

/* A model that was trained on. */
#define ADAPTER                                                                                              \
    "--adapter DIR[,DIR...]  beside the model: folders with adapter_config.json, as PEFT has it; several "   \
    "of\n"                                                                                                   \
    "                LoRA are one for each row, by the input adapter_rows (0: none), or as --combine says\n" \
    "--combine JSON  as one, add_weighted_adapter: {\"weights\": [..], \"combination_type\": \"linear\", "   \
    "..}\n"

static const Command commands[] = {
    {"run", "[MODEL [INPUT...]]", "the model's task on text, on JSON, or on the lines of a file or of -",
     ADAPTER
     "--task TASK     another task than the one of config.json\n"
     "--kwargs JSON   arguments of the reference pipeline, as one object\n"
     "JSON in the place of a text is what the reference pipeline takes: {\"text\", \"text_pair\"},\n"
     "{\"question\", \"context\"} (or QUESTION CONTEXT), {\"sequences\", \"candidate_labels\"}, lists.\n"
     "Without MODEL: the reference pipeline's model for TASK; without TASK too, a small one inside of this\n"
     "program tells stories from the lines of standard input, or from \"Once upon a time\".\n",
     "sinter run ./bert-ner \"Angela lives in Berlin\" --json", command_run},
    {"embed", "MODEL [TEXT...]", "sentence embeddings, pooled as the folder says",
     ADAPTER "--similarity    print the matrix of similarities\n",
     "sinter embed ./all-MiniLM-L6-v2 \"a cat\" \"a dog\" --similarity", command_embed},
    {"forward", "MODEL", "named tensors in, named tensors out",
     ADAPTER "--inputs FILE   .safetensors or .npz with the inputs\n"
             "--outputs FILE  where the results go\n"
             "--want NAMES    comma-separated outputs; default: every output of the task head\n",
     "sinter forward ./bert --inputs in.safetensors --outputs out.safetensors --want logits",
     command_forward},
    {"grad", "MODEL", "the loss of labels, and its gradient for every parameter (grad.NAME)",
     "--inputs FILE   .safetensors or .npz with the inputs, labels among them\n"
     "--outputs FILE  where the results go\n",
     "sinter grad ./bert --inputs in.safetensors --outputs grads.safetensors", command_grad},
    {"train", "[CONFIG.json]", "from files to weights, as a config says: names of TrainingArguments",
     "--print-config  every key with its value or default; with --json as an object\n"
     "output_dir gets the model, checkpoint-N folders, train_log.jsonl, loss.svg and, with do_predict,\n"
     "predictions.jsonl, with report_to tensorboard, event files. A run that was stopped goes on with\n"
     "\"resume_from_checkpoint\": true. With hyperparameter_search trials run in run-N, and\n"
     "hyperparameter_search.json has their values and objectives.\n",
     "sinter train config.json", command_train},
    {"eval", "METRIC FILE", "a metric as Evaluate computes it, as JSON; eval list: all names",
     "FILE is a JSON object: predictions, references and the arguments of the metric\n"
     "--model MODEL   perplexity of texts (predictions) by a decoder\n",
     "sinter eval f1 answers.json", command_eval},
    {"generate", "[MODEL]",
     "what comes next, token by token; without MODEL by the one inside of this program",
     ADAPTER "--prompt TEXT   what to go on from\n"
             "--inputs FILE   or tensors input_ids, attention_mask (.safetensors, .npz)\n"
             "--outputs FILE  sequences as tensors; without it text, or ids, on standard output\n"
             "--assistant-model M  a smaller model with the same tokens, which guesses them\n"
             "With names of GenerationConfig:\n" GENERATION "--num-return-sequences N\n"
             "--num-beams N beam search\n"
             "--early-stopping WHEN true, false or never\n"
             "--length-penalty X\n"
             "--forced-bos-token-id N\n"
             "--num-assistant-tokens N\n"
             "--output-scores beside sequences\n"
             "--output-logits beside sequences\n"
             "--print-config  only what generation_config.json would be with these options\n",
     "sinter generate ./SmolLM2-135M --prompt \"Once upon a time\" --max-new-tokens 40", command_generate},
    {"chat", "MODEL", "a conversation, by the model's own template; a message is a line of standard input",
     ADAPTER
     "--system TEXT   what the conversation is about\n"
     "A message that begins with / is a command: /help lists them. Ctrl-C stops an answer. With -v: tokens\n"
     "that were fed, and their rate. Tokens are picked as generation_config.json of the model says, the\n"
     "likeliest where it says nothing; an answer has up to 1024 tokens, a conversation up to 4096\n"
     "(--max-length) and up to what the model has. Names of GenerationConfig:\n" GENERATION,
     "sinter chat ./SmolLM2-135M-Instruct --system \"You are a poet.\" --do-sample --top-p 0.9",
     command_chat},
    {"tokenize", "MODEL [TEXT...]", "lines of text in, one JSON object a line out",
     "--no-special            leave out special tokens\n"
     "--pair                  with --json: a line is [A, B]\n"
     "--words                 with --json: a text is an array of words\n"
     "--max-length N          cut to N tokens\n"
     "--stride N              tokens that windows share\n"
     "--truncation S          longest_first, only_first or only_second\n"
     "--truncation-side SIDE  left or right\n"
     "--pad                   fill up to the longest of the batch\n"
     "--pad-side SIDE         left or right\n"
     "--pad-length N          fill up to N\n"
     "--pad-multiple N        fill up to a multiple of N\n"
     "--pad-token T           with this token\n"
     "--decode                the way back: ids in, text out\n"
     "--skip-special          with --decode: leave out special tokens\n",
     "echo \"Hello, world\" | sinter tokenize ./bert", command_tokenize},
    {"inspect", "MODEL", "config, parameters, tensors, tokenizer; reads headers only",
     "--graph         the graph in text form\n"
     "--want NAMES    with --graph: comma-separated outputs\n",
     "sinter inspect ./bert --json", command_inspect},
    {"compile", "MODEL", "ahead of time: a file and its header, which need nothing of this program",
     ADAPTER
     "-o FILE         what to write: NAME.so, .o, .a or .c\n"
     "--task TASK     another task than the one of the folder; tensors: named tensors in and out\n"
     "--cpu LEVELS    comma-separated: v3,v4,v4d,amx; default: all\n"
     "--weights W     embed (default; .c: up to 16 MiB), or file: beside, in NAME.weights\n"
     "--max-text N    bytes of a text that a context makes room for; default: 1024, of a message 4096\n"
     "--context N     models that talk: tokens of a conversation; default: the model's, at most 2048\n"
     "--system TEXT   and what the chat template puts first\n"
     "--input NAMES   tensors: comma-separated inputs; default: input_ids,attention_mask\n"
     "--want NAMES    tensors: comma-separated outputs; default: every output of the task head\n"
     "--train         a step of training: NAME_step on a batch, NAME_eval, NAME_state, NAME_restore;\n"
     "                inputs by default: input_ids,attention_mask,labels; --want: outputs of NAME_eval\n"
     "--args FILE     and a config of train: learning_rate, optim, max_steps, ..; without max_steps the\n"
     "                rate is constant\n"
     "--bindings LIST wrappers beside: cpp,csharp,lua,python,rust\n"
     "--size          print where the bytes are\n",
     "sinter compile ./all-MiniLM-L6-v2 -o minilm.so --size", command_compile},
    {"convert", "MODEL", "the same model in another format: .gguf, .safetensors or a folder",
     ADAPTER
     "-o PATH                what to write: NAME.gguf, NAME.safetensors, or a folder\n"
     "--to FORMAT            of numbers; default: as stored. Everywhere f32, f16, bf16 (--dtype is the "
     "same);\n"
     "                       in GGUF files q8_0 q6_k q5_k_m q5_k_s q5_1 q5_0 q4_k_m q4_k_s q4_1 q4_0\n"
     "--max-shard-size SIZE  of a folder's weight files: 5GB, 500MiB; default: one file\n",
     "sinter convert ./SmolLM2-135M -o smol.gguf --to q4_k_m", command_convert},
    {"quantize", "MODEL", "weights in fewer bits, without calibration",
     ADAPTER
     "-o PATH         NAME.gguf, NAME.safetensors or a folder; blocks in the latter two are read by sinter "
     "alone\n"
     "--to FORMAT     q8, q4 (q8_0, q4_k_m), or as for convert\n",
     "sinter quantize ./SmolLM2-135M -o smol.gguf --to q8", command_quantize},
    {"tensors", "WHAT FILE...", "tensors in .safetensors and .bin files or folders, larger than memory too",
     "ls FILE...             name, dtype, shape and bytes of each\n"
     "cat FILE NAME...       numbers, a row a line\n"
     "diff A B               < only in A, > only in B, ! other dtype or shape, ~ other numbers; exit 1: some "
     "differ\n"
     "hash FILE...           of dtype, shape and bytes of each; the last line is of all of them and their "
     "names\n"
     "split FILE... -o DIR   files with an index\n"
     "merge FILE... -o OUT   one .safetensors file\n"
     "rename FILE FROM=TO... -o OUT  a * is any text; FROM= leaves tensors out\n"
     "cast FILE... -o OUT    floats in another dtype\n"
     "-o PATH                NAME.safetensors or a folder\n"
     "--to DTYPE             f64 f32 f16 bf16 f8_e4m3 f8_e5m2\n"
     "--max-shard-size SIZE  of the files of a folder: 5GB, 500MiB; default: 5GB for split\n",
     "sinter tensors rename a.safetensors 'model.*=*' 'lm_head.*=' -o b.safetensors", command_tensors},
    {"data", "FILE...", "datasets: opened, changed by these options in their order, and written",
     "--where EXPR          rows for which it is true: 'len(text) > 100 and label in [0, 1]'\n"
     "--map NAME=EXPR       a column that is computed\n"
     "--select ROWS         3,1,-1\n"
     "--take N              the first rows\n"
     "--skip N              all but those\n"
     "--shuffle             by --seed (42), in the order of datasets\n"
     "--sort COLUMN         -COLUMN: the largest first\n"
     "--train-part SIZE     of train_test_split(test_size=SIZE, seed)\n"
     "--test-part SIZE      the other side\n"
     "--in-order            splits are not shuffled\n"
     "--stratify COLUMN     splits: as many of each label on both sides as there are in all\n"
     "--shard I/N           the I-th of N parts\n"
     "--strided             shards: every N-th row\n"
     "--repeat N            N times\n"
     "--batch N             rows that are lists of N rows\n"
     "--drop-last           batches: what is left is no row\n"
     "--unique COLUMN       its values, each once\n"
     "--concatenate PATHS   rows behind these rows\n"
     "--concatenate-columns PATHS  columns beside these\n"
     "--interleave PATHS    rows of these and of others by turns\n"
     "--probabilities LIST  of turns, which are drawn by --seed then: 0.7,0.3\n"
     "--stopping-strategy S  first_exhausted, all_exhausted, all_exhausted_without_replacement\n"
     "--rename OLD=NEW      a column\n"
     "--cast COLUMN=TYPE    int32, string, timestamp[ms] .. or a feature in JSON: {\"a\": \"int32\", \"b\": "
     "[\"string\"]}\n"
     "--labels COLUMN=A,B   class labels; COLUMN alone: its values, sorted\n"
     "--align-labels COLUMN=A,B  labels become those of these names\n"
     "--flatten             objects become columns of their fields, a.b\n"
     "--columns NAMES       only these, in this order\n"
     "--remove NAMES        columns\n"
     "--tokenize MODEL      adds input_ids and attention_mask\n"
     "--text NAMES          of this column, or of pairs of two\n"
     "--max-length N        cut to N tokens\n"
     "Several files are rows behind rows; they may be compressed (.gz, .bz2, .xz, .zst). How they are read:\n"
     "--format F            csv, tsv, jsonl, json, text, arrow, parquet, idx; of a folder imagefolder, "
     "audiofolder;\n"
     "                      default: by the names' endings\n"
     "--split SPLIT         NAME, NAME[FROM:TO] of rows or percents, several with +; files are train\n"
     "--no-header           csv: the first line is a row\n"
     "--names NAMES         csv: of the columns\n"
     "--delimiter C         csv: between fields\n"
     "--no-quotes           csv: quotes are characters like others\n"
     "--sample-by WHAT      text: line, paragraph or document\n"
     "--field NAME          json: where the list of rows is\n"
     "--output PATH         .csv .tsv .json .jsonl .txt .arrow .parquet, or a folder of save_to_disk\n"
     "--info                number of rows and types; without either: rows as JSON lines\n",
     "sinter data train.csv --where 'label == 1' --shuffle --take 100 --output ones.jsonl", command_data},
    {"tokenizer", "train FOLDER FILE...", "a tokenizer with a vocabulary made from the lines of files",
     "-o FOLDER                      where it goes\n"
     "--column NAME                  FILEs are data files: the texts of this column\n"
     "FOLDER has a tokenizer.json, of which all but the vocabulary stays. Where that is empty, it is trained "
     "as\n"
     "by Tokenizer.train, else as by train_new_from_iterator: special tokens are kept. Names of the "
     "trainers:\n"
     "--vocab-size N                 default: 30000, of a Unigram 8000\n"
     "--min-frequency N              of a pair (BPE, WordPiece), of a word (WordLevel)\n"
     "--special-tokens LIST          [\"<s>\", {\"content\": \"<mask>\", \"lstrip\": true}]\n"
     "--initial-alphabet LIST        characters that are to be in it; or ByteLevel\n"
     "--limit-alphabet N             most characters at first\n"
     "--max-token-length N           of a BPE, in characters\n"
     "--continuing-subword-prefix S  default: ## of a WordPiece\n"
     "--end-of-word-suffix S\n"
     "--unk-token S                  of a Unigram\n"
     "--shrinking-factor X           of a Unigram: what pruning leaves; default: 0.75\n"
     "--n-sub-iterations N           of a Unigram, between prunings; default: 2\n"
     "--max-piece-length N           of a Unigram, in characters; default: 16\n"
     "--seed-size N                  of a Unigram, pieces at first; default: 1000000\n",
     "sinter tokenizer train ./gpt2 shakespeare.txt -o mine --vocab-size 5000", command_tokenizer},
    {"plan", "MODEL", "bytes and steps of a shape, before anything runs", "--shape DIMS    batch=1,seq=128\n",
     "sinter plan ./bert --shape batch=8,seq=512 --json", command_plan},
    {"bench", "MODEL [FILE...]", "time, rates and shares of what this machine can do",
     "--task TASK     another task than the one of config.json; embed: from text to vector\n"
     "--shape DIMS    batch=32,seq=128; of a decoder that generates: prompt=512,new=64,batch=1\n"
     "--input FILE    time the tokenizer on a text instead, and on each FILE after it\n"
     "--kernels       list every kernel, widest gap to the limits first\n"
     "--svg FILE      draw the roofline and the memory plan\n",
     "sinter bench ./all-MiniLM-L6-v2 --shape batch=32,seq=128 --kernels", command_bench},
    {"models", "", "architectures that this build has", "", "sinter models", command_models},
    {"ops", "", "ops that this build has", "", "sinter ops", command_ops},
    {"devices", "", "devices that this build can use here", "", "sinter devices", command_devices},
};

static const char common_options[] =
    "--device D      auto, cpu, interp, clike or opencl[:N]\n"
    "--dtype D       auto, f32, bf16 or f16\n"
    "--kv-dtype D    what decoders keep of keys and values: auto, f32, bf16, f16, f8 (e4m3) or i8\n"
    "--quant Q       none, q8 or q4: weights of linear layers in blocks of 8 or 4 bits; nf4 or\n"
    "                nf4-double: in those of bitsandbytes, whose scales have 32 or 8 bits\n"
    "--threads N     threads that run kernels; default: all CPUs\n"
    "--exact         the same bits on every CPU level\n"
    "--seed N        of what is random\n"
    "--cache-dir D   where compiled kernels are kept\n"
    "--no-cache      keep none\n"
    "--offline       use no network\n"
    "--json          machine-readable output\n"
    "-q, -v          fewer, more notes\n";

/* ---- options ---- */

/* Does the text of options name this option, and does it take a value? */
static bool find_option(const char *options, const char *name, bool *takes_value)
{
    const size_t n = strlen(name);
    for (const char *line = options; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, name, n) != 0 || line[n] != ' ')
            continue;
        *takes_value = line[n + 1] >= 'A' && line[n + 1] <= 'Z';
        return true;
    }
    return false;
}

/* Where an option stands on the line, the last time; values of other options are no options. -1: nowhere. */
static int find_arg(const Args *a, const char *option)
{
    int found = -1;
    for (int i = 0; i < a->nline; i++) {
        bool takes_value = false;
        if (a->line[i][0] == '-' && strcmp(a->line[i], option) == 0)
            found = i;
        if (a->line[i][0] == '-' && (find_option(a->command->options, a->line[i], &takes_value) ||
                                     find_option(common_options, a->line[i], &takes_value)))
            i += takes_value;
    }
    return found;
}

const char *arg_value(const Args *a, const char *option)
{
    const int i = find_arg(a, option);
    return i < 0 || i + 1 >= a->nline ? NULL : a->line[i + 1];
}

bool arg_flag(const Args *a, const char *option)
{
    return find_arg(a, option) >= 0;
}

bool arg_int(const Args *a, const char *option, int64_t *out, int *status)
{
    const char *text = arg_value(a, option);
    if (!text)
        return false;
    char *end = NULL;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end) {
        *status = usage_error(a, "%s: expected a whole number, found \"%s\"", option, text);
        return false;
    }
    *out = v;
    return true;
}

/* Sorts the line into options (left where they are) and operands. */
static int parse_args(const Command *c, int argc, char **argv, Args *a)
{
    *a = (Args){.command = c, .line = argv, .nline = argc};
    a->at = calloc((size_t)argc + 1, sizeof *a->at);
    if (!a->at)
        return report_memory();
    bool rest = false;
    for (int i = 0; i < argc; i++) {
        bool takes_value = false;
        if (rest || argv[i][0] != '-' || strcmp(argv[i], "-") == 0) {
            a->at[a->n++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            rest = true;
            a->nline = i;
        } else if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "-v") == 0) {
            *(argv[i][1] == 'q' ? &a->quiet : &a->verbose) = true;
        } else if (!find_option(c->options, argv[i], &takes_value) &&
                   !find_option(common_options, argv[i], &takes_value)) {
            return usage_error(a, "no option %s", argv[i]);
        } else if (takes_value && ++i == argc) {
            return usage_error(a, "%s needs a value", argv[i - 1]);
        }
    }
    return EXIT_DONE;
}

static const char *or_env(const char *value, const char *variable)
{
    return value ? value : getenv(variable);
}

static int common_flags(Args *a)
{
    static const char *const quants[] = {"none", "q8", "q4", "nf4", "nf4-double"};
    int status = EXIT_DONE;
    int64_t threads = 0, seed = 0;
    a->quant = or_env(arg_value(a, "--quant"), "SINTER_QUANT");
    a->device = or_env(arg_value(a, "--device"), "SINTER_DEVICE");
    a->dtype = or_env(arg_value(a, "--dtype"), "SINTER_DTYPE");
    a->kv_dtype = or_env(arg_value(a, "--kv-dtype"), "SINTER_KV_DTYPE");
    a->cache_dir = or_env(arg_value(a, "--cache-dir"), "SINTER_CACHE_DIR");
    a->exact = arg_flag(a, "--exact");
    a->json = arg_flag(a, "--json");
    a->no_cache = arg_flag(a, "--no-cache");
    if (arg_int(a, "--threads", &threads, &status) && (threads < 1 || threads > 1024))
        return usage_error(a, "--threads: %lld, allowed 1 to 1024", (long long)threads);
    a->threads = (uint32_t)threads;
    if (arg_int(a, "--seed", &seed, &status) && seed < 0)
        return usage_error(a, "--seed: %lld, at least 0", (long long)seed);
    bool is_quant = !a->quant;
    for (size_t i = 0; i < SN_COUNT(quants); i++)
        is_quant = is_quant || strcmp(a->quant, quants[i]) == 0;
    if (!is_quant)
        return usage_error(a, "--quant: expected none, q8, q4, nf4 or nf4-double, found \"%s\"", a->quant);
    return status;
}

/* ---- no MODEL ---- */

extern const SnEmbedded sn_embedded_model[]; /* examples/stories */

/* Defaults of the reference pipelines, by task. */
static const struct {
    const char *task, *model;
} usual_models[] = {
    {"feature-extraction", "distilbert/distilbert-base-cased"},
    {"fill-mask", "distilbert/distilroberta-base"},
    {"ner", "dbmdz/bert-large-cased-finetuned-conll03-english"},
    {"question-answering", "distilbert/distilbert-base-cased-distilled-squad"},
    {"sentiment-analysis", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"},
    {"text-classification", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"},
    {"token-classification", "dbmdz/bert-large-cased-finetuned-conll03-english"},
    {"zero-shot-classification", "facebook/bart-large-mnli"},
};

static int choose_model(Args *a)
{
    const char *task = arg_value(a, "--task"), *model = NULL;
    a->is_inside = !task || strcmp(task, "text-generation") == 0;
    for (size_t i = 0; task && i < SN_COUNT(usual_models); i++)
        model = strcmp(usual_models[i].task, task) == 0 ? usual_models[i].model : model;
    if (!a->is_inside && !model)
        return usage_error(a, "expected a model: there is no usual one for task %s", task);
    a->at[a->n++] = (char *)(uintptr_t)(a->is_inside ? sn_embedded_model[0].name : model);
    return EXIT_DONE;
}

/* ---- sessions ---- */

static void write_log(void *self, SnLogLevel level, const char *message)
{
    const Args *a = self;
    if (level <= SN_LOG_WARN ? !a->quiet : level == SN_LOG_INFO || a->verbose)
        (void)fprintf(stderr, "sinter: %s\n", message);
}

/* --cache-dir, or $XDG_CACHE_HOME/sinter, or ~/.cache/sinter. */
static const char *cache_dir(const Args *a, char path[1024])
{
    if (a->no_cache || a->cache_dir)
        return a->no_cache ? NULL : a->cache_dir;
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const bool has_base = base && *base, has_home = home && *home;
    const int n = has_base ? snprintf(path, 1024, "%s/sinter", base)
                           : snprintf(path, 1024, "%s/.cache/sinter", has_home ? home : "");
    return n > 0 && n < 1024 && (has_home || has_base) ? path : NULL;
}

/* The first n of them can be computed in, all can be kept. */
enum { NCOMPUTED = 4, NKEPT = 7 };
static bool find_dtype(const char *name, size_t n, SnDtype *out)
{
    static const struct {
        const char *name;
        SnDtype dtype;
    } row[NKEPT] = {{"auto", SN_NODTYPE}, {"f32", SN_F32}, {"bf16", SN_BF16}, {"f16", SN_F16},
                    {"f8", SN_F8E4M3FN},  {"i8", SN_I8},   {"int8", SN_I8}};
    for (size_t i = 0; i < n; i++)
        if (strcmp(row[i].name, name) == 0) {
            *out = row[i].dtype;
            return true;
        }
    return false;
}

/* Signals come to the main thread alone. */
static SnStatus open_pool(uint32_t threads, SnPool **out, SnError *err)
{
    sigset_t set, before;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, &before);
    const SnStatus st = sn_pool_create(threads, out, err);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return st;
}

/* Those of --adapter as one, which the model uses. */
static SnStatus open_adapters(const Args *a, Session *s, SnError *err)
{
    const char *how = arg_value(a, "--combine");
    SnAdapter *one[64] = {0};
    SnJson *json = NULL;
    size_t n = 0;
    const char *const *folder = split_names(&s->arena, arg_value(a, "--adapter"), &n);
    SnStatus st = folder && n <= SN_COUNT(one) ? SN_OK : sn_fail(err, SN_EINVAL, "%zu adapters", n);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        st = sn_adapter_open(s->model, folder[i], &one[i], err);
    if (st == SN_OK && (n > 1 || how))
        st = sn_json_parse(&s->arena, "--combine",
                           sn_bytes_str(how ? how : "{\"combination_type\": \"rows\"}"), &json, err);
    if (st == SN_OK)
        st = json ? sn_adapter_combine(one, NULL, n, json, &s->adapter, err) : SN_OK;
    if (st == SN_OK && !json)
        s->adapter = one[0];
    for (size_t i = 0; i < n && i < SN_COUNT(one); i++)
        if (one[i] != s->adapter)
            sn_adapter_close(one[i]);
    if (st == SN_OK)
        sn_model_adapt(s->model, s->adapter, false);
    return st;
}

int session_open(const Args *a, const char *model, const char *task, Session *s)
{
    char dir[1024];
    SnModelOptions o = {.struct_size = sizeof o,
                        .flags = a->exact ? SN_EXACT : 0,
                        .task = task,
                        .device = a->device,
                        .quant = a->quant};
    if (a->is_inside && model == a->at[0])
        o.gguf = sn_bytes(sn_embedded_model[0].at, (size_t)sn_embedded_model[0].size);
    *s = (Session){0};
    if (a->dtype && !find_dtype(a->dtype, NCOMPUTED, &o.dtype))
        return usage_error(a, "--dtype: expected auto, f32, bf16 or f16, found \"%s\"", a->dtype);
    if (a->kv_dtype && !find_dtype(a->kv_dtype, NKEPT, &o.kv_dtype))
        return usage_error(a, "--kv-dtype: expected auto, f32, bf16, f16, f8 or i8, found \"%s\"",
                           a->kv_dtype);
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SnContextDesc desc = {.struct_size = sizeof desc, .flags = SN_USE_AMX, .cache_dir = cache_dir(a, dir)};
    desc.cpu_level = getenv("SINTER_CPU_LEVEL");
    desc.trace = a->trace ? *a->trace : (SnTrace){0};
    desc.log = (SnLog){.self = (void *)(uintptr_t)a, .write = write_log};
    SnStatus st = a->threads == 1 ? SN_OK : open_pool(a->threads, &s->pool, &s->err);
    if (st == SN_OK && s->pool)
        desc.jobs = sn_pool_jobs(s->pool);
    if (st == SN_OK)
        st = sn_context_create(&desc, &s->ctx, &s->err);
    if (st == SN_OK)
        sn_arena_init(&s->arena, sn_allocator(s->ctx));
    if (st == SN_OK)
        st = sn_compiler_create(s->ctx, &cd, &s->cc, &s->err);
    if (st == SN_OK && model)
        st = sn_model_open(s->cc, model, &o, &s->model, &s->err);
    if (st == SN_OK && model && arg_value(a, "--adapter"))
        st = open_adapters(a, s, &s->err);
    return report(NULL, st, &s->err);
}

void session_close(Session *s)
{
    sn_arena_clear(&s->arena);
    sn_adapter_close(s->adapter);
    sn_model_close(s->model);
    sn_compiler_destroy(s->cc);
    sn_context_destroy(s->ctx);
    sn_pool_destroy(s->pool);
}

/* ---- messages ---- */

/* Messages may quote inputs; what they quote must not end the line or steer the terminal. */
static void print_failure(const char *what, const char *message)
{
    (void)fputs("sinter: ", stderr);
    for (const char *c = what; c && *c; c++)
        (void)fputc((uint8_t)*c < 0x20 || *c == 0x7F ? '?' : *c, stderr);
    (void)fputs(what ? ": " : "", stderr);
    for (const char *c = message; *c; c++)
        (void)fputc((uint8_t)*c < 0x20 || *c == 0x7F ? '?' : *c, stderr);
    (void)fputc('\n', stderr);
}

int report(const char *what, SnStatus status, const SnError *err)
{
    if (status == SN_OK)
        return EXIT_DONE;
    /* Most messages name the model already. */
    const size_t n = what ? strlen(what) : 0;
    print_failure(n && strncmp(err->message, what, n) == 0 ? NULL : what, err->message);
    return status == SN_EUNSUPPORTED ? EXIT_UNSUPPORTED : EXIT_FAILED;
}

int report_memory(void)
{
    (void)fputs("sinter: no memory\n", stderr);
    return EXIT_FAILED;
}

int usage_error(const Args *a, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    print_failure(a->command->name, message);
    return EXIT_USAGE;
}

static int print_help(void)
{
    (void)printf("sinter %s -- tensor programs from models\n\nsinter COMMAND --help shows the options of a "
                 "command.\n\n",
                 SN_VERSION);
    for (size_t i = 0; i < SN_COUNT(commands); i++)
        (void)printf("  %-10s %-18s %s\n", commands[i].name, commands[i].operands, commands[i].does);
    (void)printf("\nexample: sinter run ./bert-ner \"Angela lives in Berlin\"\n");
    return EXIT_DONE;
}

static int print_command_help(const Command *c)
{
    (void)printf("sinter %s %s\n\n%s\n\n%s%s%s\nexample: %s\n", c->name, c->operands, c->does, c->options,
                 *c->options ? "\n" : "", common_options, c->example);
    return EXIT_DONE;
}

static int print_version(void)
{
    (void)printf("sinter %s\n", SN_VERSION);
    return EXIT_DONE;
}

/* ---- lines ---- */

bool is_regular_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int read_file(SnArena *arena, const char *path, SnBytes *out)
{
    const bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    SnText text = {.memory = arena->memory};
    char chunk[65536];
    for (size_t n; f && (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        sn_text_add(&text, chunk, n);
    const int wrong = !f || ferror(f) ? errno : 0;
    if (f && !is_stdin)
        (void)fclose(f);
    char *copy = text.failed ? NULL : sn_arena_alloc(arena, text.n + 1);
    if (copy && text.n)
        memcpy(copy, text.at, text.n);
    *out = sn_bytes(copy, text.n);
    sn_text_clear(&text);
    if (!wrong)
        return copy ? EXIT_DONE : report_memory();
    (void)fprintf(stderr, "sinter: %s: %s\n", is_stdin ? "standard input" : path, strerror(wrong));
    return EXIT_FAILED;
}

int read_lines(SnArena *arena, const char *path, Lines *out)
{
    SnBytes text;
    const int status = read_file(arena, path, &text);
    if (status != EXIT_DONE)
        return status;
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++)
        n += text.at[i] == '\n';
    out->at = sn_arena_array(arena, n, sizeof *out->at);
    out->n = 0;
    for (size_t at = 0; out->at && at < text.n;) {
        const uint8_t *end = memchr(text.at + at, '\n', text.n - at);
        size_t len = end ? (size_t)(end - text.at) - at : text.n - at;
        const size_t next = at + len + 1;
        len -= len > 0 && text.at[at + len - 1] == '\r';
        out->at[out->n++] = sn_bytes(text.at + at, len);
        at = next;
    }
    return out->at ? EXIT_DONE : report_memory();
}

int read_texts(const Args *a, SnArena *arena, Lines *out)
{
    if (a->n < 2 || (a->n == 2 && strcmp(a->at[1], "-") == 0))
        return read_lines(arena, "-", out);
    out->n = (size_t)a->n - 1;
    out->at = sn_arena_array(arena, out->n, sizeof *out->at);
    if (!out->at)
        return report_memory();
    for (size_t i = 0; i < out->n; i++)
        out->at[i] = sn_bytes_str(a->at[i + 1]);
    return EXIT_DONE;
}

const char *const *split_names(SnArena *arena, const char *list, size_t *n)
{
    size_t most = 1;
    for (const char *c = list; c && *c; c++)
        most += *c == ',';
    const char **name = sn_arena_array(arena, most, sizeof *name);
    *n = 0;
    for (const char *at = list; name && at && *at;) {
        const size_t size = strcspn(at, ",");
        name[*n] = sn_arena_strndup(arena, at, size);
        if (!name[(*n)++])
            return NULL;
        at += size + (at[size] == ',');
    }
    return name;
}

/* ---- main ---- */

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_INTERRUPTED);
}

static int run_command(const Command *c, int argc, char **argv)
{
    Args a = {0};
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return print_command_help(c);
    int status = parse_args(c, argc, argv, &a);
    if (status == EXIT_DONE)
        status = common_flags(&a);
    const bool needs_model = strncmp(c->operands, "MODEL", 5) == 0;
    if (status == EXIT_DONE && needs_model && a.n == 0)
        status = usage_error(&a, "expected a model");
    if (status == EXIT_DONE && strncmp(c->operands, "[MODEL", 6) == 0 && a.n == 0)
        status = choose_model(&a);
    const int most = !*c->operands ? 0 : strchr(c->operands, ' ') ? 2 : 1;
    if (status == EXIT_DONE && !strstr(c->operands, "...") && a.n > most)
        status = usage_error(&a, "%s is one operand too many", a.at[most]);
    if (status == EXIT_DONE)
        status = c->run(&a);
    free(a.at);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        (void)fprintf(stderr, "sinter: standard output: %s\n", strerror(errno));
        status = EXIT_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    (void)signal(SIGINT, on_interrupt);
    if (argc < 2) {
        (void)fputs("sinter: expected a command (sinter --help)\n", stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    for (size_t i = 0; i < SN_COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return run_command(&commands[i], argc - 2, argv + 2);
    (void)fprintf(stderr, "sinter: no command %s (sinter --help)\n", argv[1]);
    return EXIT_USAGE;
}
