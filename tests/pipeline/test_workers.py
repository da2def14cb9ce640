import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from mobilesdk import errors
from mobilesdk.core.form import Form, Trait
from mobilesdk.core.model import Model
from mobilesdk.pipeline import launch, processes
from mobilesdk.pipeline.job import OUTCOME_NAME, Job, Outcome, TaskKind
from mobilesdk.pipeline.launch import Limits, Workers
from mobilesdk.pipeline.processes import family
from mobilesdk.pipeline.template import Template
from tests.conftest import STAND_INS
from tests.processes import ended, eventually

FAULT = STAND_INS / "compressors" / "fault.py"


@pytest.fixture(autouse=True)
def own_templates(monkeypatch):
    """Give each test templates of its own, which end with it."""
    monkeypatch.setattr(launch, "Template", Template)


@pytest.fixture
def model(tmp_path):
    """A folder as a finished step leaves it, with a model."""
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / "program.pt2").write_bytes(b"program")
    made = Model(form=Form.EXPORTED_PROGRAM, path="program.pt2", traits=frozenset({Trait.FOLDED}))
    (folder / OUTCOME_NAME).write_text(Outcome(model=made).model_dump_json())
    return folder


@pytest.fixture
def run(tmp_path, model):
    """Run the faulty compressor in a worker; give its outcome."""

    def run(
        how,
        *,
        note="",
        preloads=(),
        seconds=60.0,
        memory_bytes=4 << 30,
        workers=None,
        report=None,
        used=None,
    ):
        output = tmp_path / how
        while output.exists():
            output = output.with_name(f"{output.name}_again")
        output.mkdir()
        job = Job(
            kind=TaskKind.COMPRESS,
            plugin="fault",
            plugin_files=(FAULT,),
            preloads=preloads,
            config={"how": how, "note": str(note)},
            inputs={"model": model},
            output=output,
        )
        if workers is not None:
            return workers.run(job, report, note=used)
        with Workers(Limits(seconds, memory_bytes)) as own:
            return own.run(job, report, note=used)

    return run


def test_a_step_without_a_fault_gives_its_model(run):
    outcome = run("nothing")
    assert outcome.model.path.read_bytes() == b"program"
    assert outcome.error is None


def test_an_abort_is_a_crash_that_names_the_signal_and_the_last_words(run):
    with pytest.raises(errors.WorkerCrashed, match=r"SIGABRT[^|]*\n  \| last words") as caught:
        run("crash")
    assert caught.value.exit_code == 6
    assert "doctor" in caught.value.hint


def test_a_killed_worker_is_a_crash(run):
    with pytest.raises(errors.WorkerCrashed, match="SIGKILL"):
        run("kill")


@pytest.mark.parametrize(("how", "code"), [("leave", 0), ("leave_with_6", 6)])
def test_a_worker_that_leaves_no_outcome_has_crashed_whatever_its_exit_code(run, how, code):
    with pytest.raises(errors.WorkerCrashed, match=f"exit code {code} and no result"):
        run(how)


def test_a_step_that_calls_exit_has_failed(run):
    with pytest.raises(errors.MobileSDKError, match="SystemExit: 0"):
        run("leave_politely")


def test_a_typed_error_comes_back_with_its_class_and_hint(run):
    with pytest.raises(errors.ConversionFailed, match="the op foo") as caught:
        run("refuse")
    assert caught.value.hint == "use bar instead"


def test_an_error_of_a_class_that_is_known_in_the_worker_only_is_a_failed_step(run):
    with pytest.raises(errors.StepFailed, match="only the worker knows") as caught:
        run("refuse_privately")
    assert caught.value.hint == "look here"


def test_an_untyped_error_is_a_bug_with_its_place(run):
    with pytest.raises(
        errors.MobileSDKError, match=r"ValueError: what nobody expected \(in raise_untyped, fault"
    ) as caught:
        run("raise_untyped")
    assert caught.value.exit_code == 70


