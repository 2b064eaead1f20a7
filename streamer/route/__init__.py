"""One article, many partners: the third role."""
