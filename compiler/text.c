/* text.c -- reads the text form: the calls of graph.h that it stands for.
 *
 *   program  = { item }            separated by line ends; `;` after white space starts a comment
 *   item     = "program" fname | "dims" dim { "," dim } | leaf | fn | entry | value "=" expr
 *   dim      = name "in" int ".." int [ "at" "create" ] | name "=" int
 *   leaf     = "input" decl [ "static" ] | "param" decl { "," decl } | "carry" decl "=" ( expr | "[" "]" )
 *            | "object" name ":" class [ "=" x"hex" ]
 *   decl     = name ":" type
 *   fn       = "fn" fname "(" decls ")" "{" { value "=" expr } "ret" "=" expr "}"
 *   entry    = "entry" fname "(" decls ")" "{" { value "=" expr | ret | next } "}"
 *   ret      = "ret" ( "=" expr | result { "," result } )        result = [ "stream" ] name ":" expr
 *   next     = "next" name "=" expr { "," name "=" expr }
 *   decls    = [ decl { ("," | ";") decl } ]          after `;`: captured values, a mark for readers
 *   type     = dtype [ dims ] | "list" "<" dtype ">" [ dims ] [ "max" "=" sum ]
 *            | "tuple" "<" [ [name ":"] type { "," ... } ] ">" | "object" "<" class ">"
 *   expr     = op { part } | operand
 *   part     = operand | "[" [ item { "," item } ] "]" | flag | attr "=" setting | word | text | dtype
 *   operand  = ( value | name | fname | literal | "(" [ expr { ("," | ";") expr } ] ")" ) { "." int }
 *   item     = expr | sum                             dims, and starts of slice and update
 *   sum      = product { ("+" | "-") product }
 *   product  = atom { ("*" | "/") atom }              "/" is idiv
 *   atom     = int | name | value | "-" atom | ("idiv" | "mod" | "min" | "max" ...) "(" sum "," sum ")"
 *            | "(" (sum | expr) ")"
 *   literal  = (int | float | "true" | "false") [ ":" dtype ]    without dtype: i64, f32, bool, and adapts
 *   value    = "%" word        name = identifier or "text"       fname = "@" word
 *
 * Own forms:  const 0 i32 [b,n]   const f32 [2] {1.0, 2.0}   const u8 [4] x"00ff00ff"   param "any name"
 *   loop bound=sum while=@c body=@b (carried...) scan(xs...); captured...     cond p @a @b (args...)
 *   measure x max=sum   sort keys=(...) with=(...)   tuple a b | rows...
 * A file that holds functions and no entry: the last one is the entry "main", its result the output "out".
 *
 * The bytes may be hostile: nesting is limited, names are looked up, and every term is made by the builder,
 * which checks it. */
#include "compiler/text_parse.h"

#define MAX_TEXT ((size_t)64 << 20)

/* ---- types ---- */

static SnStatus parse_type(SnTextParser *p, SnTypeId *out, SnError *err);

static SnStatus need_dtype(SnTextParser *p, SnDtype *out, SnError *err)
{
    if (!sn_parse_at_dtype(p, out))
        return sn_lex_fail(&p->lex, err, "expected a type");
    return sn_parse_next(p, err);
}

static SnStatus need_dim(SnTextParser *p, SnRef *out, SnError *err)
{
    SnValue v;
    SN_TRY(sn_parse_dim(p, true, &v, err));
    *out = sn_use_dim(p->g, "type", v);
    return sn_parse_check(p, err);
}

static SnStatus parse_type_dims(SnTextParser *p, SnType *t, SnError *err)
{
    if (!sn_at(p, '['))
        return SN_OK;
    SN_TRY(sn_parse_next(p, err));
    while (!sn_at(p, ']')) {
        if (t->ndim == SN_MAX_RANK)
            return sn_lex_fail(&p->lex, err, "rank is beyond %d", SN_MAX_RANK);
        SN_TRY(need_dim(p, &t->dims[t->ndim++], err));
        if (!sn_at(p, ']'))
            SN_TRY(sn_parse_need(p, ',', err));
    }
    return sn_parse_next(p, err);
}

static SnStatus parse_list_type(SnTextParser *p, SnType *t, SnError *err)
{
    t->kind = SN_TYPE_LIST;
    SN_TRY(sn_parse_need(p, '<', err));
    SN_TRY(need_dtype(p, &t->dtype, err));
    SN_TRY(sn_parse_need(p, '>', err));
    SN_TRY(parse_type_dims(p, t, err));
    if (!sn_at_name(p, "max"))
        return SN_OK;
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_need(p, '=', err));
    return need_dim(p, &t->bound, err);
}

