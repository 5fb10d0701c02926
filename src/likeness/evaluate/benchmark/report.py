"""The benchmark as a page and a table: failures first, then numbers with intervals, then what was not measured."""

from __future__ import annotations

import base64
import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np

from likeness.evaluate.benchmark.chart import COLOURS, dots
from likeness.evaluate.benchmark.items import METRICS, SLICES, Item, ItemSet, Method
from likeness.evaluate.benchmark.measure import ASKED, BASE, COVER, Estimate, Row, Run, worst
from likeness.export.textures import to_jpeg

Pictures = Callable[[ItemSet, Method, Item], Sequence[tuple[str, np.ndarray]]]
"""What to show of an item and a method's answer: captions and pictures (h, w, 3) uint8 sRGB of one height."""
TILE, QUALITY = 132, 78
"""Height of the pictures in pixels, and their JPEG quality."""
FAILURES, MEDIANS = 6, 3
"""Pictures shown of each set: the worst, and the middle ones to compare them with."""
TABLE, SUMMARY, PAGE = "scores.csv", "table.md", "index.html"
"""Files of a report."""
SHAPES = ("shape", "ratio", "distinct", "metrical")
"""Metrics that a mesh which ends early can flatter."""
BRACKETS = "Brackets hold 95 % of the bootstrap; people are drawn, not pictures."


@dataclass(frozen=True)
class Heading:
    """What the page says about itself.

    Attributes:
        title: As the page's name.
        facts: Name -> value: date, split, version, weights.
        notes: Sentences on how it was measured and whose the data is.
    """

    title: str
    facts: Mapping[str, str]
    notes: Sequence[str]


