/* source.c -- NAME.c: what the backend printed, between a manual and the typed functions. */
#include "compiler/aot/face.h"

static const char head[] = {
    "/* $o.c -- $k, as C11 for any compiler. Compiled ahead of time by sinter $v; $o.h tells how to use it.\n"
    " *\n"
    " *   cc -std=c11 -O3 -march=native -fno-math-errno -fno-trapping-math -c $o.c\n"
    " *   cc program.c $o.o -lsinter-rt -lm -ldl -lpthread\n"
    " *\n"
    " * The flags are for speed: results have the same bits with all of them or none, with GCC and with "
    "Clang.\n"
    " * Without -march=native (or -mfma) each fma is a call of libm. Not for this file: -ffast-math, and\n"
    " * Clang's -ffp-contract=fast, which overrules the text. */\n"
    "#include \"$o.h\"\n"
    "\n"};

static const char functions[] = {"\n$f"};

/* What the runtime has in place of the model's types, so that the texts of several models go together. */
static SnFaceForm target_form(void)
{
    SnFaceForm form = sn_face_c;
    form.spelling[SN_FACE_CONTEXT] = form.spelling[SN_FACE_NEW] = "void *@";
    form.spelling[SN_FACE_NUMBERS] = "float *@";
    form.line = "$rsn_typed_$s($p$y);\n";
    form.desc = ", const void *desc";
    return form;
}

static SnFaceForm own_form(void)
{
    SnFaceForm form = sn_face_c;
    form.line = "\n$r$n_$s($p)\n{\n    $xsn_typed_$s($q$y);\n}\n";
    form.desc = ", $n_typed";
    return form;
}

static SnStatus write_text(const SnAot *a, SnText *t, const char *to, SnError *err)
{
    static const SnPiece top = {SN_FOR_ALL, head}, all = {SN_FOR_ALL, functions};
    const SnFaceForm target = target_form(), own = own_form();
    sn_face_print(a, &own, &top, 1, t);
    sn_text_add(t, (const char *)a->object.at, a->object.n);
    sn_face_print(a, &target, &all, 1, t);
    sn_face_print(a, &own, &all, 1, t);
    SN_CHECK(!t->failed, err, SN_ENOMEM, "%s: no memory for its text", a->path);
    const SnBytes text = sn_bytes(t->at, t->n);
    return sn_file_write(a->ctx, to, &text, 1, err);
}

SnStatus sn_aot_source(const SnAot *a, const char *to, SnError *err)
{
    SnText t = {.memory = sn_allocator(a->ctx)};
    const SnStatus st = write_text(a, &t, to, err);
    sn_text_clear(&t);
    return st;
}
