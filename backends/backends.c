/* backends.c -- the list of backends. opencl is a row that names a module: it is opened when one of its
 * targets is first asked for. llvm is linked in, because kernels from the cache need no LLVM; it opens its
 * module itself. */
#include "backends/backends.h"

static const SnBackend backend_opencl = {
    .name = "opencl", .module = "sinter-opencl.so", .symbol = "sn_opencl_backend"};

const SnBackend *const sn_all_backends[] = {&sn_backend_llvm, &sn_backend_interp, &sn_backend_clike,
                                            &backend_opencl, NULL};
