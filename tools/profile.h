/* profile.h -- time, bytes and arithmetic of each kernel of a program, from the trace of its runs. */
#ifndef SN_TOOLS_PROFILE_H
#define SN_TOOLS_PROFILE_H

#include "tools/command.h"

/* Steps that run the same kernel on as many tiles, bytes and operations are one row. */
typedef struct ProfileRow {
    const char *name;
    int64_t tiles;
    uint64_t bytes, flops; /* of one call */
    uint32_t calls;        /* a run */
    uint64_t now_ns;       /* of the run that is being watched */
    uint64_t ns;           /* a run, the best */
} ProfileRow;

typedef struct Profile {
    const SnAllocator *memory;
    SN_VEC(ProfileRow) row;
    uint32_t nrun;
    bool is_on, failed;
} Profile;

void profile_init(Profile *p, const SnAllocator *memory);
void profile_clear(Profile *p);
SnTrace profile_hook(Profile *p); /* p must stay where it is */
void profile_begin(Profile *p);   /* before and after each run */
void profile_end(Profile *p, bool counts);
uint64_t profile_flops(const Profile *p); /* of a run */
uint64_t profile_bytes(const Profile *p);

/* The least time that the limits allow, in ns a call. */
double profile_roof(const ProfileRow *r, const SnLimits *l, SnDtype dtype);
/* Widest gap between time and roof first. */
void profile_sort(Profile *p, const SnLimits *l, SnDtype dtype);
void profile_print(const Profile *p, const SnLimits *l, SnDtype dtype);
void profile_json(const Profile *p, const SnLimits *l, SnDtype dtype, SnText *out);

#endif
