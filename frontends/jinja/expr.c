/* expr.c -- expressions of a template: recursive descent, one function a level of precedence. */
#include "frontends/jinja/node.h"
#include "frontends/jinja/run.h"

static SnStatus parse_unary(SnJiParser *p, bool with_filters, SnJiNode **out);

/* ---- literals and names ---- */

static SnStatus constant(SnJiParser *p, SnJiValue value, SnJiNode **out)
{
    SN_TRY(sn_ji_node(p, SN_JI_N_CONST, sn_ji_token(p)->line, 0, out));
    (*out)->u.value = value;
    return SN_OK;
}

/* Strings side by side are one. */
static SnStatus parse_strings(SnJiParser *p, SnJiNode **out)
{
    size_t n = 0, end = p->at;
    for (; p->tokens.at[end].type == SN_JI_T_STRING; end++)
        n += p->tokens.at[end].u.text.n;
    SN_CHECK(n < UINT32_MAX, p->err, SN_EFORMAT, "%s: a string of %zu bytes", p->name, n);
    char *text = sn_arena_alloc(p->arena, n + 1);
    SN_CHECK(text, p->err, SN_ENOMEM, "%s: no memory", p->name);
    SN_TRY(constant(p, sn_ji_none, out));
    n = 0;
    for (; p->at < end; p->at++) {
        const SnBytes part = sn_ji_token(p)->u.text;
        memcpy(text + n, part.at, part.n);
        n += part.n;
    }
    (*out)->u.value = sn_ji_text_value(text, n);
    return SN_OK;
}

static SnStatus parse_name(SnJiParser *p, bool is_target, SnJiNode **out)
{
    static const struct {
        const char *name;
        uint8_t kind;
        bool value;
    } constants[] = {{"true", SN_JI_BOOL, true},   {"True", SN_JI_BOOL, true},  {"false", SN_JI_BOOL, false},
                     {"False", SN_JI_BOOL, false}, {"none", SN_JI_NONE, false}, {"None", SN_JI_NONE, false}};
    const SnJiToken *token = sn_ji_token(p);
    const SnBytes name = token->u.text;
    p->at++;
    for (size_t i = 0; i < SN_COUNT(constants); i++)
        if (sn_bytes_is(name, constants[i].name)) {
            const SnJiValue v = {.kind = constants[i].kind, .u = {.boolean = constants[i].value}};
            return constant(p, v, out);
        }
    const bool is_attr = is_target && sn_ji_skip(p, SN_JI_TOP(DOT));
    SN_TRY(sn_ji_node(p, is_attr ? SN_JI_N_NSREF : SN_JI_N_NAME, token->line, 0, out));
    SN_TRY(sn_ji_name_id(p, name, &(*out)->u.name));
    static const uint32_t uses[SN_JI_NNAME] = {[SN_JI_NAME_CALLER] = SN_JI_USES_CALLER,
                                               [SN_JI_NAME_KWARGS] = SN_JI_USES_KWARGS,
                                               [SN_JI_NAME_VARARGS] = SN_JI_USES_VARARGS};
    if ((*out)->u.name < SN_JI_NNAME)
        p->uses |= uses[(*out)->u.name];
    return is_attr ? sn_ji_expect_name(p, &(*out)->text) : SN_OK;
}

/* [a, b] or {a: b, c: d}, and a comma behind the last. */
static SnStatus parse_display(SnJiParser *p, bool is_dict, SnJiNode **out)
{
    const uint32_t end = is_dict ? SN_JI_TOP(RBRACE) : SN_JI_TOP(RBRACKET);
    const uint32_t line = sn_ji_token(p)->line;
    const size_t from = p->kids.n;
    SnJiNode *item = NULL;
    p->at++;
    while (!sn_ji_at(p, end)) {
        if (p->kids.n > from)
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
        if (sn_ji_at(p, end))
            break;
        SN_TRY(sn_ji_parse_expr(p, true, &item));
        SN_TRY(sn_ji_push(p, item));
        if (!is_dict)
            continue;
        SN_TRY(sn_ji_expect(p, SN_JI_TOP(COLON)));
        SN_TRY(sn_ji_parse_expr(p, true, &item));
        SN_TRY(sn_ji_push(p, item));
    }
    p->at++;
    return sn_ji_node_of(p, is_dict ? SN_JI_N_DICT : SN_JI_N_LIST, line, from, out);
}

