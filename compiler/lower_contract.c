/* lower_contract.c -- einsum of two operands: its labels, its tiles, and where the sums go.
 *
 * Lanes run along the last labels of the result, in panels of 16; rows are labels that only the other operand
 * has, so what is loaded along the lanes serves all rows. An output starts at zero and takes fma (floats) or
 * mul, add (integers) in rising k: row-major over the summed labels as they stand in the first operand, then
 * those that only the second has. That order belongs to the op: a row alone and a row among others have equal
 * bits. Operands are widened to the accumulator as they are loaded. gemm.c computes the sums of a tile; they
 * leave the registers through a LOCAL, from which they are stored row by row, or what they are part of
 * (fuse_tail.c) at the point where each goes. Successive tiles walk rows first, as many as stay in L2: these
 * are read from memory once, and each panel once for them all. */
#include "compiler/contract.h"

#define PART        'g'         /* the label of parts, of which each row has one */
#define WALK_BYTES  (448 << 10) /* of rows that stay in L2 */
#define WALK_LEAST  3
#define AHEAD_BYTES (16 << 10) /* more than memory has on the way; three such streams fit in L2 */

static bool has_label(const SnLabels *x, char c)
{
    return memchr(x->at, c, (size_t)x->n) != NULL;
}

static const char *read_labels(const char *at, SnLabels *out)
{
    for (; *at != '\0' && *at != ',' && *at != '-'; at++)
        if (out->n < SN_MAX_RANK)
            out->at[out->n++] = *at;
    return at;
}

static void add_label(SnLower *l, const SnContract *c, SnLabelGroup *g, char label)
{
    const int side = has_label(&c->of[0], label) ? 0 : 1;
    const SnLabels *x = &c->of[side];
    const char *at = (const char *)memchr(x->at, label, (size_t)x->n);
    if (at == NULL || g->n == SN_MAX_RANK) {
        sn_lower_fail(l, SN_EUNSUPPORTED, "contract: more than %d labels of one kind", SN_MAX_RANK);
        return;
    }
    g->label[g->n] = label;
    g->dims[g->n++] = sn_type_of(l->s, c->operand[side])->dims[at - x->at];
}

/* Which operands have it: 1 the first, 2 the second, 3 both. */
static int owners(const SnContract *c, char label)
{
    return (has_label(&c->of[0], label) ? 1 : 0) | (has_label(&c->of[1], label) ? 2 : 0);
}

/* Does what has the lanes lie along them? Pairs of the innermost k may lie behind the lane. */
static bool lies_along(SnLower *l, SnContract *c, const SnLabels *x)
{
    int64_t n;
    const char lane = c->result.at[c->result.n - 1], last = x->at[x->n - 1];
    const SnLabelGroup *k = &c->summed;
    if (x->n > 1 && x->at[x->n - 2] == lane && c->acc == SN_F32 && k->n > 0 && k->label[k->n - 1] == last &&
        sn_is_const_i64(l->s, k->dims[k->n - 1], &n) && n == 2)
        c->pair = last;
    const int at = x->n - (c->pair != 0 ? 2 : 1);
    c->has_panels = at > 0 && memchr(k->label, x->at[at - 1], (size_t)k->n) != NULL &&
                    sn_is_const_i64(l->s, c->lane.dims[c->lane.n - 1], &n) && n == SN_LANES;
    c->ahead = c->has_panels ? AHEAD_BYTES : 0;
    return last == lane || c->pair != 0;
}

static void group_labels(SnLower *l, SnContract *c)
{
    const SnLabels *out = &c->result;
    const int lane_owner = out->n > 0 ? owners(c, out->at[out->n - 1]) : 2;
    const int row_owner = lane_owner == 1 ? 2 : 1;
    int first_lane = out->n;
    while (first_lane > 0 && owners(c, out->at[first_lane - 1]) == lane_owner)
        first_lane--;
    for (int i = 0; i < out->n; i++) {
        const bool is_row = owners(c, out->at[i]) == row_owner;
        add_label(l, c, i >= first_lane ? &c->lane : is_row ? &c->row : &c->outer, out->at[i]);
    }
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < c->of[side].n; i++) {
            const char label = c->of[side].at[i];
            if (!has_label(out, label) && !(side == 1 && has_label(&c->of[0], label)) &&
                !(c->group != 0 && label == PART))
                add_label(l, c, &c->summed, label);
        }
    }
    SnLabelGroup *const all[] = {&c->outer, &c->row, &c->lane, &c->summed};
    for (size_t i = 0; i < SN_COUNT(all); i++)
        all[i]->count = sn_lower_count(l, all[i]->n, all[i]->dims);
    c->is_strided = out->n > 0 && !lies_along(l, c, &c->of[lane_owner == 1 ? 0 : 1]);
}

