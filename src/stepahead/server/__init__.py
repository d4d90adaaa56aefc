"""The service: `stepahead serve`.  HTTP in, forecasts out, state on disk before the answer."""
