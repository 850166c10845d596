/* gemm.c -- the sums of one tile of a product, in registers.
 *
 * A tile has ROWS rows and up to four panels of 16 columns, whatever the target. Bodies walk it: as many rows
 * and panels as the registers hold, then 4, 2 and 1 rows for what is left, chosen by IFs that all lanes
 * share. So one row does not pay for eight, and the tiles of a program are the same on all CPU levels. A body
 * keeps its sums in registers over the whole of k, in rising order; k is unrolled by 4. What is loaded along
 * the lanes serves all rows of a body, and the panel stays in a cache for the next one. A tile of 16 to 23
 * rows takes 16 at once instead, panel by panel: what comes from memory then comes at an even pace, where two
 * bodies would wait for the first and leave it idle in the second.
 *
 * Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008). */
#include "compiler/contract.h"

#define ROWS         24 /* a multiple of every body */
#define TILE_ROWS    32 /* where the matrix unit may compute it */
#define BLOCK_ROWS   96 /* where all of k would not stay in a cache */
#define BLOCK_TILES  32 /* are better than more rows or panels in each */
#define BLOCK_BODIES 4  /* side by side */
#define ROWS_AHEAD   16 /* of k that a block asks for: a CPU does not see where the next row lies */
#define BODY_ROWS    8
#define TALL_ROWS    16
#define STEPS        4     /* of k in the body of the innermost loop */
#define ROWS_PANELS  6     /* rows that pay for loading several panels */
#define WAY_BYTES    4096  /* of L1: a page, so that sets are known before the address is */
#define BLOCK_K      128   /* at most, where what all bodies of a tile read is to stay in a cache */
#define COPY_BYTES   20480 /* of what lies along the lanes in a block, for the bodies of as many panels */

/* ---- shapes ---- */

/* Does an operand have rows of k, of which a tile reads a few columns? */
static bool reads_columns(const SnContract *c)
{
    for (int i = 0; i < 2; i++) {
        const SnLabels *x = &c->of[i];
        const char last = x->n > 0 ? x->at[x->n - 1] : 0;
        const bool is_panel = c->has_panels && last == c->lane.label[c->lane.n - 1];
        if (last != 0 && !is_panel && memchr(c->summed.label, last, (size_t)c->summed.n) == NULL)
            return true;
    }
    return false;
}

/* Rows of a matrix, of which a tile reads a few columns, lie far apart: a cache has places for few of them.
 * So all bodies of a tile take a block of k before the next. Where the sums are the result, tiles may be
 * large, and what lies along the lanes of a block is copied for the bodies that read it. */
static bool has_blocks(SnLower *l, const SnContract *c)
{
    int64_t n;
    if (c->is_strided || c->pair != 0 || c->width == 1 || !reads_columns(c))
        return false;
    return !sn_is_const_i64(l->s, c->summed.count, &n) || n > 4 * BLOCK_K;
}

/* The operand that has the lanes, of which there are some. */
static int lane_side(const SnContract *c)
{
    return memchr(c->of[0].at, c->lane.label[c->lane.n - 1], (size_t)c->of[0].n) != NULL ? 0 : 1;
}

/* From a row of k that lies along the lanes to one that is read later; 0: not always as far. */
static int64_t bytes_ahead(SnLower *l, const SnContract *c)
{
    const char k = c->summed.label[c->summed.n - 1];
    const int side = lane_side(c);
    const SnType *type = sn_type_of(l->s, c->operand[side]);
    int64_t bytes = ROWS_AHEAD * (int64_t)sn_dtype_size(type->dtype), n;
    for (int i = type->ndim; i-- > 0 && c->of[side].at[i] != k;)
        if (!sn_is_const_i64(l->s, type->dims[i], &n) || !sn_mul_i64(bytes, n, &bytes))
            return 0;
    return bytes;
}

/* Rows and panels of a tile with blocks: more reuse what is read of the others more often; fewer leave tiles
 * for all threads. */
