"""The client against a scripted peer: what a real daemon does rarely or never, at a chosen moment.
Also what it draws, on a pseudo-terminal. test_client.py is about the real daemon."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest

import harness


class Peer:
    """Speaks the daemon's side of the protocol about one job, as the test tells it to."""

    def __init__(self, path, protocol=1):
        self.path = path
        self.protocol = protocol
        self.lock = threading.Lock()
        self.events = []
        self.records = []
        self.watchers = []
        self.connections = []
        self.asked = []  # (method, params), in order
        self.state = "running"
        self.answers = {}  # method -> result or {"error": …}, instead of ours
        self.listener = None
        self.listen()

    def listen(self):
        self.path.parent.mkdir(exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(16)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def vanish(self):
        """As a killed daemon: the socket file stays, every connection ends."""
        with self.lock:
            if self.listener.fileno() < 0:
                return
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            for connection in self.connections:
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self.connections, self.watchers = [], []

    def come_back(self):
        self.path.unlink()
        self.listen()

    def job(self):
        return {"id": 7, "name": "demo", "kind": "train", "state": self.state,
                "reason": {"type": "worker_failed", "evidence": "rank 1: no space", "hint": ""},
                "submitted_ms": 1, "started_ms": 1000, "ended_ms": 4000, "uid": 0, "attempt": 1,
                "step": len(self.records), "steps": 40, "digest": "00"}

    def result(self, method, params):
        if method in self.answers:
            return self.answers[method]
        if method == "hello":
            return {"protocol": self.protocol, "daemon": "9.9", "state_dir": "/none", "pid": 1}
        if method == "job.get":
            last = self.records[-1] if self.records else None
            return {"job": self.job(), "spec": {}, "attempts": [], "last": last,
                    "evaluation": None, "checkpoint": None}
        if method == "job.metrics":
            rows = [r for r in self.records if r["type"] == params["kind"]
                    and r["step"] >= params["from_step"]]
            return {"rows": rows, "next": None}
        if method == "job.list":
            return {"jobs": [] if "before" in params else [self.job()]}
        return {}

    def serve(self, connection):
        try:
            for line in connection.makefile("rb"):
                request = json.loads(line)
                with self.lock:
                    self.asked.append((request["method"], request.get("params", {})))
                    answer = {"jsonrpc": "2.0", "id": request["id"]}
                    if request["method"] == "job.watch":
                        answer["result"] = {"seq": len(self.events)}
                        self.send(connection, answer)
                        for event in self.events:
                            if event["seq"] >= request["params"]["from_seq"]:
                                self.notify(connection, "event", event)
                        self.watchers.append(connection)
                        continue
                    result = self.result(request["method"], request.get("params", {}))
                    if "error" in result:
                        answer.update(result)
                    else:
                        answer["result"] = result
                    self.send(connection, answer)
        except (OSError, ValueError):
            pass

    @staticmethod
    def send(connection, message):
        connection.sendall(json.dumps(message).encode() + b"\n")

    def notify(self, connection, method, params):
        self.send(connection, {"jsonrpc": "2.0", "method": method, "params": params})

    def event(self, kind, told=True, **data):
        with self.lock:
            event = {"seq": len(self.events) + 1, "time_ms": 1700000000000, "job": 7, "attempt": 1,
                     "type": kind, "data": data}
            self.events.append(event)
            for watcher in self.watchers if told else []:
                self.notify(watcher, "event", event)

    def step(self, number, told=True):
        with self.lock:
            record = {"type": "step", "attempt": 1, "step": number, "time_ms": 1,
                      "loss": 8.0 - number / 10, "lr": 1e-3, "grad_norm": 1.0,
                      "tokens_per_s": 1000.0, "eta_s": 9.0, "tokens": number}
            self.records.append(record)
            for watcher in self.watchers if told else []:
                self.notify(watcher, "progress", {"job": 7, "record": record})

    def end(self, state):
        self.state = state
        self.event(f"job_{state}", reason={"evidence": "rank 1: no space", "hint": ""})


class Terminal:
    """A command on a pseudo-terminal of a chosen width."""

    def __init__(self, arguments, env, columns=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=slave, stdout=slave,
                                        stderr=slave, env=env, close_fds=True,
                                        preexec_fn=lambda: (os.setsid(), fcntl.ioctl(
                                            0, termios.TIOCSCTTY, 0)))
        os.close(slave)
        self.text = ""

    def read(self):
        """What came since; False at the end."""
        ready, _, _ = select.select([self.master], [], [], 0.05)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode()
        return bool(data)

    def until(self, pattern, seconds=20):
        harness.until(f"{pattern!r} on the terminal", lambda: (
            self.read(), re.search(pattern, self.text))[1], seconds)

    def finish(self, seconds=20):
        deadline = time.monotonic() + seconds * harness.PATIENCE
        while self.read() and time.monotonic() < deadline:
            pass
        code = self.process.wait(seconds)
        os.close(self.master)
        return code

    def screen(self):
        """The lines that a person sees in the end: \r, cursor up and erase are obeyed."""
        lines, row = [""], 0
        for token in re.findall(r"\x1b\[\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.text):
            if token == "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            elif token.endswith("A") and token.startswith("\x1b"):
                row -= int(token[2:-1])
            elif token == "\x1b[0J":
                del lines[row:]
                lines.append("")
            elif not token.startswith(("\x1b", "\r")):
                lines[row] += token
        return [line for line in lines if line]


class ClientCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.socket = self.folder / "run" / "remora.sock"
        self.peer = Peer(self.socket)
        self.addCleanup(self.peer.vanish)

    def remora(self, *arguments, **options):
        return self.run_program("remora", "--socket", self.socket, *arguments, **options)

    def start(self, *arguments):
        process = subprocess.Popen(
            [str(harness.BIN / "remora"), "--socket", str(self.socket), *arguments], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=harness.environment(TZ="UTC"))
        self.addCleanup(lambda: (process.kill(), process.communicate()))
        return process

    def terminal(self, *arguments, columns=80, **env):
        kept = harness.environment(**{"TERM": "xterm", "TZ": "UTC", **env})
        if "NO_COLOR" not in env:
            kept.pop("NO_COLOR")
        return Terminal([harness.BIN / "remora", "--socket", self.socket, *arguments], kept,
                        columns)

    def watched(self):
        """Waits until the client has subscribed and read what was before: the job once more is the
        last thing that it asks for. Records that come in between are history, which has no lines."""
        def subscribed():
            methods = [method for method, _ in self.peer.asked]
            return self.peer.watchers and "job.get" in methods[::-1][:methods[::-1].index("job.watch")]

        harness.until("the client watches", subscribed)


class Watching(ClientCase):
    def test_a_pipe_gets_every_event_and_milestone_once_and_the_outcome(self):
        self.peer.event("job_submitted")
        watch = self.start("watch", "demo")
        self.watched()
        self.peer.event("attempt_starting", cpus=[0, 1])
        for step in range(1, 41):
            self.peer.step(step)
        self.peer.end("succeeded")
        out, err = watch.communicate(timeout=20)
        self.assertEqual(watch.returncode, 0, err)
        self.assertEqual(out.count("attempt 1 starting on cores 0, 1"), 1, out)
        self.assertEqual(out.count("22:13:20  job submitted"), 1, out)
        steps = [int(s) for s in re.findall(r"^step (\d+)/40", out, re.M)]
        self.assertEqual(steps, [1, *range(2, 41, 2)])
        self.assertIn("demo (job 7) succeeded: 40 steps in 3.0s, loss 4.000\n", out)
        self.assertIn("remora export 7 --to demo", err)

    def test_a_restart_of_the_daemon_loses_and_doubles_nothing(self):
        watch = self.start("watch", "7")
        self.watched()
        self.peer.event("attempt_started")
        for step in range(1, 11):
            self.peer.step(step)
        self.peer.vanish()
        # While nobody listens, the job goes on; some of it the client has seen, some not.
        self.peer.event("run_started", told=False, world=2)
        for step in range(11, 21):
            self.peer.step(step, told=False)
        time.sleep(0.5)
        self.peer.come_back()
        self.watched()
        for step in range(21, 41):
            self.peer.step(step)
        self.peer.end("succeeded")
        out, err = watch.communicate(timeout=20)
        self.assertEqual(watch.returncode, 0, err)
        self.assertEqual(out.count("training on 2 rank(s)"), 1, out)
        self.assertEqual(out.count("attempt 1 started"), 1, out)
        steps = [int(s) for s in re.findall(r"^step (\d+)/40", out, re.M)]
        self.assertEqual(steps, [1, *range(2, 41, 2)])
        self.assertIn("the daemon is gone", err)
        self.assertIn("the daemon is back", err)
        watches = [p["from_seq"] for m, p in self.peer.asked if m == "job.watch"]
        # Whether the first event had been read when the peer vanished is the machine's affair.
        self.assertEqual(watches[0], 1)
        self.assertIn(watches[1], (1, 2))

    def test_an_interrupt_detaches_and_says_how_to_return(self):
        watch = self.start("watch", "demo")
        self.watched()
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=20)
        self.assertEqual(watch.returncode, 130)
        self.assertIn("job 7 (demo) goes on", err)
        self.assertIn("remora watch 7", err)
        self.assertNotIn("job.cancel", [m for m, _ in self.peer.asked])

    def test_an_interrupt_also_ends_waiting_for_a_lost_daemon(self):
        watch = self.start("watch", "demo")
        self.watched()
        self.peer.vanish()
        time.sleep(0.5)
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=20)
        self.assertEqual(watch.returncode, 130)

    def test_an_interrupt_also_ends_waiting_for_a_daemon_that_hangs(self):
        watch = self.start("watch", "demo")
        self.watched()
        with self.peer.lock:  # as one that is stopped: it takes what is asked and answers nothing
            time.sleep(2.5)
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=10)
        self.assertEqual(watch.returncode, 130)

    def test_outcomes_are_exit_codes(self):
        for state, code in (("succeeded", 0), ("failed", 1), ("cancelled", 11)):
            self.peer.state = state
            self.assertEqual(self.remora("wait", "7", code=None).code, code)
            self.assertEqual(self.remora("watch", "7", code=None).code, code)
        self.peer.state = "running"
        begin = time.monotonic()
        self.assertEqual(self.remora("wait", "7", "--timeout", "0.3", code=None).code, 13)
        self.assertGreater(time.monotonic() - begin, 0.29)

    def test_failure_is_explained_with_the_next_command(self):
        self.peer.state = "failed"
        result = self.remora("watch", "demo", code=1)
        self.assertIn("demo (job 7) failed: rank 1: no space\n", result.out)
        self.assertIn("remora logs 7", result.err)
        self.assertIn("remora resume 7", result.err)

    def test_an_error_of_a_living_daemon_is_not_a_lost_one(self):
        self.peer.answers["job.watch"] = {}
        self.peer.answers["job.metrics"] = {"error": {
            "code": -32008, "message": "disk", "data": {"status": "io", "field": "",
                                                        "message": "disk", "hint": ""}}}
        result = self.remora("watch", "demo", code=10)
        self.assertIn("disk", result.err)


