/* link.c -- NAME.so without a linker: the runtime, the object behind it, the weights at the end.
 *
 * The runtime comes linked: a shared object that exports nothing and whose written pages are all read-only
 * once it is loaded. Its segments keep their distances and move up by whole pages, so that nothing in its
 * code changes; in front of them lie tables for the dynamic linker that are written anew (elf_write.c). An
 * offset in the file is the address everywhere:
 *
 *   R    headers, note, hash table, symbols, versions, relocations
 *   RX R RW   the runtime; behind its last, the object's tables of pointers: read-only after relocation
 *   RX   the object's code
 *   R    the object's constants
 *   R    the weights, from a page on: only 64-bit pointers lead there, so that any size works
 *
 * The object refers to itself, to functions of the runtime and to the weights; anything else is refused.
 *
 * ELF, gabi 4.1; System V ABI, AMD64 supplement, sections 4.4 (relocations) and B.2 (relaxation of
 * GOTPCRELX). */
#include "compiler/aot/link_parts.h"

#include <inttypes.h>

#define MAX_FRONT ((uint64_t)1 << 30)

#define REFUSE_UNLESS(l, cond, ...) SN_CHECK(cond, (l)->err, SN_EFORMAT, __VA_ARGS__)

static SnStatus no_memory(const SnLink *l)
{
    return sn_fail(l->err, SN_ENOMEM, "%s: no memory to link it", l->in->soname);
}

/* ---- the runtime ---- */

static bool old_table(const SnElfSection *s, SnLinkTable *out)
{
    static const struct {
        uint32_t type;
        SnLinkTable table;
    } types[] = {{SHT_NOTE, SN_LINK_NOTE},           {SHT_GNU_HASH, SN_LINK_HASH},
                 {SHT_HASH, SN_LINK_HASH},           {SHT_DYNSYM, SN_LINK_DYNSYM},
                 {SHT_STRTAB, SN_LINK_DYNSTR},       {SHT_GNU_versym, SN_LINK_VERSYM},
                 {SHT_GNU_verneed, SN_LINK_VERNEED}, {SHT_RELA, SN_LINK_RELA}};
    for (size_t i = 0; i < SN_COUNT(types); i++)
        if (s->h.sh_type == types[i].type) {
            *out = types[i].table;
            return true;
        }
    return false;
}

bool sn_link_is_kept(const SnElfSection *s)
{
    SnLinkTable table;
    return (s->h.sh_flags & SHF_ALLOC) != 0 && s->h.sh_size > 0 && !old_table(s, &table);
}

/* Finds the tables; what this linker does not know how to move is refused. */
static SnStatus sort_runtime(SnLink *l)
{
    for (size_t i = 0; i < l->rt.nsection; i++) {
        const SnElfSection *s = &l->rt.section[i];
        SnLinkTable table = SN_LINK_TABLE_COUNT;
        if ((s->h.sh_flags & SHF_ALLOC) == 0 || s->h.sh_size == 0)
            continue;
        REFUSE_UNLESS(l,
                      (s->h.sh_flags & SHF_TLS) == 0 && s->h.sh_type != SHT_NOBITS &&
                          s->h.sh_type != SHT_REL && s->h.sh_type != SHT_INIT_ARRAY &&
                          s->h.sh_type != SHT_FINI_ARRAY,
                      "runtime: cannot take its section %s", s->name);
        if (s->h.sh_type == SHT_DYNAMIC)
            l->dynamic = s;
        if (!old_table(s, &table))
            continue;
        REFUSE_UNLESS(l, table == SN_LINK_NOTE || table == SN_LINK_HASH || l->old[table] == NULL,
                      "runtime: two sections as %s", s->name);
        l->old[table] = s;
    }
    for (int i = SN_LINK_DYNSYM; i < SN_LINK_TABLE_COUNT; i++)
        REFUSE_UNLESS(l, l->old[i] != NULL, "runtime: a table is missing");
    REFUSE_UNLESS(l, l->dynamic != NULL, "runtime: no dynamic section");
    l->nimport = l->old[SN_LINK_DYNSYM]->bytes.n / sizeof(Elf64_Sym);
    REFUSE_UNLESS(l, l->nimport > 0 && l->old[SN_LINK_VERSYM]->bytes.n == l->nimport * sizeof(Elf64_Half),
                  "runtime: bad symbols");
    return SN_OK;
}

