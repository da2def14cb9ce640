"""Check what is already there: a bundle, or an artifact that somebody else built."""

from __future__ import annotations

from pathlib import Path

from mobilesdk.bundle.canonical import files_below, tree_hash, tree_size_bytes
from mobilesdk.bundle.manifest import MANIFEST_NAME, Manifest, ModelEntry, Variant, read_manifest
from mobilesdk.bundle.manifest import resolve as resolve_in
from mobilesdk.core.artifact import ArtifactInfo
from mobilesdk.core.frozen import Frozen
from mobilesdk.errors import FileRejected, UnknownName, UsageError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.check import Check
from mobilesdk.pipeline.claims import check_claims
from mobilesdk.pipeline.launch import Workers
from mobilesdk.pipeline.recorded import check_records
from mobilesdk.pipeline.replaying import Replayer
from mobilesdk.pipeline.tasks import Listener
from mobilesdk.plugins import Kind, names, runtime
from mobilesdk.verify.gates import NON_FINITE_RUNS
from mobilesdk.verify.soundness import faults

_SIGNATURE_NAME = "manifest.sig"


class VerifyReport(Frozen):
    """All that was looked at.

    Attributes:
        releasable: As the manifest of a bundle says; ``None`` for an artifact.
    """

    path: Path
    checks: tuple[Check, ...]
    releasable: bool | None = None

    @property
    def passed(self) -> bool | None:
        """Whether no check failed; None if none did, and a figure cannot be known here.

        A check without a figure has neither passed nor failed.
        """
        verdicts = {check.verdict for check in self.checks}
        if "failed" in verdicts:
            return False
        return None if "unverifiable" in verdicts else True

    @property
    def has_run(self) -> bool:
        """Whether an artifact was run: something is known that only a run tells."""
        return any(
            check.name in ("goldens", NON_FINITE_RUNS) or check.name.startswith("parity")
            for check in self.checks
            if check.verdict not in ("not_evaluated", "unverifiable")
        )


def runtime_for(path: Path) -> str:
    """Give the name of the runtime that reads an artifact, by its suffix.

    Raises:
        FileRejected: It is a bundle with a damaged or hostile manifest.
        UnknownName: None does.
        UsageError: It is a bundle, which holds artifacts.
    """
    if (path / MANIFEST_NAME).exists():
        models = read_manifest(path).models
        targets = sorted({variant.target for model in models for variant in model.variants})
        raise UsageError(
            f"{path} is a bundle, no artifact.",
            hint=f"give --target; this bundle has: {', '.join(targets) or 'none'}.",
        )
    suffixes = {runtime(name).suffix: name for name in names(Kind.RUNTIMES)}
    if path.suffix not in suffixes:
        raise UnknownName("artifact suffix", path.suffix, suffixes)
    return suffixes[path.suffix]


def verify_bundle(
    bundle: Path,
    cache: Cache,
    workers: Workers,
    listener: Listener,
    plugin_files: tuple[Path, ...],
) -> VerifyReport:
    """Check every hash of a bundle, judge its figures, read the artifacts, replay the goldens.

    Raises:
        FileRejected: A file is missing, changed, or not named by the manifest, or the manifest
            contradicts itself, the records or the shipped profiles.
    """
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    count = len(manifest.files)
    checks = [Check(subject=MANIFEST_NAME, name=f"{count} hashes", verdict="passed")]
    checks += check_claims(manifest)
    check_records(bundle, manifest)
    replay = Replayer(bundle, cache, workers, listener, plugin_files)
    for model in manifest.models:
        for variant in model.variants:
            info = runtime(variant.format).inspect(resolve_in(bundle, variant.artifact))
            checks += [_structure(model, variant, info), replay.check(model, variant, info)]
    return VerifyReport(path=bundle, checks=tuple(checks), releasable=manifest.releasable)


def check_files(bundle: Path, manifest: Manifest) -> None:
    """Compare the files of a bundle with its manifest.

    Raises:
        FileRejected: A file is missing, changed, linked, or not named by the manifest.
    """
    named: set[Path] = {bundle / MANIFEST_NAME, bundle / _SIGNATURE_NAME}
    for entry in manifest.files:
        path = resolve_in(bundle, entry.path)
        if not (path.is_file() if entry.kind == "file" else path.is_dir()):
            raise FileRejected(f"{entry.path} is missing from {bundle}.")
        if tree_size_bytes(path) != entry.size_bytes or tree_hash(path) != entry.sha256:
            raise FileRejected(
                f"{entry.path} is not what the manifest names: its hash differs.",
                hint="fetch the bundle again; it was damaged or changed after the build.",
            )
        named.update(files_below(path) if path.is_dir() else [path])
    for item in bundle.rglob("*"):
        if item.is_symlink() or (not item.is_dir() and item not in named):
            relative = item.relative_to(bundle).as_posix()
            raise FileRejected(f"{bundle} holds {relative}, which its manifest does not name.")
    _check_references(manifest)
    _check_assets(manifest)


def _check_references(manifest: Manifest) -> None:
    """Refuse a model or variant that refers to a file without a hash."""
    hashed = {entry.path for entry in manifest.files}
    for model in manifest.models:
        referred = {model.golden_inputs, model.golden_outputs}
        referred |= {asset.path for asset in model.assets}
        for variant in model.variants:
            referred |= {variant.artifact, *variant.records.values()}
            referred |= {variant.expected_outputs} if variant.expected_outputs else set()
        if not referred <= hashed:
            names = ", ".join(sorted(referred - hashed))
            raise FileRejected(f"{model.name} refers to {names}, of which there is no hash.")


def _check_assets(manifest: Manifest) -> None:
    """Refuse an asset that is not stored under its hash, has the name of another, or no model's."""
    known: set[str] = set()
    for model in manifest.models:
        names = [asset.name for asset in model.assets]
        if len(set(names)) < len(names):
            raise FileRejected(f"{model.name} has two assets of one name.")
        known |= {asset.path for asset in model.assets}
    stored = {entry.path for entry in manifest.files if entry.role == "asset"}
    hashed = {f"assets/{entry.sha256}" for entry in manifest.files if entry.role == "asset"}
    if not stored == known == hashed:
        names_text = ", ".join(sorted((stored ^ known) | (stored ^ hashed)))
        raise FileRejected(f"The assets are not those that the models name: {names_text}.")


def _subject(model: ModelEntry, variant: Variant) -> str:
    return f"{model.name} for {variant.target}"


def _structure(model: ModelEntry, variant: Variant, info: ArtifactInfo) -> Check:
    found = faults(info)
    text = "; ".join(found) or f"{len(info.ops)} ops, {len(info.weights)} weights"
    return Check(
        subject=_subject(model, variant),
        name="structure",
        verdict="failed" if found else "passed",
        detail=text,
    )
