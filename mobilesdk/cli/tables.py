"""Results as tables on stdout."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mobilesdk.bundle.manifest import Manifest, Variant
from mobilesdk.core.gate import Gate, Verification
from mobilesdk.core.plan import Plan, Unreachable
from mobilesdk.pipeline.build import BuildResult
from mobilesdk.pipeline.doctor import Diagnosis
from mobilesdk.pipeline.initialise import Project
from mobilesdk.pipeline.verification import VerifyReport
from mobilesdk.report.figures import accelerator_not_run, missed, share_of_float, worst_figures
from mobilesdk.units import format_bytes

_WIDTH_WITHOUT_TERMINAL = 160
_STATES = {
    Verification.VERIFIED_ON_HOST: "[green]verified on host[/]",
    Verification.VERIFIED_BY_REFERENCE: "[green]verified by reference[/]",
    Verification.NOT_EVALUATED: "[yellow]not evaluated[/]",
    Verification.UNVERIFIABLE: "[yellow]unverifiable[/]",
    Verification.FAILED_GATE: "[red]failed gate[/]",
}


def console() -> Console:
    """Give the console for stdout; wide enough for a table where there is no terminal."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def print_plan(plan: Plan) -> None:
    """Print the matrix of a plan."""
    out = console()
    table = Table(title="Plan", title_justify="left")
    for column in ("model", "target", "format", "profile", "steps"):
        table.add_column(column, overflow="fold")
    for variant in plan.variants:
        steps = []
        for step in variant.steps:
            shared = f" [dim]shared by {step.shared_by}[/]" if step.shared_by > 1 else ""
            mark = "[green]=[/]" if step.cached else "[yellow]·[/]"
            detail = f" [dim]{escape(step.detail)}[/]" if step.detail else ""
            steps.append(f"{mark} {step.title}{detail}{shared}")
        table.add_row(
            variant.model, variant.target, variant.format, variant.profile, "\n".join(steps)
        )
    out.print(table)
    out.print(f"{plan.step_count} steps, {plan.cached_count} of them cached (=).")
    _print_unreachable(out, plan.unreachable)
    if plan.unread:
        out.print(
            f"[yellow]note[/] {', '.join(plan.unread)}: not read because of the problems below, "
            "so there may be more"
        )
    for problem in plan.problems:
        out.print(f"[red]problem[/] {escape(str(problem))}")
    for missing, fix in plan.missing_tools.items():
        out.print(f"[red]problem[/] {escape(missing)}\n        {escape(fix)}")


def print_project(project: Project) -> None:
    """Print what a new project file holds."""
    out = console()
    out.print(f"{escape(str(project.output))}: {project.model}, {len(project.targets)} target(s)")
    _print_unreachable(out, project.unreachable)
    out.print("Read it through, name its sets, then: mobilesdk plan")


def print_result(result: BuildResult) -> None:
    """Print what a build made: a row per variant, then what failed and what is out of reach."""
    out = console()
    table = Table(title=escape(str(result.output)), title_justify="left")
    many = len(result.manifest.models) > 1
    for column in ("model", "target", "profile") if many else ("target", "profile"):
        table.add_column(column, overflow="fold")
    for column in ("size", "of float", "SQNR", "agreement"):
        table.add_column(column, justify="right")
    table.add_column("verification")
    table.add_column("gates", overflow="fold")
    for model in result.manifest.models:
        for variant in model.variants:
            table.add_row(*([model.name] if many else []), *_variant_cells(variant))
    for failure in result.failures:
        cells = ("", "", "", "", "", f"[red]{failure.step} failed[/]", failure.code)
        table.add_row(*([failure.model] if many else []), failure.target, *cells)
    out.print(table)
    for failure in result.failures:
        out.print(f"[red]{failure.model} for {failure.target}[/]: {escape(failure.text)}")
        if failure.hint:
            out.print(f"  Fix: {escape(failure.hint)}")
    _print_unreachable(out, result.unreachable)
    _print_reasons(out, result)
    _print_missed(out, result.manifest)
    _print_accelerators(out, result.manifest)
    _print_layers(out, result)
    yes = "[green]yes[/]" if result.manifest.releasable else "[yellow]no[/]"
    out.print(f"releasable: {yes}")


