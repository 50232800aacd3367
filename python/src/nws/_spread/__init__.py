"""What `nws.spread_jobs` is made of."""
