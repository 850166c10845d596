/* weights_test.c -- one file, shards with an index, tensors made here, and folders that are wrong. */
#include "frontends/hf/weights.h"

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>

static SnContext *ctx;

static int open_context(void **state)
{
    (void)state;
    return sn_context_create(NULL, &ctx, NULL) == SN_OK ? 0 : 1;
}

static int close_context(void **state)
{
    (void)state;
    sn_context_destroy(ctx);
    return 0;
}

/* A file with one f32 tensor of two elements: value and value + 1. */
static void write_tensor(const Scratch *s, const char *file, const char *name, float value)
{
    char path[256];
    SnError err;
    float data[] = {value, value + 1};
    const SnStWrite w = {name, sn_view(SN_F32, data, 1, (const int64_t[]){2})};
    scratch_path(s, file, path);
    assert_ok(sn_safetensors_write(ctx, path, &w, 1, NULL, &err));
}

static float first_value(const SnWeights *w, const char *name)
{
    float v = 0;
    const SnStTensor *t = sn_weights_find(w, name);
    assert_non_null(t);
    memcpy(&v, t->bytes.at, sizeof v);
    return v;
}

static void weights_of_one_file(void **state)
{
    (void)state;
    Scratch s;
    SnWeights *w = NULL;
    SnSourceTensor t;
    SnError err;
    scratch_open(&s);
    write_tensor(&s, "model.safetensors", "a.b", 3);
    assert_ok(sn_weights_open(ctx, s.dir, &w, &err));
    assert_int_equal(sn_weights_count(w), 1);
    assert_true(sn_bytes_is(sn_weights_at(w, 0)->name, "a.b"));
    assert_true(first_value(w, "a.b") == 3);
    assert_null(sn_weights_find(w, "a"));
    const SnSource *source = sn_weights_source(w);
    assert_true(source->find(source->self, "a.b", &t));
    assert_int_equal(t.dtype, SN_F32);
    assert_int_equal(t.dims[0], 2);
    assert_false(source->find(source->self, "c", &t));
    source->retain(source->self);
    sn_weights_release(w);
    assert_true(source->find(source->self, "a.b", &t));
    source->release(source->self);
    scratch_close(&s);
}

static void weights_of_shards(void **state)
{
    (void)state;
    Scratch s;
    SnWeights *w = NULL;
    SnError err;
    scratch_open(&s);
    write_tensor(&s, "m-1.safetensors", "a", 1);
    write_tensor(&s, "m-2.safetensors", "b", 5);
    scratch_text(&s, "model.safetensors.index.json",
                 "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1."
                 "safetensors\"}}");
    assert_ok(sn_weights_open(ctx, s.dir, &w, &err));
    assert_int_equal(sn_weights_count(w), 2);
    assert_true(first_value(w, "a") == 1 && first_value(w, "b") == 5);
    sn_weights_release(w);
    scratch_close(&s);
}

static void weights_made_here_are_found(void **state)
{
    (void)state;
    Scratch s;
    SnWeights *w = NULL;
    SnError err;
    const float data[] = {9, 8, 7};
    scratch_open(&s);
    write_tensor(&s, "model.safetensors", "a", 3);
    assert_ok(sn_weights_open(ctx, s.dir, &w, &err));
    assert_ok(sn_weights_add(w, "head", SN_F32, 1, (const int64_t[]){3}, data, &err));
    assert_true(first_value(w, "head") == 9);
    assert_int_equal(sn_weights_find(w, "head")->bytes.n, sizeof data);
    assert_ok(sn_weights_add(w, "a", SN_F32, 1, (const int64_t[]){1}, data, &err));
    assert_int_equal(sn_weights_count(w), 2);
    assert_true(first_value(w, "a") == 9);
    assert_fails(SN_ESHAPE,
                 sn_weights_add(w, "huge", SN_F32, 2, (const int64_t[]){INT64_MAX, INT64_MAX}, data, &err));
    sn_weights_release(w);
    scratch_close(&s);
}

/* Gives the file an old modification time, told apart by seconds. */
static void settle(const Scratch *s, const char *file, int seconds)
{
    char path[256];
    const struct timespec t = {.tv_sec = 1600000000 + seconds};
    scratch_path(s, file, path);
    assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[2]){t, t}, 0), 0);
}

static bool identity(const Scratch *s, bool with_head, float head, SnHash128 *out)
{
    SnWeights *w = NULL;
    SnError err;
    assert_ok(sn_weights_open(ctx, s->dir, &w, &err));
    if (with_head)
        assert_ok(sn_weights_add(w, "head", SN_F32, 1, (const int64_t[]){1}, &head, &err));
    const SnSource *source = sn_weights_source(w);
    const bool has = source->identity(source->self, out);
    sn_weights_release(w);
    return has;
}

static void weights_identity_follows_every_change(void **state)
{
    (void)state;
    Scratch s;
    SnHash128 id[5] = {{0, 0}};
    scratch_open(&s);
    write_tensor(&s, "model.safetensors", "a", 3);
    assert_false(identity(&s, false, 0, &id[0])); /* it may be written again within the same tick */
    settle(&s, "model.safetensors", 1);
    assert_true(identity(&s, false, 0, &id[0]));
    assert_true(identity(&s, false, 0, &id[1]));
    assert_memory_equal(&id[0], &id[1], sizeof *id);
    settle(&s, "model.safetensors", 2);
    assert_true(identity(&s, false, 0, &id[1]));
    assert_true(identity(&s, true, 1, &id[2]));
    assert_true(identity(&s, true, 2, &id[3]));
    write_tensor(&s, "model.safetensors", "b", 3);
    settle(&s, "model.safetensors", 2);
    assert_true(identity(&s, false, 0, &id[4]));
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(&id[i], &id[j], sizeof *id);
    scratch_close(&s);
}

static void weights_wrong_folders_fail(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        SnStatus status;
    } cases[] = {
        {NULL, SN_EIO},
        {"{}", SN_EFORMAT},
        {"{\"weight_map\":[]}", SN_EFORMAT},
        {"{\"weight_map\":{\"a\":\"../m.safetensors\"}}", SN_EFORMAT},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", SN_EFORMAT},
        {"{\"weight_map\":{\"a\":\"\"}}", SN_EFORMAT},
        {"{\"weight_map\":{\"a\":7}}", SN_EFORMAT},
        {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", SN_EIO},
        {"{\"weight_map\":{\"b\":\"m.safetensors\"}}", SN_EFORMAT},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        Scratch s;
        SnWeights *w = NULL;
        SnError err;
        scratch_open(&s);
        write_tensor(&s, "m.safetensors", "a", 1);
        if (cases[i].index)
            scratch_text(&s, "model.safetensors.index.json", cases[i].index);
        assert_fails(cases[i].status, sn_weights_open(ctx, s.dir, &w, &err));
        scratch_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_one_file),
        cmocka_unit_test(weights_of_shards),
        cmocka_unit_test(weights_made_here_are_found),
        cmocka_unit_test(weights_identity_follows_every_change),
        cmocka_unit_test(weights_wrong_folders_fail),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
