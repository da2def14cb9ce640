"""Target and profile files: every fault is found, with its line and what was probably meant."""

from pathlib import Path

import pytest

from mobilesdk.errors import InvalidTarget, UnknownName, UsageError
from mobilesdk.plugins import discovery
from mobilesdk.targets import (
    FallbackAllowance,
    Unsupported,
    check_file,
    find_targets,
    load_profile,
    load_target,
    load_targets,
    shipped,
    shipped_folder,
)

PLUGINS = {
    "exporters": """
from typing import Literal
from mobilesdk.core.form import Form, Needs
from mobilesdk.plugins.contract import ExportOptions

plugin_api = 1

class Options(ExportOptions):
    backend: Literal["fast", "slow"]
    level: int = 3

class Exporter:
    options = Options
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    suffix = ".toy"
    def needs(self, request): return Needs.NONE
    def refuse(self, options, request, summary): return []
    def apply(self, model, options, context): return model

PLUGIN = Exporter()
""",
    "compressors": """
from typing import Literal
from pydantic import Field
from mobilesdk.core.form import Form, Needs
from mobilesdk.core.step import StepConfig

plugin_api = 1

class Weights(StepConfig):
    bits: Literal[4, 8] = 8

class Config(StepConfig):
    weights: Weights = Weights()
    overrides: dict[str, Weights] = {}
    ratio: float = Field(default=0.5, gt=0.0)

class Compressor:
    config = Config
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = forbids = adds = frozenset()
    def needs(self, config): return Needs.NONE
    def request(self, config, before): return before
    def refuse(self, config, summary): return []
    def apply(self, model, config, context): return model

PLUGIN = Compressor()
""",
}

TARGET = """\
#:schema ./schema.json
schema_version = 1
id = "phone"
title = "A phone"

[device]
platform = "android"
min_os = "8.0"
accelerator = "gpu"

[match]
priority = 5
any = [
  { os_min = "8.0", soc = ["SM8650"] },
  { ram_min_bytes = 4_000_000_000 },
]

[export]
format = "toy"
backend = "fast"
fallback = "forbid"

[profiles]
default = "mine"
transformer = { unsupported = "too slow" }
"""

PROFILE = """\
schema_version = 1
title = "Mine"

[[compress]]
method = "shrink"
weights = { bits = 4 }
overrides = { linear = { bits = 8 } }

[[compress]]
method = "shrink"
ratio = 1

[budget.any]
max_size_ratio = 0.5
[budget.classification]
min_top1_agreement = 0.9
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a user: one target, one profile, two plug-ins."""
    monkeypatch.setattr(discovery, "_files", {})
    monkeypatch.setattr(discovery, "_loaded", {})
    for kind, name in (("exporters", "toy"), ("compressors", "shrink")):
        path = tmp_path / "plugins" / kind / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(PLUGINS[kind])
        discovery.add_file(path)
    targets = tmp_path / "targets"
    (targets / "profiles").mkdir(parents=True)
    (targets / "phone.toml").write_text(TARGET)
    (targets / "profiles" / "mine.toml").write_text(PROFILE)
    return targets


def faults_of(folder: Path, old: str, new: str, name="phone.toml") -> list[str]:
    """Change one thing in a file; give its faults as ``line: key: message; hint``."""
    path = folder / name
    text = path.read_text()
    assert text.count(old) == 1, "the test must change exactly one place"
    path.write_text(text.replace(old, new))
    return [str(fault).removeprefix(f"{path}:") for fault in check_file(path)]


def test_a_target_of_ones_own_loads_with_typed_options_and_defaults(folder):
    target = load_target(folder / "phone.toml")
    assert target.export.format == "toy"
    assert target.export.options == {"backend": "fast", "level": 3}
    assert target.export.typed_options().level == 3
    assert target.match.any[0].soc == ("SM8650",)
    assert target.profile_for("vision") == "mine"
    assert target.profile_for("transformer") == Unsupported(unsupported="too slow")


def test_a_profile_lies_beside_the_target_that_names_it(folder):
    profile = load_profile("mine", folder)
    assert [step.method for step in profile.compress] == ["shrink", "shrink"]
    assert profile.compress[0].typed_config().overrides["linear"].bits == 8
    assert profile.compress[1].config == {"weights": {"bits": 8}, "overrides": {}, "ratio": 1.0}
    with pytest.raises(UnknownName, match="No profile named 'mine'"):
        load_profile("mine")


def test_a_profile_beside_the_target_goes_before_a_shipped_one(folder):
    (folder / "profiles" / "fp16.toml").write_text(PROFILE)
    assert load_profile("fp16", folder).title == "Mine"
    assert load_profile("fp16").title != "Mine"


@pytest.mark.parametrize("name", ["android-gpu", "apple-ane"])
def test_fallback_is_a_fault_where_the_phone_decides(folder, name):
    text = (shipped_folder() / f"{name}.toml").read_text()
    path = folder / f"{name}.toml"
    path.write_text(text)
    assert check_file(path) == []
    path.write_text(text.replace("[export]\n", '[export]\nfallback = "forbid"\n'))
    (fault,) = check_file(path)
    assert "export.fallback" in str(fault)
    assert "the phone decides; leave it out" in str(fault)


