"""Real Kafka brokers on loopback, for development and tests: `make kafka`, or `Brokers` from a test."""

from deploy.kafka.artefacts import Unavailable
from deploy.kafka.brokers import Brokers

__all__ = ["Brokers", "Unavailable"]
