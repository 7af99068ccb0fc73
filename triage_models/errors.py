"""What can go wrong in this package, drawn as a tree.

ModelError
├── ManifestError        the model folder is incomplete or its manifest is invalid: fix the folder, no retry
│   └── WeightsMismatch  the weights are not the ones that the manifest describes: never used, no retry
├── RuntimeUnavailable   this back end cannot run here: choose another, no retry
├── InferenceFailed      the network raised or answered nonsense: a failed finding, retriable once
├── UnreadableSlice      the slice breaks the reader's contract (shape, NaN, spacing): caller's data, no retry
├── GenerationFailed     the synthetic generator could not place the bleed asked for: choose another seed
└── DatasetError         a labelled data set on disk does not have the layout that was named: user's data
"""


class ModelError(Exception):
    """Anything this package raises on purpose."""


class ManifestError(ModelError):
    """The model folder is incomplete or its manifest is invalid."""


class WeightsMismatch(ManifestError):
    """The weights on disk are not the ones that the manifest describes."""


class RuntimeUnavailable(ModelError):
    """A back end that this machine cannot run."""


class InferenceFailed(ModelError):
    """The network raised, or answered with something that is no probability."""


class UnreadableSlice(ModelError):
    """A slice that breaks the reader's contract; the message says how."""


class GenerationFailed(ModelError):
    """The synthetic generator could not place what was asked for."""


class DatasetError(ModelError):
    """A labelled data set that does not have the layout that was named."""
