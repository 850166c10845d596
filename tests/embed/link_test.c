/* link_test.c -- shared objects, objects and archives that are written without a linker: they run, show what
 * they should and nothing else, survive strip, and linkers take them.
 *
 * Arguments: the objects of demo.h; "all" writes more than 2 GiB of weights too. */
#include "tests/embed/demo.h"
#include "tests/embed/embed.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static Demo d;
static bool all;

static void *symbol(void *library, const char *name)
{
    void *at = dlsym(library, name);
    if (!at)
        fail_msg("%s is not there", name);
    return at;
}

/* Calls all that demo_model.c has; `weights` as many as were given. */
static void check_calls(const char *file, size_t weights)
{
    void *library = dlopen(demo_path(&d, file), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    const char *(*status)(SnStatus), *(*word)(unsigned);
    uint8_t (*weight)(unsigned, size_t);
    float (*scale)(float);
    *(void **)(void *)&status = symbol(library, "demo_status");
    *(void **)(void *)&word = symbol(library, "demo_word");
    *(void **)(void *)&weight = symbol(library, "demo_weight");
    *(void **)(void *)&scale = symbol(library, "demo_scale");
    assert_string_equal(status(SN_ESHAPE), "SN_ESHAPE");
    assert_string_equal(word(3), "three");
    assert_true(scale(2.0F) == 5.0F);
    for (size_t i = 0; i + 16 < weights; i += 331)
        assert_int_equal(weight(1, i), d.weights[i + 16]);
    const SnProgramDesc *desc = symbol(library, "demo_program");
    assert_int_equal(desc->abi, SN_ABI);
    assert_int_equal((uintptr_t)desc->weights % 4096, 0);
    assert_int_equal(desc->kernel[0] != NULL, 1);
    assert_null(dlsym(library, "sn_status_name"));
    assert_null(dlsym(library, "no_kernel"));
    assert_int_equal(dlclose(library), 0);
}

static void shared_object_runs(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_ONE, "runs.so");
    check_calls("runs.so", DEMO_WEIGHTS);
}

/* ---- what is in it ---- */

typedef struct Elf {
    uint8_t *at;
    size_t n;
    Elf64_Ehdr *h;
    Elf64_Phdr *segment;
    Elf64_Shdr *section;
} Elf;

static Elf read_elf(const char *file)
{
    Elf e;
    e.n = demo_read(demo_path(&d, file), &e.at);
    e.h = (Elf64_Ehdr *)(void *)e.at;
    e.segment = (Elf64_Phdr *)(void *)(e.at + e.h->e_phoff);
    e.section = (Elf64_Shdr *)(void *)(e.at + e.h->e_shoff);
    return e;
}

static const Elf64_Shdr *find_section(const Elf *e, uint32_t type)
{
    for (size_t i = 0; i < e->h->e_shnum; i++)
        if (e->section[i].sh_type == type)
            return &e->section[i];
    fail_msg("no section of type %u", type);
    return NULL;
}

static void exports_only_what_is_asked_for(void **state)
{
    (void)state;
    const SnLinkInput in = demo_input(&d, DEMO_ONE);
    demo_link(&d, sn_link_shared, DEMO_ONE, "exports.so");
    const Elf e = read_elf("exports.so");
    const Elf64_Shdr *dynsym = find_section(&e, SHT_DYNSYM);
    const Elf64_Sym *s = (const Elf64_Sym *)(void *)(e.at + dynsym->sh_offset);
    const char *names = (const char *)e.at + e.section[dynsym->sh_link].sh_offset;
    size_t found = 0;
    for (size_t i = 1; i < dynsym->sh_size / sizeof *s; i++) {
        size_t k = 0;
        if (s[i].st_shndx == SHN_UNDEF)
            continue;
        while (k < in.nexported && strcmp(in.exported[k], names + s[i].st_name) != 0)
            k++;
        if (k == in.nexported)
            fail_msg("%s is exported", names + s[i].st_name);
        found++;
    }
    assert_int_equal(found, in.nexported);
    free(e.at);
}

