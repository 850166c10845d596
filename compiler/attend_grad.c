/* attend_grad.c -- the gradients of q, k and v of an attention, without its scores in memory.
 *
 * Two kernels compute the scores again. The first one is the tile of attend.c: where p of a chunk is known it
 * becomes p (dy v^T - dot) * scale, the gradient of the scores, which is multiplied with k as p is with v;
 * dot is the sum of dy * y over a row. It leaves M and L of each row. In the second one, here, a tile is 32
 * positions of k, and walks the rows of q, some at a time: p = exp(score - M) * (1 / max(L, FLT_MIN)), dv is
 * the sum of p * dy, dk that of the gradient of the scores * q. Both lie in the result while they grow.
 *
 * The order of sums, a constant of the format: a score and dy v^T in rising columns by fma from zero; dq as
 * in attend.c; dk and dv over the heads of a group, then over rows, rising, by fma from zero. Dao et al.
 * 2022, arXiv:2205.14135, algorithm 4. */
#include "compiler/attend.h"

#include <float.h>

#define MOST_ROWS 32
#define MAX_LOCAL (22 * 1024) /* of rows: others have the rest */

/* ---- what the first kernel leaves ---- */

SnRef sn_attend_stats_bytes(SnLower *l, const SnAttend *a)
{
    return sn_dim_mul(l->s, sn_lower_count(l, 3, a->to->dims), i_const(l, 2 * (int64_t)sizeof(float)));
}

SnRef sn_attend_stats(SnLower *l, const SnAttend *a, SnRef head, SnRef pos)
{
    const SnRef index[] = {a->batch, pos, head};
    return i_mul(l, sn_lower_join(l, 3, a->to->dims, index), i_const(l, 2));
}

void sn_attend_open_up(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    SnRef head, pos;
    a->up.local = open_local(l, a, SN_F32, a->nrow * whole_panels(a->up.n));
    a->dot = open_local(l, a, SN_F32, a->nrow);
    sn_attend_load(l, a, &a->up);
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, a->nrow), &mark);
    (void)sn_attend_row(l, a, row, &head, &pos);
    put(l, a->dot, row, sn_attend_element(l, a, SN_ATTEND_DOT, head, pos, 0, 0));
    sn_lower_close(l, mark);
}

/* ---- p ---- */

/* M and 1 / L of each row, 0 for one past the end: it has no p. */
static void load_stats(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    SnRef head, pos;
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, a->nrow), &mark);
    const SnRef guard = sn_attend_row(l, a, row, &head, &pos), from = sn_attend_stats(l, a, head, pos);
    put(l, a->top, row, get(l, a->stats, from));
    const SnRef y = sn_s2(l->s, SN_OP_DIV, real(l, 1), get(l, a->stats, i_add(l, from, i_const(l, 1))));
    put(l, a->sum, row, guard != 0 ? sn_s3(l->s, SN_OP_WHERE, guard, y, real(l, 0)) : y);
    sn_lower_close(l, mark);
}

/* Is a position of the tile there? 0: all are. */
static SnRef is_there(SnLower *l, const SnAttend *a, SnRef j)
{
    int64_t rest;
    const SnRef left = sn_dim_mod(l->s, a->keys, i_const(l, a->span));
    const bool is_whole = sn_is_const_i64(l->s, left, &rest) && rest == 0;
    return is_whole ? 0 : i_lt(l, i_add(l, base_of(l, a), j), sn_lower_dim(l, a->keys));
}

static void exp_rows(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    SnBody b = {.nrow = 1, .npanel = a->span / SN_LANES, .width = SN_LANES};
    SnRef point[4] = {a->batch};
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    (void)sn_attend_row(l, a, row, &point[1], &point[2]);
    sn_body_open(l, &b);
    const SnRef at_score = at(l, row, a->span, b.slot);
    point[3] = i_add(l, base_of(l, a), b.slot);
    const SnRef x = sn_attend_score(l, a, row, get(l, a->score, at_score), point, is_there(l, a, b.slot));
    put(l, a->score, at_score,
        sn_s2(l->s, SN_OP_MUL, exp_of(l, x, get(l, a->top, row)), get(l, a->sum, row)));
    sn_body_close(l, &b);
    sn_lower_close(l, mark);
}

/* ---- sums over rows ---- */

/* Of the positions of a tile: what the scores of a row are multiplied with, and where it is added to. */
typedef struct Sums {
    const SnAttendRows *rows; /* NULL: zeros are put there */
    int64_t n;
    int result;
    const SnType *to;
    SnRef first; /* of the positions in registers */
} Sums;

static SnRef place_of(SnLower *l, const SnAttend *a, const Sums *x, SnRef key, SnRef col)
{
    const SnRef index[] = {a->batch, i_add(l, base_of(l, a), key), a->head, col};
    return sn_lower_join(l, 4, x->to->dims, index);
}

