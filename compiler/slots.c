/* slots.c -- what a host sees of a program by name: inputs, results and carries, from the leaves that flatten
 * made of them. */
#include "compiler/eval.h"
#include "compiler/steps.h"

#define FOREVER 0xFFFFFFFEu

/* A tensor with a name. A list is three: NAME.start and NAME.len, i64 of equal dims, and NAME of rank 1. */
typedef struct Leaf {
    const char *name;
    SnTypeId type;
    uint32_t buffer;
    uint32_t stream; /* a stream: the register that counts its rows; else SN_NONE */
} Leaf;

static const SnSlotRow no_slot = {
    .start = SN_NONE, .len = SN_NONE, .child_reg = SN_NONE, .stream_reg = SN_NONE, .init = SN_NONE};

static SnStatus slot_dims(SnSteps *x, SnSlotRow *row, SnTypeId type, SnError *err)
{
    row->ndim = (uint32_t)sn_type(x->s, type)->ndim;
    for (uint32_t i = 0; i < row->ndim; i++) {
        const SnRef d = sn_type(x->s, type)->dims[i];
        SN_TRY(sn_steps_reg(x, d, &row->dim_reg[i], err));
        row->dim_name[i] =
            sn_term(x->s, d)->op == SN_OP_DIM ? sn_steps_string(x, sn_attr_string(x->s, d, "name")) : SN_NONE;
    }
    return SN_OK;
}

static const Leaf *find_part(const Leaf *leaf, uint32_t n, const char *name, size_t len, const char *part)
{
    for (uint32_t i = 0; i < n; i++)
        if (strncmp(leaf[i].name, name, len) == 0 && strcmp(leaf[i].name + len, part) == 0)
            return &leaf[i];
    return NULL;
}

/* The parts of the list whose name is the first len bytes; false: there is no such list. */
static bool find_list(const SnSteps *x, const Leaf *leaf, uint32_t n, const char *name, size_t len,
                      const Leaf *part[3])
{
    static const char *const suffix[3] = {".start", ".len", ""};
    for (int i = 0; i < 3; i++)
        if (!(part[i] = find_part(leaf, n, name, len, suffix[i])))
            return false;
    return part[0]->type == part[1]->type && sn_type(x->s, part[0]->type)->dtype == SN_I64 &&
           sn_type(x->s, part[2]->type)->ndim == 1;
}

static bool is_list_part(const SnSteps *x, const Leaf *leaf, uint32_t n, const char *name)
{
    const char *dot = strrchr(name, '.');
    const Leaf *part[3];
    return dot && (strcmp(dot, ".start") == 0 || strcmp(dot, ".len") == 0) &&
           find_list(x, leaf, n, name, (size_t)(dot - name), part);
}

static SnStatus push_slots(SnSteps *x, const Leaf *leaf, uint32_t n, SnRange *out, SnError *err)
{
    *out = (SnRange){(uint32_t)x->slot.n, 0};
    for (uint32_t i = 0; i < n; i++) {
        const Leaf *l = &leaf[i], *part[3];
        if (is_list_part(x, leaf, n, l->name))
            continue;
        SnSlotRow row = no_slot;
        row.name = sn_steps_string(x, l->name);
        row.dtype = sn_type(x->s, l->type)->dtype;
        row.buffer = l->buffer;
        row.stream_reg = l->stream;
        row.is_list = find_list(x, leaf, n, l->name, strlen(l->name), part);
        SN_TRY(slot_dims(x, &row, row.is_list ? part[0]->type : l->type, err));
        if (row.is_list) {
            row.start = part[0]->buffer;
            row.len = part[1]->buffer;
            SN_TRY(sn_steps_reg(x, sn_type(x->s, l->type)->dims[0], &row.child_reg, err));
        }
        SN_CHECK(sn_vec_push(x->memory, &x->slot, row), err, SN_ENOMEM, "compile: no memory for slots");
        out->count++;
    }
    return SN_OK;
}

/* ---- inputs ---- */

SnStatus sn_declare_inputs(SnPass *p, SnRef root, SnError *err)
{
    const SnTerm *program = sn_term(p->s, root);
    const uint32_t n = sn_store_count(p->s);
    const bool *any = sn_reach(p, root, true);
    uint32_t ninput = 0;
    for (SnRef r = 1; r < n; r++)
        ninput += sn_term(p->s, r)->op == SN_OP_INPUT;
    SnDeclared *out = sn_arena_array(p->arena, (size_t)ninput * program->narg + 1, sizeof *out);
    SN_CHECK(any && out, err, SN_ENOMEM, "compile: no memory for inputs");
    p->declared = out;
    p->ndeclared = 0;
    for (int i = 0; i < program->narg; i++) {
        const SnRef entry = program->arg[i];
        const bool *here = sn_reach(p, entry, true);
        SN_CHECK(here, err, SN_ENOMEM, "compile: no memory for inputs");
        for (SnRef r = 1; r < n; r++)
            if (sn_term(p->s, r)->op == SN_OP_INPUT && ((r < entry && here[r]) || r > root || !any[r]))
                out[p->ndeclared++] = (SnDeclared){sn_attr_string(p->s, entry, "name"), r};
    }
    return SN_OK;
}

