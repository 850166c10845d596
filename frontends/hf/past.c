/* past.c -- the cached form of decoders: keys and values in pages, states of recurrences in slots.
 *
 * What a layer keeps are carries, found by name: <scope>.k, <scope>.v, <scope>.<state>. A layer is a function
 * that takes their old values and gives the new ones, so equal layers are one function still. Pages and slots
 * are numbers that the driver hands out (runtime/lm.h); the graph never knows whose they are. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#include <stdio.h>

#define PAGE      256 /* positions */
#define PANEL     16
#define NAME_SIZE 512

/* The number that an axis has; 1 after an error. */
static int64_t known_dim(SnBuild *b, SnValue x, int axis)
{
    int64_t n = 1;
    if (x.ref && !sn_is_const_i64(sn_graph_store(b->g), sn_dim(b->g, x, axis).ref, &n))
        sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: a past whose width is not known", sn_scope_path(b->g));
    return n;
}

/* ---- carries ---- */

static SnValue carry(SnBuild *b, const char *name, SnDtype dtype, SnValue rows, int ndim, const int64_t *dims)
{
    char full[NAME_SIZE];
    const char *path = sn_scope_path(b->g);
    if (snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", name) >= NAME_SIZE)
        return sn_graph_fail(b->g, SN_EUNSUPPORTED, "%s: the name is too long", name);
    return sn_carry_zeros(b->g, full, dtype, rows, ndim, dims);
}

static void keep(SnBuild *b, SnValue held, SnValue next, SnPastKind kind)
{
    const SnAllocator *memory = b->arena->memory;
    SnPast *p = b->past;
    bool is_new = true;
    for (size_t i = 0; i < p->kept.n; i++)
        is_new = is_new && p->kept.at[i].carry.ref != held.ref;
    if (!sn_vec_push(memory, &p->next, ((SnPastNext){held, next})) ||
        (is_new && !sn_vec_push(memory, &p->kept, ((SnPastKept){held, kind}))))
        sn_graph_fail(b->g, SN_ENOMEM, "no memory for what is kept");
}

/* ---- keys and values ---- */

/* Per position of a key, f32[heads]. */
static SnValue slopes_of(SnBuild *b, const SnAttn *a)
{
    return a->slopes.ref && a->alibi_scale != 0
               ? sn_mul(b->g, sn_cast(b->g, a->slopes, SN_F32), sn_const(b->g, SN_F32, a->alibi_scale))
               : a->slopes;
}

/* x of each position and head as whole numbers of -127 .. 127, and what one of them is worth, f32[.., 1]. */
static SnValue whole_numbers(SnBuild *b, SnValue x, SnValue *scale)
{
    SnGraph *g = b->g;
    const SnValue wide = sn_cast(g, x, SN_F32), most = sn_const(g, SN_F32, 127),
                  least = sn_const(g, SN_F32, 1e-30);
    const SnValue top = sn_reduce(g, "max", sn_abs(g, wide), 1, &(int){3}, true);
    const SnValue by = sn_div(g, most, sn_max(g, top, least));
    *scale = sn_div(g, sn_max(g, top, least), most);
    return sn_cast(g, sn_round(g, sn_mul(g, wide, by)), SN_I8);
}

/* Where a layer keeps what it sees. */
typedef struct Place {
    SnPastKind kind;
    SnValue pages, page;
} Place;

/* x at the places of its tokens in <scope>.<name>, which is panels of positions where is_keys. */
static SnValue add_past(SnBuild *b, const Place *to, const char *name, SnDtype dtype, bool is_keys, SnValue x)
{
    const int64_t heads = known_dim(b, x, 1), width = known_dim(b, x, 3);
    const int64_t key[] = {heads, PAGE / PANEL, width, PANEL}, value[] = {heads, PAGE, width};
    const SnValue old = carry(b, name, dtype, to->pages, is_keys ? 4 : 3, is_keys ? key : value);
    const SnValue all = is_keys ? sn_cache_keys(b->g, old, x, to->page, b->past->pos)
                                : sn_cache_values(b->g, old, x, to->page, b->past->pos);
    keep(b, old, all, to->kind);
    return all;
}

/* y where a call goes on behind others; where it is a row's first, the tokens that the row began with, which
 * are all in it, see one another. */
static SnValue attend_prompt(SnBuild *b, const SnAttn *a, SnValue q, SnValue k, SnValue v, SnValue y)
{
    SnGraph *g = b->g;
    const SnValue pos = b->past->pos, one = sn_size(b->g, 1),
                  most = sn_symbol_at_create(g, "whole", 1, INT32_MAX);
    if (!b->past->given.ref)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s: a past of what sees ahead, or with windows and a guide",
                             sn_scope_path(g));
    const SnValue row[] = {b->batch, one, one, one}, query[] = {b->batch, one, b->seq, one};
    const SnValue key[] = {b->batch, one, one, b->seq};
    const SnValue first = sn_slice_axis(g, pos, 1, sn_size(b->g, 0), one);
    const SnValue begins = sn_reshape(g, sn_eq(g, first, sn_size(b->g, 0)), 4, row);
    const SnValue given = sn_and(g, sn_nn_given(b), sn_lt(g, pos, most));
    const SnValue i = sn_reshape(g, pos, 4, query), j = sn_reshape(g, pos, 4, key);
    SnValue seen = sn_and(g, sn_reshape(g, given, 4, key), sn_ge(g, j, sn_size(b->g, 0)));
    if (a->window)
        seen = sn_and(g, seen, sn_lt(g, sn_abs(g, sn_sub(g, i, j)), sn_size(b->g, a->window)));
    SnValue bias = sn_nn_bias_where(b, seen);
    if (a->slopes.ref) {
        const SnValue heads[] = {one, sn_size(b->g, a->heads), one, one}, slopes = slopes_of(b, a);
        const SnValue score = sn_mul(g, sn_reshape(g, slopes, 4, heads), sn_cast(g, j, SN_F32));
        bias = sn_add(g, sn_cast(g, bias, SN_F32), score);
    }
    sn_nn_sink(b, a, &bias, &k, &v);
    const SnValue all = sn_attention(g, q, k, v, bias, sn_none(), a->scale, a->softcap);
    return sn_where(g, sn_and(g, begins, sn_reshape(g, given, 4, query)), all, y);
}

