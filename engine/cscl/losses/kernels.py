"""Compiled loops over rows of windows: similarities, what they cost, and their gradients.

With raw product p = <q, k + r>, square n^2 = |k + r|^2 and s = p / (|q| n),

    ds/dp = 1 / (|q| n)        ds/d(n^2) = -s / (2 n^2)        ds/dq = (k + r) / (|q| n) - s q / |q|^2 .

Each loop goes over rows of one map and writes to those rows alone, so that bands of rows can be done side by side.
What is done for a pixel goes over channels, which lie side by side, for several taps at once, so that what is read of
the pixel is read once for all of them. What is done for a tap goes over the columns of a row, in loops that write to
one array each: only those are done several numbers at once.

Arrays of a whole strip have the axes that `cscl.losses.windows` gives them: q, k NHWA; products with the codes qt, kt
GtNHW; lengths of queries and squares of keys GNHW; by_product and by_square, gradients of p and n^2, NHGkkW. Those of
one row and group have the axes kkW.
"""

from __future__ import annotations

from typing import Any

from numpy import empty, empty_like, int64, maximum, sqrt, uint64, zeros
from numpy.typing import NDArray

from cscl.compiling import compiled, inlined

__all__ = ["at_keys", "at_queries", "energies", "linear", "similarities"]

Array = NDArray[Any]
COLUMNS = 16  # pixels whose factors are laid out at a time
UNKNOWN, OTHER = -1, 2**62  # classes of taps that make no pair, and of those that are unlike all others
CLAMPED = 1 - 1e-6  # of the largest inverse length, which stands for all that are larger