/* ---- points ---- */

static void set_point(SnLower *l, SnContract *c, const SnLabelGroup *g, SnRef whole)
{
    SnRef index[SN_MAX_RANK];
    sn_lower_part(l, whole, g->n, g->dims, index);
    for (int i = 0; i < g->n; i++)
        c->point[(unsigned char)g->label[i]] = index[i];
}

void sn_contract_rows(SnLower *l, SnContract *c, SnRef row)
{
    set_point(l, c, &c->row, row);
}

/* Where the last label has whole panels, no lane is divided. */
SnRef sn_contract_lanes(SnLower *l, SnContract *c, SnRef panel, SnRef lane)
{
    int64_t n;
    SnLabelGroup g = c->lane;
    const SnRef width = i_const(l, c->width), col = i_add(l, i_mul(l, panel, width), lane);
    if (g.n > 1 && sn_is_const_i64(l->s, g.dims[g.n - 1], &n) && n > 0 && n % c->width == 0) {
        const SnRef per = i_const(l, n / c->width);
        c->point[(unsigned char)g.label[--g.n]] = i_add(l, i_mul(l, i_mod(l, panel, per), width), lane);
        set_point(l, c, &g, i_div(l, panel, per));
    } else {
        set_point(l, c, &g, col);
    }
    if (c->is_ragged)
        return i_lt(l, col, sn_lower_dim(l, c->lane.count));
    const SnRef past = sn_dim_mod(l->s, c->npanel, i_const(l, c->panels));
    return sn_is_const_i64(l->s, past, &n) && n == 0 ? 0 : i_lt(l, panel, sn_lower_dim(l, c->npanel));
}

SnRef sn_lower_ahead(SnLower *l, SnRef r, int64_t bytes)
{
    const SnTerm *t = l->status == SN_OK ? sn_term(l->s, r) : NULL;
    if (t != NULL && t->op == SN_OP_LOAD)
        return sn_kernel_ahead(l->s, r, bytes);
    if (t == NULL || t->op != SN_OP_CAST)
        return r;
    const SnTypeId type = t->type;
    const SnAttrId attr = t->attr;
    const SnRef from = sn_lower_ahead(l, t->arg[0], bytes);
    return sn_term_make(l->s, SN_OP_CAST, type, attr, &from, 1);
}

SnRef sn_contract_element(SnLower *l, const SnContract *c, int side, SnRef guard)
{
    const SnLabels *x = &c->of[side];
    SnRef index[SN_MAX_RANK];
    bool has_lane = false;
    for (int i = 0; i < x->n; i++) {
        index[i] = c->point[(unsigned char)x->at[i]];
        has_lane |= memchr(c->lane.label, x->at[i], (size_t)c->lane.n) != NULL;
    }
    const SnRef value = sn_lower_scalar(l, c->operand[side], index, has_lane ? guard : 0);
    return sn_s_cast(l->s, c->acc, has_lane && c->ahead > 0 ? sn_lower_ahead(l, value, c->ahead) : value);
}

SnRef sn_contract_place(SnLower *l, const SnContract *c)
{
    SnRef index[SN_MAX_RANK];
    const SnType *type = sn_type_of(l->s, l->root);
    for (int i = 0; i < c->result.n; i++)
        index[i] = c->point[(unsigned char)c->result.at[i]];
    return sn_lower_join(l, type->ndim, type->dims, index);
}

/* ---- one tile ---- */

/* The point of a movement's result where a point of its operand goes; returns the guard of the points that go
 * anywhere. */
