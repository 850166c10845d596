/* tokenize.h -- tokenizers: the table a tokenizer is, and the host ops that read it.
 *
 * The table is the bytes of an `object<tokenizer>`: a header and sections of little-endian arrays, 64-byte
 aligned,
 * without pointers, so that the same bytes lie in a cache, an AOT object or a map. A front end writes it,
 * sn_tokenizer_check accepts it once, and the ops below trust it from then on. Another kind of model is
 another
 * section and another words-to-ids op; everything else stays.
 *
 * The ops. n is the number of bytes in the operand's child, c(x) the capacity of list x, b the number of
 texts.
 *
 *   tok_room(tok: object<tokenizer>, text: list<u8>[b]) -> room: i64[]
 *     scratch SN_TOK_ROOM_SCRATCH
 *     How many tokens, or bytes normalised, all the texts become at most; never more than grow n.
 *   tok_encode(tok: object<tokenizer>, text: list<u8>[b], room: i64[], words: i64[b]?; places: bool = false,
 *              memo: int = 0, about: int = 0)
 *     -> ids:     list<i32>[b]  max room
 *        offset:  list<i32>[b]  max 2 room   (begin, end) of each token, in code points of text; marked where
 *                                            white space was left out of it, see sn_tok_trim_own
 *        word_id: list<i32>[b]  max room
 *        about:   list<i32>[b]  max 3 room   (word id, begin, end in own) of each token
 *        own:     list<u8>[b]   max room     texts of tokens that are not those of their ids: of added ones
 *                                            that took white space along, of what a Unigram does not know
 *     scratch SN_TOK_ENCODE_SCRATCH(n, room)
 *     room is what tok_room gives, or grow n: SnTokenizerFacts.grow.
 *     about and own only with about (and places): word_id is then the number of the token in the row, and
 *     (about - 1) << 30 more, so that who cuts rows can look it up.
 *     With words the rows of text are words: row i of the results is of the next words[i] of them, each read
 *     alone, with its offsets in it and its number as word_id.
 *     offset and word_id only with places, else they are empty (max 0). memo is the size of the cache of
 *     words, in bytes.
 *   tok_window(tok, ids, offset, word_id: list<i32>[b], (ids2, offset2, word_id2: list<i32>[b])?;
 *              max_length: int = -1, stride: int = 0, strategy: int = 0, left: bool = false, special: bool =
 true,
 *              windows: int = 0, added: int = 0)
 *     -> ids, type, special, offset, word_id, sequence: list<i32>[w], row: i32[w], count: i64[]
 *        w is b where `windows` is 0, else `windows`
 *        max windows * max(max_length, 0) + c(ids) + c(ids2) + b * added, of offset twice as many
 *     scratch SN_TOK_WINDOW_SCRATCH
 *     Cuts each text (or pair) to max_length tokens (-1: not at all; fewer than the template has: not at all,
 as the reference) and puts the template around it, its own tokens only where special. With `windows`
 *     the cut-off parts follow as further windows of the same text, stride tokens overlapping; row says which
 text a
 *     window is of (-1: none), and count is how many there are, also where that is more than w.
 *     `added` is SnTokenizerFacts.added_single or added_pair. special, word_id and sequence: special is 1 on
 template
 *     tokens; word_id and sequence are -1 there.
 *   tok_decode(tok, ids: list<i32>[b]; skip_special: bool = false, token_size: int)
 *     -> text: list<u8>[b]  max c(ids) * (token_size + 1)     token_size is SnTokenizerFacts.token_size
 *     scratch SN_TOK_DECODE_SCRATCH(c(ids), token_size)
 *   tok_stream(tok, hold: u8[b, 1152], ids: i32[b, k], end: i32[b], stop: list<u8>[s]?;
 *              skip_special: bool = true, keep_stop: bool = false, token_size: int)
 *     -> text: list<u8>[b] max b * ((k + 28) * (token_size + 1) + 1024), hold: u8[b, 1152], hit: i32[b]
 *     scratch SN_TOK_STREAM_SCRATCH(token_size)
 *     The text that further ids of each row add (those below 0: none), in whole characters, as DecodeStream
 *     gives it. hold is SnTokHold, zeros at first. end > 0: all that waits comes, and hold is zeros. end < 0:
 *     the ids are the end of a prompt, which what follows joins; no text comes. hit is the stop string that
 is
 *     complete (else -1), and nothing follows. Text that may begin one waits, and ends before it; keep_stop:
 *     it does not, and goes on to the end of its token, as Transformers' stop_strings. Special tokens that
 are
 *     skipped count where a stop string ends in one, with keep_stop anywhere.
 *
 * Malformed UTF-8 in text is read as Python's errors="replace" reads it.
 * Rows of results lie one after the other in their child. A list that is longer than its bound is SN_ESHAPE.
 *
 * Everything is as in Hugging Face tokenizers 0.23.3, which is called "the reference" in these files. */
