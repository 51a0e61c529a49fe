"""Every command of the client against the real daemon and worker. What a daemon does rarely is in
test_client_protocol.py."""

import concurrent.futures
import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
import time
import unittest

import harness


class Own(harness.Case):
    """The per-user daemon: found, started and stopped by the client."""

    def setUp(self):
        super().setUp()
        self.env = harness.environment(XDG_RUNTIME_DIR=self.folder / "runtime",
                                       XDG_STATE_HOME=self.folder / "state")
        self.addCleanup(self.run_program, "remora", "down", env=self.env, code=None)

    def remora(self, *arguments, **options):
        return self.run_program("remora", *arguments, env=self.env, **options)

    def daemons(self):
        return [pid for pid in harness.processes_with(f"XDG_RUNTIME_DIR={self.folder}/runtime")
                if os.readlink(f"/proc/{pid}/exe").endswith("remorad")]

    def test_a_missing_daemon_is_started_and_said(self):
        self.assertIn("no daemon", self.remora("status", code=3).err)
        result = self.remora("ls")
        self.assertIn("starting remorad", result.err)
        self.assertEqual(result.out, "")
        self.assertNotIn("starting", self.remora("ls").err)
        status = self.remora("status", "--json").json()
        self.assertEqual(status["socket"], str(self.folder / "runtime/remora/remora.sock"))
        self.assertEqual(status["state_dir"], str(self.folder / "state/remora"))

    def test_down_means_gone_and_may_be_said_twice(self):
        self.remora("up")
        self.assertEqual(len(self.daemons()), 1)
        self.assertEqual(self.remora("down").out, "stopped\n")
        self.assertIn("no daemon", self.remora("status", code=3).err)
        self.assertEqual(self.remora("down").out, "no daemon is running\n")
        harness.until("the process has ended", lambda: not self.daemons())

    def test_up_takes_options_and_is_idempotent(self):
        self.assertIn("started: remorad", self.remora("up", "--slots", 3).out)
        self.assertIn("already running: remorad", self.remora("up").out)
        self.assertEqual(self.remora("status", "--json").json()["slots"], {"total": 3, "free": 3})

    def test_two_that_start_it_at_once_share_one(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for result in pool.map(lambda _: self.remora("ls", "--json"), range(4)):
                self.assertEqual(result.json(), [])
        self.assertEqual(len(self.daemons()), 1)

    def test_version_starts_nothing(self):
        self.assertRegex(self.remora("version").out, r"^remora \d+\.\d+\.\d+\n$")
        self.remora("up")
        self.assertRegex(self.remora("version").out, r"\nremorad \d+\.\d+\.\d+\n$")


class Commands(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.daemon()
        self.shards = self.corpus(records=120)

    def remora(self, *arguments, **options):
        return self.server.remora(*arguments, **options)

    def quick(self, **changes):
        changes = {"steps": 20, "method": {"name": "full"},
                   "schedule": {"name": "constant"}, "evaluate": {"every": 10}, **changes}
        return self.tiny_spec(self.shards, **changes)

    def endless(self, **changes):
        return self.quick(name="endless", steps=1000000, **changes)

    def test_a_job_from_submit_to_export(self):
        result = self.remora("submit", self.quick(name="first"), "-s", "optimizer.lr=2e-3")
        self.assertEqual(result.out, "1\n")
        self.assertIn("remora watch 1", result.err)

        watched = self.remora("watch", "first")
        self.assertIn("first (job 1) succeeded: 20 steps", watched.out)
        self.assertEqual([int(s) for s in re.findall(r"^step (\d+)/20 ", watched.out, re.M)][-1], 20)
        self.assertEqual(self.remora("wait", "first").out, "succeeded\n")

        shown = self.remora("show", "1", "--json").json()
        self.assertEqual(shown["spec"]["optimizer"]["lr"], 2e-3)
        self.assertEqual(shown["job"]["state"], "succeeded")
        text = self.remora("show", "first").out
        for part in ("job 1  first  train", "state       succeeded", "step        20 of 20",
                     "validation  loss", "checkpoint  step 20", "lr: 0.002"):
            self.assertIn(part, text)

        steps = self.server.metrics("first")
        self.assertEqual([row["step"] for row in steps], list(range(1, 21)))
        rows = list(csv.DictReader(io.StringIO(self.remora("metrics", "1", "--csv").out)))
        self.assertEqual([float(row["loss"]) for row in rows], [row["loss"] for row in steps])
        evaluations = self.server.metrics("1", "evaluation")
        self.assertEqual([row["step"] for row in evaluations], [0, 10, 20])
        chart = self.remora("metrics", "first", "--chart").out
        self.assertIn("● validation loss", chart)
        self.assertIn("└──", chart)

        types = [event["type"] for event in self.server.events("first")]
        self.assertEqual(types[0], "job_submitted")
        self.assertEqual(types[-1], "job_succeeded")
        self.assertIn("attempt 1 training on 2 rank(s)", self.remora("events", "first").out)
        self.remora("logs", "first")

        self.remora("export", "first", "--to", self.folder / "model")
        self.assertTrue((self.folder / "model" / "model.safetensors").exists())
        self.remora("export", "first@20", "--to", self.folder / "raw", "--raw")
        self.assertIn("no checkpoint", self.remora("export", "first@7", "--to", self.folder / "x",
                                                   code=3).err)

    def test_lists_say_what_is_and_with_all_what_was(self):
        self.assertEqual(self.remora("ls", "--json").json(), [])
        self.assertIn("--all", self.remora("ls").err)
        self.server.wait(self.server.submit(self.quick(name="done")))
        job = self.server.submit(self.endless())
        harness.until("it trains", lambda: self.server.show(job)["last"])
        self.assertEqual([j["name"] for j in self.remora("ls", "--json").json()], ["endless"])
        self.assertEqual([j["name"] for j in self.remora("ls", "--all", "--json").json()],
                         ["endless", "done"])
        table = self.remora("ls", "--all").out.splitlines()
        self.assertRegex(table[0], r"^JOB +NAME +KIND +STATE +STEP +SUBMITTED +WHY$")
        self.assertRegex(table[1], r"^ +2 +endless +train +running +\d+/1000000 ")
        self.assertRegex(table[2], r"^ +1 +done +train +succeeded +20/20 ")
        self.assertIn("1 running", self.remora("status").out)

    def test_ls_answers_at_once(self):
        self.server.wait(self.server.submit(self.quick()))
        times = []
        for _ in range(10):
            begin = time.monotonic()
            self.remora("ls", "--all")
            times.append(time.monotonic() - begin)
        self.assertLess(sorted(times)[len(times) // 2], 0.05 * harness.PATIENCE, times)

    def test_cancel_and_resume(self):
        job = self.server.submit(self.endless(checkpoint={"every": 5, "keep_last": 2}))
        harness.until("a checkpoint", lambda: self.server.metrics(job, "checkpoint")[1:], 60)
        self.assertEqual(self.remora("cancel", "endless").out, "cancelled\n")
        self.assertEqual(self.server.job_processes(), [])
        end = self.server.records(job)[-1]
        self.assertEqual((end["type"], end["outcome"]), ("end", "stopped"))
        self.assertEqual(self.server.metrics(job, "checkpoint")[-1]["step"], end["step"])
        self.assertEqual(self.remora("wait", "endless", code=11).out, "cancelled\n")
        self.remora("watch", "endless", code=11)
        self.assertEqual(self.remora("cancel", job).out, "cancelled\n")  # as wanted, already
        self.assertEqual(self.remora("resume", "endless").out, "queued\n")
        harness.until("it goes on", lambda: any(
            a["resumed_from"] for a in self.server.show(job)["attempts"]), 60)
        self.assertIn("resumed from step", self.remora("events", job).out)
        self.remora("cancel", job)

    def test_watching_survives_a_killed_daemon(self):
        job = self.server.submit(self.quick(name="long", steps=400))
        watch = subprocess.Popen(
            [str(harness.BIN / "remora"), "--socket", str(self.server.socket), "watch", str(job)],
            env=harness.environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(lambda: (watch.kill(), watch.communicate()))
        harness.until("some steps", lambda: self.server.reached(job, 20), 60)
        self.server.kill(signal.SIGKILL)
        time.sleep(1)
        self.server.start()
        out, err = watch.communicate(timeout=120 * harness.PATIENCE)
        self.assertEqual(watch.returncode, 0, out + err)
        steps = [int(s) for s in re.findall(r"^step (\d+)/400 ", out, re.M)]
        self.assertEqual(steps, sorted(set(steps)))
        self.assertEqual(steps, [1, *range(20, 401, 20)])
        self.assertEqual(out.count("found alive by a restarted daemon"), 1, out)
        self.assertEqual(out.count("attempt 1 starting"), 1, out)
        self.assertIn("the daemon is back", err)

    def test_logs_follow_to_the_end(self):
        job = self.server.submit(self.quick())
        followed = self.remora("logs", job, "-f").out
        self.assertEqual(followed, self.remora("logs", job).out)
        self.assertEqual(self.server.state_of(job), "succeeded")
        self.assertEqual(self.remora("logs", job, "--attempt", 9, code=3).out, "")

    def test_submit_can_watch(self):
        result = self.remora("submit", self.quick(), "--watch")
        self.assertEqual(result.out, "1\n")
        self.assertIn("tiny (job 1) succeeded", result.err)
        missing = self.quick(model={"preset": "llama-9m", "tokenizer": "/nonexistent.model"})
        self.assertIn("model.tokenizer", self.remora("submit", missing, code=3).err)

    def test_names_must_be_unambiguous(self):
        for _ in range(2):
            self.server.wait(self.server.submit(self.quick(name="twin")))
        result = self.remora("show", "twin", code=4)
        self.assertRegex(result.err, "1.*2|2.*1")
        self.assertIn("twni", self.remora("show", "twni", code=3).err)

    def test_lint_checks_all_and_changes_nothing(self):
        spec = self.tiny_spec(self.shards)
        answer = self.remora("lint", spec, "--json").json()
        self.assertEqual(answer["spec"]["retry"]["max_attempts"], 3)
        self.assertEqual(answer["summary"]["slots"], 2)
        self.assertEqual(answer["summary"]["tokens_per_step"], 8 * 32)
        self.assertEqual({i["field"] for i in answer["inputs"]},
                         {"model.tokenizer", "data.train[0].shards", "data.validation.shards"})
        text = self.remora("lint", spec).out
        self.assertIn("tiny is valid", text)
        self.assertIn("merge_every: 20", text)
        job = self.remora("submit", spec, "--json").json()
        self.assertEqual(job["digest"], answer["digest"])
        self.server.wait(job["job"])
        start = next(r for r in self.server.records(job["job"]) if r["type"] == "start")
        self.assertEqual(answer["summary"]["parameters"], start["parameters"])
        self.assertEqual(answer["summary"]["trainable_parameters"], start["trainable"])

    def test_lint_names_what_is_wrong(self):
        other = self.corpus(records=60, seed=2)
        cases = [
            ("-soptimizer.lr=-1", 2, "optimizer.lr"),
            ("-sbatch.global=7", 2, "batch"),
            ("-soptimiser.lr=1", 2, "did you mean"),
            ("-sdata.train[0].shards=/nonexistent", 3, "data.train[0].shards"),
            (f"-smodel.tokenizer={other}/tokenizer.model", 4, "model.tokenizer"),
            ("-sdata.sequence_length=100000000", 2, "data.sequence_length"),
            ("-ssteps=many", 2, "steps"),
        ]
        spec = self.tiny_spec(self.shards)
        for override, code, part in cases:
            with self.subTest(override=override):
                result = self.remora("lint", spec, override, code=code)
                self.assertIn(part, result.err)
                self.assertEqual(result.out, "")
        self.remora("lint", self.folder / "none.yaml", code=3)


class Run(harness.Case):
    """From text to a model in one command."""

    SMALL = ("--model", "llama-9m", "--vocabulary", "512", "-s", "batch.global=4", "-s",
             "batch.micro=2", "-s", "data.sequence_length=32", "-s",
             "data.validation.sequences=8")

    def setUp(self):
        super().setUp()
        self.data = self.folder / "abstracts"
        self.data.mkdir()
        for seed in (1, 2):
            text = self.folder / "text.xml"
            self.worker("synth", "medline", "--records", 150, "--seed", seed, "--output", text)
            with gzip.open(self.data / f"part-{seed}.xml.gz", "wb") as out:
                out.write(text.read_bytes())
        self.server = self.daemon()

    def remora(self, *arguments, **options):
        return self.server.remora("run", *arguments, **options)

    def test_text_becomes_a_trained_model(self):
        result = self.remora("--data", self.data / "*.xml.gz", "--method", "remora", "--steps", 8,
                             *self.SMALL, seconds=300)
        self.assertEqual(result.out, "1\n")
        self.assertIn("abstracts-llama-9m-remora (job 1) succeeded: 10 steps", result.err)
        spec = self.server.show(1)["spec"]
        self.assertEqual(spec["steps"], 10)
        self.assertEqual(spec["method"]["merge_every"], 2)
        written = self.data / "abstracts-llama-9m-remora.yaml"
        self.assertIn(str(written), result.err)
        # The file alone is the job, wherever the folder goes.
        moved = self.folder / "moved"
        self.data.rename(moved)
        again = self.server.remora("submit", moved / written.name, "-s", "name=again", "--watch")
        self.assertIn("again (job 2) succeeded", again.err)
        self.assertEqual(self.server.metrics(1), self.ignoring_time(1, 2))

    def ignoring_time(self, first, second):
        """The rows of the second job with what may differ taken from the first."""
        rows = []
        for a, b in zip(self.server.metrics(first), self.server.metrics(second)):
            self.assertEqual(a["loss_bits"], b["loss_bits"])
            rows.append({**b, **{k: a[k] for k in a if k not in ("step", "loss_bits")}})
        return rows

    def test_the_same_text_is_prepared_once(self):
        first = self.remora("--data", self.data / "*.xml.gz", "--no-submit", *self.SMALL)
        self.assertNotIn("already there", first.err)
        begin = time.monotonic()
        second = self.remora("--data", self.data, "--no-submit", *self.SMALL, code=None)
        second = self.remora("--data", self.data / "part-1.xml.gz", self.data / "part-2.xml.gz",
                             "--no-submit", *self.SMALL)
        self.assertLess(time.monotonic() - begin, 3 * harness.PATIENCE)
        self.assertIn("already there", second.err)
        self.assertEqual(second.out, "")
        self.assertEqual(len(list((self.data / "remora-prepared").iterdir())), 1)
        self.assertEqual(len(list(self.data.glob("*.yaml"))), 1)
        self.assertEqual(self.server.remora("ls", "--all", "--json").json(), [])

    def test_a_spec_that_someone_changed_is_left_alone(self):
        arguments = ("--data", self.data / "*.xml.gz", "--no-submit", *self.SMALL)
        self.remora(*arguments)
        spec = self.data / "abstracts-llama-20m-remora.yaml"
        spec = next(self.data.glob("*.yaml"))
        spec.write_text("# mine\n")
        result = self.remora(*arguments)
        self.assertEqual(spec.read_text(), "# mine\n")
        self.assertIn(f"{spec.stem}-2.yaml", result.err)

    def test_mistakes_are_found_before_the_text_is_read(self):
        pattern = self.data / "*.xml.gz"
        for arguments, code, part in (
                (["--data", pattern, "--model", "llama-9"], 2, "did you mean llama-9m"),
                (["--data", pattern, "--method", "galore"], 2, "dora, relora, mora or remora"),
                (["--data", pattern, "--steps", "0"], 2, "--steps"),
                (["--data", pattern, "--name", "9 lives"], 2, "name"),
                (["--data", pattern, "-s", "optimizer.lr=fast"], 2, "optimizer.lr"),
                (["--data", self.data / "*.csv"], 3, "--data"),
                (["--data", self.folder / "none" / "a.txt"], 3, "--data")):
            with self.subTest(arguments=arguments):
                self.assertIn(part, self.remora(*arguments, code=code).err)
        self.assertFalse((self.data / "remora-prepared").exists())

    def test_text_that_cannot_be_read_leaves_nothing_half_done(self):
        whole = (self.data / "part-1.xml.gz").read_bytes()
        (self.data / "part-1.xml.gz").write_bytes(whole[:len(whole) // 2])
        result = self.remora("--data", self.data / "*.xml.gz", *self.SMALL, code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("part-1.xml.gz", result.err)
        self.assertEqual(list(self.data.glob("*.yaml")), [])
        self.assertEqual(self.server.remora("ls", "--all", "--json").json(), [])


if __name__ == "__main__":
    harness.main()