def write(result: Run, heading: Heading, folder: Path, pictures: Pictures) -> None:
    """Write `scores.csv`, `table.md` and `index.html` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(result.rows, folder / TABLE)
    facts = ", ".join(f"{name} {value}" for name, value in heading.facts.items())
    (folder / SUMMARY).write_text(f"{heading.title}: {facts}. {BRACKETS}\n\n{markdown(result)}", encoding="utf-8")
    (folder / PAGE).write_text(page(result, heading, pictures), encoding="utf-8")


def write_table(rows: Sequence[Row], path: Path) -> None:
    """A line per set, slice and method: counts, then each metric with the ends of its interval; empty where unmeasured."""
    metrics = [metric for metric in METRICS if any(metric in row.numbers for row in rows)]
    columns = [f"{metric}{end}" for metric in metrics for end in ("", "_low", "_high")]
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["set", "kind", "slice", "method", "pictures", "failed", *columns])
        for row in rows:
            numbers = [row.numbers.get(metric, Estimate(math.nan)) for metric in metrics]
            cells = [cell for number in numbers for cell in (number.value, number.low, number.high)]
            counts = [row.set, row.kind, row.slice, row.method, row.items, row.failed]
            lines.writerow(counts + [f"{cell:.6g}" if math.isfinite(cell) else "" for cell in cells])


def markdown(result: Run) -> str:
    """The whole sets as a table for a README: a line a method, a block a set."""
    blocks = []
    for chosen, title, found in tables(result):
        metrics = [metric for metric in chosen.metrics if any(metric in row.numbers for row in found)]
        titles = [f"{METRICS[m].title}{' ' + METRICS[m].unit if METRICS[m].unit else ''}" for m in metrics]
        lines = [f"| {title} | {' | '.join(titles)} | no answer |"]
        lines.append("|---" * (len(metrics) + 2) + "|")
        for row in found:
            cells = [_plain(row.numbers.get(metric), metric) + starred(row, metric) for metric in metrics]
            lines.append(f"| {row.method} | {' | '.join(cells)} | {row.failed} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def tables(result: Run) -> Iterator[tuple[ItemSet, str, list[Row]]]:
    """Set, title and rows of each table: the whole set, without methods that were asked about some of it; then for each of
    these the pictures that it was asked about, with all methods on them alone."""
    for chosen in result.sets:
        mine = [row for row in result.rows if row.set == chosen.name]
        some = [row.slice for row in mine if row.kind == ASKED and row.slice == row.method]
        whole = [row for row in mine if row.kind == "all" and row.method not in some]
        yield chosen, f"{chosen.title}, {len(chosen.items)} pictures", whole
        for method in some:
            rows = [row for row in mine if row.kind == ASKED and row.slice == method]
            count = max(row.items for row in rows)
            yield chosen, f"{chosen.title}, the {count} pictures that {method} was asked about", rows


def _plain(number: Estimate | None, metric: str) -> str:
    if number is None:
        return "-"
    digits, text = METRICS[metric].digits, ""
    if math.isfinite(number.low) and number.high > number.low:
        text = f" ({number.low:.{digits}f} to {number.high:.{digits}f})"
    return f"{number.value:.{digits}f}{text}"


def page(result: Run, heading: Heading, pictures: Pictures) -> str:
    """The whole page as one file that needs no other."""
    names = [method.name for method in result.methods]
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in heading.facts.items())
    colours = "".join(
        f'<span><i style="background:{COLOURS[k % len(COLOURS)]}"></i>{escape(name)}</span>'
        for k, name in enumerate(names)
    )
    parts = [
        f"<header><h1>{escape(heading.title)}</h1><dl>{facts}</dl></header>",
        "<section><h2>Failures first</h2>", _failures(result, pictures), "</section>",
        f"<section><h2>Numbers</h2><p>{BRACKETS}</p>",
        *(_table(chosen, title, rows, result) for chosen, title, rows in tables(result)), "</section>",
        f'<section><h2>Slices</h2><p class="key">{colours}</p>',
        *(_slices(chosen, result, names) for chosen in result.sets), "</section>",
        "<section><h2>Not measured</h2><ul>", *(f"<li>{escape(line)}</li>" for line in result.missing), "</ul></section>",
        "<section><h2>How it was measured</h2>", _explained(result, heading), "</section>",
    ]  # fmt: skip
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(heading.title)}</title>'
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{"".join(parts)}</body></html>\n'


def _failures(result: Run, pictures: Pictures) -> str:
    """The worst pictures of every set for the methods that are looked at closely."""
    blocks = []
    for chosen in result.sets:
        for method in (method for method in result.methods if method.ours):
            scores = result.scores.get((chosen.name, method.name))
            if scores is None:
                continue
            base = result.scores.get((chosen.name, BASE))
            ranked = worst(chosen, scores, base, len(chosen.items))
            failed = len(scores.failures)
            title = f"{chosen.title}: {failed} of {len(chosen.items)} pictures without an answer"
            blocks.append(f"<h3>{escape(title)} <small>{escape(method.name)}</small></h3>")
            silent = min(failed, FAILURES // 2)  # the rest of the room is for answers that are wrong
            first = [*ranked[:silent], *ranked[failed : failed + FAILURES - silent]]
            if not chosen.shown:
                words = "; ".join(f"{name}: {why}" for name, why in first)
                blocks.append(f'<p class="words">Pictures of this set may not be shown. Worst: {escape(words)}.</p>')
                continue
            blocks.append(_strip(chosen, method, first, pictures))
            answered = ranked[failed:]
            middle = len(answered) // 2 - MEDIANS // 2
            usual = answered[max(0, middle) : middle + MEDIANS] if len(answered) > FAILURES + MEDIANS else []
            if usual:
                blocks.append("<h4>and the middle of the same ranking</h4>" + _strip(chosen, method, usual, pictures))
    return "".join(blocks)


def _strip(chosen: ItemSet, method: Method, ranked: Sequence[tuple[str, str]], pictures: Pictures) -> str:
    items = {item.name: item for item in chosen.items}
    cards = []
    for name, why in ranked:
        tiles = pictures(chosen, method, items[name])
        images = "".join(
            f"<figure>{_image(image)}<figcaption>{escape(text)}</figcaption></figure>" for text, image in tiles
        )
        tags = ", ".join(f"{kind} {value}" for kind, value in items[name].slices.items())
        said = f"<b>{escape(why)}</b><br><small>{escape(name)}: {escape(tags)}</small>"
        cards.append(f'<article><div class="tiles">{images}</div><p>{said}</p></article>')
    return f'<div class="cards">{"".join(cards)}</div>'


def _image(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    if height != TILE:
        width = max(1, round(width * TILE / height))
        image = cv2.resize(image, (width, TILE), interpolation=cv2.INTER_AREA if height > TILE else cv2.INTER_CUBIC)
    data = base64.b64encode(to_jpeg(image, QUALITY)).decode()
    return f'<img width="{width}" height="{TILE}" alt="" src="data:image/jpeg;base64,{data}">'


def _table(chosen: ItemSet, title: str, found: Sequence[Row], result: Run) -> str:
    metrics = [metric for metric in chosen.metrics if any(metric in row.numbers for row in found)]
    heads = "".join(f"<th>{escape(METRICS[m].title)}<small>{escape(METRICS[m].unit)}</small></th>" for m in metrics)
    ours = {method.name for method in result.methods if method.ours}
    lines = []
    for row in found:
        cells = "".join(_cell(row.numbers.get(metric), metric, starred(row, metric)) for metric in metrics)
        mark = ' class="ours"' if row.method in ours else ""
        lines.append(f"<tr{mark}><th>{escape(row.method)}</th>{cells}<td>{row.failed}</td></tr>")
    people = len({item.person for item in chosen.items})
    note = (
        f"{len(chosen.items)} pictures of {people} people. {chosen.about}"
        if ASKED not in {row.kind for row in found}
        else ""
    )
    table = f'<div class="wide"><table><tr><th>method</th>{heads}<th>no answer</th></tr>{"".join(lines)}</table></div>'
    return f"<h3>{escape(title)}</h3><p>{escape(note)}</p>{table}"


def starred(row: Row, metric: str) -> str:
    """A star behind the shape of a method whose meshes reach too little of the true surface to be compared."""
    cover = row.numbers.get("cover")
    short = cover is not None and cover.value < COVER
    return "*" if short and metric in SHAPES and metric in row.numbers else ""


def _cell(number: Estimate | None, metric: str, star: str) -> str:
    if number is None:
        return "<td>&ndash;</td>"
    digits = METRICS[metric].digits
    interval = ""
    if math.isfinite(number.low) and number.high > number.low:
        interval = f"<small>{number.low:.{digits}f} &ndash; {number.high:.{digits}f}</small>"
    return f"<td>{number.value:.{digits}f}{star}{interval}</td>"


def _slices(chosen: ItemSet, result: Run, names: Sequence[str]) -> str:
    rows = [row for row in result.rows if row.set == chosen.name]
    some = {row.slice for row in rows if row.kind == ASKED}  # asked about other pictures than the rest
    rows = [row for row in rows if row.method not in some]
    metrics = [metric for metric in ("ratio", "points", "points68", "dense", "box") if metric in chosen.metrics]
    charts = [dots(rows, metric, names, kind) for kind in SLICES for metric in metrics]
    return f'<h3>{escape(chosen.title)}</h3><div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _explained(result: Run, heading: Heading) -> str:
    used = [metric for metric in METRICS if any(metric in row.numbers for row in result.rows)]
    terms = [(method.name, method.about) for method in result.methods]
    terms += [(METRICS[metric].title, METRICS[metric].meaning) for metric in used]
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in terms)
    return f'<dl class="terms">{listed}</dl>' + "".join(f"<p>{escape(note)}</p>" for note in heading.notes)


STYLE = """
:root{--ink:#1c1f24;--soft:#666c76;--line:#e2e4e8;--paper:#fff;--card:#f6f7f9;--ours:#eaf1fd}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ec;--soft:#9aa1ac;--line:#33373e;--paper:#16181c;--card:#1e2126;--ours:#1d2a42}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:2rem 1.25rem 4rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.9rem;margin:0 0 .6rem;letter-spacing:-.01em}
h2{font-size:1.35rem;margin:2.6rem 0 .4rem;padding-top:1rem;border-top:2px solid var(--ink)}
h3{font-size:1.02rem;margin:1.6rem 0 .4rem}h4{font-size:.85rem;font-weight:500;color:var(--soft);margin:.8rem 0 .3rem}
small{color:var(--soft);font-weight:400}p{max-width:78ch;margin:.3rem 0 .7rem}
dl{display:flex;flex-wrap:wrap;gap:.3rem 1.8rem;margin:0}
dt{color:var(--soft);font-size:.78rem}dd{margin:0;font-variant-numeric:tabular-nums}
dl.terms{display:grid;grid-template-columns:1fr;gap:.35rem}
dl.terms div{display:grid;grid-template-columns:13rem 1fr;gap:1rem}dl.terms dt{font-size:.9rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(560px,1fr));gap:.7rem}
article{background:var(--card);border-radius:8px;padding:.5rem .6rem .3rem;overflow:hidden}
article p{margin:.15rem 0;font-size:.86rem;line-height:1.35}
.tiles{display:flex;gap:3px}
.tiles figure{margin:0;min-width:0;flex:0 0 calc(20% - 2.4px)}.tiles img{width:100%;height:auto;display:block;border-radius:3px}
.tiles figcaption{font-size:.7rem;color:var(--soft);text-align:center}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.4rem 0 1rem}
th,td{padding:.32rem .9rem .32rem 0;text-align:right;border-bottom:1px solid var(--line);vertical-align:top;font-size:.92rem}
th:first-child{text-align:left;padding-left:.5rem}
tr:first-child th{font-weight:500;color:var(--soft);font-size:.8rem;border-bottom-width:2px}
tr th{font-weight:500}tr.ours{background:var(--ours)}tr.ours th{font-weight:650}td small,th small{display:block;font-size:.72rem}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(430px,1fr));gap:1rem 2rem}.charts figure{margin:0}
figcaption{font-size:.85rem}svg{width:100%;height:auto;max-width:640px}
svg .s{font-size:12px;fill:var(--ink)}svg .n{font-size:9.5px;fill:var(--soft)}
svg .g{stroke:var(--line)}.key span{display:inline-flex;align-items:center;gap:.35rem;margin-right:1.1rem;font-size:.86rem}
.key i{width:10px;height:10px;border-radius:50%}.words{font-size:.88rem;color:var(--soft)}li{max-width:88ch;margin:.2rem 0}
@media(max-width:640px){.cards,.charts{grid-template-columns:1fr}dl.terms div{grid-template-columns:1fr;gap:0}}
"""
