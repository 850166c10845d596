/* face.h -- what a model looks like from outside: one table of its functions, from which the thunks of the
 * object, the header and the wrappers for other languages are made. */
#ifndef SN_FACE_H
#define SN_FACE_H

#include "compiler/aot/aot.h"

/* ---- conditions: any of the kinds that are named (none: every kind), and all of the others ---- */
#define SN_FOR(KIND) (1u << SN_TYPED_##KIND)
#define SN_FOR_TEXT                                                                                          \
    (SN_FOR(EMBED) | SN_FOR(CLASSIFY) | SN_FOR(TAG) | SN_FOR(ANSWER) | SN_FOR(FILL)) /* whatever takes text  \
                                                                                      */
#define SN_FOR_RUNS  (SN_FOR_TEXT | SN_FOR(TENSORS) | SN_FOR(CHAT))                  /* all but what trains */
#define SN_FOR_ALL   0u
#define SN_FOR_DATA  (SN_FOR_TEXT | SN_FOR(TENSORS) | SN_FOR(TRAIN)) /* whose entries run by name */
#define SN_IF_SINGLE (1u << 16)                                      /* it takes one text */
#define SN_IF_PAIR   (1u << 17)                                      /* it takes two */
#define SN_IF_LABELS (1u << 18)                                      /* its numbers have names */
#define SN_IF_BLOCK  (1u << 19) /* it is known how large a block must be */
#define SN_IF_FEW    (1u << 20) /* labels, few enough to list them */

/* ---- functions ---- */

/* Of parameters and results; each template has rows that spell them. */
typedef enum SnFaceType {
    SN_FACE_NONE,       /* result: nothing. parameter: there are no more */
    SN_FACE_STATUS,     /* result: a status */
    SN_FACE_STRING,     /* result: lent text that ends with 0 */
    SN_FACE_HOST,       /* const SnTypedHost * */
    SN_FACE_CONTEXT,    /* SnTyped * */
    SN_FACE_NEW,        /* SnTyped ** */
    SN_FACE_TEXT,       /* const char *: UTF-8, the next parameter is its size */
    SN_FACE_NAME,       /* const char *: ends with 0 */
    SN_FACE_SIZE,       /* size_t */
    SN_FACE_SIZE_OUT,   /* size_t * */
    SN_FACE_SIZE_INOUT, /* size_t *: read, then written */
    SN_FACE_INDEX,      /* uint32_t */
    SN_FACE_TIME,       /* uint64_t: nanoseconds */
    SN_FACE_NUMBERS,    /* float *: as many as the model's width */
    SN_FACE_SPANS,      /* SnTypedSpan *: the next parameter is how many */
    SN_FACE_SPAN,       /* SnTypedSpan * */
    SN_FACE_WORDS,      /* SnTypedWord *: the next parameter is how many */
    SN_FACE_VIEW,       /* const SnView * */
    SN_FACE_VIEW_OUT,   /* SnView * */
    SN_FACE_BYTES,      /* const void *: the next parameter is their count */
    SN_FACE_BYTES_OUT,  /* void * */
    SN_FACE_LENT,       /* const char **: UTF-8, the next parameter is its size */
    SN_FACE_SINK,       /* SnTypedSink *: the next parameter is its first argument */
    SN_FACE_USER,       /* void * */
    SN_FACE_TYPE_COUNT
} SnFaceType;

#define SN_FACE_PARAMS 6

typedef struct SnFace {
    const char *suffix; /* NAME_suffix is a jump to sn_typed_suffix, or */
    const char *target; /* sn_typed_target, if there is one */
    SnFaceType result;
    uint32_t when;
    struct {
        SnFaceType type;
        const char *name;
    } param[SN_FACE_PARAMS];
    bool has_desc;   /* the jump adds the address of NAME_typed as last argument */
    const char *doc; /* lines without stars */
} SnFace;

extern const SnFace sn_faces[]; /* ends with a row without suffix */

const char *sn_face_target(const SnFace *f); /* without sn_typed_ */
uint32_t sn_face_params(const SnFace *f);    /* how many */
/* Does a condition hold for the model? */
bool sn_face_applies(const SnAot *a, uint32_t when);
/* Adds the thunks and, of NAME_typed, the block's size: before that struct is written. */
SN_MUST_CHECK SnStatus sn_face_add(SnAot *a, SnError *err);

#endif
