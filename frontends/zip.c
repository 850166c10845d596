/* zip.c -- reads the directory of a zip archive, of 64 bits too. PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3.
 */
#include "frontends/zip.h"

#define LOCAL_MAGIC     0x04034B50u
#define CENTRAL_MAGIC   0x02014B50u
#define END_MAGIC       0x06054B50u
#define LOCATOR_MAGIC   0x07064B50u
#define END64_MAGIC     0x06064B50u
#define END_SIZE        22u
#define LOCATOR_SIZE    20u
#define MAX_ENTRIES     1048576u
#define IN_EXTRA_FIELDS 0xFFFFFFFFu

typedef struct End {
    uint64_t count, size, offset;
} End;

/* The end of an archive whose numbers do not fit the old one. */
static SnStatus read_end64(const SnZip *z, End *end, SnError *err)
{
    const SnBytes file = z->file;
    SN_CHECK(file.n >= END_SIZE + LOCATOR_SIZE, err, SN_EFORMAT, "%s: its end is malformed", z->path);
    SnReader r = sn_reader(sn_bytes(file.at + file.n - END_SIZE - LOCATOR_SIZE, LOCATOR_SIZE));
    const uint32_t locator = sn_read_u32le(&r);
    (void)sn_skip(&r, 4);
    const uint64_t at = sn_read_u64le(&r);
    SN_CHECK(locator == LOCATOR_MAGIC && at <= file.n, err, SN_EFORMAT, "%s: its end is malformed", z->path);
    r = sn_reader(sn_bytes(file.at + at, file.n - at));
    const uint32_t magic = sn_read_u32le(&r);
    (void)sn_skip(&r, 28);
    *end = (End){.count = sn_read_u64le(&r)};
    end->size = sn_read_u64le(&r);
    end->offset = sn_read_u64le(&r);
    SN_CHECK(!r.bad && magic == END64_MAGIC, err, SN_EFORMAT, "%s: its end is malformed", z->path);
    return SN_OK;
}

SnStatus sn_zip_open(const char *path, SnBytes file, SnZip *out, SnError *err)
{
    SnZip z = {.path = path, .file = file};
    SN_CHECK(file.n >= END_SIZE, err, SN_EFORMAT, "%s: %zu bytes are no zip archive", path, file.n);
    SnReader r = sn_reader(sn_bytes(file.at + file.n - END_SIZE, END_SIZE));
    const uint32_t magic = sn_read_u32le(&r);
    (void)sn_skip(&r, 6);
    End end = {.count = sn_read_u16le(&r)};
    end.size = sn_read_u32le(&r);
    end.offset = sn_read_u32le(&r);
    SN_CHECK(magic == END_MAGIC, err, SN_EFORMAT, "%s: no zip archive (its end is not found)", path);
    if (end.count == 0xFFFF || end.size == IN_EXTRA_FIELDS || end.offset == IN_EXTRA_FIELDS)
        SN_TRY(read_end64(&z, &end, err));
    SN_CHECK(end.count <= MAX_ENTRIES && end.offset <= file.n && end.size <= file.n - end.offset, err,
             SN_EFORMAT, "%s: its directory lies outside of the file", path);
    z.dir = sn_reader(sn_bytes(file.at + end.offset, (size_t)end.size));
    z.left = end.count;
    *out = z;
    return SN_OK;
}

/* Numbers of 64 bits stand in an extra field, in this order, where the old ones are all ones. */
static void read_extra(SnBytes extra, uint64_t *number[3])
{
    SnReader r = sn_reader(extra);
    while (!r.bad && r.left >= 4) {
        const uint16_t id = sn_read_u16le(&r), size = sn_read_u16le(&r);
        SnReader field = sn_reader(sn_take(&r, size));
        for (int i = 0; id == 1 && i < 3; i++)
            if (*number[i] == IN_EXTRA_FIELDS)
                *number[i] = sn_read_u64le(&field);
    }
}

SnStatus sn_zip_next(SnZip *z, SnBytes *name, SnBytes *data, SnError *err)
{
    SnReader *dir = &z->dir;
    const uint32_t magic = sn_read_u32le(dir);
    (void)sn_skip(dir, 6);
    const uint16_t method = sn_read_u16le(dir);
    (void)sn_skip(dir, 8);
    uint64_t stored = sn_read_u32le(dir), size = sn_read_u32le(dir);
    const uint16_t name_size = sn_read_u16le(dir), extra = sn_read_u16le(dir), comment = sn_read_u16le(dir);
    (void)sn_skip(dir, 8);
    uint64_t offset = sn_read_u32le(dir);
    const SnBytes text = sn_take(dir, name_size);
    uint64_t *const number[] = {&size, &stored, &offset};
    read_extra(sn_take(dir, extra), (uint64_t **)(uintptr_t)number);
    (void)sn_skip(dir, comment);
    SN_CHECK(!dir->bad && magic == CENTRAL_MAGIC && offset <= z->file.n, err, SN_EFORMAT,
             "%s: its directory is malformed", z->path);
    SN_CHECK(method == 0 && stored == size, err, SN_EUNSUPPORTED, "%s: %.*s is compressed", z->path,
             (int)text.n, (const char *)text.at);
    SnReader local = sn_reader(sn_bytes(z->file.at + offset, z->file.n - (size_t)offset));
    const uint32_t local_magic = sn_read_u32le(&local);
    (void)sn_skip(&local, 22);
    const uint16_t local_name = sn_read_u16le(&local), local_extra = sn_read_u16le(&local);
    (void)sn_skip(&local, (size_t)local_name + local_extra);
    *data = sn_take(&local, (size_t)size);
    SN_CHECK(!local.bad && local_magic == LOCAL_MAGIC, err, SN_EFORMAT, "%s: %.*s lies outside of the file",
             z->path, (int)text.n, (const char *)text.at);
    SN_CHECK(!memchr(text.at, 0, text.n), err, SN_EFORMAT, "%s: a name holds a NUL", z->path);
    *name = text;
    z->left--;
    return SN_OK;
}
