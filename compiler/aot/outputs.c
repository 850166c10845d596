/* outputs.c -- the files that a program becomes: itself, its header, weights beside, wrappers.
 *
 * All are written beside their names and renamed once every one is there, so that nothing is left of an
 * emission that fails. */
#include "compiler/aot/wrap.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_OUTPUTS 8 /* program, header, weights, wrappers */

static SnStatus no_memory(SnError *err)
{
    return sn_fail(err, SN_ENOMEM, "emit: no memory");
}

/* ---- one file ---- */

static SnStatus write_header(const SnAot *a, const char *to, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->ctx)};
    SnStatus st = sn_aot_header(a, &t, err);
    const SnBytes text = sn_bytes(t.at, t.n);
    if (st == SN_OK)
        st = t.failed ? no_memory(err) : sn_file_write(a->ctx, to, &text, 1, err);
    sn_text_clear(&t);
    return st;
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

/* ---- all files ---- */

typedef struct Output {
    SnAotWriteFn *write;
    const SnWrapper *wrapper; /* or: this */
    char *path, *draft;
} Output;

typedef struct Outputs {
    Output at[MAX_OUTPUTS];
    size_t n;
} Outputs;

/* A file beside the program: named as it is, or, for languages that go by names, as its symbols are. */
static SnStatus add_output(const SnAot *a, Outputs *v, SnAotWriteFn *write, const SnWrapper *wrapper,
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
    const SnWrapper *w = NULL;
    SN_TRY(add_output(a, v, program, NULL, strrchr(a->path, '.'), err));
    SN_TRY(add_output(a, v, write_header, NULL, ".h", err));
    if (a->is_beside)
        SN_TRY(add_output(a, v, write_weights, NULL, SN_AOT_WEIGHTS_ENDING, err));
    for (size_t i = 0; i == 0 || w; i++) {
        SN_TRY(sn_wrap_choose(bindings, i, &w, err));
        if (w)
            SN_TRY(add_output(a, v, NULL, w, w->ending, err));
    }
    return SN_OK;
}

static SnStatus write_wrapper(const SnAot *a, const SnWrapper *w, const char *to, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->ctx)};
    SnStatus st = sn_wrap_print(a, w, &t, err);
    const SnBytes text = sn_bytes(t.at, t.n);
    if (st == SN_OK)
        st = sn_file_write(a->ctx, to, &text, 1, err);
    sn_text_clear(&t);
    return st;
}

static SnStatus write_all(const SnAot *a, const Outputs *v, SnError *err)
{
    size_t renamed = 0;
    SnStatus st = SN_OK;
    for (size_t i = 0; i < v->n && st == SN_OK; i++) {
        const Output *o = &v->at[i];
        st = o->wrapper ? write_wrapper(a, o->wrapper, o->draft, err) : o->write(a, o->draft, err);
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
