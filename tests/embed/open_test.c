/* open_test.c -- programs in shared objects: opened, replaced while they are in use, closed; and whatever
 * else a path may lead to, which is a status with a message, before the dynamic linker could crash on it.
 *
 * Arguments: the objects of demo.h; "all" cuts and damages a file at every byte. */
#define _GNU_SOURCE /* RTLD_DEFAULT, dladdr */
#include "runtime/cpu.h"
#include "tests/embed/demo.h"
#include "tests/embed/embed.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static Demo d;
static bool all;
static SnError err;

static SnStatus open_file(const char *file)
{
    SnProgram *p = NULL;
    err = (SnError){0};
    const SnStatus st = sn_program_open(d.ctx, file, &p, &err);
    if (st != SN_OK && (err.message[0] == 0 || err.code != st))
        fail_msg("%s: %s without a message", file, sn_status_name(st));
    sn_program_release(p);
    return st;
}

static SnProgram *open_good(const char *path)
{
    SnProgram *p = NULL;
    assert_ok(sn_program_open(d.ctx, path, &p, &err));
    return p;
}

/* Weight i of the program that is loaded. */
static uint8_t weight(const SnProgram *p, size_t i)
{
    const SnProgramDesc *desc = dlsym(p->owner, "demo_program");
    assert_non_null(desc);
    return ((const uint8_t *)desc->weights)[i];
}

static bool is_loaded(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (library)
        (void)dlclose(library);
    return library != NULL;
}

/* ---- life ---- */

static void opened_program_runs(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_ONE, "runs.so");
    const char *path = demo_path(&d, "runs.so"), *name = NULL;
    SnInstance *s = NULL;
    SnProgram *p = open_good(path);
    assert_true(sn_program_entry(p, 0, &name));
    assert_string_equal(name, "main");
    assert_int_equal(weight(p, 3), d.weights[3]);
    assert_true(is_loaded(path));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    sn_program_release(p);
    assert_ok(sn_run(s, &err));
    sn_instance_destroy(s);
    assert_false(is_loaded(path));
}

static void two_references_share_a_library(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_ONE, "shared.so");
    const char *path = demo_path(&d, "shared.so");
    SnProgram *p = open_good(path), *q = open_good(path);
    assert_ptr_equal(p->image, q->image);
    sn_program_release(p);
    assert_int_equal(weight(q, 1), d.weights[1]);
    sn_program_release(q);
    assert_false(is_loaded(path));
}

/* A file without a folder is that of this folder, not one of the system's. */
static void path_may_have_no_slash(void **state)
{
    (void)state;
    char here[1024];
    assert_non_null(getcwd(here, sizeof here));
    demo_link(&d, sn_link_shared, DEMO_ONE, "plain.so");
    demo_link(&d, sn_link_shared, DEMO_OUTSIDE, "outside.so");
    const SnBytes part = sn_bytes(d.weights, sizeof d.weights),
                  parts[] = {sn_bytes(&d.head, sizeof d.head), part};
    assert_ok(sn_file_write(d.ctx, demo_path(&d, "demo.weights"), parts, 2, &err));
    assert_int_equal(chdir(d.dir.dir), 0);
    const SnStatus plain = open_file("plain.so"), outside = open_file("outside.so");
    assert_int_equal(chdir(here), 0);
    assert_int_equal(plain, SN_OK);
    assert_int_equal(outside, SN_OK);
    assert_int_equal(unlink(demo_path(&d, "demo.weights")), 0);
}

/* The dynamic linker knows a path once; the file there may be another. */
static void replaced_program_is_the_new_one(void **state)
{
    (void)state;
    enum { VERSIONS = 12 };
    SnProgram *p[VERSIONS];
    uint8_t *weights = calloc(1, 4096);
    assert_non_null(weights);
    const SnBytes part = sn_bytes(weights, 4096);
    char path[256];
    scratch_path(&d.dir, "hot.so", path);
    for (uint8_t i = 0; i < VERSIONS; i++) {
        SnLinkInput in = demo_input(&d, DEMO_ONE);
        weights[7] = i;
        in.part = &part;
        in.npart = 1;
        assert_ok(sn_link_shared(d.ctx, &in, path, &err));
        p[i] = open_good(path);
    }
    for (uint8_t i = 0; i < VERSIONS; i++) {
        assert_int_equal(weight(p[i], 7), i);
        sn_program_release(p[i]);
    }
    free(weights);
}