bool sn_link_segment(const SnLink *l, size_t i, Elf64_Phdr *out)
{
    memcpy(out, l->rt.file.at + l->rt.h.e_phoff + i * sizeof *out, sizeof *out);
    uint64_t from = UINT64_MAX, to = 0;
    for (size_t k = 0; k < l->rt.nsection && out->p_type == PT_LOAD; k++) {
        const Elf64_Shdr *h = &l->rt.section[k].h;
        if (!sn_link_is_kept(&l->rt.section[k]) || h->sh_addr < out->p_vaddr ||
            h->sh_addr - out->p_vaddr >= out->p_memsz)
            continue;
        from = h->sh_addr < from ? h->sh_addr : from;
        to = h->sh_addr + h->sh_size > to ? h->sh_addr + h->sh_size : to;
    }
    if (from >= to)
        return false;
    out->p_vaddr = from;
    out->p_filesz = out->p_memsz = to - from;
    return true;
}

/* Which addresses stay. The last segment is the only one that is written, and only by the dynamic linker. */
static SnStatus measure_runtime(SnLink *l)
{
    const Elf64_Ehdr *h = &l->rt.h;
    Elf64_Phdr relro = {0}, last = {0};
    REFUSE_UNLESS(l,
                  h->e_phentsize == sizeof relro && h->e_phoff <= l->rt.file.n &&
                      h->e_phnum <= (l->rt.file.n - h->e_phoff) / sizeof relro,
                  "runtime: bad segments");
    l->kept.at = MAX_FRONT;
    for (size_t i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        const bool stays = sn_link_segment(l, i, &p);
        if (p.p_type == PT_GNU_RELRO)
            relro = p;
        if (!stays)
            continue;
        REFUSE_UNLESS(l,
                      p.p_vaddr >= last.p_vaddr + last.p_memsz && p.p_vaddr <= MAX_FRONT &&
                          p.p_memsz <= MAX_FRONT && (last.p_flags & PF_W) == 0,
                      "runtime: cannot move its segments");
        last = p;
        if (l->kept.at == MAX_FRONT)
            l->kept.at = p.p_vaddr;
    }
    REFUSE_UNLESS(l,
                  (last.p_flags & PF_W) != 0 && relro.p_vaddr <= last.p_vaddr &&
                      relro.p_vaddr + relro.p_memsz >= last.p_vaddr + last.p_memsz,
                  "runtime: it has data that is written");
    l->kept.size = last.p_vaddr + last.p_memsz - l->kept.at;
    return SN_OK;
}

static SnStatus name_runtime(SnLink *l)
{
    for (size_t i = 1; i < l->rt.nsymbol; i++) {
        const Elf64_Sym s = sn_elf_symbol(&l->rt, i);
        const unsigned type = ELF64_ST_TYPE(s.st_info);
        if ((type != STT_FUNC && type != STT_OBJECT) || s.st_shndx == SHN_UNDEF ||
            s.st_shndx >= l->rt.nsection || !sn_link_is_kept(&l->rt.section[s.st_shndx]))
            continue;
        const SnBytes name = sn_bytes_str(sn_elf_symbol_name(&l->rt, &s));
        uint32_t known;
        if (!sn_map_put(&l->rt_symbol, name,
                        sn_map_get(&l->rt_symbol, name, &known) ? UINT32_MAX : (uint32_t)i))
            return no_memory(l);
    }
    return SN_OK;
}

/* ---- the object ---- */

/* Unwinding tables and notes stay out: kernels call nothing and throw nothing. */
static SnStatus kind_of(const SnLink *l, const SnElfSection *s, SnLinkKind *out)
{
    *out = SN_LINK_NONE;
    if ((s->h.sh_flags & SHF_ALLOC) == 0 || s->h.sh_size == 0 || s->h.sh_type == SHT_NOTE ||
        strcmp(s->name, ".eh_frame") == 0)
        return SN_OK;
    const bool is_written = (s->h.sh_flags & SHF_WRITE) != 0;
    const bool is_code = (s->h.sh_flags & SHF_EXECINSTR) != 0;
    REFUSE_UNLESS(l,
                  s->h.sh_type == SHT_PROGBITS && (s->h.sh_flags & SHF_TLS) == 0 &&
                      (!is_written || (!is_code && strncmp(s->name, ".data.rel.ro", 12) == 0)),
                  "%s: its section %s is written while it runs", l->in->soname, s->name);
    REFUSE_UNLESS(l, s->h.sh_addralign <= SN_LINK_PAGE && (s->h.sh_addralign & (s->h.sh_addralign - 1)) == 0,
                  "%s: bad alignment", l->in->soname);
    *out = is_written ? SN_LINK_TABLES : is_code ? SN_LINK_CODE : SN_LINK_DATA;
    return SN_OK;
}