static SnRef move_point(SnLower *l, SnRef move, SnRef *index)
{
    const SnTerm *t = sn_term(l->s, move);
    const SnType *from = sn_type_of(l->s, t->arg[0]), *to = sn_type_of(l->s, move);
    const SnAttr *perm = sn_attr(l->s, move, "perm");
    SnRef at[SN_MAX_RANK], guard = 0;
    memcpy(at, index, (size_t)from->ndim * sizeof *at);
    if (t->op == SN_OP_RESHAPE)
        return sn_lower_regroup(l, from, at, to, index);
    for (int i = 0; t->op == SN_OP_PERMUTE && i < to->ndim; i++)
        index[i] = at[perm->u.ints.at[i]];
    for (int i = 0; t->op == SN_OP_SLICE && i < to->ndim; i++)
        if (to->dims[i] != from->dims[i])
            guard = i_both(l, guard, i_lt(l, at[i], sn_lower_dim(l, to->dims[i])));
    return guard;
}

/* The root at the points where the sums of the tile go. */
static void emit_result(SnLower *l, SnContract *c, int buf)
{
    SnStmt **rows, **panels, **lanes;
    const SnLoopKind kind = c->width == 1 ? SN_LOOP_UNROLL : SN_LOOP_LANES;
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, c->nrow, &rows);
    const SnRef panel = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, c->panels), &panels);
    const SnRef lane = sn_kernel_loop(&l->kb, kind, i_const(l, c->width), &lanes);
    sn_contract_rows(l, c, i_add(l, c->first_row, row));
    SnRef index[SN_MAX_RANK];
    SnRef guard = sn_contract_lanes(l, c, i_add(l, c->first_panel, panel), lane);
    for (int i = 0; i < c->result.n; i++)
        index[i] = c->point[(unsigned char)c->result.at[i]];
    for (int i = 0; i < c->tail.nmove; i++)
        guard = i_both(l, guard, move_point(l, c->tail.move[i], index));
    const SnRef at = i_add(l, i_mul(l, row, i_const(l, c->panels)), panel);
    const SnRef slot = i_add(l, i_mul(l, at, i_const(l, c->width)), lane);
    SnRef value = sn_s_cast(l->s, c->to, sn_lower_load(l, c->sums, c->acc, slot, 0));
    const SnType *type = sn_type_of(l->s, l->root);
    if (c->tail.product != l->root) {
        sn_lower_bind(l, c->tail.product, value);
        l->ahead.of = row; /* by then the next tile is there */
        l->ahead.by = c->rows;
        value = sn_lower_scalar(l, l->root, index, guard);
        l->ahead.of = 0;
    }
    sn_lower_store(l, buf, type->dtype, sn_lower_join(l, type->ndim, type->dims, index), value, guard);
    sn_lower_close(l, lanes);
    sn_lower_close(l, panels);
    sn_lower_close(l, rows);
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

/* Tiles of rows that are walked with each panel before the next group of rows: what they read stays in L2
 * beside the panel. Where that would be few, panels stay there instead: all rows are one group. */
static int64_t rows_at_once(SnLower *l, const SnContract *c)
{
    int64_t bytes;
    if (!sn_is_const_i64(l->s, c->summed.count, &bytes) ||
        !sn_mul_i64(bytes, c->rows * (int64_t)sn_dtype_size(c->acc), &bytes) || bytes <= 0)
        return INT64_MAX;
    return WALK_BYTES / bytes < WALK_LEAST ? INT64_MAX : WALK_BYTES / bytes;
}