/* ---- weights beside ---- */

static void put_weights(const void *head, size_t head_size, const void *at, size_t n)
{
    const SnBytes part[] = {sn_bytes(head, head_size), sn_bytes(at, n)};
    assert_ok(sn_file_write(d.ctx, demo_path(&d, "demo.weights"), part, 2, &err));
}

static void weights_beside_are_checked(void **state)
{
    (void)state;
    SnWeightsHead head = d.head;
    const size_t n = sizeof d.weights;
    demo_link(&d, sn_link_shared, DEMO_OUTSIDE, "out.so");
    char path[256];
    scratch_path(&d.dir, "out.so", path);
    assert_int_equal(open_file(path), SN_EIO);
    assert_non_null(strstr(err.message, "demo.weights"));
    put_weights(&head, sizeof head, d.weights, n);
    SnProgram *p = open_good(path);
    assert_memory_equal(sn_file_bytes(p->weights).at + sizeof head, d.weights, n);
    sn_program_release(p);

    for (size_t i = 0; i < sizeof head + n; i += i < sizeof head ? 1 : 1009) {
        put_weights(&head, i < sizeof head ? i : sizeof head, d.weights,
                    i < sizeof head ? 0 : i - sizeof head);
        assert_int_equal(open_file(path), SN_EFORMAT);
    }
    put_weights(&head, sizeof head, d.weights, n - 1);
    assert_int_equal(open_file(path), SN_EFORMAT);
    for (size_t i = 0; i < n; i += n / 50) {
        d.weights[i] ^= 4;
        put_weights(&head, sizeof head, d.weights, n);
        d.weights[i] ^= 4;
        assert_int_equal(open_file(path), SN_EFORMAT);
        assert_non_null(strstr(err.message, "other weights"));
    }
    head.magic[3]++;
    put_weights(&head, sizeof head, d.weights, n);
    assert_int_equal(open_file(path), SN_EFORMAT);
    assert_int_equal(unlink(demo_path(&d, "demo.weights")), 0);
}

/* ---- what is no program ---- */

static void foreign_files_are_refused(void **state)
{
    (void)state;
    Dl_info libc;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "getpid"), &libc) != 0);
    assert_non_null(strstr(libc.dli_fname, "libc"));
    scratch_text(&d.dir, "empty", "");
    scratch_text(&d.dir, "text", "a text that is no program\n");
    scratch_text(&d.dir, "elf", ELFMAG);
    demo_link(&d, sn_link_object, DEMO_ONE, "object.o");
    demo_link(&d, sn_link_archive, DEMO_ONE, "archive.a");
    const struct {
        const char *path, *message;
        SnStatus status;
    } cases[] = {
        {demo_path(&d, "nothing"), "No such file", SN_EIO},
        {d.dir.dir, "folder", SN_EIO},
        {libc.dli_fname, "no note of ours", SN_EFORMAT},
        {"/proc/self/exe", "no note of ours", SN_EFORMAT},
        {"/dev/null", "empty", SN_EFORMAT},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        assert_int_equal(open_file(cases[i].path), cases[i].status);
        if (!strstr(err.message, cases[i].message) || !strstr(err.message, cases[i].path))
            fail_msg("%s: %s", cases[i].path, err.message);
    }
    static const char *const files[] = {"empty", "text", "elf", "object.o", "archive.a"};
    for (size_t i = 0; i < SN_COUNT(files); i++)
        assert_int_equal(open_file(demo_path(&d, files[i])), SN_EFORMAT);
}

/* ---- a good file with something changed ---- */

static uint8_t *good;
static size_t good_size;
static SnNote note; /* it may be changed too */
static size_t note_at;

static void make_good(void)
{
    demo_link(&d, sn_link_shared, DEMO_ONE, "good.so");
    good_size = demo_read(demo_path(&d, "good.so"), &good);
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)(const void *)good;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(const void *)(good + h->e_phoff);
    while (p->p_type != PT_NOTE)
        p++;
    note_at = p->p_offset + p->p_filesz - sizeof note;
    memcpy(&note, good + note_at, sizeof note);
}

static void check_changed(SnStatus want, const char *message)
{
    memcpy(good + note_at, &note, sizeof note);
    scratch_write(&d.dir, "changed.so", good, good_size);
    const SnStatus st = open_file(demo_path(&d, "changed.so"));
    if (st != want || !strstr(err.message, message))
        fail_msg("%s: %s, expected %s: %s", sn_status_name(st), err.message, sn_status_name(want), message);
    free(good);
    make_good();
}

