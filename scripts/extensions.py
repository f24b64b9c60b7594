"""What `scripts/compile.py` does in a copy of the package: C out of Python, then modules out of C.

Each is a run of its own, since one C source is compiled twice: to be watched, and for good.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

WRITTEN = Path("extensions.json")  # what the second step is to make


def write(modules: list[str], group: str) -> None:
    """One file of C for each module, so that they can be compiled side by side."""
    made = mypycify(modules, opt_level="2", debug_level="0", multi_file=True, group_name=group)
    kept = ("name", "sources", "include_dirs", "extra_compile_args")
    WRITTEN.write_text(json.dumps([{name: vars(e)[name] for name in kept} for e in made]))


class ParallelBuild(build_ext):
    """Compiles the files of one extension side by side; nearly all are in one."""

    def build_extension(self, ext: Extension) -> None:
        def objects_of(source: str) -> list[str]:
            objects: list[str] = self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                include_dirs=ext.include_dirs,
                debug=self.debug,
                extra_postargs=ext.extra_compile_args,
            )
            return objects

        if len(ext.sources) > 1:
            with ThreadPoolExecutor(os.cpu_count()) as workers:
                # The longest first, or one worker ends with it while the others have nothing.
                sources = sorted(ext.sources, key=os.path.getsize, reverse=True)
                compiled = list(workers.map(objects_of, sources))
            ext.extra_objects = [name for names in compiled for name in names]
            ext.sources = []
        super().build_extension(ext)


def build(flags: list[str]) -> None:
    extensions = []
    for written in json.loads(WRITTEN.read_text()):
        extension = Extension(**written)
        extension.extra_compile_args += flags
        extension.extra_link_args += [flag for flag in flags if flag.startswith("-fprofile")]
        extensions.append(extension)
    setup(
        name="epp-compiled",
        packages=[],
        ext_modules=extensions,
        cmdclass={"build_ext": ParallelBuild},
        script_args=["-q", "build_ext", "--inplace", "--force"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="GROUP", help="C of these modules; else build them")
    parser.add_argument("arguments", nargs="*", help="modules, or flags of the C compiler")
    given = parser.parse_args()
    if given.write:
        write(given.arguments, given.write)
    else:
        build(given.arguments)


if __name__ == "__main__":
    main()