@pytest.mark.parametrize(
    ("name", "takes_it"), [("android-gpu", False), ("apple-ane", False), ("ios-executorch", True)]
)
def test_fallback_is_suggested_where_it_can_stand(folder, name, takes_it):
    text = (shipped_folder() / f"{name}.toml").read_text()
    (folder / f"{name}.toml").write_text(text.replace("[export]\n", "[export]\nsundry = 1\n"))
    (fault,) = check_file(folder / f"{name}.toml")
    assert "unknown key" in fault.message
    assert "allow_partial" in fault.hint
    assert ("fallback" in fault.hint) is takes_it


def test_a_table_allows_fallback_and_partial_compression(folder):
    text = TARGET.replace(
        'fallback = "forbid"',
        'fallback = { max_ops = 2, ops = ["aten::topk"], reason = "small" }\n'
        'allow_partial = { max_fraction = 0.1, reason = "tiny" }',
    )
    (folder / "phone.toml").write_text(text)
    export = load_target(folder / "phone.toml").export
    assert export.fallback == FallbackAllowance(max_ops=2, ops=("aten::topk",), reason="small")
    assert export.allow_partial.max_fraction == 0.1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("schema_version = 1", "schema_version = 2", ["2: schema_version: 2 is not allowed; "]),
        (
            'id = "phone"',
            'id = "fone"',
            ["3: id: 'fone' is not the name of the file; write 'phone'"],
        ),
        ('title = "A phone"\n', "", ["1: title: missing"]),
        (
            'platform = "android"',
            'platfrom = "android"',
            [
                "6: device.platform: missing",
                "7: device.platfrom: unknown key; did you mean 'platform'?",
            ],
        ),
        (
            'platform = "android"',
            'platform = "andriod"',
            ["7: device.platform: 'andriod' is not allowed; did you mean 'android'?"],
        ),
        (
            'min_os = "8.0"\na',
            "min_os = 8\na",
            ["8: device.min_os: input should be a valid string, not 8"],
        ),
        ('"gpu"', '"gpu"\nmin_os = "x"', ["10: not TOML: Cannot overwrite a value"]),
        (
            "{ ram_min_bytes = 4",
            "{ ram_min_byte = 4",
            ["15: match.any[1].ram_min_byte: unknown key; did you mean 'ram_min_bytes'?"],
        ),
        (
            "{ ram_min_bytes = 4_000_000_000 }",
            "{}",
            ["15: match.any[1]: a rule without conditions"],
        ),
        (
            "ram_min_bytes = 4_000_000_000",
            'model_min = "iPhone13,1"',
            ["15: match.any[1].model_min: is not known on android; only ios is"],
        ),
        (
            'os_min = "8.0", soc',
            'os_min = "12", os_max = "9", soc',
            ["14: match.any[0].os_min: is above os_max, so no phone can match"],
        ),
        (
            "priority = 5",
            "priority = true",
            ["12: match.priority: input should be a valid integer, not True"],
        ),
        (
            'format = "toy"',
            'format = "litrt"',
            ["19: export.format: No exporter named 'litrt'; did you mean 'litert'?"],
        ),
        ('format = "toy"\n', "", ["18: export.format: missing"]),
        (
            '"fast"',
            '"fats"',
            ["20: export.backend: 'fats' is not allowed; did you mean 'fast'?"],
        ),
        ('backend = "fast"\n', "", ["18: export.backend: missing"]),
        (
            'backend = "fast"',
            'backend = "fast"\nlevel = 1.5',
            ["21: export.level: input should be a valid integer"],
        ),
        (
            'fallback = "forbid"',
            'falback = "forbid"',
            ["21: export.falback: unknown key; did you mean 'fallback'?"],
        ),
        ('fallback = "forbid"', "options = {}", ["21: export.options: unknown key"]),
        (
            '"forbid"',
            '"allow"',
            ["21: export.fallback: 'allow' is not allowed; Available: forbid."],
        ),
        ('"forbid"', "{ max_ops = 2 }", ["21: export.fallback.reason: missing"]),
        (
            '"forbid"',
            '{ max_op = 2, reason = "x" }',
            [
                "21: export.fallback.max_op: unknown key; did you mean 'max_ops'?",
                "21: export.fallback.max_ops: missing",
            ],
        ),
        (
            'default = "mine"',
            'default = "min"',
            ["24: profiles.default: no profile named 'min'; did you mean 'mine'?"],
        ),
        (
            "transformer =",
            "transfomer =",
            ["25: profiles.transfomer: unknown key; did you mean 'transformer'?"],
        ),
        (
            'unsupported = "too slow"',
            'unsuported = "too slow"',
            [
                "25: profiles.transformer.unsuported: unknown key; did you mean 'unsupported'?",
                "25: profiles.transformer.unsupported: missing",
            ],
        ),
        (
            'unsupported = "too slow"',
            'unsupported = ""',
            ["25: profiles.transformer.unsupported: string should have at least 1 character"],
        ),
    ],
)
def test_faults_of_a_target(folder, old, new, expected):
    found = faults_of(folder, old, new)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{ bits = 4 }", "{ bits = 5 }", ["6: compress[0].weights.bits: 5 is not allowed; "]),
        ("{ bits = 4 }", '{ bits = "4" }', ["6: compress[0].weights.bits: '4' is not allowed; "]),
        (
            "{ bits = 4 }",
            "{ bit = 4 }",
            ["6: compress[0].weights.bit: unknown key; did you mean 'bits'?"],
        ),
        (
            "weights =",
            "wieghts =",
            ["6: compress[0].wieghts: unknown key; did you mean 'weights'?"],
        ),
        (
            "linear = { bits",
            "linear = { bitz",
            ["7: compress[0].overrides.linear.bitz: unknown key; did you mean 'bits'?"],
        ),
        (
            "ratio = 1\n",
            "ratio = 0\n",
            ["11: compress[1].ratio: input should be greater than 0, not 0"],
        ),
        (
            "ratio = 1\n",
            "ratio = 1\nmethd = 2\n",
            ["12: compress[1].methd: unknown key; did you mean 'method'?"],
        ),
        (
            "max_size_ratio",
            "max_sise_ratio",
            ["14: budget.any.max_sise_ratio: unknown key; did you mean 'max_size_ratio'?"],
        ),
        (
            "[budget.classification]\nmin_top1",
            "[budget.embedding]\nmin_top1",
            ["16: budget.embedding.min_top1_agreement: unknown key; "],
        ),
        (
            "[budget.classification]",
            "[budget.clasification]",
            ["15: budget.clasification: unknown key; did you mean 'classification'?"],
        ),
        (
            "= 0.9\n",
            "= 95\n",
            ["16: budget.classification.min_top1_agreement: input should be less than"],
        ),
    ],
)
def test_faults_of_a_profile(folder, old, new, expected):
    found = faults_of(folder, old, new, "profiles/mine.toml")
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


