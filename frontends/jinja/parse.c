/* parse.c -- statements of a template, and what both halves of the parser share. */
#include "frontends/jinja/node.h"
#include "frontends/jinja/run.h"

#include <stdio.h>

static const char *const token_text[] = {[SN_JI_T_EOF] = "end of template",
                                         [SN_JI_T_DATA] = "text",
                                         [SN_JI_T_BLOCK_BEGIN] = "begin of statement block",
                                         [SN_JI_T_BLOCK_END] = "end of statement block",
                                         [SN_JI_T_PRINT_BEGIN] = "begin of print statement",
                                         [SN_JI_T_PRINT_END] = "end of print statement",
                                         [SN_JI_T_NAME] = "name",
                                         [SN_JI_T_STRING] = "string",
                                         [SN_JI_T_INT] = "integer",
                                         [SN_JI_T_FLOAT] = "float",
#define X(id, text) [SN_JI_TOP(id)] = text,
                                         SN_JI_OPS(X)
#undef X
};

SnStatus sn_ji_syntax(const SnJiParser *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const SnStatus st = sn_failv(p->err, SN_EFORMAT, format, args);
    va_end(args);
    char where[128];
    (void)snprintf(where, sizeof where, "%.90s, line %u", p->name, sn_ji_token(p)->line);
    return p->err ? sn_fail_in(p->err, st, where) : st;
}

SnStatus sn_ji_unexpected(const SnJiParser *p, const char *wanted)
{
    const SnJiToken *t = sn_ji_token(p);
    if (t->type == SN_JI_T_NAME)
        return sn_ji_syntax(p, "expected %s, got '%.*s'", wanted, (int)(t->u.text.n < 80 ? t->u.text.n : 80),
                            (const char *)t->u.text.at);
    return sn_ji_syntax(p, "expected %s, got %s", wanted, token_text[t->type]);
}

bool sn_ji_at_name(const SnJiParser *p, const char *name)
{
    return sn_ji_at(p, SN_JI_T_NAME) && sn_bytes_is(sn_ji_token(p)->u.text, name);
}

bool sn_ji_skip(SnJiParser *p, uint32_t type)
{
    const bool is_there = sn_ji_at(p, type);
    p->at += is_there;
    return is_there;
}

bool sn_ji_skip_name(SnJiParser *p, const char *name)
{
    const bool is_there = sn_ji_at_name(p, name);
    p->at += is_there;
    return is_there;
}

SnStatus sn_ji_expect(SnJiParser *p, uint32_t type)
{
    return sn_ji_skip(p, type) ? SN_OK : sn_ji_unexpected(p, token_text[type]);
}

SnStatus sn_ji_expect_name(SnJiParser *p, SnBytes *out)
{
    if (!sn_ji_at(p, SN_JI_T_NAME))
        return sn_ji_unexpected(p, "a name");
    *out = sn_ji_token(p)->u.text;
    p->at++;
    return SN_OK;
}

static SnStatus expect_word(SnJiParser *p, const char *word)
{
    return sn_ji_skip_name(p, word) ? SN_OK : sn_ji_unexpected(p, word);
}

SnStatus sn_ji_name_id(SnJiParser *p, SnBytes name, uint32_t *out)
{
    for (size_t i = 0; i < p->names.n; i++)
        if (sn_bytes_equal(p->names.at[i], name)) {
            *out = (uint32_t)i;
            return SN_OK;
        }
    if (p->names.n == SN_JI_MAX_NAMES)
        return sn_ji_syntax(p, "more than %d variables", SN_JI_MAX_NAMES);
    *out = (uint32_t)p->names.n;
    SN_CHECK(sn_vec_push(p->memory, &p->names, name), p->err, SN_ENOMEM, "%s: no memory", p->name);
    return SN_OK;
}

