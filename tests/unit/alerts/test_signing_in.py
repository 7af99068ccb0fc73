"""Accounts, second factor, sessions, tokens and lockout, with a moved clock on a real store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from alerts.access import accounts, passwords, sessions, tokens
from alerts.access.lockout import LONGEST_WAIT, wait_after
from alerts.access.permissions import Permission, Role
from alerts.access.second_factor import Sealer
from alerts.access.sessions import Lifetime
from alerts.access.sign_on import Person, SignOn
from alerts.access.signing_in import SignIn
from alerts.access.tables import Account, Attempts, SignedIn, Token
from alerts.access.user import Means
from alerts.errors import (
    AccountRefused,
    CodeRefused,
    InvitationRefused,
    PasswordRefused,
    SignInRefused,
    TokenRefused,
    TriedTooOften,
)
from alerts.store.database import Database
from alerts.store.record import verify
from alerts.store.schema import Entry
from tests.unit.alerts.builders import FakeClock, an_entrance

PASSWORD = "correct horse battery"
HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"


@dataclass
class Gatehouse:
    """Speaks the words of the scenarios."""

    database: Database
    clock: FakeClock
    sign_in: SignIn
    secrets: dict[str, str]

    def add(self, login: str = "anna", *roles: Role) -> str:
        with self.database.writing() as session:
            return accounts.add(
                session, login, f"Dr {login.title()}", roles or (Role.DOCTOR,), self.clock.now(), "test"
            )

    def set_up(self, login: str = "anna", *roles: Role) -> str:
        invitation = self.add(login, *roles)
        self.secrets[login] = self.sign_in.enrolment(invitation).secret
        return self.sign_in.set_up(invitation, PASSWORD, self.code(login))

    def code(self, login: str = "anna") -> str:
        return pyotp.TOTP(self.secrets[login]).at(self.clock.now())

    def later_code(self, login: str = "anna") -> str:
        self.clock.advance(seconds=31)
        return self.code(login)

    def enter(self, login: str = "anna", password: str = PASSWORD, code: str | None = None, at: str = HERE) -> str:
        return self.sign_in.with_password(login, password, self.later_code(login) if code is None else code, at)

    def user(self, secret: str) -> Any:
        with self.database.reading() as session:
            found = sessions.find(session, secret, self.clock.now(), self.sign_in.lifetime)
            return found.user if found else None

    def recorded(self) -> list[str]:
        with self.database.reading() as session:
            assert verify(session).broken_at is None
            return [entry.body for entry in session.scalars(select(Entry).where(Entry.kind == "access"))]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2id all the same, with less memory and time."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=32, parallelism=1))
    passwords.nobodys.cache_clear()
    yield
    passwords.nobodys.cache_clear()


@pytest.fixture
def house(database: Database) -> Gatehouse:
    clock = FakeClock()
    house = Gatehouse(database, clock, None, {})  # type: ignore[arg-type] # set on the next line
    house.sign_in = an_entrance(house).sign_in
    return house


def test_an_invitation_sets_an_account_up_once(house: Gatehouse) -> None:
    invitation = house.add()
    enrolment = house.sign_in.enrolment(invitation)
    assert enrolment == house.sign_in.enrolment(invitation)
    house.secrets["anna"] = enrolment.secret
    with pytest.raises(PasswordRefused):
        house.sign_in.set_up(invitation, "short", house.code())
    with pytest.raises(PasswordRefused):
        house.sign_in.set_up(invitation, "anna and her horse", house.code())
    with pytest.raises(CodeRefused):
        house.sign_in.set_up(invitation, PASSWORD, "000000")
    secret = house.sign_in.set_up(invitation, PASSWORD, house.code())
    assert house.user(secret).name == "Dr Anna"
    with pytest.raises(InvitationRefused):
        house.sign_in.set_up(invitation, PASSWORD, house.code())


def test_an_invitation_expires(house: Gatehouse) -> None:
    invitation = house.add()
    house.clock.advance(hours=73)
    with pytest.raises(InvitationRefused):
        house.sign_in.enrolment(invitation)
    with pytest.raises(InvitationRefused):
        house.sign_in.enrolment("made up")


def test_password_and_code_are_both_needed_and_a_code_counts_once(house: Gatehouse) -> None:
    house.set_up()
    with pytest.raises(SignInRefused):
        house.sign_in.with_password("anna", PASSWORD, house.code(), HERE)  # counted at the set-up
    assert house.user(house.enter()).may(Permission.ACKNOWLEDGE)
    assert house.user(house.sign_in.with_password("ANNA ", PASSWORD, house.later_code(), HERE))
    with pytest.raises(SignInRefused):
        house.enter(password="wrong horse battery")
    with pytest.raises(SignInRefused):
        house.enter(code="")
    with pytest.raises(SignInRefused):
        house.enter("nobody", code="123456")


def test_a_recovery_code_stands_in_for_the_app_once_and_for_nothing_else(house: Gatehouse) -> None:
    invitation = house.add()
    enrolment = house.sign_in.enrolment(invitation)
    house.secrets["anna"] = enrolment.secret
    first, second, *others = enrolment.recovery_codes
    assert len({first, second, *others}) == 8
    with pytest.raises(CodeRefused):
        house.sign_in.set_up(invitation, PASSWORD, first)  # the app has to be shown to work
    house.sign_in.set_up(invitation, PASSWORD, house.code())
    house.set_up("ben")

    assert house.user(house.enter(code=first)).login == "anna"
    assert house.user(house.enter(code=second.replace(" ", ""))).login == "anna"
    assert house.sign_in.recovery_codes_left("anna") == 6
    assert [body for body in house.recorded() if "recovery_code_used" in body and '"left":6' in body.replace(" ", "")]
    for login, password, code in (
        ("anna", PASSWORD, first),
        ("anna", "wrong horse battery", others[0]),
        ("ben", PASSWORD, others[0]),
        ("anna", PASSWORD, "0000 0000 0000 0000"),
    ):
        house.clock.advance(minutes=20)  # nobody has to wait
        with pytest.raises(SignInRefused):
            house.enter(login, password, code)
    assert house.sign_in.recovery_codes_left("anna") == 6

    with house.database.writing() as session:
        again = accounts.reset(session, "anna", house.clock.now(), "test")
    assert house.sign_in.recovery_codes_left("anna") is None
    assert not set(house.sign_in.enrolment(again).recovery_codes) & set(enrolment.recovery_codes)


def test_a_second_factor_that_is_not_required_may_be_left_out_and_not_skipped_once_there(house: Gatehouse) -> None:
    house.sign_in = an_entrance(house, second_factor=False).sign_in
    house.sign_in.set_up(house.add("ben"), PASSWORD, "")
    assert house.user(house.enter("ben", code=""))
    house.set_up("anna")
    with pytest.raises(SignInRefused):
        house.enter("anna", code="")
    strict = an_entrance(house).sign_in
    with pytest.raises(SignInRefused):
        strict.with_password("ben", PASSWORD, "", HERE)


def test_who_guesses_waits_longer_and_longer_and_only_at_that_place(house: Gatehouse) -> None:
    house.set_up()
    for _ in range(5):
        with pytest.raises(SignInRefused):
            house.sign_in.with_password("anna", "wrong", "000000", HERE)
    with pytest.raises(TriedTooOften) as first:
        house.sign_in.with_password("anna", PASSWORD, house.code(), HERE)
    assert 0 < first.value.seconds <= 15
    assert house.user(house.enter(at=ELSEWHERE))
    house.clock.advance(seconds=16)
    assert house.user(house.enter())
    assert sum('"locked_out"' in body for body in house.recorded()) == 1
    assert wait_after(4, 5) == timedelta(0)
    assert wait_after(6, 5) == 2 * wait_after(5, 5)
    assert wait_after(10_000, 5) == LONGEST_WAIT


def test_many_guesses_at_once_gain_nothing(house: Gatehouse) -> None:
    house.set_up()

    def guess(number: int) -> type[Exception]:
        try:
            house.sign_in.with_password("anna", f"guess {number}", "000000", HERE)
        except (SignInRefused, TriedTooOften) as error:
            return type(error)
        return AssertionError

    with ThreadPoolExecutor(8) as many:
        outcomes = list(many.map(guess, range(20)))
    assert outcomes.count(SignInRefused) == 5
    assert outcomes.count(TriedTooOften) == 15


def test_an_unknown_login_is_counted_like_a_known_one_and_not_kept(house: Gatehouse) -> None:
    for _ in range(5):
        with pytest.raises(SignInRefused):
            house.sign_in.with_password("my password by mistake", "x", "", HERE)
    with pytest.raises(TriedTooOften):
        house.sign_in.with_password("my password by mistake", "x", "", HERE)
    with house.database.reading() as session:
        assert all("mistake" not in row.subject for row in session.scalars(select(Attempts)))
    assert not any("mistake" in body for body in house.recorded())


def test_a_session_ends_by_time_by_idleness_and_by_sign_out(house: Gatehouse) -> None:
    lifetime = Lifetime()
    secret = house.set_up()
    house.clock.advance(hours=1, minutes=59)
    with house.database.writing() as session:
        sessions.use(session, sessions.digest_of(secret), house.clock.now())
    house.clock.advance(hours=1, minutes=59)
    assert house.user(secret)
    house.clock.advance(minutes=2)
    assert house.user(secret) is None
    secret = house.enter()
    for _ in range(12):
        house.clock.advance(hours=1)
        with house.database.writing() as session:
            sessions.use(session, sessions.digest_of(secret), house.clock.now())
    assert lifetime.whole == timedelta(hours=12)
    assert house.user(secret) is None
    secret = house.enter()
    house.sign_in.out(secret)
    assert house.user(secret) is None


def test_what_an_administrator_changes_holds_at_once(house: Gatehouse) -> None:
    secret = house.set_up()
    with house.database.writing() as session:
        accounts.set_roles(session, "anna", [Role.OPS], house.clock.now(), "test")
    assert not house.user(secret).may(Permission.ACKNOWLEDGE)
    with house.database.writing() as session:
        accounts.disable(session, "anna", house.clock.now(), "test")
    assert house.user(secret) is None
    with pytest.raises(SignInRefused):
        house.enter()
    with house.database.writing() as session:
        accounts.enable(session, "anna", house.clock.now(), "test")
    secret = house.enter()
    with house.database.writing() as session:
        invitation = accounts.reset(session, "anna", house.clock.now(), "test")
    assert house.user(secret) is None
    with pytest.raises(SignInRefused):
        house.enter()
    assert house.sign_in.enrolment(invitation).secret != house.secrets["anna"]
    events = "".join(house.recorded())
    for event in ("account_added", "account_set_up", "roles_changed", "account_disabled", "account_reset", "signed_in"):
        assert f'"{event}"' in events


def test_accounts_that_cannot_be(house: Gatehouse) -> None:
    house.add()
    for login, name, roles in (("anna", "x", ["doctor"]), ("An na", "x", ["ops"]), ("b", " ", ["ops"]), ("b", "x", [])):
        with pytest.raises(AccountRefused), house.database.writing() as session:
            accounts.add(session, login, name, [Role(r) for r in roles], house.clock.now(), "test")
    with pytest.raises(AccountRefused), house.database.writing() as session:
        accounts.disable(session, "nobody", house.clock.now(), "test")


def test_no_secret_is_in_the_store(house: Gatehouse, tmp_path: Any) -> None:
    invitation = house.add("ben")
    secret = house.set_up()
    with house.database.writing() as session:
        token = tokens.create(session, "pager", [Permission.ACKNOWLEDGE], 1, house.clock.now())
        kept = session.get_one(Account, "anna")
        assert kept.password
        assert kept.password.startswith("$argon2id$")
        assert kept.totp
        assert Sealer(b"s" * 32, b"other" * 8).open(kept.totp, "anna") is None
        assert session.scalars(select(SignedIn)).one().digest == sessions.digest_of(secret)
    house.database.close()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for word in (PASSWORD, secret, invitation, token[-43:], house.secrets["anna"]):
        assert word.encode() not in stored


def test_a_token_has_scopes_and_an_end(house: Gatehouse) -> None:
    now = house.clock.now()
    with house.database.writing() as session:
        token = tokens.create(session, "pager", [Permission.ACKNOWLEDGE, Permission.SEE_STUDIES], 30, now)
    with house.database.reading() as session:
        found = tokens.find(session, token, now)
        assert found
        assert found.user.means is Means.TOKEN
        assert found.user.permissions == {Permission.ACKNOWLEDGE, Permission.SEE_STUDIES}
        assert tokens.find(session, token[:-1] + ("A" if token[-1] != "A" else "B"), now) is None
        assert tokens.find(session, "tocsin_x_y", now) is None
        assert tokens.find(session, token, now + timedelta(days=30)) is None
    with house.database.writing() as session:
        tokens.revoke(session, "pager", now)
    with house.database.reading() as session:
        assert tokens.find(session, token, now) is None
        assert [t.state(now) for t in tokens.every(session)] == ["revoked"]


@pytest.mark.parametrize(
    ("name", "scopes", "days"),
    [
        ("", [Permission.ACKNOWLEDGE], 30),
        ("a\nb", [Permission.ACKNOWLEDGE], 30),
        ("a", [], 30),
        ("a", [Permission.MANAGE_ACCESS], 30),
        ("a", [Permission.ACKNOWLEDGE], 0),
        ("a", [Permission.ACKNOWLEDGE], 400),
    ],
)
def test_tokens_that_cannot_be(house: Gatehouse, name: str, scopes: list[Permission], days: int) -> None:
    with pytest.raises(TokenRefused), house.database.writing() as session:
        tokens.create(session, name, scopes, days, house.clock.now())
    with house.database.writing() as session:
        tokens.create(session, "once", [Permission.ACKNOWLEDGE], 1, house.clock.now())
        with pytest.raises(TokenRefused):
            tokens.create(session, "once", [Permission.ACKNOWLEDGE], 1, house.clock.now())
        with pytest.raises(TokenRefused):
            tokens.revoke(session, "never", house.clock.now())
        assert session.scalars(select(Token)).one().name == "once"


SSO = SignOn.model_validate(
    {
        "issuer": "https://sso.example/realms/h",
        "client_id": "tocsin",
        "roles_claim": "realm_access.roles",
        "roles": {"radiology": "doctor", "it": ["ops", "admin"]},
    }
)


def claims(*groups: str, sub: str = "u1", **more: str) -> dict[str, Any]:
    given = {"sub": sub, "preferred_username": "Anna", "name": "Dr  Anna\u0000 Grün"}
    return given | {"realm_access": {"roles": list(groups)}} | more


def test_groups_of_the_sign_on_become_roles(house: Gatehouse) -> None:
    assert SSO.person(claims("radiology", "canteen")) == Person(
        SSO.issuer, "u1", "Anna", "Dr Anna Grün", (Role.DOCTOR,)
    )
    assert SSO.person(claims("it", "radiology")).roles == (Role.ADMIN, Role.DOCTOR, Role.OPS)
    assert SSO.person(claims("canteen")).roles == ()
    assert SSO.person({"sub": "u", "realm_access": 3}).roles == ()


def test_the_sign_on_makes_an_account_keeps_its_roles_current_and_takes_nobodys(house: Gatehouse) -> None:
    house.set_up("anna")
    secret = house.sign_in.with_sign_on(SSO.person(claims("radiology")))
    user = house.user(secret)
    assert user.login.startswith("anna-")  # the local account of that name stays whose it is
    assert user.may(Permission.ACKNOWLEDGE)
    house.sign_in.with_sign_on(SSO.person(claims("it")))
    assert not house.user(secret).may(Permission.ACKNOWLEDGE)
    with pytest.raises(SignInRefused):
        house.sign_in.with_sign_on(SSO.person(claims("canteen")))
    assert house.user(secret) is None
    with pytest.raises(SignInRefused):
        house.enter(user.login, code="123456")
    secret = house.sign_in.with_sign_on(SSO.person(claims("it")))
    with house.database.writing() as session:
        accounts.disable(session, user.login, house.clock.now(), "test")
    with pytest.raises(SignInRefused):
        house.sign_in.with_sign_on(SSO.person(claims("it")))
    with pytest.raises(AccountRefused), house.database.writing() as session:
        accounts.reset(session, user.login, house.clock.now(), "test")
