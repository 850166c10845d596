/* data_folder.c -- folders of files: images or sounds with labels by folder or with a metadata file; or data
 * files. Which split a file belongs to is told by the names of its folders, or else by its own.
 *
 * What decides is as in datasets' data_files.py and folder_based_builder.py. */
#include "frontends/data/table.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { MOST_FILES = 1 << 22, MOST_DEPTH = 32 };

typedef struct Media {
    const char *format, *column, *tag;
    const char *const *ending;
} Media;
static const char *const images[] = {".png", ".jpg",  ".jpeg", ".jpe",  ".jfif", ".bmp", ".dib",
                                     ".gif", ".webp", ".tif",  ".tiff", ".ppm",  ".pgm", ".pbm",
                                     ".pnm", ".ico",  ".jp2",  ".tga",  ".pcx",  NULL};
static const char *const sounds[] = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff",
                                     ".aif", ".au",   ".caf", ".w64", NULL};
static const Media media[] = {{"imagefolder", "image", "{\"_type\": \"Image\"}", images},
                              {"audiofolder", "audio", "{\"_type\": \"Audio\"}", sounds}};

typedef struct Folder {
    SnContext *ctx;
    SnArena arena;
    const SnDataOptions *o;
    size_t root;               /* bytes of its path, and the slash */
    SN_VEC(const char *) file; /* sorted */
    const Media *media;        /* NULL: data files */
    bool by_folder;            /* splits are */
} Folder;

/* ---- files ---- */

