/* emission.c -- a program as C text: kernels as functions, data as arrays and unions, for any C11 compiler.
 *
 * The bits do not depend on that compiler or on its flags: sums of products are calls of fma where they are
 * one operation, and what would fuse or reorder the rest is switched off or refused by the text itself.
 * Several such texts go into one translation unit: what they share is under a guard. */
#include "backends/clike/clike.h"

#include "runtime/program.h"

#include <inttypes.h>

/* GCC does not know the pragma of the standard, and fuses unless -std=c11 is given. */
static const char before[] = "#ifdef __FAST_MATH__\n"
                             "#error \"-ffast-math changes results: compile this file without it\"\n"
                             "#endif\n"
                             "#if defined(__clang__)\n"
                             "#pragma STDC FP_CONTRACT OFF\n"
                             "#elif defined(__GNUC__)\n"
                             "#pragma GCC optimize(\"fp-contract=off\")\n"
                             "#else\n"
                             "#pragma STDC FP_CONTRACT OFF\n"
                             "#endif\n"
                             "\n"
                             "#ifndef SINTER_SCALARS\n"
                             "#define SINTER_SCALARS\n"
                             "#include <float.h>\n";

static const char after[] = "_Static_assert(sizeof(void *) == 8, \"tables hold pointers of 64 bits\");\n"
                            "_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16,\n"
                            "               \"f32 is computed as f32: -mfpmath=sse\");\n"
                            "\n"
                            "union sn_word {\n"
                            "    u64 bits;\n"
                            "    const void *at;\n"
                            "    void (*code)(void);\n"
                            "};\n"
                            "struct SnProgramDesc {\n"
                            "    union sn_word word[%zu];\n"
                            "};\n"
                            "#endif\n";

typedef struct Emitter {
    const SnObjectParts *o;
    SnText *out;
    SnError *err;
} Emitter;

static void put_string(SnText *out, const char *s)
{
    sn_text_add(out, s, strlen(s));
}

/* ---- kernels ---- */

static SnStatus put_kernels(const Emitter *e)
{
    SnDialect d = sn_dialect_c;
    const SnObjectParts *o = e->o;
    d.kernel = "static void ";
    for (uint32_t i = 0; i < o->nkernel; i++) {
        uint32_t lanes = 0;
        SN_TRY(sn_clike_print(&d, o->kernel[i], o->symbol[i], e->out, &lanes, e->err));
    }
    return SN_OK;
}

/* ---- data ---- */

static bool is_kernel(const SnObjectParts *o, const char *symbol)
{
    for (uint32_t i = 0; i < o->nkernel; i++)
        if (strcmp(o->symbol[i], symbol) == 0)
            return true;
    return false;
}

static bool is_data(const SnObjectParts *o, const char *symbol)
{
    for (uint32_t i = 0; i < o->ndata; i++)
        if (strcmp(o->data[i].symbol, symbol) == 0)
            return true;
    return false;
}

static bool is_text(SnBytes b)
{
    const size_t n = b.n - 1;
    for (size_t i = 0; b.n > 0 && i < n; i++)
        if (b.at[i] < ' ' || b.at[i] > '~' || b.at[i] == '"' || b.at[i] == '\\' || b.at[i] == '?')
            return false;
    return b.n > 0 && b.at[n] == 0;
}

/* Words, the last one filled up with zeros. */
static void put_words(SnBytes b, SnText *out)
{
    for (size_t i = 0; i < b.n; i += sizeof(uint64_t)) {
        const size_t left = b.n - i;
        uint64_t word = 0;
        memcpy(&word, b.at + i, left < sizeof word ? left : sizeof word);
        sn_text_printf(out, "%s0x%" PRIx64, i % 64 == 0 ? (i > 0 ? ",\n    " : "    ") : ", ", word);
    }
}

static void put_plain(const Emitter *e, const SnObjectData *d)
{
    if (is_text(d->bytes)) {
        sn_text_printf(e->out, "static const char %s[] = \"%s\";\n", d->symbol, (const char *)d->bytes.at);
        return;
    }
    sn_text_printf(e->out, "static _Alignas(%u) const u64 %s[] = {\n",
                   d->align > sizeof(uint64_t) ? d->align : (unsigned)sizeof(uint64_t), d->symbol);
    put_words(d->bytes, e->out);
    put_string(e->out, "\n};\n");
}

