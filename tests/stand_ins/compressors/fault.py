"""A compressor that changes nothing, or fails in the way that it is told to."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from mobilesdk.core.form import Form, Needs, Trait
from mobilesdk.core.step import StepConfig
from mobilesdk.errors import ConversionFailed, StepFailed

plugin_api = 1


class Config(StepConfig):
    how: str = "nothing"
    note: str = ""  # tells steps apart in the cache; where a fault leaves its traces
    adds: tuple[Trait, ...] = ()


class PrivateError(StepFailed):
    code = "private"


def crash(config, context):
    print("last words")
    sys.stdout.flush()
    ctypes.CDLL(None).abort()


def kill(config, context):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(config, context):
    Path(config.note).write_text(str(os.getpid()))
    time.sleep(600)


def hang_deaf(config, context):
    """Hang, and ignore what can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    hang(config, context)


def spawn(config, context):
    """Start a child in the session, one that leaves it, and one whose parent ends; hang."""
    spawn_and_leave(config, context, leave=lambda: time.sleep(600))


def spawn_and_leave(config, context, leave=lambda: os._exit(1)):
    """Start the same children; end without waiting for them."""
    line = [sys.executable, "-c", "import time; time.sleep(600)"]
    children = [
        subprocess.Popen(line).pid,
        subprocess.Popen(line, start_new_session=True).pid,
        _orphan(line),
    ]
    Path(config.note).write_text(" ".join(map(str, [os.getpid(), *children])))
    leave()


def _orphan(line):
    """Have a child start a process in a session of its own, and end."""
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        os.write(writing, str(subprocess.Popen(line, start_new_session=True).pid).encode())
        os._exit(0)
    os.waitpid(between, 0)
    return int(os.read(reading, 20))


def work_hard(config, context):
    """Take memory, as many bytes as the note says, and processor time."""
    block = bytearray(int(config.note))
    while sum(os.times()[:2]) < 0.2 or not block:
        pass


def spawn_and_speak(config, context):
    """Start a child that keeps the descriptor of progress open; speak, and end."""
    if os.fork() == 0:
        time.sleep(600)
    context.report("last", 1.0)


def list_what_programs_inherit(config, context):
    """Tell how many pipes a program that is started without care finds open."""
    line = (
        "from pathlib import Path; print(sum(p.is_fifo() for p in Path('/proc/self/fd').iterdir()))"
    )
    listing = subprocess.run(
        [sys.executable, "-c", line], close_fds=False, stdout=subprocess.PIPE, text=True
    )
    context.report(listing.stdout.strip())


def tell_imports(config, context):
    context.report(f"{os.getppid()} {config.note in sys.modules}")


def leak_in_child(config, context):
    line = "block = bytearray(400_000_000); import time; time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", line])
    time.sleep(600)


def babble_and_crash(config, context):
    for _ in range(20):
        os.write(1, b"garbage without an end " * 50_000)
    os.write(1, b"\n")
    crash(config, context)


def babble(config, context):
    os.write(1, b"\xff\x00 garbage {\n" * 1000)
    os.write(2, b'{"message": "forged"}\n' * 1000)
    context.report("half", 0.5)
    context.report("[/unbalanced] {braces}", 0.75)


def garble(config, context):
    """Write to the descriptor that progress goes to: the only pipe beyond the standard streams."""
    for place in Path("/proc/self/fd").iterdir():
        if int(place.name) > 2 and place.is_fifo():
            os.write(int(place.name), config.note.encode() + b"\n")
    time.sleep(600)


def leave(config, context):
    os._exit(0)


def leave_with_6(config, context):
    os._exit(6)


def leave_politely(config, context):
    sys.exit(0)


def refuse(config, context):
    raise ConversionFailed("the op foo is not known", hint="use bar instead")


def refuse_privately(config, context):
    raise PrivateError("of a class that only the worker knows", hint="look here")


def raise_untyped(config, context):
    raise ValueError("what nobody expected")


def fill_disk(config, context):
    with (context.output / "large").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def fill_disk_untyped(config, context):
    """As toolchains do: the refusal comes back as an error of their own."""
    try:
        fill_disk(config, context)
    except OSError:
        raise RuntimeError("stream writer failed") from None


def fail_to_read(config, context):
    raise PermissionError(13, "Permission denied", "/photos/1.jpg")


FAULTS = {
    function.__name__: function
    for function in (
        crash,
        kill,
        hang,
        hang_deaf,
        spawn,
        tell_imports,
        spawn_and_speak,
        list_what_programs_inherit,
        leak_in_child,
        babble,
        babble_and_crash,
        spawn_and_leave,
        work_hard,
        garble,
        leave,
        leave_with_6,
        leave_politely,
        refuse,
        refuse_privately,
        raise_untyped,
        fill_disk,
        fill_disk_untyped,
        fail_to_read,
    )
}


class Fault:
    config = Config
    tools = ()
    preloads = ()
    accepts = frozenset({Form.EXPORTED_PROGRAM})
    requires = frozenset({Trait.FOLDED})
    forbids = frozenset({Trait.QUANTIZED})
    adds = frozenset()

    def needs(self, config):
        return Needs.CALIBRATION if config.how == "needs_calibration" else Needs.NONE

    def request(self, config, before):
        return before

    def refuse(self, config, summary):
        return []

    def apply(self, model, config, context):
        if config.how in FAULTS:
            FAULTS[config.how](config, context)
        if config.how == "no_model":
            return None
        if config.how == "unwritten":
            return model.model_copy(update={"path": context.output / "program.pt2"})
        if config.how == "outside":
            return model
        if config.note.startswith("/"):
            with Path(config.note).open("a") as file:
                file.write("made\n")
        files = {
            name: Path(shutil.copyfile(path, context.output / path.name))
            for name, path in {"path": model.path, **model.sidecars}.items()
        }
        return model.model_copy(update={"path": files.pop("path"), "sidecars": files})


PLUGIN = Fault()
