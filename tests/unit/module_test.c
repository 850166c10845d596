/* Modules beside libsinter: those of another build are refused by name. Arguments: a module of another build,
 * one without a build id. */
#include "compiler/target.h"
#include "ops/ops.h"
#include "runtime/bytes.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Case {
    const char *file, *says;
} Case;

static void refuse(const Case *c, const char *name, const char *target)
{
    SnError err;
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnFile *file = NULL;
    SnBytes bytes;
    char dir[] = "/tmp/sinter-test-XXXXXX", path[100];
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_file_open(ctx, c->file, &file, &err));
    bytes = sn_file_bytes(file);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(sn_file_write(ctx, path, &bytes, 1, &err));
    sn_file_release(file);
    const SnCompilerDesc desc = {
        .struct_size = sizeof desc, .ops = sn_all_ops, .backends = sn_all_backends, .module_dir = dir};
    assert_ok(sn_compiler_create(ctx, &desc, &cc, &err));
    assert_ok(sn_graph_create(cc, &g, &err));
    assert_ok(
        sn_graph_parse(g, "test", sn_bytes_str("entry @main(x: f32[4]) {\n  ret y: (neg x)\n}\n"), &err));
    const SnCompileOptions o = {.struct_size = sizeof o, .target = target};
    assert_fails(SN_EUNSUPPORTED, sn_compile(cc, g, &o, &p, &err));
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, c->says));
    sn_graph_destroy(g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void module_of_another_build_is_refused(void **state)
{
    refuse(*state, "sinter-llvm.so", "cpu");
    refuse(*state, "sinter-opencl.so", "opencl:0");
}

static void module_that_is_absent_is_named(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    void *module = NULL, *symbol = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_fails(SN_EUNSUPPORTED,
                 sn_module_open(ctx, "/nowhere", "sinter-x.so", "f", false, &module, &symbol, &err));
    assert_non_null(strstr(err.message, "/nowhere/sinter-x.so"));
    sn_context_destroy(ctx);
}

int main(int argc, char **argv)
{
    Case stale = {argc > 1 ? argv[1] : "", "of another build (0123456789abcdef, this is "};
    Case old = {argc > 2 ? argv[2] : "", "of another build (older, this is "};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(module_of_another_build_is_refused, &stale),
        cmocka_unit_test_prestate(module_of_another_build_is_refused, &old),
        cmocka_unit_test(module_that_is_absent_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
