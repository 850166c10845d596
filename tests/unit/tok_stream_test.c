/* tok_stream_test.c -- decoding ids as they come: chunks, stop strings over token borders, recorded streams.
 */
#include "ops/host/decode.h"
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

#include "runtime/cache.h"
#include "runtime/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 65536 };

typedef struct Stream {
    SnBytes table;
    SnArena *arena;
    uint8_t hold[SN_TOK_HOLD_SIZE];
    const char *stop[4];
    int64_t nstop;
    bool keeps_stop;
    int32_t hit;
    char text[ROOM]; /* of the last step */
} Stream;

static SnStatus step(Stream *s, const int32_t *ids, int64_t n, int32_t end, SnError *err)
{
    const uint32_t size = sn_tokenizer_facts(s->table).token_size;
    const int64_t one = 1, hold_dims[2] = {1, SN_TOK_HOLD_SIZE}, id_dims[2] = {1, n};
    int64_t start[4] = {0}, len[4] = {0}, total = 0;
    char stops[256];
    for (int64_t i = 0; i < s->nstop; i++) {
        start[i] = total;
        len[i] = (int64_t)strlen(s->stop[i]);
        memcpy(stops + total, s->stop[i], (size_t)len[i]);
        total += len[i];
    }
    SnView stop = {.data = stops, .dtype = SN_U8, .ndim = 1, .dims = {s->nstop}, .start = start, .len = len};
    stop.child_count = total;
    const SnView in[] = {run_table(s->table), sn_view(SN_U8, s->hold, 2, hold_dims),
                         sn_view(SN_I32, (void *)(uintptr_t)ids, 2, id_dims), sn_view(SN_I32, &end, 1, &one),
                         stop};
    uint8_t hold[SN_TOK_HOLD_SIZE];
    const SnView out[] = {run_list(s->arena, SN_U8, 1, (n + SN_TOK_HOLD_IDS) * (size + 1) + SN_TOK_HOLD_TEXT),
                          sn_view(SN_U8, hold, 2, hold_dims), sn_view(SN_I32, &s->hit, 1, &one)};
    const SnScalar attr[] = {{.i = 1}, {.i = s->keeps_stop}, {.i = size}};
    uint32_t nagain = 0;
    SN_TRY(run_op(
        s->arena, sn_tok_stream,
        (SnHostCall){.in = in, .nin = s->nstop > 0 ? 5 : 4, .out = out, .nout = 3, .attr = attr, .nattr = 3},
        SN_TOK_STREAM_SCRATCH(size), &nagain, err));
    memcpy(s->hold, hold, sizeof hold);
    assert_true(out[0].len[0] < ROOM);
    memcpy(s->text, (const char *)out[0].data + out[0].start[0], (size_t)out[0].len[0]);
    s->text[out[0].len[0]] = '\0';
    return SN_OK;
}

static void assert_step(Stream *s, int32_t id, int32_t end, const char *want)
{
    SnError err;
    assert_ok(step(s, &id, 1, end, &err));
    assert_string_equal(s->text, want);
}

/* ---- a small vocabulary -------------------------------------------------------------------------------- */

#define JSON                                                                                                 \
    "{\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"\xE2\x96\x81hi\":1,"        \
    "\"\xE2\x96\x81you\":2,\"<0xE4>\":3,\"<0xB8>\":4,\"<0xAD>\":5,\"EN\":6,\"D\":7,\"E\":8,\"</s>\":9}},"    \
    "\"added_tokens\":[{\"id\":9,\"content\":\"</s>\",\"single_word\":false,\"lstrip\":false,"               \
    "\"rstrip\":false,\"normalized\":false,\"special\":true}],"                                              \
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"        \
    "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"                  \
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}}"

typedef struct Fixture {
    SnContext *ctx;
    SnArena arena;
    Stream *s;
} Fixture;

