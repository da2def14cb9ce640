"""Put a bundle together from finished tasks: files, records, goldens, manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobilesdk import __version__
from mobilesdk.bundle.canonical import canonical_json, files_below, tree_hash, tree_size_bytes
from mobilesdk.bundle.manifest import (
    MANIFEST_NAME,
    AssetEntry,
    Failure,
    FileEntry,
    Manifest,
    ModelEntry,
    Port,
    SetEntry,
    Structure,
    Variant,
)
from mobilesdk.bundle.new_folder import new_folder
from mobilesdk.core.artifact import TensorInfo
from mobilesdk.core.contract import InputSpec, OutputSpec, StateSpec
from mobilesdk.core.layers import LayerReport
from mobilesdk.core.naming import natural_order
from mobilesdk.core.source import Reference
from mobilesdk.core.structure import StructureRecord
from mobilesdk.data.index import INDEX_NAME, SampleIndex
from mobilesdk.errors import MobileSDKError, UsageError
from mobilesdk.pipeline.cache import Cache
from mobilesdk.pipeline.claims import may_be_released
from mobilesdk.pipeline.extras import Asset
from mobilesdk.pipeline.job import read_outcome
from mobilesdk.pipeline.keys import tool_versions
from mobilesdk.pipeline.reading import ReadModel
from mobilesdk.pipeline.task_graph import Graph, VariantTasks
from mobilesdk.report.layers import layers_page
from mobilesdk.targets import Export, FallbackAllowance, PartialAllowance
from mobilesdk.verify.layers import REPORT_NAME as LAYERS_NAME
from mobilesdk.verify.record import EXPECTED_NAME, LEDGER_NAME, RECORD_NAME, VariantRecord

_ROLES = {"variants": "artifact", "goldens": "golden", "records": "record", "assets": "asset"}


class Assembler:
    """Writes one bundle."""

    def __init__(self, graph: Graph, failures: Mapping[str, MobileSDKError], cache: Cache) -> None:
        self._graph = graph
        self._failures = failures
        self._cache = cache
        self._packages: set[str] = set()
        self._stored: dict[str, str] = {}

    def failure_of(self, variant: VariantTasks) -> tuple[str, MobileSDKError] | None:
        """Give the step of a variant that failed first, with its error; ``None`` if none did."""
        shared = self._graph.references[variant.model.request.name]
        for key in (shared, *variant.steps):
            if key in self._failures:
                return self._graph.tasks[key].title, self._failures[key]
        return None

    def write(self, models: tuple[ReadModel, ...], output: Path, *, overwrite: bool) -> Manifest:
        """Write the bundle of all variants that were built.

        Raises:
            OutputExists: The folder exists, and ``overwrite`` is false.
            WriteFailed: The file system refused.
        """
        with new_folder(output, overwrite=overwrite) as folder:
            entries = tuple(
                self._model(model, folder)
                for model in models
                if self._graph.references[model.request.name] not in self._failures
            )
            failures = tuple(self._failed())
            manifest = Manifest(
                mobilesdk_version=__version__,
                releasable=may_be_released(entries, failures),
                models=entries,
                failures=failures,
                files=self._files(folder),
            )
            content = canonical_json(manifest.model_dump(mode="json"))
            (folder / MANIFEST_NAME).write_bytes(content)
        return manifest

    def _failed(self) -> list[Failure]:
        found = []
        for variant in self._graph.variants:
            failure = self.failure_of(variant)
            if failure is not None:
                step, error = failure
                found.append(
                    Failure(
                        model=variant.model.request.name,
                        target=variant.target.id,
                        step=step,
                        code=error.code,
                    )
                )
        return found

    def _model(self, model: ReadModel, folder: Path) -> ModelEntry:
        name = model.request.name
        reference = self._cache.folder(self._graph.references[name])
        goldens = f"goldens/{name}"
        for part in ("inputs", "outputs"):
            _copy(
                reference / f"golden_{part}.safetensors", folder / f"{goldens}/{part}.safetensors"
            )
        variants = [v for v in self._graph.variants if v.model.request.name == name]
        built = [variant for variant in variants if self.failure_of(variant) is None]
        return ModelEntry(
            name=name,
            source=str(Reference.parse(model.request.reference).bare()),
            sha256=model.sha256,
            family=model.summary.family,
            contract=model.summary.contract,
            golden_inputs=f"{goldens}/inputs.safetensors",
            golden_outputs=f"{goldens}/outputs.safetensors",
            assets=tuple(_store_asset(asset, folder) for asset in model.request.assets),
            variants=tuple(
                self._variant(variant, order, folder) for order, variant in enumerate(built)
            ),
        )

    def _variant(self, variant: VariantTasks, order: int, folder: Path) -> Variant:
        name, target = variant.model.request.name, variant.target
        verified = self._cache.folder(variant.verify)
        record = VariantRecord.model_validate_json((verified / RECORD_NAME).read_bytes())
        artifact = self._store_artifact(variant, folder)
        expected = verified / EXPECTED_NAME
        expected_path = f"goldens/{name}/{target.id}.safetensors" if expected.exists() else None
        if expected_path is not None:
            _copy(expected, folder / expected_path)
        sets = self._graph.sets[name]
        whole = variant.model.summary.contract
        contract = whole if record.states else whole.functional
        return Variant(
            target=target.id,
            target_title=target.title,
            format=target.export.format,
            artifact=artifact,
            inputs=_ports(contract.inputs, record.inputs),
            outputs=_ports(contract.outputs, record.outputs),
            states=_ports(contract.states, record.states),
            export=target.export.typed_options().model_dump(mode="json"),
            size_bytes=tree_size_bytes(folder / artifact),
            float_size_bytes=variant.model.summary.float_size_bytes,
            profile=variant.profile_name,
            overrides=variant.overrides,
            allowances=_allowances(target.export),
            methods=tuple(step.method for step in variant.profile.compress),
            structure=self._structure(variant),
            accelerator=target.device.accelerator,
            minimum_os=target.device.min_os,
            maximum_os=target.device.max_os,
            match=target.match.model_dump(mode="json", exclude_none=True),
            fallback_order=order,
            verification=record.verification,
            verification_reason=record.reason,
            ran_on=record.ran_on,
            gates=record.gates,
            parity=record.parity,
            calibration=self._set(sets.get("calibration")),
            evaluation=self._set(sets.get("evaluation")),
            tools=tool_versions(variant.tools),
            records=self._records(variant, record, verified, folder),
            expected_outputs=expected_path,
        )

    def _store_artifact(self, variant: VariantTasks, folder: Path) -> str:
        """Copy the artifact, or give the place of an equal one that is there already."""
        model = read_outcome(self._cache.folder(variant.export)).model
        if model is None:
            raise AssertionError("an export gives a model")
        path = f"variants/{variant.target.id}/{variant.model.request.name}{model.path.suffix}"
        digest = tree_hash(model.path)
        if digest in self._stored:
            return self._stored[digest]
        if model.path.is_dir():
            self._packages.add(path)
            for item in files_below(model.path):
                _copy(item, folder / path / item.relative_to(model.path))
        else:
            _copy(model.path, folder / path)
        self._stored[digest] = path
        return path

    def _records(
        self, variant: VariantTasks, record: VariantRecord, verified: Path, folder: Path
    ) -> dict[str, str]:
        base = f"records/{variant.target.id}/{variant.model.request.name}"
        steps = [self._graph.tasks[key] for key in (*variant.chain, variant.export)]
        records: dict[str, Any] = {
            "plan": {
                "profile": variant.profile_name,
                "steps": [{"step": task.title, "config": task.config} for task in steps],
            },
            "parity": record.model_dump(mode="json", include={"parity", "gates"}),
            "runtime": record.model_dump(mode="json", exclude={"parity", "gates"}),
        }
        (folder / base).mkdir(parents=True)
        for name, content in records.items():
            (folder / base / f"{name}.json").write_bytes(canonical_json(content))
        _copy(verified / LEDGER_NAME, folder / base / "ledger.json")
        paths = {name: f"{base}/{name}.json" for name in (*records, "ledger")}
        structure = self._structure_record(variant)
        if structure is not None:
            paths["structure"] = f"{base}/structure.json"
            _copy(structure, folder / paths["structure"])
        if variant.layers is not None:
            paths |= self._layers(variant, variant.layers, base, folder)
        return dict(sorted(paths.items()))

    def _structure_record(self, variant: VariantTasks) -> Path | None:
        """Give what pruning wrote, if the model was pruned; later steps carry it along."""
        if not variant.chain:
            return None
        model = read_outcome(self._cache.folder(variant.chain[-1])).model
        return None if model is None else model.sidecars.get("structure")

    def _structure(self, variant: VariantTasks) -> Structure | None:
        path = self._structure_record(variant)
        if path is None:
            return None
        record = StructureRecord.model_validate_json(path.read_bytes())
        return Structure(before=record.before, after=record.after)

    def _layers(self, variant: VariantTasks, key: str, base: str, folder: Path) -> dict[str, str]:
        """Write how far each op is from the float model, for machines and for people."""
        compared = self._cache.folder(key) / LAYERS_NAME
        report = LayerReport.model_validate_json(compared.read_bytes())
        page = layers_page(report, f"{variant.model.request.name} for {variant.target.id}")
        paths = {"layers": f"{base}/layers.json", "layers_page": f"{base}/layers.html"}
        _copy(compared, folder / paths["layers"])
        (folder / paths["layers_page"]).write_text(page, encoding="utf-8")
        return paths

    def _set(self, key: str | None) -> SetEntry | None:
        if key is None:
            return None
        path = self._cache.folder(key) / INDEX_NAME
        index = SampleIndex.model_validate_json(path.read_bytes())
        return SetEntry(sha256=index.digest, count=index.count)

    def _files(self, folder: Path) -> tuple[FileEntry, ...]:
        entries = [self._entry(folder, path, "package") for path in sorted(self._packages)]
        for item in files_below(folder):
            path = item.relative_to(folder).as_posix()
            if not any(path.startswith(f"{package}/") for package in self._packages):
                entries.append(self._entry(folder, path, "file"))
        return tuple(sorted(entries, key=lambda entry: entry.path))

    def _entry(self, folder: Path, path: str, kind: Any) -> FileEntry:
        role: Any = _ROLES[path.partition("/")[0]]
        place = folder / path
        return FileEntry(
            path=path,
            kind=kind,
            role=role,
            size_bytes=tree_size_bytes(place),
            sha256=tree_hash(place),
        )


def _ports(
    specs: Sequence[InputSpec | OutputSpec | StateSpec], tensors: Sequence[TensorInfo]
) -> dict[str, Port]:
    """Pair the contract's names with an artifact's: by name, or in order if it numbers them."""
    names = [spec.name for spec in specs]
    found = {tensor.name: tensor for tensor in tensors}
    if not set(names) <= set(found):
        numbered = sorted(found, key=natural_order)
        found = {name: found[other] for name, other in zip(names, numbered, strict=True)}
    return {name: _port(found[name]) for name in names}


def _port(tensor: TensorInfo) -> Port:
    return Port(**tensor.model_dump(include={"name", "shape", "dtype", "flexibility"}))


def _allowances(export: Export) -> dict[str, Any]:
    given = {"fallback": export.fallback, "allow_partial": export.allow_partial}
    return {
        name: allowance.model_dump(mode="json", exclude_none=True)
        for name, allowance in given.items()
        if isinstance(allowance, FallbackAllowance | PartialAllowance)
    }


def _store_asset(asset: Asset, folder: Path) -> AssetEntry:
    """Copy an asset under its hash, unless an equal one is there."""
    try:
        content = asset.path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(
            f"The asset {asset.path} is gone.", hint="leave it where it is until the build ends."
        ) from error
    path = f"assets/{hashlib.sha256(content).hexdigest()}"
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(content)
    return AssetEntry(name=asset.path.name, role=asset.role, path=path)


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)
