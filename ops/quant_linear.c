/* quant_linear.c -- products with weights in blocks: x is rounded to 8 bits in blocks of 32, sums of a block
 * are whole numbers, so they are exact, and are scaled and added in f32 in rising order of blocks.
 *
 *   y[r, n] = sum over groups j of (scale[n, j] * d[r, j]) * sum over k in j of (codes[n, k] - zero) * q[r,
 * k]
 *             + low[n, j] * (d[r, j] * sum over k in j of q[r, k])
 *
 * by fma from zero, for each group the first term, then the second. Weights lie in panels of 16 outputs:
 *
 *   codes  u32[panel, block of 32 k, bits, 16]   a word a lane; bits are planes of 8, 4, 2 and 1 bits. Word j
 *          of a plane of p bits has in each of its bytes, one for each of 4 k, the codes of the groups of
 * four (8 / p) j .. (8 / p) (j + 1) - 1, the first lowest scale, low, coarse, coarse_low  [panel, group, 16]
 *
 * and rows of x are records, u32[row, block, 12]: 32 codes i8, d f32, the sum of the codes i32, and those of
 * both halves. quantize_rows and product_blocks have loops of their own (gemm_quant.c). */
#include "ops/quant.h"

#define LANES  16
#define BLOCK  32
#define GROUPS 8  /* of four k in a block */
#define RECORD 12 /* words */

static SnValue word(SnGraph *g, uint32_t v)
{
    return sn_const_int(g, SN_U32, (int64_t)v);
}

static SnValue reshaped(SnGraph *g, SnValue x, int n, const int64_t *dims)
{
    SnValue v[SN_MAX_RANK];
    for (int i = 0; i < n; i++)
        v[i] = dims[i] < 0 ? sn_dim(g, x, 0) : sn_size(g, dims[i]);
    return sn_reshape(g, x, n, v);
}

/* ---- x ---- */

static SnValue sum_words(SnGraph *g, SnValue codes)
{
    return sn_bitcast(g, sn_sum_of(g, sn_cast(g, codes, SN_I32), 2), SN_U32);
}

/* d = max |x| / 127, q = x * (127 / max |x|) rounded; what is nearly zero is zero. */
static SnValue quantize_rows(SnGraph *g, const SnCall *c)
{
    const SnValue x = sn_cast(g, sn_in_blocks(g, c->in[0], BLOCK), SN_F32);
    const SnValue top = sn_max_of(g, sn_abs(g, x), 2), zero = sn_num(g, 0), most = sn_num(g, 127);
    const SnValue is_zero = sn_lt(g, top, sn_num(g, 1e-30));
    const SnValue by = sn_where(g, is_zero, zero, sn_div(g, most, top));
    const SnValue q = sn_cast(g, sn_round(g, sn_mul(g, x, by)), SN_I8);
    const SnValue half = sn_size(g, BLOCK / 2);
    const SnValue part[] = {
        sn_bitcast(g, q, SN_U32),
        sn_bitcast(g, sn_where(g, is_zero, zero, sn_div(g, top, most)), SN_U32),
        sum_words(g, q),
        sum_words(g, sn_slice_axis(g, q, 2, sn_size(g, 0), half)),
        sum_words(g, sn_slice_axis(g, q, 2, half, half)),
    };
    const SnValue y = sn_concat(g, (int)SN_COUNT(part), part, 2);
    SnValue dims[SN_MAX_RANK + 1];
    const int rank = sn_dims(g, c->in[0], dims);
    dims[rank - 1] = sn_dim(g, y, 1);
    dims[rank] = sn_size(g, RECORD);
    return sn_reshape(g, y, rank + 1, dims);
}

