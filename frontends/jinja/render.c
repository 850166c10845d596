/* render.c -- statements, scopes and macros; rendering as a whole. */
#include "frontends/jinja/run.h"

#define USUAL_STEPS  ((uint64_t)20000000)
#define USUAL_MEMORY ((size_t)512 << 20)
#define USUAL_SIZE   ((size_t)64 << 20)

/* ---- scopes ---- */

SnStatus sn_ji_scope(SnJiRun *r, SnJiScope *parent, SnJiScope **out)
{
    SnJiScope *s = sn_arena_alloc(&r->arena, sizeof *s);
    if (!s)
        return sn_ji_no_memory(r);
    *s = (SnJiScope){.parent = parent};
    *out = s;
    return SN_OK;
}

SnStatus sn_ji_set(SnJiRun *r, SnJiScope *s, uint32_t name, SnJiValue v)
{
    if (!s->parent) {
        s->at[name] = v;
        return SN_OK;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (s->name[i] == name) {
            s->at[i] = v;
            return SN_OK;
        }
    if (s->n == s->cap) {
        const uint32_t cap = s->cap ? 2 * s->cap : 4;
        SnJiValue *at = sn_arena_array(&r->arena, cap, sizeof *at);
        uint32_t *names = sn_arena_array(&r->arena, cap, sizeof *names);
        if (!at || !names)
            return sn_ji_no_memory(r);
        if (s->n) {
            memcpy(at, s->at, s->n * sizeof *at);
            memcpy(names, s->name, s->n * sizeof *names);
        }
        s->at = at;
        s->name = names;
        s->cap = cap;
    }
    s->name[s->n] = name;
    s->at[s->n++] = v;
    return SN_OK;
}

SnJiValue sn_ji_get(const SnJiRun *r, const SnJiScope *s, uint32_t name)
{
    for (; s->parent; s = s->parent)
        for (uint32_t i = 0; i < s->n; i++)
            if (s->name[i] == name)
                return s->at[i];
    return s->at[name].kind != SN_JI_MISSING ? s->at[name] : r->global[name];
}

/* ---- assignment ---- */

static SnStatus assign_attr(SnJiRun *r, SnJiScope *s, const SnJiNode *target, SnJiValue v)
{
    const SnJiValue object = sn_ji_get(r, s, target->u.name);
    if (object.kind != SN_JI_NAMESPACE)
        return sn_ji_fail(r, "cannot assign attribute on non-namespace object");
    if (target->text.at[0] == '_')
        return sn_ji_fail(r, "names of attributes of a namespace cannot begin with an underscore");
    return sn_ji_dict_set(r, object.u.dict, sn_ji_text_value((const char *)target->text.at, target->text.n),
                          v);
}

SnStatus sn_ji_assign(SnJiRun *r, SnJiScope *s, const SnJiNode *target, SnJiValue v)
{
    SnJiItems items;
    r->line = target->line;
    if (target->kind == SN_JI_N_NAME)
        return sn_ji_set(r, s, target->u.name, v);
    if (target->kind == SN_JI_N_NSREF)
        return assign_attr(r, s, target, v);
    SN_TRY(sn_ji_items(r, v, &items));
    if (items.n < target->n)
        return sn_ji_fail(r, "not enough values to unpack (expected %u, got %zu)", target->n, items.n);
    if (items.n > target->n)
        return sn_ji_fail(r, "too many values to unpack (expected %u)", target->n);
    for (size_t i = 0; i < items.n; i++)
        SN_TRY(sn_ji_assign(r, s, target->kid[i], items.at[i]));
    return SN_OK;
}

static SnStatus exec_to_text(SnJiRun *r, SnJiScope *s, const SnJiNode *body, SnJiValue *out, SnJiJump *jump)
{
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(sn_ji_exec(r, s, body, jump));
    return sn_ji_take(r, outer, out);
}

/* ---- macros ---- */

static SnStatus make_macro(SnJiRun *r, SnJiScope *s, const SnJiNode *e, const SnJiNode *body, SnJiValue *out)
{
    SnJiMacro *m = sn_arena_alloc(&r->arena, sizeof *m);
    if (!m)
        return sn_ji_no_memory(r);
    *m = (SnJiMacro){.node = e, .body = body, .scope = s};
    if (e->kind == SN_JI_N_MACRO) {
        const SnBytes name = r->t->names[e->u.name];
        m->name = sn_arena_strndup(&r->arena, (const char *)name.at, name.n);
        if (!m->name)
            return sn_ji_no_memory(r);
    }
    for (; s; s = s->parent)
        s->is_kept = true;
    *out = (SnJiValue){.kind = SN_JI_MACRO, .u = {.macro = m}};
    return SN_OK;
}

static const SnJiKeyword *find_keyword(const SnJiArgs *a, SnBytes name)
{
    for (size_t i = 0; i < a->nkw; i++)
        if (sn_bytes_equal(a->kw[i].name, name))
            return &a->kw[i];
    return NULL;
}

static SnStatus bind_param(SnJiRun *r, SnJiScope *s, const SnJiParam *param, SnJiValue v)
{
    const SnBytes name = r->t->names[param->name];
    if (v.kind == SN_JI_MISSING && param->usual)
        SN_TRY(sn_ji_eval(r, s, param->usual, &v));
    else if (v.kind == SN_JI_MISSING)
        SN_TRY(
            sn_ji_undefined(r, &v, "parameter '%.*s' was not provided", (int)name.n, (const char *)name.at));
    return sn_ji_set(r, s, param->name, v);
}

static bool has_param(const SnJiNode *e, uint32_t name)
{
    for (uint32_t i = 0; i < e->narg; i++)
        if (e->v.param[i].name == name)
            return true;
    return false;
}

/* Keyword arguments that no parameter took: kwargs, or an error; `caller` goes by itself. */
static SnStatus bind_rest(SnJiRun *r, SnJiScope *s, const SnJiMacro *m, const SnJiArgs *a)
{
    const SnJiNode *e = m->node;
    SnJiValue kwargs, varargs;
    const bool own_caller = e->flag & SN_JI_USES_CALLER && !has_param(e, SN_JI_NAME_CALLER);
    SN_TRY(sn_ji_dict(r, SN_JI_DICT, &kwargs));
    for (size_t i = 0; i < a->nkw; i++) {
        const SnJiKeyword *k = &a->kw[i];
        bool is_taken = own_caller && sn_bytes_is(k->name, "caller");
        for (uint32_t p = (uint32_t)(a->n < e->narg ? a->n : e->narg); p < e->narg; p++)
            is_taken = is_taken || sn_bytes_equal(r->t->names[e->v.param[p].name], k->name);
        if (is_taken)
            continue;
        if (!(e->flag & SN_JI_USES_KWARGS))
            return sn_ji_fail(r, "macro '%s' takes no keyword argument '%.*s'", m->name ? m->name : "caller",
                              (int)k->name.n, (const char *)k->name.at);
        SN_TRY(sn_ji_dict_set(r, kwargs.u.dict, sn_ji_text_value((const char *)k->name.at, k->name.n),
                              k->value));
    }
    if (a->n > e->narg && !(e->flag & SN_JI_USES_VARARGS))
        return sn_ji_fail(r, "macro '%s' takes not more than %u argument(s)", m->name ? m->name : "caller",
                          e->narg);
    if (e->flag & SN_JI_USES_KWARGS)
        SN_TRY(sn_ji_set(r, s, SN_JI_NAME_KWARGS, kwargs));
    if (!(e->flag & SN_JI_USES_VARARGS))
        return SN_OK;
    SN_TRY(sn_ji_list(r, SN_JI_TUPLE, 0, &varargs));
    for (size_t i = e->narg; i < a->n; i++)
        SN_TRY(sn_ji_append(r, varargs, a->at[i]));
    return sn_ji_set(r, s, SN_JI_NAME_VARARGS, varargs);
}

SnStatus sn_ji_call_macro(SnJiRun *r, const SnJiMacro *m, const SnJiArgs *a, SnJiValue *out)
{
    const SnJiNode *e = m->node;
    SnJiScope *s = NULL;
    SnJiJump jump = SN_JI_GO_ON;
    SN_TRY(sn_ji_down(r));
    SN_TRY(sn_ji_scope(r, m->scope, &s));
    SN_TRY(bind_rest(r, s, m, a));
    if (e->flag & SN_JI_USES_CALLER && !has_param(e, SN_JI_NAME_CALLER)) {
        const SnJiKeyword *k = find_keyword(a, sn_bytes_str("caller"));
        SnJiValue caller = k ? k->value : sn_ji_none;
        if (caller.kind == SN_JI_NONE)
            SN_TRY(sn_ji_undefined(r, &caller, "No caller defined"));
        SN_TRY(sn_ji_set(r, s, SN_JI_NAME_CALLER, caller));
    }
    for (uint32_t i = 0; i < e->narg; i++) {
        const SnJiKeyword *k = i >= a->n ? find_keyword(a, r->t->names[e->v.param[i].name]) : NULL;
        const SnJiValue v = i < a->n ? a->at[i] : k ? k->value : (SnJiValue){0};
        SN_TRY(bind_param(r, s, &e->v.param[i], v));
    }
    SN_TRY(exec_to_text(r, s, m->body, out, &jump));
    r->depth--;
    return SN_OK;
}

/* ---- statements ---- */

static SnStatus exec_print(SnJiRun *r, SnJiScope *s, const SnJiNode *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        SnJiValue v;
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &v));
        SN_TRY(sn_ji_put(r, v));
    }
    return SN_OK;
}

