"""The page's own files. A browser keeps them and asks each time whether they have changed."""

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

KEEP = "no-cache"
TYPES = {".js": "text/javascript; charset=utf-8"}


class OwnFiles(StaticFiles):
    """Serves ``x.js`` from ``x.js.gz`` where only that is there: large vendored files are kept packed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        packed = f"{path}.gz"
        is_packed = not self.lookup_path(path)[1] and self.lookup_path(packed)[1] is not None
        response = await super().get_response(packed if is_packed else path, scope)
        response.headers["Cache-Control"] = KEEP
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
            ending = path[path.rfind(".") :]
            response.headers["Content-Type"] = TYPES.get(ending, "application/octet-stream")
        return response
