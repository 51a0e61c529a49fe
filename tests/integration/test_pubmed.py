"""Real abstracts: XML and JSONL together are prepared and trained on by two ranks; the validation loss
falls from each evaluation to the next. Needs the test data ($REMORA_TEST_DATA)."""

import math

import harness

STEPS = 200
EVERY = 25


class PubMed(harness.Case):
    def test_validation_loss_falls_from_evaluation_to_evaluation(self):
        data = harness.data_folder()
        if data is None:
            self.skipTest("the test data is not there")
        xml = sorted((data / "pubmed" / "xml").glob("*.xml*"))
        jsonl = sorted((data / "pubmed" / "text").glob("pubmed_abstracts_*.jsonl*"))
        self.assertTrue(xml and jsonl)
        out = self.folder / "pubmed"
        self.worker("prepare", *xml, *jsonl, "--output", out, "--train-tokenizer", 4096, seconds=300)
        spec = self.tiny_spec(
            out, name="pubmed", steps=STEPS,
            model={"preset": "llama-9m", "tokenizer": str(out / "tokenizer.model")},
            data={"train": [{"shards": str(out / "train")}],
                  "validation": {"shards": str(out / "validation"), "sequences": 64},
                  "sequence_length": 256},
            method={"name": "remora", "r": 20, "merge_every": 50},
            optimizer={"name": "adamw", "lr": 0.001},
            schedule={"name": "jagged_cosine", "warmup": 20, "restart_warmup": 6},
            batch={"global": 8, "micro": 4}, checkpoint={"every": 100},
            evaluate={"every": EVERY})
        daemon = self.daemon()
        job = daemon.submit(spec)
        daemon.wait(job, seconds=600)
        rows = daemon.metrics(job, "evaluation")
        print([(row["step"], round(row["loss"], 3)) for row in rows])
        self.assertEqual([row["step"] for row in rows], list(range(0, STEPS + 1, EVERY)))
        losses = [row["loss"] for row in rows]
        self.assertAlmostEqual(losses[0], math.log(4096), delta=0.05 * math.log(4096))
        for earlier, later in zip(losses, losses[1:]):
            self.assertLess(later, earlier)
        end, = [record for record in daemon.records(job) if record["type"] == "end"]
        self.assertEqual(end["allocations"], 0)


if __name__ == "__main__":
    harness.main()
