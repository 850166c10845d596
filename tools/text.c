/* text.c -- the commands over text: run, embed, tokenize. */
#include "tools/command.h"

#include <unistd.h>

#define LINES_AT_ONCE 1024 /* of tokenize */
#define STORY         "Once upon a time"

/* ---- run ---- */

static void print_string(SnBytes s)
{
    (void)printf("  %.*s", (int)s.n, s.n ? (const char *)s.at : "");
}

/* One result on a line: its score, its words, and where they are in the text. */
static void print_object(const SnJson *v)
{
    double score = 0;
    int64_t start = 0, end = 0;
    SnBytes s = {0};
    if (sn_json_number(sn_json_get(v, "score"), &score))
        (void)printf("%8.4f", score);
    for (uint32_t i = 0; i < v->n; i++)
        if (sn_json_string(&v->u.child[i], &s))
            print_string(s);
    if (sn_json_int(sn_json_get(v, "start"), &start) && sn_json_int(sn_json_get(v, "end"), &end))
        (void)printf("  [%lld, %lld)", (long long)start, (long long)end);
    (void)printf("\n");
}

/* Labels of a whole text, likeliest first. */
static void print_labels(const SnJson *labels, const SnJson *scores)
{
    double score = 0;
    SnBytes s = {0};
    for (uint32_t i = 0; i < labels->n; i++)
        if (sn_json_string(&labels->u.child[i], &s) && sn_json_number(sn_json_at(scores, i), &score)) {
            (void)printf("%8.4f", score);
            print_string(s);
            (void)printf("\n");
        }
}

static void print_numbers(const SnJson *v)
{
    double x = 0;
    for (uint32_t i = 0; i < v->n; i++)
        if (sn_json_number(&v->u.child[i], &x))
            (void)printf("%s%.6f", i ? " " : "", x);
    (void)printf("\n");
}

/* People see a line a result; --json shows what the reference pipeline gives. Depth is that of parsed JSON.
 */
static void print_result(const SnJson *v)
{
    const SnJson *labels = sn_json_get(v, "labels");
    double x = 0;
    if (labels)
        print_labels(labels, sn_json_get(v, "scores"));
    else if (v->kind == SN_JSON_OBJECT)
        print_object(v);
    else if (v->kind == SN_JSON_ARRAY && v->n && sn_json_number(&v->u.child[0], &x))
        print_numbers(v);
    else
        for (uint32_t i = 0; v->kind == SN_JSON_ARRAY && i < v->n; i++)
            print_result(&v->u.child[i]);
}

static int run_input(const Args *a, Session *s, const SnJson *input, const SnJson *kwargs)
{
    SnError err = {0};
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(s->ctx));
    SnText out = {.memory = arena.memory};
    SnJson *result = NULL;
    SnStatus st = sn_model_pipeline(s->model, arg_value(a, "--task"), input, kwargs, &out, &err);
    if (st == SN_OK && a->json)
        (void)printf("%s\n", out.at);
    else if (st == SN_OK)
        st = sn_json_parse(&arena, "result", sn_bytes(out.at, out.n), &result, &err);
    if (result)
        print_result(result);
    sn_text_clear(&out);
    sn_arena_clear(&arena);
    return report(a->at[0], st, &err);
}

/* An input is text; one that is a JSON object or array is what the pipeline takes in its place. */
static int run_text(const Args *a, Session *s, SnBytes text, const SnJson *kwargs)
{
    SnArena arena;
    SnJson plain = {.kind = SN_JSON_STRING, .u.string = text}, *json = NULL;
    sn_arena_init(&arena, sn_allocator(s->ctx));
    const bool is_json = text.n && (text.at[0] == '{' || text.at[0] == '[') &&
                         sn_json_parse(&arena, "input", text, &json, NULL) == SN_OK;
    const int status = run_input(a, s, is_json ? json : &plain, kwargs);
    sn_arena_clear(&arena);
    return status;
}