static SnStatus sort_object(SnLink *l)
{
    l->place = sn_arena_array(&l->arena, l->o.nsection, sizeof *l->place);
    if (!l->place)
        return no_memory(l);
    for (size_t i = 0; i < l->o.nsection; i++)
        SN_TRY(kind_of(l, &l->o.section[i], &l->place[i].kind));
    for (size_t i = 0; i < l->o.nsection; i++) {
        SnElfRelocs r;
        if (!sn_elf_is_relocs(&l->o.section[i]))
            continue;
        SN_TRY(sn_elf_relocs(&l->o, &l->o.section[i], &r, l->err));
        if (l->place[r.to - l->o.section].kind != SN_LINK_TABLES)
            continue;
        for (size_t k = 0; k < r.n; k++) {
            Elf64_Rela rela;
            SN_TRY(sn_elf_reloc(&l->o, &r, k, &rela, l->err));
            l->max_relative += ELF64_R_TYPE(rela.r_info) == R_X86_64_64;
        }
    }
    l->relative = sn_arena_array(&l->arena, l->max_relative + 1, sizeof *l->relative);
    return l->relative ? SN_OK : no_memory(l);
}

static SnStatus find_exported(SnLink *l)
{
    const size_t n = l->in->nexported;
    l->exported = sn_arena_array(&l->arena, n + 1, sizeof *l->exported);
    l->exported_symbol = sn_arena_array(&l->arena, n + 1, sizeof *l->exported_symbol);
    if (!l->exported || !l->exported_symbol)
        return no_memory(l);
    for (size_t i = 0; i < n; i++) {
        size_t k = 1;
        for (; k < l->o.nsymbol; k++) {
            const Elf64_Sym s = sn_elf_symbol(&l->o, k);
            if (ELF64_ST_BIND(s.st_info) != STB_LOCAL && s.st_shndx != SHN_UNDEF &&
                strcmp(sn_elf_symbol_name(&l->o, &s), l->in->exported[i]) == 0)
                break;
        }
        REFUSE_UNLESS(l, k < l->o.nsymbol, "%s: %s is not defined", l->in->soname, l->in->exported[i]);
        l->exported_symbol[i] = k;
    }
    return SN_OK;
}

/* ---- addresses ---- */

static uint64_t place_kind(SnLink *l, SnLinkKind kind, uint64_t at)
{
    l->kind[kind].at = at;
    for (size_t i = 0; i < l->o.nsection; i++) {
        const Elf64_Shdr *h = &l->o.section[i].h;
        if (l->place[i].kind != kind)
            continue;
        l->place[i].at = sn_link_up(at, h->sh_addralign > 1 ? h->sh_addralign : 1);
        at = l->place[i].at + h->sh_size;
    }
    l->kind[kind].size = at - l->kind[kind].at;
    return at;
}

/* Sizes are those of sections inside of files in memory: sums of a few do not overflow. */
static SnStatus place_all(SnLink *l)
{
    SN_TRY(sn_link_measure(l));
    uint64_t at = l->head_size;
    for (int i = 0; i < SN_LINK_TABLE_COUNT; i++) {
        l->table[i].at = sn_link_up(at, i == SN_LINK_NOTE ? 4 : 8);
        at = l->table[i].at + l->table[i].size;
    }
    l->shift = sn_link_up(at, SN_LINK_PAGE) - l->kept.at / SN_LINK_PAGE * SN_LINK_PAGE;
    at = l->kept.at + l->kept.size + l->shift;
    at = place_kind(l, SN_LINK_TABLES, sn_link_up(at, 64));
    at = place_kind(l, SN_LINK_CODE, sn_link_up(at, SN_LINK_PAGE));
    at = place_kind(l, SN_LINK_DATA, sn_link_up(at, SN_LINK_PAGE));
    l->weights.at = sn_link_up(at, SN_LINK_PAGE);
    for (size_t i = 0; i < l->in->npart; i++)
        l->weights.size += l->in->part[i].n;
    SN_CHECK(l->weights.at <= MAX_FRONT, l->err, SN_EUNSUPPORTED,
             "%s: %" PRIu64 " bytes of code and tables, of which there can be %" PRIu64, l->in->soname,
             l->weights.at, MAX_FRONT);
    l->size = l->weights.size > 0 ? l->weights.at : at;
    l->at = sn_arena_array(&l->arena, l->size, 1);
    return l->at ? SN_OK : no_memory(l);
}