static void needs_libc_and_libm_only(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_ONE, "needs.so");
    const Elf e = read_elf("needs.so");
    const Elf64_Shdr *dynamic = find_section(&e, SHT_DYNAMIC);
    const char *names = (const char *)e.at + e.section[dynamic->sh_link].sh_offset;
    bool is_now = false, has_name = false;
    for (const Elf64_Dyn *x = (const Elf64_Dyn *)(void *)(e.at + dynamic->sh_offset); x->d_tag != DT_NULL;
         x++) {
        const char *text = names + x->d_un.d_val;
        assert_true(x->d_tag != DT_TEXTREL && x->d_tag != DT_INIT && x->d_tag != DT_INIT_ARRAY);
        if (x->d_tag == DT_NEEDED && strcmp(text, "libc.so.6") != 0 && strcmp(text, "libm.so.6") != 0)
            fail_msg("it needs %s", text);
        if (x->d_tag == DT_SONAME)
            has_name = strcmp(text, "demo") == 0;
        if (x->d_tag == DT_FLAGS_1)
            is_now = (x->d_un.d_val & DF_1_NOW) != 0;
    }
    assert_true(is_now && has_name);
    free(e.at);
}

/* Nothing is both written and run; pointers become read-only, weights begin a page and end what is loaded. */
static void segments_are_safe(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_ONE, "segments.so");
    const Elf e = read_elf("segments.so");
    const Elf64_Phdr *written = NULL, *relro = NULL, *stack = NULL, *last = NULL;
    for (size_t i = 0; i < e.h->e_phnum; i++) {
        const Elf64_Phdr *p = &e.segment[i];
        assert_true(p->p_type != PT_TLS && (p->p_flags & (PF_W | PF_X)) != (PF_W | PF_X));
        if (p->p_type == PT_GNU_RELRO)
            relro = p;
        if (p->p_type == PT_GNU_STACK)
            stack = p;
        if (p->p_type != PT_LOAD)
            continue;
        assert_true(p->p_filesz == p->p_memsz && p->p_vaddr % 4096 == p->p_offset % 4096);
        last = p;
        if ((p->p_flags & PF_W) != 0) {
            assert_null(written);
            written = p;
        }
    }
    assert_true(written && relro && stack);
    assert_int_equal(stack->p_flags, PF_R | PF_W);
    assert_int_equal(relro->p_vaddr, written->p_vaddr);
    assert_true(relro->p_memsz >= written->p_memsz && (relro->p_vaddr + relro->p_memsz) % 4096 == 0);
    assert_int_equal(last->p_offset % 4096, 0);
    assert_int_equal(last->p_filesz, DEMO_WEIGHTS);
    assert_memory_equal(e.at + last->p_offset, d.weights, DEMO_WEIGHTS);
    free(e.at);
}

/* ---- tools ---- */

static bool has_tool(const char *name)
{
    const char *const argv[] = {name, "--version", NULL};
    return demo_run(argv) == 0;
}

static void stripped_one_runs(void **state)
{
    (void)state;
    struct stat before, after;
    SnError err;
    SnProgram *p = NULL;
    if (!has_tool("strip"))
        skip();
    demo_link(&d, sn_link_shared, DEMO_ONE, "strip.so");
    const char *path = demo_path(&d, "strip.so");
    const char *const argv[] = {"strip", path, NULL};
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(demo_run(argv), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_size < before.st_size);
    check_calls("strip.so", DEMO_WEIGHTS);
    assert_ok(sn_program_open(d.ctx, path, &p, &err));
    sn_program_release(p);
    print_message("%lld bytes stripped, with %u of weights\n", (long long)after.st_size, DEMO_WEIGHTS);
}

static void readelf_has_no_complaint(void **state)
{
    (void)state;
    if (!has_tool("readelf"))
        skip();
    demo_link(&d, sn_link_shared, DEMO_ONE, "read.so");
    demo_link(&d, sn_link_object, DEMO_ONE, "read.o");
    const char *const shell[] = {"sh",
                                 "-c",
                                 "test -z \"$(readelf -Wa \"$0\" \"$1\" 2>&1 >/dev/null)\"",
                                 demo_path(&d, "read.so"),
                                 demo_path(&d, "read.o"),
                                 NULL};
    assert_int_equal(demo_run(shell), 0);
}