SnStatus sn_ji_node(SnJiParser *p, SnJiNodeKind kind, uint32_t line, uint32_t n, SnJiNode **out)
{
    SnJiNode *node = sn_arena_alloc(p->arena, sizeof *node);
    SnJiNode **kid = n ? sn_arena_array(p->arena, n, sizeof(SnJiNode *)) : NULL;
    SN_CHECK(node && (kid || !n), p->err, SN_ENOMEM, "%s: no memory", p->name);
    *node = (SnJiNode){.kind = (uint8_t)kind, .line = line, .n = n, .kid = kid};
    *out = node;
    return SN_OK;
}

SnStatus sn_ji_push(SnJiParser *p, SnJiNode *kid)
{
    SN_CHECK(sn_vec_push(p->memory, &p->kids, kid), p->err, SN_ENOMEM, "%s: no memory", p->name);
    return SN_OK;
}

SnStatus sn_ji_node_of(SnJiParser *p, SnJiNodeKind kind, uint32_t line, size_t from, SnJiNode **out)
{
    const size_t n = p->kids.n - from;
    SN_TRY(sn_ji_node(p, kind, line, (uint32_t)n, out));
    if (n)
        memcpy((*out)->kid, p->kids.at + from, n * sizeof(SnJiNode *));
    p->kids.n = from;
    return SN_OK;
}

SnStatus sn_ji_enter(SnJiParser *p)
{
    if (p->nesting == SN_JI_MAX_NESTING)
        return sn_ji_syntax(p, "nested more than %d deep", SN_JI_MAX_NESTING);
    p->nesting++;
    return SN_OK;
}

/* ---- bodies ---- */

static SnStatus parse_body(SnJiParser *p, const char *const *ends, SnJiNode **out);

/* From the end of the tag to a tag that begins with one of the words (which is then next). */
static SnStatus parse_until(SnJiParser *p, const char *const *ends, SnJiNode **out)
{
    (void)sn_ji_skip(p, SN_JI_TOP(COLON));
    SN_TRY(sn_ji_expect(p, SN_JI_T_BLOCK_END));
    SN_TRY(parse_body(p, ends, out));
    return sn_ji_at(p, SN_JI_T_EOF) ? sn_ji_unexpected(p, ends[0]) : SN_OK;
}

/* The same with one word, and past it. */
static SnStatus parse_to(SnJiParser *p, const char *end, SnJiNode **out)
{
    const char *const ends[] = {end, NULL};
    SN_TRY(parse_until(p, ends, out));
    p->at++;
    return SN_OK;
}

/* What is parsed inside is another function: loops end here, and what it uses is noted. */
typedef struct Outer {
    uint32_t loops, uses;
    bool is_soft;
} Outer;

static Outer begin_function(SnJiParser *p)
{
    const Outer o = {p->loops, p->uses, p->is_soft};
    p->loops = p->uses = 0;
    p->is_soft = false;
    return o;
}

static void end_function(SnJiParser *p, Outer o)
{
    p->loops = o.loops;
    p->uses |= o.uses;
    p->is_soft = o.is_soft;
}

/* ---- statements: the name of the tag is taken already ---- */

static SnStatus parse_if(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    const size_t from = p->kids.n;
    const bool was_soft = p->is_soft;
    p->is_soft = true;
    do {
        SnJiNode *test = NULL, *body = NULL;
        SN_TRY(sn_ji_parse_tuple(p, SN_JI_TUPLE_NO_IF, &test));
        SN_TRY(sn_ji_push(p, test));
        SN_TRY(parse_until(p, ends, &body));
        SN_TRY(sn_ji_push(p, body));
    } while (sn_ji_skip_name(p, "elif"));
    if (sn_ji_skip_name(p, "else")) {
        SnJiNode *body = NULL;
        SN_TRY(parse_to(p, "endif", &body));
        SN_TRY(sn_ji_push(p, body));
    } else {
        p->at++;
    }
    p->is_soft = was_soft;
    return sn_ji_node_of(p, SN_JI_N_IF, line, from, out);
}

