/* demo.h -- models that were written by hand (demo_model.c), as files that are made of them. */
#ifndef SN_DEMO_H
#define SN_DEMO_H

#include "compiler/aot/link.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* Numbers in an object that demo_open replaces. */
#define DEMO_SIZE_MARK 0x64656d6f2073697aU
#define DEMO_LO_MARK   0x64656d6f20206c6fU
#define DEMO_HI_MARK   0x64656d6f20206869U

#define DEMO_WEIGHTS 100000u

typedef struct Demo {
    SnContext *ctx;
    Scratch dir;
    uint8_t *object[3]; /* demo, two, and demo with its weights beside */
    size_t size[3];
    uint8_t weights[DEMO_WEIGHTS];
    SnBytes part[2];    /* of them */
    SnWeightsHead head; /* of the file beside */
} Demo;
enum { DEMO_ONE, DEMO_TWO, DEMO_OUTSIDE };

/* argv: the three objects. */
void demo_setup(Demo *d, char **argv);
void demo_teardown(Demo *d);
SnLinkInput demo_input(const Demo *d, int which);
/* A path in the scratch folder; of the last four calls. */
const char *demo_path(const Demo *d, const char *file);
/* Links demo to `file`. */
void demo_link(const Demo *d, SnLinkFn *link, int which, const char *file);
size_t demo_read(const char *path, uint8_t **out); /* free it */
/* Runs a program with arguments, quietly; its exit status, 127: there is no such program. */
int demo_run(const char *const *argv);

#endif