def _print_reasons(out: Console, result: BuildResult) -> None:
    reasons: dict[str, list[str]] = {}
    for model in result.manifest.models:
        for variant in model.variants:
            if variant.verification_reason:
                reasons.setdefault(variant.verification_reason, []).append(variant.target)
    for reason, targets in reasons.items():
        out.print(f"[yellow]note[/] {', '.join(dict.fromkeys(targets))}: {escape(reason)}")


def _print_missed(out: Console, manifest: Manifest) -> None:
    """Say of failed gates what the figure alone does not tell."""
    for model in manifest.models:
        for variant in model.variants:
            for gate in variant.gates:
                if gate.verdict == "failed" and gate.reason:
                    who = f"{model.name} for {variant.target}"
                    out.print(f"[red]{who}[/]: {escape(gate.title)}: {escape(gate.reason)}")


def _print_accelerators(out: Console, manifest: Manifest) -> None:
    """Say which figures come from another processor than the one that the target is for."""
    found = [variant for model in manifest.models for variant in model.variants]
    names = dict.fromkeys(
        f"{variant.target} ({elsewhere})"
        for variant in found
        if (elsewhere := accelerator_not_run(variant))
    )
    if names:
        out.print(
            f"[yellow]note[/] run on the host's CPU, not on the accelerator: {', '.join(names)}"
        )


def _print_layers(out: Console, result: BuildResult) -> None:
    """Say how to read the layers if they were compared, and how to have them if they are needed."""
    variants = [variant for model in result.manifest.models for variant in model.variants]
    count = sum("layers" in variant.records for variant in variants)
    gates = [gate for variant in variants for gate in variant.gates]
    if count:
        place = escape(str(result.output))
        out.print(f"layers of {count} variant(s): mobilesdk report {place} --output FILE")
    elif any(gate.output and gate.verdict == "failed" for gate in gates):
        out.print("[yellow]note[/] --layers 8 tells which ops are far from the float model")


def _variant_cells(variant: Variant) -> tuple[str, ...]:
    return (
        variant.target,
        variant.profile,
        format_bytes(variant.size_bytes),
        share_of_float(variant),
        *worst_figures(variant.parity),
        _STATES[variant.verification],
        _gate_summary(variant.gates),
    )


def _gate_summary(gates: tuple[Gate, ...]) -> str:
    counts = Counter(gate.verdict for gate in gates)
    failed = [missed(gate) for gate in gates if gate.verdict == "failed"]
    parts = [f"[green]{counts['passed']} passed[/]"] if counts["passed"] else []
    parts += [f"[red]{escape(text)}[/]" for text in failed]
    for verdict in ("not_evaluated", "unverifiable"):
        if counts[verdict]:
            parts.append(f"[yellow]{counts[verdict]} {verdict.replace('_', ' ')}[/]")
    return ", ".join(parts) or "none"


def _print_unreachable(out: Console, unreachable: tuple[Unreachable, ...]) -> None:
    for entry in unreachable:
        out.print(f"[dim]out of reach[/] {entry.model} for {entry.target}: {escape(entry.reason)}")


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print the toolchains and the known combinations."""
    out = console()
    table = Table(title=f"Python {diagnosis.python}", title_justify="left")
    for column in ("toolchain", "version", "install with"):
        table.add_column(column)
    for tool in diagnosis.tools:
        version = tool.version or ("[red]missing[/]" if tool.needed else "[dim]not installed[/]")
        table.add_row(tool.distribution, version, "" if tool.version else escape(tool.install))
    out.print(table)
    colours = {"broken": "red", "untested": "yellow", "avoided": "dim"}
    for rule in diagnosis.rules:
        colour = colours[rule.level]
        out.print(f"[{colour}]{rule.level}[/] {escape(', '.join(rule.when))}: {escape(rule.what)}")
        out.print(f"  Fix: {escape(rule.fix)}  [dim]({escape(rule.source)})[/]")


def print_verification(report: VerifyReport) -> None:
    """Print what was checked of a bundle or an artifact."""
    out = console()
    table = Table(title=escape(str(report.path)), title_justify="left")
    for column in ("what", "check", "verdict", "detail"):
        table.add_column(column, overflow="fold")
    colours = {"passed": "green", "failed": "red", "measured": "cyan"}
    for check in report.checks:
        colour = colours.get(check.verdict, "yellow")
        verdict = f"[{colour}]{check.verdict.replace('_', ' ')}[/]"
        table.add_row(escape(check.subject), escape(check.name), verdict, escape(check.detail))
    out.print(table)
    if not report.has_run:
        out.print("[yellow]note[/] no artifact was run: only what is stored was looked at.")
