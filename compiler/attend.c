/* attend.c -- attention that is not expanded: softmax(q k^T * scale + bias) v without its scores in memory.
 *
 * A tile is (batch, head of k, some rows); rows are query head x position. Its scores lie in a LOCAL, lanes
 * along positions of k, which come from panels that a first kernel makes, P[batch, head, position / 16, d,
 * 16]. The second product has its lanes along the dims of v. Bias and mask are whatever terms they are: the
 * scalar walk computes them where a score is.
 *
 * The order of sums, a constant of the format. A score is a sum over d, in rising order by fma from zero.
 * Positions are taken in chunks of 256, absolute. In a chunk m = max(scores, lowest finite value),
 * p = exp(score - m), l = the sum of p in 32 virtual lanes (position mod 32) in rising order, then by
 * halving; acc = the sum of p * v in rising order by fma from zero. Chunks are merged in order into (M, L,
 * ACC), which start as (lowest, 0, 0): M' = max(M, m), ACC = fma(acc, exp(m - M'), ACC * exp(M - M')), L
 * likewise. The result is ACC * (1 / max(L, FLT_MIN)) + 0. A position that is masked, or beyond the end, adds
 * an exact zero to each sum, a chunk of such positions multiplies by exp(0): so neither the neighbours of a
 * row nor how far the others reach changes a bit, and a row with nothing to attend to is 0.
 *
 * Milakov & Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135. */
#include "compiler/attend.h"

#include <float.h>
#include <math.h>

#define ROWS      SN_ATTEND_BODY
#define CHUNK     256
#define MAX_WIDTH 256         /* of q, k and v */
#define MAX_LOCAL (24 * 1024) /* bytes; a kernel may have no more */

/* ---- what is accepted ---- */

static bool is_width(const SnStore *s, SnRef dim)
{
    int64_t v;
    return sn_is_const_i64(s, dim, &v) && v > 0 && v <= MAX_WIDTH;
}

static bool are_groups(const SnStore *s, SnRef heads, SnRef groups)
{
    int64_t h, g;
    return heads == groups ||
           (sn_is_const_i64(s, heads, &h) && sn_is_const_i64(s, groups, &g) && g > 0 && h % g == 0);
}

bool sn_attend_accepts(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    const SnType *q = sn_type_of(s, t->arg[SN_ATTEND_Q]), *k = sn_type_of(s, t->arg[SN_ATTEND_K]),
                 *v = sn_type_of(s, t->arg[SN_ATTEND_V]);
    for (int i = 0; i < t->narg; i++) {
        const SnDtype d = sn_type_of(s, t->arg[i])->dtype;
        if (sn_term(s, t->arg[i])->op != SN_OP_NONE &&
            (sn_type_of(s, t->arg[i])->ndim > 4 || d == SN_F64 || sn_dtype_size(d) > 4))
            return false;
    }
    return is_width(s, q->dims[3]) && is_width(s, v->dims[3]) && q->dims[3] == k->dims[3] &&
           are_groups(s, q->dims[1], k->dims[1]);
}

/* Its products are of f32: those of narrower floats are better made of what is stored. */
bool sn_attend_grad_accepts(const SnStore *s, SnRef r)
{
    return sn_attend_accepts(s, r) && sn_dtype_of(s, sn_term(s, r)->arg[SN_ATTEND_Q]) == SN_F32 &&
           sn_attr_float(s, r, "softcap", 0) == 0;
}

bool sn_past_accepts(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    const SnType *q = sn_type_of(s, t->arg[0]), *k = sn_type_of(s, t->arg[1]), *v = sn_type_of(s, t->arg[2]);
    const bool is_narrow = q->dtype != SN_F64 && k->dtype != SN_F64;
    return is_narrow && is_width(s, q->dims[3]) && is_width(s, v->dims[3]) &&
           are_groups(s, q->dims[1], k->dims[1]);
}

/* ---- softmax of a chunk ---- */

SnRef sn_attend_score(SnLower *l, const SnAttend *a, SnRef row, SnRef x, const SnRef *point, SnRef guard)
{
    x = sn_s2(l->s, SN_OP_MUL, x, real(l, (double)a->scale));
    if (a->cap != 0) {
        const SnRef cap = real(l, (double)a->cap);
        x = sn_s2(l->s, SN_OP_MUL, sn_s1(l->s, SN_OP_TANH, sn_s2(l->s, SN_OP_DIV, x, cap)), cap);
    }
    if (a->of[SN_ATTEND_BIAS] != 0)
        x = sn_s2(l->s, SN_OP_ADD, x,
                  sn_s_cast(l->s, SN_F32, sn_attend_spread(l, a, SN_ATTEND_BIAS, point, guard)));
    if (a->of[SN_ATTEND_SLOPES] != 0)
        x = sn_s2(l->s, SN_OP_ADD, x, sn_past_slope(l, a, point[1], row, point[3]));
    if (a->of[SN_ATTEND_MASK] != 0)
        guard = i_both(l, guard, sn_attend_spread(l, a, SN_ATTEND_MASK, point, guard));
    return guard != 0 ? sn_s3(l->s, SN_OP_WHERE, guard, x, real(l, -HUGE_VAL)) : x;
}

