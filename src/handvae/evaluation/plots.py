"""Line plots as SVG text that a page carries in itself."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 44
COLOURS = ("#1e88e5", "#d81b60", "#43a047", "#fb8c00", "#8e24aa", "#00897b", "#6d4c41", "#546e7a")


@dataclass(frozen=True)
class Curve:
    """A line of a figure."""

    name: str
    x: tuple[float | int, ...]
    y: tuple[float | int, ...]
    kind: str = "line"
    """`line`, `dashed` for what is there to compare with, `dots` where points between mean nothing."""


@dataclass(frozen=True)
class Plot:
    """What a plot shows."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    note: str = ""
    """Its protocol."""
    ticks: tuple[str, ...] = ()
    """Names of the places 0, 1, 2 ... on the x axis, instead of numbers."""
    from_zero: bool = True
    """Whether the y axis begins at 0."""


def svg(figure: Plot) -> str:
    """The plot with axes and a legend; points that are not finite are left out."""
    points = [
        [(float(x), float(y)) for x, y in zip(c.x, c.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
        for c in figure.curves
    ]
    xs, ys = (
        [x for line in points for x, _ in line] or [0.0],
        [y for line in points for _, y in line] or [0.0],
    )
    y_ticks = _round_ticks(min([0.0, *ys] if figure.from_zero else ys), max(ys))
    x_ticks = (
        tuple(float(place) for place in range(len(figure.ticks)))
        if figure.ticks
        else _round_ticks(min(xs), max(xs))
    )
    margin = 0.5 if figure.ticks else 0.0
    across = (min(x_ticks[0], min(xs)) - margin, max(x_ticks[-1], max(xs)) + margin)
    bottom = _BOTTOM + (44 if figure.ticks else 0)

    def place(x: float, y: float) -> tuple[float, float]:
        share_x, share_y = (
            (x - across[0]) / (across[1] - across[0]),
            (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]),
        )
        return _LEFT + share_x * (WIDTH - _LEFT - _RIGHT), HEIGHT - bottom - share_y * (
            HEIGHT - bottom - _TOP
        )

    parts = []
    for y in y_ticks:
        height = place(across[0], y)[1]
        parts.append(f'<path d="M{_LEFT} {height:.1f}H{WIDTH - _RIGHT}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{y:g}</text>')

    for index, x in enumerate(x_ticks):
        left, base = place(x, y_ticks[0])[0], HEIGHT - bottom
        parts.append(f'<path d="M{left:.1f} {base}v4" stroke="#888"/>')
        if figure.ticks:
            turned = f'transform="translate({left + 4:.1f} {base + 8}) rotate(-60)" text-anchor="end"'
            parts.append(f"<text {turned}>{_safe(figure.ticks[index])}</text>")
        else:
            parts.append(f'<text x="{left:.1f}" y="{base + 17}" text-anchor="middle">{x:g}</text>')

    parts.append(f'<path d="M{_LEFT} {_TOP}V{HEIGHT - bottom}H{WIDTH - _RIGHT}" fill="none" stroke="#888"/>')
    for index, (curve, line) in enumerate(zip(figure.curves, points, strict=True)):
        parts.append(_drawn(curve, [place(*point) for point in line], COLOURS[index % len(COLOURS)]))

    x_place = f'x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle"'
    parts.append(f"<text {x_place}>{_safe(figure.x_label)}</text>")
    middle = (_TOP + HEIGHT - bottom) / 2
    y_place = f'transform="translate(12 {middle}) rotate(-90)" text-anchor="middle"'
    parts.append(f"<text {y_place}>{_safe(figure.y_label)}</text>")

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
    return f"<svg {box}>{''.join(parts)}</svg>{_legend(figure)}"


def _drawn(curve: Curve, line: Sequence[tuple[float, float]], colour: str) -> str:
    if curve.kind == "dots":
        return "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in line)
    dash = ' stroke-dasharray="5 4"' if curve.kind == "dashed" else ""
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    return f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'


def _legend(figure: Plot) -> str:
    entries = "".join(
        f'<span><i style="background:{COLOURS[index % len(COLOURS)]}"></i>{_safe(curve.name)}</span>'
        for index, curve in enumerate(figure.curves)
    )
    return f'<div class="legend">{entries}</div>'


def _round_ticks(low: float, high: float) -> tuple[float, ...]:
    """Four to nine round numbers from at most `low` to at least `high`."""
    span = high - low if high > low else abs(high) or 1.0
    raw = span / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(max(high, low + span / 2) / step - 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def _safe(text: str) -> str:
    return html.escape(text)
