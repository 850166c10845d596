/* pickle.c -- reads the zip archives of torch.save: data.pkl, a program for a stack machine that builds a
 * dict of tensors, and beside it a file for each storage.
 *
 * The machine knows the opcodes that state_dicts need and a handful of names, which are values and no
 * functions. https://github.com/python/cpython/blob/main/Lib/pickletools.py has the opcodes. */
#include "frontends/hf/pickle.h"

#include "frontends/zip.h"

#include <inttypes.h>

typedef enum Kind {
    NOTHING,
    MARK,
    NONE,
    BOOL,
    INT,
    FLOAT,
    TEXT,
    NAME,
    TUPLE,
    LIST,
    DICT,
    STORAGE,
    TENSOR
} Kind;

/* The names that a pickle may use. */
typedef enum Name { REBUILD_TENSOR, REBUILD_PARAMETER, ORDERED_DICT, STORAGE_CLASS } Name;

static const struct {
    const char *module, *name;
    Name is;
    SnDtype dtype;
} names[] = {
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, SN_NODTYPE},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, SN_NODTYPE},
    {"collections", "OrderedDict", ORDERED_DICT, SN_NODTYPE},
    {"torch", "FloatStorage", STORAGE_CLASS, SN_F32},
    {"torch", "HalfStorage", STORAGE_CLASS, SN_F16},
    {"torch", "BFloat16Storage", STORAGE_CLASS, SN_BF16},
    {"torch", "DoubleStorage", STORAGE_CLASS, SN_F64},
    {"torch", "LongStorage", STORAGE_CLASS, SN_I64},
    {"torch", "IntStorage", STORAGE_CLASS, SN_I32},
    {"torch", "ShortStorage", STORAGE_CLASS, SN_I16},
    {"torch", "CharStorage", STORAGE_CLASS, SN_I8},
    {"torch", "ByteStorage", STORAGE_CLASS, SN_U8},
    {"torch", "BoolStorage", STORAGE_CLASS, SN_BOOL},
};

typedef struct Value Value;

/* Shared by all that refer to it; a dict has key, value, key, value. */
typedef struct Items {
    Value *at;
    size_t n, cap;
} Items;

struct Value {
    Kind kind;
    SnDtype dtype; /* STORAGE */
    union {
        int64_t integer; /* of NAME: the row */
        SnBytes text;    /* of STORAGE: its bytes */
        Items *items;
        SnStTensor *tensor;
    } u;
};

typedef struct Machine {
    SnContext *ctx;
    const char *path;
    SnBytes file, root; /* the archive; the folder in it, "archive/" */
    SnReader r;
    size_t size;   /* of the pickle */
    SnMap storage; /* name of an entry ▶ entry */
    SN_VEC(SnBytes) entry;
    SN_VEC(Value) stack;
    SN_VEC(Value) memo;
    SnSafetensors *out;
    SnError *err;
} Machine;

static SnStatus malformed(const Machine *m)
{
    return sn_fail(m->err, SN_EFORMAT, "%s: its pickle is malformed", m->path);
}

static SnStatus no_memory(const Machine *m)
{
    return sn_fail(m->err, SN_ENOMEM, "%s: no memory for its pickle", m->path);
}

/* ---- the stack ---- */

static SnStatus push(Machine *m, Value v)
{
    return sn_vec_push(sn_allocator(m->ctx), &m->stack, v) ? SN_OK : no_memory(m);
}

static Value pop(Machine *m)
{
    return m->stack.n ? m->stack.at[--m->stack.n] : (Value){.kind = NOTHING};
}

static SnStatus push_int(Machine *m, int64_t v)
{
    return push(m, (Value){.kind = INT, .u.integer = v});
}

/* How many values lie above the last mark; false: there is none. */
static bool above_mark(const Machine *m, size_t *n)
{
    for (*n = 0; *n < m->stack.n; ++*n)
        if (m->stack.at[m->stack.n - 1 - *n].kind == MARK)
            return true;
    return false;
}

static bool grow(Machine *m, Items *x, size_t more)
{
    if (x->cap - x->n >= more)
        return true;
    const size_t cap = 2 * x->cap + more;
    Value *at = sn_arena_array(&m->out->arena, cap, sizeof *at);
    if (at && x->n)
        memcpy(at, x->at, x->n * sizeof *at);
    x->at = at ? at : x->at;
    x->cap = at ? cap : x->cap;
    return at != NULL;
}

