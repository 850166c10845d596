/* link_parts.h -- a shared object as it grows: between link.c and elf_write.c. */
#ifndef SN_LINK_PARTS_H
#define SN_LINK_PARTS_H

#include "compiler/aot/elf_read.h"
#include "compiler/aot/link.h"

#define SN_LINK_PAGE 4096u

/* What a section of the object becomes part of: one section and segment each, in this order. */
typedef enum SnLinkKind {
    SN_LINK_TABLES,
    SN_LINK_CODE,
    SN_LINK_DATA,
    SN_LINK_KINDS,
    SN_LINK_NONE
} SnLinkKind;

typedef struct SnLinkPlace {
    SnLinkKind kind;
    uint64_t at;
} SnLinkPlace;

typedef struct SnLinkRange {
    uint64_t at, size;
} SnLinkRange;

/* Sections that are written anew, and lie in the first segment. */
typedef enum SnLinkTable {
    SN_LINK_NOTE,
    SN_LINK_HASH,
    SN_LINK_DYNSYM,
    SN_LINK_DYNSTR,
    SN_LINK_VERSYM,
    SN_LINK_VERNEED,
    SN_LINK_RELA,
    SN_LINK_TABLE_COUNT
} SnLinkTable;

/* Addresses are offsets in the file. */
typedef struct SnLink {
    SnContext *ctx;
    const SnLinkInput *in;
    SnError *err;
    SnArena arena;
    SnElf rt; /* the runtime as it was linked */
    SnElf o;  /* the object */

    /* The runtime: its tables for the dynamic linker, and its segments that stay, moved by `shift`. */
    const SnElfSection *old[SN_LINK_TABLE_COUNT];
    const SnElfSection *dynamic;
    SnLinkRange kept; /* in the runtime's file: addresses there */
    uint64_t shift;
    size_t nimport;  /* entries of its symbol table, the empty one included */
    SnMap rt_symbol; /* by name: index; UINT32_MAX: several */

    SnLinkPlace *place; /* of each section of the object */
    SnLinkRange table[SN_LINK_TABLE_COUNT];
    SnLinkRange kind[SN_LINK_KINDS];
    SnLinkRange weights;
    uint64_t head_size;      /* of the ELF header and the program headers */
    uint64_t *exported;      /* address of each */
    size_t *exported_symbol; /* its index in the object's symbol table */
    Elf64_Rela *relative;    /* pointers in the object */
    size_t nrelative, max_relative;

    uint8_t *at; /* everything before the weights */
    size_t size;
    SnText tail; /* everything behind them */
} SnLink;

/* ---- elf_write.c ---- */
/* Sizes of all tables of the first segment; head_size too. */
SN_MUST_CHECK SnStatus sn_link_measure(SnLink *l);
/* Fills them, the dynamic section and the headers, and makes the tail. */
SN_MUST_CHECK SnStatus sn_link_finish(SnLink *l);

/* ---- link.c ---- */
static inline uint64_t sn_link_up(uint64_t at, uint64_t align)
{
    return (at + align - 1) & ~(align - 1);
}
/* Does this section of the runtime stay? */
bool sn_link_is_kept(const SnElfSection *s);
/* The i-th segment of the runtime; true: it is loaded and has sections that stay, and is cut to them. */
bool sn_link_segment(const SnLink *l, size_t i, Elf64_Phdr *out);

#endif
