/* loop.c -- for loops: going through what they iterate, and what `loop` tells about it. */
#include "frontends/jinja/run.h"

enum { TARGET, ITERABLE, TEST, BODY, ELSE };

/* ---- items ---- */

static SnStatus begin_loop(SnJiRun *r, SnJiScope *outer, const SnJiNode *e, SnJiValue v, SnJiLoop **out)
{
    SnJiLoop *l = sn_arena_alloc(&r->arena, sizeof *l);
    if (!l)
        return sn_ji_no_memory(r);
    *l = (SnJiLoop){.node = e, .outer = outer, .index0 = -1, .length = -1};
    l->is_tested = e->kid[TEST] != NULL;
    l->is_sized = v.kind != SN_JI_ITER && !l->is_tested;
    if (v.kind == SN_JI_ITER) {
        l->iter = v.u.iter;
    } else if (v.kind == SN_JI_RANGE) {
        l->range = *v.u.range;
        l->n = l->range.n;
    } else {
        SnJiItems items;
        SN_TRY(sn_ji_items(r, v, &items));
        l->at = items.at;
        l->n = items.n;
    }
    *out = l;
    return SN_OK;
}

/* The next item of what is iterated; MISSING: there is none. */
static SnStatus next_source(SnJiRun *r, SnJiLoop *l, SnJiValue *out)
{
    out->kind = SN_JI_MISSING;
    SN_TRY(sn_ji_spend(r, 1));
    if (l->iter && l->iter->pos < l->iter->n) {
        *out = l->iter->at[l->iter->pos++];
    } else if (l->iter && l->iter->late) {
        return sn_ji_meet(r, l->iter->late);
    } else if (!l->iter && l->pos < l->n) {
        *out = l->at ? l->at[l->pos] : sn_ji_range_at(&l->range, l->pos);
        l->pos++;
    }
    return SN_OK;
}

static SnStatus next_passing(SnJiRun *r, SnJiLoop *l, SnJiValue *out)
{
    SnJiScope *s = NULL;
    SN_TRY(next_source(r, l, out));
    if (!l->is_tested || out->kind == SN_JI_MISSING)
        return SN_OK;
    SN_TRY(sn_ji_scope(r, l->outer, &s));
    for (; out->kind != SN_JI_MISSING; s->n = 0) {
        SnJiValue test;
        SN_TRY(sn_ji_assign(r, s, l->node->kid[TARGET], *out));
        SN_TRY(sn_ji_eval(r, s, l->node->kid[TEST], &test));
        if (sn_ji_truth(test))
            break;
        SN_TRY(next_source(r, l, out));
    }
    return SN_OK;
}

static SnStatus peek(SnJiRun *r, SnJiLoop *l)
{
    return l->after.kind == SN_JI_MISSING ? next_passing(r, l, &l->after) : SN_OK;
}

static SnStatus next_item(SnJiRun *r, SnJiLoop *l, SnJiValue *out)
{
    SN_TRY(peek(r, l));
    *out = l->after;
    l->after.kind = SN_JI_MISSING;
    if (out->kind == SN_JI_MISSING)
        return SN_OK;
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return SN_OK;
}

/* How many there are, which for generators means to take them all now. */
static SnStatus count_items(SnJiRun *r, SnJiLoop *l)
{
    SnJiValue rest, item;
    if (l->length >= 0)
        return SN_OK;
    if (l->is_sized) {
        l->length = (int64_t)l->n;
        return SN_OK;
    }
    SN_TRY(sn_ji_list(r, SN_JI_LIST, 0, &rest));
    for (;;) {
        SN_TRY(next_passing(r, l, &item));
        if (item.kind == SN_JI_MISSING)
            break;
        SN_TRY(sn_ji_append(r, rest, item));
    }
    l->iter = NULL;
    l->is_tested = false;
    l->at = rest.u.list->at;
    l->n = rest.u.list->n;
    l->pos = 0;
    l->range.n = 0;
    l->length = (int64_t)l->n + l->index0 + 1 + (l->after.kind != SN_JI_MISSING);
    return SN_OK;
}

/* ---- loop.* ---- */

static SnStatus cycle(SnJiCall *c, SnJiValue *out)
{
    if (c->args.n == 0)
        return sn_ji_fail(c->run, "no items for cycling given");
    *out = c->args.at[(size_t)c->self.u.loop->index0 % c->args.n];
    return SN_OK;
}

static SnStatus changed(SnJiCall *c, SnJiValue *out)
{
    SnJiLoop *l = c->self.u.loop;
    SnJiValue now;
    bool is_equal = false;
    SN_TRY(sn_ji_list(c->run, SN_JI_TUPLE, c->args.n, &now));
    for (size_t i = 0; i < c->args.n; i++)
        SN_TRY(sn_ji_append(c->run, now, c->args.at[i]));
    if (l->changed.kind != SN_JI_MISSING)
        SN_TRY(sn_ji_equal(c->run, l->changed, now, &is_equal));
    l->changed = now;
    *out = sn_ji_bool(!is_equal);
    return SN_OK;
}

typedef enum Fact {
    INDEX,
    INDEX0,
    REVINDEX,
    REVINDEX0,
    FIRST,
    LAST,
    LENGTH,
    DEPTH,
    DEPTH0,
    PREVITEM,
    NEXTITEM,
    NFACT
} Fact;

