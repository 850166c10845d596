/* gemm_quant.c -- products with weights in blocks, and the rows of 8-bit codes that they take.
 *
 * ops/quant_linear.c says what is computed, and how panels and rows lie in memory. The sums of a block are
 * whole numbers: dot4, which takes codes from 0 up, starts at -zero times the sum of the row's codes. They
 * are scaled and added to the f32 sums of the tile in rising order of blocks, which belongs to the op: so
 * bits depend neither on the target nor on how many rows there are.
 *
 * A tile is what it is in gemm.c, with bodies of fewer rows: registers hold whole numbers and f32 sums. All
 * words of a panel are read once a body, one for four k of 16 outputs, or for so many more as fit in them.
 * Several rows are busy with a tile for as long as memory takes to bring the next one, so they ask for it. A
 * row alone asks a little ahead: what a CPU fetches unasked stops at the end of each page. */
#include "compiler/contract.h"

#define ROWS        24 /* a multiple of every body */
#define BLOCK       32
#define GROUPS      8 /* of four k */
#define RECORD      12
#define PLANE_BYTES 64 /* of a block: one bit of each code of 16 outputs */
#define AT_STEP     8
#define AT_SUM      9     /* then those of both halves */
#define ROW_BLOCKS  64    /* of a tile of sn_lower_block_rows */
#define ALONE_AHEAD 8192  /* bytes of a stream: behind the latency of memory, pages of 4 KB crossed */
#define LEAST       1e-30 /* of the largest number of a block: what is less is zero */

/* ---- reading the term ---- */

static bool is_known(const SnStore *s, const SnType *t, int from)
{
    int64_t n;
    bool is = true;
    for (int i = from; i < t->ndim; i++)
        is = is && sn_is_const_i64(s, t->dims[i], &n) && n > 0;
    return is;
}

bool sn_blocks_accepts(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    bool is = is_known(s, sn_type_of(s, t->arg[0]), 1);
    for (int i = 1; i < t->narg && i < 6; i++) {
        const bool is_given = sn_term(s, t->arg[i])->op != SN_OP_NONE;
        is = is && (!is_given || (is_known(s, sn_type_of(s, t->arg[i]), 0) &&
                                  sn_dtype_size(sn_type_of(s, t->arg[i])->dtype) <= 4));
    }
    return is;
}

bool sn_block_rows_accepts(const SnStore *s, SnRef r)
{
    const SnType *x = sn_type_of(s, sn_term(s, r)->arg[0]);
    return x->ndim < SN_MAX_RANK && sn_dtype_size(x->dtype) <= 4;
}

static int64_t dim_of(SnLower *l, SnRef r, int axis)
{
    int64_t n = 0;
    (void)sn_is_const_i64(l->s, sn_type_of(l->s, r)->dims[axis], &n);
    return n;
}

static SnLabelGroup one_label(char label, SnRef dim)
{
    return (SnLabelGroup){.n = 1, .label = {label}, .dims = {dim}, .count = dim};
}

void sn_blocks_read(SnLower *l, SnContract *c, SnRef r)
{
    const SnTerm *t = sn_term(l->s, r);
    SnRef of[7] = {0};
    for (int i = 0; i < 7 && i < t->narg; i++)
        of[i] = sn_term(l->s, t->arg[i])->op != SN_OP_NONE ? t->arg[i] : 0;
    SnBlockProduct *b = c->blocks;
    *b = (SnBlockProduct){.rows = of[0],
                          .codes = of[1],
                          .scale = of[2],
                          .coarse = of[3],
                          .low = of[4],
                          .coarse_low = of[5],
                          .blocks = dim_of(l, of[1], 1),
                          .bits = dim_of(l, of[1], 2),
                          .zero = sn_attr_int(l->s, r, "zero", 0)};
    const int64_t groups = dim_of(l, b->scale, 1);
    b->halves = groups / b->blocks;
    b->per_coarse = b->coarse != 0 ? groups / dim_of(l, b->coarse, 1) : 1;
    b->per_coarse_low = b->coarse_low != 0 ? groups / dim_of(l, b->coarse_low, 1) : 1;
    c->group = of[6];
    c->ngroup = sn_attr_int(l->s, r, "parts", 1);
    c->result = (SnLabels){.n = 2, .at = "rn"};
    c->row = one_label('r', sn_type_of(l->s, r)->dims[0]);
    c->lane = one_label('n', sn_type_of(l->s, r)->dims[1]);
    c->summed = one_label('k', i_const(l, b->blocks * RECORD));
    c->outer.count = i_const(l, 1);
}

