/* lower_contract.c -- einsum of two operands.
 *
 * A tile is ROWS x 16 outputs over the whole of k. Lanes run along the last labels of the result; rows are
 * labels that only the other operand has, so what is loaded along the lanes serves all rows. An output starts
 * at zero and takes fma (floats) or mul, add (integers) in rising k: row-major over the summed labels as they
 * stand in the first operand, then those that only the second has. That order belongs to the op: a row alone
 * and a row among others have equal bits. Operands are widened to the accumulator as they are loaded. */
#include "compiler/lower.h"

#define ROWS 8

typedef struct Labels {
    int n;
    char at[SN_MAX_RANK];
} Labels;

/* A group of labels with one index over all of them. */
typedef struct Group {
    int n;
    char label[SN_MAX_RANK];
    SnRef dims[SN_MAX_RANK];
    SnRef count; /* a dim */
} Group;

typedef struct Contract {
    SnRef operand[2];
    Labels of[2], result;
    SnDtype acc, to;
    Group outer, rows, lanes, summed; /* outer: one value a tile */
    int64_t nrow, width;              /* of a tile */
    int buf, local;
    SnRef point[128]; /* by label: its index where the walk is now */
} Contract;

static bool has_label(const Labels *x, char c)
{
    return memchr(x->at, c, (size_t)x->n) != NULL;
}

static const char *read_labels(const char *at, Labels *out)
{
    for (; *at != '\0' && *at != ',' && *at != '-'; at++) {
        if (out->n < SN_MAX_RANK)
            out->at[out->n++] = *at;
    }
    return at;
}

static void add_label(SnLower *l, const Contract *c, Group *g, char label)
{
    const int side = has_label(&c->of[0], label) ? 0 : 1;
    const Labels *x = &c->of[side];
    const char *at = (const char *)memchr(x->at, label, (size_t)x->n);
    if (at == NULL || g->n == SN_MAX_RANK) {
        sn_lower_fail(l, SN_EUNSUPPORTED, "contract: more than %d labels of one kind", SN_MAX_RANK);
        return;
    }
    g->label[g->n] = label;
    g->dims[g->n++] = sn_type_of(l->s, c->operand[side])->dims[at - x->at];
}

/* Which operands have it: 1 the first, 2 the second, 3 both. */
static int owners(const Contract *c, char label)
{
    return (has_label(&c->of[0], label) ? 1 : 0) | (has_label(&c->of[1], label) ? 2 : 0);
}

static void group_labels(SnLower *l, Contract *c)
{
    const Labels *out = &c->result;
    const int lane_owner = out->n > 0 ? owners(c, out->at[out->n - 1]) : 2;
    const int row_owner = lane_owner == 1 ? 2 : 1;
    int first_lane = out->n;
    while (first_lane > 0 && owners(c, out->at[first_lane - 1]) == lane_owner)
        first_lane--;
    for (int i = 0; i < out->n; i++) {
        Group *g = i >= first_lane ? &c->lanes : owners(c, out->at[i]) == row_owner ? &c->rows : &c->outer;
        add_label(l, c, g, out->at[i]);
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < c->of[side].n; i++) {
            const char label = c->of[side].at[i];
            if (!has_label(out, label) && !(side == 1 && has_label(&c->of[0], label)))
                add_label(l, c, &c->summed, label);
        }
    }
    Group *const all[] = {&c->outer, &c->rows, &c->lanes, &c->summed};
    for (size_t i = 0; i < SN_COUNT(all); i++)
        all[i]->count = sn_lower_count(l, all[i]->n, all[i]->dims);
}

/* ---- points ---- */

static void set_point(SnLower *l, Contract *c, const Group *g, SnRef whole)
{
    SnRef index[SN_MAX_RANK];
    sn_lower_part(l, whole, g->n, g->dims, index);
    for (int i = 0; i < g->n; i++)
        c->point[(unsigned char)g->label[i]] = index[i];
}

