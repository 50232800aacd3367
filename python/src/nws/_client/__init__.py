"""What `nws.client` and `nws.aio` are made of. Private: use those two."""