static bool has_slot(const SnSteps *x, SnRange among, uint32_t name)
{
    for (uint32_t i = among.first; i < among.first + among.count; i++)
        if (x->slot.at[i].name == name)
            return true;
    return false;
}

/* An input that nothing needs any more may still be bound: it is checked, and gives its dims. */
static SnStatus push_unused(SnSteps *x, SnRef input, SnRange *out, SnError *err)
{
    const SnTypeId type = sn_term(x->s, input)->type;
    const size_t nsymbol = x->symbol.n;
    SnSlotRow row = no_slot;
    row.name = sn_steps_string(x, sn_attr_string(x->s, input, "name"));
    if (has_slot(x, *out, row.name))
        return SN_OK;
    row.dtype = sn_dtype_of(x->s, input);
    row.is_list = sn_type(x->s, type)->kind == SN_TYPE_LIST;
    row.is_unused = true;
    row.buffer = SN_NONE;
    SN_TRY(slot_dims(x, &row, type, err));
    if (row.is_list)
        SN_TRY(sn_steps_reg(x, sn_type(x->s, type)->bound, &row.child_reg, err));
    for (size_t i = nsymbol; i < x->symbol.n; i++)
        x->symbol.at[i].is_optional = true;
    SN_CHECK(sn_vec_push(x->memory, &x->slot, row), err, SN_ENOMEM, "compile: no memory for slots");
    out->count++;
    return SN_OK;
}

SnStatus sn_steps_inputs(SnSteps *x, SnRef entry, SnRange *out, SnError *err)
{
    const char *name = sn_attr_string(x->s, entry, "name");
    Leaf *leaf = sn_arena_array(x->p->arena, x->inputs.n + 1, sizeof *leaf);
    SN_CHECK(leaf, err, SN_ENOMEM, "compile: no memory for inputs");
    for (size_t i = 0; i < x->inputs.n; i++) {
        const SnRef r = x->inputs.at[i];
        leaf[i] =
            (Leaf){sn_attr_string(x->s, r, "name"), sn_term(x->s, r)->type, x->leaf_at.at[r] - 1, SN_NONE};
    }
    SN_TRY(push_slots(x, leaf, (uint32_t)x->inputs.n, out, err));
    for (size_t i = 0; i < x->p->ndeclared; i++)
        if (strcmp(x->p->declared[i].entry, name) == 0)
            SN_TRY(push_unused(x, x->p->declared[i].input, out, err));
    return SN_OK;
}

/* ---- results ---- */

/* A part of a list streams as the list does; its child is what the loop stacked, in another shape. */
static bool streams(const SnSteps *x, SnRef entry, const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot || (strcmp(dot, ".start") != 0 && strcmp(dot, ".len") != 0))
        return sn_entry_streams(x->s, entry, name);
    const char *list = sn_arena_strndup(x->p->arena, name, (size_t)(dot - name));
    return sn_entry_streams(x->s, entry, name) || (list && sn_entry_streams(x->s, entry, list));
}

static SnStatus stream_reg(SnSteps *x, SnRef entry, SnRef value, const char *name, uint32_t *reg,
                           SnError *err)
{
    *reg = SN_NONE;
    if (!streams(x, entry, name))
        return SN_OK;
    if (sn_term(x->s, value)->op == SN_OP_RESHAPE)
        value = sn_term(x->s, value)->arg[0];
    const SnRef loop = sn_stacking_loop(x->s, value);
    for (size_t i = 0; i < x->loop.n && *reg == SN_NONE; i++)
        if (x->loop.at[i].loop == loop)
            *reg = x->loop.at[i].reg;
    SN_CHECK(*reg != SN_NONE, err, SN_EINTERNAL, "compile: stream %s is not what a loop stacks", name);
    return SN_OK;
}

/* Results are buffers of their own that live to the end: leaves and repeated values are copied, unless they
 * are streams, which are read before there is anything to copy. */
SnStatus sn_steps_outputs(SnSteps *x, SnFrame *f, SnRef entry, SnRange *out, SnError *err)
{
    const SnRef tuple = sn_term(x->s, entry)->arg[0];
    const uint32_t n = (uint32_t)sn_type_of(x->s, tuple)->nchild;
    Leaf *leaf = sn_arena_array(x->p->arena, n + 1u, sizeof *leaf);
    SN_CHECK(leaf, err, SN_ENOMEM, "compile: no memory for results");
    SN_CHECK(n == 0 || sn_type_of(x->s, tuple)->names, err, SN_EINTERNAL,
             "compile: results of an entry have no names");
    for (uint32_t i = 0; i < n; i++) {
        const SnType *t = sn_type_of(x->s, tuple);
        const SnTypeId type = t->child[i];
        const char *name = t->names[i];
        const SnRef value = sn_term(x->s, tuple)->op == SN_OP_TUPLE ? sn_term(x->s, tuple)->arg[i] : tuple;
        uint32_t at = 0, reg = SN_NONE;
        SN_TRY(sn_steps_leaf(x, f, tuple, i, &at, err));
        SN_TRY(stream_reg(x, entry, value, name, &reg, err));
        bool own = x->buffer.at[at].kind == SN_BUFFER_SCRATCH;
        for (uint32_t j = 0; j < i && reg == SN_NONE; j++)
            own = own && leaf[j].buffer != at;
        leaf[i] = (Leaf){name, type, at, reg};
        if (!own) {
            SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, leaf[i].type, &leaf[i].buffer, err));
            SN_TRY(sn_steps_copy(x, leaf[i].buffer, at, leaf[i].type, err));
        }
        sn_steps_touch(x, leaf[i].buffer, (uint32_t)x->step.n);
        x->buffer.at[leaf[i].buffer].last = FOREVER;
    }
    return push_slots(x, leaf, n, out, err);
}