/* The task asks about a second text, and the two operands are not JSON. */
static bool is_question(const Args *a, const Session *s)
{
    const char *task = arg_value(a, "--task");
    return a->n == 3 && a->at[1][0] != '{' && a->at[1][0] != '[' && strcmp(a->at[1], "-") != 0 &&
           strcmp(task ? task : sn_model_task(s->model), "question-answering") == 0;
}

static int run_question(const Args *a, Session *s, const SnJson *kwargs)
{
    SnJson part[2] = {{.kind = SN_JSON_STRING, .key = sn_bytes_str("question")},
                      {.kind = SN_JSON_STRING, .key = sn_bytes_str("context")}};
    for (int i = 0; i < 2; i++)
        part[i].u.string = sn_bytes_str(a->at[i + 1]);
    const SnJson input = {.kind = SN_JSON_OBJECT, .n = 2, .u.child = part};
    return run_input(a, s, &input, kwargs);
}

static int run_operands(const Args *a, Session *s, SnArena *arena, const SnJson *kwargs)
{
    int status = EXIT_DONE;
    for (int i = 1; status == EXIT_DONE && i < (a->n > 1 ? a->n : 2); i++) {
        const char *operand = a->n > 1 ? a->at[i] : a->is_inside && isatty(STDIN_FILENO) ? STORY : "-";
        SnBytes text = sn_bytes_str(operand);
        Lines lines = {.at = &text, .n = 1};
        if (strcmp(operand, "-") == 0 || is_regular_file(operand))
            status = read_lines(arena, operand, &lines);
        if (status == EXIT_DONE && a->is_inside && lines.n == 0) {
            text = sn_bytes_str(STORY);
            lines = (Lines){.at = &text, .n = 1};
        }
        for (size_t k = 0; status == EXIT_DONE && k < lines.n; k++)
            status = run_text(a, s, lines.at[k], kwargs);
    }
    return status;
}

int command_run(const Args *a)
{
    Session s = {0};
    SnJson *kwargs = NULL;
    const char *given = arg_value(a, "--kwargs");
    int status = session_open(a, a->at[0], arg_value(a, "--task"), &s);
    if (status == EXIT_DONE) {
        if (given && sn_json_parse(&s.arena, "--kwargs", sn_bytes_str(given), &kwargs, &s.err) != SN_OK)
            status = usage_error(a, "%s", s.err.message);
        else if (kwargs && kwargs->kind != SN_JSON_OBJECT)
            status = usage_error(a, "--kwargs: expected a JSON object");
    }
    if (status == EXIT_DONE)
        status = is_question(a, &s) ? run_question(a, &s, kwargs) : run_operands(a, &s, &s.arena, kwargs);
    session_close(&s);
    return status;
}

/* ---- embed ---- */

static void print_rows(const Args *a, const SnView *v, const SnAllocator *memory)
{
    const float *x = v->data;
    const int64_t width = v->dims[1];
    SnText t = {.memory = memory};
    for (int64_t i = 0; i < v->dims[0]; i++) {
        t.n = 0;
        sn_text_add(&t, a->json ? "[" : "", a->json ? 1 : 0);
        for (int64_t j = 0; j < width; j++) {
            sn_text_add(&t, a->json ? ", " : " ", j == 0 ? 0 : a->json ? 2 : 1);
            sn_json_put_f32(&t, x[i * width + j]);
        }
        sn_text_add(&t, "]", a->json ? 1 : 0);
        (void)printf("%s\n", t.failed ? "" : t.at);
    }
    sn_text_clear(&t);
}

/* Vectors, or with --similarity how alike they are, as the folder measures it. */
static SnStatus embed(const Args *a, Session *s, const Lines *texts, SnError *err)
{
    SnResults *vectors = NULL, *matrix = NULL;
    SnStatus st = sn_model_embed(s->model, texts->at, texts->n, &vectors, err);
    if (st == SN_OK && arg_flag(a, "--similarity"))
        st = sn_model_similarity(s->model, &sn_results_get(vectors, 0)->view, &matrix, err);
    if (st == SN_OK)
        print_rows(a, &sn_results_get(matrix ? matrix : vectors, 0)->view, sn_allocator(s->ctx));
    sn_results_destroy(vectors);
    sn_results_destroy(matrix);
    return st;
}

