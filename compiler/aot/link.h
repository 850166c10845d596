/* link.h -- from an object and its weights to files that programs open and linkers take; no linker is needed.
 *
 *   link.c       NAME.so: the runtime (linked when sinter was built, without exports), the object behind it
 *   elf_write.c  the tables and headers of a .so
 *   append.c     NAME.o: the object and the weights
 *   archive.c    NAME.a: NAME.o and the objects of the runtime
 *
 * Weights are given in parts that lie in mapped files, and are written from there. */
#ifndef SN_LINK_H
#define SN_LINK_H

#include "runtime/program.h"

typedef struct SnLinkInput {
    SnBytes object;      /* relocatable; refers to itself, to the runtime's functions and to `weights` only */
    const char *soname;  /* .so: what it is called; .a: the object in it, without .o */
    const char *program; /* .so: symbol of the SnProgramDesc */
    uint32_t levels;     /* .so: bit i: there is code for SnCpuLevel i */
    const char *const *exported; /* .so: symbols that are seen from outside */
    size_t nexported;
    const char *weights; /* symbol that the object leaves open: page-aligned bytes, never written; or NULL */
    const SnBytes *part; /* of them */
    size_t npart;
} SnLinkInput;

/* All write to `path` by sn_file_write: beside it, then renamed. */
typedef SnStatus SnLinkFn(SnContext *ctx, const SnLinkInput *in, const char *path, SnError *err);
SnLinkFn sn_link_shared, sn_link_object, sn_link_archive;
/* NAME.o as parts of a file; they point into the arena and into what *in has. */
SN_MUST_CHECK SnStatus sn_link_parts(SnArena *arena, const SnLinkInput *in, SnBytes **part, size_t *npart,
                                     SnError *err);

/* First the runtime as a shared object, then its objects: both made by meson as in a release. */
extern const SnEmbedded sn_embedded_runtime[];
extern const SnEmbedded sn_embedded_template[]; /* of templates/ */

#endif
