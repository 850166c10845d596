/* compile.c -- the command that compiles ahead of time. */
#include "tools/command.h"

#include "frontends/training.h"

static const char *ending_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return dot && dot > base ? dot : "";
}

static bool is_one_of(const char *s, size_t n, const char *const *word, size_t nword)
{
    for (size_t i = 0; i < nword; i++)
        if (strlen(word[i]) == n && memcmp(word[i], s, n) == 0)
            return true;
    return false;
}

/* Every name of a list, of which there is at least one, is one of those. */
static int check_list(const Args *a, const char *option, const char *const *word, size_t nword)
{
    const char *at = arg_value(a, option);
    while (at) {
        const size_t n = strcspn(at, ",");
        if (!is_one_of(at, n, word, nword))
            return usage_error(a, "%s: \"%.*s\" is not one of its values", option, (int)n, at);
        at = at[n] ? at + n + 1 : NULL;
    }
    return EXIT_DONE;
}

static int check_args(const Args *a)
{
    static const char *const endings[] = {".so", ".o", ".a", ".c"}, *const weights[] = {"embed", "file"},
                             *const levels[] = {"v3", "v4", "v4d", "amx"},
                             *const languages[] = {"cpp", "csharp", "lua", "python", "rust"};
    const char *out = arg_value(a, "-o"), *given = arg_value(a, "--weights");
    if (!out)
        return usage_error(a, "-o is needed: the file to write");
    const char *ending = ending_of(out);
    if (!is_one_of(ending, strlen(ending), endings, SN_COUNT(endings)))
        return usage_error(a, "-o: expected a name that ends in .so, .o, .a or .c, found \"%s\"", out);
    if (given && !is_one_of(given, strlen(given), weights, SN_COUNT(weights)))
        return usage_error(a, "--weights: expected embed or file, found \"%s\"", given);
    if (arg_value(a, "--args") && !arg_flag(a, "--train"))
        return usage_error(a, "--args is of --train");
    const int status = check_list(a, "--cpu", levels, SN_COUNT(levels));
    return status == EXIT_DONE ? check_list(a, "--bindings", languages, SN_COUNT(languages)) : status;
}

static void print_sizes(const Args *a, const SnEmitSizes *s)
{
    const struct {
        const char *key, *what;
        uint64_t n;
    } row[] = {{"code_bytes", "code", s->code_bytes},
               {"runtime_bytes", "runtime", s->runtime_bytes},
               {"tokenizer_bytes", "tokenizer", s->tokenizer_bytes},
               {"weight_bytes", "weights", s->weight_bytes},
               {"file_bytes", "file", s->file_bytes}};
    for (size_t i = 0; i < SN_COUNT(row); i++)
        if (a->json)
            (void)printf("%s\"%s\": %llu", i ? ", " : "{", row[i].key, (unsigned long long)row[i].n);
        else
            (void)printf("%-10s %12llu bytes\n", row[i].what, (unsigned long long)row[i].n);
    (void)fputs(a->json ? "}\n" : "", stdout);
}

static SnStatus compile_training(const Args *a, const Session *s, SnArena *arena, const SnEmitOptions *o,
                                 SnError *err)
{
    const char *path = arg_value(a, "--args");
    SnTrainingDesc d = {
        .struct_size = sizeof d, .want = o->want, .nwant = o->nwant, .decays = sn_training_decays};
    SnJson *config = NULL;
    if (path)
        SN_TRY(read_train_config(s->ctx, arena, path, &config, err));
    d.args = config;
    return sn_training_emit(s->model, &d, o, arg_value(a, "-o"), err);
}

static SnStatus compile(const Args *a, Session *s, uint32_t max_text, uint32_t context, SnError *err)
{
    SnEmitSizes sizes;
    const char *weights = arg_value(a, "--weights");
    SnEmitOptions o = {.struct_size = sizeof o,
                       .levels = arg_value(a, "--cpu"),
                       .weights_beside = weights && strcmp(weights, "file") == 0,
                       .bindings = arg_value(a, "--bindings"),
                       .max_text = max_text,
                       .sizes = &sizes,
                       .context = context,
                       .system = arg_value(a, "--system")};
    o.input = split_names(&s->arena, arg_value(a, "--input"), &o.ninput);
    o.want = split_names(&s->arena, arg_value(a, "--want"), &o.nwant);
    SnStatus st = o.input && o.want ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory");
    if (st == SN_OK)
        st = arg_flag(a, "--train")
                 ? compile_training(a, s, &s->arena, &o, err)
                 : sn_model_emit(s->model, arg_value(a, "--task"), &o, arg_value(a, "-o"), err);
    if (st == SN_OK && arg_flag(a, "--size"))
        print_sizes(a, &sizes);
    return st;
}

int command_compile(const Args *a)
{
    Session s = {0};
    int64_t max_text = 0, context = 0;
    int status = check_args(a);
    if (arg_int(a, "--max-text", &max_text, &status) && (max_text < 1 || max_text > INT32_MAX))
        status = usage_error(a, "--max-text: %lld, allowed 1 to %d", (long long)max_text, INT32_MAX);
    if (arg_int(a, "--context", &context, &status) && (context < 2 || context > INT32_MAX))
        status = usage_error(a, "--context: %lld, allowed 2 to %d", (long long)context, INT32_MAX);
    if (status == EXIT_DONE)
        status = session_open(a, a->at[0], arg_value(a, "--task"), &s);
    if (status == EXIT_DONE) {
        sn_model_adapt(s.model, s.adapter, true);
        status = report(NULL, compile(a, &s, (uint32_t)max_text, (uint32_t)context, &s.err), &s.err);
    }
    session_close(&s);
    return status;
}
