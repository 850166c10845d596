/* text_call.c -- reads calls of the text form: an op, its operands, attributes and settings. */
#include "compiler/text_parse.h"

/* A call as it is read. */
typedef struct Call {
    uint16_t op;
    const SnOpRow *row;
    const char *name;
    SnValues in;
    SnAttr attr[SN_MAX_ATTRS];
    int nattr;
    SnValue max, body, while_fn; /* settings that are values */
    size_t ncarry, nscan;        /* loop */
    bool has_captured;
} Call;

/* ---- attributes ---- */

static SnStatus add_attr(SnTextParser *p, Call *c, const SnAttr *a, SnError *err)
{
    for (int i = 0; i < c->nattr; i++)
        if (strcmp(c->attr[i].name, a->name) == 0)
            return sn_lex_fail(&p->lex, err, "%s is given twice", a->name);
    if (c->nattr == SN_MAX_ATTRS)
        return sn_lex_fail(&p->lex, err, "too many attributes");
    c->attr[c->nattr++] = *a;
    return SN_OK;
}

static bool has_attr(const Call *c, const char *name)
{
    for (int i = 0; i < c->nattr; i++)
        if (strcmp(c->attr[i].name, name) == 0)
            return true;
    return false;
}

static SnStatus parse_text(SnTextParser *p, const char **out, SnError *err)
{
    SnBytes text;
    if (p->lex.now.kind != SN_TOKEN_STRING || p->lex.now.text.n > 0) {
        SN_TRY(sn_parse_name(p, &text, err));
        *out = sn_parse_text(p, text);
        return SN_OK;
    }
    *out = "";
    return sn_parse_next(p, err);
}

static SnStatus parse_ints(SnTextParser *p, SnAttr *a, SnError *err)
{
    SN_VEC(int64_t) v = {0};
    SnStatus st = sn_parse_need(p, '[', err);
    while (st == SN_OK && !sn_at(p, ']')) {
        int64_t i;
        st = sn_parse_int(p, &i, err);
        if (st == SN_OK && !sn_vec_push(p->memory, &v, i))
            st = sn_fail(err, SN_ENOMEM, "no memory for an attribute");
        if (st == SN_OK && !sn_at(p, ']'))
            st = sn_parse_need(p, ',', err);
    }
    int64_t *own = (int64_t *)sn_arena_array(&p->arena, v.n, sizeof *own);
    if (own != NULL && v.n > 0)
        memcpy(own, v.at, v.n * sizeof *own);
    a->u.ints.at = own;
    a->u.ints.n = (int)v.n;
    sn_vec_clear(p->memory, &v);
    SN_TRY(st);
    SN_CHECK(own != NULL, err, SN_ENOMEM, "no memory for an attribute");
    return sn_parse_next(p, err);
}

static SnStatus parse_names(SnTextParser *p, SnAttr *a, SnError *err)
{
    SN_VEC(const char *) v = {0};
    SnStatus st = sn_parse_need(p, '[', err);
    while (st == SN_OK && !sn_at(p, ']')) {
        const char *text = "";
        st = parse_text(p, &text, err);
        if (st == SN_OK && !sn_vec_push(p->memory, &v, text))
            st = sn_fail(err, SN_ENOMEM, "no memory for an attribute");
        if (st == SN_OK && !sn_at(p, ']'))
            st = sn_parse_need(p, ',', err);
    }
    const char **own = (const char **)sn_arena_array(&p->arena, v.n, sizeof *own);
    for (size_t i = 0; own != NULL && i < v.n; i++)
        own[i] = v.at[i];
    a->u.names.at = own;
    a->u.names.n = (int)v.n;
    sn_vec_clear(p->memory, &v);
    SN_TRY(st);
    SN_CHECK(own != NULL, err, SN_ENOMEM, "no memory for an attribute");
    return sn_parse_next(p, err);
}

static SnStatus parse_number(SnTextParser *p, SnAttr *a, SnError *err)
{
    const SnToken t = p->lex.now;
    if (t.kind != SN_TOKEN_FLOAT && t.kind != SN_TOKEN_INT)
        return sn_lex_fail(&p->lex, err, "expected a number");
    a->u.f = t.kind == SN_TOKEN_FLOAT ? t.number : t.is_negative ? -(double)t.magnitude : (double)t.magnitude;
    return sn_parse_next(p, err);
}

