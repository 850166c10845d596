/* scalar_plan.c -- elementwise ops on single values: expansions as flat code, made once for each op and
 * dtype. */
#include "compiler/scalar.h"

#include "compiler/type.h"

#define FIRST_OP SN_OP_EXP
#define NOP      (SN_OP_POW - FIRST_OP + 1)

typedef struct Step {
    uint16_t op;
    SnDtype dtype, to; /* of the first operand (where: of the values); CAST, BITCAST: target */
    uint16_t arg[3];   /* registers */
} Step;

typedef struct Code {
    Step *step; /* step i writes register nreg + i; NULL: not made yet */
    uint16_t nstep;
    SnScalar *reg; /* operands, constants, results of steps */
    uint16_t nreg, result;
} Code;

struct SnScalarPlan {
    SnStore *store;
    SnArena *arena; /* the store's */
    Code code[NOP][SN_DTYPE_COUNT];
};

SnStatus sn_scalar_plan_create(SnContext *ctx, SnScalarPlan **out, SnError *err)
{
    SnStore *store;
    SN_TRY(sn_store_create(ctx, &store, err));
    SnScalarPlan *p = (SnScalarPlan *)sn_arena_alloc(sn_store_arena(store), sizeof *p);
    if (p == NULL) {
        sn_store_destroy(store);
        return sn_fail(err, SN_ENOMEM, "no memory for a scalar plan");
    }
    p->store = store;
    p->arena = sn_store_arena(store);
    *out = p;
    return SN_OK;
}

void sn_scalar_plan_destroy(SnScalarPlan *p)
{
    if (p != NULL)
        sn_store_destroy(p->store);
}

static SnRef operand(SnStore *s, SnDtype d, int i)
{
    const SnAttr index = SN_INT("index", i);
    return sn_term_make(s, SN_OP_ARG, sn_type_scalar(s, d), sn_attrs_make(s, &index, 1), NULL, 0);
}

/* Marks what r needs; refs of operands are smaller than their user's. */
static uint8_t *mark_needed(SnStore *s, SnArena *arena, SnRef r)
{
    uint8_t *needed = (uint8_t *)sn_arena_alloc(arena, (size_t)r + 1);
    if (needed == NULL)
        return NULL;
    needed[r] = 1;
    for (SnRef i = r; i > 0; i--) {
        const SnTerm *t = sn_term(s, i);
        for (int j = 0; needed[i] != 0 && j < t->narg; j++)
            needed[t->arg[j]] = 1;
    }
    return needed;
}

static void fill(const SnStore *s, const uint8_t *needed, SnRef root, uint16_t *reg_of, Code *c)
{
    uint16_t nreg = 2;
    for (SnRef i = 1; i <= root; i++) {
        if (needed[i] != 0 && sn_is_const(s, i, &c->reg[nreg]))
            reg_of[i] = nreg++;
        else if (needed[i] != 0 && sn_term(s, i)->op == SN_OP_ARG)
            reg_of[i] = (uint16_t)sn_attr_int(s, i, "index", 0);
    }
    c->nreg = nreg;
    for (SnRef i = 1; i <= root; i++) {
        const SnTerm *t = sn_term(s, i);
        if (needed[i] == 0 || t->narg == 0)
            continue;
        Step *x = &c->step[c->nstep];
        *x = (Step){.op = t->op, .to = sn_dtype_of(s, i)};
        x->dtype = sn_dtype_of(s, t->arg[t->op == SN_OP_WHERE ? 1 : 0]);
        for (int j = 0; j < t->narg; j++)
            x->arg[j] = reg_of[t->arg[j]];
        reg_of[i] = (uint16_t)(nreg + c->nstep++);
    }
    c->result = reg_of[root];
}

static SnStatus make(SnScalarPlan *p, uint16_t op, SnDtype d, Code *out, SnError *err)
{
    SnStore *s = p->store;
    const SnRef x = operand(s, d, 0), y = operand(s, d, 1);
    const SnRef root = sn_scalar_expand(s, op, x, op == SN_OP_POW ? y : 0);
    SN_CHECK(root != 0, err, SN_ENOMEM, "no memory to expand %s", sn_prim(op)->name);
    const uint8_t *needed = mark_needed(s, p->arena, root);
    size_t n = 2;
    for (SnRef i = 1; needed != NULL && i <= root; i++)
        n += needed[i];
    uint16_t *reg_of = (uint16_t *)sn_arena_array(p->arena, (size_t)root + 1, sizeof *reg_of);
    Code c = {.step = (Step *)sn_arena_array(p->arena, n, sizeof *c.step),
              .reg = (SnScalar *)sn_arena_array(p->arena, n, sizeof *c.reg)};
    SN_CHECK(needed != NULL && reg_of != NULL && c.step != NULL && c.reg != NULL, err, SN_ENOMEM,
             "no memory to expand %s", sn_prim(op)->name);
    fill(s, needed, root, reg_of, &c);
    *out = c;
    return SN_OK;
}

static SnScalar bitcast(SnDtype from, SnDtype to, SnScalar v)
{
    uint64_t bytes = 0;
    sn_scalar_store(from, &bytes, v);
    return sn_scalar_load(to, &bytes);
}

static bool run(const Code *c, const SnScalar *arg, SnScalar *out)
{
    SnScalar *reg = c->reg;
    reg[0] = arg[0];
    reg[1] = arg[1];
    for (uint16_t i = 0; i < c->nstep; i++) {
        const Step *x = &c->step[i];
        const SnScalar v[3] = {reg[x->arg[0]], reg[x->arg[1]], reg[x->arg[2]]};
        SnScalar *to = &reg[c->nreg + i];
        if (x->op == SN_OP_CAST)
            *to = sn_scalar_cast(x->dtype, x->to, v[0], false);
        else if (x->op == SN_OP_BITCAST)
            *to = bitcast(x->dtype, x->to, v[0]);
        else if (!sn_scalar_apply(x->op, x->dtype, v, to))
            return false;
    }
    *out = reg[c->result];
    return true;
}

SnStatus sn_scalar_eval(SnScalarPlan *p, uint16_t op, SnDtype dtype, const SnScalar *arg, SnScalar *out,
                        SnError *err)
{
    bool ok;
    if (sn_op_expands(op) && sn_dtype_is_float(dtype)) {
        Code *c = &p->code[op - FIRST_OP][dtype];
        if (c->step == NULL)
            SN_TRY(make(p, op, dtype, c, err));
        const SnScalar two[2] = {arg[0], op == SN_OP_POW ? arg[1] : arg[0]};
        ok = run(c, two, out);
    } else {
        ok = sn_scalar_apply(op, dtype, arg, out);
    }
    SN_CHECK(ok, err, SN_ESHAPE, "%s: not defined for %s", sn_prim(op)->name, sn_dtype(dtype)->name);
    return SN_OK;
}
