"""Bad input from files and people: a clear error that names the field or file, a non-zero exit, and
nothing half-done."""

import json
import os
import socket
import subprocess

import harness


class BadInput(harness.Case):
    def setUp(self):
        super().setUp()
        self.shards = self.corpus(records=120, vocabulary=400)

    def refused(self, daemon, spec, *parts):
        result = daemon.remora("submit", spec, code=None)
        self.assertNotEqual(result.code, 0, str(result))
        for part in parts:
            self.assertIn(part, result.err)
        self.assertEqual(daemon.remora("ls", "--all", "--json").json(), [])

    def test_what_a_spec_can_have_wrong(self):
        daemon = self.daemon()

        def data(path):
            return {"train": [{"shards": str(path)}], "sequence_length": 32,
                    "validation": {"shards": str(self.shards / "validation")}}

        missing = self.folder / "nowhere"
        self.refused(daemon, self.tiny_spec(self.shards, data=data(missing)),
                     "data.train[0].shards", str(missing))
        self.refused(daemon, self.tiny_spec(self.shards, batch={"global": 9, "micro": 2}),
                     "batch.global", "9")
        self.refused(daemon, self.tiny_spec(self.shards, launch={"ranks": 8, "threads_per_rank": 1},
                                            batch={"global": 16, "micro": 2}),
                     "launch", "slots")
        self.refused(daemon, self.tiny_spec(self.shards, optimizer={"name": "adamw", "lr": -1}),
                     "optimizer.lr", "-1")
        self.refused(daemon, self.tiny_spec(self.shards, stepps=3), "stepps", "steps")
        self.refused(daemon, self.tiny_spec(self.shards, compute={"backend": "cuda"}),
                     "compute.backend", "cuda")
        self.refused(daemon, self.folder / "no-such-spec.yaml", "no-such-spec.yaml")
        large = self.folder / "large.yaml"
        large.write_text("kind: train\nname: " + "x" * 10_000_000 + "\n")
        self.refused(daemon, large, "large.yaml")

    def test_another_tokenizer_than_that_of_the_shards(self):
        daemon = self.daemon()
        other = self.corpus(records=130, vocabulary=400, seed=9)
        spec = self.tiny_spec(self.shards)
        changed = json.loads(spec.read_text())
        changed["model"]["tokenizer"] = str(other / "tokenizer.model")
        spec.write_text(json.dumps(changed))
        result = daemon.remora("submit", spec, "--json", code=None)
        if result.code == 0:  # found at the start of the job rather than at submit
            job = result.json()["job"]
            daemon.wait(job, code=None)
            shown = daemon.show(job)
            self.assertEqual(shown["job"]["state"], "failed")
            self.assertEqual(len(shown["attempts"]), 1)
            message = json.dumps(shown)
        else:
            message = result.err
        self.assertIn("tokenizer", message)

    def damaged(self, change, *parts):
        file = next((self.shards / "train").glob("*.tokens"))
        original = file.read_bytes()
        file.write_bytes(change(original))
        result = self.worker("train", self.tiny_spec(self.shards, launch={"ranks": 1}), "--run",
                             self.folder / "run", code=None)
        file.write_bytes(original)
        self.assertNotEqual(result.code, 0, str(result))
        for part in (file.name, *parts):
            self.assertIn(part, result.err)
        self.assertFalse(list((self.folder / "run").glob("checkpoints/manifests/*")))

    def test_damaged_shards(self):
        self.damaged(lambda data: b"NOTMAGIC" + data[8:], "magic")
        self.damaged(lambda data: data[:-7])
        self.damaged(lambda data: data[:20])
        self.damaged(lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "digest")

    def test_inputs_that_changed_between_submit_and_start(self):
        daemon = self.daemon(slots=2)
        blocker = daemon.submit(self.tiny_spec(self.shards, name="blocker", steps=20000,
                                               method={"name": "remora", "r": 4, "merge_every": 5000}))
        harness.until("the first job runs", lambda: daemon.reached(blocker, 1))
        waiting = daemon.submit(self.tiny_spec(self.shards, name="waiting"))
        tokenizer = self.shards / "tokenizer.model"
        tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
        daemon.remora("cancel", blocker)
        daemon.wait(waiting, code=None)
        shown = daemon.show(waiting)
        self.assertEqual(shown["job"]["state"], "failed")
        self.assertIn("model.tokenizer", json.dumps(shown))

    def test_an_unreadable_file_and_an_xml_file_cut_in_the_middle(self):
        out = self.folder / "out"
        result = self.worker("prepare", self.folder / "absent.xml", "--output", out,
                             "--train-tokenizer", 400, code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("absent.xml", result.err)
        text = next(self.folder.glob("corpus-*.xml"))
        result = self.run_unprivileged("prepare", self.unreadable(text), "--output", out,
                                       "--train-tokenizer", 400)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("secret.xml", result.stderr)
        self.assertIn("Permission denied", result.stderr)
        self.assertFalse(out.exists())
        whole = text.read_bytes()
        cut = self.folder / "cut.xml"
        cut.write_bytes(whole[: len(whole) // 2])
        result = self.worker("prepare", cut, "--output", out, "--train-tokenizer", 400, code=None)
        self.assertNotEqual(result.code, 0)
        self.assertIn("cut.xml", result.err)
        self.assertFalse(out.exists())

    def unreadable(self, text):
        """A copy of the file that only its owner may read, in a folder where anybody may write."""
        self.folder.chmod(0o777)
        secret = self.folder / "secret.xml"
        secret.write_bytes(text.read_bytes())
        secret.chmod(0o000)
        return secret

    def run_unprivileged(self, *arguments):
        """remora-worker without root's power to read everything."""
        drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        return subprocess.run([*drop, str(harness.BIN / "remora-worker"), *map(str, arguments)],
                              env=harness.environment(), text=True, capture_output=True,
                              timeout=60 * harness.PATIENCE, check=False)

    def test_what_arrives_on_the_socket(self):
        daemon = self.daemon()
        for line, code in ((b"{nonsense\n", -32700), (b"[]\n", -32600),
                           (b'{"jsonrpc":"2.0","id":1,"method":"job.list","params":{}}\n', None),
                           (b'{"jsonrpc":"2.0","id":1,"method":"job.lst","params":{}}\n', None)):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(str(daemon.socket))
                client.sendall(line)
                answer = json.loads(client.makefile("rb").readline())
                self.assertIn("error", answer)
                if code:
                    self.assertEqual(answer["error"]["code"], code)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(daemon.socket))
            try:
                client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 10_000_000)
                answer = client.makefile("rb").readline()
                self.assertIn(b"error", answer)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the daemon refused to read on
        self.assertTrue(daemon.answers())


if __name__ == "__main__":
    harness.main()
