#!/usr/bin/env python3
"""minimax.py -- prints the numbers in the tables of compiler/scalar.c. Needs mpmath.

Each row is a Remez fit of an auxiliary function, weighted so that the error printed in the comment is the
relative error it causes in the result. Coefficients are rounded to the dtype, lowest degree first.
"""
from mpmath import atanh, cos, erf, erfc, exp, linspace, log, lu_solve, matrix, mp, mpf, pi, polyval, sin, sqrt, tanh

mp.prec = 240


def remez(f, weight, lo, hi, degree, rounds=12):
    """The polynomial p of that degree on [lo, hi] with least max |weight * (p - f)|; lowest degree first."""
    n = degree + 2
    node = [(lo + hi) / 2 - (hi - lo) / 2 * cos(pi * k / (n - 1)) for k in range(n)]
    for _ in range(rounds):
        a = matrix(n, n)
        b = matrix(n, 1)
        for i, x in enumerate(node):
            for j in range(degree + 1):
                a[i, j] = x**j
            a[i, degree + 1] = (-1)**i / weight(x)
            b[i] = f(x)
        c = lu_solve(a, b)
        p = [c[j] for j in range(degree + 1)]
        node = extremes(lambda x: weight(x) * (polyval(p[::-1], x) - f(x)), lo, hi, n)
    return p


def extremes(err, lo, hi, n):
    """n points of alternating sign where |err| is largest."""
    grid = [(lo + hi) / 2 - (hi - lo) / 2 * cos(pi * k / (24 * n)) for k in range(24 * n + 1)]
    value = [err(x) for x in grid]
    best = []
    for x, v in zip(grid, value):
        if best and (best[-1][1] > 0) == (v > 0):
            if abs(v) > abs(best[-1][1]):
                best[-1] = (x, v)
        else:
            best.append((x, v))
    while len(best) > n:
        best.pop(0 if abs(best[0][1]) < abs(best[-1][1]) else -1)
    if len(best) < n:
        raise ValueError("fit reached the working precision")
    return [x for x, _ in best]


def worst(p, f, weight, lo, hi):
    return max(abs(weight(x) * (polyval(p[::-1], x) - f(x))) for x in linspace(lo, hi, 997))


def rounded(x, bits):
    with mp.workprec(bits):
        return +x


def split(x, bits, n):
    """x as a sum of n numbers of so many bits."""
    out = []
    for _ in range(n):
        part = rounded(x, bits)
        out.append(part)
        x -= part
    return out


def series(f, at_zero):
    """f, with its limit where the formula is (almost) 0/0."""
    return lambda x: f(x) if abs(x) > mpf(10)**-20 else mpf(at_zero)


half = log(mpf(2)) / 2 * mpf("1.001")  # the reduced argument of exp, a little more for rounding
quarter = pi / 4 * mpf("1.002")
zlog = ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1))**2 * mpf("1.001")
tiny = mpf(10)**-19
eighth = mpf(1) / 8


def atanh_z(z):
    return atanh(sqrt(z)) / sqrt(z)


def rows(wide):
    """name, function, weight, lo, hi, degree for f64 (wide) or f32."""
    t_tanh = mpf("0.625") if wide else mpf("0.75")
    t_erf = mpf("1.125") if wide else mpf("1.0625")
    t_end = mpf("5.95") if wide else mpf(4)
    pick = lambda a, b: b if wide else a
    one = lambda x: mpf(1)
    return [
        ("exp", series(lambda x: (exp(x) - 1 - x) / x**2, mpf(1) / 2),
         lambda x: max(x * x, mpf("1e-4")) * exp(-x), -half, half, pick(4, 9), "(e^r - 1 - r) / r^2"),
        ("log", series(lambda z: (2 * atanh_z(z) - 2) / z, mpf(2) / 3), lambda z: z / 2, tiny, zlog, pick(2, 6),
         "(2 atanh(s) - 2 s) / s^3, z = s^2"),
        ("pow", series(lambda z: (2 * atanh_z(z) - 2 - z * 2 / 3) / z**2, mpf(2) / 5), lambda z: z * z / 2, tiny,
         zlog, pick(2, 6), "(2 atanh(s) - 2 s - 2/3 s^3) / s^5, z = s^2"),
        ("sin", series(lambda z: (sin(sqrt(z)) / sqrt(z) - 1) / z, -mpf(1) / 6),
         lambda z: z * sqrt(z) / sin(sqrt(z)) if z else mpf(0), tiny, quarter**2, pick(2, 5),
         "(sin(r) - r) / r^3, z = r^2"),
        ("cos", series(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2, mpf(1) / 24), lambda z: z * z / cos(sqrt(z)),
         tiny, quarter**2, pick(2, 5), "(cos(r) - 1 + r^2 / 2) / r^4, z = r^2"),
        ("tanh", series(lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z, -mpf(1) / 3),
         lambda z: z * sqrt(z) / tanh(sqrt(z)), tiny, t_tanh**2, pick(5, 11), "(tanh(x) - x) / x^3, z = x^2"),
        ("erf", lambda z: erf(sqrt(z)) / sqrt(z) - 1, lambda z: sqrt(z) / erf(sqrt(z)), tiny, t_erf**2,
         pick(7, 17), "erf(x) / x - 1, z = x^2"),
        ("erfc", lambda t: (erfc(t)**eighth - 1) / t, lambda t: 8 * t * erfc(t)**(1 - eighth) / erf(t), t_erf, t_end,
         pick(7, 17), "((1 - erf(t))^(1/8) - 1) / t"),
    ]


def main():
    for wide in (False, True):
        bits = 53 if wide else 24
        digits = 17 if wide else 9
        show = lambda x: mp.nstr(x, digits, min_fixed=-5, max_fixed=3)
        print("f64" if wide else "f32")
        print("    ln2:", ", ".join(show(x) for x in [rounded(log(mpf(2)), bits - (11 if wide else 8))]), end=", ")
        print(show(rounded(log(mpf(2)) - rounded(log(mpf(2)), bits - (11 if wide else 8)), bits)))
        print("    pi/2:", ", ".join(show(x) for x in split(pi / 2, bits, 3)))
        for name, f, weight, lo, hi, degree, what in rows(wide):
            p = remez(f, weight, lo, hi, degree)
            r = [rounded(c, bits) for c in p]
            e = log(worst(r, f, weight, lo, hi), 2)
            print(f"    /* {what}: 2^{mp.nstr(e, 4)} */")
            print(f"    .{name} = {{" + ", ".join(show(c) for c in r) + "},")
    bits = int(mp.floor(2 / pi * mpf(2)**216))
    print("2/pi * 2^216:", ", ".join(f"{bits >> (160 - 32 * i) & (1 << 64) - 1:#018x}" for i in range(6)))


main()
