/* lower_state.c -- state_space: all tokens of a row in one kernel, a tile 16 channels of it.
 *
 * The state of a tile stays in a LOCAL from the first token to the last: in registers where it is small
 * (Mamba has 16 numbers a channel), else in the nearest cache. Sums run over the state in rising order.
 * Channels (head, d) lie side by side; where d is a multiple of 16 a tile has one head, whose decay and ways
 * in and out are the same for all lanes. */
#include "compiler/lower.h"

#define MAX_STATE    4096 /* numbers a channel */
#define IN_REGISTERS 16

typedef struct State {
    SnRef x, time, a, in, out, state;
    int64_t n, heads, d, columns, groups;  /* columns: of a */
    int result, held, sum;                 /* buffer of the result; LOCALs */
    SnRef batch, first, seq;               /* the tile's row and first channel */
    SnRef lane, channel, head, at, inside; /* inside: is there such a channel? 0: always */
} State;

static bool known(const SnStore *s, SnRef r, int axis, int64_t *n)
{
    return sn_is_const_i64(s, sn_type_of(s, r)->dims[axis], n) && *n > 0;
}

static bool read_state(const SnStore *s, SnRef r, State *x)
{
    const SnTerm *t = sn_term(s, r);
    *x = (State){.x = t->arg[0],
                 .time = t->arg[1],
                 .a = t->arg[2],
                 .in = t->arg[3],
                 .out = t->arg[4],
                 .state = t->arg[5]};
    return known(s, x->x, 2, &x->heads) && known(s, x->x, 3, &x->d) && known(s, x->a, 1, &x->columns) &&
           known(s, x->in, 2, &x->groups) && known(s, x->in, 3, &x->n) && x->n <= MAX_STATE &&
           x->heads <= INT32_MAX && x->d <= INT32_MAX && x->groups <= INT32_MAX;
}

bool sn_state_accepts(const SnStore *s, SnRef r)
{
    State x;
    return read_state(s, r, &x);
}

/* ---- the lane at hand ---- */

static void open_lanes(SnLower *l, State *x, SnStmt ***mark)
{
    const SnRef d = i_const(l, x->d), count = i_const(l, x->heads * x->d);
    x->lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, SN_LANES), mark);
    x->channel = i_add(l, x->first, x->lane);
    x->inside = x->heads * x->d % SN_LANES == 0 ? 0 : i_lt(l, x->channel, count);
    x->head = i_div(l, x->d % SN_LANES == 0 ? x->first : x->channel, d);
    x->at = i_sub(l, x->channel, i_mul(l, x->head, d));
}

static SnRef of_token(SnLower *l, const State *x, SnRef r, SnRef t)
{
    const SnRef index[] = {x->batch, t, x->head, x->at};
    return sn_lower_scalar(l, r, index, x->inside);
}

/* Number j of a way in or out. */
static SnRef way(SnLower *l, const State *x, SnRef r, SnRef t, SnRef j)
{
    const SnRef group = i_div(l, i_mul(l, x->head, i_const(l, x->groups)), i_const(l, x->heads));
    const SnRef index[] = {x->batch, t, group, j};
    return sn_lower_scalar(l, r, index, x->inside);
}

static SnRef decay_of(SnLower *l, const State *x, SnRef time, SnRef j)
{
    const SnRef index[] = {x->head, i_mod(l, j, i_const(l, x->columns))};
    return sn_s1(l->s, SN_OP_EXP, sn_s2(l->s, SN_OP_MUL, time, sn_lower_scalar(l, x->a, index, x->inside)));
}

/* A loop over the numbers of a state; *at: where number j of this lane is kept. */
static SnRef open_numbers(SnLower *l, const State *x, SnRef *at, SnStmt ***mark)
{
    const SnLoopKind kind = x->n <= IN_REGISTERS ? SN_LOOP_UNROLL : SN_LOOP_SERIAL;
    const SnRef j = sn_kernel_loop(&l->kb, kind, i_const(l, x->n), mark);
    *at = i_add(l, i_mul(l, j, i_const(l, SN_LANES)), x->lane);
    return j;
}

