/* formula.h -- expressions over columns as programs: parsed to a graph, compiled, run block by block. */
#ifndef SN_FORMULA_H
#define SN_FORMULA_H

#include "compiler/graph.h"
#include "frontends/data/table.h"

enum { SN_FORMULA_ROWS = SN_TABLE_PART }; /* of one block */

/* What a program reads of a column, one value a row. */
typedef enum SnFormulaKind {
    SN_FORMULA_VALUE,  /* the numbers */
    SN_FORMULA_VALID,  /* is it not null? */
    SN_FORMULA_LENGTH, /* characters of a text, items of a list */
    SN_FORMULA_EQUAL,  /* is it this text? */
    SN_FORMULA_HAS,    /* does it contain this text? */
    SN_FORMULA_BEGINS,
    SN_FORMULA_ENDS
} SnFormulaKind;
typedef struct SnFormulaInput {
    SnFormulaKind kind;
    uint32_t column;
    SnBytes text;
    SnDtype dtype;
    const char *name;
    SnValue value;
} SnFormulaInput;

typedef struct SnFormula {
    SnArena arena;
    SnProgram *program;
    SN_VEC(SnFormulaInput) in;
    SnDtype dtype; /* BOOL, I64 or F64 */
    bool has_null; /* there is an output "valid" */
} SnFormula;
/* Close takes what could not be opened. is_test: the result is made a BOOL, and null is false. */
SN_MUST_CHECK SnStatus sn_formula_open(SnCompiler *cc, const SnDataset *d, const char *text, bool is_test,
                                       SnFormula *f, SnError *err);
void sn_formula_close(SnFormula *f, SnContext *ctx);

#endif
