/* stale_module.c -- a module of another build, and with OLD one from before there were build ids. Calling
 * what it exports would be wrong: each function ends the process. */
#include "compiler/target.h"

#include <stdlib.h>

SN_API void *sn_llvm_codegen(void);
void *sn_llvm_codegen(void)
{
    abort();
}

const SnBackend *sn_opencl_backend(void)
{
    abort();
}

#ifndef OLD
const char *sn_module_build(void)
{
    return "0123456789abcdef";
}
#endif
