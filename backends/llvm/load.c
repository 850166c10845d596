/* load.c -- maps the code of a relocatable x86-64 ELF object; nothing here needs LLVM.
 *
 * Objects come from the disk cache: elf_read.h checks their form. What is taken: sections that
 * are loaded and not written (code, constants), zeroed ones not; relocations that are relative to code. A
 * symbol that the object does not define is refused, which also refuses calls into libraries. Pages are
 * written first and made read-only or executable then, never both.
 *
 * System V ABI, AMD64 supplement, section 4.4 (relocations). */
#include "backends/llvm/llvm.h"

#include "compiler/aot/elf_read.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_IMAGE ((size_t)256 << 20)
#define MAX_ALIGN 4096u

typedef struct Placed { /* a section */
    size_t at;          /* in the image */
    bool is_mapped;
} Placed;

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
    SnElf elf;
    SnArena arena;
    Placed *placed; /* one for each section */
    size_t code_at, page;
    SnError *err;
} Loader;

#define REFUSE_UNLESS(l, cond, what) SN_CHECK(cond, (l)->err, SN_EFORMAT, "kernel object: %s", what)

/* ---- the image ---- */

static bool is_code(const SnElfSection *s)
{
    return (s->h.sh_flags & SHF_EXECINSTR) != 0;
}

/* What the linker would drop or only a debugger reads stays out: unwinding tables, notes. */
static bool is_wanted(const SnElfSection *s)
{
    return s->h.sh_type == SHT_PROGBITS && (s->h.sh_flags & SHF_ALLOC) != 0;
}

static SnStatus place_sections(Loader *l, bool code, size_t *end)
{
    for (size_t i = 0; i < l->elf.nsection; i++) {
        const SnElfSection *s = &l->elf.section[i];
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
        l->placed[i] = (Placed){at, true};
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
    for (size_t i = 0; i < l->elf.nsection; i++) {
        const SnBytes b = l->elf.section[i].bytes;
        if (l->placed[i].is_mapped && b.n > 0)
            memcpy(c->image + l->placed[i].at, b.at, b.n);
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

/* Offset in the image. */
static SnStatus symbol_value(const Loader *l, size_t i, int64_t *out)
{
    const Elf64_Sym s = sn_elf_symbol(&l->elf, i);
    SN_CHECK(s.st_shndx != SHN_UNDEF, l->err, SN_EFORMAT, "kernel object: %.100s is not defined",
             sn_elf_symbol_name(&l->elf, &s));
    REFUSE_UNLESS(l, s.st_shndx < l->elf.nsection && l->placed[s.st_shndx].is_mapped, "symbol of no section");
    REFUSE_UNLESS(l, s.st_value <= l->elf.section[s.st_shndx].bytes.n, "symbol outside of its section");
    *out = (int64_t)(l->placed[s.st_shndx].at + (size_t)s.st_value);
    return SN_OK;
}

static SnStatus relocate(Loader *l, size_t to, const Elf64_Rela *r)
{
    int64_t value;
    SN_TRY(symbol_value(l, (size_t)ELF64_R_SYM(r->r_info), &value));
    const uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    SN_CHECK(type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64, l->err, SN_EFORMAT,
             "kernel object: relocation of type %u", (unsigned)type);
    const size_t at = to + (size_t)r->r_offset;
    REFUSE_UNLESS(l, r->r_addend >= -(int64_t)MAX_IMAGE && r->r_addend <= (int64_t)MAX_IMAGE,
                  "relocation too far");
    /* Inside of the image: code may not reach beyond it. An addend of -4 belongs to the instruction's end. */
    const int64_t target = value + r->r_addend;
    REFUSE_UNLESS(l, target >= -8 && target <= (int64_t)l->code->size, "relocation out of the image");
    const int64_t delta = target - (int64_t)at;
    const int32_t near = (int32_t)delta;
    if (sn_elf_reloc_size(type) == sizeof delta)
        memcpy(l->code->image + at, &delta, sizeof delta);
    else
        memcpy(l->code->image + at, &near, sizeof near);
    return SN_OK;
}

static SnStatus relocate_all(Loader *l)
{
    const SnElf *e = &l->elf;
    for (size_t i = 0; i < e->nsection; i++) {
        SnElfRelocs r;
        if (!sn_elf_is_relocs(&e->section[i]))
            continue;
        SN_TRY(sn_elf_relocs(e, &e->section[i], &r, l->err));
        const Placed *to = &l->placed[r.to - e->section];
        for (size_t k = 0; k < (to->is_mapped ? r.n : 0); k++) {
            Elf64_Rela rela;
            SN_TRY(sn_elf_reloc(e, &r, k, &rela, l->err));
            SN_TRY(relocate(l, to->at, &rela));
        }
    }
    return SN_OK;
}

static SnStatus list_functions(Loader *l)
{
    SnObjectCode *c = l->code;
    const SnElf *e = &l->elf;
    c->fn = (Function *)sn_arena_array(&c->arena, e->nsymbol, sizeof *c->fn);
    SN_CHECK(c->fn != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
    for (size_t i = 0; i < e->nsymbol; i++) {
        const Elf64_Sym s = sn_elf_symbol(e, i);
        if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || ELF64_ST_BIND(s.st_info) != STB_GLOBAL)
            continue;
        int64_t at;
        SN_TRY(symbol_value(l, i, &at));
        REFUSE_UNLESS(l, is_code(&e->section[s.st_shndx]) && (size_t)at < c->size,
                      "function that is no code");
        const char *name = sn_elf_symbol_name(e, &s);
        c->fn[c->nfn] = (Function){sn_arena_strndup(&c->arena, name, strlen(name)), c->image + at};
        SN_CHECK(c->fn[c->nfn].name != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
        c->nfn++;
    }
    return SN_OK;
}

static SnStatus load(Loader *l, SnBytes object)
{
    SN_TRY(sn_elf_read(&l->arena, "kernel object", object, ET_REL, &l->elf, l->err));
    l->placed = (Placed *)sn_arena_array(&l->arena, l->elf.nsection, sizeof *l->placed);
    SN_CHECK(l->placed != NULL, l->err, SN_ENOMEM, "no memory for a kernel object");
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
    Loader l = {.code = c, .page = page > 0 ? (size_t)page : MAX_ALIGN, .err = err};
    sn_arena_init(&l.arena, a);
    const SnStatus st = load(&l, object);
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
