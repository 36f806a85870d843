"""Tables in files, and the command line that reports on them."""

import shlex

import numpy as np
import pandas as pd
import pytest

from skmix.__main__ import main
from skmix.inspection.files import (
    UnreadableColumns,
    columns_of,
    read_file,
    read_target,
)

pytestmark = pytest.mark.filterwarnings("ignore:Got columns that are not read")


def messy_table(n=240):
    """Ids, dates, text, decimal commas, question marks, labels missing."""
    rng = np.random.default_rng(0)
    words = ["late", "parcel", "broken", "again", "thanks", "quick", "answer", "refund"]
    price = rng.gamma(2, 10, n)
    weight = pd.Series([f"{value:.1f}" for value in rng.normal(5, 1, n)])
    weight[::20] = "?"
    status = np.where(price > 18, "kept", "returned").astype(object)
    status[:5] = None
    return pd.DataFrame(
        {
            "order": [f"T-{100_000 + row}" for row in range(n)],
            "day": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
            "price": [f"{value:.2f}".replace(".", ",") for value in price],
            "weight": weight,
            "note": [" ".join(rng.choice(words, 6)) for _ in range(n)],
            "status": status,
        }
    )


NUMBERS = "".join(f"{row},{row % 7},{row / 3}\n" for row in range(60))
LABELS = "".join(f"{row},{'ab'[row % 2]}\n" for row in range(60))


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_separators_are_recognised(sep, tmp_path):
    messy_table().to_csv(tmp_path / "table.csv", sep=sep, index=False)
    assert read_file(tmp_path / "table.csv").shape == (240, 6)


def test_codes_keep_their_leading_zeros(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("zip,n,part,y\n01067,10,0.5,a\n80331,0,01.5,b\n,20,2,a\n")
    table = read_file(path)
    assert table["zip"].tolist()[:2] == ["01067", "80331"]
    assert table["zip"].isna().tolist() == [False, False, True]
    assert table["n"].tolist() == [10, 0, 20]
    assert table["part"].tolist() == [0.5, 1.5, 2]


def test_parquet_files_are_read(tmp_path):
    messy_table().to_parquet(tmp_path / "table.parquet")
    assert read_file(tmp_path / "table.parquet").shape == (240, 6)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["u", "v"] * 30, "classification"),
        ([True, False] * 30, "classification"),
        ([0, 1, 2] * 20, "classification"),
        (np.arange(60), "regression"),
        (np.arange(60) % 3 / 2, "regression"),
        (["1,5", "2,5", "3,5"] * 20, "regression"),
    ],
)
def test_the_target_says_the_task(values, task):
    told = []
    assert read_target(pd.Series(values, name="y"), None, told.append)[1] == task
    assert len(told) == 1


def test_a_messy_table_is_refused_whole_and_read_without_its_bad_columns():
    with pytest.raises(UnreadableColumns, match="day") as refused:
        columns_of(messy_table(), target="status", tell=len)
    assert refused.value.names == ["order", "day", "note"]
    told = []
    drop = refused.value.names
    columns = columns_of(messy_table(), target="status", drop=drop, tell=told.append)
    assert columns.X.shape == (235, 2)
    assert columns.X.dtypes.tolist() == [np.float64, np.float64]
    assert columns.task == "classification"
    assert told[0] == "5 rows without a 'status' are left out."


def test_rows_are_sampled_of_all_classes():
    table = pd.DataFrame({"a": np.arange(1000.0), "y": ["u"] * 900 + ["v"] * 100})
    columns = columns_of(table, max_rows=200, tell=len)
    assert len(columns.X) == 200
    assert (columns.y == "v").sum() == 20


def test_rare_classes_are_left_out():
    table = pd.DataFrame({"a": np.arange(63.0), "y": ["u", "v"] * 30 + ["w"] * 3})
    told = []
    assert len(columns_of(table, tell=told.append).X) == 60
    assert "1 classes of fewer than 10 rows are left out, 3 rows in all." in told


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, "", "No such file"),
        ("", "", "No columns to parse"),
        ("a,b\n1,2\n", "--target bb", "no column 'bb'. Did you mean 'b'?"),
        ("a,b\n" + LABELS, "--drop aa", "no column 'aa'. Did you mean 'a'?"),
        ("a,b\n" + LABELS, "--drop b", "'b' is the target"),
        ("a,b\n" + LABELS, "--drop a", "no columns are left"),
        ("a,b\n1,2\n3,4\n", "", "Got 2 rows, but expected at least 40"),
        ("a,b\n" + "1,u\n" * 60, "", "1 classes, 1 of them with 10 rows or more"),
        ("a,b\n" + "1,2\n" * 60, "--task regression", "is 2 in all rows"),
        ("a,b\n" + LABELS, "--task regression", "'b' holds words"),
        ("a,b,c\n" + NUMBERS, "--task classification", "60 classes, 0 of them"),
        (
            "b,a\n" + "".join(f"{row},T-{row + 100}\n" for row in range(60)),
            "",
            "target 'a' is neither classes nor numbers",
        ),
        (b"a,b\n\xe9,1\n", "", "not written in UTF-8"),
    ],
)
def test_what_cannot_be_used_is_said_before_any_training(
    text, arguments, message, tmp_path, capsys
):
    table = tmp_path / "table.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    output = tmp_path / "report.html"
    assert main(["report", str(table), "-o", str(output), *arguments.split()]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_a_messy_file_gets_a_command_that_works(tmp_path, capsys):
    table, output = tmp_path / "messy.csv", tmp_path / "report.html"
    messy_table(120).to_csv(table, sep=";", index=False)
    arguments = ["report", str(table), "--target", "status", "-o", str(output)]
    assert main([*arguments, "--drop", "weight"]) == 2
    command = capsys.readouterr().err.strip().splitlines()[-1]
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "skmix"]
    assert words[-2:] == ["--drop", "weight,order,day,note"]
    assert main(words[3:]) == 0
    told = capsys.readouterr().out
    assert "5 rows without a 'status' are left out." in told
    assert "'price': numbers with a decimal comma" in told
    page = output.read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "Does mixing help on messy.csv?" in page