static int64_t choose_block(SnLower *l, SnContract *c)
{
    int64_t rows = BLOCK_ROWS, nrow, npanel;
    if (!sn_is_const_i64(l->s, c->row.count, &nrow) || !sn_is_const_i64(l->s, c->npanel, &npanel))
        return 2 * ROWS;
    const int64_t across = (npanel + c->panels - 1) / c->panels;
    while (rows > 2 * ROWS && (nrow + rows - 1) / rows * across < BLOCK_TILES)
        rows /= 2;
    const int64_t tiles = (nrow + rows - 1) / rows * across;
    for (int64_t n = BLOCK_BODIES; n > 1 && c->is_direct; n /= 2) {
        if (across % n == 0 && tiles / n >= BLOCK_TILES) {
            c->panels *= n;
            break;
        }
    }
    return rows;
}

/* Can the sums be kept in the result? Where it is made of nothing else, has all that is stored, and stores
 * happen. */
static bool is_direct(SnLower *l, const SnContract *c)
{
    int64_t n, most;
    sn_dim_range(l->s, c->summed.count, &n, &most);
    return n > 0 && c->tail.product == l->root && c->to == c->acc && !c->is_ragged && !c->tiles.is_used &&
           c->group == 0 && sn_is_const_i64(l->s, sn_dim_mod(l->s, c->npanel, i_const(l, c->panels)), &n) &&
           n == 0;
}

static int64_t choose_panels(SnLower *l, const SnContract *c)
{
    int64_t n, rows;
    if (c->is_strided || c->width == 1)
        return 1;
    if (c->tiles.fit)
        return !sn_is_const_i64(l->s, c->npanel, &n) ? 2 : n % 4 == 0 ? 4 : n < 2 ? n : 2;
    if (!sn_is_const_i64(l->s, c->npanel, &n))
        return 3;
    if (sn_is_const_i64(l->s, c->row.count, &rows) && rows == 1 && n % 2 == 0)
        return 2; /* what comes from memory alone: more tiles, of which threads take equally many */
    return n % 3 == 0 ? 3 : n % 4 == 0 ? 4 : n < 3 ? n : 3;
}

/* Would so many rows, read side by side, take more than the places that L1 has for each? */
static bool do_rows_collide(SnLower *l, const SnContract *c, int64_t rows)
{
    int64_t stride, apart = 1; /* rows until one lies in the sets of the first */
    if (!sn_is_const_i64(l->s, c->summed.count, &stride) ||
        !sn_mul_i64(stride, (int64_t)sn_dtype_size(c->acc), &stride))
        return true;
    while (apart < rows && stride % WAY_BYTES * apart % WAY_BYTES != 0)
        apart *= 2;
    return rows / apart > (int64_t)l->p->target->l1_bytes / WAY_BYTES;
}

/* Rows of a body one panel wide, for tiles that have them and not BODY_ROWS more; 0: no such body. */
static int64_t choose_tall(SnLower *l, const SnContract *c, int64_t room)
{
    int64_t n, last = TALL_ROWS; /* rows of the last tile */
    if (sn_is_const_i64(l->s, c->row.count, &n))
        last = n > 0 ? (n - 1) % c->rows + 1 : 0;
    if (c->body_panels == 1 || c->body_rows != BODY_ROWS || room < TALL_ROWS || last < TALL_ROWS ||
        last >= TALL_ROWS + BODY_ROWS)
        return 0;
    return do_rows_collide(l, c, TALL_ROWS) ? 0 : TALL_ROWS;
}

