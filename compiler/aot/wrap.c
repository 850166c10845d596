/* wrap.c -- which wrappers there are, and that for C++. */
#include "compiler/aot/wrap.h"

static const SnWrapper *const wrappers[] = {&sn_wrap_cpp, &sn_wrap_csharp, &sn_wrap_lua, &sn_wrap_python,
                                            &sn_wrap_rust};

SnStatus sn_wrap_choose(const char *languages, size_t i, const SnWrapper **out, SnError *err)
{
    const char *at = languages ? languages : "";
    *out = NULL;
    for (; i > 0 && *at; i--) {
        at += strcspn(at, ",");
        at += *at == ',';
    }
    const size_t n = strcspn(at, ",");
    for (size_t k = 0; n > 0 && k < SN_COUNT(wrappers); k++)
        if (strlen(wrappers[k]->language) == n && memcmp(wrappers[k]->language, at, n) == 0)
            *out = wrappers[k];
    SN_CHECK(n == 0 || *out, err, SN_EINVAL, "bindings \"%.*s\": expected cpp, csharp, lua, python or rust",
             n < 80 ? (int)n : 80, at);
    return SN_OK;
}

SnStatus sn_wrap_check(const char *languages, SnError *err)
{
    const SnWrapper *w = NULL;
    for (size_t i = 0; i == 0 || w; i++)
        SN_TRY(sn_wrap_choose(languages, i, &w, err));
    return SN_OK;
}

SnStatus sn_wrap_print(const SnAot *a, const SnWrapper *w, SnText *out, SnError *err)
{
    sn_face_print(a, w->form, w->piece, w->npiece, out);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "emit: no memory for the wrapper for %s", w->language);
    return SN_OK;
}

/* ---- C++ ---- */

static const char about[] =
    "/* $n.hpp -- $k, for C++17: contexts of $n.h that clean up after themselves, and exceptions. */\n"
    "#ifndef SN_MODEL_$n_HPP\n"
    "#define SN_MODEL_$n_HPP\n"
    "\n"
    "#include \"$o.h\"\n"
    "\n"
    "#include <array>\n"
    "#include <cstddef>\n"
    "#include <cstdint>\n"
    "#include <initializer_list>\n"
    "#include <stdexcept>\n"
    "#include <string>\n"
    "#include <string_view>\n"
    "#include <utility>\n"
    "#include <vector>\n"
    "\n"
    "#ifndef SN_MODEL_TYPES_HPP\n"
    "#define SN_MODEL_TYPES_HPP\n"
    "namespace sinter {\n"
    "\n"
    "struct Error : std::runtime_error {\n"
    "    Error(int code, const char *message) : std::runtime_error(message), status(code) {}\n"
    "    int status; /* SN_MODEL_E... */\n"
    "};\n"
    "\n"
    "struct Word {\n"
    "    std::string_view text; /* lent by the model */\n"
    "    float score;\n"
    "    std::int32_t id;\n"
    "};\n"
    "\n"
    "template <class T> struct Dtype;\n"
    "template <> struct Dtype<bool> { static constexpr std::int32_t value = SN_MODEL_BOOL; };\n"
    "template <> struct Dtype<std::int8_t> { static constexpr std::int32_t value = SN_MODEL_I8; };\n"
    "template <> struct Dtype<std::int16_t> { static constexpr std::int32_t value = SN_MODEL_I16; };\n"
    "template <> struct Dtype<std::int32_t> { static constexpr std::int32_t value = SN_MODEL_I32; };\n"
    "template <> struct Dtype<std::int64_t> { static constexpr std::int32_t value = SN_MODEL_I64; };\n"
    "template <> struct Dtype<std::uint8_t> { static constexpr std::int32_t value = SN_MODEL_U8; };\n"
    "template <> struct Dtype<std::uint16_t> { static constexpr std::int32_t value = SN_MODEL_U16; };\n"
    "template <> struct Dtype<std::uint32_t> { static constexpr std::int32_t value = SN_MODEL_U32; };\n"
    "template <> struct Dtype<std::uint64_t> { static constexpr std::int32_t value = SN_MODEL_U64; };\n"
    "template <> struct Dtype<float> { static constexpr std::int32_t value = SN_MODEL_F32; };\n"
    "template <> struct Dtype<double> { static constexpr std::int32_t value = SN_MODEL_F64; };\n"
    "\n"
    "/* Dense data of yours as an input: at most 12 dims. */\n"
    "template <class T> SnModelView view(T *data, std::initializer_list<std::int64_t> dims)\n"
    "{\n"
    "    SnModelView v{};\n"
    "    v.data = data;\n"
    "    v.dtype = Dtype<T>::value;\n"
    "    for (std::int64_t n : dims)\n"
    "        if (v.ndim < 12)\n"
    "            v.dims[v.ndim++] = n;\n"
    "    return v;\n"
    "}\n"
    "\n"
    "} // namespace sinter\n"
    "#endif\n"
    "\n";

