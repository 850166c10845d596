/* jinja_test.c -- templates and what they come to, as jinja2 has it; wrong ones and hostile ones, which end
 * in a message, in bounded time and memory; no memory at any point. */
#include "frontends/jinja/jinja.h"
#include "runtime/context.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static const char vars[] =
    "{\"s\": \"Hello World\", \"u\": \"Größe ß\", \"i\": 7, \"f\": 2.5, \"b\": true, \"n\": null, \"l\": [3, "
    "1, 2], \"m\": [\"b\", \"A\", \"c\"], \"d\": {\"a\": 1, \"b\": \"x\"}, \"q\": [{\"a\": 1, \"r\": \"u\"}, "
    "{\"a\": 2, \"r\": \"v\"}], \"h\": \"<b> & 'r'\", \"w\": 123456789012345678901234567890}";

typedef struct Row {
    const char *text, *want;
} Row;

static const Row rendered[] = {
    {"{{ s }}|{{ u|upper }}|{{ i }}|{{ f }}|{{ b }}|{{ n }}|{{ undef }}",
     "Hello World|GRÖSSE SS|7|2.5|True|None|"},
    {"{{ l }}{{ d }}{{ (1,) }}{{ 'a\\'b' ~ 1 ~ none }}", "[3, 1, 2]{'a': 1, 'b': 'x'}(1,)a'b1None"},
    {"{{ i // 2 }} {{ -i // 2 }} {{ -i % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ i * 's' }}",
     "3 -4 2 1024 3.5 sssssss"},
    {"{{ 1 < 2 and not 3 > 4 or x.y }}", "True"},
    {"{{ 'a' if 0 else 'b' }}{{ 'c' if 0 }}", "b"},
    {"{{ s[::-1] }}{{ s[1:-1:2] }}{{ l[-1] }}{{ l[5:] }}{{ range(9)[2:8:3]|list }}",
     "dlroW olleHel ol2[][2, 5]"},
    {"{% for x in l %}{{ loop.index }}{{ loop.last }}{{ x }},{% else %}none{% endfor %}",
     "1False3,2False1,3True2,"},
    {"{% for x in [] %}{% else %}none{% endfor %}", "none"},
    {"{% for k, v in d.items() if v != 1 %}{{ k }}={{ v }}{% endfor %}", "b=x"},
    {"{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ "
     "x }}{% endfor %}",
     "0134"},
    {"{% set ns = namespace(c=0) %}{% for x in l %}{% set ns.c = ns.c + x %}{% endfor %}{{ ns.c }}", "6"},
    {"{% set x = 1 %}{% for y in l %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
    {"{% macro f(a, b=2) %}[{{ a }}{{ b }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ f(1) }}{{ f(1, 3, 4, "
     "z=5) }}",
     "[12(){}][13(4,){'z': 5}]"},
    {"{% macro f() %}<{{ caller(3) }}>{% endmacro %}{% call(x) f() %}{{ x }}{% endcall %}", "<3>"},
    {"{% filter upper %}a{{ s }}{% endfilter %}{% set x %}block {{ i }}{% endset %}{{ x }}",
     "AHELLO WORLDblock 7"},
    {"  {% if b %}\n  yes\n  {% endif %}\nno\n", "  yes\nno"},
    {"a\n  {%- if b -%}\n  yes\n  {%- endif %}\nno", "ayesno"},
    {"{# c #}\n{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
    {"{{ d|tojson }}{{ q|tojson(indent=2) }}{{ u|tojson }}{{ h|tojson }}{{ h|e }}",
     "{\"a\": 1, \"b\": \"x\"}[\n  {\n    \"a\": 1,\n    \"r\": \"u\"\n  },\n  {\n    \"a\": 2,\n    \"r\": "
     "\"v\"\n  }\n]\"Größe ß\"\"<b> & 'r'\"&lt;b&gt; &amp; &#39;r&#39;"},
    {"{{ l|sort|join('-') }}{{ m|sort }}{{ q|map(attribute='r')|list }}{{ q|selectattr('a', 'gt', "
     "1)|list|length }}",
     "1-2-3['A', 'b', 'c']['u', 'v']1"},
    {"{{ s|replace('l', 'L', 1) }}{{ s|truncate(5, true) }}{{ s|wordcount }}{{ ' x '|trim }}{{ "
     "'a\nb'|indent(2) }}",
     "HeLlo WorldHe...2xa\n  b"},
    {"{{ 'a &lt;<b>&copy1 &NotEqualTilde; &#x2019;&#128;&#xD800;&#1;&amp;lt; &nosuch;'|striptags }}",
     "a <\u00A91 \u2242\u0338 \u2019\u20AC\uFFFD&lt; &nosuch;"},
    {"{{ none[1:] }}{{ not true[::-1] }}", "True"},
    {"{{ '%05.1f|%-4s|%x' % (f, 'a', 255) }}{{ '{:>6}|{!r}|{:,}'.format(i, s, 1234567) }}",
     "002.5|a   |ff     7|'Hello World'|1,234,567"},
    {"{{ 'a b  c'.split() }}{{ 'a,b,c'.split(',', 1) }}{{ s.startswith('He') }}{{ s.find('o') }}{{ s.title() "
     "}}{{ 'x'.join(m) }}",
     "['a', 'b', 'c']['a', 'b,c']True4Hello WorldbxAxc"},
    {"{{ d.get('zz', 3) }}{{ d.keys()|list }}{{ d['a'] }}{{ d.items()|list }}",
     "3['a', 'b']1[('a', 1), ('b', 'x')]"},
    {"{{ i is odd }}{{ i is divisibleby 7 }}{{ undef is defined }}{{ n is none }}{{ s is string }}{{ d is "
     "mapping }}{{ l is iterable }}{{ 1 in l }}{{ 'Wor' in s }}",
     "TrueTrueFalseTrueTrueTrueTrueTrueTrue"},
    {"{{ undef|default('x') }}{{ ''|default('y', true) }}{{ l|first }}{{ l|last }}{{ l|sum }}{{ l|max }}",
     "xy3263"},
    {"{{ strftime_now('%Y')|length }}", "4"},
    {"{% generation %}{{ s }}{% endgeneration %}{{ i }}", "Hello World7"},
    {"{% set a, c = 1, 2 %}{{ a + c }}{% with x = 5 %}{{ x }}{% endwith %}{{ x }}", "35"},
    {"{{ loop }}{{ cycler('a','b').next() }}{{ dict(a=1) }}{% set j = joiner(',') %}{{ j() }}{{ j() }}",
     "a{'a': 1},"},
    {"{{ 2 ** 70 - 1 }} {{ -(10 ** 20) // 7 }} {{ -(10 ** 20) % 7 }} {{ 10 ** 20 / 10 ** 19 }} {{ "
     "9223372036854775807 "
     "+ 1 }} {{ 9223372036854775808 - 1 == 9223372036854775807 }}",
     "1180591620717411303423 -14285714285714285715 5 10.0 9223372036854775808 True"},
    {"{{ 0xffffffffffffffffffff }} {{ '%x' % (3 ** 60) }} {{ '{:,}'.format(10 ** 21) }} {{ 1e25|int }} {{ "
     "'9' * 30 "
     "}} {{ ('9' * 30)|int + 1 }} {{ {2 ** 70: 'a'}[2.0 ** 70] }}",
     "1208925819614629174706175 88f924eeceeda7fe92e1f5b1 1,000,000,000,000,000,000,000 "
     "10000000000000000905969664 "
     "999999999999999999999999999999 1000000000000000000000000000000 a"},
    {"{{ 9007199254740993 / 1 }} {{ 9223372036854775807|round(-1) }} {{ w }} {{ w|tojson }} {{ [w, 1.5, "
     "-w]|sort }}",
     "9007199254740992.0 9223372036854775810 123456789012345678901234567890 123456789012345678901234567890 "
     "[-123456789012345678901234567890, 1.5, 123456789012345678901234567890]"},
    {"{{ 'see (www.x.org/a(b)). me@x.org, <http://1.2.3.4:80/>'|urlize(9, rel='me') }}",
     "see (<a href=\"https://www.x.org/a(b)\" rel=\"me noopener\">www.x.org...</a>). <a "
     "href=\"mailto:me@x.org\">me@x.org</a>, &lt;<a href=\"http://1.2.3.4:80/\" rel=\"me "
     "noopener\">http://1....</a>&gt;"},
    {"{{ [4]|random }}{{ ''|random is defined }}{{ range(5)|random in range(5) }}", "4FalseTrue"},
    {"{{ lipsum(3, false, 5, 6).split('\n\n')|map('wordcount')|join(',') }} {{ lipsum(1)[:3] }}",
     "5,5,5 <p>"},
    {"{{ 'ẞΣıİ'.casefold() }}{{ [1, 2]|batch(0)|list }}{{ '{a}'.format_map({'a': 1}) }}",
     "ssσıi̇[[], [1, 2]]1"},
    {"{{ range(2, 9, 3).count(5) }}{{ range(2, 9, 3).index(8) }}{{ range(3).start }}", "120"},
};

static const Row refused[] = {
    {"{{ undef.x }}", "t, line 1: 'undef' is undefined"},
    {"a\n{{ 1 + 'a' }}", "t, line 2: unsupported operand type(s) for +: 'int' and 'str'"},
    {"{{ 1 // 0 }}", "integer division or modulo by zero"},
    {"{{ s.center('x') }}", "'str' object cannot be interpreted as an integer"},
    {"{{ s.split(sep=1) }}", "split() argument 'sep' must be str or None, not int"},
    {"{{ s|truncate(end=none) }}", "truncate() argument 'end' must be str, not NoneType"},
    {"{{ s|indent(width=2, more=1) }}", "indent() got an unexpected keyword argument"},
    {"{{ l|nope }}", "no filter named 'nope'"},
    {"{{ none[1:] ~ s }}", "'NoneType' object is not subscriptable by a slice"},
    {"{% if %}", "expected an expression"},
    {"{% for x in l %}", "expected endfor, got end of template"},
    {"{{ 'a }}", "a string that does not end"},
    {"{{ 2 ** 40000 }}", "more than 32768 bits"},
    {"{{ 10 ** 5000 }}", "4300 digits"},
    {"{{ 10 ** 400 * 1.5 }}", "int too large to convert to float"},
    {"{{ l[::0] }}", "slice step cannot be zero"},
    {"{% include 'x' %}", "include is not supported"},
    {"{{ s.encode() }}", "encode is not supported"},
    {"{{ l.append(1) }}", "'append' of 'list' object is unsafe"},
    {"{{ s.__class__.x }}", "'__class__' of 'str' object is unsafe"},
    {"{{ range(3).index(9) }}", "not in range"},
};

static const Row hostile[] = {
    {"{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %}",
     "too many steps"},
    {"{{ range(10 ** 12) }}", "Range too big"},
    {"{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
     "32768 bits"},
    {"{% set x = 3 ** 20000 %}{% for i in range(99999) %}{% set y = x % (x - 7) * 3 // 5 %}{% endfor %}",
     "too many steps"},
    {"{{ lipsum(10 ** 9) }}", "t, line 1"},
    {"{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "recursion"},
    {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursion"},
    {"{{ 'a' * 10 ** 12 }}", "more memory"},
    {"{{ ([1] * 10 ** 9)|length }}", "more memory"},
    {"{% set x = 'a' * 1000000 %}{{ x|replace('a', x) }}", "t, line 1"},
    {"{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor "
     "%}",
     "than a template may use"},
    {"{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
     "recursion"},
    {"{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
     "ns.x }}",
     "t, line 1"},
    {"{{ 'a'|center(10 ** 10) }}", "than a template may use"},
    {"{{ 'a'.zfill(10 ** 10) }}", "than a template may use"},
    {"{{ 'a\\nb'|indent(10 ** 10) }}", "than a template may use"},
    {"{{ '%1000000000d' % 1 }}", "Too many decimal digits"},
    {"{% set x = 'a' * 2000000 %}{{ x.find('a' * 1000000 ~ 'b') }}", "too many steps"},
    {"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "recursion"},
};

/* Renders with the limits of o; its variables are those above. */
static SnStatus render(const SnAllocator *memory, const char *text, const SnJinjaRender *o, SnText *out,
                       SnError *err)
{
    SnArena arena;
    SnJson *v = NULL;
    SnJinja *t = NULL;
    SnJinjaRender own = *o;
    sn_arena_init(&arena, memory);
    SnStatus st = sn_json_parse(&arena, "vars", sn_bytes_str(vars), &v, err);
    if (st == SN_OK)
        st = sn_jinja_parse(&arena, "t", sn_bytes_str(text), &t, err);
    own.vars = (const SnJson *const *)&v;
    own.nvars = 1;
    if (st == SN_OK)
        st = sn_jinja_render(t, &own, out, err);
    sn_arena_clear(&arena);
    return st;
}

static void templates_render(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(rendered); i++) {
        SnError err;
        SnText out = {.memory = &sn_default_allocator};
        assert_ok(render(&sn_default_allocator, rendered[i].text, &(SnJinjaRender){0}, &out, &err));
        assert_string_equal(out.at ? out.at : "", rendered[i].want);
        sn_text_clear(&out);
    }
}

static void expect_refusal(const Row *row, size_t n, const SnJinjaRender *o)
{
    for (size_t i = 0; i < n; i++) {
        SnError err = {0};
        SnText out = {.memory = &sn_default_allocator};
        if (render(&sn_default_allocator, row[i].text, o, &out, &err) == SN_OK)
            fail_msg("%s: not refused", row[i].text);
        if (!strstr(err.message, row[i].want))
            fail_msg("%s: %s, expected %s", row[i].text, err.message, row[i].want);
        sn_text_clear(&out);
    }
}

static void wrong_templates_are_refused(void **state)
{
    (void)state;
    expect_refusal(refused, SN_COUNT(refused), &(SnJinjaRender){0});
}

static void hostile_templates_are_stopped(void **state)
{
    (void)state;
    expect_refusal(hostile, SN_COUNT(hostile),
                   &(SnJinjaRender){.max_steps = 1000000, .max_memory = 64 << 20, .max_size = 8 << 20});
}

/* Signs that nest or go on without an end. */
static void deep_expressions_are_refused(void **state)
{
    static const char *const unit[] = {"(",         "[",  "not ",       "-",  "1+",
                                       "1|string|", "{{", "{% if 1 %}", "a.", "f("};
    (void)state;
    for (size_t i = 0; i < SN_COUNT(unit); i++) {
        SnError err = {0};
        SnText out = {.memory = &sn_default_allocator}, text = {.memory = &sn_default_allocator};
        sn_text_add(&text, "{{ ", unit[i][0] == '{' ? 0 : 3);
        for (int k = 0; k < 50000; k++)
            sn_text_add(&text, unit[i], strlen(unit[i]));
        sn_text_add(&text, "1 }}", 4);
        assert_false(text.failed);
        assert_int_not_equal(render(&sn_default_allocator, text.at, &(SnJinjaRender){0}, &out, &err), SN_OK);
        assert_int_not_equal(err.message[0], 0);
        sn_text_clear(&out);
        sn_text_clear(&text);
    }
}

static void spans_of_generation_are_told(void **state)
{
    SnError err;
    SnText out = {.memory = &sn_default_allocator};
    SnJinjaSpans spans = {0};
    const SnJinjaRender o = {.spans = &spans};
    (void)state;
    assert_ok(render(&sn_default_allocator,
                     "{{ u }}{% for x in l %}-{% generation %}{{ u }}{% endgeneration %}{% endfor %}", &o,
                     &out, &err));
    assert_int_equal(spans.n, 3);
    for (size_t i = 0; i < spans.n; i++) {
        assert_int_equal(spans.at[i].begin, 8 + 8 * i);
        assert_int_equal(spans.at[i].end, 15 + 8 * i);
    }
    sn_text_clear(&out);
    sn_vec_clear(&sn_default_allocator, &spans);
}

/* ---- no memory ---- */

typedef struct Rationed {
    uint64_t left;
    int64_t live;
} Rationed;

static void *ration(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Rationed *r = self;
    if (new_size && r->left == 0)
        return NULL;
    r->left -= new_size != 0;
    void *p = sn_default_allocator.resize(sn_default_allocator.self, ptr, old_size, new_size, align);
    r->live += (p && !ptr) - (ptr && !new_size);
    return p;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(rendered); i++)
        for (uint64_t left = 0;; left++) {
            SnError err = {0};
            Rationed r = {.left = left};
            const SnAllocator memory = {&r, ration};
            SnText out = {.memory = &memory};
            const SnStatus st = render(&memory, rendered[i].text, &(SnJinjaRender){0}, &out, &err);
            if (st == SN_OK)
                assert_string_equal(out.at ? out.at : "", rendered[i].want);
            sn_text_clear(&out);
            assert_int_equal(r.live, 0);
            if (st == SN_OK)
                break;
            assert_int_equal(st, SN_ENOMEM);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_render),
        cmocka_unit_test(wrong_templates_are_refused),
        cmocka_unit_test(hostile_templates_are_stopped),
        cmocka_unit_test(deep_expressions_are_refused),
        cmocka_unit_test(spans_of_generation_are_told),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
