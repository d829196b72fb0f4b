"""linux.netDevices: config-linux.md, Network Devices.

The runtime runs in a network namespace of the suite's own, where the devices are made: nothing of the host is touched.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from ocirun_conformance import facility
from ocirun_conformance.case import NotRun, case, each, expect, expect_equal, row
from ocirun_conformance.config import add_namespace
from ocirun_conformance.holder import Holder, run_in
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.config import Config
    from ocirun_conformance.trial import Container, Trial

NEEDS = [facility.veth]
GIVEN = ("192.0.2.1/24", "192.0.2.2/24", "2001:db8::1/64")
MAC, MTU, QUEUE = "02:00:00:00:00:07", 1333, 77
PEER = "192.0.2.77"


def host_with(trial: Trial, *names: str) -> Holder:
    """The runtime's network namespace, with veth devices that are down and have addresses; NAME-peer is the other end.

    The first has all addresses, the others none.
    """
    holder = Holder(trial, "network")
    for index, name in enumerate(names):
        holder.run("network", "ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-peer")
        for address in GIVEN if index == 0 else ():
            holder.run("network", "ip", "address", "add", address, "dev", name)
    holder.put_runtime_in(trial, "network")
    return holder


def moving(trial: Trial, devices: dict[str, dict[str, str]], path: str = "") -> Config:
    """A container that gets these devices, in a new network namespace or that of a path."""
    config = trial.config(["wait"])
    add_namespace(config, "network", path)
    config["linux"]["netDevices"] = devices
    return config


def devices_in(path: str) -> dict[str, dict[str, Any]]:
    """What ip(8) says of the devices of a network namespace, by name."""
    found = json.loads(run_in(path, "network", "ip", "-json", "-details", "address"))
    return {each["ifname"]: each for each in found if each}


def devices_of(made: Container) -> dict[str, dict[str, Any]]:
    """The network devices of a container."""
    return devices_in(f"/proc/{made.pid}/ns/net")


def addresses(device: dict[str, Any]) -> set[str]:
    """The global addresses of a device, with the length of the prefix."""
    return {f"{one['local']}/{one['prefixlen']}" for one in device["addr_info"] if one["scope"] == "global"}


def moved(found: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The device that was moved, for cases that are about what it is like then."""
    if name not in found:
        raise NotRun(f"the runtime has moved no device to {name}, which is judged by netdevices.is_there")
    return found[name]


@each(
    row("same_name", "LNX-021", {}, "one"),
    row("new_name", "LNX-021", {"name": "net0"}, "net0"),
    needs=NEEDS,
)
def is_there(trial: Trial, members: dict[str, str], name: str) -> None:
    """the device is in the container's network namespace as {1}, and in the runtime's no more"""
    holder = host_with(trial, "one")
    found = devices_of(trial.created(moving(trial, {"one": members})))
    expect(name in found, f"the container has no device {name}", seen=sorted(found))
    expect("one" not in devices_in(holder.path("network")), "the device is still in the runtime's namespace")


@case("LNX-021", needs=NEEDS)
def several(trial: Trial) -> None:
    """several devices are moved"""
    host_with(trial, "one", "two")
    found = set(devices_of(trial.created(moving(trial, {"one": {}, "two": {"name": "b"}}))))
    expect({"one", "b"} <= found, "the container lacks a device", expected=["b", "one"], seen=sorted(found))


@case("LNX-022", needs=NEEDS)
def that_there_is_not(trial: Trial) -> None:
    """a device that there is not is an error"""
    host_with(trial, "one")
    trial.refused(moving(trial, {"nothing": {}}), "a network device that there is not")


@case("LNX-022", needs=NEEDS)
def that_cannot_move(trial: Trial) -> None:
    """a device that belongs to its namespace for ever, as lo does, is an error under whatever name"""
    host_with(trial, "one")
    trial.refused(moving(trial, {"lo": {"name": "other"}}), "the loopback device, which cannot be moved")


@each(
    row("renamed", "LNX-023", "one", {"name": "taken"}),
    row("same_name", "LNX-023", "taken", {}),
    needs=NEEDS,
)
def name_that_is_taken(trial: Trial, device: str, members: dict[str, str]) -> None:
    """a name that a device of the container's namespace has is an error"""
    inside = Holder(trial, "network")
    inside.run("network", "ip", "link", "add", "taken", "type", "veth", "peer", "name", "its-peer")
    host_with(trial, device)
    trial.refused(moving(trial, {device: members}, inside.path("network")), "a name that another device has inside")
    expect("taken" in devices_in(inside.path("network")), "the device that had the name is gone")


