/* config.h -- config.json of a model folder: any key by name, with the aliases that architectures use, and
 * defaults. */
#ifndef SN_HF_CONFIG_H
#define SN_HF_CONFIG_H

#include "compiler/graph.h"
#include "runtime/json.h"

typedef struct SnConfig {
    const char *path; /* for messages */
    const SnJson *json;
    const char *model_type;
    const char *architecture; /* architectures[0], or "" */
    SnDtype dtype; /* of the checkpoint: "dtype", or the older "torch_dtype"; SN_NODTYPE: not said */
    SnArena arena;
} SnConfig;

/* bytes: config.json. Both the form of transformers 5 and the older one. */
SN_MUST_CHECK SnStatus sn_config_parse(SnContext *ctx, const char *path, SnBytes bytes, SnConfig *out,
                                       SnError *err);
void sn_config_clear(SnConfig *c);

/* By name or by one of its aliases ("hidden_size": n_embd, dim, d_model ...). NULL: absent or null. */
const SnJson *sn_config_get(const SnConfig *c, const char *key);
int64_t sn_config_int(const SnConfig *c, const char *key, int64_t otherwise);
double sn_config_float(const SnConfig *c, const char *key, double otherwise);
/* Number i of a list; where there is no list: otherwise. */
int64_t sn_config_item(const SnConfig *c, const char *key, uint32_t i, int64_t otherwise);
bool sn_config_bool(const SnConfig *c, const char *key, bool otherwise);
const char *sn_config_string(const SnConfig *c, const char *key, const char *otherwise);
/* A key that must be there, at least 1 and at most limit. */
SN_MUST_CHECK SnStatus sn_config_need(const SnConfig *c, const char *key, int64_t limit, int64_t *out,
                                      SnError *err);
int64_t sn_config_labels(const SnConfig *c);               /* num_labels: of id2label, or num_labels, or 2 */
const char *sn_config_label(const SnConfig *c, int64_t i); /* id2label[i], or NULL */

#endif