def test_a_refusal_to_read_is_not_called_a_failed_write(run):
    with pytest.raises(errors.MobileSDKError, match=r"PermissionError.*1\.jpg") as caught:
        run("fail_to_read")
    assert not isinstance(caught.value, errors.WriteFailed)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no_model", "NoneType instead of a Model"),
        ("unwritten", r"names program\.pt2, and has not written it"),
        ("outside", "outside of the step's own folder"),
    ],
)
def test_a_step_that_breaks_its_contract_is_told_so(run, how, message):
    with pytest.raises(errors.MobileSDKError, match=message):
        run(how)


def test_what_a_step_prints_goes_to_its_log_and_not_into_the_progress(run, tmp_path):
    heard = []
    run("babble", report=lambda *event: heard.append(event))
    assert heard == [("half", 0.5), ("[/unbalanced] {braces}", 0.75)]
    assert (tmp_path / "babble" / "log.txt").read_bytes().count(b"garbage") == 1000


@pytest.mark.parametrize("line", ["{broken", "[]", '{"message": 1, "fraction": null}'])
def test_a_line_that_is_no_progress_fails_its_step(run, line):
    with pytest.raises(errors.WorkerCrashed, match="compress fault wrote what is no progress"):
        run("garble", note=line)


def test_what_a_worker_said_last_is_heard_after_its_end(run):
    heard = []
    run("spawn_and_speak", report=lambda *event: heard.append(event))
    assert heard == [("last", 1.0)]


def test_programs_of_a_step_do_not_inherit_its_progress(run):
    heard = []
    run("list_what_programs_inherit", report=lambda message, _: heard.append(message))
    assert heard == ["1"]  # their own output


@pytest.fixture
def hurried(monkeypatch, tmp_path):
    """An hour goes by once a step has written its note."""

    class Clock:
        @staticmethod
        def monotonic():
            note = tmp_path / "note"
            return time.monotonic() + 3600 * (note.exists() and bool(note.read_text()))

    monkeypatch.setattr("mobilesdk.pipeline.launch.time", Clock)


def test_a_step_that_takes_too_long_is_ended(run, hurried, tmp_path):
    with pytest.raises(errors.WorkerTimedOut, match="took more than 10 min 00 s") as caught:
        run("hang", note=tmp_path / "note", seconds=600)
    assert "--time-limit" in caught.value.hint
    assert ended((tmp_path / "note").read_text())


def test_memory_of_a_child_counts(run):
    with pytest.raises(errors.WorkerOutOfMemory, match="300 MB") as caught:
        run("leak_in_child", memory_bytes=300_000_000)
    assert "--memory-limit" in caught.value.hint


@pytest.mark.parametrize("how", ["spawn", "spawn_and_leave"])
def test_children_end_with_their_worker(run, hurried, tmp_path, how):
    used = []
    with pytest.raises((errors.WorkerTimedOut, errors.WorkerCrashed)):
        run(how, note=tmp_path / "note", seconds=600, used=used.append)
    worker, inside, outside, orphan = map(int, (tmp_path / "note").read_text().split())
    assert ended(worker)
    assert eventually(lambda: ended(inside))
    assert eventually(lambda: ended(outside))
    assert eventually(lambda: ended(orphan))
    assert len(used) == 1


def test_what_a_worker_used_is_told(run):
    used = []
    run("work_hard", note="300000000", used=used.append)
    (usage,) = used
    assert usage.cpu_seconds >= 0.2
    assert 300_000_000 <= usage.peak_memory_bytes < 600_000_000


def test_what_a_worker_used_is_told_of_one_that_failed(run):
    used = []
    with pytest.raises(errors.WorkerOutOfMemory):
        run("leak_in_child", memory_bytes=300_000_000, used=used.append)
    assert used[0].peak_memory_bytes > 300_000_000


