/* gguf.h -- the GGUF container: metadata and tensors of one file, by name.
 *
 * Versions 2 and 3, little endian. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
#ifndef SN_GGUF_H
#define SN_GGUF_H

#include "compiler/graph.h"
#include "runtime/hash.h"
#include "runtime/json.h"

/* How GGML stores a tensor. */
typedef struct SnGgmlType {
    uint32_t id;      /* in files */
    const char *name; /* "Q4_K" */
    SnDtype dtype;    /* of plain numbers; SN_NODTYPE: blocks */
    uint32_t block;   /* numbers in a block */
    uint32_t bytes;   /* of a block */
} SnGgmlType;
const SnGgmlType *sn_ggml_type(uint32_t id);            /* NULL: not known */
const SnGgmlType *sn_ggml_type_named(const char *name); /* the same */

typedef struct SnGgufTensor {
    SnBytes name;
    const SnGgmlType *type;
    int ndim;
    int64_t dims[4]; /* the last one lies side by side: the file's order reversed */
    SnBytes bytes;
} SnGgufTensor;

typedef struct SnGguf {
    SnFile *file;           /* retained, or NULL when opened from bytes */
    const SnJson *metadata; /* an object */
    const SnBytes *pair;    /* and the bytes of each of its members */
    SnGgufTensor *tensor;   /* in order of the file */
    size_t ntensor;
    SnMap index; /* name ▶ tensor */
    SnArena arena;
} SnGguf;

/* name is for messages. Bytes must outlive *out; nothing but the header is read. Takes at most about 100
 * bytes of memory per byte of header. */
SN_MUST_CHECK SnStatus sn_gguf_parse(SnContext *ctx, const char *name, SnBytes bytes, SnGguf *out,
                                     SnError *err);
SN_MUST_CHECK SnStatus sn_gguf_open(SnContext *ctx, const char *path, SnGguf *out, SnError *err);
void sn_gguf_close(SnGguf *f);
const SnGgufTensor *sn_gguf_find(const SnGguf *f, const char *name); /* NULL: absent */

/* ---- writing ---- */

typedef enum SnGgufValue { /* as files number them */
                           SN_GGUF_U32 = 4,
                           SN_GGUF_I32 = 5,
                           SN_GGUF_F32 = 6,
                           SN_GGUF_BOOL = 7,
                           SN_GGUF_STRING = 8
} SnGgufValue;

/* Metadata being written; init: {.text = {.memory = a}}. */
typedef struct SnGgufMeta {
    SnText text;
    uint64_t n;
} SnGgufMeta;
/* A value, or each of an array, as this type; what does not fit it is zero. NULL and null: nothing. */
void sn_gguf_put(SnGgufMeta *m, const char *key, SnGgufValue type, const SnJson *v);
void sn_gguf_put_text(SnGgufMeta *m, const char *key, const char *v);
void sn_gguf_put_int(SnGgufMeta *m, const char *key, int64_t v); /* as u32 */
void sn_gguf_put_pair(SnGgufMeta *m, SnBytes pair);              /* as another file has it */

/* Writes a file, version 3, alignment 32. fill adds the bytes of tensor[i], of which there are bytes.n; NULL:
 * they lie there. */
SN_MUST_CHECK SnStatus sn_gguf_write(SnContext *ctx, const char *path, const SnGgufMeta *meta,
                                     const SnGgufTensor *tensor, size_t n,
                                     SnStatus (*fill)(void *user, size_t i, SnOutFile *out, SnError *err),
                                     void *user, SnError *err);

#endif
