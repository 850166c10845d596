/* flow.c -- loops and conds as steps: counters, branches and copies around the steps of their bodies.
 *
 *   loop      carried <- init; stacked <- 0; i = 0
 *        top: if i >= bound: go to end
 *             index <- i; if not while(i, carried, captured): go to end
 *             row <- scanned[i]; steps of the body; carried <- new; stacked[i] <- rows; i += 1; go to top
 *        end: trips <- i
 *
 * Rows that are stacked stand after i += 1: of a stream the host may read the first i. */
#include "compiler/steps.h"

typedef struct Loop {
    SnRef ref;
    uint32_t ncarry, nscan, ncapture, nstack, nresult;
    uint32_t *arg;        /* of the body: index, carried, rows, captured */
    bool *is_owned;       /* likewise: an iteration may overwrite it */
    uint32_t *scan;       /* buffers of the scanned values */
    uint32_t *init;       /* buffers of the first carried values */
    uint32_t *result;     /* carried, stacked, trips */
    uint32_t *target;     /* of the body: carried values should be made where they are carried */
    const SnTypeId *type; /* of the results */
    SnTypeId self;
    uint32_t i_reg, bound_reg;
    uint32_t top;
    uint32_t exits[2], nexit; /* branches to patch */
} Loop;

static SnStatus row_type(SnSteps *x, SnTypeId type, SnTypeId *out, SnError *err)
{
    const SnType *t = sn_type(x->s, type);
    SnRef dims[SN_MAX_RANK];
    memcpy(dims, t->dims, sizeof dims);
    *out = sn_type_tensor(x->s, t->dtype, t->ndim - 1, dims + 1);
    SN_CHECK(*out, err, SN_ENOMEM, "compile: no memory for types");
    return SN_OK;
}

static SnStatus loop_operands(SnSteps *x, SnFrame *f, Loop *l, SnError *err)
{
    const SnTerm *t = sn_term(x->s, l->ref);
    const uint32_t nbody = t->narg - 3u, first = 3 + l->ncarry;
    for (uint32_t i = 0; i < l->ncarry; i++)
        SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, l->ref)->arg[3 + i], &l->init[i], err));
    for (uint32_t i = 0; i < l->nscan; i++)
        SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, l->ref)->arg[first + i], &l->scan[i], err));
    for (uint32_t i = l->ncarry + l->nscan; i < nbody; i++)
        SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, l->ref)->arg[3 + i], &l->arg[1 + i], err));
    for (uint32_t i = 0; i < l->ncarry + l->nscan; i++)
        l->is_owned[1 + i] = true;
    return SN_OK;
}

static SnStatus loop_begin(SnSteps *x, Loop *l, SnError *err)
{
    const SnTerm *t = sn_term(x->s, l->ref);
    const uint32_t nbody = t->narg - 3u;
    l->ncarry = (uint32_t)sn_attr_int(x->s, l->ref, "ncarry", 0);
    l->nscan = (uint32_t)sn_attr_int(x->s, l->ref, "nscan", 0);
    SN_CHECK(l->ncarry + l->nscan <= nbody, err, SN_EINTERNAL,
             "compile: a loop of %u operands carries %u and scans %u", nbody, l->ncarry, l->nscan);
    l->ncapture = nbody - l->ncarry - l->nscan;
    l->nresult = sn_steps_leaves(x->s, t->type, &l->type, &l->self);
    l->nstack = l->nresult - l->ncarry - 1;
    l->arg = sn_arena_array(x->p->arena, nbody + 2u, sizeof *l->arg);
    l->is_owned = sn_arena_array(x->p->arena, nbody + 2u, sizeof *l->is_owned);
    l->scan = sn_arena_array(x->p->arena, nbody + 1u, sizeof *l->scan);
    l->init = sn_arena_array(x->p->arena, nbody + 1u, sizeof *l->init);
    l->result = sn_arena_array(x->p->arena, l->nresult + 1u, sizeof *l->result);
    l->target = sn_arena_array(x->p->arena, l->nresult + 1u, sizeof *l->target);
    SN_CHECK(l->arg && l->is_owned && l->scan && l->init && l->result && l->target, err, SN_ENOMEM,
             "compile: no memory for a loop");
    return SN_OK;
}

