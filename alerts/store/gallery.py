"""The gallery: slices for doctors to look at, kept for some days.

Laws: it is a cache of ``ct.pictures.v1`` in a database of its own (with PostgreSQL: in tables of their own), so that
large pictures never hold the lock that an alert waits for; losing it loses no alert; no patient identity is in it.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, LargeBinary, String, Text, and_, delete, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from alerts.store.database import Database
from alerts.store.schema import KEY, Instant
from streams.contracts.pictures import SlicePictured

UNIT = String(80)


class GalleryBase(DeclarativeBase):
    type_annotation_map = {datetime: Instant, str: Text, bytes: LargeBinary}


class Picture(GalleryBase):
    """One slice, or the mean of some thin ones."""

    __tablename__ = "slice_pictures"
    series_key: Mapped[str] = mapped_column(KEY, primary_key=True)
    unit: Mapped[str] = mapped_column(UNIT, primary_key=True)
    study_key: Mapped[str] = mapped_column(KEY, index=True)
    digest: Mapped[str] = mapped_column(KEY)
    body: Mapped[str]
    """The :class:`SlicePictured` as it came."""
    packed: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    heat_map: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    received_at: Mapped[datetime] = mapped_column(Instant, index=True)


@dataclass(frozen=True)
class Hanging:
    """A picture that can be looked at; its pixels are fetched by themselves."""

    event: SlicePictured
    has_heat_map: bool


class Gallery(Database):
    """The pictures' database."""

    def prepare(self) -> bool:
        """Create what is missing; says whether it was new."""
        return self.create(GalleryBase.metadata)


def address_beside(database_url: str) -> str:
    """Where the gallery is: beside SQLite's file in one of its own; in the same PostgreSQL."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        return database_url
    stem, dot, ending = url.database.rpartition(".")
    return url.set(database=f"{stem}-pictures.{ending}" if dot else f"{url.database}-pictures").render_as_string(False)


def hang(session: Session, event: SlicePictured, packed: bytes, heat_map: bytes | None, received_at: datetime) -> bool:
    """Keep a picture in the place of an earlier one of its unit; False where it is the same one again.

    A heat map that is known stays when the same picture comes without one, from a worker that took over.
    """
    known = session.get(Picture, (event.series_key, event.unit), with_for_update=True)
    if known is None:
        session.add(
            Picture(
                series_key=event.series_key,
                unit=event.unit,
                study_key=event.study_key,
                digest=event.digest,
                body=event.encode().decode(),
                packed=packed,
                heat_map=heat_map,
                received_at=received_at,
            )
        )
        return True
    if known.digest == event.digest and (heat_map is None or known.heat_map is not None):
        return False
    known.digest, known.body, known.packed = event.digest, event.encode().decode(), packed
    known.heat_map, known.received_at = heat_map, received_at
    return True


def hanging(session: Session, study_key: str) -> list[Hanging]:
    """All pictures of a study, series by series, from the skull base upwards."""
    rows = session.execute(
        select(Picture.body, Picture.heat_map.is_not(None)).where(Picture.study_key == study_key)
    ).all()
    pictures = [Hanging(SlicePictured.decode(body.encode()), has_heat_map) for body, has_heat_map in rows]
    return sorted(pictures, key=lambda picture: _place(picture.event))


def _place(event: SlicePictured) -> tuple[str, float, int]:
    return event.series_key, event.position_mm or 0.0, event.InstanceNumber or 0


def packed_of(session: Session, study_key: str, series_key: str, unit: str, digest: str) -> bytes | None:
    """The packed voxels of a picture of this study."""
    return session.scalar(select(Picture.packed).where(_is(study_key, series_key, unit, digest)))


def heat_map_of(session: Session, study_key: str, series_key: str, unit: str, digest: str) -> bytes | None:
    return session.scalar(select(Picture.heat_map).where(_is(study_key, series_key, unit, digest)))


def _is(study_key: str, series_key: str, unit: str, digest: str) -> ColumnElement[bool]:
    return and_(
        Picture.study_key == study_key,
        Picture.series_key == series_key,
        Picture.unit == unit,
        Picture.digest == digest,
    )


def newest(session: Session) -> str:
    """Changes whenever a picture has come."""
    last, count = session.execute(select(func.max(Picture.received_at), func.count())).one()
    return f"{last.timestamp() if last else 0}-{count}"


def take_down(session: Session, before: datetime) -> int:
    """Remove what came before an instant; returns how many."""
    old = session.scalars(select(Picture.unit).where(Picture.received_at < before)).all()
    session.execute(delete(Picture).where(Picture.received_at < before))
    return len(old)
