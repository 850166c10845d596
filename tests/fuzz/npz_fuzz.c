/* npz_fuzz.c -- any bytes as an .npz archive: refused with a message, or its arrays are the same after they
 * were written and read back. */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include "frontends/npz.h"
#include "runtime/tensor.h"

#include <sys/mman.h>

enum { MOST_WRITTEN = 4 };

static void write_back(SnContext *ctx, const SnResults *r)
{
    Scratch folder;
    char path[256];
    const size_t n = sn_results_count(r);
    SnNamedTensor tensor[MOST_WRITTEN];
    SnResults *again = NULL;
    SnError err;
    for (size_t i = 0; i < n && i < MOST_WRITTEN; i++)
        tensor[i] = *sn_results_get(r, i);
    if (n == 0 || n > MOST_WRITTEN)
        return;
    scratch_open(&folder);
    scratch_path(&folder, "t.npz", path);
    fuzz_require(sn_npz_save(ctx, path, tensor, n, &err) == SN_OK);
    fuzz_require(sn_npz_load(ctx, path, &again, &err) == SN_OK && sn_results_count(again) == n);
    for (size_t i = 0; i < n; i++) {
        const SnNamedTensor *a = &tensor[i], *b = sn_results_get(again, i);
        int64_t count = 0;
        fuzz_require(strcmp(a->name, b->name) == 0 && a->view.dtype == b->view.dtype &&
                     a->view.ndim == b->view.ndim && sn_view_count(&a->view, &count));
        fuzz_require(memcmp(a->view.dims, b->view.dims, (size_t)a->view.ndim * sizeof(int64_t)) == 0);
        fuzz_require(memcmp(a->view.data, b->view.data, (size_t)count * sn_dtype_size(a->view.dtype)) == 0);
    }
    sn_results_destroy(again);
    scratch_close(&folder);
}

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
        write_back(ctx, r);
    else
        fuzz_require(err.message[0] != '\0');
    sn_results_destroy(r);
    sn_context_destroy(ctx);
    (void)close(fd);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/npz");
