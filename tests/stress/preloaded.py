"""Commands that start at once: copies of a process that has imported a toolchain.

Two hundred kills with as many resumed builds are four hundred imports of a toolchain, which take
ten times as long as the steps of a small model. So the command is a copy of the harness, and its
templates are copies of the command, in place of new interpreters. All else is as it is for a user:
the processes and who belongs to whom, the descriptors, the signals, the files.
"""

import ctypes
import importlib
import os
import pkgutil
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import mobilesdk
from mobilesdk.pipeline import forking, template

MARK = "MOBILESDK_STRESS_TRIAL"
MARK_LENGTH = 64
_FIRST_OWN_DESCRIPTOR = 3


def as_mark(name):
    """Give a mark for a name; all have the same length, so that one can be written over another."""
    return name.ljust(MARK_LENGTH, ".")


def mark_this_process(mark):
    """Show another mark in /proc/PID/environ, which has what the interpreter was started with.

    That must have been a mark already, which nobody has changed since.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    ctypes.memmove(getenv(MARK.encode()), mark.encode(), MARK_LENGTH)
    os.environ[MARK] = mark


class Copy:
    """A copy of this process, with the part of `subprocess.Popen` that is used."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None
        self._end = os.pidfd_open(pid)

    def wait(self, timeout=None):
        """Wait for its end; give its exit code, or minus its signal."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a copy", timeout)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._end)
        return self.returncode

    def poll(self):
        """Give its exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        """End it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def start_command(arguments, *, cwd, env, stderr):
    """Start ``mobilesdk`` in a session of its own, as `killing.start_command` does."""
    pid = os.fork()
    if pid == 0:
        _be_command(arguments, cwd, env, stderr)
    return Copy(pid)


def _be_command(arguments, cwd, env, stderr):
    mark_this_process(env[MARK])
    nothing = os.open(os.devnull, os.O_RDWR)
    _begin(env, (nothing, nothing, stderr.fileno()))
    os.chdir(cwd)
    template.subprocess = SimpleNamespace(Popen=_start_template, STDOUT=subprocess.STDOUT)
    from mobilesdk.cli import main

    _end(main, arguments)


def _start_template(line, *, stdin, stdout, stderr, start_new_session, env):
    """Stand in for `subprocess.Popen` in `mobilesdk.pipeline.template`."""
    preloads = line[line.index("mobilesdk.pipeline.forking") + 1 :]
    assert start_new_session
    assert stderr == subprocess.STDOUT
    pid = os.fork()
    if pid == 0:
        _be_template(preloads, stdin, stdout, env)
    return Copy(pid)


def _be_template(preloads, stdin, stdout, env):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _begin(env, (stdin, stdout.fileno(), stdout.fileno()))
    sys.argv = ["forking", *preloads]
    _end(forking.main)


def _begin(env, descriptors):
    """Be in this copy what a new process would be: streams, session, environment."""
    os.setsid()
    for target, source in enumerate(descriptors):
        os.dup2(source, target)
    os.closerange(_FIRST_OWN_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = os.fdopen(0, closefd=False)  # what they replace must not close these
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(env)


def _end(main, *arguments):
    """Run a main function, and end this copy with its exit code."""
    code = 1
    try:
        code = main(*arguments)
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001  the end of a process
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code or 0)  # what is to be done at the exit of the harness is not the copy's


def require_mark():
    """Start this program anew with a mark, and as templates are started, unless it has been."""
    if MARK not in os.environ:
        line = [sys.executable, "-m", "tests.stress", *sys.argv[1:]]
        os.execve(sys.executable, line, _environment())


def _environment():
    from mobilesdk.pipeline.job import Job, TaskKind
    from mobilesdk.pipeline.launch import _environment

    return _environment(Job(kind=TaskKind.READ, output=Path())) | {MARK: as_mark("harness")}


def preload(names, packages):
    """Import toolchains, as a template does, and all that commands and steps need of us.

    Args:
        names: `preloads` of plug-ins.
        packages: Of mobilesdk.
    """
    for name in ("mobilesdk.pipeline.steps", "mobilesdk.pipeline.build", "mobilesdk.cli.build"):
        forking.preload(name)
    for name in names:
        forking.preload(name)
    for package in packages:
        folder = Path(mobilesdk.__file__).parent.joinpath(*package.split("."))
        for module in pkgutil.walk_packages([str(folder)], f"mobilesdk.{package}."):
            importlib.import_module(module.name)
