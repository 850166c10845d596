/* text_expr.c -- reads names, literals, operands, dims and starts of the text form. */
#include "compiler/text_parse.h"

#include <stdio.h>

/* ---- tokens ---- */

SnStatus sn_parse_next(SnTextParser *p, SnError *err)
{
    return sn_lex_next(&p->lex, err);
}

SnStatus sn_parse_need(SnTextParser *p, char c, SnError *err)
{
    if (!sn_at(p, c))
        return sn_lex_fail(&p->lex, err, "expected '%c'", c);
    return sn_parse_next(p, err);
}

SnStatus sn_parse_word(SnTextParser *p, const char *word, SnError *err)
{
    if (!sn_at_name(p, word))
        return sn_lex_fail(&p->lex, err, "expected %s", word);
    return sn_parse_next(p, err);
}

SnStatus sn_parse_int(SnTextParser *p, int64_t *out, SnError *err)
{
    const SnToken t = p->lex.now;
    const uint64_t most = (uint64_t)INT64_MAX + (t.is_negative ? 1 : 0);
    if (t.kind != SN_TOKEN_INT || t.magnitude > most)
        return sn_lex_fail(&p->lex, err, "expected an integer");
    *out = (int64_t)(t.is_negative ? 0 - t.magnitude : t.magnitude);
    return sn_parse_next(p, err);
}

/* A name of a leaf, output or symbol: an identifier or a text. */
SnStatus sn_parse_name(SnTextParser *p, SnBytes *out, SnError *err)
{
    const SnToken t = p->lex.now;
    if ((t.kind != SN_TOKEN_NAME && t.kind != SN_TOKEN_STRING) || t.text.n == 0 ||
        memchr(t.text.at, '\0', t.text.n) != NULL)
        return sn_lex_fail(&p->lex, err, "expected a name");
    *out = t.text;
    return sn_parse_next(p, err);
}

const char *sn_parse_text(SnTextParser *p, SnBytes b)
{
    const char *s = sn_arena_strndup(&p->arena, (const char *)b.at, b.n);
    if (s == NULL)
        (void)sn_graph_no_memory(p->g);
    return s != NULL ? s : "";
}

/* The graph's error, with the line in front. */
SnStatus sn_parse_check(SnTextParser *p, SnError *err)
{
    SnError inner = {0};
    const SnStatus st = sn_graph_check(p->g, &inner);
    return st == SN_OK ? SN_OK : sn_fail(err, st, "%s:%u: %s", p->lex.name, p->lex.now.line, inner.message);
}

SnStatus sn_parse_enter(SnTextParser *p, SnError *err)
{
    return ++p->depth > SN_TEXT_DEPTH ? sn_lex_fail(&p->lex, err, "nested deeper than %d", SN_TEXT_DEPTH)
                                      : SN_OK;
}

/* ---- names ---- */

SnStatus sn_parse_bind(SnTextParser *p, SnMap *map, SnBytes name, SnValue v, SnError *err)
{
    uint32_t i;
    if (sn_map_get(map, name, &i))
        return sn_lex_fail(&p->lex, err, "%.*s is already there", (int)(name.n < 80 ? name.n : 80),
                           (const char *)name.at);
    if (!sn_vec_push(p->memory, &p->value, v) || !sn_map_put(map, name, (uint32_t)p->value.n - 1))
        return sn_fail(err, SN_ENOMEM, "no memory for a name");
    return SN_OK;
}

bool sn_parse_find(const SnTextParser *p, const SnMap *map, SnBytes name, SnValue *out)
{
    uint32_t i;
    if (!sn_map_get(map, name, &i))
        return false;
    *out = p->value.at[i];
    return true;
}

static bool find_value(const SnTextParser *p, SnBytes name, SnValue *out)
{
    return sn_parse_find(p, &p->local, name, out) || sn_parse_find(p, &p->global, name, out);
}

SnStatus sn_parse_unknown(const SnTextParser *p, SnBytes name, SnError *err)
{
    return sn_lex_fail(&p->lex, err, "unknown name %.*s", (int)(name.n < 80 ? name.n : 80),
                       (const char *)name.at);
}

