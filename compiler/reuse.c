/* reuse.c -- stored terms that are built alike get kernels that were lowered before.
 *
 * Layers of a model differ in nothing but which values they read. What a term is built of is written down as
 * its form: its cone down to what is stored, operands before users and numbered in that order, with the types
 * of what is stored in place of its identity, and dims, constants and functions as they are. Lowering depends
 * on nothing else; so terms of one form share their kernels, each reading its own values. */
#include "compiler/pass.h"

void sn_reuse_init(SnReuse *u, SnPass *p, const bool *is_stored, uint32_t n)
{
    *u = (SnReuse){.p = p, .is_stored = is_stored, .nstored = n};
    sn_map_init(&u->at, sn_allocator(p->ctx));
}

void sn_reuse_clear(SnReuse *u)
{
    const SnAllocator *a = u->at.memory;
    if (a == NULL)
        return;
    sn_map_clear(&u->at);
    sn_vec_clear(a, &u->known);
    sn_vec_clear(a, &u->form);
    sn_vec_clear(a, &u->term);
}

/* ---- forms ---- */

static void put(SnReuse *u, uint32_t word)
{
    u->failed = u->failed || !sn_vec_push(u->at.memory, &u->form, word);
}

/* What may be another value of the same type in another layer. */
static bool is_any(uint16_t op)
{
    return op != SN_OP_CONST && op != SN_OP_OBJECT && op != SN_OP_NONE && op != SN_OP_FN;
}

/* Writes a term down once all its operands are, and numbers it. */
static void describe(SnReuse *u, SnRef r, SnRef root, SnRef over)
{
    const SnStore *s = u->p->s;
    const SnTerm *t = sn_term(s, r);
    if (u->number[r] != 0 || u->failed)
        return;
    const bool is_read = u->is_stored[r] && r != root, is_same = !is_any(t->op) || sn_is_dim(s, r);
    const bool is_open = !is_read && !is_same;
    for (int i = 0; i < t->narg && is_open; i++)
        describe(u, t->arg[i], root, over);
    put(u, (uint32_t)t->op << 3 | (uint32_t)(r == over) << 2 | (uint32_t)is_same << 1 | (uint32_t)is_read);
    put(u, is_same ? r : t->type);
    if (is_open) {
        put(u, t->attr);
        put(u, t->narg);
    }
    for (int i = 0; i < t->narg && is_open; i++)
        put(u, u->number[t->arg[i]]);
    u->failed = u->failed || !sn_vec_push(u->at.memory, &u->term, r);
    u->number[r] = (uint32_t)u->term.n;
}

static SnStatus describe_root(SnReuse *u, SnRef root, SnRef over, SnError *err)
{
    if (u->number == NULL)
        u->number = (uint32_t *)sn_arena_array(u->p->arena, u->nstored, sizeof *u->number);
    u->failed = u->number == NULL;
    u->form.n = u->term.n = 0;
    if (!u->failed)
        describe(u, root, root, over);
    for (size_t i = 0; i < u->term.n; i++)
        u->number[u->term.at[i]] = 0;
    SN_CHECK(!u->failed, err, SN_ENOMEM, "no memory for the form of a term");
    return SN_OK;
}

static SnBytes form_bytes(const SnReuse *u)
{
    return sn_bytes(u->form.at, u->form.n * sizeof *u->form.at);
}

/* ---- kernels ---- */

static SnStatus keep(SnReuse *u, const SnLowered *low, SnError *err)
{
    const SnBytes form = form_bytes(u);
    uint8_t *key = (uint8_t *)sn_arena_alloc(u->p->arena, form.n);
    SnRef *term = (SnRef *)sn_arena_array(u->p->arena, u->term.n, sizeof *term);
    const SnLoweredForm known = {.term = term, .nterm = (uint32_t)u->term.n, .low = *low};
    SN_CHECK(key != NULL && term != NULL && sn_vec_push(u->at.memory, &u->known, known), err, SN_ENOMEM,
             "no memory to keep kernels");
    memcpy(key, form.at, form.n);
    memcpy(term, u->term.at, u->term.n * sizeof *term);
    SN_CHECK(sn_map_put(&u->at, sn_bytes(key, form.n), (uint32_t)u->known.n - 1), err, SN_ENOMEM,
             "no memory to keep kernels");
    return SN_OK;
}

/* Where the known kernels read a term, these read the one of the same number. */
static SnStatus adopt(const SnReuse *u, const SnLoweredForm *known, SnLowered *out, SnError *err)
{
    *out = known->low;
    out->kernel = (SnLoweredKernel *)sn_arena_array(u->p->arena, out->nkernel, sizeof *out->kernel);
    SN_CHECK(out->kernel != NULL || out->nkernel == 0, err, SN_ENOMEM, "no memory for kernels");
    for (uint32_t i = 0; i < out->nkernel; i++) {
        SnLoweredKernel *k = &out->kernel[i];
        *k = known->low.kernel[i];
        for (int b = 0; b < k->kernel->nbuf; b++) {
            uint32_t n = 0;
            while (n < known->nterm && known->term[n] != k->buf[b].value)
                n++;
            if (k->buf[b].kind != SN_BUF_VALUE)
                continue;
            SN_CHECK(n < known->nterm, err, SN_EINTERNAL, "kernel %s reads what it is not made of",
                     k->kernel->name);
            k->buf[b].value = u->term.at[n];
        }
    }
    return SN_OK;
}

