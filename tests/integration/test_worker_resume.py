"""A run that is killed anywhere and resumed has the same bits as one that is not."""

import os
import random
import signal

import harness
import training

METHODS = {
    "full": {"name": "full"},
    "remora": {"name": "remora", "r": 4, "merge_every": 20},
}
SCHEDULES = {
    "full": {"name": "cosine", "warmup": 5},
    "remora": {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3},
}
# Operands of both types on every machine.
DTYPES = {"full": "fp32", "remora": "bf16"}
KILLS = 6 if harness.PATIENCE == 1 else 2  # under sanitizers the path counts, not the number


class Resume(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.seed = int(os.environ.get("REMORA_TEST_SEED", random.randrange(1 << 30)))
        print(f"REMORA_TEST_SEED={self.seed} repeats this")
        self.random = random.Random(self.seed)

    def spec(self, method, **changes):
        return self.tiny_spec(self.shards, name=f"tiny-{method}", method=METHODS[method],
                              schedule=SCHEDULES[method], checkpoint={"every": 7, "keep_last": 2},
                              **{"compute": {"dtype": DTYPES[method]}, **changes})

    def assert_same(self, run, straight):
        self.assertEqual(training.curve(run), training.curve(straight))
        self.assertEqual(training.ending(run), training.ending(straight))

    def start_until(self, spec, run, step):
        """Starts an attempt and waits until that step is done, or all of them are."""
        launch = self.launch(spec, run)
        harness.until(f"step {step}", lambda: launch.process.poll() is not None
                      or max(training.curve(run), default=0) >= step)
        return launch

    def kill_once(self, spec, run):
        """Kills one rank when a random step is done; False when the run was faster."""
        step = self.random.randint(min(max(training.curve(run), default=0) + 1, 59), 59)
        rank = self.random.randrange(2)
        launch = self.start_until(spec, run, step)
        ranks = launch.ranks()
        if launch.process.poll() is None and len(ranks) == 2:
            os.kill(ranks[rank], signal.SIGKILL)
        code = launch.wait()
        print(f"rank {rank} killed at step {step}: mpirun ends with {code}")
        return code != 0

    def check_method(self, method):
        spec = self.spec(method)
        straight = self.folder / "straight"
        self.train(spec, straight)
        kills = 0
        trials = 0
        while kills < KILLS:
            run = self.folder / f"killed-{trials}"
            trials += 1
            self.assertLess(trials, 4 * KILLS, "the runs end before they can be killed")
            # Two in a row: what was resumed is killed, too.
            kills += self.kill_once(spec, run)
            kills += self.kill_once(spec, run)
            self.train(spec, run)
            self.assert_same(run, straight)

    def test_full(self):
        self.check_method("full")

    def test_remora_across_merges(self):
        self.check_method("remora")

    def test_mpirun_and_all_ranks_killed(self):
        spec = self.spec("remora")
        straight = self.folder / "straight"
        run = self.folder / "killed"
        self.train(spec, straight)
        launch = self.start_until(spec, run, 25)
        launch.finish()
        launch.wait()
        self.train(spec, run)
        self.assert_same(run, straight)

    def test_a_stop_and_a_resume(self):
        spec = self.spec("remora")
        straight = self.folder / "straight"
        run = self.folder / "stopped"
        self.train(spec, straight)
        launch = self.start_until(spec, run, 1)
        launch.process.send_signal(signal.SIGUSR1)
        launch.wait()
        self.train(spec, run)
        self.assert_same(run, straight)

    def test_a_damaged_checkpoint_is_passed_over(self):
        spec = self.spec("remora", compute={"dtype": "fp32"})
        run = self.folder / "run"
        self.train(spec, run)
        ending = training.ending(run)
        curve = training.curve(run)
        newest = training.manifests(run)[60].read_text()
        older = training.manifests(run)[56].read_text()
        blob = next(path for path in sorted((run / "checkpoints" / "blobs").glob("*/*"))
                    if path.name in newest and path.name not in older)
        data = bytearray(blob.read_bytes())
        data[-1] ^= 1
        blob.write_bytes(data)
        self.train(spec, run)
        warning, = training.records(run, "warning")
        self.assertIn("step 60", warning["message"])
        self.assertIn(blob.name[:8], warning["message"])
        self.assertEqual(training.records(run, "start")[-1]["resumed_from"], 56)
        self.assertEqual(training.ending(run), ending)
        self.assertEqual(training.curve(run), curve)

    def test_a_torn_record_is_dropped(self):
        spec = self.spec("full", steps=20)
        run = self.folder / "run"
        self.train(spec, run)
        with open(run / "records.jsonl", "ab") as file:
            file.write(b'{"type": "step", "st')
        self.train(spec, run)
        self.assertEqual(len(training.records(run, "end")), 2)


if __name__ == "__main__":
    harness.main()