/* a.b.0.1 is child 1 of child 0 of a.b, for the longest prefix that is a name. */
static bool find_child(SnTextParser *p, SnBytes name, SnValue *out)
{
    size_t n = name.n;
    while (n > 0 && !find_value(p, sn_bytes(name.at, n), out)) {
        do
            n--;
        while (n > 0 && name.at[n] != '.');
    }
    for (size_t i = n; n > 0 && i < name.n;) {
        int index = 0;
        for (i++; i < name.n && name.at[i] != '.'; i++) {
            if (name.at[i] < '0' || name.at[i] > '9' || index > 100000)
                return false;
            index = index * 10 + (name.at[i] - '0');
        }
        *out = sn_get(p->g, *out, index);
    }
    return n > 0;
}

uint16_t sn_parse_op(const SnTextParser *p, SnBytes name, const SnOpRow **row)
{
    char text[64];
    uint16_t id = SN_OP_ERROR;
    *row = NULL;
    if (name.n == 0 || name.n >= sizeof text)
        return SN_OP_ERROR;
    memcpy(text, name.at, name.n);
    text[name.n] = '\0';
    *row = sn_compiler_find_row(p->g->cc, text, &id);
    if (*row != NULL)
        return id;
    id = sn_prim_named(name);
    return id < SN_OP_INDEX ? id : SN_OP_ERROR;
}

/* Does the token start a call? Names of values hide ops. */
static bool at_op(SnTextParser *p, uint16_t *op, const SnOpRow **row)
{
    SnValue v;
    if (p->lex.now.kind != SN_TOKEN_NAME || find_value(p, p->lex.now.text, &v))
        return false;
    *op = sn_parse_op(p, p->lex.now.text, row);
    return *op != SN_OP_ERROR;
}

bool sn_parse_at_dtype(const SnTextParser *p, SnDtype *out)
{
    const SnToken *t = &p->lex.now;
    *out = t->kind == SN_TOKEN_NAME ? sn_dtype_find((const char *)t->text.at, t->text.n) : SN_NODTYPE;
    return *out != SN_NODTYPE;
}

/* ---- exprs ---- */

SnStatus sn_parse_expr(SnTextParser *p, SnValue *out, SnError *err)
{
    SnValues v = {0};
    uint16_t op;
    const SnOpRow *row;
    SnStatus st = sn_parse_enter(p, err);
    if (st == SN_OK && at_op(p, &op, &row))
        st = sn_parse_call(p, out, err);
    else if (st == SN_OK) {
        st = sn_parse_operand(p, &v, err);
        if (st == SN_OK && v.n != 1)
            st = sn_lex_fail(&p->lex, err, "expected one value, found %zu", v.n);
        if (st == SN_OK)
            *out = v.at[0];
    }
    sn_vec_clear(p->memory, &v);
    p->depth--;
    return st;
}

/* ---- literals ---- */

SnValue sn_parse_make_literal(SnTextParser *p, const SnToken *t, SnDtype dtype)
{
    SnScalar v = {.f = t->number};
    SnDtype from = SN_F64;
    if (t->kind == SN_TOKEN_FLOAT && !sn_dtype_is_float(dtype))
        return sn_graph_fail(p->g, SN_EINVAL, "a float stands for %s", sn_dtype(dtype)->name);
    if (t->kind != SN_TOKEN_FLOAT) {
        const uint64_t magnitude = t->kind == SN_TOKEN_NAME ? sn_bytes_is(t->text, "true") : t->magnitude;
        const bool fits = t->is_negative ? dtype != SN_U64 : dtype == SN_U64 || magnitude <= INT64_MAX;
        from = dtype == SN_U64 ? SN_U64 : SN_I64;
        v.u = t->is_negative ? 0 - magnitude : magnitude;
        const SnScalar held = sn_scalar_cast(from, dtype, v, false);
        if (!fits || (!sn_dtype_is_float(dtype) && sn_scalar_cast(dtype, from, held, false).u != v.u))
            return sn_graph_fail(p->g, SN_EINVAL, "the integer does not fit %s", sn_dtype(dtype)->name);
    }
    return sn_here(p->g, sn_const_scalar(p->s, dtype, sn_scalar_cast(from, dtype, v, false)));
}

bool sn_parse_at_literal(const SnTextParser *p)
{
    return p->lex.now.kind == SN_TOKEN_INT || p->lex.now.kind == SN_TOKEN_FLOAT || sn_at_name(p, "true") ||
           sn_at_name(p, "false");
}

