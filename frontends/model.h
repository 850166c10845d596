/* model.h -- an open model as the rooms of frontends/ see it: its files, the programs that were compiled for
 * it, and its graph as a part of a larger one. */
#ifndef SN_MODEL_H
#define SN_MODEL_H

#include "compiler/eval.h"
#include "frontends/hf/folder.h"
#include "frontends/hf/layers.h"
#include "runtime/typed.h"

/* A program of a model, kept with it. */
typedef struct SnModelProgram {
    const char *key;  /* one that begins with @ names an adapter's signature itself */
    uint64_t adapter; /* signature of what is in it; 0: none */
    SnProgram *
        program; /* and its instance, if no dims are bound at create; or, for device "eval", only the graph */
    SnInstance *instance;
    SnGraph *graph;
    SnEvalResult *evaluated; /* results of the last run on device "eval" */
    const SnIdRange *range;  /* what ids must be in, from the tables that they index */
    size_t nrange;
    int64_t max_seq;        /* positions that the model has; 0: no limit */
    const char *specialise; /* as in SnCompileOptions, with the next ones; set by who fills the graph */
    const char *shape;
    uint64_t memory_budget;
} SnModelProgram;

struct SnModel {
    SnContext *ctx;
    SnCompiler *cc;
    const char *folder;
    SnFolder *files;                    /* NULL: text or opened */
    SnFile *text;                       /* a program in text form that stands for a folder, or NULL */
    SnModelProgram *opened;             /* a shared object that stands for a folder, or NULL */
    SnTyped *talk;                      /* its conversation; NULL: it was not talked to */
    SnConfig config;                    /* json NULL: the folder has no config.json */
    SnWeights *weights;                 /* NULL until sn_model_need */
    const SnArch *arch;                 /* of the head; NULL until sn_model_need */
    const char *head;                   /* task that was asked for, or NULL */
    const char *device;                 /* "cpu", "interp", ..., or "eval": the oracle of compiler/eval.h */
    SnDtype dtype;                      /* computed in; SN_NODTYPE until sn_model_need: the checkpoint's */
    SnDtype kv_dtype;                   /* as in SnModelOptions */
    uint32_t flags;                     /* SN_EXACT */
    int64_t num_labels;                 /* of a new head; 0: config's */
    const char *quant, *head_quant;     /* block formats that weights become; NULL: as stored */
    SnBytes tokenizer;                  /* table; {NULL, 0}: not read yet */
    struct SnAdapter *adapter;          /* that it uses, or NULL */
    bool is_merged;                     /* with its weights */
    uint64_t nadapter;                  /* that there were */
    const char *emit_dir, *emit_levels; /* as in SnModelOptions */
    bool is_changed;                    /* config is not what the folder says */
    SN_VEC(SnModelProgram *) program;
    SnArena arena; /* lives as long as the model */
};

/* Finds the architecture and opens the weights: what a tokenizer alone does not need. Cheap when done. */
SN_MUST_CHECK SnStatus sn_model_need(SnModel *m, SnError *err);

/* ---- a shared object in the place of a folder (opened.c) ---- */
SN_MUST_CHECK SnStatus sn_model_open_program(SnModel *m, SnError *err); /* fills m->opened */
SnTypedKind sn_opened_kind(const SnModel *m);
const char *sn_opened_task(const SnModel *m); /* "embed", "text-classification", ..., "tensors" */
/* SN_EUNSUPPORTED, if it was compiled for something else. */
SN_MUST_CHECK SnStatus sn_opened_need(const SnModel *m, SnTypedKind kind, SnError *err);
SN_MUST_CHECK SnStatus sn_opened_inspect(SnModel *m, SnText *json, SnError *err);

/* ---- the graph as a part of a larger one ---- */
typedef struct SnModelPart {
    const char *head; /* class name or task ("feature-extraction": the base model); NULL: the model's own */
    const SnNamedValue *in; /* values that stand for inputs: input_ids, attention_mask ...; ids are i64 */
    size_t nin;
    const char *const *want; /* results; nwant 0: every output of the head */
    size_t nwant;
    SnPast *past;       /* built in the cached form; or NULL */
    SnTrained *trained; /* as in SnBuild; or NULL */
    SnLossForm *form;   /* as in SnBuild; or NULL */
    SnValue noise;      /* as in SnBuild; or none */
    double neftune_alpha;
    SnDtype dtype;      /* that it computes in; SN_NODTYPE: the model's */
    bool takes_adapter; /* its tensors are inputs of the program, bound by sn_model_run */
    SnNamedValues out;  /* filled: f32; sn_named_value finds one by name */
    const SnIdRange *range;
    size_t nrange;
    int64_t max_seq;
} SnModelPart;
/* Builds a head into g, after sn_model_need. Errors stick to the graph. */
void sn_model_build(SnModel *m, SnGraph *g, SnModelPart *part);
void sn_model_part_clear(SnModel *m, SnModelPart *part);
/* gradients.c: the same, with gradients of its loss among what is wanted: "grad.NAME", or "grad.*" for all.
 */
