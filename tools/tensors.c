/* tensors.c -- `sinter tensors`: looks at tensors in files, compares them, and writes them to others. */
#include "tools/command.h"

#include <ctype.h>
#include <inttypes.h>

#define CAT_PIECE 65536 /* numbers that are printed at once */

typedef struct Files {
    Session session;
    SnTensorSet *set;
} Files;

static int files_open(const Args *a, char *const *path, size_t n, Files *f)
{
    SnError err = {0};
    *f = (Files){0};
    const int status = session_open(a, NULL, NULL, &f->session);
    if (status != EXIT_DONE)
        return status;
    const SnStatus st = sn_tensor_set_open(f->session.cc, (const char *const *)path, n, &f->set, &err);
    return report(NULL, st, &err);
}

static void files_close(Files *f)
{
    sn_tensor_set_close(f->set);
    session_close(&f->session);
}

static void add_shape(SnText *t, const SnTensorInfo *x)
{
    sn_text_printf(t, "[");
    for (int i = 0; i < x->ndim; i++)
        sn_text_printf(t, "%s%" PRId64, i ? ", " : "", x->dims[i]);
    sn_text_printf(t, "]");
}

/* Writes a line, and empties it. */
static int put_line(SnText *t)
{
    const bool failed = t->failed;
    if (!failed) {
        (void)fwrite(t->at, 1, t->n, stdout);
        (void)fputc('\n', stdout);
    }
    t->n = 0;
    return failed ? report_memory() : EXIT_DONE;
}

/* As names stand in text output: what would end a line is escaped as in JSON. */
static void add_name(SnText *t, SnBytes name)
{
    bool is_plain = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        is_plain = is_plain && name.at[i] > 0x20 && name.at[i] != 0x7F && name.at[i] != '"';
    if (is_plain)
        sn_text_add(t, (const char *)name.at, name.n);
    else
        sn_json_put_string(t, name);
}

/* ---- ls, hash, cat ---- */

static int list(const Args *a, const Files *f)
{
    SnText t = {.memory = sn_allocator(f->session.ctx)};
    SnTensorInfo x;
    int status = EXIT_DONE;
    for (size_t i = 0; status == EXIT_DONE && sn_tensor_set_at(f->set, i, &x); i++) {
        sn_text_printf(&t, a->json ? "{\"name\": " : "");
        if (a->json)
            sn_json_put_string(&t, x.name);
        else
            add_name(&t, x.name);
        sn_text_printf(&t, a->json ? ", \"dtype\": \"%s\", \"shape\": " : "  %s  ", x.format);
        add_shape(&t, &x);
        sn_text_printf(&t, a->json ? ", \"bytes\": %" PRIu64 "}" : "  %" PRIu64, x.size);
        status = put_line(&t);
    }
    sn_text_clear(&t);
    return status;
}

static void add_hash(SnText *t, const Args *a, const uint64_t h[2], const SnBytes *name)
{
    sn_text_printf(t, a->json ? "{\"hash\": \"%016" PRIx64 "%016" PRIx64 "\"" : "%016" PRIx64 "%016" PRIx64,
                   h[0], h[1]);
    if (name)
        sn_text_printf(t, a->json ? ", \"name\": " : "  ");
    if (name && a->json)
        sn_json_put_string(t, *name);
    else if (name)
        add_name(t, *name);
    sn_text_printf(t, a->json ? "}" : "");
}

static int hash(const Args *a, const Files *f)
{
    SnText t = {.memory = sn_allocator(f->session.ctx)};
    SnTensorInfo x;
    uint64_t h[2], all[2] = {0, 0};
    int status = EXIT_DONE;
    for (size_t i = 0; status == EXIT_DONE && sn_tensor_set_at(f->set, i, &x); i++) {
        sn_tensor_set_hash(f->set, i, h, all);
        add_hash(&t, a, h, &x.name);
        status = put_line(&t);
    }
    add_hash(&t, a, all, NULL);
    if (status == EXIT_DONE)
        status = put_line(&t);
    sn_text_clear(&t);
    return status;
}

