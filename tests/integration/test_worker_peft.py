"""Exports as others want them: adapters for PEFT, and models in several files. A reader written from
PEFT's documentation adds an adapter to the base that it was trained on; that must be the merged
model. (PEFT itself is not run.)"""

import json
import re

import harness
import oracle
import training

torch = oracle.torch


def peft_merge(base, folder):
    """base's tensors with the adapter in folder added, as PEFT's LoraConfig says, in double."""
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and config["bias"] == "none" and not config["use_rslora"]
    assert not config["fan_in_fan_out"] and config["modules_to_save"] is None
    tensors = {name: torch.frombuffer(bytearray(data), dtype=torch.float32).double().reshape(shape)
               for name, (dtype, shape, data) in training.read_safetensors(
                   folder / "adapter_model.safetensors").items()}
    merged, used = {}, set()

    def pattern(patterns, module, usual):
        """The first key of which the module's name ends in, as a regular expression."""
        for key, value in patterns.items():
            if re.match(rf"(.*\.)?({key})$", module):
                return value
        return usual

    for name, weight in base.items():
        module = name.removesuffix(".weight")
        key = f"base_model.model.{module}"
        if not any(module.endswith(f".{target}") for target in config["target_modules"]):
            merged[name] = weight
            continue
        a, b = tensors[f"{key}.lora_A.weight"], tensors[f"{key}.lora_B.weight"]
        used |= {f"{key}.lora_A.weight", f"{key}.lora_B.weight"}
        r = pattern(config["rank_pattern"], module, config["r"])
        alpha = pattern(config["alpha_pattern"], module, config["lora_alpha"])
        assert a.shape == (r, weight.shape[1]) and b.shape == (weight.shape[0], r), module
        merged[name] = weight + alpha / r * b @ a
        if config["use_dora"]:
            m = tensors[f"{key}.lora_magnitude_vector"]
            used.add(f"{key}.lora_magnitude_vector")
            merged[name] = merged[name] * (m / merged[name].norm(dim=1))[:, None]
    assert used == set(tensors), set(tensors) - used
    return merged