/* Is position j of the chunk one that the row may see? */
static SnRef is_seen(SnLower *l, const SnAttend *a, SnRef row, SnRef j)
{
    SnRef lo, hi;
    if (!is_past(a))
        return i_lt(l, j, a->count);
    sn_past_seen(l, a, row, &lo, &hi);
    return i_both(l, lo != 0 ? i_ge(l, j, lo) : 0, i_lt(l, j, hi));
}

static void score_block(SnLower *l, const SnAttend *a, SnRef row, SnRef block, int lanes, bool is_whole)
{
    SnBody b = {.nrow = 1, .npanel = SN_ATTEND_FOLD / SN_LANES, .width = SN_LANES};
    SnRef point[4] = {a->batch};
    (void)sn_attend_row(l, a, row, &point[1], &point[2]);
    sn_body_open(l, &b);
    const SnRef j = at(l, block, SN_ATTEND_FOLD, b.slot), from = at(l, row, a->span, j);
    point[3] = i_add(l, base_of(l, a), j);
    const SnRef x = sn_past_scaled(l, a, SN_ATTEND_KEY_SCALE, j, get(l, a->score, from));
    put(l, a->score, from, sn_attend_score(l, a, row, x, point, is_whole ? 0 : is_seen(l, a, row, j)));
    put(l, lanes, b.slot, greater(l, get(l, lanes, b.slot), get(l, a->score, from)));
    sn_body_close(l, &b);
}

static void exp_block(SnLower *l, const SnAttend *a, SnRef row, SnRef block, int lanes)
{
    SnBody b = {.nrow = 1, .npanel = SN_ATTEND_FOLD / SN_LANES, .width = SN_LANES};
    sn_body_open(l, &b);
    const SnRef j = at(l, block, SN_ATTEND_FOLD, b.slot), from = at(l, row, a->span, j);
    put(l, a->score, from, exp_of(l, get(l, a->score, from), get(l, a->top, row)));
    put(l, lanes, b.slot, sn_s2(l->s, SN_OP_ADD, get(l, lanes, b.slot), get(l, a->score, from)));
    if (a->of[SN_ATTEND_VALUE_SCALE] != 0)
        put(l, a->score, from, sn_past_scaled(l, a, SN_ATTEND_VALUE_SCALE, j, get(l, a->score, from)));
    if (a->is_tiled)
        sn_lower_store(l, a->weights, SN_BF16, from, sn_s_cast(l->s, SN_BF16, get(l, a->score, from)), 0);
    sn_body_close(l, &b);
}

static void fill_lanes(SnLower *l, int lanes, double v)
{
    SnBody b = {.nrow = 1, .npanel = SN_ATTEND_FOLD / SN_LANES, .width = SN_LANES};
    sn_body_open(l, &b);
    put(l, lanes, b.slot, real(l, v));
    sn_body_close(l, &b);
}

/* The greatest of the lanes: one step of a fold takes one instruction of integers, six of floats. */
static SnRef top_lane(SnLower *l, int lanes, int keys)
{
    SnBody b = {.nrow = 1, .npanel = SN_ATTEND_FOLD / SN_LANES, .width = SN_LANES};
    sn_body_open(l, &b);
    const SnRef bits = sn_s_bitcast(l->s, SN_I32, get(l, lanes, b.slot));
    sn_lower_store(l, keys, SN_I32, b.slot, ordered(l, bits), 0);
    sn_body_close(l, &b);
    const SnRef top = sn_kernel_fold(&l->kb, keys, SN_I32, "max", i_const(l, 0), SN_ATTEND_FOLD);
    return sn_s_bitcast(l->s, SN_F32, ordered(l, top));
}

static SnRef blocks_of(SnLower *l, const SnAttend *a)
{
    const SnRef size = i_const(l, SN_ATTEND_FOLD);
    return i_div(l, i_add(l, a->count, i_const(l, SN_ATTEND_FOLD - 1)), size);
}

