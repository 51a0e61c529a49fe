"""What changes no bit of any method's run: being killed, resuming with another number of ranks, threads and
shards of the optimizer's state."""

import json

import harness
import training

COSINE = {"name": "cosine", "warmup": 4}
JAGGED = {"name": "jagged_cosine", "warmup": 4, "restart_warmup": 2}
CYCLES = {"r": 3, "merge_every": 8}
METHODS = [
    {"name": "full"},
    {"name": "lora", "r": 3, "full_rank_steps": 6},
    {"name": "lora_plus", "r": 3},
    {"name": "asylora", "r": 3},
    {"name": "dora", "r": 3, "full_rank_steps": 6},
    {"name": "relora", **CYCLES, "reset": "magnitude"},
    {"name": "mora", "r": 3, "operator": "truncation"},
    {"name": "mora", "r": 3, "operator": "decoupling", "fold": True},
    {"name": "mora", "r": 3, "operator": "rotation", "targets": ["q_proj", "up_proj"], "train": []},
    {"name": "remora", **CYCLES, "groups": "official", "reset": "random"},
    {"name": "remora", **CYCLES, "groups": "permuted"},
    {"name": "remora", **CYCLES, "operator": "rotation"},
]
STEPS = 24


class Methods(training.Case):
    """In the lanes of compute.deterministic: world, so that the ranks may change, too."""

    def setUp(self):
        super().setUp()
        self.shards = self.corpus()

    def spec(self, method, ranks, threads, zero):
        schedule = JAGGED if "merge_every" in method else COSINE
        return self.tiny_spec(
            self.shards, method=method, schedule=schedule, steps=STEPS,
            batch={"global": 8, "micro": 1}, compute={"deterministic": "world"},
            launch={"ranks": ranks, "threads_per_rank": threads, "zero": zero},
            checkpoint={"every": 4}, evaluate={"every": 12})

    def test_a_killed_run_goes_on_with_the_same_bits(self):
        for number, method in enumerate(METHODS):
            with self.subTest(method=json.dumps(method)):
                straight, killed = self.folder / f"straight-{number}", self.folder / f"killed-{number}"
                self.train(self.spec(method, 1, 2, 0), straight, ranks=1)
                # Within the first cycle or full-rank steps for some, between two merges for others.
                self.kill_at(self.spec(method, 2, 1, 1), killed, 5 if number % 2 == 0 else 14)
                self.train(self.spec(method, 1, 3, 1), killed, ranks=1)
                self.assertEqual(training.curve(killed), training.curve(straight))
                self.assertEqual(training.ending(killed), training.ending(straight))
                tensors = [json.loads(training.manifests(run)[STEPS].read_text())["tensors"]
                           for run in (straight, killed)]
                self.assertEqual(*tensors)
                self.assertEqual(training.records(straight, "end")[0]["allocations"], 0)


if __name__ == "__main__":
    harness.main()