/* The n values on top as what the one below them, or a new one, holds. */
static SnStatus gather(Machine *m, Kind kind, size_t n, bool is_new)
{
    if (m->stack.n < n + !is_new)
        return malformed(m);
    Value v = {.kind = kind};
    if (is_new)
        v.u.items = sn_arena_alloc(&m->out->arena, sizeof *v.u.items);
    else if (m->stack.at[m->stack.n - n - 1].kind == kind)
        v = m->stack.at[m->stack.n - n - 1];
    else
        return malformed(m);
    if (!v.u.items || !grow(m, v.u.items, n))
        return no_memory(m);
    if (n)
        memcpy(v.u.items->at + v.u.items->n, m->stack.at + m->stack.n - n, n * sizeof v);
    v.u.items->n += n;
    m->stack.n -= n;
    return is_new ? push(m, v) : SN_OK;
}

/* Those above the mark, which goes too. */
static SnStatus gather_marked(Machine *m, Kind kind, bool is_new)
{
    size_t n = 0;
    if (!above_mark(m, &n) || (kind == DICT && n % 2 != 0))
        return malformed(m);
    const size_t mark = m->stack.n - n - 1;
    memmove(m->stack.at + mark, m->stack.at + mark + 1, n * sizeof *m->stack.at);
    m->stack.n--;
    return gather(m, kind, n, is_new);
}

static SnStatus remember(Machine *m, uint64_t i)
{
    const Value none = {.kind = NOTHING};
    if (m->stack.n == 0 || i > m->size)
        return malformed(m);
    while (m->memo.n <= i)
        if (!sn_vec_push(sn_allocator(m->ctx), &m->memo, none))
            return no_memory(m);
    m->memo.at[i] = m->stack.at[m->stack.n - 1];
    return SN_OK;
}

static SnStatus recall(Machine *m, uint64_t i)
{
    return i < m->memo.n && m->memo.at[i].kind != NOTHING ? push(m, m->memo.at[i]) : malformed(m);
}

/* ---- names, storages, tensors ---- */

static SnStatus push_name(Machine *m, SnBytes module, SnBytes name)
{
    for (size_t i = 0; i < SN_COUNT(names); i++)
        if (sn_bytes_is(module, names[i].module) && sn_bytes_is(name, names[i].name))
            return push(m, (Value){.kind = NAME, .u.integer = (int64_t)i});
    return sn_fail(m->err, SN_EUNSUPPORTED, "%s: its pickle asks for %.*s.%.*s; only tensors are read",
                   m->path, (int)module.n, (const char *)module.at, (int)name.n, (const char *)name.at);
}

static SnBytes take_line(Machine *m)
{
    const uint8_t *end = m->r.left ? memchr(m->r.at, '\n', m->r.left) : NULL;
    const SnBytes line = sn_take(&m->r, end ? (size_t)(end - m->r.at) : m->r.left);
    (void)sn_skip(&m->r, 1);
    return line;
}

/* ('storage', class, key, device, count) */
static SnStatus open_storage(Machine *m)
{
    const Value id = pop(m);
    const Items *x = id.kind == TUPLE ? id.u.items : NULL;
    uint32_t i = 0;
    if (!x || x->n < 5 || x->at[0].kind != TEXT || !sn_bytes_is(x->at[0].u.text, "storage") ||
        x->at[1].kind != NAME || names[x->at[1].u.integer].is != STORAGE_CLASS || x->at[2].kind != TEXT)
        return malformed(m);
    const SnBytes key = x->at[2].u.text;
    SnText name = {.memory = sn_allocator(m->ctx)};
    sn_text_printf(&name, "%.*sdata/%.*s", (int)m->root.n, (const char *)m->root.at, (int)key.n,
                   (const char *)key.at);
    const bool is_there = !name.failed && sn_map_get(&m->storage, sn_bytes(name.at, name.n), &i);
    sn_text_clear(&name);
    SN_CHECK(is_there, m->err, SN_EFORMAT, "%s: no storage %.*s", m->path, (int)key.n, (const char *)key.at);
    return push(m,
                (Value){.kind = STORAGE, .dtype = names[x->at[1].u.integer].dtype, .u.text = m->entry.at[i]});
}

