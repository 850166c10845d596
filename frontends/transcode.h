/* transcode.h -- numbers of tensors in another form, a piece at a time: what `sinter convert` writes.
 * Internal to frontends/. */
#ifndef SN_TRANSCODE_H
#define SN_TRANSCODE_H

#include "frontends/hf/weights.h"

typedef enum SnRowOrder {
    SN_ROWS_KEPT,
    SN_ROWS_TO_PAIRS,   /* of each head: first, second half ▶ turning pairs */
    SN_ROWS_FROM_PAIRS, /* the way back */
    SN_ROWS_TO_PARTS,   /* [group][q.., k, v] ▶ all q, all k, all v */
    SN_ROWS_FROM_PARTS,
    SN_TRANSPOSED
} SnRowOrder;

/* A tensor that is made of others. */
typedef struct SnRecode {
    const SnStTensor *const *part; /* alike; behind each other */
    size_t npart;
    const SnGgmlType *to; /* NULL: bytes as they are */
    SnRowOrder order;
    int64_t groups, q_rows, kv_rows; /* PAIRS: heads in groups; PARTS: rows of a group that are q, k */
    float shift;                     /* added to each number */
    bool is_decay;                   /* each becomes -exp of it */
} SnRecode;

typedef struct SnTranscoder SnTranscoder;
/* device: where programs run, "cpu". Source bytes that were read are given back (w). */
SN_MUST_CHECK SnStatus sn_transcoder_create(SnCompiler *cc, const char *device, SnWeights *w,
                                            SnTranscoder **out, SnError *err);
void sn_transcoder_destroy(SnTranscoder *t);
/* Bytes that it becomes; false: rows are no whole blocks, or it overflows. */
bool sn_recode_size(const SnRecode *r, size_t *out);
/* Numbers by the name of their form in any format: GGML's types and floats of 8 bits; NULL: none of these. */
const SnGgmlType *sn_number_type(const char *format);
/* Can its numbers be read? Whole numbers cannot. */
bool sn_is_recodable(const SnStTensor *t);
SN_MUST_CHECK SnStatus sn_transcode(SnTranscoder *t, const SnRecode *r, SnOutFile *out, SnError *err);

#endif