/* ---- carries ---- */

/* What fills a carry when it is repeated: the operand of a broadcast that adds axes in front, or a scalar. */
static SnRef repeated_part(const SnSteps *x, SnRef init)
{
    while (sn_term(x->s, init)->op == SN_OP_BROADCAST) {
        const SnRef from = sn_term(x->s, init)->arg[0];
        const SnType *a = sn_type_of(x->s, from), *b = sn_type_of(x->s, init);
        bool is_one = true, is_tail = true;
        for (int i = 0; i < a->ndim; i++) {
            int64_t v = 0;
            is_one = is_one && sn_is_const_i64(x->s, a->dims[i], &v) && v == 1;
            is_tail = is_tail && sn_dim_equal(x->s, a->dims[i], b->dims[b->ndim - a->ndim + i]);
        }
        if (!is_one && !is_tail)
            break;
        init = from;
    }
    return init;
}

static SnStatus carry_init(SnSteps *x, SnRef carry, SnSlotRow *row, SnError *err)
{
    const char *name = sn_attr_string(x->s, carry, "name");
    SnBytes b;
    if (sn_term(x->s, carry)->narg == 0 || sn_term(x->s, sn_term(x->s, carry)->arg[0])->op == SN_OP_NONE)
        return SN_OK;
    const SnRef init = repeated_part(x, sn_term(x->s, carry)->arg[0]);
    SN_CHECK(sn_eval_const(x->s, init, INT32_MAX, x->p->arena, &b), err, SN_EUNSUPPORTED,
             "carry %s: its initial value is no constant", name);
    SN_CHECK(b.n <= UINT32_MAX, err, SN_EUNSUPPORTED, "carry %s: an initial value of %zu bytes", name, b.n);
    size_t i = 0;
    while (i < b.n && ((const uint8_t *)b.at)[i] == 0)
        i++;
    if (i == b.n)
        return SN_OK;
    row->init = sn_steps_data(x, b.at, b.n);
    row->init_size = (uint32_t)b.n;
    return SN_OK;
}

static SnStatus carry_slot(SnSteps *x, SnRef r, SnError *err)
{
    const char *name = sn_attr_string(x->s, r, "name");
    SnSlotRow row = no_slot;
    row.name = sn_steps_string(x, name);
    row.dtype = sn_dtype_of(x->s, r);
    for (uint32_t i = 0; i < x->carry.count; i++)
        SN_CHECK(x->slot.at[i].name != row.name, err, SN_EINVAL, "carry %s is declared twice", name);
    SN_TRY(sn_steps_buffer(x, SN_BUFFER_CARRY, x->carry.count, sn_term(x->s, r)->type, &row.buffer, err));
    SN_TRY(slot_dims(x, &row, sn_term(x->s, r)->type, err));
    SN_TRY(carry_init(x, r, &row, err));
    SN_CHECK(sn_vec_push(x->memory, &x->slot, row), err, SN_ENOMEM, "compile: no memory for carries");
    x->carry.count++;
    return SN_OK;
}

/* Carries, and the symbols that instances are made with, are laid out once for all entries, in declared
 * order. */
SnStatus sn_steps_carries(SnSteps *x, SnRef root, SnError *err)
{
    const bool *need = sn_reach(x->p, root, true);
    SN_CHECK(need, err, SN_ENOMEM, "compile: no memory for marks");
    for (SnRef r = 1; r <= root; r++) {
        uint32_t reg = 0;
        if (need[r] && sn_term(x->s, r)->op == SN_OP_DIM && sn_attr_int(x->s, r, "create", 0))
            SN_TRY(sn_steps_reg(x, r, &reg, err));
    }
    x->create_symbol = (SnRange){0, (uint32_t)x->symbol.n};
    for (SnRef r = 1; r <= root; r++)
        if (need[r] && sn_term(x->s, r)->op == SN_OP_CARRY)
            SN_TRY(carry_slot(x, r, err));
    SN_CHECK(x->symbol.n == x->create_symbol.count, err, SN_EUNSUPPORTED,
             "compile: carries have constant dims and symbols that are bound at create");
    return SN_OK;
}
