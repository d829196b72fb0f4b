"""Annotations, unknown properties and invalid values: config.md, Annotations, Extensibility, Valid values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocirun_conformance.case import case, each, expect_equal, row
from ocirun_conformance.trial import ok

if TYPE_CHECKING:
    from ocirun_conformance.trial import Trial

UNKNOWN = "comExampleUnknown"
PLACES = ("", "process", "process/user", "root", "linux", "linux/namespaces/0", "mounts/0")
BAD: dict[str, tuple[str, Any]] = {
    "no SemVer": ("ociVersion", "banana"),
    "two numbers": ("ociVersion", "1.0"),
    "another major": ("ociVersion", "9.0.0"),
    "version a number": ("ociVersion", 1),
    "annotations a list": ("annotations", ["a"]),
    "annotation a number": ("annotations", {"com.example.key": 1}),
    "annotation without key": ("annotations", {"": "x"}),
    "hostname a number": ("hostname", 5),
    "mounts an object": ("mounts", {}),
    "relative hook": ("hooks", {"createRuntime": [{"path": "bin/true"}]}),
    "hook timeout 0": ("hooks", {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}),
    "hook without path": ("hooks", {"createRuntime": [{"args": ["true"]}]}),
    "missing root": ("root", {"path": "no-such-folder"}),
}


@case("CFG-178", "RT-034")
def unknown_annotations_are_kept(trial: Trial) -> None:
    """annotations that nobody knows are no error and stand in the state"""
    config = trial.config()
    config["annotations"] = {"com.example.unknown": "1", "com.example.empty": ""}
    made = trial.ended(config)
    expect_equal(made.state().get("annotations"), config["annotations"], "the annotations in the state")


@each(*(row(place or "top", "CFG-180 RT-030", place) for place in PLACES))
def unknown_properties_are_ignored(trial: Trial, place: str) -> None:
    """an unknown property at /{0} is no error"""
    config = trial.config()
    found: Any = config
    for word in place.split("/") if place else ():
        found = found[int(word)] if isinstance(found, list) else found[word]
    found[UNKNOWN] = {"any": ["thing", 1, None]}
    ok(trial.ended(config).delete(), "delete")


@each(*(row(name, "CFG-181", name) for name in BAD))
def invalid_values_are_errors(trial: Trial, name: str) -> None:
    """create refuses an invalid value: {0}"""
    member, value = BAD[name]
    trial.refused({**trial.config(), member: value}, f"an invalid value ({name}): {value!r}")


@each(*(row(name, "CFG-181", name) for name in ("no JSON", "text behind", "no UTF-8", "a name twice")))
def files_that_are_no_configuration(trial: Trial, name: str) -> None:
    """create refuses a config.json that is not the JSON of the glossary: {0}"""
    bundle = trial.bundle(trial.config())
    file = bundle.path / "config.json"
    text = file.read_bytes()
    spoiled = {
        "no JSON": text[:-2],
        "text behind": text + b"}",
        "no UTF-8": text.replace(b"PROBE=yes", b"PROBE=\xff"),
        "a name twice": text.replace(b"{", b'{"hostname": "other", ', 1),
    }
    file.write_bytes(spoiled[name])
    trial.refused(bundle, f"a config.json with {name}")
