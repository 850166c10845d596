/* attend_tile.c -- the two products of an attention of bf16, by the matrix unit.
 *
 * Rows are taken 16 at a time. q k^T: rows of q are copied to a LOCAL, filled up with zeros to whole
 * registers, and stay in registers for a chunk; k comes from panels of pairs, P[batch, head, position / 16, d
 * / 2, 16, 2]. p v: the softmax leaves p in bf16 too, v comes from panels of pairs of positions, P[batch,
 * head, position / 32, e / 16, 16, 16, 2], that a kernel of its own makes. Chunks are shorter than those of
 * attend.c: a tile has twice the rows there. What else is done, attend.c does. */
#include "compiler/attend.h"

#define SIDE       16
#define STEP       32 /* of k in a register */
#define ROW_BYTES  64
#define TILE_BYTES 1024
#define MAX_WIDTH  128
#define GROUP      4 /* registers of sums: panels of v at a time */
#define LONG_SPAN  128
#define LONG_WIDTH 64 /* widest for which a long span leaves room for the other LOCALs */

enum { QUERY_REGISTER = 2, KEY_REGISTER = 6, WEIGHT_REGISTER = 4, VALUE_REGISTER = 5, VALUE_REGISTERS = 3 };

void sn_attend_fit(SnLower *l, SnAttend *a)
{
    const SnTarget *t = l->p->target;
    a->fits_tiles =
        (t->fits_tiles || t->has_tiles) && !t->exact && a->dim <= MAX_WIDTH && a->width <= MAX_WIDTH;
    for (int i = SN_ATTEND_Q; i <= SN_ATTEND_V; i++)
        a->fits_tiles = a->fits_tiles && sn_type_of(l->s, a->of[i])->dtype == SN_BF16;
    a->is_tiled = a->fits_tiles && t->has_tiles;
    if (a->is_tiled)
        a->span = a->dim <= LONG_WIDTH && a->width <= LONG_WIDTH ? LONG_SPAN : LONG_SPAN / 2;
}

/* ---- panels ---- */

static int64_t whole_steps(int64_t n)
{
    return (n + STEP - 1) / STEP * STEP;
}

int64_t sn_attend_panel_bytes(const SnAttend *a)
{
    return whole_steps(a->dim) * ROW_BYTES / 2;
}

SnRef sn_attend_value_bytes(SnLower *l, SnAttend *a)
{
    const SnRef block = i_const(l, whole_panels(a->width) / SIDE * TILE_BYTES);
    return sn_dim_mul(l->s, sn_attend_tiles(l, a, a->nfold), block);
}

static SnRef tile_of_value(SnLower *l, const SnAttend *a, SnRef block, SnRef panel)
{
    const SnRef whole = i_add(l, i_mul(l, a->pair, sn_lower_dim(l, a->nfold)), block);
    return at(l, whole, whole_panels(a->width) / SIDE, panel);
}

/* Bits of an element as a u32, zero where the guard is false. */
static SnRef bits_of(SnLower *l, const SnAttend *a, SnAttendOperand which, SnRef pos, SnRef col, SnRef guard)
{
    const SnRef index[] = {a->batch, a->head, pos, col};
    const SnRef value = sn_lower_scalar(l, a->of[which], index, guard);
    const SnRef bits = sn_s_cast(l->s, SN_U32, sn_s_bitcast(l->s, SN_U16, value));
    const SnRef zero = sn_const_scalar(l->s, SN_U32, (SnScalar){.u = 0});
    return guard != 0 ? sn_s3(l->s, SN_OP_WHERE, guard, bits, zero) : bits;
}

static SnRef pair_of(SnLower *l, SnRef low, SnRef high)
{
    const SnRef half = sn_const_scalar(l->s, SN_U32, (SnScalar){.u = 16});
    return sn_s2(l->s, SN_OP_OR, low, sn_s2(l->s, SN_OP_SHL, high, half));
}

static SnRef column_guard(SnLower *l, SnRef col, int64_t n, int64_t room)
{
    return n == room ? 0 : i_lt(l, col, i_const(l, n));
}

