/* archive.c -- NAME.a: the object with its weights, the objects of the runtime, and an index of what they
 * define.
 *
 * An archive is a row of files, each behind a head of 60 characters. The first, "/", is the index: for each
 * symbol the offset of the file that defines it, then the names. The second, "//", has names of files that
 * are too long for heads. The object with the weights is the last one, so that 32 bits are enough for
 * offsets.
 *
 * Two archives go into one program: a linker takes a file for a symbol that nothing defines yet, so the
 * second archive's runtime gives only what the first one's did not. System V ABI, section 7 (archive file).
 */
#include "compiler/aot/elf_read.h"
#include "compiler/aot/link.h"

#include <inttypes.h>
#include <stdio.h>

#define MAGIC    "!<arch>\n"
#define HEAD     60u
#define MAX_NAME 15u                  /* characters in a head; "/" ends it */
#define MAX_FILE UINT64_C(9999999999) /* ten digits */

typedef struct File {
    const char *name;
    const SnBytes *part;
    size_t npart;
    uint64_t size, at; /* at: of its head, in the archive */
    size_t nsymbol;
} File;

typedef struct Archive {
    const SnLinkInput *in;
    const SnAllocator *memory;
    SnError *err;
    SnArena arena;
    File *file;
    size_t nfile;
    SnText index, symbols, names; /* the index; names of symbols; of files */
    SnText head;                  /* all heads, one behind the other */
} Archive;

static SnStatus no_memory(const Archive *a)
{
    return sn_fail(a->err, SN_ENOMEM, "%s: no memory for an archive", a->in->soname);
}

/* ---- what is in it ---- */

static SnStatus list_symbols(Archive *a, File *f, SnBytes object)
{
    SnElf e;
    SN_TRY(sn_elf_read(&a->arena, f->name, object, ET_REL, &e, a->err));
    for (size_t i = 0; i < e.nsymbol; i++) {
        const Elf64_Sym s = sn_elf_symbol(&e, i);
        const char *name = sn_elf_symbol_name(&e, &s);
        if (ELF64_ST_BIND(s.st_info) == STB_LOCAL || s.st_shndx == SHN_UNDEF)
            continue;
        sn_text_add(&a->symbols, name, strlen(name) + 1);
        f->nsymbol++;
    }
    return SN_OK;
}

static SnStatus list_files(Archive *a)
{
    size_t n = 0;
    while (sn_embedded_runtime[n].name)
        n++;
    a->file = sn_arena_array(&a->arena, n, sizeof *a->file);
    SnBytes *whole = sn_arena_array(&a->arena, n, sizeof *whole);
    if (!a->file || !whole)
        return no_memory(a);
    a->nfile = n;
    for (size_t i = 0; i + 1 < n; i++) {
        const SnEmbedded *from = &sn_embedded_runtime[1 + i];
        whole[i] = sn_bytes(from->at, (size_t)from->size);
        a->file[i] = (File){.name = from->name, .part = &whole[i], .npart = 1, .size = from->size};
        SN_TRY(list_symbols(a, &a->file[i], whole[i]));
    }
    File *own = &a->file[n - 1];
    SnBytes *part = NULL;
    own->name = sn_arena_printf(&a->arena, "%s.o", a->in->soname);
    if (!own->name)
        return no_memory(a);
    SN_TRY(sn_link_parts(&a->arena, a->in, &part, &own->npart, a->err));
    own->part = part;
    for (size_t i = 0; i < own->npart; i++)
        own->size += part[i].n;
    SN_CHECK(own->size <= MAX_FILE, a->err, SN_EUNSUPPORTED,
             "%s: an archive holds at most %" PRIu64 " bytes of an object, this one has %" PRIu64
             ": put the weights beside, or write a .so",
             a->in->soname, MAX_FILE, own->size);
    return list_symbols(a, own, a->in->object);
}

/* ---- heads and index ---- */

static void add_head(Archive *a, const char *name, uint64_t size)
{
    sn_text_printf(&a->head, "%-16s%-12u%-6u%-6u%-8u%-10" PRIu64 "`\n", name, 0U, 0U, 0U, 644U, size);
}

