"""How fast a chip could run a network at best: operations and bytes counted in its ONNX graph, speeds measured here.

S. Williams, A. Waterman, D. Patterson: Roofline, CACM 52 (2009). Bytes: every weight once, and every convolution's and
matrix product's input and output once for each batch, all else fused into them. Needs the `onnx` package.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime

from triage_models.quantisation.rewriting import onnx_package

FLOAT_BYTES = 4
_SIDE = 512
_STREAM_BYTES = 1 << 27
_REPEATS = 60


@dataclass(frozen=True)
class Work:
    """Of one slice: multiplications and additions, bytes of weights, bytes of activations in 32-bit floats."""

    operations: float
    weight_bytes: float
    activation_bytes: float


@dataclass(frozen=True)
class Chip:
    """What this machine reaches on work made for it: operations per second (float, 8 bits), bytes per second."""

    float_operations_per_second: float
    int8_operations_per_second: float
    bytes_per_second: float


def work_of(network: bytes) -> Work:
    """Counted in the graph, for one slice."""
    onnx = onnx_package()
    model = onnx.load_model_from_string(network)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    typed = (*graph.value_info, *graph.output, *graph.input)
    shape = {v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim] for v in typed}
    weights = {each.name: list(each.dims) for each in graph.initializer}
    operations = weight_bytes = activation_bytes = 0.0
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in weights:
            continue
        weight, out = weights[node.input[1]], shape[node.output[0]]
        per_output = np.prod(weight[1:]) if node.op_type == "Conv" else shape[node.input[0]][-1]
        operations += 2.0 * float(np.prod(out)) * float(per_output)
        weight_bytes += FLOAT_BYTES * float(np.prod(weight))
        activation_bytes += FLOAT_BYTES * float(np.prod(out) + np.prod(shape[node.input[0]]))
    return Work(operations, weight_bytes, activation_bytes)


def measured_cpu(threads: int) -> Chip:
    """This machine's processor, by ONNX Runtime's own matrix products and by copying memory."""
    rng = np.random.default_rng(0)
    floats = rng.random((2, _SIDE, _SIDE), np.float32)
    left, right = rng.integers(0, 100, (_SIDE, _SIDE), np.uint8), rng.integers(-50, 50, (_SIDE, _SIDE), np.int8)
    products = 2.0 * _SIDE**3
    source = np.ones(_STREAM_BYTES // 8)
    target = np.empty_like(source)
    return Chip(
        float_operations_per_second=products / _best(_product("MatMul", (floats[0], floats[1]), threads)),
        int8_operations_per_second=products / _best(_product("MatMulInteger", (left, right), threads)),
        bytes_per_second=2.0 * source.nbytes / _best(lambda: np.copyto(target, source)),
    )


def seconds_at_best(work: Work, chip: Chip, batch: int, *, int8: bool) -> float:
    """The least time for a batch: the slower of computing and moving."""
    size = 1 if int8 else FLOAT_BYTES
    moved = (work.weight_bytes + batch * work.activation_bytes) * size / FLOAT_BYTES
    speed = chip.int8_operations_per_second if int8 else chip.float_operations_per_second
    return max(batch * work.operations / speed, moved / chip.bytes_per_second)


def _product(kind: str, pair: tuple[np.ndarray, np.ndarray], threads: int) -> Callable[[], object]:
    onnx = onnx_package()
    left, right = (onnx.helper.np_dtype_to_tensor_dtype(each.dtype) for each in pair)
    result = onnx.TensorProto.INT32 if kind == "MatMulInteger" else left
    shape = [_SIDE, _SIDE]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, ["a", "b"], ["c"])],
        "product",
        [onnx.helper.make_tensor_value_info("a", left, shape)],
        [onnx.helper.make_tensor_value_info("c", result, shape)],
        [onnx.helper.make_tensor("b", right, shape, pair[1].tobytes(), raw=True)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"a": pair[0]})


def _best(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