/* The loop may carry on where its first value lies: nothing else reads that, the loop neither. */
static bool takes(const SnFrame *f, const Loop *l, uint32_t i)
{
    uint32_t uses = 0;
    for (uint32_t k = 0; k < l->ncarry; k++)
        uses += l->init[k] == l->init[i];
    for (uint32_t k = 0; k < l->nscan; k++)
        uses += l->scan[k] == l->init[i];
    for (uint32_t k = 0; k < l->ncapture; k++)
        uses += l->arg[1 + l->ncarry + l->nscan + k] == l->init[i];
    return uses == 1 && sn_frame_is_free(f, l->init[i], l->ref + 1);
}

static SnStatus loop_results(SnSteps *x, SnFrame *f, Loop *l, SnError *err)
{
    for (uint32_t i = 0; i < l->nresult; i++) {
        if (i < l->ncarry && takes(f, l, i))
            l->result[i] = l->init[i];
        else
            SN_TRY(sn_steps_result(x, f, l->ref, i, l->type[i], &l->result[i], err));
        l->target[i] = i < l->ncarry ? l->result[i] : SN_NONE;
        if (i < l->ncarry)
            l->arg[1 + i] = l->result[i];
    }
    return sn_frame_set(x, f, l->ref, l->result, l->nresult, true, err);
}

static SnStatus loop_init(SnSteps *x, Loop *l, SnError *err)
{
    for (uint32_t i = 0; i < l->ncarry; i++)
        if (l->init[i] != l->result[i])
            SN_TRY(sn_steps_copy(x, l->result[i], l->init[i], l->type[i], err));
    for (uint32_t i = l->ncarry; i < l->ncarry + l->nstack; i++) {
        SnStepRow zero = {.kind = SN_STEP_ZERO, .a = x->buffer.at[l->result[i]].size_reg};
        SN_TRY(sn_steps_push(x, zero, &l->result[i], 1, NULL, 0, err));
    }
    l->i_reg = sn_steps_new_reg(x, x->point);
    SN_CHECK(x->depth > 0 || sn_vec_push(x->memory, &x->loop, (SnLoopReg){l->ref, l->i_reg}), err, SN_ENOMEM,
             "compile: no memory for loops");
    return sn_steps_push(x, (SnStepRow){.kind = SN_STEP_SET, .a = l->i_reg, .b = 0}, NULL, 0, NULL, 0, err);
}

static SnStatus loop_tests(SnSteps *x, Loop *l, SnError *err)
{
    const SnRef while_fn = sn_term(x->s, l->ref)->arg[1], bound = sn_term(x->s, l->ref)->arg[2];
    l->top = (uint32_t)x->step.n;
    if (sn_term(x->s, bound)->op != SN_OP_NONE) {
        SN_TRY(sn_steps_reg(x, bound, &l->bound_reg, err));
        l->exits[l->nexit++] = (uint32_t)x->step.n;
        SnStepRow row = {.kind = SN_STEP_BRANCH_GE, .a = l->i_reg, .b = l->bound_reg};
        SN_TRY(sn_steps_push(x, row, NULL, 0, NULL, 0, err));
    }
    SnStepRow put = {.kind = SN_STEP_PUT, .a = l->i_reg};
    SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, sn_type_scalar(x->s, SN_I64), &l->arg[0], err));
    SN_TRY(sn_steps_push(x, put, &l->arg[0], 1, NULL, 0, err));
    if (sn_term(x->s, while_fn)->op == SN_OP_NONE)
        return SN_OK;
    const uint32_t narg = 1 + l->ncarry + l->ncapture;
    uint32_t *arg = sn_arena_array(x->p->arena, narg, sizeof *arg), go_on = 0;
    SN_CHECK(arg, err, SN_ENOMEM, "compile: no memory for a loop");
    memcpy(arg, l->arg, (1 + l->ncarry) * sizeof *arg);
    memcpy(arg + 1 + l->ncarry, l->arg + 1 + l->ncarry + l->nscan, l->ncapture * sizeof *arg);
    SN_TRY(sn_steps_function(x, while_fn, &(SnFrame){.arg = arg, .narg = narg}, &go_on, 1, err));
    l->exits[l->nexit++] = (uint32_t)x->step.n;
    SnStepRow row = {.kind = SN_STEP_BRANCH_ZERO, .d = x->depth == 1};
    return sn_steps_push(x, row, &go_on, 1, NULL, 0, err);
}

