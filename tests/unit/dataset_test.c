/* dataset_test.c -- files become columns; bad rows are named; orders are NumPy's; batches lie where they are.
 */
#include "frontends/data/table.h"
#include "runtime/context.h"

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

typedef struct World {
    SnContext *ctx;
    Scratch scratch;
    char path[256];
} World;

static int begin(void **state)
{
    static World w;
    w = (World){.ctx = NULL};
    *state = &w;
    scratch_open(&w.scratch);
    return sn_context_create(NULL, &w.ctx, NULL) == SN_OK ? 0 : -1;
}

static int end(void **state)
{
    const World *w = *state;
    sn_context_destroy(w->ctx);
    scratch_close(&w->scratch);
    return 0;
}

/* A dataset of a file with this text. */
static SnStatus open_text(World *w, const char *name, const char *text, const SnDataOptions *o,
                          SnDataset **out, SnError *err)
{
    const char *const paths[] = {w->path};
    scratch_path(&w->scratch, name, w->path);
    scratch_text(&w->scratch, name, text);
    return sn_dataset_open(w->ctx, paths, 1, o, out, err);
}

static SnDataset *open_ten(World *w)
{
    SnDataset *d = NULL;
    SnError err;
    assert_ok(
        open_text(w, "t.jsonl",
                  "{\"i\":0}\n{\"i\":1}\n{\"i\":2}\n{\"i\":3}\n{\"i\":4}\n{\"i\":5}\n{\"i\":6}\n{\"i\":7}\n"
                  "{\"i\":8}\n{\"i\":9}\n",
                  NULL, &d, &err));
    return d;
}

static void assert_rows(const SnDataset *d, uint32_t column, const int64_t *want, int64_t n)
{
    assert_int_equal(sn_dataset_rows(d), n);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(sn_cell_int(sn_dataset_cell(d, column, i)), want[i]);
}

static void dataset_csv_infers_types_as_pandas(void **state)
{
    SnDataset *d = NULL;
    SnError err;
    static const SnDtype want[] = {SN_I64, SN_F64, SN_BOOL, SN_NODTYPE, SN_F64};
    assert_ok(open_text(*state, "t.csv",
                        "a,b,c,d,e\r\n1,2,True,\"x\ny\",NA\r\n-5,,,\"q \"\"z\"\"\",\r\n+7,.5,False,NULL,\r\n",
                        NULL, &d, &err));
    assert_int_equal(sn_dataset_rows(d), 3);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(sn_dataset_feature(d, i)->dtype, want[i]);
    assert_int_equal(sn_cell_int(sn_dataset_cell(d, 0, 1)), -5);
    assert_true(isnan(sn_cell_number(sn_dataset_cell(d, 1, 1))));
    assert_true(sn_cell_number(sn_dataset_cell(d, 1, 2)) == 0.5);
    assert_true(sn_cell_is_null(sn_dataset_cell(d, 2, 1)));
    assert_true(sn_bytes_is(sn_cell_bytes(sn_dataset_cell(d, 3, 1)), "q \"z\""));
    assert_true(sn_cell_is_null(sn_dataset_cell(d, 3, 2)));
    sn_dataset_release(d);
}

/* Values that have nothing in common are kept as JSON; rows may be short. */
static void dataset_mixtures_are_json(void **state)
{
    static const char *const want[] = {"1", "\"x\"", "{\"k\": [2]}"};
    SnDataset *d = NULL;
    SnError err;
    assert_ok(open_text(
        *state, "m.jsonl",
        "{\"a\":1,\"s\":{\"k\":1},\"t\":\"2020-01-01T00:00:30+00:30\"}\n{\"a\":\"x\",\"s\":{\"l\":2}}\n"
        "{\"a\":{\"k\":[2]},\"s\":null}\n{\"a\":null}\n",
        NULL, &d, &err));
    for (int i = 0; i < 3; i++)
        assert_true(sn_bytes_is(sn_cell_bytes(sn_dataset_cell(d, 0, i)), want[i]));
    assert_true(sn_cell_is_null(sn_dataset_cell(d, 0, 3)) && sn_cell_is_null(sn_dataset_cell(d, 1, 2)));
    assert_string_equal(sn_dataset_feature(d, 1)->tag, "{\"_type\": \"Json\"}");
    assert_int_equal(sn_cell_int(sn_dataset_cell(d, 2, 0)), 1577836800 + 30 - 1800);
    sn_dataset_release(d);
    assert_ok(open_text(*state, "s.csv", "a,b\n1,2\n18446744073709551615\n", NULL, &d, &err));
    assert_int_equal(sn_dataset_feature(d, 0)->dtype, SN_U64);
    assert_true(sn_cell_is_null(sn_dataset_cell(d, 1, 1)));
    sn_dataset_release(d);
}

