/* parquet_test.c -- a file of pyarrow becomes columns; what is written is read back; damage is refused with a
 * message; what is packed is unpacked. */
#include "frontends/data/dataset.h"
#include "ops/media/codec.h"
#include "runtime/context.h"

#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* pyarrow 26: i int32 [1, 2, null, -2^31], s string ["a", "\u00c9t\u00e9", null, "a"], l list<int16>
 * [[1, null], [], null, [2]], without compression. */
static const char known[] =
    "504152311504151815184c150615001200000100000002000000000000801500151415142c15081510150615061c0000"
    "0002000000030b020324001504151c151c4c15041500120000010000006105000000c38974c3a91500151215122c1508"
    "1510150615061c00000002000000030b0103021504151015104c1504150012000001000000020000001500152015202c"
    "150a1510150615061c00000002000000030203000000031b030103021504196c35001806736368656d61150600150225"
    "0218016900150c250218017325004c1c000000350218016c150215064c3c000000350418046c69737415020015022502"
    "1807656c656d656e7425204cac1310110000001608191c193c26001c150219350006101918016915001608166e166e26"
    "3c2608292c15041500150200150015101502003c29061926020600000026001c150c1935000610191801731500160816"
    "70167026ae012676292c15041500150200150015101502003c160e19061926020600000026001c150219350006101938"
    "016c046c69737407656c656d656e741500160a1672167226920226e601292c15041500150200150015101502003c2926"
    "080219460202020400000016d0021608260816d002002820706172717565742d6370702d6172726f772076657273696f"
    "6e2032362e302e31193c1c00001c00001c0000004801000050415231";

static const char rows[] =
    "{\"i\":1,\"s\":\"a\",\"l\":[1,null]}\n{\"i\":2,\"s\":\"\xC3\x89t\xC3\xA9\",\"l\":[]}\n"
    "{\"i\":null,\"s\":null,\"l\":null}\n{\"i\":-2147483648,\"s\":\"a\",\"l\":[2]}\n";

