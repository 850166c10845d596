/* load_test.c -- cached kernels without LLVM, objects for linkers, and objects that are not what they say. */
#include "backends/backends.h"
#include "backends/llvm/llvm.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const texts[] = {
    "kernel r w dims 1 { grid (idiv d0 16) lanes i1 16 { %i = (add (mul t 16) i1)"
    " store.f32 b1 %i (exp (load.f32 b0 %i)) } }",
    "kernel r w dims 1 { grid (idiv d0 16) lanes i1 16 { %i = (add (mul t 16) i1)"
    " store.f32 b1 %i (mod (load.f32 b0 %i) 3:f32) } }",
    "kernel r w dims 1 { grid (idiv d0 16) lanes i1 16 { %i = (add (mul t 16) i1)"
    " store.f32 b1 %i (neg (load.f32 b0 %i)) } }",
};

typedef struct Fixture {
    char dir[64];
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
    SnKernel *k[SN_COUNT(texts)];
    SnTarget t;
} Fixture;

static void open_context(Fixture *f)
{
    SnError err = {0};
    const SnContextDesc desc = {.struct_size = sizeof desc, .cache_dir = f->dir};
    assert_ok(sn_context_create(&desc, &f->ctx, &err));
    assert_ok(sn_store_create(f->ctx, &f->s, &err));
    sn_arena_init(&f->arena, sn_allocator(f->ctx));
    for (size_t i = 0; i < SN_COUNT(texts); i++) {
        assert_ok(sn_kernel_parse(f->s, &f->arena, "test", sn_bytes_str(texts[i]), &f->k[i], &err));
        assert_ok(sn_kernel_expand(f->k[i], &f->arena, &err));
    }
    f->t = (SnTarget){0};
    assert_ok(sn_backend_llvm.probe(f->ctx, 0, &f->t, &err));
    f->t.level = "v3";
}

static int setup(void **state)
{
    static Fixture f;
    f = (Fixture){0};
    (void)snprintf(f.dir, sizeof f.dir, "/tmp/sinter-load-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    open_context(&f);
    *state = &f;
    return 0;
}

static void close_context(Fixture *f)
{
    sn_arena_clear(&f->arena);
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    close_context(f);
    DIR *dir = opendir(f->dir);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, e->d_name);
        if (e->d_name[0] != '.')
            (void)remove(path);
    }
    (void)closedir(dir);
    (void)rmdir(f->dir);
    return 0;
}

/* ---- the cache ---- */

static SnModule *build(Fixture *f, const SnKernel *const *k, uint32_t n)
{
    SnError err = {0};
    SnModule *m = NULL;
    assert_ok(sn_backend_llvm.build(f->ctx, &f->t, k, n, &m, &err));
    return m;
}

static void check_negates(SnKernelFn *fn)
{
    float x[32], y[32] = {0};
    for (int i = 0; i < 32; i++)
        x[i] = (float)i + 0.5F;
    void *const buffers[] = {x, y};
    const int64_t dims[] = {32};
    fn(buffers, dims, 0, 2);
    for (int i = 0; i < 32; i++)
        assert_true(y[i] == -x[i]);
}

