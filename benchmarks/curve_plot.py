"""Learning curves as SVG, written by hand: one panel a data set, one line a method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 250, 190, 40, 34, 34, 18
LEGEND_LINE = 16
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
MOST_LABELS = 12  # on the horizontal axis
COLOURS = (
    *("#1b6ca8", "#d1495b", "#3c8d53", "#edae49", "#7b4ea3", "#00798c", "#a0522d", "#555555"),
    *("#e377c2", "#17becf"),
)

Curve = Mapping[int, float]  # such as rankings → accuracy


@dataclass(frozen=True)
class Axes:
    """What the axes span: of the values `low` to `high` with a line each `step`."""

    low: float = 0.4
    high: float = 1.0
    step: float = 0.1
    guide: float = 0.5  #: the value whose line is dashed
    logarithmic: bool = True  #: places sizes by their logarithm


def draw(panels: Mapping[str, Mapping[str, Curve]], file: Path, axes: Axes = Axes()) -> None:
    """Write a plot of panels (title → method → curve) to `file`."""
    methods = list(dict.fromkeys(method for curves in panels.values() for method in curves))
    # Lines are told apart by their dashes too, for who sees no colour.
    stroke = {
        method: f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        for i, method in enumerate(methods)
    }
    colour = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(methods)}
    width = len(panels) * (WIDTH + LEFT + GAP) + GAP
    rows = math.ceil(len(methods) / 3)
    height = TOP + HEIGHT + BOTTOM + rows * LEGEND_LINE + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, (title, curves) in enumerate(panels.items()):
        left = GAP + place * (WIDTH + LEFT + GAP) + LEFT
        parts += _panel(left, title, curves, colour, stroke, axes)
    for index, method in enumerate(methods):
        x, y = GAP + (index % 3) * width / 3, TOP + HEIGHT + BOTTOM + GAP + index // 3 * LEGEND_LINE
        parts.append(
            f'<path d="M{x:.0f} {y - 4:.0f}h22" {stroke[method]} stroke-width="2"/>'
            f'<text x="{x + 28:.0f}" y="{y:.0f}">{escape(method)}</text>'
        )
    file.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _panel(
    left: float,
    title: str,
    curves: Mapping[str, Curve],
    colour: Mapping[str, str],
    stroke: Mapping[str, str],
    axes: Axes,
) -> list[str]:
    sizes = sorted({size for curve in curves.values() for size in curve})
    parts = [f'<text x="{left}" y="{TOP - 14}" font-size="13">{escape(title)}</text>']
    for number in range(round((axes.high - axes.low) / axes.step) + 1):
        level = axes.low + number * axes.step
        y = _y(level, axes)
        dashes = ' stroke-dasharray="4 3"' if abs(level - axes.guide) < 1e-9 else ""
        parts.append(
            f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ccc"{dashes}/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{level:.1f}</text>'
        )
    for size in sizes[:: math.ceil(len(sizes) / MOST_LABELS)]:
        x = _x(left, size, sizes, axes)
        parts.append(
            f'<text x="{x:.1f}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{size}</text>'
        )
    for method, curve in curves.items():
        points = [(_x(left, size, sizes, axes), _y(curve[size], axes)) for size in sorted(curve)]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" {stroke[method]} stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour[method]}"/>'
            for x, y in points
        ]
    return parts


def _x(left: float, size: int, sizes: Sequence[int], axes: Axes) -> float:
    scale = math.log if axes.logarithmic else float
    span = scale(sizes[-1]) - scale(sizes[0]) or 1.0
    return left + 8 + (WIDTH - 16) * (scale(size) - scale(sizes[0])) / span


def _y(value: float, axes: Axes) -> float:
    kept = min(max(value, axes.low), axes.high)
    return TOP + HEIGHT * (axes.high - kept) / (axes.high - axes.low)
