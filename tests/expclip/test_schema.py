"""Tables are told apart by their columns alone."""

import pyarrow as pa

from expclip import schema
from expclip.rig import load_rig
from ray_jobs import corpus, shards


def test_every_table_is_known_by_its_columns() -> None:
    for kind, table in schema.TABLES.items():
        assert schema.kind_of(table.names) == kind
        assert schema.kind_of([*reversed(table.names), "more"]) == kind
        assert schema.kind_of(shards.with_request(table).names) == kind
    assert schema.kind_of(corpus.joined(schema.TRACKS).names) == "TRACKS"
    assert schema.kind_of(["text", "id"]) is None


def test_tables_name_their_channels() -> None:
    assert schema.channels_of(schema.TRACKS) == load_rig().channels
    assert schema.channels_of(pa.schema([("weights", pa.float32())])) is None