void sn_blocks_shape(SnLower *l, SnContract *c)
{
    const SnTarget *t = l->p->target;
    int64_t n = 0, rows = 0;
    (void)sn_is_const_i64(l->s, c->npanel, &n);
    c->panels = n % 3 == 0 ? 3 : n % 4 == 0 ? 4 : n < 3 ? n : 3;
    c->rows = sn_is_const_i64(l->s, c->row.count, &rows) && rows < ROWS ? rows : ROWS;
    c->rows = c->rows > 1 ? c->rows : 1;
    const int64_t bytes = c->width * (int64_t)sizeof(float);
    const int64_t size = bytes > t->vector_bytes ? bytes / t->vector_bytes : 1; /* registers of a vector */
    int64_t most = t->vector_count * 3 / 4 / size / (1 + c->blocks->halves);
    most = most > 1 ? most : 1;
    c->body_panels = most >= c->panels ? c->panels : 1;
    c->body_rows = most / c->body_panels < c->rows ? most / c->body_panels : c->rows;
    c->ahead = c->panels * c->blocks->blocks * c->blocks->bits * PLANE_BYTES;
}

/* ---- a body ---- */

typedef struct Body {
    int64_t rows, panels;
    SnRef row, panel; /* the first ones, counted from those of the tile */
    int sum, acc;     /* LOCALs in registers: f32 sums, and those of a block by half */
    SnRef block;      /* the one at hand */
} Body;

/* Vectors of a body: lanes are open, then rows and panels. */
typedef struct Vector {
    SnStmt **mark[2];
    SnRef row, panel; /* of the product */
    SnRef from;       /* the panel that it is read from */
    SnRef slot, lane;
} Vector;

static Vector open_vector(SnLower *l, const SnContract *c, const Body *b, SnRef lane)
{
    Vector v = {.lane = lane};
    int64_t n;
    const SnRef row = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->rows), &v.mark[0]);
    const SnRef panel = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, b->panels), &v.mark[1]);
    const SnRef at = i_add(l, i_mul(l, row, i_const(l, b->panels)), panel);
    v.slot = i_add(l, i_mul(l, at, i_const(l, c->width)), lane);
    v.row = i_add(l, i_add(l, c->first_row, b->row), row);
    v.panel = i_add(l, i_add(l, c->first_panel, b->panel), panel);
    const SnRef past = sn_dim_mod(l->s, c->npanel, i_const(l, b->panels));
    if (!sn_is_const_i64(l->s, past, &n) || n != 0) /* the last panel again: its sums go nowhere */
        v.panel = i_min(l, v.panel, i_add(l, sn_lower_dim(l, c->npanel), i_const(l, -1)));
    v.from = c->group != 0 ? i_add(l, i_mul(l, c->part, sn_lower_dim(l, c->npanel)), v.panel) : v.panel;
    return v;
}

static void close_vector(SnLower *l, const Vector *v)
{
    sn_lower_close(l, v->mark[1]);
    sn_lower_close(l, v->mark[0]);
}

static SnRef number(SnLower *l, SnDtype d, int64_t v)
{
    return sn_const_scalar(l->s, d, (SnScalar){.i = v});
}

/* A word of the record of a row. */
static SnRef row_word(SnLower *l, const SnContract *c, const Body *b, SnRef row, SnRef at)
{
    return sn_lower_scalar(l, c->blocks->rows, (const SnRef[]){row, b->block, at}, 0);
}

