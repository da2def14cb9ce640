"""A runtime that shows the values of the linear stand-in, and times that are made up."""

from safetensors.numpy import load_file

from mobilesdk.core.artifact import ArtifactInfo, TensorInfo
from mobilesdk.core.layers import Observation, ObservedOp, OpProfile, OpTime
from mobilesdk.errors import ArtifactInvalid, UsageError

plugin_api = 1


class Watched:
    tools = ()
    preloads = ()
    suffix = ".watched"

    def inspect(self, path):
        return ArtifactInfo(
            format="watched",
            size_bytes=path.stat().st_size,
            inputs=(TensorInfo(name="x", shape=(1, 4), dtype="float32"),),
            outputs=(TensorInfo(name="scores", shape=(1, 3), dtype="float32"),),
            weights=(),
            ops=(),
        )

    def executes_by(self, info):
        return "runtime"

    def refuses(self, info):
        return ""

    def load(self, path, contract, threads):
        return Session(load_file(path))

    def observe(self, path, contract, threads):
        content = load_file(path)
        inside = bytes(content.get("inside", b""))
        if inside == b"shut":
            raise UsageError("it is shut")
        if inside == b"torn":
            raise ArtifactInvalid("it is torn")
        return Watch(content)

    def profile(self, path, run_count, threads):
        return OpProfile(
            format="watched",
            how="made up",
            run_count=run_count,
            threads=threads,
            ops=(
                OpTime(name="0", type="call", median_ns=2000, minimum_ns=1500),
                OpTime(name="0.0", type="<part>", median_ns=900, minimum_ns=800, inside="0"),
            ),
        )


class Session:
    def __init__(self, content):
        self._content = content

    def run(self, inputs):
        return {"scores": inputs["x"] @ self._content["weight"].T + self._content["bias"]}

    def findings(self):
        return ()


class Watch:
    how = "numpy"

    def __init__(self, content):
        self._content = content

    def run(self, inputs):
        product = inputs["x"] @ self._content["weight"].T
        return [
            Observation(ObservedOp(name="<0>", type="matmul", op_count=3), product),
            Observation(
                ObservedOp(name="1", type="add", sources=("<0>",), output="scores"),
                1.001 * (product + self._content["bias"]),
            ),
        ]


PLUGIN = Watched()