static void dataset_bad_rows_are_named(void **state)
{
    static const struct {
        const char *name, *text, *message;
    } cases[] = {{"t.csv", "a,b\n1,2\n3,4,5\n", "row 2 (line 3): 3 fields, expected 2"},
                 {"t.csv", "a\n\"x\n\ny\n", "row 1 (line 2): a quote that is not closed"},
                 {"t.csv", "a,b\n1,\xE9\n", "row 1 (line 2), column b: no UTF-8"},
                 {"t.jsonl", "{\"a\": 1}\n\n{\"a\": \n", "row 2 (line 3)"},
                 {"t.jsonl", "{\"a\": 1}\n{\"a\": 2, \"a\": 3}\n", "row 2: column a is there twice"},
                 {"t.jsonl", "{\"a\": 1}\n[2]\n", "row 2: a list, where an object was expected"},
                 {"t.txt", "a\xFF", "byte 1 is no UTF-8"},
                 {"t.arrow", "what is this, then", "the file is cut off"},
                 {"t.xyz", "", "format (by the name's ending) is none of csv"}};
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnDataset *d = NULL;
        SnError err = {0};
        assert_int_not_equal(open_text(*state, cases[i].name, cases[i].text, NULL, &d, &err), SN_OK);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s, expected %s", err.message, cases[i].message);
    }
}

static void dataset_orders_are_those_of_numpy(void **state)
{
    static const int64_t shuffled[] = {5, 6, 0, 7, 3, 2, 4, 9, 1, 8}, again[] = {2, 4, 9},
                         shard[] = {4, 5, 6};
    SnDataset *d = open_ten(*state), *s = NULL, *t = NULL, *part[2];
    SnError err;
    assert_ok(sn_dataset_shuffle(d, 42, &s, &err));
    assert_rows(s, 0, shuffled, 10);
    assert_ok(sn_dataset_slice(s, 5, 3, &t, &err));
    assert_rows(t, 0, again, 3);
    sn_dataset_release(s);
    assert_rows(t, 0, again, 3); /* it keeps what it stands on */
    sn_dataset_release(t);
    assert_ok(sn_dataset_split(d, 0.2, 42, false, part, &err));
    assert_rows(part[1], 0, shuffled, 2);
    assert_rows(part[0], 0, shuffled + 2, 8);
    assert_int_not_equal(sn_dataset_fingerprint(part[0]), sn_dataset_fingerprint(part[1]));
    sn_dataset_release(part[0]);
    sn_dataset_release(part[1]);
    assert_ok(sn_dataset_shard(d, 3, 1, true, &s, &err));
    assert_rows(s, 0, shard, 3);
    sn_dataset_release(s);
    assert_fails(SN_EINVAL, sn_dataset_select(d, (const int64_t[]){10}, 1, &s, &err));
    assert_fails(SN_EINVAL, sn_dataset_split(d, 10.0, 1, false, part, &err));
    sn_dataset_release(d);
}

static void dataset_parts_interleave(void **state)
{
    static const int64_t first[] = {0, 3, 1, 4, 2, 5}, all[] = {0, 3, 1, 4, 2, 5, 0, 6};
    SnDataset *d = open_ten(*state), *part[2], *s = NULL;
    SnError err;
    assert_ok(sn_dataset_slice(d, 0, 3, &part[0], &err));
    assert_ok(sn_dataset_slice(d, 3, 4, &part[1], &err));
    assert_ok(sn_dataset_interleave(part, 2, NULL, 0, SN_STOP_AT_FIRST, &s, &err));
    assert_rows(s, 0, first, 6);
    sn_dataset_release(s);
    assert_ok(sn_dataset_interleave(part, 2, NULL, 0, SN_STOP_AT_ALL, &s, &err));
    assert_rows(s, 0, all, 8);
    sn_dataset_release(s);
    sn_dataset_release(part[0]);
    sn_dataset_release(part[1]);
    sn_dataset_release(d);
}

/* Orders and names of datasets are compared by random_data.py; here what is refused, and what nulls become.
 */
