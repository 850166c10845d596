/* scratch.h -- a folder of files for one test, or for one input of a fuzzer. What cannot be done ends it. */
#ifndef SN_TESTS_SCRATCH_H
#define SN_TESTS_SCRATCH_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Scratch {
    char dir[64];
} Scratch;

static inline void scratch_must(bool is_done, const char *what)
{
    if (!is_done) {
        perror(what);
        abort();
    }
}

static inline void scratch_path(const Scratch *s, const char *name, char out[256])
{
    const int n = snprintf(out, 256, "%s/%s", s->dir, name);
    scratch_must(n > 0 && n < 256, name);
}

static inline void scratch_open(Scratch *s)
{
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/sinter-test-XXXXXX");
    scratch_must(mkdtemp(s->dir) != NULL, s->dir);
}

static inline void scratch_write(const Scratch *s, const char *name, const void *at, size_t size)
{
    char path[256];
    scratch_path(s, name, path);
    FILE *f = fopen(path, "wb");
    scratch_must(f != NULL && fwrite(at, 1, size, f) == size && fclose(f) == 0, path);
}

static inline void scratch_text(const Scratch *s, const char *name, const char *text)
{
    scratch_write(s, name, text, strlen(text));
}

/* Removes the folder and the files in it. */
static inline void scratch_close(const Scratch *s)
{
    DIR *d = opendir(s->dir);
    scratch_must(d != NULL, s->dir);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[256];
        if (e->d_name[0] == '.')
            continue;
        scratch_path(s, e->d_name, path);
        scratch_must(unlink(path) == 0, path);
    }
    closedir(d);
    scratch_must(rmdir(s->dir) == 0, s->dir);
}

#endif
