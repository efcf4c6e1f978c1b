"""Corpora: one importer a corpus, each yielding rows of CLIPS and, where it brings weights, of TRACKS."""
