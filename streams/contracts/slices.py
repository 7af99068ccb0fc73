"""``ct.slices.v1``: one accepted frame.

The message's value is the frame's pixel bytes exactly as they came (encoded, where the transfer syntax encodes); the
event below travels in the Kafka header named by :data:`SLICE_HEADER`. Its fields are a whitelist of technical
attributes: no name, no identifier, no UID, no free text. Transfer syntax and SOP class appear by their keyword.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, FiniteFloat, PositiveFloat, PositiveInt, StringConstraints

from streams.contracts.event import Event
from streams.contracts.ids import Key

SLICE_HEADER = "slice"
"""Name of the Kafka header that carries :class:`SliceAccepted`."""

Keyword = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,80}$")]
"""A keyword of PS3.6, such as ``CTImageStorage`` or ``JPEGLSLossless``."""

CodeString = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{0,16}$")]
"""Value representation CS (PS3.5 6.2)."""

KernelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_ .+/^\-]{0,16}$")]
"""A convolution kernel's name; SH in the standard, held here to what kernels are really called."""

AeTitle = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,14}[\x21-\x7e])?$")]
"""Value representation AE without its padding (PS3.5 6.2)."""


class SliceAccepted(Event):
    """A frame is durably in the listener's hands, and its sender has been told so.

    Emitted by dicom_listener, consumed by streams. Key: ``series_key``. Idempotency key: ``identity``.
    """

    study_key: Key
    series_key: Key
    sop_digest: Key
    frame_number: PositiveInt = 1
    number_of_frames: PositiveInt = 1
    association: Key
    accepted_at: AwareDatetime
    pixel_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    conflicting: bool = False
    """The same SOP Instance UID came before with other bytes; both are kept."""

    heartbeat: Literal[True] | None = None
    """An object of the dead-man's study, by its seal; never of a patient."""

    SOPClass: Keyword
    TransferSyntax: Keyword
    Modality: CodeString
    ImageType: tuple[CodeString, ...] = ()
    BodyPartExamined: CodeString | None = None
    Rows: PositiveInt
    Columns: PositiveInt
    SamplesPerPixel: PositiveInt
    PhotometricInterpretation: CodeString
    BitsAllocated: Literal[8, 16, 32]
    BitsStored: PositiveInt
    HighBit: Annotated[int, Field(ge=0, le=31)]
    PixelRepresentation: Literal[0, 1]
    PixelPaddingValue: int | None = None
    RescaleSlope: FiniteFloat | None = None
    RescaleIntercept: FiniteFloat | None = None
    RescaleType: CodeString | None = None
    PixelSpacing: tuple[PositiveFloat, PositiveFloat] | None = None
    """(between rows, between columns), mm."""
    SliceThickness: PositiveFloat | None = None
    ImagePositionPatient: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    ImageOrientationPatient: (
        tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None
    ) = None
    GantryDetectorTilt: FiniteFloat | None = None
    ConvolutionKernel: tuple[KernelName, ...] = ()
    KVP: PositiveFloat | None = None
    InstanceNumber: int | None = None
    ImagesInAcquisition: PositiveInt | None = None
    unreadable: tuple[Keyword, ...] = ()
    """Keywords that were present with a value that does not fit the standard; their fields above are absent."""

    @property
    def identity(self) -> str:
        """What makes two deliveries the same frame; a conflicting version is another one."""
        version = f":{self.pixel_sha256[:16]}" if self.conflicting else ""
        return f"{self.sop_digest}:{self.frame_number}{version}"
