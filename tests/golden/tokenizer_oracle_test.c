/* tokenizer_oracle_test.c -- every row of the BERT oracles in SN_SHARED (default ../shared), made with
 * tokenizers 0.23.3; its README.txt says what the fields are. Exit status 77, skipped, where the folder is
 * not there. */
#include "runtime/json.h"
#include "tests/unit/tokenize_run.h"
#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Oracle {
    const char *shared;
    SnContext *ctx;
    SnArena arena; /* of a tokenizer and its oracle */
    SnArena work;  /* of a row */
    SnJson *strings;
    SnBytes table;
    char place[200]; /* for messages */
} Oracle;

static SnBytes read_file(Oracle *o, const char *name)
{
    SnError err;
    SnFile *file = NULL;
    char *path = sn_arena_printf(&o->arena, "%s/%s", o->shared, name);
    assert_ok(sn_file_open(o->ctx, path, &file, &err));
    const SnBytes b = sn_file_bytes(file);
    const char *copy = sn_arena_strndup(&o->arena, (const char *)b.at, b.n);
    assert_non_null(copy);
    sn_file_release(file);
    return sn_bytes(copy, b.n);
}

static SnJson *parse(Oracle *o, const char *name, SnBytes text)
{
    SnError err;
    SnJson *v = NULL;
    assert_ok(sn_json_parse(&o->arena, name, text, &v, &err));
    return v;
}

/* ---- comparing ------------------------------------------------------------------------------------------
 */

static int64_t integer(const SnJson *v)
{
    int64_t i = INT64_MIN;
    (void)sn_json_int(v, &i);
    return i;
}

static void assert_numbers(const Oracle *o, const char *what, const SnView *list, int64_t row,
                           const SnJson *want)
{
    const int32_t *got = (const int32_t *)list->data + list->start[row];
    if (list->len[row] != (int64_t)want->n)
        fail_msg("%s: %s: %" PRId64 " of them, expected %" PRIu32, o->place, what, list->len[row], want->n);
    for (uint32_t i = 0; i < want->n; i++)
        if (got[i] != integer(sn_json_at(want, i)))
            fail_msg("%s: %s[%" PRIu32 "] is %" PRId32 ", expected %" PRId64, o->place, what, i, got[i],
                     integer(sn_json_at(want, i)));
}

/* Fields that are there; a window's row of each result. */
static void assert_fields(const Oracle *o, const RunResult *r, int64_t row, const SnJson *want)
{
    static const struct {
        const char *key;
        int result;
    } fields[] = {
        {"i", RUN_IDS}, {"t", RUN_TYPE}, {"o", RUN_OFFSET}, {"w", RUN_WORD_ID}, {"seq", RUN_SEQUENCE}};
    for (size_t i = 0; i < SN_COUNT(fields); i++)
        if (sn_json_get(want, fields[i].key) != NULL)
            assert_numbers(o, fields[i].key, &r->out[fields[i].result], row,
                           sn_json_get(want, fields[i].key));
}

static SnView text_row(const Oracle *o, int64_t i, int64_t *n, const int64_t *zero)
{
    SnBytes s = {NULL, 0};
    assert_true(sn_json_string(sn_json_at(o->strings, (uint32_t)i), &s));
    *n = (int64_t)s.n;
    return run_row(SN_U8, (void *)(uintptr_t)s.at, n, zero);
}

static void assert_decodes(Oracle *o, const SnView *ids, bool skip_special, const SnJson *want, SnBytes text)
{
    SnError err;
    SnView out;
    SnBytes s = text; /* true: equal to the text */
    (void)sn_json_string(want, &s);
    assert_ok(run_decode(&o->work, o->table, ids, skip_special, &out, &err));
    if (!sn_bytes_equal(sn_bytes(out.data, (size_t)out.len[0]), s))
        fail_msg("%s: decodes to \"%.*s\", expected \"%.*s\"", o->place, (int)out.len[0],
                 (const char *)out.data, (int)s.n, (const char *)s.at);
}

/* ---- rows -----------------------------------------------------------------------------------------------
 */