static void dataset_columns_are_opened(void **state)
{
    static const int64_t ids[] = {0, 1, 1, 0}, aligned[] = {2, 0, 0, 2},
                         once[] = {1, 0, 2, 3, 4, 5, 6, 7, 8, 9};
    static const char *const names[] = {"B", "c", "a"};
    static const double share[] = {0.5, 0};
    SnDataset *d = NULL, *e = NULL, *f = NULL, *part[2];
    SnError err;
    assert_ok(open_text(
        *state, "f.jsonl",
        "{\"s\":{\"x\":1,\"y\":{\"z\":\"p\"}},\"l\":\"a\"}\n{\"s\":null,\"l\":\"b\"}\n"
        "{\"s\":{\"x\":2,\"y\":null},\"l\":\"b\"}\n{\"s\":{\"x\":1,\"y\":{\"z\":\"p\"}},\"l\":\"a\"}\n",
        NULL, &d, &err));
    assert_ok(sn_dataset_flatten(d, &e, &err));
    assert_int_equal(sn_dataset_columns(e), 3);
    assert_string_equal(sn_dataset_feature(e, 1)->name, "s.y.z");
    assert_true(sn_cell_is_null(sn_dataset_cell(e, 0, 1)) && sn_cell_is_null(sn_dataset_cell(e, 1, 2)));
    assert_int_equal(sn_cell_int(sn_dataset_cell(e, 0, 2)), 2);
    assert_ok(sn_dataset_unique(e, "s.y.z", &f, &err));
    assert_int_equal(sn_dataset_rows(f), 2);
    sn_dataset_release(f);
    assert_fails(SN_EINVAL, sn_dataset_unique(d, "s", &f, &err));
    assert_fails(SN_EINVAL, sn_dataset_join_columns((SnDataset *[]){d, e}, 2, &f, &err));
    assert_non_null(strstr(err.message, "column l already"));
    sn_dataset_release(e);
    assert_ok(sn_dataset_labels(d, "l", NULL, 0, &e, &err));
    assert_rows(e, 1, ids, 4);
    assert_ok(sn_dataset_align_labels(e, "l", names, 3, &f, &err));
    assert_rows(f, 1, aligned, 4);
    sn_dataset_release(f);
    assert_fails(SN_EINVAL, sn_dataset_align_labels(e, "l", names, 2, &f, &err));
    assert_non_null(strstr(err.message, "column l, row 0: label 0 (a)"));
    assert_ok(sn_dataset_split_by(e, "l", 2, 1, part, &err));
    assert_int_equal(
        sn_cell_int(sn_dataset_cell(part[0], 1, 0)) + sn_cell_int(sn_dataset_cell(part[0], 1, 1)), 1);
    sn_dataset_release(part[0]);
    sn_dataset_release(part[1]);
    assert_fails(SN_EINVAL, sn_dataset_split_by(e, "l", 1, 1, part, &err));
    assert_fails(SN_EINVAL, sn_dataset_split_by(d, "l", 2, 1, part, &err));
    sn_dataset_release(e);
    sn_dataset_release(d);
    d = open_ten(*state);
    assert_ok(sn_dataset_slice(d, 1, 1, &part[0], &err));
    assert_ok(sn_dataset_select(d, (const int64_t[]){0, 2, 3, 4, 5, 6, 7, 8, 9}, 9, &part[1], &err));
    assert_ok(sn_dataset_interleave(part, 2, NULL, 0, SN_STOP_WITHOUT_REPLACEMENT, &e, &err));
    assert_rows(e, 0, once, 10);
    sn_dataset_release(e);
    assert_fails(SN_EINVAL, sn_dataset_interleave(part, 2, share, 0, SN_STOP_AT_ALL, &e, &err));
    assert_ok(sn_dataset_repeat(d, 0, &e, &err));
    assert_int_equal(sn_dataset_rows(e), 0);
    sn_dataset_release(e);
    assert_ok(sn_dataset_repeat(part[0], 3, &e, &err));
    assert_rows(e, 0, (const int64_t[]){1, 1, 1}, 3);
    sn_dataset_release(e);
    sn_dataset_release(part[0]);
    sn_dataset_release(part[1]);
    sn_dataset_release(d);
}

