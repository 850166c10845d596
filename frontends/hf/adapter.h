/* adapter.h -- what an adapter changes in a model that is being built. Internal to frontends/. */
#ifndef SN_HF_ADAPTER_H
#define SN_HF_ADAPTER_H

#include "frontends/hf/layers.h"
#include "frontends/peft.h"

/* How the tensors of an adapter come into a graph. */
typedef enum SnAdapterForm {
    SN_ADAPTER_MERGED, /* with the weights as one matrix, where those are numbers and no blocks */
    SN_ADAPTER_INPUTS, /* as inputs of the program */
    SN_ADAPTER_LEARNT  /* as what is trained (SnBuild.trained) */
} SnAdapterForm;

/* x w^T + bias of the module of the scope at hand, as the adapter has it. turned: the file has w the other
 * way round. */
SnValue sn_nn_adapted(SnBuild *b, const char *quant, SnValue x, SnValue w, SnValue bias, bool turned);
/* Rows of a table likewise. */
SnValue sn_nn_adapted_rows(SnBuild *b, SnValue ids, SnValue table);
/* y [rows, out], what experts say of x [rows, in] by the parameter `name` of all of them, as the adapter has
 * it. expert: i64[rows], of nexpert. */
SnValue sn_nn_adapted_experts(SnBuild *b, const char *name, SnValue x, SnValue y, SnValue expert,
                              int64_t nexpert);
/* The adapter's own copy of a parameter by its full name; none: it has none. t: that of the file, which a new
 * adapter begins with; or NULL. */
SnValue sn_adapter_param(SnBuild *b, const char *full, const SnStTensor *t);
/* The same with the rows that the adapter has of its own (trainable_token_indices). v: the parameter. */
SnValue sn_adapter_row_values(SnBuild *b, const char *full, const SnStTensor *t, SnValue v);
/* Makes room for virtual tokens in the inputs. */
void sn_adapter_begin(SnBuild *b);
/* Virtual tokens in front of words; keys or values in front of those of a layer. As they are, where the
 * adapter has none. */
SnValue sn_adapter_words(SnBuild *b, SnValue words);
SnValue sn_adapter_past(SnBuild *b, SnValue x, bool is_value);
/* params.c: what is made between these of parameters alone is made outside of layers, so that a program can
 * give it out; where tensors are learnt it stays inside, where gradients reach it. */
uint32_t sn_adapter_outside(SnBuild *b);
void sn_adapter_inside(SnBuild *b, uint32_t scope);
/* A leaf of b->trained by its name, whose first value is param. */
SnValue sn_nn_trained(SnBuild *b, const char *name, SnValue param);
bool sn_nn_in_blocks(SnBuild *b, SnValue w);
/* The file's tensor of a parameter, as sn_nn_param finds it; b: weights and arch. NULL: there is none. */
const SnStTensor *sn_nn_file_tensor(const SnBuild *b, const char *full);

/* Tells programs apart: adapters with one signature share those that take tensors as inputs. */
uint64_t sn_adapter_signature(const SnAdapter *a, SnAdapterForm form);
/* A tensor by its name; false: there is none. */
bool sn_adapter_find(const SnAdapter *a, const char *name, SnView *out);
/* Is it a copy of an adapter's tensor among a model's weights, which no file of the model has? */
bool sn_adapter_is_copy(SnBytes name);
size_t sn_adapter_count(const SnAdapter *a);
const char *sn_adapter_tensor(const SnAdapter *a, size_t i, SnView *out); /* its name; lent */
/* After a whole model was built: were all tensors of the file asked for? */
void sn_adapter_built(SnBuild *b);
/* Does what is trained hold a tensor of this name that no file of the adapter has as it is? */
bool sn_adapter_keeps(const SnAdapter *a, const char *name);
bool sn_adapter_keeps_any(const SnAdapter *a);
int64_t sn_adapter_tokens(const SnAdapter *a); /* virtual ones in front of the words */
/* Do pads in front of a row have places behind virtual tokens, as PEFT has it of prompts? */
bool sn_adapter_counts_pads(const SnAdapter *a);
/* Adapters of which each row of a batch has its own, by the input adapter_rows i64[batch]; 0: it is one. */
int64_t sn_adapter_rows(const SnAdapter *a);

#endif