static SnStatus infer_rows(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    SnStore *s = sn_graph_store(g);
    const SnType *x = sn_type_of(s, c->in[0].ref);
    SnRef dims[SN_MAX_RANK];
    int64_t k = 0;
    SN_CHECK(x->ndim > 0 && x->ndim < SN_MAX_RANK && sn_is_const_i64(s, x->dims[x->ndim - 1], &k) &&
                 k % BLOCK == 0,
             err, SN_ESHAPE, "rows of %lld are not whole blocks of %d", (long long)k, BLOCK);
    const int rank = x->ndim;
    memcpy(dims, x->dims, (size_t)rank * sizeof *dims);
    dims[rank - 1] = sn_const_i64(s, k / BLOCK);
    dims[rank] = sn_const_i64(s, RECORD);
    *out = sn_type_tensor(s, SN_U32, rank + 1, dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

/* ---- panels ---- */

/* Rows of zeros up to whole panels. */
static SnValue whole_panels(SnGraph *g, SnValue x)
{
    const int64_t n = sn_known_dim(g, x, 0), more = (LANES - n % LANES) % LANES;
    const int rank = sn_rank(g, x);
    SnValue lo[SN_MAX_RANK], hi[SN_MAX_RANK];
    if (n < 0 || more == 0)
        return x;
    for (int i = 0; i < rank; i++) {
        lo[i] = sn_size(g, 0);
        hi[i] = sn_size(g, i == 0 ? more : 0);
    }
    return sn_pad(g, x, lo, hi, sn_const(g, sn_value_dtype(g, x), 0), NULL);
}

static SnValue stored(SnGraph *g, SnValue x)
{
    return sn_op(g, "copy", &x, 1, NULL, 0);
}

/* [rows, blocks, n] of any part ▶ [panel, blocks * n, 16] */
static SnValue table_panels(SnGraph *g, SnValue x)
{
    if (!x.ref)
        return x;
    x = whole_panels(g, x);
    const int64_t rows = sn_known_dim(g, x, 0), n = sn_known_dim(g, x, 1) * sn_known_dim(g, x, 2);
    x = reshaped(g, x, 3, (const int64_t[]){rows / LANES, LANES, n});
    return stored(g, sn_permute(g, x, (const int[]){0, 2, 1}));
}

static uint32_t mask_of(int bits)
{
    return 0x01010101u * ((1u << bits) - 1);
}

/* One plane of `bits` bits from bit `from` of the codes on; words u32[panel, block, 8, 16], one a group. */
static SnValue plane_of(SnGraph *g, SnValue words, int from, int bits)
{
    const int64_t panels = sn_known_dim(g, words, 0), blocks = sn_known_dim(g, words, 1), per = GROUPS / bits;
    SnValue x = sn_and(g, sn_shr(g, words, word(g, (uint32_t)from)), word(g, mask_of(bits))), out = x;
    x = reshaped(g, x, 5, (const int64_t[]){panels, blocks, bits, per, LANES});
    for (int64_t i = 0; i < per; i++) {
        const SnValue one = sn_slice_axis(g, x, 3, sn_size(g, i), sn_size(g, 1));
        const SnValue up = i > 0 ? sn_shl(g, one, word(g, (uint32_t)(i * bits))) : one;
        out = i > 0 ? sn_or(g, out, up) : up;
    }
    return reshaped(g, out, 4, (const int64_t[]){panels, blocks, bits, LANES});
}

/* u8[rows, blocks, n] ▶ u32[panel, block of 32, bits, 16] */
static SnValue code_panels(SnGraph *g, SnValue codes, int bits)
{
    const SnValue x = whole_panels(g, codes);
    const int64_t rows = sn_known_dim(g, x, 0),
                  blocks = sn_known_dim(g, x, 1) * sn_known_dim(g, x, 2) / BLOCK;
    SnValue part[4];
    int n = 0;
    if (rows < 0 || blocks < 0)
        return sn_none();
    SnValue w = sn_bitcast(g, reshaped(g, x, 3, (const int64_t[]){rows, blocks, BLOCK}), SN_U32);
    w = reshaped(g, w, 4, (const int64_t[]){rows / LANES, LANES, blocks, GROUPS});
    w = sn_permute(g, w, (const int[]){0, 2, 3, 1});
    for (int size = 8, from = 0; size > 0; size /= 2) {
        if (!(bits & size))
            continue;
        part[n++] = size == 8 ? w : plane_of(g, w, from, size);
        from += size;
    }
    return stored(g, n > 1 ? sn_concat(g, n, part, 2) : part[0]);
}

/* ---- the product ---- */

/* Codes of a block again, i32[panel, group of a scale, k of it, 16]. */
static SnValue unpacked(SnGraph *g, SnValue words, int64_t groups)
{
    const int64_t panels = sn_known_dim(g, words, 0), blocks = sn_known_dim(g, words, 1),
                  bits = sn_known_dim(g, words, 2);
    SnValue all = sn_none();
    int64_t at = 0, from = 0;
    for (int64_t size = 8; size > 0; size /= 2) {
        if (!(bits & size))
            continue;
        const int64_t per = GROUPS / size;
        const SnValue step = sn_iota(
            g, SN_U32, 3, 5,
            (const SnValue[]){sn_size(g, 1), sn_size(g, 1), sn_size(g, 1), sn_size(g, per), sn_size(g, 1)});
        SnValue x = sn_slice_axis(g, words, 2, sn_size(g, at), sn_size(g, size));
        x = reshaped(g, x, 5, (const int64_t[]){panels, blocks, size, 1, LANES});
        x = sn_and(g, sn_shr(g, x, sn_mul(g, step, word(g, (uint32_t)size))), word(g, mask_of((int)size)));
        x = sn_shl(g, reshaped(g, x, 4, (const int64_t[]){panels, blocks, GROUPS, LANES}),
                   word(g, (uint32_t)from));
        all = all.ref ? sn_or(g, all, x) : x;
        at += size;
        from += size;
    }
    const SnValue bytes = sn_cast(g, sn_bitcast(g, all, SN_U8), SN_I32); /* [panel, block, 8, 64] */
    const SnValue split = reshaped(g, bytes, 5, (const int64_t[]){panels, blocks, GROUPS, LANES, 4});
    const SnValue rows = sn_permute(g, split, (const int[]){0, 1, 2, 4, 3});
    return reshaped(g, rows, 4, (const int64_t[]){panels, groups, blocks * BLOCK / groups, LANES});
}

/* A table as f32[panel, group, 16], its coarse factor multiplied in. */
static SnValue factor(SnGraph *g, SnValue fine, SnValue coarse)
{
    const int64_t panels = sn_known_dim(g, fine, 0), n = sn_known_dim(g, fine, 1);
    const SnValue x = sn_cast(g, fine, SN_F32);
    if (!coarse.ref)
        return x;
    const int64_t m = sn_known_dim(g, coarse, 1);
    if (n < 0 || m <= 0 || n % m != 0)
        return sn_graph_fail(g, SN_ESHAPE, "product_blocks: %lld groups for %lld coarse ones", (long long)n,
                             (long long)m);
    const SnValue part[] = {
        reshaped(g, sn_cast(g, coarse, SN_F32), 4, (const int64_t[]){panels, m, 1, LANES}),
        reshaped(g, x, 4, (const int64_t[]){panels, m, n / m, LANES})};
    return reshaped(g, sn_mul(g, part[0], part[1]), 3, (const int64_t[]){panels, n, LANES});
}

static SnValue words_at(SnGraph *g, SnValue x, int at, int n)
{
    return sn_slice_axis(g, x, 2, sn_size(g, at), sn_size(g, n));
}

/* [row, group] of f32 beside [panel, group, 16]: both [row, panel, group, 1 or 2, 16], stacked with others */
static SnValue stack(SnGraph *g, SnValue a, SnValue b)
{
    const SnValue part[] = {sn_insert_axis(g, a, 3), sn_insert_axis(g, b.ref ? b : a, 3)};
    return b.ref ? sn_concat(g, 2, part, 3) : part[0];
}

static SnValue beside(SnGraph *g, SnValue of_row)
{
    return sn_insert_axis(g, sn_insert_axis(g, of_row, 1), 3);
}

/* What each row is multiplied by, where rows have parts of their own: [parts * p, ..] ▶ [rows, p, ..]. */
static SnValue of_rows(SnGraph *g, const SnCall *c, SnValue x)
{
    SnValue dims[SN_MAX_RANK + 1];
    if (!sn_call_has(c, 6) || !x.ref)
        return x;
    const int rank = sn_dims(g, x, dims + 1);
    dims[0] = sn_size(g, sn_call_int(c, "parts"));
    dims[1] = sn_idiv(g, dims[1], dims[0]);
    return sn_gather(g, sn_reshape(g, x, rank + 1, dims), 1, (const int[]){0}, &c->in[6], NULL);
}

static SnValue product_blocks(SnGraph *g, const SnCall *c)
{
    const SnValue x = c->in[0], rows = sn_dim(g, x, 0);
    const int64_t panels = sn_known_dim(g, c->in[1], 0) / sn_call_int(c, "parts"),
                  blocks = sn_known_dim(g, c->in[1], 1);
    const int64_t groups = sn_known_dim(g, c->in[2], 1), halves = blocks > 0 ? groups / blocks : 0;
    if ((halves != 1 && halves != 2) || groups % blocks != 0)
        return sn_graph_fail(g, SN_ESHAPE, "product_blocks: %lld groups for %lld blocks", (long long)groups,
                             (long long)blocks);
    const SnValue q = sn_cast(g, sn_bitcast(g, words_at(g, x, 0, BLOCK / 4), SN_I8), SN_I32);
    const SnValue sum = sn_bitcast(g, words_at(g, x, halves == 1 ? 9 : 10, (int)halves), SN_I32);
    const SnValue dims[] = {rows, sn_size(g, groups), sn_size(g, BLOCK / halves)};
    const SnValue sums = sn_reshape(g, sum, 2, dims), wide = sn_cast(g, sums, SN_F32);
    const SnValue codes = of_rows(g, c, unpacked(g, c->in[1], groups));
    const char *eq = sn_call_has(c, 6) ? "rjk,rpjkl->rpjl" : "rjk,pjkl->rpjl";
    const SnValue total = sn_contract(g, eq, sn_reshape(g, q, 3, dims), codes, SN_I32);
    const SnValue zero = sn_const_int(g, SN_I32, sn_call_int(c, "zero"));
    const SnValue whole = sn_cast(g, sn_sub(g, total, beside(g, sn_mul(g, sums, zero))), SN_F32);
    const SnValue d = sn_broadcast(g, sn_bitcast(g, words_at(g, x, 8, 1), SN_F32), 3,
                                   (const SnValue[]){rows, sn_size(g, blocks), sn_size(g, halves)});
    const SnValue step = sn_reshape(g, d, 2, dims);
    const SnValue scale = of_rows(g, c, factor(g, c->in[2], c->in[3]));
    SnValue a = whole, b = sn_mul(g, scale, beside(g, step));
    const bool has_low = sn_call_has(c, 4);
    const SnValue whole_dims[] = {rows, sn_size(g, panels), sn_size(g, groups), sn_size(g, LANES)};
    const SnValue lows = has_low ? of_rows(g, c, factor(g, c->in[4], c->in[5])) : sn_none();
    const SnValue low = has_low ? sn_broadcast(g, lows, 4, whole_dims) : sn_none();
    const SnValue share =
        has_low ? sn_broadcast(g, beside(g, sn_mul(g, step, wide)), 4, whole_dims) : sn_none();
    a = stack(g, a, low);
    b = stack(g, b, share);
    const SnValue y = sn_contract(g, "rpjcl,rpjcl->rpl", a, b, SN_F32);
    return sn_reshape(g, y, 2, (SnValue[]){rows, sn_size(g, panels * LANES)});
}

static SnStatus infer_product(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    SnStore *s = sn_graph_store(g);
    int64_t panels = 0, blocks = 0, groups = 0, bits = 0;
    const SnType *codes = sn_type_of(s, c->in[1].ref), *scale = sn_type_of(s, c->in[2].ref);
    SN_CHECK(sn_is_const_i64(s, codes->dims[0], &panels) && sn_is_const_i64(s, codes->dims[1], &blocks) &&
                 sn_is_const_i64(s, codes->dims[2], &bits) && sn_is_const_i64(s, scale->dims[1], &groups),
             err, SN_EUNSUPPORTED, "dims of panels are constants");
    SN_CHECK(bits > 0 && bits <= 8 && (groups == blocks || groups == 2 * blocks), err, SN_ESHAPE,
             "%lld bits, %lld groups for %lld blocks", (long long)bits, (long long)groups, (long long)blocks);
    for (int i = 3; i < 6; i += 2) {
        int64_t n = 1;
        if (sn_call_has(c, i))
            SN_CHECK(sn_is_const_i64(s, sn_type_of(s, c->in[i].ref)->dims[1], &n) && n > 0 && groups % n == 0,
                     err, SN_ESHAPE, "%lld groups for %lld coarse ones", (long long)groups, (long long)n);
    }
    const int64_t parts = sn_call_int(c, "parts");
    SN_CHECK(parts > 0 && panels % parts == 0 && (parts == 1 || sn_call_has(c, 6)), err, SN_ESHAPE,
             "%lld panels in %lld parts", (long long)panels, (long long)parts);
    const SnRef dims[] = {sn_type_of(s, c->in[0].ref)->dims[0], sn_const_i64(s, panels / parts * LANES)};
    *out = sn_type_tensor(s, SN_F32, 2, dims);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

/* ---- linear ---- */

/* x times weights [parts * n, ..]; n rows of them for each row of x, which group chooses. */
typedef struct Linear {
    const SnBlockFormat *f;
    SnValue n, group; /* group: none where there is one part */
    int64_t parts;
} Linear;

static SnValue linear(SnGraph *g, const Linear *as, const SnBlocks *w, SnValue x, SnValue b)
{
    const SnValue rows = sn_quantize_rows(g, sn_rows_of(g, x)), n = as->n;
    SnValue y = sn_product_blocks(g, rows, code_panels(g, w->codes, as->f->bits), table_panels(g, w->scale),
                                  table_panels(g, w->coarse), table_panels(g, w->low),
                                  table_panels(g, w->coarse_low), as->group, as->f->zero, as->parts);
    y = sn_slice_axis(g, y, 1, sn_size(g, 0), n);
    if (b.ref)
        y = sn_add(g, y, sn_wide(g, b));
    return sn_rows_back(g, sn_like(g, y, x), x);
}

/* The weights of linear_blocks or linear_quantized; NULL: it sticks to the graph. */
static const SnBlockFormat *weights_of(SnGraph *g, const SnCall *c, bool is_bytes, SnBlocks *w)
{
    const SnBlockFormat *f = sn_block_format(g, sn_call_string(c, "format"));
    if (f != NULL && (is_bytes ? f->read == NULL : f->quantize == NULL)) {
        sn_graph_fail(g, SN_EUNSUPPORTED, is_bytes ? "format %s has no bytes" : "format %s is only read",
                      f->name);
        return NULL;
    }
    if (f != NULL)
        *w = is_bytes ? f->read(g, sn_in_blocks(g, c->in[1], f->bytes))
                      : f->quantize(g, sn_cast(g, sn_in_blocks(g, c->in[1], f->block), SN_F32));
    return f;
}

static SnValue linear_of(SnGraph *g, const SnCall *c, bool is_bytes)
{
    SnBlocks w;
    const SnBlockFormat *f = weights_of(g, c, is_bytes, &w);
    return f == NULL ? sn_none()
                     : linear(g, &(Linear){f, sn_dim(g, c->in[1], 0), sn_none(), 1}, &w, c->in[0], c->in[2]);
}

static SnValue linear_blocks(SnGraph *g, const SnCall *c)
{
    return linear_of(g, c, true);
}

static SnValue linear_quantized(SnGraph *g, const SnCall *c)
{
    return linear_of(g, c, false);
}

/* Rounding is passed over: as of x times the numbers that the blocks stand for. */
static SnValue linear_grad(SnGraph *g, const SnCall *c, SnValue d, int i, bool is_bytes)
{
    static const int turned[] = {1, 0};
    SnBlocks of;
    const SnValue rows = sn_rows_of(g, sn_cast(g, d, SN_F32));
    if (i == 2)
        return sn_like(g, sn_reduce(g, "add", rows, 1, &(int){0}, false), c->in[2]);
    if (i == 1)
        return sn_like(g,
                       sn_linear(g, sn_permute(g, rows, turned),
                                 sn_permute(g, sn_rows_of(g, sn_cast(g, c->in[0], SN_F32)), turned),
                                 sn_none()),
                       c->in[1]);
    const SnBlockFormat *f = weights_of(g, c, is_bytes, &of);
    if (f == NULL)
        return sn_none();
    const SnValue w = sn_block_values(g, f, &of);
    const SnValue dims[] = {sn_dim(g, w, 0), sn_mul(g, sn_dim(g, w, 1), sn_dim(g, w, 2))};
    const SnValue back = sn_permute(g, sn_reshape(g, w, 2, dims), turned);
    return sn_rows_back(g, sn_like(g, sn_linear(g, rows, back, sn_none()), c->in[0]), c->in[0]);
}

static SnValue linear_blocks_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    (void)y;
    return linear_grad(g, c, d, i, true);
}

static SnValue linear_quantized_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    (void)y;
    return linear_grad(g, c, d, i, false);
}

/* ---- the same of rows that have a part each ---- */

/* [e, n, k] ▶ [e * n, k], n up to whole panels. */
static SnValue joined_parts(SnGraph *g, SnValue w)
{
    const int64_t e = sn_known_dim(g, w, 0), n = sn_known_dim(g, w, 1), more = (LANES - n % LANES) % LANES;
    const SnValue none = sn_size(g, 0), lo[] = {none, none, none}, hi[] = {none, sn_size(g, more), none};
    if (e < 1 || n < 1)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "dims of weights in blocks are constants");
    if (more > 0)
        w = sn_pad(g, w, lo, hi, sn_const(g, sn_value_dtype(g, w), 0), NULL);
    const SnValue dims[] = {sn_size(g, e * (n + more)), sn_dim(g, w, 2)};
    return sn_reshape(g, w, 2, dims);
}

