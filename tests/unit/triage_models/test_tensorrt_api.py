"""Every call of ours into TensorRT and CUDA exists in the real bindings, with room for as many arguments.

No GPU and no TensorRT library is needed: the bindings are loaded over empty libraries that export the nine functions
which they link to. Nothing is run by this; where a GPU exists, `test_runtimes_on_gpu.py` runs it.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from triage_models.runtimes import cuda_device, tensorrt_build, tensorrt_native

SOURCES = [Path(str(module.__file__)) for module in (tensorrt_native, tensorrt_build, cuda_device)]

RECEIVERS = {
    "builder": "Builder",
    "definition": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "engine": "ICudaEngine",
    "_context": "IExecutionContext",
    "_runtime": "Runtime",
}
"""What our variables hold."""

EMPTY_LIBRARIES = """
void* createInferBuilder_INTERNAL(void){return 0;} void* createInferRefitter_INTERNAL(void){return 0;}
void* createInferRuntime_INTERNAL(void){return 0;} void* createNvOnnxParserRefitter_INTERNAL(void){return 0;}
void* createNvOnnxParser_INTERNAL(void){return 0;} void* getBuilderPluginRegistry(void){return 0;}
int getNvOnnxParserVersion(void){return 0;} void* getPluginRegistry(void){return 0;}
int initLibNvInferPlugins(void){return 0;}
"""

DUMP = """
import ctypes, json, sys
for path in sys.argv[1:]:
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
import tensorrt_bindings as trt
def doc(value):
    return value.__doc__ or "" if callable(value) else ""
out = {"": {name: doc(getattr(trt, name)) for name in dir(trt)}}
for name in dir(trt):
    kind = getattr(trt, name)
    if isinstance(kind, type):
        out[name] = {member: doc(getattr(kind, member)) for member in dir(kind)}
        out[""][name] = doc(kind.__init__)
print(json.dumps(out))
"""

Api = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    """Classes of the bindings → members → docstrings, which pybind11 begins with signatures."""
    compiler = shutil.which("cc")
    if find_spec("tensorrt_bindings") is None or compiler is None:
        pytest.skip("needs tensorrt-cu12-bindings (pip) and a C compiler")
    folder = tmp_path_factory.mktemp("empty-libraries")
    (folder / "empty.c").write_text(EMPTY_LIBRARIES)
    libraries = []
    for name, version in ((n, v) for n in ("nvinfer", "nvinfer_plugin", "nvonnxparser") for v in _versions()):
        soname = f"lib{name}.so.{version}"
        command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", folder / soname, folder / "empty.c"]
        subprocess.run(command, check=True)
        libraries.append(str(folder / soname))
    done = subprocess.run([sys.executable, "-c", DUMP, *libraries], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _versions() -> Iterator[str]:
    """Major versions that the bindings link to."""
    spec = find_spec("tensorrt_bindings")
    assert spec is not None
    assert spec.origin is not None
    binary = next(Path(spec.origin).parent.glob("tensorrt*.so")).read_bytes()
    yield from sorted({m.decode() for m in re.findall(rb"libnvinfer\.so\.(\d+)", binary)})


def uses() -> Iterator[tuple[str, str, int | None]]:
    """(class or "" for the module, member, positional arguments or None where it is no call) in our sources."""
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        called = {id(node.func): len(node.args) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                owner = _owner(node.value)
                if owner is not None:
                    yield owner, node.attr, called.get(id(node))


def _owner(value: ast.expr) -> str | None:
    if isinstance(value, ast.Name):
        return "" if value.id == "trt" else RECEIVERS.get(value.id)
    if isinstance(value, ast.Attribute):
        if isinstance(value.value, ast.Name) and value.value.id == "trt":
            return value.attr
        if isinstance(value.value, ast.Name) and value.value.id == "self":
            return RECEIVERS.get(value.attr)
    return None


def takes(doc: str, name: str, count: int) -> bool:
    """Does one of the signatures in a pybind11 docstring take so many positional arguments?"""
    signatures = re.findall(rf"(?:{name}|__init__)\((.*?)\) -> ", doc)
    for signature in signatures:
        parts = [p for p in re.split(r",\s*(?=\w+:)", signature) if p and not p.startswith("self")]
        required = sum("=" not in part for part in parts)
        if required <= count <= len(parts):
            return True
    return False


def test_our_sources_use_a_good_deal_of_the_bindings() -> None:
    assert len(set(uses())) > 30


def test_every_use_exists_in_the_bindings(api: Api) -> None:
    missing = [f"{owner or 'tensorrt'}.{name}" for owner, name, _ in uses() if name not in api[owner]]
    assert missing == []


def test_every_call_has_a_signature_that_takes_it(api: Api) -> None:
    wrong = [
        f"{owner or 'tensorrt'}.{name} with {count}: {api[owner][name][:200]}"
        for owner, name, count in uses()
        if count is not None and name != "__init__" and not takes(api[owner][name], name, count)
    ]
    assert wrong == []


def test_a_call_that_does_not_exist_would_be_found(api: Api) -> None:
    assert "build_cuda_engine" not in api["Builder"]
    assert not takes(api["Builder"]["create_network"], "create_network", 2)
    assert "FP16" not in api["BuilderFlag"]


def cuda_uses() -> Iterator[tuple[str, int | None]]:
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        called = {id(node.func): len(node.args) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cuda":
                yield node.attr, called.get(id(node))


def test_every_cuda_call_exists_and_takes_its_arguments() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    assert len(set(cuda_uses())) >= 15
    for name, count in cuda_uses():
        assert hasattr(runtime, name), name
        if count is not None:
            signature = str(getattr(runtime, name).__doc__).partition("\n")[0]
            inside = signature[signature.index("(") + 1 : signature.rindex(")")]
            assert len([part for part in inside.split(",") if part.strip()]) == count, signature


def test_without_a_device_cuda_says_so_in_our_words() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    from triage_models.errors import RuntimeUnavailable
    from triage_models.runtimes.onnx_cuda import device_present

    if device_present():
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeUnavailable, match="cudaError"):
        cuda_device.identity()
