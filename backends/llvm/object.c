/* object.c -- kernels, data and thunks to one relocatable object: the module's only export.
 *
 * All kernels share one LLVM module: the pipeline costs a millisecond each time it is built. With explicit
 * vectors `sroa`, which turns LOCALs into registers, is the only pass that pays. */
#include "backends/llvm/codegen.h"
#include "backends/llvm/llvm.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include <stdio.h>
#include <stdlib.h>

#define TRIPLE "x86_64-unknown-linux-gnu"

typedef struct Maker {
    SnContext *ctx;
    SnError *err;
    LLVMContextRef llvm;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMPassBuilderOptionsRef options;
    SnText assembly;      /* of the module: thunks */
    char diagnostic[300]; /* the first error that LLVM reported */
} Maker;

static void note(Maker *m, const char *text)
{
    if (m->diagnostic[0] == '\0')
        (void)snprintf(m->diagnostic, sizeof m->diagnostic, "%s", text);
}

static void on_diagnostic(LLVMDiagnosticInfoRef info, void *self)
{
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError)
        return;
    char *text = LLVMGetDiagInfoDescription(info);
    note((Maker *)self, text);
    LLVMDisposeMessage(text);
}

static SnStatus open_machine(Maker *m)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMTargetRef target = NULL;
    char *text = NULL;
    if (LLVMGetTargetFromTriple(TRIPLE, &target, &text)) {
        const SnStatus st = sn_fail(m->err, SN_EUNSUPPORTED, "LLVM: %s", text);
        LLVMDisposeMessage(text);
        return st;
    }
    m->machine = LLVMCreateTargetMachine(target, TRIPLE, "x86-64", "", LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                         LLVMCodeModelSmall);
    m->llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(m->llvm, on_diagnostic, m);
    m->module = LLVMModuleCreateWithNameInContext("sinter", m->llvm);
    LLVMSetTarget(m->module, TRIPLE);
    const LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(m->machine);
    LLVMSetModuleDataLayout(m->module, layout);
    LLVMDisposeTargetData(layout);
    return SN_OK;
}

static void close_machine(Maker *m)
{
    sn_text_clear(&m->assembly);
    if (m->options != NULL)
        LLVMDisposePassBuilderOptions(m->options);
    if (m->module != NULL)
        LLVMDisposeModule(m->module);
    if (m->machine != NULL)
        LLVMDisposeTargetMachine(m->machine);
    if (m->llvm != NULL)
        LLVMContextDispose(m->llvm);
}

/* ---- kernels ---- */

static SnStatus add_kernels(Maker *m, const SnLlvmObject *o)
{
    SnGen g = {.memory = sn_allocator(m->ctx), .llvm = m->llvm, .module = m->module, .err = m->err};
    g.b = LLVMCreateBuilderInContext(m->llvm);
    SnStatus st = SN_OK;
    for (size_t i = 0; i < o->nkernel && st == SN_OK; i++)
        st = sn_gen_kernel(&g, o->kernel[i].kernel, o->kernel[i].level, o->kernel[i].symbol);
    LLVMDisposeBuilder(g.b);
    sn_gen_clear(&g);
    return st;
}

static SnStatus optimise(Maker *m)
{
#ifndef NDEBUG
    char *text = NULL;
    const bool is_broken = LLVMVerifyModule(m->module, LLVMReturnStatusAction, &text);
    const SnStatus st = is_broken ? sn_fail(m->err, SN_EINTERNAL, "LLVM: %s", text) : SN_OK;
    LLVMDisposeMessage(text);
    SN_TRY(st);
#endif
    m->options = LLVMCreatePassBuilderOptions();
    const LLVMErrorRef failed = LLVMRunPasses(m->module, "function(sroa)", m->machine, m->options);
    if (failed == NULL)
        return SN_OK;
    char *message = LLVMGetErrorMessage(failed);
    const SnStatus status = sn_fail(m->err, SN_EINTERNAL, "LLVM: %s", message);
    LLVMDisposeErrorMessage(message);
    return status;
}

/* ---- data ---- */

