"""The runtimes by name, best first, and which of them a machine and a model have.

`auto` takes every runtime that the machine has the parts for, in this order. A list of names is an expectation: its
first one is the runtime that should read, and whatever else reads is told as degraded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triage_models.errors import RuntimeUnavailable
from triage_models.manifest import Manifest, load_manifest, network_bytes
from triage_models.ports import Runtime
from triage_models.runtimes.chain import ChainWatch, Member, RuntimeChain
from triage_models.runtimes.names import AUTO, RuntimeName, named
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.runtimes.onnx_cuda import OnnxCuda
from triage_models.runtimes.openvino_cpu import OpenVinoCpu
from triage_models.runtimes.tensorrt_native import TensorRt
from triage_models.runtimes.torch_reference import TorchReference
from triage_models.runtimes.trial import trial_in_child


@dataclass(frozen=True)
class Place:
    """What a runtime is made with: threads on the CPU, and the folder of TensorRT engines."""

    threads: int
    engines: Path


@dataclass(frozen=True)
class Kind:
    """One line of the catalogue. `int8`: takes the model's quantised network."""

    make: Callable[[Place], Runtime]
    int8: bool = False


CATALOGUE: dict[RuntimeName, Kind] = {
    RuntimeName.TENSORRT_INT8: Kind(lambda p: TensorRt(RuntimeName.TENSORRT_INT8, p.engines), int8=True),
    RuntimeName.TENSORRT_FP16: Kind(lambda p: TensorRt(RuntimeName.TENSORRT_FP16, p.engines)),
    RuntimeName.ONNX_CUDA: Kind(lambda p: OnnxCuda()),
    RuntimeName.ONNX_CPU_INT8: Kind(lambda p: OnnxCpu(p.threads, int8=True), int8=True),
    RuntimeName.ONNX_CPU: Kind(lambda p: OnnxCpu(p.threads)),
    RuntimeName.OPENVINO_INT8: Kind(lambda p: OpenVinoCpu(p.threads, int8=True), int8=True),
    RuntimeName.OPENVINO: Kind(lambda p: OpenVinoCpu(p.threads)),
    RuntimeName.TORCH: Kind(lambda p: TorchReference(p.threads)),
}


def make(name: RuntimeName, place: Place) -> Runtime:
    """A runtime, not loaded."""
    return CATALOGUE[name].make(place)


def network_for(name: RuntimeName, folder: Path, manifest: Manifest) -> bytes:
    """The verified network that a runtime takes. Raises RuntimeUnavailable where the model has no quantised one."""
    if not CATALOGUE[name].int8:
        return network_bytes(folder, manifest, manifest.network_file)
    if manifest.int8 is None:
        raise RuntimeUnavailable(f"{manifest.name} {manifest.version} has no quantised network: tocsin model quantize")
    return network_bytes(folder, manifest, manifest.int8.network_file)


def available(runtimes: str, manifest: Manifest, place: Place) -> list[RuntimeName]:
    """The names of a setting that this machine and this model can be expected to run."""
    return [
        name
        for name in named(runtimes)
        if (manifest.int8 is not None or not CATALOGUE[name].int8) and make(name, place).is_available()
    ]


def open_chain(folder: Path, runtimes: str, place: Place, watch: ChainWatch | None = None) -> RuntimeChain:
    """The runtimes of a model, loaded and warm. Raises ManifestError, RuntimeUnavailable, InferenceFailed."""
    manifest = load_manifest(folder)
    names = available(runtimes, manifest, place) if runtimes == AUTO else named(runtimes)
    members = [_member(name, folder, manifest, place) for name in names]
    chain = RuntimeChain(members, manifest.input.size, watch)
    chain.open()
    return chain


def _member(name: RuntimeName, folder: Path, manifest: Manifest, place: Place) -> Member:
    return Member(
        name=name,
        make=lambda: make(name, place),
        network=lambda: network_for(name, folder, manifest),
        trial=lambda: trial_in_child(name, folder, place.threads, place.engines),
    )