/* Lists of rows, of several types; fields, items and labels are cast inside of them; times from texts. */
static void dataset_rows_are_batched_and_cast(void **state)
{
    static const char names[] =
        "{\"l\": [{\"names\": [\"no\", \"yes\"], \"_type\": \"ClassLabel\"}], \"more\": \"int8\", "
        "\"t\": \"timestamp[ms, tz=UTC]\"}";
    static const char *const types[] = {
        names,         "[{\"l\": [\"string\"]}]", "{\"l\": [\"int8\"]}", "{\"t\": \"decimal\"}", "{\"l\"",
        "timestamp[ms"};
    SnDataset *d = NULL, *cast = NULL, *batch = NULL;
    SnError err;
    SnCell item;
    assert_ok(
        open_text(*state, "n.jsonl",
                  "{\"s\": {\"t\": \"2020-01-01T00:00:01.25Z\", \"l\": [\"yes\", \"no\"]}}\n{\"s\": null}\n"
                  "{\"s\": {\"t\": null, \"l\": [\"1\"]}}\n",
                  NULL, &d, &err));
    assert_ok(sn_dataset_cast(d, "s", types[0], &cast, &err));
    for (size_t i = 1; i < SN_COUNT(types); i++)
        assert_int_not_equal(sn_dataset_cast(d, "s", types[i], &batch, &err), SN_OK);
    assert_int_equal(sn_dataset_batch(cast, 0, false, &batch, &err), SN_EINVAL);
    assert_ok(sn_dataset_batch(cast, 2, false, &batch, &err));
    sn_dataset_release(cast);
    SnText t = {.memory = sn_allocator(((World *)*state)->ctx)};
    assert_int_equal(sn_dataset_rows(batch), 2);
    assert_true(sn_cell_json(&t, sn_dataset_cell(batch, 0, 0)) &&
                sn_cell_json(&t, sn_dataset_cell(batch, 0, 1)));
    assert_string_equal(
        t.at, "[{\"l\":[1,0],\"more\":null,\"t\":1577836801250},null][{\"l\":[1],\"more\":null,\"t\":null}]");
    assert_int_equal(sn_cell_list(sn_dataset_cell(batch, 0, 0), &item), 2);
    const SnFeature *label = sn_dataset_feature(batch, 0)->child->child->child;
    assert_string_equal(label->label[1], "yes");
    sn_text_clear(&t);
    sn_dataset_release(batch);
    assert_ok(sn_dataset_batch(d, 2, true, &batch, &err));
    assert_int_equal(sn_dataset_rows(batch), 1);
    sn_dataset_release(batch);
    sn_dataset_release(d);
    static const char *const steps[][2] = {{"uint8", "int8"}, {"uint64", "uint8"}, {"int16", "uint64"}};
    for (size_t i = 0; i < SN_COUNT(steps); i++) { /* 198, of which -58 has the bits; 300; -1 */
        static const char *const numbers[] = {"{\"i\": 198}\n", "{\"i\": 300}\n", "{\"i\": -1}\n"};
        assert_ok(open_text(*state, "u.jsonl", numbers[i], NULL, &d, &err));
        assert_ok(sn_dataset_cast(d, "i", steps[i][0], &cast, &err));
        assert_int_equal(sn_dataset_cast(cast, "i", steps[i][1], &batch, &err), SN_EINVAL);
        sn_dataset_release(cast);
        sn_dataset_release(d);
    }
}

/* Streams that are cut off, damaged, followed by something else or that grow without end are refused by name
 * and place; several are one file. */
static void dataset_compressed_files_are_unpacked(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[96];
        size_t n;
    } cases[] = {
        {"t.csv.gz",
         {0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x33, 0xE7,
          0xB2, 0xE0, 0x02, 0x00, 0x37, 0xCF, 0x65, 0xB6, 0x04, 0x00, 0x00, 0x00},
         24},
        {"t.csv.bz2",
         {0x42, 0x5A, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xA1, 0xC0, 0xB2, 0x3A,
          0x00, 0x00, 0x01, 0x48, 0x00, 0x00, 0x10, 0x00, 0xC0, 0x20, 0x00, 0x30, 0xCC, 0x0C,
          0x7A, 0x82, 0x71, 0x77, 0x24, 0x53, 0x85, 0x09, 0x0A, 0x1C, 0x0B, 0x23, 0xA0},
         41},
        {"t.csv.xz",
         {0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00, 0x00, 0x04, 0xE6, 0xD6, 0xB4, 0x46, 0x02, 0x00, 0x21,
          0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2F, 0xE5, 0xA3, 0x01, 0x00, 0x03, 0x37, 0x0A, 0x38,
          0x0A, 0x00, 0x53, 0x1B, 0xAF, 0x51, 0xCB, 0x49, 0x27, 0x16, 0x00, 0x01, 0x1C, 0x04, 0x6F,
          0x2C, 0x9C, 0xC1, 0x1F, 0xB6, 0xF3, 0x7D, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5A},
         60},
        {"t.csv.zst",
         {0x28, 0xB5, 0x2F, 0xFD, 0x24, 0x04, 0x21, 0x00, 0x00, 0x37, 0x0A, 0x38, 0x0A, 0xB8, 0xB5, 0x89,
          0x5E},
         17},
    };
    World *w = *state;
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = w->scratch.dir};
    SnContext *cached = NULL;
    SnError err;
    assert_ok(sn_context_create(&desc, &cached, &err));
    for (size_t i = 0; i < 2 * SN_COUNT(cases); i++) {
        SnContext *ctx = i % 2 ? cached : w->ctx;
        const size_t n = cases[i / 2].n;
        uint8_t bytes[256];
        const char *const paths[] = {w->path};
        SnDataset *d = NULL;
        memcpy(bytes, cases[i / 2].bytes, n);
        memcpy(bytes + n, cases[i / 2].bytes, n); /* 7 and 8, and again */
        scratch_path(&w->scratch, cases[i / 2].name, w->path);
        scratch_write(&w->scratch, cases[i / 2].name, bytes, 2 * n);
        const SnDataOptions o = {.struct_size = sizeof o, .no_header = true};
        if (sn_dataset_open(ctx, paths, 1, &o, &d, &err) == SN_EUNSUPPORTED)
            continue; /* a build without it */
        assert_rows(d, 0, (const int64_t[]){7, 8, 7, 8}, 4);
        sn_dataset_release(d);
        scratch_write(&w->scratch, cases[i / 2].name, bytes, 2 * n - 1);
        assert_int_equal(sn_dataset_open(ctx, paths, 1, &o, &d, &err), SN_EFORMAT);
        assert_non_null(strstr(err.message, "is cut off after"));
        bytes[n] = 'x';
        scratch_write(&w->scratch, cases[i / 2].name, bytes, 2 * n);
        assert_int_equal(sn_dataset_open(ctx, paths, 1, &o, &d, &err), SN_EFORMAT);
        char where[32];
        (void)snprintf(where, sizeof where, "byte %zu: no ", n);
        assert_non_null(strstr(err.message, where));
        memset(bytes + 12, 0xA5, n - 12);
        scratch_write(&w->scratch, cases[i / 2].name, bytes, n);
        assert_int_equal(sn_dataset_open(ctx, paths, 1, &o, &d, &err), SN_EFORMAT);
        assert_non_null(strstr(err.message, w->path));
    }
    sn_context_destroy(cached);
}

