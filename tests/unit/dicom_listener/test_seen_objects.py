"""A repetition, a conflict, or new."""

from dicom_listener.seen import Acquaintance, SeenObjects

A, B = b"a" * 32, b"b" * 32


def test_the_same_again_is_a_repetition_only_once_it_is_durable() -> None:
    seen = SeenObjects()
    assert seen.meet("x", A, 0) is Acquaintance.NEW
    assert seen.meet("x", A, 0) is Acquaintance.NEW  # the first is still being written: nobody may rely on it
    seen.settle("x", A)
    assert seen.meet("x", A, 0) is Acquaintance.REPEATED


def test_other_content_is_a_conflict_and_its_repetition_a_repetition() -> None:
    seen = SeenObjects()
    seen.meet("x", A, 0)
    seen.settle("x", A)
    assert seen.meet("x", B, 0) is Acquaintance.CONFLICTING
    seen.settle("x", B)
    assert seen.meet("x", B, 0) is Acquaintance.REPEATED
    assert seen.meet("x", A, 0) is Acquaintance.REPEATED


def test_what_could_not_be_stored_is_forgotten() -> None:
    seen = SeenObjects()
    seen.meet("x", A, 0)
    seen.forget("x", A)
    assert seen.meet("x", B, 0) is Acquaintance.NEW


def test_a_failed_repetition_does_not_unmake_the_first() -> None:
    seen = SeenObjects()
    seen.meet("x", A, 0)
    seen.settle("x", A)
    seen.forget("x", A)
    assert seen.meet("x", A, 0) is Acquaintance.REPEATED


def test_memory_is_bounded_in_time_and_number() -> None:
    seen = SeenObjects(max_objects=2, kept_seconds=60)
    for number, name in enumerate("abc"):
        seen.meet(name, A, number)
        seen.settle(name, A)
    assert seen.meet("c", A, 3) is Acquaintance.REPEATED
    assert seen.meet("a", A, 3) is Acquaintance.NEW
    assert seen.meet("c", A, 62.5) is Acquaintance.NEW
