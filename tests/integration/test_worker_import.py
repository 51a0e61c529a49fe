"""Models of Hugging Face's as the beginning of a run and as what is scored (hf:FOLDER). A really
trained one comes from llama2.c's stories260K; what it computes, an independent LLaMA in PyTorch in
double says."""

import json
import os
import shutil
import struct

import harness
import oracle
import training

torch = oracle.torch
FULL = {"name": "full"}
KINDS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def write_safetensors(path, tensors, dtype="F32"):
    header, data = {}, b""
    for name, tensor in tensors.items():
        kind = tensor.to(KINDS[dtype]).contiguous()
        part = kind.view(torch.int32 if dtype == "F32" else torch.int16).numpy().tobytes()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def stories(folder):
    """config and tensors of stories260K, under Hugging Face's names and in its order of features."""
    config = json.loads((folder / "config.json").read_text())
    data = (folder / "stories260K.bin").read_bytes()
    values = torch.frombuffer(bytearray(data[28:]), dtype=torch.float32)
    C, F, L, H, KV, V, T = struct.unpack("<7i", data[:28])
    D, at, tensors = C // H, 0, {}

    def take(*shape):
        nonlocal at
        count = torch.Size(shape).numel()
        at += count
        return values[at - count:at].reshape(shape).clone()

    def halves(w, heads):
        """Rotary pairs (2i, 2i + 1) become (i, i + D/2)."""
        return w.reshape(heads, D // 2, 2, C).transpose(1, 2).reshape(heads * D, C)

    tensors["model.embed_tokens.weight"] = take(V, C)
    stacked = [("input_layernorm", (C,)), ("self_attn.q_proj", (H * D, C)),
               ("self_attn.k_proj", (KV * D, C)), ("self_attn.v_proj", (KV * D, C)),
               ("self_attn.o_proj", (C, H * D)), ("post_attention_layernorm", (C,)),
               ("mlp.gate_proj", (F, C)), ("mlp.down_proj", (C, F)), ("mlp.up_proj", (F, C))]
    for name, shape in stacked:
        for layer in range(L):
            w = take(*shape)
            if name in ("self_attn.q_proj", "self_attn.k_proj"):
                w = halves(w, H if "q_proj" in name else KV)
            tensors[f"model.layers.{layer}.{name}.weight"] = w
    tensors["model.norm.weight"] = take(C)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
              "hidden_size": C, "intermediate_size": F, "num_hidden_layers": L,
              "num_attention_heads": H, "num_key_value_heads": KV, "vocab_size": V,
              "max_position_embeddings": T, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": True, "rope_scaling": None}
    return config, tensors


def write_model(folder, config, tensors, dtype="F32", shards=1):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return
    names, weight_map = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[i::shards]}
        write_safetensors(folder / file, part, dtype)
        weight_map.update({name: file for name in part})
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


