/* fuzz.h -- a libFuzzer entry that is a plain test as well: run without a fuzzer it reads the corpus folder.
 *
 * With one: clang -fsanitize=fuzzer,address,undefined -DSN_LIBFUZZER ... */
#ifndef SN_FUZZ_H
#define SN_FUZZ_H

#include "runtime/bytes.h"
#include "tests/unit/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_require(cond)                                                                                   \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                       \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* Runs every file of a folder; returns how many. */
static inline int fuzz_folder(const char *folder)
{
    SnContext *ctx = NULL;
    DIR *dir = opendir(folder);
    int n = 0;
    fuzz_require(dir != NULL && sn_context_create(NULL, &ctx, NULL) == SN_OK);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[1024];
        SnFile *file = NULL;
        if (e->d_name[0] == '.')
            continue;
        const int length = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        fuzz_require(length > 0 && (size_t)length < sizeof path);
        fuzz_require(sn_file_open(ctx, path, &file, NULL) == SN_OK);
        const SnBytes b = sn_file_bytes(file);
        (void)LLVMFuzzerTestOneInput(b.at, b.n);
        sn_file_release(file);
        n++;
    }
    closedir(dir);
    sn_context_destroy(ctx);
    return n;
}

#ifdef SN_LIBFUZZER
#define FUZZ_MAIN(folder) typedef int fuzz_has_main
#else
#define FUZZ_MAIN(folder)                                                                                    \
    int main(void)                                                                                           \
    {                                                                                                        \
        return fuzz_folder(folder) > 0 ? 0 : 1;                                                              \
    }                                                                                                        \
    typedef int fuzz_has_main
#endif

#endif
