"""A service's log on a cluster, as its settings and as a test opens it."""

import secrets

from deploy.kafka import Brokers
from streamer.log.kafka import KafkaLog


class OnKafka:
    """With topics of its own, so that several can be on one cluster."""

    def __init__(self, brokers: Brokers) -> None:
        self.bootstrap = tuple(brokers.bootstrap.split(","))
        self.prefix = f"t{secrets.token_hex(4)}"
        self.replication = min(3, len(self.bootstrap))

    @property
    def settings(self) -> str:
        return (
            f'kind = "kafka"\nbootstrap = {list(self.bootstrap)}\n'
            f'prefix = "{self.prefix}"\nreplication = {self.replication}'
        )

    def open(self) -> KafkaLog:
        return KafkaLog(self.bootstrap, prefix=self.prefix, replication=self.replication)
