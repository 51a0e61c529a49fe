"""What comes over the socket: good requests, bad ones, too many, too slow; and watching."""

import json
import socket

import harness
import remorad

JOB_STATES = ["queued", "starting", "running", "stopping", "paused", "succeeded", "failed",
              "cancelled"]


class Protocol(remorad.Case):
    def setUp(self):
        super().setUp()
        self.daemon = self.remorad().start()
        self.connection = self.daemon.connection

    def refused(self, line, code, connection=None):
        connection = connection or self.connection
        connection.send(line)
        error = connection.receive()["error"]
        self.assertEqual(error["code"], code, error)
        for part in ("status", "field", "message", "hint"):
            self.assertIn(part, error["data"])
        return error

    def test_hello_comes_first_and_speaks_one_protocol(self):
        connection = remorad.Connection(self.daemon.socket, greet=False)
        with self.assertRaises(remorad.RpcError) as caught:
            connection.call("job.list")
        self.assertEqual(caught.exception.data["status"], "conflict")
        with self.assertRaises(remorad.RpcError) as caught:
            connection.call("hello", protocol=2, program="test")
        self.assertEqual(caught.exception.data["status"], "unsupported")
        self.assertEqual(caught.exception.data["field"], "protocol")
        hello = connection.call("hello", protocol=1, program="test")
        self.assertEqual((hello["protocol"], hello["pid"]), (1, self.daemon.process.pid))

    def test_bad_lines_are_answered_and_the_connection_stays(self):
        self.refused("{", -32700)
        self.refused('{"a": 1, "a": 2}', -32700)
        self.refused("[]", -32600)
        self.refused('{"jsonrpc": "1.0", "id": 1, "method": "hello"}', -32600)
        self.refused('{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": [1]}', -32600)
        error = self.refused('{"jsonrpc": "2.0", "id": 1, "method": "job.lst", "params": {}}', -32601)
        self.assertIn("job.list", error["data"]["hint"])
        error = self.refused('{"jsonrpc": "2.0", "id": 1, "method": "job.list", "params": '
                             '{"limit": 0}}', -32602)
        self.assertEqual(error["data"]["field"], "limit")
        self.refused('{"jsonrpc": "2.0", "id": 1, "method": "job.get", "params": {}}', -32602)
        self.assertEqual(self.daemon.call("job.list")["jobs"], [])

    def test_a_line_of_10_mib_ends_the_connection_only(self):
        victim = remorad.Connection(self.daemon.socket)
        try:
            victim.send(b"x" * (10 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        message = victim.receive()
        if message:  # a reset may have overtaken it
            self.assertEqual(message["error"]["data"]["status"], "limit")
        self.assertEqual(self.daemon.call("daemon.status")["pid"], self.daemon.process.pid)

    def test_a_bad_spec_is_refused_with_its_field(self):
        spec = self.spec("typo")
        spec["optimizer"]["lr"] = -1
        with self.assertRaises(remorad.RpcError) as caught:
            self.daemon.call("job.submit", spec=spec)
        self.assertEqual(caught.exception.code, -32602)
        self.assertEqual(caught.exception.data["field"], "optimizer.lr")
        self.assertEqual(self.daemon.events(), [])

    def test_unknown_and_ambiguous_jobs(self):
        for name in ("nobody", 77, "77"):
            with self.assertRaises(remorad.RpcError) as caught:
                self.daemon.call("job.get", job=name)
            self.assertEqual(caught.exception.data["status"], "not_found")
        jobs = [self.daemon.submit("twin", steps=1) for _ in range(2)]
        with self.assertRaises(remorad.RpcError) as caught:
            self.daemon.call("job.get", job="twin")
        self.assertIn(f"{jobs[1]}, {jobs[0]}", caught.exception.data["hint"])
        for job in jobs:
            self.daemon.wait(job)

    def test_the_socket_is_private(self):
        self.assertEqual(self.daemon.socket.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.daemon.socket.parent.stat().st_mode & 0o777, 0o700)

    def test_too_many_connections_are_refused_with_a_reason(self):
        crowd = []
        reason = None
        while len(crowd) < 300 and reason is None:
            connection = remorad.Connection(self.daemon.socket, greet=False)
            crowd.append(connection)
            try:
                connection.send('{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": '
                                '{"protocol": 1, "program": "crowd"}}')
            except BrokenPipeError:
                pass  # refused before it could ask; the reason is there to be read
            reason = connection.receive().get("error")
        self.assertEqual(reason["data"]["status"], "limit")
        self.assertEqual(len(crowd), 256)  # ours was there before
        for connection in crowd:
            connection.close()
        harness.until("there is room again", lambda: self.room())

    def room(self):
        try:
            remorad.Connection(self.daemon.socket).close()
            return True
        except (remorad.RpcError, ConnectionError, KeyError):
            return False

    def test_events_are_paged_without_gap(self):
        job = self.daemon.submit("crash", steps=20)
        self.daemon.wait(job, "succeeded")
        whole = self.daemon.events()
        paged, next_seq = [], 0
        while True:
            page = self.daemon.call("job.events", from_seq=next_seq, limit=3)
            if not page["events"]:
                break
            paged += page["events"]
            next_seq = page["next_seq"]
        self.assertEqual(paged, whole)
        self.assertEqual([event["seq"] for event in whole], list(range(1, len(whole) + 1)))

    def test_metrics_are_paged_and_superseded_points_dropped(self):
        job = self.daemon.submit("crash", steps=21, every=7)
        self.daemon.wait(job, "succeeded")
        paged, step = [], 0
        while step is not None:
            page = self.daemon.call("job.metrics", job=job, from_step=step, limit=4)
            paged += page["rows"]
            step = page["next"]
        self.assertEqual([row["step"] for row in paged], list(range(1, 22)))
        self.assertEqual({row["attempt"] for row in paged if row["step"] > 7}, {2})
        everything = self.daemon.call("job.metrics", job=job, superseded=True)["rows"]
        self.assertEqual([row["step"] for row in everything if row["superseded"]], [8, 9, 10])
        self.assertEqual([row["step"] for row in
                          self.daemon.call("job.metrics", job=job, kind="checkpoint")["rows"]],
                         [7, 14, 21])

    def test_large_records_are_paged_by_bytes(self):
        job = self.daemon.submit("plain", steps=1, every=1000)
        self.daemon.wait(job, "succeeded")
        self.daemon.kill()
        rows = [{"type": "checkpoint", "attempt": 1, "step": 2 + i, "time_ms": 1,
                 "path": "/" + "x" * 40000} for i in range(200)]  # more than one line may hold
        with open(self.daemon.run_folder(job) / "records.jsonl", "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self.daemon.start()
        harness.until("the records are read", lambda: self.daemon.job(job)["checkpoint"]["step"] ==
                      rows[-1]["step"])
        paged, step, pages = [], 0, 0
        while step is not None:
            page = self.daemon.call("job.metrics", job=job, kind="checkpoint", from_step=step,
                                    limit=5000)
            paged += page["rows"]
            step = page["next"]
            pages += 1
        self.assertEqual([row["step"] for row in paged[-200:]], [row["step"] for row in rows])
        self.assertGreater(pages, 4)

    def test_logs_are_paged_as_text(self):
        job = self.daemon.submit("plain", ranks=2, steps=1)
        self.daemon.wait(job, "succeeded")
        path = self.daemon.state / "jobs" / str(job) / "attempts" / "1" / "output.log"
        path.write_bytes("aé€😀z".encode() + b"\xff\x00 torn \xe2\x82")
        text, offset = "", 0
        while True:
            page = self.daemon.call("job.logs", job=job, offset=offset, limit_bytes=5)
            text += page["text"]
            offset = page["offset"]
            if offset == page["size"]:
                break
        self.assertEqual(text, "aé€😀z\ufffd\ufffd torn \ufffd\ufffd")

    def test_a_watcher_sees_every_event_once_wherever_it_begins(self):
        first = self.daemon.submit("crash", steps=20, step_ms=5)
        early = remorad.Connection(self.daemon.socket)
        early.call("job.watch", from_seq=0)
        self.daemon.reach(first, 3)
        middle = remorad.Connection(self.daemon.socket)
        middle.call("job.watch", from_seq=4)
        second = self.daemon.submit("plain", steps=20, step_ms=5)
        only = remorad.Connection(self.daemon.socket)
        only.call("job.watch", job=second, from_seq=0)
        for job in (first, second):
            self.daemon.wait(job, "succeeded")
        events = self.daemon.events()
        last = events[-1]["seq"]
        for watcher, wanted in ((early, events), (middle, events[3:]),
                                (only, [e for e in events if e["job"] == second])):
            seen, progress = [], []
            while not seen or seen[-1]["seq"] < wanted[-1]["seq"]:
                message = watcher.next_notification()
                if message["method"] == "event":
                    seen.append(message["params"])
                else:
                    progress.append(message["params"])
            self.assertEqual(seen, wanted)
            self.assertTrue(progress)
        self.assertEqual([p["record"]["step"] for p in progress
                          if p["record"]["type"] == "step"], list(range(1, 21)))
        self.assertTrue(all(p["job"] == second for p in progress))
        early.call("job.unwatch")
        late = remorad.Connection(self.daemon.socket)
        self.assertEqual(late.call("job.watch", from_seq=last)["seq"], last)
        self.assertEqual(late.next_notification()["params"], events[-1])

    def test_a_watcher_goes_on_after_a_restart_of_the_daemon(self):
        job = self.daemon.submit("plain", steps=120, step_ms=10)
        watcher = remorad.Connection(self.daemon.socket)
        watcher.call("job.watch", from_seq=0)
        self.daemon.reach(job, 10)
        self.daemon.kill()
        seen = []
        while (message := watcher.next_notification()) is not None:
            if message["method"] == "event":
                seen.append(message["params"])
        self.daemon.start()
        watcher = remorad.Connection(self.daemon.socket)
        watcher.call("job.watch", from_seq=seen[-1]["seq"] + 1)
        while not seen or seen[-1]["type"] != "job_succeeded":
            message = watcher.next_notification()
            if message["method"] == "event":
                seen.append(message["params"])
        self.assertEqual(seen, self.daemon.events())

    def test_a_watcher_that_does_not_read_harms_nobody(self):
        sleeper = remorad.Connection(self.daemon.socket)
        sleeper.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeper.request("job.watch", from_seq=0)
        job = self.daemon.submit("plain", steps=300)
        self.daemon.wait(job, "succeeded")
        self.assertEqual(len(self.daemon.steps(job)), 300)

    def test_status_counts_jobs(self):
        job = self.daemon.submit("plain", steps=1)
        self.daemon.wait(job, "succeeded")
        status = self.daemon.call("daemon.status")
        self.assertEqual(sorted(status["jobs"]), sorted(JOB_STATES))
        self.assertEqual(status["jobs"]["succeeded"], 1)
        self.assertEqual(status["slots"], {"total": 2, "free": 2})
        self.assertEqual(self.daemon.call("job.list")["jobs"], [])
        self.assertEqual([j["id"] for j in self.daemon.call("job.list", all=True)["jobs"]], [job])

    def test_many_requests_in_one_write(self):
        lines = [json.dumps({"jsonrpc": "2.0", "id": i, "method": "daemon.status", "params": {}})
                 for i in range(200)]
        self.connection.send(("\n".join(lines) + "\n").encode())
        self.assertEqual([self.connection.receive()["id"] for _ in range(200)], list(range(200)))


if __name__ == "__main__":
    harness.main()