static SnStatus parse_primary(SnJiParser *p, bool is_target, SnJiNode **out)
{
    const SnJiToken *token = sn_ji_token(p);
    switch (token->type) {
    case SN_JI_T_NAME:
        return parse_name(p, is_target, out);
    case SN_JI_T_STRING:
        return parse_strings(p, out);
    case SN_JI_T_INT:
    case SN_JI_T_FLOAT:
        SN_TRY(constant(p, token->u.value, out));
        p->at++;
        return SN_OK;
    case SN_JI_TOP(LPAREN):
        p->at++;
        SN_TRY(sn_ji_parse_tuple(p, SN_JI_TUPLE_PARENS, out));
        return sn_ji_expect(p, SN_JI_TOP(RPAREN));
    case SN_JI_TOP(LBRACKET):
        return parse_display(p, false, out);
    case SN_JI_TOP(LBRACE):
        return parse_display(p, true, out);
    default:
        return sn_ji_unexpected(p, "an expression");
    }
}

static bool at_tuple_end(const SnJiParser *p, SnJiTupleForm form)
{
    return sn_ji_at(p, SN_JI_T_PRINT_END) || sn_ji_at(p, SN_JI_T_BLOCK_END) ||
           sn_ji_at(p, SN_JI_TOP(RPAREN)) || (form == SN_JI_TUPLE_FOR && sn_ji_at_name(p, "in")) ||
           (form == SN_JI_TUPLE_NO_IF && sn_ji_at_name(p, "recursive"));
}

SnStatus sn_ji_parse_tuple(SnJiParser *p, SnJiTupleForm form, SnJiNode **out)
{
    const bool is_target = form == SN_JI_TUPLE_FOR || form == SN_JI_TUPLE_SET;
    const uint32_t line = sn_ji_token(p)->line;
    const size_t from = p->kids.n;
    bool is_tuple = false;
    SN_TRY(sn_ji_enter(p));
    while (!at_tuple_end(p, form)) {
        SnJiNode *item = NULL;
        SN_TRY(is_target ? parse_primary(p, form == SN_JI_TUPLE_SET, &item)
                         : sn_ji_parse_expr(p, form != SN_JI_TUPLE_NO_IF, &item));
        SN_TRY(sn_ji_push(p, item));
        if (!sn_ji_skip(p, SN_JI_TOP(COMMA)))
            break;
        is_tuple = true;
    }
    p->nesting--;
    if (!is_tuple && p->kids.n == from + 1) {
        *out = p->kids.at[--p->kids.n];
        return SN_OK;
    }
    if (!is_tuple && form != SN_JI_TUPLE_PARENS)
        return sn_ji_unexpected(p, "an expression");
    return sn_ji_node_of(p, SN_JI_N_TUPLE, line, from, out);
}

/* ---- what follows a primary ---- */

