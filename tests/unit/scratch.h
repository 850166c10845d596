/* scratch.h -- a folder of files for one test. */
#ifndef SN_TESTS_SCRATCH_H
#define SN_TESTS_SCRATCH_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Scratch {
    char dir[64];
} Scratch;

static inline void scratch_path(const Scratch *s, const char *name, char out[256])
{
    const int n = snprintf(out, 256, "%s/%s", s->dir, name);
    assert_true(n > 0 && n < 256);
}

static inline void scratch_open(Scratch *s)
{
    snprintf(s->dir, sizeof s->dir, "/tmp/sinter-test-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
}

static inline void scratch_write(const Scratch *s, const char *name, const void *at, size_t size)
{
    char path[256];
    scratch_path(s, name, path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(at, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline void scratch_text(const Scratch *s, const char *name, const char *text)
{
    scratch_write(s, name, text, strlen(text));
}

/* Removes the folder and the files in it. */
static inline void scratch_close(const Scratch *s)
{
    DIR *d = opendir(s->dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[256];
        if (e->d_name[0] == '.')
            continue;
        scratch_path(s, e->d_name, path);
        assert_int_equal(unlink(path), 0);
    }
    closedir(d);
    assert_int_equal(rmdir(s->dir), 0);
}

#endif
