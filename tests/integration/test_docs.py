"""What the man pages say of programs is true (commands, options, exit codes, the environment), and what
ARCHITECTURE.md says of files and folders. Formats: test_docs_formats.py. The examples of the pages:
test_client_examples.py, test_doc_examples.py."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import harness
import manpages

PROGRAMS = {"remora": "remora.1", "remora-worker": "remora-worker.1", "remorad": "remorad.8"}
# Pages of others that ours may name.
SYSTEM_PAGES = {"mpirun.1", "fdatasync.2"}
# Read by libraries, not by our sources.
LIBRARY_VARIABLES = {"DNNL_MAX_CPU_ISA", "LC_ALL", "LC_CTYPE", "LANG"}


class Pages(unittest.TestCase):
    def test_pages_are_well_formed_and_named_as_they_say(self):
        for path in sorted(manpages.DOC.iterdir()):
            with self.subTest(page=path.name):
                result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(path)],
                                        text=True, capture_output=True, check=False)
                self.assertEqual(result.stdout, "")
                name, section = path.name.rsplit(".", 1)
                self.assertIn(f".Dt {name.upper()} {section}\n", path.read_text())

    def test_pages_that_are_named_exist(self):
        known = {path.name for path in manpages.DOC.iterdir()} | SYSTEM_PAGES
        for path in sorted(manpages.DOC.iterdir()):
            named = re.findall(r"\bXr (\S+) (\d)", path.read_text())
            self.assertTrue(named, path.name)
            with self.subTest(page=path.name):
                self.assertEqual({f"{name}.{section}" for name, section in named} - known, set())

    def test_all_are_installed_with_the_programs(self):
        prefix = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        subprocess.run(["cmake", "--install", str(harness.BIN.parent), "--prefix", str(prefix)],
                       check=True, capture_output=True)
        for path in manpages.DOC.iterdir():
            self.assertTrue((prefix / "share" / "man" / f"man{path.suffix[1:]}" / path.name).exists())
        for program in PROGRAMS:
            result = subprocess.run([str(prefix / "bin" / program), "--version"], text=True,
                                    capture_output=True, check=True, env=harness.environment())
            self.assertTrue(result.stdout.startswith(f"{program} "))


class Programs(unittest.TestCase):
    def check_options(self, text, options):
        for name, letter in options.items():
            self.assertRegex(text, rf"Fl -{name}\b(?!-)")
            if letter:
                self.assertRegex(text, rf"Fl {letter}\b")
        said = set(re.findall(r"Fl -([a-z-]+)", text)) - {"help", "version"}
        self.assertEqual(said - set(options), set(), "not an option")

    def test_every_command_and_option_is_in_its_page(self):
        for program, name in PROGRAMS.items():
            page = manpages.page(name)
            commands = manpages.commands(program)
            for command in commands:
                with self.subTest(program=program, command=command):
                    entry = manpages.entry_of(page, command)
                    self.assertTrue(entry, "not in the page")
                    self.check_options(entry, manpages.options(program, command))
            with self.subTest(program=program):
                said = re.findall(r"(?m)^\.It (?:Xo\n\.)?Cm (\w+)",
                                  manpages.sections(page).get("COMMANDS", ""))
                self.assertEqual(set(said), set(commands))
                own = "".join(text for title, text in manpages.sections(page).items()
                              if title in ("SYNOPSIS", "OPTIONS") or not commands
                              and title == "DESCRIPTION")
                self.check_options(own, manpages.options(program))

    def test_exit_codes_are_those_of_the_table(self):
        header = (harness.SOURCE / "proto" / "base" / "error.h").read_text()
        codes = set(re.findall(r"X\([A-Z_]+, \"\w+\", -?\d+, (\d+)\)", header))
        self.assertIn("14", codes)
        for program, name in PROGRAMS.items():
            with self.subTest(page=name):
                status = manpages.sections(manpages.page(name))["EXIT STATUS"]
                more = {"1", "130"} if program == "remora" else set()
                self.assertEqual(set(re.findall(r"(?m)^\.It (\d+)$", status)), codes | more)

    def test_every_variable_that_is_read_is_in_a_page(self):
        text = manpages.sources("client", "daemon", "proto", "worker")
        read = set(re.findall(r"(?:getenv|folder_variable|set_default)\(\"(\w+)\"", text))
        said = set()
        for name in PROGRAMS.values():
            entries = re.findall(r"(?m)^\.It Ev (.*)$",
                                 manpages.sections(manpages.page(name))["ENVIRONMENT"])
            said |= {variable for entry in entries for variable in entry.split(" , ")}
        self.assertIn("REMORA_LOG", read)
        self.assertEqual(read - said, set(), "in no page")
        self.assertEqual({variable for variable in said - LIBRARY_VARIABLES
                          if f'"{variable}"' not in text}, set(), "nothing reads it")


class Map(unittest.TestCase):
    """ARCHITECTURE.md."""

    def setUp(self):
        self.text = (harness.SOURCE / "ARCHITECTURE.md").read_text()

    def test_every_file_that_is_named_is_there(self):
        named = re.findall(r"`([\w.-]+/[\w./{},*<>-]*)`", self.text)
        self.assertGreater(len(named), 20)
        for name in named:
            pattern = re.sub(r"NNNN|<\w+>", "*", name)
            braces = re.search(r"\{(.*)\}", pattern)
            for choice in braces.group(1).split(",") if braces else [""]:
                path = re.sub(r"\{.*\}", choice, pattern).rstrip("/")
                self.assertTrue(list(harness.SOURCE.glob(path)), name)

    def test_folders_are_those_of_the_tree(self):
        tree = self.text.split("## Folders")[1].split("```")[1]
        for folder in re.findall(r"(?m)^([a-z]+)/", tree):
            self.assertTrue((harness.SOURCE / folder).is_dir(), folder)
        for folder in ("proto", "worker"):
            part = re.split(r"(?m)^[a-z]+/", tree.split(f"\n{folder}/")[1])[0]
            self.assertEqual(set(re.findall(r"(?m)^  ([a-z]+)/ ", part)),
                             {path.parent.name for path
                              in (harness.SOURCE / folder).glob("*/CMakeLists.txt")})
        tests = tree.split("\ntests/")[1]
        for folder in re.findall(r"([a-z]+)/", tests):
            self.assertTrue((harness.SOURCE / "tests" / folder).is_dir(), folder)


if __name__ == "__main__":
    harness.main()
