"""The ingest bench measures what it says: every slice of every association is stored by each server."""

from tocsin.ingest_bench import measure_ingest


def test_several_associations_on_several_processes() -> None:
    figures = measure_ingest(slices=3, rounds=1, associations=2, processes=2, neighbours=False)
    by_client = figures["by_client"]
    assert isinstance(by_client, dict)
    rates = by_client["pynetdicom"]["slices_per_second"]
    assert rates["tocsin"] > 0
    assert rates["bare_pynetdicom"] > 0
