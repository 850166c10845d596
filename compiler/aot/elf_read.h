/* elf_read.h -- sections, symbols and relocations of x86-64 ELF files that nobody has checked yet. */
#ifndef SN_ELF_READ_H
#define SN_ELF_READ_H

#include "runtime/bytes.h"

#include <elf.h>

typedef struct SnElfSection {
    Elf64_Shdr h;
    const char *name; /* "" where the file has none */
    SnBytes bytes;    /* in the file; none of NULL and NOBITS sections */
} SnElfSection;

typedef struct SnElf {
    const char *what; /* for messages: "kernel object" */
    SnBytes file;
    Elf64_Ehdr h;
    SnElfSection *section;
    size_t nsection;
    const SnElfSection *symbols, *names; /* the symbol table and its strings */
    size_t nsymbol;
} SnElf;

/* Reads a file of e_type `type`: every section lies inside of it, and there is one symbol table. The sections
 * are in the arena and point into the file. */
SN_MUST_CHECK SnStatus sn_elf_read(SnArena *arena, const char *what, SnBytes file, uint16_t type, SnElf *out,
                                   SnError *err);
Elf64_Sym sn_elf_symbol(const SnElf *e, size_t i); /* i < nsymbol */
const char *sn_elf_symbol_name(const SnElf *e, const Elf64_Sym *s);

typedef struct SnElfRelocs {
    const SnElfSection *to; /* the section that they change */
    SnBytes table;
    size_t n;
} SnElfRelocs;
static inline bool sn_elf_is_relocs(const SnElfSection *s)
{
    return s->h.sh_type == SHT_RELA || s->h.sh_type == SHT_REL;
}
/* Section s (sn_elf_is_relocs) as relocations. */
SN_MUST_CHECK SnStatus sn_elf_relocs(const SnElf *e, const SnElfSection *s, SnElfRelocs *out, SnError *err);
/* The i-th: it has a symbol, and what it changes lies in its section. */
SN_MUST_CHECK SnStatus sn_elf_reloc(const SnElf *e, const SnElfRelocs *r, size_t i, Elf64_Rela *out,
                                    SnError *err);
static inline size_t sn_elf_reloc_size(uint32_t type)
{
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
}

#endif