void sn_gemm_shape(SnLower *l, SnContract *c)
{
    int64_t n;
    const SnTarget *t = l->p->target;
    sn_tiles_find(l, c);
    const int64_t across = c->panels = choose_panels(l, c); /* of a body, where there are registers */
    c->is_direct = is_direct(l, c);
    const bool in_blocks = !c->tiles.fit && has_blocks(l, c);
    const int64_t rows = c->tiles.fit ? TILE_ROWS : in_blocks ? choose_block(l, c) : ROWS;
    c->rows = sn_is_const_i64(l->s, c->row.count, &n) && n < rows ? n : rows;
    c->rows = c->rows > 1 ? c->rows : 1;
    if (in_blocks && !c->has_panels)
        c->ahead = bytes_ahead(l, c);
    if (c->has_panels && c->pair == 0 && sn_is_const_i64(l->s, c->row.count, &n) && n > c->rows)
        c->ahead = 0; /* all tiles but the first find them in L2, which would be asked twice; pairs gain */
    const int64_t bytes = c->width * (int64_t)sn_dtype_size(c->acc);
    const int64_t size = bytes > t->vector_bytes ? bytes / t->vector_bytes : 1; /* registers of a vector */
    int64_t room = t->vector_count * 3 / 4 / size;
    room = room > 1 ? room : 1;
    c->body_panels = room >= ROWS_PANELS * across ? across : 1;
    c->body_rows = room / c->body_panels < BODY_ROWS ? room / c->body_panels : BODY_ROWS;
    c->body_rows = c->body_rows < c->rows ? c->body_rows : c->rows;
    c->tall_rows = in_blocks ? 0 : choose_tall(l, c, room);
}

/* ---- a body ---- */

typedef struct Body {
    int64_t rows, panels;
    SnRef row, panel; /* the first ones, counted from those of the tile */
    int acc;          /* LOCAL: in registers */
    const struct Block *k;
} Body;

/* The part of k that bodies sum at a time: of summed label `label` `size` from `first` on (0: all); labels
 * before it stand still. */
typedef struct Block {
    bool is_all;    /* there is one */
    SnRef is_first; /* nothing was summed before */
    int label;
    int64_t most; /* of `size` */
    SnRef first, size;
    bool is_copied; /* what lies along the lanes of a body's panels */
    int copy;       /* the LOCAL where it is: by k, then by lane */
} Block;

/* Where one vector of a body is: its loops are open, the walk is there. */
typedef struct Vector {
    SnStmt **mark[3];
    SnRef row, panel, lane;
    SnRef slot; /* in acc */
    SnRef guard;
} Vector;

static Vector open_vector(SnLower *l, SnContract *c, const Body *b)
{
    Vector v;
    const SnLoopKind kind = c->width == 1 ? SN_LOOP_UNROLL : SN_LOOP_LANES;
    v.row = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->rows), &v.mark[0]);
    v.panel = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->panels), &v.mark[1]);
    v.lane = sn_kernel_loop(&l->kb, kind, i_const(l, c->width), &v.mark[2]);
    const SnRef at = i_add(l, i_mul(l, v.row, i_const(l, b->panels)), v.panel);
    v.slot = i_add(l, i_mul(l, at, i_const(l, c->width)), v.lane);
    sn_contract_rows(l, c, i_add(l, i_add(l, c->first_row, b->row), v.row));
    SnRef panel = i_add(l, i_add(l, c->first_panel, b->panel), v.panel);
    int64_t n;
    const bool is_all =
        sn_is_const_i64(l->s, sn_dim_mod(l->s, c->npanel, i_const(l, b->panels)), &n) && n == 0;
    if (!is_all && !c->is_ragged)
        panel = i_min(l, panel, i_add(l, sn_lower_dim(l, c->npanel), i_const(l, -1)));
    const SnRef guard = sn_contract_lanes(l, c, panel, v.lane);
    v.guard = c->is_ragged ? guard : 0;
    return v;
}

static void close_vector(SnLower *l, const Vector *v)
{
    for (int i = 3; i-- > 0;)
        sn_lower_close(l, v->mark[i]);
}

static SnRef multiply_add(SnLower *l, const SnContract *c, SnRef a, SnRef b, SnRef sum)
{
    if (sn_dtype_is_float(c->acc))
        return sn_s3(l->s, SN_OP_FMA, a, b, sum);
    return i_add(l, i_mul(l, a, b), sum);
}

/* Where a copy has lane `lane` of panel `panel` of a body, at the k where the walk is. */
static SnRef copy_slot(SnLower *l, const SnContract *c, const Block *k, SnRef panel, SnRef lane)
{
    SnRef at = i_const(l, 0);
    for (int i = k->label; i < c->summed.n; i++) {
        const SnRef here = c->point[(unsigned char)c->summed.label[i]];
        const SnRef first = i == k->label && k->size != 0 ? k->first : i_const(l, 0);
        at = i_add(l, i_mul(l, at, sn_lower_dim(l, c->summed.dims[i])), i_sub(l, here, first));
    }
    at = i_add(l, i_mul(l, at, i_const(l, c->body_panels)), panel);
    return i_add(l, i_mul(l, at, i_const(l, c->width)), lane);
}

