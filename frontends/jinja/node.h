/* node.h -- a parsed template: tokens, nodes, and the rows that names of filters and tests lead to. */
#ifndef SN_JINJA_NODE_H
#define SN_JINJA_NODE_H

#include "frontends/jinja/value.h"

/* ---- tokens ---- */
typedef enum SnJiTok {
    SN_JI_T_EOF,
    SN_JI_T_DATA,
    SN_JI_T_BLOCK_BEGIN,
    SN_JI_T_BLOCK_END,
    SN_JI_T_PRINT_BEGIN,
    SN_JI_T_PRINT_END,
    SN_JI_T_NAME,
    SN_JI_T_STRING,
    SN_JI_T_INT,
    SN_JI_T_FLOAT,
    SN_JI_T_OP /* and above: SN_JI_T_OP + index into the table of operators */
} SnJiTok;

#define SN_JI_OPS(X)                                                                                         \
    X(POW, "**")                                                                                             \
    X(FLOORDIV, "//")                                                                                        \
    X(EQ, "==")                                                                                              \
    X(NE, "!=")                                                                                              \
    X(GE, ">=")                                                                                              \
    X(LE, "<=")                                                                                              \
    X(ADD, "+")                                                                                              \
    X(SUB, "-")                                                                                              \
    X(DIV, "/")                                                                                              \
    X(MUL, "*")                                                                                              \
    X(MOD, "%")                                                                                              \
    X(TILDE, "~")                                                                                            \
    X(LBRACKET, "[")                                                                                         \
    X(RBRACKET, "]")                                                                                         \
    X(LPAREN, "(")                                                                                           \
    X(RPAREN, ")")                                                                                           \
    X(LBRACE, "{")                                                                                           \
    X(RBRACE, "}")                                                                                           \
    X(GT, ">")                                                                                               \
    X(LT, "<")                                                                                               \
    X(ASSIGN, "=")                                                                                           \
    X(DOT, ".")                                                                                              \
    X(COLON, ":")                                                                                            \
    X(PIPE, "|")                                                                                             \
    X(COMMA, ",")                                                                                            \
    X(SEMICOLON, ";")
typedef enum SnJiOp {
#define X(id, text) SN_JI_OP_##id,
    SN_JI_OPS(X)
#undef X
        SN_JI_OP_IN,
    SN_JI_OP_NOT_IN
} SnJiOp;
#define SN_JI_TOP(id) ((int)SN_JI_T_OP + (int)SN_JI_OP_##id)

typedef struct SnJiToken {
    uint32_t type, line; /* SnJiTok, or SN_JI_TOP */
    union {
        SnBytes text;    /* DATA, NAME, STRING */
        SnJiValue value; /* INT, FLOAT */
    } u;
} SnJiToken;

typedef struct SnJiTokens {
    SnJiToken *at; /* the last one is EOF */
    size_t n;
} SnJiTokens;
SN_MUST_CHECK SnStatus sn_ji_lex(SnArena *arena, const char *name, SnBytes text, SnJiTokens *out,
                                 SnError *err);

/* ---- nodes ---- */
typedef enum SnJiNodeKind {
    /* expressions */
    SN_JI_N_CONST,   /* value */
    SN_JI_N_NAME,    /* name */
    SN_JI_N_LIST,    /* kid[] */
    SN_JI_N_TUPLE,   /* kid[] */
    SN_JI_N_DICT,    /* kid[]: key, value, key, value ... */
    SN_JI_N_MATH,    /* kid[0] op[1] kid[1] op[2] kid[2] ...: from left to right */
    SN_JI_N_COMPARE, /* likewise, as a chain of Python */
    SN_JI_N_CONCAT,  /* kid[0] ~ kid[1] ~ ... */
    SN_JI_N_AND,     /* kid[] */
    SN_JI_N_OR,      /* kid[] */
    SN_JI_N_NOT,     /* kid[0] */
    SN_JI_N_NEG,     /* kid[0] */
    SN_JI_N_POS,     /* kid[0] */
    SN_JI_N_COND,    /* kid[0] if kid[1] else kid[2] (or NULL) */
    SN_JI_N_ATTR,    /* kid[0].text */
    SN_JI_N_ITEM,    /* kid[0][kid[1]] */
    SN_JI_N_SLICE,   /* kid[0][kid[1]:kid[2]:kid[3]], each of the three may be NULL */
    SN_JI_N_CALL,    /* kid[0](args) */
    SN_JI_N_FILTER,  /* kid[0]|row(args); kid[0] NULL: what the block wrote */
    SN_JI_N_TEST,    /* kid[0] is row(args) */
    SN_JI_N_NSREF,   /* name.text, as a target */
    /* statements */
    SN_JI_N_BODY,       /* kid[] */
    SN_JI_N_DATA,       /* value */
    SN_JI_N_PRINT,      /* kid[] */
    SN_JI_N_IF,         /* kid[]: test, body, test, body ..., and one body more: else */
    SN_JI_N_FOR,        /* kid[]: target, iterable, test or NULL, body, else or NULL; flag: recursive */
    SN_JI_N_SET,        /* kid[]: target, value */
    SN_JI_N_TEXTBLOCK,  /* kid[]: target or NULL (it is put), filters or NULL, body */
    SN_JI_N_MACRO,      /* name, kid[0] body, params */
    SN_JI_N_CALLBLOCK,  /* kid[0] a CALL, kid[1] body, params */
    SN_JI_N_WITH,       /* kid[0] body, then target, value, target, value ... */
    SN_JI_N_GENERATION, /* kid[0] body */
    SN_JI_N_BREAK,
    SN_JI_N_CONTINUE
} SnJiNodeKind;

