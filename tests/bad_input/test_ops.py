"""Rows on ops that a converter refuses: the line of the model's own source is told."""

import sys
import zipfile

import pytest

from mobilesdk.errors import NO_PLACE

from .table import ROWS  # tests of the documentation import this file, and need no torch

SOURCE = """import torch

class Net(torch.nn.Module):
    def forward(self, x):
        y = torch.nn.functional.relu(x)
        # the next line is what no converter has
        y = torch.fft.fft(y)
        return y.abs() + x.relu()

def build():
    return Net().eval(), (torch.ones(1, 4, 4),)
"""
TARGET = """schema_version = 1
id = "{name}"
title = "a target"
[device]
platform = "{platform}"
min_os = "18.0"
accelerator = "xnnpack"
[match]
priority = {priority}
any = [{{ os_min = "18.0" }}]
[export]
format = "{format}"
{more}
[profiles]
default = "float"
"""
FORMATS = {
    "op-coreml": ("coreml", "ios", ""),
    "op-executorch": ("executorch", "android", 'backend = "portable"'),
    "op-litert": ("litert", "android", ""),
}
TESTED = ("op-unknown", *FORMATS)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of a program as the reading step leaves it."""
    from mobilesdk.graph.flatten import export_flat, input_leaves
    from mobilesdk.graph.prepare import prepare
    from mobilesdk.graph.program import save_program

    folder = tmp_path_factory.mktemp("model")
    (folder / "refused_net.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    try:
        import refused_net

        module, example = refused_net.build()
        program = prepare(export_flat(module, input_leaves(module, example)))
        save_program(program, folder / "program.pt2")
    finally:
        sys.path.remove(str(folder))
        del sys.modules["refused_net"]
    return folder / "program.pt2"


@pytest.fixture(scope="module")
def program(saved):
    from mobilesdk.graph.program import load_program

    return load_program(saved)


@pytest.fixture
def refused(program):
    """Make the error for a message about the program."""
    from mobilesdk.graph.refusal import refused

    return lambda message: refused(program, message, hint="replace it.")


@pytest.mark.parametrize(
    "message",
    [
        "PyTorch convert function for op 'fft_fft' not implemented.",
        "Missing out variants: {'aten::fft_fft'}",
        "Lowering not found: aten._fft_r2c.default",
    ],
)
def test_an_op_is_told_with_the_line_that_calls_it(message, refused):
    error = refused(message)
    ROWS["op-unknown"].check(error.code, error.exit_code, f"{error} fft_fft")
    assert error.to_json()["line"] == 7


def test_an_op_that_is_called_in_several_lines_is_told_with_all(refused):
    error = refused("no kernel for aten.relu.default")
    assert error.place == ("refused_net.py", 5)
    assert error.message.endswith("Called in refused_net.py:8 too.")


@pytest.mark.parametrize("message", ["it broke", "no kernel for aten.gelu.default", "relu failed"])
def test_what_names_no_op_of_the_model_has_no_line(message, refused):
    error = refused(message)
    assert (error.place, error.message) == (NO_PLACE, message)


def test_a_prepared_program_keeps_lines_and_no_folder_of_this_machine(saved, program, tmp_path):
    import torch

    from mobilesdk.graph.origin import place_of_node
    from mobilesdk.graph.program import graph_module, load_program, save_program

    with zipfile.ZipFile(saved) as archive:
        content = b"".join(map(archive.read, archive.namelist()))
    assert b"refused_net.py" in content
    assert str(saved.parent).encode() not in content
    again = graph_module(program)
    nodes = again.graph.find_nodes(op="call_function", target=torch.ops.aten.fft_fft.default)
    assert [place_of_node(node) for node in nodes] == [("refused_net.py", 7)]
    save_program(program, tmp_path / "again.pt2")
    kept = load_program(tmp_path / "again.pt2").graph.nodes
    assert {place_of_node(node).line for node in kept} == {None, 5, 7, 8}


@pytest.mark.slow
def test_each_converter_tells_the_line(command_line):
    source = SOURCE.replace("torch.fft.fft", "torch.linalg.eigvalsh")  # which none of them has
    (command_line.folder / "net.py").write_text(source)
    (command_line.folder / "profiles").mkdir()
    (command_line.folder / "profiles" / "float.toml").write_text(
        'schema_version = 1\ntitle = "float"\n'
    )
    arguments = []
    for priority, (name, (format_, platform, more)) in enumerate(FORMATS.items()):
        path = command_line.folder / f"{name}.toml"
        text = TARGET.format(
            name=name, platform=platform, priority=priority, format=format_, more=more
        )
        path.write_text(text)
        arguments += ["--target", path]
    model = command_line.folder / "net.py:build"
    output = command_line.folder / "bundle"
    result = command_line("build", model, *arguments, "--output", output, "--json")
    failures = {each["target"]: each for each in result.json["failures"]}
    assert set(failures) == set(FORMATS)
    for name, failure in failures.items():
        text = f"{failure['file']}:{failure['line']}: {failure['message']}"
        ROWS[name].check(failure["code"], failure["exit_code"], text)
