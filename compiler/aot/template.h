/* template.h -- the header, the C text and the wrappers of a model are printed from the files in templates/:
 * text of a language, with lines for us in between, which begin with @@.
 *
 *   @@ -- WORDS             for who reads the template
 *   @@ size "UIntPtr @_"    from here on the type is spelled so; @ is the parameter's name
 *   @@ comment "// "        from here on the lines of a comment, but for its first, begin so
 *   @@ desc ", $n_typed"    from here on the last argument of functions that get the address of NAME_typed
 *   @@ EMBED TAG SINGLE     what follows is for models of one of these kinds of which the rest holds
 *   @@ FUNCTIONS            what follows is printed for each function
 *   @@                      what follows is for every model
 *
 * Types and conditions are those of face.h. In the text and in quotes, $ and a letter is a fact of the model
 * or of the function (facts.c). */
#ifndef SN_TEMPLATE_H
#define SN_TEMPLATE_H

#include "compiler/aot/face.h"

#define SN_FOR_EACH (1u << 31) /* with the conditions of face.h: once for each function */

/* Rows "name text": the types of face.h, then these. */
enum { SN_ROW_COMMENT = SN_FACE_TYPE_COUNT, SN_ROW_DESC, SN_ROW_COUNT };
#define SN_ROWS_TYPES ((1u << SN_FACE_TYPE_COUNT) - 1) /* as a set */

typedef struct SnTemplateRow {
    uint32_t name;
    SnBytes text;
} SnTemplateRow;

typedef struct SnTemplatePiece {
    uint32_t when;
    uint32_t nrow; /* the rows above it */
    SnBytes text;
} SnTemplatePiece;

typedef struct SnTemplate {
    const char *name;
    SnTemplateRow *row; /* of a name the later one counts */
    SnTemplatePiece *piece;
    uint32_t nrow, npiece;
} SnTemplate;

/* Refuses whatever printing would not know: what was read points into text. */
SN_MUST_CHECK SnStatus sn_template_read(SnArena *arena, const char *name, SnBytes text, SnTemplate *out,
                                        SnError *err);
void sn_template_put(const SnTemplate *t, const SnAot *a, SnText *out);
/* By the template of that name in templates/. */
SN_MUST_CHECK SnStatus sn_template_print(const SnAot *a, const char *name, SnText *out, SnError *err);

/* ---- between template.c and facts.c ---- */
typedef struct SnPrinter {
    const SnAot *a;
    const SnTemplate *t;
    const SnTemplatePiece *piece;
    SnText *out;
    const SnFace *face;    /* of FUNCTIONS */
    const char *parameter; /* in spellings */
} SnPrinter;

/* The row that counts in the piece. */
SnBytes sn_printer_row(const SnPrinter *p, uint32_t name);
void sn_printer_put(const SnPrinter *p, SnBytes text);

typedef struct SnFact {
    char letter;
    bool is_of_function;
    uint32_t rows; /* that it needs, as a set */
    void (*put)(const SnPrinter *p);
} SnFact;

const SnFact *sn_fact(char letter); /* NULL: there is none */

#endif