static size_t known_bytes(uint8_t *out)
{
    const size_t n = (sizeof known - 1) / 2;
    for (size_t i = 0; i < n; i++) {
        const char pair[3] = {known[2 * i], known[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return n;
}

static SnStatus open_file(SnContext *ctx, const Scratch *s, const char *name, SnDataset **out, SnError *err)
{
    char path[256];
    const char *const paths[] = {path};
    scratch_path(s, name, path);
    return sn_dataset_open(ctx, paths, 1, NULL, out, err);
}

static void assert_text(const Scratch *s, const SnDataset *d, const char *want)
{
    char path[256], text[4096];
    SnError err;
    scratch_path(s, "rows.jsonl", path);
    assert_ok(sn_dataset_save(d, path, &err));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    assert_int_equal(fclose(f), 0);
    assert_string_equal(text, want);
}

static void parquet_known_file_becomes_columns(void **state)
{
    (void)state;
    Scratch s;
    SnContext *ctx = NULL;
    SnDataset *d = NULL, *again = NULL;
    SnError err = {0};
    char path[256];
    uint8_t bytes[sizeof known / 2 + 1];
    scratch_open(&s);
    assert_ok(sn_context_create(NULL, &ctx, &err));
    scratch_write(&s, "known.parquet", bytes, known_bytes(bytes));
    assert_ok(open_file(ctx, &s, "known.parquet", &d, &err));
    assert_int_equal(sn_dataset_feature(d, 0)->dtype, SN_I32);
    assert_int_equal(sn_dataset_feature(d, 2)->child->dtype, SN_I16);
    assert_text(&s, d, rows);
    scratch_path(&s, "again.parquet", path);
    assert_ok(sn_dataset_save(d, path, &err));
    assert_ok(open_file(ctx, &s, "again.parquet", &again, &err));
    assert_int_equal(sn_dataset_feature(again, 2)->child->dtype, SN_I16);
    assert_text(&s, again, rows);
    sn_dataset_release(again);
    sn_dataset_release(d);
    sn_context_destroy(ctx);
    scratch_close(&s);
}

/* Each value comes back, whether it has a dictionary, nulls, or rows in several groups. */
static void parquet_many_rows_come_back(void **state)
{
    (void)state;
    enum { ROWS = 70000 };
    Scratch s;
    SnContext *ctx = NULL;
    SnDataset *d = NULL, *again = NULL;
    SnError err = {0};
    char path[256];
    scratch_open(&s);
    assert_ok(sn_context_create(NULL, &ctx, &err));
    SnText text = {.memory = sn_allocator(ctx)};
    for (int i = 0; i < ROWS; i++)
        sn_text_printf(&text,
                       i % 7 ? "{\"n\":%d,\"few\":\"w%d\",\"in\":{\"x\":[%d.5],\"t\":%s}}\n" : "{\"n\":%d}\n",
                       i, i % 5, i / 3, i % 2 ? "true" : "null");
    scratch_write(&s, "many.jsonl", text.at, text.n);
    assert_ok(open_file(ctx, &s, "many.jsonl", &d, &err));
    scratch_path(&s, "many.parquet", path);
    assert_ok(sn_dataset_save(d, path, &err));
    assert_ok(open_file(ctx, &s, "many.parquet", &again, &err));
    assert_int_equal(sn_dataset_rows(again), ROWS);
    SnText a = {.memory = text.memory}, b = {.memory = text.memory};
    for (int64_t row = 0; row < ROWS; row++)
        for (uint32_t i = 0; i < 3; i++) {
            a.n = b.n = 0;
            assert_true(sn_cell_json(&a, sn_dataset_cell(d, i, row)));
            assert_true(sn_cell_json(&b, sn_dataset_cell(again, i, row)));
            assert_string_equal(a.at, b.at);
        }
    sn_text_clear(&a);
    sn_text_clear(&b);
    sn_text_clear(&text);
    sn_dataset_release(again);
    sn_dataset_release(d);
    sn_context_destroy(ctx);
    scratch_close(&s);
}

static void parquet_damage_is_refused(void **state)
{
    (void)state;
    Scratch s;
    SnContext *ctx = NULL;
    SnError err = {0};
    uint8_t bytes[sizeof known / 2 + 1];
    const size_t n = known_bytes(bytes);
    scratch_open(&s);
    assert_ok(sn_context_create(NULL, &ctx, &err));
    for (size_t cut = 0; cut < n; cut++) {
        SnDataset *d = NULL;
        scratch_write(&s, "cut.parquet", bytes, cut);
        assert_fails(SN_EFORMAT, open_file(ctx, &s, "cut.parquet", &d, &err));
    }
    for (size_t at = 0; at < n; at++) {
        SnDataset *d = NULL;
        err.message[0] = '\0';
        bytes[at] ^= 0x55;
        scratch_write(&s, "bits.parquet", bytes, n);
        if (open_file(ctx, &s, "bits.parquet", &d, &err) != SN_OK)
            assert_true(err.message[0] != '\0');
        sn_dataset_release(d);
        bytes[at] ^= 0x55;
    }
    sn_context_destroy(ctx);
    scratch_close(&s);
}

static void codec_packs_and_unpacks(void **state)
{
    (void)state;
    SnContext *ctx = NULL;
    SnError err = {0};
    uint8_t in[5000], out[5001];
    assert_ok(sn_context_create(NULL, &ctx, &err));
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i * i % 97);
    for (int c = SN_CODEC_NONE; c <= SN_CODEC_LZ4_RAW; c++) {
        SnText packed = {.memory = sn_allocator(ctx)};
        if (!sn_codec_writes((SnCodec)c))
            continue;
        assert_ok(sn_codec_pack((SnCodec)c, sn_bytes(in, sizeof in), &packed, &err));
        const SnBytes bytes = sn_bytes(packed.at, packed.n);
        assert_ok(sn_codec_unpack(packed.memory, (SnCodec)c, bytes, out, sizeof in, &err));
        assert_memory_equal(in, out, sizeof in);
        assert_fails(SN_EFORMAT, sn_codec_unpack(packed.memory, (SnCodec)c, bytes, out, sizeof out, &err));
        assert_fails(SN_EFORMAT, sn_codec_unpack(packed.memory, (SnCodec)c, bytes, out, sizeof in - 1, &err));
        sn_text_clear(&packed);
    }
    assert_fails(SN_EUNSUPPORTED,
                 sn_codec_unpack(sn_allocator(ctx), SN_CODEC_LZO, sn_bytes(in, 9), out, 9, &err));
    sn_context_destroy(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parquet_known_file_becomes_columns),
        cmocka_unit_test(parquet_many_rows_come_back),
        cmocka_unit_test(parquet_damage_is_refused),
        cmocka_unit_test(codec_packs_and_unpacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