/* dtype: what it is without a dtype of its own; SN_NODTYPE: i64, f32 or bool. */
SnStatus sn_parse_literal(SnTextParser *p, SnDtype dtype, SnValue *out, SnError *err)
{
    const SnToken t = p->lex.now;
    if (t.kind == SN_TOKEN_NAME && dtype == SN_NODTYPE)
        dtype = SN_BOOL;
    if (dtype == SN_NODTYPE)
        dtype = t.kind == SN_TOKEN_INT ? SN_I64 : SN_F32;
    SN_TRY(sn_parse_next(p, err));
    if (sn_at(p, ':') && p->lex.now.is_joined) {
        SN_TRY(sn_parse_next(p, err));
        if (!sn_parse_at_dtype(p, &dtype))
            return sn_lex_fail(&p->lex, err, "expected a dtype");
        SN_TRY(sn_parse_next(p, err));
    }
    *out = sn_parse_make_literal(p, &t, dtype);
    return SN_OK;
}

/* ---- operands ---- */

SnStatus sn_parse_push(SnTextParser *p, SnValues *to, SnValue v, SnError *err)
{
    if (!sn_vec_push(p->memory, to, v))
        return sn_fail(err, SN_ENOMEM, "no memory for operands");
    return to->n < UINT16_MAX ? SN_OK : sn_lex_fail(&p->lex, err, "too many operands");
}

/* ".0" after an operand. */
static SnStatus parse_children(SnTextParser *p, SnValue *v, SnError *err)
{
    while (sn_at(p, '.') && p->lex.now.is_joined) {
        int64_t i = 0;
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(sn_parse_int(p, &i, err));
        *v = i >= 0 && i < UINT16_MAX ? sn_get(p->g, *v, (int)i) : sn_none();
    }
    return SN_OK;
}

/* The exprs in parentheses, spliced into *to. */
static SnStatus parse_group(SnTextParser *p, SnValues *to, SnError *err)
{
    const size_t before = to->n;
    SN_TRY(sn_parse_enter(p, err));
    SN_TRY(sn_parse_need(p, '(', err));
    while (!sn_at(p, ')')) {
        SnValue v;
        SN_TRY(sn_parse_expr(p, &v, err));
        SN_TRY(sn_parse_push(p, to, v, err));
        if (!sn_at(p, ')') && !sn_at(p, ',') && !sn_at(p, ';'))
            return sn_lex_fail(&p->lex, err, "expected ',' or ')'");
        if (!sn_at(p, ')'))
            SN_TRY(sn_parse_next(p, err));
    }
    SN_TRY(sn_parse_next(p, err));
    p->depth--;
    return to->n == before + 1 ? parse_children(p, &to->at[before], err) : SN_OK;
}

static SnStatus parse_item(SnTextParser *p, SnValue *out, SnError *err)
{
    uint16_t op;
    const SnOpRow *row;
    if (at_op(p, &op, &row) && sn_lex_joined(&p->lex) != '(')
        return sn_parse_expr(p, out, err);
    return sn_parse_dim(p, false, out, err);
}

static SnStatus parse_list(SnTextParser *p, SnValues *to, SnError *err)
{
    SN_TRY(sn_parse_enter(p, err));
    SN_TRY(sn_parse_need(p, '[', err));
    while (!sn_at(p, ']')) {
        SnValue v;
        SN_TRY(parse_item(p, &v, err));
        SN_TRY(sn_parse_push(p, to, v, err));
        if (!sn_at(p, ']'))
            SN_TRY(sn_parse_need(p, ',', err));
    }
    p->depth--;
    return sn_parse_next(p, err);
}

bool sn_parse_at_operand(const SnTextParser *p)
{
    switch (p->lex.now.kind) {
    case SN_TOKEN_VALUE:
    case SN_TOKEN_FN:
    case SN_TOKEN_INT:
    case SN_TOKEN_FLOAT:
    case SN_TOKEN_NAME:
        return true;
    default:
        return sn_at(p, '(') || sn_at(p, '[');
    }
}

static SnStatus parse_named(SnTextParser *p, SnValue *out, SnError *err)
{
    const SnToken t = p->lex.now;
    if (sn_bytes_is(t.text, "none"))
        *out = sn_make(p->g, SN_OP_NONE, NULL, 0, NULL, 0);
    else if (t.kind == SN_TOKEN_FN
                 ? !sn_parse_find(p, &p->function, t.text, out)
                 : !find_child(p, t.text, out) && !sn_parse_find(p, &p->symbol, t.text, out))
        return sn_parse_unknown(p, t.text, err);
    SN_TRY(sn_parse_next(p, err));
    return parse_children(p, out, err);
}

