/* block.c -- first fit over a list of free room, sorted by address, that lies in the free room itself. */
#include "runtime/block.h"

/* The beginning of a stretch of free room; its size is a multiple of SN_BLOCK_ALIGN. */
typedef struct Room {
    struct Room *next;
    size_t size;
} Room;

struct SnBlock {
    Room *first;
    uint8_t *begin, *top; /* of the block; the end of the highest allocation so far */
};

_Static_assert(sizeof(SnBlock) <= SN_BLOCK_ALIGN && sizeof(Room) <= SN_BLOCK_ALIGN, "SN_BLOCK_ALIGN");

static uint8_t *end_of(Room *r)
{
    return (uint8_t *)r + r->size;
}

static Room *room_at(void *at, Room *next, size_t size)
{
    Room *r = at;
    *r = (Room){next, size};
    return r;
}

static bool round_up(size_t size, size_t *out)
{
    return sn_align_size(size, SN_BLOCK_ALIGN, out);
}

SnBlock *sn_block_begin(void *at, size_t size)
{
    const size_t skip = (SN_BLOCK_ALIGN - (uintptr_t)at % SN_BLOCK_ALIGN) % SN_BLOCK_ALIGN;
    if (at == NULL || size < skip + SN_BLOCK_ALIGN)
        return NULL;
    uint8_t *begin = (uint8_t *)at + skip;
    SnBlock *b = (void *)begin;
    const size_t room = (size - skip) / SN_BLOCK_ALIGN * SN_BLOCK_ALIGN - SN_BLOCK_ALIGN;
    *b = (SnBlock){.begin = begin, .top = begin + SN_BLOCK_ALIGN};
    if (room > 0)
        b->first = room_at(b->top, NULL, room);
    return b;
}

size_t sn_block_need(const SnBlock *b)
{
    return (size_t)(b->top - b->begin) + SN_BLOCK_ALIGN - 1;
}

/* Takes `size` bytes from the front of the room that *link points to. */
static void *take(SnBlock *b, Room **link, size_t size)
{
    Room *r = *link;
    uint8_t *at = (uint8_t *)r, *end = at + size;
    *link = r->size > size ? room_at(end, r->next, r->size - size) : r->next;
    if (end > b->top)
        b->top = end;
    return at;
}

static void *allocate(SnBlock *b, size_t size)
{
    for (Room **link = &b->first; *link != NULL; link = &(*link)->next)
        if ((*link)->size >= size)
            return take(b, link, size);
    return NULL;
}

/* Where the room behind `at` begins in the list. */
static Room **link_after(SnBlock *b, const void *at, Room **before)
{
    Room **link = &b->first;
    *before = NULL;
    while (*link != NULL && (const uint8_t *)*link < (const uint8_t *)at) {
        *before = *link;
        link = &(*link)->next;
    }
    return link;
}

static void give_back(SnBlock *b, void *at, size_t size)
{
    Room *before;
    Room **link = link_after(b, at, &before);
    Room *r = room_at(at, *link, size);
    *link = r;
    if (r->next != NULL && end_of(r) == (uint8_t *)r->next)
        room_at(r, r->next->next, r->size + r->next->size);
    if (before != NULL && end_of(before) == (uint8_t *)r)
        room_at(before, r->next, before->size + r->size);
}

/* Grows into the room right behind; false: there is not enough. */
static bool extend(SnBlock *b, uint8_t *at, size_t old_size, size_t new_size)
{
    Room *before;
    Room **link = link_after(b, at, &before);
    if (*link == NULL || (uint8_t *)*link != at + old_size || (*link)->size < new_size - old_size)
        return false;
    (void)take(b, link, new_size - old_size);
    return true;
}

static void *block_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    SnBlock *b = self;
    size_t have, want;
    if (!round_up(old_size, &have) || !round_up(new_size, &want) || align > SN_BLOCK_ALIGN)
        return NULL;
    if (ptr == NULL)
        return want > 0 ? allocate(b, want) : NULL;
    if (want < have)
        give_back(b, (uint8_t *)ptr + want, have - want);
    if (want <= have)
        return want > 0 ? ptr : NULL;
    if (extend(b, ptr, have, want))
        return ptr;
    void *moved = allocate(b, want);
    if (moved != NULL) {
        memcpy(moved, ptr, old_size);
        give_back(b, ptr, have);
    }
    return moved;
}

SnAllocator sn_block_allocator(SnBlock *b)
{
    return (SnAllocator){b, block_resize};
}
