/* compiler.h -- what a compiler knows: op rows by name and id, backends by name. Internal: the passes and the
 * graph builder look things up here. */
#ifndef SN_COMPILER_H
#define SN_COMPILER_H

#include "compiler/graph.h"
#include "compiler/sig.h"
#include "compiler/target.h"

typedef struct SnOpRow {
    const SnOp *op;
    SnSig sig;
} SnOpRow;

/* Row of a composite or host op; NULL: there is none. A term's op is SN_PRIM_COUNT + row. */
const SnOp *sn_compiler_find_op(const SnCompiler *cc, const char *name);
const SnOpRow *sn_compiler_find_row(const SnCompiler *cc, const char *name, uint16_t *op_id);
const SnOpRow *sn_compiler_row_of(const SnCompiler *cc, uint16_t op_id);

const char *sn_compiler_module_dir(const SnCompiler *cc); /* NULL: the linker's search path */

/* A backend by name. Where it lives in a module of its own, the module is opened now, once. */
SN_MUST_CHECK SnStatus sn_compiler_backend(SnCompiler *cc, const char *name, const SnBackend **out,
                                           SnError *err);

#endif
