/* data.c -- sinter data: datasets opened, changed by the options of the line in their order, and written. */
#include "tools/command.h"

#include "frontends/data/dataset.h"

#include <stdlib.h>

typedef struct Work {
    const Args *a;
    Session *s;
    SnArena arena;
    SnDataset *d;
    uint64_t seed;
    SnDataOptions o; /* of all files */
    SnError err;
} Work;

/* ---- operations: the dataset of w becomes *out ---- */

static SnStatus count_of(Work *w, const char *text, int64_t *out)
{
    char *end = NULL;
    *out = strtoll(text, &end, 10);
    SN_CHECK(end != text && !*end && *out >= 0, &w->err, SN_EINVAL, "%s is no number of rows", text);
    return SN_OK;
}

/* "A=B" as two names. */
static SnStatus two_names(Work *w, const char *text, const char *name[2])
{
    const char *equal = strchr(text, '=');
    SN_CHECK(equal && equal != text, &w->err, SN_EINVAL, "%s: expected NAME=VALUE", text);
    name[0] = sn_arena_strndup(&w->arena, text, (size_t)(equal - text));
    name[1] = equal + 1;
    SN_CHECK(name[0], &w->err, SN_ENOMEM, "no memory");
    return SN_OK;
}

static SnStatus do_take(Work *w, const char *value, SnDataset **out)
{
    int64_t n = 0;
    SN_TRY(count_of(w, value, &n));
    return sn_dataset_slice(w->d, 0, n, out, &w->err);
}

static SnStatus do_skip(Work *w, const char *value, SnDataset **out)
{
    int64_t n = 0;
    SN_TRY(count_of(w, value, &n));
    return sn_dataset_slice(w->d, n, INT64_MAX, out, &w->err);
}

static SnStatus do_select(Work *w, const char *value, SnDataset **out)
{
    size_t n = 0;
    const char *const *name = split_names(&w->arena, value, &n);
    int64_t *row = sn_arena_array(&w->arena, n + 1, sizeof *row);
    SN_CHECK(name && row, &w->err, SN_ENOMEM, "no memory");
    for (size_t i = 0; i < n; i++) {
        char *end = NULL;
        row[i] = strtoll(name[i], &end, 10);
        SN_CHECK(end != name[i] && !*end, &w->err, SN_EINVAL, "%s is no row", name[i]);
    }
    return sn_dataset_select(w->d, row, (int64_t)n, out, &w->err);
}

static SnStatus do_shuffle(Work *w, const char *value, SnDataset **out)
{
    (void)value;
    return sn_dataset_shuffle(w->d, w->seed, out, &w->err);
}

static SnStatus do_sort(Work *w, const char *value, SnDataset **out)
{
    const bool reverse = value[0] == '-';
    return sn_dataset_sort(w->d, value + reverse, reverse, false, out, &w->err);
}

/* One side of a split; the other is left. */
static SnStatus split_side(Work *w, const char *value, int side, SnDataset **out)
{
    SnDataset *part[2];
    char *end = NULL;
    const double size = strtod(value, &end);
    SN_CHECK(end != value && !*end, &w->err, SN_EINVAL, "%s is no size of a test split", value);
    const char *column = arg_value(w->a, "--stratify");
    if (column)
        SN_TRY(sn_dataset_split_by(w->d, column, size, w->seed, part, &w->err));
    else
        SN_TRY(sn_dataset_split(w->d, size, w->seed, arg_flag(w->a, "--in-order"), part, &w->err));
    sn_dataset_release(part[!side]);
    *out = part[side];
    return SN_OK;
}

static SnStatus do_train(Work *w, const char *value, SnDataset **out)
{
    return split_side(w, value, 0, out);
}

static SnStatus do_test(Work *w, const char *value, SnDataset **out)
{
    return split_side(w, value, 1, out);
}

static SnStatus do_shard(Work *w, const char *value, SnDataset **out)
{
    char *end = NULL;
    const int64_t index = strtoll(value, &end, 10);
    SN_CHECK(end != value && *end == '/', &w->err, SN_EINVAL, "%s: expected INDEX/COUNT", value);
    const char *count = end + 1;
    const int64_t nshard = strtoll(count, &end, 10);
    SN_CHECK(end != count && !*end, &w->err, SN_EINVAL, "%s: expected INDEX/COUNT", value);
    return sn_dataset_shard(w->d, nshard, index, !arg_flag(w->a, "--strided"), out, &w->err);
}

