/* write.c -- writes the GGUF container, version 3. */
#include "frontends/gguf/gguf.h"

#include <inttypes.h>

#define MAGIC     0x46554747u
#define ALIGNMENT 32
#define ARRAY     9

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

static void put_scalar(SnText *t, SnGgufValue type, const SnJson *v)
{
    double x = 0;
    float f;
    uint32_t bits;
    SnBytes text = sn_bytes("", 0);
    int64_t i = 0;
    switch (type) {
    case SN_GGUF_BOOL:
        put_bits(t, v->kind == SN_JSON_BOOL && v->u.boolean, 1);
        break;
    case SN_GGUF_STRING:
        (void)sn_json_string(v, &text);
        put_string(t, text);
        break;
    case SN_GGUF_F32:
        (void)sn_json_number(v, &x);
        f = (float)x;
        memcpy(&bits, &f, sizeof bits);
        put_bits(t, bits, 4);
        break;
    case SN_GGUF_U32:
    case SN_GGUF_I32:
        (void)sn_json_int(v, &i);
        put_bits(t, (uint64_t)i, 4);
    }
}

void sn_gguf_put(SnGgufMeta *m, const char *key, SnGgufValue type, const SnJson *v)
{
    if (sn_json_is_null(v))
        return;
    m->n++;
    put_string(&m->text, sn_bytes_str(key));
    if (v->kind == SN_JSON_ARRAY) {
        put_bits(&m->text, ARRAY, 4);
        put_bits(&m->text, type, 4);
        put_bits(&m->text, v->n, 8);
        for (uint32_t i = 0; i < v->n; i++)
            put_scalar(&m->text, type, &v->u.child[i]);
    } else {
        put_bits(&m->text, type, 4);
        put_scalar(&m->text, type, v);
    }
}

void sn_gguf_put_text(SnGgufMeta *m, const char *key, const char *v)
{
    const SnJson text = {.kind = SN_JSON_STRING, .u.string = sn_bytes_str(v)};
    sn_gguf_put(m, key, SN_GGUF_STRING, &text);
}

void sn_gguf_put_int(SnGgufMeta *m, const char *key, int64_t v)
{
    const SnJson number = {.kind = SN_JSON_INT, .u.integer = v};
    sn_gguf_put(m, key, SN_GGUF_U32, &number);
}

void sn_gguf_put_pair(SnGgufMeta *m, SnBytes pair)
{
    m->n++;
    sn_text_add(&m->text, (const char *)pair.at, pair.n);
}

static size_t padding(size_t n)
{
    return (ALIGNMENT - n % ALIGNMENT) % ALIGNMENT;
}

/* The header, and the bytes of tensors in *size. */
static SnStatus put_header(SnText *t, const char *path, const SnGgufMeta *meta, const SnGgufTensor *tensor,
                           size_t n, uint64_t *size, SnError *err)
{
    static const char zeros[ALIGNMENT];
    *size = 0;
    put_bits(t, MAGIC, 4);
    put_bits(t, 3, 4);
    put_bits(t, n, 8);
    put_bits(t, meta->n, 8);
    if (meta->text.n)
        sn_text_add(t, meta->text.at, meta->text.n);
    for (size_t i = 0; i < n; i++) {
        put_string(t, tensor[i].name);
        put_bits(t, (uint64_t)tensor[i].ndim, 4);
        for (int d = tensor[i].ndim; d-- > 0;)
            put_bits(t, (uint64_t)tensor[i].dims[d], 8);
        put_bits(t, tensor[i].type->id, 4);
        put_bits(t, *size, 8);
        *size += tensor[i].bytes.n + padding(tensor[i].bytes.n);
    }
    sn_text_add(t, zeros, padding(t->n));
    SN_CHECK(!t->failed && !meta->text.failed, err, SN_ENOMEM, "%s: no memory for a header", path);
    return SN_OK;
}

SnStatus sn_gguf_write(SnContext *ctx, const char *path, const SnGgufMeta *meta, const SnGgufTensor *tensor,
                       size_t n, SnStatus (*fill)(void *user, size_t i, SnOutFile *out, SnError *err),
                       void *user, SnError *err)
{
    static const uint8_t zeros[ALIGNMENT];
    SnText head = {.memory = sn_allocator(ctx)};
    SnOutFile *f = NULL;
    uint64_t size = 0;
    SnStatus st = put_header(&head, path, meta, tensor, n, &size, err);
    if (st == SN_OK)
        st = sn_out_begin(ctx, path, head.n + size, &f, err);
    if (st == SN_OK)
        st = sn_out_add(f, sn_bytes(head.at, head.n), err);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        st = fill ? fill(user, i, f, err) : sn_out_add(f, tensor[i].bytes, err);
        if (st == SN_OK)
            st = sn_out_add(f, sn_bytes(zeros, padding(tensor[i].bytes.n)), err);
    }
    if (st == SN_OK)
        st = sn_out_end(f, err);
    else
        sn_out_abandon(f);
    sn_text_clear(&head);
    return st;
}