class Import(training.Case):
    def prompts(self, vocabulary, count=10):
        generator = torch.Generator().manual_seed(1)
        prompts = [torch.randint(vocabulary, (3 + 7 * i,), generator=generator).tolist()
                   for i in range(count)]
        path = self.folder / "prompts.jsonl"
        path.write_text("".join(json.dumps({"tokens": p}) + "\n" for p in prompts))
        return path, prompts

    def check_logits(self, folder, bound=1e-4):
        config, tensors = oracle.load(folder)
        config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
        if not config.get("rope_scaling"):
            config.pop("rope_scaling", None)
        path, prompts = self.prompts(config["vocab_size"])
        text = self.worker("score", path, "--model", f"hf:{folder}", "--logits", "--json").out
        for prompt, line in zip(prompts, text.splitlines(), strict=True):
            result = json.loads(line)
            expected = oracle.logits(config, tensors, torch.tensor([prompt]))[0]
            found = torch.tensor(result["logits"], dtype=torch.float64)
            self.assertLess((found - expected).abs().max().item(), bound)
            ours = torch.tensor(result["log_probabilities"], dtype=torch.float64)
            theirs = expected.log_softmax(-1)[:-1].gather(1, torch.tensor(prompt[1:])[:, None])[:, 0]
            self.assertLess((ours - theirs).abs().max().item(), bound)
            self.assertEqual(result["next"][0]["token"], expected[-1].argmax().item())

    def test_a_trained_model_in_every_type_whole_and_in_shards(self):
        data = harness.data_folder()
        if data is None:
            self.skipTest("the test data are not there")
        config, tensors = stories(data / "models" / "stories260K")
        for dtype in KINDS:
            write_model(self.folder / dtype, config, tensors, dtype)
            self.check_logits(self.folder / dtype)
        write_model(self.folder / "shards", config, tensors, shards=3)
        self.check_logits(self.folder / "shards")
        # It is the trained model, not any: greedy from BOS it tells the story that it is known for.
        tokens = [1]
        for _ in range(60):
            line = self.folder / "line.jsonl"
            line.write_text(json.dumps({"tokens": tokens}))
            result = self.worker("score", line, "--model", f"hf:{self.folder / 'F32'}", "--json").json()
            tokens.append(result["next"][0]["token"])
        self.assertTrue(self.text_of(data, tokens[1:]).startswith("Once upon a time, there was a little"),
                        self.text_of(data, tokens[1:]))
        expected = (data / "models/stories260K/expected_greedy_200.txt").read_text()
        self.assertTrue(expected.startswith(self.text_of(data, tokens[1:])))

    def text_of(self, data, tokens):
        """llama2.c's tokenizer: u32 longest, then for each piece f32 score, u32 size, bytes."""
        raw = (data / "models/stories260K/tok512.bin").read_bytes()
        pieces, at = [], 4
        while at < len(raw):
            size, = struct.unpack("<I", raw[at + 4:at + 8])
            pieces.append(raw[at + 8:at + 8 + size])
            at += 8 + size
        text = b"".join(bytes([int(p[3:5], 16)]) if p.startswith(b"<0x") else p
                        for p in (pieces[t] for t in tokens))
        return text.decode().lstrip(" ")

    def test_llama_3_shapes(self):
        generator = torch.Generator().manual_seed(2)
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32,
                  "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "head_dim": 12, "vocab_size": 100, "rms_norm_eps": 1e-5,
                  "rope_theta": 500000.0, "tie_word_embeddings": False,
                  "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                   "high_freq_factor": 4.0, "original_max_position_embeddings": 32}}
        shapes = {"model.embed_tokens": (100, 32), "lm_head": (100, 32), "model.norm": (32,)}
        for layer in range(2):
            for name, shape in {"input_layernorm": (32,), "post_attention_layernorm": (32,),
                                "self_attn.q_proj": (48, 32), "self_attn.k_proj": (24, 32),
                                "self_attn.v_proj": (24, 32), "self_attn.o_proj": (32, 48),
                                "mlp.gate_proj": (48, 32), "mlp.up_proj": (48, 32),
                                "mlp.down_proj": (32, 48)}.items():
                shapes[f"model.layers.{layer}.{name}"] = shape
        tensors = {f"{name}.weight": torch.randn(shape, generator=generator) * 0.3 + (len(shape) == 1)
                   for name, shape in shapes.items()}
        write_model(self.folder / "llama3", config, tensors)
        self.check_logits(self.folder / "llama3")

    def trained(self):
        shards = self.corpus()
        spec = self.tiny_spec(shards, method=FULL, schedule={"name": "cosine", "warmup": 3}, steps=8,
                              checkpoint={"every": 8}, evaluate={"every": 8})
        self.train(spec, self.folder / "one", ranks=1)
        self.worker("export", self.folder / "one", "--to", "model")
        return shards, self.folder / "model"

    def next_spec(self, shards, origin, name="two", **changes):
        model = {"from": f"hf:{origin}", "tokenizer": str(shards / "tokenizer.model")}
        fields = {"name": name, "method": FULL, "schedule": {"name": "cosine", "warmup": 3},
                  "steps": 4, "checkpoint": {"every": 4}, "evaluate": {"every": 4},
                  "model": model, **changes}
        return self.tiny_spec(shards, **fields)

    def test_there_and_back_are_the_same_bits(self):
        shards, model = self.trained()
        for name, method in (("full", FULL), ("mora", {"name": "mora", "r": 4})):
            run = self.folder / name
            self.train(self.next_spec(shards, model, name, method=method), run, ranks=1)
            self.worker("export", f"{run}@0", "--to", f"{name}-model")
            back = self.folder / f"{name}-model" / "model.safetensors"
            self.assertEqual(back.read_bytes(), (model / "model.safetensors").read_bytes())
        before = {r["step"]: r["loss_bits"] for r in training.records(self.folder / "one", "evaluation")}
        after = {r["step"]: r["loss_bits"] for r in training.records(run, "evaluation")}
        self.assertEqual(after[0], before[8])
        self.assertNotEqual(after[4], after[0])
        # A checkpoint and its export score alike, also by text.
        prompts = self.folder / "prompts.jsonl"
        prompts.write_text('"The patients were treated."\n{"text": "Results"}\n')
        scores = [self.worker("score", prompts, "--model", m, "--json").out
                  for m in (f"hf:{model}", self.folder / "one")]
        self.assertEqual(scores[0], scores[1])
        self.assertEqual(len(scores[0].splitlines()), 2)

    def test_a_vocabulary_that_is_rounded_up(self):
        shards, model = self.trained()
        config, tensors = oracle.load(model)
        V = config["vocab_size"] + 24
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = torch.cat([tensors[name], torch.ones(24, 32)])
        write_model(self.folder / "wide", {**config, "vocab_size": V}, tensors)
        run = self.folder / "two"
        self.train(self.next_spec(shards, self.folder / "wide"), run, ranks=1)
        self.worker("export", run, "--to", "wide-model")
        found = training.read_safetensors(self.folder / "wide-model" / "model.safetensors")
        self.assertEqual(found["lm_head.weight"][1], [V, 32])
        third = self.next_spec(shards, self.folder / "wide", "three")
        third.write_text(third.read_text().replace(f"hf:{self.folder / 'wide'}", str(run)))
        self.train(third, self.folder / "three", ranks=1)
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = tensors[name][:50]
        write_model(self.folder / "narrow", {**config, "vocab_size": 50}, tensors)
        text = self.train(self.next_spec(shards, self.folder / "narrow", "four"),
                          self.folder / "four", ranks=1, code=4)
        self.assertIn("model.tokenizer: has ", text)

    def test_bad_folders_name_file_and_field(self):
        shards, model = self.trained()
        config, tensors = oracle.load(model)
        prompts = self.folder / "p.jsonl"
        prompts.write_text('{"tokens": [1]}')

        def refused(code, *parts, change=None, config_change=None, **options):
            folder = self.folder / "bad"
            shutil.rmtree(folder, ignore_errors=True)
            write_model(folder, {**config, **(config_change or {})}, tensors, **options)
            if change:
                change(folder)
            result = self.worker("score", prompts, "--model", f"hf:{folder}", code=code)
            for part in parts:
                self.assertIn(part, result.err)

        for change, part in (
                ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, "biases on q, k and v"),
                ({"model_type": "gpt2"}, "'gpt2' is not llama"),
                ({"model_type": "mistral", "sliding_window": 4096}, "sliding_window"),
                ({"hidden_act": "gelu"}, "hidden_act: 'gelu'"),
                ({"attention_bias": True}, "attention_bias"),
                ({"quantization_config": {}}, "quantization_config"),
                ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type: 'linear'")):
            refused(14, "bad/config.json", part, config_change=change)
        refused(2, "bad/config.json: hidden_size: is not a whole number",
                config_change={"hidden_size": "32"})
        refused(2, "head_dim", config_change={"head_dim": 7})
        refused(2, "tensor 'model.embed_tokens.weight': shape", config_change={"vocab_size": 99})
        refused(2, "tensor 'model.layers.2.input_layernorm.weight' is missing",
                config_change={"num_hidden_layers": 3})
        refused(14, "tensor 'model.layers.1.input_layernorm.weight' has no place",
                config_change={"num_hidden_layers": 1})

        def index(**changes):
            def change(folder):
                path = folder / "model.safetensors.index.json"
                content = json.loads(path.read_text())
                content["weight_map"].update(changes)
                path.write_text(json.dumps(content))
            return change
        path = "model.norm.weight"
        for name in ("../bad/model-00001-of-00002.safetensors", "/etc/passwd", ".safetensors", "x.bin", 7):
            refused(6, f"weight_map: '{path}'", shards=2, change=index(**{path: name}))
        refused(6, "weight_map: 'other'", shards=2, change=index(other="model-00001-of-00002.safetensors"))
        refused(3, "model-9.safetensors", shards=2, change=index(**{path: "model-9.safetensors"}))

        def damage(folder):
            file = folder / "model.safetensors"
            file.write_bytes(file.read_bytes()[:-1])
        refused(6, "bad/model.safetensors", change=damage)
        refused(3, "neither model.safetensors nor", change=lambda f: (f / "model.safetensors").unlink())
        refused(3, "config.json", change=lambda f: (f / "config.json").unlink())

        def link(folder):
            file = folder / "model.safetensors"
            file.rename(self.folder / "elsewhere.safetensors")
            os.symlink(self.folder / "elsewhere.safetensors", file)
        refused(2, "model.safetensors' is a symbolic link", change=link)
        # What we wrote has digests: a flipped bit is noticed by the tensor.
        shutil.copytree(model, self.folder / "flipped")
        file = self.folder / "flipped" / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
        result = self.worker("score", prompts, "--model", f"hf:{file.parent}", code=6)
        self.assertRegex(result.err, r"flipped/model.safetensors': tensor '.*': its data are not")

    def test_the_cache_of_hugging_face_is_read_through_its_links(self):
        _, model = self.trained()
        snapshot = self.folder / "cache" / "snapshots" / "main"
        snapshot.mkdir(parents=True)
        (self.folder / "cache" / "blobs").mkdir()
        for i, name in enumerate(("config.json", "model.safetensors")):
            blob = self.folder / "cache" / "blobs" / (f"{i}" * 40)
            shutil.copy(model / name, blob)
            os.symlink(f"../../blobs/{blob.name}", snapshot / name)
        self.check_logits(snapshot)

    def test_tokenizers_that_are_not_ours(self):
        shards, model = self.trained()
        (model / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
        text = self.train(self.next_spec(shards, model), self.folder / "two", ranks=1, code=6)
        self.assertIn("model.tokenizer", text)
        (model / "tokenizer.model").unlink()
        (model / "tokenizer.json").write_text("{}")
        text = self.train(self.next_spec(shards, model), self.folder / "three", ranks=1, code=14)
        self.assertIn("tokenizers here are SentencePiece models", text)

    def test_a_folder_that_changed_since_it_was_submitted(self):
        shards, model = self.trained()
        job = self.folder / "job"
        job.mkdir()
        spec = job / "spec.json"
        spec.write_text(self.next_spec(shards, model).read_text())
        self.train(spec, self.folder / "first", ranks=1)
        inputs = json.loads((self.folder / "first" / "inputs.json").read_text())
        entry, = (i for i in inputs if i["field"] == "model.from")
        self.assertEqual((entry["kind"], entry["path"]), ("checkpoint", f"hf:{model}"))
        (job / "inputs.json").write_text(json.dumps(inputs))
        with open(model / "config.json", "a", encoding="utf-8") as file:
            file.write("\n")
        text = self.train(spec, self.folder / "second", ranks=1, code=4)
        self.assertIn("has changed since the job was submitted", text)


if __name__ == "__main__":
    harness.main()
