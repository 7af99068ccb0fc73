"""What to tell people about a study: facts and the time in, a step with its reason out. Pure.

Laws: a positive is taken back only by a *computed* negative of the same series, never by a failure or by silence; a
study of which nothing could be read is told to people as *not analysed*, also when another study of the same case could
be; whoever was told of something is told when it
changes; every decision names its reason.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from alerts.life import Claim, Life, Topic
from streams.contracts.findings import FindingProduced, FindingStatus, Outcome, Side


class Verdict(StrEnum):
    """How a study stands, over all its series; most urgent first."""

    BLEED = "bleed"
    FAILED = "failed"
    NOT_ASSESSABLE = "not_assessable"
    ARRIVING = "arriving"
    CLEAR = "clear"


class Step(StrEnum):
    """What to do."""

    NOTHING = "nothing"
    RAISE = "raise"
    """Make the alert, or open it again under a new claim; ring whoever is on call."""
    CONFIRM = "confirm"
    AMEND = "amend"
    RETRACT = "retract"


class Reason(StrEnum):
    """Why."""

    POSITIVE_PROVISIONAL = "positive_provisional"
    POSITIVE_FINAL = "positive_final"
    POSITIVE_AFTER_ALL = "positive_after_all"
    FAILED = "failed"
    NOTHING_ASSESSABLE = "nothing_assessable"
    CONFIRMED_BY_COMPLETE_SERIES = "confirmed_by_complete_series"
    SIDE_OR_TYPE_CHANGED = "side_or_type_changed"
    READING_INCOMPLETE = "reading_incomplete"
    NOT_BORNE_OUT = "not_borne_out"
    ANALYSED_AFTER_ALL = "analysed_after_all"
    NEGATIVE = "negative"
    LISTED_ONLY = "listed_only"
    WAITING_FOR_OTHER_SERIES = "waiting_for_other_series"
    NOTHING_YET = "nothing_yet"
    NO_RESULT_IN_TIME = "no_result_in_time"
    ALREADY_TOLD = "already_told"
    ALSO_IN_ANOTHER_STUDY = "also_in_another_study"
    NO_LONGER_IN_ANOTHER_STUDY = "no_longer_in_another_study"


class Audience(StrEnum):
    NOBODY = "nobody"
    TOLD = "told"
    """Those who got, or may have got, an earlier message of this alert."""
    ON_CALL = "on_call"
    """Whoever must answer now, and those who were told before."""


class TellNotAssessable(StrEnum):
    """When people are told of images that cannot be read."""

    NEVER = "never"
    """Listed on the page only."""
    ALONE = "alone"
    """When no series of the study could be read, after a wait for the others."""
    AT_ONCE = "at_once"


@dataclass(frozen=True)
class Policy:
    """The site's choices."""

    tell_failed: bool = True
    tell_not_assessable: TellNotAssessable = TellNotAssessable.ALONE
    wait_for_other_series: timedelta = timedelta(seconds=90)
    """How long an unreadable series waits for a readable one (localizers come first) before people are told."""
    tell_confirmed: bool = False
    result_within: timedelta = timedelta(minutes=10)
    """A study that has come in and has no result at all for so long is told as not analysed."""
    late_after: timedelta = timedelta(minutes=10)
    """A finding older than this when it gets here is marked late."""
    page_within: timedelta = timedelta(hours=24)
    """A finding older than this is listed, waits for an answer, and rings nobody."""
    join_within: timedelta = timedelta(minutes=30)
    """A study of the same patient that comes within this of another joins its alert."""


@dataclass(frozen=True)
class FindingFact:
    """One revision of one series' finding, as far as the decision needs it."""

    series_key: str
    revision: int
    status: FindingStatus
    outcome: Outcome
    produced_at: datetime
    sides: frozenset[Side] = frozenset()
    leading: str | None = None
    """The most probable type of hemorrhage."""
    score: float = 0.0

    @classmethod
    def of(cls, finding: FindingProduced) -> "FindingFact":
        return cls(
            finding.series_key,
            finding.revision,
            finding.status,
            finding.outcome,
            finding.clocks.produced,
            sides_of(finding),
            leading_type(finding),
            finding.score or 0.0,
        )


