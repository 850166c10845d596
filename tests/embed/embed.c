/* embed.c -- the allocator, and inputs and outputs of runs. */
#include "tests/embed/embed.h"

#include "runtime/dtype.h"
#include "runtime/memory.h"

#include <stdlib.h>

/* ---- memory ---- */

/* Before each block: what it was asked for, so that a free or resize with other numbers is seen. */
typedef struct Header {
    size_t size, align;
    uint64_t magic;
} Header;

#define MAGIC 0x534e454d42454421u

static Header *header_of(void *ptr)
{
    return (Header *)(void *)((uint8_t *)ptr - sizeof(Header));
}

static void check_block(EmbedMemory *m, void *ptr, size_t old_size, size_t align)
{
    const Header *h = header_of(ptr);
    if (h->magic != MAGIC)
        m->wrong = "a block that is not live";
    else if (h->size != old_size)
        m->wrong = "old_size is not what was asked for";
    else if (h->align != align)
        m->wrong = "align is not what was asked for";
}

static void *new_block(EmbedMemory *m, size_t size, size_t align)
{
    const size_t room = sizeof(Header) > align ? sizeof(Header) + align : 2 * align;
    if (align == 0 || (align & (align - 1)) != 0)
        m->wrong = "align is no power of two";
    uint8_t *base = size < SIZE_MAX / 2 ? malloc(room + size + sizeof(void *)) : NULL;
    if (!base)
        return NULL;
    uint8_t *at = base + sizeof(void *) + sizeof(Header);
    at += (align - (uintptr_t)at % align) % align;
    *header_of(at) = (Header){size, align, MAGIC};
    memcpy(at - sizeof(Header) - sizeof(void *), &base, sizeof base);
    m->live++;
    m->bytes += size;
    return at;
}

static void free_block(EmbedMemory *m, void *ptr)
{
    void *base;
    memcpy(&base, (uint8_t *)ptr - sizeof(Header) - sizeof(void *), sizeof base);
    m->bytes -= header_of(ptr)->size;
    header_of(ptr)->magic = 0;
    m->live--;
    free(base);
}

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    EmbedMemory *m = self;
    if (ptr)
        check_block(m, ptr, old_size, align);
    if (new_size == 0) {
        if (ptr)
            free_block(m, ptr);
        return NULL;
    }
    m->count++;
    if (m->largest && new_size > m->largest)
        return NULL;
    if (m->fail_at && (m->count == m->fail_at || (m->all_after && m->count > m->fail_at)))
        return NULL;
    void *at = new_block(m, new_size, align);
    if (at && ptr) {
        memcpy(at, ptr, old_size < new_size ? old_size : new_size);
        free_block(m, ptr);
    }
    return at;
}

SnAllocator embed_allocator(EmbedMemory *m)
{
    return (SnAllocator){m, resize};
}

/* ---- runs of a program ---- */

float embed_noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

void embed_fill(EmbedInput *in, uint32_t seed)
{
    int64_t at = 0;
    for (size_t i = 0; i < SN_COUNT(in->x); i++)
        in->x[i] = embed_noise(&seed);
    for (int32_t i = 0; i < (int32_t)SN_COUNT(in->child); i++)
        in->child[i] = i;
    for (int64_t i = 0; i < EMBED_ROWS; i++) {
        in->start[i] = at;
        in->len[i] = i % (EMBED_LONGEST + 1);
        at += in->len[i];
    }
}

SnStatus embed_bind(SnInstance *s, EmbedInput *in, SnError *err)
{
    const SnView x = sn_view(SN_F32, in->x, 2, (int64_t[]){EMBED_ROWS, EMBED_WIDTH});
    SnView ids = sn_view(SN_I32, in->child, 1, (int64_t[]){EMBED_ROWS});
    ids.start = in->start;
    ids.len = in->len;
    ids.child_count = SN_COUNT(in->child);
    SN_TRY(sn_bind(s, "x", &x, err));
    return sn_bind(s, "ids", &ids, err);
}

static SnStatus take(SnInstance *s, const char *name, void *to, size_t size, SnError *err)
{
    SnView v;
    SN_TRY(sn_result(s, name, &v, err));
    size_t have = sn_dtype_size(v.dtype);
    for (int32_t i = 0; i < v.ndim; i++)
        have *= (size_t)v.dims[i];
    SN_CHECK(have == size, err, SN_EINTERNAL, "%s: %zu bytes, expected %zu", name, have, size);
    memcpy(to, v.data, size);
    return SN_OK;
}

SnStatus embed_output(SnInstance *s, EmbedOutput *out, SnError *err)
{
    SN_TRY(take(s, "y", out->y, sizeof out->y, err));
    SN_TRY(take(s, "energy", out->energy, sizeof out->energy, err));
    SN_TRY(take(s, "ids", out->ids, sizeof out->ids, err));
    return take(s, "total", &out->total, sizeof out->total, err);
}
