"""One file a page: layout first, then the wiring."""