/* Where the tile is. */
static void set_tile(SnLower *l, SnContract *c, SnRef nrow, SnRef ncol)
{
    int64_t n = 0;
    SnRef tile = l->kb.k->tile, row, col;
    const int64_t at_once = rows_at_once(l, c);
    if (at_once == INT64_MAX || (sn_is_const_i64(l->s, nrow, &n) && n <= at_once)) {
        row = next_part(l, &tile, nrow);
        col = next_part(l, &tile, ncol);
    } else {
        const SnRef size = i_const(l, at_once), group_size = sn_dim_mul(l->s, size, ncol);
        SnRef in = next_part(l, &tile, sn_dim_mul(l->s, nrow, ncol));
        const SnRef group = i_div(l, in, sn_lower_divisor(l, group_size)), first = i_mul(l, group, size);
        const SnRef left = i_min(l, size, i_sub(l, sn_lower_dim(l, nrow), first));
        const SnRef here = i_max(l, left, i_const(l, 1));
        in = i_sub(l, in, i_mul(l, group, sn_lower_dim(l, group_size)));
        row = i_add(l, first, i_mod(l, in, here));
        col = i_div(l, in, here);
    }
    c->first_row = i_mul(l, row, i_const(l, c->rows));
    c->first_panel = i_mul(l, col, i_const(l, c->panels));
    set_point(l, c, &c->outer, tile);
}

static void emit_sums(SnLower *l, SnContract *c, int buf)
{
    (c->blocks != NULL ? sn_blocks_tile : sn_gemm_tile)(l, c);
    emit_result(l, c, buf);
}

/* ---- rows that have a part of the second operand each ---- */

static SnRef part_of(SnLower *l, const SnContract *c, SnRef row)
{
    const SnRef part = sn_s_cast(l->s, SN_I64, sn_lower_scalar(l, c->group, &row, 0));
    return i_max(l, i_min(l, part, i_const(l, c->ngroup - 1)), i_const(l, 0));
}

/* How many rows from j on, of `here` from `first` on, have the part that row j has. */
static SnRef rows_alike(SnLower *l, const SnContract *c, SnRef first, SnRef here, SnRef j, int count)
{
    SnStmt **mark;
    const SnRef zero = i_const(l, 0), left = i_sub(l, here, j);
    sn_lower_store(l, count, SN_I64, zero, left, 0);
    const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, left, &mark);
    const SnRef other = part_of(l, c, i_add(l, i_add(l, first, j), i));
    const SnRef is_same = sn_s2(l->s, SN_OP_EQ, other, c->part);
    const SnRef n = sn_lower_load(l, count, SN_I64, zero, 0);
    sn_lower_store(l, count, SN_I64, zero, sn_s3(l->s, SN_OP_WHERE, is_same, n, i_min(l, n, i)), 0);
    sn_lower_close(l, mark);
    return sn_lower_load(l, count, SN_I64, zero, 0);
}

/* Rows of a part that lie side by side are a tile of their own. */
static void emit_parts(SnLower *l, SnContract *c, int buf)
{
    SnStmt **rows, **is_first, **local;
    const SnRef first = c->first_row, here = c->nrow, one = i_const(l, 1);
    const int count = sn_kernel_local(&l->kb, SN_I64, 1, &local);
    const SnRef j = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, here, &rows);
    const SnRef before = i_add(l, first, i_max(l, i_sub(l, j, one), i_const(l, 0)));
    c->first_row = i_add(l, first, j);
    c->part = part_of(l, c, c->first_row);
    c->point[(unsigned char)PART] = c->part;
    const SnRef goes_on = i_both(l, sn_s2(l->s, SN_OP_EQ, c->part, part_of(l, c, before)), i_ge(l, j, one));
    sn_kernel_if(&l->kb, sn_s_not(l->s, goes_on), &is_first);
    c->nrow = rows_alike(l, c, first, here, j, count);
    emit_sums(l, c, buf);
    sn_lower_close(l, is_first);
    sn_lower_close(l, rows);
    sn_lower_close(l, local);
}

static void emit_tile(SnLower *l, SnContract *c, int buf, SnRef nrow, SnRef ncol)
{
    int64_t n;
    SnStmt **local;
    const SnRef rows = i_const(l, c->rows), count = sn_lower_dim(l, c->row.count);
    set_tile(l, c, nrow, ncol);
    const bool is_whole = sn_is_const_i64(l->s, sn_dim_mod(l->s, c->row.count, rows), &n) && n == 0;
    c->nrow = is_whole ? rows : i_min(l, i_sub(l, count, c->first_row), rows);
    if (c->is_direct) {
        c->sums = buf;
        sn_gemm_tile(l, c);
        return;
    }
    const int64_t block = c->tiles.is_used ? SN_LANES : 1, room = (c->rows + block - 1) / block * block;
    c->sums = sn_kernel_local(&l->kb, c->acc, room * c->panels * c->width, &local);
    (c->group != 0 ? emit_parts : emit_sums)(l, c, buf);
    sn_lower_close(l, local);
}

