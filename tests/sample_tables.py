"""Small tables for tests of what holds columns of every kind."""

import numpy as np
import pandas as pd


def mixed_frame(n=60):
    """Numbers, categories, booleans and numbers as text; some are missing."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "hue": rng.choice(["red", "blue", "green"], n),
            "old": rng.random(n) > 0.5,
            "price": [f"{x:.2f}" for x in rng.gamma(2, 10, n)],
        }
    )
    X.loc[3, ["size", "hue"]] = None
    return X
