/* append.c -- NAME.o: the object with one more section, the weights, and the symbol that was open.
 *
 * Names with the new section's, its bytes and a new section table go behind the object, so nothing in it
 * moves: only its head, one entry of its symbol table and one of its sections change. The section is one of
 * "large" data, which linkers put where it is in nobody's way: it may be larger than what code can reach.
 *
 * ELF, gabi 4.1; System V ABI, AMD64 supplement, section 4.2 (large sections). */
#include "compiler/aot/elf_read.h"
#include "compiler/aot/link.h"

#define LARGE 0x10000000u /* SHF_X86_64_LARGE */
#define PAGE  4096u

typedef struct Append {
    const SnLinkInput *in;
    SnArena *arena;
    SnError *err;
    SnElf e;
    uint8_t *object; /* a copy, changed where it must be */
    uint64_t at;     /* of the weights in the file */
    SnBytes names;
    Elf64_Shdr *section;
} Append;

static SnStatus no_memory(const Append *a)
{
    return sn_fail(a->err, SN_ENOMEM, "%s: no memory for an object", a->in->soname);
}

/* The open symbol becomes the start of the new section. */
static SnStatus define_symbol(const Append *a, uint64_t size)
{
    for (size_t i = 0; i < a->e.nsymbol; i++) {
        Elf64_Sym s = sn_elf_symbol(&a->e, i);
        if (s.st_shndx != SHN_UNDEF || strcmp(sn_elf_symbol_name(&a->e, &s), a->in->weights) != 0)
            continue;
        s.st_shndx = (Elf64_Half)a->e.nsection;
        s.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
        s.st_other = STV_HIDDEN;
        s.st_size = size;
        memcpy(a->object + a->e.symbols->h.sh_offset + i * sizeof s, &s, sizeof s);
        return SN_OK;
    }
    return sn_fail(a->err, SN_EFORMAT, "%s: its object does not ask for %s", a->in->soname, a->in->weights);
}

/* All headers, of which the one of section names changes, and one more; where the weights lie. */
static SnStatus add_section(Append *a, uint64_t size)
{
    static const char name[] = ".lrodata";
    const SnElf *e = &a->e;
    const size_t n = e->nsection;
    SN_CHECK(n + 1 < SHN_LORESERVE && e->h.e_shstrndx > 0 && e->h.e_shstrndx < n, a->err, SN_EFORMAT,
             "%s: its object has no section names, or too many sections", a->in->soname);
    const SnBytes old = e->section[e->h.e_shstrndx].bytes;
    char *names = sn_arena_array(a->arena, old.n + sizeof name, 1);
    a->section = sn_arena_array(a->arena, n + 1, sizeof *a->section);
    if (!names || !a->section)
        return no_memory(a);
    if (old.n > 0)
        memcpy(names, old.at, old.n);
    memcpy(names + old.n, name, sizeof name);
    a->names = sn_bytes(names, old.n + sizeof name);
    a->at = (e->file.n + a->names.n + PAGE - 1) / PAGE * PAGE;
    for (size_t i = 0; i < n; i++)
        a->section[i] = e->section[i].h;
    a->section[e->h.e_shstrndx].sh_offset = e->file.n;
    a->section[e->h.e_shstrndx].sh_size = a->names.n;
    a->section[n] = (Elf64_Shdr){.sh_name = (Elf64_Word)old.n,
                                 .sh_type = SHT_PROGBITS,
                                 .sh_flags = SHF_ALLOC | LARGE,
                                 .sh_offset = a->at,
                                 .sh_size = size,
                                 .sh_addralign = PAGE};
    return SN_OK;
}

static SnStatus append(Append *a, SnBytes **part, size_t *npart)
{
    static const uint8_t zeros[PAGE] = {0};
    const SnLinkInput *in = a->in;
    const size_t n = in->object.n;
    uint64_t size = 0;
    for (size_t i = 0; i < in->npart; i++)
        size += in->part[i].n;
    a->object = sn_arena_array(a->arena, n, 1);
    SnBytes *p = sn_arena_array(a->arena, in->npart + 5, sizeof *p);
    if (!a->object || !p)
        return no_memory(a);
    memcpy(a->object, in->object.at, n);
    SN_TRY(define_symbol(a, size));
    SN_TRY(add_section(a, size));
    Elf64_Ehdr h = a->e.h;
    h.e_shoff = (a->at + size + 7) / 8 * 8;
    h.e_shnum++;
    memcpy(a->object, &h, sizeof h);
    p[0] = sn_bytes(a->object, n);
    p[1] = a->names;
    p[2] = sn_bytes(zeros, (size_t)(a->at - n - a->names.n));
    if (in->npart > 0)
        memcpy(p + 3, in->part, in->npart * sizeof *p);
    p[in->npart + 3] = sn_bytes(zeros, (size_t)(h.e_shoff - a->at - size));
    p[in->npart + 4] = sn_bytes(a->section, h.e_shnum * sizeof *a->section);
    *part = p;
    *npart = in->npart + 5;
    return SN_OK;
}

SnStatus sn_link_parts(SnArena *arena, const SnLinkInput *in, SnBytes **part, size_t *npart, SnError *err)
{
    Append a = {.in = in, .arena = arena, .err = err};
    SN_TRY(sn_elf_read(arena, in->soname, in->object, ET_REL, &a.e, err));
    if (in->weights)
        return append(&a, part, npart);
    *part = sn_arena_array(arena, 1, sizeof **part);
    if (!*part)
        return no_memory(&a);
    (*part)[0] = in->object;
    *npart = 1;
    return SN_OK;
}

SnStatus sn_link_object(SnContext *ctx, const SnLinkInput *in, const char *path, SnError *err)
{
    SnArena arena;
    SnBytes *part = NULL;
    size_t npart = 0;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnStatus st = sn_link_parts(&arena, in, &part, &npart, err);
    if (st == SN_OK)
        st = sn_file_write(ctx, path, part, npart, err);
    sn_arena_clear(&arena);
    return st;
}