/* The first test: LLVM, once loaded, stays. */
static void cached_kernels_need_no_llvm(void **state)
{
    Fixture *f = (Fixture *)*state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        SnModule *m = NULL;
        const SnStatus st =
            sn_backend_llvm.build(f->ctx, &f->t, (const SnKernel *const *)f->k, SN_COUNT(texts), &m, NULL);
        _exit(st == SN_OK && m->ncached == 0 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    const SnKernel *some[] = {f->k[2], f->k[0]};
    SnModule *m = build(f, some, 2);
    assert_int_equal(m->ncached, 2);
    check_negates(m->fn[0]);
    m->destroy(m);
    assert_null(dlopen(SN_LLVM_MODULE, RTLD_NOW | RTLD_NOLOAD));
}

static void cache_counts_what_it_had(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnKernel *first[] = {f->k[0], f->k[2]}, *more[] = {f->k[1], f->k[2], f->k[1]};
    SnModule *m = build(f, first, 2);
    assert_int_equal(m->ncached, 0);
    m->destroy(m);
    m = build(f, more, 3);
    assert_int_equal(m->ncached, 1);
    assert_true(m->fn[0] == m->fn[2]);
    check_negates(m->fn[1]);
    m->destroy(m);
    m = build(f, more, 3);
    assert_int_equal(m->ncached, 3);
    m->destroy(m);
    f->t.exact = true;
    m = build(f, more, 3);
    assert_int_equal(m->ncached, 0);
    m->destroy(m);
}

/* ---- objects for linkers ---- */

/* Parts of an object, as a shared library that the caller closes. */
static void *link_parts(Fixture *f, const SnObjectParts *parts)
{
    SnError err = {0};
    char object[100], library[100], command[400];
    uint8_t *at = NULL;
    size_t n = 0;
    (void)snprintf(object, sizeof object, "%s/k.o", f->dir);
    (void)snprintf(library, sizeof library, "%s/k.so", f->dir);
    assert_ok(sn_backend_llvm.emit(f->ctx, &f->t, parts, &at, &n, &err));
    const SnBytes bytes = sn_bytes(at, n);
    assert_ok(sn_file_write(f->ctx, object, &bytes, 1, &err));
    sn_free(sn_allocator(f->ctx), at, n, 1);
    (void)snprintf(command, sizeof command, "cc -shared -o %s %s", library, object);
    assert_int_equal(system(command), 0);
    void *so = dlopen(library, RTLD_NOW);
    assert_non_null(so);
    return so;
}

/* Level v4 has the code of v3. */
static void object_links_and_runs(void **state)
{
    Fixture *f = (Fixture *)*state;
    const char *const levels[] = {"v3", "v4"}, *const symbols[] = {"negate", "negate"};
    const SnKernel *const k[] = {f->k[2], f->k[2]};
    static const char table[24] = "12345678";
    const struct SnObjectReloc to[] = {{16, "negate"}, {8, "bytes"}};
    const SnObjectData data[] = {
        {.symbol = "table", .bytes = sn_bytes(table, sizeof table), .align = 16, .reloc = to, .nreloc = 2},
        {.symbol = "bytes", .is_hidden = true, .bytes = sn_bytes("aligned", 8), .align = 4096}};
    const SnObjectParts parts = {
        .level = levels, .nlevel = 2, .kernel = k, .symbol = symbols, .nkernel = 1, .data = data, .ndata = 2};
    void *so = link_parts(f, &parts);
    const char *at = (const char *)dlsym(so, "table"), *bytes;
    SnKernelFn *fn;
    assert_non_null(at);
    assert_memory_equal(at, table, 8);
    memcpy(&bytes, at + 8, sizeof bytes);
    memcpy(&fn, at + 16, sizeof fn);
    assert_string_equal(bytes, "aligned");
    assert_int_equal((uintptr_t)bytes % 4096, 0);
    check_negates(fn);
    assert_null(dlsym(so, "negate"));
    assert_null(dlsym(so, "bytes"));
    (void)dlclose(so);
}

static void object_has_thunks(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnObjectData data = {.symbol = "word", .is_hidden = true, .bytes = sn_bytes("word", 5)};
    const SnObjectThunk thunk[] = {{.symbol = "length", .target = "strlen"},
                                   {.symbol = "compare_word", .target = "strncmp", .last = "word", .arg = 1}};
    const SnObjectParts parts = {.data = &data, .ndata = 1, .thunk = thunk, .nthunk = 2};
    void *so = link_parts(f, &parts), *symbol[] = {dlsym(so, "length"), dlsym(so, "compare_word")};
    size_t (*length)(const char *);
    int (*compare_word)(const char *, const char *, size_t);
    memcpy(&length, &symbol[0], sizeof length);
    memcpy(&compare_word, &symbol[1], sizeof compare_word);
    assert_int_equal(length("seventeen letters"), 17);
    assert_int_equal(compare_word("words", NULL, 4), 0);
    assert_int_not_equal(compare_word("words", NULL, 5), 0);
    (void)dlclose(so);
}

static void object_refuses_what_it_cannot_hold(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    const struct SnObjectReloc outside = {20, "there"};
    const SnObjectData data = {
        .symbol = "w", .bytes = sn_bytes("123456789012345678901234", 24), .reloc = &outside, .nreloc = 1};
    const SnObjectThunk thunk = {.symbol = "f", .target = "g", .last = "w", .arg = 6};
    const char *const level = "v1";
    const SnObjectParts bad[] = {{.data = &data, .ndata = 1},
                                 {.thunk = &thunk, .nthunk = 1},
                                 {.level = &level,
                                  .nlevel = 1,
                                  .kernel = (const SnKernel *const *)f->k,
                                  .symbol = &level,
                                  .nkernel = 1}};
    const SnStatus want[] = {SN_EINVAL, SN_EINVAL, SN_EUNSUPPORTED};
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        uint8_t *at = NULL;
        size_t n = 0;
        assert_fails(want[i], sn_backend_llvm.emit(f->ctx, &f->t, &bad[i], &at, &n, &err));
        assert_null(at);
    }
}

/* ---- hostile objects ---- */

/* All kernels as one object, in arena memory. */
static SnBytes make_object(Fixture *f)
{
    SnError err = {0};
    const char *const level = "v3", *const symbols[] = {"one", "two", "three"};
    const SnObjectParts parts = {.level = &level,
                                 .nlevel = 1,
                                 .kernel = (const SnKernel *const *)f->k,
                                 .symbol = symbols,
                                 .nkernel = SN_COUNT(texts)};
    uint8_t *object = NULL;
    size_t n = 0;
    assert_ok(sn_backend_llvm.emit(f->ctx, &f->t, &parts, &object, &n, &err));
    uint8_t *at = (uint8_t *)sn_arena_alloc(&f->arena, n);
    assert_non_null(at);
    memcpy(at, object, n);
    sn_free(sn_allocator(f->ctx), object, n, 1);
    return sn_bytes(at, n);
}