void sn_attend_pack_keys(SnLower *l, const SnAttend *a, int to, SnRef panel)
{
    SnStmt **mark, **lanes;
    const int64_t room = whole_steps(a->dim);
    const SnRef two = i_const(l, 2), keys = sn_lower_dim(l, a->keys);
    const SnRef c = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, room / 2), &mark);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, SIDE), &lanes);
    const SnRef pos = at(l, panel, SIDE, lane), is_there = i_lt(l, pos, keys);
    SnRef half[2];
    for (int i = 0; i < 2; i++) {
        const SnRef col = i_add(l, i_mul(l, c, two), i_const(l, i));
        half[i] =
            bits_of(l, a, SN_ATTEND_K, pos, col, i_both(l, is_there, column_guard(l, col, a->dim, room)));
    }
    const SnRef whole = i_add(l, i_mul(l, a->pair, sn_lower_dim(l, a->npanel)), panel);
    sn_lower_store(l, to, SN_U32, at(l, at(l, whole, room / 2, c), SIDE, lane), pair_of(l, half[0], half[1]),
                   0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, mark);
}

void sn_attend_pack_values(SnLower *l, SnAttend *a)
{
    SnStmt **panels, **pairs, **lanes;
    const int64_t room = whole_panels(a->width);
    sn_lower_begin(l, "attend_values");
    sn_lower_read(l, a->of[SN_ATTEND_V]);
    const int to = sn_lower_buffer(l, SN_BUF_TEMP, 0, a->value_temp, true);
    const SnRef block = sn_attend_take_tile(l, a, a->nfold), keys = sn_lower_dim(l, a->keys);
    if (a->is_tiled) {
        const SnRef panel = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, room / SIDE), &panels);
        const SnRef pair = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, SIDE), &pairs);
        const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SIDE), &lanes);
        const SnRef col = at(l, panel, SIDE, lane), is_col = column_guard(l, col, a->width, room);
        SnRef half[2];
        for (int i = 0; i < 2; i++) {
            const SnRef pos = at(l, block, STEP, at(l, pair, 2, i_const(l, i)));
            half[i] = bits_of(l, a, SN_ATTEND_V, pos, col, i_both(l, i_lt(l, pos, keys), is_col));
        }
        const SnRef row = at(l, tile_of_value(l, a, block, panel), SIDE, pair);
        sn_lower_store(l, to, SN_U32, at(l, row, SIDE, lane), pair_of(l, half[0], half[1]), 0);
        sn_lower_close(l, lanes);
        sn_lower_close(l, pairs);
        sn_lower_close(l, panels);
    }
    sn_lower_end(l, sn_attend_tiles(l, a, a->nfold));
}

/* ---- registers ---- */

static void move(SnLower *l, SnTileOp op, int tile, int buf, SnRef offset, int64_t stride)
{
    sn_kernel_tile(&l->kb, op, SN_BF16, (const uint8_t[3]){(uint8_t)tile}, buf, offset, i_const(l, stride));
}

static void dot(SnLower *l, int sum, int x, int y)
{
    const uint8_t tile[3] = {(uint8_t)sum, (uint8_t)x, (uint8_t)y};
    sn_kernel_tile(&l->kb, SN_TILE_DOT, SN_BF16, tile, 0, 0, 0);
}

static SnRef count_blocks(SnLower *l, const SnAttend *a)
{
    return i_div(l, i_add(l, a->count, i_const(l, STEP - 1)), i_const(l, STEP));
}

void sn_attend_open(SnLower *l, SnAttend *a)
{
    a->query.local = open_local(l, a, SN_BF16, SN_ATTEND_ROWS * whole_steps(a->dim));
    a->score = open_local(l, a, SN_F32, SN_ATTEND_ROWS * a->span);
    a->weights = open_local(l, a, SN_BF16, SN_ATTEND_ROWS * a->span);
}

/* ---- q k^T ---- */

void sn_attend_queries(SnLower *l, SnAttend *a)
{
    SnStmt **rows, **steps, **lanes;
    SnRef head, pos;
    const int64_t room = whole_steps(a->dim);
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &rows);
    (void)sn_attend_row(l, a, row, &head, &pos);
    const SnRef step = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, room / STEP), &steps);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, STEP), &lanes);
    const SnRef c = at(l, step, STEP, lane), guard = column_guard(l, c, a->dim, room);
    const SnRef index[] = {a->batch, head, pos, c};
    const SnRef zero = sn_const_scalar(l->s, SN_BF16, (SnScalar){.f = 0});
    SnRef value = sn_lower_scalar(l, a->of[SN_ATTEND_Q], index, guard);
    if (guard != 0)
        value = sn_s3(l->s, SN_OP_WHERE, guard, value, zero);
    sn_lower_store(l, a->query.local, SN_BF16, at(l, row, room, c), value, 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, steps);
    sn_lower_close(l, rows);
}

