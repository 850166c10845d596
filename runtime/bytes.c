/* bytes.c -- bounds-checked cursor, UTF-8, mapped files, writing files whole or not at all.
 *
 * UTF-8 follows the Unicode Standard, table 3-7 (well-formed sequences) and section 3.9 (maximal subparts).
 */
#include "runtime/bytes.h"

#include "runtime/hash.h"
#include "runtime/hostcall.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LARGE_FILE ((uint64_t)1 << 20)
#define SETTLED_NS UINT64_C(2000000000) /* after this a change has another modification time */

bool sn_bytes_equal(SnBytes a, SnBytes b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.at, b.at, a.n) == 0);
}

bool sn_bytes_is(SnBytes a, const char *s)
{
    return sn_bytes_equal(a, sn_bytes_str(s));
}

bool sn_bytes_begins(SnBytes a, const char *begin)
{
    const size_t n = strlen(begin);
    return a.n >= n && (n == 0 || memcmp(a.at, begin, n) == 0);
}

bool sn_bytes_ends(SnBytes a, const char *end)
{
    const size_t n = strlen(end);
    return a.n >= n && (n == 0 || memcmp(a.at + a.n - n, end, n) == 0);
}

int sn_bytes_compare(SnBytes a, SnBytes b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int order = n ? memcmp(a.at, b.at, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool sn_is_one_of(SnBytes word, const char *words)
{
    while (*words) {
        const size_t n = strcspn(words, " ,|");
        if (n > 0 && sn_bytes_equal(word, sn_bytes(words, n)))
            return true;
        words += n + (words[n] != '\0');
    }
    return false;
}

size_t sn_find_row(const char *const *first, size_t n, size_t row_size, SnBytes name)
{
    for (size_t i = 0; i < n; i++) {
        const char *own;
        memcpy(&own, (const char *)first + i * row_size, sizeof own);
        if (own && sn_bytes_is(name, own))
            return i;
    }
    return n;
}

/* ---- cursor ---- */

SnReader sn_reader(SnBytes b)
{
    return (SnReader){.at = b.at, .left = b.n};
}

SnBytes sn_take(SnReader *r, size_t n)
{
    if (r->bad || n > r->left) {
        r->bad = true;
        return (SnBytes){NULL, 0};
    }
    const SnBytes b = {r->at, n};
    if (n != 0)
        r->at += n;
    r->left -= n;
    return b;
}

bool sn_skip(SnReader *r, size_t n)
{
    (void)sn_take(r, n);
    return !r->bad;
}

static uint64_t read_le(SnReader *r, size_t n)
{
    const SnBytes b = sn_take(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.n; i++)
        v |= (uint64_t)b.at[i] << (8 * i);
    return v;
}

uint8_t sn_read_u8(SnReader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t sn_read_u16le(SnReader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t sn_read_u32le(SnReader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t sn_read_u64le(SnReader *r)
{
    return read_le(r, 8);
}

/* ---- UTF-8 ---- */

/* The code point at the start of b (not empty), or SN_UTF8_BAD; *n is its length, or that of the ill-formed
 * part. */
static uint32_t utf8_decode(SnBytes b, size_t *n)
{
    const uint32_t lead = b.at[0];
    *n = 1;
    if (lead < 0x80)
        return lead;
    if (lead < 0xC2 || lead > 0xF4)
        return SN_UTF8_BAD;
    const size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t cp = lead & (0x7Fu >> len);
    uint8_t low = 0x80, high = 0xBF; /* of the second byte: rules out overlong forms, surrogates, > 10FFFF */
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (; *n < len; ++*n) {
        if (*n >= b.n || b.at[*n] < low || b.at[*n] > high)
            return SN_UTF8_BAD;
        cp = cp << 6 | (b.at[*n] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    return cp;
}

uint32_t sn_read_utf8(SnReader *r)
{
    if (r->bad || r->left == 0) {
        r->bad = true;
        return 0;
    }
    size_t n;
    const uint32_t cp = utf8_decode((SnBytes){r->at, r->left}, &n);
    (void)sn_skip(r, cp == SN_UTF8_BAD ? 1 : n);
    return cp;
}

/* Bytes below 80 at the start of b. */
static inline size_t ascii_prefix(SnBytes b)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= b.n; i += sizeof word) {
        memcpy(&word, b.at + i, sizeof word);
        const uint64_t others = word & ones << 7;
        if (others != 0) /* of the bits below the first one: one in each byte */
            return i + (size_t)((((others & (0 - others)) - 1) & ones) * ones >> 56) - 1;
    }
    while (i < b.n && b.at[i] < 0x80)
        i++;
    return i;
}

/* A byte in the order of signed numbers, which compare faster. */
#define SIGNED(byte) ((int8_t)((byte)-0x80))

/* Is the byte at p one that cannot follow the three before it? By bytes alone, so that many are looked at
 * together: what they say about a continuation differs from what it is, or it is none that they may have. */
static inline bool breaks_utf8(const uint8_t *p)
{
    const int8_t c = SIGNED(p[0]), a = SIGNED(p[-1]);
    const bool is_tail = (c >= SIGNED(0x80)) & (c < SIGNED(0xC0));
    const bool follows =
        (a >= SIGNED(0xC0)) | (SIGNED(p[-2]) >= SIGNED(0xE0)) | (SIGNED(p[-3]) >= SIGNED(0xF0));
    return (is_tail != follows) | (p[0] == 0xC0) | (p[0] == 0xC1) | (c > SIGNED(0xF4)) |
           ((p[-1] == 0xE0) & (c < SIGNED(0xA0))) | ((p[-1] == 0xED) & (c > SIGNED(0x9F))) |
           ((p[-1] == 0xF0) & (c < SIGNED(0x90))) | ((p[-1] == 0xF4) & (c > SIGNED(0x8F)));
}

enum { UTF8_CHUNK = 32, UTF8_HEAD = 3 };

/* A character begins at p. Where the last character begins of as many chunks as are well-formed. */
SN_INLINE size_t utf8_chunks(const uint8_t *p, size_t n, bool looks_for_ascii)
{
    uint8_t head[2 * UTF8_HEAD] = {0};
    size_t at = UTF8_HEAD;
    if (n < UTF8_HEAD + UTF8_CHUNK)
        return 0;
    memcpy(head + UTF8_HEAD, p, UTF8_HEAD);
    for (int i = 0; i < UTF8_HEAD; i++)
        if (breaks_utf8(head + UTF8_HEAD + i))
            return 0;
    for (; n - at >= UTF8_CHUNK; at += UTF8_CHUNK) {
        const uint8_t *const chunk = p + at;
        uint8_t all = chunk[-3] | chunk[-2] | chunk[-1], bad = 0;
        for (int i = 0; i < UTF8_CHUNK && looks_for_ascii; i++)
            all |= chunk[i];
        if (looks_for_ascii && all < 0x80)
            continue;
        for (int i = 0; i < UTF8_CHUNK; i++)
            bad |= breaks_utf8(chunk + i);
        if (bad)
            break;
    }
    while ((p[--at] & 0xC0) == 0x80)
        ;
    return at;
}

SN_V3 static size_t utf8_chunks_v3(const uint8_t *p, size_t n)
{
    return utf8_chunks(p, n, false);
}

size_t sn_utf8_prefix_on(SnBytes b, bool has_v3)
{
    size_t i = has_v3 ? utf8_chunks_v3(b.at, b.n) : utf8_chunks(b.at, b.n, true), n;
    while (i < b.n) {
        const SnBytes rest = {b.at + i, b.n - i};
        if (rest.at[0] < 0x80)
            n = ascii_prefix(rest);
        else if (utf8_decode(rest, &n) == SN_UTF8_BAD)
            break;
        i += n;
    }
    return i;
}

size_t sn_utf8_prefix(SnBytes b)
{
    return sn_utf8_prefix_on(b, false);
}

size_t sn_utf8_count(SnBytes b)
{
    size_t n = 0;
    for (size_t i = 0; i < b.n; i++)
        n += (b.at[i] & 0xC0) != 0x80;
    return n;
}

bool sn_utf8_valid(SnBytes b)
{
    return sn_utf8_prefix(b) == b.n;
}

size_t sn_utf8_size(SnBytes b)
{
    size_t n;
    (void)utf8_decode(b, &n);
    return n;
}

int sn_utf8_put(uint32_t cp, char out[4])
{
    static const uint8_t mark[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    const int n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80u | (cp & 0x3Fu));
    out[0] = (char)(mark[n] | cp);
    return n;
}

bool sn_utf8_repair(SnText *out, SnBytes in)
{
    while (in.n > 0) {
        size_t n = sn_utf8_prefix(in);
        sn_text_add(out, (const char *)in.at, n);
        in = (SnBytes){in.at + n, in.n - n};
        if (in.n == 0)
            break;
        (void)utf8_decode(in, &n);
        sn_text_add(out, "\xEF\xBF\xBD", 3);
        in = (SnBytes){in.at + n, in.n - n};
    }
    return !out->failed;
}

/* ---- files ---- */

struct SnFile {
    const SnAllocator *memory;
    atomic_uint count;
    void *map;     /* mmap; else NULL */
    uint8_t *at;   /* the map, or what was read, or is lent */
    size_t n, cap; /* cap: of what was read */
    uint64_t identity[4];
    size_t path_size;
    char path[];
};

/* What cannot be mapped: pipes, devices, files of /proc (whose size reads 0). */
static SnStatus file_read(SnFile *f, int fd, SnError *err)
{
    for (;;) {
        SN_CHECK(sn_vec_grow(f->memory, (void **)(void *)&f->at, f->n, &f->cap, 65536, 1), err, SN_ENOMEM,
                 "%s: no memory for %zu bytes", f->path, f->n + 65536);
        const ssize_t got = read(fd, f->at + f->n, f->cap - f->n);
        if (got < 0 && errno == EINTR)
            continue;
        SN_CHECK(got >= 0, err, SN_EIO, "%s: cannot read: %s", f->path, strerror(errno));
        if (got == 0)
            return SN_OK;
        f->n += (size_t)got;
    }
}

static SnStatus file_load(SnFile *f, int fd, SnError *err)
{
    struct stat st;
    SN_CHECK(fstat(fd, &st) == 0, err, SN_EIO, "%s: %s", f->path, strerror(errno));
    SN_CHECK(!S_ISDIR(st.st_mode), err, SN_EIO, "%s: is a folder, expected a file", f->path);
    f->identity[0] = (uint64_t)st.st_dev;
    f->identity[1] = (uint64_t)st.st_ino;
    f->identity[2] = (uint64_t)st.st_size;
    f->identity[3] = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    if (S_ISREG(st.st_mode) && st.st_size > 0) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            f->map = map;
            f->at = (uint8_t *)map;
            f->n = (size_t)st.st_size;
            return SN_OK;
        }
    }
    return file_read(f, fd, err);
}

static SnStatus file_create(SnContext *ctx, const char *path, SnFile **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    const size_t path_size = strlen(path) + 1;
    SnFile *f = (SnFile *)sn_alloc_zero(memory, sizeof *f + path_size, _Alignof(SnFile));
    SN_CHECK(f, err, SN_ENOMEM, "%s: no memory for %zu bytes", path, sizeof *f + path_size);
    f->memory = memory;
    f->path_size = path_size;
    memcpy(f->path, path, path_size);
    atomic_init(&f->count, 1);
    *out = f;
    return SN_OK;
}

SnStatus sn_file_open(SnContext *ctx, const char *path, SnFile **out, SnError *err)
{
    SnFile *f = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SN_CHECK(fd >= 0, err, SN_EIO, "%s: %s", path, strerror(errno));
    SnStatus st = file_create(ctx, path, &f, err);
    if (st == SN_OK)
        st = file_load(f, fd, err);
    close(fd);
    if (st == SN_OK)
        *out = f;
    else
        sn_file_release(f);
    return st;
}

SnStatus sn_file_lend(SnContext *ctx, const char *path, SnBytes bytes, SnFile **out, SnError *err)
{
    const SnHash128 h = sn_hash128(bytes.at, bytes.n, 0);
    SN_TRY(file_create(ctx, path, out, err));
    (*out)->at = (uint8_t *)(uintptr_t)bytes.at;
    (*out)->n = bytes.n;
    (*out)->identity[0] = h.lo;
    (*out)->identity[1] = h.hi;
    (*out)->identity[2] = bytes.n;
    return SN_OK;
}

/* The count may change on several threads, as instances do; the last release must see all uses: acq_rel. */
SnFile *sn_file_retain(SnFile *f)
{
    atomic_fetch_add_explicit(&f->count, 1, memory_order_relaxed);
    return f;
}

void sn_file_release(SnFile *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->count, 1, memory_order_acq_rel) != 1)
        return;
    if (f->map != NULL)
        munmap(f->map, f->n);
    else if (f->cap > 0)
        sn_free(f->memory, f->at, f->cap, _Alignof(max_align_t));
    sn_free(f->memory, f, sizeof *f + f->path_size, _Alignof(SnFile));
}

void sn_file_expect_use(SnFile *f)
{
    if (f->map != NULL)
        sn_expect_use(f->map, f->n);
}

bool sn_file_forget(const SnFile *f, SnBytes part)
{
    const uintptr_t file = (uintptr_t)f->at, from = (uintptr_t)part.at;
    if (from < file || from - file > f->n || part.n > f->n - (from - file))
        return false;
#if defined(MADV_DONTNEED)
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = (page - from % page) % page;
    if (f->map != NULL && part.n > skip)
        (void)madvise((uint8_t *)f->map + (from - file) + skip, (part.n - skip) / page * page, MADV_DONTNEED);
#endif
    return true;
}

SnBytes sn_file_bytes(const SnFile *f)
{
    return (SnBytes){f->at, f->n};
}

const char *sn_file_path(const SnFile *f)
{
    return f->path;
}

SnStatus sn_path_join(char out[SN_PATH_SIZE], const char *folder, const char *name, SnError *err)
{
    const int n = snprintf(out, SN_PATH_SIZE, "%s/%s", folder, name);
    SN_CHECK(n > 0 && n < SN_PATH_SIZE, err, SN_EINVAL, "%s: the path is too long", folder);
    return SN_OK;
}

bool sn_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void sn_file_identity(const SnFile *f, uint64_t out[4])
{
    memcpy(out, f->identity, sizeof f->identity);
}

bool sn_file_is_settled(const SnFile *f)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    return f->identity[3] + SETTLED_NS <= (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- writing ---- */

struct SnOutFile {
    const SnAllocator *memory;
    SnText name, path; /* what is written, and what it will be; equal: in place */
    int fd;
};

/* Devices and pipes (/dev/null, /dev/stdout) are written to, not replaced. */
static bool is_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static bool in_place(const SnOutFile *f)
{
    return strcmp(f->name.at, f->path.at) == 0;
}

static void free_out(SnOutFile *f)
{
    sn_text_clear(&f->name);
    sn_text_clear(&f->path);
    sn_free(f->memory, f, sizeof *f, _Alignof(max_align_t));
}

static SnStatus cannot_write(const SnOutFile *f, int why, SnError *err)
{
    return sn_fail(err, SN_EIO, "%s: cannot write: %s", f->path.at, strerror(why));
}

SnStatus sn_out_begin(SnContext *ctx, const char *path, uint64_t size, SnOutFile **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnOutFile *f = sn_alloc_zero(memory, sizeof *f, _Alignof(max_align_t));
    SN_CHECK(f, err, SN_ENOMEM, "%s: no memory", path);
    *f = (SnOutFile){.memory = memory, .name = {.memory = memory}, .path = {.memory = memory}, .fd = -1};
    const bool is_replaced = !is_special(path);
    sn_text_printf(&f->path, "%s", path);
    if (is_replaced)
        sn_text_printf(&f->name, "%s.%" PRIx64 ".%ld", path, sn_now_ns(), (long)getpid());
    else
        sn_text_printf(&f->name, "%s", path);
    if (f->name.failed || f->path.failed) {
        free_out(f);
        return sn_fail(err, SN_ENOMEM, "%s: no memory for its name", path);
    }
    f->fd = open(f->name.at, O_WRONLY | O_CLOEXEC | (is_replaced ? O_CREAT | O_EXCL : 0), 0666);
    int why = f->fd < 0 ? errno : 0;
    /* Room on the disk for large files, before anything is written: a full disk shows at once, and the rename
     * need not wait for blocks to be found. Where that cannot be done the writes will show it. */
    if (!why && is_replaced && size >= LARGE_FILE && size <= INT64_MAX)
        why = posix_fallocate(f->fd, 0, (off_t)size);
    if (f->fd < 0 || why == ENOSPC || why == EFBIG) {
        const SnStatus st = cannot_write(f, why, err);
        sn_out_abandon(f);
        return st;
    }
    *out = f;
    return SN_OK;
}

SnStatus sn_out_add(SnOutFile *f, SnBytes b, SnError *err)
{
    while (b.n > 0) {
        const ssize_t put = write(f->fd, b.at, b.n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return cannot_write(f, errno, err);
        b = (SnBytes){b.at + put, b.n - (size_t)put};
    }
    return SN_OK;
}

void sn_out_abandon(SnOutFile *f)
{
    if (!f)
        return;
    if (f->fd >= 0) {
        (void)close(f->fd);
        if (!in_place(f))
            (void)unlink(f->name.at);
    }
    free_out(f);
}

SnStatus sn_out_end(SnOutFile *f, SnError *err)
{
    int why = close(f->fd) != 0 ? errno : 0;
    if (!why && !in_place(f) && rename(f->name.at, f->path.at) != 0)
        why = errno;
    if (why && !in_place(f))
        (void)unlink(f->name.at);
    const SnStatus st = why ? cannot_write(f, why, err) : SN_OK;
    free_out(f);
    return st;
}

SnStatus sn_file_write(SnContext *ctx, const char *path, const SnBytes *parts, size_t npart, SnError *err)
{
    uint64_t size = 0;
    SnOutFile *f = NULL;
    for (size_t i = 0; i < npart; i++)
        size += parts[i].n;
    SN_TRY(sn_out_begin(ctx, path, size, &f, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < npart; i++)
        st = sn_out_add(f, parts[i], err);
    if (st == SN_OK)
        return sn_out_end(f, err);
    sn_out_abandon(f);
    return st;
}