static SnStatus parse_object_type(SnTextParser *p, SnType *t, SnError *err)
{
    SnBytes name;
    t->kind = SN_TYPE_OBJECT;
    SN_TRY(sn_parse_need(p, '<', err));
    SN_TRY(sn_parse_name(p, &name, err));
    t->class_name = sn_parse_text(p, name);
    return sn_parse_need(p, '>', err);
}

typedef SN_VEC(SnTypeId) TypeIds;
typedef SN_VEC(const char *) Names;

static SnStatus parse_children(SnTextParser *p, TypeIds *child, Names *names, SnError *err)
{
    while (!sn_at(p, '>')) {
        SnBytes name;
        SnTypeId id;
        if (sn_lex_follows(&p->lex, ':')) {
            SN_TRY(sn_parse_name(p, &name, err));
            SN_TRY(sn_parse_next(p, err));
            if (!sn_vec_push(p->memory, names, sn_parse_text(p, name)))
                return sn_fail(err, SN_ENOMEM, "no memory for a type");
        }
        SN_TRY(parse_type(p, &id, err));
        if (!sn_vec_push(p->memory, child, id))
            return sn_fail(err, SN_ENOMEM, "no memory for a type");
        if (child->n > SN_MAX_TYPE_LEAF)
            return sn_lex_fail(&p->lex, err, "the tuple is too large");
        if (!sn_at(p, '>'))
            SN_TRY(sn_parse_need(p, ',', err));
    }
    if (names->n != 0 && names->n != child->n)
        return sn_lex_fail(&p->lex, err, "some children have names, some have none");
    return sn_parse_next(p, err);
}

static SnStatus parse_tuple_type(SnTextParser *p, SnType *t, SnTypeId *out, SnError *err)
{
    TypeIds child = {0};
    Names names = {0};
    SnStatus st = sn_parse_need(p, '<', err);
    if (st == SN_OK)
        st = parse_children(p, &child, &names, err);
    t->kind = SN_TYPE_TUPLE;
    t->nchild = (int)child.n;
    t->child = child.at;
    t->names = names.n > 0 ? names.at : NULL;
    if (st == SN_OK)
        *out = sn_type_make(p->s, t);
    sn_vec_clear(p->memory, &child);
    sn_vec_clear(p->memory, &names);
    return st;
}

static SnStatus parse_type(SnTextParser *p, SnTypeId *out, SnError *err)
{
    SnType t = {.kind = SN_TYPE_TENSOR};
    const SnBytes name = p->lex.now.kind == SN_TOKEN_NAME ? p->lex.now.text : sn_bytes(NULL, 0);
    const bool is_list = sn_bytes_is(name, "list"), is_tuple = sn_bytes_is(name, "tuple");
    *out = 0;
    SN_TRY(sn_parse_enter(p, err));
    if (is_list || is_tuple || sn_bytes_is(name, "object")) {
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(is_list    ? parse_list_type(p, &t, err)
               : is_tuple ? parse_tuple_type(p, &t, out, err)
                          : parse_object_type(p, &t, err));
    } else {
        SN_TRY(need_dtype(p, &t.dtype, err));
        SN_TRY(parse_type_dims(p, &t, err));
    }
    p->depth--;
    if (!is_tuple)
        *out = sn_type_make(p->s, &t);
    SN_TRY(sn_parse_check(p, err));
    return *out != 0 ? SN_OK : sn_lex_fail(&p->lex, err, "the type is too large");
}

/* ---- leaves ---- */

/* NAME: TYPE. Only an identifier becomes a name for operands; is_plain tells. */
static SnStatus parse_decl(SnTextParser *p, SnTextParam *out, bool *is_plain, SnError *err)
{
    *is_plain = p->lex.now.kind == SN_TOKEN_NAME;
    SN_TRY(sn_parse_name(p, &out->name, err));
    SN_TRY(sn_parse_need(p, ':', err));
    return parse_type(p, &out->type, err);
}

static SnStatus bind_plain(SnTextParser *p, SnMap *map, SnBytes name, bool is_plain, SnValue v, SnError *err)
{
    SN_TRY(sn_parse_check(p, err));
    return is_plain ? sn_parse_bind(p, map, name, v, err) : SN_OK;
}

