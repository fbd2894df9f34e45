import pytest

from tests.contract.bucket_suite import BucketSuite
from tests.support.buckets import MemoryBucket


class TestMemoryBucket(BucketSuite):
    @pytest.fixture
    def bucket(self) -> MemoryBucket:
        return MemoryBucket()
