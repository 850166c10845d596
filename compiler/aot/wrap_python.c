/* wrap_python.c -- the wrapper for Python: ctypes and nothing else. */
#include "compiler/aot/wrap.h"

static const char about[] = "\"\"\"$k: $o.so for Python, with nothing but the standard library.\n"
                            "\n"
                            "    import $n_model  # import $n would take $o.so for a module of Python\n"
                            "    with $n_model.Context() as ctx:\n";
static const char use_embed[] = "        vector = ctx.embed(\"a text\")\n";
static const char use_classify[] = "        scores = ctx.classify(\"a text\")  # of $n_model.labels()\n";
static const char use_pair[] =
    "        scores = ctx.classify_pair(\"a text\", \"another\")  # of $n_model.labels()\n";
static const char use_tag[] =
    "        for span in ctx.tag(\"a text\"): print(span.name, span.begin, span.end)\n";
static const char use_answer[] = "        print(ctx.answer(\"a question?\", \"a text\").text)\n";
static const char use_fill[] = "        print(ctx.fill(\"a text with a [MASK]\")[0].text)\n";
static const char use_tensors[] = "        ctx.bind(\"NAME\", array)  # whatever has the buffer protocol\n"
                                  "        ctx.run()\n"
                                  "        out = ctx.result(\"NAME\")  # a memoryview: numpy.asarray(out)\n";
static const char about_end[] =
    "\n"
    "A context is used by one thread at a time; cancel may come from another. Slices: begin, then "
    "step(budget_ns)\n"
    "until it is True.\n"
    "\n"
    "Inputs and outputs by name, for bind and result:$e\n"
    "\"\"\"\n"
    "\n"
    "import array\n"
    "import collections\n"
    "import ctypes\n"
    "import os\n"
    "from ctypes import POINTER, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, "
    "c_void_p\n"
    "\n"
    "ABI = $a\n"
    "WIDTH = $w\n"
    "AGAIN = -1\n"
    "\n"
    "Span = collections.namedtuple(\"Span\", \"begin end text name score label\")\n"
    "Word = collections.namedtuple(\"Word\", \"text score id\")\n"
    "\n"
    "\n"
    "class Error(RuntimeError):\n"
    "    \"\"\"What was wrong, and the status of the C function.\"\"\"\n"
    "\n"
    "    def __init__(self, status, message):\n"
    "        super().__init__(message)\n"
    "        self.status = status\n"
    "\n"
    "\n";

