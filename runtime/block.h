/* block.h -- an allocator over one piece of memory that somebody else owns.
 *
 * Everything lies in the piece, the allocator's own record first. What was freed is used again: the lowest
 * room that fits is taken, and free neighbours become one, so how far up a sequence of calls reaches does not
 * depend on the size of the piece. One thread at a time. */
#ifndef SN_BLOCK_H
#define SN_BLOCK_H

#include "runtime/memory.h"

#define SN_BLOCK_ALIGN 64u /* of all that is allocated; more than that is refused */

typedef struct SnBlock SnBlock;

/* Begins an allocator in `size` bytes at any address. NULL: not even the record fits. */
SnBlock *sn_block_begin(void *at, size_t size);
SnAllocator sn_block_allocator(SnBlock *b);
/* Bytes that a piece must have, whatever its address, for the calls made so far to succeed in it. */
size_t sn_block_need(const SnBlock *b);

#endif