static void open_stream(Fixture *f, SnBytes json)
{
    SnError err;
    assert_ok(sn_context_create(NULL, &f->ctx, &err));
    sn_arena_init(&f->arena, sn_allocator(f->ctx));
    f->s = sn_arena_alloc(&f->arena, sizeof *f->s);
    assert_non_null(f->s);
    f->s->arena = &f->arena;
    const SnTokenizerFiles files = {.folder = "test", .tokenizer = json};
    assert_ok(sn_tokenizer_load(f->ctx, &files, &f->arena, &f->s->table, &err));
}

static void close_stream(Fixture *f)
{
    sn_arena_clear(&f->arena);
    sn_context_destroy(f->ctx);
}

static void characters_come_whole(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    assert_step(f.s, 1, 0, "hi"); /* without the first space */
    assert_step(f.s, 9, 0, "");   /* special */
    assert_step(f.s, 2, 0, " you");
    assert_step(f.s, 3, 0, "");
    assert_step(f.s, 4, 0, "");
    assert_step(f.s, 5, 0, "\xE4\xB8\xAD");
    assert_step(f.s, 2, 0, " you");
    assert_step(f.s, 3, 0, "");
    assert_step(f.s, -1, 1, "\xEF\xBF\xBD"); /* the end: what is there */
    assert_step(f.s, 1, 0, "hi");            /* and all is forgotten */
    close_stream(&f);
}

static void stop_strings_are_met_over_token_borders(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    f.s->stop[0] = "END";
    f.s->stop[1] = "xyz";
    f.s->nstop = 2;
    assert_step(f.s, 1, 0, "hi");
    assert_step(f.s, 6, 0, ""); /* EN may become END */
    assert_step(f.s, 8, 0, "EN");
    assert_step(f.s, 6, 0, "E");
    assert_int_equal(f.s->hit, -1);
    assert_step(f.s, 7, 0, "");
    assert_int_equal(f.s->hit, 0);
    assert_step(f.s, 1, 0, ""); /* nothing follows */
    assert_step(f.s, -1, 1, "");
    assert_step(f.s, 6, 0, "");
    assert_step(f.s, -1, 1, "EN"); /* what waits comes at the end */
    close_stream(&f);
}

static void stop_strings_stay_with_the_rest_of_their_token(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    f.s->stop[0] = "you<";
    f.s->stop[1] = "N y";
    f.s->nstop = 2;
    f.s->keeps_stop = true;
    assert_step(f.s, 6, 0, "EN"); /* nothing waits */
    assert_int_equal(f.s->hit, -1);
    assert_step(f.s, 2, 0, " you");
    assert_int_equal(f.s->hit, 1);
    assert_step(f.s, 1, 0, ""); /* nothing follows */
    assert_step(f.s, -1, 1, "");
    assert_step(f.s, 2, 0, "you"); /* all is forgotten */
    assert_int_equal(f.s->hit, -1);
    assert_step(f.s, 9, 0, ""); /* a special token counts */
    assert_int_equal(f.s->hit, 0);
    close_stream(&f);
}

static void a_stop_string_may_end_in_a_special_token(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    f.s->stop[0] = "D</s>";
    f.s->stop[1] = "END</s>x";
    f.s->nstop = 2;
    assert_step(f.s, 6, 0, "");
    assert_step(f.s, 9, 0, ""); /* and is not in the text */
    assert_step(f.s, 7, 0, "");
    assert_int_equal(f.s->hit, -1);
    assert_step(f.s, 9, 0, "EN");
    assert_int_equal(f.s->hit, 0);
    close_stream(&f);
}

