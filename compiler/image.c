/* image.c -- registers for dims, and the tables of a program as one position-free block. */
#include "compiler/steps.h"

#define DATA_ALIGN    64u
#define MAX_DIM_DEPTH 256u

uint32_t sn_steps_string(SnSteps *x, const char *text)
{
    uint32_t at = 0;
    if (sn_map_get(&x->string_at, sn_bytes_str(text), &at))
        return at;
    at = (uint32_t)x->string.n;
    sn_text_add(&x->string, text, strlen(text) + 1);
    const char *kept = sn_intern(x->s, text, strlen(text));
    if (!kept || x->string.failed || !sn_map_put(&x->string_at, sn_bytes_str(kept), at))
        x->failed = true;
    return at;
}

/* ---- registers ---- */

uint32_t sn_steps_new_reg(SnSteps *x, uint32_t point)
{
    if (!sn_vec_push(x->memory, &x->reg_point, point))
        x->failed = true;
    return (uint32_t)x->reg_point.n - 1;
}

static void push_instr(SnSteps *x, uint32_t point, SnInstr instr)
{
    if (!sn_vec_push(x->memory, &x->instr, instr) || !sn_vec_push(x->memory, &x->instr_point, point))
        x->failed = true;
}

static bool remember(SnSteps *x, SnRef dim, uint32_t reg)
{
    if (dim >= x->reg_of.n) {
        if (!sn_vec_reserve(x->memory, &x->reg_of, dim + 1 - x->reg_of.n))
            return false;
        memset(x->reg_of.at + x->reg_of.n, 0, (dim + 1 - x->reg_of.n) * sizeof *x->reg_of.at);
        x->reg_of.n = dim + 1;
    }
    x->reg_of.at[dim] = reg + 1;
    return true;
}

/* A symbol has one register an entry; one that is bound at create has one for all. */
static uint32_t symbol_reg(SnSteps *x, SnRef dim)
{
    const bool at_create = sn_attr_int(x->s, dim, "create", 0) != 0;
    const uint32_t name = sn_steps_string(x, sn_attr_string(x->s, dim, "name"));
    for (size_t i = 0; at_create && i < x->symbol.n; i++)
        if (x->symbol.at[i].at_create && x->symbol.at[i].name == name)
            return x->symbol.at[i].reg;
    const uint32_t reg = sn_steps_new_reg(x, at_create ? 0 : x->base);
    const SnSymbolRow row = {.name = name,
                             .reg = reg,
                             .lo = sn_attr_int(x->s, dim, "lo", 0),
                             .hi = sn_attr_int(x->s, dim, "hi", INT64_MAX),
                             .at_create = at_create};
    if (!sn_vec_push(x->memory, &x->symbol, row))
        x->failed = true;
    return reg;
}

static bool instr_op(uint16_t op, SnInstrOp *out)
{
    static const struct {
        uint16_t op;
        SnInstrOp instr;
    } row[] = {{SN_OP_ADD, SN_I_ADD}, {SN_OP_SUB, SN_I_SUB}, {SN_OP_MUL, SN_I_MUL}, {SN_OP_IDIV, SN_I_IDIV},
               {SN_OP_MOD, SN_I_MOD}, {SN_OP_MIN, SN_I_MIN}, {SN_OP_MAX, SN_I_MAX}};
    for (size_t i = 0; i < SN_COUNT(row); i++)
        if (row[i].op == op) {
            *out = row[i].instr;
            return true;
        }
    return false;
}

