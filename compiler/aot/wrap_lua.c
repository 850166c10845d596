/* wrap_lua.c -- the wrapper for LuaJIT: its FFI and nothing else. */
#include "compiler/aot/wrap.h"

static const char about[] =
    "-- $n.lua -- $k: $o.so for LuaJIT, by its FFI.\n"
    "--\n"
    "--   local $n = require(\"$n\")\n"
    "--   local ctx = $n.new()              -- or new{path = \"dir/$o.so\", threads = 2}\n"
    "--\n"
    "-- Slices: ctx:begin(...), then ctx:step(budget_ns) until it is true. A context is used by one thread "
    "at a\n"
    "-- time. Failures are errors; places in texts are those of string.sub.\n"
    "--\n"
    "-- Inputs and outputs by name, for bind and result:$e\n"
    "local ffi = require(\"ffi\")\n"
    "\n"
    "-- Types of all models.\n"
    "if not pcall(ffi.typeof, \"SnModelHost\") then\n"
    "    ffi.cdef[[\n"
    "typedef struct SnModelHost {\n"
    "    uint32_t struct_size, abi, flags, threads;\n"
    "    void *block; size_t block_size;\n"
    "    void *memory_self, *memory_resize;\n"
    "    void *jobs_self; uint32_t jobs_width; void *jobs_parallel;\n"
    "    void *trace_self, *trace_event;\n"
    "    const char *cpu_level, *shape; char *message; size_t message_size;\n"
    "} SnModelHost;\n"
    "typedef struct SnModelView {\n"
    "    void *data; int32_t dtype, ndim; int64_t dims[12], strides[12];\n"
    "    const int64_t *start, *len; int64_t child_count;\n"
    "} SnModelView;\n"
    "typedef struct SnModelSpan { size_t begin, stop; const char *name; float score; uint32_t label; } "
    "SnModelSpan;\n"
    "typedef struct SnModelWord { const char *text; size_t size; float score; int32_t id; } SnModelWord;\n"
    "]]\n"
    "end\n"
    "if not pcall(ffi.typeof, \"$CCtx\") then\n"
    "    ffi.cdef[[\n"
    "typedef struct $CCtx $CCtx;\n"
    "extern const uint32_t $n_program[1];\n"
    "$f]]\n"
    "end\n"
    "\n"
    "local M = {width = $w}\n"
    "local Context = {}\n"
    "Context.__index = Context\n"
    "local ABI, AGAIN = $a, -1\n"
    "\n"
    "local dtypes = {\"bool\", \"int8_t\", \"int16_t\", \"int32_t\", \"int64_t\", \"uint8_t\", "
    "\"uint16_t\", \"uint32_t\",\n"
    "    \"uint64_t\", \"uint16_t\", \"uint16_t\", \"float\", \"double\", \"uint8_t\", \"uint8_t\", "
    "\"uint8_t\", \"uint8_t\", \"uint8_t\"}\n"
    "local codes = {bool = 1, int8_t = 2, int16_t = 3, int32_t = 4, int64_t = 5, uint8_t = 6, uint16_t = 7,\n"
    "    uint32_t = 8, uint64_t = 9, float = 12, double = 13}\n"
    "\n"
    "local function open(path)\n"
    "    local here = debug.getinfo(1, \"S\").source:match(\"^@(.*/)\") or \"./\"\n"
    "    local lib = ffi.load(path or here .. \"$o.so\")\n"
    "    local abi = tonumber(lib.$n_program[0])\n"
    "    if abi ~= ABI then\n"
    "        error(string.format(\"$o.so: made for ABI %d, this file for %d\", abi, ABI), 3)\n"
    "    end\n"
    "    return lib\n"
    "end\n"
    "\n"
    "-- options: path, threads, cpu_level, shape\n"
    "function M.new(options)\n"
    "    local o = options or {}\n"
    "    local lib = open(o.path)\n"
    "    local message = ffi.new(\"char[512]\")\n"
    "    local host = ffi.new(\"SnModelHost\")\n"
    "    host.struct_size, host.abi, host.threads = ffi.sizeof(host), ABI, o.threads or 1\n"
    "    host.cpu_level, host.shape = o.cpu_level, o.shape\n"
    "    host.message, host.message_size = message, 512\n"
    "    local out = ffi.new(\"$CCtx *[1]\")\n"
    "    if lib.$n_create(host, out) ~= 0 then\n"
    "        error(ffi.string(message), 2)\n"
    "    end\n"
    "    local self = setmetatable({lib = lib, ctx = out[0], lent = {}, guard = newproxy(true)}, Context)\n"
    "    -- A userdata and no ffi.gc: when Lua ends, cdata is finalized after the library is gone.\n"
    "    local owner = {ctx = self.ctx}\n"
    "    getmetatable(self.guard).__gc = function()\n"
    "        lib.$n_destroy(owner.ctx)\n"
    "    end\n"
    "    self.owner = owner\n"
    "    return self\n"
    "end\n"
    "\n"
    "function Context:close()\n"
    "    self.lib.$n_destroy(self.owner.ctx)\n"
    "    self.owner.ctx, self.ctx = nil, nil\n"
    "end\n"
    "\n"
    "local function check(self, status)\n"
    "    if status ~= 0 and status ~= AGAIN then\n"
    "        error(ffi.string(self.lib.$n_error(self.ctx)), 3)\n"
    "    end\n"
    "    return status\n"
    "end\n"
    "\n"
    "function Context:cpu_level() return ffi.string(self.lib.$n_cpu_level(self.ctx)) end\n"
    "\n"
    "-- true: done; false: the time is up, call it again\n"
    "function Context:step(budget_ns) return check(self, self.lib.$n_step(self.ctx, budget_ns)) == 0 end\n"
    "function Context:run() check(self, self.lib.$n_run(self.ctx)) end\n"
    "function Context:cancel() self.lib.$n_cancel(self.ctx) end\n"
    "\n";

