"""Each error has a code and an exit code, says what to do, and survives the border of a process."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobilesdk import errors
from mobilesdk.errors import (
    CheckFailed,
    FileRejected,
    InvalidModel,
    InvalidTarget,
    MobileSDKError,
    Place,
    PlanRefused,
    Problem,
    StepFailed,
    ToolchainMissing,
    UnknownName,
    UsageError,
    error_classes,
    suggest,
)
from mobilesdk.pipeline.launch import restore

CLASSES = {
    code: error for code, error in error_classes().items() if error.__module__ == errors.__name__
}
EXIT_CODES = {
    MobileSDKError: 70,
    CheckFailed: 1,
    UsageError: 2,
    ToolchainMissing: 3,
    StepFailed: 6,
    FileRejected: 7,
}
TREE_LINE = re.compile(
    r"^    (?P<stem>[│├└─ ]*)(?P<name>\w+)(?: +(?P<code>\d+))?  +\S", re.MULTILINE
)


def all_below(error: type[MobileSDKError]) -> list[type[MobileSDKError]]:
    """Give a class and those below it, in the order of their definition."""
    own = [sub for sub in error.__subclasses__() if sub.__module__ == errors.__name__]
    return [error, *(found for sub in own for found in all_below(sub))]


def test_codes_are_unique() -> None:
    assert len(CLASSES) == len(all_below(MobileSDKError))
    assert all(CLASSES[error.code] is error for error in all_below(MobileSDKError))


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_each_class_has_a_code_of_its_own_and_says_what_it_is(error: type[MobileSDKError]) -> None:
    assert "code" in vars(error)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code)
    assert error.__doc__


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_a_class_has_the_exit_code_of_its_branch(error: type[MobileSDKError]) -> None:
    branch = next(base for base in error.__mro__ if base in EXIT_CODES)
    assert error.exit_code == EXIT_CODES[branch]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn = [(found["name"], found["code"]) for found in TREE_LINE.finditer(errors.__doc__)]
    assert drawn == [
        (error.__name__, str(error.exit_code) if error in EXIT_CODES else None)
        for error in all_below(MobileSDKError)
    ]


def test_the_text_says_what_happened_what_to_do_and_where_to_read_more() -> None:
    error = StepFailed("It broke.", hint="mend it.")
    assert str(error) == "It broke.\nFix: mend it.\nMore: mobilesdk explain step-failed"


def test_a_text_without_a_hint_has_no_empty_line_for_it() -> None:
    assert str(UsageError("No.")) == "No.\nMore: mobilesdk explain usage"


@given(code=st.sampled_from(sorted(CLASSES)), message=st.text(), hint=st.text())
def test_an_error_survives_the_border_of_a_process(code: str, message: str, hint: str) -> None:
    sent = json.loads(json.dumps(CLASSES[code].restore(message, hint).to_json()))
    received = CLASSES[sent["code"]].restore(sent["message"], sent["hint"])
    assert type(received) is CLASSES[code]
    assert (received.message, received.hint) == (message, hint)
    with pytest.raises(CLASSES[code]):
        raise received


def test_errors_with_arguments_of_their_own_survive_it_too() -> None:
    problems = [Problem("usage", "a"), Problem("usage", "b")]
    made = [UnknownName("target", "android", ["android-gpu"]), PlanRefused(problems, hint="c")]
    for error in made:
        fields = error.to_json()
        assert str(CLASSES[error.code].restore(fields["message"], fields["hint"])) == str(error)


def test_a_refused_plan_lists_every_problem() -> None:
    problems = (
        Problem("invalid-dataset", "There is no set.", "give one."),
        Problem("invalid-target", "format: missing.", file="phone.toml", line=7),
    )
    error = PlanRefused(problems)
    assert error.problems == problems
    assert error.message == (
        "The plan has 2 problem(s):\n"
        "  - There is no set. give one. [invalid-dataset]\n"
        "  - phone.toml:7: format: missing. [invalid-target]"
    )


def test_an_unknown_name_gets_the_nearest_one_and_all_others_sorted() -> None:
    error = UnknownName("target", "android-xnpack", {"android-xnnpack", "android-gpu"})
    assert error.message == "No target named 'android-xnpack'."
    assert error.hint == "did you mean 'android-xnnpack'? Available: android-gpu, android-xnnpack."


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("coremll", ["coreml", "litert"], "did you mean 'coreml'? Available: coreml, litert."),
        ("zzz", ["coreml"], "Available: coreml."),
        ("zzz", [], "Available: none."),
    ],
)
def test_a_suggestion_names_what_is_near(name: str, known: list[str], text: str) -> None:
    assert suggest(name, known) == text


def test_an_error_with_a_place_says_it_first_and_keeps_it() -> None:
    error = InvalidModel("It raised.", hint="mend it.", place=Place("net.py", 3))
    assert str(error).startswith("net.py:3: It raised.\nFix: mend it.\n")
    sent = error.to_json()
    again = restore(json.loads(json.dumps(sent)))
    assert (type(again), str(again), again.problems) == (InvalidModel, str(error), error.problems)
    assert "file" not in InvalidModel("It raised.").to_json()


def test_what_an_error_is_about_stands_before_it_and_before_what_it_lists() -> None:
    listed = Problem("invalid-target", "format: missing.", file="phone.toml", line=7)
    error = InvalidTarget("phone.toml has 1 fault(s)", hint="mend", faults=[listed]).about("tier")
    assert error.message == "tier: phone.toml has 1 fault(s)"
    (problem,) = error.problems
    assert str(problem) == "phone.toml:7: tier: format: missing. [invalid-target]"
    assert UnknownName("profile", "a", ["b"]).about("tier").message == "tier: No profile named 'a'."
