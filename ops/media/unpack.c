/* unpack.c -- compressed files, told by how they begin, go through a buffer of fixed size to who takes them.
 */
#include "ops/media/codec.h"

#include <limits.h>

#ifdef SN_ZLIB
#include <zlib.h>
#endif
#ifdef SN_BZIP2
#include <bzlib.h>
#endif
#ifdef SN_XZ
#include <lzma.h>
#endif
#ifdef SN_ZSTD
#define ZSTD_STATIC_LINKING_ONLY /* streams in memory that is given */
#include <zstd.h>
#include <zstd_errors.h>
#endif

#define ALIGN _Alignof(max_align_t)

enum { ROOM = 1 << 18, MOST_WINDOW = 128 << 20, LEAST_LARGE = 1 << 30, MOST_TIMES = 2000 };

typedef enum State { GOES_ON, ENDS, DAMAGED, NO_MEMORY, TOO_WIDE } State;

typedef struct Stream {
    const SnAllocator *memory;
    SnBytes in; /* what is left */
    uint8_t *out;
    size_t n; /* of ROOM that are there */
    union {
#ifdef SN_ZLIB
        z_stream gzip;
#endif
#ifdef SN_BZIP2
        bz_stream bzip2;
#endif
#ifdef SN_XZ
        lzma_stream xz;
#endif
#ifdef SN_ZSTD
        ZSTD_DStream *zstd;
#endif
        int none;
    } u;
#ifdef SN_XZ
    lzma_allocator xz_memory;
#endif
} Stream;

#if defined(SN_ZLIB) || defined(SN_BZIP2) || defined(SN_XZ) || defined(SN_ZSTD)
static void give(void *self, void *at)
{
    sn_codec_give(self, at);
}

static void advance(Stream *s, size_t taken, size_t made)
{
    s->in = sn_bytes(s->in.at + taken, s->in.n - taken);
    s->n = made;
}
#endif

/* Three libraries have the same stream under names of their own. */
#define STREAM_OF(form, type, go_on, close, is_end, is_ok, is_full, is_memory, is_wide)                      \
    static State step_##form(Stream *s)                                                                      \
    {                                                                                                        \
        type *z = &s->u.form;                                                                                \
        const uint32_t in = s->in.n < INT_MAX ? (uint32_t)s->in.n : INT_MAX;                                 \
        z->next_in = (void *)(uintptr_t)s->in.at;                                                            \
        z->avail_in = in;                                                                                    \
        z->next_out = (void *)s->out;                                                                        \
        z->avail_out = ROOM;                                                                                 \
        const int result = (int)(go_on);                                                                     \
        advance(s, in - (size_t)z->avail_in, ROOM - (size_t)z->avail_out);                                   \
        return result == is_end                       ? ENDS                                                 \
               : result == is_ok || result == is_full ? GOES_ON                                              \
               : result == is_memory                  ? NO_MEMORY                                            \
               : result == is_wide                    ? TOO_WIDE                                             \
                                                      : DAMAGED;                                                                \
    }                                                                                                        \
    static void end_##form(Stream *s)                                                                        \
    {                                                                                                        \
        type *z = &s->u.form;                                                                                \
        (void)(close);                                                                                       \
    }

#ifdef SN_ZLIB
static voidpf gzip_take(voidpf self, uInt n, uInt size)
{
    size_t bytes = 0;
    return sn_mul_size(n, size, &bytes) ? sn_codec_take(self, bytes) : NULL;
}

static bool begin_gzip(Stream *s)
{
    s->u.gzip = (z_stream){.zalloc = gzip_take, .zfree = give, .opaque = (voidpf)(uintptr_t)s->memory};
    return inflateInit2(&s->u.gzip, 16 + MAX_WBITS) == Z_OK;
}

STREAM_OF(gzip, z_stream, inflate(z, Z_NO_FLUSH), inflateEnd(z), Z_STREAM_END, Z_OK, Z_BUF_ERROR, Z_MEM_ERROR,
          Z_MEM_ERROR)
