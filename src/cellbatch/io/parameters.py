"""Parameters of a run against ``nextflow_schema.json``: conversion, ranges, and names that are misspelt."""

from __future__ import annotations

import csv
import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from cellbatch.errors import ConfigError

INTEGER = re.compile(r"[+-]?\d+")


def read_parameters(schema_path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check a set of parameters and fill in the defaults.

    Numbers and flags that arrive as text are converted where the schema asks for numbers and flags; ``None`` and
    empty text count as not given.

    Parameters
    ----------
    schema_path : schema in the style of nf-core (groups under ``$defs`` that ``allOf`` refers to)
    values : parameters as given

    Returns
    -------
    dict
        every parameter of the schema: the value given, else its default, else ``None``

    Raises
    ------
    ConfigError
        with every fault: parameter, value, what is allowed, and for an unknown name the nearest known one
    """
    properties, required = _properties(json.loads(Path(schema_path).read_text(encoding="utf-8")))
    faults = []
    result = {name: schema.get("default") for name, schema in properties.items()}
    for name, value in values.items():
        schema = properties.get(name)
        if schema is None:
            faults.append(_unknown(name, properties))
            continue
        if value is None or value == "":
            continue
        result[name] = _converted(value, schema)
        error = next(Draft202012Validator(schema).iter_errors(result[name]), None)
        if error is not None:
            faults.append(f"--{name}: found {value!r}, expected {_allowed(schema)}")
    for name in required:
        if result.get(name) in (None, "") and name in properties:
            faults.append(f"--{name}: is missing; expected {_allowed(properties[name])}")
    if faults:
        raise ConfigError("wrong parameters:\n" + "\n".join(f"  {fault}" for fault in faults))
    return result


def split_list(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; a part with a comma stands in double quotes, as in CSV.

    Examples
    --------
    >>> split_list('DAPI, "CD3, clone 2", 4')
    ('DAPI', 'CD3, clone 2', '4')
    """
    row: list[str] = next(csv.reader([text], skipinitialspace=True), [])
    return tuple(part.strip() for part in row if part.strip())


def _properties(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """All parameters of the schema and the names of the required ones."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for group in _groups(schema):
        properties |= group.get("properties", {})
        required += group.get("required", [])
    return properties, required


def _groups(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Give the schema itself and the groups it refers to."""
    yield schema
    for entry in schema.get("allOf", []):
        reference = str(entry.get("$ref", ""))
        target: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        yield target


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Types that a parameter may have."""
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _converted(value: Any, schema: Mapping[str, Any]) -> Any:
    """Turn the value into a type that the schema asks for, where the text or number says the same."""
    types = _types(schema)
    if isinstance(value, str):
        text = value.strip()
        if "boolean" in types and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if "integer" in types and INTEGER.fullmatch(text):
            return int(text)
        if "number" in types:
            try:
                number = float(text)
            except ValueError:
                return value
            # JSON Schema lets NaN pass every range; as text it fails the type.
            return number if math.isfinite(number) else value
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, float) and value.is_integer() and "integer" in types and "number" not in types:
        return int(value)
    if isinstance(value, int | float) and "string" in types and not {"integer", "number"} & set(types):
        return str(value)
    return value


def _unknown(name: str, properties: Mapping[str, Any]) -> str:
    """Message for a name that the schema does not have."""
    folded = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    near = difflib.get_close_matches(folded, properties, 1, 0.6)
    hint = f"did you mean --{near[0]}?" if near else "see the list of parameters in the documentation"
    return f"--{name}: is no parameter; {hint}"


def _allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what a parameter may be."""
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "errorMessage" in schema:
        return str(schema["errorMessage"])
    words = [" or ".join(_types(schema)) or "a value"]
    phrases = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "pattern": "matching {}",
        "minLength": "of at least {} characters",
        "multipleOf": "a multiple of {}",
    }
    words += [phrase.format(schema[key]) for key, phrase in phrases.items() if key in schema]
    return ", ".join(words)
