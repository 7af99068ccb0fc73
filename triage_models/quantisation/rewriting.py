"""Networks rewritten for other arithmetic: 16-bit floating point, and 8-bit integers as TensorRT wants them.

Needs the `onnx` package. Law: the windows before the first convolution stay in 32-bit floating point. They sum
Hounsfield units over the whole slice, which 16-bit numbers cannot hold (2 million against 65504).
"""

from typing import Any

import numpy as np

from triage_models.errors import RuntimeUnavailable


def onnx_package() -> Any:
    """The `onnx` package. Raises RuntimeUnavailable where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise RuntimeUnavailable(
            "the `onnx` package is not installed: install the `quantize` or `gpu` extra"
        ) from error
    return onnx


def before_convolutions(graph: Any) -> list[str]:
    """Names of the nodes that lead to a first convolution: the windows."""
    maker = {output: node for node in graph.node for output in node.output}
    upstream: dict[str, set[str]] = {}
    for node in graph.node:
        above = {maker[name].name for name in node.input if name in maker}
        upstream[node.name] = above.union(*(upstream[name] for name in above)) if above else set()
    kind = {node.name: node.op_type for node in graph.node}
    windows: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv" and not any(kind[name] == "Conv" for name in upstream[node.name]):
            windows |= upstream[node.name]
    return [node.name for node in graph.node if node.name in windows]


def named(network: bytes) -> Any:
    """The model with a name on every node."""
    model = onnx_package().load_model_from_string(network)
    for k, node in enumerate(model.graph.node):
        node.name = node.name or f"node{k}"
    return model


def in_half_precision(network: bytes) -> bytes:
    """The same network with 16-bit weights and activations after the windows; inputs and outputs stay as they are."""
    onnx = onnx_package()
    model = named(network)
    graph = model.graph
    windows = set(before_convolutions(graph))
    whole = {output for node in graph.node if node.name in windows for output in node.output}
    whole |= {each.name for each in graph.input}
    numbers = _constants_taken_out(graph, windows)
    halved: dict[str, str] = {}
    nodes: list[Any] = []
    for node in graph.node:
        for k, name in enumerate(node.input):
            if node.name in windows or (node.op_type, k) in _STAYS_WHOLE:
                continue
            if name in numbers and numbers[name].dtype == np.float32:
                node.input[k] = halved.setdefault(name, f"{name}_half")
            elif name in whole:
                if name not in halved:
                    halved[name] = f"{name}_half"
                    nodes.append(onnx.helper.make_node("Cast", [name], [halved[name]], to=onnx.TensorProto.FLOAT16))
                node.input[k] = halved[name]
        nodes.append(node)
    for output in graph.output:
        maker = next(node for node in nodes if output.name in node.output)
        maker.output[list(maker.output).index(output.name)] = f"{output.name}_half"
        for node in nodes:
            node.input[:] = [f"{name}_half" if name == output.name else name for name in node.input]
        nodes.append(onnx.helper.make_node("Cast", [f"{output.name}_half"], [output.name], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    fresh = {halved[name]: numbers[name].astype(np.float16) for name in halved if name in numbers}
    graph.initializer.extend(onnx.numpy_helper.from_array(v, name) for name, v in fresh.items())
    _without_unused(graph)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


_STAYS_WHOLE = {("Resize", 1), ("Resize", 2)}
"""Inputs that ONNX wants in 32 bits: region and scales."""


def _constants_taken_out(graph: Any, windows: set[str]) -> dict[str, Any]:
    """The values of all initializers; `Constant` nodes outside the windows become initializers."""
    onnx = onnx_package()
    for node in [node for node in graph.node if node.op_type == "Constant" and node.name not in windows]:
        value = onnx.numpy_helper.to_array(node.attribute[0].t)
        graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
        graph.node.remove(node)
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}


def quantised_symmetrically(network: bytes) -> bytes:
    """A quantised network with every zero point at 0, signed, and biases in floating point: what TensorRT takes.

    The ranges that were calibrated stay; an activation that was never negative loses one bit.
    """
    onnx = onnx_package()
    model = named(network)
    graph = model.graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    fresh: dict[str, Any] = {}
    plain: set[str] = set()
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        source, scale, zero = node.input[:3]
        kind = values[zero].dtype
        if kind == np.uint8:
            symmetric = f"{scale}_symmetric"
            fresh[symmetric] = np.float32(values[scale] * max(255 - int(values[zero]), int(values[zero])) / 127)
            fresh["zero_symmetric"] = np.int8(0)
            node.input[1], node.input[2] = symmetric, "zero_symmetric"
        elif kind == np.int32 and source in values:
            fresh[node.output[0]] = (values[source].astype(np.float64) * values[scale]).astype(np.float32)
            plain.add(node.name)
    kept = [node for node in graph.node if node.name not in plain]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in fresh.items())
    _without_unused(graph)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _without_unused(graph: Any) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
