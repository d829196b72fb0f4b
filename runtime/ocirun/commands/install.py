"""`install`: makes an engine know this runtime, by its configuration. Services are not restarted by it."""

from __future__ import annotations

from ocirun import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli import Arguments
    from ocirun.installing import Engine, Wish
    from ocirun.installing.files import File, Record


def run(arguments: Arguments, general: Arguments) -> int:
    """Returns 0 also when there was nothing to change."""
    from ocirun import cold

    cold.enable()
    from ocirun import installing
    from ocirun.installing import files

    engine = installing.engine(arguments.positionals[0])
    systemd = general.flag("systemd-cgroup") if "systemd-cgroup" in general.values else None
    name = arguments.text("name", installing.NAME)
    undo, dry = arguments.flag("undo"), arguments.flag("dry-run")
    wish = installing.Wish(name, "" if undo else installing.own_path(), arguments.flag("default"), systemd)
    file = files.File(arguments.text("config") or engine.place(name))
    record = files.Record(file, name)
    if not installing.installed(engine.program):
        log.warning(f"{engine.program} is not installed here, or not in PATH")
    base = _without(engine, file, record, name)
    wanted = base if undo else engine.add(base or "", wish, file.path)
    if wanted == file.text:
        log.write_all(1, f"{file.path}: nothing to {'undo' if undo else 'change'}\n")
        if undo and not dry:
            record.remove()
        return 0
    log.write_all(1, _difference(file.path, file.text, wanted))
    if undo and wanted and engine.default(wanted) == name:
        log.warning(f"{file.path}: {name} is still the default runtime there, which `install` has not written")
    if not dry:
        if not undo:
            record.save(base, wanted or "")
        file.replace(wanted)
        if undo:
            record.remove()
        log.write_all(1, _next(engine, wish, undo))
    return 0


def _without(engine: Engine, file: File, record: Record, name: str) -> str | None:
    """The text as it was before an earlier `install`, or without what that has added."""
    if file.text is None:
        return None
    engine.check(file.text, file.path)
    if file.text == record.after:
        return record.before
    return engine.strip(file.text, name, record.before, record.after)


def _difference(path: str, old: str | None, new: str | None) -> str:
    import difflib

    names = ("/dev/null" if old is None else path, "/dev/null" if new is None else path)
    before, after = ((text or "").splitlines() for text in (old, new))
    lines = difflib.unified_diff(before, after, *names, lineterm="")
    return "".join("\t".join(map(log.printable, line.split("\t"))) + "\n" for line in lines)


def _next(engine: Engine, wish: Wish, undo: bool) -> str:
    """One line: what the person has to do now."""
    steps = [engine.reload] if engine.reload else []
    if not undo:
        steps.append(engine.attempt(wish))
    return f"next: {'; '.join(steps)}\n" if steps else ""
