/* error_test.c -- status names and error messages. */
#include "tests/unit/unit.h"

static void status_name_known_and_unknown(void **state)
{
    (void)state;
    assert_string_equal(sn_status_name(SN_OK), "SN_OK");
    assert_string_equal(sn_status_name(SN_EINTERNAL), "SN_EINTERNAL");
    assert_string_equal(sn_status_name((SnStatus)77), "SN_E?");
    assert_string_equal(sn_status_name((SnStatus)-1), "SN_E?");
}

static void fail_fills_code_and_message(void **state)
{
    (void)state;
    SnError err = {0};
    assert_int_equal(sn_fail(&err, SN_EFORMAT, "%s: has %d dims", "a.bin", 3), SN_EFORMAT);
    assert_int_equal(err.code, SN_EFORMAT);
    assert_string_equal(err.message, "a.bin: has 3 dims");
    assert_int_equal(sn_fail(NULL, SN_EIO, "x"), SN_EIO);
}

static void fail_in_puts_prefix_before(void **state)
{
    (void)state;
    SnError err = {0};
    (void)sn_fail(&err, SN_EFORMAT, "bad header");
    assert_int_equal(sn_fail_in(&err, SN_EFORMAT, "m.safetensors"), SN_EFORMAT);
    assert_string_equal(err.message, "m.safetensors: bad header");
    assert_int_equal(sn_fail_in(NULL, SN_EIO, "x"), SN_EIO);
}

static void fail_long_message_cut_between_characters(void **state)
{
    (void)state;
    SnError err = {0};
    char text[600];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    /* Byte 498 starts a three-byte character that does not fit. */
    memcpy(text + 498, "\xE2\x82\xAC", 3);
    (void)sn_fail(&err, SN_EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), 498);
    assert_int_equal(err.message[497], 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_name_known_and_unknown),
        cmocka_unit_test(fail_fills_code_and_message),
        cmocka_unit_test(fail_in_puts_prefix_before),
        cmocka_unit_test(fail_long_message_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