#define SN_JI_USES_CALLER  1u /* flag of MACRO and CALLBLOCK: names that the body refers to */
#define SN_JI_USES_KWARGS  2u
#define SN_JI_USES_VARARGS 4u
#define SN_JI_FOLDS        8u  /* flag of expressions: of constants, with a slice */
#define SN_JI_PRINTED      16u /* and it is printed */

typedef struct SnJiArgNode {
    SnBytes name; /* of a keyword; n 0: positional */
    SnJiNode *value;
    uint8_t stars; /* 1: *value, 2: **value */
} SnJiArgNode;

typedef struct SnJiParam {
    uint32_t name;
    SnJiNode *usual; /* default; or NULL */
} SnJiParam;

struct SnJiNode {
    uint8_t kind; /* SnJiNodeKind */
    uint8_t flag;
    uint32_t line, n; /* n: kids */
    SnJiNode **kid;
    union {
        SnJiValue value;
        uint32_t name;
        const uint8_t *op; /* n of them, [0] unused */
    } u;
    SnBytes text; /* ATTR, NSREF; of an unknown FILTER or TEST its name */
    union {
        const SnJiRow *row; /* FILTER, TEST; NULL: there is none */
        SnJiParam *param;   /* MACRO, CALLBLOCK: narg */
    } v;
    SnJiArgNode *arg; /* CALL, FILTER, TEST: narg */
    uint32_t narg;
};

struct SnJinja {
    const char *name;
    SnJiNode *body;
    const SnBytes *names; /* variables by number */
    uint32_t nname;
};

/* Names that each parser starts with. */
enum { SN_JI_NAME_LOOP, SN_JI_NAME_CALLER, SN_JI_NAME_KWARGS, SN_JI_NAME_VARARGS, SN_JI_NNAME };

/* ---- parser (parse.c: statements, expr.c: expressions) ---- */
#define SN_JI_MAX_NESTING 100

typedef struct SnJiParser {
    SnArena *arena;
    const SnAllocator *memory;
    const char *name;
    SnJiTokens tokens;
    size_t at;
    SN_VEC(SnBytes) names;
    SN_VEC(SnJiNode *) kids; /* of nodes that are not made yet: a stack */
    uint32_t nesting, loops; /* loops: of the function that is being parsed */
    uint32_t uses;           /* SN_JI_USES_ of it */
    bool is_soft;            /* under an if: unknown filters fail when they are met */
    bool in_for;             /* nothing may be named loop */
    SnError *err;
} SnJiParser;

static inline const SnJiToken *sn_ji_token(const SnJiParser *p)
{
    return &p->tokens.at[p->at];
}
static inline bool sn_ji_at(const SnJiParser *p, uint32_t type)
{
    return sn_ji_token(p)->type == type;
}
SnStatus sn_ji_syntax(const SnJiParser *p, const char *format, ...) SN_PRINTF(2, 3); /* at this token */
SnStatus sn_ji_unexpected(const SnJiParser *p, const char *wanted);
bool sn_ji_at_name(const SnJiParser *p, const char *name);
bool sn_ji_skip(SnJiParser *p, uint32_t type);
bool sn_ji_skip_name(SnJiParser *p, const char *name);
SN_MUST_CHECK SnStatus sn_ji_expect(SnJiParser *p, uint32_t type);
SN_MUST_CHECK SnStatus sn_ji_expect_name(SnJiParser *p, SnBytes *out);
SN_MUST_CHECK SnStatus sn_ji_name_id(SnJiParser *p, SnBytes name, uint32_t *out);
SN_MUST_CHECK SnStatus sn_ji_node(SnJiParser *p, SnJiNodeKind kind, uint32_t line, uint32_t n,
                                  SnJiNode **out);
/* Kids are pushed; a node is then made of all above `from`. */
SN_MUST_CHECK SnStatus sn_ji_push(SnJiParser *p, SnJiNode *kid);
SN_MUST_CHECK SnStatus sn_ji_node_of(SnJiParser *p, SnJiNodeKind kind, uint32_t line, size_t from,
                                     SnJiNode **out);
SN_MUST_CHECK SnStatus sn_ji_enter(SnJiParser *p); /* one level deeper; the caller counts p->nesting down */

SN_MUST_CHECK SnStatus sn_ji_parse_expr(SnJiParser *p, bool with_if, SnJiNode **out);
typedef enum SnJiTupleForm {
    SN_JI_TUPLE_FULL,
    SN_JI_TUPLE_NO_IF,  /* no inline if; ends before `recursive` where that may come */
    SN_JI_TUPLE_PARENS, /* may be empty */
    SN_JI_TUPLE_FOR,    /* target before `in` */
    SN_JI_TUPLE_SET     /* target; attributes of namespaces too */
} SnJiTupleForm;
SN_MUST_CHECK SnStatus sn_ji_parse_call(SnJiParser *p, SnJiNode *node, SnJiNode **out);
SN_MUST_CHECK SnStatus sn_ji_parse_tuple(SnJiParser *p, SnJiTupleForm form, SnJiNode **out);
SN_MUST_CHECK SnStatus sn_ji_parse_target(SnJiParser *p, SnJiTupleForm form, SnJiNode **out);
/* `| name(args) | ...` onto *node (may be NULL); the first | is taken already where is_begun. */
SN_MUST_CHECK SnStatus sn_ji_parse_filters(SnJiParser *p, bool is_begun, SnJiNode **node);

#endif
