"""What the program begins with, and the names that it sees: config.md, Process, Hostname, Domainname; Personality."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import claims
from ocirun_conformance.caller import called_with, facts_here
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

PER_LINUX, PER_LINUX32, PER_MASK, ADDR_NO_RANDOMIZE = 0x0000, 0x0008, 0x00FF, 0x0040000
"""<linux/personality.h>"""


@case("RT-010", "RT-023")
def arguments(trial: Trial) -> None:
    """the program has the arguments as they are in args"""
    config = trial.config()
    words = ["/probe", "report", "", "a b", "ä", "$HOME", "*", "line\nline", "'\""]
    config["process"]["args"] = words
    seen = [word.encode("utf-8", "surrogateescape").decode() for word in trial.run(config).facts["argv"]]
    expect_equal(seen, words, "the list of arguments")


@case("RT-023")
def a_program_of_the_path(trial: Trial) -> None:
    """a name without a slash in args is looked for in the directories of PATH, in their order"""
    config = trial.config()
    config["process"]["args"] = ["tool", "report"]
    config["process"]["env"] = ["PATH=/none:/mnt/second:/mnt/first"]
    bundle = trial.bundle(config)
    for name in ("first", "second"):
        folder = bundle.rootfs / "mnt" / name
        folder.mkdir()
        (folder / "tool").write_bytes(trial.program.read_bytes())
        (folder / "tool").chmod(0o755)
    # the one that must not be found ends with a status, and writes nothing
    (bundle.rootfs / "mnt/first/tool").write_text("#!/none\n")
    expect_equal(trial.run(bundle).facts["argv"], ["tool", "report"], "the list of arguments")


@case("RT-010")
def environment(trial: Trial) -> None:
    """the program has the variables of env, and none of the runtime's caller"""
    config = trial.config()
    listed = ["PATH=/bin", "EMPTY=", "X=1=2", "LINES=a\nb", "UMLAUT=ä", "TERM=conformance"]
    config["process"]["env"] = listed
    trial.runtime.environment = {**os.environ, "OC_CALLERS": "1", "TERM": "callers"}
    seen = [word.encode("utf-8", "surrogateescape").decode() for word in trial.run(config).facts["env"]]
    missing = [word for word in listed if word not in seen]
    expect(not missing, f"the environment lacks {missing}", expected=listed, seen=seen)
    expect("OC_CALLERS=1" not in seen, "the environment has a variable of the runtime's caller", seen=seen)
    names = [word.partition("=")[0] for word in seen]
    expect_equal(names.count("TERM"), 1, "the number of values of TERM")


@each(row("root", "RT-010", "/tmp"), row("mount", "RT-010", "/dev/shm"))
def working_directory(trial: Trial, path: str) -> None:
    """the program begins in cwd: {0}"""
    config = trial.config()
    config["process"]["cwd"] = path
    expect_equal(trial.run(config).facts["cwd"], path, "the working directory")


@case("RT-010", "RT-023")
def the_first_process(trial: Trial) -> None:
    """the program is the first process of its pid namespace, and the one whose pid the runtime tells"""
    made = trial.started(trial.config(["report"], ["wait"]))
    report = made.await_lines(2)
    expect_equal(report.facts["pid"], 1, "the program's pid in its own namespace")
    inode = Path(f"/proc/{made.pid}/ns/pid").stat().st_ino
    expect_equal(report.facts["namespaces"]["pid"], f"pid:[{inode}]", "the pid namespace of the pid that is told")
    words = Path(f"/proc/{made.pid}/cmdline").read_text().split("\0")[:-1]
    expect_equal(words, made.bundle.config["process"]["args"], "the command line")


@case("RT-010")
def descriptors(trial: Trial) -> None:
    """the program has no descriptor open but 0, 1 and 2"""
    called_with(trial, "os.dup2(0, 7); os.dup2(0, 300)")
    seen = [found["fd"] for found in trial.run().facts["descriptors"]]
    expect(set(seen) >= {0, 1, 2}, "standard input, output and error are not all open", expected=[0, 1, 2], seen=seen)
    expect(set(seen) <= {0, 1, 2}, "a descriptor is left open for the program", expected=[0, 1, 2], seen=seen)


@case("RT-010")
def standard_input(trial: Trial) -> None:
    """standard input is the caller's of create, or /dev/null"""
    made = trial.container(trial.config(["report"], ["stdin"]))
    reader, writer = os.pipe()
    try:
        os.write(writer, b"word")
        os.close(writer)
        ok(made.create(stdin=reader), "create")
    finally:
        os.close(reader)
    made.watch()
    ok(made.start(), "start")
    made.wait()
    report = made.await_lines(2)
    if report.facts["descriptors"][0]["path"] != "/dev/null":
        expect_equal(report[1]["text"], "word", "what comes from standard input")


@case("RT-039")
def hostname(trial: Trial) -> None:
    """the container has the hostname, and the host keeps its own"""
    before = os.uname().nodename
    config = trial.config()
    config["hostname"] = "oc-inside"
    expect_equal(trial.run(config).facts["hostname"], "oc-inside", "the hostname")
    expect_equal(os.uname().nodename, before, "the hostname of the host")


@case("RT-039")
def domainname(trial: Trial) -> None:
    """the container has the domainname"""
    claims.must_know(trial, "1.1.0", "domainname")
    config = trial.config()
    config["domainname"] = "oc.example"
    expect_equal(trial.run(config).facts["domainname"], "oc.example", "the domainname")


@each(row("LINUX", "RT-039", "LINUX", PER_LINUX), row("LINUX32", "RT-039", "LINUX32", PER_LINUX32))
def personality(trial: Trial, domain: str, number: int) -> None:
    """the program has the execution domain {0}, whatever the caller's"""
    own = str(facts_here(trial, ["report"]).facts["machine"])
    if own not in ("x86_64", "aarch64"):
        raise NotRun(f"it is not known here whether {own} has a name for a 32 bit machine")
    # the caller has the other one
    called_with(trial, f"ctypes.CDLL(None).personality({PER_LINUX32 - number})")
    config = trial.config()
    config["linux"]["personality"] = {"domain": domain}
    facts = trial.run(config).facts
    expect_equal(facts["personality"] & PER_MASK, number, "the execution domain")
    expect_equal(facts["machine"] == own, number == PER_LINUX, "whether uname tells the host's own machine")


@case("RT-039")
def personality_flags(trial: Trial) -> None:
    """a flag of the personality is refused or has its effect, but not passed over"""
    config = trial.config()
    config["linux"]["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    made = trial.container(config)
    if made.create().code != 0:
        return
    made.watch()
    if made.start().code == 0:
        made.wait()
        seen = made.report.facts["personality"]
        expect(seen & ADDR_NO_RANDOMIZE, "ADDR_NO_RANDOMIZE is neither refused nor in force", seen=seen)
