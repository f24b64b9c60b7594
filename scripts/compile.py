"""Compile what runs for every request, with mypyc, into `build/compiled`.

`epp` then uses the copy as long as the sources are those that it was made of. Without a C compiler
nothing is made and `epp` runs interpreted: the same picker at about one and a half times the cost.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
os.environ["EPP_COMPILED"] = "never"

from epp.compiled import STAMP, build_of, current_build, fingerprint  # noqa: E402
from scripts.native_constructors import with_constructors  # noqa: E402

PACKAGE = ROOT / "epp"
GROUP = "epp"  # prefix of the module that holds the code of all
MINUTES = 15
MADE_BY = "made-by"  # in the build: these scripts as they were, since they say how it is compiled

# The way of one request, and what a simulated fleet does at every step. Shells stay as they are:
# there time goes into the event loop and the kernel. So do plugins, which others subclass, and
# settings, which pydantic reads.
COMPILED = (
    "bodyrouting/*.py",
    "core/*.py",
    "director.py",
    "compose.py",
    "configured.py",
    "datalayer/answer_health.py",
    "datalayer/ledger.py",
    "datalayer/models/catalogue.py",
    "datalayer/store.py",
    "estimation/*.py",
    "extproc/*.py",
    "extproc/transport/interfaces.py",
    "extproc/transport/http2/*.py",
    "flowcontrol/*.py",
    "payloads/*.py",
    "prefixcache/*.py",
    "routing/*.py",
    "scheduling/marginal_cost.py",
    "scheduling/profile.py",
    "scheduling/ranges.py",
    "scheduling/readings.py",
    "scheduling/roles.py",
    "scheduling/staged.py",
    "shadow/*.py",
    "shadowed.py",
    "timed.py",
    "simulation/adapters.py",
    "simulation/fleet/encoder_cache.py",
    "simulation/fleet/engine.py",
    "simulation/fleet/flights.py",
    "simulation/fleet/kv_cache.py",
    "simulation/fleet/prompts.py",
    "simulation/fleet/records.py",
    "simulation/fleet/requests.py",
    "simulation/fleet/run.py",
    "simulation/fleet/segments.py",
    "simulation/fleet/servers.py",
    "simulation/fleet/settings.py",
    "simulation/fleet/sidecars.py",
    "simulation/fleet/transfers.py",
    "simulation/profiles.py",
    "simulation/scheduler.py",
    "telemetry/buckets.py",
    "telemetry/instruments.py",
    "telemetry/metrics.py",
    "telemetry/request_log.py",
    "telemetry/spans.py",
    "telemetry/trace_context.py",
)
INTERPRETED = (
    "bodyrouting/basemodel_documents.py",
    "bodyrouting/basemodel_file.py",  # a shell
    "bodyrouting/configmap_watch.py",  # a shell
    "bodyrouting/configmaps.py",
    "bodyrouting/plugins.py",
    "extproc/health.py",  # its states are constants of a nested class
    "extproc/transport/http2/server.py",  # a shell
    "prefixcache/settings.py",  # read by pydantic
    "shadow/draws.py",  # subclasses a generator of Python's own
)

# Nobody outside replaces functions of ours, so calls between them need no table and may be inlined.
FLAGS = ("-fvisibility=hidden", "-fno-plt", "-include", "rarely_called.h")

# What mypyc calls on the way of an exception. Told so, the compiler moves all code that leads there
# out of that which runs for every request, which then fits the processor's caches better.
RARELY_CALLED = """\
struct _object;
#define RARELY __attribute__((cold)) void
RARELY CPyError_OutOfMemory(void);
RARELY CPy_TypeError(const char *, struct _object *);
RARELY CPy_AddTraceback(const char *, const char *, int, struct _object *);
RARELY CPy_TypeErrorTraceback(const char *, const char *, int, struct _object *, const char *,
                              struct _object *);
RARELY CPy_AttributeError(const char *, const char *, const char *, const char *, int,
                          struct _object *);
