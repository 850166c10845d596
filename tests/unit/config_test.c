/* config_test.c -- config.json: names, aliases, defaults, both forms, and files that are none. */
#include "frontends/hf/config.h"

#include "tests/unit/unit.h"

static SnContext *ctx;

static int open_context(void **state)
{
    (void)state;
    return sn_context_create(NULL, &ctx, NULL) == SN_OK ? 0 : 1;
}

static int close_context(void **state)
{
    (void)state;
    sn_context_destroy(ctx);
    return 0;
}

static SnConfig parse(const char *text)
{
    SnConfig c = {0};
    SnError err;
    assert_ok(sn_config_parse(ctx, "config.json", sn_bytes_str(text), &c, &err));
    return c;
}

static void config_key_is_found_under_the_names_of_architectures(void **state)
{
    (void)state;
    SnConfig c =
        parse("{\"model_type\":\"distilbert\",\"dim\":24,\"n_layers\":3,\"n_heads\":4,\"hidden_dim\":7,"
              "\"activation\":\"relu\"}");
    assert_int_equal(sn_config_int(&c, "hidden_size", 0), 24);
    assert_int_equal(sn_config_int(&c, "num_hidden_layers", 0), 3);
    assert_int_equal(sn_config_int(&c, "num_attention_heads", 0), 4);
    assert_int_equal(sn_config_int(&c, "intermediate_size", 0), 7);
    assert_string_equal(sn_config_string(&c, "hidden_act", "gelu"), "relu");
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"x\",\"hidden_size\":8,\"dim\":24}");
    assert_int_equal(sn_config_int(&c, "hidden_size", 0), 8);
    sn_config_clear(&c);
}

/* What else a file may say under names of other classes. */
static void config_a_class_reads_its_own_name_first(void **state)
{
    (void)state;
    SnConfig c = parse("{\"model_type\":\"starcoder2\",\"layer_norm_eps\":1,\"norm_epsilon\":2}");
    assert_true(sn_config_float(&c, "layer_norm_eps", 0) == 2);
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"gpt_neo\",\"hidden_act\":\"relu\",\"activation_function\":\"gelu\","
              "\"intermediate_size\":8,\"n_inner\":9}");
    assert_string_equal(sn_config_string(&c, "hidden_act", ""), "gelu");
    assert_int_equal(sn_config_int(&c, "intermediate_size", 0), 8);
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"llama\",\"hidden_act\":\"relu\",\"activation_function\":\"gelu\"}");
    assert_string_equal(sn_config_string(&c, "hidden_act", ""), "relu");
    sn_config_clear(&c);
}

static void config_absent_and_null_give_the_default(void **state)
{
    (void)state;
    SnConfig c =
        parse("{\"model_type\":\"bert\",\"pad_token_id\":null,\"hidden_act\":3,\"layer_norm_eps\":1}");
    assert_null(sn_config_get(&c, "pad_token_id"));
    assert_int_equal(sn_config_int(&c, "pad_token_id", 5), 5);
    assert_string_equal(sn_config_string(&c, "hidden_act", "gelu"), "gelu");
    assert_true(sn_config_float(&c, "layer_norm_eps", 0) == 1);
    assert_true(sn_config_bool(&c, "tie_word_embeddings", true));
    assert_int_equal(sn_config_int(&c, "absent", -7), -7);
    assert_string_equal(c.architecture, "");
    sn_config_clear(&c);
}

static void config_that_is_silent_has_what_its_family_has(void **state)
{
    (void)state;
    SnConfig c = parse("{\"model_type\":\"gpt_oss\",\"rope_parameters\":null}");
    assert_true(sn_json_is(sn_json_get(sn_config_get(&c, "rope_parameters"), "rope_type"), "yarn"));
    assert_null(sn_config_get(&c, "rope_scaling"));
    assert_int_equal(sn_config_int(&c, "num_hidden_layers", 32), 36);
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"gemma2\",\"n_head\":2}");
    assert_int_equal(sn_config_int(&c, "num_attention_heads", 32), 2);
    assert_int_equal(sn_config_int(&c, "num_hidden_layers", 32), 26);
    assert_null(sn_config_get(&c, "rope_parameters"));
    sn_config_clear(&c);
}

static void config_needed_key_is_checked(void **state)
{
    (void)state;
    int64_t v = 0;
    SnError err;
    SnConfig c = parse("{\"model_type\":\"bert\",\"a\":0,\"b\":5,\"c\":1.5,\"d\":9}");
    assert_fails(SN_EFORMAT, sn_config_need(&c, "a", 8, &v, &err));
    assert_fails(SN_EFORMAT, sn_config_need(&c, "c", 8, &v, &err));
    assert_fails(SN_EFORMAT, sn_config_need(&c, "d", 8, &v, &err));
    assert_fails(SN_EFORMAT, sn_config_need(&c, "e", 8, &v, &err));
    assert_ok(sn_config_need(&c, "b", 8, &v, &err));
    assert_int_equal(v, 5);
    sn_config_clear(&c);
}

static void config_dtype_is_read_in_both_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        SnDtype dtype;
    } cases[] = {
        {"{\"model_type\":\"m\",\"dtype\":\"bfloat16\"}", SN_BF16},
        {"{\"model_type\":\"m\",\"torch_dtype\":\"float16\"}", SN_F16},
        {"{\"model_type\":\"m\",\"dtype\":\"float32\",\"torch_dtype\":\"float16\"}", SN_F32},
        {"{\"model_type\":\"m\",\"dtype\":null}", SN_NODTYPE},
        {"{\"model_type\":\"m\"}", SN_NODTYPE},
    };
    for (size_t i = 0; i < SN_COUNT(cases); i++) {
        SnConfig c = parse(cases[i].text);
        assert_int_equal(c.dtype, cases[i].dtype);
        sn_config_clear(&c);
    }
}

static void config_labels_are_counted_and_named(void **state)
{
    (void)state;
    SnConfig c = parse("{\"model_type\":\"m\",\"id2label\":{\"0\":\"no\",\"1\":\"maybe\",\"2\":\"yes\"},"
                       "\"num_labels\":9}");
    assert_int_equal(sn_config_labels(&c), 3);
    assert_string_equal(sn_config_label(&c, 1), "maybe");
    assert_null(sn_config_label(&c, 3));
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"m\",\"num_labels\":4}");
    assert_int_equal(sn_config_labels(&c), 4);
    sn_config_clear(&c);
    c = parse("{\"model_type\":\"m\"}");
    assert_int_equal(sn_config_labels(&c), 2);
    assert_null(sn_config_label(&c, 0));
    sn_config_clear(&c);
}

static void config_that_is_none_fails(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "[]", "3", "{", "{}", "{\"model_type\":null}", "{\"model_type\":7}"};
    for (size_t i = 0; i < SN_COUNT(texts); i++) {
        SnConfig c = {0};
        SnError err;
        assert_fails(SN_EFORMAT, sn_config_parse(ctx, "config.json", sn_bytes_str(texts[i]), &c, &err));
        assert_non_null(strstr(err.message, "config.json"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_key_is_found_under_the_names_of_architectures),
        cmocka_unit_test(config_a_class_reads_its_own_name_first),
        cmocka_unit_test(config_absent_and_null_give_the_default),
        cmocka_unit_test(config_that_is_silent_has_what_its_family_has),
        cmocka_unit_test(config_needed_key_is_checked),
        cmocka_unit_test(config_dtype_is_read_in_both_forms),
        cmocka_unit_test(config_labels_are_counted_and_named),
        cmocka_unit_test(config_that_is_none_fails),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
