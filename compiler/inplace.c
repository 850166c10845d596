/* inplace.c -- which buffers may be overwritten, and with what.
 *
 * Terms are laid out in order of refs, so the last reader of a value is the largest ref that reads it,
 * through whatever is not stored in between. A buffer of a frame is free from the term on behind which
 * nothing reads what lies there. Parameters that a frame owns (values a loop carries, rows, carries of an
 * entry that it changes) are buffers of the frame, too. So an update or scatter overwrites its operand when
 * that dies there, a loop takes the buffers of its first values, and new values are made at home when that is
 * free. */
#include "compiler/steps.h"

static bool reads_at_once(const SnSteps *x, SnRef r)
{
    switch (sn_term(x->s, r)->op) {
    case SN_OP_MEASURE:
    case SN_OP_HOST:
    case SN_OP_LOOP:
    case SN_OP_COND:
        return true;
    case SN_OP_TUPLE:
    case SN_OP_ENTRY:
        return false;
    default:
        return r < x->nstored && x->is_stored[r];
    }
}

/* A get does not read: the result that it stands for is read by who uses the get. Nor does an entry read the
 * carries that it names as those to be changed. */
static uint32_t *last_readers(SnSteps *x, SnRef root, const bool *need)
{
    uint32_t *last = sn_arena_array(x->p->arena, root + 1u, sizeof *last);
    if (!last)
        return NULL;
    last[root] = SN_NONE;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(x->s, r);
        if (!need[r] || t->op == SN_OP_GET)
            continue;
        const uint32_t at = reads_at_once(x, r) ? r : last[r];
        for (int i = 0; i < t->narg; i++)
            if ((t->op != SN_OP_ENTRY || i % 2 == 0) && last[t->arg[i]] < at)
                last[t->arg[i]] = at;
    }
    return last;
}

/* What lies in the buffer is read until then. */
static SnStatus keep(SnSteps *x, SnFrame *f, uint32_t buffer, uint32_t until, SnError *err)
{
    if (buffer >= f->until.n) {
        const size_t more = buffer + 1 - f->until.n;
        SN_CHECK(sn_vec_reserve(x->memory, &f->until, more), err, SN_ENOMEM, "compile: no memory for values");
        memset(f->until.at + f->until.n, 0, more * sizeof *f->until.at);
        f->until.n = buffer + 1;
    }
    if (f->until.at[buffer] < until)
        f->until.at[buffer] = until;
    return SN_OK;
}

/* A carry that a body names is read whenever that runs. */
static SnStatus own_carries(SnSteps *x, SnFrame *f, SnRef entry, const bool *in_function, SnError *err)
{
    for (int i = 1; i < sn_term(x->s, entry)->narg; i += 2) {
        const SnRef carry = sn_term(x->s, entry)->arg[i];
        uint32_t buffer = 0;
        SN_TRY(sn_steps_lookup(x, f, carry, &buffer, err));
        SN_TRY(keep(x, f, buffer, in_function[carry] ? SN_NONE : f->last[carry] ? f->last[carry] : 1, err));
    }
    return SN_OK;
}

SnStatus sn_frame_begin(SnSteps *x, SnFrame *f, SnRef root, const bool *need, const bool *in_function,
                        SnError *err)
{
    f->body = root;
    f->last = last_readers(x, root, need);
    SN_CHECK(f->last, err, SN_ENOMEM, "compile: no memory for marks");
    for (uint32_t i = 0; i < f->narg; i++)
        if (f->is_owned && f->is_owned[i])
            SN_TRY(keep(x, f, f->arg[i], 1, err));
    for (uint32_t i = 0; i < f->ntarget; i++)
        if (f->target[i] != SN_NONE)
            SN_TRY(keep(x, f, f->target[i], 1, err));
    for (SnRef r = 1; r <= root; r++) {
        const int64_t i =
            need[r] && sn_term(x->s, r)->op == SN_OP_ARG ? sn_attr_int(x->s, r, "index", -1) : -1;
        if (i >= 0 && i < (int64_t)f->narg && f->is_owned && f->is_owned[i])
            SN_TRY(keep(x, f, f->arg[i], f->last[r], err));
    }
    return sn_term(x->s, root)->op == SN_OP_ENTRY ? own_carries(x, f, root, in_function, err) : SN_OK;
}

void sn_frame_clear(SnSteps *x, SnFrame *f)
{
    sn_vec_clear(x->memory, &f->at);
    sn_vec_clear(x->memory, &f->home);
    sn_vec_clear(x->memory, &f->until);
}

