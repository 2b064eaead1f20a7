"""Every metric, declared once: base units, bounded labels, never a title, a user or an address.

`COMMITTED` exports the counts that stand in the committed positions, so that a restart neither loses
nor repeats any; everything else counts what this process did. deploy/prometheus/METRICS.md lists all.
"""

from streamer.metrics.committed import *
from streamer.metrics.deliver import *
from streamer.metrics.enrich import *
from streamer.metrics.lag import *
from streamer.metrics.log import *
from streamer.metrics.origin import *
from streamer.metrics.process import *
from streamer.metrics.registry import *
from streamer.metrics.route import *
from streamer.metrics.source import *
from streamer.metrics.stages import *
