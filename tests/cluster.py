#!/usr/bin/env python3
"""Kills the primary of three PostgreSQL nodes while two `cloud` processes are under load.

    python3 tests/cluster.py [ROUNDS]

The nodes replicate synchronously to a quorum. Run it by hand: it takes some minutes and needs
PostgreSQL's programs, so `cargo test` doesn't run it.

Nothing acknowledged may be lost. While there is no primary, the answer is 503: never 401 for a good
token, and never 2xx for a revoked one. The last round shows what a primary that was cut off can
still answer. After any breach the exit status is 1.
"""

import base64
import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
ACCOUNT = "alice", "her secret"
BREACHES = []
# Processes and servers to stop at the end, even after an error.
RUNNING = []


def breach(what):
    BREACHES.append(what)
    print("BREACH:", what, flush=True)


def programs(name):
    debian = map(str, pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = shutil.which(name) or max(debian, default=None)
    return found or sys.exit(f"{name} is not installed: PostgreSQL's server programs are needed")


def run(*command, **options):
    """Runs a command, not as root: PostgreSQL refuses that."""
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_user, *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", **options)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Node:
    """One server. The first is made new, the others are copies that follow it."""

    def __init__(self, folder, name, follow=None):
        self.name, self.port, self.data = name, free_port(), folder / name
        if follow is None:
            encoding = ["-E", "UTF8", "--locale=C"]
            run(programs("initdb"), "-D", self.data, "-U", "postgres", "-A", "trust", *encoding)
            self.configure(
                "wal_level=replica", "max_wal_senders=10", "hot_standby=on",
                "synchronous_commit=on", "shared_buffers=16MB",
                "listen_addresses='127.0.0.1'", f"unix_socket_directories='{folder}'")
        else:
            source = f"host=127.0.0.1 port={follow.port} user=postgres application_name={name}"
            options = ["-R", "-X", "stream", "-c", "fast", "-d", source]
            run(programs("pg_basebackup"), "-D", self.data, *options)
        self.configure(f"port={self.port}")
        run(programs("pg_ctl"), "-D", self.data, "-w", "-l", folder / f"{name}.log", "start")

    def configure(self, *settings):
        text = "".join(f"{setting}\n" for setting in settings)
        run("tee", "-a", self.data / "postgresql.auto.conf", input=text)

    def reload(self, *settings):
        self.configure(*settings)
        run(programs("pg_ctl"), "-D", self.data, "reload")

    def sql(self, statement):
        server = ["-h", "127.0.0.1", "-p", self.port, "-U", "postgres"]
        return run(programs("psql"), *server, "-Atqc", statement, "postgres")

    def kill(self):
        run(programs("pg_ctl"), "-D", self.data, "-m", "immediate", "-w", "stop")

    def promote(self, follower):
        # Set before the promotion: otherwise the first commits would be on one server only.
        self.reload(f"synchronous_standby_names='ANY 1 ({follower.name})'")
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={follower.name}"
        follower.reload(f"primary_conninfo='{source}'")
        run(programs("pg_ctl"), "-D", self.data, "-w", "promote")


class Cluster:
    def __init__(self, folder):
        self.first = Node(folder, "n1")
        self.nodes = [self.first]
        RUNNING.append(self)
        self.nodes += [Node(folder, name, self.first) for name in ("n2", "n3")]
        self.first.reload("synchronous_standby_names='ANY 1 (n2,n3)'")
        quorum = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"
        until(lambda: self.first.sql(quorum) == "2")

    def furthest(self):
        """Returns the standby that received more, then the other.

        The first has all that was acknowledged: each commit waited for one of the two.
        """
        position = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::bigint"
        received = lambda node: int(node.sql(position))
        return sorted(self.nodes[1:], key=received, reverse=True)

    def stop(self):
        for node in self.nodes:
            try:
                node.kill()
            except RuntimeError:
                pass  # it is dead already


def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.1)
    sys.exit("it took too long")