#ifndef SN_TOKENIZE_H
#define SN_TOKENIZE_H

#include "runtime/bytes.h"
#include "runtime/hostcall.h"

SnHostFn sn_tok_room, sn_tok_encode, sn_tok_window, sn_tok_decode, sn_tok_stream;

#define SN_TOK_RUN          2048
#define SN_TOK_ROOM_SCRATCH 64
#define SN_TOK_ENCODE_SCRATCH(n, room)                                                                       \
    (SN_HOST_STATE + 2048 + 58 * ((size_t)(room) + SN_TOK_RUN) + 3 * (size_t)(n))
#define SN_TOK_WINDOW_SCRATCH 128
#define SN_TOK_DECODE_SCRATCH(n, token_size)                                                                 \
    (128 + 2 * ((size_t)(n) * ((size_t)(token_size) + 1) + 4 * ((size_t)(n) + 1)))

#define SN_TOK_HOLD_IDS             28
#define SN_TOK_HOLD_TEXT            1024 /* bytes of a stop string */
#define SN_TOK_HOLD_SIZE            1152
#define SN_TOK_LEAD                 16 /* tokens of a prompt that are enough for what follows */
#define SN_TOK_STREAM_SCRATCH(size) SN_TOK_DECODE_SCRATCH(SN_TOK_HOLD_IDS, size)

typedef struct SnTokHold { /* of tok_stream */
    uint32_t nid, nprefix, ntext, is_stopped;
    int32_t id[SN_TOK_HOLD_IDS];
    uint8_t text[SN_TOK_HOLD_TEXT];
} SnTokHold;

typedef enum SnTokStrategy { SN_TOK_LONGEST_FIRST, SN_TOK_ONLY_FIRST, SN_TOK_ONLY_SECOND } SnTokStrategy;

/* ---- padding: windows to dense tensors ---------------------------------------------------------------- */

/* The length rows are padded to: fixed, or where that is 0 the longest row, rounded up to multiple (0: no).
 */
int64_t sn_tokens_pad_length(int64_t longest, int64_t fixed, int64_t multiple);
/* ---- facts -------------------------------------------------------------------------------------------- */

#define SN_TOK_NONE 0xFFFFFFFFu

typedef struct SnTokTruncation { /* of tokenizer.json; max_length 0: none */
    uint32_t max_length, stride, strategy, left;
} SnTokTruncation;

typedef struct SnTokPadding { /* of tokenizer.json; on 0: none; fixed 0: to the longest */
    uint32_t on, fixed, multiple, id, type_id, left;
} SnTokPadding;

typedef enum SnTokName {
    SN_TOK_BOS,
    SN_TOK_EOS,
    SN_TOK_UNK,
    SN_TOK_SEP,
    SN_TOK_PAD,
    SN_TOK_CLS,
    SN_TOK_MASK,
    SN_TOK_NNAME
} SnTokName;

typedef struct SnTokenizerFacts {
    uint32_t vocab_size;               /* one more than the largest id */
    uint32_t name[SN_TOK_NNAME];       /* ids of the named special tokens, or SN_TOK_NONE */
    uint32_t added_single, added_pair; /* template tokens around one text, around two */
    uint32_t token_size;               /* bytes of the longest token */
    uint32_t grow;                     /* a byte of text becomes at most so many when normalised */
    uint64_t max_length;               /* model_max_length; 0: unknown */
    SnTokTruncation truncation;
    SnTokPadding padding;
} SnTokenizerFacts;

