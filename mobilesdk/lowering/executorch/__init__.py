"""From a prepared program to an ExecuTorch program."""

from mobilesdk.plugins.contract import PROGRAM_PRELOADS

PRELOADS = (
    *PROGRAM_PRELOADS,
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "executorch.kernels.quantized",
    "executorch.extension.pybindings.portable_lib",
)
"""`preloads` of plug-ins that write or run ExecuTorch programs."""