static void changed_files_are_refused(void **state)
{
    (void)state;
    make_good();
    good[18] = EM_AARCH64;
    check_changed(SN_EUNSUPPORTED, "another machine");
    good[EI_CLASS] = ELFCLASS32;
    check_changed(SN_EUNSUPPORTED, "another machine");
    good[EI_DATA] = ELFDATA2MSB;
    check_changed(SN_EUNSUPPORTED, "another machine");
    good[note_at - 3] ^= 1;
    check_changed(SN_EFORMAT, "no note of ours");
    note.abi = SN_ABI + 1;
    check_changed(SN_EUNSUPPORTED, "compile it again");
    note.abi = SN_ABI - 1;
    check_changed(SN_EUNSUPPORTED, "compile it again");
    note.hash.hi ^= 1;
    check_changed(SN_EFORMAT, "another hash");
    note.weights_hash.lo ^= 1;
    check_changed(SN_EFORMAT, "hash");
    memset(note.program, 'x', sizeof note.program);
    check_changed(SN_EFORMAT, "no name");
    good[note.weights_at + 5000] ^= 1;
    check_changed(SN_EFORMAT, "weights have another hash");
    good[note.weights_at - 4096] ^= 1;
    check_changed(SN_EFORMAT, "another hash");
    good_size = note.weights_at + 5000;
    check_changed(SN_EFORMAT, "cut off");
    free(good);
}

/* As one with a whole note would be that names what it does not have. */
static void rewrite_note(void)
{
    note.hash = sn_note_hash(sn_bytes(good, good_size), &note);
}

static void whole_notes_may_be_wrong(void **state)
{
    (void)state;
    make_good();
    note.levels = 1U << SN_CPU_AMX;
    rewrite_note();
    check_changed(SN_EUNSUPPORTED, "from level amx on");
    note.levels = 1U << 31;
    rewrite_note();
    check_changed(SN_EFORMAT, "no code for any CPU");
    note.levels = 0;
    rewrite_note();
    check_changed(SN_EFORMAT, "no code for any CPU");
    note.program[0]++;
    rewrite_note();
    check_changed(SN_EFORMAT, note.program);
    note.weights_at = 0;
    rewrite_note();
    check_changed(SN_EFORMAT, "does not know");
    free(good);
}

/* Cut off at any byte: the file only gets shorter. */
static void truncated_files_are_refused(void **state)
{
    (void)state;
    make_good();
    scratch_write(&d.dir, "cut.so", good, good_size);
    const char *path = demo_path(&d, "cut.so");
    for (size_t n = good_size; n-- > 0;) {
        if (!all && n > 3000 && n % 211 != 0 && n + 70 < good_size)
            continue;
        assert_int_equal(truncate(path, (off_t)n), 0);
        const SnStatus st = open_file(path);
        if (st != SN_EFORMAT)
            fail_msg("cut to %zu of %zu bytes: %s", n, good_size, sn_status_name(st));
    }
    free(good);
}

/* Between segments lie bytes that nothing reads. */
static bool is_in_segment(size_t at)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)(const void *)good;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(const void *)(good + h->e_phoff);
    for (size_t i = 0; i < h->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && at >= p[i].p_offset && at - p[i].p_offset < p[i].p_filesz)
            return true;
    return false;
}

static void put_byte(int fd, size_t at, uint8_t v)
{
    assert_int_equal(pwrite(fd, &v, 1, (off_t)at), 1);
}

/* What is loaded is covered by hashes. Of the headers some bytes mean nothing to us: then it is loaded. */
static void each_byte_may_be_damaged(void **state)
{
    (void)state;
    make_good();
    scratch_write(&d.dir, "flip.so", good, good_size);
    const char *path = demo_path(&d, "flip.so");
    const size_t note_end = note_at + sizeof note, end = note.size;
    const int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    size_t harmless = 0;
    for (size_t i = 0; i < end; i += all || i < 2 * note_end ? 1 : 53)
        for (int k = 0; k < (i < note_end ? 3 : is_in_segment(i)); k++) {
            static const uint8_t flips[] = {0, 0xff, 0x80};
            put_byte(fd, i, (uint8_t)(good[i] ^ (k ? flips[k] : 1U << i % 8)));
            const SnStatus st = open_file(path);
            if (st != SN_EFORMAT && st != SN_EUNSUPPORTED && (i >= note_end || st != SN_OK))
                fail_msg("byte %zu is damaged: %s", i, sn_status_name(st));
            harmless += st == SN_OK;
            put_byte(fd, i, good[i]);
        }
    assert_int_equal(close(fd), 0);
    assert_int_equal(open_file(path), SN_OK);
    print_message("%zu of %zu changes of headers do no harm\n", harmless, 3 * note_end);
    free(good);
}