static const char types[] =
    "class _Host(ctypes.Structure):\n"
    "    _fields_ = [\n"
    "        (\"struct_size\", c_uint32), (\"abi\", c_uint32), (\"flags\", c_uint32), (\"threads\", "
    "c_uint32),\n"
    "        (\"block\", c_void_p), (\"block_size\", c_size_t),\n"
    "        (\"memory_self\", c_void_p), (\"memory_resize\", c_void_p),\n"
    "        (\"jobs_self\", c_void_p), (\"jobs_width\", c_uint32), (\"jobs_parallel\", c_void_p),\n"
    "        (\"trace_self\", c_void_p), (\"trace_event\", c_void_p),\n"
    "        (\"cpu_level\", c_char_p), (\"shape\", c_char_p), (\"message\", c_char_p), (\"message_size\", "
    "c_size_t),\n"
    "    ]\n"
    "\n"
    "\n"
    "class _View(ctypes.Structure):\n"
    "    _fields_ = [\n"
    "        (\"data\", c_void_p), (\"dtype\", c_int32), (\"ndim\", c_int32), (\"dims\", c_int64 * 12),\n"
    "        (\"strides\", c_int64 * 12), (\"start\", POINTER(c_int64)), (\"len\", POINTER(c_int64)),\n"
    "        (\"child_count\", c_int64),\n"
    "    ]\n"
    "\n"
    "\n"
    "class _Span(ctypes.Structure):\n"
    "    _fields_ = [(\"begin\", c_size_t), (\"end\", c_size_t), (\"name\", c_char_p), (\"score\", c_float), "
    "(\"label\", c_uint32)]\n"
    "\n"
    "\n"
    "class _Word(ctypes.Structure):\n"
    "    _fields_ = [(\"text\", c_void_p), (\"size\", c_size_t), (\"score\", c_float), (\"id\", c_int32)]\n"
    "\n"
    "\n"
    "# dtype: (format of the buffer protocol, bytes). Those that it has no format for come as raw bytes.\n"
    "_DTYPES = {\n"
    "    1: (\"?\", 1), 2: (\"b\", 1), 3: (\"h\", 2), 4: (\"i\", 4), 5: (\"q\", 8), 6: (\"B\", 1), 7: "
    "(\"H\", 2), 8: (\"I\", 4),\n"
    "    9: (\"Q\", 8), 10: (None, 2), 11: (None, 2), 12: (\"f\", 4), 13: (\"d\", 8), 14: (None, 1), 15: "
    "(None, 1),\n"
    "    16: (None, 1), 17: (None, 1), 18: (None, 1),\n"
    "}\n"
    "_CODES = {\"?\": 1, \"b\": 2, \"h\": 3, \"i\": 4, \"l\": 5, \"q\": 5, \"B\": 6, \"H\": 7, \"I\": 8, "
    "\"L\": 9, \"Q\": 9, \"e\": 10,\n"
    "          \"f\": 12, \"d\": 13}\n"
    "\n"
    "_FUNCTIONS = (\n"
    "$f)\n"
    "\n"
    "\n"
    "def _load(path):\n"
    "    path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), \"$o.so\")\n"
    "    lib = ctypes.CDLL(path)\n"
    "    abi = c_uint32.in_dll(lib, \"$n_program\").value\n"
    "    if abi != ABI:\n"
    "        raise Error(6, \"%s: made for ABI %d, this file for %d\" % (path, abi, ABI))\n"
    "    for name, result, parameters in _FUNCTIONS:\n"
    "        function = getattr(lib, \"$n_\" + name)\n"
    "        function.restype = result\n"
    "        function.argtypes = parameters\n"
    "    return lib\n"
    "\n"
    "\n"
    "def _bytes(text):\n"
    "    return text.encode(\"utf-8\", \"surrogatepass\") if isinstance(text, str) else bytes(text)\n"
    "\n"
    "\n"
    "def _span(text, data, span):\n"
    "    \"\"\"Places in a str are characters, in bytes bytes.\"\"\"\n"
    "    begin, end = span.begin, span.end\n"
    "    if isinstance(text, str):\n"
    "        end = len(data[:end].decode(\"utf-8\", \"surrogatepass\"))\n"
    "        begin = len(data[:begin].decode(\"utf-8\", \"surrogatepass\"))\n"
    "    name = span.name.decode() if span.name else None\n"
    "    return Span(begin, end, text[begin:end], name, span.score, span.label)\n"
    "\n"
    "\n";

static const char labels[] = "def labels(path=None):\n"
                             "    \"\"\"The names of all labels.\"\"\"\n"
                             "    lib = _load(path)\n"
                             "    return [lib.$n_label(i).decode() for i in range(WIDTH)]\n"
                             "\n"
                             "\n";

