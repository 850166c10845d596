/* gemm_tile.c -- the sums of one tile of a product of bf16, by the matrix unit.
 *
 * A register of the unit has 16 rows of 64 bytes: 16 x 16 sums, 16 rows by 32 k of one operand, or 16 pairs
 * of k by 16 lanes of the other, just as the panels of pairs have them. A body keeps 2 x 2 blocks of sums
 * over the whole of k and loads ahead: an operand for the next step as soon as its register was read for the
 * last time. Rows come from where they lie. What no register may be loaded with (the last rows of a product,
 * where there are not 16; the last of k, where there are not 32; rows that are not equally far apart) is
 * copied to a LOCAL first: rows of which there are too few are repeated, k is filled up with zeros. All rows
 * of a product are summed by the unit, so a row alone and a row among others have equal bits.
 *
 * Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter 20 (software pipelining of loads).
 */
#include "compiler/contract.h"

#define SIDE       16 /* rows, lanes and pairs of k of a register */
#define ROW_BYTES  64
#define BLOCKS     2 /* of rows and of panels in a body */
#define STEP_COUNT (2 * SIDE)

/* ---- does it fit? ---- */

static SnRef probe(SnLower *l, int64_t n)
{
    const SnAttr id = SN_INT("id", ((int64_t)1 << 32) + n);
    return sn_term_make(l->s, SN_OP_INDEX, sn_type_scalar(l->s, SN_I64), sn_attrs_make(l->s, &id, 1), NULL,
                        0);
}

static char label_of_k(const SnContract *c)
{
    return c->summed.label[c->summed.n - 2];
}

/* The load of a bf16 at the point of the walk, as it lies in memory; 0: it is something else. */
static SnRef find_load(SnLower *l, const SnContract *c, int side)
{
    SnRef r = sn_contract_element(l, c, side, 0);
    if (l->status != SN_OK || r == 0)
        return 0;
    r = sn_term(l->s, r)->op == SN_OP_CAST ? sn_term(l->s, r)->arg[0] : r;
    const SnTerm *t = sn_term(l->s, r);
    return t->op == SN_OP_LOAD && t->narg == 1 && sn_dtype_of(l->s, r) == SN_BF16 ? r : 0;
}

void sn_tiles_find(SnLower *l, SnContract *c)
{
    const SnTarget *t = l->p->target;
    const int rows = memchr(c->of[0].at, c->lane.label[0], (size_t)c->of[0].n) != NULL ? 1 : 0;
    int64_t n;
    c->tiles.side = rows;
    c->panels = 1;
    if (!(t->fits_tiles || t->has_tiles) || t->exact || c->group != 0 || c->pair == 0 || c->is_strided ||
        c->is_ragged || c->width != SIDE || c->summed.n < 2 ||
        !sn_is_const_i64(l->s, c->summed.dims[c->summed.n - 2], &n))
        return;
    const SnRef row = probe(l, 0), panel = probe(l, 1), lane = probe(l, 2), k = probe(l, 3),
                odd = probe(l, 4);
    for (int i = 0; i < c->summed.n; i++)
        c->point[(unsigned char)c->summed.label[i]] = i_const(l, 0);
    for (int i = 0; i < c->outer.n; i++)
        c->point[(unsigned char)c->outer.label[i]] = i_const(l, 0);
    c->point[(unsigned char)label_of_k(c)] = k;
    c->point[(unsigned char)c->pair] = odd;
    sn_contract_rows(l, c, row);
    (void)sn_contract_lanes(l, c, panel, lane);
    const SnRef a = find_load(l, c, rows), b = find_load(l, c, 1 - rows);
    if (a == 0 || b == 0)
        return;
    const SnRef at_a = sn_term(l->s, a)->arg[0], at_b = sn_term(l->s, b)->arg[0];
    c->tiles.fit = sn_lower_slope(l, at_a, k) == 2 && sn_lower_slope(l, at_a, odd) == 1 &&
                   sn_lower_slope(l, at_b, odd) == 1 && sn_lower_slope(l, at_b, lane) == 2 &&
                   sn_lower_slope(l, at_b, k) == STEP_COUNT;
    c->tiles.is_used = c->tiles.fit && t->has_tiles;
    c->tiles.row_stride = sn_lower_slope(l, at_a, row);
}

