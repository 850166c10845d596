// wrap_use.cpp -- prints what wrap_use.c prints, through the wrappers for C++.
#include "wrap_answer.hpp"
#include "wrap_class.hpp"
#include "wrap_embed.hpp"
#include "wrap_fill.hpp"
#include "wrap_pair.hpp"
#include "wrap_state.hpp"
#include "wrap_tag.hpp"
// Twice.
#include "wrap_tag.hpp"

#include <cstdio>

static void print_text(std::string_view s)
{
    std::printf(" [%.*s]\n", static_cast<int>(s.size()), s.data());
}

static void use_texts()
{
    wrap_embed::Context embed;
    const auto v = embed.embed("hello world");
    std::printf("embed %.5f %.5f %.5f %.5f\n", v[0], v[1], v[2], v[3]);
    int n = 0;
    embed.begin("hello world");
    while (!embed.step(1))
        n++;
    std::printf("slices %d %d\n", n > 1, embed.vector() == v);
    wrap_embed::Context moved = std::move(embed);
    if (moved.embed("hello world") != v || embed.get() != nullptr)
        throw std::runtime_error("move");
    wrap_class::Context cls;
    const auto scores = cls.classify("paris is big");
    for (std::size_t i = 0; i < cls.labels; i++)
        std::printf("class %s %.5f\n", cls.label(i).c_str(), scores[i]);
    const auto pair = wrap_pair::Context().classify("fox", "a dog");
    std::printf("pair %.5f %.5f\n", pair[0], pair[1]);
    const std::string_view text = u8"  Naïve café — 東京 😀 x";
    for (const SnModelSpan &s : wrap_tag::Context().tag(text)) {
        std::printf("tag %s %.5f %u", s.name, s.score, s.label);
        print_text(text.substr(s.begin, s.end - s.begin));
    }
    wrap_answer::Context qa;
    const std::string_view answer = qa.answer("who ?", u8"  Naïve café 東京 😀 don't state");
    std::printf("answer %.5f", qa.span().score);
    print_text(answer);
    wrap_fill::Context fill;
    for (const sinter::Word &w : fill.fill("the [MASK] fox")) {
        std::printf("fill %d %.5f", w.id, w.score);
        print_text(w.text);
    }
    try {
        fill.fill("no");
    } catch (const sinter::Error &e) {
        std::printf("error %d\n", e.status);
    }
}

static void use_state()
{
    SnModelHost host = SN_MODEL_HOST;
    std::vector<unsigned char> block(WRAP_STATE_BLOCK_BYTES), state;
    host.block = block.data();
    host.block_size = block.size();
    wrap_state::Context ctx(host);
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = static_cast<float>(i) / 32;
    ctx.bind("x", sinter::view(x, {2, 16}));
    for (int i = 0; i < 3; i++) {
        ctx.run();
        const SnModelView total = ctx.result("total"), y = ctx.result("y");
        std::printf("total %.5f %.5f %dx%d\n", *static_cast<const float *>(total.data),
                    static_cast<const float *>(y.data)[31], static_cast<int>(y.dims[0]), static_cast<int>(y.dims[1]));
        if (i == 0)
            state = ctx.save();
        if (i == 1)
            ctx.load(state);
    }
}

int main()
{
    use_texts();
    use_state();
}
