"""model.from: a run that begins with another one's checkpoint."""

import json
import shutil

import harness
import training

REMORA = {"name": "remora", "r": 4, "merge_every": 8}
MORA = {"name": "mora", "r": 4}
FULL = {"name": "full"}
JAGGED = {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3}


class Continue(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()

    def spec(self, name, method, **changes):
        fields = {"name": name, "method": method, "steps": 16, "evaluate": {"every": 8},
                  "schedule": JAGGED if method is REMORA else {"name": "cosine", "warmup": 3},
                  "checkpoint": {"every": 8}, **changes}
        return self.tiny_spec(self.shards, **fields)

    def next_spec(self, name, method, origin, **changes):
        model = {"from": str(origin), "tokenizer": str(self.shards / "tokenizer.model")}
        return self.spec(name, method, **{"model": model, **changes})

    def evaluations(self, run):
        return {r["step"]: r["loss_bits"] for r in training.records(run, "evaluation")}

    def meta(self, run, step):
        return json.loads(training.manifests(run)[step].read_text())["meta"]

    def test_step_0_is_the_end_of_what_came_before(self):
        """remora, after a merge and in the middle of a cycle; then mora, full, remora on it."""
        runs = [self.folder / name for name in ("one", "two", "three", "four")]
        self.train(self.spec("one", REMORA, steps=16), runs[0])
        for run, before, method in zip(runs[1:], runs, (MORA, FULL, REMORA)):
            self.train(self.next_spec(run.name, method, before), run)
            self.assertEqual(self.evaluations(run)[0], self.evaluations(before)[16])
            self.assertNotEqual(self.evaluations(run)[16], self.evaluations(run)[0])
            begun = self.meta(run, 16)["begun_with"]
            self.assertEqual((begun["run"], begun["step"]), (before.name, 16))
        # The shape went from hand to hand, also into an export.
        self.assertEqual(self.meta(runs[3], 16)["model"]["config"]["hidden_size"], 32)
        self.worker("export", runs[3], "--to", "model")
        config = json.loads((self.folder / "model" / "config.json").read_text())
        self.assertEqual(config["num_hidden_layers"], 2)

    def test_a_step_of_the_middle_and_a_manifest(self):
        one = self.folder / "one"
        self.train(self.spec("one", REMORA, checkpoint={"every": 8, "keep_last": 3}), one)
        for name, origin in (("at", f"{one}@8"), ("manifest", training.manifests(one)[8])):
            run = self.folder / name
            self.train(self.next_spec(name, FULL, origin), run, ranks=1)
            self.assertEqual(self.meta(run, 16)["begun_with"]["step"], 8)

    def test_what_was_begun_needs_its_beginning_no_more(self):
        one, straight, killed = (self.folder / name for name in ("one", "straight", "killed"))
        self.train(self.spec("one", MORA), one)
        spec = self.next_spec("two", REMORA, one)
        self.train(spec, straight)
        self.kill_at(spec, killed, 10)
        shutil.move(one, self.folder / "elsewhere")
        self.train(spec, killed)
        self.assertEqual(training.curve(killed), training.curve(straight))
        self.assertEqual(training.ending(killed), training.ending(straight))

    def test_another_shape_names_both(self):
        one = self.folder / "one"
        self.train(self.spec("one", FULL), one)
        model = {"from": str(one), "tokenizer": str(self.shards / "tokenizer.model"),
                 "config": {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
                            "num_attention_heads": 4}}
        text = self.train(self.next_spec("two", FULL, one, model=model), self.folder / "two", code=4)
        self.assertIn("model.config.hidden_size: 64 here, 32 in the checkpoint", text)
        self.assertIn("of run 'one'", text)
        self.assertEqual(training.manifests(self.folder / "two"), {})

    def test_another_tokenizer_names_both(self):
        one = self.folder / "one"
        self.train(self.spec("one", FULL), one)
        shards = self.corpus(records=280, seed=2)
        data = {"train": [{"shards": str(shards / "train")}],
                "validation": {"shards": str(shards / "validation"), "sequences": 8},
                "sequence_length": 32}
        model = {"from": str(one), "tokenizer": str(shards / "tokenizer.model")}
        text = self.train(self.next_spec("two", FULL, one, model=model, data=data),
                          self.folder / "two", code=4)
        self.assertRegex(text, r"(model.tokenizer: [0-9a-f]{12}… here, [0-9a-f]{12}… in the "
                               r"checkpoint '.*' of run 'one'|vocab_size)")

    def test_a_checkpoint_that_is_not_there(self):
        text = self.train(self.next_spec("two", FULL, self.folder / "nowhere"),
                          self.folder / "two", code=3)
        self.assertIn("model.from: ", text)
        text = self.train(self.next_spec("two", FULL, "pubmed@8"), self.folder / "two", code=3)
        self.assertIn("'pubmed' is no run", text)

    def test_another_checkpoint_than_the_one_submitted(self):
        one = self.folder / "one"
        self.train(self.spec("one", FULL), one)
        job = self.folder / "job"
        job.mkdir()
        spec = job / "spec.json"
        spec.write_text(self.next_spec("two", FULL, f"{one}@16").read_text())
        self.train(spec, self.folder / "first", ranks=1)
        inputs = json.loads((self.folder / "first" / "inputs.json").read_text())
        entry, = (i for i in inputs if i["field"] == "model.from")
        self.assertEqual(entry["kind"], "checkpoint")
        manifest = json.loads(training.manifests(one)[16].read_text())
        self.assertEqual(entry["digest"], manifest["digest"])
        entry["digest"] = "0" * 64
        (job / "inputs.json").write_text(json.dumps(inputs))
        text = self.train(spec, self.folder / "second", ranks=1, code=4)
        self.assertIn("model.from", text)
        self.assertIn("has changed since the job was submitted", text)

    def test_a_job_of_the_daemon_is_continued_by_its_name(self):
        daemon = harness.Daemon(self)
        self.addCleanup(daemon.finish)
        daemon.start()
        first = daemon.submit(self.spec("first", REMORA))
        daemon.wait(first)
        for reference in ("first@16", f"{first}@16"):
            second = daemon.submit(self.next_spec("second", FULL, reference))
            daemon.wait(second)
            run = daemon.state / "jobs" / str(second) / "run"
            before = daemon.state / "jobs" / str(first) / "run"
            self.assertEqual(self.evaluations(run)[0], self.evaluations(before)[16])
        result = daemon.remora("submit", self.next_spec("third", FULL, "nobody@16"), code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("model.from", result.err)
        result = daemon.remora("submit", self.next_spec("third", FULL, "first@5"), code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("model.from", result.err)


if __name__ == "__main__":
    harness.main()