/* ---- registers ---- */

/* Up to 2 x 2 blocks of sums: registers 0 .. 3; 4 and 5 have rows, 6 and 7 panels. */
typedef struct Body {
    int rows, panels; /* blocks */
    SnRef row, panel; /* the first ones, counted from those of the tile */
    bool is_copied;   /* rows: there are not 16, or they lie anyhow */
    int local;        /* LOCAL of a register's bytes; -1: none */
} Body;

static uint8_t sum_register(const Body *b, int row, int panel)
{
    return (uint8_t)(row * b->panels + panel);
}

static void emit_dot(SnLower *l, const Body *b, int row, int panel)
{
    const uint8_t tile[3] = {sum_register(b, row, panel), (uint8_t)(4 + row), (uint8_t)(6 + panel)};
    sn_kernel_tile(&l->kb, SN_TILE_DOT, SN_BF16, tile, 0, 0, 0);
}

/* The element at the point of the walk. */
static SnRef element_at(SnLower *l, const SnContract *c, int side, int *buf)
{
    const SnRef load = find_load(l, c, side);
    if (load == 0) {
        sn_lower_fail(l, SN_EINTERNAL, "contract: an operand of tiles is not what it was");
        return 0;
    }
    *buf = (int)sn_attr_int(l->s, load, "buf", 0);
    return sn_term(l->s, load)->arg[0];
}

static void go_to_k(SnLower *l, SnContract *c, SnRef k)
{
    c->point[(unsigned char)label_of_k(c)] = k;
    c->point[(unsigned char)c->pair] = i_const(l, 0);
}

/* What is behind the last panel is that panel again: its sums go nowhere. */
static void go_to_panel(SnLower *l, SnContract *c, const Body *b, int panel)
{
    int64_t left;
    SnRef at = i_add(l, i_add(l, c->first_panel, b->panel), i_const(l, panel));
    const SnRef past = sn_dim_mod(l->s, c->npanel, i_const(l, b->panels));
    if (!sn_is_const_i64(l->s, past, &left) || left != 0)
        at = i_min(l, at, i_add(l, sn_lower_dim(l, c->npanel), i_const(l, -1)));
    (void)sn_contract_lanes(l, c, at, i_const(l, 0));
}

static void load_from(SnLower *l, uint8_t tile, int buf, SnRef offset, int64_t stride)
{
    sn_kernel_tile(&l->kb, SN_TILE_LOAD, SN_BF16, (const uint8_t[3]){tile}, buf, offset, i_const(l, stride));
}

static void load_rows(SnLower *l, SnContract *c, const Body *b, int row, SnRef k)
{
    int buf = 0;
    sn_contract_rows(l, c, i_add(l, c->first_row, i_add(l, b->row, i_const(l, row * SIDE))));
    go_to_k(l, c, k);
    const SnRef at = element_at(l, c, c->tiles.side, &buf);
    load_from(l, (uint8_t)(4 + row), buf, i_mul(l, at, i_const(l, 2)), 2 * c->tiles.row_stride);
}

static void load_panel(SnLower *l, SnContract *c, const Body *b, int panel, SnRef k)
{
    int buf = 0;
    go_to_k(l, c, k);
    go_to_panel(l, c, b, panel);
    const SnRef at = element_at(l, c, 1 - c->tiles.side, &buf);
    load_from(l, (uint8_t)(6 + panel), buf, i_mul(l, at, i_const(l, 2)), ROW_BYTES);
}

/* ---- copies ---- */

/* Row m of the LOCAL: 32 elements from where the walk is, those from `left` on zero (0: all are there). */
static void copy_row(SnLower *l, SnContract *c, const Body *b, int side, SnRef m, SnRef left)
{
    SnStmt **lanes;
    int buf = 0;
    const SnRef first = element_at(l, c, side, &buf);
    const SnRef e = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, STEP_COUNT), &lanes);
    const SnRef guard = left != 0 ? i_lt(l, e, left) : 0;
    sn_lower_store(l, b->local, SN_BF16, i_add(l, i_mul(l, m, i_const(l, STEP_COUNT)), e),
                   sn_lower_load(l, buf, SN_BF16, i_add(l, first, e), guard), 0);
    sn_lower_close(l, lanes);
}