static SnStatus exec_if(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump)
{
    for (uint32_t i = 0; i + 1 < e->n; i += 2) {
        SnJiValue test;
        SN_TRY(sn_ji_eval(r, s, e->kid[i], &test));
        if (sn_ji_truth(test))
            return sn_ji_exec(r, s, e->kid[i + 1], jump);
    }
    return e->n % 2 ? sn_ji_exec(r, s, e->kid[e->n - 1], jump) : SN_OK;
}

/* {% set %} and {% filter %} with a body. */
static SnStatus exec_text_block(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump)
{
    SnJiScope *inner = NULL;
    SnJiValue v;
    SN_TRY(sn_ji_scope(r, s, &inner));
    SN_TRY(exec_to_text(r, inner, e->kid[2], &v, jump));
    if (*jump != SN_JI_GO_ON)
        return SN_OK;
    if (e->kid[1])
        SN_TRY(sn_ji_eval_filters(r, inner, e->kid[1], v, &v));
    return e->kid[0] ? sn_ji_assign(r, s, e->kid[0], v) : sn_ji_put(r, v);
}

static SnStatus exec_call_block(SnJiRun *r, SnJiScope *s, const SnJiNode *e)
{
    SnJiValue callee, caller, v;
    SnJiArgs a;
    SN_TRY(make_macro(r, s, e, e->kid[1], &caller));
    SN_TRY(sn_ji_eval(r, s, e->kid[0]->kid[0], &callee));
    SN_TRY(sn_ji_eval_args(r, s, e->kid[0], &a));
    SnJiKeyword *kw = sn_arena_array(&r->arena, a.nkw + 1, sizeof *kw);
    if (!kw)
        return sn_ji_no_memory(r);
    if (a.nkw)
        memcpy(kw, a.kw, a.nkw * sizeof *kw);
    kw[a.nkw++] = (SnJiKeyword){sn_bytes_str("caller"), caller};
    a.kw = kw;
    SN_TRY(sn_ji_call(r, callee, &a, &v));
    return sn_ji_put(r, v);
}

