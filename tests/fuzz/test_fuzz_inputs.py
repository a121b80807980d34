"""A short run of the fuzzer with a fixed seed; ``python -m tests.fuzz`` is the long one."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import make_mutant
from tests.fuzz.seeds import KINDS, seeds_of
from tests.fuzz.targets import TARGETS, SilentlyWrong, check, clear

SEED = 20
MUTANTS = {"tiff": 250, "zarr": 60}


@pytest.mark.parametrize("kind", KINDS)
def test_mutants_give_a_result_or_an_error_for_the_user(kind: str, tmp_path: Path) -> None:
    seeds = seeds_of(kind)
    outcomes = []
    for number in range(MUTANTS.get(kind, 100)):
        name, data = make_mutant(kind, number, SEED, seeds)
        outcomes.append(check(kind, name, data, tmp_path))
        clear(tmp_path)
    assert set(outcomes) <= {"result", "refused"}
    # mutants that are all refused, or none, would try nothing
    assert "result" in outcomes
    assert kind == "recipe" or "refused" in outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_themselves_are_sound(kind: str, tmp_path: Path) -> None:
    refused = {"8.tif"}  # colour
    for name, data in seeds_of(kind):
        assert check(kind, name, data, tmp_path) == ("refused" if name in refused else "result"), name
        clear(tmp_path)


def test_a_wrong_pixel_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, data = seeds_of("tiff")[3]
    monkeypatch.setattr("tests.fuzz.targets._read", lambda reader: reader.read(0)[None] + 1)
    assert TARGETS
    with pytest.raises(SilentlyWrong, match="differ from tifffile"):
        check("tiff", name, data, tmp_path)