static SnStatus parse_setting(SnTextParser *p, const SnTextAttr *known, SnAttr *out, SnError *err)
{
    *out = (SnAttr){.name = known->name, .kind = known->kind};
    switch (known->kind) {
    case SN_ATTR_INT:
        if (sn_at_name(p, "true") || sn_at_name(p, "false")) {
            out->u.i = sn_at_name(p, "true");
            return sn_parse_next(p, err);
        }
        return sn_parse_int(p, &out->u.i, err);
    case SN_ATTR_FLOAT:
        return parse_number(p, out, err);
    case SN_ATTR_STRING:
        return parse_text(p, &out->u.s, err);
    case SN_ATTR_DTYPE:
        if (!sn_parse_at_dtype(p, &out->u.d) && !sn_at_name(p, "none"))
            return sn_lex_fail(&p->lex, err, "expected a dtype");
        return sn_parse_next(p, err);
    case SN_ATTR_INTS:
        return parse_ints(p, out, err);
    case SN_ATTR_NAMES:
        return parse_names(p, out, err);
    case SN_ATTR_SCALAR:
    case SN_ATTR_DATA:
        break;
    }
    return sn_lex_fail(&p->lex, err, "attribute %s cannot be written", known->name);
}

/* ---- settings that are no attributes ---- */

static SnStatus parse_keys(SnTextParser *p, Call *c, SnError *err)
{
    const size_t before = c->in.n;
    SN_TRY(sn_parse_operand(p, &c->in, err));
    const SnAttr a = SN_INT("nkeys", (int64_t)(c->in.n - before));
    return add_attr(p, c, &a, err);
}

static SnStatus parse_fn_setting(SnTextParser *p, SnValue *out, SnError *err)
{
    if (p->lex.now.kind != SN_TOKEN_FN)
        return sn_lex_fail(&p->lex, err, "expected a function");
    return sn_parse_expr(p, out, err);
}

/* NAME=...: an attribute of the op, or a setting that stands for operands. */
static SnStatus parse_assignment(SnTextParser *p, Call *c, SnError *err)
{
    const char *name = sn_parse_text(p, p->lex.now.text);
    SnTextAttr known;
    SnAttr a;
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_need(p, '=', err));
    if (sn_text_attr(c->op, c->row, name, &known)) {
        SN_TRY(parse_setting(p, &known, &a, err));
        return add_attr(p, c, &a, err);
    }
    if (strcmp(name, "max") == 0 || (c->op == SN_OP_LOOP && strcmp(name, "bound") == 0))
        return sn_parse_dim(p, false, &c->max, err);
    if (c->op == SN_OP_SORT && strcmp(name, "keys") == 0)
        return parse_keys(p, c, err);
    if ((c->op == SN_OP_SORT && strcmp(name, "with") == 0) ||
        (c->op == SN_OP_UPDATE && strcmp(name, "at") == 0))
        return sn_parse_operand(p, &c->in, err);
    if (c->op == SN_OP_LOOP && strcmp(name, "body") == 0)
        return parse_fn_setting(p, &c->body, err);
    if (c->op == SN_OP_LOOP && strcmp(name, "while") == 0)
        return parse_fn_setting(p, &c->while_fn, err);
    return sn_lex_fail(&p->lex, err, "%s has no attribute %s", c->name, name);
}

/* ---- parts ---- */

static bool is_value_name(SnTextParser *p)
{
    SnValue v;
    const SnBytes name = p->lex.now.text;
    return sn_parse_find(p, &p->local, name, &v) || sn_parse_find(p, &p->global, name, &v);
}

