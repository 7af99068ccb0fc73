"""The ops table says what the services' metrics say."""

from tocsin.ops_view import rows
from tocsin.samples import Samples

TWO_WORKERS = (
    'tocsin_streams_series_total{outcome="positive"} 2\ntocsin_streams_series_total{outcome="negative"} 0\n',
) * 2
ALERTS = """\
# TYPE tocsin_alerts_decisive_slice_to_alert_delivered_seconds histogram
tocsin_alerts_decisive_slice_to_alert_delivered_seconds_bucket{le="30.0"} 3
tocsin_alerts_decisive_slice_to_alert_delivered_seconds_bucket{le="+Inf"} 4
tocsin_alerts_decisive_slice_to_alert_delivered_seconds_count 4
tocsin_alerts_decisive_slice_to_alert_delivered_seconds_sum 50
"""


def test_workers_are_summed_and_late_alerts_show() -> None:
    table = dict(rows(Samples.parsed([*TWO_WORKERS, ALERTS])))
    assert table["Series closed"] == "positive 4"
    assert table["Alerts within 30 s of the decisive slice"] == "3 of 4, 12.50 s on average"


def test_a_node_that_has_done_nothing_says_so() -> None:
    table = dict(rows(Samples.parsed([])))
    assert table["Series closed"] == "none"
    assert table["Alerts within 30 s of the decisive slice"] == "0 of 0, none yet"
