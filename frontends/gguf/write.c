/* write.c -- writes the GGUF container, version 3. */
#include "frontends/gguf/gguf.h"

#include <inttypes.h>

#define MAGIC     0x46554747u
#define ALIGNMENT 32

enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, I64 = 11 };

static void put_bits(SnText *t, uint64_t v, int bytes)
{
    char b[8];
    for (int i = 0; i < bytes; i++)
        b[i] = (char)(v >> (8 * i) & 0xFF);
    sn_text_add(t, b, (size_t)bytes);
}

static void put_string(SnText *t, SnBytes s)
{
    put_bits(t, s.n, 8);
    sn_text_add(t, (const char *)s.at, s.n);
}

/* The type that holds n values of equal kinds; -1: there is none. */
static int type_of(const SnJson *first, uint32_t n)
{
    int64_t lo = 0, hi = 0;
    for (uint32_t i = 0; i < n; i++) {
        const bool is_number = first[i].kind == SN_JSON_INT || first[i].kind == SN_JSON_FLOAT;
        const bool was_number = first->kind == SN_JSON_INT || first->kind == SN_JSON_FLOAT;
        if (first[i].kind != first->kind && !(is_number && was_number))
            return -1;
        if (first[i].kind == SN_JSON_FLOAT)
            hi = INT64_MAX;
        else if (first[i].kind == SN_JSON_INT && first[i].u.integer < lo)
            lo = first[i].u.integer;
        else if (first[i].kind == SN_JSON_INT && first[i].u.integer > hi)
            hi = first[i].u.integer;
    }
    switch (n ? first->kind : SN_JSON_STRING) {
    case SN_JSON_BOOL:
        return BOOL;
    case SN_JSON_STRING:
        return STRING;
    case SN_JSON_INT:
    case SN_JSON_FLOAT:
        return hi == INT64_MAX                                ? F32
               : lo >= INT32_MIN && hi <= INT32_MAX && lo < 0 ? I32
               : lo >= 0 && hi <= UINT32_MAX                  ? U32
                                                              : I64;
    default:
        return -1;
    }
}

static void put_scalar(SnText *t, int type, const SnJson *v)
{
    float f;
    uint32_t bits;
    const double x = v->kind == SN_JSON_FLOAT ? v->u.number
                     : v->kind == SN_JSON_INT ? (double)v->u.integer
                                              : 0;
    switch (type) {
    case BOOL:
        put_bits(t, v->u.boolean, 1);
        break;
    case STRING:
        put_string(t, v->u.string);
        break;
    case F32:
        f = (float)x;
        memcpy(&bits, &f, sizeof bits);
        put_bits(t, bits, 4);
        break;
    default:
        put_bits(t, (uint64_t)v->u.integer, type == I64 ? 8 : 4);
    }
}

static SnStatus put_value(SnText *t, const char *path, const SnJson *v, SnError *err)
{
    const bool is_array = v->kind == SN_JSON_ARRAY;
    const SnJson *first = is_array ? v->u.child : v;
    const uint32_t n = is_array ? v->n : 1;
    const int type = type_of(first, n);
    SN_CHECK(type >= 0, err, SN_EUNSUPPORTED,
             "%s: metadata %.*s is neither a value nor an array of equal ones", path, (int)v->key.n,
             (const char *)v->key.at);
    put_string(t, v->key);
    if (is_array) {
        put_bits(t, ARRAY, 4);
        put_bits(t, (uint64_t)type, 4);
        put_bits(t, n, 8);
    } else {
        put_bits(t, (uint64_t)type, 4);
    }
    for (uint32_t i = 0; i < n; i++)
        put_scalar(t, type, &first[i]);
    return SN_OK;
}

static size_t padding(size_t n)
{
    return (ALIGNMENT - n % ALIGNMENT) % ALIGNMENT;
}

static SnStatus put_header(SnText *t, const char *path, const SnJson *metadata, const SnGgufTensor *tensor,
                           size_t n, SnError *err)
{
    const uint32_t nkey = metadata ? metadata->n : 0;
    uint64_t offset = 0;
    put_bits(t, MAGIC, 4);
    put_bits(t, 3, 4);
    put_bits(t, n, 8);
    put_bits(t, nkey, 8);
    for (uint32_t i = 0; i < nkey; i++)
        SN_TRY(put_value(t, path, &metadata->u.child[i], err));
    for (size_t i = 0; i < n; i++) {
        put_string(t, tensor[i].name);
        put_bits(t, (uint64_t)tensor[i].ndim, 4);
        for (int d = tensor[i].ndim; d-- > 0;)
            put_bits(t, (uint64_t)tensor[i].dims[d], 8);
        put_bits(t, tensor[i].type->id, 4);
        put_bits(t, offset, 8);
        offset += tensor[i].bytes.n + padding(tensor[i].bytes.n);
    }
    static const char zeros[ALIGNMENT];
    sn_text_add(t, zeros, padding(t->n));
    SN_CHECK(!t->failed, err, SN_ENOMEM, "%s: no memory for a header", path);
    return SN_OK;
}

SnStatus sn_gguf_write(SnContext *ctx, const char *path, const SnJson *metadata, const SnGgufTensor *tensor,
                       size_t n, SnError *err)
{
    static const uint8_t zeros[ALIGNMENT];
    SnText head = {.memory = sn_allocator(ctx)};
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnBytes *part = sn_arena_array(&arena, 2 * n + 1, sizeof *part);
    SnStatus st = part ? put_header(&head, path, metadata, tensor, n, err)
                       : sn_fail(err, SN_ENOMEM, "%s: no memory for %zu tensors", path, n);
    if (st == SN_OK) {
        part[0] = sn_bytes(head.at, head.n);
        for (size_t i = 0; i < n; i++) {
            part[2 * i + 1] = tensor[i].bytes;
            part[2 * i + 2] = sn_bytes(zeros, padding(tensor[i].bytes.n));
        }
        st = sn_file_write(ctx, path, part, 2 * n + 1, err);
    }
    sn_text_clear(&head);
    sn_arena_clear(&arena);
    return st;
}
