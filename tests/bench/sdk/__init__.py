"""`make bench-sdk`: reads and pushes through Feast's SDK, on its own Redis store and on ours."""