def test_what_a_template_imports_is_told_with_what_it_took(run):
    with Workers(Limits(60, 4 << 30)) as workers:
        run("nothing", preloads=("xmlrpc.client",), workers=workers)
        ((modules, usage),) = workers.imports()
    assert modules == ("xmlrpc.client",)
    assert usage.cpu_seconds > 0
    assert usage.peak_memory_bytes > 1_000_000


def test_of_a_long_log_the_end_is_told(run):
    with pytest.raises(errors.WorkerCrashed, match=r"SIGABRT[^|]*\|.*\n  \| last words"):
        run("babble_and_crash")


@pytest.fixture
def slow_toolchain(tmp_path, monkeypatch):
    """A module that is not imported before there is a file "gone"."""
    (tmp_path / "slow_toolchain.py").write_text(
        f"import os, time\nfrom pathlib import Path\n"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        f"while not Path({str(tmp_path / 'gone')!r}).exists():\n    time.sleep(0.02)\n"
        f"import xmlrpc.client\nPath({str(tmp_path / 'imported')!r}).touch()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_stop_ends_a_template_that_is_importing(run, slow_toolchain, tmp_path):
    pid, failed = tmp_path / "pid", []

    def wait_for_it():
        try:
            run("nothing", preloads=("slow_toolchain",), workers=workers)
        except errors.MobileSDKError as error:
            failed.append(error)

    with Workers(Limits(600, 4 << 30)) as workers:
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert eventually(lambda: pid.exists() and pid.read_text())
        workers.stop()
        thread.join()
        assert ended(pid.read_text())
    assert len(failed) == 1


def test_a_template_ends_with_its_build_while_it_imports(slow_toolchain, tmp_path):
    """It looks at every import; the toolchain has one left when the build has gone."""
    build = os.fork()
    if build == 0:
        Template(("slow_toolchain",), os.environ)
        signal.pause()
    assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    os.kill(build, signal.SIGKILL)
    os.waitpid(build, 0)
    (tmp_path / "gone").touch()
    assert eventually(lambda: ended((tmp_path / "pid").read_text()))
    assert not (tmp_path / "imported").exists()


def test_stop_ends_what_runs_and_starts_no_more(run, tmp_path):
    pid, failed = tmp_path / "pid", []

    def hang():
        try:
            run("hang", note=pid, workers=workers)
        except errors.MobileSDKError as error:
            failed.append(error)

    with Workers(Limits(60, 4 << 30)) as workers:
        thread = threading.Thread(target=hang)
        thread.start()
        assert eventually(lambda: pid.exists() and pid.read_text())
        workers.stop()
        thread.join()
        assert ended(pid.read_text())
        assert len(failed) == 1
        with pytest.raises(errors.StepFailed, match="was stopped"):
            run("nothing", workers=workers)
        with pytest.raises(errors.StepFailed, match="was stopped"):
            workers.pause()


@pytest.fixture
def hanging(run, tmp_path):
    """Run a worker that hangs in a thread; give the workers, its process, and how it ended."""
    note, failed = tmp_path / "pid", []

    def hang():
        with pytest.raises(errors.StepFailed) as caught:
            run("hang_deaf", note=note, workers=workers)
        failed.append(caught.value)

    with Workers(Limits(600, 4 << 30)) as workers:
        thread = threading.Thread(target=hang)
        thread.start()
        assert eventually(lambda: note.exists() and note.read_text())
        yield workers, note.read_text(), failed
        workers.stop()
        thread.join()


def test_a_worker_that_is_deaf_to_sigterm_and_sigint_is_ended(hanging):
    workers, pid, failed = hanging
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(int(pid), number)
    workers.stop()
    assert eventually(lambda: failed)
    assert ended(pid)


def test_workers_end_even_if_stopping_them_is_interrupted(hanging, monkeypatch):
    kill, calls = processes.kill, []

    def interrupted(worker):
        calls.append(worker)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        kill(worker)

    monkeypatch.setattr(processes, "kill", interrupted)
    workers, pid, failed = hanging
    with pytest.raises(KeyboardInterrupt):
        workers.stop()
    assert eventually(lambda: failed)
    assert ended(pid)
    monkeypatch.undo()


def test_a_worker_and_its_children_end_with_a_killed_parent(tmp_path, model):
    pids = tmp_path / "pids"
    output = tmp_path / "output"
    output.mkdir()
    parent = os.fork()
    if parent == 0:
        config = {"how": "spawn", "note": str(pids)}
        job = Job(
            kind=TaskKind.COMPRESS,
            plugin="fault",
            plugin_files=(FAULT,),
            config=config,
            inputs={"model": model},
            output=output,
        )
        Workers(Limits(60, 4 << 30)).run(job, lambda *_: None)
        os._exit(0)
    assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 4)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    for pid in pids.read_text().split():
        assert eventually(lambda pid=pid: ended(pid))