/* The sum of the row's codes in a half, i32. */
static SnRef row_sum(SnLower *l, const SnContract *c, const Body *b, SnRef row, int64_t half)
{
    const int64_t at = c->blocks->halves == 1 ? AT_SUM : AT_SUM + 1 + half;
    return sn_s_bitcast(l->s, SN_I32, row_word(l, c, b, row, i_const(l, at)));
}

static SnRef acc_slot(SnLower *l, const SnContract *c, const Body *b, const Vector *v, SnRef half)
{
    return i_add(l, i_mul(l, half, i_const(l, b->rows * b->panels * c->width)), v->slot);
}

/* Codes of a group of four k: one of each plane, the lowest bits first. */
static SnRef codes_of(SnLower *l, const SnContract *c, const Body *b, const Vector *v, SnRef group)
{
    const SnBlockProduct *p = c->blocks;
    SnRef codes = 0;
    int64_t at = 0;
    for (int64_t bits = 8; bits > 0; bits /= 2) {
        if (!(p->bits & bits))
            continue;
        const SnRef step = i_mul(l, group, i_const(l, bits)), eight = i_const(l, 8);
        const SnRef index[] = {v->from, b->block, i_add(l, i_div(l, step, eight), i_const(l, at)), v->lane};
        SnRef x = sn_lower_scalar(l, p->codes, index, 0);
        x = sn_lower_ahead(l, x, b->rows > 1 ? c->ahead : ALONE_AHEAD);
        if (bits < 8) {
            const int64_t mask = 0x01010101 * ((1 << bits) - 1);
            x = sn_s2(l->s, SN_OP_SHR, x, sn_s_cast(l->s, SN_U32, i_mod(l, step, eight)));
            x = sn_s2(l->s, SN_OP_AND, x, number(l, SN_U32, mask));
        }
        if (at > 0)
            x = sn_s2(l->s, SN_OP_SHL, x, number(l, SN_U32, at));
        codes = codes != 0 ? sn_s2(l->s, SN_OP_OR, codes, x) : x;
        at += bits;
    }
    return codes;
}

/* scale or low of a group, with its coarse factor. */
static SnRef factor(SnLower *l, const Vector *v, SnRef group, SnRef fine, SnRef coarse, int64_t per)
{
    SnRef index[] = {v->from, group, v->lane};
    const SnRef x = sn_s_cast(l->s, SN_F32, sn_lower_scalar(l, fine, index, 0));
    if (coarse == 0)
        return x;
    index[1] = i_div(l, group, i_const(l, per));
    return sn_s2(l->s, SN_OP_MUL, sn_s_cast(l->s, SN_F32, sn_lower_scalar(l, coarse, index, 0)), x);
}

static void begin_sums(SnLower *l, const SnContract *c, const Body *b, SnRef lane)
{
    for (int64_t half = 0; half < c->blocks->halves; half++) {
        const Vector v = open_vector(l, c, b, lane);
        const SnRef sum = row_sum(l, c, b, v.row, half);
        const SnRef first = sn_s2(l->s, SN_OP_MUL, sum, number(l, SN_I32, -c->blocks->zero));
        sn_lower_store(l, b->acc, SN_I32, acc_slot(l, c, b, &v, i_const(l, half)), first, 0);
        close_vector(l, &v);
    }
}

static void add_groups(SnLower *l, const SnContract *c, const Body *b, SnRef lane)
{
    SnStmt **mark;
    const SnRef group = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, GROUPS), &mark);
    const Vector v = open_vector(l, c, b, lane);
    const SnRef half = i_div(l, group, i_const(l, GROUPS / c->blocks->halves));
    const SnRef slot = acc_slot(l, c, b, &v, half);
    const SnRef sum = sn_s3(l->s, SN_OP_DOT4, sn_lower_load(l, b->acc, SN_I32, slot, 0),
                            codes_of(l, c, b, &v, group), row_word(l, c, b, v.row, group));
    sn_lower_store(l, b->acc, SN_I32, slot, sum, 0);
    close_vector(l, &v);
    sn_lower_close(l, mark);
}

