"""Channel recipes: a channel by name or index, or several combined into one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellbatch.preprocessing.clip import nonzero_percentile

CHANNEL = "channel"
NORM = "norm"
COMBINATIONS = ("max", "sum", "mean")
NORM_PERCENTILE = 99.9
CALL = re.compile(rf"\s*({'|'.join((*COMBINATIONS, NORM))})\s*\(", re.IGNORECASE)
PLAIN = re.compile(r"[^(),\"']+")
QUOTED = re.compile(r"\s*(\"(?:[^\"]|\"\")*\"|'(?:[^']|'')*')\s*")
LISTED_CHANNELS = 60


@dataclass(frozen=True)
class Recipe:
    """A channel, or an operation on recipes.

    Attributes
    ----------
    operation : ``channel``, ``norm``, ``max``, ``sum`` or ``mean``
    arguments : what the operation takes; empty for a channel
    channel : name or index of a channel as written; empty for an operation
    quoted : whether the channel stood in quotes, which makes it a name even if it is all digits
    """

    operation: str
    arguments: tuple[Recipe, ...] = ()
    channel: str = ""
    quoted: bool = False


def parse_recipe(text: str) -> Recipe:
    """Parse a recipe.

    ``recipe := channel | norm(channel) | max(recipe, ...) | sum(recipe, ...) | mean(recipe, ...)``. A channel is a
    name or a 0-based index; names may hold spaces, dots, hyphens and all else but parentheses, commas and quotes,
    unless they stand in single or double quotes (a quote inside is doubled). Operations may be written in any case.

    Parameters
    ----------
    text : for example ``DAPI``, ``0``, ``max(PanCK,CD45)``, ``sum(norm(CD8),norm("CD20 (L26)"))``

    Returns
    -------
    Recipe
        names as written, not looked up

    Raises
    ------
    ValueError
        naming the place that does not fit

    Examples
    --------
    >>> parse_recipe("max(PanCK, CD45)").arguments[1].channel
    'CD45'
    """
    recipe, end = _parse(text, 0)
    if text[end:].strip():
        raise ValueError(f"recipe {text!r}: {text[end:].strip()!r} is too much; put names with parentheses in quotes")
    return recipe


def resolve_recipe(text: str, channel_names: Sequence[str], channel_count: int) -> str:
    """Rewrite a recipe over channel indices.

    Parameters
    ----------
    text : recipe over names or 0-based indices; a name that fits exactly wins over an index, and the whole text is
        tried as a name first
    channel_names : names in channel order, empty where there is none
    channel_count : number of channels

    Returns
    -------
    str
        canonical text, for example ``max(1,3)``

    Raises
    ------
    ValueError
        if the recipe cannot be parsed, or a channel is absent or its name occurs twice; the message lists the
        channels and the nearest name

    Examples
    --------
    >>> resolve_recipe("sum(norm(CD8), norm(CD20))", ["DAPI", "CD8", "CD20"], 3)
    'sum(norm(1),norm(2))'
    """
    if text.strip() and text.strip() in channel_names:
        return str(_index(text.strip(), channel_names, channel_count, quoted=True))
    return _resolved(parse_recipe(text), channel_names, channel_count)


def channels_of(recipe: Recipe) -> tuple[int, ...]:
    """List the indices that a resolved recipe reads, ascending, each once.

    Raises
    ------
    ValueError
        if a channel is still a name

    Examples
    --------
    >>> channels_of(parse_recipe("max(3,norm(1),3)"))
    (1, 3)
    """
    if recipe.operation != CHANNEL:
        return tuple(sorted({index for part in recipe.arguments for index in channels_of(part)}))
    if not _is_index(recipe.channel) or recipe.quoted:
        raise ValueError(f"channel {recipe.channel!r} is a name, expected a recipe over indices (resolve_recipe)")
    return (int(recipe.channel),)


def normalised_channels(recipe: Recipe) -> tuple[int, ...]:
    """List the indices that stand inside ``norm``, ascending, each once.

    Examples
    --------
    >>> normalised_channels(parse_recipe("max(3,norm(1))"))
    (1,)
    """
    if recipe.operation == NORM:
        return channels_of(recipe)
    return tuple(sorted({index for part in recipe.arguments for index in normalised_channels(part)}))


def combine(
    recipe: Recipe | str,
    read: Callable[[int], NDArray[np.generic]],
    percentiles: Mapping[int, float] | None = None,
) -> NDArray[np.float32]:
    """Compute a recipe.

    Parameters
    ----------
    recipe : recipe over indices, parsed or as text
    read : gives the pixels (Y, X) of a channel in any real type; called once per occurrence
    percentiles : 99.9th percentile of the non-zero pixels per channel of the whole image, for ``norm`` on a part of
        it; where absent it is taken from the pixels that ``read`` gives

    Returns
    -------
    ndarray of float32, shape (Y, X)
        a single channel keeps its values. ``norm`` divides by the percentile and clips to 0 ... 1; a channel without
        positive percentile becomes zeros. ``max``, ``sum`` and ``mean`` work per pixel in float32, in the order
        written; NaN stays NaN.

    Raises
    ------
    ValueError
        if the recipe holds names or cannot be parsed

    References
    ----------
    Percentile as in ``cellbatch.preprocessing.clip``.
    """
    if isinstance(recipe, str):
        recipe = parse_recipe(recipe)
    if recipe.operation == CHANNEL:
        return np.asarray(read(channels_of(recipe)[0])).astype(np.float32)
    if recipe.operation == NORM:
        (index,) = channels_of(recipe)
        return _normalised(combine(recipe.arguments[0], read), (percentiles or {}).get(index))
    result = combine(recipe.arguments[0], read, percentiles)
    for part in recipe.arguments[1:]:
        values = combine(part, read, percentiles)
        if recipe.operation == "max":
            np.maximum(result, values, out=result)
        else:
            np.add(result, values, out=result)
    if recipe.operation == "mean":
        result /= np.float32(len(recipe.arguments))
    return result


def _normalised(values: NDArray[np.float32], percentile: float | None) -> NDArray[np.float32]:
    """Values over their percentile, within 0 ... 1."""
    top = nonzero_percentile(values, NORM_PERCENTILE) if percentile is None else np.float32(percentile)
    if top is None or not top > 0:
        return np.zeros_like(values)
    result: NDArray[np.float32] = np.clip(values / top, np.float32(0), np.float32(1))
    return result


def _parse(text: str, start: int) -> tuple[Recipe, int]:
    """Recipe that begins at ``start``, and the place behind it."""
    call = CALL.match(text, start)
    if call:
        return _parse_call(text, call.group(1).lower(), call.end())
    quoted = QUOTED.match(text, start)
    if quoted:
        mark = quoted.group(1)[0]
        return Recipe(CHANNEL, channel=quoted.group(1)[1:-1].replace(mark * 2, mark), quoted=True), quoted.end()
    plain = PLAIN.match(text, start)
    if plain is None or not plain.group().strip():
        rest = text[start:].strip()
        raise ValueError(f"recipe {text!r}: expected a channel" + (f" before {rest!r}" if rest else " at its end"))
    if text[plain.end() : plain.end() + 1] == "(":
        raise ValueError(
            f"recipe {text!r}: {plain.group().strip()!r} is no operation; expected max, sum, mean or norm "
            "(put names with parentheses in quotes)"
        )
    return Recipe(CHANNEL, channel=plain.group().strip()), plain.end()


def _parse_call(text: str, operation: str, start: int) -> tuple[Recipe, int]:
    """Arguments of an operation up to its closing parenthesis."""
    arguments = []
    place = start
    while True:
        argument, place = _parse(text, place)
        arguments.append(argument)
        mark = text[place : place + 1]
        place += 1
        if mark == ")":
            break
        if mark != ",":
            found = f"found {text[place - 1 :].strip()!r}" if mark else "found its end"
            raise ValueError(f"recipe {text!r}: expected ',' or ')' after {operation}(..., {found}")
    if operation == NORM and (len(arguments) != 1 or arguments[0].operation != CHANNEL):
        raise ValueError(f"recipe {text!r}: norm takes one channel")
    end = place + len(text[place:]) - len(text[place:].lstrip())
    return Recipe(operation, tuple(arguments)), end


def _resolved(recipe: Recipe, names: Sequence[str], count: int) -> str:
    """Canonical text over indices."""
    if recipe.operation == CHANNEL:
        return str(_index(recipe.channel, names, count, quoted=recipe.quoted))
    return f"{recipe.operation}({','.join(_resolved(part, names, count) for part in recipe.arguments)})"


def _index(channel: str, names: Sequence[str], count: int, *, quoted: bool) -> int:
    """Index of a channel by exact name, else by digits."""
    found = [index for index, name in enumerate(names) if name == channel]
    if len(found) > 1:
        raise ValueError(f"channel {channel!r} occurs {len(found)} times (indices {found}); name it by its index")
    if found:
        return found[0]
    if _is_index(channel) and not quoted:
        if int(channel) < count:
            return int(channel)
        raise ValueError(f"no channel {channel}; the image has {count}: {_listed(names, count)}")
    folded = {name.casefold(): name for name in names if name}
    near = difflib.get_close_matches(channel.casefold(), folded, 1, 0.6)
    part = [name for name in names if channel and channel.casefold() in name.casefold()]
    hint = folded[near[0]] if near else part[0] if part else ""
    question = f"did you mean {hint!r}? " if hint else ""
    raise ValueError(f"no channel {channel!r}; {question}channels are {_listed(names, count)}")


def _is_index(text: str) -> bool:
    """Whether a text is a 0-based index."""
    return text.isascii() and text.isdigit()


def _listed(names: Sequence[str], count: int) -> str:
    """Channels with their indices, for messages."""
    named = [names[index] if index < len(names) else "" for index in range(count)]
    shown = [f"{index} {name!r}" if name else str(index) for index, name in enumerate(named)]
    more = f", ... ({count} in all)" if count > LISTED_CHANNELS else ""
    return ", ".join(shown[:LISTED_CHANNELS]) + more
