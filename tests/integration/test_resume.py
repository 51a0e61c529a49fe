"""Through the daemon: a run whose ranks are killed at random steps ends with the same bits as one that
was left alone: losses, learning rates and gradient norms of every step and the final parameters."""

import os
import random
import signal

import harness

SEED = int(os.environ.get("REMORA_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
STEPS = 60
MERGE_EVERY = 20


def bits(rows):
    return {row["step"]: (row["loss_bits"], row["lr_bits"], row["grad_norm_bits"]) for row in rows}


class Resume(harness.Case):
    def parameter_digest(self, daemon, job):
        ends = [r for r in daemon.records(job) if r["type"] == "end"]
        self.assertEqual(ends[-1]["outcome"], "succeeded")
        return ends[-1]["parameter_digest"]

    def spec(self, shards, name, method):
        changes = {"name": name, "retry": {"max_attempts": 3}}
        if method == "full":
            changes["method"] = {"name": "full"}
            changes["schedule"] = {"name": "cosine", "warmup": 5}
        else:
            changes["method"] = {"name": "remora", "r": 4, "merge_every": MERGE_EVERY}
        return self.tiny_spec(shards, **changes)

    def kill_at(self, daemon, job, step, which):
        """SIGKILL of one rank once the run has recorded that step."""
        harness.until(f"step {step} of job {job}", lambda: daemon.reached(job, step), 120)
        ranks = daemon.ranks()
        self.assertTrue(ranks, "the job has no ranks to kill any more")
        os.kill(ranks[which % len(ranks)], signal.SIGKILL)

    def compare(self, method, kills):
        shards = self.corpus()
        daemon = self.daemon()
        straight = daemon.submit(self.spec(shards, "straight", method))
        daemon.wait(straight)
        expected = bits(daemon.metrics(straight))
        self.assertEqual(sorted(expected), list(range(1, STEPS + 1)))
        for number, (step, which) in enumerate(kills):
            with self.subTest(method=method, step=step, seed=SEED):
                job = daemon.submit(self.spec(shards, f"killed-{number}", method))
                self.kill_at(daemon, job, step, which)
                daemon.wait(job)
                shown = daemon.show(job)
                self.assertEqual(len(shown["attempts"]), 2)
                self.assertEqual(bits(daemon.metrics(job)), expected)
                self.assertEqual(self.parameter_digest(daemon, job),
                                 self.parameter_digest(daemon, straight))

    def test_full(self):
        rng = random.Random(SEED)
        self.compare("full", [(rng.randint(1, STEPS - 10), rng.randint(0, 1)) for _ in range(2)])

    def test_remora_across_a_merge(self):
        rng = random.Random(SEED + 1)
        kills = [(rng.randint(1, STEPS - 10), rng.randint(0, 1)) for _ in range(2)]
        # One just after a merge, before the next checkpoint could have been written.
        kills.append((MERGE_EVERY + 1, 1))
        self.compare("remora", kills)


if __name__ == "__main__":
    print(f"REMORA_TEST_SEED={SEED}")
    harness.main()
