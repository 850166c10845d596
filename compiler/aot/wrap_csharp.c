/* wrap_csharp.c -- the wrapper for C#: P/Invoke, as .NET and Mono have it. */
#include "compiler/aot/wrap.h"

static const char about[] =
    "// $n.cs -- $k: $o.so for C#, by P/Invoke.\n"
    "//\n"
    "// using (var ctx = new $C.Context()) { ... }\n"
    "//\n"
    "// A context is used by one thread at a time; Cancel may come from another. Slices: Begin, then "
    "Step(budgetNs)\n"
    "// until it is true. The runtime finds the library as it finds all: beside the program, or by its "
    "search path.\n"
    "//\n"
    "// Inputs and outputs by name, for Bind and Result:$e\n"
    "using System;\n"
    "using System.Collections.Generic;\n"
    "using System.Runtime.InteropServices;\n"
    "using System.Text;\n"
    "\n"
    "namespace $C\n"
    "{\n"
    "    /// What was wrong, and the status of the C function.\n"
    "    public sealed class ModelException : Exception\n"
    "    {\n"
    "        public readonly int Status;\n"
    "        public ModelException(int status, string message) : base(message) { Status = status; }\n"
    "    }\n"
    "\n"
    "    /// A part of a text, in characters (char) of the string.\n"
    "    public struct Span\n"
    "    {\n"
    "        public int Begin, End;\n"
    "        public string Text, Name;\n"
    "        public float Score;\n"
    "        public int Label;\n"
    "    }\n"
    "\n"
    "    public struct Word\n"
    "    {\n"
    "        public string Text;\n"
    "        public float Score;\n"
    "        public int Id;\n"
    "    }\n"
    "\n"
    "    [StructLayout(LayoutKind.Sequential)]\n"
    "    struct Host\n"
    "    {\n"
    "        public uint StructSize, Abi, Flags, Threads;\n"
    "        public IntPtr Block;\n"
    "        public UIntPtr BlockSize;\n"
    "        public IntPtr MemorySelf, MemoryResize;\n"
    "        public IntPtr JobsSelf;\n"
    "        public uint JobsWidth;\n"
    "        public IntPtr JobsParallel;\n"
    "        public IntPtr TraceSelf, TraceEvent;\n"
    "        public IntPtr CpuLevel, Shape, Message;\n"
    "        public UIntPtr MessageSize;\n"
    "    }\n"
    "\n"
    "    [StructLayout(LayoutKind.Sequential)]\n"
    "    struct View\n"
    "    {\n"
    "        public IntPtr Data;\n"
    "        public int Dtype, Ndim;\n"
    "        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 12)] public long[] Dims;\n"
    "        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 12)] public long[] Strides;\n"
    "        public IntPtr Start, Len;\n"
    "        public long ChildCount;\n"
    "    }\n"
    "\n"
    "    [StructLayout(LayoutKind.Sequential)]\n"
    "    struct RawSpan\n"
    "    {\n"
    "        public UIntPtr Begin, End;\n"
    "        public IntPtr Name;\n"
    "        public float Score;\n"
    "        public uint Label;\n"
    "    }\n"
    "\n"
    "    [StructLayout(LayoutKind.Sequential)]\n"
    "    struct RawWord\n"
    "    {\n"
    "        public IntPtr Text;\n"
    "        public UIntPtr Size;\n"
    "        public float Score;\n"
    "        public int Id;\n"
    "    }\n"
    "\n";