static SnStatus reg_at(SnSteps *x, SnRef dim, uint32_t depth, uint32_t *reg, SnError *err)
{
    SN_CHECK(dim != 0 && !x->failed, err, SN_ENOMEM, "compile: no memory for dims");
    SN_CHECK(depth < MAX_DIM_DEPTH, err, SN_EUNSUPPORTED, "compile: a dim nests deeper than %u",
             MAX_DIM_DEPTH);
    if (dim < x->reg_of.n && x->reg_of.at[dim]) {
        *reg = x->reg_of.at[dim] - 1;
        return SN_OK;
    }
    const SnTerm *t = sn_term(x->s, dim);
    int64_t value = 0;
    SnInstrOp op = SN_I_CONST;
    if (sn_is_const_i64(x->s, dim, &value)) {
        *reg = sn_steps_new_reg(x, x->base);
        push_instr(x, x->base, (SnInstr){.op = SN_I_CONST, .dst = *reg, .imm = value});
    } else if (t->op == SN_OP_DIM) {
        *reg = symbol_reg(x, dim);
    } else {
        SN_CHECK(instr_op(t->op, &op), err, SN_EUNSUPPORTED, "compile: %s is no dim here",
                 t->op < SN_PRIM_COUNT ? sn_prim(t->op)->name : "an op");
        uint32_t a = 0, b = 0;
        SN_TRY(reg_at(x, t->arg[0], depth + 1, &a, err));
        SN_TRY(reg_at(x, t->arg[1], depth + 1, &b, err));
        const uint32_t pa = x->reg_point.at[a], pb = x->reg_point.at[b];
        uint32_t point = pa > pb ? pa : pb;
        point = point < x->base ? x->base : point;
        *reg = sn_steps_new_reg(x, point);
        push_instr(x, point, (SnInstr){.op = (uint32_t)op, .dst = *reg, .a = a, .b = b});
    }
    SN_CHECK(remember(x, dim, *reg) && !x->failed, err, SN_ENOMEM, "compile: no memory for dims");
    return SN_OK;
}

SnStatus sn_steps_reg(SnSteps *x, SnRef dim, uint32_t *reg, SnError *err)
{
    return reg_at(x, dim, 0, reg, err);
}

SnStatus sn_steps_check(SnSteps *x, SnRef a, SnRef b, const char *what, SnError *err)
{
    SnCheckRow row = {.what = sn_steps_string(x, what)};
    SN_TRY(sn_steps_reg(x, a, &row.a, err));
    SN_TRY(sn_steps_reg(x, b, &row.b, err));
    const uint32_t pa = x->reg_point.at[row.a], pb = x->reg_point.at[row.b];
    uint32_t point = pa > pb ? pa : pb;
    point = point < x->base ? x->base : point;
    SN_CHECK(sn_vec_push(x->memory, &x->check, row) && sn_vec_push(x->memory, &x->check_point, point), err,
             SN_ENOMEM, "compile: no memory for checks");
    return SN_OK;
}

/* ---- the block ---- */

typedef struct Table {
    size_t span; /* offset of its SnSpan in SnImage */
    const void *at;
    size_t n, row;
} Table;

/* Instrs and checks in the order of their points; within one, as they were made (operands first). */
static SnPoint *sort_points(SnSteps *x, SnArena *arena, SnInstr **instr, SnCheckRow **check)
{
    SnPoint *point = sn_arena_array(arena, x->npoint + 1u, sizeof *point);
    *instr = sn_arena_array(arena, x->instr.n + 1, sizeof **instr);
    *check = sn_arena_array(arena, x->check.n + 1, sizeof **check);
    if (!point || !*instr || !*check)
        return NULL;
    for (size_t i = 0; i < x->instr.n; i++)
        point[x->instr_point.at[i]].instr.count++;
    for (size_t i = 0; i < x->check.n; i++)
        point[x->check_point.at[i]].check.count++;
    for (uint32_t i = 1; i < x->npoint; i++) {
        point[i].instr.first = point[i - 1].instr.first + point[i - 1].instr.count;
        point[i].check.first = point[i - 1].check.first + point[i - 1].check.count;
    }
    for (uint32_t i = 0; i < x->npoint; i++)
        point[i].instr.count = point[i].check.count = 0;
    for (size_t i = 0; i < x->instr.n; i++) {
        SnRange *r = &point[x->instr_point.at[i]].instr;
        (*instr)[r->first + r->count++] = x->instr.at[i];
    }
    for (size_t i = 0; i < x->check.n; i++) {
        SnRange *r = &point[x->check_point.at[i]].check;
        (*check)[r->first + r->count++] = x->check.at[i];
    }
    return point;
}

static void *rows_of(uint8_t *image, SnSpan table)
{
    return image + table.offset;
}