static void copy_rows(SnLower *l, SnContract *c, const Body *b, int row, SnRef k, int64_t left)
{
    SnStmt **rows;
    const SnRef m = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, SIDE), &rows);
    const SnRef at = i_add(l, i_add(l, b->row, i_const(l, row * SIDE)), m);
    const SnRef last = i_add(l, c->nrow, i_const(l, -1));
    sn_contract_rows(l, c, i_add(l, c->first_row, i_min(l, at, last)));
    go_to_k(l, c, k);
    copy_row(l, c, b, c->tiles.side, m, left != 0 ? i_const(l, 2 * left) : 0);
    sn_lower_close(l, rows);
    load_from(l, (uint8_t)(4 + row), b->local, i_const(l, 0), ROW_BYTES);
}

/* The last `left` pairs of k. */
static void copy_panel(SnLower *l, SnContract *c, const Body *b, int panel, SnRef k, int64_t left)
{
    SnStmt **rows;
    const SnRef m = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, SIDE), &rows);
    go_to_k(l, c, i_add(l, k, m));
    go_to_panel(l, c, b, panel);
    copy_row(l, c, b, 1 - c->tiles.side, m, i_mul(l, i_sub(l, i_const(l, left), m), i_const(l, STEP_COUNT)));
    sn_lower_close(l, rows);
    load_from(l, (uint8_t)(6 + panel), b->local, i_const(l, 0), ROW_BYTES);
}

/* ---- loops over k ---- */

static int64_t count_pairs(SnLower *l, const SnContract *c)
{
    int64_t n = 0;
    (void)sn_is_const_i64(l->s, c->summed.dims[c->summed.n - 2], &n);
    return n;
}

/* The dots of a step; operands for k = `next` are loaded into registers that were read for the last time (0:
 * none are). */
static void emit_dots(SnLower *l, SnContract *c, const Body *b, SnRef next)
{
    for (int row = 0; row < b->rows; row++) {
        for (int panel = 0; panel < b->panels; panel++) {
            emit_dot(l, b, row, panel);
            if (next != 0 && row == b->rows - 1)
                load_panel(l, c, b, panel, next);
        }
        if (next != 0)
            load_rows(l, c, b, row, next);
    }
}

static void emit_ahead(SnLower *l, SnContract *c, const Body *b, int64_t steps)
{
    SnStmt **loop;
    const SnRef side = i_const(l, SIDE);
    for (int row = 0; row < b->rows; row++)
        load_rows(l, c, b, row, i_const(l, 0));
    for (int panel = 0; panel < b->panels; panel++)
        load_panel(l, c, b, panel, i_const(l, 0));
    if (steps > 1) {
        const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, steps - 1), &loop);
        emit_dots(l, c, b, i_add(l, i_mul(l, i, side), side));
        sn_lower_close(l, loop);
    }
    emit_dots(l, c, b, 0);
}

static void emit_copied(SnLower *l, SnContract *c, const Body *b, int64_t steps)
{
    SnStmt **loop;
    const SnRef i = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, steps), &loop);
    const SnRef k = i_mul(l, i, i_const(l, SIDE));
    for (int row = 0; row < b->rows; row++)
        copy_rows(l, c, b, row, k, 0);
    for (int panel = 0; panel < b->panels; panel++)
        load_panel(l, c, b, panel, k);
    emit_dots(l, c, b, 0);
    sn_lower_close(l, loop);
}

static void emit_k(SnLower *l, SnContract *c, const Body *b)
{
    const int64_t pairs = count_pairs(l, c);
    const int64_t steps = pairs / SIDE, left = pairs % SIDE;
    if (steps > 0)
        (b->is_copied ? emit_copied : emit_ahead)(l, c, b, steps);
    if (left == 0)
        return;
    for (int row = 0; row < b->rows; row++)
        copy_rows(l, c, b, row, i_const(l, steps * SIDE), left);
    for (int panel = 0; panel < b->panels; panel++)
        copy_panel(l, c, b, panel, i_const(l, steps * SIDE), left);
    emit_dots(l, c, b, 0);
}