static void scale_sums(SnLower *l, const SnContract *c, const Body *b, SnRef lane)
{
    const SnBlockProduct *p = c->blocks;
    for (int64_t half = 0; half < p->halves; half++) {
        const Vector v = open_vector(l, c, b, lane);
        const SnRef group = i_add(l, i_mul(l, b->block, i_const(l, p->halves)), i_const(l, half));
        const SnRef step = sn_s_bitcast(l->s, SN_F32, row_word(l, c, b, v.row, i_const(l, AT_STEP)));
        const SnRef slot = acc_slot(l, c, b, &v, i_const(l, half));
        const SnRef whole = sn_s_cast(l->s, SN_F32, sn_lower_load(l, b->acc, SN_I32, slot, 0));
        const SnRef scale = factor(l, &v, group, p->scale, p->coarse, p->per_coarse);
        SnRef sum = sn_s3(l->s, SN_OP_FMA, whole, sn_s2(l->s, SN_OP_MUL, scale, step),
                          sn_lower_load(l, b->sum, SN_F32, v.slot, 0));
        if (p->low != 0) {
            const SnRef codes = sn_s_cast(l->s, SN_F32, row_sum(l, c, b, v.row, half));
            const SnRef low = factor(l, &v, group, p->low, p->coarse_low, p->per_coarse_low);
            sum = sn_s3(l->s, SN_OP_FMA, low, sn_s2(l->s, SN_OP_MUL, step, codes), sum);
        }
        sn_lower_store(l, b->sum, SN_F32, v.slot, sum, 0);
        close_vector(l, &v);
    }
}

/* Opens lanes for the vectors of a body. */
static SnRef open_lanes(SnLower *l, const SnContract *c, SnStmt ***mark)
{
    return sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, c->width), mark);
}

static void emit_body(SnLower *l, const SnContract *c, Body b)
{
    SnStmt **locals[2], **blocks, **lanes;
    const int64_t n = b.rows * b.panels * c->width;
    b.sum = sn_kernel_local(&l->kb, SN_F32, n, &locals[0]);
    b.acc = sn_kernel_local(&l->kb, SN_I32, n * c->blocks->halves, &locals[1]);
    Vector v = open_vector(l, c, &b, open_lanes(l, c, &lanes));
    sn_lower_store(l, b.sum, SN_F32, v.slot, number(l, SN_F32, 0), 0);
    close_vector(l, &v);
    sn_lower_close(l, lanes);
    b.block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, c->blocks->blocks), &blocks);
    const SnRef lane = open_lanes(l, c, &lanes);
    begin_sums(l, c, &b, lane);
    add_groups(l, c, &b, lane);
    scale_sums(l, c, &b, lane);
    sn_lower_close(l, lanes);
    sn_lower_close(l, blocks);
    v = open_vector(l, c, &b, open_lanes(l, c, &lanes));
    const SnRef row = i_sub(l, v.row, c->first_row), panel = i_sub(l, v.panel, c->first_panel);
    const SnRef to = i_add(l, i_mul(l, row, i_const(l, c->panels)), panel);
    sn_lower_store(l, c->sums, SN_F32, i_add(l, i_mul(l, to, i_const(l, c->width)), v.lane),
                   sn_lower_load(l, b.sum, SN_F32, v.slot, 0), 0);
    close_vector(l, &v);
    sn_lower_close(l, lanes);
    sn_lower_close(l, locals[1]);
    sn_lower_close(l, locals[0]);
}

/* ---- a tile ---- */

/* A row alone: panels one after the other, so that memory is read in one stream. */
static void emit_alone(SnLower *l, const SnContract *c, Body b)
{
    SnStmt **mark;
    if (b.panels == 1) {
        emit_body(l, c, b);
        return;
    }
    const SnRef left = i_sub(l, sn_lower_dim(l, c->npanel), c->first_panel);
    b.panels = 1;
    b.panel = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_min(l, left, i_const(l, c->panels)), &mark);
    emit_body(l, c, b);
    sn_lower_close(l, mark);
}

