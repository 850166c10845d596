/* aot.h -- what the files of aot/ share: a program as it goes into a file, and the formats of files.
 *
 *   aot.c       all kernels, the image, tables and the descriptor ▶ one object; then the format's writer
 *   face.c      what is seen from outside: functions, for the object and for templates
 *   template.c  header, C text and wrappers, from templates/
 *   outputs.c   all files of an emission
 *
 * Everything is named after the file: NAME_program is the descriptor, NAME_typed what NAME's typed functions
 * pass on, NAME_weights the parameters. The object defines all of them but the last: weights are megabytes to
 * gigabytes that lie in mapped files, and writers copy them from there. */
#ifndef SN_AOT_H
#define SN_AOT_H

#include "compiler/compile.h"
#include "runtime/typed.h"

#define SN_AOT_WEIGHT_ALIGN   64u   /* of each parameter */
#define SN_AOT_PAGE           4096u /* of all of them together */
#define SN_AOT_WEIGHTS_ENDING ".weights"

/* A parameter. Those of a program come in the order of their offsets, with zeros in between. */
typedef struct SnAotWeight {
    SnBytes bytes;   /* lent by the weights' source or by the cache */
    uint64_t offset; /* in the weights */
} SnAotWeight;

typedef struct SnAot {
    SnContext *ctx;
    SnArena *arena; /* dies when all is written */
    const char *path;
    const char *name;   /* of the file, as a C identifier */
    bool is_beside;     /* the weights are a file of their own */
    const SnTask *task; /* what the typed functions are; never NULL */
    SnTypedDesc typed;  /* its numbers; block_bytes: set by face.c */
    const SnImage *image;
    const char *const *level;
    uint32_t nlevel;
    SN_VEC(SnObjectData) data;
    SN_VEC(SnObjectThunk) thunk;

    SnBytes object;      /* what the backend made */
    const char *weights; /* the symbol that the object leaves open: page-aligned bytes, never written */
    const SnAotWeight *weight;
    size_t nweight;
    uint64_t weight_size; /* of all, a multiple of SN_AOT_WEIGHT_ALIGN */
    SnHash128 weight_hash;
    const SnBytes *weight_part; /* they as parts of a file, with zeros between them */
    size_t nweight_part;
} SnAot;

/* ---- aot.c ---- */
/* NAME_part, in memory of the arena; NULL: no memory. */
const char *sn_aot_symbol(SnAot *a, const char *part);
/* The parts stay the caller's, who keeps them in the arena. */
SN_MUST_CHECK SnStatus sn_aot_data(SnAot *a, SnObjectData d, SnError *err);
SN_MUST_CHECK SnStatus sn_aot_thunk(SnAot *a, SnObjectThunk f, SnError *err);
/* Hidden data NAME_part: n pointers to symbols, and NULL. */
SN_MUST_CHECK SnStatus sn_aot_table(SnAot *a, const char *part, const char *const *symbol, size_t n,
                                    SnError *err);

/* ---- formats: write the program to the file `to`, which is renamed to a->path when all are written ---- */
typedef SnStatus SnAotWriteFn(const SnAot *a, const char *to, SnError *err);
SnAotWriteFn sn_aot_object, sn_aot_archive, sn_aot_shared; /* files.c: .o .a .so */
SnAotWriteFn sn_aot_source;                                /* outputs.c: .c */

/* ---- outputs.c ---- */
/* All files: the program by `program`, the header, weights beside, wrappers for the languages of a list. */
SN_MUST_CHECK SnStatus sn_aot_write(const SnAot *a, SnAotWriteFn *program, const char *bindings,
                                    SnError *err);

/* Is every language of the list known? */
SN_MUST_CHECK SnStatus sn_aot_check_bindings(const char *languages, SnError *err);

/* ---- sizes.c ---- */
/* After it is written. is_text: the object is no ELF object. */
SN_MUST_CHECK SnStatus sn_aot_sizes(const SnAot *a, bool is_text, SnEmitSizes *out, SnError *err);

#endif
