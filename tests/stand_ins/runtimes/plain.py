"""Reads and runs what the stand-in exporter writes."""

from safetensors import SafetensorError
from safetensors.numpy import load_file

from mobilesdk.core.artifact import ArtifactInfo, OpInfo, TensorInfo, WeightInfo
from mobilesdk.core.scheme import WeightScheme
from mobilesdk.errors import FileRejected
from mobilesdk.numerics.fingerprint import fingerprint

plugin_api = 1


class Plain:
    tools = ()
    preloads = ()
    suffix = ".plain"

    def inspect(self, path):
        content = _load(path)
        weight = content["weight"]
        return ArtifactInfo(
            format="plain",
            size_bytes=sum(array.nbytes for array in content.values()),
            inputs=(TensorInfo(name="x", shape=(1, 4), dtype="float32"),),
            outputs=(TensorInfo(name="scores", shape=(1, 3), dtype="float32"),),
            weights=(
                WeightInfo(
                    name="weight",
                    op="linear",
                    shape=weight.shape,
                    scheme=WeightScheme(),
                    size_bytes=weight.nbytes,
                    finite=True,
                    fingerprint=fingerprint(weight),
                ),
            ),
            ops=(
                OpInfo(
                    name="0",
                    type="linear",
                    dtype="float32",
                    delegate="" if content["outside"][0] else "plain",
                ),
            ),
            delegates={"plain": 1},
        )

    def executes_by(self, info):
        return "runtime"

    def refuses(self, info):
        return ""

    def load(self, path, contract, threads):
        return Session(_load(path))


class Session:
    def __init__(self, content):
        self._content = content

    def run(self, inputs):
        return {"scores": inputs["x"] @ self._content["weight"].T + self._content["bias"]}

    def findings(self):
        return ("linear 0: 1 of 3 values are not finite",) if self._content["overflow"][0] else ()


def _load(path):
    try:
        return load_file(path / "weights" if path.is_dir() else path)
    except (OSError, SafetensorError) as error:
        raise FileRejected(f"{path.name} is no plain file: {error}") from error


PLUGIN = Plain()