static SnStatus do_repeat(Work *w, const char *value, SnDataset **out)
{
    int64_t n = 0;
    SN_TRY(count_of(w, value, &n));
    return sn_dataset_repeat(w->d, n, out, &w->err);
}

static SnStatus do_batch(Work *w, const char *value, SnDataset **out)
{
    int64_t n = 0;
    SN_TRY(count_of(w, value, &n));
    return sn_dataset_batch(w->d, n, arg_flag(w->a, "--drop-last"), out, &w->err);
}

static SnStatus do_unique(Work *w, const char *value, SnDataset **out)
{
    return sn_dataset_unique(w->d, value, out, &w->err);
}

static SnStatus do_flatten(Work *w, const char *value, SnDataset **out)
{
    (void)value;
    return sn_dataset_flatten(w->d, out, &w->err);
}

/* ---- several datasets: that of w, and others by their paths ---- */

typedef SnStatus JoinFn(Work *w, SnDataset *const *part, size_t npart, SnDataset **out);

static SnStatus join(Work *w, const char *paths, JoinFn *fn, SnDataset **out)
{
    size_t n = 0;
    const char *const *path = split_names(&w->arena, paths, &n);
    SnDataset **part = sn_arena_array(&w->arena, n + 1, sizeof(SnDataset *));
    SN_CHECK(path && part, &w->err, SN_ENOMEM, "no memory");
    SnStatus st = SN_OK;
    part[0] = sn_dataset_retain(w->d);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        st = sn_dataset_open(w->s->ctx, &path[i], 1, &w->o, &part[i + 1], &w->err);
    if (st == SN_OK)
        st = fn(w, part, n + 1, out);
    for (size_t i = 0; i <= n; i++)
        sn_dataset_release(part[i]);
    return st;
}

static SnStatus behind(Work *w, SnDataset *const *part, size_t npart, SnDataset **out)
{
    return sn_dataset_concatenate(part, npart, out, &w->err);
}

static SnStatus beside(Work *w, SnDataset *const *part, size_t npart, SnDataset **out)
{
    return sn_dataset_join_columns(part, npart, out, &w->err);
}

static SnStatus in_turn(Work *w, SnDataset *const *part, size_t npart, SnDataset **out)
{
    static const char *const strategy[] = {[SN_STOP_AT_FIRST] = "first_exhausted",
                                           [SN_STOP_AT_ALL] = "all_exhausted",
                                           [SN_STOP_WITHOUT_REPLACEMENT] =
                                               "all_exhausted_without_replacement"};
    const char *given = arg_value(w->a, "--stopping-strategy"), *list = arg_value(w->a, "--probabilities");
    size_t when = SN_STOP_AT_FIRST, n = 0;
    while (given && when < SN_COUNT(strategy) && strcmp(given, strategy[when]) != 0)
        when++;
    SN_CHECK(when < SN_COUNT(strategy), &w->err, SN_EINVAL, "--stopping-strategy %s: expected %s, %s or %s",
             given, strategy[0], strategy[1], strategy[2]);
    const char *const *text = list ? split_names(&w->arena, list, &n) : NULL;
    double *p = list ? sn_arena_array(&w->arena, npart, sizeof *p) : NULL;
    SN_CHECK(!list || (text && p), &w->err, SN_ENOMEM, "no memory");
    SN_CHECK(!list || n == npart, &w->err, SN_EINVAL, "--probabilities: %zu of %zu datasets", n, npart);
    for (size_t i = 0; i < n; i++) {
        char *end = NULL;
        p[i] = strtod(text[i], &end);
        SN_CHECK(end != text[i] && !*end, &w->err, SN_EINVAL, "--probabilities: %s is no number", text[i]);
    }
    return sn_dataset_interleave(part, npart, p, w->seed, (SnStopping)when, out, &w->err);
}

static SnStatus do_concatenate(Work *w, const char *value, SnDataset **out)
{
    return join(w, value, behind, out);
}

static SnStatus do_beside(Work *w, const char *value, SnDataset **out)
{
    return join(w, value, beside, out);
}

static SnStatus do_interleave(Work *w, const char *value, SnDataset **out)
{
    return join(w, value, in_turn, out);
}

