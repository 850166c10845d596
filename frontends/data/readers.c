/* readers.c -- files by their format: a row of the table each; what several files hold is one dataset. */
#include "frontends/data/table.h"
#include "ops/media/codec.h"

#include <sys/stat.h>

typedef struct Format {
    const char *name, *ending;
    SnStatus (*read)(const SnDataFile *f, SnDataset **out, SnError *err);
    SnStatus (*write)(const SnDataset *d, SnOutFile *f, SnError *err);
    char delimiter;
} Format;

static const Format formats[] = {
    {"csv", ".csv", sn_read_csv, sn_write_csv, ','},
    {"tsv", ".tsv", sn_read_csv, sn_write_tsv, '\t'},
    {"jsonl", ".jsonl", sn_read_json_rows, sn_write_json_rows, 0},
    {"jsonl", ".ndjson", sn_read_json_rows, sn_write_json_rows, 0},
    {"json", ".json", sn_read_json_rows, sn_write_json_list, 0},
    {"text", ".txt", sn_read_text, sn_write_text, 0},
    {"arrow", ".arrow", sn_read_arrow, sn_write_arrow, 0},
    {"parquet", ".parquet", sn_read_parquet, sn_write_parquet, 0},
    {"idx", "-ubyte", sn_read_idx, NULL, 0},
};

static bool ends_with(const char *path, size_t n, const char *end)
{
    const size_t m = strlen(end);
    return n >= m && memcmp(path + n - m, end, m) == 0;
}

static const Format *find_format(const char *path, const char *name)
{
    size_t n = strlen(path);
    n -= ends_with(path, n, ".gz") ? 3 : 0;
    for (size_t i = 0; i < SN_COUNT(formats); i++)
        if (name ? strcmp(formats[i].name, name) == 0 : ends_with(path, n, formats[i].ending))
            return &formats[i];
    return NULL;
}

bool sn_data_has_format(const char *path)
{
    return find_format(path, NULL) != NULL;
}

static SnStatus read_format(SnDataFile *f, const SnDataOptions *given, SnDataset **out, SnError *err)
{
    const Format *format = find_format(f->path, given->format);
    SN_CHECK(format, err, SN_EUNSUPPORTED,
             "%s: format %s is none of csv, tsv, jsonl, json, text, arrow, parquet, idx", f->path,
             given->format ? given->format : "(by the name's ending)");
    SnDataOptions o = *given;
    o.delimiter = o.delimiter ? o.delimiter : format->delimiter;
    f->o = &o;
    return format->read(f, out, err);
}

static void stamp_options(SnDataset *d, const SnDataOptions *o)
{
    const char *const texts[] = {o->format, o->sample_by, o->field};
    const char flags[] = {(char)o->no_header, (char)o->no_quotes, o->delimiter};
    sn_table_stamp(d, "flags", flags, sizeof flags);
    for (size_t i = 0; i < SN_COUNT(texts); i++)
        sn_table_stamp(d, texts[i] ? "option" : "none", texts[i], texts[i] ? strlen(texts[i]) : 0);
    for (size_t i = 0; i < o->nname; i++)
        sn_table_stamp(d, "name", o->names[i], strlen(o->names[i]));
}

/* One file; what was decompressed belongs to the dataset. */
static SnStatus read_file(SnContext *ctx, const char *path, const SnDataOptions *o, SnDataset **out,
                          SnError *err)
{
    SnFile *file = NULL;
    SnDataset *d = NULL;
    void *inflated = NULL;
    size_t size = 0;
    uint64_t identity[4];
    SN_TRY(sn_file_open(ctx, path, &file, err));
    SnDataFile f = {.ctx = ctx, .file = file, .path = path, .bytes = sn_file_bytes(file)};
    SnStatus st = SN_OK;
    if (sn_gzip_is(f.bytes)) {
        st = sn_gzip_inflate(sn_allocator(ctx), path, f.bytes, &inflated, &size, err);
        f.bytes = sn_bytes(inflated, size);
    }
    if (st == SN_OK)
        st = read_format(&f, o, &d, err);
    if (st == SN_OK && inflated) {
        st = sn_table_own(d, inflated, size, err);
        inflated = NULL;
    }
    if (st == SN_OK)
        st = sn_table_keep_file(d, file, err);
    sn_free(sn_allocator(ctx), inflated, size, _Alignof(max_align_t));
    sn_file_identity(file, identity);
    sn_file_release(file);
    if (st != SN_OK) {
        sn_dataset_release(d);
        return st;
    }
    sn_table_stamp(d, path, identity, sizeof identity);
    stamp_options(d, o);
    *out = d;
    return SN_OK;
}

/* Files of other columns stand beside each other, as images and their labels; else rows behind rows. */
static SnStatus beside(SnDataset *const *part, size_t npart, SnDataset **out, SnError *err)
{
    SnDataset *d = NULL;
    uint32_t ncol = 0;
    for (size_t i = 0; i < npart; i++)
        ncol += part[i]->ncol;
    SN_TRY(sn_table_create(part[0]->ctx, ncol, &d, err));
    SnStatus st = SN_OK;
    d->nrow = part[0]->nrow;
    ncol = 0;
    for (size_t i = 0; st == SN_OK && i < npart; i++) {
        st = sn_table_keep(d, part[i], err);
        if (st == SN_OK && part[i]->nrow != d->nrow)
            st = sn_fail(err, SN_EFORMAT, "%lld rows of %s, but %lld of %s", (long long)d->nrow,
                         d->col[0].type.name, (long long)part[i]->nrow, part[i]->col[0].type.name);
        memcpy(d->col + ncol, part[i]->col, part[i]->ncol * sizeof *d->col);
        ncol += part[i]->ncol;
        sn_table_stamp(d, "beside", &part[i]->fingerprint, sizeof part[i]->fingerprint);
    }
    if (st == SN_OK)
        *out = d;
    else
        sn_dataset_release(d);
    return st;
}

