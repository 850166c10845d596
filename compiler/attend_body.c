/* attend_body.c -- what attentions and their gradients are made of: points of a tile, panels, rows, and the
 * products of both in registers. */
#include "compiler/attend.h"

/* ---- what registers hold ---- */

int64_t sn_attend_sums(const SnLower *l)
{
    const SnTarget *t = l->p->target;
    const bool is_small = t->group_lanes > 0 || t->vector_bytes * t->vector_count < 2048;
    return is_small ? 4 : 2 * SN_ATTEND_BODY;
}

void sn_body_open(SnLower *l, SnBody *b)
{
    b->lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, b->width), &b->mark[0]);
    b->row = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->nrow), &b->mark[1]);
    b->panel = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->npanel), &b->mark[2]);
    b->slot = at(l, at(l, b->row, b->npanel, b->panel), b->width, b->lane);
}

void sn_body_close(SnLower *l, const SnBody *b)
{
    for (int i = 3; i-- > 0;)
        sn_lower_close(l, b->mark[i]);
}

void sn_body_fill(SnLower *l, SnBody *b, int local)
{
    sn_body_open(l, b);
    put(l, local, b->slot, real(l, 0));
    sn_body_close(l, b);
}

void sn_attend_columns(SnLower *l, SnAttend *a, int64_t n, int64_t npanel, SnColumnsFn *emit, void *self)
{
    const int64_t step = npanel * SN_LANES, nstep = n / step, left = n % step, rest = n % SN_LANES;
    SnStmt **mark;
    if (nstep > 1) {
        const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, nstep), &mark);
        emit(l, a, i_mul(l, i, i_const(l, step)), npanel, SN_LANES, self);
        sn_lower_close(l, mark);
    } else if (nstep == 1) {
        emit(l, a, i_const(l, 0), npanel, SN_LANES, self);
    }
    if (left >= SN_LANES)
        emit(l, a, i_const(l, nstep * step), left / SN_LANES, SN_LANES, self);
    if (rest > 0)
        emit(l, a, i_const(l, n - rest), 1, rest, self);
}

/* ---- points ---- */

SnRef sn_attend_row(SnLower *l, const SnAttend *a, SnRef row, SnRef *head, SnRef *pos)
{
    const SnRef dims[] = {a->group, a->to->dims[1]};
    SnRef index[2], whole = i_add(l, a->row, row), guard = 0;
    int64_t rest;
    if (!sn_is_const_i64(l->s, sn_dim_mod(l->s, a->rows, i_const(l, a->nrow)), &rest) || rest != 0) {
        const SnRef rows = sn_lower_dim(l, a->rows);
        guard = i_lt(l, whole, rows);
        whole = i_min(l, whole, i_add(l, rows, i_const(l, -1)));
    }
    sn_lower_part(l, whole, 2, dims, index);
    *head = i_add(l, i_mul(l, a->head, sn_lower_dim(l, a->group)), index[0]);
    *pos = index[1];
    return guard;
}

SnRef sn_attend_element(SnLower *l, const SnAttend *a, SnAttendOperand which, SnRef head, SnRef pos,
                        SnRef col, SnRef guard)
{
    const bool is_row = which == SN_ATTEND_UP || which == SN_ATTEND_DOT; /* their heads lie side by side */
    const SnRef index[] = {a->batch, is_row ? pos : head, is_row ? head : pos, col};
    return sn_s_cast(l->s, SN_F32, sn_lower_scalar(l, a->of[which], index, guard));
}

/* Of bias or mask, whose dims of 1 are broadcast and whose first ones may be missing. */
SnRef sn_attend_spread(SnLower *l, const SnAttend *a, SnAttendOperand which, const SnRef *point, SnRef guard)
{
    const SnType *type = sn_type_of(l->s, a->of[which]);
    SnRef index[4];
    int64_t v;
    for (int i = 0; i < type->ndim; i++)
        index[i] =
            sn_is_const_i64(l->s, type->dims[i], &v) && v == 1 ? i_const(l, 0) : point[4 - type->ndim + i];
    return sn_lower_scalar(l, a->of[which], index, guard);
}

