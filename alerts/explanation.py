"""An incident told from the tables: what, how large, since when, from where, and what was done about it. Pure.

Like a message it holds names and numbers and never the text of an event. Names come from outside, so they are printed
on one line, without control characters, and short.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pegel.alerts.diagnosis_message import cause_in_words, finding_in_words
from pegel.alerts.message import plain
from pegel.schemas.diagnosis import Cause, FindingKind, finding_from_row
from pegel.schemas.metric_names import ACCURACY
from pegel.schemas.partials import ALL
from pegel.schemas.policy import AlertState

Row = Mapping[str, Any]
Rows = Sequence[Row]

_LONGEST = 300
_LISTED = 8

_NEXT = {
    AlertState.OPENED: "its windows confirm or retract it by themselves once they are final",
    AlertState.CONFIRMED: "it ends after enough quiet blocks and, if it was retrained, with proof of the new version",
    AlertState.RETRACTED: "nothing, it is over",
    AlertState.RESOLVED: "nothing, it is over",
}


@dataclass(frozen=True, slots=True)
class Story:
    """The rows about one incident; all but the first may be empty.

    Attributes:
        alerts: its transitions, at least one, in any order.
        blocks: of its model and version, closed in the micro-batch that opened it.
        windows: likewise those whose accuracy was judged in it, as rows of ``metrics``.
        batches: of its evidence.
        gaps: found in the micro-batches of its evidence.
        deliveries: of its alerts.
        calls: of the webhook about it.
        retrainings: of it.
        promotions: that it made.
        wishes: rows of ``silences`` about it; alerts that were not sent stand among the deliveries, with the reason.
    """

    alerts: Rows
    blocks: Rows = ()
    batches: Rows = ()
    gaps: Rows = ()
    deliveries: Rows = ()
    calls: Rows = ()
    retrainings: Rows = ()
    promotions: Rows = ()
    windows: Rows = ()
    wishes: Rows = ()


def explain(story: Story) -> str:
    """The story in words, as lines of plain text."""
    ordered = sorted(story.alerts, key=lambda row: row["sequence"])
    last = ordered[-1]
    # What ends an incident has no evidence of its own.
    told = next((row for row in reversed(ordered) if row["n"]), last)
    lines = [
        f"Incident {_plain(last['incident_id'])}: {_plain(last['state'])}",
        "",
        f"  {_plain(last['title'])}",
        f"  {_plain(last['message'], 2_000)}",
        "",
        *_evidence(told, last),
        *_diagnosis(ordered),
        *_contributions(story.blocks, story.windows),
        *_data(story.batches, story.gaps),
        "What was done",
        *(f"  {_time(at)}  {what}" for at, what in sorted(_deeds(ordered, story), key=lambda deed: deed[0])),
        "",
        f"What happens next: {_NEXT.get(last['state'], 'unknown')}.",
        f"What a person does: docs/runbook/{_plain(last['runbook'])}",
    ]
    return "\n".join(lines) + "\n"


def _evidence(told: Row, last: Row) -> list[str]:
    lines = [
        f"  What       {_where(told)}; rule {_plain(last['rule'])}, severity {last['severity']}, {last['action']}",
        f"  Columns    {', '.join(_plain(name) for name in told['columns']) or 'none: it is about the pipeline'}",
        f"  Since      {_time(told['since'])} (event time)",
    ]
    if told["n"]:
        lines.append(
            f"  How large  {_number(told['effect'])} baseline standard deviations over n = {told['n']} events; "
            f"statistic {_number(told['value'])}, bound {_number(told['threshold'])}, p = {_number(told['p_value'])}, "
            f"{'calibrated' if told['calibrated'] else 'not calibrated yet'}"
        )
    lines.append(
        f"  Rests on   micro-batches {told['first_batch_id']} to {told['last_batch_id']}, baseline "
        f"{_plain(told['baseline_id'] or 'none')}, policy {_plain(told['policy_hash'])}, Pegel "
        f"{_plain(told['code_version'])}"
    )
    return [*lines, ""]


def _diagnosis(ordered: Rows) -> list[str]:
    """The cause and all that speaks for it. Rows of older versions have none."""
    row = next((row for row in ordered if row.get("cause")), None)
    if row is None:
        return []
    cause, owner = row["cause"], row["owner"]
    called = [f"  It calls the owner of the data: {_plain(owner)}"] if owner else []
    # A newer version may know more causes and findings.
    known = [found for found in row["findings"] or () if found["kind"] in set(FindingKind)]
    findings = [f"  {_plain(finding_in_words(finding_from_row(found)))}" for found in known]
    words = next((f", {cause_in_words(one)}" for one in Cause if one == cause), "")
    return [f"Diagnosis: {_plain(cause)}{words}", *findings, *called, ""]


def _contributions(blocks: Rows, windows: Rows) -> list[str]:
    """Every column and rate of every segment that rang in the block that opened it, the loudest first."""
    # Rows of older versions have no rates.
    judged = [(block, v) for block in blocks for v in (*block["verdicts"], *(block.get("rates") or ()))]
    judged += [(window, window["judged"] | {"column": ACCURACY}) for window in windows]
    heard = [(block, verdict) for block, verdict in judged if verdict["rang"]]
    if not heard:
        return []
    heard.sort(key=lambda pair: (-_loudness(pair[1]), pair[0]["segment"], pair[1]["column"]))
    lines = [
        f"  {_number(_loudness(v))} times its bound: {_plain(v['column'])} in {_segment(block)}, effect "
        f"{_number(v['effect'])}, n = {v['n']}, {_how(v)}"
        for block, v in heard[:_LISTED]
    ]
    more = len(heard) - _LISTED
    return ["What contributes most", *lines, *([f"  and {more} more"] if more > 0 else []), ""]


def _how(verdict: Row) -> str:
    if "label_completeness" in verdict:
        least = f"{_number(1 - verdict['hits'] / verdict['n'])} where at least {_number(1 - verdict['bound'])}"
        return f"{least} is harmless, {verdict['label_completeness']:.0%} labelled"
    if "bound" in verdict:
        return f"{_number(verdict['hits'] / verdict['n'])} where at most {_number(verdict['bound'])} is harmless"
    return _plain(verdict["direction"] or "shares")


def _data(batches: Rows, gaps: Rows) -> list[str]:
    """Whether the data itself was sick: refused, copied or lost events in the micro-batches of the evidence."""
    if not batches:
        return []
    sums = {name: sum(row[name] for row in batches) for name in ("received", "stored", "dead_letters", "duplicates")}
    lost = sum(row["last_offset"] - row["first_offset"] + 1 for row in gaps if row["cause"] == "expired")
    kept = sums["received"] == sums["stored"] + sums["dead_letters"] + sums["duplicates"]
    return [
        f"The data of these {len(batches)} micro-batches",
        f"  {sums['received']} events read: {sums['stored']} stored, {sums['dead_letters']} refused, "
        f"{sums['duplicates']} copies; {lost} expired unread; {'' if kept else 'NOT '}all accounted for",
        "",
    ]


def _deeds(alerts: Rows, story: Story) -> list[tuple[datetime, str]]:
    names = {row["alert_id"]: row["state"] for row in alerts}
    deeds = [(row["decided_time"], f"{_plain(row['state'])}: {_plain(row['title'])}") for row in alerts]
    deeds += [
        (row["at"], f"{_plain(row['sink'])}: {names[row['alert_id']]} {row['state']}, {_detail(row)}")
        for row in story.deliveries
        if row["state"] != "claimed" and row["alert_id"] in names
    ]
    deeds += [(row["received_at"], _call(row)) for row in story.calls]
    deeds += [(row["at"], f"retraining {row['attempt']}: {row['state']}, {_detail(row)}") for row in story.retrainings]
    deeds += [(row["at"], _promotion(row)) for row in story.promotions]
    deeds += [(row["at"], f"acknowledged by {_plain(row['by'])}: {_plain(row['reason'])}") for row in story.wishes]
    return deeds


def _call(row: Row) -> str:
    run = f", run {_plain(row['run_id'])}" if row["run_id"] else ""
    return f"webhook: {_plain(row['condition'])} of {_plain(row['alert_rule'])} {row['outcome']}, {_detail(row)}{run}"


def _promotion(row: Row) -> str:
    before, after = _plain(row["expected_version"] or "none"), _plain(row["new_version"])
    return f"champion: {before} gave way to version {after}, {_plain(row['reason'])}"


def _detail(row: Row) -> str:
    attempt = f"attempt {row['attempt']}, " if row.get("sink") and row["attempt"] else ""
    return attempt + _plain(row["detail"] or "no details")


def _where(row: Row) -> str:
    if row["model"] == ALL:
        return "the pipeline itself"
    return f"{_plain(row['model'])} {_plain(row['version'])}, {_segment(row)}"


def _segment(row: Row) -> str:
    return "all traffic" if row["segment"] == ALL else f"segment {_plain(row['segment'])}"


def _loudness(verdict: Row) -> float:
    return float(verdict["statistic"] / verdict["threshold"]) if verdict["threshold"] else 0.0


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _plain(text: object, longest: int = _LONGEST) -> str:
    return plain(text, longest)


def _time(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
