"""Runs the real programs for integration tests: a daemon of its own in a temporary folder, commands
against it, and the processes that belong to it. Python's standard library only.

A test is a file tests/integration/test_<what>.py of unittest cases that ends with harness.main().
The folder of the programs comes in REMORA_BIN (CMake sets it).
"""

import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("REMORA_BIN", SOURCE / "build" / "dev" / "bin"))
IN_CI = bool(os.environ.get("CI"))
# Sanitizers make everything slower; a deadline is a bound on hangs, never a measurement.
PATIENCE = float(os.environ.get("REMORA_TEST_PATIENCE", "1"))


def data_folder():
    """The folder of real data, or None; in CI its absence fails the test."""
    folder = pathlib.Path(os.environ.get("REMORA_TEST_DATA", SOURCE.parent / "shared" / "data"))
    if folder.is_dir():
        return folder
    if IN_CI:
        raise AssertionError(f"the test data {folder} is not there, and CI is set")
    return None


def environment(**more):
    """Ours, without what a user's session says about sockets, folders, threads and terminals."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REMORA_", "OMP_", "GOMP_", "MALLOC_", "XDG_", "OMPI_", "DNNL_"))
    }
    kept.update(NO_COLOR="1", LC_ALL="C.UTF-8", OMPI_ALLOW_RUN_AS_ROOT="1",
                OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "DNNL_MAX_CPU_ISA"):
        if name in os.environ:
            kept[name] = os.environ[name]
    kept.update({name: str(value) for name, value in more.items()})
    return kept


def mpi_folders(folder):
    """Variables that keep what Open MPI leaves behind of killed ranks (its sessions, its shared
    memory) in a folder of the test; the last one is Open MPI 5's."""
    folder = folder / "mpi"
    folder.mkdir(exist_ok=True)
    names = ("TMPDIR", "OMPI_MCA_orte_tmpdir_base", "OMPI_MCA_btl_vader_backing_directory",
             "OMPI_MCA_btl_sm_backing_directory")
    return {name: str(folder) for name in names}


def until(what, condition, seconds=60.0):
    """Polls until condition() is true and returns its value; fails naming what was waited for."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds * PATIENCE:g} s")
        time.sleep(0.01)


def processes_with(text):
    """Pids of live processes (zombies are not) whose environment holds text."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if state not in "ZX" and text.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except (OSError, IndexError):
            continue
    return found


def removed(group):
    """Whether the control group has gone: what is ending in it keeps it busy, though not listed."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_leftovers(state):
    """What an attempt whose shim and daemon were killed can remove no more."""
    for path in state.glob("jobs/*/attempts/*/launch.json"):
        try:
            launch = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if launch["shared_folder"]:
            shutil.rmtree(launch["shared_folder"], ignore_errors=True)
        if launch["cgroup"] and pathlib.Path(launch["cgroup"]).is_dir():
            group = pathlib.Path(launch["cgroup"])
            (group / "cgroup.kill").write_text("1")
            until(f"{group} is removed", lambda group=group: removed(group))


def check_replay(case, state):
    """The tables of jobs and attempts must be what the events of the state folder say."""
    if (state / "queue.db").exists():
        result = subprocess.run([str(BIN / "remorad"), "--check", "--state-dir", str(state)],
                                env=environment(), capture_output=True, text=True, check=False)
        case.assertEqual(result.returncode, 0, result.stderr)


def check_log(case, log):
    """A sanitizer's report does not always end the program, and a killed one has no exit code."""
    if log.exists():
        case.assertNotIn("Sanitizer", log.read_text(errors="replace"))


class Result:
    def __init__(self, process, arguments):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr
        self.arguments = arguments

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"{self.arguments} ended with {self.code}\n{self.out}\n{self.err}"


