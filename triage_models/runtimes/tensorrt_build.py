"""Building TensorRT engines ahead of time: minutes on the GPU that will read, never while patients wait.

TensorRT 11 takes the precision from the network itself (strongly typed): for FP16 the network is rewritten with 16-bit
weights and activations, for INT8 it carries its own quantisation (`triage_models.quantisation.rewriting`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from triage_models.errors import InferenceFailed
from triage_models.quantisation.rewriting import in_half_precision, quantised_symmetrically
from triage_models.runtimes import engine_cache
from triage_models.runtimes.tensorrt_native import BATCHES, INPUT, key_of, make_log, tensorrt

REWRITINGS: dict[str, Callable[[bytes], bytes]] = {
    "tensorrt-fp16": in_half_precision,
    "tensorrt-int8": quantised_symmetrically,
}

WORKSPACE_BYTES = 1 << 30


def build(runtime: str, network: bytes, folder: Path) -> Path:
    """Builds an engine for this machine's GPU and files it; returns the file.

    Raises:
        RuntimeUnavailable: no GPU, no TensorRT, or a driver that does not fit.
        InferenceFailed: TensorRT refuses the network, with its reason.
    """
    trt = tensorrt()
    key = key_of(runtime, network)
    return engine_cache.save(folder, key, _plan(trt, REWRITINGS[runtime](network)))


def _plan(trt: Any, network: bytes) -> bytes:
    log = make_log(trt)
    builder = trt.Builder(log)
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, log)
    if not parser.parse(network):
        errors = [parser.get_error(k).desc() for k in range(parser.num_errors)]
        raise InferenceFailed(f"TensorRT cannot read the network: {'; '.join(errors) or log.told()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = 4
    slice_shape = tuple(definition.get_input(0).shape)[1:]
    for least, best, most in BATCHES:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, (least, *slice_shape), (best, *slice_shape), (most, *slice_shape))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise InferenceFailed(f"TensorRT did not build the engine: {log.told()}")
    return bytes(plan)
