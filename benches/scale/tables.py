"""The tables and plots of docs/scale.md, out of its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chart import Axis, Chart, Line

Figures = dict[str, Any]

MIB, KIB = 1 << 20, 1 << 10
_MEMBERS = Axis("members", [3, 10, 30, 100, 300, 1000])


def tables(figures: Figures) -> dict[str, str]:
    """By the name of its place in the document. What was not measured yet has none."""
    found = {
        "skew": _skew(figures),
        "repositories": _repositories(figures),
        "requests": _requests(figures),
        "resize": _resize(figures),
        "lookup": _lookup(figures),
        "probes": _probes(figures),
        "machine": _machine(figures),
    }
    if figures.get("fleets"):
        found["fleets"] = _fleets(figures)
    if figures.get("crowds"):
        found["crowds"] = _crowds(figures)
    return found


def charts(figures: Figures) -> dict[str, Chart]:
    """By the name of its file."""
    drawn = {
        "repositories": _repositories_chart(figures),
        "requests": _requests_chart(figures),
        "resize": _resize_chart(figures),
        "lookup": _lookup_chart(figures),
        "probes": _probes_chart(figures),
    }
    if figures.get("crowds"):
        drawn["memory"] = _memory_chart(figures)
    return drawn


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _times(value: float) -> str:
    """A ratio, with three digits."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _percent(part: float) -> str:
    value = 100 * part
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 1 else 2}f} %"


def _spread(spread: dict[str, float]) -> str:
    return " / ".join(_times(spread[which]) for which in ("median", "p99", "most"))


def _exponent(figures: Figures, number: int) -> str:
    return f"s = {figures['exponents'][number]:.1f}"


def _largest(figures: Figures) -> list[Figures]:
    """The rows with the most repositories, by members."""
    return [row for row in figures["shares"] if row["repositories"] == figures["repositories"][-1]]


def _skew(figures: Figures) -> str:
    hottest = figures["hottest"]
    rows = [
        [_exponent(figures, number), _percent(hottest["first"][number]), _percent(hottest["hundredth"][number])]
        for number in range(len(figures["exponents"]))
    ]
    return _table(["skew", "requests for the hottest repository", "for the hottest hundredth of all"], rows)


def _repositories(figures: Figures) -> str:
    counts = figures["repositories"]
    most = {(row["members"], row["repositories"]): row["owned"]["most"] for row in figures["shares"]}
    rows = [
        [
            f"{row['members']:,}",
            *(_times(most[row["members"], count]) for count in counts[:-1]),
            _spread(row["owned"]),
            _times(row["weighted"]["owned"]["most"]),
        ]
        for row in _largest(figures)
    ]
    heads = [f"{count:,}" for count in counts[:-1]]
    heads += [f"{counts[-1]:,}: median / p99 / most", f"{counts[-1] // 10:,}, weights 1 to 4"]
    return _table(["members", *heads], rows)


def _requests(figures: Figures) -> str:
    middle = figures["middle"]
    rows = [
        [
            f"{row['members']:,}",
            *(_spread(spread) for spread in row["requests"]),
            *(_times(pinned["requests"][middle]["most"]) for pinned in row["pinned"]),
            _times(row["bytes"]["most"]),
        ]
        for row in _largest(figures)
    ]
    heads = [f"{_exponent(figures, number)}: median / p99 / most" for number in range(len(figures["exponents"]))]
    one = _exponent(figures, middle)
    heads += [f"{one}, hottest {pinned['pins']:,} pinned: most" for pinned in _largest(figures)[0]["pinned"]]
    return _table(["members", *heads, f"{one}, bytes pulled: most"], rows)


def _resize(figures: Figures) -> str:
    kinds = ("more", "less", "double")

    def cell(row: Figures, placement: str, kind: str) -> str:
        moved = row[placement].get(kind)
        return _percent(moved["repositories"]) if moved else "–"

    rows = [
        [f"{row['members']:,}", *(cell(row, placement, kind) for kind in kinds for placement in ("rendezvous", "zot"))]
        for row in figures["resize"]
    ]
    heads = ["one more", "by zot", "one less", "by zot", "twice as many", "by zot"]
    return _table(["members", *heads], rows)