/* Rows of the last dim; with --json all numbers as one array. */
static int print_tensor(const Args *a, const Files *f, size_t i, SnText *t)
{
    SnTensorInfo x;
    SnError err = {0};
    (void)sn_tensor_set_at(f->set, i, &x);
    const uint64_t row =
        x.ndim && x.dims[x.ndim - 1] > 0 && !a->json ? (uint64_t)x.dims[x.ndim - 1] : x.count;
    (void)fputs(a->json ? "[" : "", stdout);
    for (uint64_t at = 0; at < x.count;) {
        const uint64_t left = row - at % row, n = left < CAT_PIECE ? left : CAT_PIECE;
        const SnStatus st = sn_tensor_set_print(f->set, i, at, n, a->json ? ',' : ' ', t, &err);
        if (st != SN_OK)
            return report(NULL, st, &err);
        at += n;
        (void)fwrite(t->at, 1, t->n - (at % row == 0), stdout);
        if (at % row == 0)
            (void)fputs(a->json ? "" : "\n", stdout);
        t->n = 0;
    }
    (void)fputs(a->json ? "]\n" : "", stdout);
    return EXIT_DONE;
}

static int find(const Files *f, const char *name, size_t *i)
{
    SnError err = {0};
    if (sn_tensor_set_find(f->set, sn_bytes_str(name), i))
        return EXIT_DONE;
    (void)snprintf(err.message, sizeof err.message, "no tensor is named %s", name);
    return report(NULL, SN_EINVAL, &err);
}

static int cat(const Args *a, const Files *f)
{
    SnText t = {.memory = sn_allocator(f->session.ctx)};
    size_t at = 0;
    int status = EXIT_DONE;
    for (int i = 2; status == EXIT_DONE && i < a->n; i++) {
        status = find(f, a->at[i], &at);
        if (status == EXIT_DONE)
            status = print_tensor(a, f, at, &t);
    }
    sn_text_clear(&t);
    return status;
}

/* ---- diff ---- */

static void add_likeness(SnText *t, const Args *a, const SnTensorInfo *x, const SnTensorInfo *y,
                         const SnTensorDiff *d)
{
    const SnTensorInfo *of[] = {x, y};
    for (int k = 0; !d->is_like && k < 2; k++) {
        if (a->json)
            sn_text_printf(t, ", \"%s\": [\"%s\", ", k ? "b" : "a", of[k]->format);
        else
            sn_text_printf(t, "%s%s ", k ? " | " : "  ", of[k]->format);
        add_shape(t, of[k]);
        sn_text_printf(t, a->json ? "]" : "");
    }
    if (d->has_numbers && a->json) {
        sn_text_printf(t, ", \"differ\": %" PRIu64 ", \"of\": %" PRIu64 ", \"max_abs\": ", d->ndiffer,
                       x->count);
        sn_json_put_f64(t, d->max_abs);
        sn_text_printf(t, ", \"max_rel\": ");
        sn_json_put_f64(t, d->max_rel);
    } else if (d->has_numbers) {
        sn_text_printf(t, "  %" PRIu64 " of %" PRIu64 " differ, max_abs %.3g max_rel %.3g", d->ndiffer,
                       x->count, d->max_abs, d->max_rel);
    }
}

/* A line of a difference: x or y is NULL where only one set has the name. */
static int put_difference(const Args *a, const SnTensorInfo *x, const SnTensorInfo *y, const SnTensorDiff *d,
                          SnText *t)
{
    const char *mark = !y ? "<" : !x ? ">" : !d->is_like ? "!" : "~";
    sn_text_printf(t, a->json ? "{\"is\": \"%s\", \"name\": " : "%s ", mark);
    if (a->json)
        sn_json_put_string(t, x ? x->name : y->name);
    else
        add_name(t, x ? x->name : y->name);
    if (x && y)
        add_likeness(t, a, x, y, d);
    sn_text_printf(t, a->json ? "}" : "");
    return put_line(t);
}