NO_SIDE = frozenset({Side.UNKNOWN, Side.BOTH})
BOTH_SIDES = frozenset({Side.LEFT, Side.RIGHT})
ANY_TYPE = "any"


def sides_of(finding: FindingProduced) -> frozenset[Side]:
    """The sides that the key slices show; what lies on both is on the left and on the right."""
    shown = frozenset(key_slice.side for key_slice in finding.key_slices)
    return together((shown | BOTH_SIDES if Side.BOTH in shown else shown) - NO_SIDE)


def together(sides: Iterable[Side]) -> frozenset[Side]:
    """Sides seen in several slices or series, as one claim: *midline* says that nothing lies clearly on a side, and is
    not said beside one (the slice above it may show a part of a frontal bleed that is near the middle)."""
    found = frozenset(sides)
    return found - {Side.MIDLINE} if found & BOTH_SIDES else found


def leading_type(finding: FindingProduced) -> str | None:
    """The most probable type; None without types."""
    types = {label: p for label, p in finding.probabilities.items() if label != ANY_TYPE}
    return max(types, key=lambda label: types[label]) if types else None


@dataclass(frozen=True)
class Told:
    """The alert as people know it."""

    life: Life
    sides: frozenset[Side] = frozenset()
    leading: str | None = None
    studies: frozenset[str] = frozenset()
    """The studies of the case that people were told about."""


@dataclass(frozen=True)
class StudyFacts:
    """A study, and the others of its case: the same patient, scanned again within a while."""

    findings: tuple[FindingFact, ...] = ()
    """Every revision of every series."""
    told: Told | None = None
    result_unreadable: bool = False
    """A finding of this study came that could not be parsed."""
    first_seen_at: datetime | None = None
    study_key: str = ""
    others: tuple["StudyFacts", ...] = ()


@dataclass(frozen=True)
class Standing:
    """How the study, or the case, stands, and the finding that says so."""

    verdict: Verdict
    source: FindingFact | None = None
    provisional: bool = False
    sides: frozenset[Side] = frozenset()
    leading: str | None = None
    incomplete: bool = False
    """A positive series later failed: the warning stands, the reading is not complete."""
    studies: frozenset[str] = frozenset()
    """Those that stand so."""
    since: datetime | None = None
    """When the study came in."""
    by_study: tuple["Standing", ...] = ()
    """Of a case, those that stand so, one by one."""


@dataclass(frozen=True)
class Decision:
    step: Step
    reason: Reason
    standing: Standing
    topic: Topic = Topic.BLEED
    audience: Audience = Audience.NOBODY
    late: bool = False
    look_again_at: datetime | None = None

    @property
    def claim(self) -> Claim:
        """The claim of an alert raised by this decision."""
        return Claim.PROVISIONAL if self.standing.provisional else Claim.CONFIRMED


def standing(facts: StudyFacts) -> Standing:
    """How the case stands: as the most urgent of its studies does."""
    return _combined([study_standing(study) for study in (facts, *facts.others)])


def study_standing(facts: StudyFacts) -> Standing:
    """How the study stands by itself: as the most urgent of its series does."""
    return replace(_of_series(facts), studies=frozenset({facts.study_key}), since=facts.first_seen_at)


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}


def _combined(standings: list[Standing]) -> Standing:
    worst = min(standings, key=lambda at: ORDER[at.verdict]).verdict
    same = [at for at in standings if at.verdict is worst]
    if len(same) == 1:
        return replace(same[0], by_study=tuple(same))
    speaking = [at for at in same if not at.provisional] or same
    source = max((at.source for at in speaking if at.source), key=_weight, default=None)
    return Standing(
        worst,
        source,
        provisional=all(at.provisional for at in same),
        sides=together(side for at in speaking for side in at.sides),
        leading=source.leading if source else None,
        incomplete=all(at.incomplete for at in same),
        studies=frozenset(key for at in same for key in at.studies),
        since=min((at.since for at in same if at.since), default=None),
        by_study=tuple(same),
    )


def _weight(fact: FindingFact) -> tuple[float, datetime]:
    return fact.score, fact.produced_at