/* Scores of a row, all blocks but the last one without guards. */
static void score_all(SnLower *l, const SnAttend *a, SnRef row, int lanes)
{
    const SnRef size = i_const(l, SN_ATTEND_FOLD), nwhole = i_div(l, a->count, size);
    SnStmt **mark;
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, nwhole, &mark);
    score_block(l, a, row, block, lanes, true);
    sn_lower_close(l, mark);
    sn_kernel_if(&l->kb, i_lt(l, i_const(l, 0), i_mod(l, a->count, size)), &mark);
    score_block(l, a, row, nwhole, lanes, false);
    sn_lower_close(l, mark);
}

/* Likewise of a past, whose rows end, and perhaps begin, at positions of their own. */
static void score_past(SnLower *l, const SnAttend *a, SnRef row, int lanes)
{
    SnStmt **blocks, **mark;
    SnRef lo, hi;
    sn_past_seen(l, a, row, &lo, &hi);
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, blocks_of(l, a), &blocks);
    const SnRef first = i_mul(l, block, i_const(l, SN_ATTEND_FOLD));
    const SnRef ends = i_lt(l, hi, i_add(l, first, i_const(l, SN_ATTEND_FOLD)));
    const SnRef is_cut = lo == 0 ? ends : sn_s2(l->s, SN_OP_OR, ends, i_lt(l, first, lo));
    sn_kernel_if(&l->kb, sn_s_not(l->s, is_cut), &mark);
    score_block(l, a, row, block, lanes, true);
    sn_lower_close(l, mark);
    sn_kernel_if(&l->kb, is_cut, &mark);
    score_block(l, a, row, block, lanes, false);
    sn_lower_close(l, mark);
    sn_lower_close(l, blocks);
}

/* Scores ▶ p, m and l. */
static void softmax_rows(SnLower *l, SnAttend *a)
{
    const int from = a->nmark, lanes = open_local(l, a, SN_F32, SN_ATTEND_FOLD);
    const int keys = open_local(l, a, SN_I32, SN_ATTEND_FOLD);
    SnStmt **rows, **mark;
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &rows);
    fill_lanes(l, lanes, -(double)FLT_MAX);
    (is_past(a) ? score_past : score_all)(l, a, row, lanes);
    put(l, a->top, row, top_lane(l, lanes, keys));
    fill_lanes(l, lanes, 0);
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, blocks_of(l, a), &mark);
    exp_block(l, a, row, block, lanes);
    sn_lower_close(l, mark);
    put(l, a->sum, row, sn_kernel_fold(&l->kb, lanes, SN_F32, "add", i_const(l, 0), SN_ATTEND_FOLD));
    sn_lower_close(l, rows);
    close_locals(l, a, from);
}

/* ---- chunks into one ---- */

/* Opens lanes along the rows of a tile. */
static SnRef open_row_lanes(SnLower *l, const SnAttend *a, SnStmt ***mark)
{
    return sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, a->nrow), mark);
}

static void begin_merge(SnLower *l, const SnAttend *a)
{
    SnStmt **mark, **lanes;
    const int64_t width = whole_panels(a->width);
    SnRef row = open_row_lanes(l, a, &lanes);
    put(l, a->all_top, row, real(l, -(double)FLT_MAX));
    put(l, a->all_sum, row, real(l, 0));
    sn_lower_close(l, lanes);
    row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, width), &lanes);
    put(l, a->acc, at(l, row, width, lane), real(l, 0));
    sn_lower_close(l, lanes);
    sn_lower_close(l, mark);
}

static void merge_rows(SnLower *l, const SnAttend *a)
{
    SnStmt **mark;
    const SnRef row = open_row_lanes(l, a, &mark);
    const SnRef top = get(l, a->top, row), before = get(l, a->all_top, row), now = greater(l, before, top);
    put(l, a->keep, row, exp_of(l, before, now));
    put(l, a->take, row, exp_of(l, top, now));
    const SnRef kept = sn_s2(l->s, SN_OP_MUL, get(l, a->all_sum, row), get(l, a->keep, row));
    put(l, a->all_sum, row, sn_s3(l->s, SN_OP_FMA, get(l, a->sum, row), get(l, a->take, row), kept));
    put(l, a->all_top, row, now);
    sn_lower_close(l, mark);
}

/* l ▶ 1 / l; a gradient leaves both to its other kernel first. */
static void invert_sums(SnLower *l, const SnAttend *a, int top, int sum)
{
    SnStmt **mark;
    const SnRef row = open_row_lanes(l, a, &mark);
    const SnRef least = greater(l, get(l, sum, row), real(l, (double)FLT_MIN));
    if (is_grad(a)) {
        SnRef head, pos;
        const SnRef guard = sn_attend_row(l, a, row, &head, &pos), to = sn_attend_stats(l, a, head, pos);
        sn_lower_store(l, a->stats, SN_F32, to, get(l, top, row), guard);
        sn_lower_store(l, a->stats, SN_F32, i_add(l, to, i_const(l, 1)), least, guard);
    }
    put(l, sum, row, sn_s2(l->s, SN_OP_DIV, real(l, 1), least));
    sn_lower_close(l, mark);
}

