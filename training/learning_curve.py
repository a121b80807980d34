"""Draw the log of a training: ``python training/learning_curve.py --log training/demo_train.csv --picture curve.svg``.

Needs ``pip install -r requirements/plots.txt``. ``demo_train.csv`` is the log of the weights that ship; where
one leg ends and the next begins, a line is drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def main() -> None:
    """Loss of the batches and of the fixed cuts that are only watched, against steps."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "cellbatch", "svg.fonttype": "none"})
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=HERE / "demo_train.csv")
    parser.add_argument("--picture", type=Path, required=True)
    options = parser.parse_args()
    table = pd.read_csv(options.log)
    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    learned, watched = table.dropna(subset="loss"), table.dropna(subset="validation_loss")
    mean = learned["loss"].rolling(5, center=True, min_periods=1).mean()
    axes.plot(learned["step"], mean, color="#56b4e9", label="training, mean of 100 steps")
    axes.plot(watched["step"], watched["validation_loss"], "o-", color="#d55e00", markersize=4, label="validation")
    if "leg" in table:
        for start in table.groupby("leg")["step"].max().iloc[:-1]:
            axes.axvline(start, color="#999999", linewidth=0.8, linestyle="--")
    axes.set(xlabel="steps of 8 tiles", ylabel="loss", ylim=(0.3, 1.2), xlim=(0, None))
    axes.legend()
    figure.savefig(options.picture, metadata={"Date": None})


if __name__ == "__main__":
    main()