static int compare(const SnTensorInfo *x, const SnTensorInfo *y)
{
    const size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    const int c = memcmp(x->name.at, y->name.at, n);
    return c != 0 ? c : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* Both lists are in order of names. */
static int diff_sets(const Args *a, const Files *f, const SnTensorSet *other)
{
    SnText t = {.memory = sn_allocator(f->session.ctx)};
    SnTensorInfo x, y;
    size_t i = 0, j = 0, n = 0;
    int status = EXIT_DONE;
    for (;;) {
        const bool has_x = sn_tensor_set_at(f->set, i, &x), has_y = sn_tensor_set_at(other, j, &y);
        SnTensorDiff d = {0};
        if (status != EXIT_DONE || (!has_x && !has_y))
            break;
        const int c = !has_y ? -1 : !has_x ? 1 : compare(&x, &y);
        if (c == 0)
            sn_tensor_set_diff(f->set, i, other, j, &d);
        if (!d.is_same) {
            n++;
            status = put_difference(a, c > 0 ? NULL : &x, c < 0 ? NULL : &y, &d, &t);
        }
        i += c <= 0;
        j += c >= 0;
    }
    sn_text_clear(&t);
    return status == EXIT_DONE && n ? EXIT_FAILED : status;
}

static int diff(const Args *a, const Files *f)
{
    SnError err = {0};
    SnTensorSet *other = NULL;
    if (a->n > 3)
        return usage_error(a, "%s is one operand too many", a->at[3]);
    const SnStatus st = sn_tensor_set_open(f->session.cc, (const char *const *)&a->at[2], 1, &other, &err);
    const int status = st == SN_OK ? diff_sets(a, f, other) : report(NULL, st, &err);
    sn_tensor_set_close(other);
    return status;
}

/* ---- writing ---- */

static int write_set(const Args *a, const Files *f, SnTensorWrite *w)
{
    SnError err = {0};
    const char *out = arg_value(a, "-o"), *shard = arg_value(a, "--max-shard-size");
    if (!out)
        return usage_error(a, "-o is needed: a name that ends in .safetensors, or a folder");
    if (shard && (w->max_shard_size = sn_parse_size(shard)) == 0)
        return usage_error(a, "--max-shard-size: expected a size such as 5GB, found \"%s\"", shard);
    const SnStatus st = sn_tensor_set_write(f->set, w, out, &err);
    return report(NULL, st, &err);
}

static int rewrite(const Args *a, const Files *f)
{
    SnTensorWrite w = {.struct_size = sizeof w};
    const bool is_split = strcmp(a->at[0], "split") == 0;
    if (is_split)
        w.max_shard_size = UINT64_C(5000000000);
    return write_set(a, f, &w);
}

static int cast(const Args *a, const Files *f)
{
    const char *to = arg_value(a, "--to");
    char format[16] = {0};
    SnTensorWrite w = {.struct_size = sizeof w, .format = format};
    if (!to || strlen(to) >= sizeof format)
        return usage_error(a, "--to is needed: f64, f32, f16, bf16, f8_e4m3 or f8_e5m2");
    for (size_t i = 0; to[i]; i++)
        format[i] = (char)toupper((unsigned char)to[i]);
    return write_set(a, f, &w);
}

static int rename_all(const Args *a, const Files *f)
{
    SnArena arena;
    SnTensorWrite w = {.struct_size = sizeof w};
    int status = EXIT_DONE;
    sn_arena_init(&arena, sn_allocator(f->session.ctx));
    SnTensorRename *rule = sn_arena_array(&arena, (size_t)a->n, sizeof *rule);
    for (int i = 2; rule && status == EXIT_DONE && i < a->n; i++) {
        const char *equal = strchr(a->at[i], '=');
        if (!equal) {
            status = usage_error(a, "expected FROM=TO, found \"%s\"", a->at[i]);
            break;
        }
        rule[w.nrename].from = sn_arena_strndup(&arena, a->at[i], (size_t)(equal - a->at[i]));
        rule[w.nrename].to = equal + 1;
        if (!rule[w.nrename++].from)
            status = report_memory();
    }
    w.rename = rule;
    if (status == EXIT_DONE)
        status = rule ? write_set(a, f, &w) : report_memory();
    sn_arena_clear(&arena);
    return status;
}

static const struct Verb {
    const char *name, *operands;
    int least;  /* operands behind it */
    int nfiles; /* the first ones; 0: all */
    int (*run)(const Args *a, const Files *f);
} verbs[] = {
    {"ls", "FILE...", 1, 0, list},
    {"cat", "FILE NAME...", 2, 1, cat},
    {"diff", "A B", 2, 1, diff},
    {"hash", "FILE...", 1, 0, hash},
    {"split", "FILE... -o DIR", 1, 0, rewrite},
    {"merge", "FILE... -o OUT", 1, 0, rewrite},
    {"rename", "FILE FROM=TO...", 2, 1, rename_all},
    {"cast", "FILE... -o OUT", 1, 0, cast},
};

int command_tensors(const Args *a)
{
    for (size_t i = 0; a->n > 0 && i < sizeof verbs / sizeof *verbs; i++) {
        Files f;
        if (strcmp(verbs[i].name, a->at[0]) != 0)
            continue;
        if (a->n - 1 < verbs[i].least)
            return usage_error(a, "expected %s %s", verbs[i].name, verbs[i].operands);
        int status = files_open(a, a->at + 1, verbs[i].nfiles ? 1 : (size_t)a->n - 1, &f);
        if (status == EXIT_DONE)
            status = verbs[i].run(a, &f);
        files_close(&f);
        return status;
    }
    return usage_error(a, "expected ls, cat, diff, hash, split, merge, rename or cast");
}