int command_embed(const Args *a)
{
    Session s = {0};
    Lines texts = {0};
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE)
        status = read_texts(a, &s.arena, &texts);
    if (status == EXIT_DONE && texts.n > 0)
        status = report(a->at[0], embed(a, &s, &texts, &s.err), &s.err);
    session_close(&s);
    return status;
}

/* ---- tokenize ---- */

static int find_word(const Args *a, const char *option, const char *const *word, int n, int otherwise,
                     int *status)
{
    const char *given = arg_value(a, option);
    for (int i = 0; given && i < n; i++)
        if (strcmp(given, word[i]) == 0)
            return i;
    if (given)
        *status = usage_error(a, "%s: \"%s\" is not one of its values", option, given);
    return otherwise;
}

static int tokenize_options(const Args *a, SnTokenizeOptions *o)
{
    static const char *const strategy[] = {"none", "longest_first", "only_first", "only_second"};
    static const char *const side[] = {"right", "left"};
    int status = EXIT_DONE;
    *o = (SnTokenizeOptions){.struct_size = sizeof *o,
                             .no_special = arg_flag(a, "--no-special"),
                             .pad = arg_flag(a, "--pad"),
                             .pad_token = arg_value(a, "--pad-token")};
    const bool cut = arg_int(a, "--max-length", &o->max_length, &status);
    (void)arg_int(a, "--stride", &o->stride, &status);
    o->pad = arg_int(a, "--pad-length", &o->pad_length, &status) || o->pad;
    o->pad = arg_int(a, "--pad-multiple", &o->pad_multiple, &status) || o->pad;
    o->truncation = (SnTruncation)find_word(a, "--truncation", strategy, 4,
                                            cut ? SN_TRUNCATE_LONGEST_FIRST : SN_TRUNCATE_NONE, &status);
    o->truncate_left = find_word(a, "--truncation-side", side, 2, 0, &status) == 1;
    o->pad_left = find_word(a, "--pad-side", side, 2, 0, &status) == 1;
    if (status == EXIT_DONE && cut && o->max_length < 1)
        status = usage_error(a, "--max-length: %lld, at least 1", (long long)o->max_length);
    if (status == EXIT_DONE && (o->stride < 0 || o->pad_length < 0 || o->pad_multiple < 0))
        status = usage_error(a, "--stride, --pad-length and --pad-multiple are at least 0");
    return status;
}