static const char begin_class[] =
    "    public sealed class Context : IDisposable\n"
    "    {\n"
    "        const string Library = \"$o.so\";\n"
    "        const uint Abi = $a;\n"
    "        const int Again = -1;\n"
    "        public const int Width = $w;\n"
    "\n"
    "        IntPtr ctx;\n"
    "        readonly Dictionary<string, GCHandle> lent = new Dictionary<string, GCHandle>();\n"
    "\n"
    "$f"
    "\n"
    "        static UIntPtr Size(long n) { return (UIntPtr)(ulong)n; }\n"
    "\n"
    "        static string Text(IntPtr at, long n)\n"
    "        {\n"
    "            var bytes = new byte[n];\n"
    "            if (n > 0) Marshal.Copy(at, bytes, 0, bytes.Length);\n"
    "            return Encoding.UTF8.GetString(bytes);\n"
    "        }\n"
    "\n"
    "        static string Text(IntPtr at)\n"
    "        {\n"
    "            int n = 0;\n"
    "            if (at == IntPtr.Zero) return null;\n"
    "            while (Marshal.ReadByte(at, n) != 0) n++;\n"
    "            return Text(at, n);\n"
    "        }\n"
    "\n"
    "        static byte[] Name(string s) { return Encoding.UTF8.GetBytes(s + \"\\0\"); }\n"
    "\n"
    "        static Span Convert(byte[] text, RawSpan raw)\n"
    "        {\n"
    "            int begin = (int)(ulong)raw.Begin, end = (int)(ulong)raw.End;\n"
    "            return new Span {\n"
    "                Begin = Encoding.UTF8.GetCharCount(text, 0, begin), End = "
    "Encoding.UTF8.GetCharCount(text, 0, end),\n"
    "                Text = Encoding.UTF8.GetString(text, begin, end - begin), Name = Text(raw.Name),\n"
    "                Score = raw.Score, Label = (int)raw.Label };\n"
    "        }\n"
    "\n"
    "        /// threads: how many compute; cpuLevel: null for the best of this machine.\n"
    "        public Context(uint threads = 1, string cpuLevel = null, string shape = null)\n"
    "        {\n"
    "            const int size = 512;\n"
    "            IntPtr message = Marshal.AllocHGlobal(size);\n"
    "            GCHandle level = GCHandle.Alloc(Name(cpuLevel ?? \"\"), GCHandleType.Pinned);\n"
    "            GCHandle dims = GCHandle.Alloc(Name(shape ?? \"\"), GCHandleType.Pinned);\n"
    "            try\n"
    "            {\n"
    "                var host = new Host {\n"
    "                    StructSize = (uint)Marshal.SizeOf(typeof(Host)), Abi = Abi, Threads = threads,\n"
    "                    CpuLevel = cpuLevel == null ? IntPtr.Zero : level.AddrOfPinnedObject(),\n"
    "                    Shape = shape == null ? IntPtr.Zero : dims.AddrOfPinnedObject(),\n"
    "                    Message = message, MessageSize = Size(size) };\n"
    "                int status = $n_create(ref host, out ctx);\n"
    "                if (status != 0) throw new ModelException(status, Text(message));\n"
    "            }\n"
    "            finally\n"
    "            {\n"
    "                level.Free();\n"
    "                dims.Free();\n"
    "                Marshal.FreeHGlobal(message);\n"
    "            }\n"
    "        }\n"
    "\n"
    "        public void Dispose()\n"
    "        {\n"
    "            $n_destroy(ctx);\n"
    "            ctx = IntPtr.Zero;\n"
    "            foreach (var handle in lent.Values) handle.Free();\n"
    "            lent.Clear();\n"
    "            GC.SuppressFinalize(this);\n"
    "        }\n"
    "\n"
    "        ~Context() { $n_destroy(ctx); }\n"
    "\n"
    "        int Check(int status)\n"
    "        {\n"
    "            if (status != 0 && status != Again) throw new ModelException(status, Text($n_error(ctx)));\n"
    "            return status;\n"
    "        }\n"
    "\n"
    "        public string CpuLevel { get { return Text($n_cpu_level(ctx)); } }\n"
    "\n"
    "        /// true: done; false: the time is up, call it again.\n"
    "        public bool Step(ulong budgetNs) { return Check($n_step(ctx, budgetNs)) == 0; }\n"
    "        public void Run() { Check($n_run(ctx)); }\n"
    "        /// Any thread: the run that goes on ends soon, its step throws.\n"
    "        public void Cancel() { $n_cancel(ctx); }\n"
    "\n";

static const char text_field[] = "        byte[] text = new byte[0];\n"
                                 "\n";
static const char begin_one[] = "        public void Begin(string s)\n"
                                "        {\n"
                                "            text = Encoding.UTF8.GetBytes(s);\n"
                                "            Check($n_begin(ctx, text, Size(text.Length)));\n"
                                "        }\n"
                                "\n";
static const char begin_two[] =
    "        public void Begin(string a, string b)\n"
    "        {\n"
    "            byte[] first = Encoding.UTF8.GetBytes(a);\n"
    "            text = Encoding.UTF8.GetBytes(b);\n"
    "            Check($n_begin_pair(ctx, first, Size(first.Length), text, Size(text.Length)));\n"
    "        }\n"
    "\n";
