/* generate.c -- the command `generate`: its flags are the names of GenerationConfig. */
#include "tools/command.h"

#include <stdlib.h>

/* ---- flags ▶ JSON ---- */

/* Flags of the line that are keys of GenerationConfig, as the members of an object. */
static void put_flag(const Args *a, const char *option, size_t n, bool takes_value, SnText *out)
{
    char flag[64], key[64];
    SnArena arena;
    SnJson *json = NULL;
    (void)snprintf(flag, sizeof flag, "%.*s", (int)n, option);
    if (takes_value ? !arg_value(a, flag) : !arg_flag(a, flag))
        return;
    for (size_t i = 2; i <= n && i < sizeof key; i++)
        key[i - 2] = flag[i] == '-' ? '_' : flag[i];
    sn_text_add(out, ", ", out->n > 1 ? 2 : 0);
    sn_json_put_string(out, sn_bytes_str(key));
    const char *value = takes_value ? arg_value(a, flag) : "true";
    sn_arena_init(&arena, out->memory);
    const bool is_json = sn_json_parse(&arena, flag, sn_bytes_str(value), &json, NULL) == SN_OK;
    sn_arena_clear(&arena);
    sn_text_add(out, ": ", 2);
    if (is_json)
        sn_text_add(out, value, strlen(value));
    else
        sn_json_put_string(out, sn_bytes_str(value));
}

static bool is_own(const char *option, size_t n)
{
    static const char *const own[] = {"--prompt",          "--inputs",  "--outputs",
                                      "--assistant-model", "--system",  "--print-config",
                                      "--column",          "--adapter", "--combine"};
    for (size_t i = 0; i < SN_COUNT(own); i++)
        if (strlen(own[i]) == n && memcmp(own[i], option, n) == 0)
            return true;
    return false;
}

int read_options(const Args *a, SnArena *arena, const SnJson **out)
{
    SnError err = {0};
    SnJson *json = NULL;
    SnText text = {.memory = arena->memory};
    sn_text_add(&text, "{", 1);
    for (const char *line = a->command->options; *line; line = strchr(line, '\n') + 1) {
        const size_t n = strcspn(line, " ");
        if (strncmp(line, "--", 2) == 0 && n < 64 && !is_own(line, n))
            put_flag(a, line, n, line[n + 1] >= 'A' && line[n + 1] <= 'Z', &text);
    }
    put_flag(a, "--seed", 6, true, &text);
    sn_text_add(&text, "}", 1);
    const char *own = text.failed ? NULL : sn_arena_strndup(arena, text.at, text.n);
    SnStatus st = own ? sn_json_parse(arena, "options", sn_bytes_str(own), &json, &err)
                      : sn_fail(&err, SN_ENOMEM, "no memory for options");
    sn_text_clear(&text);
    *out = json;
    return report(NULL, st, &err);
}

/* ---- text ---- */

static void print_rates(const Args *a, const SnGenerator *g)
{
    SnGeneratorStats s;
    sn_generator_stats(g, &s);
    if (!a->verbose)
        return;
    const double prompt_s = (double)s.prompt_ns * 1e-9, new_s = (double)s.new_ns * 1e-9;
    (void)fprintf(stderr, "sinter: prompt %llu tokens in %.3f s, %llu new tokens in %.3f s: %.1f tokens/s\n",
                  (unsigned long long)s.prompt_tokens, prompt_s, (unsigned long long)s.new_tokens, new_s,
                  new_s > 0 ? (double)s.new_tokens / new_s : 0);
    if (s.guessed_tokens)
        (void)fprintf(stderr, "sinter: %llu of %llu guessed tokens were right\n",
                      (unsigned long long)s.accepted_tokens, (unsigned long long)s.guessed_tokens);
}

/* Prints text as it comes. */
static SnStatus stream(SnGenerator *g, SnError *err)
{
    while (sn_generator_is_busy(g)) {
        SnGenerated t;
        bool done = false, has = true;
        SN_TRY(sn_generator_step(g, 0, &done, err));
        while (has) {
            SN_TRY(sn_generator_next(g, &t, &has, err));
            if (!has)
                break;
            (void)fwrite(t.text.at, 1, t.text.n, stdout);
            (void)fflush(stdout);
        }
    }
    (void)printf("\n");
    return SN_OK;
}

static int take_piece(void *user, const char *text, size_t n)
{
    (void)user;
    (void)fwrite(text, 1, n, stdout);
    (void)fflush(stdout);
    return 0;
}

/* A model that was compiled ahead of time. */
static int run_compiled(const Args *a, Session *s, const char *prompt, const SnJson *config)
{
    SnError err = {0};
    SnStatus st = config->n ? sn_fail(&err, SN_EUNSUPPORTED, "the model is compiled: how it talks is in it")
                            : sn_model_say(s->model, sn_bytes_str(prompt), take_piece, NULL, &err);
    (void)printf(st == SN_OK ? "\n" : "");
    return report(a->at[0], st, &err);
}

static int run_prompt(const Args *a, Session *s, const char *prompt, const SnJson *config)
{
    SnError err = {0};
    SnGenerator *g = NULL;
    SnGeneratorDesc d = {.struct_size = sizeof d, .config = config};
    const char *assistant = arg_value(a, "--assistant-model");
    const SnModelOptions o = {.struct_size = sizeof o, .task = "text-generation", .device = a->device};
    SnStatus st = assistant ? sn_model_open(s->cc, assistant, &o, &d.assistant, &err) : SN_OK;
    if (st == SN_OK)
        st = sn_generator_create(s->model, &d, &g, &err);
    if (st == SN_OK)
        st = sn_generator_add_text(g, sn_bytes_str(prompt), NULL, NULL, &err);
    if (st == SN_OK)
        st = stream(g, &err);
    if (st == SN_OK)
        print_rates(a, g);
    sn_generator_destroy(g);
    sn_model_close(d.assistant);
    return report(a->at[0], st, &err);
}

