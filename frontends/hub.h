/* hub.h -- use models: open a folder, run it on tensors or on text.
 *
 * A model is opened once; what is compiled for it is kept with it (one program for each set of inputs and
 * wanted outputs), so a second call at the same shape allocates only its results. A model is used by one
 * thread at a time. */
#ifndef SN_HUB_H
#define SN_HUB_H

#include "compiler/graph.h"
#include "runtime/json.h"

SN_API extern const SnOp *const sn_all_ops[]; /* ops/ops.c */

typedef struct SnModel SnModel;

typedef struct SnModelOptions {
    uint32_t struct_size;
    uint32_t flags;     /* SN_EXACT */
    const char *task;   /* "fill-mask", "text-classification", ...; NULL: from config.json */
    const char *device; /* "auto", "cpu", "interp", "clike", "opencl:0"; NULL: auto */
    SnDtype dtype;      /* computed in; SN_NODTYPE: the checkpoint's */
    int64_t num_labels; /* a head that the checkpoint lacks is made with this many labels; 0: config's */
    /* A folder: programs are compiled ahead of time, to files there, and run from those; NULL: just in time
     */
    const char *emit_dir;
    const char *emit_levels; /* for these CPU levels; NULL: all */
    /* "q8", "q4": weights of linear layers become blocks of 32 with a scale, 8.5 and 4.5 bits each (a
     * decoder's head always 8.5), and numbers are computed in f32 unless dtype says otherwise. "nf4",
     * "nf4-double": linear layers but heads, in the blocks of 64 of bitsandbytes, 4.5 bits; products are of
     * floats. NULL, "none": as stored */
    const char *quant;
    /* What decoders keep of keys and values: f32, f16, bf16, f8e4m3fn, or i8, with a scale for each position
     * and head. SN_NODTYPE: what is computed in */
    SnDtype kv_dtype;
    /* The bytes of a .gguf file, in the place of a folder: read where they lie, as long as the model is open
     */
    SnBytes gguf;
} SnModelOptions;

/* folder: config.json, *.safetensors (one, or shards with an index), tokenizer files if any; or a .sn file.
 */
SN_API SN_MUST_CHECK SnStatus sn_model_open(SnCompiler *cc, const char *folder, const SnModelOptions *o,
                                            SnModel **out, SnError *err);
SN_API void sn_model_close(SnModel *m);
SN_API const char *sn_model_task(const SnModel *m); /* of the head: "feature-extraction", "fill-mask", ... */
/* Bytes of keys and values that a token of a decoder takes; 0: it is none. */
SN_API SN_MUST_CHECK SnStatus sn_model_kv_bytes(SnModel *m, uint64_t *out, SnError *err);
/* Config, parameters, tensors, tokenizer as one JSON object; reads headers only. */
SN_API SN_MUST_CHECK SnStatus sn_model_inspect(SnModel *m, SnText *json, SnError *err);
/* Graph in text form for the given inputs and outputs (nwant 0: every output of the head). */
SN_API SN_MUST_CHECK SnStatus sn_model_graph(SnModel *m, const char *const *input, size_t ninput,
                                             const char *const *want, size_t nwant, SnText *text,
                                             SnError *err);
/* i-th architecture that this build has: model type, class name, task; false past the end. */
SN_API bool sn_arch_list(size_t i, const char **model_type, const char **class_name, const char **task);

/* ---- tensors ---- */
typedef struct SnNamedTensor {
    const char *name;
    SnView view;
} SnNamedTensor;

/* Results own their memory. */
typedef struct SnResults SnResults;
SN_API size_t sn_results_count(const SnResults *r);
SN_API const SnNamedTensor *sn_results_get(const SnResults *r, size_t i);
SN_API const SnNamedTensor *sn_results_find(const SnResults *r, const char *name); /* NULL: absent */
SN_API void sn_results_destroy(SnResults *r);

