/* saved.c -- folders of save_to_disk: data-0000i-of-0000n.arrow, state.json, dataset_info.json; and those of
 * several splits, which dataset_dict.json lists. */
#include "frontends/data/table.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static bool has(const char *folder, const char *name)
{
    char path[SN_PATH_SIZE];
    return sn_path_join(path, folder, name, NULL) == SN_OK && sn_file_exists(path);
}

bool sn_saved_is(const char *folder)
{
    return has(folder, "state.json") || has(folder, "dataset_dict.json");
}

static SnStatus read_json(SnContext *ctx, SnArena *arena, const char *folder, const char *name, SnJson **out,
                          SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, folder, name, err));
    return sn_json_read(ctx, arena, path, out, err);
}

/* A name that stays inside of its folder. */
static bool is_plain_name(SnBytes s)
{
    return s.n > 0 && s.n < 256 && !memchr(s.at, '/', s.n) && !memchr(s.at, '\0', s.n) && s.at[0] != '.';
}

static SnStatus open_one(SnContext *ctx, SnArena *arena, const char *folder, SnDataset **out, SnError *err)
{
    SnJson *state = NULL;
    SN_TRY(read_json(ctx, arena, folder, "state.json", &state, err));
    const SnJson *files = sn_json_get(state, "_data_files");
    const uint32_t n = files && files->kind == SN_JSON_ARRAY ? files->n : 0;
    const char **path = sn_arena_array(arena, (size_t)n + 1, sizeof *path);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", folder);
    SN_CHECK(n > 0, err, SN_EFORMAT, "%s/state.json: _data_files lists no files", folder);
    for (uint32_t i = 0; i < n; i++) {
        SnBytes name;
        SN_CHECK(sn_json_string(sn_json_get(sn_json_at(files, i), "filename"), &name) && is_plain_name(name),
                 err, SN_EFORMAT, "%s/state.json: file %u has no plain name", folder, i);
        path[i] = sn_arena_printf(arena, "%s/%.*s", folder, (int)name.n, (const char *)name.at);
        SN_CHECK(path[i], err, SN_ENOMEM, "%s: no memory", folder);
    }
    const SnDataOptions o = {.struct_size = sizeof o, .format = "arrow"};
    return sn_dataset_open(ctx, path, n, &o, out, err);
}

typedef struct Folder {
    SnContext *ctx;
    SnArena *arena;
    const char *folder;
    bool has_splits;
    SnText names; /* of the splits */
} Folder;

/* One split by its name. A folder of one dataset has the split that it was made of, or train. */
static SnStatus open_split(void *self, SnBytes name, SnDataset **out, SnError *err)
{
    Folder *f = self;
    SnJson *json = NULL;
    bool found = false;
    SN_TRY(read_json(f->ctx, f->arena, f->folder, f->has_splits ? "dataset_dict.json" : "state.json", &json,
                     err));
    const SnJson *splits = sn_json_get(json, f->has_splits ? "splits" : "_split");
    const bool is_list = f->has_splits && splits && splits->kind == SN_JSON_ARRAY;
    f->names.n = 0;
    for (uint32_t i = 0; i < (is_list ? splits->n : 1); i++) {
        SnBytes s = sn_bytes_str("train");
        const bool ok = sn_json_string(is_list ? sn_json_at(splits, i) : splits, &s);
        SN_CHECK((ok || !f->has_splits) && is_plain_name(s), err, SN_EFORMAT,
                 "%s/dataset_dict.json: split %u has no plain name", f->folder, i);
        found = found || sn_bytes_equal(s, name);
        sn_text_printf(&f->names, "%s%.*s", i ? ", " : "", (int)s.n, (const char *)s.at);
    }
    SN_CHECK(!f->names.failed, err, SN_ENOMEM, "%s: no memory", f->folder);
    SN_CHECK(found, err, SN_EINVAL, "%s: no split %.*s; there are %s", f->folder, (int)name.n,
             (const char *)name.at, f->names.at);
    const char *path =
        !f->has_splits ? f->folder
                       : sn_arena_printf(f->arena, "%s/%.*s", f->folder, (int)name.n, (const char *)name.at);
    SN_CHECK(path, err, SN_ENOMEM, "%s: no memory", f->folder);
    return open_one(f->ctx, f->arena, path, out, err);
}

