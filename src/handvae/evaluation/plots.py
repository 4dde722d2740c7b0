"""Line plots as SVG text that a page carries in itself."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 44
_NAMES = 44
"""Room that names of ticks need below the axis, px."""
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


@dataclass(frozen=True)
class _Frame:
    """Where numbers lie in a plot."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    across: tuple[float, float]
    """The x values of the left and right edges."""
    base: int
    """Height of the x axis, px from the top."""

    @classmethod
    def around(cls, figure: Plot, lines: Sequence[Sequence[tuple[float, float]]]) -> "_Frame":
        """The frame that has room for all points, or for nothing around 0 where there are none."""
        xs = [x for line in lines for x, _ in line] or [0.0]
        ys = [y for line in lines for _, y in line] or [0.0]
        y_ticks = _round_ticks(min([0.0, *ys] if figure.from_zero else ys), max(ys))

        if figure.ticks:
            # names stand turned below the axis, the outer ones half a place from the edge
            x_ticks = tuple(float(place) for place in range(len(figure.ticks)))
            margin, base = 0.5, HEIGHT - _BOTTOM - _NAMES
        else:
            x_ticks = _round_ticks(min(xs), max(xs))
            margin, base = 0.0, HEIGHT - _BOTTOM

        across = (min(x_ticks[0], min(xs)) - margin, max(x_ticks[-1], max(xs)) + margin)
        return cls(x_ticks, y_ticks, across, base)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point, px from the upper left corner."""
        share_x = (x - self.across[0]) / (self.across[1] - self.across[0])
        share_y = (y - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return _LEFT + share_x * (WIDTH - _LEFT - _RIGHT), self.base - share_y * (self.base - _TOP)


def svg(figure: Plot) -> str:
    """The plot with axes and a legend; points that are not finite are left out."""
    lines = [
        [(float(x), float(y)) for x, y in zip(c.x, c.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
        for c in figure.curves
    ]
    frame = _Frame.around(figure, lines)

    parts = [*_grid(frame), *_x_marks(figure, frame)]
    parts.append(f'<path d="M{_LEFT} {_TOP}V{frame.base}H{WIDTH - _RIGHT}" fill="none" stroke="#888"/>')

    for index, (curve, line) in enumerate(zip(figure.curves, lines, strict=True)):
        places = [frame.place(*point) for point in line]
        parts.append(_drawn(curve, places, COLOURS[index % len(COLOURS)]))

    parts += _axis_labels(figure, frame)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"'
    return f"<svg {box}>{''.join(parts)}</svg>{_legend(figure)}"


def _grid(frame: _Frame) -> Iterator[str]:
    """A line across the plot for each tick of the y axis, and its number."""
    for y in frame.y_ticks:
        height = frame.place(frame.across[0], y)[1]
        yield f'<path d="M{_LEFT} {height:.1f}H{WIDTH - _RIGHT}" stroke="#e4e4e4"/>'
        yield f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{y:g}</text>'


def _x_marks(figure: Plot, frame: _Frame) -> Iterator[str]:
    """A mark for each tick of the x axis, and its number or name."""
    for index, x in enumerate(frame.x_ticks):
        left = frame.place(x, frame.y_ticks[0])[0]
        yield f'<path d="M{left:.1f} {frame.base}v4" stroke="#888"/>'

        if figure.ticks:
            turned = f'transform="translate({left + 4:.1f} {frame.base + 8}) rotate(-60)" text-anchor="end"'
            yield f"<text {turned}>{_safe(figure.ticks[index])}</text>"
        else:
            yield f'<text x="{left:.1f}" y="{frame.base + 17}" text-anchor="middle">{x:g}</text>'


def _axis_labels(figure: Plot, frame: _Frame) -> Iterator[str]:
    """The names of both axes."""
    x_place = f'x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle"'
    yield f"<text {x_place}>{_safe(figure.x_label)}</text>"

    middle = (_TOP + frame.base) / 2
    y_place = f'transform="translate(12 {middle}) rotate(-90)" text-anchor="middle"'
    yield f"<text {y_place}>{_safe(figure.y_label)}</text>"


def _drawn(curve: Curve, line: Sequence[tuple[float, float]], colour: str) -> str:
    """A curve as SVG."""
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
