"""The historical benchmark: point-in-time joins of three views, beside Feast's stores, Polars and a plain scan."""