/* The functions below take a table that was checked. */
SnTokenizerFacts sn_tokenizer_facts(SnBytes table);
/* What decoding writes for an id: {NULL, 0} where there is none. Lent by the table. */
SnBytes sn_tokenizer_text(SnBytes table, uint32_t id);
bool sn_tokenizer_is_special(SnBytes table, uint32_t id);
bool sn_tokenizer_has_template(SnBytes table);
/* The token of an id, as the model has it. */
SnBytes sn_tokenizer_token(SnBytes table, uint32_t id);
/* SN_TOK_NONE: no such token. */
uint32_t sn_tokenizer_id(SnBytes table, SnBytes token);

/* ---- the table ---------------------------------------------------------------------------------------- */

#define SN_TOK_MAGIC    0x4B4F5453u /* "STOK" */
#define SN_TOK_VERSION  11u
#define SN_TOK_ALIGN    64u
#define SN_TOK_MAX_IDS  (1u << 24)
#define SN_TOK_NOTHING  0x80u
#define SN_TOK_ODD      0x81u
#define SN_TOK_NO_PIECE 0xFFFFFFu
#define SN_TOK_STEPS    8u  /* at most this many pre-tokenizer steps */
#define SN_TOK_NORMS    32u /* ... and normaliser steps */
#define SN_TOK_TRIMS    8u

typedef enum SnTokModel {
    SN_TOK_WORDPIECE = 1,
    SN_TOK_BPE,
    SN_TOK_UNIGRAM,
    SN_TOK_WORDLEVEL,
    SN_TOK_MODEL_END
} SnTokModel;

/* X(NAME, element type): the sections. */
#define SN_TOK_SECTIONS(X)                                                                                   \
    X(POOL, uint8_t)       /* bytes of all strings */                                                        \
    X(TEXT, uint32_t)      /* nid + 1: the token of id i is POOL[TEXT[i] .. TEXT[i + 1]) */                  \
    X(FLAG, uint8_t)       /* nid: SN_TOK_IN_MODEL ... */                                                    \
    X(SLOT, uint64_t)      /* hash of the model's tokens: high half of the hash, id + 1; 0: free */          \
    X(RAW, SnTokAdded)     /* added tokens matched in the text, sorted by bytes */                           \
    X(RAW_FIRST, uint32_t) /* 257: the tokens that begin with byte c are [FIRST[c], FIRST[c + 1]) */         \
    X(NORMED, SnTokAdded)  /* added tokens matched after normalising */                                      \
    X(NORMED_FIRST, uint32_t)                                                                                \
    X(NORMALIZE, SnTokNormStep)                                                                              \
    X(SPLIT, SnTokSplit)                                                                                     \
    X(ASCII, uint8_t) /* 128: what each normalises to, or SN_TOK_NOTHING or _ODD; 128: bit i: delimits in    \
                         step i */                                                                           \
    X(SINGLE, SnTokPiece) /* the template around one text */                                                 \
    X(PAIR, SnTokPiece)   /* around two */                                                                   \
    X(MERGE, uint64_t)    /* BPE: hash of pairs: a, b of id_bits each above the rank; ~0: free */            \
    X(MERGED, uint32_t)   /* BPE: the id that the pair of each rank becomes */                               \
    X(BYTE, uint32_t)     /* BPE: ids of bytes, or SN_TOK_NONE, see SN_TOK_BYTE_LEVEL */                     \
    X(JUNCTION, uint8_t)  /* BPE: bits of pairs of characters that some merge joins; none: not known */      \
    X(TRIE, uint32_t)     /* Unigram: double array over the pieces' bytes, two of each node */               \
    X(SCORE, double)      /* Unigram: nid + 1, the last one of unknown characters */                         \
    X(PREFIX, uint8_t)    /* WordPiece: bits of hashes of all that tokens begin with */                      \
    X(DECODE, SnTokDecodeStep)                                                                               \
    X(CHARSMAP, uint32_t) /* of normaliser steps */                                                          \
    X(REGEX, SnTokRegex)  /* patterns, of splits and of normalising */                                       \
    X(BLOCK, uint16_t)    /* of patterns: code points to blocks */                                           \
    X(CLASS, uint8_t)     /* of patterns: blocks to classes */                                               \
    X(EDGE, uint32_t)     /* of patterns: transitions */                                                     \
    X(FORM_FIRST, uint8_t)                                                                                   \
    X(FORM_SECOND, uint8_t) /* this and what follows: of normaliser steps, see ops/host/normal.h */          \
    X(NFD_BLOCK, uint16_t)                                                                                   \
    X(NFD_LOW, uint8_t)                                                                                      \
    X(NFD_AT, uint16_t)                                                                                      \
    X(NFD_POOL, uint32_t)                                                                                    \
    X(NFKD_BLOCK, uint16_t)                                                                                  \
    X(NFKD_LOW, uint8_t)                                                                                     \
    X(NFKD_AT, uint16_t)                                                                                     \
    X(NFKD_POOL, uint32_t)                                                                                   \
    X(COMPOSE_PAIR, uint64_t)                                                                                \
    X(COMPOSE_TO, uint32_t)                                                                                  \
    X(WIDTH, uint8_t) /* bytes, or tokens, that one character becomes at most, see SN_TOK_WIDTH_OF; none:    \
                         only SnTokenizerFacts.grow is known */                                              \
    X(SPELL_AT, uint32_t) /* nid + 1: what id i decodes to is SPELL from SPELL_AT[i], less the flags, to the \
                             next; none: that depends on what is beside it */                                \
    X(SPELL, uint8_t)