SnRef sn_attend_take_tile(SnLower *l, SnAttend *a, SnRef n)
{
    const SnRef size = sn_lower_divisor(l, n), dims[] = {a->to->dims[0], a->heads};
    SnRef index[2];
    a->pair = i_div(l, l->kb.k->tile, size);
    sn_lower_part(l, a->pair, 2, dims, index);
    a->batch = index[0];
    a->head = index[1];
    return i_mod(l, l->kb.k->tile, size);
}

SnRef sn_attend_tiles(SnLower *l, const SnAttend *a, SnRef n)
{
    return sn_dim_mul(l->s, sn_dim_mul(l->s, a->to->dims[0], a->heads), n);
}

/* ---- panels of positions ---- */

static SnRef panel_at(SnLower *l, const SnAttend *a, int64_t n, SnRef panel, SnRef c, SnRef lane)
{
    const SnRef whole = i_add(l, i_mul(l, a->pair, sn_lower_dim(l, a->npanel)), panel);
    return at(l, at(l, whole, n, c), SN_LANES, lane);
}

static int64_t width_of(const SnStore *s, SnRef r)
{
    int64_t n = 0;
    (void)sn_is_const_i64(s, sn_type_of(s, r)->dims[3], &n);
    return n;
}

static void pack_panel(SnLower *l, const SnAttend *a, SnAttendOperand which, int to, SnRef panel,
                       bool is_whole)
{
    SnStmt **mark, **lanes;
    const int64_t n = width_of(l->s, a->of[which]);
    const SnRef c = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, n), &mark);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, SN_LANES), &lanes);
    const SnRef pos = at(l, panel, SN_LANES, lane);
    const SnRef guard = is_whole ? 0 : i_lt(l, pos, sn_lower_dim(l, a->keys));
    put(l, to, panel_at(l, a, n, panel, c, lane), sn_attend_element(l, a, which, a->head, pos, c, guard));
    sn_lower_close(l, lanes);
    sn_lower_close(l, mark);
}

/* Of a panel: what any level makes of it has room. */
static int64_t panel_bytes(const SnAttend *a, int64_t n)
{
    const int64_t plain = n * SN_LANES * (int64_t)sizeof(float), pairs = sn_attend_panel_bytes(a);
    return a->fits_tiles && pairs > plain ? pairs : plain;
}

/* Elements are moved one by one: a strided load of 16 takes no fewer accesses, and on many CPUs much longer.
 */
static void pack(SnLower *l, const SnAttend *a, SnAttendOperand which, int to, SnRef panel)
{
    SnStmt **mark;
    const SnRef next = i_mul(l, i_add(l, panel, i_const(l, 1)), i_const(l, SN_LANES));
    const SnRef is_ragged = i_lt(l, sn_lower_dim(l, a->keys), next);
    sn_kernel_if(&l->kb, sn_s_not(l->s, is_ragged), &mark);
    pack_panel(l, a, which, to, panel, true);
    sn_lower_close(l, mark);
    sn_kernel_if(&l->kb, is_ragged, &mark);
    pack_panel(l, a, which, to, panel, false);
    sn_lower_close(l, mark);
}

uint32_t sn_attend_pack(SnLower *l, SnAttend *a, SnAttendOperand which)
{
    const SnRef n = sn_attend_tiles(l, a, a->npanel);
    const SnRef bytes = i_const(l, panel_bytes(a, width_of(l->s, a->of[which])));
    const uint32_t temp = sn_lower_temp(l, sn_dim_mul(l->s, n, bytes));
    sn_lower_begin(l, "attend_keys");
    sn_lower_read(l, a->of[which]);
    const int to = sn_lower_buffer(l, SN_BUF_TEMP, 0, temp, true);
    const SnRef panel = sn_attend_take_tile(l, a, a->npanel);
    if (a->is_tiled)
        sn_attend_pack_keys(l, a, to, panel);
    else
        pack(l, a, which, to, panel);
    sn_lower_end(l, n);
    return temp;
}

/* Element c of a position, which is a lane of a panel of the chunk. */
static SnRef panel_element(SnLower *l, const SnAttend *a, const SnAttendRows *x, SnRef panel, SnRef lane,
                           SnRef c)
{
    if (is_past(a))
        return sn_past_key(l, a, panel, lane, c);
    panel = at(l, a->chunk, a->span / SN_LANES, panel);
    return get(l, x->panels, panel_at(l, a, x->n, panel, c, lane));
}