static const char embed[] =
    "        public float[] Vector() { var v = new float[Width]; Check($n_vector(ctx, v)); return v; }\n"
    "        public float[] Embed(string s) { Begin(s); Run(); return Vector(); }\n"
    "\n";
static const char labels[] = "        public static string Label(int i) { return Text($n_label((uint)i)); }\n"
                             "\n";
static const char classify[] =
    "        public float[] Scores() { var v = new float[Width]; Check($n_scores(ctx, v)); return v; }\n"
    "\n";
static const char classify_one[] =
    "        public float[] Classify(string s) { Begin(s); Run(); return Scores(); }\n"
    "\n";
static const char classify_two[] =
    "        public float[] Classify(string a, string b) { Begin(a, b); Run(); return Scores(); }\n"
    "\n";
static const char tag[] = "        public Span[] Spans()\n"
                          "        {\n"
                          "            UIntPtr n;\n"
                          "            Check($n_spans(ctx, null, Size(0), out n));\n"
                          "            var raw = new RawSpan[(int)(ulong)n];\n"
                          "            Check($n_spans(ctx, raw, n, out n));\n"
                          "            return Array.ConvertAll(raw, s => Convert(text, s));\n"
                          "        }\n"
                          "        public Span[] Tag(string s) { Begin(s); Run(); return Spans(); }\n"
                          "\n";
static const char answer[] = "        public Span Span()\n"
                             "        {\n"
                             "            RawSpan raw;\n"
                             "            Check($n_span(ctx, out raw));\n"
                             "            return Convert(text, raw);\n"
                             "        }\n"
                             "        public Span Answer(string question, string context) { Begin(question, "
                             "context); Run(); return Span(); }\n"
                             "\n";
static const char fill[] =
    "        public Word[] Words()\n"
    "        {\n"
    "            UIntPtr n;\n"
    "            var raw = new RawWord[Width];\n"
    "            Check($n_words(ctx, raw, Size(Width), out n));\n"
    "            return Array.ConvertAll(raw, w => new Word {\n"
    "                Text = Text(w.Text, (long)(ulong)w.Size), Score = w.Score, Id = w.Id });\n"
    "        }\n"
    "        public Word[] Fill(string s) { Begin(s); Run(); return Words(); }\n"
    "\n";

static const char end_class[] =
    "        static readonly Dictionary<Type, int> dtypes = new Dictionary<Type, int> {\n"
    "            {typeof(bool), 1}, {typeof(sbyte), 2}, {typeof(short), 3}, {typeof(int), 4}, {typeof(long), "
    "5},\n"
    "            {typeof(byte), 6}, {typeof(ushort), 7}, {typeof(uint), 8}, {typeof(ulong), 9}, "
    "{typeof(float), 12},\n"
    "            {typeof(double), 13} };\n"
    "\n"
    "        public void Entry(string name) { Check($n_entry(ctx, Name(name))); }\n"
    "        public void Reserve(string shape) { Check($n_reserve(ctx, Name(shape))); }\n"
    "        public void Reset() { Check($n_reset(ctx)); }\n"
    "\n"
    "        /// Lends an array until the context gets another one for the input, or ends.\n"
    "        public void Bind<T>(string input, T[] data, params long[] dims) where T : struct\n"
    "        {\n"
    "            int dtype;\n"
    "            long count = 1;\n"
    "            if (!dtypes.TryGetValue(typeof(T), out dtype) || dims.Length > 12)\n"
    "                throw new ArgumentException(input);\n"
    "            foreach (long n in dims) count *= n;\n"
    "            if (count > data.Length) throw new ArgumentException(input);\n"
    "            GCHandle handle = GCHandle.Alloc(data, GCHandleType.Pinned);\n"
    "            var view = new View { Data = handle.AddrOfPinnedObject(), Dtype = dtype, Ndim = "
    "dims.Length,\n"
    "                                  Dims = new long[12], Strides = new long[12] };\n"
    "            dims.CopyTo(view.Dims, 0);\n"
    "            int status = $n_bind(ctx, Name(input), ref view);\n"
    "            if (status != 0) handle.Free();\n"
    "            Check(status);\n"
    "            GCHandle old;\n"
    "            if (lent.TryGetValue(input, out old)) old.Free();\n"
    "            lent[input] = handle;\n"
    "        }\n"
    "\n"
    "        /// A copy of an output that is a dense tensor.\n"
    "        public T[] Result<T>(string output, out long[] dims) where T : struct\n"
    "        {\n"
    "            View view;\n"
    "            int dtype;\n"
    "            long count = 1;\n"
    "            Check($n_result(ctx, Name(output), out view));\n"
    "            if (!dtypes.TryGetValue(typeof(T), out dtype) || dtype != view.Dtype || view.Start != "
    "IntPtr.Zero)\n"
    "                throw new ArgumentException(output);\n"
    "            dims = new long[view.Ndim];\n"
    "            Array.Copy(view.Dims, dims, view.Ndim);\n"
    "            foreach (long n in dims) count *= n;\n"
    "            var data = new T[count];\n"
    "            GCHandle handle = GCHandle.Alloc(data, GCHandleType.Pinned);\n"
    "            var bytes = new byte[count * Marshal.SizeOf(typeof(T))];\n"
    "            if (bytes.Length > 0)\n"
    "            {\n"
    "                Marshal.Copy(view.Data, bytes, 0, bytes.Length);\n"
    "                Marshal.Copy(bytes, 0, handle.AddrOfPinnedObject(), bytes.Length);\n"
    "            }\n"
    "            handle.Free();\n"
    "            return data;\n"
    "        }\n"
    "\n"
    "        public byte[] Save()\n"
    "        {\n"
    "            UIntPtr n = Size(0);\n"
    "            Check($n_state_save(ctx, null, ref n));\n"
    "            var state = new byte[(int)(ulong)n];\n"
    "            Check($n_state_save(ctx, state, ref n));\n"
    "            return state;\n"
    "        }\n"
    "        public void Load(byte[] state) { Check($n_state_load(ctx, state, Size(state.Length))); }\n"
    "        public void TraceBegin() { Check($n_trace_begin(ctx)); }\n"
    "        public void TraceEnd(string path) { Check($n_trace_end(ctx, Name(path))); }\n"
    "    }\n"
    "}\n";

