/* text.h -- what the parser and the printer of the text form share. Internal to text*.c. */
#ifndef SN_TEXT_H
#define SN_TEXT_H

#include "compiler/build.h"

/* ---- syntax of primitives (text_syntax.c) ---- */

typedef struct SnTextAttr {
    const char *name;
    SnAttrKind kind;
    bool is_flag; /* an INT that is 0 or 1: written as a bare name */
} SnTextAttr;

/* How a primitive is written where it differs from `op operands attributes`. */
typedef struct SnTextSyntax {
    const char
        *word; /* attribute written as a word, or text, right after the op: reduce add, contract "ab,b->a" */
    const char *dtype; /* attribute written as a bare dtype: cast %x f16 */
    int8_t plain;      /* operands before the bracketed ones */
    int8_t lists;      /* how many brackets the operands after those are split into; 0: none */
    int8_t after;      /* plain operands after the brackets */
} SnTextSyntax;
const SnTextSyntax *sn_text_syntax(uint16_t prim);

/* What an attribute of an op may be; false: the op has none of this name. row NULL: a primitive. */
bool sn_text_attr(uint16_t prim, const SnOpRow *row, const char *name, SnTextAttr *out);
/* Words that cannot be plain names of values: ops, dtypes, keywords. */
bool sn_text_is_reserved(const SnCompiler *cc, const char *name);
bool sn_text_is_plain(const char *name, size_t n); /* has the form of an identifier */

/* ---- tokens (text_lex.c) ---- */

typedef enum SnTokenKind {
    SN_TOKEN_END,
    SN_TOKEN_LINE,   /* end of a line outside of brackets */
    SN_TOKEN_NAME,   /* text */
    SN_TOKEN_VALUE,  /* %text */
    SN_TOKEN_FN,     /* @text */
    SN_TOKEN_INT,    /* magnitude, is_negative */
    SN_TOKEN_FLOAT,  /* number */
    SN_TOKEN_STRING, /* text, decoded */
    SN_TOKEN_HEX,    /* x"00ff": text, decoded */
    SN_TOKEN_PUNCT   /* punct */
} SnTokenKind;

typedef struct SnToken {
    SnTokenKind kind;
    char punct; /* one of ()[]{}<>,:=*+-/;|. or 'R' for .. */
    bool is_negative;
    bool is_joined; /* nothing stands between it and the token before */
    uint64_t magnitude;
    double number;
    SnBytes text;
    uint32_t line;
} SnToken;

typedef struct SnLexer {
    SnReader in;
    const char *name; /* of the source, for messages */
    SnArena *arena;
    uint32_t line;
    int nest; /* of ( and [: there lines do not end */
    SnToken now;
} SnLexer;

SN_MUST_CHECK SnStatus sn_lex_next(SnLexer *l, SnError *err);
int sn_lex_joined(const SnLexer *l);           /* the byte right after the token, or -1 */
bool sn_lex_follows(const SnLexer *l, char c); /* is c next on this line, white space aside? */
/* "name:line: FORMAT" */
SnStatus sn_lex_fail(const SnLexer *l, SnError *err, const char *format, ...) SN_PRINTF(3, 4);

/* ---- printing (text_print.c) ---- */

/* Prints any program term: passes have roots that no graph holds. */
SN_MUST_CHECK SnStatus sn_root_print(const SnCompiler *cc, SnStore *s, SnRef root, SnText *out, SnError *err);

#endif
