/* load.c -- maps the code of a relocatable x86-64 ELF object; nothing here needs LLVM.
 *
 * Objects come from the disk cache, so every field is checked before it is used. What is taken: sections that
 * are loaded and not written (code, constants), zeroed ones not; relocations that are relative to code. A
 * symbol that the object does not define is refused, which also refuses calls into libraries. Pages are
 * written first and made read-only or executable then, never both.
 *
 * System V ABI, AMD64 supplement, section 4.4 (relocations); ELF, gabi 4.1. */
#include "backends/llvm/llvm.h"

#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_SECTIONS 4096u
#define MAX_SYMBOLS  (1u << 20)
#define MAX_IMAGE    ((size_t)256 << 20)
#define MAX_ALIGN    4096u

typedef struct Section {
    Elf64_Shdr h;
    SnBytes bytes; /* in the object */
    size_t at;     /* in the image */
    bool is_mapped;
} Section;

typedef struct Function {
    const char *name;
    uint8_t *at;
} Function;

struct SnObjectCode {
    const SnAllocator *memory;
    SnArena arena; /* functions and their names */
    Function *fn;
    size_t nfn;
    uint8_t *image; /* constants, then from a page on code */
    size_t size;
};

typedef struct Loader {
    SnObjectCode *code;
    SnBytes object;
    SnArena arena;
    Section *section;
    size_t nsection;
    const Section *symbols, *names; /* the symbol table and its strings */
    size_t nsymbol;
    size_t code_at, page;
    SnError *err;
} Loader;

#define REFUSE_UNLESS(l, cond, what) SN_CHECK(cond, (l)->err, SN_EFORMAT, "kernel object: %s", what)

/* ---- reading ---- */

static SnBytes view(SnBytes b, uint64_t offset, uint64_t n)
{
    if (offset > b.n || n > b.n - offset)
        return sn_bytes(NULL, 0);
    return sn_bytes(b.at + offset, (size_t)n);
}

static SnStatus read_header(Loader *l, Elf64_Ehdr *h)
{
    const SnBytes b = view(l->object, 0, sizeof *h);
    REFUSE_UNLESS(l, b.at != NULL, "no header");
    memcpy(h, b.at, sizeof *h);
    REFUSE_UNLESS(l, memcmp(h->e_ident, ELFMAG, SELFMAG) == 0, "no ELF file");
    REFUSE_UNLESS(l, h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_ident[EI_DATA] == ELFDATA2LSB,
                  "not 64-bit little-endian");
    REFUSE_UNLESS(l, h->e_type == ET_REL && h->e_machine == EM_X86_64, "not relocatable x86-64 code");
    REFUSE_UNLESS(l, h->e_shentsize == sizeof(Elf64_Shdr) && h->e_shnum > 0 && h->e_shnum <= MAX_SECTIONS,
                  "bad section table");
    return SN_OK;
}

static SnStatus read_sections(Loader *l)
{
    Elf64_Ehdr h;
    SN_TRY(read_header(l, &h));
    const SnBytes table = view(l->object, h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr));
    REFUSE_UNLESS(l, table.at != NULL, "section table outside of the file");
    l->nsection = h.e_shnum;
    l->section = (Section *)sn_arena_array(&l->arena, l->nsection, sizeof *l->section);
    SN_CHECK(l->section != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
    for (size_t i = 0; i < l->nsection; i++) {
        Section *s = &l->section[i];
        memcpy(&s->h, table.at + i * sizeof s->h, sizeof s->h);
        if (s->h.sh_type == SHT_NULL || s->h.sh_type == SHT_NOBITS)
            continue;
        s->bytes = view(l->object, s->h.sh_offset, s->h.sh_size);
        REFUSE_UNLESS(l, s->bytes.at != NULL, "section outside of the file");
    }
    return SN_OK;
}

static SnStatus find_symbols(Loader *l)
{
    for (size_t i = 0; i < l->nsection; i++) {
        const Section *s = &l->section[i];
        if (s->h.sh_type != SHT_SYMTAB)
            continue;
        REFUSE_UNLESS(l,
                      l->symbols == NULL && s->h.sh_entsize == sizeof(Elf64_Sym) &&
                          s->bytes.n % sizeof(Elf64_Sym) == 0 && s->h.sh_link < l->nsection,
                      "bad symbol table");
        l->symbols = s;
        l->nsymbol = s->bytes.n / sizeof(Elf64_Sym);
        l->names = &l->section[s->h.sh_link];
    }
    REFUSE_UNLESS(l, l->symbols != NULL && l->nsymbol <= MAX_SYMBOLS, "no symbol table");
    /* Names end inside of the table. */
    REFUSE_UNLESS(l,
                  l->names->h.sh_type == SHT_STRTAB && l->names->bytes.n > 0 &&
                      l->names->bytes.at[l->names->bytes.n - 1] == 0,
                  "bad symbol names");
    return SN_OK;
}