#endif

#ifdef SN_BZIP2
static void *bzip2_take(void *self, int n, int size)
{
    size_t bytes = 0;
    return sn_mul_size((size_t)n, (size_t)size, &bytes) ? sn_codec_take(self, bytes) : NULL;
}

static bool begin_bzip2(Stream *s)
{
    s->u.bzip2 = (bz_stream){.bzalloc = bzip2_take, .bzfree = give, .opaque = (void *)(uintptr_t)s->memory};
    return BZ2_bzDecompressInit(&s->u.bzip2, 0, 0) == BZ_OK;
}

STREAM_OF(bzip2, bz_stream, BZ2_bzDecompress(z), BZ2_bzDecompressEnd(z), BZ_STREAM_END, BZ_OK, BZ_OK,
          BZ_MEM_ERROR, BZ_MEM_ERROR)
#endif

#ifdef SN_XZ
static void *xz_take(void *self, size_t n, size_t size)
{
    return sn_mul_size(n, size, &size) ? sn_codec_take(self, size) : NULL;
}

static bool begin_xz(Stream *s)
{
    const lzma_stream none = LZMA_STREAM_INIT;
    s->u.xz = none;
    s->xz_memory = (lzma_allocator){xz_take, give, (void *)(uintptr_t)s->memory};
    s->u.xz.allocator = &s->xz_memory;
    return lzma_stream_decoder(&s->u.xz, MOST_WINDOW, 0) == LZMA_OK;
}

STREAM_OF(xz, lzma_stream, lzma_code(z, LZMA_RUN), lzma_end(z), LZMA_STREAM_END, LZMA_OK, LZMA_BUF_ERROR,
          LZMA_MEM_ERROR, LZMA_MEMLIMIT_ERROR)
#endif

#ifdef SN_ZSTD
static void *zstd_take(void *self, size_t size)
{
    return sn_codec_take(self, size);
}

static bool begin_zstd(Stream *s)
{
    const ZSTD_customMem memory = {zstd_take, give, (void *)(uintptr_t)s->memory};
    s->u.zstd = ZSTD_createDStream_advanced(memory);
    return s->u.zstd && !ZSTD_isError(ZSTD_DCtx_setMaxWindowSize(s->u.zstd, MOST_WINDOW));
}

static State step_zstd(Stream *s)
{
    ZSTD_inBuffer in = {s->in.at, s->in.n, 0};
    ZSTD_outBuffer out = {s->out, ROOM, 0};
    const size_t result = ZSTD_decompressStream(s->u.zstd, &out, &in);
    const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    advance(s, in.pos, out.pos);
    return code == ZSTD_error_frameParameter_windowTooLarge ? TOO_WIDE
           : code == ZSTD_error_memory_allocation           ? NO_MEMORY
           : ZSTD_isError(result)                           ? DAMAGED
           : result == 0                                    ? ENDS
                                                            : GOES_ON;
}

static void end_zstd(Stream *s)
{
    (void)ZSTD_freeDStream(s->u.zstd);
}
#endif

typedef struct Form {
    const char *name, *magic;
    size_t nmagic;
    bool (*begin)(Stream *s); /* NULL: not in this build */
    State (*step)(Stream *s);
    void (*end)(Stream *s);
} Form;

static const Form forms[] = {
#ifdef SN_ZLIB
    {"gzip", "\x1F\x8B", 2, begin_gzip, step_gzip, end_gzip},
#else
    {"gzip", "\x1F\x8B", 2, NULL, NULL, NULL},
#endif
#ifdef SN_BZIP2
    {"bzip2", "BZh", 3, begin_bzip2, step_bzip2, end_bzip2},
#else
    {"bzip2", "BZh", 3, NULL, NULL, NULL},
#endif
#ifdef SN_XZ
    {"xz",
     "\xFD"
     "7zXZ",
     6, begin_xz, step_xz, end_xz},
#else
    {"xz",
     "\xFD"
     "7zXZ",
     6, NULL, NULL, NULL},
#endif
#ifdef SN_ZSTD
    {"zstd", "\x28\xB5\x2F\xFD", 4, begin_zstd, step_zstd, end_zstd},
#else
    {"zstd", "\x28\xB5\x2F\xFD", 4, NULL, NULL, NULL},
#endif
};