static bool is_ints(const Value *v, size_t most)
{
    bool ok = v->kind == TUPLE && v->u.items->n <= most;
    for (size_t i = 0; ok && i < v->u.items->n; i++)
        ok = v->u.items->at[i].kind == INT && v->u.items->at[i].u.integer >= 0;
    return ok;
}

/* Rows of the last axis that lie apart are put side by side. */
static SnStatus copy_strided(Machine *m, SnStTensor *t, const Items *stride, SnBytes from, size_t count)
{
    const size_t size = sn_dtype_size(t->dtype);
    uint8_t *to = sn_arena_alloc(&m->out->arena, count * size);
    int64_t index[SN_MAX_RANK] = {0};
    if (!to)
        return no_memory(m);
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        for (int d = 0; d < t->ndim; d++)
            at += (size_t)index[d] * (size_t)stride->at[d].u.integer;
        memcpy(to + i * size, from.at + at * size, size);
        for (int d = t->ndim; d-- > 0 && ++index[d] == t->dims[d];)
            index[d] = 0;
    }
    t->bytes = sn_bytes(to, count * size);
    return SN_OK;
}

/* (storage, offset, sizes, strides, ...) */
static SnStatus make_tensor(Machine *m, const Items *x, Value *out)
{
    if (x->n < 4 || x->at[0].kind != STORAGE || x->at[1].kind != INT || x->at[1].u.integer < 0 ||
        !is_ints(&x->at[2], SN_MAX_RANK) || !is_ints(&x->at[3], SN_MAX_RANK) ||
        x->at[2].u.items->n != x->at[3].u.items->n)
        return malformed(m);
    const Items *dims = x->at[2].u.items, *stride = x->at[3].u.items;
    SnStTensor *t = sn_arena_alloc(&m->out->arena, sizeof *t);
    if (!t)
        return no_memory(m);
    *t = (SnStTensor){.dtype = x->at[0].dtype, .ndim = (int)dims->n};
    t->format = sn_dtype(t->dtype)->safetensors;
    const size_t size = sn_dtype_size(t->dtype);
    size_t count = 1, last = (size_t)x->at[1].u.integer, reach;
    bool fits = true, is_dense = true;
    for (size_t d = dims->n; d-- > 0;) {
        const size_t n = (size_t)dims->at[d].u.integer, s = (size_t)stride->at[d].u.integer;
        t->dims[d] = (int64_t)n;
        is_dense = is_dense && (n <= 1 || s == count);
        fits = fits && sn_mul_size(n ? n - 1 : 0, s, &reach) && sn_add_size(last, reach, &last) &&
               sn_mul_size(count, n, &count) && count <= m->file.n;
    }
    SN_CHECK(fits && (count == 0 || last < x->at[0].u.text.n / size), m->err, SN_EFORMAT,
             "%s: a tensor lies outside of its storage", m->path);
    const SnBytes all = x->at[0].u.text, from = count == 0
                                                    ? sn_bytes(all.at, 0)
                                                    : sn_bytes(all.at + (size_t)x->at[1].u.integer * size,
                                                               all.n - (size_t)x->at[1].u.integer * size);
    t->bytes = sn_bytes(from.at, count * size);
    *out = (Value){.kind = TENSOR, .u.tensor = t};
    return is_dense ? SN_OK : copy_strided(m, t, stride, from, count);
}

/* What "calls" stand for. */
static SnStatus reduce(Machine *m)
{
    const Value args = pop(m), fn = pop(m);
    Value v = {.kind = DICT};
    if (args.kind != TUPLE || fn.kind != NAME)
        return malformed(m);
    switch (names[fn.u.integer].is) {
    case REBUILD_TENSOR:
        SN_TRY(make_tensor(m, args.u.items, &v));
        return push(m, v);
    case REBUILD_PARAMETER:
        return args.u.items->n && args.u.items->at[0].kind == TENSOR ? push(m, args.u.items->at[0])
                                                                     : malformed(m);
    case ORDERED_DICT:
        return args.u.items->n == 0 ? gather(m, DICT, 0, true) : malformed(m);
    case STORAGE_CLASS:
        break;
    }
    return malformed(m);
}

