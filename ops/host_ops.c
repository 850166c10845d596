/* host_ops.c -- rows of the host ops, and composites over lists.
 *
 * A row of a host op gives the capacity of each result as a dim over its operands' dims and capacities; what
 * they mean is in ops/host/tokenize.h. */
#include "ops/help.h"
#include "ops/host/tokenize.h"

/* ---- lists ---- */

static SnValue list_len(SnGraph *g, const SnCall *c)
{
    return sn_get(g, c->in[0], 1);
}

static SnValue list_max_len(SnGraph *g, const SnCall *c)
{
    const SnValue longest = sn_reduce(g, "max", sn_get(g, c->in[0], 1), 0, NULL, false);
    return sn_max(g, longest, sn_size(g, 0)); /* of no rows: 0 */
}

/* Row i, element j of the padded tensor is child[start[i] + j - shift[i]]. */
static SnValue pad_list(SnGraph *g, const SnCall *c)
{
    const SnValue start = sn_insert_axis(g, sn_get(g, c->in[0], 0), 1);
    const SnValue len = sn_insert_axis(g, sn_get(g, c->in[0], 1), 1), child = sn_get(g, c->in[0], 2);
    const SnValue width = c->in[1], dims[] = {sn_dim(g, start, 0), width};
    const SnValue shift = sn_call_int(c, "left") != 0 ? sn_sub(g, width, len) : sn_size(g, 0);
    const SnValue j = sn_sub(g, sn_iota(g, SN_I64, 1, 2, dims), shift);
    const SnValue is_inside = sn_and(g, sn_ge(g, j, sn_size(g, 0)), sn_lt(g, j, len));
    const SnValue index = sn_add(g, j, start);
    const SnValue x = sn_gather(g, child, 1, &(int){0}, &index, "zero");
    const SnDtype dtype = sn_value_dtype(g, child);
    const double value = sn_call_float(c, "value");
    return sn_where(g, is_inside, x, sn_const(g, dtype, value));
}

static SnValue pad_mask(SnGraph *g, const SnCall *c)
{
    const SnValue len = sn_insert_axis(g, sn_get(g, c->in[0], 1), 1), width = c->in[1];
    const SnValue dims[] = {sn_dim(g, len, 0), width}, j = sn_iota(g, SN_I64, 1, 2, dims);
    const SnValue is_inside =
        sn_call_int(c, "left") != 0 ? sn_ge(g, j, sn_sub(g, width, len)) : sn_lt(g, j, len);
    return sn_cast(g, is_inside, sn_call_dtype(c, "dtype"));
}

/* ---- tokenizers: capacities ---- */

typedef struct Result {
    const char *name;
    SnDtype dtype;
    int64_t times; /* capacity, in multiples of the base; 0: a tensor */
    bool is_none;  /* all of its rows are empty */
} Result;

static SnRef capacity(SnGraph *g, SnValue list)
{
    const SnRef bound = sn_value_type(g, list)->bound;
    return bound != 0 || list.ref == 0 ? bound : sn_graph_fail(g, SN_ESHAPE, "a list without capacity").ref;
}

static SnRef times(SnGraph *g, SnRef dim, int64_t n)
{
    return sn_dim_mul(sn_graph_store(g), dim, sn_const_i64(sn_graph_store(g), n));
}

