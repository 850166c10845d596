/* tensor_test.c -- views, strided copies, ownership, DLPack both ways and hostile. */
#include "runtime/tensor.h"

#include "tests/unit/unit.h"

static SnContext *context(void)
{
    SnError err;
    SnContext *ctx = NULL;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    return ctx;
}

static void view_count_overflow_detected(void **state)
{
    (void)state;
    int64_t n = -1;
    SnView v = sn_view(SN_F32, NULL, 2, (const int64_t[]){INT64_C(1) << 31, INT64_C(1) << 31});
    assert_false(sn_view_count(&v, &n)); /* 2^62 elements, 2^64 bytes */
    v = sn_view(SN_U8, NULL, 3, (const int64_t[]){INT64_MAX, 0, INT64_MAX});
    assert_true(sn_view_count(&v, &n) && n == 0);
    v = sn_view(SN_U8, NULL, 2, (const int64_t[]){2, -1});
    assert_false(sn_view_count(&v, &n));
    v = sn_view(SN_F32, NULL, 0, NULL);
    assert_true(sn_view_count(&v, &n) && n == 1);
    assert_int_equal(sn_view(SN_F32, NULL, 13, NULL).dtype, SN_NODTYPE);
    assert_int_equal(sn_view(SN_F32, NULL, -1, NULL).dtype, SN_NODTYPE);
}

static void view_copy_every_size_transposed(void **state)
{
    (void)state;
    SnError err;
    static const SnDtype dtypes[] = {SN_U8, SN_U16, SN_U32, SN_U64};
    for (size_t d = 0; d < SN_COUNT(dtypes); d++) {
        uint64_t from[24], to[24];
        for (int i = 0; i < 24; i++)
            sn_scalar_store(dtypes[d], (char *)from + (size_t)i * sn_dtype_size(dtypes[d]),
                            (SnScalar){.i = i});
        /* [2, 3, 4] read as [4, 2, 3]. */
        SnView v = sn_view(dtypes[d], from, 3, (const int64_t[]){4, 2, 3});
        memcpy(v.strides, (const int64_t[]){1, 12, 4}, 3 * sizeof(int64_t));
        assert_false(sn_view_is_dense(&v));
        assert_ok(sn_view_copy(&v, to, 24 * sn_dtype_size(dtypes[d]), &err));
        for (int i = 0; i < 24; i++) {
            const int want = i / 6 + i / 3 % 2 * 12 + i % 3 * 4;
            assert_int_equal(sn_scalar_load(dtypes[d], (char *)to + (size_t)i * sn_dtype_size(dtypes[d])).i,
                             want);
        }
        assert_fails(SN_ESHAPE, sn_view_copy(&v, to, 23 * sn_dtype_size(dtypes[d]), &err));
    }
}

static void view_copy_reversed_and_repeated(void **state)
{
    (void)state;
    SnError err;
    const int32_t from[] = {1, 2, 3};
    int32_t to[6];
    SnView v = sn_view(SN_I32, (void *)(uintptr_t)(from + 2), 2, (const int64_t[]){2, 3});
    v.strides[1] = -1;
    assert_ok(sn_view_copy(&v, to, sizeof to, &err));
    assert_memory_equal(to, ((const int32_t[]){3, 2, 1, 3, 2, 1}), sizeof to);
}

static void tensor_views_keep_the_whole_alive(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = context();
    SnTensor *t = NULL, *column = NULL, *bad = NULL;
    assert_ok(sn_tensor_create(ctx, SN_F32, 2, (const int64_t[]){3, 4}, &t, &err));
    float *data = (float *)sn_tensor_view(t)->data;
    assert_int_equal((uintptr_t)data % 64, 0);
    for (int i = 0; i < 12; i++) {
        assert_true(data[i] == 0.0f);
        data[i] = (float)i;
    }
    assert_ok(sn_tensor_create_view(t, 1, 1, (const int64_t[]){3}, (const int64_t[]){4}, &column, &err));
    assert_fails(SN_ESHAPE,
                 sn_tensor_create_view(t, 4, 1, (const int64_t[]){3}, (const int64_t[]){4}, &bad, &err));
    assert_fails(SN_ESHAPE, sn_tensor_create_view(t, -1, 1, (const int64_t[]){3}, NULL, &bad, &err));
    assert_fails(SN_ESHAPE, sn_tensor_create_view(column, 0, 1, (const int64_t[]){12}, NULL, &bad, &err));
    assert_fails(SN_EINVAL, sn_tensor_create_view(t, 0, 2, (const int64_t[]){3, 3},
                                                  (const int64_t[]){INT64_MAX, INT64_MAX}, &bad, &err));
    assert_fails(SN_EINVAL, sn_tensor_create(ctx, SN_F32, 1, (const int64_t[]){-1}, &bad, &err));
    assert_fails(SN_EINVAL, sn_tensor_create(ctx, SN_F32, 13, (const int64_t[]){1}, &bad, &err));
    assert_null(bad);
    sn_tensor_release(t);
    float to[3];
    assert_ok(sn_view_copy(sn_tensor_view(column), to, sizeof to, &err));
    assert_true(to[0] == 1.0f && to[1] == 5.0f && to[2] == 9.0f);
    sn_tensor_release(column);
    sn_tensor_release(NULL);
    sn_context_destroy(ctx);
}

static void count_delete(SnDlManaged *m)
{
    ++*(int *)m->manager;
}

static void count_delete_versioned(SnDlVersioned *m)
{
    ++*(int *)m->manager;
}

