/* convert_folder.c -- writes a model as a Hub folder: weights in one file or in shards with an index, config,
 * tokenizer files and what else belongs to it.
 *
 * Files are written to a folder beside, which then takes the name; where there is a folder already its files
 * are replaced one by one, config.json last. */
#include "frontends/convert.h"

#include "frontends/gguf/convert.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Folder {
    SnConverter *c;
    const char *path, *temporary;
    SN_VEC(const char *) file; /* that were written */
} Folder;

/* Files of a model that are no weights. */
static const char *const copied[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
};

#define TOKENIZER_FILES 12 /* the first of them */

const char *sn_tokenizer_file(size_t i)
{
    return i < TOKENIZER_FILES ? copied[i] : NULL;
}

/* Remembers a file that is about to be written, and makes the folder that it lies in. */
static SnStatus begin_file(Folder *f, const char *name, char path[SN_PATH_SIZE], SnError *err)
{
    const char *own = sn_arena_strndup(&f->c->arena, name, strlen(name)), *slash = strchr(name, '/');
    char folder[SN_PATH_SIZE];
    SN_CHECK(own && sn_vec_push(f->c->arena.memory, &f->file, own), err, SN_ENOMEM, "%s: no memory", f->path);
    SN_TRY(sn_path_join(path, f->temporary, name, err));
    if (slash) {
        SN_TRY(sn_path_join(folder, f->temporary, name, err));
        folder[strlen(f->temporary) + 1 + (size_t)(slash - name)] = 0;
        SN_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: %s", folder, strerror(errno));
    }
    return SN_OK;
}

static SnStatus put_file(Folder *f, const char *name, SnBytes bytes, SnError *err)
{
    char path[SN_PATH_SIZE];
    SN_TRY(begin_file(f, name, path, err));
    return sn_file_write(f->c->ctx, path, &bytes, 1, err);
}

static SnStatus put_text(Folder *f, const char *name, SnText *text, SnError *err)
{
    const SnStatus st = text->failed ? sn_fail(err, SN_ENOMEM, "%s: no memory for %s", f->path, name)
                                     : put_file(f, name, sn_bytes(text->at, text->n), err);
    sn_text_clear(text);
    return st;
}

/* ---- weights ---- */

/* How many tensors go into the next file, at least one. */
static size_t shard_size(const SnConverter *c, size_t first)
{
    uint64_t size = 0;
    size_t n = 0;
    while (first + n < c->out.n && (n == 0 || size + c->out.at[first + n].size <= c->max_shard))
        size += c->out.at[first + n++].size;
    return n;
}