static SnStatus parse_args(SnJiParser *p, SnJiNode *call)
{
    SnJiArgNode args[64];
    uint8_t stars = 0;
    SN_TRY(sn_ji_expect(p, SN_JI_TOP(LPAREN)));
    for (bool is_first = true; !sn_ji_at(p, SN_JI_TOP(RPAREN)); is_first = false) {
        if (!is_first) {
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
            if (sn_ji_at(p, SN_JI_TOP(RPAREN)))
                break;
        }
        if (call->narg == SN_COUNT(args))
            return sn_ji_syntax(p, "more than %zu arguments", SN_COUNT(args));
        SnJiArgNode *a = &args[call->narg++];
        *a = (SnJiArgNode){.stars = sn_ji_skip(p, SN_JI_TOP(MUL))   ? 1
                                    : sn_ji_skip(p, SN_JI_TOP(POW)) ? 2
                                                                    : 0};
        if (!a->stars && sn_ji_at(p, SN_JI_T_NAME) && p->tokens.at[p->at + 1].type == SN_JI_TOP(ASSIGN)) {
            a->name = sn_ji_token(p)->u.text;
            p->at += 2;
        }
        const uint8_t rank = a->stars == 2 ? 3 : a->stars == 1 ? 2 : a->name.n ? 1 : 0;
        /* Positional ones, keywords and *args, then **kwargs. */
        if (stars == 3 || (rank == 0 && stars > 0) || (rank == 2 && stars == 2))
            return sn_ji_syntax(p, "invalid syntax for function call expression");
        stars = rank > stars ? rank : stars;
        SN_TRY(sn_ji_parse_expr(p, true, &a->value));
    }
    p->at++;
    call->arg = sn_arena_array(p->arena, call->narg + 1, sizeof *call->arg);
    SN_CHECK(call->arg, p->err, SN_ENOMEM, "%s: no memory", p->name);
    memcpy(call->arg, args, call->narg * sizeof *args);
    return SN_OK;
}

SnStatus sn_ji_parse_call(SnJiParser *p, SnJiNode *node, SnJiNode **out)
{
    SN_TRY(sn_ji_node(p, SN_JI_N_CALL, sn_ji_token(p)->line, 1, out));
    (*out)->kid[0] = node;
    return parse_args(p, *out);
}

/* begin:end:step after [, each of which may be absent; or one expression, which is then no slice. */
static SnStatus parse_subscript(SnJiParser *p, SnJiNode *part[3], bool *is_slice)
{
    const uint32_t ends[] = {SN_JI_TOP(COLON), SN_JI_TOP(RBRACKET), SN_JI_TOP(COMMA)};
    for (int i = 0; i < 3; i++) {
        bool is_empty = false;
        for (size_t k = 0; k < SN_COUNT(ends); k++)
            is_empty = is_empty || sn_ji_at(p, ends[k]);
        if (is_empty && i == 0 && !sn_ji_at(p, SN_JI_TOP(COLON)))
            return sn_ji_unexpected(p, "an expression");
        if (!is_empty)
            SN_TRY(sn_ji_parse_expr(p, true, &part[i]));
        if (i == 2 || !sn_ji_skip(p, SN_JI_TOP(COLON)))
            break;
        *is_slice = true;
    }
    return SN_OK;
}

static SnStatus parse_item(SnJiParser *p, SnJiNode *node, SnJiNode **out)
{
    const uint32_t line = sn_ji_token(p)->line;
    const size_t from = p->kids.n;
    SnJiNode *part[3] = {NULL};
    bool is_slice = false;
    p->at++;
    while (!sn_ji_at(p, SN_JI_TOP(RBRACKET))) {
        if (p->kids.n > from) {
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
            part[0] = NULL;
        }
        SN_TRY(parse_subscript(p, part, &is_slice));
        if (is_slice) {
            if (p->kids.n > from || !sn_ji_at(p, SN_JI_TOP(RBRACKET)))
                return sn_ji_syntax(p, "a slice among several indices");
            break;
        }
        SN_TRY(sn_ji_push(p, part[0]));
    }
    p->at++;
    SN_TRY(sn_ji_node(p, is_slice ? SN_JI_N_SLICE : SN_JI_N_ITEM, line, is_slice ? 4 : 2, out));
    (*out)->kid[0] = node;
    if (is_slice) {
        memcpy((*out)->kid + 1, part, sizeof part);
        return SN_OK;
    }
    if (p->kids.n != from + 1)
        return sn_ji_node_of(p, SN_JI_N_TUPLE, line, from, &(*out)->kid[1]);
    (*out)->kid[1] = p->kids.at[--p->kids.n];
    return SN_OK;
}