"""

# GCC first makes modules that count which way their code goes, has them serve some seconds of load,
# and lays out the code for that. Functions that were not called then are compiled as ever.
WATCHED = ("-fprofile-generate",)
FOR_WHAT_WAS_SEEN = (
    *("-fprofile-use", "-fprofile-partial-training", "-fprofile-correction"),
    "-Wno-missing-profile",
)

# These say how it is compiled.
SCRIPTS = ("compile.py", "extensions.py", "native_constructors.py", "training_run.py")


def modules() -> list[str]:
    left_out = {PACKAGE / name for name in INTERPRETED}
    found = {file for pattern in COMPILED for file in PACKAGE.glob(pattern)} - left_out
    return sorted(str(f.relative_to(ROOT)) for f in found if f.name != "__init__.py")


def compiler() -> str | None:
    """The C compiler that this interpreter would use, if it is there with Python's headers."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    command = os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc")
    return shutil.which(shlex.split(command)[0]) if header.is_file() else None


def is_gcc() -> bool:
    command = compiler()
    assert command is not None
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
    return "Free Software Foundation" in shown.stdout


class CompilingFailed(Exception):
    """The message is the end of what was printed."""


def run(folder: Path, *command: str | Path, **environment: str) -> None:
    log = folder / "log"
    with log.open("w") as output:
        try:
            result = subprocess.run(
                [sys.executable, *command],
                cwd=folder,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                timeout=60 * MINUTES,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise CompilingFailed(str(late)) from None
    if result.returncode:
        raise CompilingFailed(log.read_text()[-3000:])


def compile_into(folder: Path) -> None:
    """A copy of the package with the compiled modules beside their sources."""
    shutil.copytree(PACKAGE, folder / "epp", ignore=shutil.ignore_patterns("__pycache__"))
    for module in modules():
        copy = folder / module
        copy.write_text(with_constructors(copy.read_text()))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "README.md").touch()  # pyproject.toml names it
    (folder / "rarely_called.h").write_text(RARELY_CALLED)
    extensions = HERE / "extensions.py"
    run(folder, extensions, "--write", GROUP, *modules())
    learned: tuple[str, ...] = ()
    if is_gcc():
        run(folder, extensions, "--", *FLAGS, *WATCHED)
        try:
            run(folder, HERE / "training_run.py", PYTHONPATH=str(folder), EPP_COMPILED="never")
            if not any(folder.glob("build/**/*.gcda")):
                raise CompilingFailed("the picker that was watched wrote nothing down")
            learned = FOR_WHAT_WAS_SEEN
        except CompilingFailed as error:
            text = f"no load to learn from, so it will be slower by some percent:\n{error}"
            print(text, flush=True)
    run(folder, extensions, "--", *FLAGS, *learned)
    for leftover in ("build", "extensions.json", "rarely_called.h", "pyproject.toml", "README.md"):
        path = folder / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--required", action="store_true", help="fail if nothing can be made")
    arguments = parser.parse_args()
    os.environ["EPP_COMPILED"] = ""
    build = current_build(PACKAGE)
    myself = "".join((HERE / script).read_text() for script in SCRIPTS)
    if build is not None and (build / MADE_BY).read_text() == myself:
        print("the compiled build is current")
        return
    if compiler() is None:
        print("no C compiler with Python's headers: epp runs interpreted", flush=True)
        sys.exit(1 if arguments.required else 0)
    print("compiling what runs for every request; this takes some minutes", flush=True)
    target = build_of(PACKAGE)
    target.parent.mkdir(exist_ok=True)
    made_of = fingerprint(PACKAGE)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="compiling-") as scratch:
        folder = Path(scratch, "made")
        folder.mkdir()
        try:
            compile_into(folder)
        except CompilingFailed as error:
            print(f"compiling failed, so epp runs interpreted:\n{error}", flush=True)
            sys.exit(1 if arguments.required else 0)
        (folder / MADE_BY).write_text(myself)
        (folder / STAMP).write_text(made_of)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)


if __name__ == "__main__":
    main()