static SnRef operand_of(SnLower *l, const SnContract *c, const Body *b, const Vector *v, int side)
{
    if (!b->k->is_copied || side != lane_side(c))
        return sn_contract_element(l, c, side, v->guard);
    return sn_lower_load(l, b->k->copy, c->acc, copy_slot(l, c, b->k, v->panel, v->lane), 0);
}

static void emit_step(SnLower *l, SnContract *c, const Body *b)
{
    const Vector v = open_vector(l, c, b);
    const SnRef x = operand_of(l, c, b, &v, 0), y = operand_of(l, c, b, &v, 1);
    const SnRef sum = sn_lower_load(l, b->acc, c->acc, v.slot, 0);
    sn_lower_store(l, b->acc, c->acc, v.slot, multiply_add(l, c, x, y, sum), 0);
    close_vector(l, &v);
}

/* ---- pairs of two-byte floats ---- */

/* Half of an index that is even in every part; 0: not known to be. */
static SnRef half(SnLower *l, SnRef r)
{
    int64_t n;
    const SnTerm *t = sn_term(l->s, r);
    if (sn_is_const_i64(l->s, r, &n))
        return n % 2 == 0 ? i_const(l, n / 2) : 0;
    if (t->op != SN_OP_ADD && t->op != SN_OP_SUB && t->op != SN_OP_MUL)
        return 0;
    const SnRef arg[2] = {t->arg[0], t->arg[1]};
    const uint16_t op = t->op;
    const SnRef b = half(l, arg[1]);
    if (op == SN_OP_MUL && b != 0)
        return i_mul(l, arg[0], b);
    const SnRef a = b != 0 || op == SN_OP_MUL ? half(l, arg[0]) : 0;
    if (a == 0)
        return 0;
    return op == SN_OP_MUL ? i_mul(l, a, arg[1]) : sn_s2(l->s, op, a, b);
}

/* The word that holds an element of a pair, the even one, and its neighbour; 0: they are not loaded from
 * memory as they are. */
static SnRef word_of(SnLower *l, SnRef even, SnDtype *dtype)
{
    const SnRef r = sn_term(l->s, even)->op == SN_OP_CAST ? sn_term(l->s, even)->arg[0] : even;
    const SnTerm *t = sn_term(l->s, r);
    *dtype = sn_dtype_of(l->s, r);
    if (t->op != SN_OP_LOAD || (*dtype != SN_BF16 && *dtype != SN_F16))
        return 0;
    const SnRef guard = t->narg > 1 ? t->arg[1] : 0;
    const int buf = (int)sn_attr_int(l->s, r, "buf", 0);
    const int64_t ahead = sn_attr_int(l->s, r, "ahead", 0);
    const SnRef at = half(l, t->arg[0]), word = at != 0 ? sn_lower_load(l, buf, SN_U32, at, guard) : 0;
    return word != 0 && ahead > 0 ? sn_kernel_ahead(l->s, word, ahead) : word;
}

static SnRef half_of_word(SnLower *l, SnRef word, SnDtype dtype, bool is_odd)
{
    const SnRef sixteen = sn_const_scalar(l->s, SN_U32, (SnScalar){.u = 16});
    const SnRef upper = sn_const_scalar(l->s, SN_U32, (SnScalar){.u = 0xFFFF0000u});
    if (dtype == SN_BF16)
        return sn_s_bitcast(l->s, SN_F32,
                            is_odd ? sn_s2(l->s, SN_OP_AND, word, upper)
                                   : sn_s2(l->s, SN_OP_SHL, word, sixteen));
    const SnRef low = is_odd ? sn_s2(l->s, SN_OP_SHR, word, sixteen) : word;
    return sn_s_cast(l->s, SN_F32, sn_s_bitcast(l->s, SN_F16, sn_s_cast(l->s, SN_U16, low)));
}

