/* backends.h -- the backends that are linked in; sn_all_backends has the others too. */
#ifndef SN_BACKENDS_H
#define SN_BACKENDS_H

#include "compiler/target.h"

extern const SnBackend sn_backend_interp;
extern const SnBackend sn_backend_clike;
extern const SnBackend sn_backend_llvm;

#endif
