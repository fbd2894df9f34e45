"""A simulation as a picture: coverage over time, and below it the ages of the models, in SVG."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from evertrain.simulation import Moment, Outcome

_WIDTH: Final = 960
_HEIGHT: Final = 220
_MARGIN: Final = 60
_COLOURS: Final = {
    "fresh": "#2e9e6b",
    "stale": "#e0a030",
    "missing": "#c9ccd3",
    "p50": "#2e9e6b",
    "p95": "#4a78c8",
    "oldest": "#c0483c",
}


def picture(outcome: Outcome) -> str:
    """One SVG document."""
    height = 2 * (_HEIGHT + _MARGIN) + _MARGIN
    title = f"{outcome.symbols} symbols over {outcome.days} days from {outcome.begin:%Y-%m-%d}"
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH + 2 * _MARGIN}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_MARGIN}" y="26" font-size="16">{title}</text>',
        f'<g transform="translate({_MARGIN},{_MARGIN})">',
        *_coverage(outcome),
        "</g>",
        f'<g transform="translate({_MARGIN},{2 * _MARGIN + _HEIGHT})">',
        *_ages(outcome),
        "</g>",
        "</svg>",
    )
    return "\n".join(parts) + "\n"


def _coverage(outcome: Outcome) -> Iterator[str]:
    """Areas, one before the other: everything, then what has a model, then what is fresh."""
    layers: tuple[tuple[str, Callable[[Moment], int]], ...] = (
        ("missing", lambda one: one.fresh + one.stale + one.missing),
        ("stale", lambda one: one.fresh + one.stale),
        ("fresh", lambda one: one.fresh),
    )
    for name, count in layers:
        line = _line(outcome, [count(one) for one in outcome.moments], outcome.symbols)
        area = f"0,{_HEIGHT} {line} {_WIDTH},{_HEIGHT}"
        yield f'<polygon points="{area}" fill="{_COLOURS[name]}"/>'
    yield from _frame("symbols", f"{outcome.symbols}", [name for name, _ in reversed(layers)])


def _ages(outcome: Outcome) -> Iterator[str]:
    top = 1.15 * max(outcome.oldest_days, outcome.max_age_days)
    allowed = _HEIGHT * (1 - outcome.max_age_days / top)
    yield (
        f'<line x1="0" y1="{allowed:.1f}" x2="{_WIDTH}" y2="{allowed:.1f}" stroke="#888" '
        'stroke-dasharray="4 4"/>'
    )
    lines: tuple[tuple[str, Callable[[Moment], float | None]], ...] = (
        ("p50", lambda one: one.p50),
        ("p95", lambda one: one.p95),
        ("oldest", lambda one: one.oldest),
    )
    for name, age in lines:
        points = _line(outcome, [age(one) or 0.0 for one in outcome.moments], top)
        yield f'<polyline points="{points}" fill="none" stroke="{_COLOURS[name]}"/>'
    yield from _frame("age of the models, days", f"{top:.1f}", [name for name, _ in lines])


def _frame(title: str, top: str, names: Sequence[str]) -> Iterator[str]:
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#444"/>'
    yield f'<text x="0" y="-8">{title}</text>'
    yield f'<text x="-6" y="12" text-anchor="end">{top}</text>'
    yield f'<text x="-6" y="{_HEIGHT}" text-anchor="end">0</text>'
    for place, name in enumerate(names):
        x = _WIDTH - 90 * (len(names) - place)
        yield f'<rect x="{x}" y="-18" width="10" height="10" fill="{_COLOURS[name]}"/>'
        yield f'<text x="{x + 15}" y="-8">{name}</text>'


def _line(outcome: Outcome, values: Sequence[float], top: float) -> str:
    last = outcome.moments[-1].at - outcome.begin
    return " ".join(
        f"{_WIDTH * ((one.at - outcome.begin) / last):.1f},{_HEIGHT * (1 - value / top):.1f}"
        for one, value in zip(outcome.moments, values, strict=True)
    )