/* Both elements of a pair in the dtype of the sum; returns the word that they are, or 0. */
static SnRef pair_of(SnLower *l, SnContract *c, int side, SnRef guard, SnRef value[2], SnDtype *dtype)
{
    for (int i = 0; i < 2; i++) {
        c->point[(unsigned char)c->pair] = i_const(l, i);
        value[i] = sn_contract_element(l, c, side, guard);
    }
    const SnRef word = l->status == SN_OK ? word_of(l, value[0], dtype) : 0;
    for (int i = 0; i < 2 && word != 0; i++)
        value[i] = half_of_word(l, word, *dtype, i == 1);
    return word;
}

static void emit_pair(SnLower *l, SnContract *c, const Body *b)
{
    const SnTarget *t = l->p->target;
    const Vector v = open_vector(l, c, b);
    SnRef x[2], y[2];
    SnDtype of_x = SN_NODTYPE, of_y = SN_NODTYPE;
    const SnRef word_x = pair_of(l, c, 0, v.guard, x, &of_x), word_y = pair_of(l, c, 1, v.guard, y, &of_y);
    SnRef sum = sn_lower_load(l, b->acc, c->acc, v.slot, 0);
    if (t->has_dot2 && !t->exact && word_x != 0 && word_y != 0 && of_x == SN_BF16 && of_y == SN_BF16)
        sum = sn_s3(l->s, SN_OP_DOT2, sum, word_x, word_y);
    else
        sum = multiply_add(l, c, x[1], y[1], multiply_add(l, c, x[0], y[0], sum));
    sn_lower_store(l, b->acc, c->acc, v.slot, sum, 0);
    close_vector(l, &v);
}

/* ---- loops over k ---- */

/* Summed labels from `whole` on are unrolled, the one before them in steps of `step`. */
typedef struct Unroll {
    int whole;
    int64_t step;
} Unroll;

static Unroll plan_unroll(SnLower *l, const SnContract *c)
{
    Unroll u = {.whole = c->summed.n, .step = c->is_strided ? 1 : STEPS};
    int64_t n;
    while (u.whole > 0 && sn_is_const_i64(l->s, c->summed.dims[u.whole - 1], &n) && n > 0 && n <= u.step) {
        u.step /= n;
        u.whole--;
    }
    return u;
}

static void emit_sum(SnLower *l, SnContract *c, const Body *b, const Unroll *u, int i);

static void set_summed(SnContract *c, int i, SnRef at)
{
    c->point[(unsigned char)c->summed.label[i]] = at;
}

/* 0: not known. */
static int64_t panel_bytes(SnLower *l, const SnContract *c)
{
    int64_t k = 0;
    if (c->lane.n == 0)
        return 0;
    (void)sn_is_const_i64(l->s, c->summed.count, &k);
    return k * SN_LANES * (int64_t)sn_dtype_size(sn_dtype_of(l->s, c->operand[lane_side(c)]));
}

/* Steps at the end of a panel that ask for what lies ahead of it: for one row, whose panels come from memory
 * one after the other, that is the panel of the next tile, behind those that are read beside this one. */
static int64_t last_steps(SnLower *l, const SnContract *c, const Body *b, const Unroll *u, int i)
{
    int64_t n;
    const int64_t bytes = panel_bytes(l, c);
    if (!c->has_panels || b->rows > 1 || b->panels < 2 || bytes <= c->ahead || i != 0 ||
        !sn_is_const_i64(l->s, c->summed.dims[0], &n) || n / u->step == 0)
        return 0;
    return c->ahead / (bytes / (n / u->step));
}

/* The part of a summed label that a body walks. */
static SnRef range_of(SnLower *l, const SnContract *c, const Body *b, int i, SnRef *first)
{
    const bool is_part = b->k->size != 0 && i == b->k->label;
    *first = is_part ? b->k->first : i_const(l, 0);
    return is_part ? b->k->size : sn_lower_dim(l, c->summed.dims[i]);
}

