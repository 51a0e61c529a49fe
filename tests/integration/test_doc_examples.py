"""The examples of remora-worker(1), of the formats that it writes, and of remorad(8) are run as they
are printed; the specs of deploy/examples are linted beside what they name."""

import gzip
import json
import shutil
import signal
import subprocess

import harness
import manpages
import training

SPECS = harness.SOURCE / "deploy" / "examples"


class Worker(manpages.ExamplesCase):
    def test_pages_of_the_worker_and_its_formats(self):
        self.run_examples("remora-worker.1")
        for page in ("remora-shards.5", "remora-checkpoint.5", "remora-run.5"):
            self.run_examples(page)
        run = self.folder / "runs" / "tiny"
        self.assertEqual(training.ending(run)[:2], ("succeeded", 60))
        # Another world, other sums: as good, but not the same bits.
        self.assertEqual(training.ending(self.folder / "runs" / "two")[:2], ("succeeded", 60))
        self.assertTrue((self.folder / "model" / "config.json").exists())
        self.assertTrue((self.folder / "state" / "raw.safetensors").exists())
        self.check_manifest(training.manifests(run)[60])

    def check_manifest(self, path):
        """remora-checkpoint(5) names all that is in one."""
        manifest = json.loads(path.read_text())
        parts = manpages.sections(manpages.page("remora-checkpoint.5"), "Ss")
        self.assertEqual(manpages.names(parts["The manifest"]), set(manifest))
        self.assertEqual(manpages.names(parts["Members of meta"]), set(manifest["meta"]))


class Daemon(manpages.ExamplesCase):
    def test_page_of_the_daemon(self):
        foreground, *others = manpages.examples("remorad.8")
        daemon = subprocess.Popen(["bash", "-c", "exec " + foreground], env=self.env,
                                  cwd=self.folder, stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.stdout.close)
        self.addCleanup(daemon.wait, 30)
        self.addCleanup(daemon.kill)
        self.assertIn("ready", daemon.stdout.readline())
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(30 * harness.PATIENCE), 0)
        self.addCleanup(self.shell, "remora --socket run/remora.sock down", code=None)
        for block in others:
            with self.subTest(example=block):
                self.shell("set -e\n" + block)


class Specs(manpages.ExamplesCase):
    """prepare.yaml makes what the others train on; quickstart makes its own in the same way."""

    def test_every_spec_is_good(self):
        specs = shutil.copytree(SPECS, self.folder / "specs")
        (specs / "abstracts").mkdir()
        text = self.folder / "text.xml"
        self.worker("synth", "medline", "--records", 400, "--output", text)
        with gzip.open(specs / "abstracts" / "part.xml.gz", "wb") as out:
            out.write(text.read_bytes())
        (specs / "notes").mkdir()
        (specs / "notes" / "2025.jsonl").write_text('{"body": "The patient slept well."}\n' * 200)
        self.shell("remora lint specs/prepare.yaml")
        self.shell("remora-worker prepare --spec specs/prepare.yaml")
        (specs / "quickstart").symlink_to("pubmed")
        for spec in sorted(specs.glob("*.yaml")):
            with self.subTest(spec=spec.name):
                self.shell(f"remora lint specs/{spec.name}")
                self.assertTrue(spec.read_text().startswith("# "), "says nothing about itself")


if __name__ == "__main__":
    harness.main()