static SnStatus parse_for(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    const bool was_soft = p->is_soft, was_in_for = p->in_for;
    SN_TRY(sn_ji_node(p, SN_JI_N_FOR, line, 5, out));
    SnJiNode **kid = (*out)->kid;
    SN_TRY(sn_ji_parse_target(p, SN_JI_TUPLE_FOR, &kid[0]));
    SN_TRY(expect_word(p, "in"));
    SN_TRY(sn_ji_parse_tuple(p, SN_JI_TUPLE_NO_IF, &kid[1]));
    p->is_soft = false;
    if (sn_ji_skip_name(p, "if"))
        SN_TRY(sn_ji_parse_expr(p, true, &kid[2]));
    (*out)->flag = sn_ji_skip_name(p, "recursive");
    p->in_for = true;
    p->loops++;
    SN_TRY(parse_until(p, ends, &kid[3]));
    p->loops--;
    if (sn_ji_skip_name(p, "else"))
        SN_TRY(parse_to(p, "endfor", &kid[4]));
    else
        p->at++;
    p->is_soft = was_soft;
    p->in_for = was_in_for;
    return SN_OK;
}

static SnStatus parse_set(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SnJiNode *target = NULL;
    SN_TRY(sn_ji_parse_target(p, SN_JI_TUPLE_SET, &target));
    if (sn_ji_skip(p, SN_JI_TOP(ASSIGN))) {
        SN_TRY(sn_ji_node(p, SN_JI_N_SET, line, 2, out));
        (*out)->kid[0] = target;
        return sn_ji_parse_tuple(p, SN_JI_TUPLE_FULL, &(*out)->kid[1]);
    }
    SN_TRY(sn_ji_node(p, SN_JI_N_TEXTBLOCK, line, 3, out));
    (*out)->kid[0] = target;
    SN_TRY(sn_ji_parse_filters(p, false, &(*out)->kid[1]));
    return parse_to(p, "endset", &(*out)->kid[2]);
}

static SnStatus parse_params(SnJiParser *p, SnJiNode *macro)
{
    SnJiParam params[64];
    SN_TRY(sn_ji_expect(p, SN_JI_TOP(LPAREN)));
    while (!sn_ji_at(p, SN_JI_TOP(RPAREN))) {
        SnBytes name;
        if (macro->narg)
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
        if (macro->narg == SN_COUNT(params))
            return sn_ji_syntax(p, "more than %zu parameters", SN_COUNT(params));
        SnJiParam *param = &params[macro->narg];
        *param = (SnJiParam){0};
        SN_TRY(sn_ji_expect_name(p, &name));
        SN_TRY(sn_ji_name_id(p, name, &param->name));
        if (sn_ji_skip(p, SN_JI_TOP(ASSIGN)))
            SN_TRY(sn_ji_parse_expr(p, true, &param->usual));
        else if (macro->narg && params[macro->narg - 1].usual)
            return sn_ji_syntax(p, "non-default argument follows default argument");
        for (uint32_t i = 0; i < macro->narg; i++)
            if (params[i].name == param->name)
                return sn_ji_syntax(p, "a parameter named twice");
        macro->narg++;
    }
    p->at++;
    macro->v.param = sn_arena_array(p->arena, macro->narg + 1, sizeof *params);
    SN_CHECK(macro->v.param, p->err, SN_ENOMEM, "%s: no memory", p->name);
    memcpy(macro->v.param, params, macro->narg * sizeof *params);
    return SN_OK;
}

/* The body of a function, and which special names it uses that are not parameters of it. */
static SnStatus parse_function(SnJiParser *p, const char *end, SnJiNode *macro, SnJiNode **body)
{
    const Outer outer = begin_function(p);
    SN_TRY(parse_to(p, end, body));
    macro->flag = (uint8_t)p->uses;
    for (uint32_t i = 0; i < macro->narg; i++) {
        const uint32_t name = macro->v.param[i].name;
        const uint8_t use = name == SN_JI_NAME_KWARGS    ? SN_JI_USES_KWARGS
                            : name == SN_JI_NAME_VARARGS ? SN_JI_USES_VARARGS
                                                         : 0;
        macro->flag &= (uint8_t)~use;
        if (name == SN_JI_NAME_CALLER && macro->flag & SN_JI_USES_CALLER && !macro->v.param[i].usual)
            return sn_ji_syntax(p, "the special parameter \"caller\" must be omitted or be given a default");
    }
    end_function(p, outer);
    return SN_OK;
}