static SnStatus do_where(Work *w, const char *value, SnDataset **out)
{
    return sn_dataset_filter(w->s->cc, w->d, value, out, &w->err);
}

static SnStatus do_map(Work *w, const char *value, SnDataset **out)
{
    const char *name[2] = {"", ""};
    SN_TRY(two_names(w, value, name));
    return sn_dataset_map(w->s->cc, w->d, name[0], name[1], out, &w->err);
}

static SnStatus do_rename(Work *w, const char *value, SnDataset **out)
{
    const char *name[2] = {"", ""};
    SN_TRY(two_names(w, value, name));
    return sn_dataset_rename(w->d, name[0], name[1], out, &w->err);
}

static SnStatus do_cast(Work *w, const char *value, SnDataset **out)
{
    const char *name[2] = {"", ""};
    SN_TRY(two_names(w, value, name));
    return sn_dataset_cast(w->d, name[0], name[1], out, &w->err);
}

static SnStatus do_labels(Work *w, const char *value, SnDataset **out)
{
    const char *pair[2] = {value, ""};
    size_t n = 0;
    if (strchr(value, '='))
        SN_TRY(two_names(w, value, pair));
    const char *const *name = split_names(&w->arena, pair[1], &n);
    SN_CHECK(name, &w->err, SN_ENOMEM, "no memory");
    return sn_dataset_labels(w->d, pair[0], name, n, out, &w->err);
}

static SnStatus do_align(Work *w, const char *value, SnDataset **out)
{
    const char *pair[2] = {"", ""};
    size_t n = 0;
    SN_TRY(two_names(w, value, pair));
    const char *const *name = split_names(&w->arena, pair[1], &n);
    SN_CHECK(name, &w->err, SN_ENOMEM, "no memory");
    return sn_dataset_align_labels(w->d, pair[0], name, n, out, &w->err);
}

static SnStatus keep(Work *w, const char *value, bool drop, SnDataset **out)
{
    size_t n = 0;
    const char *const *name = split_names(&w->arena, value, &n);
    SN_CHECK(name, &w->err, SN_ENOMEM, "no memory");
    return sn_dataset_keep(w->d, name, n, drop, out, &w->err);
}

static SnStatus do_columns(Work *w, const char *value, SnDataset **out)
{
    return keep(w, value, false, out);
}

static SnStatus do_remove(Work *w, const char *value, SnDataset **out)
{
    return keep(w, value, true, out);
}

static SnStatus do_tokenize(Work *w, const char *value, SnDataset **out)
{
    const SnModelOptions mo = {.struct_size = sizeof mo};
    SnTokenizeOptions o = {.struct_size = sizeof o};
    const char *most = arg_value(w->a, "--max-length");
    SnModel *m = NULL;
    size_t n = 0;
    const char *const *column = split_names(&w->arena, arg_value(w->a, "--text"), &n);
    SN_CHECK(column && n >= 1 && n <= 2, &w->err, SN_EINVAL,
             "--tokenize needs --text COLUMN or COLUMN,COLUMN");
    if (most) {
        SN_TRY(count_of(w, most, &o.max_length));
        o.truncation = SN_TRUNCATE_LONGEST_FIRST;
    }
    SN_TRY(sn_model_open(w->s->cc, value, &mo, &m, &w->err));
    const SnStatus st =
        sn_dataset_tokenize(m, w->d, column[0], n > 1 ? column[1] : NULL, &o, n > 1, out, &w->err);
    sn_model_close(m);
    return st;
}

static const struct {
    const char *option;
    SnStatus (*run)(Work *w, const char *value, SnDataset **out);
    bool has_value;
} operations[] = {{"--where", do_where, true},
                  {"--map", do_map, true},
                  {"--select", do_select, true},
                  {"--take", do_take, true},
                  {"--skip", do_skip, true},
                  {"--shuffle", do_shuffle, false},
                  {"--sort", do_sort, true},
                  {"--train-part", do_train, true},
                  {"--test-part", do_test, true},
                  {"--shard", do_shard, true},
                  {"--rename", do_rename, true},
                  {"--cast", do_cast, true},
                  {"--labels", do_labels, true},
                  {"--columns", do_columns, true},
                  {"--remove", do_remove, true},
                  {"--tokenize", do_tokenize, true},
                  {"--repeat", do_repeat, true},
                  {"--batch", do_batch, true},
                  {"--unique", do_unique, true},
                  {"--flatten", do_flatten, false},
                  {"--align-labels", do_align, true},
                  {"--concatenate", do_concatenate, true},
                  {"--concatenate-columns", do_beside, true},
                  {"--interleave", do_interleave, true}};