static void put_ints(SnText *t, const char *key, const int32_t *v, size_t n)
{
    sn_text_printf(t, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        sn_text_printf(t, "%s%d", i ? ", " : "", v[i]);
    sn_text_add(t, "]", 1);
}

/* The same, where -1 is none. */
static void put_numbers(SnText *t, const char *key, const int32_t *v, size_t n)
{
    sn_text_printf(t, ", \"%s\": [", key);
    for (size_t i = 0; i < n; i++)
        sn_text_printf(t, v[i] < 0 ? "%snull" : "%s%d", i ? ", " : "", v[i]);
    sn_text_add(t, "]", 1);
}

static void put_encoding(SnText *t, const SnEncoding *e)
{
    sn_text_printf(t, "{\"ids\": [");
    for (size_t i = 0; i < e->n; i++)
        sn_text_printf(t, "%s%d", i ? ", " : "", e->ids[i]);
    sn_text_printf(t, "], \"tokens\": [");
    for (size_t i = 0; i < e->n; i++) {
        sn_text_add(t, ", ", i ? 2 : 0);
        sn_json_put_string(t, e->tokens[i]);
    }
    sn_text_printf(t, "], \"offsets\": [");
    for (size_t i = 0; i < e->n; i++)
        sn_text_printf(t, "%s[%d, %d]", i ? ", " : "", e->offsets[2 * i], e->offsets[2 * i + 1]);
    sn_text_add(t, "]", 1);
    put_ints(t, "type_ids", e->type_ids, e->n);
    put_ints(t, "special_tokens_mask", e->special_mask, e->n);
    put_ints(t, "attention_mask", e->attention_mask, e->n);
    put_numbers(t, "word_ids", e->word_ids, e->n);
    put_numbers(t, "sequence_ids", e->sequence_ids, e->n);
}

static void print_encoding(SnText *t, const SnEncoding *e)
{
    t->n = 0;
    put_encoding(t, e);
    if (e->overflow)
        sn_text_printf(t, ", \"overflow\": [");
    for (const SnEncoding *o = e->overflow; o; o = o->overflow) {
        put_encoding(t, o);
        sn_text_printf(t, o->overflow ? "}, " : "}]");
    }
    sn_text_add(t, "}", 1);
    (void)printf("%s\n", t->failed ? "" : t->at);
}

/* Lines of texts: lists of strings, so many of each line where they are words. */
typedef struct Texts {
    SN_VEC(SnBytes) at;
    int64_t *words;
} Texts;

/* A string, or with words an array of strings. */
static bool take_text(const SnAllocator *memory, const SnJson *v, Texts *out, size_t line)
{
    SnBytes text;
    if (!out->words)
        return sn_json_string(v, &text) && sn_vec_push(memory, &out->at, text);
    bool ok = v && v->kind == SN_JSON_ARRAY;
    out->words[line] = ok ? v->n : 0;
    for (uint32_t i = 0; ok && i < v->n; i++)
        ok = sn_json_string(&v->u.child[i], &text) && sn_vec_push(memory, &out->at, text);
    return ok;
}

/* A line of --json: a text, or [A, B] with --pair. */
static int parse_line(SnArena *arena, const Lines *lines, size_t i, Texts *text, Texts *pair)
{
    SnError err = {0};
    SnJson *v = NULL;
    const SnBytes line = lines->at[i];
    if (sn_json_parse(arena, "standard input", line, &v, &err) != SN_OK)
        return report(NULL, SN_EFORMAT, &err);
    const bool ok = pair ? v->kind == SN_JSON_ARRAY && v->n == 2 &&
                               take_text(arena->memory, sn_json_at(v, 0), text, i) &&
                               take_text(arena->memory, sn_json_at(v, 1), pair, i)
                         : take_text(arena->memory, v, text, i);
    if (ok)
        return EXIT_DONE;
    (void)fprintf(
        stderr, "sinter: standard input: expected %s%s, found %.*s\n", pair ? "an array of two " : "a JSON ",
        text->words ? (pair ? "arrays of strings" : "array of strings") : (pair ? "strings" : "string"),
        (int)(line.n < 60 ? line.n : 60), (const char *)line.at);
    return EXIT_FAILED;
}

static int encode_texts(const Args *a, Session *s, size_t n, const Texts *text, const Texts *pair,
                        SnTokenizeOptions *o)
{
    SnError err = {0};
    SnArena arena;
    SnEncoding *out = NULL;
    sn_arena_init(&arena, sn_allocator(s->ctx));
    SnText t = {.memory = arena.memory};
    o->words = text->words;
    o->pair_words = pair ? pair->words : NULL;
    const SnStatus st =
        sn_model_tokenize(s->model, text->at.at, pair ? pair->at.at : NULL, n, o, &arena, &out, &err);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        print_encoding(&t, &out[i]);
    const bool failed = t.failed;
    sn_text_clear(&t);
    sn_arena_clear(&arena);
    return st != SN_OK ? report(a->at[0], st, &err) : failed ? report_memory() : EXIT_DONE;
}

static int encode_part(const Args *a, Session *s, const Lines *lines, SnTokenizeOptions *o)
{
    Texts text = {{0}}, pair = {{0}};
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(s->ctx));
    const bool has_pair = arg_flag(a, "--pair"), has_words = arg_flag(a, "--words");
    if (has_words) {
        text.words = sn_arena_array(&arena, lines->n, sizeof *text.words);
        pair.words = sn_arena_array(&arena, lines->n, sizeof *pair.words);
    }
    int status = has_words && (!text.words || !pair.words) ? report_memory() : EXIT_DONE;
    for (size_t i = 0; status == EXIT_DONE && i < lines->n; i++) {
        if (a->json)
            status = parse_line(&arena, lines, i, &text, has_pair ? &pair : NULL);
        else if (!sn_vec_push(arena.memory, &text.at, lines->at[i]))
            status = report_memory();
    }
    if (status == EXIT_DONE)
        status = encode_texts(a, s, lines->n, &text, has_pair ? &pair : NULL, o);
    sn_vec_clear(arena.memory, &text.at);
    sn_vec_clear(arena.memory, &pair.at);
    sn_arena_clear(&arena);
    return status;
}

