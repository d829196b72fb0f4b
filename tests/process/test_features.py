"""Every claim of `features` is used in a container; what is not claimed is refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process.box import changed, one_sentence
from process.plain import reachable
from support.bundle import (
    Config,
    default_config,
    mount,
    with_capabilities,
    with_hook,
    with_namespace,
    with_shell,
    with_user_namespace,
)
from support.facility import need, time_namespace, user_namespace
from support.runtime import runtime_path

from ocirun.linux.seccomp.names import ARCHITECTURES
from ocirun_spec import mount_options, schema
from ocirun_spec.names import CAPABILITIES

if TYPE_CHECKING:
    from process.box import Box

pytestmark = [pytest.mark.process, pytest.mark.privileged]

Claims = dict[str, Any]

SHARED = Path(os.environ.get("OCIRUN_SHARED", Path(__file__).parents[3] / "shared"))
PROC_FILES = {
    "cgroup": "cgroup", "ipc": "ipc", "mount": "mnt", "network": "net", "pid": "pid", "time": "time", "user": "user",
    "uts": "uts",
}  # fmt: skip


@pytest.fixture(scope="module")
def claims() -> Claims:
    """What the program says, asked without options, environment and standard input."""
    program = runtime_path()
    if not program.exists():
        pytest.skip("needs ./dev build")
    done = subprocess.run(
        [program, "features"], env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""
    found: Claims = json.loads(done.stdout)
    return found


def test_nobody_is_told_the_same(claims: Claims, box: Box) -> None:
    """Neither privileges nor a state directory are needed."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give it up")
    with reachable(box.runtime.path) as program:
        done = subprocess.run(
            [program, "features"], user=65534, group=65534, extra_groups=[], cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
    assert json.loads(done.stdout) == claims


def test_our_schema(claims: Claims) -> None:
    errors = list(schema.validator(schema.features_schema()).iter_errors(claims))
    assert errors == []


def test_the_published_schema(claims: Claims) -> None:
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    folder = SHARED / "runtime-spec" / "schema"
    if not folder.exists():
        pytest.skip(f"needs {folder}")

    def retrieve(uri: str) -> Resource[Any]:
        return DRAFT4.create_resource(json.loads((folder / uri).read_bytes()))

    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    validator = Draft4Validator(json.loads((folder / "features-schema.json").read_bytes()), registry=registry)
    assert list(validator.iter_errors(claims)) == []
    assert not validator.is_valid(claims | {"linux": {"namespaces": ["magic"]}}), "the schema is looked into"


@pytest.mark.parametrize("member", ["ociVersionMin", "ociVersionMax"])
def test_versions(box: Box, claims: Claims, member: str) -> None:
    box.run(changed(default_config(), "/ociVersion", claims[member])).ok()


def test_hooks(box: Box, claims: Claims) -> None:
    """One container with all of them; startContainer alone sees the container's files."""
    config = box.with_shared(default_config())
    for name in claims["hooks"]:
        folder = "/shared" if name == "startContainer" else str(box.shared)
        with_hook(config, name, "/bin/sh", "-c", f"cat >{folder}/{name}")
    box.run(config).ok()
    assert {path.name for path in box.shared.iterdir()} == set(claims["hooks"])
    assert set(claims["hooks"]) >= {"prestart", "poststop"}


def entries(name: str, place: str) -> list[Config]:
    """Mounts that use an option as it is meant, the last of them at `place`."""
    kind = mount_options.OPTIONS[name].kind
    plain = mount(place, "tmpfs", "tmpfs")
    if kind == mount_options.REMOUNT:
        return [plain, mount(place, "tmpfs", "tmpfs", name, "ro")]
    if kind in (mount_options.BIND, mount_options.RBIND):
        return [mount(place, "bind", "/usr", name)]
    if kind == mount_options.RECURSIVE:
        return [mount(place, "bind", "/usr", "rbind", name)]
    if kind in (mount_options.IDMAP, mount_options.RIDMAP):
        mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
        return [mount(place, "bind", "/usr", "rbind", name) | {"uidMappings": mapping, "gidMappings": mapping}]
    return [mount(place, "tmpfs", "tmpfs", name)]


def test_mount_options(box: Box, claims: Claims) -> None:
    config = default_config()
    names = claims["mountOptions"]
    for name in names:
        config["mounts"] += entries(name, f"/all/{name}")
    out = box.shell("cut -d' ' -f5 /proc/self/mountinfo", config)
    assert {line.removeprefix("/all/") for line in out.split() if line.startswith("/all/")} >= set(names)


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
@pytest.mark.parametrize("name", ["acl", "rsync", "nobind", "rridmap"])
def test_a_mount_option_that_is_not_claimed_is_refused(box: Box, claims: Claims, kind: str, name: str) -> None:
    assert name not in claims["mountOptions"]
    config = default_config()
    config["mounts"].append(mount("/x", kind, "/usr", name))
    assert name in one_sentence(box.run(config).expect(1))


def test_namespaces(box: Box, claims: Claims) -> None:
    assert set(claims["linux"]["namespaces"]) == set(PROC_FILES)
    need(user_namespace, time_namespace)
    config = with_user_namespace(default_config())
    for name in claims["linux"]["namespaces"]:
        if name != "user":
            with_namespace(config, name)
    script = "".join(f"readlink /proc/self/ns/{file};" for file in PROC_FILES.values())
    inside = box.shell(script, config).split()
    outside = [str(Path("/proc/self/ns", file).readlink()) for file in PROC_FILES.values()]
    assert all(mine != theirs for mine, theirs in zip(inside, outside, strict=True))


def test_capabilities(box: Box, claims: Claims) -> None:
    """In a user namespace of its own, where every capability of the kernel is to be had."""
    need(user_namespace)
    claimed = claims["linux"]["capabilities"]
    config = with_capabilities(with_user_namespace(default_config()), claimed)
    result = box.run(with_shell(config, "grep CapEff /proc/self/status")).ok()
    assert int(result.out.split()[1], 16) == sum(1 << CAPABILITIES[name] for name in claimed)
    assert "unknown" not in result.err


def profile(**members: Any) -> Config:
    return changed(default_config(), "/linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW", **members})


