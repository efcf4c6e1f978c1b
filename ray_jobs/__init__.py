"""The verbs of `expclip` on a Ray cluster: thin adapters over the library."""