/* ---- p v ---- */

/* acc of a row ▶ the result. */
static void store_result(SnLower *l, const SnAttend *a, SnRef row, SnRef col, SnRef acc, int inverse,
                         SnRef guard)
{
    SnRef head, pos;
    guard = i_both(l, guard, sn_attend_row(l, a, row, &head, &pos));
    const SnRef index[] = {a->batch, pos, head, col};
    const SnRef scaled = sn_s2(l->s, SN_OP_MUL, acc, get(l, inverse, row));
    const SnRef y = sn_s2(l->s, SN_OP_ADD, scaled, real(l, 0)); /* -0 becomes 0 */
    sn_lower_store(l, a->result, a->to->dtype, sn_lower_join(l, 4, a->to->dims, index),
                   sn_s_cast(l->s, a->to->dtype, y), guard);
}

void sn_attend_put(SnLower *l, const SnAttend *a, SnRef row, SnRef col, SnRef acc, SnRef guard)
{
    if (!a->is_merged) {
        store_result(l, a, row, col, acc, a->sum, guard);
        return;
    }
    const SnRef to = at(l, row, whole_panels(a->width), col);
    if (a->part != 0) {
        put(l, a->parts, i_add(l, a->part, to), acc);
        return;
    }
    const SnRef kept = sn_s2(l->s, SN_OP_MUL, get(l, a->acc, to), get(l, a->keep, row));
    put(l, a->acc, to, sn_s3(l->s, SN_OP_FMA, acc, get(l, a->take, row), kept));
}

static void multiply_values(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    SnBody b = {.nrow = a->body_rows, .npanel = npanel, .width = width};
    const SnRef first = *(const SnRef *)self;
    SnStmt **mark;
    const int from = a->nmark, sum = open_local(l, a, SN_F32, b.nrow * npanel * width);
    sn_body_fill(l, &b, sum);
    const SnRef j = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, a->count, &mark);
    sn_body_open(l, &b);
    SnRef row = i_add(l, first, b.row), c = i_add(l, col, at(l, b.panel, width, b.lane));
    const SnRef p = get(l, a->score, at(l, row, a->span, j));
    const SnRef v = is_past(a)
                        ? sn_past_value(l, a, j, c)
                        : sn_attend_element(l, a, a->summed, a->head, i_add(l, base_of(l, a), j), c, 0);
    put(l, sum, b.slot, sn_s3(l->s, SN_OP_FMA, p, v, get(l, sum, b.slot)));
    sn_body_close(l, &b);
    sn_lower_close(l, mark);
    sn_body_open(l, &b);
    row = i_add(l, first, b.row);
    c = i_add(l, col, at(l, b.panel, width, b.lane));
    sn_attend_put(l, a, row, c, get(l, sum, b.slot), 0);
    sn_body_close(l, &b);
    close_locals(l, a, from);
}

static void multiply_all_values(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    SnRef first = sn_attend_open_rows(l, a, &mark);
    sn_attend_columns(l, a, a->width, a->body_panels, multiply_values, &first);
    sn_attend_close_rows(l, mark);
}

static void store_merged(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    SnBody b = {.nrow = 1, .npanel = npanel, .width = width};
    const SnRef row = *(const SnRef *)self;
    sn_body_open(l, &b);
    const SnRef c = i_add(l, col, at(l, b.panel, width, b.lane));
    store_result(l, a, row, c, get(l, a->acc, at(l, row, whole_panels(a->width), c)), a->all_sum, 0);
    sn_body_close(l, &b);
}

/* ---- a tile ---- */

static void score_rows(SnLower *l, SnAttend *a)
{
    if (a->is_tiled)
        sn_attend_scores(l, a);
    else
        sn_attend_multiply(l, a, &a->query);
    softmax_rows(l, a);
}

static void weigh_values(SnLower *l, SnAttend *a)
{
    if (is_grad(a))
        sn_attend_multiply(l, a, &a->up);
    (a->is_tiled ? sn_attend_values : multiply_all_values)(l, a);
}

/* A sink is a chunk of one position whose value is 0. */
static void merge_sinks(SnLower *l, SnAttend *a)
{
    SnStmt **mark, **lanes;
    SnRef row = open_row_lanes(l, a, &lanes);
    put(l, a->top, row, sn_past_sink(l, a, row));
    put(l, a->sum, row, real(l, 1));
    sn_lower_close(l, lanes);
    merge_rows(l, a);
    row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, whole_panels(a->width)), &lanes);
    const SnRef to = at(l, row, whole_panels(a->width), lane);
    put(l, a->acc, to, sn_s2(l->s, SN_OP_MUL, get(l, a->acc, to), get(l, a->keep, row)));
    sn_lower_close(l, lanes);
    sn_lower_close(l, mark);
}

