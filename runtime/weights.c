/* weights.c -- parameters in a file beside the program that they belong to: finding, mapping and checking it.
 *
 * The file has a head of 64 bytes (SnWeightsHead), then the parameters at the offsets of the image's rows. */
#define _GNU_SOURCE /* dl_iterate_phdr: which file a piece of memory was loaded from */
#include "runtime/program.h"

#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE         4096u
#define WHOLE_PAGES  1024u /* 4 MiB */
#define SPREAD_PAGES 256u

_Static_assert(sizeof(SnWeightsHead) == 64, "parameters are 64-byte aligned in the file");

/* ---- the hash ---- */

typedef struct Parts {
    const SnBytes *part;
    size_t n, i;    /* part i ... */
    uint64_t first; /* ... begins at this byte of all */
} Parts;

/* Up to a page of bytes from `at` on, which never decreases from call to call. */
static size_t gather(Parts *p, uint64_t at, uint8_t page[PAGE])
{
    size_t n = 0;
    while (p->i < p->n && n < PAGE) {
        const SnBytes b = p->part[p->i];
        const uint64_t skip = at + n - p->first;
        if (skip >= b.n) {
            p->first += b.n;
            p->i++;
            continue;
        }
        const size_t left = b.n - (size_t)skip, take = left < PAGE - n ? left : PAGE - n;
        memcpy(page + n, b.at + skip, take);
        n += take;
    }
    return n;
}

SnHash128 sn_weights_hash(const SnBytes *part, size_t npart)
{
    uint8_t page[PAGE];
    uint64_t size = 0;
    for (size_t i = 0; i < npart; i++)
        size += part[i].n;
    const uint64_t npage = size / PAGE + (size % PAGE != 0);
    const uint64_t nread = npage <= WHOLE_PAGES ? npage : SPREAD_PAGES;
    SnHash128 h = sn_hash128(&size, sizeof size, 0);
    Parts p = {.part = part, .n = npart};
    for (uint64_t i = 0; i < nread; i++) {
        const uint64_t at = nread == npage ? i : i * ((npage - 1) / (nread - 1));
        h = sn_hash128(page, gather(&p, (i + 1 == nread ? npage - 1 : at) * PAGE, page), h.lo);
    }
    return h;
}

/* ---- where the program is ---- */

typedef struct Search {
    uintptr_t at;
    bool found;
    char path[PATH_MAX]; /* of the file that `at` was loaded from; empty: the program itself */
} Search;

static int look(struct dl_phdr_info *info, size_t size, void *self)
{
    (void)size;
    Search *s = self;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const uintptr_t first = (uintptr_t)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (info->dlpi_phdr[i].p_type != PT_LOAD || s->at < first ||
            s->at - first >= info->dlpi_phdr[i].p_memsz)
            continue;
        const int n = snprintf(s->path, sizeof s->path, "%s", info->dlpi_name ? info->dlpi_name : "");
        s->found = n >= 0 && (size_t)n < sizeof s->path;
        return 1;
    }
    return 0;
}

static bool find_origin(Search *s)
{
    (void)dl_iterate_phdr(look, s);
    if (!s->found || s->path[0])
        return s->found;
    const ssize_t n = readlink("/proc/self/exe", s->path, sizeof s->path - 1);
    s->path[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* ---- the file ---- */

static SnStatus check(const SnProgramDesc *d, const SnFile *f, SnError *err)
{
    SnWeightsHead h;
    const SnBytes b = sn_file_bytes(f);
    const char *path = sn_file_path(f);
    SN_CHECK(b.n >= sizeof h && memcmp(b.at, SN_WEIGHTS_MAGIC, sizeof h.magic) == 0, err, SN_EFORMAT,
             "%s: no file of weights", path);
    memcpy(&h, b.at, sizeof h);
    SN_CHECK(h.size == d->weights_size && b.n - sizeof h == h.size, err, SN_EFORMAT,
             "%s: has %zu bytes of weights, says %" PRIu64 ", the program has %" PRIu64, path, b.n - sizeof h,
             h.size, d->weights_size);
    const SnBytes data = sn_bytes(b.at + sizeof h, b.n - sizeof h);
    const SnHash128 hash = sn_weights_hash(&data, 1), want = d->weights_hash;
    SN_CHECK(hash.lo == want.lo && hash.hi == want.hi, err, SN_EFORMAT,
             "%s: other weights than the program was compiled with (hash %016" PRIx64 "%016" PRIx64
             ", expected %016" PRIx64 "%016" PRIx64 ")",
             path, hash.hi, hash.lo, want.hi, want.lo);
    return SN_OK;
}

SnStatus sn_weights_map(SnContext *ctx, const SnProgramDesc *d, const char *origin, SnFile **file,
                        const void **at, SnError *err)
{
    Search search = {.at = (uintptr_t)d};
    if (!origin) {
        SN_CHECK(find_origin(&search), err, SN_EIO, "%s: cannot tell where the program lies that needs it",
                 d->weights_file);
        origin = search.path;
    }
    const char *slash = strrchr(origin, '/');
    SnText path = {.memory = sn_allocator(ctx)};
    SnFile *f = NULL;
    sn_text_printf(&path, "%.*s%s", slash ? (int)(slash + 1 - origin) : 0, origin, d->weights_file);
    SnStatus st = path.failed ? sn_fail(err, SN_ENOMEM, "%s: no memory for its path", d->weights_file)
                              : sn_file_open(ctx, path.at, &f, err);
    if (st == SN_OK)
        st = check(d, f, err);
    if (st == SN_OK) {
        *at = sn_file_bytes(f).at + sizeof(SnWeightsHead);
        *file = f;
    } else {
        sn_file_release(f);
    }
    sn_text_clear(&path);
    return st;
}