/* A bare word: a value, a dtype, a flag or a symbol. *done: the call ends before it. */
static SnStatus parse_bare(SnTextParser *p, Call *c, bool *done, SnError *err)
{
    const SnBytes name = p->lex.now.text;
    const char *dtype_attr = sn_text_syntax(c->op)->dtype;
    SnTextAttr known;
    SnAttr a;
    SnDtype d;
    if (is_value_name(p) || sn_parse_at_literal(p))
        return sn_parse_operand(p, &c->in, err);
    *done = sn_bytes_is(name, "next") || sn_bytes_is(name, "ret");
    if (*done)
        return SN_OK;
    if (dtype_attr != NULL && sn_parse_at_dtype(p, &d)) {
        a = SN_DTYPE(dtype_attr, d);
        SN_TRY(sn_parse_next(p, err));
        return add_attr(p, c, &a, err);
    }
    if (sn_text_attr(c->op, c->row, sn_parse_text(p, name), &known) && known.is_flag) {
        a = SN_INT(known.name, 1);
        SN_TRY(sn_parse_next(p, err));
        return add_attr(p, c, &a, err);
    }
    return sn_parse_operand(p, &c->in, err);
}

static SnStatus parse_rows(SnTextParser *p, Call *c, SnError *err)
{
    do {
        SnValue v;
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(sn_parse_expr(p, &v, err));
        SN_TRY(sn_parse_push(p, &c->in, v, err));
    } while (sn_at(p, ','));
    return SN_OK;
}

static SnStatus parse_parts(SnTextParser *p, Call *c, SnError *err)
{
    bool done = false;
    while (!done && sn_parse_at_operand(p)) {
        if (p->lex.now.kind == SN_TOKEN_NAME && sn_lex_follows(&p->lex, '='))
            SN_TRY(parse_assignment(p, c, err));
        else if (p->lex.now.kind == SN_TOKEN_NAME)
            SN_TRY(parse_bare(p, c, &done, err));
        else
            SN_TRY(sn_parse_operand(p, &c->in, err));
    }
    return c->op == SN_OP_TUPLE && sn_at(p, '|') ? parse_rows(p, c, err) : SN_OK;
}

/* ---- loop ---- */

static SnStatus parse_captured(SnTextParser *p, Call *c, SnError *err)
{
    c->has_captured = true;
    do {
        SN_TRY(sn_parse_next(p, err));
        while (sn_parse_at_operand(p))
            SN_TRY(sn_parse_operand(p, &c->in, err));
    } while (sn_at(p, ','));
    return SN_OK;
}

static SnStatus parse_loop_parts(SnTextParser *p, Call *c, SnError *err)
{
    bool has_carry = false;
    for (;;) {
        const bool is_name = p->lex.now.kind == SN_TOKEN_NAME;
        if (sn_at(p, ';'))
            return parse_captured(p, c, err);
        if (is_name && sn_lex_follows(&p->lex, '=')) {
            SN_TRY(parse_assignment(p, c, err));
        } else if (sn_at_name(p, "scan") && sn_lex_follows(&p->lex, '(')) {
            const size_t before = c->in.n;
            SN_TRY(sn_parse_next(p, err));
            SN_TRY(sn_parse_operand(p, &c->in, err));
            c->nscan += c->in.n - before;
        } else if (sn_at(p, '(') && !has_carry && c->nscan == 0) {
            SN_TRY(sn_parse_operand(p, &c->in, err));
            c->ncarry = c->in.n;
            has_carry = true;
        } else {
            return SN_OK;
        }
    }
}

static SnStatus finish_loop(SnTextParser *p, Call *c, SnValue *out, SnError *err)
{
    if (!c->has_captured) {
        *out = sn_loop(p->g, c->body, c->while_fn, c->max, (int)c->ncarry, c->in.at, (int)c->nscan,
                       c->in.n > c->ncarry ? c->in.at + c->ncarry : NULL);
        return SN_OK;
    }
    const SnAttr ncarry = SN_INT("ncarry", (int64_t)c->ncarry), nscan = SN_INT("nscan", (int64_t)c->nscan);
    SnValues all = {0};
    SnStatus st = add_attr(p, c, &ncarry, err);
    if (st == SN_OK)
        st = add_attr(p, c, &nscan, err);
    const SnValue head[3] = {c->body, c->while_fn, c->max};
    for (size_t i = 0; st == SN_OK && i < 3 + c->in.n; i++)
        st = sn_parse_push(p, &all, i < 3 ? head[i] : c->in.at[i - 3], err);
    if (st == SN_OK)
        *out = sn_op(p->g, "loop", all.at, (int)all.n, c->attr, c->nattr);
    sn_vec_clear(p->memory, &all);
    return st;
}

/* ---- constants and leaves ---- */