static SnStatus make_list_input(SnTextParser *p, const char *name, const SnType *t, const SnValue *dims,
                                SnValue *out, SnError *err)
{
    SnValue known;
    *out = sn_input_list(p->g, name, t->dtype, t->ndim, dims);
    SN_TRY(sn_parse_check(p, err));
    const SnRef size = sn_value_type(p->g, *out)->bound;
    const SnBytes symbol = sn_bytes_str(sn_attr_string(p->s, size, "name"));
    if (t->bound != 0 && t->bound != size)
        return sn_lex_fail(&p->lex, err, "the size of the list %s is the symbol %s.size", name, name);
    if (sn_parse_find(p, &p->symbol, symbol, &known))
        return SN_OK;
    return sn_parse_bind(p, &p->symbol, symbol, sn_here(p->g, size), err);
}

static SnStatus make_input(SnTextParser *p, const SnTextParam *d, SnValue *out, SnError *err)
{
    const SnType *t = sn_type(p->s, d->type);
    const char *name = sn_parse_text(p, d->name);
    SnValue dims[SN_MAX_RANK];
    for (int i = 0; i < t->ndim; i++)
        dims[i] = sn_here(p->g, t->dims[i]);
    if (t->kind == SN_TYPE_LIST)
        return make_list_input(p, name, t, dims, out, err);
    if (t->kind != SN_TYPE_TENSOR)
        return sn_lex_fail(&p->lex, err, "input %s: expected a tensor or list", name);
    *out = sn_input(p->g, name, t->dtype, t->ndim, dims);
    return sn_parse_check(p, err);
}

static SnStatus parse_input(SnTextParser *p, SnError *err)
{
    SnTextParam d;
    bool is_plain;
    SnValue v;
    SN_TRY(parse_decl(p, &d, &is_plain, err));
    SN_TRY(make_input(p, &d, &v, err));
    return bind_plain(p, &p->global, d.name, is_plain, v, err);
}

static SnStatus parse_param(SnTextParser *p, SnError *err)
{
    SnTextParam d;
    bool is_plain;
    for (;;) {
        int64_t dims[SN_MAX_RANK];
        SN_TRY(parse_decl(p, &d, &is_plain, err));
        const SnType *t = sn_type(p->s, d.type);
        bool fixed = t->kind == SN_TYPE_TENSOR;
        for (int i = 0; i < t->ndim && fixed; i++)
            fixed = sn_is_const_i64(p->s, t->dims[i], &dims[i]);
        if (!fixed)
            return sn_lex_fail(&p->lex, err, "a param is a tensor with constant dims");
        const SnValue v = sn_param(p->g, sn_parse_text(p, d.name), t->dtype, t->ndim, dims);
        SN_TRY(bind_plain(p, &p->global, d.name, is_plain, v, err));
        if (!sn_at(p, ','))
            return SN_OK;
        SN_TRY(sn_parse_next(p, err));
    }
}

/* []: a list whose elements are all empty. */
static SnValue empty_list(SnTextParser *p, const SnType *t)
{
    SnValue dims[SN_MAX_RANK];
    for (int i = 0; i < t->ndim; i++)
        dims[i] = sn_here(p->g, t->dims[i]);
    const SnValue size = sn_here(p->g, t->bound), zero = sn_const_int(p->g, SN_I64, 0);
    const SnValue none = sn_broadcast(p->g, zero, t->ndim, dims);
    const SnValue byte = sn_here(p->g, sn_const_scalar(p->s, t->dtype, (SnScalar){0}));
    return sn_list(p->g, none, none, sn_broadcast(p->g, byte, 1, &size));
}

static SnStatus parse_init(SnTextParser *p, const SnType *t, SnValue *out, SnError *err)
{
    SnValue dims[SN_MAX_RANK];
    if (t->kind == SN_TYPE_LIST && sn_at(p, '[')) {
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(sn_parse_need(p, ']', err));
        if (t->bound == 0)
            return sn_lex_fail(&p->lex, err, "a list that is carried needs a capacity (max=)");
        *out = empty_list(p, t);
        return SN_OK;
    }
    if (t->kind != SN_TYPE_TENSOR || !sn_parse_at_literal(p))
        return sn_parse_expr(p, out, err);
    SN_TRY(sn_parse_literal(p, t->dtype, out, err));
    for (int i = 0; i < t->ndim; i++)
        dims[i] = sn_here(p->g, t->dims[i]);
    *out = sn_broadcast(p->g, *out, t->ndim, dims);
    return SN_OK;
}

