"""Exports and batches are how anyone checks the training against another implementation: here an
independent LLaMA in PyTorch, in double, computes the loss of a step from the exported checkpoint
before it and the batch that it trained on."""

import harness
import oracle
import training

METHODS = {
    "full": {"name": "full"},
    "mora": {"name": "mora", "r": 4},
    "remora": {"name": "remora", "r": 4, "merge_every": 20},
}
SCHEDULES = {
    "full": {"name": "cosine", "warmup": 5},
    "mora": {"name": "linear", "warmup": 5},
    "remora": {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3},
}


class Export(training.Case):
    def check_method(self, method, dtype="fp32", bound=1e-5, **config):
        shards = self.corpus()
        changes = {"compute": {"dtype": dtype}}
        if config:
            changes["model"] = {"config": config, "tokenizer": str(shards / "tokenizer.model")}
        spec = self.tiny_spec(shards, method=METHODS[method], schedule=SCHEDULES[method], **changes)
        run = self.folder / "run"
        self.train(spec, run)
        for step in (0, 50):
            self.worker("export", f"{run}@{step}", "--to", f"model-{step}")
            batch, = self.worker("batches", spec, "--from", step + 1, "--json").json()
            recorded, = [r["loss"] for r in training.records(run, "step") if r["step"] == step + 1]
            config, tensors = oracle.load(self.folder / f"model-{step}")
            self.assertAlmostEqual(oracle.loss(config, tensors, batch), recorded, delta=bound * recorded)

    def test_full(self):
        self.check_method("full")

    def test_mora(self):
        self.check_method("mora")

    def test_remora_after_merges(self):
        self.check_method("remora")

    def test_bf16_is_close(self):
        self.check_method("remora", dtype="bf16", bound=2e-3)

    def test_imported_shapes(self):
        self.check_method(
            "mora", hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=12, tie_word_embeddings=True, rope_theta=100.0,
            rope_scaling={"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0,
                          "high_freq_factor": 4.0, "original_max_position_embeddings": 48})


if __name__ == "__main__":
    harness.main()