static SnStatus exec_with(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump)
{
    SnJiScope *inner = NULL;
    SN_TRY(sn_ji_scope(r, s, &inner));
    for (uint32_t i = 1; i < e->n; i += 2) {
        SnJiValue v;
        SN_TRY(sn_ji_eval(r, s, e->kid[i + 1], &v));
        SN_TRY(sn_ji_assign(r, inner, e->kid[i], v));
    }
    return sn_ji_exec(r, inner, e->kid[0], jump);
}

static SnStatus exec_generation(SnJiRun *r, SnJiScope *s, const SnJiNode *e)
{
    SnJiScope *inner = NULL;
    SnJiValue v;
    SnJiJump jump = SN_JI_GO_ON;
    SN_TRY(sn_ji_scope(r, s, &inner));
    SN_TRY(exec_to_text(r, inner, e->kid[0], &v, &jump));
    if (r->o->spans) {
        const size_t end = r->at.level ? r->root_end : r->text->n;
        if (end > r->root_seen)
            r->root_codes += sn_ji_count_codes(r->text->at + r->root_seen, end - r->root_seen);
        r->root_seen = end;
        const SnJinjaSpan span = {r->root_codes, r->root_codes + v.u.text.count};
        if (!sn_vec_push(r->memory, r->o->spans, span))
            return sn_ji_no_memory(r);
    }
    return sn_ji_put(r, v);
}