static SnStatus parse_carry(SnTextParser *p, SnError *err)
{
    SnTextParam d;
    bool is_plain;
    SnValue init;
    SN_TRY(parse_decl(p, &d, &is_plain, err));
    SN_TRY(sn_parse_need(p, '=', err));
    SN_TRY(parse_init(p, sn_type(p->s, d.type), &init, err));
    const SnValue v = sn_carry(p->g, sn_parse_text(p, d.name), init);
    SN_TRY(sn_parse_check(p, err));
    if (sn_term(p->s, v.ref)->type != d.type)
        return sn_lex_fail(&p->lex, err, "the initial value has another type");
    return bind_plain(p, &p->global, d.name, is_plain, v, err);
}

static SnStatus parse_object(SnTextParser *p, SnError *err)
{
    SnBytes name, class_name, table = sn_bytes("", 0);
    const bool is_plain = p->lex.now.kind == SN_TOKEN_NAME;
    SN_TRY(sn_parse_name(p, &name, err));
    SN_TRY(sn_parse_need(p, ':', err));
    SN_TRY(sn_parse_name(p, &class_name, err));
    if (sn_at(p, '=')) {
        SN_TRY(sn_parse_next(p, err));
        if (p->lex.now.kind != SN_TOKEN_HEX)
            return sn_lex_fail(&p->lex, err, "expected x\"...\"");
        table = p->lex.now.text;
        SN_TRY(sn_parse_next(p, err));
    }
    const SnValue v = sn_object(p->g, sn_parse_text(p, name), sn_parse_text(p, class_name), table);
    return bind_plain(p, &p->global, name, is_plain, v, err);
}

/* ---- symbols ---- */

static SnStatus parse_range(SnTextParser *p, SnBytes name, SnValue *out, SnError *err)
{
    int64_t lo, hi;
    SN_TRY(sn_parse_word(p, "in", err));
    SN_TRY(sn_parse_int(p, &lo, err));
    SN_TRY(sn_parse_need(p, 'R', err));
    SN_TRY(sn_parse_int(p, &hi, err));
    if (hi < lo)
        return sn_lex_fail(&p->lex, err, "the range is empty");
    if (!sn_at_name(p, "at")) {
        *out = sn_symbol(p->g, sn_parse_text(p, name), lo, hi);
        return SN_OK;
    }
    SN_TRY(sn_parse_next(p, err));
    *out = sn_symbol_at_create(p->g, sn_parse_text(p, name), lo, hi);
    return sn_parse_word(p, "create", err);
}

static SnStatus parse_dims(SnTextParser *p, SnError *err)
{
    for (;;) {
        SnBytes name;
        SnValue v;
        SN_TRY(sn_parse_name(p, &name, err));
        if (sn_at(p, '=')) {
            SN_TRY(sn_parse_next(p, err));
            SN_TRY(sn_parse_dim(p, false, &v, err));
        } else {
            SN_TRY(parse_range(p, name, &v, err));
        }
        SN_TRY(sn_parse_check(p, err));
        SN_TRY(sn_parse_bind(p, &p->symbol, name, v, err));
        if (!sn_at(p, ','))
            return SN_OK;
        SN_TRY(sn_parse_next(p, err));
    }
}

/* ---- functions and entries ---- */

static SnStatus end_statement(SnTextParser *p, SnError *err)
{
    SN_TRY(sn_parse_check(p, err));
    if (p->lex.now.kind == SN_TOKEN_END || sn_at(p, '}') || sn_at_name(p, "next") || sn_at_name(p, "ret"))
        return SN_OK;
    if (p->lex.now.kind != SN_TOKEN_LINE)
        return sn_lex_fail(&p->lex, err, "expected the end of the line");
    while (p->lex.now.kind == SN_TOKEN_LINE)
        SN_TRY(sn_parse_next(p, err));
    return SN_OK;
}

/* %1 = EXPR */
static SnStatus parse_assign(SnTextParser *p, SnMap *map, SnError *err)
{
    const SnToken t = p->lex.now;
    SnValue v;
    if ((t.kind != SN_TOKEN_VALUE && t.kind != SN_TOKEN_NAME) || !sn_lex_follows(&p->lex, '='))
        return sn_lex_fail(&p->lex, err, "expected NAME = ...");
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_expr(p, &v, err));
    SN_TRY(sn_parse_check(p, err));
    return sn_parse_bind(p, map, t.text, v, err);
}

