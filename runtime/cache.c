/* cache.c -- one file per blob: a header of 64 bytes, then the blob.
 *
 * Files are written beside and renamed, so readers see whole files or none; the checksum finds what a disk or
 * another program did to them since. A blob that is read gets a new modification time: pruning removes the
 * longest unused. */
#include "runtime/cache.h"

#include "runtime/context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SN_BLOB_MAGIC "sinter blob 1\n" /* 14 letters and two NULs */

typedef struct SnBlobHeader {
    char magic[16];
    SnHash128 key, checksum; /* of the blob */
    uint64_t size;
    uint64_t unused;
} SnBlobHeader;

_Static_assert(sizeof(SnBlobHeader) == 64, "blobs are 64-byte aligned in the file");

static SnBlobHeader blob_header(SnHash128 key, SnBytes blob)
{
    SnBlobHeader h = {.magic = SN_BLOB_MAGIC, .key = key, .size = blob.n};
    h.checksum = sn_hash128(blob.at, blob.n, 0);
    return h;
}

/* ---- the folder ---- */

static void make_folders(const SnContext *ctx, char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        sn_log_write(ctx, SN_LOG_WARN, "%s: cannot make the cache folder: %s", path, strerror(errno));
}

static bool is_usable(const SnContext *ctx)
{
    struct stat st;
    if (ctx->cache_dir == NULL || stat(ctx->cache_dir, &st) != 0)
        return false;
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
        return true;
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

static bool blob_is_whole(SnBytes file, SnHash128 key, SnBytes *blob)
{
    if (file.n < sizeof(SnBlobHeader))
        return false;
    *blob = (SnBytes){file.at + sizeof(SnBlobHeader), file.n - sizeof(SnBlobHeader)};
    const SnBlobHeader want = blob_header(key, *blob);
    return memcmp(file.at, &want, sizeof want) == 0 && (uintptr_t)blob->at % 64 == 0;
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
    found = blob_is_whole(sn_file_bytes(f), key, blob);
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
    const SnBlobHeader header = blob_header(key, blob);
    const SnBytes parts[] = {sn_bytes(&header, sizeof header), blob};
    const bool ok = sn_file_write(ctx, path.at, parts, SN_COUNT(parts), &err) == SN_OK;
    if (!ok)
        sn_log_write(ctx, SN_LOG_WARN, "%s", err.message);
    sn_text_clear(&path);
    return ok;
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
    for (size_t i = 0; i < files.n && total > limit; i++) {
        if (unlinkat(dirfd(dir), files.at[i].name, 0) == 0)
            total -= files.at[i].size;
    }
done:
    sn_vec_clear(&ctx->memory, &files);
    if (dir != NULL)
        closedir(dir);
}
