/* pickle.h -- tensors of pytorch_model.bin: what torch.save writes of a state_dict. */
#ifndef SN_PICKLE_H
#define SN_PICKLE_H

#include "frontends/hf/safetensors.h"

/* The tensors as those of a .safetensors file, whose close closes it. Only what tensors are made of is read:
 * any other opcode, class or function of the pickle is SN_EUNSUPPORTED, by name; nothing is ever called.
 * Bytes must outlive *out. */
SN_MUST_CHECK SnStatus sn_pickle_parse(SnContext *ctx, const char *name, SnBytes bytes, SnSafetensors *out,
                                       SnError *err);
SN_MUST_CHECK SnStatus sn_pickle_open(SnContext *ctx, const char *path, SnSafetensors *out, SnError *err);

#endif