bool sn_wants_gradients(const char *const *want, size_t n);
void sn_model_build_gradients(SnModel *m, SnGraph *g, SnModelPart *part);

/* ---- inputs ---- */
/* What is known of an input before it is there. */
typedef struct SnInputShape {
    SnDtype dtype;
    int ndim;
    const char *symbol[SN_MAX_RANK]; /* or NULL: */
    int64_t dims[SN_MAX_RANK];
} SnInputShape;
/* Of an input of this name, as it comes with the others. */
SN_MUST_CHECK SnStatus sn_input_shape(const SnArch *arch, const SnNamedTensor *t, const SnNamedTensor *in,
                                      size_t nin, SnInputShape *s, SnError *err);
/* An input as it usually comes, without data: whole numbers with dims of 1, images as large as the config
 * says. */
SnNamedTensor sn_input_usual(const SnModel *m, const char *name);
/* Which inputs usually come: what is read, its mask, what a decoder beside an encoder reads. */
size_t sn_input_names(const SnModel *m, const char *const **name);
/* i64 or f32; [micro, ..], as many as there are, where has_micros. */
SnValue sn_input_make(SnGraph *g, const char *name, const SnInputShape *s, bool has_micros);

/* What emits a program of the model: o says how, what says which functions it has. */
SN_MUST_CHECK SnStatus sn_model_emit_program(SnModel *m, const SnModelProgram *p, const SnTask *what,
                                             const SnEmitOptions *o, const char *path, SnError *err);

/* ---- results ---- */
/* Room for n tensors; add copies a view, lists too. */
SN_MUST_CHECK SnStatus sn_results_create(SnContext *ctx, size_t n, SnResults **out, SnError *err);
SN_MUST_CHECK SnStatus sn_results_add(SnResults *r, const char *name, const SnView *v, SnError *err);
/* A dense tensor of v's dtype and dims, zeroed, to be filled. */
SN_MUST_CHECK SnStatus sn_results_reserve(SnResults *r, const char *name, const SnView *v, SnError *err);

/* ---- programs ---- */
/* As sn_model_forward, by another head of the checkpoint: a class name or task; NULL: the model's own. */
SN_MUST_CHECK SnStatus sn_model_forward_head(SnModel *m, const char *head, const SnNamedTensor *in,
                                             size_t nin, const char *const *want, size_t nwant,
                                             SnResults **out, SnError *err);
/* The task of the models that a task runs on ("ner": token-classification); any other one is its own. NULL:
 * it runs on any. */
const char *sn_task_head(const char *task);
/* Fills a graph, whose source is the weights already: inputs, outputs. Errors stick to the graph. */
typedef void SnModelFill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user);
/* Makes p->graph; the caller destroys it, whatever happened. */
SN_MUST_CHECK SnStatus sn_model_fill(SnModel *m, SnModelFill *fill, void *user, SnModelProgram *p,
                                     SnError *err);
/* The graph that sn_model_prepare compiles, as sn_model_fill makes it. */
SN_MUST_CHECK SnStatus sn_model_fill_forward(SnModel *m, const char *const *input, size_t ninput,
                                             const char *const *want, size_t nwant, SnModelProgram *p,
                                             SnError *err);
void sn_model_drop_programs(SnModel *m); /* its weights are other ones */
/* Are the tensors of its adapter inputs of programs? Then how the keys of those begin. */
bool sn_model_takes_adapter(const SnModel *m);
void sn_model_key(const SnModel *m, SnText *key);
SnModelProgram *sn_model_find_program(const SnModel *m, const char *key); /* NULL: not made yet */
/* The program of this key; made at the first call. One that reads weights comes after sn_model_need. */
SN_MUST_CHECK SnStatus sn_model_program(SnModel *m, const char *key, SnModelFill *fill, void *user,
                                        SnModelProgram **out, SnError *err);
/* Binds what the program takes of the inputs, runs it, copies every output. */
SN_MUST_CHECK SnStatus sn_model_run(SnModel *m, SnModelProgram *p, const SnNamedTensor *in, size_t nin,
                                    SnResults **out, SnError *err);
/* The same by an entry of a compiled program, whose input ENTRY.NAME is NAME. out NULL: nothing is copied. */
SN_MUST_CHECK SnStatus sn_model_run_entry(SnModel *m, SnModelProgram *p, const char *entry,
                                          const SnNamedTensor *in, size_t nin, SnResults **out, SnError *err);

/* *out = r where all went well, else r goes; returns st. */
SN_MUST_CHECK SnStatus sn_results_finish(SnStatus st, SnResults *r, SnResults **out);

#endif
