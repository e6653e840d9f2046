"""A real Kafka broker on this machine: one KRaft node, its jars from Maven Central."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from spymaster.settings import Settings
from tests.bus.certificate import certificate
from tests.jars import jars

POM = Path(__file__).with_name("pom.xml")
CONNECTION = "Endpoint=sb://127.0.0.1/;SharedAccessKeyName=t;SharedAccessKey=bG9jYWwtc2VjcmV0"
VARIABLE = "BUS_TEST_CONNECTION"
_STARTED = 120.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=SASL_SSL://127.0.0.1:{sasl},PLAIN://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{sasl},PLAIN://127.0.0.1:{plain}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=PLAIN,OAUTHBEARER
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
listener.name.sasl_ssl.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
user_$ConnectionString="{connection}";
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.internals.unsecured.\
OAuthBearerUnsecuredValidatorCallbackHandler
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.dirs={data}
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return found


class Broker:
    """Starts at once; `kill` and `start` make a restart on the same ports and data."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._jars = folder, jars(POM, "a Kafka broker", "kafka")
        self.ca, keystore = certificate(folder)
        sasl, plain, controller = free_ports(3)
        self.sasl, self.plain = f"127.0.0.1:{sasl}", f"127.0.0.1:{plain}"
        self._properties = folder / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(sasl=sasl, plain=plain, controller=controller, keystore=keystore,
                              data=folder / "data", connection=CONNECTION)
        )  # fmt: skip
        subprocess.run(
            [*self._java(), "kafka.tools.StorageTool", "format", "--standalone",
             "-t", "c3B5bWFzdGVyLXRlc3Rz1A", "-c", self._properties],
            check=True, capture_output=True,
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _java(self) -> list[str]:
        quick = ["-Xmx512m", "-XX:+UseSerialGC"]
        return ["java", *quick, "-cp", f"{self._jars}/*"]

    def start(self) -> None:
        log = self.folder / "broker.log"
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        until = time.monotonic() + _STARTED
        while "Kafka Server started" not in log.read_text():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise AssertionError(f"the broker did not start: {log.read_text()[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def settings(self, auth: str = "connection_string", **bus: object) -> Settings:
        """Settings for this broker; the connection string lies in the environment."""
        kafka = {
            "servers": self.plain if auth == "none" else self.sasl,
            "auth": auth,
            "ca": "" if auth == "none" else str(self.ca),
            "connection_string_variable": VARIABLE,
        }
        return Settings.model_validate(
            {"bus": {"kind": "kafka", "wait_s": 30.0, **bus, "kafka": {**kafka}}}
        )
