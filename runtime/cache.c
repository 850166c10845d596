/* cache.c -- one file per blob: a header of 64 bytes, then the blob.
 *
 * Files are written beside and renamed, so readers see whole files or none; the checksum finds what a disk or
 * another program did to them since. A blob that is read gets a new modification time: pruning removes the
 * longest unused.
 *
 * The checksum is over all of a blob up to 64 MiB, and of a larger one over a page of each MiB: nothing reads
 * gigabytes at a start. What that guards against are pages that never came to the disk, which are many. */
#include "runtime/cache.h"

#include "runtime/context.h"
#include "runtime/hostcall.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SN_BLOB_WHOLE ((size_t)64 << 20)
#define SN_BLOB_STEP  ((size_t)1 << 20)
#define SN_BLOB_PAGE  4096u
#define SN_BLOB_MAGIC "sinter blob 1\n" /* 14 letters and two NULs */

typedef struct SnBlobHeader {
    char magic[16];
    SnHash128 key, checksum; /* of the blob */
    uint64_t size;
    uint64_t has_grown; /* gone through, not read again and again: small pages, which can be given back */
} SnBlobHeader;

_Static_assert(sizeof(SnBlobHeader) == 64, "blobs are 64-byte aligned in the file");

/* Of a blob in f its memory is given back as it goes; f may be NULL. */
static SnHash128 checksum(SnBytes blob, const SnFile *f)
{
    if (blob.n <= SN_BLOB_WHOLE)
        return sn_hash128(blob.at, blob.n, 0);
    SnHash128 h = sn_hash128(blob.at + blob.n - SN_BLOB_PAGE, SN_BLOB_PAGE, blob.n);
    for (size_t at = 0; at + SN_BLOB_PAGE <= blob.n; at += SN_BLOB_STEP) {
        h = sn_hash128(blob.at + at, SN_BLOB_PAGE, h.lo);
        if (f != NULL && at % SN_BLOB_WHOLE == 0)
            (void)sn_file_forget(f, blob);
    }
    return h;
}

/* grown: the file of a blob that has grown. */
static SnBlobHeader blob_header(SnHash128 key, SnBytes blob, const SnFile *grown)
{
    return (SnBlobHeader){.magic = SN_BLOB_MAGIC,
                          .key = key,
                          .checksum = checksum(blob, grown),
                          .size = blob.n,
                          .has_grown = grown != NULL};
}

/* ---- the folder ---- */

static void make_folders(SnContext *ctx, char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    if (ctx->has_no_cache || mkdir(path, 0700) == 0 || errno == EEXIST)
        return;
    ctx->has_no_cache = true;
    sn_log_write(ctx, SN_LOG_WARN, "%s: cannot make the cache folder: %s", path, strerror(errno));
}

static bool is_usable(SnContext *ctx)
{
    struct stat st;
    if (ctx->cache_dir == NULL || ctx->has_no_cache || stat(ctx->cache_dir, &st) != 0)
        return false;
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
        return true;
    ctx->has_no_cache = true;
    sn_log_write(ctx, SN_LOG_WARN, "%s: not used as a cache: expected a folder of this user with mode 0700",
                 ctx->cache_dir);
    return false;
}

static bool blob_path(SnContext *ctx, SnHash128 key, SnText *path)
{
    *path = (SnText){.memory = &ctx->memory};
    sn_text_printf(path, "%s/%016" PRIx64 "%016" PRIx64 ".blob", ctx->cache_dir, key.hi, key.lo);
    return !path->failed;
}

/* ---- get, put ---- */

static bool blob_is_whole(SnFile *f, SnHash128 key, SnBytes *blob)
{
    const SnBytes file = sn_file_bytes(f);
    SnBlobHeader found;
    if (file.n < sizeof found)
        return false;
    memcpy(&found, file.at, sizeof found);
    *blob = (SnBytes){file.at + sizeof found, file.n - sizeof found};
    if (!found.has_grown)
        sn_file_expect_use(f);
    const SnBlobHeader want = blob_header(key, *blob, found.has_grown == 1 ? f : NULL);
    return memcmp(&found, &want, sizeof want) == 0 && (uintptr_t)blob->at % 64 == 0;
}

bool sn_cache_get(SnContext *ctx, SnHash128 key, SnFile **file, SnBytes *blob)
{
    SnText path = {0};
    SnFile *f = NULL;
    bool found = false;
    if (!is_usable(ctx))
        return false;
    if (!blob_path(ctx, key, &path) || !sn_file_exists(path.at) ||
        sn_file_open(ctx, path.at, &f, NULL) != SN_OK)
        goto done;
    found = blob_is_whole(f, key, blob);
    if (found) {
        (void)utimensat(AT_FDCWD, path.at, NULL, 0);
        *file = f;
        f = NULL;
    } else {
        sn_log_write(ctx, SN_LOG_WARN, "%s: removed, it is damaged", path.at);
        (void)unlink(path.at);
    }
done:
    sn_file_release(f);
    sn_text_clear(&path);
    return found;
}