class Drawing(ClientCase):
    def run_to_the_end(self, terminal):
        self.watched()
        self.peer.event("attempt_started")
        for step in range(1, 41):
            self.peer.step(step)
            if step % 10 == 0:
                terminal.until(rf"{step}/40")
        self.peer.end("succeeded")
        self.assertEqual(terminal.finish(), 0, terminal.text)

    def test_progress_is_redrawn_in_place(self):
        terminal = self.terminal("watch", "demo")
        self.run_to_the_end(terminal)
        lines = [line.rstrip("\r") for line in terminal.screen()]
        self.assertEqual(sum("40/40" in line for line in lines), 1, lines)
        self.assertTrue(any(line.startswith("demo") and "━" * 8 in line for line in lines), lines)
        self.assertTrue(any("loss 4.000 █" in line for line in lines), lines)
        self.assertEqual(sum("attempt 1 started" in line for line in lines), 1, lines)
        self.assertIn("\x1b[36m", terminal.text)

    def test_no_line_is_as_wide_as_the_terminal(self):
        for columns in (34, 60, 100):
            with self.subTest(columns=columns):
                terminal = self.terminal("watch", "demo", columns=columns, NO_COLOR="1")
                self.watched()
                self.peer.step(len(self.peer.records) + 1)
                terminal.until(r"loss")
                terminal.process.send_signal(signal.SIGINT)
                terminal.finish()
                with self.peer.lock:
                    self.peer.watchers.clear()
                frame = terminal.text.split("detached")[0]
                for line in re.split(r"[\r\n]|\x1b\[\d*[A-Z]", frame):
                    self.assertLess(len(line), columns, repr(line))

    def test_no_color_and_ascii_are_respected(self):
        terminal = self.terminal("watch", "demo", NO_COLOR="1", LC_ALL="C")
        self.run_to_the_end(terminal)
        self.assertNotRegex(terminal.text, r"\x1b\[\d*m")
        self.assertTrue(terminal.text.isascii(), terminal.text)
        self.assertIn("####", terminal.text)

    def test_a_dumb_terminal_gets_lines(self):
        terminal = self.terminal("watch", "demo", TERM="dumb")
        self.watched()
        self.peer.step(1)
        terminal.until(r"step 1/40")
        self.peer.end("succeeded")
        terminal.finish()
        self.assertNotIn("\x1b", terminal.text)

    def test_control_c_on_the_terminal_detaches(self):
        terminal = self.terminal("watch", "demo")
        self.watched()
        os.write(terminal.master, b"\x03")
        self.assertEqual(terminal.finish(), 130)
        self.assertIn("goes on", terminal.text)

    def test_text_of_a_job_cannot_steer_the_terminal(self):
        terminal = self.terminal("watch", "demo")
        self.watched()
        self.peer.event("job_requeued", reason={"evidence": "\x1b]0;owned\x07\x1b[2J", "hint": ""})
        terminal.until("owned")
        self.peer.end("succeeded")
        terminal.finish()
        self.assertNotIn("\x1b]", terminal.text)
        self.assertNotIn("\x1b[2J", terminal.text)