/* ---- levels ---- */

/* Are they two forms of one thing? */
static bool is_form(const SnLowered *a, const SnLowered *b)
{
    bool same = a->nkernel == b->nkernel && a->ntemp == b->ntemp && a->in_place == b->in_place &&
                a->is_over == b->is_over;
    for (uint32_t i = 0; same && i < a->ntemp; i++)
        same = a->temp[i] == b->temp[i];
    for (uint32_t i = 0; same && i < a->nkernel; i++) {
        const SnLoweredKernel *x = &a->kernel[i], *y = &b->kernel[i];
        same = x->grid == y->grid && x->kernel->nbuf == y->kernel->nbuf && x->kernel->ndim == y->kernel->ndim;
        for (int k = 0; same && k < x->kernel->nbuf; k++)
            same = x->buf[k].kind == y->buf[k].kind && x->buf[k].value == y->buf[k].value &&
                   x->buf[k].index == y->buf[k].index &&
                   x->kernel->buf[k].is_written == y->kernel->buf[k].is_written;
        for (int k = 0; same && k < x->kernel->ndim; k++)
            same = x->dim[k] == y->dim[k];
    }
    return same;
}

static bool has_more_dims(const SnLowered *a, const SnLowered *b)
{
    bool more = false;
    for (uint32_t i = 0; i < a->nkernel && i < b->nkernel; i++)
        more = more || a->kernel[i].kernel->ndim > b->kernel[i].kernel->ndim;
    return more;
}

static bool same_key(const SnKernel *a, const SnKernel *b)
{
    return memcmp(&a->key, &b->key, sizeof a->key) == 0;
}

/* A form may use dims that those before it do not: then all are made again, with its dims first. */
static SnStatus lower_forms(SnReuse *u, SnRef root, SnRef over, SnLowered *form, SnError *err)
{
    SnPass *p = u->p;
    const uint32_t n = p->nlevel;
    SnLowered like;
    SnStatus st = SN_OK;
    for (uint32_t i = 0, done = 0; st == SN_OK && done < n; i = (i + 1) % n) {
        p->target = &p->level[i];
        st = sn_lower_like(p, root, u->is_stored, over, done > 0 ? &like : NULL, &form[i], err);
        done = st == SN_OK && done > 0 && has_more_dims(&form[i], &like) ? 1 : done + 1;
        like = form[i];
    }
    p->target = p->level;
    return st;
}

static SnStatus lower_levels(SnReuse *u, SnRef root, SnRef over, SnLowered *out, SnError *err)
{
    const uint32_t n = u->p->nlevel;
    SnLowered *form = (SnLowered *)sn_arena_array(u->p->arena, n, sizeof *form);
    SN_CHECK(form != NULL, err, SN_ENOMEM, "no memory for kernels");
    SN_TRY(lower_forms(u, root, over, form, err));
    for (uint32_t i = 1; i < n; i++)
        SN_CHECK(is_form(&form[0], &form[i]), err, SN_EINTERNAL, "kernels of levels %s and %s do not agree",
                 u->p->level[0].level, u->p->level[i].level);
    *out = form[0];
    for (uint32_t k = 0; k < out->nkernel; k++) {
        const SnKernel **of = (const SnKernel **)sn_arena_array(u->p->arena, n, sizeof *of);
        SN_CHECK(of != NULL, err, SN_ENOMEM, "no memory for kernels");
        for (uint32_t i = 0; i < n; i++) {
            const SnKernel *kernel = form[i].kernel[k].kernel;
            of[i] = i > 0 && same_key(kernel, of[i - 1]) ? of[i - 1] : kernel;
        }
        out->kernel[k].form = of;
    }
    return SN_OK;
}

#ifndef NDEBUG
static bool is_alike(const SnLowered *a, const SnLowered *b, uint32_t nlevel)
{
    bool same = is_form(a, b);
    for (uint32_t i = 0; same && i < a->nkernel; i++)
        for (uint32_t k = 0; same && k < nlevel; k++)
            same = same_key(a->kernel[i].form[k], b->kernel[i].form[k]);
    return same;
}
#endif

SnStatus sn_reuse_lower(SnReuse *u, SnRef root, SnRef over, SnLowered *out, SnError *err)
{
    uint32_t known = 0;
    SN_TRY(describe_root(u, root, over, err));
    if (!sn_map_get(&u->at, form_bytes(u), &known)) {
        SN_TRY(lower_levels(u, root, over, out, err));
        return keep(u, out, err);
    }
    SN_TRY(adopt(u, &u->known.at[known], out, err));
#ifndef NDEBUG
    SnLowered anew;
    SN_TRY(lower_levels(u, root, over, &anew, err));
    SN_CHECK(is_alike(out, &anew, u->p->nlevel), err, SN_EINTERNAL,
             "terms of one form became different kernels");
#endif
    return SN_OK;
}