SnStatus sn_frame_set(SnSteps *x, SnFrame *f, SnRef ref, const uint32_t *buffer, uint32_t n, bool is_made,
                      SnError *err)
{
    const size_t more = ref >= f->at.n ? ref + 1 - f->at.n : 0;
    SN_CHECK(sn_vec_reserve(x->memory, &f->at, more + 1) && sn_vec_reserve(x->memory, &f->home, n + 1), err,
             SN_ENOMEM, "compile: no memory for values");
    memset(f->at.at + f->at.n, 0, more * sizeof *f->at.at);
    f->at.n += more;
    f->at.at[ref] = (uint32_t)f->home.n + 1;
    for (uint32_t i = 0; i < n; i++) {
        f->home.at[f->home.n++] = buffer[i];
        if (is_made || (buffer[i] < f->until.n && f->until.at[buffer[i]] != 0))
            SN_TRY(keep(x, f, buffer[i], f->last[ref] > ref ? f->last[ref] : ref, err));
    }
    return SN_OK;
}

SnStatus sn_frame_get(SnSteps *x, SnFrame *f, SnRef get, SnError *err)
{
    uint32_t buffer = 0;
    SN_TRY(sn_steps_lookup(x, f, get, &buffer, err));
    if (buffer < f->until.n && f->until.at[buffer] != 0)
        return keep(x, f, buffer, f->last[get], err);
    return SN_OK;
}

bool sn_frame_is_free(const SnFrame *f, uint32_t buffer, SnRef at)
{
    return buffer < f->until.n && f->until.at[buffer] != 0 && f->until.at[buffer] < at;
}

uint32_t sn_frame_target(const SnSteps *x, const SnFrame *f, SnRef ref, uint32_t i)
{
    for (uint32_t k = 0; k < f->ntarget; k++) {
        const SnTerm *body = sn_term(x->s, f->body);
        SnRef value = f->body;
        uint32_t leaf = k;
        if (body->op == SN_OP_TUPLE) {
            value = body->arg[k];
            leaf = 0;
            if (sn_term(x->s, value)->op == SN_OP_GET) {
                leaf = (uint32_t)sn_attr_int(x->s, value, "index", 0);
                value = sn_term(x->s, value)->arg[0];
            }
        }
        if (value == ref && leaf == i && f->target[k] != SN_NONE && sn_frame_is_free(f, f->target[k], ref))
            return f->target[k];
    }
    return SN_NONE;
}

SnStatus sn_frame_in_place(SnSteps *x, SnFrame *f, SnRef ref, const SnLowered *low, uint32_t *out,
                           SnError *err)
{
    uint32_t base = 0;
    *out = SN_NONE;
    if (low->in_place < 0)
        return SN_OK;
    SN_TRY(sn_steps_lookup(x, f, sn_term(x->s, ref)->arg[low->in_place], &base, err));
    if (!sn_frame_is_free(f, base, ref + 1))
        return SN_OK;
    for (uint32_t k = 1; k < low->nkernel; k++)
        for (int i = 0; i < low->kernel[k].kernel->nbuf; i++) {
            const SnBufUse *u = &low->kernel[k].buf[i];
            uint32_t buffer = SN_NONE;
            if (u->kind == SN_BUF_VALUE)
                SN_TRY(sn_steps_lookup(x, f, u->value, &buffer, err));
            if (buffer == base)
                return SN_OK;
        }
    *out = base;
    return SN_OK;
}

/* The carry that gets this value, of the same type; 0: none. */
static SnRef carry_of(const SnSteps *x, const SnFrame *f, SnRef ref)
{
    const SnTerm *t = sn_term(x->s, f->body);
    for (int i = 2; t->op == SN_OP_ENTRY && i < t->narg; i += 2)
        if (t->arg[i] == ref && sn_term(x->s, t->arg[i - 1])->type == sn_term(x->s, ref)->type)
            return t->arg[i - 1];
    return 0;
}

SnStatus sn_frame_overwrite(SnSteps *x, SnFrame *f, SnRef ref, SnLowered *low, uint32_t *out, SnError *err)
{
    const SnRef carry = carry_of(x, f, ref);
    uint32_t home = SN_NONE;
    SnLowered over = {0};
    if (carry == 0 || low->in_place >= 0)
        return SN_OK;
    SN_TRY(sn_steps_lookup(x, f, carry, &home, err));
    if (!sn_frame_is_free(f, home, ref + 1))
        return SN_OK;
    if (!sn_frame_is_free(f, home, ref)) {
        SN_TRY(sn_reuse_lower(&x->reuse, ref, carry, &over, err));
        if (!over.is_over)
            return SN_OK;
        *low = over;
    }
    *out = home;
    return SN_OK;
}