/* Without a name: the only split, or train. */
static SnStatus open_default(Folder *f, SnDataset **out, SnError *err)
{
    SnJson *dict = NULL;
    SnBytes name = sn_bytes_str("train");
    if (!f->has_splits)
        return open_one(f->ctx, f->arena, f->folder, out, err);
    SN_TRY(read_json(f->ctx, f->arena, f->folder, "dataset_dict.json", &dict, err));
    const SnJson *splits = sn_json_get(dict, "splits");
    if (splits && splits->kind == SN_JSON_ARRAY && splits->n == 1)
        (void)sn_json_string(sn_json_at(splits, 0), &name);
    return open_split(f, name, out, err);
}

SnStatus sn_saved_open(SnContext *ctx, const char *folder, const char *split, SnDataset **out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    Folder f = {.ctx = ctx,
                .arena = &arena,
                .folder = folder,
                .has_splits = has(folder, "dataset_dict.json"),
                .names.memory = arena.memory};
    const SnStatus st = split ? sn_split_open(split, open_split, &f, out, err) : open_default(&f, out, err);
    sn_text_clear(&f.names);
    sn_arena_clear(&arena);
    return st;
}

/* ---- write ---- */

static SnStatus write_json(const SnDataset *d, const char *folder, const char *name, SnText *t, SnError *err)
{
    char path[SN_PATH_SIZE];
    const SnBytes bytes = sn_bytes(t->at, t->n);
    SN_CHECK(!t->failed, err, SN_ENOMEM, "%s: no memory", folder);
    SN_TRY(sn_path_join(path, folder, name, err));
    return sn_file_write(d->ctx, path, &bytes, 1, err);
}

static SnStatus write_info(const SnDataset *d, const char *folder, SnError *err)
{
    SnText t = {.memory = sn_allocator(d->ctx)};
    sn_text_printf(&t, "{\n  \"citation\": \"\",\n  \"description\": \"\",\n  \"features\": ");
    sn_features_json(&t, &d->col[0].type, d->ncol, sizeof *d->col);
    sn_text_printf(&t, ",\n  \"homepage\": \"\",\n  \"license\": \"\"\n}");
    const SnStatus st = write_json(d, folder, "dataset_info.json", &t, err);
    sn_text_clear(&t);
    return st;
}

static SnStatus write_state(const SnDataset *d, const char *folder, SnError *err)
{
    SnText t = {.memory = sn_allocator(d->ctx)};
    sn_text_printf(
        &t,
        "{\n  \"_data_files\": [\n    {\n      \"filename\": \"data-00000-of-00001.arrow\"\n    }\n  ],\n"
        "  \"_fingerprint\": \"%016llx\",\n  \"_format_columns\": [",
        (unsigned long long)d->fingerprint);
    for (uint32_t i = 0; i < d->ncol; i++) {
        sn_text_printf(&t, "%s\n    ", i ? "," : "");
        sn_json_put_string(&t, sn_bytes_str(d->col[i].type.name));
    }
    sn_text_printf(&t, "\n  ],\n  \"_format_kwargs\": {},\n  \"_format_type\": null,\n"
                       "  \"_output_all_columns\": false,\n  \"_split\": null\n}");
    const SnStatus st = write_json(d, folder, "state.json", &t, err);
    sn_text_clear(&t);
    return st;
}

/* state.json is written last: a folder without it is not whole. */
SnStatus sn_saved_write(const SnDataset *d, const char *folder, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, folder, "data-00000-of-00001.arrow", err));
    SN_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: %s", folder, strerror(errno));
    SN_TRY(sn_dataset_save(d, path, err));
    SN_TRY(write_info(d, folder, err));
    return write_state(d, folder, err);
}