static SnRef element(SnLower *l, const Contract *c, int side, SnRef guard)
{
    const Labels *x = &c->of[side];
    SnRef index[SN_MAX_RANK];
    bool has_lane = false;
    for (int i = 0; i < x->n; i++) {
        index[i] = c->point[(unsigned char)x->at[i]];
        has_lane |= memchr(c->lanes.label, x->at[i], (size_t)c->lanes.n) != NULL;
    }
    return sn_s_cast(l->s, c->acc, sn_lower_scalar(l, c->operand[side], index, has_lane ? guard : 0));
}

/* Opens lanes, then rows; sets their points. A row past the end is the last one: only its store is guarded.
 */
typedef struct Open {
    SnStmt **lanes, **rows;
    SnRef slot; /* of the accumulators */
    SnRef lane_guard, row_guard;
} Open;

static Open open_outputs(SnLower *l, Contract *c, SnRef first_row, SnRef first_lane, bool is_whole)
{
    Open o = {0};
    int64_t rest;
    const SnLoopKind kind = c->width == 1 ? SN_LOOP_UNROLL : SN_LOOP_LANES;
    const SnRef lane = sn_kernel_loop(&l->kb, kind, i_const(l, c->width), &o.lanes);
    const SnRef r = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, c->nrow), &o.rows);
    const SnRef col = i_add(l, first_lane, lane);
    SnRef row = i_add(l, first_row, r);
    set_point(l, c, &c->lanes, col);
    if (!is_whole)
        o.lane_guard = i_lt(l, col, sn_lower_dim(l, c->lanes.count));
    const SnRef ragged = sn_dim_mod(l->s, c->rows.count, i_const(l, c->nrow));
    if (!sn_is_const_i64(l->s, ragged, &rest) || rest != 0) {
        const SnRef nrow = sn_lower_dim(l, c->rows.count);
        o.row_guard = i_lt(l, row, nrow);
        row = i_min(l, row, i_add(l, nrow, i_const(l, -1)));
    }
    set_point(l, c, &c->rows, row);
    o.slot = i_add(l, i_mul(l, r, i_const(l, c->width)), lane);
    return o;
}

static void close_outputs(SnLower *l, const Open *o)
{
    sn_lower_close(l, o->rows);
    sn_lower_close(l, o->lanes);
}

/* ---- one tile ---- */

static SnRef multiply_add(SnLower *l, const Contract *c, SnRef a, SnRef b, SnRef sum)
{
    if (sn_dtype_is_float(c->acc))
        return sn_s3(l->s, SN_OP_FMA, a, b, sum);
    return i_add(l, i_mul(l, a, b), sum);
}

static void emit_tile(SnLower *l, Contract *c, SnRef first_row, SnRef first_lane, bool is_whole)
{
    SnStmt **local, **loop[SN_MAX_RANK];
    c->local = sn_kernel_local(&l->kb, c->acc, c->nrow * c->width, &local);
    Open o = open_outputs(l, c, first_row, first_lane, is_whole);
    sn_lower_store(l, c->local, c->acc, o.slot, sn_const_scalar(l->s, c->acc, (SnScalar){.u = 0}), 0);
    close_outputs(l, &o);
    for (int i = 0; i < c->summed.n; i++) {
        const SnRef size = sn_lower_dim(l, c->summed.dims[i]);
        c->point[(unsigned char)c->summed.label[i]] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, size, &loop[i]);
    }
    o = open_outputs(l, c, first_row, first_lane, is_whole);
    const SnRef a = element(l, c, 0, o.lane_guard), b = element(l, c, 1, o.lane_guard);
    const SnRef sum = sn_lower_load(l, c->local, c->acc, o.slot, 0);
    sn_lower_store(l, c->local, c->acc, o.slot, multiply_add(l, c, a, b, sum), 0);
    close_outputs(l, &o);
    for (int i = c->summed.n; i-- > 0;)
        sn_lower_close(l, loop[i]);
    o = open_outputs(l, c, first_row, first_lane, is_whole);
    SnRef index[SN_MAX_RANK], dims[SN_MAX_RANK];
    const SnType *type = sn_type_of(l->s, l->root);
    for (int i = 0; i < c->result.n; i++) {
        index[i] = c->point[(unsigned char)c->result.at[i]];
        dims[i] = type->dims[i];
    }
    sn_lower_store(l, c->buf, c->to, sn_lower_join(l, c->result.n, dims, index),
                   sn_s_cast(l->s, c->to, sn_lower_load(l, c->local, c->acc, o.slot, 0)),
                   i_both(l, o.row_guard, o.lane_guard));
    close_outputs(l, &o);
    sn_lower_close(l, local);
}