static SnValue grouped(SnGraph *g, const SnCall *c, const SnBlockFormat *f, const SnBlocks *w)
{
    const Linear as = {f, sn_dim(g, c->in[1], 1), c->in[3], sn_known_dim(g, c->in[1], 0)};
    const SnValue y = linear(g, &as, w, c->in[0], sn_none());
    if (!sn_call_has(c, 2))
        return y;
    const SnValue bias = sn_gather(g, c->in[2], 1, (const int[]){0}, &c->in[3], NULL);
    return sn_like(g, sn_add(g, sn_wide(g, y), sn_wide(g, bias)), y);
}

static SnValue grouped_blocks(SnGraph *g, const SnCall *c)
{
    const SnBlockFormat *f = sn_block_format(g, sn_call_string(c, "format"));
    if (f == NULL)
        return sn_none();
    if (f->read == NULL)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "format %s has no bytes", f->name);
    const SnBlocks w = f->read(g, sn_in_blocks(g, joined_parts(g, c->in[1]), f->bytes));
    return grouped(g, c, f, &w);
}

static SnValue grouped_quantized(SnGraph *g, const SnCall *c)
{
    const SnBlockFormat *f = sn_block_format(g, sn_call_string(c, "format"));
    if (f == NULL)
        return sn_none();
    if (f->quantize == NULL)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "format %s is only read", f->name);
    const SnValue whole = sn_cast(g, joined_parts(g, c->in[1]), SN_F32);
    const SnBlocks w = f->quantize(g, sn_in_blocks(g, whole, f->block));
    return grouped(g, c, f, &w);
}

