/* tokenizer.c -- `sinter tokenizer train`: a tokenizer whose vocabulary is made from texts: lines of files,
 * or a column of data files. */
#include "frontends/data/dataset.h"
#include "frontends/tokenizer_train.h"
#include "tools/command.h"

/* The texts of a column of a data file. */
static SnStatus feed_column(SnContext *ctx, SnTokenizerTrainer *t, const char *path, const char *column,
                            SnError *err)
{
    const char *const paths[] = {path};
    SnDataset *d = NULL;
    uint32_t at = 0;
    SnStatus st = sn_dataset_open(ctx, paths, 1, NULL, &d, err);
    if (st == SN_OK)
        st = sn_dataset_find(d, column, &at, err);
    if (st == SN_OK && sn_dataset_feature(d, at)->kind != SN_DATA_TEXT)
        st = sn_fail(err, SN_EINVAL, "%s: column %s holds no texts", path, column);
    for (int64_t row = 0; st == SN_OK && row < sn_dataset_rows(d); row++) {
        const SnCell c = sn_dataset_cell(d, at, row);
        if (!sn_cell_is_null(c))
            st = sn_tokenizer_trainer_feed(t, sn_cell_bytes(c), err);
    }
    sn_dataset_release(d);
    return st;
}

static SnStatus train(SnContext *ctx, const Args *a, SnBytes tokenizer, const SnJson *options,
                      const char *out, SnError *err)
{
    SnTokenizerTrainer *t = NULL;
    SnText json = {.memory = sn_allocator(ctx)};
    SnStatus st = sn_tokenizer_trainer_create(ctx, tokenizer, options, &t, err);
    const char *column = arg_value(a, "--column");
    for (int i = 2; st == SN_OK && i < a->n; i++)
        st = column ? feed_column(ctx, t, a->at[i], column, err)
                    : sn_tokenizer_trainer_feed_file(t, a->at[i], err);
    if (st == SN_OK)
        st = sn_tokenizer_trainer_finish(t, &json, err);
    const SnTokenizerEdits edits = {.struct_size = sizeof edits, .tokenizer = sn_bytes(json.at, json.n)};
    if (st == SN_OK)
        st = sn_tokenizer_save(ctx, a->at[1], out, &edits, err);
    sn_tokenizer_trainer_destroy(t);
    sn_text_clear(&json);
    return st;
}

int command_tokenizer(const Args *a)
{
    Session s = {0};
    SnBytes tokenizer;
    const SnJson *options = NULL;
    const char *out = arg_value(a, "-o"), *path = NULL;
    if (a->n < 3 || strcmp(a->at[0], "train") != 0 || !out)
        return usage_error(a, "expected train FOLDER FILE... -o FOLDER");
    int status = session_open(a, NULL, NULL, &s);
    if (status == EXIT_DONE) {
        path = sn_arena_printf(&s.arena, "%s/tokenizer.json", a->at[1]);
        status = path ? read_file(&s.arena, path, &tokenizer) : report_memory();
    }
    if (status == EXIT_DONE)
        status = read_options(a, &s.arena, &options);
    if (status == EXIT_DONE)
        status = report(a->at[1], train(s.ctx, a, tokenizer, options, out, &s.err), &s.err);
    session_close(&s);
    return status;
}
