"""Writes a one-layer OCI image archive without any tool, so that engines have something to run offline."""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def write_rootfs_tar(rootfs: Path, target: Path) -> Path:
    """A plain tar of a root filesystem, everything owned by root; this is also what `podman import` takes."""
    with tarfile.open(target, "w") as archive:
        archive.add(rootfs, arcname=".", filter=_owned_by_root)
    return target


class _Layout:
    """An OCI image layout (image-spec, image-layout.md) that is being filled."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._blobs = directory / "blobs" / "sha256"
        self._blobs.mkdir(parents=True)

    def add(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Store a blob; returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self._blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def add_json(self, document: dict[str, Any], media_type: str) -> dict[str, Any]:
        """Store a document as a blob; returns its descriptor."""
        return self.add(json.dumps(document).encode(), media_type)


def write_image_archive(rootfs: Path, directory: Path, name: str, command: Sequence[str] = ("sh",)) -> Path:
    """An OCI archive named `name` (a full reference) made in `directory`, an empty one, with PATH=/bin."""
    layer_tar = write_rootfs_tar(rootfs, directory / "layer.tar")
    layout = _Layout(directory / "layout")
    layer = layout.add(layer_tar.read_bytes(), LAYER_TYPE)
    config = layout.add_json(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        },
        CONFIG_TYPE,
    )
    manifest = layout.add_json(
        {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": [layer]}, MANIFEST_TYPE
    )
    manifest["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "manifests": [manifest]}
    (layout.directory / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    (layout.directory / "index.json").write_text(json.dumps(index))
    target = directory / "image.tar"
    with tarfile.open(target, "w") as archive:
        archive.add(layout.directory, arcname=".", filter=_owned_by_root)
    return target
