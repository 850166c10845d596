/* memory.c -- checked sizes, blocks, arenas, growable arrays and text, all over one SnAllocator. */
#include "runtime/memory.h"

#include <stdio.h>
#include <sys/mman.h>

bool sn_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

bool sn_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

bool sn_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    if (a > 0 ? (b > 0 ? a > INT64_MAX / b : b < INT64_MIN / a)
              : (b > 0 ? a < INT64_MIN / b : a != 0 && b < INT64_MAX / a))
        return false;
    *out = a * b;
    return true;
}

bool sn_add_i64(int64_t a, int64_t b, int64_t *out)
{
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        return false;
    *out = a + b;
    return true;
}

bool sn_align_size(size_t size, size_t align, size_t *out)
{
    size_t n;
    if (!sn_add_size(size, align - 1, &n))
        return false;
    *out = n & ~(align - 1);
    return true;
}

/* ---- plain blocks ---- */

void *sn_alloc(const SnAllocator *a, size_t size, size_t align)
{
    /* A size of 0 would mean "free" to the host. */
    return a->resize(a->self, NULL, 0, size != 0 ? size : 1, align);
}

void *sn_alloc_zero(const SnAllocator *a, size_t size, size_t align)
{
    void *p = sn_alloc(a, size, align);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}

void *sn_resize(const SnAllocator *a, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    if (ptr == NULL)
        return sn_alloc(a, new_size, align);
    return a->resize(a->self, ptr, old_size != 0 ? old_size : 1, new_size != 0 ? new_size : 1, align);
}

void sn_free(const SnAllocator *a, void *ptr, size_t size, size_t align)
{
    if (ptr != NULL)
        a->resize(a->self, ptr, size != 0 ? size : 1, 0, align);
}

void sn_expect_use(void *at, size_t size)
{
#if defined(MADV_HUGEPAGE)
    const size_t skip = (SN_LARGE_PAGE - (uintptr_t)at % SN_LARGE_PAGE) % SN_LARGE_PAGE;
    if (size > skip && size - skip >= SN_LARGE_PAGE)
        (void)madvise((uint8_t *)at + skip, (size - skip) / SN_LARGE_PAGE * SN_LARGE_PAGE, MADV_HUGEPAGE);
#else
    (void)at;
    (void)size;
#endif
}

/* ---- arena ---- */

#define SN_ARENA_ALIGN 16
#define SN_ARENA_FIRST ((size_t)4096)
#define SN_ARENA_MOST  ((size_t)1 << 20)

struct SnArenaBlock {
    SnArenaBlock *next;
    size_t size, used; /* with this header */
};

#define SN_ARENA_HEADER ((sizeof(SnArenaBlock) + SN_ARENA_ALIGN - 1) & ~(size_t)(SN_ARENA_ALIGN - 1))

/* What is handed out is zeroed, and so touched: large blocks may lie in large pages. */
static size_t block_align(size_t size)
{
    return size >= SN_LARGE_PAGE ? SN_LARGE_PAGE : SN_ARENA_ALIGN;
}

void sn_arena_init(SnArena *a, const SnAllocator *memory)
{
    *a = (SnArena){.memory = memory};
}

void sn_arena_clear(SnArena *a)
{
    SnArenaBlock *b = a->head;
    while (b != NULL) {
        SnArenaBlock *next = b->next;
        sn_free(a->memory, b, b->size, block_align(b->size));
        b = next;
    }
    a->head = NULL;
    a->used = 0;
    a->failed = false;
}

/* A block for at least `size` more bytes. What is larger than the usual block gets one of its own behind the
 * head, so that the room left in the head is not lost. */
static SnArenaBlock *arena_grow(SnArena *a, size_t size)
{
    size_t usual = a->head != NULL ? a->head->size * 2 : SN_ARENA_FIRST;
    if (usual > SN_ARENA_MOST)
        usual = SN_ARENA_MOST;
    size_t need;
    if (!sn_add_size(size, SN_ARENA_HEADER, &need))
        return NULL;
    const bool own = need > usual;
    const size_t block_size = own ? need : usual;
    SnArenaBlock *b = (SnArenaBlock *)sn_alloc(a->memory, block_size, block_align(block_size));
    if (b == NULL)
        return NULL;
    sn_expect_use(b, block_size);
    *b = (SnArenaBlock){.size = block_size, .used = SN_ARENA_HEADER};
    if (own && a->head != NULL) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        b->next = a->head;
        a->head = b;
    }
    return b;
}