def _of_series(facts: StudyFacts) -> Standing:
    series = [list(revisions) for revisions in _by_series(facts.findings)]
    positives = [fact for revisions in series if (fact := _positive_that_stands(revisions))]
    if positives:
        return _positive_standing(positives, [revisions[-1] for revisions in series])
    latest = [revisions[-1] for revisions in series]
    if failed := _newest(f for f in latest if f.outcome is Outcome.FAILED):
        return Standing(Verdict.FAILED, failed)
    if facts.result_unreadable:
        return Standing(Verdict.FAILED)
    if negative := _newest(f for f in latest if f.outcome is Outcome.NEGATIVE):
        return Standing(Verdict.CLEAR, negative)
    if unread := _newest(latest):
        return Standing(Verdict.NOT_ASSESSABLE, unread)
    return Standing(Verdict.ARRIVING)


def _by_series(findings: Iterable[FindingFact]) -> Iterator[Iterator[FindingFact]]:
    ordered = sorted(findings, key=lambda f: (f.series_key, f.revision))
    return (revisions for _, revisions in groupby(ordered, key=lambda f: f.series_key))


def _positive_that_stands(revisions: list[FindingFact]) -> FindingFact | None:
    """The last positive that no later revision has computed to be negative."""
    standing_positive = None
    for fact in revisions:
        if fact.outcome is Outcome.POSITIVE:
            standing_positive = fact
        elif fact.outcome is Outcome.NEGATIVE:
            standing_positive = None
    return standing_positive


def _positive_standing(positives: list[FindingFact], latest: list[FindingFact]) -> Standing:
    finals = [fact for fact in positives if fact.status is FindingStatus.FINAL]
    speaking = finals or positives
    source = max(speaking, key=lambda fact: fact.score)
    sides = together(side for fact in speaking for side in fact.sides)
    incomplete = not finals and not any(fact in latest for fact in positives)
    provisional = not finals and not incomplete
    return Standing(Verdict.BLEED, source, provisional, sides, source.leading, incomplete)


def _newest(facts: Iterable[FindingFact]) -> FindingFact | None:
    return max(facts, key=lambda fact: fact.produced_at, default=None)


def decide(facts: StudyFacts, policy: Policy, now: datetime) -> Decision:
    """What to do about a study, now."""
    at = standing(facts)
    if at.verdict is Verdict.BLEED:
        return _bleed(at, facts.told, policy, now)
    if facts.told and facts.told.life.topic is Topic.BLEED and facts.told.life.claim is not Claim.RETRACTED:
        return _no_longer_a_bleed(at)
    match at.verdict:
        case Verdict.FAILED:
            return _not_analysed(at, facts.told, policy, now, Reason.FAILED, tell=policy.tell_failed)
        case Verdict.NOT_ASSESSABLE:
            return _not_assessable(at, facts.told, policy, now)
        case Verdict.CLEAR:
            return _clear(at, facts.told)
        case Verdict.ARRIVING:
            return _arriving(at, facts, policy, now)


def _bleed(at: Standing, told: Told | None, policy: Policy, now: datetime) -> Decision:
    if told is None or told.life.topic is Topic.NOT_ANALYSED or told.life.claim is Claim.RETRACTED:
        fresh = Reason.POSITIVE_PROVISIONAL if at.provisional else Reason.POSITIVE_FINAL
        return _ring(at, Topic.BLEED, Reason.POSITIVE_AFTER_ALL if told else fresh, policy, now)
    if told.studies and at.studies != told.studies:
        return _other_studies(at, told.studies)
    if at.provisional or (told.life.claim is not Claim.PROVISIONAL and not _says_otherwise(at, told)):
        return Decision(Step.NOTHING, Reason.ALREADY_TOLD, at)
    if at.incomplete:
        if told.life.claim is Claim.AMENDED:
            return Decision(Step.NOTHING, Reason.ALREADY_TOLD, at)
        return Decision(Step.AMEND, Reason.READING_INCOMPLETE, at, audience=Audience.TOLD)
    if _says_otherwise(at, told):
        return Decision(Step.AMEND, Reason.SIDE_OR_TYPE_CHANGED, at, audience=Audience.TOLD)
    audience = Audience.TOLD if policy.tell_confirmed else Audience.NOBODY
    return Decision(Step.CONFIRM, Reason.CONFIRMED_BY_COMPLETE_SERIES, at, audience=audience)


