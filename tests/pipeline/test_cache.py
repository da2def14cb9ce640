import multiprocessing
import os
import re
import shutil
import signal

import pytest

from mobilesdk.errors import UsageError
from mobilesdk.pipeline.cache import Cache, default_root
from mobilesdk.pipeline.job import Job, TaskKind
from mobilesdk.pipeline.pruning import limit_bytes, prune

KEY = "ab" + 62 * "0"
OTHER = "cd" + 62 * "0"


def never_wait():
    raise AssertionError("somebody else makes it")


def make(cache, key=KEY, content="content"):
    with cache.make(key, never_wait) as folder:
        if folder is not None:
            (folder / "sub").mkdir()
            (folder / "sub" / "file").write_text(content)
    return folder


def names(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_an_entry_is_there_once_it_is_whole(cache):
    assert not cache.has(KEY)
    make(cache)
    assert cache.has(KEY)
    assert Cache(cache.root).check(KEY)
    assert (cache.folder(KEY) / "sub" / "file").read_text() == "content"
    assert make(cache) is None


def test_a_step_that_fails_leaves_no_entry(cache):
    with pytest.raises(ZeroDivisionError), cache.make(KEY, never_wait) as folder:
        (folder / "file").write_text(str(1 / 0))
    assert not cache.has(KEY)
    assert names(cache.root / "working") == [f"{KEY}.lock"]


@pytest.mark.parametrize("damage", ["change", "add", "remove", "seal", "unsealed"])
def test_a_damaged_entry_is_no_entry_and_is_made_again(cache, damage):
    make(cache)
    folder = cache.folder(KEY)
    if damage == "change":
        (folder / "sub" / "file").write_text("CONTENT")
    if damage == "add":
        (folder / "more").write_text("")
    if damage == "remove":
        (folder / "sub" / "file").unlink()
    if damage == "seal":
        (folder / "seal.json").write_text("{}")
    if damage == "unsealed":
        (folder / "seal.json").unlink()
    fresh = Cache(cache.root)
    assert not fresh.check(KEY)
    assert make(fresh) is not None
    assert Cache(cache.root).check(KEY)
    assert (folder / "sub" / "file").read_text() == "content"


def test_an_entry_that_is_there_is_kept(cache):
    make(cache)
    with cache.scratch("again") as folder:
        (folder / "file").write_text("the same, made at the same time")
        cache.put(folder, KEY)
    assert names(cache.folder(KEY)) == ["seal.json", "sub"]


def _make_slowly(root, log, start):
    cache = Cache(root)
    start.wait()
    waiting = multiprocessing.Event()
    with cache.make(KEY, lambda: waiting.wait(0.01)) as folder:
        if folder is not None:
            waiting.wait(0.3)
            (folder / "file").write_text("content")
            with open(log, "a") as file:  # noqa: PTH123  one write, whole in whatever order
                file.write("made\n")


def test_two_processes_make_an_entry_once(cache, tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    arguments = (cache.root, tmp_path / "log", start)
    processes = [context.Process(target=_make_slowly, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"
    assert cache.check(KEY)


def test_waiting_for_another_process_can_be_given_up(cache):
    class GivenUp(Exception):
        pass

    def give_up():
        raise GivenUp

    with (
        cache.alone(KEY, never_wait),
        pytest.raises(GivenUp),
        Cache(cache.root).make(KEY, give_up),
    ):
        pass


def _killed_while_making(root):
    cache = Cache(root)
    with cache.in_use(), cache.make(KEY, never_wait) as folder:
        (folder / "file").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_process_left_is_removed_by_the_next(cache):
    process = multiprocessing.get_context("fork").Process(
        target=_killed_while_making, args=(cache.root,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(names(cache.root / "working")) == 2
    with cache.in_use():
        assert not (cache.root / "working").exists()
        assert not cache.check(KEY)
        assert make(cache) is not None


def test_a_second_user_leaves_the_first_alone(cache):
    with cache.in_use(), cache.scratch("mine") as folder, Cache(cache.root).in_use():
        assert folder.exists()


def test_pruning_removes_the_longest_unused(cache):
    make(cache, KEY)
    make(cache, OTHER)
    os.utime(cache.folder(KEY) / "seal.json", (1, 1))
    keep_bytes = cache.entries()[1].size_bytes
    assert [entry.key for entry in prune(cache, keep_bytes)] == [KEY]
    assert [entry.key for entry in cache.entries()] == [OTHER]
    assert not cache.check(KEY)
    assert prune(cache, keep_bytes) == []
    assert [entry.key for entry in prune(cache)] == [OTHER]


def test_using_an_entry_keeps_it_from_pruning(cache):
    make(cache, KEY)
    make(cache, OTHER)
    for key in (KEY, OTHER):
        os.utime(cache.folder(key) / "seal.json", (1, 1))
    assert Cache(cache.root).check(KEY)
    assert [entry.key for entry in cache.entries()] == [OTHER, KEY]


def test_what_a_running_build_uses_is_not_pruned_and_the_rest_is(cache):
    make(cache, KEY)
    make(cache, OTHER)
    for key in (KEY, OTHER):
        os.utime(cache.folder(key) / "seal.json", (1, 1))
    cache = Cache(cache.root)
    with cache.in_use():
        assert cache.check(KEY)
        assert [entry.key for entry in prune(Cache(cache.root))] == [OTHER]
        make(cache, OTHER)
        assert prune(Cache(cache.root)) == []
        assert cache.has(KEY)
        assert cache.has(OTHER)
    assert len(prune(cache)) == 2


def test_an_entry_that_is_used_after_it_was_listed_stays(cache):
    make(cache)
    os.utime(cache.folder(KEY) / "seal.json", (1, 1))
    (entry,) = cache.entries()
    assert Cache(cache.root).check(KEY)
    assert not cache.remove(entry)
    assert cache.has(KEY)


def test_an_entry_that_is_gone_is_not_removed_again(cache):
    make(cache)
    (entry,) = cache.entries()
    assert Cache(cache.root).remove(entry)
    assert not cache.remove(entry)
    assert names(cache.root / "steps" / KEY[:2]) == []


def test_what_is_left_of_an_entry_goes_when_the_cache_is_pruned(cache):
    make(cache)
    (cache.folder(KEY) / "seal.json").unlink()
    assert prune(cache, 1_000_000) == []
    assert not cache.folder(KEY).exists()


def _use_and_prune(root, start, number):
    """Use an entry, making it if it is gone, and prune all that nobody uses, again and again."""
    start.wait()
    for _ in range(40):
        cache = Cache(root)
        if number % 2:
            prune(cache)
            continue
        with cache.in_use():
            make_patiently(cache)
            for _ in range(5):
                assert (cache.folder(KEY) / "file").read_text() == "content"


def make_patiently(cache):
    with cache.make(KEY, lambda: None) as folder:
        if folder is not None:
            (folder / "file").write_text("content")


def test_what_is_in_use_survives_others_that_prune_at_the_same_time(cache):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    processes = [
        context.Process(target=_use_and_prune, args=(cache.root, start, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_values_that_only_a_later_step_needed_go_first(cache):
    for key, kind in ((KEY, TaskKind.FLOAT_OPS), (OTHER, TaskKind.EXPORT)):
        with cache.make(key, never_wait) as folder:
            job = Job(kind=kind, output=folder)
            (folder / "job.json").write_text(job.model_dump_json())
    os.utime(cache.folder(OTHER) / "seal.json", (1, 1))
    keep_bytes = max(entry.size_bytes for entry in cache.entries())
    assert [entry.key for entry in prune(cache, keep_bytes)] == [KEY]
    assert cache.has(OTHER)


def test_the_limit_is_twenty_gigabytes_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("MOBILESDK_CACHE_SIZE", raising=False)
    assert limit_bytes() == 20_000_000_000
    monkeypatch.setenv("MOBILESDK_CACHE_SIZE", "1.5 GB")
    assert limit_bytes() == 1_500_000_000
    for wrong in ("much", "5", "-5GB", "5 GiB", "nanGB"):
        monkeypatch.setenv("MOBILESDK_CACHE_SIZE", wrong)
        with pytest.raises(UsageError, match=re.escape(wrong)):
            limit_bytes()


def test_the_log_of_a_failed_step_is_kept(cache, tmp_path):
    (tmp_path / "log").write_text("why")
    assert cache.keep_failure(KEY, tmp_path / "log").read_text() == "why"
    assert cache.keep_failure(OTHER, tmp_path / "none").read_text() == ""


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "mobilesdk"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "mobilesdk"


def test_an_entry_that_goes_while_it_is_looked_at_is_no_entry(cache, monkeypatch):
    make(cache)
    monkeypatch.setattr(
        "mobilesdk.pipeline.cache.sha256_file",
        lambda path: shutil.rmtree(cache.folder(KEY)) or path.read_bytes(),
    )
    assert not Cache(cache.root).check(KEY)
