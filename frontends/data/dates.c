/* dates.c -- days, times and durations: of texts, as texts, and of one unit in another, as pyarrow's safe
 * casts.
 *
 * Days are those of the proleptic Gregorian calendar: Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#include "frontends/data/arrow.h"

typedef struct Clock {
    SnArrowType type;
    int digits;    /* of a fraction of a second */
    int64_t ticks; /* in a day */
    SnDtype dtype;
    bool has_zone, is_utc;
} Clock;

static Clock clock_of(const SnFeature *f)
{
    Clock k = {.type = SN_ARROW_NULL};
    for (size_t i = 0; f->unit && i < sn_arrow_nunit; i++) {
        const SnArrowUnit *u = &sn_arrow_units[i];
        const size_t n = strlen(u->name) - 1;
        if (strncmp(f->unit, u->name, n) != 0 || (f->unit[n] != ',' && f->unit[n + 1]))
            continue;
        k = (Clock){.type = u->type, .digits = 3 * u->unit, .dtype = u->dtype};
        k.ticks = u->type == SN_ARROW_DATE && u->unit == 0 ? 1 : 86400;
        for (int d = 0; d < k.digits; d++)
            k.ticks *= 10;
        k.has_zone = f->unit[n] == ',';
        k.is_utc = k.has_zone && strcmp(f->unit + n, ", tz=UTC]") == 0;
        return k;
    }
    return k;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* v of one number of ticks in a day as of another: exactly, or not at all. */
static bool scale(int64_t v, int64_t from, int64_t to, int64_t *out)
{
    if (to >= from)
        return sn_mul_i64(v, to / from, out);
    *out = v / (from / to);
    return v % (from / to) == 0;
}

bool sn_date_named(const char *unit, SnFeature *out)
{
    const SnFeature f = {.kind = SN_DATA_NUMBER, .unit = unit};
    const Clock k = clock_of(&f);
    const char *behind = strchr(unit, ',');
    if (k.type == SN_ARROW_NULL ||
        (behind &&
         (strncmp(behind, ", tz=", 5) != 0 || k.type != SN_ARROW_TIMESTAMP || unit[strlen(unit) - 1] != ']')))
        return false;
    *out = f;
    out->dtype = k.dtype;
    return true;
}

bool sn_date_cast(const SnFeature *from, const SnFeature *to, int64_t v, int64_t *out)
{
    const Clock a = clock_of(from), b = clock_of(to);
    const bool is_local = (a.has_zone && !a.is_utc) || (b.has_zone && !b.is_utc);
    const bool was_day = a.type == SN_ARROW_DATE || a.type == SN_ARROW_TIMESTAMP;
    if (a.type == SN_ARROW_NULL || b.type == SN_ARROW_NULL) { /* a number as it is stored */
        *out = v;
        return from->dtype == to->dtype && from->dtype != SN_BOOL;
    }
    if (a.type != b.type && (is_local || !was_day || b.type == SN_ARROW_DURATION))
        return false;
    if (b.type == SN_ARROW_DATE && a.type != b.type)
        return sn_mul_i64(floor_div(v, a.ticks), b.ticks, out);
    if (b.type == SN_ARROW_TIME && a.type == SN_ARROW_DATE)
        return false;
    if (b.type == SN_ARROW_TIME && a.type != b.type)
        v -= floor_div(v, a.ticks) * a.ticks;
    return scale(v, a.ticks, b.ticks, out);
}

/* ---- texts ---- */

static void spell_day(SnText *t, int64_t day)
{
    day += 719468;
    const int64_t era = floor_div(day, 146097), of_era = day - era * 146097;
    const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    sn_text_printf(t, "%04lld-%02lld-%02lld", (long long)(year + era * 400 + (month >= 10)),
                   (long long)(month < 10 ? month + 3 : month - 9),
                   (long long)(of_year - (153 * month + 2) / 5 + 1));
}

bool sn_date_spell(SnText *t, const SnFeature *type, int64_t v)
{
    const Clock k = clock_of(type);
    if (k.type == SN_ARROW_NULL || k.type == SN_ARROW_DURATION)
        sn_json_put_int(t, v);
    if (k.type == SN_ARROW_NULL || k.type == SN_ARROW_DURATION || (k.has_zone && !k.is_utc))
        return !k.has_zone;
    const int64_t day = k.type == SN_ARROW_TIME ? 0 : floor_div(v, k.ticks);
    const int64_t left = v - day * k.ticks, per_second = k.ticks / 86400;
    if (k.type != SN_ARROW_TIME)
        spell_day(t, day);
    if (k.type == SN_ARROW_DATE)
        return true;
    const int64_t second = left / per_second;
    sn_text_printf(t, "%s%02lld:%02lld:%02lld", k.type == SN_ARROW_TIME ? "" : " ",
                   (long long)(second / 3600), (long long)(second / 60 % 60), (long long)(second % 60));
    if (k.digits)
        sn_text_printf(t, ".%0*lld", k.digits, (long long)(left % per_second));
    sn_text_add(t, "Z", k.has_zone);
    return true;
}

static bool digits(SnBytes s, size_t at, size_t n, int64_t *out)
{
    *out = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= s.n || s.at[i] < '0' || s.at[i] > '9')
            return false;
        *out = *out * 10 + (s.at[i] - '0');
    }
    return true;
}

