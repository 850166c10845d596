/* open.c -- programs in shared objects, which are checked before the dynamic linker believes them: it crashes
 * on a file that is cut off, and runs whatever it is given.
 *
 * The note (SnNote) has a hash of all that is loaded and of where it goes. With it, what is read by the
 * dynamic linker is what we wrote; the checks before it are there so that nothing outside of the file is read
 * to compute it.
 *
 * ELF, gabi 4.1, chapter 5 (program loading). */
#define _GNU_SOURCE /* dladdr: where a library lies */
#include "runtime/program.h"

#include "runtime/context.h"

#include <dlfcn.h>
#include <elf.h>
#include <inttypes.h>

#define PAGE         4096u
#define MAX_SEGMENTS 32u
#define MAX_AGAIN    64 /* programs of one name, replaced while the ones before are still in use */

typedef struct Opening {
    SnContext *ctx;
    const char *path;
    SnBytes file;
    Elf64_Ehdr h;
    Elf64_Phdr segment[MAX_SEGMENTS];
    SnNote note;
    uint64_t note_at; /* address */
    SnError *err;
} Opening;

#define REFUSE_UNLESS(o, cond, why) SN_CHECK(cond, (o)->err, SN_EFORMAT, "%s: " why, (o)->path)

static bool is_inside(uint64_t at, uint64_t n, uint64_t end)
{
    return at <= end && n <= end - at;
}

/* ---- the hash ---- */

static SnHash128 chain(SnHash128 h, const void *at, size_t n)
{
    return sn_hash128(at, n, h.lo ^ h.hi);
}

SnHash128 sn_note_hash(SnBytes file, const SnNote *note)
{
    Elf64_Ehdr h;
    Elf64_Phdr p;
    uint64_t head = 0; /* headers and note lie in front of all else */
    SnHash128 hash = sn_hash128(note, offsetof(SnNote, hash), 0);
    memcpy(&h, file.at, sizeof h);
    for (size_t i = 0; i < h.e_phnum; i++) {
        memcpy(&p, file.at + h.e_phoff + i * sizeof p, sizeof p);
        if (p.p_type == PT_NOTE)
            head = p.p_offset + p.p_filesz;
    }
    for (size_t i = 0; i < h.e_phnum; i++) {
        memcpy(&p, file.at + h.e_phoff + i * sizeof p, sizeof p);
        const uint64_t place[] = {p.p_type, p.p_flags, p.p_vaddr, p.p_filesz, p.p_memsz};
        hash = chain(hash, place, sizeof place);
        if (p.p_type != PT_LOAD || (note->weights_size != 0 && p.p_vaddr == note->weights_at))
            continue;
        const uint64_t skip = p.p_offset < head ? head - p.p_offset : 0;
        if (skip < p.p_filesz)
            hash = chain(hash, file.at + p.p_offset + skip, p.p_filesz - skip);
    }
    return hash;
}

/* ---- checks ---- */