static SnStatus put_index(Folder *f, size_t nshard, SnError *err)
{
    const SnConverter *c = f->c;
    SnText t = {.memory = c->arena.memory};
    uint64_t total = 0;
    size_t shard = 0, end = shard_size(c, 0);
    for (size_t i = 0; i < c->out.n; i++)
        total += c->out.at[i].size;
    sn_text_printf(&t, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {\n",
                   (unsigned long long)total);
    for (size_t i = 0; i < c->out.n; i++) {
        if (i == end) {
            shard++;
            end += shard_size(c, i);
        }
        sn_text_printf(&t, "    ");
        sn_json_put_string(&t, c->out.at[i].name);
        sn_text_printf(&t, ": \"model-%05zu-of-%05zu.safetensors\"%s\n", shard + 1, nshard,
                       i + 1 < c->out.n ? "," : "");
    }
    sn_text_printf(&t, "  }\n}\n");
    return put_text(f, "model.safetensors.index.json", &t, err);
}

static SnStatus put_weights(Folder *f, SnError *err)
{
    SnConverter *c = f->c;
    char path[SN_PATH_SIZE], name[64];
    size_t nshard = 0, k = 0;
    for (size_t i = 0; i < c->out.n; i += shard_size(c, i))
        nshard++;
    if (nshard > 1)
        SN_TRY(put_index(f, nshard, err));
    for (size_t i = 0; i < c->out.n; i += shard_size(c, i)) {
        (void)snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", ++k, nshard);
        SN_TRY(begin_file(f, nshard > 1 ? name : "model.safetensors", path, err));
        SN_TRY(sn_convert_tensors(c, path, i, shard_size(c, i), err));
    }
    return SN_OK;
}

/* ---- other files ---- */

static const char *dtype_name(const SnConverter *c)
{
    for (size_t i = 0; i < c->out.n; i++) {
        const SnGgmlType *type = c->out.at[i].type;
        if (type && type->dtype != SN_NODTYPE)
            return type->dtype == SN_F16 ? "float16" : type->dtype == SN_BF16 ? "bfloat16" : "float32";
    }
    return "float32";
}

/* config.json as it is, unless numbers are stored in another dtype than it says. */
static SnStatus put_config(Folder *f, SnError *err)
{
    SnModel *m = f->c->model;
    const bool is_gguf = sn_folder_gguf(m->files) != NULL;
    SnText t = {.memory = f->c->arena.memory};
    SnBytes bytes;
    SN_TRY(sn_folder_read(m->files, "config.json", &bytes, err));
    if (!bytes.at)
        return SN_OK;
    if (!is_gguf && !f->c->format && !m->is_changed)
        return put_file(f, "config.json", bytes, err);
    sn_text_add(&t, "{", 1);
    for (uint32_t i = 0; i < m->config.json->n; i++) {
        const SnJson *v = &m->config.json->u.child[i];
        if (sn_is_one_of(v->key, "dtype torch_dtype quantization_config") ||
            (is_gguf && sn_is_one_of(v->key, "rope_interleave qkv_by_kind conv1d_rows")))
            continue;
        sn_text_printf(&t, "\n  ");
        sn_json_put_member(&t, v);
        sn_text_add(&t, ",", 1);
    }
    sn_text_printf(&t, "\n  \"dtype\": \"%s\"\n}\n", dtype_name(f->c));
    return put_text(f, "config.json", &t, err);
}

/* What a GGUF file says beside its config and tokenizer. */
static SnStatus put_gguf_files(Folder *f, const SnGguf *g, SnError *err)
{
    static const char *const id[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                        {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                        {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    SnText t = {.memory = f->c->arena.memory};
    SnBytes chat;
    sn_text_add(&t, "{", 1);
    for (size_t i = 0; i < SN_COUNT(id); i++) {
        const SnJson *v = sn_json_get(g->metadata, id[i][1]);
        if (sn_json_is_null(v))
            continue;
        sn_text_printf(&t, "%s\n  \"%s\": ", t.n > 1 ? "," : "", id[i][0]);
        sn_json_put(&t, v);
    }
    sn_text_printf(&t, "\n}\n");
    SN_TRY(put_text(f, "generation_config.json", &t, err));
    if (sn_json_string(sn_json_get(g->metadata, "tokenizer.chat_template"), &chat))
        return put_file(f, "chat_template.jinja", chat, err);
    return SN_OK;
}

static SnStatus put_others(Folder *f, SnError *err)
{
    SnModel *m = f->c->model;
    for (size_t i = 0; i < SN_COUNT(copied); i++) {
        SnBytes bytes;
        SN_TRY(sn_folder_read(m->files, copied[i], &bytes, err));
        if (bytes.at)
            SN_TRY(put_file(f, copied[i], bytes, err));
    }
    if (sn_folder_gguf(m->files))
        SN_TRY(put_gguf_files(f, sn_folder_gguf(m->files), err));
    return put_config(f, err);
}

/* ---- the folder ---- */

static void remove_file(const char *folder, const char *name)
{
    char path[SN_PATH_SIZE];
    if (sn_path_join(path, folder, name, NULL) == SN_OK)
        (void)unlink(path);
}

static void remove_all(Folder *f)
{
    char path[SN_PATH_SIZE];
    for (size_t i = 0; i < f->file.n; i++)
        remove_file(f->temporary, f->file.at[i]);
    if (sn_path_join(path, f->temporary, "1_Pooling", NULL) == SN_OK)
        (void)rmdir(path);
    (void)rmdir(f->temporary);
}

/* The whole folder at once or, where there is one with files, each file. */
static SnStatus take_place(Folder *f, SnError *err)
{
    char from[SN_PATH_SIZE], to[SN_PATH_SIZE];
    if (rename(f->temporary, f->path) == 0)
        return SN_OK;
    SN_CHECK(errno == ENOTEMPTY || errno == EEXIST, err, SN_EIO, "%s: cannot write: %s", f->path,
             strerror(errno));
    const bool is_sharded = f->file.n > 0 && strcmp(f->file.at[0], "model.safetensors") != 0;
    remove_file(f->path, is_sharded ? "model.safetensors" : "model.safetensors.index.json");
    for (size_t i = 0; i < f->file.n; i++) {
        SN_TRY(sn_path_join(from, f->temporary, f->file.at[i], err));
        SN_TRY(sn_path_join(to, f->path, f->file.at[i], err));
        char *slash = strrchr(to, '/');
        *slash = 0;
        (void)mkdir(to, 0777);
        *slash = '/';
        SN_CHECK(rename(from, to) == 0, err, SN_EIO, "%s: cannot write: %s", to, strerror(errno));
    }
    return SN_OK;
}

SnStatus sn_convert_folder(SnConverter *c, const char *path, SnError *err)
{
    char name[SN_PATH_SIZE];
    const char *end = strrchr(path, '.');
    size_t n = strlen(path);
    if (end && strcmp(end, ".safetensors") == 0)
        return sn_convert_tensors(c, path, 0, c->out.n, err);
    while (n > 1 && path[n - 1] == '/')
        n--;
    Folder f = {.c = c, .path = sn_arena_strndup(&c->arena, path, n)};
    SN_CHECK(f.path && snprintf(name, sizeof name, "%s.%ld", f.path, (long)getpid()) < SN_PATH_SIZE, err,
             SN_EINVAL, "%s: the path is too long", path);
    f.temporary = name;
    SN_CHECK(mkdir(name, 0777) == 0, err, SN_EIO, "%s: cannot write: %s", path, strerror(errno));
    SnStatus st = put_weights(&f, err);
    if (st == SN_OK && c->model)
        st = put_others(&f, err);
    if (st == SN_OK)
        st = take_place(&f, err);
    remove_all(&f);
    sn_vec_clear(c->arena.memory, &f.file);
    return st;
}
