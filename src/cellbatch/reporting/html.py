"""Pieces of the report that are plain HTML: facts, and thumbnails that enlarge on a click."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

BADGES = {"pass": "bg-success", "warn": "bg-warning text-dark", "fail": "bg-danger"}

_STYLE = """<style>
#mqc_welcome, #page_title .multiqc-logo-wrapper { display: none !important; }
.cellbatch-gallery { display: flex; flex-wrap: wrap; gap: 14px; align-items: flex-end; }
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
    boxes = (f"<div><strong>{escape(value)}</strong>{escape(name)}</div>" for name, value in tiles.items())
    return f'{_STYLE}<div class="cellbatch-tiles">{"".join(boxes)}</div>'


def render_facts(facts: Mapping[str, Any]) -> str:
    """Render names and values as a table; nested mappings become a row per entry, lists are joined by commas."""
    rows = (f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _flatten(facts))
    return f'<table class="table table-sm cellbatch-facts"><tbody>{"".join(rows)}</tbody></table>'


def render_gallery(cards: Iterable[tuple[str, str, str, bytes, str]]) -> str:
    """Render thumbnails with captions.

    Parameters
    ----------
    cards : (sample, verdict, caption, JPEG, address of the full overlay relative to the report or empty) each

    Returns
    -------
    str
        Self-contained HTML: images are inlined, a click enlarges them.
    """
    return f'<div class="cellbatch-gallery">{"".join(_render_card(*card) for card in cards)}</div>{_SCRIPT}'


def render_legend(colours: Mapping[str, tuple[int, int, int]]) -> str:
    """Render a line that says what each colour stands for."""
    swatch = '<span class="cellbatch-swatch" style="background: rgb{}"></span>{}'
    return "<p>" + "".join(swatch.format(rgb, escape(name)) for name, rgb in colours.items()) + "</p>"


def _render_card(sample: str, verdict: str, caption: str, jpeg: bytes, address: str) -> str:
    """Render one thumbnail."""
    source = base64.b64encode(jpeg).decode("ascii")
    name = escape(sample)
    title = f'<a href="{escape(address)}" target="_blank">{name}</a>' if address else name
    overlay = f' data-overlay="{escape(address)}"' if address else ""
    return (
        f'<figure><button type="button" aria-label="enlarge {name}"{overlay} onclick="cellbatchEnlarge(this)">'
        f'<img src="data:image/jpeg;base64,{source}" alt="outlines over {name}"></button>'
        f'<figcaption>{title} <span class="badge {BADGES.get(verdict, "bg-secondary")}">{escape(verdict)}</span>'
        f"<br>{escape(caption)}</figcaption></figure>"
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