def test_workers_of_one_toolchain_are_copies_of_a_process_that_has_imported_it(run):
    said = []
    with Workers(Limits(60, 4 << 30)) as workers:
        for preloads in (("xmlrpc.client",), ("xmlrpc.client",), ()):
            run(
                "tell_imports",
                note="xmlrpc.client",
                preloads=preloads,
                workers=workers,
                report=lambda message, _: said.append(message.split()),
            )
    (parent, first), (same_parent, second), (_, third) = said
    assert (first, second, third) == ("True", "True", "False")
    assert parent == same_parent


@pytest.fixture
def branched(run):
    """Two templates, the second of which is a copy of the first; give them, and what jobs said."""
    said = []

    def report(message, _):
        said.append(message.split())

    with Workers(Limits(60, 4 << 30)) as workers:
        for preloads in (("xmlrpc.client",), ("xmlrpc.client", "plistlib")):
            for module in ("xmlrpc.client", "plistlib"):
                run("tell_imports", note=module, preloads=preloads, workers=workers, report=report)
        yield workers, said


def test_a_template_is_a_copy_of_one_that_has_imported_the_beginning(branched):
    workers, said = branched
    base, branch = workers._templates
    assert said == [
        [str(base.pid), "True"],
        [str(base.pid), "False"],
        [str(branch.pid), "True"],
        [str(branch.pid), "True"],
    ]
    assert branch.pid in processes.children(base.pid)
    assert [modules for modules, _ in workers.imports()] == [("xmlrpc.client",), ("plistlib",)]


def test_a_copy_of_a_template_ends_with_it_and_both_are_started_again(branched, run):
    workers, _ = branched
    base, branch = workers._templates
    os.kill(base.pid, signal.SIGKILL)
    assert eventually(lambda: base.ended and branch.ended and ended(branch.pid))
    assert run("nothing", preloads=branch.preloads, workers=workers).error is None


def test_a_copy_of_a_template_may_end_alone(branched, run):
    workers, _ = branched
    base, branch = workers._templates
    os.kill(branch.pid, signal.SIGKILL)
    assert eventually(lambda: branch.ended)
    assert not base.ended
    assert run("nothing", preloads=branch.preloads, workers=workers).error is None
    assert workers._templates[-1].pid in processes.children(base.pid)


def test_copies_of_templates_end_with_the_build(run):
    with Workers(Limits(60, 4 << 30)) as workers:
        for preloads in ((), ("xmlrpc.client",), ("xmlrpc.client", "plistlib")):
            run("nothing", preloads=preloads, workers=workers)
        pids = [template.pid for template in workers._templates]
    assert len(set(pids)) == 3
    assert all(map(ended, pids))


