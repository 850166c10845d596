/* compiler.c -- life of a compiler: parses the signatures of its op rows once, opens modules when first
 * needed. */
#include "compiler/compiler.h"

#include <dlfcn.h>

typedef struct Backend {
    const SnBackend *row;    /* as the host gave it */
    const SnBackend *loaded; /* the one in the module; NULL: not opened yet */
    void *module;
} Backend;

struct SnCompiler {
    SnContext *ctx;
    SnArena arena;
    SnOpRow *row;
    uint32_t nrow;
    SnMap by_name; /* op name to row */
    Backend *backend;
    uint32_t nbackend;
    const char *module_dir; /* NULL: the loader's search path */
};

static uint32_t count_rows(const SnOp *const *tables)
{
    uint32_t n = 0;
    for (; tables != NULL && *tables != NULL; tables++) {
        for (const SnOp *op = *tables; op->sig != NULL; op++)
            n++;
    }
    return n;
}

static SnStatus add_op(SnCompiler *cc, const SnOp *op, SnError *err)
{
    SnOpRow *const row = &cc->row[cc->nrow];
    uint32_t known = 0;
    SN_TRY(sn_sig_parse(&cc->arena, op->sig, &row->sig, err));
    const SnBytes name = sn_bytes_str(row->sig.name);
    SN_CHECK(!sn_map_get(&cc->by_name, name, &known), err, SN_EINVAL,
             "op %s: there are two rows of this name", row->sig.name);
    SN_CHECK((op->expand != NULL) != (op->run != NULL), err, SN_EINVAL, "op %s: needs either expand or run",
             row->sig.name);
    SN_CHECK(sn_map_put(&cc->by_name, name, cc->nrow), err, SN_ENOMEM, "no memory for the op table");
    row->op = op;
    cc->nrow++;
    return SN_OK;
}

static SnStatus add_ops(SnCompiler *cc, const SnOp *const *tables, SnError *err)
{
    const uint32_t n = count_rows(tables);
    SN_CHECK(n < UINT16_MAX - SN_PRIM_COUNT, err, SN_EINVAL, "%u op rows are too many", n);
    cc->row = sn_arena_array(&cc->arena, n, sizeof *cc->row);
    SN_CHECK(cc->row != NULL || n == 0, err, SN_ENOMEM, "no memory for the op table");
    for (; tables != NULL && *tables != NULL; tables++) {
        for (const SnOp *op = *tables; op->sig != NULL; op++)
            SN_TRY(add_op(cc, op, err));
    }
    return SN_OK;
}

static SnStatus add_backends(SnCompiler *cc, const SnBackend *const *backends, SnError *err)
{
    while (backends != NULL && backends[cc->nbackend] != NULL)
        cc->nbackend++;
    cc->backend = sn_arena_array(&cc->arena, cc->nbackend, sizeof *cc->backend);
    SN_CHECK(cc->backend != NULL || cc->nbackend == 0, err, SN_ENOMEM, "no memory for the backend table");
    for (uint32_t i = 0; i < cc->nbackend; i++)
        cc->backend[i].row = backends[i];
    return SN_OK;
}

SnStatus sn_compiler_create(SnContext *ctx, const SnCompilerDesc *desc, SnCompiler **out, SnError *err)
{
    SN_CHECK(ctx != NULL && desc != NULL, err, SN_EINVAL, "sn_compiler_create: ctx and desc must be given");
    SN_CHECK(desc->struct_size >= sizeof *desc, err, SN_EINVAL,
             "SnCompilerDesc: struct_size is %u, expected %zu", desc->struct_size, sizeof *desc);
    const SnAllocator *const memory = sn_allocator(ctx);
    SnCompiler *const cc = sn_alloc_zero(memory, sizeof *cc, _Alignof(SnCompiler));
    SN_CHECK(cc != NULL, err, SN_ENOMEM, "no memory for a compiler");
    cc->ctx = ctx;
    sn_arena_init(&cc->arena, memory);
    sn_map_init(&cc->by_name, memory);
    SnStatus st = add_ops(cc, desc->ops, err);
    if (st == SN_OK)
        st = add_backends(cc, desc->backends, err);
    if (st == SN_OK && desc->module_dir != NULL) {
        cc->module_dir = sn_arena_strndup(&cc->arena, desc->module_dir, strlen(desc->module_dir));
        if (cc->module_dir == NULL)
            st = sn_fail(err, SN_ENOMEM, "no memory for a compiler");
    }
    if (st == SN_OK)
        *out = cc;
    else
        sn_compiler_destroy(cc);
    return st;
}

void sn_compiler_destroy(SnCompiler *cc)
{
    if (cc == NULL)
        return;
    for (uint32_t i = 0; i < cc->nbackend; i++)
        if (cc->backend[i].module != NULL)
            dlclose(cc->backend[i].module);
    const SnAllocator *const memory = cc->arena.memory;
    sn_map_clear(&cc->by_name);
    sn_arena_clear(&cc->arena);
    sn_free(memory, cc, sizeof *cc, _Alignof(SnCompiler));
}

SnContext *sn_compiler_context(const SnCompiler *cc)
{
    return cc->ctx;
}

const SnOp *sn_compiler_op(const SnCompiler *cc, uint32_t i)
{
    return i < cc->nrow ? cc->row[i].op : NULL;
}

const SnOpRow *sn_compiler_find_row(const SnCompiler *cc, const char *name, uint16_t *op_id)
{
    uint32_t i = 0;
    if (!sn_map_get(&cc->by_name, sn_bytes_str(name), &i))
        return NULL;
    if (op_id != NULL)
        *op_id = (uint16_t)(SN_PRIM_COUNT + i);
    return &cc->row[i];
}

const SnOp *sn_compiler_find_op(const SnCompiler *cc, const char *name)
{
    const SnOpRow *const row = sn_compiler_find_row(cc, name, NULL);
    return row != NULL ? row->op : NULL;
}

const SnOpRow *sn_compiler_row_of(const SnCompiler *cc, uint16_t op_id)
{
    return op_id >= SN_PRIM_COUNT && (uint32_t)(op_id - SN_PRIM_COUNT) < cc->nrow
               ? &cc->row[op_id - SN_PRIM_COUNT]
               : NULL;
}

/* ---- backends ---- */

static SnStatus open_module(SnCompiler *cc, Backend *b, SnError *err)
{
    void *symbol = NULL;
    SnBackendFn *get = NULL;
    SN_TRY(sn_module_open(cc->ctx, cc->module_dir, b->row->module, b->row->symbol, false, &b->module, &symbol,
                          err));
    memcpy(&get, &symbol, sizeof get); /* C has no cast from data to function pointers */
    b->loaded = get();
    return SN_OK;
}

const char *sn_compiler_module_dir(const SnCompiler *cc)
{
    return cc->module_dir;
}

SnStatus sn_compiler_backend(SnCompiler *cc, const char *name, const SnBackend **out, SnError *err)
{
    for (uint32_t i = 0; i < cc->nbackend; i++) {
        Backend *const b = &cc->backend[i];
        if (strcmp(b->row->name, name) != 0)
            continue;
        if (b->row->module != NULL && b->loaded == NULL)
            SN_TRY(open_module(cc, b, err));
        *out = b->loaded != NULL ? b->loaded : b->row;
        return SN_OK;
    }
    return sn_fail(err, SN_EUNSUPPORTED, "backend %s: not in this build", name);
}
