/* elf_write.c -- the tables and headers of a shared object.
 *
 * Imports keep their places in the symbol table, and names theirs in the string table, so versions and
 * relocations of the runtime hold as they are; what is exported comes behind them.
 *
 * ELF, gabi 4.1; Drepper, "How To Write Shared Libraries" (the GNU hash table). */
#include "compiler/aot/link_parts.h"

#include <stdlib.h>

#define NOTE_HEAD    20u /* three words, and "sinter" with its end, padded */
#define BLOOM_SHIFT  6u
#define MAX_SEGMENTS 16u

static SnStatus no_memory(const SnLink *l)
{
    return sn_fail(l->err, SN_ENOMEM, "%s: no memory to link it", l->in->soname);
}

static void *table_at(const SnLink *l, SnLinkTable table)
{
    return l->at + l->table[table].at;
}

/* ---- sizes ---- */

static uint32_t bucket_count(const SnLink *l)
{
    return (uint32_t)l->in->nexported / 2 + 1;
}

/* Words of the filter, a power of two: about 8 bits a symbol. */
static uint32_t bloom_count(const SnLink *l)
{
    uint32_t n = 1;
    while (n * 8 < l->in->nexported)
        n *= 2;
    return n;
}

static bool has_kind(const SnLink *l, SnLinkKind kind)
{
    for (size_t i = 0; i < l->o.nsection; i++)
        if (l->place[i].kind == kind)
            return true;
    return false;
}

static bool has_weights(const SnLink *l)
{
    for (size_t i = 0; i < l->in->npart; i++)
        if (l->in->part[i].n > 0)
            return true;
    return false;
}

static size_t count_segments(const SnLink *l)
{
    size_t n = 5; /* the head, dynamic, note, stack, relro */
    for (size_t i = 0; i < l->rt.h.e_phnum; i++) {
        Elf64_Phdr p;
        n += sn_link_segment(l, i, &p) || p.p_type == PT_GNU_EH_FRAME;
    }
    return n + has_kind(l, SN_LINK_CODE) + has_kind(l, SN_LINK_DATA) + has_weights(l);
}

SnStatus sn_link_measure(SnLink *l)
{
    const SnLinkInput *in = l->in;
    const size_t n = l->nimport + in->nexported, nsegment = count_segments(l);
    size_t names = l->old[SN_LINK_DYNSTR]->bytes.n + strlen(in->soname) + 1;
    for (size_t i = 0; i < in->nexported; i++)
        names += strlen(in->exported[i]) + 1;
    SN_CHECK(nsegment <= MAX_SEGMENTS, l->err, SN_EFORMAT, "runtime: %zu segments", nsegment);
    l->head_size = sizeof(Elf64_Ehdr) + nsegment * sizeof(Elf64_Phdr);
    const uint64_t size[] = {
        [SN_LINK_NOTE] = NOTE_HEAD + sizeof(SnNote),
        [SN_LINK_HASH] = 16 + 8 * (uint64_t)bloom_count(l) + 4 * (bucket_count(l) + in->nexported),
        [SN_LINK_DYNSYM] = n * sizeof(Elf64_Sym),
        [SN_LINK_DYNSTR] = names,
        [SN_LINK_VERSYM] = n * sizeof(Elf64_Half),
        [SN_LINK_VERNEED] = l->old[SN_LINK_VERNEED]->bytes.n,
        [SN_LINK_RELA] = l->old[SN_LINK_RELA]->bytes.n + l->max_relative * sizeof(Elf64_Rela),
    };
    for (int i = 0; i < SN_LINK_TABLE_COUNT; i++)
        l->table[i].size = size[i];
    return SN_OK;
}

/* ---- symbols ---- */

static uint32_t gnu_hash(const char *name)
{
    uint32_t h = 5381;
    for (; *name; name++)
        h = h * 33 + (uint8_t)*name;
    return h;
}

typedef struct Export {
    size_t i; /* in SnLinkInput.exported */
    uint32_t hash, bucket;
    uint32_t name; /* in the string table */
} Export;

static int by_bucket(const void *a, const void *b)
{
    const Export *x = a, *y = b;
    return x->bucket != y->bucket ? (x->bucket > y->bucket) - (x->bucket < y->bucket)
                                  : (x->i > y->i) - (x->i < y->i);
}