@compiled
def energies(x: Array, energy: Array, first: int, last: int) -> None:
    """Fill in the squared length of each group of channels."""
    vectors = x.reshape(x.shape[0], x.shape[1], x.shape[2], len(energy), x.shape[3] // len(energy))
    for line in range(first, last):
        n, y = divmod(line, x.shape[1])
        for u in range(x.shape[2]):
            for g in range(len(energy)):
                total = x.dtype.type(0)
                for c in range(vectors.shape[4]):
                    total += vectors[n, y, u, g, c] * vectors[n, y, u, g, c]
                energy[g, n, y, u] = total


@inlined
def _inside(middle: int, size: int, window: int, step: int) -> tuple[int, int]:
    """First tap of a window that lies in 0..size, and the one after the last."""
    first, last = 0, window
    while first < last and not 0 <= middle + (first - window // 2) * step < size:
        first += 1
    while first < last and not 0 <= middle + (last - 1 - window // 2) * step < size:
        last -= 1
    return first, last


@inlined
def _covered(shift: int, width: int) -> tuple[int, int]:
    """First column whose tap lies in the map, and the one after the last."""
    return min(max(-shift, 0), width), max(width - max(shift, 0), 0)


@inlined
def _add(onto: Array, x: Array, factor: Any) -> None:
    for i in range(len(onto)):
        onto[i] += factor * x[i]


@inlined
def _dots(x: Array, at: int, y: Array, places: tuple[int, int, int, int], g: int) -> Any:
    """Products of one vector with four, over the channels of a group."""
    one, (p, q, r, s) = x.dtype.type(0), places
    two, three, four = one, one, one
    for c in range(x.shape[2]):
        one += x[at, g, c] * y[p, g, c]
        two += x[at, g, c] * y[q, g, c]
        three += x[at, g, c] * y[r, g, c]
        four += x[at, g, c] * y[s, g, c]
    return one, two, three, four


@inlined
def _add_squares(onto: Array, energy: Array, by_row: Array, by_column: Array) -> None:
    for i in range(len(onto)):
        onto[i] += energy[i] + 2 * (by_row[i] + by_column[i])


@inlined
def _to_cosines(s: Array, inverse: Array, scale: Array, least: Any) -> None:
    """Turn products, and squares of what they are to be divided by, into cosines and inverse lengths."""
    one, least_square = s.dtype.type(1), least * least
    for i in range(len(s)):
        square = inverse[i]
        inverse[i] = one / sqrt(least_square if square < least_square else square)
    for i in range(len(s)):
        cosine = s[i] * scale[i] * inverse[i]
        cosine = one if cosine > one else cosine
        s[i] = -one if cosine < -one else cosine


@compiled
def _similar(
    at: tuple[int, int, int], q: Array, k: Array, qt: Array, kt: Array, codes: Array, scale: Array, energy: Array,
    geometry: tuple[int, int, float], s: Array, inverse: Array,
) -> None:  # fmt: skip
    """Fill in the similarities of a row and group, axes kkW, and the inverse lengths that they are divided by."""
    (n, y, g), (window, _, width), (dilation, above, epsilon) = at, s.shape, geometry
    shape, unit, half = (-1, len(energy), q.shape[3] // len(energy)), s.dtype.type(1), window // 2
    queries, keys = q.reshape(shape), k.reshape(shape)
    top, bottom = _inside(y + above, k.shape[1], window, dilation)
    s[:] = 0
    for a in range(top, bottom):
        begin = (n * k.shape[1] + y + above + (a - half) * dilation) * width
        for x in range(width):
            left, right = _inside(x, width, window, dilation)
            place = begin + x - half * dilation
            for b in range(left, right, 4):  # the last may be done twice
                d, e, f = min(b + 1, right - 1), min(b + 2, right - 1), min(b + 3, right - 1)
                four = place + b * dilation, place + d * dilation, place + e * dilation, place + f * dilation
                dots = _dots(queries, (n * q.shape[1] + y) * width + x, keys, four, g)
                s[a, b, x], s[a, d, x], s[a, e, x], s[a, f, x] = dots
    for a in range(window):
        v = y + above + (a - half) * dilation
        for b in range(window):
            shift = (b - half) * dilation
            _add(s[a, b], qt[g, a, n, y], unit)
            _add(s[a, b], qt[g, window + b, n, y], unit)
            if epsilon:
                inverse[a, b] = codes[g, a] + codes[g, window + b]
                first, last = _covered(shift, width)
                if top <= a < bottom and first < last:
                    there, square = slice(first + shift, last + shift), inverse[a, b, first:last]
                    _add_squares(square, energy[g, n, v, there], kt[g, a, n, v, there], kt[g, window + b, n, v, there])
                _to_cosines(s[a, b], inverse[a, b], scale, s.dtype.type(epsilon))


@compiled
def similarities(
    q: Array, k: Array, qt: Array, kt: Array, codes: Array, length: Array, energy: Array,
    geometry: tuple[int, int, float], s: Array, inverse: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Fill in the similarities of rows, and the inverse lengths that they are divided by: axes NHGkkW."""
    unit, least = s.dtype.type(1), s.dtype.type(geometry[2])
    for line in range(first, last):
        n, y = divmod(line, q.shape[1])
        for g in range(s.shape[2]):
            scale = unit / maximum(length[g, n, y], least)
            _similar((n, y, g), q, k, qt, kt, codes, scale, energy, geometry, s[n, y, g], inverse[n, y, g])


@inlined
def _slopes(
    by_product: Array, by_square: Array, grad: Array, s: Array, inverse: Array, scale: Array, least: Any, along: Array
) -> None:
    """Gradients of the products and squares of a tap; `along` gains what the lengths of queries take from theirs."""
    half, clamped = s.dtype.type(0.5), s.dtype.type(CLAMPED)
    for i in range(len(s)):
        by_product[i] = grad[i] if abs(s[i]) < 1 else 0 * half
    for i in range(len(s)):
        along[i] += by_product[i] * s[i]
    for i in range(len(s)):
        turn = half * by_product[i] * s[i] * inverse[i] * inverse[i]
        by_square[i] = -turn if inverse[i] * least < clamped else 0 * half
    for i in range(len(s)):
        by_product[i] *= scale[i] * inverse[i]


@inlined
def _gather(x: Array, base: int, offsets: Array, t: int, factors: Array, i: int, g: int, onto: Array, at: int) -> None:
    """Add the vectors of eight taps, each times its factor, onto one. Where that is 0 a tap may lie off the map."""
    e, f, h, j = factors[t, i], factors[t + 1, i], factors[t + 2, i], factors[t + 3, i]
    k, l, m, n = factors[t + 4, i], factors[t + 5, i], factors[t + 6, i], factors[t + 7, i]
    if e == 0 and f == 0 and h == 0 and j == 0 and k == 0 and l == 0 and m == 0 and n == 0:
        return
    p, q, r, s = (
        _on(base + offsets[t], x),
        _on(base + offsets[t + 1], x),
        _on(base + offsets[t + 2], x),
        _on(base + offsets[t + 3], x),
    )
    u, v, w, y = (
        _on(base + offsets[t + 4], x),
        _on(base + offsets[t + 5], x),
        _on(base + offsets[t + 6], x),
        _on(base + offsets[t + 7], x),
    )
    to, part = uint64(at), uint64(g)  # unsigned, so that no place is taken to count from the end
    for c in range(x.shape[2]):
        onto[to, part, c] += (
            e * x[p, part, c] + f * x[q, part, c] + h * x[r, part, c] + j * x[s, part, c]
            + k * x[u, part, c] + l * x[v, part, c] + m * x[w, part, c] + n * x[y, part, c]
        )  # fmt: skip


@inlined
def _on(place: int, x: Array) -> Any:
    """Hold a place on the map."""
    return uint64(min(max(place, 0), len(x) - 1))


@compiled
def _collect(
    at: tuple[int, int, int], side: int, x: Array, by_product: Array, geometry: tuple[int, int, float], onto: Array
) -> None:
    """Add up the gradients of a row and group: of queries from their keys (side 1) or of keys from queries (-1)."""
    (n, y, g), (dilation, above, _), (_, height, width, _) = at, geometry, x.shape
    (groups, window), middle = by_product.shape[2:4], y + side * above
    shape = (-1, groups, x.shape[3] // groups)
    vectors, gained = x.reshape(shape), onto.reshape(shape)
    top, bottom = _inside(middle, height, window, side * dilation)
    taps = (bottom - top) * window
    offsets, factors = empty(taps, int64), empty((taps, COLUMNS), x.dtype)
    gained[(n * onto.shape[1] + y) * width : (n * onto.shape[1] + y + 1) * width, g] = 0
    for start in range(0, width, COLUMNS):
        for t in range(taps):
            a, b = top + t // window, t % window
            row, shift = middle + side * (a - window // 2) * dilation, side * (b - window // 2) * dilation
            offsets[t] = (n * height + row) * width + shift
            first, last = _covered(shift, width)
            first, last = max(first, start), max(min(last, start + COLUMNS), first, start)
            factors[t] = 0
            if side > 0:
                factors[t, first - start : last - start] = by_product[n, y, g, a, b, first:last]
            else:
                factors[t, first - start : last - start] = by_product[n, row, g, a, b, first + shift : last + shift]
        place = (n * onto.shape[1] + y) * width + start
        for i in range(min(COLUMNS, width - start)):
            for t in range(taps - taps % 8, taps):
                if factors[t, i] != 0:
                    _add(gained[place + i, g], vectors[start + i + offsets[t], g], factors[t, i])
        for t in range(0, taps - taps % 8, 8):
            for i in range(min(COLUMNS, width - start)):
                _gather(vectors, start + i, offsets, t, factors, i, g, gained, place + i)


@compiled
def _of_row(
    at: tuple[int, int, int], q: Array, k: Array, length: Array, s: Array, inverse: Array, grad: Array,
    geometry: tuple[int, int, float], by_product: Array, by_square: Array, grad_q: Array, grad_qt: Array,
) -> None:  # fmt: skip
    """Gradients at the queries of a row and group, from those of its similarities, axes kkW."""
    (n, y, g), (window, _, width), epsilon = at, s.shape, geometry[2]
    channels, least, unit = q.shape[3] // by_product.shape[2], s.dtype.type(epsilon), s.dtype.type(1)
    part, along = slice(g * channels, (g + 1) * channels), zeros(width, s.dtype)
    scale = unit / maximum(length[g, n, y], least)
    grad_qt[g, :, n, y] = 0
    for a in range(window):
        for b in range(window):
            slope, turn = by_product[n, y, g, a, b], by_square[n, y, g, a, b]
            if epsilon:
                _slopes(slope, turn, grad[a, b], s[a, b], inverse[a, b], scale, least, along)
            else:
                slope[:], turn[:] = grad[a, b], 0
            _add(grad_qt[g, a, n, y], slope, unit)
            _add(grad_qt[g, window + b, n, y], slope, unit)
    _collect(at, 1, k, by_product, geometry, grad_q)
    if epsilon:
        for x in range(width):
            if length[g, n, y, x] > least:
                _add(grad_q[n, y, x, part], q[n, y, x, part], -along[x] * scale[x] * scale[x])


@compiled
def at_queries(
    q: Array, k: Array, length: Array, s: Array, inverse: Array, grad: Array, geometry: tuple[int, int, float],
    by_product: Array, by_square: Array, grad_q: Array, grad_qt: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Fill in the gradients at the queries of rows, from those of their similarities."""
    for line in range(first, last):
        n, y = divmod(line, q.shape[1])
        for g in range(s.shape[2]):
            _of_row(
                (n, y, g), q, k, length, s[n, y, g], inverse[n, y, g], grad[n, y, g], geometry, by_product, by_square,
                grad_q, grad_qt,
            )  # fmt: skip


@compiled
def at_keys(
    k: Array, q: Array, by_product: Array, by_square: Array, geometry: tuple[int, int, float], grad_k: Array,
    grad_kt: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Fill in the gradients of rows of keys and of their products with the codes, from those at the queries."""
    (_, height, groups, window, _, width), (dilation, above, _) = by_product.shape, geometry
    channels, half, two = k.shape[3] // groups, window // 2, k.dtype.type(2)
    for line in range(first, last):
        n, v = divmod(line, k.shape[1])
        top, bottom = _inside(v - above, height, window, -dilation)
        for g in range(groups):
            part, stretch = slice(g * channels, (g + 1) * channels), zeros(width, k.dtype)
            grad_kt[g, :, n, v] = 0
            for a in range(top, bottom):
                for b in range(window):
                    shift = (b - half) * dilation
                    left, right = _covered(shift, width)
                    if left < right:
                        there = slice(left + shift, right + shift)
                        turn = by_square[n, v - above - (a - half) * dilation, g, a, b, left:right]
                        _add(stretch[there], turn, two)
                        _add(grad_kt[g, a, n, v, there], turn, two)
                        _add(grad_kt[g, window + b, n, v, there], turn, two)
            _collect((n, v, g), -1, q, by_product, geometry, grad_k)
            for u in range(width):
                _add(grad_k[n, v, u, part], k[n, v, u, part], stretch[u])


@inlined
def _weigh(grad: Array, s: Array, own: Array, tap: Array, by_alike: Any, by_unlike: Any) -> tuple[float, float]:
    """Set the gradients of one tap's similarities; return their sums over the alike and the unlike."""
    none, alike, unlike = 0 * by_alike, 0 * by_alike, 0 * by_alike
    for i in range(len(s)):
        known = own[i] >= 0 and tap[i] >= 0
        grad[i] = (by_alike if own[i] == tap[i] else by_unlike) if known else none
    for i in range(len(s)):
        known = own[i] >= 0 and tap[i] >= 0
        alike += s[i] if known and own[i] == tap[i] else none
        unlike += s[i] if known and own[i] != tap[i] else none
    return alike, unlike


@compiled
def linear(
    q: Array, k: Array, qt: Array, kt: Array, codes: Array, length: Array, energy: Array,
    geometry: tuple[int, int, float], own: Array, classes: Array, boxes: Any, sums: Array, learns: bool,
    by_product: Array, by_square: Array, grad_q: Array, grad_qt: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Sum the similarities of rows by side (sums, axes NH2), and do what `at_queries` does where that is wanted."""
    (_, height, width, _), (groups, window), (dilation, above, epsilon) = q.shape, by_product.shape[2:4], geometry
    half, all_pairs = window // 2, boxes[5]
    unit, least = q.dtype.type(1), q.dtype.type(epsilon)
    by_alike, by_unlike = q.dtype.type(boxes[6]), q.dtype.type(boxes[7])
    s, tap = empty((window, window, width), q.dtype), empty(width, int64)
    inverse, grad = empty_like(s), empty_like(s)
    for line in range(first, last):
        n, y = divmod(line, height)
        top, bottom = _inside(y + above, k.shape[1], window, dilation)
        for g in range(groups):
            scale = unit / maximum(length[g, n, y], least)
            _similar((n, y, g), q, k, qt, kt, codes, scale, energy, geometry, s, inverse)
            for a in range(window):
                for b in range(window):
                    tap[:] = OTHER if all_pairs else UNKNOWN
                    shift = (b - half) * dilation
                    left, right = _covered(shift, width)
                    if top <= a < bottom and left < right and (all_pairs or a != half or b != half):
                        v = y + above + (a - half) * dilation
                        tap[left:right] = classes[n, v, left + shift : right + shift]
                    alike, unlike = _weigh(grad[a, b], s[a, b], own[n, y], tap, by_alike, by_unlike)
                    sums[n, y, 0] += alike
                    sums[n, y, 1] += unlike
            if learns:
                _of_row(
                    (n, y, g), q, k, length, s, inverse, grad, geometry, by_product, by_square, grad_q, grad_qt
                )  # fmt: skip