static void dlpack_import_takes_and_gives_back(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = context();
    SnTensor *t = NULL;
    int deleted = 0;
    float data[8] = {0, 1, 2, 3, 4, 5, 6, 7}, to[4];
    int64_t shape[] = {2, 2}, strides[] = {1, 2};
    SnDlManaged m = {.tensor = {data, {SN_DL_CPU, 0}, 2, {2, 32, 1}, shape, strides, 4 * sizeof(float)},
                     .manager = &deleted,
                     .deleter = count_delete};
    assert_ok(sn_dlpack_import(ctx, &m, &t, &err));
    assert_true(sn_tensor_view(t)->data == data + 4);
    assert_ok(sn_view_copy(sn_tensor_view(t), to, sizeof to, &err));
    assert_true(to[0] == 4.0f && to[1] == 6.0f && to[2] == 5.0f && to[3] == 7.0f);
    sn_tensor_release(sn_tensor_retain(t));
    assert_int_equal(deleted, 0);
    sn_tensor_release(t);
    assert_int_equal(deleted, 1);

    /* Dense strides become none; one value repeated is copied and given back at once. */
    m.tensor.strides = (int64_t[]){2, 1};
    assert_ok(sn_dlpack_import(ctx, &m, &t, &err));
    assert_int_equal(sn_tensor_view(t)->strides[0], 0);
    sn_tensor_release(t);
    m.tensor.strides = (int64_t[]){0, 0};
    assert_ok(sn_dlpack_import(ctx, &m, &t, &err));
    assert_int_equal(deleted, 3);
    data[4] = -1.0f;
    assert_true(((float *)sn_tensor_view(t)->data)[3] == 4.0f);
    sn_tensor_release(t);
    assert_int_equal(deleted, 3);
    sn_context_destroy(ctx);
}

static void dlpack_hostile_import_fails(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = context();
    SnTensor *t = NULL;
    int deleted = 0;
    float data[4] = {0};
    int64_t shape[] = {4}, negative[] = {-4}, many[] = {INT64_MAX, 2}, far[] = {INT64_MAX};
    const SnDlTensor good = {data, {SN_DL_CPU, 0}, 1, {2, 32, 1}, shape, NULL, 0};
    SnDlTensor bad[12];
    for (size_t i = 0; i < SN_COUNT(bad); i++)
        bad[i] = good;
    bad[0].device.type = 2;
    bad[1].dtype.lanes = 4;
    bad[2].dtype.code = 99;
    bad[3].ndim = -1;
    bad[4].ndim = 13;
    bad[5].shape = NULL;
    bad[6].shape = negative;
    bad[7].shape = many;
    bad[7].ndim = 2;
    bad[8].strides = far;
    bad[9].data = NULL;
    bad[10].byte_offset = UINT64_MAX;
    bad[11].byte_offset = 1;
    for (size_t i = 0; i < SN_COUNT(bad); i++) {
        SnDlManaged m = {.tensor = bad[i], .manager = &deleted, .deleter = count_delete};
        assert_fails(i < 5 ? SN_EUNSUPPORTED : SN_EINVAL, sn_dlpack_import(ctx, &m, &t, &err));
    }
    SnDlVersioned v = {
        .version = {2, 0}, .tensor = good, .manager = &deleted, .deleter = count_delete_versioned};
    assert_fails(SN_EUNSUPPORTED, sn_dlpack_import_versioned(ctx, &v, &t, &err));
    assert_null(t);
    assert_int_equal(deleted, 0);
    SnDlManaged empty = {.tensor = {NULL, {SN_DL_CPU, 0}, 1, {2, 32, 1}, (int64_t[]){0}, NULL, 0}};
    assert_ok(sn_dlpack_import(ctx, &empty, &t, &err));
    sn_tensor_release(t);
    sn_context_destroy(ctx);
}

static void dlpack_round_trip_keeps_everything(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = context();
    SnTensor *t = NULL, *view = NULL, *back = NULL;
    SnDlManaged *m = NULL;
    SnDlVersioned *v = NULL;
    assert_ok(sn_tensor_create(ctx, SN_BF16, 2, (const int64_t[]){3, 5}, &t, &err));
    assert_ok(sn_tensor_create_view(t, 1, 2, (const int64_t[]){5, 2}, (const int64_t[]){1, 5}, &view, &err));
    const SnView want = *sn_tensor_view(view);
    sn_tensor_release(t);
    assert_ok(sn_dlpack_export(view, &m, &err));
    sn_tensor_release(view);
    assert_int_equal(m->tensor.dtype.code, 4);
    assert_ok(sn_dlpack_import(ctx, m, &back, &err));
    assert_memory_equal(sn_tensor_view(back)->strides, want.strides, sizeof want.strides);
    assert_true(sn_tensor_view(back)->data == want.data && sn_tensor_view(back)->dtype == SN_BF16);
    assert_ok(sn_dlpack_export_versioned(back, &v, &err));
    sn_tensor_release(back);
    v->flags |= SN_DL_READ_ONLY;
    assert_ok(sn_dlpack_import_versioned(ctx, v, &back, &err));
    assert_true(sn_tensor_is_read_only(back));
    assert_fails(SN_EUNSUPPORTED, sn_dlpack_export(back, &m, &err));
    sn_tensor_release(back);
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(view_count_overflow_detected),
        cmocka_unit_test(view_copy_every_size_transposed),
        cmocka_unit_test(view_copy_reversed_and_repeated),
        cmocka_unit_test(tensor_views_keep_the_whole_alive),
        cmocka_unit_test(dlpack_import_takes_and_gives_back),
        cmocka_unit_test(dlpack_hostile_import_fails),
        cmocka_unit_test(dlpack_round_trip_keeps_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