static const char begin_class[] =
    "namespace $n {\n"
    "\n"
    "/* One thread at a time; different contexts at once. Failures throw sinter::Error. */\n"
    "class Context {\n"
    "  public:\n"
    "    explicit Context(SnModelHost host = SN_MODEL_HOST)\n"
    "    {\n"
    "        char message[512] = \"\";\n"
    "        host.message = message;\n"
    "        host.message_size = sizeof message;\n"
    "        if (const int status = $n_create(&host, &ctx))\n"
    "            throw sinter::Error(status, message);\n"
    "    }\n"
    "    ~Context() { $n_destroy(ctx); }\n"
    "    Context(Context &&other) noexcept : ctx(std::exchange(other.ctx, nullptr)) {}\n"
    "    Context &operator=(Context &&other) noexcept\n"
    "    {\n"
    "        std::swap(ctx, other.ctx);\n"
    "        return *this;\n"
    "    }\n"
    "    $CCtx *get() const { return ctx; }\n"
    "    std::string cpu_level() const { return $n_cpu_level(ctx); }\n"
    "\n"
    "    /* true: done; false: budget_ns have passed (0: none), call it again */\n"
    "    bool step(std::uint64_t budget_ns)\n"
    "    {\n"
    "        const int status = $n_step(ctx, budget_ns);\n"
    "        if (status != SN_MODEL_AGAIN)\n"
    "            check(status);\n"
    "        return status == SN_MODEL_OK;\n"
    "    }\n"
    "    void run() { check($n_run(ctx)); }\n"
    "    void cancel() { $n_cancel(ctx); } /* any thread: step throws */\n"
    "\n";

static const char begin_text[] =
    "    void begin(std::string_view text) { check($n_begin(ctx, text.data(), text.size())); }\n";
static const char begin_pair[] =
    "    void begin(std::string_view a, std::string_view b)\n"
    "    {\n"
    "        check($n_begin_pair(ctx, a.data(), a.size(), b.data(), b.size()));\n"
    "    }\n";

static const char embed[] = "    static constexpr std::size_t width = $w;\n"
                            "    using Vector = std::array<float, width>;\n"
                            "    Vector vector()\n"
                            "    {\n"
                            "        Vector v;\n"
                            "        check($n_vector(ctx, v.data()));\n"
                            "        return v;\n"
                            "    }\n"
                            "    Vector embed(std::string_view text)\n"
                            "    {\n"
                            "        begin(text);\n"
                            "        run();\n"
                            "        return vector();\n"
                            "    }\n";
static const char classify[] = "    static constexpr std::size_t labels = $w;\n"
                               "    static std::string label(std::size_t i)\n"
                               "    {\n"
                               "        return i < labels ? $n_label(static_cast<std::uint32_t>(i)) : \"\";\n"
                               "    }\n"
                               "    std::vector<float> scores()\n"
                               "    {\n"
                               "        std::vector<float> v(labels);\n"
                               "        check($n_scores(ctx, v.data()));\n"
                               "        return v;\n"
                               "    }\n";
static const char classify_one[] = "    std::vector<float> classify(std::string_view text)\n"
                                   "    {\n"
                                   "        begin(text);\n"
                                   "        run();\n"
                                   "        return scores();\n"
                                   "    }\n";
static const char classify_two[] = "    std::vector<float> classify(std::string_view a, std::string_view b)\n"
                                   "    {\n"
                                   "        begin(a, b);\n"
                                   "        run();\n"
                                   "        return scores();\n"
                                   "    }\n";
