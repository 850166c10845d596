/* watermark.c -- scores of the next token that leave a mark in a text: green lists and SynthID.
 *
 * As the processors of Transformers 5.23 (generation/logits_process.py), whose detectors find it. What a
 * row's tokens were is all that they go by: nothing is carried. */
#include "ops/help.h"
#include "ops/host/greenlist.h"

#include <math.h>

/* ---- green lists ---- */

static SnRef scratch_greenlist(SnGraph *g, const SnCall *c)
{
    SnStore *const s = sn_graph_store(g);
    const SnRef one = sn_const_i64(s, (int64_t)SN_GREENLIST_SCRATCH(1));
    return sn_dim_mul(s, sn_value_type(g, c->in[2])->dims[1], one);
}

static SnStatus infer_greenlist(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    const double ratio = sn_call_float(c, "ratio");
    const int64_t key = sn_call_int(c, "key");
    SN_CHECK(ratio > 0 && ratio < 1 && key >= 0 && key <= UINT32_MAX && sn_call_int(c, "width") >= 1, err,
             SN_EINVAL, "greenlist: ratio, key or width is out of range");
    SN_TRY(sn_graph_check(g, err));
    *out = sn_type_tensor(sn_graph_store(g), SN_BOOL, 2, sn_value_type(g, c->in[2])->dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

static SnValue watermark(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0];
    const bool is_self = sn_call_int(c, "self") != 0;
    const SnValue green = sn_op_greenlist(g, c->in[1], c->in[2], sn_cast(g, x, SN_F32),
                                          sn_call_float(c, "ratio"), sn_call_int(c, "key"),
                                          sn_call_int(c, "width"), is_self, is_self ? SN_GREENLIST_MEMO : 0);
    return sn_where(g, green, sn_add(g, x, sn_num(g, sn_call_float(c, "bias"))), x);
}

/* ---- SynthID; Dathathri et al. 2024, doi:10.1038/s41586-024-08025-4 ---- */

/* One more word into a hash. */
static SnValue accumulate(SnGraph *g, SnValue hash, SnValue word)
{
    const SnValue by = sn_const_int(g, SN_U64, 6364136223846793005), one = sn_const_int(g, SN_U64, 1);
    return sn_add(g, sn_mul(g, sn_add(g, hash, sn_cast(g, word, SN_U64)), by), one);
}

/* Of the `n` tokens before `end` i64[b, k] of each row, u64[b, k]; those before begin[b, 1] count as 0. */
static SnValue context_hash(SnGraph *g, SnValue ids, SnValue begin, SnValue end, int64_t n)
{
    SnValue dims[2], hash = sn_const_int(g, SN_U64, 1);
    (void)sn_dims(g, end, dims);
    for (int64_t j = 0; j < n; j++) {
        const SnValue place = sn_add(g, end, sn_size(g, j - n));
        const SnValue at[] = {sn_iota(g, SN_I64, 0, 2, dims), place};
        const SnValue id = sn_gather(g, ids, 2, (const int[]){0, 1}, at, NULL);
        hash = accumulate(g, hash, sn_where(g, sn_ge(g, place, begin), id, sn_size(g, 0)));
    }
    return hash;
}

/* A number of 0 or 1 for each token of the vocabulary, at one depth. */
static SnValue coin(SnGraph *g, const SnCall *c, SnValue hash, int64_t depth)
{
    const SnValue key = sn_drop_axis(g, sn_slice_axis(g, c->in[5], 0, sn_size(g, depth), sn_size(g, 1)), 0);
    const SnValue mixed = sn_bitcast(g, accumulate(g, hash, key), SN_I64);
    const SnValue at = sn_mod(g, mixed, sn_dim(g, c->in[4], 0));
    return sn_cast(g, sn_gather(g, c->in[4], 1, (const int[]){0}, &at, NULL), SN_F32);
}

/* softmax(x), tilted depth by depth, as logarithms. */
static SnValue tilt(SnGraph *g, const SnCall *c, SnValue x, SnValue hash)
{
    SnValue p = sn_softmax(g, x, -1);
    for (int64_t i = 0; i < sn_call_int(c, "depth"); i++) {
        const SnValue one = coin(g, c, hash, i);
        const SnValue mass = sn_reduce(g, "add", sn_mul(g, one, p), 1, &(int){1}, true);
        p = sn_mul(g, p, sn_sub(g, sn_add(g, one, sn_num(g, 1)), mass));
    }
    const SnValue logp = sn_log(g, p), is_finite = sn_lt(g, sn_abs(g, logp), sn_num(g, HUGE_VAL));
    return sn_where(g, is_finite, logp, sn_num(g, -3.4028234663852886e38));
}

/* What is hashed is the ngram - 1 tokens before, of those that were generated; where the same stood before
 * (among the last `history` ones), scores stay. */
static SnValue synthid(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_cast(g, c->in[0], SN_F32), ids = sn_cast(g, c->in[1], SN_I64);
    const SnValue length = sn_insert_axis(g, sn_cast(g, c->in[2], SN_I64), 1);
    const SnValue begin = sn_insert_axis(g, sn_cast(g, c->in[3], SN_I64), 1);
    const int64_t ngram = sn_call_int(c, "ngram"), first = sn_call_int(c, "skip_first") ? ngram - 1 : 0;
    const SnValue now = context_hash(g, ids, begin, length, ngram - 1);
    const SnValue dims[] = {sn_dim(g, x, 0), sn_dim(g, x, 1)};
    const SnValue hash = accumulate(g, now, sn_iota(g, SN_I64, 1, 2, dims));
    const SnValue place = sn_iota(g, SN_I64, 1, 2, (SnValue[]){dims[0], sn_dim(g, ids, 1)});
    const SnValue oldest = sn_max(g, sn_add(g, begin, sn_size(g, first)),
                                  sn_sub(g, length, sn_size(g, sn_call_int(c, "history"))));
    const SnValue is_before = sn_and(g, sn_ge(g, place, oldest), sn_lt(g, place, length));
    const SnValue same = sn_eq(g, context_hash(g, ids, begin, place, ngram - 1), now);
    const SnValue is_new = sn_not(g, sn_reduce(g, "or", sn_and(g, same, is_before), 1, &(int){1}, true));
    const SnValue has_begun = sn_ge(g, sn_sub(g, length, begin), sn_size(g, first));
    return sn_like(g, sn_where(g, sn_and(g, is_new, has_begun), tilt(g, c, x, hash), x), c->in[0]);
}

const SnOp sn_watermark_ops[] = {
    {.sig =
         "greenlist(ids: I[b, c], length: I2[b], scores: f32[b, v]; ratio: f64, key: int, width: int, self: "
         "bool = false, memo: int = 0) -> ?",
     .run = sn_greenlist,
     .symbol = "sn_greenlist",
     .infer = infer_greenlist,
     .scratch = scratch_greenlist,
     .doc = "tokens that a watermark makes likelier, bool[b, v]"},
    {.sig = "logits_watermark(scores: F[b, v], ids: I[b, c], length: I2[b]; ratio: f64 = 0.25, bias: f64 = "
            "2, key: "
            "int = 15485863, width: int = 1, self: bool = false) -> F[b, v]",
     .expand = watermark,
     .doc = "adds bias to tokens that are green; Kirchenbauer et al. 2023"},
    {.sig = "logits_synthid(scores: F[b, v], ids: I[b, c], length: I2[b], begin: I3[b], table: u8[n], keys: "
            "i64[d]; ngram: int, depth: int, history: int = 1024, skip_first: bool = false) -> F[b, v]",
     .expand = synthid,
     .doc = "tilts scores by what the tokens before and d keys hash to; Dathathri et al. 2024"},
    {0},
};