static void check_special(const Oracle *o, const RunResult *r, const SnJson *want)
{
    const SnView *list = &r->out[RUN_SPECIAL];
    uint32_t k = 0;
    for (int64_t i = 0; i < list->len[0]; i++) {
        const bool special = k < (want != NULL ? want->n : 0) && integer(sn_json_at(want, k)) == i;
        k += special;
        if (((const int32_t *)list->data)[i] != special)
            fail_msg("%s: special mask at %" PRId64, o->place, i);
    }
}

/* Without special tokens: field n, or field i without the masked ones. */
static void check_no_special(Oracle *o, const SnView *text, const RunResult *whole, const SnJson *n)
{
    SnError err;
    RunResult r = {.nagain = 0};
    assert_ok(run_encode(&o->work, o->table, text, NULL, &(RunOptions){.max_length = -1, .no_special = true},
                         &r, &err));
    if (n != NULL) {
        assert_numbers(o, "n", &r.out[RUN_IDS], 0, n);
        return;
    }
    int64_t k = 0;
    for (int64_t i = 0; i < whole->out[RUN_IDS].len[0]; i++)
        if (((const int32_t *)whole->out[RUN_SPECIAL].data)[i] == 0)
            assert_int_equal(((const int32_t *)r.out[RUN_IDS].data)[k++],
                             ((const int32_t *)whole->out[RUN_IDS].data)[i]);
    assert_int_equal(k, r.out[RUN_IDS].len[0]);
}

static void check_line(Oracle *o, const SnJson *want)
{
    SnError err;
    RunResult r = {.nagain = 0};
    int64_t n;
    const int64_t zero = 0;
    const SnView text = text_row(o, integer(sn_json_get(want, "s")), &n, &zero);
    assert_ok(run_encode(&o->work, o->table, &text, NULL, &(RunOptions){.max_length = -1}, &r, &err));
    assert_fields(o, &r, 0, want);
    check_special(o, &r, sn_json_get(want, "m"));
    check_no_special(o, &text, &r, sn_json_get(want, "n"));
    assert_decodes(o, &r.out[RUN_IDS], false, sn_json_get(want, "d"), sn_bytes(text.data, (size_t)n));
    assert_decodes(o, &r.out[RUN_IDS], true, sn_json_get(want, "k"), sn_bytes(text.data, (size_t)n));
}

static void check_pair_or_cut(Oracle *o, const SnJson *want)
{
    static const char *const strategies[] = {"longest_first", "only_first", "only_second"};
    enum { WINDOWS = 2000 };
    SnError err;
    RunResult r = {.nagain = 0};
    RunOptions options = {.max_length = -1};
    int64_t n[2];
    const int64_t zero = 0;
    const SnJson *second = sn_json_get(want, "B");
    const SnView a = text_row(o, integer(sn_json_get(want, "A")), &n[0], &zero);
    const SnView b = sn_json_is_null(second) ? a : text_row(o, integer(second), &n[1], &zero);
    if (sn_json_is(sn_json_get(want, "op"), "trunc")) {
        options = (RunOptions){.max_length = integer(sn_json_get(want, "max")),
                               .stride = integer(sn_json_get(want, "stride")),
                               .left = sn_json_is(sn_json_get(want, "dir"), "left"),
                               .windows = WINDOWS};
        while (!sn_json_is(sn_json_get(want, "strategy"), strategies[options.strategy]))
            options.strategy++;
    }
    const SnStatus st =
        run_encode(&o->work, o->table, &a, sn_json_is_null(second) ? NULL : &b, &options, &r, &err);
    if (sn_json_get(want, "error") != NULL) {
        assert_int_equal(st, SN_EINVAL);
        return;
    }
    assert_int_equal(st, SN_OK);
    assert_fields(o, &r, 0, want);
    assert_numbers(o, "m", &r.out[RUN_SPECIAL], 0, sn_json_get(want, "m"));
    const SnJson *over = sn_json_get(want, "over"), *v;
    for (uint32_t i = 0; (v = sn_json_at(over, i)) != NULL; i++)
        assert_fields(o, &r, i + 1, v);
    if (over != NULL)
        assert_int_equal(*(const int64_t *)r.out[RUN_COUNT].data - 1, integer(sn_json_get(want, "nover")));
}

