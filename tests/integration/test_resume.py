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
        # Steps of some 10 ms, so that a kill meets the run.
        changes = {"name": name, "retry": {"max_attempts": 3}, "batch": {"global": 64, "micro": 8}}
        if method == "full":
            changes["method"] = {"name": "full"}
            changes["schedule"] = {"name": "cosine", "warmup": 5}
        else:
            changes["method"] = {"name": "remora", "r": 4, "merge_every": MERGE_EVERY}
        return self.tiny_spec(shards, **changes)

    def killed(self, daemon, shards, method, step, which):
        """A finished job of which one rank got SIGKILL once it had recorded that step."""
        for trial in range(5):
            name = f"killed-{method}-{step}-{trial}"
            job = daemon.submit(self.spec(shards, name, method))
            harness.until(f"step {step} of job {job}", lambda: daemon.reached(job, step), 120)
            ranks = daemon.ranks()
            if ranks:
                try:
                    os.kill(ranks[which % len(ranks)], signal.SIGKILL)
                except ProcessLookupError:
                    pass
            daemon.wait(job)
            if len(daemon.show(job)["attempts"]) == 2:
                return job
        raise AssertionError("every trial was over before its rank could be killed")

    def compare(self, method, kills):
        shards = self.corpus()
        daemon = self.daemon()
        straight = daemon.submit(self.spec(shards, f"straight-{method}", method))
        daemon.wait(straight)
        expected = bits(daemon.metrics(straight))
        self.assertEqual(sorted(expected), list(range(1, STEPS + 1)))
        for step, which in kills:
            with self.subTest(method=method, step=step, seed=SEED):
                job = self.killed(daemon, shards, method, step, which)
                self.assertEqual(bits(daemon.metrics(job)), expected)
                self.assertEqual(self.parameter_digest(daemon, job),
                                 self.parameter_digest(daemon, straight))

    def test_full(self):
        rng = random.Random(SEED)
        self.compare("full", [(rng.randint(1, STEPS - 15), rng.randint(0, 1)) for _ in range(3)])

    def test_remora_across_a_merge(self):
        rng = random.Random(SEED + 1)
        kills = [(rng.randint(1, STEPS - 15), rng.randint(0, 1)) for _ in range(3)]
        # One just after a merge, before the next checkpoint could have been written.
        kills.append((MERGE_EVERY + 1, 1))
        self.compare("remora", kills)


if __name__ == "__main__":
    print(f"REMORA_TEST_SEED={SEED}")
    harness.main()