/* Rows that name bytes of `data` were made with offsets from its start. */
static void shift_data(uint8_t *image, const SnImage *head)
{
    const uint32_t by = head->data.offset;
    SnBufferRow *buffer = rows_of(image, head->buffer);
    for (uint32_t i = 0; i < head->buffer.count; i++)
        if (buffer[i].kind == SN_BUFFER_DATA)
            buffer[i].index += by;
    SnObjectRow *object = rows_of(image, head->object);
    for (uint32_t i = 0; i < head->object.count; i++)
        object[i].offset += by;
    SnSlotRow *slot = rows_of(image, head->slot);
    for (uint32_t i = 0; i < head->slot.count; i++)
        if (slot[i].init != SN_NONE)
            slot[i].init += by;
}

static bool place_tables(Table *table, size_t n, SnImage *head, size_t *size)
{
    size_t at = sizeof *head;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        if (!sn_align_size(at, DATA_ALIGN, &at) || !sn_mul_size(table[i].n, table[i].row, &bytes))
            return false;
        *(SnSpan *)(void *)((uint8_t *)head + table[i].span) =
            (SnSpan){.offset = (uint32_t)at, .count = (uint32_t)table[i].n};
        if (!sn_add_size(at, bytes, &at) || at > UINT32_MAX)
            return false;
    }
    *size = at;
    return true;
}

SnStatus sn_steps_image(SnSteps *x, SnArena *arena, SnImage **out, SnError *err)
{
    SnInstr *instr = NULL;
    SnCheckRow *check = NULL;
    const SnPoint *point = sort_points(x, arena, &instr, &check);
    SN_CHECK(point && !x->failed && !x->string.failed && !x->data.failed, err, SN_ENOMEM,
             "compile: no memory for the program");
#define TABLE(name, v, count) {offsetof(SnImage, name), (v), (count), sizeof *(v)}
#define VECTOR(name, v)       TABLE(name, (v).at, (v).n)
    Table table[] = {
        VECTOR(string, x->string),       TABLE(instr, instr, x->instr.n), TABLE(point, point, x->npoint),
        TABLE(check, check, x->check.n), VECTOR(symbol, x->symbol),       VECTOR(buffer, x->buffer),
        VECTOR(slot, x->slot),           VECTOR(param, x->param),         VECTOR(object, x->object),
        VECTOR(kernel, x->kernel_row),   VECTOR(step, x->step),           VECTOR(operand, x->operand),
        VECTOR(host, x->host),           VECTOR(host_slot, x->host_slot), VECTOR(attr, x->attr),
        VECTOR(entry, x->entry),         VECTOR(variant, x->variant),     VECTOR(data, x->data)};
#undef VECTOR
#undef TABLE
    SnImage head = {.magic = SN_IMAGE_MAGIC,
                    .abi = SN_ABI,
                    .nreg = (uint32_t)x->reg_point.n,
                    .carry = x->carry,
                    .create_symbol = x->create_symbol,
                    .create_point = 0,
                    .nhost_fn = (uint32_t)x->host_fn.n,
                    .nsegment = x->segment};
    size_t size = 0;
    SN_CHECK(place_tables(table, SN_COUNT(table), &head, &size), err, SN_EUNSUPPORTED,
             "compile: the program is larger than 4 GiB without weights");
    head.size = (uint32_t)size;
    uint8_t *image = sn_arena_alloc(arena, size + DATA_ALIGN);
    SN_CHECK(image, err, SN_ENOMEM, "compile: no memory for a program of %zu bytes", size);
    image += (DATA_ALIGN - (uintptr_t)image % DATA_ALIGN) % DATA_ALIGN;
    for (size_t i = 0; i < SN_COUNT(table); i++)
        if (table[i].n)
            memcpy(image + ((const SnSpan *)(const void *)((const uint8_t *)&head + table[i].span))->offset,
                   table[i].at, table[i].n * table[i].row);
    memcpy(image, &head, sizeof head);
    shift_data(image, &head);
    *out = (SnImage *)(void *)image;
    return SN_OK;
}