static void dataset_files_agree_on_types(void **state)
{
    World *w = *state;
    char a[256], b[256];
    const char *const paths[] = {a, b};
    SnDataset *d = NULL;
    SnError err;
    scratch_path(&w->scratch, "a.csv", a);
    scratch_path(&w->scratch, "b.csv", b);
    scratch_text(&w->scratch, "a.csv", "x,y\n1,2\n");
    scratch_text(&w->scratch, "b.csv", "x,y\n1.5,t\n");
    assert_fails(SN_EINVAL, sn_dataset_open(w->ctx, paths, 2, NULL, &d, &err));
    assert_non_null(strstr(err.message, "column y (int64)"));
    scratch_text(&w->scratch, "b.csv", "x,y\n1.5,-3\n");
    assert_ok(sn_dataset_open(w->ctx, paths, 2, NULL, &d, &err));
    assert_int_equal(sn_dataset_feature(d, 0)->dtype, SN_F64);
    assert_true(sn_cell_number(sn_dataset_cell(d, 0, 0)) == 1.0);
    assert_true(sn_cell_number(sn_dataset_cell(d, 0, 1)) == 1.5);
    assert_int_equal(sn_cell_int(sn_dataset_cell(d, 1, 1)), -3);
    sn_dataset_release(d);
}

static void dataset_labels_are_checked(void **state)
{
    static const char *const names[] = {"neg", "pos"};
    static const int64_t want[] = {1, 0, 1};
    SnDataset *d = NULL, *e = NULL;
    SnError err;
    assert_ok(open_text(*state, "t.csv", "a,b\npos,0\nneg,1\npos,2\n", NULL, &d, &err));
    assert_ok(sn_dataset_labels(d, "a", NULL, 0, &e, &err));
    assert_rows(e, 0, want, 3);
    assert_int_equal(sn_dataset_feature(e, 0)->nlabel, 2);
    assert_string_equal(sn_dataset_feature(e, 0)->label[1], "pos");
    sn_dataset_release(e);
    assert_fails(SN_EINVAL, sn_dataset_labels(d, "b", names, 2, &e, &err));
    assert_non_null(strstr(err.message, "column b, row 2: label 2, allowed 0 to 1"));
    assert_fails(SN_EINVAL, sn_dataset_cast(d, "a", "int32", &e, &err));
    assert_fails(SN_EINVAL, sn_dataset_rename(d, "a", "b", &e, &err));
    assert_fails(SN_EINVAL, sn_dataset_rename(d, "x", "y", &e, &err));
    assert_non_null(strstr(err.message, "there are a, b"));
    sn_dataset_release(d);
}