/* One operand, or as many as a group holds. */
SnStatus sn_parse_operand(SnTextParser *p, SnValues *to, SnError *err)
{
    SnValue v;
    if (sn_at(p, '('))
        return parse_group(p, to, err);
    if (sn_at(p, '['))
        return parse_list(p, to, err);
    if (sn_parse_at_literal(p))
        SN_TRY(sn_parse_literal(p, SN_NODTYPE, &v, err));
    else
        SN_TRY(parse_named(p, &v, err));
    return sn_parse_push(p, to, v, err);
}

/* ---- dims and starts ---- */

static SnStatus parse_function_of_dims(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    const SnBytes name = p->lex.now.text;
    const SnOpRow *row;
    const uint16_t op = sn_parse_op(p, name, &row);
    SnValue in[2];
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_need(p, '(', err));
    SN_TRY(sn_parse_dim(p, makes_symbols, &in[0], err));
    SN_TRY(sn_parse_need(p, ',', err));
    SN_TRY(sn_parse_dim(p, makes_symbols, &in[1], err));
    SN_TRY(sn_parse_need(p, ')', err));
    if (op == SN_OP_ERROR || op >= SN_PRIM_COUNT || sn_prim(op)->kind != SN_PRIM_BINARY)
        return sn_parse_unknown(p, name, err);
    *out = sn_op(p->g, sn_prim(op)->name, in, 2, NULL, 0);
    return SN_OK;
}

static SnStatus parse_dim_name(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    const SnBytes name = p->lex.now.text;
    if (!sn_parse_find(p, &p->symbol, name, out) && !find_child(p, name, out)) {
        if (!makes_symbols)
            return sn_parse_unknown(p, name, err);
        *out = sn_symbol(p->g, sn_parse_text(p, name), 0, SN_TEXT_MOST_DIM);
        SN_TRY(sn_parse_bind(p, &p->symbol, name, *out, err));
    }
    return sn_parse_next(p, err);
}

static SnStatus parse_nested_dim(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    uint16_t op;
    const SnOpRow *row;
    SN_TRY(sn_parse_next(p, err));
    if (at_op(p, &op, &row) && sn_lex_joined(&p->lex) != '(')
        SN_TRY(sn_parse_expr(p, out, err));
    else
        SN_TRY(sn_parse_dim(p, makes_symbols, out, err));
    SN_TRY(sn_parse_need(p, ')', err));
    return parse_children(p, out, err);
}

static SnStatus parse_atom(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    const SnToken t = p->lex.now;
    SN_TRY(sn_parse_enter(p, err));
    if (sn_at(p, '(')) {
        SN_TRY(parse_nested_dim(p, makes_symbols, out, err));
    } else if (sn_at(p, '-')) {
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(parse_atom(p, makes_symbols, out, err));
        *out = sn_sub(p->g, sn_const_int(p->g, SN_I64, 0), *out);
    } else if (t.kind == SN_TOKEN_INT) {
        SN_TRY(sn_parse_literal(p, SN_I64, out, err));
    } else if (t.kind == SN_TOKEN_VALUE) {
        SN_TRY(parse_named(p, out, err));
    } else if (t.kind == SN_TOKEN_NAME && sn_lex_joined(&p->lex) == '(') {
        SN_TRY(parse_function_of_dims(p, makes_symbols, out, err));
    } else if (t.kind == SN_TOKEN_NAME || t.kind == SN_TOKEN_STRING) {
        SN_TRY(parse_dim_name(p, makes_symbols, out, err));
    } else {
        return sn_lex_fail(&p->lex, err, "expected a dim");
    }
    p->depth--;
    return SN_OK;
}

static SnStatus parse_product(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    SN_TRY(parse_atom(p, makes_symbols, out, err));
    while (sn_at(p, '*') || sn_at(p, '/')) {
        const bool is_mul = sn_at(p, '*');
        SnValue b;
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(parse_atom(p, makes_symbols, &b, err));
        *out = is_mul ? sn_mul(p->g, *out, b) : sn_idiv(p->g, *out, b);
    }
    return SN_OK;
}

/* makes_symbols: unknown names become symbols, as in types. */
SnStatus sn_parse_dim(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err)
{
    SN_TRY(parse_product(p, makes_symbols, out, err));
    while (sn_at(p, '+') || sn_at(p, '-')) {
        const bool is_add = sn_at(p, '+');
        SnValue b;
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(parse_product(p, makes_symbols, &b, err));
        *out = is_add ? sn_add(p->g, *out, b) : sn_sub(p->g, *out, b);
    }
    return SN_OK;
}