void sn_attend_scores(SnLower *l, SnAttend *a)
{
    SnStmt **mark;
    const int64_t room = whole_steps(a->dim), panel_bytes = sn_attend_panel_bytes(a);
    const int steps = (int)(room / STEP);
    for (int i = 0; i < steps; i++)
        move(l, SN_TILE_LOAD, QUERY_REGISTER + i, a->query.local, i_const(l, i * ROW_BYTES), 2 * room);
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count_blocks(l, a), &mark);
    const SnRef first = at(l, a->chunk, a->span / SIDE, i_mul(l, block, i_const(l, 2)));
    const SnRef whole = i_add(l, i_mul(l, a->pair, sn_lower_dim(l, a->npanel)), first);
    for (int panel = 0; panel < 2; panel++)
        move(l, SN_TILE_ZERO, panel, 0, 0, 0);
    for (int i = 0; i < steps; i++) {
        for (int panel = 0; panel < 2; panel++) {
            const SnRef offset = i_const(l, panel * panel_bytes + i * TILE_BYTES);
            move(l, SN_TILE_LOAD, KEY_REGISTER + panel, a->query.panels, at(l, whole, panel_bytes, offset),
                 ROW_BYTES);
            dot(l, panel, QUERY_REGISTER + i, KEY_REGISTER + panel);
        }
    }
    for (int panel = 0; panel < 2; panel++)
        move(l, SN_TILE_STORE, panel, a->score, at(l, block, 2 * ROW_BYTES, i_const(l, panel * ROW_BYTES)),
             (int64_t)sizeof(float) * a->span);
    sn_lower_close(l, mark);
}

/* ---- p v ---- */

/* n panels of columns from `first` on. */
static void multiply(SnLower *l, const SnAttend *a, int64_t first, int n)
{
    SnStmt **mark;
    for (int i = 0; i < n; i++)
        move(l, SN_TILE_ZERO, i, 0, 0, 0);
    const SnRef step = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count_blocks(l, a), &mark);
    const SnRef block = at(l, a->chunk, a->span / STEP, step);
    move(l, SN_TILE_LOAD, WEIGHT_REGISTER, a->weights, i_mul(l, step, i_const(l, ROW_BYTES)), 2 * a->span);
    for (int i = 0; i < n; i++) {
        const int tile = VALUE_REGISTER + i % VALUE_REGISTERS;
        const SnRef offset =
            i_mul(l, tile_of_value(l, a, block, i_const(l, first + i)), i_const(l, TILE_BYTES));
        move(l, SN_TILE_LOAD, tile, a->value_panels, offset, ROW_BYTES);
        dot(l, i, WEIGHT_REGISTER, tile);
    }
    sn_lower_close(l, mark);
}

void sn_attend_values(SnLower *l, SnAttend *a)
{
    SnStmt **rows, **panels, **lanes;
    const int64_t room = whole_panels(a->width), all = room / SIDE;
    const int from = a->nmark, sums = open_local(l, a, SN_F32, SN_ATTEND_ROWS * GROUP * SIDE);
    for (int64_t first = 0; first < all; first += GROUP) {
        const int n = all - first < GROUP ? (int)(all - first) : GROUP;
        multiply(l, a, first, n);
        for (int i = 0; i < n; i++)
            move(l, SN_TILE_STORE, i, sums, i_const(l, i * ROW_BYTES), GROUP * ROW_BYTES);
        const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, a->nrow), &rows);
        const SnRef panel = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, n), &panels);
        const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SIDE), &lanes);
        const SnRef slot = at(l, panel, SIDE, lane), col = i_add(l, slot, i_const(l, first * SIDE));
        sn_attend_put(l, a, row, col, get(l, sums, at(l, row, GROUP * SIDE, slot)),
                      column_guard(l, col, a->width, room));
        sn_lower_close(l, lanes);
        sn_lower_close(l, panels);
        sn_lower_close(l, rows);
    }
    close_locals(l, a, from);
}