class Cloud:
    def __init__(self, folder, name, nodes):
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        url = f"postgres://postgres@{hosts}/postgres?target_session_attrs=read-write&connect_timeout=2"
        data = folder / name
        data.mkdir()
        # All hosts have the same keys.
        if (folder / "tokens.key").exists():
            shutil.copy(folder / "tokens.key", data / "tokens.key")
        binary = BUILT / "cloud"
        command = [binary, "--data", data, "--listen", "127.0.0.1:0"]
        command += ["--user", ":".join(ACCOUNT), "--store", f"postgres:{url}"]
        self.log = open(folder / f"{name}.log", "w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        RUNNING.append(self)
        self.address = None
        for line in self.process.stdout:
            if "cloud is at" in line:
                self.address = line.split("http://")[1].split("/")[0]
                break
        self.address or sys.exit(f"the cloud did not start: {(folder / f'{name}.log').read_text()}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        shutil.copy(data / "tokens.key", folder / "tokens.key")

    def ask(self, method, path, user, password, body=None, seconds=10):
        """Returns the status, 0 if there was no answer, and the JSON."""
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection = http.client.HTTPConnection(self.address, timeout=seconds)
        try:
            headers = {"Authorization": f"Basic {login}", "Depth": "1"}
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else None
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def issue(self, **options):
        return self.ask("POST", "/api/tokens", *ACCOUNT, {"label": "load"}, **options)

    def revoke(self, token, **options):
        return self.ask("DELETE", f"/api/tokens/{token['id']}", *ACCOUNT, **options)[0]

    def enter(self, token):
        return self.ask("PROPFIND", "/dav/", ACCOUNT[0], token["token"])[0]

    def stop(self):
        self.process.kill()
        self.process.wait()


class Load:
    """Issues, enters and revokes until it is stopped, and records what was acknowledged."""

    def __init__(self, clouds):
        self.clouds, self.lock, self.stopped = clouds, threading.Lock(), threading.Event()
        self.good, self.revoked, self.unclear = [], [], 0
        self.statuses = collections.Counter()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        draw = random.Random(number)
        while not self.stopped.is_set():
            cloud = draw.choice(self.clouds)
            what = draw.choice(["issue", "enter", "enter", "enter again", "revoke"])
            status = getattr(self, what.replace(" ", "_"))(cloud, draw)
            if status is not None:
                with self.lock:
                    self.statuses[what, status] += 1
            if status not in (None, 201, 204, 207, 401):
                time.sleep(0.05)

    def issue(self, cloud, draw):
        status, token = cloud.issue()
        with self.lock:
            if status == 201:
                self.good.append(token)
            elif status != 503:
                self.unclear += 1
        return status

    def enter(self, cloud, draw):
        """Enters with a token that nobody has tried to revoke."""
        with self.lock:
            token = self.good and draw.choice(self.good)
        if not token:
            return None
        status = cloud.enter(token)
        with self.lock:
            still_good = token in self.good
        if status == 401 and still_good:
            breach(f"401 for the good token {token['id']}")
        return status

    def enter_again(self, cloud, draw):
        with self.lock:
            token = self.revoked and draw.choice(self.revoked)
        if not token:
            return None
        status = cloud.enter(token)
        if 200 <= status < 300:
            breach(f"{status} for the revoked token {token['id']}")
        return status

    def revoke(self, cloud, draw):
        with self.lock:
            if len(self.good) < 20:
                return None
            token = self.good.pop(draw.randrange(len(self.good)))
        status = cloud.revoke(token)
        with self.lock:
            if status == 204:
                self.revoked.append(token)
            else:
                self.unclear += 1
        return status

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def kill_the_primary(folder):
    cluster = Cluster(folder)
    clouds = [Cloud(folder, name, cluster.nodes) for name in ("a", "b")]
    load = Load(clouds)
    try:
        time.sleep(4)
        before = len(load.good), len(load.revoked)
        cluster.first.kill()
        time.sleep(3)
        with load.lock:
            outage = +load.statuses
        primary, follower = cluster.furthest()
        primary.promote(follower)
        promoted = time.monotonic()
        for cloud in clouds:
            until(lambda: cloud.issue()[0] == 201)
        reconnected = time.monotonic() - promoted
        time.sleep(4)
    finally:
        load.stop()
    answers_not = lambda status, token: any(cloud.enter(token) != status for cloud in clouds)
    lost = [token["id"] for token in load.good if answers_not(207, token)]
    alive = [token["id"] for token in load.revoked if answers_not(401, token)]
    for what, ids in (("acknowledged and not good", lost), ("revoked and not denied", alive)):
        if ids:
            breach(f"{len(ids)} tokens are {what}: {ids[:5]}")
    print(f"  issued and good {len(load.good)} ({before[0]} before the primary died), "
          f"revoked {len(load.revoked)} ({before[1]}), answers lost {load.unclear}; "
          f"both hosts write again {reconnected:.1f} s after the promotion")
    answers = (f"{what} {status}: {n}" for (what, status), n in sorted(outage.items()))
    print("  answers till the promotion:", ", ".join(answers))
    if not any(status == 503 for _, status in outage):
        breach("there was no outage")
    for what, status in load.statuses:
        if status not in (201, 204, 207, 401, 503):
            breach(f"{what} was answered by {status}")


def cut_the_primary_off(folder):
    """Cuts the standbys off from the primary, which lives on, and promotes one of them.

    A broken switch does the same.
    """
    cluster = Cluster(folder)
    old = cluster.first
    here, there = Cloud(folder, "a", [old]), Cloud(folder, "b", cluster.nodes)
    status, token = here.issue()
    assert status == 201, status
    assert there.enter(token) == 207
    there.stop()
    file = old.data / "pg_hba.conf"
    hba = file.read_text() if os.geteuid() else run("cat", file)
    reject = "host replication all all reject\nlocal replication all reject\n"
    run("tee", file, input=reject + hba)
    old.reload()
    old.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
    new, follower = cluster.furthest()
    new.promote(follower)
    there = Cloud(folder, "c", [new])
    until(lambda: there.issue()[0] == 201)
    assert there.revoke(token) == 204
    if there.enter(token) != 401:
        breach("the new primary lets the revoked token in")
    print("  the new primary denies the token that was revoked there; "
          f"the one that was cut off answers {here.enter(token)}")
    status, _ = here.issue(seconds=4)
    print(f"  it acknowledges no new token: {status or 'no answer in 4 seconds'}")
    if status == 201:
        breach("a primary that was cut off acknowledged a token")
    other = there.issue()[1]
    print(f"  a token made at the new primary is unknown to it: {here.enter(other)}")
    old.kill()
    status = here.enter(token)
    print(f"  once it is fenced (stopped), its host answers {status}")
    if status != 503:
        breach(f"{status} without a database")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    subprocess.run(["cargo", "build", "--quiet", "--package", "cloud"], cwd=ROOT, check=True)
    for number in range(rounds + 1):
        cut = number == rounds
        dies = f"round {number + 1} of {rounds}: the primary dies"
        print("a primary that was cut off:" if cut else dies, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)
            try:
                (cut_the_primary_off if cut else kill_the_primary)(pathlib.Path(folder))
            finally:
                while RUNNING:
                    RUNNING.pop().stop()
    print(f"{len(BREACHES)} breaches")
    sys.exit(1 if BREACHES else 0)


if __name__ == "__main__":
    main()
