"""All dashboards."""

from collections.abc import Sequence
from typing import Final

from deploy.grafana import delivery, log, overview, partner, source
from deploy.grafana.panels import Board

BOARDS: Final[Sequence[Board]] = (overview.BOARD, source.BOARD, log.BOARD, delivery.BOARD, partner.BOARD)
