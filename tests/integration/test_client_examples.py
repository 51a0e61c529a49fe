"""The examples of the man pages of the client are run, in their order, against its own daemon."""

import gzip
import json

import harness
import manpages

# What is too long for a test: a page names steps for people.
SHORTER = [(r"--steps \d+", "--steps 5 -s batch.global=4 -s batch.micro=2 -s data.sequence_length=32")]


class Examples(manpages.ExamplesCase):
    def setUp(self):
        super().setUp()
        abstracts = self.folder / "abstracts"
        abstracts.mkdir()
        text = self.folder / "text.xml"
        self.worker("synth", "medline", "--records", 200, "--seed", 1, "--output", text)
        with gzip.open(abstracts / "part.xml.gz", "wb") as out:
            out.write(text.read_bytes())

    def test_the_pages(self):
        train, prepare = manpages.examples("remora-spec.5")
        (self.folder / "pubmed.yaml").write_text(prepare)
        (self.folder / "pubmed-demo.yaml").write_text(train)
        # The page's training job waits for the page's text.
        self.assertEqual(self.shell("remora lint pubmed-demo.yaml", code=None).returncode, 3)
        self.shell("remora submit pubmed.yaml -s tokenizer.train=512 --watch")
        self.shell("remora lint pubmed-demo.yaml -s data.sequence_length=32")
        # From here on the same job, but one that takes seconds.
        small = json.loads(self.tiny_spec(self.folder / "pubmed", name="pubmed-demo").read_text())
        (self.folder / "pubmed-demo.yaml").write_text(json.dumps(small))
        self.run_examples("remora.1", SHORTER)
        self.assertTrue((self.folder / "model" / "config.json").exists())
        self.assertEqual(len(json.loads((self.folder / "jobs.json").read_text())), 5)


if __name__ == "__main__":
    harness.main()