static SnStatus parse_attr(SnJiParser *p, SnJiNode *node, SnJiNode **out)
{
    const uint32_t line = sn_ji_token(p)->line;
    p->at++;
    const SnJiToken *token = sn_ji_token(p);
    if (token->type == SN_JI_T_INT) {
        SN_TRY(sn_ji_node(p, SN_JI_N_ITEM, line, 2, out));
        (*out)->kid[0] = node;
        return parse_primary(p, false, &(*out)->kid[1]);
    }
    SN_TRY(sn_ji_node(p, SN_JI_N_ATTR, line, 1, out));
    (*out)->kid[0] = node;
    return sn_ji_expect_name(p, &(*out)->text);
}

static SnStatus parse_postfix(SnJiParser *p, SnJiNode **node)
{
    for (;;) {
        if (sn_ji_at(p, SN_JI_TOP(DOT)))
            SN_TRY(parse_attr(p, *node, node));
        else if (sn_ji_at(p, SN_JI_TOP(LBRACKET)))
            SN_TRY(parse_item(p, *node, node));
        else if (sn_ji_at(p, SN_JI_TOP(LPAREN)))
            SN_TRY(sn_ji_parse_call(p, *node, node));
        else
            return SN_OK;
    }
}

/* name.name... of a filter or test. An unknown one is an error now, or, under an if, when it is met. */
static SnStatus parse_row(SnJiParser *p, SnJiNodeKind kind, SnJiNode *operand, SnJiNode **out)
{
    SnBytes name, part;
    SN_TRY(sn_ji_node(p, kind, sn_ji_token(p)->line, 1, out));
    (*out)->kid[0] = operand;
    SN_TRY(sn_ji_expect_name(p, &name));
    while (sn_ji_skip(p, SN_JI_TOP(DOT))) {
        SN_TRY(sn_ji_expect_name(p, &part));
        name.n = (size_t)(part.at + part.n - name.at);
    }
    const bool is_filter = kind == SN_JI_N_FILTER;
    const SnJiRow *row = is_filter ? sn_ji_filter(name) : sn_ji_test(name);
    if (!row && !p->is_soft)
        return sn_ji_syntax(p, "no %s named '%.*s'", is_filter ? "filter" : "test", (int)name.n,
                            (const char *)name.at);
    (*out)->text = name;
    (*out)->v.row = row;
    return SN_OK;
}

SnStatus sn_ji_parse_filters(SnJiParser *p, bool is_begun, SnJiNode **node)
{
    while (is_begun || sn_ji_skip(p, SN_JI_TOP(PIPE))) {
        is_begun = false;
        SN_TRY(parse_row(p, SN_JI_N_FILTER, *node, node));
        if (sn_ji_at(p, SN_JI_TOP(LPAREN)))
            SN_TRY(parse_args(p, *node));
    }
    return SN_OK;
}

/* Does an argument without parentheses follow the name of a test? */
static bool at_test_arg(const SnJiParser *p)
{
    static const uint32_t begins[] = {SN_JI_T_NAME,  SN_JI_T_STRING,      SN_JI_T_INT,
                                      SN_JI_T_FLOAT, SN_JI_TOP(LBRACKET), SN_JI_TOP(LBRACE)};
    for (size_t i = 0; i < SN_COUNT(begins); i++)
        if (sn_ji_at(p, begins[i]))
            return !sn_ji_at_name(p, "else") && !sn_ji_at_name(p, "or") && !sn_ji_at_name(p, "and");
    return false;
}

static SnStatus parse_test(SnJiParser *p, SnJiNode *node, SnJiNode **out)
{
    const uint32_t line = sn_ji_token(p)->line;
    SnJiNode *test = NULL;
    p->at++;
    const bool is_negated = sn_ji_skip_name(p, "not");
    SN_TRY(parse_row(p, SN_JI_N_TEST, node, &test));
    if (sn_ji_at(p, SN_JI_TOP(LPAREN))) {
        SN_TRY(parse_args(p, test));
    } else if (at_test_arg(p)) {
        if (sn_ji_at_name(p, "is"))
            return sn_ji_syntax(p, "tests cannot be chained with is");
        test->arg = sn_arena_array(p->arena, 1, sizeof *test->arg);
        SN_CHECK(test->arg, p->err, SN_ENOMEM, "%s: no memory", p->name);
        test->narg = 1;
        SN_TRY(parse_primary(p, false, &test->arg->value));
        SN_TRY(parse_postfix(p, &test->arg->value));
    }
    *out = test;
    if (is_negated) {
        SN_TRY(sn_ji_node(p, SN_JI_N_NOT, line, 1, out));
        (*out)->kid[0] = test;
    }
    return SN_OK;
}

