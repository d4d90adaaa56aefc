"""Every kind of bad table: one line that names column, row and remedy, exit status 2, nothing written."""

import gzip
import io
import os
import threading
from pathlib import Path

import polars as pl
import pytest

from stepahead.cli import app

GOOD = "unique_id,ds,y\n" + "".join(f"a,2021-01-{day:02d},{day}\n" for day in range(1, 31))


def table(*rows: str, header: str = "ds,y") -> str:
    return "\n".join([header, *rows]) + "\n"


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"ds": [1, 2], "y": [1.0, 2.0]}).write_parquet(file)
    return file.getvalue()


# name: file name, its content, further options, what the line must say
CASES: dict[str, tuple[str, str | bytes, str, list[str]]] = {
    # the file
    "no such file": ("t.csv", "", "@none.csv", ["none.csv: no such file", "check the name"]),
    "a folder": ("t.csv", GOOD, "@.", ["is a folder", "give one CSV or Parquet file"]),
    "no byte at all": ("t.csv", "", "", ["t.csv: is empty", "column names"]),
    "blank lines alone": ("t.csv", "\n\n  \n", "", ["t.csv: is empty"]),
    "a header alone": ("t.csv", "ds,y\n", "", ["t.csv: the table has no rows"]),
    "not gzip though .gz": ("t.csv.gz", GOOD, "", ["t.csv.gz: is not a whole gzip file", "drop .gz from the name"]),
    "gzip that was cut off": (
        "t.csv.gz",
        gzip.compress(GOOD.encode())[:-20],
        "",
        ["not a whole gzip", "copy it again"],
    ),
    "not UTF-8": ("t.csv", "ds,y\n1,1\n2,\xfc\n".encode("latin-1"), "", ["row 3 is not in UTF-8", "save the file"]),
    "UTF-16": ("t.csv", GOOD.encode("utf-16"), "", ["UTF-16", "save it as UTF-8"]),
    "zero bytes": ("t.csv", b"ds,y\n1,\x00\n", "", ["is not text", "give a CSV or Parquet"]),
    "broken Parquet": ("t.parquet", parquet()[:-30], "", ["not a readable Parquet file", "write it again"]),
    "text named Parquet": ("t.parquet", GOOD, "", ["not a readable Parquet file"]),
    "a spreadsheet": ("t.xlsx", b"PK\x03\x04" + bytes(60), "", ["spreadsheet", "save the table as CSV"]),
    "a line for Excel": ("t.csv", "sep=;\nds;y\n1;2\n", "", ["row 1 is separated by semicolons", "skiprows=1"]),
    "semicolons": ("t.csv", "ds;y\n1;2\n", "", ["row 1 is separated by semicolons", "save it with commas", "sep=';'"]),
    "tabs": ("t.csv", "ds\ty\n1\t2\n", "", ["separated by tabs"]),
    "a record too long": ("t.csv", table("1,2", "2,3,4"), "", ["row 3 has 3 cells, the header has 2", "quotation"]),
    "a record too short": ("t.csv", table("1,2", "2", "3,1"), "", ["row 3 has 1 cells, the header has 2", "all its"]),
    "a cell too long": (
        "t.csv",
        table("1,2", header="ds,y" + "y" * 140_000),
        "",
        ["row 1: a cell has more than 128 KiB"],
    ),
    "an open quotation": ("t.csv", table("1,2", '2,"3'), "", ["quotation mark is not closed", "row 3"]),
    # the columns
    "one name twice": ("t.csv", table("1,2,3", header="ds,y,y"), "", ["two columns are named 'y'", "rename"]),
    "no time": ("t.csv", table("1,2", header="when,y"), "", ["no column 'ds' for the time", "--time", "'when'"]),
    "two that may be the time": (
        "t.csv",
        table("1,2,3", header="date,time,y"),
        "",
        ["'date', 'time' may each be the time", "--time"],
    ),
    "no target": ("t.csv", table("1,2", header="ds,close"), "", ["no column 'y' for target", "--target", "'close'"]),
    "target misspelt": (
        "t.csv",
        table("1,2", header="ds,close"),
        "--target clsoe",
        ["no column 'clsoe'", "did you mean 'close'"],
    ),
    "series misspelt": ("t.csv", table("a,1,2", header="shop,ds,y"), "--series Shop", ["did you mean 'shop'"]),
    "past misspelt": ("t.csv", table("1,2,3", header="ds,open,y"), "--past opne", ["'opne'", "did you mean 'open'"]),
    "unlike any name": (
        "t.csv",
        GOOD,
        "--future weather",
        ["no column 'weather'", "--future", "'unique_id', 'ds', 'y'"],
    ),
    "past named twice": ("t.csv", table("1,2,3", header="ds,a,y"), "--past a,a", ["column 'a' is named twice"]),
    "past and future": (
        "t.csv",
        table("1,2,3", header="ds,a,y"),
        "--past a --future a",
        ["column 'a' is named in --past and in --future", "give it one role"],
    ),
    "target known ahead": ("t.csv", GOOD, "--future y", ["column 'y' is named in --target and in --future"]),
    "time as an input": ("t.csv", GOOD, "--past ds", ["column 'ds' is named in --time and in --past"]),
    # the time
    "month or day first": (
        "t.csv",
        table("03/04/2021,1", "04/04/2021,2"),
        "",
        [
            "column 'ds', row 2",
            "'03/04/2021' may be day-first or month-first",
            "--time-format '%d/%m/%Y'",
            "'%m/%d/%Y'",
        ],
    ),
    "day first, as a later row shows": (
        "t.csv",
        table("03/04/2021,1", "13/04/2021,2"),
        "",
        ["row 2: '03/04/2021' is day-first as '13/04/2021' is", "pass --time-format '%d/%m/%Y'\n"],
    ),
    "month first": ("t.csv", table("1/13/21,1", "1/2/21,2"), "", ["is month-first; pass --time-format '%m/%d/%y'\n"]),
    "two digits may be the year": (
        "t.csv",
        table("21/01/13,1", "21/01/29,2"),
        "",
        ["'21/01/13' may be day-first or year-first; pass --time-format '%d/%m/%y' or --time-format '%y/%m/%d'\n"],
    ),
    "year first": ("t.csv", table("21/01/13,1", "99/01/29,2"), "", ["is year-first as '99/01/29' is; pass"]),
    "two digits, each the day": ("t.csv", table("03/04/21,1"), "", ["may be day-first or month-first or year-first"]),
    "a day in no order": ("t.csv", table("40/01/2021,1"), "", ["'40/01/2021' is not a date"]),
    "days of both orders": ("t.csv", table("13/1/2021,1", "1/13/2021,2"), "", ["may be day-first or month-first"]),
    "a row of totals": ("t.csv", table("2021-01-01,1", "Total,1"), "", ["row 3: 'Total' is not", "holds totals"]),
    "totals below days in a form": (
        "t.csv",
        table("31.01.2021,1", "Summe,1"),
        "--time-format %d.%m.%Y",
        ["row 3: 'Summe' is not a time", "the last row: remove it if it holds totals"],
    ),
    "totals without a time": ("t.csv", table("2021-01-01,1", ",1"), "", ["row 3: there is no time", "holds totals"]),
    "dots, two digits": ("t.csv", table("3.4.21,1"), "", ["'3.4.21' may be day-first", "'%d.%m.%y'"]),
    "no such month": ("t.csv", table("2021-01-01,1", "2021-13-01,2"), "", ["'ds', row 3: '2021-13-01' is not a date"]),
    "no such day": ("t.csv", table("2021-02-28,1", "2021-02-29,2"), "", ["row 3: '2021-02-29' is not a date"]),
    "no such hour": ("t.csv", table("2021-02-28 25:00,1"), "", ["row 2: '2021-02-28 25:00' is not a date"]),
    "words": ("t.csv", table("2021-01-01,1", "yesterday,2"), "", ["row 3: 'yesterday' is not a date", "--time-format"]),
    "no time in a row": (
        "t.csv",
        table("2021-01-01,1", ",2"),
        "",
        ["column 'ds', row 3: there is no time", "fill it in"],
    ),
    "NaT": ("t.csv", table("2021-01-01,1", "NaT,2"), "", ["row 3: there is no time"]),
    "a number among dates": ("t.csv", table("2021-01-01,1", "7,2"), "", ["row 3: '7' is a number among dates"]),
    "a date among steps": ("t.csv", table("1,1", "2,2", "2021-01-03,3"), "", ["row 4", "not a whole step"]),
    "half a step": ("t.csv", table("1,1", "1.5,2", "2,2"), "", ["row 3: '1.5' is not a whole step"]),
    "steps like dates": (
        "t.csv",
        table("20210101,1", "20210102,2"),
        "",
        ["'20210101' may be a date or a step", "--time-format '%Y%m%d'"],
    ),
    "a spreadsheet's dates": (
        "t.csv",
        table("44197,1", "44198,2", header="date,y"),
        "",
        ["row 2: '44197' may be a spreadsheet's number for 2021-01-01; write the dates out", "--time-format 'integer'"],
    ),
    "a spreadsheet's dates with a point": (
        "t.csv",
        table("44197.0,1", "44198.0,2"),
        "",
        ["row 2: '44197.0' may be a spreadsheet's number for 2021-01-01; write the dates out"],
    ),
    "not as the format says": (
        "t.csv",
        table("01/02/2021,1", "13/14/2021,1"),
        "--time-format %d/%m/%Y",
        ["row 3: '13/14/2021' is not a time as '%d/%m/%Y' says", "correct it"],
    ),
    "zones in some rows": (
        "t.csv",
        table("2021-01-01T00:00Z,1", "2021-01-01T01:00,2"),
        "",
        ["row 3: '2021-01-01T01:00' has no time zone, but row 2 has one", "an offset, or none"],
    ),
    "a date that no day can follow": (
        "t.csv",
        table("9999-12-30,1", "9999-12-31,2"),
        "",
        ["column 'ds', series 'y', row 1 of it: 9999-12-30", "beyond the year 9000", "correct it"],
    ),
    "a step that none can follow": (
        "t.csv",
        table("1,1", "9223372036854775807,2"),
        "",
        ["column 'ds', series 'y', row 2 of it: 9223372036854775807", "beyond 2^62", "correct it"],
    ),
    "a step too large": ("t.csv", table("9999999999999999999,1"), "", ["is not a whole step", "18 digits"]),
    # the numbers
    "a word for a number": (
        "t.csv",
        table("1,1", "2,x", "3,2"),
        "",
        ["column 'y', row 3: 'x' is not a number", "empty"],
    ),
    "a target of text": ("t.csv", table("1,up", "2,down"), "", ["column 'y', row 2: 'up' is text", "numbers"]),
    "a target of true and false": ("t.csv", table("1,true", "2,false"), "", ["'y', row 2: 'true' is text"]),
    "decimal commas": ("t.csv", table('1,"1,5"', '2,"2,5"'), "", ["row 2: '1,5' has a comma", "with a point"]),
    "a unit": ("t.csv", table("1,2418.3 kWh"), "", ["row 2: '2418.3 kWh' is a number with 'kWh'; write it without"]),
    "a currency": (
        "t.csv",
        table('1,"$1,200.50"'),
        "",
        ["'$1,200.50' is a number with '$'", "thousands without a mark"],
    ),
    "both sides": ("t.csv", table("1,USD 5 m"), "", ["is a number with 'USD' and 'm'"]),
    "a power": ("t.csv", table("1,12.5 W/m2"), "", ["is a number with 'W/m2'"]),
    "sixteens": ("t.csv", table("1,7", "2,8", "3,0x1F"), "", ["'0x1F' is not a number; correct it"]),
    "a fraction": ("t.csv", table("1,7", "2,8", "3,1/2"), "", ["'1/2' is not a number; correct it"]),
    "groups of digits": ("t.csv", table("1,1'000'000"), "", ["'1'000'000' is a number with marks"]),
    "one cell with a unit": (
        "t.csv",
        table("1,1,1", "2,2 %,2", "3,3,3", header="ds,open,y"),
        "",
        ["row 3: '2 %' is a number with '%'", "or leave the column out with --past"],
    ),
    "thousands": ("t.csv", table("1,5", '2,"1,000.5"'), "", ["row 3: '1,000.5' has a comma", "thousands"]),
    "infinity": (
        "t.csv",
        table("1,5", "2,-inf"),
        "",
        ["column 'y', row 3: -inf is not finite", "leave the cell empty"],
    ),
    "beyond what a number holds": ("t.csv", table("1,5", "2,1e999"), "", ["row 3: 1e999 is not finite"]),
    "beyond what a network holds": (
        "t.csv",
        table("1,5", "2,1e308"),
        "",
        ["'y'", "ds 2: 1e+308 is beyond 1e+30"],
    ),
    "many digits": ("t.csv", table("1,5", "2," + "9" * 5000), "", ["row 3: " + "9" * 40 + " is not finite"]),
    "a target without a value": ("t.csv", table("1,", "2,NA"), "", ["column 'y' has no value in any row"]),
    "a bad cell in an unnamed input": (
        "t.csv",
        table("1,1,1", "2,2,2", "3,oops,3", header="ds,open,y"),
        "",
        ["column 'open', row 4: 'oops' is not a number", "--past"],
    ),
    "decimal commas in an unnamed input": (
        "t.csv",
        table('1,"1,5",1', header="ds,open,y"),
        "",
        ["column 'open', row 2: '1,5' has a comma"],
    ),
    "text as a past input": (
        "t.csv",
        table("1,red,1", "2,blue,2", header="ds,colour,y"),
        "--past colour",
        ["column 'colour', row 2: 'red' is text"],
    ),
    "a known input without a value": (
        "t.csv",
        table("1,,1", "2,,2", header="ds,promo,y"),
        "--future promo",
        ["column 'promo' has no value in any row", "leave it out"],
    ),
    # the series
    "a series without a name": (
        "t.csv",
        table("a,1,1", ",2,2", header="unique_id,ds,y"),
        "",
        ["column 'unique_id', row 3: the series has no name"],
    ),
    "the same row twice": (
        "t.csv",
        table("a,2021-01-02,1", "b,2021-01-02,1", "a,2021-01-01,1", "a,2021-01-02,1", header="unique_id,ds,y"),
        "",
        ["series 'a', ds 2021-01-02: row 2 and row 5 are the same", "remove one"],
    ),
    "rows that conflict": (
        "t.csv",
        table("a,1,1", "a,2,3", "a,2,4", header="unique_id,ds,y"),
        "",
        ["series 'a', ds 2: row 3 and row 4 conflict (column 'y': 3 and 4)", "keep one"],
    ),
    "several series in one": ("t.csv", table("1,1", "1,2"), "", ["ds 1: row 2 and row 3 conflict", "--series"]),
    "a static that changes": (
        "t.csv",
        table("a,1,1,red", "a,2,2,blue", header="unique_id,ds,y,colour"),
        "--static colour",
        ["column 'colour', row 3: 'blue' changes within series 'a'", "'red'", "--static"],
    ),
    "a static number that changes": (
        "t.csv",
        table("a,1,1,8", "a,2,2,9.5", header="unique_id,ds,y,size"),
        "--static size",
        ["column 'size', row 3: 9.5 changes within series 'a' (it was 8.0)", "--static"],
    ),
    "a static that is not there": (
        "t.csv",
        table("a,1,1,red", "b,2,2,", header="unique_id,ds,y,colour"),
        "--static colour",
        ["column 'colour': series 'b' has no value"],
    ),
}


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, stdout, stderr of the shell, in this process."""
    with pytest.raises(SystemExit) as ended:
        app(arguments, prog_name="stepahead")
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def assert_one_line(error: str) -> None:
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_bad_table_is_one_line_and_nothing_written(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, options, said = CASES[case]
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    words = options.split()
    if words[:1] and words[0].startswith("@"):
        name, words = words[0][1:], words[1:]
    before = sorted(Path().iterdir())
    status, out, error = run(["fit", name, *words, "-o", "m.safetensors"], capsys)
    assert status == 2
    assert out == ""
    assert_one_line(error)
    assert [part for part in said if part not in error] == [], error
    assert sorted(Path().iterdir()) == before


def test_a_backtest_of_one_row_speaks_of_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text(table("1,2"))
    status, out, error = run(["backtest", "t.csv"], capsys)
    assert (status, out) == (2, "")
    assert "another --test-size" in error


def test_there_are_at_least_forty_kinds() -> None:
    assert len(CASES) >= 40


# arguments behind a good table, what the line must say
WRONG_OPTIONS: dict[str, tuple[str, list[str]]] = {
    "an unknown command": ("fitt t.csv", ["No such command 'fitt'", "stepahead --help"]),
    "an unknown option": ("fit t.csv --widow 3 -o m", ["--widow", "stepahead fit --help"]),
    "no table": ("fit -o m", ["TABLE", "stepahead fit --help"]),
    "no place for the model": ("fit t.csv", ["-o", "stepahead fit --help"]),
    "a window of words": ("fit t.csv --window week -o m", ["--window", "stepahead fit --help"]),
    "levels of words": ("predict m t.csv --level high", ["--level"]),
    "a window of none": ("fit t.csv --window 0 -o m", ["--window 0", "at least 1"]),
    "a recipe of one's own": ("fit t.csv --recipe soup -o m", ["--recipe 'soup'", "classic"]),
    "an unknown cell": ("fit t.csv --cell tree -o m", ["--cell 'tree'", "'gru'"]),
    "an unknown way with gaps": ("fit t.csv --missing hope -o m", ["--missing 'hope'", "'ffill'"]),
    "a holdout below nothing": ("fit t.csv --holdout -1 -o m", ["--holdout -1"]),
    "a holdout of two rows and a half": ("fit t.csv --holdout 2.5 -o m", ["--holdout 2.5", "whole number of rows"]),
    "a test part of all or of one": ("backtest t.csv --test-size 1.0", ["--test-size 1.0", "share", "1 is one row"]),
    "refits without a walk": ("backtest t.csv --refit 2", ["--refit belongs to a walk", "--n-windows"]),
    "the usual refits without a walk": ("backtest t.csv --refit true", ["--refit belongs to a walk", "--n-windows"]),
    "a level that is no number": ("backtest t.csv --level nan", ["--level nan", "coverage in percent"]),
    "too short for the window": ("fit t.csv --recipe classic --window 100 -o m", ["t.csv", "window 100"]),
    "the model over the table": ("fit t.csv -o t.csv", ["-o t.csv: is the table that is read", "another name"]),
    "a folder for the model": ("fit t.csv -o .", ["-o .: is a folder"]),
    "a model in no folder": ("fit t.csv -o no/m", ["the folder no does not exist", "create it"]),
    "a picture of another kind": ("backtest t.csv --plot p.gif", ["--plot p.gif", ".png or .svg"]),
    "forecasts of another kind": ("backtest t.csv -o f.xlsx", ["-o f.xlsx", ".csv or .parquet"]),
    "one file for both": ("backtest t.csv --plot f.png -o f.png", ["f.png"]),
    "a test part larger than all": ("backtest t.csv --test-size 500", ["t.csv"]),
    "no model": ("predict none.safetensors t.csv", ["none.safetensors"]),
    "a table for a model": ("predict t.csv t.csv", ["t.csv", "safetensors"]),
    "a model over the forecasts": ("predict t.csv t.csv -o t.csv", ["-o t.csv", "another name"]),
}


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_wrong_option_is_one_line_and_nothing_written(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = WRONG_OPTIONS[case]
    Path("t.csv").write_text(GOOD)
    status, out, error = run(arguments.split(), capsys)
    assert (status, out) == (2, "")
    assert_one_line(error)
    assert [part for part in said if part not in error] == [], error
    assert [path.name for path in Path().iterdir()] == ["t.csv"]
    assert Path("t.csv").read_text() == GOOD


@pytest.mark.parametrize("command", ["fit t.csv", "fit t.csv --checkpoint c", "predict t.csv", "backtest t.csv"])
@pytest.mark.parametrize("kind", ["a pipe", "a link to itself"])
def test_a_file_takes_no_place_of_what_is_no_file(command: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text(GOOD)
    place = Path("place.csv")
    if kind == "a pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(place)
    before = place.lstat()
    status, _, error = run([*command.split(), "-o", "place.csv"], capsys)
    assert status == 2
    assert_one_line(error)
    assert "-o place.csv: is a device, a pipe or a link to itself" in error
    assert place.lstat() == before


def test_a_table_comes_through_a_pipe_and_an_endless_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("table")
    writer = threading.Thread(target=lambda: Path("table").write_text(GOOD))
    writer.start()
    options = "--recipe classic --max-steps 2 --window 3 --holdout none -o m -q"
    status, _, error = run(["fit", "table", *options.split()], capsys)
    writer.join()
    assert (status, error) == (0, "")
    assert Path("m").exists()
    status, _, error = run(["fit", "/dev/zero", "-o", "m"], capsys)
    assert status == 2
    assert "/dev/zero: is neither a file nor a pipe" in error


def test_gaps_are_refused_unless_the_model_is_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text(GOOD.replace(",15\n", ",\n"))
    status, _, error = run(["fit", "t.csv", "-o", "m"], capsys)
    assert status == 2
    assert_one_line(error)
    assert "--missing" in error
    assert not Path("m").exists()


def test_what_predict_cannot_change_names_what_can(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text(table(*(f"{step},{step % 7}" for step in range(1, 31))))
    fit = "fit t.csv --recipe classic --max-steps 2 --window 3 --holdout none -o m -q"
    assert run(fit.split(), capsys)[0] == 0
    for name, rows, said in (
        ("gap.csv", ["1,1", "2,", "3,3", "4,4"], "; fit with --missing 'ffill', 'interpolate' or 'mask'"),
        ("two.csv", ["1,1", "1,2", "2,3"], "keep one of them; the model knows one series: give the rows of one alone"),
        ("no.csv", [], "no.csv: no column 'y', which the model learned; rename 'Y' (there are 'ds', 'Y')"),
        ("end.csv", ["9223372036854775806,1", "9223372036854775807,2"], "beyond 2^62"),
    ):
        Path(name).write_text(table(*rows) if rows else "ds,Y\n1,1\n")
        status, out, error = run(["predict", "m", name], capsys)
        assert (status, out) == (2, "")
        assert_one_line(error)
        assert said in error
        assert "series=" not in error
    status, _, error = run(["predict", "m", "t.csv", "--level", "nan"], capsys)
    assert status == 2
    assert "--level nan must be a coverage in percent" in error
