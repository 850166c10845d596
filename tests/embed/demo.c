/* demo.c -- files of models that were written by hand. */
#include "tests/embed/demo.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

size_t demo_read(const char *path, uint8_t **out)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long n = ftell(f);
    assert_true(n >= 0 && fseek(f, 0, SEEK_SET) == 0);
    *out = malloc((size_t)n + 1);
    assert_non_null(*out);
    assert_int_equal(fread(*out, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
    return (size_t)n;
}

static void replace(uint8_t *object, size_t n, uint64_t mark, uint64_t value)
{
    for (size_t i = 0; i + sizeof mark <= n; i++)
        if (memcmp(object + i, &mark, sizeof mark) == 0) {
            memcpy(object + i, &value, sizeof value);
            return;
        }
    fail_msg("the object has no mark %llx", (unsigned long long)mark);
}

void demo_setup(Demo *d, char **argv)
{
    SnError err;
    *d = (Demo){0};
    assert_ok(sn_context_create(NULL, &d->ctx, &err));
    scratch_open(&d->dir);
    for (int i = 0; i < 3; i++)
        d->size[i] = demo_read(argv[i], &d->object[i]);
    for (size_t i = 0; i < sizeof d->weights; i++)
        d->weights[i] = (uint8_t)(i * 7 + i / 256);
    d->part[0] = sn_bytes(d->weights, 777);
    d->part[1] = sn_bytes(d->weights + 777, sizeof d->weights - 777);
    d->head = (SnWeightsHead){
        .magic = SN_WEIGHTS_MAGIC, .size = sizeof d->weights, .hash = sn_weights_hash(d->part, 2)};
    replace(d->object[DEMO_OUTSIDE], d->size[DEMO_OUTSIDE], DEMO_SIZE_MARK, d->head.size);
    replace(d->object[DEMO_OUTSIDE], d->size[DEMO_OUTSIDE], DEMO_LO_MARK, d->head.hash.lo);
    replace(d->object[DEMO_OUTSIDE], d->size[DEMO_OUTSIDE], DEMO_HI_MARK, d->head.hash.hi);
}

void demo_teardown(Demo *d)
{
    for (int i = 0; i < 3; i++)
        free(d->object[i]);
    scratch_close(&d->dir);
    sn_context_destroy(d->ctx);
}

const char *demo_path(const Demo *d, const char *file)
{
    static char path[4][256];
    static unsigned turn;
    char *at = path[turn++ % 4];
    scratch_path(&d->dir, file, at);
    return at;
}

SnLinkInput demo_input(const Demo *d, int which)
{
    static const char *const one[] = {"demo_program", "demo_status", "demo_word", "demo_weight",
                                      "demo_scale"};
    static const char *const two[] = {"two_program", "two_status", "two_word", "two_weight", "two_scale"};
    SnLinkInput in = {.object = sn_bytes(d->object[which], d->size[which]),
                      .soname = which == DEMO_TWO ? "a_model_with_a_long_name" : "demo",
                      .program = which == DEMO_TWO ? two[0] : one[0],
                      .levels = 1,
                      .exported = which == DEMO_TWO ? two : one,
                      .nexported = SN_COUNT(one)};
    if (which != DEMO_OUTSIDE) {
        in.weights = which == DEMO_TWO ? "two_weights" : "demo_weights";
        in.part = d->part;
        in.npart = SN_COUNT(d->part);
    }
    return in;
}

void demo_link(const Demo *d, SnLinkFn *link, int which, const char *file)
{
    SnError err;
    const SnLinkInput in = demo_input(d, which);
    assert_ok(link(d->ctx, &in, demo_path(d, file), &err));
}

int demo_run(const char *const *argv)
{
    int status = 0;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int null = open("/dev/null", O_RDWR);
        (void)dup2(null, STDOUT_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
