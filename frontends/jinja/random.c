/* random.c -- what a template leaves to chance: the filter random and lipsum(). One seed of a run gives
 * one text; the words are those that printers have set since the sixteenth century.
 *
 * Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014): SplitMix64. */
#include "frontends/jinja/run.h"

#define MAX_WORDS 100000 /* of a paragraph */

static const char lorem[] =
    "a ac accumsan ad adipiscing aenean aliquam aliquet amet ante aptent arcu at auctor augue bibendum "
    "blandit class commodo condimentum congue consectetuer consequat conubia convallis cras cubilia cum "
    "curabitur curae cursus dapibus diam dictum dictumst dignissim dis dolor donec dui duis egestas eget "
    "eleifend elementum elit enim erat eros est et etiam eu euismod facilisi facilisis fames faucibus "
    "felis fermentum feugiat fringilla fusce gravida habitant habitasse hac hendrerit hymenaeos iaculis "
    "id imperdiet in inceptos integer interdum ipsum justo lacinia lacus laoreet lectus leo libero ligula "
    "litora lobortis lorem luctus maecenas magna magnis malesuada massa mattis mauris metus mi molestie "
    "mollis montes morbi mus nam nascetur natoque nec neque netus nibh nisi nisl non nonummy nostra nulla "
    "nullam nunc odio orci ornare parturient pede pellentesque penatibus per pharetra phasellus placerat "
    "platea porta porttitor posuere potenti praesent pretium primis proin pulvinar purus quam quis "
    "quisque rhoncus ridiculus risus rutrum sagittis sapien scelerisque sed sem semper senectus sit "
    "sociis sociosqu sodales sollicitudin suscipit suspendisse taciti tellus tempor tempus tincidunt "
    "torquent tortor tristique turpis ullamcorper ultrices ultricies urna ut varius vehicula vel velit "
    "venenatis vestibulum vitae vivamus viverra volutpat vulputate";

/* Below n, which is not 0. */
static uint64_t random_below(SnJiRun *r, uint64_t n)
{
    uint64_t v = r->random += 0x9E3779B97F4A7C15u;
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9u;
    v = (v ^ v >> 27) * 0x94D049BB133111EBu;
    return (v ^ v >> 31) % n;
}

static int64_t random_from(SnJiRun *r, int64_t first, int64_t after)
{
    return first + (int64_t)random_below(r, (uint64_t)(after - first));
}

SnStatus sn_ji_random(SnJiCall *c, SnJiValue *out)
{
    size_t n = 0;
    SN_TRY(sn_ji_length(c->run, c->self, &n));
    if (n == 0)
        return sn_ji_undefined(c->run, out, "No random item, sequence was empty.");
    SN_TRY(sn_ji_item(c->run, c->self, sn_ji_int((int64_t)random_below(c->run, n)), out));
    if (out->kind != SN_JI_UNDEFINED || c->self.kind == SN_JI_LIST || c->self.kind == SN_JI_TUPLE)
        return SN_OK;
    return sn_ji_fail(c->run, "'%s' object has no items by number", sn_ji_type(c->self));
}

/* Another word than the last one; *last is where it lies. */
static SnBytes next_word(SnJiRun *r, const SnBytes *word, size_t n, size_t *last)
{
    size_t i = random_below(r, n - 1);
    i += i >= *last;
    *last = i;
    return word[i];
}

static void put_paragraph(SnJiRun *r, const SnBytes *words, size_t n, int64_t size)
{
    int64_t comma = 0, stop = 0;
    size_t last = n;
    bool begins = true;
    for (int64_t i = 0; i < size; i++) {
        const SnBytes word = next_word(r, words, n, &last);
        const char first = (char)(begins ? word.at[0] - 'a' + 'A' : word.at[0]);
        sn_ji_add(r, " ", i > 0);
        sn_ji_add(r, &first, 1);
        sn_ji_add(r, (const char *)word.at + 1, word.n - 1);
        const bool has_comma = i - random_from(r, 3, 8) > comma;
        comma = has_comma ? i : comma;
        stop += has_comma ? 2 : 0;
        begins = i - random_from(r, 10, 20) > stop;
        if (begins)
            comma = stop = i;
        const bool is_last = i + 1 == size;
        sn_ji_add(r, ",", has_comma && (!is_last || begins));
        sn_ji_add(r, ".", begins || is_last);
    }
    sn_ji_add(r, ".", size <= 0);
}

SnStatus sn_ji_lipsum(SnJiCall *c, SnJiValue *out)
{
    SnBytes words[256];
    size_t nword = 0;
    const int64_t n = c->v[0].u.integer, least = c->v[2].u.integer, most = c->v[3].u.integer;
    const bool is_html = c->v[1].kind == SN_JI_MISSING || sn_ji_truth(c->v[1]);
    if (n > 0 && (least >= most || least < -MAX_WORDS || most > MAX_WORDS))
        return sn_ji_fail(c->run, "empty range for randrange() (%lld, %lld)", (long long)least,
                          (long long)most);
    for (const char *p = lorem; *p; nword++) {
        const size_t size = strcspn(p, " ");
        words[nword] = sn_bytes(p, size);
        p += size + (p[size] == ' ');
    }
    const SnJiMark outer = sn_ji_begin(c->run);
    for (int64_t i = 0; i < n && !c->run->text->failed; i++) {
        const int64_t size = random_from(c->run, least, most);
        sn_ji_say(c->run, i == 0 ? "" : is_html ? "\n" : "\n\n");
        sn_ji_say(c->run, is_html ? "<p>" : "");
        put_paragraph(c->run, words, nword, size);
        sn_ji_say(c->run, is_html ? "</p>" : "");
        SN_TRY(sn_ji_spend(c->run, 1 + (size > 0 ? (uint64_t)size : 0)));
    }
    SN_TRY(sn_ji_take(c->run, outer, out));
    out->is_safe = is_html;
    return SN_OK;
}
