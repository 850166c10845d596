/* genops.c -- build-time: prints a typed builder for every op row.
 *
 *   genops OUT.h OPS.c...
 *
 * It reads the signatures out of the source text (.sig = "..."), so that the files that hold the rows may
 * call each other's builders. An op becomes static inline SnValue sn_softmax(SnGraph *g, SnValue x, int64_t
 * axis) with operands, then attributes, in the order of the signature. A host op, whose function has that
 * name already, becomes sn_op_NAME. */
#include "compiler/sig.h"

#include <stdio.h>
#include <stdlib.h>

static void *resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    (void)self;
    (void)old_size;
    (void)align;
    if (new_size != 0)
        return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

/* ---- reading sources ---- */

static bool read_file(const char *path, SnText *out)
{
    char chunk[4096];
    FILE *const f = fopen(path, "rb");
    if (f == NULL)
        return false;
    for (size_t n = 0; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        sn_text_add(out, chunk, n);
    const bool is_read = ferror(f) == 0 && !out->failed;
    fclose(f);
    return is_read;
}

/* Reads adjoining string literals; returns what follows them. */
static const char *read_literals(const char *at, SnText *out)
{
    for (;;) {
        const char *const end = at;
        at += strspn(at, " \t\r\n");
        if (*at != '"')
            return end;
        for (at++; *at != '"' && *at != '\0'; at++) {
            if (*at == '\\' && at[1] != '\0')
                at++;
            sn_text_add(out, at, 1);
        }
        at += *at == '"';
    }
}

/* ---- printing builders ---- */

static const struct {
    const char *type, *make;
} attr_forms[SN_SIG_ATTR_KINDS] = {
    [SN_SIG_INT] = {"int64_t ", "SN_INT"},     [SN_SIG_BOOL] = {"bool ", "SN_INT"},
    [SN_SIG_F64] = {"double ", "SN_FLOAT"},    [SN_SIG_STR] = {"const char *", "SN_STRING"},
    [SN_SIG_DTYPE] = {"SnDtype ", "SN_DTYPE"}, [SN_SIG_INTS] = {"const int64_t *", "SN_INTS"},
};

static void print_head(FILE *f, const char *text, const SnSig *sig, bool is_host)
{
    fprintf(f, "/* %s */\nstatic inline SnValue sn_%s%s(SnGraph *g", text, is_host ? "op_" : "", sig->name);
    for (int i = 0; i < sig->noperand; i++) {
        const char *const name = sig->operand[i].name;
        if (sig->operand[i].is_variadic)
            fprintf(f, ", int n%s, const SnValue *%s", name, name);
        else
            fprintf(f, ", SnValue %s", name);
    }
    for (int i = 0; i < sig->nattr; i++) {
        const char *const name = sig->attr[i].value.name;
        fprintf(f, ", %s%s", attr_forms[sig->attr[i].kind].type, name);
        if (sig->attr[i].kind == SN_SIG_INTS)
            fprintf(f, ", int n%s", name);
    }
    fprintf(f, ")\n");
}

static void print_body(FILE *f, const SnSig *sig)
{
    const bool is_variadic = sig->noperand == 1 && sig->operand[0].is_variadic;
    fprintf(f, "{\n");
    for (int i = 0; !is_variadic && i < sig->noperand; i++)
        fprintf(f, "%s%s%s", i == 0 ? "    const SnValue in[] = {" : ", ", sig->operand[i].name,
                i + 1 == sig->noperand ? "};\n" : "");
    for (int i = 0; i < sig->nattr; i++) {
        const char *const name = sig->attr[i].value.name;
        fprintf(f, "%s%s(\"%s\", %s",
                i == 0 ? "    const SnAttr attr[] = {" : ",\n                           ",
                attr_forms[sig->attr[i].kind].make, name, name);
        if (sig->attr[i].kind == SN_SIG_INTS)
            fprintf(f, ", n%s", name);
        fprintf(f, ")%s", i + 1 == sig->nattr ? "};\n" : "");
    }
    fprintf(f, "    return sn_op(g, \"%s\", ", sig->name);
    if (is_variadic)
        fprintf(f, "%s, n%s", sig->operand[0].name, sig->operand[0].name);
    else
        fprintf(f, "%s, %d", sig->noperand > 0 ? "in" : "NULL", sig->noperand);
    fprintf(f, ", %s, %d);\n}\n\n", sig->nattr > 0 ? "attr" : "NULL", sig->nattr);
}

/* Does the row whose signature ends here have a host function? */
static bool has_run(const char *at)
{
    const char *const run = strstr(at, ".run"), *const next = strstr(at, ".sig");
    return run != NULL && (next == NULL || run < next);
}

static bool print_ops(FILE *f, const char *source, SnArena *arena)
{
    static const char key[] = ".sig";
    for (const char *at = strstr(source, key); at != NULL; at = strstr(at, key)) {
        SnText text = {.memory = arena->memory};
        SnError err;
        SnSig sig;
        at += sizeof key - 1;
        at += strspn(at, " \t\r\n=");
        if (*at != '"')
            continue;
        at = read_literals(at, &text);
        const bool is_good = !text.failed && sn_sig_parse(arena, text.at, &sig, &err) == SN_OK;
        const bool is_late = is_good && sig.noperand > 1 && sig.operand[sig.noperand - 1].is_variadic;
        if (!is_good || is_late)
            fprintf(stderr, "genops: %s\n",
                    is_late ? "a variadic operand must be the only one" : err.message);
        else {
            print_head(f, text.at, &sig, has_run(at));
            print_body(f, &sig);
        }
        sn_text_clear(&text);
        if (!is_good || is_late)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    const SnAllocator memory = {.resize = resize};
    SnArena arena;
    FILE *const out = argc > 1 ? fopen(argv[1], "w") : NULL;
    bool is_good = out != NULL;
    sn_arena_init(&arena, &memory);
    if (is_good)
        fprintf(out, "/* sn_ops.h -- typed builders of all ops; made by genops, do not edit. */\n"
                     "#ifndef SN_SN_OPS_H\n#define SN_SN_OPS_H\n\n#include \"compiler/graph.h\"\n\n");
    for (int i = 2; is_good && i < argc; i++) {
        SnText source = {.memory = &memory};
        is_good = read_file(argv[i], &source) && (source.at == NULL || print_ops(out, source.at, &arena));
        if (!is_good)
            fprintf(stderr, "genops: %s: failed\n", argv[i]);
        sn_text_clear(&source);
    }
    if (out != NULL) {
        fprintf(out, "#endif\n");
        is_good = fclose(out) == 0 && is_good;
    }
    sn_arena_clear(&arena);
    return is_good ? 0 : 1;
}