/* ACC of all chunks ▶ the result. */
static void end_merge(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    if (a->of[SN_ATTEND_SINKS] != 0)
        merge_sinks(l, a);
    invert_sums(l, a, a->all_top, a->all_sum);
    SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    sn_attend_columns(l, a, a->width, 1, store_merged, &row);
    sn_lower_close(l, mark);
}

static SnRef count_chunks(SnLower *l, const SnAttend *a)
{
    const SnRef end = i_add(l, a->end, i_const(l, a->span - 1));
    return i_sub(l, i_div(l, end, i_const(l, a->span)), a->first_chunk);
}

static void emit_chunks(SnLower *l, SnAttend *a)
{
    SnStmt **chunks;
    begin_merge(l, a);
    const SnRef chunk = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count_chunks(l, a), &chunks);
    a->chunk = i_add(l, chunk, a->first_chunk);
    a->count = i_min(l, i_const(l, a->span), i_sub(l, a->end, base_of(l, a)));
    score_rows(l, a);
    merge_rows(l, a);
    weigh_values(l, a);
    sn_lower_close(l, chunks);
    end_merge(l, a);
}

static void emit_scores(SnLower *l, SnAttend *a)
{
    if (a->is_merged) {
        emit_chunks(l, a);
        return;
    }
    a->chunk = i_const(l, 0);
    a->count = a->end;
    score_rows(l, a);
    invert_sums(l, a, a->top, a->sum);
    weigh_values(l, a);
}

/* What a mask hides by place is left out; where a row then sees nothing, the tile is computed again with all.
 */
static void emit_seen(SnLower *l, SnAttend *a, SnRef seen)
{
    SnStmt **lanes, **passes, **mark;
    const int top = a->is_merged ? a->all_top : a->top;
    put(l, top, open_row_lanes(l, a, &lanes), real(l, -(double)FLT_MAX));
    sn_lower_close(l, lanes);
    const SnRef pass = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, 2), &passes);
    a->end = sn_s3(l->s, SN_OP_WHERE, i_lt(l, pass, i_const(l, 1)), seen, a->end);
    sn_kernel_if(&l->kb, sn_attend_is_blind(l, a, top), &mark);
    emit_scores(l, a);
    sn_lower_close(l, mark);
    sn_lower_close(l, passes);
}

static void open_merge(SnLower *l, SnAttend *a)
{
    a->all_top = open_local(l, a, SN_F32, a->nrow);
    a->all_sum = open_local(l, a, SN_F32, a->nrow);
    a->keep = open_local(l, a, SN_F32, a->nrow);
    a->take = open_local(l, a, SN_F32, a->nrow);
    a->acc = open_local(l, a, SN_F32, a->nrow * whole_panels(a->width));
}

static void emit_tile(SnLower *l, SnAttend *a)
{
    a->first_chunk = i_const(l, 0);
    a->end = sn_lower_dim(l, a->keys);
    if (is_past(a))
        sn_past_range(l, a);
    if (a->is_tiled) {
        sn_attend_open(l, a);
    } else {
        a->query.local = open_local(l, a, SN_F32, a->nrow * whole_panels(a->dim));
        a->score = open_local(l, a, SN_F32, a->nrow * a->span);
    }
    a->top = open_local(l, a, SN_F32, a->nrow);
    a->sum = open_local(l, a, SN_F32, a->nrow);
    if (a->is_merged)
        open_merge(l, a);
    if (is_grad(a))
        sn_attend_open_up(l, a);
    if (a->is_tiled)
        sn_attend_queries(l, a);
    else
        sn_attend_load(l, a, &a->query);
    const SnRef seen = is_past(a) ? 0 : sn_attend_end(l, a);
    if (seen != 0)
        emit_seen(l, a, seen);
    else
        emit_scores(l, a);
    close_locals(l, a, 0);
}

/* Where the grid is shaped for the matrix unit and this target has none, a tile is several of those. */
static void emit_tiles(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    if (a->grid_rows == a->nrow || a->is_tiled) {
        emit_tile(l, a);
        return;
    }
    const SnRef first = a->row, left = i_sub(l, sn_lower_dim(l, a->rows), first);
    const SnRef here = i_min(l, left, i_const(l, a->grid_rows)), size = i_const(l, a->nrow);
    const SnRef n = i_div(l, i_add(l, here, i_const(l, a->nrow - 1)), size);
    a->row = i_add(l, first, i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, n, &mark), size));
    emit_tile(l, a);
    sn_lower_close(l, mark);
}

