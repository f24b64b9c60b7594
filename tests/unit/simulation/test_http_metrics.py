from epp.simulation.exposition import render
from epp.simulation.http_metrics import HttpMetrics


def test_routes_and_status_classes_are_counted() -> None:
    metrics = HttpMetrics()
    for status in (200, 200, 404):
        metrics.record("/v1/x", "POST", status, request_bytes=10, response_bytes=5, seconds=0.3)
    lines = render([metrics.section(1.0)]).decode().splitlines()
    assert 'http_requests_total{handler="/v1/x",method="POST",status="2xx"} 2.0' in lines
    assert 'http_requests_total{handler="/v1/x",method="POST",status="4xx"} 1.0' in lines
    assert 'http_request_size_bytes_sum{handler="/v1/x"} 30.0' in lines
    assert 'http_response_size_bytes_sum{handler="/v1/x"} 15.0' in lines
    assert (
        'http_request_duration_seconds_bucket{handler="/v1/x",le="0.5",method="POST"} 3.0' in lines
    )
    assert 'http_request_duration_highr_seconds_bucket{le="0.25"} 0.0' in lines
