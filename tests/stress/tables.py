"""What trials have given, as tables."""

from collections import defaultdict

from rich.table import Table

from tests.stress.killing import END_LIMIT_S


def by_victim(title, trials):
    """Count the trials by what was ended."""
    table = Table(title=f"{title}: what was ended", title_justify="left")
    table.add_column("ended")
    for column in (
        *("trials", "during a step", "bundle left", "unfinished left", "corrupt bundles"),
        *("other faults", "median end s", "longest end s"),
    ):
        table.add_column(column, justify="right")
    groups = defaultdict(list)
    for each in trials:
        groups[each.victim].append(each)
        groups["all"].append(each)
    for victim in sorted(groups, key=lambda name: (name == "all", name)):
        group = groups[victim]
        corrupt = sum(is_corrupt(each) for each in group)
        ends = sorted(each.end_s for each in group)
        cells = (
            len(group),
            sum(bool(each.kinds) for each in group),
            sum(each.bundle_after for each in group),
            sum(each.unfinished > 0 for each in group),
            corrupt,
            sum(bool(each.faults) for each in group) - corrupt,
        )
        times = (f"{ends[len(ends) // 2]:.2f}", f"{ends[-1]:.2f}")
        table.add_row(victim, *map(str, cells), *times)
    return table


def by_step(title, trials):
    """Count the trials by what was being done; of two steps at once, both count."""
    table = Table(title=f"{title}: during what", title_justify="left")
    table.add_column("during")
    victims = sorted({each.victim for each in trials})
    for column in (*victims, "all", "with a fault"):
        table.add_column(column, justify="right")
    steps = defaultdict(list)
    for each in trials:
        for step in set(each.running):
            steps[step].append(each)
    for step in sorted(steps, key=lambda name: (-len(steps[name]), name)):
        group = steps[step]
        cells = [sum(each.victim == victim for each in group) for victim in victims]
        cells += [len(group), sum(bool(each.faults) for each in group)]
        table.add_row(step, *map(str, cells))
    return table


def by_disk(filled):
    """Count the builds on full disks by what lay on them."""
    table = Table(title="Full disks", title_justify="left")
    table.add_column("on the disk")
    table.add_column("its limit is of")
    for column in ("builds", "refused", "bundle of what was built", "with a fault"):
        table.add_column(column, justify="right")
    groups = defaultdict(list)
    for each in filled:
        groups[" and ".join(each.parts), each.limit.kind].append(each)
    for (parts, kind), group in groups.items():
        refused = [each for each in group if each.refused]
        cells = (
            len(group),
            len(refused),
            sum(each.bundle_after for each in refused),
            sum(bool(each.faults) for each in group),
        )
        table.add_row(parts, kind, *map(str, cells))
    return table


def late(trials):
    """Say how many took longer to end than they may."""
    count = sum(each.end_s > END_LIMIT_S for each in trials)
    return f"{count} ended later than {END_LIMIT_S:.0f} s"


def is_corrupt(trial):
    """Tell whether a damaged bundle was found."""
    return any("corrupt bundle" in fault for fault in trial.faults)
