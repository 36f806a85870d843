"""Examples with other libraries, which are not run here: the list and the table."""

from pathlib import Path
from runpy import run_path

import pandas as pd

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_list_has_every_example():
    page = (EXAMPLES / "with_others" / "GALLERY_HEADER.rst").read_text("utf-8")
    names = [path.name for path in sorted(EXAMPLES.glob("with_others/*.py"))]
    assert len(names) == 7
    assert not [name for name in names if f"``{name}``" not in page]


def test_the_messy_table_is_what_its_script_writes(tmp_path):
    script = EXAMPLES / "data" / "bicycle_repairs.py"
    run_path(str(script))["repairs"]().to_csv(tmp_path / "new.csv", index=False)
    new, old = tmp_path / "new.csv", script.with_suffix(".csv")
    pd.testing.assert_frame_equal(pd.read_csv(new), pd.read_csv(old))
    assert old.stat().st_size < 50_000