static SnStatus exec_one(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump)
{
    SnJiValue v;
    switch ((SnJiNodeKind)e->kind) {
    case SN_JI_N_DATA:
        return sn_ji_put(r, e->u.value);
    case SN_JI_N_PRINT:
        return exec_print(r, s, e);
    case SN_JI_N_IF:
        return exec_if(r, s, e, jump);
    case SN_JI_N_FOR:
        return sn_ji_exec_for(r, s, e, jump);
    case SN_JI_N_SET:
        SN_TRY(sn_ji_eval(r, s, e->kid[1], &v));
        return sn_ji_assign(r, s, e->kid[0], v);
    case SN_JI_N_TEXTBLOCK:
        return exec_text_block(r, s, e, jump);
    case SN_JI_N_MACRO:
        SN_TRY(make_macro(r, s, e, e->kid[0], &v));
        return sn_ji_set(r, s, e->u.name, v);
    case SN_JI_N_CALLBLOCK:
        return exec_call_block(r, s, e);
    case SN_JI_N_WITH:
        return exec_with(r, s, e, jump);
    case SN_JI_N_GENERATION:
        return exec_generation(r, s, e);
    default:
        *jump = e->kind == SN_JI_N_BREAK ? SN_JI_BREAK : SN_JI_CONTINUE;
        return SN_OK;
    }
}

SnStatus sn_ji_exec(SnJiRun *r, SnJiScope *s, const SnJiNode *body, SnJiJump *jump)
{
    SN_TRY(sn_ji_down(r));
    for (uint32_t i = 0; i < body->n && *jump == SN_JI_GO_ON; i++) {
        r->line = body->kid[i]->line;
        SN_TRY(exec_one(r, s, body->kid[i], jump));
        if (r->text->failed)
            return sn_ji_stop(r, SN_ENOMEM, "the output is larger than it may be");
    }
    r->depth--;
    return SN_OK;
}

/* ---- all of it ---- */

static SnStatus find_global(SnJiRun *r, SnBytes name, SnJiValue *out)
{
    const SnJiRow *row = sn_ji_find(sn_ji_globals, name);
    if (row)
        SN_TRY(sn_ji_function(r, row, (SnJiValue){0}, out));
    for (size_t i = 0; i < r->o->nvars; i++) {
        const SnJson *vars = r->o->vars[i];
        for (uint32_t k = 0; vars && vars->kind == SN_JSON_OBJECT && k < vars->n; k++)
            if (sn_bytes_equal(vars->u.child[k].key, name))
                SN_TRY(sn_ji_from_json(r, &vars->u.child[k], out));
    }
    return SN_OK;
}

static SnStatus render(SnJiRun *r)
{
    SnJiJump jump = SN_JI_GO_ON;
    SN_TRY(sn_ji_scope(r, NULL, &r->top));
    r->top->at = sn_arena_array(&r->arena, r->t->nname, sizeof *r->top->at);
    r->global = sn_arena_array(&r->arena, r->t->nname, sizeof *r->global);
    if (!r->top->at || !r->global)
        return sn_ji_no_memory(r);
    for (uint32_t i = 0; i < r->t->nname; i++)
        SN_TRY(find_global(r, r->t->names[i], &r->global[i]));
    return sn_ji_exec(r, r->top, r->t->body, &jump);
}

SnStatus sn_jinja_render(const SnJinja *t, const SnJinjaRender *o, SnText *out, SnError *err)
{
    SnError own;
    SnJiRun r = {.t = t, .o = o, .memory = out->memory, .text = out, .err = err ? err : &own};
    r.at.begin = r.root_seen = out->n;
    r.random = o->seed;
    r.steps = o->max_steps ? o->max_steps : USUAL_STEPS;
    r.max_memory = o->max_memory ? o->max_memory : USUAL_MEMORY;
    r.max_size = o->max_size ? o->max_size : USUAL_SIZE;
    sn_arena_init(&r.arena, out->memory);
    r.arena.limit = r.max_memory;
    const size_t begin = out->n;
    const SnStatus st = render(&r);
    if (st != SN_OK)
        out->n = begin;
    if (out->at)
        out->at[out->n] = '\0';
    sn_arena_clear(&r.arena);
    return st;
}