static const SnPiece pieces[] = {
    {SN_FOR_ALL, about},
    {SN_FOR_ALL, begin_class},
    {SN_FOR_TEXT, text_field},
    {SN_FOR_TEXT | SN_IF_SINGLE, begin_one},
    {SN_FOR_TEXT | SN_IF_PAIR, begin_two},
    {SN_FOR(EMBED) | SN_IF_SINGLE, embed},
    {SN_IF_LABELS, labels},
    {SN_FOR(CLASSIFY), classify},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, classify_one},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, classify_two},
    {SN_FOR(TAG), tag},
    {SN_FOR(ANSWER), answer},
    {SN_FOR(FILL), fill},
    {SN_FOR_ALL, end_class},
};

/* Some names are words of the language: none ends in _. */
static const SnFaceForm form = {
    .spelling = {[SN_FACE_NONE] = "void",
                 [SN_FACE_STATUS] = "int",
                 [SN_FACE_STRING] = "IntPtr",
                 [SN_FACE_HOST] = "ref Host @_",
                 [SN_FACE_CONTEXT] = "IntPtr @_",
                 [SN_FACE_NEW] = "out IntPtr @_",
                 [SN_FACE_TEXT] = "byte[] @_",
                 [SN_FACE_NAME] = "byte[] @_",
                 [SN_FACE_SIZE] = "UIntPtr @_",
                 [SN_FACE_SIZE_OUT] = "out UIntPtr @_",
                 [SN_FACE_SIZE_INOUT] = "ref UIntPtr @_",
                 [SN_FACE_INDEX] = "uint @_",
                 [SN_FACE_TIME] = "ulong @_",
                 [SN_FACE_NUMBERS] = "[Out] float[] @_",
                 [SN_FACE_SPANS] = "[Out] RawSpan[] @_",
                 [SN_FACE_SPAN] = "out RawSpan @_",
                 [SN_FACE_WORDS] = "[Out] RawWord[] @_",
                 [SN_FACE_VIEW] = "ref View @_",
                 [SN_FACE_VIEW_OUT] = "out View @_",
                 [SN_FACE_BYTES] = "byte[] @_",
                 [SN_FACE_BYTES_OUT] = "[Out] byte[] @_"},
    .line = "        [DllImport(Library)] static extern $r $n_$s($p);\n",
    .between = "\n// ",
};

const SnWrapper sn_wrap_csharp = {"csharp", ".cs", &form, pieces, SN_COUNT(pieces)};