static const char tag[] = "    std::vector<SnModelSpan> spans()\n"
                          "    {\n"
                          "        std::size_t n = 0;\n"
                          "        check($n_spans(ctx, nullptr, 0, &n));\n"
                          "        std::vector<SnModelSpan> v(n);\n"
                          "        check($n_spans(ctx, v.data(), n, &n));\n"
                          "        return v;\n"
                          "    }\n"
                          "    std::vector<SnModelSpan> tag(std::string_view text)\n"
                          "    {\n"
                          "        begin(text);\n"
                          "        run();\n"
                          "        return spans();\n"
                          "    }\n";
static const char answer[] =
    "    SnModelSpan span()\n"
    "    {\n"
    "        SnModelSpan s{};\n"
    "        check($n_span(ctx, &s));\n"
    "        return s;\n"
    "    }\n"
    "    /* A part of the context, which must live as long as the answer is read. */\n"
    "    std::string_view answer(std::string_view question, std::string_view context)\n"
    "    {\n"
    "        begin(question, context);\n"
    "        run();\n"
    "        const SnModelSpan s = span();\n"
    "        return context.substr(s.begin, s.end - s.begin);\n"
    "    }\n";
static const char fill[] = "    std::vector<sinter::Word> words()\n"
                           "    {\n"
                           "        std::array<SnModelWord, $w> w{};\n"
                           "        std::vector<sinter::Word> v;\n"
                           "        std::size_t n = 0;\n"
                           "        check($n_words(ctx, w.data(), w.size(), &n));\n"
                           "        for (const SnModelWord &x : w)\n"
                           "            v.push_back({{x.text, x.size}, x.score, x.id});\n"
                           "        return v;\n"
                           "    }\n"
                           "    std::vector<sinter::Word> fill(std::string_view text)\n"
                           "    {\n"
                           "        begin(text);\n"
                           "        run();\n"
                           "        return words();\n"
                           "    }\n";

static const char end_class[] =
    "\n"
    "    /* ---- by name:$e */\n"
    "    void entry(const char *name) { check($n_entry(ctx, name)); }\n"
    "    void bind(const char *input, const SnModelView &view) { check($n_bind(ctx, input, &view)); }\n"
    "    void reserve(const char *shape) { check($n_reserve(ctx, shape)); }\n"
    "    void reset() { check($n_reset(ctx)); }\n"
    "    SnModelView result(const char *output)\n"
    "    {\n"
    "        SnModelView v{};\n"
    "        check($n_result(ctx, output, &v));\n"
    "        return v;\n"
    "    }\n"
    "\n"
    "    std::vector<unsigned char> save()\n"
    "    {\n"
    "        std::size_t n = 0;\n"
    "        check($n_state_save(ctx, nullptr, &n));\n"
    "        std::vector<unsigned char> v(n);\n"
    "        check($n_state_save(ctx, v.data(), &n));\n"
    "        return v;\n"
    "    }\n"
    "    void load(const std::vector<unsigned char> &state)\n"
    "    {\n"
    "        check($n_state_load(ctx, state.data(), state.size()));\n"
    "    }\n"
    "    void trace_begin() { check($n_trace_begin(ctx)); }\n"
    "    void trace_end(const char *path) { check($n_trace_end(ctx, path)); }\n"
    "\n"
    "  private:\n"
    "    void check(int status)\n"
    "    {\n"
    "        if (status)\n"
    "            throw sinter::Error(status, $n_error(ctx));\n"
    "    }\n"
    "    $CCtx *ctx = nullptr;\n"
    "};\n"
    "\n"
    "} // namespace $n\n"
    "#endif\n";

static const SnPiece pieces[] = {
    {SN_FOR_ALL, about},
    {SN_FOR_ALL, begin_class},
    {SN_FOR_TEXT | SN_IF_SINGLE, begin_text},
    {SN_FOR_TEXT | SN_IF_PAIR, begin_pair},
    {SN_FOR(EMBED) | SN_IF_SINGLE, embed},
    {SN_FOR(CLASSIFY), classify},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, classify_one},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, classify_two},
    {SN_FOR(TAG), tag},
    {SN_FOR(ANSWER), answer},
    {SN_FOR(FILL), fill},
    {SN_FOR_ALL, end_class},
};

const SnWrapper sn_wrap_cpp = {"cpp", ".hpp", &sn_face_c, pieces, SN_COUNT(pieces)};