/* @name(decls) up to the opening brace; of a function the parameters are made. */
static SnStatus parse_head(SnTextParser *p, bool is_fn, SnBytes *name, SnError *err)
{
    if (p->lex.now.kind != SN_TOKEN_FN)
        return sn_lex_fail(&p->lex, err, "expected @NAME");
    *name = p->lex.now.text;
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_need(p, '(', err));
    if (is_fn)
        sn_fn_begin(p->g, sn_parse_text(p, *name));
    else
        sn_entry_begin(p->g, sn_parse_text(p, *name));
    sn_map_clear(&p->local);
    sn_map_init(&p->local, p->memory);
    p->param.n = 0;
    while (!sn_at(p, ')')) {
        SnTextParam d;
        SnValue v;
        bool is_plain;
        SN_TRY(parse_decl(p, &d, &is_plain, err));
        if (!sn_vec_push(p->memory, &p->param, d))
            return sn_fail(err, SN_ENOMEM, "no memory for a parameter");
        if (is_fn)
            v = sn_fn_arg(p->g, d.type);
        else
            SN_TRY(make_input(p, &d, &v, err));
        SN_TRY(bind_plain(p, &p->local, d.name, is_plain, v, err));
        if (sn_at(p, ',') || sn_at(p, ';'))
            SN_TRY(sn_parse_next(p, err));
        else if (!sn_at(p, ')'))
            return sn_lex_fail(&p->lex, err, "expected ',' or ')'");
    }
    SN_TRY(sn_parse_next(p, err));
    SN_TRY(sn_parse_need(p, '{', err));
    while (p->lex.now.kind == SN_TOKEN_LINE)
        SN_TRY(sn_parse_next(p, err));
    return SN_OK;
}

static SnStatus parse_fn(SnTextParser *p, SnError *err)
{
    SnBytes name;
    SnValue result = {0};
    SN_TRY(parse_head(p, true, &name, err));
    while (!sn_at(p, '}')) {
        if (result.ref != 0)
            return sn_lex_fail(&p->lex, err, "expected } after ret");
        if (!sn_at_name(p, "ret")) {
            SN_TRY(parse_assign(p, &p->local, err));
        } else {
            SN_TRY(sn_parse_next(p, err));
            SN_TRY(sn_parse_need(p, '=', err));
            SN_TRY(sn_parse_expr(p, &result, err));
        }
        SN_TRY(end_statement(p, err));
    }
    if (result.ref == 0)
        return sn_lex_fail(&p->lex, err, "the function has no ret");
    p->last_fn = sn_fn_end(p->g, result);
    SN_TRY(sn_parse_check(p, err));
    SN_TRY(sn_parse_bind(p, &p->function, name, p->last_fn, err));
    return sn_parse_next(p, err);
}

static SnStatus parse_ret(SnTextParser *p, SnError *err)
{
    SnValue v;
    if (sn_at(p, '=')) {
        SN_TRY(sn_parse_next(p, err));
        SN_TRY(sn_parse_expr(p, &v, err));
        sn_output(p->g, "out", v);
        return SN_OK;
    }
    for (;;) {
        SnBytes name;
        const bool is_stream = sn_at_name(p, "stream") && !sn_lex_follows(&p->lex, ':');
        if (is_stream)
            SN_TRY(sn_parse_next(p, err));
        SN_TRY(sn_parse_name(p, &name, err));
        SN_TRY(sn_parse_need(p, ':', err));
        SN_TRY(sn_parse_expr(p, &v, err));
        (is_stream ? sn_output_stream : sn_output)(p->g, sn_parse_text(p, name), v);
        if (!sn_at(p, ','))
            return SN_OK;
        SN_TRY(sn_parse_next(p, err));
    }
}

static SnStatus parse_nexts(SnTextParser *p, SnError *err)
{
    for (;;) {
        SnBytes name;
        SnValue v;
        uint32_t carry;
        SN_TRY(sn_parse_name(p, &name, err));
        SN_TRY(sn_parse_need(p, '=', err));
        SN_TRY(sn_parse_expr(p, &v, err));
        const char *key = sn_arena_printf(&p->arena, "carry:%s", sn_parse_text(p, name));
        if (key == NULL || !sn_map_get(&p->g->leaf, sn_bytes_str(key), &carry))
            return sn_parse_unknown(p, name, err);
        sn_next(p->g, (SnValue){carry, 0}, v);
        if (!sn_at(p, ','))
            return SN_OK;
        SN_TRY(sn_parse_next(p, err));
    }
}

