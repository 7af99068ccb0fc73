"""PyTorch, eagerly, operator by operator: the plain reference that the other runtimes are compared and timed against.

It runs the model's own ONNX graph, so what it says does not depend on ONNX Runtime, OpenVINO or TensorRT; for parity
tests and benchmarks, and slower than all of them.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.ports import Array

Tensors = dict[str, Any]
Attributes = dict[str, Any]


class TorchReference:
    """`torch`: on the CPU, or on a CUDA device for comparison."""

    def __init__(self, threads: int = 2, device: str = "cpu") -> None:
        self._threads = threads
        self._device = device
        self._steps: list[tuple[Callable[..., Any], list[str], list[str], Attributes]] = []
        self._constants: Tensors = {}
        self._input = ""
        self._outputs: list[str] = []

    @property
    def name(self) -> str:
        """`torch`."""
        return "torch"

    def is_available(self) -> bool:
        """True where PyTorch and the `onnx` package are installed."""
        return all(importlib.util.find_spec(name) is not None for name in ("torch", "onnx"))

    def load(self, network: bytes) -> None:
        """Takes the graph apart. Raises InferenceFailed for an operator that is not in the table."""
        try:
            import onnx
            import torch
        except ImportError as error:
            raise RuntimeUnavailable("PyTorch is not installed: install the `train` extra") from error
        torch.set_num_threads(self._threads)
        graph = onnx.load_model_from_string(network).graph
        table = _operators(torch)
        unknown = sorted({node.op_type for node in graph.node} - set(table))
        if unknown:
            raise InferenceFailed(f"the reference does not know the operators {', '.join(unknown)}")

        def tensor(value: Any) -> Any:
            return torch.from_numpy(np.array(onnx.numpy_helper.to_array(value))).to(self._device)

        self._constants = {each.name: tensor(each) for each in graph.initializer}
        self._steps = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                self._constants[node.output[0]] = tensor(attributes["value"])
            else:
                self._steps.append((table[node.op_type], list(node.input), list(node.output), attributes))
        self._input, self._outputs = graph.input[0].name, [each.name for each in graph.output]

    def infer(self, batch: Array) -> dict[str, Array]:
        """Runs one batch, one operator after the other."""
        if not self._steps:
            raise InferenceFailed("no network is loaded")
        import torch

        try:
            with torch.inference_mode():
                known: Tensors = {**self._constants, self._input: torch.from_numpy(batch).to(self._device)}
                for run, inputs, outputs, attributes in self._steps:
                    answer = run(*(known[name] if name else None for name in inputs), **attributes)
                    known.update(zip(outputs, answer if isinstance(answer, tuple) else (answer,), strict=False))
                return {name: known[name].cpu().numpy() for name in self._outputs}
        except RuntimeError as error:
            raise InferenceFailed(f"torch failed on a batch of shape {batch.shape}: {error}") from error


def _operators(torch: Any) -> dict[str, Callable[..., Any]]:
    """ONNX operators (opset 13–21) by what torch calls them; only the attributes that torch's exporter writes."""
    f = torch.nn.functional

    def conv(x: Any, w: Any, b: Any = None, **a: Any) -> Any:
        pads = a.get("pads", [0, 0, 0, 0])
        return f.conv2d(x, w, b, a.get("strides", 1), pads[:2], a.get("dilations", 1), a.get("group", 1))

    def gemm(x: Any, w: Any, b: Any = None, **a: Any) -> Any:
        y = (x.T if a.get("transA") else x) @ (w.T if a.get("transB") else w) * a.get("alpha", 1.0)
        return y if b is None else y + b * a.get("beta", 1.0)

    def clip(x: Any, low: Any = None, high: Any = None) -> Any:
        return torch.clamp(x, low, high)

    def cut(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        for k, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            axis = k if axes is None else int(axes[k])
            step = 1 if steps is None else int(steps[k])
            chosen = range(x.shape[axis])[slice(start, None if step < 0 and end < -x.shape[axis] else end, step)]
            x = x.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64, device=x.device))
        return x

    def reduced(by: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, over: Any = None, **a: Any) -> Any:
            axes = a["axes"] if over is None else over.tolist()
            return by(x, dim=tuple(axes), keepdim=bool(a.get("keepdims", 1)))

        return run

    def resize(x: Any, _roi: Any = None, scales: Any = None, sizes: Any = None, **a: Any) -> Any:
        by = {"size": tuple(sizes.tolist()[2:])} if sizes is not None else {"scale_factor": scales.tolist()[2:]}
        return f.interpolate(x, mode=a.get("mode", b"nearest").decode(), **by)

    def topk(x: Any, k: Any, **a: Any) -> Any:
        return tuple(torch.topk(x, int(k), dim=a.get("axis", -1), largest=bool(a.get("largest", 1))))

    def gather(x: Any, index: Any, axis: int = 0) -> Any:
        shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
        return x.index_select(axis, index.reshape(-1) % x.shape[axis]).reshape(shape)

    def reshape(x: Any, shape: Any, **_: Any) -> Any:
        return x.reshape([x.shape[k] if n == 0 else n for k, n in enumerate(shape.tolist())])

    def pool(x: Any, **a: Any) -> Any:
        whole = bool(a.get("count_include_pad", 0))
        return f.avg_pool2d(x, a["kernel_shape"], a.get("strides", 1), a["pads"][:2], count_include_pad=whole)

    kinds = {1: torch.float32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}
    return {
        "Add": torch.add,
        "And": torch.logical_and,
        "AveragePool": pool,
        "Cast": lambda x, to: x.to(kinds[to]),
        "Clip": clip,
        "Concat": lambda *x, axis: torch.cat(x, axis),
        "Constant": lambda: None,
        "Conv": conv,
        "Div": torch.div,
        "Flatten": lambda x, axis=1: x.flatten(axis),
        "Gather": gather,
        "Gemm": gemm,
        "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
        "Greater": torch.gt,
        "Identity": lambda x: x,
        "Less": torch.lt,
        "Mul": torch.mul,
        "ReduceMax": reduced(torch.amax),
        "ReduceMean": reduced(torch.mean),
        "ReduceSum": reduced(torch.sum),
        "Relu": torch.relu,
        "Reshape": reshape,
        "Resize": resize,
        "Shape": lambda x: torch.tensor(x.shape, device=x.device),
        "Sigmoid": torch.sigmoid,
        "Slice": cut,
        "Sub": torch.sub,
        "Tanh": torch.tanh,
        "TopK": topk,
    }