/* The options of the line one after the other; a value is no option. */
static SnStatus run_operations(Work *w)
{
    for (int i = 0; i < w->a->nline; i++)
        for (size_t k = 0; k < SN_COUNT(operations); k++) {
            SnDataset *next = NULL;
            if (strcmp(w->a->line[i], operations[k].option) != 0)
                continue;
            i += operations[k].has_value;
            SN_TRY(operations[k].run(w, operations[k].has_value ? w->a->line[i] : NULL, &next));
            sn_dataset_release(w->d);
            w->d = next;
            break;
        }
    return SN_OK;
}

/* ---- results ---- */

static void print_rows(const Work *w)
{
    SnText t = {.memory = w->arena.memory};
    for (int64_t row = 0; row < sn_dataset_rows(w->d) && !t.failed; row++) {
        for (uint32_t i = 0; i < sn_dataset_columns(w->d); i++) {
            sn_text_add(&t, i ? ", " : "{", i ? 2 : 1);
            sn_json_put_string(&t, sn_bytes_str(sn_dataset_feature(w->d, i)->name));
            sn_text_add(&t, ": ", 2);
            (void)sn_cell_json(&t, sn_dataset_cell(w->d, i, row));
        }
        sn_text_add(&t, "}\n", 2);
        (void)fwrite(t.at, 1, t.n, stdout);
        t.n = 0;
    }
    sn_text_clear(&t);
}

static SnStatus print_info(Work *w)
{
    SnText t = {.memory = w->arena.memory};
    sn_text_printf(&t, "{\"num_rows\": %lld, \"fingerprint\": \"%016llx\", \"features\": ",
                   (long long)sn_dataset_rows(w->d), (unsigned long long)sn_dataset_fingerprint(w->d));
    sn_dataset_features(w->d, &t);
    (void)(t.failed ? 0 : printf("%s}\n", t.at));
    const bool failed = t.failed;
    sn_text_clear(&t);
    return failed ? sn_fail(&w->err, SN_ENOMEM, "no memory") : SN_OK;
}

static SnStatus run_data(Work *w)
{
    const Args *a = w->a;
    const char *names = arg_value(a, "--names"), *delimiter = arg_value(a, "--delimiter");
    w->o = (SnDataOptions){.struct_size = sizeof w->o,
                           .format = arg_value(a, "--format"),
                           .split = arg_value(a, "--split"),
                           .no_header = arg_flag(a, "--no-header"),
                           .no_quotes = arg_flag(a, "--no-quotes"),
                           .sample_by = arg_value(a, "--sample-by"),
                           .field = arg_value(a, "--field")};
    w->o.names = names ? split_names(&w->arena, names, &w->o.nname) : NULL;
    w->o.delimiter = delimiter ? delimiter[0] == '\\' && delimiter[1] == 't' ? '\t' : delimiter[0] : '\0';
    SN_TRY(sn_dataset_open(w->s->ctx, (const char *const *)a->at, (size_t)a->n, &w->o, &w->d, &w->err));
    SN_TRY(run_operations(w));
    const char *output = arg_value(a, "--output");
    if (output)
        return sn_dataset_save(w->d, output, &w->err);
    if (arg_flag(a, "--info"))
        return print_info(w);
    print_rows(w);
    return SN_OK;
}

int command_data(const Args *a)
{
    Session s;
    int64_t seed = 42;
    int status = EXIT_DONE;
    if (a->n == 0)
        return usage_error(a, "expected files, or a folder");
    (void)arg_int(a, "--seed", &seed, &status);
    status = status == EXIT_DONE ? session_open(a, NULL, NULL, &s) : status;
    if (status != EXIT_DONE)
        return status;
    Work w = {.a = a, .s = &s, .seed = (uint64_t)seed};
    sn_arena_init(&w.arena, sn_allocator(s.ctx));
    const SnStatus st = run_data(&w);
    if (st != SN_OK)
        status = report(NULL, st, &w.err);
    sn_dataset_release(w.d);
    sn_arena_clear(&w.arena);
    session_close(&s);
    return status;
}