bool sn_cache_put(SnContext *ctx, SnHash128 key, SnBytes blob)
{
    SnText path = {0};
    SnError err = {0};
    if (ctx->cache_dir == NULL)
        return false;
    make_folders(ctx, ctx->cache_dir);
    if (!is_usable(ctx) || !blob_path(ctx, key, &path))
        return false;
    const SnBlobHeader header = blob_header(key, blob, NULL);
    const SnBytes parts[] = {sn_bytes(&header, sizeof header), blob};
    const bool ok = sn_file_write(ctx, path.at, parts, SN_COUNT(parts), &err) == SN_OK;
    if (!ok)
        sn_log_write(ctx, SN_LOG_WARN, "%s", err.message);
    sn_text_clear(&path);
    return ok;
}

/* ---- drafts ---- */

static bool write_all(int fd, SnBytes part)
{
    while (part.n > 0) {
        const ssize_t put = write(fd, part.at, part.n);
        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0)
            part = sn_bytes(part.at + put, part.n - (size_t)put);
    }
    return true;
}

/* Zeros, a large page at a time: file systems that keep in one piece what is written at once are read a
 * quarter faster through a map than where stores made it, small page by small page. */
static bool write_zeros(const SnAllocator *memory, int fd, size_t size)
{
    const size_t piece = size < SN_LARGE_PAGE ? size : SN_LARGE_PAGE;
    void *const zeros = sn_alloc_zero(memory, piece, _Alignof(max_align_t));
    bool ok = zeros != NULL;
    for (size_t n = piece; ok && size > 0; size -= n) {
        n = size < piece ? size : piece;
        ok = write_all(fd, sn_bytes(zeros, n));
    }
    sn_free(memory, zeros, piece, _Alignof(max_align_t));
    return ok;
}

static uint8_t *map_new_file(const SnAllocator *memory, const char *name, size_t size)
{
    const int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return NULL;
    /* All of it is there before anything is stored: a full disk is no SIGBUS. */
    void *map = MAP_FAILED;
    if (size <= (size_t)INT64_MAX && posix_fallocate(fd, 0, (off_t)size) == 0 &&
        write_zeros(memory, fd, size))
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED)
        (void)unlink(name);
    else
        sn_expect_use(map, size);
    return map == MAP_FAILED ? NULL : (uint8_t *)map;
}

/* Names of the blob and of the file that it is until then; false: there is no cache. */
static bool name_draft(SnContext *ctx, SnHash128 key, size_t size, SnCacheDraft *d)
{
    *d = (SnCacheDraft){.size = size, .key = key, .fd = -1, .name = {.memory = &ctx->memory}};
    if (ctx->cache_dir == NULL)
        return false;
    make_folders(ctx, ctx->cache_dir);
    if (!is_usable(ctx) || !blob_path(ctx, key, &d->path))
        return false;
    sn_text_printf(&d->name, "%s.%" PRIx64 ".%ld", d->path.at, sn_now_ns(), (long)getpid());
    return true;
}

static bool cannot_keep(SnContext *ctx, SnCacheDraft *d)
{
    sn_log_write(ctx, SN_LOG_WARN, "%s: cannot keep %zu bytes", d->path.at, d->size);
    sn_text_clear(&d->path);
    sn_text_clear(&d->name);
    return false;
}

bool sn_cache_begin(SnContext *ctx, SnHash128 key, size_t size, SnCacheDraft *out)
{
    SnCacheDraft d;
    size_t whole;
    if (size > SN_CACHE_BYTES / 2 || !sn_add_size(size, sizeof(SnBlobHeader), &whole) ||
        !name_draft(ctx, key, size, &d))
        return false;
    d.map = d.name.failed ? NULL : map_new_file(&ctx->memory, d.name.at, whole);
    if (d.map == NULL)
        return cannot_keep(ctx, &d);
    d.at = d.map + sizeof(SnBlobHeader);
    *out = d;
    return true;
}