/* One row of a stacked or scanned value: `stacked` names the side that is indexed. */
static SnStatus copy_row(SnSteps *x, uint32_t to, uint32_t from, SnTypeId whole, uint32_t to_reg,
                         uint32_t from_reg, SnError *err)
{
    SnTypeId row = 0;
    SN_TRY(row_type(x, whole, &row, err));
    SN_TRY(sn_steps_copy(x, to, from, row, err));
    x->step.at[x->step.n - 1].b = to_reg;
    x->step.at[x->step.n - 1].c = from_reg;
    return SN_OK;
}

/* A scanned value may have fewer rows than the loop has trips: then the run fails when it gets there. */
static SnStatus check_rows(SnSteps *x, const Loop *l, SnTypeId whole, SnError *err)
{
    const SnRef bound = sn_term(x->s, l->ref)->arg[2], rows = sn_type(x->s, whole)->dims[0];
    SnStepRow row = {.kind = SN_STEP_BELOW, .a = l->i_reg, .e = sn_steps_string(x, "a scanned value")};
    if (sn_term(x->s, bound)->op != SN_OP_NONE) {
        int64_t lo = 0, hi = 0;
        sn_dim_range(x->s, sn_dim_sub(x->s, rows, bound), &lo, &hi);
        if (lo >= 0)
            return SN_OK;
    }
    SN_TRY(sn_steps_reg(x, rows, &row.b, err));
    return sn_steps_push(x, row, NULL, 0, NULL, 0, err);
}

static SnStatus loop_rows(SnSteps *x, Loop *l, SnError *err)
{
    for (uint32_t i = 0; i < l->nscan; i++) {
        const SnTypeId whole = sn_term(x->s, sn_term(x->s, l->ref)->arg[3 + l->ncarry + i])->type;
        SN_TRY(check_rows(x, l, whole, err));
        uint32_t *row = &l->arg[1 + l->ncarry + i];
        SnTypeId type = 0;
        SN_TRY(row_type(x, whole, &type, err));
        SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, type, row, err));
        SN_TRY(copy_row(x, *row, l->scan[i], whole, SN_NONE, l->i_reg, err));
    }
    return SN_OK;
}

static SnStatus loop_body(SnSteps *x, Loop *l, SnError *err)
{
    const uint32_t nresult = l->ncarry + l->nstack;
    uint32_t *next = sn_arena_array(x->p->arena, nresult + 1u, sizeof *next);
    SN_CHECK(next, err, SN_ENOMEM, "compile: no memory for a loop");
    SN_TRY(loop_rows(x, l, err));
    SnFrame f = {.arg = l->arg,
                 .is_owned = l->is_owned,
                 .narg = 1 + l->ncarry + l->nscan + l->ncapture,
                 .target = l->target,
                 .ntarget = nresult};
    SN_TRY(sn_steps_function(x, sn_term(x->s, l->ref)->arg[0], &f, next, nresult, err));
    for (uint32_t i = l->ncarry; i < nresult; i++)
        SN_TRY(copy_row(x, l->result[i], next[i], l->type[i], l->i_reg, SN_NONE, err));
    SN_TRY(sn_steps_move(x, l->result, next, l->type, l->ncarry, err));
    SN_TRY(sn_steps_push(x, (SnStepRow){.kind = SN_STEP_INC, .a = l->i_reg}, NULL, 0, NULL, 0, err));
    return sn_steps_push(x, (SnStepRow){.kind = SN_STEP_JUMP, .c = l->top}, NULL, 0, NULL, 0, err);
}

/* What was made before the loop and is used in it lives until its end: the next iteration reads it again. */
static void live_through(SnSteps *x, uint32_t top)
{
    const uint32_t end = (uint32_t)x->step.n - 1;
    for (size_t i = 0; i < x->buffer.n; i++) {
        SnBufferRow *b = &x->buffer.at[i];
        if (b->first < top && b->last >= top && b->last < end)
            b->last = end;
    }
}

SnStatus sn_steps_loop(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    Loop l = {.ref = ref};
    SN_TRY(loop_begin(x, &l, err));
    SN_TRY(loop_operands(x, f, &l, err));
    SN_TRY(loop_results(x, f, &l, err));
    SN_TRY(loop_init(x, &l, err));
    x->depth++;
    SN_TRY(loop_tests(x, &l, err));
    SN_TRY(loop_body(x, &l, err));
    x->depth--;
    live_through(x, l.top);
    for (uint32_t i = 0; i < l.nexit; i++)
        x->step.at[l.exits[i]].c = (uint32_t)x->step.n;
    SnStepRow trips = {.kind = SN_STEP_PUT, .a = l.i_reg};
    return sn_steps_push(x, trips, &l.result[l.ncarry + l.nstack], 1, NULL, 0, err);
}

