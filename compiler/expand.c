/* expand.c -- replaces composites by their definition, and host rows by calls of the primitive `host`.
 *
 * A round rebuilds the program bottom-up, one loop over the refs that the root reaches: operands are replaced
 * before their users, so a chain of composites takes one round, and what an expansion brings in anew takes
 * the next. Rounds end with the nesting of the definitions. Functions' bodies are operands like any other.
 * What the target claims stays: without a target (eval), nothing does. */
#include "compiler/build.h"
#include "compiler/lower.h"

#define MAX_ROUNDS 64

typedef struct Expand {
    SnPass *p;
    SnGraph *g;
    SnStore *s;
    SnRef *map; /* by ref: what it became; 0: not reached */
    uint32_t n;
    SnRef last;    /* a composite that was expanded in this round; 0: none */
    bool for_grad; /* what has a gradient of its own stays, nothing is claimed, and `stop` stays */
} Expand;

static const SnClaim claims[] = {
    {"attention_rows", sn_attend_accepts, sn_lower_attend, "rrrss", false},
    {"attention_rows_grad", sn_attend_grad_accepts, sn_lower_attend_grad, "rrrrrss", false},
    {"attention_past", sn_past_accepts, sn_lower_past, "orrrrrrrr", false},
    {"cache_keys", sn_cache_accepts, sn_lower_cache, "oorr", true},
    {"cache_values", sn_cache_accepts, sn_lower_cache, "oorr", true},
    {"state_space", sn_state_accepts, sn_lower_state, "rrrrro", false},
    {"quantize_rows", sn_block_rows_accepts, sn_lower_block_rows, "o", false},
    {"product_grouped", sn_grouped_accepts, sn_lower_contract, "rrr", false, .is_product = true},
    {"product_blocks", sn_blocks_accepts, sn_lower_contract, "rrrrrrr", false, .is_product = true},
};

const SnClaim *sn_claim_of(const SnPass *p, SnRef r)
{
    const SnOpRow *row = sn_compiler_row_of(p->cc, sn_term(p->s, r)->op);
    for (size_t i = 0; row != NULL && p->target != NULL && i < SN_COUNT(claims); i++)
        if (strcmp(claims[i].name, row->sig.name) == 0 && claims[i].accepts(p->s, r))
            return &claims[i];
    return NULL;
}

bool sn_is_update(const SnPass *p, SnRef r)
{
    const uint16_t op = sn_term(p->s, r)->op;
    const SnClaim *const claim = op >= SN_PRIM_COUNT ? sn_claim_of(p, r) : NULL;
    return op == SN_OP_UPDATE || op == SN_OP_SCATTER || (claim != NULL && claim->is_update);
}

bool sn_is_product(const SnPass *p, SnRef r)
{
    const uint16_t op = sn_term(p->s, r)->op;
    const SnClaim *const claim = op >= SN_PRIM_COUNT ? sn_claim_of(p, r) : NULL;
    return op == SN_OP_CONTRACT || (claim != NULL && claim->is_product);
}

static SnRef map_dim(void *self, SnRef dim)
{
    const Expand *const x = self;
    return dim < x->n && x->map[dim] != 0 ? x->map[dim] : dim;
}

/* host(scratch or none, operands...) op=NAME and the row's attributes. Absent operands are the last ones, and
 * left out. */
static SnStatus make_host(Expand *x, const SnOpRow *row, const SnCall *c, SnTypeId type, const SnRef *in,
                          int nin, SnRef *out, SnError *err)
{
    SnAttr attr[SN_SIG_ATTRS + 1] = {SN_STRING("op", row->sig.name)};
    SnRef *const arg = sn_arena_array(x->p->arena, (size_t)nin + 1, sizeof *arg);
    SN_CHECK(arg != NULL, err, SN_ENOMEM, "%s: no memory", row->sig.name);
    arg[0] = row->op->scratch != NULL ? row->op->scratch(x->g, c) : sn_use_optional(x->g, sn_none());
    SN_TRY(sn_graph_check(x->g, err));
    SN_CHECK(arg[0] != 0, err, SN_EINTERNAL, "%s: scratch size is no dim", row->sig.name);
    while (nin > 0 && sn_is_none(x->s, in[nin - 1]))
        nin--;
    for (int i = 0; i < nin; i++)
        SN_CHECK(!sn_is_none(x->s, in[i]), err, SN_EINVAL, "%s: operand %d is missing", row->sig.name, i + 1);
    memcpy(arg + 1, in, (size_t)nin * sizeof *arg);
    memcpy(attr + 1, c->attr, (size_t)c->nattr * sizeof *attr);
    const SnAttrId attrs = sn_attrs_make(x->s, attr, c->nattr + 1);
    *out = attrs != 0 ? sn_term_make(x->s, SN_OP_HOST, type, attrs, arg, nin + 1) : 0;
    return SN_OK;
}

