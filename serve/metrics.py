"""What a replica counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one replica, each replica's own: scrape all of them, not the proxy."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.streams = Gauge("expclip_streams", "Streams that are open", registry=own)
        self.requests = Counter("expclip_requests", "Requests answered", ("path", "status"), registry=own)
        self.rejects = Counter("expclip_rejects", "Requests and streams refused", ("kind",), registry=own)
        self.seconds = Histogram("expclip_request_seconds", "Time to answer", ("path",), buckets=_SECONDS, registry=own)
        self.first_frame = Histogram(
            "expclip_first_frame_seconds", "First sound to first frame of a stream", buckets=_SECONDS, registry=own
        )
        self.lateness = Histogram(
            "expclip_frame_lateness_seconds", "Sound taken to its frames given", buckets=_SECONDS, registry=own
        )
        self.batch = Histogram(
            "expclip_batch_streams", "Streams of a pass", buckets=(1, 2, 4, 8, 16, 32, 64), registry=own
        )
        self.pass_seconds = Histogram("expclip_pass_seconds", "Time of a tick's passes", buckets=_SECONDS, registry=own)
        self.audio = Counter("expclip_audio_seconds", "Sound animated", registry=own)
        self.compute = Counter("expclip_compute_seconds", "Time spent on it: with the above, RTF", registry=own)

    def text(self) -> bytes:
        """Return them as Prometheus reads them."""
        return generate_latest(self.registry)