class Peft(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.base = self.folder / "base"
        self.run_with("start", {"name": "full"})
        self.worker("export", self.folder / "start", "--to", self.base)

    def run_with(self, name, method, origin=None, **changes):
        cycles = "merge_every" in method
        fields = {"name": name, "method": method, "steps": 24, "checkpoint": {"every": 24},
                  "schedule": {"name": "jagged_cosine", "warmup": 3, "restart_warmup": 2} if cycles
                  else {"name": "cosine", "warmup": 3}, "evaluate": {"every": 24}, **changes}
        if origin:
            fields["model"] = {"from": f"hf:{origin}", "tokenizer": str(self.shards / "tokenizer.model")}
        self.train(self.tiny_spec(self.shards, **fields), self.folder / name, ranks=1)

    def check(self, name, method, bound=1e-6):
        self.run_with(name, method, self.base)
        out = self.worker("export", self.folder / name, "--to", f"{name}-a", "--adapter").out
        self.worker("export", self.folder / name, "--to", f"{name}-m")
        config = json.loads((self.folder / f"{name}-a" / "adapter_config.json").read_text())
        self.assertEqual(config["base_model_name_or_path"], str(self.base))
        self.assertRegex(out, r"adapter of \d+ numbers, beside \d+ of the weights")
        _, base = oracle.load(self.base)
        _, expected = oracle.load(self.folder / f"{name}-m")
        moved = 0.0
        for key, value in peft_merge(base, self.folder / f"{name}-a").items():
            error = ((value - expected[key]).norm() / expected[key].norm()).item()
            self.assertLess(error, bound, key)
            moved = max(moved, ((base[key] - expected[key]).norm() / expected[key].norm()).item())
        self.assertGreater(moved, 1e-3) # there was something to export
        again = self.worker("export", self.folder / name, "--to", f"{name}-b", "--adapter").code
        self.assertEqual(again, 0)
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            self.assertEqual((self.folder / f"{name}-a" / file).read_bytes(),
                             (self.folder / f"{name}-b" / file).read_bytes())
        return config

    def test_the_lora_family(self):
        for name in ("lora", "lora_plus", "asylora", "dora"):
            config = self.check(name, {"name": name, "r": 4, "alpha": 6})
            self.assertEqual((config["r"], config["lora_alpha"]), (4, 6))
            self.assertEqual(config["use_dora"], name == "dora")

    def test_mora_as_lora(self):
        for name, fields in (("tile", {}), ("blocks", {"columns": "blocks", "rows": "interleave"}),
                             ("zero", {"pad": "zero"}), ("truncation", {"operator": "truncation"})):
            config = self.check(name, {"name": "mora", "r": 4, **fields})
            self.assertEqual(config["lora_alpha"], config["r"])
            self.assertEqual(config["rank_pattern"], config["alpha_pattern"])
            self.assertIn("down_proj", config["rank_pattern"])

    def test_remora_of_all_kinds_as_lora(self):
        for groups, kinds in (("paper", 2), ("official", 4)):
            method = {"name": "remora", "r": 4, "merge_every": 6, "groups": groups}
            config = self.check(groups, method)
            self.assertEqual(config["r"] % kinds, 0)

    def test_what_is_no_adapter_is_refused_with_the_reason(self):
        for name, method, reason in (
                ("rot", {"name": "mora", "r": 4, "operator": "rotation"}, "rotation turns"),
                ("dec", {"name": "mora", "r": 4, "operator": "decoupling"}, "decoupling puts"),
                ("perm", {"name": "remora", "r": 4, "merge_every": 6, "groups": "permuted"},
                 "permuted groups"),
                ("relora", {"name": "relora", "r": 4, "merge_every": 6}, "merges of relora"),
                ("all", {"name": "lora", "r": 4, "train": ["embeddings", "norms", "head"]},
                 "more than the adapters")):
            self.run_with(name, method, self.base)
            result = self.worker("export", self.folder / name, "--to", "no", "--adapter", code=14)
            self.assertIn(reason, result.err)
        result = self.worker("export", self.folder / "start", "--to", "no", "--adapter", code=14)
        self.assertIn("the method has none", result.err)
        self.assertFalse((self.folder / "no").exists())

    def test_a_model_in_several_files_is_the_same_model(self):
        run = self.folder / "start"
        self.worker("export", run, "--to", "parts", "--shard-bytes", 40000)
        index = json.loads((self.folder / "parts" / "model.safetensors.index.json").read_text())
        files = sorted(set(index["weight_map"].values()))
        self.assertGreater(len(files), 2)
        self.assertEqual(files[0], f"model-00001-of-{len(files):05}.safetensors")
        whole = training.read_safetensors(self.base / "model.safetensors")
        parts = {}
        for file in files:
            part = training.read_safetensors(self.folder / "parts" / file)
            self.assertEqual({index["weight_map"][name] for name in part}, {file})
            size = sum(len(data) for _, _, data in part.values())
            self.assertTrue(size <= 40000 or len(part) == 1)
            parts.update(part)
        self.assertEqual(parts, whole)
        self.assertEqual(index["metadata"]["total_size"], sum(len(d) for _, _, d in whole.values()))
        self.run_with("again", {"name": "full"}, self.folder / "parts", steps=1, checkpoint={"every": 1})
        self.worker("export", f"{self.folder / 'again'}@0", "--to", "back")
        self.assertEqual((self.folder / "back" / "model.safetensors").read_bytes(),
                         (self.base / "model.safetensors").read_bytes())
        # Over an export of another size: what is read is the new one.
        self.worker("export", run, "--to", "parts", code=4)
        self.worker("export", run, "--to", "parts", "--force")
        self.assertFalse((self.folder / "parts" / "model.safetensors.index.json").exists())


if __name__ == "__main__":
    harness.main()
