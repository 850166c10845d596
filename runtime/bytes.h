/* bytes.h -- reading bytes that may be hostile: a bounds-checked cursor, UTF-8, mapped files. */
#ifndef SN_BYTES_H
#define SN_BYTES_H

#include "runtime/memory.h"

typedef struct SnBytes { /* borrowed */
    const uint8_t *at;
    size_t n;
} SnBytes;

static inline SnBytes sn_bytes(const void *at, size_t n)
{
    return (SnBytes){(const uint8_t *)at, n};
}
static inline SnBytes sn_bytes_str(const char *s)
{
    return (SnBytes){(const uint8_t *)s, strlen(s)};
}
/* Files that are inside of a library or program (tools/embed.sh); the last has no name. */
typedef struct SnEmbedded {
    const char *name;
    const uint8_t *at;
    uint64_t size;
} SnEmbedded;

bool sn_bytes_equal(SnBytes a, SnBytes b);
bool sn_bytes_is(SnBytes a, const char *s);
bool sn_bytes_begins(SnBytes a, const char *begin);
bool sn_bytes_ends(SnBytes a, const char *end);
int sn_bytes_compare(SnBytes a, SnBytes b);         /* by bytes; what another begins with comes before it */
bool sn_is_one_of(SnBytes word, const char *words); /* "no steps epoch"; commas or bars may stand between */
/* The row of a table, or of an array of words, that has this name; as many as there are rows: none. */
#define SN_FIND_ROW(rows, field, name) sn_find_row(&(rows)->field, SN_COUNT(rows), sizeof *(rows), (name))
#define SN_FIND_WORD(words, name)      sn_find_row((words), SN_COUNT(words), sizeof *(words), (name))
size_t sn_find_row(const char *const *first, size_t n, size_t row_size, SnBytes name);

/* A cursor. Past the end every read returns 0 and `bad` sticks. */
typedef struct SnReader {
    const uint8_t *at;
    size_t left;
    bool bad;
} SnReader;

SnReader sn_reader(SnBytes b);
uint8_t sn_read_u8(SnReader *r);
uint16_t sn_read_u16le(SnReader *r);
uint32_t sn_read_u32le(SnReader *r);
uint64_t sn_read_u64le(SnReader *r);
SnBytes sn_take(SnReader *r, size_t n); /* n bytes, or {NULL, 0} and bad */
bool sn_skip(SnReader *r, size_t n);

#define SN_UTF8_BAD 0xFFFFFFFFu
/* Decodes one code point (no surrogates, no overlong forms); SN_UTF8_BAD takes one byte. At the end: bad. */
uint32_t sn_read_utf8(SnReader *r);
bool sn_utf8_valid(SnBytes b);
size_t sn_utf8_count(SnBytes b);                  /* code points of well-formed text */
size_t sn_utf8_prefix(SnBytes b);                 /* bytes of well-formed UTF-8 that b begins with */
size_t sn_utf8_prefix_on(SnBytes b, bool has_v3); /* by code of that CPU level, see SN_V3 */
/* Bytes of the code point that b (not empty) begins with, or of the ill-formed part that sn_utf8_repair
 * replaces. */
size_t sn_utf8_size(SnBytes b);
/* Writes the form of a code point; returns 1 to 4. */
int sn_utf8_put(uint32_t cp, char out[4]);
/* As Python's bytes.decode("utf-8", "replace"): one U+FFFD for each maximal ill-formed part. */
bool sn_utf8_repair(SnText *out, SnBytes in);

/* A read-only file, mapped (or, where it cannot be mapped, read). Counted. */
typedef struct SnFile SnFile;
SN_MUST_CHECK SnStatus sn_file_open(SnContext *ctx, const char *path, SnFile **out, SnError *err);
/* Bytes in the place of a file's: lent as long as it is open. path is for messages. */
SN_MUST_CHECK SnStatus sn_file_lend(SnContext *ctx, const char *path, SnBytes bytes, SnFile **out,
                                    SnError *err);
SnFile *sn_file_retain(SnFile *f);
void sn_file_release(SnFile *f);
SnBytes sn_file_bytes(const SnFile *f);
void sn_file_expect_use(SnFile *f); /* sn_expect_use of its map */
/* Bytes of a file that will not be read soon: memory need not hold them. false: they are not the file's. */
bool sn_file_forget(const SnFile *f, SnBytes part);
const char *sn_file_path(const SnFile *f);
bool sn_file_exists(const char *path);
/* FOLDER/NAME */
#define SN_PATH_SIZE 4096
SN_MUST_CHECK SnStatus sn_path_join(char out[SN_PATH_SIZE], const char *folder, const char *name,
                                    SnError *err);
/* Identity of the file as it was opened, for cache keys: device, inode, size, mtime; of bytes: their hash. */
void sn_file_identity(const SnFile *f, uint64_t out[4]);
/* A file that was written just now may be written again without another time. */
bool sn_file_is_settled(const SnFile *f);

/* Writes PATH beside itself and renames: no half-written file is ever seen. All at once, or a part at a time:
 * end renames, abandon leaves nothing; both free. size is a hint, 0: not known. */
typedef struct SnOutFile SnOutFile;
SN_MUST_CHECK SnStatus sn_out_begin(SnContext *ctx, const char *path, uint64_t size, SnOutFile **out,
                                    SnError *err);
SN_MUST_CHECK SnStatus sn_out_add(SnOutFile *f, SnBytes part, SnError *err);
SN_MUST_CHECK SnStatus sn_out_end(SnOutFile *f, SnError *err);
void sn_out_abandon(SnOutFile *f); /* NULL is taken */
SN_MUST_CHECK SnStatus sn_file_write(SnContext *ctx, const char *path, const SnBytes *parts, size_t npart,
                                     SnError *err);

#endif