static void dataset_views_lie_where_the_file_does(void **state)
{
    World *w = *state;
    SnDataset *d = open_ten(w), *mapped = NULL, *s = NULL;
    SnError err;
    SnArena arena;
    SnView a, b;
    char path[256];
    const char *const paths[] = {path};
    sn_arena_init(&arena, sn_allocator(w->ctx));
    scratch_path(&w->scratch, "m.arrow", path);
    assert_ok(sn_dataset_save(d, path, &err));
    assert_ok(sn_dataset_open(w->ctx, paths, 1, NULL, &mapped, &err));
    const size_t used = arena.used;
    assert_ok(sn_dataset_view(mapped, 0, 0, 10, &arena, &a, &err));
    assert_ok(sn_dataset_view(mapped, 0, 4, 3, &arena, &b, &err));
    assert_int_equal(arena.used, used); /* nothing was copied */
    assert_ptr_equal((const int64_t *)a.data + 4, b.data);
    assert_int_equal(((const int64_t *)b.data)[2], 6);
    assert_ok(sn_dataset_shuffle(mapped, 42, &s, &err));
    assert_ok(sn_dataset_view(s, 0, 0, 3, &arena, &b, &err));
    assert_int_equal(((const int64_t *)b.data)[1], 6);
    assert_fails(SN_EINVAL, sn_dataset_view(s, 0, 8, 3, &arena, &b, &err));
    sn_arena_clear(&arena);
    sn_dataset_release(s);
    sn_dataset_release(mapped);
    sn_dataset_release(d);
}

static void dataset_filter_is_an_expression(void **state)
{
#ifdef SN_TEST_LLVM
    static const struct {
        const char *where;
        int64_t n;
    } cases[] = {{"i % 3 == 1 and not i > 5", 2},
                 {"1 < i <= 4", 3},
                 {"i in [2, 3, 11] or i == 9", 3},
                 {"i / 2 == 2.5", 1}};
    static const char *const wrong[] = {"j == 1",     "i ==",   "i == 'x'", "(i",
                                        "len(i) > 2", "1 == 1", "i i",      "i in []"};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    SnDataset *d = open_ten(*state), *e = NULL;
    SnCompiler *cc = NULL;
    SnError err;
    assert_ok(sn_compiler_create(((World *)*state)->ctx, &cd, &cc, &err));
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        assert_ok(sn_dataset_filter(cc, d, cases[i].where, &e, &err));
        assert_int_equal(sn_dataset_rows(e), cases[i].n);
        sn_dataset_release(e);
    }
    for (size_t i = 0; i < SN_COUNT(wrong); i++)
        assert_fails(SN_EINVAL, sn_dataset_filter(cc, d, wrong[i], &e, &err));
    assert_ok(sn_dataset_map(cc, d, "half", "i / 2", &e, &err));
    assert_true(sn_cell_number(sn_dataset_cell(e, 1, 9)) == 4.5);
    sn_dataset_release(e);
    sn_compiler_destroy(cc);
    sn_dataset_release(d);
#else
    (void)state;
    skip();
#endif
}

static void dataset_maps_are_kept(void **state)
{
#ifdef SN_TEST_LLVM
    World *w = *state;
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = w->scratch.dir};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    static const struct {
        const char *expression;
        bool is_found;
    } cases[] = {{"i * 2", false}, {"i * 2", true}, {"i * 3", false}, {"i * 2", true}};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnDataset *d = NULL;
    SnError err;
    SnText text = {.memory = sn_allocator(w->ctx)};
    uint64_t first[4], now[4];
    const char *const paths[] = {w->path};
    for (int i = 0; i < 2000; i++)
        sn_text_printf(&text, "{\"i\": %d}\n", i);
    scratch_path(&w->scratch, "k.jsonl", w->path);
    scratch_text(&w->scratch, "k.jsonl", text.at);
    sn_text_clear(&text);
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    assert_ok(sn_dataset_open(ctx, paths, 1, NULL, &d, &err));
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnDataset *e = NULL;
        assert_ok(sn_dataset_map(cc, d, "m", cases[i].expression, &e, &err));
        assert_int_equal(sn_cell_int(sn_dataset_cell(e, 1, 1999)), 1999 * (cases[i].expression[4] - '0'));
        assert_int_equal(e->of.at[1]->file.n, 1); /* it looks into a file of the cache */
        sn_file_identity(e->of.at[1]->file.at[0], now);
        if (i == 0)
            memcpy(first, now, sizeof first);
        else
            assert_int_equal(first[1] == now[1], cases[i].is_found);
        sn_dataset_release(e);
    }
    for (int i = 0; i < 2; i++) { /* a column that is replaced keeps its type where it has room */
        static const char *const grown[] = {"i + 1", "i * 100"};
        SnDataset *narrow = NULL, *e = NULL;
        assert_ok(sn_dataset_cast(d, "i", "int16", &narrow, &err));
        assert_ok(sn_dataset_map(cc, narrow, "i", grown[i], &e, &err));
        assert_int_equal(sn_dataset_feature(e, 0)->dtype, i ? SN_I64 : SN_I16);
        assert_int_equal(sn_cell_int(sn_dataset_cell(e, 0, 1999)), i ? 199900 : 2000);
        sn_dataset_release(narrow);
        sn_dataset_release(e);
    }
    for (int i = 0; i < 2; i++) { /* of a filter numbers of rows are kept, and used where they lie */
        SnDataset *e = NULL;
        assert_ok(sn_dataset_filter(cc, d, "i % 2 == 1", &e, &err));
        assert_int_equal(sn_dataset_rows(e), 1000);
        assert_int_equal(e->file.n, 1);
        assert_true((const uint8_t *)e->col[0].order == sn_file_bytes(e->file.at[0]).at + 64);
        assert_int_equal(sn_cell_int(sn_dataset_cell(e, 0, 500)), 1001);
        sn_dataset_release(e);
    }
    sn_dataset_release(d);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