def _other_studies(at: Standing, told: frozenset[str]) -> Decision:
    """A second scan of the same patient shows it too, or does no longer: the same people hear of it."""
    news = [study for study in at.by_study if not study.studies <= told]
    if not news:
        return Decision(Step.AMEND, Reason.NO_LONGER_IN_ANOTHER_STUDY, at, audience=Audience.TOLD)
    newest = max((study.source for study in news if study.source), key=lambda fact: fact.produced_at)
    speaking = replace(at, source=newest)
    return Decision(Step.AMEND, Reason.ALSO_IN_ANOTHER_STUDY, speaking, audience=Audience.TOLD)


def _says_otherwise(at: Standing, told: Told) -> bool:
    return at.sides != told.sides or at.leading != told.leading


def _no_longer_a_bleed(at: Standing) -> Decision:
    """The warning is not borne out; where another series was not read, that is said in the same breath."""
    if at.verdict in (Verdict.FAILED, Verdict.NOT_ASSESSABLE):
        return Decision(Step.AMEND, Reason.NOT_BORNE_OUT, at, Topic.NOT_ANALYSED, Audience.ON_CALL)
    return Decision(Step.RETRACT, Reason.NOT_BORNE_OUT, at, audience=Audience.TOLD)


def _not_analysed(
    at: Standing, told: Told | None, policy: Policy, now: datetime, reason: Reason, *, tell: bool
) -> Decision:
    if told and told.life.topic is Topic.NOT_ANALYSED and told.life.claim is not Claim.RETRACTED:
        return Decision(Step.NOTHING, Reason.ALREADY_TOLD, at, Topic.NOT_ANALYSED)
    if not tell:
        return Decision(Step.NOTHING, Reason.LISTED_ONLY, at, Topic.NOT_ANALYSED)
    return _ring(at, Topic.NOT_ANALYSED, reason, policy, now)


def _not_assessable(at: Standing, told: Told | None, policy: Policy, now: datetime) -> Decision:
    assert at.source is not None
    rings_at = at.source.produced_at + policy.wait_for_other_series
    alone = policy.tell_not_assessable is TellNotAssessable.ALONE
    if alone and now < rings_at:
        return Decision(Step.NOTHING, Reason.WAITING_FOR_OTHER_SERIES, at, Topic.NOT_ANALYSED, look_again_at=rings_at)
    tell = policy.tell_not_assessable is not TellNotAssessable.NEVER
    return _not_analysed(at, told, policy, now, Reason.NOTHING_ASSESSABLE, tell=tell)


def _clear(at: Standing, told: Told | None) -> Decision:
    if told and told.life.claim is not Claim.RETRACTED:
        return Decision(Step.RETRACT, Reason.ANALYSED_AFTER_ALL, at, Topic.NOT_ANALYSED, Audience.TOLD)
    return Decision(Step.NOTHING, Reason.NEGATIVE, at)


def _arriving(at: Standing, facts: StudyFacts, policy: Policy, now: datetime) -> Decision:
    """Silence must not last: whoever should have read it may be gone."""
    if at.since is None or now - at.since > policy.page_within:
        return Decision(Step.NOTHING, Reason.NOTHING_YET, at)
    overdue_at = at.since + policy.result_within
    if now < overdue_at:
        return Decision(Step.NOTHING, Reason.NOTHING_YET, at, look_again_at=overdue_at)
    return _not_analysed(at, facts.told, policy, now, Reason.NO_RESULT_IN_TIME, tell=True)


def _ring(at: Standing, topic: Topic, reason: Reason, policy: Policy, now: datetime) -> Decision:
    age = now - at.source.produced_at if at.source else timedelta()
    audience = Audience.ON_CALL if age <= policy.page_within else Audience.NOBODY
    return Decision(Step.RAISE, reason, at, topic, audience, late=age > policy.late_after)
