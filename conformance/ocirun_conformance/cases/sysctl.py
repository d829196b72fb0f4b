"""linux.sysctl: config-linux.md, Sysctl."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocirun_conformance import facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.config import add_namespace

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial


def file_of(name: str) -> str:
    """The file of a kernel parameter."""
    return f"/proc/sys/{name.replace('.', '/')}"


@each(
    row("network", "RT-010 RT-039", "network", "net.ipv4.ip_forward", ("1", "0")),
    row("network_number", "RT-010 RT-039", "network", "net.ipv4.ip_unprivileged_port_start", ("777", "778")),
    row("ipc", "RT-010 RT-039", "ipc", "kernel.msgmax", ("4242", "4243")),
    row("ipc_list", "RT-010 RT-039", "ipc", "kernel.sem", ("100\t1000\t10\t20", "101\t1000\t10\t20")),
    row("mqueue", "RT-010 RT-039", "ipc", "fs.mqueue.msg_max", ("17", "18")),
    needs=[facility.root],
)
def is_set(trial: Trial, kind: str, name: str, values: tuple[str, str]) -> None:
    """{1} is set for the container's new {0} namespace, each of two values, and for it alone"""
    file = Path(file_of(name))
    if not file.exists():
        raise NotRun(f"this kernel has no parameter {name}")
    before = file.read_text()
    for value in values:
        config = trial.config(["read", file_of(name)])
        add_namespace(config, kind)
        config["linux"]["sysctl"] = {name: value.replace("\t", " ")}
        expect_equal((trial.run(config)[0]["text"] or "").strip(), value, f"the parameter {name} in the container")
    expect_equal(file.read_text(), before, f"the parameter {name} of the host, which is none of the container's,")


@case("RT-010", "RT-039", needs=[facility.root])
def several(trial: Trial) -> None:
    """several parameters of several namespaces are set"""
    wanted = {"net.core.somaxconn": "321", "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
    config = trial.config(*(["read", file_of(name)] for name in wanted))
    add_namespace(config, "network")
    config["linux"]["sysctl"] = wanted
    report = trial.run(config)
    seen = {name: (report[index].get("text") or "").strip() for index, name in enumerate(wanted)}
    expect_equal(seen, wanted, "the set of parameters")


@case("RT-041", "RT-042", needs=[facility.root])
def that_there_is_not(trial: Trial) -> None:
    """a parameter that this kernel does not have is an error"""
    config = trial.config()
    add_namespace(config, "network")
    config["linux"]["sysctl"] = {"net.ipv4.no_such_parameter": "1"}
    trial.refused(config, "a kernel parameter that there is not")


@case("RT-041", "RT-042", needs=[facility.root])
def that_the_kernel_refuses(trial: Trial) -> None:
    """a value that the kernel does not take is an error"""
    config = trial.config()
    config["linux"]["sysctl"] = {"kernel.shm_rmid_forced": "many"}
    before = Path(file_of("kernel.shm_rmid_forced")).read_text()
    trial.refused(config, "a word for a kernel parameter that is a number")
    expect(Path(file_of("kernel.shm_rmid_forced")).read_text() == before, "the host's parameter has changed")
