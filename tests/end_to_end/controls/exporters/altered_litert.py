"""The LiteRT exporter, with a file that is not what it says it is."""

from typing import Literal

from mobilesdk.exporters import litert
from mobilesdk.flatbuffers.tflite import read_tflite
from mobilesdk.lowering.litert import parts

plugin_api = 1


class Options(litert.LiteRTOptions):
    how: Literal["other_values", "other_scheme", "float_head"]


class AlteredLiteRT(litert.LiteRTExporter):
    options = Options

    def apply(self, model, options, context):
        if options.how == "other_values":
            made = super().apply(model, options, context)
            _clear_half_a_weight(made.path)
            return made
        write_recipe = parts.build_recipe

        def altered(*arguments, **keywords):
            *rules, last = write_recipe(*arguments, **keywords)
            if options.how == "float_head":
                return [*rules, last | {"algorithm_key": "no_quantize", "op_config": {}}]
            last["op_config"]["weight_tensor_config"]["granularity"] = "TENSORWISE"
            return [*rules, last]

        parts.build_recipe = altered  # this worker ends with the step
        return super().apply(model, options, context)


def _clear_half_a_weight(path):
    content = path.read_bytes()
    tensors = read_tflite(content).subgraphs[0].tensors
    largest = max((bytes(t.data) for t in tensors if t.data is not None), key=len)
    assert content.count(largest) == 1
    half = len(largest) // 2
    path.write_bytes(content.replace(largest, bytes(half) + largest[half:]))


PLUGIN = AlteredLiteRT()