def test_what_a_toolchain_prints_when_a_copy_imports_it_is_told(run, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "import os; print('no such driver', flush=True); os.abort()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Workers(Limits(60, 4 << 30)) as workers:
        run("nothing", preloads=("xmlrpc.client",), workers=workers)
        with pytest.raises(errors.WorkerCrashed, match=r"its toolchain[^|]*\| no such driver"):
            run("nothing", preloads=("xmlrpc.client", "broken"), workers=workers)


def test_what_a_toolchain_prints_when_it_ends_its_process_is_told(run, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "import os; print('no such driver', flush=True); os.abort()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.WorkerCrashed, match=r"its toolchain[^|]*\| no such driver"):
        run("nothing", preloads=("broken",))


def test_a_toolchain_that_starts_threads_when_imported_is_refused(run, tmp_path, monkeypatch):
    toolchain = "import threading; threading.Thread(target=threading.Event().wait).start()"
    (tmp_path / "busy.py").write_text(toolchain)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.WorkerCrashed, match="busy starts threads when it is imported"):
        run("nothing", preloads=("busy",))


def test_a_toolchain_that_cannot_be_imported_is_left_to_the_step(run):
    assert run("nothing", preloads=("no_such_module",)).error is None


def test_a_template_that_was_ended_is_started_again(run):
    with Workers(Limits(60, 4 << 30)) as workers:
        run("nothing", workers=workers)
        (template,) = workers._templates
        os.kill(template.pid, signal.SIGKILL)
        assert eventually(lambda: template.ended)
        assert run("nothing", workers=workers).error is None


def test_children_of_a_killed_template_end_with_their_worker(run, tmp_path):
    pids, failed = tmp_path / "pids", []

    def spawn():
        try:
            run("spawn", note=pids, workers=workers)
        except errors.MobileSDKError as error:
            failed.append(error)

    with Workers(Limits(60, 4 << 30)) as workers:
        thread = threading.Thread(target=spawn)
        thread.start()
        assert eventually(lambda: pids.exists() and len(pids.read_text().split()) == 4)
        os.kill(workers._templates[0].pid, signal.SIGKILL)
        thread.join()
    worker, inside, *_ = pids.read_text().split()
    assert eventually(lambda: ended(worker) and ended(inside))
    assert isinstance(failed[0], errors.WorkerCrashed)
    for pid in pids.read_text().split()[2:]:  # nobody is left who would know of these
        if not ended(pid):
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize("listed", [True, False])
def test_the_memory_of_all_that_a_worker_has_started_counts(run, tmp_path, monkeypatch, listed):
    """Of a child, of one that has left the session, and of one whose parent has ended."""
    monkeypatch.setattr(processes, "_CHILDREN_ARE_LISTED", listed)
    resident_bytes, seen = processes.resident_bytes, set()

    def look(found):
        seen.update(found)
        return resident_bytes(found)

    monkeypatch.setattr(processes, "resident_bytes", look)
    note = tmp_path / "note"

    class Clock:
        @staticmethod
        def monotonic():
            pids = set(map(int, note.read_text().split())) if note.exists() else set()
            return time.monotonic() + 3600 * (len(pids) == 4 and pids <= seen)

    monkeypatch.setattr("mobilesdk.pipeline.launch.time", Clock)
    with pytest.raises(errors.WorkerTimedOut):
        run("spawn", note=note, seconds=600)


def test_a_family_is_a_session_and_its_children():
    assert os.getpid() in family(os.getsid(0))
    assert family(2**22 + 1) == set()


def test_what_ends_while_a_family_is_looked_at_is_left_out(monkeypatch):
    gone = 2**22 + 1
    assert processes.living_family(gone) == {gone}
    assert processes.resident_bytes({gone}) == 0
    read_text = Path.read_text

    def end(path, **options):
        if path.name == "children":
            raise ProcessLookupError(errno.ESRCH, "No such process")
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", end)
    assert processes.living_family(os.getpid()) == {os.getpid()}


def test_a_file_of_the_working_folder_does_not_shadow_a_module(run, tmp_path, monkeypatch):
    (tmp_path / "safetensors.py").write_text("raise ImportError('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert run("nothing").error is None


def test_a_log_that_cannot_be_written_is_a_write_error(run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(errors.WriteFailed, match="No space left"):
        run("nothing")