void sn_arena_reset(SnArena *a)
{
    SnArenaBlock *b = a->head;
    const size_t used = a->used;
    if (b == NULL || b->next != NULL) {
        sn_arena_clear(a);
        b = used != 0 && used <= SIZE_MAX / 2 ? arena_grow(a, used + used / 4) : NULL;
    }
    if (b != NULL)
        b->used = SN_ARENA_HEADER;
    a->used = 0;
    a->failed = false;
}

static void *arena_fail(SnArena *a)
{
    a->failed = true;
    return NULL;
}

void *sn_arena_alloc(SnArena *a, size_t size)
{
    size_t n, total;
    if (!sn_align_size(size != 0 ? size : 1, SN_ARENA_ALIGN, &n) || !sn_add_size(a->used, n, &total))
        return arena_fail(a);
    if (a->limit != 0 && total > a->limit)
        return arena_fail(a);
    SnArenaBlock *b = a->head;
    if (b == NULL || n > b->size - b->used)
        b = arena_grow(a, n);
    if (b == NULL)
        return arena_fail(a);
    void *p = (char *)b + b->used;
    b->used += n;
    a->used = total;
    memset(p, 0, n);
    return p;
}

void *sn_arena_array(SnArena *a, size_t n, size_t elem_size)
{
    size_t size;
    return sn_mul_size(n, elem_size, &size) ? sn_arena_alloc(a, size) : arena_fail(a);
}

char *sn_arena_strndup(SnArena *a, const char *s, size_t n)
{
    size_t size;
    if (!sn_add_size(n, 1, &size))
        return NULL;
    char *p = (char *)sn_arena_alloc(a, size);
    if (p != NULL && n != 0)
        memcpy(p, s, n);
    return p;
}

char *sn_arena_printf(SnArena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *p = NULL;
    const int n = vsnprintf(NULL, 0, format, args);
    if (n >= 0)
        p = (char *)sn_arena_alloc(a, (size_t)n + 1);
    if (p != NULL)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return p;
}

/* ---- growable arrays ---- */

bool sn_vec_grow(const SnAllocator *a, void **at, size_t n, size_t *cap, size_t more, size_t elem_size)
{
    size_t need, new_size;
    if (!sn_add_size(n, more, &need))
        return false;
    if (need <= *cap)
        return true;
    size_t new_cap = *cap < 8 ? 8 : *cap;
    while (new_cap < need) {
        if (!sn_add_size(new_cap, new_cap / 2, &new_cap))
            return false;
    }
    if (!sn_mul_size(new_cap, elem_size, &new_size))
        return false;
    void *p = sn_resize(a, *at, *cap * elem_size, new_size, _Alignof(max_align_t));
    if (p == NULL)
        return false;
    *at = p;
    *cap = new_cap;
    return true;
}

/* ---- text ---- */

static bool text_reserve(SnText *t, size_t more)
{
    size_t n;
    if (t->failed || !sn_add_size(more, 1, &n) ||
        !sn_vec_grow(t->memory, (void **)(void *)&t->at, t->n, &t->cap, n, 1))
        t->failed = true;
    return !t->failed;
}

void sn_text_add(SnText *t, const char *s, size_t n)
{
    if (!text_reserve(t, n))
        return;
    if (n != 0)
        memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = '\0';
}

void sn_text_printf(SnText *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    if (n < 0)
        t->failed = true;
    else if (text_reserve(t, (size_t)n)) {
        vsnprintf(t->at + t->n, (size_t)n + 1, format, again);
        t->n += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void sn_text_clear(SnText *t)
{
    sn_free(t->memory, t->at, t->cap, _Alignof(max_align_t));
    *t = (SnText){.memory = t->memory};
}
