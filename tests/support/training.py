"""Training without a daemon: mpirun starts the worker's ranks on a tiny model. Standard library only."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import uuid

import harness


class Launch:
    """One mpirun with its ranks, found by a mark in their environment."""

    def __init__(self, case, ranks, arguments):
        self.case = case
        self.mark = f"REMORA_TEST_MARK={uuid.uuid4()}"
        name, value = self.mark.split("=")
        line = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n", str(ranks),
                str(harness.BIN / "remora-worker"), "train", *map(str, arguments)]
        self.output = case.folder / f"output-{len(list(case.folder.iterdir()))}.log"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                line, env=harness.environment(**{name: value}, **harness.mpi_folders(case.folder)),
                cwd=case.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        case.addCleanup(self.finish)

    def ranks(self):
        """Pids of the ranks, the lowest rank first."""
        found = []
        for pid in harness.processes_with(self.mark):
            try:
                words = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            rank = [word for word in words if word.startswith(b"OMPI_COMM_WORLD_RANK=")]
            if rank and line[0].endswith(b"remora-worker"):
                found.append((int(rank[0].split(b"=")[1]), pid))
        return [pid for _, pid in sorted(found)]

    def wait(self, seconds=120):
        code = self.process.wait(seconds * harness.PATIENCE)
        harness.until("no rank is left", lambda: not harness.processes_with(self.mark), 30)
        return code

    def text(self):
        return self.output.read_text(errors="replace")

    def finish(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for pid in harness.processes_with(self.mark):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


class Case(harness.Case):
    def launch(self, spec, run, *arguments, ranks=2):
        return Launch(self, ranks, [spec, "--run", run, *arguments])

    def train(self, spec, run, *arguments, ranks=2, code=0):
        launch = self.launch(spec, run, *arguments, ranks=ranks)
        self.assertEqual(launch.wait(), code, launch.text())
        return launch.text()

    def kill_at(self, spec, run, step, ranks=2):
        """Trains on until that step is done, and kills all ranks; never a run that is at its end."""
        before = self.folder / f"before-{uuid.uuid4()}"
        before.mkdir()
        for _ in range(20):
            if run.exists():
                shutil.copytree(run, before / "run")
            launch = self.launch(spec, run, ranks=ranks)
            harness.until(f"step {step}", lambda: launch.process.poll() is not None
                          or max(curve(run), default=0) >= step)
            launch.finish()
            if records(run)[-1]["type"] != "end":
                return
            # It was faster than we were.
            shutil.rmtree(run)
            if (before / "run").exists():
                (before / "run").rename(run)
        self.fail("the runs end before they can be killed")


def records(run, kind=None):
    """Whole lines of the run's records, those of one type when kind is given."""
    path = run / "records.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [record for record in found if kind in (None, record["type"])]


def curve(run):
    """The effective curve, exactly: step -> bits, of equal steps those of the last attempt."""
    steps = {}
    for record in records(run, "step"):
        steps[record["step"]] = tuple(
            record[key] for key in ("loss_bits", "lr_bits", "grad_norm_bits", "batch_sum"))
    return steps


def ending(run):
    """What the parameters were at the end, and the receipt of the way there."""
    end = records(run, "end")[-1]
    return end["outcome"], end["step"], end["parameter_digest"], end["receipt"]


def manifests(run):
    """step -> path of the manifest, as the files are named: <step>-<generation>.json."""
    return {int(path.name.split("-")[0]): path
            for path in sorted((run / "checkpoints" / "manifests").glob("*.json"))}


def read_safetensors(path):
    """name -> (dtype, shape, bytes)."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"],
                   data[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]])
            for name, entry in header.items()}
