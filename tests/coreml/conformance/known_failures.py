"""Apple's cases that fail in the reference executor, each with the reason.

Patterns are those of `fnmatch`, on the names of cases from the folder of the operation set on.
Apple runs these tests in float16 with a tolerance of 0.5, which hides most of this.
"""

from __future__ import annotations

KNOWN_FAILURES = {
    "iOS14/test_activation.py::TestGeLU::test_builder_to_backend_smoke*fp32*": (
        "The expected values were computed in float16; the test asks for 0.001."
    ),
    "iOS15/test_image_resizing.py::TestCropResize::test_builder_to_backend_smoke*": (
        "The box lies outside of [0, 1], which MIL's documentation rules out for this version of "
        "the operation. The test wants some result, the executor refuses."
    ),
    "iOS14/test_image_resizing.py::TestUpsampleBilinear::test_builder_to_backend_stress*fp32*"
    "(3, 4)-align_corners=True-recompute_scale_factor=True*": (
        "Values of 100 cancel; the expected ones are of positions in float32. Apple allows 0.5."
    ),
    "iOS14/test_image_resizing.py::TestUpsampleBilinear::test_builder_to_backend_stress*fp32*"
    "(2.5, 2.0)-align_corners=True-recompute_scale_factor=False*": (
        "Values of 100 cancel; the expected ones are of positions in float32. Apple allows 0.5."
    ),
    "iOS1[47]/test_normalization.py::TestNormalizationLocalResponseNorm::"
    "test_builder_to_backend_stress*fp32*rank=3-*alpha=0.01-*float32*float32*": (
        "The expected values are torch's, over axis 1; Apple's own smoke test, which passes, has "
        "those of [C, H, W]. Apple allows 0.01, which hides the difference."
    ),
    "iOS14/test_scatter_gather.py::TestScatter::test_builder_to_backend_programmatic*fp16*"
    "rankIndices=(?, 3)-accumulate_mode=div*": ("Quotients beyond the range of float16."),
    "iOS16/test_image_resizing.py::TestCropResize::test_builder_to_backend_ios16*fp32*": (
        "One value is expected to be 7.899 where the interpolation gives 7.9."
    ),
    "iOS17/test_image_resizing.py::TestCropResize::test_builder_to_backend_ios17*fp32*N=3*": (
        "One value is expected to be 7.899 where the interpolation gives 7.9."
    ),
    "iOS17/test_recurrent.py::TestGRU::test_builder_to_backend_smoke*fp16*seq_len=3-batch_size=1-"
    "input_size=2-hidden_size=1-has_bias=True-output_sequence=False-direction=reverse-"
    "activation_functions=?'tanh', 'sigmoid'?-symbolic=True*": (
        "The one value is near 0, of terms that cancel in float16; the limit is relative to it."
    ),
    "iOS15/test_image_resizing.py::TestResample::test_builder_to_backend_smoke*fp32*": (
        "The test counts the casts of a float16 program, in a float32 one too."
    ),
    "iOS1[67]/test_image_resizing.py::TestResample::*fp32*numpy.float16*": (
        "The expected values belong to coordinates that are not rounded to float16."
    ),
    "iOS17/test_scatter_gather.py::TestScatter::test_ios17_invalid*validate_indices=False*": (
        "Indices outside the axis: undefined. The test wants some result, the executor refuses."
    ),
}