/* A copy of exactly n bytes, so that reading past them is found. */
static bool loads(Fixture *f, const uint8_t *at, size_t n)
{
    const SnAllocator *a = sn_allocator(f->ctx);
    uint8_t *copy = (uint8_t *)sn_alloc(a, n + 1, 1);
    assert_non_null(copy);
    memcpy(copy, at, n);
    SnObjectCode *code = NULL;
    SnError err = {0};
    copy = (uint8_t *)sn_resize(a, copy, n + 1, n > 0 ? n : 1, 1);
    const bool is_good = sn_object_open(f->ctx, sn_bytes(copy, n), &code, &err) == SN_OK;
    assert_true(is_good || err.message[0] != '\0');
    if (is_good)
        assert_null(sn_object_find(code, "no such function"));
    sn_object_close(code);
    sn_free(a, copy, n > 0 ? n : 1, 1);
    return is_good;
}

static void object_whole_loads_and_runs(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnObjectCode *code = NULL;
    assert_ok(sn_object_open(f->ctx, make_object(f), &code, &err));
    check_negates(sn_object_find(code, "three"));
    float x[16] = {7.5F, -7.5F}, y[16];
    void *const buffers[] = {x, y};
    const int64_t dims[] = {16};
    sn_object_find(code, "two")(buffers, dims, 0, 1);
    assert_true(y[0] == 1.5F && y[1] == 1.5F);
    sn_object_close(code);
}

static void object_truncated_fails(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnBytes b = make_object(f);
    assert_true(loads(f, b.at, b.n));
    for (size_t n = 0; n < b.n; n++)
        assert_false(loads(f, b.at, n));
}

static void object_with_any_bit_flipped_is_survived(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnBytes b = make_object(f);
    uint8_t *copy = (uint8_t *)sn_arena_alloc(&f->arena, b.n);
    assert_non_null(copy);
    memcpy(copy, b.at, b.n);
    uint32_t nrefused = 0;
    for (size_t bit = 0; bit < 8 * b.n; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        nrefused += !loads(f, copy, b.n);
        copy[bit / 8] = b.at[bit / 8];
    }
    assert_true(nrefused > 500);
}

static Elf64_Shdr section(const uint8_t *at, uint32_t type, size_t *offset)
{
    Elf64_Ehdr h;
    memcpy(&h, at, sizeof h);
    for (size_t i = 0; i < h.e_shnum; i++) {
        Elf64_Shdr s;
        *offset = (size_t)h.e_shoff + i * sizeof s;
        memcpy(&s, at + *offset, sizeof s);
        if (s.sh_type == type)
            return s;
    }
    fail_msg("no section of type %u", (unsigned)type);
    return (Elf64_Shdr){0};
}

static void object_with_undefined_symbol_is_refused(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnBytes b = make_object(f);
    uint8_t *copy = (uint8_t *)sn_arena_alloc(&f->arena, b.n);
    assert_non_null(copy);
    memcpy(copy, b.at, b.n);
    size_t header;
    const Elf64_Shdr table = section(copy, SHT_SYMTAB, &header);
    for (size_t at = 0; at < table.sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym s;
        memcpy(&s, copy + table.sh_offset + at, sizeof s);
        if (s.st_shndx != SHN_UNDEF && s.st_shndx < SHN_LORESERVE)
            s.st_shndx = SHN_UNDEF;
        memcpy(copy + table.sh_offset + at, &s, sizeof s);
    }
    SnError err = {0};
    SnObjectCode *code = NULL;
    assert_fails(SN_EFORMAT, sn_object_open(f->ctx, sn_bytes(copy, b.n), &code, &err));
    assert_non_null(strstr(err.message, "is not defined"));
}

static void object_with_writable_code_is_refused(void **state)
{
    Fixture *f = (Fixture *)*state;
    const SnBytes b = make_object(f);
    uint8_t *copy = (uint8_t *)sn_arena_alloc(&f->arena, b.n);
    assert_non_null(copy);
    memcpy(copy, b.at, b.n);
    size_t header;
    Elf64_Shdr s = section(copy, SHT_PROGBITS, &header);
    s.sh_flags |= SHF_WRITE | SHF_ALLOC;
    memcpy(copy + header, &s, sizeof s);
    assert_false(loads(f, copy, b.n));
}

int main(void)
{
    SnCpuLevel best;
    bool refused;
    if (sn_cpu_choose("v3", 0, &best, &refused, NULL) != SN_OK)
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cached_kernels_need_no_llvm, setup, teardown),
        cmocka_unit_test_setup_teardown(cache_counts_what_it_had, setup, teardown),
        cmocka_unit_test_setup_teardown(object_links_and_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(object_has_thunks, setup, teardown),
        cmocka_unit_test_setup_teardown(object_refuses_what_it_cannot_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(object_whole_loads_and_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(object_truncated_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(object_with_any_bit_flipped_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(object_with_undefined_symbol_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(object_with_writable_code_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
