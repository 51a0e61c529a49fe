"""Every command of the README is run, as it is written, in its order: quickstart from this tree (its
second time, where build/release is there), then the commands for one's own text in a folder that has
some. deploy/check is left out: it is what runs this."""

import gzip
import os
import re
import signal
import subprocess

import harness

README = harness.SOURCE / "README.md"
NOT_RUN = {"./deploy/check"}


def blocks():
    """The lines of each ```sh block."""
    return [block.split("\n") for block in re.findall(r"```sh\n(.*?)\n```", README.read_text(), re.S)]


class Readme(harness.Case):
    def setUp(self):
        super().setUp()
        home = self.folder / "home"
        home.mkdir()
        self.env = harness.environment(HOME=home, XDG_RUNTIME_DIR=self.folder / "runtime",
                                       PATH=f"{home}/.local/bin:{os.environ['PATH']}")
        self.home = home
        self.addCleanup(self.finish)

    def finish(self):
        remora = self.home / ".local" / "bin" / "remora"
        if remora.exists():
            subprocess.run([remora, "down"], env=self.env, check=False, capture_output=True)
        for path in self.home.glob(".local/state/remora/jobs/*/attempts/*/shim.json"):
            name = re.search(r'"attempt_id": *"([^"]+)"', path.read_text()).group(1)
            for pid in harness.processes_with(f"REMORA_ATTEMPT_ID={name}"):
                os.kill(pid, signal.SIGKILL)

    def shell(self, line, folder):
        result = subprocess.run(["bash", "-c", line], env=self.env, cwd=folder, text=True,
                                capture_output=True, stdin=subprocess.DEVNULL, timeout=700,
                                check=False)
        self.assertEqual(result.returncode, 0, f"{line}\n{result.stdout}\n{result.stderr}")
        return result.stdout

    def run_block(self, lines, folder):
        """What each command printed."""
        return {line: self.shell(line, folder) for line in lines if line not in NOT_RUN}

    def check_quickstart(self, text):
        """What it promises at its end is there and works as printed."""
        found = re.search(r"checkpoint: (\S+)", text)
        self.assertTrue(found and os.path.exists(found.group(1)), text)
        model = float(re.search(r"^validation perplexity +([\d.]+)$", text, re.M).group(1))
        bigram = float(re.search(r"^of a bigram model +([\d.]+) ", text, re.M).group(1))
        self.assertLess(model, bigram)
        commands = text.split("Try next:\n")[1].strip().split("\n")
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.shell(re.sub(r"--steps \d+", "--steps 5", command.strip()), self.folder)

    def test_every_command(self):
        ran = {}
        own = self.folder / "own"
        (own / "abstracts").mkdir(parents=True)
        for lines in blocks():
            if lines[0].startswith("remora run"):
                text = self.folder / "text.xml"
                self.worker("synth", "medline", "--records", 400, "--output", text)
                with gzip.open(own / "abstracts" / "part.xml.gz", "wb") as out:
                    out.write(text.read_bytes())
                ran |= self.run_block(lines, own)
            else:
                ran |= self.run_block(lines, harness.SOURCE)
        self.check_quickstart(ran["./deploy/quickstart"])
        self.assertTrue((own / "model" / "model.safetensors").exists())
        written = {line for block in blocks() for line in block}
        self.assertEqual(written - set(ran), NOT_RUN)


if __name__ == "__main__":
    harness.main()
