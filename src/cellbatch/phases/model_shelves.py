"""Models that ship with the project, by name."""

from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.io.models import MANIFEST_FILE

# in a checkout the models stand beside src, in an installed package inside it
_PACKAGE = Path(__file__).resolve().parents[1]
EXAMPLE_IMAGE = _PACKAGE.parents[1] / "assets" / "test" / "tissue_01.ome.tif"
MODEL_SHELVES = (_PACKAGE.parents[1] / "assets" / "models", _PACKAGE / "assets" / "models")


def find_model(model: str | Path) -> Path:
    """Folder or file of a model given as a path or as the name of one that ships with the project.

    Raises
    ------
    ConfigError
        If there is neither.
    """
    for path in (*(shelf / str(model) for shelf in MODEL_SHELVES), Path(model)):
        if (path / MANIFEST_FILE).is_file() or (path == Path(model) and path.exists()):
            return path
    shipped = sorted({path.parent.name for shelf in MODEL_SHELVES for path in shelf.glob(f"*/{MANIFEST_FILE}")})
    raise ConfigError(
        f"no model {str(model)!r}: expected a folder with a {MANIFEST_FILE}, the path of weights, or one of "
        f"{', '.join(shipped)}"
    )