/* The first row of a list, which is not longer, at either side of `size` numbers. */
static void pad(const SnView *list, int64_t size, bool left, int32_t fill, int32_t *out)
{
    const int64_t n = list->len[0];
    assert_true(n <= size);
    for (int64_t i = 0; i < size - n; i++)
        out[left ? i : n + i] = fill;
    memcpy(out + (left ? size - n : 0), (const int32_t *)list->data + list->start[0],
           (size_t)n * sizeof *out);
}

static void check_pad(Oracle *o, const SnJson *want)
{
    static const struct {
        const char *key;
        int result, per;
    } fields[] = {{"i", RUN_IDS, 1}, {"t", RUN_TYPE, 1}, {"m", RUN_SPECIAL, 1}, {"o", RUN_OFFSET, 2}};
    const bool left = sn_json_is(sn_json_get(want, "dir"), "left");
    const SnJson *texts = sn_json_get(want, "strs"), *batch = sn_json_get(want, "batch");
    const int64_t multiple = integer(sn_json_get(want, "multiple")),
                  fixed = integer(sn_json_get(want, "length"));
    const int32_t id = (int32_t)integer(sn_json_get(want, "pad_id"));
    int64_t longest = 0, shortest_padded = INT64_MAX,
            n; /* a row longer than the fixed length stays as it is */
    const int64_t zero = 0;
    for (uint32_t i = 0; i < texts->n; i++) {
        SnError err;
        RunResult r = {.nagain = 0};
        const SnView text = text_row(o, integer(sn_json_at(texts, i)), &n, &zero);
        assert_ok(run_encode(&o->work, o->table, &text, NULL, &(RunOptions){.max_length = -1}, &r, &err));
        const int64_t length = sn_json_get(sn_json_at(batch, i), "i")->n;
        shortest_padded = length < shortest_padded ? length : shortest_padded;
        longest = r.out[RUN_IDS].len[0] > longest ? r.out[RUN_IDS].len[0] : longest;
        for (size_t k = 0; k < SN_COUNT(fields); k++) {
            int64_t size = length * fields[k].per;
            int32_t *out = sn_arena_array(&o->work, (size_t)size, sizeof *out);
            const int32_t fill = fields[k].result == RUN_IDS ? id : fields[k].result == RUN_SPECIAL;
            pad(&r.out[fields[k].result], size, left, fill, out);
            const SnView row = run_row(SN_I32, out, &size, &zero);
            assert_numbers(o, fields[k].key, &row, 0, sn_json_get(sn_json_at(batch, i), fields[k].key));
        }
    }
    assert_int_equal(sn_tokens_pad_length(longest, fixed > 0 ? fixed : 0, multiple > 0 ? multiple : 0),
                     shortest_padded);
}

/* ---- files ----------------------------------------------------------------------------------------------
 */

static void check_lines(Oracle *o, const char *name)
{
    const SnBytes text = read_file(o, sn_arena_printf(&o->arena, "oracle/%s.jsonl", name));
    int line = 0;
    for (size_t at = 0; at < text.n; line++) {
        const uint8_t *end = memchr(text.at + at, '\n', text.n - at);
        const size_t n = end != NULL ? (size_t)(end - (text.at + at)) : text.n - at;
        snprintf(o->place, sizeof o->place, "%s line %d", name, line + 1);
        check_line(o, parse(o, "line", sn_bytes(text.at + at, n)));
        sn_arena_clear(&o->work);
        at += n + 1;
    }
    assert_true(line > 200);
}

static void check_ops(Oracle *o, const char *name)
{
    const SnJson *all = parse(o, "ops", read_file(o, sn_arena_printf(&o->arena, "oracle/%s.ops.json", name))),
                 *v;
    for (uint32_t i = 0; (v = sn_json_at(all, i)) != NULL; i++) {
        snprintf(o->place, sizeof o->place, "%s op %" PRIu32, name, i);
        if (sn_json_is(sn_json_get(v, "op"), "pad"))
            check_pad(o, v);
        else
            check_pair_or_cut(o, v);
        sn_arena_clear(&o->work);
    }
    assert_true(all->n > 20);
}