static const char begin_one[] = "function Context:begin(text)\n"
                                "    check(self, self.lib.$n_begin(self.ctx, text, #text))\n"
                                "    self.text = text\n"
                                "end\n"
                                "\n";
static const char begin_two[] = "function Context:begin_pair(a, b)\n"
                                "    check(self, self.lib.$n_begin_pair(self.ctx, a, #a, b, #b))\n"
                                "    self.text = b\n"
                                "end\n"
                                "\n";
static const char numbers[] = "-- A table of numbers, from 1 on.\n"
                              "local function numbers(out)\n"
                              "    local t = {}\n"
                              "    for i = 1, M.width do\n"
                              "        t[i] = out[i - 1]\n"
                              "    end\n"
                              "    return t\n"
                              "end\n"
                              "\n";
static const char embed[] = "function Context:vector()\n"
                            "    local out = ffi.new(\"float[?]\", M.width)\n"
                            "    check(self, self.lib.$n_vector(self.ctx, out))\n"
                            "    return numbers(out)\n"
                            "end\n"
                            "\n"
                            "function Context:embed(text)\n"
                            "    self:begin(text)\n"
                            "    self:run()\n"
                            "    return self:vector()\n"
                            "end\n"
                            "\n";
static const char labels[] = "-- The name of label i, from 1 on.\n"
                             "function Context:label(i)\n"
                             "    local name = self.lib.$n_label(i - 1)\n"
                             "    return name ~= nil and ffi.string(name) or nil\n"
                             "end\n"
                             "\n";
static const char classify[] = "function Context:scores()\n"
                               "    local out = ffi.new(\"float[?]\", M.width)\n"
                               "    check(self, self.lib.$n_scores(self.ctx, out))\n"
                               "    return numbers(out)\n"
                               "end\n"
                               "\n";
static const char classify_one[] = "function Context:classify(text)\n"
                                   "    self:begin(text)\n"
                                   "    self:run()\n"
                                   "    return self:scores()\n"
                                   "end\n"
                                   "\n";
static const char classify_two[] = "function Context:classify_pair(a, b)\n"
                                   "    self:begin_pair(a, b)\n"
                                   "    self:run()\n"
                                   "    return self:scores()\n"
                                   "end\n"
                                   "\n";
static const char span[] =
    "local function to_span(text, s)\n"
    "    local first, last = tonumber(s.begin) + 1, tonumber(s.stop)\n"
    "    return {first = first, last = last, text = text:sub(first, last), score = s.score,\n"
    "        name = s.name ~= nil and ffi.string(s.name) or nil, label = s.label + 1}\n"
    "end\n"
    "\n";
static const char tag[] = "function Context:spans()\n"
                          "    local count, t = ffi.new(\"size_t[1]\"), {}\n"
                          "    check(self, self.lib.$n_spans(self.ctx, nil, 0, count))\n"
                          "    local n = tonumber(count[0])\n"
                          "    local out = ffi.new(\"SnModelSpan[?]\", n)\n"
                          "    check(self, self.lib.$n_spans(self.ctx, out, n, count))\n"
                          "    for i = 1, n do\n"
                          "        t[i] = to_span(self.text, out[i - 1])\n"
                          "    end\n"
                          "    return t\n"
                          "end\n"
                          "\n"
                          "function Context:tag(text)\n"
                          "    self:begin(text)\n"
                          "    self:run()\n"
                          "    return self:spans()\n"
                          "end\n"
                          "\n";
static const char answer[] = "function Context:span()\n"
                             "    local out = ffi.new(\"SnModelSpan[1]\")\n"
                             "    check(self, self.lib.$n_span(self.ctx, out))\n"
                             "    return to_span(self.text, out[0])\n"
                             "end\n"
                             "\n"
                             "function Context:answer(question, context)\n"
                             "    self:begin_pair(question, context)\n"
                             "    self:run()\n"
                             "    return self:span()\n"
                             "end\n"
                             "\n";