/* ---- opcodes ---- */

static SnStatus push_text(Machine *m, uint64_t size)
{
    const SnBytes text = size <= m->r.left ? sn_take(&m->r, (size_t)size) : sn_bytes(NULL, 0);
    return text.at && sn_utf8_valid(text) ? push(m, (Value){.kind = TEXT, .u.text = text}) : malformed(m);
}

static SnStatus push_long(Machine *m)
{
    const uint8_t n = sn_read_u8(&m->r);
    const SnBytes b = sn_take(&m->r, n);
    uint64_t v = b.at && n && b.at[n - 1] & 0x80 ? UINT64_MAX : 0;
    if (n > 8 || m->r.bad)
        return malformed(m);
    for (size_t i = n; i-- > 0;)
        v = v << 8 | b.at[i];
    return push_int(m, (int64_t)v);
}

static SnStatus stack_name(Machine *m)
{
    const Value name = pop(m), module = pop(m);
    return name.kind == TEXT && module.kind == TEXT ? push_name(m, module.u.text, name.u.text) : malformed(m);
}

static SnStatus run_value(Machine *m, uint8_t op)
{
    switch (op) {
    case 'N':
        return push(m, (Value){.kind = NONE});
    case 0x88: /* NEWTRUE, NEWFALSE */
    case 0x89:
        return push(m, (Value){.kind = BOOL, .u.integer = op == 0x88});
    case 'J':
        return push_int(m, (int32_t)sn_read_u32le(&m->r));
    case 'K':
        return push_int(m, sn_read_u8(&m->r));
    case 'M':
        return push_int(m, sn_read_u16le(&m->r));
    case 0x8A: /* LONG1 */
        return push_long(m);
    case 'G':
        (void)sn_skip(&m->r, 8);
        return push(m, (Value){.kind = FLOAT});
    case 'X':
        return push_text(m, sn_read_u32le(&m->r));
    case 0x8C: /* SHORT_BINUNICODE, BINUNICODE8 */
        return push_text(m, sn_read_u8(&m->r));
    case 0x8D:
        return push_text(m, sn_read_u64le(&m->r));
    case 'c': {
        const SnBytes module = take_line(m);
        return push_name(m, module, take_line(m));
    }
    case 0x93:
        return stack_name(m);
    default:
        return sn_fail(m->err, SN_EUNSUPPORTED, "%s: opcode %#x of its pickle; only tensors are read",
                       m->path, op);
    }
}

static SnStatus run_op(Machine *m, uint8_t op)
{
    switch (op) {
    case 0x80: /* PROTO, FRAME */
        return sn_skip(&m->r, 1) ? SN_OK : malformed(m);
    case 0x95:
        return sn_skip(&m->r, 8) ? SN_OK : malformed(m);
    case '(':
        return push(m, (Value){.kind = MARK});
    case ')':
        return gather(m, TUPLE, 0, true);
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        return gather(m, TUPLE, op - 0x84u, true);
    case 't':
        return gather_marked(m, TUPLE, true);
    case ']':
        return gather(m, LIST, 0, true);
    case 'a':
        return gather(m, LIST, 1, false);
    case 'e':
        return gather_marked(m, LIST, false);
    case '}':
        return gather(m, DICT, 0, true);
    case 's':
        return gather(m, DICT, 2, false);
    case 'u':
        return gather_marked(m, DICT, false);
    case 'q':
        return remember(m, sn_read_u8(&m->r));
    case 'r':
        return remember(m, sn_read_u32le(&m->r));
    case 0x94: /* MEMOIZE */
        return remember(m, m->memo.n);
    case 'h':
        return recall(m, sn_read_u8(&m->r));
    case 'j':
        return recall(m, sn_read_u32le(&m->r));
    case 'Q':
        return open_storage(m);
    case 'R':
        return reduce(m);
    case 'b': /* attributes of a dict: what versions its modules had */
        return pop(m).kind == DICT && m->stack.n && m->stack.at[m->stack.n - 1].kind == DICT ? SN_OK
                                                                                             : malformed(m);
    default:
        return run_value(m, op);
    }
}