static uint64_t even(uint64_t n)
{
    return n + n % 2;
}

static void add_file_head(Archive *a, const File *f)
{
    char name[24];
    const size_t n = strlen(f->name);
    if (n <= MAX_NAME) {
        (void)snprintf(name, sizeof name, "%s/", f->name);
    } else {
        (void)snprintf(name, sizeof name, "/%zu", a->names.n);
        sn_text_printf(&a->names, "%s/\n", f->name);
    }
    add_head(a, name, f->size);
}

static void add_number(SnText *t, uint64_t v)
{
    const char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    sn_text_add(t, bytes, sizeof bytes);
}

/* Offsets depend on the length of the index, which depends on counts only. */
static SnStatus make_index(Archive *a)
{
    size_t nsymbol = 0;
    for (size_t i = 0; i < a->nfile; i++)
        nsymbol += a->file[i].nsymbol;
    if (a->names.n % 2 != 0)
        sn_text_add(&a->names, "\n", 1);
    if ((a->symbols.n + 4 * (nsymbol + 1)) % 2 != 0)
        sn_text_add(&a->symbols, "", 1);
    const uint64_t index_size = 4 * (nsymbol + 1) + a->symbols.n;
    uint64_t at = sizeof MAGIC - 1 + HEAD + index_size + HEAD + a->names.n;
    add_number(&a->index, nsymbol);
    for (size_t i = 0; i < a->nfile; i++) {
        SN_CHECK(at <= UINT32_MAX, a->err, SN_EUNSUPPORTED, "%s: an archive too large", a->in->soname);
        for (size_t k = 0; k < a->file[i].nsymbol; k++)
            add_number(&a->index, at);
        at += HEAD + even(a->file[i].size);
    }
    sn_text_add(&a->index, a->symbols.at, a->symbols.n);
    return SN_OK;
}

/* ---- all of it ---- */

static SnStatus write_archive(Archive *a, SnContext *ctx, const char *path)
{
    size_t n = 5, k = 0;
    for (size_t i = 0; i < a->nfile; i++)
        n += a->file[i].npart + 2;
    SnBytes *part = sn_arena_array(&a->arena, n, sizeof *part);
    if (!part || a->head.failed || a->index.failed || a->symbols.failed || a->names.failed)
        return no_memory(a);
    const char *head = a->head.at; /* of the files in order, then of the index and of the names */
    part[k++] = sn_bytes(MAGIC, sizeof MAGIC - 1);
    part[k++] = sn_bytes(head + a->nfile * HEAD, HEAD);
    part[k++] = sn_bytes(a->index.at, a->index.n);
    part[k++] = sn_bytes(head + (a->nfile + 1) * HEAD, HEAD);
    part[k++] = sn_bytes(a->names.at, a->names.n);
    for (size_t i = 0; i < a->nfile; i++) {
        const File *f = &a->file[i];
        part[k++] = sn_bytes(head + i * HEAD, HEAD);
        memcpy(part + k, f->part, f->npart * sizeof *part);
        k += f->npart;
        part[k++] = sn_bytes("\n", f->size % 2);
    }
    return sn_file_write(ctx, path, part, k, a->err);
}

static SnStatus make_archive(Archive *a, SnContext *ctx, const char *path)
{
    SN_TRY(list_files(a));
    for (size_t i = 0; i < a->nfile; i++)
        add_file_head(a, &a->file[i]);
    SN_TRY(make_index(a));
    add_head(a, "/", a->index.n);
    add_head(a, "//", a->names.n);
    return write_archive(a, ctx, path);
}

SnStatus sn_link_archive(SnContext *ctx, const SnLinkInput *in, const char *path, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    Archive a = {.in = in, .memory = memory, .err = err};
    sn_arena_init(&a.arena, memory);
    a.index.memory = a.symbols.memory = a.names.memory = a.head.memory = memory;
    const SnStatus st = make_archive(&a, ctx, path);
    sn_text_clear(&a.index);
    sn_text_clear(&a.symbols);
    sn_text_clear(&a.names);
    sn_text_clear(&a.head);
    sn_arena_clear(&a.arena);
    return st;
}
