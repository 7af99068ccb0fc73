"""The slices that the viewer shows: a list for a study, and each slice's voxels and heat map.

A slice's address holds the digest of its voxels, so what is behind an address never changes. Browsers may keep it, but
ask each time whether they still may (``no-cache``, RFC 9111 5.2.2.4): who has lost the permission sees nothing more.
"""

import gzip
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from alerts import wording, worklist
from alerts.access.gate import require
from alerts.access.permissions import Permission
from alerts.access.trail import Look
from alerts.access.user import User
from alerts.store.gallery import Hanging, hanging, heat_map_of, packed_of
from alerts.web.context import Context
from alerts.worklist import SeriesView
from streams.contracts.findings import KeySlice
from streams.contracts.ids import Key
from streams.contracts.pictures import Unit

KEEP = {"Cache-Control": "private, no-cache"}

Viewer = Annotated[User, require(Permission.SEE_IMAGES)]
UnitPath = Annotated[Unit, Path()]
KeyPath = Annotated[Key, Path()]


def create_router(context: Context) -> APIRouter:
    router = APIRouter()

    @router.get("/studies/{study_key}/stack.json")
    def stack(study_key: KeyPath, user: Viewer) -> dict[str, Any]:
        """The series of a study and their slices, from the skull base upwards."""
        with context.database.reading() as session:
            view = worklist.one_study(session, study_key)
            cipher = context.cipher if user.may(Permission.SEE_IDENTITIES) else None
            named = worklist.series_identities(session, cipher, study_key)
        context.views.saw(user, Look.IMAGES, [study_key])
        with context.gallery.reading() as session:
            pictures = hanging(session, study_key)
        names = {key: identity.SeriesDescription for key, identity in named.items()}
        return {"series": stack_of(view.series, pictures, names)}

    @router.get(
        "/studies/{study_key}/slices/{series_key}/{unit}/{digest}", dependencies=[require(Permission.SEE_IMAGES)]
    )
    def voxels(request: Request, study_key: KeyPath, series_key: KeyPath, unit: UnitPath, digest: KeyPath) -> Response:
        """Packed Hounsfield units; the format is in :mod:`streams.contracts.pictures`."""
        if _is_known(request, digest):
            return _unchanged(digest)
        with context.gallery.reading() as session:
            packed = packed_of(session, study_key, series_key, unit, digest)
        if packed is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        headers = KEEP | {"ETag": f'"{digest}"', "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                packed, media_type="application/octet-stream", headers=headers | {"Content-Encoding": "gzip"}
            )
        return Response(gzip.decompress(packed), media_type="application/octet-stream", headers=headers)

    @router.get(
        "/studies/{study_key}/heat-maps/{series_key}/{unit}/{digest}.png", dependencies=[require(Permission.SEE_IMAGES)]
    )
    def heat_map(
        request: Request, study_key: KeyPath, series_key: KeyPath, unit: UnitPath, digest: KeyPath
    ) -> Response:
        """Where the reader looked: a picture whose alpha is the heat."""
        if _is_known(request, digest):
            return _unchanged(digest)
        with context.gallery.reading() as session:
            png = heat_map_of(session, study_key, series_key, unit, digest)
        if png is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(png, media_type="image/png", headers=KEEP | {"ETag": f'"{digest}"'})

    return router


def _is_known(request: Request, digest: str) -> bool:
    return f'"{digest}"' in request.headers.get("if-none-match", "")


def _unchanged(digest: str) -> Response:
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=KEEP | {"ETag": f'"{digest}"'})


def stack_of(series: tuple[SeriesView, ...], pictures: list[Hanging], names: dict[str, str]) -> list[dict[str, Any]]:
    """What the viewer works with; the series in the order of the page, those without a finding yet at the end."""
    keys = {view.series_key: view.latest.key_slices for view in series}
    order = [*keys, *dict.fromkeys(p.event.series_key for p in pictures if p.event.series_key not in keys)]
    found = []
    for series_key in order:
        slices = [_slice(p, keys.get(series_key, ())) for p in pictures if p.event.series_key == series_key]
        if slices:
            name = names.get(series_key) or f"Series {wording.short_hash(series_key)}"
            found.append({"series_key": series_key, "name": name, "slices": slices})
    return found


def _slice(picture: Hanging, keys: tuple[KeySlice, ...]) -> dict[str, Any]:
    event = picture.event
    address = f"{event.series_key}/{event.unit}/{event.digest}"
    rank = next((rank for rank, key in enumerate(keys) if _is_of(key, picture)), None)
    key = keys[rank] if rank is not None else None
    return {
        "unit": event.unit,
        "url": f"/studies/{event.study_key}/slices/{address}",
        "heat_url": f"/studies/{event.study_key}/heat-maps/{address}.png" if picture.has_heat_map else None,
        "rows": event.Rows,
        "columns": event.Columns,
        "spacing_mm": event.PixelSpacing,
        "position_mm": event.position_mm,
        "thickness_mm": event.thickness_mm,
        "origin_mm": event.ImagePositionPatient,
        "orientation": event.ImageOrientationPatient,
        "number": event.InstanceNumber,
        "averaged": event.slices,
        "key": rank,
        "peak": (key.peak_row, key.peak_column) if key else None,
    }


def _is_of(key: KeySlice, picture: Hanging) -> bool:
    return (key.sop_digest, key.frame_number) == (picture.event.sop_digest, picture.event.frame_number)
