"""The life of jobs under a real remorad, real mpirun and scripted workers: success, failure, retry,
cores, cancel, and that nothing of a job is left behind."""

import json
import os
import pathlib
import shutil
import signal
import time

import harness
import remorad


class Jobs(remorad.Case):
    def test_a_job_runs_to_its_end_under_mpirun(self):
        daemon = self.remorad().start()
        before = remorad.now_ms()
        job = daemon.submit("plain", ranks=2, steps=12)
        detail = daemon.wait(job, "succeeded")
        self.assertEqual(daemon.steps(job), list(range(1, 13)))
        self.assertEqual(sorted(rank for _, rank, _ in daemon.launches(job)), [0, 1])
        self.assertEqual(detail["job"]["step"], 12)
        self.assertEqual(detail["job"]["reason"]["type"], "completed")
        self.assertEqual(detail["checkpoint"]["step"], 10)
        self.assertEqual(detail["evaluation"]["perplexity"], 7.4)
        self.assertGreaterEqual(detail["job"]["ended_ms"], before)
        log = daemon.call("job.logs", job=job)
        self.assertIn("rank 1 of attempt 1 runs", log["text"])
        self.assertEqual((log["offset"], log["ended"]), (log["size"], True))

    def test_the_first_rank_runs_soon_after_submit(self):
        daemon = self.remorad().start()
        begin = time.monotonic()
        job = daemon.submit("plain", ranks=2, steps=1)
        harness.until("the first rank runs", lambda: daemon.launches(job))
        self.assertLess(time.monotonic() - begin, 1.5 * harness.PATIENCE)
        daemon.wait(job, "succeeded")

    def test_a_crashed_attempt_is_retried_from_its_checkpoint(self):
        daemon = self.remorad().start()
        job = daemon.submit("crash", ranks=2, steps=30, step_ms=5)
        detail = daemon.wait(job, "succeeded")
        first, second = detail["attempts"]
        self.assertEqual((first["state"], first["reason"]["type"]), ("failed", "worker_killed"))
        self.assertEqual((second["state"], second["resumed_from"]), ("succeeded", 15))
        self.assertEqual(daemon.steps(job), list(range(1, 31)))
        self.assertIn("job_requeued", daemon.event_types(job))

    def test_attempts_run_out(self):
        daemon = self.remorad().start()
        job = daemon.submit("doomed", steps=10, attempts=2)
        detail = daemon.wait(job, "failed")
        self.assertEqual(len(detail["attempts"]), 2)
        self.assertIn("attempt 2 of 2", detail["job"]["reason"]["evidence"])
        self.assertEqual(detail["job"]["reason"]["hint"], f"remora logs {job}")
        daemon.call("job.resume", job=job)
        self.assertEqual(len(daemon.wait(job, "failed")["attempts"]), 4)

    def attempt(self, daemon, job, number):
        """Waits until it has ended and the job is queued again."""
        def failed():
            detail = daemon.job(job)
            return detail["job"]["state"] == "queued" and detail["attempts"][number - 1:]
        return harness.until(f"attempt {number} has failed", failed, 30)[0]

    def test_a_failing_job_waits_longer_each_time_and_lets_others_go_first(self):
        daemon = self.remorad(slots=1).start()
        job = daemon.submit("doomed", steps=2, attempts=6)
        third = self.attempt(daemon, job, 3)
        daemon.wait(quick := daemon.submit("quick", steps=1), "succeeded")
        fourth = self.attempt(daemon, job, 4)
        self.assertLess(daemon.job(quick)["job"]["ended_ms"], fourth["started_ms"])
        daemon.restart()  # what is left of the wait is waited for
        fifth = self.attempt(daemon, job, 5)
        self.assertEqual(daemon.call("job.cancel", job=job)["state"], "cancelled")
        attempts = daemon.job(job)["attempts"]
        self.assertEqual(attempts[2:], [third, fourth, fifth])
        waits = [b["started_ms"] - a["ended_ms"] for a, b in zip(attempts, attempts[1:])]
        for wait, least in zip(waits, (500, 1000, 2000, 4000)):
            self.assertGreaterEqual(wait, least)
            self.assertLess(wait, least + 3000 * harness.PATIENCE)

    def test_a_job_that_failed_once_goes_on_before_the_next_one(self):
        daemon = self.remorad(slots=1).start()
        job = daemon.submit("crash", steps=10)
        following = daemon.submit("following", steps=1)
        attempts = daemon.wait(job, "succeeded")["attempts"]
        ended = daemon.wait(following, "succeeded")["job"]
        self.assertEqual(len(attempts), 2)
        self.assertGreaterEqual(ended["started_ms"], attempts[1]["ended_ms"])

    def test_a_refused_job_fails_at_once_with_the_worker_s_words(self):
        daemon = self.remorad().start()
        detail = daemon.wait(daemon.submit("refused"), "failed")
        self.assertEqual(len(detail["attempts"]), 1)
        reason = detail["job"]["reason"]
        self.assertEqual((reason["type"], reason["hint"]), ("invalid_job", "use 8"))
        self.assertIn("batch.global: 7 does not divide", reason["evidence"])

    def test_two_jobs_of_one_rank_run_at_once_on_different_cores(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two cores")
        daemon = self.remorad().start()
        jobs = [daemon.submit(f"pair-{i}", steps=500, step_ms=10) for i in range(3)]
        harness.until("two run", lambda: all(daemon.launches(job) for job in jobs[:2]))
        cores = []
        for job in jobs[:2]:
            pid = daemon.launches(job)[0][2]
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            cores.append(status.split("Cpus_allowed_list:")[1].split()[0])
            self.assertEqual([cores[-1]], list(map(str, daemon.job(job)["attempts"][0]["cpus"])))
        self.assertEqual(len(set(cores)), 2, cores)
        self.assertEqual(daemon.state_of(jobs[2]), "queued")
        self.assertEqual(daemon.call("daemon.status")["slots"], {"total": 2, "free": 0})
        daemon.call("job.cancel", job=jobs[0])
        daemon.wait(jobs[2], "running")
        for job in jobs:
            daemon.call("job.cancel", job=job)
            daemon.wait(job, "cancelled")

    def test_the_head_of_the_queue_is_not_overtaken(self):
        daemon = self.remorad().start()
        first = daemon.submit("first", steps=500, step_ms=10)
        wide = daemon.submit("wide", ranks=2, steps=2)
        narrow = daemon.submit("narrow", steps=2)
        daemon.wait(first, "running")
        self.assertEqual([daemon.state_of(job) for job in (wide, narrow)], ["queued", "queued"])
        daemon.call("job.cancel", job=first)
        ended = {job: daemon.wait(job, "succeeded")["job"] for job in (wide, narrow)}
        self.assertLess(ended[wide]["started_ms"], ended[narrow]["started_ms"])

    def test_more_ranks_than_slots_are_refused_with_field_and_hint(self):
        daemon = self.remorad().start()
        with self.assertRaises(remorad.RpcError) as caught:
            daemon.submit("wide", ranks=4)
        self.assertEqual(caught.exception.data["field"], "launch.ranks")
        self.assertIn("--slots 4", caught.exception.data["hint"])
        self.assertEqual(daemon.call("job.list", all=True)["jobs"], [])

    def test_a_missing_input_is_refused_with_its_field(self):
        daemon = self.remorad().start()
        spec = self.spec("lost")
        spec["data"]["train"][0]["shards"] = str(self.folder / "nowhere")
        with self.assertRaises(remorad.RpcError) as caught:
            daemon.call("job.submit", spec=spec)
        self.assertEqual(caught.exception.data["field"], "data.train[0].shards")

    def test_cancel_lets_a_connected_worker_end_its_step_and_write_a_checkpoint(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", ranks=2, steps=5000, step_ms=10, every=4999)
        daemon.attached(job)
        daemon.call("job.cancel", job=job)
        detail = daemon.wait(job, "cancelled")
        self.assertEqual(daemon.job_processes(), [])
        attempt = detail["attempts"][0]
        self.assertEqual((attempt["state"], attempt["exit_code"]), ("cancelled", 11))
        self.assertEqual(detail["checkpoint"]["step"], detail["last"]["step"])
        self.assertEqual(detail["job"]["reason"]["type"], "cancelled")

    def test_cancel_signals_a_worker_that_is_not_connected_at_once(self):
        daemon = self.remorad().start()
        job = daemon.submit("silent", ranks=2, steps=5000, step_ms=10)
        harness.until("both ranks run", lambda: len(daemon.launches(job)) == 2)
        begin = time.monotonic()
        daemon.call("job.cancel", job=job)
        detail = daemon.wait(job, "cancelled")
        self.assertLess(time.monotonic() - begin, 8 * harness.PATIENCE)
        self.assertEqual(daemon.job_processes(), [])
        self.assertIsNone(detail["checkpoint"])

    def test_cancel_signals_a_worker_that_does_not_listen(self):
        daemon = self.remorad().start()
        job = daemon.submit("stubborn", ranks=2, steps=5000, step_ms=10)
        daemon.attached(job)
        daemon.call("job.cancel", job=job)
        detail = daemon.wait(job, "cancelled")
        self.assertEqual(daemon.job_processes(), [])
        self.assertEqual(detail["attempts"][0]["state"], "cancelled")
        self.assertEqual(detail["job"]["reason"]["hint"], f"remora resume {job}")
        daemon.call("job.cancel", job=job)  # again: nothing happens

    def assert_left_no_scratch(self, daemon, job):
        """Asks the events for the attempts: those that were never launched have no launch.json."""
        self.assertEqual(list(daemon.state.glob(f"jobs/{job}/attempts/*/tmp")), [])
        started = [event for event in daemon.events(job) if event["type"] == "attempt_starting"]
        for event in started:
            self.assertFalse(pathlib.Path(f"/dev/shm/remora.{event['data']['attempt_id']}").exists())
        return len(started)

    def test_cancel_during_the_launch_starts_nothing_and_leaves_no_files(self):
        """A slow mpirun, asked for its version, holds the launch before it has a shim."""
        real = shutil.which("mpirun")
        slow = self.folder / "bin" / "mpirun"
        slow.parent.mkdir()
        slow.write_text(f"#!/bin/sh\nsleep 1\nexec {real} \"$@\"\n")
        slow.chmod(0o755)
        daemon = self.remorad().start(PATH=f"{slow.parent}:{os.environ['PATH']}")
        job = daemon.submit("plain", ranks=2, steps=5)
        daemon.wait(job, "starting")
        self.assertEqual(daemon.call("job.cancel", job=job)["state"], "stopping")
        detail = daemon.wait(job, "cancelled")
        self.assertEqual([a["state"] for a in detail["attempts"]], ["cancelled"])
        self.assertEqual(daemon.launches(job), [])
        self.assertTrue((daemon.state / "jobs" / str(job) / "attempts" / "1" / "token").exists())
        self.assertEqual(self.assert_left_no_scratch(daemon, job), 1)
        daemon.call("job.resume", job=job)
        daemon.wait(job, "succeeded")

    def test_a_failed_launch_leaves_no_files(self):
        daemon = self.remorad().start()
        (daemon.state / "jobs" / "1" / "spec.json").mkdir(parents=True)  # cannot be written then
        job = daemon.submit("plain", ranks=2, attempts=2)
        self.assertEqual(job, 1)
        detail = daemon.wait(job, "failed")
        self.assertEqual([a["reason"]["type"] for a in detail["attempts"]], ["launch_failed"] * 2)
        self.assertIn("spec.json", detail["job"]["reason"]["evidence"])
        self.assertEqual(self.assert_left_no_scratch(daemon, job), 2)

    def test_a_queued_job_is_cancelled_at_once_and_can_be_resumed(self):
        daemon = self.remorad(slots=1).start()
        blocker = daemon.submit("blocker", steps=5000, step_ms=10)
        job = daemon.submit("later", steps=3)
        self.assertEqual(daemon.call("job.cancel", job=job)["state"], "cancelled")
        self.assertEqual(daemon.call("job.resume", job="later")["state"], "queued")
        daemon.call("job.cancel", job=blocker)
        daemon.wait(job, "succeeded")
        with self.assertRaises(remorad.RpcError) as caught:
            daemon.call("job.cancel", job=job)
        self.assertEqual(caught.exception.data["status"], "conflict")

    def test_what_a_worker_leaves_behind_is_taken_down(self):
        daemon = self.remorad().start()
        job = daemon.submit("leaky", steps=2)
        daemon.wait(job, "succeeded")
        self.assertEqual(daemon.job_processes(), [])

    def test_open_mpi_leaves_no_files(self):
        daemon = self.remorad().start()
        for name in ("plain", "doomed"):
            daemon.wait(daemon.submit(name, ranks=2, attempts=1))
        self.assertEqual(list(daemon.state.glob("jobs/*/attempts/*/tmp")), [])
        for name in daemon.attempt_ids():
            self.assertFalse(pathlib.Path(f"/dev/shm/remora.{name}").exists())

    def test_a_killed_shim_takes_its_tree_along_before_the_retry(self):
        daemon = self.remorad().start()
        job = daemon.submit("stubborn", ranks=2, steps=40, step_ms=20)
        daemon.reach(job, 6)
        first = [pid for _, _, pid in daemon.launches(job)]
        os.kill(next(iter(daemon.shims().values()))["pid"], signal.SIGKILL)
        harness.until("the second attempt runs", lambda: len(daemon.launches(job)) >= 4)
        self.assertFalse([pid for pid in first if remorad.alive(pid)])
        detail = daemon.wait(job, "succeeded")
        self.assertEqual(detail["attempts"][0]["reason"]["type"], "shim_lost")
        self.assertEqual(daemon.steps(job), list(range(1, 41)))

    def test_a_killed_shim_s_tree_is_found_by_its_control_group(self):
        daemon = self.remorad().start()
        job = daemon.submit("forgetful", ranks=2, steps=5000, step_ms=10)
        daemon.attached(job)
        forgotten = int((daemon.run_folder(job) / "forgotten").read_text())
        self.addCleanup(lambda: remorad.alive(forgotten) and os.kill(forgotten, signal.SIGKILL))
        folder, shim = next(iter(daemon.shims().items()))
        group = pathlib.Path(json.loads((folder / "launch.json").read_text())["cgroup"])
        if not group.is_dir() or str(group) == ".":
            self.skipTest("control groups (version 2) cannot be made here")
        self.assertIn(f"/{group.name}\n", pathlib.Path(f"/proc/{shim['pid']}/cgroup").read_text())
        os.kill(shim["pid"], signal.SIGKILL)
        harness.until("the second attempt runs", lambda: len(daemon.launches(job)) >= 4)
        self.assertFalse(remorad.alive(forgotten))
        self.assertFalse(group.exists())
        daemon.call("job.cancel", job=job)
        daemon.wait(job, "cancelled")
        for path in daemon.state.glob("jobs/*/attempts/*/launch.json"):
            self.assertFalse(pathlib.Path(json.loads(path.read_text())["cgroup"]).exists())

    def test_a_worker_without_a_socket_loses_no_record(self):
        daemon = self.remorad().start()
        job = daemon.submit("silent", steps=25, step_ms=5)
        daemon.wait(job, "succeeded")
        self.assertEqual(daemon.steps(job), list(range(1, 26)))

    def test_prepare_runs_without_mpirun(self):
        daemon = self.remorad().start()
        text = self.folder / "a.txt"
        text.write_text("words\n")
        spec = {"kind": "prepare", "name": "prep", "inputs": [str(text)], "tokenizer": {"train": 512},
                "output": str(self.folder / "out")}
        job = daemon.call("job.submit", spec=spec)["job"]
        detail = daemon.wait(job, "succeeded")
        self.assertEqual(detail["inputs"][0]["path"], str(text))
        launch = (daemon.state / "jobs" / str(job) / "attempts" / "1" / "launch.json").read_text()
        self.assertNotIn("mpirun", launch)

    def test_a_stopped_daemon_slows_nobody(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", steps=100, step_ms=10)
        daemon.reach(job, 5)
        daemon.process.send_signal(signal.SIGSTOP)
        records = daemon.run_folder(job) / "records.jsonl"
        harness.until("the worker ends", lambda: '"end"' in records.read_text())
        daemon.process.send_signal(signal.SIGCONT)
        daemon.wait(job, "succeeded")
        self.assertEqual(daemon.steps(job), list(range(1, 101)))

    def test_the_token_is_private_and_wanted(self):
        daemon = self.remorad().start()
        job = daemon.submit("plain", steps=5000, step_ms=10)
        daemon.wait(job, "running")
        token = daemon.state / "jobs" / str(job) / "attempts" / "1" / "token"
        self.assertEqual(token.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(token.read_text(), (token.parent / "launch.json").read_text())
        facts = {"job": job, "attempt": 1, "records_bytes": 0, "pid": 1, "rank": 0}
        for wrong in ("", "0" * 64, token.read_text()[:-1]):
            with self.assertRaises(remorad.RpcError) as caught:
                daemon.call("worker.attach", token=wrong, **facts)
            self.assertEqual(caught.exception.data["status"], "permission")
        daemon.call("job.cancel", job=job)
        daemon.wait(job, "cancelled")


if __name__ == "__main__":
    harness.main()