def test_an_unknown_method_is_named_with_what_was_meant(folder):
    path = folder / "profiles" / "mine.toml"
    path.write_text(PROFILE.replace('"shrink"', '"shirnk"', 1))
    (fault,) = check_file(path)
    assert (fault.line, fault.key) == (5, "compress[0].method")
    assert "did you mean 'shrink'?" in fault.hint


def test_the_error_lists_every_fault_in_the_order_of_the_lines(folder):
    path = folder / "phone.toml"
    text = TARGET.replace('"android"', '"andriod"').replace('"fast"', '"fats"')
    path.write_text(text.replace('"mine"', '"min"'))
    with pytest.raises(InvalidTarget) as caught:
        load_target(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path} has 3 fault(s):"
    assert [line.split(":")[1] for line in lines[1:4]] == ["7", "20", "24"]
    assert caught.value.exit_code == 2


def test_faults_of_all_files_of_a_folder_come_at_once(folder):
    (folder / "phone.toml").write_text(TARGET.replace('"fast"', '"fats"'))
    (folder / "other.toml").write_text(TARGET)
    with pytest.raises(InvalidTarget, match="2 fault") as caught:
        load_targets(str(folder))
    assert f"{folder / 'other.toml'}:3: id" in str(caught.value)
    (folder / "profiles" / "mine.toml").write_text("x = 1")
    assert {fault.path.name for fault in check_file(folder)} == {
        "phone.toml",
        "other.toml",
        "mine.toml",
    }


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b'a = 1\nb = "x\n', 2, "not TOML"),
        (b"a = 1\na = 2\n", 2, "not TOML: Cannot overwrite"),
        (b"a = 1\nb = [\n", 3, "not TOML"),
        (b"a = 1\n# \xff\n", 2, "not UTF-8"),
        (b"#" * (1 << 18) + b"#", 1, "larger than"),
    ],
)
def test_unreadable_files_are_faults_with_a_line(tmp_path, content, line, message):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    (fault,) = check_file(path)
    assert fault.line == line
    assert fault.message.startswith(message)


def test_a_file_that_does_not_exist_is_a_fault(tmp_path):
    (fault,) = check_file(tmp_path / "none.toml")
    assert "No such file" in fault.message


def test_references_are_names_files_or_folders(folder):
    assert find_targets("android-gpu")[0].name == "android-gpu.toml"
    assert find_targets(str(folder)) == (folder / "phone.toml",)
    assert [target.id for target, beside in load_targets(str(folder)) if beside == folder] == [
        "phone"
    ]
    with pytest.raises(UnknownName, match="did you mean 'android-gpu'"):
        find_targets("android-gpuu")
    with pytest.raises(UsageError, match="no target files"):
        find_targets(str(folder.parent / "plugins"))
    second = TARGET.replace('"phone"', '"phone2"').replace("priority = 5", "priority = 6")
    (folder / "phone2.toml").write_text(second)
    with pytest.raises(UsageError, match="2 targets"):
        load_target(folder)


def test_all_shipped_targets_are_meant_by_no_reference():
    assert sorted(target.id for target, _ in load_targets()) == shipped()