static void copy_all(SnLink *l)
{
    for (size_t i = 0; i < l->rt.nsection; i++) {
        const SnElfSection *section = &l->rt.section[i];
        if (sn_link_is_kept(section))
            memcpy(l->at + section->h.sh_addr + l->shift, section->bytes.at, section->bytes.n);
    }
    for (size_t i = 0; i < l->o.nsection; i++)
        if (l->place[i].kind != SN_LINK_NONE)
            memcpy(l->at + l->place[i].at, l->o.section[i].bytes.at, l->o.section[i].bytes.n);
}

/* ---- symbols and relocations ---- */

static SnStatus outer_symbol(const SnLink *l, const char *name, uint64_t *out)
{
    uint32_t i;
    if (l->in->weights && strcmp(name, l->in->weights) == 0) {
        *out = l->weights.at;
        return SN_OK;
    }
    REFUSE_UNLESS(l, sn_map_get(&l->rt_symbol, sn_bytes_str(name), &i), "%s: the runtime has no %.100s",
                  l->in->soname, name);
    REFUSE_UNLESS(l, i != UINT32_MAX, "%s: the runtime has more than one %.100s", l->in->soname, name);
    *out = sn_elf_symbol(&l->rt, i).st_value + l->shift;
    return SN_OK;
}

static SnStatus symbol_value(const SnLink *l, size_t i, uint64_t *out)
{
    const Elf64_Sym s = sn_elf_symbol(&l->o, i);
    const char *name = sn_elf_symbol_name(&l->o, &s);
    const unsigned type = ELF64_ST_TYPE(s.st_info);
    REFUSE_UNLESS(l, type != STT_TLS && type != STT_GNU_IFUNC, "%s: %.100s is chosen when it is loaded",
                  l->in->soname, name);
    if (s.st_shndx == SHN_UNDEF)
        return outer_symbol(l, name, out);
    REFUSE_UNLESS(l,
                  s.st_shndx < l->o.nsection && l->place[s.st_shndx].kind != SN_LINK_NONE &&
                      s.st_value <= l->o.section[s.st_shndx].bytes.n,
                  "%s: %.100s lies in no section", l->in->soname, name);
    *out = l->place[s.st_shndx].at + s.st_value;
    return SN_OK;
}

/* A load of an address, a call or a jump through a table becomes one without: the bytes before the operand.
 * *at is where the operand is then. */
static bool relax(uint8_t *code, uint64_t *at)
{
    uint8_t *op = code + *at - 2;
    if (op[0] == 0x8b && (op[1] & 0xc7) == 0x05) { /* mov symbol@GOTPCREL(%rip), %reg ▶ lea */
        op[0] = 0x8d;
    } else if (op[0] == 0xff && op[1] == 0x15) { /* call *symbol@GOTPCREL(%rip) ▶ addr32 call */
        op[0] = 0x67;
        op[1] = 0xe8;
    } else if (op[0] == 0xff && op[1] == 0x25) { /* jmp *symbol@GOTPCREL(%rip) ▶ jmp; nop */
        op[0] = 0xe9;
        op[5] = 0x90;
        --*at;
    } else {
        return false;
    }
    return true;
}

static SnStatus put_near(SnLink *l, uint64_t at, int64_t value, const char *name)
{
    const int32_t near = (int32_t)value;
    SN_CHECK(near == value, l->err, SN_EUNSUPPORTED, "%s: %.100s is too far from what uses it", l->in->soname,
             name);
    memcpy(l->at + at, &near, sizeof near);
    return SN_OK;
}