static const char fill[] =
    "function Context:words()\n"
    "    local out, count, t = ffi.new(\"SnModelWord[?]\", M.width), ffi.new(\"size_t[1]\"), {}\n"
    "    check(self, self.lib.$n_words(self.ctx, out, M.width, count))\n"
    "    for i = 1, tonumber(count[0]) do\n"
    "        local w = out[i - 1]\n"
    "        t[i] = {text = ffi.string(w.text, w.size), score = w.score, id = w.id}\n"
    "    end\n"
    "    return t\n"
    "end\n"
    "\n"
    "function Context:fill(text)\n"
    "    self:begin(text)\n"
    "    self:run()\n"
    "    return self:words()\n"
    "end\n"
    "\n";

static const char by_name[] =
    "function Context:entry(name) check(self, self.lib.$n_entry(self.ctx, name)) end\n"
    "function Context:reserve(shape) check(self, self.lib.$n_reserve(self.ctx, shape)) end\n"
    "function Context:reset() check(self, self.lib.$n_reset(self.ctx)) end\n"
    "\n"
    "-- data: cdata of elements of a C type (\"float\"), lent until the context gets another one for the "
    "input\n"
    "function Context:bind(input, ctype, data, ...)\n"
    "    local view = ffi.new(\"SnModelView\")\n"
    "    view.data, view.dtype, view.ndim = ffi.cast(\"void *\", data), assert(codes[ctype], ctype), "
    "select(\"#\", ...)\n"
    "    for i = 1, view.ndim do\n"
    "        view.dims[i - 1] = select(i, ...)\n"
    "    end\n"
    "    check(self, self.lib.$n_bind(self.ctx, input, view))\n"
    "    self.lent[input] = data\n"
    "end\n"
    "\n"
    "-- A pointer to the elements, lent until the next call, and a table of dims.\n"
    "function Context:result(output)\n"
    "    local view, dims = ffi.new(\"SnModelView\"), {}\n"
    "    check(self, self.lib.$n_result(self.ctx, output, view))\n"
    "    for i = 1, view.ndim do\n"
    "        dims[i] = tonumber(view.dims[i - 1])\n"
    "    end\n"
    "    return ffi.cast(dtypes[view.dtype] .. \" *\", view.data), dims\n"
    "end\n"
    "\n"
    "-- Carried state as a string.\n"
    "function Context:save()\n"
    "    local size = ffi.new(\"size_t[1]\")\n"
    "    check(self, self.lib.$n_state_save(self.ctx, nil, size))\n"
    "    local out = ffi.new(\"char[?]\", size[0])\n"
    "    check(self, self.lib.$n_state_save(self.ctx, out, size))\n"
    "    return ffi.string(out, size[0])\n"
    "end\n"
    "\n"
    "function Context:load(state) check(self, self.lib.$n_state_load(self.ctx, state, #state)) end\n"
    "function Context:trace_begin() check(self, self.lib.$n_trace_begin(self.ctx)) end\n"
    "function Context:trace_end(path) check(self, self.lib.$n_trace_end(self.ctx, path)) end\n"
    "\n"
    "return M\n";

static const SnPiece pieces[] = {
    {SN_FOR_ALL, about},
    {SN_FOR_TEXT | SN_IF_SINGLE, begin_one},
    {SN_FOR_TEXT | SN_IF_PAIR, begin_two},
    {SN_FOR(EMBED) | SN_FOR(CLASSIFY), numbers},
    {SN_FOR(EMBED) | SN_IF_SINGLE, embed},
    {SN_IF_LABELS, labels},
    {SN_FOR(CLASSIFY), classify},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, classify_one},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, classify_two},
    {SN_FOR(TAG) | SN_FOR(ANSWER), span},
    {SN_FOR(TAG), tag},
    {SN_FOR(ANSWER), answer},
    {SN_FOR(FILL), fill},
    {SN_FOR_ALL, by_name},
};

static const SnFaceForm form = {
    .spelling = {[SN_FACE_NONE] = "void ",
                 [SN_FACE_STATUS] = "int ",
                 [SN_FACE_STRING] = "const char *",
                 [SN_FACE_HOST] = "const SnModelHost *@",
                 [SN_FACE_CONTEXT] = "$CCtx *@",
                 [SN_FACE_NEW] = "$CCtx **@",
                 [SN_FACE_TEXT] = "const char *@",
                 [SN_FACE_NAME] = "const char *@",
                 [SN_FACE_SIZE] = "size_t @",
                 [SN_FACE_SIZE_OUT] = "size_t *@",
                 [SN_FACE_SIZE_INOUT] = "size_t *@",
                 [SN_FACE_INDEX] = "uint32_t @",
                 [SN_FACE_TIME] = "uint64_t @",
                 [SN_FACE_NUMBERS] = "float *@",
                 [SN_FACE_SPANS] = "SnModelSpan *@",
                 [SN_FACE_SPAN] = "SnModelSpan *@",
                 [SN_FACE_WORDS] = "SnModelWord *@",
                 [SN_FACE_VIEW] = "const SnModelView *@",
                 [SN_FACE_VIEW_OUT] = "SnModelView *@",
                 [SN_FACE_BYTES] = "const char *@",
                 [SN_FACE_BYTES_OUT] = "char *@"},
    .line = "$r$n_$s($p);\n",
    .between = "\n-- ",
};

const SnWrapper sn_wrap_lua = {"lua", ".lua", &form, pieces, SN_COUNT(pieces)};
