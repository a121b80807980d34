"""Mutations that know the structure of what they change: TIFF tags, zip entries, JSON values, words of a text."""

import io
import json
import random
import re
import struct
import zipfile
from typing import Any

INTEGERS = (0, 1, 2, 3, 7, 8, 16, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2**31, 2**63, 1e308, -0.5, "", "0", "../..", "/etc/passwd", "x" * 5000, [], {}, [[]],
    [None], {"a": 1}, [1, 2, 3, 4, 5, 6], "µ\u2028\x00", float("nan"), float("inf"), "uint16", "<u8", "complex64",
)  # fmt: skip
WORDS = (
    b"", b"-1", b"0", b"nan", b"1e999", b"99999999999999999999", b'"', b"'", b"(", b")", b",", b"\n", b"\r", b"\x00",
    b"{", b"}", b"..", b"/", b"\xff\xfe", b"\xc3", b"norm(", b"max(", b"((((((((", b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&b;", b"<Image>", b"CZYX", b"\xe2\x80\xa8", b"$(id)", b"none",
)  # fmt: skip


def mutate(data: bytes, kind: str, rng: random.Random) -> bytes:
    """One mutant: one to four changes, most of them in the structure."""
    changes = {
        "tiff": [_tag, _tag, _text, _bytes],
        "array": [_text, _bytes],
        "picture": [_bytes],
        "zip": [_entry, _bytes],
    }
    changes |= {
        "zarr": [_entry, _entry, _entry, _bytes],
        "manifest": [_json, _json, _text],
        "parameters": [_json, _json, _text],
    }
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        data = rng.choice(changes.get(kind, [_text, _text, _bytes]))(data, rng)
    return data


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, set, cut, repeat or drop bytes anywhere."""
    if not data:
        return rng.choice(WORDS)
    changed, at = bytearray(data), rng.randrange(len(data))
    match rng.randrange(6):
        case 0:
            changed[at] ^= 1 << rng.randrange(8)
        case 1:
            changed[at] = rng.choice((0, 1, 127, 128, 255))
        case 2:
            del changed[at:]
        case 3:
            del changed[at : at + rng.randrange(1, 40)]
        case 4:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)]
        case _:
            width = rng.choice("HIQ")
            value = rng.choice(INTEGERS) % 2 ** (8 * struct.calcsize(width))
            changed[at : at + struct.calcsize(width)] = struct.pack(rng.choice("<>") + width, value)
    return bytes(changed)


def _text(data: bytes, rng: random.Random) -> bytes:
    """Replace, insert or swap words and numbers of a text, or of the texts in a file."""
    places = [match.span() for match in re.finditer(rb"[A-Za-z_]{2,}|-?\d+(?:\.\d+)?|[<>\"'(),={}\[\]:]", data)]
    if not places:
        return data + rng.choice(WORDS)
    start, end = rng.choice(places)
    other = rng.choice(places)
    word = rng.choice((rng.choice(WORDS), str(rng.choice(INTEGERS)).encode(), data[slice(*other)], data[start:end] * 2))
    return data[:start] + word + data[end if rng.random() < 0.8 else start :]


def _tag(data: bytes, rng: random.Random) -> bytes:
    """Change number, type, count or value of an entry of a TIFF page directory, or a link between pages."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16 or struct.unpack(order + "H", data[2:4])[0] != 42:
        return _bytes(data, rng)
    offset, pages = struct.unpack(order + "I", data[4:8])[0], []
    while offset and offset + 2 <= len(data) and offset not in pages and len(pages) < 50:
        pages.append(offset)
        link = offset + 2 + 12 * struct.unpack(order + "H", data[offset : offset + 2])[0]
        offset = struct.unpack(order + "I", data[link : link + 4])[0] if link + 4 <= len(data) else 0
    if not pages:
        return _bytes(data, rng)
    page = rng.choice(pages)
    entries = struct.unpack(order + "H", data[page : page + 2])[0]
    entry = page + 2 + 12 * rng.randrange(entries + 1)
    where, width = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")))
    small = rng.choice((*INTEGERS, *range(12), rng.randrange(254, 350), len(data), len(data) // 2, rng.choice(pages)))
    value = struct.pack(order + width, small % 2 ** (8 * struct.calcsize(width)))
    at = entry + where
    return data[:at] + value + data[at + len(value) :]


def _entry(data: bytes, rng: random.Random) -> bytes:
    """Change, drop, rename or repeat a file of an archive; JSON by its values."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except Exception:  # a mutant of a mutant may be no archive any more
        return _bytes(data, rng)
    if not files:
        return _bytes(data, rng)
    at = rng.randrange(len(files))
    name, content = files[at]
    texts = [index for index, (each, _) in enumerate(files) if each.endswith(("json", ".zattrs", ".zarray", ".zgroup"))]
    match rng.randrange(8):
        case 0:
            files.pop(at)
        case 1:
            files[at] = (
                rng.choice(("../out.tif", "/abs.tif", "a\\b.tif", "x" * 300 + ".tif", name + "/b.npy", "zarr.json")),
                content,
            )
        case 2:
            files[at] = (name, _bytes(content, rng))
        case _ if texts:
            at = rng.choice(texts)
            files[at] = (files[at][0], rng.choice((_json, _json, _text))(files[at][1], rng))
        case _:
            files[at] = (name, _text(content, rng))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, text in files:
            archive.writestr(zipfile.ZipInfo(each), text)
    return stream.getvalue()


def _json(data: bytes, rng: random.Random) -> bytes:
    """Replace, drop or rename a value anywhere in a JSON document."""
    try:
        document = json.loads(data)
    except ValueError:
        return _bytes(data, rng)
    holders: list[Any] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict | list) and node:
            holders.append(node)
            for child in node.values() if isinstance(node, dict) else node:
                walk(child)

    walk(document)
    if not holders:
        return json.dumps(rng.choice(VALUES)).encode()
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match rng.randrange(5):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[str(rng.choice(VALUES))[:40]] = holder.pop(key)
        case _:
            holder[key] = rng.choice(VALUES)
    return json.dumps(document).encode()
