"""Changes become articles: the second role."""
