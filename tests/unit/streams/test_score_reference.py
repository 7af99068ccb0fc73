"""The calibration set's scores, as the yardstick of drift."""

import pytest
from prometheus_client import CollectorRegistry

from streams.contracts.findings import Model
from streams.metrics import StreamsMetrics
from streams.score_reference import PREVALENCES, SCORE_BOUNDS, ScoreReference, share_below

EVENLY = tuple(step / 20 for step in range(21))


@pytest.mark.parametrize(("bound", "share"), [(-0.1, 0.0), (0.0, 0.0), (0.525, 0.525), (1.0, 1.0)])
def test_the_share_below_a_bound_is_read_off_the_quantiles(bound: float, share: float) -> None:
    assert share_below(bound, EVENLY) == pytest.approx(share)


def test_equal_quantiles_are_a_step() -> None:
    assert share_below(0.3, (0.3, 0.3, 0.3, 0.9)) == pytest.approx(2 / 3)
    assert share_below(0.29, (0.3, 0.3, 0.3, 0.9)) == 0.0


def test_a_prevalence_mixes_the_two_classes() -> None:
    reference = ScoreReference(negative=(0.0, 0.2), positive=(0.8, 1.0), negatives=40, positives=60)
    assert reference.share(0.5, prevalence=0.3) == pytest.approx(0.7)


def test_an_opened_model_tells_its_reference_and_its_name() -> None:
    registry = CollectorRegistry()
    model = Model(name="m", version="1", sha256="0" * 64, runtime="onnx-cpu")
    StreamsMetrics(registry).model_opened(model, ScoreReference((0.0, 0.2), (0.8, 1.0), 40, 60))
    info = {"name": "m", "version": "1", "runtime": "onnx-cpu"}
    assert registry.get_sample_value("tocsin_streams_model_info", info) == 1
    for prevalence in PREVALENCES:
        labels = {"prevalence": f"{prevalence:g}", "le": "0.5"}
        share = registry.get_sample_value("tocsin_streams_reference_score_share", labels)
        assert share == pytest.approx(1 - prevalence)


def test_the_bounds_of_the_reference_are_the_buckets_of_the_scores() -> None:
    registry = CollectorRegistry()
    StreamsMetrics(registry)
    (family,) = [f for f in registry.collect() if f.name == "tocsin_streams_series_score"]
    buckets = {s.labels["le"] for s in family.samples if s.name.endswith("_bucket")}
    assert buckets - {"+Inf"} == {str(float(bound)) for bound in SCORE_BOUNDS}
