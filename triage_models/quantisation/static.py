"""Static quantisation by ONNX Runtime: 8-bit weights per channel, 8-bit activations with ranges seen on example slices.

Unsigned activations, because x86-64's VNNI multiplies unsigned by signed: on it the signed form is no faster than
floating point (docs/decisions/0502). Needs the `onnx` package.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from triage_models.ports import Array
from triage_models.quantisation.rewriting import before_convolutions, named, onnx_package

QUANTISED_OPERATORS = ("Conv", "Add", "Resize", "MaxPool")


def convolution_depths(graph: Any) -> dict[str, int]:
    """Name of each convolution → how many convolutions lie before it on the longest way."""
    maker = {output: node.name for node in graph.node for output in node.output}
    kind = {node.name: node.op_type for node in graph.node}
    before: dict[str, int] = {}
    for node in graph.node:
        above = [maker[name] for name in node.input if name in maker]
        before[node.name] = max((before[name] + (kind[name] == "Conv") for name in above), default=0)
    return {name: count for name, count in before.items() if kind[name] == "Conv"}


def last_convolutions(graph: Any) -> set[str]:
    """Names of the convolutions after which none comes: the heads."""
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def leads_to_another(node: Any) -> bool:
        after = [user for output in node.output for user in users.get(output, ())]
        return any(user.op_type == "Conv" or leads_to_another(user) for user in after)

    return {node.name for node in graph.node if node.op_type == "Conv" and not leads_to_another(node)}


def quantised(network: bytes, squares: Array, whole_depth: int) -> bytes:
    """The network in 8 bits, except the windows, the heads and convolutions with fewer than `whole_depth` before them.

    `squares`: HU `[N, 1, S, S]`, the slices from which the ranges are taken.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Squares(CalibrationDataReader):  # type: ignore[misc]  # ONNX Runtime ships no types
        def __init__(self, name: str) -> None:
            self._name = name
            self._left: Iterator[Array] = iter(squares)

        def get_next(self) -> dict[str, Array] | None:
            square = next(self._left, None)
            return None if square is None else {self._name: square[None]}

    onnx = onnx_package()
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, small = (str(Path(folder) / name) for name in ("plain.onnx", "ready.onnx", "small.onnx"))
        onnx.save(named(network), plain)
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        model = named(Path(ready).read_bytes())
        onnx.save(model, ready)
        quantize_static(
            ready,
            small,
            Squares(model.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=left_whole(model.graph, whole_depth),
            calibrate_method=CalibrationMethod.MinMax,
        )
        return _with_short_names(onnx.load(small))


def left_whole(graph: Any, whole_depth: int) -> list[str]:
    """Names of the nodes that stay in floating point."""
    shallow = {name for name, depth in convolution_depths(graph).items() if depth < whole_depth}
    return sorted({*before_convolutions(graph), *last_convolutions(graph), *shallow})


def _with_short_names(model: Any) -> bytes:
    """Names of torch's modules are a tenth of a small network's file."""
    graph = model.graph
    kept = {each.name for each in (*graph.input, *graph.output)}
    short: dict[str, str] = {"": ""}

    def renamed(names: Sequence[str]) -> list[str]:
        return [name if name in kept else short.setdefault(name, f"t{len(short)}") for name in names]

    for k, node in enumerate(graph.node):
        node.name = f"n{k}"
        node.input[:] = renamed(node.input)
        node.output[:] = renamed(node.output)
    for each in graph.initializer:
        (each.name,) = renamed([each.name])
    del graph.value_info[:]
    onnx_package().checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