/* Whole steps, then what is left one by one. */
static void emit_steps(SnLower *l, SnContract *c, const Body *b, const Unroll *u, int i)
{
    SnStmt **loop, **steps;
    SnRef first;
    const SnRef size = range_of(l, c, b, i, &first), step = i_const(l, u->step);
    const SnRef whole = i_div(l, size, step), rest = i_mod(l, size, step);
    int64_t n;
    const int64_t ahead = c->ahead, last = last_steps(l, c, b, u, i);
    for (int part = last > 0 ? 0 : 1; part < 2; part++) {
        const SnRef begin = part == 1 && last > 0 ? i_sub(l, whole, i_const(l, last)) : i_const(l, 0);
        const SnRef end = part == 0 ? i_sub(l, whole, i_const(l, last)) : whole;
        const SnRef k = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_sub(l, end, begin), &loop);
        const SnRef at = i_add(l, first, i_mul(l, i_add(l, begin, k), step));
        if (part == 1 && last > 0)
            c->ahead += (b->panels - 1) * panel_bytes(l, c);
        set_summed(c, i, i_add(l, at, sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, step, &steps)));
        emit_sum(l, c, b, u, i + 1);
        sn_lower_close(l, steps);
        sn_lower_close(l, loop);
    }
    c->ahead = ahead;
    const SnRef left = sn_dim_mod(l->s, c->summed.dims[i], step);
    if (sn_is_const_i64(l->s, left, &n) && n == 0)
        return;
    const SnRef done = i_add(l, first, i_mul(l, whole, step));
    set_summed(c, i, i_add(l, done, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, rest, &loop)));
    emit_sum(l, c, b, u, i + 1);
    sn_lower_close(l, loop);
}

static void emit_sum(SnLower *l, SnContract *c, const Body *b, const Unroll *u, int i)
{
    if (i == c->summed.n) {
        emit_step(l, c, b);
        return;
    }
    if (i + 1 == c->summed.n && c->pair != 0) {
        emit_pair(l, c, b);
        return;
    }
    if (i + 1 == u->whole && u->step > 1) {
        emit_steps(l, c, b, u, i);
        return;
    }
    SnStmt **loop;
    SnRef first;
    const SnLoopKind kind = i < u->whole ? SN_LOOP_SERIAL : SN_LOOP_UNROLL;
    const SnRef size = range_of(l, c, b, i, &first);
    set_summed(c, i, i_add(l, first, sn_kernel_loop(&l->kb, kind, size, &loop)));
    emit_sum(l, c, b, u, i + 1);
    sn_lower_close(l, loop);
}

/* Where the sum goes that the walk is at. */
static SnRef slot_of(SnLower *l, const SnContract *c, const Body *b, const Vector *v)
{
    if (c->is_direct)
        return sn_contract_place(l, c);
    const SnRef row = i_mul(l, i_add(l, b->row, v->row), i_const(l, c->panels));
    const SnRef at = i_add(l, row, i_add(l, b->panel, v->panel));
    return i_add(l, i_mul(l, at, i_const(l, c->width)), v->lane);
}

static void emit_body(SnLower *l, SnContract *c, Body b)
{
    SnStmt **local;
    b.acc = sn_kernel_local(&l->kb, c->acc, b.rows * b.panels * c->width, &local);
    Vector v = open_vector(l, c, &b);
    const SnRef zero = sn_const_scalar(l->s, c->acc, (SnScalar){.u = 0});
    SnRef begin = b.k->is_all ? zero : sn_lower_load(l, c->sums, c->acc, slot_of(l, c, &b, &v), 0);
    if (c->is_direct && !b.k->is_all)
        begin = sn_s3(l->s, SN_OP_WHERE, b.k->is_first, zero, begin);
    sn_lower_store(l, b.acc, c->acc, v.slot, begin, 0);
    close_vector(l, &v);
    const Unroll u = plan_unroll(l, c);
    emit_sum(l, c, &b, &u, b.k->label);
    v = open_vector(l, c, &b);
    sn_lower_store(l, c->sums, c->acc, slot_of(l, c, &b, &v), sn_lower_load(l, b.acc, c->acc, v.slot, 0), 0);
    close_vector(l, &v);
    sn_lower_close(l, local);
}