static const char program_text[] =
    "#include <string.h>\n"
    "const char *demo_status(int);\n"
    "unsigned char demo_weight(unsigned, unsigned long);\n"
    "#ifdef TWO\n"
    "const char *two_word(unsigned);\n"
    "unsigned char two_weight(unsigned, unsigned long);\n"
    "#endif\n"
    "int main(void)\n"
    "{\n"
    "    int bad = strcmp(demo_status(0), \"SN_OK\") != 0;\n"
    "#ifdef TWO\n"
    "    bad |= strcmp(two_word(1), \"one\") != 0 || two_weight(0, 5000) != demo_weight(0, 5000);\n"
    "#endif\n"
    "    return bad || demo_weight(0, 3) != 21;\n"
    "}\n";

/* Links a program with up to two files and runs it. */
static void check_program(const char *define, const char *first, const char *second)
{
    char path[3][256];
    scratch_text(&d.dir, "program.c", program_text);
    scratch_path(&d.dir, first, path[0]);
    scratch_path(&d.dir, second, path[1]);
    scratch_path(&d.dir, "program", path[2]);
    const char *const argv[] = {"cc",    define, demo_path(&d, "program.c"), path[0], path[1], "-lm", "-o",
                                path[2], NULL};
    assert_int_equal(demo_run(argv), 0);
    const char *const program[] = {path[2], NULL};
    assert_int_equal(demo_run(program), 0);
}

static void linkers_take_them(void **state)
{
    (void)state;
    if (!has_tool("cc"))
        skip();
    demo_link(&d, sn_link_shared, DEMO_ONE, "one.so");
    demo_link(&d, sn_link_archive, DEMO_ONE, "one.a");
    demo_link(&d, sn_link_archive, DEMO_TWO, "two.a");
    demo_link(&d, sn_link_object, DEMO_ONE, "one.o");
    check_program("-DONE", "one.a", "one.a");
    check_program("-DTWO", "one.a", "two.a");
    check_program("-DTWO", "one.o", "two.a");
    /* Found by its path: a soname without a slash would be looked for elsewhere. */
    SnLinkInput in = demo_input(&d, DEMO_ONE);
    SnError err;
    in.soname = demo_path(&d, "one.so");
    assert_ok(sn_link_shared(d.ctx, &in, in.soname, &err));
    check_program("-DTWO", "one.so", "two.a");
}

/* ---- what is refused ---- */

static void check_nothing_is_left(const char *file)
{
    DIR *dir = opendir(d.dir.dir);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (strncmp(e->d_name, file, strlen(file)) == 0)
            fail_msg("%s is left", e->d_name);
    closedir(dir);
}

static void open_symbols_are_refused(void **state)
{
    (void)state;
    SnError err;
    SnLinkInput in = demo_input(&d, DEMO_ONE);
    in.weights = "demo_other";
    assert_fails(SN_EFORMAT, sn_link_shared(d.ctx, &in, demo_path(&d, "bad"), &err));
    assert_non_null(strstr(err.message, "demo_weights"));
    assert_fails(SN_EFORMAT, sn_link_object(d.ctx, &in, demo_path(&d, "bad"), &err));
    assert_non_null(strstr(err.message, "demo_other"));
    assert_fails(SN_EFORMAT, sn_link_archive(d.ctx, &in, demo_path(&d, "bad"), &err));
    in = demo_input(&d, DEMO_TWO);
    in.exported = (const char *const[]){"two_word", "two_nothing"};
    in.nexported = 2;
    assert_fails(SN_EFORMAT, sn_link_shared(d.ctx, &in, demo_path(&d, "bad"), &err));
    assert_non_null(strstr(err.message, "two_nothing"));
    in = demo_input(&d, DEMO_ONE);
    assert_fails(SN_EIO, sn_link_shared(d.ctx, &in, demo_path(&d, "no/bad"), &err));
    check_nothing_is_left("bad");
}

