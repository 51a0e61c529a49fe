"""Singular values of what a run has learnt: the command against numpy, the metric against both."""

import harness
import training

try:
    import numpy
except ImportError:
    numpy = None

PROJECTIONS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
               "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]


class Spectrum(training.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus()
        self.run_folder = self.folder / "run"

    def spec(self, method, schedule, **changes):
        return self.tiny_spec(self.shards, method=method, schedule=schedule, steps=40,
                              optimizer={"name": "adamw", "lr": 0.01},
                              evaluate={"every": 20, "spectrum": True}, **changes)

    def exported(self, checkpoint, name):
        self.worker("export", checkpoint, "--to", name)
        tensors = training.read_safetensors(self.folder / name / "model.safetensors")
        return {key: numpy.frombuffer(data, "<f4").reshape(shape).astype("f8")
                for key, (_, shape, data) in tensors.items() if len(shape) == 2}

    def check(self, spec):
        self.train(spec, self.run_folder)
        result = self.worker("spectrum", "--final", self.run_folder, "--json").json()
        self.assertEqual((result["base"]["step"], result["final"]["step"]), (0, 40))
        self.assertEqual(len(result["layers"]), 2 * 7)
        self.assertGreater(sum(result["count"].values()), 0)
        for name in PROJECTIONS:
            counts = [entry["count"] for entry in result["layers"] if entry["projection"] == name]
            self.assertEqual(result["count"][name], sum(counts) / 2)
        # The sketch of a matrix this small is the whole of it.
        evaluations = training.records(self.run_folder, "evaluation")
        self.assertEqual(evaluations[-1]["spectrum"], result["count"])
        self.assertEqual(evaluations[0]["spectrum"], {name: 0.0 for name in PROJECTIONS})
        if numpy is None:
            return result
        first = self.exported(training.manifests(self.run_folder)[0], "first")
        last = self.exported(self.run_folder, "last")
        for entry in result["layers"]:
            name = f"model.layers.{entry['layer']}.{entry['projection']}.weight"
            sigma = numpy.linalg.svd(last[name] - first[name], compute_uv=False)
            numpy.testing.assert_allclose(entry["singular_values"], sigma, atol=1e-5)
            self.assertEqual(entry["count"], int((sigma > 0.1).sum()))
        return result

    def test_full(self):
        self.check(self.spec({"name": "full"}, {"name": "cosine", "warmup": 5}))

    def test_remora(self):
        """Two cycles: the matrix rank of the update is that of two groups at most."""
        self.check(self.spec({"name": "remora", "r": 2, "merge_every": 20},
                             {"name": "jagged_cosine", "warmup": 5, "restart_warmup": 3}))

    def test_another_base_and_the_plot(self):
        spec = self.spec({"name": "full"}, {"name": "cosine", "warmup": 5})
        self.train(spec, self.run_folder)
        same = self.worker("spectrum", "--base", self.run_folder, "--final", self.run_folder,
                           "--json").json()
        self.assertEqual(set(same["count"].values()), {0.0})
        plot = self.worker("spectrum", "--final", self.run_folder).out
        for name in PROJECTIONS:
            self.assertRegex(plot, rf"(?m)^{name} +█.* of 32$")
        error = self.worker("spectrum", "--final", self.folder / "nowhere", code=3).err
        self.assertIn("nowhere", error)

    def test_the_environment_changes_nothing(self):
        self.train(self.spec({"name": "full"}, {"name": "cosine", "warmup": 5}), self.run_folder)
        results = []
        for extra in ({}, {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "7"}):
            program = self.worker("spectrum", "--final", self.run_folder, "--json",
                                  env=harness.environment(**extra))
            results.append(program.json())
        self.assertEqual(*results)


if __name__ == "__main__":
    harness.main()