typedef enum SnTokSectionName {
#define SN_X(NAME, T) SN_TOK_##NAME,
    SN_TOK_SECTIONS(SN_X)
#undef SN_X
        SN_TOK_NSECTION
} SnTokSectionName;

#define SN_TOK_IN_MODEL 1u
#define SN_TOK_ADDED    2u
#define SN_TOK_SPECIAL  4u /* left out by skip_special */
#define SN_TOK_RENAMED  8u /* decodes as what it is matched by, not by its name */

#define SN_TOK_SINGLE_WORD 1u
#define SN_TOK_LSTRIP      2u
#define SN_TOK_RSTRIP      4u

/* Each ASCII character has a width, others have one for 128 of them. */
#define SN_TOK_WIDTHS       (128u + 8704u)
#define SN_TOK_WIDTH_OF(cp) ((cp) < 128 ? (cp) : 128 + ((cp) >> 7))
#define SN_TOK_ROW_ROOM     4u /* what a text needs that has no characters */

#define SN_TOK_SPELL_NONE    (1u << 29) /* there is no such id */
#define SN_TOK_SPELL_PART    (1u << 30) /* a byte that fell back */
#define SN_TOK_SPELL_SPECIAL (1u << 31)
#define SN_TOK_SPELL_MASK    (SN_TOK_SPELL_NONE - 1)
#define SN_TOK_SPELL_SLACK   32u /* so many bytes of SPELL may be read from any place on */

typedef struct SnTokAdded {
    uint32_t id, flags;
    uint32_t at, size;                 /* what is matched */
    uint32_t content_at, content_size; /* its name: differs where normalising changed it */
} SnTokAdded;

/* A pattern is a DFA over classes of code points. The class of one is
 * CLASS[classes + 128 BLOCK[blocks + (cp >> 7)] + (cp & 127)]; class 0 is the end of the text. An edge,
 * EDGE[edges + row + class], is twice the row of the next state (a multiple of nclass; 0: there is none), and
 * in bit 0: a match ends before the character that was read. The first state's row is nclass.
 *
 * A pattern whose matches leave nothing out has a second machine, the walk, which reads on from match to
 * match (regex_walk.c). An edge of it, EDGE[walks + row + class], is the next row above the SN_TOK_WALK_
 * flags, the first row 0; class 0 stands for bytes that begin no character. Where it is small it has edges of
 * two bytes as well: EDGE[pairs + row + first class + nclass second class] is the next row, a multiple of
 * nclass squared, above the flags of the second and those of the first.
 *
 * A pattern that looks behind, or ahead over more than a character, is for steps that split, whose stretches
 * are read as a whole before: forward and then backward. Each pass puts a class in place of the one that is
 * there: an edge is the next row, the first is 0, above SN_TOK_PASS_BITS of class. BLOCK and CLASS give what
 * the first one reads, which reads the end of the text, of class 0, last; it gives what the second one reads,
 * the end first, and that what the states above read. */
