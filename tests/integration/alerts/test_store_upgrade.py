"""An alert store that has been in use is brought to this version while two instances start on it, on both databases."""

from concurrent.futures import ThreadPoolExecutor

from alembic import command
from sqlalchemy import text

from alerts.store.database import Database
from alerts.store.record import verify
from alerts.store.steps import configuration
from tests.unit.alerts.builders import FakeClock, a_desk, a_finding

ROWS = {
    "alerts": "('a1', 's1', 'bleed', 'confirmed', 'waiting', 'positive_final', 'right', 'subdural', {false}, 'r1', 1, "
    "1, 2, NULL, NULL, NULL, 0, NULL)",
    "studies": "('s1', 1, 2, NULL, 'bleed', 'positive_final', {false}, NULL)",
    "meta": "('link_secret', '6b657074')",
}


def test_two_instances_upgrade_a_used_store_and_lose_nothing(address: str) -> None:
    old = Database(address)
    with old.upgrading() as connection:
        command.upgrade(configuration(connection), "0001")
        false = "false" if connection.dialect.name == "postgresql" else "0"
        for table, row in ROWS.items():
            connection.execute(text(f"INSERT INTO {table} VALUES {row.format(false=false)}"))
    old.close()

    instances = [Database(address) for _ in range(3)]
    with ThreadPoolExecutor() as starting:
        assert not any(starting.map(lambda database: database.prepare(), instances))

    first, *_ = instances
    assert first.secret("link_secret", b"another") == b"kept"
    a_desk(first, FakeClock()).take_finding(a_finding())
    with first.reading() as session:
        assert session.execute(text("SELECT count(*) FROM alerts")).scalar_one() == 2
        assert session.execute(text("SELECT study_key FROM alerts WHERE alert_id = 'a1'")).scalar_one() == "s1"
        assert session.execute(text("SELECT count(*) FROM accounts")).scalar_one() == 0
        assert verify(session).broken_at is None
    for database in instances:
        database.close()


def test_a_new_store_is_made_by_whoever_comes_first(address: str) -> None:
    instances = [Database(address) for _ in range(3)]
    with ThreadPoolExecutor() as starting:
        assert sorted(starting.map(lambda database: database.prepare(), instances)) == [False, False, True]
    for database in instances:
        database.close()


def test_instances_that_start_at_once_agree_on_a_secret(address: str) -> None:
    instances = [Database(address) for _ in range(4)]
    instances[0].prepare()
    with ThreadPoolExecutor(4) as starting:
        for number in range(20):
            made = starting.map(
                lambda pair, name=f"secret {number}": pair[1].secret(name, bytes([pair[0]])), enumerate(instances)
            )
            assert len(set(made)) == 1
    for database in instances:
        database.close()