static void check_tokenizer(Oracle *o, const char *name, bool from_vocab)
{
    SnError err;
    o->strings = parse(o, "strings", read_file(o, "oracle/strings.json"));
    if (from_vocab) {
        const SnTokenizerFiles files = {
            .folder = name,
            .vocab = read_file(o, sn_arena_printf(&o->arena, "tokenizers/%s/vocab.txt", name)),
            .config = read_file(o, sn_arena_printf(&o->arena, "tokenizers/%s/tokenizer_config.json", name))};
        assert_ok(sn_tokenizer_load(o->ctx, &files, &o->arena, &o->table, &err));
    } else {
        SnFolder *folder = NULL;
        assert_ok(sn_folder_open(o->ctx, sn_arena_printf(&o->arena, "%s/tokenizers/%s", o->shared, name),
                                 &folder, &err));
        assert_ok(sn_tokenizer_open(o->ctx, folder, &o->arena, &o->table, &err));
        sn_folder_close(folder);
    }
    assert_int_equal(sn_tokenizer_facts(o->table).max_length, 512);
    check_lines(o, name);
    check_ops(o, name);
    sn_arena_clear(&o->arena);
}

static void bert_base_uncased(void **state)
{
    check_tokenizer(*state, "bert-base-uncased", false);
}

static void bert_base_cased(void **state)
{
    check_tokenizer(*state, "bert-base-cased", false);
}

static void bert_base_multilingual_cased(void **state)
{
    check_tokenizer(*state, "bert-base-multilingual-cased", false);
}

static void bert_base_uncased_from_vocab_txt(void **state)
{
    check_tokenizer(*state, "bert-base-uncased", true);
}

static void bert_base_cased_from_vocab_txt(void **state)
{
    check_tokenizer(*state, "bert-base-cased", true);
}

/* Hexadecimal bytes, and the ids of what Python's errors="replace" makes of them. */
static void malformed_texts(void **state)
{
    Oracle *o = *state;
    SnError err;
    const SnTokenizerFiles files = {.folder = "bert",
                                    .tokenizer = read_file(o, "tokenizers/bert-base-uncased/tokenizer.json")};
    assert_ok(sn_tokenizer_load(o->ctx, &files, &o->arena, &o->table, &err));
    const SnJson *all = parse(o, "malformed", read_file(o, "oracle/malformed.json")), *v;
    for (uint32_t i = 0; (v = sn_json_at(all, i)) != NULL; i++) {
        SnBytes hex = {NULL, 0};
        assert_true(sn_json_string(sn_json_get(v, "hex"), &hex));
        uint8_t *text = sn_arena_alloc(&o->arena, hex.n + 1);
        for (size_t k = 0; k + 1 < hex.n; k += 2) {
            const char digits[3] = {(char)hex.at[k], (char)hex.at[k + 1], '\0'};
            text[k / 2] = (uint8_t)strtoul(digits, NULL, 16);
        }
        const int64_t n = (int64_t)hex.n / 2, zero = 0;
        const SnView row = run_row(SN_U8, text, &n, &zero);
        RunResult r = {.nagain = 0};
        snprintf(o->place, sizeof o->place, "malformed %" PRIu32, i);
        assert_ok(run_encode(&o->work, o->table, &row, NULL, &(RunOptions){.max_length = -1}, &r, &err));
        assert_numbers(o, "bert", &r.out[RUN_IDS], 0, sn_json_get(v, "bert"));
    }
    assert_true(all->n > 5);
}

int main(void)
{
    Oracle o = {.shared = getenv("SN_SHARED") != NULL ? getenv("SN_SHARED") : "../shared"};
    char path[600];
    const int length = snprintf(path, sizeof path, "%s/oracle/strings.json", o.shared);
    if (length < 0 || (size_t)length >= sizeof path || !sn_file_exists(path))
        return 77;
    if (sn_context_create(NULL, &o.ctx, NULL) != SN_OK)
        return 1;
    sn_arena_init(&o.arena, sn_allocator(o.ctx));
    sn_arena_init(&o.work, sn_allocator(o.ctx));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(bert_base_uncased, &o),
        cmocka_unit_test_prestate(bert_base_cased, &o),
        cmocka_unit_test_prestate(bert_base_multilingual_cased, &o),
        cmocka_unit_test_prestate(bert_base_uncased_from_vocab_txt, &o),
        cmocka_unit_test_prestate(bert_base_cased_from_vocab_txt, &o),
        cmocka_unit_test_prestate(malformed_texts, &o),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sn_arena_clear(&o.work);
    sn_arena_clear(&o.arena);
    sn_context_destroy(o.ctx);
    return failed;
}
