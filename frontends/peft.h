/* peft.h -- adapters in the format of PEFT: adapter_config.json and adapter_model.safetensors beside a model.
 *
 * A model uses one adapter at a time, or none. Where its tensors go in as inputs (sn_model_forward), adapters
 * of one config share a program and are changed between two runs; merged, they are added to the weights when
 * a program is loaded, and taking them off is exact. A training that is created while a model uses an adapter
 * learns the adapter's tensors alone. An adapter is closed before its model. */
#ifndef SN_PEFT_H
#define SN_PEFT_H

#include "frontends/hub.h"

typedef struct SnAdapter SnAdapter;

/* peft_type LORA, IA3, PROMPT_TUNING, PREFIX_TUNING, P_TUNING; from a folder. */
SN_API SN_MUST_CHECK SnStatus sn_adapter_open(SnModel *m, const char *folder, SnAdapter **out, SnError *err);
/* A new one, of a config with the keys of adapter_config.json; its numbers follow from the seed. */
SN_API SN_MUST_CHECK SnStatus sn_adapter_create(SnModel *m, const SnJson *config, uint64_t seed,
                                                SnAdapter **out, SnError *err);
/* add_weighted_adapter: LoRA adapters of one model as a new one. options (or NULL) has combination_type (svd
 * if it is not given, linear, cat, ties, dare_linear, dare_ties, magnitude_prune, and the last four with
 * _svd), svd_rank, density, majority_sign_method and, where weight is NULL, weights. With combination_type
 * rows each row of a batch has one of them, by the input adapter_rows i64[batch], or the key of a
 * GenerationConfig: 0 none, 1 the first. */
SN_API SN_MUST_CHECK SnStatus sn_adapter_combine(SnAdapter *const *a, const double *weight, size_t n,
                                                 const SnJson *options, SnAdapter **out, SnError *err);
SN_API void sn_adapter_close(SnAdapter *a); /* NULL is taken */
/* What the model computes from now on; NULL: without. merged: as one matrix with the weights. */
SN_API void sn_model_adapt(SnModel *m, SnAdapter *a, bool merged);
/* Takes over what has the name of one of its tensors, as sn_training_state gives it; the rest is passed over.
 */
SN_API SN_MUST_CHECK SnStatus sn_adapter_set(SnAdapter *a, const SnNamedTensor *state, size_t n,
                                             SnError *err);
/* One that began as pissa or olora is written as a LoRA of twice the rank, which the model takes as it is. */
SN_API SN_MUST_CHECK SnStatus sn_adapter_save(SnAdapter *a, const char *folder, SnError *err);
/* merge_and_unload: the model's own weights take it up, for good, before the model runs; sn_model_convert
 * writes them. */
SN_API SN_MUST_CHECK SnStatus sn_model_merge(SnModel *m, SnAdapter *a, SnError *err);
/* "trainable params: 294,912 || all params: 124,734,720 || trainable%: 0.2364" */
SN_API SN_MUST_CHECK SnStatus sn_adapter_report(const SnAdapter *a, SnText *line, SnError *err);

#endif