bool sn_cache_begin_growing(SnContext *ctx, SnHash128 key, SnCacheDraft *out)
{
    static const SnBlobHeader none;
    SnCacheDraft d;
    if (!name_draft(ctx, key, 0, &d))
        return false;
    d.fd = d.name.failed ? -1 : open(d.name.at, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (d.fd < 0)
        return cannot_keep(ctx, &d);
    *out = d;
    if (write_all(d.fd, sn_bytes(&none, sizeof none)))
        return true;
    sn_cache_give_up(out);
    return false;
}

bool sn_cache_grow(SnCacheDraft *d, SnBytes part)
{
    if (write_all(d->fd, part)) {
        d->size += part.n;
        return true;
    }
    d->is_lent = true;
    return false;
}

static void forget_draft(SnCacheDraft *d)
{
    sn_text_clear(&d->path);
    sn_text_clear(&d->name);
    *d = (SnCacheDraft){.fd = -1};
}

/* The file is opened before it has its name: a blob that cannot be kept serves this once. */
bool sn_cache_commit(SnContext *ctx, SnCacheDraft *d, SnFile **file, SnBytes *blob)
{
    SnFile *f = NULL;
    SnBlobHeader header;
    if (d->map != NULL) {
        header = blob_header(d->key, sn_bytes(d->at, d->size), NULL);
        memcpy(d->map, &header, sizeof header);
        (void)munmap(d->map, d->size + sizeof header);
    }
    bool ok = d->fd < 0 || ftruncate(d->fd, (off_t)(d->size + sizeof header)) == 0;
    ok = ok && sn_file_open(ctx, d->name.at, &f, NULL) == SN_OK &&
         sn_file_bytes(f).n == d->size + sizeof header && (uintptr_t)sn_file_bytes(f).at % sizeof header == 0;
    const SnBytes whole = ok ? sn_bytes(sn_file_bytes(f).at + sizeof header, d->size) : (SnBytes){NULL, 0};
    bool is_named = ok && !d->is_lent && d->size <= SN_CACHE_BYTES / 2;
    if (is_named && d->fd >= 0) {
        header = blob_header(d->key, whole, f);
        is_named = pwrite(d->fd, &header, sizeof header, 0) == (ssize_t)sizeof header;
    }
    if (d->fd >= 0 && close(d->fd) != 0)
        ok = false;
    if (!is_named || rename(d->name.at, d->path.at) != 0) {
        if (!d->is_lent)
            sn_log_write(ctx, SN_LOG_WARN, "%s: cannot keep %zu bytes", d->path.at, d->size);
        (void)unlink(d->name.at);
    }
    if (ok) {
        *file = f;
        *blob = whole;
        sn_cache_prune(ctx, SN_CACHE_BYTES);
    } else {
        sn_file_release(f);
    }
    forget_draft(d);
    return ok;
}

void sn_cache_give_up(SnCacheDraft *d)
{
    if (d->map == NULL && d->fd < 0)
        return;
    if (d->map != NULL)
        (void)munmap(d->map, d->size + sizeof(SnBlobHeader));
    else
        (void)close(d->fd);
    (void)unlink(d->name.at);
    forget_draft(d);
}

/* ---- prune ---- */

typedef struct SnBlobFile {
    char name[NAME_MAX + 1];
    int64_t used_s;
    uint64_t size;
} SnBlobFile;

typedef SN_VEC(SnBlobFile) SnBlobFiles;

/* Ours: a blob, or what a writer that died left beside it. */
static bool is_blob_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 32 && strncmp(name + 32, ".blob", 5) == 0 &&
           strlen(name) <= NAME_MAX;
}

static bool list_blobs(const SnContext *ctx, DIR *dir, SnBlobFiles *files)
{
    struct stat st;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (!is_blob_name(e->d_name) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        SnBlobFile f = {.used_s = st.st_mtim.tv_sec, .size = (uint64_t)st.st_size};
        memcpy(f.name, e->d_name, strlen(e->d_name) + 1);
        if (!sn_vec_push(&ctx->memory, files, f))
            return false;
    }
    return true;
}

static int compare_use(const void *a, const void *b)
{
    const int64_t x = ((const SnBlobFile *)a)->used_s, y = ((const SnBlobFile *)b)->used_s;
    return (x > y) - (x < y);
}

void sn_cache_prune(SnContext *ctx, uint64_t limit)
{
    SnBlobFiles files = {0};
    uint64_t total = 0;
    DIR *dir = is_usable(ctx) ? opendir(ctx->cache_dir) : NULL;
    if (dir == NULL || !list_blobs(ctx, dir, &files))
        goto done;
    if (files.n > 0)
        qsort(files.at, files.n, sizeof *files.at, compare_use);
    for (size_t i = 0; i < files.n; i++)
        total += files.at[i].size;
    for (size_t i = 0; i < files.n && total > limit; i++)
        if (unlinkat(dirfd(dir), files.at[i].name, 0) == 0)
            total -= files.at[i].size;
done:
    sn_vec_clear(&ctx->memory, &files);
    if (dir != NULL)
        closedir(dir);
}
