"""The client is what is written about it: completion offers its commands and options, and it links
neither MPI nor mathematics. Man pages: test_docs.py."""

import json
import re
import subprocess
import unittest

import harness
import manpages

COMPLETION = harness.SOURCE / "deploy" / "completions" / "remora.bash"


class Completion(unittest.TestCase):
    def complete(self, *words):
        script = (f"source {COMPLETION}; COMP_WORDS=({' '.join(words)} ''); "
                  f"COMP_CWORD={len(words)}; ")
        if words[-1].startswith("+"):
            script = (f"source {COMPLETION}; COMP_WORDS=({' '.join(words[:-1])} '{words[-1][1:]}'); "
                      f"COMP_CWORD={len(words) - 1}; ")
        result = subprocess.run(
            ["bash", "-c", script + f"_remora {harness.BIN}/remora; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
            text=True, capture_output=True, check=True,
            env=harness.environment(XDG_RUNTIME_DIR="/nonexistent", HOME="/nonexistent"))
        return result.stdout.split()

    def test_commands_and_options_are_offered(self):
        self.assertEqual(self.complete("remora"), manpages.commands("remora"))
        self.assertEqual(self.complete("remora", "+wa"), ["watch", "wait"])
        for command in manpages.commands("remora"):
            offered = self.complete("remora", command, "+--")
            for option in manpages.options("remora", command):
                self.assertIn(f"--{option}", offered)
        self.assertIn("-s", self.complete("remora", "submit", "+-"))

    def test_presets_are_those_of_the_schema(self):
        schema = json.loads((harness.SOURCE / "schemas" / "job.schema.json").read_text())
        presets = schema["$defs"]["train"]["properties"]["model"]["properties"]["preset"]["enum"]
        self.assertEqual(self.complete("remora", "run", "--model"), presets)

    def test_methods_are_those_of_the_schema(self):
        schema = json.loads((harness.SOURCE / "schemas" / "job.schema.json").read_text())
        methods = [choice["$ref"].rsplit("method_", 1)[1]
                   for choice in schema["$defs"]["train"]["properties"]["method"]["oneOf"]]
        self.assertEqual(self.complete("remora", "run", "--method"), methods)

    def test_without_a_daemon_none_is_started_for_job_names(self):
        self.assertEqual(self.complete("remora", "watch"), [])


class Linking(unittest.TestCase):
    def test_the_client_links_neither_mpi_nor_numerical_libraries(self):
        result = subprocess.run(["ldd", str(harness.BIN / "remora")], text=True,
                                capture_output=True, check=True)
        libraries = re.findall(r"^\s*(\S+?)\.so", result.stdout, re.M)
        self.assertIn("libjansson", libraries)
        for library in libraries:
            self.assertNotRegex(library, "mpi|pmix|dnnl|blas|lapack|gomp|sentencepiece|sqlite|uv")


if __name__ == "__main__":
    harness.main()