static int encode_lines(const Args *a, Session *s, const Lines *lines)
{
    SnTokenizeOptions o;
    int status = tokenize_options(a, &o);
    if (status == EXIT_DONE && !a->json && (arg_flag(a, "--pair") || arg_flag(a, "--words")))
        status = usage_error(a, "--pair and --words need --json");
    /* Padding looks at all lines; else memory is that of some. */
    const size_t most = o.pad ? lines->n : LINES_AT_ONCE;
    for (size_t at = 0; status == EXIT_DONE && at < lines->n; at += most) {
        const Lines part = {lines->at + at, lines->n - at < most ? lines->n - at : most};
        status = encode_part(a, s, &part, &o);
    }
    return status;
}

/* A line is an array of ids (with --json), or ids between commas. */
static int decode_line(const Args *a, Session *s, SnBytes line)
{
    SnError err = {0};
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(s->ctx));
    SnText out = {.memory = arena.memory}, quoted = {.memory = arena.memory};
    SnJson *v = NULL;
    const char *text = a->json ? NULL : sn_arena_printf(&arena, "[%.*s]", (int)line.n, (const char *)line.at);
    SnStatus st = sn_json_parse(&arena, "standard input", text ? sn_bytes_str(text) : line, &v, &err);
    int64_t *ids = st == SN_OK ? sn_arena_array(&arena, v->n + 1u, sizeof *ids) : NULL;
    for (uint32_t i = 0; st == SN_OK && ids && i < v->n; i++)
        if (v->kind != SN_JSON_ARRAY || !sn_json_int(&v->u.child[i], &ids[i]))
            st = sn_fail(&err, SN_EFORMAT, "standard input: expected an array of ids");
    if (st == SN_OK)
        st = sn_model_decode(s->model, ids, v->n, arg_flag(a, "--skip-special"), &out, &err);
    if (st == SN_OK && a->json) {
        sn_json_put_string(&quoted, sn_bytes(out.at ? out.at : "", out.n));
        (void)printf("%s\n", quoted.at);
    } else if (st == SN_OK) {
        (void)fwrite(out.at ? out.at : "", 1, out.n, stdout);
        (void)fputc('\n', stdout);
    }
    sn_text_clear(&out);
    sn_text_clear(&quoted);
    sn_arena_clear(&arena);
    return report(NULL, st, &err);
}

int command_tokenize(const Args *a)
{
    Session s = {0};
    Lines lines = {0};
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE)
        status = read_texts(a, &s.arena, &lines);
    if (status == EXIT_DONE && !arg_flag(a, "--decode"))
        status = encode_lines(a, &s, &lines);
    for (size_t i = 0; arg_flag(a, "--decode") && status == EXIT_DONE && i < lines.n; i++)
        status = decode_line(a, &s, lines.at[i]);
    session_close(&s);
    return status;
}
