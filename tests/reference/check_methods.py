#!/usr/bin/env python3
"""check_methods.py [FAMILY[/CASE]...] — holds every method of remora-worker against PyTorch.

An independent LLaMA with each method in its paper's own form (paper_methods.py) trains for 20 steps
beside ours, in double and in fp32, with merges in between. It starts from the exported checkpoint of
step 0 and takes the batches that `remora-worker batches` prints; what is drawn at random on the way
it draws itself (philox.py). Learning rates, losses, all tensors of the last checkpoint and the merged
model must agree, and the checkpoint must have just the tensors that it should.

FAMILY and CASE are names in CASES; without any, all are checked. Exits 77 where PyTorch is missing, 1 where
CI is set and it is missing.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple

try:
    import numpy
    import torch
except ImportError:
    print("PyTorch (Debian's python3-torch) is not installed")
    sys.exit(1 if os.environ.get("CI") else 77)

import harness
import training

import paper_training
import philox

STEPS = 20


class Bounds(NamedTuple):
    """How far we may be from PyTorch, and from PyTorch in what."""
    loss: float        # of each step, relative
    trend: float       # what that is in the second half of the run, on average, over the first half
    merged: float      # of each tensor of the merged model, relative, in its L2 norm
    parameters: float  # the same of the state's own
    moments: float     # and of Adam's
    against: tuple


# By compute.dtype.
BOUNDS = {
    "fp32": Bounds(loss=5e-6, trend=5e-7, merged=5e-5, parameters=5e-5, moments=5e-5,
                   against=(torch.double, torch.float32)),
    # Operands have 8 bits. What trains began at zero or was drawn, and Adam scales gradients to its
    # own size, those next to zero as well: adapters are farther apart than the weights in use.
    "bf16": Bounds(loss=5e-3, trend=2e-3, merged=2e-2, parameters=0.5, moments=0.5,
                   against=(torch.double,)),
}

# r̂ is 17 for the attention and 20 for the MLP in the one, and divides nothing; it is 12 and 18 in the
# other, and divides everything.
SHAPES = {
    "uneven": ({"hidden_size": 28, "intermediate_size": 50, "num_attention_heads": 2}, 5),
    "even": ({"hidden_size": 36, "intermediate_size": 126, "num_attention_heads": 2}, 2),
}

# The first update behind a reset is lr g / (|g| + eps). With an eps of 1e-8 rounding decides it where a
# gradient happens to be next to zero: single elements then end lr apart, PyTorch's in fp32 and in
# double no less than ours. Gradients are 1e-2 here, so this eps counts, but bounds what rounding does.
OPTIMIZER = {"lr": 0.003, "betas": [0.9, 0.99], "eps": 1e-4, "weight_decay": 0.1, "clip_norm": 0.7}
COSINE = {"name": "cosine", "warmup": 3}
LINEAR = {"name": "linear", "warmup": 2, "min_lr_ratio": 0.2}
CONSTANT = {"name": "constant", "warmup": 4}
JAGGED = {"name": "jagged_cosine", "warmup": 3, "restart_warmup": 2}
MORA_HF = {"name": "mora_hf", "warmup": 3, "restart_warmup": 2}
UNWARMED = {**MORA_HF, "unwarmed_first": True}
Q_AND_DOWN = {"targets": ["q_proj", "down_proj"], "train": []}
ZERO = {"pad": "zero"}
ROTATION = {"operator": "rotation"}
DECOUPLING = {"operator": "decoupling"}
RANDOM = {"reset": "random", "reset_ratio": 0.7}
MAGNITUDE = {"reset": "magnitude", "reset_ratio": 0.7}


def case(name, schedule=COSINE, shapes=("uneven", "even"), **method):
    return {"method": {"name": name, **method}, "schedule": schedule, "shapes": shapes}


# Merges: with merge_every 7, after steps 7 and 14; with 10, after step 10; with full-rank steps, at
# their end, too.
CASES = {
    "lora": {
        "full": case("full", LINEAR),
        "full, with the embeddings as they are": case("full", shapes=["even"], train=["norms"]),
        "lora": case("lora", alpha=4.0),
        "lora of q and down": case("lora", CONSTANT, **Q_AND_DOWN),
        "lora behind full rank": case("lora", full_rank_steps=6),
        "lora_plus": case("lora_plus", lr_ratio=3.0),
        "asylora": case("asylora"),
        "asylora that trains a": case("asylora", freeze_a=False),
        "asylora behind full rank": case("asylora", shapes=["uneven"], full_rank_steps=6),
        "dora": case("dora"),
        "dora behind full rank": case("dora", full_rank_steps=6),
        "relora": case("relora", JAGGED, merge_every=10),
        "relora at random": case("relora", merge_every=7, **RANDOM),
        "relora by magnitude": case("relora", merge_every=7, **MAGNITUDE),
        "relora behind full rank": case("relora", JAGGED, merge_every=8, full_rank_steps=4, **RANDOM),
    },
    "mora": {
        "type 1": case("mora", train=["norms", "head"]),
        "type 1, zeros": case("mora", LINEAR, ["uneven"], **ZERO),
        "type 2": case("mora", columns="blocks", rows="interleave"),
        "type 3": case("mora", columns="blocks"),
        "type 4": case("mora", rows="interleave"),
        "type 4, zeros": case("mora", LINEAR, ["uneven"], rows="interleave", **ZERO),
        "rounded down": case("mora", shapes=["uneven"], rhat_rule="floor"),
        "as large as the weight": case("mora", shapes=["uneven"], r=20),
        "of q and down": case("mora", CONSTANT, **Q_AND_DOWN),
        "behind full rank": case("mora", full_rank_steps=6),
        "truncation": case("mora", operator="truncation"),
        "decoupling": case("mora", **DECOUPLING),
        "decoupling, zeros, folded": case("mora", fold=True, **DECOUPLING, **ZERO),
        "rotation": case("mora", **ROTATION),
        "rotation, zeros": case("mora", LINEAR, ["uneven"], **ROTATION, **ZERO),
        "rotation, folded": case("mora", fold=True, **ROTATION),
        "rotation, interleaved": case("mora", pairing="interleaved", **ROTATION),
        "rotation, interleaved, folded": case("mora", fold=True, pairing="interleaved", **ROTATION),
    },
    "remora": {
        "paper": case("remora", JAGGED, merge_every=10),
        "paper, at random": case("remora", merge_every=7, **RANDOM),
        "paper, by magnitude, zeros": case("remora", merge_every=7, **MAGNITUDE, **ZERO),
        "paper behind full rank": case("remora", JAGGED, merge_every=8, full_rank_steps=4),
        "official": case("remora", MORA_HF, merge_every=4, groups="official"),
        "official of q and down": case("remora", UNWARMED, merge_every=5, groups="official",
                                       **Q_AND_DOWN),
        "permuted": case("remora", merge_every=7, groups="permuted"),
        "permuted, by magnitude": case("remora", merge_every=7, groups="permuted", **MAGNITUDE),
        "permuted behind full rank": case("remora", merge_every=7, groups="permuted",
                                          full_rank_steps=4, **RANDOM),
        "truncation": case("remora", merge_every=7, operator="truncation"),
        "decoupling": case("remora", merge_every=7, **DECOUPLING, **RANDOM),
        "rotation": case("remora", JAGGED, merge_every=10, fold=True, **ROTATION),
        "rotation, interleaved": case("remora", merge_every=7, pairing="interleaved", **ROTATION,
                                      **MAGNITUDE),
    },
}


# ---- Our side ----

def read_safetensors(path):
    """name -> tensor, in the order of the data."""
    data = path.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__")
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = entry["data_offsets"]
        assert entry["dtype"] == "F32", name
        values = numpy.frombuffer(data[begin + first:begin + last], "<f4")
        tensors[name] = torch.from_numpy(values.copy()).reshape(entry["shape"])
    return tensors


class Worker:
    """The program and a folder that it works in."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = harness.environment(OMP_WAIT_POLICY="passive", **harness.mpi_folders(folder))
        self.tokens = None

    def run(self, *arguments):
        result = subprocess.run([harness.BIN / "remora-worker", *map(str, arguments)],
                                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            sys.exit(f"remora-worker {' '.join(map(str, arguments))} ended with {result.returncode}:\n"
                     f"{result.stdout}{result.stderr}")
        return result.stdout

    def prepare(self):
        self.run("synth", "medline", "--records", 120, "--seed", 3, "--output", "corpus.xml")
        self.run("prepare", "corpus.xml", "--output", "shards", "--train-tokenizer", 340,
                 "--validation-fraction", 0.1)

    def write_spec(self, what, shape, dtype):
        config, r = SHAPES[shape]
        method = dict(what["method"])
        if method["name"] != "full":
            method.setdefault("r", r)
        spec = {
            "kind": "train", "name": "reference", "seed": 2**33 + 21,
            "model": {"config": {**config, "num_hidden_layers": 2, "initializer_range": 0.15},
                      "tokenizer": "shards/tokenizer.model"},
            "data": {"train": [{"shards": "shards/train"}], "sequence_length": 16,
                     "validation": {"shards": "shards/validation", "sequences": 1}},
            "method": method, "schedule": what["schedule"],
            "optimizer": OPTIMIZER,
            "batch": {"global": 4, "micro": 2}, "steps": STEPS, "compute": {"dtype": dtype},
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        return spec

    def batches(self, records):
        """[step][sequence][token]: of all our specs, since these differ in none of what decides."""
        if self.tokens is None:
            text = self.run("batches", "spec.json", "--steps", STEPS, "--json")
            self.tokens = torch.tensor(json.loads(text))
        for record, batch in zip(records, self.tokens):
            places = torch.arange(1, batch.numel() + 1)
            assert record["batch_sum"] == (batch.flatten() * places).sum().item() % 2**32
        return self.tokens

    def train(self, run):
        self.run("train", "spec.json", "--run", run)
        records = training.records(self.folder / run, "step")
        assert [record["step"] for record in records] == list(range(1, STEPS + 1))
        return records

    def export(self, checkpoint, *options):
        """The tensors of the merged model, or with --raw of the state."""
        to = f"{checkpoint}{''.join(options)}"
        self.run("export", checkpoint, "--to", to, *options)
        name = "raw" if options else "model"
        return read_safetensors(self.folder / to / f"{name}.safetensors")


# ---- The comparison ----

class Comparison:
    """What was compared: the worst of each sort, and all that is beyond its bound."""

    def __init__(self):
        self.worst = {}
        self.failures = []

    def note(self, what, name, error, bound):
        if error >= self.worst.get(what, (0.0, ""))[0]:
            self.worst[what] = (error, name)
        if not error <= bound:
            self.failures.append(f"{what} {name}: {error:.2e} is above {bound:.0e}")

    def tensors(self, what, ours, theirs, bound):
        """The same names, and the same values up to bound."""
        for name in sorted(set(ours) ^ set(theirs)):
            self.failures.append(f"{what} {name}: {'not due' if name in ours else 'missing'}")
        for name in sorted(set(ours) & set(theirs)):
            actual, expected = ours[name].double(), theirs[name].double()
            if actual.shape != expected.shape:
                self.failures.append(f"{what} {name}: {list(actual.shape)} is not the shape")
                continue
            error = (actual - expected).norm()
            scale = expected.norm()
            self.note(what, name, (error / scale if scale > 0.0 else error).item(), bound)

    def text(self):
        return ", ".join(f"{what} {error:.1e}" for what, (error, _) in self.worst.items())


def is_moment(name):
    return name.endswith((".exp_avg", ".exp_avg_sq"))


def model_tensors(raw):
    return {name: value for name, value in raw.items() if name.endswith(".weight")}


def initial_matrices(spec, start, numbers):
    """What the model's matrices are before step 1; its gains are 1."""
    deviation = spec["model"]["config"]["initializer_range"]
    return {name: torch.from_numpy(philox.Draws(spec["seed"], numbers[name]).initial(
                tuple(value.shape), deviation)) if value.dim() == 2 else torch.ones(value.shape)
            for name, value in model_tensors(start).items()}


def compare_steps(found, theirs, spec, bounds, run):
    """Trains theirs beside the records of run."""
    deviations = []
    for step, (record, batch) in enumerate(zip(run["records"], run["tokens"]), start=1):
        rate = spec["optimizer"]["lr"] * paper_training.rate(spec, step - 1)
        found.note("rate", f"of step {step}", abs(record["lr"] - rate), 1e-12)
        deviations.append(record["loss"] / theirs.step(step, batch) - 1.0)
        found.note("loss", f"of step {step}", abs(deviations[-1]), bounds.loss)
    trend = numpy.mean(deviations[STEPS // 2:]) - numpy.mean(deviations[:STEPS // 2])
    found.note("trend", "of the losses", abs(trend), bounds.trend)


def compare_run(spec, bounds, run, dtype):
    """One training of ours against PyTorch's in dtype."""
    found = Comparison()
    start = run["start"]
    numbers = {name: number for number, name in enumerate(start)}
    theirs = paper_training.Training(spec, model_tensors(start), numbers, dtype)
    first = {**theirs.state(), **theirs.bases(), **initial_matrices(spec, start, numbers)}
    found.tensors("start", start, first, 1e-6)
    compare_steps(found, theirs, spec, bounds, run)
    last = {**theirs.state(), **theirs.bases()}
    for what, bound, wanted in (("parameters", bounds.parameters, False),
                                ("moments", bounds.moments, True)):
        ours, expected = ({name: value for name, value in tensors.items() if is_moment(name) == wanted}
                          for tensors in (run["state"], last))
        found.tensors(what, ours, expected, bound)
    found.tensors("merged", run["merged"], theirs.merged(), bounds.merged)
    return found


def check(worker, title, what, shape, dtype):
    spec = worker.write_spec(what, shape, dtype)
    name = "-".join([spec["method"]["name"], *title.replace(",", "").split(), shape, dtype])
    run = {"records": worker.train(name)}
    run["start"] = worker.export(f"{name}@0", "--raw")
    run["state"] = worker.export(f"{name}@{STEPS}", "--raw")
    run["merged"] = worker.export(f"{name}@{STEPS}")
    run["tokens"] = worker.batches(run["records"])
    is_right = True
    for precision in BOUNDS[dtype].against:
        found = compare_run(spec, BOUNDS[dtype], run, precision)
        print(f"{title}, {shape}, {dtype} against {precision}: {found.text()}")
        for failure in found.failures:
            print(f"  {failure}")
        is_right = is_right and not found.failures
    return is_right


def chosen(arguments):
    """(title, case) of those that are named."""
    for argument in arguments or CASES:
        family, _, title = argument.partition("/")
        yield from [(title, CASES[family][title])] if title else CASES[family].items()


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="remora-test.") as folder:
        worker = Worker(pathlib.Path(folder))
        worker.prepare()
        results = [check(worker, title, what, shape, dtype)
                   for title, what in chosen(sys.argv[1:])
                   for shape in what["shapes"] for dtype in BOUNDS
                   if dtype == "fp32" or shape == what["shapes"][0]]
    print(f"{results.count(True)} of {len(results)} runs agree")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