/* In the order of the hash table; their names are written. */
static SnStatus list_exports(SnLink *l, Export **out)
{
    const SnLinkInput *in = l->in;
    const SnBytes old = l->old[SN_LINK_DYNSTR]->bytes;
    Export *e = sn_arena_array(&l->arena, in->nexported + 1, sizeof *e);
    char *names = table_at(l, SN_LINK_DYNSTR);
    size_t at = old.n + strlen(in->soname) + 1;
    if (!e)
        return no_memory(l);
    memcpy(names, old.at, old.n);
    memcpy(names + old.n, in->soname, at - old.n);
    for (size_t i = 0; i < in->nexported; i++) {
        const size_t n = strlen(in->exported[i]) + 1;
        const uint32_t hash = gnu_hash(in->exported[i]);
        e[i] = (Export){i, hash, hash % bucket_count(l), (uint32_t)at};
        memcpy(names + at, in->exported[i], n);
        at += n;
    }
    if (in->nexported > 0)
        qsort(e, in->nexported, sizeof *e, by_bucket);
    *out = e;
    return SN_OK;
}

static void write_hash(const SnLink *l, const Export *e)
{
    const size_t n = l->in->nexported;
    const uint32_t nbucket = bucket_count(l), nbloom = bloom_count(l);
    uint32_t *head = table_at(l, SN_LINK_HASH);
    uint64_t *bloom = (uint64_t *)(void *)(head + 4);
    uint32_t *bucket = (uint32_t *)(void *)(bloom + nbloom), *chain = bucket + nbucket;
    head[0] = nbucket;
    head[1] = (uint32_t)l->nimport; /* the first symbol that can be found */
    head[2] = nbloom;
    head[3] = BLOOM_SHIFT;
    for (size_t i = 0; i < n; i++) {
        const uint32_t h = e[i].hash;
        bloom[h / 64 % nbloom] |= (uint64_t)1 << h % 64 | (uint64_t)1 << (h >> BLOOM_SHIFT) % 64;
        if (bucket[e[i].bucket] == 0)
            bucket[e[i].bucket] = (uint32_t)(l->nimport + i);
        const bool is_last = i + 1 == n || e[i + 1].bucket != e[i].bucket;
        chain[i] = (h & ~1u) | is_last;
    }
}

/* Index of the section that a section of the runtime, or of the object, becomes part of. */
static Elf64_Half section_of_runtime(const SnLink *l, size_t section)
{
    size_t n = 1 + SN_LINK_TABLE_COUNT;
    for (size_t i = 0; i < section; i++)
        n += sn_link_is_kept(&l->rt.section[i]);
    return (Elf64_Half)n;
}

static Elf64_Half section_of_kind(const SnLink *l, SnLinkKind kind)
{
    size_t n = section_of_runtime(l, l->rt.nsection);
    for (int i = 0; i < (int)kind; i++)
        n += l->kind[i].size > 0;
    return (Elf64_Half)n;
}

static Elf64_Sym moved_symbol(const SnLink *l, const Elf64_Sym *s, unsigned bind)
{
    const SnLinkPlace *p = &l->place[s->st_shndx];
    return (Elf64_Sym){.st_info = (unsigned char)ELF64_ST_INFO(bind, ELF64_ST_TYPE(s->st_info)),
                       .st_shndx = section_of_kind(l, p->kind),
                       .st_value = p->at + s->st_value,
                       .st_size = s->st_size};
}

static SnStatus write_symbols(SnLink *l)
{
    Export *e = NULL;
    SN_TRY(list_exports(l, &e));
    write_hash(l, e);
    Elf64_Sym *symbol = table_at(l, SN_LINK_DYNSYM);
    Elf64_Half *version = table_at(l, SN_LINK_VERSYM);
    memcpy(symbol, l->old[SN_LINK_DYNSYM]->bytes.at, l->nimport * sizeof *symbol);
    memcpy(version, l->old[SN_LINK_VERSYM]->bytes.at, l->nimport * sizeof *version);
    memcpy(table_at(l, SN_LINK_VERNEED), l->old[SN_LINK_VERNEED]->bytes.at, l->table[SN_LINK_VERNEED].size);
    for (size_t i = 1; i < l->nimport; i++)
        SN_CHECK(symbol[i].st_shndx == SHN_UNDEF, l->err, SN_EFORMAT, "runtime: it exports symbols");
    for (size_t i = 0; i < l->in->nexported; i++) {
        const Elf64_Sym s = sn_elf_symbol(&l->o, l->exported_symbol[e[i].i]);
        symbol[l->nimport + i] = moved_symbol(l, &s, STB_GLOBAL);
        symbol[l->nimport + i].st_name = e[i].name;
        version[l->nimport + i] = VER_NDX_GLOBAL;
    }
    return SN_OK;
}