static SnStatus fact_of(SnJiRun *r, SnJiLoop *l, Fact fact, SnJiValue *out)
{
    switch (fact) {
    case FIRST:
        *out = sn_ji_bool(l->index0 == 0);
        return SN_OK;
    case LAST:
        SN_TRY(peek(r, l));
        *out = sn_ji_bool(l->after.kind == SN_JI_MISSING);
        return SN_OK;
    case PREVITEM:
        *out = l->before;
        return l->index0 > 0 ? SN_OK : sn_ji_undefined(r, out, "there is no previous item");
    case NEXTITEM:
        SN_TRY(peek(r, l));
        *out = l->after;
        return out->kind != SN_JI_MISSING ? SN_OK : sn_ji_undefined(r, out, "there is no next item");
    default:
        break;
    }
    if (fact == REVINDEX || fact == REVINDEX0 || fact == LENGTH)
        SN_TRY(count_items(r, l));
    *out = sn_ji_int(fact == INDEX       ? l->index0 + 1
                     : fact == INDEX0    ? l->index0
                     : fact == REVINDEX  ? l->length - l->index0
                     : fact == REVINDEX0 ? l->length - l->index0 - 1
                     : fact == LENGTH    ? l->length
                     : fact == DEPTH     ? l->depth0 + 1
                                         : l->depth0);
    return SN_OK;
}

SnStatus sn_ji_loop_attr(SnJiRun *r, SnJiLoop *l, SnBytes name, SnJiValue *out)
{
    static const char *const facts[NFACT] = {
        [INDEX] = "index",   [INDEX0] = "index0",     [REVINDEX] = "revindex", [REVINDEX0] = "revindex0",
        [FIRST] = "first",   [LAST] = "last",         [LENGTH] = "length",     [DEPTH] = "depth",
        [DEPTH0] = "depth0", [PREVITEM] = "previtem", [NEXTITEM] = "nextitem"};
    static const SnJiRow methods[] = {{"cycle", cycle, "*"}, {"changed", changed, "*"}, {0}};
    for (int i = 0; i < NFACT; i++)
        if (sn_bytes_is(name, facts[i]))
            return fact_of(r, l, (Fact)i, out);
    const SnJiRow *row = sn_ji_find(methods, name);
    out->kind = SN_JI_MISSING;
    return row ? sn_ji_function(r, row, (SnJiValue){.kind = SN_JI_LOOP, .u = {.loop = l}}, out) : SN_OK;
}

/* ---- running ---- */

static SnStatus run_loop(SnJiRun *r, SnJiLoop *l, SnJiJump *jump)
{
    SnJiScope *s = NULL;
    bool was_completed = false;
    SN_TRY(sn_ji_scope(r, l->outer, &s));
    for (;;) {
        SnJiValue item;
        SnJiJump inner = SN_JI_GO_ON;
        SN_TRY(next_item(r, l, &item));
        if (item.kind == SN_JI_MISSING)
            break;
        if (s->is_kept)
            SN_TRY(sn_ji_scope(r, l->outer, &s));
        s->n = 0;
        SN_TRY(sn_ji_assign(r, s, l->node->kid[TARGET], item));
        SN_TRY(sn_ji_set(r, s, SN_JI_NAME_LOOP, (SnJiValue){.kind = SN_JI_LOOP, .u = {.loop = l}}));
        SN_TRY(sn_ji_exec(r, s, l->node->kid[BODY], &inner));
        if (inner == SN_JI_BREAK)
            break;
        was_completed = was_completed || inner == SN_JI_GO_ON;
    }
    if (was_completed || !l->node->kid[ELSE])
        return SN_OK;
    SN_TRY(sn_ji_scope(r, l->outer, &s));
    return sn_ji_exec(r, s, l->node->kid[ELSE], jump);
}

static SnStatus run_to_text(SnJiRun *r, SnJiLoop *l, SnJiValue *out)
{
    SnJiJump jump = SN_JI_GO_ON;
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(run_loop(r, l, &jump));
    return sn_ji_take(r, outer, out);
}

SnStatus sn_ji_exec_for(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump)
{
    SnJiValue v;
    SnJiLoop *l = NULL;
    SN_TRY(sn_ji_eval(r, s, e->kid[ITERABLE], &v));
    r->line = e->line;
    SN_TRY(begin_loop(r, s, e, v, &l));
    if (!e->flag)
        return run_loop(r, l, jump);
    SN_TRY(run_to_text(r, l, &v));
    return sn_ji_put(r, v);
}

SnStatus sn_ji_call_loop(SnJiRun *r, const SnJiLoop *l, const SnJiArgs *a, SnJiValue *out)
{
    SnJiLoop *inner = NULL;
    if (!l->node->flag)
        return sn_ji_fail(r, "the loop must have the 'recursive' marker to be called recursively");
    if (a->n != 1 || a->nkw)
        return sn_ji_fail(r, "loop() takes one argument");
    SN_TRY(sn_ji_down(r));
    SN_TRY(begin_loop(r, l->outer, l->node, a->at[0], &inner));
    inner->depth0 = l->depth0 + 1;
    SN_TRY(run_to_text(r, inner, out));
    r->depth--;
    return SN_OK;
}