static const Form *find_form(SnBytes in)
{
    for (size_t i = 0; i < SN_COUNT(forms); i++)
        if (in.n > forms[i].nmagic && memcmp(in.at, forms[i].magic, forms[i].nmagic) == 0)
            return &forms[i];
    return NULL;
}

bool sn_unpack_is(SnBytes file)
{
    return find_form(file) != NULL;
}

typedef struct Progress {
    const char *path, *form;
    SnBytes file;
    size_t size; /* so far */
} Progress;

static SnStatus stopped(const Progress *p, const Stream *s, State state, SnError *err)
{
    const size_t at = p->file.n - s->in.n;
    switch (state) {
    case NO_MEMORY:
        return sn_fail(err, SN_ENOMEM, "%s: no memory to read %s", p->path, p->form);
    case TOO_WIDE:
        return sn_fail(err, SN_EUNSUPPORTED, "%s: byte %zu: %s that needs more than %d bytes to be read",
                       p->path, at, p->form, MOST_WINDOW);
    case DAMAGED:
        return sn_fail(err, SN_EFORMAT,
                       "%s: %s is damaged at byte %zu of %zu, after %zu that were made of it", p->path,
                       p->form, at, p->file.n, p->size);
    default:
        return sn_fail(err, SN_EFORMAT, "%s: %s is cut off after %zu bytes, of which %zu were made", p->path,
                       p->form, p->file.n, p->size);
    }
}

/* One stream, of which a file may have several. */
static SnStatus unpack_one(Progress *p, const Form *form, Stream *s, SnUnpackFn *put, void *self,
                           SnError *err)
{
    State state = form->begin(s) ? GOES_ON : NO_MEMORY;
    SnStatus st = SN_OK;
    while (st == SN_OK && state == GOES_ON) {
        const size_t left = s->in.n;
        s->n = 0;
        state = form->step(s);
        p->size += s->n;
        const size_t at = p->file.n - s->in.n;
        if (s->n)
            st = put(self, sn_bytes(s->out, s->n), err);
        if (st == SN_OK && p->size > LEAST_LARGE && p->size / MOST_TIMES > at)
            st =
                sn_fail(err, SN_EFORMAT, "%s: %s: the bytes up to %zu become %zu, more than %d times as many",
                        p->path, p->form, at, p->size, MOST_TIMES);
        if (state == GOES_ON && s->n == 0 && s->in.n == left)
            break;
    }
    form->end(s);
    return st == SN_OK && state != ENDS ? stopped(p, s, state, err) : st;
}

SnStatus sn_unpack(const SnAllocator *memory, const char *path, SnBytes file, SnUnpackFn *put, void *self,
                   SnError *err)
{
    const Form *form = find_form(file);
    SN_CHECK(form, err, SN_EFORMAT, "%s: not compressed", path);
    SN_CHECK(form->begin, err, SN_EUNSUPPORTED, "%s: this build does not read %s", path, form->name);
    Stream s = {.memory = memory, .in = file, .out = sn_alloc(memory, ROOM, ALIGN)};
    Progress p = {.path = path, .form = form->name, .file = file};
    SnStatus st = s.out ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    while (st == SN_OK && s.in.n) {
        st = find_form(s.in) == form
                 ? unpack_one(&p, form, &s, put, self, err)
                 : sn_fail(err, SN_EFORMAT, "%s: byte %zu: no %s", path, file.n - s.in.n, form->name);
        while (s.in.n && s.in.at[0] == 0) /* archives on tapes are filled up */
            s.in = sn_bytes(s.in.at + 1, s.in.n - 1);
    }
    sn_free(memory, s.out, ROOM, ALIGN);
    return st;
}
