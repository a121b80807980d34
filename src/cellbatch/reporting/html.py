"""Pieces of the report that are plain HTML: facts, and thumbnails that enlarge on a click."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

CROPS = ("dense", "sparse", "worst")
BADGES = {"pass": "bg-success", "warn": "bg-warning text-dark", "fail": "bg-danger"}

_STYLE = """<style>
#mqc_welcome, #page_title .multiqc-logo-wrapper, .mqc-toolbox-buttons { display: none !important; }
.mqc-table-to-violin, .mqc-violin-to-table, .mqc_table_make_scatter { display: none !important; }
.cellbatch-gallery { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-start; }
.cellbatch-gallery figure { margin: 0; width: 208px; }
.cellbatch-gallery button { border: 0; padding: 0; background: none; cursor: zoom-in; display: block; }
.cellbatch-gallery img { width: 208px; height: 208px; object-fit: contain; border-radius: 4px; background: #000; }
.cellbatch-gallery button.enlarged { position: fixed; inset: 0; width: 100vw; height: 100vh; z-index: 2000;
  background: rgba(0, 0, 0, .85); cursor: zoom-out; }
.cellbatch-gallery button.enlarged img { width: 96vw; height: 96vh; margin: auto; background: none; }
.cellbatch-gallery figcaption { font-size: .85em; line-height: 1.35; margin-top: 4px; overflow-wrap: anywhere; }
.cellbatch-swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .9em;
  border: 1px solid #8888; }
.cellbatch-tiles { display: flex; flex-wrap: wrap; gap: 12px; margin-bottom: 12px; }
.cellbatch-tiles div { border: 1px solid #8886; border-radius: 6px; padding: 8px 16px; }
.cellbatch-tiles strong { display: block; font-size: 1.5em; font-weight: 600; }
.cellbatch-tiles .cellbatch-pass strong { color: #198754; }
.cellbatch-tiles .cellbatch-warn strong { color: #b26a00; }
.cellbatch-tiles .cellbatch-fail strong, .cellbatch-tiles .cellbatch-not-segmented strong { color: #dc3545; }
.cellbatch-tiles .cellbatch-none strong { color: inherit; opacity: .5; }
.cellbatch-rows { width: auto; max-width: 100%; }
.cellbatch-rows th, .cellbatch-rows td { padding-right: 2em; text-align: right; }
.cellbatch-rows th:first-child, .cellbatch-rows td:first-child { text-align: left; }
.cellbatch-facts pre { margin: 0; white-space: pre-wrap; }
.cellbatch-facts p { margin: 0 0 .3em; }
.cellbatch-facts { width: auto; max-width: 100%; }
.cellbatch-facts th { white-space: nowrap; padding-right: 2em; font-weight: 600; vertical-align: top; }
.cellbatch-facts td { overflow-wrap: anywhere; }
</style>"""

# The page carries thumbnails only; where the results folder is whole, an enlarged one is replaced by the full overlay.
_SCRIPT = """<script>
function cellbatchEnlarge(button) {
  button.classList.toggle("enlarged");
  const picture = button.firstElementChild, address = button.dataset.overlay;
  if (!address) return;
  delete button.dataset.overlay;
  const full = new Image();
  full.onload = () => { picture.src = full.src; };
  full.src = address;
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll(".cellbatch-gallery .enlarged").forEach((button) => button.classList.remove("enlarged"));
});
</script>"""


def render_tiles(tiles: Mapping[str, str]) -> str:
    """Render large figures with a word below each, and the style sheet of all pieces here."""
    boxes = (
        f'<div class="cellbatch-{escape(name.replace(" ", "-"))}{"" if value != "0" else " cellbatch-none"}">'
        f"<strong>{escape(value)}</strong>{escape(name)}</div>"
        for name, value in tiles.items()
    )
    return f'{_STYLE}<div class="cellbatch-tiles">{"".join(boxes)}</div>'


def render_facts(facts: Mapping[str, Any]) -> str:
    """Render names and values as a table; nested mappings become a row per entry, lists are joined by commas."""
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _flatten(facts))
    return f'<table class="table table-sm cellbatch-facts"><tbody>{"".join(rows)}</tbody></table>'


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render rows of text below a head; all columns but the first are set to the right."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table class="table table-sm cellbatch-rows"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


@dataclass(frozen=True)
class Card:
    """One thumbnail with its caption.

    Attributes
    ----------
    sample, verdict, caption : text
    jpeg : the thumbnail
    overlay : address of the full overlay, relative to the report, or empty
    crops : how many crops lie beside the overlay
    reduction : px of the image per px of the overlay
    """

    sample: str
    verdict: str
    caption: str
    jpeg: bytes
    overlay: str = ""
    crops: int = 0
    reduction: int = 1


def render_gallery(cards: Iterable[Card]) -> str:
    """Render thumbnails with captions: self-contained HTML, images are inlined, a click enlarges them."""
    return f'<div class="cellbatch-gallery">{"".join(_render_card(card) for card in cards)}</div>{_SCRIPT}'


def render_legend(colours: Mapping[str, tuple[int, int, int]]) -> str:
    """Render a line that says what each colour stands for."""
    swatch = '<span class="cellbatch-swatch" style="background: rgb{}"></span>{}'
    return "<p>" + "".join(swatch.format(rgb, escape(name)) for name, rgb in colours.items()) + "</p>"


def _render_card(card: Card) -> str:
    """Render one thumbnail."""
    source = base64.b64encode(card.jpeg).decode("ascii")
    badge = f'<span class="badge {BADGES.get(card.verdict, "bg-secondary")}">{escape(card.verdict)}</span>'
    name, address = escape(card.sample), escape(quote(card.overlay))
    title = f'<a href="{address}" target="_blank">{name}</a>' if address else name
    overlay = f' data-overlay="{address}"' if address else ""
    notes = [escape(card.caption)] if card.caption else []
    if card.crops and address:
        links = (
            f'<a href="{address.replace(".overlay.png", f".crop{place}.png")}" target="_blank">{word}</a>'
            for place, word in enumerate(CROPS[: card.crops], 1)
        )
        notes.append(f"crops: {', '.join(links)}")
    if card.reduction > 1:
        notes.append(f"overlay reduced 1:{card.reduction}")
    return (
        f'<figure><button type="button" aria-label="enlarge {name}"{overlay} onclick="cellbatchEnlarge(this)">'
        f'<img src="data:image/jpeg;base64,{source}" alt="outlines over {name}"></button>'
        f"<figcaption>{title} {badge}<br>{'<br>'.join(notes)}</figcaption></figure>"
    )


def _flatten(facts: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Name and text of every value, at any depth."""
    for name, value in facts.items():
        label = f"{prefix} · {name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from _flatten(value, label)
        else:
            yield label, _as_text(value)


def _as_text(value: Any) -> str:
    """Write a value as a reader wants it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_as_text(item) for item in value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return str(value)
