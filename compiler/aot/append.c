/* append.c -- NAME.o: the object with one more section, the weights, and the symbol that was open.
 *
 * The section's bytes and a new section table go behind the object, so nothing in it moves: only its head and
 * one entry of its symbol table change. The object is our backend's own. ELF, gabi 4.1. */
#include "compiler/aot/aot.h"

#include <elf.h>

#define TABLE_ALIGN 64u

typedef struct Rewrite {
    uint8_t *object; /* a copy, changed where it must be */
    size_t size;
    Elf64_Ehdr *head;
    Elf64_Shdr *section;
} Rewrite;

static bool is_inside(const Rewrite *r, uint64_t offset, uint64_t n)
{
    return offset <= r->size && n <= r->size - offset;
}

/* Sections lie inside of the object, names end inside of theirs. */
static SnStatus read_object(Rewrite *r, SnError *err)
{
    r->head = (Elf64_Ehdr *)(void *)r->object;
    SN_CHECK(r->size >= sizeof *r->head && memcmp(r->head->e_ident, ELFMAG, SELFMAG) == 0 &&
                 r->head->e_shoff % sizeof(uint64_t) == 0 &&
                 is_inside(r, r->head->e_shoff, (uint64_t)r->head->e_shnum * sizeof *r->section),
             err, SN_EINTERNAL, "emit: no ELF object");
    r->section = (Elf64_Shdr *)(void *)(r->object + r->head->e_shoff);
    for (uint32_t i = 0; i < r->head->e_shnum; i++)
        SN_CHECK(r->section[i].sh_type == SHT_NOBITS ||
                     is_inside(r, r->section[i].sh_offset, r->section[i].sh_size),
                 err, SN_EINTERNAL, "emit: a section outside of the object");
    return SN_OK;
}

/* The open symbol becomes the start of the new section. */
static SnStatus define_symbol(const Rewrite *r, const char *name, uint64_t size, SnError *err)
{
    for (uint32_t i = 0; i < r->head->e_shnum; i++) {
        const Elf64_Shdr *s = &r->section[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= r->head->e_shnum)
            continue;
        Elf64_Sym *symbol = (Elf64_Sym *)(void *)(r->object + s->sh_offset);
        const Elf64_Shdr *names = &r->section[s->sh_link];
        for (uint64_t k = 0; k < s->sh_size / sizeof *symbol; k++) {
            const char *text = (const char *)r->object + names->sh_offset + symbol[k].st_name;
            if (symbol[k].st_name + strlen(name) >= names->sh_size || strcmp(text, name) != 0)
                continue;
            symbol[k].st_shndx = r->head->e_shnum;
            symbol[k].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
            symbol[k].st_other = STV_HIDDEN;
            symbol[k].st_size = size;
            return SN_OK;
        }
    }
    return sn_fail(err, SN_EINTERNAL, "emit: the object does not ask for %s", name);
}

/* A name that the linker puts with read-only data; the object has a section of it. */
static uint32_t section_name(const Rewrite *r)
{
    const Elf64_Shdr *names = &r->section[r->head->e_shstrndx];
    for (uint32_t i = 0; i < r->head->e_shnum; i++) {
        const uint32_t at = r->section[i].sh_name;
        if (at < names->sh_size &&
            strncmp((const char *)r->object + names->sh_offset + at, ".rodata", 7) == 0)
            return at;
    }
    return 0;
}

SnStatus sn_aot_object(const SnAot *a, const char *to, SnError *err)
{
    static const uint8_t zeros[SN_AOT_PAGE + TABLE_ALIGN] = {0};
    SnArena *arena = a->arena;
    Rewrite r = {.object = sn_arena_alloc(arena, a->object.n), .size = a->object.n};
    const size_t nweights = a->nweight_part;
    size_t at = 0, table = 0;
    if (a->is_beside)
        return sn_file_write(a->ctx, to, &a->object, 1, err);
    SN_CHECK(r.object, err, SN_ENOMEM, "emit: no memory");
    memcpy(r.object, a->object.at, a->object.n);
    SN_TRY(read_object(&r, err));
    SN_TRY(define_symbol(&r, a->weights, a->weight_size, err));
    SN_CHECK(sn_align_size(r.size, SN_AOT_PAGE, &at) && sn_add_size(at, (size_t)a->weight_size, &table) &&
                 r.head->e_shnum < SHN_LORESERVE - 1,
             err, SN_EUNSUPPORTED, "emit: the object is too large");
    const Elf64_Shdr section = {.sh_name = section_name(&r),
                                .sh_type = SHT_PROGBITS,
                                .sh_flags = SHF_ALLOC,
                                .sh_offset = at,
                                .sh_size = a->weight_size,
                                .sh_addralign = SN_AOT_PAGE};
    const SnBytes old = sn_bytes(r.section, r.head->e_shnum * sizeof section);
    r.head->e_shoff = table;
    r.head->e_shnum++;
    SnBytes *part = sn_arena_array(arena, nweights + 4, sizeof *part);
    SN_CHECK(part, err, SN_ENOMEM, "emit: no memory");
    part[0] = sn_bytes(r.object, r.size);
    part[1] = sn_bytes(zeros, at - r.size);
    memcpy(part + 2, a->weight_part, nweights * sizeof *part);
    part[nweights + 2] = old;
    part[nweights + 3] = sn_bytes(&section, sizeof section);
    return sn_file_write(a->ctx, to, part, nweights + 4, err);
}