static SnStatus parse_macro(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SnBytes name;
    SN_TRY(sn_ji_node(p, SN_JI_N_MACRO, line, 1, out));
    SN_TRY(sn_ji_expect_name(p, &name));
    SN_TRY(sn_ji_name_id(p, name, &(*out)->u.name));
    SN_TRY(parse_params(p, *out));
    return parse_function(p, "endmacro", *out, &(*out)->kid[0]);
}

static SnStatus parse_call_block(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SN_TRY(sn_ji_node(p, SN_JI_N_CALLBLOCK, line, 2, out));
    if (sn_ji_at(p, SN_JI_TOP(LPAREN)))
        SN_TRY(parse_params(p, *out));
    SN_TRY(sn_ji_parse_expr(p, true, &(*out)->kid[0]));
    if ((*out)->kid[0]->kind != SN_JI_N_CALL)
        return sn_ji_syntax(p, "expected a call");
    return parse_function(p, "endcall", *out, &(*out)->kid[1]);
}

static SnStatus parse_filter_block(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SN_TRY(sn_ji_node(p, SN_JI_N_TEXTBLOCK, line, 3, out));
    SN_TRY(sn_ji_parse_filters(p, true, &(*out)->kid[1]));
    return parse_to(p, "endfilter", &(*out)->kid[2]);
}

static SnStatus parse_with(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    const size_t from = p->kids.n;
    SN_TRY(sn_ji_push(p, NULL));
    while (!sn_ji_at(p, SN_JI_T_BLOCK_END)) {
        SnJiNode *target = NULL, *value = NULL;
        if (p->kids.n > from + 1)
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
        SN_TRY(sn_ji_parse_target(p, SN_JI_TUPLE_FULL, &target));
        SN_TRY(sn_ji_expect(p, SN_JI_TOP(ASSIGN)));
        SN_TRY(sn_ji_parse_expr(p, true, &value));
        SN_TRY(sn_ji_push(p, target));
        SN_TRY(sn_ji_push(p, value));
    }
    SN_TRY(sn_ji_node_of(p, SN_JI_N_WITH, line, from, out));
    return parse_to(p, "endwith", &(*out)->kid[0]);
}

static SnStatus parse_generation(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SN_TRY(sn_ji_node(p, SN_JI_N_GENERATION, line, 1, out));
    const Outer outer = begin_function(p);
    SN_TRY(parse_to(p, "endgeneration", &(*out)->kid[0]));
    end_function(p, outer);
    return SN_OK;
}

static SnStatus parse_print(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    const size_t from = p->kids.n;
    SnJiNode *value = NULL;
    while (!sn_ji_at(p, SN_JI_T_BLOCK_END)) {
        if (p->kids.n > from)
            SN_TRY(sn_ji_expect(p, SN_JI_TOP(COMMA)));
        SN_TRY(sn_ji_parse_expr(p, true, &value));
        SN_TRY(sn_ji_push(p, value));
    }
    return sn_ji_node_of(p, SN_JI_N_PRINT, line, from, out);
}

static SnStatus parse_block(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    SnBytes name;
    SN_TRY(sn_ji_expect_name(p, &name));
    (void)sn_ji_skip_name(p, "scoped");
    SN_TRY(sn_ji_node(p, SN_JI_N_WITH, line, 1, out));
    const Outer outer = begin_function(p);
    SN_TRY(parse_to(p, "endblock", &(*out)->kid[0]));
    end_function(p, outer);
    if (sn_ji_at(p, SN_JI_T_NAME) && sn_bytes_equal(sn_ji_token(p)->u.text, name))
        p->at++;
    return SN_OK;
}