def rule(**members: Any) -> Config:
    return profile(syscalls=[{"names": ["acct"], **members}])


def seccomp_uses(claims: Claims) -> list[Config]:
    claimed = claims["linux"]["seccomp"]
    argument = {"index": 0, "value": 1}
    return [
        *(rule(action=name) for name in claimed["actions"] if name != "SCMP_ACT_NOTIFY"),
        *(rule(action="SCMP_ACT_ERRNO", args=[argument | {"op": name}]) for name in claimed["operators"]),
        *(profile(architectures=[name]) for name in claimed["archs"]),
        profile(architectures=claimed["archs"]),
        *(profile(flags=[name]) for name in claimed["supportedFlags"]),
    ]


def test_seccomp(box: Box, claims: Claims) -> None:
    """SCMP_ACT_NOTIFY needs a listener and has tests of its own."""
    if not claims["linux"]["seccomp"]["enabled"]:
        assert "seccomp" in one_sentence(box.run(profile()).expect(1))
        return
    assert set(claims["linux"]["seccomp"]["supportedFlags"]) <= set(claims["linux"]["seccomp"]["knownFlags"])
    for config in seccomp_uses(claims):
        box.run(config).ok()


def test_seccomp_that_is_not_claimed_is_refused(box: Box, claims: Claims) -> None:
    claimed = claims["linux"]["seccomp"]
    for name in [*(set(ARCHITECTURES) - set(claimed["archs"])), "SCMP_ARCH_ALPHA"]:
        assert name in one_sentence(box.run(profile(architectures=[name])).expect(1))
    argument = {"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}
    for config, word in (
        (rule(action="SCMP_ACT_ASK"), "SCMP_ACT_ASK"),
        (rule(action="SCMP_ACT_ERRNO", args=[argument]), "SCMP_CMP_LIKE"),
        (profile(flags=["SECCOMP_FILTER_FLAG_NEW_LISTENER"]), "SECCOMP_FILTER_FLAG_NEW_LISTENER"),
    ):
        assert word in one_sentence(box.run(config).expect(1))


YES_OR_NO: list[tuple[str, str, Any]] = [
    # where it is claimed, a property that uses it, its value
    ("cgroup/rdma", "/linux/resources/rdma", {"mlx5_1": {"hcaHandles": 3}}),
    ("apparmor/enabled", "/process/apparmorProfile", "some-profile"),
    ("selinux/enabled", "/process/selinuxLabel", "system_u:system_r:svirt_t:s0"),
    ("memoryPolicy/modes", "/linux/memoryPolicy", {"mode": "MPOL_DEFAULT"}),
    (
        "memoryPolicy/flags",
        "/linux/memoryPolicy",
        {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
    ),
    ("intelRdt/enabled", "/linux/intelRdt", {"closID": "x"}),
    ("intelRdt/schemata", "/linux/intelRdt", {"closID": "x", "schemata": ["L3:0=f"]}),
    ("intelRdt/monitoring", "/linux/intelRdt", {"closID": "x", "enableMonitoring": True}),
    ("netDevices/enabled", "/linux/netDevices", {"nosuchdev": {}}),
]


@pytest.mark.parametrize(("claim", "pointer", "value"), YES_OR_NO, ids=[row[0] for row in YES_OR_NO])
def test_what_is_claimed_is_supported_and_nothing_else(
    box: Box, claims: Claims, claim: str, pointer: str, value: Any
) -> None:
    """With a claim the host may still lack the thing, and says so in other words."""
    part, member = claim.split("/")
    result = box.run(changed(default_config(), pointer, value))
    assert ("not supported yet" in result.err) == (not claims["linux"][part][member]), result.err


def test_the_systemd_driver_is_claimed_when_it_is_there(box: Box, claims: Claims) -> None:
    cgroup = claims["linux"]["cgroup"]
    result = box.runtime.call("--systemd-cgroup", "run", "-b", str(box.write(default_config())), box.ident)
    assert ("not supported yet" in result.err) == (not cgroup["systemd"])
    assert cgroup["v1"]
    assert cgroup["v2"]


def test_the_versions_of_what_made_it(box: Box, claims: Claims) -> None:
    printed = box.runtime.call("--version").ok().out
    assert f"version {claims['annotations']['org.ocirun.version']}\n" in printed
    assert claims["annotations"]["io.github.seccomp.libseccomp.version"].count(".") == 2