static SnStatus run(Machine *m)
{
    for (;;) {
        const uint8_t op = sn_read_u8(&m->r);
        if (m->r.bad)
            return malformed(m);
        if (op == '.')
            return m->stack.n == 1 && m->stack.at[0].kind == DICT ? SN_OK : malformed(m);
        SN_TRY(run_op(m, op));
        if (m->r.bad)
            return malformed(m);
    }
}

/* ---- the archive ---- */

static SnStatus list_entries(Machine *m, SnBytes *pickle)
{
    SnZip z;
    SnError inner = {0};
    SnBytes name, data;
    SN_CHECK(sn_zip_open(m->path, m->file, &z, &inner) == SN_OK, m->err, SN_EFORMAT,
             "%s: no zip archive of torch.save (files of torch before 1.6 are not read)", m->path);
    *pickle = sn_bytes(NULL, 0);
    while (z.left > 0) {
        SN_TRY(sn_zip_next(&z, &name, &data, m->err));
        SN_CHECK(sn_map_put(&m->storage, name, (uint32_t)m->entry.n) &&
                     sn_vec_push(sn_allocator(m->ctx), &m->entry, data),
                 m->err, SN_ENOMEM, "%s: no memory for its entries", m->path);
        if (sn_bytes_ends(name, "data.pkl")) {
            *pickle = data;
            m->root = sn_bytes(name.at, name.n - strlen("data.pkl"));
        }
        SN_CHECK(!sn_bytes_ends(name, "byteorder") || sn_bytes_is(data, "little"), m->err, SN_EUNSUPPORTED,
                 "%s: big-endian numbers", m->path);
    }
    SN_CHECK(pickle->at, m->err, SN_EFORMAT, "%s: no data.pkl: not a file of torch.save", m->path);
    return SN_OK;
}

/* Tensors by name; what else a dict has is left out. */
static SnStatus collect(Machine *m)
{
    const Items *x = m->stack.at[0].u.items;
    SnSafetensors *f = m->out;
    f->tensor = sn_arena_array(&f->arena, x->n / 2 + 1, sizeof *f->tensor);
    if (!f->tensor)
        return no_memory(m);
    for (size_t i = 0; i + 1 < x->n; i += 2) {
        uint32_t at = (uint32_t)f->ntensor;
        if (x->at[i].kind != TEXT || x->at[i + 1].kind != TENSOR)
            continue;
        if (!sn_map_get(&f->index, x->at[i].u.text, &at)) {
            f->ntensor++;
            if (!sn_map_put(&f->index, x->at[i].u.text, at))
                return no_memory(m);
        }
        f->tensor[at] = *x->at[i + 1].u.tensor;
        f->tensor[at].name = x->at[i].u.text;
    }
    return SN_OK;
}

SnStatus sn_pickle_parse(SnContext *ctx, const char *name, SnBytes bytes, SnSafetensors *out, SnError *err)
{
    const SnAllocator *a = sn_allocator(ctx);
    SnSafetensors f = {0};
    Machine m = {.ctx = ctx, .path = name, .file = bytes, .out = &f, .err = err};
    SnBytes pickle;
    sn_arena_init(&f.arena, a);
    sn_map_init(&f.index, a);
    sn_map_init(&m.storage, a);
    SnStatus st = list_entries(&m, &pickle);
    if (st == SN_OK) {
        m.r = sn_reader(pickle);
        m.size = pickle.n;
        f.arena.limit = 512 * pickle.n + 2 * bytes.n + 65536; /* tensors that are not dense are copied */
        f.header = bytes.n < 65536 ? bytes.n : 65536;
        st = run(&m);
    }
    if (st == SN_OK)
        st = collect(&m);
    sn_map_clear(&m.storage);
    sn_vec_clear(a, &m.entry);
    sn_vec_clear(a, &m.stack);
    sn_vec_clear(a, &m.memo);
    if (st == SN_OK)
        *out = f;
    else
        sn_safetensors_close(&f);
    return st;
}

SnStatus sn_pickle_open(SnContext *ctx, const char *path, SnSafetensors *out, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    const SnStatus st = sn_pickle_parse(ctx, path, sn_file_bytes(file), out, err);
    if (st == SN_OK)
        out->file = file;
    else
        sn_file_release(file);
    return st;
}
