/* text_parse.h -- the parser of the text form: what text.c, text_call.c and text_expr.c share. */
#ifndef SN_TEXT_PARSE_H
#define SN_TEXT_PARSE_H

#include "compiler/text.h"

#define SN_TEXT_DEPTH    64
#define SN_TEXT_MOST_DIM ((int64_t)1 << 40) /* range of symbols that no `dims` line declares */

typedef SN_VEC(SnValue) SnValues;

typedef struct SnTextParam { /* of a function or entry */
    SnBytes name;
    SnTypeId type;
} SnTextParam;

typedef struct SnTextParser {
    SnGraph *g;
    SnStore *s;
    const SnAllocator *memory;
    SnLexer lex;
    SnArena arena;
    SnValues value;                        /* what names stand for */
    SnMap global, local, function, symbol; /* name ▶ index in value */
    int depth;
    SN_VEC(SnTextParam) param; /* of the function or entry that was read last */
    SnValue last_fn;
    bool has_entry;
} SnTextParser;

/* ---- tokens ---- */
static inline bool sn_at(const SnTextParser *p, char punct)
{
    return p->lex.now.kind == SN_TOKEN_PUNCT && p->lex.now.punct == punct;
}
static inline bool sn_at_name(const SnTextParser *p, const char *name)
{
    return p->lex.now.kind == SN_TOKEN_NAME && sn_bytes_is(p->lex.now.text, name);
}
SN_MUST_CHECK SnStatus sn_parse_next(SnTextParser *p, SnError *err);
SN_MUST_CHECK SnStatus sn_parse_need(SnTextParser *p, char punct, SnError *err);
SN_MUST_CHECK SnStatus sn_parse_word(SnTextParser *p, const char *word, SnError *err);
SN_MUST_CHECK SnStatus sn_parse_int(SnTextParser *p, int64_t *out, SnError *err);
/* An identifier or a text: names of leaves, outputs and symbols. */
SN_MUST_CHECK SnStatus sn_parse_name(SnTextParser *p, SnBytes *out, SnError *err);
const char *sn_parse_text(SnTextParser *p, SnBytes b); /* with a terminator; never NULL */
bool sn_parse_at_dtype(const SnTextParser *p, SnDtype *out);
/* Recursion: each sn_parse_enter that succeeds is undone by p->depth--. */
SN_MUST_CHECK SnStatus sn_parse_enter(SnTextParser *p, SnError *err);
SN_MUST_CHECK SnStatus sn_parse_check(SnTextParser *p, SnError *err); /* the graph's error, with the line */

/* ---- names ---- */
SN_MUST_CHECK SnStatus sn_parse_bind(SnTextParser *p, SnMap *map, SnBytes name, SnValue v, SnError *err);
bool sn_parse_find(const SnTextParser *p, const SnMap *map, SnBytes name, SnValue *out);
SnStatus sn_parse_unknown(const SnTextParser *p, SnBytes name, SnError *err);
uint16_t sn_parse_op(const SnTextParser *p, SnBytes name, const SnOpRow **row); /* SN_OP_ERROR: none */

/* ---- values (text_expr.c) ---- */
SN_MUST_CHECK SnStatus sn_parse_expr(SnTextParser *p, SnValue *out, SnError *err);
/* makes_symbols: unknown names become symbols, as in types. */
SN_MUST_CHECK SnStatus sn_parse_dim(SnTextParser *p, bool makes_symbols, SnValue *out, SnError *err);
bool sn_parse_at_literal(const SnTextParser *p);
/* dtype: what it is when it names none; SN_NODTYPE: i64, f32 or bool. */
SN_MUST_CHECK SnStatus sn_parse_literal(SnTextParser *p, SnDtype dtype, SnValue *out, SnError *err);
SnValue sn_parse_make_literal(SnTextParser *p, const SnToken *t, SnDtype dtype);
bool sn_parse_at_operand(const SnTextParser *p);
/* Appends one operand, or as many as a group or list holds. */
SN_MUST_CHECK SnStatus sn_parse_operand(SnTextParser *p, SnValues *to, SnError *err);
SN_MUST_CHECK SnStatus sn_parse_push(SnTextParser *p, SnValues *to, SnValue v, SnError *err);

/* ---- calls (text_call.c) ---- */
/* The token is the name of an op. */
SN_MUST_CHECK SnStatus sn_parse_call(SnTextParser *p, SnValue *out, SnError *err);

#endif
