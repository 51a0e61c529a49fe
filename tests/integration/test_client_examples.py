"""The examples of the man pages of the client are run, in their order, against its own daemon."""

import gzip
import json
import os
import re
import signal
import subprocess
import unittest

import harness

DOC = harness.SOURCE / "deploy" / "doc"

# What is too long for a test: a page names steps for people.
SHORTER = [(r"--steps \d+", "--steps 5 -s batch.global=4 -s batch.micro=2 -s data.sequence_length=32")]


def examples(page):
    """The literal blocks of the page's section EXAMPLES."""
    section = (DOC / page).read_text().split(".Sh EXAMPLES")[1].split("\n.Sh ")[0]
    return re.findall(r"\.Bd -literal.*?\n(.*?)\n\.Ed", section, re.S)


class Examples(harness.Case):
    def setUp(self):
        super().setUp()
        self.env = harness.environment(XDG_RUNTIME_DIR=self.folder / "runtime",
                                       XDG_STATE_HOME=self.folder / "state",
                                       PATH=f"{harness.BIN}:{os.environ['PATH']}")
        self.addCleanup(self.finish)
        abstracts = self.folder / "abstracts"
        abstracts.mkdir()
        text = self.folder / "text.xml"
        self.worker("synth", "medline", "--records", 200, "--seed", 1, "--output", text)
        with gzip.open(abstracts / "part.xml.gz", "wb") as out:
            out.write(text.read_bytes())

    def finish(self):
        self.shell("remora down", code=None)
        for path in self.folder.glob("state/remora/jobs/*/attempts/*/shim.json"):
            name = json.loads(path.read_text())["attempt_id"]
            for pid in harness.processes_with(f"REMORA_ATTEMPT_ID={name}"):
                os.kill(pid, signal.SIGKILL)

    def shell(self, line, code=0):
        result = subprocess.run(["bash", "-c", line], env=self.env, cwd=self.folder, text=True,
                                capture_output=True, stdin=subprocess.DEVNULL,
                                timeout=300 * harness.PATIENCE, check=False)
        if code is not None:
            self.assertEqual(result.returncode, code, f"{line}\n{result.stdout}\n{result.stderr}")
        return result

    def test_the_pages(self):
        train, prepare = examples("remora-spec.5")
        (self.folder / "pubmed.yaml").write_text(prepare)
        (self.folder / "pubmed-demo.yaml").write_text(train)
        # The page's training job waits for the page's text.
        self.assertEqual(self.shell("remora lint pubmed-demo.yaml", code=None).returncode, 3)
        self.shell("remora submit pubmed.yaml -s tokenizer.train=512 --watch")
        self.shell("remora lint pubmed-demo.yaml -s data.sequence_length=32")
        # From here on the same job, but one that takes seconds.
        small = json.loads(self.tiny_spec(self.folder / "pubmed", name="pubmed-demo").read_text())
        (self.folder / "pubmed-demo.yaml").write_text(json.dumps(small))
        for block in examples("remora.1"):
            for pattern, text in SHORTER:
                block = re.sub(pattern, text, block)
            with self.subTest(example=block):
                self.shell("set -e\n" + block)
        self.assertTrue((self.folder / "model" / "config.json").exists())
        self.assertEqual(len(json.loads((self.folder / "jobs.json").read_text())), 5)


if __name__ == "__main__":
    harness.main()
