#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of vmci on a real kernel's AF_VSOCK: the guide's, the rules of vmci/README.md, vmci-nc, vmci-cid."""
import re
import sys
import unittest
from itertools import count, product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import Workspace, program
from vmlib.case import kernel_image, main
from vmlib.machine import Machine

FLAVOURS = ("guide", "static-guide", "plain-guide")  # tests/vmci/CMakeLists.txt
GUIDE = [f"{flavour}-{kind}-{side}" for flavour in FLAVOURS for kind in ("stream", "dgram")
         for side in ("server", "client")]
OURS = ("vmci-nc", "vmci-cid", "vmci-rules", "vmci-address", *GUIDE)
STOCK = ("socat", "ncat")
MIB = 1 << 20
NUMBERS = count(1)

machine: Machine


def setUpModule() -> None:
    """One machine for all, with vsock_loopback: CID 1 is both ends."""
    global machine
    workspace = Workspace()
    unittest.addModuleCleanup(workspace.close)
    tools = [program(name) for name in OURS] + [Path("/usr/bin") / name for name in STOCK]
    machine = Machine(workspace, "machine", kernel_image(workspace, tools))
    machine.run("load vsock loopback")


class InMachine(unittest.TestCase):
    def setUp(self) -> None:
        self.notes: list[str] = []
        self.names: dict[str, str] = {}  # in the machine, of those that were started last

    def start(self, name: str, *argv, ready: str) -> str:
        """Starts a program that lives no longer than the test, with its children; the line that matched `ready`."""
        self.mark = machine.process.mark()
        self.names[name] = unique = f"{name}-{next(NUMBERS)}"  # or the end of the last one could be taken for its end
        machine.start(unique, ["setsid", *argv], ready=None)
        self.addCleanup(machine.run, f"kill -9 -$(cat /run/start/{unique}/pid) 2>/dev/null; true")
        return self.says(name, ready)

    def says(self, name: str, pattern: str) -> str:
        """Waits for a line of a program that was started last."""
        return machine.wait_log(self.names[name], pattern, mark=self.mark)

    def ends_well(self, name: str) -> None:
        self.assertEqual(machine.wait_end(self.names[name]), 0)

    def with_module(self, name: str, module: str) -> None:
        """For the time of the test: it changes what the kernel's vsock can do."""
        machine.run(f"load {name}")
        # Not at once: sockets of those that were killed may still be on their way out.
        self.addCleanup(machine.run, f"timeout 20 sh -c 'until rmmod {module} 2>/dev/null; do sleep 0.1; done'")

    def rules(self, transport: str) -> None:
        output = machine.run(f"VMCI_TRANSPORT=kernel vmci-rules {transport}", timeout=120)
        self.assertNotIn("BROKEN", output)
        self.notes.append(f"{len(output.splitlines())} rules hold")


class Guide(InMachine):
    """vm.programs: the Programming Guide's programs, and the rules, on the kernel's AF_VSOCK"""

    def test_functions(self) -> None:
        """VMCISock_...: what mainline's device answers"""
        self.assertEqual(machine.run("vmci-address").splitlines(),
                         ["family 40", "family by fd 40", "device none", "cid 1", "version 1.0.2"])

    def test_rules(self) -> None:
        """names, options, connecting, streams; no datagrams without VMCI"""
        self.rules("kernel")

    def test_streams(self) -> None:
        """chapter 3: the server's any port, buffers, select; the client's poll and half-close"""
        for server, client in product(FLAVOURS, FLAVOURS):
            with self.subTest(server=server, client=client):
                said = self.start("server", f"{server}-stream-server", "any", ready=r"listening at \d+:\d+")
                port = said.rsplit(":", 1)[1]
                self.assertGreaterEqual(int(port), 1024)
                answer = machine.run(f"head -c 100000 /dev/zero | {client}-stream-client 1 {port}")
                self.assertEqual(answer, "100000 bytes received\n")
                self.says("server", r"connected from 1:\d+")
                self.ends_well("server")
        self.notes.append(f"{len(FLAVOURS)} servers with {len(FLAVOURS)} clients: {', '.join(FLAVOURS)}")

    def test_no_datagrams(self) -> None:
        """chapter 4 without VMware's VMCI: no such device"""
        for flavour in FLAVOURS:
            with self.subTest(flavour):
                output = machine.run(f"{flavour}-dgram-server any 1; echo ended with $?")
                self.assertRegex(output, r"\A(bind|socket): No such device\nended with 1\n\Z")