/* ---- rows x panels ---- */

typedef struct LoadRow {
    const SnAttendRows *rows;
    SnRef row;
} LoadRow;

static void load_row(SnLower *l, SnAttend *a, SnRef col, int64_t npanel, int64_t width, void *self)
{
    SnBody b = {.nrow = 1, .npanel = npanel, .width = width};
    const LoadRow *x = (const LoadRow *)self;
    SnRef head, pos;
    (void)sn_attend_row(l, a, x->row, &head, &pos);
    sn_body_open(l, &b);
    const SnRef c = i_add(l, col, at(l, b.panel, width, b.lane));
    put(l, x->rows->local, at(l, x->row, whole_panels(x->rows->n), c),
        sn_attend_element(l, a, x->rows->of, head, pos, c, 0));
    sn_body_close(l, &b);
}

void sn_attend_load(SnLower *l, SnAttend *a, const SnAttendRows *rows)
{
    SnStmt **mark;
    LoadRow x = {.rows = rows};
    x.row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &mark);
    sn_attend_columns(l, a, rows->n, 1, load_row, &x);
    sn_lower_close(l, mark);
}

SnRef sn_attend_open_rows(SnLower *l, const SnAttend *a, SnStmt ***mark)
{
    *mark = NULL;
    if (a->nrow == a->body_rows)
        return i_const(l, 0);
    const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow / a->body_rows), mark);
    return i_mul(l, i, i_const(l, a->body_rows));
}

void sn_attend_close_rows(SnLower *l, SnStmt **mark)
{
    if (mark != NULL)
        sn_lower_close(l, mark);
}

/* p (y - sum of dy * result) * scale: the gradient of a score from p, which is where its row and position
 * are, and y, the product of the gradient of the row's result with what the position has. */
static SnRef weighed(SnLower *l, const SnAttend *a, SnRef row, SnRef slot, SnRef y)
{
    const SnRef away = sn_s2(l->s, SN_OP_SUB, y, get(l, a->dot, row));
    const SnRef x = sn_s2(l->s, SN_OP_MUL, get(l, a->score, slot), away);
    return sn_s2(l->s, SN_OP_MUL, x, real(l, (double)a->scale));
}

void sn_attend_multiply(SnLower *l, SnAttend *a, const SnAttendRows *x)
{
    SnBody b = {.nrow = a->body_rows, .npanel = a->body_panels, .width = SN_LANES};
    SnStmt **rows, **blocks, **dims;
    const int64_t step = b.npanel * SN_LANES;
    const int from = a->nmark, sum = open_local(l, a, SN_F32, b.nrow * step);
    const SnRef first = sn_attend_open_rows(l, a, &rows);
    const SnRef nblock = i_div(l, i_add(l, a->count, i_const(l, step - 1)), i_const(l, step));
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, nblock, &blocks);
    sn_body_fill(l, &b, sum);
    const SnRef c = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, x->n), &dims);
    sn_body_open(l, &b);
    SnRef row = i_add(l, first, b.row), panel = at(l, block, b.npanel, b.panel);
    const SnRef q = get(l, x->local, at(l, row, whole_panels(x->n), c));
    const SnRef k = panel_element(l, a, x, panel, b.lane, c);
    put(l, sum, b.slot, sn_s3(l->s, SN_OP_FMA, q, k, get(l, sum, b.slot)));
    sn_body_close(l, &b);
    sn_lower_close(l, dims);
    sn_body_open(l, &b);
    row = i_add(l, first, b.row);
    panel = at(l, block, b.npanel, b.panel);
    const SnRef to = at(l, row, a->span, at(l, panel, SN_LANES, b.lane)), y = get(l, sum, b.slot);
    put(l, a->score, to, x->of == SN_ATTEND_UP ? weighed(l, a, row, to, y) : y);
    sn_body_close(l, &b);
    sn_lower_close(l, blocks);
    sn_attend_close_rows(l, rows);
    close_locals(l, a, from);
}