static const char begin_class[] =
    "class Context:\n"
    "    \"\"\"A running copy of the model. path: of the library, if it is not beside this file. "
    "block_bytes: all memory\n"
    "    is one block of so many.\"\"\"\n"
    "\n"
    "    def __init__(self, path=None, threads=1, cpu_level=None, shape=None, block_bytes=0):\n"
    "        self._ctx = c_void_p()\n"
    "        self._lib = _load(path)\n"
    "        self._lent = {}\n"
    "        self._text = ()\n"
    "        self._block = ctypes.create_string_buffer(block_bytes) if block_bytes else None\n"
    "        message = ctypes.create_string_buffer(512)\n"
    "        host = _Host(struct_size=ctypes.sizeof(_Host), abi=ABI, threads=threads, "
    "block_size=block_bytes,\n"
    "                     block=ctypes.addressof(self._block) if block_bytes else None,\n"
    "                     cpu_level=cpu_level.encode() if cpu_level else None,\n"
    "                     shape=shape.encode() if shape else None,\n"
    "                     message=ctypes.addressof(message), message_size=len(message))\n"
    "        status = self._lib.$n_create(ctypes.byref(host), ctypes.byref(self._ctx))\n"
    "        if status:\n"
    "            raise Error(status, message.value.decode(\"utf-8\", \"replace\"))\n"
    "\n"
    "    def close(self):\n"
    "        ctx, self._ctx = self._ctx, c_void_p()\n"
    "        if ctx:\n"
    "            self._lib.$n_destroy(ctx)\n"
    "\n"
    "    def __enter__(self):\n"
    "        return self\n"
    "\n"
    "    def __exit__(self, *_):\n"
    "        self.close()\n"
    "\n"
    "    def __del__(self):\n"
    "        if getattr(self, \"_ctx\", None):\n"
    "            self.close()\n"
    "\n"
    "    def _call(self, name, *arguments):\n"
    "        if not self._ctx:\n"
    "            raise Error(1, \"the context is closed\")\n"
    "        status = getattr(self._lib, \"$n_\" + name)(self._ctx, *arguments)\n"
    "        if status not in (0, AGAIN):\n"
    "            raise Error(status, self._lib.$n_error(self._ctx).decode(\"utf-8\", \"replace\"))\n"
    "        return status\n"
    "\n"
    "    def cpu_level(self):\n"
    "        return self._lib.$n_cpu_level(self._ctx).decode()\n"
    "\n"
    "    def step(self, budget_ns=0):\n"
    "        \"\"\"True: done; False: the time is up, call it again.\"\"\"\n"
    "        return self._call(\"step\", budget_ns) == 0\n"
    "\n"
    "    def run(self):\n"
    "        self._call(\"run\")\n"
    "\n"
    "    def cancel(self):\n"
    "        \"\"\"Any thread: the run that goes on ends soon, its step raises.\"\"\"\n"
    "        if self._ctx:\n"
    "            self._lib.$n_cancel(self._ctx)\n"
    "\n";

static const char begin_one[] = "    def begin(self, text):\n"
                                "        data = _bytes(text)\n"
                                "        self._call(\"begin\", data, len(data))\n"
                                "        self._text = (text, data)\n"
                                "\n";
static const char begin_two[] = "    def begin_pair(self, a, b):\n"
                                "        first, second = _bytes(a), _bytes(b)\n"
                                "        self._call(\"begin_pair\", first, len(first), second, len(second))\n"
                                "        self._text = (b, second)\n"
                                "\n";
static const char embed[] = "    def vector(self):\n"
                            "        \"\"\"Of the run that ended: array.array of float.\"\"\"\n"
                            "        out = (c_float * WIDTH)()\n"
                            "        self._call(\"vector\", out)\n"
                            "        return array.array(\"f\", out)\n"
                            "\n"
                            "    def embed(self, text):\n"
                            "        self.begin(text)\n"
                            "        self.run()\n"
                            "        return self.vector()\n"
                            "\n";
static const char classify[] = "    def scores(self):\n"
                               "        \"\"\"Of the run that ended, one for each label.\"\"\"\n"
                               "        out = (c_float * WIDTH)()\n"
                               "        self._call(\"scores\", out)\n"
                               "        return array.array(\"f\", out)\n"
                               "\n";
static const char classify_one[] = "    def classify(self, text):\n"
                                   "        self.begin(text)\n"
                                   "        self.run()\n"
                                   "        return self.scores()\n"
                                   "\n";
static const char classify_two[] = "    def classify_pair(self, a, b):\n"
                                   "        self.begin_pair(a, b)\n"
                                   "        self.run()\n"
                                   "        return self.scores()\n"
                                   "\n";
static const char tag[] =
    "    def spans(self):\n"
    "        \"\"\"Of the run that ended: the parts of the text that have a label.\"\"\"\n"
    "        count = c_size_t()\n"
    "        self._call(\"spans\", None, 0, ctypes.byref(count))\n"
    "        out = (_Span * count.value)()\n"
    "        self._call(\"spans\", out, count.value, ctypes.byref(count))\n"
    "        return [_span(*self._text, span) for span in out]\n"
    "\n"
    "    def tag(self, text):\n"
    "        self.begin(text)\n"
    "        self.run()\n"
    "        return self.spans()\n"
    "\n";
