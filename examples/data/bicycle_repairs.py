"""
Write bicycle_repairs.csv
=========================

    python examples/data/bicycle_repairs.py

The table is invented: orders of a bicycle workshop, and whether the customer came back
with the same fault within a month (``came_back``). It is messy as real tables are: an
id, dates, free text, prices with a currency, words and numbers side by side, and
missing values. It is in the public domain (CC0).
"""

from pathlib import Path

import numpy as np
import pandas as pd

N = 400
FAULTS = {  # text, how often such a repair fails, price
    "rear brake squeals and pulls late": (0.5, 35),
    "front brake rubs on the rim": (0.3, 25),
    "chain skips under load": (1.2, 60),
    "gears do not shift to the large cog": (1.0, 30),
    "flat tyre, glass in the tread": (-1.5, 18),
    "flat tyre again, no thorn found": (1.0, 18),
    "wheel wobbles after a fall": (0.4, 45),
    "yearly service, nothing special": (-2.0, 70),
    "light goes out on bumps": (0.8, 20),
    "battery empties in the cold": (0.9, 90),
}
ASIDES = [
    "customer in a hurry",
    "please call before ordering parts",
    "was here last month",
    "own parts brought along",
    "bike is locked outside",
    "",
]


def repairs() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    fault = rng.choice(list(FAULTS), N)
    aside = rng.choice(ASIDES, N)
    risk, price = np.array([FAULTS[name] for name in fault]).T
    brought = pd.Timestamp("2023-01-02") + pd.to_timedelta(rng.integers(0, 700, N), "D")
    kind = rng.choice(["city", "road", "mountain", "cargo", "e-bike"], N)
    age = rng.gamma(2, 3, N).round()
    price = price * rng.lognormal(0, 0.25, N)
    risk = risk + 0.12 * age + 1.2 * np.isin(kind, ["cargo", "e-bike"])
    risk = risk + 1.5 * (aside == "own parts brought along")
    risk = risk + 1.0 * brought.month.isin([12, 1, 2])
    came_back = rng.random(N) < 1 / (1 + np.exp(-(risk - 3.0)))
    table = pd.DataFrame(
        {
            "order_id": [f"R-{number:05d}" for number in rng.permutation(N) + 10_000],
            "brought_in": brought.strftime("%d/%m/%Y"),
            "fault": [
                f"{a}; {b}" if b else a for a, b in zip(fault, aside, strict=True)
            ],
            "kind": kind,
            "age_years": [f"{value:.0f}" for value in age],
            "price": [f"{value:.2f} EUR" for value in price],
            "mechanic": rng.choice(["Ada", "Ben", "Cleo"], N),
            "came_back": np.where(came_back, "yes", "no"),
        }
    )
    for name, share in [("kind", 0.05), ("price", 0.08), ("brought_in", 0.03)]:
        table.loc[rng.random(N) < share, name] = None
    table.loc[rng.random(N) < 0.06, "age_years"] = "unknown"
    return table


if __name__ == "__main__":
    path = Path(__file__).with_suffix(".csv")
    repairs().to_csv(path, index=False, lineterminator="\n")
    print(f"{path}: {path.stat().st_size:,} bytes")