/* ---- a system that fails ---- */

static struct {
    unsigned count, fail_at; /* 0: none */
    bool no_map;             /* files are read instead of mapped */
} calls;

static bool fails(void)
{
    if (++calls.count != calls.fail_at)
        return false;
    errno = EIO;
    return true;
}

/* The linker puts these in place of open, fstat, mmap and read, which have such names where files may be
 * large. */
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
ssize_t __real_read(int fd, void *to, size_t n);
ssize_t __wrap_read(int fd, void *to, size_t n);
void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from);

int __wrap_open64(const char *path, int flags, ...)
{
    return fails() ? -1 : __real_open64(path, flags, 0600);
}

int __wrap_fstat64(int fd, struct stat *st)
{
    return fails() ? -1 : __real_fstat64(fd, st);
}

ssize_t __wrap_read(int fd, void *to, size_t n)
{
    return fails() ? -1 : __real_read(fd, to, n);
}

void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
    return fails() || calls.no_map ? MAP_FAILED : __real_mmap64(at, n, prot, flags, fd, from);
}

static void each_file_call_may_fail(void **state)
{
    (void)state;
    char path[256];
    scratch_path(&d.dir, "io.so", path);
    demo_link(&d, sn_link_shared, DEMO_OUTSIDE, "io.so");
    put_weights(&d.head, sizeof d.head, d.weights, sizeof d.weights);
    for (int no_map = 0; no_map < 2; no_map++) {
        unsigned failed = 0;
        for (unsigned fail_at = 1;; fail_at++) {
            calls.count = 0;
            calls.no_map = no_map;
            calls.fail_at = fail_at;
            const SnStatus st = open_file(path);
            const bool is_over = calls.count < fail_at;
            calls.fail_at = 0;
            calls.no_map = false;
            assert_true(st == SN_EIO || st == SN_OK);
            assert_int_equal(open_file(path), SN_OK);
            failed += st == SN_EIO;
            if (is_over)
                break;
        }
        assert_true(failed >= (no_map ? 6 : 4));
    }
    assert_int_equal(unlink(demo_path(&d, "demo.weights")), 0);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    demo_link(&d, sn_link_shared, DEMO_OUTSIDE, "oom.so");
    put_weights(&d.head, sizeof d.head, d.weights, sizeof d.weights);
    SnStatus st = SN_ENOMEM;
    for (uint64_t fail_at = 1; st != SN_OK; fail_at++) {
        EmbedMemory m = {.fail_at = fail_at};
        const SnContextDesc desc = {.struct_size = sizeof desc, .memory = embed_allocator(&m)};
        SnContext *ctx = NULL;
        SnProgram *p = NULL;
        err = (SnError){0};
        st = sn_context_create(&desc, &ctx, &err);
        if (st == SN_OK)
            st = sn_program_open(ctx, demo_path(&d, "oom.so"), &p, &err);
        sn_program_release(p);
        sn_context_destroy(ctx);
        assert_true((st == SN_OK || (st == SN_ENOMEM && err.message[0])) && m.live == 0 && !m.wrong);
        assert_false(is_loaded(demo_path(&d, "oom.so")));
    }
    assert_int_equal(unlink(demo_path(&d, "demo.weights")), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opened_program_runs),         cmocka_unit_test(two_references_share_a_library),
        cmocka_unit_test(path_may_have_no_slash),      cmocka_unit_test(replaced_program_is_the_new_one),
        cmocka_unit_test(weights_beside_are_checked),  cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(changed_files_are_refused),   cmocka_unit_test(whole_notes_may_be_wrong),
        cmocka_unit_test(truncated_files_are_refused), cmocka_unit_test(each_byte_may_be_damaged),
        cmocka_unit_test(each_file_call_may_fail),     cmocka_unit_test(each_allocation_may_fail),
    };
    if (argc < 4)
        return 1;
    all = argc > 4 && strcmp(argv[4], "all") == 0;
    demo_setup(&d, argv + 1);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    demo_teardown(&d);
    return failed;
}