/* ---- relocations ---- */

/* Those of the runtime that are RELATIVE, or those that are not; returns how many. */
static size_t move_relocs(const SnLink *l, bool is_relative, Elf64_Rela *out)
{
    const SnBytes old = l->old[SN_LINK_RELA]->bytes;
    size_t n = 0;
    for (size_t at = 0; at + sizeof *out <= old.n; at += sizeof *out) {
        Elf64_Rela r;
        memcpy(&r, old.at + at, sizeof r);
        if ((ELF64_R_TYPE(r.r_info) == R_X86_64_RELATIVE) != is_relative)
            continue;
        r.r_offset += l->shift;
        r.r_addend += is_relative ? (int64_t)l->shift : 0;
        out[n++] = r;
    }
    return n;
}

static SnStatus write_relocs(SnLink *l, uint64_t *nrelative)
{
    Elf64_Rela *r = table_at(l, SN_LINK_RELA);
    size_t n = move_relocs(l, true, r);
    if (l->nrelative > 0)
        memcpy(r + n, l->relative, l->nrelative * sizeof *r);
    n += l->nrelative;
    *nrelative = n;
    const size_t nother = move_relocs(l, false, r + n);
    for (size_t i = n; i < n + nother; i++) {
        const uint64_t type = ELF64_R_TYPE(r[i].r_info);
        SN_CHECK(type == R_X86_64_GLOB_DAT || type == R_X86_64_64, l->err, SN_EFORMAT,
                 "runtime: relocation of type %u", (unsigned)type);
    }
    return SN_OK;
}

/* ---- the dynamic section ---- */

/* The new value of an entry; false: this linker does not know it. */
static bool move_entry(const SnLink *l, uint64_t nrelative, Elf64_Dyn *d)
{
    const SnLinkRange *t = l->table;
    switch (d->d_tag) {
    case DT_NULL:
    case DT_NEEDED:
    case DT_SYMENT:
    case DT_RELAENT:
    case DT_FLAGS:
    case DT_FLAGS_1:
    case DT_VERNEEDNUM:
        return true;
    case DT_SONAME:
        d->d_un.d_val = l->old[SN_LINK_DYNSTR]->bytes.n;
        return true;
    case DT_GNU_HASH:
        d->d_un.d_ptr = t[SN_LINK_HASH].at;
        return true;
    case DT_STRTAB:
        d->d_un.d_ptr = t[SN_LINK_DYNSTR].at;
        return true;
    case DT_STRSZ:
        d->d_un.d_val = t[SN_LINK_DYNSTR].size;
        return true;
    case DT_SYMTAB:
        d->d_un.d_ptr = t[SN_LINK_DYNSYM].at;
        return true;
    case DT_RELA:
        d->d_un.d_ptr = t[SN_LINK_RELA].at;
        return true;
    case DT_RELASZ:
        d->d_un.d_val = t[SN_LINK_RELA].size;
        return true;
    case DT_RELACOUNT:
        d->d_un.d_val = nrelative;
        return true;
    case DT_VERNEED:
        d->d_un.d_ptr = t[SN_LINK_VERNEED].at;
        return true;
    case DT_VERSYM:
        d->d_un.d_ptr = t[SN_LINK_VERSYM].at;
        return true;
    default:
        return false;
    }
}

static SnStatus write_dynamic(SnLink *l, uint64_t nrelative)
{
    uint8_t *at = l->at + l->dynamic->h.sh_addr + l->shift;
    for (size_t i = 0; i + sizeof(Elf64_Dyn) <= l->dynamic->bytes.n; i += sizeof(Elf64_Dyn)) {
        Elf64_Dyn d;
        memcpy(&d, at + i, sizeof d);
        SN_CHECK(move_entry(l, nrelative, &d), l->err, SN_EFORMAT, "runtime: dynamic entry %lld",
                 (long long)d.d_tag);
        memcpy(at + i, &d, sizeof d);
    }
    return SN_OK;
}

/* ---- segments ---- */

static Elf64_Phdr segment(uint32_t type, uint32_t flags, uint64_t at, uint64_t size, uint64_t align)
{
    return (Elf64_Phdr){type, flags, at, at, at, size, size, align};
}

