"""bench and plan: what they print, and that a plan holds."""

import harness


class Bench(harness.Case):
    def bench(self, *options):
        return self.worker("bench", "--model", "llama-9m", "--vocabulary", 2048, "--micro", 2,
                           "--sequence-length", 64, "--json", *options).json()

    def test_a_step_is_told_operation_by_operation(self):
        for method, dtype in (("mora", "bf16"), ("full", "fp32"), ("frozen", "bf16"),
                              ("remora", "fp32")):
            with self.subTest(method=method, dtype=dtype):
                told = self.bench("--method", method, "--r", 8, "--dtype", dtype)
                self.assertEqual((told["method"], told["dtype"]), (method, dtype))
                self.assertAlmostEqual(told["tokens_per_s"], 128 / told["step_s"], delta=1e-3)
                self.assertAlmostEqual(
                    told["ratio"], told["tokens_per_s"] / told["gemm_bound_tokens_per_s"], places=6)
                self.assertGreaterEqual(told["repetitions"], 10)
                names = [op["name"] for op in told["ops"]]
                self.assertEqual(len(set(names)), len(names))
                self.assertTrue({"attention_forward", "head_loss_backward", "adamw_update"}
                                <= set(names))
                self.assertLessEqual(sum(op["s"] for op in told["ops"]), told["step_s"] * 1.001)
                for op in told["ops"]:
                    self.assertAlmostEqual(op["gflop"], op["gflop_per_s"] * op["s"],
                                           delta=1e-6 + 1e-6 * op["gflop"])

    def test_the_products_are_the_least_that_the_method_needs(self):
        # 4 layers of 2 H = 4 x 128 x 128 + 3 x 128 x 352 weights, a head of 2048 x 128.
        linears = 4 * (4 * 128 * 128 + 3 * 128 * 352)
        attention = 4 * 6 * 65 * 128  # (T + 1) / 2 keys, 2 FLOPs, 6 products
        head = 6 * 2048 * 128
        for method, per_weight in (("frozen", 4), ("full", 6)):
            told = self.bench("--method", method, "--dtype", "fp32")
            per_token = sum(product["gflop"] for product in told["products"]) * 1e9 / 128
            self.assertAlmostEqual(per_token, per_weight * linears + attention + head, delta=1)

    def test_recomputing_is_measured_as_asked(self):
        kept = self.bench("--recompute", "none")
        again = self.bench("--recompute", "layer")
        calls = {name: [op["calls"] for op in told["ops"] if op["name"] == "attention_forward"][0]
                 for name, told in (("none", kept), ("layer", again))}
        self.assertEqual(calls, {"none": 4, "layer": 7})  # all but the last layer's
        self.assertLess(again["plan_bytes"], kept["plan_bytes"])

    def test_what_is_not_there_is_refused_with_a_hint(self):
        for options, said in ((("--backend", "cuda"), "use cpu"), (("--method", "mara"), "mora"),
                              (("--dtype", "fp8"), "bf16"), (("--recompute", "all"), "layer"),
                              (("--model", "llama-9b"), "remora-spec(5)")):
            result = self.worker("bench", *options, code=None)
            self.assertNotEqual(result.code, 0)
            self.assertIn(said, result.err)

    def test_products_alone(self):
        told = self.worker("bench", "gemm", "--seconds", 1, "--json").json()
        self.assertGreater(told["gflops"], 0)

    def test_the_store_is_measured_on_a_checkpoint(self):
        self.assertIn("--checkpoint", self.worker("bench", "store", code=2).err)
        spec = self.tiny_spec(self.corpus(), method={"name": "full"}, steps=4,
                              schedule={"name": "constant"}, launch={"ranks": 1})
        self.worker("train", spec, "--run", self.folder / "run")
        told = self.worker("bench", "store", "--checkpoint", self.folder / "run", "--json").json()
        self.assertIn("000000000004-000001.json", told["checkpoint"])
        rows = {(row["kind"], row["dtype"]): row for row in told["rows"]}
        self.assertEqual(set(rows), {("weights", "fp32"), ("weights", "bf16"), ("exp_avg", "fp32"),
                                     ("exp_avg_sq", "fp32")})
        weights = rows["weights", "fp32"]
        self.assertEqual(weights["bytes"], 2 * rows["weights", "bf16"]["bytes"])
        self.assertEqual(weights["bytes"], rows["exp_avg", "fp32"]["bytes"])
        for row in rows.values():
            self.assertAlmostEqual(row["ratio"], row["bytes"] / row["stored_bytes"])
            self.assertGreater(row["ratio"], row["zstd_ratio"])
            self.assertAlmostEqual(
                1 / row["load_mb_per_s"],
                1 / row["decompress_mb_per_s"] + 1 / row["digest_mb_per_s"], delta=1e-9)

    def test_memory_is_as_planned(self):
        told = self.worker("bench", "--model", "llama-35m", "--micro", 8, "--sequence-length", 256,
                           "--json").json()
        self.assertAlmostEqual(told["plan_bytes"] / told["peak_rss_bytes"], 1.0, delta=0.05)


class Plan(harness.Case):
    def test_a_plan_tells_bytes_flops_and_time(self):
        spec = self.tiny_spec(self.corpus())
        told = self.worker("plan", spec, "--json").json()
        self.assertEqual(sum(told["bytes"].values()), told["plan_bytes"])
        self.assertAlmostEqual(told["flop_per_step"], told["flop_per_token"] * 8 * 32, delta=1)
        self.assertGreater(told["step_s"], 0)
        self.assertEqual(told["recompute_flop_per_token"], 0)
        text = self.worker("plan", spec).out
        for word in ("parameters", "optimizer state", "activations", "GFLOP", "tokens per s"):
            self.assertIn(word, text)

    def test_what_does_not_fit_is_refused_with_advice(self):
        shards = self.corpus()
        spec = self.tiny_spec(
            shards, model={"preset": "llama-7b", "tokenizer": str(shards / "tokenizer.model")},
            method={"name": "full"}, schedule={"name": "constant"},
            launch={"ranks": 64, "threads_per_rank": 1}, batch={"global": 64, "micro": 1})
        result = self.worker("plan", spec, code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("optimizer state", result.out)  # the plan is told in any case
        self.assertIn("take a smaller model", result.err)


if __name__ == "__main__":
    harness.main()
