/* folder.c -- finds, maps and keeps the files of a model. */
#include "frontends/hf/folder.h"

#include "frontends/gguf/convert.h"
#include "frontends/tokenizer/vocab.h"

#include <stdio.h>

typedef struct Entry {
    const char *name;
    SnFile *file; /* NULL: written here */
    SnBytes bytes;
} Entry;

struct SnFolder {
    SnContext *ctx;
    const char *path;
    SnGguf gguf;
    bool is_gguf;
    SN_VEC(Entry) entry;
    SnArena arena;
};

/* Files that are not there as such, and can be written. */
typedef struct Made {
    const char *name;
    bool (*can)(const SnFolder *f);
    SnStatus (*write)(SnFolder *f, SnText *out, SnError *err);
} Made;

static bool is_gguf(const SnFolder *f)
{
    return f->is_gguf;
}

static bool has_gguf_tokenizer(const SnFolder *f)
{
    return f->is_gguf && sn_gguf_has_tokenizer(&f->gguf);
}

static SnStatus write_config(SnFolder *f, SnText *out, SnError *err)
{
    return sn_gguf_config(f->path, &f->gguf, out, err);
}

static SnStatus write_tokenizer(SnFolder *f, SnText *out, SnError *err)
{
    return sn_gguf_tokenizer(f->ctx, f->path, &f->gguf, out, err);
}

static bool has_gguf_words(const SnFolder *f)
{
    return f->is_gguf && sn_gguf_has_words(&f->gguf);
}

static bool has_gguf_tokens(const SnFolder *f)
{
    return has_gguf_tokenizer(f) || has_gguf_words(f);
}

static SnStatus write_words(SnFolder *f, SnText *out, SnError *err)
{
    return sn_gguf_words(f->path, &f->gguf, out, err);
}

static SnStatus write_tokenizer_config(SnFolder *f, SnText *out, SnError *err)
{
    return sn_gguf_tokenizer_config(f->path, &f->gguf, out, err);
}

static bool has_vocab(const SnFolder *f)
{
    return !f->is_gguf && sn_vocab_has(f);
}

static SnStatus write_vocab(SnFolder *f, SnText *out, SnError *err)
{
    return sn_vocab_write(f->ctx, f, out, err);
}

static const Made made[] = {
    {"config.json", is_gguf, write_config},
    {"tokenizer.json", has_gguf_tokenizer, write_tokenizer},
    {"tokenizer.json", has_vocab, write_vocab},
    {"vocab.txt", has_gguf_words, write_words},
    {"tokenizer_config.json", has_gguf_tokens, write_tokenizer_config},
};

static SnStatus open_folder(SnContext *ctx, const char *path, SnFile *lent, SnFolder **out, SnError *err)
{
    SnFolder *f = sn_alloc_zero(sn_allocator(ctx), sizeof *f, _Alignof(max_align_t));
    SN_CHECK(f, err, SN_ENOMEM, "%s: no memory", path);
    f->ctx = ctx;
    sn_arena_init(&f->arena, sn_allocator(ctx));
    f->path = sn_arena_strndup(&f->arena, path, strlen(path));
    SnStatus st = f->path ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    if (st == SN_OK && (lent || sn_bytes_ends(sn_bytes_str(path), ".gguf"))) {
        st = lent ? sn_gguf_parse(ctx, path, sn_file_bytes(lent), &f->gguf, err)
                  : sn_gguf_open(ctx, path, &f->gguf, err);
        f->is_gguf = st == SN_OK;
        if (st == SN_OK && lent)
            f->gguf.file = sn_file_retain(lent);
    }
    if (st == SN_OK)
        *out = f;
    else
        sn_folder_close(f);
    return st;
}

SnStatus sn_folder_open(SnContext *ctx, const char *path, SnFolder **out, SnError *err)
{
    return open_folder(ctx, path, NULL, out, err);
}

SnStatus sn_folder_lend(SnContext *ctx, const char *path, SnBytes gguf, SnFolder **out, SnError *err)
{
    SnFile *file = NULL;
    SN_TRY(sn_file_lend(ctx, path, gguf, &file, err));
    const SnStatus st = open_folder(ctx, path, file, out, err);
    sn_file_release(file);
    return st;
}

void sn_folder_close(SnFolder *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->entry.n; i++)
        sn_file_release(f->entry.at[i].file);
    sn_vec_clear(sn_allocator(f->ctx), &f->entry);
    if (f->is_gguf)
        sn_gguf_close(&f->gguf);
    sn_arena_clear(&f->arena);
    sn_free(sn_allocator(f->ctx), f, sizeof *f, _Alignof(max_align_t));
}

const char *sn_folder_path(const SnFolder *f)
{
    return f->path;
}

const SnGguf *sn_folder_gguf(const SnFolder *f)
{
    return f->is_gguf ? &f->gguf : NULL;
}

static const Made *find_made(const SnFolder *f, const char *name)
{
    for (size_t i = 0; i < SN_COUNT(made); i++)
        if (strcmp(made[i].name, name) == 0 && made[i].can(f))
            return &made[i];
    return NULL;
}

static bool has_file(const SnFolder *f, const char *name)
{
    char path[SN_PATH_SIZE];
    return !f->is_gguf && sn_path_join(path, f->path, name, NULL) == SN_OK && sn_file_exists(path);
}

bool sn_folder_has(const SnFolder *f, const char *name)
{
    return has_file(f, name) || find_made(f, name);
}

static SnStatus make_text(SnFolder *f, const Made *row, SnBytes *out, SnError *err)
{
    SnText text = {.memory = sn_allocator(f->ctx)};
    SnStatus st = row->write(f, &text, err);
    const char *own = st == SN_OK && !text.failed ? sn_arena_strndup(&f->arena, text.at, text.n) : NULL;
    if (st == SN_OK && !own)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for %s", f->path, row->name);
    *out = own ? sn_bytes(own, text.n) : sn_bytes(NULL, 0);
    sn_text_clear(&text);
    return st;
}

static SnStatus map_file(SnFolder *f, Entry *e, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(sn_path_join(path, f->path, e->name, err));
    SN_TRY(sn_file_open(f->ctx, path, &e->file, err));
    e->bytes = sn_file_bytes(e->file);
    if (!e->bytes.at)
        e->bytes = sn_bytes("", 0);
    return SN_OK;
}

SnStatus sn_folder_read(SnFolder *f, const char *name, SnBytes *out, SnError *err)
{
    const Made *row = NULL;
    *out = sn_bytes(NULL, 0);
    for (size_t i = 0; i < f->entry.n; i++)
        if (strcmp(f->entry.at[i].name, name) == 0) {
            *out = f->entry.at[i].bytes;
            return SN_OK;
        }
    const bool is_file = has_file(f, name);
    if (!is_file && !(row = find_made(f, name)))
        return SN_OK;
    Entry e = {.name = sn_arena_strndup(&f->arena, name, strlen(name))};
    SN_CHECK(e.name, err, SN_ENOMEM, "%s: no memory", f->path);
    SN_TRY(is_file ? map_file(f, &e, err) : make_text(f, row, &e.bytes, err));
    if (!sn_vec_push(sn_allocator(f->ctx), &f->entry, e)) {
        sn_file_release(e.file);
        return sn_fail(err, SN_ENOMEM, "%s: no memory", f->path);
    }
    *out = e.bytes;
    return SN_OK;
}
