"""remorad is killed at every step of an attempt's life; the next one finds out the truth."""

import os
import signal
import subprocess
import time

import harness
import remorad

# Between each two steps of launch and end, as daemon/fault.h lists them.
DAEMON_POINTS = ["starting_appended", "starting_committed", "prepared", "spawned", "ready_seen",
                 "started_committed", "end_seen", "ended_appended", "ended_committed"]
SHIM_POINTS = ["shim_begun", "shim_locked", "shim_recorded", "shim_launched", "shim_ended"]
FAULT = remorad.TOOLS / "remorad-fault"


class Restart(remorad.Case):
    def no_attempt_ran_twice(self, daemon, job):
        launches = [(attempt, rank) for attempt, rank, _ in daemon.launches(job)]
        self.assertEqual(len(launches), len(set(launches)), launches)

    def each_point(self, points, check):
        for point in points:
            with self.subTest(point=point):
                daemon = remorad.Remorad(self)
                daemon.state = self.folder / point
                try:
                    daemon.start(FAULT, REMORA_FAULT=point)
                    check(daemon, point)
                finally:
                    daemon.finish()

    def test_a_daemon_killed_at_any_step_of_a_launch_loses_and_doubles_nothing(self):
        def check(daemon, point):
            job = 1
            try:
                daemon.submit("plain", ranks=2, steps=6)
            except ConnectionError:
                pass  # killed before the answer: the job may or may not be there
            self.assertEqual(daemon.process.wait(60), -signal.SIGKILL)
            daemon.start()
            if not daemon.call("job.list", all=True)["jobs"]:
                self.assertEqual(point, "starting_appended")
                job = daemon.submit("plain", ranks=2, steps=6)
            detail = daemon.wait(job, "succeeded")
            self.no_attempt_ran_twice(daemon, job)
            self.assertEqual(daemon.steps(job), list(range(1, 7)))
            started = [a for a in detail["attempts"] if a["reason"]["type"] != "never_started"]
            self.assertEqual(len(started), 1, detail["attempts"])

        self.each_point(DAEMON_POINTS, check)

    def test_a_shim_killed_at_any_step_is_found_out(self):
        def check(daemon, point):
            # Every shim of this daemon dies at the point: no attempt can succeed.
            job = daemon.submit("plain", ranks=2, steps=6, attempts=2)
            harness.until("an attempt has ended", lambda:
                          "attempt_ended" in daemon.event_types(job))
            reason = daemon.job(job)["attempts"][0]["reason"]["type"]
            has_record = point not in ("shim_begun", "shim_locked")
            self.assertEqual(reason, "shim_lost" if has_record else "launch_failed", point)
            daemon.wait(job, "failed")
            daemon.restart()
            daemon.call("job.resume", job=job)
            daemon.wait(job, "succeeded")
            self.no_attempt_ran_twice(daemon, job)
            self.assertEqual(daemon.steps(job), list(range(1, 7)))

        self.each_point(SHIM_POINTS, check)

    def test_a_late_shim_of_a_dead_daemon_does_not_start(self):
        daemon = self.remorad().start(FAULT, REMORA_FAULT="prepared")
        try:
            daemon.submit("plain", steps=6)
        except ConnectionError:
            pass
        daemon.process.wait(60)
        daemon.start()
        daemon.wait(1, "succeeded")
        folder = daemon.state / "jobs" / "1" / "attempts" / "1"
        late = subprocess.run([harness.BIN / "remorad", "--shim", folder], check=False,
                              pass_fds=(), env=harness.environment())
        self.assertNotEqual(late.returncode, 0)
        self.assertNotIn(1, [attempt for attempt, _, _ in daemon.launches(1)])

    def test_a_killed_daemon_s_job_runs_on_and_is_adopted(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", ranks=2, steps=150, step_ms=10)
        daemon.reach(job, 10)
        daemon.kill()
        records = daemon.run_folder(job) / "records.jsonl"
        size = records.stat().st_size
        harness.until("the job runs on", lambda: records.stat().st_size > size + 2000)
        daemon.start()
        detail = daemon.wait(job, "succeeded")
        self.assertEqual(len(detail["attempts"]), 1)
        self.assertEqual(daemon.steps(job), list(range(1, 151)))
        self.assertIn("attempt_adopted", daemon.event_types(job))
        self.no_attempt_ran_twice(daemon, job)

    def test_a_job_that_ended_without_a_daemon_is_found(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", steps=60, step_ms=5)
        daemon.wait(job, "running")
        daemon.kill()
        exit_record = daemon.state / "jobs" / str(job) / "attempts" / "1" / "exit.json"
        harness.until("the shim has ended", exit_record.exists)
        daemon.start()
        daemon.wait(job, "succeeded")
        self.assertEqual(daemon.steps(job), list(range(1, 61)))

    def test_shim_and_daemon_killed_together(self):
        daemon = self.remorad().start()
        job = daemon.submit("stubborn", ranks=2, steps=60, step_ms=20)
        daemon.reach(job, 6)
        first = [pid for _, _, pid in daemon.launches(job)]
        daemon.kill()
        os.kill(next(iter(daemon.shims().values()))["pid"], signal.SIGKILL)
        daemon.start()
        harness.until("the second attempt runs", lambda: len(daemon.launches(job)) >= 4)
        self.assertFalse([pid for pid in first if remorad.alive(pid)])
        daemon.wait(job, "succeeded")
        self.assertEqual(daemon.steps(job), list(range(1, 61)))

    def test_a_cancel_survives_the_daemon(self):
        daemon = self.remorad().start()
        job = daemon.submit("stubborn", ranks=2, steps=5000, step_ms=10)
        harness.until("both ranks run", lambda: len(daemon.launches(job)) == 2)
        daemon.call("job.cancel", job=job)
        daemon.restart()
        daemon.wait(job, "cancelled")
        self.assertEqual(daemon.job_processes(), [])

    def test_with_fewer_slots_the_end_of_one_attempt_frees_nobody_else_s(self):
        cores = os.sched_getaffinity(0)
        if len(cores) < 2:
            self.skipTest("needs two cores")
        os.sched_setaffinity(0, sorted(cores)[:2])
        self.addCleanup(os.sched_setaffinity, 0, cores)
        daemon = self.remorad(slots=4).start()
        first, second = [daemon.submit(f"pair-{i}", ranks=2, steps=5000, step_ms=10)
                         for i in range(2)]
        for job in (first, second):
            daemon.wait(job, "running")
        daemon.slots = 2
        daemon.restart()
        waiting = daemon.submit("waiting", ranks=2, steps=1)
        daemon.call("job.cancel", job=first)
        daemon.wait(first, "cancelled")
        time.sleep(0.5)  # time enough to start what must not start
        self.assertEqual(daemon.call("daemon.status")["slots"], {"total": 2, "free": 0})
        self.assertEqual(daemon.state_of(waiting), "queued")
        daemon.call("job.cancel", job=second)
        daemon.wait(waiting, "succeeded")

    def test_shutdown_leaves_attempts_alone(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", steps=150, step_ms=10)
        daemon.reach(job, 3)
        daemon.call("daemon.shutdown")
        self.assertEqual(daemon.process.wait(20), 0)
        self.assertFalse(daemon.socket.exists())
        self.assertTrue(daemon.job_processes())
        daemon.start()
        self.assertEqual(len(daemon.wait(job, "succeeded")["attempts"]), 1)

    def test_lost_metrics_are_read_again_from_the_run_folders(self):
        daemon = self.remorad().start()
        jobs = [daemon.submit(name, steps=30) for name in ("plain", "crash")]
        for job in jobs:
            daemon.wait(job, "succeeded")
        before = [daemon.call("job.metrics", job=job, superseded=True) for job in jobs]
        events = daemon.events()
        for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"x" * 5000)):
            daemon.kill()
            for path in daemon.state.glob("metrics.db-*"):
                path.unlink()
            damage(daemon.state / "metrics.db")
            daemon.start()
            harness.until("the metrics are back", lambda: before == [
                daemon.call("job.metrics", job=job, superseded=True) for job in jobs])
        self.assertEqual(daemon.events(), events)

    def test_a_second_daemon_is_refused(self):
        daemon = self.remorad().start()
        other = subprocess.run(daemon.command()[:3] + ["--socket", str(self.folder / "other.sock")],
                               capture_output=True, text=True, check=False)
        self.assertEqual(other.returncode, 7, other.stderr)
        self.assertIn(f"process {daemon.process.pid}", other.stderr)
        other = subprocess.run([harness.BIN / "remorad", "--state-dir", self.folder / "other",
                                "--socket", daemon.socket], capture_output=True, text=True,
                               check=False)
        self.assertEqual(other.returncode, 7, other.stderr)
        daemon.call("daemon.status")

    def test_a_damaged_queue_is_said_clearly(self):
        daemon = self.remorad().start()
        daemon.wait(daemon.submit("plain", steps=1), "succeeded")
        daemon.kill()
        good = {path: path.read_bytes() for path in daemon.state.glob("queue.db*")}
        for path in good:
            path.unlink()
        (daemon.state / "queue.db").write_bytes(b"this is no database" * 1000)
        failed = subprocess.run(daemon.command(), capture_output=True, text=True, check=False)
        self.assertEqual(failed.returncode, 6, failed.stderr)
        self.assertIn("queue.db", failed.stderr)
        self.assertIn("run folders", failed.stderr)
        for path, data in good.items():
            path.write_bytes(data)
        daemon.start()
        self.assertEqual(len(daemon.call("job.list", all=True)["jobs"]), 1)

    def test_a_full_disk_is_said_and_survived(self):
        daemon = self.remorad()
        daemon.state.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", daemon.state],
                                 capture_output=True, check=False)
        if mounted.returncode != 0:
            self.skipTest("may not mount a file system")
        self.addCleanup(subprocess.run, ["umount", "-l", daemon.state], check=True)
        filler = daemon.state / "filler"

        def fill():
            with open(filler, "ab", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 4096)
                except OSError:
                    pass

        fill()
        failed = subprocess.run(daemon.command(), capture_output=True, text=True, check=False)
        self.assertEqual(failed.returncode, 9, failed.stderr)
        self.assertIn("make room", failed.stderr)
        filler.unlink()
        daemon.start()
        running = daemon.submit("plain", steps=60, step_ms=20)
        daemon.wait(running, "running")
        fill()
        with self.assertRaises(remorad.RpcError) as caught:
            for _ in range(50):  # what is allocated already may take some
                daemon.submit("later", steps=1)
                fill()
        self.assertEqual(caught.exception.data["status"], "no_space")
        filler.unlink()
        daemon.wait(running, "succeeded")
        daemon.wait(daemon.submit("after", steps=1), "succeeded")

    def test_it_is_ready_soon_and_goes_to_the_background(self):
        daemon = self.remorad()
        begin = time.monotonic()
        result = subprocess.run([*daemon.command(), "--daemonize"], capture_output=True, text=True,
                                check=True)
        connection = remorad.Connection(daemon.socket)
        self.assertLess(time.monotonic() - begin, 0.2 * harness.PATIENCE)
        status = connection.call("daemon.status")
        self.assertIn(f"process {status['pid']}", result.stdout)
        refused = subprocess.run([*daemon.command(), "--daemonize"], capture_output=True, text=True,
                                 check=False)
        self.assertEqual(refused.returncode, 7, refused.stderr)
        self.assertEqual((daemon.state / "daemon.log").stat().st_mode & 0o777, 0o600)
        connection.call("daemon.shutdown")
        harness.until("it has ended", lambda: not remorad.alive(status["pid"]))


if __name__ == "__main__":
    harness.main()
