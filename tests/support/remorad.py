"""Talks to a real remorad over its socket, without the command line: what the daemon's own tests
need beside harness.py. Its jobs run scripted_worker.c, which does what a job's name says."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import harness

TOOLS = pathlib.Path(os.environ.get("REMORA_TEST_TOOLS", harness.BIN.parent / "tests"))


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data") or {}


class Connection:
    """JSON-RPC over the socket. Notifications are kept in the order of their arrival."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30 * harness.PATIENCE)
        self.socket.connect(str(path))
        self.buffer = b""
        self.next_id = 0
        self.notifications = []
        if greet:
            self.call("hello", protocol=1, program="test")

    def close(self):
        self.socket.close()

    def send(self, line):
        self.socket.sendall(line if isinstance(line, bytes) else line.encode() + b"\n")

    def receive(self):
        """The next message, or None when the daemon has hung up."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def request(self, method, **params):
        self.next_id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.next_id, "method": method,
                              "params": params}))
        return self.next_id

    def call(self, method, **params):
        wanted = self.request(method, **params)
        while True:
            message = self.receive()
            if message is None:
                raise ConnectionError("the daemon hung up")
            if message.get("id") == wanted:
                break
            self.notifications.append(message)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    def next_notification(self):
        if self.notifications:
            return self.notifications.pop(0)
        return self.receive()


class Remorad:
    """A daemon with a state folder of its own, killed and started again at will."""

    def __init__(self, case, slots=2):
        self.case = case
        self.state = case.folder / "state"
        self.socket = case.folder / "run" / "remora.sock"
        self.log = case.folder / "remorad.log"
        self.slots = slots
        self.process = None
        self.connection = None

    def command(self, program=None):
        return [str(program or harness.BIN / "remorad"), "--state-dir", str(self.state), "--socket",
                str(self.socket), "--slots", str(self.slots), "--worker",
                str(TOOLS / "scripted-worker")]

    def spawn(self, program=None, **more):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command(program), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            env=harness.environment(**more))

    def start(self, program=None, **more):
        self.spawn(program, **more)
        self.connect()
        return self

    def connect(self):
        def attempt():
            if self.process.poll() is not None:
                raise AssertionError(f"remorad ended: {self.log.read_text()}")
            try:
                return Connection(self.socket)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        self.connection = harness.until("the daemon answers", attempt, 20)

    def call(self, method, **params):
        return self.connection.call(method, **params)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(30)
        if self.connection:
            self.connection.close()

    def restart(self):
        self.kill()
        return self.start()

    def finish(self):
        """Ends the daemon and what is left of its jobs; then the log must replay to the tables."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(30)
        for pid in self.job_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        harness.until("no process of a job is left", lambda: not self.job_processes(), 30)
        harness.remove_leftovers(self.state)
        harness.check_replay(self.case, self.state)
        harness.check_log(self.case, self.log)

    def submit(self, name, ranks=1, steps=10, step_ms=0, attempts=3, every=5):
        return self.call("job.submit", spec=self.case.spec(name, ranks, steps, step_ms, attempts,
                                                           every))["job"]

    def job(self, job):
        return self.call("job.get", job=job)

    def state_of(self, job):
        return self.job(job)["job"]["state"]

    def wait(self, job, *states, seconds=60):
        """The job's detail once it is in one of the states, by default the final ones."""
        final = ("succeeded", "failed", "cancelled")

        def reached():
            state = self.state_of(job)
            if state in (states or final):
                return self.job(job)
            if state in final:  # for good: waiting on would only cost time
                raise AssertionError(f"job {job} is {state}: {self.job(job)}")
            return None

        return harness.until(f"job {job} is {' or '.join(states or final)}", reached, seconds)

    def reach(self, job, step):
        harness.until(f"job {job} reaches step {step}",
                      lambda: (self.job(job)["job"]["step"] or 0) >= step)

    def attached(self, job):
        """Waits until the daemon and rank 0 of the job's newest attempt know each other."""
        harness.until("rank 0 is attached",
                      lambda: "attached\n" in self.call("job.logs", job=job)["text"])

    def steps(self, job):
        return [row["step"] for row in self.call("job.metrics", job=job)["rows"]]

    def events(self, job=None):
        params = {"job": job} if job else {}
        return self.call("job.events", limit=5000, **params)["events"]

    def event_types(self, job):
        return [event["type"] for event in self.events(job)]

    def run_folder(self, job):
        return self.state / "jobs" / str(job) / "run"

    def launches(self, job):
        """(attempt, rank, pid) of every worker that was ever started for the job."""
        path = self.run_folder(job) / "launches"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(map(int, line.split())) for line in lines]

    def shims(self):
        return {path.parent: json.loads(path.read_text())
                for path in self.state.glob("jobs/*/attempts/*/shim.json")}

    def attempt_ids(self):
        return [json.loads(path.read_text())["attempt_id"]
                for path in self.state.glob("jobs/*/attempts/*/launch.json")]

    def job_processes(self):
        return sorted({pid for name in self.attempt_ids()
                       for pid in harness.processes_with(f"REMORA_ATTEMPT_ID={name}")})


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.corpus_folder = self.folder / "corpus"
        subprocess.run([TOOLS / "scripted-worker", "corpus", self.corpus_folder], check=True)

    def remorad(self, **options):
        daemon = Remorad(self, **options)
        self.addCleanup(daemon.finish)
        return daemon

    def spec(self, name, ranks=1, steps=10, step_ms=0, attempts=3, every=5):
        corpus = self.corpus_folder
        return {
            "kind": "train",
            "name": name,
            "model": {
                "config": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
                           "num_attention_heads": 4},
                "tokenizer": str(corpus / "tokenizer.model"),
            },
            "data": {
                "train": [{"shards": str(corpus / "train")}],
                "validation": {"shards": str(corpus / "validation"), "sequences": 8},
                "sequence_length": 32,
            },
            "method": {"name": "full"},
            "optimizer": {"name": "adamw", "lr": 0.003},
            "schedule": {"name": "constant"},
            "batch": {"global": 8, "micro": 1},
            "steps": steps,
            "seed": step_ms,
            "launch": {"ranks": ranks, "threads_per_rank": 1},
            "checkpoint": {"every": every},
            "evaluate": {"every": every},
            "retry": {"max_attempts": attempts},
        }


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def now_ms():
    return time.time() * 1000
