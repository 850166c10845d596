/* thrift.c -- Thrift's compact protocol, read from hostile bytes and written. */
#include "frontends/data/thrift.h"

enum { MOST_DEPTH = 32 };

/* ---- reading ---- */

uint64_t sn_thrift_varint(SnThrift *t)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = sn_read_u8(&t->r);
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return t->r.bad ? 0 : v;
    }
    t->r.bad = true;
    return 0;
}

int64_t sn_thrift_zigzag(SnThrift *t)
{
    const uint64_t v = sn_thrift_varint(t);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

bool sn_thrift_next(SnThrift *t, SnThriftField *f)
{
    const uint8_t head = sn_read_u8(&t->r);
    if (t->r.bad || head == 0)
        return false;
    const int64_t id = head >> 4 ? f->id + (head >> 4) : sn_thrift_zigzag(t);
    f->id = id > 0 && id < INT16_MAX ? (int)id : 0;
    f->type = (SnThriftType)(head & 15);
    return !t->r.bad;
}

static size_t list_head(SnThrift *t, SnThriftType *item)
{
    const uint8_t head = sn_read_u8(&t->r);
    const uint64_t n = head >> 4 == 15 ? sn_thrift_varint(t) : head >> 4;
    *item = (SnThriftType)(head & 15);
    if (n > t->r.left)
        t->r.bad = true;
    return t->r.bad ? 0 : (size_t)n;
}

static void skip_map(SnThrift *t)
{
    const uint64_t n = sn_thrift_varint(t);
    const uint8_t types = n ? sn_read_u8(&t->r) : 0;
    for (uint64_t i = 0; i < n && !t->r.bad; i++) {
        sn_thrift_skip(t, (SnThriftType)(types >> 4));
        sn_thrift_skip(t, (SnThriftType)(types & 15));
    }
}

static void skip_list(SnThrift *t)
{
    SnThriftType item;
    const size_t n = list_head(t, &item);
    for (size_t i = 0; i < n && !t->r.bad; i++)
        if (item == SN_THRIFT_TRUE || item == SN_THRIFT_FALSE)
            (void)sn_skip(&t->r, 1);
        else
            sn_thrift_skip(t, item);
}

void sn_thrift_skip(SnThrift *t, SnThriftType type)
{
    SnThriftField f = {0};
    if (++t->depth > MOST_DEPTH)
        t->r.bad = true;
    switch (t->r.bad ? 0 : (int)type) {
    case SN_THRIFT_TRUE:
    case SN_THRIFT_FALSE:
        break;
    case SN_THRIFT_I8:
        (void)sn_skip(&t->r, 1);
        break;
    case SN_THRIFT_I16:
    case SN_THRIFT_I32:
    case SN_THRIFT_I64:
        (void)sn_thrift_varint(t);
        break;
    case SN_THRIFT_F64:
        (void)sn_skip(&t->r, 8);
        break;
    case SN_THRIFT_BINARY:
        (void)sn_thrift_item(t);
        break;
    case SN_THRIFT_LIST:
    case SN_THRIFT_SET:
        skip_list(t);
        break;
    case SN_THRIFT_MAP:
        skip_map(t);
        break;
    case SN_THRIFT_STRUCT:
        while (sn_thrift_next(t, &f))
            sn_thrift_skip(t, f.type);
        break;
    default:
        t->r.bad = true;
    }
    t->depth--;
}

int64_t sn_thrift_int(SnThrift *t, const SnThriftField *f, int64_t otherwise)
{
    if (f->type == SN_THRIFT_I8)
        return (int8_t)sn_read_u8(&t->r);
    if (f->type == SN_THRIFT_I16 || f->type == SN_THRIFT_I32 || f->type == SN_THRIFT_I64)
        return sn_thrift_zigzag(t);
    sn_thrift_skip(t, f->type);
    return otherwise;
}

bool sn_thrift_bool(SnThrift *t, const SnThriftField *f)
{
    if (f->type != SN_THRIFT_TRUE)
        sn_thrift_skip(t, f->type);
    return f->type == SN_THRIFT_TRUE;
}

SnBytes sn_thrift_item(SnThrift *t)
{
    const uint64_t n = sn_thrift_varint(t);
    if (n > t->r.left)
        t->r.bad = true;
    return t->r.bad ? (SnBytes){NULL, 0} : sn_take(&t->r, (size_t)n);
}

SnBytes sn_thrift_binary(SnThrift *t, const SnThriftField *f)
{
    if (f->type == SN_THRIFT_BINARY)
        return sn_thrift_item(t);
    sn_thrift_skip(t, f->type);
    return (SnBytes){NULL, 0};
}

bool sn_thrift_is_struct(SnThrift *t, const SnThriftField *f)
{
    if (f->type == SN_THRIFT_STRUCT)
        return true;
    sn_thrift_skip(t, f->type);
    return false;
}

size_t sn_thrift_list(SnThrift *t, const SnThriftField *f, SnThriftType item)
{
    SnThriftType found;
    if (f->type != SN_THRIFT_LIST) {
        sn_thrift_skip(t, f->type);
        return 0;
    }
    const size_t n = list_head(t, &found);
    if (n && found != item)
        t->r.bad = true;
    return t->r.bad ? 0 : n;
}

/* ---- writing ---- */

void sn_thrift_put_varint(SnText *t, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        sn_text_add(t, (const char[]){(char)(uint8_t)(v | 0x80)}, 1);
    sn_text_add(t, (const char[]){(char)(uint8_t)v}, 1);
}

void sn_thrift_put_item(SnThriftOut *o, int64_t v)
{
    sn_thrift_put_varint(o->to, (uint64_t)v << 1 ^ (uint64_t)(v < 0 ? -1 : 0));
}

static void put_head(SnThriftOut *o, int id, SnThriftType type)
{
    const int step = id - o->last[o->depth];
    o->last[o->depth] = id;
    const bool is_near = step > 0 && step < 16;
    sn_text_add(o->to, (const char[]){(char)((is_near ? step << 4 : 0) | (int)type)}, 1);
    if (!is_near)
        sn_thrift_put_item(o, id);
}

void sn_thrift_begin(SnThriftOut *o, int id)
{
    if (id)
        put_head(o, id, SN_THRIFT_STRUCT);
    SN_ASSERT(o->depth + 1 < (int)SN_COUNT(o->last));
    o->last[++o->depth] = 0;
}

void sn_thrift_end(SnThriftOut *o)
{
    sn_text_add(o->to, "", 1);
    o->depth--;
}

void sn_thrift_put_i32(SnThriftOut *o, int id, int64_t v)
{
    put_head(o, id, SN_THRIFT_I32);
    sn_thrift_put_item(o, v);
}

void sn_thrift_put_i64(SnThriftOut *o, int id, int64_t v)
{
    put_head(o, id, SN_THRIFT_I64);
    sn_thrift_put_item(o, v);
}

void sn_thrift_put_bool(SnThriftOut *o, int id, bool v)
{
    put_head(o, id, v ? SN_THRIFT_TRUE : SN_THRIFT_FALSE);
}

void sn_thrift_put_i8(SnThriftOut *o, int id, int8_t v)
{
    put_head(o, id, SN_THRIFT_I8);
    sn_text_add(o->to, (const char[]){(char)v}, 1);
}

void sn_thrift_put_binary(SnThriftOut *o, int id, SnBytes v)
{
    if (id)
        put_head(o, id, SN_THRIFT_BINARY);
    sn_thrift_put_varint(o->to, v.n);
    sn_text_add(o->to, (const char *)v.at, v.n);
}

void sn_thrift_put_list(SnThriftOut *o, int id, SnThriftType item, size_t n)
{
    put_head(o, id, SN_THRIFT_LIST);
    sn_text_add(o->to, (const char[]){(char)((n < 15 ? (int)n << 4 : 0xF0) | (int)item)}, 1);
    if (n >= 15)
        sn_thrift_put_varint(o->to, n);
}