/* ---- cond ---- */

typedef struct Cond {
    SnRef ref;
    uint32_t test, narg, n;
    uint32_t *arg, *result;
    bool *is_owned;
    const SnTypeId *type;
    SnTypeId self;
} Cond;

static SnStatus cond_begin(SnSteps *x, SnFrame *f, Cond *c, SnError *err)
{
    const SnTerm *t = sn_term(x->s, c->ref);
    c->narg = t->narg - 3u;
    c->n = sn_steps_leaves(x->s, t->type, &c->type, &c->self);
    c->arg = sn_arena_array(x->p->arena, c->narg + 1u, sizeof *c->arg);
    c->is_owned = sn_arena_array(x->p->arena, c->narg + 1u, sizeof *c->is_owned);
    c->result = sn_arena_array(x->p->arena, c->n + 1u, sizeof *c->result);
    SN_CHECK(c->arg && c->is_owned && c->result, err, SN_ENOMEM, "compile: no memory for a cond");
    SN_TRY(sn_steps_lookup(x, f, t->arg[0], &c->test, err));
    for (uint32_t i = 0; i < c->narg; i++)
        SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, c->ref)->arg[3 + i], &c->arg[i], err));
    return SN_OK;
}

/* The operand whose place result i may take: on both paths it is that operand, updated or not. */
static int64_t taken_operand(const SnSteps *x, const SnFrame *f, const Cond *c, uint32_t i)
{
    const SnTerm *t = sn_term(x->s, c->ref);
    const int64_t k = sn_updated_param(x, t->arg[1], i);
    if (k < 0 || k >= (int64_t)c->narg || k != sn_updated_param(x, t->arg[2], i) || c->is_owned[k])
        return -1;
    uint32_t uses = c->test == c->arg[k];
    for (uint32_t j = 0; j < c->narg; j++)
        uses += c->arg[j] == c->arg[k];
    return uses == 1 && sn_frame_is_free(f, c->arg[k], c->ref + 1) ? k : -1;
}

static SnStatus cond_results(SnSteps *x, SnFrame *f, Cond *c, SnError *err)
{
    for (uint32_t i = 0; i < c->n; i++) {
        const int64_t k = taken_operand(x, f, c, i);
        if (k >= 0) {
            c->is_owned[k] = true;
            c->result[i] = c->arg[k];
        } else {
            SN_TRY(sn_steps_result(x, f, c->ref, i, c->type[i], &c->result[i], err));
        }
    }
    return sn_frame_set(x, f, c->ref, c->result, c->n, true, err);
}

static SnStatus branch(SnSteps *x, const Cond *c, SnRef fn, SnError *err)
{
    SnFrame f = {
        .arg = c->arg, .is_owned = c->is_owned, .narg = c->narg, .target = c->result, .ntarget = c->n};
    uint32_t *value = sn_arena_array(x->p->arena, c->n + 1u, sizeof *value);
    SN_CHECK(value, err, SN_ENOMEM, "compile: no memory for a cond");
    SN_TRY(sn_steps_function(x, fn, &f, value, c->n, err));
    return sn_steps_move(x, c->result, value, c->type, c->n, err);
}

SnStatus sn_steps_cond(SnSteps *x, SnFrame *f, SnRef ref, SnError *err)
{
    Cond c = {.ref = ref};
    const SnRef then_fn = sn_term(x->s, ref)->arg[1], else_fn = sn_term(x->s, ref)->arg[2];
    SN_TRY(cond_begin(x, f, &c, err));
    SN_TRY(cond_results(x, f, &c, err));
    const uint32_t to_else = (uint32_t)x->step.n;
    x->depth++;
    SN_TRY(sn_steps_push(x, (SnStepRow){.kind = SN_STEP_BRANCH_ZERO}, &c.test, 1, NULL, 0, err));
    SN_TRY(branch(x, &c, then_fn, err));
    const uint32_t to_end = (uint32_t)x->step.n;
    SN_TRY(sn_steps_push(x, (SnStepRow){.kind = SN_STEP_JUMP}, NULL, 0, NULL, 0, err));
    x->step.at[to_else].c = (uint32_t)x->step.n;
    SN_TRY(branch(x, &c, else_fn, err));
    x->step.at[to_end].c = (uint32_t)x->step.n;
    x->depth--;
    return SN_OK;
}