static SnStatus parse_filters_and_tests(SnJiParser *p, SnJiNode **node)
{
    for (;;) {
        if (sn_ji_at(p, SN_JI_TOP(PIPE)))
            SN_TRY(sn_ji_parse_filters(p, false, node));
        else if (sn_ji_at_name(p, "is"))
            SN_TRY(parse_test(p, *node, node));
        else if (sn_ji_at(p, SN_JI_TOP(LPAREN)))
            SN_TRY(sn_ji_parse_call(p, *node, node));
        else
            return SN_OK;
    }
}

static SnStatus parse_unary(SnJiParser *p, bool with_filters, SnJiNode **out)
{
    const bool is_neg = sn_ji_at(p, SN_JI_TOP(SUB));
    SN_TRY(sn_ji_enter(p));
    if (is_neg || sn_ji_at(p, SN_JI_TOP(ADD))) {
        SN_TRY(sn_ji_node(p, is_neg ? SN_JI_N_NEG : SN_JI_N_POS, sn_ji_token(p)->line, 1, out));
        p->at++;
        SN_TRY(parse_unary(p, false, &(*out)->kid[0]));
    } else {
        SN_TRY(parse_primary(p, false, out));
    }
    SN_TRY(parse_postfix(p, out));
    if (with_filters)
        SN_TRY(parse_filters_and_tests(p, out));
    p->nesting--;
    return SN_OK;
}

/* ---- operators ---- */

/* What binds loosest comes first; ops end with SN_JI_OP_IN. */
static const struct {
    SnJiNodeKind kind;
    uint8_t ops[8];
} levels[] = {
    {SN_JI_N_COMPARE,
     {SN_JI_OP_EQ, SN_JI_OP_NE, SN_JI_OP_LT, SN_JI_OP_LE, SN_JI_OP_GT, SN_JI_OP_GE, SN_JI_OP_IN}},
    {SN_JI_N_MATH, {SN_JI_OP_ADD, SN_JI_OP_SUB, SN_JI_OP_IN}},
    {SN_JI_N_CONCAT, {SN_JI_OP_TILDE, SN_JI_OP_IN}},
    {SN_JI_N_MATH, {SN_JI_OP_MUL, SN_JI_OP_DIV, SN_JI_OP_FLOORDIV, SN_JI_OP_MOD, SN_JI_OP_IN}},
    {SN_JI_N_MATH, {SN_JI_OP_POW, SN_JI_OP_IN}},
};

/* The operator of a level that comes next, and past it; false: there is none. */
static bool take_op(SnJiParser *p, size_t level, uint8_t *op)
{
    size_t i = 0;
    while (levels[level].ops[i] != SN_JI_OP_IN && !sn_ji_skip(p, SN_JI_T_OP + levels[level].ops[i]))
        i++;
    *op = levels[level].ops[i];
    if (*op != SN_JI_OP_IN || levels[level].kind != SN_JI_N_COMPARE)
        return *op != SN_JI_OP_IN;
    const SnJiToken *next = sn_ji_token(p) + 1;
    if (!sn_ji_at_name(p, "not") || next->type != SN_JI_T_NAME || !sn_bytes_is(next->u.text, "in"))
        return sn_ji_skip_name(p, "in");
    *op = SN_JI_OP_NOT_IN;
    p->at += 2;
    return true;
}