static void emit_sum(SnLower *l, SnContract *c, const Body *b, int i)
{
    SnStmt **loop;
    if (i + 2 == c->summed.n) {
        emit_k(l, c, b);
        return;
    }
    c->point[(unsigned char)c->summed.label[i]] =
        sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, c->summed.dims[i]), &loop);
    emit_sum(l, c, b, i + 1);
    sn_lower_close(l, loop);
}

/* ---- a tile ---- */

static void emit_body(SnLower *l, SnContract *c, Body b)
{
    SnStmt **local;
    const int64_t row_bytes = c->panels * ROW_BYTES;
    const bool has_copies = b.is_copied || count_pairs(l, c) % SIDE != 0;
    if (has_copies)
        b.local = sn_kernel_local(&l->kb, SN_BF16, SIDE * STEP_COUNT, &local);
    for (int i = 0; i < b.rows * b.panels; i++)
        sn_kernel_tile(&l->kb, SN_TILE_ZERO, SN_BF16, (const uint8_t[3]){(uint8_t)i}, 0, 0, 0);
    emit_sum(l, c, &b, 0);
    for (int row = 0; row < b.rows; row++) {
        for (int panel = 0; panel < b.panels; panel++) {
            const SnRef first = i_mul(l, i_add(l, b.row, i_const(l, row * SIDE)), i_const(l, row_bytes));
            const SnRef col = i_mul(l, i_add(l, b.panel, i_const(l, panel)), i_const(l, ROW_BYTES));
            sn_kernel_tile(&l->kb, SN_TILE_STORE, SN_BF16, (const uint8_t[3]){sum_register(&b, row, panel)},
                           c->sums, i_add(l, first, col), i_const(l, row_bytes));
        }
    }
    if (has_copies)
        sn_lower_close(l, local);
}

/* Blocks of 16 rows one by one, the last of what there is. */
static void emit_blocks(SnLower *l, SnContract *c, Body b)
{
    SnStmt **mark;
    int64_t n;
    const SnRef side = i_const(l, SIDE), whole = i_div(l, c->nrow, side), left = i_mod(l, c->nrow, side);
    b.rows = 1;
    b.is_copied = c->tiles.row_stride == 0;
    if (!sn_is_const_i64(l->s, whole, &n) || n > 0) {
        b.row = i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, whole, &mark), side);
        emit_body(l, c, b);
        sn_lower_close(l, mark);
    }
    b.row = i_mul(l, whole, side);
    b.is_copied = true;
    if (sn_is_const_i64(l->s, left, &n)) {
        if (n > 0)
            emit_body(l, c, b);
        return;
    }
    sn_kernel_if(&l->kb, i_ge(l, left, i_const(l, 1)), &mark);
    emit_body(l, c, b);
    sn_lower_close(l, mark);
}

static void emit_rows(SnLower *l, SnContract *c, SnRef panel)
{
    SnStmt **mark;
    int64_t n;
    const Body b = {.rows = BLOCKS,
                    .panels = c->panels < BLOCKS ? (int)c->panels : BLOCKS,
                    .row = i_const(l, 0),
                    .panel = panel};
    const bool is_known = sn_is_const_i64(l->s, c->nrow, &n);
    if (c->tiles.row_stride == 0 || c->rows < BLOCKS * SIDE) {
        emit_blocks(l, c, b);
    } else if (is_known) {
        (n == BLOCKS * SIDE ? emit_body : emit_blocks)(l, c, b);
    } else {
        const SnRef is_whole = i_ge(l, c->nrow, i_const(l, BLOCKS * SIDE));
        sn_kernel_if(&l->kb, is_whole, &mark);
        emit_body(l, c, b);
        sn_lower_close(l, mark);
        sn_kernel_if(&l->kb, sn_s_not(l->s, is_whole), &mark);
        emit_blocks(l, c, b);
        sn_lower_close(l, mark);
    }
}

void sn_tiles_emit(SnLower *l, SnContract *c)
{
    SnStmt **mark;
    if (c->panels <= BLOCKS) {
        emit_rows(l, c, i_const(l, 0));
        return;
    }
    const SnRef n = i_const(l, c->panels / BLOCKS);
    emit_rows(l, c, i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, n, &mark), i_const(l, BLOCKS)));
    sn_lower_close(l, mark);
}
