"""Two ranks train a tiny model on shards of synthetic abstracts: what they leave, and what they
refuse."""

import json
import shutil
import signal
import struct

import harness
import training


class Training(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.run_folder = self.folder / "run"

    def test_the_loss_falls_and_the_records_tell_it(self):
        for dtype, probe_error_max in (("fp32", 1e-5), ("bf16", 3e-2)):
            with self.subTest(dtype=dtype):
                self.run_folder = self.folder / f"run-{dtype}"
                self.check_records(dtype, probe_error_max)

    def check_records(self, dtype, probe_error_max):
        self.train(self.tiny_spec(self.shards, compute={"dtype": dtype}), self.run_folder)
        start, = training.records(self.run_folder, "start")
        self.assertEqual((start["world"], start["threads"], start["steps"]), (2, 1, 60))
        self.assertIsNone(start["resumed_from"])
        self.assertEqual(start["dtype"], dtype)
        self.assertEqual([r["step"] for r in training.records(self.run_folder, "step")],
                         list(range(1, 61)))
        evaluations = training.records(self.run_folder, "evaluation")
        self.assertEqual([r["step"] for r in evaluations], [0, 30, 60])
        losses = [r["loss"] for r in evaluations]
        self.assertEqual(losses, sorted(losses, reverse=True))
        merges = training.records(self.run_folder, "merge")
        self.assertEqual([r["step"] for r in merges], [20, 40])
        for merge in merges:
            self.assertGreater(merge["moments_nonzero_before"], 0)
            self.assertEqual(merge["moments_nonzero_after"], 0)
            self.assertEqual(merge["moments_zeroed_percent"], 100.0)
            self.assertTrue(merge["w_eff_equal"])
            self.assertEqual(merge["rank_layer"], 1)
            self.assertTrue(0 < merge["rank_q_proj"] <= 32)
            self.assertLess(merge["probe_error"], probe_error_max)
        self.assertEqual([r["step"] for r in training.records(self.run_folder, "checkpoint")],
                         [0, 10, 20, 30, 40, 50, 60])
        self.assertEqual(sorted(training.manifests(self.run_folder)), [0, 50, 60])
        self.assertEqual(training.ending(self.run_folder)[:2], ("succeeded", 60))

    def test_every_step_is_recorded_before_its_checkpoint(self):
        self.train(self.tiny_spec(self.shards, steps=20), self.run_folder)
        step = 0
        for record in training.records(self.run_folder):
            if record["type"] == "step":
                step = record["step"]
            if record["type"] == "checkpoint":
                self.assertEqual(record["step"], step)

    def test_batches_are_what_training_consumed(self):
        spec = self.tiny_spec(self.shards, steps=20)
        self.train(spec, self.run_folder)
        batches = self.worker("batches", spec, "--steps", 20, "--json").json()
        self.assertEqual(len(batches), 20)
        for record, batch in zip(training.records(self.run_folder, "step"), batches):
            self.assertEqual([len(sequence) for sequence in batch], [33] * 8)
            tokens = [token for sequence in batch for token in sequence]
            self.assertEqual(record["batch_sum"],
                             sum(t * (i + 1) for i, t in enumerate(tokens)) % 2**32)

    def test_batches_do_not_depend_on_ranks(self):
        sums = []
        for ranks in (1, 2):
            run = self.folder / f"run-{ranks}"
            self.train(self.tiny_spec(self.shards, steps=20,
                                      launch={"ranks": ranks, "threads_per_rank": 1}),
                       run, ranks=ranks)
            sums.append([r["batch_sum"] for r in training.records(run, "step")])
        self.assertEqual(sums[0], sums[1])

    def test_files_are_prepared_before_training_once(self):
        text = self.folder / "abstracts.xml"
        self.worker("synth", "medline", "--records", 300, "--seed", 3, "--output", text)
        data = {"train": [{"files": [str(text)]}], "validation": {"fraction": 0.1, "sequences": 8},
                "sequence_length": 32}
        model = json.loads(self.tiny_spec(self.shards).read_text())["model"]
        model["tokenizer"] = {"train": 400}
        spec = self.tiny_spec(self.shards, data=data, model=model, steps=20)
        cache = self.folder / "cache"
        first = self.train(spec, self.run_folder, "--cache", cache)
        self.assertNotIn("prepared before", first)
        self.worker("export", self.run_folder, "--to", "model")
        second = self.train(spec, self.folder / "again", "--cache", cache)
        self.assertIn("prepared before", second)
        self.assertEqual(training.ending(self.run_folder), training.ending(self.folder / "again"))

    def test_a_run_that_is_done_stays_so(self):
        spec = self.tiny_spec(self.shards, steps=20)
        self.train(spec, self.run_folder)
        self.train(spec, self.run_folder)
        first, second = training.records(self.run_folder, "end")
        self.assertEqual(first["parameter_digest"], second["parameter_digest"])
        self.assertEqual(len(training.records(self.run_folder, "step")), 20)

    def test_a_stop_is_a_checkpoint_and_a_clean_end(self):
        spec = self.tiny_spec(self.shards, steps=4000,
                              schedule={"name": "constant", "warmup": 5},
                              checkpoint={"every": 1000, "keep_last": 1})
        launch = self.launch(spec, self.run_folder)
        harness.until("a few steps", lambda: len(training.records(self.run_folder, "step")) > 3)
        launch.process.send_signal(signal.SIGUSR1)
        self.assertEqual(launch.wait(), 11, launch.text())
        outcome, step, _, _ = training.ending(self.run_folder)
        self.assertEqual(outcome, "stopped")
        self.assertIn(step, training.manifests(self.run_folder))
        self.assertEqual(max(training.curve(self.run_folder)), step)

    def test_exports_are_whole(self):
        self.train(self.tiny_spec(self.shards), self.run_folder)
        self.worker("export", self.run_folder, "--to", "model")
        self.worker("export", f"{self.run_folder}@50", "--to", "raw", "--raw")
        merged = training.read_safetensors(self.folder / "model" / "model.safetensors")
        raw = training.read_safetensors(self.folder / "raw" / "raw.safetensors")
        config = json.loads((self.folder / "model" / "config.json").read_text())
        self.assertEqual(config["architectures"], ["LlamaForCausalLM"])
        self.assertEqual(config["hidden_size"], 32)
        self.assertEqual(merged["model.embed_tokens.weight"][:2],
                         ("F32", [config["vocab_size"], 32]))
        self.assertEqual(len(merged), 2 * 9 + 3)
        query = "model.layers.1.self_attn.q_proj.weight"
        for suffix in (".M", ".S.mod_tile", ".S.blocks_interleave", ".M.exp_avg"):
            self.assertIn(query + suffix, raw)
        self.assertNotEqual(merged[query][2], raw[query][2])
        self.assertEqual((self.folder / "model" / "tokenizer.model").read_bytes(),
                         (self.shards / "tokenizer.model").read_bytes())
        manifest = training.manifests(self.run_folder)[0]
        self.worker("export", manifest, "--to", "fresh")
        fresh = training.read_safetensors(self.folder / "fresh" / "model.safetensors")
        self.assertEqual(fresh[query][2], raw[query][2])
        again = self.worker("export", self.run_folder, "--to", "model", code=4)
        self.assertIn("is there already", again.err)


class Refusals(training.Case):
    """Each fault: the named error once, its exit code, and no step or checkpoint."""

    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.run_folder = self.folder / "run"
        self.attempt = self.folder / "attempt"
        self.attempt.mkdir()

    def errors(self):
        return [json.loads(path.read_text())
                for path in self.attempt.glob("rank-*.error.json")]

    def refuse(self, spec, code, part, field, ranks=2):
        text = self.train(spec, self.run_folder, "--attempt-dir", self.attempt, ranks=ranks,
                          code=code)
        error, = self.errors()
        self.assertEqual(error["field"], field)
        self.assertIn(part, error["message"] + error["hint"])
        self.assertEqual(text.count(error["message"]), 1, text)
        self.assertEqual(training.records(self.run_folder, "step"), [])
        self.assertEqual(training.manifests(self.run_folder), {})

    def spec_with(self, part, **changes):
        """The tiny spec with fields of one part changed."""
        whole = json.loads(self.tiny_spec(self.shards).read_text())
        whole[part].update(changes)
        return self.tiny_spec(self.shards, **{part: whole[part]})

    def damaged(self, change):
        """A copy of the training shards with its first file changed."""
        copy = self.folder / "damaged"
        shutil.copytree(self.shards, copy)
        path = sorted((copy / "train").glob("*.tokens"))[0]
        path.write_bytes(change(path.read_bytes()))
        return self.spec_with("data", train=[{"shards": str(copy / "train")}]), path

    def test_a_missing_shard_folder(self):
        spec = self.spec_with("data", train=[{"shards": str(self.folder / "nowhere")}])
        self.refuse(spec, 3, "nowhere", "data.train[0].shards")

    def test_a_missing_shard(self):
        spec, path = self.damaged(lambda data: data)
        path.unlink()
        self.refuse(spec, 6, path.name, "data.train[0].shards")

    def test_a_wrong_magic(self):
        spec, path = self.damaged(lambda data: b"remorAAA" + data[8:])
        self.refuse(spec, 6, path.name, "data.train[0].shards")

    def test_a_truncated_shard(self):
        spec, path = self.damaged(lambda data: data[:-100])
        self.refuse(spec, 6, path.name, "data.train[0].shards")

    def test_a_bad_token_is_found_before_training(self):
        spec, path = self.damaged(lambda data: data[:400] + b"\xff\xff" + data[402:])
        self.refuse(spec, 6, path.name, "data.train[0].shards")

    def test_a_bad_token_that_one_rank_meets_ends_all(self):
        """The file is whole at the start and damaged while two ranks train on it."""
        spec, path = self.damaged(lambda data: data)
        whole = json.loads(spec.read_text())
        whole |= {"steps": 4000, "method": {"name": "full"}, "schedule": {"name": "constant"}}
        # So large that the steps until it is met, all of the first epoch, take a while.
        whole["model"]["config"] |= {"hidden_size": 256, "intermediate_size": 512}
        spec.write_text(json.dumps(whole))
        batch = self.worker("batches", spec, "--from", 120, "--json").json()[0]
        at = path.read_bytes().index(struct.pack("<33H", *batch[5]))  # rank 1 has places 4 to 7
        launch = self.launch(spec, self.run_folder, "--attempt-dir", self.attempt)
        harness.until("it trains", lambda: training.records(self.run_folder, "step"))
        with open(path, "r+b") as file:
            file.seek(at + 32)
            file.write(b"\xff\xff")
        self.assertEqual(launch.wait(), 6, launch.text())
        error, = self.errors()
        self.assertEqual((error["rank"], error["field"]), (1, "data.train[0]"))
        self.assertEqual(training.records(self.run_folder, "step")[-1]["step"], 119)

    def test_a_model_larger_than_memory(self):
        model = json.loads(self.tiny_spec(self.shards).read_text())["model"]
        model["config"] = {"hidden_size": 65536, "intermediate_size": 65536,
                           "num_hidden_layers": 64, "num_attention_heads": 64}
        self.refuse(self.tiny_spec(self.shards, model=model, method={"name": "full"},
                                   schedule={"name": "constant"}), 5, "memory", "model")

    def test_another_tokenizer(self):
        other = self.folder / "other.model"
        other.write_bytes((self.shards / "tokenizer.model").read_bytes() + b"\0")
        self.refuse(self.spec_with("model", tokenizer=str(other)), 4, "tokenizer",
                    "data.train[0].shards")

    def test_a_batch_that_does_not_divide(self):
        self.refuse(self.tiny_spec(self.shards), 2, "multiple of 6", "batch.global", ranks=3)

    def test_a_loss_that_is_not_a_number_names_its_step(self):
        # Each step multiplies the weights by 1 - lr * weight_decay = -9.
        spec = self.tiny_spec(self.shards, method={"name": "full"}, steps=100,
                              schedule={"name": "constant", "warmup": 0},
                              optimizer={"name": "adamw", "lr": 10.0, "weight_decay": 1.0})
        self.train(spec, self.run_folder, "--attempt-dir", self.attempt, code=2)
        error, = self.errors()
        self.assertRegex(error["message"], r"step \d+: the (loss|norm of the gradients) is")
        self.assertEqual(training.records(self.run_folder)[-1]["type"], "error")

    def test_another_spec_in_the_same_folder(self):
        self.train(self.tiny_spec(self.shards, steps=20), self.run_folder)
        before = training.records(self.run_folder)
        spec = self.tiny_spec(self.shards, steps=20, seed=7)
        self.train(spec, self.run_folder, "--attempt-dir", self.attempt, code=4)
        self.assertEqual(self.errors()[0]["field"], "seed")
        self.assertEqual(training.records(self.run_folder), before)

    def test_data_that_changed_since(self):
        spec = self.tiny_spec(self.shards, steps=20)
        self.train(spec, self.run_folder)
        other = self.corpus(records=280, seed=2)
        shutil.rmtree(self.shards)
        shutil.copytree(other, self.shards)
        self.train(spec, self.run_folder, "--attempt-dir", self.attempt, code=4)
        self.assertIn(self.errors()[0]["field"],
                      ("model.tokenizer", "data.train[0].shards", "data.validation.shards"))

    def test_two_attempts_at_once(self):
        spec = self.tiny_spec(self.shards, steps=4000, schedule={"name": "constant", "warmup": 5},
                              checkpoint={"every": 1000, "keep_last": 1})
        self.launch(spec, self.run_folder)
        harness.until("the first trains", lambda: training.records(self.run_folder, "step"))
        self.train(spec, self.run_folder, "--attempt-dir", self.attempt, code=7)
        self.assertIn("another attempt trains", self.errors()[0]["message"])


if __name__ == "__main__":
    harness.main()
