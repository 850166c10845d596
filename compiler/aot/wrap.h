/* wrap.h -- wrappers of a model for other languages: one file each, made from the table of face.h. */
#ifndef SN_WRAP_H
#define SN_WRAP_H

#include "compiler/aot/face.h"

typedef struct SnWrapper {
    const char *language; /* as in SnCompileOptions.bindings */
    const char *ending;   /* of the file beside the program */
    const SnFaceForm *form;
    const SnPiece *piece;
    size_t npiece;
} SnWrapper;

extern const SnWrapper sn_wrap_cpp, sn_wrap_csharp, sn_wrap_lua, sn_wrap_python, sn_wrap_rust;

/* The wrapper of the i-th language of a list "cpp,python": NULL past the end; SN_EINVAL: an unknown one, with
 * those that there are. */
SN_MUST_CHECK SnStatus sn_wrap_choose(const char *languages, size_t i, const SnWrapper **out, SnError *err);
SN_MUST_CHECK SnStatus sn_wrap_check(const char *languages, SnError *err); /* are all of them known? */
SN_MUST_CHECK SnStatus sn_wrap_print(const SnAot *a, const SnWrapper *w, SnText *out, SnError *err);

#endif