static SnStatus read_header(Opening *o)
{
    static const uint8_t ident[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
    const size_t size = sizeof o->h;
    REFUSE_UNLESS(o, o->file.n > 0, "the file is empty");
    const size_t n = o->file.n < SELFMAG ? o->file.n : SELFMAG;
    REFUSE_UNLESS(o, memcmp(o->file.at, ELFMAG, n) == 0, "no shared object");
    REFUSE_UNLESS(o, o->file.n >= size, "cut off: the file ends in its header");
    memcpy(&o->h, o->file.at, size);
    const Elf64_Ehdr *h = &o->h;
    REFUSE_UNLESS(o, h->e_type == ET_DYN || h->e_ident[EI_CLASS] != ELFCLASS64, "no shared object");
    SN_CHECK(memcmp(h->e_ident, ident, sizeof ident) == 0 && h->e_machine == EM_X86_64, o->err,
             SN_EUNSUPPORTED, "%s: made for another machine than x86-64 (class %u, machine %u)", o->path,
             h->e_ident[EI_CLASS], h->e_machine);
    REFUSE_UNLESS(o,
                  h->e_version == EV_CURRENT && h->e_phentsize == sizeof *o->segment && h->e_phnum > 0 &&
                      h->e_phnum <= MAX_SEGMENTS,
                  "damaged, or no program of ours: bad program headers");
    const uint64_t segments = (uint64_t)h->e_phnum * sizeof *o->segment;
    const uint64_t sections = (uint64_t)h->e_shnum * sizeof(Elf64_Shdr);
    SN_CHECK(is_inside(h->e_phoff, segments, o->file.n) && is_inside(h->e_shoff, sections, o->file.n), o->err,
             SN_EFORMAT, "%s: cut off or damaged: the file has %zu bytes, its headers lie behind them",
             o->path, o->file.n);
    memcpy(o->segment, o->file.at + h->e_phoff, segments);
    return SN_OK;
}

/* Notes are three words (bytes of the owner, of the content; type), then both, padded. */
static SnStatus find_note(Opening *o)
{
    static const char owner[] = SN_NOTE_OWNER;
    for (size_t i = 0; i < o->h.e_phnum; i++) {
        const Elf64_Phdr *p = &o->segment[i];
        if (p->p_type != PT_NOTE || !is_inside(p->p_offset, p->p_filesz, o->file.n))
            continue;
        SnReader r = sn_reader(sn_bytes(o->file.at + p->p_offset, (size_t)p->p_filesz));
        const uint32_t nowner = sn_read_u32le(&r), n = sn_read_u32le(&r), type = sn_read_u32le(&r);
        const SnBytes name = sn_take(&r, sizeof owner);
        if (nowner != sizeof owner || type != SN_NOTE_TYPE || r.bad ||
            memcmp(name.at, owner, sizeof owner) != 0)
            continue;
        (void)sn_skip(&r, 8 - sizeof owner);
        SN_CHECK(n >= sizeof o->note.abi && r.left >= n, o->err, SN_EFORMAT,
                 "%s: damaged: its note is cut off", o->path);
        memcpy(&o->note.abi, r.at, sizeof o->note.abi);
        SN_CHECK(o->note.abi == SN_ABI, o->err, SN_EUNSUPPORTED,
                 "%s: made for abi %" PRIu32 ", this runtime has %u: compile it again", o->path, o->note.abi,
                 SN_ABI);
        REFUSE_UNLESS(o, n == sizeof o->note, "damaged: its note has another size");
        memcpy(&o->note, r.at, sizeof o->note);
        o->note_at = p->p_vaddr + (size_t)(r.at - (o->file.at + p->p_offset));
        REFUSE_UNLESS(o, memchr(o->note.program, 0, sizeof o->note.program) != NULL,
                      "damaged: its note has no name");
        return SN_OK;
    }
    return sn_fail(o->err, SN_EFORMAT, "%s: no compiled model: it has no note of ours", o->path);
}

/* What is not part of the hash, or must hold before it can be computed. */
static SnStatus check_segments(const Opening *o)
{
    const SnNote *note = &o->note;
    uint64_t end = 0, weights_size = 0;
    for (size_t i = 0; i < o->h.e_phnum; i++) {
        const Elf64_Phdr *p = &o->segment[i];
        if (p->p_type != PT_LOAD)
            continue;
        SN_CHECK(is_inside(p->p_offset, p->p_filesz, o->file.n), o->err, SN_EFORMAT,
                 "%s: cut off or damaged: the file has %zu bytes, a segment of %" PRIu64
                 " begins at %" PRIu64,
                 o->path, o->file.n, p->p_filesz, p->p_offset);
        REFUSE_UNLESS(o,
                      p->p_align == PAGE && p->p_vaddr % PAGE == p->p_offset % PAGE &&
                          p->p_filesz == p->p_memsz && p->p_vaddr >= end &&
                          is_inside(p->p_vaddr, p->p_memsz, note->size),
                      "damaged: segments that cannot be");
        end = p->p_vaddr + p->p_memsz;
        if (note->weights_at != 0 && p->p_vaddr == note->weights_at)
            weights_size = p->p_memsz;
    }
    REFUSE_UNLESS(o, end == note->size && weights_size == note->weights_size,
                  "damaged: segments that its note does not know");
    return SN_OK;
}

static bool is_same(SnHash128 a, SnHash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static SnStatus check_content(const Opening *o)
{
    REFUSE_UNLESS(o, is_same(sn_note_hash(o->file, &o->note), o->note.hash),
                  "damaged: its content has another hash");
    for (size_t i = 0; i < o->h.e_phnum; i++) {
        const Elf64_Phdr *p = &o->segment[i];
        if (p->p_type != PT_LOAD || o->note.weights_size == 0 || p->p_vaddr != o->note.weights_at)
            continue;
        const SnBytes weights = sn_bytes(o->file.at + p->p_offset, (size_t)p->p_filesz);
        REFUSE_UNLESS(o, is_same(sn_weights_hash(&weights, 1), o->note.weights_hash),
                      "damaged: its weights have another hash");
    }
    return SN_OK;
}

static SnStatus check_level(const Opening *o)
{
    uint32_t lowest = 0;
    while (lowest < SN_CPU_LEVEL_COUNT && (o->note.levels >> lowest & 1) == 0)
        lowest++;
    REFUSE_UNLESS(o, lowest < SN_CPU_LEVEL_COUNT, "no code for any CPU that this runtime knows");
    SN_CHECK(lowest <= o->ctx->cpu_level, o->err, SN_EUNSUPPORTED,
             "%s: has code for CPUs from level %s on, this one has level %s", o->path,
             sn_cpu_level_name((SnCpuLevel)lowest), sn_cpu_level_name(o->ctx->cpu_level));
    return SN_OK;
}

static SnStatus check_file(Opening *o)
{
    SN_TRY(read_header(o));
    SN_TRY(find_note(o));
    SN_TRY(check_segments(o));
    SN_TRY(check_content(o));
    return check_level(o);
}

/* ---- loading ---- */

/* The descriptor, if what was loaded is what was checked: its note is the same. */
static const SnProgramDesc *find_program(const Opening *o, void *library)
{
    Dl_info where;
    const void *desc = dlsym(library, o->note.program);
    if (!desc || !dladdr(desc, &where))
        return NULL;
    return memcmp((const uint8_t *)where.dli_fbase + o->note_at, &o->note, sizeof o->note) == 0 ? desc : NULL;
}

/* *desc stays NULL where something else was found. */
static SnStatus load_as(const Opening *o, const char *path, void **library, const SnProgramDesc **desc)
{
    void *found = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    SN_CHECK(found, o->err, SN_EUNSUPPORTED, "%s: this system cannot load it: %s", o->path, dlerror());
    *desc = find_program(o, found);
    if (*desc)
        *library = found;
    else
        (void)dlclose(found);
    return SN_OK;
}

/* Of a path that it knows the dynamic linker gives what it has: the program that was there before, if that is
 * still in use. "./" as often as it takes makes another path of it, of the same file. */
static SnStatus load(const Opening *o, void **library, const SnProgramDesc **desc)
{
    const char *slash = strrchr(o->path, '/'), *base = slash ? slash + 1 : o->path;
    SnText path = {.memory = sn_allocator(o->ctx)};
    SnStatus st = SN_OK;
    for (int again = 0; again < MAX_AGAIN && st == SN_OK && !*desc; again++) {
        path.n = 0;
        sn_text_add(&path, o->path, (size_t)(base - o->path));
        for (int i = slash ? 0 : -1; i < again; i++)
            sn_text_add(&path, "./", 2);
        sn_text_add(&path, base, strlen(base));
        st = path.failed ? sn_fail(o->err, SN_ENOMEM, "%s: no memory for its path", o->path)
                         : load_as(o, path.at, library, desc);
    }
    sn_text_clear(&path);
    if (st == SN_OK && !*desc)
        st = sn_fail(o->err, SN_EFORMAT, "%s: changed while it was opened, or has no %s", o->path,
                     o->note.program);
    return st;
}

static void unload(void *library)
{
    (void)dlclose(library);
}

SnStatus sn_program_open(SnContext *ctx, const char *path, SnProgram **out, SnError *err)
{
    Opening o = {.ctx = ctx, .path = path, .err = err};
    SnFile *file = NULL;
    SnProgram *p = NULL;
    void *library = NULL;
    const SnProgramDesc *desc = NULL;
    SN_TRY(sn_file_open(ctx, path, &file, err));
    o.file = sn_file_bytes(file);
    SnStatus st = check_file(&o);
    if (st == SN_OK)
        st = load(&o, &library, &desc);
    if (st == SN_OK)
        st = sn_program_link_from(ctx, desc, path, &p, err);
    if (st == SN_OK) {
        p->release = unload;
        p->owner = library;
        *out = p;
    } else if (library) {
        unload(library);
    }
    sn_file_release(file);
    return st;
}
