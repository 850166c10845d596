/* readers.c -- files by their format: a row of the table each; what several files hold is one dataset.
 *
 * Files of Arrow and idx are columns where they lie. Others are decoded a part after the other (`rows`),
 * through the cache if they are large. What a later part says otherwise than the first one is cast to what
 * that says; where that cannot be (and datasets gives up), files are read again as a whole each, and agree on
 * types. */
#include "frontends/data/table.h"
#include "ops/media/codec.h"

#include <sys/stat.h>

typedef struct Format {
    const char *name, *ending;
    SnStatus (*read)(const SnDataFile *f, SnDataset **out, SnError *err);
    SnStatus (*rows)(const SnDataFile *f, SnRows *to, SnError *err);
    SnStatus (*write)(const SnDataset *d, SnOutFile *f, SnError *err);
    char delimiter;
} Format;

static const Format formats[] = {
    {"csv", ".csv", NULL, sn_read_csv, sn_write_csv, ','},
    {"tsv", ".tsv", NULL, sn_read_csv, sn_write_tsv, '\t'},
    {"jsonl", ".jsonl", NULL, sn_read_json_rows, sn_write_json_rows, 0},
    {"jsonl", ".ndjson", NULL, sn_read_json_rows, sn_write_json_rows, 0},
    {"json", ".json", NULL, sn_read_json_rows, sn_write_json_list, 0},
    {"text", ".txt", NULL, sn_read_text, sn_write_text, 0},
    {"arrow", ".arrow", sn_read_arrow, NULL, sn_write_arrow, 0},
    {"parquet", ".parquet", NULL, sn_read_parquet, sn_write_parquet, 0},
    {"idx", "-ubyte", sn_read_idx, NULL, NULL, 0},
};

enum { LEAST_BYTES = 1 << 20 }; /* of files; fewer are decoded as fast as they are found */

static const Format *find_format(const char *path, const char *name)
{
    static const char *const packed[] = {".gz", ".bz2", ".xz", ".zst"};
    SnBytes file = sn_bytes_str(path);
    size_t i = 0;
    while (i < SN_COUNT(packed) && !sn_bytes_ends(file, packed[i]))
        i++;
    file.n -= i < SN_COUNT(packed) ? strlen(packed[i]) : 0;
    for (i = 0; i < SN_COUNT(formats); i++)
        if (name ? strcmp(formats[i].name, name) == 0 : sn_bytes_ends(file, formats[i].ending))
            return &formats[i];
    return NULL;
}

bool sn_data_has_format(const char *path)
{
    return find_format(path, NULL) != NULL;
}

static SnStatus need_format(const char *path, const SnDataOptions *o, const Format **out, SnError *err)
{
    *out = find_format(path, o->format);
    SN_CHECK(*out, err, SN_EUNSUPPORTED,
             "%s: format %s is none of csv, tsv, jsonl, json, text, arrow, parquet, idx", path,
             o->format ? o->format : "(by the name's ending)");
    return SN_OK;
}

static uint64_t stamp_options(uint64_t h, const SnDataOptions *o)
{
    const char *const texts[] = {o->format, o->sample_by, o->field};
    const char flags[] = {(char)o->no_header, (char)o->no_quotes, o->delimiter};
    h = sn_stamp(h, "flags", flags, sizeof flags);
    for (size_t i = 0; i < SN_COUNT(texts); i++)
        h = sn_stamp(h, texts[i] ? "option" : "none", texts[i], texts[i] ? strlen(texts[i]) : 0);
    for (size_t i = 0; i < o->nname; i++)
        h = sn_stamp(h, "name", o->names[i], strlen(o->names[i]));
    return h;
}

typedef struct Unpacked { /* a file that was compressed: another one, which nobody else sees */
    const SnDataFile *from;
    SnFile *file;
    SnCacheDraft draft;
    SN_VEC(uint8_t) bytes; /* where there is no folder for files */
    bool is_growing;
    size_t seen;
} Unpacked;

