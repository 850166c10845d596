/* memory.h -- the only door to memory: arenas, growable arrays, overflow-checked sizes, error helpers.
 *
 * Everything is allocated through the context's SnAllocator. Compiler extensions: here and in cpu.c only. */
#ifndef SN_MEMORY_H
#define SN_MEMORY_H

#include "runtime/sinter.h"

#include <stdarg.h>
#include <string.h>

#ifdef NDEBUG
#define SN_ASSERT(cond) ((void)sizeof(cond))
#else
#define SN_ASSERT(cond) ((cond) ? (void)0 : sn_assert_failed(__FILE__, __LINE__, #cond))
#endif
void sn_assert_failed(const char *file, int line, const char *cond);

#if defined(__GNUC__)
#define SN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SN_PRINTF(fmt, args)
#endif

/* A function for CPUs of level v3 (cpu.h): what it inlines is compiled for them, too. Who calls it knows that
 * this is one. */
#if defined(__x86_64__) && defined(__GNUC__)
#define SN_HAS_V3 1
#define SN_V3     __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#else
#define SN_HAS_V3 0
#define SN_V3
#endif
#if defined(__GNUC__)
#define SN_INLINE static inline __attribute__((always_inline))
#else
#define SN_INLINE static inline
#endif

/* ---- errors (error.c) ---- */
SnStatus sn_fail(SnError *err, SnStatus code, const char *format, ...) SN_PRINTF(3, 4);
SnStatus sn_failv(SnError *err, SnStatus code, const char *format, va_list args) SN_PRINTF(3, 0);
/* Puts "prefix: " before the message that is there, as an error travels up past a file or tensor name. */
SnStatus sn_fail_in(SnError *err, SnStatus code, const char *prefix);

#define SN_TRY(expr)                                                                                         \
    do {                                                                                                     \
        const SnStatus sn_try_ = (expr);                                                                     \
        if (sn_try_ != SN_OK)                                                                                \
            return sn_try_;                                                                                  \
    } while (0)

#define SN_CHECK(cond, err, code, ...)                                                                       \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            return sn_fail((err), (code), __VA_ARGS__);                                                      \
    } while (0)

#define SN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- checked sizes: false on overflow, *out is then untouched ---- */
bool sn_mul_size(size_t a, size_t b, size_t *out);
bool sn_add_size(size_t a, size_t b, size_t *out);
bool sn_mul_i64(int64_t a, int64_t b, int64_t *out);
bool sn_add_i64(int64_t a, int64_t b, int64_t *out);
/* Rounds up to a multiple of align (a power of two). */
bool sn_align_size(size_t size, size_t align, size_t *out);

/* The place of the lowest bit that is set; x is not 0. */
static inline unsigned sn_low_bit(uint64_t x)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(x);
#else
    unsigned n = 0;
    for (; (x & 1) == 0; x >>= 1)
        n++;
    return n;
#endif
}

static inline unsigned sn_count_bits(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (unsigned)(((x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* What lies there will be read soon. */
static inline void sn_prefetch(const void *at)
{
#if defined(__GNUC__)
    __builtin_prefetch(at);
#else
    (void)at;
#endif
}

/* ---- plain blocks ---- */
const SnAllocator *sn_allocator(const SnContext *ctx);
const SnJobs *sn_jobs(const SnContext *ctx); /* width is at least 1 */
/* Work for jobs that have run out of tiles while others still have some: fn(arg), by one job at a time. It
 * takes no memory and returns after SN_BESIDE_NS or so. NULL: none. Between runs only. */
#define SN_BESIDE_NS 20000
void sn_jobs_beside(SnContext *ctx, void (*fn)(void *arg), void *arg);
void *sn_alloc(const SnAllocator *a, size_t size, size_t align); /* not zeroed; NULL: no memory */
void *sn_alloc_zero(const SnAllocator *a, size_t size, size_t align);
void *sn_resize(const SnAllocator *a, void *ptr, size_t old_size, size_t new_size, size_t align);
void sn_free(const SnAllocator *a, void *ptr, size_t size, size_t align);
/* Zeros in a block of the allocator. Where it is the default one, large parts that were not touched take no
 * memory before they are written (context.c). */
void sn_zero(const SnAllocator *a, void *at, size_t size);
/* A hint before memory is touched: all of it will be used, and often. The system may back what of it lies at
 * multiples of SN_LARGE_PAGE with larger pages. */
#define SN_LARGE_PAGE ((size_t)2 << 20)
void sn_expect_use(void *at, size_t size);

/* ---- arena: what is built together dies together. init it, allocate, clear it ---- */
typedef struct SnArenaBlock SnArenaBlock;
typedef struct SnArena {
    const SnAllocator *memory;
    SnArenaBlock *head;
    size_t used;  /* bytes handed out */
    size_t limit; /* 0: none; beyond it sn_arena_alloc returns NULL (for untrusted input) */
    bool failed;  /* an allocation returned NULL: sticky, for those who ask once at the end */
} SnArena;

void sn_arena_init(SnArena *a, const SnAllocator *memory);
void sn_arena_clear(SnArena *a); /* gives everything back; the arena may be used again */
/* Empties it and keeps what it had as one block: filled as far again, it takes no memory. */
void sn_arena_reset(SnArena *a);
void *sn_arena_alloc(SnArena *a, size_t size);                /* zeroed, 16-byte aligned; NULL: no memory */
void *sn_arena_array(SnArena *a, size_t n, size_t elem_size); /* overflow-checked, zeroed */
char *sn_arena_strndup(SnArena *a, const char *s, size_t n);  /* adds the terminator */
char *sn_arena_printf(SnArena *a, const char *format, ...) SN_PRINTF(2, 3);

/* ---- growable arrays: SN_VEC(T) v = {0}; v.at[i], v.n ---- */
#define SN_VEC(T)                                                                                            \
    struct {                                                                                                 \
        T *at;                                                                                               \
        size_t n, cap;                                                                                       \
    }
/* Makes room for `more` further elements; false: no memory. */
#define sn_vec_reserve(a, v, more)                                                                           \
    sn_vec_grow((a), (void **)(void *)&(v)->at, (v)->n, &(v)->cap, (more), sizeof *(v)->at)
/* Appends one; false: no memory. */
#define sn_vec_push(a, v, ...)                                                                               \
    (sn_vec_reserve((a), (v), 1) ? ((v)->at[(v)->n++] = (__VA_ARGS__), true) : false)
#define sn_vec_clear(a, v)                                                                                   \
    (sn_free((a), (v)->at, (v)->cap * sizeof *(v)->at, _Alignof(max_align_t)), (v)->at = NULL,               \
     (v)->n = (v)->cap = 0)
bool sn_vec_grow(const SnAllocator *a, void **at, size_t n, size_t *cap, size_t more, size_t elem_size);

/* ---- text being written ---- */
typedef struct SnText { /* init: {.memory = a} */
    const SnAllocator *memory;
    char *at; /* always terminated once something was written */
    size_t n, cap;
    bool failed; /* no memory: sticky, later writes do nothing */
} SnText;
void sn_text_add(SnText *t, const char *s, size_t n);
void sn_text_printf(SnText *t, const char *format, ...) SN_PRINTF(2, 3);
void sn_text_clear(SnText *t);

void sn_log_write(const SnContext *ctx, SnLogLevel level, const char *format, ...) SN_PRINTF(3, 4);

#endif
