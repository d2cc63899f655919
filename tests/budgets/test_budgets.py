"""What one small request costs, held by budgets that noise does not touch; and the rules of their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import WORKS, Measured
from harness import budgets, callgrind
from harness.budgets import MARGINS, Budget

# By leases a request may cost this times what it costs by a list, and by that much two runs of the same may differ on a
# busy machine.
LEASES_MOST = 1.02
RUNS_DIFFER = 0.005
IN_FORCE = budgets.read(budgets.FILE.read_text())


@pytest.mark.parametrize(("work", "figure"), IN_FORCE)
def test_a_small_request_keeps_its_budget(measured: Measured, work: str, figure: str) -> None:
    # Read again: --update has just written it.
    budget = budgets.read(budgets.FILE.read_text())[work, figure]
    assert measured[work, figure] <= budget.most, (
        f"{work}: {measured[work, figure]:.1f} {figure}, of {budget.now:g}. Find out what costs it (docs/performance.md), "
        "or raise the budget with a reason: bash tests/run.sh --budgets --update --reason TEXT"
    )


@pytest.mark.parametrize("work", WORKS)
def test_leases_cost_a_request_next_to_nothing(measured: Measured, by_leases: dict[str, float], work: str) -> None:
    by_list = measured[work, "instructions"]
    assert by_leases[work] <= by_list * (LEASES_MOST + RUNS_DIFFER), f"{work}: {by_leases[work]:.0f} instructions, by a list {by_list:.0f}"


def test_everything_that_is_measured_has_a_budget() -> None:
    assert set(IN_FORCE) == {(work, figure) for work in WORKS for figure in MARGINS}


@pytest.mark.parametrize(("work", "figure"), IN_FORCE)
def test_every_rise_has_its_line_of_reason(work: str, figure: str) -> None:
    assert IN_FORCE[work, figure].problem() is None


@pytest.mark.parametrize(
    ("now", "raised", "problem"),
    [
        (100, (), None),
        (120, ("110: ids are longer", "120: and are checked"), None),
        (110, (), "a rise takes a line of reason"),
        (120, ("110: ids are longer",), "a rise takes a line of reason"),
        (110, ("110: ",), "is not `FIGURE: REASON`"),
        (110, ("110",), "is not `FIGURE: REASON`"),
        (100, ("100: nothing",), "is no rise"),
        (90, (), "`least` with `raised` says 100"),
    ],
)
def test_a_budget_that_rose_without_a_reason_is_found(now: float, raised: tuple[str, ...], problem: str | None) -> None:
    found = Budget("instructions", 100, now, raised).problem()
    assert found is None if problem is None else problem in (found or "")


RAISED = Budget("instructions", 1000, 1200, ("1100: ids are longer", "1200: and are checked"))


@pytest.mark.parametrize(
    ("measured", "now", "raised"),
    [
        (900.4, 900, ()),
        (1050.0, 1050, ("1050: and are checked",)),
        (1150.0, 1150, ("1100: ids are longer", "1150: and are checked")),
        (1201.0, 1200, RAISED.raised),
        (1300.0, 1300, (*RAISED.raised, "1300: asked")),
    ],
)
def test_an_update_fits_what_was_measured(measured: float, now: float, raised: tuple[str, ...]) -> None:
    made = RAISED.updated(measured, "asked")
    assert (made.now, made.raised) == (now, raised)
    assert made.problem() is None


def test_an_update_raises_nothing_without_a_reason() -> None:
    with pytest.raises(ValueError, match="--reason"):
        RAISED.updated(1300.0, None)


def test_a_file_is_written_as_it_was_read() -> None:
    text = '# Why.\n# And how.\n\n[local]\ninstructions = { least = 9, now = 12, raised = ["12: \\"so\\""] }\nwakes = { least = 0.5, now = 0.5 }\n'
    assert budgets.written(text, budgets.read(text)) == text
    text = budgets.FILE.read_text()
    assert budgets.written(text, budgets.read(text)) == text


def test_what_is_moved_is_not_counted_and_what_is_allocated_once(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(
        "summary: 1000\n\nfn=serve\n0 100\ncfn=mi_malloc_aligned\ncalls=2 0\n0 60\n"
        "cfn=__memcpy_avx_unaligned_erms\ncalls=1 0\n0 500\ncfn=serve'2\ncalls=1 0\n0 9\n\n"
        "fn=mi_realloc_aligned\n0 30\ncfn=mi_malloc_aligned\ncalls=1 0\n0 30\n\n"
        "fn=mi_malloc_aligned\n0 90\n\nfn=__memcpy_avx_unaligned_erms\n0 500\n\nfn=serve'2\n0 9\n"
    )
    counted = callgrind.parse(dump)
    assert (counted.all_instructions, counted.without_moves, counted.allocations) == (729, 229, 2)
