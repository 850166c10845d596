/* sizes.c -- where the bytes of a program are. */
#include "compiler/aot/aot.h"
#include "compiler/aot/elf_read.h"

#include <errno.h>
#include <sys/stat.h>

static uint64_t tokenizer_bytes(const SnImage *m)
{
    const SnObjectRow *row = SN_ROWS(m, SnObjectRow, object);
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->object.count; i++)
        if (strcmp(sn_image_string(m, row[i].class_name), "tokenizer") == 0)
            n += row[i].size;
    return n;
}

/* What of the object is loaded. */
static SnStatus loaded_bytes(const SnAot *a, uint64_t *out, SnError *err)
{
    SnElf e;
    SN_TRY(sn_elf_read(a->arena, "object", a->object, ET_REL, &e, err));
    *out = 0;
    for (size_t i = 0; i < e.nsection; i++)
        if (e.section[i].h.sh_flags & SHF_ALLOC)
            *out += e.section[i].h.sh_size;
    return SN_OK;
}

SnStatus sn_aot_sizes(const SnAot *a, bool is_text, SnEmitSizes *out, SnError *err)
{
    struct stat st;
    uint64_t loaded = 0;
    SN_CHECK(stat(a->path, &st) == 0, err, SN_EIO, "%s: %s", a->path, strerror(errno));
    *out = (SnEmitSizes){.file_bytes = (uint64_t)st.st_size,
                         .tokenizer_bytes = tokenizer_bytes(a->image),
                         .weight_bytes = a->weight_size};
    if (is_text) {
        out->code_bytes = out->file_bytes;
        return SN_OK;
    }
    SN_TRY(loaded_bytes(a, &loaded, err));
    const uint64_t own = loaded + (a->is_beside ? 0 : a->weight_size);
    out->code_bytes = loaded - out->tokenizer_bytes;
    out->runtime_bytes = out->file_bytes > own ? out->file_bytes - own : 0;
    return SN_OK;
}