static void store_row(SnLower *l, const State *x, SnRef row, SnRef value)
{
    const SnRef rows = sn_lower_dim(l, sn_dim_add(l->s, x->seq, sn_const_i64(l->s, x->n)));
    const SnRef at = i_add(l, i_mul(l, x->batch, rows), row);
    const SnRef index = i_add(l, i_mul(l, at, i_const(l, x->heads * x->d)), x->channel);
    sn_lower_store(l, x->result, SN_F32, index, value, x->inside);
}

/* ---- a tile ---- */

static void emit_token(SnLower *l, const State *x, SnRef t)
{
    SnStmt **mark;
    SnRef at;
    const SnRef time = of_token(l, x, x->time, t),
                drive = sn_s2(l->s, SN_OP_MUL, of_token(l, x, x->x, t), time);
    sn_lower_store(l, x->sum, SN_F32, x->lane, sn_const_scalar(l->s, SN_F32, (SnScalar){.f = 0}), 0);
    const SnRef j = open_numbers(l, x, &at, &mark), held = sn_lower_load(l, x->held, SN_F32, at, 0);
    const SnRef kept = sn_s2(l->s, SN_OP_MUL, held, decay_of(l, x, time, j));
    const SnRef next = sn_s3(l->s, SN_OP_FMA, drive, way(l, x, x->in, t, j), kept);
    const SnRef sum = sn_lower_load(l, x->sum, SN_F32, x->lane, 0);
    const SnRef read = sn_s3(l->s, SN_OP_FMA, next, way(l, x, x->out, t, j), sum);
    sn_lower_store(l, x->sum, SN_F32, x->lane, read, 0);
    sn_lower_store(l, x->held, SN_F32, at, next, 0);
    sn_lower_close(l, mark);
    store_row(l, x, t, sn_lower_load(l, x->sum, SN_F32, x->lane, 0));
}

static void emit_tile(SnLower *l, State *x)
{
    SnStmt **lanes, **mark;
    SnRef at;
    open_lanes(l, x, &lanes);
    SnRef j = open_numbers(l, x, &at, &mark);
    const SnRef index[] = {x->batch, j, x->head, x->at};
    sn_lower_store(l, x->held, SN_F32, at, sn_lower_scalar(l, x->state, index, x->inside), 0);
    sn_lower_close(l, mark);
    const SnRef seq = sn_lower_dim(l, x->seq);
    emit_token(l, x, sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, seq, &mark));
    sn_lower_close(l, mark);
    j = open_numbers(l, x, &at, &mark);
    store_row(l, x, i_add(l, seq, j), sn_lower_load(l, x->held, SN_F32, at, 0));
    sn_lower_close(l, mark);
    sn_lower_close(l, lanes);
}

void sn_lower_state(SnLower *l, SnRef r)
{
    SnStmt **mark[2];
    State x;
    (void)read_state(l->s, r, &x);
    const SnTerm *t = sn_term(l->s, r);
    x.seq = sn_type_of(l->s, x.x)->dims[1];
    sn_lower_begin(l, "state_space");
    for (int i = 0; i < t->narg; i++)
        (void)sn_lower_read(l, t->arg[i]);
    x.result = sn_lower_result(l, 0);
    const int64_t blocks = (x.heads * x.d + SN_LANES - 1) / SN_LANES;
    x.batch = i_div(l, l->kb.k->tile, i_const(l, blocks));
    x.first = i_mul(l, i_mod(l, l->kb.k->tile, i_const(l, blocks)), i_const(l, SN_LANES));
    x.held = sn_kernel_local(&l->kb, SN_F32, x.n * SN_LANES, &mark[0]);
    x.sum = sn_kernel_local(&l->kb, SN_F32, SN_LANES, &mark[1]);
    emit_tile(l, &x);
    sn_lower_close(l, mark[1]);
    sn_lower_close(l, mark[0]);
    sn_lower_end(l, sn_dim_mul(l->s, sn_type_of(l->s, r)->dims[0], sn_const_i64(l->s, blocks)));
}