static void put_word(const Emitter *e, const SnObjectData *d, size_t offset)
{
    uint64_t word;
    for (size_t i = 0; i < d->nreloc; i++) {
        const char *symbol = d->reloc[i].symbol;
        if (d->reloc[i].offset != offset)
            continue;
        if (is_data(e->o, symbol))
            sn_text_printf(e->out, "{.at = &%s}", symbol);
        else
            sn_text_printf(e->out, "{.code = (void (*)(void))%s}", symbol);
        return;
    }
    memcpy(&word, d->bytes.at + offset, sizeof word);
    sn_text_printf(e->out, "{.bits = 0x%" PRIx64 "}", word);
}

static void put_table(const Emitter *e, const SnObjectData *d)
{
    sn_text_printf(e->out,
                   d->is_hidden ? "static const union sn_word %s[%zu] = {\n"
                                : "const struct SnProgramDesc %s = {{\n",
                   d->symbol, d->bytes.n / sizeof(uint64_t));
    for (size_t i = 0; i < d->bytes.n; i += sizeof(uint64_t)) {
        put_string(e->out, "    ");
        put_word(e, d, i);
        put_string(e->out, ",\n");
    }
    put_string(e->out, d->is_hidden ? "};\n" : "}};\n");
}

/* Tables point to each other; what else they name is a function of the runtime, of which only the address
 * counts. */
static SnStatus declare(const Emitter *e, const SnObjectData *d)
{
    SN_CHECK(d->bytes.n % sizeof(uint64_t) == 0 && (d->is_hidden || d->bytes.n == sizeof(SnProgramDesc)),
             e->err, SN_EINTERNAL, "data %s: no table of words", d->symbol);
    for (size_t i = 0; i < d->nreloc; i++) {
        const char *symbol = d->reloc[i].symbol;
        if (!is_kernel(e->o, symbol) && !is_data(e->o, symbol))
            sn_text_printf(e->out, "void %s(void);\n", symbol);
    }
    if (d->is_hidden)
        sn_text_printf(e->out, "static const union sn_word %s[%zu];\n", d->symbol,
                       d->bytes.n / sizeof(uint64_t));
    else
        sn_text_printf(e->out, "extern const struct SnProgramDesc %s;\n", d->symbol);
    return SN_OK;
}

static bool is_table(const SnObjectData *d)
{
    return d->nreloc > 0 || !d->is_hidden;
}

static SnStatus put_data(const Emitter *e)
{
    const SnObjectParts *o = e->o;
    put_string(e->out, "\n");
    for (const SnObjectData *d = o->data; d < o->data + o->ndata; d++) {
        if (is_table(d))
            SN_TRY(declare(e, d));
        else
            put_plain(e, d);
    }
    put_string(e->out, "\n");
    for (const SnObjectData *d = o->data; d < o->data + o->ndata; d++)
        if (is_table(d))
            put_table(e, d);
    return SN_OK;
}

/* ---- all together ---- */

static SnStatus put_all(const Emitter *e)
{
    SN_CHECK(e->o->nlevel == 1 && e->o->nthunk == 0, e->err, SN_EUNSUPPORTED,
             "C text has one level and no untyped functions");
    put_string(e->out, before);
    sn_clike_prelude(&sn_dialect_c, true, e->out);
    sn_text_printf(e->out, after, sizeof(SnProgramDesc) / sizeof(uint64_t));
    SN_TRY(put_kernels(e));
    SN_TRY(put_data(e));
    SN_CHECK(!e->out->failed, e->err, SN_ENOMEM, "no memory for C text");
    return SN_OK;
}

SnStatus sn_clike_emit(SnContext *ctx, const SnTarget *t, const SnObjectParts *o, uint8_t **at, size_t *n,
                       SnError *err)
{
    (void)t;
    SnText text = {.memory = sn_allocator(ctx)};
    const Emitter e = {o, &text, err};
    uint8_t *copy = NULL;
    SnStatus st = put_all(&e);
    if (st == SN_OK) {
        copy = (uint8_t *)sn_alloc(text.memory, text.n, 1);
        st = copy != NULL ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory for %zu bytes of C text", text.n);
    }
    if (st == SN_OK) {
        memcpy(copy, text.at, text.n);
        *at = copy;
        *n = text.n;
    }
    sn_text_clear(&text);
    return st;
}