SnValue sn_nn_attend_past(SnBuild *b, const SnAttn *a, const SnAttn *prompt, SnValue q, SnValue k, SnValue v)
{
    SnGraph *g = b->g;
    SnPast *p = b->past;
    const SnValue own_keys = k, own_values = v;
    if (a->score_bias.ref || b->want_probs)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s: attention with a past and a bias or probabilities",
                             sn_scope_path(g));
    const bool is_near = a->window > 0 && a->window <= p->window;
    const Place to = is_near ? (Place){SN_PAST_NEAR, p->near_pages, p->near_page}
                             : (Place){SN_PAST_PAGES, p->pages, p->page};
    SnValue key_scale = sn_none(), value_scale = sn_none();
    if (p->kv_dtype == SN_I8) {
        k = whole_numbers(b, k, &key_scale);
        v = whole_numbers(b, v, &value_scale);
        key_scale = add_past(b, &to, "k.scale", SN_F32, false, key_scale);
        value_scale = add_past(b, &to, "v.scale", SN_F32, false, value_scale);
    }
    const SnValue keys = add_past(b, &to, "k", p->kv_dtype, true, k);
    const SnValue values = add_past(b, &to, "v", p->kv_dtype, false, v);
    const SnValue y = sn_attention_past(g, q, keys, values, to.page, p->pos, slopes_of(b, a), a->sinks,
                                        key_scale, value_scale, a->scale, a->softcap, a->window);
    const SnValue turned = sn_permute(g, y, (const int[]){0, 2, 1, 3});
    return prompt->causal ? turned : attend_prompt(b, prompt, q, own_keys, own_values, turned);
}

/* ---- states ---- */