@case("LNX-024", needs=NEEDS)
def a_template(trial: Trial) -> None:
    """of a name with %d the kernel makes one that is free"""
    inside = Holder(trial, "network")
    inside.run("network", "ip", "link", "add", "net0", "type", "veth", "peer", "name", "its-peer")
    host_with(trial, "one")
    trial.created(moving(trial, {"one": {"name": "net%d"}}, inside.path("network")))
    found = devices_in(inside.path("network"))
    expect("net1" in found, "there is no device under the next free name", expected="net1", seen=sorted(found))
    expect_equal(addresses(found["net1"]), set(GIVEN), "the set of addresses of the moved device")


@case("LNX-025", needs=NEEDS)
def keeps_its_addresses(trial: Trial) -> None:
    """permanent addresses of global scope, of both families, are there after the move"""
    host_with(trial, "one")
    found = devices_of(trial.created(moving(trial, {"one": {"name": "net0"}})))
    expect_equal(addresses(moved(found, "net0")), set(GIVEN), "the set of global addresses")


@case("LNX-025", needs=NEEDS)
def keeps_its_attributes(trial: Trial) -> None:
    """the hardware address, the MTU and the length of the queue are as before"""
    holder = host_with(trial, "one")
    words = ["mtu", str(MTU), "txqueuelen", str(QUEUE), "address", MAC]
    holder.run("network", "ip", "link", "set", "one", *words)
    found = devices_of(trial.created(moving(trial, {"one": {}})))
    device = moved(found, "one")
    seen = (device["address"], device["mtu"], device["txqlen"])
    expect_equal(seen, (MAC, MTU, QUEUE), "the tuple of attributes of the device")


ASK = """import errno, socket
with socket.socket() as asked:
    asked.settimeout(10)
    print(asked.connect_ex(("192.0.2.1", 9)) == errno.ECONNREFUSED)
"""


@case("LNX-026", needs=NEEDS)
def is_up(trial: Trial) -> None:
    """the moved device is up, and packets go through it and come back"""
    holder = host_with(trial, "one")
    holder.run("network", "ip", "address", "add", f"{PEER}/24", "dev", "one-peer")
    holder.run("network", "ip", "link", "set", "one-peer", "up")
    made = trial.created(moving(trial, {"one": {"name": "net0"}}))
    found = devices_of(made)
    flags = moved(found, "net0")["flags"]
    expect("UP" in flags, "the moved device is not up", seen=flags)
    answered = holder.run("network", sys.executable, "-ISc", ASK).strip()
    expect_equal(answered, "True", "whether the container's namespace answers a packet through the device")


@case("LNX-027", needs=NEEDS)
def is_left_alone(trial: Trial) -> None:
    """what the namespace's owner changes after create stays through start, state and kill"""
    inside = Holder(trial, "network")
    host_with(trial, "one")
    made = trial.created(moving(trial, {"one": {"name": "net0"}}, inside.path("network")))
    moved(devices_in(inside.path("network")), "net0")
    for words in ("address del 192.0.2.1/24 dev net0", "link set net0 down", "link set net0 name mine"):
        inside.run("network", "ip", *words.split())
    before = devices_in(inside.path("network"))
    ok(made.start(), "start")
    made.await_lines(1)
    made.state()
    ok(made.kill("KILL"), "kill")
    made.wait()
    expect_equal(devices_in(inside.path("network")), before, "the state of the namespace's devices")


@case("LNX-028", needs=NEEDS)
def stays_after_delete(trial: Trial) -> None:
    """delete leaves the device in the namespace, which here outlives the container"""
    inside = Holder(trial, "network")
    holder = host_with(trial, "one")
    made = trial.started(moving(trial, {"one": {}}, inside.path("network")))
    moved(devices_in(inside.path("network")), "one")
    ok(made.kill("KILL"), "kill")
    made.wait()
    ok(made.delete(), "delete")
    expect("one" in devices_in(inside.path("network")), "the device has left the container's namespace with delete")
    expect("one" not in devices_in(holder.path("network")), "delete has fetched the device back")