static SnStatus list_files(Folder *f, const char *path, int depth, SnError *err)
{
    DIR *dir = opendir(path);
    SnStatus st = SN_OK;
    SN_CHECK(dir, err, SN_EIO, "%s: cannot read the folder", path);
    for (const struct dirent *e = readdir(dir); st == SN_OK && e; e = readdir(dir)) {
        struct stat s;
        if (e->d_name[0] == '.')
            continue;
        const char *inner = sn_arena_printf(&f->arena, "%s/%s", path, e->d_name);
        if (!inner)
            st = sn_fail(err, SN_ENOMEM, "%s: no memory", path);
        else if (stat(inner, &s) == 0 && S_ISDIR(s.st_mode))
            st = depth < MOST_DEPTH ? list_files(f, inner, depth + 1, err)
                                    : sn_fail(err, SN_EUNSUPPORTED, "%s: folders are too deep", inner);
        else if (f->file.n >= MOST_FILES || !sn_vec_push(f->arena.memory, &f->file, inner))
            st = sn_fail(err, SN_ENOMEM, "%s: too many files", path);
    }
    (void)closedir(dir);
    return st;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_ending(const char *path, const char *const *ending)
{
    const char *dot = strrchr(path, '.');
    for (; dot && *ending; ending++) {
        size_t i = 0;
        while (dot[i] && (dot[i] | (dot[i] >= 'A' && dot[i] <= 'Z' ? 32 : 0)) == (*ending)[i])
            i++;
        if (!dot[i] && !(*ending)[i])
            return true;
    }
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_metadata(const char *path)
{
    return sn_is_one_of(sn_bytes_str(base_name(path)), "metadata.csv metadata.jsonl metadata.parquet");
}

/* ---- splits ---- */

static const struct {
    const char *word, *split;
} words[] = {{"train", "train"},      {"training", "train"}, {"validation", "validation"},
             {"valid", "validation"}, {"dev", "validation"}, {"val", "validation"},
             {"test", "test"},        {"testing", "test"},   {"eval", "test"},
             {"evaluation", "test"}};

/* The split that a name says with a word of its own; NULL: none. A file's last word ends before its ending.
 */
static const char *split_of_name(const char *name, size_t n)
{
    static const char between[] = "-._ 0123456789";
    for (size_t i = 0; i < SN_COUNT(words); i++) {
        const size_t m = strlen(words[i].word);
        for (size_t at = 0; at + m <= n; at++)
            if (memcmp(name + at, words[i].word, m) == 0 && (at == 0 || strchr(between, name[at - 1])) &&
                (at + m == n || strchr(between, name[at + m])))
                return words[i].split;
    }
    return NULL;
}

static const char *split_of_folders(const Folder *f, const char *path)
{
    const char *split = NULL;
    for (const char *at = path + f->root, *slash = strchr(at, '/'); slash && !split;
         slash = strchr(at, '/')) {
        split = split_of_name(at, (size_t)(slash - at));
        at = slash + 1;
    }
    return split;
}

static bool is_data(const Folder *f, const char *path)
{
    return f->media ? has_ending(path, f->media->ending) : sn_data_has_format(path) && !is_metadata(path);
}

static const char *split_of(const Folder *f, const char *path)
{
    return f->by_folder ? split_of_folders(f, path) : split_of_name(base_name(path), strlen(base_name(path)));
}

static bool is_of_split(const Folder *f, const char *path, SnBytes name, bool has_splits)
{
    const char *split = has_splits ? split_of(f, path) : "train";
    return split && sn_bytes_is(name, split);
}

/* Do any of the files say their split? By folders first. */
static bool find_splits(Folder *f)
{
    for (int way = 0; way < 2; way++) {
        f->by_folder = way == 0;
        for (size_t i = 0; i < f->file.n; i++)
            if (split_of(f, f->file.at[i]))
                return true;
    }
    return false;
}

/* ---- images and sounds ---- */

static const SnFeature media_fields[] = {{.name = "bytes", .kind = SN_DATA_BINARY},
                                         {.name = "path", .kind = SN_DATA_TEXT}};

static SnStatus add_media(const Folder *f, SnBuilder *b, const char *path, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_open(f->ctx, path, &file, err));
    sn_builder_text(b->child.at[0], sn_file_bytes(file));
    sn_builder_text(b->child.at[1], sn_bytes_str(base_name(path)));
    sn_builder_row(b);
    sn_file_release(file);
    SN_CHECK(!b->failed && !b->child.at[0]->failed, err, SN_ENOMEM, "%s: no memory", path);
    return SN_OK;
}

static SnFeature media_type(const Folder *f, const char *name)
{
    return (SnFeature){
        .name = name, .kind = SN_DATA_STRUCT, .nchild = 2, .child = media_fields, .tag = f->media->tag};
}

static const char *folder_name(const Folder *f, const char *path)
{
    const char *end = base_name(path) - 1, *begin = end;
    while (begin > path && begin[-1] != '/')
        begin--;
    return sn_arena_strndup((SnArena *)(uintptr_t)&f->arena, begin, (size_t)(end - begin));
}

/* Sorted names of the folders of all splits, where files lie equally deep in several; *n 0: no labels. */
static SnStatus find_labels(Folder *f, const char ***label, uint32_t *n, SnError *err)
{
    const char **all = sn_arena_array(&f->arena, f->file.n + 1, sizeof *all);
    const bool has_splits = find_splits(f);
    size_t depth = 0, nfile = 0, count = 0;
    bool is_even = true;
    *n = 0;
    for (size_t i = 0; all && i < f->file.n; i++) {
        size_t own = 0;
        if (!is_data(f, f->file.at[i]) || (has_splits && !split_of(f, f->file.at[i])))
            continue;
        for (const char *at = f->file.at[i]; *at; at++)
            own += *at == '/';
        is_even = is_even && (nfile == 0 || own == depth);
        depth = own;
        all[nfile] = folder_name(f, f->file.at[i]);
        SN_CHECK(all[nfile++], err, SN_ENOMEM, "%s: no memory", f->file.at[i]);
    }
    SN_CHECK(all, err, SN_ENOMEM, "dataset: no memory");
    qsort(all, nfile, sizeof *all, by_path);
    for (size_t i = 0; i < nfile; i++)
        if (i == 0 || strcmp(all[i], all[count - 1]) != 0)
            all[count++] = all[i];
    *label = all;
    *n = is_even && count > 1 ? (uint32_t)count : 0;
    return SN_OK;
}

/* The type of a column of one array, with all that it names, is the dataset's. */
static SnStatus own_type(SnDataset *d, uint32_t column, SnError *err)
{
    SnColumn *c = &d->col[column];
    SnArray *a = sn_arena_alloc(&d->arena, sizeof *a);
    SnFeature *type = sn_arena_alloc(&d->arena, sizeof *type);
    SN_CHECK(a && type && sn_feature_copy(&d->arena, &c->type, type), err, SN_ENOMEM, "dataset: no memory");
    *a = *c->chunk;
    a->type = type;
    c->chunk = a;
    c->type = *type;
    return SN_OK;
}

static SnStatus by_folders(Folder *f, const char *const *path, size_t npath, SnDataset **out, SnError *err)
{
    const SnAllocator *memory = f->arena.memory;
    const char **label = NULL;
    uint32_t nlabel = 0;
    SN_TRY(find_labels(f, &label, &nlabel, err));
    SnBuilder b[2] = {{.memory = memory, .key = sn_bytes_str(f->media->column)},
                      {.memory = memory, .key = sn_bytes_str("label")}};
    SnBuilder *const all[] = {&b[0], &b[1]};
    const SnFeature type = media_type(f, f->media->column);
    SnStatus st = sn_builder_like(&b[0], &type) ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    b[1].type = (SnFeature){
        .name = "label", .kind = SN_DATA_LABEL, .dtype = SN_I64, .nlabel = nlabel, .label = label};
    for (size_t i = 0; st == SN_OK && i < npath; i++) {
        const char *own = folder_name(f, path[i]);
        int64_t id = 0;
        st = own ? add_media(f, &b[0], path[i], err) : sn_fail(err, SN_ENOMEM, "dataset: no memory");
        while (st == SN_OK && (uint64_t)id < nlabel && strcmp(label[id], own) != 0)
            id++;
        sn_builder_raw(&b[1], &id);
    }
    if (st == SN_OK)
        st = sn_builders_end(all, nlabel ? 2 : 1, f->ctx, (int64_t)npath, out, err);
    for (uint32_t i = 0; st == SN_OK && i < (*out)->ncol; i++)
        st = own_type(*out, i, err);
    for (size_t i = 0; st == SN_OK && i < npath; i++) /* labels go by the names */
        sn_table_stamp(*out, f->media->column, path[i], strlen(path[i]));
    sn_builder_clear(&b[0]);
    sn_builder_clear(&b[1]);
    return st;
}

/* The column of files that a column of their names stands for, relative to the folder of the metadata. */
static SnStatus open_named(Folder *f, SnDataset *d, uint32_t column, const char *metadata, SnError *err)
{
    const char *old = d->col[column].type.name;
    const size_t n = strlen(old), own = n - strlen("file_name");
    const char *name = own ? sn_arena_strndup(&d->arena, old, own - 1) : f->media->column;
    SnBuilder b = {.memory = f->arena.memory};
    SN_CHECK(name, err, SN_ENOMEM, "dataset: no memory");
    const SnFeature type = media_type(f, name);
    SnStatus st = sn_builder_like(&b, &type) ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    for (int64_t row = 0; st == SN_OK && row < d->nrow; row++) {
        const SnBytes s = sn_cell_bytes(sn_column_at(&d->col[column], row));
        const char *path = sn_arena_printf(&f->arena, "%.*s%.*s", (int)(base_name(metadata) - metadata),
                                           metadata, (int)s.n, (const char *)s.at);
        const bool leaves =
            s.n == 0 || s.at[0] == '/' || memchr(s.at, '\0', s.n) || (path && strstr(path, "/../"));
        if (!path || leaves)
            st = sn_fail(err, path ? SN_EFORMAT : SN_ENOMEM, "%s: row %lld: %.*s is no file of the folder",
                         metadata, (long long)row, (int)s.n, (const char *)s.at);
        else
            st = add_media(f, &b, path, err);
    }
    if (st == SN_OK)
        st = sn_table_put(d, column, &b, err);
    if (st == SN_OK)
        st = own_type(d, column, err);
    sn_builder_clear(&b);
    return st;
}

static SnStatus by_metadata(Folder *f, const char *path, SnDataset **out, SnError *err)
{
    static const char key[] = "file_name";
    const SnDataOptions o = {.struct_size = sizeof o};
    const char *const paths[] = {path};
    SnDataset *rows = NULL, *d = NULL;
    bool found = false;
    SN_TRY(sn_dataset_open(f->ctx, paths, 1, &o, &rows, err));
    SnStatus st = sn_table_derive(rows, 0, &d, err);
    sn_dataset_release(rows);
    for (uint32_t i = 0; st == SN_OK && i < d->ncol; i++) {
        const char *name = d->col[i].type.name;
        const size_t n = strlen(name), m = sizeof key - 1;
        if (d->col[i].type.kind != SN_DATA_TEXT || n < m || strcmp(name + n - m, key) != 0 ||
            (n > m && name[n - m - 1] != '_'))
            continue;
        found = true;
        st = open_named(f, d, i, path, err);
    }
    if (st == SN_OK && !found)
        st = sn_fail(err, SN_EFORMAT, "%s: no column file_name, nor one that ends in _file_name", path);
    if (st == SN_OK) {
        sn_table_stamp(d, "metadata", path, strlen(path));
        *out = d;
    } else {
        sn_dataset_release(d);
    }
    return st;
}

/* ---- one split ---- */

static SnStatus open_media(Folder *f, const char *const *path, size_t npath, const char *const *meta,
                           size_t nmeta, SnDataset **out, SnError *err)
{
    SnDataset **part = sn_arena_array(&f->arena, nmeta + 1, sizeof *part);
    SnStatus st = part ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    if (st == SN_OK && nmeta == 0)
        return by_folders(f, path, npath, out, err);
    for (size_t i = 0; st == SN_OK && i < nmeta; i++)
        st = by_metadata(f, meta[i], &part[i], err);
    if (st == SN_OK)
        st = sn_dataset_concatenate(part, nmeta, out, err);
    for (size_t i = 0; part && i < nmeta; i++)
        sn_dataset_release(part[i]);
    return st;
}

static SnStatus open_split(void *self, SnBytes name, SnDataset **out, SnError *err)
{
    Folder *f = self;
    const bool has_splits = find_splits(f);
    const char **path = sn_arena_array(&f->arena, f->file.n + 1, sizeof *path),
               **meta = sn_arena_array(&f->arena, f->file.n + 1, sizeof *meta);
    size_t n = 0, nmeta = 0;
    SN_CHECK(path && meta, err, SN_ENOMEM, "dataset: no memory");
    for (size_t i = 0; i < f->file.n; i++) {
        const char *at = f->file.at[i];
        if (!is_of_split(f, at, name, has_splits))
            continue;
        if (is_data(f, at))
            path[n++] = at;
        else if (f->media && is_metadata(at))
            meta[nmeta++] = at;
    }
    SN_CHECK(n > 0, err, SN_EINVAL, "%.*s: no files of split %.*s", (int)f->root,
             f->file.n ? f->file.at[0] : "", (int)name.n, (const char *)name.at);
    if (!f->media)
        return sn_read_files(f->ctx, path, n, f->o, out, err);
    return open_media(f, path, n, meta, nmeta, out, err);
}

/* What the folder is told to hold, or what it has files of. */
static SnStatus find_media(Folder *f, const char *folder, SnError *err)
{
    const char *told = f->o->format;
    for (size_t k = 0; k < SN_COUNT(media) && !f->media; k++) {
        bool has = told && strcmp(told, media[k].format) == 0;
        for (size_t i = 0; !told && !has && i < f->file.n; i++)
            has = has_ending(f->file.at[i], media[k].ending);
        f->media = has ? &media[k] : NULL;
    }
    SN_CHECK(f->file.n, err, SN_EINVAL, "%s: the folder is empty", folder);
    return SN_OK;
}

SnStatus sn_data_folder_open(SnContext *ctx, const char *folder, const SnDataOptions *o, SnDataset **out,
                             SnError *err)
{
    Folder f = {.ctx = ctx, .o = o, .root = strlen(folder) + 1};
    sn_arena_init(&f.arena, sn_allocator(ctx));
    SnStatus st = list_files(&f, folder, 0, err);
    if (st == SN_OK && f.file.n)
        qsort(f.file.at, f.file.n, sizeof *f.file.at, by_path);
    if (st == SN_OK)
        st = find_media(&f, folder, err);
    if (st == SN_OK)
        st = sn_split_open(o->split ? o->split : "train", open_split, &f, out, err);
    sn_vec_clear(f.arena.memory, &f.file);
    sn_arena_clear(&f.arena);
    return st;
}