def _lookup(figures: Figures) -> str:
    kinds = {
        "rendezvous": "rendezvous",
        "weights": "with weights 1 to 4",
        "pins": "with 4,096 pins",
        "zot": "zot",
    }
    rows = [[f"{row['members']:,}", *(f"{row[kind]:,.0f}" for kind in kinds)] for row in figures["lookup"]]
    return _table(["members", *(f"{name}, ns" for name in kinds.values())], rows)


def _probes(figures: Figures) -> str:
    rows = [
        [
            f"{row['members']:,}",
            f"{row['every']:.0f} s",
            f"{row['questions']:.0f}",
            f"{row['exchange']:,}",
            f"{row['bytes'] / KIB:.0f} KiB/s",
            f"{row['connections']:,}",
            f"{row['change'] / KIB:,.0f} KiB",
        ]
        for row in figures["traffic"]
    ]
    heads = [
        "each peer is asked every",
        "questions a second, asked and as many answered",
        "bytes of question and answer",
        "in and out together",
        "connections",
        "another list, told to all",
    ]
    return _table(["members", *heads], rows)


def _machine(figures: Figures) -> str:
    machine = figures["machine"]
    took = f"The simulation took {figures['seconds']:.0f} s"
    return f"{took} on {machine['cores']} cores; {machine['shardlet']}, {machine['rustc']}, {machine['system']}."


def _fleets(figures: Figures) -> str:
    fleets = figures["fleets"]
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("start to all ready", lambda one: f"{one['ready_seconds']:.1f} s"),
        ("start to all seen up by all", lambda one: f"{one['see_seconds']:.1f} s"),
        ("start to writes taken by all (`timeouts.aftermath` is 5 s)", lambda one: f"{one['agree_seconds']:.1f} s"),
        ("CPU of a member at rest, of one core", lambda one: f"{one['cpu_percent']:.2f} %"),
        ("resident memory of a member", lambda one: f"{one['resident'] / MIB:.1f} MiB"),
        ("of which its own, program and libraries aside", lambda one: f"{one['own'] / MIB:.1f} MiB"),
        ("connections between members, of each", lambda one: f"{one['connections']:.0f}"),
        ("bytes between members, of each, in and out, packets aside", lambda one: f"{one['bytes_per_second'] / KIB:.1f} KiB/s"),
        ("one more: until all agree", lambda one: f"{one['add_seconds']:.1f} s"),
        ("longest push meanwhile; to a repository that stays", lambda one: _pushes(one, "add")),
        ("one less, the quiet way: until all agree", lambda one: f"{one['take_away_light_seconds']:.1f} s"),
        ("longest push meanwhile; to a repository that stays", lambda one: _pushes(one, "take_away_light")),
        ("one less, just so: until all agree", lambda one: f"{one['take_away_seconds']:.1f} s"),
        ("longest push meanwhile; to a repository that stays", lambda one: _pushes(one, "take_away")),
        ("pushes during the three; failed; lost", lambda one: f"{one['pushes']}; {one['failed']}; {one['lost']}"),
        ("three killed: until all others know", lambda one: f"{one['notice_seconds']:.1f} s"),
        ("started again: until all agree", lambda one: f"{one['back_seconds']:.1f} s"),
    ]
    return _table(
        ["", *(f"{one['members']:.0f} members" for one in fleets)],
        [[name, *(shown(one) for one in fleets)] for name, shown in rows],
    )


def _pushes(one: Figures, step: str) -> str:
    return f"{one[f'{step}_longest']:.1f} s; {one[f'{step}_elsewhere']:.1f} s"


def _crowds(figures: Figures) -> str:
    crowds = figures["crowds"]
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("start to all seen up", lambda one: f"{one['see_seconds']:.1f} s"),
        ("CPU at rest, of one core", lambda one: f"{one['cpu_percent']:.1f} %"),
        ("resident memory", lambda one: f"{one['resident'] / MIB:.0f} MiB"),
        ("of which its own", lambda one: f"{one['own'] / MIB:.0f} MiB"),
        ("connections with peers", lambda one: f"{one['connections']:,.0f}"),
        ("bytes in and out, packets aside", lambda one: f"{one['bytes_per_second'] / KIB:.1f} KiB/s"),
    ]
    return _table(
        ["", *(f"{one['members']:,.0f} members" for one in crowds)],
        [[name, *(shown(one) for one in crowds)] for name, shown in rows],
    )


