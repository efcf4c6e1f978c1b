"""Face trackers: video in, weights over time out."""
