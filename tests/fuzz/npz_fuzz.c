/* npz_fuzz.c -- any bytes as an .npz archive: refused with a message, or its arrays are in memory. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "frontends/npz.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnResults *r = NULL;
    SnError err = {0};
    char path[64];
    const int fd = memfd_create("npz", 0);
    fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    if (sn_npz_load(ctx, path, &r, &err) == SN_OK)
        for (size_t i = 0; i < sn_results_count(r); i++)
            fuzz_require(sn_results_find(r, sn_results_get(r, i)->name) != NULL);
    else
        fuzz_require(err.message[0] != '\0');
    sn_results_destroy(r);
    sn_context_destroy(ctx);
    (void)close(fd);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/npz");