#else
    (void)state;
    skip();
#endif
}

/* Large files are decoded a part after the other into a file of the cache, which is found again. What a later
 * part has is cast to the types of the first; where that cannot be, the file is read as a whole. */
static void dataset_parts_go_through_the_cache(void **state)
{
    static const struct {
        const char *late; /* in the last part, where numbers stood before */
        SnDataKind kind;
        bool is_kept, is_old;
    } cases[] = {{"7", SN_DATA_NUMBER, true, true},  {"7.0", SN_DATA_NUMBER, true, true},
                 {"", SN_DATA_NUMBER, true, true},   {"7", SN_DATA_NUMBER, false, true},
                 {"7", SN_DATA_NUMBER, true, false}, {"x", SN_DATA_TEXT, true, true}};
    World *w = *state;
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = w->scratch.dir};
    SnContext *cached = NULL;
    SnError err;
    const char *const paths[] = {w->path};
    assert_ok(sn_context_create(&desc, &cached, &err));
    scratch_path(&w->scratch, "p.csv", w->path);
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnText text = {.memory = sn_allocator(w->ctx)};
        SnDataset *d = NULL, *again = NULL;
        uint64_t first[4], second[4];
        sn_text_printf(&text, "n,t\n");
        for (int k = 0; k < 25000; k++)
            sn_text_printf(&text, "%s,a text of some length that makes the file large %d\n",
                           k == 24999 ? cases[i].late : "7", k);
        scratch_text(&w->scratch, "p.csv", text.at);
        sn_text_clear(&text);
        const struct timespec past[2] = {{.tv_sec = 1000000000 + (time_t)i},
                                         {.tv_sec = 1000000000 + (time_t)i}};
        assert_int_equal(cases[i].is_old ? utimensat(AT_FDCWD, w->path, past, 0) : 0, 0);
        SnContext *ctx = cases[i].is_kept ? cached : w->ctx;
        assert_ok(sn_dataset_open(ctx, paths, 1, NULL, &d, &err));
        assert_ok(sn_dataset_open(ctx, paths, 1, NULL, &again, &err));
        const bool is_mapped = cases[i].is_kept && cases[i].kind == SN_DATA_NUMBER;
        assert_int_equal(sn_dataset_feature(d, 0)->kind, cases[i].kind);
        assert_int_equal(sn_dataset_rows(d), 25000);
        assert_int_equal(d->file.n, is_mapped);
        assert_int_equal(sn_dataset_fingerprint(d), sn_dataset_fingerprint(again));
        if (is_mapped) {
            sn_file_identity(d->file.at[0], first);
            sn_file_identity(again->file.at[0], second);
            assert_int_equal(first[1] == second[1], cases[i].is_old);
        }
        assert_int_equal(sn_cell_is_null(sn_dataset_cell(again, 0, 24999)), !*cases[i].late);
        assert_int_equal(sn_cell_int(sn_dataset_cell(again, 0, 24998)),
                         cases[i].kind == SN_DATA_NUMBER ? 7 : 0);
        assert_int_equal(sn_cell_bytes(sn_dataset_cell(d, 1, 10000)).n, 53);
        sn_dataset_release(d);
        sn_dataset_release(again);
    }
    sn_context_destroy(cached);
}