class Lists(ClientCase):
    def test_a_reader_that_leaves_ends_the_command_quietly(self):
        jobs = [{**self.peer.job(), "id": number} for number in range(5000, 0, -1)]
        self.peer.answers["job.list"] = {"jobs": jobs}  # again and again, whatever is asked
        line = f"{harness.BIN}/remora --socket {self.socket} ls | head -n 1"
        result = subprocess.run(["bash", "-c", line], text=True, capture_output=True, timeout=60,
                                env=harness.environment(), check=False)
        self.assertRegex(result.stdout, "JOB +NAME")
        self.assertEqual(result.stderr, "")

    def test_a_full_disk_is_an_error(self):
        line = f"{harness.BIN}/remora --socket {self.socket} ls > /dev/full"
        result = subprocess.run(["bash", "-c", line], text=True, capture_output=True, timeout=60,
                                env=harness.environment(), check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("standard output", result.stderr)

    def test_events_of_a_newer_daemon_are_shown(self):
        self.peer.event("job_teleported", to="mars")
        page = {"events": self.peer.events, "next_seq": 2}
        empty = {"events": [], "next_seq": 2}
        answers = [page, empty]
        plain = self.peer.result
        self.peer.result = lambda method, params: (
            answers.pop(0) if method == "job.events" else plain(method, params))
        self.assertIn('job_teleported {"to":"mars"}', self.remora("events", "demo").out)

    def test_logs_pass_bytes_through_page_by_page(self):
        text = "loss 1\n\tné\n" * 3
        data = text.encode()

        def page(method, params):
            if method != "job.logs":
                return plain(method, params)
            end = min(params["offset"] + 12, len(data))
            return {"text": data[params["offset"]:end].decode(), "offset": end, "size": len(data),
                    "attempt": 1, "ended": True}

        plain = self.peer.result
        self.peer.result = page
        self.assertEqual(self.remora("logs", "demo").out, text)
        self.peer.state = "failed"
        self.assertEqual(self.remora("logs", "demo", "-f").out, text)


class Errors(ClientCase):
    def test_another_protocol_is_named(self):
        self.peer.protocol = 2
        result = self.remora("ls", code=14)
        self.assertIn("protocol 2", result.err)

    def test_an_error_shows_field_and_hint(self):
        self.peer.answers["job.get"] = {"error": {
            "code": -32001, "message": "x", "data": {
                "status": "not_found", "field": "job", "message": "there is no job 'demo'",
                "hint": "did you mean 'demo2'?"}}}
        result = self.remora("show", "demo", code=3)
        self.assertIn("remora: there is no job 'demo'", result.err)
        self.assertIn("did you mean 'demo2'?", result.err)
        self.assertEqual(result.out, "")

    def test_a_named_socket_without_a_daemon_starts_none(self):
        result = self.run_program("remora", "--socket", self.folder / "none.sock", "ls", code=3)
        self.assertIn("no daemon listens", result.err)
        self.assertFalse((self.folder / "none.sock").exists())

    def test_bad_command_lines_are_refused_before_anything_is_asked(self):
        for arguments in (["show", "a b"], ["watch"], ["wait", "1", "--timeout", "soon"],
                          ["metrics", "1", "--kind", "steps"], ["metrics", "1", "--csv", "--json"],
                          ["export", "1"], ["run"], ["watch", "demo@3"], ["logs", "1", "--attempt", "0"]):
            with self.subTest(arguments=arguments):
                self.remora(*arguments, code=2)
        self.assertEqual(self.peer.asked, [])


if __name__ == "__main__":
    harness.main()