/* ---- chunks of a past as tiles: a few rows, one token of each head, are work for all threads ---- */

/* Bytes of LOCALs of a row, about. */
static int64_t row_bytes(const SnAttend *a)
{
    const int64_t columns = whole_panels(a->dim) + whole_panels(a->width) + whole_panels(a->up.n);
    return (int64_t)sizeof(float) * (columns + a->span + 64);
}

/* Rows that have room in a part, whatever the level. */
static int64_t part_rows(const SnAttend *a)
{
    return ROWS * row_bytes(a) > MAX_LOCAL ? ROWS / 2 : ROWS;
}

/* What a chunk gives: acc by row, then m and l. */
static int64_t part_size(const SnAttend *a)
{
    return part_rows(a) * whole_panels(a->width) + 2 * SN_LANES;
}

static SnRef part_of(SnLower *l, const SnAttend *a)
{
    const SnRef chunks = sn_lower_dim(l, sn_type_of(l->s, a->of[SN_ATTEND_PAGE])->dims[1]);
    return i_mul(l, i_add(l, i_mul(l, a->pair, chunks), a->chunk), i_const(l, part_size(a)));
}

/* Where m of a row is; l is SN_LANES behind it. */
static SnRef part_top(SnLower *l, const SnAttend *a, SnRef row)
{
    return i_add(l, a->part, i_add(l, i_const(l, part_rows(a) * whole_panels(a->width)), row));
}

static void emit_part(SnLower *l, SnAttend *a)
{
    SnStmt **seen, **mark;
    sn_past_range(l, a);
    a->part = part_of(l, a);
    const SnRef is_seen = i_both(l, i_ge(l, a->chunk, a->first_chunk), i_lt(l, base_of(l, a), a->end));
    sn_kernel_if(&l->kb, is_seen, &seen);
    a->query.local = open_local(l, a, SN_F32, a->nrow * whole_panels(a->dim));
    a->score = open_local(l, a, SN_F32, a->nrow * a->span);
    a->top = open_local(l, a, SN_F32, a->nrow);
    a->sum = open_local(l, a, SN_F32, a->nrow);
    sn_attend_load(l, a, &a->query);
    a->count = i_min(l, i_const(l, a->span), i_sub(l, a->end, base_of(l, a)));
    score_rows(l, a);
    weigh_values(l, a);
    const SnRef row = open_row_lanes(l, a, &mark), to = part_top(l, a, row);
    put(l, a->parts, to, get(l, a->top, row));
    put(l, a->parts, i_add(l, to, i_const(l, SN_LANES)), get(l, a->sum, row));
    sn_lower_close(l, mark);
    close_locals(l, a, 0);
    sn_lower_close(l, seen);
}

static void merge_part(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    SnBody b = {.nrow = 1, .npanel = npanel, .width = width};
    const SnRef row = *(const SnRef *)self;
    sn_body_open(l, &b);
    const SnRef to = at(l, row, whole_panels(a->width), i_add(l, col, at(l, b.panel, width, b.lane)));
    const SnRef kept = sn_s2(l->s, SN_OP_MUL, get(l, a->acc, to), get(l, a->keep, row));
    put(l, a->acc, to,
        sn_s3(l->s, SN_OP_FMA, get(l, a->parts, i_add(l, a->part, to)), get(l, a->take, row), kept));
    sn_body_close(l, &b);
}

static void emit_merge(SnLower *l, SnAttend *a)
{
    SnStmt **chunks, **mark;
    sn_past_range(l, a);
    a->top = open_local(l, a, SN_F32, a->nrow);
    a->sum = open_local(l, a, SN_F32, a->nrow);
    open_merge(l, a);
    begin_merge(l, a);
    const SnRef chunk = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count_chunks(l, a), &chunks);
    a->chunk = i_add(l, a->first_chunk, chunk);
    a->part = part_of(l, a);
    SnRef row = open_row_lanes(l, a, &mark);
    const SnRef from = part_top(l, a, row);
    put(l, a->top, row, get(l, a->parts, from));
    put(l, a->sum, row, get(l, a->parts, i_add(l, from, i_const(l, SN_LANES))));
    sn_lower_close(l, mark);
    merge_rows(l, a);
    row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    sn_attend_columns(l, a, a->width, 1, merge_part, &row);
    sn_lower_close(l, mark);
    sn_lower_close(l, chunks);
    end_merge(l, a);
    close_locals(l, a, 0);
}

/* All but one, of which only panels are read. */
static void read_operands(SnLower *l, const SnAttend *a, SnAttendOperand but)
{
    for (int i = 0; i < SN_ATTEND_OPERANDS; i++)
        if (a->of[i] != 0 && i != (int)but)
            sn_lower_read(l, a->of[i]);
}