static SnStatus parse_entry(SnTextParser *p, SnError *err)
{
    SnBytes name;
    SN_TRY(parse_head(p, false, &name, err));
    p->has_entry = true;
    while (!sn_at(p, '}')) {
        if (sn_at_name(p, "ret")) {
            SN_TRY(sn_parse_next(p, err));
            SN_TRY(parse_ret(p, err));
        } else if (sn_at_name(p, "next")) {
            SN_TRY(sn_parse_next(p, err));
            SN_TRY(parse_nexts(p, err));
        } else {
            SN_TRY(parse_assign(p, &p->local, err));
        }
        SN_TRY(end_statement(p, err));
    }
    sn_map_clear(&p->local);
    sn_map_init(&p->local, p->memory);
    return sn_parse_next(p, err);
}

/* Functions and no entry: the last function is the entry. */
static SnStatus call_last(SnTextParser *p, SnError *err)
{
    SnValues in = {0};
    SnStatus st = SN_OK;
    for (size_t i = 0; i < p->param.n && st == SN_OK; i++) {
        SnValue v;
        st = make_input(p, &p->param.at[i], &v, err);
        if (st == SN_OK)
            st = sn_parse_push(p, &in, v, err);
    }
    if (st == SN_OK) {
        sn_entry_begin(p->g, "main");
        sn_output(p->g, "out", sn_call(p->g, p->last_fn, (int)in.n, in.at));
        st = sn_parse_check(p, err);
    }
    sn_vec_clear(p->memory, &in);
    return st;
}

/* ---- files ---- */

static SnStatus parse_program(SnTextParser *p, SnError *err)
{
    if (p->lex.now.kind != SN_TOKEN_FN)
        return sn_lex_fail(&p->lex, err, "expected @NAME");
    return sn_parse_next(p, err);
}

static SnStatus parse_item(SnTextParser *p, SnError *err)
{
    static const struct {
        const char *word;
        SnStatus (*parse)(SnTextParser *p, SnError *err);
    } items[] = {{"program", parse_program}, {"dims", parse_dims},   {"input", parse_input},
                 {"param", parse_param},     {"carry", parse_carry}, {"object", parse_object},
                 {"fn", parse_fn},           {"entry", parse_entry}};
    for (size_t i = 0; i < SN_COUNT(items); i++) {
        if (!sn_at_name(p, items[i].word) || sn_lex_follows(&p->lex, '='))
            continue;
        SN_TRY(sn_parse_next(p, err));
        return items[i].parse(p, err);
    }
    return parse_assign(p, &p->global, err);
}

static SnStatus parse_file(SnTextParser *p, SnError *err)
{
    SN_TRY(sn_parse_next(p, err));
    while (p->lex.now.kind == SN_TOKEN_LINE)
        SN_TRY(sn_parse_next(p, err));
    while (p->lex.now.kind != SN_TOKEN_END) {
        SN_TRY(parse_item(p, err));
        SN_TRY(end_statement(p, err));
        if (sn_at(p, '}') || sn_at_name(p, "next") || sn_at_name(p, "ret"))
            return sn_lex_fail(&p->lex, err, "expected a declaration, function or entry");
    }
    if (!p->has_entry && p->last_fn.ref != 0)
        return call_last(p, err);
    return p->has_entry ? SN_OK : sn_lex_fail(&p->lex, err, "there is no entry and no function");
}

SnStatus sn_graph_parse(SnGraph *g, const char *name, SnBytes text, SnError *err)
{
    SN_TRY(sn_graph_check(g, err));
    SN_CHECK(text.n <= MAX_TEXT, err, SN_EFORMAT, "%s: %zu bytes, at most %zu are read", name, text.n,
             MAX_TEXT);
    SnTextParser p = {.g = g, .s = g->s, .memory = g->memory};
    sn_arena_init(&p.arena, g->memory);
    p.lex = (SnLexer){.in = sn_reader(text), .name = name, .arena = &p.arena, .line = 1};
    SnMap *const maps[] = {&p.global, &p.local, &p.function, &p.symbol};
    for (size_t i = 0; i < SN_COUNT(maps); i++)
        sn_map_init(maps[i], g->memory);
    SnError inner = {0};
    const SnStatus st = parse_file(&p, &inner);
    if (st != SN_OK && sn_graph_ok(g))
        sn_graph_fail(g, st, "%s", inner.message);
    for (size_t i = 0; i < SN_COUNT(maps); i++)
        sn_map_clear(maps[i]);
    sn_vec_clear(g->memory, &p.value);
    sn_vec_clear(g->memory, &p.param);
    sn_arena_clear(&p.arena);
    return st == SN_OK ? SN_OK : sn_fail(err, st, "%s", inner.message);
}