static bool is_at(SnBytes s, size_t at, char c)
{
    return at < s.n && s.at[at] == (uint8_t)c;
}

/* What stands behind a time: Z, +01, +0130 or +01:30; 0 where nothing does. *n loses it. */
static bool take_zone(SnBytes s, size_t *n, int64_t *second, bool *has_zone)
{
    static const size_t widths[] = {3, 5, 6};
    int64_t hour = 0, minute = 0;
    *second = 0;
    *has_zone = is_at(s, *n - 1, 'Z');
    if (*has_zone) {
        --*n;
        return true;
    }
    for (size_t i = 0; i < SN_COUNT(widths); i++) {
        const size_t at = *n - widths[i];
        if (*n < 13 + widths[i] || (!is_at(s, at, '+') && !is_at(s, at, '-')))
            continue;
        if (!digits(s, at + 1, 2, &hour) || hour > 23 ||
            (widths[i] > 3 && (!digits(s, *n - 2, 2, &minute) || minute > 59)) ||
            (widths[i] == 6 && !is_at(s, at + 3, ':')))
            return false;
        *second = (hour * 60 + minute) * (s.at[at] == '+' ? 60 : -60);
        *n = at;
        *has_zone = true;
        return true;
    }
    return true;
}

bool sn_date_parse(SnBytes s, int ndigit, int64_t *out, bool *has_zone)
{
    static const int64_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d, hour = 0, minute = 0, second = 0, zone = 0, fraction = 0;
    size_t n = s.n, nfraction = 0;
    *has_zone = false;
    if (!digits(s, 0, 4, &y) || !is_at(s, 4, '-') || !digits(s, 5, 2, &m) || !is_at(s, 7, '-') ||
        !digits(s, 8, 2, &d) || m < 1 || m > 12)
        return false;
    const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d < 1 || d > month_days[m - 1] + (m == 2 && leap))
        return false;
    if (s.n > 10) {
        if ((!is_at(s, 10, ' ') && !is_at(s, 10, 'T')) || !digits(s, 11, 2, &hour) || hour > 23)
            return false;
        if (!take_zone(s, &n, &zone, has_zone))
            return false;
        nfraction = n > 20 ? n - 20 : 0;
        if (nfraction > (size_t)ndigit ||
            (nfraction && (!is_at(s, 19, '.') || !digits(s, 20, nfraction, &fraction))))
            return false;
        n = nfraction ? 19 : n;
        if (n != 13 && n != 16 && n != 19)
            return false;
        if (n > 13 && (!is_at(s, 13, ':') || !digits(s, 14, 2, &minute) || minute > 59))
            return false;
        if (n > 16 && (!is_at(s, 16, ':') || !digits(s, 17, 2, &second) || second > 59))
            return false;
    }
    const int64_t year = y - (m <= 2), era = year >= 0 ? year / 400 : (year - 399) / 400;
    const int64_t in_era = year - era * 400, in_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    const int64_t day = era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
    int64_t ticks = 1;
    for (int i = 0; i < ndigit; i++) {
        ticks *= 10;
        fraction *= i >= (int)nfraction ? 10 : 1;
    }
    return sn_mul_i64(((day * 24 + hour) * 60 + minute) * 60 + second - zone, ticks, out) &&
           sn_add_i64(*out, fraction, out);
}

bool sn_date_of_text(SnBytes s, const SnFeature *to, int64_t *out)
{
    const Clock k = clock_of(to);
    bool has_zone = false;
    if ((k.type != SN_ARROW_DATE && k.type != SN_ARROW_TIMESTAMP) || (k.type == SN_ARROW_DATE && s.n != 10) ||
        !sn_date_parse(s, k.digits, out, &has_zone) || has_zone != k.has_zone)
        return false;
    return k.ticks != 1 || scale(*out, 86400, 1, out);
}
