/* header.c -- the header of a program: what its entries take and give, and the descriptor. */
#include "compiler/aot/aot.h"

static void print_slots(const SnImage *m, SnText *t, const char *what, SnRange r)
{
    const SnSlotRow *slot = SN_ROWS(m, SnSlotRow, slot);
    const SnInstr *instr = SN_ROWS(m, SnInstr, instr);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        sn_text_printf(t, " *   %-7s %-24s %s%s[", what, sn_image_string(m, slot[i].name),
                       slot[i].is_list ? "list of " : "", sn_dtype((SnDtype)slot[i].dtype)->name);
        for (uint32_t d = 0; d < slot[i].ndim; d++) {
            const char *comma = d ? ", " : "";
            int64_t value = -1;
            for (uint32_t k = 0; k < m->instr.count; k++)
                if (instr[k].op == SN_I_CONST && instr[k].dst == slot[i].dim_reg[d])
                    value = instr[k].imm;
            if (slot[i].dim_name[d] != SN_NONE)
                sn_text_printf(t, "%s%s", comma, sn_image_string(m, slot[i].dim_name[d]));
            else if (value >= 0)
                sn_text_printf(t, "%s%lld", comma, (long long)value);
            else
                sn_text_printf(t, "%scomputed", comma);
        }
        sn_text_printf(t, "]\n");
    }
}

SnStatus sn_aot_header(const SnAot *a, SnText *out, SnError *err)
{
    const SnImage *m = a->image;
    sn_text_printf(out,
                   "/* %s.h -- a compiled program. Link it and libsinter-rt; open it with\n"
                   " * sn_program_link(ctx, &%s_program, &program, &err).\n",
                   a->name, a->name);
    for (uint32_t i = 0; i < m->entry.count; i++) {
        const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry) + i;
        sn_text_printf(out, " *\n * entry %s\n", sn_image_string(m, e->name));
        print_slots(m, out, "input", e->input);
        print_slots(m, out, "output", e->output);
    }
    sn_text_printf(
        out,
        " */\n#ifndef SN_MODEL_%s_H\n#define SN_MODEL_%s_H\n\n#include \"sinter.h\"\n\n#ifdef __cplusplus\n"
        "extern \"C\" {\n#endif\n\nextern const SnProgramDesc %s_program;\n\n#ifdef "
        "__cplusplus\n}\n#endif\n\n"
        "#endif\n",
        a->name, a->name, a->name);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "emit: no memory for the header");
    return SN_OK;
}