static SnStatus relocate(SnLink *l, const SnLinkPlace *to, const Elf64_Rela *r)
{
    const Elf64_Sym symbol = sn_elf_symbol(&l->o, ELF64_R_SYM(r->r_info));
    const char *name = sn_elf_symbol_name(&l->o, &symbol);
    const uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    uint64_t value, at = to->at + r->r_offset;
    SN_TRY(symbol_value(l, ELF64_R_SYM(r->r_info), &value));
    value += (uint64_t)r->r_addend;
    switch (type) {
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
        return put_near(l, at, (int64_t)(value - at), name);
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
        REFUSE_UNLESS(l, to->kind == SN_LINK_CODE && r->r_offset >= 2 && relax(l->at, &at),
                      "%s: cannot relocate the use of %.100s", l->in->soname, name);
        return put_near(l, at, (int64_t)(value - at), name);
    case R_X86_64_PC64:
        value -= at;
        memcpy(l->at + at, &value, sizeof value);
        return SN_OK;
    case R_X86_64_64:
        REFUSE_UNLESS(l, to->kind == SN_LINK_TABLES && l->nrelative < l->max_relative,
                      "%s: a pointer to %.100s where it cannot be written", l->in->soname, name);
        l->relative[l->nrelative++] = (Elf64_Rela){at, ELF64_R_INFO(0, R_X86_64_RELATIVE), (int64_t)value};
        return SN_OK;
    default:
        return sn_fail(l->err, SN_EFORMAT, "%s: relocation of type %u by %.100s", l->in->soname,
                       (unsigned)type, name);
    }
}

static SnStatus relocate_all(SnLink *l)
{
    for (size_t i = 0; i < l->o.nsection; i++) {
        SnElfRelocs r;
        if (!sn_elf_is_relocs(&l->o.section[i]))
            continue;
        SN_TRY(sn_elf_relocs(&l->o, &l->o.section[i], &r, l->err));
        const SnLinkPlace *to = &l->place[r.to - l->o.section];
        for (size_t k = 0; k < (to->kind != SN_LINK_NONE ? r.n : 0); k++) {
            Elf64_Rela rela;
            SN_TRY(sn_elf_reloc(&l->o, &r, k, &rela, l->err));
            SN_TRY(relocate(l, to, &rela));
        }
    }
    for (size_t i = 0; i < l->in->nexported; i++)
        SN_TRY(symbol_value(l, l->exported_symbol[i], &l->exported[i]));
    return SN_OK;
}

/* ---- all of it ---- */

static SnStatus write_file(SnLink *l, const char *path)
{
    SnBytes *part = sn_arena_array(&l->arena, l->in->npart + 2, sizeof *part);
    if (!part)
        return no_memory(l);
    part[0] = sn_bytes(l->at, l->size);
    if (l->in->npart > 0)
        memcpy(part + 1, l->in->part, l->in->npart * sizeof *part);
    part[l->in->npart + 1] = sn_bytes(l->tail.at, l->tail.n);
    return sn_file_write(l->ctx, path, part, l->in->npart + 2, l->err);
}

static SnStatus link_all(SnLink *l, const char *path)
{
    const SnEmbedded *rt = &sn_embedded_runtime[0];
    SN_TRY(sn_elf_read(&l->arena, "runtime", sn_bytes(rt->at, (size_t)rt->size), ET_DYN, &l->rt, l->err));
    SN_TRY(sn_elf_read(&l->arena, l->in->soname, l->in->object, ET_REL, &l->o, l->err));
    SN_TRY(sort_runtime(l));
    SN_TRY(measure_runtime(l));
    SN_TRY(name_runtime(l));
    SN_TRY(sort_object(l));
    SN_TRY(find_exported(l));
    SN_TRY(place_all(l));
    copy_all(l);
    SN_TRY(relocate_all(l));
    SN_TRY(sn_link_finish(l));
    return write_file(l, path);
}

SnStatus sn_link_shared(SnContext *ctx, const SnLinkInput *in, const char *path, SnError *err)
{
    SnLink l = {.ctx = ctx, .in = in, .err = err, .tail = {.memory = sn_allocator(ctx)}};
    sn_arena_init(&l.arena, sn_allocator(ctx));
    sn_map_init(&l.rt_symbol, sn_allocator(ctx));
    const SnStatus st = link_all(&l, path);
    sn_text_clear(&l.tail);
    sn_map_clear(&l.rt_symbol);
    sn_arena_clear(&l.arena);
    return st;
}