/* Whole groups of lanes need no guards: they get code of their own. */
static void emit_columns(SnLower *l, Contract *c, SnRef first_row, SnRef block)
{
    int64_t n;
    const SnRef width = i_const(l, c->width), first = i_mul(l, block, width);
    const bool is_known = sn_is_const_i64(l->s, c->lanes.count, &n);
    if (is_known && (n % c->width == 0 || n < c->width)) {
        emit_tile(l, c, first_row, first, n % c->width == 0);
        return;
    }
    SnStmt **mark;
    const SnRef ends = i_lt(l, sn_lower_dim(l, c->lanes.count), i_add(l, first, width));
    sn_kernel_if(&l->kb, sn_s_not(l->s, ends), &mark);
    emit_tile(l, c, first_row, first, true);
    sn_lower_close(l, mark);
    sn_kernel_if(&l->kb, ends, &mark);
    emit_tile(l, c, first_row, first, false);
    sn_lower_close(l, mark);
}

/* Takes the tile's number apart: the part that changes fastest. */
static SnRef next_part(SnLower *l, SnRef *tile, SnRef n)
{
    int64_t v;
    if (sn_is_const_i64(l->s, n, &v) && v == 1)
        return i_const(l, 0);
    const SnRef size = sn_lower_divisor(l, n), part = i_mod(l, *tile, size);
    *tile = i_div(l, *tile, size);
    return part;
}

void sn_lower_contract(SnLower *l, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    Contract c = {
        .operand = {t->arg[0], t->arg[1]}, .to = sn_dtype_of(l->s, r), .nrow = ROWS, .width = SN_LANES};
    const char *eq = sn_attr_string(l->s, r, "eq");
    eq = read_labels(eq, &c.of[0]);
    eq = read_labels(eq + 1, &c.of[1]);
    (void)read_labels(eq + 2, &c.result);
    c.acc = sn_lower_acc(c.to);
    sn_lower_begin(l, "contract");
    group_labels(l, &c);
    if (l->status != SN_OK)
        return;
    int64_t n;
    if (sn_is_const_i64(l->s, c.rows.count, &n) && n < ROWS)
        c.nrow = n > 0 ? n : 1;
    if (sn_is_const_i64(l->s, c.lanes.count, &n) && n == 1)
        c.width = 1;
    sn_lower_read(l, c.operand[0]);
    sn_lower_read(l, c.operand[1]);
    c.buf = sn_lower_result(l, 0);
    const SnRef nrow = sn_lower_ceil(l, c.rows.count, c.nrow),
                nlane = sn_lower_ceil(l, c.lanes.count, c.width);
    SnRef tile = l->kb.k->tile;
    const SnRef row = i_mul(l, next_part(l, &tile, nrow), i_const(l, c.nrow));
    const SnRef lane = next_part(l, &tile, nlane);
    set_point(l, &c, &c.outer, tile);
    if (!sn_lower_is_empty(l, c.result.n, sn_type_of(l->s, r)->dims))
        emit_columns(l, &c, row, lane);
    sn_lower_end(l, sn_dim_mul(l->s, c.outer.count, sn_dim_mul(l->s, nrow, nlane)));
}