static Elf64_Phdr load_kind(const SnLink *l, SnLinkKind kind, uint32_t flags)
{
    return segment(PT_LOAD, flags, l->kind[kind].at, l->kind[kind].size, SN_LINK_PAGE);
}

static size_t list_segments(const SnLink *l, Elf64_Phdr out[MAX_SEGMENTS])
{
    const uint64_t head_end = l->table[SN_LINK_RELA].at + l->table[SN_LINK_RELA].size;
    size_t n = 0;
    out[n++] = segment(PT_LOAD, PF_R, 0, head_end, SN_LINK_PAGE);
    Elf64_Phdr rest[4] = {segment(PT_NOTE, PF_R, l->table[SN_LINK_NOTE].at, l->table[SN_LINK_NOTE].size, 4),
                          segment(PT_GNU_STACK, PF_R | PF_W, 0, 0, 16)};
    size_t nrest = 2;
    for (size_t i = 0; i < l->rt.h.e_phnum; i++) {
        Elf64_Phdr p;
        const bool stays = sn_link_segment(l, i, &p);
        if (!stays && (p.p_type != PT_GNU_EH_FRAME || nrest == SN_COUNT(rest)))
            continue;
        p = segment(p.p_type, p.p_flags, p.p_vaddr + l->shift, p.p_memsz, stays ? SN_LINK_PAGE : p.p_align);
        if (stays)
            out[n++] = p;
        else
            rest[nrest++] = p;
    }
    /* The object's tables lie behind the runtime's: one segment, which is read-only up to the end of its
     * page. */
    Elf64_Phdr *tables = &out[n - 1];
    if (l->kind[SN_LINK_TABLES].size > 0)
        tables->p_filesz = tables->p_memsz =
            l->kind[SN_LINK_TABLES].at + l->kind[SN_LINK_TABLES].size - tables->p_vaddr;
    Elf64_Phdr relro = segment(PT_GNU_RELRO, PF_R, tables->p_vaddr, tables->p_memsz, 1);
    relro.p_memsz = sn_link_up(relro.p_vaddr + relro.p_memsz, SN_LINK_PAGE) - relro.p_vaddr;
    if (l->kind[SN_LINK_CODE].size > 0)
        out[n++] = load_kind(l, SN_LINK_CODE, PF_R | PF_X);
    if (l->kind[SN_LINK_DATA].size > 0)
        out[n++] = load_kind(l, SN_LINK_DATA, PF_R);
    if (l->weights.size > 0)
        out[n++] = segment(PT_LOAD, PF_R, l->weights.at, l->weights.size, SN_LINK_PAGE);
    out[n++] = segment(PT_DYNAMIC, PF_R | PF_W, l->dynamic->h.sh_addr + l->shift, l->dynamic->h.sh_size, 8);
    memcpy(out + n, rest, nrest * sizeof *out);
    n += nrest;
    out[n++] = relro;
    return n;
}

/* ---- sections: for linkers, debuggers, strip; a program that opens the file never reads them ---- */

typedef struct Sections {
    SnLink *l;
    SnText header, name; /* bytes of each */
} Sections;

static void add_section(Sections *s, const char *name, Elf64_Shdr h)
{
    h.sh_name = (Elf64_Word)s->name.n;
    sn_text_add(&s->name, name, strlen(name) + 1);
    sn_text_add(&s->header, (const char *)&h, sizeof h);
}

static void add_loaded(Sections *s, const char *name, uint64_t flags, uint64_t align, const SnLinkRange *r)
{
    if (r->size == 0)
        return;
    const Elf64_Shdr h = {.sh_type = SHT_PROGBITS,
                          .sh_flags = SHF_ALLOC | flags,
                          .sh_addr = r->at,
                          .sh_offset = r->at,
                          .sh_size = r->size,
                          .sh_addralign = align};
    add_section(s, name, h);
}

