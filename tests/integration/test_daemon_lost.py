"""What training is like while the daemon is dead or stopped: the ranks do not notice."""

import os
import random
import signal
import statistics

import harness


class DaemonLost(harness.Case):
    def long_spec(self, shards, name, steps):
        return self.tiny_spec(shards, name=name, steps=steps,
                              method={"name": "remora", "r": 4, "merge_every": steps // 4},
                              checkpoint={"every": steps // 4}, evaluate={"every": steps // 4})

    def test_a_killed_daemon_adopts_its_job_again_and_misses_no_step(self):
        daemon = self.daemon()
        steps = 8000  # some ten seconds
        job = daemon.submit(self.long_spec(self.corpus(), "orphan", steps))
        step = random.randint(1, 20)
        harness.until("training", lambda: daemon.reached(job, step))
        ranks = daemon.ranks()
        daemon.kill()
        seen = daemon.last_step(job)
        harness.until("training without a daemon", lambda: daemon.reached(job, seen + 5))
        daemon.start()
        self.assertEqual(daemon.state_of(job), "running")
        self.assertEqual(daemon.ranks(), ranks)
        daemon.wait(job)
        self.assertEqual([row["step"] for row in daemon.metrics(job)], list(range(1, steps + 1)))
        self.assertEqual(len(daemon.show(job)["attempts"]), 1)
        self.assertIn("attempt_adopted", [event["type"] for event in daemon.events(job)])

    def test_a_stopped_daemon_does_not_slow_a_step(self):
        """tests/bench/bench stopped-daemon does it for 30 s and prints exact figures."""
        seconds = 5.0
        daemon = self.daemon()
        job = daemon.submit(self.long_spec(self.corpus(), "stopped", 20000))
        harness.until("training", lambda: daemon.reached(job, 5))
        os.kill(daemon.process.pid, signal.SIGSTOP)
        begin = daemon.last_step(job)
        start_ms = daemon.records(job)[-1]["time_ms"]
        harness.until("a while with a stopped daemon",
                      lambda: daemon.records(job)[-1]["time_ms"] > start_ms + 1000 * seconds,
                      seconds + 60)
        end = daemon.last_step(job)
        os.kill(daemon.process.pid, signal.SIGCONT)
        rows = [r for r in daemon.records(job) if r["type"] == "step" and begin < r["step"] <= end]
        report = [row["report_ms"] for row in rows]
        self.assertGreater(len(rows), 20)
        # A shared machine may steal a time slice from any one step; a report that waits for the
        # stopped daemon would last for seconds.
        self.assertLess(statistics.median(report), 1.0)
        self.assertLess(max(report), 1000.0 * seconds / 4)
        daemon.remora("cancel", job)


if __name__ == "__main__":
    harness.main()