typedef struct SnTokRegex {
    uint32_t blocks, classes, nblock; /* elements of BLOCK and CLASS from here: SN_TOK_BLOCKS, 128 nblock */
    uint32_t edges, nstate;           /* elements of EDGE from here: nclass (1 + nstate) */
    uint32_t walks, nwalk;            /* ... nclass nwalk; 0: there is none */
    uint32_t pairs, npair;            /* ... npair nwalk, npair: nclass squared; 0: there are none */
    uint32_t nclass;
    uint32_t passes; /* elements of EDGE from here: nread nbehind, then nmiddle nahead; or all 0 */
    uint32_t nbehind, nread, nahead, nmiddle;
} SnTokRegex;
#define SN_TOK_PASS_BITS  8u
#define SN_TOK_REGEXES    64u
#define SN_TOK_WALK_HERE  1u  /* a match ends before the character that was read */
#define SN_TOK_WALK_BACK  2u  /* ... before the one before that */
#define SN_TOK_WALK_AGAIN 4u  /* the text is to be read again from the match before on; no other flag */
#define SN_TOK_WALK_MAYBE 8u  /* a match ends before the character that was read, if no longer one is found  \
                               */
#define SN_TOK_WALK_LAST  16u /* none was: a match ends at the last such place before this one */
#define SN_TOK_WALK_BITS  8u
#define SN_TOK_WALK_PAIRS (1u << 16) /* so many edges of two bytes at most */
#define SN_TOK_BLOCKS     8704u      /* 0x110000 / 128 */

typedef enum SnNormKind {
    SN_NORM_CLEAN = 1, /* drop controls, make white space a space */
    SN_NORM_CJK,       /* a space on both sides of ideographs */
    SN_NORM_NFD,
    SN_NORM_STRIP_NONSPACING,
    SN_NORM_STRIP_MARKS,
    SN_NORM_LOWER,
    SN_NORM_NFKD,
    SN_NORM_NFC,
    SN_NORM_NFKC,
    SN_NORM_NMT,
    SN_NORM_BYTES,         /* bytes as characters that print */
    SN_NORM_CHARSMAP,      /* POOL[at ..] has the strings, CHARSMAP[unit ..] the double array */
    SN_NORM_STRIP,         /* at: SN_NORM_LEFT, SN_NORM_RIGHT */
    SN_NORM_PREPEND,       /* POOL[at ..] */
    SN_NORM_REPLACE,       /* POOL[at ..] becomes POOL[to ..] */
    SN_NORM_REPLACE_REGEX, /* what pattern `at` matches does */
    SN_NORM_NKIND
} SnNormKind;

#define SN_NORM_LEFT  1u
#define SN_NORM_RIGHT 2u

typedef struct SnTokNormStep {
    uint32_t kind;
    uint32_t at, size, to, to_size;
    uint32_t unit, nunit;
} SnTokNormStep;

typedef enum SnSplitBehavior {
    SN_SPLIT_REMOVED,
    SN_SPLIT_ISOLATED,
    SN_SPLIT_WITH_PREVIOUS,
    SN_SPLIT_WITH_NEXT,
    SN_SPLIT_CONTIGUOUS,
    SN_SPLIT_NBEHAVIOR
} SnSplitBehavior;

typedef enum SnSplitKind {
    SN_SPLIT_CLASS, /* characters with one of the flags, or the code point, delimit */
    SN_SPLIT_REGEX, /* matches of the pattern do */
    SN_SPLIT_FIXED, /* nothing does; parts of so many characters */
    SN_SPLIT_SIGN,  /* the sign is put before a part, and where SN_SIGN_REPLACES in place of its spaces; at
                       most  one such step, and then only steps that cannot tell the sign from a space */
    SN_SPLIT_NKIND
} SnSplitKind;
#define SN_SIGN_REPLACES 1u
#define SN_SIGN_PREPENDS 2u /* unless it is there */
#define SN_SIGN_FIRST    4u /* ... and only before the text's first character */
#define SN_SIGN_ALWAYS   8u /* ... also where it is there */

typedef struct SnTokSplit { /* a step of the pre-tokenizer: which characters delimit, and what becomes of them
                             */
    uint32_t flags;         /* SN_CP_ of ops/host/unicode.h */
    uint32_t code_point;    /* or this one; SN_TOK_NONE: none */
    uint32_t behavior;
    uint32_t kind, inverts;
    uint32_t arg;      /* REGEX: the pattern; FIXED: characters; SIGN: SN_SIGN_ */
    uint32_t at, size; /* SIGN: in the pool */
} SnTokSplit;