/* {% break %} and {% continue %} */
static SnStatus parse_jump(SnJiParser *p, uint32_t line, SnJiNode **out)
{
    const bool is_break = sn_bytes_is(p->tokens.at[p->at - 1].u.text, "break");
    if (p->loops == 0)
        return sn_ji_syntax(p, "%s outside of a loop", is_break ? "break" : "continue");
    return sn_ji_node(p, is_break ? SN_JI_N_BREAK : SN_JI_N_CONTINUE, line, 0, out);
}

static const struct {
    const char *tag;
    SnStatus (*parse)(SnJiParser *p, uint32_t line, SnJiNode **out); /* NULL: refused */
} statements[] = {
    {"if", parse_if},       {"for", parse_for},         {"set", parse_set},
    {"macro", parse_macro}, {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},   {"print", parse_print},     {"block", parse_block},
    {"break", parse_jump},  {"continue", parse_jump},   {"generation", parse_generation},
    {"include", NULL},      {"import", NULL},           {"from", NULL},
    {"extends", NULL},      {"autoescape", NULL},
};

static SnStatus parse_statement(SnJiParser *p, SnJiNode **out)
{
    const SnJiToken *token = sn_ji_token(p);
    if (token->type != SN_JI_T_NAME)
        return sn_ji_unexpected(p, "the name of a tag");
    for (size_t i = 0; i < SN_COUNT(statements); i++)
        if (sn_bytes_is(token->u.text, statements[i].tag)) {
            if (!statements[i].parse)
                return sn_ji_syntax(p, "the tag %s is not supported: a template stands alone",
                                    statements[i].tag);
            p->at++;
            return statements[i].parse(p, token->line, out);
        }
    return sn_ji_syntax(p, "unknown tag '%.*s'", (int)(token->u.text.n < 80 ? token->u.text.n : 80),
                        (const char *)token->u.text.at);
}

static bool at_end(const SnJiParser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (sn_ji_at_name(p, *ends))
            return true;
    return false;
}

static SnStatus parse_part(SnJiParser *p, SnJiNode **out)
{
    const SnJiToken *token = sn_ji_token(p);
    p->at++;
    if (token->type == SN_JI_T_DATA) {
        SN_TRY(sn_ji_node(p, SN_JI_N_DATA, token->line, 0, out));
        (*out)->u.value = sn_ji_text_value((const char *)token->u.text.at, token->u.text.n);
        return SN_OK;
    }
    if (token->type == SN_JI_T_PRINT_BEGIN) {
        SN_TRY(sn_ji_node(p, SN_JI_N_PRINT, token->line, 1, out));
        SN_TRY(sn_ji_parse_tuple(p, SN_JI_TUPLE_FULL, &(*out)->kid[0]));
        return sn_ji_expect(p, SN_JI_T_PRINT_END);
    }
    SN_TRY(parse_statement(p, out));
    return sn_ji_expect(p, SN_JI_T_BLOCK_END);
}

static SnStatus parse_body(SnJiParser *p, const char *const *ends, SnJiNode **out)
{
    const size_t from = p->kids.n;
    const uint32_t line = sn_ji_token(p)->line;
    SnJiNode *part = NULL;
    SN_TRY(sn_ji_enter(p));
    while (!sn_ji_at(p, SN_JI_T_EOF)) {
        if (sn_ji_at(p, SN_JI_T_BLOCK_BEGIN)) {
            p->at++;
            if (at_end(p, ends))
                break;
            p->at--;
        }
        SN_TRY(parse_part(p, &part));
        SN_TRY(sn_ji_push(p, part));
    }
    p->nesting--;
    return sn_ji_node_of(p, SN_JI_N_BODY, line, from, out);
}

/* ---- constants ---- */