/* Objects come from our own backends, but a bug there must not become one here. */
static void damaged_objects_do_not_crash(void **state)
{
    (void)state;
    static SnLinkFn *const links[] = {sn_link_shared, sn_link_archive};
    SnLinkInput in = demo_input(&d, DEMO_ONE);
    SnError err;
    uint8_t *bytes = malloc(in.object.n);
    assert_non_null(bytes);
    for (size_t i = 0; i < in.object.n; i += 7) {
        in.object = sn_bytes(d.object[DEMO_ONE], i);
        assert_fails(SN_EFORMAT, links[i % 2](d.ctx, &in, "/dev/null", &err));
    }
    in.object = sn_bytes(bytes, d.size[DEMO_ONE]);
    for (size_t i = 0; i < in.object.n; i++) {
        memcpy(bytes, d.object[DEMO_ONE], in.object.n);
        bytes[i] ^= (uint8_t)(1u << i % 8);
        const SnStatus st = links[i % 2](d.ctx, &in, "/dev/null", &err);
        assert_true(st == SN_OK || st == SN_EFORMAT || st == SN_EUNSUPPORTED);
    }
    free(bytes);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    static SnLinkFn *const links[] = {sn_link_shared, sn_link_object, sn_link_archive};
    for (size_t i = 0; i < SN_COUNT(links); i++) {
        SnStatus st = SN_ENOMEM;
        for (uint64_t fail_at = 1; st != SN_OK; fail_at++) {
            EmbedMemory m = {.fail_at = fail_at};
            const SnContextDesc desc = {.struct_size = sizeof desc, .memory = embed_allocator(&m)};
            const SnLinkInput in = demo_input(&d, DEMO_ONE);
            SnContext *ctx = NULL;
            SnError err = {0};
            st = sn_context_create(&desc, &ctx, &err);
            if (st == SN_OK)
                st = links[i](ctx, &in, demo_path(&d, "oom"), &err);
            sn_context_destroy(ctx);
            assert_true((st == SN_OK || (st == SN_ENOMEM && err.message[0])) && m.live == 0 && !m.wrong);
            if (st != SN_OK)
                check_nothing_is_left("oom");
        }
        assert_int_equal(unlink(demo_path(&d, "oom")), 0);
    }
}

/* ---- weights that no relocation reaches ---- */

enum { FAR_PAGES = 600000 };

static uint8_t *map_far(size_t size)
{
    const int fd = open(demo_path(&d, "far.bin"), O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED && close(fd) == 0);
    return at;
}

static void weights_may_be_large(void **state)
{
    (void)state;
    const size_t size = (size_t)FAR_PAGES * 4096;
    struct statvfs disk;
    if (!all || statvfs(d.dir.dir, &disk) != 0 || disk.f_bavail * disk.f_frsize < 4 * (uint64_t)size)
        skip();
    EmbedMemory m = {.largest = 4 << 20};
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = embed_allocator(&m)};
    SnContext *ctx = NULL;
    SnError err;
    SnProgram *p = NULL;
    uint8_t *far = map_far(size);
    far[0] = 1;
    far[size - 1] = 99;
    const SnBytes part = sn_bytes(far, size);
    SnLinkInput in = demo_input(&d, DEMO_ONE);
    in.part = &part;
    in.npart = 1;
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_link_shared(ctx, &in, demo_path(&d, "far.so"), &err));
    assert_ok(sn_program_open(ctx, demo_path(&d, "far.so"), &p, &err));
    check_calls("far.so", 0);
    sn_program_release(p);
    void *library = dlopen(demo_path(&d, "far.so"), RTLD_NOW);
    const SnProgramDesc *program = symbol(library, "demo_program");
    assert_int_equal(((const uint8_t *)program->weights)[size - 1], 99);
    assert_int_equal(dlclose(library), 0);
    assert_ok(sn_link_archive(ctx, &in, demo_path(&d, "far.a"), &err));
    assert_int_equal(munmap(far, size), 0);
    sn_context_destroy(ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_object_runs),
        cmocka_unit_test(exports_only_what_is_asked_for),
        cmocka_unit_test(needs_libc_and_libm_only),
        cmocka_unit_test(segments_are_safe),
        cmocka_unit_test(stripped_one_runs),
        cmocka_unit_test(readelf_has_no_complaint),
        cmocka_unit_test(linkers_take_them),
        cmocka_unit_test(open_symbols_are_refused),
        cmocka_unit_test(damaged_objects_do_not_crash),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(weights_may_be_large),
    };
    if (argc < 4)
        return 1;
    all = argc > 4 && strcmp(argv[4], "all") == 0;
    demo_setup(&d, argv + 1);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    demo_teardown(&d);
    return failed;
}