static SnStatus parse_elements(SnTextParser *p, SnDtype dtype, SnBytes *out, SnError *err)
{
    const size_t size = sn_dtype_size(dtype);
    SN_VEC(uint8_t) v = {0};
    SnStatus st = sn_parse_next(p, err);
    while (st == SN_OK && !sn_at(p, '}')) {
        const SnToken t = p->lex.now;
        SnScalar value = {0};
        if (!sn_parse_at_literal(p))
            st = sn_lex_fail(&p->lex, err, "expected a number");
        else if (!sn_is_const(p->s, sn_parse_make_literal(p, &t, dtype).ref, &value))
            st = sn_parse_check(p, err);
        else if (!sn_vec_reserve(p->memory, &v, size))
            st = sn_fail(err, SN_ENOMEM, "no memory for a constant");
        if (st == SN_OK) {
            sn_scalar_store(dtype, v.at + v.n, value);
            v.n += size;
            st = sn_parse_next(p, err);
        }
        if (st == SN_OK && !sn_at(p, '}'))
            st = sn_parse_need(p, ',', err);
    }
    const char *own = st == SN_OK ? sn_arena_strndup(&p->arena, (const char *)v.at, v.n) : NULL;
    *out = sn_bytes(own, v.n);
    sn_vec_clear(p->memory, &v);
    SN_TRY(st);
    SN_CHECK(own != NULL, err, SN_ENOMEM, "no memory for a constant");
    return sn_parse_next(p, err);
}

/* const f32 [2,3] {...} or x"..." */
static SnStatus parse_const_data(SnTextParser *p, SnDtype dtype, SnValue *out, SnError *err)
{
    SnAttr dims = SN_INTS("dims", NULL, 0);
    SnBytes data = p->lex.now.text;
    size_t size = sn_dtype_size(dtype);
    SN_TRY(parse_ints(p, &dims, err));
    if (dims.u.ints.n > SN_MAX_RANK)
        return sn_lex_fail(&p->lex, err, "rank is beyond %d", SN_MAX_RANK);
    if (sn_at(p, '{')) {
        SN_TRY(parse_elements(p, dtype, &data, err));
    } else if (p->lex.now.kind == SN_TOKEN_HEX) {
        data = p->lex.now.text;
        SN_TRY(sn_parse_next(p, err));
    } else {
        return sn_lex_fail(&p->lex, err, "expected { or x\"");
    }
    for (int i = 0; i < dims.u.ints.n; i++)
        if (dims.u.ints.at[i] < 0 || !sn_mul_size(size, (size_t)dims.u.ints.at[i], &size))
            return sn_lex_fail(&p->lex, err, "the dims of a constant are out of range");
    if (size != data.n)
        return sn_lex_fail(&p->lex, err, "%zu bytes for a constant of %zu", data.n, size);
    *out = sn_const_data(p->g, dtype, dims.u.ints.n, dims.u.ints.at, data.at);
    return SN_OK;
}

static SnStatus parse_const(SnTextParser *p, Call *c, SnValue *out, SnError *err)
{
    const SnToken t = p->lex.now;
    SnDtype dtype;
    if (sn_parse_at_dtype(p, &dtype)) {
        SN_TRY(sn_parse_next(p, err));
        return parse_const_data(p, dtype, out, err);
    }
    if (!sn_parse_at_literal(p))
        return sn_lex_fail(&p->lex, err, "expected a number or dtype");
    SN_TRY(sn_parse_next(p, err));
    if (sn_parse_at_dtype(p, &dtype))
        SN_TRY(sn_parse_next(p, err));
    else
        dtype = t.kind == SN_TOKEN_INT ? SN_I64 : t.kind == SN_TOKEN_FLOAT ? SN_F32 : SN_BOOL;
    *out = sn_parse_make_literal(p, &t, dtype);
    if (!sn_at(p, '['))
        return SN_OK;
    SN_TRY(sn_parse_operand(p, &c->in, err));
    if (c->in.n > SN_MAX_RANK)
        return sn_lex_fail(&p->lex, err, "rank is beyond %d", SN_MAX_RANK);
    *out = sn_broadcast(p->g, *out, (int)c->in.n, c->in.at);
    return SN_OK;
}