static void add_tables(Sections *s)
{
    static const struct {
        const char *name;
        uint32_t type, link, align, entry;
    } tables[] = {
        [SN_LINK_NOTE] = {".note.sinter", SHT_NOTE, 0, 4, 0},
        [SN_LINK_HASH] = {".gnu.hash", SHT_GNU_HASH, 1 + SN_LINK_DYNSYM, 8, 0},
        [SN_LINK_DYNSYM] = {".dynsym", SHT_DYNSYM, 1 + SN_LINK_DYNSTR, 8, sizeof(Elf64_Sym)},
        [SN_LINK_DYNSTR] = {".dynstr", SHT_STRTAB, 0, 1, 0},
        [SN_LINK_VERSYM] = {".gnu.version", SHT_GNU_versym, 1 + SN_LINK_DYNSYM, 2, sizeof(Elf64_Half)},
        [SN_LINK_VERNEED] = {".gnu.version_r", SHT_GNU_verneed, 1 + SN_LINK_DYNSTR, 8, 0},
        [SN_LINK_RELA] = {".rela.dyn", SHT_RELA, 1 + SN_LINK_DYNSYM, 8, sizeof(Elf64_Rela)},
    };
    for (size_t i = 0; i < SN_COUNT(tables); i++) {
        const SnLinkRange *r = &s->l->table[i];
        Elf64_Shdr h = {.sh_type = tables[i].type,
                        .sh_flags = SHF_ALLOC,
                        .sh_addr = r->at,
                        .sh_offset = r->at,
                        .sh_size = r->size,
                        .sh_link = tables[i].link,
                        .sh_addralign = tables[i].align,
                        .sh_entsize = tables[i].entry};
        if (i == SN_LINK_VERNEED)
            h.sh_info = s->l->old[i]->h.sh_info;
        if (i == SN_LINK_DYNSYM)
            h.sh_info = 1; /* the first that is not local */
        add_section(s, tables[i].name, h);
    }
}

static void add_runtime(Sections *s)
{
    const SnLink *l = s->l;
    for (size_t i = 0; i < l->rt.nsection; i++) {
        const SnElfSection *section = &l->rt.section[i];
        Elf64_Shdr h = section->h;
        if (!sn_link_is_kept(section))
            continue;
        h.sh_addr = h.sh_offset = h.sh_addr + l->shift;
        h.sh_link = section == l->dynamic ? 1 + SN_LINK_DYNSTR : 0;
        h.sh_info = 0;
        add_section(s, section->name, h);
    }
}

/* Functions and data by name, for debuggers and profilers; strings are those of the runtime, then the
 * object's. */
static void write_symbol_table(SnLink *l, uint32_t *nlocal)
{
    const Elf64_Sym none = {0};
    sn_text_add(&l->tail, (const char *)&none, sizeof none);
    *nlocal = 1;
    for (size_t i = 1; i < l->rt.nsymbol; i++) {
        Elf64_Sym s = sn_elf_symbol(&l->rt, i);
        const unsigned type = ELF64_ST_TYPE(s.st_info);
        if ((type != STT_FUNC && type != STT_OBJECT) || s.st_shndx == SHN_UNDEF ||
            s.st_shndx >= l->rt.nsection || !sn_link_is_kept(&l->rt.section[s.st_shndx]))
            continue;
        s.st_info = (unsigned char)ELF64_ST_INFO(STB_LOCAL, type);
        s.st_shndx = section_of_runtime(l, s.st_shndx);
        s.st_value += l->shift;
        sn_text_add(&l->tail, (const char *)&s, sizeof s);
        ++*nlocal;
    }
    for (size_t i = 1; i < l->o.nsymbol; i++) {
        const Elf64_Sym s = sn_elf_symbol(&l->o, i);
        const unsigned type = ELF64_ST_TYPE(s.st_info);
        if ((type != STT_FUNC && type != STT_OBJECT) || s.st_shndx == SHN_UNDEF ||
            s.st_shndx >= l->o.nsection || l->place[s.st_shndx].kind == SN_LINK_NONE)
            continue;
        Elf64_Sym moved = moved_symbol(l, &s, STB_LOCAL);
        moved.st_name = s.st_name + (Elf64_Word)l->rt.names->bytes.n;
        sn_text_add(&l->tail, (const char *)&moved, sizeof moved);
        ++*nlocal;
    }
}