#define CONSTANT 1u /* of constants alone */
#define SLICES   2u /* with a slice somewhere */

/* Filters that jinja2 does not compute ahead: they see the context. */
static bool is_late(const SnJiNode *n)
{
    static const char *const late[] = {"map", "select", "reject", "selectattr", "rejectattr", "random"};
    bool found = !n->v.row || !n->kid[0];
    for (size_t i = 0; i < SN_COUNT(late) && !found; i++)
        found = strcmp(n->v.row->name, late[i]) == 0;
    return found;
}

static SnJiNode *part_of(const SnJiNode *n, uint32_t i)
{
    return i < n->n ? n->kid[i] : n->arg[i - n->n].value;
}

/* What a node is; the largest constants with slices are marked, as deep as anybody writes templates. */
static uint32_t fold(SnJiNode *n, int depth)
{
    const bool is_call =
        n && (n->kind == SN_JI_N_CALL || n->kind == SN_JI_N_FILTER || n->kind == SN_JI_N_TEST);
    uint32_t is = CONSTANT;
    if (!n || n->kind == SN_JI_N_CONST)
        return CONSTANT;
    if (depth == SN_JI_MAX_NESTING || n->kind == SN_JI_N_NAME || n->kind == SN_JI_N_NSREF)
        return 0;
    const uint32_t parts = n->n + (is_call ? n->narg : 0),
                   print = n->kind == SN_JI_N_PRINT ? SN_JI_PRINTED : 0;
    for (uint32_t i = 0; i < parts; i++) {
        SnJiNode *kid = part_of(n, i);
        const uint32_t part = fold(kid, depth + 1);
        if (part == (CONSTANT | SLICES))
            kid->flag |= (uint8_t)(SN_JI_FOLDS | print);
        is = (is & part & CONSTANT) | ((is | part) & SLICES);
    }
    if (n->kind >= SN_JI_N_BODY || n->kind == SN_JI_N_CALL || (n->kind == SN_JI_N_FILTER && is_late(n)))
        return 0;
    return is & CONSTANT ? is | (n->kind == SN_JI_N_SLICE ? SLICES : 0) : 0;
}

static SnStatus parse_all(SnJiParser *p, SnJinja *t)
{
    static const char *const first[SN_JI_NNAME] = {
        [SN_JI_NAME_LOOP] = "loop",
        [SN_JI_NAME_CALLER] = "caller",
        [SN_JI_NAME_KWARGS] = "kwargs",
        [SN_JI_NAME_VARARGS] = "varargs",
    };
    uint32_t id;
    for (size_t i = 0; i < SN_JI_NNAME; i++)
        SN_TRY(sn_ji_name_id(p, sn_bytes_str(first[i]), &id));
    SN_TRY(parse_body(p, NULL, &t->body));
    (void)fold(t->body, 0);
    SnBytes *names = sn_arena_array(p->arena, p->names.n, sizeof *names);
    SN_CHECK(names, p->err, SN_ENOMEM, "%s: no memory", p->name);
    memcpy(names, p->names.at, p->names.n * sizeof *names);
    t->names = names;
    t->nname = (uint32_t)p->names.n;
    return SN_OK;
}

SnStatus sn_jinja_parse(SnArena *arena, const char *name, SnBytes text, SnJinja **out, SnError *err)
{
    SnJiParser p = {.arena = arena, .memory = arena->memory, .err = err};
    SnJinja *t = sn_arena_alloc(arena, sizeof *t);
    p.name = sn_arena_strndup(arena, name, strlen(name));
    SN_CHECK(t && p.name, err, SN_ENOMEM, "%s: no memory", name);
    t->name = p.name;
    SN_TRY(sn_ji_lex(arena, p.name, text, &p.tokens, err));
    const SnStatus st = parse_all(&p, t);
    sn_vec_clear(p.memory, &p.names);
    sn_vec_clear(p.memory, &p.kids);
    if (st == SN_OK)
        *out = t;
    return st;
}