class Datagrams(InMachine):
    """vm.programs: datagrams of the kernel, over the host side of VMware's VMCI (CID 2 with itself)"""

    def setUp(self) -> None:
        super().setUp()
        self.with_module("vmci", "vmw_vsock_vmci_transport")

    def test_rules(self) -> None:
        """addresses, connected sockets, sizes, errors"""
        self.rules("vmci")

    def test_guide(self) -> None:
        """chapter 4: by sendto, and by connect and send"""
        for server, client in product(FLAVOURS, FLAVOURS):
            with self.subTest(server=server, client=client):
                said = self.start("server", f"{server}-dgram-server", "any", 2, ready=r"receiving at \d+:\d+")
                port = said.rsplit(":", 1)[1]
                self.assertEqual(machine.run(f"{client}-dgram-client 2 {port}"),
                                 f"2:{port} answers by sendto\n2:{port} answers by connect and send\n")
                self.says("server", r"19 bytes from 2:\d+")
                self.ends_well("server")

    def test_nc(self) -> None:
        """vmci-nc -u: connected and listening"""
        self.start("server", "sh", "-c", "echo answer | vmci-nc -v -u -l vsock:any:6000", ready="receiving at")
        output = machine.run("(echo question; sleep 1) | vmci-nc -v -u -w 1 vsock:2:6000 2>&1")
        self.assertIn("sending to vsock:2:6000", output)
        self.says("server", "question")

    def test_relays(self) -> None:
        """vmci-nc -u -r: an unmodified UDP service, UDP to VMCI to UDP"""
        self.start("service", "socat", "-d", "-d", "-t20", "UDP-RECVFROM:4001,bind=127.0.0.1,fork", "EXEC:cat",
                   ready="receiving|receiver|recvfrom|starting")
        self.start("exit", "vmci-nc", "-v", "-u", "-r", "vsock:any:6000", "udp:127.0.0.1:4001", ready="receiving at")
        self.start("entrance", "vmci-nc", "-v", "-u", "-r", "udp:127.0.0.1:4000", "vsock:2:6000",
                   ready="receiving at")
        for text in ("one", "two"):
            client = "socat -t20 - UDP:127.0.0.1:4000,readbytes=3,shut-none"
            self.assertEqual(machine.run(f"printf {text} | {client}"), text)