/* Named tensors of a .safetensors or .npz file, and back. Written beside, then renamed. */
SN_API SN_MUST_CHECK SnStatus sn_tensors_load(SnContext *ctx, const char *path, SnResults **out,
                                              SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_tensors_save(SnContext *ctx, const char *path, const SnNamedTensor *tensor,
                                              size_t n, SnError *err);

/* Names as in Transformers: input_ids, attention_mask, token_type_ids, labels ... in; logits,
 * last_hidden_state, hidden_states.5, attentions.0, loss ... out; grad.NAME is the gradient of loss with
 * respect to a parameter, by its name in the file, f32; "grad.*": of all. nwant 0: every output of the head.
 * A name that the model does not have is SN_EUNSUPPORTED. */
SN_API SN_MUST_CHECK SnStatus sn_model_forward(SnModel *m, const SnNamedTensor *in, size_t nin,
                                               const char *const *want, size_t nwant, SnResults **out,
                                               SnError *err);

/* What sn_model_forward runs on inputs of these names (ninput 0: input_ids and attention_mask, whole
 * numbers), compiled and not run: for who binds, plans or measures it. Lent until the model is closed. */
typedef struct SnPrepared {
    SnProgram *program;
    SnInstance *instance;
    int64_t max_seq; /* positions that the model has; 0: no limit */
    int64_t nid;     /* ids of input_ids are below; 0: unknown */
} SnPrepared;
SN_API SN_MUST_CHECK SnStatus sn_model_prepare(SnModel *m, const char *const *input, size_t ninput,
                                               const char *const *want, size_t nwant, SnPrepared *out,
                                               SnError *err);

/* ---- tensors in files that memory does not hold ---- */
/* Those of files (.safetensors, .bin) and folders together, in order of names, which differ. Headers are
 * read; data a piece at a time, when it is asked for. */
typedef struct SnTensorSet SnTensorSet;
typedef struct SnTensorInfo { /* lent until the set is closed */
    SnBytes name;
    const char *format; /* "F32", "F8_E4M3", as files spell it */
    int ndim;
    const int64_t *dims;
    uint64_t count, size; /* numbers, bytes */
} SnTensorInfo;
SN_API SN_MUST_CHECK SnStatus sn_tensor_set_open(SnCompiler *cc, const char *const *path, size_t n,
                                                 SnTensorSet **out, SnError *err);
SN_API void sn_tensor_set_close(SnTensorSet *s);
SN_API bool sn_tensor_set_at(const SnTensorSet *s, size_t i, SnTensorInfo *out); /* false: past the end */
SN_API bool sn_tensor_set_find(const SnTensorSet *s, SnBytes name, size_t *i);
/* XXH3 of its format, dims and bytes, whatever file they lie in. all, zero at first, becomes the hash of what
 * it was and of this tensor and its name. */
SN_API void sn_tensor_set_hash(const SnTensorSet *s, size_t i, uint64_t out[2], uint64_t all[2]);
/* Numbers [first, first + n), each followed by `after`, as JSON has them: with as many digits as tell them
 * apart. SN_EUNSUPPORTED: a format whose numbers this build only carries (F4, F6, C64). */
SN_API SN_MUST_CHECK SnStatus sn_tensor_set_print(const SnTensorSet *s, size_t i, uint64_t first, uint64_t n,
                                                  char after, SnText *out, SnError *err);
typedef struct SnTensorDiff {
    bool is_like, is_same; /* same format and dims; and same bytes */
    bool has_numbers;      /* dims are equal and both can be compared as numbers: */
    uint64_t ndiffer;      /* not equal, where NaN equals NaN */
    double max_abs, max_rel;
} SnTensorDiff;
SN_API void sn_tensor_set_diff(const SnTensorSet *a, size_t i, const SnTensorSet *b, size_t j,
                               SnTensorDiff *out);
typedef struct SnTensorRename { /* a `*` in `from` is any text, which stands for that in `to`; to "": left out
                                 */
    const char *from, *to;
} SnTensorRename;
typedef struct SnTensorWrite {
    uint32_t struct_size;
    const char *format;           /* of floats: "F32", "BF16", "F8_E4M3", ...; NULL: as they are */
    const SnTensorRename *rename; /* the first that fits a name */
    size_t nrename;
    uint64_t max_shard_size; /* bytes of a file of a folder; 0: no limit */
} SnTensorWrite;
/* All of them to PATH.safetensors, byte for byte what safetensors would write, or to a folder, as files with
 * an index; beside, then renamed. Metadata are those of the files, the first of each key. o may be NULL. */
SN_API SN_MUST_CHECK SnStatus sn_tensor_set_write(const SnTensorSet *s, const SnTensorWrite *o,
                                                  const char *path, SnError *err);

/* ---- text ---- */
typedef enum SnTruncation {
    SN_TRUNCATE_NONE,
    SN_TRUNCATE_LONGEST_FIRST,
    SN_TRUNCATE_ONLY_FIRST,
    SN_TRUNCATE_ONLY_SECOND
} SnTruncation;
typedef struct SnTokenizeOptions {
    uint32_t struct_size;
    bool no_special; /* leave out the special tokens of the template */
    SnTruncation truncation;
    bool truncate_left, pad, pad_left;
    int64_t max_length, stride;       /* max_length 0: the tokenizer's own */
    int64_t pad_length, pad_multiple; /* 0: longest; 0: none */
    const char *pad_token;            /* NULL: the tokenizer's own */
    /* Not NULL: texts are given as words, so many of each, one text's behind another's. Offsets are in a
     * word, and word_ids number them. */
    const int64_t *words, *pair_words;
    bool ids_only; /* ids, type_ids and attention_mask; the rest of an encoding is NULL */
} SnTokenizeOptions;

/* One encoded window; arrays of n, owned by the arena that was passed. */
typedef struct SnEncoding SnEncoding;
struct SnEncoding {
    size_t n;
    const int32_t *ids, *type_ids, *special_mask, *attention_mask, *word_ids, *sequence_ids; /* -1: none */
    const int32_t *offsets; /* [n][2], code points of the text; */
    const SnBytes *tokens;
    SnEncoding *overflow; /* next window of the same text, or NULL */
};
/* text[i] alone, or with pair[i] where pair is not NULL. out: ntext windows in the arena. */
SN_API SN_MUST_CHECK SnStatus sn_model_tokenize(SnModel *m, const SnBytes *text, const SnBytes *pair,
                                                size_t ntext, const SnTokenizeOptions *o, SnArena *arena,
                                                SnEncoding **out, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_model_decode(SnModel *m, const int64_t *ids, size_t n, bool skip_special,
                                              SnText *out, SnError *err);

/* A token to add, as in AddedToken: one that is there gets these flags, another the next free id. */
typedef struct SnAddedToken {
    const char *content;
    bool single_word, lstrip, rstrip, normalized, special;
} SnAddedToken;
typedef struct SnTokenName { /* {"pad_token", "</s>"} */
    const char *key, *token;
} SnTokenName;
typedef struct SnTokenizerEdits {
    uint32_t struct_size;
    const SnAddedToken *added;
    size_t nadded;
    const SnTokenName *names; /* which tokens are bos, eos, pad ... */
    size_t nname;
    SnBytes tokenizer; /* text of another tokenizer.json, written as it is; at NULL: none */
} SnTokenizerEdits;
/* save_pretrained: writes the tokenizer of a model (a folder or a GGUF file) to a folder, which is made, with
 * edits or NULL: tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat_template.jinja. */
SN_API SN_MUST_CHECK SnStatus sn_tokenizer_save(SnContext *ctx, const char *model, const char *folder,
                                                const SnTokenizerEdits *edits, SnError *err);

/* The programs of the tokenizer by themselves, for who binds or measures them: over one text and without
 * special tokens. encode takes `text` and gives `ids`, decode the other way. Lent until the model is closed.
 */
SN_API SN_MUST_CHECK SnStatus sn_model_codec(SnModel *m, SnPrepared *encode, SnPrepared *decode,
                                             SnError *err);

/* Sentence embeddings f32[ntext, width]: tokenizer, transformer, pooling, dense, normalize in one program. */
SN_API SN_MUST_CHECK SnStatus sn_model_embed(SnModel *m, const SnBytes *text, size_t ntext, SnResults **out,
                                             SnError *err);
/* Similarities f32[n, n] of embeddings f32[n, width], by the folder's similarity function (default: cosine).
 */
SN_API SN_MUST_CHECK SnStatus sn_model_similarity(SnModel *m, const SnView *embeddings, SnResults **out,
                                                  SnError *err);
/* Scores f32[n] or f32[n, labels] of a cross encoder. */
SN_API SN_MUST_CHECK SnStatus sn_model_rank(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n,
                                            SnResults **out, SnError *err);
/* transformers.pipeline(task)(input, **kwargs): JSON in, JSON out. kwargs may be NULL. */
SN_API SN_MUST_CHECK SnStatus sn_model_pipeline(SnModel *m, const char *task, const SnJson *input,
                                                const SnJson *kwargs, SnText *json, SnError *err);

/* ---- generation ---- */
/* Logits processors and warpers of Transformers, in the order of an array of {"class": NAME, "kwargs": {..}}:
 * tokens so far, i32 or i64[batch, n], and scores F[batch, vocab] to "scores" and their "softmax". device
 * NULL: the CPU. */
SN_API SN_MUST_CHECK SnStatus sn_logits_process(SnCompiler *cc, const char *device, const SnJson *chain,
                                                const SnView *ids, const SnView *scores, SnResults **out,
                                                SnError *err);

/* ---- generation ---- */
/* generate() of Transformers. config: keys of GenerationConfig over those of the folder, an object; or NULL.
 * ids i64[batch, seq]; mask i64[batch, seq] is 0 at padding, which is on the left; or NULL. Results:
 * sequences i64[rows, n] with the prompt, filled up with pad_token_id; of beam search also sequences_scores
 * f32[rows] and beam_indices i32[rows, new]; logits, scores f32[rows (batch * beams), steps, vocabulary]
 * where output_logits and output_scores ask for them, 0 behind the end of a row without beams. */
SN_API SN_MUST_CHECK SnStatus sn_model_generate(SnModel *m, const SnView *ids, const SnView *mask,
                                                const SnJson *config, SnResults **out, SnError *err);

/* What generation_config.json would be with these options over what the folder says: what is not set is left
 * out. */
SN_API SN_MUST_CHECK SnStatus sn_model_generation_config(SnModel *m, const SnJson *options, SnText *json,
                                                         SnError *err);

/* Rows that are generated side by side, and come and go at any time: continuous batching. What a row gets
 * does not depend on the others.
 *
 *   create ▶ add requests ▶ again and again: step, then next until it says false ▶ destroy */
typedef struct SnGenerator SnGenerator;
typedef struct SnGeneratorDesc {
    uint32_t struct_size;
    uint32_t rows;        /* that run at once, others wait; 0: 1 */
    uint32_t context;     /* tokens of a row with its prompt; 0: what the model has, at most 4096 */
    uint32_t chunk;       /* tokens of a prompt in one step; 0: 512 */
    uint64_t memory;      /* bytes for keys and values; 0: enough for all rows */
    const SnJson *config; /* as for sn_model_generate: of all requests; without beams */
    bool keep_special;    /* texts have special tokens */
    bool cut_stop;        /* texts end before a stop string, not with it and the rest of its last token */
    SnModel *assistant;   /* with the same tokens: guesses num_assistant_tokens at a time; or NULL */
    bool no_text;         /* ids alone, as of models without a tokenizer */
    /* prefix_allowed_tokens_fn: which tokens may follow ids; sets what may be, all of `allowed` is false
     * before. NULL: all of them */
    void (*allow)(void *self, uint32_t request, const int32_t *ids, size_t n, bool *allowed,
                  size_t vocabulary);
    /* Does the request end with the last of ids? Asked for each new token; NULL: no */
    bool (*stop)(void *self, uint32_t request, const int32_t *ids, size_t n);
    void *self;
} SnGeneratorDesc;
SN_API SN_MUST_CHECK SnStatus sn_generator_create(SnModel *m, const SnGeneratorDesc *d, SnGenerator **out,
                                                  SnError *err);
SN_API void sn_generator_destroy(SnGenerator *g);
/* Ids are copied. config: keys that may differ between requests (max_new_tokens, seed, temperature and other
 * numbers that the generator's config asks for, stop_strings, eos_token_id); or NULL. */
SN_API SN_MUST_CHECK SnStatus sn_generator_add(SnGenerator *g, const int32_t *ids, size_t n,
                                               const SnJson *config, uint32_t *request, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_generator_add_text(SnGenerator *g, SnBytes prompt, const SnJson *config,
                                                    uint32_t *request, SnError *err);
/* A chunk of a prompt, or the next tokens of all rows that are ready. *done: it has ended; false: budget_ns
 * have passed, call again. budget_ns 0: none. */
SN_API SN_MUST_CHECK SnStatus sn_generator_step(SnGenerator *g, uint64_t budget_ns, bool *done, SnError *err);
SN_API bool sn_generator_is_busy(const SnGenerator *g); /* there is a request that is not done */
typedef struct SnGenerated {
    uint32_t request;
    int32_t id;
    bool is_last; /* the request is done, and forgotten when the next one is taken */
    SnBytes text; /* whole characters that are new; lent until the next call */
} SnGenerated;
/* Tokens of the last step. *has: there is one. */
SN_API SN_MUST_CHECK SnStatus sn_generator_next(SnGenerator *g, SnGenerated *out, bool *has, SnError *err);
SN_API void sn_generator_drop(SnGenerator *g, uint32_t request); /* before it is done */
typedef struct SnGeneratorStats {                                /* of all requests so far */
    uint64_t prompt_tokens, kept_tokens; /* kept: known from an earlier row and not computed again */
    uint64_t new_tokens, guessed_tokens, accepted_tokens;
    uint64_t prompt_ns, new_ns; /* time of steps */
} SnGeneratorStats;
SN_API void sn_generator_stats(const SnGenerator *g, SnGeneratorStats *out);
/* Of the last step; state_bytes are those of keys, values and other states. */
SN_API void sn_generator_memory(const SnGenerator *g, SnMemoryUse *out);

/* ---- chat ---- */
typedef struct SnChatSpan { /* code points of the text */
    uint64_t begin, end;
} SnChatSpan;
typedef struct SnChatText { /* in the arena that was passed */
    SnBytes text;
    const SnChatSpan *span; /* what the assistant said, where the template marks it ({% generation %}) */
    size_t nspan;
} SnChatText;
/* Is there a chat template? */
SN_API SN_MUST_CHECK SnStatus sn_model_has_chat(SnModel *m, SnArena *arena, bool *has, SnError *err);
/* apply_chat_template of Transformers, without the tokenizer: messages is a list of {role, content, ...};
 * kwargs (or NULL) has add_generation_prompt, continue_final_message, tools, documents, chat_template (a
 * name, or a template) and whatever variables the template knows. What the template raises is SN_EINVAL, with
 * its own text as the message. */
SN_API SN_MUST_CHECK SnStatus sn_model_chat_text(SnModel *m, const SnJson *messages, const SnJson *kwargs,
                                                 SnArena *arena, SnChatText *out, SnError *err);

/* What a model wrote, as a message: parse_response of Transformers. prefix: the prompt; both with special
 * tokens. schema: a response_template; NULL: that of tokenizer_config.json, or of a family that the chat
 * template is of (SN_EUNSUPPORTED: neither). tools as for the chat template, or NULL. The object is in the
 * arena. */
SN_API SN_MUST_CHECK SnStatus sn_model_parse_response(SnModel *m, SnBytes text, SnBytes prefix,
                                                      const SnJson *schema, const SnJson *tools,
                                                      SnArena *arena, SnJson *out, SnError *err);

/* ---- conversations with a model that was compiled ahead of time ---- */
SN_API bool sn_model_talks(const SnModel *m); /* it is one: a .so that was made of a chat model */
/* A message, and its answer piece by piece; the conversation goes on until it is forgotten (sn_typed_say). */
SN_API SN_MUST_CHECK SnStatus sn_model_say(SnModel *m, SnBytes message, SnTypedSink *take, void *user,
                                           SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_model_forget(SnModel *m, SnError *err);

/* ---- other vocabularies and formats ---- */
typedef struct SnResizeOptions {
    uint32_t struct_size;
    int64_t pad_multiple; /* the number of tokens is rounded up to a multiple; 0: it is not */
    float spread; /* new rows are drawn from a normal distribution; 0: they are the mean of the others */
    uint64_t seed;
} SnResizeOptions;
/* Rows of the embedding, and of a head over words, for ntoken tokens (0: as many as there are), before the
 * model runs. Other rows stay as they are. sn_model_convert writes what results. o may be NULL. */
SN_API SN_MUST_CHECK SnStatus sn_model_resize_embeddings(SnModel *m, int64_t ntoken, const SnResizeOptions *o,
                                                         SnError *err);
typedef struct SnConvertOptions {
    uint32_t struct_size;
    const char *format;      /* of sn_convert_format; NULL: numbers as they are stored */
    uint64_t max_shard_size; /* bytes of a file of a folder; 0: no limit */
} SnConvertOptions;
/* Writes a model to PATH.gguf, PATH.safetensors or a folder; beside, then renamed. Memory holds a piece of a
 * tensor. Matrices take the format, what is small stays in f32 (in folders: as it is). In folders a tensor in
 * blocks is one of bytes whose name ends in their type, ".Q8_0"; blocks without a format become f32. o may be
 * NULL. */
SN_API SN_MUST_CHECK SnStatus sn_model_convert(SnModel *m, const SnConvertOptions *o, const char *path,
                                               SnError *err);
SN_API uint64_t sn_parse_size(const char *text); /* "5GB", "500MiB", "1000": bytes; 0: malformed */
SN_API bool sn_convert_format(size_t i, const char **name); /* the i-th one; false past the end */

/* ---- ahead of time ---- */
typedef struct SnEmitOptions {
    uint32_t struct_size;
    const char *levels;       /* CPU levels inside: "v3,v4,amx"; NULL: all */
    bool weights_beside;      /* in a file of their own beside the program */
    const char *bindings;     /* wrappers beside: "cpp,csharp,lua,python,rust"; NULL: none */
    uint32_t max_text;        /* bytes of a text that a context makes room for; 0: 1024 */
    const char *const *input; /* ninput or nwant > 0: a program over tensors, as sn_model_prepare has it */
    size_t ninput;
    const char *const *want;
    size_t nwant;
    SnEmitSizes *sizes; /* filled; or NULL */
    uint32_t context;   /* models that talk: tokens of a conversation; 0: what it has, 2048 at most */
    const char *system; /* and the system's message; NULL: none, or the chat template's own */
} SnEmitOptions;
/* Compiles a task to PATH.(so|o|a|c) and a header beside it (sn_emit, runtime/typed.h). task: one of the
 * pipelines', or "embed", "rank" (cross encoders), "tensors"; NULL: what the folder is made for. o may be
 * NULL.
 */
SN_API SN_MUST_CHECK SnStatus sn_model_emit(SnModel *m, const char *task, const SnEmitOptions *o,
                                            const char *path, SnError *err);

#endif