typedef enum SnTokPieceKind { SN_TOK_FIRST, SN_TOK_SECOND, SN_TOK_TOKEN } SnTokPieceKind;

typedef struct SnTokPiece {
    uint32_t kind, type_id;
    uint32_t id; /* SN_TOK_TOKEN */
} SnTokPiece;

/* Strings to strings; what they are in the end is put together. A and B are POOL[at ..] and POOL[to ..]. */
typedef enum SnTokDecodeKind {
    SN_TOK_DECODE_JOIN = 1,      /* one, with spaces between */
    SN_TOK_DECODE_FUSE,          /* one */
    SN_TOK_DECODE_BPE,           /* A becomes a space, in the last one nothing */
    SN_TOK_DECODE_WORDPIECE,     /* without A before it a space; CLEANUP */
    SN_TOK_DECODE_BYTES,         /* signs for bytes become these; one */
    SN_TOK_DECODE_METASPACE,     /* A becomes a space, in the first one where PREFIXED nothing */
    SN_TOK_DECODE_CTC,           /* no repeats, no A; CLEANUP, and B becomes a space */
    SN_TOK_DECODE_REPLACE,       /* A becomes B */
    SN_TOK_DECODE_REPLACE_REGEX, /* what pattern `at` matches does */
    SN_TOK_DECODE_STRIP,         /* A is taken off, so many times at begin and end */
    SN_TOK_DECODE_FALLBACK,      /* <0x41> becomes a byte */
    SN_TOK_DECODE_NKIND
} SnTokDecodeKind;

#define SN_TOK_DECODE_CLEANUP  1u
#define SN_TOK_DECODE_PREFIXED 2u

typedef struct SnTokDecodeStep {
    uint32_t kind, flags;
    uint32_t at, size, to, to_size;
    uint32_t begin, end;
} SnTokDecodeStep;

/* Of the model, in SnTokTable.model_flags. */
/* BYTE_LEVEL: words are bytes; BYTE[256 k + byte], k: 1 where it is not the first, 2 more where the last.
 * Else BYTE[byte] is what falls back, BYTE[256 + c] are ASCII characters. */
#define SN_TOK_BYTES         1024u
#define SN_TOK_BYTE_LEVEL    1u
#define SN_TOK_BYTE_FALLBACK 2u /* a character that is no token becomes BYTE[byte] of its bytes */
#define SN_TOK_FUSE_UNK      4u
#define SN_TOK_IGNORE_MERGES 8u /* a word that is a token as a whole is that token */

#define SN_TOK_NO_TEMPLATE    1u /* no post-processor: texts are joined, and some sequence ids are odd */
#define SN_TOK_OVERFLOW_ZEROS 2u /* RobertaProcessing: overflowing windows have type 0 */
/* A text may be cut behind spaces and newlines that a printing ASCII character or a letter follows: the parts
 * give their ids alone, also without the white space at their ends. */
#define SN_TOK_UNITS (1u << 31)

typedef struct SnTokTable {
    uint32_t magic, version, size; /* bytes of everything */
    uint32_t model, flags;
    uint32_t unk;                    /* what a word becomes that has no pieces, or SN_TOK_NONE */
    uint32_t prefix_at, prefix_size; /* continuing_subword_prefix */
    uint32_t suffix_at, suffix_size; /* end_of_word_suffix */
    uint32_t model_flags, id_bits;
    uint32_t ntrim,
        trim_prefix; /* how often offsets leave white space out; bit i: not one space before the first */
    uint32_t max_word_chars; /* longer words are unk */
    uint32_t model_token_size;
    SnTokenizerFacts facts;
    struct {
        uint32_t at, count; /* bytes from the start of the table, elements */
    } section[SN_TOK_NSECTION];
} SnTokTable;

/* Accepts a table, hostile bytes included: after SN_OK no op reads outside it, and every loop over it ends.
 */
SN_MUST_CHECK SnStatus sn_tokenizer_check(SnBytes table, SnError *err);

/* ---- for the front end that writes tables, and the ops ------------------------------------------------- */

