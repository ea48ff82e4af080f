"""A key goes where the SDK itself would send it: its buffered producer routes on the client's side."""

from azure.eventhub._buffered_producer._partition_resolver import PartitionResolver
from hypothesis import given
from hypothesis import strategies as st

from pegel.local.eventhubs.partition_key import partition_of


@given(st.text(max_size=40), st.integers(1, 32))
def test_a_key_has_the_partition_that_the_sdk_resolves(key, partitions):
    resolver = PartitionResolver([str(number) for number in range(partitions)])
    assert str(partition_of(key, partitions)) == resolver.get_partition_id_by_partition_key(key)