static void what_a_prompt_says_is_joined_and_not_given(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    f.s->stop[0] = "hi y";
    f.s->stop[1] = "hi";
    f.s->nstop = 2;
    f.s->keeps_stop = true;
    assert_step(f.s, 1, -1, "");
    assert_int_equal(f.s->hit, -1);
    assert_step(f.s, 2, 0, " you"); /* with the first space, and a stop string that began in the prompt */
    assert_int_equal(f.s->hit, 0);
    memset(f.s->hold, 0, sizeof f.s->hold);
    f.s->keeps_stop = false;
    assert_step(f.s, 1, -1, "");
    assert_step(f.s, 2, 0, " you");
    assert_int_equal(f.s->hit, -1);
    close_stream(&f);
}

static void a_hold_of_other_bytes_is_refused(void **state)
{
    Fixture f;
    SnError err;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    memset(f.s->hold, 0xFF, sizeof f.s->hold);
    assert_fails(SN_EINVAL, step(f.s, (const int32_t[]){1}, 1, 0, &err));
    close_stream(&f);
}

static void a_hold_never_runs_over(void **state)
{
    Fixture f;
    (void)state;
    open_stream(&f, sn_bytes_str(JSON));
    for (int i = 0; i < 200; i++) {
        SnError err;
        const int32_t id = 3;
        assert_ok(step(f.s, &id, 1, 0, &err));
    }
    close_stream(&f);
}

/* ---- recorded streams ---------------------------------------------------------------------------------- */

static SnBytes decode_all(Fixture *f, const int32_t *ids, size_t n)
{
    SnTokDecodeWork work;
    SnBytes text;
    SnError err;
    const size_t size = (n + 1) * (sn_tokenizer_facts(f->s->table).token_size + 1);
    void *room = sn_arena_alloc(&f->arena, SN_TOK_DECODE_WORK(n, size));
    assert_non_null(room);
    sn_tok_decode_init(&work, room, n, size);
    assert_ok(sn_tok_decode_list((const SnTokTable *)(const void *)f->s->table.at, &work, ids, n, true, &text,
                                 &err));
    return sn_bytes(sn_arena_strndup(&f->arena, (const char *)text.at, text.n), text.n);
}

static bool is_broken(SnBytes s)
{
    return s.n >= 3 && memcmp(s.at + s.n - 3, "\xEF\xBF\xBD", 3) == 0;
}

/* Ids behind a prompt say what all of them say beyond the prompt, wherever that ends between characters. */
static void assert_joined(Fixture *f, const SnJson *list, size_t stride)
{
    int32_t ids[512];
    size_t n = 0;
    SnError err;
    for (int64_t id; n < SN_COUNT(ids) && sn_json_int(sn_json_at(list, (uint32_t)n), &id); n++)
        ids[n] = (int32_t)id;
    const SnBytes all = decode_all(f, ids, n);
    for (size_t at = 0; at < n; at += stride) {
        const size_t lead = at < SN_TOK_LEAD ? at : SN_TOK_LEAD;
        const SnBytes before = decode_all(f, ids, at);
        size_t said = before.n;
        if (is_broken(before) || before.n > all.n || memcmp(before.at, all.at, before.n) != 0)
            continue;
        memset(f->s->hold, 0, sizeof f->s->hold);
        assert_ok(step(f->s, ids + at - lead, (int64_t)lead, -1, &err));
        assert_string_equal(f->s->text, "");
        for (size_t i = at; i < n; i++) {
            assert_ok(step(f->s, ids + i, 1, i + 1 == n, &err));
            const size_t size = strlen(f->s->text);
            if (said + size > all.n || memcmp(all.at + said, f->s->text, size) != 0)
                fail_msg("id %zu of %zu from %zu: \"%s\"", i, n, at, f->s->text);
            said += size;
        }
        assert_int_equal(said, all.n);
    }
}

