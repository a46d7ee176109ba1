"""Materials of OBJ models whose pictures an engine's own file names, written as OBJ files ask for them.

Red Eclipse puts an ``obj.cfg`` beside its models: ``objload model.obj`` says which model, and
``objskin GROUP diffuse.png masks.png ...`` which picture its group wears, ``*`` all groups. The OBJ files
name materials that no file describes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

CONFIG = "obj.cfg"
EVERY_GROUP = "*"
TEXTS = (".txt", ".md")


def with_materials(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return ``files`` with one OBJ and one .mtl file for each ``obj.cfg``, named after its folder.

    Left out are the OBJ files themselves, models whose pictures are not among ``files``, and pictures that
    no model wears.
    """
    made = {name: data for name, data in files.items() if name.endswith(TEXTS)}
    for name, data in files.items():
        if posixpath.basename(name) != CONFIG:
            continue
        folder = posixpath.dirname(name)
        model, skins = _read_config(data.decode("utf-8", "replace"), folder)
        if model not in files or not skins or not set(skins.values()) <= files.keys():
            continue
        materials = {group: f"skin{number}" for number, group in enumerate(skins)}
        above = posixpath.dirname(folder)
        pictures = {group: posixpath.relpath(path, above or ".") for group, path in skins.items()}
        made.update({path: files[path] for path in skins.values()})
        lines = [f"newmtl {materials[group]}\nKd 1 1 1\nmap_Kd {pictures[group]}\n" for group in skins]
        made[f"{folder}.mtl"] = "".join(lines).encode()
        text = _dressed(files[model].decode("utf-8", "replace"), materials, posixpath.basename(folder))
        made[f"{folder}.obj"] = text.encode()
    return made


def _read_config(text: str, folder: str) -> tuple[str, dict[str, str]]:
    """The path of the model, and those of the pictures by group."""
    model, skins = "", {}
    for words in (line.split() for line in text.splitlines()):
        if words[:1] == ["objload"] and len(words) > 1:
            model = posixpath.normpath(posixpath.join(folder, words[1].strip('"')))
        elif words[:1] == ["objskin"] and len(words) > 2:
            skins[words[1].strip('"')] = posixpath.normpath(posixpath.join(folder, words[2].strip('"')))
    return model, skins


def _dressed(text: str, materials: Mapping[str, str], name: str) -> str:
    """The OBJ file with the materials of its groups in place of its own."""
    lines = [f"mtllib {name}.mtl"]
    everywhere = materials.get(EVERY_GROUP)
    if everywhere is not None:
        lines.append(f"usemtl {everywhere}")
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("mtllib", "usemtl"):
            continue
        lines.append(line)
        if word == "g":
            group = rest.strip()
            material = materials.get(group, everywhere)
            if material is not None:
                lines.append(f"usemtl {material}")
    return "\n".join(lines) + "\n"