/* ---- the image ---- */

static bool is_code(const Section *s)
{
    return (s->h.sh_flags & SHF_EXECINSTR) != 0;
}

/* What the linker would drop or only a debugger reads stays out: unwinding tables, notes. */
static bool is_wanted(const Section *s)
{
    return s->h.sh_type == SHT_PROGBITS && (s->h.sh_flags & SHF_ALLOC) != 0;
}

static SnStatus place_sections(Loader *l, bool code, size_t *end)
{
    for (size_t i = 0; i < l->nsection; i++) {
        Section *s = &l->section[i];
        if (!is_wanted(s) || is_code(s) != code)
            continue;
        const uint64_t align = s->h.sh_addralign;
        REFUSE_UNLESS(l, (s->h.sh_flags & SHF_WRITE) == 0, "writable section");
        REFUSE_UNLESS(l, align <= MAX_ALIGN && (align & (align - 1)) == 0, "bad alignment");
        size_t at;
        REFUSE_UNLESS(l,
                      sn_align_size(*end, align > 1 ? (size_t)align : 1, &at) && s->bytes.n <= MAX_IMAGE &&
                          at <= MAX_IMAGE - s->bytes.n,
                      "too large");
        s->at = at;
        s->is_mapped = true;
        *end = at + s->bytes.n;
    }
    return SN_OK;
}

static SnStatus map_image(Loader *l)
{
    SnObjectCode *c = l->code;
    size_t end = 0;
    SN_TRY(place_sections(l, false, &end));
    REFUSE_UNLESS(l, sn_align_size(end, l->page, &l->code_at), "too large");
    end = l->code_at;
    SN_TRY(place_sections(l, true, &end));
    REFUSE_UNLESS(l, end > l->code_at, "no code");
    REFUSE_UNLESS(l, sn_align_size(end, l->page, &c->size), "too large");
    void *image = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SN_CHECK(image != MAP_FAILED, l->err, SN_ENOMEM, "no memory for %zu bytes of code: %s", c->size,
             strerror(errno));
    c->image = (uint8_t *)image;
    for (size_t i = 0; i < l->nsection; i++) {
        const Section *s = &l->section[i];
        if (s->is_mapped && s->bytes.n > 0)
            memcpy(c->image + s->at, s->bytes.at, s->bytes.n);
    }
    return SN_OK;
}

static SnStatus protect_image(Loader *l)
{
    SnObjectCode *c = l->code;
    const bool is_done = (l->code_at == 0 || mprotect(c->image, l->code_at, PROT_READ) == 0) &&
                         mprotect(c->image + l->code_at, c->size - l->code_at, PROT_READ | PROT_EXEC) == 0;
    SN_CHECK(is_done, l->err, SN_EUNSUPPORTED, "this system does not let memory become code: %s",
             strerror(errno));
    return SN_OK;
}

/* ---- symbols and relocations ---- */

static Elf64_Sym symbol_at(const Loader *l, size_t i)
{
    Elf64_Sym s;
    memcpy(&s, l->symbols->bytes.at + i * sizeof s, sizeof s);
    return s;
}

static const char *symbol_name(const Loader *l, const Elf64_Sym *s)
{
    return s->st_name < l->names->bytes.n ? (const char *)l->names->bytes.at + s->st_name : "?";
}

/* Offset in the image. */
static SnStatus symbol_value(const Loader *l, size_t i, int64_t *out)
{
    REFUSE_UNLESS(l, i < l->nsymbol, "relocation by no symbol");
    const Elf64_Sym s = symbol_at(l, i);
    SN_CHECK(s.st_shndx != SHN_UNDEF, l->err, SN_EFORMAT, "kernel object: %.100s is not defined",
             symbol_name(l, &s));
    REFUSE_UNLESS(l, s.st_shndx < l->nsection && l->section[s.st_shndx].is_mapped, "symbol of no section");
    const Section *section = &l->section[s.st_shndx];
    REFUSE_UNLESS(l, s.st_value <= section->bytes.n, "symbol outside of its section");
    *out = (int64_t)(section->at + (size_t)s.st_value);
    return SN_OK;
}

