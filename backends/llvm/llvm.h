/* llvm.h -- the native CPU backend: what lies in libsinter, and its border with sinter-llvm.so.
 *
 * libsinter has the backend row, the cache lookup (llvm.c) and the loader (load.c); the module has everything
 * that needs LLVM and is opened when a kernel is not in the cache. */
#ifndef SN_LLVM_H
#define SN_LLVM_H

#include "compiler/target.h"
#include "runtime/cpu.h"

/* ---- the module ---- */
#define SN_LLVM_MODULE  "sinter-llvm.so"
#define SN_LLVM_SYMBOL  "sn_llvm_codegen"
#define SN_LLVM_VERSION 7 /* of this border and of the code that is generated: part of every key */

typedef struct SnLlvmKernel {
    const SnKernel *kernel;
    const char *symbol;
    SnCpuLevel level;
} SnLlvmKernel;

typedef struct SnLlvmObject {
    const SnLlvmKernel *kernel;
    size_t nkernel;
    const SnObjectData *data;
    uint32_t ndata;
    const SnObjectThunk *thunk;
    uint32_t nthunk;
} SnLlvmObject;

typedef struct SnLlvmCodegen {
    /* One relocatable ELF object, from the context's allocator: sn_free(at, n, 1). */
    SnStatus (*make)(SnContext *ctx, const SnLlvmObject *o, uint8_t **at, size_t *n, SnError *err);
} SnLlvmCodegen;

typedef const SnLlvmCodegen *SnLlvmCodegenFn(void);
SN_API SnLlvmCodegenFn sn_llvm_codegen;

/* ---- the loader ---- */
typedef struct SnObjectCode SnObjectCode;
/* Code of an object, ready to be called: its read-only sections, relocated. What it does not define is
 * refused. */
SN_MUST_CHECK SnStatus sn_object_open(SnContext *ctx, SnBytes object, SnObjectCode **out, SnError *err);
SnKernelFn *sn_object_find(const SnObjectCode *c, const char *symbol); /* NULL: no such function */
void sn_object_close(SnObjectCode *c);

#endif