/* input "any name": a leaf that was declared. */
static SnStatus parse_leaf(SnTextParser *p, const Call *c, SnValue *out, SnError *err)
{
    SnBytes name;
    uint32_t ref;
    SN_TRY(sn_parse_name(p, &name, err));
    if (c->op == SN_OP_DIM)
        return sn_parse_find(p, &p->symbol, name, out) ? SN_OK : sn_parse_unknown(p, name, err);
    const char *key = sn_arena_printf(&p->arena, "%s:%s", c->name, sn_parse_text(p, name));
    if (key == NULL || !sn_map_get(&p->g->leaf, sn_bytes_str(key), &ref))
        return sn_parse_unknown(p, name, err);
    *out = (SnValue){ref, 0};
    return SN_OK;
}

/* ---- making the term ---- */

static SnAttr *find_attr(Call *c, const char *name)
{
    for (int i = 0; i < c->nattr; i++)
        if (strcmp(c->attr[i].name, name) == 0)
            return &c->attr[i];
    return NULL;
}

/* Axes that count from the end. */
static SnStatus count_axes(SnTextParser *p, Call *c, SnError *err)
{
    const int rank = c->op == SN_OP_IOTA ? (int)c->in.n : c->in.n > 0 ? sn_rank(p->g, c->in.at[0]) : 0;
    SnAttr *axis = find_attr(c, "axis"), *axes = find_attr(c, "axes");
    if (axis != NULL && axis->u.i < 0 && axis->u.i >= -rank)
        axis->u.i += rank;
    if (axes == NULL)
        return SN_OK;
    int64_t *at = (int64_t *)sn_arena_array(&p->arena, (size_t)axes->u.ints.n, sizeof *at);
    SN_CHECK(at != NULL, err, SN_ENOMEM, "no memory for an attribute");
    for (int i = 0; i < axes->u.ints.n; i++) {
        const int64_t v = axes->u.ints.at[i];
        at[i] = v < 0 && v >= -rank ? v + rank : v;
    }
    axes->u.ints.at = at;
    return SN_OK;
}