/* The type of a column of all files: nulls give way to others, whole numbers to floats. */
static const char *common_type(SnDataset *const *part, size_t npart, uint32_t column)
{
    const SnFeature *type = &part[0]->col[column].type;
    for (size_t i = 1; i < npart; i++) {
        const SnFeature *other = &part[i]->col[column].type;
        const bool numbers = type->kind == SN_DATA_NUMBER && other->kind == SN_DATA_NUMBER;
        if (type->kind == SN_DATA_NULL || (numbers && type->dtype == SN_I64 && other->dtype == SN_F64))
            type = other;
    }
    return type->kind == SN_DATA_LABEL || type->unit ? NULL : sn_feature_name(type);
}

static SnStatus agree(SnDataset **part, size_t npart, SnError *err)
{
    for (uint32_t k = 0; k < part[0]->ncol; k++) {
        for (size_t i = 0; i < npart; i++)
            if (part[i]->ncol != part[0]->ncol ||
                strcmp(part[i]->col[k].type.name, part[0]->col[k].type.name) != 0)
                return SN_OK;
        const char *type = common_type(part, npart, k);
        for (size_t i = 0; type && i < npart; i++) {
            const SnFeature *own = &part[i]->col[k].type;
            const bool gives_way =
                own->kind == SN_DATA_NULL || (own->kind == SN_DATA_NUMBER && own->dtype == SN_I64);
            SnDataset *cast = NULL;
            if (!gives_way || own->unit || strcmp(sn_feature_name(own), type) == 0)
                continue;
            SN_TRY(sn_dataset_cast(part[i], own->name, type, &cast, err));
            sn_dataset_release(part[i]);
            part[i] = cast;
        }
    }
    return SN_OK;
}

static SnStatus join_files(SnDataset **part, size_t npart, SnDataset **out, SnError *err)
{
    SN_TRY(agree(part, npart, err));
    return sn_dataset_concatenate(part, npart, out, err);
}

SnStatus sn_read_files(SnContext *ctx, const char *const *path, size_t npath, const SnDataOptions *o,
                       SnDataset **out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnDataset **part = sn_arena_array(&arena, npath, sizeof(SnDataset *));
    SnStatus st = part ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    for (size_t i = 0; st == SN_OK && i < npath; i++)
        st = read_file(ctx, path[i], o, &part[i], err);
    if (st == SN_OK && npath == 1)
        *out = sn_dataset_retain(part[0]);
    else if (st == SN_OK && part[0]->ncol && part[1]->ncol &&
             strcmp(part[0]->col[0].type.name, part[1]->col[0].type.name) != 0)
        st = beside(part, npath, out, err);
    else if (st == SN_OK)
        st = join_files(part, npath, out, err);
    for (size_t i = 0; part && i < npath; i++)
        sn_dataset_release(part[i]);
    sn_arena_clear(&arena);
    return st;
}

typedef struct Files {
    SnContext *ctx;
    const char *const *path;
    size_t npath;
    const SnDataOptions *o;
} Files;

/* Files that are given are the split train. */
static SnStatus open_split(void *self, SnBytes name, SnDataset **out, SnError *err)
{
    const Files *f = self;
    SN_CHECK(sn_bytes_is(name, "train"), err, SN_EINVAL, "%s: no split %.*s; there is train", f->path[0],
             (int)name.n, (const char *)name.at);
    return sn_read_files(f->ctx, f->path, f->npath, f->o, out, err);
}

SnStatus sn_dataset_open(SnContext *ctx, const char *const *path, size_t npath, const SnDataOptions *o,
                         SnDataset **out, SnError *err)
{
    static const SnDataOptions none = {.struct_size = sizeof none};
    SN_CHECK(npath > 0, err, SN_EINVAL, "dataset: no files");
    o = o ? o : &none;
    if (npath == 1 && sn_saved_is(path[0]))
        return sn_saved_open(ctx, path[0], o->split, out, err);
    struct stat st;
    if (npath == 1 && stat(path[0], &st) == 0 && S_ISDIR(st.st_mode))
        return sn_data_folder_open(ctx, path[0], o, out, err);
    Files f = {ctx, path, npath, o};
    return o->split ? sn_split_open(o->split, open_split, &f, out, err)
                    : sn_read_files(ctx, path, npath, o, out, err);
}

SnStatus sn_dataset_save(const SnDataset *d, const char *path, SnError *err)
{
    const Format *format = find_format(path, NULL);
    if (!format)
        return sn_saved_write(d, path, err);
    SN_CHECK(format->write, err, SN_EUNSUPPORTED, "%s: %s files are only read", path, format->name);
    SnOutFile *f = NULL;
    SN_TRY(sn_out_begin(d->ctx, path, 0, &f, err));
    const SnStatus st = format->write(d, f, err);
    if (st == SN_OK)
        return sn_out_end(f, err);
    sn_out_abandon(f);
    return st;
}
