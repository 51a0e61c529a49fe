"""Steps that must not update, losses that stand out, and runs that end before their last step."""

import json
import math
import re
import statistics
import struct

import harness
import training


def document_starts(folder):
    """Index in the stream of the first token of every document, from one file of shards."""
    path, = sorted(folder.glob("*.tokens"))
    data = path.read_bytes()
    token_bytes, = struct.unpack_from("<I", data, 12)
    tokens, documents = struct.unpack_from("<qq", data, 24)
    stream = struct.unpack_from(f"<{tokens}{'H' if token_bytes == 2 else 'I'}", data, 192)
    at = (192 + tokens * token_bytes + 7) // 8 * 8
    return stream, struct.unpack_from(f"<{documents}q", data, at)


class Guard(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.run_folder = self.folder / "run"

    def diverging(self, max_skipped, steps=24):
        """Each step multiplies the weights by 1 - lr * weight_decay = -9."""
        return self.tiny_spec(self.shards, name="diverging", method={"name": "full"}, steps=steps,
                              schedule={"name": "constant", "warmup": 0},
                              optimizer={"name": "adamw", "lr": 10.0, "weight_decay": 1.0},
                              guard={"max_skipped": max_skipped}, checkpoint={"every": 5})

    def documents_of(self, spec, step):
        """What the batch of that step was made of, found in the shards by its tokens."""
        stream, starts = document_starts(self.shards / "train")
        batch = self.worker("batches", spec, "--from", step, "--steps", 1, "--json").json()[0]
        places = {stream[at:at + 33]: at for at in range(0, len(stream) - 33, 32)}
        found = set()
        for sequence in batch:
            at = places[tuple(sequence)]
            found |= {max(i for i, start in enumerate(starts) if start <= token)
                      for token in range(at, at + 33)}
        return found

    def test_too_many_skipped_steps_in_a_row_end_the_job(self):
        spec = self.diverging(2, steps=100)
        text = self.train(spec, self.run_folder, code=2)
        found = re.search(r"step (\d+): the (loss|norm of the gradients) is (not a number|infinite), "
                          r"and guard.max_skipped allows 2 such steps in a row; its batch has "
                          r"documents data.train\[0\] ([-0-9, ]+)", text)
        self.assertTrue(found, text)
        last = int(found[1])
        skipped = training.records(self.run_folder, "step_skipped")
        self.assertEqual([r["step"] for r in skipped], [last - 2, last - 1, last])
        self.assertEqual([r["skipped_in_row"] for r in skipped], [1, 2, 3])
        named = set()
        for part in found[4].split(","):
            first, _, end = part.strip().partition("-")
            named |= set(range(int(first), int(end or first) + 1))
        self.assertEqual(named, self.documents_of(spec, last))
        for record in skipped:
            told = {i for r in record["documents"] for i in range(r["first"], r["last"] + 1)}
            self.assertEqual(told, self.documents_of(spec, record["step"]))

    def test_a_skipped_step_changes_nothing_and_the_data_move_on(self):
        spec = self.diverging(1000)
        self.train(spec, self.run_folder)
        steps = training.records(self.run_folder, "step")
        first = training.records(self.run_folder, "step_skipped")[0]["step"]
        skipped = training.records(self.run_folder, "step_skipped")
        self.assertEqual([r["step"] for r in skipped], list(range(first, 25)))
        batches = self.worker("batches", spec, "--steps", 24, "--json").json()
        for step, batch in zip(steps, batches):
            tokens = [token for sequence in batch for token in sequence]
            self.assertEqual(step["batch_sum"],
                             sum(t * (i + 1) for i, t in enumerate(tokens)) % 2**32)
        before = self.folder / "before"
        short = self.diverging(1000, steps=first - 1)
        self.train(short, before)
        self.assertEqual(training.ending(before)[2], training.ending(self.run_folder)[2])
        self.assertEqual(training.ending(self.run_folder)[:2], ("succeeded", 24))
        self.assertTrue(math.isfinite(training.records(self.run_folder, "end")[0]["final_loss"]))

    def test_spikes_are_measured_over_the_window_and_survive_a_resume(self):
        # Larger rates make the loss jump.
        spec = self.tiny_spec(self.shards, steps=40, optimizer={"name": "adamw", "lr": 0.1},
                              method={"name": "full"}, schedule={"name": "constant"},
                              guard={"spike_window": 16, "spike_z": 0.5},
                              checkpoint={"every": 28})
        self.train(spec, self.run_folder)
        losses = [r["loss"] for r in training.records(self.run_folder, "step")]
        expected = []
        for i in range(16, 40):
            window = losses[i - 16:i]
            z = (losses[i] - statistics.fmean(window)) / statistics.stdev(window)
            if z > 0.5:
                expected.append((i + 1, round(z, 6)))
        spikes = training.records(self.run_folder, "loss_spike")
        self.assertEqual([(r["step"], round(r["z"], 6)) for r in spikes], expected)
        self.assertGreater(len(expected), 0)

        resumed = self.folder / "resumed"
        # Without its state, the window of an attempt that starts at step 28 is full at 44.
        self.kill_at(spec, resumed, 29)
        self.train(spec, resumed)
        start = training.records(resumed, "start")[-1]
        self.assertEqual(start["resumed_from"], 28)
        self.assertEqual(training.ending(resumed), training.ending(self.run_folder))
        again = [(r["step"], r["z"]) for r in training.records(resumed, "loss_spike")
                 if r["attempt"] == start["attempt"]]
        self.assertEqual(again, [(r["step"], r["z"]) for r in spikes if r["step"] > 28])
        self.assertGreater(len(again), 0)
        metas = [json.loads(training.manifests(run)[40].read_text())["meta"]
                 for run in (self.run_folder, resumed)]
        self.assertEqual(metas[0]["guard"], metas[1]["guard"])
        self.assertEqual(metas[0]["guard"]["losses"], losses[-16:])
        self.assertEqual(metas[0]["patience"], metas[1]["patience"])


    def test_spikes_and_skips_are_events_of_the_job(self):
        daemon = self.daemon()
        spiking = daemon.submit(self.tiny_spec(
            self.shards, steps=40, optimizer={"name": "adamw", "lr": 0.05},
            guard={"spike_window": 8, "spike_z": 1.0}))
        skipping = daemon.submit(self.diverging(1000))
        for job, kind in ((spiking, "loss_spike"), (skipping, "step_skipped")):
            daemon.wait(job)
            told = [e["data"]["step"] for e in daemon.events(job) if e["type"] == kind]
            recorded = [r["step"] for r in daemon.records(job) if r["type"] == kind]
            self.assertEqual(told, recorded)
            self.assertGreater(len(told), 0)
        self.assertIn("loss spike, ", daemon.remora("events", spiking).out)
        daemon.kill()
        self.run_program("remorad", "--state-dir", daemon.state, "--check")


class Stop(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.run_folder = self.folder / "run"

    def test_patience_ends_a_run_once_and_for_all(self):
        spec = self.tiny_spec(self.shards, evaluate={"every": 5}, checkpoint={"every": 100},
                              stop={"patience": 2, "min_delta": 100.0})
        for attempt in (1, 2):
            self.train(spec, self.run_folder)
            end = training.records(self.run_folder, "end")[-1]
            self.assertEqual((end["outcome"], end["reason"], end["step"], end["attempt"]),
                             ("succeeded", "patience", 10, attempt))
        self.assertEqual(sorted(training.manifests(self.run_folder)), [0, 10])
        meta = json.loads(training.manifests(self.run_folder)[10].read_text())["meta"]
        self.assertEqual((meta["end"], meta["patience"]["since"], meta["patience"]["best_step"]),
                         ("patience", 2, 0))

    def test_progress_renews_patience(self):
        spec = self.tiny_spec(self.shards, evaluate={"every": 10}, stop={"patience": 1})
        self.train(spec, self.run_folder)
        losses = [r["loss"] for r in training.records(self.run_folder, "evaluation")]
        self.assertEqual(losses, sorted(losses, reverse=True))
        end, = training.records(self.run_folder, "end")
        self.assertEqual((end["reason"], end["step"]), ("steps", 60))

    def test_patience_goes_on_where_a_kill_left_it(self):
        """The evaluations before and after the kill count together."""
        spec = self.tiny_spec(self.shards, evaluate={"every": 5}, checkpoint={"every": 5},
                              steps=400, schedule={"name": "constant", "warmup": 0},
                              stop={"patience": 7, "min_delta": 100.0})
        self.kill_at(spec, self.run_folder, 12)
        self.train(spec, self.run_folder)
        end = training.records(self.run_folder, "end")[-1]
        self.assertEqual((end["reason"], end["step"]), ("patience", 35))

    def test_time_counts_over_attempts(self):
        spec = self.tiny_spec(self.shards, steps=400000, schedule={"name": "constant", "warmup": 0},
                              checkpoint={"every": 20}, evaluate={"every": 1000000},
                              stop={"max_time": 3.0})
        launch = self.launch(spec, self.run_folder)
        harness.until("a checkpoint", lambda: launch.process.poll() is not None
                      or max(training.manifests(self.run_folder), default=0) >= 20)
        launch.finish()
        launch.wait()
        self.train(spec, self.run_folder)
        start = training.records(self.run_folder, "start")[-1]["resumed_from"]
        end = training.records(self.run_folder, "end")[-1]
        self.assertEqual((end["outcome"], end["reason"]), ("succeeded", "max_time"))
        self.assertGreater(end["step"], start)
        self.assertEqual(training.records(self.run_folder, "evaluation")[-1]["step"], end["step"])
        manifests = training.manifests(self.run_folder)
        self.assertIn(end["step"], manifests)
        meta = json.loads(manifests[end["step"]].read_text())["meta"]
        self.assertGreaterEqual(meta["seconds"], 3.0)
        self.assertLess(meta["seconds"], 3.0 + 5.0 * harness.PATIENCE)
        self.train(spec, self.run_folder)
        again = training.records(self.run_folder, "end")[-1]
        self.assertEqual((again["step"], again["reason"]), (end["step"], "max_time"))


if __name__ == "__main__":
    harness.main()