class Netcat(InMachine):
    """vm.programs: vmci-nc on the kernel's AF_VSOCK"""

    FILE = "/tmp/file"

    @classmethod
    def setUpClass(cls) -> None:
        machine.run(f"head -c {MIB} /dev/urandom >{cls.FILE}")
        cls.addClassCleanup(machine.run, f"rm {cls.FILE}")
        cls.digest = machine.run(f"sha256sum <{cls.FILE}").split()[0]

    def answer_with_digest(self, listen: str, ready: str) -> None:
        """A server that reads to the end, then answers: a half-close."""
        machine.run("rm -f /tmp/answer; mkfifo /tmp/answer")
        self.start("server", "sh", "-c", f"{listen} </tmp/answer | sha256sum >/tmp/answer", ready=ready)

    def ask(self, client: str) -> None:
        self.assertIn(self.digest, machine.run(f"{client} <{self.FILE}", timeout=120))

    def test_half_close(self) -> None:
        """-N: 1 MiB there, their digest back after the end"""
        self.answer_with_digest("vmci-nc -v -N -l vsock:any:5000", "listening on")
        self.ask("vmci-nc -N vsock:1:5000")
        self.says("server", r"connection from CID 1 port \d+")
        self.ends_well("server")

    def test_stock_clients(self) -> None:
        """socat and ncat connect to it"""
        for tool, client in (("socat", "socat -t20 - VSOCK-CONNECT:1:5000"), ("ncat", "ncat --vsock 1 5000")):
            with self.subTest(tool):
                self.answer_with_digest("vmci-nc -v -N -l 5000", "listening on")
                self.ask(client)
                self.ends_well("server")

    def test_stock_servers(self) -> None:
        """it connects to socat and ncat"""
        self.start("server", "socat", "-d", "-d", "-t20", "VSOCK-LISTEN:5000", "EXEC:sha256sum", ready="listening on")
        self.ask("vmci-nc -N 1 5000")
        self.says("server", "accepting connection from AF=40 cid:1 port:")
        self.start("server", "sh", "-c", "echo answer | ncat --vsock -v -l 5001", ready="Listening on")
        self.assertEqual(machine.run("vmci-nc vsock:1:5001 </dev/null"), "answer\n")

    def test_keep(self) -> None:
        """-k: one connection after the other"""
        self.start("server", "sh", "-c", "vmci-nc -v -k -l vsock:any:5000 </dev/null", ready="listening on")
        for word in ("one", "two", "three"):
            machine.run(f"echo {word} | vmci-nc -N vsock:1:5000")
            self.says("server", word)

    def test_relays(self) -> None:
        """TCP to vsock to TCP, many connections"""
        self.start("service", "socat", "-d", "-d", "-t20", "TCP-LISTEN:4001,bind=127.0.0.1,fork,reuseaddr",
                   "EXEC:sha256sum", ready="listening on")
        self.start("exit", "vmci-nc", "-v", "-r", "vsock:any:5000", "tcp:127.0.0.1:4001", ready="listening on")
        self.start("entrance", "vmci-nc", "-v", "-r", "tcp:127.0.0.1:4000", "vsock:1:5000", ready="listening on")
        for _ in range(2):
            self.ask("socat -t20 - TCP:127.0.0.1:4000")
        output = machine.run("for i in 1 2 3 4; do (echo $i | socat -t40 - TCP:127.0.0.1:4000) & done; wait")
        self.assertEqual(len(set(output.split()) - {"-"}), 4, f"{output}\n{machine.process.since(self.mark)}")
        self.says("exit", r"connection from CID 1 port \d+")

    def test_scan(self) -> None:
        """-z: the open ports of a range"""
        for port in (5001, 5003):
            self.start(f"at-{port}", "sh", "-c", f"vmci-nc -v -k -l vsock:any:{port} </dev/null", ready="listening on")
        output = machine.run("vmci-nc -v -z vsock:1:5000-5004 2>&1")
        self.assertEqual(re.findall(r"^(vsock:1:\d+) open$", output, re.MULTILINE), ["vsock:1:5001", "vsock:1:5003"])
        self.assertEqual(output.count("nobody listens there"), 3)

    def test_properties(self) -> None:
        """-v: transport, family, local CID, version"""
        self.assertIn("transport kernel, family 40, local CID 1, version 1.0.2",
                      machine.run("vmci-nc -v vsock:1:5009 2>&1; true"))

    def test_as_a_host(self) -> None:
        """with vhost_vsock, which looks for the machine: there is none"""
        self.with_module("host", "vhost_vsock")
        output = machine.run("vmci-nc -v vsock:77:5000 2>&1; echo ended with $?")
        self.assertIn("local CID 2", output)
        self.assertIn("No such device", output)
        self.assertTrue(output.endswith("ended with 1\n"), output)

    def test_errors(self) -> None:
        """nobody there, no such machine, a port in use, a foreign CID, no datagrams"""
        self.start("server", "sh", "-c", "vmci-nc -v -k -l vsock:any:5000 </dev/null", ready="listening on")
        for words, said in (("vsock:1:5009", "nobody listens there"), ("vsock:77:5000", "No such device"),
                            ("-l vsock:any:5000", "Address already in use"),
                            ("-l vsock:77:5000", "not a CID of this machine"),
                            ("-u -l vsock:any:6000", "No such device")):
            with self.subTest(words):
                output = machine.run(f"vmci-nc {words} 2>&1; echo ended with $?")
                self.assertIn(said, output)
                self.assertTrue(output.endswith("ended with 1\n"), output)


class Cid(InMachine):
    """vm.programs: vmci-cid on the kernel's AF_VSOCK"""

    def check(self, cid: int, role: str) -> None:
        self.assertEqual(machine.run("vmci-cid"), f"{cid}\n")
        self.assertEqual(machine.run("vmci-cid -v").splitlines(),
                         [f"{cid}", f"which is: {role}", "because: the kernel says so, by /dev/vsock",
                          "transport: kernel", "family: 40", "version: 1.0.2"])

    def test_alone(self) -> None:
        """without a hypervisor: 1"""
        self.check(1, "this machine alone: no hypervisor gave it a CID")

    def test_host(self) -> None:
        """on a host, by vhost_vsock: 2"""
        self.with_module("host", "vhost_vsock")
        self.check(2, "a host")

    def test_no_device(self) -> None:
        """no device: why there is no CID"""
        output = machine.run("mv /dev/vsock /dev/away; vmci-cid 2>&1; echo ended with $?; mv /dev/away /dev/vsock")
        self.assertRegex(output, r"\Avmci-cid: no CID: .*/dev/vsock.*\nended with 1\n\Z")


if __name__ == "__main__":
    main()
