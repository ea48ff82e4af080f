"""One retraining, from an incident to its verdict: wait, train, compare, promote, prove, perhaps roll back. Edge.

Each state is a row of ``retrainings``, written after what it says was done. A retraining that was killed is started
again with the same incident and goes on behind its last state: the version is found by its tag and the rows are read
again by their name, so nothing is registered twice and the comparison gives the same numbers.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pegel.conf.settings import Settings
from pegel.errors import OutsideError, PegelError, SettingsError
from pegel.lifecycle.card_facts import log_card
from pegel.lifecycle.clean_load import check_loads_in_clean_process
from pegel.lifecycle.evaluation import Comparison, Split, choose_judged, compare, split_in_time
from pegel.lifecycle.fairness.evaluation import evaluate
from pegel.lifecycle.fairness.gate import Verdict
from pegel.lifecycle.fairness.record import log_evaluation
from pegel.lifecycle.labelled_text import LabelledText, texts_of
from pegel.lifecycle.onset import Onset
from pegel.lifecycle.promotion import PROMOTED, ROLLED_BACK, Promotion, promote
from pegel.lifecycle.proof import Proof, judge, mean_accuracy, read_blocks, read_windows
from pegel.lifecycle.record import Record, open_record
from pegel.lifecycle.registration import Origin, RegisteredVersion, register
from pegel.lifecycle.registry import Registry
from pegel.lifecycle.training_rows import LabelledRow, NamedRows, highest_batch, read_again, read_named_rows
from pegel.schemas.model_io import TAG_RETRAINING, TAG_TRAINING, TAG_VALIDATION, VALIDATION_PASSED
from pegel.schemas.state_machines import RetrainingState
from pegel.tables.audit import AuditTrail
from pegel.tables.delta import DeltaTables, Row

log = logging.getLogger(__name__)


class RetrainingFailedError(PegelError):
    """A retraining ended as ``failed``; its row in ``retrainings`` says why."""


@dataclass(frozen=True, slots=True)
class _Material:
    """What one attempt works with; the same rows give the same material."""

    named: NamedRows
    split: Split
    training: tuple[LabelledText, ...]


class Retraining:
    """Runs the retrainings of one model.

    Args:
        settings: what has to be reached, and how long to wait.
        tables: where all tables lie.
        registry: of the model.
        wait: False does what is there and stops: a retraining then rests in ``started`` or ``proving`` until the next
            run.
        now: the clock.
        sleep: waits so many seconds.
        trail: where each state is recorded with what it rests on.
    """

    def __init__(
        self,
        settings: Settings,
        tables: DeltaTables,
        registry: Registry,
        *,
        wait: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        trail: AuditTrail | None = None,
    ) -> None:
        self._settings = settings
        self._retrain = settings.retrain
        self._tables = tables
        self._registry = registry
        self._wait = wait
        self._now = now
        self._sleep = sleep
        self._trail = trail

    def run(self, onset: Onset) -> RetrainingState:
        """Carry a retraining as far as it gets.

        Args:
            onset: the incident or schedule; one that has proven already is left alone.

        Returns:
            ``proven``, ``rejected`` or ``rolled_back``; without waiting also ``started`` or ``proving``.

        Raises:
            OutsideError: if something is down; run it again and it goes on.
            PegelError: all else ends it as ``failed``: labels do not come in time, rows that were named have changed,
                the challenger does not load, somebody else moves the champion.
        """
        record = open_record(self._tables, self._registry.model, onset.incident_id, self._now, self._trail)
        if record.end is not None:
            log.info("%s has been %s already", record.key, record.end)
            return record.end
        try:
            state = self._carry_on(record, onset)
            self._renew_card(record)
            return state
        except OutsideError:
            raise
        except PegelError as error:
            record.reach(RetrainingState.FAILED, detail=str(error))
            raise

    def _carry_on(self, record: Record, onset: Onset) -> RetrainingState:
        if RetrainingState.STARTED not in record.rows:
            champion = self._registry.champion()
            if champion is None:
                msg = f"{self._registry.model!r} has no champion; register one with pegel build-baseline first"
                raise SettingsError(msg)
            record.reach(RetrainingState.STARTED, champion=champion, detail=f"onset {onset.since.isoformat()}")
        if RetrainingState.PROMOTED not in record.rows:
            material = self._material(record, onset)
            if material is None:
                return RetrainingState.STARTED
            made = self._train(record, onset, material)
            comparison, fairness = self._compare(record, material, made)
            quality = {"champion_quality": comparison.champion, "challenger_quality": comparison.challenger}
            judged = {"n": comparison.n, "unseen": comparison.unseen}
            detail = "; ".join(filter(None, (comparison.detail, fairness.detail)))
            if not comparison.passed or fairness.refused:
                log.info("%s is rejected: %s", record.key, detail)
                return record.reach(RetrainingState.REJECTED, evidence=judged, detail=detail, **quality)
            self._promote(record, material, detail, quality, judged)
            self._renew_card(record)
        return self._prove(record, onset)

    def _material(self, record: Record, onset: Onset) -> _Material | None:
        named = self._named_before(record) or self._await_rows(record, onset)
        if named is None:
            return None
        split = split_in_time(named.rows, onset.since, self._retrain.holdout_share)
        live = [LabelledText(row.text, row.label) for row in split.training]
        return _Material(named, split, (*self._registry.training_rows(_champion(record)), *live))

    def _named_before(self, record: Record) -> NamedRows | None:
        """The rows that this attempt named before it was cut off: the version it made carries their name."""
        version = self._registry.version_tagged(TAG_RETRAINING, record.key)
        if version is None:
            return None
        tag = json.loads(self._registry.tags(version)[TAG_TRAINING])
        return read_again(
            self._tables,
            self._registry.model,
            batch_id_max=tag["batch_id_max"],
            rows=tag["rows"],
            checksum=tag["checksum"],
        )

    def _await_rows(self, record: Record, onset: Onset) -> NamedRows | None:
        deadline = record.rows[RetrainingState.STARTED]["at"] + timedelta(seconds=self._retrain.wait_for_labels_seconds)
        while True:
            named = read_named_rows(self._tables, self._registry.model, highest_batch(self._tables))
            new = sum(row.event_time >= onset.since for row in named.rows)
            if new >= onset.min_rows:
                return named
            if not self._wait:
                log.info("%s has %d of the %d new labelled rows it needs", record.key, new, onset.min_rows)
                return None
            if self._now() >= deadline:
                msg = (
                    f"only {new} labelled rows since {onset.since.isoformat()} came within "
                    f"{self._retrain.wait_for_labels_seconds:.0f} s, and a retraining needs {onset.min_rows}; see "
                    "whether labels reach the feedback hub"
                )
                raise RetrainingFailedError(msg)
            self._sleep(self._retrain.poll_seconds)

    def _train(self, record: Record, onset: Onset, material: _Material) -> RegisteredVersion:
        named, split = material.named, material.split
        name = {"batch_id_max": named.batch_id_max, "rows": len(named.rows), "checksum": named.checksum}
        parts = {"since": onset.since.isoformat(), "holdout_share": self._retrain.holdout_share}
        # The baseline is of all validation rows in their natural mix, repeated texts included: live traffic repeats
        # texts too, and a baseline of unseen texts alone would call every ordinary hour a drift towards higher
        # confidence. Only the comparison below leaves out texts that were trained on.
        made = register(
            self._registry,
            self._tables,
            material.training,
            _labelled(split.validation),
            Origin(
                f"{len(split.validation)} newest labelled live rows, batch_id <= {named.batch_id_max}",
                json.dumps(name | parts),
                record.key,
            ),
            now=self._now,
        )
        record.reach(
            RetrainingState.TRAINED,
            challenger=made.version,
            batch_id_max=named.batch_id_max,
            training_rows=len(named.rows),
            checksum=named.checksum,
            detail=f"{len(split.training)} live rows and the champion's own to train on, "
            f"{len(split.validation)} held out",
        )
        self._renew_card(record)
        return made

    def _compare(self, record: Record, material: _Material, made: RegisteredVersion) -> tuple[Comparison, Verdict]:
        validation = material.split.validation
        champion = self._registry.load(_champion(record)).answer([row.text for row in validation])
        # The challenger's training set holds the champion's, so it is every text that either has seen.
        judged = choose_judged(validation, champion, made.validation, set(texts_of(material.training)))
        comparison = compare(judged, self._retrain.quality_margin)
        fairness = evaluate(judged.rows, judged.champion, judged.challenger, self._settings.fairness)
        log_evaluation(self._registry, made.version, fairness)
        return comparison, fairness.verdict

    def _promote(
        self,
        record: Record,
        material: _Material,
        detail: str,
        quality: dict[str, float],
        judged: dict[str, int],
    ) -> None:
        challenger = record.rows[RetrainingState.TRAINED]["challenger"]
        check_loads_in_clean_process(self._registry, challenger, material.split.validation[0].text)
        self._registry.set_tags(challenger, {TAG_VALIDATION: VALIDATION_PASSED})
        move = Promotion(_champion(record), challenger, record.key, PROMOTED)
        promote(self._registry, self._tables, move, now=self._now())
        record.reach(RetrainingState.PROMOTED, evidence=judged, detail=detail, **quality)
        log.info("%s: version %s serves; %s", record.key, challenger, detail)

    def _prove(self, record: Record, onset: Onset) -> RetrainingState:
        promoted = record.rows[RetrainingState.PROMOTED]
        reference, why = self._reference(record, onset)
        record.reach(RetrainingState.PROVING, detail=why)
        deadline = promoted["at"] + timedelta(seconds=self._retrain.proof_timeout_seconds)
        while True:
            proof = self._judge(promoted, reference)
            if proof is None and self._now() >= deadline:
                proof = Proof(
                    False,
                    f"within {self._retrain.proof_timeout_seconds:.0f} s there were fewer than "
                    f"{self._retrain.proof_windows} final windows with labels for half of their events, or no block",
                )
            if proof is not None:
                return self._conclude(record, proof)
            if not self._wait:
                return RetrainingState.PROVING
            self._sleep(self._retrain.poll_seconds)

    def _judge(self, promoted: Row, reference: float) -> Proof | None:
        model, version, at = self._registry.model, promoted["challenger"], promoted["at"]
        windows = read_windows(self._tables, model, version, self._settings.ingest.window_seconds, first_start=at)
        return judge(windows, read_blocks(self._tables, model, version, at), reference, self._retrain)

    def _reference(self, record: Record, onset: Onset) -> tuple[float, str]:
        before = read_windows(
            self._tables,
            self._registry.model,
            _champion(record),
            self._settings.ingest.window_seconds,
            last_end=onset.since,
        )
        accuracy = mean_accuracy(before)
        if accuracy is not None:
            return accuracy, f"the champion was right in {accuracy:.1%} before the onset"
        quality = float(record.rows[RetrainingState.PROMOTED]["champion_quality"])
        return quality, f"no labelled window before the onset, so the champion's {quality:.1%} in the comparison counts"

    def _conclude(self, record: Record, proof: Proof) -> RetrainingState:
        if proof.proven:
            log.info("%s has proven itself: %s", record.key, proof.detail)
            return record.reach(RetrainingState.PROVEN, detail=proof.detail)
        challenger = record.rows[RetrainingState.PROMOTED]["challenger"]
        move = Promotion(challenger, _champion(record), record.key, ROLLED_BACK)
        promote(self._registry, self._tables, move, now=self._now())
        log.warning("%s is rolled back to version %s: %s", record.key, _champion(record), proof.detail)
        return record.reach(RetrainingState.ROLLED_BACK, detail=proof.detail)

    def _renew_card(self, record: Record) -> None:
        version = record.rows.get(RetrainingState.TRAINED, {}).get("challenger")
        if version is not None:
            try:
                log_card(self._registry, self._tables, version, self._now())
            except PegelError as error:
                # A card that could not be made must not end the proof of a version that serves already.
                log.warning("the model card of version %s is older than its state: %s", version, error)


def _champion(record: Record) -> str:
    return str(record.rows[RetrainingState.STARTED]["champion"])


def _labelled(rows: Sequence[LabelledRow]) -> list[LabelledText]:
    return [LabelledText(row.text, row.label) for row in rows]
