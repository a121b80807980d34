"""Channel recipes."""

import numpy as np
import pytest

from cellbatch.preprocessing.channels import Recipe, channels_of, combine, parse_recipe, resolve_recipe
from cellbatch.preprocessing.clip import nonzero_percentile

NAMES = ["DAPI", "PanCK", "CD45", "Yb172 H3K27Ac", "CD8a-2", "Lamin B1", "7", "CD3 (clone X)", "it's", "a,b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DAPI", "0"),
        ("  DAPI ", "0"),
        ("0", "0"),
        ("3", "3"),
        ("7", "6"),
        ("Yb172 H3K27Ac", "3"),
        ("CD8a-2", "4"),
        ("CD3 (clone X)", "7"),
        ('"CD3 (clone X)"', "7"),
        ("'CD3 (clone X)'", "7"),
        ("'it''s'", "8"),
        ("it's", "8"),
        ("a,b", "9"),
        ("max(PanCK,CD45)", "max(1,2)"),
        (" MAX ( PanCK , CD45 ) ", "max(1,2)"),
        ("sum(norm(CD8a-2), norm('Lamin B1'))", "sum(norm(4),norm(5))"),
        ('mean(0,1,"a,b")', "mean(0,1,9)"),
        ("norm(DAPI)", "norm(0)"),
        ("sum(max(0,1),norm(2))", "sum(max(0,1),norm(2))"),
        ("max(DAPI)", "max(0)"),
    ],
)
def test_recipes_become_indices(text: str, expected: str) -> None:
    found = resolve_recipe(text, NAMES, len(NAMES))
    assert found == expected
    assert resolve_recipe(found, [], len(NAMES)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a channel at its end"),
        ("max()", "expected a channel before '\\)'"),
        ("max(DAPI", "expected ',' or '\\)' after max\\(\\.\\.\\., found its end"),
        ("max(DAPI,)", "expected a channel"),
        ("max(DAPI,,CD45)", "expected a channel before ',CD45\\)'"),
        ("max(DAPI))", "'\\)' is too much"),
        ("max(DAPI) CD45", "'CD45' is too much"),
        ("PanCK,CD45", "',CD45' is too much"),
        ("median(DAPI,CD45)", "'median' is no operation; expected max, sum, mean or norm"),
        ("norm(DAPI,CD45)", "norm takes one channel"),
        ("norm(max(DAPI,CD45))", "norm takes one channel"),
        ('max("DAPI)', "expected a channel"),
    ],
)
def test_recipes_that_do_not_parse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_recipe(text, ["DAPI", "CD45"], 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Dapi", "no channel 'Dapi'; did you mean 'DAPI'\\? channels are 0 'DAPI', 1 'CD45', 2"),
        ("max(DAPI,CD54)", "did you mean 'CD45'"),
        ("3", "no channel 3; the image has 3: 0 'DAPI'"),
        ('"0"', "no channel '0'; channels are"),
        ("-1", "no channel '-1'"),
        ("zzz", "no channel 'zzz'; channels are"),
    ],
)
def test_channels_that_are_not_there(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_recipe(text, ["DAPI", "CD45", ""], 3)


def test_a_part_of_a_name_is_suggested() -> None:
    with pytest.raises(ValueError, match="did you mean 'Yb172 H3K27Ac'"):
        resolve_recipe("H3K27Ac", NAMES, len(NAMES))


def test_names_that_occur_twice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'DAPI' occurs 2 times \(indices \[0, 2\]\)"):
        resolve_recipe("DAPI", ["DAPI", "CD45", "DAPI"], 3)


def test_channels_of_a_recipe() -> None:
    assert channels_of(parse_recipe("sum(norm(3),max(1,3),0)")) == (0, 1, 3)
    for text in ("DAPI", "'0'"):
        with pytest.raises(ValueError, match="is a name"):
            channels_of(parse_recipe(text))


def test_parsed_form() -> None:
    assert parse_recipe("max(a,norm('1'))") == Recipe(
        "max",
        (
            Recipe("channel", channel="a"),
            Recipe("norm", (Recipe("channel", channel="1", quoted=True),)),
        ),
    )


STACK = np.random.default_rng(2).integers(0, 60000, (3, 40, 50)).astype("uint16")


def combined(text: str, **options: object) -> np.ndarray:
    result = combine(text, lambda index: STACK[index], **options)  # type: ignore[arg-type]
    assert result.dtype == np.float32
    return result


def test_combinations() -> None:
    a, b, c = STACK.astype(np.float32)
    np.testing.assert_array_equal(combined("1"), b)
    np.testing.assert_array_equal(combined("max(0,2)"), np.maximum(a, c))
    np.testing.assert_array_equal(combined("sum(0,1,2)"), (a + b) + c)
    np.testing.assert_array_equal(combined("mean(0,1)"), (a + b) / np.float32(2))
    np.testing.assert_array_equal(combined("sum(max(0,1),2)"), np.maximum(a, b) + c)


def test_norm_divides_by_the_percentile_and_clips() -> None:
    plane = STACK[0].astype(np.float32)
    top = nonzero_percentile(plane, 99.9)
    found = combined("norm(0)")
    np.testing.assert_array_equal(found, np.minimum(plane / top, 1))
    assert found.max() == 1
    np.testing.assert_array_equal(
        combined("norm(0)", percentiles={0: 30000.0}), np.minimum(plane / np.float32(30000), 1)
    )


def test_norm_of_channels_without_signal_is_zero() -> None:
    planes = {0: np.zeros((4, 4), "uint8"), 1: np.full((4, 4), -3, "int16")}
    for index in planes:
        assert not combine(f"norm({index})", planes.__getitem__).any()


def test_the_image_is_not_changed() -> None:
    planes = [np.full((3, 3), value, np.float32) for value in (1, 2)]
    combine("sum(0,1)", planes.__getitem__)
    combine("mean(0,1)", planes.__getitem__)
    assert [float(plane[0, 0]) for plane in planes] == [1, 2]


def test_nan_stays() -> None:
    planes = [np.array([[np.nan, 1]]), np.array([[2.0, 3.0]])]
    np.testing.assert_array_equal(combine("max(0,1)", planes.__getitem__), [[np.nan, 3]])