static const char answer[] =
    "    def span(self):\n"
    "        \"\"\"Of the run that ended: the part of the context that answers.\"\"\"\n"
    "        out = _Span()\n"
    "        self._call(\"span\", ctypes.byref(out))\n"
    "        return _span(*self._text, out)\n"
    "\n"
    "    def answer(self, question, context):\n"
    "        self.begin_pair(question, context)\n"
    "        self.run()\n"
    "        return self.span()\n"
    "\n";
static const char fill[] =
    "    def words(self):\n"
    "        \"\"\"Of the run that ended: words for the first mask, best first.\"\"\"\n"
    "        out = (_Word * WIDTH)()\n"
    "        count = c_size_t()\n"
    "        self._call(\"words\", out, WIDTH, ctypes.byref(count))\n"
    "        return [Word(ctypes.string_at(w.text, w.size).decode(\"utf-8\", \"replace\"), w.score, w.id) "
    "for w in out]\n"
    "\n"
    "    def fill(self, text):\n"
    "        self.begin(text)\n"
    "        self.run()\n"
    "        return self.words()\n"
    "\n";

static const char end_class[] =
    "    def entry(self, name):\n"
    "        self._call(\"entry\", name.encode())\n"
    "\n"
    "    def reserve(self, shape):\n"
    "        self._call(\"reserve\", shape.encode())\n"
    "\n"
    "    def reset(self):\n"
    "        self._call(\"reset\")\n"
    "\n"
    "    def bind(self, name, value):\n"
    "        \"\"\"Dense data with the buffer protocol, or a list of texts for an input of lists of "
    "u8.\"\"\"\n"
    "        view = _View()\n"
    "        if isinstance(value, (list, tuple)):\n"
    "            texts = [_bytes(text) for text in value]\n"
    "            data = (ctypes.c_ubyte * max(1, sum(map(len, texts)))).from_buffer_copy(b\"\".join(texts) "
    "or b\"\\0\")\n"
    "            start, size, at = (c_int64 * len(texts))(), (c_int64 * len(texts))(), 0\n"
    "            for i, text in enumerate(texts):\n"
    "                start[i], size[i] = at, len(text)\n"
    "                at += len(text)\n"
    "            view.dtype, view.ndim, view.dims[0], view.child_count = 6, 1, len(texts), at\n"
    "            view.start, view.len = ctypes.cast(start, POINTER(c_int64)), ctypes.cast(size, "
    "POINTER(c_int64))\n"
    "            kept = (data, start, size)\n"
    "        else:\n"
    "            memory = memoryview(value)\n"
    "            code = _CODES.get(memory.format.lstrip(\"@=<\"))\n"
    "            if code is None or memory.ndim > 12:\n"
    "                raise Error(5, \"%s: format %s, %d dims\" % (name, memory.format, memory.ndim))\n"
    "            size = max(1, memory.nbytes)\n"
    "            flat = memory.cast(\"B\") if memory.c_contiguous and memory.nbytes else memory.tobytes() or "
    "b\"\\0\"\n"
    "            writable = not isinstance(flat, bytes) and not flat.readonly\n"
    "            kind = ctypes.c_ubyte * size\n"
    "            data = kind.from_buffer(flat) if writable else kind.from_buffer_copy(flat)\n"
    "            view.dtype, view.ndim = code, memory.ndim\n"
    "            for i, n in enumerate(memory.shape):\n"
    "                view.dims[i] = n\n"
    "            kept = (memory, data)\n"
    "        view.data = ctypes.addressof(data)\n"
    "        self._call(\"bind\", name.encode(), ctypes.byref(view))\n"
    "        self._lent[name] = kept\n"
    "\n"
    "    def result(self, name):\n"
    "        \"\"\"A memoryview, lent until the next call; of a list its elements, as a list of "
    "memoryviews.\"\"\"\n"
    "        view = _View()\n"
    "        self._call(\"result\", name.encode(), ctypes.byref(view))\n"
    "        form, size = _DTYPES[view.dtype]\n"
    "        dims = list(view.dims[:view.ndim])\n"
    "        count = 1\n"
    "        for n in dims:\n"
    "            count *= n\n"
    "        length = view.child_count if view.start else count\n"
    "        raw = memoryview((ctypes.c_char * (length * size)).from_address(view.data)) if length else "
    "memoryview(b\"\")\n"
    "        flat = raw.cast(\"B\").cast(form) if form else raw.cast(\"B\")\n"
    "        step = 1 if form else size\n"
    "        if view.start:\n"
    "            return [flat[view.start[i] * step:(view.start[i] + view.len[i]) * step] for i in "
    "range(count)]\n"
    "        return flat.cast(\"B\").cast(form, dims) if form and length else flat\n"
    "\n"
    "    def save(self):\n"
    "        \"\"\"Carried state as bytes.\"\"\"\n"
    "        size = c_size_t()\n"
    "        self._call(\"state_save\", None, ctypes.byref(size))\n"
    "        out = ctypes.create_string_buffer(size.value)\n"
    "        self._call(\"state_save\", out, ctypes.byref(size))\n"
    "        return out.raw\n"
    "\n"
    "    def load(self, state):\n"
    "        self._call(\"state_load\", bytes(state), len(state))\n"
    "\n"
    "    def trace_begin(self):\n"
    "        self._call(\"trace_begin\")\n"
    "\n"
    "    def trace_end(self, path):\n"
    "        self._call(\"trace_end\", os.fsencode(path))\n";

