/* models.c -- the list of architectures: one line a family. */
#include "frontends/hf/layers.h"

/* clang-format off */
#define SN_FAMILIES(X) \
    X(albert) \
    X(bert) \
    X(bloom) \
    X(cohere) \
    X(deberta_v2) \
    X(deepseek_v3) \
    X(distilbert) \
    X(electra) \
    X(falcon) \
    X(gemma) \
    X(glm) \
    X(gpt2) \
    X(gpt_bigcode) \
    X(gpt_neo) \
    X(gpt_neox) \
    X(gpt_oss) \
    X(gptj) \
    X(llama) \
    X(mamba) \
    X(modernbert) \
    X(mpnet) \
    X(mpt) \
    X(nemotron) \
    X(olmo) \
    X(opt) \
    X(persimmon) \
    X(phi) \
    X(phi3) \
    X(resnet) \
    X(roberta) \
    X(stablelm) \
    X(starcoder2) \
    X(t5) \
    X(vit)
/* clang-format on */

#define SN_X(family) extern const SnArch sn_arch_##family[];
SN_FAMILIES(SN_X)
#undef SN_X

const SnArch *const sn_all_archs[] = {
#define SN_X(family) sn_arch_##family,
    SN_FAMILIES(SN_X)
#undef SN_X
        NULL,
};
