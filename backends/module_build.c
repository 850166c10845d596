/* module_build.c -- says which headers a module was made with: part of every module, not of libsinter. */
#include "compiler/sn_build_id.h"
#include "compiler/target.h"

const char *sn_module_build(void)
{
    return SN_BUILD_ID;
}