/* Whole bodies, then 4, 2 and 1 rows for what is left. */
static void emit_rows(SnLower *l, const SnContract *c, SnRef panel)
{
    SnStmt **mark;
    int64_t n;
    Body b = {.rows = c->body_rows, .panels = c->body_panels, .panel = panel};
    const SnRef size = i_const(l, b.rows), whole = i_div(l, c->nrow, size), rest = i_mod(l, c->nrow, size);
    b.row = i_mul(l, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, whole, &mark), size);
    (b.rows == 1 ? emit_alone : emit_body)(l, c, b);
    sn_lower_close(l, mark);
    for (b.rows = 4; b.rows > 0; b.rows /= 2) {
        const SnRef left = i_mod(l, rest, i_const(l, 2 * b.rows));
        if (b.rows >= c->body_rows || (sn_is_const_i64(l->s, left, &n) && n < b.rows))
            continue;
        b.row = i_add(l, i_mul(l, whole, size), i_sub(l, rest, left));
        sn_kernel_if(&l->kb, i_ge(l, left, i_const(l, b.rows)), &mark);
        (b.rows == 1 ? emit_alone : emit_body)(l, c, b);
        sn_lower_close(l, mark);
    }
}

void sn_blocks_tile(SnLower *l, SnContract *c)
{
    SnStmt **mark;
    if (c->body_panels == c->panels) {
        emit_rows(l, c, i_const(l, 0));
        return;
    }
    const SnRef left = i_sub(l, sn_lower_dim(l, c->npanel), c->first_panel);
    const SnRef here = i_min(l, left, i_const(l, c->panels));
    emit_rows(l, c, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, here, &mark));
    sn_lower_close(l, mark);
}

/* ---- rows of codes ---- */

typedef struct RowBlock {
    SnRef r, x, block; /* the term, what it is of, the number of the block */
    int value, keys, number, result;
} RowBlock;

/* Opens both vectors of a block; gives the place in it. */
static SnRef open_places(SnLower *l, SnStmt **mark[2])
{
    const SnRef half = sn_kernel_loop(&l->kb, SN_LOOP_UNROLL, i_const(l, BLOCK / SN_LANES), &mark[0]);
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), &mark[1]);
    return i_add(l, i_mul(l, half, i_const(l, SN_LANES)), lane);
}

static void close_places(SnLower *l, SnStmt **const mark[2])
{
    sn_lower_close(l, mark[1]);
    sn_lower_close(l, mark[0]);
}

/* Elements, and the bits of their magnitudes, which are ordered as they are, NaN above all. */
static void load_block(SnLower *l, const RowBlock *b)
{
    SnStmt **mark[2];
    const SnType *to = sn_type_of(l->s, b->r);
    SnRef index[SN_MAX_RANK];
    sn_lower_part(l, b->block, to->ndim - 1, to->dims, index);
    const SnRef place = open_places(l, mark);
    index[to->ndim - 2] = i_add(l, i_mul(l, index[to->ndim - 2], i_const(l, BLOCK)), place);
    const SnRef x = sn_s_cast(l->s, SN_F32, sn_lower_scalar(l, b->x, index, 0));
    sn_lower_store(l, b->value, SN_F32, place, x, 0);
    sn_lower_store(l, b->keys, SN_I32, place, sn_s_bitcast(l->s, SN_I32, sn_s1(l->s, SN_OP_ABS, x)), 0);
    close_places(l, mark);
}

/* number[0] = what elements are multiplied by, number[1] = the step of the codes. */
static void find_step(SnLower *l, const RowBlock *b)
{
    const SnRef bits = sn_kernel_fold(&l->kb, b->keys, SN_I32, "max", i_const(l, 0), BLOCK);
    sn_lower_store(l, b->number, SN_F32, i_const(l, 0), sn_s_bitcast(l->s, SN_F32, bits), 0);
    const SnRef top = sn_lower_load(l, b->number, SN_F32, i_const(l, 0), 0), most = sn_const_f32(l->s, 127);
    const SnRef none = i_lt(l, top, sn_const_f32(l->s, (float)LEAST)), zero = sn_const_f32(l->s, 0);
    sn_lower_store(l, b->number, SN_F32, i_const(l, 1),
                   sn_s3(l->s, SN_OP_WHERE, none, zero, sn_s2(l->s, SN_OP_DIV, top, most)), 0);
    sn_lower_store(l, b->number, SN_F32, i_const(l, 0),
                   sn_s3(l->s, SN_OP_WHERE, none, zero, sn_s2(l->s, SN_OP_DIV, most, top)), 0);
}

