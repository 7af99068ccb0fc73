"""What the runtimes on ONNX Runtime have in common: one session, its errors, its outputs by name."""

import onnxruntime

from triage_models.errors import InferenceFailed
from triage_models.ports import Array

Provider = str | tuple[str, dict[str, str]]


class OnnxSession:
    """One session, one caller at a time."""

    def __init__(self, name: str, providers: list[Provider], options: onnxruntime.SessionOptions) -> None:
        self._name = name
        self._providers = providers
        self._options = options
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def name(self) -> str:
        """For findings, logs and metrics."""
        return self._name

    def load(self, network: bytes) -> None:
        """Creates the session; holds the interpreter's lock for a while."""
        try:
            self._session = onnxruntime.InferenceSession(network, self._options, providers=self._providers)
        except Exception as error:  # boundary: onnxruntime raises bare RuntimeErrors of many kinds
            raise InferenceFailed(f"the network cannot be loaded: {error}") from error

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The open session. Raises InferenceFailed when nothing is loaded."""
        if self._session is None:
            raise InferenceFailed("no network is loaded")
        return self._session

    def infer(self, batch: Array) -> dict[str, Array]:
        """Runs one batch; the interpreter's lock is free meanwhile."""
        session = self.session
        names = [output.name for output in session.get_outputs()]
        try:
            outputs = session.run(names, {session.get_inputs()[0].name: batch})
        except Exception as error:  # boundary: as above
            raise InferenceFailed(f"the network failed on a batch of shape {batch.shape}: {error}") from error
        return dict(zip(names, outputs, strict=True))
