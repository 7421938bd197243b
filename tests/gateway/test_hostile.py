"""The hostile peers of tests/hostile, set upon the edge."""

import grpc
import pytest

from mesh.local.supervisor import Supervisor
from services.sales.rpc import MESSAGE_BYTES
from tests.gateway.conftest import EVERYTHING, Edge
from tests.hostile.peer import framed, peer
from tests.hostile.target import GET_SALE, PIECE, REQUEST, UPLOAD_FILES, WELL, Target
from tests.hostile.test_wire import (
    test_a_bad_header_fails_its_own_call_at_most,
    test_a_message_that_is_none_is_refused_without_a_word_of_the_inside,
    test_a_message_that_is_too_large_is_refused_by_its_prefix,
    test_a_storm_of_control_frames_harms_nobody,
    test_a_storm_of_resets_harms_nobody,
    test_a_wrong_frame_fails_its_own_call_at_most,
    test_an_unknown_compression_is_refused,
    test_an_unknown_method_is_unimplemented,
    test_calls_that_send_no_message_take_nobodys_place,
    test_endless_headers_cost_no_memory,
    test_headers_that_are_too_large_are_refused,
    test_noise_is_no_connection,
    test_streams_above_the_limit_are_refused_and_the_others_are_not,
)

__all__ = [
    "test_a_bad_header_fails_its_own_call_at_most",
    "test_a_message_that_is_none_is_refused_without_a_word_of_the_inside",
    "test_a_message_that_is_too_large_is_refused_by_its_prefix",
    "test_a_storm_of_control_frames_harms_nobody",
    "test_a_storm_of_resets_harms_nobody",
    "test_a_wrong_frame_fails_its_own_call_at_most",
    "test_an_unknown_compression_is_refused",
    "test_an_unknown_method_is_unimplemented",
    "test_calls_that_send_no_message_take_nobodys_place",
    "test_endless_headers_cost_no_memory",
    "test_headers_that_are_too_large_are_refused",
    "test_noise_is_no_connection",
    "test_streams_above_the_limit_are_refused_and_the_others_are_not",
]


@pytest.fixture(scope="module")
def target(edge: Edge) -> Target:
    supervisor = Supervisor(edge.stack.run)
    pids = tuple(supervisor.state(name).pid for name in ("envoy", "sales-1"))
    return Target(edge.address, edge.issuer.token(permissions=EVERYTHING), pids, MESSAGE_BYTES)


async def test_a_stream_that_is_cut_off_behind_the_edge_fails_nobody_else(target: Target) -> None:
    async with peer(target.address) as good:
        for cut in range(5):
            async with peer(target.address) as hostile:
                stream = hostile.open(UPLOAD_FILES, target.headers, framed(PIECE) + framed(PIECE)[:-2], end=False)
                await hostile.sent()
                assert (await good.call(GET_SALE, target.headers, REQUEST)).status in WELL
                if cut % 2:
                    hostile.reset(stream)
                    await hostile.sent()
            assert (await good.call(GET_SALE, target.headers, REQUEST)).status in WELL


async def test_a_request_that_is_not_whole_is_not_made(target: Target) -> None:
    async with peer(target.address) as hostile:
        answer = await hostile.answer(hostile.open(GET_SALE, target.headers, framed(REQUEST)[:-1]))
        assert answer.status not in {None, grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}