/* operand (op operand)* */
static SnStatus parse_chain(SnJiParser *p, size_t level, SnJiNode **out)
{
    const size_t from = p->kids.n;
    const uint32_t line = sn_ji_token(p)->line;
    SnJiNode *kid = NULL;
    uint8_t met[256], op = 0;
    do {
        if (p->kids.n > from)
            met[p->kids.n - from] = op;
        SN_TRY(level + 1 < SN_COUNT(levels) ? parse_chain(p, level + 1, &kid) : parse_unary(p, true, &kid));
        SN_TRY(sn_ji_push(p, kid));
        if (p->kids.n - from >= sizeof met)
            return sn_ji_syntax(p, "more than %zu operators in a row", sizeof met);
    } while (take_op(p, level, &op));
    const size_t n = p->kids.n - from;
    if (n == 1) {
        *out = p->kids.at[--p->kids.n];
        return SN_OK;
    }
    uint8_t *own = sn_arena_array(p->arena, n, 1);
    SN_CHECK(own, p->err, SN_ENOMEM, "%s: no memory", p->name);
    memcpy(own + 1, met + 1, n - 1);
    SN_TRY(sn_ji_node_of(p, levels[level].kind, line, from, out));
    (*out)->u.op = own;
    return SN_OK;
}

static SnStatus parse_not(SnJiParser *p, SnJiNode **out)
{
    const uint32_t line = sn_ji_token(p)->line;
    if (!sn_ji_skip_name(p, "not"))
        return parse_chain(p, 0, out);
    SN_TRY(sn_ji_enter(p));
    SN_TRY(sn_ji_node(p, SN_JI_N_NOT, line, 1, out));
    SN_TRY(parse_not(p, &(*out)->kid[0]));
    p->nesting--;
    return SN_OK;
}

/* operand (word operand)*: of `or` those of `and`. */
static SnStatus parse_words(SnJiParser *p, bool is_or, SnJiNode **out)
{
    const size_t from = p->kids.n;
    const uint32_t line = sn_ji_token(p)->line;
    SnJiNode *kid = NULL;
    do {
        SN_TRY(is_or ? parse_words(p, false, &kid) : parse_not(p, &kid));
        SN_TRY(sn_ji_push(p, kid));
    } while (sn_ji_skip_name(p, is_or ? "or" : "and"));
    if (p->kids.n > from + 1)
        return sn_ji_node_of(p, is_or ? SN_JI_N_OR : SN_JI_N_AND, line, from, out);
    *out = p->kids.at[--p->kids.n];
    return SN_OK;
}

SnStatus sn_ji_parse_expr(SnJiParser *p, bool with_if, SnJiNode **out)
{
    const bool was_soft = p->is_soft;
    SN_TRY(sn_ji_enter(p));
    SN_TRY(parse_words(p, true, out));
    while (with_if && sn_ji_at_name(p, "if")) {
        SnJiNode *value = *out;
        SN_TRY(sn_ji_node(p, SN_JI_N_COND, sn_ji_token(p)->line, 3, out));
        p->at++;
        p->is_soft = true;
        (*out)->kid[0] = value;
        SN_TRY(parse_words(p, true, &(*out)->kid[1]));
        if (sn_ji_skip_name(p, "else"))
            SN_TRY(sn_ji_parse_expr(p, true, &(*out)->kid[2]));
        p->is_soft = was_soft;
    }
    p->nesting--;
    return SN_OK;
}

SnStatus sn_ji_parse_target(SnJiParser *p, SnJiTupleForm form, SnJiNode **out)
{
    const uint32_t uses = p->uses;
    SN_TRY(sn_ji_parse_tuple(p, form, out));
    p->uses = uses;
    const SnJiNode *single = *out;
    const bool is_tuple = single->kind == SN_JI_N_TUPLE;
    for (uint32_t i = 0; i < (is_tuple ? single->n : 1); i++) {
        const SnJiNode *t = is_tuple ? single->kid[i] : single;
        if (t->kind == SN_JI_N_TUPLE)
            return sn_ji_syntax(p, "tuples within tuples as targets");
        if (t->kind != SN_JI_N_NAME && t->kind != SN_JI_N_NSREF)
            return sn_ji_syntax(p, "cannot assign to this expression");
        if (t->kind == SN_JI_N_NAME && t->u.name == SN_JI_NAME_LOOP && (p->in_for || form == SN_JI_TUPLE_FOR))
            return sn_ji_syntax(p, "cannot assign to the special loop variable");
    }
    return SN_OK;
}