static int by_offset(const void *a, const void *b)
{
    const struct SnObjectReloc *x = (const struct SnObjectReloc *)a, *y = (const struct SnObjectReloc *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* What a symbol stands for; its definition may follow. */
static LLVMValueRef symbol_value(Maker *m, const char *symbol)
{
    const LLVMValueRef fn = LLVMGetNamedFunction(m->module, symbol);
    const LLVMValueRef known = fn != NULL ? fn : LLVMGetNamedGlobal(m->module, symbol);
    return known != NULL ? known : LLVMAddGlobal(m->module, LLVMInt8TypeInContext(m->llvm), symbol);
}

static LLVMValueRef plain_bytes(Maker *m, const uint8_t *at, size_t n)
{
    return LLVMConstStringInContext2(m->llvm, (const char *)at, n, true);
}

/* Bytes with pointers among them: a packed struct of both. */
static SnStatus data_value(Maker *m, const SnObjectData *d, LLVMValueRef *out)
{
    const SnAllocator *a = sn_allocator(m->ctx);
    if (d->nreloc == 0) {
        *out = plain_bytes(m, d->bytes.at, d->bytes.n);
        return SN_OK;
    }
    SnArena arena;
    sn_arena_init(&arena, a);
    SnStatus st = SN_ENOMEM;
    struct SnObjectReloc *reloc = (struct SnObjectReloc *)sn_arena_array(&arena, d->nreloc, sizeof *reloc);
    LLVMValueRef *part = (LLVMValueRef *)sn_arena_array(&arena, d->nreloc + 1, 2 * sizeof(LLVMValueRef));
    if (reloc == NULL || part == NULL)
        goto done;
    memcpy(reloc, d->reloc, d->nreloc * sizeof *reloc);
    qsort(reloc, d->nreloc, sizeof *reloc, by_offset);
    size_t at = 0;
    unsigned npart = 0;
    st = SN_EINVAL;
    for (size_t i = 0; i < d->nreloc; i++) {
        const size_t offset = reloc[i].offset;
        if (offset < at || offset > d->bytes.n || d->bytes.n - offset < sizeof(uint64_t))
            goto done;
        part[npart++] = plain_bytes(m, d->bytes.at + at, offset - at);
        part[npart++] = symbol_value(m, reloc[i].symbol);
        at = offset + sizeof(uint64_t);
    }
    part[npart++] = plain_bytes(m, d->bytes.at + at, d->bytes.n - at);
    *out = LLVMConstStructInContext(m->llvm, part, npart, true);
    st = SN_OK;
done:
    sn_arena_clear(&arena);
    return st == SN_OK ? st : sn_fail(m->err, st, "object data %s: bad or too many pointers", d->symbol);
}

static SnStatus add_bytes(Maker *m, const SnObjectData *d)
{
    LLVMValueRef v = NULL;
    SN_TRY(data_value(m, d, &v));
    const LLVMValueRef at = LLVMAddGlobal(m->module, LLVMTypeOf(v), "");
    LLVMSetInitializer(at, v);
    LLVMSetGlobalConstant(at, true);
    LLVMSetAlignment(at, d->align != 0 ? d->align : 1);
    if (d->symbol == NULL) {
        LLVMSetLinkage(at, LLVMInternalLinkage);
        return SN_OK;
    }
    const LLVMValueRef awaited = LLVMGetNamedGlobal(m->module, d->symbol);
    if (awaited != NULL) {
        LLVMReplaceAllUsesWith(awaited, at);
        LLVMDeleteGlobal(awaited);
    }
    LLVMSetValueName2(at, d->symbol, strlen(d->symbol));
    if (d->is_hidden)
        LLVMSetVisibility(at, LLVMHiddenVisibility);
    return SN_OK;
}

/* In assembly, since it must touch no register but that of its argument. */
static SnStatus add_thunk(Maker *m, const SnObjectThunk *f)
{
    static const char *const reg[] = {"rdi", "rsi", "rdx", "rcx", "r8", "r9"};
    SnText *t = &m->assembly;
    SN_CHECK(f->arg < SN_COUNT(reg), m->err, SN_EINVAL, "%s: argument %u of %zu", f->symbol, f->arg + 1,
             SN_COUNT(reg));
    sn_text_printf(t, ".text\n.p2align 4\n.globl %s\n.type %s,@function\n%s:\n", f->symbol, f->symbol,
                   f->symbol);
    if (f->last != NULL)
        sn_text_printf(t, "leaq %s(%%rip), %%%s\n", f->last, reg[f->arg]);
    sn_text_printf(t, "jmp %s@PLT\n.size %s, . - %s\n", f->target, f->symbol, f->symbol);
    return SN_OK;
}

static SnStatus add_data(Maker *m, const SnLlvmObject *o)
{
    for (uint32_t i = 0; i < o->ndata; i++)
        SN_TRY(add_bytes(m, &o->data[i]));
    for (uint32_t i = 0; i < o->nthunk; i++)
        SN_TRY(add_thunk(m, &o->thunk[i]));
    SN_CHECK(!m->assembly.failed, m->err, SN_ENOMEM, "no memory for an object");
    if (m->assembly.n > 0)
        LLVMSetModuleInlineAsm2(m->module, m->assembly.at, m->assembly.n);
    return SN_OK;
}

/* ---- the object ---- */

static SnStatus emit_bytes(Maker *m, uint8_t **at, size_t *n)
{
    LLVMMemoryBufferRef buffer = NULL;
    char *text = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(m->machine, m->module, LLVMObjectFile, &text, &buffer)) {
        note(m, text);
        LLVMDisposeMessage(text);
    }
    SnStatus st = SN_OK;
    uint8_t *copy = NULL;
    const size_t size = buffer != NULL ? LLVMGetBufferSize(buffer) : 0;
    if (m->diagnostic[0] != '\0' || buffer == NULL) {
        st = sn_fail(m->err, SN_EINTERNAL, "LLVM: %s", m->diagnostic);
    } else {
        copy = (uint8_t *)sn_alloc(sn_allocator(m->ctx), size, 1);
        if (copy == NULL)
            st = sn_fail(m->err, SN_ENOMEM, "no memory for an object of %zu bytes", size);
    }
    if (st == SN_OK) {
        memcpy(copy, LLVMGetBufferStart(buffer), size);
        *at = copy;
        *n = size;
    }
    if (buffer != NULL)
        LLVMDisposeMemoryBuffer(buffer);
    return st;
}

static SnStatus make(SnContext *ctx, const SnLlvmObject *o, uint8_t **at, size_t *n, SnError *err)
{
    Maker m = {.ctx = ctx, .err = err, .assembly = {.memory = sn_allocator(ctx)}};
    SnStatus st = open_machine(&m);
    if (st == SN_OK)
        st = add_kernels(&m, o);
    if (st == SN_OK)
        st = add_data(&m, o);
    if (st == SN_OK)
        st = optimise(&m);
    if (st == SN_OK)
        st = emit_bytes(&m, at, n);
    close_machine(&m);
    return st;
}

const SnLlvmCodegen *sn_llvm_codegen(void)
{
    static const SnLlvmCodegen codegen = {.make = make};
    return &codegen;
}