static void add_rows(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    const Sums *x = (const Sums *)self;
    SnBody b = {.nrow = a->body_rows, .npanel = npanel, .width = width};
    SnStmt **mark;
    const int from = a->nmark, sum = open_local(l, a, SN_F32, b.nrow * npanel * width);
    sn_body_open(l, &b);
    SnRef key = i_add(l, x->first, b.row), c = i_add(l, col, at(l, b.panel, width, b.lane));
    put(l, sum, b.slot, sn_lower_load(l, x->result, SN_F32, place_of(l, a, x, key, c), is_there(l, a, key)));
    sn_body_close(l, &b);
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    sn_body_open(l, &b);
    key = i_add(l, x->first, b.row);
    c = i_add(l, col, at(l, b.panel, width, b.lane));
    const SnRef p = get(l, a->score, at(l, row, a->span, key));
    const SnRef y = get(l, x->rows->local, at(l, row, whole_panels(x->n), c));
    put(l, sum, b.slot, sn_s3(l->s, SN_OP_FMA, p, y, get(l, sum, b.slot)));
    sn_body_close(l, &b);
    sn_lower_close(l, mark);
    sn_body_open(l, &b);
    key = i_add(l, x->first, b.row);
    c = i_add(l, col, at(l, b.panel, width, b.lane));
    sn_lower_store(l, x->result, SN_F32, place_of(l, a, x, key, c), get(l, sum, b.slot), is_there(l, a, key));
    sn_body_close(l, &b);
    close_locals(l, a, from);
}

static void clear_rows(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    const Sums *x = (const Sums *)self;
    SnBody b = {.nrow = a->body_rows, .npanel = npanel, .width = width};
    sn_body_open(l, &b);
    const SnRef key = i_add(l, x->first, b.row), c = i_add(l, col, at(l, b.panel, width, b.lane));
    sn_lower_store(l, x->result, SN_F32, place_of(l, a, x, key, c), real(l, 0), is_there(l, a, key));
    sn_body_close(l, &b);
}

static void each_key(SnLower *l, SnAttend *a, Sums *x, SnColumnsFn *emit)
{
    SnStmt **mark;
    const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->span / a->body_rows), &mark);
    x->first = i_mul(l, i, i_const(l, a->body_rows));
    sn_attend_columns(l, a, x->n, a->body_panels, emit, x);
    sn_lower_close(l, mark);
}

/* ---- a tile ---- */

/* As many rows at a time as there is room for, and registers that divide them and the positions. */
static void shape_tile(SnLower *l, SnAttend *a)
{
    const int64_t columns = whole_panels(a->dim) + whole_panels(a->up.n) + SN_ATTEND_FOLD;
    a->span = SN_ATTEND_FOLD;
    a->nrow = MOST_ROWS;
    while (a->nrow * columns * (int64_t)sizeof(float) > MAX_LOCAL)
        a->nrow /= 2;
    a->body_rows = sn_attend_sums(l) >= 2 * SN_ATTEND_BODY ? SN_ATTEND_BODY : SN_ATTEND_BODY / 2;
    a->body_panels = sn_attend_sums(l) / a->body_rows;
}

static void emit_tile(SnLower *l, SnAttend *a, Sums *dk, Sums *dv)
{
    SnStmt **mark[2];
    each_key(l, a, dk, clear_rows);
    each_key(l, a, dv, clear_rows);
    const SnRef n = sn_lower_dim(l, sn_lower_ceil(l, a->rows, a->nrow));
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, n, &mark[0]);
    a->row = i_mul(l, block, i_const(l, a->nrow));
    a->query.local = open_local(l, a, SN_F32, a->nrow * whole_panels(a->query.n));
    a->score = open_local(l, a, SN_F32, a->nrow * a->span);
    a->top = open_local(l, a, SN_F32, a->nrow);
    a->sum = open_local(l, a, SN_F32, a->nrow);
    load_stats(l, a);
    const SnRef seen = sn_attend_end(l, a);
    if (seen != 0)
        sn_kernel_if(&l->kb,
                     sn_s2(l->s, SN_OP_OR, i_lt(l, base_of(l, a), seen), sn_attend_is_blind(l, a, a->top)),
                     &mark[1]);
    sn_attend_load(l, a, &a->query);
    const int from = a->nmark;
    sn_attend_open_up(l, a);
    sn_attend_multiply(l, a, &a->query);
    exp_rows(l, a);
    each_key(l, a, dv, add_rows);
    sn_attend_multiply(l, a, &a->up);
    each_key(l, a, dk, add_rows);
    close_locals(l, a, from);
    if (seen != 0)
        sn_lower_close(l, mark[1]);
    close_locals(l, a, 0);
    sn_lower_close(l, mark[0]);
}

void sn_attend_grad_keys(SnLower *l, SnAttend *a)
{
    const SnType *type = sn_type_of(l->s, l->root);
    Sums dk = {.rows = &a->query, .n = a->query.n, .to = sn_type(l->s, type->child[1])};
    Sums dv = {.rows = &a->up, .n = a->up.n, .to = sn_type(l->s, type->child[2])};
    shape_tile(l, a);
    dk.result = sn_lower_result(l, 1);
    dv.result = sn_lower_result(l, 2);
    a->chunk = sn_attend_take_tile(l, a, a->nfold);
    a->count = i_const(l, a->span);
    if (!sn_lower_is_empty(l, dk.to->ndim, dk.to->dims))
        emit_tile(l, a, &dk, &dv);
    sn_lower_end(l, sn_attend_tiles(l, a, a->nfold));
}