/* product_grouped: rows [r, k..], panels [part, j, k.., l]. */
static void read_grouped(SnLower *l, SnContract *c, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    const bool is_paired = sn_type_of(l->s, t->arg[0])->ndim == 3;
    c->operand[0] = t->arg[0];
    c->operand[1] = t->arg[1];
    c->group = t->arg[2];
    (void)sn_is_const_i64(l->s, sn_type_of(l->s, t->arg[1])->dims[0], &c->ngroup);
    (void)read_labels(is_paired ? "rkp" : "rk", &c->of[0]);
    (void)read_labels(is_paired ? "gjklp" : "gjkl", &c->of[1]);
    (void)read_labels("rjl", &c->result);
    group_labels(l, c);
}

bool sn_grouped_accepts(const SnStore *s, SnRef r)
{
    return sn_dtype_size(sn_type_of(s, r)->dtype) == 4;
}

static void read_contract(SnLower *l, SnContract *c, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    const char *eq = sn_attr_string(l->s, r, "eq");
    c->operand[0] = t->arg[0];
    c->operand[1] = t->arg[1];
    eq = read_labels(eq, &c->of[0]);
    eq = read_labels(eq + 1, &c->of[1]);
    (void)read_labels(eq + 2, &c->result);
    group_labels(l, c);
}

static void lower_product(SnLower *l, const SnTail *tail)
{
    const SnRef r = tail->product;
    const bool is_claimed = sn_term(l->s, r)->op >= SN_PRIM_COUNT;
    const bool has_blocks = is_claimed && !sn_dtype_is_float(sn_dtype_of(l->s, sn_term(l->s, r)->arg[1]));
    SnBlockProduct blocks = {0};
    SnContract c = {
        .to = sn_dtype_of(l->s, r), .width = SN_LANES, .blocks = has_blocks ? &blocks : NULL, .tail = *tail};
    c.acc = sn_lower_acc(c.to);
    sn_lower_begin(l, has_blocks ? "blocks" : "contract");
    (has_blocks ? sn_blocks_read : is_claimed ? read_grouped : read_contract)(l, &c, r);
    if (l->status != SN_OK)
        return;
    int64_t n;
    if (sn_is_const_i64(l->s, c.lane.count, &n) && n == 1)
        c.width = 1;
    c.npanel = sn_lower_ceil(l, c.lane.count, c.width);
    c.is_ragged = !(sn_is_const_i64(l->s, sn_dim_mod(l->s, c.lane.count, i_const(l, c.width)), &n) && n == 0);
    const SnTerm *t = sn_term(l->s, r);
    for (int i = 0; i < t->narg; i++)
        if (sn_term(l->s, t->arg[i])->op != SN_OP_NONE)
            sn_lower_read(l, t->arg[i]);
    (has_blocks ? sn_blocks_shape : sn_gemm_shape)(l, &c);
    if (r != l->root)
        sn_lower_read(l, l->root);
    const int buf = sn_lower_result(l, 0);
    const SnRef nrow = sn_lower_ceil(l, c.row.count, c.rows), ncol = sn_lower_ceil(l, c.npanel, c.panels);
    if (!sn_lower_is_empty(l, c.result.n, sn_type_of(l->s, r)->dims))
        emit_tile(l, &c, buf, nrow, ncol);
    sn_lower_end(l, sn_dim_mul(l->s, c.outer.count, sn_dim_mul(l->s, nrow, ncol)));
}

void sn_lower_contract(SnLower *l, SnRef r)
{
    lower_product(l, &(SnTail){.product = r});
}

bool sn_lower_tail(SnLower *l, SnRef root)
{
    SnTail tail;
    if (!sn_tail_find(l->p, l->is_stored, root, 0, &tail))
        return false;
    lower_product(l, &tail);
    return true;
}