int64_t sn_updated_param(const SnSteps *x, SnRef fn, uint32_t i)
{
    const SnTerm *body = sn_term(x->s, sn_term(x->s, fn)->arg[0]);
    SnRef r = body->op == SN_OP_TUPLE ? body->arg[i] : sn_term(x->s, fn)->arg[0];
    for (;;) {
        const SnTerm *t = sn_term(x->s, r);
        const SnTerm *of = t->op == SN_OP_GET ? sn_term(x->s, t->arg[0]) : NULL;
        const int64_t leaf = of ? sn_attr_int(x->s, r, "index", 0) : 0;
        if (t->op == SN_OP_ARG)
            return sn_attr_int(x->s, r, "index", -1);
        if (of && of->op == SN_OP_LOOP && leaf < sn_attr_int(x->s, t->arg[0], "ncarry", 0))
            r = of->arg[3 + leaf];
        else if (sn_is_update(x->p, r))
            r = t->arg[0];
        else
            return -1;
    }
}

/* One that lies where another is going to be is set aside first. */
SnStatus sn_steps_move(SnSteps *x, const uint32_t *to, uint32_t *from, const SnTypeId *type, uint32_t n,
                       SnError *err)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++) {
            if (from[i] != to[j] || from[j] == to[j])
                continue;
            const uint32_t at = from[i];
            SN_TRY(sn_steps_buffer(x, SN_BUFFER_SCRATCH, 0, type[i], &from[i], err));
            SN_TRY(sn_steps_copy(x, from[i], at, type[i], err));
        }
    for (uint32_t i = 0; i < n; i++)
        if (from[i] != to[i])
            SN_TRY(sn_steps_copy(x, to[i], from[i], type[i], err));
    return SN_OK;
}

/* ---- updates ---- */

/* Is `what` read to compute r, by r's own kernel? `seen` is marked, and cleared by who called. */
typedef struct Cone {
    SnPass *p;
    const bool *is_stored;
    bool *seen;
    SN_VEC(SnRef) todo; /* what was seen */
    bool failed;
} Cone;

static bool reads(Cone *c, SnRef r, SnRef what)
{
    bool found = r == what;
    c->todo.n = 0;
    c->failed = c->failed || !sn_vec_push(sn_allocator(c->p->ctx), &c->todo, r);
    for (size_t k = 0; k < c->todo.n && !found; k++) {
        const SnTerm *t = sn_term(c->p->s, c->todo.at[k]);
        if (c->is_stored[c->todo.at[k]])
            continue;
        for (int i = 0; i < t->narg; i++) {
            found = found || t->arg[i] == what;
            if (c->seen[t->arg[i]] || t->op == SN_OP_FN)
                continue;
            c->seen[t->arg[i]] = true;
            c->failed = c->failed || !sn_vec_push(sn_allocator(c->p->ctx), &c->todo, t->arg[i]);
        }
    }
    for (size_t k = 0; k < c->todo.n; k++)
        c->seen[c->todo.at[k]] = false;
    return found;
}

SnStatus sn_store_updates(SnPass *p, bool *is_stored, uint32_t nstored, SnError *err)
{
    Cone c = {.p = p, .is_stored = is_stored, .seen = sn_arena_array(p->arena, nstored, 1)};
    SN_CHECK(c.seen, err, SN_ENOMEM, "compile: no memory for marks");
    for (SnRef r = 1; r < nstored && !c.failed; r++) {
        const SnTerm *t = sn_term(p->s, r);
        if (!is_stored[r] || !sn_is_update(p, r) || !is_stored[t->arg[0]])
            continue;
        for (int i = 1; i < t->narg; i++)
            if (!is_stored[t->arg[i]] && !sn_is_dim(p->s, t->arg[i]) && reads(&c, t->arg[i], t->arg[0]))
                is_stored[t->arg[i]] = true;
    }
    sn_vec_clear(sn_allocator(p->ctx), &c.todo);
    SN_CHECK(!c.failed, err, SN_ENOMEM, "compile: no memory for marks");
    return SN_OK;
}
