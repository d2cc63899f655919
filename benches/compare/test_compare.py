"""What the comparison makes of its figures. (Percentiles and the constant rate are tested where they are: benches/load.)"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import goals
import pytest
from contestants import all_contestants
from document import BEGIN, END, Results, replaced
from goals import Goal, number
from plots import PLOTS, Axis, round_step
from tables import TABLES, ZOT_TABLE, Column
from works import FULL, Samples
from zots import Zots

HALF = Goal("half", "ours: get64.cpu", 0.9, "told elsewhere", over="theirs: get64.cpu", beyond=0.5)


def figures(ours: list[float], theirs: list[float]) -> Samples:
    return {"ours": {"get64.cpu": ours}, "theirs": {"get64.cpu": theirs}}


def test_a_ratio_is_taken_round_by_round() -> None:
    assert HALF.figures(figures([1.0, 4.0], [2.0, 4.0])) == [0.5, 1.0]


def test_without_one_of_the_two_there_is_no_ratio() -> None:
    assert HALF.figures({"ours": {"get64.cpu": [1.0]}}) == []
    assert "half" not in goals.table([HALF], {"ours": {"get64.cpu": [1.0]}})


@pytest.mark.parametrize(
    ("figure", "least", "verdict"),
    [(0.5, False, "beyond"), (0.9, False, "reached"), (0.91, False, "missed"), (0.9, True, "reached")],
)
def test_a_goal_is_reached_or_missed(figure: float, least: bool, verdict: str) -> None:
    goal = Goal("x", "a: b", 0.9, "", beyond=None if least else 0.5, least=least)
    assert goal.verdict(figure) == verdict


def test_only_a_missed_goal_says_where_the_rest_goes() -> None:
    missed = goals.table([HALF], figures([2.0, 2.2, 1.8], [1.0, 1.0, 1.0]))
    assert missed.splitlines()[-1] == "| half | 2.00 (1.80–2.20) | ≤ 0.9 | ≤ 0.5 | **missed** | told elsewhere |"
    reached = goals.table([HALF], figures([0.8], [1.0]))
    assert reached.splitlines()[-1] == "| half | 0.80 | ≤ 0.9 | ≤ 0.5 | reached |  |"


def test_a_goal_is_judged_by_the_number_that_is_shown() -> None:
    assert "| reached |" in goals.table([HALF], figures([0.904], [1.0]))


def test_every_goal_is_about_something_that_is_measured() -> None:
    zots = Zots.__new__(Zots)
    zots._shardlet, zots._processes = Path("shardlet"), [None, None]
    names = {one.name for one in [*all_contestants(Path("shardlet"), None), *zots.contestants()]}
    columns = {column.metric for table in (*TABLES, ZOT_TABLE) for column in table.columns}
    for goal in goals.load_goals():
        for which in filter(None, (goal.of, goal.over)):
            contestant, metric = which.split(": ")
            assert contestant in names, goal.work
            assert metric in columns, goal.work
    assert {metric for plot in PLOTS for metric, _ in plot.series} <= columns
    assert {f"idle{count}.kib" for count in FULL.idle} <= columns


@pytest.mark.parametrize(("value", "shown"), [(0.726, "0.73"), (15.25, "15.2"), (84012.4, "84,012")])
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_cell_is_a_median_with_its_spread() -> None:
    column = Column("get64.cpu", "", spread=True)
    assert column.cell({"get64.cpu": [1.0, 1.4, 1.2]}) == "1.20 ± 0.20"
    assert column.cell({"get64.cpu": [1.0]}) == "1.00"
    assert column.cell({}) == "–"


def test_a_latency_that_only_grows_is_no_figure() -> None:
    column = Column("open80.p99", "")
    assert column.cell({"open80.p99": [900000.0], "open80.kept": [41.0]}) == "overloaded"
    assert column.cell({"open80.p99": [900.0], "open80.kept": [99.9]}) == "900"


def test_a_table_has_only_who_took_part_and_what_was_measured() -> None:
    made = TABLES[0].of(["theirs", "ours", "nobody"], figures([1.0], [2.0]))
    assert made.splitlines()[-4:] == [
        "| | CPU s per 100k, 64 |",
        "|---|---|",
        "| theirs | 2.00 |",
        "| ours | 1.00 |",
    ]
    assert TABLES[0].of(["nobody"], {}) is None


def test_steps_of_an_axis_are_round() -> None:
    assert [round_step(least) for least in (0.013, 0.2, 3.0, 51.0)] == [0.02, 0.2, 5.0, 100.0]
    assert Axis(0.5, 7.9, logarithmic=False).ticks == [0, 2, 4, 6, 8]
    assert Axis(130, 9000, logarithmic=True).ticks == [100, 1000, 10000]


def test_plots_are_whole_and_stay_within_their_frame() -> None:
    samples: Samples = {
        "<one> & two": {"open80.p99": [900.0, 1000.0], "open80.p50": [200.0], "open80.kept": [100.0]},
        "slow": {"open80.p99": [9e6], "open80.kept": [40.0]},
    }
    plot = next(plot for plot in PLOTS if plot.file == "latency.svg")
    drawn = plot.svg(["<one> & two", "slow", "absent"], samples)
    picture = ElementTree.fromstring(drawn)
    bars = [bar for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if "x" in bar.attrib]
    assert all(float(bar.get("x")) + float(bar.get("width")) <= float(picture.get("width")) for bar in bars)
    words = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<one> & two", "slow", "overloaded"} <= set(words)
    assert "absent" not in words
    assert plot.svg(["absent"], samples) is None


def test_only_what_is_between_the_markers_is_replaced() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="comparison: begin"):
        replaced("no markers", "new")


def test_a_run_is_written_and_can_be_shown_again(tmp_path: Path) -> None:
    results = Results("about it", ["HAProxy"], [], {"HAProxy": {"get64.cpu": [1.2]}})
    results.save(tmp_path / "kept.json")
    document = tmp_path / "performance.md"
    document.write_text(f"# P\n{BEGIN}\n{END}\n")
    Results.load(tmp_path / "kept.json").write_into(document)
    written = document.read_text()
    assert "about it" in written
    assert "| HAProxy | 1.20 |" in written
    for line in written.splitlines():
        if line.startswith("!["):
            assert (tmp_path / line.rpartition("(")[2].rstrip(")")).is_file()
    assert "(performance/gets.svg)" in written
