"""What may not change a bit: with compute.deterministic: world, the number of ranks."""

import json

import harness
import training

METHODS = {
    "full": ({"name": "full"}, {"name": "cosine", "warmup": 5}),
    "remora": ({"name": "remora", "r": 4, "merge_every": 8},
               {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3}),
}
# Operands of both types on every machine.
DTYPES = {"full": "fp32", "remora": "bf16"}


class World(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()

    def spec(self, method, **changes):
        name, schedule = METHODS[method]
        fields = {"name": f"world-{method}", "method": name, "schedule": schedule, "steps": 24,
                  "compute": {"deterministic": "world"}, "checkpoint": {"every": 6},
                  "batch": {"global": 16, "micro": 2}, "evaluate": {"every": 10}, **changes}
        fields["compute"] = {"dtype": DTYPES[method], **fields["compute"]}
        return self.tiny_spec(self.shards, **fields)

    def of(self, run):
        """All that must be equal: steps, evaluations, the end."""
        return (training.curve(run), training.ending(run),
                [(r["step"], r["loss_bits"]) for r in training.records(run, "evaluation")])

    def check_worlds(self, method):
        spec = self.spec(method)
        results = {}
        for ranks in (1, 2, 4):
            run = self.folder / f"run-{ranks}"
            self.train(spec, run, ranks=ranks)
            self.assertEqual(training.records(run, "start")[0]["world"], ranks)
            results[ranks] = self.of(run)
        self.assertEqual(len(results[1][0]), 24)
        self.assertEqual(results[2], results[1])
        self.assertEqual(results[4], results[1])
        meta = json.loads(training.manifests(run)[24].read_text())["meta"]
        self.assertEqual((meta["world"], meta["lanes"]), (4, 4))

    def test_full(self):
        self.check_worlds("full")

    def test_remora_across_merges(self):
        self.check_worlds("remora")

    def test_without_lanes_the_world_shows(self):
        """The test above would pass where sums had no order to get wrong."""
        results = []
        for ranks in (1, 2):
            run = self.folder / f"run-{ranks}"
            self.train(self.spec("full", compute={}), run, ranks=ranks)
            results.append(training.curve(run))
        self.assertNotEqual(*results)

    def test_a_run_goes_on_with_another_number_of_ranks(self):
        spec = self.spec("remora")
        straight = self.folder / "straight"
        moved = self.folder / "moved"
        self.train(spec, straight, ranks=1)
        for ranks, until in ((4, 9), (1, 17)):
            self.kill_at(spec, moved, until, ranks=ranks)
        self.train(spec, moved, ranks=2)
        starts = training.records(moved, "start")
        self.assertEqual([s["world"] for s in starts], [4, 1, 2])
        self.assertTrue(all(6 <= s["resumed_from"] < 24 for s in starts[1:]))
        self.assertEqual(training.curve(moved), training.curve(straight))
        self.assertEqual(training.ending(moved), training.ending(straight))
        self.assertEqual([w for w in training.records(moved, "warning")
                          if not w["message"].startswith("compute.dtype bf16")], [])

    def test_zero_changes_no_bit_of_run_or_checkpoint(self):
        for ranks in (2, 3):
            results = []
            for zero in (0, 1):
                spec = self.spec("remora", compute={}, batch={"global": 12, "micro": 2},
                                 launch={"ranks": ranks, "zero": zero})
                run = self.folder / f"run-{ranks}-{zero}"
                self.train(spec, run, ranks=ranks)
                manifests = [json.loads(path.read_text())
                             for path in training.manifests(run).values()]
                merges = [{k: v for k, v in r.items() if k != "time_ms"}
                          for r in training.records(run, "merge")]
                results.append((self.of(run), [m["tensors"] for m in manifests], merges))
            self.assertEqual(*results)

    def test_zero_on_and_off_take_turns(self):
        straight, mixed = self.folder / "straight", self.folder / "mixed"
        self.train(self.spec("full"), straight, ranks=2)
        for ranks, zero, until in ((2, 1, 8), (4, 0, 14), (4, 1, 20)):
            spec = self.spec("full", launch={"ranks": ranks, "zero": zero})
            self.kill_at(spec, mixed, until, ranks=ranks)
        self.train(self.spec("full", launch={"ranks": 1, "zero": 1}), mixed, ranks=1)
        self.assertEqual(self.of(mixed)[:2], self.of(straight)[:2])
        self.assertEqual(
            json.loads(training.manifests(mixed)[24].read_text())["tensors"],
            json.loads(training.manifests(straight)[24].read_text())["tensors"])

    def test_overlap_changes_no_bit(self):
        """Summed behind the backward pass, polled in it, by a thread: with and without lanes."""
        for ranks, compute, method in ((2, {"deterministic": "world"}, "remora"), (3, {}, "full"),
                                       (3, {}, "remora")):
            results = []
            for overlap in ("off", "poll", "thread"):
                spec = self.spec(method, compute=compute, batch={"global": 24, "micro": 1},
                                 steps=16, checkpoint={"every": 100},
                                 launch={"ranks": ranks, "overlap": overlap})
                run = self.folder / f"run-{ranks}-{method}-{overlap}"
                self.train(spec, run, ranks=ranks)
                self.assertEqual(training.records(run, "start")[0]["overlap"], overlap)
                results.append(self.of(run))
            self.assertEqual(results[1], results[0])
            self.assertEqual(results[2], results[0])

    def test_three_ranks_have_no_lanes(self):
        text = self.train(self.spec("full"), self.folder / "run", ranks=3, code=2)
        self.assertIn("launch.ranks: 3 ranks cannot share the 4 lanes", text)
        self.assertIn("1, 2 or 4 ranks", text)


if __name__ == "__main__":
    harness.main()