/* A composite over mapped operands. */
static SnStatus expand_one(Expand *x, SnRef mapped, SnRef *out, SnError *err)
{
    const SnTerm *const t = sn_term(x->s, mapped);
    const SnOpRow *row = NULL;
    SnCall c;
    *out = mapped;
    if (!x->for_grad && sn_claim_of(x->p, mapped) != NULL)
        return SN_OK;
    SN_TRY(sn_call_of(x->g, mapped, x->p->arena, &row, &c, err));
    if (x->for_grad && row->op->grad != NULL)
        return SN_OK;
    x->last = mapped;
    if (row->op->run != NULL)
        return make_host(x, row, &c, t->type, t->arg, t->narg, out, err);
    *out = row->op->expand(x->g, &c).ref;
    const SnStatus st = sn_graph_check(x->g, err);
    return st == SN_OK ? st : sn_fail_in(err, st, row->sig.name);
}

/* The term of r over mapped operands. */
static SnStatus rebuild(Expand *x, SnRef r, SnRef *out, SnError *err)
{
    const SnTerm *const t = sn_term(x->s, r);
    SnRef *const in = sn_arena_array(x->p->arena, (size_t)t->narg + 1, sizeof *in);
    SN_CHECK(in != NULL, err, SN_ENOMEM, "expand: no memory");
    for (int i = 0; i < t->narg; i++)
        in[i] = x->map[t->arg[i]];
    if (t->op == SN_OP_STOP && !x->for_grad) {
        *out = in[0];
        return SN_OK;
    }
    SN_TRY(sn_term_again(x->s, r, t->attr, in, map_dim, x, out, err));
    return t->op >= SN_PRIM_COUNT ? expand_one(x, *out, out, err) : SN_OK;
}

static SnStatus round_over(Expand *x, SnRef *root, SnError *err)
{
    x->n = *root + 1;
    x->last = 0;
    x->map = sn_arena_array(x->p->arena, x->n, sizeof *x->map);
    const bool *const reached = sn_reach(x->p, *root, true);
    SN_CHECK(x->map != NULL && reached != NULL, err, SN_ENOMEM, "expand: no memory");
    for (SnRef r = 1; r < x->n; r++) {
        if (reached[r])
            SN_TRY(rebuild(x, r, &x->map[r], err));
        SN_CHECK(!reached[r] || x->map[r] != 0, err, SN_ENOMEM, "expand: no memory");
    }
    *root = x->map[*root];
    return SN_OK;
}

static SnStatus rounds(Expand *x, SnRef root, SnRef *out, SnError *err)
{
    for (int i = 0; i < MAX_ROUNDS; i++) {
        SN_TRY(round_over(x, &root, err));
        if (x->last == 0) {
            *out = root;
            return SN_OK;
        }
    }
    const SnOpRow *const row = sn_compiler_row_of(x->p->cc, sn_term(x->s, x->last)->op);
    return sn_fail(err, SN_EINVAL, "%s: its expansion never ends", row->sig.name);
}

SnStatus sn_pass_expand(SnPass *p, SnRef root, SnRef *out, SnError *err)
{
    return rounds(&(Expand){.p = p, .g = p->g, .s = p->s}, root, out, err);
}

SnStatus sn_expand_for_grad(SnPass *p, SnRef fn, SnRef *out, SnError *err)
{
    return rounds(&(Expand){.p = p, .g = p->g, .s = p->s, .for_grad = true}, fn, out, err);
}