static SnStatus relocate(Loader *l, const Section *to, const Elf64_Rela *r)
{
    int64_t value;
    SN_TRY(symbol_value(l, (size_t)ELF64_R_SYM(r->r_info), &value));
    const uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    const size_t size = type == R_X86_64_PC64 ? 8 : 4;
    SN_CHECK(type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64, l->err, SN_EFORMAT,
             "kernel object: relocation of type %u", (unsigned)type);
    REFUSE_UNLESS(l, r->r_offset <= to->bytes.n && to->bytes.n - (size_t)r->r_offset >= size,
                  "relocation outside of its section");
    const size_t at = to->at + (size_t)r->r_offset;
    REFUSE_UNLESS(l, r->r_addend >= -(int64_t)MAX_IMAGE && r->r_addend <= (int64_t)MAX_IMAGE,
                  "relocation too far");
    /* Inside of the image: code may not reach beyond it. An addend of -4 belongs to the instruction's end. */
    const int64_t target = value + r->r_addend;
    REFUSE_UNLESS(l, target >= -8 && target <= (int64_t)l->code->size, "relocation out of the image");
    const int64_t delta = target - (int64_t)at;
    const int32_t near = (int32_t)delta;
    if (size == 8)
        memcpy(l->code->image + at, &delta, sizeof delta);
    else
        memcpy(l->code->image + at, &near, sizeof near);
    return SN_OK;
}

static SnStatus relocate_all(Loader *l)
{
    for (size_t i = 0; i < l->nsection; i++) {
        const Section *s = &l->section[i];
        if (s->h.sh_type != SHT_RELA && s->h.sh_type != SHT_REL)
            continue;
        REFUSE_UNLESS(l, s->h.sh_info < l->nsection, "relocations of no section");
        const Section *to = &l->section[s->h.sh_info];
        if (!to->is_mapped)
            continue;
        REFUSE_UNLESS(l,
                      s->h.sh_type == SHT_RELA && s->h.sh_entsize == sizeof(Elf64_Rela) &&
                          s->bytes.n % sizeof(Elf64_Rela) == 0 &&
                          &l->section[s->h.sh_link % l->nsection] == l->symbols,
                      "bad relocations");
        for (size_t at = 0; at < s->bytes.n; at += sizeof(Elf64_Rela)) {
            Elf64_Rela r;
            memcpy(&r, s->bytes.at + at, sizeof r);
            SN_TRY(relocate(l, to, &r));
        }
    }
    return SN_OK;
}

static SnStatus list_functions(Loader *l)
{
    SnObjectCode *c = l->code;
    c->fn = (Function *)sn_arena_array(&c->arena, l->nsymbol, sizeof *c->fn);
    SN_CHECK(c->fn != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
    for (size_t i = 0; i < l->nsymbol; i++) {
        const Elf64_Sym s = symbol_at(l, i);
        if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || ELF64_ST_BIND(s.st_info) != STB_GLOBAL)
            continue;
        int64_t at;
        SN_TRY(symbol_value(l, i, &at));
        REFUSE_UNLESS(l, is_code(&l->section[s.st_shndx]) && (size_t)at < c->size,
                      "function that is no code");
        const char *name = symbol_name(l, &s);
        c->fn[c->nfn] = (Function){sn_arena_strndup(&c->arena, name, strlen(name)), c->image + at};
        SN_CHECK(c->fn[c->nfn].name != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
        c->nfn++;
    }
    return SN_OK;
}

static SnStatus load(Loader *l)
{
    SN_TRY(read_sections(l));
    SN_TRY(find_symbols(l));
    SN_TRY(map_image(l));
    SN_TRY(relocate_all(l));
    SN_TRY(list_functions(l));
    return protect_image(l);
}

SnStatus sn_object_open(SnContext *ctx, SnBytes object, SnObjectCode **out, SnError *err)
{
    const SnAllocator *a = sn_allocator(ctx);
    SnObjectCode *c = (SnObjectCode *)sn_alloc_zero(a, sizeof *c, _Alignof(SnObjectCode));
    SN_CHECK(c != NULL, err, SN_ENOMEM, "no memory for a kernel object");
    c->memory = a;
    sn_arena_init(&c->arena, a);
    const long page = sysconf(_SC_PAGESIZE);
    Loader l = {.code = c, .object = object, .page = page > 0 ? (size_t)page : MAX_ALIGN, .err = err};
    sn_arena_init(&l.arena, a);
    const SnStatus st = load(&l);
    sn_arena_clear(&l.arena);
    if (st == SN_OK)
        *out = c;
    else
        sn_object_close(c);
    return st;
}

SnKernelFn *sn_object_find(const SnObjectCode *c, const char *symbol)
{
    for (size_t i = 0; i < c->nfn; i++) {
        if (strcmp(c->fn[i].name, symbol) != 0)
            continue;
        /* A pointer to data and one to a function convert by their bits only. */
        SnKernelFn *fn;
        memcpy(&fn, &c->fn[i].at, sizeof fn);
        return fn;
    }
    return NULL;
}

void sn_object_close(SnObjectCode *c)
{
    if (c == NULL)
        return;
    if (c->image != NULL)
        (void)munmap(c->image, c->size);
    sn_arena_clear(&c->arena);
    sn_free(c->memory, c, sizeof *c, _Alignof(SnObjectCode));
}