static void dataset_splits_are_cut(void **state)
{
    static const struct {
        const char *split;
        int64_t n, first;
    } cases[] = {{"train", 10, 0},           {"train[:10%]", 1, 0},
                 {"train[-3:]", 3, 7},       {"train[2:4]", 2, 2},
                 {"train[:25%]", 2, 0},      {"train[35%:]", 6, 4},
                 {"train[:20]", 10, 0},      {"train[-20:1]", 1, 0},
                 {"train[8:]+train", 12, 8}, {"train[-50%:](closest)", 5, 5}};
    static const char *const wrong[] = {"test",
                                        "train[",
                                        "train[:101%]",
                                        "train[1]",
                                        "train+",
                                        "train[:5](closest)",
                                        "train[:5%](near)",
                                        "train[:9%](pct1_dropremainder)",
                                        "",
                                        "train[a:]",
                                        "train[5:5]"};
    static const char rows[] = "{\"i\":0}\n{\"i\":1}\n{\"i\":2}\n{\"i\":3}\n{\"i\":4}\n{\"i\":5}\n{\"i\":6}\n"
                               "{\"i\":7}\n{\"i\":8}\n{\"i\":9}\n";
    SnDataOptions o = {.struct_size = sizeof o};
    SnDataset *d = NULL;
    SnError err;
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        o.split = cases[i].split;
        assert_ok(open_text(*state, "t.jsonl", rows, &o, &d, &err));
        assert_int_equal(sn_dataset_rows(d), cases[i].n);
        assert_int_equal(sn_cell_int(sn_dataset_cell(d, 0, 0)), cases[i].first);
        sn_dataset_release(d);
    }
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        o.split = wrong[i];
        assert_fails(SN_EINVAL, open_text(*state, "t.jsonl", rows, &o, &d, &err));
    }
}

/* Rows go through the C interface where they lie; what is moved out of a batch stands without it. */
static void dataset_streams_go_out_and_in(void **state)
{
    World *w = *state;
    static const int64_t shuffled[] = {5, 6, 0, 7, 3, 2, 4, 9, 1, 8};
    SnDataset *d = open_ten(w), *s = NULL, *again = NULL;
    SnError err;
    struct ArrowArrayStream stream;
    struct ArrowArray batch, moved;
    assert_ok(sn_dataset_to_arrow(d, &stream, &err));
    assert_int_equal(stream.get_next(&stream, &batch), 0);
    assert_int_equal(batch.length, 10);
    assert_ptr_equal(batch.children[0]->buffers[1], sn_dataset_cell(d, 0, 0).array->data);
    moved = *batch.children[0];
    batch.children[0]->release = NULL;
    batch.release(&batch);
    assert_int_equal(((const int64_t *)moved.buffers[1])[9], 9);
    moved.release(&moved);
    assert_int_equal(stream.get_next(&stream, &batch), 0);
    assert_null(batch.release); /* the end */
    stream.release(&stream);
    assert_ok(sn_dataset_shuffle(d, 42, &s, &err));
    assert_ok(sn_dataset_to_arrow(s, &stream, &err));
    sn_dataset_release(s);
    sn_dataset_release(d);
    assert_ok(sn_dataset_from_arrow(w->ctx, &stream, &again, &err));
    assert_rows(again, 0, shuffled, 10);
    sn_dataset_release(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dataset_csv_infers_types_as_pandas, begin, end),
        cmocka_unit_test_setup_teardown(dataset_mixtures_are_json, begin, end),
        cmocka_unit_test_setup_teardown(dataset_bad_rows_are_named, begin, end),
        cmocka_unit_test_setup_teardown(dataset_orders_are_those_of_numpy, begin, end),
        cmocka_unit_test_setup_teardown(dataset_parts_interleave, begin, end),
        cmocka_unit_test_setup_teardown(dataset_columns_are_opened, begin, end),
        cmocka_unit_test_setup_teardown(dataset_rows_are_batched_and_cast, begin, end),
        cmocka_unit_test_setup_teardown(dataset_compressed_files_are_unpacked, begin, end),
        cmocka_unit_test_setup_teardown(dataset_files_agree_on_types, begin, end),
        cmocka_unit_test_setup_teardown(dataset_labels_are_checked, begin, end),
        cmocka_unit_test_setup_teardown(dataset_views_lie_where_the_file_does, begin, end),
        cmocka_unit_test_setup_teardown(dataset_filter_is_an_expression, begin, end),
        cmocka_unit_test_setup_teardown(dataset_maps_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(dataset_parts_go_through_the_cache, begin, end),
        cmocka_unit_test_setup_teardown(dataset_splits_are_cut, begin, end),
        cmocka_unit_test_setup_teardown(dataset_streams_go_out_and_in, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
