"""What is written about the client is true: man pages name every command, option and spec field, and
completion offers them."""

import json
import re
import subprocess
import unittest

import harness

DOC = harness.SOURCE / "deploy" / "doc"
COMPLETION = harness.SOURCE / "deploy" / "completions" / "remora.bash"


def helped(*arguments):
    return subprocess.run([str(harness.BIN / "remora"), *arguments, "--help"], text=True,
                          capture_output=True, check=True, env=harness.environment()).stdout


def commands():
    part = helped().split("Commands:")[1].split("Options:")[0]
    return re.findall(r"^  ([a-z]+) ", part, re.M)


def long_options(command):
    part = helped(command).split("Options:")[1] if "\nOptions:" in helped(command) else ""
    part = part.split("Options of every command:")[0]
    return re.findall(r"--([a-z-]+)", re.sub(r"(?m)^(  (?:-\w, )?--[a-z-]+).*$", r"\1", part))


class ManPages(unittest.TestCase):
    def test_remora_1_has_every_command_with_every_option(self):
        page = (DOC / "remora.1").read_text()
        for command in commands():
            with self.subTest(command=command):
                found = re.search(rf"\.(?:It )?Cm {command}\b(.*?)(?=\n\.It |\n\.El)", page, re.S)
                self.assertTrue(found, "not in the page")
                for option in long_options(command):
                    self.assertIn(f"Fl -{option}", found.group(0))

    def test_pages_are_well_formed(self):
        for page in DOC.glob("*.[0-9]"):
            with self.subTest(page=page.name):
                result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)],
                                        text=True, capture_output=True, check=False)
                self.assertEqual(result.stdout, "")


class SpecPage(unittest.TestCase):
    """remora-spec.5 against schemas/job.schema.json."""

    def setUp(self):
        self.schema = json.loads((harness.SOURCE / "schemas" / "job.schema.json").read_text())
        page = (DOC / "remora-spec.5").read_text()
        self.entries = {}
        for entry in re.split(r"\n(?=\.It Va )", page.split("Sh EXAMPLES")[0])[1:]:
            name = entry.split("\n", 1)[0][len(".It Va "):]
            text = re.split(r"\n\.(?:El|Ss|Sh)", entry)[0]
            self.entries[name] = self.entries.get(name, "") + " ".join(text.split("\n")[1:])

    def resolve(self, node):
        while "$ref" in node:
            target = self.schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
            node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
        return node

    def fields(self, node, path=""):
        """(path, node, needed) of every field that holds a value."""
        node = self.resolve(node)
        alternatives = [self.resolve(alternative) for alternative in node.get("oneOf", [])]
        if alternatives and all("properties" in alternative for alternative in alternatives):
            for alternative in alternatives:
                yield from self.fields(alternative, path)
        elif node.get("type") == "object" and "properties" in node:
            for key, child in node["properties"].items():
                yield from self.fields(child, f"{path}.{key}" if path else key)
        elif node.get("type") == "array" and path == "data.train":
            yield path, node
            yield from self.fields(node["items"], path + "[]")
        else:
            yield path, node

    def test_every_field_is_there_with_bounds_default_and_values(self):
        for path, node in self.fields(self.schema):
            with self.subTest(field=path):
                self.assertIn(path, self.entries, "not in the page")
                text = self.entries[path]
                said = [float(number) for number in re.findall(r"[\d.]*\d(?:e-?\d+)?", text)]
                numbers = [node[key] for key in ("minimum", "exclusiveMinimum", "maximum",
                                                 "exclusiveMaximum") if key in node]
                default = node.get("default", {})
                if default != {}:
                    self.assertIn("efault", text)
                    numbers += default if isinstance(default, list) else [default]
                for value in numbers + node.get("enum", []) + (
                        [node["const"]] if "const" in node else []):
                    if isinstance(value, bool):
                        value = str(value).lower()
                    if isinstance(value, str):
                        self.assertIn(value, text)
                    else:
                        self.assertIn(float(value), said)

    def test_no_field_is_made_up(self):
        known = {path for path, _ in self.fields(self.schema)}
        self.assertEqual(set(self.entries) - known, set())


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
        self.assertEqual(self.complete("remora"), commands())
        self.assertEqual(self.complete("remora", "+wa"), ["watch", "wait"])
        for command in commands():
            offered = self.complete("remora", command, "+--")
            for option in long_options(command):
                self.assertIn(f"--{option}", offered)
        self.assertIn("-s", self.complete("remora", "submit", "+-"))

    def test_presets_are_those_of_the_schema(self):
        schema = json.loads((harness.SOURCE / "schemas" / "job.schema.json").read_text())
        presets = schema["$defs"]["train"]["properties"]["model"]["properties"]["preset"]["enum"]
        self.assertEqual(self.complete("remora", "run", "--model"), presets)

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