static SnStatus put_piece(void *self, SnBytes piece, SnError *err)
{
    Unpacked *u = self;
    u->seen += piece.n;
    if (u->seen > SN_PART_BYTES) {
        (void)sn_file_forget(u->from->file, sn_file_bytes(u->from->file));
        u->seen = 0;
    }
    if (u->is_growing) {
        SN_CHECK(sn_cache_grow(&u->draft, piece), err, SN_EIO,
                 "%s: no room for what it holds: %zu bytes were written", u->from->path, u->draft.size);
        return SN_OK;
    }
    SN_CHECK(sn_vec_reserve(sn_allocator(u->from->ctx), &u->bytes, piece.n), err, SN_ENOMEM, "%s: no memory",
             u->from->path);
    memcpy(u->bytes.at + u->bytes.n, piece.at, piece.n);
    u->bytes.n += piece.n;
    return SN_OK;
}

/* The bytes of a file, unpacked where they are compressed: u has them then, or their file. */
static SnStatus unpack(SnDataFile *f, Unpacked *u, SnError *err)
{
    const SnHash128 key = sn_hash128(f->path, strlen(f->path), 0);
    *u = (Unpacked){.from = f};
    f->bytes = sn_file_bytes(f->file);
    if (!sn_unpack_is(f->bytes))
        return SN_OK;
    u->is_growing = sn_cache_begin_growing(f->ctx, key, &u->draft);
    u->draft.is_lent = true;
    SnStatus st = sn_unpack(sn_allocator(f->ctx), f->path, f->bytes, put_piece, u, err);
    f->bytes = sn_bytes(u->bytes.at, u->bytes.n);
    if (st == SN_OK && u->is_growing && !sn_cache_commit(f->ctx, &u->draft, &u->file, &f->bytes))
        st = sn_fail(err, SN_EIO, "%s: what it holds was lost", f->path);
    else if (st != SN_OK && u->is_growing)
        sn_cache_give_up(&u->draft);
    f->file = u->file ? u->file : f->file;
    return st;
}

static void forget(Unpacked *u)
{
    sn_file_release(u->file);
    sn_vec_clear(sn_allocator(u->from->ctx), &u->bytes);
}

/* One file where it lies, or where it was unpacked to. */
static SnStatus read_file(SnFile *file, const Format *format, SnContext *ctx, const SnDataOptions *o,
                          SnDataset **out, SnError *err)
{
    SnDataset *d = NULL;
    Unpacked u;
    uint64_t identity[4];
    SnDataFile f = {.ctx = ctx, .file = file, .path = sn_file_path(file), .o = o};
    SnStatus st = unpack(&f, &u, err);
    if (st == SN_OK)
        st = format->read(&f, &d, err);
    if (st == SN_OK && u.bytes.cap) {
        st = sn_table_own(d, u.bytes.at, u.bytes.cap, err);
        u.bytes.at = NULL;
        u.bytes.n = u.bytes.cap = 0;
    }
    if (st == SN_OK)
        st = sn_table_keep_file(d, f.file, err);
    forget(&u);
    if (st != SN_OK) {
        sn_dataset_release(d);
        return st;
    }
    sn_file_identity(file, identity);
    sn_table_stamp(d, f.path, identity, sizeof identity);
    d->fingerprint = stamp_options(d->fingerprint, o);
    *out = d;
    return SN_OK;
}

