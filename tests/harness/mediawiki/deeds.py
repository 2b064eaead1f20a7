"""All deeds, by name: importing their modules registers them."""

from harness.mediawiki import housekeeping, writing
from harness.mediawiki.deed import DEEDS, WEIGHTS, Pages

__all__ = ["DEEDS", "WEIGHTS", "Pages", "housekeeping", "writing"]