/* A tuple of lists over rows, of capacities that are multiples of base. */
static SnStatus lists_type(SnGraph *g, SnRef rows, SnRef base, const Result *result, int n, SnTypeId *out,
                           SnError *err)
{
    enum { MAX_RESULTS = 8 };
    SnStore *const s = sn_graph_store(g);
    SnTypeId child[MAX_RESULTS] = {0};
    const char *names[MAX_RESULTS] = {0};
    SN_ASSERT(n <= MAX_RESULTS);
    SN_TRY(sn_graph_check(g, err));
    for (int i = 0; i < n; i++) {
        const Result *const r = &result[i];
        child[i] = r->times > 0
                       ? sn_type_list(s, r->dtype, 1, &rows, times(g, base, r->is_none ? 0 : r->times))
                       : sn_type_tensor(s, r->dtype, r->dtype == SN_I64 ? 0 : 1, &rows);
        names[i] = r->name;
    }
    *out = sn_type_tuple(s, n, child, names);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

static SnRef rows_of(SnGraph *g, SnValue list)
{
    return sn_value_type(g, list)->dims[0];
}

static SnRef fixed_scratch(SnGraph *g, size_t size)
{
    return sn_const_i64(sn_graph_store(g), (int64_t)size);
}

static SnStatus infer_room(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    (void)c;
    *out = sn_type_tensor(sn_graph_store(g), SN_I64, 0, NULL);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

static SnRef scratch_room(SnGraph *g, const SnCall *c)
{
    (void)c;
    return fixed_scratch(g, SN_TOK_ROOM_SCRATCH);
}

static SnRef room_of(SnGraph *g, const SnCall *c)
{
    const SnRef room = c->in[2].ref;
    return sn_is_dim(sn_graph_store(g), room)
               ? room
               : sn_graph_fail(g, SN_EINVAL, "tok_encode: room is no dim: measure it").ref;
}

static SnStatus infer_encode(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    Result result[] = {{"ids", SN_I32, 1},
                       {"offset", SN_I32, 2},
                       {"word_id", SN_I32, 1},
                       {"about", SN_I32, 3},
                       {"own", SN_U8, 1}};
    for (size_t i = 1; i < SN_COUNT(result); i++)
        result[i].is_none = sn_call_int(c, i > 2 ? "about" : "places") == 0;
    const SnRef rows = rows_of(g, c->in[sn_call_has(c, 3) ? 3 : 1]);
    const SnRef room = room_of(g, c);
    return lists_type(g, rows, room, result, SN_COUNT(result), out, err);
}

static SnRef scratch_encode(SnGraph *g, const SnCall *c)
{
    SnStore *const s = sn_graph_store(g);
    const size_t none = SN_TOK_ENCODE_SCRATCH(0, 0), text = SN_TOK_ENCODE_SCRATCH(1, 0) - none;
    const size_t room = SN_TOK_ENCODE_SCRATCH(0, 1) - none;
    const SnRef all =
        sn_dim_add(s, times(g, capacity(g, c->in[1]), (int64_t)text), times(g, room_of(g, c), (int64_t)room));
    return sn_dim_add(s, fixed_scratch(g, none), all);
}

static SnStatus infer_window(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    static const Result result[] = {{"ids", SN_I32, 1},    {"type", SN_I32, 1},    {"special", SN_I32, 1},
                                    {"offset", SN_I32, 2}, {"word_id", SN_I32, 1}, {"sequence", SN_I32, 1},
                                    {"row", SN_I32, 0},    {"count", SN_I64, 0}};
    SnStore *const s = sn_graph_store(g);
    const int64_t windows = sn_call_int(c, "windows"), given = sn_call_int(c, "max_length");
    const int64_t max_length = given > 0 ? given : 0, added = sn_call_int(c, "added");
    int64_t cut = 0;
    SN_CHECK(windows >= 0 && added >= 0 && sn_mul_i64(windows, max_length, &cut), err, SN_EINVAL,
             "tok_window: windows, max_length or added is out of range");
    const SnRef texts = rows_of(g, c->in[1]);
    SnRef base = sn_dim_add(s, capacity(g, c->in[1]), times(g, texts, added));
    if (sn_call_has(c, 4))
        base = sn_dim_add(s, base, capacity(g, c->in[4]));
    base = sn_dim_add(s, base, sn_const_i64(s, cut));
    return lists_type(g, windows > 0 ? sn_const_i64(s, windows) : texts, base, result, SN_COUNT(result), out,
                      err);
}

static SnRef scratch_window(SnGraph *g, const SnCall *c)
{
    (void)c;
    return fixed_scratch(g, SN_TOK_WINDOW_SCRATCH);
}

static SnStatus infer_decode(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    const int64_t token_size = sn_call_int(c, "token_size");
    const SnRef rows = rows_of(g, c->in[1]);
    SN_CHECK(token_size >= 0 && token_size < INT32_MAX, err, SN_EINVAL,
             "tok_decode: token_size is out of range");
    const SnRef bound = times(g, capacity(g, c->in[1]), token_size + 1);
    SN_TRY(sn_graph_check(g, err));
    *out = sn_type_list(sn_graph_store(g), SN_U8, 1, &rows, bound);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

static SnRef scratch_decode(SnGraph *g, const SnCall *c)
{
    const int64_t token_size = sn_call_int(c, "token_size");
    const size_t none = SN_TOK_DECODE_SCRATCH(0, token_size), one = SN_TOK_DECODE_SCRATCH(1, token_size);
    return sn_dim_add(sn_graph_store(g), fixed_scratch(g, none),
                      times(g, capacity(g, c->in[1]), (int64_t)(one - none)));
}

static SnStatus infer_stream(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err)
{
    SnStore *const s = sn_graph_store(g);
    const int64_t size = sn_call_int(c, "token_size") + 1;
    const SnType *const ids = sn_value_type(g, c->in[2]);
    const SnRef rows = ids->dims[0], hold[2] = {rows, sn_const_i64(s, SN_TOK_HOLD_SIZE)};
    SN_CHECK(size > 0 && size < INT32_MAX, err, SN_EINVAL, "tok_stream: token_size is out of range");
    SN_TRY(sn_graph_check(g, err));
    const SnRef id_count = sn_dim_add(s, ids->dims[1], sn_const_i64(s, SN_TOK_HOLD_IDS));
    const SnRef bytes = sn_dim_add(s, times(g, id_count, size), sn_const_i64(s, SN_TOK_HOLD_TEXT));
    const SnTypeId child[] = {sn_type_list(s, SN_U8, 1, &rows, sn_dim_mul(s, rows, bytes)),
                              sn_type_tensor(s, SN_U8, 2, hold), sn_type_tensor(s, SN_I32, 1, &rows)};
    static const char *const names[] = {"text", "hold", "hit"};
    *out = sn_type_tuple(s, SN_COUNT(child), child, names);
    SN_CHECK(*out != 0, err, SN_ENOMEM, "no memory for types");
    return SN_OK;
}

static SnRef scratch_stream(SnGraph *g, const SnCall *c)
{
    return fixed_scratch(g, SN_TOK_STREAM_SCRATCH(sn_call_int(c, "token_size")));
}

const SnOp sn_host_ops[] = {
    {.sig = "list_len(x: list<T>[..]) -> i64[..]",
     .expand = list_len,
     .doc = "number of elements of each list"},
    {.sig = "list_max_len(x: list<T>[..]) -> i64[]",
     .expand = list_max_len,
     .doc = "the longest list's; of none: 0"},
    {.sig = "pad_list(x: list<T>[b], width: i64[]; value: f64 = 0, left: bool = false) -> T[b, width]",
     .expand = pad_list,
     .doc = "lists as rows, filled up with value; what is beyond width is cut"},
    {.sig =
         "pad_mask(x: list<T>[b], width: i64[]; dtype: dtype = i64, left: bool = false) -> dtype[b, width]",
     .expand = pad_mask,
     .doc = "1 where pad_list has an element of the list, 0 where it has a filler"},
    {.sig = "tok_room(tok: object<tokenizer>, text: list<u8>[b]) -> ?",
     .run = sn_tok_room,
     .symbol = "sn_tok_room",
     .infer = infer_room,
     .scratch = scratch_room,
     .doc = "how many tokens, or bytes normalised, texts become at most"},
    {.sig =
         "tok_encode(tok: object<tokenizer>, text: list<u8>[w], room: i64[], words: i64[b]?; places: bool = "
         "false, memo: int = 0, about: int = 0) -> ?",
     .run = sn_tok_encode,
     .symbol = "sn_tok_encode",
     .infer = infer_encode,
     .scratch = scratch_encode,
     .doc = "(ids, offset, word_id, about, own) of each text, or of each words[b] of them that are the words "
            "of one"},
    {.sig =
         "tok_window(tok: object<tokenizer>, ids: list<i32>[b], offset: list<i32>[b], word_id: list<i32>[b], "
         "ids2: list<i32>[b]?, offset2: list<i32>[b]?, word_id2: list<i32>[b]?; max_length: int = -1, "
         "stride: int = 0, strategy: int = 0, left: bool = false, special: bool = true, windows: int = 0, "
         "added: int = 0) -> ?",
     .run = sn_tok_window,
     .symbol = "sn_tok_window",
     .infer = infer_window,
     .scratch = scratch_window,
     .doc = "(ids, type, special, offset, word_id, sequence, row, count): texts or pairs cut and put in the "
            "template"},
    {.sig = "tok_decode(tok: object<tokenizer>, ids: list<i32>[b]; skip_special: bool = false, token_size: "
            "int) -> ?",
     .run = sn_tok_decode,
     .symbol = "sn_tok_decode",
     .infer = infer_decode,
     .scratch = scratch_decode,
     .doc = "the text that ids stand for"},
    {.sig = "tok_stream(tok: object<tokenizer>, hold: u8[b, 1152], ids: i32[b, k], end: i32[b], stop: "
            "list<u8>[s]?; "
            "skip_special: bool = true, keep_stop: bool = false, token_size: int) -> ?",
     .run = sn_tok_stream,
     .symbol = "sn_tok_stream",
     .infer = infer_stream,
     .scratch = scratch_stream,
     .doc = "(text, hold, hit): what further ids add to a text, in whole characters, up to a stop string"},
    {0},
};