/* The rows of one file behind those that came. */
static SnStatus add_rows(SnFile *file, const Format *format, const SnDataOptions *given, SnRows *to,
                         SnError *err)
{
    Unpacked u;
    SnDataOptions o = *given;
    o.delimiter = o.delimiter ? o.delimiter : format->delimiter;
    SnDataFile f = {
        .ctx = to->ctx, .file = file, .path = sn_file_path(file), .o = &o, .is_whole = to->is_free};
    SnStatus st = unpack(&f, &u, err);
    if (st == SN_OK)
        st = format->rows(&f, to, err);
    forget(&u);
    return st == SN_OK || !to->is_other ? st : sn_fail_in(err, st, f.path);
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

/* Rows behind rows; files of other columns, as images and their labels, stand beside each other. */
static SnStatus join_files(SnDataset **part, size_t npart, SnDataset **out, SnError *err)
{
    if (npart == 1) {
        *out = sn_dataset_retain(part[0]);
        return SN_OK;
    }
    if (part[0]->ncol && part[1]->ncol && strcmp(part[0]->col[0].type.name, part[1]->col[0].type.name) != 0)
        return sn_dataset_join_columns(part, npart, out, err);
    SN_TRY(agree(part, npart, err));
    return sn_dataset_concatenate(part, npart, out, err);
}

typedef struct Opened { /* files that are one dataset */
    SnContext *ctx;
    const SnDataOptions *o;
    size_t n;
    SnFile **file;
    const Format **format;
} Opened;

static SnStatus read_mapped(const Opened *f, SnArena *arena, SnDataset **out, SnError *err)
{
    SnDataset **part = sn_arena_array(arena, f->n, sizeof(SnDataset *));
    SnStatus st = part ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    for (size_t i = 0; st == SN_OK && i < f->n; i++)
        st = read_file(f->file[i], f->format[i], f->ctx, f->o, &part[i], err);
    if (st == SN_OK)
        st = join_files(part, f->n, out, err);
    for (size_t i = 0; part && i < f->n; i++)
        sn_dataset_release(part[i]);
    return st;
}

/* is_free: a part a file, of the types that it has. */
static SnStatus decode(const Opened *f, uint64_t fingerprint, SnRowsPlace place, bool is_free, bool *is_other,
                       SnDataset **out, SnError *err)
{
    SnRows rows;
    SnStatus st = SN_OK;
    sn_rows_begin(&rows, f->ctx, fingerprint, place);
    rows.is_free = is_free;
    for (size_t i = 0; st == SN_OK && i < f->n; i++)
        st = add_rows(f->file[i], f->format[i], f->o, &rows, err);
    if (st == SN_OK && is_free)
        st = join_files(rows.part.at, rows.part.n, out, err);
    else if (st == SN_OK)
        st = sn_rows_end(&rows, out, err);
    *is_other = rows.is_other;
    sn_rows_clear(&rows);
    return st;
}

static SnStatus read_rows(const Opened *f, SnDataset **out, SnError *err)
{
    uint64_t h = 0, size = 0, identity[4];
    SnRowsPlace place = SN_ROWS_KEPT;
    bool found = false, is_other = false;
    for (size_t i = 0; i < f->n; i++) {
        const char *path = sn_file_path(f->file[i]);
        sn_file_identity(f->file[i], identity);
        h = sn_stamp(h, path, identity, sizeof identity);
        const SnBytes bytes = sn_file_bytes(f->file[i]);
        size += sn_unpack_is(bytes) ? LEAST_BYTES : bytes.n; /* nobody knows what comes out */
        if (!sn_file_is_settled(f->file[i]))
            place = SN_ROWS_LENT;
    }
    h = stamp_options(h, f->o);
    if (size < LEAST_BYTES)
        place = SN_ROWS_MEMORY;
    if (place == SN_ROWS_KEPT)
        SN_TRY(sn_rows_find(f->ctx, h, out, &found, err));
    if (found)
        return SN_OK;
    SnStatus st = decode(f, h, place, false, &is_other, out, err);
    if (st != SN_OK && is_other)
        st = decode(f, h, SN_ROWS_MEMORY, true, &is_other, out, err);
    if (st == SN_OK)
        (*out)->fingerprint = h;
    return st;
}

static SnStatus open_files(Opened *f, const char *const *path, SnError *err)
{
    SN_CHECK(f->file && f->format, err, SN_ENOMEM, "dataset: no memory");
    for (size_t i = 0; i < f->n; i++) {
        SN_TRY(need_format(path[i], f->o, &f->format[i], err));
        SN_CHECK(!f->format[i]->read == !f->format[0]->read, err, SN_EINVAL,
                 "%s: files of %s and of %s are no dataset", path[i], f->format[0]->name, f->format[i]->name);
        SN_TRY(sn_file_open(f->ctx, path[i], &f->file[i], err));
    }
    return SN_OK;
}

SnStatus sn_read_files(SnContext *ctx, const char *const *path, size_t npath, const SnDataOptions *o,
                       SnDataset **out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    Opened f = {.ctx = ctx, .o = o, .n = npath};
    f.file = sn_arena_array(&arena, npath, sizeof(SnFile *));
    f.format = sn_arena_array(&arena, npath, sizeof(Format *));
    SnStatus st = open_files(&f, path, err);
    if (st == SN_OK)
        st = f.format[0]->read ? read_mapped(&f, &arena, out, err) : read_rows(&f, out, err);
    for (size_t i = 0; f.file && i < npath; i++)
        sn_file_release(f.file[i]);
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
