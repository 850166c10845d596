/* outputs.c -- the files that a program becomes: itself, its header, weights beside, wrappers for other
 * languages.
 *
 * All are written beside their names and renamed once every one is there, so that nothing is left of an
 * emission that fails. */
#include "compiler/aot/template.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

typedef struct Wrapper {
    const char *language; /* as in SnCompileOptions.bindings */
    const char *ending;   /* of the file beside the program */
    const char *template; /* in templates/ */
} Wrapper;

/* clang-format off */
static const Wrapper wrappers[] = {
    {"cpp", ".hpp", "model.hpp.in"},
    {"csharp", ".cs", "model.cs.in"},
    {"lua", ".lua", "model.lua.in"},
    {"python", "_model.py", "model.py.in"},
    {"rust", ".rs", "model.rs.in"},
};
/* clang-format on */

#define MAX_OUTPUTS (3 + SN_COUNT(wrappers)) /* program, header, weights, wrappers */

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "emit: no memory");
}

/* ---- one file ---- */

static SnStatus write_by_template(const SnAot *a, const char *name, const char *to, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->ctx)};
    SnStatus st = sn_template_print(a, name, &t, err);
    const SnBytes text = sn_bytes(t.at, t.n);
    if (st == SN_OK)
        st = sn_file_write(a->ctx, to, &text, 1, err);
    sn_text_clear(&t);
    return st;
}

static SnStatus write_header(const SnAot *a, const char *to, SnError *err)
{
    return write_by_template(a, "model.h.in", to, err);
}

SnStatus sn_aot_source(const SnAot *a, const char *to, SnError *err)
{
    return write_by_template(a, "model.c.in", to, err);
}

static SnStatus write_weights(const SnAot *a, const char *to, SnError *err)
{
    const SnWeightsHead head = {.magic = SN_WEIGHTS_MAGIC, .size = a->weight_size, .hash = a->weight_hash};
    SnBytes *part = sn_arena_array(a->arena, a->nweight_part + 1, sizeof *part);
    if (!part)
        return no_memory(err);
    part[0] = sn_bytes(&head, sizeof head);
    memcpy(part + 1, a->weight_part, a->nweight_part * sizeof *part);
    return sn_file_write(a->ctx, to, part, a->nweight_part + 1, err);
}

/* ---- languages ---- */

static SnStatus unknown(const char *language, size_t n, SnError *err)
{
    char known[128] = "";
    for (size_t i = 0, at = 0; i < SN_COUNT(wrappers) && at < sizeof known; i++)
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", wrappers[i].language);
    return sn_fail(err, SN_EINVAL, "bindings \"%.*s\": expected some of %s", n < 80 ? (int)n : 80, language,
                   known);
}

/* Takes the next of a list "cpp,python"; NULL at its end. */
static SnStatus take_wrapper(const char **list, const Wrapper **out, SnError *err)
{
    const char *at = *list ? *list : "";
    const size_t n = strcspn(at, ",");
    *out = NULL;
    *list = at + n + (at[n] == ',');
    for (size_t i = 0; n > 0 && i < SN_COUNT(wrappers); i++)
        if (strlen(wrappers[i].language) == n && memcmp(wrappers[i].language, at, n) == 0)
            *out = &wrappers[i];
    return n == 0 || *out ? SN_OK : unknown(at, n, err);
}

SnStatus sn_aot_check_bindings(const char *languages, SnError *err)
{
    const Wrapper *w = NULL;
    do
        SN_TRY(take_wrapper(&languages, &w, err));
    while (w);
    return SN_OK;
}

/* ---- all files ---- */

typedef struct Output {
    SnAotWriteFn *write;
    const Wrapper *wrapper; /* or: this */
    char *path, *draft;
} Output;

typedef struct Outputs {
    Output at[MAX_OUTPUTS];
    size_t n;
} Outputs;

/* A file beside the program: named as it is, or, for languages that go by names, as its symbols are. */
static SnStatus add_output(const SnAot *a, Outputs *v, SnAotWriteFn *write, const Wrapper *wrapper,
                           const char *ending, SnError *err)
{
    const char *slash = strrchr(a->path, '/');
    const int folder = slash ? (int)(slash + 1 - a->path) : 0;
    const int stem = (int)(strrchr(a->path, '.') - a->path);
    Output o = {.write = write, .wrapper = wrapper};
    for (size_t i = 0; wrapper && i < v->n; i++)
        if (v->at[i].wrapper == wrapper)
            return SN_OK;
    o.path = sn_arena_printf(a->arena, "%.*s%s%s", wrapper ? folder : stem, a->path, wrapper ? a->name : "",
                             ending);
    if (o.path)
        o.draft = sn_arena_printf(a->arena, "%s.%ld.draft", o.path, (long)getpid());
    SN_ASSERT(v->n < MAX_OUTPUTS);
    v->at[v->n++] = o;
    return o.draft ? SN_OK : no_memory(err);
}

static SnStatus list_outputs(const SnAot *a, SnAotWriteFn *program, const char *bindings, Outputs *v,
                             SnError *err)
{
    const Wrapper *w = NULL;
    SN_TRY(add_output(a, v, program, NULL, strrchr(a->path, '.'), err));
    SN_TRY(add_output(a, v, write_header, NULL, ".h", err));
    if (a->is_beside)
        SN_TRY(add_output(a, v, write_weights, NULL, SN_AOT_WEIGHTS_ENDING, err));
    do {
        SN_TRY(take_wrapper(&bindings, &w, err));
        if (w)
            SN_TRY(add_output(a, v, NULL, w, w->ending, err));
    } while (w);
    return SN_OK;
}

static SnStatus write_all(const SnAot *a, const Outputs *v, SnError *err)
{
    size_t renamed = 0;
    SnStatus st = SN_OK;
    for (size_t i = 0; i < v->n && st == SN_OK; i++) {
        const Output *o = &v->at[i];
        st = o->wrapper ? write_by_template(a, o->wrapper->template, o->draft, err)
                        : o->write(a, o->draft, err);
    }
    while (st == SN_OK && renamed < v->n) {
        if (rename(v->at[renamed].draft, v->at[renamed].path) != 0)
            st = sn_fail(err, SN_EIO, "%s: cannot be written: %s", v->at[renamed].path, strerror(errno));
        else
            renamed++;
    }
    for (size_t i = 0; i < v->n && st != SN_OK; i++)
        (void)remove(i < renamed ? v->at[i].path : v->at[i].draft);
    return st;
}

SnStatus sn_aot_write(const SnAot *a, SnAotWriteFn *program, const char *bindings, SnError *err)
{
    Outputs out = {.n = 0};
    SN_TRY(list_outputs(a, program, bindings, &out, err));
    return write_all(a, &out, err);
}