static void put_word(SnLower *l, const RowBlock *b, int64_t at, SnRef value)
{
    const SnRef base = i_mul(l, b->block, i_const(l, RECORD));
    sn_lower_store(l, b->result, sn_dtype_of(l->s, value), i_add(l, base, i_const(l, at)), value, 0);
}

/* x rounded to even as an i32, 0 for NaN; |x| < 2^22: the sum leaves just the bits of the whole number. */
static SnRef whole_of(SnLower *l, SnRef x)
{
    const SnRef sum = sn_s2(l->s, SN_OP_ADD, x, sn_const_f32(l->s, 0x1.8p23f));
    const SnRef bits = sn_s2(l->s, SN_OP_SUB, sn_s_bitcast(l->s, SN_I32, sum), number(l, SN_I32, 0x4B400000));
    return sn_s3(l->s, SN_OP_WHERE, sn_s2(l->s, SN_OP_EQ, x, x), bits, number(l, SN_I32, 0));
}

static void store_codes(SnLower *l, const RowBlock *b)
{
    SnStmt **mark[2];
    const SnRef place = open_places(l, mark), by = sn_lower_load(l, b->number, SN_F32, i_const(l, 0), 0);
    const SnRef x = sn_s2(l->s, SN_OP_MUL, sn_lower_load(l, b->value, SN_F32, place, 0), by);
    const SnRef code = whole_of(l, x);
    const SnRef base = i_mul(l, b->block, i_const(l, RECORD * (int64_t)sizeof(uint32_t)));
    sn_lower_store(l, b->result, SN_I8, i_add(l, base, place), sn_s_cast(l->s, SN_I8, code), 0);
    sn_lower_store(l, b->keys, SN_I32, place, code, 0);
    close_places(l, mark);
    const SnRef middle = i_const(l, BLOCK / 2), start = i_const(l, 0);
    put_word(l, b, AT_STEP, sn_lower_load(l, b->number, SN_F32, i_const(l, 1), 0));
    const SnRef sum[] = {sn_kernel_fold(&l->kb, b->keys, SN_I32, "add", start, BLOCK / 2),
                         sn_kernel_fold(&l->kb, b->keys, SN_I32, "add", middle, BLOCK / 2)};
    put_word(l, b, AT_SUM, i_add(l, sum[0], sum[1]));
    put_word(l, b, AT_SUM + 1, sum[0]);
    put_word(l, b, AT_SUM + 2, sum[1]);
}

void sn_lower_block_rows(SnLower *l, SnRef r)
{
    RowBlock b = {.r = r, .x = sn_term(l->s, r)->arg[0]};
    SnStmt **mark[4];
    const SnType *to = sn_type_of(l->s, r);
    sn_lower_begin(l, "quantize");
    sn_lower_read(l, b.x);
    b.result = sn_lower_result(l, 0);
    const SnRef count = sn_lower_count(l, to->ndim - 1, to->dims), size = i_const(l, ROW_BLOCKS);
    const SnRef first = i_mul(l, l->kb.k->tile, size);
    b.value = sn_kernel_local(&l->kb, SN_F32, BLOCK, &mark[0]);
    b.keys = sn_kernel_local(&l->kb, SN_I32, BLOCK, &mark[1]);
    b.number = sn_kernel_local(&l->kb, SN_F32, 2, &mark[2]);
    const SnRef here = i_min(l, size, i_sub(l, sn_lower_dim(l, count), first));
    b.block = i_add(l, first, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, here, &mark[3]));
    load_block(l, &b);
    find_step(l, &b);
    store_codes(l, &b);
    for (int i = 4; i-- > 0;)
        sn_lower_close(l, mark[i]);
    sn_lower_end(l, sn_lower_ceil(l, count, ROW_BLOCKS));
}
