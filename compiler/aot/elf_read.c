/* elf_read.c -- ELF files as sections, symbols and relocations; every field is checked before it is used.
 *
 * ELF: System V gabi 4.1, and its AMD64 supplement. */
#include "compiler/aot/elf_read.h"

#define MAX_SECTIONS 4096u
#define MAX_SYMBOLS  (1u << 20)

#define REFUSE_UNLESS(e, cond, why) SN_CHECK(cond, err, SN_EFORMAT, "%s: %s", (e)->what, why)

static SnBytes view(SnBytes b, uint64_t offset, uint64_t n)
{
    if (offset > b.n || n > b.n - offset)
        return sn_bytes(NULL, 0);
    return sn_bytes(b.at + offset, (size_t)n);
}

static SnStatus read_header(SnElf *e, uint16_t type, SnError *err)
{
    const SnBytes b = view(e->file, 0, sizeof e->h);
    REFUSE_UNLESS(e, b.at != NULL, "no header");
    memcpy(&e->h, b.at, sizeof e->h);
    REFUSE_UNLESS(e, memcmp(e->h.e_ident, ELFMAG, SELFMAG) == 0, "no ELF file");
    REFUSE_UNLESS(e, e->h.e_ident[EI_CLASS] == ELFCLASS64 && e->h.e_ident[EI_DATA] == ELFDATA2LSB,
                  "not 64-bit little-endian");
    REFUSE_UNLESS(e, e->h.e_type == type && e->h.e_machine == EM_X86_64,
                  type == ET_REL ? "not relocatable x86-64 code" : "not x86-64 code of the expected kind");
    REFUSE_UNLESS(e,
                  e->h.e_shentsize == sizeof(Elf64_Shdr) && e->h.e_shnum > 0 && e->h.e_shnum <= MAX_SECTIONS,
                  "bad section table");
    return SN_OK;
}

/* Strings of a table that ends with 0: names cannot run out of it. */
static bool is_strings(const SnElfSection *s)
{
    return s->h.sh_type == SHT_STRTAB && s->bytes.n > 0 && s->bytes.at[s->bytes.n - 1] == 0;
}

static void name_sections(SnElf *e)
{
    const SnElfSection *names = e->h.e_shstrndx < e->nsection ? &e->section[e->h.e_shstrndx] : NULL;
    const bool is_named = names != NULL && is_strings(names);
    for (size_t i = 0; i < e->nsection; i++) {
        SnElfSection *s = &e->section[i];
        s->name =
            is_named && s->h.sh_name < names->bytes.n ? (const char *)names->bytes.at + s->h.sh_name : "";
    }
}

static SnStatus read_sections(SnElf *e, SnArena *arena, SnError *err)
{
    const SnBytes table = view(e->file, e->h.e_shoff, (uint64_t)e->h.e_shnum * sizeof(Elf64_Shdr));
    REFUSE_UNLESS(e, table.at != NULL, "section table outside of the file");
    e->nsection = e->h.e_shnum;
    e->section = (SnElfSection *)sn_arena_array(arena, e->nsection, sizeof *e->section);
    SN_CHECK(e->section != NULL, err, SN_ENOMEM, "%s: no memory for its sections", e->what);
    for (size_t i = 0; i < e->nsection; i++) {
        SnElfSection *s = &e->section[i];
        memcpy(&s->h, table.at + i * sizeof s->h, sizeof s->h);
        if (s->h.sh_type == SHT_NULL || s->h.sh_type == SHT_NOBITS)
            continue;
        s->bytes = view(e->file, s->h.sh_offset, s->h.sh_size);
        REFUSE_UNLESS(e, s->bytes.at != NULL, "section outside of the file");
    }
    name_sections(e);
    return SN_OK;
}

static SnStatus find_symbols(SnElf *e, SnError *err)
{
    for (size_t i = 0; i < e->nsection; i++) {
        const SnElfSection *s = &e->section[i];
        if (s->h.sh_type != SHT_SYMTAB)
            continue;
        REFUSE_UNLESS(e,
                      e->symbols == NULL && s->h.sh_entsize == sizeof(Elf64_Sym) &&
                          s->bytes.n % sizeof(Elf64_Sym) == 0 && s->h.sh_link < e->nsection,
                      "bad symbol table");
        e->symbols = s;
        e->nsymbol = s->bytes.n / sizeof(Elf64_Sym);
        e->names = &e->section[s->h.sh_link];
    }
    REFUSE_UNLESS(e, e->symbols != NULL && e->nsymbol <= MAX_SYMBOLS, "no symbol table");
    REFUSE_UNLESS(e, is_strings(e->names), "bad symbol names");
    return SN_OK;
}

SnStatus sn_elf_read(SnArena *arena, const char *what, SnBytes file, uint16_t type, SnElf *out, SnError *err)
{
    SnElf e = {.what = what, .file = file};
    SN_TRY(read_header(&e, type, err));
    SN_TRY(read_sections(&e, arena, err));
    SN_TRY(find_symbols(&e, err));
    *out = e;
    return SN_OK;
}

Elf64_Sym sn_elf_symbol(const SnElf *e, size_t i)
{
    Elf64_Sym s;
    memcpy(&s, e->symbols->bytes.at + i * sizeof s, sizeof s);
    return s;
}

const char *sn_elf_symbol_name(const SnElf *e, const Elf64_Sym *s)
{
    return s->st_name < e->names->bytes.n ? (const char *)e->names->bytes.at + s->st_name : "?";
}

SnStatus sn_elf_relocs(const SnElf *e, const SnElfSection *s, SnElfRelocs *out, SnError *err)
{
    REFUSE_UNLESS(e, s->h.sh_info < e->nsection, "relocations of no section");
    REFUSE_UNLESS(e,
                  s->h.sh_type == SHT_RELA && s->h.sh_entsize == sizeof(Elf64_Rela) &&
                      s->bytes.n % sizeof(Elf64_Rela) == 0 &&
                      &e->section[s->h.sh_link % e->nsection] == e->symbols,
                  "bad relocations");
    *out = (SnElfRelocs){&e->section[s->h.sh_info], s->bytes, s->bytes.n / sizeof(Elf64_Rela)};
    return SN_OK;
}

SnStatus sn_elf_reloc(const SnElf *e, const SnElfRelocs *r, size_t i, Elf64_Rela *out, SnError *err)
{
    Elf64_Rela rela;
    memcpy(&rela, r->table.at + i * sizeof rela, sizeof rela);
    REFUSE_UNLESS(e, ELF64_R_SYM(rela.r_info) < e->nsymbol, "relocation by no symbol");
    const size_t size = sn_elf_reloc_size((uint32_t)ELF64_R_TYPE(rela.r_info));
    REFUSE_UNLESS(e, rela.r_offset <= r->to->bytes.n && r->to->bytes.n - (size_t)rela.r_offset >= size,
                  "relocation outside of its section");
    *out = rela;
    return SN_OK;
}