/* What the builders of graph.h give when nothing is said. */
static SnStatus add_defaults(SnTextParser *p, Call *c, SnError *err)
{
    static const int64_t all[SN_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const int rank = c->in.n > 0 ? sn_rank(p->g, c->in.at[0]) : 0;
    const struct {
        uint16_t op;
        SnAttr attr;
    } known[] = {
        {SN_OP_IOTA, SN_INT("axis", 0)},
        {SN_OP_IOTA, SN_DTYPE("dtype", SN_I64)},
        {SN_OP_GATHER, SN_STRING("oob", "clamp")},
        {SN_OP_CONTRACT, SN_DTYPE("acc", SN_NODTYPE)},
        {SN_OP_REDUCE, SN_INTS("axes", all, rank)},
        {SN_OP_WINDOW, SN_INT("stride", 1)},
        {SN_OP_WINDOW, SN_INT("dilation", 1)},
        {SN_OP_SORT, SN_INT("nkeys", 1)},
    };
    for (size_t i = 0; i < SN_COUNT(known); i++)
        if (known[i].op == c->op && !has_attr(c, known[i].attr.name))
            SN_TRY(add_attr(p, c, &known[i].attr, err));
    return SN_OK;
}

static SnValue values_of(SnTextParser *p, const Call *c)
{
    const SnValue count = sn_reduce(p->g, "add", sn_get(p->g, c->in.at[0], 1), 0, NULL, false);
    const SnValue in[2] = {c->in.at[0], sn_measure(p->g, count, c->max)};
    return sn_op(p->g, "values", in, 2, NULL, 0);
}

/* Ops whose builders do more than make the term. false: an ordinary one. */
static bool finish_special(SnTextParser *p, const Call *c, SnValue *out)
{
    const SnValue *in = c->in.at;
    const size_t n = c->in.n;
    int64_t index;
    if (c->row != NULL || c->nattr > 0)
        return false;
    if (c->op == SN_OP_CALL && n >= 1)
        *out = sn_call(p->g, in[0], (int)n - 1, in + 1);
    else if (c->op == SN_OP_COND && n >= 3)
        *out = sn_cond(p->g, in[0], in[1], in[2], (int)n - 3, in + 3);
    else if (c->op == SN_OP_MEASURE && n == 1)
        *out = sn_measure(p->g, in[0], c->max);
    else if (c->op == SN_OP_COMPACT && n == 2)
        *out = sn_compact(p->g, in[0], in[1], c->max);
    else if (c->op == SN_OP_VALUES && n == 1)
        *out = values_of(p, c);
    else if (c->op == SN_OP_GET && n == 2 && sn_is_const_i64(p->s, in[1].ref, &index) && index >= 0 &&
             index < UINT16_MAX)
        *out = sn_get(p->g, in[0], (int)index);
    else
        return false;
    return true;
}

/* The value of a pad and the updates of a scatter are written as plain numbers too. */
static void adapt_last(SnTextParser *p, Call *c)
{
    if ((c->op != SN_OP_PAD && c->op != SN_OP_SCATTER) || c->in.n < 2)
        return;
    SnValue *last = &c->in.at[c->in.n - 1];
    const SnDtype to = sn_value_dtype(p->g, c->in.at[0]);
    if (to != SN_NODTYPE && last->ref != 0 && sn_is_adaptable(p->s, last->ref)) {
        const SnRef fit = sn_adapt(p->g, last->ref, to);
        *last = fit != 0 ? sn_here(p->g, fit) : *last;
    }
}

static SnStatus finish(SnTextParser *p, Call *c, SnValue *out, SnError *err)
{
    SN_TRY(sn_parse_check(p, err));
    if (finish_special(p, c, out))
        return SN_OK;
    if (c->max.ref != 0)
        return sn_lex_fail(&p->lex, err, "%s has no attribute max", c->name);
    if (c->row == NULL) {
        adapt_last(p, c);
        SN_TRY(add_defaults(p, c, err));
        SN_TRY(count_axes(p, c, err));
    }
    *out = sn_op(p->g, c->name, c->in.at, (int)c->in.n, c->attr, c->nattr);
    return SN_OK;
}

static SnStatus parse_word_attr(SnTextParser *p, Call *c, const char *word, SnError *err)
{
    SnAttr a = SN_STRING(word, "");
    SN_TRY(parse_text(p, &a.u.s, err));
    return add_attr(p, c, &a, err);
}

static SnStatus parse_body(SnTextParser *p, Call *c, SnValue *out, SnError *err)
{
    const SnTextSyntax *syntax = sn_text_syntax(c->op);
    switch (c->op) {
    case SN_OP_CONST:
        return parse_const(p, c, out, err);
    case SN_OP_INPUT:
    case SN_OP_PARAM:
    case SN_OP_CARRY:
    case SN_OP_OBJECT:
    case SN_OP_DIM:
        return parse_leaf(p, c, out, err);
    case SN_OP_LOOP:
        SN_TRY(parse_loop_parts(p, c, err));
        return finish_loop(p, c, out, err);
    default:
        if (syntax->word != NULL)
            SN_TRY(parse_word_attr(p, c, syntax->word, err));
        SN_TRY(parse_parts(p, c, err));
        return finish(p, c, out, err);
    }
}

SnStatus sn_parse_call(SnTextParser *p, SnValue *out, SnError *err)
{
    Call c = {.name = sn_parse_text(p, p->lex.now.text)};
    c.op = sn_parse_op(p, p->lex.now.text, &c.row);
    *out = sn_none();
    SN_TRY(sn_parse_next(p, err));
    SnStatus st;
    if (c.op == SN_OP_HOST) { /* host NAME ...: the op is named next */
        const SnOpRow *row;
        if (p->lex.now.kind != SN_TOKEN_NAME || sn_parse_op(p, p->lex.now.text, &row) == SN_OP_HOST)
            return sn_lex_fail(&p->lex, err, "host: expected the name of an op");
        st = sn_parse_call(p, out, err);
    } else if (c.op == SN_OP_ARG || c.op == SN_OP_FN || c.op == SN_OP_ENTRY || c.op == SN_OP_PROGRAM) {
        st = sn_lex_fail(&p->lex, err, "%s cannot be called", c.name);
    } else {
        st = parse_body(p, &c, out, err);
    }
    sn_vec_clear(p->memory, &c.in);
    SN_TRY(st);
    return sn_parse_check(p, err);
}
