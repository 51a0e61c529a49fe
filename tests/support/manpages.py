"""Reads the man pages of deploy/doc, what the programs say about themselves with --help, and sources."""

import json
import os
import re
import signal
import subprocess

import harness

DOC = harness.SOURCE / "deploy" / "doc"


def sources(*folders):
    """The text of all C sources below the folders."""
    return "\n".join(path.read_text() for folder in folders
                     for path in sorted((harness.SOURCE / folder).rglob("*.[ch]")))


def helped(program, *arguments):
    return subprocess.run([str(harness.BIN / program), *arguments, "--help"], text=True,
                          capture_output=True, check=True, env=harness.environment()).stdout


def commands(program):
    """Names of its commands, in their order; none of a program that is one command."""
    text = helped(program)
    if "\nCommands:" not in text:
        return []
    part = re.split(r"\n(?:Options:|')", text.split("\nCommands:")[1])[0]
    return re.findall(r"^  ([a-z]+) ", part, re.M)


def options(program, *command):
    """Long name -> letter, or None, of the options that the command itself has."""
    text = helped(program, *command)
    part = text.split("\nOptions:")[1] if "\nOptions:" in text else ""
    part = re.split(r"\nOptions of every command:|\n'", part)[0]
    return {name: letter or None
            for letter, name in re.findall(r"(?m)^  (?:-(\w), )?--([a-z-]+)", part)}


def sections(page, macro="Sh"):
    """Name -> text of the sections (Sh) or subsections (Ss) of a page or a part of one."""
    parts = re.split(rf"(?m)^\.{macro} (.*)\n", page)
    return dict(zip(parts[1::2], parts[2::2]))


def page(name):
    return (DOC / name).read_text()


def tagged(text):
    """The entries of all tagged lists: each begins with its line ".It"."""
    return [re.split(r"\n\.(?:El|Ss|Sh)", entry)[0] for entry in re.split(r"\n(?=\.It )", text)[1:]]


def entry_of(text, command):
    """All that the page says about a command: its forms and what stands below the last of them."""
    return "\n".join(entry for entry in tagged(text)
                     if re.match(rf"\.It (?:Xo\n\.)?Cm {command}\b", entry))


def names(text):
    """The names (Va) that head entries of a part of a page."""
    found = set()
    for entry in tagged(text):
        head = entry.split("\n", 1)[0]
        if head.startswith(".It Va "):
            found |= set(head[len(".It Va "):].split(" , "))
    return found


def examples(name):
    """The literal blocks of the page's section EXAMPLES, as people see them."""
    section = sections(page(name))["EXAMPLES"]
    return [block.replace("\\e", "\\")
            for block in re.findall(r"\.Bd -literal.*?\n(.*?)\n\.Ed", section, re.S)]


class ExamplesCase(harness.Case):
    """Runs what pages print, in a folder and with a home of its own."""

    def setUp(self):
        super().setUp()
        home = self.folder / "home"
        home.mkdir()
        # Small machines have fewer cores than an example has ranks.
        self.env = harness.environment(HOME=home, XDG_RUNTIME_DIR=self.folder / "runtime",
                                       XDG_STATE_HOME=self.folder / "state",
                                       OMPI_MCA_rmaps_base_oversubscribe="1",
                                       PRTE_MCA_rmaps_default_mapping_policy=":oversubscribe",
                                       PATH=f"{harness.BIN}:{os.environ['PATH']}")
        self.addCleanup(self.finish)

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

    def run_examples(self, name, shorten=()):
        """Each block of the page, in order; shorten replaces what is too long for a test."""
        for block in examples(name):
            for pattern, text in shorten:
                block = re.sub(pattern, text, block)
            with self.subTest(page=name, example=block):
                self.shell("set -e\n" + block)