def _repositories_chart(figures: Figures) -> Chart:
    lines = []
    for colour, count in enumerate(figures["repositories"]):
        rows = [row for row in figures["shares"] if row["repositories"] == count]
        points = [(row["members"], row["owned"]["most"]) for row in rows]
        lines.append(Line(f"{count:,} repositories", points, colour))
    ticks = Axis("× its share", [1, 1.5, 2, 3, 5, 10])
    return Chart("What the fullest member owns", _MEMBERS, ticks, lines)


def _requests_chart(figures: Figures) -> Chart:
    rows, middle = _largest(figures), figures["middle"]
    lines = [
        Line(_exponent(figures, number), [(row["members"], row["requests"][number]["most"]) for row in rows], number)
        for number in range(len(figures["exponents"]))
    ]
    pins = rows[0]["pinned"][-1]["pins"]
    points = [(row["members"], row["pinned"][-1]["requests"][middle]["most"]) for row in rows]
    lines.append(Line(f"{_exponent(figures, middle)}, {pins:,} pins", points, middle, dashed=True))
    title = f"Requests of the busiest member, of {figures['repositories'][-1]:,} repositories"
    return Chart(title, _MEMBERS, Axis("× the mean", [1, 2, 5, 10, 20, 50, 100, 200]), lines)


def _resize_chart(figures: Figures) -> Chart:
    lines = [
        Line(name, [(row["members"], row[placement]["more"]["repositories"]) for row in figures["resize"]], colour)
        for colour, (name, placement) in enumerate({"rendezvous": "rendezvous", "by zot's remainder": "zot"}.items())
    ]
    ticks = Axis("of all repositories", [0.001, 0.01, 0.1, 1], shown=lambda part: f"{100 * part:g} %")
    return Chart("What moves when one member is added", _MEMBERS, ticks, lines)


def _lookup_chart(figures: Figures) -> Chart:
    kinds = {"rendezvous": "rendezvous", "with weights 1 to 4": "weights", "with 4,096 pins": "pins", "zot": "zot"}
    lines = [
        Line(name, [(row["members"], row[kind]) for row in figures["lookup"]], colour)
        for colour, (name, kind) in enumerate(kinds.items())
    ]
    ticks = Axis("time of a look-up", [10, 100, 1_000, 10_000, 100_000], shown=_time)
    return Chart("From a repository's name to its owner", _MEMBERS, ticks, lines)


def _time(nanoseconds: float) -> str:
    return f"{nanoseconds:.0f} ns" if nanoseconds < 1_000 else f"{nanoseconds / 1_000:.0f} µs"


def _probes_chart(figures: Figures) -> Chart:
    # Measured is what connections carry, so packets are left out of what is computed too.
    carried = [(row["members"], 2 * row["questions"] * row["exchange"] / KIB) for row in figures["traffic"]]
    lines = [Line("computed", carried, 0)]
    for name, kind, colour in (("● a real fleet", "fleets", 1), ("● one in a crowd", "crowds", 2)):
        if measured := figures.get(kind):
            points = [(one["members"], one["bytes_per_second"] / KIB) for one in measured]
            lines.append(Line(name, points, colour, dots=True))
    ticks = Axis("KiB/s, in and out", [1, 2, 5, 10, 20, 50, 100, 200])
    return Chart("What one member says and hears while nothing changes", _MEMBERS, ticks, lines)


def _memory_chart(figures: Figures) -> Chart:
    measured = sorted([*figures.get("fleets", []), *figures["crowds"]], key=lambda one: one["members"])
    lines = [
        Line(name, [(one["members"], one[kind] / MIB) for one in measured], colour)
        for colour, (name, kind) in enumerate({"resident": "resident", "of which its own": "own"}.items())
    ]
    return Chart("Memory of a member at rest", _MEMBERS, Axis("MiB", [2, 5, 10, 20, 50, 100, 200]), lines)