static void emit_parts(SnLower *l, SnAttend *a)
{
    const SnRef chunks = sn_type_of(l->s, a->of[SN_ATTEND_PAGE])->dims[1], one = i_const(l, 1);
    const bool is_empty = sn_lower_is_empty(l, a->to->ndim, a->to->dims);
    const SnRef bytes = i_const(l, part_size(a) * (int64_t)sizeof(float));
    a->temp = sn_lower_temp(l, sn_dim_mul(l->s, sn_attend_tiles(l, a, chunks), bytes));
    a->row = i_const(l, 0);
    sn_lower_begin(l, "attend_chunks");
    read_operands(l, a, SN_ATTEND_OPERANDS);
    a->parts = sn_lower_buffer(l, SN_BUF_TEMP, 0, a->temp, true);
    a->chunk = sn_attend_take_tile(l, a, chunks);
    if (!is_empty)
        emit_part(l, a);
    sn_lower_end(l, sn_attend_tiles(l, a, chunks));
    sn_lower_begin(l, "attend_past");
    sn_lower_read(l, a->of[SN_ATTEND_POS]);
    if (a->of[SN_ATTEND_SINKS] != 0)
        sn_lower_read(l, a->of[SN_ATTEND_SINKS]);
    a->parts = sn_lower_buffer(l, SN_BUF_TEMP, 0, a->temp, false);
    a->result = sn_lower_result(l, 0);
    (void)sn_attend_take_tile(l, a, one);
    if (!is_empty)
        emit_merge(l, a);
    sn_lower_end(l, sn_attend_tiles(l, a, one));
}

/* ---- the root ---- */

static const SnAttendOperand whole_operand[] = {SN_ATTEND_Q, SN_ATTEND_K, SN_ATTEND_V, SN_ATTEND_BIAS,
                                                SN_ATTEND_MASK};
static const SnAttendOperand grad_operand[] = {SN_ATTEND_Q,  SN_ATTEND_K,    SN_ATTEND_V,   SN_ATTEND_DOT,
                                               SN_ATTEND_UP, SN_ATTEND_BIAS, SN_ATTEND_MASK};
static const SnAttendOperand past_operand[] = {SN_ATTEND_Q,     SN_ATTEND_K,         SN_ATTEND_V,
                                               SN_ATTEND_PAGE,  SN_ATTEND_POS,       SN_ATTEND_SLOPES,
                                               SN_ATTEND_SINKS, SN_ATTEND_KEY_SCALE, SN_ATTEND_VALUE_SCALE};

static void read_term(SnLower *l, SnRef r, const SnAttendOperand *operand, int n, SnAttend *a)
{
    const SnTerm *t = sn_term(l->s, r);
    const SnType *type = sn_type_of(l->s, r);
    for (int i = 0; i < n && i < t->narg; i++)
        a->of[operand[i]] = sn_term(l->s, t->arg[i])->op != SN_OP_NONE ? t->arg[i] : 0;
    const SnType *q = sn_type_of(l->s, a->of[SN_ATTEND_Q]), *k = sn_type_of(l->s, a->of[SN_ATTEND_K]);
    a->to = type->kind == SN_TYPE_TUPLE ? sn_type(l->s, type->child[0]) : type;
    a->heads = k->dims[1];
    a->keys = is_past(a)
                  ? sn_dim_mul(l->s, sn_type_of(l->s, a->of[SN_ATTEND_PAGE])->dims[1], i_const(l, CHUNK))
                  : k->dims[2];
    a->group = q->dims[1] == a->heads ? i_const(l, 1) : sn_dim_div(l->s, q->dims[1], a->heads);
    a->rows = sn_dim_mul(l->s, a->group, q->dims[2]);
    (void)sn_is_const_i64(l->s, q->dims[3], &a->dim);
    (void)sn_is_const_i64(l->s, a->to->dims[3], &a->width);
    a->query = (SnAttendRows){.of = SN_ATTEND_Q, .n = a->dim};
    a->summed = is_grad(a) ? SN_ATTEND_K : SN_ATTEND_V;
    if (is_grad(a)) {
        a->up.of = SN_ATTEND_UP;
        (void)sn_is_const_i64(l->s, sn_type_of(l->s, a->of[SN_ATTEND_UP])->dims[3], &a->up.n);
    }
    a->nfold = sn_lower_ceil(l, a->keys, SN_ATTEND_FOLD);
    a->npanel = sn_dim_mul(l->s, a->nfold, i_const(l, SN_ATTEND_FOLD / SN_LANES));
    a->cap = (float)sn_attr_float(l->s, r, "softcap", 0);
    a->scale = (float)sn_attr_float(l->s, r, "scale", 0);
    if (a->scale == 0)
        a->scale = 1 / sqrtf((float)a->dim);
    a->window = sn_attr_int(l->s, r, "window", 0);
}