/* Symbols, strings, section headers. */
static SnStatus write_tail(SnLink *l, uint64_t *headers_at, size_t *nheader)
{
    const uint64_t from = l->weights.size > 0 ? l->weights.at + l->weights.size : l->size;
    const SnAllocator *memory = sn_allocator(l->ctx);
    Sections s = {.l = l, .header = {.memory = memory}, .name = {.memory = memory}};
    const uint64_t base = sn_link_up(from, 8);
    uint32_t nlocal = 0;
    sn_text_add(&l->tail, "\0\0\0\0\0\0\0", (size_t)(base - from));
    add_section(&s, "", (Elf64_Shdr){0});
    add_tables(&s);
    add_runtime(&s);
    add_loaded(&s, ".data.rel.ro.model", SHF_WRITE, 64, &l->kind[SN_LINK_TABLES]);
    add_loaded(&s, ".text.model", SHF_EXECINSTR, 64, &l->kind[SN_LINK_CODE]);
    add_loaded(&s, ".rodata.model", 0, 64, &l->kind[SN_LINK_DATA]);
    add_loaded(&s, ".weights", 0, SN_LINK_PAGE, &l->weights);
    const size_t nloaded = s.header.n / sizeof(Elf64_Shdr);

    Elf64_Shdr symbols = {.sh_type = SHT_SYMTAB,
                          .sh_offset = from + l->tail.n,
                          .sh_link = (Elf64_Word)nloaded + 1,
                          .sh_addralign = 8,
                          .sh_entsize = sizeof(Elf64_Sym)};
    write_symbol_table(l, &nlocal);
    symbols.sh_info = nlocal;
    symbols.sh_size = nlocal * sizeof(Elf64_Sym);
    add_section(&s, ".symtab", symbols);
    Elf64_Shdr names = {.sh_type = SHT_STRTAB,
                        .sh_offset = from + l->tail.n,
                        .sh_size = l->rt.names->bytes.n + l->o.names->bytes.n,
                        .sh_addralign = 1};
    sn_text_add(&l->tail, (const char *)l->rt.names->bytes.at, l->rt.names->bytes.n);
    sn_text_add(&l->tail, (const char *)l->o.names->bytes.at, l->o.names->bytes.n);
    add_section(&s, ".strtab", names);
    names.sh_offset = from + l->tail.n;
    names.sh_size = s.name.n + sizeof ".shstrtab";
    add_section(&s, ".shstrtab", names);
    sn_text_add(&l->tail, s.name.at, s.name.n);
    sn_text_add(&l->tail, "\0\0\0\0\0\0\0", (size_t)(-(from + l->tail.n) % 8));
    *headers_at = from + l->tail.n;
    *nheader = s.header.n / sizeof(Elf64_Shdr);
    sn_text_add(&l->tail, s.header.at, s.header.n);
    const bool ok = !l->tail.failed && !s.name.failed && !s.header.failed;
    sn_text_clear(&s.header);
    sn_text_clear(&s.name);
    return ok ? SN_OK : no_memory(l);
}

/* ---- headers and note ---- */

static void write_headers(SnLink *l, uint64_t sections_at, size_t nsection)
{
    Elf64_Phdr p[MAX_SEGMENTS];
    const size_t n = list_segments(l, p);
    const Elf64_Ehdr h = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_DYN,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof h,
        .e_shoff = sections_at,
        .e_ehsize = sizeof h,
        .e_phentsize = sizeof *p,
        .e_phnum = (Elf64_Half)n,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = (Elf64_Half)nsection,
        .e_shstrndx = (Elf64_Half)(nsection - 1)};
    memcpy(l->at, &h, sizeof h);
    memcpy(l->at + sizeof h, p, n * sizeof *p);
}

static SnStatus write_note(SnLink *l)
{
    const SnLinkInput *in = l->in;
    SnNote note = {.abi = SN_ABI,
                   .levels = in->levels,
                   .size = l->weights.size > 0 ? l->weights.at + l->weights.size : l->size,
                   .weights_at = l->weights.size > 0 ? l->weights.at : 0,
                   .weights_size = l->weights.size,
                   .weights_hash = sn_weights_hash(in->part, in->npart)};
    const uint32_t head[3] = {sizeof SN_NOTE_OWNER, sizeof note, SN_NOTE_TYPE};
    uint8_t *at = table_at(l, SN_LINK_NOTE);
    SN_CHECK(strlen(in->program) < sizeof note.program, l->err, SN_EINVAL, "%s: too long a name",
             in->program);
    memcpy(note.program, in->program, strlen(in->program));
    note.hash = sn_note_hash(sn_bytes(l->at, l->size), &note);
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, SN_NOTE_OWNER, sizeof SN_NOTE_OWNER);
    memcpy(at + NOTE_HEAD, &note, sizeof note);
    return SN_OK;
}

SnStatus sn_link_finish(SnLink *l)
{
    uint64_t nrelative = 0, sections_at = 0;
    size_t nsection = 0;
    SN_TRY(write_symbols(l));
    SN_TRY(write_relocs(l, &nrelative));
    SN_TRY(write_dynamic(l, nrelative));
    SN_TRY(write_tail(l, &sections_at, &nsection));
    write_headers(l, sections_at, nsection);
    return write_note(l);
}