class Case(unittest.TestCase):
    """A test with a temporary folder; daemons and their jobs end with it."""

    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="remora-test."))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_program(self, name, *arguments, code=0, seconds=120, env=None, cwd=None, stdin=None):
        """Runs one of our programs; code None accepts every exit code."""
        line = [str(BIN / name), *map(str, arguments)]
        process = subprocess.run(line, env=env or environment(), cwd=cwd or self.folder, text=True,
                                 input=stdin, stdin=None if stdin else subprocess.DEVNULL,
                                 capture_output=True, timeout=seconds * PATIENCE, check=False)
        result = Result(process, line)
        if code is not None:
            self.assertEqual(result.code, code, str(result))
        return result

    def worker(self, *arguments, **options):
        return self.run_program("remora-worker", *arguments, **options)

    def daemon(self, **options):
        daemon = Daemon(self, **options)
        self.addCleanup(daemon.finish)
        daemon.start()
        return daemon

    def corpus(self, records=300, vocabulary=512, seed=1):
        """Token shards of synthetic abstracts: the folder that prepare wrote."""
        text = self.folder / f"corpus-{records}-{seed}.xml"
        self.worker("synth", "medline", "--records", records, "--seed", seed, "--output", text)
        out = self.folder / f"shards-{records}-{seed}"
        self.worker("prepare", text, "--output", out, "--train-tokenizer", vocabulary,
                    "--validation-fraction", "0.1")
        return out

    def tiny_spec(self, shards, **changes):
        """A job that takes seconds; changes replace whole top-level fields (None removes one)."""
        spec = {
            "kind": "train",
            "name": "tiny",
            "model": {
                "config": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                           "num_attention_heads": 4},
                "tokenizer": str(shards / "tokenizer.model"),
            },
            "data": {
                "train": [{"shards": str(shards / "train")}],
                "validation": {"shards": str(shards / "validation"), "sequences": 8},
                "sequence_length": 32,
            },
            "method": {"name": "remora", "r": 4, "merge_every": 20},
            "optimizer": {"name": "adamw", "lr": 0.003},
            "schedule": {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3},
            "batch": {"global": 8, "micro": 2},
            "steps": 60,
            "launch": {"ranks": 2, "threads_per_rank": 1},
            "checkpoint": {"every": 10, "keep_last": 2},
            "evaluate": {"every": 30},
        }
        for key, value in changes.items():
            if value is None:
                spec.pop(key, None)
            else:
                spec[key] = value
        path = self.folder / f"{spec['name']}-{len(list(self.folder.iterdir()))}.json"
        path.write_text(json.dumps(spec))
        return path


class Daemon:
    """A remorad with its own state folder and socket."""

    def __init__(self, case, slots=2, arguments=()):
        self.case = case
        self.state = case.folder / "state"
        self.socket = case.folder / "run" / "remora.sock"
        self.slots = slots
        self.arguments = list(map(str, arguments))
        self.process = None
        self.log = case.folder / "remorad.log"

    def start(self):
        line = [str(BIN / "remorad"), "--state-dir", str(self.state), "--socket", str(self.socket),
                "--slots", str(self.slots), *self.arguments]
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(line, env=environment(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        until("the daemon answers", self.answers, 20)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"remorad ended: {self.log.read_text()}")
        return self.remora("status", code=None).code == 0

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30)

    def finish(self):
        """Ends the daemon and every process of its jobs; the log must then replay to the tables."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(30)
        for pid in self.job_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        until("no process of a job is left", lambda: not self.job_processes(), 30)
        remove_leftovers(self.state)
        check_replay(self.case, self.state)
        check_log(self.case, self.log)

    def attempt_ids(self):
        ids = []
        for path in self.state.glob("jobs/*/attempts/*/shim.json"):
            try:
                ids.append(json.loads(path.read_text())["attempt_id"])
            except (OSError, ValueError, KeyError):
                continue
        return ids

    def job_processes(self):
        return sorted({pid for name in self.attempt_ids()
                       for pid in processes_with(f"REMORA_ATTEMPT_ID={name}")})

    def ranks(self):
        """Pids of the worker ranks that run now."""
        found = []
        for pid in self.job_processes():
            try:
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"remora-worker"):
                found.append(pid)
        return found

    def remora(self, *arguments, **options):
        return self.case.run_program("remora", "--socket", self.socket, *arguments, **options)

    def submit(self, spec, *arguments):
        return self.remora("submit", spec, "--json", *arguments).json()["job"]

    def show(self, job):
        return self.remora("show", job, "--json").json()

    def state_of(self, job):
        return self.show(job)["job"]["state"]

    def wait(self, job, code=0, seconds=180):
        return self.remora("wait", job, code=code, seconds=seconds)

    def metrics(self, job, kind="step"):
        """Every row of the effective curve."""
        return self.remora("metrics", job, "--kind", kind, "--json").json()

    def events(self, job):
        return self.remora("events", job, "--json").json()

    def records(self, job):
        """What the worker wrote into the run folder, torn tail aside."""
        path = self.state / "jobs" / str(job) / "run" / "records.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def last_step(self, job):
        return max((r["step"] for r in self.records(job) if r["type"] == "step"), default=0)

    def reached(self, job, step):
        return self.last_step(job) >= step


def main():
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.skipped and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(0)