static void shape_tile(SnLower *l, SnAttend *a)
{
    const int64_t most = sn_attend_sums(l);
    int64_t rows, lo, hi;
    a->span = CHUNK;
    if (!is_past(a))
        sn_attend_fit(l, a);
    a->nrow = a->is_tiled ? SN_ATTEND_ROWS : ROWS * row_bytes(a) > MAX_LOCAL ? ROWS / 2 : ROWS;
    if (sn_is_const_i64(l->s, a->rows, &rows) && rows < a->nrow && (rows <= 4 || most > 4))
        a->nrow = rows > 0 ? rows : 1;
    a->body_rows = a->nrow < most ? a->nrow : most < ROWS ? most : a->nrow;
    a->body_panels = is_past(a) && 4 * a->body_rows <= most ? 4 : 2 * a->body_rows <= most ? 2 : 1;
    a->grid_rows = a->fits_tiles ? SN_ATTEND_ROWS : a->nrow;
    sn_dim_range(l->s, a->keys, &lo, &hi);
    a->is_merged = is_past(a) || hi > a->span;
}

static void emit_grid(SnLower *l, SnAttend *a)
{
    const SnRef nblock = sn_lower_ceil(l, a->rows, a->grid_rows);
    a->result = sn_lower_result(l, 0);
    a->row = i_mul(l, sn_attend_take_tile(l, a, nblock), i_const(l, a->grid_rows));
    if (!sn_lower_is_empty(l, a->to->ndim, a->to->dims))
        emit_tiles(l, a);
    sn_lower_end(l, sn_attend_tiles(l, a, nblock));
}

void sn_lower_past(SnLower *l, SnRef r)
{
    SnAttend a = {.nmark = 0};
    int64_t rows = 0;
    read_term(l, r, past_operand, SN_COUNT(past_operand), &a);
    shape_tile(l, &a);
    if (sn_is_const_i64(l->s, a.rows, &rows) && rows <= part_rows(&a)) {
        emit_parts(l, &a);
        return;
    }
    sn_lower_begin(l, "attend_past");
    read_operands(l, &a, SN_ATTEND_OPERANDS);
    emit_grid(l, &a);
}

void sn_lower_attend(SnLower *l, SnRef r)
{
    SnAttend a = {.nmark = 0};
    read_term(l, r, whole_operand, SN_COUNT(whole_operand), &a);
    shape_tile(l, &a);
    a.temp = sn_attend_pack(l, &a, SN_ATTEND_K);
    if (a.fits_tiles) {
        a.value_temp = sn_lower_temp(l, sn_attend_value_bytes(l, &a));
        sn_attend_pack_values(l, &a);
    }
    sn_lower_begin(l, "attend");
    read_operands(l, &a, SN_ATTEND_K);
    a.query.panels = sn_lower_buffer(l, SN_BUF_TEMP, 0, a.temp, false);
    if (a.fits_tiles)
        a.value_panels = sn_lower_buffer(l, SN_BUF_TEMP, 0, a.value_temp, false);
    emit_grid(l, &a);
}

/* Panels of k, panels of v, and of each row M and L: all in buffers by now. */
typedef struct GradTemps {
    uint32_t keys, values, stats;
} GradTemps;

static void begin_grad(SnLower *l, SnAttend *a, const char *name, const GradTemps *t, bool makes_stats)
{
    sn_lower_begin(l, name);
    read_operands(l, a, SN_ATTEND_V);
    a->query.panels = sn_lower_buffer(l, SN_BUF_TEMP, 0, t->keys, false);
    a->up.panels = sn_lower_buffer(l, SN_BUF_TEMP, 0, t->values, false);
    a->stats = sn_lower_buffer(l, SN_BUF_TEMP, 0, t->stats, makes_stats);
}

void sn_lower_attend_grad(SnLower *l, SnRef r)
{
    SnAttend a = {.nmark = 0};
    read_term(l, r, grad_operand, SN_COUNT(grad_operand), &a);
    shape_tile(l, &a);
    GradTemps t = {sn_attend_pack(l, &a, SN_ATTEND_K), 0, 0};
    t.values = sn_attend_pack(l, &a, SN_ATTEND_V);
    t.stats = sn_lower_temp(l, sn_attend_stats_bytes(l, &a));
    begin_grad(l, &a, "attend_grad_rows", &t, true);
    emit_grid(l, &a);
    begin_grad(l, &a, "attend_grad_keys", &t, false);
    sn_attend_grad_keys(l, &a);
}
