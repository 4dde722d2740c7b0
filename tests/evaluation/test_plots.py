"""Plots as SVG."""

import re

import pytest

from handvae.evaluation.plots import HEIGHT, WIDTH, Curve, Plot, svg


def figure(*curves, **rest):
    return Plot("t", "error <mm>", "share", curves, **rest)


def numbers(text):
    return [[float(value) for value in pair.split(",")] for pair in text.split()]


def polylines(drawn):
    return [numbers(points) for points in re.findall(r'<polyline points="([^"]*)"', drawn)]


def test_a_straight_line_is_drawn_straight_upwards_and_inside():
    (line,) = polylines(svg(figure(Curve("a", (0, 1, 2, 4), (0, 10, 20, 40)))))
    (x0, y0), (x1, y1), _, (x4, y4) = line
    assert (x4 - x0) == pytest.approx(4 * (x1 - x0), abs=0.5)
    assert (y4 - y0) == pytest.approx(4 * (y1 - y0), abs=0.5)
    assert 0 < x0 < x4 <= WIDTH
    assert 0 <= y4 < y0 < HEIGHT  # upwards is smaller y


def test_values_that_are_not_finite_are_left_out():
    drawn = svg(figure(Curve("a", (0, 1, 2), (1, float("nan"), 3)), Curve("b", (0,), (float("inf"),))))
    assert [len(line) for line in polylines(drawn)] == [2, 0]
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize("values", [(0.0, 0.0), (5.0, 5.0), (-3.0, -1.0), (1e-9, 3e-9), (1e6, 2e6)])
def test_axes_reach_round_the_values_whatever_they_are(values):
    for from_zero in (True, False):
        (line,) = polylines(svg(figure(Curve("a", (0, 1), values), from_zero=from_zero)))
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


def test_names_are_escaped_and_each_curve_is_in_the_legend():
    drawn = svg(figure(Curve("<b>", (0, 1), (0, 1)), Curve("other", (0, 1), (1, 0), "dashed")))
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn
    assert "error &lt;mm&gt;" in drawn
    assert drawn.count("stroke-dasharray") == 1
    assert "other</span>" in drawn


def test_named_places_replace_numbers_on_the_x_axis():
    drawn = svg(figure(Curve("a", (0, 1, 2), (3, 1, 2), "dots"), ticks=("wrist", "thumb", "tip")))
    assert drawn.count("<circle") == 3
    assert all(f">{name}<" in drawn for name in ("wrist", "thumb", "tip"))