/* ---- tensors ---- */

static SnStatus decode(Session *s, const int64_t *id, int64_t n, SnText *out, SnError *err)
{
    out->n = 0;
    return sn_model_decode(s->model, id, (size_t)n, true, out, err);
}

/* What comes behind the prompt of n tokens, and joins it, a text a line. */
static SnStatus print_texts(Session *s, const SnResults *r, int64_t n, SnError *err)
{
    const SnView *v = &sn_results_find(r, "sequences")->view;
    for (int64_t i = 0; i < v->dims[0]; i++) {
        SnText text = {.memory = sn_allocator(s->ctx)};
        const int64_t *id = (const int64_t *)v->data + i * v->dims[1];
        SnStatus st = decode(s, id, n, &text, err);
        const size_t prompt = text.n;
        if (st == SN_OK)
            st = decode(s, id, v->dims[1], &text, err);
        if (st == SN_OK)
            (void)printf("%s\n", text.n > prompt ? text.at + prompt : "");
        sn_text_clear(&text);
        SN_TRY(st);
    }
    return SN_OK;
}

static void print_sequences(const SnResults *r)
{
    const SnView *v = &sn_results_find(r, "sequences")->view;
    for (int64_t i = 0; i < v->dims[0]; i++)
        for (int64_t k = 0; k < v->dims[1]; k++)
            (void)printf("%lld%c", (long long)((const int64_t *)v->data)[i * v->dims[1] + k],
                         k + 1 < v->dims[1] ? ' ' : '\n');
}

/* One row of the tokens of a text. */
static SnStatus encode(Session *s, SnArena *arena, const char *prompt, SnView *ids, SnError *err)
{
    const SnBytes text = sn_bytes_str(prompt);
    SnEncoding *e = NULL;
    SN_TRY(sn_model_tokenize(s->model, &text, NULL, 1, NULL, arena, &e, err));
    const int64_t dims[] = {1, (int64_t)e->n};
    *ids = sn_view(SN_I32, (void *)(uintptr_t)e->ids, 2, dims);
    return SN_OK;
}

static SnStatus run_tensors(const Args *a, Session *s, SnArena *arena, const SnJson *config, SnError *err)
{
    const char *inputs = arg_value(a, "--inputs"), *outputs = arg_value(a, "--outputs");
    SnResults *in = NULL, *out = NULL;
    SnView ids = {0};
    SnStatus st = inputs ? sn_tensors_load(s->ctx, inputs, &in, err)
                         : encode(s, arena, arg_value(a, "--prompt"), &ids, err);
    const SnNamedTensor *mask = in ? sn_results_find(in, "attention_mask") : NULL;
    if (st == SN_OK && in && !sn_results_find(in, "input_ids"))
        st = sn_fail(err, SN_EINVAL, "%s: no input_ids", inputs);
    if (st == SN_OK && in)
        ids = sn_results_find(in, "input_ids")->view;
    if (st == SN_OK)
        st = sn_model_generate(s->model, &ids, mask ? &mask->view : NULL, config, &out, err);
    if (st == SN_OK && outputs)
        st = sn_tensors_save(s->ctx, outputs, sn_results_get(out, 0), sn_results_count(out), err);
    else if (st == SN_OK && !inputs)
        st = print_texts(s, out, ids.dims[1], err);
    else if (st == SN_OK)
        print_sequences(out);
    sn_results_destroy(in);
    sn_results_destroy(out);
    return st;
}

static int print_config(Session *s, const SnJson *config)
{
    SnError err = {0};
    SnText text = {.memory = sn_allocator(s->ctx)};
    const SnStatus st = sn_model_generation_config(s->model, config, &text, &err);
    if (st == SN_OK)
        (void)fwrite(text.at, 1, text.n, stdout);
    sn_text_clear(&text);
    return report(NULL, st, &err);
}

int command_generate(const Args *a)
{
    Session s = {0};
    const SnJson *config = NULL;
    const char *prompt = arg_value(a, "--prompt");
    const bool prints_config = arg_flag(a, "--print-config");
    if (a->n != 1 || (!prints_config && (prompt != NULL) == (arg_value(a, "--inputs") != NULL)))
        return usage_error(a, "expected one of --prompt TEXT and --inputs FILE");
    int status = session_open(a, a->at[0], "text-generation", &s);
    if (status == EXIT_DONE)
        status = read_options(a, &s.arena, &config);
    const bool has_beams = arg_value(a, "--num-beams") && strcmp(arg_value(a, "--num-beams"), "1") != 0;
    if (status == EXIT_DONE && prints_config)
        status = print_config(&s, config);
    else if (status == EXIT_DONE && prompt && !arg_value(a, "--outputs") && sn_model_talks(s.model))
        status = run_compiled(a, &s, prompt, config);
    else if (status == EXIT_DONE && prompt && !arg_value(a, "--outputs") && !has_beams)
        status = run_prompt(a, &s, prompt, config);
    else if (status == EXIT_DONE)
        status = report(a->at[0], run_tensors(a, &s, &s.arena, config, &s.err), &s.err);
    session_close(&s);
    return status;
}