const SnOp sn_quant_linear_ops[] = {
    {.sig = "linear_blocks(x: F[.., k], bytes: u8[n, r], b: F2[n]?; format: str) -> F[.., n]",
     .expand = linear_blocks,
     .grad = linear_blocks_grad,
     .doc = "x w^T + b where rows of w are in a block format, x rounded to 8 bits in blocks of 32"},
    {.sig = "linear_quantized(x: F[.., k], w: F2[n, k], b: F3[n]?; format: str) -> F[.., n]",
     .expand = linear_quantized,
     .grad = linear_quantized_grad,
     .doc = "linear_blocks with w brought into the format first"},
    {.sig = "grouped_blocks(x: F[r, k], bytes: u8[e, n, s], b: F2[e, n]?, group: i64[r]; format: str) -> "
            "F[r, n]",
     .expand = grouped_blocks,
     .doc = "linear_grouped with w in a block format, x rounded to 8 bits in blocks of 32"},
    {.sig =
         "grouped_quantized(x: F[r, k], w: F2[e, n, k], b: F3[e, n]?, group: i64[r]; format: str) -> F[r, n]",
     .expand = grouped_quantized,
     .doc = "grouped_blocks with w brought into the format first"},
    {.sig = "quantize_rows(x: F[*]) -> ?",
     .expand = quantize_rows,
     .infer = infer_rows,
     .doc = "u32[.., k / 32, 12]: 32 i8 codes, their f32 step, their sum and those of both halves"},
    {.sig = "product_blocks(x: u32[m, j, 12], codes: u32[p, j, c, 16], scale: T[p, s, 16], coarse: F[p, t, "
            "16]?, low: T2[p, s, 16]?, coarse_low: F2[p, u, 16]?, group: i64[m]?; zero: int = 0, parts: int "
            "= 1) "
            "-> ?",
     .expand = product_blocks,
     .infer = infer_product,
     .doc =
         "f32[m, 16 p / parts]: rows of quantize_rows times panels of blocks; group: the part of each row"},
    {0},
};
