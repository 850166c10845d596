/* arch.h -- what GGUF files and Hub folders call the same things: one row an architecture, read in both
 * directions. Internal to frontends/gguf/.
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names: gguf-py/gguf/constants.py of
 * llama.cpp. */
#ifndef SN_GGUF_ARCH_H
#define SN_GGUF_ARCH_H

#include "frontends/gguf/gguf.h"

/* Dims of a tensor in a file beside those of the checkpoint. */
typedef enum SnGgufShape {
    SN_GGUF_AS_IS,
    SN_GGUF_NO_MIDDLE, /* [n, k] is [n, 1, k] */
    SN_GGUF_COLUMN,    /* [n, 1] is [n] */
    SN_GGUF_GROUPED    /* [n_groups, n] is [n_groups * n] */
} SnGgufShape;

/* A key, or the stem of a tensor's name or all of it: # is a number, @ which part along the first axis. */
typedef struct SnGgufPair {
    const char *gguf, *hf;
    enum {
        SN_GGUF_SAME,
        SN_GGUF_BY_HEAD, /* rows of a checkpoint are q, k, v of one group of heads after the other */
        SN_GGUF_TURNED,  /* and its weights are [in, out] */
        SN_GGUF_BESIDE,  /* a norm: only where files have a second one, blk.0.attn_norm_2 */
        SN_GGUF_DECAY    /* its numbers are -exp of the checkpoint's */
    } change;
    SnGgufShape shape;
} SnGgufPair;

#define SN_GGUF_PERMUTED   1u /* rows of q and k are in the order of turning pairs */
#define SN_GGUF_ONE_ADDED  2u /* to weights of norms */
#define SN_GGUF_GEMMA      4u
#define SN_GGUF_EXPERTS    8u /* only files with experts */
#define SN_GGUF_NO_EXPERTS 16u
#define SN_GGUF_NO_ROPE    32u  /* positions are learned, or scores fall with distance */
#define SN_GGUF_TIED       64u  /* the head is the embedding unless config.json says otherwise */
#define SN_GGUF_PART       128u /* the part of a head that turns is always said */
#define SN_GGUF_STATES     256u /* state spaces: no heads, no layers behind them */

typedef struct SnGgufArch {
    const char *gguf, *type, *class_name;
    uint32_t flags;
    const SnGgufPair *key, *name; /* of its own, before the common ones; ended by a row without names */
    const char *more;             /* further members of config.json */
} SnGgufArch;

const SnGgufArch *sn_gguf_arch(const char *gguf, bool has_experts); /* NULL: not known */
const SnGgufArch *sn_gguf_arch_of_type(const char *model_type);
/* i-th pair of an architecture, its own first; NULL: past the end. */
const SnGgufPair *sn_gguf_key(const SnGgufArch *a, size_t i);
const SnGgufPair *sn_gguf_name(const SnGgufArch *a, size_t i);

/* Matches a whole name against a pattern; lends what stands for # and for @. */
typedef struct SnGgufMatch {
    SnBytes number, part;
} SnGgufMatch;
bool sn_gguf_match(const char *pattern, SnBytes name, SnGgufMatch *out);
/* The pattern with these numbers, and the suffix behind it, in the arena. */
SN_MUST_CHECK SnStatus sn_gguf_fill(SnArena *arena, const char *pattern, const SnGgufMatch *m, SnBytes suffix,
                                    SnBytes *out, SnError *err);
/* Bytes of the ".weight" or ".bias" that a name ends in, or 0. */
size_t sn_gguf_suffix(SnBytes name);

#endif