SnValue sn_nn_valid(SnBuild *b)
{
    return b->past ? sn_ge(b->g, b->past->pos, sn_size(b->g, 0)) : sn_none();
}

/* Spreads x[batch] over further axes, so that it meets [batch, dims..]. */
static SnValue by_row(SnBuild *b, SnValue x, int ndim)
{
    SnValue dims[SN_MAX_RANK] = {b->batch};
    for (int i = 0; i < ndim; i++)
        dims[i + 1] = sn_size(b->g, 1);
    return sn_reshape(b->g, x, ndim + 1, dims);
}

SnValue sn_nn_state(SnBuild *b, const char *name, SnDtype dtype, int ndim, const int64_t *dims)
{
    SnGraph *g = b->g;
    SnValue all[SN_MAX_RANK] = {b->batch};
    for (int i = 0; i < ndim; i++)
        all[i + 1] = sn_size(b->g, dims[i]);
    const SnValue zero = sn_const(g, dtype, 0);
    if (b->sequence.ref)
        return sn_graph_fail(g, SN_EUNSUPPORTED, "%s: a state of rows that have several sequences", name);
    if (!b->past)
        return sn_broadcast(g, zero, ndim + 1, all);
    const SnValue held = carry(b, name, dtype, b->past->slots, ndim, dims);
    const SnValue first = sn_slice_axis(g, b->past->pos, 1, sn_size(b->g, 0), sn_size(b->g, 1));
    const SnValue begins = sn_eq(g, sn_reshape(g, first, 1, &b->batch), sn_size(b->g, 0));
    const SnValue row = sn_gather(g, held, 1, (const int[]){0}, &b->past->slot, NULL);
    return sn_where(g, by_row(b, begins, ndim), zero, row);
}

void sn_nn_state_next(SnBuild *b, const char *name, SnValue next)
{
    int64_t dims[SN_MAX_RANK] = {0};
    const int ndim = sn_rank(b->g, next) - 1;
    if (!b->past || ndim < 0)
        return;
    for (int i = 0; i < ndim; i++)
        dims[i] = known_dim(b, next, i + 1);
    const SnValue held = carry(b, name, sn_value_dtype(b->g, next), b->past->slots, ndim, dims);
    keep(b, held, sn_scatter(b->g, "set", held, 1, (const int[]){0}, &b->past->slot, next), SN_PAST_STATES);
}

SnValue sn_nn_last_rows(SnBuild *b, SnValue joined, int64_t n)
{
    SnGraph *g = b->g;
    const SnValue dims[] = {b->batch, sn_size(b->g, n)};
    if (!b->past)
        return sn_slice_axis(g, joined, 1, b->seq, sn_size(b->g, n));
    const SnValue count = sn_reduce(g, "add", sn_cast(g, sn_nn_valid(b), SN_I64), 1, &(int){1}, true);
    const SnValue at[] = {sn_iota(g, SN_I64, 0, 2, dims), sn_add(g, sn_iota(g, SN_I64, 1, 2, dims), count)};
    return sn_gather(g, joined, 2, (const int[]){0, 1}, at, NULL);
}

SnValue sn_nn_given(SnBuild *b)
{
    if (!b->past || !b->past->given.ref)
        return sn_none();
    const SnValue column[] = {b->batch, sn_size(b->g, 1)};
    return sn_lt(b->g, b->past->pos, sn_reshape(b->g, b->past->given, 2, column));
}

SnValue sn_nn_turning_point(SnBuild *b, int64_t n)
{
    const bool refeeds = b->past && b->arch->family->refeeds && n >= 1 && n < INT32_MAX;
    return refeeds ? sn_symbol_at_create(b->g, "turn", n, INT32_MAX) : sn_size(b->g, n);
}

SnValue sn_nn_reach(SnBuild *b)
{
    if (b->past)
        return b->past->reach;
    const SnValue top = sn_reduce(b->g, "max", sn_nn_place(b), 1, &(int){1}, false);
    return sn_add(b->g, top, sn_size(b->g, 1));
}
