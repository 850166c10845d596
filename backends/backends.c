/* backends.c -- the list of backends. llvm and opencl are rows that name a module: it is opened when one of
 * its targets is first asked for. */
#include "backends/backends.h"

static const SnBackend backend_llvm = {
    .name = "llvm", .module = "sinter-llvm.so", .symbol = "sn_llvm_backend"};
static const SnBackend backend_opencl = {
    .name = "opencl", .module = "sinter-opencl.so", .symbol = "sn_opencl_backend"};

const SnBackend *const sn_all_backends[] = {&backend_llvm, &sn_backend_interp, &backend_opencl, NULL};
