"""The images of this checkout, in a node's containerd, under the names that the chart asks for."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.image import envoy_root, picker_root, write_image
from tests.cluster.node import Node

PICKER_IMAGE = "localhost/epp:0.1.0"
ENVOY_IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
PROGRAMS = (
    (PICKER_IMAGE, picker_root, ["/usr/local/bin/python3", "-m", "epp"]),
    (ENVOY_IMAGE, envoy_root, ["/usr/local/bin/envoy"]),
)


def import_images(node: Node, folder: Path) -> None:
    """Built in this folder."""
    for number, (name, fill, entrypoint) in enumerate(PROGRAMS):
        root, archive = folder / f"root-{number}", folder / f"image-{number}.tar"
        root.mkdir()
        write_image(archive, name, root, entrypoint, fill(root))
        node.import_image(archive)