/* ---- a tile ---- */

/* Can a tile have so many rows that some are left for a body of n? */
static bool may_be_left(SnLower *l, const SnContract *c, int64_t n)
{
    int64_t count;
    if (c->group != 0 || !sn_is_const_i64(l->s, c->row.count, &count) ||
        c->rows % c->body_rows % (2 * n) >= n)
        return true;
    return count % c->rows % c->body_rows % (2 * n) >= n;
}

/* Panels of the tile that there are. */
static SnRef panels_here(SnLower *l, const SnContract *c)
{
    const SnRef left = i_sub(l, sn_lower_dim(l, c->npanel), c->first_panel);
    return i_min(l, left, i_const(l, c->panels));
}

/* Bodies of tall_rows where the tile has so many rows and not whole bodies beyond them; returns how many. */
static SnRef emit_tall(SnLower *l, SnContract *c, const Block *k)
{
    SnStmt **mark;
    Body b = {.rows = c->tall_rows, .panels = 1, .row = i_const(l, 0), .k = k};
    const SnRef least = i_const(l, b.rows), beyond = i_const(l, b.rows + c->body_rows);
    const SnRef n = i_sub(l, i_div(l, c->nrow, least), i_div(l, c->nrow, beyond));
    b.panel = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_mul(l, n, panels_here(l, c)), &mark);
    emit_body(l, c, b);
    sn_lower_close(l, mark);
    return n;
}

static void emit_rows(SnLower *l, SnContract *c, const Block *k, SnRef panel)
{
    SnStmt **mark;
    int64_t n;
    Body b = {.rows = c->body_rows, .panels = c->body_panels, .panel = panel, .k = k};
    const SnRef size = i_const(l, b.rows), whole = i_div(l, c->nrow, size);
    const SnRef tall = c->tall_rows > 0 ? emit_tall(l, c, k) : i_const(l, 0);
    const SnRef many = i_sub(l, whole, i_mul(l, tall, i_const(l, c->tall_rows / b.rows)));
    if (c->rows == b.rows && sn_is_const(l->s, whole, NULL)) {
        b.row = i_const(l, 0);
        emit_body(l, c, b);
    } else if (!sn_is_const_i64(l->s, many, &n) || n > 0) {
        b.row = i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, many, &mark), size);
        b.row = i_add(l, b.row, i_mul(l, tall, i_const(l, c->tall_rows)));
        emit_body(l, c, b);
        sn_lower_close(l, mark);
    }
    const SnRef rest = i_mod(l, c->nrow, size), done = i_mul(l, whole, size);
    for (b.rows = BODY_ROWS / 2; b.rows > 0; b.rows /= 2) {
        if (b.rows >= c->body_rows || !may_be_left(l, c, b.rows))
            continue;
        const SnRef twice = i_const(l, 2 * b.rows), left = i_mod(l, rest, twice);
        b.row = i_add(l, done, i_sub(l, rest, left));
        const bool is_sure = sn_is_const_i64(l->s, left, &n);
        if (is_sure && n < b.rows)
            continue;
        if (!is_sure)
            sn_kernel_if(&l->kb, i_ge(l, left, i_const(l, b.rows)), &mark);
        emit_body(l, c, b);
        if (!is_sure)
            sn_lower_close(l, mark);
    }
}

/* Of k that a copy has room for. */
static int64_t copy_steps(const SnContract *c)
{
    const int64_t n = COPY_BYTES / (c->body_panels * c->width * (int64_t)sn_dtype_size(c->acc));
    return n < BLOCK_K ? n : BLOCK_K;
}

/* What lies along the lanes of a body's panels in a block of k: side by side, so that all of it has a place
 * in L1, and asked for once. */