static const SnPiece pieces[] = {
    {SN_FOR_ALL, about},
    {SN_FOR(EMBED), use_embed},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, use_classify},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, use_pair},
    {SN_FOR(TAG), use_tag},
    {SN_FOR(ANSWER), use_answer},
    {SN_FOR(FILL), use_fill},
    {SN_FOR(TENSORS), use_tensors},
    {SN_FOR_ALL, about_end},
    {SN_FOR_ALL, types},
    {SN_IF_LABELS, labels},
    {SN_FOR_ALL, begin_class},
    {SN_FOR_TEXT | SN_IF_SINGLE, begin_one},
    {SN_FOR_TEXT | SN_IF_PAIR, begin_two},
    {SN_FOR(EMBED) | SN_IF_SINGLE, embed},
    {SN_FOR(CLASSIFY), classify},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, classify_one},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, classify_two},
    {SN_FOR(TAG), tag},
    {SN_FOR(ANSWER), answer},
    {SN_FOR(FILL), fill},
    {SN_FOR_ALL, end_class},
};

static const SnFaceForm form = {
    .spelling = {[SN_FACE_NONE] = "None",
                 [SN_FACE_STATUS] = "c_int",
                 [SN_FACE_STRING] = "c_char_p",
                 [SN_FACE_HOST] = "POINTER(_Host)",
                 [SN_FACE_CONTEXT] = "c_void_p",
                 [SN_FACE_NEW] = "POINTER(c_void_p)",
                 [SN_FACE_TEXT] = "c_char_p",
                 [SN_FACE_NAME] = "c_char_p",
                 [SN_FACE_SIZE] = "c_size_t",
                 [SN_FACE_SIZE_OUT] = "POINTER(c_size_t)",
                 [SN_FACE_SIZE_INOUT] = "POINTER(c_size_t)",
                 [SN_FACE_INDEX] = "c_uint32",
                 [SN_FACE_TIME] = "c_uint64",
                 [SN_FACE_NUMBERS] = "POINTER(c_float)",
                 [SN_FACE_SPANS] = "POINTER(_Span)",
                 [SN_FACE_SPAN] = "POINTER(_Span)",
                 [SN_FACE_WORDS] = "POINTER(_Word)",
                 [SN_FACE_VIEW] = "POINTER(_View)",
                 [SN_FACE_VIEW_OUT] = "POINTER(_View)",
                 [SN_FACE_BYTES] = "c_char_p",
                 [SN_FACE_BYTES_OUT] = "c_void_p"},
    .line = "    (\"$s\", $r, [$p]),\n",
    .between = "\n",
};

const SnWrapper sn_wrap_python = {"python", "_model.py", &form, pieces, SN_COUNT(pieces)};
