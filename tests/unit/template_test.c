/* template_test.c -- templates of the files that people include: those that are embedded, wrong ones,
 * printing. */
#include "compiler/aot/template.h"

#include "compiler/aot/link.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    SnContext *ctx = NULL;
    SnError err;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    *state = ctx;
    return 0;
}

static int teardown(void **state)
{
    sn_context_destroy(*state);
    return 0;
}

/* What users would otherwise be the first to see. */
static void embedded_templates_are_right(void **state)
{
    size_t n = 0;
    SnArena arena;
    SnError err;
    sn_arena_init(&arena, sn_allocator(*state));
    for (const SnEmbedded *f = sn_embedded_template; f->name; f++, n++) {
        SnTemplate t;
        assert_ok(sn_template_read(&arena, f->name, sn_bytes(f->at, f->size), &t, &err));
        assert_true(t.npiece > 0);
        assert_int_equal(f->at[f->size - 1], '\n');
    }
    assert_true(n >= 7);
    sn_arena_clear(&arena);
}

static void errors_name_line_and_cause(void **state)
{
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"a\n@@ WEATHER\n", "t.in, line 2: no condition \"WEATHER\""},
        {"@@ EMBED weather\n", "t.in, line 1: no condition \"weather\""},
        {"@@ weather \"x\"\n", "t.in, line 1: no type \"weather\""},
        {"@@ size x\n", "t.in, line 1: expected text in quotes: \"x\""},
        {"@@ size \"\n", "t.in, line 1: expected text in quotes: \"\"\""},
        {"@@ size \"x\" y\n", "t.in, line 1: expected text in quotes: \"\"x\" y\""},
        {"@@EMBED\n", "t.in, line 1: expected a space after @@: \"EMBED\""},
        {"@@ size \"$s @\"\n", "t.in, line 1: not for each function: \"$s\""},
        {"\na $n\na $s\n", "t.in, line 3: not for each function: \"$s\""},
        {"\na $n\na $!\n", "t.in, line 3: no fact \"$!\""},
        {"100 $", "t.in, line 1: no fact \"$\""},
        {"@@ EMBED\n$e", "t.in, line 2: no row yet for \"$e\""},
        {"@@ size \"x\"\n@@ FUNCTIONS\n$p", "t.in, line 3: no row yet for \"$p\""},
        {"@@ FUNCTIONS\n$y\n@@ desc \"x\"\n", "t.in, line 2: no row yet for \"$y\""},
    };
    SnArena arena;
    SnError err;
    sn_arena_init(&arena, sn_allocator(*state));
    for (size_t i = 0; i < SN_COUNT(wrong); i++) {
        SnTemplate t;
        assert_fails(SN_EINTERNAL, sn_template_read(&arena, "t.in", sn_bytes_str(wrong[i].text), &t, &err));
        assert_string_equal(err.message, wrong[i].message);
    }
    sn_arena_clear(&arena);
}

static const SnImage image = {.size = sizeof image};
static const SnTask tensors = {.kind = SN_TYPED_TENSORS};

static SnAot model(SnArena *arena, const SnTask *task)
{
    return (SnAot){
        .arena = arena, .name = "npc_brain", .path = "dir/npc-brain.so", .task = task, .image = &image};
}

static void expect(SnContext *ctx, const SnTask *task, const char *text, const char *want)
{
    SnArena arena;
    SnTemplate t;
    SnError err;
    SnText out = {.memory = sn_allocator(ctx)};
    const SnAot a = model(&arena, task);
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_template_read(&arena, "t.in", sn_bytes_str(text), &t, &err));
    sn_template_put(&t, &a, &out);
    assert_string_equal(out.at, want);
    sn_text_clear(&out);
    sn_arena_clear(&arena);
}

static void facts_and_conditions(void **state)
{
    static const char *const label[] = {"bad", "go\"od"};
    static const SnTask embed = {.kind = SN_TYPED_EMBED, .width = 4},
                        classify = {.kind = SN_TYPED_CLASSIFY, .width = 2, .label = label};
    expect(*state, &embed, "$n $N $C $o $w $$n @ no end",
           "npc_brain NPC_BRAIN NpcBrain npc-brain 4 $n @ no end");
    expect(*state, &classify, "$l\n", "\"bad\", \"go\\042od\"\n");

    static const char text[] =
        "@@ -- nothing\nall\n@@ EMBED TAG\neither\n@@ CLASSIFY LABELS\nlabels\n@@ PAIR\ntwo\n"
        "@@ TEXT SINGLE\ntext\n@@ BLOCK\nblock\n@@\nend\n";
    expect(*state, &embed, text, "all\neither\ntext\nend\n");
    expect(*state, &classify, text, "all\nlabels\ntext\nend\n");
    expect(*state, &tensors, text, "all\nend\n");
    expect(*state, &tensors, "@@ EMBED FUNCTIONS\n$s\n@@\nend\n", "end\n");
}

static void functions_and_rows(void **state)
{
    static const char *const want[] = {
        "#include \"npc-brain.h\"\n\nkernels\n",
        "\nint sn_typed_create(const SnModelHost *host, void *out, const void *desc);\n",
        "\nvoid sn_typed_cancel(void *ctx);\n",
        "\n\nint npc_brain_create(const SnModelHost *host, NpcBrainCtx **out)\n{\n",
        "{\n    return sn_typed_create(host, out, npc_brain_typed);\n}\n",
        "\n\nvoid npc_brain_cancel(NpcBrainCtx *ctx)\n{\n    sn_typed_cancel(ctx);\n}\n",
    };
    SnArena arena;
    SnError err;
    SnText out = {.memory = sn_allocator(*state)};
    SnAot a = model(&arena, &tensors);
    a.object = sn_bytes_str("kernels");
    sn_arena_init(&arena, sn_allocator(*state));
    assert_ok(sn_template_print(&a, "model.c.in", &out, &err));
    for (size_t i = 0; i < SN_COUNT(want); i++)
        if (!strstr(out.at, want[i]))
            fail_msg("%s is not in\n%s", want[i], out.at);
    assert_null(strstr(out.at, "embed"));
    assert_fails(SN_EINTERNAL, sn_template_print(&a, "model.f90.in", &out, &err));
    sn_text_clear(&out);
    sn_arena_clear(&arena);
}

static void comments_and_functions(void **state)
{
    static const char want[] =
        "-- Takes over saved state, also of another build of the model whose carried tensors are the same:\n"
        "-- a new .so";
    SnArena arena;
    SnTemplate t;
    SnError err;
    SnText out = {.memory = sn_allocator(*state)};
    const SnAot a = model(&arena, &tensors);
    sn_arena_init(&arena, sn_allocator(*state));
    assert_ok(sn_template_read(
        &arena, "t.in", sn_bytes_str("@@ comment \"// \"\n@@ comment \"-- \"\n@@ FUNCTIONS\n-- $d $s($q)\n"),
        &t, &err));
    sn_template_put(&t, &a, &out);
    assert_non_null(strstr(out.at, want));
    assert_non_null(strstr(out.at, " state_load(ctx, from, size)\n"));
    sn_text_clear(&out);
    sn_arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(embedded_templates_are_right, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_name_line_and_cause, setup, teardown),
        cmocka_unit_test_setup_teardown(facts_and_conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_and_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(comments_and_functions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