static void copy_lanes(SnLower *l, SnContract *c, const Block *k, SnRef panel)
{
    SnStmt **mark[SN_MAX_RANK];
    Body b = {.rows = 1, .panels = c->body_panels, .row = i_const(l, 0), .panel = panel, .k = k};
    for (int i = k->label; i < c->summed.n; i++) {
        SnRef first;
        const SnRef size = range_of(l, c, &b, i, &first);
        set_summed(c, i, i_add(l, first, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, size, &mark[i])));
    }
    const Vector v = open_vector(l, c, &b);
    sn_lower_store(l, k->copy, c->acc, copy_slot(l, c, k, v.panel, v.lane),
                   sn_contract_element(l, c, lane_side(c), 0), 0);
    close_vector(l, &v);
    for (int i = c->summed.n; i-- > k->label;)
        sn_lower_close(l, mark[i]);
}

static void emit_bodies(SnLower *l, SnContract *c, Block *k)
{
    SnStmt **mark, **local;
    SnRef panel = i_const(l, 0);
    const bool is_wide = c->panels > c->body_panels;
    if (is_wide) {
        const SnRef n = c->body_panels == 1 ? panels_here(l, c) : i_const(l, c->panels / c->body_panels);
        panel = i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, n, &mark), i_const(l, c->body_panels));
    }
    if (k->is_copied) {
        k->copy = sn_kernel_local(&l->kb, c->acc, copy_steps(c) * c->body_panels * c->width, &local);
        copy_lanes(l, c, k, panel);
    }
    emit_rows(l, c, k, panel);
    if (k->is_copied)
        sn_lower_close(l, local);
    if (is_wide)
        sn_lower_close(l, mark);
}

/* ---- blocks of k ---- */

static Block plan_block(SnLower *l, const SnContract *c)
{
    Block k = {.is_all = true};
    int64_t n, inner = 1;
    int i = c->summed.n;
    if (c->rows <= c->body_rows || !has_blocks(l, c))
        return k;
    const int64_t most = c->is_direct ? copy_steps(c) : BLOCK_K;
    while (i > 0 && sn_is_const_i64(l->s, c->summed.dims[i - 1], &n) && n <= most / inner) {
        inner *= n > 0 ? n : 1;
        i--;
    }
    if (i == 0)
        return k;
    k.is_all = false;
    k.is_copied = c->is_direct;
    k.label = i;
    if (most / inner < STEPS)
        return k;
    k.label = i - 1;
    k.most = most / inner / STEPS * STEPS;
    return k;
}

static void clear_sums(SnLower *l, SnContract *c)
{
    SnStmt **rows, **lanes;
    const SnRef width = i_const(l, c->width), zero = sn_const_scalar(l->s, c->acc, (SnScalar){.u = 0});
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, c->rows * c->panels), &rows);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, width, &lanes);
    sn_lower_store(l, c->sums, c->acc, i_add(l, i_mul(l, row, width), lane), zero, 0);
    sn_lower_close(l, lanes);
    sn_lower_close(l, rows);
}

void sn_gemm_tile(SnLower *l, SnContract *c)
{
    SnStmt **mark[SN_MAX_RANK + 1];
    int n = 0;
    int64_t left;
    if (c->tiles.is_used) {
        sn_tiles_emit(l, c);
        return;
    }
    Block k = plan_block(l, c);
    if (!k.is_all && !c->is_direct)
        clear_sums(l, c);
    SnRef begun = i_const(l, 0); /* not 0: no longer the first */
    for (int i = 0; i < k.label; i++) {
        const SnRef at =
            sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, c->summed.dims[i]), &mark[n++]);
        set_summed(c, i, at);
        begun = i_add(l, begun, at);
    }
    if (k.most > 0) {
        const SnRef dim = c->summed.dims[k.label], most = i_const(l, k.most);
        const SnRef count = sn_lower_dim(l, sn_lower_ceil(l, dim, k.most));
        k.first = i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, count, &mark[n++]), most);
        const bool is_whole = sn_is_const_i64(l->s, sn_dim_mod(l->s, dim, most), &left) && left == 0;
        k.size = is_whole ? most : i_min(l, most, i_sub(l, sn_lower_dim(l, dim), k.first));
        begun = i_add(l, begun, k.first);
    }
    k.is_first = sn_s2(l->s, SN_OP_EQ, begun, i_const(l, 0));
    emit_bodies(l, c, &k);
    while (n > 0)
        sn_lower_close(l, mark[--n]);
}