/* [string, [chunk or null, ...]] of ids that the rows file of the name has for the string. */
static void assert_recorded(const char *shared, const char *name, const SnJson *all)
{
    Fixture f;
    SnError err;
    SnFile *file = NULL, *rows = NULL;
    SnContext *ctx = NULL;
    char path[512];
    assert_ok(sn_context_create(NULL, &ctx, &err));
    (void)snprintf(path, sizeof path, "%s/tokenizers/%s/tokenizer.json", shared, name);
    if (!sn_file_exists(path)) { /* packed */
        sn_context_destroy(ctx);
        return;
    }
    assert_ok(sn_file_open(ctx, path, &file, &err));
    (void)snprintf(path, sizeof path, "%s/oracle/%s.jsonl", shared, name);
    assert_ok(sn_file_open(ctx, path, &rows, &err));
    open_stream(&f, sn_file_bytes(file));
    uint32_t at = 0;
    const SnJson *stream;
    for (SnBytes left = sn_file_bytes(rows); left.n > 0 && (stream = sn_json_at(all, at)) != NULL;) {
        const uint8_t *end = memchr(left.at, '\n', left.n);
        const size_t n = end != NULL ? (size_t)(end - left.at) : left.n;
        SnJson *row = NULL;
        int64_t want = 0, string = -1, id;
        assert_ok(sn_json_parse(&f.arena, "row", sn_bytes(left.at, n), &row, &err));
        left = sn_bytes(left.at + n + (end != NULL), left.n - n - (end != NULL));
        assert_true(sn_json_int(sn_json_at(stream, 0), &want) && sn_json_int(sn_json_get(row, "s"), &string));
        if (string != want)
            continue;
        at++;
        assert_joined(&f, sn_json_get(row, "i"), 1 + at % 7);
        const SnJson *chunk, *ids = sn_json_get(row, "i");
        memset(f.s->hold, 0, sizeof f.s->hold);
        for (uint32_t i = 0; (chunk = sn_json_at(sn_json_at(stream, 1), i)) != NULL; i++) {
            SnBytes text = {NULL, 0};
            (void)sn_json_string(chunk, &text);
            assert_true(sn_json_int(sn_json_at(ids, i), &id));
            assert_ok(step(f.s, &(int32_t){(int32_t)id}, 1, 0, &err));
            if (strlen(f.s->text) != text.n ||
                memcmp(f.s->text, text.at != NULL ? text.at : (const uint8_t *)"", text.n))
                fail_msg("%s, string %d, id %u: \"%s\"", name, (int)want, i, f.s->text);
        }
    }
    assert_null(sn_json_at(all, at)); /* all were found */
    close_stream(&f);
    sn_file_release(file);
    sn_file_release(rows);
    sn_context_destroy(ctx);
}

static void recorded_streams_are_equal(void **state)
{
    SnContext *ctx = NULL;
    SnArena arena;
    SnFile *file = NULL;
    SnJson *all = NULL;
    SnError err;
    char path[512], name[64];
    const char *shared = getenv("SN_SHARED");
    (void)state;
    (void)snprintf(path, sizeof path, "%s/oracle/decode_stream.json", shared != NULL ? shared : "../shared");
    if (shared == NULL || !sn_file_exists(path))
        skip();
    assert_ok(sn_context_create(NULL, &ctx, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_file_open(ctx, path, &file, &err));
    assert_ok(sn_json_parse(&arena, "streams", sn_file_bytes(file), &all, &err));
    for (uint32_t i = 0; i < all->n; i++) {
        const SnBytes key = all->u.child[i].key;
        (void)snprintf(name, sizeof name, "%.*s", (int)key.n, (const char *)key.at);
        assert_recorded(shared, name, &all->u.child[i]);
    }
    sn_file_release(file);
    sn_arena_clear(&arena);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(stop_strings_are_met_over_token_borders),
        cmocka_unit_test(stop_strings_stay_with_the_rest_of_their_token),
        cmocka_unit_test(a_stop_string_may_end_in_a_special_token),
        cmocka_unit_test(what_a_prompt_says_is_joined_and_not_given),
        cmocka_unit_test(a_hold_of_other_bytes_is_refused),
        cmocka_unit_test(a_hold_never_runs_over),
        cmocka_unit_test(recorded_streams_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