#define SN_X(NAME, T)                                                                                        \
    static inline const T *sn_tok_##NAME(const SnTokTable *t)                                                \
    {                                                                                                        \
        return (const T *)(const void *)((const uint8_t *)t + t->section[SN_TOK_##NAME].at);                 \
    }
SN_TOK_SECTIONS(SN_X)
#undef SN_X

static inline uint32_t sn_tok_count(const SnTokTable *t, SnTokSectionName s)
{
    return t->section[s].count;
}

/* The hash of the model's tokens goes byte by byte, so that a word's prefixes cost one pass. */
#define SN_TOK_HASH 0xCBF29CE484222325u
static inline uint64_t sn_tok_hash(uint64_t h, uint8_t byte)
{
    return (h ^ byte) * 0x100000001B3u;
}
static inline uint64_t sn_tok_hash_end(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}
#define SN_TOK_FREE_PAIR UINT64_MAX
static inline uint32_t sn_tok_pair_slot(uint64_t pair)
{
    return (uint32_t)(pair * 0x9E3779B97F4A7C15u >> 32);
}

/* Which bit of JUNCTION a pair of characters has: one of its own where both are ASCII. */
#define SN_TOK_JUNCTIONS (1u << 19)
static inline uint32_t sn_tok_junction(uint32_t a, uint32_t b)
{
    const uint32_t h = (a * 0x9E3779B1u ^ b) * 0x85EBCA77u;
    return (a | b) < 128 ? a << 7 | b : (1u << 14) + (h >> 14) % (SN_TOK_JUNCTIONS - (1u << 14));
}

#define SN_TOK_PREFIXES (1u << 20)
static inline uint32_t sn_tok_prefix_bit(uint64_t h) /* h: as it is before sn_tok_hash_end */
{
    return (uint32_t)(h * 0x9E3779B97F4A7C15u >> 44);
}

/* Finds a token of the model: h is sn_tok_hash_end of all of its bytes, prefix and rest its two parts. */
uint32_t sn_tok_find(const SnTokTable *t, uint64_t h, SnBytes prefix, SnBytes rest);

/* What a token of any bytes decodes to, behind another one or as the first. Lent by the work of
 * SN_TOK_SPELL_WORK(size) bytes; {NULL, 0}: it needs more than size bytes, or depends on what is beside it.
 */
#define SN_TOK_SPELL_WORK(size) (2 * ((size_t)(size) + 12))
SnBytes sn_tok_spelled(const SnTokTable *t, SnBytes token, bool is_first, void *work, size_t size);
/* Fills SPELL_AT and SPELL, which has size bytes; work is SN_TOK_SPELL_WORK(token_size + 1). Returns how many
 * bytes those are; 0: there cannot be any, or not so many. */
size_t sn_tok_fill_spelling(const SnTokTable *t, void *work, uint32_t *at, uint8_t *spell, size_t size);
/* Gives `put` the words of text, valid UTF-8 of less than 2^29 bytes, as the model gets them, one by one;
 * added tokens are text. No text has more than `room` bytes when it is normalised and has its signs: n
 * SnTokenizerFacts.grow + SN_TOK_RUN is enough. false: it does, or put gave false. */
typedef bool SnTokWordFn(void *self, SnBytes word);
#define SN_TOK_WORDS_WORK(room) (26 * (size_t)(room)) /* 16-byte aligned */
bool sn_tok_each_word(const SnTokTable *t, SnBytes text, void *work, size_t room, SnTokWordFn *put,
                      void *self);
/* Does a step read its stretches as a whole before it splits them? sn_tok_each_word then needs room for it as
 * for a text that is normalised. */
bool sn_tok_has_passes(const SnTokTable *t, const SnTokSplit *s);
/* What each ASCII character alone normalises to: one, SN_TOK_NOTHING, or SN_TOK_ODD: something else. */
void sn_tok_fill_ascii(const SnTokTable *t, uint8_t ascii[128]);
/* Normalises text, valid UTF-8, into out; returns how many bytes, SIZE_MAX where they do not fit. scratch is
 * 24 cap bytes; the text may have cap characters after any step. For the names of added tokens. */
size_t sn_tok_normalize_text(const SnTokTable *t, SnBytes text, void *scratch, size_t cap, SnBytes out);

#endif
