"""What a backtest found, as a table or as JSON. Pure: names come from outside and are printed on one line."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pegel.alerts.message import plain
from pegel.alerts.policy_comparison import ChangedIncident, ToldIncident, by_rule, changes, per_week
from pegel.jobs.wiring.fault_delays import Delay
from pegel.streaming.watch.planted_faults import FaultKind

_LISTED = 20
_SIZES = {FaultKind.SHIFT: "+{:g} sd", FaultKind.SHARE: "{:.0%} of events move", FaultKind.FAILURES: "{:.0%} more fail"}


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """What two policies make of the same history.

    Attributes:
        since: when the first micro-batch was committed.
        until: when the last one was.
        batches: first and last micro-batch.
        policies: hashes of the present policy and of the new one.
        now: incidents of the present policy.
        new: incidents of the new one.
        delays: for each planted fault, how each of the two told it.
    """

    since: datetime
    until: datetime
    batches: tuple[int, int]
    policies: tuple[str, str]
    now: Sequence[ToldIncident]
    new: Sequence[ToldIncident]
    delays: Sequence[tuple[Delay, ...]]

    @property
    def span(self) -> timedelta:
        """How long the history is."""
        return self.until - self.since

    @property
    def alerts_per_week(self) -> tuple[float, float]:
        """Incidents that opened in a week, now and with the new policy."""
        return per_week(len(self.now), self.span), per_week(len(self.new), self.span)


def as_json(report: BacktestReport) -> str:
    """One object."""
    now, new = report.alerts_per_week
    found = {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "first_batch_id": report.batches[0],
        "last_batch_id": report.batches[1],
        "policy_hash": {"now": report.policies[0], "new": report.policies[1]},
        "alerts_per_week": {"now": now, "new": new, "difference": new - now},
        "by_rule": [
            {"model": model, "rule": rule, "now": a, "new": b} for model, rule, a, b in by_rule(report.now, report.new)
        ],
        "incidents": {"now": [_incident(one) for one in report.now], "new": [_incident(one) for one in report.new]},
        "changes": [
            {"change": one.change.value, "later_seconds": _seconds(one.later), **_incident(one.incident)}
            for one in changes(report.now, report.new)
        ],
        "delays": [
            {
                **{name: getattr(pair[0].fault, name) for name in ("model", "version", "kind", "column", "size")},
                "onsets": pair[0].onsets,
                **{name: _delay(delay) for name, delay in zip(("now", "new"), pair, strict=True)},
            }
            for pair in report.delays
        ],
    }
    return json.dumps(found, allow_nan=False, ensure_ascii=False) + "\n"


def print_report(report: BacktestReport, console: Console) -> None:
    """Three tables: how often, what is told otherwise, and how long planted faults take."""
    now, new = report.alerts_per_week
    console.print(
        Text(
            f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC, micro-batches {report.batches[0]} to "
            f"{report.batches[1]}: {now:.2f} alerts a week now, {new:.2f} with the new policy"
        )
    )
    table = _table("model", "rule", "now", "new", "difference")
    for model, rule, a, b in by_rule(report.now, report.new):
        table.add_row(*map(_text, (model, rule, a, b, f"{b - a:+d}" if b != a else "0")))
    console.print(table)
    different = changes(report.now, report.new)
    if different:
        _print_changes(different, console)
    if report.delays:
        _print_delays(report.delays, console)


def _print_changes(different: Sequence[ChangedIncident], console: Console) -> None:
    table = _table("change", "opened", "model", "rule", "segment", "column", "then")
    for changed in different[:_LISTED]:
        one = changed.incident
        later = "" if changed.later is None else f" ({changed.later.total_seconds():+.0f} s)"
        row = (f"{changed.change}{later}", f"{one.opened:%Y-%m-%d %H:%M:%S}", one.model, one.rule, one.segment)
        table.add_row(*map(_text, (*row, one.column, one.state)))
    console.print(table)
    if len(different) > _LISTED:
        console.print(Text(f"and {len(different) - _LISTED} more; --output json has all"))


def _print_delays(delays: Sequence[tuple[Delay, ...]], console: Console) -> None:
    table = _table("planted fault", "model", "column", "now: told", "blocks", "s", "new: told", "blocks", "s")
    for pair in delays:
        fault = pair[0].fault
        cells: list[object] = [_SIZES[fault.kind].format(fault.size), f"{fault.model} {fault.version}", fault.column]
        for delay in pair:
            cells += [f"{delay.told} of {delay.onsets}", _number(delay.blocks), _number(delay.seconds)]
        table.add_row(*map(_text, cells))
    console.print(table)


def _table(*names: str) -> Table:
    table = Table(header_style="bold")
    for name in names:
        table.add_column(name)
    return table


def _text(value: object) -> Text:
    return Text(plain(value, 120))


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:g}"


def _incident(one: ToldIncident) -> dict[str, Any]:
    named = ("incident_id", "model", "rule", "version", "segment", "column", "state", "confirmed")
    times = {"opened": one.opened.isoformat(), "ended": one.ended.isoformat() if one.ended else None}
    return {name: getattr(one, name) for name in named} | times


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def _delay(delay: Delay) -> dict[str, Any]:
    finite = {name: getattr(delay, name) for name in ("blocks", "seconds")}
    return {"told": delay.told} | {
        name: value if value is not None and math.isfinite(value) else None for name, value in finite.items()
    }
